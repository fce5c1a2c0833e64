//! What people and their tools ask of control, and what they are answered: the same over `DATA/control.sock`, where it travels as
//! JSON in a file, and over HTTP ([`api`](crate::api)), whose schemas are made of these types.

mod kills;
mod not_made;
mod purges;
mod status;

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use seawall_control::version::{Chain, Hash, Version};
use seawall_model::Purged;
use serde::{Deserialize, Serialize};

pub use super::locations::Place;
use crate::token::Token;
pub use kills::{KillMade, NewKill};
pub use not_made::{Conflict, NotMade};
pub use purges::{NewPurge, PurgeMade, PurgeOf, PurgeStands};
pub use status::{Bucket, Published, Status};

/// Something that is asked, with who asks it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// Who, as it stands in the log.
    pub who: String,
    /// Why.
    pub why: String,
    /// What the asker calls this very request: it is done once, however often it comes.
    #[serde(default)]
    pub request: Option<Request>,
    /// The token by which it came over HTTP. Whoever may open the socket owns what runs, and needs none.
    #[serde(skip)]
    pub token: Option<Arc<Token>>,
    /// What.
    pub ask: Ask,
}

/// A request that is done once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What it is called, by whom.
    pub id: [u8; 16],
    /// What is asked with it: it is called so for nothing else.
    pub content: Hash,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Versions of what is new in a document, and their rollouts.
    Apply {
        /// The document's text.
        text: String,
        /// Where relative paths in it begin.
        folder: PathBuf,
        /// The version of the one zone in it that was looked at before.
        parent: Option<u64>,
        /// Guards that ask for a person need ask no more.
        approve: bool,
    },
    /// A new version of this one chain.
    Put {
        /// Whose.
        chain: Chain,
        /// The document's text, with nothing else in it.
        text: String,
        /// What was looked at before.
        when: When,
        /// Guards that ask for a person need ask no more.
        approve: bool,
    },
    /// What applying a document would do, which is not done.
    Check {
        /// The document's text.
        text: String,
    },
    /// All zones, in the order of their names.
    Zones {
        /// Those behind this name.
        after: Option<String>,
        /// So many at most.
        limit: usize,
    },
    /// A version with its document.
    Document {
        /// Whose.
        chain: Chain,
        /// Which.
        which: Which,
    },
    /// The versions of a chain, newest first.
    Versions {
        /// Whose.
        chain: Chain,
        /// Those with lower numbers.
        before: Option<u64>,
        /// So many at most.
        limit: usize,
    },
    /// One version.
    Version {
        /// Whose.
        chain: Chain,
        /// Its number.
        number: u64,
    },
    /// What differs between two versions.
    Diff {
        /// Whose.
        chain: Chain,
        /// The first; none is the one that serves.
        a: Option<u64>,
        /// The second; none is the newest.
        b: Option<u64>,
    },
    /// A new version with an old one's document.
    Rollback {
        /// Whose.
        chain: Chain,
        /// Which; none is the one before.
        version: Option<u64>,
    },
    /// A new version that is a tombstone, or the one that takes it back.
    Delete {
        /// The zone.
        zone: String,
        /// It is to come back.
        restore: bool,
    },
    /// A chain stays at what serves, until it is unpinned.
    Pin {
        /// Whose.
        chain: Chain,
        /// It does no longer.
        unpin: bool,
    },
    /// A rollout goes on past the guards that ask for a person, or ends.
    Decide {
        /// Which; none is the only one that runs.
        rollout: Option<u64>,
        /// It goes on; else it ends.
        approve: bool,
    },
    /// How rollouts stand.
    Rollouts {
        /// Which; none is all that run.
        ids: Vec<u64>,
    },
    /// The log, newest first.
    Log {
        /// Entries with lower numbers.
        before: Option<u64>,
        /// So many at most.
        limit: usize,
    },
    /// The locations.
    Locations,
    /// A token for a location to join with.
    JoinToken {
        /// Its name.
        location: String,
        /// For how many seconds it is good, an hour at most.
        for_s: u64,
        /// Changes are to begin there.
        canary: bool,
    },
    /// A location is one of ours no more.
    Leave {
        /// Its name.
        location: String,
    },
    /// Traffic is led away from a location, or back to it.
    Drain {
        /// Its name; none is the only one.
        location: Option<String>,
        /// Back to it.
        undrain: bool,
    },
    /// A stage is switched off for a while, or on again.
    Kill {
        /// Which.
        stage: String,
        /// In this zone; none is in all.
        zone: Option<String>,
        /// In this location; none is in all.
        location: Option<String>,
        /// For so long; none: it is to be on again.
        seconds: Option<u64>,
    },
    /// Something of what edges keep of a zone's responses is to go.
    Purge {
        /// The zone.
        zone: String,
        /// What of it.
        what: Vec<Purged>,
        /// It becomes stale, and does not go.
        soft: bool,
    },
    /// How far a purge has come.
    PurgeStands {
        /// Its number.
        purge: u64,
    },
    /// What control knows, for `seawall status`.
    Status,
    /// The tokens that stand.
    Tokens,
    /// A new token.
    MakeToken(NewToken),
    /// A token is good no more, from now on.
    RevokeToken {
        /// Its name.
        name: String,
    },
}

