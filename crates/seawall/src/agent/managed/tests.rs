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
    let stand = order.stand.clone().filter(|_| refuses.is_empty());
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

#[test]
fn an_agent_that_is_new_orders_nothing_that_the_worker_has() {
    let all = [change("a", 1), change("b", 2)];
    let mut managed = Managed::default();
    managed.worker_is_new(Some("r2".into()));
    assert!(managed.order().unwrap().says_nothing_of_live());
    managed.wants(news("r2", true, &all));
    assert_eq!(managed.to_compile(), []);
    assert!(managed.order().unwrap().says_nothing_of_live());
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
        managed.order();
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
