//! TLS towards clients and origins. What costs time, keys and authorities, is verified once for all zones that name the same files;
//! each zone has its own ticket keys and each origin its own sessions, so that nothing of one zone opens anything of another.
//!
//! A zone's certificate is verified here and kept as bytes: the first handshake that needs it makes it ready
//! ([`Keys`](seawall_net::tls::kept::Keys)).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use seawall_model::document::{
    Certificate, CertificateFiles, ClientCertificates, Origin as OriginDocument, Protocol, Tls,
    TlsVersion,
};
use seawall_model::{Host, Wrong, without_port};
use seawall_net::tls::config::{
    self, ClientCertificate, Identity, MaterialFault, OriginWants, ServerWants,
};
use seawall_net::tls::der::Validity;
use seawall_net::tls::kept::{Kept, Keys};

use crate::materials::Materials;
use crate::snapshot::OriginTls;

/// Sessions kept for one origin: it has one name, and this is what rustls keeps for one.
const SESSIONS: usize = 8;

const READABLE: &str = "name a PEM file that this user may read";

/// What is wrong, each with its key below that of the zone or origin.
type Wrongs = Vec<(String, Wrong)>;
/// A zone's TLS towards clients, shared, and its own certificate.
pub(super) type Server = (Arc<ServerConfig>, Option<Arc<Kept>>);
type Files<'a> = Option<(&'a Path, &'a Path)>;
/// Without a certificate in files, TLS 1.3 only, whether clients show certificates, and who signs those.
type ServerKey<'a> = (bool, bool, u8, Option<&'a Path>);
/// Authorities, whether they count, our certificate, and the protocol.
type OriginKey<'a> = (Option<&'a Path>, bool, Files<'a>, u8);

/// For requests of either version of HTTP, and for those that need HTTP/1.1; when our own certificate is good.
type Client = ([Arc<ClientConfig>; 2], Option<Validity>);

/// What was made so far.
pub(super) struct Shelf<'a> {
    materials: &'a Materials,
    keys: Arc<Keys>,
    kept: HashMap<(&'a Path, &'a Path), Result<Arc<Kept>, Wrongs>>,
    servers: HashMap<ServerKey<'a>, Result<Arc<ServerConfig>, Wrongs>>,
    origins: HashMap<OriginKey<'a>, Result<Client, Wrongs>>,
}

impl<'a> Shelf<'a> {
    /// Nothing yet.
    pub fn new(materials: &'a Materials, keys: Arc<Keys>) -> Self {
        Self {
            materials,
            keys,
            kept: HashMap::new(),
            servers: HashMap::new(),
            origins: HashMap::new(),
        }
    }

    /// A zone's TLS towards clients, and its certificate where that is a file.
    pub fn server(&mut self, tls: &'a Tls) -> Result<Server, Wrongs> {
        let (materials, keys) = (self.materials, &self.keys);
        let kept = match &tls.certificate {
            Certificate::Files(files) => {
                let key = (files.cert.as_path(), files.key.as_path());
                let made = self.kept.entry(key);
                let made = made.or_insert_with(|| kept(files, materials, keys));
                Some(made.clone())
            }
            Certificate::SelfSigned | Certificate::Acme => None,
        };
        let key = (
            kept.is_none(),
            tls.min_version == TlsVersion::Tls13,
            tls.client as u8,
            tls.client_ca.as_deref(),
        );
        let made = self.servers.entry(key);
        let shared = made.or_insert_with(|| server(tls, materials, keys)).clone();
        match (kept.transpose(), shared) {
            (Ok(kept), Ok(shared)) => Ok((shared, kept)),
            (kept, shared) => {
                let mut wrongs = kept.err().unwrap_or_default();
                wrongs.extend(shared.err().unwrap_or_default());
                Err(wrongs)
            }
        }
    }

    /// TLS towards an origin; `https://` is what its URL says. Problems have their keys below that of the origin.
    pub fn origin(&mut self, origin: &'a OriginDocument, host: &Host) -> Result<OriginTls, Wrongs> {
        let named = origin
            .sni
            .clone()
            .or_else(|| origin.host.as_deref().map(host_only));
        let name = match (named, host) {
            (Some(named), _) => ServerName::try_from(named),
            (None, Host::Name(name)) => ServerName::try_from(name.clone()),
            (None, Host::Ip(ip)) => Ok(ServerName::from(*ip)),
        };
        let Ok(name) = name else {
            let wrong = Wrong::new("is no server name", "write a host name");
            return Err(vec![(".sni".into(), wrong)]);
        };
        let files = origin.client_certificate.as_ref();
        let key = (
            origin.ca.as_deref(),
            origin.verify,
            files.map(|files| (files.cert.as_path(), files.key.as_path())),
            origin.protocol as u8,
        );
        let materials = self.materials;
        let made = self.origins.entry(key);
        match made.or_insert_with(|| client(origin, materials)) {
            Err(wrongs) => Err(wrongs.clone()),
            Ok(([any, http1], shown)) => {
                let sessions = Resumption::in_memory_sessions(SESSIONS);
                let own = |shared: &Arc<ClientConfig>| {
                    let mut own = ClientConfig::clone(shared);
                    own.resumption = sessions.clone();
                    Arc::new(own)
                };
                Ok(OriginTls {
                    name,
                    any: own(any),
                    http1: own(http1),
                    shown: *shown,
                })
            }
        }
    }
}

