//! How a row is measured: interleaved pairs for CPU time, fresh processes for memory and instructions.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::callgrind::Callgrind;
use super::clients::{self, Held};
use super::contenders::{Contender, Running, Yard};
use super::guard::{self, Part};
use super::load::{self, Asking, Load};
use super::process::{proportional_kib, resident_kib};
use super::rows::{File, Guarded, Protocol, Row, Work};
use super::{disk, firewall, host, http3, million, output_folder, programs, upgrade};

/// How long and how often.
pub struct Plan {
    pub pairs: usize,
    /// Of one run of one contender.
    pub seconds: u64,
    /// When the whole bench is to end.
    pub deadline: Instant,
    /// A row asks for a change among a million zones: it is made in the run of which the others are.
    pub change: bool,
}

/// What came out of one row.
#[derive(Default)]
pub struct RowResult {
    /// In the order of the contenders; each has as many values as there are pairs.
    pub figures: Vec<Figures>,
    /// What a reader has to know to judge the figures.
    pub notes: Vec<String>,
}

/// One contender in one row.
pub struct Figures {
    pub who: Contender,
    /// In the row's unit; the n-th values of all contenders were measured together.
    pub values: Vec<f64>,
    /// Requests per second, beside each value; empty where nothing was timed.
    pub rates: Vec<f64>,
}

/// Measures one row.
pub fn row(yard: &Yard, row: &Row, contenders: &[Contender], plan: &Plan) -> Result<RowResult> {
    match row.work {
        Work::PlainRequests { .. }
        | Work::SecureRequests { .. }
        | Work::Http3Requests { .. }
        | Work::Handshakes => timed(yard, row, contenders, plan),
        Work::IdleConnections(protocol) => each(row, contenders, |who, notes| {
            idle(yard, who, protocol, notes)
        }),
        Work::Resident => each(row, contenders, |who, _| resident(yard, who, plan.seconds)),
        Work::Instructions(protocol) => each(row, contenders, |who, notes| {
            instructions(yard, row, who, protocol, notes)
        }),
        Work::Guard(guarded) => each(row, contenders, |_, notes| {
            guard_instructions(yard, row, guarded, notes)
        }),
        Work::FromDisk => disk::row(yard, plan),
        Work::Upgrades { times, clients } => each(row, contenders, |_, notes| {
            upgrade::failed(yard, times, clients, notes)
        }),
        Work::Million(asked) => each(row, contenders, |_, notes| {
            million::figure(yard, asked, plan.change, notes)
        }),
        Work::Rules { shape, paranoia } => firewall::row(yard, shape, paranoia, contenders, plan),
        Work::Program(program) => {
            let runs = plan.pairs.min(programs::MOST_RUNS);
            let mut result = RowResult::default();
            if contenders.contains(&Contender::Seawall) {
                let (values, notes) = programs::measure(yard, program, runs)?;
                result.notes = notes;
                result.figures.push(Figures {
                    who: Contender::Seawall,
                    values,
                    rates: Vec::new(),
                });
            }
            Ok(result)
        }
    }
}

/// Rows that are measured once: counts and sizes, which other load on the machine does not move.
fn each(
    row: &Row,
    contenders: &[Contender],
    mut figure: impl FnMut(Contender, &mut Vec<String>) -> Result<f64>,
) -> Result<RowResult> {
    let mut result = RowResult {
        figures: Vec::new(),
        notes: Vec::new(),
    };
    for &who in contenders {
        host::stop_when_interrupted()?;
        let value = figure(who, &mut result.notes)?;
        eprintln!("bench: {} {who} {value:.1} {}", row.name, row.unit);
        result.figures.push(Figures {
            who,
            values: vec![value],
            rates: Vec::new(),
        });
    }
    Ok(result)
}

/// One pair is a pass over all contenders and the same pass backwards, so that a machine that grows slower or faster
/// meanwhile does so for everybody. A pair in which a peer's two runs differ this much was disturbed and is repeated.
const WILD: f64 = 1.35;
/// A machine that is never quiet does not make the bench endless.
const REPEATS: usize = 2;

