//! A million zones in a real process: `seawall up` on a file of them. From its start to the first right answer, what its worker
//! holds, and how long one zone's change takes from the command to the first answer that shows it.
//!
//! All of it is shown by one run of one process, which has both cores, as on a machine that serves. Not here: what of it is
//! compiling, and lookups (`crates/proxy/examples/zones.rs`).

use std::fs;
use std::io::{self, BufReader, BufWriter, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};

use super::answer::Answer;
use super::contenders::{Yard, free_ports, processes};
use super::host;
use super::process::{Process, peak_kib, resident_kib, run_tool};
use super::rows::File;

const ZONES: usize = 1_000_000;
/// The zone that has the yard's origin, and is changed.
const MIDDLE: usize = ZONES / 2;
/// What the change adds to it.
const CHANGE: &str = "[zone.hygiene]\nnosniff = true\n";
/// Zones that are asked for, after the first one.
const FIRST_ANSWERS: usize = 200;
/// After them, until memory is looked at again.
const SETTLES: Duration = Duration::from_secs(10);
/// How many times the zone becomes another one.
const ROUNDS: usize = 5;

/// The longest until the first right answer.
const STARTS: Duration = Duration::from_secs(120);
/// The longest until control has taken in what the file says, and until a change is everywhere.
const CONTROL: Duration = Duration::from_secs(300);
/// The longest for one request, and until a change that is for all at once is there.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest for the end of all.
const ENDS: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOKS: Duration = Duration::from_micros(500);

/// What of it a row shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Million {
    /// Seconds from its start to the first right answer.
    Serving,
    /// MiB that its worker holds.
    Resident,
    /// Milliseconds from asking for a change of one zone to the first answer that shows it.
    Live,
}

/// What one run has shown.
pub struct Measured {
    serving: Duration,
    memory: Memory,
    /// None where nobody asked for it. What went wrong is for the row of it alone.
    changes: Option<Result<Changes, String>>,
}

/// What the worker holds, in KiB.
struct Memory {
    after_answers: u64,
    settled: u64,
    peak: u64,
    /// Once control has published all zones and one of them has changed, and the most that was by then.
    later: Option<[u64; 2]>,
}

struct Changes {
    /// From the start until control answered.
    control: Duration,
    /// The first change, step by step, until it was everywhere.
    first: Duration,
    rounds: Vec<Round>,
}

/// One change, for all clients at once.
#[derive(Clone, Copy, Default)]
struct Round {
    /// From the command's start until control had published it.
    published: Duration,
    /// From the command's start to the first answer that shows it.
    live: Duration,
}

/// The figure that a row asks for, of the one run; `change`: some row asks for that of changes.
pub fn figure(yard: &Yard, asked: Million, change: bool, notes: &mut Vec<String>) -> Result<f64> {
    let measured = match yard.million.get() {
        Some(measured) => measured,
        None => {
            let measured = measure(yard, change)?;
            yard.million.get_or_init(|| measured)
        }
    };
    match asked {
        Million::Serving => {
            notes.push("on both cores, beside the client; HTTP alone".to_owned());
            Ok(measured.serving.as_secs_f64())
        }
        Million::Resident => Ok(measured.memory.figure(notes)),
        Million::Live => match &measured.changes {
            Some(Ok(changes)) => Ok(changes.figure(notes)),
            Some(Err(why)) => bail!("{why}"),
            None => bail!("no change was made in this run"),
        },
    }
}

impl Memory {
    fn figure(&self, notes: &mut Vec<String>) -> f64 {
        let mib = |kib: u64| kib as f64 / 1024.0;
        notes.push(format!(
            "after the first answers {:.0} MiB, {} s later {:.0} MiB; the most that was {:.0} MiB",
            mib(self.after_answers),
            SETTLES.as_secs(),
            mib(self.settled),
            mib(self.peak)
        ));
        if let Some([resident, peak]) = self.later {
            notes.push(format!(
                "once control had published all of them and one had changed: {:.0} MiB; the most that was {:.0} MiB",
                mib(resident),
                mib(peak)
            ));
        }
        mib(self.after_answers.max(self.settled))
    }
}

