//! Requests to an authority: HTTP/1.1 on a connection of its own for each, by `net::outward`, over TLS. Everything has a bound.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use seawall_model::{FieldId, Method, ResponseHead, without_port};
use seawall_net::alarm::Alarm;
use seawall_net::h1::{self, ChunkStep, ChunkedDecoder, HeadLimits, HeadScanner};
use seawall_net::outward::{self, Outward};
use seawall_net::stream::Stream;
use seawall_net::tls::TlsStream;

use crate::Fault;

/// The longest that a request may take, resolving and connecting included.
const PATIENCE: Duration = Duration::from_secs(30);
/// A chain of certificates is a few KiB.
const LARGEST: usize = 256 << 10;

/// What came.
pub struct Reply {
    /// The status.
    pub status: u16,
    head: ResponseHead,
    /// The content.
    pub body: Vec<u8>,
}

impl Reply {
    /// A field, if it is text.
    pub fn field(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.head.fields.named(name.as_bytes())?).ok()
    }
}

/// How authorities are reached.
pub struct Wire {
    /// Which addresses may be connected to.
    pub outward: Arc<Outward>,
    /// Whom we trust to be one.
    pub tls: Arc<ClientConfig>,
}

impl Wire {
    /// Sends one request and reads its whole answer.
    ///
    /// # Errors
    /// [`Fault::Unreachable`], or [`Fault::Nonsense`] when it is no HTTP or no URL.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<&str>,
    ) -> Result<Reply, Fault> {
        let asked = self.send_patiently(method, url, body);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(reply) => reply,
            Err(_) => Err(unreachable(url, "no whole answer within 30 s")),
        }
    }

    async fn send_patiently(
        &self,
        method: Method,
        url: &str,
        body: Option<&str>,
    ) -> Result<Reply, Fault> {
        let at = At::parse(url)?;
        let mut alarm = Alarm::new(PATIENCE);
        let stream = self.connect(url, &at, &mut alarm).await?;
        let mut out = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\nuser-agent: seawall-acme/{}\r\nconnection: close\r\naccept-encoding: identity\r\n",
            match method {
                Method::Post => "POST",
                Method::Head => "HEAD",
                _ => "GET",
            },
            at.target,
            at.authority,
            env!("CARGO_PKG_VERSION"),
        );
        match body {
            Some(body) => {
                out += &format!(
                    "content-type: application/jose+json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
            None => out += "\r\n",
        }
        let failed = |error: std::io::Error| unreachable(url, error);
        stream.write_all(out.as_bytes()).await.map_err(failed)?;
        read(&stream, method, url).await
    }

    async fn connect(&self, url: &str, at: &At<'_>, alarm: &mut Alarm) -> Result<Stream, Fault> {
        let addresses = outward::resolve(at.host, at.port)
            .await
            .map_err(|error| unreachable(url, error))?;
        let mut last = None;
        for address in addresses.into_iter().take(4) {
            match self.outward.connect(address, alarm).await {
                Ok(tcp) if !at.tls => return Ok(Stream::Plain(tcp.into())),
                Ok(tcp) => {
                    let name = ServerName::try_from(at.host.to_owned())
                        .map_err(|_| Fault::Nonsense(format!("{url} has no name for TLS")))?;
                    let made = TlsStream::connect(tcp, self.tls.clone(), name, alarm).await;
                    return made
                        .map(|stream| Stream::Tls(Box::new(stream)))
                        .map_err(|fault| unreachable(url, fault));
                }
                Err(fault) => last = Some(fault),
            }
        }
        Err(last.map_or_else(
            || unreachable(url, "no address"),
            |fault| unreachable(url, fault),
        ))
    }
}

fn unreachable(url: &str, why: impl ToString) -> Fault {
    Fault::Unreachable(url.to_owned(), why.to_string())
}

/// An URL taken apart.
struct At<'a> {
    tls: bool,
    authority: &'a str,
    host: &'a str,
    port: u16,
    target: &'a str,
}

