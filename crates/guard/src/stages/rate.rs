//! Limits on rates: how many requests with the same key may come in a span of time.
//!
//! Counting itself lives with the State that outlives configurations ([`States::rates`]). A limit is known by its zone, its name or
//! what it says, so that a reload does not let it begin anew. Not here: limits on one client's address whatever it asks, which are
//! `ddos`.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use seawall_model::document::{RateAction, RateLimit, SkipSet, StageMode};
use seawall_model::{Fuel, RequestView, Spent};
use seawall_rules::{Expression, Value};

use super::rules::wrong;
use crate::assemble::ZoneInput;
use crate::rates::Rate;
use crate::stage::{Budget, OnFault, OnKill, OnSpent, ReasonDef, Seam, Seams, Stage, StageDef};
use crate::states::{States, ZoneId};
use crate::verdict::{Quota, Reason, Verdict};

/// A lock, two hashes and a lookup, where many threads want the same.
const COUNT: u64 = 150;
/// Units for each byte of a key, which is hashed twice.
const HASHED: u64 = 2;

/// The stage `rate`.
pub static DEF: StageDef = StageDef {
    name: "rate",
    what: "Limits how many requests with the same key may come in a span of time.",
    // A condition and a key cost some hundred units, one that looks through long headers some thousand.
    budget: Budget {
        fuel: 200_000,
        body_fuel: 0,
        body: 0,
    },
    on_spent: OnSpent::Deny,
    on_fault: OnFault::Open,
    on_kill: OnKill::Off,
    needs: &["the lists of the document", "the counters of rates"],
    reasons: &[
        ReasonDef {
            name: "limit",
            what: "A limit has no room for this request.",
        },
        ReasonDef {
            name: "full",
            what: "A limit could not count this request, because the table of keys is full; it went on.",
        },
    ],
    // Asking would count.
    asks_again: false,
    optional: false,
    skipped_by: SkipSet::RATE,
    build,
};

/// One limit.
struct Limit {
    states: Arc<States>,
    zone: ZoneId,
    /// What its keys begin with.
    id: Box<[u8]>,
    when: Option<Expression>,
    by: Box<[Value]>,
    rate: Rate,
    action: RateAction,
    about: Arc<str>,
    headers: bool,
}

fn build(input: &mut ZoneInput<'_>) -> Seams {
    let zone = input.zone;
    let mut seams = Seams::new(zone.rate.mode);
    for (nth, limit) in zone.rate_limits.iter().enumerate() {
        let path = format!("rate_limit[{nth}]");
        let when = limit.when.as_deref().map(|when| {
            Expression::parse_sharing(when, input.lists, input.bounds, input.patterns)
                .map_err(|error| input.problem(&format!("{path}.when"), wrong(&error, when)))
        });
        let mut by = Vec::with_capacity(limit.by.len());
        for (place, source) in limit.by.iter().enumerate() {
            match Value::parse(source, input.lists, input.bounds) {
                Ok(value) => by.push(value),
                Err(error) => {
                    input.problem(&format!("{path}.by[{place}]"), wrong(&error, source));
                }
            }
        }
        let Ok(when) = when.transpose() else { continue };
        if limit.mode == StageMode::Off {
            continue;
        }
        let about: Arc<str> = match &limit.name {
            Some(name) => name.as_str().into(),
            None => format!("#{}", nth + 1).into(),
        };
        let part = Limit {
            states: input.states.clone(),
            zone: input.id,
            id: id(limit),
            when,
            by: by.into(),
            rate: Rate {
                requests: limit.requests.max(1),
                per: u64::try_from(limit.per.as_millis())
                    .unwrap_or(u64::MAX)
                    .max(1),
            },
            action: limit.action,
            about: about.clone(),
            headers: zone.rate.headers,
        };
        seams
            .parts
            .push((Seam::Judge(Box::new(part)), limit.mode, Some(about)));
    }
    seams
}

/// By what a limit is known over reloads: its name, else all that it says.
fn id(limit: &RateLimit) -> Box<[u8]> {
    let text = match &limit.name {
        Some(name) => format!("n{name}\0{:?}", limit.per),
        None => format!(
            "w{:?}{:?}{}{:?}",
            limit.when, limit.by, limit.requests, limit.per
        ),
    };
    let mut id = text.into_bytes();
    id.push(0);
    id.into()
}