impl Changes {
    fn figure(&self, notes: &mut Vec<String>) -> f64 {
        let all = |of: fn(&Round) -> Duration| sorted_ms(self.rounds.iter().map(of));
        let live = all(|round| round.live);
        let published = all(|round| round.published);
        let edge = all(|round| round.live.saturating_sub(round.published));
        let middle = |millis: &[f64]| millis.get(millis.len() / 2).copied().unwrap_or_default();
        let (least, most) = (live.first(), live.last());
        notes.push(format!(
            "`seawall rollback`, {} times: {:.0} to {:.0} ms, for all clients at once",
            live.len(),
            least.copied().unwrap_or_default(),
            most.copied().unwrap_or_default()
        ));
        notes.push(format!(
            "of it {:.0} ms until control, which looks four times a second, has compiled, logged and published it",
            middle(&published)
        ));
        notes.push(format!(
            "and {:.0} ms at the edge: fetched and verified, compiled by a process of its own, then by the worker and swapped in (that alone: million-zones-change)",
            middle(&edge)
        ));
        notes.push(format!(
            "before: control answered {:.0} s after the start; the first change, for which all zones are compiled, was everywhere after {:.0} s (three steps)",
            self.control.as_secs_f64(),
            self.first.as_secs_f64()
        ));
        middle(&live)
    }
}

fn sorted_ms(all: impl Iterator<Item = Duration>) -> Vec<f64> {
    let mut millis: Vec<f64> = all.map(|took| took.as_secs_f64() * 1e3).collect();
    millis.sort_by(f64::total_cmp);
    millis
}

fn measure(yard: &Yard, change: bool) -> Result<Measured> {
    let folder = yard.scratch().join("million");
    fs::create_dir_all(&folder)?;
    let measured = run(yard, &folder, change);
    // Two gigabytes; what cannot be removed goes with the yard.
    let _ = fs::remove_dir_all(&folder);
    measured
}

fn run(yard: &Yard, folder: &Path, change: bool) -> Result<Measured> {
    let document = folder.join("zones.toml");
    let mut file = BufWriter::new(fs::File::create(&document)?);
    write_zones(&mut file, ZONES, yard.origin())?;
    drop(file);
    progress("the document is written; `seawall up` starts");

    let [port] = free_ports()?;
    let mut client = Client::new(port);
    let began = Instant::now();
    let mut up = Up::start(yard, folder, &document, port)?;
    up.first_answer(&mut client, began + STARTS)?;
    let serving = began.elapsed();
    progress(&format!(
        "the first right answer after {:.1} s",
        serving.as_secs_f64()
    ));
    let mut memory = memory(&mut up, &mut client)?;
    let changes = change.then(|| {
        let changes = changes(yard, folder, &up, &mut client, began);
        changes.map_err(|why| format!("{why:#}"))
    });
    if matches!(changes, Some(Ok(_))) {
        let worker = up.worker()?;
        memory.later = Some([resident_kib(worker)?, peak_kib(worker)?]);
    }
    progress("it is told to end");
    up.stop()?;
    Ok(Measured {
        serving,
        memory,
        changes,
    })
}

fn progress(what: &str) {
    eprintln!("bench: {ZONES} zones: {what}");
}

/// Waits, unless we are interrupted.
fn rest(time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        host::stop_when_interrupted()?;
        thread::sleep(Duration::from_millis(50).min(time));
    }
    Ok(())
}

fn memory(up: &mut Up, client: &mut Client) -> Result<Memory> {
    for nth in 0..FIRST_ANSWERS {
        host::stop_when_interrupted()?;
        let host = host_of(nth * (ZONES / FIRST_ANSWERS));
        // The edge answers this by itself: other zones' origins are nowhere.
        let answer = client.ask(&host, "/.seawall/trace")?;
        ensure!(answer.status == 200, "{host}: {}", answer.status);
    }
    let after_answers = resident_kib(up.worker()?)?;
    rest(SETTLES)?;
    let worker = up.worker()?;
    Ok(Memory {
        after_answers,
        settled: resident_kib(worker)?,
        peak: peak_kib(worker)?,
        later: None,
    })
}

