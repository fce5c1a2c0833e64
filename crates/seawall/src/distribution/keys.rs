//! Control's keys: the root key, which signs the list of online keys and is best kept elsewhere, and the online key, which signs
//! manifests.
//!
//! Both are made at the first start, in `DATA/keys`, readable for our own user alone. `DATA/root.pub` is what edges are given when
//! they join: whatever they read later must go back to it.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow};
use seawall_bundle::{
    Fingerprint, KeyList, Limits, OnlineKey, PublicKey, SigningKey, open_keys, sign_keys,
};

use crate::data::Data;

/// The folder of keys, in the data folder.
const FOLDER: &str = "keys";
/// The root key's public half, in the data folder: for whoever reads what is published on this machine.
pub const ROOT_PUBLIC: &str = "root.pub";
const ROOT: &str = "keys/root.key";
const ONLINE: &str = "keys/online.key";
const LIST: &str = "keys/list";

/// What control signs with.
#[derive(Debug)]
pub struct Keys {
    /// Signs manifests.
    pub online: SigningKey,
    /// The signed list that says so.
    pub list: Vec<u8>,
    /// The epoch of the list.
    pub epoch: u64,
    /// When the list was written.
    written: Option<SystemTime>,
}

impl Keys {
    /// Reads them, or makes them where there are none.
    ///
    /// # Errors
    /// When they cannot be read or written, or do not belong together, with what can be done.
    pub fn open(data: &Data) -> Result<Self> {
        let folder = data.path(FOLDER);
        fs::create_dir_all(&folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        private(&folder)?;
        let root = data.path(ROOT_PUBLIC);
        if read(&root)?.is_none() {
            make(data)?;
        }
        let root = read(&root)?.ok_or_else(|| anyhow!("{} is not there", root.display()))?;
        let root = PublicKey::parse(&root).context(ROOT_PUBLIC)?;
        let online = folder.join("online.key");
        let online = read(&online)?.with_context(|| {
            format!(
                "{} is missing: put it back from a backup, or make another with `seawall keys rotate`",
                online.display()
            )
        })?;
        let online = SigningKey::parse(&online).context("keys/online.key")?;
        let list = fs::read(folder.join("list")).context("keys/list cannot be read")?;
        let known = open_keys(&list, &root, 0, &Limits::default()).context("keys/list")?;
        let is_believed = known.online.iter().any(|key| key.key == online.public());
        #[cfg(feature = "unsafe-drills")]
        let is_believed = is_believed
            || seawall_model::safeguard::is_off(seawall_model::safeguard::Safeguard::Key);
        if !is_believed {
            return Err(anyhow!(
                "keys/online.key is not in keys/list: no edge would believe it (`seawall keys rotate` makes another)"
            ));
        }
        Ok(Self {
            online,
            epoch: known.epoch,
            list,
            written: written(data),
        })
    }

    /// Whether there are others by now.
    pub fn are_old(&self, data: &Data) -> bool {
        written(data) != self.written
    }
}

fn written(data: &Data) -> Option<SystemTime> {
    let found = fs::metadata(data.path(LIST)).ok()?;
    found.modified().ok()
}

/// The list of online keys, as it is.
///
/// # Errors
/// When there is none, or it is not the root key's.
pub fn list(data: &Data) -> Result<KeyList> {
    let root = root_public(data)?.context("there are no keys yet: `seawall control` makes them")?;
    let list = fs::read(data.path(LIST)).with_context(|| format!("{LIST} cannot be read"))?;
    let list = open_keys(&list, &root, 0, &Limits::default()).context(LIST)?;
    Ok(list.into_inner())
}

/// The root key: from this file, or from the data folder if it is still there.
///
/// # Errors
/// When it is nowhere, or is another one.
pub fn root_key(data: &Data, file: Option<&Path>) -> Result<SigningKey> {
    let path = file.map_or_else(|| data.path(ROOT), Path::to_owned);
    let text = read(&path)?.with_context(|| {
        format!(
            "{} is not there: say where the root key is with --root FILE",
            path.display()
        )
    })?;
    let key = SigningKey::parse(&text).with_context(|| path.display().to_string())?;
    if Some(key.public()) != root_public(data)? {
        return Err(anyhow!("{} is another root key", path.display()));
    }
    Ok(key)
}

/// Another online key. The one before it stays good until the next rotation, so that nobody is left behind; a running control signs with the new
/// one from its next manifest on.
///
/// # Errors
/// When something cannot be written: what there was is good still.
pub fn rotate(data: &Data, root: &SigningKey) -> Result<PublicKey> {
    let mut list = list(data)?;
    let before = read(&data.path(ONLINE))?.map(|text| SigningKey::parse(&text));
    let before = before.transpose().ok().flatten().map(|key| key.public());
    let next = SigningKey::generate()?;
    list.serial += 1;
    list.online.retain(|online| {
        Some(online.key) == before && !list.revoked.contains(&online.key.fingerprint())
    });
    list.online.push(OnlineKey {
        key: next.public(),
        first: 0,
        last: None,
    });
    // The list first: with it the old key is as good as before.
    put_list(data, &list, root)?;
    keep(data, ONLINE, next.to_text()?.as_bytes())?;
    // So that a running control reads both anew.
    put_list(data, &list, root)?;
    Ok(next.public())
}

/// This key signs nothing any more. The one that is in use is replaced first.
///
/// # Errors
/// When there is no such key, or something cannot be written.
pub fn revoke(data: &Data, root: &SigningKey, key: Fingerprint) -> Result<()> {
    if !list(data)?
        .online
        .iter()
        .any(|online| online.key.fingerprint() == key)
    {
        return Err(anyhow!(
            "{key} is no online key: `seawall keys show` lists them"
        ));
    }
    let in_use = read(&data.path(ONLINE))?.map(|text| SigningKey::parse(&text));
    #[cfg(feature = "unsafe-drills")]
    let in_use = in_use
        .filter(|_| !seawall_model::safeguard::is_off(seawall_model::safeguard::Safeguard::Key));
    if let Some(Ok(in_use)) = in_use
        && in_use.public().fingerprint() == key
    {
        rotate(data, root)?;
    }
    let mut list = list(data)?;
    list.serial += 1;
    list.online.retain(|online| online.key.fingerprint() != key);
    list.revoked.push(key);
    put_list(data, &list, root)
}

fn put_list(data: &Data, list: &KeyList, root: &SigningKey) -> Result<()> {
    keep(data, LIST, &sign_keys(list, root, &Limits::default())?)
}

fn keep(data: &Data, name: &str, content: &[u8]) -> Result<()> {
    if data.keep(name, content, 0o600) {
        return Ok(());
    }
    Err(anyhow!("{} cannot be kept", data.path(name).display()))
}

/// Moves the root key out of the data folder: onto something that is locked away.
///
/// # Errors
/// When it is not there any more, the file is there already, or cannot be written. The key is removed only once the copy was read back.
pub fn move_root(data: &Data, to: &Path) -> Result<()> {
    let key = root_key(data, None)?.to_text()?;
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .with_context(|| format!("{} cannot be made", to.display()))?;
    file.write_all(key.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("{} cannot be written", to.display()))?;
    root_key(data, Some(to)).context("what was written is not what was to be")?;
    fs::remove_file(data.path(ROOT)).context("the key could not be removed from the data folder")
}

/// Makes the first keys. What was half made is made anew: the public root key comes last, and nobody was given it before.
fn make(data: &Data) -> Result<()> {
    let (root, online) = (SigningKey::generate()?, SigningKey::generate()?);
    let list = sign_keys(&KeyList::first(online.public()), &root, &Limits::default())?;
    let files = [
        (ROOT, root.to_text()?.into_bytes(), 0o600),
        (ONLINE, online.to_text()?.into_bytes(), 0o600),
        (LIST, list, 0o644),
        (ROOT_PUBLIC, root.public().to_string().into_bytes(), 0o644),
    ];
    for (name, content, mode) in files {
        if !data.keep(name, &content, mode) {
            return Err(anyhow!("{} cannot be kept", data.path(name).display()));
        }
    }
    Ok(())
}

/// The root key that what is published on this machine goes back to; none before control has started once.
///
/// # Errors
/// When it is there and cannot be read.
pub fn root_public(data: &Data) -> Result<Option<PublicKey>> {
    let text = read(&data.path(ROOT_PUBLIC))?;
    let key = text.map(|text| PublicKey::parse(&text));
    key.transpose().context(ROOT_PUBLIC)
}

fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

fn private(folder: &PathBuf) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
        .with_context(|| format!("{} cannot be made private", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_rotated_revoked_and_the_root_key_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::at(folder.path()).unwrap();
        let first = Keys::open(&data).unwrap();
        let root = root_key(&data, None).unwrap();
        let second = rotate(&data, &root).unwrap();
        assert!(first.are_old(&data));
        let both = list(&data).unwrap();
        let keys: Vec<PublicKey> = both.online.iter().map(|online| online.key).collect();
        assert_eq!(
            (keys, both.serial),
            (vec![first.online.public(), second], 2)
        );
        assert_eq!(Keys::open(&data).unwrap().online.public(), second);
        // A third one: the first is forgotten, for two are good at a time.
        let third = rotate(&data, &root).unwrap();
        let keys: Vec<PublicKey> = list(&data)
            .unwrap()
            .online
            .iter()
            .map(|online| online.key)
            .collect();
        assert_eq!(keys, [second, third]);
        // The one in use is revoked: another one takes its place first.
        revoke(&data, &root, third.fingerprint()).unwrap();
        let now = Keys::open(&data).unwrap().online.public();
        let after = list(&data).unwrap();
        assert!(now != third && after.revoked == [third.fingerprint()]);
        assert!(after.online.iter().all(|online| online.key != third));
        assert!(revoke(&data, &root, third.fingerprint()).is_err());

        let away = folder.path().join("away.key");
        move_root(&data, &away).unwrap();
        assert!(root_key(&data, None).is_err() && move_root(&data, &away).is_err());
        let root = root_key(&data, Some(&away)).unwrap();
        rotate(&data, &root).unwrap();
        Keys::open(&data).unwrap();
        fs::write(&away, SigningKey::generate().unwrap().to_text().unwrap()).unwrap();
        assert!(root_key(&data, Some(&away)).is_err(), "another one");
    }
}
