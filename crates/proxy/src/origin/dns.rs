//! When an origin's name is resolved again, and which addresses hold meanwhile.
//!
//! The addresses of the last good answer are kept for as long as DNS fails: a resolver's outage must not become a site's.
//! That they are old is said. An origin given as an address is never resolved.
//!
//! Not here: asking a resolver, and the timer. The caller asks when [`Refresh::due`] says so, reports the answer, and
//! hands new addresses to the member. Errors stay with the caller too, who logs them; here only that there was one counts.

use std::net::{IpAddr, SocketAddr};

use super::Member;

/// From one good answer to the next question, in milliseconds, give or take a fifth.
const AFTER_SUCCESS_MS: u64 = 30_000;

/// From a failure to the next question at first; it doubles up to [`AFTER_SUCCESS_MS`].
const AFTER_FAILURE_MS: u64 = 1_000;

/// How many addresses of one name are used.
const ADDRESSES_MAX: usize = 32;

/// The state of one origin's name.
#[derive(Clone, Debug)]
pub struct Refresh {
    port: u16,
    addresses: Vec<SocketAddr>,
    /// When to ask next, in milliseconds; never for an address.
    due: Option<u64>,
    /// Failures since the last good answer.
    failures: u32,
    /// When the last good answer came.
    resolved_at: Option<u64>,
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// There are other addresses now: hand [`Refresh::addresses`] to the member.
    Addresses,
    /// The same addresses; DNS works again after a failure.
    Recovered,
    /// DNS began to fail; the old addresses hold.
    Stale,
    /// DNS began to fail before it ever gave an address.
    Unresolved,
    /// Nothing to tell.
    None,
}

/// What `/state` tells of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshState {
    /// Where the origin can be reached.
    pub addresses: Vec<SocketAddr>,
    /// They are old ones, kept because DNS fails.
    pub stale: bool,
    /// Failures since the last good answer.
    pub failures: u32,
    /// How long ago the last good answer came, in milliseconds.
    pub age_ms: Option<u64>,
    /// In how many milliseconds it is asked for again; never for an address.
    pub next_ms: Option<u64>,
}

impl Refresh {
    /// For a host (a name, an IPv4 address, an IPv6 address with or without brackets) and port. A name is due at once.
    pub fn new(host: &str, port: u16) -> Self {
        let inside = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let literal: Option<IpAddr> = inside.unwrap_or(host).parse().ok();
        Self {
            port,
            addresses: literal
                .map(|address| SocketAddr::new(address, port))
                .into_iter()
                .collect(),
            due: if literal.is_some() { None } else { Some(0) },
            failures: 0,
            resolved_at: None,
        }
    }

    /// When to resolve next, in milliseconds; none for an address, which never is.
    pub fn due(&self) -> Option<u64> {
        self.due
    }

    /// Where the origin can be reached, in the resolver's order. Empty until the first good answer.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether the addresses are old ones, kept because DNS fails.
    pub fn is_stale(&self) -> bool {
        self.failures > 0 && !self.addresses.is_empty()
    }

    /// Takes note of an answer (none for an error; one without addresses is a failure too) and decides when to ask next.
    /// `random` is any 64 uniform bits: edges that started together shall not ask together for ever.
    pub fn answered(&mut self, answer: Option<&[IpAddr]>, now: u64, random: u64) -> Change {
        if self.due.is_none() {
            return Change::None;
        }
        match answer {
            Some(addresses) if !addresses.is_empty() => self.resolved(addresses, now, random),
            _ => self.failed(now, random),
        }
    }

    /// Takes note of an answer, and tells `member`: its addresses, where there are other ones, and whether they are old. While
    /// DNS fails it keeps what it has.
    pub fn tell(&mut self, member: &Member, answer: Option<&[IpAddr]>, now: u64, random: u64) {
        self.answered(answer, now, random);
        // A member may know some from before this began: they hold until there is an answer.
        if !self.addresses.is_empty() && *member.addresses() != *self.addresses {
            member.set_addresses(&self.addresses);
        }
        // Before the first answer this says "failed"; with addresses it says "these are old".
        member.set_addresses_stale(answer.is_none_or(<[IpAddr]>::is_empty));
    }

