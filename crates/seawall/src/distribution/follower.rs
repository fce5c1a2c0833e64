//! An edge's side: the manifest is read from each source at a constant pace, and what is new in it is fetched, checked and told.
//!
//! Of several sources the newest manifest that is believed counts, so that one which is old, damaged or hostile does no harm while
//! another is good. What was seen only rises, and is on disk before anything is done.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use seawall_bundle::{
    Accepted, Change as Changed, Diff, Hash, KeyList, Kill, Limits, Manifest, Mark, PublicKey,
    Refused, Root, Step, Trial, TrialList, Trust, Verified, Version, open_keys, open_manifest,
};
use seawall_control::Chain;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::folder::{Folder, KEYS, MANIFEST};
use super::from_bundle;
use super::publisher::now_ms;
use super::source::Source;
use crate::data::Data;
use crate::order::{Change, OnTrial};

/// What was seen, in the data folder.
const SEEN: &str = "seen.json";
/// Versions on trial that are kept.
const KEPT: usize = 1_024;

/// What a new manifest says to this location.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// What is for all clients now, where it was not.
    pub live: Vec<Change>,
    /// All that is on trial.
    pub trials: Vec<OnTrial>,
}

/// What a manifest says to this location beside documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Emergency switches for this location.
    pub kills: Vec<Kill>,
    /// Traffic is led away from it.
    pub drained: bool,
    /// It may withdraw, as it is ill.
    pub away: bool,
    /// When the manifest was made, in milliseconds since 1970.
    pub signed_at: u64,
}

/// What came of looking.
#[derive(Debug)]
pub struct Looked {
    /// What is new.
    pub news: Option<News>,
    /// What went wrong, source by source; another source may have been good.
    pub problems: Vec<String>,
}

/// What was seen of a root key's manifests. It only rises.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seen {
    root_key: PublicKey,
    mark: Mark,
}

/// Who follows what is published.
pub struct Follower {
    data: Data,
    location: String,
    sources: Vec<Source>,
    /// Where what was fetched is kept, for a start without anybody to fetch it from, and for others to read.
    cache: Option<Folder>,
    root_key: PublicKey,
    limits: Limits,
    keys: Option<(Verified<KeyList>, Vec<u8>)>,
    mark: Mark,
    /// What was told.
    told: Option<Manifest>,
    /// The hash of it as it came.
    signed: Option<Hash>,
    /// What is live for everyone, as it was told.
    root: Root,
    /// What is on trial, as it was told.
    trials: Vec<OnTrial>,
    /// Versions on trial.
    versions: HashMap<Hash, Version>,
    /// When a manifest was told that was made later than any before it. Control makes one every minute.
    heard: Option<Instant>,
    /// What is on trial was given up, as nothing was heard for too long.
    gave_up: bool,
}

/// A manifest that is believed, and where it came from.
struct Found {
    source: usize,
    accepted: Accepted,
    signed: Vec<u8>,
    /// The list of keys that it was believed by.
    keys: Vec<u8>,
}

impl Follower {
    /// One that believes what goes back to this root key, and nothing older than what was seen on this data folder.
    pub fn new(data: Data, location: &str, root_key: PublicKey, sources: Vec<Source>) -> Self {
        let seen = std::fs::read(data.path(SEEN)).ok();
        let seen = seen.and_then(|text| serde_json::from_slice::<Seen>(&text).ok());
        // Of another root key nothing was seen.
        let seen = seen.filter(|seen| seen.root_key == root_key);
        Self {
            location: location.to_owned(),
            sources,
            cache: None,
            root_key,
            limits: Limits::default(),
            keys: None,
            mark: seen.map(|seen| seen.mark).unwrap_or_default(),
            told: None,
            signed: None,
            root: Root::empty(),
            trials: Vec::new(),
            versions: HashMap::new(),
            heard: None,
            gave_up: false,
            data,
        }
    }

