//! What the edge itself answers: endpoints, refusals, errors, the sample site.

use std::sync::Arc;

use seawall_guard::blame::Phase;
use seawall_guard::{Answer, Asked, Cleared, EdgeMade, EndpointDef, Page, Refusal};
use seawall_model::{FieldId, Method, RequestHead};
use seawall_net::downstream::{After, ClientGone, ClientResponse};
use seawall_net::outgoing::{BodyOut, Line, ResponseOut};
use seawall_telemetry::Source;

use super::Exchange;
use crate::endpoint::{self, Told};
use crate::fault::Fault;
use crate::quota;
use crate::snapshot::Zone;
use crate::thread::{Parts, unix_us};
use crate::{outgoing, page, sample, tier};

const TEXT: &str = "text/plain; charset=utf-8";

impl Exchange<'_, '_> {
    /// The built-in site.
    pub(super) async fn sample(&mut self, zone: &Arc<Zone>, head: &RequestHead, parts: &mut Parts) {
        parts.to_client.clear();
        let found = sample::answer(head.path());
        let (status, content_type, content) = match &found {
            Some(found) => (200, found.content_type, found.body),
            None => (404, TEXT, &b"The sample site has no such page.\n"[..]),
        };
        self.send(status, content_type, content, Some(zone), head, parts)
            .await;
    }

    /// Lets an endpoint answer.
    pub(super) async fn endpoint(
        &mut self,
        endpoint: &'static EndpointDef,
        zone: &Arc<Zone>,
        head: &RequestHead,
        parts: &mut Parts,
    ) {
        if !endpoint.methods.contains(&head.method) {
            return self
                .refuse(Fault::EndpointMethod, Some(zone), head, parts)
                .await;
        }
        let (ray, time) = (self.ray_text(), self.thread.rfc3339(unix_us()));
        let asked = self.asked(Some(zone), head, &ray, &time);
        self.enter_phase(Phase::Endpoint);
        let answered = endpoint.handler.answer(asked).await;
        parts.to_client.clear();
        for field in answered.fields.iter() {
            parts.to_client.append(field.name, field.value);
        }
        self.send(
            answered.status,
            answered.content_type,
            &answered.content,
            Some(zone),
            head,
            parts,
        )
        .await;
    }

    fn ray_text(&self) -> String {
        let mut ray = Vec::new();
        self.ray.write(&self.snapshot.edge.location, &mut ray);
        String::from_utf8_lossy(&ray).into_owned()
    }

