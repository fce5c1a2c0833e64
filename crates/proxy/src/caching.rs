//! The cache in a request's life: before an origin is asked, when its answer comes, and what a client gets of what is stored.
//!
//! What is stored is what the origin sent. A zone's edits, its response stages and its compression come over each answer anew, so
//! that a change of configuration holds for what was stored before it. What may be stored and served is decided in
//! [`seawall_cache::policy`]; here is only who asks, and when.

mod background;
mod digest;
mod give;
mod links;
mod look;
mod packed;
mod parents;
mod reading;
pub mod rules;
mod settling;
mod slices;
mod way;
mod words;

use std::path::PathBuf;
use std::sync::Arc;

use seawall_cache::cache::Cache;
use seawall_cache::disk::Settings;
use seawall_cache::key::Shape;
use seawall_cache::memory::Size;
use seawall_cache::policy::{EdgeTtl, Plan, Time, restrictions};
use seawall_model::document::{CacheMode, ZoneCache};
use seawall_model::{FieldId, Fields};
use seawall_telemetry::CacheTold;

pub use links::Links;
pub use way::Way;

use crate::thread::unix_us;

/// Of a hundred, what one zone may have of the memory.
const ZONE_SHARE: u8 = 50;
/// In the mode `everything`, how long a response is fresh that says nothing of it, in seconds.
const UNSAID: u32 = 120;

/// What a zone's mode makes of its requests.
pub fn plan(cache: &ZoneCache) -> Option<Plan> {
    let eligible = !cache.development_mode;
    let plan = match cache.mode {
        CacheMode::Off => return None,
        CacheMode::Standard => Plan::STANDARD,
        CacheMode::Everything => Plan {
            heuristics: true,
            edge_ttl: EdgeTtl::Default(UNSAID),
            ..Plan::STANDARD
        },
    };
    Some(Plan {
        eligible,
        slice: u32::try_from(cache.slice).unwrap_or(0),
        armor: cache.deception_armor,
        verifies: cache.verify_digest,
        ..plan
    })
}

/// A store of so many bytes of memory, and so many on disk in a folder of its own; none where those are 0.
pub fn store(memory: u64, disk: u64, folder: PathBuf) -> Arc<Cache> {
    let size = Size {
        bytes: usize::try_from(memory).unwrap_or(usize::MAX),
        zone_share: ZONE_SHARE,
    };
    if disk == 0 {
        return Cache::new(size);
    }
    let settings = Settings {
        folder,
        bytes: disk,
        zone_share: ZONE_SHARE,
    };
    Cache::with_disk(size, settings)
}

/// What the zone's rules make of a request, as far as that is asked again when it is answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cached<'z> {
    /// How long browsers are told that what comes of the cache is fresh, in seconds.
    pub browser_ttl: Option<u32>,
    /// An origin was asked for what the client gets, just now.
    pub is_new: bool,
    /// It has fields that steer its origin elsewhere: what comes of it is for its client alone.
    pub is_odd: bool,
    /// What it is found by.
    pub shape: Option<&'z Shape>,
}

/// How a store stands, for metrics.
pub fn told(cache: &Cache) -> CacheTold {
    let (bytes, entries) = cache.used();
    let disk = cache.disk_told().unwrap_or_default();
    CacheTold {
        memory_bytes: bytes as u64,
        memory_entries: entries as u64,
        disk_bytes: disk.bytes,
        disk_entries: disk.entries,
        index_bytes: disk.index_bytes,
        written: disk.written,
        read: disk.read,
        queue_full: disk.refused_full,
        failing: disk.refused_failing,
        reads_full: disk.refused_reads,
        share: disk.refused_share,
        bad: disk.bad,
        failed: disk.failures,
    }
}

/// Replaces what is said of how long a response is fresh, for browsers; what else they may not do with it stays.
/// `Age` is made up for: what browsers are told begins now.
pub fn tell_browsers(fields: &mut Fields, seconds: u32) {
    let age = fields
        .first(FieldId::Age)
        .and_then(|age| std::str::from_utf8(age).ok());
    let age: u32 = age.and_then(|age| age.trim().parse().ok()).unwrap_or(0);
    let seconds = seconds.saturating_add(age);
    let mut said = format!("max-age={seconds}");
    for word in restrictions(fields) {
        said.push_str(", ");
        said.push_str(word);
    }
    fields.remove(FieldId::CacheControl);
    fields.remove_named(b"expires");
    fields.push(b"Cache-Control", said.as_bytes());
}

/// The time.
pub fn now() -> Time {
    Time(unix_us() / 1_000)
}
