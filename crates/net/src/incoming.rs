//! An HTTP/1.1 body as it comes in: framing taken off, bytes lent out of the connection's buffer.
//!
//! The same for a request's body and for a response's. Bytes are never copied here: [`Incoming::poll_fill`] says how many lie
//! ready at the front of the buffer, the caller uses them and says so.

use std::io;
use std::task::{Context, Poll, ready};

use seawall_model::Fields;

use crate::buffer::{Buffer, MEDIUM, SMALL};
use crate::h1::{ChunkStep, ChunkedDecoder, Framing};
use crate::stream::Stream;

/// Why a body did not come whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    /// The peer closed before the end.
    #[error("closed before the end of the body")]
    Closed,
    /// The socket failed.
    #[error("the connection failed in the body: {0}")]
    Socket(io::Error),
    /// The framing is broken.
    #[error("broken body framing: {0}")]
    Framing(&'static str),
    /// Nothing came, or too little, for too long.
    #[error("the body came too slowly")]
    Slow,
    /// The stream was reset (HTTP/2 error code).
    #[error("the stream was reset with code {0}")]
    Reset(u32),
}

impl From<crate::alarm::Elapsed> for BodyFault {
    fn from(_: crate::alarm::Elapsed) -> Self {
        Self::Slow
    }
}

/// Where a body stands.
#[derive(Debug, Default)]
pub enum Incoming {
    /// All of it was used.
    #[default]
    Done,
    /// So many bytes are still to come or to be used.
    Length(u64),
    /// Chunks; `ready` bytes of the current one lie at the front of the buffer.
    Chunked {
        /// The decoder.
        decoder: Box<ChunkedDecoder>,
        /// Bytes ready.
        ready: usize,
        /// The last chunk and the trailers were read.
        ended: bool,
    },
    /// Until the peer closes (responses only).
    UntilClose,
}

impl Incoming {
    /// A body framed so.
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked {
                decoder: Box::new(ChunkedDecoder::new()),
                ready: 0,
                ended: false,
            },
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Whether all of it was used.
    pub fn is_done(&self) -> bool {
        matches!(
            self,
            Self::Done
                | Self::Chunked {
                    ended: true,
                    ready: 0,
                    ..
                }
        )
    }

    /// The trailers, once the body is done; empty when there were none.
    pub fn trailers(&self) -> Option<&Fields> {
        match self {
            Self::Chunked {
                decoder,
                ended: true,
                ..
            } => Some(decoder.trailers()),
            _ => None,
        }
    }

    /// How many body bytes lie at the front of `buffer`, reading when there are none. 0 is the end.
    ///
    /// # Errors
    /// [`BodyFault`].
    pub fn poll_fill(
        &mut self,
        stream: &Stream,
        buffer: &mut Buffer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, BodyFault>> {
        self.poll_fill_by(stream, buffer, MEDIUM, cx)
    }

    /// As [`Incoming::poll_fill`], with a read buffer of `piece` bytes for a body of known length that is longer than a small
    /// buffer.
    ///
    /// # Errors
    /// [`BodyFault`].
    pub fn poll_fill_by(
        &mut self,
        stream: &Stream,
        buffer: &mut Buffer,
        piece: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, BodyFault>> {
        loop {
            let room = match self {
                Self::Done | Self::Chunked { ended: true, .. } => return Poll::Ready(Ok(0)),
                Self::Length(left) => {
                    if !buffer.is_empty() {
                        return Poll::Ready(Ok(at_most(buffer.len(), *left)));
                    }
                    if *left > SMALL as u64 { piece } else { SMALL }
                }
                Self::Chunked {
                    decoder,
                    ready,
                    ended,
                } => {
                    if *ready == 0 {
                        match chunk(decoder, buffer)? {
                            Chunk::Ready(bytes) => *ready = bytes,
                            Chunk::End => *ended = true,
                            Chunk::More => {}
                        }
                    }
                    match (*ready, *ended) {
                        (0, false) => SMALL,
                        (bytes, _) => return Poll::Ready(Ok(bytes)),
                    }
                }
                Self::UntilClose => {
                    if !buffer.is_empty() {
                        return Poll::Ready(Ok(buffer.len()));
                    }
                    SMALL
                }
            };
            if ready!(poll_more(stream, buffer, room, cx)).map_err(BodyFault::Socket)? == 0 {
                if matches!(self, Self::UntilClose) {
                    *self = Self::Done;
                    return Poll::Ready(Ok(0));
                }
                return Poll::Ready(Err(BodyFault::Closed));
            }
        }
    }

    /// The caller used `n` of the bytes that lay ready.
    pub fn consume(&mut self, n: usize, buffer: &mut Buffer) {
        buffer.consume(n);
        match self {
            Self::Length(left) => {
                *left = left.saturating_sub(n as u64);
                if *left == 0 {
                    *self = Self::Done;
                }
            }
            Self::Chunked { ready, .. } => *ready = ready.saturating_sub(n),
            Self::Done | Self::UntilClose => {}
        }
    }
}

enum Chunk {
    Ready(usize),
    More,
    End,
}

fn chunk(decoder: &mut ChunkedDecoder, buffer: &mut Buffer) -> Result<Chunk, BodyFault> {
    match decoder.step(buffer.data()) {
        Ok(ChunkStep::Data { skip, len }) => {
            buffer.consume(skip);
            Ok(Chunk::Ready(len))
        }
        Ok(ChunkStep::NeedMore { consumed }) => {
            buffer.consume(consumed);
            Ok(Chunk::More)
        }
        Ok(ChunkStep::End { consumed }) => {
            buffer.consume(consumed);
            Ok(Chunk::End)
        }
        Err(reject) => Err(BodyFault::Framing(reject.reason)),
    }
}

/// Reads once into a buffer, growing it when the last read filled it: a body that streams gets fewer, larger reads.
fn poll_more(
    stream: &Stream,
    buffer: &mut Buffer,
    room: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let poll = stream.poll_read(cx, buffer.room(room));
    if poll.is_pending() {
        // Whoever reads next gets the same memory, still warm: with many bodies at once that is worth more than a system call.
        buffer.release();
    }
    poll
}

fn at_most(bytes: usize, left: u64) -> usize {
    usize::try_from(left).map_or(bytes, |left| bytes.min(left))
}
