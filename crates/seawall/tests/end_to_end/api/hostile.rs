//! What the API answers to those who mean it no good, and to browsers that were led to it.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{Api, json, zone};
use crate::origin::Answering;
use crate::tools::{connect, raw};

fn api(flags: &[&str]) -> (Answering, Api) {
    let site = Answering::start("good");
    let api = Api::with(&zone("a.test", &site.url(), ""), flags);
    (site, api)
}

#[test]
fn a_name_that_is_not_ours_is_not_answered() {
    let (_site, api) = api(&["--dashboard-host", "edge.example.com"]);
    let port = api.address.port();
    for (host, status) in [
        ("rebound.test", 421),
        (&format!("rebound.test:{port}"), 421),
        ("localhost.rebound.test", 421),
        ("localhost", 200),
        ("192.0.2.7", 200),
        ("[::1]:8800", 200),
        ("edge.example.com", 200),
        ("EDGE.example.com:443", 200),
    ] {
        let host = format!("Host: {host}");
        let answer = api.ask(&["-H", &host], "/status");
        assert_eq!(answer.status, status, "{host}");
        // A page elsewhere is told nothing, whatever it asks.
        let from = ["-H", host.as_str(), "-H", "Origin: http://rebound.test"];
        let told = api.ask(&from, "/status");
        assert_eq!(told.field("access-control-allow-origin"), None);
        assert_eq!(
            api.ask(&[&from[..], &["-X", "OPTIONS"]].concat(), "/status")
                .status,
            if status == 421 { 421 } else { 405 }
        );
    }
}