/// The zone changes, step by step, as all do; then it goes back and forth, which is for all clients at once.
fn changes(
    yard: &Yard,
    folder: &Path,
    up: &Up,
    client: &mut Client,
    began: Instant,
) -> Result<Changes> {
    let host = host_of(MIDDLE);
    let command = |words: &[&str]| {
        let mut command = Command::new(&up.binary);
        command.args(words).arg("--data").arg(&up.data);
        command
    };
    let tool = |words: &[&str]| {
        let command = command(words);
        run_tool("change", command, yard.cpus.load, CONTROL, yard.scratch())
    };
    progress("control takes them in, which takes a minute or two");
    tool(&["versions", host.as_str()]).context("control has not taken in all zones")?;
    let control = began.elapsed();
    ensure!(
        !client.middle()?.is_changed,
        "the zone is changed already, and nobody has changed it"
    );

    let changed = folder.join("changed.toml");
    let text = zone(MIDDLE, Some(yard.origin()), CHANGE);
    fs::write(&changed, format!("schema = 1\n{text}"))?;
    progress("a first change goes through its steps, which takes a minute");
    let asked = Instant::now();
    let file = changed.display().to_string();
    tool(&["apply", file.as_str(), "--wait"]).context("a change does not come to everybody")?;
    let first = asked.elapsed();
    ensure!(
        client.middle()?.is_changed,
        "the change is everywhere, and the answer is not changed"
    );

    let published = up.data.join("published/manifest");
    let (mut rounds, mut is_changed) = (Vec::new(), true);
    for _ in 0..ROUNDS {
        let output = yard.scratch().join("rollback.out");
        let (asked_at, asked) = (SystemTime::now(), Instant::now());
        let words = ["rollback", host.as_str(), "--wait"];
        let back = command(&words);
        let mut back = Process::start("rollback", back, yard.cpus.load, output)?;
        while client.middle()?.is_changed == is_changed {
            host::stop_when_interrupted()?;
            if asked.elapsed() > PATIENCE {
                bail!(
                    "no answer shows the change after {PATIENCE:?}:\n{}",
                    back.printed()
                );
            }
            thread::sleep(LOOKS);
        }
        let live = asked.elapsed();
        let at = fs::metadata(&published)?.modified()?;
        rounds.push(Round {
            published: at.duration_since(asked_at).unwrap_or_default().min(live),
            live,
        });
        progress(&format!(
            "changed within {:.0} ms",
            live.as_secs_f64() * 1e3
        ));
        back.finish(CONTROL)?;
        is_changed = !is_changed;
    }
    Ok(Changes {
        control,
        first,
        rounds,
    })
}

/// `seawall up` on the document. Dropping it ends all of its processes.
struct Up {
    process: Process,
    binary: PathBuf,
    data: PathBuf,
}

impl Up {
    fn start(yard: &Yard, folder: &Path, document: &Path, port: u16) -> Result<Self> {
        let binary = yard.binary().context("ours is measured")?.to_owned();
        let data = folder.join("data");
        let mut command = Command::new(&binary);
        command.arg("up").arg("--config").arg(document);
        command.arg("--data").arg(&data);
        command.args(["--http", &format!("127.0.0.1:{port}")]);
        for listener in ["--https", "--admin", "--dashboard", "--status-page"] {
            command.args([listener, "none"]);
        }
        let cpus = [yard.cpus.proxy, yard.cpus.load];
        let output = yard.scratch().join("million.out");
        Ok(Self {
            process: Process::start_on("seawall up", command, &cpus, output)?,
            binary,
            data,
        })
    }

    /// Asks until the zone in the middle is served.
    fn first_answer(&mut self, client: &mut Client, deadline: Instant) -> Result<()> {
        loop {
            host::stop_when_interrupted()?;
            self.process.still_runs()?;
            let Err(why) = client.middle() else {
                return Ok(());
            };
            if Instant::now() > deadline {
                let said = self.process.printed();
                bail!("no right answer within {STARTS:?}: {why:#}\n{said}");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The processes that are written down, the one that serves first; none before all serve.
    fn processes(&self) -> Option<(u32, Vec<u32>)> {
        let written = fs::read(self.data.join("up.json")).ok()?;
        let state: serde_json::Value = serde_json::from_slice(&written).ok()?;
        Some(processes(&state, self.process.pid()))
    }

    /// The process that serves.
    fn worker(&mut self) -> Result<u32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.process.still_runs()?;
            if let Some((worker, _)) = self.processes() {
                return Ok(worker);
            }
            if Instant::now() > deadline {
                bail!("up.json was not written within {PATIENCE:?}");
            }
            rest(Duration::from_millis(10))?;
        }
    }

    fn stop(mut self) -> Result<()> {
        self.process.stop(ENDS)?;
        Ok(())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let known = self.processes();
        // Nothing more can be done about one that cannot be ended.
        let _ = self.process.stop(ENDS);
        let known = known.map(|(_, all)| all).unwrap_or_default();
        for pid in known {
            // `up` ends with all others, unless it had to be killed.
            let runs = fs::read_link(format!("/proc/{pid}/exe"));
            if runs.is_ok_and(|program| program == self.binary) {
                // SAFETY: numbers; it is the program that we have started.
                unsafe { libc::kill(pid.cast_signed(), libc::SIGKILL) };
            }
        }
    }
}

/// One client, on a connection that stays open.
struct Client {
    edge: SocketAddr,
    open: Option<BufReader<TcpStream>>,
}

/// The right answer of the zone in the middle.
struct Middle {
    is_changed: bool,
}

impl Client {
    fn new(port: u16) -> Self {
        Self {
            edge: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            open: None,
        }
    }

