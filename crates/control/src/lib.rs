//! The control plane's library: what a version is ([`version`]) and the contents of the files that it names ([`contents`]), the append-only log that is the truth ([`store`]), what a
//! producer must ask a person for ([`guards`]), and the planner of rollouts ([`plan`]).
//!
//! Not here: HTTP; sockets, async and clocks but for the connection to a database ([`store::postgres`]). Time comes in as an argument;
//! who calls is the binary's.

pub mod contents;
pub mod guards;
pub mod plan;

pub mod store;
pub mod version;

pub use plan::plan;
pub use store::{ConfigStore, StoreError};
pub use version::{Chain, Hash, Version};
