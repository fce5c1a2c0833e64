//! What is printed: a table for people, one JSON object per row for machines, and whether the targets are met.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::contenders::Contender;
use super::measure::{Figures, RowResult};
use super::rows::{Row, Target};

/// A row as lines of text.
pub fn table(row: &Row, result: &RowResult) -> String {
    let mut text = String::new();
    let pairs = pairs(result);
    let counted = if pairs == 1 {
        String::new()
    } else {
        format!(", median of {pairs} pairs [min..max]")
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "\n{} - {} ({}{counted})",
        row.name, row.what, row.unit
    );
    let ours = ours(result);
    for figures in &result.figures {
        let _ = write!(
            text,
            "  {:8} {:>9}",
            figures.who,
            figure(median(&figures.values))
        );
        if pairs > 1 {
            let (least, most) = range(&figures.values);
            let _ = write!(
                text,
                " {:>20}",
                format!("[{}..{}]", figure(least), figure(most))
            );
        }
        if let Some(ours) = ours.filter(|ours| ours.who != figures.who) {
            let ratios = ratios(ours, figures);
            let (least, most) = range(&ratios);
            let _ = write!(text, "  ours/{} {}", figures.who, figure(median(&ratios)));
            if pairs > 1 {
                let _ = write!(text, " [{}..{}]", figure(least), figure(most));
            }
        }
        if !figures.rates.is_empty() {
            let _ = write!(text, "  {:.0} req/s", median(&figures.rates));
        }
        text.push('\n');
    }
    for target in row.targets {
        let verdict = match reached(target, result) {
            Some((value, met)) => {
                format!("{} {}", figure(value), if met { "met" } else { "MISSED" })
            }
            None => "not measured".to_owned(),
        };
        let _ = writeln!(text, "  target {}: {verdict}", describe(target, row.unit));
    }
    for note in &result.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    text
}

/// A row as one JSON object: `{row, ours, peers: {name: {value, ratio}}, unit, pairs, target, met}` and more beside.
pub fn json(row: &Row, result: &RowResult) -> Value {
    let ours = ours(result);
    let mut peers = Map::new();
    for figures in result
        .figures
        .iter()
        .filter(|figures| figures.who != Contender::Seawall)
    {
        let mut peer = described(figures);
        let ratios = ours.map(|ours| ratios(ours, figures)).unwrap_or_default();
        peer.insert(
            "ratio".to_owned(),
            ours.map(|_| rounded(median(&ratios))).into(),
        );
        peer.insert(
            "ratio_range".to_owned(),
            ours.map(|_| rounded_range(&ratios)).into(),
        );
        peers.insert(figures.who.to_string(), Value::Object(peer));
    }
    let targets: Vec<_> = row
        .targets
        .iter()
        .map(|target| describe(target, row.unit))
        .collect();
    json!({
        "row": row.name,
        "what": row.what,
        "unit": row.unit,
        "pairs": pairs(result),
        "ours": ours.map(|ours| rounded(median(&ours.values))),
        "ours_detail": ours.map(described),
        "peers": peers,
        "target": (!targets.is_empty()).then(|| targets.join("; ")),
        "met": met(row, result),
        "notes": result.notes,
    })
}

/// Whether all targets are met; `None` when there are none or ours was not measured.
pub fn met(row: &Row, result: &RowResult) -> Option<bool> {
    let verdicts = row
        .targets
        .iter()
        .map(|target| reached(target, result).map(|(_, met)| met));
    let verdicts: Option<Vec<bool>> = verdicts.collect();
    verdicts
        .filter(|all| !all.is_empty())
        .map(|all| all.into_iter().all(|met| met))
}

/// The value that a target is judged by, and the judgement.
fn reached(target: &Target, result: &RowResult) -> Option<(f64, bool)> {
    let ours = ours(result)?;
    let (value, limit) = match *target {
        Target::AtMost(limit) => (median(&ours.values), limit),
        // Against the cheaper of several the ratio is the largest.
        Target::OfCheaper(limit)
        | Target::Of(_, limit)
        | Target::OfRelay(limit)
        | Target::OfQuinn(limit) => {
            let peers = result
                .figures
                .iter()
                .filter(|figures| target.against().contains(&figures.who));
            let worst = peers
                .map(|peer| median(&ratios(ours, peer)))
                .max_by(f64::total_cmp)?;
            (worst, limit)
        }
    };
    Some((value, value <= limit))
}

