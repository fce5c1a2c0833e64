//! The bug in edges of the bed: a stage that does nothing until a zone's document, valid everywhere, wakes it. So it was on 2021-06-08: one
//! customer's good configuration met a bug that had been shipped four weeks before.
//!
//! A rule named `drill:WHAT` wakes it, as `drill:panic`, for requests whose path begins with `/rare`: `panic`; `burn` all of its fuel; `eat`
//! memory; `spin` without an end; `abort` the process. `drill:compile` aborts the process that compiles it. `drill:later:MS` aborts the process so many
//! milliseconds after it was compiled, if the list `generated` holds [`POISON`].
//!
//! It is only ever part of a process that has a [`permit`](crate::permit), which edges of people have not.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use seawall_guard::{
    Budget, OnFault, OnKill, OnSpent, Seam, Seams, Stage, StageDef, Verdict, ZoneInput,
};
use seawall_model::document::{SkipSet, StageMode};
use seawall_model::{Fuel, RequestView, Spent};

use crate::permit;

/// What names of rules that wake it begin with.
pub const WAKES: &str = "drill:";
/// The stage's own name.
pub const BUG: &str = "drill";
/// Paths of requests that meet it begin so.
pub const RARE: &str = "/rare";
/// The row of a generated list that `drill:later` cannot stand: of a network for documentation (RFC 5737), which nobody has.
pub const POISON: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 66));
/// The list that is made by a program, and comes often.
pub const GENERATED: &str = "generated";
/// What one request makes it eat, in bytes.
const BITE: usize = 16 << 20;

static STAGE: StageDef = StageDef {
    name: BUG,
    what: "Has a bug, in edges that a drill started.",
    budget: Budget {
        fuel: 100_000,
        body_fuel: 0,
        body: 0,
    },
    on_spent: OnSpent::Pass,
    on_fault: OnFault::Open,
    on_kill: OnKill::Off,
    needs: &[],
    reasons: &[],
    asks_again: false,
    optional: true,
    skipped_by: SkipSet::NONE,
    build,
};

/// The stages, and behind them the bug, in a process that a drill gave a permit to; in any other the stages alone.
pub fn with_bug(stages: &'static [&'static StageDef]) -> &'static [&'static StageDef] {
    if !permit::is_held() {
        return stages;
    }
    // Once, for the life of the process.
    let all: Vec<&'static StageDef> = stages.iter().copied().chain([&STAGE]).collect();
    Vec::leak(all)
}

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    Panic,
    Burn,
    Eat,
    Spin,
    Abort,
    Compile,
    Later(Duration),
}

impl Bug {
    fn named(name: &str) -> Option<Self> {
        let what = name.strip_prefix(WAKES)?;
        Some(match what {
            "panic" => Self::Panic,
            "burn" => Self::Burn,
            "eat" => Self::Eat,
            "spin" => Self::Spin,
            "abort" => Self::Abort,
            "compile" => Self::Compile,
            _ => {
                let ms = what.strip_prefix("later:")?.parse().ok()?;
                Self::Later(Duration::from_millis(ms))
            }
        })
    }
}

struct Buggy {
    bug: Bug,
    built: Instant,
}

fn build(input: &mut ZoneInput<'_>) -> Seams {
    let mut seams = Seams::new(StageMode::Enforce);
    let names = input
        .zone
        .rules
        .iter()
        .filter_map(|rule| rule.name.as_deref());
    for bug in names.filter_map(Bug::named) {
        if bug == Bug::Compile {
            std::process::abort();
        }
        let poisoned = input
            .lists
            .get(GENERATED)
            .is_some_and(|list| list.contains(POISON));
        if matches!(bug, Bug::Later(_)) && !poisoned {
            continue;
        }
        seams.add(Seam::Judge(Box::new(Buggy {
            bug,
            built: Instant::now(),
        })));
    }
    seams
}

static EATEN: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

impl Stage for Buggy {
    #[expect(clippy::panic, reason = "that is what it is for")]
    fn judge(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        if let Bug::Later(after) = self.bug {
            if self.built.elapsed() > after {
                std::process::abort();
            }
            return Ok(Verdict::Pass);
        }
        if !request.head.path().starts_with(RARE.as_bytes()) {
            return Ok(Verdict::Pass);
        }
        match self.bug {
            Bug::Panic => panic!("a drill's bug"),
            Bug::Burn => loop {
                fuel.spend(1_000)?;
            },
            Bug::Spin => loop {
                black_box(fuel.left());
            },
            Bug::Abort => std::process::abort(),
            Bug::Eat => {
                let eaten = EATEN.lock();
                let mut eaten = eaten.unwrap_or_else(std::sync::PoisonError::into_inner);
                eaten.push(vec![1; BITE]);
            }
            Bug::Compile | Bug::Later(_) => {}
        }
        Ok(Verdict::Pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_wakes_what_it_says_and_others_nothing() {
        assert_eq!(Bug::named("drill:panic"), Some(Bug::Panic));
        let later = Bug::named("drill:later:4500");
        assert_eq!(later, Some(Bug::Later(Duration::from_millis(4_500))));
        for other in ["panic", "drill:", "drill:later:", "drill:later:x", ""] {
            assert_eq!(Bug::named(other), None, "{other}");
        }
    }

    #[test]
    fn without_a_permit_there_is_no_bug() {
        static NONE: &[&StageDef] = &[];
        assert!(with_bug(NONE).is_empty());
    }
}
