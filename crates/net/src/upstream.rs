//! The origin's half of an exchange, the same for HTTP/1.1 and HTTP/2: a request to give, a response to take in.
//!
//! A connection is lent to one exchange at a time ([`OriginConnection`]; with HTTP/2: one stream of it) and tells at the end
//! whether it may serve another. Not here: which origin, pools, retries.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use seawall_model::{FieldId, Fields, Method, ResponseHead};

use crate::alarm::{Alarm, Elapsed};
use crate::buffer::{self, Buffer, SMALL};
use crate::downstream::{After, ClientGone, write_two};
use crate::h1::{self, Framing, HeadLimits, HeadScanner};
use crate::h2::{ErrorCode, Pseudo, StreamGone};
use crate::incoming::{BodyFault, Incoming};
use crate::multiplex::{StreamHandle, take_body};
use crate::outgoing::{BodyOut, RequestOut};
use crate::stream::Stream;

/// Why an origin's connection failed.
#[derive(Debug, thiserror::Error)]
pub enum OriginFault {
    /// It closed before a response began.
    #[error("closed before it answered")]
    ClosedEarly,
    /// It closed, or reset, in the middle of the response.
    #[error("closed in the middle of its answer")]
    Closed,
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Socket(io::Error),
    /// What it sent is no HTTP, or ambiguous.
    #[error("not an HTTP response that can be trusted: {0}")]
    Malformed(&'static str),
    /// It did not answer in time.
    #[error("no answer in time")]
    Slow,
    /// It did not take the request in time.
    #[error("the request was not taken in time")]
    Stuck,
    /// The stream was reset (HTTP/2 error code).
    #[error("the stream was reset with code {0}")]
    Reset(u32),
}

impl OriginFault {
    /// The origin certainly did nothing with the request (RFC 9113 §8.7).
    pub fn is_unprocessed(&self) -> bool {
        matches!(self, Self::Reset(code) if *code == ErrorCode::REFUSED_STREAM.0)
    }
}

impl From<StreamGone> for OriginFault {
    fn from(_: StreamGone) -> Self {
        Self::Closed
    }
}

impl From<BodyFault> for OriginFault {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::Closed => Self::Closed,
            BodyFault::Socket(error) => Self::Socket(error),
            BodyFault::Framing(reason) => Self::Malformed(reason),
            BodyFault::Slow | BodyFault::TooLarge => Self::Slow,
            BodyFault::Reset(code) => Self::Reset(code),
        }
    }
}

/// An HTTP/1.1 connection to an origin.
pub struct Http1Connection {
    stream: Stream,
    buffer: Buffer,
    scanner: HeadScanner,
    /// How many requests it served.
    pub served: u32,
    /// Whatever must end with the connection: what counts it, say.
    pub attached: Option<Box<dyn std::any::Any>>,
}

impl Http1Connection {
    /// On a fresh stream.
    pub fn new(stream: Stream) -> Self {
        Self { stream, buffer: Buffer::default(), scanner: HeadScanner::default(), served: 0, attached: None }
    }

    /// Whether it can be lent again: the origin said nothing since, not even goodbye. No system call.
    pub fn is_fresh(&self) -> bool {
        self.buffer.is_empty() && !self.stream.has_news()
    }
}

/// A connection, or a stream of one, lent to an exchange.
pub enum OriginConnection {
    /// HTTP/1.1.
    Http1(Box<Http1Connection>),
    /// HTTP/2.
    Http2(Rc<StreamHandle>),
}

/// What we know of a response from its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseInfo {
    /// How long the body is, as far as the head tells. `None`: it has none (HEAD, 204, 304).
    pub body: BodyOut,
    /// The origin switched protocols (101).
    pub switched: bool,
    /// `Connection` names fields that end here.
    pub names_fields: bool,
}

/// The way of a request.
pub enum OriginRequest<'a> {
    /// HTTP/1.1.
    Http1 {
        /// The connection's bytes.
        stream: &'a Stream,
        /// Chunked coding is on.
        chunked: bool,
        /// What was not yet sent.
        out: Vec<u8>,
    },
    /// HTTP/2.
    Http2(Rc<StreamHandle>),
}

/// The origin's response.
pub enum OriginResponse<'a> {
    /// HTTP/1.1.
    Http1 {
        /// The connection's bytes.
        stream: &'a Stream,
        /// What was read and not used.
        buffer: &'a mut Buffer,
        /// Where the head ends.
        scanner: &'a mut HeadScanner,
        /// Where the body stands.
        incoming: Incoming,
        /// Whether the connection may serve another request.
        keep: bool,
    },
    /// HTTP/2.
    Http2 {
        /// The stream.
        stream: Rc<StreamHandle>,
        /// What was read and not used.
        buffer: Buffer,
        /// Everything came.
        done: bool,
        /// The trailers.
        trailers: Box<Fields>,
    },
}

