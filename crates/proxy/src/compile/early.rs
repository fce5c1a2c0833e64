//! Of many zones, those that can be compiled without regard to any other: by several threads, before the others.
//!
//! That is whatever no other zone's patterns are charged with, and no file is named for but a certificate of its own. What is wrong
//! with one is not told here: it is compiled once more, in its turn.

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use seawall_model::document::{Certificate, Zone as ZoneDocument};

use super::{Shop, Sources, arrived, same};
use crate::snapshot::{Snapshot, Zone};

/// Fewer zones than these are not worth a thread.
const MANY: usize = 2_048;
/// Zones that a thread takes at a time.
const AT_ONCE: usize = 512;
/// Threads, at most.
const THREADS: usize = 8;

/// The zones that are ready, each at its place; the others are none, and none beyond the end.
pub(super) fn compile(
    shop: &Shop<'_>,
    sources: &Sources<'_>,
    live: Option<&Snapshot>,
) -> Vec<Option<Arc<Zone>>> {
    let zones = &sources.document.zones;
    if zones.len() < MANY {
        return Vec::new();
    }
    let mut made: Vec<Option<Arc<Zone>>> = vec![None; zones.len()];
    let next = AtomicUsize::new(0);
    let some = || {
        let mut parts = Vec::new();
        while let Some(first) = Some(next.fetch_add(AT_ONCE, Ordering::Relaxed))
            && let Some(part) = zones.get(first..zones.len().min(first.saturating_add(AT_ONCE)))
            && !part.is_empty()
        {
            parts.push((first, self::part(shop, sources, live, (first, part))));
        }
        parts
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let parts = thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, some).ok();
        let others: Vec<_> = (1..threads.min(THREADS)).filter_map(spawn).collect();
        let mut parts = some();
        for other in others {
            // What a thread has not made is made later.
            parts.extend(other.join().unwrap_or_default());
        }
        parts
    });
    for (first, part) in parts {
        if let Some(places) = made.get_mut(first..) {
            for (place, zone) in places.iter_mut().zip(part) {
                *place = zone;
            }
        }
    }
    made
}

fn part<'a>(
    shop: &Shop<'a>,
    sources: &Sources<'_>,
    live: Option<&Snapshot>,
    (first, zones): (usize, &'a [ZoneDocument]),
) -> Vec<Option<Arc<Zone>>> {
    let mut compiler = shop.compiler();
    let mut made = Vec::with_capacity(zones.len());
    for (index, zone) in (first..).zip(zones) {
        let one = AssertUnwindSafe(|| {
            if !is_plain(zone) || sources.bad_zones.contains(&index) {
                return None;
            }
            let made = compiler.made(zone);
            let same = same(live, &zone.name, made.content, shop.state);
            same.or_else(|| Some(arrived(compiler.zone(index, zone, made).ok()?, live)))
        });
        made.push(catch_unwind(one).ok().flatten());
    }
    made
}

/// Whether nothing of it depends on another zone, and nothing of it is dear that others could share.
fn is_plain(zone: &ZoneDocument) -> bool {
    let own = match zone.tls.certificate {
        Certificate::SelfSigned => 0,
        Certificate::Files(_) => 2,
        Certificate::Acme => return false,
    };
    zone.rules.is_empty()
        && zone.files().count() == own
        && !zone.origins.iter().any(|origin| origin.url.is_tls())
}
