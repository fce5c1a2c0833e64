//! Files that documents name, on control's side: read when a version is made, and bound to it; secrets encrypted before they come
//! into the store, with a key of this machine.
//!
//! The key is `DATA/keys/contents.key`, or systemd's credential `seawall-contents-key` (32 bytes). It goes into a backup with the other
//! keys; another control that is to take over from this one needs it too. Not here: what a version's text looks like
//! ([`seawall_control::contents`]), how contents travel ([`publisher`](crate::distribution::publisher)).

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use seawall_bundle::ContentKey;
use seawall_control::contents::{self, File};
use seawall_control::guards;
use seawall_control::store::{Blob, Change as StoreChange, ConfigStore, StoreError};
use seawall_control::{Chain, Hash};
use seawall_model::Document;
use seawall_proxy::materials::{ALL, Materials, Room, from_disk};

use crate::contents::{Name, plain};
use crate::data::Data;

/// The key, in the data folder.
const KEY: &str = "keys/contents.key";
/// Systemd's name for it.
const CREDENTIAL: &str = "seawall-contents-key";
/// What secrets are encrypted for.
const AT_REST: &[u8] = b"a file in the store of versions";

/// Where secrets are opened and encrypted.
#[derive(Clone)]
pub struct Safe {
    key: ContentKey,
}

impl Safe {
    /// With the key of this machine, which is made where there is none.
    ///
    /// # Errors
    /// When it cannot be read or written, or is none.
    pub fn open(data: &Data) -> Result<Self> {
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
        let given = folder.map(|folder| Path::new(&folder).join(CREDENTIAL));
        let path = given.filter(|path| path.exists());
        let path = path.unwrap_or_else(|| data.path(KEY));
        if !path.exists() {
            if let Some(folder) = path.parent() {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(folder)
                    .with_context(|| folder.display().to_string())?;
            }
            let key = ContentKey::generate()?;
            if !data.keep(KEY, key.bytes(), 0o600) {
                bail!("{} cannot be kept", path.display());
            }
        }
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let bytes = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| {
            anyhow!(
                "{} has {} bytes and not 32: put it back from a backup (without it nobody opens the private keys of versions; if it is lost, \
                 remove it, and apply what names them anew)",
                path.display(),
                bytes.len()
            )
        })?;
        Ok(Self {
            key: ContentKey::from_bytes(bytes),
        })
    }

    /// A file's content, of what the store keeps of it.
    ///
    /// # Errors
    /// That it is not there, or sealed with another key.
    pub fn content(&self, store: &mut dyn ConfigStore, name: &Name<'_>) -> Result<Vec<u8>, String> {
        let kept = store.content(&name.hash).map_err(|error| error.to_string());
        let kept = kept?
            .ok_or_else(|| format!("{}: its content is not in the store of versions", name.path))?;
        self.unsealed(kept, name)
    }

    fn unsealed(&self, kept: Vec<u8>, name: &Name<'_>) -> Result<Vec<u8>, String> {
        if !name.sealed {
            return Ok(kept);
        }
        self.key.decrypt(AT_REST, &kept).map_err(|_| {
            format!(
                "{} is sealed with another machine's key: put {KEY} back from a backup, or apply what names it anew",
                name.path
            )
        })
    }
}

/// A document's chains, each with its part of it: the platform first, then zones in their order.
pub fn alone(document: &Document) -> impl Iterator<Item = (Chain, Document)> + '_ {
    let zones = document.zones.iter().map(|zone| {
        let alone = Document {
            zones: vec![zone.clone()],
            ..Document::default()
        };
        (Chain::Zone(zone.name.clone()), alone)
    });
    std::iter::once((Chain::Platform, document.head())).chain(zones)
}

/// A chain's document, with the contents of its files.
pub struct Bound {
    /// Its text, as a version has it.
    pub text: String,
    /// What is kept of its files.
    pub contents: Vec<(Hash, Arc<[u8]>)>,
}

impl Bound {
    /// What brings those contents into the store that a text of before has not brought there.
    pub fn to_store(&self, before: Option<&str>) -> Vec<StoreChange> {
        let before = before.map(contents::files).unwrap_or_default();
        let new = self.contents.iter();
        let new = new.filter(|(hash, _)| !before.iter().any(|file| file.hash == *hash));
        new.map(|(_, bytes)| StoreChange::Content(Blob(bytes.clone())))
            .collect()
    }
}

