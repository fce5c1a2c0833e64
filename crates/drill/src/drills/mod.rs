//! The drills: for each outage what is injected, and what must hold beside what holds for all of them.
//!
//! A drill gets a bed that is well and under load. It injects its fault, waits until it is over, and makes its claims. It never decides
//! whether the outage was contained: that does [`verdict`](crate::verdict), from what clients saw.

mod bad_change;
mod generated;
mod kills;
mod latent;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::api::Standing;
use crate::bed::Bed;
use crate::error::Void;
use crate::outage::{self, Outage};
use crate::timeline::Kind;
use crate::verdict::Claim;

/// What a drill found, beside what clients saw.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// What it claims, and whether it was so.
    pub claims: Vec<Claim>,
    /// A change was made that is to be taken back by itself.
    pub reverts: bool,
}

impl Found {
    /// Claims something.
    pub fn claim(&mut self, what: impl Into<String>, held: bool) {
        self.claims.push(Claim {
            what: what.into(),
            held,
        });
    }
}

type Running<'b> = Pin<Box<dyn Future<Output = Result<Found, Void>> + 'b>>;

/// A drill.
pub struct Drill {
    /// Its name.
    pub id: &'static str,
    /// The outage that it re-enacts.
    pub outage: &'static Outage,
    /// What is injected.
    pub injects: &'static str,
    /// What stops it here.
    pub stopped_by: &'static str,
    /// Part of `--all`; the others are parts of one that is.
    pub in_all: bool,
    /// The safeguard without which it must fail.
    #[cfg(feature = "unsafe-drills")]
    pub safeguard: seawall_model::safeguard::Safeguard,
    /// What it does.
    pub run: for<'b> fn(&'b Bed) -> Running<'b>,
}

macro_rules! drill {
    ($id:literal, $outage:ident, all: $all:literal, off: $safeguard:ident, $run:path, $injects:literal, $stopped_by:literal) => {
        Drill {
            id: $id,
            outage: &outage::$outage,
            injects: $injects,
            stopped_by: $stopped_by,
            in_all: $all,
            #[cfg(feature = "unsafe-drills")]
            safeguard: seawall_model::safeguard::Safeguard::$safeguard,
            run: |bed| Box::pin($run(bed)),
        }
    };
}

/// All drills.
pub static DRILLS: &[Drill] = &[
    drill!("O1", O1, all: true, off: Fuel, bad_change::costly_rules,
        "the pattern of that day, patterns that are too large, and hundreds of costly ones in watch mode, through the API",
        "time linear in the text, a budget for compiling, and fuel for each request"),
    drill!("O10a", O10, all: true, off: Delta, generated::doubled,
        "the list that a program makes comes with twice its rows, and clients are among them",
        "the producer's guard: a part that grows by more than a fifth waits for a person"),
    drill!("O11", O11, all: true, off: Kill, kills::every_stage,
        "an emergency switch on every stage, one after the other, under load",
        "what a switched off stage means is declared with it, and one runner does it; one location has it first"),
    drill!("O11-rules", O11, all: false, off: Kill, kills::rules,
        "an emergency switch on the stage `rules`, under load",
        "what a switched off stage means is declared with it, and one runner does it; one location has it first"),
    drill!("O14-panic", O14, all: true, off: Catch, latent::panics,
        "one customer's good document wakes a bug: a panic in each request for a rare path",
        "a panic costs one stage of one request, and the stage declares what that means"),
];

/// The drill of this name, whatever its case.
pub fn named(id: &str) -> Option<&'static Drill> {
    DRILLS
        .iter()
        .find(|drill| drill.id.eq_ignore_ascii_case(id))
}

/// Those of an outage (`O10`: a to g), or the one of this name.
pub fn chosen(id: &str) -> Vec<&'static Drill> {
    if let Some(drill) = named(id) {
        return vec![drill];
    }
    let of_it = DRILLS.iter().filter(|drill| drill.in_all);
    of_it
        .filter(|drill| drill.outage.id.eq_ignore_ascii_case(id))
        .collect()
}

/// The longest that a rollout of the bed may take, in tempo time: all of its holds, and as much again.
const ROLLOUT: Duration = Duration::from_secs(1_500);
/// And at any speed at least: machines are busy.
const LEAST: Duration = Duration::from_secs(30);

impl Bed {
    /// How long a rollout is waited for.
    pub fn patience(&self) -> Duration {
        self.tempo().scaled(ROLLOUT) + LEAST
    }

    /// Applies a document that is to come everywhere.
    ///
    /// # Errors
    /// When it does not: then what was to be injected is not there.
    pub async fn brings_everywhere(&self, document: &str) -> Result<(), Void> {
        let rollout = self.api().applied(document).await?;
        match self.api().ended(rollout, self.patience()).await {
            Some(Standing {
                ended: Some(true), ..
            }) => Ok(()),
            Some(other) => Err(Void::NotInjected(format!(
                "the rollout did not end: {}",
                other.why
            ))),
            None => Err(Void::NotInjected("control does not answer".into())),
        }
    }

    /// Applies a document that is bad, and waits what becomes of it.
    ///
    /// # Errors
    /// When it is not taken.
    pub async fn tries(&self, document: &str, what: &str) -> Result<Standing, Void> {
        self.timeline.note(Kind::Fault, what);
        let rollout = self.api().applied(document).await?;
        let standing = self.api().ended(rollout, self.patience()).await;
        let standing =
            standing.ok_or_else(|| Void::NotInjected("control does not answer".into()))?;
        match standing.ended {
            Some(false) => self.is_back("control took it back"),
            Some(true) => self.timeline.note(Kind::Note, "it is everywhere"),
            None => self
                .timeline
                .note(Kind::Detected, format!("it waits: {}", standing.why)),
        }
        Ok(standing)
    }

    /// What was changed is taken back.
    pub fn is_back(&self, how: &str) {
        self.reverted.set(Some(self.timeline.now()));
        self.timeline.note(Kind::Reverted, how);
    }
}
