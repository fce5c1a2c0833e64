//! Control's side: what the log says becomes objects and a signed manifest in `DATA/published`.
//!
//! What is live for everyone is a tree of which one zone's change renews a few objects. The manifest names its root, what is on
//! trial where, and what is switched off. A generation is used once: its number is on disk before its manifest is.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use seawall_bundle::{
    Edits, Hash, Limits, Locations, Manifest, Mark, Platform, Root, SHARE_ALL, Share, Trial, Trust,
    Version, open_keys, open_manifest, place, sign_manifest, update,
};
use seawall_control::Chain;
use seawall_control::store::{Rollout, Subject};
use seawall_model::Tempo;
use serde::{Deserialize, Serialize};

use super::folder::{Folder, KEYS, MANIFEST};
use super::keys::{self, Keys};
use super::pack::Packer;
use super::ring::Rings;
use super::to_bundle;
use crate::control::engine::Engine;
use crate::control::files::Safe;
use crate::data::Data;
use crate::say::{complain, say};

/// The folder of what is published, in the data folder.
pub const PUBLISHED: &str = "published";
/// What was used, so that it is not used again.
pub const USED: &str = "published.json";
/// Zones whose documents are in memory at once.
const BATCH: usize = 20_000;
/// Where nothing is new, a manifest is made all the same: edges know by it that control is there, and how old what they have is.
const PULSE: Duration = Duration::from_secs(60);
/// At any pace.
const LEAST_PULSE: Duration = Duration::from_secs(2);
/// An edge that hears of nothing for so long stops trying what is on trial.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);
/// And not earlier, at any pace.
const LEAST_FORGOTTEN: Duration = Duration::from_secs(60);

/// The highest generation that was used, and how far the log had come then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Used {
    generation: u64,
    /// The number of the log's last entry that went into it.
    log: u64,
    /// That entry's hash: another log is another truth.
    #[serde(with = "hash")]
    entry: Option<seawall_control::Hash>,
}

/// More generations than are used in a second, at any pace.
const PER_SECOND: u64 = 1_000;
/// For clocks that differ: a day's worth.
const SLACK: u64 = 86_400 * PER_SECOND;

/// Leaves in a folder that is restored, whose log was at its end at `made`, where publication goes on: above all that any of the
/// folders `known` tells of, and above all that can have been published since. Where nothing was ever published, that is
/// anywhere.
///
/// # Errors
/// As the disk says.
pub fn begin_above(
    known: &[&std::path::PathBuf],
    folder: &std::path::Path,
    made: Option<u64>,
    now: u64,
) -> io::Result<()> {
    let used = known.iter().filter_map(|folder| {
        let text = std::fs::read(folder.join(USED)).ok()?;
        serde_json::from_slice::<Used>(&text).ok()
    });
    let Some(highest) = used.map(|used| used.generation).max() else {
        return Ok(());
    };
    let since = made.map_or(0, |made| now.saturating_sub(made));
    let more = since.saturating_mul(PER_SECOND).saturating_add(SLACK);
    let used = Used {
        generation: highest.saturating_add(more),
        // Nothing of this log was published: all of it is, anew.
        ..Used::default()
    };
    std::fs::write(folder.join(USED), serde_json::to_vec(&used)?)
}

/// Notes in a folder that so much was published already.
///
/// # Errors
/// As the disk says.
pub fn was_published(folder: &std::path::Path, generation: u64) -> io::Result<()> {
    let used = Used {
        generation,
        ..Used::default()
    };
    std::fs::write(folder.join(USED), serde_json::to_vec(&used)?)
}

/// What publishes.
pub struct Publisher {
    data: Data,
    folder: Folder,
    keys: Keys,
    limits: Limits,
    tempo: Tempo,
    used: Used,
    /// What was published last.
    last: Option<Manifest>,
    /// And when; none: not by this process.
    published: Option<Instant>,
    root: Root,
    /// Versions on trial, by the objects that were stored of them.
    versions: HashMap<(Chain, u64), Hash>,
    /// Makes objects of files.
    packer: Packer,
}

