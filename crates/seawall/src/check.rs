//! `seawall check`: the very compile that a start and a reload do, and all problems it finds.

use std::path::Path;
use std::process::ExitCode;

use seawall_model::{Limits, Problem, Problems, Wrong, document};
use seawall_proxy::compile::compile;
use seawall_proxy::materials::Materials;
use seawall_proxy::state::State;
use serde_json::json;

use crate::cli::Check;
use crate::process::registry;

/// Checks a file. Exit 0 when it is good, 1 when not.
pub fn run(check: &Check) -> ExitCode {
    let problems = problems(&check.file);
    if check.json {
        let list: Vec<_> = problems.iter().flat_map(|problems| &problems.list).map(as_json).collect();
        let more = problems.as_ref().map_or(0, |problems| problems.more);
        println!("{:#}", json!({ "ok": problems.is_none(), "problems": list, "more": more }));
    } else {
        match &problems {
            None => println!("{}: good", check.file.display()),
            Some(problems) => println!("{problems}"),
        }
    }
    if problems.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn as_json(problem: &Problem) -> serde_json::Value {
    json!({
        "path": problem.path,
        "what": problem.what,
        "help": problem.help,
        "line": problem.line,
        "column": problem.column,
    })
}

fn problems(file: &Path) -> Option<Problems> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            let wrong = Wrong::new(format!("{} cannot be read: {error}", file.display()), "name a readable text file");
            return Some(Problems::one(Problem::new("document", wrong)));
        }
    };
    let document = match document::parse(&text, &Limits::default()) {
        Ok(document) => document,
        Err(problems) => return Some(problems),
    };
    let base = file.parent().unwrap_or(Path::new("."));
    let materials = Materials::load(&document, base, None);
    compile(&document, &materials, &State::new(registry())).err()
}
