//! Whether tags, attributes or comments of a text would run script, in any of the places where the text could stand.

use super::html::{Begins, Kind, Tokens};

/// What an attribute's value may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Harmless,
    Banned,
    Url,
    /// Its value is the name of an attribute.
    Name,
}

/// Whether a text is an injection into HTML.
pub(crate) fn xss(text: &[u8]) -> bool {
    let begins = [
        Begins::Data,
        Begins::NoQuote,
        Begins::Quote(b'\''),
        Begins::Quote(b'"'),
        Begins::Quote(b'`'),
    ];
    begins.into_iter().any(|begins| within(text, begins))
}

fn within(text: &[u8], begins: Begins) -> bool {
    let mut tokens = Tokens::new(text, begins);
    let mut attribute = Attribute::Harmless;
    while let Some((kind, begin, end)) = tokens.next() {
        let said = text.get(begin..end).unwrap_or_default();
        let now = std::mem::replace(&mut attribute, Attribute::Harmless);
        let runs = match kind {
            Kind::DocumentType => true,
            Kind::TagOpen => is_banned_tag(said),
            Kind::AttributeName => {
                attribute = attribute_of(text, begin, end);
                false
            }
            Kind::AttributeValue => match now {
                Attribute::Harmless => false,
                Attribute::Banned => true,
                Attribute::Url => is_banned_url(said),
                Attribute::Name => attribute_of(text, begin, end) != Attribute::Harmless,
            },
            Kind::Comment => is_banned_comment(said),
            Kind::Text | Kind::TagEnd => false,
        };
        if runs {
            return true;
        }
    }
    false
}

/// Whether the bytes say this word, in any case, NULs aside.
fn says(word: &[u8], bytes: &[u8]) -> bool {
    let mut letters = word.iter();
    for byte in bytes.iter().filter(|byte| **byte != 0) {
        if letters.next() != Some(&byte.to_ascii_uppercase()) {
            return false;
        }
    }
    letters.next().is_none()
}

fn begins_with(word: &[u8], bytes: &[u8]) -> bool {
    bytes
        .get(..word.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(word))
}

fn is_banned_tag(name: &[u8]) -> bool {
    const TAGS: [&[u8]; 20] = [
        b"APPLET",
        b"BASE",
        b"COMMENT",
        b"EMBED",
        b"FRAME",
        b"FRAMESET",
        b"HANDLER",
        b"IFRAME",
        b"IMPORT",
        b"ISINDEX",
        b"LINK",
        b"LISTENER",
        b"META",
        b"NOSCRIPT",
        b"OBJECT",
        b"SCRIPT",
        b"STYLE",
        b"VMLFRAME",
        b"XML",
        b"XSS",
    ];
    name.len() >= 3
        && (TAGS.iter().any(|tag| says(tag, name))
            || begins_with(b"SVG", name)
            || begins_with(b"XSL", name))
}

/// What the attribute of this name does.
fn attribute_of(text: &[u8], begin: usize, end: usize) -> Attribute {
    let name = text.get(begin..end).unwrap_or_default();
    if name.len() < 2 {
        return Attribute::Harmless;
    }
    // A handler is known by its begin, whatever follows.
    let from = text.get(begin..).unwrap_or_default();
    if begins_with(b"ON", name)
        && EVENTS
            .iter()
            .any(|event| begins_with(event, from.get(2..).unwrap_or_default()))
    {
        return Attribute::Banned;
    }
    if name.len() >= 5 {
        let five = name.get(..5).unwrap_or_default();
        if says(b"XMLNS", five) || says(b"XLINK", five) {
            return Attribute::Banned;
        }
    }
    ATTRIBUTES
        .iter()
        .find(|(known, _)| says(known, name))
        .map_or(Attribute::Harmless, |(_, attribute)| *attribute)
}

const ATTRIBUTES: [(&[u8], Attribute); 20] = [
    (b"ACTION", Attribute::Url),
    (b"ATTRIBUTENAME", Attribute::Name),
    (b"BY", Attribute::Url),
    (b"BACKGROUND", Attribute::Url),
    (b"DATAFORMATAS", Attribute::Banned),
    (b"DATASRC", Attribute::Banned),
    (b"DYNSRC", Attribute::Url),
    (b"FILTER", Attribute::Banned),
    (b"FORMACTION", Attribute::Url),
    (b"FOLDER", Attribute::Url),
    (b"FROM", Attribute::Url),
    (b"HANDLER", Attribute::Url),
    (b"HREF", Attribute::Url),
    (b"LOWSRC", Attribute::Url),
    (b"POSTER", Attribute::Url),
    (b"SRC", Attribute::Url),
    (b"STYLE", Attribute::Banned),
    (b"TO", Attribute::Url),
    (b"VALUES", Attribute::Url),
    (b"XLINK:HREF", Attribute::Url),
];

