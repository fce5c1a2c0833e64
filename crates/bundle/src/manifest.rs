//! The manifest: one small signed value that says what is live, what is on trial where, and what is switched off.
//!
//! Every edge reads the same one; which of it is for an edge follows from the edge's location. Nothing in it expires by wall time:
//! durations count on the edge's monotonic clock from the moment when it first saw the entry.

use seawall_model::purged::{self, Purged};
use serde::{Deserialize, Serialize};

use crate::SCHEMA;
use crate::envelope::{Kind, sign};
use crate::hash::Hash;
use crate::keys::SigningKey;
use crate::limits::Limits;
use crate::object::Object;
use crate::payload;
use crate::refused::{Refused, at_most};

const TRIAL_LIST: &str = "a list of trials";

/// All clients, as a share: ten thousand ten-thousandths.
pub const SHARE_ALL: u16 = 10_000;

/// What is published. Bounded by [`Limits`]; about 1 KiB and 300 bytes for each trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the format: [`SCHEMA`].
    pub schema: u32,
    /// The lowest schema whose readers understand this manifest.
    pub min_reader: u32,
    /// The epoch: that of the list of keys.
    pub epoch: u64,
    /// Counts up with every manifest of an epoch. Two of one generation are the same bytes.
    pub generation: u64,
    /// Signed time: when it was made, in milliseconds since 1970-01-01 UTC.
    pub at: u64,
    /// The root of what is live for everyone: see [`crate::Root::open`].
    pub root: Hash,
    /// The last entry of the log that went into it.
    pub log: u64,
    /// What is on trial, the first [`Limits::trials_inline`] of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trials: Vec<Trial>,
    /// The object that holds the other trials: see [`TrialList::open`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_trials: Option<Hash>,
    /// What is switched off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kills: Vec<Kill>,
    /// What stays at a version whatever the tree says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Pin>,
    /// Locations that traffic is led away from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drained: Vec<String>,
    /// Locations that may withdraw because they are ill: never all, never more than a third.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub away: Vec<String>,
    /// Keys of locations that have left, whose certificates are good still: relays let them in no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub barred: Vec<Barred>,
    /// The latest purges, in the order of their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub purges: Vec<Purge>,
    /// The number of the latest purge that stands here no more: who has not seen it purges everything.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub purged_before: u64,
    /// The object that holds the keys which open secrets, sealed to each location that may use them: see [`crate::Ring::open`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring: Option<Hash>,
}

/// As serde calls it.
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A purge of what edges keep of a zone's responses. State, and no version: each edge does it once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// Its number, higher than that of any before it.
    pub id: u64,
    /// The zone.
    pub zone: String,
    /// What of it.
    pub what: Vec<Purged>,
    /// What it names becomes stale, and does not go.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub soft: bool,
}

/// A key that is let in nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Barred {
    /// The SHA-256 of the key: an uncompressed point of P-256.
    pub key: Hash,
    /// When its last certificate is over, in seconds since 1970-01-01 UTC. It is in no manifest that is made later.
    pub until: u64,
}

/// A chain of versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chain {
    /// What all zones share.
    Platform,
    /// A zone, by name.
    Zone(String),
}

/// A version that is candidate for some clients in some locations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Of which chain.
    pub chain: Chain,
    /// Its number.
    pub version: u64,
    /// The number of the version that it follows; 0 for the first of a chain.
    pub parent: u64,
    /// The object that holds it: see [`crate::Version::open`].
    pub object: Hash,
    /// The rings: the first that names a location says its share. A location that none names does not try it.
    pub shares: Vec<Share>,
    /// Goes into the hash that picks clients, so that not always the same ones try what is new.
    pub salt: u64,
    /// Seconds after which an edge that hears nothing new goes back by itself.
    pub expires_after_s: u64,
}

/// How many clients of which locations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Which locations.
    pub locations: Locations,
    /// Ten-thousandths of their clients, up to [`SHARE_ALL`].
    pub share: u16,
}

/// Some locations, or all of them. Serialised as a list of names; all of them are `["*"]`. The empty list is none, and never all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub enum Locations {
    /// Every location.
    All,
    /// These.
    Named(Vec<String>),
}

