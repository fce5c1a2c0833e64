//! Tiers: a location asks another one of its fleet for what it has not, before it asks an origin.
//!
//! Whom it asks says `[edge.parents]`, or the zone's `shield`; which one of several, the URL. The one that is asked is met over
//! TLS on a port of its own, on which nobody is let in but locations of the fleet. It answers as a cache does: no stage runs there
//! and nothing is edited, since the location that has the client does that. Itself it asks nobody but origins, so that no
//! configuration makes a circle.
//!
//! What they tell each other beside the request are fields that begin with `Seawall-`, which no client and no origin gets through.
//! Not here: who belongs to the fleet, and how a request is sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use seawall_model::document::{self, Edge as EdgeDocument, Parent, Protocol};
use seawall_model::{FieldId, RequestHead};
use seawall_net::tls::fleet::Fleet;
use seawall_telemetry::Ray;

use crate::origin::{Key, Members, Passive, Picked, Pool, Settings, Tried};
use crate::snapshot::{Origin, OriginTls, Place};
use crate::unheard::Unheard;

/// What pools of parents are kept by, beside those of zones.
const SCOPE: &str = "parents";
/// Requests in a row that a parent fails before it is left out.
const FAILURES: u32 = 2;
/// For how long at first, in milliseconds.
const LEFT_OUT_MS: u64 = 5_000;
/// How long the head of a parent's answer is waited for: there is an origin beside it.
pub const PARENT: Duration = Duration::from_secs(5);
/// Says that what is stored of the URL is not what there is any more; as a line.
pub const OUTDATED_LINE: &[u8] = b"seawall-outdated: 1\r\n";
const OUTDATED: &[u8] = b"seawall-outdated";
/// Says the same of all that is stored of the URL's zone.
pub const ZONE_OUTDATED_LINE: &[u8] = b"seawall-outdated-zone: 1\r\n";
const ZONE_OUTDATED: &[u8] = b"seawall-outdated-zone";
/// Says up to which purge all are done where the request comes from.
const PURGED: &[u8] = b"seawall-purged";
/// Says, of an answer, that it is no origin's.
pub const FAILED: &[u8] = b"seawall-parent-failed";

/// What a location needs to be one of a fleet.
#[derive(Debug)]
pub struct Tier {
    /// Who belongs to it.
    pub fleet: Arc<dyn Fleet>,
    /// TLS where others ask us.
    pub server: Arc<ServerConfig>,
    /// TLS where we ask others.
    pub client: Arc<ClientConfig>,
    /// The name that a location's certificate has.
    pub name: fn(&str) -> Option<ServerName<'static>>,
    purged: AtomicU64,
    /// What parents have not heard yet.
    pub(crate) unheard: Unheard,
}

impl Tier {
    /// One of this fleet; nothing was purged yet.
    pub fn new(
        fleet: Arc<dyn Fleet>,
        server: Arc<ServerConfig>,
        client: Arc<ClientConfig>,
        name: fn(&str) -> Option<ServerName<'static>>,
    ) -> Self {
        Self {
            fleet,
            server,
            client,
            name,
            purged: AtomicU64::new(0),
            unheard: Unheard::default(),
        }
    }

    /// All purges up to this number are done here.
    pub fn set_purged(&self, number: u64) {
        self.purged.store(number, Ordering::Release);
    }

    /// What a request says to a parent: our id of it, as `ray_line` has it, and what was purged here.
    pub fn write_lines(&self, ray_line: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(ray_line);
        let purged = self.purged.load(Ordering::Acquire);
        if purged > 0 {
            out.extend_from_slice(PURGED);
            out.extend_from_slice(format!(": {purged}\r\n").as_bytes());
        }
    }

    /// Whether more was purged where a request comes from than here: what is stored here may be what was purged there, and
    /// must not come back.
    pub fn is_behind(&self, request: &RequestHead) -> bool {
        let said = field(request, PURGED);
        let said = said.and_then(|said| std::str::from_utf8(said).ok()?.parse::<u64>().ok());
        said.is_some_and(|said| said > self.purged.load(Ordering::Acquire))
    }
}

