//! The first argument of `SecRule`: variables with selectors, counts and exclusions, joined by `|`.

use seawall_model::Wrong;
use seawall_model::problem::quote;

use super::tree::{Look, Selector, Target};
use crate::vocabulary::{Found, Shape, VARIABLES, Variable};

/// All targets, or what is wrong and where in the text.
pub(super) fn targets(text: &str) -> Result<Vec<Target>, Vec<(usize, Wrong)>> {
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    for (at, piece) in split(text) {
        match target(piece) {
            Ok(target) => all.push(target),
            Err(what) => wrong.push((at, what)),
        }
    }
    if all.is_empty() && wrong.is_empty() {
        wrong.push((
            0,
            Wrong::new("no variable", "name what to look at, such as ARGS"),
        ));
    }
    if wrong.is_empty() {
        Ok(all)
    } else {
        Err(wrong)
    }
}

/// The pieces between `|` or `,`, but not within `/…/` or `'…'`.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut pieces = Vec::new();
    let (mut begin, mut until, mut before) = (0, None, ' ');
    for (at, next) in text.char_indices() {
        match until {
            Some(end) if next == end && before != '\\' => until = None,
            Some(_) => {}
            None if before == ':' && (next == '/' || next == '\'') && !is_xpath(text, begin) => {
                until = Some(next);
            }
            None if next == '|' || next == ',' => {
                pieces.push((begin, text.get(begin..at).unwrap_or_default()));
                begin = at + 1;
            }
            None => {}
        }
        before = next;
    }
    pieces.push((begin, text.get(begin..).unwrap_or_default()));
    pieces.retain(|(_, piece)| !piece.trim().is_empty());
    pieces
}

/// Whether the piece that begins here is of `XML`, whose selectors are no patterns.
fn is_xpath(text: &str, begin: usize) -> bool {
    let piece = text.get(begin..).unwrap_or_default();
    let piece = piece.trim_start_matches(['!', '&', ' ']);
    piece
        .get(..4)
        .is_some_and(|name| name.eq_ignore_ascii_case("XML:"))
}

/// One target.
pub(super) fn target(piece: &str) -> Result<Target, Wrong> {
    let piece = piece.trim();
    let (what, rest) = match piece.as_bytes().first() {
        Some(b'!') => (Look::Exclude, piece.get(1..).unwrap_or_default()),
        Some(b'&') => (Look::Count, piece.get(1..).unwrap_or_default()),
        _ => (Look::At, piece),
    };
    let (name, selector) = match rest.split_once(':') {
        Some((name, selector)) => (name, Some(selector)),
        None => (rest, None),
    };
    let variable = variable(name)?;
    let selector = match selector {
        None => Selector::All,
        Some(selector) => self::selector(variable, selector)?,
    };
    Ok(Target {
        what,
        variable,
        selector,
    })
}

/// A variable by its name.
pub(super) fn variable(name: &str) -> Result<Variable, Wrong> {
    match Variable::find(name.trim()) {
        Found::Has(variable) => Ok(variable),
        Found::Refused(why) => Err(Wrong::new(
            format!("the variable {} is refused", quote(name)),
            why,
        )),
        Found::Unknown => Err(Wrong::new(
            format!("unknown variable {}", quote(name)),
            super::nearest(name, VARIABLES),
        )),
    }
}

fn selector(variable: Variable, selector: &str) -> Result<Selector, Wrong> {
    if variable.shape() == Shape::Single {
        return Err(Wrong::new(
            format!("{} has one value, and takes no selector", variable.name()),
            "leave out what follows the colon",
        ));
    }
    if variable == Variable::Xml {
        return match selector {
            "/*" | "//@*" => Ok(Selector::Name(selector.as_bytes().to_vec())),
            _ => Err(Wrong::new(
                format!("the XPath {} is refused", quote(selector)),
                "of XML the selectors /* (all text) and //@* (all attributes) are there",
            )),
        };
    }
    let bare = selector
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
        .unwrap_or(selector);
    if bare.is_empty() {
        return Err(Wrong::new(
            "an empty selector",
            "name a value after the colon",
        ));
    }
    match bare
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix('/'))
    {
        Some(pattern) => Ok(Selector::Pattern(pattern.replace("\\/", "/"))),
        None => Ok(Selector::Name(bare.to_ascii_lowercase().into_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_selectors_counts_and_exclusions() {
        let all =
            targets("REQUEST_COOKIES|!REQUEST_COOKIES:/a|b/|&ARGS:X|XML:/*|TX:'/c,d/'").unwrap();
        let shown: Vec<_> = all
            .iter()
            .map(|target| (target.what, target.variable, target.selector.clone()))
            .collect();
        assert_eq!(
            shown,
            [
                (Look::At, Variable::RequestCookies, Selector::All),
                (
                    Look::Exclude,
                    Variable::RequestCookies,
                    Selector::Pattern("a|b".into())
                ),
                (Look::Count, Variable::Args, Selector::Name(b"x".into())),
                (Look::At, Variable::Xml, Selector::Name(b"/*".into())),
                (Look::At, Variable::Tx, Selector::Pattern("c,d".into())),
            ]
        );
    }

    #[test]
    fn every_wrong_target_is_told() {
        let wrong = targets("ARGZ|ENV:x|REQUEST_URI:x|ARGS").unwrap_err();
        let shown: Vec<_> = wrong
            .iter()
            .map(|(at, wrong)| format!("{at} {wrong}"))
            .collect();
        assert_eq!(
            shown,
            [
                "0 unknown variable \"ARGZ\" (did you mean ARGS?)",
                "5 the variable \"ENV\" is refused (the engine is pure and has no environment)",
                "11 REQUEST_URI has one value, and takes no selector (leave out what follows the colon)",
            ]
        );
    }
}
