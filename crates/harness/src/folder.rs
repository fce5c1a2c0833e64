//! Plays all files of a folder, four at a time, and tells what came of them.
//!
//! `SEAWALL_SCENE=text` plays only files whose path contains the text.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::corpus::Corpus;
use crate::framing;
use crate::player;
use crate::scenario::Scenario;

/// Files played at once. Each has an edge and its origins of its own.
const AT_ONCE: usize = 4;

/// What one file came to.
#[derive(Debug)]
pub struct Outcome {
    pub file: PathBuf,
    /// 1 for a scenario; as many as a corpus has.
    pub cases: usize,
    pub took: Duration,
    /// What failed, with everything that helps.
    pub failure: Option<String>,
}

/// What a folder came to. Printed, it is what a person wants to read.
#[derive(Debug)]
pub struct Report {
    pub outcomes: Vec<Outcome>,
}

impl Report {
    pub fn failed(&self) -> usize {
        self.outcomes
            .iter()
            .filter(|outcome| outcome.failure.is_some())
            .count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for outcome in &self.outcomes {
            let word = if outcome.failure.is_some() {
                "FAILED"
            } else {
                "ok"
            };
            let cases = if outcome.cases == 1 {
                String::new()
            } else {
                format!(" ({} cases)", outcome.cases)
            };
            writeln!(
                f,
                "{word:>6} {:>7.2?} {}{cases}",
                outcome.took,
                outcome.file.display()
            )?;
        }
        for outcome in &self.outcomes {
            if let Some(failure) = &outcome.failure {
                writeln!(f, "\n==== {} ====\n{failure}", outcome.file.display())?;
            }
        }
        let cases: usize = self.outcomes.iter().map(|outcome| outcome.cases).sum();
        let count = self.outcomes.len();
        write!(
            f,
            "{count} scenarios, {} passed ({cases} cases)",
            count - self.failed()
        )
    }
}

/// Plays every `.toml` of a folder against the binary. An error is one of the folder itself; what fails is in the report.
pub fn run_folder(binary: &Path, folder: &Path) -> Result<Report> {
    let files = files_of(folder)?;
    let next = Mutex::new(files.into_iter());
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let file = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(file) = file else { return };
                    let outcome = run_file(binary, &file);
                    outcomes
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(outcome);
                }
            });
        }
    });
    let mut outcomes = outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(Report { outcomes })
}

/// The scenario files of a folder, by name.
pub fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let wanted = std::env::var("SEAWALL_SCENE").unwrap_or_default();
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "toml")
            && path.to_string_lossy().contains(&wanted)
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Plays one file, scenario or corpus.
pub fn run_file(binary: &Path, file: &Path) -> Outcome {
    let start = Instant::now();
    let (cases, failure) = match play(binary, file) {
        Ok((cases, failure)) => (cases, failure),
        Err(error) => (1, Some(player::told(&error))),
    };
    Outcome {
        file: file.to_owned(),
        cases,
        took: start.elapsed(),
        failure,
    }
}

/// What stands in a file.
#[derive(Debug)]
pub enum Script {
    Scenario(Box<Scenario>),
    Corpus(Corpus),
}

/// Reads a file; everything misspelt in it is an error with its place.
pub fn read(file: &Path) -> Result<Script> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let keys: toml::Table = toml::from_str(&text)?;
    if ["request", "response", "h2"]
        .iter()
        .any(|key| keys.contains_key(*key))
    {
        return Ok(Script::Corpus(Corpus::parse(&text)?));
    }
    Ok(Script::Scenario(Box::new(Scenario::parse(&text)?)))
}

fn play(binary: &Path, file: &Path) -> Result<(usize, Option<String>)> {
    let script = read(file)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match script {
            Script::Scenario(scenario) => {
                let outcome = player::play(binary, &scenario).await;
                let told = |error| format!("{}\n{}", scenario.about, player::told(&error));
                Ok((1, outcome.err().map(told)))
            }
            Script::Corpus(corpus) => {
                let tally = framing::play(binary, &corpus).await?;
                let failed = !tally.failures.is_empty();
                Ok((tally.cases, failed.then(|| tally.failures.join("\n\n"))))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No file of the repository is misspelt, whether or not there is a binary to play it against.
    #[test]
    fn all_scenarios_can_be_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
        let mut problems = Vec::new();
        let (mut scenarios, mut cases) = (0, 0);
        for area in std::fs::read_dir(&root).unwrap() {
            let area = area.unwrap().path();
            if !area.is_dir() {
                continue;
            }
            for file in files_of(&area).unwrap() {
                match read(&file) {
                    Ok(Script::Scenario(_)) => scenarios += 1,
                    Ok(Script::Corpus(corpus)) => cases += corpus.count().unwrap(),
                    Err(error) => problems.push(format!("{}: {error:#}", file.display())),
                }
            }
        }
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        println!("{scenarios} scenarios, {cases} framing cases");
        assert!(
            scenarios > 0 && cases >= 250,
            "{scenarios} scenarios, {cases} framing cases"
        );
    }
}
