//! What holds for the edge as a whole: where it listens, whom it trusts, what clients may cost.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::acme::Acme;
use super::keys::{OUTWARD, UNREADY};
use super::parents::{self, Parent};
use super::reader::{Reader, put};
use super::value::address;
use super::write::Entries;
use crate::network::Network;
use crate::problem::{Wrong, quote};

/// The section `[edge]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The location's name: 1 to 16 of `a-z`, `0-9`, `-`. Default `local`.
    pub location: String,
    /// Where plain HTTP is served; empty for nowhere. Default `0.0.0.0:8080`.
    pub http: Vec<SocketAddr>,
    /// Where HTTPS is served; empty for nowhere. Default `0.0.0.0:8443`.
    pub https: Vec<SocketAddr>,
    /// HTTP/3 is served beside HTTPS, on UDP ports of the same numbers. Default: yes.
    pub http3: bool,
    /// The read-only admin port. Default `127.0.0.1:8801`.
    pub admin: Option<SocketAddr>,
    /// Worker threads. Default: one for each core.
    pub workers: Option<usize>,
    /// A second worker waits, ready to serve when the first one dies. Default: no.
    pub spare: bool,
    /// Peers whose forwarding headers are believed. Default: none.
    pub trusted_proxies: Vec<Network>,
    /// Listeners on which those peers begin with the PROXY protocol. Default: none.
    pub proxy_protocol: AnnouncedListeners,
    /// What addresses may be connected to, where it is written; [`Edge::outward`] says what holds.
    pub outward: Option<Outward>,
    /// Locations that others ask before they ask an origin, by their names. Default: none.
    pub parents: Vec<Parent>,
    /// What makes `/readyz` answer 503, of `breakers_open`, `config_stale`, `safe_mode`, `quarantine`, `origins_down`, `dns_stale`,
    /// `access_log`, `descriptors`, `older_configuration`, `not_on_disk`. Default: none of them.
    pub unready_when: Vec<String>,
    /// Stages that an emergency switch turns off in all zones, by name; which there are is not known here. Default: none.
    pub kill: Vec<String>,
    /// The port at which clients reach plain HTTP. Default: that of the first listener.
    pub public_http: Option<u16>,
    /// The port at which clients reach HTTPS. Default: that of the first listener.
    pub public_https: Option<u16>,
    /// One line for each request. Default: a file.
    pub access_log: AccessLog,
    /// Certificates that come by themselves.
    pub acme: Acme,
    /// Bounds on clients.
    pub limits: EdgeLimits,
}

/// Listeners on which trusted peers begin with the PROXY protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnnouncedListeners {
    /// Those of plain HTTP.
    pub http: bool,
    /// Those of HTTPS.
    pub https: bool,
}

/// Stages that can be switched off at once: more than there are.
const MOST_KILLED: usize = 64;
/// Bytes of the cache's disk below which it is of no use.
const LEAST_CACHE_DISK: u64 = 128 << 20;

/// The name of a stage, as far as it can be judged here.
fn stage(text: &str) -> Result<String, Wrong> {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..=32).contains(&text.len()) && text.bytes().all(known) {
        return Ok(text.to_owned());
    }
    let what = format!("{} is no name of a stage", quote(text));
    Err(Wrong::new(what, "write one such as \"rules\""))
}

impl Default for Edge {
    fn default() -> Self {
        let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        Self {
            location: "local".into(),
            http: vec![any(8080)],
            https: vec![any(8443)],
            http3: true,
            admin: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8801))),
            workers: None,
            spare: false,
            trusted_proxies: Vec::new(),
            proxy_protocol: AnnouncedListeners::default(),
            outward: None,
            parents: Vec::new(),
            unready_when: Vec::new(),
            kill: Vec::new(),
            public_http: None,
            public_https: None,
            access_log: AccessLog::default(),
            acme: Acme::default(),
            limits: EdgeLimits::default(),
        }
    }
}

/// What addresses origins, log targets and other peers of ours may have. Link-local and metadata addresses are never
/// allowed, whatever stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outward {
    /// Addresses of the internet.
    pub public: bool,
    /// Private addresses (RFC 1918, RFC 4193).
    pub private: bool,
    /// This machine.
    pub loopback: bool,
}

impl Edge {
    /// What addresses may be connected to: as it is written. Else all three kinds, but not this machine at a location that has joined:
    /// what is written elsewhere is to reach nothing there that nobody thought of.
    #[must_use]
    pub fn outward(&self, has_joined: bool) -> Outward {
        self.outward.unwrap_or(Outward {
            public: true,
            private: true,
            loopback: !has_joined,
        })
    }
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// To a file, or to standard output.
    File(LogFile),
}

impl Default for AccessLog {
    fn default() -> Self {
        Self::File(LogFile::default())
    }
}

