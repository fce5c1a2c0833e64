//! How long a response is fresh, and how old it is (RFC 9111 §4.2).

use std::cell::LazyCell;

use seawall_model::{FieldId, Fields, date};

use super::{EdgeTtl, Plan, Time};
use crate::directives::{MOST_SECONDS, ResponseDirectives, Seconds};
use crate::fields;

/// When a response was asked for, and when its head came (RFC 9111 §4.2.3).
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// When the request was sent.
    pub requested: Time,
    /// When the response's head came.
    pub received: Time,
}

/// All that is to be known of a stored response's time: computed once, when it is stored or validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When its head came, or that of what validated it last.
    pub received: Time,
    /// How old it was then, in milliseconds.
    pub initial_age: u64,
    /// For how many seconds of age it is fresh.
    pub lifetime: u32,
    /// For how many seconds more it may be served while it is validated (RFC 5861 §3).
    pub stale_while_revalidate: u32,
    /// For how many seconds more it may be served where the origin fails (RFC 5861 §4).
    pub stale_if_error: u32,
    /// It must be validated before each use (`no-cache`).
    pub validates_always: bool,
    /// It must not be served stale: `must-revalidate`, `proxy-revalidate`, `no-cache`.
    pub never_stale: bool,
    /// It must not be served stale unless a directive of its own allows it: `s-maxage` (RFC 9111 §5.2.2.10).
    pub only_as_told: bool,
    /// It will not change while it is fresh (RFC 8246): even whoever asks to validate gets it as it is.
    pub immutable: bool,
}

impl Life {
    /// Its age in milliseconds (RFC 9111 §4.2.3: `current_age`).
    pub fn age(&self, now: Time) -> u64 {
        self.initial_age.saturating_add(now.since(self.received))
    }

    /// For how many milliseconds it has been stale; none while it is fresh.
    pub fn stale_for(&self, now: Time) -> Option<u64> {
        let lifetime = u64::from(self.lifetime) * 1_000;
        self.age(now).checked_sub(lifetime)
    }

    /// Seconds until it is stale, negative since when it has been (RFC 9211 §2.4).
    pub fn ttl(&self, now: Time) -> i64 {
        i64::from(self.lifetime) - (self.age(now) / 1_000) as i64
    }

    /// Of a response with this status. None where nothing says how long it is fresh.
    pub(super) fn of(
        status: u16,
        fields: &Fields,
        directives: &ResponseDirectives,
        plan: &Plan,
        times: Times,
    ) -> Option<Self> {
        // Most of what has no lifetime says nothing of time at all.
        let date =
            LazyCell::new(|| date::only(fields.all(FieldId::Date), times.received.seconds()));
        let lifetime = lifetime(status, fields, directives, plan, times.received, || *date)?;
        let overridden = matches!(plan.edge_ttl, EdgeTtl::Override(_));
        let validates_always = directives.no_cache.is_all() && !overridden;
        let stale = |said: Option<u32>| plan.serve_stale.or(said).unwrap_or(0);
        let never_stale = directives.must_revalidate || directives.proxy_revalidate;
        Some(Self {
            received: times.received,
            initial_age: initial_age(fields, times, *date),
            lifetime: bounded(status, lifetime, plan),
            stale_while_revalidate: stale(directives.stale_while_revalidate.careful()),
            stale_if_error: stale(directives.stale_if_error.careful()),
            validates_always,
            never_stale: validates_always || never_stale,
            only_as_told: directives.s_maxage.careful().is_some(),
            immutable: directives.immutable,
        })
    }
}

/// What `Cache-Control` and `Expires` tell those behind us, whatever holds for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The longest time that any of them is told, in seconds.
    longest: u32,
    /// Browsers are told nothing, and may guess (RFC 9111 §4.2.2).
    leaves_to_guess: bool,
}

impl Told {
    /// By these fields.
    pub fn of(fields: &Fields, now: Time) -> Self {
        let said = ResponseDirectives::of_lines(fields, b"cache-control");
        let mut longest = said.max_age.careful().max(said.s_maxage.careful());
        let has_expires = fields::has(fields, b"expires");
        if said.max_age == Seconds::Absent && has_expires {
            let date = || date::only(fields.all(FieldId::Date), now.seconds());
            longest = longest.max(Some(until_expires(fields, now.seconds(), date)));
        }
        let forbids = said.no_store || said.no_cache.is_all();
        Self {
            longest: if forbids { 0 } else { longest.unwrap_or(0) },
            leaves_to_guess: said.max_age == Seconds::Absent && !has_expires && !forbids,
        }
    }

    /// Whether some of them take what is so many seconds old for fresh.
    pub const fn is_fresh_at(&self, age: u64) -> bool {
        self.leaves_to_guess || self.longest as u64 > age
    }
}

/// What `Cache-Control` forbids of a response that may be stored, whatever its lifetime (RFC 9111 §5.2.2.2, §5.2.2.6, §5.2.2.8).
pub fn restrictions(fields: &Fields) -> impl Iterator<Item = &'static str> {
    let said = ResponseDirectives::of_lines(fields, b"cache-control");
    let all = [
        (said.must_revalidate, "must-revalidate"),
        (said.proxy_revalidate, "proxy-revalidate"),
        (said.no_transform, "no-transform"),
    ];
    all.into_iter()
        .filter_map(|(is_said, word)| is_said.then_some(word))
}

