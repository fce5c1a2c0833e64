//! What a worker of root may still write. Nearly all files are root's own, and for its own nobody needs a capability: so it gives up
//! by Landlock (landlock(7)), for good, to write anywhere but below its data folder and in its access log's, and to start any program.
//!
//! Reading stays: a later configuration may name certificates and folders anywhere, and what was given up cannot be had again. Not here:
//! who runs as a user of its own, for whom the permissions of files do the same.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use seawall_model::Document;
use seawall_model::document::AccessLog;
use seawall_telemetry::log::place_of;

use super::checked;

/// `LANDLOCK_CREATE_RULESET_VERSION` of linux/landlock.h.
const ASK_VERSION: u32 = 1;
/// `LANDLOCK_RULE_PATH_BENEATH`.
const BENEATH: u32 = 1;

// `LANDLOCK_ACCESS_FS_…`.
const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const MAKE_SOCK: u64 = 1 << 9;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_BLOCK: u64 = 1 << 11;
const MAKE_SYM: u64 = 1 << 12;
/// To rename or link from one folder to another: from the second version on; before, nobody may who gave up anything.
const REFER: u64 = 1 << 13;
/// From the third version on; before, it stays.
const TRUNCATE: u64 = 1 << 14;

/// What is given up.
const GIVEN_UP: u64 = EXECUTE
    | WRITE_FILE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_CHAR
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SOCK
    | MAKE_FIFO
    | MAKE_BLOCK
    | MAKE_SYM
    | REFER
    | TRUNCATE;
/// What stays in our folders. Not to make links: what one in `DATA`, or the log, leads to is allowed at the next start.
const IN_FOLDERS: u64 = GIVEN_UP & !(EXECUTE | MAKE_CHAR | MAKE_FIFO | MAKE_BLOCK | MAKE_SYM);
/// What stays of single files.
const OF_FILES: u64 = WRITE_FILE | TRUNCATE;

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct Rule {
    allowed: u64,
    folder: i32,
}

/// A process of root gives up what it does not write: to be called while it has one thread. What people should know of it.
pub fn give_up(data: &Path, document: &Document) -> Option<String> {
    // SAFETY: it only tells.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    let better = "a user of its own (User= in systemd)";
    // The hook is started by the worker, and what it writes is its own concern.
    if !document.edge.acme.dns_hook.is_empty() {
        return Some(format!(
            "it runs as root, and what serves may write what root may, because [edge.acme] dns_hook starts a program: give it {better}"
        ));
    }
    Some(match confine(&Places::of(data, document)) {
        Ok(version) => format!(
            "it runs as root: what serves writes below DATA and in its log's folder alone, and starts no program (Landlock {version}); {better} is better still"
        ),
        Err(error) => format!(
            "it runs as root, and what serves may write what root may ({error}: no Landlock of Linux here): give it {better}"
        ),
    })
}

/// Where writing stays allowed.
#[derive(Debug, Default)]
struct Places {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Places {
    fn of(data: &Path, document: &Document) -> Self {
        let mut places = Self::default();
        places.folders.push(data.to_owned());
        places.file(Path::new("/dev/null"));
        // The cache, or whatever else, may be on another disk.
        for entry in fs::read_dir(data).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                places.leads_to(&entry.path());
            }
        }
        if let AccessLog::File(log) = &document.edge.access_log
            && log.file.as_os_str() != "-"
        {
            places.log(&data.join(&log.file));
        }
        places
    }

    /// A log is written, and where its file is, the older ones are renamed and removed, and a new one is made when somebody has moved it;
    /// a pipe, a device and the standard output are only written.
    fn log(&mut self, path: &Path) {
        let Some(place) = place_of(path) else {
            return self.file(path);
        };
        for folder in [path, place.as_path()].into_iter().filter_map(Path::parent) {
            // As the log itself would, were it not there yet.
            let _ = fs::create_dir_all(folder);
            if !self.folders.iter().any(|known| known == folder) {
                self.folders.push(folder.to_owned());
            }
        }
    }

    fn leads_to(&mut self, path: &Path) {
        if path.is_dir() {
            self.folders.push(path.to_owned());
        } else {
            self.file(path);
        }
    }

    fn file(&mut self, path: &Path) {
        if path.exists() && !path.is_dir() {
            self.files.push(path.to_owned());
        }
    }
}

/// Gives it up, for this thread and all that it starts. The version of Landlock that does it.
fn confine(places: &Places) -> io::Result<i64> {
    // SAFETY: it is asked for a number, and given none.
    let version = unsafe {
        let none = std::ptr::null::<u64>();
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            none,
            0_usize,
            ASK_VERSION,
        )
    };
    checked(version)?;
    let handled = GIVEN_UP
        & match version {
            1 => !(REFER | TRUNCATE),
            2 => !TRUNCATE,
            _ => u64::MAX,
        };
    // SAFETY: it reads the first field of its struct, which is this number, as long as is said.
    let made = unsafe {
        let size = size_of_val(&handled);
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const handled,
            size,
            0_u32,
        )
    };
    checked(made)?;
    // SAFETY: it was made just now and is nobody else's.
    let rules = unsafe { OwnedFd::from_raw_fd(made as i32) };
    for folder in &places.folders {
        allow(&rules, folder, handled & IN_FOLDERS)?;
    }
    for file in &places.files {
        allow(&rules, file, handled & OF_FILES)?;
    }
    // SAFETY: numbers.
    checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())?;
    // SAFETY: a descriptor and a number.
    let done = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0_u32) };
    checked(done)?;
    Ok(version)
}

