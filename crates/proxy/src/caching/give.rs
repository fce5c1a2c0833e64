//! What a client gets of what is stored, or of what another request fetches just now.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use seawall_cache::fill::{Begun, Broken, Follower};
use seawall_cache::head::Head;
use seawall_cache::key::Key;
use seawall_cache::memory::{Body, Entry, Made, Piece};
use seawall_cache::policy::{Life, Part, Precondition, Ranged, Status, age, precondition, ranged};
use seawall_guard::Admitted;
use seawall_model::{FieldId, Method, RequestHead, ResponseHead};
use seawall_net::alarm::Alarm;
use seawall_net::downstream::{After, ClientGone};
use seawall_net::outgoing::{BodyOut, Line, RESPONSE_SKIP};
use seawall_telemetry::Source;

use super::look::LOOK;
use super::packed::{Coded, Packing};
use super::{now, packed, tell_browsers};
use crate::compress::{Encoder, mark, memory};
use crate::endpoint::Place;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::outgoing;
use crate::quota;
use crate::snapshot::Zone;
use crate::thread::{Parts, Thread};

/// A response that is stored, or on its way to others too.
pub(super) enum Given {
    /// All of it is there; with what it was found by, where it may be kept compressed.
    Entry(Arc<Entry>, Option<Arc<Key>>),
    /// Its head is there; the body comes by and by.
    Fill(Arc<Begun>, Follower),
}

impl Given {
    fn head(&self) -> (&Head, &Life) {
        match self {
            Self::Entry(entry, _) => (&entry.head, &entry.life),
            Self::Fill(begun, _) => (&begun.head, &begun.life),
        }
    }

    fn length(&self) -> Option<u64> {
        match self {
            Self::Entry(entry, _) => Some(entry.body.length()),
            Self::Fill(begun, _) => begun.length,
        }
    }

    /// What of the body is there already.
    fn front(&self) -> &[u8] {
        match self {
            Self::Entry(entry, _) => entry.body.pieces().first().map_or(&[][..], |piece| piece),
            Self::Fill(..) => &[],
        }
    }
}

/// A piece, from where in it to where, and whether it is the last; none at the end.
type Next = Option<(Piece, Range<usize>, bool)>;

/// Where a body comes from.
enum Whence {
    Body(Body),
    Fill(Follower),
}

/// Where in a body its reader is.
struct Reading {
    from: Whence,
    at: u64,
    end: Option<u64>,
}

impl Reading {
    /// The next bytes.
    async fn next(
        &mut self,
        alarm: &mut Alarm,
        is_over: impl Fn() -> Option<Fault>,
    ) -> Result<Next, Fault> {
        if self.end.is_some_and(|end| self.at >= end) {
            return Ok(None);
        }
        let found = match &mut self.from {
            Whence::Body(body) => {
                let found = body.at(self.at);
                found.map(|(piece, at)| (Arc::clone(piece), at))
            }
            Whence::Fill(follower) => {
                let piece = loop {
                    let next = alarm.wait(LOOK, |cx| follower.poll_piece(cx)).await;
                    match next {
                        Ok(piece) => break piece,
                        Err(_) => {
                            if let Some(fault) = is_over() {
                                return Err(fault);
                            }
                        }
                    }
                };
                piece.map_err(|Broken| Fault::Incomplete)?
            }
        };
        let Some((piece, at)) = found else {
            return match self.end {
                Some(_) => Err(Fault::Incomplete),
                None => Ok(None),
            };
        };
        let left = self.end.map_or(u64::MAX, |end| end - self.at);
        let length = ((piece.len() - at) as u64).min(left) as usize;
        self.at += length as u64;
        let is_last = self.end == Some(self.at);
        Ok(Some((piece, at..at + length, is_last)))
    }
}

