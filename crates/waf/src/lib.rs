//! The web application firewall: SecLang, and the engine that runs the OWASP Core Rule Set unchanged.
//!
//! ```text
//! files ─► RuleSet::parse ─► RuleSet::compile ─► Program     once; shared by all zones and threads
//!                                                   │
//! request ─► Transaction::new(program, zone, request, workspace, collections)
//!              .request_head ▸ .request_body ▸ .response_head ▸ .response_body ▸ .log      each paid for with fuel
//! ```
//!
//! [`RuleSet::parse`] reads the whole language or says all that is wrong, with file and line; every word of ModSecurity's reference is
//! implemented or refused by its name ([`reference_markdown`]). [`RuleSet::compile`] resolves names, shares pipelines of
//! transformations and compiles patterns. A [`Transaction`] runs the five phases over borrowed requests and says which rules matched
//! where ([`Match`]), what they add up to ([`Transaction::score`]), and what is to be done ([`Interrupted`]). A thread keeps one
//! [`Workspace`] for all its requests, and warms it once.
//!
//! Three things make it quick (decision 0040): each distinct text of a request is kept once, with what transformations make of it;
//! one pass over a text finds all patterns that occur, and one all phrases; a rule whose pattern occurs in none of its texts is
//! done with one bit. Time is linear in the input, and what a hostile text makes dear is counted.
//!
//! Not here: IO, clocks, randomness that decides anything; holding bodies; where collections are kept; modes, paranoia and
//! exceptions of zones, which are TX variables and rules that the guard's stage adds.

mod body;
mod coding;
mod exclusion;
mod folder;
mod libinjection;
mod openapi;
mod operators;
mod pipeline;
mod prelude;
mod program;
mod reference;
mod regex;
mod request;
mod seclang;
mod texts;
mod transaction;
mod transform;
mod vocabulary;

pub use coding::{CodingFault, Plain, plain};
pub use exclusion::Exclusion;
pub use folder::{Folder, MOST_BYTES, MOST_FILES};
pub use openapi::{Described, Expects, MOST_OPENAPI, Misfit, OpenApi};
pub use prelude::PRELUDE;
pub use program::{Cost, MOST_UNITS, Options, Program};
pub use reference::reference_markdown;
pub use request::{Body, Request, Response};
pub use seclang::tree::Engine;
pub use seclang::{File, RuleSet};
pub use transaction::{
    Came, Change, Collection, Collections, How, Interrupted, Interruption, Kept, Left, Looked,
    Match, Nothing, Transaction, Workspace, Zone,
};
pub use vocabulary::{ACTIONS, CONTROLS, DIRECTIVES, Entry, OPERATORS, TRANSFORMATIONS, VARIABLES};
