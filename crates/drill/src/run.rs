//! Runs drills, one after the other, each on a bed of its own, and tells what became of them.

use std::cell::Cell;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::bed::{Bed, Setting};
use crate::busy::Busy;
use crate::drills::{DRILLS, Drill, Found, InAll, chosen};
use crate::error::Void;
use crate::guardian;
use crate::ledger::Ledger;
use crate::machine;
use crate::report::{self, Told};
use crate::show::Show;
use crate::timeline::{Event, Kind, Timeline};
use crate::verdict::{Outcome, Seen, judge, percent};

/// After a drill has done its part, clients are watched for so long.
const AFTER: Duration = Duration::from_millis(1_500);
/// The longest that a drill may take, on the wall: one that hangs is void.
const LONGEST: Duration = Duration::from_secs(1_800);

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Drills, or outages.
    pub ids: Vec<String>,
    /// All of them.
    pub all: bool,
    /// Only tell which there are.
    pub list: bool,
    /// What every time is divided by.
    pub speed: u32,
    /// A line of JSON for each.
    pub json: bool,
    /// Where a report is to be written.
    pub report: Option<PathBuf>,
    /// The folder of a bed that is to be guarded: what a drill starts beside itself.
    pub guard: Option<PathBuf>,
    /// The safeguard of each drill is to be off.
    #[cfg(feature = "unsafe-drills")]
    pub twin: bool,
}

/// How all of it ended, as an exit code: 0 all contained, 1 one was not, 2 one said nothing or could not be run.
pub type Code = u8;

/// Does what is asked, with the program of which a bed is made.
///
/// # Errors
/// What keeps it from being done, with what can be done.
pub fn run(options: &Options, program: &Path) -> Result<Code, String> {
    if let Some(folder) = &options.guard {
        return guardian::guard(folder).map(|()| 0);
    }
    if options.list {
        let drills = if options.all || !options.ids.is_empty() {
            which(options)?
        } else {
            DRILLS.iter().collect()
        };
        list(&drills, options.json);
        return Ok(0);
    }
    let drills = which(options)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "what is looked at is the disk, and nothing is made there"
    )]
    let temporary = std::env::temp_dir();
    machine::look(&temporary).map_err(|error| error.to_string())?;
    let page = options.report.as_deref().map(Page::at).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let mut told = Vec::new();
    let mut code = 0;
    for drill in drills {
        let local = tokio::task::LocalSet::new();
        let one = local.block_on(&runtime, one(drill, options, program));
        // All that ran for it ends with it: clients, origin, watchers.
        drop(local);
        let Some(one) = one else {
            return Err(format!(
                "interrupted: nothing of the bed is left; {} of the drills had ended",
                told.len()
            ));
        };
        tell(&one.outcome, options.json);
        code = code.max(one.outcome.code());
        told.push(one);
        if let Some(page) = &page {
            page.write(&told)?;
        }
    }
    Ok(code)
}

/// The file of the report. What is written to it after each drill stays, however the next ones end.
struct Page<'p> {
    path: &'p Path,
}

impl<'p> Page<'p> {
    /// Who has waited for all of them is to have it: that it can be written is looked at first.
    fn at(path: &'p Path) -> Result<Self, String> {
        let is_new = !path.exists();
        let opened = File::options().append(true).create(true).open(path);
        opened.map_err(|error| format!("{}: {error}", path.display()))?;
        if is_new {
            // Nothing is there until there is something to say.
            let _ = std::fs::remove_file(path);
        }
        Ok(Self { path })
    }

    fn write(&self, told: &[Told]) -> Result<(), String> {
        let written = std::fs::write(self.path, report::html(told));
        written.map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

fn which(options: &Options) -> Result<Vec<&'static Drill>, String> {
    if options.all {
        let all = DRILLS.iter().filter(|drill| match drill.in_all {
            InAll::Yes => true,
            #[cfg(feature = "unsafe-drills")]
            InAll::Apart => options.twin,
            _ => false,
        });
        return Ok(all.collect());
    }
    let mut all = Vec::new();
    for id in &options.ids {
        let some = chosen(id);
        if some.is_empty() {
            return Err(format!(
                "there is no drill {id:?}: `seawall drill --list` shows those that there are"
            ));
        }
        for drill in some {
            // Named twice is meant once.
            if !all.iter().any(|known: &&Drill| known.id == drill.id) {
                all.push(drill);
            }
        }
    }
    if all.is_empty() {
        return Err("name drills, or say --all; `seawall drill --list` shows them".into());
    }
    Ok(all)
}

fn list(drills: &[&Drill], json: bool) {
    for drill in drills {
        if json {
            let line = serde_json::json!({
                "id": drill.id,
                "date": drill.outage.date,
                "title": drill.outage.title,
                "injects": drill.injects,
                "stopped_by": drill.stopped_by,
                "in_all": drill.in_all == InAll::Yes,
            });
            print(format_args!("{line}"));
            continue;
        }
        let note = match drill.in_all {
            InAll::Yes => "",
            InAll::AsPart => " (a part of one that --all has)",
            InAll::Apart => " (measured apart: not in --all)",
        };
        print(format_args!(
            "{:<14} {}  {}\n{:<14} {}{note}",
            drill.id, drill.outage.date, drill.outage.title, "", drill.injects
        ));
    }
}

/// One drill; none when somebody interrupts it.
async fn one(drill: &'static Drill, options: &Options, program: &Path) -> Option<Told> {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return None;
    };
    let terminal = !options.json && std::io::stdout().is_terminal();
    let json = options.json;
    let live = Rc::new(Cell::new(false));
    let shown = live.clone();
    let timeline = Timeline::new(Rc::new(move |event: &Event| {
        // A picture shows it itself.
        if !shown.get() {
            progress(json, drill.id, event);
        }
    }));
    timeline.note(
        Kind::Note,
        format!(
            "{} ({}): the bed comes up",
            drill.outage.title, drill.outage.date
        ),
    );
    let setting = Setting {
        program: program.to_owned(),
        speed: options.speed.max(1),
        copies: drill.copies,
        #[cfg(feature = "unsafe-drills")]
        without: options.twin.then(|| drill.safeguard.name().to_owned()),
    };
    tokio::select! {
        told = on_a_bed(drill, &setting, timeline, terminal.then_some(&live)) => Some(told),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    }
}

