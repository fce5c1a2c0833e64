//! The reference of stages and endpoints, rendered from their slices.

use std::fmt::Write;

use crate::endpoint::EndpointDef;
use crate::stage::{COMMON_REASONS, OnFault, OnKill, OnSpent, ReasonDef, StageDef};

/// All stages, in their order, as Markdown.
pub fn stages_markdown(stages: &[&StageDef]) -> String {
    let mut out = String::from(
        "# Stages\n\nA request meets them in this order. A budget is in fuel, of which a unit stands for a nanosecond. *Spent* is what it \
         means that a request's own bytes used the budget up, *fault* that the stage failed, *kill* that it stands in `[edge] kill`. An *optional* stage is off in safe mode, and in a zone whose \
         version is in quarantine because it brought workers down.\n\n\
         | Stage | Fuel | Spent | Fault | Kill | Optional | Judges open tunnels again | Needs |\n|---|---|---|---|---|---|---|---|\n",
    );
    for stage in stages {
        let spent = match stage.on_spent {
            OnSpent::Deny => "refused",
            OnSpent::Pass => "goes on",
        };
        let fault = match stage.on_fault {
            OnFault::Open => "goes on",
            OnFault::Closed => "503",
        };
        let kill = match stage.on_kill {
            OnKill::Off => "off",
            OnKill::Closed => "503",
        };
        let optional = if stage.optional { "yes" } else { "no" };
        let again = if stage.asks_again { "yes" } else { "no" };
        let needs = stage.needs.join(", ");
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "| [`{0}`](#{0}) | {1} | {spent} | {fault} | {kill} | {optional} | {again} | {needs} |",
            stage.name, stage.budget.fuel,
        );
    }
    for stage in stages {
        let _ = write!(out, "\n## {}\n\n{}\n", stage.name, stage.what);
        if stage.budget.body_fuel > 0 {
            let _ = writeln!(
                out,
                "\nFor bodies it has {} units of fuel a KiB, and may hold back {} bytes.",
                stage.budget.body_fuel, stage.budget.body
            );
        }
        reasons(stage.reasons, &mut out);
    }
    out.push_str("\n## Of any stage\n");
    reasons(COMMON_REASONS, &mut out);
    out
}

fn reasons(reasons: &[ReasonDef], out: &mut String) {
    if reasons.is_empty() {
        return;
    }
    out.push_str("\n| Reason | What it tells |\n|---|---|\n");
    for reason in reasons {
        let _ = writeln!(out, "| `{}` | {} |", reason.name, reason.what);
    }
}

/// All endpoints, as Markdown.
pub fn endpoints_markdown<'e>(endpoints: impl IntoIterator<Item = &'e EndpointDef>) -> String {
    let mut out = String::from(
        "# Endpoints\n\nWhat the edge itself answers on every zone. No spelling of a path below `/.seawall/` reaches an origin.\n\n\
         | Path | Methods | Stages before it | What it does |\n|---|---|---|---|\n",
    );
    for endpoint in endpoints {
        let methods: Vec<String> = endpoint
            .methods
            .iter()
            .map(|method| format!("{method:?}").to_uppercase())
            .collect();
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            endpoint.path,
            methods.join(", "),
            endpoint.stages.join(", "),
            endpoint.what
        );
    }
    out
}
