//! Purges, by the command line and the API; and the cache's disk, over restarts and kills.

use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::rollouts::{asks, start, told};
use crate::spare::spare;
use crate::supervisor::another;
use crate::tools::curl;
use crate::up::{Up, finished, send, until};

/// An origin whose answers each have a number, and a lifetime. What is to be deleted waits until it is let go.
struct Counting {
    address: std::net::SocketAddr,
    deletes: Arc<Deletes>,
}

/// Requests that delete something.
#[derive(Default)]
struct Deletes {
    /// One has come; they are let go.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Deletes {
    fn wait(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 = true;
        while !state.1 {
            state = self.changed.wait(state).unwrap();
        }
    }

    fn has_come(&self) -> bool {
        self.state.lock().unwrap().0
    }

    fn let_go(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

impl Counting {
    fn start() -> Self {
        use std::io::{BufRead, BufReader, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let number = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let deletes = Arc::<Deletes>::default();
        let all_deletes = Arc::clone(&deletes);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (number, deletes) = (number.clone(), Arc::clone(&all_deletes));
                std::thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    let mut stream = stream;
                    while let Some(Ok(first)) = lines.next() {
                        while lines
                            .next()
                            .is_some_and(|line| line.is_ok_and(|l| !l.is_empty()))
                        {
                        }
                        if first.starts_with("DELETE ") {
                            deletes.wait();
                        }
                        let path = first.split(' ').nth(1).unwrap_or("/").to_owned();
                        let nth = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let body = format!("{path} {nth}");
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nCache-Tag: t{}\r\nETag: \"a\"\r\n\
                             Content-Length: {}\r\n\r\n{body}",
                            path.trim_matches('/'),
                            body.len()
                        );
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, deletes }
    }

    fn zone(&self, edge: &str) -> String {
        format!(
            "schema = 1\n[edge]\n{edge}\n[[zone]]\nname = \"a.test\"\nhosts = [\"a.test\"]\n\
             origin = [{{ url = \"http://{}\" }}]\n",
            self.address
        )
    }
}

/// The body of a path, and what the cache says of it.
fn get(up: &Up, path: &str) -> (String, String) {
    get_of(up, "a.test", path)
}

fn get_of(up: &Up, host: &str, path: &str) -> (String, String) {
    let answer = curl(&["-H", &format!("Host: {host}"), &up.url(path)]);
    let said = answer.field("cache-status").unwrap_or_default().to_owned();
    (String::from_utf8_lossy(&answer.body).into_owned(), said)
}

fn goes_well(up: &Up, words: &[&str]) -> String {
    let (code, said) = told(asks(up, words));
    assert_eq!(code, Some(0), "{words:?}: {said}");
    said
}

#[track_caller]
fn is_new(up: &Up, path: &str, before: &str) -> String {
    let (body, said) = get(up, path);
    assert_ne!(body, before, "{path} was purged: {said}");
    body
}

#[test]
fn what_is_purged_is_fetched_anew_and_the_rest_is_not() {
    let origin = Counting::start();
    let up = start(&origin.zone(""), "20");
    let paths = ["/a", "/b", "/c/1", "/c/2"];
    let mut bodies: Vec<String> = paths.iter().map(|path| get(&up, path).0).collect();
    for (path, body) in paths.iter().zip(&bodies) {
        let (again, said) = get(&up, path);
        assert_eq!(again, *body, "{said}");
        assert!(said.contains("hit"), "{said}");
    }
    for (purge, goes) in [
        (["--url", "https://a.test/a"], &[0][..]),
        (["--tag", "tb"], &[1]),
        (["--prefix", "a.test/c/"], &[2, 3]),
        (["--host", "a.test"], &[0, 1, 2, 3]),
    ] {
        let words = ["purge", "a.test", purge[0], purge[1], "--wait"];
        let said = goes_well(&up, &words);
        assert!(said.contains("done"), "{said}");
        for (at, path) in paths.iter().enumerate() {
            if goes.contains(&at) {
                bodies[at] = is_new(&up, path, &bodies[at]);
            } else {
                assert_eq!(get(&up, path).0, bodies[at], "{path} after {purge:?}");
            }
        }
    }
    // Soft: it is stale, and validated.
    goes_well(
        &up,
        &["purge", "a.test", "--everything", "--soft", "--wait"],
    );
    let (_, said) = get(&up, "/a");
    assert!(said.contains("fwd=stale"), "{said}");
    goes_well(&up, &["purge", "a.test", "--everything", "--here"]);
    let (_, said) = get(&up, "/b");
    assert!(said.contains("fwd=uri-miss"), "{said}");
    let (code, said) = told(asks(&up, &["purge", "b.test", "--everything"]));
    assert!(code == Some(1) && said.contains("b.test"), "{said}");
    let (code, said) = told(asks(&up, &["purge", "a.test", "--url", "a.test/x"]));
    assert!(
        code == Some(1) && said.contains("https://example.com/a"),
        "{said}"
    );
    let (code, _) = told(asks(&up, &["purge", "a.test"]));
    assert_eq!(code, Some(2));
    // Of a zone that has no such host nothing would go.
    for here in [&[][..], &["--here"]] {
        let url = ["purge", "a.test", "--url", "http://other.test/u"];
        let (code, said) = told(asks(&up, &[&url[..], here].concat()));
        let is_told = said.contains("no host other.test") && said.contains("(a.test)");
        assert!(code == Some(1) && is_told, "{here:?}: {code:?} {said}");
    }
}

/// Whoever asks a browser for a port asks the site all the same.
#[test]
fn one_purge_meets_all_ports_of_a_host() {
    let origin = Counting::start();
    let up = start(&origin.zone(""), "20");
    let hosts = ["a.test", "a.test:8080", "a.test:443", "A.test.:80"];
    for purge in [
        ["--host", "a.test"],
        ["--host", "a.test:8080"],
        ["--prefix", "a.test/c/"],
        ["--prefix", "a.test:9/c/"],
        ["--url", "https://a.test/c/1"],
        ["--url", "http://a.test:8080/c/1"],
    ] {
        let before = hosts.map(|host| get_of(&up, host, "/c/1").0);
        for (host, before) in hosts.iter().zip(&before) {
            let (again, said) = get_of(&up, host, "/c/1");
            assert!(again == *before && said.contains("hit"), "{host}: {said}");
        }
        goes_well(&up, &["purge", "a.test", purge[0], purge[1], "--wait"]);
        for (host, before) in hosts.iter().zip(&before) {
            let (now, said) = get_of(&up, host, "/c/1");
            assert_ne!(now, *before, "{host} after {purge:?}: {said}");
        }
    }
}

#[test]
fn what_was_purged_softly_is_served_and_says_that_it_is_stale() {
    let origin = Counting::start();
    let rule = "[[zone.cache.rule]]\nwhen = 'starts_with(http.request.uri.path, \"/\")'\nserve_stale = \"1h\"\n";
    let up = start(&(origin.zone("") + rule), "20");
    let (before, _) = get(&up, "/a");
    let (_, said) = get(&up, "/a");
    assert!(said.contains("hit; ttl=3"), "{said}");
    let url = ["--url", "https://a.test/a"];
    goes_well(
        &up,
        &["purge", "a.test", url[0], url[1], "--soft", "--wait"],
    );
    let answer = curl(&["-H", "Host: a.test", &up.url("/a")]);
    assert_eq!(String::from_utf8_lossy(&answer.body), before);
    let said = answer.field("cache-status").unwrap_or_default();
    assert!(
        said.contains("hit") && said.contains("detail=outdated"),
        "{said}"
    );
    assert!(said.contains("ttl=0") || said.contains("ttl=-"), "{said}");
    let age: u64 = answer.field("age").unwrap().parse().unwrap();
    assert!(age >= 3_600, "whoever is behind us does not keep it: {age}");
    // It is validated beside, and fresh then.
    until("the new one", || {
        let (body, said) = get(&up, "/a");
        (body != before && said.contains("hit; ttl=3")).then_some(())
    });
}

/// Whatever browsers are told of what is fresh: by the origin beside what it tells us, or by a rule.
#[test]
fn what_was_purged_softly_is_not_fresh_to_browsers() {
    let origin = Counting::start();
    for rule in [
        "edge_ttl = \"30s\"\nedge_ttl_mode = \"override_origin\"\n",
        "browser_ttl = \"10m\"\n",
        "",
    ] {
        let rule = format!(
            "[[zone.cache.rule]]\nwhen = 'starts_with(http.request.uri.path, \"/\")'\nserve_stale = \"1h\"\n{rule}"
        );
        let up = start(&(origin.zone("") + &rule), "20");
        let (before, _) = get(&up, "/a");
        let everything = ["purge", "a.test", "--everything", "--soft", "--wait"];
        goes_well(&up, &everything);
        let answer = curl(&["-H", "Host: a.test", &up.url("/a")]);
        assert_eq!(answer.text(), before, "{rule}");
        let said = answer.field("cache-status").unwrap_or_default();
        assert!(said.contains("detail=outdated"), "{rule}: {said}");
        assert_eq!(answer.field("cache-control"), Some("max-age=0"), "{rule}");
        until("the new one", || {
            let answer = curl(&["-H", "Host: a.test", &up.url("/a")]);
            let lasts = answer.field("cache-control") != Some("max-age=0");
            (answer.text() != before && lasts).then_some(())
        });
    }
}

#[test]
fn what_is_on_disk_outlives_kills_and_what_was_purged_does_not() {
    let origin = Counting::start();
    let up = start(&origin.zone("limits = { cache_disk = \"128MiB\" }"), "20");
    let paths: Vec<String> = (0..50).map(|number| format!("/{number}")).collect();
    let bodies: Vec<String> = paths.iter().map(|path| get(&up, path).0).collect();
    goes_well(&up, &["purge", "a.test", "--tag", "t0", "--wait"]);
    goes_well(
        &up,
        &["purge", "a.test", "--url", "http://a.test/1", "--wait"],
    );
    let segments = || {
        let folder = std::fs::read_dir(up.data().join("cache")).ok()?;
        let sizes = folder
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|end| end == "seg"));
        Some(
            sizes
                .map(|entry| entry.metadata().map_or(0, |found| found.len()))
                .sum::<u64>(),
        )
    };
    until("what is stored on disk", || {
        segments().filter(|bytes| *bytes > 50 * 200)
    });
    for round in 0..3 {
        let worker = up.worker_now();
        send(worker, libc::SIGKILL);
        until("the next worker", || {
            let answer = curl(&[&format!("http://{}/state", up.admin())]);
            let state: Value = serde_json::from_slice(&answer.body).ok()?;
            (state["worker_pid"] != worker).then_some(())
        });
        // The index is loaded after it serves: until then it asks the origin.
        until("what is on disk", || {
            let (_, said) = get(&up, "/49");
            said.contains("hit").then_some(())
        });
        let mut hits = 0;
        for (path, body) in paths.iter().zip(&bodies).skip(2).take(40) {
            let (again, said) = get(&up, path);
            assert!(again.starts_with(&format!("{path} ")), "{again} of {path}");
            assert!(!said.contains("hit") || again == *body, "{path}: {said}");
            hits += usize::from(again == *body);
        }
        assert!(hits >= 39, "{hits} in round {round}");
        if round == 0 {
            for (path, body) in paths.iter().zip(&bodies).take(2) {
                is_new(&up, path, body);
            }
        }
    }
}

