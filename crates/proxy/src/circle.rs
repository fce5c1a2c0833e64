//! Redirects that lead in a circle: whether a configuration would send a request on and on, and nobody would ever be served.
//!
//! A redirect refuses nobody, so that no count of refusals or errors shows one that leads to itself. Here its `Location` is followed as
//! a browser follows it, as long as it leads to a host of the same configuration. Where it leads to HTTPS, it is asked whether that
//! would come here as HTTPS: it does not where nothing listens for it, nor behind a proxy that says who asks and not how.
//!
//! Not here: what an origin redirects, which nobody knows before it is asked.

use std::borrow::Cow;

use seawall_guard::Subject;
use seawall_model::{FieldId, Method, RequestHead, without_port};

use crate::endpoint::{self, Place};
use crate::forward;
use crate::snapshot::{Edge, Snapshot};

/// Redirects that a browser follows (Fetch, "HTTP-redirect fetch").
pub const HOPS: u32 = 20;
/// So many places of a circle are told.
const TOLD: usize = 4;
/// So many characters of each.
const TOLD_EACH: usize = 60;
/// Fields by which a proxy says for whom it asks.
const SAYS_WHO: u64 =
    FieldId::XForwardedFor.bit() | FieldId::XRealIp.bit() | FieldId::Forwarded.bit();
/// Fields of a body, which go with it where a redirect makes a GET of a request.
const OF_BODY: [FieldId; 4] = [
    FieldId::ContentType,
    FieldId::ContentLength,
    FieldId::ContentEncoding,
    FieldId::TransferEncoding,
];

/// What a browser asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Url {
    /// Another method is another request: a form is posted, and what comes of it is got from the same place.
    method: Method,
    https: bool,
    host: Vec<u8>,
    port: u16,
    target: Vec<u8>,
}

/// The circle in which a request would be sent by this configuration, in words; none: it comes to an end, or leads elsewhere.
///
/// `is_https`: the client knows it as HTTPS, whatever it comes here as. `https_is_seen`: HTTPS is known to come to its zone as such,
/// or nobody has looked. `hops` are redirects that may still be followed; with none left nothing is found.
pub(crate) fn find(
    all: &Snapshot,
    head: &RequestHead,
    subject: &Subject<'_>,
    is_https: bool,
    https_is_seen: bool,
    hops: &mut u32,
) -> Option<String> {
    let mut subject = *subject;
    let mut head = Cow::Borrowed(head);
    let mut been = Vec::new();
    let mut here = Url::of(&head, is_https);
    loop {
        let zone = all.zone(head.authority())?;
        if !matches!(
            endpoint::find(head.path(), &all.home.certificates),
            Place::Elsewhere
        ) {
            return None;
        }
        let (status, location) = zone.guard.sends_to(&head, &subject)?;
        *hops = hops.checked_sub(1)?;
        let next = here.leads(&location, status, &all.edge)?;
        been.push(here);
        if been.contains(&next) || been.len() > HOPS as usize {
            been.push(next);
            return Some(told(&been));
        }
        let asked = next.asked(&head);
        subject.https = next.https && comes_by_https(&all.edge, &asked, &subject, https_is_seen);
        head = Cow::Owned(asked);
        here = next;
    }
}

/// Whether what is asked for by HTTPS comes here as that. Where nobody can know, it does.
fn comes_by_https(
    edge: &Edge,
    head: &RequestHead,
    subject: &Subject<'_>,
    https_is_seen: bool,
) -> bool {
    let came = forward::client_of(edge, subject.conn, false, &head.fields);
    if subject.https || came.https {
        return true;
    }
    if came.trusted {
        // Who does not even say for whom it asks may be no proxy, but somebody on the same machine.
        return https_is_seen || !head.fields.has_any(SAYS_WHO);
    }
    edge.has_https || !edge.trusted_proxies.is_empty() || edge.announced.http
}

impl Url {
    fn of(head: &RequestHead, https: bool) -> Self {
        let authority = head.authority();
        Self {
            method: head.method,
            https,
            host: without_port(authority).to_ascii_lowercase(),
            port: port(authority, https),
            target: head.target().to_vec(),
        }
    }

