//! The purges of more than a URL, on disk: what was purged must not come back with a restart.
//!
//! A file of records that grows at its end, each with a checksum; the first that is not good ends it. It is written anew, with the
//! latest of each kind alone, when it has become long.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::folder::keep;
use super::format::crc;
use super::io::Io;
use crate::policy::Time;
use crate::purge::{Purge, Purges, Scope};

/// Records after which it is written anew.
const MANY: usize = 65_536;
/// The most that is read: far more than it can have.
const LONGEST: u64 = 1 << 30;

/// A purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Purged {
    pub(crate) number: u64,
    pub(crate) zone: u64,
    pub(crate) what: What,
    pub(crate) purge: Purge,
}

/// What of a zone, as [`Scope`] has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Everything,
    Host(Box<[u8]>),
    Tag(Box<[u8]>),
    Prefix(Box<[u8]>, Box<[u8]>),
}

impl From<Scope<'_>> for What {
    fn from(scope: Scope<'_>) -> Self {
        match scope {
            Scope::Everything => Self::Everything,
            Scope::Host(host) => Self::Host(host.into()),
            Scope::Tag(tag) => Self::Tag(tag.into()),
            Scope::Prefix(host, prefix) => Self::Prefix(host.into(), prefix.into()),
        }
    }
}

impl What {
    pub(super) fn scope(&self) -> Scope<'_> {
        match self {
            Self::Everything => Scope::Everything,
            Self::Host(host) => Scope::Host(host),
            Self::Tag(tag) => Scope::Tag(tag),
            Self::Prefix(host, prefix) => Scope::Prefix(host, prefix),
        }
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    records: usize,
    /// So many bytes of it are good.
    length: u64,
    /// What is behind them may not be, or `file` be another one than that at `path`.
    is_torn: bool,
}

impl Journal {
    /// Opens it, and makes all that it says hold.
    pub(super) fn open(path: PathBuf, purges: &Purges) -> io::Result<Self> {
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(file) => drop(file.take(LONGEST).read_to_end(&mut bytes)?),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let all = latest(read_all(&bytes));
        for purged in &all {
            purges.restore(
                purged.zone,
                purged.what.scope(),
                purged.purge,
                purged.number,
            );
        }
        // Without what was not good: nothing may be written behind that.
        let mut out = Vec::new();
        all.iter().for_each(|purged| write(purged, &mut out));
        keep(&path, &out)?;
        Ok(Self {
            file: Self::end_of(&path)?,
            records: all.len(),
            length: out.len() as u64,
            is_torn: false,
            path,
        })
    }

    fn end_of(path: &std::path::Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).open(path)
    }

    /// Adds purges, and waits until the disk has them.
    pub(super) fn add(&mut self, io: &dyn Io, purged: &[Purged]) -> io::Result<()> {
        self.mend(io)?;
        let mut out = Vec::new();
        purged.iter().for_each(|purged| write(purged, &mut out));
        if let Err(error) = io.add(&self.file, &out) {
            self.is_torn = true;
            // At once, if that can be: who dies now leaves no half of a record.
            let _ = self.mend(io);
            return Err(error);
        }
        self.records += purged.len();
        self.length += out.len() as u64;
        if self.records > MANY {
            self.shorten()?;
        }
        Ok(())
    }

    /// Takes away what is not good at its end: nobody would read what comes behind that.
    pub(super) fn mend(&mut self, io: &dyn Io) -> io::Result<()> {
        if !self.is_torn {
            return Ok(());
        }
        self.file = Self::end_of(&self.path)?;
        let is_whole = self.file.metadata()?.len() >= self.length;
        if !is_whole || io.cut(&self.file, self.length).is_err() {
            let good = read_all(&self.bytes()?);
            self.write_anew(&good)?;
        }
        self.is_torn = false;
        Ok(())
    }

    /// What of it is good.
    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(&self.path)?
            .take(self.length.min(LONGEST))
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write_anew(&mut self, all: &[Purged]) -> io::Result<()> {
        let mut out = Vec::new();
        all.iter().for_each(|purged| write(purged, &mut out));
        self.is_torn = true;
        keep(&self.path, &out)?;
        (self.records, self.length) = (all.len(), out.len() as u64);
        self.file = Self::end_of(&self.path)?;
        self.is_torn = false;
        Ok(())
    }

    fn shorten(&mut self) -> io::Result<()> {
        let mut all = latest(read_all(&self.bytes()?));
        if all.len() > MANY / 2 {
            // Zones are purged as a whole then: more than was asked for, never less.
            let mut zones: HashMap<u64, u64> = HashMap::new();
            for purged in all {
                let number = zones.entry(purged.zone).or_default();
                *number = purged.number.max(*number);
            }
            let whole = zones.into_iter().map(|(zone, number)| Purged {
                number,
                zone,
                what: What::Everything,
                purge: Purge::Hard,
            });
            all = whole.collect();
        }
        self.write_anew(&all)
    }
}

