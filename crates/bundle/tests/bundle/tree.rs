//! The tree holds what it was given, has one shape for one content, and ships what changed.

use std::collections::BTreeMap;
use std::convert::Infallible;

use seawall_bundle::{
    Change, Diff, Edits, File, Hash, Limits, Platform, Refused, Root, Step, UpdateError, Version,
    update,
};

use crate::support::{Chance, Store, many, name, play, upsert, version};

/// Random changes, some of them in bulk, with documents of all sizes: what a reader sees is what a map holds, from each state to the
/// next, across many, and from nothing; and the root is that of the same content written at once.
#[test]
fn whatever_changes_a_reader_sees_what_was_written() {
    for seed in 0..12 {
        let mut chance = Chance::new(seed);
        let mut store = Store::default();
        let mut truth: BTreeMap<String, Version> = BTreeMap::new();
        let mut roots = vec![(Root::empty(), truth.clone())];
        for step in 1..=30 {
            let edits = some_edits(&mut chance, &truth, step);
            let before = roots.last().unwrap().clone();
            for (name, version) in &edits.zones {
                match version {
                    Some(version) => truth.insert(name.clone(), version.clone()),
                    None => truth.remove(name),
                };
            }
            let (root, _) = store.change(&before.0, edits);
            assert_eq!(root.zones(), truth.len() as u64);
            roots.push((root, truth.clone()));

            let from = &roots[chance.below(roots.len() as u64) as usize];
            for (old, mut zones) in [before, from.clone(), roots[0].clone()] {
                let changes = store.diff(&old, &roots.last().unwrap().0);
                let told = changes.len();
                let expected = differences(&zones, &truth);
                assert_eq!(
                    told, expected,
                    "seed {seed} step {step}: told too much or too little"
                );
                play(&mut zones, changes);
                assert!(zones == truth, "seed {seed} step {step}");
            }
            let mut all = Edits::default();
            for (name, version) in &truth {
                all.zones.insert(name.clone(), Some(version.clone()));
            }
            let (at_once, _) = store.change(&Root::empty(), all);
            assert_eq!(at_once, roots.last().unwrap().0, "seed {seed} step {step}");
        }
    }
}

fn differences(old: &BTreeMap<String, Version>, new: &BTreeMap<String, Version>) -> usize {
    let gone = old.keys().filter(|name| !new.contains_key(*name)).count();
    let other = new
        .iter()
        .filter(|(name, version)| old.get(*name) != Some(version))
        .count();
    gone + other
}

fn some_edits(chance: &mut Chance, truth: &BTreeMap<String, Version>, step: u64) -> Edits {
    let mut edits = Edits::default();
    let bulk = match chance.below(5) {
        0 => 400,
        1 => 60,
        _ => 3,
    };
    let removing = chance.below(3) == 0;
    for _ in 0..=chance.below(bulk) {
        let zone = name(chance.below(1_500));
        if removing || chance.below(8) == 0 {
            edits.zones.insert(zone, None);
            continue;
        }
        let mut version = version(&zone, step);
        if chance.below(40) == 0 {
            version.document = "# long\n".repeat(chance.below(20_000) as usize);
        }
        edits.zones.insert(zone, Some(version));
    }
    // Now and then nearly all of them go, so that all that has split must merge.
    if chance.below(12) == 0 {
        let kept = chance.below(5) as usize;
        edits.zones = truth
            .keys()
            .skip(kept)
            .map(|zone| (zone.clone(), None))
            .collect();
    }
    edits
}

#[test]
fn the_order_of_changes_leaves_no_trace() {
    let mut store = Store::default();
    let forwards = many(&mut store, 3_000, 3_000);
    let mut backwards = Root::empty();
    for lot in (0..30).rev() {
        let mut edits = Edits::default();
        for number in lot * 100..(lot + 1) * 100 {
            upsert(&mut edits, &name(number), 1);
            // Something that will be gone.
            upsert(&mut edits, &name(10_000 + number), 1);
        }
        backwards = store.change(&backwards, edits).0;
    }
    assert_ne!(backwards, forwards);
    let mut gone = Edits::default();
    for number in 10_000..13_000 {
        gone.zones.insert(name(number), None);
    }
    let (backwards, _) = store.change(&backwards, gone);
    assert_eq!(
        backwards.pack().unwrap().name(),
        forwards.pack().unwrap().name()
    );
}

#[test]
fn a_change_emits_what_is_new_and_nothing_else() {
    let mut store = Store::default();
    let root = many(&mut store, 20_000, 5_000);
    let mut edits = Edits::default();
    upsert(&mut edits, &name(77), 2);
    store.fetches = 0;
    let limits = Limits::default();
    let changed = update(&root, edits.clone(), &limits, |name| {
        Ok::<_, Infallible>(store.fetch(name))
    })
    .unwrap();
    // Root, node, leaf.
    assert_eq!(changed.objects.len(), 3);
    assert_eq!(store.fetches, 2);
    for object in &changed.objects {
        assert!(!store.objects.contains_key(&object.name()));
    }
    store.keep(changed.objects);
    // The same again is no change at all.
    let again = update(&changed.root, edits, &limits, |name| {
        Ok::<_, Infallible>(store.fetch(name))
    })
    .unwrap();
    assert_eq!(again.root, changed.root);
    assert_eq!(again.objects.len(), 1, "the root alone");
    // Nor is removing what is not there.
    let mut edits = Edits::default();
    edits.zones.insert("no-such.test".into(), None);
    let again = update(&changed.root, edits, &limits, |name| {
        Ok::<_, Infallible>(store.fetch(name))
    })
    .unwrap();
    assert_eq!(again.root, changed.root);
    // A reader fetches both leaves and both nodes.
    store.fetches = 0;
    let changes = store.diff(&root, &changed.root);
    assert!(matches!(changes.as_slice(), [Change::Upserted(zone)] if zone.version.number == 2));
    assert_eq!(store.fetches, 4);
}

