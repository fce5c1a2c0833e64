//! The configuration file, and all that is wrong with it.

use std::path::Path;

use seawall_model::document::{self, Document};
use seawall_model::{Limits, Problem, Problems, Wrong};
use seawall_proxy::compile::compile;
use seawall_proxy::materials::Materials;
use seawall_proxy::state::State;

use crate::process::registry;

/// Reads and parses a file.
///
/// # Errors
/// All problems: where parsing finds some, those that compiling would find in the rest are told with them.
pub fn read(file: &Path) -> Result<Document, Problems> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let what = format!("{} cannot be read: {error}", file.display());
        Problems::one(Problem::new(
            "document",
            Wrong::new(what, "name a readable text file"),
        ))
    })?;
    match document::parse_partly(&text, &Limits::default()) {
        (document, None) => Ok(document),
        (document, Some(mut problems)) => {
            if let Err(others) = try_compile(&document, file) {
                problems.add(others);
            }
            Err(problems)
        }
    }
}

/// Compiles a document of this file to see whether it can be done, and forgets what came of it.
///
/// # Errors
/// All problems that compiling finds.
pub fn try_compile(document: &Document, file: &Path) -> Result<(), Problems> {
    let materials = Materials::load(document, folder(file), None);
    compile(document, &materials, &State::new(registry())).map(|_| ())
}

/// Where relative paths in a file begin.
pub fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("."))
}
