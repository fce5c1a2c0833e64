//! Whatever becomes of a drill, nothing of it stays: a process beside it that waits for its end, however it ends, then kills what the bed
//! left and removes its folder. A drill that is killed by SIGKILL can do neither.

use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long processes that were killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The process beside a drill.
pub struct Guardian {
    child: Child,
    folder: PathBuf,
}

impl Guardian {
    /// Starts one for the bed in this folder: `PROGRAM drill --guard FOLDER`.
    ///
    /// # Errors
    /// When it cannot be started: then nothing else should be.
    pub fn start(program: &Path, folder: &Path) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg("drill").arg("--guard").arg(folder);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let apart = || {
            // A session of its own: what a terminal sends to a drill does not reach it.
            // SAFETY: a system call without arguments, allowed between fork and exec.
            if unsafe { libc::setsid() } < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        };
        // SAFETY: it does only what is allowed between fork and exec.
        unsafe { command.pre_exec(apart) };
        Ok(Self {
            child: command.spawn()?,
            folder: folder.to_owned(),
        })
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        clear(&self.folder);
        drop(self.child.stdin.take());
        // It has nothing left to do, and ends.
        let _ = self.child.wait();
    }
}

/// What the guardian does: waits until whoever started it has gone.
pub fn guard(folder: &Path) {
    // Nobody writes: it ends when the drill does.
    let _ = io::stdin().read(&mut [0]);
    clear(folder);
}

/// Kills all that runs on a bed's folder, and removes the folder.
pub fn clear(folder: &Path) {
    let until = Instant::now() + PATIENCE;
    let mut quiet = 0;
    // One that was just being started is seen the second time.
    while quiet < 2 && Instant::now() < until {
        let there = processes(folder);
        quiet = if there.is_empty() { quiet + 1 } else { 0 };
        for pid in there {
            // SAFETY: numbers. It names our folder, whose name nobody else has.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = fs::remove_dir_all(folder);
}

/// Living processes in whose command line a folder stands, drills and guardians aside.
fn processes(folder: &Path) -> Vec<i32> {
    let name = folder.as_os_str().as_encoded_bytes();
    let Ok(all) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = all.flatten().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let words = fs::read(entry.path().join("cmdline")).ok()?;
        let is_ours = words.windows(name.len()).any(|part| part == name);
        let role = words.split(|byte| *byte == 0).nth(1);
        (is_ours && role != Some(b"drill")).then_some(pid)
    });
    pids.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_on_the_folder_is_ended_and_the_folder_goes() {
        let folder = std::env::temp_dir().join(format!("seawall-guardian-{}", std::process::id()));
        fs::create_dir_all(folder.join("within")).unwrap();
        let script = format!(
            "trap '' TERM; echo {} > /dev/null; while true; do sleep 5; done",
            folder.display()
        );
        let mut child = Command::new("sh").arg("-c").arg(script).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        while !processes(&folder).contains(&pid) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let reaped = std::thread::spawn(move || child.wait().unwrap());
        clear(&folder);
        assert!(!reaped.join().unwrap().success());
        assert!(!folder.exists());
    }
}
