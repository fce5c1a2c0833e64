//! What stands at this edge beside documents, on disk: emergency switches, that traffic is led away, and when control was heard of
//! last. The agent writes it, the worker reads it, once a second and at its start, so that a worker that is new does what the one before it
//! did, also when nobody else is there.
//!
//! A switch lasts for a time that counts from when this edge saw it first. It counts on over restarts of anything but the
//! machine; over one of the machine it goes on where it was written down last.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use seawall_bundle::Purge;
use seawall_model::Purged;
use serde::{Deserialize, Serialize};

use crate::agent::HERE;
use crate::distribution::serve::Barred;

/// The file, in the data folder.
pub const STANDING: &str = "standing.json";
/// How long a purge stands.
const PURGES_STAND: Duration = Duration::from_secs(60 * 60);
/// As many purges as are kept.
const MOST_PURGES: usize = 512;
/// A manifest has a few hundred switches at most.
const LARGEST: u64 = 4 << 20;

/// What stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// Emergency switches, by their numbers.
    pub switches: BTreeMap<u64, Switch>,
    /// Purges of the last hour, in the order of their numbers: each is done once.
    pub purges: Vec<Purge>,
    /// The number of the latest one of control's that was seen; none: nothing was heard of purges.
    pub purged: Option<u64>,
    /// When it was found that some were missed, in milliseconds since 1970.
    pub missed_at: u64,
    /// Control leads traffic away.
    pub drained: bool,
    /// Control lets this edge withdraw, as it is ill and others are not.
    pub away: bool,
    /// Somebody on this machine does.
    pub drained_here: bool,
    /// The keys of locations that have left the fleet, whose certificates are good still; none: nobody knows yet which.
    pub barred: Option<Barred>,
    /// When what this edge acts on was made, in milliseconds since 1970; 0: nobody tells it anything.
    pub signed_at: u64,
}

/// An emergency switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// The stage that is off.
    pub stage: String,
    /// In this zone; none: in all.
    pub zone: Option<String>,
    /// For how long, from the first sight of it, in milliseconds.
    pub for_ms: u64,
    /// Why.
    pub why: String,
    /// Set on this machine, and not by control.
    #[serde(default)]
    pub here: bool,
    /// What the machine's clock showed at the first sight, in milliseconds since it started; less than nothing after a restart of it.
    pub since: i64,
    /// How much of its time was over when this was written.
    pub over_ms: u64,
    /// Which start of the machine the clock is of.
    pub boot: String,
}

impl Switch {
    /// One that was seen just now.
    pub fn seen_now(stage: &str, zone: Option<&str>, for_ms: u64, why: &str, now: &Clock) -> Self {
        Self {
            stage: stage.to_owned(),
            zone: zone.map(ToOwned::to_owned),
            for_ms,
            why: why.to_owned(),
            here: false,
            since: now.ms,
            over_ms: 0,
            boot: now.boot.clone(),
        }
    }

    /// How much of its time is left; none when it is over.
    pub fn left(&self, now: &Clock) -> Option<Duration> {
        let left = self.for_ms.checked_sub(self.over(now))?;
        (left > 0).then(|| Duration::from_millis(left))
    }

    /// How much of its time is over, in milliseconds.
    pub fn over(&self, now: &Clock) -> u64 {
        if self.boot == now.boot {
            // Never less than was written down: a clock that goes back makes nothing last longer.
            u64::try_from(now.ms - self.since)
                .unwrap_or(0)
                .max(self.over_ms)
        } else {
            self.over_ms
        }
    }

    /// The same, as it is to be written now.
    fn at(&self, now: &Clock) -> Self {
        let over = self.over(now);
        Self {
            over_ms: over,
            since: now.ms - i64::try_from(over).unwrap_or(i64::MAX),
            boot: now.boot.clone(),
            ..self.clone()
        }
    }
}

/// The machine's clock, which counts from its start, while it sleeps too, and which nobody sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Milliseconds.
    pub ms: i64,
    /// Which start.
    pub boot: String,
}

impl Clock {
    /// As it is now.
    pub fn now() -> Self {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the pointer is to a struct of the call's.
        unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        Self {
            ms: now.tv_sec * 1_000 + now.tv_nsec / 1_000_000,
            boot: boot.map_or_else(|_| String::new(), |boot| boot.trim().to_owned()),
        }
    }
}

/// The zone of a purge that is of all zones.
pub const ALL_ZONES: &str = "*";

