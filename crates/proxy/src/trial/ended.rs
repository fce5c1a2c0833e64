//! How a request ended, as far as a trial is concerned: whose doing it was.

use seawall_telemetry::{Record, Source};

use super::mixed;
use crate::fault::Fault;

/// How a request ended, as far as a trial is concerned.
pub(crate) struct Ended {
    pub(crate) how: How,
    pub(super) judged_otherwise: bool,
    /// Whose it was, where it was a request's: its network, mixed.
    pub(super) network: Option<u64>,
    /// Refused, and not by being sent elsewhere.
    pub(super) turned_away: bool,
    /// What came from behind the edge.
    pub(super) behind: Behind,
    /// What we took of its time, not the origin.
    pub(super) own_us: u64,
}

/// What came from behind the edge, an origin or the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// Nothing: the edge answered by itself, or nobody.
    Nothing,
    /// An answer below 400.
    Answer,
    /// One from 400 on: what is asked for is not there, or not to be had.
    Error,
}

impl Behind {
    fn of(status: u16, source: Source) -> Self {
        match (source, status) {
            (Source::Edge, _) | (_, 0) => Self::Nothing,
            (Source::Cache | Source::Origin, 1..400) => Self::Answer,
            (Source::Cache | Source::Origin, 400..) => Self::Error,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Well,
    EdgeError,
    OriginError,
    /// A response was begun and did not come to its end.
    BrokeOff,
    /// A stage refused it, or the edge as what it does not do.
    Refused,
    /// The client's own doing, which says nothing of us.
    ByClient,
}

impl Ended {
    pub(crate) fn of(record: &Record<'_>, fault: Option<Fault>, judged_otherwise: bool) -> Self {
        let how = how(record.verdict, record.status, record.source, fault);
        Self {
            how,
            judged_otherwise,
            network: Some(mixed(record.client_ip, 0)),
            turned_away: how == How::Refused && record.status >= 400,
            behind: Behind::of(record.status, record.source),
            own_us: record
                .duration_us
                .saturating_sub(record.origin_us.unwrap_or(0)),
        }
    }
}

/// How a request ended that was answered so, and with this verdict (`stage/reason`; empty where there is none).
pub(super) fn how(verdict: &str, status: u16, source: Source, fault: Option<Fault>) -> How {
    match (status, fault) {
        (_, Some(Fault::ClientGone | Fault::SlowReader)) => How::ByClient,
        // The rules were too dear for it, not against it: what is live had the same requests, and so the same attackers.
        _ if verdict.ends_with("/spent") => How::EdgeError,
        // No refusal: the stage failed, and the zone would rather have no answer than one that nobody looked at. What is closed because
        // it is switched off (`killed`) is closed on purpose.
        (500.., _) if verdict.ends_with("/fault") => How::EdgeError,
        // Nor is this against it: there was no room. What limits all zones together is on trial too.
        (500.., _) if verdict.ends_with("/busy") => How::EdgeError,
        _ if !verdict.is_empty() => How::Refused,
        (500.., _) if source == Source::Origin => How::OriginError,
        (500.., _) => How::EdgeError,
        (400.., Some(_)) if source == Source::Edge => How::Refused,
        (_, Some(_)) => How::BrokeOff,
        _ => How::Well,
    }
}
