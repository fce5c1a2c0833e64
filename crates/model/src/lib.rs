//! The words that every room shares: what a person wrote (`Document`), what a client sent (`RequestHead`), what is known
//! of a connection (`ConnFacts`), what is wrong with a document (`Problems`).
//!
//! Not here: IO, async, clocks, randomness. A type enters only when two rooms need it.

pub mod conn;
pub mod date;
pub mod document;
pub mod field;
pub mod fuel;
pub mod head;
pub mod host;
pub mod limits;
pub mod network;
pub mod place;
pub mod problem;
pub mod purged;
#[cfg(feature = "unsafe-drills")]
pub mod safeguard;
pub mod spelling;
pub mod suggest;
pub mod tempo;
pub mod token;
pub mod trie;
pub mod units;
pub mod view;

pub use conn::{ConnFacts, HttpVersion, TlsFacts};
pub use document::{Document, SkipSet, StageMode};
pub use field::FieldId;
pub use fuel::{Fuel, Spent};
pub use head::{Fields, Method, RequestHead, ResponseHead};
pub use host::{Host, HostPattern, without_port};
pub use limits::Limits;
pub use network::Network;
pub use place::{Place, Places};
pub use problem::{Problem, Problems, Wrong};
pub use purged::Purged;
pub use tempo::{Share, Tempo};
pub use trie::Trie;
pub use view::RequestView;
