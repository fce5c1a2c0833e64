//! Who is who between control and locations: an authority of our own, certificates that it signs, and what either side of a TLS
//! connection asks of the other.
//!
//! Names in certificates are ours, not those of machines: control is `control.seawall.internal` wherever it runs. A location is let
//! read by its certificate; what it reports it signs with a key of its own beside that. The authority's key is in `DATA/keys`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use seawall_bundle::Hash;

use super::publisher::now_ms;
use crate::data::Data;

/// Control's name.
pub const CONTROL: &str = "control.seawall.internal";
/// The name of whoever hands on what control has published.
pub const RELAY: &str = "relay.seawall.internal";
const AUTHORITY_KEY: &str = "keys/authority.key";
/// Where control keeps the certificate of its authority, in its data folder.
pub const AUTHORITY: &str = "keys/authority.pem";
/// Days that a location's certificate is good for; it is renewed long before.
pub const DAYS: u64 = 90;
/// Years that the authority's is, and control's own.
const YEARS: u64 = 20;

/// The authority that signs locations' certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// Its certificate, as PEM.
    pub pem: String,
}

impl Authority {
    /// Reads it, or makes it where there is none.
    ///
    /// # Errors
    /// When it cannot be read, written or used.
    pub fn open(data: &Data) -> Result<Self> {
        if !data.path(AUTHORITY).exists() {
            make(data)?;
        }
        let read = |name: &str| {
            std::fs::read_to_string(data.path(name))
                .with_context(|| format!("{name} cannot be read"))
        };
        let (key, pem) = (read(AUTHORITY_KEY)?, read(AUTHORITY)?);
        let key = KeyPair::from_pem(&key).context(AUTHORITY_KEY)?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| anyhow!("{AUTHORITY}: {error}"))?;
        Ok(Self {
            issuer: Issuer::new(of_authority(), key),
            certificate,
            pem,
        })
    }

    /// What tells it from any other: the SHA-256 of its certificate.
    pub fn fingerprint(&self) -> Hash {
        Hash::of(&self.certificate)
    }

    /// A certificate for a location, as PEM. `point` is its public key, an uncompressed point of P-256 (SEC 1, 2.3.3).
    ///
    /// # Errors
    /// When the key is none.
    pub fn issue(&self, location: &str, point: &[u8]) -> Result<String> {
        if point.len() != 65 || point.first() != Some(&4) {
            bail!("the key is no uncompressed point of P-256");
        }
        let names = vec![name_of(location), RELAY.into()];
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = named(&format!("Seawall location {location}"));
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        valid_for(&mut params, DAYS);
        let point = Point(point.to_vec());
        Ok(params.signed_by(&point, &self.issuer)?.pem())
    }

    /// Control's side of a connection: a certificate that is made anew at each start, and whoever comes may show one.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn server(&self) -> Result<Arc<ServerConfig>> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![CONTROL.into()])?;
        params.distinguished_name = named("Seawall control");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        valid_for(&mut params, YEARS * 365);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|why| anyhow!("{why}"))?;
        server(&self.certificate, chain, key)
    }
}

/// A server that lets in whoever shows a certificate of this authority, and whoever shows none.
///
/// # Errors
/// When key and certificate do not fit.
pub fn server(
    authority: &CertificateDer<'static>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = Arc::new(roots(authority)?);
    let clients = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
        .allow_unauthenticated()
        .build()?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

/// A location's side of a connection.
///
/// # Errors
/// When key and certificate do not fit.
pub fn client(
    authority: &CertificateDer<'static>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(authority)?)
        .with_client_auth_cert(chain, key)?;
    Ok(Arc::new(config))
}

/// The side of a location that is about to join: it knows of control's authority by the fingerprint alone.
///
/// # Errors
/// None that could be mended.
pub fn joining(fingerprint: Hash) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(ByFingerprint {
        fingerprint,
        provider: provider.clone(),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Whether a certificate, whose authority was checked, is this location's, for this key.
pub fn is_of(certificate: &CertificateDer<'_>, location: &str, point: Option<&[u8]>) -> bool {
    let Ok(name) = ServerName::try_from(name_of(location)) else {
        return false;
    };
    let parsed = ParsedCertificate::try_from(certificate);
    let named = parsed.is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok());
    // Our authority puts no key into a certificate but the one that it is for.
    let keyed = |point: &[u8]| certificate.windows(point.len()).any(|part| part == point);
    named && point.is_none_or(|point| !point.is_empty() && keyed(point))
}

/// The key that a certificate is for, an uncompressed point of P-256; none where it is for another kind of key.
pub fn key_of<'c>(certificate: &'c CertificateDer<'_>) -> Option<&'c [u8]> {
    // A SubjectPublicKeyInfo of such a key (RFC 5480) begins with the same bytes whatever the key is.
    const BEGINS: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
    let at = certificate
        .windows(BEGINS.len())
        .position(|part| part == BEGINS)?;
    certificate.get(at + BEGINS.len()..)?.get(..65)
}

/// A certificate chain, of PEM.
///
/// # Errors
/// When there is none.
pub fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let chain = chain.map_err(|error| anyhow!("no certificate: {error}"))?;
    if chain.is_empty() {
        bail!("no certificate");
    }
    Ok(chain)
}

/// A private key, of PEM.
///
/// # Errors
/// When there is none.
pub fn key(pem: &str) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| anyhow!("no key: {error}"))
}

/// A location's new key for TLS, as PEM, and its public half as [`Authority::issue`] takes it.
///
/// # Errors
/// When the system gives no randomness.
pub fn new_key() -> Result<(String, Vec<u8>)> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok((key.serialize_pem(), key.der_bytes().to_vec()))
}

fn make(data: &Data) -> Result<()> {
    let key = KeyPair::generate()?;
    let certificate = of_authority().self_signed(&key)?;
    let files = [
        (AUTHORITY_KEY, key.serialize_pem(), 0o600),
        (AUTHORITY, certificate.pem(), 0o644),
    ];
    for (name, content, mode) in files {
        if !data.keep(name, content.as_bytes(), mode) {
            bail!("{} cannot be kept", data.path(name).display());
        }
    }
    Ok(())
}

fn of_authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Seawall locations");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    valid_for(&mut params, YEARS * 365);
    params
}

/// From long ago, so that a machine whose clock is late believes it, and for so many days from now on.
fn valid_for(params: &mut CertificateParams, days: u64) {
    let seconds = now_ms() / 1_000 + days * 24 * 60 * 60;
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

/// Whether a certificate, whose authority was checked, is any location's.
pub fn is_location(certificate: &CertificateDer<'_>) -> bool {
    let Ok(name) = ServerName::try_from(RELAY) else {
        return false;
    };
    let parsed = ParsedCertificate::try_from(certificate);
    parsed.is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
}

/// The name that a location's certificate has.
pub fn server_name(location: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(name_of(location)).ok()
}

/// A location's name in its certificate. A name of ours may begin with a hyphen, and one of the DNS may not.
fn name_of(location: &str) -> String {
    format!("x{location}x.location.seawall.internal")
}

fn roots(authority: &CertificateDer<'static>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).context("the authority")?;
    Ok(roots)
}

/// A public key that somebody else has the other half of.
struct Point(Vec<u8>);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// Believes control by the fingerprint of its authority's certificate, which is the last of the chain.
#[derive(Debug)]
struct ByFingerprint {
    fingerprint: Hash,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ByFingerprint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let unknown =
            || rustls::Error::General("this is not the control that made the token".into());
        let authority = intermediates.last().ok_or_else(unknown)?;
        if Hash::of(authority) != self.fingerprint {
            return Err(unknown());
        }
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
