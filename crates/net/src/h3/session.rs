//! A connection: our settings, the client's streams beside its requests, GOAWAY, and when it ends.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use quinn_proto::{Dir, StreamId};

use super::stream::Stream;
use super::wire::{self, Header};
use super::{Config, ConnectionError, code};
use crate::alarm::Alarm;
use crate::quic::Connection;

/// Types of streams that carry no request (RFC 9114 §6.2, RFC 9204 §4.2).
const CONTROL: u64 = 0x0;
const PUSH: u64 = 0x1;
const ENCODER: u64 = 0x2;
const DECODER: u64 = 0x3;

/// Settings (RFC 9114 §7.2.4.1, RFC 9220 §5).
const MAX_FIELD_SECTION_SIZE: u64 = 0x6;
const ENABLE_CONNECT_PROTOCOL: u64 = 0x8;

/// The longest SETTINGS frame that is read, in bytes.
const SETTINGS_BYTES: u64 = 4096;
/// Frames without use that a client may send on its control stream.
const USELESS: u32 = 2_000;
/// While requests are served, how often something is sent, lest a quiet path be taken for a dead one.
const PING: Duration = Duration::from_secs(15);
/// After GOAWAY, how long a connection without requests stays: what was on its way is rejected, not lost.
const FAREWELL: Duration = Duration::from_millis(100);

/// How patient we are with a connection.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the handshake.
    pub handshake: Duration,
    /// Without a request.
    pub idle: Duration,
    /// Requests that it may have; 0 is no bound.
    pub requests: u64,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client closed, or went silent, or its handshake failed.
    Lost,
    /// The handshake took too long.
    Slow,
    /// There was no request for too long.
    Idle,
    /// We closed after the last request.
    Drained,
    /// The client broke the protocol, or asked too much.
    Protocol(ConnectionError),
}

/// One of the client's streams that carry no request.
struct Other {
    id: StreamId,
    /// None until its type was read.
    kind: Option<u64>,
    begun: Vec<u8>,
    header: Header,
    /// Bytes of the frame that is read or skipped.
    left: u64,
    settings: Option<Vec<u8>>,
    /// In the middle of an instruction of several bytes.
    continues: bool,
}

/// One connection.
pub struct Session {
    pub(super) quic: Rc<Connection>,
    pub(super) config: Config,
    control: Cell<Option<StreamId>>,
    unsent: RefCell<Vec<u8>>,
    others: RefCell<Vec<Other>>,
    has_settings: Cell<bool>,
    useless: Cell<u32>,
    open: Cell<usize>,
    served: Cell<u64>,
    /// The lowest stream that was not taken.
    next: Cell<u64>,
    draining: Cell<bool>,
    cancelled: Cell<u32>,
    fault: Cell<Option<ConnectionError>>,
}

impl Session {
    /// Speaks HTTP/3 on this connection.
    pub fn new(quic: Rc<Connection>, config: Config) -> Rc<Self> {
        Rc::new(Self {
            quic,
            config,
            control: Cell::new(None),
            unsent: RefCell::new(settings(&config)),
            others: RefCell::default(),
            has_settings: Cell::new(false),
            useless: Cell::new(0),
            open: Cell::new(0),
            served: Cell::new(0),
            next: Cell::new(0),
            draining: Cell::new(false),
            cancelled: Cell::new(0),
            fault: Cell::new(None),
        })
    }

    /// What is below.
    pub fn quic(&self) -> &Rc<Connection> {
        &self.quic
    }

    /// Takes no new requests, lets open ones end, closes then.
    pub fn drain(&self) {
        if !self.draining.replace(true) {
            let mut unsent = self.unsent.borrow_mut();
            let mut id = Vec::new();
            wire::put_integer(self.next.get(), &mut id);
            wire::put_frame(wire::GOAWAY, id.len(), &mut unsent);
            unsent.extend_from_slice(&id);
        }
    }