/// Binds documents to the contents of their files.
pub struct Binder<'s> {
    safe: &'s Safe,
    /// Bytes that all files together may have still.
    left: u64,
    /// Files that were read before, by their names; none: all come from the disk.
    known: HashMap<PathBuf, Vec<u8>>,
}

impl<'s> Binder<'s> {
    /// Whose files come from the disk, but for those that are known.
    pub fn new(safe: &'s Safe, known: Vec<(PathBuf, Vec<u8>)>) -> Self {
        Self {
            safe,
            left: ALL,
            known: known.into_iter().collect(),
        }
    }

    /// The document of one chain. A file that cannot be read is not in its text: compiling it tells why.
    ///
    /// # Errors
    /// When there is no memory to encrypt in.
    pub fn bind(&mut self, alone: &Document) -> Result<Bound, StoreError> {
        let mut read = Materials::default();
        let known = &self.known;
        read.fill(alone, &mut self.left, |path, room| match known.get(path) {
            Some(bytes) => Ok(bytes.clone()),
            None => from_disk(path, room),
        });
        let mut files = Vec::new();
        let mut contents = Vec::new();
        for path in contents::named(alone) {
            let Ok(bytes) = read.file(path) else { continue };
            let sealed = contents::is_secret(alone, path, bytes);
            let kept = if sealed {
                let sealed = self.safe.key.encrypt(AT_REST, bytes);
                sealed.map_err(|error| StoreError::Refused(error.to_string()))?
            } else {
                bytes.to_vec()
            };
            let hash = Hash::of(&kept);
            let path = Name::of(path).map_or_else(|| path.to_str(), |name| Some(name.path));
            files.push(File {
                // A document is a text, and so is what stands in it.
                path: path.unwrap_or_default().to_owned(),
                sealed,
                hash,
                size: bytes.len() as u64,
            });
            contents.push((hash, Arc::from(kept)));
        }
        let mut alone = alone.clone();
        plain(&mut alone);
        Ok(Bound {
            text: contents::bound(&alone.to_toml(), files),
            contents,
        })
    }
}

/// How much a version's document holds, with what its lists take from files.
///
/// # Errors
/// As the store says.
pub fn measure(
    store: &mut dyn ConfigStore,
    text: &str,
    document: &Document,
) -> Result<guards::Measures, StoreError> {
    let mut parts = guards::measure(document);
    for file in contents::files(text).iter().filter(|file| !file.sealed) {
        let is_it = |list: &Option<PathBuf>| list.as_deref() == Some(Path::new(&file.path));
        let lists = document.lists.iter();
        let names: Vec<&String> = lists
            .filter(|(_, list)| is_it(&list.file))
            .map(|(name, _)| name)
            .collect();
        if names.is_empty() {
            continue;
        }
        let content = store.content(&file.hash)?.unwrap_or_default();
        let lines = content.split(|byte| *byte == b'\n');
        let rows = lines.filter(|line| !line.is_empty()).count() as u64;
        let measure = guards::Measure::of_rows(rows, file.size);
        let paths = names.into_iter().map(|name| format!("lists.{name}.file"));
        parts.extend(paths.map(|path| (path, measure)));
    }
    Ok(parts)
}

/// Reads files for compiling: by their names from what is new, or from the store; others from the disk.
pub fn read(
    safe: &Safe,
    store: &mut dyn ConfigStore,
    new: &HashMap<Hash, Arc<[u8]>>,
    path: &Path,
    room: Room,
) -> Result<Vec<u8>, String> {
    let Some(name) = Name::of(path) else {
        return from_disk(path, room);
    };
    let content = match new.get(&name.hash) {
        Some(kept) => safe.unsealed(kept.to_vec(), &name),
        None => safe.content(store, &name),
    };
    let content = content?;
    let most = room.most.min(room.left);
    if content.len() as u64 > most {
        return Err(format!("{} is larger than {most} bytes", name.path));
    }
    Ok(content)
}
