//! The table itself: one line for each key, in the order of the reference. A key is added here first.

use std::time::Duration;

use super::Absent::{self, Is, Means, Required};
use super::Key;
use super::Kind::{
    self, Choice, File, Flag, List, Mixed, Number, Pairs, Size, Table, Tables, Text, Time, Words,
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

/// What the key `mode` does, wherever it stands.
const WATCH: &str =
    "How far it goes. `watch`: what would have been done is only told, in Records and metrics.";

/// All keys, in the order of the reference.
#[rustfmt::skip] // one line for each key
pub static KEYS: &[Key] = &[
    key("schema", Number(1, 1), Required, "The version of this format; the first key of the file."),
    key("edge", Table, Means("all defaults"), "What holds for the edge as a whole."),
    key("edge.location", Text, Is("\"local\""), "The location's name in `Seawall-Ray` and Records: 1 to 16 of `a-z`, `0-9`, `-`."),
    key("edge.http", List("addresses"), Is("[\"0.0.0.0:8080\"]"), "Where plain HTTP is served. Port 0 picks a free one; an empty list leaves it out."),
    key("edge.https", List("addresses"), Is("[\"0.0.0.0:8443\"]"), "Where HTTPS is served: TCP for HTTP/1.1 and HTTP/2, UDP for HTTP/3."),
    key("edge.http3", Flag, Is("true"), "HTTP/3 is served beside HTTPS, where the UDP port can be bound."),
    key("edge.admin", Mixed("address, or `\"none\"`"), Is("\"127.0.0.1:8801\""), "Where the read-only admin port listens."),
    key("edge.workers", Number(1, 1024), Means("one for each core"), "Worker threads."),
    key("edge.trusted_proxies", List("networks"), Is("[]"), "Peers whose forwarding headers and PROXY protocol are believed."),
    key("edge.outward", Words(OUTWARD), Is("[\"public\", \"private\", \"loopback\"]"), "What addresses origins and other peers of ours may have. Never link-local or metadata addresses."),
    key("edge.unready_when", Words(UNREADY), Is("[]"), "What makes `/readyz` answer 503 beyond being drained or unable to serve."),
    key("edge.kill", List("stages"), Is("[]"), "Stages that are switched off in all zones, for emergencies. What that means says each stage: most are as if they were not there, some close what they guard."),
    key("edge.public_http", Number(1, 65_535), Means("the first of `http`"), "The port at which clients reach plain HTTP, where something before us maps ports."),
    key("edge.public_https", Number(1, 65_535), Means("the first of `https`"), "The port at which clients reach HTTPS; redirects and `Alt-Svc` name it."),
    key("edge.access_log", Mixed("table, or `\"off\"`"), Means("a table of defaults"), "One JSON line for each request."),
    key("edge.access_log.file", File, Is("\"access.log\""), "The file, relative to the data folder; `-` is standard output."),
    key("edge.access_log.rotate_at", Size(64 << 10, 1 << 40), Is("\"100MiB\""), "The size at which a new file is begun."),
    key("edge.access_log.keep", Number(0, 1_000), Is("5"), "How many old files are kept."),
    key("edge.acme", Table, Means("all defaults"), "Certificates by ACME, for zones with `certificate = \"acme\"`. Using it means agreeing to the authority's terms."),
    key("edge.acme.contact", Text, Means("nobody"), "The mail address that authorities write to."),
    key("edge.acme.directories", List("URLs"), Is("[\"https://acme-v02.api.letsencrypt.org/directory\"]"), "Directories of ACME authorities. The next is tried when one is down, refuses, or makes no sense."),
    key("edge.acme.ca", File, Means("Mozilla's list, built in"), "A file (PEM) of the authorities that sign the ACME servers' own certificates."),
    key("edge.acme.challenges", Words(CHALLENGES), Is("[\"tls-alpn-01\", \"http-01\"]"), "How names are verified; the first that the authority offers is used. Wildcards need `dns-01`."),
    key("edge.acme.dns_hook", List("words"), Means("none"), "The command that sets TXT records, run as `COMMAND… present RECORD VALUE` and `COMMAND… cleanup RECORD VALUE`; it ends with 0 once the record can be seen."),
    key("edge.acme.on_demand", List("host patterns"), Is("[]"), "Names that get a certificate when a client first asks for them, of zones with `*` or `*.example.com` in `hosts`. None but these."),
    key("edge.acme.on_demand_most", Number(1, 1_000_000), Is("1000"), "So many of those at most."),
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
    key("edge.limits.connections_per_client", Number(0, 1_000_000), Is("16384"), "Connections of one client address, which may be an office of a thousand people; 0 is no limit."),
    key("edge.limits.requests_per_connection", Number(0, 1_000_000_000), Is("0"), "Requests of one connection before it is closed; 0 is no limit."),
    key("edge.limits.requests_in_progress", Number(1, 100_000_000), Is("100000"), "Requests in progress, all zones together. One zone may hold at most as many as are free, so that its flood leaves room for the others."),
    key("edge.limits.body_memory", Size(MIB, 1 << 40), Is("\"256MiB\""), "Memory for request bodies that are held while they are looked at, all zones together."),
    key("edge.limits.client_table", Number(1_000, 100_000_000), Is("1000000"), "Client addresses whose counters are kept, all zones together."),
    key("edge.limits.h2_streams", Number(1, 10_000), Is("128"), "Concurrent streams of an HTTP/2 connection."),
    key("edge.limits.tls_handshake_timeout", TIMEOUT, Is("\"10s\""), "Time for a TLS handshake."),
    key("edge.limits.drain", Time(Duration::ZERO, DAY), Is("\"10s\""), "Time that running requests get when the edge stops."),
    key("lists", Table, Means("no lists"), "Named lists of addresses, which rules refer to as `$name` and `[zone.lists]` as `\"name\"`."),
    key("lists.<name>", Table, Means("no list"), "One list; its name is 1 to 64 of `a-z`, `0-9`, `_`."),
    key("lists.<name>.ips", List("networks"), Means("none; then `file` must be there"), "Addresses and networks, such as `\"203.0.113.0/24\"`."),
    key("lists.<name>.file", File, Means("none"), "A file with one address or network in each line, `#` begins a comment. What it names is added to `ips`."),
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
    key("zone[].rule", Tables, Is("[]"), "What becomes of requests that an expression fits, in this order."),
    key("zone[].rule[].name", Text, Means("its number"), "Its name in Records, unlike any other rule's of the zone: 1 to 100 printable characters."),
    key("zone[].rule[].when", Text, Required, "The expression, such as `'http.request.uri.path contains \"/wp-\"'`; at most 4096 bytes."),
    key("zone[].rule[].action", Choice(ACTIONS), Required, "What becomes of the request, such as `\"block\"`; `weigh` adds a score that `[zone.rules]` judges. Other keys of a rule belong to the action that they name."),
    key("zone[].rule[].skip", Words(SKIPPABLE), Means("must be there for `skip`"), "`skip`: the stages that are left out for this request."),
    key("zone[].rule[].status", Mixed("400 to 599, or 301, 302, 303, 307, 308"), Means("403 for `block`, 302 for `redirect`"), "`block`, `redirect`: the status of the answer."),
    key("zone[].rule[].to", Mixed("`http://…`, `https://…` or `/…`"), Means("must be there for `redirect`"), "`redirect`: where to; a path stays on the host that was asked for."),
    key("zone[].rule[].keep_path", Flag, Is("false"), "`redirect`: whether the request's path is appended."),
    key("zone[].rule[].keep_query", Flag, Is("true"), "`redirect`: whether the request's query is appended."),
    key("zone[].rule[].path", Text, Means("unchanged"), "`rewrite`: the new path."),
    key("zone[].rule[].strip_prefix", Text, Means("unchanged"), "`rewrite`: whole segments that are taken from the beginning of the path, if it begins with them."),
    key("zone[].rule[].add_prefix", Text, Means("unchanged"), "`rewrite`: segments that are put before the path, after `path` or `strip_prefix`."),
    key("zone[].rule[].query", Text, Means("unchanged"), "`rewrite`: the new query, without its `?`; `\"\"` removes it."),
    key("zone[].rule[].set", Pairs("name = value"), Means("none"), "`header`: fields of the request that replace all of their name."),
    key("zone[].rule[].add", Pairs("name = value"), Means("none"), "`header`: fields that are appended to the request."),
    key("zone[].rule[].remove", List("names"), Means("none"), "`header`: fields that are taken out of the request."),
    key("zone[].rule[].score", Number(1, 1_000), Means("must be there for `weigh`"), "`weigh`: how much is added."),
    key("zone[].rule[].mode", Choice(MODES), Is("\"enforce\""), WATCH),
    key("zone[].rules", Table, Means("all defaults"), "The stage `rules` as a whole."),
    key("zone[].rules.mode", Choice(MODES), Is("\"enforce\""), WATCH),
    key("zone[].rules.threshold", Number(1, 100_000), Is("10"), "The scores of the rules that fit are summed; at this sum the request is answered 403."),
    key("zone[].lists", Table, Means("all defaults"), "The stage `lists`: client addresses that are refused or let through."),
    key("zone[].lists.mode", Choice(MODES), Is("\"enforce\""), WATCH),
    key("zone[].lists.block", List("names of lists, or networks"), Is("[]"), "Clients that are refused."),
    key("zone[].lists.allow", List("names of lists, or networks"), Is("[]"), "Clients that neither `block` nor `only` refuses."),
    key("zone[].lists.skip", Words(SKIPPABLE), Is("[]"), "The stages that are left out for the clients of `allow`."),
    key("zone[].lists.only", List("names of lists, or networks"), Is("[]"), "If it is not empty, all other clients are refused."),
    key("zone[].ddos", Table, Means("all defaults"), "The stage `ddos`: limits on one client address; for IPv6 on its /64."),
    key("zone[].ddos.mode", Choice(MODES), Is("\"enforce\""), WATCH),
    key("zone[].ddos.requests_per_client", Number(0, 100_000_000), Is("0"), "Requests of one client in the time of `per`; 0 is no limit."),
    key("zone[].ddos.errors_per_client", Number(0, 100_000_000), Is("0"), "Errors (4xx, but 401) that origins answer one client in the time of `per`; at so many its next requests get 429. 0 is no limit."),
    key("zone[].ddos.per", Time(Duration::from_secs(1), Duration::from_secs(3_600)), Is("\"10s\""), "The time in which both are counted."),
    key("zone[].ddos.concurrent_per_client", Number(0, 1_000_000), Is("0"), "Requests of one client that are in progress at once; 0 is no limit."),
    key("zone[].body", Table, Means("all defaults"), "The stage `body`: what request bodies may hold. For their size see `max_body`."),
    key("zone[].body.mode", Choice(MODES), Is("\"enforce\""), WATCH),
    key("zone[].body.content_types", List("media types"), Is("[]"), "If it is not empty, a request with a body has one of these, such as `\"application/json\"` or `\"text/*\"`; parameters do not count."),
    key("zone[].body.json_depth", Number(0, 512), Is("0"), "How deep JSON (`application/json`, `+json`) may be nested; 0: it is not looked at."),
    key("zone[].hotlink", Table, Means("all defaults"), "The stage `hotlink`: files that pages of other sites may not embed."),
    key("zone[].hotlink.mode", Choice(MODES), Is("\"enforce\""), WATCH),
    key("zone[].hotlink.enabled", Flag, Is("false"), "Whether a request for such a file is refused with 403 when its `Referer` is another site's."),
    key("zone[].hotlink.extensions", List("extensions"), Is("[\"avif\", \"gif\", \"ico\", \"jpeg\", \"jpg\", \"mp4\", \"png\", \"svg\", \"webm\", \"webp\"]"), "The files that are meant, by what follows the last dot of their names; `\"\"` means those without one."),
    key("zone[].hotlink.allow", List("hosts"), Is("[]"), "Sites that may embed them beside the zone's own hosts: `\"example.com\"`, `\"*.example.com\"`."),
    key("zone[].hygiene", Table, Means("all defaults"), "The stage `hygiene`: what the header of a response should not, or should hold."),
    key("zone[].hygiene.mode", Choice(MODES), Is("\"enforce\""), WATCH),
    key("zone[].hygiene.remove", List("names"), Is("[]"), "Fields that are taken out of what the origin answers, such as `\"x-powered-by\"`."),
    key("zone[].hygiene.nosniff", Flag, Is("false"), "Whether `X-Content-Type-Options: nosniff` is added where the origin sent none."),
    key("zone[].transform", Table, Means("all defaults"), "The stage `transform`: `redirect_https` and `request_headers`."),
    key("zone[].transform.mode", Choice(MODES), Is("\"enforce\""), WATCH),
    key("zone[].maintenance", Table, Means("all defaults"), "The zone answers 503 with a page that says why."),
    key("zone[].maintenance.enabled", Flag, Is("false"), "Whether it does so."),
    key("zone[].maintenance.message", Text, Is("\"\""), "Plain text on the page; at most 500 characters."),
    key("zone[].maintenance.retry_after", Time(Duration::from_secs(1), DAY), Is("\"5m\""), "`Retry-After`: when it is worth asking again."),
    key("zone[].maintenance.allow", List("names of lists, or networks"), Is("[]"), "Clients that are served nevertheless."),
];

pub(in crate::document) const OUTWARD: &[&str] = &["public", "private", "loopback"];
pub(in crate::document) const UNREADY: &[&str] = &[
    "breakers_open",
    "config_stale",
    "safe_mode",
    "origins_down",
    "dns_stale",
    "access_log",
    "descriptors",
];
const PROTOCOLS: &[&str] = &["auto", "1.1", "2"];
const TLS_VERSIONS: &[&str] = &["1.2", "1.3"];
const CLIENT_AUTH: &[&str] = &["off", "optional", "required"];
const MODES: &[&str] = crate::document::StageMode::WORDS;
const SKIPPABLE: &[&str] = crate::document::SkipSet::WORDS;
const ACTIONS: &[&str] = crate::document::RuleAction::WORDS;

/// How an authority verifies a name.
const CHALLENGES: &[&str] = &["tls-alpn-01", "http-01", "dns-01"];
