//! What a zone, or an origin, wants of TLS, made into rustls configurations.
//!
//! Bytes come in (PEM text); reading files is the caller's. Building one costs key parsing and signing tests: never on a
//! worker thread while it serves. What a handshake needs of a certificate is made ready in [`kept`](super::kept).

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, InconsistentKeys, RootCertStore, ServerConfig,
    SignatureScheme,
};

use super::der::{self, Facts, Validity};

/// Why a configuration cannot be made. The text is for whoever wrote the document.
#[derive(Debug, thiserror::Error)]
pub enum MaterialFault {
    /// The PEM text holds no certificate, or is broken.
    #[error("no certificate in it: {0}")]
    Certificate(String),
    /// The PEM text holds no private key, or is broken.
    #[error("no private key in it: {0}")]
    Key(String),
    /// A certificate of before X.509 version 3.
    #[error("it is an X.509 certificate of version {0}, which rustls refuses")]
    Version(u8),
    /// A certificate that rustls cannot use.
    #[error("rustls refuses the certificate: {0}")]
    Refused(String),
    /// A key that rustls cannot use.
    #[error("rustls refuses the private key: {0}")]
    RefusedKey(String),
    /// The key is another certificate's.
    #[error("the private key does not belong to the certificate")]
    Apart,
    /// Something else in rustls.
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
    /// Authorities that cannot be used.
    #[error("authorities: {0}")]
    Authorities(String),
    /// A self-signed certificate could not be made.
    #[error("self-signed certificate: {0}")]
    SelfSigned(String),
}

impl MaterialFault {
    /// What can be done about it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Certificate(_) => {
                "the file must be PEM: the certificate first, then those above it, each between BEGIN CERTIFICATE and END CERTIFICATE"
            }
            Self::Key(_) => {
                "the file must hold the private key as PEM, without a passphrase (openssl pkey -in OLD -out NEW takes one away)"
            }
            Self::Version(_) => {
                "make it anew with version 3, which needs an extension: openssl x509 -req … -extfile with subjectAltName = DNS:the.host, or openssl req -x509 -addext"
            }
            Self::Refused(_) => {
                "make it anew, of version 3, without critical extensions that are not in RFC 5280; `openssl x509 -text -noout -in FILE` shows what it has"
            }
            Self::RefusedKey(_) => {
                "make one of ECDSA (P-256, P-384), RSA of 2048 to 8192 bits, or Ed25519: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
            }
            Self::Apart => {
                "name the key that the certificate was made for; the certificate of the site comes first in its file"
            }
            Self::Authorities(_) => {
                "the file must hold the authorities' certificates, as PEM and of version 3"
            }
            Self::Rustls(_) | Self::SelfSigned(_) => "certificate and key must belong together",
        }
    }
}

/// A certificate chain and its key, parsed.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Identity {
    /// From two PEM texts.
    ///
    /// # Errors
    /// [`MaterialFault`] when there is no certificate or no key in them.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, MaterialFault> {
        Ok(Self {
            chain: certificates(chain)?,
            key: PrivateKeyDer::from_pem_slice(key)
                .map_err(|error| MaterialFault::Key(error.to_string()))?,
        })
    }

    /// When its first certificate is good; none where that cannot be read.
    pub fn validity(&self) -> Option<Validity> {
        der::facts(self.chain.first()?).map(|facts| facts.validity)
    }

    pub(super) fn into_parts(self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain, self.key)
    }

    /// Ready to sign handshakes.
    ///
    /// # Errors
    /// [`MaterialFault`] when rustls takes one of them not, or key and certificate do not fit.
    pub fn signer(self) -> Result<Arc<CertifiedKey>, MaterialFault> {
        let loaded = provider().key_provider.load_private_key(self.key);
        let key = loaded.map_err(|error| MaterialFault::RefusedKey(error.to_string()))?;
        let version = self.chain.first().and_then(|leaf| der::facts(leaf));
        let made = CertifiedKey::new(self.chain, key);
        match made.keys_match() {
            // Some keys do not tell their public half.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Arc::new(made))
            }
            Err(rustls::Error::InconsistentKeys(_)) => Err(MaterialFault::Apart),
            Err(error) => Err(refused(version, &error)),
        }
    }
}

/// What rustls has against a certificate.
fn refused(facts: Option<Facts>, error: &rustls::Error) -> MaterialFault {
    match facts {
        Some(Facts { version, .. }) if version != 3 => MaterialFault::Version(version),
        _ => MaterialFault::Refused(error.to_string()),
    }
}

/// A fresh self-signed certificate for these names (P-256 ECDSA): PEM of the certificate and of the key.
///
/// # Errors
/// [`MaterialFault::SelfSigned`] when a name cannot stand in a certificate.
pub fn self_signed(names: Vec<String>) -> Result<(String, String), MaterialFault> {
    let fault = |error: rcgen::Error| MaterialFault::SelfSigned(error.to_string());
    let made = rcgen::generate_simple_self_signed(names).map_err(fault)?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

/// What a zone wants of its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificate {
    /// None is asked for.
    #[default]
    Off,
    /// Asked for; a client without one is let through, and the Record says so.
    Optional,
    /// A client without a good one is refused.
    Required,
}

