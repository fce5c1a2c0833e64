//! Many zones: one change after the other makes what a whole compile makes, and costs nobody but the zone that changes.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are no production code"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use seawall_model::document::{self, Parsed};
use seawall_model::{Limits, Problems};
use seawall_net::tls::config::self_signed;
use seawall_proxy::WORDS;
use seawall_proxy::compile::{Change, Changed, Sources, change, compile};
use seawall_proxy::materials::Materials;
use seawall_proxy::snapshot::Snapshot;
use seawall_proxy::stages::STAGES;
use seawall_proxy::state::State;
use seawall_proxy::trial::{Live, Trial, Trials};
use seawall_telemetry::{BuildInfo, Registry};

const ZONES: usize = 20_000;

struct Bench {
    state: State,
    limits: Limits,
    pem: (String, String),
}

impl Bench {
    fn new(pem: &(String, String)) -> Self {
        let build = BuildInfo {
            version: "0",
            commit: "",
        };
        Self {
            state: State::new(Registry::new(&WORDS, build), STAGES),
            limits: Limits::default(),
            pem: pem.clone(),
        }
    }

    fn parse(&self, zones: &BTreeMap<usize, String>) -> Parsed {
        let zones: String = zones.values().map(String::as_str).collect();
        let text = format!("schema = 1\n[lists.office]\nips = [\"192.0.2.0/24\"]\n{zones}");
        document::parse_zones(&text, &self.limits)
    }

    fn whole(&self, zones: &BTreeMap<usize, String>) -> Snapshot {
        let parsed = self.parse(zones);
        let materials = Materials::load(&parsed.document, Path::new("."), Some(self.pem.clone()));
        let sources = Sources::new(&parsed, &materials);
        let compiled = compile(&sources, &self.limits, &self.state, None);
        assert_eq!(parsed.problems, None);
        assert_eq!(compiled.problems, Problems::default());
        compiled.snapshot.unwrap()
    }

    fn put(&self, live: &Snapshot, zone: &str) -> Result<Changed, Problems> {
        let changed = self.compiled(live, zone)?;
        let name = changed.after.as_ref().unwrap().name.to_string();
        self.settle(live, &changed, &name);
        Ok(changed)
    }

    fn compiled(&self, live: &Snapshot, zone: &str) -> Result<Changed, Problems> {
        let alone = self.parse(&BTreeMap::from([(0, zone.to_owned())]));
        assert_eq!(alone.problems, None);
        let pem = Some(self.pem.clone());
        let materials = Materials::load(&alone.document, Path::new("."), pem);
        let put = Change::Put(alone.document.zones.first().unwrap(), &materials);
        change(live, put, &self.limits, &self.state)
    }

    fn settle(&self, live: &Snapshot, changed: &Changed, name: &str) {
        let of = |snapshot: &Snapshot| Live::from(Arc::new(snapshot.clone()));
        let (before, after) = (of(live), of(&changed.snapshot));
        self.state.settle_zones(&before, &after, [name]);
    }

    fn remove(&self, live: &Snapshot, name: &str) -> Result<Changed, Problems> {
        let changed = change(live, Change::Remove(name), &self.limits, &self.state)?;
        self.settle(live, &changed, name);
        Ok(changed)
    }
}

fn zone(nth: usize, more: &str) -> String {
    format!(
        "[[zone]]\nname = \"z{nth}\"\nhosts = [\"z{nth}.test\", \"*.z{nth}.test\"]\n\
         origin = [{{ url = \"http://10.1.2.3:8080\" }}]\n{more}"
    )
}

/// What a client would meet, of every zone.
fn look(snapshot: &Snapshot) -> BTreeMap<String, (String, u64, Option<String>, Option<String>)> {
    let found = |host: String| {
        let zone = snapshot.zone(host.as_bytes());
        zone.map(|zone| zone.name.to_string())
    };
    let all = snapshot.zones.iter().map(|zone| {
        let hosts = (
            found(format!("{}.test", zone.name)),
            found(format!("w.{}.test", zone.name)),
        );
        let value = (zone.version.to_string(), zone.content, hosts.0, hosts.1);
        (zone.name.to_string(), value)
    });
    all.collect()
}

