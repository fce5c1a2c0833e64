//! Single values: what they are called, whether they are text that we take, numbers and words that we know.

use std::net::SocketAddr;

use toml::de::{DeInteger, DeValue};

use crate::limits::Limits;
use crate::problem::{Wrong, quote};
use crate::suggest;

/// An address to listen at.
pub(super) fn address(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse().map_err(|_| {
        let port = text
            .strip_prefix(':')
            .or_else(|| text.strip_prefix("*:"))
            .unwrap_or(text);
        let help = match port.parse::<u16>() {
            Ok(port) => format!("write \"0.0.0.0:{port}\""),
            Err(_) => "write address and port, such as \"0.0.0.0:8080\" or \"[::]:8080\"".into(),
        };
        Wrong::new(format!("{} is no address to listen at", quote(text)), help)
    })
}

/// A whole number that is not negative.
pub(super) fn whole(integer: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// The word of `words` that `text` is.
pub(super) fn one_of(text: &str, words: &[&'static str]) -> Result<&'static str, Wrong> {
    if let Some(word) = words.iter().find(|word| **word == text) {
        return Ok(word);
    }
    let help = match suggest::nearest(text, words.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("one of \"{}\"", words.join("\", \"")),
    };
    Err(Wrong::new(
        format!("{} is none of the known words", quote(text)),
        help,
    ))
}

/// Says that a value is out of bounds, and which they are.
pub(super) fn out_of_bounds(
    shown: &str,
    least: impl std::fmt::Display,
    most: impl std::fmt::Display,
) -> Wrong {
    let help = format!("{least} to {most}");
    Wrong::new(format!("{shown} is out of bounds"), help)
}

/// Refuses what no value needs and what would break lines of logs.
pub(super) fn check_text(text: &str, limits: &Limits) -> Result<(), Wrong> {
    check_length(text, limits.text_bytes)?;
    check_controls(text, &['\t'])
}

/// As [`check_text`], for text that may have several lines.
pub(super) fn check_lines(text: &str, most: usize) -> Result<(), Wrong> {
    check_length(text, most)?;
    check_controls(text, &['\t', '\r', '\n'])
}

fn check_length(text: &str, most: usize) -> Result<(), Wrong> {
    if text.len() > most {
        let help = format!("at most {most} bytes");
        return Err(Wrong::new(format!("is {} bytes long", text.len()), help));
    }
    Ok(())
}

fn check_controls(text: &str, allowed: &[char]) -> Result<(), Wrong> {
    if text
        .chars()
        .any(|c| c.is_control() && !allowed.contains(&c))
    {
        return Err(Wrong::new(
            format!("{} has control characters", quote(text)),
            "leave them out",
        ));
    }
    Ok(())
}

/// Text for people: at most `most` characters, all of them visible, none that changes the order of others or has no width.
pub(super) fn printable(text: &str, most: usize) -> Result<String, Wrong> {
    let unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if text.chars().any(unseen) {
        let what = format!("{} has characters that cannot be seen", quote(text));
        return Err(Wrong::new(what, "leave them out"));
    }
    if text.trim() != text {
        let what = format!("{} has white space around it", quote(text));
        return Err(Wrong::new(what, "leave it out"));
    }
    let length = text.chars().count();
    if length > most {
        let what = format!("is {length} characters long");
        return Err(Wrong::new(what, format!("at most {most}")));
    }
    Ok(text.to_owned())
}

/// A value in a few words.
pub(super) fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quote(text),
        DeValue::Integer(integer) => clipped(integer.to_string()),
        DeValue::Float(float) => clipped(float.to_string()),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "this".into(),
        DeValue::Table(_) => "this".into(),
    }
}

fn clipped(text: String) -> String {
    match text.split_at_checked(32) {
        Some((head, rest)) if !rest.is_empty() => format!("{head}…"),
        _ => text,
    }
}

/// The kind of a value, in words that follow "is".
pub(super) fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
