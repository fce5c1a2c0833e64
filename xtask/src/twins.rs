//! `cargo xtask drill-twins`: each drill with its one safeguard off, on a program that is never shipped. None may be contained: a drill that
//! passes without its safeguard proves nothing with it. One that is measured apart must lose more than its bound.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Builds the program, runs the twins that are named, or all, and judges them.
pub fn run(ids: &[String]) -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let root = root.context("xtask lies in the workspace")?;
    let mut build = Command::new(env!("CARGO"));
    build
        .current_dir(root)
        .args(["build", "--locked", "--package", "seawall"]);
    build.args([
        "--features",
        "unsafe-drills",
        "--bin",
        "seawall-unsafe-drills",
    ]);
    ensure!(build.status()?.success(), "the program was not built");
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| root.join("target"), Into::into);
    let program = target.join("debug/seawall-unsafe-drills");
    let mut all = ids.to_vec();
    if ids.is_empty() {
        all.push("--all".into());
    }
    let ask = |more: &[&str]| {
        let mut drill = Command::new(&program);
        drill
            .args(["drill", "--twin", "--json"])
            .args(more)
            .args(&all);
        let output = drill.stderr(Stdio::inherit()).output();
        output.with_context(|| program.display().to_string())
    };
    let listed = ask(&["--list"])?;
    ensure!(listed.status.success(), "the drills could not be listed");
    let expected = String::from_utf8(listed.stdout)?.lines().count();
    let output = ask(&[])?;
    let twins = String::from_utf8(output.stdout)?;
    let twins = twins.lines().map(serde_json::from_str);
    let twins: Vec<Value> = twins.collect::<Result<_, _>>()?;
    for twin in &twins {
        println!(
            "{:<12} {}\n             {}",
            twin["id"].as_str().unwrap_or("?"),
            word(twin).unwrap_or_else(|word| word),
            twin["why"]
        );
    }
    match judged(&twins, expected, output.status.code()) {
        Ok(()) => {
            println!("all of {expected} twins fail, as they must");
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => {
            println!("{why}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What became of a twin: as it must be, or what is wrong with it.
fn word(twin: &Value) -> Result<&'static str, &'static str> {
    let is = |name: &str| twin[name].as_bool() == Some(true);
    let bounded = twin["loss"]["bounded"].as_bool() == Some(true);
    match (is("void"), is("contained")) {
        (true, _) => Err("void: it shows nothing"),
        (false, true) => Err("contained: the drill does not bite"),
        (false, false) if bounded => Err("no worse than with it: the drill does not bite"),
        (false, false) => Ok("not contained, as it must be"),
    }
}

/// Whether all twins that were asked for came, failed, and were all that the program had to say: exit code 1.
fn judged(twins: &[Value], expected: usize, code: Option<i32>) -> Result<(), String> {
    let fail = twins.iter().filter(|twin| word(twin).is_ok()).count();
    if expected == 0 || twins.len() != expected {
        let came = twins.len();
        return Err(format!(
            "{came} of {expected} twins were run: it was interrupted, or could not run them (exit code {code:?})"
        ));
    }
    if fail != expected {
        return Err(format!("{fail} of {expected} twins fail: all must"));
    }
    match code {
        Some(1) => Ok(()),
        other => Err(format!(
            "all of {expected} twins fail, but the program ended with {other:?} in place of 1"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn twins_count_when_all_of_them_came_and_failed() {
        let fails = json!({"id": "O1", "void": false, "contained": false});
        let void = json!({"id": "O1", "void": true, "contained": false});
        let passes = json!({"id": "O1", "void": false, "contained": true});
        let bounded = json!({"void": false, "contained": false, "loss": {"bounded": true}});
        let two = |one: &Value, other: &Value| [one.clone(), other.clone()];
        assert_eq!(judged(&two(&fails, &fails), 2, Some(1)), Ok(()));
        for (twins, code) in [
            (vec![fails.clone()], Some(2)),
            (vec![fails.clone()], None),
            (vec![], Some(0)),
            (two(&fails, &void).to_vec(), Some(2)),
            (two(&fails, &passes).to_vec(), Some(1)),
            (two(&fails, &bounded).to_vec(), Some(1)),
            (two(&fails, &fails).to_vec(), None),
        ] {
            assert!(judged(&twins, 2, code).is_err(), "{twins:?} {code:?}");
        }
        assert!(judged(&[], 0, Some(1)).is_err());
    }
}
