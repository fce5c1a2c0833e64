//! One zone: what of it can be wrong is found first; only a zone without problems gets a place in State.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use seawall_guard::{Assembly, Edits, Guard, States, ZoneId};
use seawall_model::document::{
    Certificate, ClientCertificates, HeaderEdits, Hsts, Origin as OriginDocument, OriginUrl,
    ProxyProtocol, TlsVersion, Zone as ZoneDocument, ZoneSettings,
};
use seawall_model::{Fields, Host, Problem, Wrong};
use seawall_net::proxy_protocol;
use seawall_rules::{Bounds, Patterns, ZonePatterns};

use super::digest::Digest;
use super::lists::Lists;
use super::tls::{Server, Shelf};
use crate::caching::Links;
use crate::caching::rules::CacheRules;
use crate::compress::Compress;
use crate::files::Site;
use crate::materials::Materials;
use crate::origin::{Active, Circuit, Outliers, Passive, RetrySettings, Settings, Spread};
use crate::recent::Sampled;
use crate::snapshot::{Home, Manner, Origin, Place, Probe, Timeouts, Version, Zone};
use crate::state::State;

/// Compiles zones, one after the other.
pub(super) struct ZoneCompiler<'a> {
    pub location: &'a str,
    pub materials: &'a Materials,
    pub state: &'a State,
    pub lists: &'a Lists,
    pub bounds: Bounds,
    pub patterns: Patterns,
    /// The port at which clients reach HTTPS.
    pub https_port: u16,
    /// Where a guard that will never serve leaves its traces.
    pub nowhere: Arc<States>,
    pub shelf: Shelf<'a>,
    /// What all zones reach beyond the snapshot.
    pub home: Arc<Home>,
    /// What the last settings came to: zones that share theirs share this too.
    pub manner: Option<(Arc<ZoneSettings>, Arc<Manner>)>,
}

/// All that a zone is made of, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made {
    /// What its owner wrote, its lists and its files included: its version.
    pub version: u64,
    /// That, and what of this machine went in: what has the same number need not be compiled again.
    pub content: u64,
}

/// What of a zone may have problems.
struct Parts {
    maintenance: Option<Box<[u8]>>,
    origins: Box<[Origin]>,
    tls: Option<Server>,
    guard: Guard,
    cache_rules: CacheRules,
    patterns: ZonePatterns,
}

impl<'a> ZoneCompiler<'a> {
    /// What a zone is made of.
    pub fn made(&self, zone: &ZoneDocument) -> Made {
        let mut digest = Digest::default();
        digest.add(zone);
        self.lists.add_those_of(zone, &mut digest);
        for file in zone.files() {
            digest.number(self.materials.content(file));
        }
        let version = digest.finish();
        digest.add(self.location);
        digest.add(&self.https_port);
        digest.number(self.materials.self_signed_content());
        Made {
            version,
            content: digest.finish(),
        }
    }

    /// All problems of a zone that is not going to serve.
    pub fn check(&mut self, index: usize, zone: &'a ZoneDocument) -> Vec<Problem> {
        let mut problems = Vec::new();
        let nowhere = self.nowhere.clone();
        self.parts(index, zone, ZoneId::default(), &nowhere, &mut problems);
        problems
    }

    /// The zone, ready to serve.
    pub fn zone(
        &mut self,
        index: usize,
        zone: &'a ZoneDocument,
        made: Made,
    ) -> Result<Zone, Vec<Problem>> {
        let mut problems = Vec::new();
        let id = self.state.zone_ids.of(&zone.name);
        let states = &self.state.guard;
        let parts = self.parts(index, zone, id, states, &mut problems);
        if problems.is_empty() {
            Ok(self.finish(zone, id, made, parts))
        } else {
            Err(problems)
        }
    }

