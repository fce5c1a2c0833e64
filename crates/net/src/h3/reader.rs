//! A request out of the bytes of its stream: frames, head, body, trailers (RFC 9114 §4.1, §7). Sans-IO: where the bytes come
//! from is a [`Source`]. Not here: what becomes of the stream when a request is not what it should be.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use seawall_model::{Fields, HttpVersion, RequestHead};

use super::wire::{self, Header};
use super::{ConnectionError, code, qpack};
use crate::buffer::{Buffer, SMALL};
use crate::h2::{Collected, Collector, Malformed, Section, Unfit};
use crate::quic::Gone;

/// Frames of a request that move nothing: unknown ones, and DATA without a byte.
const USELESS: u32 = 1_000;

/// Where a stream's bytes come from.
pub(super) trait Source {
    /// Some bytes, or none at the end of the stream.
    fn read(&self) -> Poll<Result<Option<Bytes>, Gone>>;
    /// Wakes the task when more can be read.
    fn watch(&self, cx: &Context<'_>);
}

/// Why there is nothing to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The stream was given up, with this code, or its connection has ended.
    Gone(u64),
    /// The stream ended before its head.
    Unfinished,
    /// A field section is larger than it may be.
    TooLarge,
    /// The message is malformed (RFC 9114 §4.1.2): an error of its stream.
    Malformed(Malformed),
    /// An error of the connection.
    Connection(ConnectionError),
}

impl From<Gone> for Fault {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone.0)
    }
}

impl From<Unfit> for Fault {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::TooLarge => Self::TooLarge,
            Unfit::Malformed(why) => Self::Malformed(why),
        }
    }
}

impl Fault {
    fn connection(code: u64, why: &'static str) -> Self {
        Self::Connection(ConnectionError::new(code, why))
    }
}

/// Where reading stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Header,
    Skip(u64),
    Section(u64),
    Data(u64),
}

/// What was read.
enum Step {
    /// A field section is whole.
    Section,
    /// So many bytes of the body lie at the front of the input.
    Data(usize),
    /// Nothing follows.
    End,
}

/// Takes frames off a stream.
pub(super) struct Reader {
    /// Largest field section, in bytes as RFC 9114 §4.2.2 counts them.
    most: usize,
    at: At,
    header: Header,
    input: Bytes,
    ended: bool,
    section: Vec<u8>,
    has_head: bool,
    has_trailers: bool,
    useless: u32,
    /// Bytes that the body has, if that was announced, and how many came.
    expected: Option<u64>,
    received: u64,
}

