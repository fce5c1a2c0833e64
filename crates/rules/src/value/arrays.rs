//! Several texts: lines of a header, arguments, cookies, pieces of a text. They are never put together in memory: whoever asks gets
//! one after the other.

use seawall_model::{FieldId, Fields, Fuel, RequestView, Spent};

use super::{COPIED, Read, Seen, Text};
use crate::decode;
use crate::scratch::Scratch;

/// The name of a header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Header {
    name: Box<[u8]>,
    id: FieldId,
}

/// Texts by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Map {
    Headers,
    Arguments,
    Cookies,
}

/// Several texts, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Array {
    Lines(Header),
    LineNames,
    LineValues,
    /// Values of the arguments with this name, as sent.
    Arguments(Box<[u8]>),
    ArgumentNames,
    ArgumentValues,
    /// Values of the cookies with this name, as sent.
    Cookies(Box<[u8]>),
    CookieNames,
    CookieValues,
    /// Pieces of a text between separators; so many at most, of which the last is the rest.
    Pieces(Text, Box<[u8]>, u16),
}

/// What is asked of each element: whether to go on.
pub(crate) type Ask<'a> = &'a mut dyn FnMut(&[u8], &mut Fuel) -> Result<bool, Spent>;

/// What a name and its value cost, beside what is done with them.
const PAIR: u64 = 8;
/// Bytes for one unit where separators are looked for.
const FOUND: u64 = 24;

impl Header {
    pub(crate) fn new(name: &[u8]) -> Self {
        Self {
            name: name.into(),
            id: FieldId::of(name),
        }
    }

    /// Lines of this name never reach an origin, and so they do not reach rules either: they are not the client's to send
    /// (`Seawall-…`, `Cf-Access-…`), or pass for another name (`Content_Length`).
    pub(crate) const fn is_ours(&self) -> bool {
        is_ours(self.id)
    }

    /// Pays for looking for the lines.
    fn pay(&self, fields: &Fields, fuel: &mut Fuel) -> Result<(), Spent> {
        match self.id {
            FieldId::Other => fuel.spend(5 + fields.len() as u64 * 3 / 2),
            id if fields.has(id) => fuel.spend(5 + fields.len() as u64 / 3),
            _ => fuel.spend(5),
        }
    }

    /// All lines of this name, in any case.
    fn lines<'v>(&self, fields: &'v Fields) -> impl Iterator<Item = &'v [u8]> {
        let known = (self.id != FieldId::Other).then(|| fields.all(self.id));
        let named = (self.id == FieldId::Other).then(|| {
            fields
                .iter()
                .filter(|field| {
                    field.id == FieldId::Other && field.name.eq_ignore_ascii_case(&self.name)
                })
                .map(|field| field.value)
        });
        known
            .into_iter()
            .flatten()
            .chain(named.into_iter().flatten())
    }
}

const fn is_ours(id: FieldId) -> bool {
    matches!(
        id,
        FieldId::Shadow | FieldId::Removed | FieldId::Seawall | FieldId::CfAccess
    )
}

impl Map {
    /// What has this name.
    pub(crate) fn named(self, name: &[u8]) -> Array {
        match self {
            Self::Headers => Array::Lines(Header::new(name)),
            Self::Arguments => Array::Arguments(name.into()),
            Self::Cookies => Array::Cookies(name.into()),
        }
    }
}

impl Array {
    /// Asks each element, until somebody says no.
    pub(crate) fn each(&self, seen: Seen<'_>, fuel: &mut Fuel, ask: Ask<'_>) -> Result<(), Spent> {
        let fields = &seen.view.head.fields;
        match self {
            Self::Lines(header) => {
                header.pay(fields, fuel)?;
                every(header.lines(fields), fuel, ask)
            }
            Self::LineNames | Self::LineValues => {
                fuel.spend(5 + fields.len() as u64)?;
                let theirs = fields.iter().filter(|field| !is_ours(field.id));
                let names = *self == Self::LineNames;
                let texts = theirs.map(|field| if names { field.name } else { field.value });
                every(texts, fuel, ask)
            }
            Self::Arguments(wanted) => arguments(seen.view, fuel, &mut |name, value, fuel| {
                if decode::is_query_name(name, wanted, fuel)? {
                    return ask(value, fuel);
                }
                Ok(true)
            }),
            Self::ArgumentNames => arguments(seen.view, fuel, &mut |name, _, fuel| ask(name, fuel)),
            Self::ArgumentValues => {
                arguments(seen.view, fuel, &mut |_, value, fuel| ask(value, fuel))
            }
            Self::Cookies(wanted) => cookies(seen.view, fuel, &mut |name, value, fuel| {
                if decode::is_query_name(name, wanted, fuel)? {
                    return ask(value, fuel);
                }
                Ok(true)
            }),
            Self::CookieNames => cookies(seen.view, fuel, &mut |name, _, fuel| ask(name, fuel)),
            Self::CookieValues => cookies(seen.view, fuel, &mut |_, value, fuel| ask(value, fuel)),
            Self::Pieces(text, between, most) => {
                let Some(read) = text.value(seen, fuel)? else {
                    return Ok(());
                };
                pieces(read.bytes(), between, *most, fuel, ask)
            }
        }
    }

