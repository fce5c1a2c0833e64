//! What serves, kept on disk whole: the document and the contents of the files that it names. Whoever serves after a crash or an
//! upgrade serves this, whatever has become of the files meanwhile.
//!
//! Here: what such a file looks like, how it is written and read. `DATA/live` is what serves now; what has proved good, and which
//! of them is read, is [`good`](crate::good)'s. Certificates' keys are in it, so it is for our own user alone.
//!
//! A file is a line, then parts, each behind a byte that says what it is: a piece of the document's text, a file's name and its
//! bytes (each behind its length, 64 bits, little end first), and at the end the SHA-256 of all before it. A file that was cut off
//! or changed is none.

pub mod changed;

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use seawall_control::version::Hash;
use seawall_model::document::{self, Parsed};
use seawall_model::{Document, Limits};
use seawall_proxy::materials::Materials;

use crate::sum::Summed;

/// What serves now.
pub const LIVE: &str = "live";

/// What stands in a document of one zone before its section.
pub const HEAD: &str = "schema = 1\n";

/// How a zone's section begins; its name comes next.
pub const ZONE: &str = "\n[[zone]]\nname = ";

/// How the file begins.
const MAGIC: &[u8; 15] = b"seawall-live 2\n";
/// How it began before it had a hash at its end.
const MAGIC_BEFORE: &[u8; 15] = b"seawall-live 1\n";
const END: u8 = 0;
const TEXT: u8 = 1;
const FILE: u8 = 2;
/// Longer than any path.
const LONGEST_PATH: u64 = 64 << 10;
/// As much as documents may name.
const LARGEST_FILE: u64 = 1 << 30;
/// What a document's own serialisation may be longer than what a person wrote.
const LONGER: usize = 16;

/// The name, among files, of what says under which name all of it is published. Earlier programs take it for a file that nobody
/// names.
const STAND: &str = "seawall:stand";
/// Longer than any hash.
const LONGEST_STAND: usize = 128;

/// Files by their names, with what is in them.
pub type Files = Vec<(PathBuf, Vec<u8>)>;

/// Which file it is: one is never changed, only replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Which {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Which {
    /// The one that lies there; none where there is none.
    pub fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            length: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
        })
    }
}

/// What was read.
#[derive(Debug)]
pub struct Found {
    /// The document, as far as it could be read.
    pub parsed: Parsed,
    /// The files that it names.
    pub files: Files,
    /// The name under which all of it is published, if that is known.
    pub stand: Option<String>,
}

/// Writes it whole: a reader sees the old one or the new one. A file is taken from the first materials that have it.
///
/// # Errors
/// As the system says; what was there is there still.
pub fn write(
    path: &Path,
    document: &Document,
    materials: &[&Materials],
    stand: Option<&str>,
) -> io::Result<()> {
    write_if(path, document, materials, stand, || Ok(()))
}

/// As [`write`], if `may` says so in the moment in which it is put in place.
///
/// # Errors
/// As above.
pub fn write_if(
    path: &Path,
    document: &Document,
    materials: &[&Materials],
    stand: Option<&str>,
    may: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    in_place(path, |temporary| {
        write_to(temporary, document, materials, stand)?;
        may()
    })
}

