//! Where a head ends, and what to answer when it does not.

use super::block::find_line_before_empty;
use super::lines::is_token;
use super::{HeadLimits, Reject};

/// A method longer than this is none that anybody implements (RFC 9112 §3: 501).
pub(super) const METHOD_BYTES: usize = 32;

/// Finds the end of a head in a buffer that grows. It remembers how far it looked, so that all calls together take time
/// linear in the head, however small the pieces are in which it arrives.
///
/// An empty line with a bare LF ends a head here, too: the parser then refuses it at once, instead of waiting for more.
/// One CRLF before the first line is passed over (RFC 9112 §2.2); it counts into the length, and the parsers know it.
/// A connection that ends when nothing but that CRLF has come carried no request.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScanner {
    looked: usize,
}

impl HeadScanner {
    /// One that has seen nothing.
    pub const fn new() -> Self {
        Self { looked: 0 }
    }

    /// The length of the head at the start of `buffer`, its empty line included; none if it has not ended yet. `buffer`
    /// holds all that it held at the last call, and whatever has come since.
    pub fn find(&mut self, buffer: &[u8]) -> Option<usize> {
        if self.looked == 0 {
            self.looked = match buffer {
                [b'\r', b'\n', ..] => 2,
                [b'\r'] => return None,
                _ => 0,
            };
            // An empty line where the first line should be: over already, and nothing that a parser accepts.
            match buffer.get(self.looked..).unwrap_or_default() {
                [b'\n', ..] => return Some(self.looked + 1),
                [b'\r', b'\n', ..] => return Some(self.looked + 2),
                [] | [b'\r'] => {
                    self.looked = 0;
                    return None;
                }
                _ => {}
            }
        }
        let mut rest = buffer.get(self.looked..)?;
        while let Some(at) = find_line_before_empty(rest) {
            self.looked += at;
            match rest.get(at..).unwrap_or_default() {
                [_, b'\n', ..] => return Some(self.looked + 2),
                [_, _, b'\n', ..] => return Some(self.looked + 3),
                // Whether this is the end is not known before the next byte: then it is looked at again.
                [_, _] => return None,
                after => {
                    self.looked += 1;
                    rest = after.get(1..).unwrap_or_default();
                }
            }
        }
        self.looked += rest.len().saturating_sub(1);
        None
    }

    /// Whether it has seen nothing of this head.
    pub const fn is_new(&self) -> bool {
        self.looked == 0
    }

    /// For the next head.
    pub fn reset(&mut self) {
        self.looked = 0;
    }
}

/// What to answer when a head did not end within the limits: 414 if it is the request line that is too long, 501 if it is
/// the method, 431 otherwise. `buffer` is all that has come so far.
#[cold]
pub fn too_long(buffer: &[u8], limits: &HeadLimits) -> Reject {
    let buffer = buffer.strip_prefix(b"\r\n").unwrap_or(buffer);
    let line = buffer
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let method = parts.next().unwrap_or_default();
    let target = parts.next().unwrap_or_default();
    if !is_token(method) {
        Reject::bad("bad_method", "RFC 9112 §3.1")
    } else if method.len() > METHOD_BYTES {
        Reject::new(501, "method_too_long", "RFC 9112 §3")
    } else if line.len() == buffer.len() || target.len() > limits.target_bytes {
        Reject::new(414, "target_too_long", "RFC 9112 §3")
    } else {
        Reject::new(431, "head_too_long", "RFC 6585 §5")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_whole_and_byte_by_byte() {
        let cases: &[(&[u8], Option<usize>)] = &[
            (b"", None),
            (b"GET / HTTP/1.1\r\n", None),
            (b"GET / HTTP/1.1\r\n\r", None),
            (b"GET / HTTP/1.1\r\n\r\n", Some(18)),
            (b"GET / HTTP/1.1\r\n\r\nbody\r\n\r\n", Some(18)),
            (b"GET / HTTP/1.1\r\nA: b\r\n\r\nGET", Some(24)),
            (b"\r\nGET / HTTP/1.1\r\n\r\n", Some(20)),
            (b"\r\n", None),
            (b"\r", None),
            (b"\r\n\r", None),
            (b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", Some(4)),
            (b"\n", Some(1)),
            (b"\r\n\n", Some(3)),
            (b"GET / HTTP/1.1\n\nx", Some(16)),
            (b"GET / HTTP/1.1\n\r\nx", Some(17)),
            (b"GET / HTTP/1.1\r\n\nx", Some(17)),
            (b"GET / HTTP/1.1\r\n\r\r\n\r\n", Some(21)),
            (b"GET / HTTP/1.1\r\nA: b\n", None),
        ];
        for (buffer, expected) in cases {
            let shown = String::from_utf8_lossy(buffer);
            assert_eq!(HeadScanner::new().find(buffer), *expected, "{shown:?}");
            let mut scanner = HeadScanner::new();
            for end in 0..=buffer.len() {
                let found = scanner.find(&buffer[..end]);
                match expected {
                    Some(length) if end >= *length => {
                        assert_eq!(found, Some(*length), "{shown:?} at {end}");
                        break;
                    }
                    _ => assert_eq!(found, None, "{shown:?} at {end}"),
                }
            }
        }
    }

    #[test]
    fn it_does_not_look_twice_at_what_it_has_seen() {
        let mut scanner = HeadScanner::new();
        let mut buffer = b"GET / HTTP/1.1\r\nA: ".to_vec();
        for _ in 0..1000 {
            buffer.push(b'a');
            assert_eq!(scanner.find(&buffer), None);
            assert_eq!(scanner.looked, buffer.len() - 1);
        }
        buffer.extend_from_slice(b"\r\n\r\n");
        assert_eq!(scanner.find(&buffer), Some(buffer.len()));
        scanner.reset();
        assert_eq!(scanner.find(b"A\r\n\r\n"), Some(5));
    }

    #[test]
    fn the_part_that_is_too_long_decides_the_status() {
        let limits = HeadLimits::default();
        let with = |start: &str, end: &str| {
            [start.as_bytes(), &vec![b'a'; 40_000], end.as_bytes()].concat()
        };
        assert_eq!(too_long(&with("GET /", ""), &limits).status, 414);
        assert_eq!(
            too_long(&with("\r\nGET /", " HTTP/1.1\r\n"), &limits).status,
            414
        );
        assert_eq!(
            too_long(&with("GET / HTTP/1.1\r\nA: ", ""), &limits).status,
            431
        );
        assert_eq!(too_long(&with("", ""), &limits).status, 501);
        assert_eq!(too_long(&with("\x16\x03\x01", ""), &limits).status, 400);
    }
}
