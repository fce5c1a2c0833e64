//! The steps in which a client speaks: `get`, `raw`, `tunnel`. `frames` is in [`crate::exchange_frames`].

use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};

use crate::answer::{Answer, bytes_of, pattern};
use crate::client::{Connection, Target};
use crate::client_h2::ClientH2;
use crate::expect;
use crate::scenario::{Get, Lines, Raw, Through, TunnelStep, Via};
use crate::world::{Kept, KeptTunnel, Unread, World};

/// How long a connection that should stay open is watched.
pub(crate) const WATCH: Duration = Duration::from_millis(150);

/// A URL in its parts.
struct Url {
    secure: bool,
    authority: String,
    path: String,
}

impl Url {
    fn parse(text: &str) -> Result<Self> {
        let (scheme, rest) = text
            .split_once("://")
            .with_context(|| format!("{text:?} is no URL"))?;
        let slash = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(slash);
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self {
            secure: scheme == "https",
            authority: authority.into(),
            path: path.into(),
        })
    }

    fn host(&self) -> &str {
        self.authority
            .rsplit_once(':')
            .map_or(self.authority.as_str(), |(host, _)| host)
    }

    fn via(&self, via: Option<Via>) -> Via {
        via.unwrap_or(if self.secure { Via::H1s } else { Via::H1 })
    }
}

/// A request, and the judgement of its response.
pub async fn get(world: &World, step: &Get) -> Result<()> {
    let url = Url::parse(&world.fill(&step.url)?)?;
    let via = url.via(step.via);
    let sni = step.sni.clone().unwrap_or_else(|| url.host().to_owned());
    let outcome = send(world, step, &url, via, &sni).await;
    if step.handshake_fails {
        let failed = matches!(&outcome, Err(_) | Ok(Answer { status: 0, .. }));
        ensure!(
            failed,
            "the handshake should have failed, but there is an answer"
        );
        return Ok(());
    }
    let answer = outcome.with_context(|| format!("{} via {via:?}", step.url))?;
    world.set_last(&answer);
    if let Some(name) = &step.keep {
        world.keep(name, answer.text());
    }
    expect::answer(world, &answer, &step.expected)
}

async fn send(world: &World, step: &Get, url: &Url, via: Via, sni: &str) -> Result<Answer> {
    let mut target = world.target(via, sni, step.certificate.as_deref(), step.tls12)?;
    if let Some(name) = &step.tickets {
        target = world.with_tickets(target, name);
    }
    let connection = step.connection.as_deref();
    let connection = connection.map(|name| world.fill(name)).transpose()?;
    let kept = match &connection {
        Some(name) => world.connections.lock().await.remove(name),
        None => None,
    };
    let (answer, kept) = match via {
        Via::H1 | Via::H1s => {
            let mut connection = match kept {
                Some(Kept::H1(connection)) => connection,
                Some(Kept::H2(_)) => bail!("the kept connection speaks HTTP/2"),
                None => Connection::open(&target).await?,
            };
            let (method, bytes) = http1(world, step, url)?;
            let answer = connection.exchange(&method, &bytes).await?;
            (
                answer.unwrap_or_else(|| Answer::cut("h1", "closed without an answer")),
                Kept::H1(connection),
            )
        }
        Via::H2 | Via::H2c => {
            let connection = match kept {
                Some(Kept::H2(connection)) => connection,
                Some(Kept::H1(_)) => bail!("the kept connection speaks HTTP/1.1"),
                None => ClientH2::open(&target).await?,
            };
            let (request, body, trailers) = http2(world, step, url, via)?;
            (
                connection.exchange(request, body, trailers).await?,
                Kept::H2(connection),
            )
        }
    };
    if let Some(wanted) = step.resumed {
        let resumed = match &kept {
            Kept::H1(connection) => connection.resumed,
            Kept::H2(connection) => connection.resumed,
        };
        ensure!(
            resumed == wanted,
            "the session was {}resumed",
            if resumed { "" } else { "not " }
        );
    }
    if let Some(name) = connection {
        world.connections.lock().await.insert(name, kept);
    }
    Ok(answer)
}

fn body_of(world: &World, step: &Get) -> Result<Vec<u8>> {
    match (&step.body, step.body_size) {
        (Some(text), _) => Ok(bytes_of(&world.fill(text)?)),
        (None, Some(size)) => Ok(pattern(size)),
        (None, None) => Ok(Vec::new()),
    }
}

fn method_of(step: &Get) -> String {
    let body = step.body.is_some() || step.body_size.is_some();
    step.method
        .clone()
        .unwrap_or_else(|| if body { "POST" } else { "GET" }.into())
}

