//! An edge's side: the manifest is read from each source at a constant pace, and what is new in it is fetched, checked and told.
//!
//! Of several sources the newest manifest that is believed counts, so that one which is old, damaged or hostile does no harm while
//! another is good. All are asked at once, and none is waited for for long. What was seen only rises, and is on disk before
//! anything is done. What a manifest says is fetched and told by [`take`].

mod take;

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use seawall_bundle::{
    Accepted, Hash, KeyList, Kill, Limits, Manifest, Mark, PublicKey, Refused, Root, Trust,
    Verified, Version, open_keys, open_manifest,
};
use seawall_control::Chain;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::bring::{Bringer, Seal};
use super::fetch::Fetcher;
use super::folder::{Folder, KEYS, MANIFEST};
use super::news::{Beside, Looked};
use super::publisher::now_ms;
use super::source::Source;
use crate::data::Data;
use crate::order::OnTrial;

/// What was seen, in the data folder.
const SEEN: &str = "seen.json";
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
    /// Brings what versions name.
    bringer: Bringer,
    /// Versions for all whose files are not here yet.
    short: HashMap<Chain, Version>,
    /// What cannot be served here, as it was told.
    undelivered: Vec<(Chain, u64, String)>,
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
            bringer: Bringer::new(data.clone(), Seal::Here),
            short: HashMap::new(),
            undelivered: Vec::new(),
            data,
        }
    }

    /// The same, with a folder that is looked into first and in which all is kept that was believed.
    pub fn with_cache(mut self, cache: Folder) -> Self {
        let sources = self.fetcher.sources().to_vec();
        self.fetcher = Rc::new(Fetcher::new(sources, Some(cache)));
        self
    }

    /// The same, for a location whose secrets are sealed to this key.
    pub fn with_seal_key(mut self, line: &str) -> Self {
        self.bringer.opens_with(Seal::Joined(line.to_owned()));
        self
    }

    /// Whether files of what is wanted here could not be had yet.
    pub fn lacks_files(&self) -> bool {
        self.bringer.is_short()
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
            let mut news = self.forget_trials(now);
            if news.is_none() && self.bringer.is_short() {
                match self.again().await {
                    Ok(again) => news = again,
                    Err(why) => problems.push(why),
                }
            }
            return Looked { news, problems };
        };
        let is_first = self.told.is_none();
        match self.take(&found, now, &mut problems).await {
            Ok(news) => {
                let is_new = self.is_new(&news) || is_first;
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
}

/// Whether one manifest goes behind another.
fn is_older(one: &Found, other: &Found) -> bool {
    let of = |found: &Found| {
        let manifest = &found.accepted.manifest;
        (manifest.epoch, manifest.generation, found.source.is_some())
    };
    of(one) < of(other)
}
