//! The rules of a zone's owner: conditions on requests, and what becomes of those that fit.
//!
//! Each rule is a part of the stage by itself, in the order of the file, with its own mode and its own breaker; what one of
//! them changed is what the next one sees. Not here: the language of conditions, which is a room of its own.

mod goal;
mod going;

use std::sync::Arc;

use seawall_model::document::{Rule, RuleAction, RuleTarget, SkipSet, StageMode};
use seawall_model::{Fuel, RequestView, Spent, Wrong};
use seawall_rules::{Error, Expression, Set, Value};

use super::transform;
use crate::assemble::ZoneInput;
use crate::edits::HeadEdit;
use crate::stage::{
    Budget, OnFault, OnKill, OnSpent, ReasonDef, Seam, Seams, Sieve, Sifting, Stage, StageDef,
    Transform,
};
use crate::verdict::{Reason, Transformed, Verdict};
use goal::Goal;
use going::{Redirect, Rewrite};

/// The stage `rules`.
pub static DEF: StageDef = StageDef {
    name: "rules",
    what: "Does what the zone's rules say of the requests that their conditions fit.",
    // A condition on the path costs some ten units, one with a pattern over a long header some thousand.
    budget: Budget {
        fuel: 200_000,
        body_fuel: 0,
        body: 0,
    },
    on_spent: OnSpent::Deny,
    on_fault: OnFault::Open,
    on_kill: OnKill::Off,
    needs: &["the lists of the document"],
    reasons: &[
        ReasonDef {
            name: "log",
            what: "A rule with the action `log` fits.",
        },
        ReasonDef {
            name: "skip",
            what: "A rule leaves stages out for this request.",
        },
        ReasonDef {
            name: "block",
            what: "A rule refuses this request.",
        },
        ReasonDef {
            name: "weigh",
            what: "A rule adds its score to the sum that the zone's threshold judges.",
        },
        ReasonDef {
            name: "redirect",
            what: "A rule sends the client elsewhere.",
        },
        ReasonDef {
            name: "rewrite",
            what: "A rule changed the target of this request.",
        },
        ReasonDef {
            name: "unfit",
            what: "What the expression of a rule made of this request is no target: the rule did nothing.",
        },
        ReasonDef {
            name: "header",
            what: "A rule edited the header of this request.",
        },
    ],
    asks_again: true,
    optional: false,
    skipped_by: SkipSet::NONE,
    build,
};

/// A rule that judges.
struct Judging {
    when: Arc<Expression>,
    verdict: Verdict,
    /// It leaves stages out by the path: only where all servers read that alike.
    exempts_path: bool,
}

/// A rule that edits fields.
struct Header {
    when: Arc<Expression>,
    edit: Arc<HeadEdit>,
    reason: Reason,
}

fn build(input: &mut ZoneInput<'_>) -> Seams {
    let zone = input.zone;
    let mut seams = Seams::new(zone.rule_stage.mode);
    let weighs = |rule: &Rule| matches!(rule.action, RuleAction::Weigh(_));
    if zone.rules.iter().any(weighs) {
        seams.threshold = Some(zone.rule_stage.threshold);
    }
    let mut wrongs = Vec::new();
    let mut conditions = Vec::new();
    // Of those that a bound of all patterns is too small for only the first one is told, and how many more there are.
    let mut one_of_many = None;
    let mut more = 0_usize;
    for (nth, rule) in zone.rules.iter().enumerate() {
        match Expression::parse_sharing(&rule.when, input.lists, input.bounds, input.patterns) {
            Ok(when) => {
                let name: Arc<str> = match &rule.name {
                    Some(name) => name.as_str().into(),
                    None => format!("#{}", nth + 1).into(),
                };
                if rule.mode == StageMode::Off {
                    continue;
                }
                let Some(goals) = goals(input, nth, &rule.action) else {
                    continue;
                };
                let when = Arc::new(when);
                conditions.push((when.clone(), rule.mode));
                let seam = part(when, &rule.action, goals, &name);
                seams.parts.push((seam, rule.mode, Some(name)));
            }
            Err(error) if error.is_of_many && one_of_many.is_some() => more += 1,
            Err(error) => {
                if error.is_of_many {
                    one_of_many = Some(wrongs.len());
                }
                wrongs.push((nth, wrong(&error, &rule.when)));
            }
        }
    }
    let one = one_of_many.and_then(|one| wrongs.get_mut(one));
    if let Some((_, wrong)) = one.filter(|_| more > 0) {
        let rules = if more == 1 { "rule" } else { "rules" };
        wrong.what = format!(
            "{}\n    and so it is with {more} more {rules} of this zone",
            wrong.what
        );
    }
    for (nth, wrong) in wrongs {
        input.problem(&format!("rule[{nth}].when"), wrong);
    }
    let together = Together::of(&conditions);
    // Those that only watch never use up what those that enforce need.
    let are_mixed = together.enforcing.is_some() && together.watching.is_some();
    if conditions.len() >= LEAST_SIFTED || are_mixed {
        let sieve = Seam::Sieve(Box::new(together), conditions.len());
        let part = (sieve, StageMode::Enforce, Some(TOGETHER.into()));
        seams.parts.insert(0, part);
    }
    seams
}

