//! What judges a request sees of it: the head, the connection, who the client is. Borrowed, so that looking costs nothing.

use std::cell::OnceCell;
use std::net::IpAddr;

use crate::conn::ConnFacts;
use crate::fuel::{Fuel, Spent};
use crate::head::RequestHead;
use crate::host::without_port;
use crate::place::{Place, Places};

/// A request, for those who judge it.
#[derive(Debug)]
pub struct RequestView<'r> {
    /// Its head, as it goes on to the next one who judges, and at last to the origin.
    pub head: &'r RequestHead,
    /// Its connection.
    pub conn: &'r ConnFacts,
    /// The client's address by the trust rules, canonical: `ip.src`.
    pub client: IpAddr,
    /// The client speaks HTTPS, to us or to a trusted proxy before us.
    pub https: bool,
    normal: OnceCell<Option<Box<[u8]>>>,
    alike: OnceCell<bool>,
    places: Option<&'r dyn Places>,
    place: OnceCell<Place>,
}

/// Bytes of a path for one unit where it is only looked over.
const LOOKED: u64 = 16;
/// Units for normalising it: for beginning, and for each byte.
const NORMALISED: (u64, u64) = (40, 2);
/// Bytes for one unit where one is looked for.
const FOUND: u64 = 64;
/// Units for each byte of a path that is read as all servers may read it.
const READ: u64 = 2;

impl<'r> RequestView<'r> {
    /// A view of this request.
    pub const fn new(
        head: &'r RequestHead,
        conn: &'r ConnFacts,
        client: IpAddr,
        https: bool,
    ) -> Self {
        Self {
            head,
            conn,
            client,
            https,
            normal: OnceCell::new(),
            alike: OnceCell::new(),
            places: None,
            place: OnceCell::new(),
        }
    }

    /// The same, with somebody who knows where addresses are.
    #[must_use]
    pub const fn with_places(mut self, places: Option<&'r dyn Places>) -> Self {
        self.places = places;
        self
    }

    /// Where the client is; nowhere without data. Looked up when it is first asked for, and paid for by whom asks first.
    ///
    /// # Errors
    /// [`Spent`] where it is not looked up yet and the fuel does not suffice.
    pub fn place(&self, fuel: &mut Fuel) -> Result<&Place, Spent> {
        if let (None, Some(places)) = (self.place.get(), self.places) {
            fuel.spend(places.price())?;
        }
        let look = || self.places.map(|places| places.place(self.client));
        Ok(self.place.get_or_init(|| look().unwrap_or_default()))
    }

    /// The host that the request names, without its port, as the client spelt it.
    pub fn host(&self) -> &[u8] {
        without_port(self.head.authority())
    }

    /// The path as rules see it: normalised, and with encoded slashes as slashes ([`normalise_generously`]), because an origin may
    /// well read it so, and a rule that looked at the client's spelling could be gone round. Made when it is first asked for, and
    /// paid for by whom asks first.
    ///
    /// # Errors
    /// [`Spent`] where it is not made yet and the fuel does not suffice.
    #[inline]
    pub fn path(&self, fuel: &mut Fuel) -> Result<&[u8], Spent> {
        let raw = self.head.path();
        let normal = match self.normal.get() {
            Some(normal) => normal,
            None => {
                let made = made(raw, fuel)?;
                self.normal.get_or_init(|| made)
            }
        };
        Ok(normal.as_deref().unwrap_or(raw))
    }

    /// Whether all servers read the path alike ([`reads_alike`]). What exempts by a path asks this too: what [`RequestView::path`]
    /// gives is one reading of several. Looked at when it is first asked for, and paid for by whom asks first.
    ///
    /// # Errors
    /// [`Spent`] where it was not looked at yet and the fuel does not suffice.
    pub fn reads_alike(&self, fuel: &mut Fuel) -> Result<bool, Spent> {
        if let Some(known) = self.alike.get() {
            return Ok(*known);
        }
        let raw = self.head.path();
        fuel.spend(10 + READ * raw.len() as u64)?;
        Ok(*self.alike.get_or_init(|| reads_alike(raw)))
    }

    /// What follows the first `?` of the target; empty without one.
    pub fn query(&self) -> &[u8] {
        let target = self.head.target();
        let path = self.head.path().len();
        target.get(path + 1..).unwrap_or_default()
    }

    /// What follows the last `.` of the path's last segment, as it is spelt; empty without one.
    ///
    /// # Errors
    /// As [`RequestView::path`].
    pub fn extension(&self, fuel: &mut Fuel) -> Result<&[u8], Spent> {
        let path = self.path(fuel)?;
        fuel.spend(8 + path.len() as u64 / FOUND)?;
        let name = memchr::memrchr(b'/', path).and_then(|at| path.get(at + 1..));
        let name = name.unwrap_or(path);
        let stem = memchr::memrchr(b'.', name);
        Ok(stem.and_then(|at| name.get(at + 1..)).unwrap_or_default())
    }
}

