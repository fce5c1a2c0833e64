//! WebSocket and gRPC through the edge.

use crate::tools::{Server, play};
use crate::up::Up;

#[test]
fn websocket_over_http1() {
    let origin = Server::start("ws-echo-server.mjs", &[]);
    let up = Up::before(&origin.url());
    play("ws-client.mjs", &[&up.url("/")]);
}

#[test]
fn websocket_over_tls() {
    let origin = Server::start("ws-echo-server.mjs", &[]);
    let up = Up::before(&origin.url());
    play("ws-client.mjs", &[&up.tls_url("/")]);
    play("ws-client.mjs", &[&up.tls_url("/"), "--host=site.test"]);
}

/// RFC 8441: extended CONNECT from the client, an HTTP/1.1 upgrade to the origin.
#[test]
fn websocket_over_http2() {
    let origin = Server::start("ws-echo-server.mjs", &[]);
    let up = Up::before(&origin.url());
    play("h2-client.mjs", &[&up.tls_url(""), "--origin=ws"]);
    play("h2-client.mjs", &[&up.url(""), "--origin=ws"]);
}

#[test]
fn a_zone_may_refuse_websocket() {
    let origin = Server::start("ws-echo-server.mjs", &[]);
    let url = origin.url();
    let up = Up::with_config(&format!(
        "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\nwebsocket = false\norigin = [{{ url = \"{url}\" }}]\n"
    ));
    let answer = crate::tools::curl(&[
        "--http1.1",
        "--header",
        "Connection: Upgrade",
        "--header",
        "Upgrade: websocket",
        "--header",
        "Sec-WebSocket-Version: 13",
        "--header",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        &up.url("/"),
    ]);
    assert_ne!(answer.status, 101, "{answer:?}");
}

#[test]
fn grpc_over_tls() {
    let origin = Server::start("grpc-server.mjs", &[]);
    let up = Up::before(&origin.url());
    play("grpc-client.mjs", &[&up.https().to_string(), "--tls"]);
}

#[test]
fn grpc_with_prior_knowledge() {
    let origin = Server::start("grpc-server.mjs", &[]);
    let up = Up::before(&origin.url());
    play("grpc-client.mjs", &[&up.http().to_string()]);
}