/// Fewer rules are asked one by one at once.
const LEAST_SIFTED: usize = 8;
/// Under which name the breaker of [`Together`] stands.
const TOGETHER: &str = "all rules together";

/// The conditions of all rules, asked together: nearly all rules fit nearly no request.
struct Together {
    enforcing: Option<Part>,
    watching: Option<Part>,
}

/// Some of the rules, with their numbers among all.
struct Part {
    set: Set,
    numbers: Vec<u32>,
}

impl Together {
    fn of(conditions: &[(Arc<Expression>, StageMode)]) -> Self {
        let part = |enforces: bool| {
            let of = || {
                let all = conditions.iter().zip(0_u32..);
                all.filter(move |((_, mode), _)| (*mode == StageMode::Enforce) == enforces)
            };
            let numbers: Vec<u32> = of().map(|(_, nth)| nth).collect();
            let set = || Set::new(of().map(|((when, _), _)| when.as_ref()));
            (!numbers.is_empty()).then(|| Part {
                set: set(),
                numbers,
            })
        };
        Self {
            enforcing: part(true),
            watching: part(false),
        }
    }
}

impl Part {
    /// Adds the numbers of those that fit.
    fn fitting(
        &self,
        request: &RequestView<'_>,
        fuel: &mut Fuel,
        all: &mut Vec<u32>,
    ) -> Result<(), Spent> {
        let mut found = Vec::new();
        self.set.fitting(request, fuel, &mut found)?;
        let number = |nth: u32| self.numbers.get(nth as usize).copied();
        all.extend(found.into_iter().filter_map(number));
        Ok(())
    }
}

