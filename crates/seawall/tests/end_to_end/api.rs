//! The API of a Seawall that serves, asked by curl and by `seawall --api`: who may do what, what two administrators do to each
//! other, and what is applied is rolled out and served.

mod described;
mod hostile;
mod once;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::Value;

use crate::origin::Answering;
use crate::tools::{Answer, curl};
use crate::up::{Folder, Up, finished, send, until};

/// A zone of this name before this origin, with more in it.
fn zone(name: &str, origin: &str, more: &str) -> String {
    format!(
        "schema = 1\n[[zone]]\nname = \"{name}\"\nhosts = [\"{name}\"]\norigin = [{{ url = \"{origin}\" }}]\n{more}"
    )
}

/// A Seawall with an API, and its first token.
struct Api {
    up: Up,
    address: SocketAddr,
    token: String,
}

impl Api {
    fn start(config: &str) -> Self {
        Self::with(config, &[])
    }

    fn with(config: &str, flags: &[&str]) -> Self {
        let folder = Folder::new();
        let file = folder.write("seawall.toml", config);
        let mut all = vec!["--config", file.to_str().unwrap()];
        all.extend(["--dashboard", "127.0.0.1:0"]);
        all.extend(flags);
        let up = Up::start(folder, &all);
        let (address, token) = listens(&up, None);
        Self { up, address, token }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/api/v1{path}", self.address)
    }

    /// Asks by curl, with this token.
    fn by(&self, token: &str, flags: &[&str], path: &str) -> Answer {
        let bearer = format!("Authorization: Bearer {token}");
        let url = self.url(path);
        let mut all = vec!["-H", &bearer];
        all.extend(flags);
        all.push(&url);
        curl(&all)
    }

    /// Asks with the first token.
    fn ask(&self, flags: &[&str], path: &str) -> Answer {
        self.by(&self.token, flags, path)
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.ask(&[], path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        json(&answer)
    }

    /// Puts a document, with further flags.
    fn put(&self, token: &str, path: &str, text: &str, flags: &[&str]) -> Answer {
        let mut all = vec!["-X", "PUT", "-H", "Content-Type: application/toml"];
        all.extend(flags);
        all.extend(["--data-binary", text]);
        self.by(token, &all, path)
    }

    fn post(&self, token: &str, path: &str, body: &str) -> Answer {
        let flags = ["-H", "Content-Type: application/json", "-d", body];
        self.by(token, &flags, path)
    }

    fn token(&self, name: &str, scopes: &[&str]) -> String {
        let body = serde_json::json!({ "name": name, "scopes": scopes }).to_string();
        let made = self.post(&self.token, "/tokens", &body);
        assert_eq!(made.status, 201, "{}", made.text());
        json(&made)["token"].as_str().unwrap().to_owned()
    }

    /// Waits until this rollout has ended: how.
    fn ended(&self, rollout: &Value) -> bool {
        let mut tag = String::new();
        until("the end of a rollout", || {
            let known = format!("If-None-Match: {tag}");
            let answer = self.ask(&["-H", &known], &format!("/rollouts/{rollout}?wait=5"));
            if answer.status == 304 {
                return None;
            }
            assert_eq!(answer.status, 200, "{}", answer.text());
            tag = answer.field("etag").unwrap().to_owned();
            json(&answer)["ended"].as_bool()
        })
    }

    /// Runs `seawall` against the API, with this token.
    fn seawall(&self, token: &str, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
        command.args(words);
        command.args(["--api", &format!("http://{}", self.address)]);
        finished(command.env("SEAWALL_TOKEN", token))
    }
}

/// Where the API of the control with another pid than this listens by now, and the first token.
fn listens(up: &Up, other: Option<u64>) -> (SocketAddr, String) {
    let told = until("the API's address in up.json", || {
        let text = fs::read_to_string(up.data().join("up.json")).ok()?;
        let told: Value = serde_json::from_str(&text).ok()?;
        let is_new = told["pids"]["control"].as_u64() != other;
        (is_new && told["dashboard"].is_string()).then_some(told)
    });
    let path = told["token_path"].as_str().expect("the token's file");
    let token = fs::read_to_string(path).unwrap().trim().to_owned();
    (told["dashboard"].as_str().unwrap().parse().unwrap(), token)
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("no JSON: {}", answer.text()))
}

