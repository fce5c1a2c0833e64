//! The client's half of an exchange, the same for every protocol: a body to take in, a response to give.
//!
//! Two values, so that an upload can run beside a download in one task: [`ClientBody`] and [`ClientResponse`].

mod http1;
mod http2;
mod http3;

use std::time::Duration;

use seawall_model::Fields;

pub(crate) use http1::write_two;
pub use http1::{Continue, Http1Body, Http1Response};
pub use http2::{Http2Body, Http2Response};
pub use http3::{Http3Body, Http3Response};

use crate::alarm::Alarm;
use crate::incoming::BodyFault;
use crate::outgoing::ResponseOut;

/// Why a response could not be given.
#[derive(Debug, thiserror::Error)]
pub enum ClientGone {
    /// The client closed or reset.
    #[error("the client went away")]
    Closed,
    /// The client took nothing for too long.
    #[error("the client read too slowly")]
    Slow,
}

impl From<crate::alarm::Elapsed> for ClientGone {
    fn from(_: crate::alarm::Elapsed) -> Self {
        Self::Slow
    }
}

impl From<std::io::Error> for ClientGone {
    fn from(_: std::io::Error) -> Self {
        Self::Closed
    }
}

/// What comes after some body bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Further bytes are at hand already: nothing need leave yet.
    More,
    /// Perhaps something, some time: what we have must leave now.
    Wait,
    /// Nothing: this is the end of the body, and there are no trailers.
    Last,
}

/// How patient we are with a client's body.
#[derive(Clone, Copy, Debug)]
pub struct BodyPace {
    /// The longest wait for anything.
    pub idle: Duration,
    /// Bytes per second of waiting that must come on average, once `idle` was waited in all.
    pub rate: u64,
}

/// A request's body.
pub enum ClientBody<'a> {
    /// HTTP/1.x.
    Http1(Http1Body<'a>),
    /// HTTP/2.
    Http2(Http2Body),
    /// HTTP/3.
    Http3(Http3Body),
}

impl ClientBody<'_> {
    /// How many bytes lie ready, waiting for some. 0 is the end.
    ///
    /// # Errors
    /// [`BodyFault`].
    pub async fn fill(&mut self, alarm: &mut Alarm, pace: BodyPace) -> Result<usize, BodyFault> {
        match self {
            Self::Http1(body) => body.fill(alarm, pace).await,
            Self::Http2(body) => body.fill(alarm, pace).await,
            Self::Http3(body) => body.fill(alarm, pace).await,
        }
    }

    /// Whether some of it, or its end, lies ready: [`ClientBody::fill`] would not have to wait.
    pub fn is_at_hand(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_at_hand(),
            Self::Http2(body) => body.is_at_hand(),
            Self::Http3(body) => body.is_at_hand(),
        }
    }

    /// The first `n` bytes that lie ready.
    pub fn front(&self, n: usize) -> &[u8] {
        match self {
            Self::Http1(body) => body.front(n),
            Self::Http2(body) => body.front(n),
            Self::Http3(body) => body.front(n),
        }
    }

    /// `n` bytes were used.
    pub fn consume(&mut self, n: usize) {
        match self {
            Self::Http1(body) => body.consume(n),
            Self::Http2(body) => body.consume(n),
            Self::Http3(body) => body.consume(n),
        }
    }

    /// Whether all of it was used.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_done(),
            Self::Http2(body) => body.is_done(),
            Self::Http3(body) => body.is_done(),
        }
    }

    /// The trailers, once it is done.
    pub fn trailers(&self) -> Option<&Fields> {
        match self {
            Self::Http1(body) => body.trailers(),
            Self::Http2(body) => body.trailers(),
            Self::Http3(body) => body.trailers(),
        }
    }

    /// From here on bytes, not a message: an upgraded connection, or the stream of an extended CONNECT.
    pub fn begin_tunnel(&mut self) {
        if let Self::Http1(body) = self {
            body.begin_tunnel();
        }
    }
}

/// The way of a response.
pub enum ClientResponse<'a> {
    /// HTTP/1.x.
    Http1(Http1Response<'a>),
    /// HTTP/2.
    Http2(Http2Response),
    /// HTTP/3.
    Http3(Http3Response),
}