/// Which version of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    /// The newest, tombstones left out.
    Newest,
    /// The one that serves.
    Serving,
    /// The one with this number.
    Number(u64),
}

/// What must hold for a document to be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// The chain has no document.
    Absent,
    /// It has some document.
    Present,
    /// Its newest version is this one.
    Is(u64, String),
}

/// A token that is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Its name: 1 to 64 of letters, digits, `.`, `-`, `_`. In the log its holder is `token:NAME`.
    pub name: String,
    /// What it may do: at least one.
    pub scopes: Vec<String>,
    /// Seconds for which it is good; without it, until it is revoked.
    #[serde(default)]
    pub seconds: Option<u64>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Versions were made.
    Applied(Applied),
    /// They could be.
    Checked(Checked),
    /// Zones.
    Zones(Zones),
    /// A version with its document.
    Document(Document),
    /// Versions.
    Versions(Versions),
    /// A version.
    Version(Told),
    /// Two texts, of which somebody else makes a [`Diff`]: that takes a while.
    Texts {
        /// The number of the first.
        a: u64,
        /// And of the second.
        b: u64,
        /// The first.
        before: String,
        /// The second.
        after: String,
    },
    /// What differs.
    Diff(Diff),
    /// How rollouts stand.
    Rollouts(Vec<Standing>),
    /// Entries of the log.
    Log(Log),
    /// Locations.
    Locations(Vec<Place>),
    /// What control knows.
    Status(Status),
    /// Tokens.
    Tokens(Vec<TokenTold>),
    /// A token was made.
    Token(TokenMade),
    /// A token to join with was made.
    JoinToken(JoinToken),
    /// A stage is to be off, by this rollout.
    Killed {
        /// Its number.
        rollout: u64,
    },
    /// A purge was ordered.
    Purged {
        /// Its number.
        purge: u64,
    },
    /// How far a purge has come.
    PurgeStands(PurgeStands),
    /// Done.
    Done,
}

/// What was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    /// The new versions.
    pub versions: Vec<Made>,
    /// How many zones are as they were: they got no version.
    pub unchanged: usize,
    /// What people should know.
    pub notes: Vec<String>,
}

/// A new version, and its rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Made {
    /// `zone/NAME`, or `platform`.
    #[schemars(with = "String")]
    pub chain: Chain,
    /// Its number.
    pub version: u64,
    /// The number of its rollout.
    pub rollout: u64,
}

/// What applying a document would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    /// What would get a new version: `zone/NAME` or `platform`.
    #[schemars(with = "Vec<String>")]
    pub changes: Vec<Chain>,
    /// How many zones are as they were.
    pub unchanged: usize,
}

/// A page of zones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Zones {
    /// In the order of their names.
    pub zones: Vec<ZoneTold>,
    /// The `after` of the next page; none where this is the last.
    pub next: Option<String>,
}

