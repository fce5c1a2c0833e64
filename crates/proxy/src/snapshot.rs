//! A configuration as it serves: compiled, complete, immutable. One request holds one of them from its head to its Record.
//!
//! Not here: how a document becomes one ([`compile`](crate::compile)), and what outlives it (pools' members, metrics slots,
//! ticket keys: State).

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use seawall_guard::{Edits, Guard, ZoneId};
use seawall_model::document::{AnnouncedListeners, By, Protocol as OriginProtocol};
use seawall_model::{HostPattern, Network};
use seawall_net::downstream::BodyPace;
use seawall_net::h1::HeadLimits;
use seawall_net::outward::Outward;
use seawall_net::proxy_protocol;
use seawall_net::tls::config::by_name;
use seawall_net::tls::der::Validity;
use seawall_net::tls::kept::{Kept, Keys};
use seawall_net::tls::tickets::TicketKeys;
use seawall_rules::{Patterns, ZonePatterns};
use seawall_telemetry::ZoneSlot;
use seawall_telemetry::record::place;

use crate::caching::Links;
use crate::caching::rules::CacheRules;
use crate::certificates::Certificates;
use crate::compress::Compress;
use crate::files::Site;
use crate::origin::{Members, Pool, Settings};
use crate::recent::Sampled;
use crate::sessions::{self, Sessions};
use crate::table::ZoneTable;
use crate::tier::Parents;

/// A configuration as it serves. Copying one shares all with it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Which it is, for `/state`: a short hash of what holds for all zones, and of each zone's version.
    pub version: Box<str>,
    /// The version of what all zones share, `[edge]` and `[lists]`, as the number that its hexadecimal digits would be.
    pub platform: u64,
    /// The zones, by name and by host.
    pub zones: ZoneTable,
    /// What holds for all zones.
    pub edge: Arc<Edge>,
    /// What was written of it, as a number.
    pub edge_content: u64,
    /// Lists of networks, sorted by name.
    pub lists: Arc<[List]>,
    /// The patterns of all zones' rules, and what they cost.
    pub patterns: Patterns,
    /// What all zones reach beyond the snapshot.
    pub home: Arc<Home>,
}

impl Snapshot {
    /// The zone of a host, as it came in `Host` or `:authority`.
    pub fn zone(&self, authority: &[u8]) -> Option<&Arc<Zone>> {
        self.zones.find(authority)
    }

    /// A list by its name.
    pub fn list(&self, name: &str) -> Option<&List> {
        let found = self.lists.binary_search_by(|list| (*list.name).cmp(name));
        self.lists.get(found.ok()?)
    }
}

/// A list of networks.
#[derive(Debug)]
pub struct List {
    /// Its name.
    pub name: Box<str>,
    /// What it was made of, as a number.
    pub content: u64,
    /// What it holds.
    pub list: seawall_rules::List,
}

/// What holds for all zones.
#[derive(Debug)]
pub struct Edge {
    /// The location's name.
    pub location: Box<str>,
    /// `Seawall-Ray` as a line, with noughts in place of the digits.
    pub ray_line: Box<[u8]>,
    /// Peers whose forwarding fields are believed.
    pub trusted_proxies: Box<[Network]>,
    /// Listeners on which these peers begin with the PROXY protocol.
    pub announced: AnnouncedListeners,
    /// Which addresses may be connected to.
    pub outward: Arc<Outward>,
    /// Bounds of a head.
    pub head: HeadLimits,
    /// The longest a head may take to come.
    pub header_timeout: Duration,
    /// The longest a connection may be without a request.
    pub idle_timeout: Duration,
    /// How patient we are with request bodies.
    pub pace: BodyPace,
    /// The longest a client may take none of our bytes.
    pub write_timeout: Duration,
    /// The longest TLS handshake.
    pub handshake_timeout: Duration,
    /// Connections at once, in all threads.
    pub connections: u64,
    /// Connections of one client address; 0 is no bound.
    pub connections_per_client: u32,
    /// Requests on one connection; 0 is no bound.
    pub requests_per_connection: u32,
    /// Requests in progress, all zones together.
    pub requests_in_progress: u64,
    /// Bytes of request bodies that are held while they are looked at, all zones together.
    pub body_memory: u64,
    /// Bytes of responses that are kept, all zones together, from the start of a worker on.
    pub cache_memory: u64,
    /// Bytes on disk for responses that are kept; 0: none.
    pub cache_disk: u64,
    /// Client addresses whose counters are kept, all zones together.
    pub client_table: u64,
    /// Streams at once on one connection of HTTP/2 or HTTP/3.
    pub h2_streams: u32,
    /// Stages that are switched off in all zones, also in those that stay as they were.
    pub kill: Box<[String]>,
    /// The HTTPS port that clients see, for redirects; none is 443.
    pub public_https: u16,
    /// HTTPS is listened for here, or somebody said at which port clients reach it.
    pub has_https: bool,
    /// Those that are asked before an origin.
    pub parents: Parents,
    /// Degradations that make `/readyz` say no.
    pub unready_when: Box<[String]>,
}

