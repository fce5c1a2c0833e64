//! Our own TLS clients, for what no load generator does: counting full handshakes, and holding idle connections.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, ProtocolVersion,
    SignatureScheme,
};
use socket2::{Domain, Socket, Type};

use super::contenders::HOST;
use super::rows::{File, Protocol};

const PATIENCE: Duration = Duration::from_secs(10);
/// Handshakes at once.
const HANDSHAKERS: u8 = 8;

type Secure = rustls::StreamOwned<ClientConnection, TcpStream>;

/// Full handshakes, one request on each, for the given time; returns how many were completed.
pub fn handshakes(server: SocketAddr, time: Duration) -> Result<u64> {
    let config = configuration(Protocol::Http1);
    let deadline = Instant::now() + time;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..HANDSHAKERS)
            .map(|index| {
                // An address for each thread: the server closes first, so its ports for one client address would run out.
                let from = Ipv4Addr::new(127, 0, 0, 10 + index);
                let config = &config;
                scope.spawn(move || handshake_until(server, from, config, deadline))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a client thread does not panic"))
            .sum()
    })
}

fn handshake_until(
    server: SocketAddr,
    from: Ipv4Addr,
    config: &Arc<ClientConfig>,
    deadline: Instant,
) -> Result<u64> {
    let mut completed = 0;
    while Instant::now() < deadline {
        let mut stream = connect(server, from, config)?;
        write!(
            stream,
            "GET {} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n",
            File::OneKib.path()
        )?;
        let mut answer = Vec::with_capacity(2048);
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            // Some servers close without close_notify.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error).context("read the response"),
        }
        if !answer.starts_with(b"HTTP/1.1 200") {
            bail!("not a 200: {:?}", String::from_utf8_lossy(&answer));
        }
        match (stream.conn.handshake_kind(), stream.conn.protocol_version()) {
            (Some(HandshakeKind::Full), Some(ProtocolVersion::TLSv1_3)) => completed += 1,
            other => bail!("not a full TLS 1.3 handshake: {other:?}"),
        }
    }
    Ok(completed)
}

/// Connections that stay open, each after one request.
pub struct Held {
    server: SocketAddr,
    protocol: Protocol,
    config: Arc<ClientConfig>,
    streams: Vec<Secure>,
}

impl Held {
    pub fn new(server: SocketAddr, protocol: Protocol) -> Self {
        Self {
            server,
            protocol,
            config: configuration(protocol),
            streams: Vec::new(),
        }
    }

    /// Opens more, one after the other.
    pub fn open(&mut self, count: usize) -> Result<()> {
        for index in 0..count {
            let opened =
                connect(self.server, Ipv4Addr::LOCALHOST, &self.config).and_then(|mut stream| {
                    match self.protocol {
                        Protocol::Http1 => get_http1(&mut stream)?,
                        Protocol::Http2 => get_http2(&mut stream)?,
                    }
                    Ok(stream)
                });
            self.streams
                .push(opened.with_context(|| format!("connection {index} of {count}"))?);
        }
        Ok(())
    }

    /// How many the server still keeps open.
    pub fn alive(&mut self) -> usize {
        self.streams
            .iter_mut()
            .filter_map(|stream| is_open(stream).then_some(()))
            .count()
    }
}

