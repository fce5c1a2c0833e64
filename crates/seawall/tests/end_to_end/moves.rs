//! A host that moves from one zone to another in one change.

use serde_json::Value;

use crate::clients::Clients;
use crate::fleet::{Control, edge, struck};
use crate::origin::{Answering, nowhere};
use crate::rollouts::{applied, asks, told};
use crate::tools::curl;
use crate::up::{Folder, Up, until};

/// A zone with these hosts.
fn zone(name: &str, hosts: &str, origin: &str) -> String {
    format!("[[zone]]\nname = \"{name}\"\nhosts = [{hosts}]\norigin = [{{ url = \"{origin}\" }}]\n")
}

fn both(one: &str, two: &str) -> String {
    format!("schema = 1\n{one}{two}")
}

/// A Seawall with two zones, once its first import is over.
fn start(config: &str, speed: &str) -> Up {
    let folder = Folder::new();
    let file = folder.write("seawall.toml", config);
    let words = ["--config", file.to_str().unwrap(), "--speed", speed];
    let up = Up::start(folder, &words);
    for zone in ["one", "two"] {
        until("the first import", || newest(&up, zone).1);
    }
    up
}

fn answer(up: &Up) -> String {
    answer_of(up, "a.test")
}

fn answer_of(up: &Up, host: &str) -> String {
    curl(&["-H", &format!("Host: {host}"), &up.url("/x")]).text()
}

/// Number and author of the newest version, and which one serves.
fn newest(up: &Up, zone: &str) -> (u64, Option<u64>) {
    let output = asks(up, &["versions", zone, "--json"]);
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let serves = all.iter().find(|one| one["serves"] == true);
    (
        all.first()
            .and_then(|one| one["number"].as_u64())
            .unwrap_or(0),
        serves.and_then(|one| one["number"].as_u64()),
    )
}

