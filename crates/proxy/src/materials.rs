//! The files that a document names, read before compiling, so that compiling itself touches no disk.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use seawall_guard::Files;
use seawall_model::Document;
use seawall_model::document::Zone;
use seawall_waf::{Folder, MOST_BYTES, MOST_FILES};

use crate::compile::digest::{Bytes, Digest};

/// A certificate bundle of all public authorities is below 300 KiB; what is far larger is not PEM.
const LARGEST: u64 = 4 << 20;
/// A million networks with a comment each.
const LARGEST_LIST: u64 = 64 << 20;
/// All of them together: a hundred thousand certificates and keys, or sixteen of the largest lists.
pub const ALL: u64 = 1 << 30;

/// How many bytes a file may have.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// A file of its kind.
    pub most: u64,
    /// All of them together, without those before it.
    pub left: u64,
    /// It is a rule set, read in one piece ([`rules`]).
    pub rules: bool,
}

/// Files by path, and the certificate for zones that have none of their own.
#[derive(Debug, Default)]
pub struct Materials {
    files: BTreeMap<PathBuf, Result<Material, String>>,
    self_signed: Option<(String, String)>,
    self_signed_content: u64,
}

#[derive(Debug)]
struct Material {
    bytes: Vec<u8>,
    content: u64,
}

impl Materials {
    /// Reads all files that the document names. Relative paths are meant from `base`. What cannot be read is remembered, and
    /// told when something asks for it. `self_signed` is PEM of a certificate and of its key.
    pub fn load(document: &Document, base: &Path, self_signed: Option<(String, String)>) -> Self {
        let read = |path: &Path, room| from_disk(&base.join(path), room);
        Self::read_by(document, self_signed, read)
    }

    /// As [`load`](Self::load), of files that are read in this way, whatever their paths mean there.
    pub fn read_by(
        document: &Document,
        self_signed: Option<(String, String)>,
        read: impl FnMut(&Path, Room) -> Result<Vec<u8>, String>,
    ) -> Self {
        let mut materials = Self::of([], self_signed);
        materials.fill(document, &mut { ALL }, read);
        materials
    }

    /// Reads those files of the document that are not here, or could not be read. `left` is how many bytes all of them may have
    /// together.
    pub fn fill(
        &mut self,
        document: &Document,
        left: &mut u64,
        mut read: impl FnMut(&Path, Room) -> Result<Vec<u8>, String>,
    ) {
        let lists = document.lists.values();
        let lists = lists
            .filter_map(|list| Some((list.file.as_ref()?, LARGEST_LIST, false)))
            .chain(rule_sets(document).map(|path| (path, MOST_BYTES as u64, true)))
            .chain(named(document).map(|path| (path, LARGEST, false)));
        for (path, most, rules) in lists {
            if matches!(self.files.get(path), Some(Ok(_))) {
                continue;
            }
            let room = Room {
                most,
                left: *left,
                rules,
            };
            let material = read(path, room).map(|bytes| {
                *left = left.saturating_sub(bytes.len() as u64);
                let content = Digest::of(&Bytes(&bytes));
                Material { bytes, content }
            });
            self.files.insert(path.clone(), material);
        }
    }

    /// Files whose contents are known already.
    pub fn of(
        files: impl IntoIterator<Item = (PathBuf, Vec<u8>)>,
        self_signed: Option<(String, String)>,
    ) -> Self {
        let material = |bytes: Vec<u8>| Material {
            content: Digest::of(&Bytes(&bytes)),
            bytes,
        };
        Self {
            files: files
                .into_iter()
                .map(|(path, bytes)| (path, Ok(material(bytes))))
                .collect(),
            self_signed_content: Digest::of(&self_signed),
            self_signed,
        }
    }

    /// All files that could be read, by their paths.
    pub fn readable(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.files
            .iter()
            .filter_map(|(path, file)| Some((path.as_path(), &*file.as_ref().ok()?.bytes)))
    }

    /// Adds files of others that are not here, or could not be read.
    pub fn complete(&mut self, others: Self) {
        for (path, file) in others.files {
            let known = self.files.entry(path).or_insert_with(|| Err(String::new()));
            if known.is_err() && file.is_ok() {
                *known = file;
            }
        }
    }

    /// Forgets what was read of the files that these zones alone name: they are as they were before, and so are their files.
    pub fn forget_those_of(&mut self, document: &Document, is_as_before: impl Fn(&Zone) -> bool) {
        let (before, now): (Vec<&Zone>, Vec<&Zone>) =
            document.zones.iter().partition(|zone| is_as_before(zone));
        let now: HashSet<&PathBuf> = now.into_iter().flat_map(Zone::files).collect();
        for path in before.into_iter().flat_map(Zone::files) {
            if !now.contains(path) {
                self.files.remove(path);
            }
        }
    }

    /// The content of a file.
    ///
    /// # Errors
    /// Why it could not be read.
    pub fn file(&self, path: &Path) -> Result<&[u8], String> {
        match self.files.get(path) {
            Some(Ok(material)) => Ok(&material.bytes),
            Some(Err(why)) => Err(why.clone()),
            None => Err("was not read".into()),
        }
    }

