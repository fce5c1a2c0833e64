//! What is looked at before and beside the stages: requests that are refused whatever the zone's origin is, who wants to see a body,
//! and what is otherwise where another location of ours has the client.

use std::sync::Arc;

use seawall_cache::policy::Plan;
use seawall_guard::{Admitted, Refusal, Scope, Subject};
use seawall_model::{Method, RequestHead, without_port};
use seawall_net::h1::{Framing, Upgrade};
use seawall_net::tls::fleet::Who;

use super::Exchange;
use crate::caching::rules::Planned;
use crate::fault::Fault;
use crate::forward::{self, Peer};
use crate::snapshot::Zone;
use crate::thread::Parts;

impl<'a> Exchange<'a, '_> {
    /// Asks whether anybody wants to see the body.
    pub(super) fn inspect(
        &mut self,
        zone: &'a Arc<Zone>,
        admitted: &Admitted<'_>,
        subject: &Subject<'_>,
        parts: &mut Parts,
    ) -> Result<(), Box<Refusal>> {
        let length = match self.arrived.framing {
            // There is no body, or what comes instead is none.
            _ if self.is_plain() || self.arrived.upgrade == Upgrade::WebSocket => Some(0),
            Framing::Length(length) => Some(length),
            _ => None,
        };
        let trail = parts.trail.get_mut();
        self.inspection = zone.guard.inspect(admitted, length, subject, trail)?;
        Ok(())
    }

    /// What is refused whatever the zone's origin is.
    pub(super) fn check(&self, zone: &Arc<Zone>, request: &RequestHead) -> Result<(), Fault> {
        if let Some(who) = &self.peer.location {
            return self.check_location(who, request);
        }
        if let Some(tls) = &self.peer.facts.tls
            && !tls.server_name.is_empty()
            && !without_port(request.authority()).eq_ignore_ascii_case(tls.server_name.as_bytes())
        {
            let named = self.snapshot.zone(tls.server_name.as_bytes());
            let same = named.is_some_and(|named| Arc::ptr_eq(named, zone));
            if !same && (zone.strict_tls || named.is_some_and(|named| named.strict_tls)) {
                return Err(Fault::MisdirectedTls);
            }
        } else if zone.strict_tls
            && self
                .peer
                .facts
                .tls
                .as_ref()
                .is_some_and(|tls| tls.server_name.is_empty())
        {
            return Err(Fault::MisdirectedTls);
        }
        if zone.needs_tls && self.peer.facts.tls.is_none() && !zone.redirect_https {
            return Err(Fault::NeedsTls);
        }
        match request.method {
            // Extended CONNECT (RFC 8441) for anything but WebSocket too: HTTP/1.1 has no form for it but a real CONNECT.
            Method::Connect if request.protocol() != b"websocket" => return Err(Fault::NoConnect),
            Method::Trace => return Err(Fault::NoTrace),
            _ => {}
        }
        // Only what is safe to do twice, and is here whole, is done before it is known that it comes for the first time.
        let safe = matches!(request.method, Method::Get | Method::Head);
        if self.arrived.early && !(safe && self.body.is_done()) {
            return Err(Fault::TooEarly);
        }
        if forward::came_round(request, &self.thread.shared.node) {
            return Err(Fault::Loop);
        }
        let websocket = self.arrived.upgrade == Upgrade::WebSocket;
        if websocket && !zone.websocket {
            return Err(Fault::NoWebSocket);
        }
        Ok(())
    }

    /// The same of what another location asks, which has checked the rest: it may have been put out since it came.
    fn check_location(&self, who: &Who, request: &RequestHead) -> Result<(), Fault> {
        let tier = self.thread.shared.tier.as_ref();
        if !tier.is_some_and(|tier| tier.fleet.admits(who)) {
            return Err(Fault::Withdrawn);
        }
        if !matches!(request.method, Method::Get | Method::Head) {
            return Err(Fault::EndpointMethod);
        }
        match forward::came_round(request, &self.thread.shared.node) {
            true => Err(Fault::Loop),
            false => Ok(()),
        }
    }

    /// Whether another location of ours has the client: no stage judges here, and nothing is edited.
    pub fn is_of_location(&self) -> bool {
        self.peer.location.is_some()
    }

    /// Whether another location is asked before the zone's origins. What is one's own client's location asks; the other does not.
    pub fn may_ask_parents(&self, zone: &Zone) -> bool {
        let parents = &self.snapshot.edge.parents;
        !self.is_of_location() && parents.of(zone.shield.as_deref()).is_some()
    }

    /// What is stored here may have been purged where the request comes from, and not here yet: it must not come back there.
    pub(super) fn mind_purges(&self, planned: &mut Planned<'_>, request: &RequestHead) {
        let tier = self.thread.shared.tier.as_ref();
        let tier = tier.filter(|_| self.is_of_location());
        if tier.is_some_and(|tier| tier.is_behind(request)) {
            planned.plan = Plan::BYPASS;
            planned.bypass = Some("purge-to-come");
        }
    }
}

/// The stages that judge what comes from a peer.
pub(super) fn scope(peer: &Peer) -> Scope {
    match peer.location {
        Some(_) => Scope::NONE,
        None => Scope::ALL,
    }
}
