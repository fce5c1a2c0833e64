//! A worker that another one replaced leaves, and no client notices: nobody is refused, reset or cut off.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod workers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use seawall_harness::client::{Connection, Target, connect};
use seawall_harness::client_h2::ClientH2;
use seawall_harness::frames::{END_HEADERS, END_STREAM, block, frame};
use seawall_harness::origin::{Origin, Reply, Speaks};
use seawall_harness::patience::within;
use seawall_harness::socket::Socket;
use seawall_proxy::stages::STAGES;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;
use workers::{Sockets, Worker, state};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const UPGRADE: &[u8] =
    b"GET /chat HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn origin() -> Origin {
    let origin = Origin::start("good", Speaks::H1, None).await.unwrap();
    origin.reply(Reply {
        path: Some("/chat".into()),
        tunnel: true,
        ..Reply::default()
    });
    origin.reply(Reply {
        path: Some("/slow".into()),
        gate: Some("slow".into()),
        ..Reply::default()
    });
    origin
}

/// The configuration of one of several workers: its answers say which.
fn text(origin: &Origin, nth: usize) -> String {
    format!(
        "schema = 1\n[[zone]]\nname = \"a.test\"\nhosts = [\"a.test\"]\n\
         origin = [{{ url = \"http://{}\" }}]\n\
         response_headers = {{ set = {{ x-worker = \"{nth}\" }} }}\n",
        origin.address
    )
}

