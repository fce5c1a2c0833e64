//! Large bodies both ways: whole, in flat memory, and no faster than the other side reads.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::origin::Held;
use crate::tools::{Server, connect, curl, curl_command};
use crate::up::{Folder, Up, patience};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 256 * MIB;
/// How much a worker may grow while a body passes.
const GROWTH: u64 = 8 * MIB;
/// Of 256 zero MiB.
const SHA256_OF_ZEROS: &str = "a6d72ac7690f53be6ae46ba88506bd97302a093f7108472bd9efc3cefda06484";

#[test]
fn a_download_of_256_mib_arrives_whole_in_flat_memory() {
    let site = Server::site();
    let up = Up::before(&site.url());
    for (flag, tls) in [
        ("--http1.1", false),
        ("--http1.1", true),
        ("--http2", true),
        ("--http2-prior-knowledge", false),
    ] {
        let url = |mib: u64| {
            if tls {
                up.tls_url(&format!("/download?mib={mib}"))
            } else {
                up.url(&format!("/download?mib={mib}"))
            }
        };
        // The first bodies teach the allocator how much it needs.
        download(flag, &url(8));
        let expected = curl(&[flag, "--head", &url(256)])
            .field("x-sha256")
            .expect("a hash")
            .to_owned();
        let watch = Watch::begin(up.worker());
        let (bytes, hash) = download(flag, &url(256));
        let growth = watch.end();
        assert_eq!((bytes, hash), (SIZE, expected), "{flag} tls={tls}");
        println!(
            "download {flag} tls={tls}: the worker grew by {} KiB",
            growth / 1024
        );
        assert!(
            growth <= GROWTH,
            "{flag} tls={tls}: the worker grew by {} KiB",
            growth / 1024
        );
    }
}

#[test]
fn an_upload_of_256_mib_arrives_whole_in_flat_memory() {
    let site = Server::site();
    let up = Up::before(&site.url());
    let folder = Folder::new();
    let [small, large] = [("small", 8 * MIB), ("large", SIZE)].map(|(name, size)| {
        let path = folder.join(name);
        File::create(&path).unwrap().set_len(size).unwrap();
        path.to_str().unwrap().to_owned()
    });
    for (flag, tls) in [
        ("--http1.1", false),
        ("--http1.1", true),
        ("--http2", true),
        ("--http2-prior-knowledge", false),
    ] {
        let url = if tls {
            up.tls_url("/upload")
        } else {
            up.url("/upload")
        };
        assert_eq!(curl(&[flag, "--upload-file", &small, &url]).status, 200);
        // With its length, and (over HTTP/1.1) in chunks.
        for framing in [&[][..], &["--header", "Transfer-Encoding: chunked"]] {
            if !framing.is_empty() && flag != "--http1.1" {
                continue;
            }
            let watch = Watch::begin(up.worker());
            let mut flags = vec![flag, "--upload-file", &large, &url];
            flags.extend(framing);
            let answer = curl(&flags);
            let growth = watch.end();
            assert_eq!(answer.status, 200, "{flag} tls={tls}: {answer:?}");
            let seen: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(
                (seen["bytes"].as_u64(), seen["sha256"].as_str()),
                (Some(SIZE), Some(SHA256_OF_ZEROS)),
                "{flag} tls={tls}"
            );
            println!(
                "upload {flag} tls={tls}: the worker grew by {} KiB",
                growth / 1024
            );
            assert!(
                growth <= GROWTH,
                "{flag} tls={tls}: the worker grew by {} KiB",
                growth / 1024
            );
        }
    }
}

#[test]
fn a_client_is_read_no_faster_than_the_origin_reads() {
    let origin = Held::start();
    let up = Up::before(&origin.url());
    let mut client = connect(up.http());
    let head = format!("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: {SIZE}\r\n\r\n");
    client.write_all(head.as_bytes()).unwrap();
    let arrival = origin.next();
    let watch = Watch::begin(up.worker());
    let taken = fill(&mut client);
    assert!(
        taken < 64 * MIB,
        "{} MiB were taken for an origin that reads none",
        taken / MIB
    );
    assert!(
        watch.end() <= GROWTH,
        "the worker holds what the origin does not take"
    );
    drop(arrival);
}

