//! The connection: its state, and what its owner calls. How frames are taken in is in `inbound` and the files named
//! after it, how messages are sent in `outbound`.

use super::flow::{self, Allowed, Granted};
use super::frame::LAST_STREAM;
use super::guard::Guard;
use super::history::History;
use super::hpack::{Decoder, Encoder};
use super::inbound::PREFACE;
use super::inbound_data::DataFrame;
use super::inbound_heads::Block;
use super::output::Output;
use super::settings::Peer;
use super::stream::{Streams, Writing};
use super::{Config, ConnectionError, ErrorCode, Event, Fingerprint, Role, StreamId};
use seawall_model::{Fields, RequestHead, ResponseHead};
use std::collections::VecDeque;

/// An input buffer larger than this is not kept once it is empty.
pub(super) const KEPT_INPUT: usize = 4 * 1024;

/// One HTTP/2 connection, without IO.
#[derive(Debug)]
pub struct Connection {
    pub(super) config: Config,
    pub(super) phase: Phase,
    /// The beginning of a frame whose end has not come; DATA is never kept here.
    pub(super) input: Vec<u8>,
    /// The DATA frame whose content is coming.
    pub(super) data: Option<DataFrame>,
    /// The field block whose CONTINUATION frames are coming.
    pub(super) block: Option<Block>,
    pub(super) decoder: Decoder,
    pub(super) encoder: Encoder,
    pub(super) cookie: Vec<u8>,
    pub(super) peer: Peer,
    pub(super) streams: Streams,
    pub(super) history: History,
    /// Streams that count towards the limit of concurrent ones.
    pub(super) active: u32,
    pub(super) granted: Granted,
    pub(super) allowed: Allowed,
    pub(super) output: Output,
    pub(super) events: VecDeque<Event>,
    /// Streams that wait for their turn to send.
    pub(super) waiting: VecDeque<StreamId>,
    /// See `outbound`.
    pub(super) round: u32,
    pub(super) contenders: usize,
    /// The socket takes no more for now.
    pub(super) stalled: bool,
    pub(super) guard: Guard,
    pub(super) fingerprint: Fingerprint,
    /// The last stream that we said in GOAWAY to act upon.
    pub(super) farewell: Option<StreamId>,
    pub(super) peer_left: bool,
}

/// How far the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The client's preface is awaited.
    Preface,
    /// The peer's first frame is awaited, which must be SETTINGS.
    FirstFrame,
    Open,
    /// Ended by GOAWAY with an error: nothing is read any more.
    Failed,
}

impl Connection {
    /// A client's begins with the preface and SETTINGS in the output, a server's with SETTINGS.
    pub fn new(config: Config) -> Self {
        let config = config.within_bounds();
        let mut output = Output::default();
        if config.role == Role::Client {
            output.raw(PREFACE);
        }
        output.settings(&config.settings());
        if config.connection_window > flow::INITIAL {
            output.window_update(0, config.connection_window - flow::INITIAL);
        }
        let phase = match config.role {
            Role::Server => Phase::Preface,
            Role::Client => Phase::FirstFrame,
        };
        Self {
            phase,
            input: Vec::new(),
            data: None,
            block: None,
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            cookie: Vec::new(),
            peer: Peer::new(),
            streams: Streams::default(),
            history: History::default(),
            active: 0,
            granted: Granted::new(config.connection_window),
            allowed: Allowed::new(flow::INITIAL),
            output,
            events: VecDeque::new(),
            waiting: VecDeque::new(),
            // 0 is what streams begin with that were never served.
            round: 1,
            contenders: 0,
            stalled: false,
            guard: Guard::new(config.limits),
            fingerprint: Fingerprint::default(),
            farewell: None,
            peer_left: false,
            config,
        }
    }

