//! A request's life: routing, origins, the exchange, endpoints of ours, and the worker threads that run it all.
//!
//! `connection` accepts and parses, `exchange` decides who answers, `relay` goes to the origin and back. A configuration is a
//! [`snapshot::Snapshot`] made by [`compile::compile`] and swapped as a whole in a [`slot::Slot`]. Not here: command line, files.

pub mod admin;
pub mod compile;
mod connection;
mod endpoint;
mod exchange;
mod fault;
mod forward;
pub mod hosts;
mod lend;
pub mod materials;
pub mod origin;
mod page;
pub mod prober;
mod refusal;
mod relay;
mod sample;
pub mod slot;
pub mod snapshot;
pub mod state;
pub mod thread;
mod tunnel;
pub mod worker;

pub use fault::WORDS;
