//! What control had published, read once more where neither its log nor a backup is left: of a bucket or a folder, as an edge reads it.
//!
//! It is believed as an edge believes it: signed, going back to the root key. What comes of it is a folder as an edge has one, of which a
//! log is then made. Secrets were sealed to the locations: the keys of one of them, in its data folder, open them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use seawall_bundle::PublicKey;
use seawall_model::{Document, Limits, document};
use seawall_proxy::materials::{ALL, Materials};
use tokio::time::Instant;

use super::{FOLDERS, OF_A_LOCATION, under};
use crate::contents::Contents;
use crate::data::Data;
use crate::distribution::bucket::Bucket;
use crate::distribution::folder::Folder;
use crate::distribution::follower::Follower;
use crate::distribution::joining::{Identity, RECEIVED};
use crate::distribution::news::News;
use crate::distribution::source::Source;
use crate::distribution::{keys, publisher};
use crate::live::{self, LIVE};
use crate::order::{Chain, Change};
use crate::say::complain;

/// How long it is read for, at most.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long what is not there yet is waited for before it is asked for again.
const REST: Duration = Duration::from_millis(500);
/// So often files are asked for that cannot be had.
const TRIES: usize = 5;
/// Files that an edge's folder gives besides the keys of its location.
const KEPT: [&str; 6] = [
    "root.pub",
    "zone-ids.json",
    "node",
    "self-signed.names",
    "self-signed.pem",
    "self-signed.key",
];

/// What is to be read, and what by.
pub struct Published<'p> {
    /// `s3://BUCKET/PREFIX`, or the folder that control published in.
    pub store: &'p str,
    /// The data folder of a location: the root key is known there, and secrets are opened by its keys.
    pub edge: Option<&'p Path>,
    /// A file with the root key.
    pub root_key: Option<&'p Path>,
}

impl Published<'_> {
    /// Makes in `folder`, which is empty, what an edge would have of it.
    ///
    /// # Errors
    /// When it cannot be read or is not to be believed.
    pub fn bring(&self, folder: &Path) -> Result<()> {
        let data = Data::at(folder)?;
        if let Some(edge) = self.edge {
            copy(edge, folder)?;
        }
        let identity = Identity::read(&data)?;
        let root_key = self.root_key(&data, identity.as_ref())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let local = tokio::task::LocalSet::new();
        let news = local.block_on(&runtime, async {
            let location = identity
                .as_ref()
                .map_or("", |identity| identity.location.as_str());
            // Here, for requests to a bucket are carried out on this thread.
            let source = self.source()?;
            let mut follower = Follower::new(Data::at(folder)?, location, root_key, vec![source])
                .with_cache(Folder::at(data.path(RECEIVED)));
            if let Some(identity) = &identity {
                follower = follower.with_seal_key(&identity.seal_key);
            }
            let read = tokio::time::timeout(PATIENCE, all(&mut follower));
            let news = read
                .await
                .with_context(|| format!("{} takes too long to read", self.store))??;
            publisher::was_published(folder, follower.generation().1)?;
            anyhow::Ok(news)
        })?;
        keep(&data, news)
    }

    fn source(&self) -> Result<Source> {
        if Bucket::is_url(self.store) {
            return Ok(Source::Bucket(Bucket::open(self.store)?));
        }
        let path = Path::new(self.store);
        if !path.is_dir() {
            bail!(
                "{} is neither s3://BUCKET nor a folder: what control publishes is in `published` of its data folder",
                self.store
            );
        }
        Ok(Source::Folder(Folder::at(path)))
    }

    fn root_key(&self, data: &Data, identity: Option<&Identity>) -> Result<PublicKey> {
        if let Some(file) = self.root_key {
            let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
            return Ok(PublicKey::parse(&text)?);
        }
        if let Some(identity) = identity {
            return Ok(identity.root_key);
        }
        keys::root_public(data)?.context(
            "nothing says which root key is to be believed: name its file with --root-key (it is root.pub of control's data folder), or a location's data folder with --from-live",
        )
    }
}

/// Copies what a location's folder gives.
fn copy(edge: &Path, folder: &Path) -> Result<()> {
    for name in KEPT.into_iter().chain(OF_A_LOCATION.into_iter().take(1)) {
        if edge.join(name).exists() {
            fs::copy(edge.join(name), folder.join(name))?;
        }
    }
    for path in FOLDERS.iter().flat_map(|name| under(&edge.join(name))) {
        let to = folder.join(path.strip_prefix(edge).unwrap_or(&path));
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(&path, to)?;
    }
    Ok(())
}

/// All that serves, once it could be read.
async fn all(follower: &mut Follower) -> Result<Vec<Change>> {
    let mut found: Option<Vec<Change>> = None;
    let mut told: Vec<String> = Vec::new();
    for _ in 0..TRIES {
        let looked = follower.look(Instant::now()).await;
        told = looked.problems;
        if let Some(News {
            live, undelivered, ..
        }) = looked.news
        {
            told.extend(undelivered.into_iter().map(|(chain, version, why)| {
                format!("version {version} of {chain} cannot be had: {why}")
            }));
            let known = found.get_or_insert_default();
            known.retain(|known| live.iter().all(|new| new.chain != known.chain));
            known.extend(live);
        }
        if found.is_some() && !follower.lacks_files() {
            break;
        }
        tokio::time::sleep(REST).await;
    }
    let problems = told.join("; ");
    let Some(found) = found else {
        bail!("nothing was read: {problems}");
    };
    if follower.lacks_files() {
        complain(format_args!(
            "LEFT OUT: {problems} (secrets are opened by the keys of a location: name its data folder with --from-live)"
        ));
    }
    Ok(found)
}

/// Writes it as what serves.
fn keep(data: &Data, changes: Vec<Change>) -> Result<()> {
    let mut whole = Document::default();
    for Change { chain, text, .. } in changes {
        let Some(text) = text else { continue };
        let alone = document::parse_alone(&text, &Limits::default()).document;
        match chain {
            Chain::Platform => (whole.edge, whole.lists) = (alone.edge, alone.lists),
            Chain::Zone(_) => whole.zones.extend(alone.zones),
        }
    }
    let contents = Contents::of(data);
    let mut materials = Materials::default();
    let mut left = ALL;
    materials.fill(&whole, &mut left, |path, room| contents.read(path, room));
    live::write(&data.path(LIVE), &whole, &[&materials], None)?;
    Ok(())
}