impl Standing {
    /// What control has published of purges. Whether any is new here. Who has missed some purges everything.
    pub fn purges_told(&mut self, purges: &[Purge], before: u64, now_ms: u64) -> bool {
        let seen = self.purged.unwrap_or(before);
        let own = |purge: &&Purge| purge.id >= HERE || purge.zone == ALL_ZONES;
        let mut all: Vec<Purge> = self.purges.iter().filter(own).cloned().collect();
        if before > seen {
            self.missed_at = now_ms;
            all.push(Purge {
                id: before,
                zone: ALL_ZONES.into(),
                what: vec![Purged::Everything],
                soft: false,
            });
        }
        all.extend(purges.iter().cloned());
        all.sort_unstable_by_key(|purge| purge.id);
        all.dedup_by_key(|purge| purge.id);
        let excess = all.len().saturating_sub(MOST_PURGES);
        all.drain(..excess);
        let last = purges.last().map_or(before, |purge| purge.id);
        let is_new = last > seen;
        self.purged = Some(last.max(seen));
        self.purges = all;
        is_new
    }

    /// What was purged here, and for what was missed, is forgotten after a while, as what control purged is.
    pub fn forget_purges(&mut self, now_ms: u64) {
        let is_over = |since: u64| now_ms.saturating_sub(since) > PURGES_STAND.as_millis() as u64;
        let missed_is_over = is_over(self.missed_at);
        self.purges
            .retain(|purge| match purge.id.checked_sub(HERE) {
                Some(made) => !is_over(made),
                None => purge.zone != ALL_ZONES || !missed_is_over,
            });
    }

    /// Reads it; nothing where there is nothing.
    ///
    /// # Errors
    /// When it is there and cannot be used.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        use std::io::Read;
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        file.take(LARGEST).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// As it is to be written now: what is over is left out.
    pub fn at(&self, now: &Clock) -> Self {
        let mut standing = self.clone();
        standing
            .switches
            .retain(|_, switch| switch.left(now).is_some());
        for switch in standing.switches.values_mut() {
            *switch = switch.at(now);
        }
        standing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_missed_a_purge_purges_everything_and_who_is_new_nothing_of_old() {
        let purge = |id| Purge {
            id,
            zone: "a".into(),
            what: vec![Purged::Everything],
            soft: false,
        };
        let ids = |standing: &Standing| -> Vec<u64> {
            standing.purges.iter().map(|purge| purge.id).collect()
        };
        let mut standing = Standing::default();
        assert!(!standing.purges_told(&[], 7, 1_000));
        assert_eq!((ids(&standing), standing.purged), (vec![], Some(7)));
        assert!(standing.purges_told(&[purge(9)], 7, 1_000));
        assert!(!standing.purges_told(&[purge(9)], 7, 1_000), "it was seen");
        assert!(standing.purges_told(&[purge(9), purge(10)], 7, 1_000));
        assert_eq!(ids(&standing), [9, 10]);
        // 9 and 10 are over, and were seen.
        assert!(standing.purges_told(&[purge(11)], 10, 1_000));
        assert_eq!(ids(&standing), [11]);
        // 12 was not.
        assert!(standing.purges_told(&[purge(13)], 12, 1_000));
        assert_eq!(ids(&standing), [12, 13]);
        assert_eq!(standing.purges[0].zone, ALL_ZONES);
        assert_eq!(standing.purged, Some(13));
        standing.purges.push(purge(HERE + 500_000));
        standing.forget_purges(3_600_000);
        assert_eq!(ids(&standing), [12, 13, HERE + 500_000]);
        standing.forget_purges(3_700_000);
        assert_eq!(ids(&standing), [13, HERE + 500_000]);
        standing.forget_purges(4_200_000);
        assert_eq!(ids(&standing), [13]);
    }

    #[test]
    fn a_switch_counts_on_over_restarts_and_is_over_in_its_time() {
        let at = |ms, boot: &str| Clock {
            ms,
            boot: boot.into(),
        };
        let switch = Switch::seen_now("rules", None, 10_000, "", &at(50_000, "a"));
        let left = |switch: &Switch, clock| switch.left(&clock).map(|left| left.as_millis());
        assert_eq!(left(&switch, at(53_000, "a")), Some(7_000));
        // Written, and read by another process.
        let text = serde_json::to_string(&switch.at(&at(54_000, "a"))).unwrap();
        let again: Switch = serde_json::from_str(&text).unwrap();
        assert_eq!(left(&again, at(55_000, "a")), Some(5_000));
        assert_eq!(
            left(&again, at(10, "a")),
            Some(6_000),
            "no clock makes it longer"
        );
        // The machine was started anew.
        assert_eq!(left(&again, at(10, "b")), Some(6_000));
        let later = again.at(&at(10, "b"));
        assert_eq!(left(&later, at(2_010, "b")), Some(4_000));
        assert_eq!(left(&later, at(6_010, "b")), None);
        assert_eq!(left(&switch, at(60_000, "a")), None);
    }
}
