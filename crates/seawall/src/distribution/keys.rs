//! Control's keys: the root key, which signs the list of online keys and is best kept elsewhere, and the online key, which signs
//! manifests.
//!
//! Both are made at the first start, in `DATA/keys`, readable for our own user alone. `DATA/root.pub` is what edges are given when
//! they join: whatever they read later must go back to it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use seawall_bundle::{KeyList, Limits, PublicKey, SigningKey, open_keys, sign_keys};

use crate::data::Data;

/// The folder of keys, in the data folder.
const FOLDER: &str = "keys";
/// The root key's public half, in the data folder: for whoever reads what is published on this machine.
pub const ROOT_PUBLIC: &str = "root.pub";

/// What control signs with.
pub struct Keys {
    /// Signs manifests.
    pub online: SigningKey,
    /// The signed list that says so.
    pub list: Vec<u8>,
    /// The epoch of the list.
    pub epoch: u64,
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
        if !known.online.iter().any(|key| key.key == online.public()) {
            return Err(anyhow!(
                "keys/online.key is not in keys/list: no edge would believe it (`seawall keys rotate` makes another)"
            ));
        }
        Ok(Self {
            online,
            epoch: known.epoch,
            list,
        })
    }
}

/// Makes the first keys. What was half made is made anew: the public root key comes last, and nobody was given it before.
fn make(data: &Data) -> Result<()> {
    let (root, online) = (SigningKey::generate()?, SigningKey::generate()?);
    let list = sign_keys(&KeyList::first(online.public()), &root, &Limits::default())?;
    let files = [
        ("keys/root.key", root.to_text()?.into_bytes(), 0o600),
        ("keys/online.key", online.to_text()?.into_bytes(), 0o600),
        ("keys/list", list, 0o644),
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
