//! XML: the text between tags as one value, and each attribute's value.
//!
//! No entity is ever fetched or expanded beyond the five that XML itself has and numbers. A document type that defines one is told as
//! wrong, since an origin may read there what is written nowhere; values that it gives to attributes are read as theirs, and all else of
//! it is passed over. Tags have to match.

use super::Bounds;
use crate::transform::{Transformation, apply};

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Xml {
    /// All text, in its order.
    pub(crate) text: Vec<u8>,
    /// The values of all attributes.
    pub(crate) attributes: Vec<Vec<u8>>,
}

/// What is wrong with a document type that has an entity of its own, wherever that one lies.
pub(crate) const ENTITIES: &str = "a document type defines entities";
/// What is wrong with one that does not end.
const OPEN: &str = "a document type is never closed";

/// Reads a text. What is wrong comes with what was found before.
pub(crate) fn read(text: &[u8], bounds: Bounds) -> (Xml, Result<(), &'static str>) {
    let mut found = Xml::default();
    let done = walk(text, bounds, &mut found);
    (found, done)
}

fn walk<'t>(text: &'t [u8], bounds: Bounds, found: &mut Xml) -> Result<(), &'static str> {
    let mut open: Vec<&'t [u8]> = Vec::new();
    let (mut rest, mut seen, mut tags) = (text, false, 0usize);
    loop {
        let at = memchr::memchr(b'<', rest).unwrap_or(rest.len());
        let (between, from) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        if !open.is_empty() {
            decode(between, &mut found.text);
        } else if !between.trim_ascii().is_empty() && !is_mark(between) {
            found.text.extend(between);
            return Err("text outside of the document's element");
        }
        if from.is_empty() {
            break;
        }
        tags += 1;
        if tags > bounds.count {
            return Err("too many tags");
        }
        rest = if let Some(body) = from.strip_prefix(b"<!--") {
            behind(body, b"-->").ok_or("a comment is never closed")?.1
        } else if let Some(body) = from.strip_prefix(b"<![CDATA[") {
            let (data, after) = behind(body, b"]]>").ok_or("CDATA is never closed")?;
            found.text.extend(data);
            after
        } else if let Some(body) = from.strip_prefix(b"<?") {
            behind(body, b"?>")
                .ok_or("an instruction is never closed")?
                .1
        } else if let Some(body) = from.strip_prefix(b"<!") {
            document_type(body, bounds, found)?
        } else if let Some(body) = from.strip_prefix(b"</") {
            let (name, after) = behind(body, b">").ok_or("a tag is never closed")?;
            if open.pop() != Some(name.trim_ascii_end()) {
                return Err("tags do not match");
            }
            after
        } else {
            if open.is_empty() && seen {
                return Err("more than one element");
            }
            seen = true;
            let (name, empty, after) = tag(from.get(1..).unwrap_or_default(), bounds, found)?;
            if !empty {
                if open.len() >= bounds.depth {
                    return Err("elements within elements, too deep");
                }
                open.push(name);
            }
            after
        };
    }
    match (open.is_empty(), seen) {
        (true, true) => Ok(()),
        (false, _) => Err("an element is never closed"),
        _ => Err("no element"),
    }
}

/// UTF-8's mark at the begin.
fn is_mark(text: &[u8]) -> bool {
    text.trim_ascii() == b"\xef\xbb\xbf"
}

/// What stands before the end, and what behind.
fn behind<'t>(text: &'t [u8], end: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let at = memchr::memmem::find(text, end)?;
    Some((text.get(..at)?, text.get(at + end.len()..)?))
}

/// Passes a document type over, and reads what stands in quotes within its brackets: values of attributes that name none.
fn document_type<'t>(
    body: &'t [u8],
    bounds: Bounds,
    found: &mut Xml,
) -> Result<&'t [u8], &'static str> {
    if !begins(body, b"DOCTYPE") {
        return Err("a declaration outside of a document type");
    }
    let (mut rest, mut is_inner) = (body, false);
    loop {
        let at = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\'' | b'[' | b']' | b'<' | b'>'))
            .ok_or(OPEN)?;
        let from = rest.get(at..).unwrap_or_default();
        rest = from.get(1..).unwrap_or_default();
        match from.first() {
            Some(quote @ (b'"' | b'\'')) => {
                let (value, after) = behind(rest, &[*quote]).ok_or(OPEN)?;
                if is_inner {
                    attribute(value, bounds, found)?;
                }
                rest = after;
            }
            Some(b'[') => is_inner = true,
            Some(b']') => is_inner = false,
            Some(b'>') if !is_inner => return Ok(rest),
            Some(b'<') if rest.starts_with(b"!--") => {
                let comment = rest.get(3..).unwrap_or_default();
                rest = behind(comment, b"-->").ok_or(OPEN)?.1;
            }
            Some(b'<') if rest.starts_with(b"?") => rest = behind(rest, b"?>").ok_or(OPEN)?.1,
            Some(b'<') if begins(rest, b"!ENTITY") => return Err(ENTITIES),
            _ => {}
        }
    }
}

/// Whether a text begins with a word, in large or small letters.
fn begins(text: &[u8], word: &[u8]) -> bool {
    let begin = text.get(..word.len());
    begin.is_some_and(|begin| begin.eq_ignore_ascii_case(word))
}