    /// Takes bytes from the peer, all of them. An error is returned once, with its GOAWAY in the output; what comes
    /// after it is ignored.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        if self.phase == Phase::Failed {
            return Ok(());
        }
        self.parse(bytes)
            .inspect_err(|error| self.go_away(error.code))
    }

    /// What happened next; none when all is told.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            let event = self.events.pop_front()?;
            // What was true when it was queued may be no more: the stream may have been reset or released since.
            let is_news = match event {
                Event::Request { id, .. } | Event::HeadTooLarge { id } => {
                    self.streams.get_mut(id).is_some_and(|stream| {
                        stream.announced = true;
                        stream.reset.is_none()
                    })
                }
                Event::Data { id } => self.streams.get_mut(id).is_some_and(|stream| {
                    stream.data_told = false;
                    stream.reset.is_none()
                }),
                Event::Response { id, .. }
                | Event::Informational { id }
                | Event::EndOfBody { id }
                | Event::Trailers { id }
                | Event::Writable { id } => self
                    .streams
                    .get(id)
                    .is_some_and(|stream| stream.reset.is_none()),
                Event::Reset { id, .. } => self.streams.get(id).is_some(),
                _ => true,
            };
            if is_news {
                return Some(event);
            }
        }
    }

    /// Server: swaps a request's head with `into`, whose memory is kept for another. False when there is none to take.
    pub fn take_request(&mut self, id: StreamId, into: &mut RequestHead) -> bool {
        match self.streams.get_mut(id) {
            Some(stream) if stream.head_waits => {
                stream.head_waits = false;
                std::mem::swap(&mut stream.request, into);
                stream.request.clear();
                true
            }
            _ => false,
        }
    }

    /// Client: swaps the final response's head with `into`, whose memory is kept for another.
    pub fn take_response(&mut self, id: StreamId, into: &mut ResponseHead) -> bool {
        match self.streams.get_mut(id) {
            Some(stream) if stream.head_waits => {
                stream.head_waits = false;
                std::mem::swap(&mut stream.response, into);
                stream.response.clear();
                true
            }
            _ => false,
        }
    }

    /// Client: takes the oldest 1xx head. The last four are kept.
    pub fn take_informational(&mut self, id: StreamId, into: &mut ResponseHead) -> bool {
        match self.streams.get_mut(id) {
            Some(stream) if !stream.early.is_empty() => {
                *into = stream.early.remove(0);
                true
            }
            _ => false,
        }
    }

    /// Swaps the trailers with `into`, whose memory is kept for others.
    pub fn take_trailers(&mut self, id: StreamId, into: &mut Fields) -> bool {
        match self.streams.get_mut(id) {
            Some(stream) if stream.trailers_wait => {
                stream.trailers_wait = false;
                std::mem::swap(&mut stream.trailers, into);
                stream.trailers.clear();
                true
            }
            _ => false,
        }
    }

    /// Copies received body bytes out, at most as many as fit, and grants their room again. Returns how many.
    pub fn read_body(&mut self, id: StreamId, into: &mut [u8]) -> usize {
        let length = self
            .streams
            .get_mut(id)
            .map_or(0, |stream| stream.read(into));
        self.grant(id, length);
        length
    }

    /// Received body bytes, without copying: a first stretch of them, not always all. [`Connection::consume_body`]
    /// takes them away.
    pub fn peek_body(&self, id: StreamId) -> &[u8] {
        self.streams
            .get(id)
            .map_or(&[], |stream| stream.body.as_slices().0)
    }

    /// Forgets `length` bytes at the front of the received body, and grants their room again.
    pub fn consume_body(&mut self, id: StreamId, length: usize) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        let length = length.min(stream.body.len());
        stream.skip(length);
        self.grant(id, length);
    }

    /// How many received body bytes wait to be read.
    pub fn body_waiting(&self, id: StreamId) -> usize {
        self.streams.get(id).map_or(0, |stream| stream.body.len())
    }

    /// The peer has ended the stream and all of its body is read. Trailers may wait to be taken.
    pub fn body_ended(&self, id: StreamId) -> bool {
        self.streams.get(id).is_some_and(|stream| {
            stream.remote_ended && stream.body.is_empty() && stream.reset.is_none()
        })
    }

    /// Why the stream was reset, if it was and is not released yet.
    pub fn is_reset(&self, id: StreamId) -> Option<ErrorCode> {
        self.streams.get(id).and_then(|stream| stream.reset)
    }

    /// Resets a stream. Nothing is told of it by an event, and it is still to be released.
    pub fn reset(&mut self, id: StreamId, code: ErrorCode) {
        if self
            .streams
            .get(id)
            .is_some_and(|stream| !stream.is_closed())
        {
            self.output.reset(id, code);
            self.history.reset(id);
            self.close(id, code);
        }
    }

    /// Forgets a stream. If it is not closed it is reset: with NO_ERROR when our side has ended it (an answer was
    /// complete before its request: RFC 9113 §8.1), with CANCEL otherwise.
    pub fn release(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(id) else {
            return;
        };
        let answered = stream.local_ended && self.config.role == Role::Server;
        self.reset(
            id,
            if answered {
                ErrorCode::NO_ERROR
            } else {
                ErrorCode::CANCEL
            },
        );
        self.forget(id);
    }

    /// Begins to close gracefully (RFC 9113 §6.8): with NO_ERROR a GOAWAY is sent that refuses nothing yet, and
    /// [`Connection::drain`] is to follow about a round trip later. Any other code ends the connection at once.
    pub fn go_away(&mut self, code: ErrorCode) {
        if code == ErrorCode::NO_ERROR {
            if self.farewell.is_none() {
                self.farewell = Some(LAST_STREAM);
                self.output.go_away(LAST_STREAM, code);
            }
            return;
        }
        if self.phase != Phase::Failed {
            self.phase = Phase::Failed;
            self.output.go_away(self.last_peer_stream(), code);
            self.input = Vec::new();
            self.block = None;
            self.data = None;
        }
    }

    /// Refuses all streams that have not come yet; those that are open go on.
    pub fn drain(&mut self) {
        let last = self.last_peer_stream();
        if self.farewell.is_none_or(|said| said > last) && self.phase != Phase::Failed {
            self.farewell = Some(last);
            self.output.go_away(last, ErrorCode::NO_ERROR);
        }
    }

    /// Sends a PING; [`Event::Pong`] answers it.
    pub fn ping(&mut self, payload: [u8; 8]) {
        self.output.ping(false, &payload);
    }

    /// All that is to be sent, in one piece.
    pub fn output(&self) -> &[u8] {
        self.output.pending()
    }

    /// The first `length` bytes of the output are sent.
    pub fn advance_output(&mut self, length: usize) {
        self.output.advance(length);
        if self.streams.is_empty() {
            self.output.shrink_if_large();
        } else if !self.waiting.is_empty() {
            self.wake();
        }
    }

    /// The socket takes no more for now: bodies wait where they are until [`Connection::resume`].
    pub fn stall(&mut self) {
        self.stalled = true;
    }

    /// The socket has taken all that there was.
    pub fn resume(&mut self) {
        if std::mem::take(&mut self.stalled) {
            self.wake();
        }
    }

    /// Whether the socket is known to take no more for now.
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Whether there is anything to send.
    pub fn wants_output(&self) -> bool {
        self.output.len() > 0
    }

    /// The output is above its high-water mark: a good owner makes no more of it before some is sent.
    pub fn output_is_full(&self) -> bool {
        self.output.len() >= self.config.output_high_water
    }

    /// The peer's first SETTINGS, with its limits, are here.
    pub fn is_greeted(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Streams that are not released yet.
    pub fn streams_open(&self) -> usize {
        self.streams.len()
    }

    /// Streams that want to send and cannot because the peer grants no window. A peer that leaves them so for long
    /// holds us up: no clock in here tells.
    pub fn blocked_streams(&self) -> usize {
        let starved = self.allowed.available() == 0;
        let counts = |writing| match writing {
            Writing::Free => false,
            Writing::Queued => starved,
            Writing::Blocked => true,
        };
        self.streams
            .iter()
            .filter(|stream| counts(stream.writing))
            .count()
    }

    /// Nothing is under way: no stream, nothing to send, no half of a frame.
    pub fn is_idle(&self) -> bool {
        self.streams.is_empty()
            && !self.wants_output()
            && self.input.is_empty()
            && self.data.is_none()
            && self.block.is_none()
    }

    /// Nothing can come any more: an error ended it, or either side has said goodbye and the last stream is gone.
    /// What the output holds is still to be sent.
    pub fn is_closed(&self) -> bool {
        let leaving = self.peer_left || self.farewell.is_some_and(|last| last != LAST_STREAM);
        self.phase == Phase::Failed || (leaving && self.streams.is_empty())
    }

    /// Gives memory back that an idle connection does not need. Cheap; to be called when [`Connection::is_idle`].
    pub fn shrink(&mut self) {
        self.output.shrink();
        self.decoder.shrink();
        self.encoder.shrink();
        self.streams.shrink();
        self.events.shrink_to_fit();
        self.waiting.shrink_to_fit();
        self.cookie = Vec::new();
        if self.input.is_empty() {
            self.input = Vec::new();
        }
    }

    /// What a client showed of itself.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Whether the peer accepts extended CONNECT (RFC 8441). Known once [`Event::Settings`] has come.
    pub fn peer_accepts_connect_protocol(&self) -> bool {
        self.peer.connect_protocol
    }

    /// The highest stream that the peer has opened.
    pub(super) fn last_peer_stream(&self) -> StreamId {
        match self.config.role {
            Role::Server => self.history.last(),
            Role::Client => 0,
        }
    }

    /// A stream has been reset: its body is dropped, its place is free.
    pub(super) fn close(&mut self, id: StreamId, code: ErrorCode) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        stream.reset = Some(code);
        let unread = stream.body.len();
        stream.body = VecDeque::new();
        if std::mem::replace(&mut stream.writing, Writing::Free) == Writing::Queued {
            self.waiting.retain(|waiting| *waiting != id);
        }
        self.settle(id);
        self.grant_connection(unread);
    }

    /// A closed stream counts no more towards the limit of concurrent ones.
    pub(super) fn settle(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id)
            && stream.counted
            && stream.is_closed()
        {
            stream.counted = false;
            self.active -= 1;
        }
    }

    /// A closed stream is held no more.
    pub(super) fn forget(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.take(id) {
            self.grant_connection(stream.body.len());
            self.streams.retire(stream);
        }
    }

    /// `length` bytes of a stream's body need no more room.
    pub(super) fn grant(&mut self, id: StreamId, length: usize) {
        if length == 0 {
            return;
        }
        if let Some(stream) = self.streams.get_mut(id)
            && let Some(increment) = stream.granted.give_back(length as u32)
            && !stream.remote_ended
        {
            self.output.window_update(id, increment);
        }
        self.grant_connection(length);
    }

    /// `length` flow-controlled bytes need no more room.
    pub(super) fn grant_connection(&mut self, length: usize) {
        if let Some(increment) = self.granted.give_back(length as u32)
            && self.phase != Phase::Failed
        {
            self.output.window_update(0, increment);
        }
    }
}
