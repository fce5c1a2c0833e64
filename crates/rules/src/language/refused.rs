//! What Cloudflare's language has and this one has not: each with the reason, and with what to write instead.

/// Something of Cloudflare's language that is refused by name.
#[derive(Debug)]
pub struct Refusal {
    /// Its name; with `.` or `_` at its end all names that begin so.
    pub name: &'static str,
    /// Why, and what to write instead.
    pub instead: &'static str,
}

const fn refusal(name: &'static str, instead: &'static str) -> Refusal {
    Refusal { name, instead }
}

const PLACE: &str =
    "only countries and autonomous systems are known: ask ip.src.country or ip.src.asnum";
const BODY: &str =
    "rules judge the head before a body is read: [zone.body] and [zone.waf] look into bodies";
const RESPONSE: &str =
    "rules judge requests: see [zone.response_headers] for what is done to responses";
const BOTS: &str = "there is no bot mitigation in this build: ask http.user_agent, or limit with [[zone.rate_limit]]";
const CLOCK: &str = "a rule says the same whenever it is asked: it has no clock";
const ENTERPRISE: &str = "this belongs to a product of Cloudflare's that has no counterpart here";
const SECRET: &str = "no secret may stand in a rule: let the origin check tokens";

/// Fields that are refused by name.
pub static REFUSED_FIELDS: &[Refusal] = &[
    refusal("cf.bot_management.", BOTS),
    refusal("cf.client.bot", BOTS),
    refusal("cf.verified_bot_category", BOTS),
    refusal(
        "cf.threat_score",
        "there is no reputation of addresses: keep a list of your own, `ip.src in $name`",
    ),
    refusal("cf.waf.", "the WAF judges after rules: see [zone.waf]"),
    refusal(
        "cf.random_seed",
        "a rule says the same each time it is asked",
    ),
    refusal(
        "cf.ray_id",
        "the id of a request says nothing of it; responses have it as Seawall-Ray",
    ),
    refusal(
        "cf.zone.name",
        "a rule belongs to one zone, whose name is known: leave it out",
    ),
    refusal("cf.zone.plan", "zones have no plans: leave it out"),
    refusal("cf.colo.", "rules are the same in every location"),
    refusal("cf.metal.id", "rules are the same on every machine"),
    refusal(
        "cf.tls_cipher",
        "ask cf.tls_version: the suites of TLS 1.2 and 1.3 that are offered are all strong",
    ),
    refusal(
        "cf.tls_client_auth.",
        "ask cf.tls_client_auth.cert_verified",
    ),
    refusal(
        "cf.tls_client_",
        "a ClientHello is not measured in rules: ask cf.tls_version",
    ),
    refusal(
        "cf.tls_ciphers_sha1",
        "a ClientHello is not measured in rules: ask cf.tls_version",
    ),
    refusal(
        "cf.edge.client_tcp",
        "only ssl tells of the connection: a client's TCP is always accepted",
    ),
    refusal(
        "cf.edge.client_port",
        "the port of a client says nothing of it",
    ),
    refusal("cf.worker.", ENTERPRISE),
    refusal("cf.api_gateway.", ENTERPRISE),
    refusal("cf.schema_validation.", ENTERPRISE),
    refusal("cf.fraud_detection.", ENTERPRISE),
    refusal("cf.llm.", ENTERPRISE),
    refusal("cf.hostname.metadata", ENTERPRISE),
    refusal("cf.image.", ENTERPRISE),
    refusal(
        "cf.timings.",
        "times of a request stand in its Record, not in rules",
    ),
    refusal("cf.response.", RESPONSE),
    refusal(
        "cf.",
        "this is a name of Cloudflare's own that is not known here",
    ),
    refusal("http.request.body.", BODY),
    refusal(
        "http.request.jwt.",
        "tokens are not verified in rules; lookup_json_string(decode_base64(…), …) reads one without trusting it",
    ),
    refusal("http.request.timestamp.", CLOCK),
    refusal(
        "http.request.accepted_languages",
        "ask http.request.headers[\"accept-language\"][0]",
    ),
    refusal(
        "http.request.headers.truncated",
        "a head that is too large is refused with 431 before rules see it",
    ),
    refusal(
        "http.request.method.",
        "methods have no parts: ask http.request.method",
    ),
    refusal("http.response.", RESPONSE),
    refusal("raw.http.response.", RESPONSE),
    refusal("raw.http.request.body.", BODY),
    refusal("ip.src.city", PLACE),
    refusal("ip.src.lat", PLACE),
    refusal("ip.src.lon", PLACE),
    refusal("ip.src.metro_code", PLACE),
    refusal("ip.src.postal_code", PLACE),
    refusal("ip.src.region", PLACE),
    refusal("ip.src.region_code", PLACE),
    refusal("ip.src.subdivision_", PLACE),
    refusal("ip.src.timezone.", PLACE),
    refusal("ip.geoip.subdivision_", PLACE),
    refusal("icmp.", "rules judge requests of HTTP, not packets"),
    refusal("tcp.", "rules judge requests of HTTP, not packets"),
    refusal("udp.", "rules judge requests of HTTP, not packets"),
];

/// Functions that are refused by name.
pub static REFUSED_FUNCTIONS: &[Refusal] = &[
    refusal("is_timed_hmac_valid_v0", SECRET),
    refusal("uuidv4", "a rule says the same each time it is asked"),
    refusal("sha256", "rules compare texts, not their hashes"),
    refusal("bit_slice", "rules judge requests of HTTP, not packets"),
];

/// Why a field of Cloudflare's is not had here.
pub(crate) fn refused_field(name: &str) -> Option<&'static str> {
    find(REFUSED_FIELDS, name)
}

/// Why a function of Cloudflare's is not had here.
pub(crate) fn refused_function(name: &str) -> Option<&'static str> {
    find(REFUSED_FUNCTIONS, name)
}

fn find(all: &'static [Refusal], name: &str) -> Option<&'static str> {
    let is_it = |refusal: &&Refusal| match refusal.name.ends_with(['.', '_']) {
        true => name.starts_with(refusal.name),
        false => name == refusal.name,
    };
    all.iter().find(is_it).map(|refusal| refusal.instead)
}