/// Writes a file and puts it in place of what is there.
fn in_place(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let written = write(&temporary)
        .and_then(|()| std::fs::rename(&temporary, path))
        .and_then(|()| sync_folder(path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn write_to(
    path: &Path,
    document: &Document,
    materials: &[&Materials],
    stand: Option<&str>,
) -> io::Result<()> {
    let mut to = Summed::new(BufWriter::new(create(path)?));
    to.write_all(MAGIC)?;
    let mut written = Ok(());
    document.each_section(|section| {
        if written.is_ok() {
            written = put(&mut to, TEXT, &[section.as_bytes()]);
        }
    });
    written?;
    let mut named: BTreeSet<&Path> = named(document).collect();
    for (path, bytes) in materials.iter().flat_map(|materials| materials.readable()) {
        if named.remove(path) {
            put(&mut to, FILE, &[path.as_os_str().as_bytes(), bytes])?;
        }
    }
    if let Some(stand) = stand {
        put(&mut to, FILE, &[STAND.as_bytes(), stand.as_bytes()])?;
    }
    to.write_all(&[END])?;
    let (mut to, hash) = to.end();
    to.write_all(hash.bytes())?;
    to.into_inner()?.sync_all()
}

fn put(to: &mut impl Write, kind: u8, all: &[&[u8]]) -> io::Result<()> {
    to.write_all(&[kind])?;
    for bytes in all {
        to.write_all(&(bytes.len() as u64).to_le_bytes())?;
        to.write_all(bytes)?;
    }
    Ok(())
}

/// A file of our own user, to be written.
pub fn create(path: &Path) -> io::Result<File> {
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// The files that a document names.
fn named(document: &Document) -> impl Iterator<Item = &Path> {
    let lists = document.lists.values();
    let lists = lists.filter_map(|list| list.file.as_deref());
    lists.chain(
        document
            .zones
            .iter()
            .flat_map(|zone| zone.files())
            .map(PathBuf::as_path),
    )
}

/// So that a rename outlives a power failure.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Reads it.
///
/// # Errors
/// When it is not there, not whole, or not ours.
pub fn read(path: &Path) -> io::Result<Found> {
    let Parts {
        text, mut files, ..
    } = parts(path)?;
    let text = String::from_utf8(text).map_err(|_| bad("its text is none"))?;
    let is_stand = |(name, bytes): &mut (PathBuf, Vec<u8>)| {
        name.as_path() == Path::new(STAND) && bytes.len() <= LONGEST_STAND
    };
    let stand = files.extract_if(.., is_stand).next();
    Ok(Found {
        parsed: document::parse_zones(&text, &limits()),
        files,
        stand: stand.and_then(|(_, stand)| String::from_utf8(stand).ok()),
    })
}

/// Looks whether it is whole; its hash. One of before has none in it.
///
/// # Errors
/// As [`read`].
pub fn verify(path: &Path) -> io::Result<Option<Hash>> {
    Ok(parts(path)?.hash)
}

/// The hash of each section of its text, as a document's are written one by one
/// ([`Document::each_section`]); the text is never there whole.
///
/// # Errors
/// As [`read`].
pub fn sections(path: &Path) -> io::Result<HashSet<Hash>> {
    let mut sections = HashSet::new();
    read_sections(path, |section| {
        sections.insert(Hash::of(section.as_bytes()));
    })?;
    Ok(sections)
}

/// Hands out each section of its text, and gives the files. An earlier program's has none.
///
/// # Errors
/// As [`read`].
pub fn read_sections(path: &Path, mut take: impl FnMut(&str)) -> io::Result<Files> {
    let (from, all) = begin(path)?;
    let Begun::Now(from) = from else {
        return Ok(Files::new());
    };
    let parts = parts_now(from, all, |section| {
        if let Ok(section) = std::str::from_utf8(section) {
            take(section);
        }
    })?;
    let is_file = |(name, _): &(PathBuf, Vec<u8>)| name.as_path() != Path::new(STAND);
    Ok(parts.files.into_iter().filter(is_file).collect())
}

/// The names of its zones, quoted as a document has them, and the name under which all of it is published, if that is known.
///
/// # Errors
/// As [`read`]; and when an earlier program wrote it.
pub fn zones(path: &Path) -> io::Result<(HashSet<String>, Option<String>)> {
    let (Begun::Now(from), all) = begin(path)? else {
        return Err(bad("an earlier program wrote it"));
    };
    let mut zones = HashSet::new();
    let parts = parts_now(from, all, |section| {
        let section = std::str::from_utf8(section).unwrap_or_default();
        let name = section
            .strip_prefix(ZONE)
            .and_then(|rest| rest.lines().next());
        zones.extend(name.map(str::to_owned));
    })?;
    let mut files = parts.files.into_iter();
    let stand = files.find(|(name, _)| name.as_path() == Path::new(STAND));
    let stand = stand.and_then(|(_, stand)| String::from_utf8(stand).ok());
    Ok((zones, stand))
}

/// Whether it is of the kind that is written now.
pub fn is_current(path: &Path) -> bool {
    let mut magic = [0; MAGIC.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == *MAGIC
}

/// What a document on disk may have.
pub fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.document_bytes *= LONGER;
    limits
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What is in a file.
#[derive(Default)]
struct Parts {
    text: Vec<u8>,
    files: Files,
    hash: Option<Hash>,
}

fn parts(path: &Path) -> io::Result<Parts> {
    match begin(path)? {
        (Begun::Now(from), all) => {
            let mut text = Vec::new();
            let parts = parts_now(from, all, |section| text.extend_from_slice(section))?;
            Ok(Parts { text, ..parts })
        }
        (Begun::Before(from), all) => parts_before(from, all),
    }
}

/// A file whose beginning was read.
enum Begun {
    Now(Summed<BufReader<File>>),
    Before(BufReader<File>),
}

/// It, and how many bytes it has.
fn begin(path: &Path) -> io::Result<(Begun, u64)> {
    let file = File::open(path)?;
    let all = file.metadata()?.len();
    let mut from = Summed::new(BufReader::new(file));
    let mut magic = [0; MAGIC.len()];
    from.read_exact(&mut magic).map_err(cut_off)?;
    match &magic {
        MAGIC => Ok((Begun::Now(from), all)),
        MAGIC_BEFORE => Ok((Begun::Before(from.end().0), all)),
        _ => Err(bad("it is of another kind, or its beginning was changed")),
    }
}

fn bytes(from: &mut impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    from.read_exact(&mut length).map_err(cut_off)?;
    counted(from, u64::from_le_bytes(length), most)
}

fn cut_off(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "it was cut off"),
        _ => error,
    }
}

/// All but the text, whose sections are handed out.
fn parts_now(
    mut from: Summed<BufReader<File>>,
    all: u64,
    mut take: impl FnMut(&[u8]),
) -> io::Result<Parts> {
    let mut parts = Parts::default();
    let mut room = limits().document_bytes as u64;
    loop {
        let mut kind = [0];
        from.read_exact(&mut kind).map_err(cut_off)?;
        match kind {
            [TEXT] => {
                let section = bytes(&mut from, room.min(all))?;
                room -= section.len() as u64;
                take(&section);
            }
            [FILE] => {
                let name = bytes(&mut from, LONGEST_PATH)?;
                let bytes = bytes(&mut from, LARGEST_FILE.min(all))?;
                parts.files.push((OsString::from_vec(name).into(), bytes));
            }
            [END] => {
                parts.hash = Some(whole(from)?);
                return Ok(parts);
            }
            _ => return Err(bad("it was changed after it was written")),
        }
    }
}

/// The hash of all that was read, which is the one at its end, and that is its end.
fn whole(from: Summed<BufReader<File>>) -> io::Result<Hash> {
    let (mut from, hash) = from.end();
    let mut written = [0; 32];
    from.read_exact(&mut written).map_err(cut_off)?;
    if hash.bytes() != &written || from.read(&mut [0])? != 0 {
        return Err(bad("it was changed after it was written"));
    }
    Ok(hash)
}

/// As files were before they had a hash: data folders of then are read once more, and written as they are now.
fn parts_before(mut from: BufReader<File>, all: u64) -> io::Result<Parts> {
    let text = part_before(&mut from, limits().document_bytes as u64)?;
    let mut parts = Parts {
        text: text.unwrap_or_default(),
        ..Parts::default()
    };
    while let Some(name) = part_before(&mut from, LONGEST_PATH)? {
        let bytes = part_before(&mut from, LARGEST_FILE.min(all))?;
        let bytes = bytes.ok_or(io::ErrorKind::UnexpectedEof)?;
        parts.files.push((OsString::from_vec(name).into(), bytes));
    }
    Ok(parts)
}

/// The next part; none at the end.
fn part_before(from: &mut impl Read, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 8];
    match from.read(&mut length)? {
        0 => return Ok(None),
        read => from.read_exact(length.get_mut(read..).unwrap_or_default())?,
    }
    counted(from, u64::from_le_bytes(length), most).map(Some)
}

fn counted(from: &mut impl Read, length: u64, most: u64) -> io::Result<Vec<u8>> {
    if length > most {
        return Err(bad("it was changed after it was written"));
    }
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(cut_off(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(bytes)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A document of one zone, whose only file is this.
    pub fn one(name: &str) -> (Document, Materials) {
        let text = format!(
            "schema = 1\n[[zone]]\nname = \"{name}\"\nhosts = [\"{name}.test\"]\norigin = [{{ url = \"http://127.0.0.1:1\" }}]\ntls = {{ certificate = {{ cert = \"x/cert.pem\", key = \"x/key.pem\" }} }}\n"
        );
        let document = document::parse(&text, &Limits::default()).unwrap();
        let file = (PathBuf::from("x/cert.pem"), b"PEM".to_vec());
        (document, Materials::of([file], None))
    }

    #[test]
    fn what_was_written_is_read_and_what_was_cut_off_or_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LIVE);
        let (document, materials) = one("a");
        let none = Materials::default();
        write(&path, &document, &[&none, &materials], Some("abc")).unwrap();
        let found = read(&path).unwrap();
        assert_eq!(found.parsed.document, document);
        assert_eq!(found.parsed.problems, None);
        assert_eq!(found.files, [("x/cert.pem".into(), b"PEM".to_vec())]);
        assert_eq!(found.stand.as_deref(), Some("abc"));
        let (zones, stand) = super::zones(&path).unwrap();
        assert!(zones.into_iter().eq([document::quoted("a")]));
        assert_eq!(stand, found.stand);
        let whole = std::fs::read(&path).unwrap();
        assert!(verify(&path).unwrap().is_some());
        // A zone's own text, as control has it, is found in it.
        let text = seawall_control::version::zone_text(&document.zones[0]);
        let section = text.strip_prefix(HEAD).unwrap();
        assert!(
            sections(&path)
                .unwrap()
                .contains(&Hash::of(section.as_bytes()))
        );
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(read(&path).is_err(), "{length}");
        }
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 1 << (place % 8);
            std::fs::write(&path, &flipped).unwrap();
            assert!(read(&path).is_err(), "{place}");
        }
        std::fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
        assert!(read(&path).is_err(), "more than there was");
    }

    #[test]
    fn what_was_written_before_there_was_a_hash_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LIVE);
        let (document, _) = one("a");
        let text = document.to_toml();
        let mut bytes = MAGIC_BEFORE.to_vec();
        for part in [text.as_bytes(), b"x/cert.pem", b"PEM"] {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part);
        }
        std::fs::write(&path, &bytes).unwrap();
        let Found { parsed, files, .. } = read(&path).unwrap();
        assert_eq!((parsed.document, parsed.problems), (document, None));
        assert_eq!(files, [("x/cert.pem".into(), b"PEM".to_vec())]);
        assert!(verify(&path).unwrap().is_none());
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(read(&path).is_err());
    }
}