/// A log file and its rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Relative to the data folder; `-` is standard output. Default `access.log`.
    pub file: PathBuf,
    /// The size in bytes at which a new file is begun. Default 100 MiB.
    pub rotate_at: u64,
    /// How many old files are kept. Default 5.
    pub keep: u32,
}

impl Default for LogFile {
    fn default() -> Self {
        Self {
            file: "access.log".into(),
            rotate_at: 100 << 20,
            keep: 5,
        }
    }
}

/// Bounds on clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeLimits {
    /// Bytes of a request head. Default 32 KiB.
    pub head_bytes: u64,
    /// Bytes of path and query. Default 8 KiB.
    pub target_bytes: u64,
    /// Header fields of a request. Default 100.
    pub fields: u32,
    /// For a whole request head to arrive. Default 10 s.
    pub header_timeout: Duration,
    /// Between requests. Default 75 s.
    pub idle_timeout: Duration,
    /// Without any byte of a request body. Default 30 s.
    pub body_idle_timeout: Duration,
    /// Bytes per second that a request body must average; 0 switches it off. Default 240.
    pub body_min_rate: u64,
    /// In which a client takes no byte of its response. Default 30 s.
    pub write_timeout: Duration,
    /// Client connections of this machine. Default 100,000.
    pub connections: u64,
    /// Connections of one client address; 0 is no limit. Default 16,384: an office, or a load test.
    pub connections_per_client: u32,
    /// Requests of one connection; 0 is no limit. Default 0.
    pub requests_per_connection: u32,
    /// Requests in progress, all zones together; one zone may hold at most as many as are free. Default 100,000.
    pub requests_in_progress: u64,
    /// Bytes of request bodies that are held while they are looked at, all zones together. Default 256 MiB.
    pub body_memory: u64,
    /// Bytes of responses that are kept, all zones together; a quarter more may be on its way into it, and as much again may be held for clients
    /// that are slow to take it. Default 256 MiB.
    pub cache_memory: u64,
    /// Bytes on disk for responses that are kept; 0: none, else at least 128 MiB. Default none.
    pub cache_disk: u64,
    /// Client addresses whose counters are kept, all zones together. Default 1,000,000.
    pub client_table: u64,
    /// Concurrent streams of an HTTP/2 connection. Default 128.
    pub h2_streams: u32,
    /// For a TLS handshake. Default 10 s.
    pub tls_handshake_timeout: Duration,
    /// That running requests get when the edge stops. Default 10 s.
    pub drain: Duration,
    /// That requests and tunnels of a worker get when another one serves. Default 5 min.
    pub retire: Duration,
    /// Bytes of memory from which a worker is replaced; 0 is four fifths of the machine's. Default 0.
    pub memory: u64,
    /// That a version must serve before it counts as good: what is served instead of one that brings workers down. Default
    /// 1 min.
    pub soak: Duration,
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self {
            head_bytes: 32 << 10,
            target_bytes: 8 << 10,
            fields: 100,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_idle_timeout: Duration::from_secs(30),
            body_min_rate: 240,
            write_timeout: Duration::from_secs(30),
            connections: 100_000,
            connections_per_client: 16_384,
            requests_per_connection: 0,
            requests_in_progress: 100_000,
            body_memory: 256 << 20,
            cache_memory: 256 << 20,
            cache_disk: 0,
            client_table: 1_000_000,
            h2_streams: 128,
            tls_handshake_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            retire: Duration::from_secs(300),
            memory: 0,
            soak: Duration::from_secs(60),
        }
    }
}

