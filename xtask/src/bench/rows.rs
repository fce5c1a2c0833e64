//! The rows: which work, measured how, and what is to be reached.

use super::contenders::Contender;
use super::firewall::Shape;
use super::million::Million;
use super::programs::Program;

/// One line of the bench.
pub struct Row {
    pub name: &'static str,
    pub what: &'static str,
    pub work: Work,
    pub unit: &'static str,
    pub targets: &'static [Target],
}

/// What the load generator does and what is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// CPU time per completed request, HTTP/1.1 without TLS.
    PlainRequests { file: File, connections: u32 },
    /// CPU time per completed request, HTTP/2 over TLS.
    SecureRequests {
        file: File,
        connections: u32,
        streams: u32,
    },
    /// CPU time per completed request, HTTP/3.
    Http3Requests {
        file: File,
        connections: u32,
        streams: u32,
    },
    /// CPU time per full handshake with one request on it.
    Handshakes,
    /// Memory that one more idle connection takes.
    IdleConnections(Protocol),
    /// Resident memory of a worker after load.
    Resident,
    /// Requests that fail while the program is replaced under load.
    Upgrades { times: u32, clients: u32 },
    /// A million zones in a real process.
    Million(Million),
    /// User-space instructions per request.
    Instructions(Protocol),
    /// User-space instructions per request that the guard takes of them.
    Guard(Guarded),
    /// CPU time per request that the Core Rule Set adds.
    Rules { shape: Shape, paranoia: u8 },
    /// Milliseconds for an answer of 10 MiB from a disk, of which the system has nothing in memory.
    FromDisk,
    /// What a program of ours prints about itself.
    Program(Program),
}

/// How the zone is configured whose guard is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guarded {
    /// The default stages, with nothing to do.
    Idle,
    /// Lists, limits, rules and hygiene.
    Configured,
}

impl Guarded {
    pub fn template(self) -> &'static str {
        match self {
            Self::Idle => "seawall.toml",
            Self::Configured => "guard.toml",
        }
    }
}

/// A file that the origin serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum File {
    OneKib,
    OneMib,
    /// With a lifetime: from the second request on it is a hit.
    KeptOneKib,
    /// The same.
    KeptHundredKib,
}

impl File {
    pub fn path(self) -> &'static str {
        match self {
            Self::OneKib => "/1k",
            Self::OneMib => "/1m",
            Self::KeptOneKib => "/kept/1k",
            Self::KeptHundredKib => "/kept/100k",
        }
    }

    pub fn bytes(self) -> usize {
        match self {
            Self::OneKib | Self::KeptOneKib => 1 << 10,
            Self::KeptHundredKib => 100 << 10,
            Self::OneMib => 1 << 20,
        }
    }

    /// Whether caches may keep it.
    pub fn is_kept(self) -> bool {
        matches!(self, Self::KeptOneKib | Self::KeptHundredKib)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    Http1,
    Http2,
}

/// What a row is to reach. Ratios are ours ÷ theirs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Target {
    /// At most this share of the cheaper of nginx and HAProxy, hence of each.
    OfCheaper(f64),
    /// At most this share of one peer.
    Of(Contender, f64),
    /// At most this share of the bare relay.
    OfRelay(f64),
    /// At most this share of the bare relay of HTTP/3.
    OfQuinn(f64),
    /// At most this many of the row's unit.
    AtMost(f64),
}

impl Row {
    /// The relay has no TLS and no memory worth comparing: it bounds the plain rows alone.
    pub fn with_relay(&self) -> bool {
        matches!(self.work, Work::PlainRequests { file, .. } if !file.is_kept())
    }

    /// What every cache answers by itself; the relay has none, and Varnish is nothing else.
    pub fn kept(&self) -> Option<File> {
        match self.work {
            Work::PlainRequests { file, .. } if file.is_kept() => Some(file),
            _ => None,
        }
    }

    /// What only we have, or only our own programs tell, has no peers; nor has HTTP/3, which theirs do not speak.
    pub fn has_peers(&self) -> bool {
        !matches!(
            self.work,
            Work::Guard(_)
                | Work::Program(_)
                | Work::Http3Requests { .. }
                | Work::Upgrades { .. }
                | Work::Million(_)
                | Work::Rules { .. }
        )
    }

