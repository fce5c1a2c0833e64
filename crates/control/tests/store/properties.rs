//! What every store must do with versions and documents.

use seawall_control::store::{
    Append, Body, Change, Expect, MOST_WHY, Outcome, RequestId, State, Subject,
};
use seawall_control::{Chain, ConfigStore, Hash, StoreError};
use seawall_model::tempo::Kind;

use crate::Open;

pub fn zone(name: &str) -> Chain {
    Chain::Zone(name.into())
}

pub fn document(chain: &Chain, text: &str) -> Change {
    Change::Document(chain.clone(), text.into())
}

pub fn append(changes: Vec<Change>) -> Append {
    Append {
        request: None,
        asked: None,
        expect: Vec::new(),
        who: "token:ada".into(),
        why: "a test".into(),
        at: 1_790_000_000,
        changes,
    }
}

pub fn refused(store: &mut dyn ConfigStore, changes: Vec<Change>) -> String {
    let last = store.last().expect("last");
    match store.append(&append(changes)) {
        Err(StoreError::Refused(why)) => {
            assert_eq!(store.last().expect("last"), last, "nothing was done");
            why
        }
        other => panic!("expected a refusal: {other:?}"),
    }
}

pub fn numbers_are_dense_and_parents_point_back(open: Open<'_>) {
    let mut store = open();
    let (a, b) = (zone("a.test"), zone("b.test"));
    for text in ["one", "two", "three"] {
        store
            .append(&append(vec![document(&a, text), document(&b, text)]))
            .expect("appended");
    }
    assert_eq!(store.last().expect("last"), 6);
    for chain in [&a, &b] {
        let history = store.history(chain, None, 10).expect("history");
        let numbers: Vec<_> = history.iter().map(|one| (one.number, one.parent)).collect();
        assert_eq!(numbers, [(3, Some(2)), (2, Some(1)), (1, None)]);
        let head = store.head(chain).expect("head").expect("there");
        assert_eq!(head, history[0]);
        assert_eq!(head.hash, Hash::of(b"three"));
        assert_eq!(
            (head.author.as_str(), head.why.as_str(), head.at),
            ("token:ada", "a test", 1_790_000_000)
        );
        let first = store.version(chain, 1).expect("version").expect("there");
        assert_eq!(
            store.document(&first.hash).expect("document").as_deref(),
            Some("one")
        );
    }
    assert_eq!(store.head(&Chain::Platform).expect("head"), None);
    assert_eq!(store.version(&a, 4).expect("version"), None);
    assert_eq!(store.document(&Hash::of(b"four")).expect("document"), None);
}

pub fn a_head_that_moved_is_a_conflict_that_shows_it(open: Open<'_>) {
    let mut store = open();
    let chain = zone("a.test");
    let expecting = |expect, text: &str| Append {
        expect: vec![expect],
        ..append(vec![document(&chain, text)])
    };
    store
        .append(&expecting(Expect::Head(chain.clone(), None), "one"))
        .expect("the first");
    store
        .append(&expecting(Expect::Head(chain.clone(), Some(1)), "two"))
        .expect("the second");
    for expect in [
        Expect::Head(chain.clone(), Some(1)),
        Expect::Head(chain.clone(), None),
        Expect::Seq(1),
    ] {
        match store.append(&expecting(expect.clone(), "lost")) {
            Err(StoreError::Conflict(conflict)) => {
                assert_eq!((&conflict.expected, conflict.seq), (&expect, 2));
                if matches!(expect, Expect::Head(..)) {
                    // Enough for a diff: the head, and by its hash its document.
                    let head = conflict.head.expect("a head");
                    assert_eq!(head.number, 2);
                    assert_eq!(
                        store.document(&head.hash).expect("document").as_deref(),
                        Some("two")
                    );
                }
            }
            other => panic!("expected a conflict: {other:?}"),
        }
    }
    // All that is expected must hold, not one of it.
    let both = vec![Expect::Seq(2), Expect::Head(zone("b.test"), Some(1))];
    let append = Append {
        expect: both,
        ..append(vec![document(&chain, "lost")])
    };
    assert!(matches!(
        store.append(&append),
        Err(StoreError::Conflict(_))
    ));
    assert_eq!(store.last().expect("last"), 2);
}

