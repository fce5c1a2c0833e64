//! Workers in this process, over real sockets: several may serve on the same ones.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests; each file of tests uses some of them"
)]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use seawall_guard::StageDef;
use seawall_guard::blame::{self, Page};
use seawall_model::{Limits, document};
use seawall_net::tls::config::self_signed;
use seawall_proxy::WORDS;
use seawall_proxy::compile::{Sources, compile};
use seawall_proxy::materials::Materials;
use seawall_proxy::retire::Retirement;
use seawall_proxy::slot::Slot;
use seawall_proxy::state::State;
use seawall_proxy::thread::{self, Shared};
use seawall_proxy::told::Told;
use seawall_proxy::trial::Live;
use seawall_proxy::worker::{self, Kind, Listener};
use seawall_telemetry::{AccessLog, BuildInfo, LogConfig, LogTarget, Registry};
use tokio::sync::Notify;
use tokio::time::Instant;

pub const THREADS: usize = 2;

const BUILD: BuildInfo = BuildInfo {
    version: "0",
    commit: "",
};

/// Listening sockets that outlive workers, and whether TLS is spoken on them.
pub struct Sockets {
    pub address: SocketAddr,
    tls: bool,
    each: Vec<TcpListener>,
}

impl Sockets {
    pub fn bind(tls: bool) -> Self {
        let (address, each) = worker::bind("127.0.0.1:0".parse().unwrap(), THREADS).unwrap();
        Self { address, tls, each }
    }
}

/// A worker that serves until it is dropped.
pub struct Worker {
    pub state: Arc<State>,
    pub shared: Arc<Shared>,
    pub page: Page<'static>,
    threads: Vec<JoinHandle<std::io::Result<()>>>,
    log: Option<AccessLog>,
}

pub fn state(stages: &'static [&'static StageDef]) -> Arc<State> {
    Arc::new(State::new(Registry::new(&WORDS, BUILD), stages))
}

pub fn snapshot(state: &State, text: &str) -> Live {
    let parsed = document::parse_zones(text, &Limits::default());
    assert_eq!(parsed.problems, None);
    let pem = self_signed(vec!["localhost".into()]).unwrap();
    let materials = Materials::load(&parsed.document, Path::new("."), Some(pem));
    let compiled = compile(
        &Sources::new(&parsed, &materials),
        &Limits::default(),
        state,
        None,
    );
    let snapshot = Live::from(compiled.snapshot.unwrap());
    state.settle(&snapshot, &compiled.refused);
    snapshot
}

impl Worker {
    /// Serves what the document says on these sockets, beside whoever does so already.
    pub fn start(state: Arc<State>, text: &str, sockets: &[&Sockets]) -> Self {
        let snapshot = snapshot(&state, text);
        let log = AccessLog::open(LogConfig {
            target: LogTarget::Off,
            ..LogConfig::default()
        });
        let log = log.unwrap();
        let shared = Arc::new(Shared {
            quic: None,
            cache: seawall_proxy::caching::store(snapshot.edge.cache_memory, 0, "/nowhere".into()),
            slot: Slot::new(snapshot),
            certificates: state.certificates.clone(),
            began: Instant::now(),
            zero: thread::zero(),
            accepting: AtomicBool::new(true),
            gate: Notify::new(),
            draining: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            drain: Notify::new(),
            retirement: Retirement::default(),
            open: AtomicU64::new(0),
            threads: THREADS,
            room: 10_000,
            ran_out: AtomicU64::new(0),
            told: Told::default(),
            mishaps: Default::default(),
            recent: state.recent.clone(),
            tier: None,
            node: "test".into(),
            per_client: Mutex::default(),
        });
        let words = blame::leaked(THREADS);
        let page = Page::of(words);
        page.begin(THREADS, 1);
        let threads = (0..THREADS)
            .map(|nth| {
                let listeners = sockets
                    .iter()
                    .map(|sockets| Listener {
                        socket: sockets.each[nth].try_clone().unwrap(),
                        kind: match sockets.tls {
                            true => Kind::Https,
                            false => Kind::Http,
                        },
                    })
                    .collect();
                let (shared, shard, log) = (shared.clone(), state.registry.shard(), log.buffer());
                std::thread::spawn(move || {
                    blame::take_slot(words, nth);
                    worker::run(
                        shared,
                        shard,
                        log,
                        nth as u64 + 1,
                        listeners,
                        no_datagrams(),
                    )
                })
            })
            .collect();
        Self {
            state,
            shared,
            page,
            threads,
            log: Some(log),
        }
    }

    /// Waits until its threads have ended by themselves.
    pub async fn ended(&mut self) {
        for thread in std::mem::take(&mut self.threads) {
            let joined = tokio::task::spawn_blocking(move || thread.join());
            let joined = seawall_harness::patience::within("a thread to end", joined);
            joined.await.unwrap().unwrap().unwrap().unwrap();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.draining.store(true, Ordering::Release);
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.drain.notify_waiters();
        for thread in std::mem::take(&mut self.threads) {
            let _ = thread.join();
        }
        if let Some(log) = self.log.take() {
            let _ = log.close(std::time::Duration::from_secs(1));
        }
    }
}

/// No HTTP/3.
fn no_datagrams() -> tokio::sync::mpsc::Receiver<seawall_net::quic::Part> {
    tokio::sync::mpsc::channel(1).1
}