#[test]
fn one_change_after_the_other_makes_what_a_whole_compile_makes() {
    let pem = self_signed(vec!["localhost".into()]).unwrap();
    let bench = Bench::new(&pem);
    let mut zones: BTreeMap<usize, String> = (0..ZONES).map(|nth| (nth, zone(nth, ""))).collect();
    let first = Arc::new(bench.whole(&zones));
    bench.state.settle(&Live::from(first.clone()), &[]);
    let mut live = first.clone();
    let changes = [
        "websocket = false\n",
        "[zone.lists]\nblock = [\"office\"]\n",
        "[[zone.rule]]\nwhen = 'http.host matches \"^a.*z$\"'\naction = \"block\"\n",
        "tls = { min_version = \"1.3\" }\nhealth = { }\n",
        "",
    ];
    for (step, nth) in (0..400).map(|step| (step, step * 7_919 % (ZONES + 100))) {
        let changed = if step % 3 == 2 && nth > 0 && zones.remove(&nth).is_some() {
            bench.remove(&live, &format!("z{nth}")).unwrap()
        } else {
            let text = zone(nth, changes[step % changes.len()]);
            let changed = bench.put(&live, &text).unwrap();
            zones.insert(nth, text);
            changed
        };
        live = Arc::new(changed.snapshot);
    }
    let other = Bench::new(&pem);
    let whole = other.whole(&zones);
    assert_eq!(look(&live), look(&whole));
    assert_eq!(
        (&live.version, live.platform),
        (&whole.version, whole.platform)
    );
    assert_eq!(live.zones.counts(), whole.zones.counts());
    assert_eq!(live.zones.watched().len(), whole.zones.watched().len());
    assert_eq!(live.patterns.work(), whole.patterns.work());
    assert!(live.patterns.work() > 0);
    // The ids of those that were never taken out are what they were, and so are all zones that did not change.
    let same = live.zones.iter().filter(|zone| {
        let before = first.zones.named(&zone.name);
        before.is_some_and(|before| Arc::ptr_eq(before, zone))
    });
    assert!(same.count() >= ZONES - 400);
    // What was live is as it was.
    assert_eq!(
        look(&first),
        look(&other.whole(&(0..ZONES).map(|nth| (nth, zone(nth, ""))).collect()))
    );
}

#[test]
fn a_change_is_refused_for_what_a_whole_compile_refuses() {
    let pem = self_signed(vec!["localhost".into()]).unwrap();
    let mut bench = Bench::new(&pem);
    bench.limits.zones = 3;
    let zones = (0..3).map(|nth| (nth, zone(nth, ""))).collect();
    let live = bench.whole(&zones);
    bench.state.settle(&Live::from(live.clone()), &[]);
    let refused = |text: &str| bench.put(&live, text).unwrap_err().to_string();
    let taken = zone(1, "").replace("\"*.z1.test\"", "\"z2.test\", \"*.z1.test\"");
    assert!(refused(&taken).contains("zone[0].hosts[1]: \"z2.test\" is also one of zone z2"));
    assert!(refused(&zone(3, "")).contains("has 4 entries (at most 3)"));
    let wrong = zone(
        1,
        "[[zone.rule]]\nwhen = 'http.hostt'\naction = \"block\"\n",
    );
    assert!(refused(&wrong).contains("zone[0].rule[0]"));
    let no_file = zone(
        1,
        "tls = { certificate = { cert = \"no.pem\", key = \"no.key\" } }\n",
    );
    assert!(refused(&no_file).contains("zone[0].tls.certificate"));
    assert!(
        bench
            .remove(&live, "z9")
            .unwrap_err()
            .to_string()
            .contains("is no zone")
    );
    // What was refused left nothing behind.
    assert_eq!(bench.state.zone_ids.get("z3"), None);
    let id = live.zones.named("z1").unwrap().id;
    let one = bench.remove(&live, "z1").unwrap().snapshot;
    assert_eq!(bench.state.zone_ids.get("z1"), None);
    assert!(one.zone(b"z1.test").is_none() && one.zone(b"x.z1.test").is_none());
    let back = bench.put(&one, &zone(1, "")).unwrap().snapshot;
    assert_ne!(
        back.zone(b"z1.test").unwrap().id,
        id,
        "another zone of the same name"
    );
    let two = bench.remove(&one, "z2").unwrap().snapshot;
    let none = bench.remove(&two, "z0").unwrap().snapshot;
    assert!(none.zones.is_empty() && none.zone(b"z0.test").is_none());
}

