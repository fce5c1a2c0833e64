//! HEADERS and CONTINUATION (RFC 9113 §6.2, §6.10): which message a field block belongs to, and what becomes of it.
//! A block is decoded whatever its fate is, or the connection's compression state would be lost.

use super::flow::{Allowed, Granted};
use super::frame::{self, Dependency, Header, flag};
use super::history::Past;
use super::hpack::{Discard, Sink};
use super::message::{Collected, Collector, Malformed, Section, Unfit};
use super::{Connection, ConnectionError, ErrorCode, Event, Role, StreamId};
use seawall_model::{Fields, HttpVersion, ResponseHead};

/// A field block that has come in part.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: StreamId,
    end: bool,
    dependency: Option<Dependency>,
    bytes: Vec<u8>,
    frames: u32,
}

/// What HEADERS say besides their fields.
#[derive(Clone, Copy)]
struct Opening {
    id: StreamId,
    end: bool,
    dependency: Option<Dependency>,
}

impl Connection {
    pub(super) fn headers(
        &mut self,
        header: &Header,
        payload: &[u8],
    ) -> Result<(), ConnectionError> {
        let id = header.stream;
        if id.is_multiple_of(2) {
            return Err(ConnectionError::protocol(
                "HEADERS on stream 0 or an even one",
            ));
        }
        let (fragment, dependency) = frame::fragment(header, payload)?;
        let end = header.has(flag::END_STREAM);
        if header.has(flag::END_HEADERS) {
            return self.block(
                Opening {
                    id,
                    end,
                    dependency,
                },
                fragment,
            );
        }
        let bytes = fragment.to_vec();
        self.block = Some(Block {
            stream: id,
            end,
            dependency,
            bytes,
            frames: 0,
        });
        Ok(())
    }

    pub(super) fn continuation(
        &mut self,
        header: &Header,
        payload: &[u8],
    ) -> Result<(), ConnectionError> {
        let Some(mut block) = self.block.take() else {
            return Err(ConnectionError::protocol("CONTINUATION of nothing"));
        };
        block.frames += 1;
        let longest = self.config.max_header_list as usize * 2;
        if block.frames > self.config.limits.continuations
            || block.bytes.len() + payload.len() > longest.max(self.config.max_frame_size as usize)
        {
            return Err(ConnectionError::calm("a field block without end"));
        }
        block.bytes.extend_from_slice(payload);
        if !header.has(flag::END_HEADERS) {
            self.block = Some(block);
            return Ok(());
        }
        let Block {
            stream: id,
            end,
            dependency,
            bytes,
            ..
        } = block;
        self.block(
            Opening {
                id,
                end,
                dependency,
            },
            &bytes,
        )
    }

    /// A whole field block.
    fn block(&mut self, opening: Opening, block: &[u8]) -> Result<(), ConnectionError> {
        let id = opening.id;
        let closed = ConnectionError::new(ErrorCode::STREAM_CLOSED, "HEADERS on a closed stream");
        let past = self.past(id);
        let Some(stream) = self.streams.get(id) else {
            return match (past, self.config.role) {
                (Past::Idle, Role::Server) => self.request(opening, block),
                (Past::Idle, Role::Client) => {
                    Err(ConnectionError::protocol("HEADERS on an idle stream"))
                }
                (Past::Skipped, _) => Err(ConnectionError::protocol(
                    "HEADERS on a stream below the last",
                )),
                (Past::Ended, _) => Err(closed),
                (Past::ResetByUs | Past::Forgotten, _) => {
                    self.decode(block, &mut Discard)?;
                    self.guard.useless()
                }
            };
        };
        if stream.reset.is_some() && past == Past::ResetByUs {
            self.decode(block, &mut Discard)?;
            return self.guard.useless();
        }
        if stream.is_closed() {
            return Err(closed);
        }
        let wrong = if stream.remote_ended {
            Some(ErrorCode::STREAM_CLOSED)
        } else if opening
            .dependency
            .is_some_and(|dependency| dependency.on == id)
            || (stream.head_received && !opening.end)
        {
            Some(ErrorCode::PROTOCOL_ERROR)
        } else {
            None
        };
        if let Some(code) = wrong {
            self.decode(block, &mut Discard)?;
            return self.stream_error(id, code);
        }
        if stream.head_received {
            self.trailers(id, block)
        } else {
            self.response(opening, block)
        }
    }

    fn decode<S: Sink>(&mut self, block: &[u8], sink: &mut S) -> Result<(), ConnectionError> {
        self.decoder.decode(block, sink).map_err(|_| UNDECODABLE)
    }

    /// Decodes a block into `fields`.
    fn collect(
        &mut self,
        section: Section,
        block: &[u8],
        fields: &mut Fields,
    ) -> Result<Result<Collected, Unfit>, ConnectionError> {
        let limit = self.config.max_header_list as usize;
        let mut collector = Collector::new(section, fields, &mut self.cookie, limit);
        self.decoder
            .decode(block, &mut collector)
            .map_err(|_| UNDECODABLE)?;
        Ok(collector.finish())
    }

