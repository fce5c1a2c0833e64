//! What we send: heads as lists of fields that are never copied twice, and how their bodies are framed.
//!
//! A message that travels through keeps its fields where they were read. What leaves it out ([`skip`](ResponseOut::skip)) and
//! what we add ([`extra`](ResponseOut::extra)) stand beside them, and each protocol's writer walks over both.

use seawall_model::{FieldId, Fields};

use crate::h1;

/// How a body that we send is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyOut {
    /// No body follows, and none is announced.
    None,
    /// Exactly so many bytes.
    Length(u64),
    /// It ends when it ends: chunked in HTTP/1.1, `END_STREAM` in HTTP/2.
    Unknown,
}

/// A response head as it leaves.
#[derive(Clone, Copy)]
pub struct ResponseOut<'a> {
    /// The status code.
    pub status: u16,
    /// The origin's fields, when there are any.
    pub origin: Option<&'a Fields>,
    /// Ids of the origin's fields that stay behind ([`FieldId::bit`]).
    pub skip: u64,
    /// Ours.
    pub extra: &'a Fields,
    /// One more of ours.
    pub last: Line<'a>,
    /// What follows. `content-length` is written from this and never travels as a field, except on an answer to `HEAD` and on
    /// 304, where it is metadata.
    pub body: BodyOut,
}

/// A field line as HTTP/1.1 writes it, `name: value CRLF`, or nothing. For a field that every message gets and whose text is
/// made once: HTTP/1.1 copies it in one piece.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line<'a>(pub &'a [u8]);

impl<'a> Line<'a> {
    /// Its name and value, if it is one.
    fn field(self) -> Option<(&'a [u8], &'a [u8])> {
        let line = self.0.strip_suffix(b"\r\n")?;
        let (name, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
        Some((name, value.get(2..)?))
    }
}

impl<'a> ResponseOut<'a> {
    /// Appends the field lines as HTTP/1.1 writes them.
    pub(crate) fn write_lines(&self, out: &mut Vec<u8>) {
        if let Some(origin) = self.origin {
            origin.write_lines(self.skip, out);
        }
        if !self.extra.is_empty() {
            self.extra.write_lines(0, out);
        }
        out.extend_from_slice(self.last.0);
    }

    /// Names and values, in order: the origin's, then ours.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        travelling(self.origin, self.skip)
            .chain(self.extra.iter().map(|field| (field.name, field.value)))
            .chain(self.last.field())
    }
}

/// A request head as it leaves.
#[derive(Clone, Copy)]
pub struct RequestOut<'a> {
    /// The method.
    pub method: &'a [u8],
    /// `http` or `https`, for HTTP/2.
    pub scheme: &'static str,
    /// `Host` or `:authority`.
    pub authority: &'a [u8],
    /// Path and query.
    pub target: &'a [u8],
    /// The client's fields.
    pub client: &'a Fields,
    /// Ids of the client's fields that stay behind.
    pub skip: u64,
    /// Ours, the same for many requests.
    pub common: &'a Prepared,
    /// Ours, for this one.
    pub extra: &'a Fields,
    /// One more of ours.
    pub last: Line<'a>,
    /// What follows.
    pub body: BodyOut,
}

/// Fields that many messages share, and how HTTP/1.1 writes them.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    fields: Fields,
    lines: Vec<u8>,
}

impl From<Fields> for Prepared {
    fn from(fields: Fields) -> Self {
        let mut lines = Vec::new();
        fields.write_lines(0, &mut lines);
        Self { fields, lines }
    }
}

impl<'a> RequestOut<'a> {
    /// Names and values, in order: the client's, then ours.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let ours = self.common.fields.iter().chain(self.extra.iter());
        travelling(Some(self.client), self.skip)
            .chain(ours.map(|field| (field.name, field.value)))
            .chain(self.last.field())
    }

    /// As an HTTP/1.1 head.
    pub fn write_h1(&self, out: &mut Vec<u8>) {
        h1::write_request_line(out, self.method, self.target);
        h1::write_field(out, b"host", self.authority);
        self.client.write_lines(self.skip, out);
        out.extend_from_slice(&self.common.lines);
        if !self.extra.is_empty() {
            self.extra.write_lines(0, out);
        }
        out.extend_from_slice(self.last.0);
        match self.body {
            BodyOut::None => {}
            BodyOut::Length(length) => write_length(out, length),
            BodyOut::Unknown => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn travelling(fields: Option<&Fields>, skip: u64) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields
        .into_iter()
        .flat_map(Fields::iter)
        .filter(move |field| skip & field.id.bit() == 0)
        .map(|field| (field.name, field.value))
}

/// Writes a `content-length` line.
pub(crate) fn write_length(out: &mut Vec<u8>, length: u64) {
    // Made from its end on, so that it leaves in one piece.
    let mut line = *b"content-length: 00000000000000000000\r\n";
    const NAME: usize = "content-length: ".len();
    let mut left = length;
    let mut digits = 0;
    for digit in line.iter_mut().skip(NAME).rev().skip(2) {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
        digits += 1;
        if left == 0 {
            break;
        }
    }
    let start = 20 - digits;
    line.copy_within(..NAME, start);
    out.extend_from_slice(line.get(start..).unwrap_or_default());
}

/// What never travels from an origin's response into ours: what ends at each hop, and what is ours to say.
pub const RESPONSE_SKIP: u64 =
    FieldId::HOP_BY_HOP | FieldId::Seawall.bit() | FieldId::ContentLength.bit();

/// What never travels from a client's request: what ends at each hop, what names the request anew, and identity that only we
/// may assert.
pub const REQUEST_SKIP: u64 = FieldId::HOP_BY_HOP
    | FieldId::Host.bit()
    | FieldId::ContentLength.bit()
    | FieldId::Expect.bit()
    | FieldId::Seawall.bit()
    | FieldId::CfAccess.bit();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_size_are_one_line() {
        for length in [0, 7, 10, 1024, 99_999, u64::MAX - 1, u64::MAX] {
            let mut out = b"before".to_vec();
            write_length(&mut out, length);
            assert_eq!(
                out,
                format!("beforecontent-length: {length}\r\n").into_bytes()
            );
        }
    }
}
