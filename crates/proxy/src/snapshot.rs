//! A configuration as it serves: compiled, complete, immutable. One request holds one of them from its head to its Record.
//!
//! Not here: how a document becomes one ([`compile`](crate::compile)), and what outlives it (pools' members, metrics slots,
//! ticket keys: State).

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use seawall_model::document::Protocol as OriginProtocol;
use seawall_model::{Fields, Network};
use seawall_net::downstream::BodyPace;
use seawall_net::h1::HeadLimits;
use seawall_net::outward::Outward;
use seawall_telemetry::ZoneSlot;

use crate::hosts::HostTable;
use crate::origin::Pool;

/// A configuration as it serves.
#[derive(Debug)]
pub struct Snapshot {
    /// Which it is, for Records and `/state`: a short hash of the document.
    pub version: Box<str>,
    /// The zones.
    pub zones: Box<[Arc<Zone>]>,
    /// From host to zone.
    pub hosts: HostTable,
    /// What holds for all zones.
    pub edge: Edge,
}

impl Snapshot {
    /// The zone of a host, as it came in `Host` or `:authority`.
    pub fn zone(&self, authority: &[u8]) -> Option<&Arc<Zone>> {
        self.zones.get(self.hosts.find(authority)? as usize)
    }
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
    /// Streams at once on one HTTP/2 connection.
    pub h2_streams: u32,
    /// The HTTPS port that clients see, for redirects; none is 443.
    pub public_https: u16,
    /// Degradations that make `/readyz` say no.
    pub unready_when: Box<[String]>,
}

/// One zone.
#[derive(Debug)]
pub struct Zone {
    /// Its name.
    pub name: Box<str>,
    /// Its place in metrics.
    pub slot: ZoneSlot,
    /// Its version, for Records.
    pub version: Box<str>,
    /// Location, name and version as Records write them.
    pub place: Box<[u8]>,
    /// Its origins' state.
    pub pool: Arc<Pool>,
    /// Its origins, by the index that the pool gives.
    pub origins: Box<[Origin]>,
    /// TLS towards clients; none when no certificate could be had.
    pub tls: Option<Arc<ServerConfig>>,
    /// SNI and Host must name the same zone: it has client certificates or a TLS policy of its own.
    pub strict_tls: bool,
    /// A client without a certificate is refused, so cleartext is.
    pub needs_tls: bool,
    /// Plain HTTP is answered with a redirect.
    pub redirect_https: bool,
    /// `Strict-Transport-Security`, ready to be sent.
    pub hsts: Option<Box<str>>,
    /// What is changed in requests.
    pub request_edits: Edits,
    /// What is changed in responses.
    pub response_edits: Edits,
    /// The largest request body, in bytes.
    pub max_body: Option<u64>,
    /// WebSocket may be spoken.
    pub websocket: bool,
    /// How patient we are with its origins.
    pub timeouts: Timeouts,
    /// How its origins are probed.
    pub probe: Option<Probe>,
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

/// Changes of a head's fields.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// Names taken out: those removed and those set.
    pub remove: Box<[Box<[u8]>]>,
    /// Fields put in.
    pub put: Fields,
}

impl Edits {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.put.is_empty()
    }

    /// Makes the changes.
    pub fn apply(&self, fields: &mut Fields) {
        for name in &self.remove {
            fields.remove_named(name);
        }
        for field in self.put.iter() {
            fields.push(field.name, field.value);
        }
    }
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
