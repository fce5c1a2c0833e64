//! What is wanted, told, died of and ordered again, without a worker.

use super::*;
use crate::order::OnTrial;

fn trial(chain: Chain) -> OnTrial {
    OnTrial {
        change: Change {
            chain,
            version: 7,
            text: Some(String::new()),
        },
        share: 500,
        salt: 1,
    }
}

/// One to whose worker both of these were ordered.
fn ordered() -> Managed {
    let mut managed = Managed::default();
    managed.wants(News {
        trials: vec![trial(Chain::Platform), trial(Chain::Zone("a.test".into()))],
        ..News::default()
    });
    assert_eq!(managed.order().unwrap().trials.len(), 2);
    managed
}

/// And taken by it.
fn taken() -> Managed {
    let mut managed = ordered();
    let one = |chain, blamed| Taken {
        chain,
        version: 7,
        share: 500,
        salt: 1,
        blamed: Some(blamed),
        probe: None,
    };
    let taken = vec![
        one(Chain::Platform, (0, 70)),
        one(Chain::Zone("a.test".into()), (5, 50)),
    ];
    managed.ordered(
        Ordered {
            number: 1,
            taken,
            ..Ordered::default()
        },
        Instant::now(),
    );
    managed
}

fn refused(managed: &Managed) -> Vec<String> {
    let refused = managed.refused.keys();
    refused.map(|(chain, _)| chain.to_string()).collect()
}

#[test]
fn who_dies_of_what_is_on_trial_takes_that_back_and_nothing_else() {
    let died = |mut managed: Managed, crashed, culprit, platform, compiled| {
        managed.worker_died(crashed, culprit, platform, compiled);
        refused(&managed)
    };
    // While it served: the zone's version, what all zones share, or, where nobody knows, both.
    assert_eq!(
        died(taken(), true, Some((5, 50)), 1, false),
        ["zone/a.test"]
    );
    assert_eq!(died(taken(), true, Some((9, 90)), 70, false), ["platform"]);
    assert_eq!(died(taken(), true, None, 0, false).len(), 2);
    assert!(died(taken(), true, Some((9, 90)), 1, false).is_empty());
    assert!(died(taken(), true, Some((9, 90)), 0, false).is_empty());
    assert!(died(taken(), false, Some((5, 50)), 70, false).is_empty());
    // While it compiled them: what it had not told of yet.
    assert_eq!(died(ordered(), true, Some((5, 50)), 1, true).len(), 2);
    assert!(died(ordered(), true, Some((9, 90)), 1, false).is_empty());
    assert!(died(taken(), true, Some((9, 90)), 1, true).is_empty());
    let mut managed = ordered();
    managed.worker_died(true, None, 0, true);
    assert_eq!(managed.restarts.len(), 2);
    managed.worker_is_new(None);
    assert!(managed.order().unwrap().trials.is_empty(), "not once more");
}

fn change(name: &str, version: u64) -> Change {
    Change {
        chain: Chain::Zone(name.into()),
        version,
        text: Some(format!("{name} {version}")),
    }
}

fn news(root: &str, whole: bool, live: &[Change]) -> News {
    News {
        live: live.to_vec(),
        whole,
        trials: Vec::new(),
        root: Some(root.into()),
        undelivered: Vec::new(),
    }
}

/// What is ordered now; the worker carries it out, and refuses these.
fn carried_out(managed: &mut Managed, refuses: &[&Change]) -> Order {
    for (key, _) in managed.to_compile() {
        managed.compiled(key, None);
    }
    let order = managed.order().unwrap();
    let refused = refuses.iter().map(|change| crate::order::Refusal {
        chain: change.chain.clone(),
        version: change.version,
        problems: "another has its host".into(),
    });
    let stand = match &order.stand {
        None if order.says_nothing_of_live() => managed.stand.clone(),
        stand => stand.clone(),
    };
    let stand = stand.filter(|_| refuses.is_empty());
    let ordered = Ordered {
        number: order.number,
        refused: refused.collect(),
        stand,
        ..Ordered::default()
    };
    managed.ordered(ordered, Instant::now());
    order
}

