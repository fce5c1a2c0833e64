//! Connections that begin with the PROXY protocol: from a load balancer of ours, which says who its client is.
//!
//! Whether one does is decided by its peer's address, before a byte is read: nobody may choose to be believed. The client's
//! address then is that of the connection, for lists, limits, Records and origins alike.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use seawall_model::ConnFacts;
use seawall_net::alarm::Alarm;
use seawall_net::proxy_protocol::{Announced, AnnouncedFault, receive};
use tokio::net::TcpStream;

use crate::connection;
use crate::snapshot::Snapshot;
use crate::thread::{Presence, Thread};

/// Whether a peer's connection to a listener begins with the PROXY protocol.
pub fn begins(snapshot: &Snapshot, tls: bool, peer: std::net::IpAddr) -> bool {
    let listens = match tls {
        true => snapshot.edge.announced.https,
        false => snapshot.edge.announced.http,
    };
    let peer = peer.to_canonical();
    let trusted = &snapshot.edge.trusted_proxies;
    listens && trusted.iter().any(|network| network.contains(peer))
}

/// Reads who the client is, then serves its connection, in a task of its own.
pub fn serve(thread: Rc<Thread>, presence: Presence, tcp: TcpStream, tls: bool) {
    if let Some(facts) = connection::facts(&tcp) {
        tokio::task::spawn_local(announced(thread, presence, tcp, facts, tls));
    }
}

async fn announced(
    thread: Rc<Thread>,
    mut presence: Presence,
    tcp: TcpStream,
    mut facts: ConnFacts,
    tls: bool,
) {
    connection::register(&presence).await;
    let (timeout, each) = thread.snapshot.with(|snapshot| {
        let edge = &snapshot.edge;
        (edge.header_timeout, edge.connections_per_client)
    });
    let mut alarm = Alarm::new(timeout);
    let mut receiving = Box::pin(receive(&tcp, &mut alarm));
    let received = poll_fn(|cx| match receiving.as_mut().poll(cx) {
        // Nothing would be served on it any more.
        Poll::Pending if thread.is_draining() => Poll::Ready(None),
        poll => poll.map(Some),
    });
    let received = received.await;
    drop(receiving);
    match received {
        Some(Ok(Announced::Client { from, to })) => {
            facts.peer = from;
            facts.local = to;
        }
        Some(Ok(Announced::Sender)) => {}
        // Load balancers look whether we are there by connecting and closing.
        None | Some(Err(AnnouncedFault::Socket(_))) => return,
        Some(Err(AnnouncedFault::Malformed(_) | AnnouncedFault::Slow)) => {
            return thread.shard.connection_refused("proxy_protocol");
        }
    }
    if each > 0 && !presence.count(facts.peer.ip(), each) {
        return thread.shard.connection_refused("client_limit");
    }
    connection::begin(thread, presence, tcp, facts, tls);
}