    /// Whom a row of rules is compared with: another firewall, and at paranoia 4 ourselves at 1.
    pub fn beside_rules(&self) -> &'static [Contender] {
        match self.work {
            Work::Rules { paranoia: 1, .. } => &[Contender::Modsecurity],
            Work::Rules { .. } => &[Contender::Modsecurity, Contender::SeawallAtOne],
            _ => &[],
        }
    }

    /// HTTP/3 is compared with the libraries alone.
    pub fn with_quinn(&self) -> bool {
        matches!(self.work, Work::Http3Requests { .. })
    }

    /// The program of ours that measures it.
    pub fn program(&self) -> Option<Program> {
        match self.work {
            Work::Program(program) => Some(program),
            _ => None,
        }
    }

    /// Whether the bench fails where its target is missed, also when it is not told to enforce any.
    pub fn must_hold(&self) -> bool {
        self.program().is_some_and(Program::is_of_fuel)
    }

    /// Factor from CPU microseconds per request to the row's unit.
    pub fn scale(&self) -> f64 {
        match self.work {
            // 1024 requests are a GiB; microseconds to milliseconds.
            Work::PlainRequests {
                file: File::OneMib, ..
            }
            | Work::SecureRequests {
                file: File::OneMib, ..
            }
            | Work::Http3Requests {
                file: File::OneMib, ..
            } => 1.024,
            _ => 1.0,
        }
    }
}

impl Target {
    /// The contenders that this target is judged against.
    pub fn against(&self) -> &'static [Contender] {
        match self {
            Self::OfCheaper(_) => &[Contender::Nginx, Contender::Haproxy],
            Self::Of(Contender::Nginx, _) => &[Contender::Nginx],
            Self::Of(Contender::Haproxy, _) => &[Contender::Haproxy],
            Self::Of(Contender::Varnish, _) => &[Contender::Varnish],
            Self::Of(Contender::Modsecurity, _) => &[Contender::Modsecurity],
            Self::Of(Contender::SeawallAtOne, _) => &[Contender::SeawallAtOne],
            Self::Of(..) => &[],
            Self::OfRelay(_) => &[Contender::Relay],
            Self::OfQuinn(_) => &[Contender::Quinn],
            Self::AtMost(_) => &[],
        }
    }
}

const FORTIETH: Target = Target::Of(Contender::Modsecurity, 0.025);
const OF_LEVEL_ONE: Target = Target::Of(Contender::SeawallAtOne, 2.5);

const fn rules(
    name: &'static str,
    what: &'static str,
    shape: Shape,
    paranoia: u8,
    targets: &'static [Target],
) -> Row {
    Row {
        name,
        what,
        work: Work::Rules { shape, paranoia },
        unit: "CPU us/request",
        targets,
    }
}