fn allow(rules: &OwnedFd, path: &Path, allowed: u64) -> io::Result<()> {
    let mut options = File::options();
    let opened = options.read(true).custom_flags(libc::O_PATH).open(path);
    let opened =
        opened.map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    let rule = Rule {
        allowed,
        folder: opened.as_raw_fd(),
    };
    // SAFETY: the rule is laid out as the call wants it and outlives it, as do both descriptors.
    let done = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            rules.as_raw_fd(),
            BENEATH,
            &raw const rule,
            0_u32,
        )
    };
    match checked(done) {
        // A pipe is beneath no folder: nobody is kept from writing to it.
        Err(error) if error.raw_os_error() == Some(libc::EBADFD) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::say::say;

    /// Does it in a thread of its own, which is all that is confined; skipped where the kernel cannot.
    fn confined(places: Places, then: impl FnOnce() + Send + 'static) {
        let confined = move || match confine(&places) {
            Ok(_) => then(),
            Err(error) => say(format_args!("skipped: no Landlock here: {error}")),
        };
        std::thread::spawn(confined).join().unwrap()
    }

    fn denied<T>(done: io::Result<T>) {
        let error = done.err().expect("it should be denied");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
    }

    #[test]
    fn it_writes_below_its_folder_and_to_its_log_and_nowhere_else() {
        let temporary = tempfile::tempdir().unwrap();
        let all = temporary.path();
        let (data, logs, other) = (all.join("data"), all.join("logs"), all.join("other"));
        for folder in [&data, &other, &all.join("disk")] {
            fs::create_dir_all(folder).unwrap();
        }
        std::os::unix::fs::symlink(all.join("disk"), data.join("cache")).unwrap();
        fs::write(other.join("read"), "text").unwrap();
        let mut document = Document::default();
        document.edge.access_log = AccessLog::File(seawall_model::document::LogFile {
            file: logs.join("access.log"),
            ..Default::default()
        });
        let places = Places::of(&data, &document);
        confined(places, move || {
            // What a worker does.
            fs::create_dir(data.join("crashes")).unwrap();
            fs::write(data.join("crashes/one.new"), "text").unwrap();
            fs::rename(data.join("crashes/one.new"), data.join("one")).unwrap();
            fs::remove_file(data.join("one")).unwrap();
            fs::remove_dir(data.join("crashes")).unwrap();
            let _socket = std::os::unix::net::UnixListener::bind(data.join("socket")).unwrap();
            fs::write(data.join("cache/segment"), "text").unwrap();
            fs::write(logs.join("access.log"), "line").unwrap();
            fs::rename(logs.join("access.log"), logs.join("access.log.1")).unwrap();
            fs::write("/dev/null", "text").unwrap();
            // What a later configuration may want.
            assert_eq!(fs::read_to_string(other.join("read")).unwrap(), "text");
            assert!(fs::read_dir(&other).unwrap().next().is_some());
            // What nobody but an intruder does.
            denied(fs::write(other.join("read"), "changed"));
            denied(fs::write(other.join("new"), "text"));
            denied(fs::create_dir(other.join("new")));
            denied(fs::remove_file(other.join("read")));
            denied(fs::rename(other.join("read"), other.join("new")));
            denied(Command::new("true").status());
            denied(
                std::thread::spawn(move || fs::write(other.join("new"), ""))
                    .join()
                    .unwrap(),
            );
        });
    }

    #[test]
    fn a_log_that_is_a_link_is_moved_and_made_where_it_leads_to() {
        let temporary = tempfile::tempdir().unwrap();
        let all = temporary.path();
        let (data, there, other) = (all.join("data"), all.join("there"), all.join("other"));
        for folder in [&data, &other] {
            fs::create_dir_all(folder).unwrap();
        }
        let (link, real) = (data.join("access.log"), there.join("real.log"));
        // It leads to nothing yet.
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let places = Places::of(&data, &Document::default());
        confined(places, move || {
            fs::write(&link, "line").unwrap();
            // As logrotate does, and as we do.
            fs::rename(&real, there.join("real.log.1")).unwrap();
            fs::write(&link, "line").unwrap();
            assert!(real.is_file());
            // Whoever could make it lead elsewhere would have that allowed at the next start.
            denied(fs::rename(&link, data.join("another")));
            denied(std::os::unix::fs::symlink(&other, data.join("way")));
            denied(fs::write(other.join("new"), "text"));
        });
    }

    #[test]
    fn a_log_that_is_no_file_is_written() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().to_owned();
        let mut places = Places::default();
        places.log(Path::new("/dev/full"));
        // Whatever it is, of a test that is run: a pipe, a terminal, a file.
        places.log(Path::new("/dev/stdout"));
        let link = folder.join("link");
        std::os::unix::fs::symlink("/dev/full", &link).unwrap();
        places.log(&link);
        assert_eq!(places.folders, Vec::<PathBuf>::new());
        confined(places, move || {
            let full = fs::write("/dev/full", "line").unwrap_err();
            assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
            denied(fs::write(folder.join("new"), "text"));
        });
    }
}
