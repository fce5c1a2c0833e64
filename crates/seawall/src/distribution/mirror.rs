//! Brings what control has published into a bucket, so that edges have a second source that needs control for nothing: objects
//! first, the manifest last.
//!
//! On a thread of its own. The store may be slow or dead: nothing waits for it, it is tried again, and that it is behind is told.
//! A bucket that another control writes to is not written over.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use seawall_bundle::{
    Change, Diff, Hash, KeyList, Limits, Manifest, Mark, PublicKey, Refused, Root, Step, Trial,
    TrialList, Trust, Verified, Version, open_keys, open_manifest,
};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::bucket::Bucket;
use super::folder::{Folder, KEYS, MANIFEST};
use super::publisher::now_ms;

/// Objects on their way at once.
const AT_ONCE: usize = 8;
/// How long is waited before the next try, at first; twice as long each time.
const SOON: Duration = Duration::from_millis(250);
/// And at most.
const LATER: Duration = Duration::from_secs(30);
/// Names of objects that are known to be there.
const KNOWN: usize = 100_000;

/// How it stands with a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mirrored {
    /// Which bucket.
    pub bucket: String,
    /// The generation that it has, as far as we brought it there.
    pub generation: u64,
    /// Why it is behind; none: it is not, or is about to catch up.
    pub why: Option<String>,
    /// Epoch and generation that were found there: what is published is to be above.
    pub found: (u64, u64),
}

/// Brings what is in a folder into a bucket, whenever that is another generation, until the process ends.
///
/// # Errors
/// When that cannot begin.
pub fn start(
    url: &str,
    folder: Folder,
    root_key: PublicKey,
    changed: watch::Receiver<u64>,
) -> Result<watch::Receiver<Mirrored>> {
    let (state, states) = watch::channel(Mirrored {
        bucket: url.to_owned(),
        ..Mirrored::default()
    });
    let (url, told) = (url.to_owned(), state.clone());
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let ran = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async {
                let bucket = Bucket::open(&url)?;
                Mirror::new(bucket, folder, root_key)
                    .run(changed, &state)
                    .await;
                Ok(())
            })
        });
        if let Err(error) = ran {
            let why = format!("{error:#}");
            told.send_modify(|state| state.why = Some(why));
        }
    };
    std::thread::Builder::new()
        .name("bucket".into())
        .spawn(run)?;
    Ok(states)
}

struct Mirror {
    bucket: Bucket,
    folder: Rc<Folder>,
    root_key: PublicKey,
    limits: Limits,
    /// The manifest that we put there last.
    put: Option<Vec<u8>>,
    /// Objects that are there.
    known: HashSet<Hash>,
}

/// What is published here.
struct Published {
    keys: Verified<KeyList>,
    list: Vec<u8>,
    manifest: Manifest,
    signed: Vec<u8>,
    root: Root,
}

impl Mirror {
    fn new(bucket: Bucket, folder: Folder, root_key: PublicKey) -> Self {
        Self {
            bucket,
            folder: Rc::new(folder),
            root_key,
            limits: Limits::default(),
            put: None,
            known: HashSet::new(),
        }
    }

