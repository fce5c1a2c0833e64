//! Every word of SecLang as ModSecurity's v3 reference lists them, in tables: implemented, or refused by name with the reason.
//!
//! The parser knows no other words, so nothing is ever ignored. `docs/reference` is printed from these tables.

mod action;
mod directive;
mod operator;
mod transformation;
mod variable;

pub use action::{ACTIONS, CONTROLS};
pub(crate) use action::{Action, Control};
pub use directive::DIRECTIVES;
pub(crate) use directive::Directive;
pub use operator::OPERATORS;
pub(crate) use operator::Operator;
pub use transformation::TRANSFORMATIONS;
pub(crate) use transformation::Transformation;
pub use variable::VARIABLES;
pub(crate) use variable::{Shape, Variable};

/// A word of the language: its name, and whether this engine has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, as the reference spells it. Rules may write it in any case.
    pub name: &'static str,
    /// Why a rule set that uses it is refused; empty when it is implemented.
    pub refused: &'static str,
}

/// What looking a word up gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<T> {
    Has(T),
    Refused(&'static str),
    Unknown,
}

/// An enum of the words that are implemented, and the table of all words.
macro_rules! words {
    ($(#[$doc:meta])* $kind:ident, $(#[$table_doc:meta])* $table:ident: $($word:ident = $name:literal,)+ ; $($no:literal: $why:literal,)*) => {
        $(#[$doc])*
        #[allow(clippy::enum_variant_names, reason = "directives are spelt as the reference spells them")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub(crate) enum $kind { $($word,)+ }

        $(#[$table_doc])*
        pub const $table: &[$crate::vocabulary::Entry] = &[
            $($crate::vocabulary::Entry { name: $name, refused: "" },)+
            $($crate::vocabulary::Entry { name: $no, refused: $why },)*
        ];

        #[allow(dead_code, reason = "one macro for all kinds of words")]
        impl $kind {
            /// All of them, in the order of the table.
            pub(crate) const ALL: &[Self] = &[$(Self::$word,)+];

            /// Its name, as the reference spells it.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$word => $name,)+ }
            }

            /// Looks a name up, in any case.
            pub(crate) fn find(name: &str) -> $crate::vocabulary::Found<Self> {
                use $crate::vocabulary::Found;
                if let Some(word) = Self::ALL.iter().find(|word| word.name().eq_ignore_ascii_case(name)) {
                    return Found::Has(*word);
                }
                match $table.iter().find(|entry| entry.name.eq_ignore_ascii_case(name)) {
                    Some(entry) => Found::Refused(entry.refused),
                    None => Found::Unknown,
                }
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_stands_twice() {
        for table in [
            DIRECTIVES,
            VARIABLES,
            OPERATORS,
            TRANSFORMATIONS,
            ACTIONS,
            CONTROLS,
        ] {
            let mut names: Vec<_> = table
                .iter()
                .map(|entry| entry.name.to_ascii_lowercase())
                .collect();
            names.sort_unstable();
            let all = names.len();
            names.dedup();
            assert_eq!(names.len(), all);
        }
    }

    #[test]
    fn words_are_found_in_any_case() {
        assert_eq!(Variable::find("args"), Found::Has(Variable::Args));
        assert!(matches!(Variable::find("ENV"), Found::Refused(_)));
        assert_eq!(Variable::find("ARGH"), Found::Unknown);
    }
}
