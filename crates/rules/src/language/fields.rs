//! The fields of a request.

use super::{Field, Kind, Value};
use crate::value::{Address, Array, Map, Number, Plain, Truth, Whose};
use seawall_model::FieldId;

const fn field(name: &'static str, kind: Kind, value: Value, what: &'static str) -> Field {
    Field {
        name,
        kind,
        what,
        value,
    }
}

const fn number(name: &'static str, number: Number, what: &'static str) -> Field {
    field(name, Kind::Int, Value::Number(number), what)
}

const fn address(name: &'static str, whose: Whose, what: &'static str) -> Field {
    field(name, Kind::Ip, Value::Address(Address::of(whose)), what)
}

const fn truth(name: &'static str, truth: Truth, what: &'static str) -> Field {
    field(name, Kind::Bool, Value::Truth(truth), what)
}

const fn array(name: &'static str, array: Array, what: &'static str) -> Field {
    field(name, Kind::Array, Value::Array(array), what)
}

const fn map(name: &'static str, map: Map, what: &'static str) -> Field {
    field(name, Kind::Map, Value::Map(map), what)
}

const COUNTRY: &str =
    "the client's country (ISO 3166-1 alpha-2, `DE`); empty where it is not known";
const CONTINENT: &str =
    "the client's continent: `AF AN AS EU NA OC SA`; empty where it is not known";
const ASN: &str = "the number of the client's autonomous system; 0 where it is not known";
const UNION: &str =
    "whether the client's country belongs to the European Union; no where it is not known";

const fn text(name: &'static str, plain: Plain, what: &'static str) -> Field {
    field(name, Kind::Bytes, Value::Text(plain), what)
}

const fn joined(name: &'static str, id: FieldId, with: &'static [u8], what: &'static str) -> Field {
    text(name, Plain::Joined(id, with), what)
}

/// All fields.
pub static FIELDS: &[Field] = &[
    text(
        "http.request.method",
        Plain::Method,
        "the method, in the client's case: `GET`",
    ),
    text(
        "http.request.version",
        Plain::Version,
        "`HTTP/1.0`, `HTTP/1.1`, `HTTP/2` or `HTTP/3`",
    ),
    text(
        "http.host",
        Plain::Host,
        "the host that the request names, in lower case, without a port",
    ),
    text(
        "http.request.uri",
        Plain::Uri,
        "the normalised path, and `?` and the query where there is one",
    ),
    text(
        "http.request.uri.path",
        Plain::Path,
        "the path, normalised: unreserved characters decoded, dot segments resolved, `\\` as `/`, no empty segments",
    ),
    text(
        "http.request.uri.path.extension",
        Plain::Extension,
        "what follows the last `.` of the path's last segment, in lower case",
    ),
    text(
        "http.request.uri.query",
        Plain::Query,
        "what follows the first `?`, as the client sent it",
    ),
    text(
        "raw.http.request.uri",
        Plain::RawUri,
        "path and query as the client sent them",
    ),
    text(
        "raw.http.request.uri.path",
        Plain::RawPath,
        "the path as the client sent it",
    ),
    text(
        "raw.http.request.uri.query",
        Plain::Query,
        "what follows the first `?`, as the client sent it",
    ),
    text(
        "raw.http.request.uri.path.extension",
        Plain::RawExtension,
        "what follows the last `.` of the last segment of the path, as the client sent it",
    ),
    map(
        "raw.http.request.uri.args",
        Map::Arguments,
        "the same as `http.request.uri.args`",
    ),
    array(
        "raw.http.request.uri.args.names",
        Array::ArgumentNames,
        "the same as `http.request.uri.args.names`",
    ),
    array(
        "raw.http.request.uri.args.values",
        Array::ArgumentValues,
        "the same as `http.request.uri.args.values`",
    ),
    text(
        "raw.http.request.full_uri",
        Plain::RawFullUri,
        "`https://host/path?query`: host in lower case without a port, path as the client sent it",
    ),
    text(
        "http.request.full_uri",
        Plain::FullUri,
        "`https://host/path?query`: host in lower case without a port, path normalised",
    ),
    joined(
        "http.user_agent",
        FieldId::UserAgent,
        b", ",
        "`User-Agent`; empty without one",
    ),
    joined(
        "http.referer",
        FieldId::Referer,
        b", ",
        "`Referer`; empty without one",
    ),
    joined(
        "http.cookie",
        FieldId::Cookie,
        b"; ",
        "`Cookie`, all lines joined by `; `; empty without one",
    ),
    joined(
        "http.x_forwarded_for",
        FieldId::XForwardedFor,
        b", ",
        "`X-Forwarded-For`, all lines joined by `, `; empty without one",
    ),
    map(
        "http.request.headers",
        Map::Headers,
        "header lines: `[\"name\"][0]` is the first one of that name (in any case), `[\"name\"][*]` all of them, for `any` and `all`",
    ),
    array(
        "http.request.headers.names",
        Array::LineNames,
        "the name of each header line, in lower case",
    ),
    array(
        "http.request.headers.values",
        Array::LineValues,
        "the value of each header line",
    ),
    map(
        "http.request.cookies",
        Map::Cookies,
        "values of cookies, as sent, by their decoded names",
    ),
    array(
        "http.request.cookies.names",
        Array::CookieNames,
        "the name of each cookie, as sent",
    ),
    array(
        "http.request.cookies.values",
        Array::CookieValues,
        "the value of each cookie, as sent",
    ),
    map(
        "http.request.uri.args",
        Map::Arguments,
        "values of the query's arguments, as sent, by their decoded names",
    ),
    array(
        "http.request.uri.args.names",
        Array::ArgumentNames,
        "the name of each argument, as sent",
    ),
    array(
        "http.request.uri.args.values",
        Array::ArgumentValues,
        "the value of each argument, as sent",
    ),
    address(
        "ip.src",
        Whose::Client,
        "the client's address by the trust rules",
    ),
    text("ip.src.country", Plain::Country, COUNTRY),
    text("ip.src.continent", Plain::Continent, CONTINENT),
    number("ip.src.asnum", Number::Asn, ASN),
    truth("ip.src.is_in_european_union", Truth::EuropeanUnion, UNION),
    text(
        "ip.geoip.country",
        Plain::Country,
        "the older name of `ip.src.country`",
    ),
    text(
        "ip.geoip.continent",
        Plain::Continent,
        "the older name of `ip.src.continent`",
    ),
    number(
        "ip.geoip.asnum",
        Number::Asn,
        "the older name of `ip.src.asnum`",
    ),
    truth(
        "ip.geoip.is_in_european_union",
        Truth::EuropeanUnion,
        "the older name of `ip.src.is_in_european_union`",
    ),
    truth("ssl", Truth::Https, "the client speaks HTTPS"),
    text(
        "cf.tls_version",
        Plain::TlsVersion,
        "`TLSv1.2` or `TLSv1.3`; empty where the connection to us has no TLS",
    ),
    truth(
        "cf.tls_client_auth.cert_verified",
        Truth::Certified,
        "the client showed a certificate that one of the zone's authorities signed",
    ),
    address(
        "cf.edge.server_ip",
        Whose::Server,
        "the address of ours that the client reached",
    ),
    number(
        "cf.edge.server_port",
        Number::ServerPort,
        "the port of ours that the client reached",
    ),
];
