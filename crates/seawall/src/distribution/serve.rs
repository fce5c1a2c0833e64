//! Hands out what was published, to locations that show their certificates: control does it, and so does any location for others
//! near it.
//!
//! ```text
//! GET  /v1/manifest[?after=HASH&wait=MS]   at once, or when it is another one than HASH, or after so long
//! GET  /v1/keys                            the list of keys
//! GET  /v1/objects/HASH                    an object as it was packed
//! POST /v1/report · /v1/join · /v1/renew   to control alone
//! ```
//!
//! On a thread of its own, so that nothing that control does keeps edges waiting. What is read is signed, or named by its content:
//! whoever hands it on need not be believed. Everything has a bound.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use seawall_bundle::{Hash, Limits};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;

use super::folder::{Folder, KEYS, MANIFEST};
use super::identity;
use crate::say::complain;

/// The field that says which location asks.
pub const LOCATION: HeaderName = HeaderName::from_static("seawall-location");
/// Connections at once: a thousand locations, with a few each.
const CONNECTIONS: usize = 4_096;
/// Of them, such as have not shown a certificate yet.
const STRANGERS: usize = 1_024;
/// And from one address.
const STRANGERS_OF_ONE: usize = 64;
/// How long a handshake may take, and a request's head.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long whoever waits for another manifest is kept waiting, at the longest.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Reports that are read at once; others wait in their connections.
const REPORTS: usize = 64;
/// Bytes of what is posted to join.
const JOIN_BYTES: usize = 16 << 10;

/// Reports that may be read now.
static READS: Semaphore = Semaphore::const_new(REPORTS);
/// Whose Reports are being read: one of each location at a time, so that one that is slow costs only itself.
static READING: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A location whose Report is being read.
struct Reading(String);

impl Reading {
    fn of(location: &str) -> Option<Self> {
        let mut reading = READING.lock().unwrap_or_else(PoisonError::into_inner);
        reading
            .insert(location.to_owned())
            .then(|| Self(location.to_owned()))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut reading = READING.lock().unwrap_or_else(PoisonError::into_inner);
        reading.remove(&self.0);
    }
}

/// What is asked of control by somebody who came over the network.
pub enum Asked {
    /// A location's Report, signed.
    Report {
        /// Who says that it is theirs.
        location: String,
        /// As it came.
        signed: Vec<u8>,
    },
    /// To be let in.
    Join {
        /// As it came.
        body: Vec<u8>,
    },
    /// Another certificate.
    Renew {
        /// Which location.
        location: String,
    },
}

/// What control says to it: a status, and what goes with it.
pub type Answer = (u16, Vec<u8>);

/// A question, and where the answer goes.
pub type Question = (Asked, oneshot::Sender<Answer>);

/// The key of each location that may read: an uncompressed point of P-256.
pub type Known = std::collections::BTreeMap<String, Vec<u8>>;

/// The SHA-256 of each key that is let in no more though its certificate is good.
pub type Barred = BTreeSet<Hash>;

/// Who may read.
#[derive(Clone)]
pub enum Readers {
    /// These, with these keys: control knows all of them.
    Known(watch::Receiver<Known>),
    /// Whoever has a certificate of the authority in its own name, but for these keys; none: nobody knows yet which.
    But(watch::Receiver<Option<Barred>>),
}

/// What is handed out, and to whom.
#[derive(Clone)]
pub struct Hands {
    /// From here.
    pub folder: Folder,
    /// Tells when the manifest there is another one.
    pub changed: watch::Receiver<u64>,
    /// To these.
    pub readers: Readers,
    /// Where control hears questions; none: this is not control.
    pub questions: Option<mpsc::Sender<Question>>,
}

