//! Guards of the producer: what asks for a person before it may go out, and what can never be meant.
//!
//! [`delta`] finds a document that lost or gained too much, [`Lately`] too many zones that change at once, [`Selection`] an
//! empty filter; [`allowed_shift`] says how many verdicts a change may change. All are pure; what they say goes into [`crate::plan::Target::asks`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use seawall_model::Document;
use seawall_model::document::{RuleAction, Zone, ZoneSettings};
#[cfg(feature = "unsafe-drills")]
use seawall_model::safeguard::{Safeguard, is_off};
use seawall_model::tempo::{Share, Tempo};

use crate::plan::{ALLOWED_SHIFT, ALLOWED_SHIFT_OF_RULES};
use crate::version;

/// By how much a part may shrink or grow without a person.
const DELTA: Share = Share::percent(20);
/// Changes of a part by fewer rows and bytes than these ask nobody: the fourth of three rules is a third more.
const FEW_ROWS: u64 = 10;
const FEW_BYTES: u64 = 4 << 10;
/// The most zones that may change within [`Tempo::MASS_WINDOW`].
const MASS: Share = Share::percent(5);
/// Below so many zones the breaker never trips.
const FEW_ZONES: usize = 20;

/// How much a part of a document holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Networks and what else lists hold, rules, origins, hosts; of a zone's text its entries.
    pub rows: u64,
    /// Lines of their text. They count where it shrinks alone: a rule that comes takes several, and is one.
    pub lines: u64,
    /// Bytes of their text.
    pub bytes: u64,
}

impl Measure {
    /// Of rows that stand in a line each.
    pub const fn of_rows(rows: u64, bytes: u64) -> Self {
        Self {
            rows,
            lines: rows,
            bytes,
        }
    }
}

/// What each part of a document holds, by the part's path.
pub type Measures = BTreeMap<String, Measure>;

/// Measures a document, or the part of it that is a chain's. What lists take from files is not in it: who has read the files adds
/// that under `lists.NAME.file`.
pub fn measure(document: &Document) -> Measures {
    let mut parts = Measures::new();
    measure_lists(document, &mut parts);
    for zone in &document.zones {
        let name = &zone.name;
        let hosts = zone.hosts.iter().map(ToString::to_string);
        parts.insert(format!("zone {name}: hosts"), of_lines(hosts));
        let rules = zone.rules.iter().map(|rule| &rule.when);
        parts.insert(format!("zone {name}: rules"), of_lines(rules));
        let origins = zone.origins.iter().map(|origin| origin.url.to_string());
        parts.insert(format!("zone {name}: origins"), of_lines(origins));
        let whole = Measure {
            rows: zone.entry_count(),
            ..of_lines(version::zone_text(zone).lines())
        };
        parts.insert(format!("zone {name}"), whole);
    }
    parts
}

/// Each kind has a path of its own: a list that becomes one of another kind is empty of what it was.
fn measure_lists(document: &Document, parts: &mut Measures) {
    for (name, list) in &document.lists {
        let networks = list.ips.iter().map(ToString::to_string);
        parts.insert(format!("lists.{name}"), of_lines(networks));
        if let Some(texts) = &list.texts {
            parts.insert(format!("lists.{name}.texts"), of_lines(texts));
        }
        if let Some(numbers) = &list.numbers {
            let numbers = numbers.iter().map(ToString::to_string);
            parts.insert(format!("lists.{name}.numbers"), of_lines(numbers));
        }
        if let Some(hosts) = &list.hosts {
            let hosts = hosts.iter().map(ToString::to_string);
            parts.insert(format!("lists.{name}.hosts"), of_lines(hosts));
        }
    }
}

fn of_lines<T: AsRef<str>>(lines: impl IntoIterator<Item = T>) -> Measure {
    let (mut rows, mut bytes) = (0, 0);
    for line in lines {
        rows += 1;
        bytes += line.as_ref().len() as u64;
    }
    Measure::of_rows(rows, bytes)
}

