//! The HTTP/2 half of an origin: streams, trailers, extended CONNECT, and the vices that make sense there.

use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};

use crate::client_h2::push;
use crate::origin::{OpenStream, Reply, Shared};
use crate::socket::Socket;
use crate::strict::StrictRequest;
use crate::vice::Vice;

/// Serves one connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, mut socket: Socket, index: usize) {
    if matches!(shared.next_vice_of(&[Vice::Garbage]), Some(Vice::Garbage)) {
        Vice::Garbage.play(&mut socket, 0).await;
        return;
    }
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .enable_connect_protocol();
    if let Some(most) = shared.max_streams {
        builder.max_concurrent_streams(most);
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(socket).await else {
        return;
    };
    let mut streams = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    let open = shared.stream_opens(index);
                    streams.spawn(stream(shared.clone(), request, respond, index, open));
                }
                Some(Err(_)) | None => return,
            },
            Some(_) = streams.join_next(), if !streams.is_empty() => {}
        }
    }
}

async fn stream(
    shared: Arc<Shared>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    index: usize,
    open: OpenStream,
) {
    let connect = request
        .extensions()
        .get::<h2::ext::Protocol>()
        .map(|protocol| protocol.as_str().to_owned());
    let (head, mut incoming) = request.into_parts();
    let target = head
        .uri
        .path_and_query()
        .map_or_else(|| "*".to_owned(), ToString::to_string);
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    if let Some(authority) = head.uri.authority() {
        fields.push((":authority".into(), authority.as_str().as_bytes().to_vec()));
    }
    if let Some(scheme) = head.uri.scheme() {
        fields.push((":scheme".into(), scheme.as_str().as_bytes().to_vec()));
    }
    if let Some(protocol) = &connect {
        fields.push((":protocol".into(), protocol.as_bytes().to_vec()));
    }
    fields.extend(
        head.headers
            .iter()
            .map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec())),
    );
    let method = head.method.as_str().to_owned();
    let request = StrictRequest {
        method: method.clone(),
        target: target.clone(),
        fields,
        body: vec![],
        trailers: vec![],
        length: 0,
    };
    let seen = shared.saw(request.clone(), index);
    let vice = shared.next_vice(false).map(|(vice, turn)| {
        if vice == Vice::Flaps && turn % 2 == 1 {
            Vice::None
        } else {
            vice
        }
    });
    if connect.is_some() {
        echo(respond, incoming).await;
        return;
    }
    if vice.is_none_or(|vice| !vice.ignores_body()) {
        let Some((body, trailers)) = receive(&mut incoming).await else {
            return;
        };
        shared.saw_whole(seen, body, trailers);
    }
    match vice {
        None | Some(Vice::None) => {
            let reply = shared.reply_for(&request);
            let _seen_by_the_peer = answer(&shared, respond, &method, &target, reply, open).await;
        }
        Some(vice) => misbehave(vice, &mut respond).await,
    }
}

async fn receive(incoming: &mut RecvStream) -> Option<(Vec<u8>, Vec<(String, Vec<u8>)>)> {
    let mut body = Vec::new();
    while let Some(data) = incoming.data().await {
        let data = data.ok()?;
        let _window = incoming.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
    }
    let trailers = incoming.trailers().await.ok()?.unwrap_or_default();
    Some((
        body,
        trailers
            .iter()
            .map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec()))
            .collect(),
    ))
}

async fn answer(
    shared: &Shared,
    mut respond: SendResponse<Bytes>,
    method: &str,
    target: &str,
    reply: Reply,
    open: OpenStream,
) -> Result<(), h2::Error> {
    shared.gate(reply.gate.as_ref()).await;
    let mut head = Response::builder()
        .status(reply.status)
        .body(())
        .unwrap_or_default();
    *head.headers_mut() = map_of(&reply.fields);
    let body = shared.body_of(&reply, method, target);
    let bodiless = method == "HEAD" || matches!(reply.status, 204 | 304);
    if !reply.chunked && reply.trailers.is_empty() && !matches!(reply.status, 204 | 304) {
        head.headers_mut()
            .insert("content-length", HeaderValue::from(body.len()));
    }
    let empty = bodiless || (body.is_empty() && reply.trailers.is_empty());
    let mut stream = respond.send_response(head, empty)?;
    if empty {
        return Ok(());
    }
    let (first, second) = body.split_at(if reply.body_gate.is_some() {
        body.len() / 2
    } else {
        0
    });
    push(&mut stream, Bytes::copy_from_slice(first), false).await?;
    shared.gate(reply.body_gate.as_ref()).await;
    push(&mut stream, Bytes::copy_from_slice(second), false).await?;
    // Before the end is said: the edge may open the next one at once.
    drop(open);
    if reply.trailers.is_empty() {
        stream.send_data(Bytes::new(), true)?;
    }
    if !reply.trailers.is_empty() {
        stream.send_trailers(map_of(&reply.trailers))?;
    }
    std::future::poll_fn(|cx| stream.poll_reset(cx))
        .await
        .map(|_| ())
}

async fn echo(mut respond: SendResponse<Bytes>, mut incoming: RecvStream) {
    let Ok(mut stream) = respond.send_response(Response::new(()), false) else {
        return;
    };
    while let Some(Ok(data)) = incoming.data().await {
        let _window = incoming.flow_control().release_capacity(data.len());
        if push(&mut stream, data, false).await.is_err() {
            return;
        }
    }
    let _seen_by_the_peer = stream.send_data(Bytes::new(), true);
}

/// A vice on one stream. What has no meaning on a stream resets it.
async fn misbehave(vice: Vice, respond: &mut SendResponse<Bytes>) {
    let ok = || {
        Response::builder()
            .header("content-length", "100000")
            .body(())
            .unwrap_or_default()
    };
    match vice {
        Vice::Stalls | Vice::StallsMidHead | Vice::SlowReader => std::future::pending::<()>().await,
        Vice::Unavailable | Vice::Flaps => {
            let busy = Response::builder().status(503).body(()).unwrap_or_default();
            let _seen_by_the_peer = respond.send_response(busy, true);
        }
        Vice::ResetsMidBody | Vice::ClosesMidBody | Vice::StallsMidBody | Vice::PromisesMore => {
            let Ok(mut stream) = respond.send_response(ok(), false) else {
                return;
            };
            let _seen_by_the_peer = push(
                &mut stream,
                Bytes::from_static(b"the first half, and then"),
                false,
            )
            .await;
            if vice == Vice::StallsMidBody {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
        _ => respond.send_reset(Reason::INTERNAL_ERROR),
    }
}

fn map_of(fields: &[(String, String)]) -> HeaderMap {
    fields
        .iter()
        .filter_map(|(name, value)| {
            Some((
                HeaderName::from_bytes(name.as_bytes()).ok()?,
                HeaderValue::from_bytes(value.as_bytes()).ok()?,
            ))
        })
        .collect()
}
