//! What outlives a snapshot: the guard's State, members of pools, metrics slots, ticket keys. Keyed by zones' stable ids, so that
//! a swap finds it again and a new zone never finds an old one's.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use seawall_guard::{StageDef, States, ZoneId};
use seawall_model::HostPattern;
use seawall_model::document::Edge;
use seawall_net::clock::monotonic_us;
use seawall_net::outward::Outward;
use seawall_net::tls::kept::Keys;
use seawall_net::tls::tickets::TicketKeys;
use seawall_telemetry::Registry;

use crate::certificates::Certificates;
use crate::compile::Refused;
use crate::origin::Members;
use crate::recent::Recent;
use crate::snapshot::Zone;
use crate::thread::unix_us;
use crate::tier::Tier;
use crate::trial::Live;
use crate::zone_ids::ZoneIds;

/// What outlives a snapshot.
pub struct State {
    /// Members of pools.
    pub members: Arc<Members>,
    /// Metrics.
    pub registry: Arc<Registry>,
    /// What stages keep.
    pub guard: Arc<States>,
    /// Zones' ids, by their names.
    pub zone_ids: ZoneIds,
    /// Certificates and challenges that came by ACME.
    pub certificates: Arc<Certificates>,
    /// Keys of certificates that are ready to sign.
    pub keys: Arc<Keys>,
    /// All stages, in their order.
    pub stages: &'static [&'static StageDef],
    /// Keys of session tickets.
    pub tickets: Arc<TicketKeys>,
    /// What is known of the copies on disk of what serves.
    pub disk: Arc<OnDisk>,
    /// Requests that were served of late.
    pub recent: Arc<Recent>,
    /// What makes this location one of a fleet; nothing, where it is none. Said before anything is compiled.
    pub tier: OnceLock<Arc<Tier>>,
    own_listeners: Mutex<Vec<std::net::SocketAddr>>,
    own_folder: OnceLock<PathBuf>,
    has_joined: OnceLock<()>,
    https_port: OnceLock<u16>,
}

/// What is known of the copies on disk of what serves; they are the binary's to write and to read.
#[derive(Debug, Default)]
pub struct OnDisk {
    /// The newest copy was damaged: what serves may be older than what served before.
    pub older: AtomicBool,
    /// What serves could not be written: a restart would bring back something older.
    pub unwritten: AtomicBool,
}

