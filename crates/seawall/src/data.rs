//! The data folder: who runs on it, what it serves, and what outlives a restart.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use seawall_guard::ZoneId;
use seawall_net::tls::config::self_signed;

use crate::kept::number_in;
use crate::lasting;
use crate::say::complain;

/// Names of zones and their ids.
const ZONE_IDS: &str = "zone-ids.json";
/// A hundred thousand zones with the longest names.
const LARGEST_ZONE_IDS: u64 = 512 << 20;

/// The data folder.
#[derive(Clone)]
pub struct Data {
    folder: PathBuf,
}

/// A role on a data folder, which one process has until it ends.
pub struct Held {
    lock: File,
}

impl Held {
    /// The role that the program had which became this one.
    ///
    /// # Errors
    /// When there is no such descriptor.
    pub fn inherited(number: i32) -> Result<Self> {
        // SAFETY: it only asks whether there is such a descriptor, and closes it for programs that we start.
        if number < 3 || unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
            bail!("no lock was left to us");
        }
        // SAFETY: it is open, and whoever we were leaves it to us.
        let lock = unsafe { File::from_raw_fd(number) };
        Ok(Self { lock })
    }

    /// The file of the lock.
    pub fn file(&self) -> &File {
        &self.lock
    }

    /// The descriptor, open in the program that this process becomes.
    pub fn for_the_next_program(&self) -> i32 {
        let number = self.lock.as_raw_fd();
        // SAFETY: numbers; the descriptor is open.
        unsafe { libc::fcntl(number, libc::F_SETFD, 0) };
        number
    }
}

impl Data {
    /// The folder, made if need be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn at(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("the data folder {} cannot be made", folder.display()))?;
        let folder = folder.canonicalize()?;
        Ok(Self { folder })
    }

    /// Takes a role for this process.
    ///
    /// # Errors
    /// When the folder cannot be written, or another process has that role: then with that one's pid.
    pub fn hold(&self, role: &str) -> Result<Held> {
        let mut lock = self.locked(role)?;
        // The lock is what counts; on a full disk it stands without the pid.
        let _ = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Held { lock })
    }

    /// As [`hold`](Self::hold), with a number that is higher than that of whoever had it before; none where it cannot be written.
    ///
    /// # Errors
    /// As above.
    pub fn hold_numbered(&self, role: &str) -> Result<(Held, Option<u64>)> {
        let mut lock = self.locked(role)?;
        let mut text = String::new();
        // What is no text has no number.
        let _ = lock.read_to_string(&mut text);
        let number = number_in(&text).unwrap_or(0).saturating_add(1);
        let text = format!("{}\n{number}\n", std::process::id());
        // In place, for which a full disk has room, unless it is the first time.
        let written = lock
            .rewind()
            .and_then(|()| lock.write_all(text.as_bytes()))
            .and_then(|()| lock.set_len(text.len() as u64));
        Ok((Held { lock }, written.is_ok().then_some(number)))
    }

    fn locked(&self, role: &str) -> Result<File> {
        let folder = &self.folder;
        let path = folder.join(format!("{role}.lock"));
        let mut options = File::options();
        let opened = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let mut lock = opened.with_context(|| format!("{} cannot be written", path.display()))?;
        // SAFETY: the descriptor is open; flock touches no memory of ours.
        if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            let mut text = String::new();
            let _ = lock.read_to_string(&mut text);
            let pid = text.lines().next().unwrap_or_default().trim();
            bail!(
                "another Seawall runs on {} with pid {pid} (stop it with `kill {pid}`, or choose another folder with --data)",
                folder.display()
            );
        }
        Ok(lock)
    }

    /// The process that has a role, or had it last.
    pub fn holder(&self, role: &str) -> Option<i32> {
        let text = fs::read_to_string(self.path(format!("{role}.lock"))).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// The process that has a role now.
    pub fn holds_now(&self, role: &str) -> Option<i32> {
        let is_free = self.locked(role).is_ok();
        self.holder(role).filter(|_| !is_free)
    }

    /// The path of a file in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file whole: a reader sees the old one or the new one. That it could not be written is said, once for as long as it
    /// lasts, and serving goes on: a full disk takes no site down.
    /// Tells whether it could.
    pub fn keep(&self, name: &str, content: &[u8], mode: u32) -> bool {
        self.keep_if(name, content, mode, || Ok(()))
    }

    /// As [`keep`](Self::keep), if `may` says so in the moment in which the file is put in place.
    pub fn keep_if(
        &self,
        name: &str,
        content: &[u8],
        mode: u32,
        may: impl FnOnce() -> io::Result<()>,
    ) -> bool {
        // Two workers may write for as long as an upgrade takes: each into a file of its own first.
        let temporary = self.path(format!("{name}.{}.new", std::process::id()));
        let written = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&temporary)
            .and_then(|mut file| {
                file.write_all(content)?;
                file.sync_all()?;
                may()?;
                fs::rename(&temporary, self.path(name))
            });
        let path = self.path(name);
        let shown = path.display().to_string();
        if let Err(error) = &written {
            let _ = fs::remove_file(&temporary);
            lasting::fails(&shown, format_args!("{shown} cannot be written: {error}"));
        } else {
            lasting::works(&shown, &format!("{shown} is written again"));
        }
        written.is_ok()
    }

    /// Takes back what says that we serve.
    pub fn forget(&self) {
        let _ = fs::remove_file(self.path("up.json"));
    }

    /// The self-signed certificate and its key, the same at every start for the same names.
    pub fn self_signed(&self, mut names: Vec<String>) -> Result<(String, String)> {
        names.sort();
        names.dedup();
        // Names beyond this make a certificate that is larger than a handshake should be.
        names.truncate(100);
        let listed = names.join(" ");
        let kept = |name: &str| fs::read_to_string(self.path(name));
        if let (Ok(for_names), Ok(certificate), Ok(key)) = (
            kept("self-signed.names"),
            kept("self-signed.pem"),
            kept("self-signed.key"),
        ) && for_names == listed
        {
            return Ok((certificate, key));
        }
        let (certificate, key) = self_signed(names)?;
        // The names stand for a certificate and a key that belong together: away first, back last.
        let _ = fs::remove_file(self.path("self-signed.names"));
        if self.keep("self-signed.pem", certificate.as_bytes(), 0o644)
            && self.keep("self-signed.key", key.as_bytes(), 0o600)
        {
            self.keep("self-signed.names", listed.as_bytes(), 0o644);
        }
        Ok((certificate, key))
    }

    /// The zones' ids that an earlier process kept, by their names. What cannot be used is said: those zones are new ones then.
    pub fn zone_ids(&self) -> Vec<(String, ZoneId)> {
        let path = self.path(ZONE_IDS);
        let mut text = String::new();
        let read = File::open(&path)
            .and_then(|file| file.take(LARGEST_ZONE_IDS).read_to_string(&mut text));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                complain(format_args!(
                    "{} cannot be read: {error}; zones get new ids",
                    path.display()
                ));
                return Vec::new();
            }
        }
        let kept: BTreeMap<String, String> = serde_json::from_str(&text).unwrap_or_else(|error| {
            complain(format_args!(
                "{} is broken: {error}; zones get new ids",
                path.display()
            ));
            BTreeMap::new()
        });
        let ids = kept.into_iter().map(|(name, id)| {
            // What is no number is nobody's id, which is left out and counted with the others.
            let is_whole = id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            let id = is_whole
                .then(|| u64::from_str_radix(&id, 16).ok())
                .flatten();
            (name, ZoneId(id.unwrap_or_default()))
        });
        ids.collect()
    }

    /// Keeps the zones' ids, sorted by name, for the processes to come, if `may` says so in the moment in which they are put in place.
    /// Tells whether it could.
    pub fn keep_zone_ids(
        &self,
        ids: &[(Box<str>, ZoneId)],
        may: impl FnOnce() -> io::Result<()>,
    ) -> bool {
        let mut text = String::from("{");
        for (nth, (name, id)) in ids.iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            // A zone's name has nothing in it that JSON would write otherwise. Writing to a text does not fail.
            let _ = write!(text, "{comma}\n  \"{name}\": \"{:016x}\"", id.0);
        }
        text.push_str("\n}\n");
        self.keep_if(ZONE_IDS, text.as_bytes(), 0o644, may)
    }

    /// This installation's name in `CDN-Loop`: random, made once.
    pub fn node(&self) -> Result<String> {
        if let Ok(node) = fs::read_to_string(self.path("node"))
            && node.len() == 16
            && node.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Ok(node);
        }
        let node = format!("{:016x}", random()?);
        self.keep("node", node.as_bytes(), 0o644);
        Ok(node)
    }
}