/// Why a person is asked, for each part that shrinks or grows by more than 20 % of its rows or bytes, shrinks by as much of its
/// lines, or becomes empty. A part that is new asks nobody.
pub fn delta(old: &Measures, new: &Measures) -> Vec<String> {
    #[cfg(feature = "unsafe-drills")]
    if is_off(Safeguard::Delta) {
        return Vec::new();
    }
    let mut asks = Vec::new();
    for (path, was) in old {
        let is = new.get(path).copied().unwrap_or_default();
        if was.rows > 0 && is.rows == 0 {
            asks.push(format!("{path} goes from {} entries to none", was.rows));
        } else if moves(was.rows, is.rows, FEW_ROWS) {
            asks.push(format!(
                "{path} goes from {} to {} entries, more than {DELTA}",
                was.rows, is.rows
            ));
        } else if is.lines < was.lines && moves(was.lines, is.lines, FEW_ROWS) {
            asks.push(format!(
                "{path} goes from {} to {} lines, more than {DELTA}",
                was.lines, is.lines
            ));
        } else if moves(was.bytes, is.bytes, FEW_BYTES) {
            asks.push(format!(
                "{path} goes from {} to {} bytes, more than {DELTA}",
                was.bytes, is.bytes
            ));
        }
    }
    asks
}

fn moves(was: u64, is: u64, few: u64) -> bool {
    let by = was.abs_diff(is);
    let allowed = u128::from(was) * u128::from(DELTA.parts());
    was > 0 && by >= few && u128::from(by) * u128::from(Share::ALL.parts()) > allowed
}

/// How many verdicts a document may change that comes in place of another: more where anything differs that may judge a
/// request. What is not known here not to judge, judges.
pub fn allowed_shift(old: &Document, new: &Document) -> Share {
    let zones = |document: &Document| document.zones.iter().map(judging).collect::<Vec<_>>();
    // Of the platform: lists, switches, and who says which address a client has.
    let edge = |document: &Document| {
        (
            document.edge.kill.clone(),
            document.edge.trusted_proxies.clone(),
            document.edge.proxy_protocol,
        )
    };
    let same = old.lists == new.lists && edge(old) == edge(new) && zones(old) == zones(new);
    if same {
        ALLOWED_SHIFT
    } else {
        ALLOWED_SHIFT_OF_RULES
    }
}

/// Whether nothing differs between two documents of one zone but where its requests go behind the edge: its origins, and what its rules
/// rewrite. Then whatever the one lets through the other does, and answers from there can be compared.
pub fn routes_only(old: &Document, new: &Document) -> bool {
    let without = |document: &Document| -> Vec<Zone> {
        let zones = document.zones.iter().cloned();
        zones
            .map(|mut zone| {
                zone.origins.clear();
                let rules = &mut zone.settings_mut().rules;
                rules.retain(|rule| !matches!(rule.action, RuleAction::Rewrite { .. }));
                zone
            })
            .collect()
    };
    !new.zones.is_empty() && old.lists == new.lists && without(old) == without(new)
}

/// Why a person is asked where a change puts a zone into maintenance: that refuses everybody, and is meant.
pub fn closes(old: &Document, new: &Document) -> Option<String> {
    let zone = new.zones.iter().find(|zone| zone.maintenance.enabled)?;
    let was = |one: &Zone| one.name == zone.name && one.maintenance.enabled;
    if old.zones.iter().any(was) {
        return None;
    }
    let whom = match zone.maintenance.allow.is_empty() {
        true => "everybody",
        false => "everybody who is not in `allow`",
    };
    Some(format!(
        "it puts {} into maintenance: {whom} gets 503 in place of the site, until another change ends it",
        zone.name
    ))
}

