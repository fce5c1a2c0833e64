//! Configurations that change under load: no request and no tunnel is lost, a bad zone costs itself at most.
//!
//! `SEAWALL_TEST_LONG=1` swaps every 100 ms for a minute; otherwise twenty times.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::tools::{connect, curl, raw};
use crate::up::{Folder, Up, command, finished, until};

/// Answers every request with the same text, on connections that stay open; what asks for an upgrade gets an echo.
struct Site {
    address: SocketAddr,
}

impl Site {
    fn start(text: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || serve(stream, text));
            }
        });
        Self { address }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve(stream: TcpStream, text: &str) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let head = head(&mut reader)?;
        if head.contains("upgrade: websocket") {
            let accepted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            writer.write_all(accepted.as_bytes()).ok()?;
            return std::io::copy(&mut reader, &mut writer).ok().map(drop);
        }
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        writer.write_all(answer.as_bytes()).ok()?;
    }
}

/// A head in lower case, its last line included; none when the connection ends.
fn head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head.to_ascii_lowercase())
}

/// A client that asks again and again on one connection, until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Result<(), String>>>,
}

impl Load {
    /// Each of `hosts` is asked on a connection of its own, and must answer with 200 and one of these texts.
    fn start(edge: SocketAddr, hosts: &[(&'static str, &'static [&'static str])]) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let clients = hosts.iter().map(|&(host, texts)| {
            let (stop, answered) = (stop.clone(), Arc::clone(&answered));
            thread::spawn(move || ask(edge, host, texts, &stop, &answered))
        });
        Self {
            clients: clients.collect(),
            stop,
            answered,
        }
    }

    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends it; panics with what failed. Returns how many were answered.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client
                .join()
                .unwrap()
                .unwrap_or_else(|why| panic!("a request failed: {why}"));
        }
        self.answered.load(Ordering::Relaxed)
    }
}

