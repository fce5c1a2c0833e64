//! Upgrades under load: clients on connections that stay open ask on while the program is replaced again and again. What counts is
//! what failed; how long the longest request and each upgrade took stands beside it.

use std::io::{BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::answer::Answer;
use super::contenders::{Contender, HOST, Yard};
use super::host;
use super::process::run_tool;
use super::rows::File;

/// The longest that a request, and an upgrade, may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Load alone, before the first upgrade and after each.
const BETWEEN: Duration = Duration::from_millis(500);
/// What is measured is what fails, not how fast it goes: a client rests for so long after each answer.
const RESTS: Duration = Duration::from_micros(500);

/// What became of the requests.
#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    /// Nobody accepted the connection.
    refused: AtomicU64,
    /// The connection ended before the answer did.
    cut: AtomicU64,
    /// Another answer.
    wrong: AtomicU64,
    /// The longest of those that were answered, in microseconds.
    longest_us: AtomicU64,
}

/// Requests that failed while the program was replaced so many times.
pub fn failed(yard: &Yard, times: u32, clients: u32, notes: &mut Vec<String>) -> Result<f64> {
    let running = yard.start(Contender::Seawall, None)?;
    let edge = SocketAddr::from((Ipv4Addr::LOCALHOST, running.http));
    let (stop, counts) = (AtomicBool::new(false), Counts::default());
    let took = thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| ask_on(edge, &stop, &counts));
        }
        let took = upgrade(yard, times);
        stop.store(true, Ordering::Relaxed);
        took
    })?;
    running.stop()?;
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let [answered, refused, cut, wrong] = [
        &counts.answered,
        &counts.refused,
        &counts.cut,
        &counts.wrong,
    ]
    .map(of);
    if answered == 0 {
        bail!("nothing was answered");
    }
    let longest = took.iter().max().copied().unwrap_or_default();
    notes.push(format!(
        "{times} upgrades beside {clients} clients: {answered} answered, {refused} refused, {cut} cut, {wrong} answered otherwise"
    ));
    notes.push(format!(
        "the longest request took {} ms, the longest upgrade {} ms",
        of(&counts.longest_us) / 1_000,
        longest.as_millis()
    ));
    Ok((refused + cut + wrong) as f64)
}

/// Replaces the program by itself, as `seawall upgrade` does; how long each time took.
fn upgrade(yard: &Yard, times: u32) -> Result<Vec<Duration>> {
    let binary = yard.binary().context("ours is measured")?;
    let data = yard.scratch().join("seawall-data");
    let mut took = Vec::new();
    thread::sleep(BETWEEN);
    for _ in 0..times {
        host::stop_when_interrupted()?;
        let mut command = Command::new(binary);
        command.arg("upgrade").arg("--data").arg(&data);
        let began = Instant::now();
        run_tool("upgrade", command, yard.cpus.load, PATIENCE, yard.scratch())?;
        took.push(began.elapsed());
        thread::sleep(BETWEEN);
    }
    Ok(took)
}

/// One client: on one connection until it is told to close it.
fn ask_on(edge: SocketAddr, stop: &AtomicBool, counts: &Counts) {
    let add = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    let mut open = None;
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut connection) = open.take().map_or_else(|| connect(edge), Ok) else {
            add(&counts.refused);
            thread::sleep(RESTS);
            continue;
        };
        let began = Instant::now();
        match ask(&mut connection) {
            Ok((200, keeps)) => {
                let took = began.elapsed().as_micros() as u64;
                counts.longest_us.fetch_max(took, Ordering::Relaxed);
                add(&counts.answered);
                open = keeps.then_some(connection);
                thread::sleep(RESTS);
            }
            Ok(_) => {
                add(&counts.wrong);
            }
            Err(_) => {
                add(&counts.cut);
            }
        }
    }
}

fn connect(edge: SocketAddr) -> std::io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(edge)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// The status, and whether the connection stays open. An error is an answer that did not come whole.
fn ask(connection: &mut BufReader<TcpStream>) -> Result<(u16, bool)> {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {HOST}\r\n\r\n",
        File::OneKib.path()
    );
    connection.get_mut().write_all(request.as_bytes())?;
    let answer = Answer::read(connection)?;
    Ok((answer.status, answer.keeps))
}

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;
    use std::net::TcpListener;

    use super::*;

    /// What a client counts of a server that gives each connection this answer and closes it.
    fn counted(answer: &'static str) -> Counts {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let edge = listener.local_addr().expect("its address");
        let (stop, counts) = (AtomicBool::new(false), Counts::default());
        thread::scope(|scope| {
            let client = scope.spawn(|| ask_on(edge, &stop, &counts));
            for _ in 0..3 {
                let (stream, _) = listener.accept().expect("a client");
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                while stream.read_line(&mut line).expect("a request") > 2 {
                    line.clear();
                }
                stream.get_mut().write_all(answer.as_bytes()).expect("sent");
            }
            stop.store(true, Ordering::Relaxed);
            drop(listener);
            client.join().expect("the client ends");
        });
        counts
    }

    #[test]
    fn what_fails_is_counted_as_what_it_is() {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
        let good = counted(whole);
        assert!(good.answered.into_inner() >= 2);
        assert_eq!((good.cut.into_inner(), good.wrong.into_inner()), (0, 0));
        let cut = counted("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi");
        assert!(cut.cut.into_inner() >= 2 && cut.answered.into_inner() == 0);
        let wrong = counted("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n");
        assert!(wrong.wrong.into_inner() >= 2 && wrong.answered.into_inner() == 0);
    }
}
