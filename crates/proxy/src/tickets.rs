//! A zone's session tickets (RFC 5077, RFC 8446 §4.6.1), whose keys are made when a client first needs them: a configuration with
//! a hundred thousand zones draws no randomness for those that nobody asks for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustls::server::ProducesTickets;
use seawall_guard::ZoneId;
use seawall_net::tls::config::ticketer;

/// The tickets of all zones whose clients have asked for one.
#[derive(Debug, Default)]
pub struct TicketShelf(Mutex<HashMap<ZoneId, Arc<Tickets>>>);

impl TicketShelf {
    /// Those of a zone.
    pub fn of(&self, zone: ZoneId) -> Arc<Tickets> {
        self.held().entry(zone).or_default().clone()
    }

    /// Whether no client has had any.
    pub fn is_empty(&self) -> bool {
        self.held().is_empty()
    }

    /// Forgets those of a zone that is gone.
    pub fn forget(&self, zone: ZoneId) {
        self.held().remove(&zone);
    }

    /// Forgets those of all others.
    pub fn retain(&self, is_there: impl Fn(ZoneId) -> bool) {
        self.held().retain(|zone, _| is_there(*zone));
    }

    fn held(&self) -> MutexGuard<'_, HashMap<ZoneId, Arc<Tickets>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tickets with keys of their own, which rotate by themselves.
#[derive(Debug, Default)]
pub struct Tickets(OnceLock<Option<Arc<dyn ProducesTickets>>>);

impl Tickets {
    /// None when the system gives no randomness: then there are no tickets, and every handshake is a whole one.
    fn keys(&self) -> Option<&Arc<dyn ProducesTickets>> {
        self.0.get_or_init(|| ticketer().ok()).as_ref()
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.keys().is_some_and(|keys| keys.enabled())
    }

    fn lifetime(&self) -> u32 {
        self.keys().map_or(0, |keys| keys.lifetime())
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys()?.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.keys()?.decrypt(cipher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_with_its_own_keys_only() {
        let (ours, theirs) = (Tickets::default(), Tickets::default());
        let ticket = ours.encrypt(b"session").unwrap();
        assert_eq!(ours.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(theirs.decrypt(&ticket), None);
        assert!(ours.enabled() && ours.lifetime() > 0);
    }
}
