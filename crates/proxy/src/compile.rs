//! From a document to a snapshot: everything is checked, built and ready before anything goes live.
//!
//! The validator is the compiler: `seawall check`, a start and a reload run this very function. All problems are told at once;
//! with one of them there is no snapshot.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use seawall_model::document::{
    Certificate, CertificateFiles, ClientCertificates, EdgeLimits, HeaderEdits,
    Origin as OriginDocument, OriginUrl, TlsVersion, Zone as ZoneDocument,
};
use seawall_model::{Document, Fields, Host, HostPattern, Problem, Problems, Wrong, without_port};
use seawall_net::downstream::BodyPace;
use seawall_net::h1::HeadLimits;
use seawall_net::tls::config::{
    self, ClientCertificate, Identity, MaterialFault, OriginWants, ServerWants,
};
use seawall_telemetry::record::place;

use crate::forward;
use crate::hosts::HostTable;
use crate::materials::Materials;
use crate::origin::{Active, Passive, Pool, RetrySettings, Settings};
use crate::snapshot::{Edge, Edits, Origin, OriginTls, Place, Probe, Snapshot, Timeouts, Zone};
use crate::state::State;

/// Compiles a document.
///
/// # Errors
/// All problems that the document's files and combinations have.
pub fn compile(
    document: &Document,
    materials: &Materials,
    state: &State,
) -> Result<Snapshot, Problems> {
    let mut problems = Vec::new();
    let version = version(&document.to_toml());
    let mut hosts = HostTable::default();
    let mut zones = Vec::with_capacity(document.zones.len());
    for (index, zone) in document.zones.iter().enumerate() {
        for pattern in &zone.hosts {
            hosts.insert(pattern, index as u32);
        }
        let (path, location) = (format!("zone[{index}]"), document.edge.location.as_str());
        let mut compiler = ZoneCompiler {
            path,
            location,
            materials,
            state,
            problems: &mut problems,
        };
        zones.push(Arc::new(compiler.zone(zone, &version)));
    }
    if problems.is_empty() {
        Ok(Snapshot {
            version,
            zones: zones.into(),
            hosts,
            edge: edge(document, state),
        })
    } else {
        Err(Problems {
            list: problems,
            more: 0,
        })
    }
}

/// A short name of a document's content (FNV-1a, 48 bits): equal documents have equal versions.
fn version(text: &str) -> Box<str> {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{:012x}", hash >> 16).into()
}

fn edge(document: &Document, state: &State) -> Edge {
    let edge = &document.edge;
    let limits: &EdgeLimits = &edge.limits;
    Edge {
        location: edge.location.as_str().into(),
        ray_line: forward::ray_line(&edge.location),
        trusted_proxies: edge.trusted_proxies.clone().into(),
        outward: state.outward(
            edge.outward.public,
            edge.outward.private,
            edge.outward.loopback,
        ),
        head: HeadLimits {
            head_bytes: limits.head_bytes as usize,
            target_bytes: limits.target_bytes as usize,
            fields: limits.fields as usize,
        },
        header_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
        pace: BodyPace {
            idle: limits.body_idle_timeout,
            rate: limits.body_min_rate,
        },
        write_timeout: limits.write_timeout,
        handshake_timeout: limits.tls_handshake_timeout,
        connections: limits.connections,
        connections_per_client: limits.connections_per_client,
        requests_per_connection: limits.requests_per_connection,
        h2_streams: limits.h2_streams,
        public_https: edge.public_https.or(state.https_port()).unwrap_or(443),
        unready_when: edge.unready_when.clone().into(),
    }
}

struct ZoneCompiler<'a> {
    path: String,
    location: &'a str,
    materials: &'a Materials,
    state: &'a State,
    problems: &'a mut Vec<Problem>,
}

