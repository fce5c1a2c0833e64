//! A stored body in other codings: made once, while somebody gets it, and kept as long as the body is.
//!
//! They lie beside the body and not beside the response, so that validating it, which makes another response with the same body,
//! keeps them; and purging it, or displacing it, takes them along. What they take counts as the response's. They are in memory
//! alone: what comes back from the disk is packed again. Not here: which codings there are, and who makes them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use super::entry::Body;

/// How many codings one body may be kept in, beside its own. They have numbers from 0.
pub const CODINGS: usize = 3;

/// What was made of a body.
#[derive(Debug, Default)]
pub struct Packed {
    made: [OnceLock<Option<Body>>; CODINGS],
    /// A bit for each coding that somebody makes, or has given up.
    begun: AtomicU8,
}

/// What there is of a coding.
#[derive(Clone, Copy, Debug)]
pub enum Made<'b> {
    /// It.
    Body(&'b Body),
    /// It would be no smaller: the body itself is served.
    NotWorthIt,
    /// Nothing.
    Nothing,
}

impl Packed {
    /// What there is of a coding.
    pub fn get(&self, coding: usize) -> Made<'_> {
        match self.made.get(coding).and_then(OnceLock::get) {
            Some(Some(body)) => Made::Body(body),
            Some(None) => Made::NotWorthIt,
            None => Made::Nothing,
        }
    }

    /// Whether the caller is to make it: nobody did so yet. Who does not finish lets others try ([`Packed::give_up`]).
    pub fn begin(&self, coding: usize) -> bool {
        let bit = bit(coding);
        bit != 0 && self.begun.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// What was begun came to nothing: the next one may try.
    pub fn give_up(&self, coding: usize) {
        self.begun.fetch_and(!bit(coding), Ordering::Relaxed);
    }

    /// Keeps it; none: it is no smaller. False where there is one.
    pub(super) fn set(&self, coding: usize, body: Option<Body>) -> bool {
        let place = self.made.get(coding);
        place.is_some_and(|place| place.set(body).is_ok())
    }

    /// Bytes of memory that they take.
    pub(super) fn bytes(&self) -> usize {
        let made = self.made.iter().filter_map(|made| made.get()?.as_ref());
        made.map(|body| body.length() as usize).sum()
    }
}

fn bit(coding: usize) -> u8 {
    match coding {
        0..CODINGS => 1 << coding,
        _ => 0,
    }
}
