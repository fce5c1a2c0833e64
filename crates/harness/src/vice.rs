//! Origins named by what is wrong with them.
//!
//! A vice takes over once a request's head has been read (some already when the connection is accepted) and decides what
//! goes over the wire and how the connection ends. What an edge should make of it stands in `scenarios/`.

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::answer::pattern;
use crate::socket::Socket;

/// What is wrong with an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vice {
    /// Nothing any more: well-behaved again.
    None,
    /// The port is closed.
    Refuses,
    /// RST right after accept.
    ResetsOnAccept,
    /// FIN right after accept.
    ClosesOnAccept,
    /// Reads the request, then RST.
    ResetsAfterRequest,
    /// Reads the request, then FIN.
    ClosesAfterRequest,
    /// Half a head, then RST.
    ResetsMidHead,
    /// Half a head, then FIN.
    ClosesMidHead,
    /// A head, half of the promised length, then RST.
    ResetsMidBody,
    /// A head, half of the promised length, then FIN.
    ClosesMidBody,
    /// Chunks without the last one, then FIN.
    ClosesMidChunks,
    /// A chunk that is cut in the middle, then FIN.
    ClosesInAChunk,
    /// Accepts, reads, never answers.
    Stalls,
    /// Half a head, then nothing.
    StallsMidHead,
    /// A 103, then nothing.
    StallsAfterInformational,
    /// A head, half of the body, then nothing.
    StallsMidBody,
    /// A good answer, one byte at a time.
    Drips,
    /// One field after the other without end, slowly.
    DripsFieldsForever,
    /// Content-Length says more than comes; then FIN.
    PromisesMore,
    /// Content-Length says less than comes.
    PromisesLess,
    /// Bytes that are no HTTP.
    Garbage,
    /// One field of 1 MiB.
    HugeHead,
    /// 20,000 fields.
    ManyFields,
    /// A chunk size that is no number.
    BadChunk,
    /// A chunk size beyond 2^64.
    HugeChunk,
    /// Answers before the request's body was read, and closes.
    EarlyResponse,
    /// Reads the head and never the body.
    SlowReader,
    /// Alternates between 503 and 200.
    Flaps,
    /// Always 503.
    Unavailable,
    /// Says `Connection: close` and keeps the connection open.
    IgnoresClose,
    /// Content-Length twice with the same value.
    SameLengthTwice,
    /// Content-Length twice with different values.
    TwoLengths,
    /// Content-Length and Transfer-Encoding together.
    LengthAndChunked,
    /// `HTTP/1.1 200` without a space and a reason.
    NoReason,
    /// 100 Continue that nobody asked for, then 200.
    Continues,
    /// Sixteen 103, then 200.
    ManyInformational,
    /// 103 without end.
    InformationalForever,
    /// 101 that nobody asked for.
    UnaskedSwitch,
    /// HTTP/1.0, body until close.
    Http10,
    /// HTTP/1.1, body until close.
    UntilClose,
    /// A whole second response right behind the first.
    TwoResponses,
    /// A body to HEAD as if it were GET.
    BodyToHead,
    /// A 204 with a body.
    BodyIn204,
    /// A status line with a status of two digits.
    ShortStatus,
    /// `Transfer-Encoding: gzip`.
    UnknownCoding,
    /// A field name with a space in it.
    BadField,
    /// LF where CRLF should be.
    BareLf,
}

/// How the connection goes on after a vice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    KeepOpen,
    Close,
    Reset,
    /// Neither read nor written any more, but open.
    Hold,
}

impl Vice {
    /// Whether the connection is ended before anything is read, and how.
    pub fn on_accept(self) -> Option<After> {
        match self {
            Self::ResetsOnAccept => Some(After::Reset),
            Self::ClosesOnAccept => Some(After::Close),
            _ => None,
        }
    }

    /// Whether it acts before the request's body has been read.
    pub fn ignores_body(self) -> bool {
        matches!(self, Self::EarlyResponse | Self::SlowReader)
    }

