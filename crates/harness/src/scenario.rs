//! A scenario as data: what stands in a TOML file under `scenarios/`.
//!
//! A misspelt step or key is refused with its place in the file before anything starts. Texts go through the script's
//! variables first: `${o}` is the address of origin `o`, and so on (`player` has the list).

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::Deserialize;

pub use crate::listens::Ranges;
pub use crate::values::{Condition, Lines, Span, Statuses, Strings};
use crate::vice::Vice;

/// A script with what it needs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in one sentence.
    pub about: String,
    /// An RFC's section, an issue, an outage.
    #[serde(default)]
    pub learnt_from: String,
    /// `seawall.toml` for this scenario.
    pub config: String,
    /// More flags for `seawall up`.
    #[serde(default)]
    pub flags: Vec<String>,
    /// Configurations for `apply`.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// Files that are written before the edge starts; `${name}` is the path of each.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    #[serde(default)]
    pub origins: BTreeMap<String, OriginKind>,
    pub play: Vec<Step>,
}

/// How an origin is spoken to and whom it shows.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OriginKind {
    pub http2: bool,
    /// Names in its certificate; TLS when there are any.
    pub tls: Vec<String>,
    /// Signed by an authority that nobody trusts.
    pub stranger: bool,
    /// Gets something else than HTTP on purpose, and is not judged.
    pub unjudged: bool,
    /// Demands a client certificate of the known authority.
    pub asks_certificate: bool,
    /// HTTP/2: takes no more streams at once on a connection (SETTINGS_MAX_CONCURRENT_STREAMS).
    pub max_streams: Option<u32>,
    pub vice: Option<Vice>,
}

/// One step of a script.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// What an origin answers from now on.
    Origin(OriginReply),
    /// An origin takes on a vice (or `none`).
    Fault(Fault),
    /// A request with `GET`, or with the method that it names.
    Get(Box<Get>),
    /// The same under another name, for methods other than `GET`.
    Request(Box<Get>),
    /// Bytes as they stand.
    Raw(Box<Raw>),
    /// HTTP/2 frames as they stand.
    Frames(Box<Frames>),
    /// An upgrade or extended CONNECT, and what is said through it.
    Tunnel(Box<TunnelStep>),
    /// Says more through a tunnel that was kept, or waits until the edge closes it.
    Through(Through),
    /// All of these at once; the next step begins when all have ended.
    Together(Vec<Step>),
    /// Plays steps so many times; `${turn}` counts from 1.
    Repeat(Repeat),
    /// Plays steps once with each of some values.
    Each(Each),
    /// Plays steps again and again until something holds.
    Until(Until),
    /// Begins a step and goes on; it is awaited at the end of the script, or by `join`.
    Begin(Box<Begin>),
    /// Waits for what was begun under this name.
    Join(String),
    /// Opens a gate at which an origin waits.
    Release(Release),
    /// An origin forgets what it saw.
    Forget(String),
    Expect(Box<Expect>),
    /// Writes one of `files` anew.
    Write(Write),
    Apply(Apply),
    /// A signal to `seawall up`, by name without SIG.
    Signal(String),
    /// Waits for the edge to end with this code.
    Ends(i32),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginReply {
    pub name: String,
    pub path: Option<String>,
    pub status: Option<u16>,
    #[serde(default)]
    pub headers: Lines,
    pub body: Option<String>,
    /// Bytes of the known pattern …
    pub body_size: Option<usize>,
    /// … from this one on.
    #[serde(default)]
    pub body_from: usize,
    /// How it takes ranges.
    #[serde(default)]
    pub ranges: Ranges,
    /// Its body is the value of this field of the request, or `-`.
    pub reflects: Option<String>,
    /// Answers requests with more bytes of fields with 400 …
    pub refuses_longer: Option<usize>,
    /// … and those with this field with 405.
    pub refuses_field: Option<String>,
    #[serde(default)]
    pub chunked: bool,
    #[serde(default)]
    pub trailers: Lines,
    #[serde(default)]
    pub informational: Vec<u16>,
    pub gate: Option<String>,
    pub body_gate: Option<String>,
    #[serde(default)]
    pub close: bool,
    /// These bytes and nothing else.
    pub raw: Option<String>,
    #[serde(default)]
    pub tunnel: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub at: String,
    pub what: Vice,
    /// For so many requests (or connections); without it until the next fault.
    pub times: Option<u32>,
}

