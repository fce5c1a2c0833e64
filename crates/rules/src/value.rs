//! What a comparison looks at: texts, numbers, addresses, yes or no, as a request has them.
//!
//! Reading one allocates nothing: a text is a piece of the request, or is made in the thread's [`Scratch`]. What it costs is paid
//! before. A further function that gives a value is a further variant here.

use seawall_model::{FieldId, Fields, Fuel, RequestView, Spent};

use crate::scratch::Scratch;

/// In which case a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    AsSent,
    Lower,
    Upper,
}

impl Case {
    /// A byte in this case.
    #[inline]
    pub(crate) const fn of(self, byte: u8) -> u8 {
        match self {
            Self::AsSent => byte,
            Self::Lower => byte.to_ascii_lowercase(),
            Self::Upper => byte.to_ascii_uppercase(),
        }
    }

    /// Puts bytes into this case.
    pub(crate) const fn apply(self, bytes: &mut [u8]) {
        match self {
            Self::AsSent => {}
            Self::Lower => bytes.make_ascii_lowercase(),
            Self::Upper => bytes.make_ascii_uppercase(),
        }
    }
}

/// Where a text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Plain(Plain),
    /// The n-th line of a header, counted from 0.
    Line(Header, u16),
    /// Each line of a header, one after the other: for `any` and `all` alone.
    EachLine(Header),
}

/// Texts that every request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    Method,
    Version,
    Host,
    Uri,
    Path,
    Extension,
    Query,
    RawUri,
    RawPath,
    FullUri,
    /// All lines of a known field as one text, joined by this.
    Joined(FieldId, &'static [u8]),
}

/// The name of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    name: Box<[u8]>,
    id: FieldId,
}

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
    pub(crate) fn lines<'v>(&self, fields: &'v Fields) -> impl Iterator<Item = &'v [u8]> {
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

/// A text and the case in which it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) source: Source,
    pub(crate) case: Case,
}

/// A text that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Read<'v> {
    /// A piece of the request.
    There(&'v [u8]),
    /// In the scratch.
    Made,
}

impl<'v> Read<'v> {
    /// Its bytes, as sent.
    #[inline]
    pub(crate) fn bytes<'s>(self, scratch: &'s Scratch) -> &'s [u8]
    where
        'v: 's,
    {
        match self {
            Self::There(bytes) => bytes,
            Self::Made => scratch.text(),
        }
    }

    /// Its bytes in this case: in the scratch, unless they may stay as they are.
    pub(crate) fn folded<'s>(
        self,
        case: Case,
        fuel: &mut Fuel,
        scratch: &'s mut Scratch,
    ) -> Result<&'s [u8], Spent>
    where
        'v: 's,
    {
        if case == Case::AsSent {
            return Ok(self.bytes(scratch));
        }
        let length = self.bytes(scratch).len();
        fuel.spend(10 + length as u64 / COPIED)?;
        if let Self::There(bytes) = self {
            scratch.start().extend_from_slice(bytes);
        }
        case.apply(scratch.text_mut());
        Ok(scratch.text())
    }
}

impl Text {
    /// Reads it; none where the line that it asks for is not there. Never asked of [`Source::EachLine`].
    #[inline]
    pub(crate) fn read<'v>(
        &self,
        view: &'v RequestView<'_>,
        fuel: &mut Fuel,
        scratch: &mut Scratch,
    ) -> Result<Option<Read<'v>>, Spent> {
        match &self.source {
            Source::Plain(plain) => plain.read(view, fuel, scratch).map(Some),
            Source::Line(header, nth) => {
                let fields = &view.head.fields;
                header.pay(fields, fuel)?;
                Ok(header.lines(fields).nth((*nth).into()).map(Read::There))
            }
            Source::EachLine(_) => Ok(None),
        }
    }
}

/// Bytes of the target for one unit where a view splits it from the path.
const SPLIT: u64 = 32;
/// Bytes for one unit where one is looked for.
const FOUND: u64 = 128;
/// Bytes for one unit where they are copied.
const COPIED: u64 = 24;

impl Plain {
    #[inline]
    fn read<'v>(
        self,
        view: &'v RequestView<'_>,
        fuel: &mut Fuel,
        scratch: &mut Scratch,
    ) -> Result<Read<'v>, Spent> {
        let target = || view.head.target();
        let read = match self {
            // An extended CONNECT (RFC 8441) is a GET to the origin, and is judged as what it is there.
            Self::Method if view.head.protocol() == b"websocket" => b"GET",
            Self::Method => view.head.method_bytes(),
            Self::Version => view.head.version.name().as_bytes(),
            Self::Host => {
                fuel.spend(6)?;
                fuel.spend_bytes(view.head.authority().len(), 8)?;
                view.host()
            }
            Self::RawUri => target(),
            Self::RawPath => {
                fuel.spend_bytes(target().len(), FOUND)?;
                split(target()).0
            }
            Self::Query => {
                fuel.spend_bytes(target().len(), FOUND)?;
                split(target()).1
            }
            Self::Path => {
                fuel.spend(6 + target().len() as u64 / SPLIT)?;
                view.path(fuel)?
            }
            Self::Extension => {
                fuel.spend_bytes(target().len(), SPLIT)?;
                view.extension(fuel)?
            }
            Self::Uri => return uri(view, fuel, scratch),
            Self::FullUri => return full_uri(view, fuel, scratch),
            Self::Joined(id, with) => return joined(id, with, view, fuel, scratch),
        };
        fuel.spend(8)?;
        Ok(Read::There(read))
    }
}

