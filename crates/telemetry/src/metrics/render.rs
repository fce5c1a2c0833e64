//! Metrics as text: for Prometheus (format 0.0.4), and for people who want to know which there are.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::STAGE_METRICS;
use super::histogram::{self, Histogram, Sums};
use super::shard::{Cells, HTTP_VERSIONS, STATUS_CLASSES, ZoneCounts};
use super::table::{METRICS, Metric, MetricDef};
use super::{Registry, held};
use crate::Source;

/// The `Content-Type` of [`render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the operating system says of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// Since it began.
    pub uptime: Duration,
    /// Memory in use; 0 when unknown.
    pub resident_bytes: u64,
}

/// Appends all metrics in Prometheus' text format, with this process's uptime and memory.
pub fn render(registry: &Registry, out: &mut String) {
    let process = Process {
        uptime: registry.started.elapsed(),
        resident_bytes: resident_bytes(),
    };
    render_with(registry, process, out);
}

/// Appends all metrics in Prometheus' text format.
pub fn render_with(registry: &Registry, process: Process, out: &mut String) {
    let shards = held(&registry.shards).clone();
    let page = Page {
        registry,
        shards,
        process,
        cache: registry.cache_told(),
    };
    for def in METRICS {
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "# HELP {} {}\n# TYPE {} {}",
            def.name,
            def.help,
            def.name,
            def.kind.name()
        );
        page.samples(def, out);
    }
}

/// The metrics as a table in Markdown, for the reference.
pub fn reference_markdown() -> String {
    let mut out = String::from("| Metric | Kind | Labels | What it says |\n|---|---|---|---|\n");
    for def in METRICS {
        let labels: Vec<String> = def
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            def.name,
            def.kind.name(),
            labels.join(", "),
            def.help
        );
    }
    for def in STAGE_METRICS {
        let label = if def.figure.is_some() { "`stage`" } else { "" };
        let (name, kind, help) = (def.name, def.kind.name(), def.help);
        let _ = writeln!(out, "| `{name}` | {kind} | {label} | {help} |");
    }
    out
}

/// Bytes of memory that this process holds, from `/proc`; 0 when there is no telling.
pub fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    // SAFETY: takes and gives numbers only.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages * u64::try_from(page).unwrap_or(0)
}

struct Page<'a> {
    registry: &'a Registry,
    shards: Vec<Arc<Cells>>,
    process: Process,
    cache: super::CacheTold,
}

