//! One stream's state, and the set of those that are held.

use super::flow::{Allowed, Granted};
use super::{ErrorCode, StreamId};
use seawall_model::{Fields, RequestHead, ResponseHead};
use std::collections::VecDeque;

/// Streams kept for re-use, for the sake of their buffers.
const SPARES: usize = 4;
/// A buffer larger than this is not kept with a spare stream.
const KEPT: usize = 4 * 1024;
/// Informational heads that may wait to be taken; the first are dropped.
const EARLY_HEADS: usize = 4;

/// A stream that was opened and not released yet.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) request: RequestHead,
    pub(super) response: ResponseHead,
    /// Informational responses not yet taken.
    pub(super) early: Vec<ResponseHead>,
    pub(super) trailers: Fields,
    /// Received and not yet read.
    pub(super) body: VecDeque<u8>,
    pub(super) granted: Granted,
    pub(super) allowed: Allowed,
    /// What `content-length` promises of the body that we receive.
    pub(super) expected: Option<u64>,
    /// How much of it has come.
    pub(super) received: u64,
    /// The caller knows of it: a server's stream is announced by its request.
    pub(super) announced: bool,
    /// A head is there to be taken.
    pub(super) head_waits: bool,
    pub(super) trailers_wait: bool,
    /// The peer's head has come (for a client: the final one).
    pub(super) head_received: bool,
    /// Our head is sent (for a server: the final one).
    pub(super) head_sent: bool,
    /// Client: the request was HEAD, so that the response has no body whatever it says.
    pub(super) bodiless: bool,
    pub(super) remote_ended: bool,
    pub(super) local_ended: bool,
    pub(super) reset: Option<ErrorCode>,
    /// It counts towards the limit of concurrent streams.
    pub(super) counted: bool,
    /// A `Data` event is in the queue.
    pub(super) data_told: bool,
    pub(super) writing: Writing,
    /// The round in which it last sent, 0 for never: see `outbound`.
    pub(super) served: u32,
    /// The round that `sent_in_round` counts in.
    pub(super) round: u32,
    pub(super) sent_in_round: usize,
}

/// Whether a stream that wants to send can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// It does not wait for anything.
    Free,
    /// It waits for its turn: for room in the output or in the connection's window.
    Queued,
    /// It waits for its own window to open.
    Blocked,
}

impl Stream {
    fn new() -> Self {
        Self {
            id: 0,
            request: RequestHead::default(),
            response: ResponseHead::default(),
            early: Vec::new(),
            trailers: Fields::default(),
            body: VecDeque::new(),
            granted: Granted::new(0),
            allowed: Allowed::new(0),
            expected: None,
            received: 0,
            announced: false,
            head_waits: false,
            trailers_wait: false,
            head_received: false,
            head_sent: false,
            bodiless: false,
            remote_ended: false,
            local_ended: false,
            reset: None,
            counted: false,
            data_told: false,
            writing: Writing::Free,
            served: 0,
            round: 0,
            sent_in_round: 0,
        }
    }

    /// Makes a used stream as new. Its heads' buffers, bounded by the list limit, stay until [`Streams::shrink`].
    fn recycle(&mut self) {
        self.request.clear();
        self.response.clear();
        self.trailers.clear();
        self.early.clear();
        self.body.clear();
        self.body.shrink_to(KEPT);
        self.expected = None;
        self.received = 0;
        self.announced = false;
        self.head_waits = false;
        self.trailers_wait = false;
        self.head_received = false;
        self.head_sent = false;
        self.bodiless = false;
        self.remote_ended = false;
        self.local_ended = false;
        self.reset = None;
        self.counted = false;
        self.data_told = false;
        self.writing = Writing::Free;
        self.served = 0;
        self.round = 0;
        self.sent_in_round = 0;
    }

    /// Neither side will send anything more.
    pub(super) fn is_closed(&self) -> bool {
        self.reset.is_some() || (self.remote_ended && self.local_ended)
    }

    /// A body of `more` bytes more is still as long as `content-length` promised.
    pub(super) fn receives(&mut self, more: usize) -> bool {
        self.received += more as u64;
        self.expected
            .is_none_or(|expected| self.received <= expected)
    }

    /// The body that has come is as long as `content-length` promised.
    pub(super) fn is_whole(&self) -> bool {
        self.expected
            .is_none_or(|expected| self.received == expected)
    }

    /// Keeps an informational head until it is taken.
    pub(super) fn keep_early(&mut self, head: ResponseHead) {
        if self.early.len() >= EARLY_HEADS {
            self.early.remove(0);
        }
        self.early.push(head);
    }

