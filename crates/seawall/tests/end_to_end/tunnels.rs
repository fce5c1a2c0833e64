//! Tunnels over upgrades: they live on in the worker that has them, up to the end of its time, and are cut then. So is an answer
//! that has not come.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use crate::http3::{upgrade, workers};
use crate::origin::Held;
use crate::supervisor::another;
use crate::tools::{Server, connect, node};
use crate::up::{Up, until};

/// Those of `tests/node/tunnels-client.mjs`: one over HTTP/1.1, one over TLS, one over HTTP/2.
struct Tunnels {
    child: Child,
    input: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Tunnels {
    fn open(up: &Up) -> Self {
        let mut child = node("tunnels-client.mjs")
            .args([up.url(""), up.tls_url("")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut tunnels = Self { child, input, said };
        assert_eq!(tunnels.line(), "open", "{}", up.log());
        tunnels
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Goes through all of them and comes back.
    fn say(&mut self, text: &str) {
        writeln!(self.input, "{text}").unwrap();
        assert_eq!(self.line(), format!("echoed {text}"));
    }
}

impl Drop for Tunnels {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

fn zone(name: &str, origin: &str) -> String {
    format!(
        "[[zone]]\nname = \"{name}\"\nhosts = [\"{name}.test\"]\norigin = [{{ url = \"{origin}\" }}]\n"
    )
}

#[test]
fn tunnels_live_on_over_upgrades() {
    let site = Server::start("ws-echo-server.mjs", &[]);
    let up = Up::edge(&format!("schema = 1\n{}", zone("a", &site.url())));
    let mut first = Tunnels::open(&up);
    first.say("before");
    upgrade(&up);
    first.say("after one");
    let mut second = Tunnels::open(&up);
    second.say("in the next one");
    upgrade(&up);
    first.say("after two");
    second.say("after one");
    workers(&up, 3);
    // Nothing else holds the workers that have left.
    drop((first, second));
    workers(&up, 1);
}

#[test]
fn what_has_not_ended_is_cut_when_its_time_is_over_and_leaves_its_record() {
    let (site, held) = (Server::start("ws-echo-server.mjs", &[]), Held::start());
    let up = Up::edge(&format!(
        "schema = 1\n[edge.limits]\nretire = \"1s\"\n{}{}",
        zone("a", &site.url()),
        zone("b", &held.url())
    ));
    let mut old = Tunnels::open(&up);
    old.say("before");
    let mut waits = connect(up.http());
    waits
        .write_all(b"GET /held HTTP/1.1\r\nHost: b.test\r\n\r\n")
        .unwrap();
    let _arrival = held.next();
    let (worker, begun) = (up.worker_now(), Instant::now());
    upgrade(&up);
    another(&up.data(), "worker", worker);
    let mut new = Tunnels::open(&up);
    until("the end of the old worker", || {
        (!Path::new(&format!("/proc/{worker}")).exists()).then_some(())
    });
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "it had a second: {:?}",
        begun.elapsed()
    );
    let mut ended = [old.line(), old.line(), old.line()];
    ended.sort();
    assert_eq!(ended, ["ended h1", "ended h1-tls", "ended h2"]);
    let mut answer = String::new();
    waits.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    new.say("as ever");
    until("the Records of what was cut", || {
        let records = up.records();
        let cut = records
            .iter()
            .filter(|record| record["error"] == "edge_shutdown");
        (cut.count() == 4).then_some(())
    });
}
