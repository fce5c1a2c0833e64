//! Certificates that came and could not be written: on a full disk, on one that is mounted read-only. They serve all the same, it is told,
//! and writing them is tried again, at longer and longer intervals: else a restart would lose them.
//!
//! Not here: the files themselves ([`store`](crate::store)).

use std::time::{Duration, Instant};

use crate::attempt::Desk;
use crate::{Issued, Publication, plan, store};

/// Written at a time: each waits for the disk, and the thread has more to do.
const AT_ONCE: usize = 16;

/// A certificate that serves and could not be written yet.
pub(crate) struct Unkept {
    /// The directory of the authority that gave it.
    issuer: String,
    failures: u32,
    /// When it is tried again.
    at: Instant,
}

impl<P: Fn(&Publication)> Desk<'_, P> {
    /// Writes down what came.
    pub fn keep(&self, name: &str, issued: &Issued, issuer: &str) {
        let kept = self.store.keep(name, issued, issuer);
        let (mut broken, mut unkept) = (self.broken.borrow_mut(), self.unkept.borrow_mut());
        // As what is restored and what is put tell of it.
        let file = format!("/{}.sealed:", store::file_name(name));
        let of_name = format!("/{name}:");
        broken.retain(|what| !what.contains(&file) && !what.contains(&of_name));
        let before = unkept.remove(name).map_or(0, |before| before.failures);
        if let Err(fault) = kept {
            broken.push(format!(
                "{fault} (the certificate serves, and would be lost by a restart; writing it is tried again)"
            ));
            let failures = before.saturating_add(1);
            let again = Unkept {
                issuer: issuer.to_owned(),
                failures,
                at: Instant::now() + plan::write_again(failures),
            };
            unkept.insert(name.to_owned(), again);
        }
    }

    /// Tries again what is due; whether anything was.
    pub fn keep_again(&self) -> bool {
        let now = Instant::now();
        let due: Vec<_> = {
            let unkept = self.unkept.borrow();
            let due = unkept.iter().filter(|(_, one)| one.at <= now);
            due.take(AT_ONCE)
                .map(|(name, one)| (name.clone(), one.issuer.clone()))
                .collect()
        };
        for (name, issuer) in &due {
            let publication = self.board.publication.borrow();
            match publication.certificates.get(name) {
                Some(issued) => self.keep(name, issued, issuer),
                None => drop(self.unkept.borrow_mut().remove(name)),
            }
        }
        !due.is_empty()
    }

    /// How long until something is due.
    pub fn until_kept(&self) -> Duration {
        let now = Instant::now();
        let unkept = self.unkept.borrow();
        let next = unkept.values().map(|one| one.at).min();
        next.map_or(Duration::MAX, |at| at.saturating_duration_since(now))
    }
}
