//! The file under an access log: opened by name, rotated by size, always continued at the beginning of a line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{LogConfig, LogError, LogTarget};

/// Log lines tell of people: their owner and group may read them.
const MODE: u32 = 0o640;

/// A name leads on so often, as in the kernel.
const MOST_LINKS: usize = 40;

/// Where the file of a log is, or will be, when the links of its name are followed: older ones are kept beside it, and a link stays a link.
/// None where nothing can be kept beside it: a pipe, a device, and what a process was started with (`/dev/stdout`), whatever that is.
pub fn place_of(path: &Path) -> Option<PathBuf> {
    let mut at = path.to_owned();
    for _ in 0..MOST_LINKS {
        let (folder, name) = (at.parent()?, at.file_name()?);
        // A folder that is not there leads nowhere else.
        let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        if folder == Path::new("/dev") || folder.starts_with("/proc") {
            return None;
        }
        let here = folder.join(name);
        let Ok(leads_to) = fs::read_link(&here) else {
            let is_other = fs::metadata(&here).is_ok_and(|found| !found.is_file());
            return (!is_other).then_some(here);
        };
        at = folder.join(leads_to);
    }
    None
}

/// The file that the writer owns.
#[derive(Debug)]
pub(super) struct LogFile {
    /// None for the standard output.
    path: Option<PathBuf>,
    rotate_at: u64,
    keep: usize,
    file: Option<File>,
    /// The last thing in the file is a part of a line.
    torn: bool,
}

/// A write that did not go through.
#[derive(Debug)]
pub(super) struct Failure {
    /// Bytes that were written nevertheless.
    pub written: usize,
    pub error: LogError,
}

impl LogFile {
    /// None when the log is off; with an error when the target cannot be opened now, but maybe later.
    pub(super) fn open(config: &LogConfig) -> Option<Result<Self, (Self, LogError)>> {
        let path = match &config.target {
            LogTarget::File(path) => Some(path.clone()),
            LogTarget::Stdout => None,
            LogTarget::Off => return None,
        };
        let mut log = Self {
            path,
            rotate_at: config.rotate_at,
            keep: config.keep,
            file: None,
            torn: false,
        };
        Some(match log.ensure_open() {
            Ok(_) => Ok(log),
            Err(error) => Err((log, error)),
        })
    }

    /// Lets go of the file, so that the next write opens it by its name.
    pub(super) fn reopen(&mut self) {
        if self.path.is_some() {
            self.file = None;
        }
    }

    /// Appends whole lines. When only a part went through, the next write begins on a fresh line.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), Failure> {
        let nothing_written = |error| Failure { written: 0, error };
        self.ensure_open().map_err(nothing_written)?;
        let rotated = self.rotate_if_due(lines.len() as u64);
        self.ensure_open().map_err(nothing_written)?;
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        if self.torn {
            write_all(file, b"\n").map_err(|(_, error)| nothing_written(LogError::Write(error)))?;
            self.torn = false;
        }
        write_all(file, lines).map_err(|(written, error)| {
            self.torn = written > 0 && lines.get(written - 1) != Some(&b'\n');
            Failure {
                written,
                error: LogError::Write(error),
            }
        })?;
        // The lines are safe; that the file grows beyond its bound must be told all the same.
        rotated.map_err(|error| Failure {
            written: lines.len(),
            error,
        })
    }

    fn ensure_open(&mut self) -> Result<(), LogError> {
        if self.file.is_some() {
            return Ok(());
        }
        let file = match &self.path {
            Some(path) => open_by_name(path).map_err(|source| LogError::Open {
                path: path.clone(),
                source,
            })?,
            // A handle of its own: the one in the standard library buffers, and hides how much of a failed write went
            // through.
            None => io::stdout()
                .as_fd()
                .try_clone_to_owned()
                .map(File::from)
                .map_err(LogError::Write)?,
        };
        self.torn = ends_torn(&file).unwrap_or(self.torn);
        self.file = Some(file);
        Ok(())
    }

    /// Rotates when the file would grow beyond its bound. The file is asked for its size each time, because another process
    /// may write to it too: the one before us, during an upgrade.
    fn rotate_if_due(&mut self, more: u64) -> Result<(), LogError> {
        let (Some(path), Some(file)) = (&self.path, &self.file) else {
            return Ok(());
        };
        let Ok(ours) = file.metadata() else {
            return Ok(());
        };
        if !ours.is_file() {
            return Ok(());
        }
        if ours.nlink() == 0 {
            // Somebody deleted it; what is written now would never be seen.
            self.file = None;
            return Ok(());
        }
        if self.rotate_at == 0
            || ours.len() == 0
            || ours.len().saturating_add(more) <= self.rotate_at
        {
            return Ok(());
        }
        let still_ours = fs::metadata(path)
            .is_ok_and(|named| named.dev() == ours.dev() && named.ino() == ours.ino());
        if still_ours {
            let Some(place) = place_of(path) else {
                return Ok(());
            };
            rotate(&place, self.keep).map_err(|source| LogError::Rotate {
                path: place.clone(),
                source,
            })?;
        }
        // Otherwise somebody else has just done it.
        self.file = None;
        Ok(())
    }

    /// On a file that is open already.
    #[cfg(test)]
    pub(super) fn over(file: File) -> Self {
        Self {
            path: None,
            rotate_at: 0,
            keep: 0,
            file: Some(file),
            torn: false,
        }
    }
}

fn open_by_name(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Reading is for the last byte only.
    options.append(true).read(true).create(true).mode(MODE);
    options.open(path).or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            return Err(error);
        }
        let place = place_of(path).unwrap_or_else(|| path.to_owned());
        fs::create_dir_all(place.parent().unwrap_or(Path::new("/")))?;
        options.open(path)
    })
}

/// Whether a file's last byte is not a line's end, as after a crash; none when there is no telling, as of a pipe.
fn ends_torn(file: &File) -> Option<bool> {
    let facts = file.metadata().ok().filter(|facts| facts.is_file())?;
    let mut last = [b'\n'];
    if facts.len() > 0 {
        file.read_exact_at(&mut last, facts.len() - 1).ok()?;
    }
    Some(last != *b"\n")
}

/// `access.log.1` becomes `access.log.2` and so on, the oldest goes, and `access.log` becomes `access.log.1`.
fn rotate(path: &Path, keep: usize) -> io::Result<()> {
    let numbered = |number: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    if keep == 0 {
        return fs::remove_file(path);
    }
    for number in (1..keep).rev() {
        match fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, numbered(1))
}

/// Writes all; or says how much went through before the error.
fn write_all(file: &mut File, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}
