//! Which member gets a request that has a key: the same key, the same member, as far as that can be.
//!
//! Rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM Transactions on
//! Networking, 1998), weighted (Schindelhauer and Schomaker, "Weighted distributed hash tables", SPAA 2005): each member draws a
//! number from the key and its own id, and the highest wins. A member that goes takes only its own keys along; nothing is kept
//! in memory; all threads, machines and restarts agree. With bounded loads (Mirrokni, Thorup, Zadimoghaddam, "Consistent hashing
//! with bounded loads", SODA 2018): a member with more to do than its share allows hands a key on to the one that is next.
//!
//! Not here: what the key is made of.

use std::net::IpAddr;

use super::balance::{Picked, Tried, mix};
use super::pool::{Pool, Slot};

/// Requests in progress that no share is too small for: what one browser asks for at once stays together.
const LEAST: u64 = 16;

/// What a request is bound by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u64);

impl Key {
    /// The key of some bytes: a header's value, a cookie's, a path.
    pub fn of(bytes: &[u8]) -> Self {
        let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |all: u64, byte| {
            (all ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(mix(fnv))
    }

    /// The key of a client's address; an IPv6 client has a whole /64.
    pub fn of_client(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) => Self::of(&v4.octets()),
            IpAddr::V6(v6) => Self::of(v6.octets().first_chunk::<8>().unwrap_or(&[0; 8])),
        }
    }
}

/// What a member draws its numbers from: its id without what only says how it is spoken to, so that a renewed certificate moves
/// no key.
pub(super) fn seed(id: &str) -> u64 {
    let place = id.split('#').next().unwrap_or_default();
    Key::of(place.as_bytes()).0
}

impl Pool {
    /// The member that a request with this key goes to. None when each was tried already, or when there is none.
    pub fn pick_by_key(&self, now: u64, key: Key, tried: &Tried) -> Option<Picked<'_>> {
        if let [only] = &*self.slots {
            return (!tried.has(only.index)).then(|| self.picked(only, now));
        }
        let (drawable, out) = self.count_out(now);
        let all = out * 2 > drawable && tried.is_empty() && !self.settings.dispensable;
        let warming = self.is_warming(now);
        let untried = |slot: &Slot| slot.weight > 0 && !tried.has(slot.index);
        let usable = |slot: &Slot| untried(slot) && (all || !self.is_out(&slot.member, now));
        let weight = |slot: &Slot| self.weight_now(slot, now, warming);
        let (mut loads, mut weights) = (1, 0);
        for slot in self.slots.iter().filter(|slot| usable(slot)) {
            loads += u64::from(slot.member.in_flight());
            weights += weight(slot);
        }
        let percent = u64::from(self.settings.spread.most_load_percent.max(100));
        let has_room = |slot: &Slot| {
            let bound = u128::from(loads) * u128::from(percent) * u128::from(weight(slot));
            let bound = bound.div_ceil(100 * u128::from(weights.max(1)));
            u128::from(slot.member.in_flight()) < bound.max(LEAST.into())
        };
        let best = |fits: &dyn Fn(&Slot) -> bool| {
            let fitting = self.slots.iter().filter(|slot| fits(slot));
            let scored = fitting.map(|slot| (score(key, slot.seed, weight(slot)), slot));
            let best = scored.max_by(|(one, _), (other, _)| one.total_cmp(other));
            best.map(|(_, slot)| slot)
        };
        let slot = best(&|slot| usable(slot) && has_room(slot))
            .or_else(|| best(&usable))
            .or_else(|| best(&untried))?;
        Some(self.picked(slot, now))
    }
}

