//! A folder of one's own that goes away with its owner, and before it what runs on it.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// How long processes that were killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// A fresh folder under the system's temporary folder, into which other users may look. On drop what runs on a data folder
/// within it is ended, and it is removed with all that is in it. `SEAWALL_KEEP=1` leaves it there, to be looked at.
#[derive(Debug)]
pub struct TempFolder {
    folder: TempDir,
}

impl TempFolder {
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("seawall-")
            .permissions(Permissions::from_mode(0o755))
            .disable_cleanup(std::env::var_os("SEAWALL_KEEP").is_some())
            .tempdir()
            .context("cannot create a temporary folder")?;
        Ok(Self { folder })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file in the folder and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path().join(name);
        std::fs::write(&path, content)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for TempFolder {
    /// What still writes there would keep it from being removed.
    fn drop(&mut self) {
        end_all(self.path());
    }
}

/// Kills all of ours that runs on this data folder, or on one below it, and waits until it has gone.
pub fn end_all(folder: &Path) {
    let due = Instant::now() + PATIENCE;
    loop {
        let there = running(folder);
        if there.is_empty() || Instant::now() > due {
            return;
        }
        for pid in there {
            // SAFETY: `kill` takes two numbers and touches no memory of ours.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        // Another one may have been started meanwhile.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Processes of our programs that live and were given such a folder. One that has ended has no command line any more, though
/// nobody may have asked yet how it ended.
fn running(folder: &Path) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let is_on_it = words.windows(2).any(|pair| {
            matches!(pair[0], b"--data" | b"--contents")
                && Path::new(OsStr::from_bytes(pair[1])).starts_with(folder)
        });
        if !is_on_it {
            return None;
        }
        let program = std::fs::read_link(entry.path().join("exe")).ok()?;
        program.to_string_lossy().contains("seawall").then_some(pid)
    });
    pids.collect()
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::process::{Child, Command};

    use super::*;

    #[test]
    fn a_folder_goes_away_with_its_owner() {
        let folder = TempFolder::new().unwrap();
        let file = folder.write("a", "b").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"b");
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }

    /// A program of our name that makes one file after the other beside this data folder.
    fn writes(program: &Path, data: &Path) -> Child {
        std::fs::copy("/bin/sh", program).unwrap();
        let script = r#"while true; do n=$((n + 1)); : > "$1.$n"; done"#;
        let begun = Instant::now();
        loop {
            let mut command = Command::new(program);
            command.args(["-c", script, "--data"]).arg(data);
            match command.spawn() {
                // Whoever starts a process at this moment has a copy of what it was written with, until that process is another program.
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                    assert!(begun.elapsed() < PATIENCE, "{error}");
                    std::thread::sleep(Duration::from_millis(5));
                }
                started => return started.unwrap(),
            }
        }
    }

    #[test]
    fn what_writes_there_is_ended_before_it_goes() {
        let folder = TempFolder::new().unwrap();
        let path = folder.path().to_owned();
        let mut child = writes(&path.join("seawall"), &path.join("data"));
        let begun = Instant::now();
        while !path.join("data.1").exists() {
            assert!(begun.elapsed() < PATIENCE, "it does not write");
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(folder);
        let is_gone = !path.exists();
        // Whatever came of it, it does not go on.
        let _ended = child.kill();
        child.wait().unwrap();
        assert!(is_gone);
    }
}
