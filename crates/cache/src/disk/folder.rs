//! The folder of a store: who owns it, what it is, its segments.
//!
//! One process owns it, by a lock that the system takes back when that process dies. A store of another format, or one that was not
//! closed before the machine went down, is empty: what the system had not written by then nobody knows.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::format::{self, VERSION};

const STATE: &str = "state";
const LOCK: &str = "lock";
pub(super) const JOURNAL: &str = "purges";
const SUFFIX: &str = ".seg";
const MAGIC: &[u8; 4] = b"SWCS";
/// Numbers of purges that one owner may use; far more than it can.
const NUMBERS: u64 = 1 << 40;

/// What a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    /// Unlike any other store's.
    store: u64,
    /// What its hashes are keyed by.
    keys: (u64, u64),
    /// Numbers of purges below this one may have been used.
    numbers: u64,
    /// Its owner closed it.
    is_closed: bool,
    /// Which start of the machine its owner ran under.
    boot: String,
}

/// A folder that is ours.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    state: State,
    /// Held for as long as this is.
    _lock: File,
}

/// Why a folder is not ours.
#[derive(Debug)]
pub(super) enum NotOurs {
    /// Another process has it.
    Taken,
    /// The disk says no.
    Failed(io::Error),
}

impl From<io::Error> for NotOurs {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Folder {
    /// Takes a folder; what cannot be used in it is taken away.
    pub(super) fn open(path: &Path) -> Result<Self, NotOurs> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(path)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(NotOurs::Taken),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let boot = boot();
        let found = State::find(&path.join(STATE))?;
        let is_good = |state: &State| state.is_closed || (state.boot == boot && !boot.is_empty());
        let mut state = match found.filter(is_good) {
            Some(state) => state,
            None => {
                let folder = path.to_owned();
                for (_, path) in segments(&folder)? {
                    fs::remove_file(path)?;
                }
                remove(&folder.join(JOURNAL))?;
                State::new()
            }
        };
        let begins = state.numbers;
        state.numbers = begins.saturating_add(NUMBERS);
        (state.is_closed, state.boot) = (false, boot);
        let folder = Self {
            path: path.to_owned(),
            state,
            _lock: lock,
        };
        folder.state.keep(&folder.path)?;
        Ok(folder)
    }

    /// Nothing more is written: all that was is on disk.
    pub(super) fn closed(&mut self) -> io::Result<()> {
        self.state.is_closed = true;
        self.state.keep(&self.path)
    }

    pub(super) const fn store(&self) -> u64 {
        self.state.store
    }

    pub(super) const fn keys(&self) -> (u64, u64) {
        self.state.keys
    }

    /// The first number of a purge that nobody has used.
    pub(super) const fn first_number(&self) -> u64 {
        self.state.numbers.saturating_sub(NUMBERS)
    }

    /// The last one that is this owner's.
    pub(super) const fn last_number(&self) -> u64 {
        self.state.numbers.saturating_sub(1)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Its segments, the oldest first.
    pub(super) fn segments(&self) -> io::Result<Vec<(u32, PathBuf)>> {
        segments(&self.path)
    }

    pub(super) fn segment_path(&self, id: u32) -> PathBuf {
        self.path.join(format!("{id:08x}{SUFFIX}"))
    }

    /// Takes a segment away; one that is not there is.
    pub(super) fn remove(&self, id: u32) -> io::Result<()> {
        remove(&self.segment_path(id))
    }

    /// A new segment.
    pub(super) fn create(&self, id: u32) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.create_new(true).read(true).write(true).mode(0o600);
        options.open(self.segment_path(id))
    }
}

fn segments(folder: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let id = name.and_then(|name| name.strip_suffix(SUFFIX));
        if let Some(id) = id.and_then(|id| u32::from_str_radix(id, 16).ok()) {
            all.push((id, path));
        }
    }
    all.sort_unstable();
    Ok(all)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Which start of the machine this is; empty where nobody says.
fn boot() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    boot.map_or_else(
        |_| String::new(),
        |boot| boot.trim().chars().take(64).collect(),
    )
}

/// Writes a file as a whole, or leaves it as it was.
pub(super) fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = options.open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

impl State {
    fn new() -> Self {
        let random = || RandomState::new().hash_one(std::process::id());
        Self {
            store: random(),
            keys: (random(), random()),
            // Not 0: a response that was asked for before any purge was known has that.
            numbers: NUMBERS,
            is_closed: false,
            boot: String::new(),
        }
    }

    fn find(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(4_096).read_to_end(&mut bytes)?;
                Ok(Self::read(&bytes))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (front, crc) = bytes.split_last_chunk::<8>()?;
        (format::crc(front) == u64::from_le_bytes(*crc)).then_some(())?;
        let front = front.strip_prefix(MAGIC)?;
        let (version, front) = front.split_first_chunk()?;
        (u32::from_le_bytes(*version) == VERSION).then_some(())?;
        let (store, front) = front.split_first_chunk()?;
        let (first, front) = front.split_first_chunk()?;
        let (second, front) = front.split_first_chunk()?;
        let (numbers, front) = front.split_first_chunk()?;
        let (is_closed, boot) = front.split_first()?;
        Some(Self {
            store: u64::from_le_bytes(*store),
            keys: (u64::from_le_bytes(*first), u64::from_le_bytes(*second)),
            numbers: u64::from_le_bytes(*numbers),
            is_closed: *is_closed == 1,
            boot: String::from_utf8(boot.to_vec()).ok()?,
        })
    }

    fn keep(&self, folder: &Path) -> io::Result<()> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        for number in [self.store, self.keys.0, self.keys.1, self.numbers] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.push(u8::from(self.is_closed));
        out.extend_from_slice(self.boot.as_bytes());
        let crc = format::crc(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        keep(&folder.join(STATE), &out)
    }
}
