//! What we add to a request on its way to the origin, and to a response on its way to the client.
//!
//! Forwarding and identity fields from a peer that is no trusted proxy are replaced, never appended to: an origin that believes
//! `X-Forwarded-For` must be able to. One derived client address serves all.

use std::cell::RefCell;
use std::io::Write;
use std::net::IpAddr;
use std::rc::Rc;

use seawall_model::{ConnFacts, FieldId, Fields, HttpVersion, RequestHead};
use seawall_net::h1::connection_named;
use seawall_net::outgoing::{Prepared, REQUEST_SKIP};
use seawall_net::tls::fleet::Who;
use seawall_telemetry::Ray;

use crate::retire::Load;
use crate::shares::{ConnectionShare, ZoneShare};
use crate::snapshot::{Edge, Snapshot, Zone};
use crate::thread::Thread;

/// Forwarding fields of others: replaced by ours.
const FORWARDING: u64 = FieldId::XForwardedFor.bit()
    | FieldId::XForwardedProto.bit()
    | FieldId::XForwardedHost.bit()
    | FieldId::XForwardedPort.bit()
    | FieldId::XRealIp.bit()
    | FieldId::Forwarded.bit()
    | FieldId::TrueClientIp.bit()
    | FieldId::CfConnectingIp.bit();

/// Ids of the client's fields that do not travel on.
pub const SKIP: u64 = REQUEST_SKIP | FORWARDING;

/// Who the client is, as far as the peer may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address: `ip.src`.
    pub ip: IpAddr,
    /// The peer is a trusted proxy: what it says of the client holds.
    pub trusted: bool,
    /// The client spoke `https`, to us or to the trusted proxy.
    pub https: bool,
}

/// Derives the client from the peer and, behind trusted proxies and other locations of ours, from what they say: the rightmost
/// address of `X-Forwarded-For` that is no trusted proxy.
pub fn client(snapshot: &Snapshot, peer: &Peer, fields: &Fields) -> Client {
    let is_location = peer.location.is_some();
    client_of(&snapshot.edge, &peer.facts, is_location, fields)
}

/// The same, of what is known of a connection.
pub fn client_of(edge: &Edge, conn: &ConnFacts, is_location: bool, fields: &Fields) -> Client {
    let ip = conn.peer.ip().to_canonical();
    let https = conn.tls.is_some();
    let trusted_proxies = &edge.trusted_proxies;
    let is_trusted = |ip: IpAddr| trusted_proxies.iter().any(|network| network.contains(ip));
    if !is_location && (trusted_proxies.is_empty() || !is_trusted(ip)) {
        return Client {
            ip,
            trusted: false,
            https,
        };
    }
    let said = fields.first(FieldId::XForwardedProto);
    let https = said.map_or(https, |proto| proto.eq_ignore_ascii_case(b"https"));
    let mut client = ip;
    let lines: Vec<&[u8]> = fields.all(FieldId::XForwardedFor).collect();
    'lines: for line in lines.iter().rev() {
        for hop in line.rsplit(|byte| *byte == b',') {
            let Some(hop) = address(hop) else {
                break 'lines;
            };
            client = hop.to_canonical();
            if !is_trusted(client) {
                break 'lines;
            }
        }
    }
    Client {
        ip: client,
        trusted: true,
        https,
    }
}

fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.split(']').next())
        .unwrap_or(text);
    bare.parse().ok().or_else(|| {
        text.rsplit_once(':')
            .and_then(|(host, _)| host.parse().ok())
    })
}

/// Whether the request came through this installation before (RFC 8586).
pub fn came_round(head: &RequestHead, node: &str) -> bool {
    head.fields
        .all(FieldId::CdnLoop)
        .any(|value| memchr::memmem::find(value, node.as_bytes()).is_some())
}

/// A client's connection, and what is worked out once for many of its requests.
pub struct Peer {
    /// What is known of it.
    pub facts: ConnFacts,
    /// What was added to the last request.
    last: RefCell<Option<(Key, Rc<Prepared>)>>,
    /// Whose connection it is counted as.
    share: RefCell<Option<ConnectionShare>>,
    /// What it carries just now.
    pub load: Load,
    /// The location of our fleet that it is, which has the client.
    pub location: Option<Who>,
}

/// What the common fields depend on, beside the connection.
#[derive(PartialEq, Eq)]
struct Key {
    authority: Box<[u8]>,
    version: HttpVersion,
}

impl From<ConnFacts> for Peer {
    fn from(facts: ConnFacts) -> Self {
        Self {
            facts,
            last: RefCell::default(),
            share: RefCell::default(),
            load: Load::default(),
            location: None,
        }
    }
}

impl Peer {
    /// The share of the zone that is asked for, as whose the connection counts from now on; none if that zone has too many.
    #[inline]
    pub fn share(&self, thread: &Rc<Thread>, zone: &Zone) -> Option<Rc<ZoneShare>> {
        if let Some(known) = &*self.share.borrow()
            && known.share().zone() == zone.id
        {
            return Some(known.share().clone());
        }
        let taken = ConnectionShare::take(thread, zone.id)?;
        let share = taken.share().clone();
        *self.share.borrow_mut() = Some(taken);
        Some(share)
    }

