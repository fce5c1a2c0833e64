//! XML: the text between tags as one value, and each attribute's value.
//!
//! No entity is ever fetched or expanded beyond the five that XML itself has and numbers. A document type that defines one is told as
//! wrong, since an origin may read there what is written nowhere; values that it gives to attributes are read as theirs, and all else of
//! it is passed over. Tags have to match. So is an encoding in which bytes of ASCII mean anything else (UTF-7, UTF-16, Shift_JIS): what is
//! found here would not be what its reader finds.

use super::Bounds;

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
/// What is wrong with a text whose bytes may be other characters than they look like, wherever that is said.
pub(crate) const ENCODING: &str =
    "the encoding is not UTF-8, ASCII, ISO-8859-1, ISO-8859-15 or windows-1252";
/// What is wrong with one that does not end.
const OPEN: &str = "a document type is never closed";

/// Encodings in which a byte of ASCII is always that character.
const ENCODINGS: [&str; 9] = [
    "utf-8",
    "utf8",
    "us-ascii",
    "ascii",
    "latin1",
    "koi8-r",
    "koi8-u",
    "iso8859-1",
    "iso8859-15",
];
/// And how the names of others begin, with a number behind it.
const FAMILIES: [(&str, std::ops::RangeInclusive<u16>); 3] = [
    ("iso-8859-", 1..=16),
    ("windows-", 1250..=1258),
    ("cp", 1250..=1258),
];
/// What a declaration calls its encoding.
const DECLARED: &[u8] = b"encoding";
/// `<?xm` in EBCDIC, by which some know it (XML 1.0, appendix F).
const EBCDIC: &[u8] = b"\x4c\x6f\xa7\x94";

/// Names of entities that XML has without a document type (XML 1.0 §4.6).
const NAMES: [(&str, char); 5] = [
    ("quot", '"'),
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("apos", '\''),
];

/// Reads a text. What is wrong comes with what was found before.
pub(crate) fn read(text: &[u8], bounds: Bounds) -> (Xml, Result<(), &'static str>) {
    let mut found = Xml::default();
    let done = walk(text, bounds, &mut found);
    // No XML has NUL in it, and all that has more than one byte for a letter of ASCII has: UTF-16, UTF-32.
    if memchr::memchr(0, text).is_some() || text.starts_with(EBCDIC) {
        return (found, Err(ENCODING));
    }
    (found, done)
}

/// Whether a `Content-Type` says that a text has an encoding that is not read here. It goes before what the text says (RFC 7303 §3).
pub(crate) fn has_other_charset(content_type: &[u8]) -> bool {
    let parameters = content_type.split(|byte| matches!(byte, b';' | b','));
    let mut charsets = parameters.skip(1).filter_map(|parameter| {
        let (name, value) = parameter.split_at_checked(memchr::memchr(b'=', parameter)?)?;
        let name = name.trim_ascii();
        let name = name.strip_suffix(b"*").unwrap_or(name);
        name.eq_ignore_ascii_case(b"charset")
            .then(|| bare(value.get(1..).unwrap_or_default()))
    });
    charsets.any(|name| !name.is_empty() && !is_read(name))
}

/// A value without white space and quotes around it.
fn bare(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    match value {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
        _ => value,
    }
}

