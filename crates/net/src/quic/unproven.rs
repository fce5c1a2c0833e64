//! How much may be sent to an address that is not proven: three times what came from it (RFC 9000 §8.1).
//!
//! The core counts too, but lets a whole datagram go as long as a byte of the budget is left (quinn's issue 1082). Here a
//! datagram goes only when a whole one fits. For an address that is proven there is no bound: by a token, by the end of the
//! handshake, or by an id of ours in a datagram, whose 72 random bits nobody knows who did not get them there.

use super::DATAGRAM;

/// What may be sent for each byte that came.
const TIMES: u64 = 3;

/// What came from an address and what was sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unproven {
    received: u64,
    sent: u64,
    proven: bool,
    /// The client chose an id for its first flight that has the form of ours: it proves nothing.
    looks_ours: bool,
}

impl Unproven {
    /// Of a client whose first datagram had so many bytes, and named an id that has the form of ours or not.
    pub fn new(bytes: usize, proven: bool, looks_ours: bool) -> Self {
        Self {
            received: bytes as u64,
            sent: 0,
            proven,
            looks_ours,
        }
    }

    /// So many bytes came; for an id that has the form of ours, or not.
    pub fn received(&mut self, bytes: usize, looks_ours: bool) {
        self.received = self.received.saturating_add(bytes as u64);
        self.proven |= looks_ours && !self.looks_ours;
    }

    /// So many bytes were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes as u64);
    }

    /// The client has ended its handshake.
    pub fn prove(&mut self) {
        self.proven = true;
    }

    /// How many datagrams may be sent now, of `most`.
    pub fn datagrams(&self, most: usize) -> usize {
        if self.proven {
            return most;
        }
        let left = (TIMES.saturating_mul(self.received)).saturating_sub(self.sent);
        let whole = left / u64::from(DATAGRAM);
        usize::try_from(whole).map_or(most, |whole| whole.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_goes_only_when_a_whole_one_fits() {
        let mut client = Unproven::new(1200, false, false);
        assert_eq!(client.datagrams(10), 3);
        assert_eq!(client.datagrams(2), 2);
        client.sent(1200);
        client.sent(1201);
        // A byte too little is too little.
        assert_eq!(client.datagrams(10), 0);
        client.received(1, false);
        assert_eq!(client.datagrams(10), 1);
        client.prove();
        assert_eq!(client.datagrams(10), 10);
        assert_eq!(Unproven::new(0, true, false).datagrams(7), 7);
    }

    #[test]
    fn an_id_of_ours_proves_an_address_unless_the_client_made_one_up() {
        let mut client = Unproven::new(1200, false, false);
        client.sent(3600);
        client.received(60, true);
        assert_eq!(client.datagrams(10), 10);
        let mut client = Unproven::new(1200, false, true);
        client.sent(3600);
        client.received(60, true);
        assert_eq!(client.datagrams(10), 0);
    }
}