/// Whether a change does nothing but end the maintenance of its zone. It asks nobody, however often it is done and of however many zones.
pub fn only_opens(old: &Document, new: &Document) -> bool {
    let ends = |(old, new): (&Zone, &Zone)| {
        let mut opened = old.clone();
        opened.settings_mut().maintenance = new.maintenance.clone();
        old.maintenance.enabled && !new.maintenance.enabled && opened == *new
    };
    let is_same = old.zones.len() == new.zones.len() && old.lists == new.lists;
    is_same && !new.zones.is_empty() && old.zones.iter().zip(&new.zones).all(ends)
}

/// A zone without what says only how requests are carried.
fn judging(zone: &Zone) -> Zone {
    let none = ZoneSettings::default();
    Zone {
        origins: Vec::new(),
        settings: Arc::new(ZoneSettings {
            health: none.health,
            passive: none.passive,
            balance: none.balance,
            outlier: none.outlier,
            circuit: none.circuit,
            timeouts: none.timeouts,
            retry: none.retry,
            compress: none.compress,
            tls: none.tls,
            hsts: none.hsts,
            response_headers: none.response_headers,
            ..ZoneSettings::clone(&zone.settings)
        }),
        ..zone.clone()
    }
}

/// Zones that changed of late. The breaker of [`Lately::mass_change`] counts them.
#[derive(Debug, Default)]
pub struct Lately {
    at: HashMap<String, u64>,
    in_time: BTreeSet<(u64, String)>,
}

impl Lately {
    /// A zone that was there before has changed, at so many seconds of Unix time. New zones harm nobody and are not told; one that
    /// changes twice counts once, from the second time.
    pub fn changed(&mut self, zone: &str, at: u64) {
        if let Some(before) = self.at.insert(zone.to_owned(), at) {
            self.in_time.remove(&(before, zone.to_owned()));
        }
        self.in_time.insert((at, zone.to_owned()));
    }

    /// Why rollouts of zones wait for a person: more than 5 % of all zones changed within 10 minutes.
    pub fn mass_change(&mut self, zones: usize, now: u64, tempo: Tempo) -> Option<String> {
        #[cfg(feature = "unsafe-drills")]
        if is_off(Safeguard::Mass) {
            return None;
        }
        let window = tempo.scaled(Tempo::MASS_WINDOW).as_secs().max(1);
        while let Some((at, zone)) = self.in_time.first()
            && at.saturating_add(window) <= now
        {
            self.at.remove(zone);
            self.in_time.pop_first();
        }
        let changed = self.at.len();
        let is_mass = changed as u128 * u128::from(Share::ALL.parts())
            > zones as u128 * u128::from(MASS.parts());
        (zones >= FEW_ZONES && is_mass).then(|| {
            format!("{changed} of {zones} zones change within {window} s, more than {MASS}: is that one change too many?")
        })
    }
}

/// What an operation is about: those that were named, or explicitly all. An empty list of names is neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// These; at least one, and none of them empty.
    These(BTreeSet<String>),
    /// All, because somebody said so.
    Everything,
}

/// A filter that says nothing, or two things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSelection {
    /// No name, and not everything either.
    #[error("nothing is named: name what is meant, or say explicitly that it is everything")]
    Nothing,
    /// A name without a character: often a variable that was not set.
    #[error("one of the names is empty: leave it out, or write what is meant")]
    EmptyName,
    /// Names, and everything.
    #[error("names and everything at once: choose one")]
    Both,
}

impl Selection {
    /// Reads a filter: names, or everything.
    ///
    /// # Errors
    /// An empty filter never means all.
    pub fn new(
        names: impl IntoIterator<Item = String>,
        everything: bool,
    ) -> Result<Self, NoSelection> {
        let names: BTreeSet<String> = names.into_iter().collect();
        if names.iter().any(|name| name.trim().is_empty()) {
            return Err(NoSelection::EmptyName);
        }
        match (names.is_empty(), everything) {
            (true, true) => Ok(Self::Everything),
            (true, false) => Err(NoSelection::Nothing),
            (false, true) => Err(NoSelection::Both),
            (false, false) => Ok(Self::These(names)),
        }
    }

