//! Requests that make an origin say something else than it says to others who ask for the same: by fields that no key has.
//!
//! What comes of them is for whoever sent them: stored, it would be shown to all (cache poisoning), and be it an error that denies a
//! page to all (CPDoS). Which fields an origin listens to nobody can know; these are those that frameworks are known to.

use seawall_model::view::reads_alike;
use seawall_model::{Fields, RequestHead};

use super::storing::Refused;

/// Fields by which a client can name another URL, host, scheme, method or person than the request has, or another form of the answer, in
/// lower case, by the letter that they begin with: those that frameworks, and what stands before them, tell each other.
const fn steering(first: u8) -> &'static [&'static [u8]] {
    match first.to_ascii_lowercase() {
        b'b' => &[b"base-url"],
        b'c' => &[b"cloudfront-forwarded-proto"],
        b'd' => &[b"disguised-host"],
        b'f' => &[b"fastly-host", b"front-end-https"],
        b'h' => &[b"http-host"],
        // `Proxy` is `HTTP_PROXY` to what CGI has made (httpoxy, CVE-2016-5385).
        b'p' => &[b"path-info", b"proxy", b"proxy-host", b"proxy-url"],
        b'r' => &[b"remote-user"],
        b's' => &[b"script-name", b"ssl-offloaded", b"surrogate-capability"],
        b'w' => &[b"wl-proxy-ssl"],
        b'x' => WITH_X,
        _ => &[],
    }
}

/// Those with `X-`.
const WITH_X: &[&[u8]] = &[
    b"x-accel-mapping",
    b"x-astro-locals",
    b"x-astro-path",
    b"x-backend-host",
    b"x-envoy-original-host",
    b"x-envoy-original-path",
    b"x-forwarded",
    b"x-forwarded-method",
    b"x-forwarded-path",
    b"x-forwarded-prefix",
    b"x-forwarded-protocol",
    b"x-forwarded-scheme",
    b"x-forwarded-server",
    b"x-forwarded-ssl",
    b"x-forwarded-uri",
    b"x-forwarded-user",
    b"x-host",
    b"x-http-destinationurl",
    b"x-http-host",
    b"x-http-host-override",
    b"x-http-method",
    b"x-http-method-override",
    b"x-https",
    b"x-ingress-path",
    b"x-matched-path",
    b"x-method-override",
    b"x-nextjs-data",
    b"x-now-route-matches",
    b"x-nuxt-no-ssr",
    b"x-original-forwarded-host",
    b"x-original-host",
    b"x-original-proto",
    b"x-original-scheme",
    b"x-original-uri",
    b"x-original-url",
    b"x-prerender-revalidate",
    b"x-proxy-url",
    b"x-react-router-prerender-data",
    b"x-react-router-spa-mode",
    b"x-real-host",
    b"x-remote-user",
    b"x-replaced-path",
    b"x-rewrite-url",
    b"x-scheme",
    b"x-script-name",
    b"x-sendfile-type",
    b"x-url-scheme",
    b"x-waws-unencoded-url",
];

/// How those begin of which a framework has many.
const BEGIN: [&[u8]; 2] = [b"x-invoke-", b"x-middleware-"];

/// Bytes of fields that any origin takes. One with less room than the edge answers more with an error.
const USUAL_BYTES: usize = 4 * 1024;

/// Whether a request has fields that steer its origin elsewhere. Those that `is_known` names do not count: they are in the key, or
/// come from somebody who is believed.
pub fn steers(fields: &Fields, is_known: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    let mut fields = fields.iter();
    fields.any(|field| is_steering(field.name) && !is_known(field.name, field.value))
}

/// Whether a field is one of those. Names are compared as an origin may: with `_` for `-`.
pub fn is_steering(name: &[u8]) -> bool {
    let folded = |byte: &u8| match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    let begins = |known: &[u8]| {
        let mut both = known.iter().copied().zip(name.iter().map(folded));
        known.len() <= name.len() && both.all(|(known, byte)| known == byte)
    };
    let Some(first) = name.first() else {
        return false;
    };
    let mut known = steering(*first).iter();
    let is_it = known.any(|known| known.len() == name.len() && begins(known));
    is_it || (first.eq_ignore_ascii_case(&b'x') && BEGIN.iter().any(|known| begins(known)))
}

/// Whether a field is what the clients of a framework send with each request for such a path: Next.js's with those for its data, which may
/// be below a path of the site's own. Only where all servers read the path alike, for elsewhere it steers.
pub fn is_usual(name: &[u8], path: &[u8]) -> bool {
    const DATA: &[u8] = b"/_next/data/";
    name.eq_ignore_ascii_case(b"x-nextjs-data")
        && path.windows(DATA.len()).any(|part| part == DATA)
        && reads_alike(path)
}

/// Whether an error to this request says something of the URL. An origin may have refused it for what else it has: too many bytes, or
/// bytes that it does not take.
pub(super) fn check(status: u16, request: &RequestHead) -> Result<(), Refused> {
    match status {
        ..400 => Ok(()),
        // By their meaning these are about fields that are in no key, about how it was sent, or about when.
        406 | 408 | 411..=413 | 415..=417 | 421 | 425 | 426 | 428 | 429 | 431 => {
            Err(Refused::OddRequest)
        }
        _ if is_odd(&request.fields) => Err(Refused::OddRequest),
        _ => Ok(()),
    }
}

fn is_odd(fields: &Fields) -> bool {
    let mut bytes = 0;
    let is_usual = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    fields.iter().any(|field| {
        bytes += field.name.len() + field.value.len() + 4;
        bytes > USUAL_BYTES || !field.value.iter().all(is_usual)
    }) || steers(fields, |_, _| false)
}
