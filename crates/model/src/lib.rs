//! The words that every room shares: what a person wrote (`Document`), what a client sent (`RequestHead`), what is known
//! of a connection (`ConnFacts`), what is wrong with a document (`Problems`).
//!
//! Not here: IO, async, clocks, randomness. A type enters only when two rooms need it.

pub mod conn;
pub mod field;
pub mod head;

pub use conn::{ConnFacts, HttpVersion, TlsFacts};
pub use field::FieldId;
pub use head::{Fields, Method, RequestHead, ResponseHead};