    /// Copies received bytes out and forgets them. Returns how many.
    pub(super) fn read(&mut self, into: &mut [u8]) -> usize {
        let length = self.body.len().min(into.len());
        let (first, second) = self.body.as_slices();
        let (from_first, rest) = into.split_at_mut(length.min(first.len()));
        from_first.copy_from_slice(first.get(..from_first.len()).unwrap_or_default());
        let from_second = rest
            .get_mut(..length - from_first.len())
            .unwrap_or_default();
        from_second.copy_from_slice(second.get(..from_second.len()).unwrap_or_default());
        self.skip(length);
        length
    }

    /// Forgets `length` received bytes, which have been read.
    pub(super) fn skip(&mut self, length: usize) {
        self.body.drain(..length.min(self.body.len()));
        if self.body.is_empty() && self.remote_ended {
            self.body.shrink_to(KEPT);
        }
    }
}

/// The streams that are held, by number.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// In ascending order: streams are opened in that order.
    held: Vec<(StreamId, Box<Stream>)>,
    #[expect(
        clippy::vec_box,
        reason = "boxes move between the two without copying what is in them"
    )]
    spares: Vec<Box<Stream>>,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    #[inline]
    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        let at = self.position(id)?;
        self.held.get(at).map(|(_, stream)| stream.as_ref())
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        let at = self.position(id)?;
        self.held.get_mut(at).map(|(_, stream)| stream.as_mut())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.held.iter().map(|(_, stream)| stream.as_ref())
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.held.iter_mut().map(|(_, stream)| stream.as_mut())
    }

    /// A stream that is not held yet.
    pub(super) fn fresh(
        &mut self,
        id: StreamId,
        granted: Granted,
        allowed: Allowed,
    ) -> Box<Stream> {
        let mut stream = self.spares.pop().unwrap_or_else(|| Box::new(Stream::new()));
        stream.id = id;
        stream.granted = granted;
        stream.allowed = allowed;
        stream
    }

    /// Holds a stream whose number is above all others.
    pub(super) fn hold(&mut self, stream: Box<Stream>) {
        self.held.push((stream.id, stream));
    }

    /// Holds a stream no more.
    pub(super) fn take(&mut self, id: StreamId) -> Option<Box<Stream>> {
        let at = self.position(id)?;
        Some(self.held.remove(at).1)
    }

    /// Keeps a stream that is done with for re-use.
    pub(super) fn retire(&mut self, mut stream: Box<Stream>) {
        if self.spares.len() < SPARES {
            stream.recycle();
            self.spares.push(stream);
        }
    }

    pub(super) fn shrink(&mut self) {
        self.spares = Vec::new();
        self.held.shrink_to_fit();
    }

    fn position(&self, id: StreamId) -> Option<usize> {
        // Most questions are about the stream opened last, or about the only one.
        match self.held.last() {
            Some((last, _)) if *last == id => Some(self.held.len() - 1),
            _ => self.held.binary_search_by_key(&id, |(held, _)| *held).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_order_across_the_ring() {
        let mut stream = Stream::new();
        let mut next_in = 0u8;
        let mut next_out = 0u8;
        let mut room = [0; 7];
        for round in 0..500 {
            for _ in 0..round % 11 {
                stream.body.push_back(next_in);
                next_in = next_in.wrapping_add(1);
            }
            let length = stream.read(&mut room);
            for byte in &room[..length] {
                assert_eq!(*byte, next_out);
                next_out = next_out.wrapping_add(1);
            }
        }
        assert!(next_out > 0);
    }

    #[test]
    fn the_set_finds_and_recycles() {
        let mut streams = Streams::default();
        for id in [1, 3, 9, 11] {
            let mut stream = streams.fresh(id, Granted::new(1), Allowed::new(1));
            assert!(!stream.announced && stream.reset.is_none());
            stream.announced = true;
            stream.reset = Some(ErrorCode::CANCEL);
            streams.hold(stream);
        }
        assert_eq!(streams.get(9).map(|stream| stream.id), Some(9));
        assert!(streams.get(5).is_none());
        let taken = streams.take(3).unwrap();
        streams.retire(taken);
        assert!(streams.get(3).is_none() && streams.get(11).is_some());
        let again = streams.fresh(13, Granted::new(1), Allowed::new(1));
        assert!(!again.announced && again.reset.is_none());
        assert_eq!(streams.len(), 3);
    }
}
