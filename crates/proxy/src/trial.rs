//! A change on trial: a share of the clients is served by it, all others by what is live, and both are counted apart.
//!
//! A client is always on the same side of one trial, in every location, and one that was on trial stays so as the share grows: the
//! side follows from a hash of its network and the trial's salt. A request is on one side from its head to its Record. What is
//! live never depends on what is on trial: to end a trial is to forget it.
//!
//! Not here: who puts something on trial and judges what is counted (`control`), and how it is compiled
//! ([`compile`](crate::compile)).

mod ended;
mod networks;

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use seawall_guard::{Subject, ZoneId, network_of};
use seawall_model::RequestHead;
use seawall_net::clock::thread_cpu_us;
use serde::{Deserialize, Serialize};

use crate::forward::Client;
use crate::kind::{self, KINDS};
use crate::snapshot::{Edge, Snapshot, Zone};
use crate::{circle, forward};
use ended::Behind;
pub(crate) use ended::{Ended, How};
use networks::Networks;

/// All clients, as a share.
pub const ALL: u16 = 10_000;
/// Bounds of durations are powers of two of microseconds, with as many steps between two of them.
const STEPS: u64 = 4;
/// Classes of durations: the last one begins at about four minutes.
pub const CLASSES: usize = 109;

/// What serves: a configuration, and what is on trial beside it.
#[derive(Debug)]
pub struct Live {
    /// What those are served by who are on no trial.
    pub snapshot: Arc<Snapshot>,
    /// What is on trial.
    pub trials: Option<Trials>,
}

impl From<Arc<Snapshot>> for Live {
    fn from(snapshot: Arc<Snapshot>) -> Self {
        Self {
            snapshot,
            trials: None,
        }
    }
}

impl From<Snapshot> for Live {
    fn from(snapshot: Snapshot) -> Self {
        Arc::new(snapshot).into()
    }
}

impl Deref for Live {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Live {
    /// What holds where no request is known yet, as for connections and the heads on them: that cannot be one thing for some
    /// clients and another for others. What is on trial for all clients here holds for all here, and so in one location before it
    /// does in others.
    #[inline]
    pub fn edge(&self) -> &Edge {
        self.edge_on_trial()
            .map_or(&self.snapshot.edge, |(candidate, _)| candidate)
    }

    fn edge_on_trial(&self) -> Option<(&Edge, &Arms)> {
        let (trial, candidate) = self.trials.as_ref()?.platform.as_ref()?;
        (trial.share >= ALL).then(|| (&*candidate.snapshot.edge, &*trial.arms))
    }

    /// Somebody was turned away by a limit before there was a request. That is counted against what is on trial if its limit
    /// `is_narrower` than the live one.
    #[cold]
    pub(crate) fn count_turned_away(&self, is_narrower: impl Fn(&Edge, &Edge) -> bool) {
        if let Some((candidate, arms)) = self.edge_on_trial()
            && is_narrower(candidate, &self.snapshot.edge)
        {
            arms.candidate.count(&Ended {
                how: How::EdgeError,
                judged_otherwise: false,
                network: None,
                turned_away: false,
                behind: Behind::Nothing,
                own_us: 0,
            });
        }
    }
}

/// What is on trial beside a live snapshot.
#[derive(Debug, Default)]
pub struct Trials {
    /// What all zones share, and with it the whole configuration. Beside it is on trial what is so beside the live one.
    pub platform: Option<(Trial, Arc<Live>)>,
    /// Zones, all of them in one configuration and each on its own share.
    pub zones: Option<(HashMap<ZoneId, Trial>, Arc<Snapshot>)>,
}

/// One change on trial.
#[derive(Clone, Debug)]
pub struct Trial {
    /// How many of 10,000 clients are served by it.
    pub share: u16,
    /// The same in every location, another one for every change.
    pub salt: u64,
    /// What is counted.
    pub arms: Arc<Arms>,
    /// The zone as it is on trial; none where it is to go, and of what all zones share.
    pub zone: Option<Arc<Zone>>,
}

/// The two sides of a trial.
#[derive(Debug, Default)]
pub struct Arms {
    /// Requests that what is live served.
    pub live: Arm,
    /// Requests that the change served.
    pub candidate: Arm,
    /// Both again for each kind of zone that was asked for ([`kind`]), of what all zones share.
    kinds: [OnceLock<Box<[Arm; 2]>>; KINDS],
}

impl Arms {
    fn of_kind(&self, kind: usize, on_trial: bool) -> Option<&Arm> {
        let [live, candidate] = &**self.kinds.get(kind)?.get_or_init(Box::default);
        Some(if on_trial { candidate } else { live })
    }