/// The id that the location before us gave a request.
pub fn ray(request: &RequestHead) -> Option<Ray> {
    Ray::parse(field(request, b"seawall-ray")?)
}

/// Whether a request says that what is stored of its URL is not what there is any more, and nothing else.
pub fn is_outdated(request: &RequestHead) -> bool {
    field(request, OUTDATED).is_some()
}

/// Whether a request says that of all that is stored of its zone.
pub fn is_zone_outdated(request: &RequestHead) -> bool {
    field(request, ZONE_OUTDATED).is_some()
}

fn field<'r>(request: &'r RequestHead, name: &[u8]) -> Option<&'r [u8]> {
    let ours = request
        .fields
        .iter()
        .filter(|field| field.id == FieldId::Seawall);
    ours.filter(|field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value)
        .next()
}

/// Those that this location may ask before an origin.
#[derive(Debug, Default)]
pub struct Parents {
    /// Where a zone says nothing else.
    near: Option<Asked>,
    /// Each by its name, as zones' shields.
    shields: BTreeMap<Box<str>, Asked>,
}

/// Of whom one is asked.
#[derive(Debug)]
pub struct Asked {
    /// Their state, which all zones have in common.
    pub pool: Pool,
    /// How they are reached, by the index that the pool gives.
    pub parents: Box<[Origin]>,
}

impl Parents {
    /// Those that a document names for the location that it is for; nobody, where that is none of a fleet.
    pub fn new(edge: &EdgeDocument, tier: Option<&Tier>, members: &Members) -> Self {
        let Some(tier) = tier else {
            return Self::default();
        };
        let asked = |parents: &[&Parent]| {
            let parents: Vec<Origin> = parents
                .iter()
                .filter_map(|parent| reached(parent, tier))
                .collect();
            (!parents.is_empty()).then(|| Asked::new(parents.into(), members))
        };
        let near: Vec<&Parent> = document::asked_by(&edge.parents, &edge.location).collect();
        let others = edge.parents.iter();
        let others = others.filter(|parent| parent.name != edge.location);
        Self {
            near: asked(&near),
            shields: others
                .filter_map(|parent| Some((parent.name.as_str().into(), asked(&[parent])?)))
                .collect(),
        }
    }

    /// Whom a zone with this shield asks; none: the origin.
    pub fn of(&self, shield: Option<&str>) -> Option<&Asked> {
        match shield {
            Some(shield) => self.shields.get(shield),
            None => self.near.as_ref(),
        }
    }

    /// All, each once: to be resolved.
    pub fn all(&self) -> impl Iterator<Item = &Asked> {
        self.shields.values()
    }
}

impl Asked {
    fn new(parents: Box<[Origin]>, members: &Members) -> Self {
        let settings = Settings {
            passive: Passive {
                failures: FAILURES,
                eject_for_ms: LEFT_OUT_MS,
            },
            dispensable: true,
            ..Settings::default()
        };
        let ids = parents.iter().map(|parent| (&*parent.id, 1));
        let pool = Pool::new(SCOPE, ids, settings, members);
        for (member, parent) in pool.members().zip(&parents) {
            if let Some(address) = parent.address()
                && *member.addresses() != [address]
            {
                member.set_addresses(&[address]);
            }
        }
        Self { pool, parents }
    }

    /// Who is asked for what has this key, of those that were not yet: none where all are ill, who ask the origin then.
    pub fn pick(&self, now: u64, key: Key, tried: &Tried) -> Option<(Picked<'_>, &Origin)> {
        let picked = self.pool.pick_by_key(now, key, tried)?;
        let parent = self.parents.get(usize::from(picked.index))?;
        (!picked.desperate).then_some((picked, parent))
    }
}

