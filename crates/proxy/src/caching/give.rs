//! What a client gets of what is stored, or of what another request fetches just now.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use seawall_cache::key::Key;
use seawall_cache::memory::Made;
use seawall_cache::policy::{Forwarded, Status, is_steering};
use seawall_cache::slices::Slices;
use seawall_guard::Admitted;
use seawall_model::{FieldId, Method, RequestHead};
use seawall_net::downstream::{After, ClientGone};
use seawall_net::outgoing::{BodyOut, Line, RESPONSE_SKIP};
use seawall_telemetry::Source;

use super::look::is_of_one;
use super::packed::{Coded, Packing};
use super::reading::{Chosen, Given, Next, Reading, chosen};
use super::slices::{Lost, SliceReader};
use super::{Cached, Way, now, packed, tell_browsers};
use crate::compress::{Encoder, mark, memory};
use crate::endpoint::Place;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::outgoing;
use crate::quota;
use crate::relay;
use crate::snapshot::Zone;
use crate::thread::{Parts, Thread};

impl<'a> Exchange<'a, '_> {
    /// Gives the client a response that is found by `key`.
    #[expect(
        clippy::too_many_arguments,
        reason = "what is given to whom, and what is said of it"
    )]
    pub(super) async fn give_kept(
        &mut self,
        zone: &'a Arc<Zone>,
        key: &Arc<Key>,
        given: Given,
        mut status: Status<'_>,
        mut source: Source,
        admitted: &Admitted<'_>,
        parts: &mut Parts,
    ) {
        let given = match self.in_slices(zone, key, given, admitted, parts) {
            Ok(whole) => whole,
            Err(mut slices) => {
                match Box::pin(self.open_first(&mut slices, admitted, parts)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(Lost)) => return Box::pin(self.past(zone, admitted, parts)).await,
                    Err(fault) => {
                        return self.refuse(fault, Some(zone), admitted.head(), parts).await;
                    }
                }
                if slices.fetches {
                    source = Source::Origin;
                    status.forwarded = status.forwarded.or(Some(Forwarded::Partial));
                }
                Given::Slices(slices)
            }
        };
        self.cached.is_new = status.collapsed || status.origin_status == Some(304);
        let in_slices = matches!(given, Given::Slices(_));
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
        if in_slices && fault == Fault::Incomplete {
            // The slice that was open broke off, and there is another version by now: this client has nothing of the old one yet.
            return Box::pin(self.past(zone, admitted, parts)).await;
        }
        self.response.take_back();
        if status.forwarded.is_none() {
            // It was to be a hit.
            parts.cache.clear();
        }
        let head = admitted.head();
        match self.refusal.take() {
            Some(refusal) => self.turn_away(&refusal, zone, head, parts).await,
            None => self.refuse(fault, Some(zone), head, parts).await,
        }
    }

    /// What is stored in slices is read from there.
    fn in_slices(
        &self,
        zone: &Arc<Zone>,
        key: &Arc<Key>,
        given: Given,
        admitted: &Admitted<'_>,
        parts: &Parts,
    ) -> Result<Given, Box<SliceReader>> {
        let Given::Entry(entry, _) = &given else {
            return Ok(given);
        };
        let Some(slices) = Slices::of(&self.thread.shared.cache, key, entry) else {
            return Ok(given);
        };
        let thread = self.thread;
        let Cached { is_odd, shape, .. } = self.cached;
        // Who asks oddly may have what is stored, but does not say what comes of it for others.
        let request = admitted.reduced(|field, is_ours| {
            let is_said = || shape.is_some_and(|it| it.counted(admitted.head(), field).is_some());
            let steers = is_odd && is_steering(field.name) && !is_ours && !is_said();
            let stays = is_of_one(field.name) || steers;
            (!stays).then_some(Cow::Borrowed(field.value))
        });
        let common = self
            .peer
            .common(admitted.head(), self.client, &thread.shared.node);
        let ray = &parts.ray_line;
        let reader = SliceReader::new(thread, zone, request, common, ray, slices);
        Err(Box::new(reader))
    }

    /// Opens the first slice that the client gets, before it is told that it does.
    async fn open_first(
        &mut self,
        slices: &mut SliceReader,
        admitted: &Admitted<'_>,
        parts: &mut Parts,
    ) -> Result<Result<(), Lost>, Fault> {
        let request = admitted.head();
        let whole = Given::Entry(Arc::clone(slices.entry()), None);
        let chosen = chosen(request, &whole, &mut parts.response);
        let first = chosen.first(slices.entry().body.length());
        let Some(first) = first.filter(|_| request.method != Method::Head) else {
            return Ok(Ok(()));
        };
        let (standing, response) = (&self.standing, &*self.response);
        let is_over = || match () {
            () if response.is_gone() => Some(Fault::ClientGone),
            () => (!standing.holds(request)).then_some(Fault::Withdrawn),
        };
        slices.open(first, self.alarm, &is_over).await
    }

    /// What is stored is of no use: the client gets what the origin says, as if there were no cache.
    async fn past(&mut self, zone: &'a Arc<Zone>, admitted: &Admitted<'_>, parts: &mut Parts) {
        self.response.take_back();
        let way = Way::past(&self.thread.shared.cache, self.client.https, "slice-lost");
        self.way = Some(Box::new(way));
        let mut relayed = relay::relay(self, zone, admitted, parts).await;
        if let Err(failed) = &mut relayed {
            failed.fault = self.failed_on_its_way(failed.fault, parts);
        }
        if let Some(way) = self.way.take() {
            parts.cache.clone_from(&way.said);
        }
        if let Err(failed) = relayed {
            self.failed(failed, zone, admitted, parts).await;
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
        let chosen = chosen(request, &given, &mut parts.response);
        let length = match &chosen {
            Chosen::Segments(_, length) => Some(*length),
            Chosen::Whole => given.length(),
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
        let front = match &chosen {
            Chosen::Whole => given.front(),
            Chosen::Segments(..) => &[],
        };
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
        match coded {
            Coded::Plain => self.give_plain(Reading::new(given, chosen), request).await,
            Coded::Kept(packed) => self.give_plain(Reading::of(packed), request).await,
            Coded::Made(encoder, _hold, packing) => {
                let reading = Reading::new(given, chosen);
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
            to_client.push_known(FieldId::Age, given.age(now()).to_string().as_bytes());
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
        let now = now();
        let age = given.age(now).to_string();
        match given.for_browsers(&self.cached, &parts.response.fields, now) {
            None => {}
            Some(0) => tell_browsers(&mut parts.response.fields, 0),
            Some(seconds) => {
                // For them it begins now, whatever age is told beside it.
                let age = age.parse::<u32>().unwrap_or(0);
                tell_browsers(&mut parts.response.fields, seconds.saturating_add(age));
            }
        }
        to_client.push_known(FieldId::Age, age.as_bytes());
        to_client.push_known(FieldId::CacheStatus, &parts.cache);
    }
}

fn gone(gone: ClientGone) -> Fault {
    match gone {
        ClientGone::Closed => Fault::ClientGone,
        ClientGone::Slow => Fault::SlowReader,
    }
}