impl OriginConnection {
    /// Both ways of the exchange.
    pub fn split(&mut self) -> (OriginRequest<'_>, OriginResponse<'_>) {
        match self {
            Self::Http1(connection) => {
                let Http1Connection { stream, buffer, scanner, .. } = &mut **connection;
                let request = OriginRequest::Http1 { stream, chunked: false, out: Vec::new() };
                (request, OriginResponse::Http1 { stream, buffer, scanner, incoming: Incoming::Done, keep: false })
            }
            Self::Http2(stream) => (
                OriginRequest::Http2(stream.clone()),
                OriginResponse::Http2 {
                    stream: stream.clone(),
                    buffer: Buffer::default(),
                    done: false,
                    trailers: Box::default(),
                },
            ),
        }
    }
}

impl OriginRequest<'_> {
    /// Sends the head. With a body to come HTTP/1.1 keeps it until the first bytes.
    ///
    /// # Errors
    /// [`OriginFault`].
    pub async fn head(&mut self, head: &RequestOut<'_>, alarm: &mut Alarm, timeout: Duration) -> Result<(), OriginFault> {
        if self.head_now(head)? { Ok(()) } else { self.flush(alarm, timeout).await }
    }

    /// The same, as far as the socket takes it at once; tells whether that was all. If not, [`OriginRequest::flush`] waits.
    ///
    /// # Errors
    /// [`OriginFault`].
    pub fn head_now(&mut self, head: &RequestOut<'_>) -> Result<bool, OriginFault> {
        let Self::Http1 { stream, chunked, out } = self else {
            return Ok(true);
        };
        *out = buffer::take(SMALL);
        *chunked = head.body == BodyOut::Unknown;
        head.write_h1(out);
        if !matches!(head.body, BodyOut::None | BodyOut::Length(0)) {
            return Ok(true);
        }
        let wrote = stream.write_now(out, &[]).map_err(|_| OriginFault::Closed)?;
        if wrote < out.len() {
            out.drain(..wrote);
            return Ok(false);
        }
        out.clear();
        Ok(!stream.holds_output())
    }

    /// Body bytes.
    ///
    /// # Errors
    /// [`OriginFault`].
    pub async fn body(
        &mut self,
        mut data: &[u8],
        after: After,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), OriginFault> {
        match self {
            Self::Http1 { stream, chunked, out } => {
                if *chunked {
                    h1::write_chunk_size(out, data.len());
                }
                write_two(stream, out, data, alarm, timeout).await.map_err(stuck)?;
                out.clear();
                if *chunked {
                    out.extend_from_slice(h1::CHUNK_END);
                    if after == After::Last {
                        out.extend_from_slice(h1::LAST_CHUNK);
                    }
                }
                if after == After::More { Ok(()) } else { self.flush(alarm, timeout).await }
            }
            Self::Http2(stream) => {
                while !data.is_empty() {
                    let took = alarm
                        .wait(timeout, |cx| {
                            stream.poll(cx, |core, id| match core.send_data(id, data, after == After::Last) {
                                Ok(0) => None,
                                took => Some(took),
                            })
                        })
                        .await
                        .map_err(|Elapsed| OriginFault::Stuck)?
                        .map_err(OriginFault::Reset)??;
                    data = data.get(took..).unwrap_or_default();
                }
                Ok(())
            }
        }
    }

    /// The end of the body.
    ///
    /// # Errors
    /// [`OriginFault`].
    pub async fn end(&mut self, trailers: Option<&Fields>, alarm: &mut Alarm, timeout: Duration) -> Result<(), OriginFault> {
        let trailers = trailers.filter(|trailers| !trailers.is_empty());
        match self {
            Self::Http1 { chunked, out, .. } => {
                if *chunked {
                    match trailers {
                        Some(trailers) => h1::write_trailers(out, trailers),
                        None => out.extend_from_slice(h1::LAST_CHUNK),
                    }
                }
                self.flush(alarm, timeout).await
            }
            Self::Http2(stream) => {
                let sent = match trailers {
                    Some(trailers) => {
                        let fields = trailers.iter().map(|field| (field.name, field.value));
                        stream.with(|core, id| core.send_trailers(id, fields))
                    }
                    None => stream.with(|core, id| core.send_data(id, &[], true).map(|_| ())),
                };
                Ok(sent?)
            }
        }
    }

    /// Says the end of a tunnel's bytes.
    pub fn finish_tunnel(&mut self) {
        match self {
            Self::Http1 { stream, .. } => {
                let _ = stream.finish_sending();
            }
            Self::Http2(stream) => {
                let _ = stream.with(|core, id| core.send_data(id, &[], true));
            }
        }
    }

    /// Sends what is still kept. HTTP/2 sends by itself.
    ///
    /// # Errors
    /// [`OriginFault`].
    pub async fn flush(&mut self, alarm: &mut Alarm, timeout: Duration) -> Result<(), OriginFault> {
        let Self::Http1 { stream, out, .. } = self else {
            return Ok(());
        };
        let sent = write_two(stream, out, &[], alarm, timeout).await;
        out.clear();
        sent.map_err(stuck)
    }
}