thread_local! {
    /// Memory for a key.
    static KEY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Limit {
    /// Writes the key of a request.
    fn key(
        &self,
        request: &RequestView<'_>,
        fuel: &mut Fuel,
        key: &mut Vec<u8>,
    ) -> Result<(), Spent> {
        key.clear();
        key.extend_from_slice(&self.id);
        for value in &self.by {
            value.append(request, fuel, key)?;
        }
        fuel.spend(COUNT + key.len() as u64 * HASHED)
    }

    fn judged(&self, key: &[u8]) -> Verdict {
        let now = self.states.now();
        let reason = |name| Reason::about(name, self.about.clone());
        let Some(room) = self.states.rates.take(self.zone, key, self.rate, now) else {
            return Verdict::Note(reason("full"));
        };
        if self.action == RateAction::Log {
            return match room.is_free {
                true => Verdict::Pass,
                false => Verdict::Note(reason("limit")),
            };
        }
        let quota = self.headers.then(|| Quota {
            policy: self.about.clone(),
            most: self.rate.requests,
            per: seconds(self.rate.per),
            left: room.left,
            more_in: seconds(room.more_in),
        });
        let over = (!room.is_free).then(|| (seconds(room.more_in), reason("limit")));
        Verdict::Counted(quota, over)
    }
}

impl Stage for Limit {
    fn judge(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        if let Some(when) = &self.when
            && !when.matches(request, fuel)?
        {
            return Ok(Verdict::Pass);
        }
        let mut key = KEY.take();
        let written = self.key(request, fuel, &mut key);
        let verdict = written.map(|()| self.judged(&key));
        KEY.set(key);
        verdict
    }
}

/// Milliseconds as fields have them: whole seconds, never less than it takes, never none.
fn seconds(wait: u64) -> Duration {
    Duration::from_secs(wait.div_ceil(1_000).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::places::Place;
    use crate::verdict::Answer;

    const LOGIN: &str = "[[zone.rate_limit]]\nname = 'logins'\nrequests = 2\nper = '10s'\n\
                         when = 'http.request.uri.path eq \"/login\"'\n";

    #[test]
    fn one_too_many_waits_until_there_is_room() {
        let mut place = Place::of(&DEF, LOGIN);
        place.now = 20_000;
        let login = |place: &Place, ip: &str| place.asked_from(ip, "GET", "/login", &[]).0;
        assert_eq!(login(&place, "192.0.2.1"), "");
        place.now = 24_000;
        assert_eq!(login(&place, "192.0.2.1"), "");
        place.now = 25_500;
        assert_eq!(login(&place, "192.0.2.1"), "429 rate/limit(logins)");
        let refusal = place.refused("192.0.2.1", "GET", "/login").unwrap();
        assert_eq!(
            refusal.answer,
            Answer::Throttle(Duration::from_secs(5)),
            "4.5 s, in whole seconds"
        );
        assert_eq!(login(&place, "192.0.2.2"), "");
        assert_eq!(place.asked("GET", "/other", &[]).0, "");
        place.now = 30_000;
        assert_eq!(
            login(&place, "192.0.2.1"),
            "",
            "the first one is a span ago"
        );
        assert_eq!(login(&place, "192.0.2.1"), "429 rate/limit(logins)");
    }

    #[test]
    fn any_value_is_a_key() {
        let place = Place::of(
            &DEF,
            "[[zone.rate_limit]]\nrequests = 1\nper = '1h'\n\
             by = ['http.request.headers[\"x-key\"][0]', 'http.request.method']",
        );
        let asked = |method: &str, key: &str| place.asked(method, "/", &[("x-key", key)]).0;
        assert_eq!(asked("GET", "a"), "");
        assert_eq!(asked("GET", "a"), "429 rate/limit(#1)");
        assert_eq!(asked("POST", "a"), "");
        assert_eq!(asked("GET", "b"), "");
        assert_eq!(place.asked("GET", "/", &[]).0, "");
        assert_eq!(place.asked("GET", "/x", &[]).0, "429 rate/limit(#1)");
    }

    #[test]
    fn modes_and_actions() {
        let limits = |stage: &str, limit: &str, action: &str| {
            let text = format!(
                "rate = {{ mode = '{stage}' }}\n[[zone.rate_limit]]\nrequests = 1\nper = '1h'\n\
                 mode = '{limit}'\naction = '{action}'"
            );
            let place = Place::of(&DEF, &text);
            assert_eq!(place.asked_by("192.0.2.1"), "");
            place.asked_by("192.0.2.1")
        };
        assert_eq!(limits("enforce", "enforce", "block"), "429 rate/limit(#1)");
        assert_eq!(limits("enforce", "watch", "block"), "rate/limit(#1)?");
        assert_eq!(limits("watch", "enforce", "block"), "rate/limit(#1)?");
        assert_eq!(limits("enforce", "off", "block"), "");
        assert_eq!(limits("enforce", "enforce", "log"), "rate/limit(#1)");
        assert!(Place::of(&DEF, "[zone.rate]\nheaders = false").is_unguarded());
    }

    #[test]
    fn problems_point_at_their_place() {
        let text = "[[zone.rate_limit]]\nrequests = 1\nper = '1s'\nwhen = 'nonsense'\nby = ['ip.src', 'ssl and ssl']";
        let place = Place::made(&DEF, text, true);
        assert_eq!(place.problems.len(), 2, "{:?}", place.problems);
        assert!(place.problems[0].starts_with("zone[0].rate_limit[0].when: "));
        assert!(place.problems[1].starts_with("zone[0].rate_limit[0].by[1]: "));
        assert!(place.problems[1].contains("one value is meant"));
    }
}
