//! Rows that a program of ours measures: examples of the rooms, built as what people run is, and read by what they print.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::contenders::Yard;
use super::process::run_tool;
use super::rows::Row;
use super::workspace;

/// More runs than this tell nothing more: the programs take medians themselves.
pub const MOST_RUNS: usize = 3;

/// An example of one of the rooms, which measures what no client sees by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// Lookups in a set of networks: the slowest of its medians.
    Networks,
    /// Compiling a document from nothing.
    CompileCold,
    /// Compiling a document of which one zone changed.
    CompileOne,
    /// Reading and compiling a million zones from disk, up to the swap.
    ZonesStart,
    /// What they hold, each.
    ZonesMemory,
    /// One of them becomes another one.
    ZonesChange,
    /// Finding one of them by its host, which is in the caches, beside finding the only one.
    ZonesLookup,
    /// What fuel is worth in the stages: the furthest from 1 ns, as a factor.
    FuelOfStages,
    /// The same, of the language of rules.
    FuelOfRules,
    /// Edges that wait, told of something published.
    FanOut,
    /// All zones brought to an edge that has nothing.
    Resync,
    /// The Core Rule Set over values that are made to cost, on cold caches: the dearest.
    Hostile,
    /// Hit ratios on made-up traces: how far below W-TinyLFU at worst.
    Ratios,
    /// Ten million responses on disk: from a start until what lies there is found.
    IndexStart,
    /// What their index takes.
    IndexMemory,
}

/// Where a program is that measures.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// An example of a package.
    Example(&'static str, &'static str),
    /// A long test of a package's library, built as all tests are: it waits for others more than it computes.
    Test(&'static str, &'static str),
    /// One that computes: with the profile of releases.
    Released(&'static str, &'static str),
}

impl Program {
    /// Whether it checks prices against the clock. They are wrong or right, whatever else the machine does.
    pub fn is_of_fuel(self) -> bool {
        matches!(self, Self::FuelOfStages | Self::FuelOfRules)
    }

    /// Where it is.
    pub fn place(self) -> Place {
        match self {
            Self::Networks => Place::Example("seawall-rules", "networks"),
            Self::CompileCold | Self::CompileOne => Place::Example("seawall-proxy", "compile"),
            Self::ZonesStart | Self::ZonesMemory | Self::ZonesChange | Self::ZonesLookup => {
                Place::Example("seawall-proxy", "zones")
            }
            Self::FuelOfStages => Place::Example("seawall-guard", "fuel"),
            Self::FuelOfRules => Place::Example("seawall-rules", "fuel_of_rules"),
            Self::Hostile => Place::Example("seawall-waf", "hostile"),
            Self::FanOut => Place::Test(
                "seawall",
                "distribution::measured::of_330_who_wait_99_of_100_are_told_within_2_s",
            ),
            Self::Resync => Place::Test(
                "seawall",
                "distribution::measured::a_million_zones_come_within_a_minute",
            ),
            Self::Ratios => Place::Released("seawall-cache", "memory::ratios::ratios"),
            Self::IndexStart | Self::IndexMemory => {
                Place::Released("seawall-cache", "disk::tests::measured::start_of_millions")
            }
        }
    }
}

/// Builds the programs that these rows need, with the profile of releases.
pub fn build(rows: &[&Row]) -> Result<()> {
    let mut places: Vec<_> = rows
        .iter()
        .filter_map(|row| row.program())
        .map(Program::place)
        .collect();
    places.sort_unstable();
    places.dedup();
    for place in places {
        match place {
            Place::Example(package, example) => build_example(package, example)?,
            Place::Test(package, _) => {
                test_of(package, &[])?;
            }
            Place::Released(package, _) => {
                test_of(package, &["--release"])?;
            }
        }
    }
    Ok(())
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.current_dir(workspace());
    command
}

fn build_example(package: &str, example: &str) -> Result<()> {
    let mut command = cargo();
    command.args(["build", "--quiet", "--release", "--locked"]);
    command.args(["--package", package, "--example", example]);
    if !command.status()?.success() {
        bail!("the example {example} of {package} does not build");
    }
    // Examples of two packages may have one name.
    std::fs::copy(built(example), kept(package, example))?;
    Ok(())
}

/// The program that runs the tests of a package's library; built where it is not yet.
fn test_of(package: &str, profile: &[&str]) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["test", "--quiet", "--locked", "--no-run", "--lib"]);
    command.args(["--message-format=json", "--package", package]);
    command.args(profile);
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("the tests of {package} do not build");
    }
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let messages = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let mut programs = messages.filter_map(|message| {
        let is_test = message["profile"]["test"] == true;
        message["executable"]
            .as_str()
            .filter(|_| is_test)
            .map(PathBuf::from)
    });
    programs.next_back().context("no program was built")
}

