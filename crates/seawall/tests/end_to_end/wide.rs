//! Changes that a share of the clients cannot meet first as it meets others: a new zone beneath a wildcard, a host that is given up,
//! limits of all zones together.

use std::time::Duration;

use crate::clients::Clients;
use crate::origin::Answering;
use crate::rollouts::{applied, get, start, zone};
use crate::tools::curl;
use crate::up::until;

#[test]
fn a_new_zone_takes_its_host_from_a_wildcard() {
    let site = Answering::start("good");
    let all = zone(&site.url(), "").replace("[\"a.test\"]", "[\"a.test\", \"*\"]");
    assert!(all.contains("\"*\""));
    let up = start(&all, "10");
    let status = || curl(&["-H", "Host: new.test", &up.url("/private")]).status;
    assert_eq!(status(), 200, "the wildcard's");
    let new = format!(
        "schema = 1\n[[zone]]\nname = \"new.test\"\nhosts = [\"new.test\"]\norigin = [{{ url = \"{}\" }}]\n\
         [[zone.rule]]\nwhen = 'http.request.uri.path eq \"/private\"'\naction = \"block\"\n",
        site.url()
    );
    let (code, said) = applied(&up, &new, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(status(), 403);
    // What the other zone has is as it was.
    assert_eq!(get(&up, "/private"), 200);
}

#[test]
fn a_host_that_people_ask_for_is_not_given_up_by_mistake() {
    let site = Answering::start("good");
    let up = start(&zone(&site.url(), ""), "10");
    // One a second is kept.
    for _ in 0..12 {
        assert_eq!(get(&up, "/"), 200);
        std::thread::sleep(Duration::from_millis(1_010));
    }
    let other = zone(&site.url(), "").replace("[\"a.test\"]", "[\"b.test\"]");
    assert!(other.contains("[\"b.test\"]"));
    let (code, said) = applied(&up, &other, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("judged otherwise"), "{said}");
    assert_eq!(get(&up, "/"), 200);
    let (code, said) = applied(&up, &other, &["--approve"]);
    assert_eq!(code, Some(0), "it is meant: {said}");
    assert_eq!(get(&up, "/"), 421);
}

#[test]
fn limits_of_all_zones_are_on_trial_before_they_are_for_good() {
    let site = Answering::start("good");
    let up = start(&zone(&site.url(), ""), "10");
    let clients = Clients::start(up.http(), 40);
    until("traffic", || (clients.seen().len() == 40).then_some(()));
    let narrow = |limits: &str| {
        let text = format!("schema = 1\n[edge]\nlimits = {{ {limits} }}\n");
        let (code, said) = applied(&up, &text, &[]);
        assert_eq!(code, Some(1), "{limits}: {said}");
        assert!(said.contains("taken back"), "{limits}: {said}");
        until("it is as before", || (get(&up, "/") == 200).then_some(()));
    };
    narrow("requests_in_progress = 1");
    narrow("connections = 1");
    clients.end();
    // Targets that are long are what is usual then: nobody meets a limit that they are beyond.
    let long = format!("/{}", "a".repeat(400));
    for _ in 0..12 {
        // A machine that has too much to do may refuse one just behind so many.
        until("a long target", || (get(&up, &long) == 200).then_some(()));
        std::thread::sleep(Duration::from_millis(1_010));
    }
    narrow("target_bytes = \"256B\"");
    assert_eq!(get(&up, &long), 200);
    // One that is wide enough comes to all.
    let text = "schema = 1\n[edge]\nlimits = { requests_in_progress = 5000 }\n";
    let (code, said) = applied(&up, text, &[]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_rate_limit_that_refuses_everybody_is_taken_back() {
    let site = Answering::start("good");
    let up = start(&zone(&site.url(), ""), "10");
    let clients = Clients::start(up.http(), 100);
    until("traffic", || (clients.seen().len() == 100).then_some(()));
    let limit = "[[zone.rate_limit]]\nby = [\"http.host\"]\nrequests = 5\nper = \"1m\"\naction = \"block\"\n";
    let (code, said) = applied(&up, &zone(&site.url(), limit), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("clients are refused"), "{said}");
    until("it is as before", || (get(&up, "/") == 200).then_some(()));
    // Nobody is refused by one that is wide.
    let wide = limit.replace("requests = 5\n", "requests = 500000\n");
    let (code, said) = applied(&up, &zone(&site.url(), &wide), &[]);
    assert_eq!(code, Some(0), "{said}");
    clients.end();
}
