//! `cargo xtask bench`: what a request costs in Seawall, beside nginx, HAProxy and a bare byte relay.
//!
//! One row per kind of work ([`rows`]), and rows of what only we have: the guard, lists, compiling, fuel. Each contender has one worker on one core; origin and load generator share the
//! other. The method and its pitfalls are in `bench/README.md`; the peers' configurations stand beside it as templates.
//!
//! Not here: latency under overload and scaling over cores. This bench asks for CPU time and memory alone.

mod answer;
mod callgrind;
mod clients;
mod contenders;
mod disk;
mod firewall;
mod guard;
mod host;
mod http3;
mod load;
mod measure;
mod million;
mod process;
mod programs;
mod relay;
mod report;
mod rows;
mod templates;
mod upgrade;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use contenders::Yard;
use million::Million;
use rows::{ROWS, Row, Work};

/// After this, timed rows take no further pair and say so; the untimed ones take about six minutes more.
const BUDGET: Duration = Duration::from_secs(13 * 60);

const USAGE: &str = "usage: cargo xtask bench [OPTIONS]

  --row NAME       only this row; may be repeated (without it: all)
  --pairs N        interleaved pairs per timed row (7)
  --quick          3 pairs of short runs: shows a direction, proves nothing
  --json           one JSON object per row on stdout instead of the table; JSON=1 does the same
  --enforce        exit 1 when any target is missed (without it: when one of the rows of fuel is)
  --binary FILE    the seawall to measure (target/release/seawall)
  --without-ours   the peers alone
  --keep           keep the temporary folder with configurations and logs";

/// Runs the bench with the arguments after `bench`.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    if let [inner, rest @ ..] = arguments
        && inner == "relay"
    {
        return relay::run(rest);
    }
    match arguments {
        [inner, rest @ ..] if inner == "quinn" => return http3::serve(rest),
        [inner, rest @ ..] if inner == "h3load" => return http3::load(rest),
        _ => {}
    }
    let Some(options) = Options::parse(arguments)? else {
        println!("{USAGE}\n\nrows:");
        for row in ROWS {
            println!("  {:22} {}", row.name, row.what);
        }
        return Ok(ExitCode::SUCCESS);
    };
    host::require_tools()?;
    let ours = options.our_binary()?;
    let results_file = options.results_file()?;
    if ours.is_some() {
        // Before this thread is bound to one core.
        programs::build(&options.rows)?;
    }
    host::note_interruptions();
    host::raise_descriptor_limit();
    let cpus = host::Cpus::choose()?;
    host::pin_this_thread(cpus.load)?;
    let _weight = host::Weight::raise();

    let yard = Yard::open(cpus, ours, options.keep)?;
    let plan = measure::Plan {
        pairs: options.pairs,
        seconds: if options.quick { 1 } else { 2 },
        deadline: Instant::now() + BUDGET,
        change: {
            let mut rows = options.rows.iter();
            rows.any(|row| row.work == Work::Million(Million::Live))
        },
    };
    let mut kept = std::fs::File::create(&results_file)?;
    let (mut missed, mut wrong) = (false, false);
    for row in &options.rows {
        let contenders = yard.contenders(row);
        let result = measure::row(&yard, row, &contenders, &plan)
            .with_context(|| format!("row {}", row.name))?;
        let line = report::json(row, &result);
        writeln!(kept, "{line}")?;
        if options.json {
            println!("{line}");
        } else {
            print!("{}", report::table(row, &result));
        }
        let misses = report::met(row, &result) == Some(false);
        missed |= misses;
        wrong |= misses && row.must_hold();
    }
    eprintln!("bench: rows kept in {}", results_file.display());
    Ok(if wrong || (missed && options.enforce) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What the command line asked for.
struct Options {
    rows: Vec<&'static Row>,
    pairs: usize,
    quick: bool,
    json: bool,
    enforce: bool,
    without_ours: bool,
    binary: Option<PathBuf>,
    keep: bool,
}

impl Options {
    /// `None` when help was asked for.
    fn parse(arguments: &[String]) -> Result<Option<Self>> {
        let mut options = Self {
            rows: Vec::new(),
            pairs: 0,
            quick: false,
            json: std::env::var("JSON").is_ok_and(|value| value == "1"),
            enforce: false,
            without_ours: false,
            binary: None,
            keep: false,
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || {
                rest.next()
                    .with_context(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--row" => {
                    let name = value()?;
                    let row = ROWS.iter().find(|row| row.name == name);
                    options
                        .rows
                        .push(row.with_context(|| format!("no row named {name:?}\n{USAGE}"))?);
                }
                "--pairs" => options.pairs = value()?.parse().context("--pairs takes a number")?,
                "--binary" => options.binary = Some(PathBuf::from(value()?)),
                "--quick" => options.quick = true,
                "--json" => options.json = true,
                "--enforce" => options.enforce = true,
                "--without-ours" => options.without_ours = true,
                "--keep" => options.keep = true,
                "--help" | "-h" => return Ok(None),
                unknown => bail!("no option {unknown:?}\n{USAGE}"),
            }
        }
        if options.rows.is_empty() {
            options.rows = ROWS.iter().collect();
        }
        if options.pairs == 0 {
            options.pairs = if options.quick { 3 } else { 7 };
        }
        Ok(Some(options))
    }

    fn our_binary(&self) -> Result<Option<PathBuf>> {
        if self.without_ours {
            return Ok(None);
        }
        let built = || match std::env::var_os("CARGO_TARGET_DIR") {
            Some(target) => PathBuf::from(target).join("release/seawall"),
            None => workspace().join("target/release/seawall"),
        };
        let binary = self.binary.clone().unwrap_or_else(built);
        if !binary.exists() {
            bail!(
                "{} is missing: `cargo build --release -p seawall` first, or measure the peers with --without-ours",
                binary.display()
            );
        }
        Ok(Some(binary.canonicalize()?))
    }

    /// Where the rows are kept as JSON lines, beside callgrind's profiles.
    fn results_file(&self) -> Result<PathBuf> {
        let folder = output_folder();
        std::fs::create_dir_all(&folder)?;
        Ok(folder.join("rows.jsonl"))
    }
}

/// The folder that holds the workspace's `Cargo.toml`.
fn workspace() -> PathBuf {
    let mut folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.pop();
    folder
}

/// `bench/out`, which git ignores.
fn output_folder() -> PathBuf {
    workspace().join("bench/out")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Options>> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Options::parse(&words)
    }

    #[test]
    fn all_rows_and_seven_pairs_unless_told() {
        let options = parse(&[])
            .expect("no argument is needed")
            .expect("not help");
        assert_eq!((options.rows.len(), options.pairs), (ROWS.len(), 7));
    }

    #[test]
    fn quick_takes_three_pairs_unless_told() {
        let pairs = |words: &[&str]| parse(words).expect("parses").expect("not help").pairs;
        assert_eq!(pairs(&["--quick"]), 3);
        assert_eq!(pairs(&["--quick", "--pairs", "5"]), 5);
    }

    #[test]
    fn rows_come_in_the_order_asked_for_and_unknown_ones_are_refused() {
        let options = parse(&["--row", "rss", "--row", "h1-1k"])
            .expect("parses")
            .expect("not help");
        let names: Vec<_> = options.rows.iter().map(|row| row.name).collect();
        assert_eq!(names, ["rss", "h1-1k"]);
        assert!(parse(&["--row", "h9"]).is_err());
        assert!(parse(&["--row"]).is_err());
        assert!(parse(&["--fast"]).is_err());
    }
}
