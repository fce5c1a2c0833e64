//! Where requests go: the pools of a zone's origins, which member gets the next request, which is left out and for how
//! long, and when a failed request may be tried again.
//!
//! Pure logic over atomics: the time (`now`, milliseconds of a monotonic clock) and randomness come in as arguments, so
//! that every decision can be replayed in a test. All worker threads share it, and picking takes no lock. What is known
//! of a member (requests in flight, health, addresses) is State: it outlives the snapshot of a configuration, because
//! a [`Pool`] finds its members in [`Members`] by a stable id.
//!
//! - [`pool`]: what a pool and a member are, the registry, and what `/state` tells of them;
//! - [`balance`]: which member gets the next request;
//! - [`health`]: probes and failures, and what they do to a member;
//! - [`retry`]: when a failed request is tried again, and how a storm is kept away;
//! - [`dns`]: when a name is resolved again, and what holds while DNS fails.
//!
//! Not here: sockets, probes, resolvers and timers. Those belong to the worker, which reports here what came of them.

pub mod balance;
pub mod dns;
pub mod health;
pub mod pool;
pub mod retry;

pub use balance::{Picked, Tried};
pub use dns::{Change, Refresh, RefreshState};
pub use health::{Active, Ejection, Outcome, Passive, Transition};
pub use pool::{
    AddressCache, Lease, Member, MemberHealth, MemberState, Members, Pool, PoolState, Settings,
};
pub use retry::{Attempt, Refusal, Retry, RetryBudget, RetrySettings};