/// How a parent is reached.
fn reached(parent: &Parent, tier: &Tier) -> Option<Origin> {
    let name = (tier.name)(&parent.name)?;
    let (host, port) = (parent.host.as_str(), parent.port);
    Some(Origin {
        at: Place::Server {
            host: host.into(),
            port,
            tls: Some(Box::new(OriginTls {
                shown: None,
                name,
                any: tier.client.clone(),
                http1: tier.client.clone(),
            })),
        },
        host: None,
        announce: None,
        protocol: Protocol::Http1,
        weight: 1,
        is_parent: true,
        id: format!("https://{host}:{port}#{}", parent.name).into(),
    })
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    #[derive(Debug)]
    struct Alone;

    impl Fleet for Alone {
        fn own(&self) -> Option<Arc<rustls::sign::CertifiedKey>> {
            None
        }
        fn who(&self, _: &CertificateDer<'_>) -> Option<[u8; 32]> {
            None
        }
        fn admits(&self, _: &[u8; 32]) -> bool {
            false
        }
    }

    fn tier() -> Tier {
        let (made, _) = seawall_net::tls::config::self_signed(vec!["a.test".into()]).unwrap();
        let authority = CertificateDer::from_pem_slice(made.as_bytes()).unwrap();
        let fleet = Arc::new(Alone);
        let server = seawall_net::tls::fleet::server(authority.clone(), fleet.clone());
        let client = seawall_net::tls::fleet::client(authority, fleet.clone());
        Tier::new(fleet, server.unwrap(), client.unwrap(), |name| {
            ServerName::try_from(format!("{name}.test")).ok()
        })
    }

    #[test]
    fn a_parent_that_is_behind_is_found_out() {
        let (child, parent) = (tier(), tier());
        let mut lines = Vec::new();
        let asked = |child: &Tier, lines: &mut Vec<u8>| {
            child.write_lines(b"seawall-ray: 00000000000000ff-LHR\r\n", lines);
            let mut request = RequestHead::default();
            let text = String::from_utf8(lines.clone()).unwrap();
            for (name, value) in text.lines().filter_map(|line| line.split_once(": ")) {
                request.fields.push(name.as_bytes(), value.as_bytes());
            }
            request
        };
        let request = asked(&child, &mut lines);
        assert_eq!(ray(&request), Some(Ray(255)));
        assert!(!parent.is_behind(&request) && !is_outdated(&request));
        child.set_purged(7);
        assert!(parent.is_behind(&asked(&child, &mut lines)));
        parent.set_purged(7);
        assert!(!parent.is_behind(&asked(&child, &mut lines)));
        parent.set_purged(9);
        assert!(!parent.is_behind(&asked(&child, &mut lines)));
    }

    #[test]
    fn a_location_asks_its_parents_or_the_shield_and_never_itself() {
        let text = "schema = 1\n[edge]\nlocation = \"lhr\"\n\
            parents = { fra = { at = \"192.0.2.1:1\" }, ams = { at = \"192.0.2.2:1\", of = [\"sin\"] } }\n";
        let mut edge = document::parse(text, &seawall_model::Limits::default())
            .unwrap()
            .edge;
        let (tier, members) = (tier(), Members::new());
        let names = |edge: &EdgeDocument, shield: Option<&str>| -> Vec<String> {
            let parents = Parents::new(edge, Some(&tier), &members);
            let asked = parents.of(shield);
            asked.map_or_else(Vec::new, |asked| {
                asked.parents.iter().map(|it| it.id.to_string()).collect()
            })
        };
        let (fra, ams) = ("https://192.0.2.1:1#fra", "https://192.0.2.2:1#ams");
        assert_eq!(names(&edge, None), [fra]);
        assert_eq!(names(&edge, Some("ams")), [ams]);
        assert!(names(&edge, Some("sin")).is_empty(), "it is no parent");
        edge.location = "fra".into();
        assert!(names(&edge, None).is_empty() && names(&edge, Some("fra")).is_empty());
        assert_eq!(names(&edge, Some("ams")), [ams]);
        let none = Parents::new(&edge, None, &members);
        assert!(none.of(Some("ams")).is_none(), "it has joined nothing");
    }
}
