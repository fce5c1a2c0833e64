//! A connection: our settings, the client's streams beside its requests, GOAWAY, and when it ends.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use quinn_proto::{Dir, StreamId};

use super::others::{CONTROL, Known, Other};
use super::stream::Stream;
use super::wire;
use super::{Config, ConnectionError, code};
use crate::alarm::Alarm;
use crate::quic::Connection;

/// Settings (RFC 9114 §7.2.4.1, RFC 9220 §5).
const MAX_FIELD_SECTION_SIZE: u64 = 0x6;
const ENABLE_CONNECT_PROTOCOL: u64 = 0x8;

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

/// One connection.
pub struct Session {
    pub(super) quic: Rc<Connection>,
    pub(super) config: Config,
    control: Cell<Option<StreamId>>,
    unsent: RefCell<Vec<u8>>,
    /// The client's streams that carry no request, and what they told.
    others: RefCell<(Vec<(StreamId, Other)>, Known)>,
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
        let (others, known) = &mut *self.others.borrow_mut();
        while let Some(id) = self.quic.accept(Dir::Uni) {
            others.push((id, Other::default()));
        }
        others.retain_mut(|(id, other)| match self.read_other(*id, other, known) {
            Ok(goes_on) => goes_on,
            Err(fault) => {
                self.fail(fault);
                false
            }
        });
    }

    /// Whether more may come.
    fn read_other(
        &self,
        id: StreamId,
        other: &mut Other,
        known: &mut Known,
    ) -> Result<bool, ConnectionError> {
        loop {
            match self.quic.read(id, crate::buffer::SMALL) {
                Poll::Pending => return Ok(true),
                Poll::Ready(Ok(Some(bytes))) => {
                    if !other.take(&bytes, known)? {
                        self.quic.stop(id, code::STREAM_CREATION_ERROR);
                        return Ok(false);
                    }
                }
                Poll::Ready(Ok(None) | Err(_)) if other.is_critical() && !self.quic.is_over() => {
                    return Err(ConnectionError::new(
                        code::CLOSED_CRITICAL_STREAM,
                        "a stream ended that the connection lives on",
                    ));
                }
                Poll::Ready(Ok(None) | Err(_)) => return Ok(false),
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

#[cfg(test)]
mod tests {
    use super::super::others::check_settings;
    use super::super::wire::Header;
    use super::*;

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
}
