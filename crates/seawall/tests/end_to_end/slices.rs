//! Large bodies that change all the time, more of them than are kept, asked for in parts and as a whole by many at once: each answer is of one version.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::bodies::{Watch, slow};
use crate::up::Up;

const LENGTH: u64 = 1_300_000;

/// The byte of a version at an offset: two versions are alike nowhere for long.
fn byte(version: u64, at: u64) -> u8 {
    (at.wrapping_mul(31).wrapping_add(at >> 8) ^ version.wrapping_mul(97)) as u8
}

/// An origin whose body is another one after each `turn` requests.
struct Changing {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl Changing {
    fn start(turn: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || serve(&stream, &counter, turn));
            }
        });
        Self { address, requests }
    }
}

fn serve(stream: &TcpStream, counter: &AtomicU64, turn: u64) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut stream = stream;
    loop {
        let (mut range, mut tag) = (None, None);
        loop {
            let mut line = String::new();
            (reader.read_line(&mut line).ok()? > 0).then_some(())?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(asked) = line.strip_prefix("range: bytes=") {
                let (first, last) = asked.split_once('-')?;
                range = Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?));
            }
            if let Some(asked) = line.strip_prefix("if-range: ") {
                tag = Some(asked.to_owned());
            }
        }
        let version = counter.fetch_add(1, Ordering::Relaxed) / turn;
        let own = format!("\"v{version}\"");
        let range = range.filter(|_| tag.is_none_or(|tag| tag == own));
        let (start, end) = range.map_or((0, LENGTH), |(first, last)| (first, LENGTH.min(last + 1)));
        let (status, more) = match range {
            None => (200, String::new()),
            Some(_) => (
                206,
                format!("Content-Range: bytes {start}-{}/{LENGTH}\r\n", end - 1),
            ),
        };
        let head = format!(
            "HTTP/1.1 {status} OK\r\nCache-Control: max-age=3600\r\nETag: {own}\r\nAccept-Ranges: bytes\r\n{more}\
             Content-Length: {}\r\n\r\n",
            end - start
        );
        let body: Vec<u8> = (start..end).map(|at| byte(version, at)).collect();
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(&body).ok()?;
    }
}

/// What came of one request.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Whole,
    Cut,
}

/// Asks for a part, or for all, and looks at each byte.
fn ask(up: SocketAddr, film: u64, range: Option<(u64, u64)>) -> Came {
    let mut stream = TcpStream::connect(up).unwrap();
    stream
        .set_read_timeout(Some(crate::up::patience()))
        .unwrap();
    let asked = range.map_or(String::new(), |(first, last)| {
        format!("Range: bytes={first}-{last}\r\n")
    });
    let request =
        format!("GET /film/{film} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{asked}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let (mut length, mut version, mut start, mut lines) = (0u64, None, 0u64, Vec::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return Came::Cut;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        if let Some(value) = line.strip_prefix("etag: \"v") {
            version = value.trim_end_matches('"').parse::<u64>().ok();
        }
        if let Some(value) = line.strip_prefix("content-range: bytes ") {
            start = value.split_once('-').unwrap().0.parse().unwrap();
        }
        lines.push(line);
    }
    let version = version.unwrap_or_else(|| panic!("no version: {lines:?}"));
    let mut body = Vec::new();
    let _ = reader.read_to_end(&mut body);
    for (at, got) in (start..).zip(&body) {
        assert_eq!(
            *got,
            byte(version, at),
            "at {at} of version {version}: {lines:?}"
        );
    }
    if let Some((first, last)) = range
        && lines[0].contains(" 206 ")
    {
        assert_eq!(
            (start, length),
            (first, LENGTH.min(last + 1) - first),
            "{lines:?}"
        );
    }
    match body.len() as u64 == length {
        true => Came::Whole,
        false => Came::Cut,
    }
}

#[test]
fn nothing_of_two_versions_is_ever_mixed() {
    const EACH: u64 = 150;
    let origin = Changing::start(7);
    let up = Up::edge(&format!(
        "schema = 1\n[edge]\nlimits = {{ cache_memory = \"4MiB\" }}\n[[zone]]\nname = \"a.test\"\n\
         hosts = [\"a.test\"]\norigin = [{{ url = \"http://{}\" }}]\ncache = {{ slice = \"256KiB\" }}\n",
        origin.address
    ));
    let http = up.http();
    let clients = (1..=4u64).map(|client| {
        std::thread::spawn(move || {
            let mut random = client.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut below = |most: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % most
            };
            let (mut whole, mut cut) = (0u64, 0u64);
            for _ in 0..EACH {
                let first = below(LENGTH);
                let most = if below(2) == 0 { 100 } else { 400_000 };
                let last = first + below(most);
                let range = (below(10) > 0).then_some((first, last));
                match ask(http, below(8), range) {
                    Came::Whole => whole += 1,
                    Came::Cut => cut += 1,
                }
            }
            (whole, cut)
        })
    });
    let clients: Vec<_> = clients.collect();
    let counts = clients.into_iter().map(|client| client.join().unwrap());
    let (whole, cut) = counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    let requests = origin.requests.load(Ordering::Relaxed);
    println!("{whole} whole, {cut} cut, {requests} requests to the origin");
    assert_eq!(whole + cut, 4 * EACH);
    // Most are whole, or slices would be of no use; and what is asked for is no more than that much.
    assert!(whole > cut, "{whole} whole, {cut} cut");
    assert!(requests < 4 * EACH * 4, "{requests}");
}

/// Large files that are kept in slices, asked for by clients that take hardly anything: what each holds of them has a bound, and all of it
/// comes in the end.
#[test]
fn slow_clients_of_slices_hold_a_bounded_part_of_memory() {
    const FILMS: u64 = 150;
    const MIB: u64 = 1 << 20;
    let origin = Changing::start(u64::MAX);
    let up = Up::edge(&format!(
        "schema = 1\n[edge]\nlimits = {{ cache_memory = \"8MiB\" }}\n[[zone]]\nname = \"a.test\"\n\
         hosts = [\"*\"]\norigin = [{{ url = \"http://{}\" }}]\ncache = {{ slice = \"1MiB\" }}\n",
        origin.address
    ));
    for film in 0..FILMS {
        assert_eq!(ask(up.http(), film, None), Came::Whole);
    }
    let watch = Watch::begin(up.worker());
    let mut clients: Vec<_> = (0..FILMS)
        .map(|film| slow(&up, &format!("/film/{film}")))
        .collect();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let growth = watch.end();
    println!(
        "{FILMS} slow clients of slices: the worker grew by {} MiB",
        growth / MIB
    );
    assert!(
        growth <= 64 * MIB,
        "the worker grew by {} MiB",
        growth / MIB
    );
    for (mut client, mut all) in clients.split_off(147).into_iter().chain(clients.drain(..3)) {
        client.read_to_end(&mut all).unwrap();
        let end = all.windows(4).position(|four| four == b"\r\n\r\n");
        let body = &all[end.unwrap() + 4..];
        assert_eq!(body.len() as u64, LENGTH);
        assert!((0..).zip(body).all(|(at, got)| *got == byte(0, at)));
    }
}
