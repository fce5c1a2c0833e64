//! Hits from disk, cold: what lies there and is neither in our memory nor in the system's.
//!
//! One client asks for large files one after the other, all of which a cache has on disk; before each the system is told to forget
//! what it has of them (`posix_fadvise`). How long an answer takes is the row's figure; what CPU it costs is a note, since a disk's time is
//! mostly waited for. Both run through the whole row, and take turns.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::contenders::{Contender, HOST, Running, Yard};
use super::host;
use super::measure::{Figures, Plan, RowResult};

/// Bytes of a file.
const BYTES: usize = 10 << 20;
/// Files: ten times what our memory holds, of which a zone has half.
const FILES: usize = 16;
/// How long what was fetched may take to be written.
const WRITTEN: Duration = Duration::from_millis(250);

/// One contender, and what it took.
struct Lane {
    running: Running,
    folder: PathBuf,
    millis: Vec<f64>,
    cpu: Vec<f64>,
}

/// Measures the row.
pub fn row(yard: &Yard, plan: &Plan) -> Result<RowResult> {
    let origin = yard.scratch().join("www/kept");
    for nth in 0..FILES {
        fs::write(
            origin.join(format!("10m-{nth}")),
            vec![b'a' + nth as u8; BYTES],
        )?;
    }
    let mut lanes = Vec::new();
    for (who, folder) in [
        (Contender::Seawall, "seawall-data/cache"),
        (Contender::Nginx, "nginx-cache"),
    ] {
        if who == Contender::Seawall && yard.binary().is_none() {
            continue;
        }
        let lane = Lane {
            running: yard.start_with(who, None, "disk.toml")?,
            folder: yard.scratch().join(folder),
            millis: Vec::new(),
            cpu: Vec::new(),
        };
        for nth in (0..FILES).chain(0..FILES) {
            lane.ask(nth)?;
            // What waits to be written has a bound, beyond which it is not.
            std::thread::sleep(WRITTEN);
        }
        lanes.push(lane);
    }
    for pair in 0..plan.pairs {
        let mut sums = vec![(0.0, 0.0); lanes.len()];
        for nth in 0..FILES {
            for turn in 0..lanes.len() {
                // Whoever is first in one turn is last in the next.
                let at = (turn + nth) % lanes.len();
                host::stop_when_interrupted()?;
                forget(&lanes[at].folder)?;
                let before = lanes[at].running.cpu_time()?;
                let (head, took) = lanes[at].ask(nth)?;
                let spent = lanes[at].running.cpu_time()?.saturating_sub(before);
                ensure!(
                    is_hit(&head),
                    "{} has not kept it: {head}",
                    lanes[at].running.who
                );
                sums[at].0 += took.as_secs_f64() * 1e3 / FILES as f64;
                sums[at].1 += spent.as_secs_f64() * 1e3 / FILES as f64;
            }
        }
        let mut line = format!("bench: hit-disk-10m pair {}/{}", pair + 1, plan.pairs);
        for (lane, (millis, cpu)) in lanes.iter_mut().zip(sums) {
            lane.millis.push(millis);
            lane.cpu.push(cpu);
            line.push_str(&format!(
                "  {} {millis:.1} ms, {cpu:.1} of CPU",
                lane.running.who
            ));
        }
        eprintln!("{line}");
    }
    let notes = lanes.iter().map(|lane| {
        let mut cpu = lane.cpu.clone();
        cpu.sort_by(f64::total_cmp);
        let median = cpu.get(cpu.len() / 2).copied().unwrap_or_default();
        format!(
            "CPU time of {}, all threads: {median:.2} ms",
            lane.running.who
        )
    });
    let notes = notes.collect();
    let figures = lanes.into_iter().map(|lane| Figures {
        who: lane.running.who,
        values: lane.millis,
        rates: Vec::new(),
    });
    Ok(RowResult {
        figures: figures.collect(),
        notes,
    })
}

fn is_hit(head: &str) -> bool {
    head.contains("\r\ncache-status: seawall; hit") || head.contains("\r\nx-cache: hit")
}

/// The system forgets what it has of the files of a folder. What is not written yet it keeps, so that is written first.
fn forget(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget(&entry.path())?;
            continue;
        }
        let file = fs::File::open(entry.path())?;
        file.sync_data()?;
        // SAFETY: numbers.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
    Ok(())
}

impl Lane {
    /// The head of the answer, in lower case, and how long all of it took.
    fn ask(&self, nth: usize) -> Result<(String, Duration)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.running.http))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let began = Instant::now();
        write!(
            stream,
            "GET /kept/10m-{nth} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = vec![0; BYTES + 16 * 1024];
        let mut filled = 0;
        loop {
            match stream.read(&mut answer[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        let took = began.elapsed();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.context("no head")?;
        let (head, body) = (&answer[..end], &answer[end + 4..filled]);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let expected = b'a' + nth as u8;
        ensure!(
            body.len() == BYTES && body.iter().all(|byte| *byte == expected),
            "not the file: {head}"
        );
        Ok((head, took))
    }
}
