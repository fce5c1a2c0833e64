//! Fetches objects: from the folder that keeps them, else from a source, and from another one when that has not the right one or
//! takes too long. Several at a time, with a bound. What is handed out is what its name says.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use seawall_bundle::{Hash, Limits, Object, Refused};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::folder::{Folder, KEYS, MANIFEST};
use super::source::Source;
use crate::say::complain;

/// Objects on their way at once.
const AT_ONCE: usize = 8;
/// A source that has not answered for so long is not waited for alone: the next one is asked too.
const SLOW: Duration = Duration::from_secs(1);

/// Fetches from these sources.
pub struct Fetcher {
    sources: Vec<Source>,
    /// Where what was fetched is kept, and looked for first.
    cache: Option<Folder>,
    limits: Limits,
    /// Sources that were slow or wrong last time: they are asked last.
    bad: RefCell<Vec<bool>>,
}

/// What a source answered: which, and what.
type Answer = (usize, io::Result<Option<Vec<u8>>>);

impl Fetcher {
    /// From these sources, through a folder that keeps what came.
    pub fn new(sources: Vec<Source>, cache: Option<Folder>) -> Self {
        Self {
            bad: RefCell::new(vec![false; sources.len()]),
            sources,
            cache,
            limits: Limits::default(),
        }
    }

    /// Where it fetches from.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The folder that keeps what was fetched.
    pub fn cache(&self) -> Option<&Folder> {
        self.cache.as_ref()
    }

    /// An object, opened: from this source if it has it.
    ///
    /// # Errors
    /// What was wrong with each source, in words; or that what was published is wrong.
    pub async fn one<T>(
        &self,
        first: usize,
        name: &Hash,
        open: impl FnOnce(&[u8]) -> Result<T, Refused>,
    ) -> Result<T, String> {
        let packed = self.packed(first, name).await?;
        open(&packed).map_err(|refused| refused.to_string())
    }

    /// Objects as they are packed, in any order: from this source if it has them.
    ///
    /// # Errors
    /// As [`Fetcher::one`], of the first that could not be had.
    pub async fn all(
        self: &Rc<Self>,
        first: usize,
        names: Vec<Hash>,
    ) -> Result<Vec<(Hash, Vec<u8>)>, String> {
        let mut names = names.into_iter();
        let mut fetching = JoinSet::new();
        let mut fetched = Vec::with_capacity(names.len());
        loop {
            while fetching.len() < AT_ONCE
                && let Some(name) = names.next()
            {
                // Of what is at hand nothing is waited for.
                if let Some(packed) = self.kept(&name) {
                    fetched.push((name, packed));
                    continue;
                }
                let fetcher = self.clone();
                fetching.spawn_local(async move { (name, fetcher.packed(first, &name).await) });
            }
            match fetching.join_next().await {
                None => return Ok(fetched),
                Some(Ok((name, packed))) => fetched.push((name, packed?)),
                Some(Err(error)) => return Err(error.to_string()),
            }
        }
    }

    /// What the cache has, if it is right.
    fn kept(&self, name: &Hash) -> Option<Vec<u8>> {
        let packed = self.cache.as_ref()?.wanted(name).ok()??;
        Object::open(name, &packed, self.limits.object_bytes)
            .is_ok()
            .then_some(packed)
    }

    /// An object as it is packed: from this source if it has it.
    ///
    /// # Errors
    /// As [`Fetcher::one`].
    pub async fn packed(&self, first: usize, name: &Hash) -> Result<Vec<u8>, String> {
        if let Some(packed) = self.kept(name) {
            return Ok(packed);
        }
        let mut problems = Vec::new();
        let order = self.order(first);
        let (to, mut answers) = mpsc::channel::<Answer>(order.len().max(1));
        let mut next = order.into_iter();
        let mut asked = Vec::new();
        loop {
            if let Some(nth) = next.next()
                && let Some(source) = self.sources.get(nth).cloned()
            {
                let (to, name) = (to.clone(), *name);
                tokio::task::spawn_local(async move {
                    // Nobody waits any more when another one was quicker.
                    let _ = to.send((nth, source.object(&name).await)).await;
                });
                asked.push(nth);
            } else if asked.is_empty() {
                return Err(problems.join("; "));
            }
            let wait = if next.len() > 0 { SLOW } else { Duration::MAX };
            let Ok(Some((nth, answer))) = tokio::time::timeout(wait, answers.recv()).await else {
                asked.iter().for_each(|nth| self.is_bad(*nth, true));
                continue;
            };
            asked.retain(|other| *other != nth);
            let right = match answer {
                Ok(Some(packed)) => match Object::open(name, &packed, self.limits.object_bytes) {
                    Ok(_) => Ok(packed),
                    Err(refused) => Err(refused.to_string()),
                },
                Ok(None) => Err(format!("has no object {name}")),
                Err(error) => Err(error.to_string()),
            };
            self.is_bad(nth, right.is_err());
            match right {
                Ok(packed) => {
                    self.keep(name, &packed);
                    return Ok(packed);
                }
                Err(why) => {
                    let source = self.sources.get(nth).map(ToString::to_string);
                    problems.push(format!("{}: {why}", source.unwrap_or_default()));
                }
            }
        }
    }

    /// This source first, those that were bad last.
    fn order(&self, first: usize) -> Vec<usize> {
        let bad = self.bad.borrow();
        let mut order: Vec<usize> = (0..self.sources.len()).collect();
        order.sort_by_key(|nth| (bad.get(*nth).copied(), *nth != first));
        order
    }

    fn is_bad(&self, nth: usize, is_bad: bool) {
        if let Some(bad) = self.bad.borrow_mut().get_mut(nth) {
            *bad = is_bad;
        }
    }

    fn keep(&self, name: &Hash, packed: &[u8]) {
        if let Some(cache) = &self.cache {
            // What cannot be kept is fetched again one day.
            let _ = cache.put_unsynced(name, packed);
        }
    }

    /// Keeps the list of keys and the manifest. Nothing is waited for until it is on disk: what a power failure damages there is seen
    /// to be damaged, and fetched again.
    ///
    /// # Errors
    /// As the system says.
    pub fn keep_signed(&self, keys: &[u8], manifest: &[u8]) -> io::Result<()> {
        let Some(cache) = &self.cache else {
            return Ok(());
        };
        cache.put_signed_unsynced(KEYS, keys)?;
        cache.put_signed_unsynced(MANIFEST, manifest)
    }

    /// The list of keys and the manifest that were kept last.
    pub fn kept_signed(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let cache = self.cache.as_ref()?;
        let read = |name| match cache.signed(name) {
            Ok(read) => read,
            Err(error) => {
                complain(format_args!("what was read before cannot be used: {error}"));
                None
            }
        };
        Some((read(KEYS)?, read(MANIFEST)?))
    }
}