fn describe(target: &Target, unit: &str) -> String {
    match target {
        Target::OfCheaper(limit) => format!("<= {limit:.2} of the cheaper of nginx and haproxy"),
        Target::Of(peer, limit) => format!("<= {limit} of {peer}"),
        Target::OfRelay(limit) => format!("<= {limit:.2} of the relay"),
        Target::OfQuinn(limit) => format!("<= {limit:.2} of bare quinn"),
        Target::AtMost(limit) => format!("<= {limit} {unit}"),
    }
}

fn ours(result: &RowResult) -> Option<&Figures> {
    result
        .figures
        .iter()
        .find(|figures| figures.who == Contender::Seawall)
}

fn pairs(result: &RowResult) -> usize {
    result
        .figures
        .first()
        .map_or(0, |figures| figures.values.len())
}

/// Pair by pair: what disturbed the machine then, disturbed both.
fn ratios(ours: &Figures, peer: &Figures) -> Vec<f64> {
    ours.values
        .iter()
        .zip(&peer.values)
        .map(|(ours, peer)| ours / peer)
        .collect()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => (sorted[length / 2 - 1] + sorted[length / 2]) / 2.0,
    }
}

fn range(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (least, most)
}

fn described(figures: &Figures) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("value".to_owned(), rounded(median(&figures.values)).into());
    map.insert("range".to_owned(), rounded_range(&figures.values));
    let rate = (!figures.rates.is_empty()).then(|| median(&figures.rates).round());
    map.insert("requests_per_second".to_owned(), rate.into());
    map
}

fn rounded_range(values: &[f64]) -> Value {
    let (least, most) = range(values);
    json!([rounded(least), rounded(most)])
}

fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// Three or four figures that mean something.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        // A small share.
        size if size > 0.0 && size < 0.1 => format!("{value:.4}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::ROWS;
    use super::*;

    fn row(name: &str) -> &'static Row {
        ROWS.iter()
            .find(|row| row.name == name)
            .expect("a row of the table")
    }

    fn result(all: &[(Contender, &[f64])]) -> RowResult {
        let figures = all.iter().map(|(who, values)| Figures {
            who: *who,
            values: values.to_vec(),
            rates: Vec::new(),
        });
        RowResult {
            figures: figures.collect(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn ratios_are_paired_and_the_cheaper_peer_judges() {
        // Twice as slow in the second pair for everybody: the ratio does not move.
        let result = result(&[
            (Contender::Seawall, &[10.0, 20.0, 10.0]),
            (Contender::Nginx, &[20.0, 40.0, 20.0]),
            (Contender::Haproxy, &[12.5, 25.0, 12.5]),
            (Contender::Relay, &[8.0, 16.0, 8.0]),
        ]);
        let row = row("h1-1k");
        assert_eq!(reached(&row.targets[0], &result), Some((0.8, false)));
        assert_eq!(reached(&row.targets[1], &result), Some((1.25, true)));
        assert_eq!(met(row, &result), Some(false));
        let line = json(row, &result);
        assert_eq!(line["ours"], 10.0);
        assert_eq!(line["peers"]["nginx"]["ratio"], 0.5);
        assert_eq!(line["peers"]["haproxy"]["value"], 12.5);
        assert_eq!((&line["pairs"], &line["met"]), (&json!(3), &json!(false)));
        assert!(table(row, &result).contains("MISSED"));
    }

    #[test]
    fn without_ours_nothing_is_judged() {
        let result = result(&[(Contender::Nginx, &[20.0]), (Contender::Haproxy, &[12.5])]);
        let line = json(row("h2tls-1k"), &result);
        assert!(line["ours"].is_null() && line["met"].is_null());
        assert!(line["peers"]["nginx"]["ratio"].is_null());
        assert!(table(row("h2tls-1k"), &result).contains("not measured"));
    }

    #[test]
    fn absolute_targets() {
        let result = result(&[(Contender::Seawall, &[19.5]), (Contender::Nginx, &[15.1])]);
        assert_eq!(met(row("idle-h1-tls"), &result), Some(true));
        assert_eq!(met(row("instructions-h2tls-1k"), &result), None);
    }
}