impl Sieve for Together {
    fn sift(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Sifting, Spent> {
        let mut sifting = Sifting::default();
        if let Some(enforcing) = &self.enforcing {
            enforcing.fitting(request, fuel, &mut sifting.fitting)?;
        }
        if let Some(watching) = &self.watching {
            // Those that fit are asked once more, and put targets together: half is kept for them.
            let mut rest = Fuel::new(fuel.left() / 2);
            let watched = watching.fitting(request, &mut rest, &mut sifting.fitting);
            sifting.spent = watched.is_err();
            fuel.spend(rest.used())?;
            sifting.fitting.sort_unstable();
        }
        Ok(sifting)
    }
}

/// Where a redirect leads, or the path of a rewrite; and the query of a rewrite.
type Goals = [Option<Goal>; 2];

/// None where an expression of the rule is wrong, which is told.
fn goals(input: &mut ZoneInput<'_>, nth: usize, action: &RuleAction) -> Option<Goals> {
    let targets = match action {
        RuleAction::Redirect { to, .. } => [("to", Some(to)), ("query", None)],
        RuleAction::Rewrite { path, query, .. } => {
            [("path", path.as_ref()), ("query", query.as_ref())]
        }
        _ => return Some([None, None]),
    };
    let mut goals = [None, None];
    let mut good = true;
    for (goal, (key, target)) in goals.iter_mut().zip(targets) {
        *goal = match target {
            None => None,
            Some(RuleTarget::Text(text)) => Some(Goal::Text(text.as_bytes().into())),
            Some(RuleTarget::Expression(source)) => {
                match Value::parse_text(source, input.lists, input.bounds, input.patterns) {
                    Ok(value) => Some(Goal::Made(value)),
                    Err(error) => {
                        let key = format!("rule[{nth}].{key}_expression");
                        input.problem(&key, wrong(&error, source));
                        good = false;
                        None
                    }
                }
            }
        };
    }
    good.then_some(goals)
}

fn part(when: Arc<Expression>, action: &RuleAction, goals: Goals, name: &Arc<str>) -> Seam {
    let [goal, query] = goals;
    let unfit = Reason::about("unfit", name.clone());
    let reason = Reason::about(action.word(), name.clone());
    let verdict = match action {
        RuleAction::Log => Verdict::Note(reason),
        RuleAction::Skip(set) => Verdict::Skip(*set, reason),
        RuleAction::Block { status } => Verdict::Deny(*status, reason),
        RuleAction::Weigh(score) => Verdict::Weigh(*score, reason),
        RuleAction::Redirect {
            status,
            keep_path,
            keep_query,
            ..
        } => {
            return Seam::Transform(Box::new(Redirect {
                when,
                status: *status,
                to: goal.unwrap_or_else(|| Goal::Text(Box::default())),
                keep_path: *keep_path,
                keep_query: *keep_query,
                reason,
                unfit,
            }));
        }
        RuleAction::Rewrite {
            strip_prefix,
            add_prefix,
            ..
        } => {
            let bytes = |text: &Option<String>| text.as_ref().map(|text| text.as_bytes().into());
            return Seam::Transform(Box::new(Rewrite {
                when,
                path: goal,
                strip_prefix: bytes(strip_prefix),
                add_prefix: bytes(add_prefix),
                query,
                reason,
                unfit,
            }));
        }
        RuleAction::Header(edits) => {
            let edit = HeadEdit {
                target: None,
                fields: transform::edits(edits),
            };
            return Seam::Transform(Box::new(Header {
                when,
                edit: Arc::new(edit),
                reason,
            }));
        }
    };
    let exempts_path = matches!(verdict, Verdict::Skip(..)) && when.reads_path();
    Seam::Judge(Box::new(Judging {
        when,
        verdict,
        exempts_path,
    }))
}

/// What is wrong with a condition: with its place in words, and below it the line with a mark under the place. The help
/// follows, in a line of its own.
pub fn wrong(error: &Error, source: &str) -> Wrong {
    let mut at = error.at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    let (before, _) = source.split_at_checked(at).unwrap_or_default();
    let line = 1 + before.matches('\n').count();
    let front = before.rsplit('\n').next().unwrap_or_default();
    let place = match (line, source.contains('\n')) {
        (_, false) => format!("column {}", front.chars().count() + 1),
        (line, true) => format!("line {line}, column {}", front.chars().count() + 1),
    };
    let mut what = format!("{}, at {place}:", error.what);
    for shown in error.render(source).lines() {
        what.push_str("\n    ");
        what.push_str(shown);
    }
    if !error.help.is_empty() {
        what.push_str("\n   ");
    }
    Wrong::new(what, error.help.clone())
}

impl Stage for Judging {
    fn judge(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        let fits = self.when.matches(request, fuel)?
            && (!self.exempts_path || request.reads_alike(fuel)?);
        Ok(match fits {
            true => self.verdict.clone(),
            false => Verdict::Pass,
        })
    }
}

impl Transform for Header {
    fn transform(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Transformed, Spent> {
        if !self.when.matches(request, fuel)? {
            return Ok(Transformed::Same);
        }
        fuel.spend(transform::cost(&self.edit.fields, &request.head.fields))?;
        Ok(Transformed::Edit(
            self.edit.clone(),
            Some(self.reason.clone()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::places::Place;

    fn place(rules: &str) -> Place {
        Place::of(&DEF, rules)
    }

    fn told(place: &Place, target: &str) -> String {
        place.asked("GET", target, &[]).0
    }

    #[test]
    fn rules_act_in_the_order_of_the_file() {
        let place = place(
            r#"
            [[zone.rule]]
            name = "api is told"
            when = 'starts_with(http.request.uri.path, "/api")'
            action = "log"
            [[zone.rule]]
            when = 'http.request.uri.path eq "/api/old"'
            action = "block"
            status = 410
            [[zone.rule]]
            when = 'ip.src in $office'
            action = "skip"
            skip = ["waf"]
            [lists.office]
            ips = ["192.0.2.0/24"]
            "#,
        );
        assert_eq!(
            told(&place, "/api/new"),
            "rules/log(api is told) rules/skip(#3)"
        );
        assert_eq!(
            told(&place, "/api/old"),
            "410 rules/log(api is told) rules/block(#2)"
        );
        let other = place.asked_from("198.51.100.1", "GET", "/%61pi/old", &[]).0;
        assert_eq!(other, "410 rules/log(api is told) rules/block(#2)");
        assert_eq!(place.asked_from("198.51.100.1", "GET", "/", &[]).0, "");
    }

    #[test]
    fn what_exempts_by_the_path_does_so_where_all_read_it_alike() {
        let place = place(
            r#"
            [[zone.rule]]
            name = "static"
            when = 'starts_with(http.request.uri.path, "/static/") or lower(raw.http.request.uri.path.extension) eq "css"'
            action = "skip"
            skip = ["waf"]
            [[zone.rule]]
            name = "no api"
            when = 'http.request.method eq "GET" and not starts_with(http.request.uri.path, "/api/")'
            action = "skip"
            skip = ["rate"]
            [[zone.rule]]
            name = "static is told"
            when = 'starts_with(http.request.uri.path, "/static/")'
            action = "log"
            [[zone.rule]]
            name = "query"
            when = 'http.request.uri.query eq "q"'
            action = "skip"
            skip = ["waf"]
            "#,
        );
        assert_eq!(
            told(&place, "/static/a%20b.js"),
            "rules/skip(static) rules/skip(no api) rules/log(static is told)"
        );
        assert_eq!(
            told(&place, "/a.css"),
            "rules/skip(static) rules/skip(no api)"
        );
        for (target, expected) in [
            (
                "/api/user/..%2f..%2fstatic%2fx",
                "rules/log(static is told)",
            ),
            ("/static/..;/api/user", "rules/log(static is told)"),
            ("/static/%252e%252e/api", "rules/log(static is told)"),
            ("/api/user%3F.css", ""),
            ("/x/../api2", ""),
            // Its query is no path, and the path does not matter to it.
            ("/x//y?q", "rules/skip(query)"),
        ] {
            assert_eq!(told(&place, target), expected, "{target}");
        }
    }

    #[test]
    fn scores_are_summed_and_compared_with_the_threshold() {
        let place = place(
            r#"
            [[zone.rule]]
            when = 'http.request.method eq "POST"'
            action = "weigh"
            score = 3
            [[zone.rule]]
            when = 'http.request.uri.path eq "/login"'
            action = "weigh"
            score = 4
            [zone.rules]
            threshold = 7
            "#,
        );
        assert_eq!(place.asked("POST", "/", &[]).0, "rules/weigh(#1)");
        assert_eq!(place.asked("GET", "/login", &[]).0, "rules/weigh(#2)");
        let both = place.asked("POST", "/login", &[]).0;
        assert_eq!(both, "403 rules/weigh(#1) rules/weigh(#2) rules/score(7)");
    }

    #[test]
    fn headers_are_edited_and_later_rules_see_that() {
        let place = place(
            r#"
            [[zone.rule]]
            when = 'http.request.uri.path eq "/a"'
            action = "header"
            set = { x-kind = "a" }
            remove = ["cookie"]
            [[zone.rule]]
            when = 'any(http.request.headers["x-kind"][*] eq "a")'
            action = "log"
            "#,
        );
        let (told, got) = place.asked("GET", "/a", &[("cookie", "x"), ("X-Kind", "b")]);
        assert_eq!(told, "rules/header(#1) rules/log(#2)");
        assert_eq!(got, "/a\nx-kind: a\n");
        let (told, got) = place.asked("GET", "/b", &[("cookie", "x")]);
        assert_eq!((told.as_str(), got.as_str()), ("", "/b\ncookie: x\n"));
    }

    #[test]
    fn a_rule_has_its_mode_and_goes_no_further_than_the_stage() {
        let rules = |stage: &str, rule: &str| {
            let text = format!(
                "rules = {{ mode = '{stage}' }}\n[[zone.rule]]\nmode = '{rule}'\n\
                 when = 'http.request.method eq \"GET\"'\naction = 'block'"
            );
            told(&place(&text), "/")
        };
        assert_eq!(rules("enforce", "enforce"), "403 rules/block(#1)");
        assert_eq!(rules("enforce", "watch"), "rules/block(#1)?");
        assert_eq!(rules("watch", "enforce"), "rules/block(#1)?");
        assert_eq!(rules("enforce", "off"), "");
        assert_eq!(rules("off", "enforce"), "");
        assert!(place("").is_unguarded());
    }

    #[test]
    fn many_rules_do_what_they_do_one_by_one() {
        let rule = |nth: usize, action: &str| {
            format!(
                "[[zone.rule]]\nwhen = 'http.request.uri.path eq \"/{nth}\" or starts_with(http.request.uri.path, \"/all\")'\n{action}\n"
            )
        };
        let mut rules = String::new();
        for nth in 0..40 {
            rules += &rule(
                nth,
                match nth {
                    7 => "action = 'log'\nmode = 'off'",
                    9 => "action = 'rewrite'\npath = '/30'",
                    20 => "action = 'weigh'\nscore = 3",
                    30 => "action = 'block'\nstatus = 410",
                    _ => "action = 'log'",
                },
            );
        }
        let place = place(&rules);
        assert_eq!(told(&place, "/0"), "rules/log(#1)");
        assert_eq!(told(&place, "/7"), "");
        assert_eq!(told(&place, "/20"), "rules/weigh(#21)");
        assert_eq!(told(&place, "/39"), "rules/log(#40)");
        assert_eq!(told(&place, "/none"), "");
        assert_eq!(
            told(&place, "/9"),
            "410 rules/rewrite(#10) rules/block(#31)",
            "rules see what was changed"
        );
        let all = told(&place, "/all");
        assert!(all.starts_with("410 rules/log(#1) rules/log(#2)"), "{all}");
    }

    #[test]
    fn what_is_wrong_with_a_condition_is_pointed_at() {
        let text = r#"
            [[zone.rule]]
            when = 'http.request.method eq "GET"'
            action = "log"
            [[zone.rule]]
            when = """
            http.request.method eq "GET"
            and http.host is "a"
"""
            action = "log"
            [[zone.rule]]
            when = 'nonsense'
            action = "log"
        "#;
        let place = Place::made(&DEF, text, true);
        assert_eq!(place.problems.len(), 2);
        let first = &place.problems[0];
        assert!(first.starts_with("zone[0].rule[1].when: "), "{first}");
        assert!(first.contains(", at line 2, column 27:\n"), "{first}");
        let mut lines = first.lines().skip(1);
        let line = lines.next().unwrap();
        let marks = lines.next().unwrap();
        let column = marks.find('^').unwrap();
        let pointed_at = line.get(column..).unwrap();
        assert!(pointed_at.starts_with("is"), "{first}");
        let second = &place.problems[1];
        assert!(second.starts_with("zone[0].rule[2].when: "), "{second}");
        assert!(
            second.contains(", at column 1:\n    nonsense\n    ^"),
            "{second}"
        );
    }
}
