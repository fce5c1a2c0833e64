//! What a worker leaves to the next one, as clients notice it: sessions that are resumed, and windows of those who asked too often.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::supervisor::another;
use crate::tools::curl;
use crate::up::{Up, finished, send};

/// Asks over TLS with what is kept of an earlier session, if that is a file already, and keeps what comes; whether the session
/// was resumed.
fn resumes(up: &Up, name: &str, version: &str) -> bool {
    let session = up.folder().join(&format!("session-{name}-{version}"));
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &up.https().to_string(), version]);
    command.args(["-servername", name, "-ign_eof", "-sess_out"]);
    command.arg(&session);
    if session.exists() {
        command.arg("-sess_in").arg(&session);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
    let mut input = child.stdin.take().unwrap();
    input.write_all(request.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    drop(input);
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(said.contains("HTTP/1.1 200"), "{said}\n{}", up.log());
    let (new, reused) = (said.contains("New, TLSv1"), said.contains("Reused, TLSv1"));
    assert!(new != reused, "{said}");
    reused
}

fn upgrade(up: &Up) {
    let before = up.worker_now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    let done = finished(command.arg("upgrade").arg("--data").arg(up.data()));
    assert!(done.status.success(), "{}", up.log());
    another(&up.data(), "worker", before);
}

fn crash(up: &Up) {
    let before = up.worker_now();
    send(before, libc::SIGKILL);
    another(&up.data(), "worker", before);
}

const TWO: &str = "schema = 1\n\
    [[zone]]\nname = \"a\"\nhosts = [\"a.test\"]\norigin = [{ url = \"sample\" }]\n\
    [[zone]]\nname = \"b\"\nhosts = [\"b.test\"]\norigin = [{ url = \"sample\" }]\n";

#[test]
fn sessions_are_resumed_over_upgrades_and_crashes_and_never_by_another_zone() {
    let up = Up::edge(TWO);
    for version in ["-tls1_3", "-tls1_2"] {
        assert!(!resumes(&up, "a.test", version), "nothing to resume yet");
        assert!(resumes(&up, "a.test", version));
        upgrade(&up);
        assert!(resumes(&up, "a.test", version), "after an upgrade");
        upgrade(&up);
        crash(&up);
        assert!(resumes(&up, "a.test", version), "after a crash");
        let kept = |name: &str| up.folder().join(&format!("session-{name}-{version}"));
        std::fs::copy(kept("a.test"), kept("b.test")).unwrap();
        assert!(!resumes(&up, "b.test", version), "another zone's");
        assert!(resumes(&up, "b.test", version), "its own");
    }
}

#[test]
fn a_client_that_asked_too_often_waits_after_an_upgrade_too() {
    let limits = "[zone.ddos]\nmode = \"enforce\"\nrequests_per_client = 5\nper = \"1h\"\n";
    let up = Up::edge(&TWO.replacen(
        "[[zone]]\nname = \"b\"",
        &format!("{limits}[[zone]]\nname = \"b\""),
        1,
    ));
    let asked = |host: &str| curl(&["--header", &format!("Host: {host}"), &up.url("/")]).status;
    let told: Vec<_> = (0..7).map(|_| asked("a.test")).collect();
    assert_eq!(told, [200, 200, 200, 200, 200, 429, 429]);
    for _ in 0..2 {
        upgrade(&up);
        assert_eq!(asked("a.test"), 429);
        assert_eq!(asked("b.test"), 200, "it asked too often there alone");
    }
}

#[test]
fn a_limit_that_was_reached_holds_after_an_upgrade_too() {
    let limit = "[[zone.rate_limit]]\nby = ['http.request.headers[\"x-key\"][0]']\nrequests = 3\nper = \"1h\"\n";
    let up = Up::edge(&TWO.replacen(
        "[[zone]]\nname = \"b\"",
        &format!("{limit}[[zone]]\nname = \"b\""),
        1,
    ));
    let asked = |key: &str| {
        let key = format!("X-Key: {key}");
        curl(&["--header", "Host: a.test", "--header", &key, &up.url("/")]).status
    };
    let told: Vec<_> = (0..4).map(|_| asked("one")).collect();
    assert_eq!(told, [200, 200, 200, 429]);
    assert_eq!(asked("two"), 200);
    upgrade(&up);
    assert_eq!(asked("one"), 429);
    assert_eq!([asked("two"), asked("two"), asked("two")], [200, 200, 429]);
    upgrade(&up);
    assert_eq!([asked("one"), asked("two")], [429, 429]);
}
