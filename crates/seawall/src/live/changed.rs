//! The file of what serves, written anew after some zones have changed. What has not changed is copied as it is: of a million zones,
//! none but those that changed is read or put together as a document.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use seawall_model::Document;
use seawall_model::document::{Zone, quoted};

use super::{
    Begun, END, FILE, LARGEST_FILE, LONGEST_PATH, STAND, TEXT, ZONE, bad, begin, bytes, create,
    cut_off, in_place, limits, put, whole,
};
use crate::sum::Summed;
use crate::unkept::Altered;

/// Writes it whole, with these zones as they are now, if `may` says so in the moment in which it is put in place.
///
/// # Errors
/// [`io::ErrorKind::NotFound`], [`io::ErrorKind::InvalidData`] or [`io::ErrorKind::UnexpectedEof`] where what is there is none, not
/// whole, or of an earlier program; else as the system says. What was there is there still.
pub fn write<'a>(
    path: &Path,
    altered: impl Iterator<Item = &'a Altered>,
    stand: Option<&str>,
    may: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let (Begun::Now(from), all) = begin(path)? else {
        return Err(bad("an earlier program wrote it"));
    };
    let mut change = Change {
        left: altered
            .map(|one| (format!("{ZONE}{}\n", quoted(&one.name)), one))
            .collect(),
        written: Vec::new(),
        ends: false,
        new: HashSet::new(),
        files: file_names(path, all)?,
        named: HashSet::new(),
    };
    in_place(path, |temporary| {
        let mut to = Summed::new(BufWriter::new(create(temporary)?));
        to.write_all(super::MAGIC)?;
        change.copy(from, all, &mut to)?;
        if let Some(stand) = stand {
            put(&mut to, FILE, &[STAND.as_bytes(), stand.as_bytes()])?;
        }
        to.write_all(&[END])?;
        let (mut to, hash) = to.end();
        to.write_all(hash.bytes())?;
        to.into_inner()?.sync_all()?;
        may()
    })
}

/// What is to change, on the way through the file.
struct Change<'a> {
    /// Zones whose section has not come yet, by how that begins.
    left: HashMap<String, &'a Altered>,
    /// Those that were written as they are now.
    written: Vec<&'a Altered>,
    /// No section comes any more: files do.
    ends: bool,
    /// Files that were written with the zones that have changed.
    new: HashSet<&'a Path>,
    /// The names of those that the file has, as a document has them.
    files: HashSet<String>,
    /// Those of them that some section names.
    named: HashSet<String>,
}

impl<'a> Change<'a> {
    fn copy(
        &mut self,
        mut from: Summed<BufReader<File>>,
        all: u64,
        to: &mut impl Write,
    ) -> io::Result<()> {
        let room = limits().document_bytes as u64;
        loop {
            let mut kind = [0];
            from.read_exact(&mut kind).map_err(cut_off)?;
            match kind {
                [TEXT] if !self.ends => {
                    let section = bytes(&mut from, room.min(all))?;
                    let section = String::from_utf8(section);
                    let section = section.map_err(|_| bad("its text is none"))?;
                    self.section(&section, to)?;
                }
                [FILE] => {
                    self.rest(to)?;
                    let name = bytes(&mut from, LONGEST_PATH)?;
                    let bytes = bytes(&mut from, LARGEST_FILE.min(all))?;
                    if self.is_kept(&name) {
                        put(to, FILE, &[&name, &bytes])?;
                    }
                }
                [END] => {
                    whole(from)?;
                    return self.rest(to);
                }
                _ => return Err(bad("it was changed after it was written")),
            }
        }
    }

    /// A section as it is, or as it is now.
    fn section(&mut self, section: &str, to: &mut impl Write) -> io::Result<()> {
        let head = section
            .strip_prefix(ZONE)
            .and_then(|rest| rest.find('\n'))
            .and_then(|end| section.get(..=ZONE.len() + end));
        match head.and_then(|head| self.left.remove(head)) {
            Some(altered) => self.zone(altered, to),
            None => self.put_section(section, to),
        }
    }