/// The protocol of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    #[default]
    H1,
    H1s,
    H2,
    H2c,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Get {
    /// `http://a.test/x`: the scheme is what the URL says, the connection goes to the edge.
    pub url: String,
    pub via: Option<Via>,
    pub method: Option<String>,
    pub headers: Lines,
    pub body: Option<String>,
    pub body_size: Option<usize>,
    pub chunked: bool,
    pub send_trailers: Lines,
    /// Server name in TLS when it is not the URL's host; empty for none.
    pub sni: Option<String>,
    /// `Host` when it is not the URL's host.
    pub host: Option<String>,
    /// Shows a client certificate of `known` or `stranger`.
    pub certificate: Option<String>,
    pub tls12: bool,
    /// Uses and keeps a connection under this name.
    pub connection: Option<String>,
    /// The TLS handshake must fail.
    pub handshake_fails: bool,
    /// Keeps session tickets under this name, and shows them to whoever comes next, whatever its name is.
    pub tickets: Option<String>,
    /// Whether the handshake resumed a session.
    pub resumed: Option<bool>,
    /// Stores the body's text as a variable.
    pub keep: Option<String>,
    #[serde(flatten)]
    pub expected: Expected,
}

/// What a response must be. Keys stand beside the request's own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Expected {
    pub status: Option<Statuses>,
    /// Each value must be contained, case matters; `a | b` is one of several.
    pub has: Lines,
    /// Each must be the whole value.
    pub equals: Lines,
    pub lacks: Vec<String>,
    pub body_equals: Option<String>,
    pub body_contains: Option<Strings>,
    pub body_lacks: Option<Strings>,
    /// So many bytes of the known pattern …
    pub pattern: Option<usize>,
    /// … from this one on.
    pub pattern_from: usize,
    pub trailers: Lines,
    pub lacks_trailers: Vec<String>,
    pub informational: Option<Vec<u16>>,
    /// True: the response must not look whole. It always must when this is not set.
    pub aborted: Option<bool>,
    /// The origin broke off: either the response does not look whole, or it is a whole 502 or 504 by the edge.
    pub broken: bool,
    /// JSON pointers into the body with the values they must have.
    pub json: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raw {
    pub send: String,
    pub via: Option<Via>,
    pub sni: Option<String>,
    /// To the port of HTTPS, but without TLS.
    pub to_https: bool,
    /// Bytes of the known pattern after `send`.
    pub body_size: usize,
    /// Sends so many bytes at a time …
    pub piece: Option<usize>,
    /// … with this pause after each.
    pub every: Option<Span>,
    /// Methods of the requests that are answered, where it matters (HEAD).
    pub methods: Vec<String>,
    pub half_close: bool,
    /// Reads nothing until this has passed or the script has ended; proves write timeouts.
    pub unread: bool,
    /// Statuses of the responses, in order; by default one.
    pub expect_status: Option<Vec<Statuses>>,
    pub expect_responses: Option<usize>,
    /// True: the edge closes afterwards. False: it stays open for a while.
    pub expect_closed: Option<bool>,
    /// No response at all, and the connection is closed.
    pub expect_nothing: bool,
    /// Whatever comes until the edge closes is read and not judged.
    pub unjudged: bool,
    #[serde(flatten)]
    pub expected: Expected,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Frames {
    pub via: Option<Via>,
    pub sni: Option<String>,
    /// Leaves out the preface and SETTINGS.
    pub bare: bool,
    pub send: Vec<FrameStep>,
    /// Bytes that the kernel may hold for us; what does not fit there waits at the edge.
    pub receive_buffer: Option<u32>,
    /// Reads nothing more and keeps the connection open to the end of the script.
    pub unread: bool,
    /// The last stream ends with so many bytes of the known pattern.
    pub expect_pattern: Option<usize>,
    /// Codes of which the GOAWAY must have one.
    pub expect_goaway: Option<Vec<String>>,
    pub expect_closed: Option<bool>,
    /// The last stream's status.
    pub expect_status: Option<Statuses>,
    /// Codes of which the last stream's reset must have one.
    pub expect_reset: Option<Vec<String>>,
    /// Either the stream or the connection ends by an error, or a 4xx comes.
    pub expect_refused: bool,
}

/// A frame to write. A stream of 0 means the current one.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FrameStep {
    /// On a new stream unless one is named.
    Headers(HeadersFrame),
    Continuation(HeadersFrame),
    Data {
        #[serde(default)]
        stream: u32,
        #[serde(default)]
        text: String,
        #[serde(default)]
        size: usize,
        #[serde(default)]
        end: bool,
    },
    Rst {
        #[serde(default)]
        stream: u32,
        #[serde(default)]
        code: u32,
    },
    Settings(Vec<(u16, u32)>),
    Ping(String),
    WindowUpdate {
        stream: u32,
        increment: u32,
    },
    Priority {
        #[serde(default)]
        stream: u32,
        depends: u32,
    },
    /// A frame of any kind with a payload of characters as bytes.
    Frame {
        kind: u8,
        #[serde(default)]
        flags: u8,
        #[serde(default)]
        stream: u32,
        #[serde(default)]
        payload: String,
    },
    /// No frame: characters as bytes.
    Raw(String),
    Repeat {
        times: usize,
        send: Vec<FrameStep>,
    },
    /// Reads until something has come or a while has passed.
    Read,
    /// Reads at most so many bytes, waits, and does so again.
    Sip {
        bytes: usize,
        every: Span,
        times: usize,
    },
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeadersFrame {
    pub stream: u32,
    pub fields: Vec<(String, String)>,
    /// So many more fields of this name and value size: a header bomb.
    pub bomb: Option<(usize, usize)>,
    pub end_stream: bool,
    /// END_HEADERS is left out.
    pub open: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TunnelStep {
    pub url: String,
    pub via: Option<Via>,
    pub protocol: Option<String>,
    pub headers: Lines,
    /// The status of the answer; 101 or 200 by default, and then what is said must come back.
    pub status: Option<Statuses>,
    pub say: Option<String>,
    pub say_size: usize,
    pub has: Lines,
    /// Keeps it open under this name, for `through`.
    pub keep: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Through {
    /// The name under which the tunnel was kept.
    pub tunnel: String,
    /// Must come back.
    pub say: String,
    /// The edge closes it, before patience runs out.
    pub ends: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    pub times: usize,
    pub play: Vec<Step>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Until {
    /// An origin has seen so many requests …
    pub origin: Option<String>,
    pub requests: Option<Condition>,
    /// … or some record has all these fields …
    #[serde(default)]
    pub some_record: BTreeMap<String, serde_json::Value>,
    /// … or the metrics are so.
    #[serde(default)]
    pub metrics: BTreeMap<String, Condition>,
    pub play: Vec<Step>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Each {
    /// The variable that stands for the value.
    pub name: String,
    pub of: Vec<String>,
    pub play: Vec<Step>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    pub name: String,
    pub play: Vec<Step>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    pub at: String,
    pub gate: String,
}

/// What must hold, now or before patience runs out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    pub origin: Option<String>,
    /// Requests that the origin has seen since it last forgot: `3`, `">= 1"`.
    pub requests: Option<Condition>,
    pub connections: Option<Condition>,
    /// HTTP/2: the most streams that any of its connections had at once.
    pub most_streams: Option<Condition>,
    /// Each is contained in some request (names in lower case, one `name: value` a line).
    pub saw: Strings,
    /// None is contained in any request. Case does not matter here nor in `saw`.
    pub never_saw: Strings,
    /// Keeps a field of the last request under a variable's name.
    pub keep: Lines,
    /// The body of the last request is so many bytes of the known pattern.
    pub saw_pattern: Option<usize>,
    /// Requests that came with the whole of their body.
    pub whole: Option<Condition>,
    /// None of it came over any connection, not even as a part of a request that was broken off (HTTP/1.1).
    pub never_received: Strings,
    /// Each came over some connection (HTTP/1.1).
    pub received: Strings,
    /// Fields of the last response's record; a text that begins with `~` must be contained.
    pub record: BTreeMap<String, serde_json::Value>,
    /// Some record has all these fields.
    pub some_record: BTreeMap<String, serde_json::Value>,
    pub records: Option<Condition>,
    /// Metrics by selector with their conditions.
    pub metrics: BTreeMap<String, Condition>,
    pub admin: Option<AdminExpect>,
    /// Each is contained in the edge's own output.
    pub log: Strings,
    /// The worker's memory in KiB (`VmRSS`).
    pub memory_kib: Option<Condition>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminExpect {
    pub path: String,
    pub status: Option<Statuses>,
    #[serde(default)]
    pub contains: Strings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// A name from `files`.
    pub file: String,
    pub text: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// A name from `versions`.
    pub version: String,
    pub outcome: Outcome,
    /// Contained in the edge's output when it is refused.
    #[serde(default)]
    pub because: Strings,
    /// A path on this host whose answer's body tells that the new version serves.
    pub probe: Option<Probe>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    pub url: String,
    pub status: Statuses,
    pub body_contains: Option<Strings>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Accepted,
    Refused,
}

impl Scenario {
    /// Reads a script; what is misspelt is named with its place.
    pub fn parse(text: &str) -> Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        ensure!(!scenario.about.is_empty(), "about is empty");
        ensure!(!scenario.play.is_empty(), "play is empty");
        Ok(scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = r#"
about = "An example."
config = "schema = 1"
[origins.o]
tls = ["o.test"]
[[play]]
origin = { name = "o", status = 503, headers = [["a", "1"], ["a", "2"]] }
[[play]]
get = { url = "http://a.test/", status = [502, 504], has = { proxy-status = "x" }, lacks = ["server"] }
[[play]]
expect = { origin = "o", requests = ">= 1", metrics = { m = 3 } }
"#;

    #[test]
    fn a_script_is_read() {
        let scenario = Scenario::parse(SCRIPT).unwrap();
        assert_eq!(scenario.play.len(), 3);
        let Step::Get(get) = &scenario.play[1] else {
            panic!("not a get")
        };
        assert_eq!(get.expected.status, Some(Statuses(vec![502, 504])));
        assert_eq!(
            get.expected.has.0,
            [("proxy-status".to_string(), "x".to_string())]
        );
        let Step::Expect(expect) = &scenario.play[2] else {
            panic!("not an expect")
        };
        assert!(
            expect
                .requests
                .is_some_and(|c| c.holds(1.0) && !c.holds(0.0))
        );
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        for (right, wrong) in [
            ("origin = {", "orign = {"),
            ("status = 503", "staus = 503"),
            ("status = [502", "stutas = [502"),
            ("requests =", "request ="),
            ("tls =", "tsl ="),
            ("about", "abuot"),
            (">= 1", "=> 1"),
        ] {
            let error = Scenario::parse(&SCRIPT.replacen(right, wrong, 1));
            assert!(error.is_err(), "{wrong} was accepted");
        }
    }
}