#[test]
fn an_origin_is_read_no_faster_than_the_client_reads() {
    let origin = Held::start();
    let up = Up::before(&origin.url());
    let mut client = connect(up.http());
    client
        .write_all(b"GET /down HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .unwrap();
    let arrival = origin.next();
    let watch = Watch::begin(up.worker());
    let taken = fill(&mut arrival.begin(SIZE));
    assert!(
        taken < 64 * MIB,
        "{} MiB were taken for a client that reads none",
        taken / MIB
    );
    assert!(
        watch.end() <= GROWTH,
        "the worker holds what the client does not take"
    );
}

/// A body that the origin breaks off must never look whole.
#[test]
fn a_body_that_breaks_off_is_not_presented_as_whole() {
    let origin = Held::start();
    let up = Up::before(&origin.url());
    for (flag, tls) in [
        ("--http1.1", false),
        ("--http2", true),
        ("--http2-prior-knowledge", false),
    ] {
        let url = if tls {
            up.tls_url("/broken")
        } else {
            up.url("/broken")
        };
        let curl = curl_command()
            .args([flag, &url])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut body = origin.next().begin(1000);
        body.write_all(b"not all of it").unwrap();
        drop(body);
        let done = curl.wait_with_output().unwrap();
        assert!(
            !done.status.success(),
            "{flag}: curl took {} bytes of 1000 for the whole",
            done.stdout.len()
        );
    }
}

/// Writes until nobody takes more for a while (or all is taken); returns how many bytes that were.
fn fill(stream: &mut TcpStream) -> u64 {
    stream
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let block = vec![0; MIB as usize];
    let mut taken = 0;
    while taken < SIZE {
        match stream.write(&block) {
            Ok(bytes) => taken += bytes as u64,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break;
            }
            Err(error) => panic!("after {taken} bytes: {error}"),
        }
    }
    taken
}

/// Bytes and their hash.
fn download(flag: &str, url: &str) -> (u64, String) {
    let mut command = curl_command();
    command.args([
        flag,
        "--fail",
        "--write-out",
        "%{stderr}%{size_download}",
        url,
    ]);
    let mut curl = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let hash = Command::new("sha256sum")
        .stdin(curl.stdout.take().unwrap())
        .output()
        .unwrap();
    let done = curl.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "curl {flag} {url}: {said}");
    let hash = String::from_utf8(hash.stdout).unwrap();
    (
        said.trim().parse().expect("a size"),
        hash.split(' ').next().unwrap_or_default().to_owned(),
    )
}

/// Looks at a process's resident memory every few milliseconds, for its peak.
pub struct Watch {
    stop: Arc<AtomicBool>,
    peak: JoinHandle<u64>,
    before: u64,
}

impl Watch {
    pub fn begin(pid: u32) -> Self {
        let before = resident(pid);
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let peak = thread::spawn(move || {
            let mut peak = 0;
            while !told.load(Ordering::Relaxed) {
                peak = peak.max(resident(pid));
                thread::sleep(Duration::from_millis(5));
            }
            peak.max(resident(pid))
        });
        Self { stop, peak, before }
    }

    /// By how many bytes it grew at most.
    pub fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.peak.join().unwrap().saturating_sub(self.before)
    }
}

fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the worker runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// An origin of bodies of these bytes, all of which may be kept.
fn keepable(length: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut asked = [0; 4096];
                while stream.read(&mut asked).is_ok_and(|read| read > 0) {
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: {length}\r\n\r\n"
                    );
                    let _ = stream.write_all(head.as_bytes());
                    let _ = stream.write_all(&vec![b'k'; length]);
                }
            });
        }
    });
    url
}

/// A client whose system takes hardly anything for it; what it gets first of this.
pub fn slow(up: &Up, path: &str) -> (Socket, Vec<u8>) {
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    client.set_recv_buffer_size(4096).unwrap();
    client.connect(&up.http().into()).unwrap();
    client.set_read_timeout(Some(patience())).unwrap();
    let mut client = client;
    let asked = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.write_all(asked.as_bytes()).unwrap();
    let mut front = vec![0; 512];
    client.read_exact(&mut front).unwrap();
    (client, front)
}

/// It takes the rest of what [`keepable`] sends.
fn takes_all((mut client, mut all): (Socket, Vec<u8>), length: usize) {
    client.read_to_end(&mut all).unwrap();
    let end = all.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = all.split_at(end.unwrap() + 4);
    let head = String::from_utf8_lossy(head);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body.len(), length, "{head}");
    assert!(body.iter().all(|byte| *byte == b'k'));
}