    /// The same, with a folder that is looked into first and in which all is kept that was believed.
    pub fn with_cache(mut self, cache: Folder) -> Self {
        self.sources.insert(0, Source::Folder(cache.clone()));
        self.cache = Some(cache);
        self
    }

    /// The root key that it believes.
    pub fn root_key(&self) -> PublicKey {
        self.root_key
    }

    /// Epoch and generation of what was told last.
    pub fn generation(&self) -> (u64, u64) {
        let told = self.told.as_ref();
        told.map_or((0, 0), |told| (told.epoch, told.generation))
    }

    /// Waits until there is another manifest than the one that was told, as far as that can be told without looking. It may
    /// never come.
    pub async fn changes(&self) {
        let mut remote = self.sources.iter();
        let remote = remote.find(|source| matches!(source, Source::Remote(_)));
        match (remote, self.signed) {
            (Some(source), Some(signed)) => source.changes(signed).await,
            _ => std::future::pending().await,
        }
    }

    /// What the manifest that was told last says beside documents; none where none was.
    pub fn beside(&self) -> Option<Beside> {
        let told = self.told.as_ref()?;
        let here = |kill: &&Kill| kill.locations.holds(&self.location);
        Some(Beside {
            kills: told.kills.iter().filter(here).cloned().collect(),
            drained: told.drained.contains(&self.location),
            away: told.away.contains(&self.location),
            signed_at: told.at,
        })
    }

