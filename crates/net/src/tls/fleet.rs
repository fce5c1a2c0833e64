//! TLS among the locations of one fleet: each shows a certificate of the fleet's authority, and looks at the other one's.
//!
//! TLS 1.3 alone, no session is kept: a location that was put out must not come back by a ticket. Not here: who belongs to the
//! fleet ([`Fleet`] says so), and where certificates come from.

use std::fmt;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme,
};

use super::config::{MaterialFault, provider};

/// Who a location of a fleet is; the SHA-256 of its key.
pub type Who = [u8; 32];

/// What is known of a fleet. It may change at any time.
pub trait Fleet: fmt::Debug + Send + Sync {
    /// Our own certificate, ready to sign; none while there is none.
    fn own(&self) -> Option<Arc<CertifiedKey>>;
    /// Whose certificate this is, which the authority has signed; none where it is no location's.
    fn who(&self, certificate: &CertificateDer<'_>) -> Option<Who>;
    /// Whether that one is let in: nobody, as long as it is not known who was put out.
    fn admits(&self, who: &Who) -> bool;
}

/// The side of the location that is asked: whoever has no certificate of the fleet gets no further than the handshake.
///
/// # Errors
/// [`MaterialFault::Authorities`] when the authority is none.
pub fn server(
    authority: CertificateDer<'static>,
    fleet: Arc<dyn Fleet>,
) -> Result<Arc<ServerConfig>, MaterialFault> {
    let roots = Arc::new(roots(authority)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let verifier = verifier.build();
    let by_authority = verifier.map_err(|error| MaterialFault::Authorities(error.to_string()))?;
    let members = Arc::new(Members {
        by_authority,
        fleet: fleet.clone(),
    });
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = builder.with_client_cert_verifier(members);
    let mut config = builder.with_cert_resolver(Arc::new(Own(fleet)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The side of the location that asks.
///
/// # Errors
/// [`MaterialFault::Authorities`] when the authority is none.
pub fn client(
    authority: CertificateDer<'static>,
    fleet: Arc<dyn Fleet>,
) -> Result<Arc<ClientConfig>, MaterialFault> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = builder.with_root_certificates(roots(authority)?);
    let mut config = builder.with_client_cert_resolver(Arc::new(Own(fleet)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn roots(authority: CertificateDer<'static>) -> Result<RootCertStore, MaterialFault> {
    let mut roots = RootCertStore::empty();
    let added = roots.add(authority);
    added.map_err(|error| MaterialFault::Authorities(error.to_string()))?;
    Ok(roots)
}

/// Our own certificate, as it is at each handshake.
#[derive(Debug)]
struct Own(Arc<dyn Fleet>);

impl ResolvesServerCert for Own {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.own()
    }
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.own()
    }

    fn has_certs(&self) -> bool {
        self.0.own().is_some()
    }
}

/// What the authority says of a certificate, and what the fleet says of its owner.
#[derive(Debug)]
struct Members {
    by_authority: Arc<dyn ClientCertVerifier>,
    fleet: Arc<dyn Fleet>,
}

impl ClientCertVerifier for Members {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.by_authority.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .by_authority
            .verify_client_cert(end_entity, intermediates, now)?;
        let who = self.fleet.who(end_entity);
        if who.is_some_and(|who| self.fleet.admits(&who)) {
            return Ok(verified);
        }
        Err(rustls::Error::InvalidCertificate(
            rustls::CertificateError::ApplicationVerificationFailure,
        ))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_authority.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_authority.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authority.supported_verify_schemes()
    }
}
