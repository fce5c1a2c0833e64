//! Clients of many addresses, each of which asks again and again.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

/// They ask for `/x` of `a.test`, until they are ended.
pub struct Clients {
    stop: Arc<AtomicBool>,
    /// By client: good answers, and others.
    seen: Arc<Mutex<BTreeMap<u8, (u64, u64)>>>,
    thread: JoinHandle<()>,
}

impl Clients {
    pub fn start(edge: SocketAddr, clients: u8) -> Self {
        let (stop, seen) = (Arc::<AtomicBool>::default(), Arc::<Mutex<_>>::default());
        let (stops, notes) = (stop.clone(), seen.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let local = tokio::task::LocalSet::new();
            for client in 0..clients {
                let (stop, seen) = (stops.clone(), notes.clone());
                local.spawn_local(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let good = ask(edge, client, "/x").await == Some(200);
                        note(&seen, client, good);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                });
            }
            runtime.block_on(local);
        });
        Self { stop, seen, thread }
    }

    /// Good answers, and others, of each client.
    pub fn end(self) -> Vec<(u64, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        let seen = self.seen.lock().unwrap();
        seen.values().copied().collect()
    }

    /// The same so far.
    pub fn seen(&self) -> Vec<(u64, u64)> {
        self.seen.lock().unwrap().values().copied().collect()
    }
}

fn note(seen: &Mutex<BTreeMap<u8, (u64, u64)>>, client: u8, good: bool) {
    let mut seen = seen.lock().unwrap();
    let (well, badly) = seen.entry(client).or_default();
    *if good { well } else { badly } += 1;
}

/// What a hundred clients, each with an address of its own, are answered for a path of `a.test`; none: broken off.
pub fn statuses(edge: SocketAddr, path: &str) -> Vec<Option<u16>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut all = Vec::new();
        for client in 0..100 {
            all.push(ask(edge, client, path).await);
        }
        all
    })
}

async fn ask(edge: SocketAddr, client: u8, path: &str) -> Option<u16> {
    let socket = TcpSocket::new_v4().ok()?;
    let from = Ipv4Addr::new(127, 9, 0, client.wrapping_add(1));
    socket.bind(SocketAddr::new(from.into(), 0)).ok()?;
    let mut stream = socket.connect(edge).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}