/// Hands out, on a thread of its own, until the process ends. Where it listens.
///
/// # Errors
/// When nobody can listen there.
pub fn start(address: SocketAddr, tls: Arc<ServerConfig>, hands: Hands) -> io::Result<SocketAddr> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listens = listener.local_addr()?;
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let served = runtime.and_then(|runtime| {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, accept(listener, tls, hands))
        });
        if let Err(error) = served {
            complain(format_args!(
                "what is published is not handed out on {listens}: {error}"
            ));
        }
    };
    std::thread::Builder::new()
        .name("published".into())
        .spawn(run)?;
    Ok(listens)
}

async fn accept(listener: StdListener, tls: Arc<ServerConfig>, hands: Hands) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let acceptor = TlsAcceptor::from(tls);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let strangers = Strangers::default();
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Whoever finds no room is let go at once, so that nobody waits behind those who say nothing.
        let (Ok(permit), Some(stranger)) =
            (room.clone().try_acquire_owned(), strangers.one(from.ip()))
        else {
            continue;
        };
        let (acceptor, hands) = (acceptor.clone(), hands.clone());
        tokio::task::spawn_local(async move {
            serve(stream, acceptor, hands, stranger).await;
            drop(permit);
        });
    }
}

/// Connections that have not shown a certificate, by the address that they came from.
#[derive(Clone, Default)]
struct Strangers(Rc<RefCell<HashMap<IpAddr, usize>>>);

/// One of them.
struct Stranger {
    all: Strangers,
    from: IpAddr,
}