impl State {
    /// Nothing is known yet. `stages` are all stages, in their order.
    pub fn new(registry: Arc<Registry>, stages: &'static [&'static StageDef]) -> Self {
        let keys = Arc::<Keys>::default();
        Self {
            members: Arc::default(),
            registry,
            // How many clients are counted says the first snapshot that settles.
            guard: Arc::new(States::new(stages.iter().map(|stage| stage.name), 0)),
            zone_ids: ZoneIds::default(),
            certificates: Arc::new(Certificates::new(keys.clone())),
            keys,
            stages,
            tickets: Arc::default(),
            disk: Arc::default(),
            recent: Arc::default(),
            tier: OnceLock::new(),
            own_listeners: Mutex::default(),
            own_folder: OnceLock::new(),
            has_joined: OnceLock::new(),
            https_port: OnceLock::new(),
        }
    }

    /// What is live from now on, and the zones that were refused on the way: what belongs to no zone any more is forgotten. A
    /// refused zone keeps its id, for its document still names it; a zone that went and comes back later is a new one.
    pub fn settle(&self, live: &Live, refused: &[Refused]) {
        let refused = refused.iter().map(|zone| &*zone.name);
        let on_trial = || live.trials.iter().flat_map(|trials| trials.zones());
        let others: HashSet<&str> = refused.chain(on_trial().map(|zone| &*zone.name)).collect();
        // Each zone has an id, those on trial and those that were refused may have one: as many ids are theirs.
        let besides = others
            .iter()
            .filter(|name| live.zones.named(name).is_none() && self.zone_ids.get(name).is_some());
        if self.zone_ids.len() != live.zones.len() + besides.count() {
            self.zone_ids
                .retain(|name| live.zones.named(name).is_some() || others.contains(name));
        }
        let own = (live.zones.counts().acme > 0).then(|| live.zones.iter());
        let acme = own.into_iter().flatten().chain(on_trial());
        let wanted = acme.flat_map(|zone| acme_names(zone));
        self.certificates.want(wanted.collect());
        let clients = usize::try_from(live.edge().client_table).unwrap_or(usize::MAX);
        self.guard.clients.set_most(clients);
        self.guard.rates.set_most(clients);
        self.guard.kill(&live.edge().kill);
        self.guard.sweep();
        self.recent
            .retain(|name| live.zones.named(name).is_some_and(|zone| zone.replay));
        self.set_wall();
    }

    /// What the clock on the wall says, which somebody may have set.
    pub fn set_wall(&self) {
        let wall = unix_us().saturating_sub(monotonic_us());
        self.guard.set_wall(wall / 1_000);
    }

    /// As [`settle`](Self::settle), after a swap in which nothing has changed but these zones, and which of them are on trial: nothing
    /// here depends on how many others there are. Breakers are swept out when they have become many.
    pub fn settle_zones<'z>(
        &self,
        before: &Live,
        after: &Live,
        changed: impl IntoIterator<Item = &'z str>,
    ) {
        let tried: HashMap<&str, &Zone> = (after.trials.iter())
            .flat_map(|trials| trials.zones())
            .map(|zone| (&*zone.name, &**zone))
            .collect();
        let were_tried = before.trials.iter().flat_map(|trials| trials.zones());
        let were_tried: Vec<&Arc<Zone>> = were_tried.collect();
        let mut names: BTreeSet<&str> = changed.into_iter().collect();
        names.extend(were_tried.iter().map(|zone| &*zone.name));
        let mut gone: BTreeSet<String> = were_tried
            .into_iter()
            .flat_map(|zone| acme_names(zone))
            .collect();
        let mut come: BTreeSet<String> = tried.values().flat_map(|zone| acme_names(zone)).collect();
        for name in names {
            let (was, is) = (before.zones.named(name), after.zones.named(name));
            gone.extend(was.into_iter().flat_map(|zone| acme_names(zone)));
            come.extend(is.into_iter().flat_map(|zone| acme_names(zone)));
            if is.is_none() && !tried.contains_key(name) {
                self.zone_ids.forget(name);
            }
            if let Some(was) = was
                && is.is_none_or(|zone| !zone.replay)
            {
                self.recent.forget(was.id);
            }
        }
        // What was on trial with a host that another zone has all the while: that one wants it still.
        let held = |name: &&String| {
            let holder = after.zones.holder(&pattern_of(name));
            holder.is_some_and(|zone| zone.acme)
        };
        let held: Vec<String> = gone.iter().filter(held).cloned().collect();
        come.extend(held);
        self.certificates.change_wanted(&gone, come);
        self.guard.sweep_where_many();
        self.set_wall();
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

    /// This is a location that has joined a control, from now on.
    pub fn set_has_joined(&self) {
        let _ = self.has_joined.set(());
    }

    /// The port of the first HTTPS listener, for redirects to it. The first one said holds.
    pub fn set_https_port(&self, port: u16) {
        let _ = self.https_port.set(port);
    }

    /// The port of the first HTTPS listener.
    pub fn https_port(&self) -> Option<u16> {
        self.https_port.get().copied()
    }

    /// The address policy that the document sets, and that knows our own listeners and our own folder.
    pub fn outward(&self, edge: &Edge) -> Arc<Outward> {
        let allowed = edge.outward(self.has_joined.get().is_some());
        let outward = Outward::new(allowed.public, allowed.private, allowed.loopback)
            .with_own_folder(self.own_folder.get().cloned());
        outward.set_own(locked(&self.own_listeners).clone());
        Arc::new(outward)
    }
}

/// The host that a name of a certificate is of.
fn pattern_of(name: &str) -> HostPattern {
    match name.strip_prefix("*.") {
        Some(under) => HostPattern::Under(under.to_owned()),
        None => HostPattern::Exact(name.to_owned()),
    }
}

/// The names that a zone wants certificates for by ACME.
fn acme_names(zone: &Zone) -> impl Iterator<Item = String> {
    let hosts = zone.hosts.iter().filter(|_| zone.acme);
    hosts.filter_map(|host| match host {
        // An address is no name, and `*` is nothing that a certificate could hold: it is for those on demand.
        HostPattern::Exact(name) if name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok() => {
            None
        }
        HostPattern::Exact(name) => Some(name.clone()),
        HostPattern::Under(name) => Some(format!("*.{name}")),
        HostPattern::Any => None,
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