/// Whether texts of this encoding are read as their reader does.
fn is_read(encoding: &[u8]) -> bool {
    let Ok(encoding) = std::str::from_utf8(encoding).map(str::to_ascii_lowercase) else {
        return false;
    };
    let is_of = |(family, numbers): &(&str, std::ops::RangeInclusive<u16>)| {
        let number = encoding.strip_prefix(family);
        // ISO-8859-12 was never made.
        number.is_some_and(|number| {
            number != "12" && numbers.clone().any(|is| is.to_string() == number)
        })
    };
    ENCODINGS.contains(&&*encoding) || FAMILIES.iter().any(is_of)
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
            let (told, after) = behind(body, b"?>").ok_or("an instruction is never closed")?;
            instruction(told)?;
            after
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

/// Looks at the encoding that `<?xml …?>` declares. It has its place at the begin and stands there once; but wherever it stands, and
/// however often, somebody may believe it.
fn instruction(told: &[u8]) -> Result<(), &'static str> {
    let target = told.iter().take_while(|byte| !byte.is_ascii_whitespace());
    if !begins(told, b"xml") || target.count() != b"xml".len() {
        return Ok(());
    }
    let mut rest = told;
    let is_it = |word: &[u8]| word.eq_ignore_ascii_case(DECLARED);
    while let Some(at) = rest.windows(DECLARED.len()).position(is_it) {
        rest = rest.get(at + DECLARED.len()..).unwrap_or_default();
        let value = rest.trim_ascii_start().strip_prefix(b"=");
        let value = value.unwrap_or_default().trim_ascii_start();
        let Some((quote @ (b'"' | b'\''), value)) = value.split_first() else {
            return Err(ENCODING);
        };
        let name = value.split(|byte| byte == quote).next();
        if !is_read(name.unwrap_or_default()) {
            return Err(ENCODING);
        }
    }
    Ok(())
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
            Some(b'<') if rest.starts_with(b"?") => {
                let (told, after) = behind(rest, b"?>").ok_or(OPEN)?;
                instruction(told.get(1..).unwrap_or_default())?;
                rest = after;
            }
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

/// The five names and numbers, with or without the semicolon; every other entity stays as it is written.
fn decode(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend(before);
        let body = from.get(1..).unwrap_or_default();
        let Some((meant, length)) = reference(body) else {
            out.push(b'&');
            rest = body;
            continue;
        };
        out.extend(meant.encode_utf8(&mut [0; 4]).as_bytes());
        let after = body.get(length..).unwrap_or_default();
        rest = after.strip_prefix(b";").unwrap_or(after);
    }
    out.extend(rest);
}

