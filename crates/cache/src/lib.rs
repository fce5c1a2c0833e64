//! The cache: what RFC 9111 and its relatives allow, decided purely; and the store that keeps it.
//!
//! [`policy`] decides over heads and times, without IO and without a clock;
//! [`memory`] keeps what it allows, and [`disk`] what outlives the process; [`fill`]s let many requests share one answer of an origin while it still comes.
//!
//! Not here: rules and their conditions (`proxy` evaluates them and hands over a plain [`policy::Plan`]), connections, origins,
//! how bytes are framed, when anything happens.

mod account;
pub mod cache;
pub mod directives;
pub mod disk;
mod fields;
pub mod fill;
pub mod head;
pub mod key;
pub mod links;
#[cfg(test)]
mod made_up;
pub mod memory;
pub mod outdated;
pub mod policy;
pub mod purge;
pub mod slices;
pub mod structured;
