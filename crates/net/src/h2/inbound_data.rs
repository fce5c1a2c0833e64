//! DATA frames (RFC 9113 §6.1, §6.9). Their content is passed on as it comes, so no frame is ever kept to be completed.

use super::frame::{Header, flag};
use super::history::Past;
use super::{Connection, ConnectionError, ErrorCode, Event, Role, StreamId};

/// A DATA frame whose header has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct DataFrame {
    stream: StreamId,
    /// Bytes of content to come; with `padded`, of the whole payload.
    left: usize,
    /// The byte that tells the padding's length is to come.
    padded: bool,
    /// Bytes of padding to come after the content.
    padding: usize,
    end: bool,
    /// Nobody wants it: only the connection's window counts.
    discard: bool,
}

impl Connection {
    pub(super) fn begin_data(&mut self, header: &Header) -> Result<(), ConnectionError> {
        let Header {
            length, stream: id, ..
        } = *header;
        if id == 0 {
            return Err(ConnectionError::protocol("DATA on stream 0"));
        }
        let padded = header.has(flag::PADDED);
        if padded && length == 0 {
            let why = "DATA shorter than its flags say";
            return Err(ConnectionError::new(ErrorCode::FRAME_SIZE_ERROR, why));
        }
        if !self.granted.take(length) {
            let why = "more DATA than the connection's window";
            return Err(ConnectionError::new(ErrorCode::FLOW_CONTROL_ERROR, why));
        }
        let end = header.has(flag::END_STREAM);
        if length == 0 && !end {
            self.guard.useless()?;
        }
        let discard = !self.wants_data(id, length)?;
        let left = length as usize;
        self.continue_data(DataFrame {
            stream: id,
            left,
            padded,
            padding: 0,
            end,
            discard,
        })
    }

    /// Whether there is a stream for the frame. If the frame is an error, it is dealt with.
    fn wants_data(&mut self, id: StreamId, length: u32) -> Result<bool, ConnectionError> {
        let closed = ConnectionError::new(ErrorCode::STREAM_CLOSED, "DATA on a closed stream");
        let past = self.past(id);
        let Some(stream) = self.streams.get_mut(id) else {
            return match past {
                Past::Idle => Err(ConnectionError::protocol("DATA on an idle stream")),
                Past::Skipped | Past::Ended => Err(closed),
                Past::ResetByUs | Past::Forgotten => self.guard.useless().map(|()| false),
            };
        };
        if stream.reset.is_some() {
            return if past == Past::ResetByUs {
                self.guard.useless().map(|()| false)
            } else {
                Err(closed)
            };
        }
        if stream.remote_ended && stream.local_ended {
            return Err(closed);
        }
        let wrong = if stream.remote_ended {
            Some(ErrorCode::STREAM_CLOSED)
        } else if !stream.head_received {
            Some(ErrorCode::PROTOCOL_ERROR)
        } else if !stream.granted.take(length) {
            Some(ErrorCode::FLOW_CONTROL_ERROR)
        } else {
            None
        };
        match wrong {
            None => Ok(true),
            Some(code) => self.stream_error(id, code).map(|()| false),
        }
    }

    /// Bytes of the payload. Returns those behind it.
    pub(super) fn data_bytes<'a>(
        &mut self,
        mut frame: DataFrame,
        mut bytes: &'a [u8],
    ) -> Result<&'a [u8], ConnectionError> {
        if frame.padded
            && let Some((padding, rest)) = bytes.split_first()
        {
            bytes = rest;
            frame.padded = false;
            frame.padding = usize::from(*padding);
            frame.left = (frame.left - 1)
                .checked_sub(frame.padding)
                .ok_or(ConnectionError::protocol("DATA padded beyond its length"))?;
            if frame.left == 0 && !frame.end {
                self.guard.useless()?;
            }
            self.pass_over(&frame, 1 + frame.padding);
        }
        let (content, rest) = bytes.split_at_checked(frame.left).unwrap_or((bytes, &[]));
        frame.left -= content.len();
        if !content.is_empty() {
            frame.discard = !self.deliver(&frame, content)?;
        }
        let padding = if frame.left == 0 {
            frame.padding.min(rest.len())
        } else {
            0
        };
        frame.padding -= padding;
        let rest = rest.get(padding..).unwrap_or_default();
        self.continue_data(frame)?;
        Ok(rest)
    }

    fn continue_data(&mut self, frame: DataFrame) -> Result<(), ConnectionError> {
        if frame.left > 0 || frame.padded || frame.padding > 0 {
            self.data = Some(frame);
            return Ok(());
        }
        if frame.end && !frame.discard {
            self.end_of_body(frame.stream)
        } else {
            Ok(())
        }
    }

    /// Puts content into the stream's body. False when nobody wants it.
    fn deliver(&mut self, frame: &DataFrame, content: &[u8]) -> Result<bool, ConnectionError> {
        let id = frame.stream;
        let stream = self
            .streams
            .get_mut(id)
            .filter(|stream| stream.reset.is_none());
        let Some(stream) = stream.filter(|_| !frame.discard) else {
            self.grant_connection(content.len());
            return Ok(false);
        };
        if !stream.receives(content.len()) {
            self.grant_connection(content.len());
            return self
                .stream_error(id, ErrorCode::PROTOCOL_ERROR)
                .map(|()| false);
        }
        stream.body.extend(content);
        if !stream.data_told {
            stream.data_told = true;
            self.events.push_back(Event::Data { id });
        }
        self.guard.moved(1);
        Ok(true)
    }

    /// Bytes of a frame that are not content count for the windows all the same.
    fn pass_over(&mut self, frame: &DataFrame, length: usize) {
        if frame.discard {
            self.grant_connection(length)
        } else {
            self.grant(frame.stream, length)
        }
    }

    fn end_of_body(&mut self, id: StreamId) -> Result<(), ConnectionError> {
        let Some(stream) = self
            .streams
            .get_mut(id)
            .filter(|stream| stream.reset.is_none())
        else {
            return Ok(());
        };
        if !stream.is_whole() {
            return self.stream_error(id, ErrorCode::PROTOCOL_ERROR);
        }
        self.events.push_back(Event::EndOfBody { id });
        self.remote_end(id);
        Ok(())
    }

    /// The peer has ended its side of the stream.
    pub(super) fn remote_end(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.remote_ended = true;
            if self.config.role == Role::Client {
                self.guard.completed();
            }
        }
        self.settle(id);
    }
}