/// What a zone wants of TLS towards its clients.
pub struct ServerWants<'a> {
    /// The certificate, ready; none where each zone that shares this puts a resolver of its own in its place.
    pub certificate: Option<Arc<CertifiedKey>>,
    /// Refuse TLS 1.2.
    pub only_tls13: bool,
    /// Whether clients show certificates.
    pub client: ClientCertificate,
    /// PEM of the authorities that sign clients' certificates.
    pub client_authorities: &'a [u8],
}

/// The configuration for one zone.
///
/// # Errors
/// [`MaterialFault`]: the authorities are none.
pub fn server(wants: ServerWants<'_>) -> Result<Arc<ServerConfig>, MaterialFault> {
    let versions: &[&rustls::SupportedProtocolVersion] = if wants.only_tls13 {
        &[&rustls::version::TLS13]
    } else {
        rustls::ALL_VERSIONS
    };
    let builder =
        ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
    let builder = match wants.client {
        ClientCertificate::Off => builder.with_no_client_auth(),
        asked => {
            let roots = Arc::new(roots(wants.client_authorities)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier = if asked == ClientCertificate::Optional {
                verifier.allow_unauthenticated()
            } else {
                verifier
            };
            let verifier = verifier
                .build()
                .map_err(|error| MaterialFault::Authorities(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(Only(wants.certificate)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // Each zone puts tickets of its own in their place.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// Certificates by name that may change at any time.
pub trait Published: std::fmt::Debug + Send + Sync {
    /// The one for a name (lower case), if there is one, ready to sign in the share of `owner`. Asking may make one come.
    fn find(&self, name: &str, owner: u64) -> Option<Arc<CertifiedKey>>;
}

/// A resolver that has the name's own certificate, or what `otherwise` has.
pub fn by_name(
    published: Arc<dyn Published>,
    otherwise: Arc<dyn ResolvesServerCert>,
    owner: u64,
) -> Arc<dyn ResolvesServerCert> {
    Arc::new(ByName {
        published,
        otherwise,
        owner,
    })
}

#[derive(Debug)]
struct ByName {
    published: Arc<dyn Published>,
    otherwise: Arc<dyn ResolvesServerCert>,
    owner: u64,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
        let found = self.published.find(&name, self.owner);
        found.or_else(|| self.otherwise.resolve(hello))
    }
}

/// The same for all, or none.
#[derive(Debug)]
struct Only(Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

/// The configuration that answers TLS-ALPN-01 (RFC 8737 §3): this certificate, and `acme-tls/1` or nothing.
///
/// # Errors
/// [`MaterialFault`] when the key is none.
pub fn challenge(identity: Identity) -> Result<Arc<ServerConfig>, MaterialFault> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)?;
    // Not looked at: its extension is critical, so that nobody takes it for anything else (RFC 8737 §3).
    let key = provider().key_provider.load_private_key(identity.key)?;
    let only = Arc::new(CertifiedKey::new(identity.chain, key));
    let mut config = builder
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Only(Some(only))));
    config.alpn_protocols = vec![super::ACME_ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// What we want of TLS towards an origin.
#[derive(Default)]
pub struct OriginWants<'a> {
    /// PEM of the authorities to trust instead of the public ones; empty for the public ones.
    pub authorities: &'a [u8],
    /// Verify nothing. Only where the owner wrote so.
    pub unverified: bool,
    /// Our certificate, when the origin asks for one.
    pub identity: Option<Identity>,
    /// Offer HTTP/2.
    pub http2: bool,
    /// Offer HTTP/1.1.
    pub http1: bool,
}

/// The configuration for an origin.
///
/// # Errors
/// [`MaterialFault`]: no authority in the text, or our own certificate does not fit its key.
pub fn origin(wants: OriginWants<'_>) -> Result<Arc<ClientConfig>, MaterialFault> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)?;
    let builder = if wants.unverified {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider())))
    } else if wants.authorities.is_empty() {
        let roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        builder.with_root_certificates(roots)
    } else {
        builder.with_root_certificates(roots(wants.authorities)?)
    };
    let mut config = match wants.identity {
        Some(identity) => {
            // Says better than what follows what does not fit.
            identity.clone().signer()?;
            builder.with_client_auth_cert(identity.chain, identity.key)?
        }
        None => builder.with_no_client_auth(),
    };
    if wants.http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    if wants.http1 {
        config.alpn_protocols.push(b"http/1.1".to_vec());
    }
    Ok(Arc::new(config))
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    PROVIDER
        .get_or_init(|| Arc::new(aws_lc_rs::default_provider()))
        .clone()
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, MaterialFault> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(MaterialFault::Certificate(
            "the text has no CERTIFICATE section".into(),
        )),
        Err(error) => Err(MaterialFault::Certificate(error.to_string())),
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, MaterialFault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        let facts = der::facts(&certificate);
        let fault = |error| MaterialFault::Authorities(refused(facts, &error).to_string());
        roots.add(certificate).map_err(fault)?;
    }
    Ok(roots)
}

/// Accepts any certificate, but still checks that the peer holds its key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
