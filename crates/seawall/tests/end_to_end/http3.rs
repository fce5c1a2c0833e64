//! HTTP/3, spoken by a client that knows nothing of Seawall (`tests/http3/client.py`, aioquic).

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::origin::Held;
use crate::supervisor::{another, pid, rounds};
use crate::tools::{Server, curl};
use crate::up::{Folder, Up, command, patience, send, until};

pub fn client(at: SocketAddr, scene: &str, flags: &[&str]) -> Command {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"),
        PathBuf::from,
    );
    let python = cache.join("seawall/http3/bin/python");
    assert!(
        python.exists(),
        "{}: run scripts/setup test",
        python.display()
    );
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/http3/client.py");
    let mut command = Command::new(python);
    command.arg(program).arg(scene).arg(at.to_string());
    command.args(flags).stdin(Stdio::null());
    command
}

/// Plays a scene and returns what it says it saw.
fn play(at: SocketAddr, scene: &str, flags: &[&str]) -> Value {
    let done = client(at, scene, flags).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success(),
        "{scene} {flags:?}: {said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    serde_json::from_str(said.lines().last().unwrap()).unwrap()
}

/// The sample site by so many workers.
fn with_workers(workers: &str) -> Up {
    let folder = Folder::new();
    let mut command = command(&folder.join("data"));
    command.args(["--workers", workers]).stdout(folder.log());
    Up::spawned(folder, command)
}

fn field<'a>(answer: &'a Value, name: &str) -> Option<&'a str> {
    let fields = answer["fields"].as_array()?;
    fields.iter().find(|field| field[0] == name)?[1].as_str()
}

/// What the origin saw of a request for `/echo`.
fn seen(answer: &Value) -> Value {
    let body = answer["body"].as_str().unwrap();
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"))
}

#[test]
fn a_request_is_judged_answered_and_recorded_as_any_other() {
    let origin = Server::site();
    let up = Up::with_config(&format!(
        "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"site.test\"]\norigin = [{{ url = \"{}\" }}]\n\
         [[zone.rule]]\nwhen = 'http.request.uri.path eq \"/secret\" and http.request.version eq \"HTTP/3\"'\naction = \"block\"\n",
        origin.url()
    ));
    let page = play(up.https(), "get", &[]);
    assert_eq!(page["status"], 200, "{page}");
    assert!(page["body"].as_str().unwrap().contains("A small site"));
    assert!(field(&page, "seawall-ray").is_some());
    let record = up.record_of("/");
    assert_eq!(
        (&record["http"], &record["tls"]),
        (&"HTTP/3".into(), &"TLSv1.3".into())
    );
    assert_eq!(
        (&record["zone"], &record["status"]),
        (&"a".into(), &200.into())
    );
    let blocked = play(up.https(), "get", &["--path=/secret"]);
    assert_eq!(blocked["status"], 403, "{blocked}");
    assert!(
        field(&blocked, "seawall-verdict")
            .unwrap()
            .starts_with("rules/")
    );
    // The wrong host, after a handshake that no zone is there for, and after one for another zone.
    let unknown = play(up.https(), "get", &["--host=other.test"]);
    assert_eq!(unknown["status"], 421, "{unknown}");
    let head = play(up.https(), "get", &["--method=HEAD"]);
    assert_eq!((&head["status"], &head["length"]), (&200.into(), &0.into()));
    assert!(field(&head, "content-length").is_some());
    let echo = seen(&play(
        up.https(),
        "get",
        &["--path=/echo", "--fields=cookie:a=1|x-own:y"],
    ));
    assert_eq!(echo["headers"]["via"], "3 seawall", "{echo}");
}

#[test]
fn bodies_and_trailers_pass_whole() {
    let origin = Server::site();
    let up = Up::before(&origin.url());
    let large = play(up.https(), "post", &["--path=/upload", "--bytes=8000000"]);
    assert_eq!(large["status"], 200, "{large}");
    assert!(large["body"].as_str().unwrap().contains("8000000"));
    let down = play(up.https(), "get", &["--path=/download?mib=16"]);
    assert_eq!(down["length"], 16 << 20, "{}", down["status"]);
    let stream = play(up.https(), "get", &["--path=/stream?mib=4"]);
    assert_eq!(stream["length"], 4 << 20);
    let trailers = play(up.https(), "get", &["--path=/trailers"]);
    assert!(
        !trailers["trailers"].as_array().unwrap().is_empty(),
        "{trailers}"
    );
    let both = play(
        up.https(),
        "post",
        &["--path=/upload", "--bytes=100", "--trailers"],
    );
    assert_eq!(both["status"], 200, "{both}");
}