pub const ROWS: &[Row] = &[
    Row {
        name: "h1-1k",
        what: "GET 1 KiB, HTTP/1.1 keep-alive, 64 connections",
        work: Work::PlainRequests {
            file: File::OneKib,
            connections: 64,
        },
        unit: "CPU us/request",
        targets: &[Target::OfCheaper(0.75), Target::OfRelay(1.30)],
    },
    Row {
        name: "h2tls-1k",
        what: "GET 1 KiB, HTTP/2 over TLS, 16 connections of 8 streams",
        work: Work::SecureRequests {
            file: File::OneKib,
            connections: 16,
            streams: 8,
        },
        unit: "CPU us/request",
        targets: &[Target::OfCheaper(0.90)],
    },
    Row {
        name: "h1-1m",
        what: "GET 1 MiB, HTTP/1.1 keep-alive, 16 connections",
        work: Work::PlainRequests {
            file: File::OneMib,
            connections: 16,
        },
        unit: "CPU ms/GiB",
        targets: &[Target::OfCheaper(0.80)],
    },
    Row {
        name: "hit-1k",
        what: "GET 1 KiB that the cache has, HTTP/1.1 keep-alive, 64 connections",
        work: Work::PlainRequests {
            file: File::KeptOneKib,
            connections: 64,
        },
        unit: "CPU us/request",
        targets: &[
            Target::Of(Contender::Nginx, 0.70),
            Target::Of(Contender::Haproxy, 0.90),
            Target::Of(Contender::Varnish, 0.40),
        ],
    },
    Row {
        name: "hit-100k",
        what: "GET 100 KiB that the cache has, HTTP/1.1 keep-alive, 16 connections; nginx with sendfile",
        work: Work::PlainRequests {
            file: File::KeptHundredKib,
            connections: 16,
        },
        unit: "CPU us/request",
        targets: &[Target::Of(Contender::Nginx, 1.0)],
    },
    Row {
        name: "hit-disk-10m",
        what: "GET 10 MiB that the cache has on disk and nobody in memory, one client; nginx with sendfile",
        work: Work::FromDisk,
        unit: "ms",
        targets: &[Target::Of(Contender::Nginx, 1.1)],
    },
    Row {
        name: "h2tls-1m",
        what: "GET 1 MiB, HTTP/2 over TLS, 16 connections of 1 stream",
        work: Work::SecureRequests {
            file: File::OneMib,
            connections: 16,
            streams: 1,
        },
        unit: "CPU ms/GiB",
        targets: &[Target::OfCheaper(0.80)],
    },
    Row {
        name: "h3-1k",
        what: "GET 1 KiB, HTTP/3, 16 connections of 8 streams; beside it a bare relay of quinn and h3",
        work: Work::Http3Requests {
            file: File::OneKib,
            connections: 16,
            streams: 8,
        },
        unit: "CPU us/request",
        targets: &[Target::OfQuinn(1.30)],
    },
    Row {
        name: "h3-1m",
        what: "GET 1 MiB, HTTP/3, 16 connections of 1 stream; beside it a bare relay of quinn and h3",
        work: Work::Http3Requests {
            file: File::OneMib,
            connections: 16,
            streams: 1,
        },
        unit: "CPU ms/GiB",
        targets: &[Target::OfQuinn(1.30)],
    },
    Row {
        name: "tls-handshake",
        what: "full TLS 1.3 handshake, P-256 certificate, X25519, one GET on it, close",
        work: Work::Handshakes,
        unit: "CPU us/handshake",
        targets: &[Target::OfCheaper(0.60)],
    },
    Row {
        name: "idle-h1-tls",
        what: "idle HTTP/1.1 connection over TLS after one GET: (PSS at 1100 - PSS at 100) / 1000",
        work: Work::IdleConnections(Protocol::Http1),
        unit: "KiB/connection",
        targets: &[Target::AtMost(20.0)],
    },
    Row {
        name: "idle-h2-tls",
        what: "idle HTTP/2 connection over TLS after one GET: (PSS at 1100 - PSS at 100) / 1000",
        work: Work::IdleConnections(Protocol::Http2),
        unit: "KiB/connection",
        targets: &[Target::AtMost(28.0)],
    },
    Row {
        name: "rss",
        what: "resident memory of a worker with one zone after load over HTTP/1.1 and HTTP/2",
        work: Work::Resident,
        unit: "MiB",
        targets: &[Target::AtMost(20.0)],
    },
    Row {
        name: "upgrade",
        what: "requests that fail while the program is replaced 10 times, HTTP/1.1 keep-alive, 16 clients",
        work: Work::Upgrades {
            times: 10,
            clients: 16,
        },
        unit: "failed requests",
        targets: &[Target::AtMost(0.0)],
    },
    Row {
        name: "instructions-h1-1k",
        what: "user-space instructions per GET of 1 KiB, HTTP/1.1, 8 connections (callgrind)",
        work: Work::Instructions(Protocol::Http1),
        unit: "instructions/request",
        targets: &[Target::AtMost(9_500.0)],
    },
    Row {
        name: "instructions-h2tls-1k",
        what: "user-space instructions per GET of 1 KiB, HTTP/2 over TLS, 8 connections of 8 streams (callgrind)",
        work: Work::Instructions(Protocol::Http2),
        unit: "instructions/request",
        targets: &[],
    },
    Row {
        name: "guard-idle",
        what: "of these, the guard's: default stages with nothing to do, HTTP/1.1, 8 connections (callgrind)",
        work: Work::Guard(Guarded::Idle),
        unit: "instructions/request",
        targets: &[Target::AtMost(1_500.0)],
    },
    Row {
        name: "guard-configured",
        what: "the same with lists of 2,000 networks, 20 rules, limits and hygiene (callgrind)",
        work: Work::Guard(Guarded::Configured),
        unit: "instructions/request",
        targets: &[],
    },
    Row {
        name: "list-lookup",
        what: "an address in 1,000,000 prefixes: the slowest of IPv4 and IPv6, hits and misses",
        work: Work::Program(Program::Networks),
        unit: "ns/lookup",
        targets: &[Target::AtMost(200.0)],
    },
    Row {
        name: "compile",
        what: "a document of 10,000 zones, from nothing, on one core",
        work: Work::Program(Program::CompileCold),
        unit: "ms",
        targets: &[Target::AtMost(200.0)],
    },
    Row {
        name: "compile-one-zone",
        what: "the same document when one zone of it changed",
        work: Work::Program(Program::CompileOne),
        unit: "ms",
        targets: &[],
    },
    Row {
        name: "million-zones",
        what: "1,000,000 zones from disk: read, compiled, settled",
        work: Work::Program(Program::ZonesStart),
        unit: "ms",
        targets: &[Target::AtMost(10_000.0)],
    },
    Row {
        name: "million-zones-memory",
        what: "what each of 1,000,000 zones holds that nobody has asked for yet",
        work: Work::Program(Program::ZonesMemory),
        unit: "bytes/zone",
        targets: &[Target::AtMost(1_024.0)],
    },
    Row {
        name: "million-zones-change",
        what: "one of 1,000,000 zones changes: from its text to what is swapped, the median of 201",
        work: Work::Program(Program::ZonesChange),
        unit: "ms",
        targets: &[Target::AtMost(10.0)],
    },
    Row {
        name: "million-zones-lookup",
        what: "a host that is in the caches: finding it among 1,000,000 zones, to finding that of the only one",
        work: Work::Program(Program::ZonesLookup),
        unit: "x of one zone",
        targets: &[Target::AtMost(1.1)],
    },
    Row {
        name: "million-zones-serving",
        what: "`seawall up` on a file of 1,000,000 zones: from its start to the first right answer, for one of the middle",
        work: Work::Million(Million::Serving),
        unit: "s",
        targets: &[Target::AtMost(10.0)],
    },
    Row {
        name: "million-zones-rss",
        what: "resident memory of its worker, after the first answers and when it has settled: the larger",
        work: Work::Million(Million::Resident),
        unit: "MiB",
        targets: &[Target::AtMost(1_536.0)],
    },
    Row {
        name: "million-zones-live",
        what: "one zone's change there, through control: from the command to the first answer that shows it, the median",
        work: Work::Million(Million::Live),
        unit: "ms",
        targets: &[Target::AtMost(10.0)],
    },
    Row {
        name: "fan-out",
        what: "from published to told: 99 of 100 of 330 edges that wait, over TLS",
        work: Work::Program(Program::FanOut),
        unit: "ms",
        targets: &[Target::AtMost(2_000.0)],
    },
    Row {
        name: "index-10m",
        what: "10,000,000 small responses on the cache's disk: from a start until they are found",
        work: Work::Program(Program::IndexStart),
        unit: "s",
        targets: &[Target::AtMost(5.0)],
    },
    Row {
        name: "index-10m-memory",
        what: "what their index takes",
        work: Work::Program(Program::IndexMemory),
        unit: "MiB",
        targets: &[Target::AtMost(1_536.0)],
    },
    Row {
        name: "resync",
        what: "1,000,000 zones from nothing to an edge: fetched, verified, told",
        work: Work::Program(Program::Resync),
        unit: "s",
        targets: &[Target::AtMost(60.0)],
    },
    Row {
        name: "hit-ratio",
        what: "hit ratio below W-TinyLFU with exact counts, at worst: Zipf 0.7 and 0.99, with scans, shifting; 1,000 and 10,000 entries",
        work: Work::Program(Program::Ratios),
        unit: "points",
        targets: &[Target::AtMost(0.3)],
    },
    rules(
        "rules-plain",
        "added by the Core Rule Set, paranoia 1: GET with 3 header fields",
        Shape::Plain,
        1,
        &[Target::AtMost(25.0), FORTIETH],
    ),
    rules(
        "rules-typical",
        "added by the Core Rule Set, paranoia 1: GET with 10 header fields, 5 arguments, 3 cookies",
        Shape::Typical,
        1,
        &[Target::AtMost(100.0), FORTIETH],
    ),
    rules(
        "rules-form",
        "added by the Core Rule Set, paranoia 1: form of 2 KiB, 30 fields",
        Shape::Form,
        1,
        &[Target::AtMost(350.0), FORTIETH],
    ),
    rules(
        "rules-json",
        "added by the Core Rule Set, paranoia 1: JSON of 16 KiB, 600 leaves",
        Shape::Json,
        1,
        &[Target::AtMost(6_000.0), FORTIETH],
    ),
    Row {
        name: "rules-hostile",
        what: "fuel for a value of 16 KiB that is made to cost, on cold caches, paranoia 1 and 4: the dearest",
        work: Work::Program(Program::Hostile),
        unit: "ms of fuel",
        targets: &[Target::AtMost(30.0)],
    },
    rules(
        "rules-plain-pl4",
        "the same at paranoia 4, beside ours at 1: GET with 3 header fields",
        Shape::Plain,
        4,
        &[OF_LEVEL_ONE, FORTIETH],
    ),
    rules(
        "rules-typical-pl4",
        "the same: GET with 10 header fields, 5 arguments, 3 cookies",
        Shape::Typical,
        4,
        &[OF_LEVEL_ONE, FORTIETH],
    ),
    rules(
        "rules-form-pl4",
        "the same: form of 2 KiB, 30 fields",
        Shape::Form,
        4,
        &[OF_LEVEL_ONE, FORTIETH],
    ),
    rules(
        "rules-json-pl4",
        "the same: JSON of 16 KiB, 600 leaves",
        Shape::Json,
        4,
        &[OF_LEVEL_ONE, FORTIETH],
    ),
    Row {
        name: "fuel-stages",
        what: "ns per unit of fuel in the stages: the furthest from 1, as a factor",
        work: Work::Program(Program::FuelOfStages),
        unit: "times",
        targets: &[Target::AtMost(2.0)],
    },
    Row {
        name: "fuel-rules",
        what: "ns per unit of fuel in the language of rules: the furthest from 1, as a factor",
        work: Work::Program(Program::FuelOfRules),
        unit: "times",
        targets: &[Target::AtMost(2.0)],
    },
];
