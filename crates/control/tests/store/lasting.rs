//! What every store must do with rollouts, with what stands, and with what is derived.

use std::time::Duration;

use seawall_control::plan::{StepSpec, Taken};
use seawall_control::store::{
    Append, Body, Change, KillSwitch, LocationKeys, Outcome, Scope, Sqlite, State, Subject,
    transfer,
};
use seawall_control::{Chain, ConfigStore, Hash, StoreError};
use seawall_model::tempo::{Kind, Share};

use crate::Open;
use crate::properties::{append, document, refused, zone};

fn step(rollout: u64, step: u32, share: Share) -> Change {
    Change::Event(Body::RolloutStepped {
        rollout,
        step,
        ring: vec!["local".into()],
        share,
        requests: 5,
        probes: 6,
    })
}

fn end(rollout: u64, outcome: Outcome) -> Change {
    Change::Event(Body::RolloutEnded { rollout, outcome })
}

pub fn a_rollout_goes_from_step_to_step_and_ends_once(open: Open<'_>) {
    let mut store = open();
    let chain = zone("a.test");
    let start = Change::Start {
        kind: Kind::Zone,
        chain: chain.clone(),
        from: None,
        with: None,
    };
    refused(&mut *store, vec![start.clone()]);
    let done = store
        .append(&append(vec![document(&chain, "one"), start]))
        .expect("begun");
    let [id] = done.rollouts.as_slice() else {
        panic!("one rollout")
    };
    refused(&mut *store, vec![step(*id, 1, Share::ALL)]);
    refused(&mut *store, vec![step(id + 7, 0, Share::ALL)]);
    store
        .append(&append(vec![
            step(*id, 0, Share::percent(5)),
            step(*id, 1, Share::percent(50)),
        ]))
        .expect("stepped");
    store
        .append(&append(vec![Change::Event(Body::Approved {
            rollout: *id,
        })]))
        .expect("approved");
    let running = store.running().expect("running");
    let [rollout] = running.as_slice() else {
        panic!("one runs: {running:?}")
    };
    assert_eq!(
        (
            rollout.step,
            rollout.share,
            rollout.requests,
            rollout.probes
        ),
        (Some(1), Share::percent(50), 5, 6)
    );
    assert!(rollout.approved && rollout.ring == ["local"]);
    // What the planner asked for is what the log brings back to it.
    let taken = Taken::of(rollout, 42).expect("a step");
    let spec = StepSpec {
        step: 1,
        ring: taken.ring,
        share: taken.share,
        hold: Duration::ZERO,
        requests: 5,
        probes: 6,
    };
    assert_eq!(
        Change::Event(spec.entry(*id)),
        step(*id, 1, Share::percent(50))
    );
    assert_eq!(
        rollout.subject,
        Subject::Version {
            chain,
            from: None,
            to: 1
        }
    );
    let why = "more errors than without it";
    store
        .append(&Append {
            why: why.into(),
            ..append(vec![end(*id, Outcome::TakenBack)])
        })
        .expect("ended");
    assert!(store.running().expect("running").is_empty());
    let ended = store.rollout(*id).expect("rollout").expect("still known");
    assert_eq!(
        (ended.state, ended.why.as_str()),
        (State::Ended(Outcome::TakenBack), why)
    );
    refused(&mut *store, vec![end(*id, Outcome::Complete)]);
    refused(&mut *store, vec![step(*id, 2, Share::ALL)]);
}

pub fn one_rollout_of_a_chain_at_a_time(open: Open<'_>) {
    let mut store = open();
    let (a, b) = (zone("a.test"), zone("b.test"));
    let start = |chain: &Chain, kind| Change::Start {
        kind,
        chain: chain.clone(),
        from: None,
        with: None,
    };
    let both = vec![
        document(&a, "a"),
        document(&b, "b"),
        start(&a, Kind::Zone),
        start(&b, Kind::Zone),
    ];
    let done = store
        .append(&append(both))
        .expect("two chains, two rollouts");
    refused(&mut *store, vec![document(&a, "a2"), start(&a, Kind::Zone)]);
    // A return goes before it: the running one ends in the same append.
    let preempt = vec![
        end(done.rollouts[0], Outcome::Aborted),
        document(&a, "a2"),
        start(&a, Kind::Return),
    ];
    store.append(&append(preempt)).expect("pre-empted");
    assert_eq!(store.running().expect("running").len(), 2);
}

pub fn what_stands_is_the_newest_that_was_not_undone(open: Open<'_>) {
    let mut store = open();
    let chain = zone("a.test");
    let pin = |number| {
        Change::Event(Body::Pinned {
            chain: chain.clone(),
            number,
        })
    };
    refused(&mut *store, vec![pin(1)]);
    store
        .append(&append(vec![
            document(&chain, "one"),
            document(&chain, "two"),
            pin(1),
            pin(2),
        ]))
        .expect("pinned");
    let stands = store
        .stands("pin", "zone/a.test")
        .expect("stands")
        .expect("a pin");
    assert!(matches!(stands.body, Body::Pinned { number: 2, .. }));
    store
        .append(&append(vec![Change::Event(Body::Unpinned { chain })]))
        .expect("unpinned");
    assert_eq!(store.stands("pin", "zone/a.test").expect("stands"), None);
    let import = |path: &str, text: &[u8]| {
        Change::Event(Body::FileImported {
            path: path.into(),
            hash: Hash::of(text),
        })
    };
    store
        .append(&append(vec![
            import("/b", b"1"),
            import("/a", b"1"),
            import("/b", b"2"),
        ]))
        .expect("imported");
    let imports = store.standing("import", None, 10).expect("standing");
    let bodies: Vec<_> = imports.into_iter().map(|entry| entry.body).collect();
    let expected = [("/a", b"1"), ("/b", b"2")].map(|(path, text)| Body::FileImported {
        path: path.into(),
        hash: Hash::of(text),
    });
    assert_eq!(bodies, expected);
    assert_eq!(
        store
            .standing("import", Some("/a"), 10)
            .expect("standing")
            .len(),
        1
    );
    let scope = Scope {
        module: "waf".into(),
        zone: None,
        location: None,
    };
    let switch = KillSwitch {
        scope: scope.clone(),
        seconds: 3_600,
    };
    let done = store
        .append(&append(vec![Change::Kill(switch)]))
        .expect("killed");
    assert_eq!(done.rollouts, [done.last], "a switch goes out by a rollout");
    assert_eq!(store.standing("kill", None, 10).expect("standing").len(), 1);
    let clear = vec![
        end(done.last, Outcome::Complete),
        Change::Event(Body::KillCleared(scope)),
    ];
    store.append(&append(clear)).expect("cleared");
    assert!(
        store
            .standing("kill", None, 10)
            .expect("standing")
            .is_empty()
    );
}