impl<'a> At<'a> {
    /// `https` only; `http` too towards this machine, for an authority of one's own behind something else (RFC 8555 §6.1).
    fn parse(url: &'a str) -> Result<Self, Fault> {
        let bad = |why: &str| Fault::Nonsense(format!("{:.200?} {why}", url));
        let (tls, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            _ => return Err(bad("is no https URL")),
        };
        let (authority, target) = match rest.find('/') {
            Some(at) => rest.split_at_checked(at).ok_or_else(|| bad("is no URL"))?,
            None => (rest, "/"),
        };
        let fits = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'@')
        };
        if authority.is_empty() || !fits(authority) || !fits(target) || url.len() > 2048 {
            return Err(bad("is no URL"));
        }
        let host = std::str::from_utf8(without_port(authority.as_bytes())).unwrap_or_default();
        let port = match authority.strip_prefix(host).unwrap_or_default() {
            "" => Ok(if tls { 443 } else { 80 }),
            port => port.trim_start_matches(':').parse(),
        };
        let port = port.map_err(|_| bad("has no good port"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let local = host == "localhost"
            || host
                .parse()
                .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        if !tls && !local {
            return Err(bad("is not https"));
        }
        Ok(Self {
            tls,
            authority,
            host,
            port,
            target,
        })
    }
}

async fn read(stream: &Stream, method: Method, url: &str) -> Result<Reply, Fault> {
    let nonsense = |why: &str| Fault::Nonsense(format!("{url}: {why}"));
    let mut bytes = Vec::with_capacity(8 << 10);
    let mut scanner = HeadScanner::default();
    let mut head = ResponseHead::default();
    let limits = HeadLimits::default();
    let length = loop {
        match scanner.find(&bytes) {
            Some(length) => {
                let whole = bytes.get(..length).unwrap_or_default();
                h1::parse_response(whole, &limits, method, &mut head)
                    .map_err(|bad| nonsense(bad.reason))?;
                if head.status >= 200 {
                    break length;
                }
                bytes.drain(..length);
                scanner.reset();
            }
            None if bytes.len() > limits.head_bytes => return Err(nonsense("its head has no end")),
            None => {
                bytes.reserve(8 << 10);
                match stream.read(&mut bytes).await {
                    Ok(0) => return Err(unreachable(url, "it closed without an answer")),
                    Ok(_) => {}
                    Err(error) => return Err(unreachable(url, error)),
                }
            }
        }
    };
    let begun = bytes.split_off(length);
    let body = if method == Method::Head || matches!(head.status, 204 | 304) {
        Vec::new()
    } else {
        read_body(stream, &head, begun, url).await?
    };
    Ok(Reply {
        status: head.status,
        head,
        body,
    })
}

/// The content, of which `body` is here: chunked, as long as it says, or until the end (RFC 9112 §6.3).
async fn read_body(
    stream: &Stream,
    head: &ResponseHead,
    mut body: Vec<u8>,
    url: &str,
) -> Result<Vec<u8>, Fault> {
    let nonsense = |why: &str| Fault::Nonsense(format!("{url}: {why}"));
    let chunked = head.fields.has(FieldId::TransferEncoding);
    let length = head.fields.first(FieldId::ContentLength);
    let length = length.and_then(|text| std::str::from_utf8(text).ok()?.parse::<usize>().ok());
    loop {
        if chunked {
            if let Some(content) = unchunk(&body).map_err(|()| nonsense("broken chunks"))? {
                return Ok(content);
            }
        } else if let Some(length) = length.filter(|length| body.len() >= *length) {
            body.truncate(length);
            return Ok(body);
        }
        if body.len() > LARGEST {
            return Err(nonsense("it is larger than 256 KiB"));
        }
        body.reserve(16 << 10);
        match stream.read(&mut body).await {
            Ok(0) if !chunked && length.is_none() => return Ok(body),
            Ok(0) => return Err(unreachable(url, "its answer was cut off")),
            Ok(_) => {}
            Err(error) => return Err(unreachable(url, error)),
        }
    }
}

/// The content of a chunked body, if it is here whole. Bounded by [`LARGEST`], so starting anew for each read costs little.
fn unchunk(bytes: &[u8]) -> Result<Option<Vec<u8>>, ()> {
    let mut decoder = ChunkedDecoder::new();
    let mut rest = bytes;
    let mut out = Vec::new();
    loop {
        let consumed = match decoder.step(rest).map_err(|_| ())? {
            ChunkStep::End { .. } => return Ok(Some(out)),
            ChunkStep::NeedMore { .. } => return Ok(None),
            ChunkStep::Data { skip, len, .. } => {
                out.extend_from_slice(rest.get(skip..skip + len).unwrap_or_default());
                skip + len
            }
        };
        rest = rest.get(consumed..).unwrap_or_default();
    }
}
