//! An edge's side: the manifest is read from each source at a constant pace, and what is new in it is fetched, checked and told.
//!
//! Of several sources the newest manifest that is believed counts, so that one which is old, damaged or hostile does no harm while
//! another is good. All are asked at once, and none is waited for for long. What was seen only rises, and is on disk before anything is done.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use seawall_bundle::{
    Accepted, Change as Changed, Diff, Hash, KeyList, Kill, Limits, Manifest, Mark, PublicKey,
    Refused, Root, Step, Trial, TrialList, Trust, Verified, Version, open_keys, open_manifest,
};
use seawall_control::Chain;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fetch::Fetcher;
use super::folder::{Folder, KEYS, MANIFEST};
use super::from_bundle;
use super::news::{Beside, Looked, News, change};
use super::publisher::now_ms;
use super::source::Source;
use crate::data::Data;
use crate::order::{Change, OnTrial};

/// What was seen, in the data folder.
const SEEN: &str = "seen.json";
/// Versions on trial that are kept.
const KEPT: usize = 1_024;
/// Once one source has answered, the others have so long before what is there counts.
const GRACE: Duration = Duration::from_millis(250);
/// How long a look may take where no source answers.
const LONGEST: Duration = Duration::from_secs(5);
/// A source that takes longer is told of; and a list of keys may take no longer.
const LATE: Duration = Duration::from_secs(2);
/// A source that is behind for so long is told of.
const BEHIND: Duration = Duration::from_secs(60);
/// After a word that brought nothing, the next one is waited for so much later.
const REST: Duration = Duration::from_secs(1);

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
    fetcher: Rc<Fetcher>,
    /// What is known of each source.
    asked: Vec<Asked>,
    /// What sources answer.
    answers: (mpsc::Sender<Answer>, mpsc::Receiver<Answer>),
    root_key: PublicKey,
    limits: Limits,
    keys: Option<(Verified<KeyList>, Vec<u8>)>,
    mark: Mark,
    /// What was told.
    told: Option<Manifest>,
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
    /// A source said that there is another manifest.
    woken: bool,
    /// It said so for nothing.
    rests: bool,
    /// Sources that will say when they have another one.
    watching: JoinSet<usize>,
}

/// What is known of a source.
#[derive(Clone, Default)]
struct Asked {
    /// When it was asked, if it has not answered yet.
    waits: Option<Instant>,
    /// What was wrong with its last answer.
    problem: Option<String>,
    /// It will say when it has another manifest.
    watched: bool,
    /// The hash of the manifest that it had last.
    had: Option<Hash>,
    /// Since when it has shown only what is older than what was seen.
    behind: Option<Instant>,
}

/// Which source, and its manifest.
type Answer = (usize, io::Result<Option<Vec<u8>>>);

