//! This thread's connections to origins: kept alive, lent to one exchange at a time, taken back.
//!
//! A connection belongs to one member of one zone, made with that zone's TLS settings, and is never lent to another. The one
//! used last is lent first, so that those beyond the need grow old and are closed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use seawall_model::document::Protocol;
use seawall_net::alarm::Alarm;
use seawall_net::h2;
use seawall_net::multiplex::{Leaving, Multiplex, Patience};
use seawall_net::stream::Stream;
use seawall_net::tls::TlsStream;
use seawall_net::upstream::Http1Connection;
use tokio::time::Instant;

use crate::fault::Fault;
use crate::hosts::Fast;
use crate::origin::{AddressCache, Member};
use crate::snapshot::{Origin, Place, Snapshot, Zone};
use crate::thread::Thread;

/// Idle connections kept for one member, per thread.
const KEEP: usize = 256;
/// How long an idle connection is kept. Below the 60 to 75 seconds after which servers commonly close.
const KEEP_FOR: Duration = Duration::from_secs(50);
/// Streams given to one HTTP/2 connection before another one is made.
const STREAMS: usize = 100;
/// How long a request waits for the first answer of DNS between two looks.
const DNS_LOOK: Duration = Duration::from_millis(5);

/// Which HTTP an exchange needs of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Whatever the origin speaks.
    Any,
    /// HTTP/1.1: a WebSocket handshake.
    Http1,
    /// HTTP/2: gRPC, which has no HTTP/1.1 form.
    Http2,
}

/// A connection lent to an exchange.
pub enum Lent {
    /// Of HTTP/1.1. `used` when it served before: the origin may have closed it meanwhile.
    Http1 {
        /// The connection.
        connection: Box<Http1Connection>,
        /// It served before.
        used: bool,
    },
    /// Of HTTP/2, on which a stream can be opened.
    Http2(Rc<Multiplex>),
}

/// All of a thread's connections to origins.
#[derive(Default)]
pub struct OriginConnections {
    kept: RefCell<HashMap<usize, Kept, Fast>>,
}

struct Kept {
    /// Holds the member, so that its address names nobody else.
    member: Arc<Member>,
    addresses: AddressCache,
    idle: Vec<(Instant, Box<Http1Connection>)>,
    multiplexed: Vec<Rc<Multiplex>>,
    turn: usize,
}

impl Kept {
    fn new(member: &Arc<Member>) -> Self {
        let addresses = AddressCache::default();
        Self {
            member: member.clone(),
            addresses,
            idle: Vec::new(),
            multiplexed: Vec::new(),
            turn: 0,
        }
    }
}

fn key(member: &Arc<Member>) -> usize {
    Arc::as_ptr(member) as usize
}

impl OriginConnections {
    /// Takes an idle connection out, if there is a good one. `fresh`: one that served before will not do.
    fn idle(&self, member: &Arc<Member>, need: Need, fresh: bool) -> Option<Lent> {
        let mut kept = self.kept.borrow_mut();
        let kept = kept.get_mut(&key(member))?;
        if need != Need::Http1 && !fresh {
            kept.multiplexed.retain(|connection| !connection.is_over());
            let free = kept.multiplexed.iter().find(|connection| {
                let core = connection.core();
                // Until the origin has said how many it takes, one may be too many already, and a refused upload is lost.
                let most = if core.is_greeted() { STREAMS } else { 1 };
                core.streams_open() < most && core.may_open()
            });
            if let Some(connection) = free {
                return Some(Lent::Http2(connection.clone()));
            }
        }
        if need != Need::Http2 && !fresh {
            while let Some((_, connection)) = kept.idle.pop() {
                if connection.is_fresh() {
                    return Some(Lent::Http1 {
                        connection,
                        used: true,
                    });
                }
            }
        }
        None
    }

    /// Takes a connection back that may serve again.
    ///
    /// `now`, or a little before: it is for its age.
    pub fn give_back(
        &self,
        member: &Arc<Member>,
        mut connection: Box<Http1Connection>,
        now: Instant,
    ) {
        connection.served += 1;
        let mut kept = self.kept.borrow_mut();
        let kept = kept.entry(key(member)).or_insert_with(|| Kept::new(member));
        if kept.idle.len() < KEEP {
            kept.idle.push((now, connection));
        }
    }

    /// Closes what is old or was closed by the other side. Once a second or so.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.kept.borrow_mut().retain(|_, kept| {
            kept.idle
                .retain(|(since, connection)| now - *since < KEEP_FOR && connection.is_fresh());
            kept.multiplexed.retain(|connection| !connection.is_over());
            !kept.idle.is_empty()
                || !kept.multiplexed.is_empty()
                || Arc::strong_count(&kept.member) > 1
        });
    }

    /// Closes idle connections of HTTP/1.1: descriptors have run out.
    pub fn close_idle(&self) {
        for kept in self.kept.borrow_mut().values_mut() {
            kept.idle.clear();
        }
    }

    /// Closes all idle connections: the thread ends.
    pub fn close_all(&self) {
        for kept in self.kept.borrow_mut().values_mut() {
            kept.idle.clear();
            for connection in kept.multiplexed.drain(..) {
                connection.drain();
            }
        }
    }

    fn addresses(&self, member: &Arc<Member>) -> (Vec<std::net::SocketAddr>, usize) {
        let mut kept = self.kept.borrow_mut();
        let kept = kept.entry(key(member)).or_insert_with(|| Kept::new(member));
        kept.turn = kept.turn.wrapping_add(1);
        (kept.addresses.of(member).to_vec(), kept.turn)
    }

    fn keep_multiplexed(&self, member: &Arc<Member>, connection: &Rc<Multiplex>) {
        let mut kept = self.kept.borrow_mut();
        kept.entry(key(member))
            .or_insert_with(|| Kept::new(member))
            .multiplexed
            .push(connection.clone());
    }
}

