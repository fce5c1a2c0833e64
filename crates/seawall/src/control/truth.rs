//! Where control keeps the truth: a file in the data folder, or a PostgreSQL database that `--store` names.
//!
//! An address with a password never stands on a command line, where everybody on the machine could read it: it comes by
//! `SEAWALL_STORE`, or from a file that is named as `@FILE`. Not here: what a store is ([`seawall_control::store`]).

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use seawall_control::store::postgres::has_password;
use seawall_control::store::{ConfigStore, Postgres, Sqlite, sqlite, transfer};

use super::words::FromControl;
use super::{Control, gone};
use crate::cli;
use crate::data::{Data, random};
use crate::say::{complain, say};
use crate::wire::Wire;

/// How the flag is mirrored.
pub const VARIABLE: &str = "SEAWALL_STORE";
/// The file, where no database is named.
pub const FILE: &str = "control.db";
/// How often it is looked whether the database answers, or whether we may lead.
const LOOKS: Duration = Duration::from_secs(1);
/// An address is not longer, in bytes.
const LONGEST: u64 = 4 << 10;

/// The address of the database; none where the truth is in a file.
///
/// # Errors
/// When a password stands on the command line, or the file that is named cannot be read.
pub fn address(named: Option<&str>) -> Result<Option<String>> {
    let Some(named) = named else {
        return Ok(None);
    };
    if let Some(file) = named.strip_prefix('@') {
        let read = std::fs::metadata(file).and_then(|known| match known.len() {
            0..=LONGEST => std::fs::read_to_string(file),
            _ => Err(std::io::ErrorKind::FileTooLarge.into()),
        });
        let text = read.with_context(|| format!("--store {named} cannot be read"))?;
        return Ok(Some(text.trim().to_owned()));
    }
    let by_variable = std::env::var(VARIABLE).is_ok_and(|value| value == named);
    if has_password(named) && !by_variable {
        bail!(
            "--store has a password in it, which everybody on this machine can read there: put the address into a file and name \
             that as --store @FILE, or into the variable {VARIABLE}"
        );
    }
    Ok(Some(named.to_owned()))
}

/// Opens it. A database is waited for, and so is the lead where another control has it; none when nobody needs us meanwhile.
///
/// # Errors
/// When the address is none, or what is there is not ours to use.
pub async fn open(
    up: &cli::Up,
    data: &Data,
    mut starter: Option<&Wire>,
) -> Result<Option<Box<dyn ConfigStore>>> {
    let Some(url) = address(up.store.as_deref())? else {
        let store = Sqlite::open(&data.path(FILE)).context("the store of versions")?;
        return Ok(Some(Box::new(store)));
    };
    let mut store = None;
    let mut told = String::new();
    let mut left = false;
    loop {
        let waits = match may_lead(&url, &mut store) {
            Ok(None) => break,
            Ok(Some(who)) => format!("another control leads ({who}): this one waits until it ends"),
            Err(error) if error.may_come_again() => {
                format!("the store of versions: {error}; sites are served all the same")
            }
            Err(error) => return Err(error).context("the store of versions"),
        };
        if waits != told {
            complain(&waits);
            told = waits;
        }
        tokio::select! {
            () = gone(starter) => (starter, left) = (None, true),
            () = tokio::time::sleep(LOOKS) => {}
        }
        let edge = || Wire::connect(&data.path("edge.sock")).is_ok();
        if !data.path("").exists() || left && !edge() {
            return Ok(None);
        }
    }
    let Some(store) = store else {
        bail!("no store of versions");
    };
    say(format_args!(
        "Seawall keeps versions in {}",
        store.shown().display()
    ));
    Ok(Some(Box::new(store)))
}

impl Control {
    /// Copies the log on a thread of its own: that takes as long as the log is, and rollouts go on.
    pub(super) fn back_up(&self, wire: &Rc<Wire>) {
        let (wire, data) = (wire.clone(), self.data.clone());
        let store = self.flags.store.clone();
        tokio::task::spawn_local(async move {
            let copy = move || {
                let url = address(store.as_deref())?;
                copy(url.as_deref(), &data)
            };
            let copied = match tokio::task::spawn_blocking(copy).await {
                Ok(copied) => copied.map_err(|error| format!("{error:#}")),
                Err(error) => Err(error.to_string()),
            };
            // Who asked may have gone.
            let _ = match copied {
                Ok((file, seq)) => wire.say(&FromControl::Backup { seq }, &[file.as_fd()]),
                Err(why) => wire.say(&FromControl::NoBackup { why }, &[]),
            };
        });
    }
}

/// A copy of the log as of now, verified, in a file that has no name any more; and the number of its last entry. Others may write
/// meanwhile. Takes time linear in the log.
///
/// # Errors
/// When it cannot be read, is damaged, or there is no room for two copies in the data folder.
pub fn copy(url: Option<&str>, data: &Data) -> Result<(File, u64)> {
    let folder = data.path(format!("backup-{:016x}.part", random()?));
    std::fs::create_dir(&folder)?;
    let copied = copy_into(url, data, &folder).context("the store of versions");
    let _ = std::fs::remove_dir_all(&folder);
    copied
}

fn copy_into(url: Option<&str>, data: &Data, folder: &Path) -> Result<(File, u64)> {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    let copy = folder.join("copy.db");
    let mut store = match url {
        None => Sqlite::open(&data.path(FILE))?,
        Some(url) => {
            let mut store = Sqlite::open(&folder.join("transferred.db"))?;
            transfer(&mut Postgres::open(url)?, &mut store)?;
            store
        }
    };
    store.backup(&copy)?;
    // A backup that was never read is none.
    let seq = sqlite::restore(&copy, &folder.join("verified.db"))?;
    Ok((File::open(&copy)?, seq))
}

/// Tries to lead; who does otherwise.
fn may_lead(
    url: &str,
    store: &mut Option<Postgres>,
) -> Result<Option<String>, seawall_control::StoreError> {
    let open = match store.take() {
        Some(open) => open,
        None => Postgres::open(url)?,
    };
    let open = store.insert(open);
    if open.lead()? {
        return Ok(None);
    }
    let who = open.leader()?;
    Ok(Some(
        who.unwrap_or_else(|| "one that is about to end".into()),
    ))
}
