//! Carries the requests of `object_store` out: over HTTP/1.1, through `net::outward`, which is the only way to connect out.
//!
//! A task of its own does so on the thread that started it. Whoever asks may be anywhere, as `object_store` wants it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpService,
};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use seawall_bundle::Limits;
use seawall_net::alarm::Alarm;
use seawall_net::outward::{self, Outward};
use seawall_net::tls::config::{OriginWants, origin};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsConnector;

/// How long an answer may take, connecting included.
const PATIENCE: Duration = Duration::from_secs(20);
/// Connections that are kept open to one place.
const KEPT: usize = 8;
/// Requests that may wait.
const WAITING: usize = 64;

/// A request, and where its answer goes.
type Call = (
    HttpRequest,
    oneshot::Sender<Result<HttpResponse, HttpError>>,
);

/// What `object_store` is given.
#[derive(Clone, Debug)]
pub struct Connector {
    calls: mpsc::Sender<Call>,
}

impl Connector {
    /// Starts the task that carries requests out, on this thread. `authorities` are those that servers' certificates must go back
    /// to, as PEM; empty: the public ones.
    ///
    /// # Errors
    /// When there is no authority in the text.
    pub fn start(authorities: &[u8]) -> io::Result<Self> {
        let tls = origin(OriginWants {
            authorities,
            http1: true,
            ..OriginWants::default()
        });
        let client = Rc::new(Client {
            tls: tls.map_err(io::Error::other)?,
            // The bucket is where its owner says that it is.
            outward: Outward::new(true, true, true),
            idle: RefCell::default(),
        });
        let (calls, mut hears) = mpsc::channel::<Call>(WAITING);
        tokio::task::spawn_local(async move {
            while let Some((request, answer)) = hears.recv().await {
                let client = client.clone();
                tokio::task::spawn_local(async move {
                    let answered = tokio::time::timeout(PATIENCE, client.call(request)).await;
                    let late = || {
                        let why = io::Error::from(io::ErrorKind::TimedOut);
                        Err(HttpError::new(HttpErrorKind::Timeout, why))
                    };
                    // Who asked may have gone.
                    let _ = answer.send(answered.unwrap_or_else(|_| late()));
                });
            }
        });
        Ok(Self { calls })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let ended = || {
            let why = io::Error::other("nobody carries requests out any more");
            HttpError::new(HttpErrorKind::Unknown, why)
        };
        let (to, answer) = oneshot::channel();
        let said = self.calls.send((request, to)).await;
        said.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// Who connects.
struct Client {
    tls: Arc<ClientConfig>,
    outward: Outward,
    /// Connections that are open, by scheme, host and port.
    idle: RefCell<HashMap<String, Vec<SendRequest<HttpRequestBody>>>>,
}

impl Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let place = Place::of(request.uri()).map_err(unknown)?;
        let request = as_sent(request, &place).map_err(unknown)?;
        let kept = self
            .idle
            .borrow_mut()
            .get_mut(&place.key)
            .and_then(Vec::pop);
        let mut response = None;
        if let Some(mut sender) = kept
            && sender.ready().await.is_ok()
        {
            // It may have been closed by now: then another one is made.
            response = sender
                .send_request(request.clone())
                .await
                .ok()
                .map(|response| (response, sender));
        }
        let (response, sender) = match response {
            Some(answered) => answered,
            None => {
                let connected = self.connect(&place).await;
                let mut sender =
                    connected.map_err(|error| HttpError::new(HttpErrorKind::Connect, error))?;
                (sender.send_request(request).await.map_err(broken)?, sender)
            }
        };
        let (head, body) = response.into_parts();
        let most = Limits::default().object_bytes;
        let body = Limited::new(body, most).collect().await;
        let body: Bytes = body
            .map_err(|error| HttpError::new(HttpErrorKind::Decode, io::Error::other(error)))?
            .to_bytes();
        let mut idle = self.idle.borrow_mut();
        let idle = idle.entry(place.key).or_default();
        if idle.len() < KEPT {
            idle.push(sender);
        }
        Ok(HttpResponse::from_parts(head, body.into()))
    }

    async fn connect(&self, place: &Place) -> io::Result<SendRequest<HttpRequestBody>> {
        let addresses = outward::resolve(&place.host, place.port).await?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
        let mut alarm = Alarm::new(PATIENCE);
        for address in addresses.into_iter().take(4) {
            match self.outward.connect(address, &mut alarm).await {
                Ok(stream) => return self.shake(place, stream).await,
                Err(fault) => last = io::Error::other(fault.to_string()),
            }
        }
        Err(last)
    }

    async fn shake(
        &self,
        place: &Place,
        stream: TcpStream,
    ) -> io::Result<SendRequest<HttpRequestBody>> {
        let _ = stream.set_nodelay(true);
        if !place.is_tls {
            return talk(stream).await;
        }
        let name = ServerName::try_from(place.host.clone()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(self.tls.clone());
        talk(connector.connect(name, stream).await?).await
    }
}

async fn talk(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
) -> io::Result<SendRequest<HttpRequestBody>> {
    let shaken = handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(io::Error::other)?;
    tokio::task::spawn_local(async move {
        // Whoever asked hears of it.
        let _ = connection.await;
    });
    Ok(sender)
}

/// Where a request goes to.
struct Place {
    key: String,
    host: String,
    port: u16,
    is_tls: bool,
}

impl Place {
    fn of(uri: &Uri) -> io::Result<Self> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidInput, format!("{uri} leads nowhere"));
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let usual = if is_tls { 443 } else { 80 };
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        Ok(Self {
            key: format!("{is_tls} {authority}"),
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(usual),
            is_tls,
        })
    }
}

/// The request as HTTP/1.1 has it: the path alone, and the host in a field.
fn as_sent(request: HttpRequest, place: &Place) -> io::Result<Request<HttpRequestBody>> {
    let (mut head, body) = request.into_parts();
    if !head.headers.contains_key(HOST) {
        let (_, authority) = place.key.split_once(' ').unwrap_or_default();
        let host = HeaderValue::from_str(authority).map_err(io::Error::other)?;
        head.headers.insert(HOST, host);
    }
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = path.parse().map_err(io::Error::other)?;
    Ok(Request::from_parts(head, body))
}

fn unknown(error: io::Error) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, error)
}

fn broken(error: hyper::Error) -> HttpError {
    HttpError::new(HttpErrorKind::Interrupted, error)
}