/// Responses that are on the disk of the worker that serves.
fn entries_on_disk(up: &Up) -> u64 {
    let metrics = curl(&[&format!("http://{}/metrics", up.admin())]).text();
    let name = "seawall_cache_entries{tier=\"disk\"} ";
    let mut found = metrics.lines().filter_map(|line| line.strip_prefix(name));
    found.next().map_or(0, |number| number.parse().unwrap())
}

/// A worker that waits for the other one to die looks at what stands, too, and has no disk yet.
#[test]
fn what_is_purged_while_a_worker_dies_is_gone_from_the_disk_of_the_next_one() {
    let origin = Counting::start();
    let edge = "spare = true\nlimits = { cache_disk = \"128MiB\" }";
    let up = start(&origin.zone(edge), "20");
    let data = up.data();
    let purged = get(&up, "/a").0;
    get(&up, "/b");
    until("what is stored on disk", || {
        (entries_on_disk(&up) >= 2).then_some(())
    });
    spare(&up);
    let worker = up.worker_now();
    send(worker, libc::SIGSTOP);
    goes_well(&up, &["purge", "a.test", "--tag", "ta"]);
    until("the purge to stand", || {
        let standing = std::fs::read_to_string(data.join("standing.json")).ok()?;
        standing.contains("\"ta\"").then_some(())
    });
    // Long enough for the one that waits to look: what it does too early is what this is about.
    std::thread::sleep(Duration::from_millis(1_500));
    send(worker, libc::SIGKILL);
    another(&data, "worker", worker);
    until("what is on disk", || {
        (entries_on_disk(&up) > 0).then_some(())
    });
    is_new(&up, "/a", &purged);
}