/// Takes the value of an attribute in.
fn attribute(value: &[u8], bounds: Bounds, found: &mut Xml) -> Result<(), &'static str> {
    if found.attributes.len() >= bounds.count {
        return Err("too many attributes");
    }
    let mut decoded = Vec::new();
    decode(value, &mut decoded);
    found.attributes.push(decoded);
    Ok(())
}

/// The name of a tag, whether it closes itself, and what is behind it.
fn tag<'t>(
    body: &'t [u8],
    bounds: Bounds,
    found: &mut Xml,
) -> Result<(&'t [u8], bool, &'t [u8]), &'static str> {
    let length = body
        .iter()
        .take_while(|byte| {
            !matches!(byte, b'>' | b'/' | b'=' | b'<' | b'"' | b'\'') && !byte.is_ascii_whitespace()
        })
        .count();
    let (name, mut rest) = body.split_at_checked(length).ok_or("a tag has no name")?;
    if name.is_empty() {
        return Err("a tag has no name");
    }
    loop {
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(b">") {
            return Ok((name, false, after));
        }
        if let Some(after) = rest.strip_prefix(b"/>") {
            return Ok((name, true, after));
        }
        let at = rest
            .iter()
            .position(|byte| matches!(byte, b'=' | b'>' | b'<'))
            .ok_or("a tag is never closed")?;
        if rest.get(at) != Some(&b'=') || at == 0 {
            return Err("an attribute without a value");
        }
        let value = rest.get(at + 1..).unwrap_or_default().trim_ascii_start();
        let Some((quote @ (b'"' | b'\''), value)) = value.split_first() else {
            return Err("an attribute's value without quotes");
        };
        let end = memchr::memchr(*quote, value).ok_or("an attribute's value is never closed")?;
        attribute(value.get(..end).unwrap_or_default(), bounds, found)?;
        rest = value.get(end + 1..).unwrap_or_default();
    }
}

/// The five names and numbers; every other entity stays as it is written.
fn decode(text: &[u8], out: &mut Vec<u8>) {
    if memchr::memchr(b'&', text).is_none() || !apply(Transformation::HtmlEntityDecode, text, out) {
        out.extend(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        count: 20,
        depth: 3,
        files: 0,
    };

    #[test]
    fn text_and_attributes_are_found() {
        let (found, done) = read(
            b"<?xml version=\"1.0\"?><!DOCTYPE a>\
              <a b='1 &lt;' c=\"2\">t<!-- no --><d/>&x;<![CDATA[<u>]]></a>\n",
            BOUNDS,
        );
        assert_eq!(done, Ok(()));
        assert_eq!(found.text, b"t&x;<u>");
        assert_eq!(found.attributes, [b"1 <".to_vec(), b"2".to_vec()]);
    }

    #[test]
    fn a_document_type_defines_no_entity() {
        for inner in [
            "<!ENTITY x \"1' or '1'='1\">",
            "<!ENTITY x SYSTEM 'file:///etc/passwd'>",
            "<!ENTITY x PUBLIC 'a' 'http://a.test/x'>",
            "<!ENTITY % x SYSTEM 'http://a.test/x'> %x;",
            "<!-- it's ]> --><!ENTITY x 'y'>",
            "<?a it's ]> ?><!ENTITY x 'y'>",
            "<!ATTLIST a b CDATA ']>'><!ENTITY x 'y'>",
        ] {
            let text = format!("<!DOCTYPE a [{inner}]><a>&x;</a>");
            assert_eq!(read(text.as_bytes(), BOUNDS).1, Err(ENTITIES), "{text}");
        }
        let bare = read(b"<!ENTITY x 'y'><a>&x;</a>", BOUNDS);
        assert!(bare.1.is_err());
    }

    #[test]
    fn a_document_type_without_entities_is_fine() {
        for begin in [
            "<!DOCTYPE html>",
            "<!doctype html>",
            "<!DOCTYPE a SYSTEM \"a>.dtd\">",
            "<!DOCTYPE a PUBLIC '-//A//B' 'http://a.test/a.dtd' [ ] >",
            "<!DOCTYPE a [<!ELEMENT a (#PCDATA)> <!-- <!ENTITY x 'y'> -->]>",
        ] {
            let (found, done) = read(format!("{begin}<a>t</a>").as_bytes(), BOUNDS);
            assert_eq!(done, Ok(()), "{begin}");
            assert_eq!(
                (found.text.as_slice(), found.attributes.len()),
                (&b"t"[..], 0)
            );
        }
        // Who reads it takes this for `<a b="1 &lt; 2">`.
        let text = b"<!DOCTYPE a [<!ATTLIST a b CDATA '1 &lt; 2'>]><a/>";
        let (found, done) = read(text, BOUNDS);
        assert_eq!((done, found.attributes), (Ok(()), vec![b"1 < 2".to_vec()]));
    }

    #[test]
    fn wrong_texts_are_told() {
        for text in [
            "",
            "a",
            "<a>",
            "<a></b>",
            "<a b></a>",
            "<a b=c></a>",
            "<a/><b/>",
            "<a/>x",
            "<",
            "<a",
            "<a b='",
            "<!-- ",
            "<a><a><a><a/></a></a></a><",
            "<a><a><a><a></a></a></a></a>",
            "<![CDATA[",
            "<!x><a/>",
            "<!DOCTYPE a",
            "<!DOCTYPE a [>",
            "<!DOCTYPE a '>",
            "<!DOCTYPE a [<!-- ]><a/>",
            "</a>",
            "<>",
        ] {
            assert!(read(text.as_bytes(), BOUNDS).1.is_err(), "{text}");
        }
    }
}
