//! The origin's half of an exchange, the same for HTTP/1.1 and HTTP/2: a request to give, a response to take in.
//!
//! A connection is lent to one exchange at a time ([`OriginConnection`]; with HTTP/2: one stream of it) and tells at the end
//! whether it may serve another. Not here: which origin, pools, retries.

mod fault;
mod response;

use std::rc::Rc;
use std::time::Duration;

use seawall_model::{FieldId, Fields};

pub use fault::OriginFault;

use crate::alarm::{Alarm, Elapsed};
use crate::buffer::{self, Buffer, SMALL};
use crate::downstream::{After, ClientGone, write_two};
use crate::h1::{self, HeadScanner};
use crate::h2::Pseudo;
use crate::incoming::Incoming;
use crate::multiplex::StreamHandle;
use crate::outgoing::{BodyOut, RequestOut};
use crate::stream::Stream;

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
        Self {
            stream,
            buffer: Buffer::default(),
            scanner: HeadScanner::default(),
            served: 0,
            attached: None,
        }
    }

    /// Both ways of an exchange.
    pub fn split(&mut self) -> (OriginRequest<'_>, OriginResponse<'_>) {
        let Self {
            stream,
            buffer,
            scanner,
            ..
        } = self;
        let request = OriginRequest::Http1 {
            stream,
            chunked: false,
            out: Vec::new(),
        };
        let response = OriginResponse::Http1 {
            stream,
            buffer,
            scanner,
            ahead: Buffer::default(),
            incoming: Incoming::Done,
            keep: false,
        };
        (request, response)
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
        /// Content of chunks that was taken before it was asked for, without their sizes.
        ahead: Buffer,
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
            Self::Http1(connection) => connection.split(),
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
    pub async fn head(
        &mut self,
        head: &RequestOut<'_>,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), OriginFault> {
        if self.head_now(head, None)? {
            Ok(())
        } else {
            self.flush(alarm, timeout).await
        }
    }

    /// The same, as far as the socket takes it at once; tells whether that was all. If not, [`OriginRequest::flush`] waits.
    /// `spare` is empty, and is so again afterwards: a head that leaves at once needs no buffer of its own.
    ///
    /// # Errors
    /// [`OriginFault`].
    pub fn head_now(
        &mut self,
        head: &RequestOut<'_>,
        spare: Option<&mut Vec<u8>>,
    ) -> Result<bool, OriginFault> {
        let Self::Http1 {
            stream,
            chunked,
            out,
        } = self
        else {
            return Ok(true);
        };
        let bodiless = matches!(head.body, BodyOut::None | BodyOut::Length(0));
        let Some(spare) = spare.filter(|_| bodiless) else {
            *out = buffer::take(SMALL);
            *chunked = head.body == BodyOut::Unknown;
            head.write_h1(out);
            if !bodiless {
                return Ok(true);
            }
            let wrote = stream
                .write_now(out, &[])
                .map_err(|_| OriginFault::Closed)?;
            out.drain(..wrote);
            return Ok(out.is_empty() && !stream.holds_output());
        };
        head.write_h1(spare);
        let wrote = stream.write_now(spare, &[]);
        let unsent = spare
            .get(*wrote.as_ref().unwrap_or(&0)..)
            .unwrap_or_default();
        if !unsent.is_empty() {
            *out = buffer::take(SMALL);
            out.extend_from_slice(unsent);
        }
        spare.clear();
        wrote.map_err(|_| OriginFault::Closed)?;
        Ok(out.is_empty() && !stream.holds_output())
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
            Self::Http1 {
                stream,
                chunked,
                out,
            } => {
                if *chunked {
                    h1::write_chunk_size(out, data.len());
                }
                write_two(stream, out, data, alarm, timeout)
                    .await
                    .map_err(stuck)?;
                out.clear();
                if *chunked {
                    out.extend_from_slice(h1::CHUNK_END);
                    if after == After::Last {
                        out.extend_from_slice(h1::LAST_CHUNK);
                    }
                }
                if after == After::More {
                    Ok(())
                } else {
                    self.flush(alarm, timeout).await
                }
            }
            Self::Http2(stream) => {
                while !data.is_empty() {
                    let took = alarm
                        .wait(timeout, |cx| {
                            stream.poll(cx, |core, id| {
                                match core.send_data(id, data, after == After::Last) {
                                    Ok(0) => None,
                                    took => Some(took),
                                }
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
    pub async fn end(
        &mut self,
        trailers: Option<&Fields>,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), OriginFault> {
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
                        // As in HTTP/1.1: what routes, frames or identifies is not to be smuggled in behind a body.
                        let fields = trailers.iter().filter(|field| field.id == FieldId::Other);
                        let fields = fields.map(|field| (field.name, field.value));
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
    let id = connection
        .core()
        .open(pseudo, head.iter().chain(length), end)?;
    connection.wake_driver();
    Some(Rc::new(StreamHandle::new(connection, id)))
}
