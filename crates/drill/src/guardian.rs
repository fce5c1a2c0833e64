//! Whatever becomes of a drill, nothing of it stays: a process beside it that waits for its end, however it ends, then kills what the bed
//! left and removes its folder. A drill that is killed by SIGKILL can do neither.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
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

/// What names of folders of beds begin with.
const NAME: &str = "seawall-drill-";
/// And how many hexadecimal digits follow.
const DIGITS: usize = 16;

/// A new name for a bed's folder: nobody else has it.
///
/// # Errors
/// When the system gives no random name.
pub fn name() -> io::Result<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    // Paths of unix sockets are short.
    let digits = id.chars().filter(char::is_ascii_hexdigit).take(DIGITS);
    Ok(format!("{NAME}{}", digits.collect::<String>()))
}

/// Whether a folder has such a name: any other is somebody's.
fn is_a_beds(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    let digits = name.and_then(|name| name.strip_prefix(NAME));
    folder.is_absolute()
        && digits.is_some_and(|digits| {
            digits.len() == DIGITS && digits.bytes().all(|one| one.is_ascii_hexdigit())
        })
}

/// What the guardian does: waits until whoever started it has gone.
///
/// # Errors
/// When the folder is no bed's: nothing is ended and nothing removed then.
pub fn guard(folder: &Path) -> Result<(), String> {
    if !is_a_beds(folder) {
        return Err(format!(
            "{} is not the folder of a bed: a drill starts its guardian itself",
            folder.display()
        ));
    }
    // Nobody writes: it ends when the drill does.
    let _ = io::stdin().read(&mut [0]);
    clear(folder);
    Ok(())
}

/// Kills all of ours that runs on a bed's folder, and removes the folder.
pub fn clear(folder: &Path) {
    if !is_a_beds(folder) {
        return;
    }
    let until = Instant::now() + PATIENCE;
    let mut quiet = 0;
    // One that was just being started is seen the second time.
    while quiet < 2 && Instant::now() < until {
        let there = processes(folder);
        quiet = if there.is_empty() { quiet + 1 } else { 0 };
        for pid in there {
            // SAFETY: numbers. It names our folder, whose name nobody else has, and is a process of our program.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = fs::remove_dir_all(folder);
}

/// Living processes of this program, or of one in the folder, in whose command line the folder stands; drills and guardians aside. Whoever
/// looks at a log of the bed is none of them.
fn processes(folder: &Path) -> Vec<i32> {
    let name = folder.as_os_str().as_encoded_bytes();
    let own = file(Path::new("/proc/self/exe"));
    let Ok(all) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = all.flatten().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let words = fs::read(entry.path().join("cmdline")).ok()?;
        let names_it = words.windows(name.len()).any(|part| part == name);
        let role = words.split(|byte| *byte == 0).nth(1);
        if !names_it || role == Some(b"drill") {
            return None;
        }
        let exe = entry.path().join("exe");
        let is_ours = fs::read_link(&exe).is_ok_and(|path| path.starts_with(folder))
            || own.is_some() && file(&exe) == own;
        is_ours.then_some(pid)
    });
    pids.collect()
}

/// Which file it is, whatever it is called by now.
fn file(path: &Path) -> Option<(u64, u64)> {
    let told = fs::metadata(path).ok()?;
    Some((told.dev(), told.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of a bed, within one that goes away whatever becomes of it.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join(name().unwrap());
        fs::create_dir_all(folder.join("within")).unwrap();
        (temporary, folder)
    }

    /// A shell, as this program, that names a folder and does not end at SIGTERM.
    fn names(program: &Path, folder: &Path) -> Child {
        let script = format!(
            "trap '' TERM; echo {} > /dev/null; while true; do sleep 5; done",
            folder.display()
        );
        let child = Command::new(program).arg("-c").arg(script).spawn().unwrap();
        // Until it is what it will be: between fork and exec it is this test.
        let exe = format!("/proc/{}/exe", child.id());
        let own = file(Path::new("/proc/self/exe"));
        while file(Path::new(&exe)) == own {
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    }

    #[test]
    fn what_runs_on_the_folder_is_ended_and_the_folder_goes() {
        let (_temporary, folder) = folder();
        let program = folder.join("seawall");
        fs::copy("/bin/sh", &program).unwrap();
        let mut child = names(&program, &folder);
        let mut reader = names(Path::new("/bin/sh"), &folder);
        let pid = i32::try_from(child.id()).unwrap();
        while !processes(&folder).contains(&pid) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let reaped = std::thread::spawn(move || child.wait().unwrap());
        clear(&folder);
        assert!(!reaped.join().unwrap().success());
        assert!(!folder.exists());
        let lives = reader.try_wait().unwrap().is_none();
        reader.kill().unwrap();
        reader.wait().unwrap();
        assert!(lives, "whoever only looks at the bed is not ours to end");
    }

    #[test]
    fn a_folder_of_another_name_is_left_alone() {
        let (_temporary, bed) = folder();
        for other in ["mine", "seawall-drill-", "seawall-drill-0123456789abcdeg"] {
            let other = bed.join(other);
            fs::create_dir(&other).unwrap();
            assert!(guard(&other).is_err());
            clear(&other);
            assert!(other.exists(), "{}", other.display());
        }
        assert!(!is_a_beds(Path::new("seawall-drill-0123456789abcdef")));
        clear(&bed);
        assert!(!bed.exists());
    }
}
