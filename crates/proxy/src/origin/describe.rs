//! What `/state` tells of a pool and its members.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use super::pool::{Pool, Slot};

/// What `/state` tells of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// More than half of the members are out, so all are used again.
    pub panicking: bool,
    /// How often a request went to a member that is out.
    pub desperate_picks: u64,
    /// In the order of the configuration.
    pub members: Vec<MemberState>,
}

/// What `/state` tells of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberState {
    /// `scheme://host:port`.
    pub id: String,
    /// Its share of the requests, in relation to the other weights.
    pub weight: u32,
    /// Requests that it is working on.
    pub in_flight: u32,
    /// Connections to it.
    pub connections: u32,
    /// How much of its weight counts while it grows (slow start).
    pub weight_now_percent: u32,
    /// What its probes say; true when it is not probed.
    pub healthy: bool,
    /// For how many milliseconds it is still ejected.
    pub ejected_for_ms: Option<u64>,
    /// How often it was ejected in a row.
    pub ejections: u32,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// Where it can be reached.
    pub addresses: Vec<SocketAddr>,
    /// These are old ones, kept because DNS fails.
    pub addresses_stale: bool,
}

impl Pool {
    /// Whether more than half of the members are out, so that all are used again.
    pub fn is_panicking(&self, now: u64) -> bool {
        let (drawable, out) = self.count_out(now);
        out * 2 > drawable
    }

    /// Whether every member is out.
    pub fn is_down(&self, now: u64) -> bool {
        !self.is_empty() && self.members().all(|member| self.is_out(member, now))
    }

    /// What `/state` tells.
    pub fn describe(&self, now: u64) -> PoolState {
        PoolState {
            panicking: self.is_panicking(now),
            desperate_picks: self.desperate_picks(),
            members: self
                .slots
                .iter()
                .map(|slot| self.describe_slot(slot, now))
                .collect(),
        }
    }

    fn describe_slot(&self, slot: &Slot, now: u64) -> MemberState {
        let member = &slot.member;
        let ejected_for_ms = member
            .ejected_until
            .load(Ordering::Relaxed)
            .saturating_sub(now);
        MemberState {
            id: member.id().to_owned(),
            weight: slot.weight,
            in_flight: member.in_flight(),
            connections: member.connections(),
            weight_now_percent: self.percent_now(slot, now),
            healthy: self.settings.active.is_none() || member.is_healthy(),
            ejected_for_ms: (ejected_for_ms > 0).then_some(ejected_for_ms),
            ejections: member.ejections.load(Ordering::Relaxed),
            consecutive_failures: member.consecutive_failures.load(Ordering::Relaxed),
            addresses: member.addresses().to_vec(),
            addresses_stale: member.addresses_stale(),
        }
    }
}