    /// Runs the connection to its end. `timer` is for QUIC's own deadlines, `alarm` for ours. `connected` is called when the
    /// handshake is done, `opened` for each request that came.
    pub async fn drive(
        self: &Rc<Self>,
        timer: &mut Alarm,
        alarm: &mut Alarm,
        patience: Patience,
        draining: impl Fn() -> bool,
        mut connected: impl FnMut(),
        mut opened: impl FnMut(Stream),
    ) -> Ended {
        let mut done = false;
        let mut rests = false;
        let mut leaving = false;
        alarm.set(patience.handshake);
        let ended = poll_fn(|cx| {
            loop {
                let turn = self.quic.advance(cx);
                if turn.lost {
                    return Poll::Ready(Ended::Lost);
                }
                if turn.connected {
                    done = true;
                    connected();
                }
                if draining() {
                    self.drain();
                }
                while let Some(id) = self.quic.accept(Dir::Bi) {
                    self.request(id, patience, &mut opened);
                }
                if turn.streams {
                    self.read_others();
                }
                self.write_control();
                if let Some(fault) = self.fault.get() {
                    return Poll::Ready(Ended::Protocol(fault));
                }
                let now_rests = done && self.open.get() == 0;
                let now_leaves = now_rests && self.draining.get();
                if now_leaves && !leaving {
                    alarm.set(FAREWELL);
                } else if turn.connected || now_rests != rests {
                    alarm.set(if now_rests { patience.idle } else { PING });
                }
                (rests, leaving) = (now_rests, now_leaves);
                if alarm.poll(cx).is_ready() {
                    if !done {
                        return Poll::Ready(Ended::Slow);
                    }
                    if rests {
                        return Poll::Ready(if leaving { Ended::Drained } else { Ended::Idle });
                    }
                    self.quic.ping();
                    alarm.set(PING);
                }
                if self.quic.transmit(timer, cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await;
        match ended {
            Ended::Lost => {}
            Ended::Protocol(fault) => self.quic.close(fault.code, fault.why),
            Ended::Slow | Ended::Idle | Ended::Drained => self.quic.close(code::NO_ERROR, ""),
        }
        self.quic.wake_streams();
        ended
    }

    /// The client is at fault: the connection closes.
    pub(super) fn fail(&self, fault: ConnectionError) {
        if self.fault.get().is_none() {
            self.fault.set(Some(fault));
            self.quic.wake();
        }
    }

    fn request(self: &Rc<Self>, id: StreamId, patience: Patience, opened: &mut impl FnMut(Stream)) {
        if self.draining.get() {
            self.quic.stop(id, code::REQUEST_REJECTED);
            return self.quic.reset(id, code::REQUEST_REJECTED);
        }
        self.next.set(u64::from(id) + 4);
        self.open.set(self.open.get() + 1);
        self.served.set(self.served.get() + 1);
        opened(Stream::new(self.clone(), id));
        if patience.requests > 0 && self.served.get() >= patience.requests {
            self.drain();
        }
    }

    /// A request's stream is given up. `complete`: its response went out whole. `cancelled`: the client wanted no more of it.
    pub(super) fn closed(&self, complete: bool, cancelled: bool) {
        self.open.set(self.open.get() - 1);
        if complete {
            self.cancelled.set(self.cancelled.get().saturating_sub(1));
        } else if cancelled {
            self.cancelled.set(self.cancelled.get() + 1);
            if self.cancelled.get() > self.config.cancelled {
                let why = "too many requests cancelled";
                self.fail(ConnectionError::new(code::EXCESSIVE_LOAD, why));
            }
        }
        self.quic.wake();
    }

    fn write_control(&self) {
        let mut unsent = self.unsent.borrow_mut();
        if unsent.is_empty() {
            return;
        }
        let id = match self.control.get() {
            Some(id) => id,
            // Not before the client's transport parameters are known.
            None => match self.quic.open() {
                Some(id) => {
                    self.control.set(Some(id));
                    id
                }
                None => return,
            },
        };
        match self.quic.write(id, &unsent) {
            Poll::Ready(Ok(wrote)) => drop(unsent.drain(..wrote)),
            Poll::Ready(Err(_)) => {
                let why = "our control stream was refused";
                self.fail(ConnectionError::new(code::CLOSED_CRITICAL_STREAM, why));
            }
            // Its first bytes never wait; GOAWAY may, for a client that grants nothing.
            Poll::Pending => {}
        }
    }

    fn read_others(&self) {
        let mut others = self.others.take();
        while let Some(id) = self.quic.accept(Dir::Uni) {
            others.push(Other {
                id,
                kind: None,
                begun: Vec::new(),
                header: Header::default(),
                left: 0,
                settings: None,
                continues: false,
            });
        }
        let mut kinds: Vec<u64> = others.iter().filter_map(|other| other.kind).collect();
        others.retain_mut(|other| match self.read_other(other, &mut kinds) {
            Ok(goes_on) => goes_on,
            Err(fault) => {
                self.fail(fault);
                false
            }
        });
        *self.others.borrow_mut() = others;
    }

    /// Whether more may come.
    fn read_other(&self, other: &mut Other, kinds: &mut Vec<u64>) -> Result<bool, ConnectionError> {
        loop {
            match self.quic.read(other.id, crate::buffer::SMALL) {
                Poll::Pending => return Ok(true),
                Poll::Ready(Ok(Some(bytes))) => {
                    if !self.other_bytes(other, &bytes, kinds)? {
                        self.quic.stop(other.id, code::STREAM_CREATION_ERROR);
                        return Ok(false);
                    }
                }
                Poll::Ready(Ok(None) | Err(_)) if other.kind.is_some() && !self.quic.is_over() => {
                    return Err(ConnectionError::new(
                        code::CLOSED_CRITICAL_STREAM,
                        "a stream ended that the connection lives on",
                    ));
                }
                Poll::Ready(Ok(None) | Err(_)) => return Ok(false),
            }
        }
    }

    /// Whether the stream is one that we read.
    fn other_bytes(
        &self,
        other: &mut Other,
        mut bytes: &[u8],
        kinds: &mut Vec<u64>,
    ) -> Result<bool, ConnectionError> {
        while other.kind.is_none() {
            let Some((byte, rest)) = bytes.split_first() else {
                return Ok(true);
            };
            bytes = rest;
            other.begun.push(*byte);
            let Some((kind, _)) = wire::integer(&other.begun) else {
                continue;
            };
            if kind == PUSH || (kind <= DECODER && kinds.contains(&kind)) {
                let why = "a stream that a client must not open, or not twice";
                return Err(ConnectionError::new(code::STREAM_CREATION_ERROR, why));
            }
            if kind > DECODER {
                return Ok(false);
            }
            kinds.push(kind);
            other.kind = Some(kind);
        }
        match other.kind {
            Some(CONTROL) => self.control_bytes(other, bytes)?,
            Some(ENCODER) => encoder_bytes(bytes)?,
            Some(DECODER) => decoder_bytes(other, bytes)?,
            _ => {}
        }
        Ok(true)
    }

    fn control_bytes(&self, other: &mut Other, mut bytes: &[u8]) -> Result<(), ConnectionError> {
        loop {
            if other.left > 0 {
                let whole = usize::try_from(other.left).unwrap_or(usize::MAX);
                let (now, rest) = bytes.split_at(whole.min(bytes.len()));
                bytes = rest;
                other.left -= now.len() as u64;
                if let Some(settings) = &mut other.settings {
                    settings.extend_from_slice(now);
                }
                if other.left > 0 {
                    return Ok(());
                }
            }
            if let Some(settings) = other.settings.take() {
                check_settings(&settings)?;
                self.has_settings.set(true);
            }
            match other.header.gather(&mut bytes) {
                Some((kind, length)) => self.control_frame(other, kind, length)?,
                None => return Ok(()),
            }
        }
    }

    fn control_frame(
        &self,
        other: &mut Other,
        kind: u64,
        length: u64,
    ) -> Result<(), ConnectionError> {
        let error = |code, why| Err(ConnectionError::new(code, why));
        let first = !self.has_settings.get();
        other.left = length;
        match kind {
            wire::SETTINGS if first && length > SETTINGS_BYTES => {
                error(code::EXCESSIVE_LOAD, "settings without end")
            }
            wire::SETTINGS if first => {
                other.settings = Some(Vec::new());
                Ok(())
            }
            _ if first => error(code::MISSING_SETTINGS, "the first frame is not SETTINGS"),
            wire::SETTINGS | wire::DATA | wire::HEADERS | wire::PUSH_PROMISE => {
                error(code::FRAME_UNEXPECTED, "a frame in a wrong place")
            }
            kind if wire::is_of_http2(kind) => error(code::FRAME_UNEXPECTED, "a frame of HTTP/2"),
            wire::CANCEL_PUSH => error(code::ID_ERROR, "nothing was pushed"),
            wire::GOAWAY | wire::MAX_PUSH_ID if length == 0 || length > 8 => {
                error(code::FRAME_ERROR, "a frame of a wrong length")
            }
            _ => {
                self.useless.set(self.useless.get() + 1);
                if self.useless.get() > USELESS {
                    return error(code::EXCESSIVE_LOAD, "too many frames without use");
                }
                Ok(())
            }
        }
    }

    /// Waits until the client has proven its address, if it has not.
    pub(super) fn poll_validated(&self, id: StreamId, cx: &Context<'_>) -> Poll<bool> {
        if self.quic.is_over() {
            return Poll::Ready(false);
        }
        if self.quic.is_validated() {
            return Poll::Ready(true);
        }
        self.quic.watch(id, cx);
        Poll::Pending
    }
}

/// The beginning of our control stream.
fn settings(config: &Config) -> Vec<u8> {
    let mut pairs = Vec::new();
    for (id, value) in [
        (MAX_FIELD_SECTION_SIZE, config.max_field_section as u64),
        (ENABLE_CONNECT_PROTOCOL, 1),
    ] {
        wire::put_integer(id, &mut pairs);
        wire::put_integer(value, &mut pairs);
    }
    let mut out = vec![CONTROL as u8];
    wire::put_frame(wire::SETTINGS, pairs.len(), &mut out);
    out.extend_from_slice(&pairs);
    out
}

/// What a client announces changes nothing for us: its section size is its own to hold against us, and without a dynamic table
/// there is nothing to size. But what must not stand there must not.
fn check_settings(mut bytes: &[u8]) -> Result<(), ConnectionError> {
    let mut seen = Vec::new();
    while !bytes.is_empty() {
        let pair = wire::integer(bytes).and_then(|(id, used)| {
            let (_, more) = wire::integer(bytes.get(used..)?)?;
            Some((id, bytes.get(used + more..)?))
        });
        let Some((id, rest)) = pair else {
            let why = "settings that end in the middle of one";
            return Err(ConnectionError::new(code::FRAME_ERROR, why));
        };
        bytes = rest;
        if matches!(id, 0x2..=0x5) || seen.contains(&id) {
            let why = "a setting of HTTP/2, or one twice";
            return Err(ConnectionError::new(code::SETTINGS_ERROR, why));
        }
        // Looked through for each: far more than there are is no settings frame.
        if seen.len() == 64 {
            let why = "too many settings";
            return Err(ConnectionError::new(code::EXCESSIVE_LOAD, why));
        }
        seen.push(id);
    }
    Ok(())
}

/// All that an encoder can say to a table of no size is that it has none (RFC 9204 §4.3.1).
fn encoder_bytes(bytes: &[u8]) -> Result<(), ConnectionError> {
    if bytes.iter().all(|byte| *byte == 0x20) {
        return Ok(());
    }
    let why = "an entry for a table that is not there";
    Err(ConnectionError::new(code::ENCODER_STREAM_ERROR, why))
}

/// A decoder can cancel streams; there is nothing that it could acknowledge (RFC 9204 §4.4).
fn decoder_bytes(other: &mut Other, bytes: &[u8]) -> Result<(), ConnectionError> {
    for byte in bytes {
        if other.continues {
            other.continues = byte & 0x80 != 0;
        } else if byte & 0xc0 == 0x40 {
            other.continues = byte & 0x3f == 0x3f;
        } else {
            let why = "an acknowledgement of nothing";
            return Err(ConnectionError::new(code::DECODER_STREAM_ERROR, why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_must_not_stand_there_are_told() {
        assert_eq!(check_settings(&[]), Ok(()));
        // Section size, QPACK's two, and a reserved one (RFC 9114 §7.2.4.1).
        assert_eq!(check_settings(&[6, 0x40, 100, 1, 0, 7, 0, 0x21, 5]), Ok(()));
        let failed = |bytes: &[u8]| check_settings(bytes).unwrap_err().code;
        assert_eq!(failed(&[6]), code::FRAME_ERROR);
        assert_eq!(failed(&[6, 0x40]), code::FRAME_ERROR);
        assert_eq!(failed(&[2, 1]), code::SETTINGS_ERROR);
        assert_eq!(failed(&[6, 1, 6, 1]), code::SETTINGS_ERROR);
    }

    #[test]
    fn ours_are_read_by_our_own_rules() {
        let config = Config {
            max_field_section: 32_768,
            cancelled: 1,
        };
        let ours = settings(&config);
        assert_eq!(ours.first(), Some(&0));
        let mut rest = &ours[1..];
        let (kind, length) = Header::default().gather(&mut rest).unwrap();
        assert_eq!((kind, length as usize), (wire::SETTINGS, rest.len()));
        assert_eq!(check_settings(rest), Ok(()));
    }

    #[test]
    fn encoders_and_decoders_without_a_table_have_little_to_say() {
        assert!(encoder_bytes(&[0x20, 0x20]).is_ok());
        assert!(encoder_bytes(&[0x3f, 0xe1, 0x1f]).is_err());
        let mut other = Other {
            id: StreamId::new(quinn_proto::Side::Client, Dir::Uni, 0),
            kind: Some(DECODER),
            begun: Vec::new(),
            header: Header::default(),
            left: 0,
            settings: None,
            continues: false,
        };
        assert!(decoder_bytes(&mut other, &[0x44, 0x7f, 0x81]).is_ok());
        assert!(decoder_bytes(&mut other, &[0x01, 0x40]).is_ok());
        assert!(decoder_bytes(&mut other, &[0x80]).is_err());
        assert!(decoder_bytes(&mut other, &[0x01]).is_err());
    }
}
