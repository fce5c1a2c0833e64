//! Answers to what is no request: a head that is malformed, too long or too slow. The connection closes after it, and the
//! Record says why.

use std::rc::Rc;

use seawall_guard::{Cleared, EdgeMade, ZoneId};
use seawall_model::{ConnFacts, FieldId, Fields, HttpVersion};
use seawall_net::alarm::Alarm;
use seawall_net::downstream::{After, ClientResponse};
use seawall_net::h2::Malformed;
use seawall_net::outgoing::{BodyOut, Line};
use seawall_telemetry::{Ray, Record, Source, ZoneSlot};

use crate::fault::Fault;
use crate::forward;
use crate::outgoing;
use crate::page::{self, Page};
use crate::thread::{Thread, unix_us};

/// How much of a refused head's first line a Record shows, in bytes.
const SHOWN: usize = 256;

/// Refuses with an error page and writes the Record. `bytes` is what came, as far as it is known.
pub async fn refuse(
    thread: &Rc<Thread>,
    facts: &ConnFacts,
    response: &mut ClientResponse<'_>,
    version: HttpVersion,
    fault: Fault,
    bytes: &[u8],
    alarm: &mut Alarm,
) {
    let snapshot = thread.snapshot.load();
    let ray = thread.next_ray();
    let answer = fault.answer();
    let mut text = Vec::new();
    ray.write(&snapshot.edge.location, &mut text);
    let page = Page {
        status: answer.status,
        who: answer.who,
        what: answer.what,
        help: answer.help,
        ray: &String::from_utf8_lossy(&text),
        location: &snapshot.edge.location,
        host: b"",
        time: &thread.rfc3339(unix_us()),
    };
    let mut content = Vec::new();
    let content_type = page::render(&page, None, &mut content);
    let mut extra = Fields::default();
    extra.push_known(FieldId::ContentType, content_type.as_bytes());
    extra.push_known(FieldId::Date, &thread.http_date(unix_us() / 1_000_000));
    let said = match fault {
        Fault::Rejected { reason, .. } => format!(
            "seawall; error={}; details=\"{reason}\"",
            answer.proxy_status
        ),
        _ => format!("seawall; error={}", answer.proxy_status),
    };
    extra.push_known(FieldId::ProxyStatus, said.as_bytes());
    forward::write_ray(ray, &snapshot.edge.ray_line, &mut text);
    let body = BodyOut::Length(content.len() as u64);
    let cleared = Cleared::edge_made(EdgeMade::Page, answer.status, None);
    let head = outgoing::response(cleared, 0, &extra, Line(&text), body);
    let timeout = snapshot.edge.write_timeout;
    if response.head(head).is_ok() {
        // A client that does not take it is closed all the same.
        let _ = response.body(&content, After::Last, alarm, timeout).await;
    }
    let seen = Seen {
        bytes,
        answered: answer.status,
        bytes_out: response.bytes(),
    };
    let error = match fault {
        Fault::Rejected { reason, .. } => reason,
        _ => answer.slug,
    };
    record(thread, facts, ray, version, &seen, error);
    if matches!(answer.status, 414 | 431) {
        snapshot.count_turned_away(|next, live| next.head.is_narrower(&live.head));
    }
}

/// Writes the Record of a request that was not answered but reset (HTTP/2 and 3).
pub fn unanswered(thread: &Rc<Thread>, facts: &ConnFacts, http: HttpVersion, reason: &'static str) {
    thread.shard.request_rejected(reason);
    let seen = Seen {
        bytes: b"",
        answered: 400,
        bytes_out: 0,
    };
    record(thread, facts, thread.next_ray(), http, &seen, reason);
}

struct Seen<'a> {
    bytes: &'a [u8],
    answered: u16,
    bytes_out: u64,
}

fn record(
    thread: &Thread,
    facts: &ConnFacts,
    ray: Ray,
    http: HttpVersion,
    seen: &Seen<'_>,
    error: &str,
) {
    let snapshot = thread.snapshot.load();
    let line = seen
        .bytes
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .next()
        .unwrap_or_default();
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let mut word = || {
        let word = words.next().unwrap_or_default();
        word.get(..SHOWN).unwrap_or(word)
    };
    let (method, path) = (word(), word());
    let record = Record {
        time: unix_us(),
        ray,
        location: &snapshot.edge.location,
        zone: "",
        version: "",
        client_ip: facts.peer.ip().to_canonical(),
        method,
        host: b"",
        path,
        status: seen.answered,
        source: Source::Edge,
        bytes_in: seen.bytes.len() as u64,
        bytes_out: seen.bytes_out,
        duration_us: 0,
        origin_us: None,
        cache: "",
        verdict: "",
        stages: "",
        http,
        tls: facts.tls.as_ref().map_or("", |tls| tls.version),
        ja4: "",
        bot_score: None,
        country: "",
        user_agent: b"",
        referer: b"",
        error,
        place: b"",
    };
    thread.record(&record, ZoneSlot::NONE, ZoneId::default());
}

/// Why a request on HTTP/2 was malformed, as one word for metrics and Records.
pub fn malformed(why: Malformed) -> &'static str {
    match why {
        Malformed::Field => "bad_field",
        Malformed::PseudoPlace => "misplaced_pseudo_field",
        Malformed::PseudoUnknown => "unknown_pseudo_field",
        Malformed::PseudoTwice => "duplicate_pseudo_field",
        Malformed::PseudoMissing => "missing_pseudo_field",
        Malformed::ConnectionField => "connection_specific_field",
        Malformed::ContentLength => "bad_content_length",
        Malformed::Method => "bad_method",
        Malformed::Scheme => "bad_scheme",
        Malformed::Path => "bad_target",
        Malformed::Authority => "bad_host",
        Malformed::Connect => "bad_connect",
        Malformed::Status => "bad_status",
    }
}
