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
    let mut drill = Command::new(&program);
    drill.args(["drill", "--twin", "--json"]);
    if ids.is_empty() {
        drill.arg("--all");
    }
    let output = drill
        .args(ids)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| program.display().to_string())?;
    let text = String::from_utf8(output.stdout)?;
    let mut wrong = 0;
    let mut all = 0;
    for line in text.lines() {
        let twin: Value = serde_json::from_str(line)?;
        let is = |name: &str| twin[name].as_bool() == Some(true);
        let bounded = twin["loss"]["bounded"].as_bool() == Some(true);
        let word = match (is("void"), is("contained")) {
            (true, _) => "void: it shows nothing",
            (false, true) => "contained: the drill does not bite",
            (false, false) if bounded => "no worse than with it: the drill does not bite",
            (false, false) => "not contained, as it must be",
        };
        let bites = !is("void") && !is("contained") && !bounded;
        wrong += usize::from(!bites);
        all += 1;
        println!(
            "{:<12} {word}\n             {}",
            twin["id"].as_str().unwrap_or("?"),
            twin["why"]
        );
    }
    println!("{} of {all} twins fail, as they must", all - wrong);
    Ok(if all > 0 && wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
