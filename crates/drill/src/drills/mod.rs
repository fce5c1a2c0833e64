//! The drills: for each outage what is injected, and what must hold beside what holds for all of them.
//!
//! A drill gets a bed that is well and under load. It injects its fault, waits until it is over, and makes its claims. It never decides
//! whether the outage was contained: that does [`verdict`](crate::verdict), from what clients saw.

mod bad_change;
mod generated;
mod kills;
mod latent;
mod lost;
mod mass;

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

/// How a drill belongs to `--all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InAll {
    /// It is in it.
    Yes,
    /// It is a part of one that is.
    AsPart,
    /// It is measured apart: its fault costs more than what counts as contained, and how much is what it is to tell.
    Apart,
}

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
    /// How it belongs to `--all`.
    pub in_all: InAll,
    /// Edges run a copy of the program, which it replaces.
    pub copies: bool,
    /// The safeguard without which it must fail.
    #[cfg(feature = "unsafe-drills")]
    pub safeguard: seawall_model::safeguard::Safeguard,
    /// What it does.
    pub run: for<'b> fn(&'b Bed) -> Running<'b>,
}

macro_rules! drills {
    ($($id:literal $outage:ident, in all: $in_all:ident, off: $safeguard:ident, $run:path:
        $injects:literal; $stopped_by:literal;)+) => {
        /// All drills.
        pub static DRILLS: &[Drill] = &[$(Drill {
            id: $id,
            outage: &outage::$outage,
            injects: $injects,
            stopped_by: $stopped_by,
            in_all: InAll::$in_all,
            copies: matches!($id.as_bytes(), b"upgrade"),
            #[cfg(feature = "unsafe-drills")]
            safeguard: seawall_model::safeguard::Safeguard::$safeguard,
            run: |bed| Box::pin($run(bed)),
        }),+];
    };
}

drills! {
    "O1" O1, in all: Yes, off: Fuel, bad_change::costly_rules:
        "the pattern of that day, patterns that are too large, and a hundred costly ones in watch mode, through the API";
        "time linear in the text, a budget for compiling, and fuel for each request";
    "O5" O5, in all: Yes, off: Disk, lost::control_is_gone:
        "control is killed; an edge dies as a whole and is started without it";
        "each edge has all that it serves on its own disk";
    "O6" O6, in all: Yes, off: Check, lost::store_is_ill:
        "the store stops answering, answers slowly, is lost; a document with blank fields comes";
        "nothing is read from afar for a request; blank fields are refused where they come in";
    "O7" O7, in all: Yes, off: Key, lost::keys_are_changed:
        "the key that signs is made anew twice while an edge hears nothing, and then revoked while it is in use";
        "a key in use is replaced before it is revoked, and edges believe the list, not the key";
    "O9" O9, in all: Yes, off: Limit, lost::api_is_flooded:
        "a client of the API asks in a loop, as fast as it can, while others work with it";
        "a bound for each token and each address, told with the time to wait";
    "O10a" O10, in all: Yes, off: Delta, generated::doubled:
        "the list that a program makes comes with twice its rows, and clients are among them";
        "the producer's guard: a part that grows by more than a fifth waits for a person";
    "O10b" O10, in all: Yes, off: Delta, generated::emptied:
        "the list comes without a row";
        "the producer's guard: nothing becomes empty without a person";
    "O10c" O10, in all: Yes, off: Check, generated::over_the_limit:
        "rules that a program makes: one more than there may be";
        "one table of limits, asked where a document comes in and where it is served";
    "O10d" O10, in all: Yes, off: Check, generated::truncated:
        "a document that was cut in the middle";
        "a document is whole, or refused with all that is wrong";
    "O10e" O10, in all: Yes, off: Check, generated::not_a_number:
        "a number that is none";
        "every key has a type and a range";
    "O10f" O10, in all: Yes, off: Flap, generated::alternating:
        "good and other data by turns, one after the other";
        "a stream that alternates waits for a person";
    "O10g" O10, in all: Yes, off: Trial, generated::breaks_the_reader:
        "a document that is good by every rule, and that the edges' own reader crashes at";
        "a process of its own compiles first, and what kills it is refused";
    "O11" O11, in all: Yes, off: Kill, kills::every_stage:
        "an emergency switch on every stage that there is, one after the other, under load";
        "what a switched off stage means is declared with it, and one runner does it; one location has it first";
    "O11-rules" O11, in all: AsPart, off: Kill, kills::rules:
        "an emergency switch on the stage `rules`, under load";
        "what a switched off stage means is declared with it, and one runner does it; one location has it first";
    "O12" O12, in all: Yes, off: Mass, mass::withdrawal:
        "a filter that is empty, then the deletion of many zones, one after the other";
        "an empty name means nothing, and many zones that change at once wait for a person";
    "O14-panic" O14, in all: Yes, off: Catch, latent::panics:
        "one customer's good document wakes a bug: a panic in each request for a rare path";
        "a panic costs one stage of one request, and the stage declares what that means";
    "O14-burn" O14, in all: Yes, off: Fuel, latent::burns:
        "the same, with a stage that would never end";
        "fuel: what a stage may cost one request";
    "O14-memory" O14, in all: Yes, off: Memory, latent::eats:
        "the same, with 16 MiB that each request leaves behind";
        "a worker that takes too much is replaced, the next one first";
    "O14-loop" O14, in all: Apart, off: Hang, latent::spins:
        "the same, with an endless loop that no fuel meters: its loss is what is to be seen";
        "a thread that does not move is replaced after three seconds";
    "O16" O16, in all: Yes, off: Fence, mass::stale_applier:
        "an earlier manifest is put over a later one, as by an applier that slept";
        "generations only rise: an edge believes none lower than it has seen";
    "O17" O17, in all: Yes, off: Gates, latent::crashes_later:
        "generated data that every check lets pass, and that crashes workers 90 s after they took it";
        "what all share is watched for 180 s in one location before a second one has it";
    "upgrade" OWN, in all: Yes, off: Probe, mass::bad_program:
        "every edge is told to become a program that cannot serve";
        "the next worker answers a request of its own before the one that serves lets go";
}