    /// The figures of each kind of zone that was asked for, by its name: of what is live, and of the change. Without times.
    pub fn kinds(&self) -> impl Iterator<Item = (String, [Counts; 2])> {
        let all = self.kinds.iter().enumerate();
        all.filter_map(|(kind, arms)| {
            let counts = |arm: &Arm| Counts {
                durations: Vec::new(),
                judging: Vec::new(),
                ..arm.counts()
            };
            let [live, candidate] = &**arms.get()?;
            Some((kind::name(kind), [counts(live), counts(candidate)]))
        })
    }
}

/// What one side did, since the trial began. Its own answers are counted, not what they were about.
#[derive(Debug)]
pub struct Arm {
    requests: AtomicU64,
    edge_errors: AtomicU64,
    origin_errors: AtomicU64,
    resets: AtomicU64,
    refused: AtomicU64,
    judged_otherwise: AtomicU64,
    durations: [AtomicU64; CLASSES],
    judging: [AtomicU64; CLASSES],
    /// Whose requests they were; of those whose were refused, whose came behind the edge, and who got an error from there.
    networks: [Networks; 4],
}

impl Default for Arm {
    fn default() -> Self {
        Self {
            requests: AtomicU64::new(0),
            edge_errors: AtomicU64::new(0),
            origin_errors: AtomicU64::new(0),
            resets: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            judged_otherwise: AtomicU64::new(0),
            durations: [const { AtomicU64::new(0) }; CLASSES],
            judging: [const { AtomicU64::new(0) }; CLASSES],
            networks: Default::default(),
        }
    }
}

/// The figures of one side at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that ended.
    pub requests: u64,
    /// Answers from 500 on that the edge made because something failed.
    pub edge_errors: u64,
    /// Answers from 500 on that an origin made.
    pub origin_errors: u64,
    /// Responses that broke off by our doing or an origin's.
    pub resets: u64,
    /// Requests that a stage refused or challenged.
    pub refused: u64,
    /// About how many networks of clients asked.
    #[serde(default)]
    pub networks: u64,
    /// About how many of them were refused once at least, and not by being sent elsewhere.
    #[serde(default)]
    pub refused_networks: u64,
    /// About how many of them were answered by an origin or the cache, once at least.
    #[serde(default)]
    pub answered_networks: u64,
    /// About how many of those got an answer from 400 on there, once at least.
    #[serde(default)]
    pub failed_networks: u64,
    /// Requests, of those that the change served, whose head the other side would have judged otherwise.
    pub judged_otherwise: u64,
    /// Requests by the class of what we took of their time ([`class_begins_at`]), without the empty classes at the end.
    pub durations: Vec<u64>,
    /// Of the requests that both sides judged ([`Counts::judged_otherwise`]), by the class of the CPU time that judging the head took
    /// this side.
    #[serde(default)]
    pub judging: Vec<u64>,
}

impl Arm {
    pub(crate) fn count(&self, ended: &Ended) {
        let add = |to: &AtomicU64| {
            to.fetch_add(1, Ordering::Relaxed);
        };
        match ended.how {
            How::ByClient => return,
            How::Well => {}
            How::EdgeError => add(&self.edge_errors),
            How::OriginError => add(&self.origin_errors),
            How::BrokeOff => add(&self.resets),
            How::Refused => add(&self.refused),
        }
        add(&self.requests);
        let [all, refused, behind, failed] = &self.networks;
        if let Some(network) = ended.network {
            all.add(network);
            if ended.turned_away {
                refused.add(network);
            }
            if ended.behind != Behind::Nothing {
                behind.add(network);
            }
            if ended.behind == Behind::Error {
                failed.add(network);
            }
        }
        if ended.judged_otherwise {
            add(&self.judged_otherwise);
        }
        if let Some(class) = self.durations.get(class_of(ended.own_us)) {
            add(class);
        }
    }

