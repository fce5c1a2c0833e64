//! The web application firewall: a rule set in SecLang, asked of a request's head and body, and of its response where the zone wants it.
//!
//! A request without a body is asked phases 1 and 2 at once. A body is held until it was looked at as a whole; what is longer than the
//! zone's limit is refused, or passes with its beginning looked at, and the Record says so. Every phase is paid for from one budget.
//! Not here: the language and the engine (`seawall-waf`), where rule sets come from, what a refused client sees.

mod life;

use std::sync::{Arc, Mutex};

use seawall_model::document::{SkipSet, StageMode};
use seawall_model::{Fuel, RequestView, Spent, Wrong};
use seawall_waf::{Engine, Exclusion, Zone};

use super::addresses::Addresses;
use crate::assemble::ZoneInput;
use crate::rule_sets::RuleSet;
use crate::stage::{
    BodyStage, Budget, Following, OnFault, OnKill, OnSpent, Opened, ReasonDef, Seam, Seams,
    StageDef, Wants,
};
use crate::states::States;
use crate::verdict::{Reason, Verdict};
use life::{Answered, Asked, Life, Reader, Teller};

/// The stage `waf`.
pub static DEF: StageDef = StageDef {
    name: "waf",
    what: "Asks a rule set in SecLang, such as the OWASP Core Rule Set, whether a request, or its response, looks like an attack.",
    budget: Budget {
        // With 16 KiB of a body 30 ms, which is what one hostile request may cost. Harmless ones cost a hundredth.
        fuel: 24_000_000,
        body_fuel: 375_000,
        body: 1 << 20,
    },
    on_spent: OnSpent::Deny,
    // A site goes on without it, as it would if it were not there; what failed is in the Record.
    on_fault: OnFault::Open,
    on_kill: OnKill::Off,
    needs: &[
        "the request's head, as it was sent",
        "the request's body, up to `body_limit`",
        "with `responses` the response's head and the beginning of its body",
    ],
    reasons: &[
        ReasonDef {
            name: "rule",
            what: "A rule refused the request; with the Core Rule Set, because the scores of those that matched reached `threshold`.",
        },
        ReasonDef {
            name: "matched",
            what: "Rules matched, and none refused.",
        },
        ReasonDef {
            name: "response",
            what: "A rule refused the response.",
        },
        ReasonDef {
            name: "too_long",
            what: "The body is longer than `body_limit`.",
        },
        ReasonDef {
            name: "beginning",
            what: "The body is longer than `body_limit`, and only its beginning was looked at.",
        },
    ],
    asks_again: false,
    optional: true,
    skipped_by: SkipSet::WAF,
    build,
};

/// What a zone wants, shared by all its requests.
struct Waf {
    set: Arc<RuleSet>,
    zone: Zone,
    states: Arc<States>,
    body_limit: usize,
    pass_longer: bool,
    /// Whose bodies it wants to see; None: responses are not looked at.
    responses: Option<Wants>,
    debug: Addresses,
    exceptions: Vec<(Box<[Paths]>, Exclusion)>,
}

/// Paths that an exception is for.
enum Paths {
    Is(Box<[u8]>),
    Begins(Box<[u8]>),
}

impl Paths {
    fn of(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(begin) => Self::Begins(begin.as_bytes().into()),
            None => Self::Is(text.as_bytes().into()),
        }
    }

    fn has(&self, path: &[u8]) -> bool {
        match self {
            Self::Is(is) => path == &**is,
            Self::Begins(begin) => path.starts_with(begin),
        }
    }
}

