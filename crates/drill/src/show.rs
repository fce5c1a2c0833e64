//! What a terminal shows while a drill runs: who is on which version, how many requests are right in each ring, what has happened.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::io::Write as _;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::bed::{Bed, Edge};
use crate::drills::Drill;
use crate::ledger::{Ledger, Ring};
use crate::site::VICTIM;
use crate::timeline::{Event, Kind};

/// Between two pictures.
const EVERY: Duration = Duration::from_millis(300);
/// A terminal that does not tell its size: lines and columns.
const USUAL: (usize, usize) = (24, 80);
/// Lines of a picture beside those of locations and of events.
const OTHER_LINES: usize = 5;

/// Pictures, until they are ended. They have a screen of their own: what was on the terminal before is there after them.
pub struct Show {
    ended: Rc<Cell<bool>>,
    last: Rc<RefCell<String>>,
    live: Rc<Cell<bool>>,
}

impl Show {
    /// Begins, on a terminal. `live` is so while they are shown.
    pub fn start(bed: &Rc<Bed>, drill: &'static Drill, live: &Rc<Cell<bool>>) -> Self {
        let show = Self {
            ended: Rc::default(),
            last: Rc::default(),
            live: live.clone(),
        };
        write("\x1b[?1049h\x1b[H\x1b[2J");
        live.set(true);
        let (bed, ended, last) = (bed.clone(), show.ended.clone(), show.last.clone());
        tokio::task::spawn_local(async move {
            while !ended.get() {
                let stand = stand(&bed).await;
                if !ended.get() {
                    let ledger = bed.shared.ledger.borrow();
                    let text = picture(drill, &ledger, &stand, &bed.timeline.events(), size());
                    // In place of the picture before it.
                    let lines = text.trim_end().replace('\n', "\x1b[K\r\n");
                    write(&format!("\x1b[H{lines}\x1b[K\x1b[J"));
                    *last.borrow_mut() = text;
                }
                tokio::time::sleep(EVERY).await;
            }
        });
        show
    }

    /// No more pictures; the last one stays.
    pub fn end(&self) {
        self.leave();
        write(&self.last.take());
    }

    fn leave(&self) {
        if !self.ended.replace(true) {
            write("\x1b[?1049l");
            self.live.set(false);
        }
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        // Whoever interrupts it has the terminal back too.
        self.leave();
    }
}

/// What a location runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stand {
    /// The version of what all zones share.
    platform: String,
    /// That of the victim.
    victim: String,
    /// What is on trial, and what is switched off.
    beside: String,
}

async fn stand(bed: &Bed) -> Vec<Stand> {
    let mut all = Vec::new();
    for edge in &bed.edges {
        all.push(read(&Edge::state(edge.admin.get()).await));
    }
    all
}

/// What an edge tells, as it is shown; that it tells nothing too.
fn read(state: &Value) -> Stand {
    let short = |value: Option<&Value>| {
        let text = value.and_then(Value::as_str).unwrap_or("-");
        text.chars().take(8).collect::<String>()
    };
    let zones = state.get("zones").and_then(Value::as_object);
    let Some(zones) = zones else {
        return Stand {
            platform: "away".into(),
            victim: "away".into(),
            ..Stand::default()
        };
    };
    let tried: Vec<&String> = zones
        .iter()
        .filter(|(_, zone)| zone.get("candidate").is_some_and(Value::is_string))
        .map(|(name, _)| name)
        .collect();
    // What all zones share counts as one thing; its zones are on trial with it.
    let of_all = state.get("platform_on_trial").and_then(Value::as_u64);
    let mut beside = match (of_all, tried.as_slice()) {
        (Some(share), _) => format!("tries what all share, {share} % "),
        (None, []) => String::new(),
        (None, [one]) => format!("tries {one} "),
        (None, many) => format!("tries {} zones ", many.len()),
    };
    let switches = state.get("switches").and_then(Value::as_array);
    for switch in switches.into_iter().flatten() {
        let _ = write!(beside, "without {} ", short(switch.get("stage")));
    }
    Stand {
        platform: short(state.get("version")),
        victim: short(zones.get(VICTIM).and_then(|zone| zone.get("active"))),
        beside,
    }
}