impl Reader {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            at: At::Header,
            header: Header::default(),
            input: Bytes::new(),
            ended: false,
            section: Vec::new(),
            has_head: false,
            has_trailers: false,
            useless: 0,
            expected: None,
            received: 0,
        }
    }

    /// Whether the end of the stream was read.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Waits for the head: whether nothing follows it.
    pub(super) fn poll_head(
        &mut self,
        from: &impl Source,
        head: &mut RequestHead,
        cx: &Context<'_>,
    ) -> Poll<Result<bool, Fault>> {
        match ready!(self.poll_step(from, cx))? {
            Step::Section => {}
            // Data before a head is an error of the connection, which was told.
            Step::End | Step::Data(_) => return Poll::Ready(Err(Fault::Unfinished)),
        }
        self.has_head = true;
        let collected = self.collect(Section::Request, &mut head.fields);
        if matches!(collected, Err(Fault::TooLarge)) {
            head.clear();
        }
        let collected = collected?;
        self.expected = collected.content_length;
        collected.complete(head, true).map_err(Fault::Malformed)?;
        head.version = HttpVersion::Http3;
        // Nearly always the end comes with the head.
        let end = matches!(self.poll_more(from, cx), Poll::Ready(Ok(false)));
        if end && self.expected.is_some_and(|expected| expected > 0) {
            return Poll::Ready(Err(Fault::Malformed(Malformed::ContentLength)));
        }
        Poll::Ready(Ok(end))
    }

    /// Moves body bytes into a buffer, some at least: how many. 0 is the end; trailers are in `trailers` then.
    pub(super) fn poll_body(
        &mut self,
        from: &impl Source,
        buffer: &mut Buffer,
        trailers: &mut Fields,
        cx: &Context<'_>,
    ) -> Poll<Result<usize, Fault>> {
        const WRONG_LENGTH: Fault = Fault::Malformed(Malformed::ContentLength);
        let mut moved = 0;
        while moved < SMALL {
            let step = match self.poll_step(from, cx)? {
                Poll::Ready(step) => step,
                Poll::Pending if moved > 0 => break,
                Poll::Pending => return Poll::Pending,
            };
            match step {
                Step::Data(n) => {
                    let bytes = self.take(n);
                    if self.expected.is_some_and(|most| self.received > most) {
                        return Poll::Ready(Err(WRONG_LENGTH));
                    }
                    buffer.extend(&bytes);
                    moved += n;
                }
                // What came before it goes first; the next call finds the end again.
                Step::End if moved > 0 => break,
                Step::End => {
                    let short = self.expected.is_some_and(|all| self.received < all);
                    return Poll::Ready(if short { Err(WRONG_LENGTH) } else { Ok(0) });
                }
                Step::Section => {
                    self.has_trailers = true;
                    self.collect(Section::Trailers, trailers)?;
                }
            }
        }
        Poll::Ready(Ok(moved))
    }

    /// Whether body bytes, or the end, or an error lie ready.
    pub(super) fn is_at_hand(&mut self, from: &impl Source) -> bool {
        !self.input.is_empty() || self.ended || self.fetch(from).is_ready()
    }

    /// Decodes the section that was read.
    fn collect(&mut self, kind: Section, fields: &mut Fields) -> Result<Collected, Fault> {
        let section = std::mem::take(&mut self.section);
        let mut cookie = Vec::new();
        let mut collector = Collector::new(kind, fields, &mut cookie, self.most);
        let decoded = qpack::decode(&section, &mut Default::default(), &mut collector);
        decoded.map_err(|_| {
            let why = "a field section cannot be decoded";
            Fault::connection(code::DECOMPRESSION_FAILED, why)
        })?;
        Ok(collector.finish()?)
    }

    /// Whether there is input, which is waited for; if not, the stream has ended.
    fn poll_more(&mut self, from: &impl Source, cx: &Context<'_>) -> Poll<Result<bool, Fault>> {
        if !self.input.is_empty() {
            return Poll::Ready(Ok(true));
        }
        if self.ended {
            return Poll::Ready(Ok(false));
        }
        let more = self.fetch(from);
        if more.is_pending() {
            from.watch(cx);
        }
        more.map_err(Fault::from)
    }

    fn fetch(&mut self, from: &impl Source) -> Poll<Result<bool, Gone>> {
        match ready!(from.read())? {
            Some(bytes) => self.input = bytes,
            None => self.ended = true,
        }
        Poll::Ready(Ok(!self.ended))
    }

    fn poll_step(&mut self, from: &impl Source, cx: &Context<'_>) -> Poll<Result<Step, Fault>> {
        loop {
            let left = match self.at {
                At::Section(0) => {
                    self.at = At::Header;
                    return Poll::Ready(Ok(Step::Section));
                }
                At::Skip(0) | At::Data(0) => {
                    self.at = At::Header;
                    continue;
                }
                At::Header => 0,
                At::Skip(left) | At::Section(left) | At::Data(left) => left,
            };
            if !ready!(self.poll_more(from, cx))? {
                let within = left > 0 || self.header.has_begun();
                return Poll::Ready(if within {
                    let why = "a stream that ends within a frame";
                    Err(Fault::connection(code::FRAME_ERROR, why))
                } else {
                    Ok(Step::End)
                });
            }
            let now = self
                .input
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let (left, rest) = (now, left - now as u64);
            match self.at {
                At::Header => {
                    let mut front = &self.input[..];
                    let gathered = self.header.gather(&mut front);
                    let used = self.input.len() - front.len();
                    self.input.advance(used);
                    if let Some((kind, length)) = gathered {
                        self.at = self.enter(kind, length)?;
                    }
                }
                At::Skip(_) => {
                    self.input.advance(left);
                    self.at = At::Skip(rest);
                }
                At::Section(_) => {
                    self.section.extend_from_slice(&self.input.split_to(left));
                    self.at = At::Section(rest);
                }
                At::Data(_) => return Poll::Ready(Ok(Step::Data(left))),
            }
        }
    }

    /// Takes body bytes off the front.
    fn take(&mut self, n: usize) -> Bytes {
        if let At::Data(left) = self.at {
            self.at = At::Data(left.saturating_sub(n as u64));
        }
        self.received += n as u64;
        self.input.split_to(n)
    }

    /// A frame begins.
    fn enter(&mut self, kind: u64, length: u64) -> Result<At, Fault> {
        match kind {
            wire::DATA | wire::HEADERS if self.has_trailers => {}
            wire::DATA if !self.has_head => {}
            wire::DATA if length > 0 => return Ok(At::Data(length)),
            // A literal is not shorter than what it stands for by more than packing gains.
            wire::HEADERS if length > self.most as u64 => return Err(Fault::TooLarge),
            wire::HEADERS => {
                self.section.clear();
                return Ok(At::Section(length));
            }
            wire::CANCEL_PUSH
            | wire::SETTINGS
            | wire::PUSH_PROMISE
            | wire::GOAWAY
            | wire::MAX_PUSH_ID => {}
            kind if wire::is_of_http2(kind) => {}
            _ => {
                self.useless += 1;
                if self.useless > USELESS {
                    let why = "too many frames without use";
                    return Err(Fault::connection(code::EXCESSIVE_LOAD, why));
                }
                return Ok(At::Skip(length));
            }
        }
        let why = "a frame in a wrong place";
        Err(Fault::connection(code::FRAME_UNEXPECTED, why))
    }
}