    async fn run(mut self, mut changed: watch::Receiver<u64>, state: &watch::Sender<Mirrored>) {
        let mut wait = SOON;
        loop {
            changed.mark_unchanged();
            match self.bring(state).await {
                Ok(generation) => {
                    wait = SOON;
                    state.send_modify(|state| {
                        (state.generation, state.why) = (generation, None);
                    });
                    if changed.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let why = format!("{error:#}");
                    state.send_modify(|state| state.why = Some(why));
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LATER);
                    if changed.has_changed().is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Brings the bucket to what is published. The generation.
    async fn bring(&mut self, state: &watch::Sender<Mirrored>) -> Result<u64> {
        let Some(published) = self.published()? else {
            return Ok(0);
        };
        let there = self.bucket.signed(MANIFEST).await?;
        let generation = published.manifest.generation;
        if there.as_ref() == Some(&published.signed) {
            self.put = there;
            return Ok(generation);
        }
        if there != self.put {
            // It is not as we left it: what else is gone nobody knows.
            self.known.clear();
        }
        let before = match &there {
            Some(there) => self.found(there, &published, state)?,
            None => Root::empty(),
        };
        self.put_tree(&before, &published.root).await?;
        self.put_trials(&published.manifest).await?;
        self.put_all(vec![published.manifest.root]).await?;
        self.bucket.put_signed(KEYS, &published.list).await?;
        self.bucket.put_signed(MANIFEST, &published.signed).await?;
        self.put = Some(published.signed);
        Ok(generation)
    }

    /// What is published here, whole.
    fn published(&self) -> Result<Option<Published>> {
        let signed = |name| self.folder.signed(name).context("what is published");
        let (Some(signed), Some(list)) = (signed(MANIFEST)?, signed(KEYS)?) else {
            return Ok(None);
        };
        let keys = open_keys(&list, &self.root_key, 0, &self.limits)?;
        let manifest = self.open(&signed, &keys)?;
        let root = Root::open(&manifest.root, &self.object(&manifest.root)?)?;
        Ok(Some(Published {
            keys,
            list,
            manifest,
            signed,
            root,
        }))
    }

    fn open(&self, signed: &[u8], keys: &Verified<KeyList>) -> Result<Manifest, Refused> {
        let trust = Trust {
            keys: keys.clone(),
            seen: Mark::default(),
        };
        let accepted = open_manifest(signed, &trust, now_ms(), &self.limits)?;
        Ok(accepted.manifest.into_inner())
    }

    /// The root that the bucket has, as far as it is known here; refused where the bucket is not ours to write to.
    fn found(
        &self,
        there: &[u8],
        published: &Published,
        state: &watch::Sender<Mirrored>,
    ) -> Result<Root> {
        let manifest = match self.open(there, &published.keys) {
            Ok(manifest) => manifest,
            // Nothing that anybody would believe is lost.
            Err(Refused::Malformed { .. } | Refused::TooLarge { .. }) => return Ok(Root::empty()),
            Err(Refused::UnsignedEpoch { epoch, .. }) if epoch < published.manifest.epoch => {
                return Ok(Root::empty());
            }
            Err(refused) => {
                return Err(anyhow!(refused).context(
                    "another control's keys have signed what is in it: give each control a prefix of its own",
                ));
            }
        };
        let of = |manifest: &Manifest| (manifest.epoch, manifest.generation);
        match &self.put {
            Some(put) if put != there => bail!(
                "another control writes to it too, generation {} now: end one of both, and start this one again",
                manifest.generation
            ),
            None if of(&manifest) >= of(&published.manifest) => {
                // As after a restore: what comes next goes above.
                state.send_modify(|state| state.found = of(&manifest));
                bail!(
                    "it has generation {}, and {} is published here: the next one goes above",
                    manifest.generation,
                    published.manifest.generation
                )
            }
            _ => {}
        }
        let root = self.object(&manifest.root).ok();
        let root = root.and_then(|packed| Root::open(&manifest.root, &packed).ok());
        Ok(root.unwrap_or_else(Root::empty))
    }

    fn object(&self, name: &Hash) -> Result<Vec<u8>> {
        let object = self.folder.object(name)?;
        object.with_context(|| format!("object {name} is not in what is published"))
    }

    /// Puts what the bucket lacks of what is live for all.
    async fn put_tree(&mut self, before: &Root, root: &Root) -> Result<()> {
        let mut diff = Diff::new(before, root, &self.limits);
        loop {
            match diff.step()? {
                Step::Done => return Ok(()),
                Step::Want(names) => {
                    for name in &names {
                        diff.give(name, &self.object(name)?)?;
                    }
                    self.put_all(names).await?;
                }
                Step::Changes(changes) => {
                    let mut named = Vec::new();
                    for change in changes {
                        match change {
                            Change::Platform(Some(platform)) => {
                                named.extend(self.of_version(&platform.object)?);
                            }
                            Change::Upserted(zone) => {
                                named.extend(zone.version.files.iter().map(|file| file.object));
                            }
                            Change::Platform(None) | Change::Removed(_) => {}
                        }
                    }
                    self.put_all(named).await?;
                }
            }
        }
    }

    async fn put_trials(&mut self, manifest: &Manifest) -> Result<()> {
        let mut trials: Vec<Trial> = manifest.trials.clone();
        let mut names = Vec::new();
        if let Some(more) = &manifest.more_trials {
            trials.extend(TrialList::open(more, &self.object(more)?, &self.limits)?.trials);
            names.push(*more);
        }
        for trial in trials {
            names.extend(self.of_version(&trial.object)?);
        }
        names.extend(manifest.ring);
        self.put_all(names).await
    }

    /// A version, with its files.
    fn of_version(&self, name: &Hash) -> Result<Vec<Hash>> {
        let version = Version::open(name, &self.object(name)?, &self.limits)?;
        let files = version.files.iter().map(|file| file.object);
        Ok(files.chain([*name]).collect())
    }

    /// Puts objects, several at a time.
    async fn put_all(&mut self, names: Vec<Hash>) -> Result<()> {
        let mut putting: JoinSet<(Hash, Result<()>)> = JoinSet::new();
        let mut names = names.into_iter().filter(|name| !self.known.contains(name));
        let mut put = Vec::new();
        loop {
            while putting.len() < AT_ONCE
                && let Some(name) = names.next()
            {
                let (bucket, folder) = (self.bucket.clone(), self.folder.clone());
                putting.spawn_local(async move {
                    let brought = async {
                        let packed = folder.object(&name)?;
                        let packed = packed.context("an object is not in what is published")?;
                        Ok(bucket.put_object(&name, &packed).await?)
                    };
                    (name, brought.await)
                });
            }
            match putting.join_next().await {
                None => break,
                Some(ended) => {
                    let (name, brought) = ended?;
                    brought?;
                    put.push(name);
                }
            }
        }
        drop(names);
        if self.known.len() + put.len() > KNOWN {
            self.known.clear();
        }
        self.known.extend(put);
        Ok(())
    }
}