impl Publisher {
    /// Finds what was published last.
    ///
    /// # Errors
    /// When keys are not what they should be.
    pub fn open(data: Data, tempo: Tempo) -> Result<Self> {
        let keys = Keys::open(&data).context("the keys that sign what is published")?;
        let folder = Folder::at(data.path(PUBLISHED));
        let own = || Data::at(&data.path(""));
        let packer = Packer::new(Safe::open(&data)?, Rings::open(own()?)?);
        let mut publisher = Self {
            folder,
            keys,
            limits: Limits::default(),
            tempo,
            used: Used::default(),
            last: None,
            published: None,
            root: Root::empty(),
            versions: HashMap::new(),
            packer,
            data,
        };
        if let Ok(text) = std::fs::read(publisher.data.path(USED)) {
            publisher.used = serde_json::from_slice(&text).unwrap_or_default();
        }
        match publisher.find() {
            Ok(Some((manifest, root))) => {
                let generation = manifest.generation.max(publisher.used.generation);
                publisher.used.generation = generation;
                if manifest.ring.is_some() && publisher.packer.rings.is_empty() {
                    // Its keys are lost: all is encrypted anew.
                    publisher.used.log = 0;
                }
                (publisher.last, publisher.root) = (Some(manifest), root);
            }
            Ok(None) => publisher.used.log = 0,
            Err(error) => {
                complain(format_args!(
                    "what was published last cannot be used, and is published anew: {error:#}"
                ));
                publisher.used.log = 0;
            }
        }
        Ok(publisher)
    }

    fn find(&self) -> Result<Option<(Manifest, Root)>> {
        let Some(bytes) = self.folder.signed(MANIFEST)? else {
            return Ok(None);
        };
        let root_key = keys::root_public(&self.data)?.context("there is no root key")?;
        let trust = Trust {
            keys: open_keys(&self.keys.list, &root_key, 0, &self.limits)?,
            seen: Mark::default(),
        };
        let manifest = open_manifest(&bytes, &trust, now_ms(), &self.limits)?;
        let manifest = manifest.manifest.into_inner();
        let root = self.fetch(&manifest.root)?;
        let root = Root::open(&manifest.root, &root)?;
        Ok(Some((manifest, root)))
    }

    fn fetch(&self, name: &Hash) -> io::Result<Vec<u8>> {
        let found = self.folder.object(name)?;
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no object {name}")))
    }

    /// Where edges find it.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Whether a manifest is due although nothing is new.
    pub fn is_due(&self) -> bool {
        let pulse = self.tempo.scaled(PULSE).max(LEAST_PULSE);
        self.published.is_none_or(|at| at.elapsed() >= pulse)
    }