/// Of each kind the latest, hard and soft, in order; nothing that a later one of everything covers.
fn latest(all: Vec<Purged>) -> Vec<Purged> {
    let mut whole: HashMap<u64, u64> = HashMap::new();
    for purged in &all {
        if purged.what == What::Everything && purged.purge == Purge::Hard {
            let number = whole.entry(purged.zone).or_default();
            *number = purged.number.max(*number);
        }
    }
    let mut last: HashMap<(u64, What, bool), Purged> = HashMap::new();
    for purged in all {
        if whole
            .get(&purged.zone)
            .is_some_and(|all| purged.number < *all)
        {
            continue;
        }
        let kind = (
            purged.zone,
            purged.what.clone(),
            purged.purge == Purge::Hard,
        );
        match last.get(&kind) {
            Some(known) if known.number > purged.number => {}
            _ => drop(last.insert(kind, purged)),
        }
    }
    let mut all: Vec<Purged> = last.into_values().collect();
    all.sort_unstable_by_key(|purged| purged.number);
    all
}

fn write(purged: &Purged, out: &mut Vec<u8>) {
    let (kind, first, second): (u8, &[u8], &[u8]) = match &purged.what {
        What::Everything => (0, b"", b""),
        What::Host(host) => (1, host, b""),
        What::Tag(tag) => (2, tag, b""),
        What::Prefix(host, prefix) => (3, host, prefix),
    };
    let mut body = Vec::with_capacity(64);
    body.extend_from_slice(&purged.number.to_le_bytes());
    body.extend_from_slice(&purged.zone.to_le_bytes());
    let soft = match purged.purge {
        Purge::Hard => 0,
        Purge::Soft(at) => at.0.max(1),
    };
    body.extend_from_slice(&soft.to_le_bytes());
    body.push(kind);
    body.extend_from_slice(&(first.len() as u32).to_le_bytes());
    body.extend_from_slice(first);
    body.extend_from_slice(second);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc(&body).to_le_bytes());
    out.extend_from_slice(&body);
}

fn read_all(mut bytes: &[u8]) -> Vec<Purged> {
    let mut all = Vec::new();
    while let Some((purged, rest)) = read(bytes) {
        all.push(purged);
        bytes = rest;
    }
    all
}

fn read(bytes: &[u8]) -> Option<(Purged, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (known, rest) = rest.split_first_chunk()?;
    let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    (crc(body) == u64::from_le_bytes(*known)).then_some(())?;
    let (number, body) = body.split_first_chunk()?;
    let (zone, body) = body.split_first_chunk()?;
    let (soft, body) = body.split_first_chunk()?;
    let (kind, body) = body.split_first()?;
    let (first, body) = body.split_first_chunk()?;
    let (first, second) = body.split_at_checked(u32::from_le_bytes(*first) as usize)?;
    let what = match kind {
        0 => What::Everything,
        1 => What::Host(first.into()),
        2 => What::Tag(first.into()),
        3 => What::Prefix(first.into(), second.into()),
        _ => return None,
    };
    let purged = Purged {
        number: u64::from_le_bytes(*number),
        zone: u64::from_le_bytes(*zone),
        what,
        purge: match u64::from_le_bytes(*soft) {
            0 => Purge::Hard,
            at => Purge::Soft(Time(at)),
        },
    };
    Some((purged, rest))
}