    /// What `/state` tells.
    pub fn describe(&self, now: u64) -> RefreshState {
        RefreshState {
            addresses: self.addresses.clone(),
            stale: self.is_stale(),
            failures: self.failures,
            age_ms: self.resolved_at.map(|then| now.saturating_sub(then)),
            next_ms: self.due.map(|due| due.saturating_sub(now)),
        }
    }

    fn resolved(&mut self, answer: &[IpAddr], now: u64, random: u64) -> Change {
        let had_failed = self.failures > 0;
        self.failures = 0;
        self.resolved_at = Some(now);
        self.due = Some(now.saturating_add(jittered(AFTER_SUCCESS_MS, random)));

        let mut addresses: Vec<SocketAddr> = Vec::with_capacity(answer.len().min(ADDRESSES_MAX));
        for address in answer {
            let address = SocketAddr::new(*address, self.port);
            if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        // Resolvers turn the order with every answer: the same addresses in another order are no change.
        let same = addresses.len() == self.addresses.len()
            && addresses
                .iter()
                .all(|address| self.addresses.contains(address));
        if !same {
            self.addresses = addresses;
            Change::Addresses
        } else if had_failed {
            Change::Recovered
        } else {
            Change::None
        }
    }

    fn failed(&mut self, now: u64, random: u64) -> Change {
        let doubled = AFTER_FAILURE_MS
            .checked_shl(self.failures.min(16))
            .unwrap_or(AFTER_SUCCESS_MS);
        self.due = Some(now.saturating_add(jittered(doubled.min(AFTER_SUCCESS_MS), random)));
        self.failures = self.failures.saturating_add(1);
        match (self.failures, self.addresses.is_empty()) {
            (1, false) => Change::Stale,
            (1, true) => Change::Unresolved,
            _ => Change::None,
        }
    }
}

/// Between 80 % and 120 % of so many milliseconds.
fn jittered(milliseconds: u64, random: u64) -> u64 {
    let fifth = milliseconds / 5;
    let spread = ((random >> 32) * (2 * fifth + 1)) >> 32;
    milliseconds - fifth + spread
}

#[cfg(test)]
mod tests {
    use super::super::AddressCache;
    use super::*;

    /// In the middle of the jitter: none at all.
    const MIDDLE: u64 = 1 << 63;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_never_resolved() {
        for (host, address) in [
            ("192.0.2.7", "192.0.2.7:81"),
            ("[2001:db8::7]", "[2001:db8::7]:81"),
            ("::1", "[::1]:81"),
        ] {
            let mut refresh = Refresh::new(host, 81);
            assert_eq!(
                (refresh.due(), refresh.addresses()),
                (None, &[address.parse().unwrap()][..])
            );
            assert_eq!(refresh.answered(None, 5, 0), Change::None);
            assert!(refresh.due().is_none() && !refresh.is_stale());
        }
        for name in ["a.test", "1.2.3", "[a.test]", "localhost"] {
            assert_eq!(Refresh::new(name, 80).due(), Some(0), "{name}");
        }
    }

    #[test]
    fn a_good_answer_is_asked_for_again_after_half_a_minute_with_jitter() {
        let mut refresh = Refresh::new("a.test", 80);
        assert_eq!(
            refresh.answered(Some(&[ip("192.0.2.1")]), 1_000, MIDDLE),
            Change::Addresses
        );
        assert_eq!(refresh.due(), Some(31_000));
        let mut dues = Vec::new();
        for random in [0, u64::MAX / 3, u64::MAX] {
            refresh.answered(Some(&[ip("192.0.2.1")]), 0, random);
            dues.push(refresh.due().unwrap());
        }
        assert_eq!(dues, [24_000, 28_000, 36_000]);
    }