/// The drill of this name, whatever its case.
pub fn named(id: &str) -> Option<&'static Drill> {
    DRILLS
        .iter()
        .find(|drill| drill.id.eq_ignore_ascii_case(id))
}

/// Outages of the catalogue that are re-enacted by another one's drill: an empty filter by a task, a policy with blank fields.
const WITH: [(&str, &str); 2] = [("O13", "O12"), ("O15", "O6")];

/// Those of an outage (`O10`: a to g), or the one of this name.
pub fn chosen(id: &str) -> Vec<&'static Drill> {
    let with = WITH
        .iter()
        .find(|(other, _)| other.eq_ignore_ascii_case(id));
    let id = with.map_or(id, |(_, drill)| drill);
    if let Some(drill) = named(id) {
        return vec![drill];
    }
    let of_it = DRILLS.iter().filter(|drill| drill.in_all == InAll::Yes);
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
        self.follows(rollout).await
    }

    /// The same, by a person who means it: no guard asks.
    ///
    /// # Errors
    /// When it is not taken.
    pub async fn means(&self, document: &str, what: &str) -> Result<Standing, Void> {
        self.timeline.note(Kind::Fault, what);
        let rollout = self.api().approved(document).await?;
        self.follows(rollout).await
    }

    async fn follows(&self, rollout: u64) -> Result<Standing, Void> {
        let standing = self.api().ended(rollout, self.patience()).await;
        let standing =
            standing.ok_or_else(|| Void::NotInjected("control does not answer".into()))?;
        match standing.ended {
            Some(false) => self.is_back(&format!("control took it back: {}", standing.why)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_has_its_drills_and_each_is_found_by_name() {
        let names = |id: &str| -> Vec<&str> { chosen(id).iter().map(|drill| drill.id).collect() };
        assert_eq!(names("o10").len(), 7);
        assert_eq!(names("O14"), ["O14-panic", "O14-burn", "O14-memory"]);
        assert_eq!(names("O14-loop"), ["O14-loop"]);
        assert_eq!((names("O13"), names("O15")), (vec!["O12"], vec!["O6"]));
        assert!(names("O2").is_empty());
        for drill in DRILLS {
            assert_eq!(named(drill.id).map(|found| found.id), Some(drill.id));
        }
    }

    #[test]
    fn every_drill_has_a_page_that_names_it() {
        let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/outages");
        let texts = std::fs::read_dir(pages).unwrap().flatten();
        let texts = texts.map(|entry| std::fs::read_to_string(entry.path()).unwrap());
        let pages: Vec<String> = texts.filter(|text| text.contains("## Measured")).collect();
        for drill in DRILLS {
            let mark = format!("| `{}` |", drill.id);
            let count = pages.iter().filter(|text| text.contains(&mark)).count();
            assert_eq!(count, 1, "{} has one page with what was measured", drill.id);
        }
    }
}