/// What all zones reach beyond the snapshot.
#[derive(Debug)]
pub struct Home {
    /// The location's name.
    pub location: Box<str>,
    /// Members of pools.
    pub members: Arc<Members>,
    /// Keys of session tickets.
    pub tickets: Arc<TicketKeys>,
    /// Certificates that came by ACME.
    pub certificates: Arc<Certificates>,
    /// Keys of certificates that are ready to sign.
    pub keys: Arc<Keys>,
}

/// A version as it is written: 12 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Version([u8; 12]);

impl Version {
    /// The version whose digits are this number.
    pub fn of(number: u64) -> Self {
        let digit = |nth: usize| {
            let digit = (number >> (44 - 4 * nth)) as u8 & 15;
            digit + if digit < 10 { b'0' } else { b'a' - 10 }
        };
        Self(std::array::from_fn(digit))
    }
}

impl Deref for Version {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self)
    }
}

/// One zone. What it needs only once somebody asks for it is made then: of a million zones most are silent.
#[derive(Debug)]
pub struct Zone {
    /// Its stable id: what outlives a snapshot is kept by it.
    pub id: ZoneId,
    /// Its name.
    pub name: Box<str>,
    /// All that it was made of, as a number: a zone that is made of the same is this one.
    pub content: u64,
    /// Its place in metrics.
    pub slot: ZoneSlot,
    /// Its version, for Records: a short hash of what its owner wrote, its lists and files included.
    pub version: Version,
    /// The number that the version's digits are.
    pub version_number: u64,
    /// The hosts that it asks for. A snapshot may give some to another zone.
    pub hosts: Box<[HostPattern]>,
    /// Its origins, by the index that the pool gives.
    pub origins: Box<[Origin]>,
    /// What judges its requests and responses.
    pub guard: Guard,
    /// The patterns of its rules, to be shared with the next snapshot and charged there.
    pub patterns: ZonePatterns,
    /// What it says under maintenance, in HTML; none: a page of ours.
    pub maintenance: Option<Box<[u8]>>,
    /// What is otherwise for the cache, for some requests.
    pub cache_rules: CacheRules,
    /// How it is served, which many zones have in common.
    pub manner: Arc<Manner>,
    /// What it reaches beyond the snapshot.
    pub home: Arc<Home>,
    /// TLS towards clients, of all that have it alike; none when no certificate could be had.
    pub shared_tls: Option<Arc<ServerConfig>>,
    /// Its certificate, where that is a file.
    pub certificate: Option<Arc<Kept>>,
    /// What somebody has needed.
    pub awake: OnceLock<Box<Awake>>,
    /// When a request was kept for replays.
    pub sampled: Sampled,
}

/// What a zone needs once somebody asks for it.
#[derive(Debug)]
pub struct Awake {
    /// Location, name and version as Records write them.
    place: Box<[u8]>,
    pool: OnceLock<Pool>,
    tls: OnceLock<Arc<ServerConfig>>,
    quic: OnceLock<Arc<ServerConfig>>,
}

/// How a zone is served, which many zones have in common.
#[derive(Debug)]
pub struct Manner {
    /// How its pool behaves.
    pub pool_settings: Settings,
    /// What decides which origin gets a request.
    pub by: By,
    /// Its certificates come by ACME.
    pub acme: bool,
    /// SNI and Host must name the same zone: it has client certificates or a TLS policy of its own.
    pub strict_tls: bool,
    /// A client without a certificate is refused, so cleartext is.
    pub needs_tls: bool,
    /// Plain HTTP is answered with a redirect.
    pub redirect_https: bool,
    /// `Strict-Transport-Security`, ready to be sent.
    pub hsts: Option<Box<str>>,
    /// What is changed in responses.
    pub response_edits: Edits,
    /// What the cache makes of a request; none: nothing.
    pub cache: Option<seawall_cache::policy::Plan>,
    /// The one location that asks its origins, where others ask that one.
    pub shield: Option<Box<str>>,
    /// What is done with what pages say that they need.
    pub links: Links,
    /// What is compressed; none: nothing.
    pub compress: Option<Compress>,
    /// Some of its requests are kept in memory for a while, to judge changes by.
    pub replay: bool,
    /// WebSocket may be spoken.
    pub websocket: bool,
    /// How patient we are with its origins.
    pub timeouts: Timeouts,
    /// How its origins are probed.
    pub probe: Option<Probe>,
}

impl Deref for Zone {
    type Target = Manner;

    fn deref(&self) -> &Manner {
        &self.manner
    }
}

impl Zone {
    fn awake(&self) -> &Awake {
        self.awake.get_or_init(|| {
            Box::new(Awake {
                place: place(&self.home.location, &self.name, &self.version),
                pool: OnceLock::new(),
                tls: OnceLock::new(),
                quic: OnceLock::new(),
            })
        })
    }

    /// Location, name and version as Records write them.
    pub fn place(&self) -> &[u8] {
        &self.awake().place
    }

