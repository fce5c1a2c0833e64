//! Locations that are silent, ill, or without something that is live, by what control tells of itself: it is asked for nothing more.

use serde_json::Value;

use super::{age, is, list, number, text};

/// So many are named.
const NAMED: usize = 20;

/// Those that are not drained and do not serve as they should, as far as control knows.
#[derive(Default)]
pub struct Locations {
    /// How many there are of any kind.
    all: usize,
    silent: Vec<String>,
    ill: Vec<String>,
    lacking: Vec<String>,
}

impl Locations {
    /// Of what control tells.
    pub fn of(control: &Value) -> Self {
        let mut known = Self::default();
        for place in list(control, "/locations") {
            known.all += 1;
            let name = text(place, "/name").unwrap_or_default();
            // Nobody waits for one that was drained. What this machine's edge says of itself is told already.
            if is(place, "/drained") {
                continue;
            }
            if is(place, "/silent") {
                known.silent.push(silent(name, number(place, "/age_ms")));
            } else if is(place, "/joined") && place.pointer("/ready") == Some(&false.into()) {
                known.ill.push(name.to_owned());
            }
            let mut lacks = list(place, "/lacks").filter_map(Value::as_str);
            if let Some(first) = lacks.next() {
                let more = match lacks.count() {
                    0 => String::new(),
                    more => format!("; and {more} more"),
                };
                known.lacking.push(format!("{name} ({first}{more})"));
            }
        }
        known
    }

    fn kinds(&self) -> [(&'static str, &'static str, &[String]); 3] {
        [
            ("locations_silent", "silent", self.silent.as_slice()),
            ("locations_ill", "ill", self.ill.as_slice()),
            (
                "locations_lack",
                "do not serve all that is live",
                self.lacking.as_slice(),
            ),
        ]
    }

    /// The words for what is degraded.
    pub fn words(&self) -> Vec<&'static str> {
        let kinds = self.kinds().into_iter();
        kinds
            .filter_map(|(word, _, some)| (!some.is_empty()).then_some(word))
            .collect()
    }

    /// The same for people, by name.
    pub fn lines(&self) -> Vec<String> {
        let kinds = self.kinds().into_iter();
        kinds
            .filter(|(_, _, some)| !some.is_empty())
            .map(|(_, are, some)| {
                let named: Vec<&str> = some.iter().take(NAMED).map(String::as_str).collect();
                let more = match some.len().saturating_sub(NAMED) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let named = named.join(", ");
                format!("{} of {} {are}: {named}{more}", some.len(), self.all)
            })
            .collect()
    }
}

fn silent(name: &str, age_ms: Option<u64>) -> String {
    match age_ms {
        Some(ms) => format!("{name} ({})", age(Some(ms / 1_000))),
        None => format!("{name} (not heard of yet)"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place(name: &str, more: Value) -> Value {
        let mut place = json!({ "name": name, "joined": true, "age_ms": 1_000, "ready": true });
        for (key, value) in more.as_object().unwrap() {
            place[key] = value.clone();
        }
        place
    }

    #[test]
    fn the_silent_and_the_ill_are_told_and_the_drained_are_not() {
        let known = json!({ "locations": [
            place("ams", json!({ "silent": true, "age_ms": 35_900, "ready": false })),
            place("fra", json!({ "silent": true, "age_ms": null })),
            place("gru", json!({ "silent": true, "drained": true })),
            place("here", json!({ "joined": false, "ready": false })),
            place("lhr", json!({ "ready": false, "away": true })),
            place("nrt", json!({ "ready": null, "lacks": ["zone/a version 2: x", "zone/b version 1: y"] })),
        ] });
        let known = Locations::of(&known);
        let words = ["locations_silent", "locations_ill", "locations_lack"];
        assert_eq!(known.words(), words);
        let lines = [
            "2 of 6 silent: ams (35 s), fra (not heard of yet)",
            "1 of 6 ill: lhr",
            "1 of 6 do not serve all that is live: nrt (zone/a version 2: x; and 1 more)",
        ];
        assert_eq!(known.lines(), lines);
    }

    #[test]
    fn where_all_are_well_nothing_is_told_and_of_many_some_are_named() {
        let well = Locations::of(&json!({ "locations": [place("ams", json!({}))] }));
        assert!(well.words().is_empty() && well.lines().is_empty());
        // It says nothing, or is not there.
        assert!(Locations::of(&json!({ "trouble": "x" })).words().is_empty());
        let many: Vec<Value> = (0..30)
            .map(|nth| place(&format!("l{nth}"), json!({ "silent": true })))
            .collect();
        let lines = Locations::of(&json!({ "locations": many })).lines();
        assert!(lines[0].starts_with("30 of 30 silent: l0 (1 s), "));
        assert!(lines[0].ends_with("l19 (1 s) and 10 more"));
    }
}