#[test]
fn what_a_request_makes_invalid_that_ends_in_a_replaced_worker_is_so_in_the_next_one() {
    let origin = Counting::start();
    let up = Up::edge(&origin.zone("limits = { cache_disk = \"128MiB\" }"));
    get(&up, "/a");
    let (worker, url) = (up.worker_now(), up.url("/a"));
    let deleting = std::thread::spawn(move || {
        let answer = curl(&["-X", "DELETE", "-H", "Host: a.test", &url]);
        answer.status
    });
    until("the request to be at the origin", || {
        origin.deletes.has_come().then_some(())
    });
    let mut upgrade = Command::new(env!("CARGO_BIN_EXE_seawall"));
    let done = finished(upgrade.arg("upgrade").arg("--data").arg(up.data()));
    assert!(done.status.success(), "{}", up.log());
    another(&up.data(), "worker", worker);
    let stored = until("the next one to keep it", || {
        let (body, said) = get(&up, "/a");
        said.contains("hit").then_some(body)
    });
    origin.deletes.let_go();
    assert_eq!(deleting.join().unwrap(), 200);
    until("it to be invalid in the next one", || {
        (get(&up, "/a").0 != stored).then_some(())
    });
    // Once it outlives that one, too, nobody tells it any more.
    until("the word of it to be taken away", || {
        let mut files = std::fs::read_dir(up.data()).ok()?.flatten();
        let is_word = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("outdated-");
        (!files.any(|file| is_word(&file.file_name()))).then_some(())
    });
}
