//! HTTP/3: a bare relay of quinn and h3, to compare with, and the load generator for both. Each is a process of its own
//! (`cargo xtask bench quinn ADDRESS CERT KEY ORIGIN`, `… h3load …`), so that its CPU time can be counted.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::{Buf as _, Bytes, BytesMut};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::clients;
use super::contenders::{HOST, Running, Yard};
use super::load::Load;
use super::process::run_tool;
use super::rows::File;

/// What is read of an answer at once, in bytes.
const PIECE: usize = 64 << 10;

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

/// The bare relay of HTTP/3: fetches each answer from the origin over a kept connection, edits nothing, logs nothing, looks at
/// nothing but the length. Serves until killed.
pub fn serve(arguments: &[String]) -> Result<ExitCode> {
    let [address, certificate, key, origin] = arguments else {
        bail!("usage: cargo xtask bench quinn ADDRESS CERT KEY ORIGIN");
    };
    let origin = Arc::new(Origin {
        address: origin.parse().context("ORIGIN is an address")?,
        kept: Mutex::default(),
    });
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let mut config =
        quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(Arc::new(tls))?));
    let mut transport = quinn::TransportConfig::default();
    transport.max_concurrent_bidi_streams(128_u32.into());
    config.transport_config(Arc::new(transport));
    let address: SocketAddr = address.parse().context("ADDRESS is an address")?;
    runtime()?.block_on(async {
        let endpoint = quinn::Endpoint::server(config, address)?;
        while let Some(incoming) = endpoint.accept().await {
            let origin = origin.clone();
            tokio::spawn(async move {
                // A client that breaks off is no matter of ours.
                let _ = serve_connection(incoming, origin).await;
            });
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The origin, and connections to it that nobody uses.
struct Origin {
    address: SocketAddr,
    kept: Mutex<Vec<TcpStream>>,
}

impl Origin {
    async fn take(&self) -> Result<TcpStream> {
        let kept = self.kept.lock().expect("nobody panics").pop();
        Ok(match kept {
            Some(kept) => kept,
            None => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the bench's own origin, not the edge's way out"
                )]
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        })
    }
}

async fn serve_connection(incoming: quinn::Incoming, origin: Arc<Origin>) -> Result<()> {
    let connection = h3_quinn::Connection::new(incoming.await?);
    let mut connection = h3::server::Connection::new(connection).await?;
    while let Some(resolver) = connection.accept().await? {
        let origin = origin.clone();
        tokio::spawn(async move {
            let (request, mut client) = resolver.resolve_request().await?;
            let mut upstream = origin.take().await?;
            let path = request.uri().path();
            let head = format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
            upstream.write_all(head.as_bytes()).await?;
            let mut read = BytesMut::with_capacity(PIECE);
            let end = loop {
                upstream.read_buf(&mut read).await?;
                if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                    break at + 4;
                }
            };
            let text = String::from_utf8_lossy(&read.split_to(end)).to_ascii_lowercase();
            let (_, rest) = text.split_once("content-length: ").context("no length")?;
            let length = rest.lines().next().unwrap_or_default();
            let head = http::Response::builder()
                .header("content-type", "application/octet-stream")
                .header("content-length", length)
                .body(())?;
            client.send_response(head).await?;
            let mut left: usize = length.parse()?;
            loop {
                left -= read.len();
                client.send_data(read.split().freeze()).await?;
                if left == 0 {
                    break;
                }
                read.reserve(PIECE);
                upstream.read_buf(&mut read).await?;
            }
            client.finish().await?;
            origin.kept.lock().expect("nobody panics").push(upstream);
            Ok::<_, anyhow::Error>(())
        });
    }
    Ok(())
}

/// Asks so many times and says how long that took.
pub fn load(arguments: &[String]) -> Result<ExitCode> {
    let [port, path, bytes, requests, connections, streams] = arguments else {
        bail!("usage: cargo xtask bench h3load PORT PATH BYTES REQUESTS CONNECTIONS STREAMS");
    };
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
    let bytes: usize = bytes.parse()?;
    let requests: u64 = requests.parse()?;
    let (connections, streams): (u64, u64) = (connections.parse()?, streams.parse()?);
    let tls = clients::http3_configuration();
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let uri: http::Uri = format!("https://{HOST}{path}").parse()?;
    runtime()?.block_on(async {
        let mut endpoint = quinn::Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        endpoint.set_default_client_config(config);
        let mut opened = Vec::new();
        for _ in 0..connections {
            opened.push(connect(&endpoint, server).await?);
        }
        let begun = Instant::now();
        let mut tasks = Vec::new();
        let lanes = connections * streams;
        for (nth, (_, sender)) in (0..lanes).zip(opened.iter().cycle()) {
            let mine = requests / lanes + u64::from(nth < requests % lanes);
            let (sender, uri) = (sender.clone(), uri.clone());
            tasks.push(tokio::spawn(lane(sender, uri, bytes, mine)));
        }
        for task in tasks {
            task.await??;
        }
        let seconds = begun.elapsed().as_secs_f64();
        println!("{requests} requests in {seconds:.6} s");
        Ok(ExitCode::SUCCESS)
    })
}

type Sender = h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>;

/// The server may not serve yet.
async fn connect(
    endpoint: &quinn::Endpoint,
    server: SocketAddr,
) -> Result<(tokio::task::JoinHandle<()>, Sender)> {
    let patience = Duration::from_secs(10);
    let connection = tokio::time::timeout(patience, endpoint.connect(server, HOST)?).await??;
    let (mut driver, sender) = h3::client::new(h3_quinn::Connection::new(connection)).await?;
    let driver = tokio::spawn(async move {
        std::future::poll_fn(|cx| driver.poll_close(cx)).await;
    });
    Ok((driver, sender))
}

async fn lane(mut sender: Sender, uri: http::Uri, bytes: usize, requests: u64) -> Result<()> {
    for _ in 0..requests {
        let request = http::Request::get(uri.clone()).body(())?;
        let mut stream = sender.send_request(request).await?;
        stream.finish().await?;
        let head = stream.recv_response().await?;
        let mut received = 0;
        while let Some(piece) = stream.recv_data().await? {
            received += piece.remaining();
        }
        if head.status() != 200 || received != bytes {
            bail!("{} with {received} bytes", head.status());
        }
    }
    Ok(())
}

/// A fixed number of requests over HTTP/3.
pub fn h3load(
    yard: &Yard,
    running: &Running,
    file: File,
    requests: u64,
    connections: u32,
    streams: u32,
) -> Result<Load> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["bench", "h3load", &running.https.to_string()])
        .args([file.path(), &file.bytes().to_string()])
        .args([&requests.to_string(), &connections.to_string()])
        .arg(streams.to_string());
    let patience = Duration::from_secs(120);
    let printed = run_tool("h3load", command, yard.cpus.load, patience, yard.scratch())?;
    parse(&printed).with_context(|| format!("h3load against {}:\n{printed}", running.who))
}

fn parse(printed: &str) -> Result<Load> {
    let line = printed.lines().last().context("nothing was printed")?;
    let (requests, rest) = line.split_once(" requests in ").context("no count")?;
    let seconds: f64 = rest.strip_suffix(" s").context("no time")?.parse()?;
    let completed: u64 = requests.parse()?;
    Ok(Load {
        completed,
        rate: completed as f64 / seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_generator_prints_is_read() {
        let load = parse("5000 requests in 0.500000 s\n").expect("parses");
        assert_eq!(load.completed, 5_000);
        assert!((load.rate - 10_000.0).abs() < 1e-6);
        assert!(parse("").is_err());
    }
}
