//! A request's life: routing, origins, the exchange, endpoints of ours, and the worker threads that run it all.
//!
//! `connection` accepts and parses, `exchange` decides who answers, `relay` goes to the origin and back. A configuration is a
//! [`snapshot::Snapshot`] made by [`compile::compile`] and swapped as a whole in a [`slot::Slot`]. Not here: command line, files.

pub mod admin;
mod announced;
pub mod caching;
pub mod certificates;
mod circle;
pub mod compile;
mod compress;
pub mod connection;
mod endpoint;
mod exchange;
pub mod expiry;
mod fault;
mod files;
mod forward;
mod hand_over;
pub mod hosts;
pub mod kind;
mod lend;
pub mod materials;
pub mod mishaps;
pub mod origin;
mod outgoing;
mod page;
pub mod prober;
mod quota;
pub mod recent;
mod refusal;
mod relay;
pub mod retire;
mod sample;
pub mod sessions;
mod shares;
pub mod slot;
pub mod snapshot;
pub mod stages;
mod standing;
pub mod state;
pub mod table;
pub mod thread;
pub mod tier;
pub mod told;
pub mod trial;
mod tunnel;
mod unheard;
pub mod worker;
mod zone_ids;

pub use endpoint::{CHALLENGE, ENDPOINTS};
pub use fault::{WORDS, reference_markdown as errors_markdown};
pub use zone_ids::ZoneIds;
