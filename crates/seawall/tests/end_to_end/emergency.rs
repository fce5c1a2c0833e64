//! Emergency switches, and what can be done on an edge's own machine when all else is dead.

use serde_json::Value;

use crate::origin::Answering;
use crate::rollouts::{applied, asks, get, serves, start, told, zone};
use crate::tools::curl;
use crate::up::{Up, send, until};

/// A zone in which `/no` is blocked by the stage `rules`.
fn blocks(origin: &str) -> String {
    zone(
        origin,
        "[[zone.rule]]\nwhen = 'http.request.uri.path eq \"/no\"'\naction = \"block\"\n",
    )
}

fn admin(up: &Up, path: &str) -> (u16, Value) {
    let answer = curl(&[&format!("http://{}{path}", up.admin())]);
    let value = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer.status, value)
}

fn goes_well(up: &Up, words: &[&str]) -> String {
    let (code, said) = told(asks(up, words));
    assert_eq!(code, Some(0), "{words:?}: {said}");
    said
}

fn kill_control(up: &Up) {
    let text = std::fs::read(up.data().join("up.json")).unwrap();
    let state: Value = serde_json::from_slice(&text).unwrap();
    let pid = state["pids"]["control"].as_u64().unwrap();
    // It would come back: its store does not.
    for name in ["control.db", "control.db-wal", "control.db-shm"] {
        let path = up.data().join(name);
        let _ = std::fs::rename(&path, up.data().join(format!("{name}.away")));
    }
    std::fs::create_dir(up.data().join("control.db")).unwrap();
    send(pid as u32, libc::SIGKILL);
    until("control's end", || {
        let (code, _) = told(asks(up, &["rollouts"]));
        (code != Some(0)).then_some(())
    });
}

#[test]
fn a_switch_turns_a_stage_off_for_a_while_and_outlives_the_worker() {
    let site = Answering::start("good");
    // A second here lasts 20 ms there.
    let up = start(&blocks(&site.url()), "50");
    assert_eq!(get(&up, "/no"), 403);
    let (code, said) = told(asks(
        &up,
        &["kill", "nonsense", "--for", "1h", "--why", "x"],
    ));
    assert!(code == Some(1) && said.contains("rules"), "{said}");
    let (code, said) = told(asks(
        &up,
        &[
            "kill", "rules", "--zone", "b.test", "--for", "1h", "--why", "x",
        ],
    ));
    assert!(code == Some(1) && said.contains("b.test"), "{said}");

    let kill = [
        "kill",
        "rules",
        "--zone",
        "a.test",
        "--for",
        "1h",
        "--why",
        "it blocks",
        "--wait",
    ];
    let said = goes_well(&up, &kill);
    assert!(said.contains("everywhere"), "{said}");
    assert_eq!(get(&up, "/no"), 200);
    let (_, state) = admin(&up, "/state");
    assert_eq!(state["switches"][0]["stage"], "rules", "{state}");
    assert_eq!(state["switches"][0]["why"], "it blocks");
    send(up.worker(), libc::SIGKILL);
    until("the next worker", || {
        let (status, state) = admin(&up, "/state");
        (status == 200 && state["worker_pid"] != up.worker()).then_some(())
    });
    assert_eq!(
        get(&up, "/no"),
        200,
        "the next worker has it from the start"
    );
    goes_well(&up, &["kill", "rules", "--zone", "a.test", "--end"]);
    until("rules", || (get(&up, "/no") == 403).then_some(()));

    // 100 s are over after two.
    let short = [
        "kill",
        "rules",
        "--for",
        "100s",
        "--why",
        "it blocks everywhere",
    ];
    goes_well(&up, &short);
    until("the switch", || (get(&up, "/no") == 200).then_some(()));
    until("its end", || (get(&up, "/no") == 403).then_some(()));
    let (_, state) = admin(&up, "/state");
    assert_eq!(state["switches"], serde_json::json!([]));
}

