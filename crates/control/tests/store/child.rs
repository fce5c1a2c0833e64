//! A process of its own that writes to a store, to be killed or starved: this very test program, with one test to run.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use seawall_control::ConfigStore;
use seawall_control::store::postgres::Patience;
use seawall_control::store::{Append, Change, Outcome, Postgres, RequestId, Sqlite};
use seawall_model::tempo::Kind;

use crate::properties::{append, document, zone};

/// What the child is to do, in its environment.
const JOB: &str = "SEAWALL_TEST_STORE_JOB";
const STORE: &str = "SEAWALL_TEST_STORE";

/// A child that writes.
pub struct Writer {
    pub process: Child,
    pub lines: BufReader<ChildStdout>,
}

/// Starts this program again, to do this job with that store.
pub fn start(job: &str, store: &Path) -> Writer {
    let mut process = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "child::the_child",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(JOB, job)
        .env(STORE, store)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("a child");
    let lines = BufReader::new(process.stdout.take().expect("its output"));
    Writer { process, lines }
}

impl Writer {
    /// What the child tells next under this key; none at the end of its output.
    pub fn next(&mut self, key: &str) -> Option<String> {
        self.either(key, key).map(|(_, what)| what)
    }

    /// What the child tells next under one of two keys, and whether it was the first of them.
    pub fn either(&mut self, first: &str, second: &str) -> Option<(bool, String)> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            // What the child was killed in the middle of is no line. The test program writes the test's name in front of the
            // first.
            let line = line.strip_suffix('\n')?;
            let of = |key: &str| Some(line.split_once(&format!("{key}: "))?.1.to_owned());
            match (of(first), of(second)) {
                (Some(what), _) => return Some((true, what)),
                (None, Some(what)) => return Some((false, what)),
                (None, None) => {}
            }
        }
    }
}

/// No test: the child's own work. Without a job it is nothing.
#[test]
fn the_child() {
    let (Ok(job), Some(path)) = (std::env::var(JOB), std::env::var_os(STORE)) else {
        return;
    };
    let path = Path::new(&path);
    match job.as_str() {
        "write" => write(&mut Sqlite::open(path).expect("opens")),
        "write-postgres" => write(&mut opened(path)),
        "insist-postgres" => insist(&mut opened(path)),
        "lead-postgres" => lead(path.to_str().expect("an address")),
        "starve" => starve(path),
        "be-nobody" => be_nobody(path),
        other => panic!("no job {other}"),
    }
}

fn tell(key: &str, what: impl std::fmt::Display) {
    println!("{key}: {what}");
    std::io::stdout().flush().expect("told");
}

/// Appends without an end: a version, its rollout, and the end of the rollout before it, in one. Each that was done is told.
fn write(store: &mut dyn ConfigStore) {
    let chain = zone("a.test");
    loop {
        let number = store
            .head(&chain)
            .expect("head")
            .map_or(0, |head| head.number)
            + 1;
        let running = store.running().expect("running");
        let mut changes: Vec<Change> = running
            .into_iter()
            .map(|one| {
                Change::Event(seawall_control::store::Body::RolloutEnded {
                    rollout: one.id,
                    outcome: Outcome::Aborted,
                })
            })
            .collect();
        changes.push(document(&chain, &text(number)));
        changes.push(Change::Start {
            kind: Kind::Zone,
            chain: chain.clone(),
            from: None,
            with: None,
        });
        store.append(&append(changes)).expect("appended");
        tell("done", number);
    }
}

/// A store in PostgreSQL; its address came as a path.
fn opened(url: &Path) -> Postgres {
    crate::server::open(url.to_str().expect("an address"))
}

/// Appends without an end, through whatever becomes of the server: each is sent again until it is known to be there.
fn insist(store: &mut Postgres) {
    assert!(store.lead().expect("asked"), "nobody else leads");
    let chain = zone("a.test");
    let mut number = store
        .head(&chain)
        .expect("head")
        .map_or(0, |head| head.number);
    let (mut unknown, mut failed) = (0_u32, 0_u32);
    loop {
        number += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        let request = Append {
            request: Some(RequestId(id)),
            ..append(vec![
                document(&chain, &text(number)),
                document(&chain, &text(number)),
            ])
        };
        let done = loop {
            match store.append(&request) {
                Ok(done) => break done,
                Err(seawall_control::StoreError::Unknown(_)) => unknown += 1,
                Err(error) if error.may_come_again() => failed += 1,
                Err(error) => panic!("{error}"),
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        number = done.versions[1].number;
        tell("done", format!("{number} {unknown} {failed}"));
    }
}

/// Leads, and appends when it is told to, by a line each.
fn lead(url: &str) {
    let patience = Patience {
        silent: std::time::Duration::from_secs(2),
        ..Patience::default()
    };
    let mut store = Postgres::open_with(url, patience).expect("opens");
    assert!(store.lead().expect("asked"), "nobody else leads");
    tell("leads", "");
    let chain = zone("a.test");
    for line in std::io::stdin().lines() {
        let line = line.expect("a line");
        match store.append(&append(vec![document(&chain, &line)])) {
            Ok(done) => tell("done", done.last),
            Err(error) => tell("error", format!("{error:?}").replace('\n', " ")),
        }
    }
}

/// The document of a version: of different lengths, so that pages are torn in different places.
pub fn text(number: u64) -> String {
    format!("version {number}\n").repeat(1 + (number * 37 % 200) as usize)
}

/// Appends what does not pack until a file may grow no more, tells the error, then makes a small append when it may again.
fn starve(path: &Path) {
    let mut store = Sqlite::open(path).expect("opens");
    let chain = zone("a.test");
    limit_files(Some(512 << 10));
    let mut noise = 1_u64;
    let mut large = || -> String {
        let next = |_| {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'!' + (noise >> 58) as u8)
        };
        (0..64 << 10).map(next).collect()
    };
    let error = loop {
        match store.append(&append(vec![document(&chain, &large())])) {
            Ok(done) => tell("done", done.versions[0].number),
            Err(error) => break error,
        }
    };
    assert!(error.may_come_again(), "{error:?}");
    tell("error", error);
    limit_files(None);
    let done = store
        .append(&append(vec![document(&chain, "there is room again")]))
        .expect("appended");
    tell("after", done.versions[0].number);
}

/// The same store without the right to write to its folder.
fn be_nobody(path: &Path) {
    // SAFETY: plain system calls on numbers; the whole process is a child of the test's own.
    unsafe {
        if libc::geteuid() == 0 {
            assert_eq!(libc::setgid(65_534), 0);
            assert_eq!(libc::setuid(65_534), 0);
        }
    }
    match Sqlite::open(path) {
        Ok(_) => tell("opened", ""),
        Err(error) => tell("error", error),
    }
}

/// The size that a file of this process may have; writing past it is an error, no signal.
fn limit_files(bytes: Option<u64>) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a valid struct; ignoring a signal needs no handler.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit), 0);
        limit.rlim_cur = bytes.unwrap_or(limit.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
}
