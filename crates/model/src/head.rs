//! A message's head: one flat buffer of bytes and the spans of what lies in it.
//!
//! HTTP/1.1 fills it with the head as it came, so that the raw bytes stay available to rules that judge them; HTTP/2 and
//! HTTP/3 fill it with what their field compression decoded. Nothing in here is parsed text of ours: bytes and offsets only.

use crate::FieldId;
use crate::conn::HttpVersion;

/// Offset and length of some bytes in a head's buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// From offset and length in bytes. A head is bounded far below 4 GiB, so both fit.
    pub const fn new(start: usize, len: usize) -> Self {
        Self {
            start: start as u32,
            len: len as u32,
        }
    }

    /// Whether it covers no byte.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The offsets it covers.
    pub const fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }

    fn of(self, raw: &[u8]) -> &[u8] {
        let start = self.start as usize;
        raw.get(start..start + self.len as usize)
            .unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
struct Line {
    id: FieldId,
    /// The buffer has it as `name: value CRLF`.
    tidy: bool,
    name: Span,
    value: Span,
}

/// Whether the buffer has this line as `name: value CRLF`.
fn is_tidy(raw: &[u8], name: Span, value: Span) -> bool {
    let name_end = (name.start + name.len) as usize;
    let value_end = (value.start + value.len) as usize;
    raw.get(name_end..value.start as usize) == Some(b": ")
        && raw.get(value_end..value_end + 2) == Some(b"\r\n")
}

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// What we know the name as.
    pub id: FieldId,
    /// The name as it came.
    pub name: &'a [u8],
    /// The value, without the white space around it.
    pub value: &'a [u8],
}

/// Field lines in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    raw: Vec<u8>,
    lines: Vec<Line>,
    /// Which ids occur: most questions are "is there any?", and most answers no.
    present: u64,
}