pub fn two_writers_lose_nothing_of_each_other(open: Open<'_>) {
    const EACH: usize = 40;
    let chain = zone("a.test");
    let write = |name: &str| {
        let mut store = open();
        let mut conflicts = 0;
        for nth in 0..EACH {
            loop {
                let head = store.head(&chain).expect("head").map(|head| head.number);
                let change = document(&chain, &format!("{name} {nth} on {head:?}"));
                let append = Append {
                    expect: vec![Expect::Head(chain.clone(), head)],
                    who: name.into(),
                    ..append(vec![change])
                };
                match store.append(&append) {
                    Ok(done) => {
                        assert_eq!(done.versions[0].parent, head);
                        break;
                    }
                    Err(StoreError::Conflict(_)) => conflicts += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        conflicts
    };
    let conflicts: i32 = std::thread::scope(|scope| {
        let writers = ["ada", "bob"].map(|name| scope.spawn(move || write(name)));
        writers
            .into_iter()
            .map(|writer| writer.join().expect("writes"))
            .sum()
    });
    println!("{conflicts} conflicts");
    let history = open().history(&chain, None, 1_000).expect("history");
    assert_eq!(history.len(), 2 * EACH);
    for name in ["ada", "bob"] {
        assert_eq!(
            history.iter().filter(|one| one.author == name).count(),
            EACH
        );
    }
    assert_eq!(open().verify().expect("verify"), Ok(2 * EACH as u64));
}

pub fn an_append_is_whole_or_nothing(open: Open<'_>) {
    let mut store = open();
    let (a, b) = (zone("a.test"), zone("b.test"));
    store
        .append(&append(vec![document(&a, "one")]))
        .expect("appended");
    let before = store.derived().expect("derived");
    refused(
        &mut *store,
        vec![
            document(&a, "two"),
            document(&b, "new"),
            Change::Return(b.clone(), 7),
        ],
    );
    assert_eq!(store.derived().expect("derived"), before);
    assert_eq!(
        store.document(&Hash::of(b"new")).expect("document"),
        None,
        "its documents neither"
    );
    // The next one is as if the refused one had never been.
    let done = store
        .append(&append(vec![document(&b, "new")]))
        .expect("appended");
    assert_eq!((done.first, done.last, done.versions[0].number), (2, 2, 1));
}

pub fn the_same_request_again_has_no_second_effect(open: Open<'_>) {
    let mut store = open();
    let chain = zone("a.test");
    let start = Change::Start {
        kind: Kind::Zone,
        chain: chain.clone(),
        from: None,
        with: None,
    };
    let request = Append {
        request: Some(RequestId([7; 16])),
        expect: vec![Expect::Head(chain.clone(), None)],
        ..append(vec![document(&chain, "one"), start])
    };
    let first = store.append(&request).expect("appended");
    assert!(!first.again && first.rollouts == [2]);
    store
        .append(&append(vec![document(&chain, "two")]))
        .expect("another, in between");
    // The answer was lost: the client sends it again, later, to a store that was opened anew.
    let mut store = open();
    let again = store
        .append(&Append {
            at: request.at + 60,
            ..request.clone()
        })
        .expect("the same answer");
    assert!(again.again);
    assert_eq!(
        (again.first, again.last, &again.versions, &again.rollouts),
        (first.first, first.last, &first.versions, &first.rollouts)
    );
    let made = store.made_by(RequestId([7; 16])).expect("made");
    assert_eq!(made.map(|(made, _)| made), Some(again));
    assert_eq!(store.made_by(RequestId([8; 16])).expect("made"), None);
    assert_eq!(store.last().expect("last"), 3);
    // The same id for something else is a mistake that must not be lost.
    let other = Append {
        changes: vec![document(&chain, "three")],
        ..request
    };
    assert!(matches!(store.append(&other), Err(StoreError::Refused(_))));
    assert_eq!(store.last().expect("last"), 3);
    // What was asked counts where it is said, whatever comes of it by then.
    let asked = |what: &[u8], text: &str| Append {
        request: Some(RequestId([9; 16])),
        asked: Some(Hash::of(what)),
        ..append(vec![document(&chain, text)])
    };
    store.append(&asked(b"put", "four")).expect("appended");
    let made = store.made_by(RequestId([9; 16])).expect("made");
    assert_eq!(made.map(|(_, asked)| asked), Some(Hash::of(b"put")));
    assert!(store.append(&asked(b"put", "five")).expect("again").again);
    let other = store.append(&asked(b"delete", "four"));
    assert!(matches!(other, Err(StoreError::Refused(_))));
}

pub fn rollouts_go_with_one_that_began_before_in_the_same_append(open: Open<'_>) {
    let mut store = open();
    let (a, b) = (zone("a.test"), zone("b.test"));
    let start = |chain: &Chain, with: Option<&Chain>| Change::Start {
        kind: Kind::Zone,
        chain: chain.clone(),
        from: None,
        with: with.cloned(),
    };
    let changes = vec![
        document(&a, "one"),
        start(&a, None),
        document(&b, "one"),
        start(&b, Some(&a)),
    ];
    let made = store.append(&append(changes)).expect("appended");
    let [first, second] = made.rollouts.as_slice() else {
        panic!("{made:?}");
    };
    let with = |store: &mut dyn ConfigStore, id: u64| {
        let rollout = store.rollout(id).expect("rollout").expect("known");
        rollout.with
    };
    assert_eq!(with(&mut *store, *first), None);
    assert_eq!(with(&mut *store, *second), Some(*first));
    let end = end_of(*second);
    store.append(&append(vec![end])).expect("ended");
    // One that began earlier is another matter.
    refused(&mut *store, vec![document(&b, "two"), start(&b, Some(&a))]);
}

fn end_of(rollout: u64) -> Change {
    Change::Event(Body::RolloutEnded {
        rollout,
        outcome: Outcome::Aborted,
    })
}

pub fn an_approval_goes_with_the_rollout_that_begins(open: Open<'_>) {
    let mut store = open();
    let chain = zone("a.test");
    let start = || Change::Start {
        kind: Kind::Zone,
        chain: chain.clone(),
        from: None,
        with: None,
    };
    let changes = vec![
        document(&chain, "one"),
        start(),
        Change::Approve(chain.clone()),
    ];
    let made = store.append(&append(changes)).expect("appended");
    let [rollout] = made.rollouts.as_slice() else {
        panic!("{made:?}");
    };
    let rollout = store.rollout(*rollout).expect("rollout").expect("known");
    assert!(rollout.approved);
    // One that began earlier is named by its number.
    let why = refused(&mut *store, vec![Change::Approve(chain)]);
    assert!(why.contains("begins here"), "{why}");
}

pub fn appends_that_are_made_together_are_there_all_or_none(open: Open<'_>) {
    let mut store = open();
    let one = |name: &str, more: Vec<Change>| {
        let chain = zone(name);
        let start = Change::Start {
            kind: Kind::Zone,
            chain: chain.clone(),
            from: None,
            with: None,
        };
        let mut changes = vec![document(&chain, name), start, Change::Complete(chain)];
        changes.extend(more);
        append(changes)
    };
    let bad = || Change::Complete(zone("never.test"));
    let mut appends = [one("a.test", Vec::new()), one("b.test", vec![bad()])].into_iter();
    let refused = store.append_all(&mut appends, &mut |_| {});
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "{refused:?}"
    );
    assert_eq!(store.last().expect("last"), 0, "nothing is there");
    assert_eq!(store.head(&zone("a.test")).expect("head"), None);
    let mut all = ["a.test", "b.test", "c.test"].map(|name| one(name, Vec::new()));
    // What one finds is what those before it have left.
    all[2].expect = vec![Expect::Seq(6)];
    let mut made = Vec::new();
    store
        .append_all(&mut all.into_iter(), &mut |done| made.push(done))
        .expect("appended");
    let bounds: Vec<_> = made.iter().map(|done| (done.first, done.last)).collect();
    assert_eq!(bounds, [(1, 3), (4, 6), (7, 9)]);
    assert_eq!(store.last().expect("last"), 9);
    assert_eq!(store.running().expect("running"), Vec::new());
    let rollout = store.rollout(8).expect("rollout").expect("known");
    assert_eq!(rollout.state, State::Ended(Outcome::Complete));
    assert!(store.verify().expect("verified").is_ok());
}

pub fn what_is_deleted_is_restored_by_one_call(open: Open<'_>) {
    let mut store = open();
    let chain = zone("a.test");
    refused(&mut *store, vec![Change::Delete(chain.clone())]);
    refused(&mut *store, vec![Change::Restore(chain.clone())]);
    store
        .append(&append(vec![
            document(&chain, "one"),
            document(&chain, "two"),
        ]))
        .expect("appended");
    refused(&mut *store, vec![Change::Restore(chain.clone())]);
    store
        .append(&append(vec![Change::Delete(chain.clone())]))
        .expect("deleted");
    let tombstone = store.head(&chain).expect("head").expect("still there");
    assert!(tombstone.tombstone && tombstone.number == 3);
    refused(&mut *store, vec![Change::Delete(chain.clone())]);
    refused(&mut *store, vec![Change::Return(chain.clone(), 3)]);
    let done = store
        .append(&append(vec![Change::Restore(chain.clone())]))
        .expect("restored");
    let [restored] = done.versions.as_slice() else {
        panic!("one version")
    };
    assert!(!restored.tombstone && restored.number == 4 && restored.parent == Some(3));
    assert_eq!(
        store.document(&restored.hash).expect("document").as_deref(),
        Some("two")
    );
    refused(
        &mut *store,
        vec![
            document(&Chain::Platform, "p"),
            Change::Delete(Chain::Platform),
        ],
    );
}

pub fn a_rollback_is_a_new_version_with_the_old_document(open: Open<'_>) {
    let mut store = open();
    let chain = zone("a.test");
    for text in ["one", "two", "three"] {
        store
            .append(&append(vec![document(&chain, text)]))
            .expect("appended");
    }
    store
        .append(&append(vec![Change::Return(chain.clone(), 1)]))
        .expect("returned");
    let head = store.head(&chain).expect("head").expect("there");
    assert_eq!(
        (head.number, head.parent, head.hash),
        (4, Some(3), Hash::of(b"one"))
    );
    let entry = store.log(4, 1).expect("log").remove(0);
    assert!(
        matches!(entry.body, Body::VersionCreated { of: Some(1), .. }),
        "the log says of which"
    );
    refused(&mut *store, vec![Change::Return(chain, 9)]);
}

pub fn answers_come_in_pages(open: Open<'_>) {
    let mut store = open();
    let chains: Vec<Chain> = (0..25)
        .map(|nth| zone(&format!("z{nth:02}.test")))
        .collect();
    store
        .append(&append(
            chains.iter().map(|chain| document(chain, "one")).collect(),
        ))
        .expect("appended");
    let mut all = Vec::new();
    loop {
        let after = all.last().cloned();
        let page = store.heads(after.as_ref(), 10).expect("heads");
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 10);
        all.extend(page.into_iter().map(|head| head.chain));
    }
    assert_eq!(all, chains);
    store
        .append(&append(vec![
            document(&chains[3], "two"),
            document(&chains[1], "two"),
        ]))
        .expect("appended");
    let changed = store.changed_since(25, 10).expect("changed");
    assert_eq!(changed, [(26, chains[3].clone()), (27, chains[1].clone())]);
    assert_eq!(store.changed_since(0, 10).expect("changed").len(), 10);
    assert!(store.changed_since(27, 10).expect("changed").is_empty());
    let log = store.log(20, 3).expect("log");
    assert_eq!(
        log.iter().map(|entry| entry.seq).collect::<Vec<_>>(),
        [20, 21, 22]
    );
    assert!(store.log(u64::MAX, usize::MAX).expect("log").is_empty());
    assert_eq!(
        store
            .history(&chains[3], Some(2), 10)
            .expect("history")
            .len(),
        1
    );
    assert!(
        store
            .history(&chains[3], Some(0), usize::MAX)
            .expect("history")
            .is_empty()
    );
}

pub fn what_is_too_large_is_refused(open: Open<'_>) {
    let mut store = open();
    let chain = zone("a.test");
    let long = |len: usize| "x".repeat(len);
    let text = vec![document(&chain, "one")];
    let bad = [
        Append {
            why: long(MOST_WHY + 1),
            ..append(text.clone())
        },
        Append {
            who: String::new(),
            ..append(text.clone())
        },
        Append {
            who: long(300),
            ..append(text)
        },
        append(vec![document(&chain, &long((16 << 20) + 1))]),
        append(vec![Change::Event(Body::FileImported {
            path: long(2 << 20),
            hash: Hash::NONE,
        })]),
    ];
    for append in bad {
        assert!(matches!(store.append(&append), Err(StoreError::Refused(_))));
    }
    assert_eq!(store.last().expect("last"), 0);
    let largest = long(16 << 20);
    store
        .append(&append(vec![document(&chain, &largest)]))
        .expect("as large as it may be");
    assert_eq!(
        store
            .document(&Hash::of(largest.as_bytes()))
            .expect("document"),
        Some(largest)
    );
    let far = Append {
        at: u64::MAX,
        ..append(vec![document(&chain, "a clock that is wrong")])
    };
    store.append(&far).expect("no clock breaks the log");
    assert_eq!(store.verify().expect("verify"), Ok(2));
}

pub fn an_event_with_a_number_of_the_stores_is_refused(open: Open<'_>) {
    let mut store = open();
    let chain = zone("a.test");
    let forged = Body::VersionCreated {
        chain: chain.clone(),
        number: 9,
        parent: Some(8),
        document: Hash::NONE,
        tombstone: false,
        of: None,
    };
    let began = Body::RolloutStarted {
        tempo: Kind::Zone,
        subject: Subject::Version {
            chain,
            from: None,
            to: 1,
        },
        with: None,
    };
    for body in [forged, began] {
        refused(&mut *store, vec![Change::Event(body)]);
    }
}