impl Edge {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut edge = Self::default();
        let limits = reader.limits;
        put(&mut edge.location, reader.parsed("location", location));
        put(&mut edge.http, listeners(&mut reader, "http", &[]));
        put(&mut edge.https, listeners(&mut reader, "https", &edge.http));
        put(&mut edge.http3, reader.flag("http3"));
        put(
            &mut edge.admin,
            reader.parsed("admin", |text| match text {
                "none" => Ok(None),
                text => address(text).map(Some),
            }),
        );
        edge.workers = reader.number("workers");
        put(&mut edge.spare, reader.flag("spare"));
        put(
            &mut edge.trusted_proxies,
            reader.list("trusted_proxies", limits.trusted_proxies, Network::parse),
        );
        let at = reader.peek("proxy_protocol").map(|found| found.offset);
        if let Some(kinds) = reader.words("proxy_protocol") {
            edge.proxy_protocol = AnnouncedListeners {
                http: kinds.contains(&"http"),
                https: kinds.contains(&"https"),
            };
            if !kinds.is_empty() && edge.trusted_proxies.is_empty() {
                let help = "write trusted_proxies = [\"…\"]: who is believed";
                reader.refuse("proxy_protocol", at, Wrong::new("has no effect", help));
            }
        }
        if let Some(kinds) = reader.words("outward") {
            let has = |kind| kinds.contains(&kind);
            edge.outward = Some(Outward {
                public: has("public"),
                private: has("private"),
                loopback: has("loopback"),
            });
        }
        put(
            &mut edge.parents,
            reader.table("parents").map(parents::read),
        );
        if let Some(words) = reader.words("unready_when") {
            edge.unready_when = words.into_iter().map(str::to_owned).collect();
        }
        put(&mut edge.kill, reader.list("kill", MOST_KILLED, stage));
        edge.public_http = reader.number("public_http");
        edge.public_https = reader.number("public_https");
        put(&mut edge.access_log, AccessLog::read(&mut reader));
        put(&mut edge.acme, reader.table("acme").map(Acme::read));
        put(
            &mut edge.limits,
            reader.table("limits").map(EdgeLimits::read),
        );
        reader.close();
        edge
    }

    pub(super) fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        if self.location != default.location {
            entries.text("location", &self.location);
        }
        if self.http != default.http {
            entries.list("http", &self.http);
        }
        if self.https != default.https {
            entries.list("https", &self.https);
        }
        entries.flag("http3", self.http3, default.http3);
        match self.admin {
            None => entries.text("admin", "none"),
            admin if admin != default.admin => {
                entries.text_if("admin", admin.map(|a| a.to_string()).as_deref())
            }
            _ => {}
        }
        entries.number_if(
            "workers",
            self.workers.and_then(|number| u64::try_from(number).ok()),
        );
        entries.flag("spare", self.spare, default.spare);
        if !self.trusted_proxies.is_empty() {
            entries.list("trusted_proxies", &self.trusted_proxies);
        }
        if self.proxy_protocol != default.proxy_protocol {
            let AnnouncedListeners { http, https } = self.proxy_protocol;
            let words = [("http", http), ("https", https)].into_iter();
            let words: Vec<&str> = words.filter_map(|(word, is)| is.then_some(word)).collect();
            entries.list("proxy_protocol", &words);
        }
        if let Some(outward) = self.outward {
            let allowed = [outward.public, outward.private, outward.loopback];
            let words: Vec<&str> = OUTWARD
                .iter()
                .zip(allowed)
                .filter(|(_, allowed)| *allowed)
                .map(|(word, _)| *word)
                .collect();
            entries.list("outward", &words);
        }
        entries.table_if("parents", parents::entries(&self.parents));
        if !self.unready_when.is_empty() {
            entries.list("unready_when", &self.unready_when);
        }
        if !self.kill.is_empty() {
            entries.list("kill", &self.kill);
        }
        entries.number_if("public_http", self.public_http.map(u64::from));
        entries.number_if("public_https", self.public_https.map(u64::from));
        match &self.access_log {
            AccessLog::Off => entries.text("access_log", "off"),
            AccessLog::File(file) => entries.table_if("access_log", file.entries()),
        }
        entries.table_if("acme", self.acme.entries());
        entries.table_if("limits", self.limits.entries());
        entries
    }

    /// The words that `unready_when` may hold.
    pub const UNREADY_WORDS: &'static [&'static str] = UNREADY;
}

/// Reads the name of a location.
///
/// # Errors
/// When it is none.
pub fn location(text: &str) -> Result<String, Wrong> {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() || text.len() > 16 || !text.bytes().all(known) {
        let help = "1 to 16 of a-z, 0-9 and -";
        return Err(Wrong::new(
            format!("{} is no name of a location", quote(text)),
            help,
        ));
    }
    Ok(text.to_owned())
}

/// Listen addresses; port 0 may stand twice, any other address only once, here and in `others`.
fn listeners(
    reader: &mut Reader<'_, '_>,
    name: &str,
    others: &[SocketAddr],
) -> Option<Vec<SocketAddr>> {
    let most = reader.limits.listeners;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for item in reader.items(name, most, address)? {
        let mut before = addresses.iter().chain(others);
        if item.value.port() != 0 && before.any(|before| *before == item.value) {
            let what = format!("\"{}\" is listened at already", item.value);
            let at = format!("{name}[{}]", item.nth);
            reader.refuse(&at, Some(item.offset), Wrong::new(what, "leave one out"));
        }
        addresses.push(item.value);
    }
    Some(addresses)
}

impl AccessLog {
    fn read(reader: &mut Reader<'_, '_>) -> Option<Self> {
        let found = reader.take("access_log")?;
        if found.value.as_str() == Some("off") {
            return Some(Self::Off);
        }
        if !found.value.is_table() {
            let help = "write \"off\", or { file = \"access.log\" }";
            reader.refuse(
                "access_log",
                Some(found.offset),
                Wrong::new("is no table", help),
            );
            return None;
        }
        let mut reader = reader.table_of(found)?;
        let mut log = LogFile::default();
        put(&mut log.file, reader.file("file"));
        put(&mut log.rotate_at, reader.size("rotate_at"));
        put(&mut log.keep, reader.number("keep"));
        reader.close();
        Some(Self::File(log))
    }
}

