//! Origins that are no server on a port.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use serde_json::Value;

use crate::tools::{Server, connect, curl, play, raw};
use crate::up::{Folder, Up, patience, until};

/// One zone for all hosts with this origin, and more lines.
fn zone(origin: &str, more: &str) -> String {
    format!(
        "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ {origin} }}]\n{more}\n"
    )
}

#[test]
fn a_unix_socket_is_an_origin_like_any_other() {
    for flag in ["--http1", "--h2c"] {
        let place = Folder::new();
        let path = place.join("site.sock");
        let path = path.to_str().unwrap();
        let site = Server::start("plain-site.mjs", &[&format!("--unix={path}"), flag]);
        let protocol = if flag == "--h2c" { "2" } else { "auto" };
        let up = Up::with_config(&zone(
            &format!("url = \"unix:{path}\", protocol = \"{protocol}\""),
            "health = { path = \"/\", every = \"100ms\", healthy_after = 1, unhealthy_after = 1 }",
        ));
        let echoed = curl(&["--header", "Host: a.test", &up.url("/echo")]);
        let seen: Value = serde_json::from_slice(&echoed.body).unwrap();
        let host = if flag == "--h2c" {
            ":authority"
        } else {
            "host"
        };
        assert_eq!(seen["headers"][host], "a.test", "{seen}");
        assert_eq!(seen["headers"]["x-forwarded-for"], "127.0.0.1", "{seen}");
        play("h2-client.mjs", &[&up.tls_url("")]);
        let record = up.record_of("/echo");
        assert_eq!(record["source"], "origin", "{record}");

        let state = || -> Value {
            let url = format!("http://{}/state", up.admin());
            serde_json::from_slice(&curl(&[&url]).body).unwrap()
        };
        assert!(state().to_string().contains(&format!("unix:{path}")));
        // It goes, and comes back: the same path, another process.
        drop(site);
        let gone = until("a refusal", || {
            let answer = curl(&[&up.url("/gone")]);
            (answer.status == 502).then_some(answer)
        });
        let said = gone.field("proxy-status").unwrap();
        assert_eq!(said, "seawall; error=connection_refused");
        std::fs::remove_file(path).ok();
        let _site = Server::start("plain-site.mjs", &[&format!("--unix={path}"), flag]);
        until("an answer", || {
            (curl(&[&up.url("/back")]).status == 404).then_some(())
        });
    }
}

#[test]
fn a_unix_socket_is_forbidden_where_loopback_is() {
    let place = Folder::new();
    let path = place.join("site.sock");
    let path = path.to_str().unwrap();
    let _site = Server::start("plain-site.mjs", &[&format!("--unix={path}")]);
    let config = zone(&format!("url = \"unix:{path}\""), "");
    let up = Up::with_config(&format!("{config}[edge]\noutward = [\"public\"]\n"));
    let answer = curl(&[&up.url("/")]);
    assert_eq!(answer.status, 502);
    let said = answer.field("proxy-status").unwrap();
    assert_eq!(said, "seawall; error=destination_ip_prohibited");
}

/// Tells what comes on each connection up to the end of a request's head. Answers 204 and keeps it open.
fn listener() -> (String, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tell, told) = sync_channel(16);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tell = tell.clone();
            thread::spawn(move || begin(stream, &tell));
        }
    });
    (address, told)
}

fn begin(mut stream: TcpStream, tell: &SyncSender<Vec<u8>>) {
    let mut byte = [0];
    loop {
        let mut bytes = Vec::new();
        // A header of version 2 begins with what a head ends with.
        while !bytes.ends_with(b"\r\n\r\n") || bytes.len() < 20 {
            match stream.read(&mut byte) {
                Ok(1) => bytes.push(byte[0]),
                _ => return,
            }
        }
        let _gone = tell.send(bytes);
        let _gone = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
    }
}

#[test]
fn an_origin_learns_the_client_by_the_proxy_protocol() {
    for version in ["v1", "v2"] {
        let (address, told) = listener();
        let up = Up::with_config(&zone(
            &format!("url = \"http://{address}\", proxy_protocol = \"{version}\""),
            "[edge]\ntrusted_proxies = [\"127.0.0.0/8\"]",
        ));
        for client in ["203.0.113.7", "2001:db8::7"] {
            // On one connection to the edge, twice: each request gets a connection of its own to the origin.
            let url = up.url("/");
            let from = format!("X-Forwarded-For: {client}");
            assert_eq!(curl(&["--header", &from, &url, &url]).status, 204);
            for _ in 0..2 {
                let bytes = told.recv_timeout(patience()).expect("a request");
                let head = bytes.windows(4).position(|four| four == b"GET ").unwrap();
                let header = &bytes[..head];
                let local = up.http().port();
                match (version, client.contains(':')) {
                    ("v1", false) => {
                        let expected = format!("PROXY TCP4 {client} 127.0.0.1 0 {local}\r\n");
                        assert_eq!(header, expected.as_bytes());
                    }
                    ("v1", true) => {
                        let expected =
                            format!("PROXY TCP6 {client} ::ffff:127.0.0.1 0 {local}\r\n");
                        assert_eq!(header, expected.as_bytes());
                    }
                    (_, v6) => {
                        assert_eq!(&header[..12], b"\r\n\r\n\0\r\nQUIT\n");
                        let expected: &[u8] = match v6 {
                            true => &[0x21, 0x21, 0, 36, 0x20, 0x01, 0x0d, 0xb8],
                            false => &[0x21, 0x11, 0, 12, 203, 0, 113, 7, 127, 0, 0, 1, 0, 0],
                        };
                        assert_eq!(&header[12..12 + expected.len()], expected);
                        assert_eq!(header[header.len() - 2..], local.to_be_bytes());
                    }
                }
            }
        }
    }
}