impl Page<'_> {
    fn samples(&self, def: &MetricDef, out: &mut String) {
        let [written, dropped] = self.registry.log_lines();
        match def.metric {
            Metric::Requests => self.requests(def, out),
            Metric::BytesIn => {
                self.by_zone(def, |counts| counts.bytes_in.load(Ordering::Relaxed), out)
            }
            Metric::BytesOut => {
                self.by_zone(def, |counts| counts.bytes_out.load(Ordering::Relaxed), out)
            }
            Metric::RequestDuration => self.histogram(def, |cells| &cells.request_duration, out),
            Metric::OriginDuration => self.histogram(def, |cells| &cells.origin_duration, out),
            Metric::Sources => self.sources(def, out),
            Metric::LogLines => whole(out, def, &[], written),
            Metric::LogDropped => whole(out, def, &[], dropped),
            Metric::CacheBytes => {
                whole(out, def, &["memory"], self.cache.memory_bytes);
                whole(out, def, &["disk"], self.cache.disk_bytes);
            }
            Metric::CacheEntries => {
                whole(out, def, &["memory"], self.cache.memory_entries);
                whole(out, def, &["disk"], self.cache.disk_entries);
            }
            Metric::CacheIndexBytes => whole(out, def, &[], self.cache.index_bytes),
            Metric::CacheDisk => {
                for (what, number) in [
                    ("written", self.cache.written),
                    ("read", self.cache.read),
                    ("queue_full", self.cache.queue_full),
                    ("failing", self.cache.failing),
                    ("reads_full", self.cache.reads_full),
                    ("share", self.cache.share),
                    ("bad", self.cache.bad),
                    ("failed", self.cache.failed),
                ] {
                    whole(out, def, &[what], number);
                }
            }
            Metric::BuildInfo => {
                whole(
                    out,
                    def,
                    &[self.registry.build.version, self.registry.build.commit],
                    1,
                );
            }
            Metric::Uptime => {
                sample(out, def.name, def.labels, &[]);
                seconds(
                    out,
                    u64::try_from(self.process.uptime.as_micros()).unwrap_or(u64::MAX),
                );
                out.push('\n');
            }
            Metric::ResidentBytes => whole(out, def, &[], self.process.resident_bytes),
            Metric::Errors
            | Metric::ConnectionsOpen
            | Metric::ConnectionsAccepted
            | Metric::ConnectionsRefused
            | Metric::TlsHandshakes
            | Metric::H2Abuse
            | Metric::RejectedRequests
            | Metric::OriginConnectionsOpen
            | Metric::OriginConnects
            | Metric::Retries
            | Metric::OriginEjections
            | Metric::TunnelsOpen => self.cells(def, out),
        }
    }

    /// Only what has been counted: most zones never use most of the combinations.
    fn requests(&self, def: &MetricDef, out: &mut String) {
        let zones = held(&self.registry.zones);
        for (slot, zone) in zones.names().iter().enumerate() {
            for (class, class_name) in STATUS_CLASSES.iter().enumerate() {
                for (version, http) in HTTP_VERSIONS.iter().enumerate() {
                    let sum = self.sum_of_zone(slot, |counts| {
                        let cell = counts
                            .requests
                            .get(class)
                            .and_then(|class| class.get(version));
                        cell.map_or(0, |cell| cell.load(Ordering::Relaxed))
                    });
                    if sum > 0 {
                        whole(out, def, &[zone, class_name, http.name()], sum);
                    }
                }
            }
        }
    }

    fn by_zone(&self, def: &MetricDef, figure: impl Fn(&ZoneCounts) -> u64, out: &mut String) {
        let zones = held(&self.registry.zones);
        for (slot, zone) in zones.names().iter().enumerate() {
            let sum = self.sum_of_zone(slot, &figure);
            if sum > 0 {
                whole(out, def, &[zone], sum);
            }
        }
    }

    fn sum_of_zone(&self, slot: usize, figure: impl Fn(&ZoneCounts) -> u64) -> u64 {
        let counts = self
            .shards
            .iter()
            .filter_map(|shard| shard.zone_if_counted(slot));
        counts.fold(0, |sum, counts| sum.wrapping_add(figure(counts)))
    }

    fn sources(&self, def: &MetricDef, out: &mut String) {
        for source in Source::ALL {
            let cells = self
                .shards
                .iter()
                .filter_map(|shard| shard.sources.get(source as usize));
            let sum = cells
                .map(|cell| cell.load(Ordering::Relaxed))
                .fold(0, u64::wrapping_add);
            whole(out, def, &[source.name()], sum);
        }
    }

    fn cells(&self, def: &MetricDef, out: &mut String) {
        let Some(part) = self.registry.layout.part(def.metric) else {
            return;
        };
        let mut cell = part.first;
        for row in &part.rows {
            for column in &part.columns {
                let sum = self
                    .shards
                    .iter()
                    .fold(0u64, |sum, shard| sum.wrapping_add(shard.get(cell)));
                // A gauge that is read between two threads' halves of one change may seem negative.
                let sum = (sum as i64).max(0) as u64;
                whole(out, def, &[row, column], sum);
                cell += 1;
            }
        }
    }

    fn histogram(&self, def: &MetricDef, of: impl Fn(&Cells) -> &Histogram, out: &mut String) {
        let mut sums = Sums::default();
        self.shards
            .iter()
            .for_each(|shard| of(shard).add_to(&mut sums));
        let mut count = 0u64;
        for (bucket, observed) in sums.buckets.iter().enumerate() {
            count += observed;
            let _ = write!(out, "{}_bucket{{le=\"", def.name);
            match histogram::bound(bucket) {
                Some(microseconds) => seconds(out, microseconds),
                None => out.push_str("+Inf"),
            }
            let _ = writeln!(out, "\"}} {count}");
        }
        let _ = write!(out, "{}_sum ", def.name);
        seconds(out, sums.sum_us);
        let _ = writeln!(out, "\n{}_count {count}", def.name);
    }
}

/// One sample of a whole number.
fn whole(out: &mut String, def: &MetricDef, values: &[&str], number: u64) {
    sample(out, def.name, def.labels, values);
    let _ = writeln!(out, "{number}");
}

/// Name and labels of a sample, up to its value.
fn sample(out: &mut String, name: &str, labels: &[&str], values: &[&str]) {
    out.push_str(name);
    let mut before = '{';
    for (label, value) in labels.iter().zip(values) {
        out.push(before);
        before = ',';
        out.push_str(label);
        out.push_str("=\"");
        label_value(out, value);
        out.push('"');
    }
    if before == ',' {
        out.push('}');
    }
    out.push(' ');
}

/// A label's value with the three escapes of the format.
fn label_value(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

/// Microseconds as seconds, without zeros at the end.
fn seconds(out: &mut String, microseconds: u64) {
    let _ = write!(
        out,
        "{}.{:06}",
        microseconds / 1_000_000,
        microseconds % 1_000_000
    );
    out.truncate(out.trim_end_matches('0').trim_end_matches('.').len());
}
