//! A client's connection that speaks HTTP/2: many requests at once, each in a task of its own.

use std::rc::Rc;
use std::time::Duration;

use seawall_model::HttpVersion;
use seawall_net::alarm::Alarm;
use seawall_net::buffer::Buffer;
use seawall_net::downstream::{ClientBody, ClientResponse, Http2Body, Http2Response};
use seawall_net::h1::{Framing, Upgrade};
use seawall_net::h2;
use seawall_net::multiplex::{Ended, Leaving, Multiplex, Opened, Patience, StreamHandle};
use seawall_net::stream::Stream;

use super::linger;
use crate::exchange::{self, Arrived};
use crate::fault::Fault;
use crate::forward::Peer;
use crate::refusal;
use crate::thread::Thread;

/// Serves the connection. `first` are the bytes that were read already.
pub(super) async fn http2(
    thread: Rc<Thread>,
    peer: Peer,
    stream: Stream,
    first: &[u8],
    mut alarm: Alarm,
) {
    let (config, patience) = {
        let snapshot = thread.snapshot.load();
        let config = h2::Config {
            max_concurrent_streams: snapshot.edge().h2_streams,
            max_header_list: snapshot.edge().head.head_bytes as u32,
            enable_connect_protocol: true,
            ..h2::Config::server()
        };
        (
            config,
            Patience {
                idle: snapshot.edge().idle_timeout,
                write: snapshot.edge().write_timeout,
            },
        )
    };
    let connection = Multiplex::new(stream, config);
    connection.receive_first(first);
    let peer = Rc::new(peer);
    alarm.set(patience.idle);
    let opened = |opened: Opened| match opened {
        Opened::Request { id, end } => {
            let handle = Rc::new(StreamHandle::new(&connection, id));
            tokio::task::spawn_local(one_stream(thread.clone(), peer.clone(), handle, end));
        }
        Opened::HeadTooLarge { id } => {
            let handle = Rc::new(StreamHandle::new(&connection, id));
            tokio::task::spawn_local(too_large(thread.clone(), peer.clone(), handle));
        }
        Opened::Malformed(why) => {
            refusal::unanswered(
                &thread,
                &peer.facts,
                HttpVersion::Http2,
                refusal::malformed(why),
            );
        }
    };
    let leaving = || {
        if thread.is_stopping() {
            connection.wake_streams();
        }
        if thread.is_draining() {
            Leaving::Now
        } else if thread.shared.is_retiring() {
            Leaving::Slowly
        } else {
            Leaving::Not
        }
    };
    // Boxed for the same reason as above.
    let ended = Box::pin(connection.drive(&mut alarm, patience, leaving, opened)).await;
    if ended == Ended::Closed && thread.shared.is_retiring() && !thread.is_draining() {
        // What the client still says, as that it has read on, must not be met by a reset.
        linger(connection.stream(), &mut Buffer::default(), &mut alarm).await;
    }
    if let Ended::Protocol(reason) = ended {
        thread.shard.h2_abuse(reason);
    }
}

async fn too_large(thread: Rc<Thread>, peer: Rc<Peer>, stream: Rc<StreamHandle>) {
    let mut alarm = Alarm::new(Duration::from_secs(60));
    let mut response = ClientResponse::Http2(Http2Response::new(stream));
    let fault = Fault::Rejected {
        status: 431,
        reason: "head_too_long",
    };
    thread.shard.request_rejected("head_too_long");
    refusal::refuse(
        &thread,
        &peer.facts,
        &mut response,
        HttpVersion::Http2,
        fault,
        b"",
        &mut alarm,
    )
    .await;
}

async fn one_stream(thread: Rc<Thread>, peer: Rc<Peer>, stream: Rc<StreamHandle>, end: bool) {
    let mut scratch = thread.take_scratch();
    if !stream.with(|core, id| core.take_request(id, &mut scratch.request)) {
        return;
    }
    let most = thread.snapshot.load().edge().head.fields;
    if scratch.request.fields.len() > most {
        thread.give_scratch(scratch);
        return too_large(thread, peer, stream).await;
    }
    let request = &scratch.request;
    let websocket = request.protocol() == b"websocket";
    let length = request.fields.only(seawall_model::FieldId::ContentLength);
    let length = length.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let (at, since) = thread.clock();
    let arrived = Arrived {
        framing: match length {
            _ if end => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        },
        upgrade: if websocket {
            Upgrade::WebSocket
        } else {
            Upgrade::None
        },
        te_trailers: request
            .fields
            .all(seawall_model::FieldId::Te)
            .any(|te| te.eq_ignore_ascii_case(b"trailers")),
        at,
        since,
        head_bytes: request.fields.raw().len() as u64,
        names_fields: false,
        early: false,
    };
    let mut alarm = Alarm::new(Duration::from_secs(60));
    let mut body = ClientBody::Http2(Http2Body::new(stream.clone(), end));
    let mut response = ClientResponse::Http2(Http2Response::new(stream.clone()));
    exchange::run(
        &thread,
        &peer,
        &mut scratch,
        &arrived,
        &mut body,
        &mut response,
        &mut alarm,
        Some(exchange::Departing::Http2(&stream)),
    )
    .await;
    thread.give_scratch(scratch);
}
