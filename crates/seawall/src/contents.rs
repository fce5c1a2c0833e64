//! Contents of files that documents name, as an edge has them: by what they are, and not by where they came from.
//!
//! A file's path means something on control's machine alone, and at one moment. On an edge each file has a name that says which
//! content it is: its path, `#`, and the hash that control keeps it by; a secret's hash has `sealed-` before it. Documents that edges serve
//! have these names in place of paths, so that two zones with the same path, one of them on trial with another certificate, are no
//! contradiction, in memory or in `DATA/live`. Here: such names, and the folder `DATA/contents` in which contents lie between
//! the moment when they were brought and that in which they are part of what serves. Keys are among them: it is for our own user alone.
//!
//! Not here: how they travel ([`bring`](crate::distribution::bring)), how control keeps them ([`files`](crate::control::files)).

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use seawall_control::Hash;
use seawall_control::contents::{self, File as Named};
use seawall_model::{Document, Limits, document};
use seawall_proxy::materials::{Room, from_disk};

use crate::data::Data;

/// The folder, in the data folder.
pub const CONTENTS: &str = "contents";
/// What a secret's hash has before it.
const SEALED: &str = "sealed-";
/// Digits of a hash.
const DIGITS: usize = 64;
/// How old a content is that may go.
pub const OLD: Duration = Duration::from_secs(60 * 60);

/// A name of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'n> {
    /// The path that it had on control's machine.
    pub path: &'n str,
    /// Whether it is a secret.
    pub sealed: bool,
    /// What it is.
    pub hash: Hash,
}

impl<'n> Name<'n> {
    /// What a path says, where it is such a name.
    pub fn of(path: &'n Path) -> Option<Self> {
        let (path, hash) = path.to_str()?.rsplit_once('#')?;
        let (sealed, digits) = match hash.strip_prefix(SEALED) {
            Some(digits) => (true, digits),
            None => (false, hash),
        };
        Some(Self {
            path,
            sealed,
            hash: digits.parse().ok()?,
        })
    }
}

/// The name of a file that a version names.
fn name(file: &Named) -> PathBuf {
    let sealed = if file.sealed { SEALED } else { "" };
    format!("{}#{sealed}{}", file.path, file.hash).into()
}

/// A version's text for an edge: with the names of contents in place of paths. One whose files are not known, as versions of before
/// have it, is left as it is.
pub fn named(text: &str) -> String {
    let files = contents::files(text);
    if files.is_empty() {
        return text.to_owned();
    }
    let parsed = document::parse_alone(contents::document(text), &Limits::default());
    if parsed.problems.is_some() {
        // Whoever compiles it tells them.
        return text.to_owned();
    }
    let mut document = parsed.document;
    document.rename_files(|path| {
        let file = files.iter().find(|file| Path::new(&file.path) == path);
        *path = match file {
            Some(file) => name(file),
            // Never a file of the edge's own machine, by chance, in place of one that control knew nothing of.
            None => format!("{}#not-in-this-version", path.display()).into(),
        };
    });
    document.to_toml()
}

/// Gives files their paths again, as people know them.
pub fn plain(document: &mut Document) {
    document.rename_files(|path| {
        if let Some(name) = Name::of(path) {
            *path = name.path.into();
        }
    });
}

/// Hashes of the contents that a text of ours names, and perhaps some that it does not.
pub fn hashes(text: &str) -> impl Iterator<Item = Hash> {
    let names = text.split('#').skip(1);
    names.filter_map(|rest| {
        let digits = rest.strip_prefix(SEALED).unwrap_or(rest);
        digits.get(..DIGITS)?.parse().ok()
    })
}

/// The folder of contents.
#[derive(Clone, Debug)]
pub struct Contents {
    folder: PathBuf,
}

impl Contents {
    /// That of a data folder.
    pub fn of(data: &Data) -> Self {
        Self {
            folder: data.path(CONTENTS),
        }
    }