fn target(address: SocketAddr) -> Target {
    Target { address, tls: None }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// What the clients have met.
#[derive(Default)]
struct Told {
    over: AtomicBool,
    answers: AtomicU64,
    /// The highest worker that answered.
    newest: AtomicU64,
    failures: std::sync::Mutex<Vec<String>>,
}

impl Told {
    fn answered(&self, worker: Option<String>) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        let worker = worker.and_then(|text| text.parse().ok()).unwrap_or(0);
        self.newest.fetch_max(worker, Ordering::Relaxed);
    }

    fn failed(&self, why: String) {
        self.failures.lock().unwrap().push(why);
        self.over.store(true, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Keeps its connection as long as it may, or for `most` requests. Nothing is tried twice.
async fn http1(target: Target, most: usize, told: Arc<Told>) {
    while !told.is_over() {
        let mut connection = match Connection::open(&target).await {
            Ok(connection) => connection,
            Err(error) => return told.failed(format!("HTTP/1.1, connecting: {error:#}")),
        };
        for _ in 0..most {
            let answer = connection.exchange("GET", GET).await;
            let answer = match answer {
                Ok(Some(answer)) if answer.status == 200 && answer.cut.is_none() => answer,
                other => return told.failed(format!("HTTP/1.1: {other:?}")),
            };
            told.answered(answer.field("x-worker"));
            let closes = answer
                .field("connection")
                .is_some_and(|value| value == "close");
            if closes || told.is_over() {
                break;
            }
        }
    }
}

/// Opens a new connection once it is told that there will be no more streams on one; what was sent is never sent again.
async fn http2(target: Target, told: Arc<Told>) {
    while !told.is_over() {
        let client = match ClientH2::open(&target).await {
            Ok(client) => client,
            Err(error) => return told.failed(format!("HTTP/2, connecting: {error:#}")),
        };
        while !told.is_over() {
            let request = Request::get("http://a.test/").body(()).unwrap();
            let answer = client.exchange(request, Bytes::new(), None).await.unwrap();
            match answer.cut.as_deref() {
                None if answer.status == 200 => told.answered(answer.field("x-worker")),
                // Nothing was sent: the connection takes no more streams.
                Some(why) if why.starts_with("no stream") || why.starts_with("not sent") => break,
                other => return told.failed(format!("HTTP/2: {} {other:?}", answer.status)),
            }
        }
    }
}

#[test]
fn workers_take_over_from_each_other_under_load_and_no_request_fails() {
    let is_long = std::env::var_os("SEAWALL_TEST_LONG").is_some();
    let generations = if is_long { 200 } else { 8 };
    runtime().block_on(async {
        let origin = origin().await;
        let sockets = Sockets::bind(false);
        let mut old = Worker::start(state(STAGES), &text(&origin, 1), &[&sockets]);
        let told = Arc::new(Told::default());
        let mut clients = JoinSet::new();
        for most in [1, 1, 2, 7, usize::MAX, usize::MAX] {
            clients.spawn(http1(target(sockets.address), most, told.clone()));
        }
        for _ in 0..3 {
            clients.spawn(http2(target(sockets.address), told.clone()));
        }
        for nth in 2..=generations {
            let new = Worker::start(state(STAGES), &text(&origin, nth), &[&sockets]);
            let before = told.answers.load(Ordering::Relaxed);
            old.shared.retire();
            within("the old worker to be left", old.shared.gone())
                .await
                .unwrap();
            old.ended().await;
            old = new;
            // Some work for the new one before it goes too.
            let enough = || {
                let newest = told.newest.load(Ordering::Relaxed) == nth as u64;
                let busy = told.answers.load(Ordering::Relaxed) > before + 50;
                (newest && busy || told.is_over()).then_some(())
            };
            seawall_harness::patience::until("answers", enough)
                .await
                .unwrap();
        }
        told.over.store(true, Ordering::Relaxed);
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
        let failures = told.failures.lock().unwrap();
        assert!(failures.is_empty(), "{failures:?}");
        let answers = told.answers.load(Ordering::Relaxed);
        println!("measured: requests answered over {generations} workers = {answers} requests");
        println!("measured: requests failed over {generations} workers = 0 requests");
    });
}

#[test]
fn what_waits_to_be_accepted_is_the_new_workers() {
    runtime().block_on(async {
        let origin = origin().await;
        let sockets = Sockets::bind(false);
        let mut old = Worker::start(state(STAGES), &text(&origin, 1), &[&sockets]);
        old.shared.retire();
        within("the old worker to be gone", old.shared.gone())
            .await
            .unwrap();
        old.ended().await;
        drop(old);
        // Nobody accepts: the kernel takes these into the sockets' queues.
        let mut waiting = Vec::new();
        for _ in 0..20 {
            let mut connection = Connection::open(&target(sockets.address)).await.unwrap();
            connection.send(GET).await;
            waiting.push(connection);
        }
        let _new = Worker::start(state(STAGES), &text(&origin, 2), &[&sockets]);
        for mut connection in waiting {
            let answer = connection.response("GET").await.unwrap().unwrap();
            assert_eq!(answer.field("x-worker").as_deref(), Some("2"));
        }
    });
}

#[test]
fn who_is_idle_has_time_for_one_more_request_and_is_closed_cleanly_then() {
    runtime().block_on(async {
        let origin = origin().await;
        let sockets = Sockets::bind(false);
        let mut worker = Worker::start(state(STAGES), &text(&origin, 1), &[&sockets]);
        let at = target(sockets.address);
        let mut asks = Connection::open(&at).await.unwrap();
        let mut idle = Connection::open(&at).await.unwrap();
        let mut slow = Connection::open(&at).await.unwrap();
        for connection in [&mut asks, &mut idle] {
            let answer = connection.exchange("GET", GET).await.unwrap().unwrap();
            assert_eq!(answer.field("connection"), None);
        }
        slow.send(b"GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await;
        let reached = || (origin.requests() == 3).then_some(());
        seawall_harness::patience::until("the slow request", reached)
            .await
            .unwrap();
        worker.shared.retire();
        let begun = Instant::now();
        assert!(
            asks.quiet_for(Duration::from_millis(300)).await,
            "it is kept"
        );
        let answer = asks.exchange("GET", GET).await.unwrap().unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("connection").as_deref(), Some("close"));
        assert_eq!(asks.closed().await.unwrap(), b"");
        // What was running when it began ends, and says that it was the last.
        origin.open_gate("slow");
        let answer = slow.response("GET").await.unwrap().unwrap();
        assert_eq!(answer.text(), "good GET /slow\n");
        assert_eq!(answer.field("connection").as_deref(), Some("close"));
        drop((asks, slow));
        assert_eq!(idle.closed().await.unwrap(), b"", "nothing but the end");
        assert!(
            begun.elapsed() >= Duration::from_secs(4),
            "{:?}",
            begun.elapsed()
        );
        drop(idle);
        within("all to be gone", worker.shared.gone())
            .await
            .unwrap();
        worker.ended().await;
    });
}

#[test]
fn tunnels_outlive_all_else_up_to_the_workers_stop() {
    runtime().block_on(async {
        let origin = origin().await;
        let sockets = Sockets::bind(false);
        let mut worker = Worker::start(state(STAGES), &text(&origin, 1), &[&sockets]);
        let at = target(sockets.address);
        let mut tunnel = Connection::open(&at).await.unwrap();
        let answer = tunnel.exchange("GET", UPGRADE).await.unwrap().unwrap();
        assert_eq!(answer.status, 101);
        let over_h2 = ClientH2::open(&at).await.unwrap();
        let request = Request::connect("http://a.test/chat").body(()).unwrap();
        let mut second = over_h2.tunnel(request, "websocket").await.unwrap();
        assert_eq!(second.answer.status, 200);
        let mut plain = Connection::open(&at).await.unwrap();
        plain.exchange("GET", GET).await.unwrap().unwrap();

        worker.shared.retire();
        let quiet = tokio::time::timeout(Duration::from_millis(200), worker.shared.quiet());
        assert!(quiet.await.is_err(), "one is not a tunnel");
        plain.exchange("GET", GET).await.unwrap().unwrap();
        drop(plain);
        within("all but tunnels to be gone", worker.shared.quiet())
            .await
            .unwrap();
        let gone = tokio::time::timeout(Duration::from_millis(200), worker.shared.gone());
        assert!(gone.await.is_err(), "tunnels are still there");
        for said in [&b"first"[..], b"again"] {
            tunnel.send(said).await;
            assert_eq!(tunnel.raw(said.len()).await.unwrap(), said);
            second.send(said, false).await.unwrap();
            assert_eq!(second.receive(said.len()).await.unwrap(), said);
        }
        drop(tunnel);
        let gone = tokio::time::timeout(Duration::from_millis(200), worker.shared.gone());
        assert!(gone.await.is_err(), "one is still there");
        // The end of the process is not waited for by a tunnel.
        worker.shared.stop();
        within("all to be gone", worker.shared.gone())
            .await
            .unwrap();
        worker.ended().await;
    });
}

/// The next frame that is neither SETTINGS nor WINDOW_UPDATE: kind, flags, stream, payload.
async fn next(socket: &mut Socket) -> Option<(u8, u8, u32, Vec<u8>)> {
    loop {
        let mut head = [0; 9];
        let read = within("a frame", socket.read_exact(&mut head))
            .await
            .unwrap();
        read.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        within("its payload", socket.read_exact(&mut payload))
            .await
            .unwrap()
            .ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if !matches!(head[3], 4 | 8) {
            return Some((head[3], head[4], stream, payload));
        }
    }
}

fn get(stream: u32) -> Vec<u8> {
    let fields: [(&[u8], &[u8]); 4] = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"a.test"),
        (b":path", b"/"),
    ];
    frame(1, END_STREAM | END_HEADERS, stream, &block(fields))
}

#[test]
fn http2_says_goodbye_in_two_steps_and_serves_what_came_in_between() {
    const GOAWAY: u8 = 7;
    const PING: u8 = 6;
    runtime().block_on(async {
        let origin = origin().await;
        let sockets = Sockets::bind(false);
        let mut worker = Worker::start(state(STAGES), &text(&origin, 1), &[&sockets]);
        let mut socket = connect(&target(sockets.address)).await.unwrap();
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        hello.extend(frame(4, 0, 0, &[]));
        hello.extend(get(1));
        socket.write_all(&hello).await.unwrap();
        loop {
            let (_, flags, stream, _) = next(&mut socket).await.unwrap();
            if stream == 1 && flags & END_STREAM != 0 {
                break;
            }
        }
        worker.shared.retire();
        let (kind, _, _, said) = next(&mut socket).await.unwrap();
        assert_eq!(
            (kind, &said[..]),
            (GOAWAY, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0][..])
        );
        let (kind, flags, _, ping) = next(&mut socket).await.unwrap();
        assert_eq!((kind, flags), (PING, 0));
        // As from a client that had sent it before it heard: it is served.
        socket.write_all(&get(3)).await.unwrap();
        let mut body = Vec::new();
        loop {
            let (kind, flags, stream, payload) = next(&mut socket).await.unwrap();
            assert_eq!(stream, 3, "{kind}");
            if kind == 0 {
                body.extend(payload);
            }
            if flags & END_STREAM != 0 {
                break;
            }
        }
        assert_eq!(body, b"good GET /\n");
        socket.write_all(&frame(PING, 1, 0, &ping)).await.unwrap();
        let (kind, _, _, said) = next(&mut socket).await.unwrap();
        assert_eq!((kind, &said[..]), (GOAWAY, &[0, 0, 0, 3, 0, 0, 0, 0][..]));
        assert_eq!(next(&mut socket).await, None, "and then the end");
        drop(socket);
        within("all to be gone", worker.shared.gone())
            .await
            .unwrap();
        worker.ended().await;
    });
}
