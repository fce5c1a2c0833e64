//! `seawall backup` and `seawall restore`: all that a data folder cannot be without, in one file, and back.
//!
//! That is the log of versions with its documents, what serves and what has proved good, the zones' ids, certificates. What is
//! left out comes by itself. A restore verifies all before it changes anything, and takes nothing away: what was there is put
//! aside. What the file looks like is [`archive`]'s.

mod archive;
mod published;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use seawall_control::store::{
    Append, Body, Change, ConfigStore, Outcome, Postgres, Sqlite, sqlite, transfer,
};
use seawall_control::version::Hash;
use seawall_model::Document;
use seawall_model::tempo::Kind;
use seawall_telemetry::Stamp;

use crate::ask;
use crate::cli;
use crate::contents;
use crate::control::engine::unix;
use crate::control::files::{Binder, Safe, alone};
use crate::control::truth;
use crate::data::{Data, Held};
use crate::distribution::{joining, publisher};
use crate::earlier;
use crate::good::{self, GOOD};
use crate::live::{LIVE, sync_folder};
use crate::say::say;

/// Files of the data folder that go into a backup, besides the log and [`GOOD`].
const KEPT: [&str; 12] = [
    LIVE,
    earlier::ZONES,
    earlier::PLATFORM,
    publisher::USED,
    "root.pub",
    "location.json",
    "seen.json",
    "zone-ids.json",
    "node",
    "self-signed.names",
    "self-signed.pem",
    "self-signed.key",
];
/// Those that make a folder one of a control elsewhere: who it is there, and what it has seen of it.
const OF_A_LOCATION: [&str; 2] = ["location.json", "seen.json"];
/// Folders of it: certificates that came by ACME, with the account's key; the keys that sign what is published.
const FOLDERS: [&str; 2] = ["certificates", "keys"];
/// What is made anew of all that, and would be of another log: put aside with it.
const ANEW: [&str; 3] = [publisher::PUBLISHED, joining::RECEIVED, contents::CONTENTS];
/// What belongs to the log's file while it is open.
const BESIDE: [&str; 2] = ["control.db-wal", "control.db-shm"];
/// Zones that are brought into a new log at once.
const ZONES: usize = 5_000;

fn names() -> impl Iterator<Item = &'static str> {
    KEPT.into_iter().chain(GOOD)
}

