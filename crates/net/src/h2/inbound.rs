//! Taking frames in: cutting them out of the bytes, what holds for all of them (RFC 9113 §3.4, §4, §5.1), and the
//! control frames (§6.3–6.9). HEADERS are in `inbound_heads`, DATA in `inbound_data`.

use super::connection::{KEPT_INPUT, Phase};
use super::frame::{self, Dependency, HEADER, Header, flag, kind};
use super::history::Past;
use super::stream::Writing;
use super::{Connection, ConnectionError, ErrorCode, Event, Role, StreamId};

/// What a client's connection begins with (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const FRAME_SIZE: ErrorCode = ErrorCode::FRAME_SIZE_ERROR;

impl Connection {
    pub(super) fn parse(&mut self, mut bytes: &[u8]) -> Result<(), ConnectionError> {
        while !bytes.is_empty() {
            bytes = if self.phase == Phase::Preface {
                self.preface(bytes)?
            } else if let Some(frame) = self.data.take() {
                self.data_bytes(frame, bytes)?
            } else if self.input.is_empty() {
                self.frame(bytes)?
            } else {
                self.frame_in_parts(bytes)?
            };
        }
        Ok(())
    }

    fn preface<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], ConnectionError> {
        let missing = (PREFACE.len() - self.input.len()).min(bytes.len());
        let (part, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        self.input.extend_from_slice(part);
        if !PREFACE.starts_with(&self.input) {
            return Err(ConnectionError::protocol("no HTTP/2 preface"));
        }
        if self.input.len() == PREFACE.len() {
            self.input.clear();
            self.phase = Phase::FirstFrame;
        }
        Ok(rest)
    }

    /// One frame that begins at the front of `bytes`. Returns what follows it.
    fn frame<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], ConnectionError> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
            self.input.extend_from_slice(bytes);
            return Ok(&[]);
        };
        let header = Header::parse(header);
        self.admit(&header)?;
        if header.kind == kind::DATA {
            self.begin_data(&header)?;
            return Ok(rest);
        }
        let Some((payload, rest)) = rest.split_at_checked(header.length as usize) else {
            self.input.extend_from_slice(bytes);
            return Ok(&[]);
        };
        self.whole_frame(&header, payload)?;
        Ok(rest)
    }

    /// Goes on with a frame whose beginning is in the input buffer.
    fn frame_in_parts<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], ConnectionError> {
        let header = self.input.first_chunk::<HEADER>().map(Header::parse);
        let want = header.map_or(HEADER, |header| HEADER + header.length as usize);
        let missing = want.saturating_sub(self.input.len()).min(bytes.len());
        let (part, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        self.input.extend_from_slice(part);
        if self.input.len() < want {
            return Ok(rest);
        }
        let Some(known) = header else {
            let Some(header) = self.input.first_chunk::<HEADER>().map(Header::parse) else {
                return Ok(rest);
            };
            self.admit(&header)?;
            if header.kind == kind::DATA {
                self.input.clear();
                self.begin_data(&header)?;
            } else if header.length == 0 {
                self.input.clear();
                self.whole_frame(&header, &[])?;
            }
            return Ok(rest);
        };
        let mut input = std::mem::take(&mut self.input);
        self.whole_frame(&known, input.get(HEADER..).unwrap_or_default())?;
        if input.capacity() <= KEPT_INPUT {
            input.clear();
            self.input = input;
        }
        Ok(rest)
    }

    /// What a frame's header alone can have wrong.
    fn admit(&mut self, header: &Header) -> Result<(), ConnectionError> {
        if header.length > self.config.max_frame_size {
            return Err(ConnectionError::new(
                FRAME_SIZE,
                "a frame above MAX_FRAME_SIZE",
            ));
        }
        if self.phase == Phase::FirstFrame {
            if header.kind != kind::SETTINGS || header.has(flag::ACK) {
                return Err(ConnectionError::protocol("the first frame is not SETTINGS"));
            }
            self.phase = Phase::Open;
        }
        let expected = self.block.as_ref().map(|block| block.stream);
        let continues = header.kind == kind::CONTINUATION;
        if continues != expected.is_some() || (continues && expected != Some(header.stream)) {
            return Err(ConnectionError::protocol(
                "CONTINUATION out of place, or another frame in its",
            ));
        }
        Ok(())
    }

    fn whole_frame(&mut self, header: &Header, payload: &[u8]) -> Result<(), ConnectionError> {
        match header.kind {
            kind::HEADERS => self.headers(header, payload),
            kind::CONTINUATION => self.continuation(header, payload),
            kind::SETTINGS => self.settings(header, payload),
            kind::WINDOW_UPDATE => self.window_update(header.stream, payload),
            kind::RST_STREAM => self.rst_stream(header.stream, payload),
            kind::PING => self.pinged(header, payload),
            kind::PRIORITY => self.priority(header.stream, payload),
            kind::GOAWAY => self.peer_goes_away(header.stream, payload),
            kind::PUSH_PROMISE => Err(ConnectionError::protocol("PUSH_PROMISE where push is off")),
            _ => self.guard.useless(),
        }
    }

    fn settings(&mut self, header: &Header, payload: &[u8]) -> Result<(), ConnectionError> {
        if header.stream != 0 {
            return Err(ConnectionError::protocol("SETTINGS on a stream"));
        }
        let acknowledges = header.has(flag::ACK);
        let (pairs, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() || (acknowledges && !payload.is_empty()) {
            return Err(ConnectionError::new(
                FRAME_SIZE,
                "SETTINGS of a wrong length",
            ));
        }
        self.guard.useless()?;
        if acknowledges {
            self.events.push_back(Event::SettingsAcked);
            return Ok(());
        }
        let pair = |[i0, i1, v0, v1, v2, v3]: &[u8; 6]| {
            (
                u16::from_be_bytes([*i0, *i1]),
                u32::from_be_bytes([*v0, *v1, *v2, *v3]),
            )
        };
        if self.config.role == Role::Server {
            self.fingerprint.saw_settings(pairs.iter().map(pair));
        }
        let old_window = i64::from(self.peer.initial_window);
        for (id, value) in pairs.iter().map(pair) {
            self.peer.set(self.config.role, id, value)?;
            // Each value counts: a table that is made smaller and larger again loses its entries.
            self.encoder.set_limit(self.peer.header_table_size as usize);
        }
        self.change_stream_windows(i64::from(self.peer.initial_window) - old_window)?;
        self.events.push_back(Event::Settings);
        self.output.settings_ack();
        self.bound_control()
    }

    /// RFC 9113 §6.9.2.
    fn change_stream_windows(&mut self, by: i64) -> Result<(), ConnectionError> {
        if by == 0 {
            return Ok(());
        }
        let mut fits = true;
        for stream in self.streams.iter_mut() {
            fits &= stream.allowed.change(by);
            if stream.writing == Writing::Blocked && stream.allowed.available() > 0 {
                stream.writing = Writing::Queued;
                self.waiting.push_back(stream.id);
            }
        }
        self.wake();
        let why = "INITIAL_WINDOW_SIZE makes a window overflow";
        if fits {
            Ok(())
        } else {
            Err(ConnectionError::new(ErrorCode::FLOW_CONTROL_ERROR, why))
        }
    }

    fn window_update(&mut self, id: StreamId, payload: &[u8]) -> Result<(), ConnectionError> {
        let size = ConnectionError::new(FRAME_SIZE, "WINDOW_UPDATE of a wrong length");
        let increment = frame::number(payload).ok_or(size)? & frame::LAST_STREAM;
        self.guard.useless()?;
        if id == 0 {
            if increment == 0 {
                return Err(ConnectionError::protocol("WINDOW_UPDATE by nothing"));
            }
            if self.config.role == Role::Server {
                self.fingerprint.saw_window_update(increment);
            }
            if !self.allowed.change(i64::from(increment)) {
                let why = "the connection's window overflows";
                return Err(ConnectionError::new(ErrorCode::FLOW_CONTROL_ERROR, why));
            }
            self.wake();
            return Ok(());
        }
        let Some(stream) = self
            .streams
            .get_mut(id)
            .filter(|stream| !stream.is_closed())
        else {
            return self.late_frame(id);
        };
        if increment == 0 {
            return self.stream_error(id, ErrorCode::PROTOCOL_ERROR);
        }
        if !stream.allowed.change(i64::from(increment)) {
            return self.stream_error(id, ErrorCode::FLOW_CONTROL_ERROR);
        }
        if stream.writing == Writing::Blocked && stream.allowed.available() > 0 {
            stream.writing = Writing::Queued;
            self.waiting.push_back(id);
            self.wake();
        }
        Ok(())
    }

    fn rst_stream(&mut self, id: StreamId, payload: &[u8]) -> Result<(), ConnectionError> {
        let size = ConnectionError::new(FRAME_SIZE, "RST_STREAM of a wrong length");
        let code = ErrorCode(frame::number(payload).ok_or(size)?);
        if id == 0 {
            return Err(ConnectionError::protocol("RST_STREAM on stream 0"));
        }
        let Some(stream) = self
            .streams
            .get_mut(id)
            .filter(|stream| !stream.is_closed())
        else {
            self.guard.useless()?;
            return self.late_frame(id);
        };
        if self.config.role == Role::Client && stream.remote_ended {
            // The response is whole and stays; only our request is not wanted any more (RFC 9113 §8.1).
            stream.local_ended = true;
            if std::mem::replace(&mut stream.writing, Writing::Free) != Writing::Free {
                self.waiting.retain(|waiting| *waiting != id);
                self.events.push_back(Event::Writable { id });
            }
            self.settle(id);
            return Ok(());
        }
        let unanswered = !stream.local_ended;
        self.close(id, code);
        self.tell_reset(id, code);
        if unanswered && self.config.role == Role::Server {
            self.guard.peer_reset()
        } else {
            Ok(())
        }
    }

    fn pinged(&mut self, header: &Header, payload: &[u8]) -> Result<(), ConnectionError> {
        let size = ConnectionError::new(FRAME_SIZE, "PING of a wrong length");
        let payload = payload.try_into().map_err(|_| size)?;
        if header.stream != 0 {
            return Err(ConnectionError::protocol("PING on a stream"));
        }
        if header.has(flag::ACK) {
            self.events.push_back(Event::Pong { payload });
            return self.guard.useless();
        }
        self.output.ping(true, &payload);
        self.bound_control()
    }

    fn priority(&mut self, id: StreamId, payload: &[u8]) -> Result<(), ConnectionError> {
        if id == 0 {
            return Err(ConnectionError::protocol("PRIORITY on stream 0"));
        }
        self.guard.useless()?;
        let Ok(bytes) = payload.try_into() else {
            return self.priority_error(id, FRAME_SIZE, "PRIORITY of a wrong length");
        };
        let dependency = Dependency::parse(bytes);
        if dependency.on == id {
            return self.priority_error(id, ErrorCode::PROTOCOL_ERROR, "PRIORITY upon itself");
        }
        if self.config.role == Role::Server {
            self.fingerprint.saw_priority(id, dependency);
        }
        Ok(())
    }

    /// A stream error where there is a stream to reset; the connection's where there is none.
    fn priority_error(
        &mut self,
        id: StreamId,
        code: ErrorCode,
        why: &'static str,
    ) -> Result<(), ConnectionError> {
        match self.streams.get(id) {
            Some(stream) if stream.is_closed() => Ok(()),
            Some(_) => self.stream_error(id, code),
            None => Err(ConnectionError::new(code, why)),
        }
    }

    fn peer_goes_away(&mut self, id: StreamId, payload: &[u8]) -> Result<(), ConnectionError> {
        if id != 0 {
            return Err(ConnectionError::protocol("GOAWAY on a stream"));
        }
        let fixed = payload
            .first_chunk::<8>()
            .map(|bytes| u64::from_be_bytes(*bytes));
        let fixed = fixed.ok_or(ConnectionError::new(FRAME_SIZE, "GOAWAY too short"))?;
        self.guard.useless()?;
        let last = (fixed >> 32) as u32 & frame::LAST_STREAM;
        let code = ErrorCode(fixed as u32);
        self.peer_left = true;
        self.events.push_back(Event::GoAway { last, code });
        if self.config.role == Role::Client {
            // The server has not acted upon these and never will: they may be tried again elsewhere.
            let unheard = |stream: &&super::stream::Stream| stream.id > last && !stream.is_closed();
            let ids: Vec<_> = self
                .streams
                .iter()
                .filter(unheard)
                .map(|stream| stream.id)
                .collect();
            for id in ids {
                self.close(id, ErrorCode::REFUSED_STREAM);
                self.tell_reset(id, ErrorCode::REFUSED_STREAM);
            }
        }
        Ok(())
    }

    /// A frame that a closed stream may still get (RFC 9113 §5.1), and an idle one must not.
    fn late_frame(&mut self, id: StreamId) -> Result<(), ConnectionError> {
        match self.past(id) {
            Past::Idle => Err(ConnectionError::protocol("a frame on an idle stream")),
            _ => Ok(()),
        }
    }

    /// What is known of a stream that may not be held.
    pub(super) fn past(&self, id: StreamId) -> Past {
        // Even streams are a server's to open by push, which is off: they are idle for ever.
        if id % 2 == 1 {
            self.history.past(id)
        } else {
            Past::Idle
        }
    }

    /// An error that costs the peer one stream (RFC 9113 §5.4.2).
    pub(super) fn stream_error(
        &mut self,
        id: StreamId,
        code: ErrorCode,
    ) -> Result<(), ConnectionError> {
        self.output.reset(id, code);
        self.history.reset(id);
        self.close(id, code);
        self.tell_reset(id, code);
        self.guard.provoked()?;
        self.bound_control()
    }

    /// Tells the owner, or forgets a stream that the owner has never heard of.
    fn tell_reset(&mut self, id: StreamId, code: ErrorCode) {
        match self.streams.get(id) {
            Some(stream) if stream.announced => self.events.push_back(Event::Reset { id, code }),
            _ => self.forget(id),
        }
    }

    /// What the peer makes us answer must be read by it.
    pub(super) fn bound_control(&self) -> Result<(), ConnectionError> {
        let waiting = self.output.control();
        let limits = &self.config.limits;
        if waiting.acks > limits.unsent_acks || waiting.bytes > limits.unsent_control {
            return Err(ConnectionError::calm(
                "our answers to control frames are not read",
            ));
        }
        Ok(())
    }
}