impl<'a> Exchange<'a, '_> {
    /// Gives the client a response.
    pub(super) async fn give_kept(
        &mut self,
        zone: &Arc<Zone>,
        given: Given,
        status: Status<'_>,
        source: Source,
        admitted: &Admitted<'_>,
        parts: &mut Parts,
    ) {
        parts.cache.clear();
        status.write(&mut parts.cache);
        let passed = self.give_all(zone, given, admitted, parts).await;
        self.outcome.ended = Some(self.thread.clock());
        self.outcome.source = source;
        self.outcome.status = parts.response.status;
        let Err(fault) = passed else {
            return;
        };
        if self.response.has_begun() || fault == Fault::ClientGone {
            // What was promised does not come.
            self.response.abort();
            self.outcome.fault = Some(fault);
            return;
        }
        self.response.take_back();
        let head = admitted.head();
        match self.refusal.take() {
            Some(refusal) => self.turn_away(&refusal, zone, head, parts).await,
            None => self.refuse(fault, Some(zone), head, parts).await,
        }
    }

    async fn give_all(
        &mut self,
        zone: &Arc<Zone>,
        given: Given,
        admitted: &Admitted<'_>,
        parts: &mut Parts,
    ) -> Result<(), Fault> {
        let request = admitted.head();
        let part = chosen(request, &given, &mut parts.response);
        let length = match part {
            Some(part) => Some(part.length),
            None => given.length(),
        };
        if !self.is_of_location() {
            zone.response_edits.apply(&mut parts.response.fields);
        }
        let coded = self.coded(zone, &given, request, parts);
        self.own_fields(zone, &given, parts);
        let length = match &coded {
            Coded::Kept(packed) => Some(packed.length()),
            Coded::Plain | Coded::Made(..) => length,
        };
        let body = match (&coded, length) {
            (Coded::Made(..), _) if request.method == Method::Head => BodyOut::None,
            (Coded::Made(..), _) | (_, None) => BodyOut::Unknown,
            (_, Some(_)) if matches!(parts.response.status, 204 | 304) => BodyOut::None,
            (_, Some(length)) => BodyOut::Length(length),
        };
        let subject = self.subject(zone, Place::Elsewhere);
        let front = if part.is_none() { given.front() } else { &[] };
        let trail = parts.trail.get_mut();
        let cleared = zone
            .guard
            .clear(&mut parts.response, front, &subject, trail);
        let cleared = cleared.map_err(|refusal| {
            self.refusal = Some(refusal);
            Fault::TurnedAway
        })?;
        trail.tell(&mut parts.to_client);
        let last = Line(&parts.ray_line);
        let out = outgoing::response(cleared, RESPONSE_SKIP, &parts.to_client, last, body);
        if self.thread.is_leaving() {
            self.response.close_after();
        }
        let timeout = self.snapshot.edge.write_timeout;
        let silent =
            request.method == Method::Head || matches!(body, BodyOut::None | BodyOut::Length(0));
        if silent {
            let alone = self.response.head_alone(out, self.alarm, timeout);
            return alone.await.map_err(gone);
        }
        self.response.head(out).map_err(gone)?;
        let start = part.map_or(0, |part| part.start);
        let from = match (&coded, given) {
            (Coded::Kept(packed), _) => Whence::Body(packed.clone()),
            (_, Given::Entry(entry, _)) => Whence::Body(entry.body.clone()),
            (_, Given::Fill(_, follower)) => Whence::Fill(follower),
        };
        let reading = Reading {
            from,
            at: start,
            end: length.map(|length| start + length),
        };
        match coded {
            Coded::Plain | Coded::Kept(_) => self.give_plain(reading, request).await,
            Coded::Made(encoder, _hold, packing) => {
                self.give_encoded(reading, encoder, packing, request).await
            }
        }
    }

    async fn give_plain(
        &mut self,
        mut reading: Reading,
        request: &RequestHead,
    ) -> Result<(), Fault> {
        while let Some((piece, range, is_last)) = self.next_of(&mut reading, request).await? {
            let after = if is_last { After::Last } else { After::Wait };
            let bytes = piece.get(range).unwrap_or_default();
            self.give_piece(bytes, after).await?;
            if is_last {
                return Ok(());
            }
            tokio::task::consume_budget().await;
        }
        let timeout = self.snapshot.edge.write_timeout;
        let ended = self.response.end(None, self.alarm, timeout);
        ended.await.map_err(gone)
    }

    async fn give_encoded(
        &mut self,
        mut reading: Reading,
        mut encoder: Encoder,
        mut packing: Option<Packing>,
        request: &RequestHead,
    ) -> Result<(), Fault> {
        while let Some((piece, range, _)) = self.next_of(&mut reading, request).await? {
            let bytes = piece.get(range).unwrap_or_default();
            encoder.write(bytes).map_err(|_| Fault::Internal)?;
            let out = encoder.take();
            if !out.is_empty() {
                packing = packing.and_then(|packing| packing.push(&out));
                self.give_piece(&out, After::More).await?;
            }
            tokio::task::consume_budget().await;
        }
        let last = encoder.finish().map_err(|_| Fault::Internal)?;
        if let Some(packing) = packing.and_then(|packing| packing.push(&last)) {
            packing.finish();
        }
        self.give_piece(&last, After::Last).await
    }

    /// The next bytes, unless the client is gone or may not be served any more.
    async fn next_of(
        &mut self,
        reading: &mut Reading,
        request: &RequestHead,
    ) -> Result<Next, Fault> {
        let (standing, response) = (&self.standing, &*self.response);
        let is_over = || match () {
            () if response.is_gone() => Some(Fault::ClientGone),
            () => (!standing.holds(request)).then_some(Fault::Withdrawn),
        };
        let next = reading.next(self.alarm, &is_over).await?;
        match standing.holds(request) {
            true => Ok(next),
            false => Err(Fault::Withdrawn),
        }
    }

    async fn give_piece(&mut self, bytes: &[u8], after: After) -> Result<(), Fault> {
        let timeout = self.snapshot.edge.write_timeout;
        let given = self.response.body(bytes, after, self.alarm, timeout);
        given.await.map_err(gone)
    }

    /// How the body leaves; the head is that of the compressed answer then.
    fn coded(
        &self,
        zone: &Zone,
        given: &Given,
        request: &RequestHead,
        parts: &mut Parts,
    ) -> Coded<'a> {
        let compress = zone.compress.as_ref().filter(|_| !self.is_of_location());
        let length = given.length();
        let announced = length.map_or(BodyOut::Unknown, BodyOut::Length);
        let coding = compress.and_then(|all| all.coding(request, &mut parts.response, announced));
        let Some(coding) = coding else {
            return Coded::Plain;
        };
        let mut packing = None;
        if let Given::Entry(entry, found_by) = given {
            match packed::made(entry, coding) {
                Made::Body(body) => {
                    mark(&mut parts.response.fields, coding);
                    return Coded::Kept(body.clone());
                }
                Made::NotWorthIt => return Coded::Plain,
                Made::Nothing => {}
            }
            let cache = &self.thread.shared.cache;
            let found_by = found_by.as_ref().filter(|_| request.method == Method::Get);
            packing = found_by.and_then(|key| Packing::begin(cache, key, entry, coding));
        }
        let thread: &'a Rc<Thread> = self.thread;
        let hold = memory(thread, zone.id, coding);
        let encoder = Encoder::new(coding, length).ok();
        let (Some(hold), Some(encoder)) = (hold, encoder) else {
            return Coded::Plain;
        };
        mark(&mut parts.response.fields, coding);
        Coded::Made(encoder, hold, packing)
    }

    /// What we say beside the stored fields.
    fn own_fields(&self, zone: &Zone, given: &Given, parts: &mut Parts) {
        let to_client = &mut parts.to_client;
        to_client.clear();
        if self.is_of_location() {
            let (_, life) = given.head();
            to_client.push_known(FieldId::Age, age(life, now()).to_string().as_bytes());
            to_client.push_known(FieldId::CacheStatus, &parts.cache);
            return;
        }
        quota::tell(parts.trail.get_mut(), to_client);
        if let Some(alt_svc) = self.alt_svc() {
            parts.response.fields.remove(FieldId::AltSvc);
            to_client.push_known(FieldId::AltSvc, alt_svc);
        }
        if self.client.https
            && let Some(hsts) = &zone.hsts
        {
            let name = FieldId::StrictTransportSecurity;
            parts.response.fields.remove(name);
            to_client.push_known(name, hsts.as_bytes());
        }
        let (_, life) = given.head();
        let age = age(life, now()).to_string();
        if let Some(seconds) = self.browser_ttl {
            // For them it begins now, whatever age is told beside it.
            let age = age.parse::<u32>().unwrap_or(0);
            tell_browsers(&mut parts.response.fields, seconds.saturating_add(age));
        }
        to_client.push_known(FieldId::Age, age.as_bytes());
        to_client.push_known(FieldId::CacheStatus, &parts.cache);
    }
}

