//! What stands beside documents, as the worker does it: read when it has changed, and ended when its time is over.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use seawall_proxy::slot::Slot;
use seawall_proxy::thread::Shared;
use seawall_proxy::told::{Switch as Shown, Told};

use super::fleet::Watched;
use super::geo::Geo;
use super::purges;
use crate::agent::HERE;
use crate::configure::Configuration;
use crate::say::complain;
use crate::standing::{Clock, STANDING, Standing};

/// What stands, as it was read last.
#[derive(Default)]
pub struct Stands {
    path: PathBuf,
    /// When the file was written, and its number.
    read: Option<(SystemTime, u64)>,
    standing: Standing,
    /// The switches that were done last.
    done: Vec<(String, Option<u64>)>,
    geo: Geo,
    fleet: Watched,
    /// Purges that were done, of those that stand.
    purged: BTreeMap<u64, Vec<u64>>,
}

impl Stands {
    /// What stands on a data folder.
    pub fn new(configuration: &Configuration) -> Self {
        Self {
            path: configuration.data.path(STANDING),
            geo: Geo::new(configuration.data.path("geo")),
            ..Self::default()
        }
    }

    /// Reads it if it has changed, and does it. The numbers of the switches that are on.
    pub fn look(&mut self, configuration: &Configuration, told: &Told, slot: &Slot) -> Vec<u64> {
        self.read();
        self.geo.look(&configuration.state.guard);
        let now = Clock::now();
        told.drained.store(
            self.standing.drained || self.standing.drained_here,
            Ordering::Relaxed,
        );
        told.set_signed_at(self.standing.signed_at);
        self.fleet.look(configuration, &self.standing);
        let (mut on, mut shown, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for (number, switch) in &self.standing.switches {
            let Some(left) = switch.left(&now) else {
                continue;
            };
            on.push(*number);
            shown.push(Shown {
                stage: switch.stage.clone(),
                zone: switch.zone.clone(),
                seconds: left.as_secs(),
                why: switch.why.clone(),
            });
            let state = &configuration.state;
            match &switch.zone {
                None => done.push((switch.stage.clone(), None)),
                // A zone that is not here has nothing to switch off.
                Some(zone) => {
                    let id = state.zone_ids.get(zone);
                    done.extend(id.map(|id| (switch.stage.clone(), Some(id.0))));
                }
            }
        }
        told.set_switches(shown);
        if done != self.done {
            let switches = done
                .iter()
                .map(|(stage, zone)| (stage.as_str(), zone.map(seawall_guard::ZoneId)));
            configuration.state.guard.switch_off(switches);
            self.done = done;
            // Tunnels that were let in are judged again.
            slot.look_again();
        }
        on
    }

    /// Purges what was not purged yet. The number of the latest one of control's up to which all are done, and outlive this process.
    pub fn purge(&mut self, configuration: &Configuration, shared: &Shared) -> u64 {
        let standing = &self.standing;
        self.purged
            .retain(|id, _| standing.purges.iter().any(|purge| purge.id == *id));
        let mut up_to = standing.purged.unwrap_or(0);
        for purge in &standing.purges {
            let done = self
                .purged
                .entry(purge.id)
                .or_insert_with(|| purges::purge(purge, configuration, shared));
            done.retain(|number| !shared.cache.has_settled(*number));
            if purge.id < HERE && !done.is_empty() {
                up_to = up_to.min(purge.id - 1);
            }
        }
        if let Some(tier) = &shared.tier {
            // What parents are told: also what would not outlive this process is not served by it.
            tier.set_purged(standing.purged.unwrap_or(0));
        }
        up_to
    }

    /// The disk is this process's only now: all that stands is purged once more.
    pub fn purge_again(&mut self) {
        self.purged.clear();
    }

    fn read(&mut self) {
        use std::os::unix::fs::MetadataExt;
        let found = std::fs::metadata(&self.path).ok();
        let found = found.and_then(|found| Some((found.modified().ok()?, found.ino())));
        if found == self.read {
            return;
        }
        match Standing::read(&self.path) {
            Ok(standing) => self.standing = standing,
            // What was read before stands.
            Err(error) => complain(format_args!("{}: {error}", self.path.display())),
        }
        self.read = found;
    }
}