fn said(output: &Output) -> String {
    let text = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn what_is_applied_over_the_api_is_served_and_the_log_says_who_it_was() {
    let (old, new) = (Answering::start("old"), Answering::start("new"));
    let api = Api::start(&zone("a.test", &old.url(), ""));
    let first = api.ask(&[], "/zones/a.test/document");
    assert_eq!(first.field("content-type"), Some("application/toml"));
    let text = first.text().replace(&old.url(), &new.url());
    let tag = format!("If-Match: {}", first.field("etag").unwrap());
    let writer = api.token("ann", &["write:a.test"]);
    let done = api.put(
        &writer,
        "/zones/a.test/document?why=the%20site+moved",
        &text,
        &["-H", &tag],
    );
    assert_eq!(done.status, 200, "{}", done.text());
    let made = &json(&done)["versions"][0];
    assert_eq!(
        (&made["chain"], &made["version"]),
        (&"zone/a.test".into(), &2.into())
    );
    assert!(api.ended(&made["rollout"]), "it is everywhere");
    let get = || curl(&["-H", "Host: a.test", &api.up.url("/")]);
    assert_eq!(get().text(), "new");
    let version = api.get("/zones/a.test/versions/2");
    assert_eq!(version["author"], "token:ann");
    assert_eq!(
        (&version["why"], &version["serves"]),
        (&"the site moved".into(), &true.into())
    );
    let audit = api.get("/audit?limit=1000");
    let entries = audit["entries"].as_array().unwrap();
    let by_ann = entries.iter().filter(|entry| entry["who"] == "token:ann");
    let kinds: Vec<_> = by_ann.map(|entry| entry["what"]["kind"].clone()).collect();
    assert_eq!(
        kinds,
        ["rollout_started", "version_created"],
        "newest first"
    );
    let made = entries
        .iter()
        .find(|entry| entry["what"]["name"] == "ann")
        .unwrap();
    assert_eq!(
        (&made["who"], &made["what"]["kind"]),
        (&"token:admin".into(), &"token_made".into())
    );
    // No page of it holds a token, nor what one could be looked for by.
    let text = audit.to_string();
    assert!(
        !text.contains(&writer) && !text.contains(&api.token) && made["what"]["hash"].is_null()
    );
    // By pages it is the same.
    let (mut before, mut many) = (String::new(), 0);
    loop {
        let page = api.get(&format!("/audit?limit=3{before}"));
        many += page["entries"].as_array().unwrap().len();
        match page["next"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(many, entries.len());
}

#[test]
fn of_two_administrators_the_second_is_told_what_the_first_changed() {
    let site = Answering::start("good");
    let api = Api::start(&zone("a.test", &site.url(), ""));
    let seen = api.ask(&[], "/zones/a.test/document");
    let tag = format!("If-Match: {}", seen.field("etag").unwrap());
    let (ann, bob) = (
        api.token("ann", &["write:*"]),
        api.token("bob", &["write:*"]),
    );
    let path = "/zones/a.test/document";
    let hers = zone("a.test", &site.url(), "redirect_https = true\n");
    let his = zone("a.test", &site.url(), "websocket = false\n");
    assert_eq!(api.put(&ann, path, &hers, &["-H", &tag]).status, 200);
    let late = api.put(&bob, path, &his, &["-H", &tag]);
    assert_eq!(late.status, 412, "{}", late.text());
    let told = json(&late);
    assert_eq!(told["type"], "urn:seawall:problem:conflict");
    assert!(
        told["diff"]
            .as_str()
            .unwrap()
            .contains("+redirect_https = true"),
        "{told}"
    );
    assert_eq!(told["head"]["author"], "token:ann");
    // With what he was told, and hers in it, it is taken.
    let both = zone(
        "a.test",
        &site.url(),
        "redirect_https = true\nwebsocket = false\n",
    );
    let tag = format!("If-Match: {}", late.field("etag").unwrap());
    assert_eq!(api.put(&bob, path, &both, &["-H", &tag]).status, 200);
    // Who does not say what he looked at is asked.
    assert_eq!(api.put(&bob, path, &his, &[]).status, 428);
    let new = ["-H", "If-None-Match: *"];
    assert_eq!(api.put(&bob, path, &his, &new).status, 412);
    let other = zone("b.test", &site.url(), "");
    assert_eq!(
        api.put(&bob, "/zones/b.test/document", &other, &new).status,
        200
    );
    // What another zone has cannot be purged of this one.
    let named = r#"{"urls":["http://b.test/u"]}"#;
    let purged = api.post(&api.token, "/zones/a.test/purges", named);
    assert!(
        purged.status == 409 && purged.text().contains("no host b.test"),
        "{}",
        purged.text()
    );
    assert_eq!(
        api.put(&bob, "/zones/c.test/document", &other, &new).status,
        409
    );
    let numbers = api.get("/zones/a.test/versions");
    assert_eq!(numbers["versions"][0]["number"], 3);
}

#[test]
fn a_token_does_what_its_scopes_say_until_it_is_revoked() {
    let site = Answering::start("good");
    let two = [
        zone("a.test", &site.url(), ""),
        zone("b.test", &site.url(), ""),
    ];
    let api = Api::start(&two.join("").replacen("schema = 1\n", "", 2).replacen(
        "[[",
        "schema = 1\n[[",
        1,
    ));
    let change = |name: &str| zone(name, &site.url(), "redirect_https = true\n");
    let any = ["-H", "If-Match: *"];
    let status = |token: &str, name: &str| {
        let path = format!("/zones/{name}/document");
        api.put(token, &path, &change(name), &any).status
    };
    let read = api.token("read", &["read"]);
    let one = api.token("one", &["write:a.test"]);
    assert_eq!(api.by(&read, &[], "/zones").status, 200);
    assert_eq!(
        (status(&read, "a.test"), status(&one, "b.test")),
        (403, 403)
    );
    assert_eq!(api.by(&one, &[], "/zones").status, 403);
    assert_eq!(status(&one, "a.test"), 200);
    // A document is as much as all that is in it.
    let both = change("a.test") + &change("b.test").replace("schema = 1\n", "");
    let apply = |token: &str, text: &str| {
        let flags = [
            "-H",
            "Content-Type: application/toml",
            "--data-binary",
            text,
        ];
        api.by(token, &flags, "/apply").status
    };
    assert_eq!((apply(&one, &both), apply(&read, &both)), (403, 403));
    assert_eq!(
        apply(
            &one,
            &(change("a.test") + "[lists.office]\nips = [\"192.0.2.1\"]\n")
        ),
        403
    );
    // Files of the machine are not read by who may change a zone.
    let files = zone("a.test", "file:/etc", "");
    let told = api.put(&one, "/zones/a.test/document", &files, &any);
    assert!(
        told.status == 403 && told.text().contains("`files`"),
        "{}",
        told.text()
    );
    assert_eq!(
        api.put(&api.token, "/zones/a.test/document", &files, &any)
            .status,
        200
    );
    // Nobody gives what he has not.
    let maker = api.token("maker", &["tokens", "read"]);
    let more = r#"{ "name": "more", "scopes": ["write:*"] }"#;
    assert_eq!(api.post(&maker, "/tokens", more).status, 403);
    let less = r#"{ "name": "less", "scopes": ["read"], "seconds": 3600 }"#;
    let less = api.post(&maker, "/tokens", less);
    assert_eq!(less.status, 201, "{}", less.text());
    let less = json(&less)["token"].as_str().unwrap().to_owned();
    assert_eq!(api.by(&less, &[], "/status").status, 200);
    assert_eq!(api.ask(&["-X", "DELETE"], "/tokens/less").status, 204);
    let gone = api.by(&less, &[], "/status");
    assert_eq!(
        (gone.status, gone.field("www-authenticate")),
        (401, Some("Bearer realm=\"seawall\""))
    );
    assert_eq!(api.ask(&["-X", "DELETE"], "/tokens/less").status, 404);
    let short = r#"{ "name": "short", "scopes": ["read"], "seconds": 1 }"#;
    let short = json(&api.post(&api.token, "/tokens", short));
    let short = short["token"].as_str().unwrap().to_owned();
    until("the token's end", || {
        (api.by(&short, &[], "/status").status == 401).then_some(())
    });
}

#[test]
fn a_zone_that_is_managed_by_a_file_is_read_only_over_the_api() {
    let site = Answering::start("good");
    let mine = zone("a.test", &site.url(), "managed_by = \"file\"\n");
    let api = Api::start(&mine);
    let any = ["-H", "If-Match: *"];
    let other = zone("a.test", &site.url(), "");
    let told = api.put(&api.token, "/zones/a.test/document", &other, &any);
    assert_eq!(told.status, 409, "{}", told.text());
    assert!(
        json(&told)["detail"]
            .as_str()
            .unwrap()
            .contains("managed_by")
    );
    for (flags, path) in [
        (["-X", "DELETE"], "/zones/a.test"),
        (["-X", "POST"], "/zones/a.test/rollback"),
    ] {
        assert_eq!(api.ask(&flags, path).status, 409, "{path}");
    }
    // Who owns the machine may.
    let file = api.up.folder().write("other.toml", &other);
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    command
        .arg("apply")
        .arg(&file)
        .arg("--data")
        .arg(api.up.data());
    let output = finished(&mut command);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn the_first_token_is_kept_for_its_owner_and_outlives_control() {
    let site = Answering::start("good");
    let mut api = Api::start(&zone("a.test", &site.url(), ""));
    let path = api.up.data().join("admin.token");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // It is printed to a terminal only, and a file is none.
    assert!(!api.up.log().contains(&api.token), "{}", api.up.log());
    let pid = |up: &Up| {
        let text = fs::read_to_string(up.data().join("up.json")).unwrap();
        let told: Value = serde_json::from_str(&text).unwrap();
        told["pids"]["control"].as_u64().unwrap()
    };
    let old = pid(&api.up);
    let revoked = api.token("revoked", &["read"]);
    assert_eq!(api.ask(&["-X", "DELETE"], "/tokens/revoked").status, 204);
    send(old as u32, libc::SIGKILL);
    let (address, token) = listens(&api.up, Some(old));
    assert_eq!(token, api.token);
    api.address = address;
    assert_eq!(api.get("/status")["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(api.by(&revoked, &[], "/status").status, 401);
    // When all are lost, the owner of the machine makes another one.
    let here = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
        command.args(words).arg("--data").arg(api.up.data());
        let output = finished(&mut command);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    here(&["token", "revoke", "admin"]);
    assert_eq!(api.ask(&[], "/status").status, 401);
    let made = here(&["token", "make", "new", "--scope", "*", "--expires", "1h"]);
    assert_eq!(api.by(made.trim(), &[], "/status").status, 200);
    let listed = here(&["token", "list"]);
    assert!(listed.contains("new") && !listed.contains("admin") && !listed.contains(made.trim()));
}

#[test]
fn the_command_line_does_over_the_api_what_it_does_here() {
    let (good, site) = (Answering::start("good"), Answering::start("other"));
    let api = Api::with(&zone("a.test", &good.url(), ""), &["--speed", "100"]);
    let run = |words: &[&str]| {
        let output = api.seawall(&api.token, words);
        (output.status.code(), said(&output))
    };
    let write = |text: &str| api.up.folder().write("api.toml", text);
    let file = write(&zone("a.test", &site.url(), ""));
    let file = file.to_str().unwrap();
    let (code, text) = run(&["apply", file, "--wait", "--why", "a test", "--approve"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("zone/a.test: version 2") && text.contains("it is everywhere"),
        "{text}"
    );
    let (code, text) = run(&["versions", "a.test"]);
    assert!(
        code == Some(0) && text.contains("token:admin  a test"),
        "{text}"
    );
    let (_, text) = run(&["diff", "a.test", "1", "2"]);
    assert!(
        text.contains(&format!("-origin = [{{ url = \"{}\" }}]", good.url())),
        "{text}"
    );
    // What it says of a bad document is what it says here.
    write("schema = 1\n[[zone]]\nname = \"a.test\"\nhosts = 7\nno = 1\n");
    let there = run(&["apply", file]);
    let mut here = Command::new(env!("CARGO_BIN_EXE_seawall"));
    here.args(["apply", file]).arg("--data").arg(api.up.data());
    let here = finished(&mut here);
    assert_eq!(there, (here.status.code(), said(&here)));
    assert!(
        there.0 == Some(1) && there.1.contains("zone[0].hosts"),
        "{}",
        there.1
    );
    // A version that nobody can serve by is taken back, and it says so.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    write(&zone("a.test", &nowhere, ""));
    let (code, text) = run(&["apply", file, "--wait"]);
    assert!(code == Some(1) && text.contains("taken back"), "{text}");
    let (code, text) = run(&["rollback", "a.test", "1", "--wait"]);
    assert_eq!(code, Some(0), "{text}");
    // A way back does not wait for who is silent, as an agent on a busy machine is at this pace.
    until("the version that was brought back", || {
        let answer = curl(&["-H", "Host: a.test", &api.up.url("/")]);
        (answer.text() == "good").then_some(())
    });
    for words in [
        ["pin", "a.test"].as_slice(),
        &["pin", "a.test", "--remove"],
        &["rollouts"],
        &["status"],
        &["token", "list"],
        &["delete", "a.test"],
    ] {
        let (code, text) = run(words);
        assert_eq!(code, Some(0), "{words:?}: {text}");
    }
    assert_eq!(run(&["versions", "no.test"]).0, Some(1));
    let wrong = api.seawall("sw_0", &["versions", "a.test"]);
    assert!(
        !wrong.status.success() && said(&wrong).contains("no good token"),
        "{}",
        said(&wrong)
    );
    let elsewhere = Command::new(env!("CARGO_BIN_EXE_seawall"))
        .args(["status", "--api", "http://example.test"])
        .env("SEAWALL_TOKEN", &api.token)
        .output()
        .unwrap();
    assert_eq!(
        elsewhere.status.code(),
        Some(2),
        "a token does not travel in the clear"
    );
}