    /// What is added to every request like this one. Requests on one connection nearly always name the same host, so it is
    /// kept; not behind a trusted proxy, where each request may be another client's.
    pub fn common(&self, head: &RequestHead, client: Client, node: &str) -> Rc<Prepared> {
        if let Some((key, common)) = &*self.last.borrow()
            && !client.trusted
            && *key.authority == *head.authority()
            && key.version == head.version
        {
            return common.clone();
        }
        let common = Rc::new(Prepared::from(self.fields(head, client, node)));
        let key = Key {
            authority: head.authority().into(),
            version: head.version,
        };
        *self.last.borrow_mut() = (!client.trusted).then(|| (key, common.clone()));
        common
    }

    fn fields(&self, head: &RequestHead, client: Client, node: &str) -> Fields {
        let mut out = Fields::default();
        let mut text = Vec::new();
        let proto: &[u8] = if client.https { b"https" } else { b"http" };
        // What a trusted proxy said goes on, with the proxy itself behind it.
        let said = |id: FieldId, text: &mut Vec<u8>| {
            text.clear();
            for value in head.fields.all(id).take_while(|_| client.trusted) {
                text.extend_from_slice(value);
                text.extend_from_slice(b", ");
            }
        };
        said(FieldId::XForwardedFor, &mut text);
        let start = text.len();
        // Writing to a vector cannot fail.
        let _ = write!(text, "{}", self.facts.peer.ip().to_canonical());
        out.push_known(FieldId::XForwardedFor, &text);
        let hop = text.split_off(start);
        out.push_known(FieldId::XForwardedProto, proto);
        let host = head
            .fields
            .first(FieldId::XForwardedHost)
            .filter(|_| client.trusted);
        out.push_known(FieldId::XForwardedHost, host.unwrap_or(head.authority()));
        said(FieldId::Forwarded, &mut text);
        forwarded(&mut text, &hop, proto, head.authority());
        out.push_known(FieldId::Forwarded, &text);
        passed_here(&mut out, head.version, node);
        out
    }
}

/// What is added to a request that the edge makes for all, because somebody asked for the same by `head`: nothing names that client.
/// `https` is what those speak whom the answer is for. `trusted`: a proxy that is believed says for which host it was asked, as it does
/// of the requests whose answers are kept.
pub fn for_nobody(head: &RequestHead, https: bool, trusted: bool, node: &str) -> Rc<Prepared> {
    let mut out = Fields::default();
    let proto: &[u8] = if https { b"https" } else { b"http" };
    out.push_known(FieldId::XForwardedProto, proto);
    let host = head.fields.first(FieldId::XForwardedHost);
    let host = host.filter(|_| trusted).unwrap_or(head.authority());
    out.push_known(FieldId::XForwardedHost, host);
    let mut text = b"for=unknown;proto=".to_vec();
    proto_and_host(&mut text, proto, head.authority());
    out.push_known(FieldId::Forwarded, &text);
    passed_here(&mut out, HttpVersion::Http11, node);
    Rc::new(Prepared::from(out))
}

/// `Via` and `CDN-Loop`.
fn passed_here(out: &mut Fields, version: HttpVersion, node: &str) {
    let via = format!("{} seawall", version.via());
    out.push_known(FieldId::Via, via.as_bytes());
    let node = format!("seawall; node=\"{node}\"");
    out.push_known(FieldId::CdnLoop, node.as_bytes());
}

/// One element of `Forwarded` (RFC 7239 §4): an IPv6 address is quoted, in brackets.
fn forwarded(text: &mut Vec<u8>, ip: &[u8], proto: &[u8], host: &[u8]) {
    let v6 = ip.contains(&b':');
    text.extend_from_slice(if v6 { b"for=\"[" } else { b"for=" });
    text.extend_from_slice(ip);
    text.extend_from_slice(if v6 { b"]\";proto=" } else { b";proto=" });
    proto_and_host(text, proto, host);
}

fn proto_and_host(text: &mut Vec<u8>, proto: &[u8], host: &[u8]) {
    text.extend_from_slice(proto);
    text.extend_from_slice(b";host=\"");
    // The codec lets no quote and no backslash into an authority.
    text.extend_from_slice(host);
    text.push(b'"');
}

/// Removes the fields that `Connection` names (RFC 9110 §7.6.1). Nearly always there are none.
pub fn drop_connection_named(fields: &mut Fields) {
    if !fields.has(FieldId::Connection) {
        return;
    }
    let named: Vec<Vec<u8>> = connection_named(fields).map(<[u8]>::to_vec).collect();
    for name in named {
        fields.remove_named(&name);
    }
}

const RAY: &[u8] = b"seawall-ray: ";

/// `Seawall-Ray` as a line for rays of this location, without their digits.
pub fn ray_line(location: &str) -> Box<[u8]> {
    let mut line = RAY.to_vec();
    Ray(0).write(location, &mut line);
    line.extend_from_slice(b"\r\n");
    line.into()
}

/// Writes `Seawall-Ray` as a line, from the one without digits.
#[inline]
pub fn write_ray(ray: Ray, line: &[u8], into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(line);
    let digits = into.get_mut(RAY.len()..).and_then(<[u8]>::first_chunk_mut);
    if let Some(digits) = digits {
        *digits = ray.digits();
    }
}
