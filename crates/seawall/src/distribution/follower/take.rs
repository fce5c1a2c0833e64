//! What a manifest says, fetched, checked and told: what is new for all, and what is on trial here.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use seawall_bundle::{
    Change as Changed, Diff, Hash, Manifest, Root, Step, Trial, TrialList, Version,
};
use seawall_control::Chain;
use tokio::time::Instant;

use super::super::from_bundle;
use super::super::news::{News, change, gone};
use super::{Follower, Found, SEEN, Seen};
use crate::order::{Change, OnTrial};

/// Versions on trial that are kept.
const KEPT: usize = 1_024;

impl Follower {
    /// All that a manifest says, fetched and checked. Nothing of it is told if a part cannot be had.
    pub(super) async fn take(
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
        self.bringer
            .bring_ring(&self.fetcher, first, manifest.ring)
            .await;
        let live = self.brought(first, manifest.ring, live).await;
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
            undelivered: self.bringer.undelivered(),
        })
    }

    /// Whether anything of it was not told before.
    pub(super) fn is_new(&mut self, news: &News) -> bool {
        let is_new = !news.live.is_empty()
            || news.trials != self.trials
            || news.undelivered != self.undelivered;
        self.trials.clone_from(&news.trials);
        self.undelivered.clone_from(&news.undelivered);
        is_new
    }

    /// What names files that were not here is looked at again. None where nothing has changed.
    pub(super) async fn again(&mut self) -> Result<Option<News>, String> {
        let Some(told) = self.told.clone() else {
            return Ok(None);
        };
        let short = std::mem::take(&mut self.short);
        let short = short
            .into_iter()
            .map(|(chain, version)| (chain, Some(version)));
        let mut live = self.brought(0, told.ring, short.collect()).await;
        // What still lacks something was told.
        live.retain(|change| !self.short.contains_key(&change.chain));
        let trials = match self.gave_up {
            false => self.trials(0, &told).await?,
            true => Vec::new(),
        };
        let news = News {
            live,
            whole: false,
            trials,
            root: Some(told.root.to_string()),
            undelivered: self.bringer.undelivered(),
        };
        Ok(self.is_new(&news).then_some(news))
    }

    /// Versions for all, with what they name. One whose files are not here is told all the same: whoever compiles it refuses it, and
    /// what serves stays; that it is there at all must be known.
    async fn brought(
        &mut self,
        first: usize,
        ring: Option<Hash>,
        versions: Vec<(Chain, Option<Version>)>,
    ) -> Vec<Change> {
        let all = versions.iter().filter_map(|(_, version)| version.as_ref());
        self.bringer.ahead(&self.fetcher, first, all).await;
        let mut changes = Vec::with_capacity(versions.len());
        for (chain, version) in versions {
            self.short.remove(&chain);
            let Some(version) = version else {
                changes.push(gone(chain));
                continue;
            };
            let bringer = &mut self.bringer;
            let fetcher = &self.fetcher;
            if !bringer.bring(fetcher, first, ring, &chain, &version).await {
                self.short.insert(chain.clone(), version.clone());
            }
            changes.push(change(chain, version));
        }
        changes
    }

    /// What is for all now, where it was not.
    async fn differences(
        &self,
        first: usize,
        root: &Root,
    ) -> Result<Vec<(Chain, Option<Version>)>, String> {
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
                            live.insert(change.0, change.1);
                        }
                    }
                }
            }
        }
        // What all zones share comes first.
        Ok(live.into_iter().collect())
    }

    async fn change(
        &self,
        first: usize,
        changed: Changed,
    ) -> Result<Option<(Chain, Option<Version>)>, String> {
        Ok(match changed {
            // Without a platform of their own zones have the defaults, which nobody publishes.
            Changed::Platform(None) => None,
            Changed::Platform(Some(platform)) => {
                let name = platform.object;
                let open = |packed: &[u8]| Version::open(&name, packed, &self.limits);
                let version = self.fetcher.one(first, &name, open).await?;
                Some((Chain::Platform, Some(version)))
            }
            Changed::Upserted(zone) => Some((Chain::Zone(zone.name), Some(zone.version))),
            Changed::Removed(name) => Some((Chain::Zone(name), None)),
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
        let mut wanted = HashSet::new();
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
            let chain = from_bundle(&trial.chain);
            wanted.insert((chain.clone(), version.number));
            let (bringer, fetcher) = (&mut self.bringer, &self.fetcher);
            let ring = manifest.ring;
            if !bringer.bring(fetcher, first, ring, &chain, &version).await {
                // It is not tried, and control is told why.
                continue;
            }
            trials.push(OnTrial {
                change: change(chain, version),
                share: trial.share_in(&self.location),
                salt: trial.salt,
            });
        }
        let short = &self.short;
        self.bringer.forget_all_but(|chain, number| {
            let for_all = short.get(chain);
            for_all.is_some_and(|version| version.number == number)
                || wanted.contains(&(chain.clone(), number))
        });
        Ok(trials)
    }

    /// Nothing was heard for longer than what is on trial may go on by itself.
    pub(super) fn forget_trials(&mut self, now: Instant) -> Option<News> {
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