fn ask(
    edge: SocketAddr,
    host: &str,
    texts: &[&str],
    stop: &AtomicBool,
    answered: &AtomicU64,
) -> Result<(), String> {
    let mut writer = connect(edge);
    let mut reader = BufReader::new(writer.try_clone().unwrap());
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    while !stop.load(Ordering::Relaxed) {
        let told = |error: std::io::Error| format!("{host}: {error}");
        writer.write_all(request.as_bytes()).map_err(told)?;
        let head = head(&mut reader).ok_or_else(|| format!("{host}: closed"))?;
        let length = head.lines().find_map(|line| {
            let length = line.strip_prefix("content-length: ")?;
            length.parse::<usize>().ok()
        });
        let mut body = vec![0; length.unwrap_or_default()];
        reader.read_exact(&mut body).map_err(told)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        if !head.starts_with("http/1.1 200 ") || !texts.contains(&body.as_str()) {
            return Err(format!("{host}: {head}{body}"));
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn zone(name: &str, origin: &str, more: &str) -> String {
    format!(
        "[[zone]]\nname = \"{name}\"\nhosts = [\"{name}.test\"]\norigin = [{{ url = \"{origin}\" }}]\n{more}\n"
    )
}

fn document(zones: &[String]) -> String {
    format!("schema = 1\n{}", zones.concat())
}

/// Writes a file, tells the edge, and waits until it has said what came of it.
fn reload(up: &Up, text: &str) {
    let said = |up: &Up| {
        let log = up.log();
        log.matches("Seawall reloaded: version ").count() + log.matches("not reloaded").count()
    };
    let before = said(up);
    up.folder().write("seawall.toml", text);
    up.signal(libc::SIGHUP);
    until("the reload to be told", || {
        (said(up) > before).then_some(())
    });
}

/// The zone's version, by its own trace.
fn version(up: &Up, zone: &str) -> String {
    let trace = raw(
        up.http(),
        &format!("GET /.seawall/trace HTTP/1.1\r\nHost: {zone}.test\r\nConnection: close\r\n\r\n"),
    );
    let line = trace.lines().find_map(|line| line.strip_prefix("version="));
    line.unwrap_or_else(|| panic!("no version in {trace}"))
        .to_owned()
}

#[test]
fn a_zone_that_turns_bad_stays_while_another_goes_live() {
    let (old, new) = (Site::start("old"), Site::start("new"));
    let up = Up::edge(&document(&[
        zone("a", &old.url(), ""),
        zone("b", &old.url(), ""),
    ]));
    let load = Load::start(
        up.http(),
        &[("a.test", &["old"]), ("b.test", &["old", "new"])],
    );
    let (a, b) = (version(&up, "a"), version(&up, "b"));
    reload(
        &up,
        &document(&[
            zone("a", &new.url(), "websocket = \"perhaps\""),
            zone("b", &new.url(), ""),
        ]),
    );
    let log = up.log();
    for part in [
        "1 zone(s) refused",
        "zone[0].websocket",
        &format!("zone[0] a: its last good version {a} stays live"),
    ] {
        assert!(log.contains(part), "{part} is missing in:\n{log}");
    }
    assert_eq!(version(&up, "a"), a);
    assert_ne!(version(&up, "b"), b);
    let so_far = load.answered();
    until("more answers", || {
        (load.answered() > so_far + 20).then_some(())
    });
    load.end();
    let answer = |host: &str| {
        let url = up.url("/");
        curl(&["--header", &format!("Host: {host}"), &url]).text()
    };
    assert_eq!(
        (answer("a.test"), answer("b.test")),
        ("old".into(), "new".into())
    );
}

#[test]
fn swaps_under_load_cost_no_request_and_no_tunnel() {
    let is_long = std::env::var_os("SEAWALL_TEST_LONG").is_some();
    let swaps: u32 = if is_long { 600 } else { 20 };
    let site = Site::start("good");
    let text = |nth: u32| {
        let edits = format!("response_headers = {{ set = {{ x-swap = \"{nth}\" }} }}");
        // The zone beside it goes and comes, and is bad now and then.
        let third = match nth % 3 {
            0 => zone("c", &site.url(), ""),
            1 => zone("c", "gopher://nowhere", ""),
            _ => String::new(),
        };
        document(&[
            zone("a", &site.url(), &edits),
            zone("b", &site.url(), ""),
            third,
        ])
    };
    let up = Up::edge(&text(0));
    let good: &[&str] = &["good"];
    let hosts = [
        ("a.test", good),
        ("b.test", good),
        ("a.test", good),
        ("b.test", good),
    ];
    let mut tunnel = connect(up.http());
    let mut answers = BufReader::new(tunnel.try_clone().unwrap());
    tunnel
        .write_all(
            b"GET /chat HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let opened = head(&mut answers).expect("a head");
    assert!(opened.starts_with("http/1.1 101 "), "{opened}");

    let load = Load::start(up.http(), &hosts);
    let begun = Instant::now();
    for nth in 1..=swaps {
        let due = begun + Duration::from_millis(100) * nth;
        reload(&up, &text(nth));
        let said = format!("{nth:08}");
        tunnel.write_all(said.as_bytes()).unwrap();
        let mut echo = [0; 8];
        answers.read_exact(&mut echo).expect("the tunnel's echo");
        assert_eq!(echo, said.as_bytes());
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let took = begun.elapsed();
    let answered = load.end();
    assert!(
        answered > u64::from(swaps),
        "{answered} answers are no load"
    );
    let live = curl(&["--header", "Host: a.test", &up.url("/")]);
    assert_eq!(live.field("x-swap"), Some(swaps.to_string().as_str()));
    println!("measured: requests answered over {swaps} swaps = {answered} requests");
    println!("measured: requests failed over {swaps} swaps = 0 requests");
    println!(
        "measured: time of {swaps} swaps = {:.1} s",
        took.as_secs_f64()
    );
}

#[test]
fn a_start_with_a_bad_zone_serves_the_others() {
    let site = Site::start("good");
    let text = document(&[
        zone("a", &site.url(), ""),
        zone("b", &site.url(), "websocket = \"perhaps\""),
        zone(
            "c",
            &site.url(),
            "tls = { certificate = { cert = \"no.pem\", key = \"no.key\" } }",
        ),
    ]);
    let up = Up::edge(&text);
    let asked = |host: &str| curl(&["--header", &format!("Host: {host}"), &up.url("/")]).status;
    assert_eq!(
        (asked("a.test"), asked("b.test"), asked("c.test")),
        (200, 421, 421)
    );
    let log = up.log();
    let paths = [
        "zone[1].websocket",
        "zone[2].tls.certificate.cert",
        "zone[2].tls.certificate.key",
    ];
    for part in paths {
        assert!(log.contains(part), "{part} is missing in:\n{log}");
    }
    // The same function says the same: to be served in part is not to be good.
    let checked = finished(
        Command::new(env!("CARGO_BIN_EXE_seawall"))
            .arg("check")
            .arg(up.folder().join("seawall.toml")),
    );
    assert_eq!(checked.status.code(), Some(1));
    let said = String::from_utf8_lossy(&checked.stdout);
    for part in paths {
        assert!(said.contains(part), "{part} is missing in:\n{said}");
    }
}

#[test]
fn where_no_zone_is_good_nothing_is_started() {
    let folder = Folder::new();
    let bad = "tls = { certificate = { cert = \"no.pem\", key = \"no.key\" } }";
    let text = document(&[zone("a", "sample", bad), zone("b", "gopher://nowhere", "")]);
    let config = folder.write("seawall.toml", &text);
    let done = finished(command(&folder.join("data")).arg("--config").arg(config));
    assert!(!done.status.success());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    for part in ["zone[0].tls.certificate.cert", "zone[1].origin[0].url"] {
        assert!(said.contains(part), "{part} is missing in:\n{said}");
    }
}

#[test]
fn ids_of_zones_outlive_the_process_and_a_broken_file_does_no_harm() {
    let site = Site::start("good");
    let text = document(&[zone("a", &site.url(), ""), zone("b", &site.url(), "")]);
    // What the processes leave is in a folder that none of them takes away.
    let data = Folder::new();
    let start = || {
        let folder = Folder::new();
        std::os::unix::fs::symlink(data.join("."), folder.join("data")).unwrap();
        folder.write("seawall.toml", &text);
        Up::edge_in(folder)
    };
    let ids = || -> serde_json::Value {
        let text = fs::read_to_string(data.join("zone-ids.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let stop = |mut up: Up| {
        up.signal(libc::SIGTERM);
        assert_eq!(up.ended().code(), Some(0), "{}", up.log());
    };
    let up = start();
    let first = ids();
    assert!(
        first["a"].is_string() && first["a"] != first["b"],
        "{first}"
    );
    reload(&up, &document(&[zone("a", &site.url(), "")]));
    let alone = ids();
    assert_eq!((&alone["a"], alone.get("b")), (&first["a"], None));
    reload(&up, &text);
    let second = ids();
    assert_eq!(second["a"], first["a"]);
    assert_ne!(second["b"], first["b"], "an id is never used again");
    stop(up);
    let up = start();
    assert_eq!(ids(), second);
    stop(up);
    fs::write(data.join("zone-ids.json"), "{ \"a\": ").unwrap();
    let up = start();
    assert!(up.log().contains("zone-ids.json is broken"), "{}", up.log());
    assert_ne!(ids()["a"], second["a"]);
    assert_eq!(
        curl(&["--header", "Host: a.test", &up.url("/")]).status,
        200
    );
    stop(up);
}

#[test]
fn hostile_documents_are_refused_in_bounded_time() {
    let site = Site::start("good");
    let good = document(&[zone("a", &site.url(), "")]);
    let up = Up::edge(&good);
    let load = Load::start(up.http(), &[("a.test", &["good"])]);
    let list = up.folder().join("huge.txt");
    fs::File::create(&list).unwrap().set_len(100 << 20).unwrap();
    let rule = "[[zone.rule]]\nwhen = 'ssl'\naction = \"log\"\n";
    let rules = format!("{good}{}", rule.repeat(20_000));
    let deep = format!(
        "schema = 1\nedge = {}1{}\n",
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    let same: String = (0..2_000).map(|_| zone("a", &site.url(), "")).collect();
    let unknown: String = (0..5_000).map(|n| format!("key{n} = {n}\n")).collect();
    for (what, text, says) in [
        (
            "100 MB of list",
            good.replace(
                "schema = 1\n",
                "schema = 1\n[lists.x]\nfile = \"huge.txt\"\n",
            ),
            "larger than 64 MiB",
        ),
        (
            "257 MiB",
            format!("{good}# {}\n", "x".repeat(257 << 20)),
            "is too long",
        ),
        ("rules", rules, "zone[0].rule"),
        ("nesting", deep, "is no TOML"),
        (
            "one host for all",
            format!("schema = 1\n{same}"),
            "a host belongs to one zone",
        ),
        (
            "unknown keys",
            good.replace("schema = 1\n", &format!("schema = 1\n{unknown}")),
            "and 4000 more",
        ),
        ("no text", "schema = 1\n\0\u{1}".into(), "is no TOML"),
    ] {
        let before = up.log().len();
        let begun = Instant::now();
        reload(&up, &text);
        // It may be written bit by bit.
        let said = until(what, || {
            let said = up.log().split_off(before);
            said.contains(says).then_some(said)
        });
        println!(
            "{what}: refused in {:?}, told in {} bytes",
            begun.elapsed(),
            said.len()
        );
        assert!(
            said.len() < 1 << 20,
            "{what}: {} bytes are told",
            said.len()
        );
        assert_eq!(
            curl(&["--header", "Host: a.test", &up.url("/")]).text(),
            "good",
            "{what}"
        );
    }
    load.end();
}