fn http1(world: &World, step: &Get, url: &Url) -> Result<(String, Vec<u8>)> {
    let method = method_of(step);
    let host = step.host.as_ref().unwrap_or(&url.authority);
    let mut head = format!("{method} {} HTTP/1.1\r\nHost: {host}\r\n", url.path);
    for (name, value) in &step.headers.0 {
        head.push_str(&format!("{name}: {}\r\n", world.fill(value)?));
    }
    let body = body_of(world, step)?;
    let chunked = step.chunked || !step.send_trailers.0.is_empty();
    if chunked {
        head.push_str("Transfer-Encoding: chunked\r\n");
    } else if !body.is_empty() || matches!(method.as_str(), "POST" | "PUT" | "PATCH") {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = bytes_of(&head);
    if chunked {
        for chunk in body.chunks(10_000) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n");
        for (name, value) in &step.send_trailers.0 {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
    } else {
        bytes.extend_from_slice(&body);
    }
    Ok((method, bytes))
}

fn map_of(world: &World, lines: &Lines) -> Result<http::HeaderMap> {
    let mut map = http::HeaderMap::new();
    for (name, value) in &lines.0 {
        map.append(
            HeaderName::from_bytes(name.as_bytes())?,
            HeaderValue::from_bytes(&bytes_of(&world.fill(value)?))?,
        );
    }
    Ok(map)
}

fn http2(
    world: &World,
    step: &Get,
    url: &Url,
    via: Via,
) -> Result<(Request<()>, Bytes, Option<http::HeaderMap>)> {
    let scheme = if via == Via::H2 { "https" } else { "http" };
    let authority = step.host.as_ref().unwrap_or(&url.authority);
    let mut request = Request::builder()
        .method(method_of(step).as_str())
        .uri(format!("{scheme}://{authority}{}", url.path))
        .version(http::Version::HTTP_2)
        .body(())?;
    *request.headers_mut() = map_of(world, &step.headers)?;
    let body = body_of(world, step)?;
    let trailers = map_of(world, &step.send_trailers)?;
    Ok((
        request,
        body.into(),
        (!trailers.is_empty()).then_some(trailers),
    ))
}

/// Bytes as they stand, and the judgement of what comes back.
pub async fn raw(world: &World, step: &Raw) -> Result<()> {
    let via = step.via.unwrap_or_default();
    let sni = step.sni.clone().unwrap_or_else(|| "a.test".into());
    let mut target = world.target(via, &sni, None, false)?;
    if step.to_https {
        target = Target {
            address: world.edge.https,
            tls: None,
        };
    }
    let mut connection = Connection::open(&target).await?;
    let mut bytes = bytes_of(&world.fill(&step.send)?);
    bytes.extend(pattern(step.body_size));
    match (step.piece, step.every) {
        (None, None) => connection.send(&bytes).await,
        (piece, every) => {
            let pause = every.map_or(Duration::from_millis(1), |span| span.0);
            connection.drip(&bytes, piece.unwrap_or(1), pause).await;
        }
    }
    if step.half_close {
        connection.half_close().await;
    }
    if step.unread {
        keep_unread(world, Unread::H1(connection));
        return Ok(());
    }
    if step.to_https && (step.expect_nothing || step.expect_closed == Some(true)) {
        // A TLS alert may come first.
        connection.closed().await?;
        return Ok(());
    }
    if step.unjudged {
        connection.closed().await?;
        return Ok(());
    }
    if step.expect_nothing {
        let answer = connection.response("GET").await?;
        if let Some(answer) = answer {
            bail!("no answer was expected, but there is\n{answer}");
        }
        return Ok(());
    }
    let wanted = step
        .expect_responses
        .or(step.expect_status.as_ref().map(Vec::len))
        .unwrap_or(1);
    for number in 0..wanted {
        let method = step.methods.get(number).map_or("GET", String::as_str);
        let answer = connection.response(method).await?;
        let Some(answer) = answer else {
            bail!("closed after {number} of {wanted} responses")
        };
        world.set_last(&answer);
        if let Some(status) = step.expect_status.as_ref().and_then(|all| all.get(number)) {
            ensure!(
                status.0.contains(&answer.status),
                "response {number} is\n{answer}\nnot {:?}",
                status.0
            );
        }
        if number + 1 == wanted {
            expect::answer(world, &answer, &step.expected)?;
        }
    }
    match step.expect_closed {
        Some(true) => {
            let more = connection.closed().await?;
            ensure!(
                more.is_empty(),
                "more came before the end: {:?}",
                String::from_utf8_lossy(&more)
            );
        }
        Some(false) => ensure!(
            connection.quiet_for(WATCH).await,
            "the connection did not stay open and quiet"
        ),
        None => {}
    }
    Ok(())
}

pub(crate) fn keep_unread(world: &World, connection: Unread) {
    world
        .unread
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(connection);
}

/// Opens a tunnel, says something, and wants it back.
pub async fn tunnel(world: &World, step: &TunnelStep) -> Result<()> {
    let url = Url::parse(&world.fill(&step.url)?)?;
    let via = url.via(step.via);
    let protocol = step.protocol.as_deref().unwrap_or("websocket");
    let target = world.target(via, url.host(), None, false)?;
    let mut say = step.say.clone().unwrap_or_default().into_bytes();
    say.extend(pattern(step.say_size));
    let good = if matches!(via, Via::H1 | Via::H1s) {
        101
    } else {
        200
    };
    let wanted = step
        .status
        .clone()
        .map_or_else(|| vec![good], |status| status.0);
    let verdict = |answer: &Answer| {
        world.set_last(answer);
        ensure!(
            wanted.contains(&answer.status),
            "the tunnel's answer should be {wanted:?}, not\n{answer}"
        );
        expect::fields(world, answer, &step.has)
    };
    let heard = match via {
        Via::H1 | Via::H1s => {
            let mut connection = Connection::open(&target).await?;
            let mut head = format!(
                "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                url.path, url.authority
            );
            for (name, value) in &step.headers.0 {
                head.push_str(&format!("{name}: {}\r\n", world.fill(value)?));
            }
            head.push_str("\r\n");
            let answer = connection
                .exchange("GET", head.as_bytes())
                .await?
                .context("closed without an answer")?;
            verdict(&answer)?;
            if answer.status != 101 {
                return Ok(());
            }
            let mut heard = Vec::new();
            for part in say.chunks(60_000) {
                connection.send(part).await;
                heard.extend(connection.raw(part.len()).await?);
            }
            keep_tunnel(world, step, KeptTunnel::H1(connection)).await;
            heard
        }
        Via::H2 | Via::H2c => {
            let connection = ClientH2::open(&target).await?;
            let scheme = if via == Via::H2 { "https" } else { "http" };
            let mut request = Request::builder()
                .method("CONNECT")
                .uri(format!("{scheme}://{}{}", url.authority, url.path))
                .header("sec-websocket-version", "13")
                .body(())?;
            request.headers_mut().extend(map_of(world, &step.headers)?);
            let mut tunnel = connection.tunnel(request, protocol).await?;
            verdict(&tunnel.answer)?;
            if tunnel.answer.status != 200 {
                return Ok(());
            }
            let mut heard = Vec::new();
            for part in say.chunks(60_000) {
                tunnel.send(part, false).await?;
                heard.extend(tunnel.receive(part.len()).await?);
            }
            keep_tunnel(world, step, KeptTunnel::H2(connection, tunnel.into())).await;
            heard
        }
    };
    ensure!(
        heard == say,
        "said {} bytes, heard {} that differ",
        say.len(),
        heard.len()
    );
    Ok(())
}

async fn keep_tunnel(world: &World, step: &TunnelStep, tunnel: KeptTunnel) {
    if let Some(name) = &step.keep {
        world.tunnels.lock().await.insert(name.clone(), tunnel);
    }
}

/// Goes on with a tunnel that was kept.
pub async fn through(world: &World, step: &Through) -> Result<()> {
    let name = world.fill(&step.tunnel)?;
    let kept = world.tunnels.lock().await.remove(&name);
    let mut kept = kept.with_context(|| format!("no tunnel was kept as {name}"))?;
    let say = step.say.as_bytes();
    let heard = match &mut kept {
        KeptTunnel::H1(connection) => {
            connection.send(say).await;
            connection.raw(say.len()).await?
        }
        KeptTunnel::H2(_, tunnel) => {
            tunnel.send(say, false).await?;
            tunnel.receive(say.len()).await?
        }
    };
    ensure!(heard == say, "said {:?}, heard {heard:?}", step.say);
    if !step.ends {
        world.tunnels.lock().await.insert(name, kept);
        return Ok(());
    }
    let more = match &mut kept {
        KeptTunnel::H1(connection) => connection.closed().await?,
        KeptTunnel::H2(_, tunnel) => tunnel.receive(1).await?,
    };
    ensure!(more.is_empty(), "more came before the end: {more:?}");
    Ok(())
}
