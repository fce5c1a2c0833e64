//! Contents of files, brought to an edge: fetched, checked, opened, and put where whoever compiles finds them.
//!
//! What is brought is held to what the version's own text says: this hash, these bytes. A version whose files cannot be had is not tried,
//! and control is told why; it is looked for again with each look. Not here: what the worker does without a file: it refuses what names
//! it, and serves what it has.

use std::collections::BTreeMap;
use std::rc::Rc;

use seawall_bundle::{Content, Hash, Limits, Ring, SealKey, Version};
use seawall_control::Chain;
use seawall_control::contents::{self, File as Named};

use super::fetch::Fetcher;
use super::pack::purpose;
use super::ring::known_here;
use crate::contents::Contents;
use crate::data::Data;
use crate::say::complain;

/// Objects that are fetched ahead, so that not each is waited for.
const AHEAD: usize = 32;
/// What cannot be had now may be there at the next look; after so many it is told to control.
const TRIES: u32 = 3;

/// What opens secrets here.
pub enum Seal {
    /// The key of control's own machine, in the data folder.
    Here,
    /// A location's, as a line.
    Joined(String),
}

/// Why a version's files are not here.
struct Missing {
    why: String,
    /// Trying again is of no use.
    for_good: bool,
}

/// A version whose files are not here.
struct Short {
    missing: Missing,
    tries: u32,
}

/// What brings contents.
pub struct Bringer {
    data: Data,
    contents: Contents,
    seal: Seal,
    limits: Limits,
    ring: Option<(Hash, Ring)>,
    /// What was wrong with it, as it was told.
    wrong: String,
    /// Versions whose files are not here.
    short: BTreeMap<(Chain, u64), Short>,
}

impl Bringer {
    /// One for this data folder.
    pub fn new(data: Data, seal: Seal) -> Self {
        Self {
            contents: Contents::of(&data),
            data,
            seal,
            limits: Limits::default(),
            ring: None,
            wrong: String::new(),
            short: BTreeMap::new(),
        }
    }

    /// Opens secrets with this.
    pub fn opens_with(&mut self, seal: Seal) {
        self.seal = seal;
    }

    /// Whether something is to be tried again.
    pub fn is_short(&self) -> bool {
        !self.short.is_empty()
    }

    /// Forgets what is not wanted any more.
    pub fn forget_all_but(&mut self, is_wanted: impl Fn(&Chain, u64) -> bool) {
        self.short
            .retain(|(chain, number), _| is_wanted(chain, *number));
    }

    /// Versions that cannot be served here, and why.
    pub fn undelivered(&self) -> Vec<(Chain, u64, String)> {
        let told = self.short.iter();
        let told = told.filter(|(_, short)| short.missing.for_good || short.tries >= TRIES);
        told.map(|((chain, number), short)| (chain.clone(), *number, short.missing.why.clone()))
            .collect()
    }

    /// Has the ring at hand, for ourselves and for whom it is handed on to.
    pub async fn bring_ring(&mut self, fetcher: &Rc<Fetcher>, first: usize, ring: Option<Hash>) {
        let wrong = match ring {
            Some(name) => self.ring(fetcher, first, name).await.err(),
            None => None,
        };
        let wrong = wrong.map(|missing| missing.why).unwrap_or_default();
        if wrong != self.wrong && !wrong.is_empty() {
            complain(format_args!("the keys that open secrets: {wrong}"));
        }
        self.wrong = wrong;
    }

