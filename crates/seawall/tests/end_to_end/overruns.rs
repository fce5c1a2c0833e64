//! A worker of which one thread loops, or that holds too much memory, while strangers are served: the next one serves first, and who
//! has nothing to do with it notices nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use crate::load::{Counts, Load};
use crate::origin::Held;
use crate::supervisor::{another, hosts, start_copy, status, zones};
use crate::tools::{connect, raw};
use crate::up::{Folder, Up, patience, send, until};

/// The edge with stages that fail when a request tells them to (`crates/saboteur`); none where only a part of the workspace was built.
pub fn saboteur() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_seawall")).with_file_name("seawall-saboteur");
    if path.exists() {
        return Some(path);
    }
    println!(
        "skipped: there is no {}: build the whole workspace",
        path.display()
    );
    None
}

/// Ends a worker that ends by no word of ours, when the test does.
struct Ends(u32);

impl Drop for Ends {
    fn drop(&mut self) {
        let exe = fs::read_link(format!("/proc/{}/exe", self.0));
        if exe.is_ok_and(|exe| exe.to_string_lossy().contains("seawall")) {
            send(self.0, libc::SIGKILL);
        }
    }
}

fn zone(name: &str, origin: &str) -> String {
    format!(
        "[[zone]]\nname = \"{name}\"\nhosts = [\"{name}.test\"]\norigin = [{{ url = \"{origin}\" }}]\n"
    )
}

/// A download of which one half has come.
struct Download {
    client: TcpStream,
    site: TcpStream,
}

impl Download {
    fn begin(up: &Up, origin: &Held, nth: usize) -> Self {
        let mut client = connect(up.http());
        let request = format!("GET /{nth} HTTP/1.1\r\nHost: good.test\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        let mut site = origin.next().begin(10);
        site.write_all(b"begin").unwrap();
        let mut come = Vec::new();
        let mut byte = [0];
        while !come.ends_with(b"\r\n\r\nbegin") {
            client.read_exact(&mut byte).unwrap();
            come.extend(byte);
        }
        Self { client, site }
    }

    /// The site sends the other half.
    fn go_on(&mut self) {
        self.site.write_all(b" end.").unwrap();
    }

    /// The other half has come.
    fn ends(&mut self) {
        let mut rest = [0; 5];
        self.client.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b" end.");
    }
}

/// The edge's socket of this connection to it.
fn socket(client: &TcpStream) -> u64 {
    let [theirs, ours] = [client.peer_addr(), client.local_addr()]
        .map(|address| format!(":{:04X}", address.unwrap().port()));
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let mut rows = table
        .lines()
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    let row =
        rows.find(|row| row[1].ends_with(&theirs) && row[2].ends_with(&ours) && row[3] == "01");
    row.expect("a row of the connection")[9].parse().unwrap()
}

/// Whether one thread of the worker serves both connections: each thread has an epoll instance of its own.
fn share_a_thread(worker: u32, one: &TcpStream, other: &TcpStream) -> bool {
    let both = [socket(one), socket(other)];
    let files = fs::read_dir(format!("/proc/{worker}/fdinfo")).unwrap();
    let watched = files.flatten().filter_map(|file| {
        let text = fs::read_to_string(file.path()).ok()?;
        let lines = text.lines().filter(|line| line.starts_with("tfd:"));
        let sockets = lines.filter_map(|line| {
            let (_, rest) = line.split_once("ino:")?;
            u64::from_str_radix(rest.split_whitespace().next()?, 16).ok()
        });
        Some(sockets.collect::<BTreeSet<u64>>())
    });
    let watched: Vec<_> = watched.collect();
    assert!(
        both.iter()
            .all(|socket| watched.iter().any(|sockets| sockets.contains(socket))),
        "{both:?} of {watched:?}"
    );
    watched
        .iter()
        .any(|sockets| both.iter().all(|socket| sockets.contains(socket)))
}

/// Ticks of the processor that each thread of a process has had.
fn ticks(pid: u32) -> BTreeMap<String, u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let ticks = threads.filter_map(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace().skip(11);
        let [user, system] = [fields.next()?, fields.next()?];
        let sum = user.parse::<u64>().ok()? + system.parse::<u64>().ok()?;
        Some((thread.file_name().to_string_lossy().into_owned(), sum))
    });
    ticks.collect()
}

/// Waits until a thread of an idle process has had a fifth of a second.
fn until_it_loops(pid: u32, before: &BTreeMap<String, u64>) {
    until("a thread that loops", || {
        let now = ticks(pid);
        let mut had = now
            .iter()
            .map(|(thread, now)| now - before.get(thread).unwrap_or(&0));
        had.any(|had| had >= 20).then_some(())
    });
}

