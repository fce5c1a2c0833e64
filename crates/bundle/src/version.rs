//! A version as it travels: its number, the document's text, and which files the document names.

use crate::codec::{Reader, Writer};
use crate::hash::Hash;
use crate::limits::Limits;
use crate::object::Object;
use crate::refused::{Refused, at_most};

const MAGIC: &[u8] = b"seawall version 1\n";

/// A file that a document names, by its content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// The path as the document spells it.
    pub path: String,
    /// The name of the object that holds its content: see [`crate::Content::open`].
    pub object: Hash,
}

/// One version of a zone or of the platform: all that an edge needs to compile it, but for the contents of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its number in its chain, from 1.
    pub number: u64,
    /// The document's text.
    pub document: String,
    /// The files that it names, by path, each path once.
    pub files: Vec<File>,
}

/// A zone that is live, in one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// What it says.
    pub version: Version,
}

impl Version {
    /// As an object of its own: how a version travels that is on trial, or is the platform's. Files are sorted by path.
    ///
    /// # Errors
    /// [`Refused::TooLarge`]; [`Refused::Malformed`] where one path stands twice.
    pub fn pack(&self, limits: &Limits) -> Result<Object, Refused> {
        let mut sorted = self.clone();
        sorted.put_in_order(limits)?;
        let mut writer = Writer::new(MAGIC);
        sorted.write(&mut writer);
        Object::pack(&writer.finish(), object_limit(limits))
    }

    /// Opens what was fetched as `name`.
    ///
    /// # Errors
    /// As [`Object::open`]; [`Refused::Malformed`] if it is no version.
    pub fn open(name: &Hash, packed: &[u8], limits: &Limits) -> Result<Self, Refused> {
        let content = Object::open(name, packed, object_limit(limits))?;
        let mut reader = Reader::new("a version", MAGIC, &content)?;
        let version = Self::read(&mut reader, limits)?;
        reader.finish()?;
        Ok(version)
    }

    /// Checks it against the limits and sorts its files.
    pub(crate) fn put_in_order(&mut self, limits: &Limits) -> Result<(), Refused> {
        at_most("a document", self.document.len(), limits.document_bytes)?;
        at_most("the files of a version", self.files.len(), limits.files)?;
        self.files.sort();
        for file in &self.files {
            at_most("a path", file.path.len(), limits.name_bytes)?;
        }
        match twice(&self.files) {
            Some(path) => Err(Refused::malformed(
                "a version",
                format!("it names the file {path:?} twice"),
            )),
            None => Ok(()),
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.number(self.number);
        writer.bytes(self.document.as_bytes());
        writer.number(self.files.len() as u64);
        for file in &self.files {
            writer.bytes(file.path.as_bytes());
            writer.raw(&file.object.0);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, Refused> {
        let number = reader.number()?;
        let document = reader.text("a document", limits.document_bytes)?.to_owned();
        let count = reader.number()?;
        if count > limits.files as u64 {
            return Err(Refused::TooLarge {
                what: "the files of a version",
                found: count,
                limit: limits.files as u64,
            });
        }
        let mut files = Vec::new();
        for _ in 0..count {
            files.push(File {
                path: reader.text("a path", limits.name_bytes)?.to_owned(),
                object: Hash(reader.array()?),
            });
        }
        if !files.is_sorted_by(|one, next| one.path < next.path) {
            return Err(reader.wrong("its files are out of order"));
        }
        Ok(Self {
            number,
            document,
            files,
        })
    }
}

/// The most that a version takes as an object.
pub(crate) fn object_limit(limits: &Limits) -> usize {
    let files = limits.files.saturating_mul(limits.name_bytes + 48);
    limits
        .document_bytes
        .saturating_add(files)
        .saturating_add(64)
}

fn twice(files: &[File]) -> Option<&str> {
    let pairs = files.iter().zip(files.iter().skip(1));
    pairs
        .filter(|(one, next)| one.path == next.path)
        .map(|(one, _)| one.path.as_str())
        .next()
}