/// What of a response this client gets: the head is filled accordingly. None for all of it.
fn chosen(request: &RequestHead, given: &Given, response: &mut ResponseHead) -> Option<Part> {
    let (head, life) = given.head();
    head.fill(response);
    let nothing = Part {
        start: 0,
        length: 0,
    };
    if precondition(request, head, life.received) == Precondition::NotModified {
        response.status = 304;
        // What is about the bytes is for those who get them (RFC 9110 §15.4.5).
        for name in ABOUT_BYTES {
            response.fields.remove_named(name);
        }
        return Some(nothing);
    }
    let length = match given {
        Given::Entry(entry, _) => entry.body.length(),
        Given::Fill(..) => return None,
    };
    let told = |response: &mut ResponseHead, status, range: String| {
        response.status = status;
        response.fields.remove_named(b"content-range");
        response.fields.push(b"Content-Range", range.as_bytes());
    };
    match ranged(request, head, length, life.received) {
        // Several parts may be answered with all of it (RFC 9110 §14.2).
        Ranged::Whole | Ranged::Parts(_) => None,
        Ranged::Part(part) => {
            let (first, last) = (part.start, part.end() - 1);
            told(response, 206, format!("bytes {first}-{last}/{length}"));
            Some(part)
        }
        Ranged::Unsatisfiable => {
            told(response, 416, format!("bytes */{length}"));
            response.fields.remove_named(b"content-encoding");
            Some(nothing)
        }
    }
}

const ABOUT_BYTES: [&[u8]; 5] = [
    b"content-encoding",
    b"content-language",
    b"content-range",
    b"content-type",
    b"content-md5",
];

fn gone(gone: ClientGone) -> Fault {
    match gone {
        ClientGone::Closed => Fault::ClientGone,
        ClientGone::Slow => Fault::SlowReader,
    }
}