impl Strangers {
    fn one(&self, from: IpAddr) -> Option<Stranger> {
        let mut all = self.0.borrow_mut();
        if all.values().sum::<usize>() >= STRANGERS {
            return None;
        }
        let of_one = all.entry(from).or_default();
        if *of_one >= STRANGERS_OF_ONE {
            return None;
        }
        *of_one += 1;
        Some(Stranger {
            all: self.clone(),
            from,
        })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut all = self.all.0.borrow_mut();
        if let Some(of_one) = all.get_mut(&self.from) {
            *of_one -= 1;
            if *of_one == 0 {
                all.remove(&self.from);
            }
        }
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, hands: Hands, stranger: Stranger) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await else {
        return;
    };
    let shown = stream.get_ref().1.peer_certificates();
    let shown = shown
        .and_then(|chain| chain.first())
        .map(|first| first.clone().into_owned());
    let stranger = shown.is_none().then_some(stranger);
    let shown = Arc::new(shown);
    let service = service_fn(move |request| {
        let (hands, shown) = (hands.clone(), shown.clone());
        async move { Ok::<_, Infallible>(answer(request, &hands, shown.as_ref().as_ref()).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(32 << 10);
    // Whoever breaks off has only itself to thank.
    let _ = pin!(server.serve_connection(TokioIo::new(stream), service)).await;
    drop(stranger);
}

async fn answer(
    request: Request<Incoming>,
    hands: &Hands,
    shown: Option<&CertificateDer<'static>>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let (status, body) = match (request.method(), path.as_str()) {
        (&Method::POST, "/v1/join") => match &hands.questions {
            Some(questions) => match body(request, JOIN_BYTES).await {
                Ok(body) => ask(questions, Asked::Join { body }).await,
                Err(answer) => answer,
            },
            None => (404, b"this is not control".to_vec()),
        },
        _ => match who(&request, hands, shown) {
            Ok(location) => known(request, hands, location, &path).await,
            Err(answer) => answer,
        },
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = hyper::header::HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The location that asks, if its certificate says so and it has not left.
fn who(
    request: &Request<Incoming>,
    hands: &Hands,
    shown: Option<&CertificateDer<'static>>,
) -> Result<String, Answer> {
    let none = || {
        let why = b"no location's certificate, or not one of ours any more: join again";
        (403, why.to_vec())
    };
    let location = request.headers().get(LOCATION);
    let location = location.and_then(|name| name.to_str().ok());
    let (location, shown) = location.zip(shown).ok_or_else(none)?;
    let is_it = match &hands.readers {
        Readers::Known(known) => {
            let known = known.borrow();
            let key = known.get(location);
            key.is_some_and(|key| identity::is_of(shown, location, Some(key)))
        }
        Readers::But(barred) => {
            let barred = barred.borrow();
            let Some(barred) = barred.as_ref() else {
                return Err((503, b"nothing was believed here yet: ask again".to_vec()));
            };
            // Without a key that can be read nobody can be told from who has left.
            let key = identity::key_of(shown).map(Hash::of);
            identity::is_of(shown, location, None) && key.is_some_and(|key| !barred.contains(&key))
        }
    };
    is_it.then(|| location.to_owned()).ok_or_else(none)
}

/// What a location asks.
async fn known(request: Request<Incoming>, hands: &Hands, location: String, path: &str) -> Answer {
    let query = request.uri().query().unwrap_or_default().to_owned();
    match (request.method(), path) {
        (&Method::GET, "/v1/manifest") => manifest(hands, &query).await,
        (&Method::GET, "/v1/keys") => found(hands.folder.signed(KEYS)),
        (&Method::POST, "/v1/report" | "/v1/renew") => {
            let Some(questions) = &hands.questions else {
                return (404, b"this is not control".to_vec());
            };
            let asked = if path == "/v1/renew" {
                Asked::Renew { location }
            } else {
                let Some(_reading) = Reading::of(&location) else {
                    return (429, b"a Report of this location is being read".to_vec());
                };
                let _reads = READS.acquire().await;
                match body(request, Limits::default().report_bytes).await {
                    Ok(signed) => Asked::Report { location, signed },
                    Err(answer) => return answer,
                }
            };
            ask(questions, asked).await
        }
        (&Method::GET, path) => match path.strip_prefix("/v1/objects/").and_then(Hash::parse) {
            Some(name) => found(hands.folder.object(&name)),
            None => (404, b"there is nothing here".to_vec()),
        },
        _ => (404, b"there is nothing here".to_vec()),
    }
}

/// The manifest, once it is another one than whoever asks has.
async fn manifest(hands: &Hands, query: &str) -> Answer {
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let after = value("after").and_then(Hash::parse);
    let wait = value("wait")
        .and_then(|ms| ms.parse().ok())
        .map_or(Duration::ZERO, Duration::from_millis);
    let due = tokio::time::Instant::now() + wait.min(LONGEST_WAIT);
    let mut changed = hands.changed.clone();
    loop {
        changed.mark_unchanged();
        let read = found(hands.folder.signed(MANIFEST));
        let is_new = after.is_none_or(|after| Hash::of(&read.1) != after);
        if is_new || read.0 != 200 || tokio::time::Instant::now() >= due {
            return read;
        }
        if let Ok(Err(_)) = tokio::time::timeout_at(due, changed.changed()).await {
            return read;
        }
    }
}

fn found(read: io::Result<Option<Vec<u8>>>) -> Answer {
    match read {
        Ok(Some(bytes)) => (200, bytes),
        Ok(None) => (404, b"it is not here".to_vec()),
        Err(error) => (500, error.to_string().into_bytes()),
    }
}

async fn body(request: Request<Incoming>, most: usize) -> Result<Vec<u8>, Answer> {
    if request.body().size_hint().lower() > most as u64 {
        return Err((413, format!("at most {most} bytes").into_bytes()));
    }
    let whole = Limited::new(request.into_body(), most).collect();
    match tokio::time::timeout(PATIENCE, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(_)) => Err((413, format!("at most {most} bytes").into_bytes())),
        Err(_) => Err((408, b"too slow".to_vec())),
    }
}

async fn ask(questions: &mpsc::Sender<Question>, asked: Asked) -> Answer {
    let busy = || (503, b"control is busy: ask again".to_vec());
    let (to, answer) = oneshot::channel();
    if questions.try_send((asked, to)).is_err() {
        return busy();
    }
    match tokio::time::timeout(LONGEST_WAIT, answer).await {
        Ok(Ok(answer)) => answer,
        _ => busy(),
    }
}