    #[test]
    fn the_same_addresses_in_another_order_are_no_change() {
        let mut refresh = Refresh::new("a.test", 80);
        let (one, two, three) = (ip("192.0.2.1"), ip("192.0.2.2"), ip("2001:db8::3"));
        refresh.answered(Some(&[one, two]), 0, MIDDLE);
        assert_eq!(
            refresh.answered(Some(&[two, one, two]), 1, MIDDLE),
            Change::None
        );
        assert_eq!(refresh.addresses()[0].ip(), one);
        assert_eq!(
            refresh.answered(Some(&[three, one]), 2, MIDDLE),
            Change::Addresses
        );
        assert_eq!(refresh.addresses()[0].ip(), three);
    }

    #[test]
    fn failures_back_off_and_the_old_addresses_hold() {
        let mut refresh = Refresh::new("a.test", 80);
        refresh.answered(Some(&[ip("192.0.2.1")]), 0, MIDDLE);
        let mut now = 30_000;
        let mut waits = Vec::new();
        let mut changes = Vec::new();
        for round in 0..8 {
            let empty: Option<&[IpAddr]> = if round % 2 == 0 { None } else { Some(&[]) };
            changes.push(refresh.answered(empty, now, MIDDLE));
            let due = refresh.due().unwrap();
            waits.push((due - now) / 1_000);
            now = due;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(changes[0], Change::Stale);
        assert!(changes[1..].iter().all(|change| *change == Change::None));
        let state = refresh.describe(now - 500);
        assert_eq!(state.addresses, ["192.0.2.1:80".parse().unwrap()]);
        assert_eq!(
            (state.stale, state.failures, state.next_ms),
            (true, 8, Some(500))
        );
        assert_eq!(state.age_ms, Some(now - 500));
        assert_eq!(
            refresh.answered(Some(&[ip("192.0.2.1")]), now, MIDDLE),
            Change::Recovered
        );
        assert!(!refresh.is_stale());
        assert_eq!(refresh.due(), Some(now + 30_000));
    }

    /// A resolver that answers, fails, answers nothing, and answers again: what requests see meanwhile.
    #[test]
    fn a_member_keeps_its_addresses_while_dns_fails() {
        let member = Member::new("http://a.test");
        let mut seen = AddressCache::default();
        let mut refresh = Refresh::new("a.test", 80);
        let (old, new): (SocketAddr, SocketAddr) = (
            "192.0.2.1:80".parse().unwrap(),
            "192.0.2.2:80".parse().unwrap(),
        );
        type Step<'a> = (Option<&'a [IpAddr]>, &'a [SocketAddr], bool);
        let script: [Step<'_>; 6] = [
            (None, &[], true),
            (Some(&[old.ip()]), &[old], false),
            (None, &[old], true),
            (Some(&[]), &[old], true),
            (Some(&[old.ip()]), &[old], false),
            (Some(&[new.ip()]), &[new], false),
        ];
        for (step, (answer, addresses, stale)) in script.into_iter().enumerate() {
            let now = refresh.due().unwrap();
            refresh.tell(&member, answer, now, MIDDLE);
            assert_eq!(seen.of(&member), addresses, "step {step}");
            assert_eq!(member.addresses_stale(), stale, "step {step}");
        }
    }

    #[test]
    fn a_name_that_never_resolved_is_not_called_stale() {
        let mut refresh = Refresh::new("a.test", 80);
        assert_eq!(refresh.answered(None, 0, MIDDLE), Change::Unresolved);
        assert!(!refresh.is_stale() && refresh.addresses().is_empty());
        for _ in 0..100 {
            refresh.answered(None, u64::MAX - 10, u64::MAX);
        }
        assert_eq!(refresh.due(), Some(u64::MAX));
        assert_eq!(
            refresh.answered(Some(&[ip("192.0.2.1")]), 0, 0),
            Change::Addresses
        );
    }

    #[test]
    fn an_answer_is_cut_to_a_bound() {
        let many: Vec<IpAddr> = (0..200u8)
            .map(|last| IpAddr::from([192, 0, 2, last]))
            .collect();
        let mut refresh = Refresh::new("a.test", 80);
        refresh.answered(Some(&many), 0, MIDDLE);
        assert_eq!(refresh.addresses().len(), 32);
        assert_eq!(refresh.answered(Some(&many), 0, MIDDLE), Change::None);
    }
}
