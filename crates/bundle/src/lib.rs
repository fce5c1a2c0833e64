//! What travels from control to edges, and back: objects that are named by their content, the tree of what is live, the signed
//! manifest that points at it, signed reports, keys, and secrets sealed to locations. Bytes in, bytes out.
//!
//! A change ships little: zones are spread over small leaves by the SHA-256 of their names, and whoever has yesterday's tree
//! fetches only the nodes that differ ([`Diff`]). Whatever comes in is checked before it is believed, and what was checked is a
//! value that only this room can make ([`Verified`]). Every reason for refusing is a variant of [`Refused`].
//!
//! Not here: IO, async, clocks, who decides what is rolled out, what a document means. Time comes in as an argument. Randomness is
//! taken in two places only, where keys are made: [`SigningKey::generate`] and its like, and [`seal`], whose ephemeral keys
//! nobody else could hand in safely.
//!
//! ```text
//! list of keys ── signed by the offline root key: online keys, epoch, revoked
//!     │ who may sign
//! manifest ────── signed by an online key: generation, trials, kill switches, pins
//!     │ names                                    └─► version objects, more trials, the ring of keys that opens secrets
//! root ─► node ─► leaf: zones, each {number, document, files} ─► contents of files
//! ```
//!
//! A publisher calls [`update`], stores the objects, then [`sign_manifest`]. An edge calls [`open_keys`], [`open_manifest`],
//! [`Root::open`] and drives a [`Diff`]. For a fuzzer, every function whose name begins with `open`, and [`Object::open`] and its like,
//! takes any bytes.

mod codec;
mod content;
mod envelope;
mod hash;
mod hpke;
mod key_list;
mod keys;
mod limits;
mod manifest;
mod object;
mod payload;
mod refused;
mod report;
mod seal;
mod tree;
mod trust;
mod version;

pub use content::{Content, ContentKey, Ring};
pub use envelope::Verified;
pub use hash::Hash;
pub use key_list::{KeyList, OnlineKey, open_keys, sign_keys};
pub use keys::{Fingerprint, PublicKey, SealKey, SealPublicKey, SigningKey};
pub use limits::Limits;
pub use manifest::{
    Barred, Chain, Kill, Locations, Manifest, Pin, Purge, SHARE_ALL, Share, Trial, TrialList,
    sign_manifest,
};
pub use object::Object;
pub use refused::{Fault, Refused};
pub use report::{Report, ReportHead, open_report, report_signer, sign_report};
pub use seal::{open_sealed, seal};
pub use tree::{Change, Diff, Edits, Platform, Root, Step, Update, UpdateError, place, update};
pub use trust::{Accepted, Mark, TIME_AHEAD_MS, TimeAhead, Trust, open_manifest};
pub use version::{File, Version, Zone};

/// The version of the formats that this build reads and writes. A manifest says which one its readers need.
pub const SCHEMA: u32 = 1;