    /// Its origins' state.
    pub fn pool(&self) -> &Pool {
        self.awake().pool.get_or_init(|| {
            let ids = self.origins.iter();
            let ids = ids.map(|origin| (&*origin.id, origin.weight.into()));
            // What outlives a configuration is found again by this.
            let scope = format!("{:016x}", self.id.0);
            let pool = Pool::new(&scope, ids, self.manner.pool_settings, &self.home.members);
            // An address needs no resolver: the first request finds it.
            for (member, origin) in pool.members().zip(&self.origins) {
                if let Some(address) = origin.address()
                    && *member.addresses() != [address]
                {
                    member.set_addresses(&[address]);
                }
            }
            pool
        })
    }

    /// The same, if anybody has needed it.
    pub fn pool_in_use(&self) -> Option<&Pool> {
        self.awake.get()?.pool.get()
    }

    /// Whether its origins are resolved or probed.
    pub fn is_watched(&self) -> bool {
        let by_name = |origin: &Origin| {
            matches!(origin.at, Place::Server { .. }) && origin.address().is_none()
        };
        self.probe.is_some() || self.origins.iter().any(by_name)
    }

    /// TLS towards clients, with ticket keys of its own: a ticket of another zone cannot be opened with them.
    pub fn tls(&self) -> Option<&Arc<ServerConfig>> {
        let shared = self.shared_tls.as_ref()?;
        let own = || {
            let mut own = ServerConfig::clone(shared);
            own.ticketer = self.home.tickets.of(self.id.0);
            if let Some(kept) = &self.certificate {
                own.cert_resolver = self.home.keys.resolver(kept, self.id.0);
            } else if self.acme {
                let published = self.home.certificates.clone();
                own.cert_resolver = by_name(published, own.cert_resolver, self.id.0);
            }
            Arc::new(own)
        };
        Some(self.awake().tls.get_or_init(own))
    }

    /// TLS towards clients over QUIC. Early data only where no client certificates are looked at.
    pub fn tls_over_quic(&self, all: &Arc<Sessions>) -> Option<Arc<ServerConfig>> {
        let tcp = self.tls()?;
        let made = || sessions::over_quic(tcp, self.id, all, !self.strict_tls);
        Some(self.awake().quic.get_or_init(made).clone())
    }

    /// The first of its hosts that is one name.
    pub fn first_host(&self) -> Option<&str> {
        self.hosts.iter().find_map(|pattern| match pattern {
            HostPattern::Exact(host) => Some(host.as_str()),
            HostPattern::Under(_) | HostPattern::Any => None,
        })
    }
}

/// How patient we are with origins.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Connecting, TLS included.
    pub connect: Duration,
    /// From the end of the request to the response's head.
    pub header: Duration,
    /// Between two pieces of a body, either way.
    pub idle: Duration,
    /// The whole exchange.
    pub total: Option<Duration>,
}

/// How an origin is reached.
#[derive(Debug)]
pub struct Origin {
    /// Where.
    pub at: Place,
    /// The `Host` it gets; none passes the client's.
    pub host: Option<Box<[u8]>>,
    /// The version of the PROXY protocol that its connections begin with.
    pub announce: Option<proxy_protocol::Version>,
    /// Which HTTP it speaks.
    pub protocol: OriginProtocol,
    /// Its share relative to the others.
    pub weight: u16,
    /// It is another location of ours, whose bounds are not the zone's.
    pub is_parent: bool,
    /// What it is, as one text: its URL and all that decides how its connections are made.
    pub id: Box<str>,
}

impl Origin {
    /// Where it is, if that needs no resolver.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.at {
            Place::Server { host, port, .. } => Some(SocketAddr::new(host.parse().ok()?, *port)),
            Place::Sample | Place::Unix(_) | Place::Files(_) => None,
        }
    }
}

/// Where an origin is.
#[derive(Debug)]
pub enum Place {
    /// The built-in sample site.
    Sample,
    /// A server.
    Server {
        /// Its name or address, for DNS and for messages.
        host: Box<str>,
        /// Its port.
        port: u16,
        /// How TLS is spoken to it; none is cleartext.
        tls: Option<Box<OriginTls>>,
    },
    /// A unix socket of this machine, by its path.
    Unix(Box<Path>),
    /// A folder, whose files we serve.
    Files(Site),
}

/// TLS towards an origin.
#[derive(Debug)]
pub struct OriginTls {
    /// The name that its certificate must have.
    pub name: ServerName<'static>,
    /// For requests of either version of HTTP.
    pub any: Arc<ClientConfig>,
    /// For WebSocket, which needs HTTP/1.1.
    pub http1: Arc<ClientConfig>,
    /// When the certificate is good that we show to it; none where we show none.
    pub shown: Option<Validity>,
}

/// How origins are probed.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The path asked for.
    pub path: Box<str>,
    /// The `Host` asked for, before the origin's own.
    pub host: Option<Box<str>>,
    /// How often.
    pub every: Duration,
    /// The longest it may take.
    pub timeout: Duration,
    /// Which statuses are good.
    pub good: Box<[std::ops::RangeInclusive<u16>]>,
}
