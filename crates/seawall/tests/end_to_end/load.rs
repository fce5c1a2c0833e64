//! Clients that ask again and again while processes come and go, as browsers and proxies do: on connections that stay open, and on
//! a new one when that was said to close. What fails is counted by what it means.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::up::patience;

/// What became of the requests.
#[derive(Debug, Default)]
pub struct Counts {
    /// With 200.
    pub answered: AtomicU64,
    /// Nobody accepted the connection.
    pub refused: AtomicU64,
    /// The connection ended before the answer did.
    pub cut: AtomicU64,
    /// The answer was another.
    pub wrong: AtomicU64,
    /// The longest that one of those that were answered took, in microseconds.
    pub longest_us: AtomicU64,
}

impl Counts {
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    pub fn answered(&self) -> u64 {
        Self::get(&self.answered)
    }
}

/// Clients at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    pub counts: Arc<Counts>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// So many clients ask for `path` of these hosts in turn.
    pub fn start(edge: SocketAddr, clients: usize, hosts: &[String], path: &str) -> Self {
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::<Counts>::default());
        let clients = (0..clients).map(|nth| {
            let (stop, counts) = (stop.clone(), counts.clone());
            let (hosts, path) = (hosts.to_vec(), path.to_owned());
            thread::spawn(move || run(edge, nth, &hosts, &path, &stop, &counts))
        });
        Self {
            clients: clients.collect(),
            stop,
            counts,
        }
    }

    /// Waits until so many more were answered.
    pub fn wait_for(&self, more: u64) {
        let before = self.counts.answered();
        let begun = Instant::now();
        while self.counts.answered() < before + more {
            assert!(begun.elapsed() < patience(), "{:?}", self.counts);
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it.
    pub fn end(self) -> Arc<Counts> {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        self.counts
    }
}

fn run(
    edge: SocketAddr,
    nth: usize,
    hosts: &[String],
    path: &str,
    stop: &AtomicBool,
    counts: &Counts,
) {
    let mut open: Option<BufReader<TcpStream>> = None;
    let mut turn = nth;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let host = &hosts[turn % hosts.len()];
        let mut connection = match open.take().map_or_else(|| connect(edge), Ok) {
            Ok(connection) => connection,
            Err(_) => {
                counts.refused.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(1));
                continue;
            }
        };
        let begun = Instant::now();
        match ask(&mut connection, host, path) {
            Some((200, keeps)) => {
                let took = begun.elapsed().as_micros() as u64;
                counts.longest_us.fetch_max(took, Ordering::Relaxed);
                counts.answered.fetch_add(1, Ordering::Relaxed);
                open = keeps.then_some(connection);
                // What is measured is what fails, not how fast it goes: the processes that come must have room.
                thread::sleep(Duration::from_millis(1));
            }
            Some(_) => {
                counts.wrong.fetch_add(1, Ordering::Relaxed);
            }
            None => {
                counts.cut.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn connect(edge: SocketAddr) -> std::io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(edge)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience()))?;
    Ok(BufReader::new(stream))
}

/// The status, and whether the connection stays open.
fn ask(connection: &mut BufReader<TcpStream>, host: &str, path: &str) -> Option<(u16, bool)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    connection.get_mut().write_all(request.as_bytes()).ok()?;
    let (mut status, mut length, mut keeps) = (0, 0, true);
    let mut line = String::new();
    loop {
        line.clear();
        if connection.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let text = line.trim_end().to_ascii_lowercase();
        if text.is_empty() {
            break;
        }
        if let Some(rest) = text.strip_prefix("http/1.1 ") {
            status = rest.get(..3)?.parse().ok()?;
        } else if let Some(value) = text.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        } else if text == "connection: close" {
            keeps = false;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).ok()?;
    Some((status, keeps))
}