    fn asked<'a>(
        &'a self,
        zone: Option<&'a Arc<Zone>>,
        head: &'a RequestHead,
        ray: &'a str,
        time: &'a str,
    ) -> Asked<'a> {
        let token = endpoint::token(head.path());
        Asked {
            head,
            challenge: token.and_then(|token| self.thread.shared.certificates.authorization(token)),
            client: self.client.ip,
            tls: self.peer.facts.tls.as_ref().map_or("", |tls| tls.version),
            location: &self.snapshot.edge.location,
            zone: zone.map_or(("", ""), |zone| (&zone.name, &zone.version)),
            ray,
            time,
        }
    }

    /// Answers a request that a stage refused.
    pub(crate) async fn turn_away(
        &mut self,
        refusal: &Refusal,
        zone: &Arc<Zone>,
        head: &RequestHead,
        parts: &mut Parts,
    ) {
        parts.trail.get_mut().turned_away(refusal);
        parts.to_client.clear();
        let verdict = format!("{}/{}", refusal.stage, refusal.reason.name);
        parts
            .to_client
            .append(b"seawall-verdict", verdict.as_bytes());
        self.outcome.ended = None;
        match &refusal.answer {
            Answer::Page(Page::Redirect { status, location }) => {
                parts.to_client.push_known(FieldId::Location, location);
                let text = b"This page is elsewhere.\n";
                return self
                    .send(*status, TEXT, text, Some(zone), head, parts)
                    .await;
            }
            Answer::Page(Page::Maintenance { retry_after, .. }) | Answer::Throttle(retry_after) => {
                let seconds = retry_after.as_secs().max(1).to_string();
                parts.to_client.append(b"retry-after", seconds.as_bytes());
                if let Answer::Page(Page::Maintenance { .. }) = &refusal.answer
                    && let Some(page) = &zone.maintenance
                {
                    let html = "text/html; charset=utf-8";
                    return self.send(503, html, page, Some(zone), head, parts).await;
                }
            }
            Answer::Status(_) => {}
        }
        if refusal.failed {
            let said = b"seawall; error=proxy_internal_error";
            parts.to_client.push_known(FieldId::ProxyStatus, said);
        }
        self.page(endpoint::page_of(refusal), Some(zone), head, parts)
            .await;
    }

    /// Answers with an error page, unless the client is gone.
    pub async fn refuse(
        &mut self,
        fault: Fault,
        zone: Option<&Arc<Zone>>,
        head: &RequestHead,
        parts: &mut Parts,
    ) {
        if fault == Fault::ClientGone {
            self.response.abort();
            return self.outcome.fail(fault);
        }
        if fault == Fault::NoConnect
            && let ClientResponse::Http1(response) = self.response
        {
            // What follows may be meant for a tunnel, not for us.
            response.close_after();
        }
        let answer = fault.answer();
        parts.to_client.clear();
        let said = format!("seawall; error={}", answer.proxy_status);
        parts
            .to_client
            .push_known(FieldId::ProxyStatus, said.as_bytes());
        if answer.status >= 500 && !parts.cache.is_empty() {
            // The cache was asked, and somebody behind it.
            parts
                .to_client
                .push_known(FieldId::CacheStatus, &parts.cache);
        }
        if answer.status == 405 {
            let methods: &[u8] = match fault {
                Fault::EndpointMethod => b"GET, HEAD",
                _ => b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
            };
            parts.to_client.append(b"allow", methods);
        }
        self.outcome.fail(fault);
        self.page(fault.into(), zone, head, parts).await;
    }

    /// Gives a page; fields that are there already go with it.
    async fn page(
        &mut self,
        told: Told<'_>,
        zone: Option<&Arc<Zone>>,
        head: &RequestHead,
        parts: &mut Parts,
    ) {
        let (ray, time) = (self.ray_text(), self.thread.rfc3339(unix_us()));
        let mut content = Vec::new();
        let asked = self.asked(zone, head, &ray, &time);
        let content_type = endpoint::render(told, &asked, &mut content);
        parts.to_client.append(
            b"content-security-policy",
            page::CONTENT_SECURITY_POLICY.as_bytes(),
        );
        self.send(told.status, content_type, &content, zone, head, parts)
            .await;
    }

    /// Gives an answer of the edge's own; fields that are there already go with it.
    pub(crate) async fn send(
        &mut self,
        status: u16,
        content_type: &str,
        content: &[u8],
        zone: Option<&Arc<Zone>>,
        head: &RequestHead,
        parts: &mut Parts,
    ) {
        if self.is_of_location() {
            // It asks elsewhere: what failed here need not fail there.
            parts.to_client.append(tier::FAILED, b"1");
        }
        let alt_svc = self.alt_svc();
        let Parts {
            to_client,
            ray_line,
            trail,
            ..
        } = parts;
        quota::tell(trail.get_mut(), to_client);
        trail.get_mut().tell(to_client);
        if self.client.https
            && let Some(hsts) = zone.and_then(|zone| zone.hsts.as_ref())
        {
            to_client.push_known(FieldId::StrictTransportSecurity, hsts.as_bytes());
        }
        if let Some(alt_svc) = alt_svc {
            to_client.push_known(FieldId::AltSvc, alt_svc);
        }
        to_client.push_known(FieldId::ContentType, content_type.as_bytes());
        to_client.push_known(FieldId::CacheControl, b"no-store");
        to_client.push_known(FieldId::Date, &self.thread.http_date(unix_us() / 1_000_000));
        let silent = head.method == Method::Head;
        let cleared = Cleared::edge_made(EdgeMade::Page, status, None);
        let length = BodyOut::Length(content.len() as u64);
        let out = outgoing::response(cleared, 0, to_client, Line(ray_line), length);
        let sent = self
            .write_all(out, if silent { &[] } else { content })
            .await;
        self.outcome.status = status;
        self.outcome.source = Source::Edge;
        if sent.is_err() {
            self.outcome.fault = Some(Fault::ClientGone);
        }
    }

    async fn write_all(&mut self, head: ResponseOut<'_>, content: &[u8]) -> Result<(), ClientGone> {
        let timeout = self.snapshot.edge.write_timeout;
        if !self.body.is_done() || self.thread.is_leaving() {
            self.response.close_after();
        }
        if content.is_empty() {
            return self.response.head_alone(head, self.alarm, timeout).await;
        }
        self.response.head(head)?;
        self.response
            .body(content, After::Last, self.alarm, timeout)
            .await
    }
}