/// The names of certificates that this wants, looked at as a whole.
fn wanted(live: &Live) -> BTreeSet<String> {
    let zones = live.serving_zones().filter(|zone| zone.acme);
    let hosts = zones.flat_map(|zone| zone.hosts.iter());
    hosts.map(ToString::to_string).collect()
}

#[test]
fn what_zones_on_trial_and_changed_ones_want_is_known_without_looking_at_the_others() {
    let pem = self_signed(vec!["localhost".into()]).unwrap();
    let bench = Bench::new(&pem);
    let acme = "tls = { certificate = \"acme\" }\n";
    let own = |nth: usize, host: usize, more: &str| {
        zone(nth, more).replace(
            &format!("[\"z{nth}.test\", \"*.z{nth}.test\"]"),
            &format!("[\"z{host}.test\"]"),
        )
    };
    let zones = (0..6).map(|nth| (nth, own(nth, nth, [acme, ""][nth % 2])));
    let mut live = Live::from(Arc::new(bench.whole(&zones.collect())));
    bench.state.settle(&live, &[]);
    assert_eq!(wanted(&live).len(), 3);
    let mut number = 11u64;
    let mut next = |most: usize| {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (number >> 33) as usize % most
    };
    for step in 0..400 {
        let nth = next(8);
        let text = own(nth, next(8), [acme, ""][next(2)]);
        let name = format!("z{nth}");
        let mut snapshot = live.snapshot.clone();
        let mut changed_names = Vec::new();
        if next(3) > 0 {
            let changed = match next(5) {
                0 => change(&live, Change::Remove(&name), &bench.limits, &bench.state),
                _ => bench.compiled(&live, &text),
            };
            if let Ok(changed) = changed {
                snapshot = Arc::new(changed.snapshot);
                changed_names.push(name);
            }
        }
        // On trial beside it: another zone, or none, or that it goes.
        let on = next(8);
        let trial = match next(3) {
            0 => None,
            _ => bench.compiled(&snapshot, &own(on, next(8), acme)).ok(),
        };
        let trials = trial.and_then(|trial| {
            let after = trial.after?;
            let one = Trial {
                share: 500,
                salt: 1,
                arms: Arc::default(),
                zone: Some(after.clone()),
            };
            Some(Trials {
                platform: None,
                zones: Some(([(after.id, one)].into(), Arc::new(trial.snapshot))),
            })
        });
        let now = Live { snapshot, trials };
        let names = changed_names.iter().map(String::as_str);
        bench.state.settle_zones(&live, &now, names);
        let known = bench.state.certificates.wanted().borrow().clone();
        assert_eq!(known, wanted(&now), "step {step}");
        let there = now.serving_zones().map(|zone| &*zone.name);
        let there: BTreeSet<&str> = there.collect();
        for nth in 0..8 {
            let name = format!("z{nth}");
            let has_id = bench.state.zone_ids.get(&name).is_some();
            assert_eq!(has_id, there.contains(&*name), "{name} in step {step}");
        }
        live = now;
    }
}
