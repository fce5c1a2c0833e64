//! The web application firewall: SecLang, and the engine that runs the OWASP Core Rule Set unchanged. Pure.

mod body;
mod libinjection;
mod operators;
mod pipeline;
mod program;
mod regex;
mod request;
mod seclang;
mod texts;
mod transaction;
mod transform;
mod vocabulary;

pub use program::{Options, Program};
pub use request::{Body, Request, Response};
pub use seclang::tree::Engine;
pub use seclang::{File, RuleSet};
pub use transaction::{
    Collection, Collections, Interrupted, Interruption, Kept, Match, Nothing, Transaction,
    Workspace, Zone,
};
pub use vocabulary::{ACTIONS, CONTROLS, DIRECTIVES, Entry, OPERATORS, TRANSFORMATIONS, VARIABLES};