#[test]
fn a_worker_that_found_all_of_it_on_disk_is_ordered_nothing_of_it() {
    let mut managed = Managed::default();
    managed.worker_is_new(None);
    managed.wants(news("r1", true, &[change("a", 1), change("b", 1)]));
    let order = carried_out(&mut managed, &[]);
    assert_eq!(order.live.len(), 2);
    assert_eq!(order.only.as_ref().map(Vec::len), Some(2));
    assert_eq!(order.stand.as_deref(), Some("r1"));
    // What changes is ordered, and nothing else.
    managed.wants(news("r2", false, &[change("b", 2)]));
    let order = carried_out(&mut managed, &[]);
    assert_eq!((order.live, order.only), (vec![change("b", 2)], None));
    // A worker died; the next one has it, or has it not.
    managed.worker_is_new(Some("r2".into()));
    let order = carried_out(&mut managed, &[]);
    assert!(order.says_nothing_of_live());
    for stand in [Some("r1".into()), None] {
        managed.worker_is_new(stand);
        assert_eq!(managed.to_compile(), [], "they were compiled once");
        let order = carried_out(&mut managed, &[]);
        assert_eq!(order.live, [change("a", 1), change("b", 2)]);
        assert!(order.only.is_some());
    }
}

#[test]
fn what_was_not_carried_out_is_ordered_again() {
    let mut managed = Managed::default();
    managed.worker_is_new(None);
    managed.wants(news("r1", true, &[change("a", 1)]));
    carried_out(&mut managed, &[]);
    assert!(!managed.again());
    managed.wants(news("r2", false, &[change("b", 1)]));
    let number = managed.order().unwrap().number;
    let failed = Ordered {
        number,
        failed: true,
        ..Ordered::default()
    };
    managed.ordered(failed, Instant::now());
    assert_eq!(managed.order(), None, "not at once");
    assert!(managed.again() && !managed.again());
    let order = carried_out(&mut managed, &[]);
    assert_eq!(order.live, [change("a", 1), change("b", 1)]);
    assert_eq!(managed.stand.as_deref(), Some("r2"));
}

/// That this order was carried out.
fn done(managed: &mut Managed, order: &Order) {
    let ordered = Ordered {
        number: order.number,
        stand: order.stand.clone(),
        ..Ordered::default()
    };
    managed.ordered(ordered, Instant::now());
}

#[test]
fn what_comes_while_an_order_is_under_way_is_one_order_afterwards() {
    let mut managed = Managed::default();
    managed.worker_is_new(None);
    managed.wants(news("r1", true, &[change("a", 1)]));
    let first = managed.order().unwrap();
    for version in 2..40 {
        let new = change(&format!("z{version}"), 1);
        managed.wants(news(
            &format!("r{version}"),
            false,
            &[change("a", version), new],
        ));
        assert_eq!(managed.order(), None, "the worker has one");
    }
    assert!(!managed.is_due());
    done(&mut managed, &first);
    assert!(managed.is_due());
    let next = managed.order().unwrap();
    assert_eq!(next.live.len(), 39);
    assert!(next.live.contains(&change("a", 39)));
    assert_eq!(next.stand.as_deref(), Some("r39"));
    // An answer to another one, as an earlier agent had, is none.
    done(&mut managed, &first);
    assert_eq!(managed.under_way(), Some(next.number));
    done(&mut managed, &next);
    assert_eq!(managed.stand.as_deref(), Some("r39"));
    assert!(!managed.is_due());
}

#[test]
fn what_was_lost_with_an_order_is_never_said_to_be_there() {
    let counted = |orders: Option<Vec<u64>>| Counted {
        orders,
        ..Counted::default()
    };
    let mut managed = Managed::default();
    managed.worker_is_new(None);
    let (a, b, c) = (change("a", 1), change("b", 1), change("c", 1));
    managed.wants(news("r1", true, std::slice::from_ref(&a)));
    carried_out(&mut managed, &[]);
    managed.wants(news("r2", false, std::slice::from_ref(&b)));
    let lost = managed.order().unwrap().number;
    managed.wants(news("r3", false, std::slice::from_ref(&c)));
    // It is being carried out; a worker of before does not tell; it was given too short a time ago.
    managed.counted(counted(Some(vec![lost])), Some(lost));
    managed.counted(counted(None), Some(lost));
    managed.counted(counted(Some(Vec::new())), None);
    assert!(!managed.again());
    managed.counted(counted(Some(Vec::new())), Some(lost));
    // What came meanwhile waits for nothing, but is not all that is published.
    let order = carried_out(&mut managed, &[]);
    assert_eq!((order.live, order.stand), (vec![c.clone()], None));
    assert!(managed.again());
    let order = carried_out(&mut managed, &[]);
    assert_eq!(order.live, [a, b, c]);
    assert_eq!(managed.stand.as_deref(), Some("r3"));
    // One that could not even be read has no number.
    managed.wants(news("r4", false, &[change("a", 2)]));
    assert!(managed.order().is_some());
    let unread = Ordered {
        failed: true,
        ..Ordered::default()
    };
    managed.ordered(unread, Instant::now());
    assert!(managed.again());
    assert_eq!(carried_out(&mut managed, &[]).live.len(), 3);
}