#[test]
fn a_trusted_balancer_says_who_the_client_is_before_tls_and_before_http() {
    let site = Server::site();
    let up = Up::with_config(&format!(
        "{}[edge]\ntrusted_proxies = [\"127.0.0.1\"]\nproxy_protocol = [\"http\", \"https\"]\nlimits = {{ header_timeout = \"3s\", connections_per_client = 5 }}\n",
        zone(&format!("url = \"{}\"", site.url()), "")
    ));
    // curl's own header names itself.
    for (way, url) in [
        ("--http1.1", up.url("/echo")),
        ("--http2-prior-knowledge", up.url("/echo")),
        ("--http2", up.tls_url("/echo")),
    ] {
        let answer = curl(&["--haproxy-protocol", way, &url]);
        let seen: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(seen["headers"]["x-forwarded-for"], "127.0.0.1", "{seen}");
    }
    let ask = |header: &[u8]| {
        let mut stream = connect(up.http());
        stream.write_all(header).unwrap();
        let request = "GET /echo HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\nConnection: close\r\n\r\n";
        let _closed = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let v1 = b"PROXY TCP4 203.0.113.7 198.51.100.1 4000 443\r\n";
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".to_vec();
    v2.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    v2.extend_from_slice(&[
        0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 1, 2, 3, 4,
    ]);
    for (header, client) in [(&v1[..], "203.0.113.7"), (&v2, "2001:db8::7")] {
        let answer = ask(header);
        let said = format!("\"x-forwarded-for\":\"{client}\"");
        assert!(answer.contains(&said), "{answer}");
        let records = || {
            up.records()
                .into_iter()
                .any(|record| record["client_ip"] == client)
        };
        until("a Record of the client", || records().then_some(()));
    }
    // Who is believed has to say it, and say it well, and in time.
    for header in [
        &b""[..],
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        b"PROXY TCP9 a\r\n",
    ] {
        assert_eq!(ask(header), "", "{header:?}");
    }
    let mut silent = connect(up.http());
    silent.write_all(b"PROXY TCP4 ").unwrap();
    assert_eq!(
        silent.read(&mut [0; 9]).unwrap_or(0),
        0,
        "closed when its time is over"
    );
    // Five connections of one client, and of another one still.
    let begin = |header: &[u8]| {
        let mut stream = connect(up.http());
        stream.write_all(header).unwrap();
        stream
            .write_all(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        let answers = stream.read(&mut [0; 9]).unwrap_or(0) > 0;
        (stream, answers)
    };
    let held: Vec<_> = (0..5).map(|_| begin(v1)).collect();
    assert!(held.iter().all(|(_, answers)| *answers));
    assert!(!begin(v1).1 && begin(&v2).1);
}

#[test]
fn nobody_else_is_believed() {
    let site = Server::site();
    let up = Up::with_config(&format!(
        "{}[edge]\ntrusted_proxies = [\"192.0.2.0/24\"]\nproxy_protocol = [\"http\"]\n",
        zone(&format!("url = \"{}\"", site.url()), "")
    ));
    assert_eq!(curl(&[&up.url("/")]).status, 200);
    let said = raw(
        up.http(),
        "PROXY TCP4 203.0.113.7 198.51.100.1 4000 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
}

/// One connection for two threads: whoever has it gives it up for who waits.
#[test]
fn threads_hand_the_only_connection_on() {
    let (address, told) = listener();
    thread::spawn(move || while told.recv().is_ok() {});
    let up = Up::with_config(&zone(
        &format!("url = \"http://{address}\""),
        "circuit = { connections = 1, pending = 100 }\ntimeouts = { connect = \"20s\" }",
    ));
    let url = up.url("/");
    thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| assert_eq!(curl(&[&url]).status, 204));
        }
    });
    let state = curl(&[&format!("http://{}/state", up.admin())]);
    let state: Value = serde_json::from_slice(&state.body).unwrap();
    let origin = &state["zones"]["a"]["origins"][0];
    assert!(origin["connections"].as_u64() <= Some(1), "{origin}");
}