#[test]
fn the_platform_travels_with_the_root() {
    let mut store = Store::default();
    let limits = Limits::default();
    let platform = Version {
        number: 3,
        document: "schema = 1\n[edge]\nlocation = \"lhr\"\n".into(),
        files: Vec::new(),
    };
    let object = platform.pack(&limits).unwrap();
    let live = Platform {
        number: 3,
        object: object.name(),
    };
    let edits = Edits {
        platform: Some(live),
        ..Edits::default()
    };
    let (root, _) = store.change(&Root::empty(), edits);
    assert_eq!(root.platform(), Some(live));
    assert_eq!(
        store.diff(&Root::empty(), &root),
        [Change::Platform(Some(live))]
    );
    let opened = Version::open(&object.name(), object.packed(), &limits).unwrap();
    assert_eq!(opened, platform);
    // Zones change, the platform stays.
    let mut edits = Edits::default();
    upsert(&mut edits, "a.test", 1);
    let (next, _) = store.change(&root, edits);
    assert_eq!(next.platform(), Some(live));
    assert_eq!(store.diff(&root, &next).len(), 1);
}

/// What no edge would take is refused where it is written, with the zone's name, and what was live stays.
#[test]
fn what_no_edge_would_take_is_not_written() {
    let limits = Limits {
        document_bytes: 100,
        files: 2,
        name_bytes: 20,
        ..Limits::default()
    };
    let good = Version {
        number: 1,
        document: "x".repeat(100),
        files: Vec::new(),
    };
    let file = |path: &str| File {
        path: path.into(),
        object: Hash::of(b""),
    };
    let with = |files| Version {
        files,
        ..good.clone()
    };
    let long = Version {
        document: "x".repeat(101),
        ..good.clone()
    };
    for (zone, version) in [
        ("long.test", long),
        ("files.test", with(vec![file("a"), file("b"), file("c")])),
        ("twice.test", with(vec![file("a"), file("a")])),
        ("path.test", with(vec![file("a path that is too long")])),
        ("a-name-that-is-too-long.test", good.clone()),
    ] {
        let mut edits = Edits::default();
        edits.zones.insert("good.test".into(), Some(good.clone()));
        edits.zones.insert(zone.into(), Some(version));
        let refused = update(&Root::empty(), edits, &limits, |_| Err::<Vec<u8>, _>(()));
        assert!(
            matches!(&refused, Err(UpdateError::Zone { zone: named, .. }) if named == zone),
            "{zone}: {refused:?}"
        );
    }
}

#[test]
fn a_store_that_fails_is_named_and_nothing_is_half_done() {
    let mut store = Store::default();
    let root = many(&mut store, 500, 500);
    let mut edits = Edits::default();
    upsert(&mut edits, &name(7), 2);
    let limits = Limits::default();
    let failed = update(&root, edits.clone(), &limits, |_| Err("hangs"));
    assert!(matches!(failed, Err(UpdateError::Fetch(_, "hangs"))));
    // Another object than was asked for.
    let other = Version::pack(&version("a", 1), &limits).unwrap();
    let failed = update(&root, edits, &limits, |_| {
        Ok::<_, Infallible>(other.packed().to_vec())
    });
    assert!(matches!(
        failed,
        Err(UpdateError::Refused(Refused::WrongHash { .. }))
    ));
}

/// A damaged object from one source is refused, and the same walk goes on with another's.
#[test]
fn a_walk_goes_on_after_a_bad_source() {
    let mut store = Store::default();
    let root = many(&mut store, 300, 300);
    let limits = Limits::default();
    let other = version("a", 1).pack(&limits).unwrap();
    let mut diff = Diff::new(&Root::empty(), &root, &limits);
    let mut told = 0;
    loop {
        match diff.step().unwrap() {
            Step::Want(wanted) => {
                for name in &wanted {
                    let packed = store.fetch(name);
                    let refused = diff.give(name, other.packed());
                    assert!(matches!(refused, Err(Refused::WrongHash { .. })));
                    assert!(diff.give(name, &packed[..packed.len() / 2]).is_err());
                    assert_eq!(diff.give(&other.name(), other.packed()), Ok(()), "ignored");
                }
                // Nothing was given: the same is wanted still. The first of them is enough to go on.
                assert_eq!(diff.step(), Ok(Step::Want(wanted.clone())));
                let packed = store.fetch(&wanted[0]);
                diff.give(&wanted[0], &packed).unwrap();
            }
            Step::Changes(changes) => told += changes.len(),
            Step::Done => break,
        }
    }
    assert_eq!(told, 300);
}

#[test]
fn a_walk_asks_for_no_more_than_its_window() {
    let mut store = Store::default();
    let mut edits = Edits::default();
    for number in 0..40 {
        let mut version = version(&name(number), 1);
        version.document = "#".repeat(1 << 20);
        edits.zones.insert(name(number), Some(version));
    }
    let (root, _) = store.change(&Root::empty(), edits);
    let limits = Limits {
        window_bytes: (3 << 20) + 4_096,
        ..Limits::default()
    };
    let mut diff = Diff::new(&Root::empty(), &root, &limits);
    let (mut told, mut most) = (0, 0);
    loop {
        match diff.step().unwrap() {
            Step::Want(wanted) => {
                most = most.max(wanted.len());
                for name in wanted {
                    let packed = store.fetch(&name);
                    diff.give(&name, &packed).unwrap();
                }
            }
            Step::Changes(changes) => told += changes.len(),
            Step::Done => break,
        }
    }
    assert_eq!((told, most), (40, 3));
}