impl Drop for OriginRequest<'_> {
    fn drop(&mut self) {
        if let Self::Http1 { out, .. } = self {
            buffer::give(std::mem::take(out));
        }
    }
}

fn stuck(gone: ClientGone) -> OriginFault {
    match gone {
        ClientGone::Slow => OriginFault::Stuck,
        ClientGone::Closed => OriginFault::Closed,
    }
}

/// Opens an HTTP/2 stream for this request.
///
/// `None`: the connection takes no more streams now.
pub fn open_stream(
    connection: &Rc<crate::multiplex::Multiplex>,
    head: &RequestOut<'_>,
    protocol: Option<&[u8]>,
) -> Option<Rc<StreamHandle>> {
    let mut digits = Vec::new();
    let length = match head.body {
        BodyOut::Length(length) if length > 0 => {
            h1::write_decimal(&mut digits, length);
            Some((&b"content-length"[..], digits.as_slice()))
        }
        _ => None,
    };
    let pseudo = Pseudo {
        method: head.method,
        scheme: head.scheme.as_bytes(),
        authority: head.authority,
        path: head.target,
        protocol,
    };
    let end = protocol.is_none() && matches!(head.body, BodyOut::None | BodyOut::Length(0));
    let id = connection.core().open(pseudo, head.iter().chain(length), end)?;
    connection.wake_driver();
    Some(Rc::new(StreamHandle::new(connection, id)))
}

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
            Self::Http1 { stream, buffer, scanner, incoming, keep } => {
                let (info, length) = ready!(poll_response(stream, buffer, scanner, limits, method, into, cx))?;
                buffer.consume(length);
                scanner.reset();
                *keep = info.persistent;
                let interim = (100..200).contains(&into.status);
                if !interim || info.upgrade {
                    *incoming = if info.upgrade { Incoming::UntilClose } else { Incoming::new(info.framing) };
                }
                let body = match info.framing {
                    Framing::None => BodyOut::None,
                    Framing::Length(length) => BodyOut::Length(length),
                    Framing::Chunked | Framing::UntilClose => BodyOut::Unknown,
                };
                Poll::Ready(Ok(ResponseInfo { body, switched: info.upgrade, names_fields: info.names_fields }))
            }
            Self::Http2 { stream, done, trailers, .. } => {
                ready!(stream.poll(cx, |core, id| {
                    (core.take_informational(id, into) || core.take_response(id, into)).then_some(())
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
                Poll::Ready(Ok(ResponseInfo { body, switched: false, names_fields: false }))
            }
        }
    }

    /// How many body bytes lie ready, reading when there are none. 0 is the end.
    ///
    /// # Errors
    /// [`OriginFault`].
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, OriginFault>> {
        match self {
            Self::Http1 { stream, buffer, incoming, .. } => {
                Poll::Ready(Ok(ready!(incoming.poll_fill(stream, buffer, cx))?))
            }
            Self::Http2 { stream, buffer, done, trailers } => {
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

    /// The first `n` bytes that lie ready.
    pub fn front(&self, n: usize) -> &[u8] {
        match self {
            Self::Http1 { buffer, .. } => buffer.front(n),
            Self::Http2 { buffer, .. } => buffer.front(n),
        }
    }

    /// `n` bytes were used.
    pub fn consume(&mut self, n: usize) {
        match self {
            Self::Http1 { buffer, incoming, .. } => incoming.consume(n, buffer),
            Self::Http2 { buffer, .. } => buffer.consume(n),
        }
    }

    /// What follows the first `n` bytes that lie ready.
    pub fn after(&self, n: usize) -> After {
        match self {
            Self::Http1 { incoming: Incoming::Length(left), .. } if *left == n as u64 => After::Last,
            Self::Http1 { buffer, .. } if buffer.len() > n => After::More,
            Self::Http2 { done: true, trailers, .. } if trailers.is_empty() => After::Last,
            Self::Http2 { done: true, .. } => After::More,
            _ => After::Wait,
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
            Self::Http1 { buffer, incoming, keep, .. } => *keep && incoming.is_done() && buffer.is_empty(),
            Self::Http2 { .. } => true,
        }
    }

    /// Gives the read buffer back, when the connection goes to rest.
    pub fn release(&mut self) {
        match self {
            Self::Http1 { buffer, .. } => buffer.release(),
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
            Err(error) if first && is_reset(&error) => return Poll::Ready(Err(OriginFault::ClosedEarly)),
            Err(error) => return Poll::Ready(Err(OriginFault::Socket(error))),
        }
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