    /// Whether this name is meant.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::These(names) => names.contains(name),
            Self::Everything => true,
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::These(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                f.write_str(&names.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use seawall_model::{Limits, document};

    use super::*;

    fn one(rows: u64, bytes: u64) -> Measures {
        Measures::from([("lists.bad".to_owned(), Measure::of_rows(rows, bytes))])
    }

    #[test]
    fn what_shrinks_grows_or_empties_asks_a_person() {
        let asks =
            |was: (u64, u64), is: (u64, u64)| delta(&one(was.0, was.1), &one(is.0, is.1)).len();
        for (was, is, expected) in [
            ((1_000, 9_000), (1_200, 10_800), 0),
            ((1_000, 9_000), (1_201, 10_809), 1),
            ((1_000, 9_000), (799, 7_200), 1),
            ((1_000, 9_000), (2_000, 18_000), 1), // the feature file of 2025-11-18
            ((1_000, 9_000), (0, 0), 1),
            ((1, 9), (0, 0), 1),
            ((3, 100), (4, 140), 0),
            ((3, 100), (12, 400), 0),
            ((3, 100), (13, 400), 1),
            ((10, 20_000), (10, 25_000), 1),
            ((0, 0), (1_000, 9_000), 0),
            ((u64::MAX, u64::MAX), (u64::MAX, u64::MAX), 0),
        ] {
            assert_eq!(asks(was, is), expected, "{was:?} to {is:?}");
        }
        assert_eq!(
            delta(&one(5, 50), &Measures::new()).len(),
            1,
            "a list that goes"
        );
        assert_eq!(
            delta(&Measures::new(), &one(5, 50)).len(),
            0,
            "a list that comes"
        );
    }

    #[test]
    fn a_document_is_measured_part_by_part() {
        let text = "schema = 1\n[lists.bad]\nips = [\"203.0.113.0/24\", \"2001:db8::/32\"]\n[[zone]]\nname = \"a\"\nhosts = [\"a.test\"]\norigin = [{ url = \"http://127.0.0.1:1\" }]\n[[zone.rule]]\nwhen = 'http.host eq \"a.test\"'\naction = \"block\"\n";
        let document = document::parse(text, &Limits::default()).expect("a good document");
        let parts = measure(&document);
        let rows: Vec<_> = parts
            .iter()
            .map(|(path, part)| (path.as_str(), part.rows))
            .collect();
        let expected = [
            ("lists.bad", 2),
            ("zone a", 4),
            ("zone a: hosts", 1),
            ("zone a: origins", 1),
            ("zone a: rules", 1),
        ];
        assert_eq!(rows, expected);
        assert_eq!(delta(&parts, &parts), Vec::<String>::new());
        let mut carried = document.clone();
        carried.zones[0].origins.clear();
        carried.zones[0].settings_mut().timeouts.connect *= 2;
        assert_eq!(allowed_shift(&document, &carried), ALLOWED_SHIFT);
        carried.zones[0].settings_mut().rules.clear();
        assert_eq!(allowed_shift(&document, &carried), ALLOWED_SHIFT_OF_RULES);
        let mut emptied = document.clone();
        emptied.lists.values_mut().for_each(|list| list.ips.clear());
        let asks = delta(&parts, &measure(&emptied));
        assert_eq!(allowed_shift(&document, &emptied), ALLOWED_SHIFT_OF_RULES);
        assert_eq!(asks, ["lists.bad goes from 2 entries to none"]);
    }

    #[test]
    fn a_small_zone_gets_some_rules_and_loses_none_unasked() {
        let asks = |section: &str, was: usize, is: usize| {
            let measured = |sections: usize| {
                let more = match section {
                    "rule" => "action = \"block\"",
                    _ => "requests = 3\nper = \"1h\"",
                };
                let each = |nth: usize| {
                    let when = format!("when = 'http.request.uri.path eq \"/{nth}\"'");
                    format!("[[zone.{section}]]\nname = \"n{nth}\"\n{when}\n{more}\n")
                };
                let sections: String = (0..sections).map(each).collect();
                let text = format!(
                    "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"a.test\"]\norigin = [{{ url = \"http://127.0.0.1:1\" }}]\n{sections}"
                );
                measure(&document::parse(&text, &Limits::default()).expect("a good document"))
            };
            delta(&measured(was), &measured(is))
        };
        for (was, is, expected) in [
            (0, 2, 0), // six lines become sixteen
            (0, 9, 0),
            (0, 10, 1),
            (6, 8, 0),
            (6, 15, 0),
            (6, 16, 2),
            (60, 120, 2), // the feature file of 2025-11-18
            (6, 4, 1),
            (6, 0, 2),
            (1, 0, 1),
        ] {
            let told = asks("rule", was, is);
            assert_eq!(told.len(), expected, "{was} to {is}: {told:?}");
        }
        let few = asks("rate_limit", 0, 2);
        assert_eq!(few, Vec::<String>::new());
        let doubled = asks("rate_limit", 60, 120);
        let told = "zone a goes from 63 to 123 entries, more than 20 %";
        assert_eq!(doubled, [told]);
        let fewer = asks("rate_limit", 6, 4);
        assert_eq!(fewer, ["zone a goes from 42 to 30 lines, more than 20 %"]);
    }

    #[test]
    fn lists_of_every_kind_are_measured() {
        let asks = |was: &str, is: &str| {
            let measured = |list: &str| {
                let text = format!("schema = 1\n[lists.l]\n{list}\n");
                measure(&document::parse(&text, &Limits::default()).expect("a good document"))
            };
            delta(&measured(was), &measured(is))
        };
        for (kind, made) in [("texts", "t"), ("numbers", "AS"), ("hosts", "h.test")] {
            let of = |rows: usize| {
                let row = |nth: usize| match kind {
                    "hosts" => format!("\"{nth}.{made}\""),
                    _ => format!("\"{made}{nth}\""),
                };
                let rows: Vec<String> = (1..=rows).map(row).collect();
                format!("{kind} = [{}]", rows.join(", "))
            };
            let told =
                |was: &str, is: &str| vec![format!("lists.l.{kind} goes from {was} to {is}")];
            let doubled = asks(&of(60), &of(120));
            assert_eq!(doubled, told("60", "120 entries, more than 20 %"));
            assert_eq!(asks(&of(60), &of(0)), told("60 entries", "none"));
            let other = asks(&of(60), "ips = [\"192.0.2.1\"]");
            assert_eq!(other, told("60 entries", "none"));
            assert_eq!(asks(&of(60), &of(66)), Vec::<String>::new());
        }
    }

    #[test]
    fn maintenance_asks_a_person_and_its_end_does_not() {
        let zone = |more: &str| {
            let text = format!(
                "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"a.test\"]\norigin = [{{ url = \"http://127.0.0.1:1\" }}]\n{more}"
            );
            document::parse(&text, &Limits::default()).expect("a good document")
        };
        let open = zone("");
        let shut = zone("maintenance = { enabled = true }");
        let mine = zone("maintenance = { enabled = true, allow = [\"192.0.2.1\"] }");
        let told = closes(&open, &shut).expect("it asks");
        assert!(told.contains("everybody gets 503"), "{told}");
        let told = closes(&open, &mine).expect("it asks");
        assert!(told.contains("not in `allow` gets 503"), "{told}");
        for (old, new) in [
            (&shut, &open),
            (&shut, &mine),
            (&mine, &shut),
            (&open, &open),
        ] {
            assert_eq!(closes(old, new), None);
        }
        assert!(only_opens(&shut, &open) && only_opens(&mine, &open));
        assert!(!only_opens(&open, &shut) && !only_opens(&shut, &mine));
        let more = zone("websocket = false");
        assert!(!only_opens(&shut, &more), "that is more than ending it");
    }

    #[test]
    fn where_requests_go_is_told_from_all_else() {
        let zone = |origin: &str, more: &str| {
            let text = format!(
                "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"a.test\"]\norigin = [{{ url = \"{origin}\" }}]\n{more}"
            );
            document::parse(&text, &Limits::default()).expect("a good document")
        };
        let (here, there) = ("http://127.0.0.1:1", "http://127.0.0.1:2");
        let rule =
            |action: &str| format!("[[zone.rule]]\nwhen = 'http.host eq \"a.test\"'\n{action}\n");
        let before = zone(here, "");
        assert!(routes_only(&before, &zone(there, "")));
        let rewrites = rule("action = \"rewrite\"\nadd_prefix = \"/v2\"");
        assert!(routes_only(&before, &zone(here, &rewrites)));
        let blocks = rule("action = \"block\"");
        assert!(!routes_only(&before, &zone(here, &blocks)));
        assert!(!routes_only(&zone(here, &blocks), &zone(here, &rewrites)));
        assert!(!routes_only(&before, &zone(there, "redirect_https = true")));
    }

    #[test]
    fn many_zones_at_once_ask_a_person() {
        let names: Vec<String> = (0..100).map(|nth| format!("z{nth}")).collect();
        let told = |zones: usize, changed: &[(u64, &str)], tempo: Tempo| {
            let mut lately = Lately::default();
            changed
                .iter()
                .for_each(|(at, zone)| lately.changed(zone, *at));
            lately.mass_change(zones, 1_000_000, tempo)
        };
        let tripped = |zones: usize, changed: usize, ago: u64| {
            let changed = names.iter().take(changed);
            let changed: Vec<_> = changed.map(|name| (1_000_000 - ago, &**name)).collect();
            told(zones, &changed, Tempo::default()).is_some()
        };
        assert!(!tripped(100, 5, 0), "5 % is allowed");
        assert!(tripped(100, 6, 0));
        assert!(tripped(100, 6, 599));
        assert!(!tripped(100, 100, 600), "it was long ago");
        assert!(
            !tripped(19, 19, 0),
            "a small site may change all of its zones"
        );
        assert!(tripped(20, 2, 0));
        let twice = [(999_000, "z1"), (1_000_000, "z1"), (999_999, "z2")].repeat(20);
        let twice = told(20, &twice, Tempo::default());
        assert!(twice.is_some_and(|why| why.starts_with("2 of 20 zones")));
        let few = [(1_000_000, "z1"); 50];
        let few = told(100, &few, Tempo::default());
        assert_eq!(few, None, "one zone, many times");
        let all: Vec<_> = names.iter().map(|name| (999_980, &**name)).collect();
        let fast = told(100, &all, Tempo::faster(60));
        assert_eq!(fast, None, "the window is scaled too");
    }

    #[test]
    fn an_empty_filter_never_means_all() {
        let new = |names: &[&str], everything| {
            Selection::new(names.iter().map(ToString::to_string), everything)
        };
        assert_eq!(new(&[], false), Err(NoSelection::Nothing));
        assert_eq!(new(&[""], false), Err(NoSelection::EmptyName));
        assert_eq!(new(&["a", " "], true), Err(NoSelection::EmptyName));
        assert_eq!(new(&["a"], true), Err(NoSelection::Both));
        let all = new(&[], true).expect("said so");
        let some = new(&["a", "b"], false).expect("named");
        assert!(all.has("c") && some.has("a") && !some.has("c") && !some.has(""));
        assert_eq!(
            (all.to_string(), some.to_string()),
            ("everything".into(), "a, b".into())
        );
    }
}
