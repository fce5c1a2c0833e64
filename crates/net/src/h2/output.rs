//! What is to be sent: one contiguous buffer, so that one write takes all of it.

use super::frame::{self, HEADER, Header, flag, kind};
use super::{ErrorCode, StreamId};

/// A buffer larger than this is not kept once it is empty.
const KEPT: usize = 16 * 1024;

/// The output of a connection.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// How many of them are sent.
    sent: usize,
    /// Control frames that lie before `mark`, and those behind it.
    older: Control,
    newer: Control,
    /// Once all before it is sent, what was newer becomes the older.
    mark: usize,
}

/// Control frames in the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Control {
    /// Bytes of all of them.
    pub(super) bytes: usize,
    /// How many acknowledge something.
    pub(super) acks: u32,
}

/// Where a frame begins that is still being written.
pub(super) struct Begun {
    at: usize,
}

impl Output {
    pub(super) fn pending(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(super) fn advance(&mut self, length: usize) {
        self.sent = (self.sent + length).min(self.bytes.len());
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            (self.sent, self.mark) = (0, 0);
            (self.older, self.newer) = (Control::default(), Control::default());
            return;
        }
        if self.sent >= self.mark {
            self.mark = self.bytes.len();
            self.older = std::mem::take(&mut self.newer);
        }
        if self.sent > KEPT && self.sent * 2 > self.bytes.len() {
            self.bytes.drain(..self.sent);
            self.mark -= self.sent;
            self.sent = 0;
        }
    }

    /// Gives the memory back when there is nothing to send.
    pub(super) fn shrink(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }

    /// Gives the memory back when there is nothing to send and it is large.
    pub(super) fn shrink_if_large(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
    }

    /// The control frames that wait, or somewhat more.
    pub(super) fn control(&self) -> Control {
        let Control { bytes, acks } = self.newer;
        Control {
            bytes: bytes + self.older.bytes,
            acks: acks + self.older.acks,
        }
    }

    /// Appends raw bytes: the client's preface, or what the socket did not take of frames that are written already.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn settings(&mut self, settings: &[(u16, u32)]) {
        frame::put_settings(&mut self.bytes, settings);
    }

    pub(super) fn settings_ack(&mut self) {
        self.newer.acks += 1;
        self.queue(frame::put_settings_ack);
    }

    pub(super) fn ping(&mut self, ack: bool, payload: &[u8; 8]) {
        self.newer.acks += u32::from(ack);
        self.queue(|bytes| frame::put_ping(bytes, ack, payload));
    }

    pub(super) fn reset(&mut self, stream: StreamId, code: ErrorCode) {
        self.queue(|bytes| frame::put_reset(bytes, stream, code));
    }

    pub(super) fn window_update(&mut self, stream: StreamId, increment: u32) {
        self.queue(|bytes| frame::put_window_update(bytes, stream, increment));
    }

    pub(super) fn go_away(&mut self, last: StreamId, code: ErrorCode) {
        frame::put_go_away(&mut self.bytes, last, code);
    }

    /// Appends one DATA frame.
    pub(super) fn data(&mut self, header: Header, content: &[u8]) {
        self.bytes.extend_from_slice(&header.bytes());
        self.bytes.extend_from_slice(content);
    }

    /// Begins a HEADERS frame; its block is to be appended to the buffer that is returned.
    pub(super) fn begin_head(&mut self, stream: StreamId, end: bool) -> (Begun, &mut Vec<u8>) {
        let at = self.bytes.len();
        let flags = flag::END_HEADERS | if end { flag::END_STREAM } else { 0 };
        let header = Header {
            length: 0,
            kind: kind::HEADERS,
            flags,
            stream,
        };
        self.bytes.extend_from_slice(&header.bytes());
        (Begun { at }, &mut self.bytes)
    }

    /// Ends a HEADERS frame: fills its length in, or splits a block that is too long for one frame.
    pub(super) fn end_head(&mut self, begun: Begun, max_frame: usize) {
        let content = self.bytes.len() - begun.at - HEADER;
        if content > max_frame {
            self.split_head(&begun, max_frame);
        } else {
            self.set_length(&begun, content);
        }
    }

    fn queue(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes.len();
        put(&mut self.bytes);
        self.newer.bytes += self.bytes.len() - before;
    }

    fn set_length(&mut self, begun: &Begun, content: usize) {
        let [_, a, b, c] = (content as u32).to_be_bytes();
        if let Some(length) = self.bytes.get_mut(begun.at..begun.at + 3) {
            length.copy_from_slice(&[a, b, c]);
        }
    }

    #[cold]
    fn split_head(&mut self, begun: &Begun, max_frame: usize) {
        let rest = self.bytes.split_off(begun.at + HEADER + max_frame);
        self.set_length(begun, max_frame);
        if let Some(flags) = self.bytes.get_mut(begun.at + 4) {
            *flags &= !flag::END_HEADERS;
        }
        let header = self
            .bytes
            .get(begun.at..)
            .and_then(|bytes| bytes.first_chunk());
        let stream = header.map_or(0, |header| Header::parse(header).stream);
        let mut chunks = rest.chunks(max_frame).peekable();
        while let Some(chunk) = chunks.next() {
            let flags = if chunks.peek().is_none() {
                flag::END_HEADERS
            } else {
                0
            };
            let length = chunk.len() as u32;
            let header = Header {
                length,
                kind: kind::CONTINUATION,
                flags,
                stream,
            };
            self.bytes.extend_from_slice(&header.bytes());
            self.bytes.extend_from_slice(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(length: u32) -> Header {
        let (kind, flags, stream) = (kind::DATA, 0, 1);
        Header {
            length,
            kind,
            flags,
            stream,
        }
    }

    #[test]
    fn a_long_block_is_split_into_continuations() {
        let mut output = Output::default();
        output.raw(b"before");
        let (begun, bytes) = output.begin_head(3, true);
        bytes.extend_from_slice(&[7; 45]);
        output.end_head(begun, 20);
        let mut rest = &output.pending()[6..];
        let mut seen = Vec::new();
        while let Some((header, after)) = rest.split_first_chunk::<HEADER>() {
            let header = Header::parse(header);
            assert_eq!(header.stream, 3);
            seen.push((header.kind, header.flags, header.length));
            rest = &after[header.length as usize..];
        }
        assert_eq!(seen, [(1, 1, 20), (9, 0, 20), (9, 4, 5)]);
    }

    #[test]
    fn waiting_control_frames_are_counted_though_the_output_never_empties() {
        let mut output = Output::default();
        for _ in 0..1000 {
            output.ping(true, &[0; 8]);
            output.data(data(1000), &[0; 1000]);
            assert!(output.control().acks <= 3, "{:?}", output.control());
            output.advance(output.len() - 500);
        }
        output.advance(500);
        assert_eq!(output.control(), Control::default());
    }

    #[test]
    fn sent_bytes_make_room() {
        let mut output = Output::default();
        output.data(data(60_000), &[0; 60_000]);
        output.advance(50_000);
        assert_eq!(output.len(), 10_009);
        assert_eq!(output.bytes.len(), 10_009);
        output.advance(10_009);
        assert_eq!(output.len(), 0);
        output.shrink_if_large();
        assert_eq!(output.bytes.capacity(), 0);
    }
}