fn timed(yard: &Yard, row: &Row, contenders: &[Contender], plan: &Plan) -> Result<RowResult> {
    let mut lanes = Vec::new();
    for &who in contenders {
        lanes.push(Lane::start(yard, row, who)?);
    }
    let mut repeated = 0;
    let mut notes = Vec::new();
    while lanes[0].values.len() < plan.pairs {
        let count = lanes[0].values.len();
        if count > 0 && Instant::now() > plan.deadline {
            notes.push(format!(
                "the bench's time ran out: {count} pairs instead of {}",
                plan.pairs
            ));
            break;
        }
        let mut runs: Vec<Vec<Sample>> = vec![Vec::new(); lanes.len()];
        let order: Vec<usize> = (0..lanes.len()).chain((0..lanes.len()).rev()).collect();
        for index in order {
            runs[index].push(lanes[index].run(yard, row, plan.seconds)?);
            yard.empty_logs();
        }
        let peers = || {
            lanes
                .iter()
                .zip(&runs)
                .filter(|(lane, _)| lane.running.who != Contender::Seawall)
        };
        let wildest = peers()
            .map(|(_, samples)| spread(samples))
            .fold(1.0, f64::max);
        if wildest > WILD && repeated < REPEATS {
            repeated += 1;
            eprintln!(
                "bench: {} pair {} was disturbed (a peer's runs differ by {wildest:.2}): again",
                row.name,
                count + 1
            );
            continue;
        }
        let mut line = format!("bench: {} pair {}/{}", row.name, count + 1, plan.pairs);
        for (lane, samples) in lanes.iter_mut().zip(&runs) {
            let length = samples.len() as f64;
            let value =
                samples.iter().map(|sample| sample.cost).sum::<f64>() / length * row.scale();
            lane.values.push(value);
            lane.rates
                .push(samples.iter().map(|sample| sample.rate).sum::<f64>() / length);
            line.push_str(&format!("  {} {value:.1}", lane.running.who));
        }
        eprintln!("{line}");
    }
    if repeated > 0 {
        notes.push(format!(
            "pairs repeated because a peer's runs differed by more than {WILD}: {repeated}"
        ));
    }
    let figures = lanes.into_iter().map(|lane| Figures {
        who: lane.running.who,
        values: lane.values,
        rates: lane.rates,
    });
    Ok(RowResult {
        figures: figures.collect(),
        notes,
    })
}

/// One run of one contender.
#[derive(Clone, Copy)]
struct Sample {
    /// CPU microseconds per completed request.
    cost: f64,
    /// Completed requests per second.
    rate: f64,
    completed: u64,
}

fn spread(samples: &[Sample]) -> f64 {
    let costs = || samples.iter().map(|sample| sample.cost);
    costs().fold(0.0, f64::max) / costs().fold(f64::INFINITY, f64::min)
}

/// A contender that runs through a whole row.
struct Lane {
    running: Running,
    values: Vec<f64>,
    rates: Vec<f64>,
    /// By its last run, per second: sizes the next run of a generator that counts requests instead of seconds.
    rate: f64,
}

impl Lane {
    /// Starts and warms up: pools filled, buffers and code in place.
    fn start(yard: &Yard, row: &Row, who: Contender) -> Result<Self> {
        let running = yard.start(who, None)?;
        let mut lane = Self {
            running,
            values: Vec::new(),
            rates: Vec::new(),
            rate: 0.0,
        };
        lane.rate = match row.work {
            Work::SecureRequests {
                file: File::OneMib, ..
            }
            | Work::Http3Requests {
                file: File::OneMib, ..
            } => 100.0,
            Work::SecureRequests { .. } | Work::Http3Requests { .. } => 5_000.0,
            _ => 0.0,
        };
        let warm = lane.run(yard, row, 1)?;
        yard.check_log(who, warm.completed)?;
        if let Some(file) = row.kept() {
            lane.running.check_kept(file)?;
        }
        Ok(lane)
    }

    fn run(&mut self, yard: &Yard, row: &Row, seconds: u64) -> Result<Sample> {
        host::stop_when_interrupted()?;
        let before = self.running.cpu_time()?;
        let load = self.load(yard, row, seconds)?;
        let spent = self.running.cpu_time()?.saturating_sub(before);
        self.rate = load.rate;
        Ok(Sample {
            cost: spent.as_secs_f64() * 1e6 / load.completed as f64,
            rate: load.rate,
            completed: load.completed,
        })
    }

    fn load(&self, yard: &Yard, row: &Row, seconds: u64) -> Result<Load> {
        match row.work {
            Work::PlainRequests { file, connections } => {
                load::wrk(yard, &self.running, file, connections, seconds)
            }
            Work::SecureRequests {
                file,
                connections,
                streams,
            } => {
                let requests = (self.rate * seconds as f64) as u64;
                let requests = requests.max(u64::from(connections * streams));
                let asking = Asking {
                    protocol: Protocol::Http2,
                    file,
                    requests,
                    connections,
                    streams,
                };
                load::h2load(yard, &self.running, &asking)
            }
            Work::Http3Requests {
                file,
                connections,
                streams,
            } => {
                let requests = (self.rate * seconds as f64) as u64;
                let requests = requests.max(u64::from(connections * streams));
                http3::h3load(yard, &self.running, file, requests, connections, streams)
            }
            Work::Handshakes => {
                let started = Instant::now();
                let completed = clients::handshakes(
                    self.running.secure_address(),
                    Duration::from_secs(seconds),
                )?;
                Ok(Load {
                    completed,
                    rate: completed as f64 / started.elapsed().as_secs_f64(),
                })
            }
            other => bail!("{other:?} is not timed"),
        }
    }
}

const FEW: usize = 100;
const MORE: usize = 1000;
/// Long enough for a contender that gives buffers back by a timer, and for freed pages to be returned.
const SETTLE: Duration = Duration::from_secs(2);

