//! A configuration as it serves: compiled, complete, immutable. One request holds one of them from its head to its Record.
//!
//! Not here: how a document becomes one ([`compile`](crate::compile)), and what outlives it (pools' members, metrics slots,
//! ticket keys: State).

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
use seawall_net::proxy_protocol::Version;
use seawall_rules::{NetworkSet, ZonePatterns};
use seawall_telemetry::ZoneSlot;

use crate::compress::Compress;
use crate::files::Site;
use crate::hosts::HostTable;
use crate::origin::Pool;
use crate::sessions::{self, Sessions};

/// A configuration as it serves.
#[derive(Debug)]
pub struct Snapshot {
    /// Which it is, for `/state`: a short hash of what holds for all zones, and of each zone's version.
    pub version: Box<str>,
    /// The version of what all zones share, `[edge]` and `[lists]`, as the number that its hexadecimal digits would be.
    pub platform: u64,
    /// The zones.
    pub zones: Box<[Arc<Zone>]>,
    /// From host to zone.
    pub hosts: HostTable,
    /// What holds for all zones.
    pub edge: Edge,
    /// Lists of networks, sorted by name.
    pub lists: Box<[List]>,
}

impl Snapshot {
    /// The zone of a host, as it came in `Host` or `:authority`.
    pub fn zone(&self, authority: &[u8]) -> Option<&Arc<Zone>> {
        self.zones.get(self.hosts.find(authority)? as usize)
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
    /// Its networks.
    pub networks: Arc<NetworkSet>,
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
    /// Client addresses whose counters are kept, all zones together.
    pub client_table: u64,
    /// Streams at once on one connection of HTTP/2 or HTTP/3.
    pub h2_streams: u32,
    /// Stages that are switched off in all zones, also in those that stay as they were.
    pub kill: Box<[String]>,
    /// The HTTPS port that clients see, for redirects; none is 443.
    pub public_https: u16,
    /// Degradations that make `/readyz` say no.
    pub unready_when: Box<[String]>,
}

/// One zone.
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
    pub version: Box<str>,
    /// The number that the version's digits are.
    pub version_number: u64,
    /// The hosts that it asks for. A snapshot may give some to another zone.
    pub hosts: Box<[HostPattern]>,
    /// Location, name and version as Records write them.
    pub place: Box<[u8]>,
    /// Its origins' state.
    pub pool: Arc<Pool>,
    /// What decides which origin gets a request.
    pub by: By,
    /// Its origins, by the index that the pool gives.
    pub origins: Box<[Origin]>,
    /// TLS towards clients; none when no certificate could be had.
    pub tls: Option<Arc<ServerConfig>>,
    /// The same over QUIC, made when a client first needs it.
    pub quic: OnceLock<Arc<ServerConfig>>,
    /// What judges its requests and responses.
    pub guard: Guard,
    /// The patterns of its rules, to be shared with the next snapshot and charged there.
    pub patterns: ZonePatterns,
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
    /// What it says under maintenance, in HTML; none: a page of ours.
    pub maintenance: Option<Box<[u8]>>,
    /// What is compressed; none: nothing.
    pub compress: Option<Compress>,
    /// WebSocket may be spoken.
    pub websocket: bool,
    /// How patient we are with its origins.
    pub timeouts: Timeouts,
    /// How its origins are probed.
    pub probe: Option<Probe>,
}

impl Zone {
    /// TLS towards clients over QUIC. Early data only where no client certificates are looked at.
    pub fn tls_over_quic(&self, all: &Arc<Sessions>) -> Option<Arc<ServerConfig>> {
        let tcp = self.tls.as_ref()?;
        let made = || sessions::over_quic(tcp, self.id, all, !self.strict_tls);
        Some(self.quic.get_or_init(made).clone())
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
    pub announce: Option<Version>,
    /// Which HTTP it speaks.
    pub protocol: OriginProtocol,
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
        tls: Option<OriginTls>,
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
}

/// How origins are probed.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The path asked for.
    pub path: Box<str>,
    /// The `Host` asked for, before the origin's own.
    pub host: Option<Box<str>>,
    /// The zone's first host, for origins without a `Host` of their own.
    pub first_host: Option<Box<str>>,
    /// How often.
    pub every: Duration,
    /// The longest it may take.
    pub timeout: Duration,
    /// Which statuses are good.
    pub good: Box<[std::ops::RangeInclusive<u16>]>,
}
