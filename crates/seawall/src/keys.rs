//! `seawall keys`: the keys that sign what is published, on control's machine.

use std::process::ExitCode;

use anyhow::{Context, Result};
use seawall_bundle::Fingerprint;

use crate::cli::{Keys, KeysWhat};
use crate::data::Data;
use crate::distribution::keys;
use crate::say::say;

/// Does it.
///
/// # Errors
/// When keys cannot be read or written, with what can be done.
pub fn run(flags: &Keys) -> Result<ExitCode> {
    match &flags.what {
        KeysWhat::Show(show) => {
            let data = Data::at(&show.at.data)?;
            let list = keys::list(&data)?;
            for online in &list.online {
                say(format_args!("online   {}", online.key.fingerprint()));
            }
            for revoked in &list.revoked {
                say(format_args!("revoked  {revoked}"));
            }
            let root = match keys::root_key(&data, None) {
                Ok(_) => {
                    "in the data folder: `seawall keys root --to FILE` takes it away from this machine"
                }
                Err(_) => "not on this machine",
            };
            say(format_args!("root     {root}"));
        }
        KeysWhat::Rotate(rotate) => {
            let data = Data::at(&rotate.at.data)?;
            let root = keys::root_key(&data, rotate.root.as_deref())?;
            let next = keys::rotate(&data, &root)?;
            say(format_args!(
                "{} signs from the next manifest on",
                next.fingerprint()
            ));
        }
        KeysWhat::Revoke(revoke) => {
            let data = Data::at(&revoke.at.data)?;
            let root = keys::root_key(&data, revoke.root.as_deref())?;
            let key = Fingerprint::parse(&revoke.key).context(
                "a key is named by 32 hexadecimal digits: `seawall keys show` lists them",
            )?;
            keys::revoke(&data, &root, key)?;
            say(format_args!("{key} signs nothing any more"));
        }
        KeysWhat::Root(root) => {
            let data = Data::at(&root.at.data)?;
            keys::move_root(&data, &root.to)?;
            say(format_args!(
                "the root key is in {} alone: keep two copies of it where nobody comes by (without it no online key can be replaced)",
                root.to.display()
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}
