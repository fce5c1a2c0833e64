//! TLS sessions of HTTP/3's clients, for their next connection and its early data.
//!
//! A session can carry early data once: it is kept here, not in a ticket, and taken out when it is used (RFC 8446 §8.1), so that
//! a copy of a client's first flight finds nothing. Each zone has its own, and may keep as many as are still free for all.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::server::StoresServerSessions;
use seawall_guard::ZoneId;

/// Sessions of all zones, and the longest that is kept, in bytes.
const MOST: usize = 32 * 1024;
const LONGEST: usize = 2 * 1024;

/// Sessions of all zones.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    zones: HashMap<u64, Kept>,
    count: usize,
}

#[derive(Debug, Default)]
struct Kept {
    /// Each with its number.
    by_id: HashMap<Vec<u8>, (u64, Vec<u8>)>,
    /// Numbers and ids in the order in which they came; those that were taken or replaced are still named.
    order: VecDeque<(u64, Vec<u8>)>,
    next: u64,
}

impl Kept {
    /// Drops the oldest; whether there was one.
    fn drop_oldest(&mut self) -> bool {
        while let Some((number, id)) = self.order.pop_front() {
            if self.is_kept(number, &id) {
                self.by_id.remove(&id);
                return true;
            }
        }
        false
    }

    fn is_kept(&self, number: u64, id: &[u8]) -> bool {
        self.by_id.get(id).is_some_and(|(kept, _)| *kept == number)
    }
}

impl All {
    fn put(&mut self, zone: u64, id: Vec<u8>, session: Vec<u8>) -> bool {
        let kept = self.zones.entry(zone).or_default();
        while kept.by_id.len() >= MOST.saturating_sub(self.count).max(1) || self.count >= MOST {
            if !kept.drop_oldest() {
                return false;
            }
            self.count -= 1;
        }
        // Names of those that were taken go with the oldest, but must not outnumber the rest.
        if kept.order.len() > 2 * kept.by_id.len() + 16 {
            let mut order = std::mem::take(&mut kept.order);
            order.retain(|(number, id)| kept.is_kept(*number, id));
            kept.order = order;
        }
        kept.next += 1;
        kept.order.push_back((kept.next, id.clone()));
        if kept.by_id.insert(id, (kept.next, session)).is_none() {
            self.count += 1;
        }
        true
    }

    fn take(&mut self, zone: u64, id: &[u8]) -> Option<Vec<u8>> {
        let kept = self.zones.get_mut(&zone)?;
        let (_, session) = kept.by_id.remove(id)?;
        self.count -= 1;
        if kept.by_id.is_empty() {
            self.zones.remove(&zone);
        }
        Some(session)
    }
}

/// One zone's part of them.
#[derive(Debug)]
struct OfZone {
    zone: u64,
    all: Arc<Sessions>,
}

impl OfZone {
    fn with<T>(&self, act: impl FnOnce(&mut All) -> T) -> T {
        act(&mut self.all.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl StoresServerSessions for OfZone {
    fn put(&self, id: Vec<u8>, session: Vec<u8>) -> bool {
        session.len() <= LONGEST && self.with(|all| all.put(self.zone, id, session))
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.with(|all| Some(all.zones.get(&self.zone)?.by_id.get(id)?.1.clone()))
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.with(|all| all.take(self.zone, id))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// What a zone's configuration for TCP is over QUIC. `early`: its clients may send early data.
pub(crate) fn over_quic(
    tcp: &ServerConfig,
    zone: ZoneId,
    all: &Arc<Sessions>,
    early: bool,
) -> Arc<ServerConfig> {
    let mut config = tcp.clone();
    config.alpn_protocols = vec![b"h3".to_vec()];
    // rustls takes early data only of sessions that it finds here, hence at most once.
    config.ticketer = Arc::new(NoTickets);
    config.session_storage = Arc::new(OfZone {
        zone: zone.0,
        all: all.clone(),
    });
    config.max_early_data_size = if early { u32::MAX } else { 0 };
    Arc::new(config)
}

#[derive(Debug)]
struct NoTickets;

impl rustls::server::ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_good_once_and_in_its_own_zone_only() {
        let all = Arc::new(Sessions::default());
        let of = |zone| OfZone {
            zone,
            all: all.clone(),
        };
        assert!(of(1).put(vec![7], vec![1, 2]));
        assert_eq!(of(2).take(&[7]), None);
        assert_eq!(of(1).get(&[7]), Some(vec![1, 2]));
        assert_eq!(of(1).take(&[7]), Some(vec![1, 2]));
        assert_eq!(of(1).take(&[7]), None);
        assert!(!of(1).put(vec![8], vec![0; LONGEST + 1]));
        assert_eq!(of(1).with(|all| (all.count, all.zones.len())), (0, 0));
    }

    #[test]
    fn a_zone_has_half_and_leaves_half() {
        let mut all = All::default();
        for session in 0..2 * MOST as u32 {
            assert!(all.put(1, session.to_be_bytes().to_vec(), vec![0]));
        }
        assert_eq!(all.count, MOST / 2);
        for session in 0..MOST as u32 / 8 {
            assert!(all.put(2, session.to_be_bytes().to_vec(), vec![0]));
        }
        assert_eq!(all.zones[&2].by_id.len(), MOST / 8);
        assert!(all.zones[&1].order.len() <= MOST);
        // Taken and put again for ever, nothing grows.
        let mut all = All::default();
        for session in 0..100_000u32 {
            let id = session.to_be_bytes().to_vec();
            all.put(1, vec![1], vec![0]);
            all.put(1, id.clone(), vec![0]);
            all.take(1, &id);
        }
        assert!(all.zones[&1].order.len() < 100 && all.count == 1);
    }
}