/// An emergency switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kill {
    /// What tells it from any other, also an equal one of yesterday: an edge counts its duration from the first sight of this number.
    pub id: u64,
    /// The stage that is switched off.
    pub module: String,
    /// In this zone; none: in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Where.
    pub locations: Locations,
    /// For how many seconds.
    pub for_s: u64,
    /// Why, as a person wrote it.
    pub why: String,
}

/// A chain that stays at a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Which chain.
    pub chain: Chain,
    /// At which version.
    pub version: u64,
    /// The object that holds it.
    pub object: Hash,
    /// Where.
    pub locations: Locations,
    /// Why, as a person wrote it.
    pub why: String,
}

/// Trials that have no place in the manifest, as an object of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialList {
    schema: u32,
    /// The trials.
    pub trials: Vec<Trial>,
}

impl Manifest {
    /// A manifest with nothing on trial and nothing switched off.
    #[must_use]
    pub fn new(epoch: u64, generation: u64, at: u64, root: Hash, log: u64) -> Self {
        Self {
            schema: SCHEMA,
            min_reader: SCHEMA,
            epoch,
            generation,
            at,
            root,
            log,
            trials: Vec::new(),
            more_trials: None,
            kills: Vec::new(),
            pins: Vec::new(),
            drained: Vec::new(),
            away: Vec::new(),
            barred: Vec::new(),
            purges: Vec::new(),
            purged_before: 0,
            ring: None,
        }
    }

    /// Puts trials into it: as many as it may hold, and the others into an object that must be stored before the manifest is.
    ///
    /// # Errors
    /// [`Refused::TooLarge`] if there are more than edges take; [`Refused::Malformed`] if one of them is not good.
    pub fn put_trials(
        &mut self,
        mut trials: Vec<Trial>,
        limits: &Limits,
    ) -> Result<Option<Object>, Refused> {
        at_most("trials", trials.len(), limits.trials)?;
        for trial in &trials {
            trial.check(limits)?;
        }
        let more = trials.split_off(trials.len().min(limits.trials_inline));
        self.trials = trials;
        self.more_trials = None;
        if more.is_empty() {
            return Ok(None);
        }
        let list = TrialList {
            schema: SCHEMA,
            trials: more,
        };
        let object = Object::pack(&payload::write(TRIAL_LIST, &list)?, limits.object_bytes)?;
        self.more_trials = Some(object.name());
        Ok(Some(object))
    }

    pub(crate) fn check(&self, limits: &Limits) -> Result<(), Refused> {
        at_most(
            "trials of a manifest",
            self.trials.len(),
            limits.trials_inline,
        )?;
        at_most("kill switches", self.kills.len(), limits.kills)?;
        at_most("pins", self.pins.len(), limits.pins)?;
        at_most("barred keys", self.barred.len(), limits.barred)?;
        check_purges(&self.purges, limits)?;
        Locations::Named(self.drained.clone()).check(limits)?;
        Locations::Named(self.away.clone()).check(limits)?;
        self.trials
            .iter()
            .try_for_each(|trial| trial.check(limits))?;
        for kill in &self.kills {
            name("a stage's name", &kill.module, limits)?;
            if let Some(zone) = &kill.zone {
                name("a zone's name", zone, limits)?;
            }
            kill.locations.check(limits)?;
            at_most("a reason", kill.why.len(), limits.why_bytes)?;
            if kill.for_s == 0 {
                return Err(Refused::malformed("a kill switch", "it does not last"));
            }
        }
        for pin in &self.pins {
            pin.chain.check(limits)?;
            pin.locations.check(limits)?;
            at_most("a reason", pin.why.len(), limits.why_bytes)?;
        }
        Ok(())
    }
}

fn check_purges(purges: &[Purge], limits: &Limits) -> Result<(), Refused> {
    at_most("purges", purges.len(), limits.purges)?;
    let bytes: usize = purges.iter().map(Purge::bytes).sum();
    at_most("what purges name", bytes, limits.purge_bytes)?;
    purges.iter().try_for_each(|purge| {
        name("a zone's name", &purge.zone, limits)?;
        match purged::check(&purge.what) {
            Ok(()) => Ok(()),
            Err(_) => Err(Refused::malformed(
                "a purge",
                "it names nothing that can be purged",
            )),
        }
    })
}

