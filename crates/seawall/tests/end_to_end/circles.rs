//! Changes that refuse nobody, and after which nobody is served: redirects that lead in a circle, HTTPS that is not there, paths that the
//! origin has not. And the one that refuses everybody and is meant: maintenance.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::clients::Clients;
use crate::origin::Answering;
use crate::rollouts::{applied, asks, get, serves, start, told, zone};
use crate::up::{Folder, Up, until};

fn rule(path: &str, action: &str) -> String {
    format!("[[zone.rule]]\nwhen = 'http.request.uri.path eq \"{path}\"'\n{action}\n")
}

fn redirect(path: &str, to: &str) -> String {
    rule(path, &format!("action = \"redirect\"\nto = \"{to}\""))
}

/// One a second is kept.
fn ask_for_a_while(up: &Up) {
    for _ in 0..5 {
        assert_eq!(get(up, "/x"), 200);
        thread::sleep(Duration::from_millis(1_010));
    }
}

#[test]
fn redirects_that_lead_in_a_circle_meet_nobody() {
    let site = Answering::start("good");
    let back = redirect("/y", "/x");
    let up = start(&zone(&site.url(), &back), "10");
    ask_for_a_while(&up);
    let round = [redirect("/x", "/y"), back].concat();
    let (code, said) = applied(&up, &zone(&site.url(), &round), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("in a circle: /x -> /y -> /x"), "{said}");
    assert_eq!(get(&up, "/x"), 200);
    let once = redirect("/x", "/y");
    let (code, said) = applied(&up, &zone(&site.url(), &once), &[]);
    assert_eq!(code, Some(0), "it leads to what is served: {said}");
    assert_eq!((get(&up, "/x"), get(&up, "/y")), (302, 200));
    let https = ["redirect_https = true\n", &once].concat();
    let (code, said) = applied(&up, &zone(&site.url(), &https), &[]);
    assert_eq!(code, Some(0), "HTTPS is there: {said}");
    assert_eq!(get(&up, "/z"), 301);
}

/// A Seawall before a site that listens for plain HTTP alone.
fn without_https(config: &str) -> Up {
    let folder = Folder::new();
    let file = folder.write("seawall.toml", config);
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    command.arg("up").arg("--data").arg(folder.join("data"));
    command.args(["--http", "127.0.0.1:0", "--https", "none"]);
    for listener in ["--admin", "--dashboard", "--status-page"] {
        command.args([listener, "none"]);
    }
    command.args(["--workers", "2", "--speed", "10", "--config"]);
    command.arg(&file).stdin(Stdio::null()).stdout(folder.log());
    let up = Up::spawned(folder, command);
    until("the first import", || serves(&up));
    up
}

#[test]
fn nobody_is_sent_to_https_that_is_not_there() {
    let site = Answering::start("good");
    let up = without_https(&zone(&site.url(), ""));
    ask_for_a_while(&up);
    let https = zone(&site.url(), "redirect_https = true\n");
    let (code, said) = applied(&up, &https, &[]);
    assert_eq!(code, Some(1), "{said}");
    let circle = "http://a.test/x -> https://a.test/x -> https://a.test/x";
    assert!(said.contains(circle), "{said}");
    assert_eq!(get(&up, "/x"), 200);
    let (code, said) = applied(&up, &https, &["--approve"]);
    assert_eq!(code, Some(0), "it is meant: {said}");
    assert_eq!(get(&up, "/x"), 301);
}

#[test]
fn maintenance_asks_a_person_and_its_end_asks_nobody() {
    let site = Answering::start("good");
    let open = zone(&site.url(), "");
    let shut = zone(&site.url(), "[zone.maintenance]\nenabled = true\n");
    let up = start(&open, "500");
    let (code, said) = applied(&up, &shut, &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("puts a.test into maintenance: everybody gets 503"),
        "{said}"
    );
    assert_eq!(get(&up, "/"), 200);
    assert_eq!(told(asks(&up, &["approve"])).0, Some(0));
    until("maintenance", || (get(&up, "/") == 503).then_some(()));
    // However often: to be open again is never too much.
    for _ in 0..2 {
        let (code, said) = applied(&up, &open, &[]);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(get(&up, "/"), 200);
        let (code, said) = applied(&up, &shut, &["--approve"]);
        assert_eq!(code, Some(0), "in one go: {said}");
        assert_eq!(get(&up, "/"), 503);
    }
    let (code, said) = applied(&up, &open, &[]);
    assert_eq!(code, Some(0), "{said}");
}

/// A site that has no `/missing`.
fn site_without_missing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer_all(stream));
        }
    });
    format!("http://{address}")
}

fn answer_all(stream: TcpStream) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream).lines();
    loop {
        let first = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        let status = match first.contains(" /missing") {
            true => "404 Not Found",
            false => "200 OK",
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
        writer.write_all(answer.as_bytes()).ok()?;
    }
}

#[test]
fn a_rewrite_to_what_the_origin_has_not_is_taken_back() {
    let site = site_without_missing();
    let up = start(&zone(&site, ""), "10");
    let clients = Clients::start(up.http(), 100);
    until("traffic", || (clients.seen().len() == 100).then_some(()));
    let to = |path: &str| rule("/x", &format!("action = \"rewrite\"\npath = \"{path}\""));
    let (code, said) = applied(&up, &zone(&site, &to("/missing")), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("clients get an error"), "{said}");
    until("it is as before", || (get(&up, "/x") == 200).then_some(()));
    let (code, said) = applied(&up, &zone(&site, &to("/there")), &[]);
    assert_eq!(code, Some(0), "{said}");
    clients.end();
}
