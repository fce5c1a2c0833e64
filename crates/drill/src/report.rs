//! The report: one page of HTML that needs nothing else, with a plot of each drill beside the timeline of the real outage. Pure.

use std::fmt::Write as _;

use crate::drills::Drill;
use crate::ledger::Ledger;
use crate::plot::{self, escaped};
use crate::timeline::Event;
use crate::verdict::{Outcome, percent};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;color:#1f2937;background:#fff;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:3rem;border-top:1px solid #d1d5db;padding-top:1rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #e5e7eb;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.word{font-weight:600}.contained{color:#166534}.not{color:#b91c1c}.void{color:#6b7280}
svg{width:100%;height:auto;font:12px system-ui,sans-serif}svg text{fill:#374151}svg .end{text-anchor:end}svg .mid{text-anchor:middle}svg .strong{font-weight:600}
svg .grid{stroke:#e5e7eb}svg .axis{stroke:#6b7280}svg line.fault{stroke:#b91c1c;stroke-dasharray:4 3}svg line.noticed{stroke:#6b7280;stroke-dasharray:2 3}
svg line.back{stroke:#166534}svg text.fault{fill:#b91c1c}svg text.back{fill:#166534}svg .dot{fill:#b91c1c}
@media(prefers-color-scheme:dark){body{color:#e5e7eb;background:#111827}td,th{border-color:#374151}svg text{fill:#d1d5db}svg .grid{stroke:#374151}
.contained,svg text.back{color:#4ade80;fill:#4ade80}.not,svg text.fault{color:#f87171;fill:#f87171}svg polyline{filter:brightness(1.8)}}";

/// A drill that was run.
pub struct Told {
    /// Which.
    pub drill: &'static Drill,
    /// What became of it.
    pub outcome: Outcome,
    /// What clients saw.
    pub ledger: Ledger,
    /// What happened.
    pub events: Vec<Event>,
}

/// The page.
pub fn html(told: &[Told]) -> String {
    let contained = told.iter().filter(|one| one.outcome.contained).count();
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Outages, re-enacted</title><style>{STYLE}</style></head>\n<body><h1>Outages, re-enacted</h1>\n<p>{contained} of {} contained. Each drill ran a control and twelve edges on one machine, under load; what is shown is what their clients saw.</p>\n",
        told.len()
    );
    text.push_str("<table><thead><tr><th>Drill</th><th></th><th class=\"n\">right</th><th class=\"n\">in canary locations</th><th class=\"n\">requests</th><th class=\"n\">taken back after</th></tr></thead><tbody>\n");
    for one in told {
        row(&mut text, one);
    }
    text.push_str("</tbody></table>\n");
    for one in told {
        section(&mut text, one);
    }
    text.push_str("</body></html>\n");
    text
}

/// The class of its word, and the word.
fn word(outcome: &Outcome) -> (&'static str, &'static str) {
    let class = match outcome.word() {
        "contained" => "contained",
        "not contained" => "not",
        _ => "void",
    };
    (class, outcome.word())
}

fn row(text: &mut String, one: &Told) {
    let outcome = &one.outcome;
    let (class, word) = word(outcome);
    let back = match outcome.reverted_after_s {
        Some(after) => format!("{after:.1} s"),
        None => "–".into(),
    };
    let _ = writeln!(
        text,
        "<tr><td><a href=\"#{0}\">{0}</a></td><td class=\"word {class}\">{word}</td><td class=\"n\">{1}</td><td class=\"n\">{2}</td><td class=\"n\">{3}</td><td class=\"n\">{back}</td></tr>",
        escaped(&outcome.id),
        percent(outcome.sr_global),
        percent(outcome.sr_canary),
        outcome.requests
    );
}

fn section(text: &mut String, one: &Told) {
    let (outcome, outage) = (&one.outcome, one.drill.outage);
    let (class, word) = word(outcome);
    let _ = writeln!(
        text,
        "<h2 id=\"{0}\">{0}: {1} <span class=\"word {class}\">{word}</span></h2>\n<p>{2} <small>(From {5}.)</small></p>\n<p><b>Injected here:</b> {3}.<br><b>Stopped by:</b> {4}.</p>",
        escaped(&outcome.id),
        escaped(outage.title),
        escaped(outage.what),
        escaped(one.drill.injects),
        escaped(one.drill.stopped_by),
        escaped(outage.source)
    );
    text.push_str(&plot::svg(&one.ledger, &one.events, outage, outcome.speed));
    let _ = writeln!(
        text,
        "<p>{} requests, {} of them not right; {:.0} s at speed {}.</p>",
        outcome.requests, outcome.bad, outcome.took_s, outcome.speed
    );
    if let Some(loss) = &outcome.loss {
        let _ = writeln!(
            text,
            "<p>Measured apart: {} locations gave no right answer for a while, {:.1} s on average and {:.1} s at most.</p>",
            loss.locations, loss.mean_s, loss.longest_s
        );
    }
    list(text, outcome.why.iter().map(String::as_str), "Why");
    let claims = outcome.claims.iter().map(|claim| {
        let held = if claim.held { "yes" } else { "NO" };
        format!("{}: {held}", claim.what)
    });
    let claims: Vec<String> = claims.collect();
    list(text, claims.iter().map(String::as_str), "What must hold");
    text.push_str("<table><tbody>\n");
    for event in &one.events {
        let _ = writeln!(
            text,
            "<tr><td class=\"n\">{:.1} s</td><td>{}</td></tr>",
            event.at_ms as f64 / 1_000.0,
            escaped(&event.what)
        );
    }
    text.push_str("</tbody></table>\n");
}

fn list<'t>(text: &mut String, items: impl Iterator<Item = &'t str>, title: &str) {
    let items: Vec<String> = items
        .map(|item| format!("<li>{}</li>", escaped(item)))
        .collect();
    if !items.is_empty() {
        let _ = writeln!(text, "<p><b>{title}</b></p><ul>{}</ul>", items.concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drills::DRILLS;
    use crate::verdict::{Seen, judge};

    #[test]
    fn a_page_has_each_drill_and_needs_nothing_from_elsewhere() {
        let told: Vec<Told> = DRILLS
            .iter()
            .map(|drill| Told {
                drill,
                outcome: judge(drill.id, &Ledger::default(), &Seen::default(), 20),
                ledger: Ledger::default(),
                events: Vec::new(),
            })
            .collect();
        let page = html(&told);
        assert_eq!(page.matches("<h2 ").count(), DRILLS.len());
        assert_eq!(page.matches("<svg ").count(), DRILLS.len());
        // Of a drill without a bed nothing was right.
        assert!(!page.contains("100.000 %"), "{page}");
        for word in ["src=", "<script", "@import", "url(", "<link"] {
            assert!(!page.contains(word), "{word}");
        }
        let elsewhere = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("http"), "it leads elsewhere");
    }
}