    /// The n-th, counted from 0.
    pub(crate) fn item<'v>(
        &self,
        nth: u16,
        seen: Seen<'v>,
        fuel: &mut Fuel,
    ) -> Result<Option<Read<'v>>, Spent> {
        if let Self::Lines(header) = self {
            let fields = &seen.view.head.fields;
            header.pay(fields, fuel)?;
            return Ok(header.lines(fields).nth(nth.into()).map(Read::There));
        }
        let (mut found, mut left) = (None, nth);
        self.each(seen, fuel, &mut |text, fuel| {
            if left > 0 {
                left -= 1;
                return Ok(true);
            }
            fuel.spend(10 + text.len() as u64 / COPIED)?;
            let mut scratch = Scratch::new();
            scratch.out().extend_from_slice(text);
            found = Some(Read::Made(scratch));
            Ok(false)
        })?;
        Ok(found)
    }

    /// How many there are; none where the text that they are of is not there.
    pub(crate) fn count(&self, seen: Seen<'_>, fuel: &mut Fuel) -> Result<i64, Spent> {
        let mut count = 0;
        self.each(seen, fuel, &mut |_, _| {
            count += 1;
            Ok(true)
        })?;
        Ok(count)
    }

    /// Whether there is any.
    pub(crate) fn is_any(&self, seen: Seen<'_>, fuel: &mut Fuel) -> Result<bool, Spent> {
        let mut any = false;
        self.each(seen, fuel, &mut |_, _| {
            any = true;
            Ok(false)
        })?;
        Ok(any)
    }
}

fn every<'v>(
    texts: impl Iterator<Item = &'v [u8]>,
    fuel: &mut Fuel,
    ask: Ask<'_>,
) -> Result<(), Spent> {
    for text in texts {
        if !ask(text, fuel)? {
            break;
        }
    }
    Ok(())
}

type AskPair<'a> = &'a mut dyn FnMut(&[u8], &[u8], &mut Fuel) -> Result<bool, Spent>;

/// `name=value` between `&`; a piece without `=` is a name, an empty one is nothing.
fn arguments(view: &RequestView<'_>, fuel: &mut Fuel, ask: AskPair<'_>) -> Result<(), Spent> {
    fuel.spend_bytes(view.head.target().len(), FOUND)?;
    pairs(view.query(), b'&', fuel, ask).map(drop)
}

/// The same of all lines of `Cookie`, between `;`.
fn cookies(view: &RequestView<'_>, fuel: &mut Fuel, ask: AskPair<'_>) -> Result<(), Spent> {
    let fields = &view.head.fields;
    fuel.spend(5 + fields.len() as u64 / 3)?;
    for line in fields.all(FieldId::Cookie) {
        fuel.spend_bytes(line.len(), FOUND)?;
        if !pairs(line, b';', fuel, ask)? {
            break;
        }
    }
    Ok(())
}

fn pairs(all: &[u8], between: u8, fuel: &mut Fuel, ask: AskPair<'_>) -> Result<bool, Spent> {
    for pair in all.split(|byte| *byte == between) {
        fuel.spend(PAIR + pair.len() as u64 / 8)?;
        let pair = pair.trim_ascii();
        if pair.is_empty() {
            continue;
        }
        let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let (name, value) = pair.split_at_checked(at).unwrap_or((pair, b""));
        if !ask(name, value.get(1..).unwrap_or_default(), fuel)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn pieces(
    text: &[u8],
    between: &[u8],
    most: u16,
    fuel: &mut Fuel,
    ask: Ask<'_>,
) -> Result<(), Spent> {
    fuel.spend(20 + text.len() as u64 / 4)?;
    let mut rest = text;
    for nth in 1..=most {
        fuel.spend(20)?;
        let found = (nth < most).then(|| memchr::memmem::find(rest, between));
        let Some(at) = found.flatten() else {
            ask(rest, fuel)?;
            break;
        };
        if !ask(rest.get(..at).unwrap_or_default(), fuel)? {
            break;
        }
        rest = rest.get(at + between.len()..).unwrap_or_default();
    }
    Ok(())
}