fn wrong(fault: &MaterialFault) -> Wrong {
    Wrong::new(fault.to_string(), fault.help())
}

/// A certificate in files, verified.
fn kept(files: &CertificateFiles, materials: &Materials, keys: &Keys) -> Result<Arc<Kept>, Wrongs> {
    let mut wrongs = Wrongs::new();
    let key = ".tls.certificate";
    let Some(identity) = identity(key, files, materials, &mut wrongs) else {
        return Err(wrongs);
    };
    keys.keep(identity).map_err(|fault| {
        let part = match fault {
            MaterialFault::Version(_) | MaterialFault::Refused(_) => ".cert",
            MaterialFault::RefusedKey(_) => ".key",
            _ => "",
        };
        vec![(format!("{key}{part}"), wrong(&fault))]
    })
}

/// What zones have in common whose TLS is alike. Where certificates are files, each zone puts its own there.
fn server(tls: &Tls, materials: &Materials, keys: &Keys) -> Result<Arc<ServerConfig>, Wrongs> {
    let mut wrongs = Wrongs::new();
    let certificate = match &tls.certificate {
        Certificate::Files(_) => Some(None),
        Certificate::SelfSigned | Certificate::Acme => {
            let pem = materials.self_signed();
            match pem.map(|(certificate, key)| keys.pair(certificate, key)) {
                Some(Ok(ready)) => Some(Some(ready)),
                _ => {
                    let wrong = Wrong::new("no self-signed certificate could be made", "");
                    wrongs.push((".tls.certificate".into(), wrong));
                    None
                }
            }
        }
    };
    let client_authorities = match &tls.client_ca {
        Some(path) if tls.client != ClientCertificates::Off => {
            pem(".tls.client_ca", path, materials, &mut wrongs)
        }
        _ => Some(&[][..]),
    };
    let (Some(certificate), Some(client_authorities)) = (certificate, client_authorities) else {
        return Err(wrongs);
    };
    let made = config::server(ServerWants {
        certificate,
        only_tls13: tls.min_version == TlsVersion::Tls13,
        client: match tls.client {
            ClientCertificates::Off => ClientCertificate::Off,
            ClientCertificates::Optional => ClientCertificate::Optional,
            ClientCertificates::Required => ClientCertificate::Required,
        },
        client_authorities,
    });
    made.map_err(|fault| {
        let key = match fault {
            MaterialFault::Authorities(_) | MaterialFault::Certificate(_) => ".tls.client_ca",
            _ => ".tls.certificate",
        };
        vec![(key.into(), wrong(&fault))]
    })
}

fn client(origin: &OriginDocument, materials: &Materials) -> Result<Client, Wrongs> {
    let mut wrongs = Wrongs::new();
    let authorities = match &origin.ca {
        None => Some(&[][..]),
        Some(path) => pem(".ca", path, materials, &mut wrongs),
    };
    let identity = match &origin.client_certificate {
        None => Some(None),
        Some(files) => identity(".client_certificate", files, materials, &mut wrongs).map(Some),
    };
    let (Some(authorities), Some(identity)) = (authorities, identity) else {
        return Err(wrongs);
    };
    let shown = identity.as_ref().and_then(Identity::validity);
    let wants = |http2: bool, http1: bool| OriginWants {
        authorities,
        unverified: !origin.verify,
        identity: identity.clone(),
        http2,
        http1,
    };
    let any = match origin.protocol {
        Protocol::Auto => wants(true, true),
        Protocol::Http1 => wants(false, true),
        Protocol::Http2 => wants(true, false),
    };
    let made = config::origin(any).and_then(|any| Ok([any, config::origin(wants(false, true))?]));
    made.map(|made| (made, shown)).map_err(|fault| {
        let key = match fault {
            MaterialFault::Certificate(_) | MaterialFault::Authorities(_) => ".ca",
            MaterialFault::Version(_)
            | MaterialFault::Refused(_)
            | MaterialFault::RefusedKey(_)
            | MaterialFault::Apart => ".client_certificate",
            _ => "",
        };
        vec![(key.into(), wrong(&fault))]
    })
}

fn pem<'m>(
    key: &str,
    path: &Path,
    materials: &'m Materials,
    wrongs: &mut Wrongs,
) -> Option<&'m [u8]> {
    match materials.file(path) {
        Ok(bytes) => Some(bytes),
        Err(why) => {
            wrongs.push((key.into(), Wrong::new(why, READABLE)));
            None
        }
    }
}

fn identity(
    key: &str,
    files: &CertificateFiles,
    materials: &Materials,
    wrongs: &mut Wrongs,
) -> Option<Identity> {
    let certificate = pem(&format!("{key}.cert"), &files.cert, materials, wrongs);
    let private = pem(&format!("{key}.key"), &files.key, materials, wrongs);
    match Identity::from_pem(certificate?, private?) {
        Ok(identity) => Some(identity),
        Err(fault) => {
            let which = if matches!(fault, MaterialFault::Key(_)) {
                "key"
            } else {
                "cert"
            };
            wrongs.push((format!("{key}.{which}"), wrong(&fault)));
            None
        }
    }
}

/// The host of `host[:port]`.
fn host_only(authority: &str) -> String {
    String::from_utf8_lossy(without_port(authority.as_bytes())).into_owned()
}