/// Path, and query without its `?`.
fn split(target: &[u8]) -> (&[u8], &[u8]) {
    let path = memchr::memchr(b'?', target).and_then(|at| target.split_at_checked(at));
    let (path, query) = path.unwrap_or((target, b""));
    (path, query.split_first().map_or(query, |(_, query)| query))
}

/// The normalised path, and what followed the client's spelling of it.
fn uri<'v>(
    view: &'v RequestView<'_>,
    fuel: &mut Fuel,
    scratch: &mut Scratch,
) -> Result<Read<'v>, Spent> {
    let target = view.head.target();
    fuel.spend(16 + target.len() as u64 / SPLIT)?;
    let (raw, normal) = (split(target).0, view.path(fuel)?);
    if std::ptr::eq(raw, normal) {
        return Ok(Read::There(target));
    }
    fuel.spend(15 + target.len() as u64 / COPIED)?;
    let out = scratch.start();
    out.extend_from_slice(normal);
    out.extend_from_slice(target.get(raw.len()..).unwrap_or_default());
    Ok(Read::Made)
}

/// `https://host/path?query`: host in lower case and without a port, path normalised.
fn full_uri<'v>(
    view: &'v RequestView<'_>,
    fuel: &mut Fuel,
    scratch: &mut Scratch,
) -> Result<Read<'v>, Spent> {
    let target = view.head.target();
    let authority = view.head.authority();
    fuel.spend_bytes(target.len(), SPLIT)?;
    fuel.spend(30 + authority.len() as u64 + target.len() as u64 / COPIED)?;
    let (raw, path) = (split(target).0, view.path(fuel)?);
    let out = scratch.start();
    let scheme: &[u8] = if view.https { b"https://" } else { b"http://" };
    out.extend_from_slice(scheme);
    out.extend(view.host().iter().map(u8::to_ascii_lowercase));
    out.extend_from_slice(path);
    out.extend_from_slice(target.get(raw.len()..).unwrap_or_default());
    Ok(Read::Made)
}

/// All lines as one; the line itself where there is one only.
fn joined<'v>(
    id: FieldId,
    with: &[u8],
    view: &'v RequestView<'_>,
    fuel: &mut Fuel,
    scratch: &mut Scratch,
) -> Result<Read<'v>, Spent> {
    let fields = &view.head.fields;
    if !fields.has(id) {
        fuel.spend(5)?;
        return Ok(Read::There(b""));
    }
    fuel.spend(5 + fields.len() as u64 / 2)?;
    let mut lines = fields.all(id);
    let first = lines.next().unwrap_or_default();
    let Some(mut line) = lines.next() else {
        return Ok(Read::There(first));
    };
    let out = scratch.start();
    fuel.spend(10 + first.len() as u64 / COPIED)?;
    out.extend_from_slice(first);
    loop {
        fuel.spend(6 + line.len() as u64 / COPIED)?;
        out.extend_from_slice(with);
        out.extend_from_slice(line);
        line = match lines.next() {
            Some(line) => line,
            None => return Ok(Read::Made),
        };
    }
}

/// A number of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// Bytes of a text.
    Length(Text),
    /// Lines of a header.
    Lines(Header),
}

impl Number {
    /// Reads it; none where the line that it asks for is not there.
    pub(crate) fn read(
        &self,
        view: &RequestView<'_>,
        fuel: &mut Fuel,
    ) -> Result<Option<i64>, Spent> {
        let number = match self {
            Self::Length(text) => {
                let mut scratch = Scratch::default();
                let Some(read) = text.read(view, fuel, &mut scratch)? else {
                    return Ok(None);
                };
                read.bytes(&scratch).len()
            }
            Self::Lines(header) => {
                header.pay(&view.head.fields, fuel)?;
                header.lines(&view.head.fields).count()
            }
        };
        Ok(Some(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

/// All lines of a header that `any` and `all` ask, and what looking for them costs.
pub(crate) fn each_line<'v>(
    text: &'v Text,
    view: &'v RequestView<'_>,
    fuel: &mut Fuel,
) -> Result<impl Iterator<Item = &'v [u8]> + use<'v>, Spent> {
    let header = match &text.source {
        Source::EachLine(header) => Some(header),
        _ => None,
    };
    let fields = &view.head.fields;
    if let Some(header) = header {
        header.pay(fields, fuel)?;
    }
    Ok(header
        .map(|header| header.lines(fields))
        .into_iter()
        .flatten())
}

/// A yes-or-no field of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    Https,
}

impl Truth {
    pub(crate) const fn read(self, view: &RequestView<'_>) -> bool {
        match self {
            Self::Https => view.https,
        }
    }
}

/// An address of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Client,
}

impl Address {
    pub(crate) const fn read(self, view: &RequestView<'_>) -> std::net::IpAddr {
        match self {
            Self::Client => view.client,
        }
    }
}
