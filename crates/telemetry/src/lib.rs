//! One [`Record`] per request; log lines and metrics derive from it.
//!
//! ```text
//! worker thread: Record ─┬─► LogBuffer ─ full or aged block ─► writer thread ─► file, rotated by size
//!                        └─► Shard (this thread's counters) ◄─ sums ─ render ◄─ GET /metrics
//! ```
//!
//! A worker thread keeps one [`Stamp`], one [`Rays`], one [`LogBuffer`] and one [`Shard`]; nothing on a request's way
//! takes a lock, waits, or allocates in the steady state. What cannot be kept up with is dropped and counted.
//!
//! Not here: clocks and randomness on a request's way (the time of a Record, the seed of the ray ids come in as
//! arguments), sockets (whoever serves `/metrics` calls [`render`]), and judging what a request deserved.

pub mod log;
pub mod metrics;
pub mod record;
pub mod stamp;

pub use log::{AccessLog, LogBuffer, LogConfig, LogError, LogTarget};
pub use metrics::render::{reference_markdown, render};
pub use metrics::{
    BuildInfo, CacheTold, Registry, STAGE_METRICS, Shard, Slugs, StageFigure, StageMetric, ZoneSlot,
};
pub use record::{Ray, Rays, Record, Source};
pub use stamp::Stamp;
