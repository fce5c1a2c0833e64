//! The cache in a request's life: before an origin is asked, when its answer comes, and what a client gets of what is stored.
//!
//! What is stored is what the origin sent. A zone's edits, its response stages and its compression come over each answer anew, so
//! that a change of configuration holds for what was stored before it. What may be stored and served is decided in
//! [`seawall_cache::policy`]; here is only who asks, and when.

mod background;
mod give;
mod look;
mod way;

use std::sync::Arc;

use seawall_cache::cache::Cache;
use seawall_cache::memory::Size;
use seawall_cache::policy::{EdgeTtl, Plan, Time};
use seawall_model::document::CacheMode;

pub use way::Way;

use crate::thread::unix_us;

/// Of a hundred, what one zone may have of the memory.
const ZONE_SHARE: u8 = 50;
/// In the mode `everything`, how long a response is fresh that says nothing of it, in seconds.
const UNSAID: u32 = 120;

/// What a zone's mode makes of its requests.
pub fn plan(mode: CacheMode) -> Option<Plan> {
    match mode {
        CacheMode::Off => None,
        CacheMode::Standard => Some(Plan::STANDARD),
        CacheMode::Everything => Some(Plan {
            heuristics: true,
            edge_ttl: EdgeTtl::Default(UNSAID),
            ..Plan::STANDARD
        }),
    }
}

/// An empty store of so many bytes.
pub fn store(bytes: u64) -> Arc<Cache> {
    Cache::new(Size {
        bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        zone_share: ZONE_SHARE,
    })
}

/// The time.
fn now() -> Time {
    Time(unix_us() / 1_000)
}