impl ClientResponse<'_> {
    /// An interim response (1xx) that came from the origin. Dropped where the protocol or the client cannot take it.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub async fn interim(
        &mut self,
        head: ResponseOut<'_>,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), ClientGone> {
        match self {
            Self::Http1(response) => response.interim(head, alarm, timeout).await,
            Self::Http2(response) => response.interim(head),
            Self::Http3(response) => response.interim(head, alarm, timeout).await,
        }
    }

    /// The final head. HTTP/1.x keeps it until the first body bytes, so that both leave in one write.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub fn head(&mut self, head: ResponseOut<'_>) -> Result<(), ClientGone> {
        match self {
            Self::Http1(response) => {
                response.head(head);
                Ok(())
            }
            Self::Http2(response) => response.head(head),
            Self::Http3(response) => {
                response.head(head);
                Ok(())
            }
        }
    }

    /// As [`ClientResponse::head_alone`], but HTTP/1.x keeps it until the next flush.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub fn keep_head_alone(&mut self, head: ResponseOut<'_>) -> Result<(), ClientGone> {
        match self {
            Self::Http1(response) => {
                response.head(head);
                Ok(())
            }
            Self::Http2(response) => response.head_alone(head),
            Self::Http3(response) => {
                response.head_alone(head);
                Ok(())
            }
        }
    }

    /// The final head, with nothing behind it: `head.body` is what the client would have got.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub async fn head_alone(
        &mut self,
        head: ResponseOut<'_>,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), ClientGone> {
        self.keep_head_alone(head)?;
        self.flush(alarm, timeout).await
    }

    /// The head of a protocol switch: 101 on HTTP/1.1, 200 on an extended CONNECT.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub async fn switch(
        &mut self,
        head: ResponseOut<'_>,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), ClientGone> {
        match self {
            Self::Http1(response) => response.switch(head, alarm, timeout).await,
            Self::Http2(response) => response.head(ResponseOut {
                status: 200,
                ..head
            }),
            Self::Http3(response) => {
                response.head(ResponseOut {
                    status: 200,
                    ..head
                });
                response.flush(alarm, timeout).await
            }
        }
    }

    /// Body bytes. After [`After::Last`] nothing else is given, not even [`ClientResponse::end`].
    ///
    /// # Errors
    /// [`ClientGone`].
    pub async fn body(
        &mut self,
        data: &[u8],
        after: After,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), ClientGone> {
        match self {
            Self::Http1(response) => response.body(data, after, alarm, timeout).await,
            Self::Http2(response) => response.body(data, after, alarm, timeout).await,
            Self::Http3(response) => response.body(data, after, alarm, timeout).await,
        }
    }

    /// As [`ClientResponse::body`], for a piece that can be kept until the next flush; tells whether it was.
    pub fn keep(&mut self, data: &[u8], after: After) -> bool {
        match self {
            Self::Http1(response) => response.keep(data, after),
            Self::Http2(_) | Self::Http3(_) => false,
        }
    }

    /// A buffer, empty and to be left empty, that nobody needs before the head is given.
    pub fn spare(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::Http1(response) => Some(response.spare()),
            Self::Http2(_) | Self::Http3(_) => None,
        }
    }

    /// Sends what is kept as far as it can go at once; tells whether that was all. If not, [`ClientResponse::flush`] waits.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub fn flush_now(&mut self) -> Result<bool, ClientGone> {
        match self {
            Self::Http1(response) => response.flush_now(),
            Self::Http2(_) => Ok(true),
            Self::Http3(response) => response.flush_now(),
        }
    }

    /// Sends what is still kept. HTTP/2 sends by itself.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub async fn flush(&mut self, alarm: &mut Alarm, timeout: Duration) -> Result<(), ClientGone> {
        match self {
            Self::Http1(response) => response.flush(alarm, timeout).await,
            Self::Http2(_) => Ok(()),
            Self::Http3(response) => response.flush(alarm, timeout).await,
        }
    }

    /// The end of the body, with trailers where there are any and the protocol carries them.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub async fn end(
        &mut self,
        trailers: Option<&Fields>,
        alarm: &mut Alarm,
        timeout: Duration,
    ) -> Result<(), ClientGone> {
        match self {
            Self::Http1(response) => response.end(trailers, alarm, timeout).await,
            Self::Http2(response) => response.end(trailers),
            Self::Http3(response) => response.end(trailers, alarm, timeout).await,
        }
    }

    /// The body will never be whole: the client must be able to tell. HTTP/1.x resets the connection, HTTP/2 and 3 the
    /// stream.
    pub fn abort(&mut self) {
        match self {
            Self::Http1(response) => response.abort(),
            Self::Http2(response) => response.abort(),
            Self::Http3(response) => response.abort(),
        }
    }

    /// Whether the client is gone, asked while nothing is read from it or written to it. HTTP/2 tells by itself. A client of
    /// HTTP/1.x that only said FIN may still want its answer; one that said RST does not.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Http1(response) => response.is_gone(),
            Self::Http2(_) | Self::Http3(_) => false,
        }
    }

    /// Takes back a head that was given but has not left: another one may be given.
    pub fn take_back(&mut self) {
        match self {
            Self::Http1(response) => response.take_back(),
            Self::Http2(_) => {}
            Self::Http3(response) => response.take_back(),
        }
    }

    /// Whether a byte of the final response may have left: no other one can be given then. Interim responses do not count.
    pub fn has_begun(&self) -> bool {
        match self {
            Self::Http1(response) => response.has_begun(),
            Self::Http2(response) => response.bytes() > 0,
            Self::Http3(response) => response.has_begun(),
        }
    }

    /// No other request will be read after this response, and its head, if it is still to be given, says so (RFC 9112 §9.6).
    /// On HTTP/2 other streams go on.
    pub fn close_after(&mut self) {
        if let Self::Http1(response) = self {
            response.close_after();
        }
    }

    /// Bytes given so far, interim responses and head included (HTTP/2: before field compression is not counted, frames are).
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Http1(response) => response.bytes(),
            Self::Http2(response) => response.bytes(),
            Self::Http3(response) => response.bytes(),
        }
    }
}