/// A log with some of everything in it.
pub fn filled(store: &mut dyn ConfigStore) {
    let names = ["a.test", "b.test", "c.test"].map(zone);
    for (nth, chain) in names.iter().cycle().take(30).enumerate() {
        let start = Change::Start {
            kind: Kind::Zone,
            chain: chain.clone(),
            from: None,
            with: None,
        };
        let done = store
            .append(&append(vec![
                document(chain, &format!("{chain} {nth}")),
                start,
            ]))
            .expect("begun");
        let id = done.rollouts[0];
        store
            .append(&append(vec![step(id, 0, Share::percent(5))]))
            .expect("stepped");
        if nth < 28 {
            store
                .append(&append(vec![end(id, Outcome::Complete)]))
                .expect("ended");
        }
    }
    let [a, b, c] = &names;
    let location = |name: &str| {
        Change::Event(Body::LocationJoined {
            location: name.into(),
            key: Hash::of(b"k"),
            keys: LocationKeys::default(),
            architecture: "x86_64".into(),
            canary: name == "b",
        })
    };
    let token = Body::TokenMade {
        name: "t".into(),
        hash: Hash::of(b"t"),
        scopes: vec!["read".into()],
        location: None,
        expires: None,
    };
    let events = vec![
        location("lhr"),
        location("ams"),
        Change::Event(token),
        Change::Event(Body::TokenRevoked { name: "t".into() }),
        Change::Event(Body::Drained {
            location: "lhr".into(),
        }),
        Change::Event(Body::Undrained {
            location: "lhr".into(),
        }),
        Change::Event(Body::LocationLeft {
            location: "ams".into(),
        }),
        Change::Event(Body::Pinned {
            chain: a.clone(),
            number: 1,
        }),
        Change::Delete(b.clone()),
        Change::Return(c.clone(), 1),
    ];
    store.append(&append(events)).expect("events");
}

pub fn all_that_is_derived_can_be_made_again_of_the_log(open: Open<'_>) {
    let mut store = open();
    filled(&mut *store);
    let before = store.derived().expect("derived");
    assert!(
        before.versions.len() > 30 && before.rollouts.len() == 30 && before.standing.len() == 2,
        "{before:?}"
    );
    store.rebuild().expect("rebuilt");
    assert_eq!(store.derived().expect("derived"), before);
    let entries = store.last().expect("last");
    assert_eq!(store.verify().expect("verify"), Ok(entries));
}

pub fn the_log_outlives_its_reader(open: Open<'_>) {
    let mut store = open();
    filled(&mut *store);
    let (log, derived) = (
        store.log(1, 10_000).expect("log"),
        store.derived().expect("derived"),
    );
    drop(store);
    let mut store = open();
    assert_eq!(store.log(1, 10_000).expect("log"), log);
    assert_eq!(store.derived().expect("derived"), derived);
    let (mut seq, mut hash) = (0, Hash::NONE);
    for entry in &log {
        entry.follows(seq, hash).expect("follows");
        let text = serde_json::to_string(&entry.body).expect("JSON");
        assert_eq!(text, entry.text, "what is read is what was written");
        (seq, hash) = (entry.seq, entry.hash);
    }
}

pub fn all_of_it_can_be_brought_into_another_store(open: Open<'_>) {
    let folder = crate::folder::Folder::new();
    let mut other = Sqlite::open(&folder.path("other.db")).expect("opens");
    let mut store = open();
    filled(&mut *store);
    let last = store.last().expect("last");
    // Out of it, and into it: whatever kind it is, each log has the same entries and hashes.
    assert_eq!(transfer(&mut *store, &mut other).expect("brought"), last);
    assert_eq!(other.verify().expect("verify"), Ok(last));
    let (log, derived) = (
        store.log(1, 10_000).expect("log"),
        store.derived().expect("derived"),
    );
    assert_eq!(other.log(1, 10_000).expect("log"), log);
    assert_eq!(other.derived().expect("derived"), derived);
    // What came meanwhile follows; what is another log is refused.
    other
        .append(&append(vec![document(&zone("a.test"), "one more")]))
        .expect("appended");
    assert_eq!(
        transfer(&mut other, &mut *store).expect("brought"),
        last + 1
    );
    assert_eq!(
        store.derived().expect("derived"),
        other.derived().expect("derived")
    );
    assert_eq!(store.verify().expect("verify"), Ok(last + 1));
    let mut third = Sqlite::open(&folder.path("third.db")).expect("opens");
    third
        .append(&append(vec![document(&zone("z.test"), "another log")]))
        .expect("appended");
    assert!(matches!(
        transfer(&mut *store, &mut third),
        Err(StoreError::Refused(_))
    ));
    assert_eq!(third.last().expect("last"), 1);
}