impl ZoneCompiler<'_> {
    fn problem(&mut self, key: &str, what: impl Into<String>, help: &str) {
        let path = format!("{}.{key}", self.path);
        self.problems
            .push(Problem::new(path, Wrong::new(what, help)));
    }

    fn zone(&mut self, zone: &ZoneDocument, version: &str) -> Zone {
        let origins: Vec<Origin> = zone
            .origins
            .iter()
            .enumerate()
            .map(|(index, origin)| self.origin(index, origin))
            .collect();
        Zone {
            name: zone.name.as_str().into(),
            slot: self.state.registry.zone_slot(&zone.name, &zone.name),
            version: version.into(),
            place: place(self.location, &zone.name, version),
            pool: Arc::new(self.pool(zone)),
            origins: origins.into(),
            tls: self.tls(zone),
            strict_tls: zone.tls.client != ClientCertificates::Off
                || zone.tls.min_version != TlsVersion::default(),
            needs_tls: zone.tls.client == ClientCertificates::Required,
            redirect_https: zone.redirect_https,
            hsts: zone.hsts.as_ref().map(|hsts| {
                let mut value = format!("max-age={}", hsts.max_age.as_secs());
                if hsts.include_subdomains {
                    value.push_str("; includeSubDomains");
                }
                if hsts.preload {
                    value.push_str("; preload");
                }
                value.into()
            }),
            request_edits: edits(&zone.request_headers),
            response_edits: edits(&zone.response_headers),
            max_body: zone.max_body,
            websocket: zone.websocket,
            timeouts: Timeouts {
                connect: zone.timeouts.connect,
                header: zone.timeouts.header,
                idle: zone.timeouts.idle,
                total: zone.timeouts.total,
            },
            probe: zone.health.as_ref().map(|health| Probe {
                path: health.path.as_str().into(),
                host: health.host.as_deref().map(Into::into),
                first_host: first_host(zone).map(Into::into),
                every: health.every,
                timeout: health.timeout,
                good: health.status.clone().into(),
            }),
        }
    }

    fn pool(&self, zone: &ZoneDocument) -> Pool {
        let active = zone.health.as_ref().map(|health| Active {
            healthy_after: health.healthy_after.into(),
            unhealthy_after: health.unhealthy_after.into(),
        });
        let settings = Settings {
            active,
            passive: Passive {
                failures: zone.passive.failures.into(),
                eject_for_ms: millis(zone.passive.eject_for),
            },
            retry: RetrySettings {
                budget_percent: zone.retry.budget_percent.into(),
                attempts: zone.retry.attempts.into(),
                ..RetrySettings::default()
            },
        };
        // How it is spoken to is part of what it is: a connection made with other certificates is another origin's.
        let ids: Vec<String> = zone.origins.iter().map(origin_id).collect();
        let origins = ids
            .iter()
            .zip(&zone.origins)
            .map(|(id, origin)| (id.as_str(), origin.weight.into()));
        let pool = Pool::new(&zone.name, origins, settings, &self.state.members);
        // An address needs no resolver: the first request finds it.
        for (member, origin) in pool.members().zip(&zone.origins) {
            if let OriginUrl::Server {
                host: Host::Ip(ip),
                port,
                ..
            } = &origin.url
            {
                let address = SocketAddr::new(*ip, *port);
                if *member.addresses() != [address] {
                    member.set_addresses(&[address]);
                }
            }
        }
        pool
    }

    fn origin(&mut self, index: usize, origin: &OriginDocument) -> Origin {
        let at = match &origin.url {
            OriginUrl::Sample => Place::Sample,
            OriginUrl::Server { tls, host, port } => {
                let tls = tls.then(|| self.origin_tls(index, origin, host)).flatten();
                let host = match host {
                    Host::Name(name) => name.as_str().into(),
                    Host::Ip(ip) => ip.to_string().into(),
                };
                Place::Server {
                    host,
                    port: *port,
                    tls,
                }
            }
        };
        let host = origin.host.as_deref().map(|host| host.as_bytes().into());
        Origin {
            at,
            host,
            protocol: origin.protocol,
        }
    }

    fn origin_tls(
        &mut self,
        index: usize,
        origin: &OriginDocument,
        host: &Host,
    ) -> Option<OriginTls> {
        use seawall_model::document::Protocol;
        let key = format!("origin[{index}]");
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
            self.problem(
                &format!("{key}.sni"),
                "is no server name",
                "write a host name",
            );
            return None;
        };
        let authorities = match &origin.ca {
            None => &[][..],
            Some(path) => match self.materials.file(path) {
                Ok(pem) => pem,
                Err(why) => {
                    self.problem(
                        &format!("{key}.ca"),
                        why,
                        "name a PEM file that this user may read",
                    );
                    return None;
                }
            },
        };
        let identity = match &origin.client_certificate {
            None => None,
            Some(files) => Some(self.identity(&format!("{key}.client_certificate"), files)?),
        };
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
        let made =
            config::origin(any).and_then(|any| Ok((any, config::origin(wants(false, true))?)));
        match made {
            Ok((any, http1)) => Some(OriginTls { name, any, http1 }),
            Err(fault) => {
                let at = match fault {
                    MaterialFault::Certificate(_) => format!("{key}.ca"),
                    _ => key,
                };
                self.problem(
                    &at,
                    fault.to_string(),
                    "certificate and key must belong together",
                );
                None
            }
        }
    }

    fn tls(&mut self, zone: &ZoneDocument) -> Option<Arc<rustls::ServerConfig>> {
        let identity = match &zone.tls.certificate {
            Certificate::Files(files) => self.identity("tls.certificate", files)?,
            Certificate::SelfSigned | Certificate::Acme => {
                let (certificate, key) = self.materials.self_signed.as_ref()?;
                Identity::from_pem(certificate.as_bytes(), key.as_bytes()).ok()?
            }
        };
        let client_authorities = match &zone.tls.client_ca {
            Some(path) if zone.tls.client != ClientCertificates::Off => {
                match self.materials.file(path) {
                    Ok(pem) => pem,
                    Err(why) => {
                        self.problem(
                            "tls.client_ca",
                            why,
                            "name a PEM file that this user may read",
                        );
                        return None;
                    }
                }
            }
            _ => &[],
        };
        let made = self.state.tickets(&zone.name).and_then(|ticketer| {
            config::server(ServerWants {
                identity,
                only_tls13: zone.tls.min_version == TlsVersion::Tls13,
                client: match zone.tls.client {
                    ClientCertificates::Off => ClientCertificate::Off,
                    ClientCertificates::Optional => ClientCertificate::Optional,
                    ClientCertificates::Required => ClientCertificate::Required,
                },
                client_authorities,
                ticketer,
            })
        });
        match made {
            Ok(config) => Some(config),
            Err(fault) => {
                let (key, help) = match fault {
                    MaterialFault::Authorities(_) | MaterialFault::Certificate(_) => (
                        "tls.client_ca",
                        "the file must hold the authorities' certificates, as PEM",
                    ),
                    _ => (
                        "tls.certificate",
                        "certificate and key must belong together",
                    ),
                };
                self.problem(key, fault.to_string(), help);
                None
            }
        }
    }

    fn identity(&mut self, key: &str, files: &CertificateFiles) -> Option<Identity> {
        let mut read = |which: &str, path: &Path| match self.materials.file(path) {
            Ok(bytes) => Some(bytes),
            Err(why) => {
                self.problem(
                    &format!("{key}.{which}"),
                    why,
                    "name a PEM file that this user may read",
                );
                None
            }
        };
        let (certificate, private) = (read("cert", &files.cert), read("key", &files.key));
        match Identity::from_pem(certificate?, private?) {
            Ok(identity) => Some(identity),
            Err(fault) => {
                let which = if matches!(fault, MaterialFault::Key(_)) {
                    "key"
                } else {
                    "cert"
                };
                self.problem(
                    &format!("{key}.{which}"),
                    fault.to_string(),
                    "the file must be PEM",
                );
                None
            }
        }
    }
}

