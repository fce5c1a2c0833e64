//! What an origin's response is made of, read from HTTP/1.1 or a stream of HTTP/2.

use std::io;
use std::task::{Context, Poll, ready};

use seawall_model::{FieldId, Fields, Method, ResponseHead};

use super::{OriginFault, OriginResponse, ResponseInfo};
use crate::buffer::{Buffer, LARGE, SMALL};
use crate::downstream::After;
use crate::h1::{self, Framing, HeadLimits, HeadScanner};
use crate::incoming::Incoming;
use crate::multiplex::take_body;
use crate::outgoing::BodyOut;
use crate::stream::Stream;

impl OriginResponse<'_> {
    /// Reads the next head: an interim one (1xx), or the final one.
    ///
    /// # Errors
    /// [`OriginFault`].
    pub fn poll_head(
        &mut self,
        method: Method,
        limits: &HeadLimits,
        into: &mut ResponseHead,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseInfo, OriginFault>> {
        match self {
            Self::Http1 {
                stream,
                buffer,
                scanner,
                incoming,
                keep,
                ..
            } => {
                let (info, length) = ready!(poll_response(
                    stream, buffer, scanner, limits, method, into, cx
                ))?;
                buffer.consume(length);
                scanner.reset();
                *keep = info.persistent;
                let interim = (100..200).contains(&into.status);
                if !interim || info.upgrade {
                    *incoming = if info.upgrade {
                        Incoming::UntilClose
                    } else {
                        Incoming::new(info.framing)
                    };
                }
                let body = match info.framing {
                    Framing::None => BodyOut::None,
                    Framing::Length(length) => BodyOut::Length(length),
                    Framing::Chunked | Framing::UntilClose => BodyOut::Unknown,
                };
                Poll::Ready(Ok(ResponseInfo {
                    body,
                    switched: info.upgrade,
                    names_fields: info.names_fields,
                }))
            }
            Self::Http2 {
                stream,
                done,
                trailers,
                ..
            } => {
                ready!(stream.poll(cx, |core, id| {
                    (core.take_informational(id, into) || core.take_response(id, into))
                        .then_some(())
                }))
                .map_err(OriginFault::Reset)?;
                let end = into.status >= 200 && stream.with(|core, id| core.body_ended(id));
                *done = end;
                if end {
                    stream.with(|core, id| core.take_trailers(id, trailers));
                }
                let length = into.fields.only(FieldId::ContentLength).and_then(decimal);
                let bodiless = end || method == Method::Head || matches!(into.status, 204 | 304);
                let body = match length {
                    _ if bodiless => BodyOut::None,
                    Some(length) => BodyOut::Length(length),
                    None => BodyOut::Unknown,
                };
                Poll::Ready(Ok(ResponseInfo {
                    body,
                    switched: false,
                    names_fields: false,
                }))
            }
        }
    }

    /// How many body bytes lie ready, reading when there are none. 0 is the end.
    ///
    /// # Errors
    /// [`OriginFault`].
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, OriginFault>> {
        self.poll_fill_by(LARGE, cx)
    }

    /// As [`OriginResponse::poll_fill`], reading at most about `piece` bytes at once.
    ///
    /// # Errors
    /// [`OriginFault`].
    pub fn poll_fill_by(
        &mut self,
        piece: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, OriginFault>> {
        match self {
            Self::Http1 { ahead, .. } if !ahead.is_empty() => Poll::Ready(Ok(ahead.len())),
            Self::Http1 {
                stream,
                buffer,
                incoming,
                ..
            } => Poll::Ready(Ok(ready!(
                incoming.poll_fill_by(stream, buffer, piece, cx)
            )?)),
            Self::Http2 {
                stream,
                buffer,
                done,
                trailers,
            } => {
                if !buffer.is_empty() || *done {
                    return Poll::Ready(Ok(buffer.len()));
                }
                let read = ready!(stream.poll(cx, |core, id| {
                    let read = take_body(core, id, buffer);
                    (read > 0 || core.body_ended(id)).then_some(())
                }));
                read.map_err(OriginFault::Reset)?;
                if stream.with(|core, id| core.body_ended(id)) {
                    *done = true;
                    stream.with(|core, id| core.take_trailers(id, trailers));
                }
                Poll::Ready(Ok(buffer.len()))
            }
        }
    }

    /// Reads until so many bytes of the body lie ready, or all there are. What it read stays ready when nobody waits any more.
    ///
    /// # Errors
    /// [`OriginFault`].
    pub fn poll_gather(
        &mut self,
        want: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), OriginFault>> {
        match self {
            Self::Http1 {
                stream,
                buffer,
                incoming: incoming @ (Incoming::Length(_) | Incoming::UntilClose),
                ..
            } => {
                let most = match incoming {
                    Incoming::Length(left) => usize::try_from(*left).unwrap_or(want).min(want),
                    _ => want,
                };
                while buffer.len() < most {
                    match ready!(stream.poll_read(cx, buffer.room(LARGE))) {
                        // Whether that is the end, or too early, is found when it is taken.
                        Ok(0) => break,
                        Ok(_) => {}
                        Err(error) => return Poll::Ready(Err(OriginFault::Socket(error))),
                    }
                }
                Poll::Ready(Ok(()))
            }
            Self::Http1 {
                stream,
                buffer,
                incoming,
                ahead,
                ..
            } => {
                while ahead.len() < want {
                    let filled = incoming.poll_fill_by(stream, buffer, SMALL, cx);
                    let count = match ready!(filled)? {
                        0 => break,
                        count => count,
                    };
                    ahead.extend(buffer.front(count));
                    incoming.consume(count, buffer);
                }
                Poll::Ready(Ok(()))
            }
            Self::Http2 {
                stream,
                buffer,
                done,
                trailers,
            } => {
                while buffer.len() < want && !*done {
                    let read = ready!(stream.poll(cx, |core, id| {
                        let read = take_body(core, id, buffer);
                        (read > 0 || core.body_ended(id)).then_some(())
                    }));
                    read.map_err(OriginFault::Reset)?;
                    if stream.with(|core, id| core.body_ended(id)) {
                        *done = true;
                        stream.with(|core, id| core.take_trailers(id, trailers));
                    }
                }
                Poll::Ready(Ok(()))
            }
        }
    }

    /// The first `n` bytes that lie ready.
    pub fn front(&self, n: usize) -> &[u8] {
        match self {
            Self::Http1 { ahead, .. } if !ahead.is_empty() => ahead.front(n),
            Self::Http1 { buffer, .. } => buffer.front(n),
            Self::Http2 { buffer, .. } => buffer.front(n),
        }
    }

    /// `n` bytes were used.
    pub fn consume(&mut self, n: usize) {
        match self {
            Self::Http1 { ahead, .. } if !ahead.is_empty() => ahead.consume(n),
            Self::Http1 {
                buffer, incoming, ..
            } => incoming.consume(n, buffer),
            Self::Http2 { buffer, .. } => buffer.consume(n),
        }
    }

    /// What follows the first `n` bytes that lie ready.
    pub fn after(&self, n: usize) -> After {
        match self {
            Self::Http1 {
                ahead,
                incoming,
                buffer,
                ..
            } if !ahead.is_empty() => {
                match ahead.len() > n || incoming.is_done() || !buffer.is_empty() {
                    true => After::More,
                    false => After::Wait,
                }
            }
            Self::Http1 {
                incoming: Incoming::Length(left),
                ..
            } if *left == n as u64 => After::Last,
            Self::Http1 { buffer, .. } if buffer.len() > n => After::More,
            Self::Http2 {
                done: true,
                trailers,
                ..
            } if trailers.is_empty() => After::Last,
            Self::Http2 { done: true, .. } => After::More,
            _ => After::Wait,
        }
    }

    /// The whole body, where all of it lies ready: how many bytes.
    pub fn whole(&self) -> Option<usize> {
        match self {
            Self::Http1 {
                incoming: Incoming::Length(left),
                buffer,
                ..
            } if buffer.len() as u64 >= *left => Some(*left as usize),
            _ => None,
        }
    }

    /// The trailers, once it is done.
    pub fn trailers(&self) -> Option<&Fields> {
        match self {
            Self::Http1 { incoming, .. } => incoming.trailers(),
            Self::Http2 { done, trailers, .. } => done.then_some(&**trailers),
        }
    }

    /// The whole response was taken in, and the connection may serve another request.
    pub fn is_reusable(&self) -> bool {
        match self {
            Self::Http1 {
                buffer,
                incoming,
                keep,
                ahead,
                ..
            } => *keep && incoming.is_done() && buffer.is_empty() && ahead.is_empty(),
            Self::Http2 { .. } => true,
        }
    }

    /// Gives the read buffer back, when the connection goes to rest.
    pub fn release(&mut self) {
        match self {
            Self::Http1 { buffer, ahead, .. } => {
                buffer.release();
                ahead.release();
            }
            Self::Http2 { buffer, .. } => buffer.release(),
        }
    }
}

fn poll_response(
    stream: &Stream,
    buffer: &mut Buffer,
    scanner: &mut HeadScanner,
    limits: &HeadLimits,
    method: Method,
    into: &mut ResponseHead,
    cx: &mut Context<'_>,
) -> Poll<Result<(h1::ResponseInfo, usize), OriginFault>> {
    loop {
        if !buffer.is_empty() {
            if scanner.is_new()
                && let Some(begun) = h1::begin_response(buffer.data(), limits, method, into)
            {
                return Poll::Ready(Ok(begun));
            }
            if let Some(length) = scanner.find(buffer.data()) {
                let parsed = h1::parse_response(buffer.front(length), limits, method, into);
                let info = parsed.map_err(|bad| OriginFault::Malformed(bad.reason))?;
                return Poll::Ready(Ok((info, length)));
            }
            if buffer.len() > limits.head_bytes {
                return Poll::Ready(Err(OriginFault::Malformed("the head is too long")));
            }
        }
        let first = buffer.is_empty();
        match ready!(stream.poll_read(cx, buffer.room(SMALL))) {
            Ok(0) if first => return Poll::Ready(Err(OriginFault::ClosedEarly)),
            Ok(0) => return Poll::Ready(Err(OriginFault::Closed)),
            Ok(_) => {}
            Err(error) if first && is_reset(&error) => {
                return Poll::Ready(Err(OriginFault::ClosedEarly));
            }
            Err(error) => return Poll::Ready(Err(OriginFault::Socket(error))),
        }
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
