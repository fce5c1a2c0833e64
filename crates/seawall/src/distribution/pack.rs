//! Files that a version names, as objects: what control keeps of them, made ready to travel.

use std::collections::HashMap;

use anyhow::Result;
use seawall_bundle::{Content, File, Hash, Limits, Object};
use seawall_control::contents::{self, File as Named};

use super::folder::Folder;
use super::ring::Rings;
use crate::contents::Name;
use crate::control::engine::Engine;
use crate::control::files::Safe;
use crate::say::complain;

/// Bytes of objects that are brought to disk at once.
const MADE: usize = 64 << 20;
/// And as many of them.
const MANY: usize = 1_000;
/// Names of objects that are remembered.
const KNOWN: usize = 100_000;

/// What makes objects of files.
pub struct Packer {
    safe: Safe,
    /// The ring of keys.
    pub rings: Rings,
    /// The object of each content, as it is encrypted now.
    known: HashMap<seawall_control::Hash, Hash>,
    /// Objects that are not on disk yet.
    made: Vec<Object>,
    /// Their bytes.
    bytes: usize,
}

impl Packer {
    /// One that has made nothing yet.
    pub fn new(safe: Safe, rings: Rings) -> Self {
        Self {
            safe,
            rings,
            known: HashMap::new(),
            made: Vec::new(),
            bytes: 0,
        }
    }

    /// What was made is to be made anew, with another key.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// The files of a version's text, each with its object, which [`flush`](Self::flush) puts where it can be read. One that cannot be had is left out, which
    /// is told: edges refuse that version, and no other.
    ///
    /// # Errors
    /// As the disk says.
    pub fn files(
        &mut self,
        engine: &mut Engine,
        text: &str,
        folder: &Folder,
        limits: &Limits,
    ) -> Result<Vec<File>> {
        let mut files = Vec::new();
        for named in contents::files(text) {
            let known = self.known.get(&named.hash).copied();
            let there = match known {
                Some(object) if self.made.iter().any(|made| made.name() == object) => known,
                Some(object) => folder.wanted(&object)?.map(|_| object),
                None => None,
            };
            let object = match there {
                Some(object) => object,
                None => match self.object(engine, &named, folder, limits)? {
                    Ok(object) => object,
                    Err(why) => {
                        complain(format_args!("a file is not published: {why}"));
                        continue;
                    }
                },
            };
            files.push(File {
                path: named.path,
                object,
            });
        }
        Ok(files)
    }

    fn object(
        &mut self,
        engine: &mut Engine,
        named: &Named,
        folder: &Folder,
        limits: &Limits,
    ) -> Result<Result<Hash, String>> {
        let name = Name {
            path: &named.path,
            sealed: named.sealed,
            hash: named.hash,
        };
        let content = match self.safe.content(engine.store(), &name) {
            Ok(content) => content,
            Err(why) => return Ok(Err(why)),
        };
        let packed = if named.sealed {
            let key = self.rings.newest()?;
            Content::pack_secret(&content, &purpose(&named.hash), key, limits)
        } else {
            Content::pack_plain(&content, limits)
        };
        let object = match packed {
            Ok(object) => object,
            Err(refused) => return Ok(Err(format!("{}: {refused}", named.path))),
        };
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        let name = object.name();
        self.known.insert(named.hash, name);
        self.bytes += object.packed().len();
        self.made.push(object);
        if self.bytes >= MADE || self.made.len() >= MANY {
            self.flush(folder)?;
        }
        Ok(Ok(name))
    }

    /// Puts what was made where it can be read: before what names it.
    ///
    /// # Errors
    /// As the disk says; it is tried again.
    pub fn flush(&mut self, folder: &Folder) -> Result<()> {
        let made = self.made.iter();
        folder.put_objects(made.map(|object| (object.name(), object.packed())))?;
        self.made.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// What a secret is encrypted for: to be the content that versions name by this hash.
pub fn purpose(hash: &seawall_control::Hash) -> Vec<u8> {
    [b"file ".as_slice(), hash.bytes()].concat()
}
