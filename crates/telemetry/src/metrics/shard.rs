//! One thread's counters.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use seawall_model::HttpVersion;

use super::Slugs;
use super::histogram::Histogram;
use super::table::{Kept, METRICS, Metric, Words};
use super::zones::{SLOTS, ZoneSlot};
use crate::{Record, Source};

/// Classes of status: `1xx` to `5xx`, and none.
pub(super) const STATUS_CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];
/// In the order of `HttpVersion`.
pub(super) const HTTP_VERSIONS: [HttpVersion; 4] = [
    HttpVersion::Http10,
    HttpVersion::Http11,
    HttpVersion::Http2,
    HttpVersion::Http3,
];

/// Memory for zones is made for so many at a time, when the first of them is counted.
const ZONES_OF_CHUNK: usize = 32;
const CHUNKS: usize = SLOTS.div_ceil(ZONES_OF_CHUNK);

/// The counters of one worker thread, the only one that writes them; they can move to it, and are never shared.
#[derive(Debug)]
pub struct Shard {
    cells: Arc<Cells>,
    layout: Arc<Layout>,
    one_thread: PhantomData<Cell<()>>,
}

impl Shard {
    pub(super) fn new(cells: Arc<Cells>, layout: Arc<Layout>) -> Self {
        Self {
            cells,
            layout,
            one_thread: PhantomData,
        }
    }

    /// Counts a request that has ended: the one call for each Record.
    #[inline]
    pub fn observe(&self, record: &Record<'_>, zone: ZoneSlot) {
        let cells = &*self.cells;
        if let Some(counts) = cells.zone(zone) {
            let class = counts.requests.get(status_class(record.status));
            if let Some(requests) = class.and_then(|class| class.get(record.http as usize)) {
                add(requests, 1);
            }
            add(&counts.bytes_in, record.bytes_in);
            add(&counts.bytes_out, record.bytes_out);
        }
        cells.request_duration.observe(record.duration_us);
        if let Some(microseconds) = record.origin_us {
            cells.origin_duration.observe(microseconds);
        }
        if let Some(source) = cells.sources.get(record.source as usize) {
            add(source, 1);
        }
        if !record.error.is_empty() {
            self.count(Metric::Errors, record.error);
        }
    }

    /// A connection from a client was accepted; it is open until [`Shard::connection_closed`].
    pub fn connection_accepted(&self) {
        self.change(Metric::ConnectionsAccepted, 1);
        self.change(Metric::ConnectionsOpen, 1);
    }

    /// A connection from a client has ended.
    pub fn connection_closed(&self) {
        self.change(Metric::ConnectionsOpen, -1);
    }

    /// A connection from a client was refused; one of [`Slugs::refusals`].
    pub fn connection_refused(&self, reason: &str) {
        self.count(Metric::ConnectionsRefused, reason);
    }

    /// A TLS handshake has ended; one of [`Slugs::handshakes`], and one of [`Slugs::tls_versions`].
    pub fn tls_handshake(&self, result: &str, version: &str) {
        self.cells.add_at(
            self.layout
                .cell_by_both(Metric::TlsHandshakes, result, version),
            1,
        );
    }

    /// An HTTP/2 connection was closed for what the client did; one of [`Slugs::abuses`].
    pub fn h2_abuse(&self, kind: &str) {
        self.count(Metric::H2Abuse, kind);
    }

    /// A malformed request was refused; one of [`Slugs::rejections`].
    pub fn request_rejected(&self, reason: &str) {
        self.count(Metric::RejectedRequests, reason);
    }

    /// A try to connect to an origin has ended; one of [`Slugs::connects`]. `ok` opens a connection, until
    /// [`Shard::origin_connection_closed`].
    pub fn origin_connect(&self, result: &str) {
        self.count(Metric::OriginConnects, result);
        if result == "ok" {
            self.change(Metric::OriginConnectionsOpen, 1);
        }
    }

    /// A connection to an origin has ended.
    pub fn origin_connection_closed(&self) {
        self.change(Metric::OriginConnectionsOpen, -1);
    }

    /// A request was tried again; one of [`Slugs::retries`].
    pub fn retried(&self, result: &str) {
        self.count(Metric::Retries, result);
    }

    /// An origin was taken out of its pool.
    pub fn origin_ejected(&self) {
        self.change(Metric::OriginEjections, 1);
    }

    /// A connection became a tunnel, until [`Shard::tunnel_closed`].
    pub fn tunnel_opened(&self) {
        self.change(Metric::TunnelsOpen, 1);
    }

    /// A tunnel has ended.
    pub fn tunnel_closed(&self) {
        self.change(Metric::TunnelsOpen, -1);
    }

    fn count(&self, metric: Metric, word: &str) {
        self.cells.add_at(self.layout.cell_by(metric, word), 1);
    }

    fn change(&self, metric: Metric, by: i64) {
        self.cells.add_at(self.layout.first_cell(metric), by as u64);
    }
}

/// Adds to a cell that no other thread writes.
#[inline]
pub(super) fn add(cell: &AtomicU64, more: u64) {
    cell.store(
        cell.load(Ordering::Relaxed).wrapping_add(more),
        Ordering::Relaxed,
    );
}

#[inline]
fn status_class(status: u16) -> usize {
    match status {
        200..300 => 1,
        300..400 => 2,
        400..500 => 3,
        500..600 => 4,
        100..200 => 0,
        _ => 5,
    }
}

