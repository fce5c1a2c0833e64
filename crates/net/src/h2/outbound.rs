//! Sending messages.
//!
//! Bodies are not queued here: [`Connection::send_data`] takes what the windows and the output's high-water mark allow,
//! and a stream that gets nothing is told by `Writable` when to try again. Turns are taken in *rounds*: when the output
//! has run low, all waiting streams are told at once, and while they contend none takes more than its share of the
//! output in that round. Those that have gone without for longest are told first. So no stream starves another.
//!
//! A large piece goes [through](Connection::send_through): from its owner's memory to the socket, not over the output.
//! Then it is the socket that runs full, and all streams wait where they are until it has taken everything.

use std::io::IoSlice;

use super::connection::Phase;
use super::flow::{Allowed, Granted};
use super::frame::{HEADER, Header, LAST_STREAM, flag, kind};
use super::hpack::Request;
use super::output::Begun;
use super::stream::{Stream, Writing};
use super::{Connection, Event, Role, StreamGone, StreamId};

/// The largest content of a DATA frame that we send, whatever the peer would take: others wait behind it. With its header
/// such a frame fills a TLS record; a byte more would begin a second one.
const LARGEST_DATA: usize = 16_384 - HEADER;
/// DATA frames in one write.
const FRAMES: usize = 4;

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
        // While others have a turn in this round, nobody takes more than a share. An empty output is free to all:
        // those others may have nothing to send, and nothing else would start a new round.
        let share = match self.contenders {
            0 | 1 => usize::MAX,
            _ if self.output.len() == 0 => usize::MAX,
            others => (self.config.output_high_water / others).max(LARGEST_DATA),
        };
        let take = self.spend(id, data.len(), budget, share)?;
        if take == 0 && !data.is_empty() {
            return Ok(0);
        }
        let ends = end && take == data.len();
        self.put_data(id, data.get(..take).unwrap_or_default(), ends);
        if ends {
            self.local_end(id);
        }
        Ok(take)
    }

    /// As [`Connection::send_data`], past the output: `write` gets what the output holds, then the frames, and returns how many
    /// bytes of all that the socket took. The rest is put into the output. Takes nothing while the socket is stalled.
    pub fn send_through(
        &mut self,
        id: StreamId,
        data: &[u8],
        end: bool,
        write: impl FnOnce(&[IoSlice<'_>]) -> usize,
    ) -> Result<usize, StreamGone> {
        let room = if self.stalled { 0 } else { self.room_through() };
        let take = self.spend(id, data.len(), room, usize::MAX)?;
        let taken = data.get(..take).unwrap_or_default();
        if taken.is_empty() {
            return Ok(0);
        }
        let ends = end && take == data.len();
        let frames = taken.len().div_ceil(LARGEST_DATA);
        let mut headers = [[0; HEADER]; FRAMES];
        for (at, (header, content)) in headers
            .iter_mut()
            .zip(taken.chunks(LARGEST_DATA))
            .enumerate()
        {
            *header = data_header(id, content.len(), ends && at + 1 == frames).bytes();
        }
        let pending = self.output.len();
        let mut parts = [IoSlice::new(&[]); 1 + 2 * FRAMES];
        let all = std::iter::once(self.output.pending()).chain(framed(&headers, taken));
        for (part, bytes) in parts.iter_mut().zip(all) {
            *part = IoSlice::new(bytes);
        }
        let parts = parts.get(usize::from(pending == 0)..1 + 2 * frames);
        let wrote = write(parts.unwrap_or_default());
        self.output.advance(wrote.min(pending));
        let mut skip = wrote.saturating_sub(pending);
        for part in framed(&headers, taken) {
            self.output.raw(part.get(skip..).unwrap_or_default());
            skip = skip.saturating_sub(part.len());
        }
        self.moved(frames, take);
        if ends {
            self.local_end(id);
        }
        Ok(take)
    }

    /// Whether [`Connection::send_through`] would take anything but for the peer's windows, and how much these allow. With
    /// `None` the stream waits for its [`Event::Writable`].
    pub fn may_send(&mut self, id: StreamId) -> Result<Option<usize>, StreamGone> {
        let windows = self.allowed.available();
        let windows = windows.min(self.sendable(id)?.allowed.available());
        if windows > 0 && (self.stalled || self.room_through() == 0) {
            self.wait(id);
            return Ok(None);
        }
        Ok(Some(windows))
    }

    /// How much content goes into one write, so that no more bytes than the output's bound leave at once.
    fn room_through(&self) -> usize {
        let room = self
            .config
            .output_high_water
            .saturating_sub(self.output.len());
        let frames = room.div_ceil(LARGEST_DATA + HEADER);
        room.saturating_sub(frames * HEADER)
            .min(FRAMES * LARGEST_DATA)
    }

    /// How much of `length` bytes the stream may send, which counts as sent then. With 0 of some it waits.
    fn spend(
        &mut self,
        id: StreamId,
        length: usize,
        budget: usize,
        share: usize,
    ) -> Result<usize, StreamGone> {
        let (allowed, round) = (self.allowed.available(), self.round);
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
        let take = length.min(most);
        if take == 0 && length > 0 {
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
        Ok(take)
    }

    /// Tells all waiting streams to try again, if there is anything to gain.
    pub(super) fn wake(&mut self) {
        if self.waiting.is_empty()
            || self.stalled
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
                self.output.data(data_header(id, 0, true), data);
            }
            return;
        }
        let frames = data.len().div_ceil(largest);
        for (at, chunk) in data.chunks(largest).enumerate() {
            self.output.data(
                data_header(id, chunk.len(), ends && at + 1 == frames),
                chunk,
            );
        }
        self.moved(frames, data.len());
    }

    fn moved(&mut self, frames: usize, bytes: usize) {
        // Each frame may be answered by WINDOW_UPDATE of stream and connection.
        self.guard.moved(frames as u32 * 2 + (bytes / 1024) as u32);
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

/// Headers and contents of DATA frames, in turn.
fn framed<'a>(headers: &'a [[u8; HEADER]], data: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let frames = headers.iter().zip(data.chunks(LARGEST_DATA));
    frames.flat_map(|(header, content)| [&header[..], content])
}

fn data_header(stream: StreamId, length: usize, end: bool) -> Header {
    Header {
        length: length as u32,
        kind: kind::DATA,
        flags: if end { flag::END_STREAM } else { 0 },
        stream,
    }
}