    fn count_judging(&self, cpu_us: u64) {
        if let Some(class) = self.judging.get(class_of(cpu_us)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The figures as they are now.
    pub fn counts(&self) -> Counts {
        let read = |from: &AtomicU64| from.load(Ordering::Relaxed);
        let classes = |of: &[AtomicU64; CLASSES]| {
            let mut classes: Vec<u64> = of.iter().map(read).collect();
            while classes.last() == Some(&0) {
                classes.pop();
            }
            classes
        };
        let [all, turned_away, behind, failed] = &self.networks;
        Counts {
            requests: read(&self.requests),
            edge_errors: read(&self.edge_errors),
            origin_errors: read(&self.origin_errors),
            resets: read(&self.resets),
            refused: read(&self.refused),
            networks: all.about(),
            refused_networks: turned_away.about(),
            answered_networks: behind.about(),
            failed_networks: failed.about(),
            judged_otherwise: read(&self.judged_otherwise),
            durations: classes(&self.durations),
            judging: classes(&self.judging),
        }
    }
}

fn class_of(us: u64) -> usize {
    if us < STEPS {
        return us as usize;
    }
    let power = u64::from(us.ilog2());
    let step = (us >> (power - STEPS.ilog2() as u64)) & (STEPS - 1);
    let class = (power - 1) * STEPS + step;
    (class as usize).min(CLASSES - 1)
}

/// The least microseconds of a class of durations.
pub fn class_begins_at(class: usize) -> u64 {
    let class = class as u64;
    if class < STEPS {
        return class;
    }
    let (power, step) = (class / STEPS + 1, class % STEPS);
    (STEPS + step) << (power - STEPS.ilog2() as u64)
}

impl Trial {
    /// Whether this client is served by the change.
    pub fn has(&self, client: IpAddr) -> bool {
        mixed(client, self.salt) % u64::from(ALL) < u64::from(self.share)
    }

    fn arm(&self, on_trial: bool) -> &Arm {
        if on_trial {
            &self.arms.candidate
        } else {
            &self.arms.live
        }
    }
}

/// A client's network, with a salt.
fn mixed(client: IpAddr, salt: u64) -> u64 {
    let network = network_of(client);
    mix(salt ^ network as u64 ^ mix((network >> 64) as u64))
}

/// Spreads all bits over all bits (the finalizer of SplitMix64; Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014).
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// What serves a request, for the whole of it.
#[derive(Clone, Copy)]
pub struct Chosen<'a> {
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// The zone in it.
    pub zone: Option<&'a Arc<Zone>>,
    /// Where it is counted: for the platform's trial, for the zone's, and for zones of its kind in the platform's.
    arms: [Option<&'a Arm>; 3],
    /// What is live, where this one is on trial.
    live: Option<Beside<'a>>,
}

/// The live version of a zone that is on trial.
#[derive(Clone, Copy)]
struct Beside<'a> {
    zone: &'a Arc<Zone>,
    /// The configuration that it is in.
    snapshot: &'a Snapshot,
    /// What is counted of both.
    arms: &'a Arms,
}

impl Chosen<'_> {
    #[inline]
    pub(crate) fn count(&self, ended: impl FnOnce() -> Ended) {
        if self.arms.iter().any(Option::is_some) {
            self.count_in_arms(&ended());
        }
    }

    /// Whether what is live would have let in a request that the change refused, or the other way round. Stages that count
    /// clients have no say in it, nor has what is refused later than by its head. The CPU time that it took each is counted.
    #[cold]
    pub(crate) fn is_judged_otherwise(&self, head: &RequestHead, subject: &Subject<'_>) -> bool {
        let (Some(zone), Some(live)) = (self.zone, self.live) else {
            return false;
        };
        let lets_in = |zone: &Zone, arm: &Arm| {
            let began = thread_cpu_us();
            let lets_in = zone.guard.judge_again(head, subject).is_ok();
            arm.count_judging(thread_cpu_us().saturating_sub(began));
            lets_in
        };
        // Who comes second finds what both look at near: they take turns.
        let arms = live.arms;
        let mut sides = [(&**zone, &arms.candidate), (&**live.zone, &arms.live)];
        if subject.now.is_multiple_of(2) {
            sides.reverse();
        }
        let [one, other] = sides.map(|(zone, arm)| lets_in(zone, arm));
        one != other
    }

    /// Whether the change alone would send a request in a circle that it has sent elsewhere. No time is counted.
    #[cold]
    pub(crate) fn goes_round(&self, head: &RequestHead, subject: &Subject<'_>) -> bool {
        let Some(live) = self.live else {
            return false;
        };
        let both = [self.snapshot, live.snapshot];
        // Each believes whom it believes, and what the client knows as HTTPS is that.
        let clients =
            both.map(|all| forward::client_of(&all.edge, subject.conn, false, &head.fields));
        let is_https = clients.iter().any(|client| client.https);
        let is_sent_round = |all: &Snapshot, client: &Client| {
            let subject = Subject {
                client: client.ip,
                https: client.https,
                ..*subject
            };
            let mut hops = circle::HOPS + 1;
            circle::find(all, head, &subject, is_https, true, &mut hops).is_some()
        };
        let [with, without] = clients;
        is_sent_round(self.snapshot, &with) && !is_sent_round(live.snapshot, &without)
    }

    #[cold]
    fn count_in_arms(&self, ended: &Ended) {
        for arm in self.arms.iter().flatten() {
            arm.count(ended);
        }
    }
}