#[test]
fn what_goes_back_while_the_worker_gets_something_else_is_ordered() {
    let mut managed = Managed::default();
    managed.worker_is_new(None);
    managed.wants(news("r1", true, &[change("a", 1)]));
    carried_out(&mut managed, &[]);
    managed.wants(news("r2", false, &[change("a", 2), change("b", 1)]));
    let order = managed.order().unwrap();
    // What it stood at is not what it will stand at.
    managed.wants(news("r1", true, &[change("a", 1)]));
    done(&mut managed, &order);
    let order = carried_out(&mut managed, &[]);
    assert_eq!(order.live, [change("a", 1)]);
    assert_eq!(order.only, Some(vec!["a".into()]));
    // What waits and is no longer wanted is not ordered.
    managed.wants(news("r3", false, &[change("c", 1)]));
    managed.wants(news("r1", true, &[change("a", 1)]));
    assert!(carried_out(&mut managed, &[]).says_nothing_of_live());
}

#[test]
fn what_is_for_all_and_kills_who_compiles_it_is_never_ordered_nor_said_to_be_there() {
    let mut managed = Managed::default();
    let (a, b) = (change("a", 1), change("b", 1));
    managed.worker_is_new(None);
    managed.wants(news("r1", true, &[a.clone(), b]));
    carried_out(&mut managed, &[]);
    let deadly = (Chain::Zone("b".into()), 2);
    managed.wants(news("r2", false, &[change("b", 2)]));
    managed.compiled(deadly.clone(), Some("it did not end".into()));
    let order = carried_out(&mut managed, &[]);
    assert_eq!((order.live.len(), order.stand), (0, None));
    assert_eq!(managed.stand.as_deref(), Some("r1"));
    // Nor when something else changes, or a worker is new, which is ordered all.
    managed.wants(news("r3", false, &[change("c", 1)]));
    let order = carried_out(&mut managed, &[]);
    assert_eq!((order.live, order.stand), (vec![change("c", 1)], None));
    managed.worker_is_new(None);
    assert_eq!(managed.to_compile(), []);
    let order = carried_out(&mut managed, &[]);
    assert_eq!((order.live, order.stand), (vec![a, change("c", 1)], None));
    let refused = managed.report((1, 1), Instant::now()).refused;
    assert_eq!(refused.len(), 1, "control is told");
    // The next version ends that.
    managed.wants(news("r4", false, &[change("b", 3)]));
    let order = carried_out(&mut managed, &[]);
    assert_eq!(order.live, [change("b", 3)]);
    assert_eq!(order.stand.as_deref(), Some("r4"));
    assert!(!managed.refused.contains_key(&deadly));
}

#[test]
fn what_is_held_here_is_compiled_elsewhere_first_the_second_time_too() {
    let mut managed = Managed::default();
    managed.worker_is_new(None);
    managed.wants(news("r1", true, &[change("a", 1)]));
    carried_out(&mut managed, &[]);
    let held = |text: &str| Change {
        text: Some(text.into()),
        ..change("a", 0)
    };
    managed.hold(held("one"));
    carried_out(&mut managed, &[]);
    managed.hold(held("two"));
    let texts = managed.to_compile();
    assert_eq!(texts, [((Chain::Zone("a".into()), 0), "two".to_owned())]);
    // One that kills who compiles it is not ordered, and the next one is.
    managed.compiled((Chain::Zone("a".into()), 0), Some("it did not end".into()));
    assert_eq!(carried_out(&mut managed, &[]).live, []);
    managed.hold(held("three"));
    assert_eq!(carried_out(&mut managed, &[]).live, [held("three")]);
}

#[test]
fn an_agent_that_is_new_orders_nothing_that_the_worker_has() {
    let all = [change("a", 1), change("b", 2)];
    let mut managed = Managed::default();
    managed.worker_is_new(Some("r2".into()));
    let first = managed.order().unwrap();
    assert!(first.says_nothing_of_live());
    // Whether or not that is answered by then.
    managed.wants(news("r2", true, &all));
    assert_eq!(managed.to_compile(), []);
    let answer = Ordered {
        number: first.number,
        stand: Some("r2".into()),
        ..Ordered::default()
    };
    managed.ordered(answer, Instant::now());
    managed.wants(news("r2", true, &all));
    assert_eq!(managed.to_compile(), []);
    assert!(carried_out(&mut managed, &[]).says_nothing_of_live());
    // It knows them all the same, should a worker lack them.
    managed.worker_is_new(None);
    assert_eq!(carried_out(&mut managed, &[]).live, all);
}

