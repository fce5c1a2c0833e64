//! What serves, kept on disk whole: the document and the contents of the files that it names. Whoever serves after a crash or an
//! upgrade serves this, whatever has become of the files meanwhile.
//!
//! `DATA/live` is what serves now, `DATA/last-good` what has proved good. One file each, written whole. Certificates' keys are in
//! it, so it is for our own user alone.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use seawall_model::document::{self, Parsed};
use seawall_model::{Document, Limits};
use seawall_proxy::materials::Materials;

/// What serves now.
pub const LIVE: &str = "live";
/// What has proved good.
pub const LAST_GOOD: &str = "last-good";

/// How the file begins.
const MAGIC: &[u8] = b"seawall-live 1\n";
/// Longer than any path.
const LONGEST_PATH: u64 = 64 << 10;
/// As much as documents may name.
const LARGEST_FILE: u64 = 1 << 30;
/// What a document's own serialisation may be longer than what a person wrote.
const LONGER: usize = 16;

/// Files by their names, with what is in them.
pub type Files = Vec<(PathBuf, Vec<u8>)>;

/// Writes it whole: a reader sees the old one or the new one.
///
/// # Errors
/// As the system says; what was there is there still.
pub fn write(path: &Path, document: &Document, materials: &Materials) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let written = write_to(&temporary, document, materials)
        .and_then(|()| std::fs::rename(&temporary, path))
        .and_then(|()| sync_folder(path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn write_to(path: &Path, document: &Document, materials: &Materials) -> io::Result<()> {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    let mut to = BufWriter::new(file);
    to.write_all(MAGIC)?;
    put(&mut to, document.to_toml().as_bytes())?;
    let named: BTreeSet<&Path> = named(document).collect();
    for (path, bytes) in materials.readable() {
        if !named.contains(path) {
            continue;
        }
        put(&mut to, path.as_os_str().as_bytes())?;
        put(&mut to, bytes)?;
    }
    to.into_inner()?.sync_all()
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
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn put(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(&(bytes.len() as u64).to_le_bytes())?;
    to.write_all(bytes)
}

/// What begins to prove itself.
pub const PROVING: &str = "proving";

/// What is live begins to prove itself. What becomes live later is another file.
///
/// # Errors
/// As the system says.
pub fn prove(folder: &Path) -> io::Result<()> {
    let temporary = folder.join("proving.new");
    let _ = std::fs::remove_file(&temporary);
    std::fs::hard_link(folder.join(LIVE), &temporary)?;
    std::fs::rename(&temporary, folder.join(PROVING))?;
    // Two names of one file: renaming one to the other does nothing, and leaves it.
    let _ = std::fs::remove_file(&temporary);
    Ok(())
}

/// What began to prove itself has proved good.
///
/// # Errors
/// As the system says.
pub fn promote(folder: &Path) -> io::Result<()> {
    let good = folder.join(LAST_GOOD);
    std::fs::rename(folder.join(PROVING), &good)?;
    let _ = std::fs::remove_file(folder.join(PROVING));
    sync_folder(&good)
}

/// Reads it.
///
/// # Errors
/// When it is not there, not whole, or not ours.
pub fn read(path: &Path) -> io::Result<(Parsed, Files)> {
    let (text, files) = parts(path)?;
    let text = String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok((document::parse_zones(&text, &limits()), files))
}

/// Reads the files alone.
///
/// # Errors
/// As [`read`].
pub fn files(path: &Path) -> io::Result<Files> {
    Ok(parts(path)?.1)
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.document_bytes *= LONGER;
    limits
}

fn parts(path: &Path) -> io::Result<(Vec<u8>, Files)> {
    let file = File::open(path)?;
    let all = file.metadata()?.len();
    let mut from = BufReader::new(file);
    let mut magic = [0; MAGIC.len()];
    from.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "of another kind",
        ));
    }
    let text = get(&mut from, limits().document_bytes as u64)?.unwrap_or_default();
    let mut files = Vec::new();
    while let Some(name) = get(&mut from, LONGEST_PATH)? {
        let bytes = get(&mut from, LARGEST_FILE.min(all))?;
        let bytes = bytes.ok_or(io::ErrorKind::UnexpectedEof)?;
        files.push((OsString::from_vec(name).into(), bytes));
    }
    Ok((text, files))
}

/// The next part; none at the end.
fn get(from: &mut impl Read, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 8];
    match from.read(&mut length)? {
        0 => return Ok(None),
        read => from.read_exact(length.get_mut(read..).unwrap_or_default())?,
    }
    let length = u64::from_le_bytes(length);
    if length > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not whole"));
    }
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_not_whole_is_refused() {
        let folder = std::env::temp_dir().join(format!("seawall-live-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let text = "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"a.test\"]\norigin = [{ url = \"http://127.0.0.1:1\" }]\ntls = { certificate = { cert = \"x/cert.pem\", key = \"x/key.pem\" } }\n";
        let document = document::parse(text, &Limits::default()).unwrap();
        let file = (PathBuf::from("x/cert.pem"), b"PEM".to_vec());
        let materials = Materials::of([file.clone()], None);
        let path = folder.join(LIVE);
        write(&path, &document, &materials).unwrap();
        let (parsed, files) = read(&path).unwrap();
        assert_eq!((parsed.document, parsed.problems), (document, None));
        assert_eq!(files, [file]);
        prove(&folder).unwrap();
        prove(&folder).unwrap();
        let whole = std::fs::read(&path).unwrap();
        write(&path, &Document::default(), &Materials::of([], None)).unwrap();
        promote(&folder).unwrap();
        assert!(!folder.join(PROVING).exists());
        assert_eq!(std::fs::read(folder.join(LAST_GOOD)).unwrap(), whole);
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            // Between two parts nothing shows that more were to come: a file that is missing is told when it is looked for.
            if let Ok((parsed, files)) = read(&path) {
                assert!(files.is_empty(), "{length}");
                assert!(parsed.problems.is_none() || parsed.document.zones.is_empty());
            }
        }
        std::fs::write(&path, b"seawall-live 2\n").unwrap();
        assert!(read(&path).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
