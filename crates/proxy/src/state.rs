//! What outlives a snapshot: the guard's State, members of pools, metrics slots, ticket keys. Keyed by zones' stable ids, so that
//! a swap finds it again and a new zone never finds an old one's.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use seawall_guard::{StageDef, States, ZoneId};
use seawall_model::HostPattern;
use seawall_net::outward::Outward;
use seawall_telemetry::Registry;

use crate::certificates::Certificates;
use crate::compile::Refused;
use crate::origin::Members;
use crate::tickets::Tickets;
use crate::trial::Live;
use crate::zone_ids::ZoneIds;

/// What outlives a snapshot.
pub struct State {
    /// Members of pools.
    pub members: Members,
    /// Metrics.
    pub registry: Arc<Registry>,
    /// What stages keep.
    pub guard: Arc<States>,
    /// Zones' ids, by their names.
    pub zone_ids: ZoneIds,
    /// Certificates and challenges that came by ACME.
    pub certificates: Arc<Certificates>,
    /// All stages, in their order.
    pub stages: &'static [&'static StageDef],
    tickets: Mutex<HashMap<ZoneId, Arc<Tickets>>>,
    own_listeners: Mutex<Vec<std::net::SocketAddr>>,
    own_folder: OnceLock<PathBuf>,
    https_port: OnceLock<u16>,
}

impl State {
    /// Nothing is known yet. `stages` are all stages, in their order.
    pub fn new(registry: Arc<Registry>, stages: &'static [&'static StageDef]) -> Self {
        Self {
            members: Members::new(),
            registry,
            // How many clients are counted says the first snapshot that settles.
            guard: Arc::new(States::new(stages.iter().map(|stage| stage.name), 0)),
            zone_ids: ZoneIds::default(),
            certificates: Arc::default(),
            stages,
            tickets: Mutex::default(),
            own_listeners: Mutex::default(),
            own_folder: OnceLock::new(),
            https_port: OnceLock::new(),
        }
    }

    /// The session tickets of a zone.
    pub(crate) fn tickets(&self, zone: ZoneId) -> Arc<Tickets> {
        locked(&self.tickets).entry(zone).or_default().clone()
    }

    /// What is live from now on, and the zones that were refused on the way: what belongs to no zone any more is forgotten. A
    /// refused zone keeps its id, for its document still names it; a zone that went and comes back later is a new one.
    pub fn settle(&self, live: &Live, refused: &[Refused]) {
        let names: HashSet<&str> = live.serving_zones().map(|zone| &*zone.name).collect();
        let ids: HashSet<ZoneId> = live.serving_zones().map(|zone| zone.id).collect();
        let named = refused.iter().map(|refused| refused.name.as_str());
        self.zone_ids
            .retain(&names.into_iter().chain(named).collect());
        locked(&self.tickets).retain(|id, _| ids.contains(id));
        let acme = live.serving_zones().filter(|zone| zone.acme);
        let hosts = acme.flat_map(|zone| zone.hosts.iter());
        let named = hosts.filter_map(|host| match host {
            // An address is no name, and `*` is nothing that a certificate could hold: it is for those on demand.
            HostPattern::Exact(name)
                if name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok() =>
            {
                None
            }
            HostPattern::Exact(name) => Some(name.clone()),
            HostPattern::Under(name) => Some(format!("*.{name}")),
            HostPattern::Any => None,
        });
        self.certificates.want(named.collect());
        let clients = usize::try_from(live.edge.client_table).unwrap_or(usize::MAX);
        self.guard.clients.set_most(clients);
        self.guard.kill(&live.edge.kill);
        self.guard.sweep();
    }

    /// Safe mode: optional stages ([`StageDef::optional`]) are off in all zones, from the next stage on that a request meets.
    pub fn set_safe_mode(&self, on: bool) {
        self.guard.set_safe_mode(on);
    }

    /// The zones whose versions are in quarantine: their optional stages are off, those of all others on again. A zone that is
    /// not there yet is met so when it comes.
    pub fn set_quarantined(&self, zones: HashSet<ZoneId>) {
        self.guard.set_quarantined(&zones);
    }

    /// Our own listeners, which no origin may be.
    pub fn set_own_listeners(&self, listeners: Vec<std::net::SocketAddr>) {
        *locked(&self.own_listeners) = listeners;
    }

    /// Our own folder, its path without links, into which no origin leads. The first one said holds.
    pub fn set_own_folder(&self, folder: PathBuf) {
        let _ = self.own_folder.set(folder);
    }

    /// The port of the first HTTPS listener, for redirects to it. The first one said holds.
    pub fn set_https_port(&self, port: u16) {
        let _ = self.https_port.set(port);
    }

    /// The port of the first HTTPS listener.
    pub fn https_port(&self) -> Option<u16> {
        self.https_port.get().copied()
    }

    /// An address policy that knows our own listeners and our own folder.
    pub fn outward(&self, public: bool, private: bool, loopback: bool) -> Arc<Outward> {
        let outward =
            Outward::new(public, private, loopback).with_own_folder(self.own_folder.get().cloned());
        outward.set_own(locked(&self.own_listeners).clone());
        Arc::new(outward)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
