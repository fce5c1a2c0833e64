//! That the tables are consistent.

use super::*;

#[test]
fn names_are_told_apart() {
    let mut names: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
    names.extend(FUNCTIONS.iter().map(|function| function.name));
    names.extend(OPERATORS.iter().map(|operator| operator.name));
    names.extend(OPERATORS.iter().filter_map(|operator| operator.symbol));
    names.extend(REFUSED_FIELDS.iter().map(|refusal| refusal.name));
    names.extend(REFUSED_FUNCTIONS.iter().map(|refusal| refusal.name));
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn a_symbol_that_begins_another_comes_behind_it() {
    let symbols: Vec<&str> = OPERATORS
        .iter()
        .filter_map(|operator| operator.symbol)
        .collect();
    for (nth, symbol) in symbols.iter().enumerate() {
        let before = &symbols[..nth];
        assert!(
            !before.iter().any(|other| symbol.starts_with(other)),
            "{symbol}"
        );
    }
}

#[test]
fn every_refusal_is_the_one_that_is_found() {
    for (nth, refusal) in REFUSED_FIELDS.iter().enumerate() {
        let name = match refusal.name.strip_suffix(['.', '_']) {
            Some(_) => format!("{}x", refusal.name),
            None => refusal.name.to_owned(),
        };
        let before = &REFUSED_FIELDS[..nth];
        let hides =
            |other: &Refusal| other.name.ends_with(['.', '_']) && name.starts_with(other.name);
        assert!(!before.iter().any(hides), "{name}");
        assert_eq!(refused_field(&name), Some(refusal.instead));
        assert!(field(&name).is_none(), "{name} is refused and known");
    }
}