    /// Behind the last section: zones that were not there before, by their names, and the files of all that have changed.
    fn rest(&mut self, to: &mut impl Write) -> io::Result<()> {
        if std::mem::replace(&mut self.ends, true) {
            return Ok(());
        }
        let mut left: Vec<&Altered> = self.left.drain().map(|(_, one)| one).collect();
        left.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        for altered in left {
            self.zone(altered, to)?;
        }
        for altered in std::mem::take(&mut self.written) {
            let zone = altered.zone.iter();
            let named: HashSet<&Path> = zone.flat_map(Zone::files).map(|path| &**path).collect();
            for (path, bytes) in altered.materials.readable() {
                if named.contains(path) && self.new.insert(path) {
                    put(to, FILE, &[path.as_os_str().as_encoded_bytes(), bytes])?;
                }
            }
        }
        Ok(())
    }

    fn zone(&mut self, altered: &'a Altered, to: &mut impl Write) -> io::Result<()> {
        let Some(zone) = &altered.zone else {
            return Ok(());
        };
        let alone = Document {
            zones: vec![zone.clone()],
            ..Document::default()
        };
        let mut section = String::new();
        alone.each_section(|one| one.clone_into(&mut section));
        self.written.push(altered);
        self.put_section(&section, to)
    }

    fn put_section(&mut self, section: &str, to: &mut impl Write) -> io::Result<()> {
        if !self.files.is_empty() {
            for text in texts(section) {
                if let Some(name) = self.files.take(text) {
                    self.named.insert(name);
                }
            }
        }
        put(to, TEXT, &[section.as_bytes()])
    }

    /// Whether a file of before is still one that a zone, or a list, names.
    fn is_kept(&self, name: &[u8]) -> bool {
        let Ok(name) = std::str::from_utf8(name) else {
            return false;
        };
        self.named.contains(&quoted(name)) && !self.new.contains(Path::new(name))
    }
}

/// The texts in a section as they stand there, in their quotes.
fn texts(section: &str) -> impl Iterator<Item = &str> {
    let mut rest = section;
    std::iter::from_fn(move || {
        let begin = rest.find(['"', '\''])?;
        let text = rest.get(begin..)?;
        let length = length(text)?;
        let (text, after) = text.split_at_checked(length)?;
        rest = after;
        Some(text)
    })
}

/// How long a text is that begins here, with both of its quotes.
fn length(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate();
    let (_, quote) = bytes.next()?;
    loop {
        match bytes.next()? {
            (at, byte) if byte == quote => return Some(at + 1),
            (_, b'\\') if quote == b'"' => drop(bytes.next()),
            _ => {}
        }
    }
}

/// The names of the files that it has, as a document has them. What else is in it is passed over.
fn file_names(path: &Path, all: u64) -> io::Result<HashSet<String>> {
    let mut from = BufReader::new(File::open(path)?);
    from.seek_relative(super::MAGIC.len() as i64)?;
    let mut names = HashSet::new();
    loop {
        let mut kind = [0];
        from.read_exact(&mut kind).map_err(cut_off)?;
        match kind {
            [TEXT] => pass(&mut from, all)?,
            [FILE] => {
                let name = bytes(&mut from, LONGEST_PATH)?;
                pass(&mut from, all)?;
                if let Ok(name) = String::from_utf8(name)
                    && name != STAND
                {
                    names.insert(quoted(&name));
                }
            }
            // Whether that is its end shows when it is read.
            _ => return Ok(names),
        }
    }
}

/// Passes over what stands behind its length.
fn pass(from: &mut BufReader<File>, all: u64) -> io::Result<()> {
    let mut length = [0; 8];
    from.read_exact(&mut length).map_err(cut_off)?;
    let length = u64::from_le_bytes(length);
    match i64::try_from(length) {
        Ok(by) if length <= all => from.seek_relative(by),
        _ => Err(bad("it was changed after it was written")),
    }
}

#[cfg(test)]
mod tests;
