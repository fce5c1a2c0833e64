//! Many locations: they join with a token, a change comes to one of them first and then to all, and each goes on by itself whatever
//! becomes of control, of its sources, or of the others.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clients::{Clients, statuses};
use crate::fleet::{
    Control, Lead, edge, edge_command, first, get, seawall, struck, told, without, zone,
};
use crate::origin::{Answering, nowhere};
use crate::tools::{curl, curl_command};
use crate::up::{Folder, Up, finished, until};

/// A control with this first version of a zone, and these locations, which serve it.
fn fleet(speed: u32, origin: &str, locations: &[&str]) -> (Control, Vec<Up>) {
    let control = Control::start(speed);
    let (code, said) = control.apply(&first(origin), &[]);
    assert_eq!(code, Some(0), "{said}");
    let edges: Vec<Up> = locations
        .iter()
        .map(|location| control.joined(location, &[]))
        .collect();
    until("the first version is everywhere", || {
        let (_, said) = control.asks(&["rollouts"]);
        said.contains("no rollout runs").then_some(())
    });
    (control, edges)
}

fn refuses(edge: &Up, path: &str) {
    until(&format!("{path} is refused"), || {
        (get(edge, path) == 403).then_some(())
    });
}

/// Whether it says that traffic may be led to it.
fn is_ready(edge: &Up, ready: bool) {
    let status = if ready { 200 } else { 503 };
    until(&format!("/readyz answers {status}"), || {
        let url = format!("http://{}/readyz", edge.admin());
        let mut command = curl_command();
        command.args(["--output", "/dev/null", "--write-out", "%{response_code}"]);
        let output = finished(command.arg(url));
        (output.stdout == status.to_string().as_bytes()).then_some(())
    });
}

fn place<'p>(places: &'p [Value], name: &str) -> &'p Value {
    let mut found = places.iter().filter(|place| place["name"] == name);
    found
        .next()
        .unwrap_or_else(|| panic!("no {name} in {places:?}"))
}

fn rollouts(control: &Control) -> String {
    control.asks(&["rollouts"]).1
}

