//! Where requests go: the pools of a zone's origins, which member gets the next request, which is left out and for how
//! long, and when a failed request may be tried again.
//!
//! Pure logic over atomics: the time (`now`, milliseconds of a monotonic clock) and randomness come in as arguments, so
//! that every decision can be replayed in a test. All worker threads share it, and picking takes no lock. What is known
//! of a member (requests in flight, health, addresses) is State: it outlives the snapshot of a configuration, because
//! a [`Pool`] finds its members in [`Members`] by a stable id.
//!
//! - [`pool`]: what a pool and a member are; [`members`]: the registry; [`describe`]: what `/state` tells of them;
//! - [`balance`]: which member gets the next request;
//! - [`hash`]: the same for requests that have a key, so that the same key finds the same member;
//! - [`warm`]: members that are new or come back, whose share grows slowly;
//! - [`circuit`]: what one member is given at once;
//! - [`health`]: probes and failures, and what they do to a member;
//! - [`outlier`]: members that fail more often than the others;
//! - [`retry`]: when a failed request is tried again, and how a storm is kept away;
//! - [`dns`]: when a name is resolved again, and what holds while DNS fails.
//!
//! Not here: sockets, probes, resolvers and timers. Those belong to the worker, which reports here what came of them.

pub mod balance;
pub mod circuit;
pub mod describe;
pub mod dns;
pub mod hash;
pub mod health;
pub mod members;
mod outlier;
pub mod pool;
pub mod retry;
pub mod warm;

pub use balance::{Picked, Tried};
pub use circuit::{Circuit, Counted};
pub use describe::{MemberState, PoolState};
pub use dns::{Change, Refresh, RefreshState};
pub use hash::Key;
pub use health::{Active, Ejection, Outcome, Passive, Transition};
pub use members::{MemberHealth, Members};
pub use outlier::Outliers;
pub use pool::{AddressCache, Lease, Member, Pool, Settings, Spread};
pub use retry::{Attempt, Refusal, Retry, RetryBudget, RetrySettings};