/// Lends a kept connection to `member`, which is `origin`.
pub fn lend_kept(
    thread: &Thread,
    origin: &Origin,
    member: &Arc<Member>,
    need: Need,
    fresh: bool,
) -> Option<Lent> {
    thread.origins.idle(member, needed(need, origin), fresh)
}

/// What the exchange needs, or else what the origin speaks.
fn needed(need: Need, origin: &Origin) -> Need {
    match (need, origin.protocol) {
        (Need::Any, Protocol::Http1) => Need::Http1,
        (Need::Any, Protocol::Http2) => Need::Http2,
        (need, _) => need,
    }
}

/// Lends a new connection to `member`, which is `origin`.
///
/// # Errors
/// The fault that kept us from connecting.
pub async fn lend_new(
    thread: &Rc<Thread>,
    snapshot: &Snapshot,
    zone: &Zone,
    origin: &Origin,
    member: &Arc<Member>,
    need: Need,
    alarm: &mut Alarm,
) -> Result<Lent, Fault> {
    let due = Instant::now() + zone.timeouts.connect;
    let made = connect(
        thread,
        snapshot,
        zone,
        origin,
        member,
        needed(need, origin),
        due,
        alarm,
    )
    .await;
    thread.shard.origin_connect(match &made {
        Ok(_) => "ok",
        Err(fault) => fault.answer().slug,
    });
    made
}

#[expect(clippy::too_many_arguments, reason = "as `lend`")]
async fn connect(
    thread: &Rc<Thread>,
    snapshot: &Snapshot,
    zone: &Zone,
    origin: &Origin,
    member: &Arc<Member>,
    need: Need,
    due: Instant,
    alarm: &mut Alarm,
) -> Result<Lent, Fault> {
    let Place::Server { tls, .. } = &origin.at else {
        return Err(Fault::Internal);
    };
    let (addresses, turn) = resolved(thread, member, due).await?;
    let mut fault = Fault::Unreachable;
    for at in 0..addresses.len() {
        let Some(address) = addresses.get((at + turn) % addresses.len()) else {
            break;
        };
        // A dead address must leave time for the next one.
        let left = due.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - at) as u32;
        alarm.set(share.max(Duration::from_millis(1)));
        let mut connected = snapshot
            .edge
            .outward
            .connect(*address, alarm)
            .await
            .map_err(Fault::from);
        if matches!(connected, Err(Fault::Overloaded)) {
            // Connections at rest hold descriptors too: this one is worth more.
            thread.shared.note_ran_out();
            thread.origins.close_idle();
            connected = snapshot
                .edge
                .outward
                .connect(*address, alarm)
                .await
                .map_err(Fault::from);
        }
        let tcp = match connected {
            Ok(tcp) => tcp,
            Err(failed) => {
                fault = failed;
                continue;
            }
        };
        alarm.set_at(due);
        let Some(tls) = tls else {
            let stream = Stream::Plain(tcp.into());
            return Ok(lent(thread, zone, member, stream, need == Need::Http2));
        };
        let config = if need == Need::Http1 {
            &tls.http1
        } else {
            &tls.any
        };
        match TlsStream::connect(tcp, config.clone(), tls.name.clone(), alarm).await {
            Ok(stream) => {
                let http2 = stream.has_alpn(b"h2");
                if need == Need::Http2 && !http2 {
                    return Err(Fault::OriginProtocol);
                }
                return Ok(lent(
                    thread,
                    zone,
                    member,
                    Stream::Tls(Box::new(stream)),
                    http2,
                ));
            }
            Err(error) => fault = error.into(),
        }
    }
    Err(fault)
}

/// Counts a connection to an origin for as long as it is open.
struct OpenConnection(Weak<Thread>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if let Some(thread) = self.0.upgrade() {
            thread.shard.origin_connection_closed();
        }
    }
}

/// The member's addresses. Right after a start DNS may not have answered yet: that is waited for.
async fn resolved(
    thread: &Thread,
    member: &Arc<Member>,
    due: Instant,
) -> Result<(Vec<std::net::SocketAddr>, usize), Fault> {
    loop {
        let (addresses, turn) = thread.origins.addresses(member);
        if !addresses.is_empty() {
            return Ok((addresses, turn));
        }
        if member.addresses_stale() || Instant::now() >= due {
            return Err(Fault::Dns);
        }
        tokio::time::sleep(DNS_LOOK).await;
    }
}

fn lent(
    thread: &Rc<Thread>,
    zone: &Zone,
    member: &Arc<Member>,
    stream: Stream,
    http2: bool,
) -> Lent {
    let open = OpenConnection(Rc::downgrade(thread));
    if !http2 {
        let mut connection = Box::new(Http1Connection::new(stream));
        connection.attached = Some(Box::new(open));
        return Lent::Http1 {
            connection,
            used: false,
        };
    }
    let connection = Multiplex::new(stream, h2::Config::client());
    thread.origins.keep_multiplexed(member, &connection);
    let driven = connection.clone();
    let patience = Patience {
        idle: KEEP_FOR,
        write: zone.timeouts.idle,
    };
    tokio::task::spawn_local(async move {
        let mut alarm = Alarm::new(KEEP_FOR);
        driven
            .drive(&mut alarm, patience, || Leaving::Not, |_| {})
            .await;
        drop(open);
    });
    Lent::Http2(connection)
}
