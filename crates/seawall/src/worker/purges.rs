//! A purge, done in this worker's cache.

use std::sync::Arc;

use seawall_bundle::Purge;
use seawall_cache::cache::Cache;
use seawall_cache::key::{self, Query};
use seawall_cache::policy::Time;
use seawall_cache::purge::{Purge as How, Scope};
use seawall_model::Purged;
use seawall_proxy::caching;
use seawall_proxy::thread::Shared;

use crate::configure::Configuration;
use crate::standing::ALL_ZONES;

/// Does it; the numbers that it has in the cache.
pub fn purge(purge: &Purge, configuration: &Configuration, shared: &Shared) -> Vec<u64> {
    let live = shared.slot.load();
    let ids = &configuration.state.zone_ids;
    let now = caching::now();
    if purge.zone == ALL_ZONES {
        let zones = live.snapshot.zones.iter();
        let all = zones.map(|zone| shared.cache.purge(zone.id.0, Scope::Everything, How::Hard));
        return all.collect();
    }
    // A zone that is not here has nothing that could go.
    let Some(id) = ids.get(&purge.zone) else {
        return Vec::new();
    };
    let zone = live.snapshot.zones.named(&purge.zone);
    let queries = zone.map_or_else(Arc::default, |zone| Arc::clone(zone.cache_rules.queries()));
    let of = |what: &Purged| one(what, id.0, purge.soft.then_some(now), shared, &queries);
    purge.what.iter().filter_map(of).collect()
}

/// One of what it names; its number, where anything of it may be on disk.
fn one(
    what: &Purged,
    zone: u64,
    soft: Option<Time>,
    shared: &Shared,
    queries: &[Query],
) -> Option<u64> {
    let cache = &shared.cache;
    let how = soft.map_or(How::Hard, How::Soft);
    let host = |host: &str| key::purged_host(host.as_bytes());
    match (what, what.host_and_target()) {
        (Purged::Everything, _) => Some(cache.purge(zone, Scope::Everything, how)),
        (Purged::Host(name), _) => Some(cache.purge(zone, Scope::Host(&host(name)), how)),
        (Purged::Tag(tag), _) => Some(cache.purge(zone, Scope::Tag(tag.as_bytes()), how)),
        (Purged::Prefix(_), Some((name, target))) => {
            let prefix = key::normal(target.as_bytes());
            Some(cache.purge(zone, Scope::Prefix(&host(name), &prefix), how))
        }
        (Purged::Url(_), Some((name, target))) => {
            let target = match target.starts_with('/') {
                true => target.to_owned(),
                // Without a path it is that of the root (RFC 9110 §4.2.3).
                false => format!("/{target}"),
            };
            let purged =
                cache.purge_url_in_forms(zone, &host(name), target.as_bytes(), soft, queries);
            purged.number
        }
        (Purged::Prefix(_) | Purged::Url(_), None) => None,
    }
}

/// Makes room for purges, on a thread of its own: all that is stored may have to be looked at.
pub fn tidy(cache: &Arc<Cache>) {
    let cache = Arc::clone(cache);
    let thread = std::thread::Builder::new().name("tidy".into());
    // The next time is as good.
    let _ = thread.spawn(move || cache.tidy());
}