    /// Opens a stream.
    fn request(&mut self, opening: Opening, block: &[u8]) -> Result<(), ConnectionError> {
        let Opening {
            id,
            end,
            dependency,
        } = opening;
        self.history.open(id);
        let most = self.config.max_concurrent_streams;
        // Streams that are closed but not released yet hold memory all the same.
        let full = self.active >= most || self.streams.len() >= most as usize * 2;
        if full || self.farewell.is_some_and(|last| id > last) {
            self.decode(block, &mut Discard)?;
            return self.refuse(id, ErrorCode::REFUSED_STREAM);
        }
        let granted = Granted::new(self.config.initial_window);
        let allowed = Allowed::new(self.peer.initial_window);
        let mut stream = self.streams.fresh(id, granted, allowed);
        let outcome = self.collect(Section::Request, block, &mut stream.request.fields)?;
        if let Some(dependency) = dependency {
            self.fingerprint.saw_priority(id, dependency);
        }
        let mut too_large = false;
        let fit = match outcome {
            Ok(collected) => {
                self.fingerprint.saw_request(collected.order);
                stream.expected = collected.content_length;
                collected.complete(&mut stream.request, self.config.enable_connect_protocol)
            }
            Err(Unfit::Malformed(why)) => Err(why),
            Err(Unfit::TooLarge) => {
                too_large = true;
                stream.request.clear();
                Ok(())
            }
        };
        let fit = match fit {
            Ok(()) if end && !stream.is_whole() => Err(Malformed::ContentLength),
            fit => fit,
        };
        if let Err(why) = fit {
            self.streams.retire(stream);
            self.events.push_back(Event::Malformed { id, why });
            return self.refuse(id, ErrorCode::PROTOCOL_ERROR);
        }
        if dependency.is_some_and(|dependency| dependency.on == id) {
            self.streams.retire(stream);
            return self.refuse(id, ErrorCode::PROTOCOL_ERROR);
        }
        stream.head_received = true;
        stream.head_waits = !too_large;
        stream.counted = true;
        stream.remote_ended = end;
        self.active += 1;
        self.streams.hold(stream);
        self.events.push_back(match too_large {
            true => Event::HeadTooLarge { id },
            false => Event::Request { id, end },
        });
        Ok(())
    }

    /// Resets a stream that is not held.
    fn refuse(&mut self, id: StreamId, code: ErrorCode) -> Result<(), ConnectionError> {
        self.output.reset(id, code);
        self.history.reset(id);
        self.guard.provoked()?;
        self.bound_control()
    }

    fn response(&mut self, opening: Opening, block: &[u8]) -> Result<(), ConnectionError> {
        let Opening { id, end, .. } = opening;
        let mut head = match self.streams.get_mut(id) {
            Some(stream) => std::mem::take(&mut stream.response),
            None => ResponseHead::default(),
        };
        let outcome = self.collect(Section::Response, block, &mut head.fields)?;
        let collected = match outcome {
            Ok(collected) => collected,
            Err(Unfit::Malformed(_)) => return self.stream_error(id, ErrorCode::PROTOCOL_ERROR),
            // Nobody can be given a part of a head: the one who waits for it is told at once.
            Err(Unfit::TooLarge) => return self.stream_error(id, ErrorCode::ENHANCE_YOUR_CALM),
        };
        let Ok(status) = collected.status(&head.fields) else {
            return self.stream_error(id, ErrorCode::PROTOCOL_ERROR);
        };
        head.status = status;
        head.version = HttpVersion::Http2;
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(());
        };
        if status < 200 {
            if end {
                return self.stream_error(id, ErrorCode::PROTOCOL_ERROR);
            }
            stream.keep_early(head);
            self.events.push_back(Event::Informational { id });
            return self.guard.useless();
        }
        let bodiless = stream.bodiless || matches!(status, 204 | 304);
        stream.expected = if bodiless {
            Some(0)
        } else {
            collected.content_length
        };
        stream.response = head;
        stream.head_received = true;
        stream.head_waits = true;
        if end && !stream.is_whole() {
            return self.stream_error(id, ErrorCode::PROTOCOL_ERROR);
        }
        self.events.push_back(Event::Response { id, end });
        if end {
            self.remote_end(id);
        }
        Ok(())
    }

    /// RFC 9113 §8.1: they end the stream, which was checked.
    fn trailers(&mut self, id: StreamId, block: &[u8]) -> Result<(), ConnectionError> {
        let taken = self
            .streams
            .get_mut(id)
            .map(|stream| std::mem::take(&mut stream.trailers));
        let mut fields = taken.unwrap_or_default();
        let outcome = self.collect(Section::Trailers, block, &mut fields)?;
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(());
        };
        let wrong = match outcome {
            Ok(_) if stream.is_whole() => None,
            Ok(_) | Err(Unfit::Malformed(_)) => Some(ErrorCode::PROTOCOL_ERROR),
            Err(Unfit::TooLarge) => Some(ErrorCode::ENHANCE_YOUR_CALM),
        };
        if let Some(code) = wrong {
            return self.stream_error(id, code);
        }
        stream.trailers = fields;
        stream.trailers_wait = true;
        self.events.push_back(Event::Trailers { id });
        self.remote_end(id);
        Ok(())
    }
}

const UNDECODABLE: ConnectionError = ConnectionError::new(
    ErrorCode::COMPRESSION_ERROR,
    "a field block cannot be decoded",
);
