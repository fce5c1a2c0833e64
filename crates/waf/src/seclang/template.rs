//! Text with macros: `%{tx.name}`, `%{matched_var}`.

use seawall_model::Wrong;
use seawall_model::problem::quote;

use super::targets::variable;
use super::tree::{Piece, Selector, Template};
use crate::vocabulary::Shape;

/// Reads a template.
pub(super) fn template(text: &str) -> Result<Template, Wrong> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("%{") {
        let Some((name, behind)) = after.split_once('}') else {
            return Err(Wrong::new(
                format!("the macro in {} is not closed", quote(text)),
                "a macro is %{name} or %{COLLECTION.name}",
            ));
        };
        push(&mut pieces, before);
        let (name, selector) = match name.split_once(['.', ':']) {
            Some((name, key)) => (name, Selector::Name(key.to_ascii_lowercase().into_bytes())),
            None => (name, Selector::All),
        };
        let variable = variable(name)?;
        if variable.shape() == Shape::Single && selector != Selector::All {
            return Err(Wrong::new(
                format!("{} has one value, and no names", variable.name()),
                "leave out what follows the dot",
            ));
        }
        pieces.push(Piece::Macro(variable, selector));
        rest = behind;
    }
    push(&mut pieces, rest);
    Ok(Template { pieces })
}

fn push(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.as_bytes().to_vec()));
    }
}

impl Template {
    /// The text, when there is no macro in it.
    pub(crate) fn constant(&self) -> Option<&[u8]> {
        match self.pieces.as_slice() {
            [] => Some(&[]),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::Variable;

    #[test]
    fn macros_are_found_in_text() {
        assert_eq!(template("a b").unwrap().constant(), Some(&b"a b"[..]));
        assert_eq!(
            template("a%{tx.B}%{MATCHED_VAR}c").unwrap().pieces,
            [
                Piece::Text(b"a".into()),
                Piece::Macro(Variable::Tx, Selector::Name(b"b".into())),
                Piece::Macro(Variable::MatchedVar, Selector::All),
                Piece::Text(b"c".into()),
            ]
        );
        assert!(template("%{tx.a").is_err());
        assert!(template("%{nothing}").is_err());
    }
}