impl Purge {
    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let text = |what: &Purged| match what {
            Purged::Everything => 0,
            Purged::Url(text) | Purged::Prefix(text) | Purged::Host(text) | Purged::Tag(text) => {
                text.len()
            }
        };
        64 + self.zone.len() + self.what.iter().map(|what| 16 + text(what)).sum::<usize>()
    }
}

impl TrialList {
    /// Opens what was fetched as [`Manifest::more_trials`].
    ///
    /// # Errors
    /// As [`Object::open`]; [`Refused::Malformed`] and [`Refused::TooLarge`] if a trial is not good or they are too many.
    pub fn open(name: &Hash, packed: &[u8], limits: &Limits) -> Result<Self, Refused> {
        let content = Object::open(name, packed, limits.object_bytes)?;
        let list: Self = payload::read(TRIAL_LIST, &content)?;
        at_most("trials", list.trials.len(), limits.trials)?;
        list.trials
            .iter()
            .try_for_each(|trial| trial.check(limits))?;
        Ok(list)
    }
}

impl Trial {
    /// Ten-thousandths of a location's clients that try it; 0 where it is not on trial.
    #[must_use]
    pub fn share_in(&self, location: &str) -> u16 {
        let mut shares = self.shares.iter();
        shares
            .find(|share| share.locations.holds(location))
            .map_or(0, |share| share.share)
    }

    fn check(&self, limits: &Limits) -> Result<(), Refused> {
        self.chain.check(limits)?;
        at_most("shares of a trial", self.shares.len(), limits.shares)?;
        for share in &self.shares {
            share.locations.check(limits)?;
            if share.share > SHARE_ALL {
                return Err(Refused::malformed("a trial", "a share is more than all"));
            }
        }
        if self.version <= self.parent || self.expires_after_s == 0 {
            return Err(Refused::malformed(
                "a trial",
                "its version does not follow its parent, or it does not last",
            ));
        }
        Ok(())
    }
}

impl Chain {
    fn check(&self, limits: &Limits) -> Result<(), Refused> {
        match self {
            Self::Platform => Ok(()),
            Self::Zone(zone) => name("a zone's name", zone, limits),
        }
    }
}

impl Locations {
    /// Whether a location is among them.
    #[must_use]
    pub fn holds(&self, location: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|name| name == location),
        }
    }

    fn check(&self, limits: &Limits) -> Result<(), Refused> {
        let Self::Named(names) = self else {
            return Ok(());
        };
        at_most("a list of locations", names.len(), limits.locations)?;
        names.iter().try_for_each(|text| {
            // "*" among names would be all of them for one reader and a name for another.
            if text == "*" {
                return Err(Refused::malformed(
                    "a list of locations",
                    "\"*\" is no name",
                ));
            }
            name("a location's name", text, limits)
        })
    }
}

impl TryFrom<Vec<String>> for Locations {
    type Error = &'static str;

    fn try_from(names: Vec<String>) -> Result<Self, Self::Error> {
        match names.as_slice() {
            [all] if all == "*" => Ok(Self::All),
            names if names.iter().any(|name| name == "*") => Err("\"*\" stands alone"),
            _ => Ok(Self::Named(names)),
        }
    }
}

impl From<Locations> for Vec<String> {
    fn from(locations: Locations) -> Self {
        match locations {
            Locations::All => vec!["*".to_owned()],
            Locations::Named(names) => names,
        }
    }
}

/// A name that is one: an empty one never stands for all.
fn name(what: &'static str, text: &str, limits: &Limits) -> Result<(), Refused> {
    if text.is_empty() {
        return Err(Refused::malformed(what, "it is empty"));
    }
    at_most(what, text.len(), limits.name_bytes)
}

/// Signs a manifest with the online keys: one, or while keys are changed both.
///
/// # Errors
/// [`Refused::TooLarge`] and [`Refused::Malformed`]: no edge would take it.
pub fn sign_manifest(
    manifest: &Manifest,
    keys: &[&SigningKey],
    limits: &Limits,
) -> Result<Vec<u8>, Refused> {
    manifest.check(limits)?;
    let payload = payload::write(Kind::Manifest.what(), manifest)?;
    let signed = sign(Kind::Manifest, &payload, keys)?;
    at_most(Kind::Manifest.what(), signed.len(), limits.manifest_bytes)?;
    Ok(signed)
}