async fn on_a_bed(
    drill: &'static Drill,
    setting: &Setting,
    timeline: Timeline,
    live: Option<&Rc<Cell<bool>>>,
) -> Told {
    let mut seen = Seen {
        apart: drill.in_all == InAll::Apart,
        ..Seen::default()
    };
    let mut ledger = Ledger::default();
    let busy = Busy::since_now();
    match Bed::start(setting, timeline.clone()).await {
        Err(void) => seen.void = Some(void.to_string()),
        Ok(bed) => {
            timeline.note(Kind::Note, "the bed is well, and under load");
            let bed = Rc::new(bed);
            let show = live.map(|live| Show::start(&bed, drill, live));
            let found = tokio::time::timeout(LONGEST, (drill.run)(&bed)).await;
            let found = found.unwrap_or_else(|_| {
                Err(Void::NotInjected("the drill did not come to an end".into()))
            });
            match found {
                Ok(Found { claims, reverts }) => {
                    (seen.claims, seen.reverts) = (claims, reverts);
                    tokio::time::sleep(AFTER).await;
                }
                Err(void) => seen.void = Some(void.to_string()),
            }
            bed.shared.counts.set(false);
            seen.reverted = bed.reverted.get();
            seen.stalled = bed.shared.stalls.wrong.get();
            seen.others = busy.others(&bed.folder);
            ledger = bed.shared.ledger.borrow().clone();
            if let Some(show) = show {
                show.end();
            }
        }
    }
    seen.took_ms = timeline.now();
    let outcome = judge(drill.id, &ledger, &seen, setting.speed);
    Told {
        drill,
        outcome,
        ledger,
        events: timeline.events(),
    }
}

fn progress(json: bool, id: &str, event: &Event) {
    let line = format!(
        "{id:<10} {:>7.1} s  {}",
        event.at_ms as f64 / 1_000.0,
        event.what
    );
    // Who reads JSON reads nothing else there.
    if json {
        let _ = writeln!(std::io::stderr(), "{line}");
    } else {
        print(format_args!("{line}"));
    }
}

fn tell(outcome: &Outcome, json: bool) {
    if json {
        let line = serde_json::to_string(outcome).unwrap_or_default();
        return print(format_args!("{line}"));
    }
    let word = match outcome.code() {
        0 => outcome.word().to_owned(),
        _ => outcome.word().to_uppercase(),
    };
    let back = match outcome.reverted_after_s {
        Some(after) => {
            format!(", taken back {after:.1} s of tempo time after the first bad answer")
        }
        None => String::new(),
    };
    print(format_args!(
        "{:<10} {word}: {} of {} requests right ({} in canary locations){back}; {:.0} s at speed {}",
        outcome.id,
        percent(outcome.sr_global),
        outcome.requests,
        percent(outcome.sr_canary),
        outcome.took_s,
        outcome.speed
    ));
    if let Some(loss) = &outcome.loss {
        print(format_args!(
            "           {} locations gave no right answer for a while: {:.1} s on average, {:.1} s at most",
            loss.locations, loss.mean_s, loss.longest_s
        ));
    }
    for why in &outcome.why {
        print(format_args!("           {why}"));
    }
}

/// To standard output; that nobody reads it is no reason to end.
pub fn print(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_that_is_named_twice_runs_once() {
        let options = Options {
            ids: ["O10a", "O10", "o10A"].map(String::from).to_vec(),
            ..Options::default()
        };
        let ids: Vec<&str> = which(&options)
            .unwrap()
            .iter()
            .map(|drill| drill.id)
            .collect();
        assert_eq!(ids.len(), 7);
        assert_eq!(ids.first(), Some(&"O10a"));
    }

    #[test]
    fn a_report_without_a_drill_leaves_no_file_and_never_takes_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        Page::at(&path).unwrap();
        assert!(!path.exists());
        Page::at(&path).unwrap().write(&[]).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("<html"));
        Page::at(&path).unwrap();
        assert!(path.exists(), "it was there before");
    }
}
