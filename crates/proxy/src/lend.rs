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
use seawall_net::proxy_protocol::{self, Announced};
use seawall_net::stream::Stream;
use seawall_net::tls::TlsStream;
use seawall_net::upstream::Http1Connection;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::fault::Fault;
use crate::hosts::Fast;
use crate::origin::{AddressCache, Counted, Member};
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

/// Between two looks of a request that waits for a connection.
const PLACE_LOOK: Duration = Duration::from_millis(5);

/// How long connecting to a parent may take: there is an origin beside it.
const PARENT: Duration = Duration::from_secs(1);

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
    /// Requests of this thread that wait for a connection.
    waiting: usize,
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
            waiting: 0,
            multiplexed: Vec::new(),
            turn: 0,
        }
    }
}

impl Kept {
    /// Connections are bounded, and another thread waits for one while nobody does here: it can make one when ours is closed.
    fn is_wanted_elsewhere(&self) -> bool {
        self.waiting == 0 && self.member.is_waited_for()
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
        if kept.idle.len() < KEEP && !kept.is_wanted_elsewhere() {
            kept.idle.push((now, connection));
        }
    }

    /// Closes what is old or was closed by the other side. Once a second or so.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.kept.borrow_mut().retain(|_, kept| {
            if kept.is_wanted_elsewhere() {
                kept.idle.clear();
            }
            kept.idle
                .retain(|(since, connection)| now - *since < KEEP_FOR && connection.is_fresh());
            kept.multiplexed.retain(|connection| !connection.is_over());
            !kept.idle.is_empty()
                || !kept.multiplexed.is_empty()
                || kept.waiting > 0
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

    /// One request of this thread more, or less, waits for a connection to `member`.
    fn waits(&self, member: &Arc<Member>, begins: bool) {
        let mut kept = self.kept.borrow_mut();
        let kept = kept.entry(key(member)).or_insert_with(|| Kept::new(member));
        kept.waiting = if begins {
            kept.waiting + 1
        } else {
            kept.waiting.saturating_sub(1)
        };
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
    if origin.announce.is_some() {
        // Its connections are each for one client.
        return None;
    }
    thread.origins.idle(member, needed(need, origin), fresh)
}

/// What the exchange needs, or else what the origin speaks.
fn needed(need: Need, origin: &Origin) -> Need {
    if origin.announce.is_some() {
        return Need::Http1;
    }
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
#[expect(
    clippy::too_many_arguments,
    reason = "whose connection, to whom, for whom"
)]
pub async fn lend_new(
    thread: &Rc<Thread>,
    snapshot: &Snapshot,
    zone: &Zone,
    origin: &Origin,
    member: &Arc<Member>,
    need: Need,
    whom: Announced,
    alarm: &mut Alarm,
) -> Result<Lent, Fault> {
    let patience = match origin.is_parent {
        true => zone.timeouts.connect.min(PARENT),
        false => zone.timeouts.connect,
    };
    let due = Instant::now() + patience;
    let need = needed(need, origin);
    let room = match origin.is_parent {
        true => Ok(Room::New(Counted::connection(member))),
        false => place(thread, zone, member, need, due).await,
    };
    let made = match room {
        Ok(Room::New(place)) => {
            connect(
                thread, snapshot, zone, origin, member, need, whom, place, due, alarm,
            )
            .await
        }
        Ok(Room::Kept(lent)) => return Ok(lent),
        Err(full) => Err(full),
    };
    thread.shard.origin_connect(match &made {
        Ok(_) => "ok",
        Err(fault) => fault.answer().slug,
    });
    made
}

/// How a request gets its connection where these are bounded.
enum Room {
    /// A new one may be made.
    New(Counted),
    /// One came back while it waited.
    Kept(Lent),
}

/// A place for a connection; waited for where the zone has that.
async fn place(
    thread: &Rc<Thread>,
    zone: &Zone,
    member: &Arc<Member>,
    need: Need,
    due: Instant,
) -> Result<Room, Fault> {
    if let Some(place) = zone.pool().connection(member) {
        return Ok(Room::New(place));
    }
    let _counted = zone.pool().wait(member).ok_or(Fault::Full)?;
    let _waiting = Waiting::new(thread, member);
    while Instant::now() < due {
        tokio::time::sleep(PLACE_LOOK).await;
        if let Some(lent) = thread.origins.idle(member, need, false) {
            return Ok(Room::Kept(lent));
        }
        if let Some(place) = zone.pool().connection(member) {
            return Ok(Room::New(place));
        }
    }
    Err(Fault::Full)
}

/// A request of this thread waits, until this is dropped.
struct Waiting<'a>(&'a Thread, &'a Arc<Member>);

impl<'a> Waiting<'a> {
    fn new(thread: &'a Thread, member: &'a Arc<Member>) -> Self {
        thread.origins.waits(member, true);
        Self(thread, member)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.origins.waits(self.1, false);
    }
}

#[expect(clippy::too_many_arguments, reason = "as `lend_new`")]
async fn connect(
    thread: &Rc<Thread>,
    snapshot: &Snapshot,
    zone: &Zone,
    origin: &Origin,
    member: &Arc<Member>,
    need: Need,
    whom: Announced,
    place: Counted,
    due: Instant,
    alarm: &mut Alarm,
) -> Result<Lent, Fault> {
    let open = |place| OpenConnection {
        thread: Rc::downgrade(thread),
        _place: place,
    };
    let tls = match &origin.at {
        Place::Server { tls, .. } => tls,
        Place::Unix(path) => {
            alarm.set_at(due);
            let outward = &snapshot.edge.outward;
            let mut connected = outward.connect_unix(path, alarm).await.map_err(Fault::from);
            if matches!(connected, Err(Fault::Overloaded)) {
                make_room(thread);
                connected = outward.connect_unix(path, alarm).await.map_err(Fault::from);
            }
            let tcp = connected?;
            announce(&tcp, origin, whom)?;
            let stream = Stream::Plain(tcp.into());
            let http2 = need == Need::Http2;
            return Ok(lent(thread, zone, member, stream, open(place), http2));
        }
        Place::Sample | Place::Files(_) => return Err(Fault::Internal),
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
            make_room(thread);
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
        announce(&tcp, origin, whom)?;
        let Some(tls) = tls else {
            let stream = Stream::Plain(tcp.into());
            let http2 = need == Need::Http2;
            return Ok(lent(thread, zone, member, stream, open(place), http2));
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
                    open(place),
                    http2,
                ));
            }
            Err(error) => fault = error.into(),
        }
    }
    Err(fault)
}

/// Descriptors have run out. Connections at rest hold some too: one that is needed is worth more.
fn make_room(thread: &Thread) {
    thread.shared.note_ran_out();
    thread.origins.close_idle();
}

/// Says whom a new connection is for, where the origin wants to know.
pub fn announce(tcp: &TcpStream, origin: &Origin, whom: Announced) -> Result<(), Fault> {
    let Some(version) = origin.announce else {
        return Ok(());
    };
    let mut header = Vec::new();
    proxy_protocol::write(version, whom, &mut header);
    // A few bytes on a connection that has carried none: the kernel takes them at once.
    match tcp.try_write(&header) {
        Ok(wrote) if wrote == header.len() => Ok(()),
        _ => Err(Fault::ClosedEarly),
    }
}

/// Counts a connection to an origin for as long as it is open.
struct OpenConnection {
    thread: Weak<Thread>,
    /// Its place among the origin's connections.
    _place: Counted,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.upgrade() {
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
    open: OpenConnection,
    http2: bool,
) -> Lent {
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
