//! Where an edge reads what was published. Nothing that comes from there is believed before it was checked.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use seawall_bundle::{Hash, Limits};
use seawall_net::alarm::Alarm;
use seawall_net::outward::{self, Outward};
use tokio_rustls::TlsConnector;

use super::folder::{Folder, MANIFEST};
use super::serve::{LOCATION, LONGEST_WAIT};

/// How long an answer may take, connecting included.
const PATIENCE: Duration = Duration::from_secs(20);
/// Connections that are kept open.
const KEPT: usize = 8;

/// A place that things are published in.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder on this machine.
    Folder(Folder),
    /// Control, or another location that hands on what it has read.
    Remote(Remote),
}

impl Source {
    /// The manifest or the list of keys; none where it is not.
    ///
    /// # Errors
    /// What kept us from reading it: another source may have it.
    pub async fn signed(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Folder(folder) => folder.signed(name),
            Self::Remote(remote) => {
                let most = Limits::default().manifest_bytes + 1;
                remote.get(&format!("/v1/{name}"), most, PATIENCE).await
            }
        }
    }

    /// An object, as it was packed; none where it is not.
    ///
    /// # Errors
    /// As [`Source::signed`].
    pub async fn object(&self, name: &Hash) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Folder(folder) => folder.object(name),
            Self::Remote(remote) => {
                let most = Limits::default().object_bytes;
                remote
                    .get(&format!("/v1/objects/{name}"), most, PATIENCE)
                    .await
            }
        }
    }

    /// Waits until the manifest is another one than what was read as this, as far as the source can tell.
    pub async fn changes(&self, read: Hash) {
        let Self::Remote(remote) = self else {
            return std::future::pending().await;
        };
        let wait = LONGEST_WAIT - Duration::from_secs(5);
        let path = format!("/v1/{MANIFEST}?after={read}&wait={}", wait.as_millis());
        let most = Limits::default().manifest_bytes + 1;
        loop {
            match remote.get(&path, most, wait + PATIENCE).await {
                Ok(Some(manifest)) if Hash::of(&manifest) != read => return,
                Ok(Some(_)) => {}
                // The next look will tell what is wrong.
                Ok(None) | Err(_) => tokio::time::sleep(PATIENCE).await,
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.path().display()),
            Self::Remote(remote) => f.write_str(&remote.url),
        }
    }
}

/// Somebody else's machine, over TLS with certificates on both sides.
#[derive(Clone)]
pub struct Remote {
    url: Rc<str>,
    host: Rc<str>,
    port: u16,
    /// Its name in its certificate.
    name: &'static str,
    location: Rc<str>,
    tls: Arc<ClientConfig>,
    outward: Arc<Outward>,
    idle: Rc<RefCell<Vec<SendRequest<Full<Bytes>>>>>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl Remote {
    /// The remote of this URL, `https://HOST:PORT`, whose certificate is to be for `name`; `location` is who we are.
    ///
    /// # Errors
    /// When it is no such URL.
    pub fn new(
        url: &str,
        name: &'static str,
        location: &str,
        tls: Arc<ClientConfig>,
    ) -> io::Result<Self> {
        let bad = || {
            let why = format!("{url:?} is not https://HOST:PORT");
            io::Error::new(io::ErrorKind::InvalidInput, why)
        };
        let rest = url.strip_prefix("https://").ok_or_else(bad)?;
        let (host, port) = rest
            .trim_end_matches('/')
            .rsplit_once(':')
            .ok_or_else(bad)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains('/') {
            return Err(bad());
        }
        Ok(Self {
            url: url.into(),
            host: host.into(),
            port: port.parse().map_err(|_| bad())?,
            name,
            location: location.into(),
            tls,
            // Control is where its owner says that it is.
            outward: Arc::new(Outward::new(true, true, true)),
            idle: Rc::default(),
        })
    }

    async fn get(
        &self,
        path: &str,
        most: usize,
        patience: Duration,
    ) -> io::Result<Option<Vec<u8>>> {
        match self.ask("GET", path, Vec::new(), most, patience).await? {
            (200, body) => Ok(Some(body)),
            (404, _) => Ok(None),
            (status, body) => Err(refused(status, &body)),
        }
    }

    /// Posts something; what came back.
    ///
    /// # Errors
    /// As the network says, and when it was refused: then with what it said.
    pub async fn post(&self, path: &str, body: Vec<u8>) -> io::Result<Vec<u8>> {
        let most = Limits::default().manifest_bytes;
        match self.ask("POST", path, body, most, PATIENCE).await? {
            (200, body) => Ok(body),
            (status, body) => Err(refused(status, &body)),
        }
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
        most: usize,
        patience: Duration,
    ) -> io::Result<(u16, Vec<u8>)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.name)
            .header(LOCATION, &*self.location)
            .body(Full::new(Bytes::from(body)))
            .map_err(io::Error::other)?;
        let asked = async {
            // A connection that was kept may be closed by now: then another one is made.
            let kept = self.idle.borrow_mut().pop();
            let mut sender = match kept {
                Some(mut sender) => match sender.ready().await {
                    Ok(()) => sender,
                    Err(_) => self.connect().await?,
                },
                None => self.connect().await?,
            };
            let sent = match sender.send_request(request.clone()).await {
                Ok(response) => Ok(response),
                Err(error)
                    if error.is_closed()
                        || error.is_canceled()
                        || error.is_incomplete_message() =>
                {
                    sender = self.connect().await?;
                    sender.send_request(request).await
                }
                Err(error) => Err(error),
            };
            let response = sent.map_err(io::Error::other)?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), most).collect().await;
            let body = body.map_err(io::Error::other)?.to_bytes().to_vec();
            let mut idle = self.idle.borrow_mut();
            if idle.len() < KEPT {
                idle.push(sender);
            }
            Ok((status, body))
        };
        match tokio::time::timeout(patience, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn connect(&self) -> io::Result<SendRequest<Full<Bytes>>> {
        let addresses = outward::resolve(&self.host, self.port).await?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
        let mut alarm = Alarm::new(PATIENCE);
        for address in addresses.into_iter().take(4) {
            let stream = match self.outward.connect(address, &mut alarm).await {
                Ok(stream) => stream,
                Err(fault) => {
                    last = io::Error::other(fault.to_string());
                    continue;
                }
            };
            let name = ServerName::try_from(self.name).map_err(io::Error::other)?;
            let stream = TlsConnector::from(self.tls.clone())
                .connect(name, stream)
                .await?;
            let shaken = handshake(TokioIo::new(stream)).await;
            let (sender, connection) = shaken.map_err(io::Error::other)?;
            tokio::task::spawn_local(async move {
                // Whoever asked hears of it.
                let _ = connection.await;
            });
            return Ok(sender);
        }
        Err(last)
    }
}

fn refused(status: u16, body: &[u8]) -> io::Error {
    let why = String::from_utf8_lossy(body.get(..body.len().min(1_000)).unwrap_or_default());
    io::Error::other(format!("{status}: {why}"))
}
