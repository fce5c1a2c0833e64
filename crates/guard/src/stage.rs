//! The seams, each a trait of one method, and what a stage declares of itself.
//!
//! A new need becomes a new small trait, never a further method. Stages are synchronous and do no IO: keys, lists and feeds were
//! fetched in the background into State.

use std::sync::Arc;

use seawall_model::document::{SkipSet, StageMode};
use seawall_model::{Fuel, RequestView, ResponseHead, Spent};

use crate::assemble::ZoneInput;
use crate::verdict::{Reviewed, Transformed, Verdict};

/// Changes requests before later stages, cache and origin see them. Pure.
pub trait Transform: Send + Sync {
    /// What should change.
    ///
    /// # Errors
    /// [`Spent`]: there was not enough fuel.
    fn transform(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Transformed, Spent>;
}

/// Judges requests by their heads.
pub trait Stage: Send + Sync {
    /// What it says of this one.
    ///
    /// # Errors
    /// [`Spent`]: there was not enough fuel.
    fn judge(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Verdict, Spent>;
}

/// Says which of the parts behind it could have something to say, so that the others need not be asked. It decides nothing: a part
/// that it names is asked as ever, and if it fails all of them are.
pub trait Sieve: Send + Sync {
    /// Which parts.
    ///
    /// # Errors
    /// [`Spent`]: there was not enough fuel for those that enforce.
    fn sift(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Sifting, Spent>;
}

/// What a [`Sieve`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sifting {
    /// The numbers of the parts that could have something to say, counted from 0, in order.
    pub fitting: Vec<u32>,
    /// There was not enough fuel for those that only watch: they are left out, which is told.
    pub spent: bool,
}

/// Looks into bodies. It is asked once all head stages have passed, before a byte of the body is read.
pub trait BodyStage: Send + Sync {
    /// Whether to look at the body of this request. `length` is its announced length, in bytes.
    ///
    /// # Errors
    /// [`Spent`]: there was not enough fuel.
    fn open(
        &self,
        request: &RequestView<'_>,
        length: Option<u64>,
        fuel: &mut Fuel,
    ) -> Result<Opened, Spent>;
}

/// What a body stage says before the body comes.
pub enum Opened {
    /// It need not be looked at.
    Pass,
    /// This, already.
    Verdict(Verdict),
    /// Each piece is to be shown to this, and so many bytes are to be held back, at most [`Budget::body`]: a body that is
    /// refused within them never begins at the origin.
    Watch(Box<dyn Inspect>, usize),
    /// It looks at more than the body: at the whole of this request's life.
    Follow(Box<Following>),
}

/// Those who go with a request for the rest of its life. Any of them may be left out.
#[derive(Default)]
pub struct Following {
    /// What is said already.
    pub verdict: Verdict,
    /// As [`Opened::Watch`].
    pub watch: Option<(Box<dyn Inspect>, usize)>,
    /// Bytes of the body that the watch itself keeps in memory.
    pub keeps: usize,
    /// Who judges its response, with what it learnt of the request.
    pub response: Option<(Box<dyn Follow>, Wants)>,
    /// Who tells the client itself something.
    pub tell: Option<Box<dyn Tell>>,
}

/// Which responses' bodies somebody wants to see before they go on.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    /// Bytes of the body, from its beginning.
    pub most: usize,
    /// Media types, in lower case and without parameters.
    pub types: Arc<[String]>,
}

/// Judges the response to one request. What it sees of the body is what [`Wants`] says, as far as it is there.
pub trait Follow: Send {
    /// What it says of it.
    ///
    /// # Errors
    /// [`Spent`]: there was not enough fuel.
    fn review(&mut self, response: &ResponseView<'_>, fuel: &mut Fuel) -> Result<Reviewed, Spent>;
}

/// Tells a client whom the zone's owner trusts what was found, in a field of the response.
pub trait Tell: Send {
    /// The field's name and value, if there is something to tell.
    fn field(&self) -> Option<(&'static str, String)>;
}

/// Looks at one body as it streams. What it refuses late never reaches the origin whole: its last byte is held back until it
/// was seen here.
pub trait Inspect: Send {
    /// The next piece; `end` with the last one, which may be empty.
    ///
    /// # Errors
    /// [`Spent`]: there was not enough fuel.
    fn feed(&mut self, piece: &[u8], end: bool, fuel: &mut Fuel) -> Result<Verdict, Spent>;
}

/// A response, for those who judge it.
#[derive(Debug)]
pub struct ResponseView<'r> {
    /// What the origin answered.
    pub head: &'r ResponseHead,
    /// The first bytes of its body that came with the head, at most [`Budget::body`]; it may well be none.
    pub body: &'r [u8],
    /// The client's address, canonical.
    pub client: std::net::IpAddr,
}

/// Judges responses by their heads and the first bytes of their bodies.
pub trait ResponseStage: Send + Sync {
    /// What it says of this one.
    ///
    /// # Errors
    /// [`Spent`]: there was not enough fuel.
    fn review(&self, response: &ResponseView<'_>, fuel: &mut Fuel) -> Result<Reviewed, Spent>;
}

/// One of the seams, with what a stage put there.
pub enum Seam {
    /// Changes heads.
    Transform(Box<dyn Transform>),
    /// Judges heads.
    Judge(Box<dyn Stage>),
    /// Says which of so many parts behind it are asked.
    Sieve(Box<dyn Sieve>, usize),
    /// Looks into bodies.
    Body(Box<dyn BodyStage>),
    /// Judges responses.
    Response(Box<dyn ResponseStage>),
}

/// What a stage does in one zone: its parts, in their order.
#[derive(Default)]
pub struct Seams {
    /// The stage's mode in this zone. A part may go less far, never further.
    pub mode: StageMode,
    /// Scores of its parts are summed; from here on the request is refused with 403.
    pub threshold: Option<u32>,
    /// Each with its mode and, where it has one, the name of the rule that it is.
    pub parts: Vec<(Seam, StageMode, Option<Arc<str>>)>,
}

impl Seams {
    /// Nothing to do, in this mode.
    pub const fn new(mode: StageMode) -> Self {
        Self {
            mode,
            threshold: None,
            parts: Vec::new(),
        }
    }