    /// The zone in the middle is the one that has this origin; another answer is an error.
    fn middle(&mut self) -> Result<Middle> {
        let answer = self.ask(&host_of(MIDDLE), File::OneKib.path())?;
        let is_right = answer.status == 200 && answer.body.len() == File::OneKib.bytes();
        ensure!(is_right, "the answer is {}", answer.status);
        Ok(Middle {
            is_changed: answer.field("x-content-type-options") == Some("nosniff"),
        })
    }

    fn ask(&mut self, host: &str, path: &str) -> Result<Answer> {
        // One that was open for long may be closed by now.
        if let Some(open) = self.open.take()
            && let Ok(answer) = self.ask_on(open, host, path)
        {
            return Ok(answer);
        }
        let stream = TcpStream::connect(self.edge)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        self.ask_on(BufReader::new(stream), host, path)
    }

    fn ask_on(
        &mut self,
        mut connection: BufReader<TcpStream>,
        host: &str,
        path: &str,
    ) -> Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        connection.get_mut().write_all(request.as_bytes())?;
        let answer = Answer::read(&mut connection)?;
        self.open = answer.keeps.then_some(connection);
        Ok(answer)
    }
}

fn host_of(nth: usize) -> String {
    format!("site{nth}.test")
}

/// Writes a document of so many zones, as the example `zones` has them; the one in the middle has an origin that is there.
fn write_zones(to: &mut impl Write, zones: usize, origin: u16) -> io::Result<()> {
    to.write_all(b"schema = 1\n")?;
    for nth in 0..zones {
        let origin = (nth == zones / 2).then_some(origin);
        to.write_all(zone(nth, origin, "").as_bytes())?;
    }
    to.flush()
}

/// One zone, with an origin on this machine, or one that is nowhere.
fn zone(nth: usize, origin: Option<u16>, more: &str) -> String {
    let host = host_of(nth);
    let origin = match origin {
        Some(port) => format!("127.0.0.1:{port}"),
        None => format!("10.{}.{}.{}:8080", nth >> 16, nth >> 8 & 255, nth & 255),
    };
    format!(
        "[[zone]]\nname = \"{host}\"\nhosts = [\"{host}\", \"*.{host}\"]\norigin = [{{ url = \"http://{origin}\" }}]\n{more}"
    )
}

#[cfg(test)]
mod tests {
    use seawall_model::{Limits, document};

    use super::*;

    #[test]
    fn the_document_is_one_and_so_is_the_change() {
        let mut text = Vec::new();
        write_zones(&mut text, 10, 8_123).expect("written");
        let text = String::from_utf8(text).expect("text");
        let parsed = document::parse_zones(&text, &Limits::default());
        assert_eq!(parsed.problems, None);
        assert_eq!(parsed.document.zones.len(), 10);
        assert_eq!(parsed.document.zones[5].name, "site5.test");
        assert_eq!(text.matches("http://127.0.0.1:8123\"").count(), 1);
        let middle = zone(5, Some(8_123), "");
        assert!(text.contains(&middle));

        let changed = format!("schema = 1\n{}", zone(5, Some(8_123), CHANGE));
        let parsed = document::parse_zones(&changed, &Limits::default());
        assert_eq!(parsed.problems, None);
        assert!(changed.contains(&middle));
    }

    #[test]
    fn memory_is_judged_by_the_larger() {
        let mut notes = Vec::new();
        let memory = Memory {
            after_answers: 700 << 10,
            settled: 750 << 10,
            peak: 1_100 << 10,
            later: Some([800 << 10, 1_200 << 10]),
        };
        assert_eq!(memory.figure(&mut notes), 750.0);
        assert_eq!(
            notes[0],
            "after the first answers 700 MiB, 10 s later 750 MiB; the most that was 1100 MiB"
        );
        assert!(
            notes[1].ends_with("800 MiB; the most that was 1200 MiB"),
            "{notes:?}"
        );
    }

    #[test]
    fn changes_are_judged_by_the_median_and_told_in_parts() {
        let round = |published, live| Round {
            published: Duration::from_millis(published),
            live: Duration::from_millis(live),
        };
        let changes = Changes {
            control: Duration::from_secs(60),
            first: Duration::from_secs(45),
            rounds: vec![round(200, 300), round(20, 90), round(230, 290)],
        };
        let mut notes = Vec::new();
        assert_eq!(changes.figure(&mut notes), 290.0);
        assert!(notes[0].contains("3 times: 90 to 300 ms"), "{notes:?}");
        assert!(notes[1].starts_with("of it 200 ms"), "{notes:?}");
        assert!(notes[2].starts_with("and 70 ms"), "{notes:?}");
    }
}