    /// A number for the content of a file: it changes when that does.
    pub fn content(&self, path: &Path) -> u64 {
        match self.files.get(path) {
            Some(Ok(material)) => material.content,
            _ => 0,
        }
    }

    /// PEM of the certificate for zones that have none of their own, and of its key.
    pub fn self_signed(&self) -> Option<(&str, &str)> {
        let (certificate, key) = self.self_signed.as_ref()?;
        Some((certificate, key))
    }

    /// A number for it: it changes when that does.
    pub fn self_signed_content(&self) -> u64 {
        self.self_signed_content
    }
}

impl Files for Materials {
    fn file(&self, path: &Path) -> Result<(&[u8], u64), String> {
        Ok((Self::file(self, path)?, self.content(path)))
    }
}

/// Reads a rule set, packed into one piece: a folder, of which only what belongs to a rule set is read, or a file of rules.
///
/// # Errors
/// Why it cannot be read.
pub fn rules(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let told = |error: std::io::Error| format!("{shown} cannot be read: {error}");
    let mut files = Vec::new();
    let mut left = MOST_BYTES as u64;
    let mut take = |path: &Path, name: String| {
        let room = Room {
            most: left,
            left,
            rules: false,
        };
        let bytes = from_disk(path, room)?;
        left -= bytes.len() as u64;
        files.push((name, bytes));
        if files.len() > MOST_FILES {
            return Err(format!("{shown} has more than {MOST_FILES} files of rules"));
        }
        Ok(())
    };
    if std::fs::metadata(path).map_err(told)?.is_file() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.strip_suffix(".conf").unwrap_or(&name);
        take(path, format!("{name}.conf"))?;
    } else {
        for part in ["", "rules", "plugins"] {
            let Ok(entries) = std::fs::read_dir(path.join(part)) else {
                continue;
            };
            for entry in entries {
                let entry = entry.map_err(told)?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let name = match part {
                    "" => name,
                    part => format!("{part}/{name}"),
                };
                if Folder::wants(&name) && entry.path().is_file() {
                    take(&entry.path(), name)?;
                }
            }
        }
    }
    let folder = Folder::of(files);
    match folder.is_empty() {
        true => Err(format!(
            "{shown} has no rules: no *.conf in it, nor in its folder rules"
        )),
        false => Ok(folder.pack()),
    }
}

/// The rule sets that zones name.
fn rule_sets(document: &Document) -> impl Iterator<Item = &PathBuf> {
    let zones = document.zones.iter();
    zones.flat_map(|zone| zone.waf.rule_sets())
}

/// The files that zones name, but for rule sets.
fn named(document: &Document) -> impl Iterator<Item = &PathBuf> {
    document.zones.iter().flat_map(|zone| {
        let files = zone.files();
        files.filter(|path| !zone.waf.rule_sets().any(|set| set == *path))
    })
}

/// Reads a file, which must be a regular one; or a rule set, packed into one piece.
///
/// # Errors
/// Why it could not be read, with its path.
pub fn from_disk(path: &Path, room: Room) -> Result<Vec<u8>, String> {
    if room.rules {
        return rules(path);
    }
    let Room { most, left, .. } = room;
    let shown = path.display();
    let told = |error: std::io::Error| format!("{shown} cannot be read: {error}");
    // A pipe would keep us waiting for whoever writes to it, and a device may never end.
    if !std::fs::metadata(path).map_err(told)?.is_file() {
        return Err(format!("{shown} is no regular file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(told)?;
    let bound = most.min(left);
    file.take(bound + 1).read_to_end(&mut bytes).map_err(told)?;
    match bytes.len() as u64 {
        length if length > most => Err(format!("{shown} is larger than {} MiB", most >> 20)),
        length if length > left => Err(format!(
            "{shown} and the files before it are larger than {} MiB together",
            ALL >> 20
        )),
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use seawall_model::{Limits, document};

    use super::*;

    fn document(file: &str) -> Document {
        let text = format!("schema = 1\n[lists.a]\nfile = \"{file}\"\n");
        document::parse(&text, &Limits::default()).unwrap()
    }

    #[test]
    fn what_cannot_be_read_is_told_when_it_is_asked_for() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        std::fs::write(folder.join("good.txt"), "192.0.2.1\n").unwrap();
        let at = |file: &str| Materials::load(&document(file), folder, None);
        let good = at("good.txt");
        assert_eq!(good.file(Path::new("good.txt")).unwrap(), b"192.0.2.1\n");
        let before = good.content(Path::new("good.txt"));
        std::fs::write(folder.join("good.txt"), "192.0.2.2\n").unwrap();
        assert_ne!(at("good.txt").content(Path::new("good.txt")), before);
        for (file, says) in [
            ("none.txt", "cannot be read"),
            ("/dev/zero", "is no regular file"),
            (".", "is no regular file"),
        ] {
            let told = at(file).file(Path::new(file)).unwrap_err();
            assert!(told.contains(says), "{told}");
        }
        let large = folder.join("large.txt");
        let made = std::fs::File::create(&large).unwrap();
        made.set_len(LARGEST_LIST + 1).unwrap();
        let told = at("large.txt").file(Path::new("large.txt")).unwrap_err();
        assert!(told.ends_with("is larger than 64 MiB"), "{told}");
    }
}
