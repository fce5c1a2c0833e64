//! The tables of the language: every field, operator and function, with what it is, and what of Cloudflare's language is refused,
//! with what to write instead. Parser, suggestions and the generated reference read them here.

mod fields;
mod functions;
mod operators;
mod refused;
#[cfg(test)]
mod tests;

use crate::value::{Address, Array, Map, Number, Plain, Truth};
pub use fields::FIELDS;
pub(crate) use functions::{Call, call};
pub use functions::{FUNCTIONS, Function};
pub(crate) use operators::Compare;
pub use operators::{OPERATORS, Operator};
pub use refused::{REFUSED_FIELDS, REFUSED_FUNCTIONS, Refusal};
pub(crate) use refused::{refused_field, refused_function};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text: bytes, mostly ASCII.
    Bytes,
    /// A whole number.
    Int,
    /// An IP address.
    Ip,
    /// Yes or no.
    Bool,
    /// Several texts, in their order.
    Array,
    /// Several texts for each name.
    Map,
}

impl Kind {
    /// As the reference and errors say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "text",
            Self::Int => "a number",
            Self::Ip => "an address",
            Self::Bool => "yes or no",
            Self::Array => "several texts",
            Self::Map => "several texts by name",
        }
    }
}

/// A field of a request.
#[derive(Debug)]
pub struct Field {
    /// Its name, as Cloudflare has it.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it says, for the reference.
    pub what: &'static str,
    pub(crate) value: Value,
}

/// Where a field's value comes from.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(Plain),
    Number(Number),
    Address(Address),
    Truth(Truth),
    Array(Array),
    Map(Map),
}

pub(crate) fn field(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}