    /// Where a redirect leads from here; none where that is not this edge, as far as we know.
    fn leads(&self, location: &[u8], status: u16, edge: &Edge) -> Option<Self> {
        let method = match (status, self.method) {
            (303, method) if method != Method::Head => Method::Get,
            (301 | 302, Method::Post) => Method::Get,
            (_, method) => method,
        };
        let location = location.split(|byte| *byte == b'#').next()?;
        let behind = |scheme: &[u8]| location.strip_prefix(scheme);
        let (https, rest) = match (behind(b"https://"), behind(b"http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) if location.starts_with(b"/") && !location.starts_with(b"//") => {
                return Some(Self {
                    method,
                    target: location.to_vec(),
                    ..self.clone()
                });
            }
            (None, None) => return None,
        };
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
        let (authority, behind) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        let mut target = behind.to_vec();
        if !target.starts_with(b"/") {
            target.insert(0, b'/');
        }
        let next = Self {
            method,
            https,
            host: without_port(authority).to_ascii_lowercase(),
            port: port(authority, https),
            target,
        };
        next.is_ours(self, edge).then_some(next)
    }

    /// Whether this edge has that port, from where it was led there.
    fn is_ours(&self, from: &Self, edge: &Edge) -> bool {
        if self.https && self.port == edge.public_https {
            return true;
        }
        if self.https == from.https {
            return self.port == from.port;
        }
        (self.port, from.port) == (usual_port(self.https), usual_port(from.https))
    }

    fn authority(&self) -> Vec<u8> {
        let mut authority = self.host.clone();
        if self.port != usual_port(self.https) {
            authority.extend_from_slice(format!(":{}", self.port).as_bytes());
        }
        authority
    }

    /// What a browser sends there, that was sent on from what it asked before: all of its fields go with it.
    fn asked(&self, before: &RequestHead) -> RequestHead {
        let mut head = before.clone();
        if head.method != self.method {
            // A redirect makes nothing but a GET of anything.
            head.method = self.method;
            head.method_span = head.fields.store(b"GET");
            for field in OF_BODY {
                head.fields.remove(field);
            }
        }
        let authority = self.authority();
        head.target_span = head.fields.store(&self.target);
        head.authority_span = head.fields.store(&authority);
        if head.fields.has(FieldId::Host) {
            head.fields.remove(FieldId::Host);
            head.fields.push_known(FieldId::Host, &authority);
        }
        let scheme: &[u8] = if self.https { b"https" } else { b"http" };
        if !head.scheme().is_empty() {
            head.scheme_span = head.fields.store(scheme);
        }
        // Whoever said it before says what is so now.
        if head.fields.has(FieldId::XForwardedProto) {
            head.fields.remove(FieldId::XForwardedProto);
            head.fields.push_known(FieldId::XForwardedProto, scheme);
        }
        head
    }
}

const fn usual_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

fn port(authority: &[u8], https: bool) -> u16 {
    let behind = authority.get(without_port(authority).len()..);
    let digits = behind.and_then(|behind| behind.strip_prefix(b":"));
    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    digits
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| usual_port(https))
}

/// `/a -> /b -> /a`; with schemes and hosts where they differ. Queries are nobody's business here.
fn told(been: &[Url]) -> String {
    let is_one_host = been.windows(2).all(|two| match two {
        [one, other] => (one.https, &one.host, one.port) == (other.https, &other.host, other.port),
        _ => true,
    });
    let one = |url: &Url| {
        let mut text = Vec::new();
        if !is_one_host {
            let scheme: &[u8] = if url.https { b"https://" } else { b"http://" };
            text.extend_from_slice(scheme);
            text.extend_from_slice(&url.authority());
        }
        let path = url.target.split(|byte| *byte == b'?').next();
        text.extend_from_slice(path.unwrap_or_default());
        let shown = text.iter().map(|byte| match byte.is_ascii_graphic() {
            true => char::from(*byte),
            false => '?',
        });
        let mut shown: String = shown.take(TOLD_EACH).collect();
        if text.len() > TOLD_EACH {
            shown.push('…');
        }
        shown
    };
    let mut places: Vec<String> = been.iter().take(TOLD).map(one).collect();
    if been.len() > TOLD {
        places.push("…".into());
    }
    places.join(" -> ")
}

#[cfg(test)]
mod tests;