impl Fields {
    /// The buffer that all spans point into.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.raw.clear();
        self.lines.clear();
        self.present = 0;
    }

    /// Replaces the buffer's content by `bytes`, before lines are added with [`Fields::push_span`].
    pub fn set_raw(&mut self, bytes: &[u8]) {
        self.clear();
        self.raw.extend_from_slice(bytes);
    }

    /// Puts the buffer under lines that were added already ([`Fields::push_read`]).
    pub fn put_raw(&mut self, bytes: &[u8]) {
        self.raw.clear();
        self.raw.extend_from_slice(bytes);
    }

    /// Appends bytes to the buffer and tells where they went.
    pub fn store(&mut self, bytes: &[u8]) -> Span {
        let span = Span::new(self.raw.len(), bytes.len());
        self.raw.extend_from_slice(bytes);
        span
    }

    /// Adds a line whose name and value lie in the buffer already. Returns what the name is known as.
    pub fn push_span(&mut self, name: Span, value: Span) -> FieldId {
        let id = FieldId::of(name.of(&self.raw));
        let tidy = is_tidy(&self.raw, name, value);
        self.present |= id.bit();
        self.lines.push(Line {
            id,
            tidy,
            name,
            value,
        });
        id
    }

    /// Adds a line that lies in bytes which the buffer has, or will be given by [`Fields::put_raw`]. `tidy` tells that they
    /// have it as `name: value CRLF`.
    #[inline]
    pub fn push_read(&mut self, id: FieldId, name: Span, value: Span, tidy: bool) {
        self.present |= id.bit();
        self.lines.push(Line {
            id,
            tidy,
            name,
            value,
        });
    }

    /// Adds a line by copying its bytes. Returns what the name is known as.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> FieldId {
        let id = FieldId::of(name);
        self.push_line(id, name, value);
        id
    }

    /// Adds a line with a known name.
    pub fn push_known(&mut self, id: FieldId, value: &[u8]) {
        self.push_line(id, id.name().as_bytes(), value);
    }

    /// Adds a line whose name nobody will ask for by id: one of ours, on its way out.
    pub fn append(&mut self, name: &[u8], value: &[u8]) {
        self.push_line(FieldId::Other, name, value);
    }

    /// Stores the line as it will be written, so that neighbours leave in one piece.
    fn push_line(&mut self, id: FieldId, name: &[u8], value: &[u8]) {
        self.raw.reserve(name.len() + value.len() + 4);
        let name = self.store(name);
        self.raw.extend_from_slice(b": ");
        let value = self.store(value);
        self.raw.extend_from_slice(b"\r\n");
        self.push_read(id, name, value, true);
    }

    /// The bytes of a span.
    pub fn bytes(&self, span: Span) -> &[u8] {
        span.of(&self.raw)
    }

    /// How many lines there are, removed ones included.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no line at all.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether any line has this id.
    pub fn has(&self, id: FieldId) -> bool {
        self.present & id.bit() != 0
    }

    /// Whether any line has one of these ids (a set made of [`FieldId::bit`]).
    pub fn has_any(&self, ids: u64) -> bool {
        self.present & ids != 0
    }

    /// All lines that were not removed.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.lines
            .iter()
            .filter(|line| line.id != FieldId::Removed)
            .map(|line| self.field(line))
    }

    /// Appends all lines but those in `skip` as `name: value CRLF` (RFC 9112 §5).
    ///
    /// Where the buffer has neighbouring lines in just this form, as a well-formed HTTP/1.1 head has, they are copied in one
    /// piece: the bytes are the same as written one by one.
    pub fn write_lines(&self, skip: u64, out: &mut Vec<u8>) {
        let (mut start, mut end) = (0, 0);
        let skip = skip | FieldId::Removed.bit();
        for line in self.lines.iter().filter(|line| skip & line.id.bit() == 0) {
            if line.tidy && line.name.start == end && end != start {
                end = line.value.start + line.value.len + 2;
                continue;
            }
            self.write_run(start, end, out);
            if line.tidy {
                (start, end) = (line.name.start, line.value.start + line.value.len + 2);
            } else {
                (start, end) = (0, 0);
                self.write_line(line, out);
            }
        }
        self.write_run(start, end, out);
    }

    #[inline]
    fn write_run(&self, start: u32, end: u32, out: &mut Vec<u8>) {
        if start != end {
            out.extend_from_slice(
                self.raw
                    .get(start as usize..end as usize)
                    .unwrap_or_default(),
            );
        }
    }

    #[cold]
    fn write_line(&self, line: &Line, out: &mut Vec<u8>) {
        out.extend_from_slice(line.name.of(&self.raw));
        out.extend_from_slice(b": ");
        out.extend_from_slice(line.value.of(&self.raw));
        out.extend_from_slice(b"\r\n");
    }

    /// All values of one known field.
    pub fn all(&self, id: FieldId) -> impl Iterator<Item = &[u8]> {
        let lines = if self.has(id) {
            self.lines.as_slice()
        } else {
            &[]
        };
        lines
            .iter()
            .filter(move |line| line.id == id)
            .map(|line| line.value.of(&self.raw))
    }

    /// Where the values of one known field are.
    pub fn spans(&self, id: FieldId) -> impl Iterator<Item = Span> {
        let lines = if self.has(id) {
            self.lines.as_slice()
        } else {
            &[]
        };
        lines
            .iter()
            .filter(move |line| line.id == id)
            .map(|line| line.value)
    }

    /// The first value of one known field.
    pub fn first(&self, id: FieldId) -> Option<&[u8]> {
        self.all(id).next()
    }

    /// The only value of one known field: none when it is absent or occurs more than once.
    pub fn only(&self, id: FieldId) -> Option<&[u8]> {
        let mut lines = match self.has(id) {
            true => self.lines.iter(),
            false => return None,
        };
        let first = lines.find(|line| line.id == id)?;
        match lines.any(|line| line.id == id) {
            true => None,
            false => Some(first.value.of(&self.raw)),
        }
    }

    /// The first value of a field by any name, compared without case.
    pub fn named(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// Takes all lines with this id out.
    pub fn remove(&mut self, id: FieldId) {
        if self.has(id) {
            self.present &= !id.bit();
            self.lines.retain(|line| line.id != id);
        }
    }

    /// Takes all lines with this name out, compared without case and with `_` as `-`, as origins that make variables of names
    /// compare them.
    pub fn remove_named(&mut self, name: &[u8]) {
        let fold = |byte: &u8| {
            if *byte == b'_' {
                b'-'
            } else {
                byte.to_ascii_lowercase()
            }
        };
        let raw = &self.raw;
        self.lines
            .retain(|line| !line.name.of(raw).iter().map(fold).eq(name.iter().map(fold)));
        self.present = self.lines.iter().fold(0, |set, line| set | line.id.bit());
    }

    fn field(&self, line: &Line) -> Field<'_> {
        Field {
            id: line.id,
            name: line.name.of(&self.raw),
            value: line.value.of(&self.raw),
        }
    }
}