fn build(input: &mut ZoneInput<'_>) -> Seams {
    let zone = &input.zone.waf;
    let mut seams = Seams::new(zone.mode);
    let debug = Addresses::of(&zone.debug_header, "waf.debug_header", input);
    let Some(path) = zone
        .ruleset
        .as_deref()
        .filter(|_| zone.mode != StageMode::Off)
    else {
        return seams;
    };
    let read = match input.files.file(path) {
        Ok((bytes, content)) => input.states.rule_sets.get(bytes, content, zone.paranoia),
        Err(why) => {
            let help = "unpack a release of the OWASP Core Rule Set, and name its folder";
            Err(vec![Wrong::new(why, help)])
        }
    };
    let set = match read {
        Ok(set) => set,
        Err(wrongs) => {
            for wrong in wrongs {
                input.problem("waf.ruleset", wrong);
            }
            return seams;
        }
    };
    let mut exceptions = Vec::new();
    for (nth, exception) in zone.exceptions.iter().enumerate() {
        let made = Exclusion::new(
            set.program(),
            &exception.rules,
            &exception.tags,
            &exception.targets,
        );
        match made {
            Ok(made) => {
                let paths = exception.paths.iter().map(|path| Paths::of(path));
                exceptions.push((paths.collect(), made));
            }
            Err(wrongs) => {
                for wrong in wrongs {
                    input.problem(&format!("waf.exception[{nth}]"), wrong);
                }
            }
        }
    }
    let variable = |name: &str, value: u32| (name.to_owned(), value.to_string());
    let level = u32::from(zone.paranoia);
    let responses = zone.responses.then(|| Wants {
        most: usize::try_from(zone.response_limit).unwrap_or(usize::MAX),
        types: set.program().response_types().into(),
    });
    let waf = Waf {
        zone: Zone {
            engine: Some(match zone.mode {
                StageMode::Enforce => Engine::On,
                _ => Engine::DetectionOnly,
            }),
            variables: vec![
                variable("blocking_paranoia_level", level),
                variable("detection_paranoia_level", level),
                variable("inbound_anomaly_score_threshold", zone.threshold),
                variable("outbound_anomaly_score_threshold", zone.response_threshold),
            ],
            partial: zone.pass_longer,
        },
        set,
        states: input.states.clone(),
        body_limit: usize::try_from(zone.body_limit).unwrap_or(usize::MAX),
        pass_longer: zone.pass_longer,
        responses,
        debug,
        exceptions,
    };
    seams.add(Seam::Body(Box::new(Arc::new(waf))));
    seams
}

impl BodyStage for Arc<Waf> {
    fn open(
        &self,
        request: &RequestView<'_>,
        length: Option<u64>,
        fuel: &mut Fuel,
    ) -> Result<Opened, Spent> {
        fuel.spend(300)?;
        let tells = !self.debug.is_empty() && self.debug.find(request.client, fuel)?.is_some();
        let is_long = length.is_some_and(|length| length > self.body_limit as u64);
        if is_long && !self.pass_longer {
            return Ok(Opened::Verdict(Verdict::Deny(
                413,
                Reason::plain("too_long"),
            )));
        }
        let begun = life::begin(self, request, length == Some(0), fuel)?;
        if !begun.goes_on && self.responses.is_none() && !tells {
            return Ok(match begun.verdict {
                Verdict::Pass => Opened::Pass,
                verdict => Opened::Verdict(verdict),
            });
        }
        let life = Arc::new(Mutex::new(Life {
            waf: self.clone(),
            asked: Asked::of(request),
            matched: begun.matched,
            left: Some(begun.left),
        }));
        let watches = begun.goes_on;
        Ok(Opened::Follow(Box::new(Following {
            verdict: begun.verdict,
            watch: watches.then(|| {
                let reader = Reader::new(life.clone());
                (Box::new(reader) as _, self.body_limit)
            }),
            keeps: if watches { self.body_limit } else { 0 },
            response: self.responses.clone().map(|wants| {
                let answered = Answered(life.clone());
                (Box::new(answered) as _, wants)
            }),
            tell: tells.then(|| Box::new(Teller(life)) as _),
        })))
    }
}

impl Waf {
    /// What is left out for a request.
    fn exclusions<'w>(
        &'w self,
        request: &RequestView<'_>,
        fuel: &mut Fuel,
    ) -> Result<Vec<&'w Exclusion>, Spent> {
        let mut found = Vec::new();
        if self.exceptions.is_empty() {
            return Ok(found);
        }
        let path = request.path(fuel)?;
        for (paths, exclusion) in &self.exceptions {
            fuel.spend(20 * (1 + paths.len() as u64))?;
            if paths.is_empty() || paths.iter().any(|is| is.has(path)) {
                found.push(exclusion);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
