//! The keys that secrets are encrypted with before they are published, and who may open them.
//!
//! A ring of keys, of which the newest encrypts, is sealed to each location, and to the edge on this machine, as one object. Who joins
//! adds one wrap to it; nothing else changes. When somebody who could open it may not any more, there is a new key, and what is encrypted
//! from then on is encrypted with it: what has been published before, whoever has left could read then. The keys are in
//! `DATA/keys/ring.json`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use seawall_bundle::{ContentKey, Fingerprint, Hash, Limits, Ring, SealKey, SealPublicKey};
use seawall_control::store::Body;
use serde::{Deserialize, Serialize};

use super::folder::Folder;
use crate::control::engine::Engine;
use crate::data::Data;
use crate::say::{complain, say};

/// The keys, in the data folder.
const KEPT: &str = "keys/ring.json";
/// What is sealed to the edge on control's own machine opens with this, in the data folder.
const HERE: &str = "keys/here.key";
/// As many locations as are looked at.
const ROWS: usize = 10_000;
/// With more keys than this all is encrypted anew, with the newest.
pub const MOST_KEYS: usize = 16;

/// What is kept of it.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    /// The keys, in hexadecimal digits, the newest last.
    keys: Vec<Hash>,
    /// To whom it is sealed.
    recipients: Vec<Fingerprint>,
    /// The object.
    object: Option<Hash>,
}

/// The ring, as control has it.
pub struct Rings {
    data: Data,
    kept: Kept,
    ring: Ring,
}

impl Rings {
    /// As an earlier process has left it.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn open(data: Data) -> Result<Self> {
        let path = data.path(KEPT);
        let kept = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice::<Kept>(&text).with_context(|| {
                format!("{}: put it back from a backup, or remove it: another one is made, and all is encrypted anew", path.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let keys = kept.keys.iter().map(|key| ContentKey::from_bytes(key.0));
        Ok(Self {
            ring: Ring::new(keys.collect()),
            kept,
            data,
        })
    }

    /// What encrypts now. The first key is made when it is asked for, so that who has no secrets has no ring.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn newest(&mut self) -> Result<&ContentKey> {
        if self.ring.newest().is_none() {
            self.ring.add(ContentKey::generate()?);
            self.kept.object = None;
        }
        self.ring.newest().context("a ring without keys")
    }

    /// Looks who may open secrets now. Whether somebody may not any more: then there is another key.
    ///
    /// # Errors
    /// As the store and the disk say.
    pub fn look(&mut self, engine: &mut Engine) -> Result<bool> {
        if self.is_empty() {
            return Ok(false);
        }
        let now = self.recipients(engine)?;
        let is_gone = |known: &Fingerprint| !now.contains_key(known);
        let someone_left = self.kept.recipients.iter().any(is_gone);
        if someone_left {
            self.ring.add(ContentKey::generate()?);
            say(
                "Seawall encrypts secrets with another key from now on: a location has left, or has other keys",
            );
        }
        if someone_left || !now.keys().eq(&self.kept.recipients) {
            self.kept.object = None;
            self.kept.recipients = now.into_keys().collect();
            // Before anything is encrypted with it.
            self.keep()?;
        }
        Ok(someone_left)
    }

    /// Whether there is no key yet.
    pub fn is_empty(&self) -> bool {
        self.ring.newest().is_none()
    }

    /// Whether there are so many keys that all is to be encrypted anew.
    pub fn is_long(&self) -> bool {
        self.ring.keys().len() > MOST_KEYS
    }

    /// All that is published now is encrypted with the newest key; the one before it opens what somebody may be reading.
    pub fn shorten(&mut self) {
        self.ring.shorten(2);
        self.kept.object = None;
    }

    /// The object, put where it can be read; none without keys.
    ///
    /// # Errors
    /// As the store and the disk say.
    pub fn published(
        &mut self,
        engine: &mut Engine,
        folder: &Folder,
        limits: &Limits,
    ) -> Result<Option<Hash>> {
        if self.is_empty() {
            return Ok(None);
        }
        if let Some(name) = self.kept.object
            && folder.wanted(&name)?.is_some()
        {
            return Ok(Some(name));
        }
        let recipients = self.recipients(engine)?;
        let keys: Vec<SealPublicKey> = recipients.values().copied().collect();
        let object = self.ring.pack(&keys, limits)?;
        folder.put_objects([(object.name(), object.packed())].into_iter())?;
        self.kept.recipients = recipients.into_keys().collect();
        self.kept.object = Some(object.name());
        self.keep()?;
        Ok(self.kept.object)
    }

    /// Who may open secrets: the locations that have joined, and the edge on this machine.
    fn recipients(&self, engine: &mut Engine) -> Result<BTreeMap<Fingerprint, SealPublicKey>> {
        let here = here(&self.data)?.public();
        let mut all = BTreeMap::from([(here.fingerprint(), here)]);
        for entry in engine.store().standing("location", None, ROWS)? {
            let Body::LocationJoined { location, keys, .. } = entry.body else {
                continue;
            };
            match SealPublicKey::parse(&keys.seal) {
                Ok(key) => drop(all.insert(key.fingerprint(), key)),
                Err(error) => complain(format_args!(
                    "no secret is sealed to {location}, whose key is none ({error}): let it join again"
                )),
            }
        }
        Ok(all)
    }

    fn keep(&mut self) -> Result<()> {
        self.kept.keys = self
            .ring
            .keys()
            .iter()
            .map(|key| Hash(*key.bytes()))
            .collect();
        if self
            .data
            .keep(KEPT, &serde_json::to_vec(&self.kept)?, 0o600)
        {
            return Ok(());
        }
        bail!("{} cannot be written", self.data.path(KEPT).display())
    }
}

/// The key of the edge on control's own machine, made where there is none.
///
/// # Errors
/// When it cannot be read or written.
fn here(data: &Data) -> Result<SealKey> {
    if let Some(key) = known_here(data)? {
        return Ok(key);
    }
    let key = SealKey::generate()?;
    if data.keep(HERE, key.to_text()?.as_bytes(), 0o600) {
        return Ok(key);
    }
    bail!("{} cannot be kept", data.path(HERE).display())
}

/// The same, where control has made it.
///
/// # Errors
/// When it is there and cannot be read.
pub fn known_here(data: &Data) -> Result<Option<SealKey>> {
    match std::fs::read_to_string(data.path(HERE)) {
        Ok(text) => SealKey::parse(&text).map(Some).context(HERE),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(HERE),
    }
}
