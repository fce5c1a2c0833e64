//! The plot of a drill: the share of right requests over time, by ring, with what happened; and under it, on an axis of its own, what happened
//! in the real outage. One drawing of SVG, without scripts. Pure.

use std::fmt::Write as _;

use crate::ledger::{BUCKET_MS, Ledger, Ring};
use crate::outage::Outage;
use crate::timeline::{Event, Kind};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
/// The share of right requests, from top to bottom.
const TOP: f64 = 52.0;
const BOTTOM: f64 = 252.0;
/// Lines for what marks are called, and the room that one takes.
const LABEL_LINES: usize = 3;
const LABEL: f64 = 56.0;
/// Parts of the axis of time: what stands at two of its ends does not touch.
const PARTS: u64 = 3;
/// Points of the plot that are averaged: half a second.
const SMOOTH: usize = 5;
/// The real outage begins below that.
const REAL: f64 = 322.0;
/// Between two lines of words.
const LINE: f64 = 16.0;

/// The colour of a ring's line. They differ in lightness too, and each line has its name beside it.
const fn colour(ring: Ring) -> &'static str {
    match ring {
        Ring::Canary => "#b45309",
        Ring::Early => "#0e7490",
        Ring::Late => "#1e3a8a",
    }
}

/// The width of its line: where all are the same each is seen beside those above it.
const fn width(ring: Ring) -> u8 {
    match ring {
        Ring::Canary => 7,
        Ring::Early => 4,
        Ring::Late => 2,
    }
}

/// Draws it.
pub fn svg(ledger: &Ledger, events: &[Event], outage: &Outage, speed: u32) -> String {
    let last = events.last().map_or(0, |event| event.at_ms);
    let end = ledger
        .locations
        .iter()
        .map(|tally| tally.buckets.len())
        .max();
    let end = (end.unwrap_or(0) as u64 * BUCKET_MS).max(last).max(1);
    let height = REAL + 60.0 + outage.timeline.len() as f64 * LINE;
    let mut text = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Requests right over time, by ring, and the timeline of the real outage\" xmlns=\"http://www.w3.org/2000/svg\">\n"
    );
    axes(&mut text, end, speed);
    let x = |ms: u64| LEFT + (WIDTH - LEFT - RIGHT) * ms as f64 / end as f64;
    for (nth, ring) in Ring::ALL.into_iter().enumerate() {
        line(&mut text, ledger, ring, &x);
        let at = LEFT + 8.0 + nth as f64 * 90.0;
        let _ = writeln!(
            text,
            "<rect x=\"{at}\" y=\"{:.0}\" width=\"14\" height=\"4\" fill=\"{}\"/><text x=\"{:.0}\" y=\"{:.0}\">{}</text>",
            BOTTOM + 32.0,
            colour(ring),
            at + 20.0,
            BOTTOM + 38.0,
            ring.name()
        );
    }
    let mut taken = [f64::NEG_INFINITY; LABEL_LINES];
    for event in events.iter().filter(|event| event.kind != Kind::Note) {
        mark(&mut text, x(event.at_ms), event.kind, &mut taken);
    }
    real(&mut text, outage);
    text.push_str("</svg>\n");
    text
}

fn axes(text: &mut String, end: u64, speed: u32) {
    for percent in [0, 25, 50, 75, 100] {
        let y = y(f64::from(percent) / 100.0);
        let _ = writeln!(
            text,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"end\" x=\"{:.0}\" y=\"{:.1}\">{percent} %</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0
        );
    }
    for nth in 0..=PARTS {
        let ms = end * nth / PARTS;
        let x = LEFT + (WIDTH - LEFT - RIGHT) * nth as f64 / PARTS as f64;
        let class = if nth == PARTS { "end" } else { "mid" };
        let _ = writeln!(
            text,
            "<text class=\"{class}\" x=\"{x:.0}\" y=\"{:.0}\">{:.0} s ({})</text>",
            BOTTOM + 16.0,
            ms as f64 / 1_000.0,
            tempo(ms * u64::from(speed) / 1_000)
        );
    }
}

/// Seconds of tempo time, as people say them.
fn tempo(seconds: u64) -> String {
    match seconds {
        0 => "start".into(),
        1..120 => format!("{seconds} s at speed 1"),
        _ => format!("{} min at speed 1", seconds / 60),
    }
}

fn y(share: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * share
}

fn line(text: &mut String, ledger: &Ledger, ring: Ring, x: &impl Fn(u64) -> f64) {
    let counts = ledger.over_time(ring);
    let mut points = String::new();
    for (nth, part) in counts.chunks(SMOOTH).enumerate() {
        let (all, right) = part.iter().fold((0, 0), |(all, right), counts| {
            (all + counts.all(), right + counts.right)
        });
        if all > 0 {
            let middle = (nth * SMOOTH + part.len() / 2) as u64 * BUCKET_MS;
            let share = right as f64 / all as f64;
            let _ = write!(points, "{:.1},{:.1} ", x(middle), y(share));
        }
    }
    let _ = writeln!(
        text,
        "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" points=\"{}\"/>",
        colour(ring),
        width(ring),
        points.trim_end()
    );
}

