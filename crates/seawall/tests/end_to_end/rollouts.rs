//! Changes that are applied to a Seawall that serves: good ones come to all, bad ones are taken back by themselves, and whoever is
//! not among the first clients notices nothing.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::Value;

use crate::clients::Clients;
pub use crate::fleet::{told, zone};
use crate::origin::{Answering, nowhere};
use crate::tools::curl;
use crate::up::{Folder, Up, command, finished, patience, send, until};

pub fn asks(up: &Up, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    let [first, rest @ ..] = words else {
        panic!("no command");
    };
    command.arg(first).args(rest);
    command.arg("--data").arg(up.data());
    finished(&mut command)
}

pub fn applied(up: &Up, text: &str, more: &[&str]) -> (Option<i32>, String) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("apply-{}.toml", NEXT.fetch_add(1, Ordering::Relaxed));
    let file = up.folder().write(&name, text);
    let mut words = vec!["apply", file.to_str().unwrap(), "--wait"];
    words.extend(more);
    told(asks(up, &words))
}

fn versions(up: &Up) -> Vec<Value> {
    let output = asks(up, &["versions", "a.test", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// The number of the version that serves.
pub fn serves(up: &Up) -> Option<u64> {
    let all = versions(up);
    let mut serves = all.iter().filter(|version| version["serves"] == true);
    serves.next()?["number"].as_u64()
}

/// A Seawall before a site, whose first import is over, at this pace.
pub fn start(config: &str, speed: &str) -> Up {
    let folder = Folder::new();
    let file = folder.write("seawall.toml", config);
    let up = Up::start(
        folder,
        &["--config", file.to_str().unwrap(), "--speed", speed],
    );
    until("the first import", || serves(&up));
    up
}

pub fn get(up: &Up, path: &str) -> u16 {
    curl(&["-H", "Host: a.test", &up.url(path)]).status
}

#[test]
fn a_change_that_breaks_requests_is_taken_back_and_only_the_first_clients_notice() {
    let site = Answering::start("good");
    let good = zone(&site.url(), "");
    let up = start(&good, "10");
    let clients = Clients::start(up.http(), 100);
    until("traffic", || (clients.seen().len() == 100).then_some(()));
    let (code, said) = applied(&up, &zone(&nowhere(), ""), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("taken back"), "{said}");
    until("what served before", || {
        (serves(&up) == Some(3)).then_some(())
    });
    let seen = clients.end();
    let unharmed = seen.iter().filter(|(_, badly)| *badly == 0).count();
    let bad: u64 = seen.iter().map(|(_, badly)| badly).sum();
    let all: u64 = seen.iter().map(|(well, badly)| well + badly).sum();
    println!("{unharmed} of 100 clients unharmed, {bad} of {all} requests answered badly");
    assert!(unharmed >= 80, "{unharmed} of 100 clients unharmed");
    assert!(bad > 0, "nobody was served by the bad version");
    assert_eq!(get(&up, "/"), 200);
    let numbers: Vec<_> = versions(&up)
        .iter()
        .map(|one| one["number"].as_u64())
        .collect();
    assert_eq!(
        numbers,
        [Some(3), Some(2), Some(1)],
        "back is a new version"
    );
}

#[test]
fn a_change_that_a_newer_one_replaces_says_so() {
    let site = Answering::start("good");
    // At this pace the first one is on its way still when the next one comes.
    let up = start(&zone(&site.url(), ""), "1");
    let [first, next] = ["/one", "/two"].map(|path| {
        let when = format!("http.request.uri.path eq \"{path}\"");
        let rule = format!("[[zone.rule]]\nwhen = '{when}'\naction = \"block\"\n");
        zone(&site.url(), &rule)
    });
    let next = up.folder().write("next.toml", &next);
    let (code, said) = std::thread::scope(|scope| {
        let first = scope.spawn(|| applied(&up, &first, &["--approve"]));
        until("its rollout", || {
            let (_, said) = told(asks(&up, &["rollouts"]));
            said.contains("a.test version 2").then_some(())
        });
        let file = next.to_str().unwrap();
        let words = ["apply", file, "--approve", "--why", "it is better"];
        let (code, said) = told(asks(&up, &words));
        assert_eq!(code, Some(0), "{said}");
        first.join().unwrap()
    });
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("version 2 was replaced: version 3 by "),
        "{said}"
    );
    assert!(said.contains("took its place: it is better"), "{said}");
}

#[test]
fn a_rule_that_refuses_everybody_is_taken_back_and_one_that_refuses_nobody_comes_to_all() {
    let site = Answering::start("good");
    let up = start(&zone(&site.url(), ""), "10");
    let clients = Clients::start(up.http(), 60);
    let rule = |when: &str| {
        zone(
            &site.url(),
            &format!("[[zone.rule]]\nwhen = '{when}'\naction = \"block\"\n"),
        )
    };
    let (code, said) = applied(&up, &rule("http.request.uri.path contains \"x\""), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("judged otherwise"), "{said}");
    let wanted = rule("http.request.uri.path contains \"x\"");
    let (code, said) = applied(&up, &wanted, &["--approve"]);
    assert_eq!(code, Some(0), "it is meant: {said}");
    let (code, said) = applied(&up, &zone(&site.url(), ""), &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = applied(&up, &rule("http.request.uri.path contains \"secret\""), &[]);
    assert_eq!(code, Some(0), "{said}");
    clients.end();
    assert_eq!(get(&up, "/secret"), 403);
    assert_eq!(get(&up, "/x"), 200);
}

#[test]
fn a_rule_that_would_have_refused_what_was_served_of_late_meets_nobody() {
    let site = Answering::start("good");
    let up = start(&zone(&site.url(), ""), "10");
    // One a second is kept; then the site is idle.
    for _ in 0..12 {
        assert_eq!(get(&up, "/x"), 200);
        std::thread::sleep(std::time::Duration::from_millis(1_010));
    }
    let rule = |more: &str| {
        let rule = "[[zone.rule]]\nwhen = 'http.request.uri.path eq \"/x\"'\naction = \"block\"\n";
        zone(&site.url(), &format!("{more}{rule}"))
    };
    let (code, said) = applied(&up, &rule(""), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("judged otherwise"), "{said}");
    // A zone of which nothing is kept has nothing to be judged by.
    let (code, said) = applied(&up, &zone(&site.url(), "replay = false\n"), &[]);
    assert_eq!(code, Some(0), "{said}");
    for _ in 0..3 {
        assert_eq!(get(&up, "/x"), 200);
        std::thread::sleep(std::time::Duration::from_millis(1_010));
    }
    let (code, said) = applied(&up, &rule("replay = false\n"), &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(get(&up, "/x"), 403);
}

#[test]
fn a_rollback_never_brings_back_what_was_taken_back() {
    let site = Answering::start("good");
    let up = start(&zone(&site.url(), ""), "100");
    let (code, said) = applied(&up, &zone(&nowhere(), ""), &[]);
    assert_eq!(code, Some(1), "{said}");
    // Two versions have served everybody, the first and the one that is as it: there is no other to go back to.
    let back = |more: &[&str]| {
        let output = asks(&up, &[&["rollback", "a.test"], more].concat());
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    // While one is still on its way back, that is where it goes.
    until("the end of all rollouts", || {
        let (_, said) = told(asks(&up, &["rollouts"]));
        said.contains("no rollout runs").then_some(())
    });
    let (code, said) = back(&["--wait"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no other version that ever served"), "{said}");
    // Nothing waits for an approval, so there is none to be given.
    assert_eq!(told(asks(&up, &["approve"])).0, Some(1));
    assert_eq!(get(&up, "/"), 200);
    // Whoever names it may be asked whether that is meant, for it alternates; it is tried as anything new, and goes back again.
    let (code, said) = back(&["2"]);
    assert_eq!(code, Some(0), "{said}");
    until("that it goes back", || {
        asks(&up, &["approve"]);
        (up.log().matches("is taken back").count() == 2).then_some(())
    });
    assert_eq!(get(&up, "/"), 200);
}

#[test]
fn an_idle_site_takes_a_change_and_a_bad_one_is_found_by_probes() {
    let site = Answering::start("good");
    let up = start(&zone(&site.url(), ""), "100");
    let (code, said) = applied(
        &up,
        &zone(&site.url(), "[zone.hygiene]\nnosniff = true\n"),
        &[],
    );
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = applied(&up, &zone(&nowhere(), ""), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(get(&up, "/"), 200);
}

#[test]
fn a_new_zone_that_is_bad_is_gone_again_at_once() {
    let site = Answering::start("good");
    // A minute here lasts six seconds there: nobody waits for a zone that is not there to go.
    let up = start(&zone(&site.url(), ""), "10");
    let other = zone(&nowhere(), "").replace("a.test", "b.test");
    let (code, said) = applied(&up, &other, &["--approve"]);
    assert_eq!(code, Some(1), "{said}");
    until("the end of the way back", || {
        let (_, said) = told(asks(&up, &["rollouts"]));
        said.contains("no rollout runs").then_some(())
    });
    let of = |host: &str| curl(&["-H", &format!("Host: {host}"), &up.url("/")]).status;
    assert_eq!((of("a.test"), of("b.test")), (200, 421));
}

#[test]
fn what_cannot_be_compiled_makes_no_version() {
    let site = Answering::start("good");
    let up = start(&zone(&site.url(), ""), "500");
    let (code, said) = applied(
        &up,
        &zone(
            &site.url(),
            "[[zone.rule]]\nwhen = 'ip.src in $none'\naction = \"block\"\n",
        ),
        &[],
    );
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("zone/a.test") && said.contains("none"),
        "{said}"
    );
    assert_eq!(versions(&up).len(), 1);
}

#[test]
fn versions_are_rolled_back_deleted_restored_and_pinned() {
    let site = Answering::start("good");
    let up = start(&zone(&site.url(), ""), "500");
    let rule = |path: &str| {
        format!(
            "[[zone.rule]]\nname = \"{path}\"\nwhen = 'http.request.uri.path eq \"{path}\"'\naction = \"block\"\n"
        )
    };
    // The first rules of a small zone are many lines, and no reason to ask a person.
    let block = zone(&site.url(), &[rule("/no"), rule("/nor-this")].concat());
    let (code, said) = applied(&up, &block, &["--why", "nobody needs it"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(get(&up, "/no"), 403);
    let (code, said) = applied(&up, &block, &["--parent", "1"]);
    assert_eq!(code, Some(1), "two administrators: {said}");
    assert!(said.contains("somebody else was first"), "{said}");
    let (code, said) = told(asks(&up, &["diff", "a.test", "1", "2"]));
    assert!(
        code == Some(0) && said.contains("+action") || said.contains("block"),
        "{said}"
    );
    let (code, said) = told(asks(
        &up,
        &["rollback", "a.test", "--wait", "--why", "it is needed"],
    ));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(get(&up, "/no"), 200);
    assert_eq!(serves(&up), Some(3));
    // It is the last zone: somebody must mean it.
    let (code, said) = told(asks(&up, &["delete", "a.test", "--wait"]));
    assert_eq!(code, Some(3), "{said}");
    assert_eq!(get(&up, "/"), 200);
    assert_eq!(told(asks(&up, &["approve"])).0, Some(0));
    until("it is gone", || (get(&up, "/") == 421).then_some(()));
    let (code, said) = told(asks(&up, &["delete", "a.test", "--restore", "--wait"]));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(get(&up, "/"), 200);
    assert_eq!(told(asks(&up, &["pin", "a.test"])).0, Some(0));
    let file = up.folder().write("pinned.toml", &block);
    // Only a person can end that: whoever waits is told what to do.
    let (code, said) = told(asks(&up, &["apply", file.to_str().unwrap(), "--wait"]));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("`seawall pin a.test --remove`"), "{said}");
    until("a rollout that waits", || {
        let (_, said) = told(asks(&up, &["rollouts"]));
        said.contains("pinned").then_some(())
    });
    assert_eq!(get(&up, "/no"), 200);
    assert_eq!(told(asks(&up, &["pin", "a.test", "--remove"])).0, Some(0));
    until("the version that waited", || {
        (get(&up, "/no") == 403).then_some(())
    });
}

#[test]
fn a_file_that_changes_comes_by_and_by_and_never_over_what_somebody_else_changed() {
    let site = Answering::start("good");
    let up = start(&zone(&site.url(), ""), "500");
    let rule = |path: &str| {
        zone(
            &site.url(),
            &format!(
                "[[zone.rule]]\nwhen = 'http.request.uri.path eq \"{path}\"'\naction = \"block\"\n"
            ),
        )
    };
    up.folder().write("seawall.toml", &rule("/file"));
    up.signal(libc::SIGHUP);
    until("the file's rule", || {
        (get(&up, "/file") == 403).then_some(())
    });
    let (code, said) = applied(&up, &rule("/hand"), &[]);
    assert_eq!(code, Some(0), "{said}");
    up.folder().write("seawall.toml", &rule("/later"));
    up.signal(libc::SIGHUP);
    until("what is said of both ways out", || {
        up.log().contains("was changed by").then_some(())
    });
    assert_eq!(get(&up, "/hand"), 403);
    assert_eq!(get(&up, "/later"), 200);
}

#[test]
fn a_control_that_is_killed_in_the_middle_goes_on_and_sites_do_not_need_it() {
    let site = Answering::start("good");
    let up = start(&zone(&site.url(), ""), "20");
    let control = || {
        let text = std::fs::read(up.data().join("up.json")).ok()?;
        let up: Value = serde_json::from_slice(&text).ok()?;
        up["pids"]["control"].as_u64()
    };
    let file = up.folder().write(
        "next.toml",
        &zone(
            &site.url(),
            "[[zone.rule]]\nwhen = 'http.request.uri.path eq \"/no\"'\naction = \"block\"\n",
        ),
    );
    let (code, said) = told(asks(&up, &["apply", file.to_str().unwrap()]));
    assert_eq!(code, Some(0), "{said}");
    for _ in 0..5 {
        let pid = until("control", control);
        send(pid as u32, libc::SIGKILL);
        assert_eq!(get(&up, "/"), 200);
        until("another control", || control().filter(|now| *now != pid));
    }
    until("the change", || (serves(&up) == Some(2)).then_some(()));
    assert_eq!(get(&up, "/no"), 403);
}

#[test]
fn with_all_else_dead_a_restart_serves_what_was_live() {
    let site = Answering::start("good");
    let mut up = start(&zone(&site.url(), ""), "500");
    let (code, said) = applied(
        &up,
        &zone(
            &site.url(),
            "[[zone.rule]]\nwhen = 'http.request.uri.path eq \"/no\"'\naction = \"block\"\n",
        ),
        &[],
    );
    assert_eq!(code, Some(0), "{said}");
    until("what is live on disk", || {
        let live = std::fs::read(up.data().join("live")).ok()?;
        String::from_utf8_lossy(&live).contains("/no").then_some(())
    });
    up.signal(libc::SIGTERM);
    assert!(up.ended().success());
    // The store is gone, and the file is no longer what it was.
    for name in ["control.db", "control.db-wal", "control.db-shm"] {
        let _ = std::fs::remove_file(up.data().join(name));
    }
    std::fs::create_dir(up.data().join("control.db")).unwrap();
    let file = up
        .folder()
        .write("seawall.toml", "schema = 1\nnonsense = true\n");
    let data = up.data();
    let mut again = command(&data);
    again.args(["--config", file.to_str().unwrap()]);
    let folder = up.leave();
    again.stdout(folder.log());
    let again = Up::spawned(folder, again);
    assert_eq!(get(&again, "/no"), 403);
    assert_eq!(get(&again, "/"), 200);
}

/// The process beside the agent that waits for the next change.
fn waiting(up: &Up) -> Option<u32> {
    let contents = up.data().join("contents");
    let contents = contents.to_str().unwrap();
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(|pid: &u32| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&str> = line.split('\0').collect();
        words.contains(&"trial") && words.contains(&contents)
    })
}

#[test]
fn each_change_has_a_process_of_its_own_that_waited_and_whoever_ends_that_holds_none_up() {
    let site = Answering::start("good");
    let up = start(&zone(&site.url(), ""), "500");
    let mut used = Vec::new();
    for nth in 0..3 {
        let waits = until("a process that waits", || waiting(&up));
        assert!(!used.contains(&waits), "it has compiled something");
        used.push(waits);
        if nth == 1 {
            send(waits, libc::SIGKILL);
            until("its end", || (waiting(&up) != Some(waits)).then_some(()));
        }
        let path = format!("/no{nth}");
        let rule = format!(
            "[[zone.rule]]\nwhen = 'http.request.uri.path eq \"{path}\"'\naction = \"block\"\n"
        );
        let (code, said) = applied(&up, &zone(&site.url(), &rule), &[]);
        assert_eq!((code, get(&up, &path)), (Some(0), 403), "{said}");
        until("its end", || (waiting(&up) != Some(waits)).then_some(()));
    }
}

/// How much a process has read; none once it is gone.
fn has_read(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: "))?;
    line.trim().parse().ok()
}

/// Waits until a process waits for what it is to read.
fn reads_nothing(pid: u32) -> Option<u64> {
    let (mut read, mut looks) = (None, 0);
    until("that it is all set", || {
        let now = has_read(pid);
        looks = if now == read { looks + 1 } else { 0 };
        read = now;
        (looks == 20).then_some(())
    });
    read
}

/// Kills a process once it has read more than this. Whether it had not ended by then.
fn kills_at_work(pid: u32, read: Option<u64>) -> bool {
    let begun = Instant::now();
    while has_read(pid) == read && begun.elapsed() < patience() {}
    // SAFETY: two numbers.
    unsafe { libc::kill(pid as i32, libc::SIGSTOP) };
    // What has stopped had not ended.
    let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let had_not = until("that it has stopped, or is gone", || {
        let stat = stat();
        let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        match state.get(..1) {
            Some("T") => Some(true),
            None | Some("Z" | "X") => Some(false),
            Some(_) => None,
        }
    });
    if had_not {
        send(pid, libc::SIGKILL);
    }
    had_not
}

#[test]
fn what_compiles_a_change_and_is_killed_is_no_reason_to_take_it_back() {
    let site = Answering::start("good");
    let up = start(&zone(&site.url(), ""), "500");
    // Where the machine is slow the first ones may be done before they are met.
    let is_met = (0..10).any(|round| {
        let waits = until("a process that waits", || waiting(&up));
        let read = reads_nothing(waits);
        let rules: String = (0..100)
            .map(|nth| {
                format!(
                    "[[zone.rule]]\nwhen = 'http.request.uri.path eq \"/no{round}-{nth}\"'\naction = \"block\"\n"
                )
            })
            .collect();
        let text = zone(&site.url(), &rules);
        let (told, is_met) = std::thread::scope(|scope| {
            let kills = scope.spawn(|| kills_at_work(waits, read));
            let told = applied(&up, &text, &["--approve"]);
            (told, kills.join().unwrap())
        });
        let path = format!("/no{round}-99");
        assert_eq!((told.0, get(&up, &path)), (Some(0), 403), "{}", told.1);
        is_met
    });
    assert!(is_met, "none was met at work");
}
