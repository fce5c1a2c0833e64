//! A small HTTP client: HTTP/1.1 on a connection of its own for each request, by [`outward`](crate::outward), over TLS. Everything
//! has a bound. For what we ask now and then (authorities of certificates, another Seawall's API), not for what is served.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use seawall_model::{FieldId, Method, ResponseHead, without_port};

use crate::alarm::Alarm;
use crate::h1::{self, ChunkStep, ChunkedDecoder, HeadLimits, HeadScanner};
use crate::outward::{self, Outward};
use crate::stream::Stream;
use crate::tls::TlsStream;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nobody answers there, or not in time. Trying again may help.
    #[error("{0}: {1}")]
    Unreachable(String, String),
    /// What was asked is no URL, or what came is no HTTP.
    #[error("{0}")]
    Nonsense(String),
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The method.
    pub method: &'r str,
    /// The URL; `https`, or `http` towards this machine.
    pub url: &'r str,
    /// Further fields; without line breaks.
    pub fields: &'r [(&'r str, &'r str)],
    /// The content.
    pub body: Option<&'r [u8]>,
}

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

/// How others are reached.
pub struct Client {
    /// Which addresses may be connected to.
    pub outward: Arc<Outward>,
    /// Whom we trust to be the other side.
    pub tls: Arc<ClientConfig>,
    /// What we call ourselves.
    pub agent: &'static str,
    /// The longest that a request may take, resolving and connecting included.
    pub patience: Duration,
    /// Bytes of content that are read at most.
    pub largest: usize,
}

impl Client {
    /// Sends one request and reads its whole answer.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn send(&self, request: Request<'_>) -> Result<Reply, Fault> {
        match tokio::time::timeout(self.patience, self.send_patiently(request)).await {
            Ok(reply) => reply,
            Err(_) => {
                let seconds = self.patience.as_secs();
                Err(unreachable(
                    request.url,
                    format!("no whole answer within {seconds} s"),
                ))
            }
        }
    }

    async fn send_patiently(&self, request: Request<'_>) -> Result<Reply, Fault> {
        let at = At::parse(request.url)?;
        let mut alarm = Alarm::new(self.patience);
        let stream = self.connect(request.url, &at, &mut alarm).await?;
        let mut out = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\nuser-agent: {}\r\nconnection: close\r\naccept-encoding: identity\r\n",
            request.method, at.target, at.authority, self.agent,
        );
        for (name, value) in request.fields {
            if value.bytes().any(|byte| byte.is_ascii_control()) {
                return Err(Fault::Nonsense(format!("{name} has a line break in it")));
            }
            // Writing to a text does not fail.
            let _ = write!(out, "{name}: {value}\r\n");
        }
        if let Some(body) = request.body {
            let _ = write!(out, "content-length: {}\r\n", body.len());
        }
        out += "\r\n";
        let mut out = out.into_bytes();
        out.extend_from_slice(request.body.unwrap_or_default());
        let sent = stream.write_all(&out).await;
        // Who refuses what is long may answer before it has read it all.
        let came = self.read(&stream, &request).await;
        match (sent, came) {
            (_, Ok(reply)) => Ok(reply),
            (Err(error), Err(_)) => Err(unreachable(request.url, error)),
            (Ok(()), Err(fault)) => Err(fault),
        }
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

    async fn read(&self, stream: &Stream, request: &Request<'_>) -> Result<Reply, Fault> {
        let url = request.url;
        let method = Method::of(request.method.as_bytes());
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
                None if bytes.len() > limits.head_bytes => {
                    return Err(nonsense("its head has no end"));
                }
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
            read_body(stream, &head, begun, url, self.largest).await?
        };
        Ok(Reply {
            status: head.status,
            head,
            body,
        })
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

/// The content, of which `body` is here: chunked, as long as it says, or until the end (RFC 9112 §6.3).
async fn read_body(
    stream: &Stream,
    head: &ResponseHead,
    mut body: Vec<u8>,
    url: &str,
    largest: usize,
) -> Result<Vec<u8>, Fault> {
    let nonsense = |why: &str| Fault::Nonsense(format!("{url}: {why}"));
    let chunked = head.fields.has(FieldId::TransferEncoding);
    let length = head.fields.first(FieldId::ContentLength);
    let length = length.and_then(|text| std::str::from_utf8(text).ok()?.parse::<usize>().ok());
    let mut decoder = ChunkedDecoder::new();
    let mut content = Vec::new();
    loop {
        if chunked {
            let ended = unchunk(&mut decoder, &mut body, &mut content);
            if ended.map_err(|()| nonsense("broken chunks"))? {
                return Ok(content);
            }
        } else if let Some(length) = length.filter(|length| body.len() >= *length) {
            body.truncate(length);
            return Ok(body);
        }
        if body.len().max(content.len()) > largest {
            return Err(nonsense(&format!("it is larger than {largest} bytes")));
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

/// Moves content out of the chunks that are here; whether that was all.
fn unchunk(
    decoder: &mut ChunkedDecoder,
    bytes: &mut Vec<u8>,
    content: &mut Vec<u8>,
) -> Result<bool, ()> {
    let mut used = 0;
    let ended = loop {
        let rest = bytes.get(used..).unwrap_or_default();
        match decoder.step(rest).map_err(|_| ())? {
            ChunkStep::End { consumed } => {
                used += consumed;
                break true;
            }
            ChunkStep::NeedMore { consumed } => {
                used += consumed;
                break false;
            }
            ChunkStep::Data { skip, len } => {
                content.extend_from_slice(rest.get(skip..skip + len).unwrap_or_default());
                used += skip + len;
            }
        }
    };
    bytes.drain(..used.min(bytes.len()));
    Ok(ended)
}
