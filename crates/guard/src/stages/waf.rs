//! The web application firewall: a rule set in SecLang, asked of a request's head and body, and of its response where the zone wants it.
//!
//! A request without a body is asked phases 1 and 2 at once. A body is held until it was looked at as a whole; what is longer than the
//! zone's limit is refused, or passes with its beginning looked at, and the Record says so. Every phase is paid for from one budget.
//! Not here: the language and the engine (`seawall-waf`), where rule sets come from, what a refused client sees.

mod form;
mod life;
mod managed;

use std::path::Path;
use std::sync::{Arc, Mutex};

use seawall_model::document::{SkipSet, StageMode, WafOpenApi, ZoneWaf};
use seawall_model::{Fuel, RequestView, Spent, Wrong};
use seawall_waf::{Engine, Exclusion, OpenApi, Program, Zone};

use super::addresses::Addresses;
use crate::assemble::ZoneInput;
use crate::rule_sets::RuleSet;
use crate::stage::{
    BodyStage, Budget, Following, OnFault, OnKill, OnSpent, Opened, ReasonDef, Seam, Seams,
    StageDef, Wants,
};
use crate::states::{States, ZoneId};
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
        ReasonDef {
            name: "coded",
            what: "The body has a content coding that could not be taken off.",
        },
        ReasonDef {
            name: "method",
            what: "The method is none of `methods`.",
        },
        ReasonDef {
            name: "openapi",
            what: "The request is not as the description in `openapi` has it.",
        },
        ReasonDef {
            name: "shadow",
            what: "What the rule set in `shadow` found. It is only told.",
        },
        ReasonDef {
            name: "response_too_long",
            what: "The response's body is longer than `response_limit`, and `response_longer` refuses it.",
        },
        ReasonDef {
            name: "response_beginning",
            what: "The response's body is longer than `response_limit`, or has a content coding that could not be taken off; what could be looked at was.",
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
    /// Whose it is, for what outlives a request, and for events.
    id: ZoneId,
    name: Arc<str>,
    events: u16,
    /// Its verdicts are only told, as those of the set that may come next.
    is_shadow: bool,
    body_limit: usize,
    pass_longer: bool,
    pass_coded: bool,
    /// Whose bodies it wants to see; None: responses are not looked at.
    responses: Option<Wants>,
    response_limit: usize,
    refuse_longer_response: bool,
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

/// Which rule set, and how it is asked.
struct Asks<'z> {
    key: &'static str,
    ruleset: Option<&'z Path>,
    paranoia: u8,
    threshold: u32,
    is_shadow: bool,
}

fn build(input: &mut ZoneInput<'_>) -> Seams {
    let document = input.zone;
    let zone = &document.waf;
    let mut seams = Seams::new(zone.mode);
    let debug = Addresses::of(&zone.debug_header, "waf.debug_header", input);
    if zone.mode == StageMode::Off {
        return seams;
    }
    if !zone.methods.is_empty() {
        let methods = zone.methods.iter().map(|method| method.as_bytes().into());
        seams.add(Seam::Judge(Box::new(form::Methods(methods.collect()))));
    }
    if let Some(openapi) = &zone.openapi
        && let Some(contract) = contract(openapi, zone, input)
    {
        let seam = Seam::Body(Box::new(contract));
        seams
            .parts
            .push((seam, openapi.mode, Some("openapi".into())));
    }
    let asks = Asks {
        key: "waf.ruleset",
        ruleset: zone.ruleset.as_deref(),
        paranoia: zone.paranoia,
        threshold: zone.threshold,
        is_shadow: false,
    };
    if let Some(waf) = rules(&asks, zone, debug, input) {
        seams.add(Seam::Body(Box::new(Arc::new(waf))));
    }
    if let Some(shadow) = &zone.shadow {
        let asks = Asks {
            key: "waf.shadow.ruleset",
            ruleset: Some(&shadow.ruleset),
            paranoia: shadow.paranoia,
            threshold: shadow.threshold,
            is_shadow: true,
        };
        if let Some(waf) = rules(&asks, zone, Addresses::default(), input) {
            let seam = Seam::Body(Box::new(Arc::new(waf)));
            seams
                .parts
                .push((seam, StageMode::Watch, Some("shadow".into())));
        }
    }
    seams
}

fn contract(
    openapi: &WafOpenApi,
    zone: &ZoneWaf,
    input: &mut ZoneInput<'_>,
) -> Option<form::Contract> {
    let wrongs = match input.files.file(&openapi.file) {
        Err(why) => vec![Wrong::new(why, "name a description in JSON")],
        Ok((bytes, _)) => match OpenApi::read(bytes, openapi.strict) {
            Ok(api) => {
                return Some(form::Contract {
                    api: Arc::new(api),
                    body_limit: usize::try_from(zone.body_limit).unwrap_or(usize::MAX),
                });
            }
            Err(problems) => {
                let all = problems.list.into_iter();
                all.map(|problem| {
                    Wrong::new(format!("{}: {}", problem.path, problem.what), problem.help)
                })
                .collect()
            }
        },
    };
    for wrong in wrongs {
        input.problem("waf.openapi.file", wrong);
    }
    None
}

