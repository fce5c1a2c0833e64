//! What the WAF found last, for people who ask the admin port: a few of many, with what matched marked and secrets masked.
//!
//! Memory and work are bounded: so many a zone as its document says, and not more than some a second. Not here: the Record, which every
//! request has and which names rules only.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use seawall_waf::{Match, Transaction};

use crate::states::ZoneId;

/// Events that a zone keeps in a second.
const EACH_SECOND: u32 = 10;
/// Zones that have some; a new one takes the place of the one that was silent longest.
const ZONES: usize = 1_000;
/// Matches of an event, and characters of a text.
const MATCHES: usize = 8;
const TEXT: usize = 300;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WafEvent {
    /// Seconds since 1970.
    pub time: u64,
    /// The zone's name.
    pub zone: Arc<str>,
    /// The client.
    pub client: IpAddr,
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// What was said: `rule`, `matched`, `response`, `shadow`.
    pub reason: &'static str,
    /// The status that the rules want to be answered with; 0 where they refuse nothing. What became of it is in the Record.
    pub status: u16,
    /// What matched, in the order of the rules.
    pub matches: Vec<WafMatch>,
}

/// What one rule matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WafMatch {
    /// The rule.
    pub rule: u64,
    /// Its severity, where it has one.
    pub severity: Option<&'static str>,
    /// Its message.
    pub message: String,
    /// Where: `ARGS:name`.
    pub variable: String,
    /// The value, what matched between `»` and `«`; of what may be a secret, stars.
    pub value: String,
}

#[derive(Debug, Default)]
struct OfZone {
    events: VecDeque<WafEvent>,
    second: u64,
    in_second: u32,
    left_out: u64,
}

/// Those of all zones.
#[derive(Debug, Default)]
pub struct WafEvents(Mutex<HashMap<ZoneId, OfZone>>);

impl WafMatch {
    pub(crate) fn of(found: &Match) -> Self {
        let cut = |text: &str| text.chars().take(TEXT).collect();
        Self {
            rule: found.id,
            severity: found.severity_name(),
            message: cut(&found.message),
            variable: cut(&found.variable),
            value: cut(&found.shown()),
        }
    }

    /// Of the first matches of a transaction; of what refused it, where no match is told.
    pub(crate) fn all(transaction: &Transaction<'_>) -> Vec<Self> {
        let refused = transaction.interrupted();
        let refused = refused.or_else(|| transaction.would_interrupt());
        Self::told(transaction.matches(), refused.map(|by| by.rule))
    }

    fn told(matches: &[Match], refused: Option<u64>) -> Vec<Self> {
        // Scores are told by the rules that made them, if these are told.
        let own = matches.iter().filter(|found| !is_score(&found.variable));
        let mut told: Vec<_> = own.take(MATCHES).map(Self::of).collect();
        if told.is_empty() {
            told.extend(matches.iter().take(MATCHES).map(Self::of));
        }
        if told.is_empty() {
            told.extend(refused.map(Self::silent));
        }
        told
    }

    /// Of a rule that refuses and logs nothing.
    fn silent(rule: u64) -> Self {
        Self {
            rule,
            severity: None,
            message: "the rule logs nothing of what it matched (nolog)".to_owned(),
            variable: String::new(),
            value: String::new(),
        }
    }
}

/// Whether a variable is a sum over rules: `TX:blocking_inbound_anomaly_score`.
fn is_score(variable: &str) -> bool {
    variable.starts_with("TX:") && variable.contains("anomaly_score")
}