/// `seawall backup`.
///
/// # Errors
/// When there is nothing to be kept, or it cannot be read or written.
pub fn backup(flags: &cli::Backup) -> Result<ExitCode> {
    let folder = &flags.at.data;
    if !folder.is_dir() {
        bail!(
            "there is no data folder {} (name it with --data)",
            folder.display()
        );
    }
    let data = Data::at(folder)?;
    let (how, copy) = match ask::backup(folder) {
        Some(answer) => ("control, which runs on", Some(answer?)),
        None => ("the data folder, no control runs", direct(flags, &data)?),
    };
    let seq = copy.as_ref().map(|(_, seq)| *seq);
    let mut files: Vec<archive::Source> = Vec::new();
    files.extend(copy.map(|(file, _)| (truth::FILE.to_owned(), file)));
    for name in names() {
        if let Ok(file) = File::open(data.path(name)) {
            files.push((name.to_owned(), file));
        }
    }
    for path in FOLDERS.iter().flat_map(|name| under(&data.path(name))) {
        let name = path.strip_prefix(data.path("")).unwrap_or(&path);
        files.push((name.to_string_lossy().into_owned(), File::open(&path)?));
    }
    if files.is_empty() {
        bail!("nothing is in {} yet", folder.display());
    }
    let count = files.len();
    let bytes = archive::write(&flags.file, unix(), files)?;
    let log = match seq {
        Some(seq) => format!("the log up to entry {seq}, verified"),
        None => "no log: none is there".to_owned(),
    };
    say(format_args!(
        "{}: {log}; {count} file(s), {bytes} bytes, by {how}\nprivate keys are in it: keep it where only you can read it",
        flags.file.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// `seawall audit --verify`: control's copy of the log, which is verified as it is made.
///
/// # Errors
/// When no control answers, or what is wrong with the log.
pub fn verify(at: &cli::At) -> Result<ExitCode> {
    let Some(copy) = ask::backup(&at.data) else {
        bail!(
            "no control answers on {}: start `seawall up`, or name its folder with --data",
            at.data.display()
        );
    };
    let (_, seq) = copy?;
    say(format_args!(
        "the log is whole: {seq} entries, each tied to the one before it"
    ));
    Ok(ExitCode::SUCCESS)
}

/// A copy of the log where no control runs; none where there is no log.
fn direct(flags: &cli::Backup, data: &Data) -> Result<Option<(File, u64)>> {
    let url = truth::address(flags.store.as_deref())?;
    if url.is_none() && !data.path(truth::FILE).exists() {
        return Ok(None);
    }
    truth::copy(url.as_deref(), data).map(Some)
}

/// All files under a folder, in the order of their names.
fn under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return files;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        // A link may lead anywhere: what is ours is a file.
        match path.symlink_metadata().map(|known| known.file_type()) {
            Ok(kind) if kind.is_dir() => files.extend(under(&path)),
            Ok(kind) if kind.is_file() => files.push(path),
            _ => {}
        }
    }
    files
}

/// `seawall restore`.
///
/// # Errors
/// When something runs on the folder or is in it, or the backup is not whole: nothing was changed then.
pub fn restore(flags: &cli::Restore) -> Result<ExitCode> {
    let data = Data::at(&flags.at.data)?;
    let url = truth::address(flags.store.as_deref())?;
    // Nothing runs on it, and nothing starts meanwhile.
    let _held: Vec<Held> = ["up", "edge", "control"]
        .into_iter()
        .map(|role| data.hold(role))
        .collect::<Result<_>>()?;
    let scratch = Scratch::new(&data, "restore.part")?;
    let mut made = None;
    let said = match (&flags.file, &flags.from_live) {
        (Some(file), None) => {
            let archive = archive::open(file)?;
            archive.extract(&scratch.0)?;
            made = Some(archive.manifest.at);
            let mut stamp = Stamp::new();
            let at = stamp.rfc3339(archive.manifest.at.saturating_mul(1_000_000));
            format!(
                "the backup {} of {}",
                file.display(),
                String::from_utf8_lossy(at)
            )
        }
        (None, from) if flags.from_store.is_some() => {
            let store = flags.from_store.as_deref().unwrap_or_default();
            let published = published::Published {
                store,
                edge: from.as_deref(),
                root_key: flags.root_key.as_deref(),
            };
            let read = Scratch::new(&data, "read.part")?;
            published.bring(&read.0)?;
            let said = format!("what control had published in {store}");
            from_live(&read.0, &scratch, &said)?;
            said
        }
        (None, Some(from)) => {
            let said = format!("what {} had kept of what served", from.display());
            let used = from_live(from, &scratch, &said)?;
            say(format_args!("using {}", from.join(used).display()));
            said
        }
        _ => bail!(
            "name a backup; or with --from-live a data folder, with --from-store what control had published, to be used instead"
        ),
    };
    let log = Log::ready(&scratch, url.as_deref())?;
    // Edges may have seen more than the backup knows, and so may the folder that is replaced.
    let known = [&scratch.0, &data.path("")];
    publisher::begin_above(&known, &scratch.0, made, unix())?;
    let aside = put_aside(&data, flags.replace, url.is_none())?;
    let told = log.bring_back(&data, &said)?;
    for path in under(&scratch.0) {
        let name = path.strip_prefix(&scratch.0).unwrap_or(&path);
        let to = data.path(name);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
            let is_own = folder != data.path("").as_path();
            let mode = if is_own { 0o700 } else { 0o755 };
            if is_own {
                fs::set_permissions(folder, fs::Permissions::from_mode(mode))?;
            }
        }
        fs::rename(&path, &to).with_context(|| format!("{} cannot be put back", to.display()))?;
    }
    sync_folder(&data.path(LIVE))?;
    say(format_args!("restored {said}: {told}"));
    if let Some(aside) = aside {
        say(format_args!(
            "what was there before is in {}",
            aside.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// A folder for what is verified before it is put in place; it goes when this goes.
struct Scratch(PathBuf);

impl Scratch {
    fn new(data: &Data, name: &str) -> Result<Self> {
        let path = data.path(name);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A log that was verified, and where it goes.
struct Log {
    /// As a file, with nothing beside it; none: the backup has no log.
    file: Option<PathBuf>,
    /// A database that is empty.
    database: Option<Postgres>,
}

impl Log {
    fn ready(scratch: &Scratch, url: Option<&str>) -> Result<Self> {
        let packed = scratch.0.join(truth::FILE);
        let file = packed.exists().then(|| scratch.0.join("verified.db"));
        if let Some(file) = &file {
            sqlite::restore(&packed, file)?;
            fs::remove_file(&packed)?;
        }
        let mut database = url.map(Postgres::open).transpose()?;
        if let Some(database) = &mut database
            && database.last()? != 0
        {
            bail!(
                "{} has a log already: name an empty database; nothing was changed",
                database.shown().display()
            );
        }
        Ok(Self { file, database })
    }

    /// Puts it in place, and writes into it that it was brought back. Tells what is in it.
    fn bring_back(self, data: &Data, why: &str) -> Result<String> {
        let Some(file) = self.file else {
            return Ok("no log of versions was in it; control begins one with what serves".into());
        };
        let place = data.path(truth::FILE);
        let mut store: Box<dyn ConfigStore> = match self.database {
            None => {
                // All of it is in the one file: whoever closed it last has brought in what was beside it.
                fs::rename(&file, &place)?;
                Box::new(Sqlite::open(&place)?)
            }
            Some(mut database) => {
                transfer(&mut Sqlite::open(&file)?, &mut database)?;
                fs::remove_file(&file)?;
                Box::new(database)
            }
        };
        let seq = store.last()?;
        let last = store.log(seq, 1)?;
        let hash = last.first().map_or(Hash::NONE, |entry| entry.hash);
        store.append(&Append {
            request: None,
            asked: None,
            expect: Vec::new(),
            who: ask::who(),
            why: why.to_owned(),
            at: unix(),
            changes: vec![Change::Event(Body::Restored { seq, hash })],
        })?;
        let (mut chains, mut versions, mut after) = (0, 0, None);
        loop {
            let heads = store.heads(after.as_ref(), 1_000)?;
            let Some(last) = heads.last() else { break };
            after = Some(last.chain.clone());
            chains += heads.len();
            versions += heads.iter().map(|head| head.number).sum::<u64>();
        }
        Ok(format!(
            "a log of {seq} entries, whose hashes agree, with {versions} version(s) of {chains} chain(s)"
        ))
    }
}

/// Puts what is there aside, where that is wanted.
fn put_aside(data: &Data, replace: bool, with_log: bool) -> Result<Option<PathBuf>> {
    let log = [truth::FILE].into_iter().chain(BESIDE);
    let log = log.filter(|_| with_log);
    let there: Vec<&str> = names()
        .chain(log)
        .chain(FOLDERS)
        .chain(ANEW)
        .filter(|name| data.path(name).symlink_metadata().is_ok())
        .collect();
    if there.is_empty() {
        return Ok(None);
    }
    if !replace {
        bail!(
            "{} is not empty ({}): choose another folder, or say --replace, which puts what is there aside; nothing was changed",
            data.path("").display(),
            there.join(", ")
        );
    }
    let aside = data.path(format!("replaced-{}", unix()));
    fs::create_dir(&aside)?;
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o700))?;
    for name in there {
        fs::rename(data.path(name), aside.join(name))?;
    }
    Ok(Some(aside))
}

/// Makes a log of what an edge had kept, and takes its files along. Which of its files it was.
fn from_live(folder: &Path, scratch: &Scratch, why: &str) -> Result<&'static str> {
    let found = good::recall(folder).with_context(|| {
        format!(
            "nothing in {} tells what served (it is a data folder's live, {})",
            folder.display(),
            GOOD.join(", ")
        )
    })?;
    let mut document = found.parsed.document;
    let bad = found.parsed.bad_zones;
    let mut nth = 0;
    document.zones.retain(|_| {
        nth += 1;
        !bad.contains(&(nth - 1))
    });
    take_folders(folder, scratch)?;
    let made = scratch.0.join("made.db");
    let mut store = Sqlite::open(&made)?;
    let safe = Safe::open(&Data::at(&scratch.0)?)?;
    new_log(&mut store, &document, why, &safe, found.files)?;
    store.backup(&scratch.0.join(truth::FILE))?;
    drop(store);
    for name in ["made.db", "made.db-wal", "made.db-shm"] {
        let _ = fs::remove_file(scratch.0.join(name));
    }
    // A location of another control is not taken along: there would be two of that name, one of which nobody knows.
    let is_its =
        |name: &str| OF_A_LOCATION.contains(&name) && folder.join("location.json").exists();
    for name in names().filter(|name| folder.join(name).exists() && !is_its(name)) {
        fs::copy(folder.join(name), scratch.0.join(name))?;
    }
    Ok(found.from)
}

/// Takes folders along: keys among them, which encrypt what comes into the log.
fn take_folders(folder: &Path, scratch: &Scratch) -> Result<()> {
    for path in FOLDERS.iter().flat_map(|name| under(&folder.join(name))) {
        let to = scratch.0.join(path.strip_prefix(folder).unwrap_or(&path));
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(&path, to)?;
    }
    Ok(())
}

/// A log whose first versions are these, which serve everywhere.
fn new_log(
    store: &mut Sqlite,
    document: &Document,
    why: &str,
    safe: &Safe,
    files: Vec<(PathBuf, Vec<u8>)>,
) -> Result<()> {
    let mut binder = Binder::new(safe, files);
    let why = format!("rebuilt of {why}");
    let append = |changes| Append {
        request: None,
        asked: None,
        expect: Vec::new(),
        who: ask::who(),
        why: why.clone(),
        at: unix(),
        changes,
    };
    let mut chains = alone(document).peekable();
    while chains.peek().is_some() {
        let some = chains.by_ref().take(ZONES);
        let mut changes = Vec::new();
        for (chain, alone) in some {
            let bound = binder.bind(&alone)?;
            let kind = match chain.zone() {
                Some(_) => Kind::Zone,
                None => Kind::Platform,
            };
            let from = None;
            let start = Change::Start {
                kind,
                chain: chain.clone(),
                from,
                with: None,
            };
            changes.extend(bound.to_store(None));
            changes.extend([Change::Document(chain, bound.text), start]);
        }
        let made = store.append(&append(changes))?;
        let ends = made.rollouts.iter().map(|rollout| {
            Change::Event(Body::RolloutEnded {
                rollout: *rollout,
                outcome: Outcome::Complete,
            })
        });
        store.append(&append(ends.collect()))?;
    }
    Ok(())
}