/// Handlers, without their `on`.
const EVENTS: &[&[u8]] = &[
    b"START",
    b"ERROR",
    b"CLICK",
    b"MOUSEDOWN",
    b"MOUSEENTER",
    b"MOUSELEAVE",
    b"MOUSEMOVE",
    b"MOUSEOUT",
    b"MOUSEOVER",
    b"MOUSEUP",
    b"MOUSEWHEEL",
    b"PROPERTYCHANGE",
    b"FORMCHANGE",
    b"FORMINPUT",
    b"ABORT",
    b"READYSTATECHANGE",
    b"ACTIVATE",
    b"BEFOREACTIVATE",
    b"AFTERPRINT",
    b"BEFOREPRINT",
    b"BEFOREUNLOAD",
    b"BLUR",
    b"CANPLAY",
    b"CHANGE",
    b"CONTEXTMENU",
    b"COPY",
    b"CUT",
    b"DBLCLICK",
    b"DRAG",
    b"DROP",
    b"DURATIONCHANGE",
    b"EMPTIED",
    b"ENDED",
    b"FOCUS",
    b"HASHCHANGE",
    b"INPUT",
    b"INVALID",
    b"KEYDOWN",
    b"KEYPRESS",
    b"KEYUP",
    b"LOAD",
    b"MESSAGE",
    b"OFFLINE",
    b"ONLINE",
    b"OPEN",
    b"PAGEHIDE",
    b"PAGESHOW",
    b"PASTE",
    b"PAUSE",
    b"PLAY",
    b"POPSTATE",
    b"PROGRESS",
    b"RATECHANGE",
    b"RESET",
    b"RESIZE",
    b"SCROLL",
    b"SEARCH",
    b"SEEKED",
    b"SEEKING",
    b"SELECT",
    b"SHOW",
    b"STALLED",
    b"STORAGE",
    b"SUBMIT",
    b"SUSPEND",
    b"TIMEUPDATE",
    b"TOGGLE",
    b"TOUCHCANCEL",
    b"TOUCHEND",
    b"TOUCHMOVE",
    b"TOUCHSTART",
    b"UNLOAD",
    b"VOLUMECHANGE",
    b"WAITING",
    b"WHEEL",
];

fn is_banned_url(value: &[u8]) -> bool {
    let skipped = value
        .iter()
        .take_while(|byte| **byte <= 32 || **byte >= 127)
        .count();
    let value = value.get(skipped..).unwrap_or_default();
    [&b"DATA"[..], b"VIEW-SOURCE", b"JAVA", b"VBSCRIPT"]
        .iter()
        .any(|scheme| decoded_begins_with(scheme, value))
}

/// Whether a value, its numeric entities decoded, begins with this; white space before it, NULs and line ends within count for
/// nothing.
fn decoded_begins_with(word: &[u8], value: &[u8]) -> bool {
    let mut letters = word.iter().peekable();
    let (mut rest, mut first) = (value, true);
    while !rest.is_empty() {
        let Some(letter) = letters.peek() else {
            return true;
        };
        let (code, length) = code_at(rest);
        rest = rest.get(length..).unwrap_or_default();
        if first && code <= 32 {
            continue;
        }
        first = false;
        if code == 0 || code == 10 {
            continue;
        }
        let upper = if (97..=122).contains(&code) {
            code - 32
        } else {
            code
        };
        // The original compares bytes.
        if **letter != upper as u8 {
            return false;
        }
        letters.next();
    }
    letters.peek().is_none()
}

/// The character at the begin, and how many bytes it takes.
fn code_at(text: &[u8]) -> (u32, usize) {
    const GREATEST: u32 = 0x10_00ff;
    let first = text.first().copied().unwrap_or(0);
    let Some(number) = text.strip_prefix(b"&#") else {
        return (u32::from(first), 1);
    };
    let (base, before) = match number.first() {
        Some(b'x' | b'X') => (16, 3),
        _ => (10, 2),
    };
    let digits = text.get(before..).unwrap_or_default();
    let (mut value, mut count) = (0u32, 0);
    for digit in digits
        .iter()
        .map_while(|byte| char::from(*byte).to_digit(base))
    {
        value = value * base + digit;
        count += 1;
        if value > GREATEST {
            return (u32::from(b'&'), 1);
        }
    }
    if count == 0 {
        return (u32::from(b'&'), 1);
    }
    let ends = usize::from(digits.get(count) == Some(&b';'));
    (value, before + count + ends)
}

/// What Internet Explorer runs: a backtick that ends a tag, conditional comments, processing instructions, entities.
fn is_banned_comment(comment: &[u8]) -> bool {
    if memchr::memchr(b'`', comment).is_some() {
        return true;
    }
    if comment.len() > 3 && (begins_with(b"[IF", comment) || begins_with(b"XML", comment)) {
        return true;
    }
    let six = comment.get(..6).unwrap_or_default();
    says(b"IMPORT", six) || says(b"ENTITY", six)
}