#[test]
fn a_thread_that_loops_costs_its_own_clients_and_nobody_else() {
    let Some(program) = saboteur() else { return };
    let origin = Held::start();
    let up = start_copy(
        &program,
        Folder::new(),
        &format!(
            "schema = 1\n[edge.limits]\ndrain = \"1m\"\n{}{}",
            zone("bad", "sample"),
            zone("good", &origin.url())
        ),
    );
    let (at, worker) = (up.http(), up.worker());
    let _ends = Ends(worker);
    let mut bad = connect(at);
    bad.write_all(b"GET / HTTP/1.1\r\nHost: bad.test\r\n\r\n")
        .unwrap();
    assert!(bad.read(&mut [0; 4096]).unwrap() > 0);
    // Strangers on the thread that will loop, and on the other one.
    let (mut beside, mut elsewhere) = (Vec::new(), Vec::new());
    while beside.len() < 2 || elsewhere.len() < 2 {
        let nth = beside.len() + elsewhere.len();
        assert!(nth < 64, "all are on one thread");
        let download = Download::begin(&up, &origin, nth);
        match share_a_thread(worker, &bad, &download.client) {
            true => beside.push(download),
            false => elsewhere.push(download),
        }
    }

    let before = ticks(worker);
    bad.write_all(b"GET / HTTP/1.1\r\nHost: bad.test\r\nX-Sabotage: spin\r\n\r\n")
        .unwrap();
    let begun = Instant::now();
    until_it_loops(worker, &before);
    // Whoever comes now is answered: by the thread that moves, or where the one that loops would take it, by the next worker.
    let request = "GET / HTTP/1.1\r\nHost: bad.test\r\nConnection: close\r\n\r\n";
    let asks: Vec<_> = (0..8)
        .map(|_| thread::spawn(move || raw(at, request)))
        .collect();
    another(&up.data(), "worker", worker);
    println!(
        "measured: a thread that loops, another worker serves after = {} ms",
        begun.elapsed().as_millis()
    );
    assert!(
        Path::new(&format!("/proc/{worker}")).exists(),
        "the next one was first"
    );
    for ask in asks {
        let answer = ask.join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    for download in beside.iter_mut().chain(&mut elsewhere) {
        download.go_on();
    }
    elsewhere.iter_mut().for_each(Download::ends);
    // The others are lost, as what loops is.
    send(worker, libc::SIGKILL);
    for client in beside.iter_mut().map(|download| &mut download.client) {
        assert_eq!(client.read(&mut [0; 8]).unwrap_or(0), 0);
    }
    let log = up.log();
    for part in ["does not move", "while it served zone bad"] {
        assert!(log.contains(part), "{part} is missing in:\n{log}");
    }
}

/// The length of an answer of [`large_site`].
const LARGE: usize = 6 << 20;

/// A site whose answers may be kept.
fn large_site() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = Arc::new(vec![b'x'; LARGE]);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let body = body.clone();
            thread::spawn(move || answer_all(stream, &body));
        }
    });
    url
}

fn answer_all(stream: TcpStream, body: &[u8]) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream).lines();
    let head = format!(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    loop {
        while !lines.next()?.ok()?.is_empty() {}
        writer.write_all(head.as_bytes()).ok()?;
        writer.write_all(body).ok()?;
    }
}

/// The program that people run, whose cache may take more than the worker.
#[test]
fn a_worker_that_holds_too_much_is_replaced_and_nobody_notices() {
    let origin = Held::start();
    let limits = "memory = \"160MiB\"\ncache_memory = \"1GiB\"\ndrain = \"1m\"";
    let up = Up::edge(&format!(
        "{}{}{}",
        zones(20).replacen(
            "schema = 1\n",
            &format!("schema = 1\n[edge.limits]\n{limits}\n"),
            1
        ),
        zone("good", &origin.url()),
        zone("large", &large_site())
    ));
    let worker = up.worker();
    let load = Load::start(up.http(), 4, &hosts(20), "/");
    load.wait_for(50);
    let mut download = Download::begin(&up, &origin, 0);
    let (mut kept, begun) = (0, Instant::now());
    while up.worker_now() == worker {
        assert!(
            begun.elapsed() < patience(),
            "it keeps {kept}:\n{}",
            up.log()
        );
        let request =
            format!("GET /{kept} HTTP/1.1\r\nHost: large.test\r\nConnection: close\r\n\r\n");
        let answer = raw(up.http(), &request);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.len() > LARGE);
        kept += 1;
    }
    assert!(
        Path::new(&format!("/proc/{worker}")).exists(),
        "the next one was first"
    );
    load.wait_for(50);
    download.go_on();
    download.ends();
    drop(download);
    let counts = load.end();
    let failed = [&counts.cut, &counts.refused, &counts.wrong].map(Counts::get);
    assert_eq!(failed, [0, 0, 0], "{}", up.log());
    until("the end of the old worker", || {
        (!Path::new(&format!("/proc/{worker}")).exists()).then_some(())
    });
    let (_, told) = status(&up.data());
    let edge = &told["edge"];
    assert_eq!(edge["restarts"], 1, "{told:#}\n{}", up.log());
    assert_eq!(edge["platform_quarantined"], false, "{}", up.log());
    assert!(up.log().contains("of 160 MiB"), "{}", up.log());
}
