//! Sending messages.
//!
//! Bodies are not queued here: [`Connection::send_data`] takes what the windows and the output's high-water mark allow,
//! and a stream that gets nothing is told by `Writable` when to try again. Turns are taken in *rounds*: when the output
//! has run low, all waiting streams are told at once, and while they contend none takes more than its share of the
//! output in that round. Those that have gone without for longest are told first. So no stream starves another.

use super::connection::Phase;
use super::flow::{Allowed, Granted};
use super::frame::LAST_STREAM;
use super::hpack::Request;
use super::output::Begun;
use super::stream::{Stream, Writing};
use super::{Connection, Event, Role, StreamGone, StreamId};

/// The largest DATA frame that we send, whatever the peer would take: others wait behind it.
const LARGEST_DATA: usize = 16_384;

impl Connection {
    /// Server: sends a response's head; `end` when nothing follows it. `status` is 200 to 999.
    pub fn send_response<'a>(
        &mut self,
        id: StreamId,
        status: u16,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        end: bool,
    ) -> Result<(), StreamGone> {
        let stream = self.sendable(id)?;
        if stream.head_sent {
            return Err(StreamGone);
        }
        stream.head_sent = true;
        self.head(id, Some(status), fields, end);
        Ok(())
    }

    /// Server: sends an informational response, 102 to 199, before the final one.
    pub fn send_informational<'a>(
        &mut self,
        id: StreamId,
        status: u16,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), StreamGone> {
        if self.sendable(id)?.head_sent {
            return Err(StreamGone);
        }
        self.head(id, Some(status), fields, false);
        Ok(())
    }

    /// Sends trailers, which end the stream. All of the body must have been taken before.
    pub fn send_trailers<'a>(
        &mut self,
        id: StreamId,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), StreamGone> {
        if !self.sendable(id)?.head_sent {
            return Err(StreamGone);
        }
        self.head(id, None, fields, true);
        Ok(())
    }

    /// Client: opens a stream with a request's head; none when no stream may be opened now.
    pub fn open<'a>(
        &mut self,
        request: Request<'_>,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        end: bool,
    ) -> Option<StreamId> {
        if !self.may_open() {
            return None;
        }
        let id = self.next_stream();
        self.history.open(id);
        let granted = Granted::new(self.config.initial_window);
        let allowed = Allowed::new(self.peer.initial_window);
        let mut stream = self.streams.fresh(id, granted, allowed);
        stream.announced = true;
        stream.counted = true;
        stream.head_sent = true;
        stream.local_ended = end;
        stream.bodiless = request.method == b"HEAD";
        self.streams.hold(stream);
        self.active += 1;
        let begun = {
            let (begun, out) = self.output.begin_head(id, end);
            self.encoder.begin(out);
            self.encoder.request(out, &request);
            for (name, value) in fields {
                self.encoder.field(out, name, value);
            }
            begun
        };
        self.end_head(begun);
        Some(id)
    }

    /// Client: whether a stream may be opened now.
    pub fn may_open(&self) -> bool {
        let most = self
            .config
            .max_concurrent_streams
            .min(self.peer.max_concurrent_streams);
        self.config.role == Role::Client
            && self.phase != Phase::Failed
            && !self.peer_left
            && self.farewell.is_none()
            && self.active < most
            && self.history.last() < LAST_STREAM
    }

    /// Sends as much of `data` as may be sent now, and returns how much that is. With 0 the stream waits for its
    /// [`Event::Writable`]. `end` takes effect when all of `data` was taken; empty data with `end` always is.
    pub fn send_data(&mut self, id: StreamId, data: &[u8], end: bool) -> Result<usize, StreamGone> {
        let budget = self
            .config
            .output_high_water
            .saturating_sub(self.output.len());
        let (allowed, round) = (self.allowed.available(), self.round);
        // While others have a turn in this round, nobody takes more than a share. An empty output is free to all:
        // those others may have nothing to send, and nothing else would start a new round.
        let share = match self.contenders {
            0 | 1 => usize::MAX,
            _ if self.output.len() == 0 => usize::MAX,
            others => (self.config.output_high_water / others).max(LARGEST_DATA),
        };
        let stream = self.sendable(id)?;
        if !stream.head_sent {
            return Err(StreamGone);
        }
        let share = share.saturating_sub(if stream.round == round {
            stream.sent_in_round
        } else {
            0
        });
        let most = budget
            .min(allowed)
            .min(share)
            .min(stream.allowed.available());
        let take = data.len().min(most);
        if take == 0 && !data.is_empty() {
            self.wait(id);
            return Ok(0);
        }
        if stream.round != round {
            (stream.round, stream.sent_in_round) = (round, 0);
        }
        stream.sent_in_round += take;
        stream.served = round;
        stream.allowed.spend(take);
        self.allowed.spend(take);
        let ends = end && take == data.len();
        self.put_data(id, data.get(..take).unwrap_or_default(), ends);
        if ends {
            self.local_end(id);
        }
        Ok(take)
    }

    /// Tells all waiting streams to try again, if there is anything to gain.
    pub(super) fn wake(&mut self) {
        if self.waiting.is_empty()
            || self.allowed.available() == 0
            || self.output.len() > self.config.output_high_water / 2
        {
            return;
        }
        self.round = self.round.wrapping_add(1);
        self.contenders = self.waiting.len();
        if self.contenders > 1 {
            let streams = &self.streams;
            let served = |id: &StreamId| streams.get(*id).map_or(0, |stream| stream.served);
            self.waiting.make_contiguous().sort_by_key(served);
        }
        for id in self.waiting.drain(..) {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.writing = Writing::Free;
                (stream.round, stream.sent_in_round) = (self.round, 0);
                self.events.push_back(Event::Writable { id });
            }
        }
    }

    /// A stream that has got nothing waits.
    fn wait(&mut self, id: StreamId) {
        match self.streams.get_mut(id) {
            Some(stream) if stream.writing != Writing::Free => {}
            Some(stream) if stream.allowed.available() == 0 => stream.writing = Writing::Blocked,
            Some(stream) => {
                stream.writing = Writing::Queued;
                self.waiting.push_back(id);
            }
            None => {}
        }
    }

    fn put_data(&mut self, id: StreamId, data: &[u8], ends: bool) {
        let largest = LARGEST_DATA.min(self.peer.max_frame_size as usize);
        if data.is_empty() {
            if ends {
                self.output.data(id, data, true);
            }
            return;
        }
        let frames = data.len().div_ceil(largest);
        for (at, chunk) in data.chunks(largest).enumerate() {
            self.output.data(id, chunk, ends && at + 1 == frames);
        }
        // Each frame may be answered by WINDOW_UPDATE of stream and connection.
        self.guard
            .moved(frames as u32 * 2 + (data.len() / 1024) as u32);
    }

    /// A stream on which something can be sent.
    fn sendable(&mut self, id: StreamId) -> Result<&mut Stream, StreamGone> {
        let open = self.phase != Phase::Failed;
        let stream = self.streams.get_mut(id).ok_or(StreamGone)?;
        if open && !stream.local_ended && stream.reset.is_none() {
            Ok(stream)
        } else {
            Err(StreamGone)
        }
    }

    fn head<'a>(
        &mut self,
        id: StreamId,
        status: Option<u16>,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        end: bool,
    ) {
        let begun = {
            let (begun, out) = self.output.begin_head(id, end);
            self.encoder.begin(out);
            if let Some(status) = status {
                self.encoder.status(out, status);
            }
            for (name, value) in fields {
                self.encoder.field(out, name, value);
            }
            begun
        };
        self.end_head(begun);
        if end {
            self.local_end(id);
        }
    }

    fn end_head(&mut self, begun: Begun) {
        self.output
            .end_head(begun, self.peer.max_frame_size as usize);
    }

    /// Our side of the stream has ended.
    fn local_end(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.local_ended = true;
            if self.config.role == Role::Server {
                self.guard.completed();
            }
        }
        self.settle(id);
    }

    fn next_stream(&self) -> StreamId {
        match self.history.last() {
            0 => 1,
            last => last + 2,
        }
    }
}