#[test]
fn a_change_comes_to_one_location_first_and_a_bad_one_never_leaves_it() {
    let site = Answering::start("good");
    let (control, edges) = fleet(10, &site.url(), &["ams", "lhr"]);
    let (ams, lhr) = (&edges[0], &edges[1]);
    let (code, said) = control.apply(&without(&site.url(), "/no"), &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    let has = |edge: &Up| statuses(edge.http(), "/no").contains(&Some(403));
    until("the change in the canary location", || {
        let others = has(lhr);
        let first = has(ams);
        assert!(first || !others, "lhr had it before ams");
        first.then_some(())
    });
    until("the change in all locations", || {
        (get(ams, "/no") == 403 && get(lhr, "/no") == 403).then_some(())
    });
    until("the end of its rollout", || {
        rollouts(&control).contains("no rollout runs").then_some(())
    });

    let (at_ams, at_lhr) = (
        Clients::start(ams.http(), 60),
        Clients::start(lhr.http(), 60),
    );
    until("traffic", || {
        (at_ams.seen().len() == 60 && at_lhr.seen().len() == 60).then_some(())
    });
    let (code, said) = control.apply(&zone(&nowhere(), ""), &["--wait", "--approve"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("taken back"), "{said}");
    until("the end of the way back", || {
        rollouts(&control).contains("no rollout runs").then_some(())
    });
    let bad = |clients: Clients| -> u64 { clients.end().iter().map(|(_, badly)| badly).sum() };
    let (bad_at_ams, bad_at_lhr) = (bad(at_ams), bad(at_lhr));
    println!("{bad_at_ams} bad answers in the canary location");
    assert!(bad_at_ams > 0, "nobody was served by the bad version");
    assert_eq!(bad_at_lhr, 0, "lhr saw the bad version");
    assert_eq!((get(ams, "/no"), get(lhr, "/no")), (403, 403));
}

#[test]
fn a_token_lets_one_location_in_once_and_for_its_time() {
    let site = Answering::start("good");
    let control = Control::start(100);
    let (code, said) = control.apply(&first(&site.url()), &[]);
    assert_eq!(code, Some(0), "{said}");
    let url = control.url();
    let refused = |token: &str, why: &str| {
        let folder = Folder::new();
        let words = ["--join", &url, "--token", token];
        let (code, said) = told(finished(&mut edge_command(&folder, "100", &words)));
        assert_eq!(code, Some(1), "{token}: {said}");
        assert!(said.contains(why), "{said}");
        assert!(!folder.join("data/location.json").exists());
    };
    let token = control.token("ams", &[]);
    let ams = edge(Folder::new(), "100", &["--join", &url, "--token", &token]);
    assert_eq!(get(&ams, "/"), 200);
    refused(&token, "used up");
    refused(
        &control.token("lhr", &[]).replace("lhr", "sin"),
        "another location's",
    );
    refused("sj_garbage", "this is no token");
    let short = control.token("lhr", &["--for", "1s"]);
    thread::sleep(Duration::from_millis(2_100));
    refused(&short, "too old");
    // Another control's token: whoever it was made by is not who answers here.
    let other = Control::start(100);
    refused(
        &other.token("lhr", &[]),
        "not the control that made the token",
    );
    for wrong in ["0s", "2h"] {
        let words = ["control", "token", "--location", "lhr", "--for", wrong];
        let (code, said) = told(seawall(&words, &control.data()));
        assert_eq!(code, Some(1), "{said}");
    }
    let names: Vec<String> = control
        .places()
        .iter()
        .map(|place| place["name"].to_string())
        .collect();
    assert_eq!(names, ["\"ams\""]);
}

/// Keys of a location that nobody runs, as it would tell them.
fn ask(location: &str, token: &str) -> Value {
    let secret = token.split('_').nth(2).unwrap();
    let report = seawall_bundle::SigningKey::generate().unwrap().public();
    let seal = seawall_bundle::SealKey::generate().unwrap().public();
    let point = format!("04{}", "5a".repeat(64));
    json!({
        "location": location,
        "secret": secret,
        "keys": { "tls": point, "report": report.to_string(), "seal": seal.to_string() },
        "architecture": "x86_64",
    })
}

/// What control answers to whoever comes without a certificate, or with curl's further flags.
fn posts(control: &Control, path: &str, body: &[u8], more: &[&str]) -> (String, String) {
    let file = control.folder().write("posted", "");
    std::fs::write(&file, body).unwrap();
    let data = format!("@{}", file.display());
    let url = format!("{}{path}", control.url());
    let mut command = curl_command();
    command.args(["--write-out", "\n%{response_code}", "--data-binary", &data]);
    let output = finished(command.args(more).arg(&url));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (said, status) = text.rsplit_once('\n').unwrap_or(("", &text));
    (status.to_owned(), said.to_owned())
}

#[test]
fn who_did_not_hear_the_answer_joins_again_and_nobody_else_does() {
    let control = Control::start(100);
    let token = control.token("ams", &[]);
    let asked = ask("ams", &token);
    let join = |asked: &Value| posts(&control, "/v1/join", asked.to_string().as_bytes(), &[]);
    let (status, first) = join(&asked);
    assert_eq!(status, "200", "{first}");
    let (status, again) = join(&asked);
    assert_eq!(status, "200", "{again}");
    let key = |said: &str| serde_json::from_str::<Value>(said).unwrap()["root_key"].clone();
    assert_eq!(key(&first), key(&again));
    // With the same token and other keys it is somebody else.
    let (status, said) = join(&ask("ams", &token));
    assert_eq!(status, "403", "{said}");
    let mut bad = asked.clone();
    bad["keys"]["tls"] = json!("04");
    assert_eq!(join(&bad).0, "403");
    assert_eq!(control.places().len(), 1);
}

/// That changes begin there, though it is the last by name, is shown by `drills` (`O11-rules`).
#[test]
fn a_canary_location_is_what_the_token_said_that_it_joined_with() {
    let control = Control::start(100);
    let join = |location: &str, more: &[&str]| {
        let asked = ask(location, &control.token(location, more));
        let (status, said) = posts(&control, "/v1/join", asked.to_string().as_bytes(), &[]);
        assert_eq!(status, "200", "{said}");
    };
    let canaries = || -> Vec<String> {
        let places = control.places();
        let named = places.iter().filter(|place| place["canary"] == true);
        named
            .map(|place| place["name"].as_str().unwrap().to_owned())
            .collect()
    };
    join("ams", &[]);
    join("zrh", &["--canary"]);
    assert_eq!(canaries(), ["zrh"]);
    // Who joins again is what the new token says.
    join("ams", &["--canary"]);
    join("zrh", &[]);
    assert_eq!(canaries(), ["ams"]);
    assert_eq!(control.places().len(), 2);
}

#[test]
fn strangers_on_the_port_for_edges_get_nothing_and_cost_nobody_anything() {
    let site = Answering::start("good");
    let (control, edges) = fleet(100, &site.url(), &["ams"]);
    let get_as = |more: &[&str]| {
        let url = format!("{}/v1/manifest", control.url());
        let mut command = curl_command();
        command.args(["--output", "/dev/null", "--write-out", "%{response_code}"]);
        let output = finished(command.args(more).arg(url));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let name = "Seawall-Location: ams";
    assert_eq!(get_as(&[]), "403");
    assert_eq!(get_as(&["-H", name]), "403");
    // The location's own certificate, in its own name and in another's.
    let identity = std::fs::read(edges[0].data().join("location.json")).unwrap();
    let identity: Value = serde_json::from_slice(&identity).unwrap();
    let write = |file: &str, key: &str| {
        let path = control
            .folder()
            .write(file, identity[key].as_str().unwrap());
        path.to_str().unwrap().to_owned()
    };
    let (certificate, key) = (write("ams.pem", "certificate"), write("ams.key", "tls_key"));
    let shows = ["--cert", &certificate, "--key", &key, "-H"];
    assert_eq!(get_as(&[&shows[..], &[name]].concat()), "200");
    let other = "Seawall-Location: lhr";
    assert_eq!(get_as(&[&shows[..], &[other]].concat()), "403");
    // Somebody else's authority: not even a handshake.
    let (own, own_key) = (
        control.folder().join("x.pem"),
        control.folder().join("x.key"),
    );
    let words = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ];
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(words).args(["-nodes", "-days", "1"]);
    openssl.args(["-subj", "/CN=xamsx.location.seawall.internal"]);
    openssl
        .arg("-addext")
        .arg("subjectAltName=DNS:xamsx.location.seawall.internal");
    openssl.arg("-keyout").arg(&own_key).arg("-out").arg(&own);
    assert!(finished(&mut openssl).status.success());
    let (own, own_key) = (own.to_str().unwrap(), own_key.to_str().unwrap());
    assert_eq!(
        get_as(&["--cert", own, "--key", own_key, "-H", name]),
        "000"
    );

    // Too much, garbage, and things that are not there.
    let (status, _) = posts(&control, "/v1/join", &vec![b'x'; 2 << 20], &["--http1.1"]);
    assert_eq!(status, "413");
    assert_eq!(posts(&control, "/v1/join", b"{\"location\":", &[]).0, "403");
    assert_eq!(posts(&control, "/v1/report", b"garbage", &[]).0, "403");
    let as_ams = [&shows[..], &[name]].concat();
    assert_eq!(posts(&control, "/v1/report", b"garbage", &as_ams).0, "409");
    let much = vec![b'x'; 9 << 20];
    assert_eq!(posts(&control, "/v1/report", &much, &as_ams).0, "413");
    assert_eq!(
        posts(&control, "/v1/objects/../../keys", b"", &as_ams).0,
        "404"
    );

    // Many who say nothing, or half of something: others are served beside them.
    let mut slow = Vec::new();
    for nth in 0..400_u32 {
        use std::io::Write as _;
        let from = format!("127.8.0.{}:0", 1 + nth % 8).parse().unwrap();
        let mut stream = crate::tools::connect_from(from, control.listens());
        if nth % 2 == 0 {
            // Who was let go at once hears nothing of it.
            let _ = stream.write_all(b"\x16\x03\x01 this is no handshake");
        }
        slow.push(stream);
    }
    control.applies(&without(&site.url(), "/no"));
    refuses(&edges[0], "/no");
    drop(slow);
}

#[test]
fn edges_go_on_and_start_without_control_and_hear_of_the_next_change() {
    let site = Answering::start("good");
    let (mut control, mut edges) = fleet(100, &site.url(), &["ams", "lhr"]);
    control.applies(&without(&site.url(), "/one"));
    edges.iter().for_each(|edge| refuses(edge, "/one"));
    control.kill();
    assert!(
        edges
            .iter()
            .all(|edge| get(edge, "/one") == 403 && get(edge, "/") == 200)
    );
    let lhr = edges.pop().unwrap();
    until("what is live on disk", || {
        let live = std::fs::read(lhr.data().join("live")).ok()?;
        String::from_utf8_lossy(&live)
            .contains("/one")
            .then_some(())
    });
    let folder = struck(lhr);
    let lhr = edge(folder, "100", &[]);
    assert_eq!((get(&lhr, "/one"), get(&lhr, "/")), (403, 200));
    control.again();
    control.applies(&without(&site.url(), "/two"));
    for edge in [&edges[0], &lhr] {
        refuses(edge, "/two");
        assert_eq!(get(edge, "/one"), 200);
    }
}

#[test]
fn who_left_reads_nothing_more_and_the_others_go_on() {
    let site = Answering::start("good");
    let (control, edges) = fleet(100, &site.url(), &["ams", "lhr"]);
    let (code, said) = control.asks(&["control", "leave", "lhr", "--why", "sold"]);
    assert_eq!(code, Some(0), "{said}");
    control.applies(&without(&site.url(), "/no"));
    refuses(&edges[0], "/no");
    until("lhr tells that it is out", || {
        edges[1].log().contains("403").then_some(())
    });
    assert_eq!((get(&edges[1], "/no"), get(&edges[1], "/")), (200, 200));
    let (code, said) = control.asks(&["control", "leave", "lhr"]);
    assert_eq!(code, Some(1), "{said}");
    // It comes back with another token, as any other would.
    let url = control.url();
    let token = control.token("lhr", &[]);
    let folder = struck(edges.into_iter().nth(1).unwrap());
    let _ = std::fs::remove_file(folder.join("data/location.json"));
    let lhr = edge(folder, "100", &["--join", &url, "--token", &token]);
    refuses(&lhr, "/no");
}

#[test]
fn nobody_waits_for_a_drained_location_and_a_silent_one_holds() {
    let site = Answering::start("good");
    let (control, mut edges) = fleet(100, &site.url(), &["ams", "lhr"]);
    let lhr = struck(edges.pop().unwrap());
    let (code, said) = control.apply(&without(&site.url(), "/one"), &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    until("a rollout that waits for lhr", || {
        let said = rollouts(&control);
        (said.contains("lhr is silent") || said.contains("lhr has not taken")).then_some(())
    });
    until("its silence in what is degraded", || {
        let (code, said) = control.asks(&["status"]);
        let is_told = said.contains("1 of 2 silent: lhr (") && said.contains("locations_silent");
        (code == Some(1) && is_told).then_some(())
    });
    let (code, said) = control.asks(&["drain", "--location", "lhr"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(place(&control.places(), "lhr")["drained"], true);
    let (code, said) = control.asks(&["status"]);
    assert_eq!(code, Some(0), "{said}");
    refuses(&edges[0], "/one");
    until("the end of its rollout", || {
        rollouts(&control).contains("no rollout runs").then_some(())
    });
    let lhr = edge(lhr, "100", &[]);
    refuses(&lhr, "/one");
    is_ready(&lhr, false);
    is_ready(&edges[0], true);
    let (code, said) = control.apply(&without(&site.url(), "/two"), &["--wait", "--approve"]);
    assert_eq!(code, Some(0), "{said}");
    refuses(&lhr, "/two");
    // Another worker: it is drained still.
    crate::up::send(lhr.worker(), libc::SIGKILL);
    is_ready(&lhr, false);
    let (code, said) = control.asks(&["undrain", "--location", "lhr"]);
    assert_eq!(code, Some(0), "{said}");
    is_ready(&lhr, true);
    control.applies(&without(&site.url(), "/three"));
    edges
        .iter()
        .chain([&lhr])
        .for_each(|edge| refuses(edge, "/three"));
}

#[test]
fn an_edge_that_reads_from_a_relay_alone_gets_changes() {
    let site = Answering::start("good");
    let control = Control::start(100);
    let (code, said) = control.apply(&first(&site.url()), &[]);
    assert_eq!(code, Some(0), "{said}");
    let ams = control.joined("ams", &["--relay", "127.0.0.1:0"]);
    let relay = until("where ams hands on", || {
        let log = ams.log();
        let (_, rest) = log.split_once("hands on what control has published, on ")?;
        Some(rest.lines().next()?.to_owned())
    });
    let lead = Lead::to(control.listens());
    let token = control.token("lhr", &[]);
    let (url, relay) = (
        format!("https://{}", lead.listens),
        format!("https://{relay}"),
    );
    let words = ["--join", &url, "--token", &token, "--source", &relay];
    let lhr = edge(Folder::new(), "100", &words);
    until("lhr is heard of", || {
        let places = control.places();
        place(&places, "lhr")["generation"].as_u64()
    });
    // Control hears nothing of lhr any more, and lhr nothing of control.
    lead.close();
    let (code, said) = control.asks(&["drain", "--location", "lhr"]);
    assert_eq!(code, Some(0), "{said}");
    control.applies(&without(&site.url(), "/one"));
    refuses(&ams, "/one");
    refuses(&lhr, "/one");
    control.applies(&without(&site.url(), "/two"));
    refuses(&lhr, "/two");
    lead.open();
    let (code, said) = control.asks(&["undrain", "--location", "lhr"]);
    assert_eq!(code, Some(0), "{said}");
    control.applies(&without(&site.url(), "/three"));
    refuses(&lhr, "/three");
}

#[test]
fn who_left_reads_nothing_more_from_a_relay_either() {
    let site = Answering::start("good");
    let control = Control::start(100);
    let (code, said) = control.apply(&first(&site.url()), &[]);
    assert_eq!(code, Some(0), "{said}");
    let ams = control.joined("ams", &["--relay", "127.0.0.1:0"]);
    let relay = until("where ams hands on", || {
        let log = ams.log();
        let (_, rest) = log.split_once("hands on what control has published, on ")?;
        Some(format!("https://{}", rest.lines().next()?))
    });
    let lead = Lead::to(control.listens());
    let url = format!("https://{}", lead.listens);
    let token = control.token("lhr", &[]);
    let words = ["--join", &url, "--token", &token, "--source", &relay];
    let lhr = edge(Folder::new(), "100", &words);
    until("lhr is heard of", || {
        place(&control.places(), "lhr")["generation"].as_u64()
    });
    // From now on it has the relay alone, which lets it read as long as it is one of ours.
    lead.close();
    let (code, said) = control.asks(&["drain", "--location", "lhr"]);
    assert_eq!(code, Some(0), "{said}");
    control.applies(&without(&site.url(), "/one"));
    refuses(&lhr, "/one");
    let (code, said) = control.asks(&["control", "leave", "lhr", "--why", "sold"]);
    assert_eq!(code, Some(0), "{said}");
    let refused = || lhr.log().matches(&format!("{relay}: ")).count();
    until("the relay refuses it", || {
        (lhr.log().contains("403") && refused() > 0).then_some(())
    });
    control.applies(&without(&site.url(), "/two"));
    refuses(&ams, "/two");
    // It serves what it had.
    assert_eq!((get(&lhr, "/one"), get(&lhr, "/two")), (403, 200));
    // Another machine under the same name is let in again; the old key never is.
    let stolen = struck(lhr);
    let token = control.token("lhr", &[]);
    let words = [
        "--join",
        &control.url(),
        "--token",
        &token,
        "--source",
        &relay,
    ];
    let lhr = edge(Folder::new(), "100", &words);
    refuses(&lhr, "/two");
    assert!(!lhr.log().contains("403"), "{}", lhr.log());
    let stolen = edge(stolen, "100", &[]);
    control.applies(&without(&site.url(), "/three"));
    refuses(&lhr, "/three");
    assert_eq!((get(&stolen, "/one"), get(&stolen, "/three")), (403, 200));
}

#[test]
fn a_return_is_said_to_be_everywhere_but_where_nobody_answers() {
    let site = Answering::start("good");
    let (control, mut edges) = fleet(100, &site.url(), &["ams", "lhr"]);
    control.applies(&without(&site.url(), "/no"));
    edges.iter().for_each(|edge| refuses(edge, "/no"));
    let (code, said) = control.asks(&["rollback", "a.test", "--wait"]);
    assert!(
        code == Some(0) && said.contains("it is everywhere\n"),
        "{said}"
    );
    assert_eq!((get(&edges[0], "/no"), get(&edges[1], "/no")), (200, 200));
    control.applies(&without(&site.url(), "/no"));
    let _lhr = struck(edges.pop().unwrap());
    let (code, said) = control.asks(&["rollback", "a.test", "--wait"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("it is everywhere, but lhr is silent"),
        "{said}"
    );
    assert_eq!(get(&edges[0], "/no"), 200);
}

#[test]
fn an_edge_that_was_off_gets_all_that_it_missed() {
    let site = Answering::start("good");
    let (control, mut edges) = fleet(100, &site.url(), &["ams", "lhr"]);
    let (code, said) = control.asks(&["drain", "--location", "lhr"]);
    assert_eq!(code, Some(0), "{said}");
    let lhr = struck(edges.pop().unwrap());
    control.applies(&without(&site.url(), "/one"));
    for name in ["b.test", "c.test"] {
        control.applies(&without(&site.url(), "/b").replace("a.test", name));
    }
    control.applies(&without(&site.url(), "/two"));
    let (code, said) = control.asks(&["delete", "b.test", "--wait"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = control.asks(&["delete", "b.test", "--restore", "--wait"]);
    assert_eq!(code, Some(0), "{said}");
    let lhr = edge(lhr, "100", &[]);
    refuses(&lhr, "/two");
    assert_eq!(get(&lhr, "/one"), 200);
    let of = |edge: &Up, host: &str| {
        let host = format!("Host: {host}");
        curl(&["-H", &host, &edge.url("/b")]).status
    };
    assert_eq!((of(&lhr, "b.test"), of(&lhr, "c.test")), (403, 403));
    // A zone that is deleted while an edge is off is gone when it comes back.
    let lhr = struck(lhr);
    let (code, said) = control.asks(&["delete", "c.test", "--wait"]);
    assert_eq!(code, Some(0), "{said}");
    let lhr = edge(lhr, "100", &[]);
    until("c.test is gone", || {
        (of(&lhr, "c.test") == 421).then_some(())
    });
    assert_eq!(of(&lhr, "b.test"), 403);
    assert_eq!((get(&lhr, "/two"), get(&lhr, "/one")), (403, 200));
}

#[test]
fn all_on_one_machine_and_a_location_elsewhere_go_together() {
    let site = Answering::start("good");
    let folder = Folder::new();
    let file = folder.write("seawall.toml", &first(&site.url()));
    let words = ["--config", file.to_str().unwrap(), "--speed", "100"];
    let words = [&words[..], &["--edges", "127.0.0.1:0"]].concat();
    let up = Up::start(folder, &words);
    let (made, url) = until("a token", || {
        let words = ["control", "token", "--location", "lhr"];
        let output = seawall(&words, &up.data());
        let said = String::from_utf8(output.stderr).ok()?;
        let (_, listens) = said.split_once("control listens on ")?;
        let listens = listens.trim().trim_end_matches(':').to_owned();
        let token = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        token
            .starts_with("sj_")
            .then_some((token, format!("https://{listens}")))
    });
    let lhr = edge(Folder::new(), "100", &["--join", &url, "--token", &made]);
    let next = up.folder().write("next.toml", &without(&site.url(), "/no"));
    let words = ["apply", next.to_str().unwrap(), "--wait", "--approve"];
    let (code, said) = told(seawall(&words, &up.data()));
    assert_eq!(code, Some(0), "{said}");
    refuses(&up, "/no");
    refuses(&lhr, "/no");
}