/// A manifest that is believed, and where it came from.
struct Found {
    /// None: it was kept here.
    source: Option<usize>,
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
            asked: vec![Asked::default(); sources.len()],
            answers: mpsc::channel(sources.len().max(1)),
            fetcher: Rc::new(Fetcher::new(sources, None)),
            root_key,
            limits: Limits::default(),
            keys: None,
            mark: seen.map(|seen| seen.mark).unwrap_or_default(),
            told: None,
            root: Root::empty(),
            trials: Vec::new(),
            versions: HashMap::new(),
            heard: None,
            gave_up: false,
            woken: false,
            watching: JoinSet::new(),
            rests: false,
            data,
        }
    }

    /// The same, with a folder that is looked into first and in which all is kept that was believed.
    pub fn with_cache(mut self, cache: Folder) -> Self {
        let sources = self.fetcher.sources().to_vec();
        self.fetcher = Rc::new(Fetcher::new(sources, Some(cache)));
        self
    }

    /// Where it keeps what it has read.
    pub fn cache(&self) -> Option<&Folder> {
        self.fetcher.cache()
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

    /// Waits until a source has another manifest than when it was looked at, as far as it tells without being asked again. That may
    /// never come.
    pub async fn changes(&mut self) {
        if self.rests {
            tokio::time::sleep(REST).await;
        }
        for (nth, source) in self.fetcher.sources().iter().enumerate() {
            if let Source::Remote(_) = source
                && let Some(asked) = self.asked.get_mut(nth)
                && let (false, Some(had)) = (asked.watched, asked.had)
            {
                asked.watched = true;
                let source = source.clone();
                let changes = async move {
                    source.changes(had).await;
                    nth
                };
                self.watching.spawn_local(changes);
            }
        }
        // What is waited for here goes on when it is given up here.
        match self.watching.join_next().await {
            Some(ended) => {
                if let Some(asked) = ended.ok().and_then(|nth| self.asked.get_mut(nth)) {
                    asked.watched = false;
                }
                self.woken = true;
            }
            None => std::future::pending().await,
        }
    }

    /// What the manifest that was told last says beside documents; none where none was.
    pub fn beside(&self) -> Option<Beside> {
        let told = self.told.as_ref()?;
        let here = |kill: &&Kill| kill.locations.holds(&self.location);
        Some(Beside {
            kills: told.kills.iter().filter(here).cloned().collect(),
            purges: told.purges.clone(),
            purged_before: told.purged_before,
            drained: told.drained.contains(&self.location),
            away: told.away.contains(&self.location),
            signed_at: told.at,
            barred: told.barred.iter().map(|barred| barred.key).collect(),
        })
    }

    /// How long ago something was heard of control; none: never.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.heard.map(|heard| now.duration_since(heard))
    }

    /// Looks at all sources.
    pub async fn look(&mut self, now: Instant) -> Looked {
        let mut problems = Vec::new();
        let woken = std::mem::take(&mut self.woken);
        let found = self.newest(now, &mut problems).await;
        let told = self.told.as_ref();
        let found = found.filter(|found| told != Some(&*found.accepted.manifest));
        self.rests = woken && found.is_none();
        let Some(found) = found else {
            let news = self.forget_trials(now);
            return Looked { news, problems };
        };
        let is_first = self.told.is_none();
        match self.take(&found, now, &mut problems).await {
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

    /// The newest manifest that is believed. Answers that an earlier look did not wait for are taken too: who hung is asked again then.
    async fn newest(&mut self, now: Instant, problems: &mut Vec<String>) -> Option<Found> {
        let mut newest = None;
        if self.told.is_none()
            && let Some((keys, signed)) = self.fetcher.kept_signed()
        {
            // What was believed once is served where nobody answers.
            newest = self.kept(keys, signed, problems);
        }
        let begun = Instant::now();
        let mut left = self.ask(begun);
        let mut due = begun + LONGEST;
        loop {
            let until = if left > 0 { due } else { begun };
            let answer = tokio::time::timeout_at(until, self.answers.1.recv()).await;
            let Ok(Some((nth, signed))) = answer else {
                break;
            };
            let Some(source) = self.fetcher.sources().get(nth).cloned() else {
                continue;
            };
            let judged = self.judge(nth, &source, signed, now).await;
            if let Some(asked) = self.asked.get_mut(nth) {
                // An answer to an earlier look may be among them.
                left -= usize::from(asked.waits.take() == Some(begun));
                asked.problem = judged.as_ref().err().cloned();
            }
            match judged {
                Ok(None) | Err(_) => {}
                Ok(Some(found)) => {
                    due = due.min(Instant::now() + GRACE);
                    if let Some(ahead) = found.accepted.time_ahead {
                        problems.push(format!(
                            "{source}: its time is {} min ahead of this machine's clock: one of both is wrong",
                            ahead.by_ms / 60_000
                        ));
                    }
                    if newest
                        .as_ref()
                        .is_none_or(|newest| is_older(newest, &found))
                    {
                        newest = Some(found);
                    }
                }
            }
        }
        for (source, asked) in self.fetcher.sources().iter().zip(&self.asked) {
            let late = asked.waits.is_some_and(|since| since.elapsed() >= LATE);
            let why = if late {
                Some("it does not answer")
            } else {
                asked.problem.as_deref()
            };
            problems.extend(why.map(|why| format!("{source}: {why}")));
        }
        // Answers come in any order, and what is said of them is compared.
        problems.sort();
        newest
    }

    /// Asks each source for its manifest, but those that have not answered the last time. As many answers as there will be.
    fn ask(&mut self, now: Instant) -> usize {
        let mut asked = 0;
        for (nth, source) in self.fetcher.sources().iter().enumerate() {
            let Some(known) = self
                .asked
                .get_mut(nth)
                .filter(|known| known.waits.is_none())
            else {
                continue;
            };
            known.waits = Some(now);
            asked += 1;
            let (source, to) = (source.clone(), self.answers.0.clone());
            tokio::task::spawn_local(async move {
                let signed = source.signed(MANIFEST).await;
                // There is room for one answer of each; nobody waits any more when we are no longer.
                let _ = to.send((nth, signed)).await;
            });
        }
        asked
    }

    /// What was kept, if it is believed still.
    fn kept(
        &mut self,
        keys: Vec<u8>,
        signed: Vec<u8>,
        problems: &mut Vec<String>,
    ) -> Option<Found> {
        let opened = open_keys(&keys, &self.root_key, self.mark.keys_serial, &self.limits);
        let opened = opened.and_then(|known| {
            let trust = Trust {
                keys: known.clone(),
                seen: self.mark,
            };
            let accepted = open_manifest(&signed, &trust, now_ms(), &self.limits)?;
            Ok((known, accepted))
        });
        match opened {
            Ok((known, accepted)) => {
                if self.keys.is_none() {
                    self.keys = Some((known, keys.clone()));
                }
                Some(Found {
                    source: None,
                    accepted,
                    signed,
                    keys,
                })
            }
            Err(refused) => {
                problems.push(format!("what was kept of it: {refused}"));
                None
            }
        }
    }

    /// Whether a source's manifest is believed; none where there is none yet, or only what others are past.
    async fn judge(
        &mut self,
        nth: usize,
        source: &Source,
        signed: io::Result<Option<Vec<u8>>>,
        now: Instant,
    ) -> Result<Option<Found>, String> {
        let Some(signed) = signed.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let had = Some(Hash::of(&signed));
        let is_another = self.asked.get_mut(nth).is_none_or(|asked| {
            let before = std::mem::replace(&mut asked.had, had);
            before != had
        });
        // A list that is newer may have revoked who signed this: it is looked at with each manifest that is another one. Where
        // it cannot be had the one that is known holds.
        if self.keys.is_none() {
            self.read_keys(source).await?;
        } else if is_another {
            let _ = self.read_keys(source).await;
        }
        let opened = match self.open(&signed) {
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
        let behind = matches!(opened, Err(Refused::OldGeneration { .. }));
        let since = self.asked.get_mut(nth).map(|asked| {
            asked.behind = if behind {
                asked.behind.or(Some(now))
            } else {
                None
            };
            asked.behind.unwrap_or(now)
        });
        match opened {
            Ok(accepted) => Ok(Some(Found {
                source: Some(nth),
                accepted,
                signed,
                keys: self
                    .keys
                    .as_ref()
                    .map(|(_, list)| list.clone())
                    .unwrap_or_default(),
            })),
            // Whoever hands on what it reads itself is a moment behind.
            Err(_) if behind && since.is_some_and(|since| now - since < BEHIND) => Ok(None),
            Err(refused) => Err(refused.to_string()),
        }
    }

    fn open(&self, signed: &[u8]) -> Result<Accepted, Refused> {
        let keys = self.keys.as_ref().map(|(keys, _)| keys.clone());
        let keys = keys.ok_or(Refused::OldKeys {
            serial: 0,
            seen: self.mark.keys_serial,
        })?;
        let seen = self.mark;
        #[cfg(feature = "unsafe-drills")]
        let seen = {
            use seawall_model::safeguard::{Safeguard, unless_off};
            unless_off(Safeguard::Fence, seen)
        };
        let trust = Trust { keys, seen };
        open_manifest(signed, &trust, now_ms(), &self.limits)
    }

    async fn read_keys(&mut self, source: &Source) -> Result<(), String> {
        let list = tokio::time::timeout(LATE, source.signed(KEYS)).await;
        let list = list.map_err(|_| "its list of keys takes too long")?;
        let list = list.map_err(|error| error.to_string())?;
        let list = list.ok_or("it has no list of keys")?;
        let known = self.keys.as_ref().map_or(0, |(keys, _)| keys.serial);
        let seen = self.mark.keys_serial.max(known);
        let keys = open_keys(&list, &self.root_key, seen, &self.limits);
        self.keys = Some((keys.map_err(|refused| refused.to_string())?, list));
        Ok(())
    }

    /// All that a manifest says, fetched and checked. Nothing of it is told if a part cannot be had.
    async fn take(
        &mut self,
        found: &Found,
        now: Instant,
        problems: &mut Vec<String>,
    ) -> Result<News, String> {
        let manifest = &*found.accepted.manifest;
        let first = found.source.unwrap_or(0);
        let name = manifest.root;
        let open = |packed: &[u8]| Root::open(&name, packed);
        let root = self.fetcher.one(first, &name, open).await?;
        let live = self.differences(first, &root).await?;
        let trials = self.trials(first, manifest).await?;
        let seen = Seen {
            root_key: self.root_key,
            mark: found.accepted.mark,
        };
        let kept = serde_json::to_vec(&seen).map_err(|error| error.to_string())?;
        if self.mark != found.accepted.mark && !self.data.keep(SEEN, &kept, 0o644) {
            // An old manifest might be believed after a restart; a full disk is no reason to serve what is old now.
            problems.push("what was seen of it cannot be kept: is the disk full?".into());
        }
        if found.source.is_some()
            && let Err(error) = self.fetcher.keep_signed(&found.keys, &found.signed)
        {
            problems.push(format!("what was read cannot be kept: {error}"));
        }
        let whole = self.told.is_none();
        self.mark = found.accepted.mark;
        self.root = root;
        self.told = Some(manifest.clone());
        self.heard = Some(now);
        self.gave_up = false;
        Ok(News {
            live,
            whole,
            trials,
            root: Some(name.to_string()),
        })
    }

    /// What is for all now, where it was not.
    async fn differences(&self, first: usize, root: &Root) -> Result<Vec<Change>, String> {
        let mut live = BTreeMap::new();
        let mut diff = Diff::new(&self.root, root, &self.limits);
        loop {
            match diff.step().map_err(|refused| refused.to_string())? {
                Step::Done => break,
                Step::Want(names) => {
                    for (name, packed) in self.fetcher.all(first, names).await? {
                        let given = diff.give(&name, &packed);
                        given.map_err(|refused| refused.to_string())?;
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
                let version = self.fetcher.one(first, &name, open).await?;
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
            all.extend(self.fetcher.one(first, name, open).await?.trials);
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
                let version = self.fetcher.one(first, &name, open).await?;
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

/// Whether one manifest goes behind another.
fn is_older(one: &Found, other: &Found) -> bool {
    let of = |found: &Found| {
        let manifest = &found.accepted.manifest;
        (manifest.epoch, manifest.generation, found.source.is_some())
    };
    of(one) < of(other)
}
