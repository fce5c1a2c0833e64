//! A message's head: one flat buffer of bytes and the spans of what lies in it.
//!
//! HTTP/1.1 fills it with the head as it came, so that the raw bytes stay available to rules that judge them; HTTP/2 and
//! HTTP/3 fill it with what their field compression decoded. Nothing in here is parsed text of ours: bytes and offsets only.

mod lines;
mod masked;

use crate::FieldId;
use crate::conn::HttpVersion;
pub use lines::Reading;
use lines::{Line, Present};

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
#[derive(Clone, Default)]
pub struct Fields {
    raw: Vec<u8>,
    /// Room for lines, of which the first `count` are there: who reads a head makes room once, not for each line.
    lines: Vec<Line>,
    count: usize,
    present: Present,
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the room that is left from heads before.
        f.debug_struct("Fields")
            .field("raw", &self.raw)
            .field("lines", &self.lines())
            .finish()
    }
}

impl Fields {
    /// The buffer that all spans point into.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.raw.clear();
        self.count = 0;
        self.present.clear();
    }

    /// Takes lines that are read, until there are `most` of them (65,535 at most).
    #[inline]
    pub fn reading(&mut self, most: usize) -> Reading<'_> {
        let most = most.min(usize::from(u16::MAX));
        if self.lines.len() < most {
            self.make_room(most);
        }
        let Present {
            any,
            repeated,
            places,
        } = &mut self.present;
        Reading {
            lines: self.lines.get_mut(..most).unwrap_or_default(),
            number: self.count,
            places: places.get_or_insert_with(|| Box::new([0; 64])),
            any,
            repeated,
            count: &mut self.count,
        }
    }

    #[cold]
    fn make_room(&mut self, most: usize) {
        self.lines.resize(most, Line::default());
    }

    /// Replaces the buffer's content by `bytes`, before lines are added with [`Fields::push_span`].
    pub fn set_raw(&mut self, bytes: &[u8]) {
        self.clear();
        self.raw.extend_from_slice(bytes);
    }

    /// Puts the buffer under lines that were added already ([`Fields::reading`]).
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
        self.add(id, Line::new(&self.raw, id, name, value));
        id
    }

    fn add(&mut self, id: FieldId, line: Line) {
        self.present.add(id, self.count);
        match self.lines.get_mut(self.count) {
            Some(free) => *free = line,
            None => self.lines.push(line),
        }
        self.count += 1;
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
        let value_end = value.start + value.len;
        self.add(id, Line::tidy(id, name.start, value.start, value_end));
    }

    /// The bytes of a span.
    pub fn bytes(&self, span: Span) -> &[u8] {
        span.of(&self.raw)
    }

    /// How many lines there are, removed ones included.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no line at all.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether any line has this id.
    pub fn has(&self, id: FieldId) -> bool {
        self.present.any & id.bit() != 0
    }

    /// Whether any line has one of these ids (a set made of [`FieldId::bit`]).
    pub fn has_any(&self, ids: u64) -> bool {
        self.present.any & ids != 0
    }

    /// All lines that were not removed.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.lines()
            .iter()
            .filter(|line| !line.has(FieldId::Removed))
            .map(|line| self.field(line))
    }

    /// All lines that were not removed, each with whether it was added once the buffer had `mark` bytes.
    pub fn iter_marked(&self, mark: usize) -> impl Iterator<Item = (Field<'_>, bool)> {
        let lines = self.lines().iter();
        let lines = lines.filter(|line| !line.has(FieldId::Removed));
        lines.map(move |line| (self.field(line), line.start as usize >= mark))
    }

    /// Appends all lines but those in `skip` as `name: value CRLF` (RFC 9112 §5).
    ///
    /// Where the buffer has neighbouring lines in just this form, as a well-formed HTTP/1.1 head has, they are copied in one
    /// piece: the bytes are the same as written one by one.
    pub fn write_lines(&self, skip: u64, out: &mut Vec<u8>) {
        // No line begins there.
        const NOWHERE: u32 = u32::MAX;
        let (mut start, mut end) = (NOWHERE, NOWHERE);
        let skip = skip | FieldId::Removed.bit();
        for line in self.lines() {
            if skip & line.bit() != 0 {
                continue;
            }
            if line.start == end && line.is_tidy() {
                end = line.value_end + 2;
                continue;
            }
            self.write_run(start, end, out);
            if line.is_tidy() {
                (start, end) = (line.start, line.value_end + 2);
            } else {
                (start, end) = (NOWHERE, NOWHERE);
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
        out.extend_from_slice(line.name().of(&self.raw));
        out.extend_from_slice(b": ");
        out.extend_from_slice(line.value().of(&self.raw));
        out.extend_from_slice(b"\r\n");
    }

    /// All values of one known field.
    pub fn all(&self, id: FieldId) -> impl Iterator<Item = &[u8]> {
        self.spans(id).map(|value| value.of(&self.raw))
    }

    /// Where the values of one known field are.
    pub fn spans(&self, id: FieldId) -> impl Iterator<Item = Span> {
        self.lines_to_search(id)
            .iter()
            .filter(move |line| line.has(id))
            .map(Line::value)
    }

    /// Lines that contain all with this id: itself alone where only one has it.
    #[inline]
    fn lines_to_search(&self, id: FieldId) -> &[Line] {
        match self.present.only(id) {
            Some(number) => self.lines.get(number).map(std::slice::from_ref),
            None => self.has(id).then(|| self.lines()),
        }
        .unwrap_or_default()
    }

    #[inline]
    fn lines(&self) -> &[Line] {
        self.lines.get(..self.count).unwrap_or_default()
    }

    /// The first value of one known field.
    pub fn first(&self, id: FieldId) -> Option<&[u8]> {
        self.all(id).next()
    }

    /// The only value of one known field: none when it is absent or occurs more than once.
    #[inline]
    pub fn only(&self, id: FieldId) -> Option<&[u8]> {
        self.only_span(id).map(|value| value.of(&self.raw))
    }

    /// Where the only value of one known field is: none when it is absent or occurs more than once.
    #[inline]
    pub fn only_span(&self, id: FieldId) -> Option<Span> {
        if let Some(number) = self.present.only(id) {
            return self.lines.get(number).map(Line::value);
        }
        if !self.has(id) {
            return None;
        }
        let mut values = self.spans(id);
        values.next().filter(|_| values.next().is_none())
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
            self.retain(|_, line| !line.has(id));
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
        self.retain(|raw, line| {
            !line
                .name()
                .of(raw)
                .iter()
                .map(fold)
                .eq(name.iter().map(fold))
        });
    }

    fn retain(&mut self, is_kept: impl Fn(&[u8], &Line) -> bool) {
        let before = std::mem::take(&mut self.count);
        self.present.clear();
        for number in 0..before {
            let line = self.lines.get(number).copied().unwrap_or_default();
            if is_kept(&self.raw, &line) {
                self.add(FieldId::from_number(line.kind as u8), line);
            }
        }
    }

    fn field(&self, line: &Line) -> Field<'_> {
        Field {
            id: FieldId::from_number(line.kind as u8),
            name: line.name().of(&self.raw),
            value: line.value().of(&self.raw),
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
        query_mark(target)
            .and_then(|end| target.get(..end))
            .unwrap_or(target)
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

/// Where the first `?` is. Each rule about the path asks: blocks are looked at as a whole, many bytes at once.
fn query_mark(target: &[u8]) -> Option<usize> {
    let (blocks, rest) = target.as_chunks::<32>();
    let has = |block: &[u8; 32]| block.iter().fold(false, |any, byte| any | (*byte == b'?'));
    let (at, piece) = match blocks.iter().position(has) {
        Some(nth) => (nth * 32, blocks.get(nth).map(<[u8; 32]>::as_slice)),
        None => (blocks.len() * 32, Some(rest)),
    };
    let found = piece?.iter().position(|byte| *byte == b'?');
    found.map(|nth| at + nth)
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
mod tests;