/// What a member draws for a key; the highest of all members wins, each as often as its weight says.
fn score(key: Key, seed: u64, weight: u64) -> f64 {
    // Between 0 and 1, neither included.
    let drawn = ((mix(key.0 ^ seed) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -(weight as f64) / drawn.ln()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::origin::{Active, Lease, Members, Settings};

    const KEYS: u64 = 40_000;

    fn pool(origins: &[(&str, u32)]) -> Pool {
        let settings = Settings {
            active: Some(Active {
                healthy_after: 1,
                unhealthy_after: 1,
            }),
            ..Settings::default()
        };
        Pool::new("zone", origins.iter().copied(), settings, &Members::new())
    }

    fn of(pool: &Pool, key: u64) -> String {
        let key = Key::of(&key.to_le_bytes());
        let picked = pool.pick_by_key(0, key, &Tried::default()).unwrap();
        picked.member.id().to_owned()
    }

    fn shares(pool: &Pool) -> BTreeMap<String, u64> {
        let mut shares = BTreeMap::new();
        for key in 0..KEYS {
            *shares.entry(of(pool, key)).or_default() += 1;
        }
        shares
    }

    #[test]
    fn keys_are_spread_by_weight() {
        let pool = pool(&[("a", 1), ("b", 2), ("c", 5)]);
        let shares = shares(&pool);
        for (id, weight) in [("a", 1), ("b", 2), ("c", 5)] {
            let (share, expected) = (shares[id], KEYS * weight / 8);
            let off = share.abs_diff(expected);
            assert!(off * 100 < KEYS, "{id}: {share}, expected {expected}");
        }
    }

    #[test]
    fn a_member_that_goes_moves_its_own_keys_and_no_other() {
        let names: Vec<String> = (0..10).map(|n| format!("http://o{n}.test")).collect();
        let all: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let (before, after) = (pool(&all), pool(&all[1..]));
        let mut moved = 0;
        for key in 0..KEYS {
            let (old, new) = (of(&before, key), of(&after, key));
            if old == names[0] {
                moved += 1;
            } else {
                assert_eq!(old, new, "key {key} moved for no reason");
            }
        }
        // A tenth; the same way back when it is added.
        let off = (KEYS / 10).abs_diff(moved);
        assert!(off * 100 < KEYS, "{moved} of {KEYS} moved");
        // One that is out is as one that is gone, and its keys come back to it.
        before.probe_result(0, false);
        assert!((0..2_000).all(|key| of(&before, key) == of(&after, key)));
    }

    #[test]
    fn more_weight_draws_keys_to_it_and_between_no_others() {
        let light = pool(&[("a", 1), ("b", 1), ("c", 1)]);
        let heavy = pool(&[("a", 3), ("b", 1), ("c", 1)]);
        for key in 0..KEYS {
            let (old, new) = (of(&light, key), of(&heavy, key));
            assert!(new == old || new == "a", "key {key}: {old} to {new}");
        }
    }

    #[test]
    fn no_member_has_more_than_its_bound_however_often_a_key_comes() {
        let pool = pool(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
        let key = Key::of(b"all the same");
        let mut leases = Vec::new();
        for _ in 0..1_000 {
            let picked = pool.pick_by_key(0, key, &Tried::default()).unwrap();
            leases.push(Lease::new(picked.member));
            let most = pool.members().map(|member| member.in_flight()).max();
            let bound = (leases.len() as u32 * 125).div_ceil(400).max(LEAST as u32);
            assert!(most.unwrap() <= bound, "{most:?} of {}", leases.len());
        }
        // When the rush is over, the key is at home again.
        let home = leases[0].id().to_owned();
        leases.clear();
        let picked = pool.pick_by_key(0, key, &Tried::default()).unwrap();
        assert_eq!(picked.member.id(), home);
    }

    #[test]
    fn where_there_is_another_way_nobody_is_spared() {
        let passive = crate::origin::Passive {
            failures: 2,
            eject_for_ms: 1_000,
        };
        let settings = Settings {
            passive,
            dispensable: true,
            ..Settings::default()
        };
        let ids = [("a", 1), ("b", 1), ("c", 1)];
        let pool = Pool::new("parents", ids, settings, &Members::new());
        for (out, left) in [(0, 2), (1, 1), (2, 0)] {
            for _ in 0..2 {
                pool.report(out, crate::origin::Outcome::ConnectFailed, 0);
            }
            let picks = (0..100u8).map(|key| {
                let key = Key::of(&[key]);
                pool.pick_by_key(1, key, &Tried::default()).unwrap()
            });
            let good = picks.filter(|picked| !picked.desperate && picked.index > out);
            assert_eq!(good.count(), if left > 0 { 100 } else { 0 }, "{out}");
        }
        let picked = pool.pick_by_key(1_000, Key::of(b"x"), &Tried::default());
        assert!(!picked.unwrap().desperate, "they are tried again");
    }

    #[test]
    #[ignore = "prints times, judges nothing"]
    fn what_a_pick_costs() {
        for count in [3, 16, 256] {
            let names: Vec<String> = (0..count).map(|n| format!("http://o{n}.test")).collect();
            let all: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
            let pool = pool(&all);
            let begun = std::time::Instant::now();
            let picks = 200_000u64;
            let mut sum = 0;
            for key in 0..picks {
                let key = Key::of(&key.to_le_bytes());
                let picked = pool.pick_by_key(0, key, &Tried::default()).unwrap();
                sum += u64::from(picked.index);
            }
            let each = begun.elapsed() / picks as u32;
            println!("{count} origins: {each:?} a pick ({sum})");
        }
    }

    #[test]
    fn who_was_tried_is_left_out_and_an_ipv6_client_is_its_network() {
        let pool = pool(&[("a", 1), ("b", 1)]);
        let mut tried = Tried::default();
        for _ in 0..2 {
            let picked = pool.pick_by_key(0, Key::of(b"k"), &tried).unwrap();
            assert!(!tried.has(picked.index));
            tried.add(picked.index);
        }
        assert!(pool.pick_by_key(0, Key::of(b"k"), &tried).is_none());
        let key = |text: &str| Key::of_client(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
    }
}
