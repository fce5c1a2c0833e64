//! TLS within QUIC (RFC 9001): rustls, with the ClientHello kept as it came and the configuration chosen by its server name.
//!
//! quinn wants a configuration before the first byte of a handshake is there; which zone is meant stands in the ClientHello,
//! which may span several datagrams. So a session begins without rustls: it gathers the ClientHello, lets the caller choose,
//! as on TCP ([`tls::accept`](crate::tls::accept)), and hands rustls what it gathered.

use std::any::Any;
use std::io::Cursor;
use std::sync::Arc;

use quinn_proto::crypto::rustls::QuicServerConfig;
use quinn_proto::crypto::{
    self, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side, TransportError, TransportErrorCode};
use rustls::quic::{KeyChange, Secrets, ServerConnection, Version};
use rustls::server::Acceptor;
use rustls::{ServerConfig, SupportedCipherSuite};

/// The longest ClientHello, in bytes.
const LONGEST: usize = 16 * 1024;

/// TLS alerts (RFC 8446 §6.2).
const DECODE_ERROR: u8 = 50;
const INTERNAL_ERROR: u8 = 80;
const UNRECOGNIZED_NAME: u8 = 112;

/// Finds the configuration for a server name (lower case, empty without SNI), if there is one.
pub type Choose = Arc<dyn Fn(&str) -> Option<Arc<ServerConfig>> + Send + Sync>;

/// What a handshake told, once it is done.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The server name, in lower case; empty without SNI.
    pub server_name: Box<str>,
    /// The ClientHello message as it came.
    pub client_hello: Box<[u8]>,
    /// The session was resumed.
    pub resumed: bool,
    /// The client presented a certificate that was verified.
    pub client_verified: bool,
}

/// Begins sessions.
pub(super) struct Sessions {
    choose: Choose,
    /// For the keys of Initials and the tags of Retries, which depend on no zone.
    plain: QuicServerConfig,
    suite: rustls::quic::Suite,
}

impl Sessions {
    /// None when the cryptography at hand lacks the suite of Initials, which it does not.
    pub(super) fn new(choose: Choose) -> Option<Self> {
        let provider = crate::tls::config::provider();
        let suite = provider
            .cipher_suites
            .iter()
            .find_map(|suite| match suite {
                SupportedCipherSuite::Tls13(suite)
                    if suite.common.suite == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256 =>
                {
                    suite.quic_suite()
                }
                _ => None,
            })?;
        let nobody = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .ok()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
        let plain = QuicServerConfig::with_initial(Arc::new(nobody), suite).ok()?;
        Some(Self {
            choose,
            plain,
            suite,
        })
    }
}

impl crypto::ServerConfig for Sessions {
    fn initial_keys(&self, version: u32, id: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.plain.initial_keys(version, id)
    }

    fn retry_tag(&self, version: u32, id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.plain.retry_tag(version, id, packet)
    }

    fn start_session(
        self: Arc<Self>,
        _: u32,
        params: &TransportParameters,
    ) -> Box<dyn crypto::Session> {
        let mut ours = Vec::new();
        params.write(&mut ours);
        Box::new(Session {
            choose: self.choose.clone(),
            suite: self.suite,
            params: ours,
            acceptor: Acceptor::default(),
            server_name: Box::default(),
            client_hello: Vec::new(),
            tls: None,
            next: None,
            is_told: false,
        })
    }
}

/// One handshake, and the keys that follow from it.
struct Session {
    choose: Choose,
    suite: rustls::quic::Suite,
    /// Our transport parameters, encoded.
    params: Vec<u8>,
    acceptor: Acceptor,
    server_name: Box<str>,
    client_hello: Vec<u8>,
    /// None until the ClientHello is whole.
    tls: Option<ServerConnection>,
    next: Option<Secrets>,
    /// The caller was told that there is something to know.
    is_told: bool,
}

fn alert(code: u8, reason: impl Into<String>) -> TransportError {
    TransportError {
        code: TransportErrorCode::crypto(code),
        frame: None,
        reason: reason.into(),
    }
}

