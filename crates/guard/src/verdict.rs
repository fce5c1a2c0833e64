//! What a stage may say of a request or a response, and what becomes of it when the runner has weighed it.

use std::sync::Arc;
use std::time::Duration;

use seawall_model::document::SkipSet;

use crate::edits::{Edits, HeadEdit};

/// Why a stage said what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// One of the names that the stage's [`StageDef`](crate::StageDef) documents.
    pub name: &'static str,
    /// What it was about: a rule's name, a list's name.
    pub about: Option<Arc<str>>,
}

impl Reason {
    /// A reason that needs no further word.
    pub const fn plain(name: &'static str) -> Self {
        Self { name, about: None }
    }

    /// A reason with what it was about.
    pub const fn about(name: &'static str, about: Arc<str>) -> Self {
        Self {
            name,
            about: Some(about),
        }
    }
}

/// What a stage says of a request. Each but `Pass` has a reason.
#[derive(Clone, Debug, Default)]
pub enum Verdict {
    /// Nothing to say.
    #[default]
    Pass,
    /// It goes on, and is told in the Record.
    Note(Reason),
    /// It goes on for now; the scores of a stage are summed and compared with the zone's threshold.
    Weigh(u32, Reason),
    /// The client must show that it is human, or at least a browser.
    Challenge(Reason),
    /// It is refused with this status.
    Deny(u16, Reason),
    /// It is refused for now, with 429 and when to come again.
    Throttle(Duration, Reason),
    /// It was counted: with how much is left, where the client is told; and with when to come again where there is no room for it,
    /// so that it is refused for now as by `Throttle`.
    Counted(Option<Quota>, Option<(Duration, Reason)>),
    /// It is answered by the edge.
    Respond(Page, Reason),
    /// Some of the later stages are left out.
    Skip(SkipSet, Reason),
}

/// What a limit has left, as the client is told (draft-ietf-httpapi-ratelimit-headers-10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The limit's name.
    pub policy: Arc<str>,
    /// Requests that may come in the span of `per`.
    pub most: u32,
    /// The span.
    pub per: Duration,
    /// Requests that may still come.
    pub left: u32,
    /// When there is more room than now.
    pub more_in: Duration,
}

/// What the edge answers in place of the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// A redirect.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// `Location`.
        location: Vec<u8>,
    },
    /// The maintenance page, 503.
    Maintenance {
        /// What the owner says.
        message: Arc<str>,
        /// `Retry-After`.
        retry_after: Duration,
    },
}

/// What a transform wants.
#[derive(Clone, Debug, Default)]
pub enum Transformed {
    /// Nothing.
    #[default]
    Same,
    /// This change of the head. Without a reason it is not worth telling.
    Edit(Arc<HeadEdit>, Option<Reason>),
    /// That the client goes elsewhere.
    Respond(Page, Reason),
}

/// What a stage says of a response.
#[derive(Clone, Debug, Default)]
pub enum Reviewed {
    /// It may go as it is.
    #[default]
    Same,
    /// It may go with this change. Without a reason it is not worth telling.
    Edit(Arc<Edits>, Option<Reason>),
    /// It may not go: the client gets this status.
    Deny(u16, Reason),
}

/// What a refused request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An explaining page with this status.
    Status(u16),
    /// The same with 429 and `Retry-After`.
    Throttle(Duration),
    /// A page of the edge's.
    Page(Page),
}

impl Answer {
    /// The status that the client gets.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Status(status) | Self::Page(Page::Redirect { status, .. }) => *status,
            Self::Throttle(_) => 429,
            Self::Page(Page::Maintenance { .. }) => 503,
        }
    }
}

/// A request, or a response, that does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stage that decided.
    pub stage: &'static str,
    /// Why.
    pub reason: Reason,
    /// What the client gets.
    pub answer: Answer,
    /// The stage failed, and failing means no there: the edge is to blame, not the request.
    pub failed: bool,
}