    /// Adds a part.
    pub fn add(&mut self, seam: Seam) {
        self.parts.push((seam, StageMode::Enforce, None));
    }
}

/// What a stage may cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Fuel for one request's head, and for one response; a unit is a nanosecond, so this is its time too.
    pub fuel: u64,
    /// Fuel for each KiB of a body. What was not used of it, nor of `fuel` when the body was opened, is there for its later pieces.
    pub body_fuel: u64,
    /// Bytes of a body that it may want held back, or of a response's body that it sees.
    pub body: usize,
}

/// What it means that a request used up the stage's budget by its own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSpent {
    /// It is refused, where the stage enforces.
    Deny,
    /// It goes on.
    Pass,
}

/// What a panic or missing State means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFault {
    /// The request goes on without this stage.
    Open,
    /// It is answered with an explaining 503.
    Closed,
}

/// What an emergency switch on this stage means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnKill {
    /// It is as if the stage were not there.
    Off,
    /// What it guards is answered with an explaining 503.
    Closed,
}

/// One of a stage's reasons, for `Seawall-Verdict`, Records and the reference.
#[derive(Clone, Copy, Debug)]
pub struct ReasonDef {
    /// Its name.
    pub name: &'static str,
    /// What it tells the owner of a site.
    pub what: &'static str,
}

/// A stage, as data.
pub struct StageDef {
    /// The same word in documents, `skip`, `Seawall-Verdict`, `/state` and the reference.
    pub name: &'static str,
    /// What it does, for the reference.
    pub what: &'static str,
    /// What it may cost.
    pub budget: Budget,
    /// What it means that a request used it up.
    pub on_spent: OnSpent,
    /// What a panic means.
    pub on_fault: OnFault,
    /// What an emergency switch means.
    pub on_kill: OnKill,
    /// What it needs beside the request, for the reference.
    pub needs: &'static [&'static str],
    /// All reasons it may give.
    pub reasons: &'static [ReasonDef],
    /// Whether it judges open tunnels and streams once more when the configuration changes: not where judging counts.
    pub asks_again: bool,
    /// Whether a site can do without it for a while: it is off in safe mode and in a zone in quarantine. Not what closes a site or
    /// a part of it, what protects the origin by a plain list or header, or what bounds a client.
    pub optional: bool,
    /// What names it in `skip`; [`SkipSet::NONE`] for a stage that nothing skips.
    pub skipped_by: SkipSet,
    /// What it does in a zone. Pure: State is looked up, never read. Problems go to the input.
    pub build: fn(&mut ZoneInput<'_>) -> Seams,
}

/// Reasons that any stage may have, given by the runner.
pub const COMMON_REASONS: &[ReasonDef] = &[
    ReasonDef {
        name: "spent",
        what: "The request used up the stage's budget.",
    },
    ReasonDef {
        name: "fault",
        what: "The stage failed, and failing means no there.",
    },
    ReasonDef {
        name: "killed",
        what: "The stage is switched off by an emergency switch, and what it guards is closed.",
    },
    ReasonDef {
        name: "score",
        what: "The scores of the rules that fit reached the zone's threshold.",
    },
    ReasonDef {
        name: "busy",
        what: "The zone has used up its share of what all zones have together.",
    },
];

impl StageDef {
    /// Whether it may give this reason.
    pub fn documents(&self, reason: &str) -> bool {
        let mut all = self.reasons.iter().chain(COMMON_REASONS);
        all.any(|known| known.name == reason)
    }
}