impl Session {
    /// Takes more of the ClientHello; whether it is whole now.
    fn gather(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        if self.client_hello.len() + bytes.len() > LONGEST {
            return Err(alert(DECODE_ERROR, "a ClientHello without end"));
        }
        self.client_hello.extend_from_slice(bytes);
        // rustls reads a ClientHello out of records only, so each piece becomes one.
        let mut record = vec![22, 3, 1];
        record.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
        record.extend_from_slice(bytes);
        let mut from = record.as_slice();
        while !from.is_empty() {
            if self.acceptor.read_tls(&mut from).is_err() {
                return Err(alert(DECODE_ERROR, "no ClientHello"));
            }
        }
        let accepted = match self.acceptor.accept() {
            Ok(Some(accepted)) => accepted,
            Ok(None) => return Ok(false),
            Err((error, _)) => return Err(alert(DECODE_ERROR, error.to_string())),
        };
        let hello = accepted.client_hello();
        let name = hello.server_name().unwrap_or_default();
        self.server_name = name.to_ascii_lowercase().into();
        Ok(true)
    }

    fn begin(&mut self) -> Result<(), TransportError> {
        let config = (self.choose)(&self.server_name)
            .ok_or_else(|| alert(UNRECOGNIZED_NAME, "no certificate for this server name"))?;
        let params = std::mem::take(&mut self.params);
        let tls = ServerConnection::new(config, Version::V1, params)
            .map_err(|error| alert(INTERNAL_ERROR, error.to_string()))?;
        self.tls = Some(tls);
        Ok(())
    }

    fn read(tls: &mut ServerConnection, bytes: &[u8]) -> Result<(), TransportError> {
        tls.read_hs(bytes).map_err(|error| {
            let code = tls.alert().map_or(INTERNAL_ERROR, u8::from);
            alert(code, error.to_string())
        })
    }
}

impl crypto::Session for Session {
    fn initial_keys(&self, id: &ConnectionId, side: Side) -> Keys {
        let side = match side {
            Side::Client => rustls::Side::Client,
            Side::Server => rustls::Side::Server,
        };
        keys(self.suite.keys(id, side, Version::V1))
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        let tls = self.tls.as_ref()?;
        Some(Box::new(Told {
            server_name: self.server_name.clone(),
            client_hello: self.client_hello.clone().into(),
            resumed: tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            client_verified: tls.peer_certificates().is_some(),
        }))
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        let keys = self.tls.as_ref()?.zero_rtt_keys()?;
        Some((Box::new(keys.header), Box::new(keys.packet)))
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.is_handshaking())
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        match &mut self.tls {
            Some(tls) => Self::read(tls, bytes)?,
            None => {
                if !self.gather(bytes)? {
                    return Ok(false);
                }
                self.begin()?;
                if let Some(tls) = &mut self.tls {
                    Self::read(tls, &self.client_hello)?;
                }
            }
        }
        Ok(!std::mem::replace(&mut self.is_told, true))
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let theirs = self
            .tls
            .as_ref()
            .and_then(|tls| tls.quic_transport_parameters());
        theirs
            .map(|theirs| TransportParameters::read(Side::Server, &mut Cursor::new(theirs)))
            .transpose()
            .map_err(TransportError::from)
    }

    fn write_handshake(&mut self, into: &mut Vec<u8>) -> Option<Keys> {
        Some(keys(match self.tls.as_mut()?.write_hs(into)? {
            KeyChange::Handshake { keys } => keys,
            KeyChange::OneRtt { keys, next } => {
                self.next = Some(next);
                keys
            }
        }))
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.next.as_mut()?.next_packet_keys();
        Some(KeyPair {
            local: Box::new(keys.local),
            remote: Box::new(keys.remote),
        })
    }

    /// Only clients get Retries.
    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false
    }

    /// Nobody asks.
    fn export_keying_material(
        &self,
        _: &mut [u8],
        _: &[u8],
        _: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        Err(ExportKeyingMaterialError)
    }
}

fn keys(keys: rustls::quic::Keys) -> Keys {
    Keys {
        header: KeyPair {
            local: Box::new(keys.local.header),
            remote: Box::new(keys.remote.header),
        },
        packet: KeyPair {
            local: Box::new(keys.local.packet),
            remote: Box::new(keys.remote.packet),
        },
    }
}
