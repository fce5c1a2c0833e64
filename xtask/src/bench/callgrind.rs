//! Counting user-space instructions: a contender runs under valgrind's callgrind, which does not care what else the
//! machine does. The counts of two runs with different numbers of requests are subtracted, so start, handshakes and
//! shutdown cancel out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::host;

/// The longest that a process may take to write its profile.
const WRITES: Duration = Duration::from_secs(10);

/// One run under callgrind.
pub struct Callgrind {
    folder: PathBuf,
    each_instruction: bool,
}

impl Callgrind {
    /// The folder takes one profile per process; it is emptied first.
    pub fn new(folder: PathBuf) -> Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            folder,
            each_instruction: false,
        })
    }

    /// Profiles will have a line for each instruction, with its address, and all names in full.
    pub fn by_instruction(mut self) -> Self {
        self.each_instruction = true;
        self
    }

    /// The same command under callgrind.
    pub fn wrap(&self, command: &Command) -> Result<Command> {
        let mut wrapped = Command::new(host::find_tool("valgrind").context("valgrind is missing")?);
        // A supervisor may start its worker as a child.
        wrapped.args(["--tool=callgrind", "--trace-children=yes"]);
        if self.each_instruction {
            wrapped.args(["--dump-instr=yes", "--compress-strings=no"]);
            wrapped.arg("--compress-pos=no");
        }
        wrapped.arg(format!("--callgrind-out-file={}/%p", self.folder.display()));
        wrapped.arg(command.get_program()).args(command.get_args());
        Ok(wrapped)
    }

    /// Instructions of every process, once they have ended, and those of the one that has most.
    pub fn instructions(&self) -> Result<(u64, u64)> {
        let (mut sum, mut most) = (0, 0);
        for profile in self.profiles()? {
            let count = finished(&profile)?;
            sum += count;
            most = most.max(count);
        }
        if sum == 0 {
            bail!("callgrind counted nothing in {}", self.folder.display());
        }
        Ok((sum, most))
    }

    /// Keeps the largest profile, for `callgrind_annotate`.
    pub fn keep(&self, path: &Path) -> Result<()> {
        let largest = self
            .profiles()?
            .into_iter()
            .max_by_key(|profile| total(profile).unwrap_or_default());
        std::fs::copy(largest.context("no profile")?, path)?;
        Ok(())
    }

    /// The profiles, one of each process.
    pub fn profiles(&self) -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(&self.folder)?;
        entries.map(|entry| Ok(entry?.path())).collect()
    }
}

/// The total of a process that was told to end, and may still write: not everybody is waited for by who started it.
fn finished(profile: &Path) -> Result<u64> {
    let deadline = Instant::now() + WRITES;
    loop {
        match total(profile) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(100)),
            outcome => return outcome,
        }
    }
}

fn total(profile: &Path) -> Result<u64> {
    let text = String::from_utf8_lossy(&std::fs::read(profile)?).into_owned();
    parse_total(&text).with_context(|| format!("{} has no totals", profile.display()))
}

/// From `totals: 12345`, or `summary:` in a profile without it.
fn parse_total(text: &str) -> Option<u64> {
    let value = |name| text.lines().rev().find_map(|line| line.strip_prefix(name));
    value("totals:")
        .or_else(|| value("summary:"))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_of_a_profile() {
        assert_eq!(
            parse_total("events: Ir\nsummary: 7\nfn=(1)\n16 400\ntotals: 42005\n"),
            Some(42_005)
        );
        assert_eq!(parse_total("events: Ir\nsummary: 7\n"), Some(7));
        assert_eq!(parse_total("events: Ir\n"), None);
    }
}