/// Seconds from `Date` to `Expires`.
fn until_expires(fields: &Fields, now: u64, date: impl Fn() -> Option<u64>) -> u32 {
    // One that is no date, "0" above all, is in the past (RFC 9111 §5.3).
    let expires = date::only(fields::values(fields, b"expires"), now).unwrap_or(0);
    let seconds = expires.saturating_sub(date().unwrap_or(now));
    seconds.min(u64::from(MOST_SECONDS)) as u32
}

/// RFC 9111 §4.2.1, and what a plan puts in its place.
fn lifetime(
    status: u16,
    fields: &Fields,
    directives: &ResponseDirectives,
    plan: &Plan,
    received: Time,
    date: impl Fn() -> Option<u64>,
) -> Option<u32> {
    if let EdgeTtl::Override(seconds) = plan.edge_ttl {
        return Some(seconds.min(MOST_SECONDS));
    }
    let given = directives.s_maxage.careful();
    let given = given.or_else(|| directives.max_age.careful());
    if given.is_some() {
        return given;
    }
    let now = received.seconds();
    if !directives.targeted && fields::has(fields, b"expires") {
        return Some(until_expires(fields, now, &date));
    }
    // Nothing is made up where the origin spoke of validation.
    if !directives.no_cache.is_all() && (is_heuristic(status) || directives.public) {
        let guess = || heuristic(fields, date().unwrap_or(now), now);
        if let Some(seconds) = plan.heuristics.then(guess).flatten() {
            return Some(seconds);
        }
        if let EdgeTtl::Default(seconds) = plan.edge_ttl {
            return Some(seconds.min(MOST_SECONDS));
        }
    }
    // Said to be cacheable, but not for how long: it is stale at once, and validated.
    (directives.no_cache.is_all() || directives.public).then_some(0)
}

/// A tenth of the time since it changed last, a day at most (RFC 9111 §4.2.2).
fn heuristic(fields: &Fields, date: u64, now: u64) -> Option<u32> {
    const DAY: u64 = 86_400;
    let modified = date::only(fields::values(fields, b"last-modified"), now)?;
    Some((date.saturating_sub(modified) / 10).min(DAY) as u32)
}

/// Statuses that RFC 9110 §15.1 calls heuristically cacheable; of 206 no part is stored.
pub(super) const fn is_heuristic(status: u16) -> bool {
    matches!(
        status,
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// An error passes soon, however long its origin would have it: who can provoke it could else deny a page to all.
fn bounded(status: u16, lifetime: u32, plan: &Plan) -> u32 {
    match status {
        404 | 410 => lifetime,
        400.. => lifetime.min(plan.errors_at_most),
        _ => lifetime,
    }
}

/// RFC 9111 §4.2.3, by the conservative formula: the larger of what `Date` and `Age` tell.
fn initial_age(fields: &Fields, times: Times, date: Option<u64>) -> u64 {
    let received = times.received.seconds();
    let apparent = received.saturating_sub(date.unwrap_or(received)) * 1_000;
    let delay = times.received.since(times.requested);
    let corrected = u64::from(age_value(fields)) * 1_000 + delay;
    apparent.max(corrected)
}

/// The first member of `Age`; one that is no number is ignored (RFC 9111 §5.1).
fn age_value(fields: &Fields) -> u32 {
    let first = fields.first(FieldId::Age).unwrap_or_default();
    let member = first.split(|byte| *byte == b',').next();
    let digits = member.unwrap_or_default().trim_ascii();
    crate::directives::seconds(digits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_behind_us_take_for_fresh_what_is_not_here() {
        let now = Time(1_790_000_000_000);
        let date = |seconds: u64| {
            let written = date::write(now.seconds() + seconds);
            String::from_utf8(written.to_vec()).unwrap()
        };
        let is_fresh = |lines: &[(&str, &str)], age: u64| {
            let mut fields = Fields::default();
            for (name, value) in lines {
                fields.push(name.as_bytes(), value.as_bytes());
            }
            Told::of(&fields, now).is_fresh_at(age)
        };
        let (ten, thirty) = (date(10), date(30));
        let rows: [(&[(&str, &str)], u64); 5] = [
            (&[("Cache-Control", "max-age=7")], 7),
            (&[("Cache-Control", "max-age=7, s-maxage=9")], 9),
            (&[("Expires", &*thirty)], 30),
            (&[("Date", &*ten), ("Expires", &*thirty)], 20),
            // It is not looked at beside `max-age`.
            (&[("Expires", &*thirty), ("Cache-Control", "max-age=1")], 1),
        ];
        for (lines, lifetime) in rows {
            assert!(is_fresh(lines, lifetime - 1), "{lines:?}");
            assert!(!is_fresh(lines, lifetime), "{lines:?}");
        }
        // Whoever is told nothing may guess.
        assert!(is_fresh(&[], 1_000));
        assert!(is_fresh(&[("Cache-Control", "public")], 1_000));
        for never in ["no-store", "no-cache", "no-cache, max-age=9"] {
            assert!(!is_fresh(&[("Cache-Control", never)], 0), "{never}");
        }
        assert!(!is_fresh(&[("Expires", "0")], 0));
    }
}
