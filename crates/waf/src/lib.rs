//! The web application firewall: SecLang, and the engine that runs the OWASP Core Rule Set unchanged. Pure.

mod body;
mod regex;
mod seclang;
mod transform;
mod vocabulary;

pub use seclang::tree::Engine;
pub use seclang::{File, RuleSet};
pub use vocabulary::{ACTIONS, CONTROLS, DIRECTIVES, Entry, OPERATORS, TRANSFORMATIONS, VARIABLES};
