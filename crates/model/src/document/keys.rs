//! Every key of a document in one table: its path, what it takes, its default, what it does.
//!
//! The reader knows a key, its bounds and whether it must be there from this table alone, and the reference is
//! rendered from it. A test holds that each default written here is the one that the code has, and that each key is
//! both read and written.

use std::fmt::Write as _;
use std::time::Duration;

use crate::suggest;
use crate::units;

/// One key of a document.
#[derive(Debug)]
pub struct Key {
    /// Where it stands: `zone[].health.every`. `[]` follows a list of tables, `<name>` is a name of the owner's choice.
    pub path: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds when it is not written.
    pub default: Absent,
    /// What it does, for the reference.
    pub what: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A table with the keys below it.
    Table,
    /// A list of tables, each with the keys below it.
    Tables,
    /// Text.
    Text,
    /// A path in the file system.
    File,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A list of some words.
    Words(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number within bounds.
    Number(u64, u64),
    /// A duration within bounds.
    Time(Duration, Duration),
    /// A size in bytes within bounds.
    Size(u64, u64),
    /// A list of something that the text names.
    List(&'static str),
    /// A table of names and values that the text names.
    Pairs(&'static str),
    /// More than one of the above, as the text says.
    Mixed(&'static str),
}

/// What holds when a key is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It must be there wherever its table is.
    Required,
    /// As the words say.
    Means(&'static str),
    /// This TOML value.
    Is(&'static str),
}

use Absent::{Is, Means, Required};
use Kind::{
    Choice, File, Flag, List, Mixed, Number, Pairs, Size, Table, Tables, Text, Time, Words,
};

const fn key(path: &'static str, kind: Kind, default: Absent, what: &'static str) -> Key {
    Key {
        path,
        kind,
        default,
        what,
    }
}

const MOMENT: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);
/// What a timeout may be.
const TIMEOUT: Kind = Time(MOMENT, DAY);
const YEARS: Kind = Time(Duration::ZERO, Duration::from_secs(3_650 * 86_400));
const MIB: u64 = 1 << 20;

/// All keys, in the order of the reference.
#[rustfmt::skip] // one line for each key
pub static KEYS: &[Key] = &[
    key("schema", Number(1, 1), Required, "The version of this format; the first key of the file."),
    key("edge", Table, Means("all defaults"), "What holds for the edge as a whole."),
    key("edge.location", Text, Is("\"local\""), "The location's name in `Seawall-Ray` and Records: 1 to 16 of `a-z`, `0-9`, `-`."),
    key("edge.http", List("addresses"), Is("[\"0.0.0.0:8080\"]"), "Where plain HTTP is served. Port 0 picks a free one; an empty list leaves it out."),
    key("edge.https", List("addresses"), Is("[\"0.0.0.0:8443\"]"), "Where HTTPS is served: TCP, and UDP once there is HTTP/3."),
    key("edge.admin", Mixed("address, or `\"none\"`"), Is("\"127.0.0.1:8801\""), "Where the read-only admin port listens."),
    key("edge.workers", Number(1, 1024), Means("one for each core"), "Worker threads."),
    key("edge.trusted_proxies", List("networks"), Is("[]"), "Peers whose forwarding headers and PROXY protocol are believed."),
    key("edge.outward", Words(OUTWARD), Is("[\"public\", \"private\", \"loopback\"]"), "What addresses origins and other peers of ours may have. Never link-local or metadata addresses."),
    key("edge.unready_when", Words(UNREADY), Is("[]"), "What makes `/readyz` answer 503 beyond being drained or unable to serve."),
    key("edge.public_http", Number(1, 65_535), Means("the first of `http`"), "The port at which clients reach plain HTTP, where something before us maps ports."),
    key("edge.public_https", Number(1, 65_535), Means("the first of `https`"), "The port at which clients reach HTTPS; redirects to HTTPS name it."),
    key("edge.access_log", Mixed("table, or `\"off\"`"), Means("a table of defaults"), "One JSON line for each request."),
    key("edge.access_log.file", File, Is("\"access.log\""), "The file, relative to the data folder; `-` is standard output."),
    key("edge.access_log.rotate_at", Size(64 << 10, 1 << 40), Is("\"100MiB\""), "The size at which a new file is begun."),
    key("edge.access_log.keep", Number(0, 1_000), Is("5"), "How many old files are kept."),
    key("edge.limits", Table, Means("all defaults"), "Bounds on clients."),
    key("edge.limits.head_bytes", Size(1 << 10, MIB), Is("\"32KiB\""), "Size of a request head; more is answered 431."),
    key("edge.limits.target_bytes", Size(256, MIB), Is("\"8KiB\""), "Size of path and query; more is answered 414."),
    key("edge.limits.fields", Number(8, 128), Is("100"), "Header fields of a request; more are answered 431."),
    key("edge.limits.header_timeout", TIMEOUT, Is("\"10s\""), "Time for a whole request head to arrive."),
    key("edge.limits.idle_timeout", TIMEOUT, Is("\"75s\""), "Time that a connection may stay open between requests."),
    key("edge.limits.body_idle_timeout", TIMEOUT, Is("\"30s\""), "Time without any byte of a request body."),
    key("edge.limits.body_min_rate", Size(0, 1 << 30), Is("\"240B\""), "Bytes per second that a request body must average; `0B` switches it off."),
    key("edge.limits.write_timeout", TIMEOUT, Is("\"30s\""), "Time in which a client takes no byte of its response."),
    key("edge.limits.connections", Number(1, 100_000_000), Is("100000"), "Client connections of this machine."),
    key("edge.limits.connections_per_client", Number(0, 1_000_000), Is("0"), "Connections of one client address; 0 is no limit."),
    key("edge.limits.requests_per_connection", Number(0, 1_000_000_000), Is("0"), "Requests of one connection before it is closed; 0 is no limit."),
    key("edge.limits.h2_streams", Number(1, 10_000), Is("128"), "Concurrent streams of an HTTP/2 connection."),
    key("edge.limits.tls_handshake_timeout", TIMEOUT, Is("\"10s\""), "Time for a TLS handshake."),
    key("edge.limits.drain", Time(Duration::ZERO, DAY), Is("\"10s\""), "Time that running requests get when the edge stops."),
    key("lists", Table, Means("no lists"), "Named lists that rules refer to as `$name`."),
    key("lists.<name>", Table, Means("no list"), "One list; its name is 1 to 64 of `a-z`, `0-9`, `_`."),
    key("lists.<name>.ips", List("networks"), Required, "Addresses and networks, such as `\"203.0.113.0/24\"`."),
    key("zone", Tables, Is("[]"), "A site, or several hosts that are served alike."),
    key("zone[].name", Text, Required, "The zone's name in commands and Records, unlike any other's: 1 to 253 of letters, digits, `.`, `-`, `_`."),
    key("zone[].hosts", List("host patterns"), Required, "The hosts: `example.com`, `*.example.com` (all below it), `*` (every host). The most specific pattern of all zones wins."),
    key("zone[].redirect_https", Flag, Is("false"), "Whether plain HTTP is redirected to HTTPS."),
    key("zone[].websocket", Flag, Is("true"), "Whether WebSocket upgrades are let through."),
    key("zone[].max_body", Size(0, 1 << 50), Means("no limit"), "Size of a request body; more is answered 413."),
    key("zone[].origin", Tables, Required, "The servers behind the zone."),
    key("zone[].origin[].url", Mixed("`http://…`, `https://…` or `\"sample\"`"), Required, "Scheme, host and port; `sample` is a built-in site."),
    key("zone[].origin[].weight", Number(1, 1_000), Is("1"), "Its share, relative to the other origins."),
    key("zone[].origin[].protocol", Choice(PROTOCOLS), Is("\"auto\""), "The version of HTTP. `auto`: what TLS negotiates; HTTP/1.1 over plain TCP, but HTTP/2 for gRPC."),
    key("zone[].origin[].host", Mixed("host, with or without a port"), Means("the client's"), "The `Host` that the origin gets."),
    key("zone[].origin[].sni", Mixed("host name"), Means("the host that the origin gets"), "The name in the TLS handshake, also the one that the certificate must have."),
    key("zone[].origin[].verify", Flag, Is("true"), "Whether the origin's certificate is verified."),
    key("zone[].origin[].ca", File, Means("Mozilla's list, built in"), "A file (PEM) of the authorities that sign the origin's certificate."),
    key("zone[].origin[].client_certificate", Table, Means("none"), "The certificate that we present to the origin."),
    key("zone[].origin[].client_certificate.cert", File, Required, "A file (PEM) of the certificate chain."),
    key("zone[].origin[].client_certificate.key", File, Required, "A file (PEM) of the private key."),
    key("zone[].health", Table, Means("no active checks"), "Requests by which we find out whether an origin is up."),
    key("zone[].health.path", Text, Is("\"/\""), "What is asked for, by GET."),
    key("zone[].health.every", Time(Duration::from_millis(100), DAY), Is("\"5s\""), "Time between two checks of an origin."),
    key("zone[].health.timeout", TIMEOUT, Is("\"2s\""), "Time for an answer, its body left out."),
    key("zone[].health.status", List("statuses or ranges"), Is("[\"200-399\"]"), "The statuses of an origin that is up."),
    key("zone[].health.host", Mixed("host, with or without a port"), Means("the `host` of the origin, else the first host of the zone"), "The `Host` of checks."),
    key("zone[].health.healthy_after", Number(1, 100), Is("2"), "Good answers in a row that bring an origin back."),
    key("zone[].health.unhealthy_after", Number(1, 100), Is("3"), "Failures in a row that take an origin out."),
    key("zone[].passive", Table, Means("all defaults"), "What failures of real requests do to an origin."),
    key("zone[].passive.failures", Number(0, 10_000), Is("5"), "Failures in a row that eject an origin; 0 switches it off."),
    key("zone[].passive.eject_for", TIMEOUT, Is("\"10s\""), "Time for which it stays ejected. Never the last origin, never more than half."),
    key("zone[].timeouts", Table, Means("all defaults"), "How long an origin is waited for."),
    key("zone[].timeouts.connect", TIMEOUT, Is("\"3s\""), "Time for a connection, its TLS handshake included."),
    key("zone[].timeouts.header", TIMEOUT, Is("\"60s\""), "Time from the end of the request to the response head."),
    key("zone[].timeouts.idle", TIMEOUT, Is("\"60s\""), "Time without any byte of a response body."),
    key("zone[].timeouts.total", TIMEOUT, Means("no limit"), "Time for the whole exchange."),
    key("zone[].retry", Table, Means("all defaults"), "When a request is tried again."),
    key("zone[].retry.attempts", Number(1, 10), Is("2"), "Tries in all; only requests that may be repeated are."),
    key("zone[].retry.budget_percent", Number(0, 100), Is("20"), "Retries, as a share of all requests, that the zone may make."),
    key("zone[].tls", Table, Means("all defaults"), "TLS towards clients."),
    key("zone[].tls.certificate", Mixed("`\"self-signed\"`, `\"acme\"`, or a table"), Is("\"self-signed\""), "Where the certificate comes from."),
    key("zone[].tls.certificate.cert", File, Required, "A file (PEM) of the certificate chain."),
    key("zone[].tls.certificate.key", File, Required, "A file (PEM) of the private key."),
    key("zone[].tls.min_version", Choice(TLS_VERSIONS), Is("\"1.2\""), "The lowest version of TLS."),
    key("zone[].tls.client", Choice(CLIENT_AUTH), Is("\"off\""), "Whether clients present a certificate."),
    key("zone[].tls.client_ca", File, Means("none"), "A file (PEM) of the authorities that sign clients' certificates."),
    key("zone[].hsts", Table, Means("not sent"), "`Strict-Transport-Security` (RFC 6797) on responses over HTTPS."),
    key("zone[].hsts.max_age", YEARS, Is("\"365d\""), "How long browsers keep to HTTPS."),
    key("zone[].hsts.include_subdomains", Flag, Is("false"), "Whether that holds for all names below."),
    key("zone[].hsts.preload", Flag, Is("false"), "Whether browsers may ship with it; needs `include_subdomains` and a year."),
    key("zone[].request_headers", Table, Means("no edits"), "Edits of the header that the origin gets: `remove`, then `set`, then `add`."),
    key("zone[].request_headers.set", Pairs("name = value"), Is("{}"), "Fields that replace all of their name."),
    key("zone[].request_headers.add", Pairs("name = value"), Is("{}"), "Fields that are appended."),
    key("zone[].request_headers.remove", List("names"), Is("[]"), "Fields that are taken out."),
    key("zone[].response_headers", Table, Means("no edits"), "Edits of the header that the client gets: `remove`, then `set`, then `add`."),
    key("zone[].response_headers.set", Pairs("name = value"), Is("{}"), "Fields that replace all of their name."),
    key("zone[].response_headers.add", Pairs("name = value"), Is("{}"), "Fields that are appended."),
    key("zone[].response_headers.remove", List("names"), Is("[]"), "Fields that are taken out."),
];

pub(super) const OUTWARD: &[&str] = &["public", "private", "loopback"];
pub(super) const UNREADY: &[&str] = &[
    "config_stale",
    "safe_mode",
    "origins_down",
    "dns_stale",
    "access_log",
    "descriptors",
];
pub(super) const PROTOCOLS: &[&str] = &["auto", "1.1", "2"];
pub(super) const TLS_VERSIONS: &[&str] = &["1.2", "1.3"];
pub(super) const CLIENT_AUTH: &[&str] = &["off", "optional", "required"];

/// Names that documents of later builds have, by the table in which they stand.
const LATER: &[(&str, &[&str])] = &[
    ("", &["control", "statuspage"]),
    (
        "zone[]",
        &[
            "access",
            "bots",
            "cache",
            "ddos",
            "managed_by",
            "maintenance",
            "rate_limit",
            "rule",
            "waf",
        ],
    ),
];

/// The keys that stand directly in the table `table`, each with its last name.
pub(super) fn children(table: &str) -> impl Iterator<Item = (&'static str, &'static Key)> {
    KEYS.iter().filter_map(move |key| {
        let rest = key.path.strip_prefix(table)?;
        let name = if table.is_empty() {
            rest
        } else {
            rest.strip_prefix('.')?
        };
        (!name.contains('.')).then_some((name, key))
    })
}

/// The key `name` of the table `table`; a table of named things has one for every name.
pub(super) fn child(table: &str, name: &str) -> Option<&'static Key> {
    children(table)
        .find(|(known, _)| *known == name || *known == "<name>")
        .map(|(_, key)| key)
}

/// What to tell who wrote an unknown `name` in the table `table`.
pub(super) fn unknown_help(table: &str, name: &str) -> String {
    if LATER
        .iter()
        .any(|(at, names)| *at == table && names.contains(&name))
    {
        return format!("this build has no `{name}` yet");
    }
    if let Some(near) = suggest::nearest(name, children(table).map(|(known, _)| known)) {
        return format!("did you mean `{near}`?");
    }
    let elsewhere = KEYS.iter().find_map(|key| match key.path.rsplit_once('.') {
        Some((parent, last)) if last == name => Some(parent),
        None if key.path == name => Some("the top of the file"),
        _ => None,
    });
    match elsewhere {
        Some("the top of the file") => format!("`{name}` stands at the top of the file"),
        Some(parent) => format!("`{name}` is a key of `{parent}`"),
        None => {
            let known: Vec<&str> = children(table).map(|(known, _)| known).collect();
            format!("known here: {}", known.join(", "))
        }
    }
}

impl Kind {
    /// What a key of this kind takes, in words.
    pub fn describe(self) -> String {
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|word| format!("`\"{word}\"`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        match self {
            Table => "table".into(),
            Tables => "list of tables".into(),
            Text => "text".into(),
            File => "path".into(),
            Choice(choices) => words(choices),
            Words(known) => format!("list of {}", words(known)),
            Flag => "`true` or `false`".into(),
            Number(least, most) if least == most => format!("{least}"),
            Number(least, most) => format!("{least} to {most}"),
            Time(least, most) => {
                format!(
                    "duration, {} to {}",
                    units::duration_text(least),
                    units::duration_text(most)
                )
            }
            Size(least, most) => format!(
                "size, {} to {}",
                units::size_text(least),
                units::size_text(most)
            ),
            List(of) => format!("list of {of}"),
            Pairs(of) => format!("table of {of}"),
            Mixed(text) => text.into(),
        }
    }
}

/// The reference of `seawall.toml` as Markdown, one section for each table.
pub fn reference_markdown() -> String {
    let mut out = String::from(
        "# The configuration: `seawall.toml`\n\n\
         Durations are written `\"30s\"` (ms, s, m, h, d), sizes `\"10MiB\"` (B, KiB, MiB, GiB, TiB). Unknown keys are\n\
         refused. Secrets stand only as `\"secret://name\"`.\n",
    );
    section(&mut out, "", "The top of the file");
    for key in KEYS {
        let (table, title) = match key.kind {
            Table | Mixed(_) => (key.path.to_owned(), format!("`[{}]`", key.path)),
            Tables => (format!("{}[]", key.path), format!("`[[{}]]`", key.path)),
            _ => continue,
        };
        section(&mut out, &table, &title.replace("[].", "."));
    }
    out
}

fn section(out: &mut String, table: &str, title: &str) {
    let mut keys = children(table).peekable();
    if keys.peek().is_none() {
        return;
    }
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "\n## {title}\n\n| Key | Takes | Default | |\n|---|---|---|---|\n"
    );
    for (name, key) in keys {
        let default = match key.default {
            Required => "**must be there**".to_owned(),
            Means(words) => words.to_owned(),
            Is(value) => format!("`{value}`"),
        };
        let _ = writeln!(
            out,
            "| `{name}` | {} | {default} | {} |",
            key.kind.describe(),
            key.what
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn paths_are_unique_and_each_has_its_table() {
        let mut seen = BTreeSet::new();
        for key in KEYS {
            assert!(seen.insert(key.path), "{} twice", key.path);
            if let Some((parent, _)) = key.path.rsplit_once('.') {
                assert!(
                    seen.contains(parent.trim_end_matches("[]")),
                    "{} before its table",
                    key.path
                );
            }
        }
    }

    #[test]
    fn unknown_names_get_the_best_help_there_is() {
        assert_eq!(unknown_help("zone[]", "hots"), "did you mean `hosts`?");
        assert_eq!(
            unknown_help("zone[]", "cache"),
            "this build has no `cache` yet"
        );
        assert_eq!(
            unknown_help("zone[]", "weight"),
            "`weight` is a key of `zone[].origin[]`"
        );
        assert_eq!(
            unknown_help("zone[]", "schema"),
            "`schema` stands at the top of the file"
        );
        assert_eq!(
            unknown_help("zone[].retry", "frequency"),
            "known here: attempts, budget_percent"
        );
    }

    #[test]
    fn the_reference_has_every_key() {
        let text = reference_markdown();
        for key in KEYS {
            let name = key.path.rsplit('.').next().unwrap();
            assert!(
                text.contains(&format!("| `{name}` | {} |", key.kind.describe())),
                "{}",
                key.path
            );
        }
        assert!(text.contains("\n## `[[zone.origin]]`\n"));
        assert!(
            text.contains("| `every` | duration, 100ms to 1d | `\"5s\"` |"),
            "{text}"
        );
    }
}
