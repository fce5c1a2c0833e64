//! What went wrong by the edge's doing, whatever served it: what a location did before a change came to it.

use std::sync::atomic::{AtomicU64, Ordering};

use seawall_telemetry::Record;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::trial::{Ended, How};

/// What went wrong by the edge's doing since this process began, whatever served it.
#[derive(Debug, Default)]
pub struct Mishaps {
    edge_errors: AtomicU64,
    resets: AtomicU64,
}

impl Mishaps {
    /// A request ended with a fault, or with a status of 500 and more.
    #[cold]
    pub(crate) fn count(&self, record: &Record<'_>, fault: Option<Fault>) {
        let of = match Ended::of(record, fault, false).how {
            How::EdgeError => &self.edge_errors,
            How::BrokeOff => &self.resets,
            How::Well | How::OriginError | How::Refused | How::ByClient => return,
        };
        of.fetch_add(1, Ordering::Relaxed);
    }

    /// Of so many requests.
    pub fn of(&self, requests: u64) -> Totals {
        Totals {
            requests,
            edge_errors: self.edge_errors.load(Ordering::Relaxed),
            resets: self.resets.load(Ordering::Relaxed),
        }
    }
}

/// What a process has done since it began, whatever served it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Requests that ended.
    pub requests: u64,
    /// As [`Counts::edge_errors`](crate::trial::Counts::edge_errors).
    pub edge_errors: u64,
    /// As [`Counts::resets`](crate::trial::Counts::resets).
    pub resets: u64,
}