/// 64 random bits from the system.
pub fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("no randomness")?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Bytes that an ordinary user may still write.
pub fn free(folder: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
    // SAFETY: all zeroes is a value of this struct of numbers.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a path that ends with a zero, and a struct of ours that outlives the call.
    let done = unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) };
    (done == 0).then(|| stat.f_bavail as u64 * stat.f_frsize as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_and_what_is_broken_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::at(folder.path()).unwrap();
        let held = data.hold("up").unwrap();
        // A lock is a file's, not a process': a second one is refused within one process too.
        assert!(data.hold("up").is_err() && data.hold("edge").is_ok());
        drop(held);
        assert!(data.hold("up").is_ok());
        assert_eq!(data.zone_ids(), []);
        let ids = [("a.test", ZoneId(7)), ("b", ZoneId(u64::MAX))];
        assert!(data.keep_zone_ids(&ids.map(|(name, id)| (name.into(), id)), || Ok(())));
        assert_eq!(data.zone_ids(), ids.map(|(name, id)| (name.to_owned(), id)));
        assert!(data.keep_zone_ids(&[], || Ok(())));
        assert_eq!(data.zone_ids(), []);
        for (broken, read) in [
            ("{", vec![]),
            ("[]", vec![]),
            ("{\"a\": 1}", vec![]),
            (
                "{\"a\": \"+000000000000001\"}",
                vec![("a".to_string(), ZoneId(0))],
            ),
            ("{\"a\": \"\"}", vec![("a".to_string(), ZoneId(0))]),
        ] {
            fs::write(data.path(ZONE_IDS), broken).unwrap();
            assert_eq!(data.zone_ids(), read, "{broken}");
        }
    }
}
