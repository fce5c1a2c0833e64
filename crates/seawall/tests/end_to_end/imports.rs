//! The file that `seawall up` was given, changed while it serves: what is wrong with one zone is that zone's affair.

use serde_json::Value;

use crate::fleet::seawall;
use crate::origin::Answering;
use crate::rollouts::{applied, start};
use crate::tools::curl;
use crate::up::{Up, send, until};

/// Zones `a.test` and `b.test`, each with more of its own.
fn both(origin: &str, a: &str, b: &str) -> String {
    let zone = |name: &str, more: &str| {
        format!(
            "[[zone]]\nname = \"{name}\"\nhosts = [\"{name}\"]\norigin = [{{ url = \"{origin}\" }}]\n{more}"
        )
    };
    format!("schema = 1\n{}{}", zone("a.test", a), zone("b.test", b))
}

fn refuses(path: &str) -> String {
    format!("[[zone.rule]]\nwhen = 'http.request.uri.path eq \"{path}\"'\naction = \"block\"\n")
}

fn get(up: &Up, host: &str, path: &str) -> u16 {
    curl(&["-H", &format!("Host: {host}"), &up.url(path)]).status
}

fn status(up: &Up) -> Value {
    let output = seawall(&["status", "--json"], &up.data());
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn is_degraded_by_file(status: &Value) -> bool {
    let all = status["degraded"].as_array();
    all.is_some_and(|words| words.iter().any(|word| word == "file"))
}

#[test]
fn a_zone_that_turns_bad_in_the_file_stays_as_it_was_the_others_go_live_and_it_is_told() {
    let site = Answering::start("good");
    let url = site.url();
    let up = start(&both(&url, &refuses("/a1"), ""), "500");
    assert_eq!(get(&up, "a.test", "/a1"), 403);
    assert!(!is_degraded_by_file(&status(&up)));
    let bad = [
        // Found when it is compiled, and when it is read.
        "[[zone.rule]]\nwhen = 'ip.src in $none'\naction = \"block\"\n",
        "nonsense = true\n",
    ];
    for (round, bad) in bad.iter().enumerate() {
        let path = format!("/b{round}");
        let a = format!("{bad}{}", refuses("/a2"));
        up.folder()
            .write("seawall.toml", &both(&url, &a, &refuses(&path)));
        up.signal(libc::SIGHUP);
        until("the good zone's rule", || {
            (get(&up, "b.test", &path) == 403).then_some(())
        });
        assert_eq!(get(&up, "a.test", "/a1"), 403, "it is as it was");
        assert_eq!(get(&up, "a.test", "/a2"), 200, "it is as it was");
        let told = status(&up);
        assert!(is_degraded_by_file(&told), "{told:#}");
        let left_out = told["control"]["left_out"].as_str().unwrap_or_default();
        let what = ["none", "nonsense"][round];
        assert!(
            left_out.contains("zone/a.test") && left_out.contains(what),
            "{left_out}"
        );
        assert!(up.log().contains("is taken in but for zone/a.test"));
    }
    // Told for as long as it is so: also by a control that found it like that.
    let control = || status(&up)["edge"]["up"]["pids"]["control"].as_u64();
    let pid = until("control", control);
    send(pid as u32, libc::SIGKILL);
    until("another control that tells it", || {
        let is_other = control().is_some_and(|now| now != pid);
        (is_other && is_degraded_by_file(&status(&up))).then_some(())
    });
    let mended = both(&url, &refuses("/a2"), &refuses("/b1"));
    up.folder().write("seawall.toml", &mended);
    up.signal(libc::SIGHUP);
    until("the mended zone's rule", || {
        (get(&up, "a.test", "/a2") == 403).then_some(())
    });
    until("nothing that is left out", || {
        (!is_degraded_by_file(&status(&up))).then_some(())
    });
}

/// Kills control, and waits for another one, which answers when it has taken in the file.
fn restart_control(up: &Up) {
    let control = || status(up)["edge"]["up"]["pids"]["control"].as_u64();
    let pid = until("control", control);
    send(pid as u32, libc::SIGKILL);
    until("another control", || control().filter(|now| *now != pid));
    until("its first answer", || {
        let output = seawall(&["rollouts"], &up.data());
        output.status.success().then_some(())
    });
}

#[test]
fn what_was_changed_by_command_is_told_at_each_start_with_what_differs_and_both_ways_out() {
    let site = Answering::start("good");
    let url = site.url();
    let config = |path: &str| both(&url, &refuses(path), "");
    let up = start(&config("/file"), "500");
    let told = || up.log().matches("zone/a.test was changed by").count();
    restart_control(&up);
    assert_eq!(told(), 0, "what is equal is not told");
    let (code, said) = applied(&up, &config("/hand"), &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    // The file is what it was.
    for times in 1..=2 {
        restart_control(&up);
        assert_eq!(told(), times, "{}", up.log());
    }
    let differs = |mark: char, path: &str| {
        let log = up.log();
        log.lines()
            .any(|line| line.starts_with(mark) && line.contains(path))
    };
    assert!(differs('-', "/file") && differs('+', "/hand"));
    let file = up.folder().join("seawall.toml");
    let log = up.log();
    for way in [
        "GET /api/v1/zones/a.test/document".to_owned(),
        format!("`seawall apply {}`", file.display()),
    ] {
        assert!(log.contains(&way), "{way}");
    }
    assert!(!log.contains("zone/b.test was") && !log.contains("platform was"));
    // Both have changed.
    up.folder().write("seawall.toml", &config("/later"));
    up.signal(libc::SIGHUP);
    until("what the file says now", || {
        differs('-', "/later").then_some(())
    });
    assert_eq!(get(&up, "a.test", "/hand"), 403);
    let before = told();
    // One of the ways out, and nothing is told any more.
    let (code, said) = applied(&up, &config("/later"), &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    restart_control(&up);
    assert_eq!(told(), before, "{}", up.log());
    assert_eq!(get(&up, "a.test", "/later"), 403);
    // What was deleted is told too.
    let output = seawall(&["delete", "b.test", "--wait"], &up.data());
    assert_eq!(output.status.code(), Some(0));
    restart_control(&up);
    assert!(up.log().contains("zone/b.test was deleted by"));
    assert_eq!(told(), before, "{}", up.log());
}

#[test]
fn what_all_zones_share_goes_live_whole_or_not_at_all() {
    let site = Answering::start("good");
    let list = "schema = 1\n[lists.l]\nips = [\"127.0.0.0/8\"]\n";
    let named = "[[zone.rule]]\nwhen = 'ip.src in $l'\naction = \"block\"\n";
    let config = |b: &str| both(&site.url(), named, b);
    let good = config("").replacen("schema = 1\n", list, 1);
    let up = start(&good, "500");
    assert_eq!(get(&up, "a.test", "/"), 403);
    // The list goes, and with it would go a zone that serves.
    up.folder().write("seawall.toml", &config(&refuses("/b")));
    up.signal(libc::SIGHUP);
    until("what is told", || {
        is_degraded_by_file(&status(&up)).then_some(())
    });
    assert!(
        up.log()
            .contains("is not taken in, what is live stays live")
    );
    assert_eq!(get(&up, "a.test", "/"), 403);
    assert_eq!(get(&up, "b.test", "/b"), 200);
}