    fn parts(
        &mut self,
        index: usize,
        zone: &'a ZoneDocument,
        id: ZoneId,
        states: &Arc<States>,
        problems: &mut Vec<Problem>,
    ) -> Parts {
        let path = format!("zone[{index}]");
        let origins = zone.origins.iter().enumerate();
        let origins = origins
            .map(|(nth, origin)| self.origin(&path, nth, origin, problems))
            .collect();
        let tls = match self.shelf.server(&zone.tls) {
            Ok(shared) => Some(shared),
            Err(wrongs) => {
                let wrongs = wrongs.into_iter();
                problems
                    .extend(wrongs.map(|(key, wrong)| Problem::new(path.clone() + &key, wrong)));
                None
            }
        };
        let assembly = Assembly {
            stages: self.state.stages,
            lists: &self.lists.rules,
            bounds: &self.bounds,
            files: self.materials,
            https_port: self.https_port,
            states,
        };
        let maintenance = zone.maintenance.page.as_deref().and_then(|page| {
            let told = |why: String| {
                let wrong = Wrong::new(why, "make it, or leave it out: there is a page of ours");
                problems.push(Problem::new(format!("{path}.maintenance.page"), wrong));
            };
            let content = self.materials.file(page).map_err(told);
            content.ok().map(Into::into)
        });
        self.patterns.begin_zone();
        let guard = assembly.guard(zone, id, &path, &mut self.patterns, problems);
        let cache_rules = CacheRules::compile(
            &zone.cache.rules,
            &self.lists.rules,
            &self.bounds,
            &mut self.patterns,
            |nth, wrong| {
                let path = format!("{path}.cache.rule[{nth}].when");
                problems.push(Problem::new(path, wrong));
            },
        );
        Parts {
            cache_rules,
            maintenance,
            origins,
            tls,
            guard,
            patterns: self.patterns.of_zone(),
        }
    }

    fn origin(
        &mut self,
        path: &str,
        nth: usize,
        origin: &'a OriginDocument,
        problems: &mut Vec<Problem>,
    ) -> Origin {
        let at = match &origin.url {
            OriginUrl::Sample => Place::Sample,
            OriginUrl::Files(path) => Place::Files(Site {
                root: path.as_path().into(),
                dotfiles: origin.dotfiles,
            }),
            OriginUrl::Unix(path) => Place::Unix(path.as_path().into()),
            OriginUrl::Server { tls, host, port } => {
                let tls = tls.then(|| self.shelf.origin(origin, host));
                let tls = tls.and_then(|made| {
                    let told =
                        |(key, wrong)| Problem::new(format!("{path}.origin[{nth}]{key}"), wrong);
                    made.map_err(|wrongs| problems.extend(wrongs.into_iter().map(told)))
                        .ok()
                });
                Place::Server {
                    host: match host {
                        Host::Name(name) => name.as_str().into(),
                        Host::Ip(ip) => ip.to_string().into(),
                    },
                    port: *port,
                    tls: tls.map(Box::new),
                }
            }
        };
        Origin {
            at,
            host: origin.host.as_deref().map(|host| host.as_bytes().into()),
            announce: match origin.proxy_protocol {
                ProxyProtocol::Off => None,
                ProxyProtocol::V1 => Some(proxy_protocol::Version::V1),
                ProxyProtocol::V2 => Some(proxy_protocol::Version::V2),
            },
            protocol: origin.protocol,
            weight: origin.weight,
            is_parent: false,
            // How it is spoken to is part of what it is: a connection made with other certificates is another origin's.
            id: self.origin_id(origin).into(),
        }
    }

    fn finish(&mut self, zone: &ZoneDocument, id: ZoneId, made: Made, parts: Parts) -> Zone {
        let scope = format!("{:016x}", id.0);
        let version_number = Digest::version_number(made.version);
        self.patterns.hold(&parts.patterns);
        let (shared_tls, certificate) = parts.tls.unzip();
        Zone {
            id,
            content: made.content,
            slot: self.state.registry.zone_slot(&scope, &zone.name),
            name: zone.name.as_str().into(),
            version: Version::of(version_number),
            version_number,
            hosts: zone.hosts.clone().into(),
            origins: parts.origins,
            guard: parts.guard,
            cache_rules: parts.cache_rules,
            patterns: parts.patterns,
            maintenance: parts.maintenance,
            manner: self.manner(&zone.settings),
            home: self.home.clone(),
            shared_tls,
            certificate: certificate.flatten(),
            awake: OnceLock::new(),
            sampled: Sampled::default(),
        }
    }