#[test]
fn what_is_too_large_garbage_or_unknown_is_refused_and_the_next_is_answered() {
    let (_site, api) = api(&[]);
    let head = format!(
        "Host: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\n",
        api.token
    );
    let toml = "Content-Type: application/toml\r\n";
    let long = "x".repeat(20_000);
    let cases = [
        (
            format!("POST /api/v1/apply HTTP/1.1\r\n{head}{toml}Content-Length: 99999999\r\n\r\n"),
            413,
        ),
        (
            format!("POST /api/v1/apply HTTP/1.1\r\n{head}{toml}Content-Length: 3\r\n\r\n\u{fffd}"),
            422,
        ),
        (
            format!("POST /api/v1/apply HTTP/1.1\r\n{head}Content-Length: 3\r\n\r\nabc"),
            415,
        ),
        (
            format!(
                "POST /api/v1/apply HTTP/1.1\r\n{head}{toml}Transfer-Encoding: chunked\r\n\r\nzz\r\n"
            ),
            400,
        ),
        (
            format!("GET /api/v1/status HTTP/1.1\r\n{head}X: {long}\r\n\r\n"),
            431,
        ),
        (
            format!("GET /api/v1/status?{long} HTTP/1.1\r\n{head}\r\n"),
            431,
        ),
        (
            format!("GET /api/v1/status?no=1 HTTP/1.1\r\n{head}\r\n"),
            400,
        ),
        (
            format!("GET /api/v1/zones?limit=1001 HTTP/1.1\r\n{head}\r\n"),
            400,
        ),
        (
            format!("GET /api/v1/zones?limit=%zz HTTP/1.1\r\n{head}\r\n"),
            400,
        ),
        (format!("GET /api/v1/no HTTP/1.1\r\n{head}\r\n"), 404),
        (
            format!("GET /api/v1/zones/../status HTTP/1.1\r\n{head}\r\n"),
            404,
        ),
        (
            format!("GET /api/v1/zones/%61.test/document HTTP/1.1\r\n{head}\r\n"),
            404,
        ),
        (format!("DELETE /api/v1/status HTTP/1.1\r\n{head}\r\n"), 405),
        (
            format!(
                "POST /api/v1/tokens HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
            ),
            400,
        ),
        ("\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), 400),
        (
            format!("GET /api/v1/status HTTP/1.1\r\n{head}{head}\r\n"),
            400,
        ),
    ];
    for (request, status) in cases {
        let answer = raw(api.address, &request);
        let shown: String = request.chars().take(200).collect();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{shown}\n{answer}"
        );
        assert!(
            answer.contains("application/problem+json"),
            "{shown}\n{answer}"
        );
        assert_eq!(api.ask(&[], "/status").status, 200);
    }
    let json_too_long = format!("{{\"name\": \"{}\"}}", "x".repeat(70_000));
    let path = api.up.folder().write("long.json", &json_too_long);
    let data = format!("@{}", path.display());
    let flags = [
        "-H",
        "Content-Type: application/json",
        "--data-binary",
        &data,
    ];
    assert_eq!(api.ask(&flags, "/tokens").status, 413);
    let unknown = json(&api.ask(&[], "/nothing"));
    assert_eq!(unknown["code"], 7003);
    let refused = api.post(&api.token, "/zones/a.test/rollback", r#"{ "verison": 1 }"#);
    assert!(
        refused.status == 400 && refused.text().contains("verison"),
        "{}",
        refused.text()
    );
    // HTTP/2 is the same API.
    let h2 = api.ask(&["--http2-prior-knowledge"], "/status");
    assert_eq!((h2.status, h2.version.as_str()), (200, "2"));
}

#[test]
fn a_document_shows_all_its_problems_each_with_its_place() {
    let (_site, api) = api(&[]);
    let bad = "schema = 1\n[[zone]]\nname = \"a.test\"\nhosts = [\"a.test\"]\norigin = [{ url = \"ftp://x\" }]\nwebsoket = true\n";
    let flags = ["-H", "Content-Type: application/toml", "--data-binary", bad];
    for path in ["/apply", "/check"] {
        let told = api.ask(&flags, path);
        assert_eq!(told.status, 422, "{}", told.text());
        let told = json(&told);
        let places: Vec<_> = told["problems"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["path"].clone())
            .collect();
        assert_eq!(
            places,
            ["zone[0].origin[0].url", "zone[0].websoket"],
            "{told}"
        );
        assert!(
            told["problems"][1]["help"]
                .as_str()
                .unwrap()
                .contains("websocket"),
            "{told}"
        );
    }
    // What only a compile finds has its place in the text that was sent, too.
    let rule = "[[zone.rule]]\nwhen = 'ip.src in $nobody'\naction = \"block\"\n";
    let sent = zone("z.test", "http://127.0.0.1:1", "")
        + &zone("a.test", "http://127.0.0.1:1", rule).replace("schema = 1\n", "");
    let flags = [
        "-H",
        "Content-Type: application/toml",
        "--data-binary",
        &sent,
    ];
    let told = json(&api.ask(&flags, "/check"));
    assert_eq!(
        told["problems"][0]["path"], "zone[1].rule[0].when",
        "{told}"
    );
}

#[test]
fn guesses_are_slowed_down_and_do_not_lock_out_who_has_a_token() {
    let (_site, api) = api(&[]);
    let wrong = format!("sw_{}", "0".repeat(64));
    let answers: Vec<_> = (0..15).map(|_| api.by(&wrong, &[], "/status")).collect();
    let refused = answers.iter().filter(|answer| answer.status == 401).count();
    assert!((10..15).contains(&refused), "{refused} were looked at");
    let last = answers.last().unwrap();
    let after: u64 = last.field("retry-after").unwrap().parse().unwrap();
    assert!(last.status == 429 && after >= 1, "{last:?}");
    let good = api.ask(&[], "/status");
    assert_eq!(good.status, 200);
    let left = good.field("ratelimit").unwrap();
    assert!(left.starts_with("\"token\";r="), "{left}");
    // What one token asks too much is refused, and another one's is not.
    let one = api.token("one", &["read"]);
    let head = format!(
        "GET /api/v1/locations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {one}\r\n\r\n"
    );
    let mut stream = connect(api.address);
    stream.write_all(head.repeat(280).as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    let many = |status: &str| all.matches(&format!("HTTP/1.1 {status} ")).count();
    assert_eq!(many("200") + many("429"), 280, "{all}");
    assert!(all.contains("ratelimit: \"token\";r=0;"), "{all}");
    assert!(
        many("200") >= 200 && many("429") > 0,
        "{} good",
        many("200")
    );
    assert_eq!(api.ask(&[], "/status").status, 200);
}

#[test]
fn connections_that_say_nothing_take_the_room_of_their_address_alone() {
    let (_site, api) = api(&[]);
    let from = |last: u8| {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let own = std::net::SocketAddr::from(([127, 8, 0, last], 0));
        socket.bind(&own.into()).unwrap();
        socket.connect(&api.address.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream
            .set_read_timeout(Some(crate::up::patience()))
            .unwrap();
        stream
    };
    let mut idle = Vec::new();
    for _ in 0..150 {
        let mut stream = from(1);
        let _ = stream.write_all(b"GET /api/v1/status HTTP/1.1\r\nHost: l");
        idle.push(stream);
    }
    // Those beyond the bound were closed, and others are waited for.
    let last = idle.pop().unwrap().read(&mut [0; 1]);
    let is_closed = match &last {
        Ok(read) => *read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    };
    assert!(is_closed, "{last:?}");
    let first = idle.first_mut().unwrap();
    first.set_nonblocking(true).unwrap();
    let waits = first.read(&mut [0; 1]).unwrap_err();
    assert_eq!(waits.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(api.ask(&[], "/status").status, 200);
}

#[test]
#[ignore = "long: a head that does not come is waited for ten seconds"]
fn a_head_that_comes_too_slowly_is_given_up() {
    let (_site, api) = api(&[]);
    let mut stream = connect(api.address);
    stream
        .set_read_timeout(Some(crate::up::patience() * 3))
        .unwrap();
    stream
        .write_all(b"GET /api/v1/status HTTP/1.1\r\nHost: l")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}