impl WafEvents {
    /// Keeps an event, which is made only if it is to be kept.
    pub(crate) fn add(&self, zone: ZoneId, most: u16, now: u64, make: impl FnOnce() -> WafEvent) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ZONES && !all.contains_key(&zone) {
            let silent = all.iter().min_by_key(|(_, of)| of.second);
            if let Some(silent) = silent.map(|(zone, _)| *zone) {
                all.remove(&silent);
            }
        }
        let of = all.entry(zone).or_default();
        if of.second != now {
            (of.second, of.in_second) = (now, 0);
        }
        of.in_second += 1;
        if of.in_second > EACH_SECOND {
            of.left_out += 1;
            return;
        }
        while of.events.len() >= usize::from(most.max(1)) {
            of.events.pop_front();
        }
        of.events.push_back(make());
    }

    /// Those of a zone by its name, or of all, the last first; and how many were left out.
    pub fn last(&self, zone: Option<&str>, most: usize) -> (Vec<WafEvent>, u64) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut events, mut left_out) = (Vec::new(), 0);
        for of in all.values() {
            let is_it = |event: &WafEvent| zone.is_none_or(|zone| *event.zone == *zone);
            if of.events.iter().any(is_it) {
                left_out += of.left_out;
                let newest_first = of.events.iter().rev();
                events.extend(newest_first.filter(|event| is_it(event)).cloned());
            }
        }
        // Stable: within a second they stay as they are.
        events.sort_by_key(|event| std::cmp::Reverse(event.time));
        events.truncate(most);
        (events, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(time: u64) -> WafEvent {
        WafEvent {
            time,
            zone: "a.test".into(),
            client: "192.0.2.1".parse().unwrap(),
            method: "GET".into(),
            path: "/".into(),
            reason: "rule",
            status: 403,
            matches: Vec::new(),
        }
    }

    fn found(id: u64, variable: &str) -> Match {
        Match {
            id,
            phase: 2,
            message: "m".into(),
            data: String::new(),
            severity: 2,
            tags: Vec::new(),
            variable: variable.into(),
            value: b"v".to_vec(),
            piece: None,
            secret: false,
            audit: false,
        }
    }

    #[test]
    fn an_event_tells_why() {
        let rules = |matches: &[Match], refused| -> Vec<u64> {
            let told = WafMatch::told(matches, refused);
            told.iter().map(|told| told.rule).collect()
        };
        let own = found(920_440, "TX:extension");
        let score = found(949_110, "TX:blocking_inbound_anomaly_score");
        let both = [own, score.clone()];
        assert_eq!(rules(&both, Some(949_110)), [920_440]);
        assert_eq!(rules(&[score], Some(949_110)), [949_110]);
        assert_eq!(rules(&[], Some(7)), [7]);
        assert!(rules(&[], None).is_empty());
    }

    #[test]
    fn the_last_are_kept_and_not_too_many_in_a_second() {
        let events = WafEvents::default();
        for time in 0..5 {
            events.add(ZoneId(1), 3, time, || event(time));
        }
        let (kept, left_out) = events.last(Some("a.test"), 10);
        let times: Vec<_> = kept.iter().map(|event| event.time).collect();
        assert_eq!((times, left_out), (vec![4, 3, 2], 0));
        for _ in 0..25 {
            events.add(ZoneId(1), 100, 9, || event(9));
        }
        let (kept, left_out) = events.last(None, 100);
        assert_eq!((kept.len(), left_out), (13, 15));
        assert_eq!(events.last(Some("b.test"), 10), (Vec::new(), 0));
        for path in ["/old", "/new"] {
            events.add(ZoneId(1), 100, 10, || WafEvent {
                path: path.into(),
                ..event(10)
            });
        }
        let paths = |most| -> Vec<String> {
            let (kept, _) = events.last(Some("a.test"), most);
            kept.into_iter().map(|event| event.path).collect()
        };
        assert_eq!(paths(3), ["/new", "/old", "/"]);
        assert_eq!(paths(1), ["/new"]);
        for zone in 0..2 * ZONES as u64 {
            events.add(ZoneId(zone + 2), 1, 10 + zone, || event(10 + zone));
        }
        assert_eq!(events.last(None, usize::MAX).0.len(), ZONES);
    }
}