#[test]
fn what_waits_for_another_and_what_is_held_here_is_published_under_no_name() {
    let mut managed = Managed::default();
    let (a, b) = (change("a", 1), change("b", 1));
    managed.worker_is_new(None);
    managed.wants(news("r1", true, &[a.clone(), b.clone()]));
    carried_out(&mut managed, &[&b]);
    assert_eq!(managed.stand, None);
    let lacks = |managed: &Managed| managed.report((1, 1), Instant::now()).lacks;
    let told = (b.chain.clone(), 1, "another has its host".to_owned());
    assert_eq!(lacks(&managed), [told]);
    managed.wants(news("r2", false, &[change("a", 2)]));
    let order = carried_out(&mut managed, &[]);
    assert_eq!(order.live.len(), 2, "what waited comes with it");
    assert_eq!(lacks(&managed), []);
    assert_eq!(managed.stand.as_deref(), Some("r2"));
    managed.hold(change("a", 1));
    assert_eq!(carried_out(&mut managed, &[]).stand, None);
    managed.worker_is_new(Some("r2".into()));
    assert_eq!(carried_out(&mut managed, &[]).live.len(), 2);
}

#[test]
fn what_was_compiled_is_known_as_long_as_it_is_wanted_and_no_longer() {
    let compile = |managed: &mut Managed| {
        for (key, _) in managed.to_compile() {
            managed.compiled(key, None);
        }
        assert_eq!(managed.to_compile(), []);
        carried_out(managed, &[]);
        let known = managed.compiled.iter();
        let known: Vec<String> = known.map(|(chain, nth)| format!("{chain} {nth}")).collect();
        known.join(", ")
    };
    let live = |name: &str, version| News {
        live: vec![Change {
            chain: Chain::Zone(name.into()),
            version,
            text: Some(String::new()),
        }],
        ..News::default()
    };
    let mut managed = Managed::default();
    managed.wants(News {
        trials: vec![trial(Chain::Zone("a".into())), trial(Chain::Platform)],
        ..News::default()
    });
    assert_eq!(compile(&mut managed), "platform 7, zone/a 7");
    // One of them is for all now, the other one was taken back.
    managed.wants(live("a", 7));
    assert_eq!(compile(&mut managed), "zone/a 7");
    managed.wants(live("b", 3));
    assert_eq!(compile(&mut managed), "zone/a 7, zone/b 3");
    managed.wants(live("a", 8));
    assert_eq!(compile(&mut managed), "zone/a 8, zone/b 3");
    // What is held here takes the place of what serves, and of what is on trial.
    let mut news = live("b", 4);
    news.trials = vec![trial(Chain::Zone("a".into()))];
    managed.wants(news);
    assert_eq!(compile(&mut managed), "zone/a 7, zone/a 8, zone/b 4");
    managed.hold(live("a", 6).live.remove(0));
    assert_eq!(compile(&mut managed), "zone/a 6, zone/b 4");
    let whole = News {
        whole: true,
        ..live("b", 4)
    };
    managed.wants(whole);
    assert_eq!(compile(&mut managed), "zone/a 6, zone/b 4");
    assert!(managed.release(&Chain::Zone("a".into())));
    assert_eq!(compile(&mut managed), "zone/a 8, zone/b 4");
    managed.wants(News {
        whole: true,
        ..News::default()
    });
    assert_eq!(compile(&mut managed), "");
}

#[test]
fn what_is_held_before_anything_is_known_ends_with_what_comes_after_what_is_seen_first() {
    let chain = Chain::Zone("a.test".into());
    let change = |version| Change {
        chain: chain.clone(),
        version,
        text: Some(String::new()),
    };
    let says = |version| News {
        live: vec![change(version)],
        ..News::default()
    };
    let is_held = |managed: &Managed| managed.held().count() == 1;
    let mut managed = Managed::default();
    managed.hold(change(0));
    assert!(managed.wants(says(3)), "what is known is kept");
    assert!(is_held(&managed));
    assert!(!managed.wants(says(3)) && is_held(&managed));
    assert!(managed.wants(says(4)) && !is_held(&managed));
    // What an earlier process had held was held when that was known.
    let mut managed = Managed::default();
    managed.resume(vec![Held {
        change: change(0),
        known: 2,
    }]);
    assert!(managed.wants(says(3)) && !is_held(&managed));
    // One that died before it knew had held what is seen first.
    let mut managed = Managed::default();
    managed.resume(vec![Held {
        change: change(0),
        known: 0,
    }]);
    assert!(managed.wants(says(3)) && is_held(&managed));
}