/// A picture that fits into so many lines and columns: first who is on what, then what happened of late.
fn picture(
    drill: &Drill,
    ledger: &Ledger,
    stand: &[Stand],
    events: &[Event],
    (lines, columns): (usize, usize),
) -> String {
    let mut all = vec![
        format!(
            "{} {} ({})",
            drill.id, drill.outage.title, drill.outage.date
        ),
        format!("  {}", drill.injects),
        format!(
            "  {:<8} {:<8} {VICTIM:<9} {:<28} {:>9}  now",
            "", "platform", "", "right"
        ),
    ];
    for (tally, stand) in ledger.locations.iter().zip(stand) {
        let recent = tally.buckets.iter().rev().take(10);
        let (sent, bad) = recent.fold((0, 0), |(sent, bad), counts| {
            (sent + counts.all(), bad + counts.bad())
        });
        all.push(format!(
            "  {:<8} {:<8} {:<9} {:<28.28} {:>7.3} %  {:>2} of {sent}",
            tally.name,
            stand.platform,
            stand.victim,
            stand.beside,
            tally.total.rate() * 100.0,
            sent - bad,
        ));
    }
    let rings = Ring::ALL.map(|ring| {
        let counts = ledger.ring(ring);
        format!(
            "{} {:.3} % of {}",
            ring.name(),
            counts.rate() * 100.0,
            counts.all()
        )
    });
    all.push(format!("  {}", rings.join("   ")));
    let left = lines
        .saturating_sub(OTHER_LINES + ledger.locations.len())
        .max(1);
    let first = events.len().saturating_sub(left);
    all.extend(events.iter().skip(first).map(line));
    let mut text = String::new();
    for line in all {
        // One that is too long would take a second line, and push the first ones out.
        let line = line.chars().filter(|one| !one.is_control());
        text.extend(line.take(columns.saturating_sub(1)));
        text.push('\n');
    }
    text
}

fn line(event: &Event) -> String {
    let mark = match event.kind {
        Kind::Fault => "fault",
        Kind::Detected => "noticed",
        Kind::Reverted => "back",
        Kind::Note => "",
    };
    format!(
        "  {:>6.1} s {mark:<7} {}",
        event.at_ms as f64 / 1_000.0,
        event.what
    )
}

/// Lines and columns of the terminal.
fn size() -> (usize, usize) {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: a number, and a pointer to a struct of ours that outlives the call.
    let told = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    match (told, size.ws_row, size.ws_col) {
        (0, rows @ 1.., columns @ 1..) => (rows.into(), columns.into()),
        _ => USUAL,
    }
}

fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bed::LOCATIONS;
    use crate::drills::named;

    #[test]
    fn a_picture_fits_the_terminal_and_has_every_location_and_the_latest_event() {
        let names = LOCATIONS.iter().map(|(name, ring)| ((*name).into(), *ring));
        let ledger = Ledger::new(names);
        let stand = vec![Stand::default(); LOCATIONS.len()];
        let events: Vec<Event> = (0..40)
            .map(|nth| Event {
                at_ms: nth * 1_000,
                kind: Kind::Fault,
                what: format!("event {nth} {}", "long ".repeat(40)),
            })
            .collect();
        let drill = named("O10d").unwrap();
        for size in [(24, 80), (60, 200)] {
            let text = picture(drill, &ledger, &stand, &events, size);
            assert!(text.lines().count() <= size.0, "{text}");
            assert!(
                text.lines().all(|line| line.chars().count() < size.1),
                "{text}"
            );
            for (name, _) in LOCATIONS {
                assert!(text.contains(name), "{text}");
            }
            assert!(
                text.contains("event 39") && text.starts_with("O10d"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_location_shows_what_all_share_what_is_on_trial_and_what_is_off() {
        let state = serde_json::json!({
            "version": "0123456789",
            "switches": [{"stage": "rules"}],
            "zones": {VICTIM: {"active": "abcdefghij", "candidate": "x"}, "b.test": {"active": "c", "candidate": null}},
        });
        let stand = read(&state);
        assert_eq!((&*stand.platform, &*stand.victim), ("01234567", "abcdefgh"));
        assert_eq!(stand.beside, format!("tries {VICTIM} without rules "));
        assert_eq!(read(&Value::Null).victim, "away");
    }
}