/// A rule set in this zone. None where there is none, or it is wrong.
fn rules(
    asks: &Asks<'_>,
    zone: &ZoneWaf,
    debug: Addresses,
    input: &mut ZoneInput<'_>,
) -> Option<Waf> {
    let patches = zone.patches.as_deref().filter(|_| !asks.is_shadow);
    let patches = patches.unwrap_or_default();
    let sets = &input.states.rule_sets;
    let read = match asks.ruleset {
        None if patches.is_empty() => return None,
        None => sets.get(b"", 0, asks.paranoia, patches),
        Some(path) => match input.files.file(path) {
            Ok((bytes, content)) => sets.get(bytes, content, asks.paranoia, patches),
            Err(why) => {
                let help = "unpack a release of the OWASP Core Rule Set, and name its folder";
                Err(vec![Wrong::new(why, help)])
            }
        },
    };
    let set = match read {
        Ok(set) => set,
        Err(wrongs) => {
            for wrong in wrongs {
                // A patch is named by its own lines.
                let key = match wrong.what.starts_with("patches") {
                    true => "waf.patches",
                    false => asks.key,
                };
                input.problem(key, wrong);
            }
            return None;
        }
    };
    let exceptions = exceptions(asks, zone, set.program(), input);
    let variable = |name: &str, value: u32| (name.to_owned(), value.to_string());
    let level = u32::from(asks.paranoia);
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    // One byte more tells whether there is more.
    let responses = zone.responses.then(|| Wants {
        most: bytes(zone.response_limit).saturating_add(1),
        types: set.program().response_types().into(),
    });
    Some(Waf {
        zone: Zone {
            engine: Some(match zone.mode {
                StageMode::Enforce if !asks.is_shadow => Engine::On,
                _ => Engine::DetectionOnly,
            }),
            variables: vec![
                variable("blocking_paranoia_level", level),
                variable("detection_paranoia_level", level),
                variable("inbound_anomaly_score_threshold", asks.threshold),
                variable("outbound_anomaly_score_threshold", zone.response_threshold),
            ],
            partial: zone.pass_longer || zone.pass_coded || asks.is_shadow,
        },
        set,
        states: input.states.clone(),
        id: input.id,
        name: input.zone.name.as_str().into(),
        events: zone.events,
        is_shadow: asks.is_shadow,
        body_limit: bytes(zone.body_limit),
        pass_longer: zone.pass_longer || asks.is_shadow,
        pass_coded: zone.pass_coded || asks.is_shadow,
        responses,
        response_limit: bytes(zone.response_limit),
        refuse_longer_response: zone.refuse_longer_response && !asks.is_shadow,
        debug,
        exceptions,
    })
}

/// What is left out. Of a shadow set, what it has of it: it may be another release.
fn exceptions(
    asks: &Asks<'_>,
    zone: &ZoneWaf,
    program: &Program,
    input: &mut ZoneInput<'_>,
) -> Vec<(Box<[Paths]>, Exclusion)> {
    let managed = zone.managed.iter();
    let managed = managed.filter_map(|name| managed::exclusion(program, name));
    let mut all: Vec<(Box<[Paths]>, Exclusion)> = managed
        .map(|exclusion| (Box::default(), exclusion))
        .collect();
    for (nth, exception) in zone.exceptions.iter().enumerate() {
        let made = Exclusion::new(
            program,
            &exception.rules,
            &exception.tags,
            &exception.targets,
        );
        match made {
            Ok(made) => {
                let paths = exception.paths.iter().map(|path| Paths::of(path));
                all.push((paths.collect(), made));
            }
            Err(_) if asks.is_shadow => {}
            Err(wrongs) => {
                for wrong in wrongs {
                    input.problem(&format!("waf.exception[{nth}]"), wrong);
                }
            }
        }
    }
    all
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
            left: begun.left,
        }));
        let watches = begun.goes_on;
        Ok(Opened::Follow(Box::new(Following {
            verdict: begun.verdict,
            watch: watches.then(|| {
                let reader = Reader::new(life.clone(), request);
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
    /// What is left out for a request: by its path only where no server takes that for another one.
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
            let is_everywhere = paths.is_empty();
            // An origin that reads the path in another way may have another route for it.
            if is_everywhere || paths.iter().any(|is| is.has(path)) && request.reads_alike(fuel)? {
                found.push(exclusion);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