impl Live {
    /// What serves this host's client: this configuration, or one on trial beside it.
    ///
    /// `peer` is who is at the other end of the connection, on whose word for the client nothing of TLS depends.
    #[inline]
    pub fn choose(&self, authority: &[u8], peer: IpAddr, client: IpAddr) -> Chosen<'_> {
        match &self.trials {
            None => Chosen {
                snapshot: &self.snapshot,
                zone: self.zone(authority),
                arms: [None; 3],
                live: None,
            },
            Some(trials) => self.choose_among(trials, authority, peer, client),
        }
    }

    #[cold]
    fn choose_among<'a>(
        &'a self,
        trials: &'a Trials,
        authority: &[u8],
        peer: IpAddr,
        client: IpAddr,
    ) -> Chosen<'a> {
        if let Some((trial, candidate)) = &trials.platform {
            let on_trial = trial.has(client);
            let all: &Self = if on_trial { candidate } else { self };
            let chosen = all.choose_zone(authority, peer, client);
            let [_, of_zone, _] = chosen.arms;
            let kind = chosen.zone.map(|zone| kind::of(zone));
            let of_kind = kind.and_then(|kind| trial.arms.of_kind(kind, on_trial));
            let live = if on_trial {
                self.zone(authority).map(|zone| Beside {
                    zone,
                    snapshot: &self.snapshot,
                    arms: &trial.arms,
                })
            } else {
                chosen.live
            };
            return Chosen {
                arms: [Some(trial.arm(on_trial)), of_zone, of_kind],
                live,
                ..chosen
            };
        }
        self.choose_zone(authority, peer, client)
    }

    /// As [`Snapshot::choose`], among zones alone.
    fn choose_zone<'a>(&'a self, authority: &[u8], peer: IpAddr, client: IpAddr) -> Chosen<'a> {
        let live = self.zone(authority);
        let unchanged = Chosen {
            snapshot: &self.snapshot,
            zone: live,
            arms: [None; 3],
            live: None,
        };
        let Some((trials, candidate)) = self.trials.as_ref().and_then(|all| all.zones.as_ref())
        else {
            return unchanged;
        };
        let next = candidate.zone(authority);
        // A host that no zone has yet is on trial with the zone that wants it, and so is one that a wildcard of another zone has until
        // then.
        let of = |zone: Option<&Arc<Zone>>| zone.and_then(|zone| trials.get(&zone.id));
        let (trial, is_taken) = match (of(live), of(next)) {
            (Some(trial), _) => (trial, false),
            (None, Some(trial)) => (trial, true),
            (None, None) => return unchanged,
        };
        // The handshake knew the peer alone, and must have been on the same side.
        let is_strict = |zone: Option<&Arc<Zone>>| zone.is_some_and(|zone| zone.strict_tls);
        let on_trial = trial.has(if is_strict(live) || is_strict(next) {
            peer
        } else {
            client
        });
        let (snapshot, zone) = if on_trial {
            (&**candidate, next)
        } else {
            (&*self.snapshot, live)
        };
        Chosen {
            snapshot,
            zone,
            arms: [None, Some(trial.arm(on_trial)), None],
            // Two zones may judge as differently as they like.
            live: live.filter(|_| on_trial && !is_taken).map(|zone| Beside {
                zone,
                snapshot: &self.snapshot,
                arms: &trial.arms,
            }),
        }
    }
}

impl Trials {
    /// The version of a zone that is on trial of its own.
    pub fn of(&self, name: &str, id: ZoneId) -> Option<&Arc<Zone>> {
        let (trials, candidate) = self.zones.as_ref()?;
        let is_on = trials.contains_key(&id);
        is_on.then(|| candidate.zones.named(name)).flatten()
    }

    /// Zones as they are on trial; with the platform on trial, all of its configuration. Without it, this depends on nothing but how
    /// many are on trial.
    pub fn zones(&self) -> impl Iterator<Item = &Arc<Zone>> {
        let of_platform = self.platform.iter().flat_map(|(_, candidate)| {
            let within = candidate.trials.iter();
            candidate
                .zones
                .iter()
                .chain(within.flat_map(Self::of_zones))
        });
        self.of_zones().chain(of_platform)
    }

    fn of_zones(&self) -> impl Iterator<Item = &Arc<Zone>> {
        let trials = self.zones.iter().flat_map(|(trials, _)| trials.values());
        trials.filter_map(|trial| trial.zone.as_ref())
    }
}

impl Live {
    /// All zones that serve somebody: the live ones, and those on trial. Some may be there twice.
    pub fn serving_zones(&self) -> impl Iterator<Item = &Arc<Zone>> {
        let on_trial = self.trials.iter().flat_map(|trials| trials.zones());
        self.zones.iter().chain(on_trial)
    }
}

#[cfg(test)]
mod tests;