#[test]
fn many_requests_share_a_connection() {
    let origin = Server::site();
    let up = Up::before(&origin.url());
    let answers = play(up.https(), "many", &["--count=500"]);
    assert_eq!(answers["statuses"], serde_json::json!([200]));
    assert_eq!(answers["count"], 500);
}

#[test]
fn websocket_over_http3() {
    let origin = Server::start("ws-echo-server.mjs", &[]);
    let up = Up::before(&origin.url());
    let answer = play(up.https(), "websocket", &[]);
    assert_eq!(answer["status"], 200, "{answer}");
    assert!(
        answer["body"].as_str().unwrap().contains("hello"),
        "{answer}"
    );
}

#[test]
fn those_who_come_over_tcp_are_told_of_it() {
    let origin = Server::site();
    let up = Up::before(&origin.url());
    let told = format!("h3=\":{}\"; ma=86400", up.https().port());
    for version in ["--http1.1", "--http2"] {
        for path in ["/", "/.seawall/trace", "/.seawall/nothing"] {
            let answer = curl(&[version, &up.tls_url(path)]);
            assert_eq!(answer.field("alt-svc"), Some(told.as_str()), "{path}");
        }
    }
    assert_eq!(curl(&[&up.url("/")]).field("alt-svc"), None, "cleartext");
    let own = play(up.https(), "get", &[]);
    assert_eq!(field(&own, "alt-svc"), None);
}

#[test]
fn it_can_be_switched_off_and_clients_may_see_another_port() {
    let origin = Server::site();
    let config = |more: &str| {
        format!(
            "schema = 1\n[edge]\n{more}\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ url = \"{}\" }}]\n",
            origin.url()
        )
    };
    let off = Up::with_config(&config("http3 = false"));
    assert_eq!(curl(&[&off.tls_url("/")]).field("alt-svc"), None);
    assert!(
        std::net::UdpSocket::bind(off.https()).is_ok(),
        "nobody is there"
    );
    let mapped = Up::with_config(&config("public_https = 443"));
    let told = curl(&[&mapped.tls_url("/")]);
    assert_eq!(told.field("alt-svc"), Some("h3=\":443\"; ma=86400"));
}

#[test]
fn a_port_that_is_in_use_is_said_and_taken_when_it_is_free() {
    let port = until("a port that is free over both", || {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = std::net::TcpListener::bind(udp.local_addr().unwrap());
        tcp.ok().map(|_| udp)
    });
    let at = port.local_addr().unwrap();
    let folder = Folder::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    command.arg("up").arg("--data").arg(folder.join("data"));
    command.args(["--http", "none", "--admin", "none", "--workers", "2"]);
    command
        .args(["--https", &at.to_string()])
        .stdout(folder.log());
    let up = Up::spawned(folder, command);
    assert!(up.log().contains("no HTTP/3"), "{}", up.log());
    assert_eq!(curl(&[&up.tls_url("/")]).field("alt-svc"), None);
    drop(port);
    until("Alt-Svc", || {
        curl(&[&up.tls_url("/")]).field("alt-svc").map(|_| ())
    });
    assert_eq!(play(up.https(), "get", &[])["status"], 200);
}

#[test]
fn what_is_safe_may_come_early_and_what_is_not_is_told_to_come_again() {
    let origin = Server::site();
    let up = Up::before(&origin.url());
    let told = play(up.https(), "early", &["--path=/echo"]);
    let outcome = &told["outcomes"][0];
    assert_eq!(outcome["accepted"], true, "{told}");
    assert_eq!(outcome["status"], 200);
    assert_eq!(seen(outcome)["headers"]["early-data"], "1", "{outcome}");
    assert!(!seen(&told["first"]).to_string().contains("early-data"));
    let told = play(
        up.https(),
        "early",
        &["--path=/upload?early", "--method=POST"],
    );
    assert_eq!(told["outcomes"][0]["status"], 425, "{told}");
    let record = until("the Record of 425", || {
        up.records()
            .into_iter()
            .find(|record| record["status"] == 425)
    });
    assert_eq!(record["error"], "too_early");
    // A copy of the first flight finds no session: what it asks is not done early.
    let told = play(up.https(), "early", &["--path=/echo", "--times=2"]);
    assert_eq!(told["outcomes"][0]["accepted"], true, "{told}");
    assert_eq!(told["outcomes"][1]["accepted"], false, "{told}");
    assert_eq!(told["outcomes"][1]["status"], 200);
}