/// The normal form of a path where it is another one, paid for.
#[cold]
fn made(raw: &[u8], fuel: &mut Fuel) -> Result<Option<Box<[u8]>>, Spent> {
    fuel.spend_bytes(raw.len(), LOOKED)?;
    if !may_change(raw) {
        return Ok(None);
    }
    let (begin, each) = NORMALISED;
    fuel.spend(begin + each * raw.len() as u64)?;
    let mut out = Vec::with_capacity(raw.len());
    normalise_generously(raw, &mut out);
    Ok(Some(out.into()))
}

/// Whether normalising could change this path: a look that decides for nearly all. To the end in any case, so that many bytes
/// are compared at once.
fn may_change(path: &[u8]) -> bool {
    let coded = |byte: u8| (byte == b'%') | (byte == b'\\');
    let behind = path.get(1..).unwrap_or_default();
    let before = path.iter().zip(behind).fold(false, |found, (byte, next)| {
        found | coded(*byte) | ((*byte == b'/') & ((*next == b'.') | (*next == b'/')))
    });
    before | path.last().is_some_and(|last| coded(*last))
}

/// Writes the normal form of a path (RFC 3986 §6.2.2): percent-encoded unreserved characters decoded, hex digits in upper
/// case, dot segments resolved; `\` is `/` and empty segments fall away, as browsers and many servers have it (WHATWG URL
/// §4.4). Linear. What begins with no `/` is left as it is.
pub fn normalise(path: &[u8], out: &mut Vec<u8>) {
    normal(path, false, out);
}

/// The same, with `%2F` and `%5C` as slashes before dot segments are resolved, as nginx and others read them.
pub fn normalise_generously(path: &[u8], out: &mut Vec<u8>) {
    normal(path, true, out);
}

fn normal(path: &[u8], generous: bool, out: &mut Vec<u8>) {
    let start = out.len();
    if path.first() != Some(&b'/') {
        out.extend_from_slice(path);
        return;
    }
    let mut rest = path;
    // Where each segment's slash stands, so that `..` takes one away without looking for it.
    let mut slashes: Vec<usize> = Vec::new();
    let close = |out: &mut Vec<u8>, slashes: &mut Vec<usize>| {
        let Some(&slash) = slashes.last() else { return };
        let segment = out.get(slash + 1..).unwrap_or_default();
        match segment {
            b"" | b"." => out.truncate(slash),
            b".." => {
                slashes.pop();
                out.truncate(slashes.last().copied().unwrap_or(start));
            }
            _ => return,
        }
        slashes.pop();
    };
    let mut ends_open = false;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let byte = match (*byte, after.split_first_chunk::<2>()) {
            (b'%', Some(([high, low], behind))) => match (hex(*high), hex(*low)) {
                (Some(h), Some(l)) => {
                    rest = behind;
                    let decoded = h << 4 | l;
                    if is_unreserved(decoded) {
                        decoded
                    } else if generous && matches!(decoded, b'/' | b'\\') {
                        b'/'
                    } else {
                        let upper = [b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()];
                        out.extend_from_slice(&upper);
                        ends_open = false;
                        continue;
                    }
                }
                _ => b'%',
            },
            (b'\\', _) => b'/',
            (byte, _) => byte,
        };
        if byte == b'/' {
            close(out, &mut slashes);
            slashes.push(out.len());
        }
        ends_open = byte == b'/';
        out.push(byte);
    }
    // A path that ends in a slash, or in a dot segment, keeps its last slash.
    let last = slashes.last().map_or(start, |slash| slash + 1);
    let dots = matches!(out.get(last..), Some(b"." | b".."));
    if !ends_open {
        close(out, &mut slashes);
        if dots {
            out.push(b'/');
        }
    }
    if out.len() == start {
        out.push(b'/');
    }
}

/// Whether a path means the same to all servers, however far they decode it and whatever they take for a separator: then its
/// spelling, [`normalise`] and [`normalise_generously`] say the same, but for the case of hex digits. A path without a `/` at its
/// beginning does not, nor does one with
///
/// - empty segments, or segments of nothing but dots and spaces, encoded or not;
/// - `\`, `;`, `#` or control characters, encoded or not;
/// - `%2F`, `%3F`, or `%25`, which somebody may decode once more; a `%` that encodes nothing;
/// - encoded unreserved characters (`%61`), which those who compare spellings do not take for what they are;
/// - the beginning of UTF-8 that is longer than it need be (`%C0%AF`), which some take for a `/` or a dot.
///
/// Case, and letters that look like others, are not looked at. Linear, and nothing is made.
pub fn reads_alike(path: &[u8]) -> bool {
    let Some(mut rest) = path.strip_prefix(b"/") else {
        return false;
    };
    // Whether the segment has had nothing yet but dots and spaces.
    let mut is_blank = true;
    let mut before = b'/';
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let byte = match (*byte, after.split_first_chunk::<2>()) {
            (b'/', _) if is_blank => return false,
            (b'/', _) => {
                is_blank = true;
                before = b'/';
                continue;
            }
            (b'%', Some(([high, low], behind))) => {
                let (Some(high), Some(low)) = (hex(*high), hex(*low)) else {
                    return false;
                };
                rest = behind;
                let decoded = high << 4 | low;
                if is_unreserved(decoded) || matches!(decoded, b'/' | b'?' | b'%') {
                    return false;
                }
                decoded
            }
            (b'%', None) => return false,
            (byte, _) => byte,
        };
        let separates = matches!(byte, b'\\' | b';' | b'#') || byte.is_ascii_control();
        if separates || is_overlong(before, byte) {
            return false;
        }
        is_blank &= matches!(byte, b'.' | b' ');
        before = byte;
    }
    !is_blank || path.ends_with(b"/")
}