/// KiB per idle connection. The first hundred pay for what exists once.
fn idle(yard: &Yard, who: Contender, protocol: Protocol, notes: &mut Vec<String>) -> Result<f64> {
    let mut running = yard.start(who, None)?;
    let mut held = Held::new(running.secure_address(), protocol);
    let mut size_with = |count: usize| -> Result<u64> {
        held.open(count)?;
        std::thread::sleep(SETTLE);
        running.cpu_time()?; // an error when it has ended
        running.pids.iter().map(|&pid| proportional_kib(pid)).sum()
    };
    let few = size_with(FEW)?;
    let many = size_with(MORE)?;
    let alive = held.alive();
    if alive < FEW + MORE {
        notes.push(format!(
            "{who} closed {} of {} connections meanwhile",
            FEW + MORE - alive,
            FEW + MORE
        ));
    }
    Ok((many as f64 - few as f64) / MORE as f64)
}

/// MiB of the worker after load.
fn resident(yard: &Yard, who: Contender, seconds: u64) -> Result<f64> {
    let running = yard.start(who, None)?;
    load::wrk(yard, &running, File::OneKib, 64, seconds)?;
    for file in [File::OneKib, File::OneMib] {
        let requests = if file == File::OneKib { 20_000 } else { 500 };
        let asking = Asking {
            protocol: Protocol::Http2,
            file,
            requests,
            connections: 16,
            streams: 8,
        };
        load::h2load(yard, &running, &asking)?;
    }
    Ok(resident_kib(running.worker)? as f64 / 1024.0)
}

const SHORT: u64 = 500;
const LONG: u64 = 2_500;

/// Instructions per request: the difference of two runs over that of their requests.
fn instructions(
    yard: &Yard,
    row: &Row,
    who: Contender,
    protocol: Protocol,
    notes: &mut Vec<String>,
) -> Result<f64> {
    let streams = if protocol == Protocol::Http1 { 1 } else { 8 };
    let mut counts = Vec::new();
    for requests in [SHORT, LONG] {
        let callgrind = Callgrind::new(yard.scratch().join("callgrind"))?;
        let running = yard.start(who, Some(&callgrind))?;
        let asking = Asking {
            protocol,
            file: File::OneKib,
            requests,
            connections: 8,
            streams,
        };
        load::h2load(yard, &running, &asking)?;
        running.stop()?;
        counts.push(callgrind.instructions()?);
        callgrind.keep(&output_folder().join(format!("callgrind.{}.{who}", row.name)))?;
    }
    let [short, long] = counts[..] else {
        bail!("two runs give two counts")
    };
    let each = |short: u64, long: u64| (long as f64 - short as f64) / (LONG - SHORT) as f64;
    if who == Contender::Seawall {
        // The others work by the clock, and a run under callgrind takes long.
        let worker = each(short.1, long.1);
        notes.push(format!("of ours the worker's alone: {worker:.0}"));
    }
    Ok(each(short.0, long.0))
}

/// Instructions per request that are the guard's, in the same way.
fn guard_instructions(
    yard: &Yard,
    row: &Row,
    guarded: Guarded,
    notes: &mut Vec<String>,
) -> Result<f64> {
    let mut counts: Vec<Vec<(Part, f64)>> = Vec::new();
    for requests in [SHORT, LONG] {
        let callgrind = Callgrind::new(yard.scratch().join("callgrind"))?.by_instruction();
        let running = yard.start_with(Contender::Seawall, Some(&callgrind), guarded.template())?;
        let asking = Asking {
            protocol: Protocol::Http1,
            file: File::OneKib,
            requests,
            connections: 8,
            streams: 1,
        };
        load::h2load(yard, &running, &asking)?;
        running.stop()?;
        let binary = yard.binary().context("ours is measured")?;
        counts.push(guard::count(
            &callgrind.profiles()?,
            binary,
            yard.scratch(),
        )?);
        callgrind.keep(&output_folder().join(format!("callgrind.{}.seawall", row.name)))?;
    }
    let [short, long] = &counts[..] else {
        bail!("two runs give two counts")
    };
    let each = |(part, long): &(Part, f64)| {
        let short = short.iter().find(|(other, _)| other == part);
        let more = long - short.map_or(0.0, |(_, count)| *count);
        (*part, more / (LONG - SHORT) as f64)
    };
    let parts: Vec<(Part, f64)> = long.iter().map(each).collect();
    let told = parts
        .iter()
        .map(|(part, count)| format!("{part} {:.0}", count.round() + 0.0));
    notes.push(told.collect::<Vec<_>>().join(", "));
    Ok(parts.iter().map(|(_, count)| count).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_of_two_runs() {
        let samples = [
            Sample {
                cost: 12.0,
                rate: 1.0,
                completed: 1,
            },
            Sample {
                cost: 18.0,
                rate: 1.0,
                completed: 1,
            },
        ];
        assert!((spread(&samples) - 1.5).abs() < 1e-9);
        assert!((spread(&samples[..1]) - 1.0).abs() < 1e-9);
    }
}