#[test]
fn with_all_else_dead_an_edge_goes_back_on_its_own_machine() {
    let site = Answering::start("good");
    let up = start(&zone(&site.url(), ""), "50");
    until("what has proved good", || {
        up.data().join("last-good").exists().then_some(())
    });
    let (code, said) = applied(&up, &blocks(&site.url()), &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(get(&up, "/no"), 403);
    kill_control(&up);
    let (code, said) = told(asks(&up, &["rollback", "a.test", "--why", "it blocks"]));
    assert!(code == Some(1) && said.contains("--here"), "{said}");

    let said = goes_well(&up, &["rollback", "a.test", "--here", "--why", "it blocks"]);
    assert!(said.contains("proved good"), "{said}");
    until("what had proved good", || {
        (get(&up, "/no") == 200).then_some(())
    });
    let log = std::fs::read_to_string(up.data().join("break-glass.log")).unwrap();
    let line: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(line["done"]["here"]["why"], "it blocks");
    let signed = line["signed"].as_str().unwrap();
    assert!(
        signed.starts_with("seawall-signed report 1\nsignature "),
        "{signed}"
    );

    // It stands, whoever dies.
    for role in ["agent", "worker"] {
        let state: Value =
            serde_json::from_slice(&std::fs::read(up.data().join("up.json")).unwrap()).unwrap();
        send(state["pids"][role].as_u64().unwrap() as u32, libc::SIGKILL);
        until("another one", || {
            let text = std::fs::read(up.data().join("up.json")).ok()?;
            let now: Value = serde_json::from_slice(&text).ok()?;
            (now["pids"][role] != state["pids"][role]).then_some(())
        });
        until("what had proved good", || {
            (get(&up, "/no") == 200).then_some(())
        });
    }

    // Control comes back: it is told, and a newer version ends it.
    std::fs::remove_dir(up.data().join("control.db")).unwrap();
    for name in ["control.db", "control.db-wal", "control.db-shm"] {
        let path = up.data().join(name);
        let _ = std::fs::rename(up.data().join(format!("{name}.away")), &path);
    }
    until("control", || serves(&up).filter(|serves| *serves == 2));
    until("what is told to control", || {
        let (_, said) = told(asks(&up, &["control", "locations"]));
        said.contains("does not follow control in zone/a.test")
            .then_some(())
    });
    assert_eq!(get(&up, "/no"), 200);
    let next = zone(
        &site.url(),
        "[[zone.rule]]\nwhen = 'http.request.uri.path eq \"/other\"'\naction = \"block\"\n",
    );
    let (code, said) = applied(&up, &next, &[]);
    assert_eq!(code, Some(0), "{said}");
    until("the newer version", || {
        (get(&up, "/other") == 403).then_some(())
    });
    until("that it follows control again", || {
        let (_, said) = told(asks(&up, &["control", "locations"]));
        (said.contains("local") && !said.contains("does not follow")).then_some(())
    });
}

#[test]
fn a_zone_goes_back_on_its_own_machine_however_often_others_have_changed() {
    let site = Answering::start("good");
    let other = |path: &str| {
        let rule =
            "[[zone.rule]]\nwhen = 'http.request.uri.path eq \"PATH\"'\naction = \"block\"\n";
        zone(&site.url(), &rule.replace("PATH", path)).replace("a.test", "b.test")
    };
    let first = other("/first").replacen("schema = 1\n", "", 1);
    let up = start(&format!("{}{first}", zone(&site.url(), "")), "50");
    let proves_good = |what: &str| {
        until("what has proved good", || {
            let good = std::fs::read(up.data().join("last-good")).ok()?;
            String::from_utf8_lossy(&good).contains(what).then_some(())
        });
    };
    proves_good("/first");
    let (code, said) = applied(&up, &blocks(&site.url()), &[]);
    assert_eq!(code, Some(0), "{said}");
    proves_good("/no");
    // More of them than are kept of all zones together.
    for nth in 0..4 {
        let path = format!("/other-{nth}");
        let (code, said) = applied(&up, &other(&path), &[]);
        assert_eq!(code, Some(0), "{said}");
        proves_good(&path);
    }
    kill_control(&up);
    assert_eq!(get(&up, "/no"), 403);
    goes_well(&up, &["rollback", "a.test", "--here", "--why", "it blocks"]);
    until("what had proved good", || {
        (get(&up, "/no") == 200).then_some(())
    });
}

#[test]
fn a_switch_and_a_drain_are_set_on_the_machine_itself() {
    let site = Answering::start("good");
    let up = start(&blocks(&site.url()), "50");
    assert_eq!(admin(&up, "/readyz").0, 200);
    kill_control(&up);
    let on = ["--why", "x", "--here"];
    for (wrong, why) in [
        (&["nonsense", "--for", "1h"][..], "rules"),
        (&["rules", "--zone", "b.test", "--for", "1h"][..], "b.test"),
        (&["rules", "--for", "8d"][..], "7 days"),
    ] {
        let (code, said) = told(asks(&up, &[&["kill"][..], wrong, &on].concat()));
        assert!(code == Some(1) && said.contains(why), "{wrong:?}: {said}");
    }
    let of_zone = ["kill", "rules", "--zone", "a.test"];
    goes_well(&up, &[&of_zone[..], &["--for", "7d"], &on].concat());
    until("the switch of the zone", || {
        (get(&up, "/no") == 200).then_some(())
    });
    goes_well(&up, &[&of_zone[..], &["--end", "--here"]].concat());
    until("its end", || (get(&up, "/no") == 403).then_some(()));
    goes_well(
        &up,
        &[
            "kill",
            "rules",
            "--for",
            "1h",
            "--why",
            "it blocks",
            "--here",
        ],
    );
    until("the switch", || (get(&up, "/no") == 200).then_some(()));
    goes_well(&up, &["kill", "rules", "--end", "--here"]);
    until("its end", || (get(&up, "/no") == 403).then_some(()));
    goes_well(&up, &["drain", "--here", "--why", "new disks"]);
    until("not ready", || {
        (admin(&up, "/readyz").0 == 503).then_some(())
    });
    assert_eq!(get(&up, "/"), 200, "who comes is served");
    goes_well(&up, &["undrain", "--here"]);
    until("ready", || (admin(&up, "/readyz").0 == 200).then_some(()));
}

/// The agent dies, and there is another one.
fn next_agent(up: &Up) {
    let pid = || {
        let text = std::fs::read(up.data().join("up.json")).ok()?;
        let state: Value = serde_json::from_slice(&text).ok()?;
        state["pids"]["agent"].as_u64()
    };
    let before = pid().unwrap();
    send(before as u32, libc::SIGKILL);
    until("another agent", || pid().filter(|pid| *pid != before));
}

#[test]
fn what_cannot_be_written_on_the_machine_itself_is_not_told_as_done() {
    let site = Answering::start("good");
    let up = start(&blocks(&site.url()), "50");
    kill_control(&up);
    // No file can be where a folder is.
    let blocked = |name: &str| {
        let path = up.data().join(name);
        let _ = std::fs::remove_file(&path);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let path = blocked("standing.json");
    let (code, said) = told(asks(&up, &["drain", "--here", "--why", "new disks"]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("standing.json cannot be written"), "{said}");
    std::fs::remove_dir(path).unwrap();
    let kill = ["kill", "rules", "--for", "1h", "--why", "x", "--here"];
    goes_well(&up, &kill);
    until("the switch", || (get(&up, "/no") == 200).then_some(()));
    assert_eq!(admin(&up, "/readyz").0, 200, "it is not done later");

    // What is not kept is done, and told as what it is; no number of it is given again.
    let path = blocked("here.json");
    for _ in 0..2 {
        next_agent(&up);
        let said = until("an answer of the agent", || {
            let (code, said) = told(asks(&up, &["pin", "a.test", "--here", "--why", "x"]));
            assert_eq!(code, Some(1), "{said}");
            (!said.contains("try again in a second")).then_some(said)
        });
        assert!(said.contains("done here"), "{said}");
        assert!(said.contains("not kept for the next process"), "{said}");
    }
    std::fs::remove_dir(&path).unwrap();
    until("that it is kept", || {
        let kept: Value = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
        (kept["held"].as_array()?.len() == 1).then_some(())
    });
    let log = std::fs::read_to_string(up.data().join("break-glass.log")).unwrap();
    let lines = log.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["done"]["number"].as_u64().unwrap()
    });
    let numbers: Vec<u64> = lines.collect();
    assert_eq!(numbers.len(), 3, "{numbers:?}");
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[test]
fn control_drains_a_location() {
    let site = Answering::start("good");
    let up = start(&blocks(&site.url()), "500");
    goes_well(&up, &["drain", "--why", "new disks"]);
    until("not ready", || {
        let (status, ready) = admin(&up, "/readyz");
        (status == 503 && ready["drained"] == true).then_some(())
    });
    goes_well(&up, &["undrain"]);
    until("ready", || (admin(&up, "/readyz").0 == 200).then_some(()));
}

#[test]
fn keys_are_rotated_and_revoked_while_it_runs() {
    let site = Answering::start("good");
    let up = start(&zone(&site.url(), ""), "500");
    let shown = goes_well(&up, &["keys", "show"]);
    let first = shown.split_whitespace().nth(1).unwrap().to_owned();
    let away = up.folder().join("root.key");
    let away = away.to_str().unwrap();
    goes_well(&up, &["keys", "root", "--to", away]);
    let (code, said) = told(asks(&up, &["keys", "rotate"]));
    assert!(code == Some(1) && said.contains("--root"), "{said}");
    goes_well(&up, &["keys", "rotate", "--root", away]);
    let (code, said) = applied(&up, &blocks(&site.url()), &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(get(&up, "/no"), 403);
    goes_well(&up, &["keys", "revoke", &first, "--root", away]);
    let manifest = || std::fs::read(up.data().join("published/manifest")).unwrap();
    let (code, said) = applied(&up, &zone(&site.url(), ""), &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(get(&up, "/no"), 200);
    let signed = String::from_utf8_lossy(&manifest()).into_owned();
    assert!(!signed.contains(&first), "{signed}");
}
