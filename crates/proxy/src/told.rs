//! What this edge was told beside documents: that traffic is led away from it, emergency switches, and when it was told last.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// From this age on, in seconds, what is configured is called old: control makes something known every minute.
pub const OLD: u64 = 600;

/// What was told.
#[derive(Debug, Default)]
pub struct Told {
    /// Traffic is led away: this edge says that it is not ready, and serves whoever comes all the same.
    pub drained: AtomicBool,
    /// When control made what this edge acts on, in milliseconds since 1970; 0 where nobody tells this edge anything.
    signed_at: AtomicU64,
    switches: RwLock<Vec<Switch>>,
}

/// An emergency switch that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The stage that is off.
    pub stage: String,
    /// In this zone; none: in all.
    pub zone: Option<String>,
    /// For so many seconds more.
    pub seconds: u64,
    /// Why.
    pub why: String,
}

impl Told {
    /// Control made what this edge acts on at this time, in milliseconds since 1970.
    pub fn set_signed_at(&self, ms: u64) {
        self.signed_at.store(ms, Ordering::Relaxed);
    }

    /// How many seconds ago that was, by this machine's clock; none where nobody tells this edge anything.
    pub fn age(&self) -> Option<u64> {
        let signed = self.signed_at.load(Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
        (signed > 0).then(|| now.saturating_sub(signed) / 1_000)
    }

    /// These switches are on.
    pub fn set_switches(&self, switches: Vec<Switch>) {
        *self
            .switches
            .write()
            .unwrap_or_else(PoisonError::into_inner) = switches;
    }

    /// The switches that are on, for `/state`.
    pub fn switches(&self) -> Vec<Value> {
        let switches = self.switches.read().unwrap_or_else(PoisonError::into_inner);
        let shown = switches.iter().map(|switch| {
            json!({
                "stage": switch.stage,
                "zone": switch.zone,
                "seconds_left": switch.seconds,
                "why": switch.why,
            })
        });
        shown.collect()
    }
}
