//! Where the lines of a head lie, which ids they have, and how a reader hands them over.

use super::Span;
use crate::FieldId;

/// Where one line lies, in as few bytes as can be: every line of every message is written here once and read several times.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    /// Of the name.
    pub(super) start: u32,
    pub(super) value_start: u32,
    pub(super) value_end: u32,
    /// The id in the lowest byte. Above it 0 where the buffer has the line as `name: value CRLF`, else one more than the bytes
    /// between name and value, of which there are far less than 16 MiB.
    pub(super) kind: u32,
}

impl Line {
    pub(super) fn new(raw: &[u8], id: FieldId, name: Span, value: Span) -> Self {
        match is_tidy(raw, name, value) {
            true => Self::tidy(id, name.start, value.start, value.start + value.len),
            false => Self::untidy(id, name, value),
        }
    }

    #[inline(always)]
    pub(super) const fn tidy(id: FieldId, start: u32, value_start: u32, value_end: u32) -> Self {
        Self {
            start,
            value_start,
            value_end,
            kind: id as u32,
        }
    }

    /// The value does not begin before the name has ended.
    pub(super) fn untidy(id: FieldId, name: Span, value: Span) -> Self {
        let between = value.start.saturating_sub(name.start + name.len);
        Self {
            kind: id as u32 | (between + 1) << 8,
            ..Self::tidy(id, name.start, value.start, value.start + value.len)
        }
    }

    /// The id as a bit, for sets of ids.
    pub(super) const fn bit(&self) -> u64 {
        1 << (self.kind & 63)
    }

    pub(super) fn has(&self, id: FieldId) -> bool {
        self.kind & 255 == id as u32
    }

    pub(super) const fn is_tidy(&self) -> bool {
        self.kind < 256
    }

    pub(super) fn name(&self) -> Span {
        let between = match self.kind >> 8 {
            0 => 2,
            more => more - 1,
        };
        Span {
            start: self.start,
            len: self.value_start.saturating_sub(between + self.start),
        }
    }

    pub(super) fn value(&self) -> Span {
        Span {
            start: self.value_start,
            len: self.value_end.saturating_sub(self.value_start),
        }
    }
}

/// Whether the buffer has this line as `name: value CRLF`.
pub(super) fn is_tidy(raw: &[u8], name: Span, value: Span) -> bool {
    let name_end = (name.start + name.len) as usize;
    let value_end = (value.start + value.len) as usize;
    raw.get(name_end..value.start as usize) == Some(b": ")
        && raw.get(value_end..value_end + 2) == Some(b"\r\n")
}

/// Which ids occur, and where: most questions are "is there any?" and "what does the only one say?".
#[derive(Clone, Default)]
pub(super) struct Present {
    pub(super) any: u64,
    /// Those whose place is not told: they occur more than once, or it was not noted.
    pub(super) repeated: u64,
    /// By id, the number of the line that has it; old where `any` has it not. There from the first [`Fields::reading`] on.
    pub(super) places: Option<Box<Places>>,
}

pub(super) type Places = [u16; 64];

impl Present {
    pub(super) fn clear(&mut self) {
        self.any = 0;
        self.repeated = 0;
    }

    pub(super) fn add(&mut self, id: FieldId, number: usize) {
        note(id, &mut self.any, &mut self.repeated);
        let place = self
            .places
            .as_mut()
            .and_then(|all| all.get_mut(id as usize));
        match (place, u16::try_from(number)) {
            (Some(place), Ok(number)) => *place = number,
            _ => self.repeated |= id.bit(),
        }
    }

    /// The number of the only line with this id, if its place was noted.
    #[inline]
    pub(super) fn only(&self, id: FieldId) -> Option<usize> {
        if self.any & !self.repeated & id.bit() == 0 {
            return None;
        }
        let place = self.places.as_ref()?.get(id as usize)?;
        Some(usize::from(*place))
    }
}

#[inline(always)]
pub(super) fn note(id: FieldId, any: &mut u64, repeated: &mut u64) {
    if *any & id.bit() == 0 {
        *any |= id.bit();
    } else {
        *repeated |= id.bit();
    }
}

/// Takes the lines of a head that is being read. They lie in bytes which the buffer has, or will be given by
/// [`Fields::put_raw`]. What it took is in the [`Fields`] when it is dropped.
pub struct Reading<'a> {
    /// Room for as many as may be.
    pub(super) lines: &'a mut [Line],
    pub(super) number: usize,
    pub(super) places: &'a mut Places,
    pub(super) any: &'a mut u64,
    pub(super) repeated: &'a mut u64,
    pub(super) count: &'a mut usize,
}

impl Reading<'_> {
    /// Adds a line which the bytes have as `name: value CRLF`. False when there are too many.
    #[inline(always)]
    pub fn push_tidy(&mut self, id: FieldId, start: usize, name_len: usize, end: usize) -> bool {
        let value_start = start + name_len + 2;
        self.push_line(
            Line::tidy(id, start as u32, value_start as u32, end as u32),
            id,
        )
    }

    /// Adds any line; the value follows the name. False when there are too many.
    #[inline(always)]
    pub fn push(&mut self, id: FieldId, name: Span, value: Span) -> bool {
        self.push_line(Line::untidy(id, name, value), id)
    }

    #[inline(always)]
    pub(super) fn push_line(&mut self, line: Line, id: FieldId) -> bool {
        let Some(free) = self.lines.get_mut(self.number) else {
            return false;
        };
        *free = line;
        if let Some(place) = self.places.get_mut(id as usize) {
            *place = self.number as u16;
        }
        self.number += 1;
        note(id, self.any, self.repeated);
        true
    }
}

impl Drop for Reading<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        *self.count = self.number;
    }
}
