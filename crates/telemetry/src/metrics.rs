//! Counters of the data plane: each worker thread counts for itself, whoever asks gets the sums.
//!
//! A [`Shard`] belongs to one thread, the only one that ever writes to its cells; so counting is a load and a store, and no
//! cache line is fought over. The [`Registry`] knows all shards and sums them when asked. All metrics are declared in one
//! list, [`table::METRICS`], from which the text for Prometheus and the reference are made.
//!
//! Memory is bounded whatever comes: labels take values from fixed lists only, and zones beyond [`MAX_ZONES`] share the
//! label `other`.
//!
//! Not here: figures of one zone's stages or origins (their rooms keep those), and push to anywhere.

pub mod histogram;
pub mod render;
mod shard;
mod stages;
pub mod table;
mod totals;
mod zones;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use crate::log;
pub use shard::Shard;
use shard::{Cells, Layout};
pub use stages::{STAGE_METRICS, StageFigure, StageMetric};
use zones::Zones;
pub use zones::{MAX_ZONES, ZoneSlot};

/// The words that labels may take, besides `other` for any word that is not in its list.
#[derive(Clone, Copy, Debug)]
pub struct Slugs {
    /// What a Record's `error` says.
    pub errors: &'static [&'static str],
    /// Why a connection was refused.
    pub refusals: &'static [&'static str],
    /// How a TLS handshake ended.
    pub handshakes: &'static [&'static str],
    /// Versions of TLS.
    pub tls_versions: &'static [&'static str],
    /// What a peer did to be cut off on HTTP/2.
    pub abuses: &'static [&'static str],
    /// Why a request was malformed.
    pub rejections: &'static [&'static str],
    /// How a try to connect to an origin ended.
    pub connects: &'static [&'static str],
    /// How a retry ended.
    pub retries: &'static [&'static str],
}

/// The `Proxy-Status` error types of RFC 9209 §2.3 that a reverse proxy can meet.
pub const PROXY_STATUS_ERRORS: &[&str] = &[
    "dns_timeout",
    "dns_error",
    "destination_not_found",
    "destination_unavailable",
    "destination_ip_prohibited",
    "destination_ip_unroutable",
    "connection_refused",
    "connection_terminated",
    "connection_timeout",
    "connection_read_timeout",
    "connection_write_timeout",
    "connection_limit_reached",
    "tls_protocol_error",
    "tls_certificate_error",
    "tls_alert_received",
    "http_request_error",
    "http_request_denied",
    "http_response_incomplete",
    "http_response_header_section_size",
    "http_response_header_size",
    "http_response_body_size",
    "http_response_trailer_section_size",
    "http_response_trailer_size",
    "http_response_transfer_coding",
    "http_response_content_coding",
    "http_response_timeout",
    "http_upgrade_failed",
    "http_protocol_error",
    "proxy_internal_response",
    "proxy_internal_error",
    "proxy_configuration_error",
    "proxy_loop_detected",
];

impl Default for Slugs {
    fn default() -> Self {
        Self {
            errors: PROXY_STATUS_ERRORS,
            refusals: &[
                "connection_limit",
                "client_limit",
                "no_descriptors",
                "no_memory",
                "draining",
            ],
            handshakes: &["ok", "failed", "timeout"],
            tls_versions: &["TLSv1.2", "TLSv1.3"],
            abuses: &[
                "rapid_reset",
                "made_you_reset",
                "continuation_flood",
                "settings_flood",
                "ping_flood",
                "empty_data_flood",
                "header_bomb",
                "window_stall",
            ],
            rejections: &[],
            connects: &[
                "ok",
                "refused",
                "timeout",
                "unreachable",
                "dns",
                "tls",
                "prohibited",
            ],
            retries: &["ok", "failed", "budget_spent"],
        }
    }
}

/// What this build is.
#[derive(Clone, Copy, Debug)]
pub struct BuildInfo {
    /// The version of the release.
    pub version: &'static str,
    /// The commit it was built from, or empty.
    pub commit: &'static str,
}