/// Whoever has not proven an address asks in nobody's name: it is answered when its handshake is done.
#[test]
fn what_comes_early_from_an_unproven_address_waits() {
    let origin = Server::site();
    let up = Up::before(&origin.url());
    let told = play(up.https(), "early", &["--path=/echo", "--no-token"]);
    let outcome = &told["outcomes"][0];
    assert_eq!(
        (&outcome["accepted"], &outcome["status"]),
        (&true.into(), &200.into())
    );
    assert!(
        !seen(outcome).to_string().contains("early-data"),
        "{outcome}"
    );
    let told = play(
        up.https(),
        "early",
        &["--path=/upload", "--method=POST", "--no-token"],
    );
    assert_eq!(told["outcomes"][0]["status"], 200, "{told}");
}

#[test]
fn a_client_may_move_to_another_port() {
    let up = with_workers("4");
    let told = play(up.https(), "move", &["--times=8"]);
    let answers = told["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 9);
    assert!(
        answers.iter().all(|answer| answer["status"] == 200),
        "{told}"
    );
}

/// A datagram's source may be a lie: until the path is proven, the client is who it was.
#[test]
fn a_client_that_moves_to_another_address_is_known_by_its_old_one_at_first() {
    let up = Up::start(Folder::new(), &[]);
    let told = play(up.https(), "move", &["--to=::ffff:127.0.0.2"]);
    let trace = told["answers"][1]["body"].as_str().unwrap();
    assert!(trace.contains("ip=127.0.0.1\n"), "{trace}");
}

#[test]
fn half_open_handshakes_beyond_a_number_must_prove_their_address() {
    let up = with_workers("1");
    let calm = play(up.https(), "half-open", &["--count=5"]);
    assert_eq!(
        (&calm["status"], &calm["retry"]),
        (&200.into(), &false.into())
    );
    let busy = play(up.https(), "half-open", &["--count=200"]);
    assert_eq!(
        (&busy["status"], &busy["retry"]),
        (&200.into(), &true.into())
    );
}

#[test]
fn nobody_gets_more_than_three_times_what_he_sent() {
    let up = Up::start(Folder::new(), &[]);
    let told = play(up.https(), "amplify", &[]);
    let number = |name: &str| told[name].as_u64().unwrap();
    println!("sent {}, received {}", number("sent"), number("received"));
    assert!(number("received") > 0);
    assert!(number("received") <= 3 * number("sent"), "{told}");
}

#[test]
fn garbage_is_answered_little_and_does_no_harm() {
    let up = with_workers("1");
    let told = play(up.https(), "garbage", &[]);
    assert_eq!(told["status"], 200, "{told}");
    for (kind, count) in told["counts"].as_object().unwrap() {
        let (sent, received) = (count[0].as_u64().unwrap(), count[1].as_u64().unwrap());
        println!("{kind}: sent {sent}, received {received}");
        assert!(received <= sent, "{kind}: {told}");
        match kind.as_str() {
            "version" => assert!(received > 0, "versions are negotiated"),
            "small-version" => assert_eq!(received, 0),
            _ => {}
        }
    }
}

/// RFC 9114 §6.2, §7.2; RFC 9204 §4: each with the code that it demands.
#[test]
fn who_breaks_the_protocol_is_told_by_the_right_code() {
    let up = Up::start(Folder::new(), &[]);
    for (sent, code) in [
        // A second control stream; a push stream; second QPACK streams.
        ("uni:000400", 0x103),
        ("uni:01", 0x103),
        ("uni:02", 0x103),
        ("uni:03", 0x103),
        // Frames on a request's stream: DATA first, SETTINGS, one of HTTP/2, a cut one.
        ("bidi:000161", 0x105),
        ("bidi:0400", 0x105),
        ("bidi:0200", 0x105),
        ("bidi:0105ff.", 0x106),
        // Field sections: of a dynamic table, and none.
        ("bidi:01020100", 0x200),
        ("bidi:010100", 0x200),
    ] {
        let told = play(up.https(), "raw", &[&format!("--send={sent}")]);
        assert_eq!(told["ended"]["code"], code, "{sent}: {told}");
    }
    // Requests that are malformed cost a stream: without a method, with an upper-case name, with a connection's field.
    for sent in [
        "bidi:01050000d7c1c0.",
        "bidi:010c0000d1d7c150016121410162.",
        "bidi:011a0000d1d7c15001612703636f6e6e656374696f6e05636c6f7365.",
        "bidi:01020000.",
    ] {
        let told = play(up.https(), "raw", &[&format!("--send={sent}")]);
        assert_eq!(told["ended"], Value::Null, "{sent}: {told}");
        assert_eq!(told["answer"]["reset"], 0x10e, "{sent}: {told}");
    }
    // Streams and frames of a kind that nobody knows are passed over.
    let told = play(up.https(), "raw", &["--send=uni:40ff0102+bidi:21020102."]);
    assert_eq!(told["ended"], Value::Null, "{told}");
}

#[test]
fn who_cancels_without_end_loses_the_connection() {
    let origin = Held::start();
    let up = Up::before(&origin.url());
    let told = play(up.https(), "cancel", &["--count=400"]);
    assert_eq!(told["ended"]["code"], 0x107, "{told}");
    let cancelled = told["cancelled"].as_u64().unwrap();
    assert!((150..400).contains(&cancelled), "{told}");
}

#[test]
fn a_head_that_is_too_long_is_answered() {
    let up = Up::start(Folder::new(), &[]);
    let long = format!("--fields=x-long:{}", "x".repeat(40_000));
    let answer = play(up.https(), "get", &[&long]);
    assert_eq!(answer["status"], 431, "{answer}");
}

/// A client that began and goes on by itself.
struct Going {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Going {
    fn begin(up: &Up, scene: &str, flags: &[&str]) -> Self {
        let mut child = client(up.https(), scene, flags)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

#[test]
fn a_running_request_ends_and_new_ones_are_sent_away() {
    let origin = Held::start();
    let mut up = Up::before(&origin.url());
    let mut going = Going::begin(&up, "slow", &[]);
    let mut body = origin.next().begin(10);
    body.write_all(b"begin").unwrap();
    assert_eq!(going.line(), "begun");
    up.signal(libc::SIGTERM);
    // Draining has begun once nobody new gets in.
    until("a refused connection", || {
        std::net::TcpStream::connect(up.http())
            .is_err()
            .then_some(())
    });
    body.write_all(b" end.").unwrap();
    let told: Value = serde_json::from_str(&going.line()).unwrap();
    assert_eq!(told["answer"]["body"], "begin end.", "{told}");
    assert_eq!(told["ended"]["code"], 0x100, "{told}");
    assert!(going.child.wait().unwrap().success());
    assert!(up.ended().success());
}

/// Two workers have sockets on one port: each gets the datagrams of its own connections, and the new one all that is new.
#[test]
fn a_running_request_outlives_upgrades_and_new_ones_reach_the_new_worker() {
    let origin = Held::start();
    let up = Up::before(&origin.url());
    let (mut going, mut body) = begun(&up, &origin);
    upgrade(&up);
    is_answered(&up);
    body.write_all(b" end.").unwrap();
    let told: Value = serde_json::from_str(&going.line()).unwrap();
    assert_eq!(told["answer"]["body"], "begin end.", "{told}");
    assert!(going.child.wait().unwrap().success());
    // The old one has gone, and its sockets in the group are nobody's.
    workers(&up, 1);
    is_answered(&up);
}

pub fn upgrade(up: &Up) {
    let mut upgrade = Command::new(env!("CARGO_BIN_EXE_seawall"));
    let done = crate::up::finished(upgrade.arg("upgrade").arg("--data").arg(up.data()));
    assert!(done.status.success(), "{}", up.log());
}

fn is_answered(up: &Up) {
    for _ in 0..2 {
        let answer = play(up.https(), "get", &["--path=/.seawall/trace"]);
        assert_eq!(answer["status"], 200, "{answer}");
    }
}

/// A request that has begun, and the origin's end of it.
fn begun(up: &Up, origin: &Held) -> (Going, std::net::TcpStream) {
    let mut going = Going::begin(up, "slow", &["--seconds=120"]);
    let mut body = origin.next().begin(10);
    body.write_all(b"begin").unwrap();
    assert_eq!(going.line(), "begun");
    (going, body)
}

/// More than two workers in one group, some of which end before others, and a supervisor that knows of them only what they say.
#[test]
fn however_many_workers_leave_each_ends_what_it_has_begun_and_the_last_one_gets_what_is_new() {
    let origin = Held::start();
    let up = Up::before(&origin.url());
    let data = up.data();
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(begun(&up, &origin));
        upgrade(&up);
        is_answered(&up);
    }
    let ends = |(mut going, mut body): (Going, std::net::TcpStream)| {
        body.write_all(b" end.").unwrap();
        let told: Value = serde_json::from_str(&going.line()).unwrap();
        assert_eq!(told["answer"]["body"], "begin end.", "{told}");
        assert!(going.child.wait().unwrap().success());
    };
    // The second of four: its place becomes free between others.
    ends(all.remove(1));
    workers(&up, 3);
    let supervisor = pid(&data, "supervisor");
    send(supervisor, libc::SIGKILL);
    another(&data, "supervisor", supervisor);
    is_answered(&up);
    all.push(begun(&up, &origin));
    upgrade(&up);
    is_answered(&up);
    all.into_iter().for_each(ends);
    workers(&up, 1);
    is_answered(&up);
}

/// What arrives while no worker is there waits for the next one, as connections do: one datagram, which is not sent again. It is of a
/// version that nobody speaks, so each is answered (RFC 9000 §6.1).
#[test]
fn what_comes_while_a_worker_is_replaced_waits_for_the_next_one() {
    let up = Up::before(&Held::start().url());
    is_answered(&up);
    let mut datagram = vec![0xc0, 0xfa, 0xce, 0xb0, 0x0c, 8];
    datagram.extend([7; 8]);
    datagram.push(8);
    datagram.extend([9; 8]);
    datagram.resize(1200, 0);
    for _ in 0..rounds(2, 50) {
        let worker = pid(&up.data(), "worker");
        send(worker, libc::SIGKILL);
        until("its death", || {
            let stat = std::fs::read_to_string(format!("/proc/{worker}/stat"));
            stat.map_or(true, |stat| stat.contains(") Z")).then_some(())
        });
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(patience())).unwrap();
        client.connect(up.https()).unwrap();
        client.send(&datagram).unwrap();
        let mut answer = [0; 1500];
        let length = client.recv(&mut answer).expect("the next worker's answer");
        assert_eq!(answer[1..5], [0; 4], "{:02x?}", &answer[..length]);
        another(&up.data(), "worker", worker);
        is_answered(&up);
    }
}

/// It is not silence that tells a client that its connection is no more, but the next worker.
#[test]
fn who_was_connected_to_a_worker_that_died_is_told_by_the_next_one() {
    let up = Up::before(&Held::start().url());
    is_answered(&up);
    let mut going = Going::begin(&up, "reset", &["--seconds=60"]);
    assert_eq!(going.line(), "begun");
    let worker = pid(&up.data(), "worker");
    send(worker, libc::SIGKILL);
    let told: Value = serde_json::from_str(&going.line()).unwrap();
    assert_eq!(told["first"]["status"], 200, "{told}");
    assert_eq!(told["reset"], true, "{told}");
    assert!(going.child.wait().unwrap().success());
    another(&up.data(), "worker", worker);
}

/// Waits until so many workers run.
pub fn workers(up: &Up, count: usize) {
    until(&format!("{count} workers"), || {
        let mut status = Command::new(env!("CARGO_BIN_EXE_seawall"));
        let told = status.args(["status", "--json", "--data"]).arg(up.data());
        let told: Value = serde_json::from_slice(&told.output().unwrap().stdout).ok()?;
        (told["edge"]["workers"].as_array()?.len() == count).then_some(())
    });
}
