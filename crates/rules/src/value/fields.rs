//! Texts that every request has.

use seawall_model::{FieldId, Fuel, RequestView, Spent};

use super::{COPIED, Read};
use crate::scratch::Scratch;

/// Texts that every request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    RawExtension,
    FullUri,
    RawFullUri,
    TlsVersion,
    Country,
    Continent,
    /// All lines of a known field as one text, joined by this.
    Joined(FieldId, &'static [u8]),
}

/// Bytes of the target for one unit where a view splits it from the path.
const SPLIT: u64 = 32;
/// Bytes for one unit where one is looked for.
const FOUND: u64 = 128;

impl Plain {
    /// Whether it is the path, or has some of it.
    pub(crate) const fn has_path(self) -> bool {
        match self {
            Self::Uri
            | Self::Path
            | Self::Extension
            | Self::RawUri
            | Self::RawPath
            | Self::RawExtension
            | Self::FullUri
            | Self::RawFullUri => true,
            Self::Method
            | Self::Version
            | Self::Host
            | Self::Query
            | Self::TlsVersion
            | Self::Country
            | Self::Continent
            | Self::Joined(..) => false,
        }
    }

    #[inline]
    pub(super) fn read<'v>(
        self,
        view: &'v RequestView<'v>,
        fuel: &mut Fuel,
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
            Self::Uri => return uri(view, fuel),
            Self::FullUri => return full_uri(false, view, fuel),
            Self::RawFullUri => return full_uri(true, view, fuel),
            Self::RawExtension => {
                fuel.spend_bytes(target().len(), SPLIT)?;
                extension(split(target()).0)
            }
            Self::TlsVersion => view
                .conn
                .tls
                .as_ref()
                .map_or("", |tls| tls.version)
                .as_bytes(),
            Self::Country => view.place(fuel)?.country.bytes(),
            Self::Continent => view.place(fuel)?.continent.bytes(),
            Self::Joined(id, with) => return joined(id, with, view, fuel),
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

/// What follows the last `.` of a path's last segment, as it is spelt.
fn extension(path: &[u8]) -> &[u8] {
    let name = memchr::memrchr(b'/', path).and_then(|at| path.get(at + 1..));
    let name = name.unwrap_or(path);
    let stem = memchr::memrchr(b'.', name);
    stem.and_then(|at| name.get(at + 1..)).unwrap_or_default()
}

/// The normalised path, and what followed the client's spelling of it.
fn uri<'v>(view: &'v RequestView<'v>, fuel: &mut Fuel) -> Result<Read<'v>, Spent> {
    let target = view.head.target();
    fuel.spend(16 + target.len() as u64 / SPLIT)?;
    let (raw, normal) = (split(target).0, view.path(fuel)?);
    if std::ptr::eq(raw, normal) {
        return Ok(Read::There(target));
    }
    fuel.spend(15 + target.len() as u64 / COPIED)?;
    let mut scratch = Scratch::new();
    let out = scratch.out();
    out.extend_from_slice(normal);
    out.extend_from_slice(target.get(raw.len()..).unwrap_or_default());
    Ok(Read::Made(scratch))
}

/// `https://host/path?query`: host in lower case and without a port, path normalised.
fn full_uri<'v>(raw: bool, view: &'v RequestView<'v>, fuel: &mut Fuel) -> Result<Read<'v>, Spent> {
    let target = view.head.target();
    let authority = view.head.authority();
    fuel.spend_bytes(target.len(), SPLIT)?;
    fuel.spend(30 + authority.len() as u64 + target.len() as u64 / COPIED)?;
    let sent = split(target).0;
    let path = if raw { sent } else { view.path(fuel)? };
    let mut scratch = Scratch::new();
    let out = scratch.out();
    let scheme: &[u8] = if view.https { b"https://" } else { b"http://" };
    out.extend_from_slice(scheme);
    out.extend(view.host().iter().map(u8::to_ascii_lowercase));
    out.extend_from_slice(path);
    out.extend_from_slice(target.get(sent.len()..).unwrap_or_default());
    Ok(Read::Made(scratch))
}

/// All lines as one; the line itself where there is one only.
fn joined<'v>(
    id: FieldId,
    with: &[u8],
    view: &'v RequestView<'v>,
    fuel: &mut Fuel,
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
    let mut scratch = Scratch::new();
    let out = scratch.out();
    fuel.spend(10 + first.len() as u64 / COPIED)?;
    out.extend_from_slice(first);
    loop {
        fuel.spend(6 + line.len() as u64 / COPIED)?;
        out.extend_from_slice(with);
        out.extend_from_slice(line);
        line = match lines.next() {
            Some(line) => line,
            None => return Ok(Read::Made(scratch)),
        };
    }
}