/// What is kept of responses, as the cache tells it.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "METRICS says what each one is")]
pub struct CacheTold {
    pub memory_bytes: u64,
    pub memory_entries: u64,
    pub disk_bytes: u64,
    pub disk_entries: u64,
    pub index_bytes: u64,
    pub written: u64,
    pub read: u64,
    pub queue_full: u64,
    pub failing: u64,
    pub reads_full: u64,
    pub share: u64,
    pub bad: u64,
    pub failed: u64,
}

/// Who asks the cache.
struct AskCache(Box<dyn Fn() -> CacheTold + Send + Sync>);

impl std::fmt::Debug for AskCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AskCache")
    }
}

/// All counters of a process.
#[derive(Debug)]
pub struct Registry {
    cache: OnceLock<AskCache>,
    layout: Arc<Layout>,
    shards: Mutex<Vec<Arc<Cells>>>,
    zones: Mutex<Zones>,
    log: OnceLock<Arc<log::Status>>,
    /// Counters that another process handed over: one more shard, which no thread writes.
    taken: OnceLock<Arc<Cells>>,
    /// Its lines of the access log, written and dropped.
    taken_lines: [AtomicU64; 2],
    build: BuildInfo,
    started: Instant,
}

impl Registry {
    /// One without shards, whose uptime begins now.
    pub fn new(slugs: &Slugs, build: BuildInfo) -> Arc<Self> {
        Arc::new(Self {
            layout: Arc::new(Layout::new(slugs)),
            shards: Mutex::default(),
            zones: Mutex::default(),
            log: OnceLock::new(),
            cache: OnceLock::new(),
            taken: OnceLock::new(),
            taken_lines: Default::default(),
            build,
            started: Instant::now(),
        })
    }

    /// The counters of one more worker thread. They stay when the thread ends.
    pub fn shard(&self) -> Shard {
        let cells = Arc::new(Cells::new(&self.layout));
        held(&self.shards).push(Arc::clone(&cells));
        Shard::new(cells, Arc::clone(&self.layout))
    }

    /// The slot under which a zone is counted, by its stable id; `name` is what its label says. To be asked once per zone and
    /// snapshot, not per request. A zone keeps its slot, also when it is renamed, until the process ends; one that takes the
    /// name of an earlier one, without being it, goes on with its counters, because a label may occur only once.
    pub fn zone_slot(&self, id: &str, name: &str) -> ZoneSlot {
        held(&self.zones).slot(id, name)
    }

    /// Shows an access log's lines among the metrics. The first one stays.
    pub fn watch_log(&self, status: &Arc<log::Status>) {
        let _ = self.log.set(Arc::clone(status));
    }

    /// Shows what a cache tells among the metrics. The first one stays.
    pub fn watch_cache(&self, ask: impl Fn() -> CacheTold + Send + Sync + 'static) {
        let _ = self.cache.set(AskCache(Box::new(ask)));
    }

    fn cache_told(&self) -> CacheTold {
        self.cache.get().map(|ask| ask.0()).unwrap_or_default()
    }

    /// Connections from clients that are open now, over all threads.
    pub fn connections_open(&self) -> u64 {
        self.sum_of(table::Metric::ConnectionsOpen)
    }

    /// Requests that have ended in this process, over all threads.
    pub fn requests(&self) -> u64 {
        let shards = held(&self.shards);
        let sources = shards.iter().flat_map(|cells| &cells.sources);
        sources.fold(0, |sum, source| {
            sum.wrapping_add(source.load(std::sync::atomic::Ordering::Relaxed))
        })
    }

    fn sum_of(&self, metric: table::Metric) -> u64 {
        let cell = self.layout.first_cell(metric);
        // Wrapping, because a gauge may go up in one thread and down in another.
        let sum = held(&self.shards)
            .iter()
            .fold(0u64, |sum, cells| sum.wrapping_add(cells.get(cell)));
        (sum as i64).max(0) as u64
    }
}

/// A lock whose holder panicked is as good as any: all values in here are valid at any time.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
