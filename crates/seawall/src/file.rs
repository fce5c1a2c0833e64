//! The configuration file: read, compiled, and all that is wrong with it. A check, a start and a reload all go this way.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use seawall_guard::StageDef;
use seawall_model::document::{self, Document, Parsed};
use seawall_model::{Limits, Problem, Problems, Wrong};
use seawall_net::tls::config::self_signed;
use seawall_net::tls::kept::Keys;
use seawall_proxy::compile::{self, Compiled, Sources};
use seawall_proxy::materials::{Materials, Room, from_disk};
use seawall_proxy::snapshot::Snapshot;
use seawall_proxy::state::State;

use crate::process::registry;

/// Reads a file's text.
///
/// # Errors
/// What is wrong with it.
pub fn text(file: &Path) -> Result<String, Problems> {
    let most = Limits::default().document_bytes as u64;
    let mut text = Vec::new();
    let read = File::open(file).and_then(|file| file.take(most + 1).read_to_end(&mut text));
    let shown = file.display();
    if let Err(error) = read {
        return Err(unreadable(&format!("{shown} cannot be read: {error}")));
    }
    if text.len() as u64 > most {
        let wrong = Wrong::new("is too long", format!("at most {most} bytes"));
        return Err(Problems::one(Problem::new("document", wrong)));
    }
    String::from_utf8(text).map_err(|_| unreadable(&format!("{shown} is no UTF-8 text")))
}

/// Reads and parses a file.
pub fn read(file: &Path) -> Parsed {
    match text(file) {
        Ok(text) => document::parse_zones(&text, &Limits::default()),
        Err(problems) => bad(problems),
    }
}

fn unreadable(what: &str) -> Problems {
    let wrong = Wrong::new(what, "name a readable text file");
    Problems::one(Problem::new("document", wrong))
}

/// Nothing but these problems.
pub fn bad(problems: Problems) -> Parsed {
    Parsed {
        document: Document::default(),
        problems: Some(problems),
        bad_zones: Default::default(),
        platform_ok: false,
        names_platform: false,
    }
}

/// Compiles what was parsed, with the files that it names. The problems that are returned are all that there are.
pub fn compile(
    parsed: &Parsed,
    materials: &Materials,
    state: &State,
    live: Option<&Snapshot>,
) -> Compiled {
    let limits = Limits::default();
    let mut compiled = compile::compile(&Sources::new(parsed, materials), &limits, state, live);
    if let Some(told) = &parsed.problems {
        let further = std::mem::replace(&mut compiled.problems, told.clone());
        join(&mut compiled.problems, further, limits.problems);
    }
    compiled
}

/// Compiles what was parsed to see whether it can be done, and forgets what came of it but for the problems.
pub fn problems(parsed: &Parsed, base: &Path, stages: &'static [&'static StageDef]) -> Problems {
    problems_by(parsed, stages, |path, room| {
        from_disk(&base.join(path), room)
    })
}

/// As [`problems`], with files that are read in this way.
pub fn problems_by(
    parsed: &Parsed,
    stages: &'static [&'static StageDef],
    read: impl FnMut(&Path, Room) -> Result<Vec<u8>, String>,
) -> Problems {
    match Checks::new(stages) {
        Ok(checks) => checks.problems(parsed, read),
        Err(problems) => problems,
    }
}

/// Checks of many documents, one after the other: what costs most of a small one's is made once.
pub struct Checks {
    stages: &'static [&'static StageDef],
    self_signed: (String, String),
    keys: Arc<Keys>,
}

impl Checks {
    /// # Errors
    /// When no self-signed certificate can be made.
    pub fn new(stages: &'static [&'static StageDef]) -> Result<Self, Problems> {
        let made = self_signed(vec!["localhost".into()]);
        let self_signed = made.map_err(|error| {
            let wrong = Wrong::new(error.to_string(), "");
            Problems::one(Problem::new("document", wrong))
        })?;
        Ok(Self {
            stages,
            self_signed,
            keys: Arc::default(),
        })
    }

    /// As [`problems_by`]. Nothing of one document is known to the next.
    pub fn problems(
        &self,
        parsed: &Parsed,
        read: impl FnMut(&Path, Room) -> Result<Vec<u8>, String>,
    ) -> Problems {
        let mut state = State::new(registry(), self.stages);
        state.keys = self.keys.clone();
        let own = Some(self.self_signed.clone());
        let materials = Materials::read_by(&parsed.document, own, read);
        compile(parsed, &materials, &state, None).problems
    }
}

/// Adds what compiling found to what parsing had told. Where a value could not be read another one stood in for it, of which
/// there is nothing to be said.
fn join(told: &mut Problems, further: Problems, most: usize) {
    let known: HashSet<&str> = told
        .list
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    let mut new: Vec<Problem> = further
        .list
        .into_iter()
        .filter(|problem| !known.contains(problem.path.as_str()))
        .collect();
    let room = most.saturating_sub(told.list.len());
    told.more += further.more + new.len().saturating_sub(room) as u64;
    new.truncate(room);
    told.list.extend(new);
}

/// Where relative paths in a file begin.
pub fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(paths: &[&str]) -> Problems {
        let wrong = Wrong::new("is wrong", "");
        Problems {
            list: paths
                .iter()
                .map(|path| Problem::new(*path, wrong.clone()))
                .collect(),
            more: 1,
        }
    }

    #[test]
    fn what_was_told_is_not_told_again_and_there_is_an_end() {
        let mut told = problems_of(&["a", "b"]);
        join(&mut told, problems_of(&["b", "c", "d", "e"]), 4);
        let paths: Vec<&str> = told.list.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(paths, ["a", "b", "c", "d"]);
        assert_eq!(told.more, 3);
    }
}
