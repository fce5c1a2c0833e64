//! A host that moves from one zone to another in one change.

use serde_json::Value;

use crate::clients::Clients;
use crate::origin::{Answering, nowhere};
use crate::rollouts::{applied, asks};
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
    curl(&["-H", "Host: a.test", &up.url("/x")]).text()
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