#[test]
fn no_client_is_between_two_zones_while_a_host_moves() {
    let (old, new) = (Answering::start("old"), Answering::start("new"));
    let before = both(
        &zone("one", "\"a.test\", \"one.test\"", &old.url()),
        &zone("two", "\"two.test\"", &new.url()),
    );
    let up = start(&before, "20");
    let clients = Clients::start(up.http(), 100);
    until("traffic", || (clients.seen().len() == 100).then_some(()));
    assert_eq!(answer(&up), "old");
    let after = both(
        &zone("one", "\"one.test\"", &old.url()),
        &zone("two", "\"two.test\", \"a.test\"", &new.url()),
    );
    let (code, said) = applied(&up, &after, &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(answer(&up), "new");
    assert_eq!(
        (newest(&up, "one"), newest(&up, "two")),
        ((2, Some(2)), (2, Some(2)))
    );
    // And to a zone that there was not.
    let after = format!(
        "{}{}",
        both(
            &zone("one", "\"one.test\"", &old.url()),
            &zone("two", "\"two.test\"", &new.url()),
        ),
        zone("three", "\"a.test\"", &old.url()),
    );
    let (code, said) = applied(&up, &after, &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(answer(&up), "old");
    let seen = clients.end();
    let (well, badly) = seen.iter().fold((0, 0), |(well, badly), (more, worse)| {
        (well + more, badly + worse)
    });
    println!("{well} of {} requests answered well", well + badly);
    assert_eq!(badly, 0, "of {well}");
}

#[test]
fn what_takes_one_of_them_back_takes_both() {
    let old = Answering::start("old");
    let before = both(
        &zone("one", "\"a.test\", \"one.test\"", &old.url()),
        &zone("two", "\"two.test\"", &old.url()),
    );
    let up = start(&before, "10");
    let clients = Clients::start(up.http(), 100);
    until("traffic", || (clients.seen().len() == 100).then_some(()));
    // It is well without the host; the other one is broken with it.
    let after = both(
        &zone("one", "\"one.test\"", &old.url()),
        &zone("two", "\"two.test\", \"a.test\"", &nowhere()),
    );
    let (code, said) = applied(&up, &after, &["--approve"]);
    assert_eq!(code, Some(1), "{said}");
    let taken_back = said.matches("was taken back").count();
    assert_eq!(taken_back, 2, "{said}");
    until("what served before", || {
        let both = [newest(&up, "one"), newest(&up, "two")];
        both.iter().all(|one| *one == (3, Some(3))).then_some(())
    });
    let seen = clients.end();
    let unharmed = seen.iter().filter(|(_, badly)| *badly == 0).count();
    assert!(unharmed >= 80, "{unharmed} of 100 clients unharmed");
    assert_eq!(answer(&up), "old");
}

#[test]
fn two_zones_exchange_their_hosts_and_no_client_is_between_them() {
    let (old, new) = (Answering::start("old"), Answering::start("new"));
    let before = both(
        &zone("one", "\"a.test\"", &old.url()),
        &zone("two", "\"two.test\"", &new.url()),
    );
    let up = start(&before, "20");
    let clients = Clients::start(up.http(), 100);
    until("traffic", || (clients.seen().len() == 100).then_some(()));
    assert_eq!(answer(&up), "old");
    let after = both(
        &zone("one", "\"two.test\"", &old.url()),
        &zone("two", "\"a.test\"", &new.url()),
    );
    let (code, said) = applied(&up, &after, &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    let answers = (answer(&up), answer_of(&up, "two.test"));
    assert_eq!(answers, ("new".into(), "old".into()));
    let badly: u64 = clients.end().iter().map(|(_, badly)| badly).sum();
    assert_eq!(badly, 0);
}

#[test]
fn hosts_that_go_on_from_zone_to_zone_do_so_where_nobody_visits() {
    let (old, new) = (Answering::start("old"), Answering::start("new"));
    let before = both(
        &zone("one", "\"a.test\"", &old.url()),
        &zone("two", "\"two.test\"", &new.url()),
    );
    let up = start(&before, "500");
    let after = both(
        &zone("one", "\"two.test\"", &old.url()),
        &zone("two", "\"three.test\"", &new.url()),
    );
    let (code, said) = applied(&up, &after, &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    let answers = (answer_of(&up, "two.test"), answer_of(&up, "three.test"));
    assert_eq!(answers, ("old".into(), "new".into()));
}

#[test]
fn a_version_whose_host_is_another_zones_by_now_does_not_come_back_before_that_is_free() {
    let (old, new) = (Answering::start("old"), Answering::start("new"));
    let first = zone("one", "\"one.test\", \"a.test\"", &old.url());
    let up = start(
        &both(&first, &zone("two", "\"two.test\"", &new.url())),
        "500",
    );
    let after = both(
        &zone("one", "\"one.test\"", &old.url()),
        &zone("two", "\"two.test\", \"a.test\"", &new.url()),
    );
    let (code, said) = applied(&up, &after, &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    // It is refused with the words that it is refused with when it is applied.
    let file = up.folder().write("again.toml", &both(&first, ""));
    let (code, wrong) = told(asks(&up, &["apply", file.to_str().unwrap()]));
    assert_eq!(code, Some(1), "{wrong}");
    assert!(wrong.contains("in zone/one: \"a.test\" is also"), "{wrong}");
    let (code, said) = told(asks(&up, &["rollback", "one", "1"]));
    assert_eq!((code, said), (Some(1), wrong));
    assert_eq!(newest(&up, "one"), (2, Some(2)), "no version was made");
    for back in ["two", "one"] {
        let (code, said) = told(asks(&up, &["rollback", back, "1", "--wait"]));
        assert_eq!(code, Some(0), "{said}");
    }
    assert_eq!(answer(&up), "old");
}

#[test]
fn a_location_that_was_away_while_hosts_went_round_has_them_all_when_it_is_back() {
    let (old, new) = (Answering::start("old"), Answering::start("new"));
    let zones = |one: &str, two: &str, three: &str| {
        [
            zone("one", one, &old.url()),
            zone("two", two, &new.url()),
            zone("three", three, &new.url()),
        ]
        .concat()
    };
    let control = Control::start(500);
    let outward = "schema = 1\n[edge]\noutward = [\"public\", \"private\", \"loopback\"]\n";
    let first = zones(
        "\"one.test\", \"a.test\"",
        "\"two.test\", \"b.test\"",
        "\"three.test\"",
    );
    let (code, said) = control.apply(&format!("{outward}{first}"), &[]);
    assert_eq!(code, Some(0), "{said}");
    let [_ams, far] = ["ams", "far"].map(|location| control.joined(location, &[]));
    until("the first versions are everywhere", || {
        let (_, said) = control.asks(&["rollouts"]);
        said.contains("no rollout runs").then_some(())
    });
    until("what the location serves", || {
        (answer_of(&far, "b.test") == "new").then_some(())
    });
    let folder = struck(far);
    let (code, said) = control.asks(&["drain", "--location", "far"]);
    assert_eq!(code, Some(0), "{said}");
    for (one, two, three) in [
        (
            "\"one.test\"",
            "\"two.test\", \"b.test\"",
            "\"three.test\", \"a.test\"",
        ),
        (
            "\"one.test\", \"b.test\"",
            "\"two.test\"",
            "\"three.test\", \"a.test\"",
        ),
        (
            "\"one.test\", \"b.test\"",
            "\"two.test\", \"a.test\"",
            "\"three.test\"",
        ),
    ] {
        control.applies(&format!("schema = 1\n{}", zones(one, two, three)));
    }
    let far = edge(folder, "500", &[]);
    until("the hosts where they are now", || {
        let answers = (answer_of(&far, "a.test"), answer_of(&far, "b.test"));
        (answers == ("new".into(), "old".into())).then_some(())
    });
}
