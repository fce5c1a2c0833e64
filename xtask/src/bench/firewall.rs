//! What the Core Rule Set costs: CPU time per request with its rules minus without them, ours beside nginx with libmodsecurity.
//!
//! Each of them runs twice, the same but for the rules, and all are asked in turn. What they answer is looked at: what is harmless passes
//! everywhere, an attack is refused by those with rules alone. The requests are those of the room's own example
//! (`crates/waf/examples/asked`). The rule set is read from `CRS_DIR`, or from `../shared/crs` beside the repository.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::contenders::{Contender, Running, Yard};
use super::measure::{Figures, Plan, RowResult};
use super::process::cpu_time;
use super::templates::render;
use super::{host, workspace};

#[path = "../../../crates/waf/examples/asked/mod.rs"]
#[allow(dead_code, reason = "the example uses more of it")]
mod asked;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    Plain,
    Typical,
    Form,
    Json,
}

impl Shape {
    fn request(self) -> Result<asked::Asked> {
        let nth = match self {
            Self::Plain => 0,
            Self::Typical => 1,
            Self::Form => 2,
            Self::Json => 3,
        };
        asked::requests().into_iter().nth(nth).context("a shape")
    }
}

const MODULE: &str = "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so";
/// An answer of libmodsecurity to JSON takes a quarter of a second.
const PATIENCE: Duration = Duration::from_secs(60);
/// A zone alone may use a quarter of a thread's time for what judges requests, so that nobody's rules starve others. The clients ask for a
/// while, and rest then so many times as long: no contender is ever without room.
const BURST: Duration = Duration::from_millis(20);
const RESTS: u32 = 4;
/// Clients that ask at the same time, so that a server finds the next request when it has answered one, as it does under load.
const CLIENTS: usize = 8;
/// Levels above 1 are compared in so many pairs: their targets are wide.
const PAIRS_ABOVE: usize = 3;

/// One contender with its rules, and without.
struct Lane {
    who: Contender,
    without: Running,
    with: Running,
    values: Vec<f64>,
}

/// Measures one row.
pub fn row(
    yard: &Yard,
    shape: Shape,
    paranoia: u8,
    contenders: &[Contender],
    plan: &Plan,
) -> Result<RowResult> {
    let mut result = RowResult::default();
    let Some(crs) = rule_set() else {
        let note = "no rule set: set CRS_DIR to an unpacked release of the Core Rule Set";
        result.notes.push(note.to_owned());
        return Ok(result);
    };
    let request = shape.request()?;
    let sent = wire(&request);
    let mut lanes = Vec::new();
    for &who in contenders {
        if who == Contender::Modsecurity && !Path::new(MODULE).exists() {
            let note = "no libmodsecurity: apt-get install libnginx-mod-http-modsecurity";
            result.notes.push(note.to_owned());
            continue;
        }
        let level = if who == Contender::SeawallAtOne {
            1
        } else {
            paranoia
        };
        lanes.push(Lane::start(yard, who, &crs, level, &sent)?);
    }
    let pairs = match paranoia {
        1 => plan.pairs,
        _ => plan.pairs.min(PAIRS_ABOVE),
    };
    let time = Duration::from_millis(300 * plan.seconds);
    for pair in 0..pairs {
        if pair > 0 && Instant::now() > plan.deadline {
            let note = format!("the bench's time ran out: {pair} pairs instead of {pairs}");
            result.notes.push(note);
            break;
        }
        let mut line = format!(
            "bench: {shape:?} at paranoia {paranoia}, pair {}/{pairs}",
            pair + 1
        );
        let mut added = vec![0.0; lanes.len()];
        let order: Vec<usize> = (0..lanes.len()).chain((0..lanes.len()).rev()).collect();
        for index in order {
            if let (Some(lane), Some(added)) = (lanes.get(index), added.get_mut(index)) {
                *added += lane.added(&sent, time)? / 2.0;
            }
        }
        for (lane, added) in lanes.iter_mut().zip(added) {
            lane.values.push(added);
            line.push_str(&format!("  {} {added:.1}", lane.who));
        }
        eprintln!("{line}");
    }
    result.figures = lanes
        .into_iter()
        .map(|lane| Figures {
            who: lane.who,
            values: lane.values,
            rates: Vec::new(),
        })
        .collect();
    Ok(result)
}

impl Lane {
    fn start(yard: &Yard, who: Contender, crs: &Path, paranoia: u8, sent: &[u8]) -> Result<Self> {
        let start = |rules: Option<u8>| -> Result<Running> {
            let name = format!("{who}-{}", if rules.is_some() { "with" } else { "without" });
            let dir = yard.scratch().join(name);
            fs::create_dir_all(&dir)?;
            let values = rules.map(|paranoia| values(who, crs, paranoia, &dir));
            yard.start_in(
                &dir,
                who,
                None,
                "rules.toml",
                &values.transpose()?.unwrap_or_default(),
            )
        };
        let lane = Self {
            who,
            without: start(None)?,
            with: start(Some(paranoia))?,
            values: Vec::new(),
        };
        let bad = attack();
        let expected = [
            (&lane.without, sent, 200),
            (&lane.with, sent, 200),
            (&lane.without, &bad, 200),
            (&lane.with, &bad, 403),
        ];
        for (running, sent, wanted) in expected {
            let status = ask(&mut connect(running)?, sent)?;
            if status != wanted {
                let line = String::from_utf8_lossy(sent.get(..60).unwrap_or(sent)).into_owned();
                bail!("{who} answered {status} instead of {wanted} to {line:?}...");
            }
        }
        // Buffers, states and code in place.
        lane.added(sent, Duration::from_millis(300))?;
        Ok(lane)
    }