    /// Plays the vice on a connection whose request has been read. `turn` counts requests from 0.
    pub async fn play(self, socket: &mut Socket, turn: usize) -> After {
        let whole =
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Type: text/plain\r\n\r\nwhole\n";
        let (bytes, after): (Vec<u8>, After) = match self {
            Self::None | Self::Refuses | Self::ResetsOnAccept | Self::ResetsAfterRequest => (Vec::new(), After::Reset),
            Self::ClosesOnAccept | Self::ClosesAfterRequest => (Vec::new(), After::Close),
            Self::ResetsMidHead => (whole[..30].to_vec(), After::Reset),
            Self::ClosesMidHead => (whole[..30].to_vec(), After::Close),
            Self::StallsMidHead => (whole[..30].to_vec(), After::Hold),
            Self::StallsAfterInformational => {
                (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_vec(), After::Hold)
            }
            Self::Stalls | Self::SlowReader => (Vec::new(), After::Hold),
            Self::ResetsMidBody => (half_body(), After::Reset),
            Self::ClosesMidBody | Self::PromisesMore => (half_body(), After::Close),
            Self::StallsMidBody => (half_body(), After::Hold),
            Self::ClosesMidChunks => (chunked("5\r\nhello\r\n"), After::Close),
            Self::ClosesInAChunk => (chunked("5\r\nhe"), After::Close),
            Self::BadChunk => (chunked("5\r\nhello\r\nxyz\r\nhello\r\n0\r\n\r\n"), After::KeepOpen),
            Self::HugeChunk => (chunked("fffffffffffffffff\r\nhello\r\n0\r\n\r\n"), After::KeepOpen),
            Self::PromisesLess => (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello".to_vec(), After::KeepOpen),
            Self::Garbage => (garbage(), After::Close),
            Self::HugeHead => (huge_head(), After::KeepOpen),
            Self::ManyFields => (many_fields(), After::KeepOpen),
            Self::EarlyResponse => {
                (b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbig\n".to_vec(), After::Close)
            }
            Self::Flaps if turn % 2 == 1 => (whole.to_vec(), After::KeepOpen),
            Self::Flaps | Self::Unavailable => {
                (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nbusy\n".to_vec(), After::KeepOpen)
            }
            Self::IgnoresClose => {
                (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nwhole\n".to_vec(), After::KeepOpen)
            }
            Self::SameLengthTwice => (with_field("Content-Length: 6"), After::KeepOpen),
            Self::TwoLengths => (with_field("Content-Length: 5"), After::KeepOpen),
            Self::LengthAndChunked => (
                b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nwhole\n\r\n0\r\n\r\n".to_vec(),
                After::KeepOpen,
            ),
            Self::NoReason => (b"HTTP/1.1 200\r\nContent-Length: 6\r\n\r\nwhole\n".to_vec(), After::KeepOpen),
            Self::Continues => ([b"HTTP/1.1 100 Continue\r\n\r\n".as_slice(), whole].concat(), After::KeepOpen),
            Self::ManyInformational => {
                ([b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(16).as_slice(), whole].concat(), After::KeepOpen)
            }
            Self::UnaskedSwitch => {
                let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
                (head.to_vec(), After::Hold)
            }
            Self::Http10 => (b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nwhole\n".to_vec(), After::Close),
            Self::UntilClose => (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nwhole\n".to_vec(), After::Close),
            Self::TwoResponses => {
                let second = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\npoison\n";
                ([whole.as_slice(), second].concat(), After::KeepOpen)
            }
            Self::BodyToHead => (whole.to_vec(), After::KeepOpen),
            Self::BodyIn204 => (b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\nwhole\n".to_vec(), After::KeepOpen),
            Self::ShortStatus => (b"HTTP/1.1 20 OK\r\nContent-Length: 6\r\n\r\nwhole\n".to_vec(), After::KeepOpen),
            Self::UnknownCoding => (with_field("Transfer-Encoding: gzip"), After::KeepOpen),
            Self::BadField => (with_field("X Y: 1"), After::KeepOpen),
            Self::BareLf => (b"HTTP/1.1 200 OK\nContent-Length: 6\n\nwhole\n".to_vec(), After::KeepOpen),
            Self::Drips => return self.drip(socket, whole).await,
            Self::DripsFieldsForever | Self::InformationalForever => return self.forever(socket).await,
        };
        if socket.write_all(&bytes).await.is_err() || socket.flush().await.is_err() {
            return After::Close;
        }
        if after == After::Reset && !bytes.is_empty() {
            // Without a pause the reset may overtake the bytes, which would be another vice.
            tokio::time::sleep(std::time::Duration::from_millis(40)).await;
        }
        after
    }

    async fn drip(self, socket: &mut Socket, bytes: &[u8]) -> After {
        for byte in bytes {
            if socket.write_all(&[*byte]).await.is_err() || socket.flush().await.is_err() {
                return After::Close;
            }
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        }
        After::KeepOpen
    }

    /// Until the edge has had enough; bounded, for a test must end.
    async fn forever(self, socket: &mut Socket) -> After {
        let (first, again): (&[u8], &[u8]) = match self {
            Self::DripsFieldsForever => (b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n"),
            _ => (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        };
        let mut bytes = first;
        for _ in 0..20_000 {
            if socket.write_all(bytes).await.is_err() || socket.flush().await.is_err() {
                return After::Close;
            }
            bytes = again;
            let mut sink = [0; 512];
            let pause = std::time::Duration::from_millis(2);
            let heard = tokio::time::timeout(pause, socket.read(&mut sink)).await;
            if matches!(heard, Ok(Ok(0) | Err(_))) {
                return After::Close;
            }
        }
        After::Hold
    }
}

fn half_body() -> Vec<u8> {
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".as_slice(),
        &pattern(50_000),
    ]
    .concat()
}

fn chunked(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes()
}

fn with_field(line: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n{line}\r\n\r\nwhole\n").into_bytes()
}

/// The same bytes in each run: what fails once fails again.
fn garbage() -> Vec<u8> {
    let mut state = 0x5ea_u64;
    (0..4_096)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as u8
        })
        .collect()
}

fn huge_head() -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nX-Huge: {}\r\nContent-Length: 0\r\n\r\n",
        "h".repeat(1 << 20)
    )
    .into_bytes()
}

fn many_fields() -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n",
        "X-Many: 1\r\n".repeat(20_000)
    )
    .into_bytes()
}