/// What is meant behind a `&`, and how many bytes that takes without its semicolon.
fn reference(body: &[u8]) -> Option<(char, usize)> {
    if let Some(number) = body.strip_prefix(b"#") {
        let (base, before) = match number.first() {
            Some(b'x' | b'X') => (16, 2),
            _ => (10, 1),
        };
        let digits = number.get(before - 1..)?.iter();
        let (count, value) = digits
            .map_while(|byte| char::from(*byte).to_digit(base))
            .fold((0, 0u32), |(count, value), digit| {
                let value = value.saturating_mul(base).saturating_add(digit);
                (count + 1, value)
            });
        let meant = char::from_u32(value).filter(|_| count > 0)?;
        return Some((meant, before + count));
    }
    let letters = body.iter().take(5);
    let length = letters.take_while(|byte| byte.is_ascii_alphanumeric());
    let length = length.count();
    let name = body.get(..length)?;
    let mut known = NAMES.iter();
    let (_, meant) = known.find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))?;
    Some((*meant, length))
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
    fn entities_that_every_document_has_are_decoded() {
        for (written, meant) in [
            ("1&apos; or &apos;1&apos;=&apos;1", "1' or '1'='1"),
            ("&lt;&gt;&amp;&quot;&apos;", "<>&\"'"),
            ("&#39;&#x27;&#X27;&#0039", "''''"),
            ("&amp;apos;&amp;#39;", "&apos;&#39;"),
            ("&#8217;&#x1F600;", "\u{2019}\u{1f600}"),
            // Nobody knows these, or they are no characters.
            ("&nbsp;&aposs;&x;&;&&#;&#x;", "&nbsp;&aposs;&x;&;&&#;&#x;"),
            ("&#xD800;&#4294967335;", "&#xD800;&#4294967335;"),
        ] {
            let text = format!("<a b=\"{written}\">{written}</a>");
            let (found, done) = read(text.as_bytes(), BOUNDS);
            assert_eq!(done, Ok(()), "{written}");
            assert_eq!(found.text, meant.as_bytes(), "{written}");
            assert_eq!(found.attributes, [meant.as_bytes()], "{written}");
        }
    }

    #[test]
    fn an_encoding_in_which_ascii_is_ascii_is_read() {
        for begin in [
            "<?xml version=\"1.0\"?>",
            "<?xml version='1.0' encoding='utf-8' standalone='yes'?>",
            "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
            "<?xml version=\"1.0\" encoding = \"Iso-8859-15\"?>",
            "<?xml encoding='us-ascii'?>",
            "<?xml\nversion=\"1.0\"\nencoding\n=\n\"windows-1252\"\n?>",
            "<?xml-stylesheet href='a.xsl' encoding='UTF-7'?>",
            "<?xmlx encoding='UTF-7'?>",
            "<!-- <?xml encoding='UTF-7'?> -->",
        ] {
            let text = format!("{begin}<a>+ACc-</a>");
            assert_eq!(read(text.as_bytes(), BOUNDS).1, Ok(()), "{begin}");
        }
    }

    #[test]
    fn any_other_encoding_is_told() {
        for begin in [
            "<?xml version=\"1.0\" encoding=\"UTF-7\"?>",
            "<?xml version='1.0' encoding='utf-7'?>",
            "<?xml version='1.0'\tencoding\r\n=\n'UTF-7' ?>",
            "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-16\"?>",
            " \n<?xml version=\"1.0\" encoding=\"UTF-7\"?>",
            "<!-- a --><?xml version=\"1.0\" encoding=\"UTF-7\"?>",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><?xml version=\"1.0\" encoding=\"UTF-7\"?>",
            "<?xml version=\"1.0\" encoding=\"UTF-8\" encoding=\"UTF-7\"?>",
            "<?XML version=\"1.0\" ENCODING=\"UTF-7\"?>",
            "<?xml version=\"1.0\" encoding=\"Shift_JIS\"?>",
            "<?xml version=\"1.0\" encoding=\"\"?>",
            "<?xml version=\"1.0\" encoding=\"UTF-8 \"?>",
            "<?xml version=\"1.0\" encoding=UTF-7?>",
            "<?xml version=\"1.0\" encoding?>",
            "<!DOCTYPE a [<?xml version=\"1.0\" encoding=\"UTF-7\"?>]>",
            "<?xml version=\"1.0\" encoding=\"UTF-7\"?>+ADwAIQ-DOCTYPE a +AFsAPAAh-ENTITY x 'y'+AD4AXQA+-",
        ] {
            let text = format!("{begin}<a>+ACc-</a>");
            assert_eq!(read(text.as_bytes(), BOUNDS).1, Err(ENCODING), "{begin}");
        }
        let within = b"<a><?xml version='1.0' encoding='UTF-7'?>+ACc-</a>";
        assert_eq!(read(within, BOUNDS).1, Err(ENCODING));
    }

    #[test]
    fn an_encoding_that_is_not_declared_is_known_by_its_bytes() {
        let text = "<?xml version=\"1.0\"?><a b=\"'\">'</a>";
        let wide = |mark: &[u8], of: fn(u16) -> [u8; 2]| -> Vec<u8> {
            let units = text.encode_utf16().flat_map(of);
            mark.iter().copied().chain(units).collect()
        };
        for mark in [&b""[..], b"\xff\xfe"] {
            let little = wide(mark, u16::to_le_bytes);
            assert_eq!(read(&little, BOUNDS).1, Err(ENCODING));
        }
        for mark in [&b""[..], b"\xfe\xff"] {
            let big = wide(mark, u16::to_be_bytes);
            assert_eq!(read(&big, BOUNDS).1, Err(ENCODING));
        }
        let ebcdic = b"\x4c\x6f\xa7\x94\x93\x40\xa5\x85\x99\xa2\x89\x96\x95";
        assert_eq!(read(ebcdic, BOUNDS).1, Err(ENCODING));
        assert_eq!(read(b"<a>\0</a>", BOUNDS).1, Err(ENCODING));
    }

    #[test]
    fn a_charset_of_the_content_type_is_looked_at() {
        for kind in [
            "text/xml",
            "application/xml; charset=utf-8",
            "application/xml;charset=\"UTF-8\" ; a=utf-7",
            "application/soap+xml; charset='iso-8859-1'; action=\"a\"",
            "text/xml; charset=",
        ] {
            assert!(!has_other_charset(kind.as_bytes()), "{kind}");
        }
        for kind in [
            "application/xml; charset=utf-7",
            "application/xml;CHARSET = \"UTF-7\"",
            "application/xml; charset=utf-8; charset=utf-7",
            "application/xml; charset=utf-8, text/xml; charset=utf-7",
            "text/xml; charset*=utf-8''utf-7",
            "text/xml; charset=\"utf-8",
        ] {
            assert!(has_other_charset(kind.as_bytes()), "{kind}");
        }
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