    /// Microseconds that the rules add to a request.
    fn added(&self, sent: &[u8], time: Duration) -> Result<f64> {
        let without = cost(&self.without, sent, time)?;
        let with = cost(&self.with, sent, time)?;
        Ok(with - without)
    }
}

/// What the templates say where there are rules: harmless requests score at higher levels too, so that the threshold is high there.
fn values(
    who: Contender,
    crs: &Path,
    paranoia: u8,
    dir: &Path,
) -> Result<Vec<(&'static str, String)>> {
    let threshold = if paranoia == 1 { 5 } else { HIGH };
    let crs = crs.display().to_string();
    if who != Contender::Modsecurity {
        let rules = format!(
            "[zone.waf]\nmode = \"enforce\"\nruleset = \"{crs}\"\nparanoia = {paranoia}\nthreshold = {threshold}"
        );
        return Ok(vec![("rules", rules)]);
    }
    let values = [
        ("crs", crs),
        ("paranoia", paranoia.to_string()),
        ("threshold", threshold.to_string()),
    ];
    let file = render("modsecurity.conf", &values, dir)?;
    let rules = format!("modsecurity on; modsecurity_rules_file {};", file.display());
    Ok(vec![
        ("module", format!("load_module {MODULE};")),
        ("rules", rules),
    ])
}

/// More than anything harmless scores at paranoia 4, and less than [`attack`] does.
const HIGH: u32 = 3_000;

/// An attack in each of many arguments, so that it scores high whatever the level.
fn attack() -> Vec<u8> {
    let arguments: Vec<String> = (0..200)
        .map(|nth| format!("a{nth}=1%27%20or%20%271%27=%271"))
        .collect();
    let target = format!("/products/search?{}", arguments.join("&"));
    format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n")
        .into_bytes()
}

fn wire(asked: &asked::Asked) -> Vec<u8> {
    let mut sent = format!("{} {} HTTP/1.1\r\n", asked.method, asked.target).into_bytes();
    for (name, value) in &asked.headers {
        sent.extend(format!("{name}: {value}\r\n").bytes());
    }
    sent.extend(b"\r\n");
    sent.extend(&asked.body);
    sent
}

/// CPU microseconds of the worker for each request, over so much time.
fn cost(running: &Running, sent: &[u8], time: Duration) -> Result<f64> {
    let connections = (0..CLIENTS).map(|_| connect(running));
    let mut connections = connections.collect::<Result<Vec<_>>>()?;
    let before = cpu_time(running.worker)?;
    let began = Instant::now();
    let mut burst = began;
    let mut completed = 0;
    while completed == 0 || began.elapsed() < time {
        host::stop_when_interrupted()?;
        for connection in &mut connections {
            connection.get_mut().write_all(sent)?;
        }
        for connection in &mut connections {
            match answer(connection)? {
                200 => completed += 1,
                other => bail!("{} answered {other}", running.who),
            }
        }
        if burst.elapsed() >= BURST {
            std::thread::sleep(burst.elapsed() * RESTS);
            burst = Instant::now();
        }
    }
    let spent = cpu_time(running.worker)?.saturating_sub(before);
    Ok(spent.as_secs_f64() * 1e6 / completed as f64)
}

fn connect(running: &Running) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, running.http)))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// Asks, and gives the status of the answer.
fn ask(connection: &mut BufReader<TcpStream>, sent: &[u8]) -> Result<u16> {
    connection.get_mut().write_all(sent)?;
    answer(connection)
}

/// The status of an answer that came whole.
fn answer(connection: &mut BufReader<TcpStream>) -> Result<u16> {
    let (mut status, mut length) = (0, None);
    let mut line = String::new();
    loop {
        line.clear();
        if connection.read_line(&mut line)? == 0 {
            bail!("closed");
        }
        let text = line.trim_end().to_ascii_lowercase();
        match text.split_once(": ") {
            None if text.is_empty() => break,
            None => status = text.get(9..12).context("no status")?.parse()?,
            Some(("content-length", value)) => length = Some(value.parse()?),
            Some(_) => {}
        }
    }
    let mut body = vec![0; length.context("no length")?];
    connection.read_exact(&mut body)?;
    Ok(status)
}

fn rule_set() -> Option<PathBuf> {
    let beside = workspace().join("../shared/crs");
    let folder = std::env::var_os("CRS_DIR").map_or(beside, PathBuf::from);
    folder
        .join("rules")
        .is_dir()
        .then_some(folder)?
        .canonicalize()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_what_they_are_called() {
        let size = |shape: Shape| shape.request().expect("a shape").body.len();
        assert_eq!((size(Shape::Plain), size(Shape::Typical)), (0, 0));
        assert!(
            (1_900..2_600).contains(&size(Shape::Form)),
            "{}",
            size(Shape::Form)
        );
        assert!(
            (14 << 10..18 << 10).contains(&size(Shape::Json)),
            "{}",
            size(Shape::Json)
        );
        let typical = Shape::Typical.request().expect("a shape");
        assert_eq!(typical.headers.len(), 10);
        assert_eq!(typical.target.matches('=').count(), 5);
    }
}