    fn manner(&mut self, settings: &Arc<ZoneSettings>) -> Arc<Manner> {
        if let Some((same, manner)) = &self.manner
            && (Arc::ptr_eq(same, settings) || are_alike(same, settings))
        {
            return manner.clone();
        }
        let manner = Arc::new(manner(settings));
        self.manner = Some((settings.clone(), manner.clone()));
        manner
    }

    /// What an origin is, as one text: its URL and all that decides how its connections are made.
    fn origin_id(&self, origin: &OriginDocument) -> String {
        let mut id = origin.url.to_string();
        if origin.url.is_tls() {
            let mut digest = Digest::default();
            let OriginDocument {
                url: _,
                weight: _,
                // Connections to such an origin are not kept, and another one's not lent to it.
                proxy_protocol: _,
                dotfiles: _,
                protocol,
                host,
                sni,
                verify,
                ca,
                client_certificate,
            } = origin;
            digest.add(protocol);
            digest.add(host);
            digest.add(sni);
            digest.add(verify);
            digest.add(ca);
            digest.add(client_certificate);
            let ours = client_certificate
                .iter()
                .flat_map(|files| [&files.cert, &files.key]);
            for file in ca.iter().chain(ours) {
                digest.number(self.materials.content(file));
            }
            id.push('#');
            id.push_str(&Digest::version(digest.finish()));
        }
        id
    }
}

/// Whether they differ in nothing but the files of their certificates, which are no part of a manner.
fn are_alike(one: &ZoneSettings, other: &ZoneSettings) -> bool {
    let (Certificate::Files(_), Certificate::Files(_)) =
        (&one.tls.certificate, &other.tls.certificate)
    else {
        return false;
    };
    let mut one = one.clone();
    one.tls.certificate.clone_from(&other.tls.certificate);
    one == *other
}

/// How a zone is served.
fn manner(zone: &ZoneSettings) -> Manner {
    Manner {
        pool_settings: pool(zone),
        by: zone.balance.by.clone(),
        strict_tls: zone.tls.client != ClientCertificates::Off
            || zone.tls.min_version != TlsVersion::default(),
        needs_tls: zone.tls.client == ClientCertificates::Required,
        acme: zone.tls.certificate == Certificate::Acme,
        redirect_https: zone.redirect_https,
        hsts: zone.hsts.as_ref().map(hsts),
        response_edits: edits(&zone.response_headers),
        cache: crate::caching::plan(&zone.cache),
        links: Links {
            early_hints: zone.cache.early_hints,
            prefetch: zone.cache.prefetch,
        },
        shield: zone.cache.shield.as_deref().map(Into::into),
        compress: zone.compress.as_ref().map(Compress::from),
        replay: zone.replay,
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
            every: health.every,
            timeout: health.timeout,
            good: health.status.clone().into(),
        }),
    }
}

/// How its pool behaves.
fn pool(zone: &ZoneSettings) -> Settings {
    Settings {
        active: zone.health.as_ref().map(|health| Active {
            healthy_after: health.healthy_after.into(),
            unhealthy_after: health.unhealthy_after.into(),
        }),
        passive: Passive {
            failures: zone.passive.failures.into(),
            eject_for_ms: millis(zone.passive.eject_for),
        },
        retry: RetrySettings {
            budget_percent: zone.retry.budget_percent.into(),
            attempts: zone.retry.attempts.into(),
            ..RetrySettings::default()
        },
        spread: Spread {
            most_load_percent: zone.balance.most_load_percent.into(),
            slow_start_ms: millis(zone.balance.slow_start),
        },
        outliers: Outliers {
            deviation_percent: zone.outlier.deviation_percent.into(),
            interval_ms: millis(zone.outlier.interval),
            requests: zone.outlier.requests,
            most_percent: zone.outlier.most_percent.into(),
        },
        circuit: Circuit {
            connections: zone.circuit.connections,
            pending: zone.circuit.pending,
            requests: zone.circuit.requests,
            retries: zone.circuit.retries,
        },
        dispensable: false,
    }
}

fn hsts(hsts: &Hsts) -> Box<str> {
    let mut value = format!("max-age={}", hsts.max_age.as_secs());
    if hsts.include_subdomains {
        value.push_str("; includeSubDomains");
    }
    if hsts.preload {
        value.push_str("; preload");
    }
    value.into()
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
