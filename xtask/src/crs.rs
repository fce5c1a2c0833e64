//! `cargo xtask crs`: all of the Core Rule Set's own tests over real HTTP. It is the test that `make test` plays a sample of, whole.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

/// Plays all tests, or those whose names begin with the word that is given.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let root = root.context("xtask lies in the workspace")?;
    let mut test = Command::new(env!("CARGO"));
    test.current_dir(root)
        .args(["test", "--locked", "--package", "seawall", "--test", "crs"])
        .args(["--", "--ignored", "--nocapture"]);
    match arguments {
        [] => {}
        [only] if !only.starts_with('-') => {
            test.env("CRS_ONLY", only);
        }
        _ => bail!("usage: cargo xtask crs [BEGIN]: the tests whose names begin so, such as 942"),
    }
    Ok(match test.status()?.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