impl LogFile {
    fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        if self.file != default.file {
            entries.text("file", &self.file.to_string_lossy());
        }
        entries.size("rotate_at", self.rotate_at, default.rotate_at);
        entries.number("keep", self.keep, default.keep);
        entries
    }
}

impl EdgeLimits {
    fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut limits = Self::default();
        let at = reader
            .peek("target_bytes")
            .or_else(|| reader.peek("head_bytes"))
            .map(|found| found.offset);
        put(&mut limits.head_bytes, reader.size("head_bytes"));
        put(&mut limits.target_bytes, reader.size("target_bytes"));
        put(&mut limits.fields, reader.number("fields"));
        put(
            &mut limits.header_timeout,
            reader.duration("header_timeout"),
        );
        put(&mut limits.idle_timeout, reader.duration("idle_timeout"));
        put(
            &mut limits.body_idle_timeout,
            reader.duration("body_idle_timeout"),
        );
        put(&mut limits.body_min_rate, reader.size("body_min_rate"));
        put(&mut limits.write_timeout, reader.duration("write_timeout"));
        put(&mut limits.connections, reader.number("connections"));
        put(
            &mut limits.connections_per_client,
            reader.number("connections_per_client"),
        );
        put(
            &mut limits.requests_per_connection,
            reader.number("requests_per_connection"),
        );
        put(
            &mut limits.requests_in_progress,
            reader.number("requests_in_progress"),
        );
        put(&mut limits.body_memory, reader.size("body_memory"));
        put(&mut limits.cache_memory, reader.size("cache_memory"));
        let disk = reader.peek("cache_disk").map(|found| found.offset);
        put(&mut limits.cache_disk, reader.size("cache_disk"));
        if (1..LEAST_CACHE_DISK).contains(&limits.cache_disk) {
            let help = "write \"128MiB\" or more, or \"0B\" for none";
            reader.refuse(
                "cache_disk",
                disk,
                Wrong::new("is too little to be of use", help),
            );
        }
        put(&mut limits.client_table, reader.number("client_table"));
        put(&mut limits.h2_streams, reader.number("h2_streams"));
        put(
            &mut limits.tls_handshake_timeout,
            reader.duration("tls_handshake_timeout"),
        );
        put(&mut limits.drain, reader.duration("drain"));
        put(&mut limits.retire, reader.duration("retire"));
        put(&mut limits.memory, reader.size("memory"));
        put(&mut limits.soak, reader.duration("soak"));
        if limits.target_bytes > limits.head_bytes {
            let wrong = Wrong::new(
                "is larger than head_bytes",
                "the target is a part of the head",
            );
            reader.refuse("target_bytes", at, wrong);
        }
        reader.close();
        limits
    }

    fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        entries.size("head_bytes", self.head_bytes, default.head_bytes);
        entries.size("target_bytes", self.target_bytes, default.target_bytes);
        entries.number("fields", self.fields, default.fields);
        entries.duration(
            "header_timeout",
            self.header_timeout,
            default.header_timeout,
        );
        entries.duration("idle_timeout", self.idle_timeout, default.idle_timeout);
        entries.duration(
            "body_idle_timeout",
            self.body_idle_timeout,
            default.body_idle_timeout,
        );
        entries.size("body_min_rate", self.body_min_rate, default.body_min_rate);
        entries.duration("write_timeout", self.write_timeout, default.write_timeout);
        entries.number("connections", self.connections, default.connections);
        entries.number(
            "connections_per_client",
            self.connections_per_client,
            default.connections_per_client,
        );
        entries.number(
            "requests_per_connection",
            self.requests_per_connection,
            default.requests_per_connection,
        );
        entries.number(
            "requests_in_progress",
            self.requests_in_progress,
            default.requests_in_progress,
        );
        entries.size("body_memory", self.body_memory, default.body_memory);
        entries.size("cache_memory", self.cache_memory, default.cache_memory);
        entries.size("cache_disk", self.cache_disk, default.cache_disk);
        entries.number("client_table", self.client_table, default.client_table);
        entries.number("h2_streams", self.h2_streams, default.h2_streams);
        entries.duration(
            "tls_handshake_timeout",
            self.tls_handshake_timeout,
            default.tls_handshake_timeout,
        );
        entries.duration("drain", self.drain, default.drain);
        entries.duration("retire", self.retire, default.retire);
        entries.size("memory", self.memory, default.memory);
        entries.duration("soak", self.soak, default.soak);
        entries
    }
}