/// The first host of a zone that is one name.
fn first_host(zone: &ZoneDocument) -> Option<String> {
    zone.hosts.iter().find_map(|pattern| match pattern {
        HostPattern::Exact(host) => Some(host.clone()),
        HostPattern::Under(_) | HostPattern::Any => None,
    })
}

/// The host of `host[:port]`.
fn host_only(authority: &str) -> String {
    String::from_utf8_lossy(without_port(authority.as_bytes())).into_owned()
}

/// What an origin is, as one text: its URL and all that decides how its connections are made.
fn origin_id(origin: &OriginDocument) -> String {
    let mut id = origin.url.to_string();
    if origin.url.is_tls() {
        let detail = version(&format!(
            "{:?} {:?} {} {:?} {:?} {:?}",
            origin.sni,
            origin.host,
            origin.verify,
            origin.ca,
            origin.client_certificate,
            origin.protocol
        ));
        id.push('#');
        id.push_str(&detail);
    }
    id
}

fn edits(edits: &HeaderEdits) -> Edits {
    let mut put = Fields::default();
    let mut remove: Vec<Box<[u8]>> = Vec::new();
    for name in &edits.remove {
        remove.push(name.as_bytes().into());
    }
    for (name, value) in &edits.set {
        remove.push(name.as_bytes().into());
        put.push(name.as_bytes(), value.as_bytes());
    }
    for (name, value) in &edits.add {
        put.push(name.as_bytes(), value.as_bytes());
    }
    Edits {
        remove: remove.into(),
        put,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