/// The row's value in each run, and what a reader should know beside.
pub fn measure(yard: &Yard, program: Program, runs: usize) -> Result<(Vec<f64>, Vec<String>)> {
    let mut printed = Vec::new();
    for _ in 0..runs.max(1) {
        printed.push(run(yard, program)?);
    }
    if program.is_of_fuel() {
        // One value of all runs: others on the machine can make work dearer, and never cheaper.
        let (value, notes) = fuel(&printed)?;
        return Ok((vec![value], notes));
    }
    let read = printed.iter().map(|printed| read_one(program, printed));
    let read = read.collect::<Result<Vec<_>>>()?;
    let values = read.iter().map(|(value, _)| *value).collect();
    let notes = read.into_iter().next().map(|(_, notes)| notes);
    Ok((values, notes.unwrap_or_default()))
}

fn run(yard: &Yard, program: Program) -> Result<String> {
    let (name, mut command) = match program.place() {
        Place::Example(package, example) => (example, Command::new(kept(package, example))),
        Place::Test(package, test) => (test, test_alone(&test_of(package, &[])?, test)),
        Place::Released(package, test) => {
            (test, test_alone(&test_of(package, &["--release"])?, test))
        }
    };
    // SAFETY: one system call that is safe between fork and exec.
    unsafe {
        // As the edge does for itself: its memory comes in small pages, and lookups pay for that.
        command.pre_exec(|| match libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let patience = Duration::from_secs(180);
    run_tool(name, command, yard.cpus.proxy, patience, yard.scratch())
}

fn test_alone(program: &Path, test: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    command
}

fn release() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target
        .unwrap_or_else(|| workspace().join("target"))
        .join("release")
}

fn built(example: &str) -> PathBuf {
    release().join("examples").join(example)
}

fn kept(package: &str, example: &str) -> PathBuf {
    release().join(format!("bench-{package}-{example}"))
}

/// Value and notes of one run.
fn read_one(program: Program, printed: &str) -> Result<(f64, Vec<String>)> {
    match program {
        Program::Networks => networks(printed),
        Program::CompileCold => compile(printed, "cold"),
        Program::CompileOne => compile(printed, "one zone changed"),
        Program::ZonesStart => zones(printed, "start"),
        Program::ZonesMemory => zones(printed, "each"),
        Program::ZonesChange => zones(printed, "one changed"),
        Program::ZonesLookup => lookup(printed),
        Program::FuelOfStages | Program::FuelOfRules => fuel(&[printed]),
        Program::Hostile => hostile(printed),
        Program::FanOut => measured(printed, "p99"),
        Program::Ratios => measured(printed, "at worst"),
        Program::IndexStart => measured(printed, "ready"),
        Program::IndexMemory => measured(printed, "index"),
        Program::Resync => measured(printed, "1000000 zones from nothing"),
    }
    .with_context(|| format!("{program:?} printed:\n{printed}"))
}

/// From lines as `IPv4 hits: 90 ns a lookup`.
fn networks(printed: &str) -> Result<(f64, Vec<String>)> {
    let mut worst: Option<f64> = None;
    let mut told = Vec::new();
    for line in printed.lines() {
        let Some(figure) = line.strip_suffix(" ns a lookup") else {
            continue;
        };
        let (_, nanos) = figure.split_once(": ").context("no figure")?;
        let nanos: f64 = nanos.parse()?;
        worst = Some(worst.map_or(nanos, |worst| worst.max(nanos)));
        told.push(figure.to_owned());
    }
    let first = printed.lines().next().unwrap_or_default().to_owned();
    let notes = vec![format!("{} ns", told.join(", ")), first];
    Ok((worst.context("no lookup")?, notes))
}

/// From lines as `10000 plain zones, cold: 90.5 ms`: those of plain zones are the row's, the others notes.
fn compile(printed: &str, wanted: &str) -> Result<(f64, Vec<String>)> {
    let mut value = None;
    let mut notes = Vec::new();
    for line in printed.lines().filter_map(|line| line.strip_suffix(" ms")) {
        let Some((what, millis)) = line.split_once(": ") else {
            continue;
        };
        let Some(zones) = what.strip_suffix(wanted) else {
            continue;
        };
        if zones.contains(" plain ") {
            value = Some(millis.parse()?);
        } else {
            notes.push(format!("{what}: {millis} ms"));
        }
    }
    Ok((value.context("no plain zones")?, notes))
}

/// From lines as `measured: 330 edges are told, p99 = 90.5 ms`: one is the row's, the others are notes.
fn measured(printed: &str, wanted: &str) -> Result<(f64, Vec<String>)> {
    let mut value = None;
    let mut notes = Vec::new();
    for line in printed.lines() {
        let Some((what, figure)) = line
            .split_once("measured: ")
            .and_then(|(_, said)| said.split_once(" = "))
        else {
            continue;
        };
        let number = figure.split(' ').next().unwrap_or_default();
        match what.ends_with(wanted) {
            true => value = Some(number.parse()?),
            false => notes.push(format!("{what}: {figure}")),
        }
    }
    Ok((value.context("nothing was measured")?, notes))
}

/// From lines as `hostile: soup, paranoia 4, 16 KiB: 12.50 ms of fuel in 11.00 ms`: the dearest is the row's, all are notes.
fn hostile(printed: &str) -> Result<(f64, Vec<String>)> {
    let mut dearest: Option<f64> = None;
    let mut notes = Vec::new();
    for line in printed.lines() {
        let Some(said) = line.strip_prefix("hostile: ") else {
            continue;
        };
        notes.push(said.to_owned());
        let figure = said
            .split_once(", 16 KiB: ")
            .and_then(|(_, figure)| figure.split_once(" ms of fuel"));
        if let Some((figure, _)) = figure {
            let figure: f64 = figure.parse()?;
            dearest = Some(dearest.map_or(figure, |dearest| dearest.max(figure)));
        }
    }
    Ok((dearest.context("no value of 16 KiB")?, notes))
}

/// From lines as `1000000 zones, start: 9000 ms`: one is the row's, the others are notes.
fn zones(printed: &str, wanted: &str) -> Result<(f64, Vec<String>)> {
    let mut value = None;
    let mut notes = Vec::new();
    for line in printed.lines() {
        let Some((what, figure)) = line.split_once(": ") else {
            continue;
        };
        let number = figure.split(' ').next().and_then(|word| word.parse().ok());
        match what.split_once(" zones, ") {
            Some((_, what)) if what == wanted && value.is_none() => value = number,
            Some(_) => notes.push(line.to_owned()),
            None => {}
        }
    }
    Ok((value.context("no such figure")?, notes))
}

/// From lines as `1000000 zones, lookup of one host: 34.0 ns` and `1 zones, lookup of one host: 24.0 ns`: the row is their ratio, all
/// are notes.
fn lookup(printed: &str) -> Result<(f64, Vec<String>)> {
    let (mut among, mut alone): (Option<f64>, Option<f64>) = (None, None);
    let mut notes = Vec::new();
    for line in printed.lines() {
        let Some((zones, what)) = line.split_once(" zones, ") else {
            continue;
        };
        notes.push(line.to_owned());
        let nanos = what
            .strip_prefix("lookup of one host: ")
            .and_then(|figure| figure.strip_suffix(" ns"));
        let Some(nanos) = nanos else {
            continue;
        };
        match zones {
            "1" => alone = Some(nanos.parse()?),
            _ => among = Some(nanos.parse()?),
        }
    }
    let (among, alone) = among.zip(alone).context("not both lookups")?;
    if alone <= 0.0 {
        bail!("a lookup in no time");
    }
    Ok((among / alone, notes))
}

/// From lines that end in nanoseconds, units, and nanoseconds for each unit: of each kind of work the least of all runs.
fn fuel<P: AsRef<str>>(runs: &[P]) -> Result<(f64, Vec<String>)> {
    let mut kinds: BTreeMap<&str, f64> = BTreeMap::new();
    for line in runs.iter().flat_map(|printed| printed.as_ref().lines()) {
        let Some((name, figures)) = line.split_at_checked(32) else {
            continue;
        };
        // Behind the figures may be a remark.
        let mut words = figures.split_whitespace().map(str::parse::<f64>);
        let (Some(Ok(_)), Some(Ok(_)), Some(Ok(each))) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let least = kinds.entry(name.trim()).or_insert(each);
        *least = least.min(each);
    }
    let each = || kinds.values().copied();
    let (least, most) = (each().reduce(f64::min), each().reduce(f64::max));
    let (least, most) = least.zip(most).context("no figures")?;
    let all = format!(
        "{} kinds of work, {least:.2} to {most:.2} ns a unit",
        kinds.len()
    );
    let off = kinds
        .iter()
        .filter(|(_, each)| !(0.5..=2.0).contains(*each));
    let off = off.map(|(name, each)| format!("OFF: {name} {each:.2} ns a unit"));
    let notes = std::iter::once(all).chain(off).collect();
    Ok((most.max(1.0 / least.max(0.001)), notes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_are_judged_by_the_slowest() {
        let printed = "built of 5\nIPv4 hits: 90 ns a lookup\nIPv6 hits: 120 ns a lookup\n";
        let (value, notes) = networks(printed).expect("parses");
        assert_eq!(value, 120.0);
        assert_eq!(notes[0], "IPv4 hits: 90, IPv6 hits: 120 ns");
        assert!(networks("nothing").is_err());
    }

    #[test]
    fn compiling_is_judged_by_plain_zones() {
        let printed = "  parsed 12 bytes in 3ms\n10 plain zones, cold: 90.5 ms\n\
            10 plain zones, one zone changed: 2.5 ms\n10 guarded zones, cold: 190.5 ms\n";
        let (value, notes) = compile(printed, "cold").expect("parses");
        assert_eq!(value, 90.5);
        assert_eq!(notes, ["10 guarded zones, cold: 190.5 ms"]);
        assert_eq!(compile(printed, "one zone changed").expect("parses").0, 2.5);
    }

    #[test]
    fn hostile_values_are_judged_by_the_dearest() {
        let printed = "hostile: soup, paranoia 1, 16 KiB: 12.50 ms of fuel in 11.00 ms\n\
            hostile: soup, paranoia 4, 16 KiB: 29.10 ms of fuel in 31.00 ms, then refused\n\
            hostile: a pattern, 1 x: 90.00 ms of fuel\nwarmed\n";
        let (value, notes) = hostile(printed).expect("parses");
        assert_eq!((value, notes.len()), (29.1, 3));
        assert!(hostile("nothing").is_err());
    }

    #[test]
    fn zones_are_judged_by_the_figure_asked_for() {
        let printed = "10 zones, start: 12 ms\n10 zones, lookup of one host: 47.1 ns\n\
            1 zones, lookup of one host: 40 ns\n";
        let (value, notes) = zones(printed, "lookup of one host").expect("parses");
        assert_eq!(value, 47.1);
        assert_eq!(
            notes,
            [
                "10 zones, start: 12 ms",
                "1 zones, lookup of one host: 40 ns"
            ]
        );
        assert!(zones(printed, "each").is_err());
    }

    #[test]
    fn a_lookup_among_many_zones_is_judged_by_that_of_one() {
        let printed = "10 zones, start: 12 ms\n10 zones, lookup of all hosts: 900.5 ns\n\
            10 zones, lookup of one host: 36.0 ns\n1 zones, lookup of one host: 24.0 ns\nended\n";
        let (value, notes) = lookup(printed).expect("parses");
        assert_eq!((value, notes.len()), (1.5, 4));
        assert_eq!(notes[2], "10 zones, lookup of one host: 36.0 ns");
        let alone = "1 zones, lookup of one host: 24.0 ns\n";
        assert!(lookup(alone).is_err());
        assert!(lookup("10 zones, lookup of one host: 36.0 ns\n").is_err());
    }

    #[test]
    fn what_a_test_has_measured_is_found_among_what_it_says() {
        let printed = "running 1 test\nmeasured: 330 edges are told, p50 = 9.5 ms\n\
            measured: 330 edges are told, p99 = 90.5 ms\ntest a ... ok\n";
        let (value, notes) = measured(printed, "p99").expect("parses");
        assert_eq!(value, 90.5);
        assert_eq!(notes, ["330 edges are told, p50: 9.5 ms"]);
        assert!(measured(printed, "p98").is_err());
    }

    #[test]
    fn fuel_is_judged_by_the_furthest_from_one() {
        let row = |name: &str, figures: &str| format!("{name:<32} {figures}\n");
        let printed = row("", "ns units ns/unit")
            + &row("cheap", "11.6 11 0.40")
            + &row("right", "20.8 15 1.39 compiled in 3ms");
        let (value, notes) = fuel(&[&printed]).expect("parses");
        assert_eq!(value, 2.5);
        assert_eq!(notes[0], "2 kinds of work, 0.40 to 1.39 ns a unit");
        assert_eq!(notes[1], "OFF: cheap 0.40 ns a unit");
        assert!(fuel(&[""]).is_err());
        // A run that was disturbed shows nothing; one that was not, all.
        let disturbed = row("cheap", "33 11 3.00") + &row("right", "30 15 2.01");
        assert_eq!(fuel(&[&disturbed]).expect("parses").0, 3.0);
        assert_eq!(fuel(&[&disturbed, &printed]).expect("parses").0, 2.5);
    }
}
