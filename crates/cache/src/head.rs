//! The head of a stored response: one buffer in which the lines lie as they are sent, and where each of them is.

use seawall_model::{FieldId, Fields, ResponseHead};

/// Where a line lies in the buffer.
#[derive(Clone, Copy, Debug)]
struct Line {
    id: FieldId,
    start: u32,
    name_end: u32,
    value_end: u32,
}

/// A stored head. It takes its bytes and 16 more for each line.
#[derive(Clone, Debug)]
pub struct Head {
    status: u16,
    raw: Box<[u8]>,
    lines: Box<[Line]>,
}

/// Between name and value.
const COLON: &[u8] = b": ";

impl Head {
    /// Takes lines, `name: value CRLF` each.
    pub fn new<'f>(
        status: u16,
        fields: impl IntoIterator<Item = (FieldId, &'f [u8], &'f [u8])>,
    ) -> Self {
        let (mut raw, mut lines) = (Vec::new(), Vec::new());
        for (id, name, value) in fields {
            let start = raw.len() as u32;
            raw.extend_from_slice(name);
            let name_end = raw.len() as u32;
            raw.extend_from_slice(COLON);
            raw.extend_from_slice(value);
            let value_end = raw.len() as u32;
            raw.extend_from_slice(b"\r\n");
            lines.push(Line {
                id,
                start,
                name_end,
                value_end,
            });
        }
        Self {
            status,
            raw: raw.into(),
            lines: lines.into(),
        }
    }

    /// The status code.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// All lines as they are sent, each with its CRLF.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The lines in their order: what the name is known as, name, value.
    pub fn iter(&self) -> impl Iterator<Item = (FieldId, &[u8], &[u8])> {
        self.lines.iter().map(|line| {
            let bytes = |from: u32, to: u32| {
                let range = from as usize..to as usize;
                self.raw.get(range).unwrap_or_default()
            };
            let value = bytes(line.name_end + COLON.len() as u32, line.value_end);
            (line.id, bytes(line.start, line.name_end), value)
        })
    }

    /// The first value of a field, its name compared without case.
    pub fn named(&self, wanted: &[u8]) -> Option<&[u8]> {
        let mut lines = self.iter();
        let found = lines.find(|(_, name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, _, value)| value)
    }

    /// The only value of a field: none where it stands several times.
    pub fn only(&self, wanted: &[u8]) -> Option<&[u8]> {
        let mut lines = self.iter();
        let mut values = lines
            .by_ref()
            .filter(|(_, name, _)| name.eq_ignore_ascii_case(wanted));
        let (_, _, value) = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// Makes it a head that can be judged and sent.
    pub fn fill(&self, head: &mut ResponseHead) {
        head.clear();
        head.status = self.status;
        self.fill_fields(&mut head.fields);
    }

    /// The lines alone.
    pub fn fill_fields(&self, fields: &mut Fields) {
        use seawall_model::head::Span;
        fields.set_raw(&self.raw);
        for line in &self.lines {
            let (start, end) = (line.start as usize, line.name_end as usize);
            let value = end + COLON.len();
            let name = Span::new(start, end.saturating_sub(start));
            let length = (line.value_end as usize).saturating_sub(value);
            fields.push_span(name, Span::new(value, length));
        }
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        self.raw.len() + size_of_val(&*self.lines) + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_comes_out_as_it_was() {
        let head = Head::new(
            200,
            [
                (FieldId::Date, &b"Date"[..], &b"today"[..]),
                (FieldId::Other, b"X-a", b""),
                (FieldId::Other, b"x-A", b"2"),
            ],
        );
        assert_eq!(head.raw(), b"Date: today\r\nX-a: \r\nx-A: 2\r\n");
        assert_eq!(head.named(b"DATE"), Some(&b"today"[..]));
        assert_eq!(head.named(b"x-a"), Some(&b""[..]));
        assert_eq!(head.only(b"x-a"), None);
        assert_eq!(head.only(b"date"), Some(&b"today"[..]));
        let mut out = ResponseHead::default();
        head.fill(&mut out);
        assert_eq!(out.status, 200);
        assert_eq!(out.fields.first(FieldId::Date), Some(&b"today"[..]));
        let mut written = Vec::new();
        out.fields.write_lines(0, &mut written);
        assert_eq!(written, head.raw());
        assert_eq!(out.fields.iter().count(), 3);
    }
}