/// Whether UTF-8 that begins so says in more bytes what it could say in fewer (RFC 3629 §3).
const fn is_overlong(before: u8, byte: u8) -> bool {
    matches!(
        (before, byte),
        (_, 0xC0 | 0xC1) | (0xE0, 0x80..=0x9F) | (0xF0, 0x80..=0x8F)
    )
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(path: &str) -> String {
        let mut out = b"x".to_vec();
        normalise(path.as_bytes(), &mut out);
        String::from_utf8(out.split_off(1)).unwrap()
    }

    #[test]
    fn encoded_slashes_hide_nothing_from_rules() {
        for (path, expected) in [
            ("/%2fadmin/", "/admin/"),
            ("/x/..%2fadmin", "/admin"),
            ("/x%2f..%5Cadmin", "/admin"),
            ("/%2Fadmin%2fsecret.txt", "/admin/secret.txt"),
            ("/a%252fb", "/a%252fb"),
        ] {
            let mut out = Vec::new();
            normalise_generously(path.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn paths_that_all_read_alike_have_one_form() {
        for path in [
            "/",
            "/a",
            "/a/b/",
            "/static/app.1f3c.min.js",
            "/.well-known/a",
            "/a/..b/c..",
            "/a%20b/caf%C3%A9",
            "/a%E0%A4%85/%F0%9F%98%80",
            "/a+b,c=d&e@f:g!h$i'j(k)*",
            "/a%2Bb%26c%3D",
            "/~a/b_c-d",
            "/caf\u{e9}",
        ] {
            assert!(reads_alike(path.as_bytes()), "{path}");
            let (mut plain, mut generous) = (Vec::new(), Vec::new());
            super::normalise(path.as_bytes(), &mut plain);
            normalise_generously(path.as_bytes(), &mut generous);
            assert_eq!(plain, path.as_bytes(), "{path}");
            assert_eq!(generous, path.as_bytes(), "{path}");
        }
    }

    #[test]
    fn paths_that_servers_read_in_different_ways_are_known() {
        for path in [
            "",
            "*",
            "a",
            "//",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/a/.",
            "/a/./b",
            "/x/../one",
            "/a/.../b",
            "/a/..%20/b",
            "/a/%2e%2e/b",
            "/a/.%2E/b",
            "/static/%252e%252e/api",
            "/static/..;/api/user/1",
            "/a;v=1/b",
            "/a%3bb",
            "/static/.%00./api",
            "/a%0ab",
            "/a%7F",
            "/a\0b",
            "/api/..\\static/x",
            "/a\\b",
            "/api/user/..%5c..%5c..%5cstatic%5cx",
            "/static%2fx",
            "/static%2Fx",
            "/api/user/..%2f..%2fstatic%2fx",
            "/a%25",
            "/a%3F.css",
            "/a%23.css",
            "/a#b",
            "/%61dmin",
            "/a%7Eb",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%u002fb",
            "/a%c0%afb",
            "/a%C1%9Cb",
            "/a%e0%80%afb",
            "/a%f0%80%80%afb",
        ] {
            assert!(!reads_alike(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn a_view_looks_once_whether_its_path_is_read_alike() {
        let peer = std::net::SocketAddr::from(([192, 0, 2, 1], 1));
        let (head, conn) = (
            RequestHead::default(),
            ConnFacts {
                peer,
                local: peer,
                tls: None,
            },
        );
        let view = RequestView::new(&head, &conn, peer.ip(), false);
        assert_eq!(view.reads_alike(&mut Fuel::new(1)), Err(Spent));
        let known = view.reads_alike(&mut Fuel::new(100_000)).unwrap();
        assert_eq!(view.reads_alike(&mut Fuel::new(0)), Ok(known));
    }

    #[test]
    fn paths_have_one_normal_form() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("/%61dmin", "/admin"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%2", "/a%2"),
            ("/a%zz", "/a%zz"),
            ("//a///b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/../../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/..", "/"),
            ("//", "/"),
            ("/a//", "/a/"),
            ("/a\\..\\b", "/b"),
            ("/a/...", "/a/..."),
            ("/.a", "/.a"),
            ("/a/..;/b", "/a/..;/b"),
            ("/%252e", "/%252e"),
            ("*", "*"),
        ] {
            assert_eq!(normal(path), expected, "{path}");
            assert_eq!(normal(expected), expected, "of a normal one");
            if !may_change(path.as_bytes()) {
                assert_eq!(path, expected, "one look missed it");
            }
        }
    }
}
