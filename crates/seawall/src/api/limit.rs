//! How much may be asked: by one address, with one token, and with a wrong one. The tables are bounded, and a look at them costs the
//! same whoever asks.
//!
//! Each limit is a rate with room for a burst (the generic cell rate algorithm): an entry is one moment, until which its asker is in
//! debt. An entry out of debt says nothing, so that old ones may be forgotten at once, all together.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

use super::call::Reply;
use super::problem::Problem;

/// A limit.
struct Limit {
    /// Its name in `RateLimit`.
    name: &'static str,
    /// So many at once.
    burst: u32,
    /// One more after so long.
    every: Duration,
}

/// Whoever asks from one address, with a token or without: 50 a second.
const ADDRESS: Limit = Limit {
    name: "address",
    burst: 300,
    every: Duration::from_millis(20),
};
/// With one token: 20 a second.
const TOKEN: Limit = Limit {
    name: "token",
    burst: 200,
    every: Duration::from_millis(50),
};
/// Without a good token, from one address: one in six seconds.
const FAILED: Limit = Limit {
    name: "failed",
    burst: 10,
    every: Duration::from_secs(6),
};
/// Entries of one table, per generation.
const ENTRIES: usize = 4_096;
/// As long as any debt can be.
const GENERATION: Duration = Duration::from_secs(60);

impl Limit {
    /// The longest debt that is let pass.
    const fn room(&self) -> Duration {
        Duration::from_millis(self.every.as_millis() as u64 * self.burst as u64)
    }
}

/// What was left when something was asked.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    left: u32,
    /// Seconds until there is as much as ever.
    whole: u64,
}

impl Spent {
    /// Nothing was left.
    pub const ALL: Self = Self {
        left: 0,
        whole: TOKEN.room().as_secs(),
    };
}

/// Who is in debt, by the moment until which.
struct Table<K> {
    now: HashMap<K, Instant>,
    before: HashMap<K, Instant>,
    /// For all that there is no room for.
    rest: Option<Instant>,
    turned: Instant,
}

impl<K: Hash + Eq> Table<K> {
    fn new() -> Self {
        Self {
            now: HashMap::new(),
            before: HashMap::new(),
            rest: None,
            turned: Instant::now(),
        }
    }

    /// Takes one from somebody's budget.
    fn take(&mut self, limit: &Limit, key: K, now: Instant) -> Result<Spent, Problem> {
        if now.duration_since(self.turned) >= GENERATION {
            // Nobody in the older one can still be in debt.
            self.before = std::mem::take(&mut self.now);
            self.turned = now;
        }
        let known = self.now.get(&key).or_else(|| self.before.get(&key));
        let has_room = self.now.len() < ENTRIES || self.now.contains_key(&key);
        let until = match (known, has_room) {
            (known, true) => known.copied(),
            (_, false) => self.rest,
        };
        let until = until.unwrap_or(now).max(now) + limit.every;
        let debt = until.duration_since(now);
        #[cfg(feature = "unsafe-drills")]
        let debt = if seawall_model::safeguard::is_off(seawall_model::safeguard::Safeguard::Limit) {
            Duration::ZERO
        } else {
            debt
        };
        if debt > limit.room() {
            return Err(too_many(limit, debt.saturating_sub(limit.room())));
        }
        if has_room {
            self.now.insert(key, until);
        } else {
            self.rest = Some(until);
        }
        let left = limit.room().saturating_sub(debt).as_millis() / limit.every.as_millis().max(1);
        Ok(Spent {
            left: u32::try_from(left).unwrap_or(limit.burst),
            whole: debt.as_secs() + 1,
        })
    }
}

/// Answers 429. When to come again differs from one answer to the next, so that those who were refused together do not come back
/// together.
fn too_many(limit: &Limit, wait: Duration) -> Problem {
    let mut byte = [0];
    // Without randomness they come back together, which is no harm but to themselves.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    let [jitter] = byte;
    let whole = wait.as_secs() + 1;
    let jitter = u64::from(jitter) * (whole.min(30) + 2) / 256;
    let detail = format!(
        "the limit `{}` is {} at once and one more every {} ms",
        limit.name,
        limit.burst,
        limit.every.as_millis()
    );
    Problem::of("too_many")
        .saying(detail)
        .again_after(whole + jitter)
}

/// Tells a client what it may ask still (draft-ietf-httpapi-ratelimit-headers).
pub fn tell(spent: &Spent, reply: &mut Reply) {
    let policy = format!(
        "\"{}\";q={};w={}",
        TOKEN.name,
        TOKEN.burst,
        TOKEN.room().as_secs()
    );
    reply.fields.push(("ratelimit-policy", policy));
    let left = format!("\"{}\";r={};t={}", TOKEN.name, spent.left, spent.whole);
    reply.fields.push(("ratelimit", left));
}

/// All limits.
pub struct Limits {
    addresses: Table<IpAddr>,
    tokens: Table<String>,
    failed: Table<IpAddr>,
}

impl Limits {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self {
            addresses: Table::new(),
            tokens: Table::new(),
            failed: Table::new(),
        }
    }

    /// Something is asked from an address.
    pub fn address(&mut self, from: IpAddr, now: Instant) -> Result<(), Problem> {
        self.addresses
            .take(&ADDRESS, network(from), now)
            .map(|_| ())
    }

    /// With a good token.
    pub fn token(&mut self, name: &str, now: Instant) -> Result<Spent, Problem> {
        self.tokens.take(&TOKEN, name.to_owned(), now)
    }

    /// Without one.
    pub fn failed(&mut self, from: IpAddr, now: Instant) -> Result<(), Problem> {
        self.failed.take(&FAILED, network(from), now).map(|_| ())
    }
}

/// What one asker has: an address, or a /64 of IPv6.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_pass_and_then_a_rate_and_others_are_not_in_it() {
        let mut limits = Limits::new();
        let mut now = Instant::now();
        let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let all = (0..100).filter(|_| limits.failed(one, now).is_ok());
        assert_eq!(all.count(), FAILED.burst as usize);
        assert!(limits.failed(other, now).is_ok());
        now += FAILED.every * 3;
        let more = (0..100).filter(|_| limits.failed(one, now).is_ok());
        assert_eq!(more.count(), 3);
        // No generation forgets a debt.
        for _ in 0..50 {
            now += FAILED.every;
            assert!(limits.failed(one, now).is_ok());
            assert!(limits.failed(one, now).is_err());
        }
    }

    #[test]
    fn a_flood_of_addresses_takes_no_more_memory_than_there_is() {
        let (mut limits, now) = (Limits::new(), Instant::now());
        let mut good = 0;
        for number in 0..100_000_u32 {
            let from = IpAddr::V4(number.into());
            good += usize::from(limits.failed(from, now).is_ok());
        }
        assert_eq!(good, ENTRIES + FAILED.burst as usize);
        assert!(limits.failed.now.len() == ENTRIES && limits.failed.before.is_empty());
        // Who is in the table keeps a budget of its own.
        assert!(limits.failed(IpAddr::V4(0.into()), now).is_ok());
        let host = |last: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last));
        assert_eq!(network(host(1)), network(host(2)));
    }
}
