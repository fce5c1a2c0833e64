//! The answer of a zone that is a folder.

use std::rc::Rc;
use std::sync::Arc;

use seawall_guard::Admitted;
use seawall_model::{FieldId, Method};
use seawall_net::buffer::{self, MEDIUM};
use seawall_net::downstream::{After, ClientGone};
use seawall_net::outgoing::{BodyOut, Line, RESPONSE_SKIP};
use seawall_telemetry::Source;

use super::Exchange;
use crate::compress::{Encoder, mark, memory};
use crate::endpoint::Place;
use crate::fault::Fault;
use crate::files::{Broken, Content, Site};
use crate::outgoing;
use crate::quota;
use crate::shares::Hold;
use crate::snapshot::Zone;
use crate::thread::{Parts, Thread, unix_us};

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Failed(_) => Self::Internal,
            Broken::Forbidden => Self::Prohibited,
            Broken::Slow => Self::OriginTimeout,
            Broken::Shorter => Self::Incomplete,
        }
    }
}

impl<'a> Exchange<'a, '_> {
    /// Answers from the zone's folder.
    pub(super) async fn files(
        &mut self,
        zone: &Arc<Zone>,
        site: &Site,
        admitted: &Admitted<'_>,
        parts: &mut Parts,
    ) {
        let head = admitted.head();
        if !matches!(head.method, Method::Get | Method::Head) {
            let refused = self.refuse(Fault::EndpointMethod, Some(zone), head, parts);
            return refused.await;
        }
        let outward = &self.snapshot.edge.outward;
        let found = site.answer(self.thread, outward, head, &mut parts.response);
        let found = found.await;
        let given = match found {
            Ok(content) => self.give(zone, content, admitted, parts).await,
            Err(broken) => Err(broken.into()),
        };
        let now = self.thread.clock();
        self.outcome.ended = Some(now);
        self.outcome.source = Source::Origin;
        let Err(fault) = given else {
            return self.outcome.status = parts.response.status;
        };
        if self.response.has_begun() || fault == Fault::ClientGone {
            // What was promised does not come.
            self.response.abort();
            self.outcome.status = parts.response.status;
            self.outcome.fault = Some(fault);
            return;
        }
        self.response.take_back();
        match self.refusal.take() {
            Some(refusal) => self.turn_away(&refusal, zone, head, parts).await,
            None => self.refuse(fault, Some(zone), head, parts).await,
        }
    }

    async fn give(
        &mut self,
        zone: &Arc<Zone>,
        content: Content,
        admitted: &Admitted<'_>,
        parts: &mut Parts,
    ) -> Result<(), Fault> {
        let request = admitted.head();
        zone.response_edits.apply(&mut parts.response.fields);
        let encoder = self.encoder(zone, &content, admitted, parts);
        let to_client = &mut parts.to_client;
        to_client.clear();
        quota::tell(parts.trail.get_mut(), to_client);
        let date = self.thread.http_date(unix_us() / 1_000_000);
        to_client.push_known(FieldId::Date, &date);
        if self.client.https
            && let Some(hsts) = &zone.hsts
        {
            parts
                .response
                .fields
                .remove(FieldId::StrictTransportSecurity);
            to_client.push_known(FieldId::StrictTransportSecurity, hsts.as_bytes());
        }
        let body = match &encoder {
            Some(_) if request.method == Method::Head => BodyOut::None,
            Some(_) => BodyOut::Unknown,
            None if parts.response.status == 304 => BodyOut::None,
            None => BodyOut::Length(content.len()),
        };
        let subject = self.subject(zone, Place::Elsewhere);
        let text = match &content {
            Content::Text(text) => text,
            Content::File(..) => &[][..],
        };
        let trail = parts.trail.get_mut();
        let cleared = zone.guard.clear(&mut parts.response, text, &subject, trail);
        let cleared = cleared.map_err(|refusal| {
            self.refusal = Some(refusal);
            Fault::TurnedAway
        })?;
        trail.tell(to_client);
        let out = outgoing::response(
            cleared,
            RESPONSE_SKIP,
            to_client,
            Line(&parts.ray_line),
            body,
        );
        let timeout = self.snapshot.edge.write_timeout;
        if !self.body.is_done() || self.thread.is_draining() {
            self.response.close_after();
        }
        let silent = request.method == Method::Head || body == BodyOut::None || content.len() == 0;
        if silent {
            let alone = self.response.head_alone(out, self.alarm, timeout);
            return alone.await.map_err(gone);
        }
        self.response.head(out).map_err(gone)?;
        match content {
            Content::Text(text) => self.piece(text, After::Last).await,
            Content::File(opened, part) => {
                let mut at = part.start;
                let end = part.start + part.length;
                let mut encoder = encoder;
                let mut piece = buffer::take(MEDIUM);
                while at < end {
                    if !self.standing.holds(request) {
                        return Err(Fault::Withdrawn);
                    }
                    piece.clear();
                    let most = usize::try_from(end - at).map_or(MEDIUM, |left| left.min(MEDIUM));
                    opened.read(at, most, &mut piece).await?;
                    at += piece.len() as u64;
                    let after = if at < end { After::More } else { After::Last };
                    match encoder.as_mut() {
                        None => self.piece(&piece, after).await?,
                        Some((encoder, _hold)) => {
                            encoder.write(&piece).map_err(|_| Fault::Internal)?;
                            let out = encoder.take();
                            if !out.is_empty() {
                                self.piece(&out, After::More).await?;
                            }
                        }
                    }
                    tokio::task::consume_budget().await;
                }
                buffer::give(piece);
                match encoder {
                    None => Ok(()),
                    Some((encoder, _hold)) => {
                        let last = encoder.finish().map_err(|_| Fault::Internal)?;
                        self.piece(&last, After::Last).await
                    }
                }
            }
        }
    }

    /// What compresses it, if that is to be; the head is that of the compressed answer then.
    fn encoder(
        &self,
        zone: &Zone,
        content: &Content,
        admitted: &Admitted<'_>,
        parts: &mut Parts,
    ) -> Option<(Encoder, Hold<'a>)> {
        let compress = zone.compress.as_ref()?;
        let length = content.len();
        let request = admitted.head();
        let announced = BodyOut::Length(length);
        let coding = compress.coding(request, &mut parts.response, announced)?;
        let thread: &'a Rc<Thread> = self.thread;
        let hold = memory(thread, zone.id, coding)?;
        let encoder = Encoder::new(coding, Some(length)).ok()?;
        mark(&mut parts.response.fields, coding);
        Some((encoder, hold))
    }

    async fn piece(&mut self, bytes: &[u8], after: After) -> Result<(), Fault> {
        let timeout = self.snapshot.edge.write_timeout;
        let given = self.response.body(bytes, after, self.alarm, timeout);
        given.await.map_err(gone)
    }
}

fn gone(gone: ClientGone) -> Fault {
    match gone {
        ClientGone::Closed => Fault::ClientGone,
        ClientGone::Slow => Fault::SlowReader,
    }
}