/// A request method (RFC 9110 §9). Names are compared with case, as the RFC demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "each variant is its method")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Trace,
    Connect,
    /// Any other token; its bytes are [`RequestHead::method_bytes`].
    Other,
}

impl Method {
    /// From its bytes.
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            b"TRACE" => Self::Trace,
            b"CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }

    /// Safe to repeat after a failure (RFC 9110 §9.2.2).
    pub fn is_idempotent(self) -> bool {
        matches!(
            self,
            Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace
        )
    }
}

/// What a client asked for.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The field lines. For HTTP/1.1 their buffer is the whole head, request line included.
    pub fields: Fields,
    /// The method.
    pub method: Method,
    /// The version in which it came.
    pub version: HttpVersion,
    /// The method's bytes.
    pub method_span: Span,
    /// Path and query (origin-form, or `*`), as they came.
    pub target_span: Span,
    /// Host and port: from an absolute-form target or `:authority`, else from `Host`.
    pub authority_span: Span,
    /// `:scheme`, or that of an absolute-form target; empty otherwise.
    pub scheme_span: Span,
    /// `:protocol` of an extended CONNECT (RFC 8441); empty otherwise.
    pub protocol_span: Span,
}

impl RequestHead {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.method = Method::Get;
        self.version = HttpVersion::default();
        self.method_span = Span::default();
        self.target_span = Span::default();
        self.authority_span = Span::default();
        self.scheme_span = Span::default();
        self.protocol_span = Span::default();
    }

    /// The method as it came.
    pub fn method_bytes(&self) -> &[u8] {
        self.fields.bytes(self.method_span)
    }

    /// Path and query, as they came.
    pub fn target(&self) -> &[u8] {
        self.fields.bytes(self.target_span)
    }

    /// The path, without the query.
    pub fn path(&self) -> &[u8] {
        let target = self.target();
        target
            .split(|byte| *byte == b'?')
            .next()
            .unwrap_or_default()
    }

    /// Host and port.
    pub fn authority(&self) -> &[u8] {
        self.fields.bytes(self.authority_span)
    }

    /// `:scheme`, or that of an absolute-form target; empty otherwise.
    pub fn scheme(&self) -> &[u8] {
        self.fields.bytes(self.scheme_span)
    }

    /// `:protocol` of an extended CONNECT (RFC 8441); empty otherwise.
    pub fn protocol(&self) -> &[u8] {
        self.fields.bytes(self.protocol_span)
    }
}

/// What an origin answered.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The field lines.
    pub fields: Fields,
    /// The status code, 100 to 999.
    pub status: u16,
    /// The version in which it came.
    pub version: HttpVersion,
}

impl ResponseHead {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.status = 0;
        self.version = HttpVersion::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_in_one_form_however_they_came() {
        let mut fields = Fields::default();
        let raw = b"A: 1\r\nHost: x\r\nB:2\r\nC:  3 \r\nD: 4\r\n";
        fields.set_raw(raw);
        for (name, value) in [
            (0..1, 3..4),
            (6..10, 12..13),
            (15..16, 17..18),
            (20..21, 24..25),
            (28..29, 31..32),
        ] {
            let span = |range: std::ops::Range<usize>| Span::new(range.start, range.len());
            fields.push_span(span(name), span(value));
        }
        fields.append(b"E", b"5");
        let mut out = Vec::new();
        fields.write_lines(FieldId::Host.bit(), &mut out);
        assert_eq!(out, b"A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\n");
    }

    #[test]
    fn lines_keep_their_order_and_can_be_asked_by_id_or_name() {
        let mut fields = Fields::default();
        assert_eq!(fields.push(b"Host", b"a.test"), FieldId::Host);
        fields.push(b"X-One", b"1");
        fields.push(b"Via", b"1.1 a");
        fields.push(b"via", b"1.1 b");
        assert_eq!(fields.first(FieldId::Via), Some(&b"1.1 a"[..]));
        assert_eq!(fields.only(FieldId::Via), None);
        assert_eq!(fields.only(FieldId::Host), Some(&b"a.test"[..]));
        assert_eq!(fields.named(b"x-one"), Some(&b"1"[..]));
        fields.remove(FieldId::Via);
        assert!(!fields.has(FieldId::Via));
        fields.push(b"x_ONE", b"shadow");
        fields.remove_named(b"X-One");
        assert_eq!(fields.len(), 1);
    }
}