/// Many clients ask for bodies that may be kept, each for another one, and take a little of it only: what memory has displaced meanwhile
/// is theirs, and has a bound.
#[test]
fn clients_that_are_slow_to_take_what_is_kept_hold_a_bounded_part_of_memory() {
    const LENGTH: usize = 6 << 20;
    let origin = keepable(LENGTH);
    let up = Up::edge(&format!(
        "schema = 1\n[edge.limits]\ncache_memory = \"64MiB\"\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ url = \"{origin}\" }}]\n"
    ));
    let watch = Watch::begin(up.worker());
    let ask = |nth: usize| {
        let client = slow(&up, &format!("/{nth}"));
        // All of it is there by then.
        thread::sleep(Duration::from_millis(25));
        client
    };
    let mut clients: Vec<_> = (0..100).map(ask).collect();
    let growth = watch.end();
    println!(
        "100 slow clients of 6 MiB each: the worker grew by {} MiB",
        growth / MIB
    );
    // As much for the zone as may be in memory, as much of it on its way, and what the allocator has beside that.
    assert!(
        growth <= 128 * MIB,
        "the worker grew by {} MiB",
        growth / MIB
    );
    // The first ones have what memory had, the last ones what passed by.
    for client in clients.split_off(97).into_iter().chain(clients.drain(..3)) {
        takes_all(client, LENGTH);
    }
}

/// More bodies than may be on their way at once: those that turn out not to be kept while their clients have taken hardly anything of
/// them are whole all the same.
#[test]
fn a_slow_client_gets_all_of_a_body_that_turns_out_not_to_be_kept() {
    const LENGTH: usize = 4 << 20;
    let origin = keepable(LENGTH);
    let up = Up::edge(&format!(
        "schema = 1\n[edge.limits]\ncache_memory = \"32MiB\"\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ url = \"{origin}\" }}]\n"
    ));
    let clients: Vec<_> = (0..12).map(|nth| slow(&up, &format!("/{nth}"))).collect();
    for client in clients {
        takes_all(client, LENGTH);
    }
}

/// A body that turns out too large to be kept, for two at once, of whom one takes it slowly but steadily: both get all of it, whoever
/// asked first.
#[test]
fn who_takes_a_body_slowly_but_steadily_gets_all_of_it_beside_a_fast_one() {
    const PARTS: usize = 128;
    const PART: usize = 64 * 1024;
    const FIRST: usize = 1024;
    const ALL: usize = FIRST + PARTS * PART;
    let origin = Held::start();
    let up = Up::edge(&format!(
        "schema = 1\n[edge.limits]\ncache_memory = \"4MiB\"\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ url = \"{}\" }}]\n",
        origin.url()
    ));
    let chunk = |length: usize| format!("{length:x}\r\n{}\r\n", "k".repeat(length)).into_bytes();
    let (little, much) = (chunk(FIRST), chunk(PART));
    for (path, slow_first) in [("/slow-first", true), ("/fast-first", false)] {
        let first = asks(&up, path);
        let mut body = origin.next().begin_in_chunks();
        body.write_all(&little).unwrap();
        let first = begins(first);
        // It is nobody's but the first one's answer that this one gets: the origin answers no other.
        let second = begins(asks(&up, path));
        let (slow, fast) = match slow_first {
            true => (first, second),
            false => (second, first),
        };
        let slow = thread::spawn(move || takes_chunks(slow, Duration::from_millis(5)));
        let fast = thread::spawn(move || takes_chunks(fast, Duration::ZERO));
        for _ in 0..PARTS {
            body.write_all(&much).unwrap();
        }
        body.write_all(b"0\r\n\r\n").unwrap();
        assert_eq!(fast.join().unwrap(), ALL, "the fast one, {path}");
        assert_eq!(slow.join().unwrap(), ALL, "the slow one, {path}");
    }
}

/// A client that has asked, whose system takes little for it.
fn asks(up: &Up, path: &str) -> Socket {
    let mut client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    client.set_recv_buffer_size(128 * 1024).unwrap();
    client.connect(&up.http().into()).unwrap();
    client.set_read_timeout(Some(patience())).unwrap();
    let asked = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.write_all(asked.as_bytes()).unwrap();
    client
}

/// The first of what it gets has come.
fn begins(mut client: Socket) -> (Socket, Vec<u8>) {
    let mut front = vec![0; 512];
    client.read_exact(&mut front).unwrap();
    (client, front)
}

/// It takes the rest in parts, with a pause after each; how many bytes of the body there were. All of it has come.
fn takes_chunks((mut client, mut all): (Socket, Vec<u8>), pause: Duration) -> usize {
    let mut part = vec![0; 64 * 1024];
    loop {
        let read = client.read(&mut part).unwrap();
        if read == 0 {
            break;
        }
        all.extend_from_slice(&part[..read]);
        thread::sleep(pause);
    }
    assert!(
        all.ends_with(b"\r\n0\r\n\r\n"),
        "it broke off after {} bytes",
        all.len()
    );
    let end = all.windows(4).position(|four| four == b"\r\n\r\n");
    let body = &all[end.unwrap() + 4..];
    body.iter().filter(|byte| **byte == b'k').count()
}
