//! `seawall check`: the very compile that a start and a reload do, and all problems it finds.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use seawall_guard::StageDef;
use seawall_model::{Limits, Problem, Problems, document};
use serde_json::json;

use crate::cli::Check;
use crate::contents::Contents;
use crate::file;
use crate::privileges;
use crate::say::say;

/// Checks a file. Exit 0 when it is good, 1 when not.
pub fn run(check: &Check, stages: &'static [&'static StageDef]) -> ExitCode {
    let problems = problems(&check.file, stages);
    if check.json {
        let list: Vec<_> = problems
            .iter()
            .flat_map(|problems| &problems.list)
            .map(as_json)
            .collect();
        let more = problems.as_ref().map_or(0, |problems| problems.more);
        say(format_args!(
            "{:#}",
            json!({ "ok": problems.is_none(), "problems": list, "more": more })
        ));
    } else {
        match &problems {
            None => say(format_args!("{}: good", check.file.display())),
            Some(problems) => say(problems),
        }
    }
    if problems.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Compiles parts of documents that come as JSON, one after the other. What is wrong with them is for whoever compiles them to
/// serve them: here it shows only whether that ends.
///
/// # Errors
/// When nothing of this kind comes.
pub fn trial(
    contents: Option<&Path>,
    stages: &'static [&'static StageDef],
) -> anyhow::Result<ExitCode> {
    privileges::confine();
    let checks = file::Checks::new(stages).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    // Whatever is made once is made before anybody waits for it.
    let nothing = document::parse_alone("schema = 1\n", &Limits::default());
    let _ = checks.problems(&nothing, |_, _| Err(String::new()));
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    if input.is_empty() {
        // Who had us wait has gone.
        return Ok(ExitCode::SUCCESS);
    }
    let contents = contents.map(Contents::at);
    let texts: Vec<String> = serde_json::from_slice(&input)?;
    for text in texts {
        let parsed = document::parse_alone(&text, &Limits::default());
        let _ = checks.problems(&parsed, |path, room| match &contents {
            Some(contents) => contents.read_open(path, room),
            None => Err("nothing was brought".into()),
        });
    }
    Ok(ExitCode::SUCCESS)
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

fn problems(file: &Path, stages: &'static [&'static StageDef]) -> Option<Problems> {
    let found = file::problems(&file::read(file), file::folder(file), stages);
    let any = !found.list.is_empty() || found.more > 0;
    any.then_some(found)
}