/// Figures kept for each zone.
#[derive(Debug, Default)]
pub(super) struct ZoneCounts {
    /// By class of status and version of HTTP.
    pub(super) requests: [[AtomicU64; HTTP_VERSIONS.len()]; STATUS_CLASSES.len()],
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
}

impl ZoneCounts {
    pub(super) const CELLS: usize = HTTP_VERSIONS.len() * STATUS_CLASSES.len() + 2;

    /// One of its numbers, in this order.
    pub(super) fn cell(&self, nth: usize) -> Option<&AtomicU64> {
        let requests = self.requests.iter().flatten();
        requests.chain([&self.bytes_in, &self.bytes_out]).nth(nth)
    }
}

type Chunk = Box<[ZoneCounts; ZONES_OF_CHUNK]>;

/// What a shard's thread writes and the registry reads. Aligned, so that no two threads share a cache line.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Cells {
    pub(super) request_duration: Histogram,
    pub(super) origin_duration: Histogram,
    pub(super) sources: [AtomicU64; Source::ALL.len()],
    zones: [OnceLock<Chunk>; CHUNKS],
    rest: Box<[Line]>,
}

const CELLS_OF_LINE: usize = 16;

/// Some cells on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([AtomicU64; CELLS_OF_LINE]);

impl Cells {
    pub(super) fn new(layout: &Layout) -> Self {
        Self {
            request_duration: Histogram::default(),
            origin_duration: Histogram::default(),
            sources: Default::default(),
            zones: std::array::from_fn(|_| OnceLock::new()),
            rest: (0..layout.cells.div_ceil(CELLS_OF_LINE))
                .map(|_| Line::default())
                .collect(),
        }
    }

    #[inline]
    pub(super) fn zone(&self, slot: ZoneSlot) -> Option<&ZoneCounts> {
        let chunk = self.zones.get(slot.number() / ZONES_OF_CHUNK)?;
        chunk
            .get_or_init(Chunk::default)
            .get(slot.number() % ZONES_OF_CHUNK)
    }

    /// None when no zone near it has been counted in this shard.
    pub(super) fn zone_if_counted(&self, slot: usize) -> Option<&ZoneCounts> {
        self.zones
            .get(slot / ZONES_OF_CHUNK)?
            .get()?
            .get(slot % ZONES_OF_CHUNK)
    }

    pub(super) fn get(&self, at: usize) -> u64 {
        self.cell(at).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    fn add_at(&self, at: usize, more: u64) {
        if let Some(cell) = self.cell(at) {
            add(cell, more);
        }
    }

    pub(super) fn cell(&self, at: usize) -> Option<&AtomicU64> {
        self.rest.get(at / CELLS_OF_LINE)?.0.get(at % CELLS_OF_LINE)
    }
}

/// Which cell is whose; the same in all shards.
#[derive(Debug)]
pub(super) struct Layout {
    /// By metric.
    parts: Vec<Part>,
    cells: usize,
}

/// A metric's cells: a row for each word of the first label, in it a cell for each word of the second.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) first: usize,
    pub(super) rows: Vec<&'static str>,
    pub(super) columns: Vec<&'static str>,
}

const OTHER: &str = "other";

impl Layout {
    pub(super) fn new(slugs: &Slugs) -> Self {
        let mut cells = 0;
        let parts = METRICS
            .iter()
            .map(|def| {
                let (rows, columns) = match def.kept {
                    Kept::Apart | Kept::Process => (Vec::new(), Vec::new()),
                    Kept::Cell => (vec![""], vec![""]),
                    Kept::CellsBy(rows) => (with_other(rows, slugs), vec![""]),
                    Kept::CellsByBoth(rows, columns) => {
                        (with_other(rows, slugs), with_other(columns, slugs))
                    }
                };
                let part = Part {
                    first: cells,
                    rows,
                    columns,
                };
                cells += part.rows.len() * part.columns.len();
                part
            })
            .collect();
        Self { parts, cells }
    }

    pub(super) fn part(&self, metric: Metric) -> Option<&Part> {
        self.parts.get(metric as usize)
    }

    pub(super) fn first_cell(&self, metric: Metric) -> usize {
        self.part(metric).map_or(usize::MAX, |part| part.first)
    }

    fn cell_by(&self, metric: Metric, word: &str) -> usize {
        self.part(metric)
            .map_or(usize::MAX, |part| part.first + place_of(word, &part.rows))
    }

    fn cell_by_both(&self, metric: Metric, row: &str, column: &str) -> usize {
        self.part(metric).map_or(usize::MAX, |part| {
            part.first
                + place_of(row, &part.rows) * part.columns.len()
                + place_of(column, &part.columns)
        })
    }
}

fn with_other(words: Words, slugs: &Slugs) -> Vec<&'static str> {
    let mut list: Vec<&'static str> = Vec::new();
    for word in words(slugs).iter().filter(|&&word| word != OTHER) {
        if !list.contains(word) {
            list.push(word);
        }
    }
    list.push(OTHER);
    list
}

/// The lists are short and what is looked up is rare, so they are walked; the last word is `other`.
fn place_of(word: &str, words: &[&str]) -> usize {
    words
        .iter()
        .position(|&known| known == word)
        .unwrap_or(words.len().saturating_sub(1))
}