/// A mark, with its word on the first line that has room for it; `taken` is how far each of them is.
fn mark(text: &mut String, x: f64, kind: Kind, taken: &mut [f64; LABEL_LINES]) {
    let (class, word) = match kind {
        Kind::Fault => ("fault", "fault"),
        Kind::Detected => ("noticed", "noticed"),
        Kind::Reverted => ("back", "back"),
        Kind::Note => return,
    };
    let _ = writeln!(
        text,
        "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>"
    );
    // Where there is no room the line alone says it, by its colour; all of it is in the table below.
    let free = taken
        .iter_mut()
        .enumerate()
        .find(|(_, end)| **end <= x - LABEL / 2.0);
    if let Some((line, end)) = free {
        *end = x + LABEL / 2.0;
        let y = TOP - 6.0 - LINE * line as f64;
        // The last one ends where the plot does.
        let at = x.min(WIDTH - LABEL / 2.0);
        let _ = writeln!(
            text,
            "<text class=\"mid {class}\" x=\"{at:.1}\" y=\"{y:.0}\">{word}</text>"
        );
    }
}

/// What happened then, on a line as long as that outage was.
fn real(text: &mut String, outage: &Outage) {
    let last = outage.timeline.last().map_or(0, |(minute, _)| *minute);
    let end = f64::from(outage.minutes.max(last).max(1));
    let right = WIDTH - RIGHT;
    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"{:.0}\" class=\"strong\">{}: {} minutes</text><line class=\"axis\" x1=\"{LEFT}\" x2=\"{right:.0}\" y1=\"{:.0}\" y2=\"{:.0}\"/>",
        REAL,
        outage.date,
        outage.minutes,
        REAL + 16.0,
        REAL + 16.0
    );
    for (nth, (minute, what)) in outage.timeline.iter().enumerate() {
        let x = LEFT + (right - LEFT) * f64::from(*minute) / end;
        let _ = writeln!(
            text,
            "<circle cx=\"{x:.1}\" cy=\"{:.0}\" r=\"4\" class=\"dot\"/><text x=\"{LEFT}\" y=\"{:.0}\">minute {minute}: {}</text>",
            REAL + 16.0,
            REAL + 40.0 + nth as f64 * LINE,
            escaped(what)
        );
    }
}

/// As text of a page.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Judged, Note};
    use crate::outage::O1;

    #[test]
    fn a_plot_has_a_line_for_each_ring_and_a_dot_for_each_thing_that_happened() {
        let names = Ring::ALL.map(|ring| (ring.name().to_owned(), ring));
        let mut ledger = Ledger::new(names.into_iter());
        for nth in 0..300 {
            ledger.note(&Note {
                sent: nth * 10,
                ended: nth * 10,
                location: (nth % 3) as usize,
                zone: "z",
                judged: Judged::Right,
                why: "",
            });
        }
        let events = [Event {
            at_ms: 1_000,
            kind: Kind::Fault,
            what: "<fault>".into(),
        }];
        let svg = svg(&ledger, &events, &O1, 20);
        assert_eq!(svg.matches("<polyline").count(), 3);
        assert_eq!(svg.matches("<circle").count(), O1.timeline.len());
        assert_eq!(svg.matches("class=\"fault\"").count(), 1);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(escaped("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }

    #[test]
    fn words_of_marks_that_are_near_one_another_stand_on_lines_of_their_own() {
        let at = |at_ms, kind| Event {
            at_ms,
            kind,
            what: String::new(),
        };
        let events = [
            at(5_000, Kind::Fault),
            at(5_010, Kind::Detected),
            at(5_020, Kind::Reverted),
            at(5_030, Kind::Fault),
            at(20_000, Kind::Fault),
        ];
        let svg = svg(&Ledger::default(), &events, &O1, 20);
        let words = svg
            .lines()
            .filter(|line| line.starts_with("<text class=\"mid "));
        let words = words.filter(|line| !line.contains(" s ("));
        let heights: Vec<&str> = words.filter_map(|line| line.split("y=\"").nth(1)).collect();
        assert_eq!(heights.len(), 4, "{svg}");
        assert_eq!(svg.matches("<line class=\"fault\"").count(), 3);
        let lines = heights.iter().map(|text| text.split('"').next().unwrap());
        assert_eq!(lines.collect::<Vec<_>>(), ["46", "30", "14", "46"]);
    }

    #[test]
    fn a_drill_that_saw_nothing_is_drawn_too() {
        let svg = svg(&Ledger::default(), &[], &O1, 1);
        assert!(!svg.contains("NaN"), "{svg}");
    }
}