#[cfg(test)]
mod tests {
    use super::super::io::Real;
    use super::*;

    fn purged(number: u64, what: What, purge: Purge) -> Purged {
        Purged {
            number,
            zone: 1,
            what,
            purge,
        }
    }

    #[test]
    fn what_was_written_is_read_up_to_where_it_broke_off() {
        let all = [
            purged(5, What::Tag(b"t".as_slice().into()), Purge::Hard),
            purged(
                6,
                What::Prefix(b"a.test".as_slice().into(), b"/x".as_slice().into()),
                Purge::Soft(Time(9)),
            ),
            purged(7, What::Everything, Purge::Soft(Time(9))),
            purged(8, What::Host(b"a.test".as_slice().into()), Purge::Hard),
        ];
        let mut out = Vec::new();
        all.iter().for_each(|purged| write(purged, &mut out));
        assert_eq!(read_all(&out), all);
        for end in 0..out.len() {
            let read = read_all(&out[..end]);
            assert!(read.len() < all.len() && all.starts_with(&read));
        }
        for at in 0..out.len() {
            let mut bad = out.clone();
            bad[at] ^= 0x10;
            let read = read_all(&bad);
            assert!(read.len() < all.len() && all.starts_with(&read), "{at}");
        }
    }

    /// A disk that takes half of what is added.
    #[derive(Debug)]
    struct Torn {
        cuts: bool,
    }

    impl Io for Torn {
        fn add(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
            Real.add(file, &bytes[..bytes.len() / 2])?;
            Err(ErrorKind::StorageFull.into())
        }

        fn cut(&self, file: &File, length: u64) -> io::Result<()> {
            match self.cuts {
                true => Real.cut(file, length),
                false => Err(ErrorKind::StorageFull.into()),
            }
        }
    }

    #[test]
    fn half_a_record_hides_none_that_come_later() {
        let tag = |number: u64, name: &str| {
            purged(number, What::Tag(name.as_bytes().into()), Purge::Hard)
        };
        for cuts in [true, false] {
            let temp = tempfile::tempdir().unwrap();
            let path = temp.path().join("purges");
            let mut journal = Journal::open(path.clone(), &Purges::default()).unwrap();
            journal.add(&Real, &[tag(5, "first")]).unwrap();
            assert!(journal.add(&Torn { cuts }, &[tag(6, "torn")]).is_err());
            journal.add(&Real, &[tag(7, "later")]).unwrap();
            let all = read_all(&std::fs::read(&path).unwrap());
            assert_eq!(all, [tag(5, "first"), tag(7, "later")], "{cuts}");
            // One that was written anew is the one that is written on.
            assert!(journal.add(&Torn { cuts }, &[tag(8, "torn")]).is_err());
            journal.shorten().unwrap();
            journal.add(&Real, &[tag(9, "last")]).unwrap();
            let all = read_all(&std::fs::read(&path).unwrap());
            assert_eq!(all.len(), 3, "{cuts}");
        }
    }

    #[test]
    fn of_each_kind_the_latest_counts_and_all_of_a_zone_covers_what_came_before() {
        let tag = |name: &str| What::Tag(name.as_bytes().into());
        let all = vec![
            purged(1, tag("a"), Purge::Hard),
            purged(2, tag("b"), Purge::Soft(Time(1))),
            purged(3, What::Everything, Purge::Hard),
            purged(4, tag("a"), Purge::Hard),
            purged(5, tag("a"), Purge::Soft(Time(2))),
            purged(6, tag("a"), Purge::Hard),
        ];
        let numbers: Vec<u64> = latest(all).iter().map(|purged| purged.number).collect();
        assert_eq!(numbers, [3, 5, 6]);
    }
}