/// A zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ZoneTold {
    /// Its name.
    pub name: String,
    /// Its newest version.
    pub newest: u64,
    /// The version that serves everywhere; none before the first one does.
    pub serves: Option<u64>,
    /// It is deleted as of its newest version.
    pub deleted: bool,
    /// It stays at the version that serves.
    pub pinned: bool,
    /// Who made the newest version.
    pub author: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// A version with its document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Its number.
    pub number: u64,
    /// The SHA-256 of its text.
    pub hash: String,
    /// The text.
    pub text: String,
}

/// A page of versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Versions {
    /// Newest first.
    pub versions: Vec<Told>,
    /// The `before` of the next page; none where this is the last.
    pub next: Option<u64>,
}

/// What differs between two versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diff {
    /// The number of the first.
    pub a: u64,
    /// And of the second.
    pub b: u64,
    /// Both are the same document.
    pub same: bool,
    /// What differs, in the unified format; of very long documents it may be coarser than it could be.
    pub diff: String,
}

/// How a rollout stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// Its number.
    pub id: u64,
    /// What it is of: `zone/NAME`, `platform`, or a kill switch.
    pub what: String,
    /// The version that it brings.
    pub version: u64,
    /// How many of 10,000 clients have it.
    pub share: u16,
    /// How many locations have it.
    pub locations: usize,
    /// What is waited for, or how it ended.
    pub why: String,
    /// None: it runs. True: it is everywhere. False: it is not.
    pub ended: Option<bool>,
    /// It goes on once a person has approved it, and not before.
    #[serde(default)]
    pub asks: bool,
    /// The newer version that took its place, where it ended so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<u64>,
    /// What a person has to do before it goes on, where only a person can end what it waits for, such as a pin; none: it goes on by
    /// itself.
    #[serde(default)]
    pub person: Option<String>,
}

/// A version, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Told {
    /// Its number.
    pub number: u64,
    /// Who.
    pub author: String,
    /// Why.
    pub why: String,
    /// Seconds since 1970.
    pub at: u64,
    /// The SHA-256 of its document.
    pub hash: String,
    /// It is what serves.
    pub serves: bool,
    /// It is on its way.
    pub on_trial: bool,
    /// The zone is deleted as of this version.
    pub tombstone: bool,
}

impl Told {
    /// A version, where this one serves.
    pub fn of(version: Version, serves: Option<u64>, on_trial: bool) -> Self {
        Self {
            number: version.number,
            serves: serves == Some(version.number),
            on_trial,
            author: version.author,
            why: version.why,
            at: version.at,
            hash: version.hash.to_string(),
            tombstone: version.tombstone,
        }
    }
}

/// A page of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Log {
    /// Newest first.
    pub entries: Vec<EntryTold>,
    /// The `before` of the next page; none where this is the last.
    pub next: Option<u64>,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EntryTold {
    /// Its number: 1, 2, 3, none left out.
    pub seq: u64,
    /// Seconds since 1970, by the clock of who made it.
    pub at: u64,
    /// Who: `token:NAME`, `user:NAME`, `file:PATH`, `location:NAME`, `planner`.
    pub who: String,
    /// Why.
    pub why: String,
    /// What happened: `kind`, and what belongs to it. Of a token that was made the hash is left out.
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    pub what: serde_json::Value,
    /// The entry's SHA-256, over what it says and the hash of the one before.
    #[schemars(with = "String")]
    pub hash: Hash,
}

/// A token for a location to join with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JoinToken {
    /// As it is given to `seawall edge --join`; good once.
    pub token: String,
    /// Where control listens for locations.
    pub listens: String,
}

/// A token that stands. What it is itself is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenTold {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Seconds since 1970 from which on it is good no more; none: until it is revoked.
    pub expires: Option<u64>,
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// By whom.
    pub by: String,
}

impl From<&Token> for TokenTold {
    fn from(token: &Token) -> Self {
        Self {
            name: token.name.clone(),
            scopes: token.scopes.iter().map(ToString::to_string).collect(),
            expires: token.expires,
            made: token.made,
            by: token.by.clone(),
        }
    }
}

/// A token that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenMade {
    /// The token. It is told now and never again.
    pub token: String,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Seconds since 1970 from which on it is good no more; none: until it is revoked.
    pub expires: Option<u64>,
}