    /// How long ago something was heard of control; none: never.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.heard.map(|heard| now.duration_since(heard))
    }

    /// Looks at all sources.
    pub async fn look(&mut self, now: Instant) -> Looked {
        let mut problems = Vec::new();
        let found = self.newest(&mut problems).await;
        let Some(found) = found else {
            let news = self.forget_trials(now);
            return Looked { news, problems };
        };
        if self.told.as_ref() == Some(&*found.accepted.manifest) {
            let news = self.forget_trials(now);
            return Looked { news, problems };
        }
        let is_first = self.told.is_none();
        match self.take(&found, now).await {
            Ok(news) => {
                let is_new = !news.live.is_empty() || news.trials != self.trials || is_first;
                self.trials.clone_from(&news.trials);
                Looked {
                    news: is_new.then_some(news),
                    problems,
                }
            }
            Err(why) => {
                problems.push(why);
                Looked {
                    news: None,
                    problems,
                }
            }
        }
    }

    /// The newest manifest that is believed.
    async fn newest(&mut self, problems: &mut Vec<String>) -> Option<Found> {
        let mut newest: Option<Found> = None;
        for (nth, source) in self.sources.clone().iter().enumerate() {
            match self.read(source).await {
                Ok(None) => {}
                Ok(Some((accepted, signed, keys))) => {
                    if let Some(ahead) = accepted.time_ahead {
                        problems.push(format!(
                            "{source}: its time is {} s ahead of this machine's clock: one of both is wrong",
                            ahead.by_ms / 1_000
                        ));
                    }
                    let of = |found: &Accepted| (found.manifest.epoch, found.manifest.generation);
                    if newest
                        .as_ref()
                        .is_none_or(|newest| of(&newest.accepted) < of(&accepted))
                    {
                        newest = Some(Found {
                            source: nth,
                            accepted,
                            signed,
                            keys,
                        });
                    }
                }
                Err(why) => problems.push(format!("{source}: {why}")),
            }
        }
        newest
    }

    /// A source's manifest; none where there is none yet.
    async fn read(
        &mut self,
        source: &Source,
    ) -> Result<Option<(Accepted, Vec<u8>, Vec<u8>)>, String> {
        let signed = source
            .signed(MANIFEST)
            .await
            .map_err(|error| error.to_string())?;
        let Some(signed) = signed else {
            return Ok(None);
        };
        // Keys are few and change rarely: they are asked for where they are needed.
        if self.keys.is_none() {
            self.read_keys(source).await?;
        }
        let opened = self.open(&signed);
        let opened = match opened {
            Err(
                Refused::UnknownKey { .. }
                | Refused::UnsignedEpoch { .. }
                | Refused::KeyNotValid { .. }
                | Refused::RevokedKey { .. },
            ) => {
                self.read_keys(source).await?;
                self.open(&signed)
            }
            opened => opened,
        };
        match opened {
            Ok(accepted) => {
                let keys = self.keys.as_ref().map(|(_, signed)| signed.clone());
                Ok(Some((accepted, signed, keys.unwrap_or_default())))
            }
            Err(refused) => Err(refused.to_string()),
        }
    }

    fn open(&self, signed: &[u8]) -> Result<Accepted, Refused> {
        let keys = self.keys.as_ref().map(|(keys, _)| keys.clone());
        let keys = keys.ok_or(Refused::OldKeys {
            serial: 0,
            seen: self.mark.keys_serial,
        })?;
        let trust = Trust {
            keys,
            seen: self.mark,
        };
        open_manifest(signed, &trust, now_ms(), &self.limits)
    }

    async fn read_keys(&mut self, source: &Source) -> Result<(), String> {
        let list = source
            .signed(KEYS)
            .await
            .map_err(|error| error.to_string())?;
        let list = list.ok_or("it has no list of keys")?;
        let known = self.keys.as_ref().map_or(0, |(keys, _)| keys.serial);
        let seen = self.mark.keys_serial.max(known);
        let keys = open_keys(&list, &self.root_key, seen, &self.limits);
        self.keys = Some((keys.map_err(|refused| refused.to_string())?, list));
        Ok(())
    }

    /// All that a manifest says, fetched and checked. Nothing of it is told if a part cannot be had.
    async fn take(&mut self, found: &Found, now: Instant) -> Result<News, String> {
        let manifest = &*found.accepted.manifest;
        let first = found.source;
        let root = self
            .fetch(first, &manifest.root, |packed| {
                Root::open(&manifest.root, packed)
            })
            .await?;
        let live = self.differences(first, &root).await?;
        let trials = self.trials(first, manifest).await?;
        let seen = Seen {
            root_key: self.root_key,
            mark: found.accepted.mark,
        };
        let kept = serde_json::to_vec(&seen).map_err(|error| error.to_string())?;
        if !self.data.keep(SEEN, &kept, 0o644) {
            // An old manifest might be believed after a restart; a full disk is no reason to serve what is old now.
            crate::say::complain("what was seen of manifests cannot be kept");
        }
        if let Some(cache) = &self.cache {
            let kept = cache
                .put_signed(KEYS, &found.keys)
                .and_then(|()| cache.put_signed(MANIFEST, &found.signed));
            if let Err(error) = kept {
                crate::say::complain(format_args!("what was read cannot be kept: {error}"));
            }
        }
        self.mark = found.accepted.mark;
        self.root = root;
        self.told = Some(manifest.clone());
        self.signed = Some(Hash::of(&found.signed));
        self.heard = Some(now);
        self.gave_up = false;
        Ok(News { live, trials })
    }

    /// What is for all now, where it was not.
    async fn differences(&self, first: usize, root: &Root) -> Result<Vec<Change>, String> {
        let mut live = BTreeMap::new();
        let mut diff = Diff::new(&self.root, root, &self.limits);
        loop {
            match diff.step().map_err(|refused| refused.to_string())? {
                Step::Done => break,
                Step::Want(names) => {
                    for name in names {
                        self.fetch(first, &name, |packed| diff.give(&name, packed))
                            .await?;
                    }
                }
                Step::Changes(changes) => {
                    for changed in changes {
                        if let Some(change) = self.change(first, changed).await? {
                            live.insert(change.chain.clone(), change);
                        }
                    }
                }
            }
        }
        // What all zones share comes first.
        Ok(live.into_values().collect())
    }

    async fn change(&self, first: usize, changed: Changed) -> Result<Option<Change>, String> {
        Ok(match changed {
            // Without a platform of their own zones have the defaults, which nobody publishes.
            Changed::Platform(None) => None,
            Changed::Platform(Some(platform)) => {
                let name = platform.object;
                let open = |packed: &[u8]| Version::open(&name, packed, &self.limits);
                let version = self.fetch(first, &name, open).await?;
                Some(change(Chain::Platform, version))
            }
            Changed::Upserted(zone) => Some(change(Chain::Zone(zone.name), zone.version)),
            Changed::Removed(name) => Some(Change {
                chain: Chain::Zone(name),
                version: 0,
                text: None,
            }),
        })
    }

    async fn trials(&mut self, first: usize, manifest: &Manifest) -> Result<Vec<OnTrial>, String> {
        let mut all = manifest.trials.clone();
        if let Some(name) = &manifest.more_trials {
            let open = |packed: &[u8]| TrialList::open(name, packed, &self.limits);
            all.extend(self.fetch(first, name, open).await?.trials);
        }
        let here = |trial: &Trial| trial.share_in(&self.location);
        all.retain(|trial| here(trial) > 0);
        if self.versions.len() > KEPT {
            self.versions.clear();
        }
        let mut trials = Vec::with_capacity(all.len());
        for trial in all {
            let name = trial.object;
            if !self.versions.contains_key(&name) {
                let open = |packed: &[u8]| Version::open(&name, packed, &self.limits);
                let version = self.fetch(first, &name, open).await?;
                self.versions.insert(name, version);
            }
            let version = self.versions.get(&name).cloned();
            let version = version.filter(|version| version.number == trial.version);
            let version =
                version.ok_or("a version on trial has another number than the manifest says")?;
            trials.push(OnTrial {
                change: change(from_bundle(&trial.chain), version),
                share: trial.share_in(&self.location),
                salt: trial.salt,
            });
        }
        Ok(trials)
    }

    /// Fetches an object and opens it: from the source that has the manifest, else from any other.
    async fn fetch<T>(
        &self,
        first: usize,
        name: &Hash,
        mut open: impl FnMut(&[u8]) -> Result<T, Refused>,
    ) -> Result<T, String> {
        let mut problems = Vec::new();
        let has_cache = self.cache.is_some();
        let all = || self.sources.iter().enumerate();
        let remote = || all().skip(usize::from(has_cache));
        let cache = all().take(usize::from(has_cache));
        let best = remote().filter(|(nth, _)| *nth == first);
        let others = remote().filter(|(nth, _)| *nth != first);
        for (nth, source) in cache.chain(best).chain(others) {
            let is_cache = has_cache && nth == 0;
            let opened = match source.object(name).await {
                Ok(Some(packed)) => match open(&packed) {
                    Ok(opened) => Ok((opened, packed)),
                    Err(refused) => Err(refused.to_string()),
                },
                Ok(None) => Err(format!("has no object {name}")),
                Err(error) => Err(error.to_string()),
            };
            match opened {
                Ok((opened, packed)) => {
                    if let Some(cache) = self.cache.as_ref().filter(|_| !is_cache) {
                        // Without it, it is fetched again one day.
                        let _ = cache.put_objects([(*name, &*packed)].into_iter());
                    }
                    return Ok(opened);
                }
                Err(_) if is_cache => {}
                Err(why) => problems.push(format!("{source}: {why}")),
            }
        }
        Err(problems.join("; "))
    }

    /// Nothing was heard for longer than what is on trial may go on by itself.
    fn forget_trials(&mut self, now: Instant) -> Option<News> {
        let told = self.told.as_ref()?;
        let longest = told
            .trials
            .iter()
            .map(|trial| trial.expires_after_s)
            .max()?;
        if self.gave_up || self.age(now)? < Duration::from_secs(longest) {
            return None;
        }
        self.gave_up = true;
        self.trials.clear();
        crate::say::complain(format_args!(
            "nothing was heard of control for {longest} s: what is on trial is given up until it is"
        ));
        Some(News::default())
    }
}

fn change(chain: Chain, version: Version) -> Change {
    Change {
        chain,
        version: version.number,
        // A zone is taken away by a document without anything.
        text: Some(version.document).filter(|text| !text.is_empty()),
    }
}
