//! The generated reference: pages of `docs/reference/` that are rendered from the one table each in the code.
//!
//! They are checked in, so that they can be read without building; a test fails when one is stale.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

/// The pages by their file names.
pub fn pages() -> Vec<(&'static str, String)> {
    vec![
        (
            "configuration.md",
            seawall_model::document::reference_markdown(),
        ),
        ("metrics.md", seawall_telemetry::reference_markdown()),
        (
            "stages.md",
            seawall_guard::stages_markdown(seawall_proxy::stages::STAGES),
        ),
        (
            "endpoints.md",
            seawall_guard::endpoints_markdown(
                seawall_proxy::ENDPOINTS
                    .iter()
                    .chain([&seawall_proxy::CHALLENGE]),
            ),
        ),
        ("errors.md", seawall_proxy::errors_markdown()),
        ("rules.md", seawall_rules::reference_markdown()),
        ("seclang.md", seawall_waf::reference_markdown()),
        ("commands.md", commands()),
        ("openapi.json", seawall::openapi()),
        ("api.md", seawall::api_markdown()),
    ]
}

/// The help of each command, as it is printed.
fn commands() -> String {
    let mut out = String::from("# Commands\n");
    for (name, help) in seawall::help() {
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        out.push_str(&format!(
            "\n## {name}\n\n```text\n{}\n```\n",
            lines.join("\n").trim_end()
        ));
    }
    out
}

/// Where the pages are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference")
}

/// Writes the pages; with `--check` it only tells which are stale.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    let check = match arguments {
        [] => false,
        [only] if only == "--check" => true,
        _ => bail!("usage: cargo xtask generate [--check]"),
    };
    let stale: Vec<&str> = stale()?;
    if check && !stale.is_empty() {
        bail!("stale: {} (run `cargo xtask generate`)", stale.join(", "));
    }
    std::fs::create_dir_all(folder())?;
    for (name, text) in pages().into_iter().filter(|(name, _)| stale.contains(name)) {
        std::fs::write(folder().join(name), text)
            .with_context(|| format!("{name} cannot be written"))?;
        println!("written: docs/reference/{name}");
    }
    Ok(ExitCode::SUCCESS)
}

fn stale() -> Result<Vec<&'static str>> {
    let differs = |(name, text): (&'static str, String)| {
        let there = std::fs::read_to_string(folder().join(name)).unwrap_or_default();
        (there != text).then_some(name)
    };
    Ok(pages().into_iter().filter_map(differs).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_generated_reference_is_fresh() {
        let stale = super::stale().expect("the pages can be read");
        assert!(
            stale.is_empty(),
            "stale: {stale:?} (run `cargo xtask generate`)"
        );
    }
}
