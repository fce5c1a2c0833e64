//! What the bytes of HTTP/3's streams mean, without a connection below them: for those who try it with bytes of their own.

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use seawall_model::{Fields, RequestHead};

use super::ConnectionError;
use super::others::{Known, Other};
use super::reader::{Fault, Reader, Source};
use crate::buffer::Buffer;
use crate::h2::Malformed;
use crate::quic::Gone;

/// Pieces that a stream brings, then its end.
struct Pieces<I>(RefCell<I>);

impl<I: Iterator<Item = Bytes>> Source for Pieces<I> {
    fn read(&self) -> Poll<Result<Option<Bytes>, Gone>> {
        Poll::Ready(Ok(self.0.borrow_mut().next()))
    }

    fn watch(&self, _: &Context<'_>) {}
}

/// How reading a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is whole.
    Whole,
    /// Its stream ended before its head.
    Unfinished,
    /// A field section is larger than it may be.
    TooLarge,
    /// It is malformed.
    Malformed(Malformed),
    /// The connection would have to be closed.
    Connection(ConnectionError),
}

impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Gone(_) | Fault::Unfinished => Self::Unfinished,
            Fault::TooLarge => Self::TooLarge,
            Fault::Malformed(why) => Self::Malformed(why),
            Fault::Connection(error) => Self::Connection(error),
        }
    }
}

/// What came of a request, as far as it was read.
#[derive(Debug, Default)]
pub struct Request {
    /// Its head, if that was good.
    pub head: Option<RequestHead>,
    /// Its body.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: Fields,
}

/// Reads a request from a stream that brings these pieces, none of them empty. `most` bounds a field section, in bytes.
pub fn request(pieces: impl Iterator<Item = Bytes>, most: usize) -> (Request, Outcome) {
    let from = Pieces(RefCell::new(pieces));
    let cx = Context::from_waker(Waker::noop());
    let (mut reader, mut read) = (Reader::new(most), Request::default());
    let mut head = RequestHead::default();
    match reader.poll_head(&from, &mut head, &cx) {
        Poll::Ready(Ok(_)) => read.head = Some(head),
        Poll::Ready(Err(fault)) => return (read, fault.into()),
        Poll::Pending => return (read, Outcome::Unfinished),
    }
    loop {
        let mut buffer = Buffer::default();
        match reader.poll_body(&from, &mut buffer, &mut read.trailers, &cx) {
            Poll::Ready(Ok(0)) => return (read, Outcome::Whole),
            Poll::Ready(Ok(_)) => read.body.extend_from_slice(buffer.data()),
            Poll::Ready(Err(fault)) => return (read, fault.into()),
            Poll::Pending => return (read, Outcome::Unfinished),
        }
    }
}

/// Reads streams that carry no request, each in pieces, one stream after the other: of each, whether it is one that we read.
///
/// # Errors
/// The connection would have to be closed.
pub fn others<'a, P>(streams: impl Iterator<Item = P>) -> Result<Vec<bool>, ConnectionError>
where
    P: Iterator<Item = &'a [u8]>,
{
    let mut known = Known::default();
    let mut read = Vec::new();
    for pieces in streams {
        let mut other = Other::default();
        let mut goes_on = true;
        for piece in pieces {
            goes_on = goes_on && other.take(piece, &mut known)?;
        }
        read.push(goes_on);
    }
    Ok(read)
}