    /// The generation that is published.
    pub fn generation(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.generation)
    }

    /// An edge has seen this generation: what is published next is above it.
    pub fn was_seen(&mut self, epoch: u64, generation: u64) {
        if epoch == self.keys.epoch {
            self.used.generation = self.used.generation.max(generation);
        }
    }

    /// This generation was found elsewhere: what is published next is above it, and at once. Whether that is news.
    pub fn goes_above(&mut self, (epoch, generation): (u64, u64)) -> bool {
        let is_news = epoch == self.keys.epoch && generation >= self.used.generation;
        if is_news {
            self.used.generation = generation;
            self.last = None;
        }
        is_news
    }

    /// Publishes what is new; the generation, if anything was.
    ///
    /// # Errors
    /// What is published stays as it was, and the next call tries again.
    pub fn publish(&mut self, engine: &mut Engine) -> Result<Option<u64>> {
        self.renew_keys();
        let log = engine.store().last()?;
        let entry = match log {
            0 => None,
            log => engine.store().log(log, 1)?.first().map(|entry| entry.hash),
        };
        if self.packer.rings.look(engine)? {
            self.packer.forget();
        }
        let all_anew = self.packer.rings.is_long();
        if all_anew {
            self.used.log = 0;
            self.versions.clear();
        }
        self.renew(engine)?;
        let mut manifest = Manifest::new(
            self.keys.epoch,
            self.used.generation + 1,
            now_ms(),
            self.root.pack()?.name(),
            log,
        );
        manifest.drained = engine.fleet.drained();
        let trials = self.trials(engine)?;
        let more = manifest.put_trials(trials, &self.limits)?;
        if all_anew {
            self.packer.rings.shorten();
        }
        let rings = &mut self.packer.rings;
        manifest.ring = rings.published(engine, &self.folder, &self.limits)?;
        manifest.kills = engine.kills()?;
        (manifest.purges, manifest.purged_before) = engine.purges(&self.limits)?;
        manifest.away = engine.fleet.away().to_vec();
        manifest.barred = engine.barred(now_ms() / 1_000, self.limits.barred)?;
        let last = self.last.as_ref();
        if !self.is_due() && last.is_some_and(|last| says_the_same(last, &manifest)) {
            self.used = Used {
                log,
                entry,
                ..self.used
            };
            return Ok(None);
        }
        if let Some(more) = more {
            let more = [(more.name(), more.packed())];
            self.folder.put_objects(more.into_iter())?;
        }
        let signed = sign_manifest(&manifest, &[&self.keys.online], &self.limits)?;
        // A generation is used before it is seen. How far the log had come is what is published, and so told behind it: whoever dies in
        // between puts the same into the tree once more.
        let used = Used {
            generation: manifest.generation,
            ..self.used
        };
        if !self.data.keep(USED, &serde_json::to_vec(&used)?, 0o644) {
            bail!("{} cannot be written", self.data.path(USED).display());
        }
        self.used = used;
        self.folder.put_signed(KEYS, &self.keys.list)?;
        self.folder.put_signed(MANIFEST, &signed)?;
        self.used = Used { log, entry, ..used };
        self.data
            .keep(USED, &serde_json::to_vec(&self.used)?, 0o644);
        let generation = manifest.generation;
        self.last = Some(manifest);
        self.published = Some(Instant::now());
        Ok(Some(generation))
    }

    /// Takes other keys, if somebody has put others in place of ours.
    fn renew_keys(&mut self) {
        if !self.keys.are_old(&self.data) {
            return;
        }
        match Keys::open(&self.data) {
            Ok(keys) => {
                say("Seawall signs what is published with another key");
                // So that edges hear of it.
                (self.keys, self.published) = (keys, None);
            }
            Err(error) => complain(format_args!("the keys of before stay in use: {error:#}")),
        }
    }

    /// Brings the tree to what serves now.
    fn renew(&mut self, engine: &mut Engine) -> Result<()> {
        let anew = !self.is_of(engine)?;
        let after = if anew { 0 } else { self.used.log };
        let mut changed = engine.serving().since(after);
        if changed.is_empty() && !anew {
            return Ok(());
        }
        let mut root = if anew {
            Root::empty()
        } else {
            self.root.clone()
        };
        let many = changed.len() > BATCH;
        if many {
            changed.sort_by_cached_key(|(chain, _)| match chain {
                Chain::Platform => None,
                Chain::Zone(name) => Some(place(name)),
            });
        }
        for (nth, batch) in changed.chunks(BATCH).enumerate() {
            let mut edits = Edits::default();
            for (chain, number) in batch {
                self.edit(engine, &mut edits, chain, *number)?;
            }
            self.packer.flush(&self.folder)?;
            let updated = update(&root, edits, &self.limits, |name| self.fetch(name))
                .context("the tree of what serves")?;
            let objects = updated.objects.iter();
            let objects = objects.map(|object| (object.name(), object.packed()));
            self.folder.put_objects(objects)?;
            root = updated.root;
            if many {
                say(format_args!(
                    "Seawall publishes: {} of {} changes",
                    (nth * BATCH + batch.len()),
                    changed.len()
                ));
            }
        }
        // Where there was no change at all, the empty root is to be there too.
        let packed = root.pack()?;
        self.folder
            .put_objects([(packed.name(), packed.packed())].into_iter())?;
        let before = self.root.zones();
        if anew && root.zones() < before - before / 5 {
            bail!(
                "the log knows {} zones, and {before} are published: it is another one (restore a backup; to give the others up, remove {})",
                root.zones(),
                self.folder.path().display()
            );
        }
        self.root = root;
        Ok(())
    }

    /// Whether what is published came of this log.
    fn is_of(&self, engine: &mut Engine) -> Result<bool> {
        if self.used.log == 0 {
            return Ok(false);
        }
        let entries = engine.store().log(self.used.log, 1)?;
        let entry = entries.first().filter(|entry| entry.seq == self.used.log);
        Ok(entry.is_some_and(|entry| Some(entry.hash) == self.used.entry))
    }

    fn edit(
        &mut self,
        engine: &mut Engine,
        edits: &mut Edits,
        chain: &Chain,
        number: u64,
    ) -> Result<()> {
        let version = self.version(engine, chain, number)?;
        match chain {
            Chain::Zone(name) => {
                let version = Some(version).filter(|version| !version.document.is_empty());
                edits.zones.insert(name.clone(), version);
            }
            Chain::Platform => {
                self.packer.flush(&self.folder)?;
                let object = version.pack(&self.limits)?;
                let objects = [(object.name(), object.packed())];
                self.folder.put_objects(objects.into_iter())?;
                edits.platform = Some(Platform {
                    number,
                    object: object.name(),
                });
            }
        }
        Ok(())
    }

    /// What is on trial; its versions are there as objects.
    fn trials(&mut self, engine: &mut Engine) -> Result<Vec<Trial>> {
        let (mut trials, mut stored) = (Vec::new(), HashMap::new());
        for rollout in engine.on_trial()? {
            let Subject::Version { chain, from, to } = &rollout.subject else {
                continue;
            };
            let key = (chain.clone(), *to);
            let object = match self.versions.get(&key) {
                Some(object) => *object,
                None => {
                    let object = self.version(engine, chain, *to)?.pack(&self.limits)?;
                    self.packer.flush(&self.folder)?;
                    let objects = [(object.name(), object.packed())];
                    self.folder.put_objects(objects.into_iter())?;
                    object.name()
                }
            };
            stored.insert(key, object);
            trials.push(Trial {
                chain: to_bundle(chain),
                version: *to,
                parent: from.unwrap_or(0),
                object,
                shares: vec![share(engine, &rollout)],
                // Those that go in step are tried by the same clients.
                salt: rollout.group().wrapping_mul(0x9e37_79b9_7f4a_7c15),
                expires_after_s: self.tempo.scaled(FORGOTTEN).max(LEAST_FORGOTTEN).as_secs(),
            });
        }
        // What nobody tries any more may be swept, and is stored again if it is tried again.
        self.versions = stored;
        Ok(trials)
    }

    /// A version as it travels. One that takes its zone away has an empty document.
    fn version(&mut self, engine: &mut Engine, chain: &Chain, number: u64) -> Result<Version> {
        let document = engine.text(chain, number)?.unwrap_or_default();
        let files = self
            .packer
            .files(engine, &document, &self.folder, &self.limits)?;
        Ok(Version {
            number,
            document,
            files,
        })
    }
}

fn share(engine: &Engine, rollout: &Rollout) -> Share {
    let locations = if engine.fleet.are_all(&rollout.ring) {
        Locations::All
    } else {
        Locations::Named(rollout.ring.clone())
    };
    Share {
        locations,
        share: rollout.share.parts().min(SHARE_ALL),
    }
}

fn says_the_same(last: &Manifest, next: &Manifest) -> bool {
    let next = Manifest {
        generation: last.generation,
        at: last.at,
        log: last.log,
        ..next.clone()
    };
    *last == next
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

mod hash {
    //! A hash of the log, as text.

    use seawall_control::Hash;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(hash: &Option<Hash>, to: S) -> Result<S::Ok, S::Error> {
        match hash {
            Some(hash) => to.collect_str(hash),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Hash>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(de::Error::custom))
            .transpose()
    }
}