    /// This folder.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        self.folder.join(hash.to_string())
    }

    /// Whether a content is here, whole. It is not swept for the time being.
    pub fn has(&self, hash: &Hash) -> bool {
        let room = Room {
            most: u64::MAX >> 1,
            left: u64::MAX >> 1,
            rules: false,
        };
        let there = self.get(hash, room).is_ok();
        there
            && File::open(self.path(hash))
                .and_then(|file| file.set_modified(SystemTime::now()))
                .is_ok()
    }

    /// How many bytes a content has, if it is here.
    pub fn len(&self, hash: &Hash) -> Option<u64> {
        let known = fs::metadata(self.path(hash)).ok()?;
        known.len().checked_sub(32)
    }

    /// Puts a content. What a power failure damages is seen to be damaged, and brought again.
    ///
    /// # Errors
    /// As the system says.
    pub fn put(&self, hash: &Hash, bytes: &[u8]) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let path = self.path(hash);
        let temporary = path.with_extension(format!("{}.new", std::process::id()));
        let written = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| {
                // Of a secret the name says nothing that could be compared with it.
                file.write_all(Hash::of(bytes).bytes())?;
                file.write_all(bytes)
            })
            .and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// A content.
    ///
    /// # Errors
    /// That it is not here, is larger than there is room for, or was changed after it was written.
    pub fn get(&self, hash: &Hash, Room { most, left, .. }: Room) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let bound = most.min(left).saturating_add(32);
        let read = File::open(self.path(hash))
            .and_then(|file| file.take(bound + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err("its content was not brought here".into());
            }
            Err(error) => return Err(format!("its content cannot be read: {error}")),
        }
        if bytes.len() as u64 > bound {
            return Err(format!("it is larger than {} bytes", most.min(left)));
        }
        match bytes.split_first_chunk::<32>() {
            Some((sum, content)) if Hash::of(content).bytes() == sum => {
                bytes.drain(..sum.len());
                Ok(bytes)
            }
            _ => Err("its content was damaged on this machine's disk".into()),
        }
    }

    /// Puts those of these files that have names of contents.
    ///
    /// # Errors
    /// As the system says.
    pub fn put_all(&self, files: &[(PathBuf, Vec<u8>)]) -> io::Result<()> {
        for (path, bytes) in files {
            if let Some(name) = Name::of(path)
                && !self.has(&name.hash)
            {
                self.put(&name.hash, bytes)?;
            }
        }
        Ok(())
    }

    /// Reads a file by its name; one that has no name of a content, from the disk.
    ///
    /// # Errors
    /// Why it cannot be had, with its path.
    pub fn read(&self, path: &Path, room: Room) -> Result<Vec<u8>, String> {
        match Name::of(path) {
            None => from_disk(path, room),
            Some(name) => self
                .get(&name.hash, room)
                .map_err(|why| format!("{}: {why}", name.path)),
        }
    }

    /// As [`read`](Self::read), but no secret.
    ///
    /// # Errors
    /// As there.
    pub fn read_open(&self, path: &Path, room: Room) -> Result<Vec<u8>, String> {
        match Name::of(path) {
            Some(name) if name.sealed => Err(format!("{} is a secret", name.path)),
            Some(_) => self.read(path, room),
            // Whether that is a secret nobody knows.
            None => Err(format!("{} was not brought", path.display())),
        }
    }

    /// Takes away contents that nobody uses and that are older than this. How many went.
    ///
    /// # Errors
    /// As the system says.
    pub fn sweep(&self, used: &HashSet<Hash>, older: Duration) -> io::Result<usize> {
        let files = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            files => files?,
        };
        let mut went = 0;
        for file in files {
            let file = file?;
            let hash = file.file_name().to_str().and_then(|name| name.parse().ok());
            let age = file.metadata()?.modified()?.elapsed();
            // One from the future is not old.
            if hash.is_none_or(|hash| !used.contains(&hash)) && age.is_ok_and(|age| age >= older) {
                fs::remove_file(file.path())?;
                went += 1;
            }
        }
        Ok(went)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ROOM: Room = Room {
        most: 10,
        left: 20,
        rules: false,
    };

    fn file(path: &str, sealed: bool, content: &[u8]) -> Named {
        Named {
            path: path.into(),
            sealed,
            hash: Hash::of(content),
            size: content.len() as u64,
        }
    }

    #[test]
    fn paths_become_names_of_contents_and_paths_again() {
        let text = "schema = 1\n\n[[zone]]\nname = \"a\"\nhosts = [\"a.test\"]\norigin = [{ url = \"http://127.0.0.1:1\" }]\ntls = { certificate = { cert = \"/c#1\", key = \"/k\" }, client = \"required\", client_ca = \"/other\" }\n";
        let canonical = document::parse(text, &Limits::default()).unwrap().to_toml();
        let files = vec![file("/c#1", false, b"c"), file("/k", true, b"k")];
        let bound = contents::bound(&canonical, files);
        let named = named(&bound);
        let mut document = document::parse(&named, &Limits::default()).unwrap();
        let paths: Vec<_> = document.zones[0].files().cloned().collect();
        let names: Vec<_> = paths.iter().map(|path| Name::of(path)).collect();
        let name = |path, sealed, content| {
            Some(Name {
                path,
                sealed,
                hash: Hash::of(content),
            })
        };
        assert_eq!(
            names,
            [name("/c#1", false, b"c"), name("/k", true, b"k"), None]
        );
        assert_eq!(paths[2], Path::new("/other#not-in-this-version"));
        let hashes: Vec<Hash> = hashes(&named).collect();
        assert_eq!(hashes, [Hash::of(b"c"), Hash::of(b"k")]);
        plain(&mut document);
        let again = document.to_toml().replace("#not-in-this-version", "");
        let read = |text: &str| document::parse(text, &Limits::default()).unwrap();
        assert_eq!(read(&again), read(&canonical));
        // Of before: nothing is known of its files.
        assert_eq!(super::named(&canonical), canonical);
    }

    #[test]
    fn contents_are_kept_whole_for_us_alone_and_swept() {
        let folder = tempfile::tempdir().unwrap();
        let contents = Contents::of(&Data::at(folder.path()).unwrap());
        let (one, two) = (Hash::of(b"one"), Hash::of(b"two"));
        assert!(!contents.has(&one) && contents.get(&one, ROOM).is_err());
        contents.put(&one, b"content").unwrap();
        contents.put(&two, b"another").unwrap();
        assert_eq!(contents.get(&one, ROOM).unwrap(), b"content");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&contents.folder), 0o700);
        assert_eq!(mode(&contents.path(&one)), 0o600);
        let little = Room { most: 6, ..ROOM };
        assert!(contents.get(&one, little).unwrap_err().contains("larger"));
        let path = |hash: Hash, sealed: &str| PathBuf::from(format!("/x#{sealed}{hash}"));
        assert_eq!(contents.read(&path(one, SEALED), ROOM).unwrap(), b"content");
        assert!(contents.read_open(&path(one, SEALED), ROOM).is_err());
        assert!(contents.read_open(&path(one, ""), ROOM).is_ok());
        assert!(
            contents
                .read_open(Path::new("/etc/hostname"), ROOM)
                .is_err()
        );

        let used = HashSet::from([one]);
        assert_eq!(contents.sweep(&used, OLD).unwrap(), 0, "both are young");
        assert_eq!(contents.sweep(&used, Duration::ZERO).unwrap(), 1);
        assert!(contents.has(&one) && !contents.has(&two));
        let whole = fs::read(contents.path(&one)).unwrap();
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            fs::write(contents.path(&one), flipped).unwrap();
            assert!(!contents.has(&one), "{place}");
            fs::write(contents.path(&one), &whole[..place]).unwrap();
            assert!(!contents.has(&one), "{place}");
        }
        let files = [(path(one, ""), b"content".to_vec()), ("/y".into(), vec![])];
        contents.put_all(&files).unwrap();
        assert!(contents.has(&one));
    }
}