/// Bytes may have come meanwhile (tickets, a PING); an end, of TLS or of TCP, may not.
fn is_open(stream: &mut Secure) -> bool {
    if stream.sock.set_nonblocking(true).is_err() {
        return false;
    }
    loop {
        match stream.conn.read_tls(&mut stream.sock) {
            Ok(0) => return false,
            Ok(_)
                if stream
                    .conn
                    .process_new_packets()
                    .is_ok_and(|state| !state.peer_has_closed()) => {}
            Ok(_) => return false,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

fn connect(server: SocketAddr, from: Ipv4Addr, config: &Arc<ClientConfig>) -> Result<Secure> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    choose_port_late(&socket)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect_timeout(&server.into(), PATIENCE)?;
    let socket = TcpStream::from(socket);
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from(HOST)?;
    let mut stream = Secure::new(ClientConnection::new(Arc::clone(config), name)?, socket);
    while stream.conn.is_handshaking() {
        stream
            .conn
            .complete_io(&mut stream.sock)
            .context("TLS handshake")?;
    }
    Ok(stream)
}

/// The port is chosen when the destination is known, so that it need only differ per destination.
fn choose_port_late(socket: &Socket) -> std::io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the option takes an int, which lives through the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

fn get_http1(stream: &mut Secure) -> Result<()> {
    write!(
        stream,
        "GET {} HTTP/1.1\r\nHost: {HOST}\r\n\r\n",
        File::OneKib.path()
    )?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let read = stream.read(&mut piece)?;
        answer.extend_from_slice(&piece[..read]);
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
        match head {
            Some(end) if answer.len() == end + 4 + File::OneKib.bytes() => break,
            _ if read == 0 => bail!("closed after {} bytes", answer.len()),
            _ => {}
        }
    }
    if !answer.starts_with(b"HTTP/1.1 200") {
        bail!("not a 200: {:?}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

/// The smallest HTTP/2 client: preface, empty SETTINGS, one GET on stream 1 (RFC 9113 sections 3.4 and 4.1).
fn get_http2(stream: &mut Secure) -> Result<()> {
    if stream.conn.alpn_protocol() != Some(b"h2") {
        bail!("the server did not choose h2");
    }
    stream.write_all(&http2_opening())?;
    let mut body = 0;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let frame = FrameHead::parse(head);
        let mut payload = vec![0; frame.length];
        stream.read_exact(&mut payload)?;
        match frame.kind {
            FrameHead::SETTINGS if frame.flags & FrameHead::ACK == 0 => {
                stream.write_all(&[0, 0, 0, FrameHead::SETTINGS, FrameHead::ACK, 0, 0, 0, 0])?;
            }
            FrameHead::DATA => body += frame.length,
            FrameHead::RST_STREAM | FrameHead::GOAWAY => bail!("the server gave up: {frame:?}"),
            _ => {}
        }
        let ends = matches!(frame.kind, FrameHead::DATA | FrameHead::HEADERS)
            && frame.flags & FrameHead::END_STREAM != 0;
        if ends && frame.stream == 1 {
            break;
        }
    }
    stream.flush()?;
    if body != File::OneKib.bytes() {
        bail!("a body of {body} bytes");
    }
    Ok(())
}

fn http2_opening() -> Vec<u8> {
    let mut block = vec![0x82, 0x87]; // indexed: `:method GET`, `:scheme https` (RFC 7541, appendix A)
    for (name, value) in [(0x04, File::OneKib.path()), (0x01, HOST)] {
        // Literal without indexing: `:path`, `:authority`.
        block.extend([name, u8::try_from(value.len()).expect("a short value")]);
        block.extend(value.as_bytes());
    }
    let mut opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    opening.extend([0, 0, 0, FrameHead::SETTINGS, 0, 0, 0, 0, 0]);
    let length = u8::try_from(block.len()).expect("a short head");
    opening.extend([
        0,
        0,
        length,
        FrameHead::HEADERS,
        FrameHead::END_STREAM | FrameHead::END_HEADERS,
        0,
        0,
        0,
        1,
    ]);
    opening.extend(block);
    opening
}

#[derive(Debug, PartialEq, Eq)]
struct FrameHead {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl FrameHead {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const END_STREAM: u8 = 1;
    const ACK: u8 = 1;
    const END_HEADERS: u8 = 4;

    fn parse([a, b, c, kind, flags, d, e, f, g]: [u8; 9]) -> Self {
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Self {
            length,
            kind,
            flags,
            stream: u32::from_be_bytes([d, e, f, g]) & 0x7fff_ffff,
        }
    }
}

/// For HTTP/3, with the same suites and the same trust.
pub fn http3_configuration() -> Arc<ClientConfig> {
    with_alpn(b"h3")
}

fn configuration(protocol: Protocol) -> Arc<ClientConfig> {
    with_alpn(match protocol {
        Protocol::Http1 => b"http/1.1",
        Protocol::Http2 => b"h2",
    })
}

fn with_alpn(protocol: &[u8]) -> Arc<ClientConfig> {
    let mut provider = aws_lc_rs::default_provider();
    // What h2load and browsers without post-quantum offer first; every contender has it.
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let provider = Arc::new(provider);
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

/// The servers are our own children with a certificate of our own making: checking it would only load the generator.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_heads() {
        let head = FrameHead::parse([0, 4, 0, 0, 1, 0x80, 0, 0, 1]);
        assert_eq!(
            head,
            FrameHead {
                length: 1024,
                kind: FrameHead::DATA,
                flags: 1,
                stream: 1
            }
        );
    }

    #[test]
    fn the_opening_frames_have_the_lengths_they_say() {
        let opening = http2_opening();
        let rest = opening
            .strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .expect("the preface");
        let settings = FrameHead::parse(rest[..9].try_into().expect("nine bytes"));
        assert_eq!((settings.kind, settings.length), (FrameHead::SETTINGS, 0));
        let headers = FrameHead::parse(rest[9..18].try_into().expect("nine bytes"));
        assert_eq!(
            (headers.kind, headers.flags, headers.stream),
            (FrameHead::HEADERS, 5, 1)
        );
        assert_eq!(headers.length, rest.len() - 18);
    }
}