    /// Fetches what versions name, several at a time. What cannot be had shows later.
    pub async fn ahead<'v>(
        &self,
        fetcher: &Rc<Fetcher>,
        first: usize,
        versions: impl Iterator<Item = &'v Version>,
    ) {
        if fetcher.cache().is_none() {
            return;
        }
        let objects = versions.flat_map(|version| &version.files);
        let objects: Vec<Hash> = objects.map(|file| file.object).collect();
        for objects in objects.chunks(AHEAD) {
            let _ = fetcher.all(first, objects.to_vec()).await;
        }
    }

    /// Brings what a version names. Whether all of it is here.
    pub async fn bring(
        &mut self,
        fetcher: &Rc<Fetcher>,
        first: usize,
        ring: Option<Hash>,
        chain: &Chain,
        version: &Version,
    ) -> bool {
        let key = (chain.clone(), version.number);
        match self.all_of(fetcher, first, ring, version).await {
            Ok(()) => {
                self.short.remove(&key);
                true
            }
            Err(missing) => {
                let before = self.short.remove(&key);
                if before.as_ref().map(|before| &before.missing.why) != Some(&missing.why) {
                    complain(format_args!(
                        "version {} of {chain} lacks a file, what serves serves on: {}",
                        version.number, missing.why
                    ));
                }
                let tries = before.map_or(0, |before| before.tries) + 1;
                self.short.insert(key, Short { missing, tries });
                false
            }
        }
    }

    async fn all_of(
        &mut self,
        fetcher: &Rc<Fetcher>,
        first: usize,
        ring: Option<Hash>,
        version: &Version,
    ) -> Result<(), Missing> {
        for named in contents::files(&version.document) {
            let mut files = version.files.iter();
            let object = files.find(|file| file.path == named.path);
            let object = object.ok_or_else(|| for_good(&named, "control has not published it"))?;
            self.one(fetcher, first, ring, &named, object.object)
                .await?;
        }
        Ok(())
    }

    async fn one(
        &mut self,
        fetcher: &Rc<Fetcher>,
        first: usize,
        ring: Option<Hash>,
        named: &Named,
        object: Hash,
    ) -> Result<(), Missing> {
        let is_kept = fetcher.cache().is_none_or(|cache| {
            // For whom it is handed on to.
            matches!(cache.wanted(&object), Ok(Some(_)))
        });
        if is_kept && self.contents.has(&named.hash) {
            return match self.contents.len(&named.hash) == Some(named.size) {
                true => Ok(()),
                false => Err(for_good(named, "it is not what its version says")),
            };
        }
        let packed = fetcher.packed(first, &object).await;
        let packed = packed.map_err(|why| not_now(named, why))?;
        let content = Content::open(&object, &packed, &self.limits);
        let content = content.map_err(|refused| for_good(named, refused))?;
        if matches!(content, Content::Secret { .. }) != named.sealed {
            return Err(for_good(named, "it is not encrypted as its version says"));
        }
        let bytes = match content {
            Content::Plain(bytes) => bytes,
            secret @ Content::Secret { .. } => {
                let ring = match ring {
                    Some(ring) => self.ring(fetcher, first, ring).await?,
                    None => return Err(not_now(named, "no keys that open secrets are published")),
                };
                ring.open_content(secret, &purpose(&named.hash)).map_err(
                    |refused| match refused {
                        seawall_bundle::Refused::DoesNotOpen => for_good(named, refused),
                        refused => not_now(named, refused),
                    },
                )?
            }
        };
        // A secret was encrypted for this hash, and opens as nothing else.
        let is_it = named.sealed || seawall_control::Hash::of(&bytes) == named.hash;
        if !is_it || bytes.len() as u64 != named.size {
            return Err(for_good(named, "it is not what its version says"));
        }
        self.contents
            .put(&named.hash, &bytes)
            .map_err(|error| not_now(named, error))
    }

    async fn ring(
        &mut self,
        fetcher: &Rc<Fetcher>,
        first: usize,
        name: Hash,
    ) -> Result<&Ring, Missing> {
        let known = self.ring.take().filter(|(known, _)| *known == name);
        let ring = match known {
            Some((_, ring)) => ring,
            None => self.open_ring(fetcher, first, name).await?,
        };
        let (_, ring) = self.ring.insert((name, ring));
        Ok(ring)
    }

    async fn open_ring(
        &self,
        fetcher: &Rc<Fetcher>,
        first: usize,
        name: Hash,
    ) -> Result<Ring, Missing> {
        let wrong = |why: String| Missing {
            why,
            for_good: false,
        };
        let packed = fetcher.packed(first, &name).await.map_err(wrong)?;
        let key = match &self.seal {
            Seal::Joined(line) => SealKey::parse(line).map_err(|error| wrong(error.to_string()))?,
            Seal::Here => known_here(&self.data)
                .map_err(|error| wrong(format!("{error:#}")))?
                .ok_or_else(|| wrong("control has not made a key for this machine yet".into()))?,
        };
        Ring::open(&name, &packed, &key, &self.limits).map_err(|error| wrong(error.to_string()))
    }
}

fn for_good(named: &Named, why: impl ToString) -> Missing {
    Missing {
        why: format!("{}: {}", named.path, why.to_string()),
        for_good: true,
    }
}

fn not_now(named: &Named, why: impl ToString) -> Missing {
    Missing {
        for_good: false,
        ..for_good(named, why)
    }
}
