//! What pages say that they need: told to the next client while the origin makes the page (103, RFC 8297), and fetched once the
//! page has come.
//!
//! Both are for who asks for them in a zone. Learnt is only from answers to requests that name nobody: what a page that is made for
//! one person links to is not told to another. A client of HTTP/1 is told nothing early: some take the first answer for the last.

use std::rc::Rc;
use std::sync::Arc;

use seawall_cache::cache::Joined;
use seawall_cache::directives::ResponseDirectives;
use seawall_cache::key::{Key, Parts as KeyParts};
use seawall_cache::links::{Rel, links};
use seawall_cache::memory::{Found, Needs};
use seawall_cache::policy::{Forwarded, asks_the_origin, is_steering};
use seawall_guard::{Admitted, BackgroundMethod, Cleared, EdgeMade};
use seawall_model::{FieldId, Fields, Method, RequestHead, ResponseHead};
use seawall_net::downstream::ClientResponse;
use seawall_net::outgoing::{BodyOut, Line, RESPONSE_SKIP};

use super::{Way, background, now};
use crate::endpoint::Place;
use crate::exchange::Exchange;
use crate::snapshot::Zone;
use crate::thread::Thread;
use crate::{forward, outgoing};

/// What is done with what pages say that they need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Clients are told early.
    pub early_hints: bool,
    /// It is fetched beside.
    pub prefetch: bool,
}

impl Links {
    /// Whether anything is.
    pub const fn is_any(self) -> bool {
        self.early_hints || self.prefetch
    }
}

/// What is looked for in the origin's answer.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Whether it is learnt.
    learns: bool,
    /// The number of purges before the page was asked for.
    begun: u64,
    /// Whether targets are to be told for fetching.
    fetches: bool,
    /// Targets that are to be fetched.
    targets: Vec<Box<[u8]>>,
}

impl Way {
    /// What the answer says that its page needs is looked at from now on.
    pub(super) fn look_at_links(&mut self, wanted: Links, request: &RequestHead) {
        let fields = &request.fields;
        let names_nobody = !fields.has(FieldId::Cookie) && !fields.has(FieldId::Authorization);
        let looked = Looked {
            learns: wanted.early_hints && names_nobody,
            begun: self.cache.begun(),
            fetches: wanted.prefetch,
            targets: Vec::new(),
        };
        self.links = Some(Box::new(looked));
    }

    /// The head of the origin's answer.
    pub(super) fn learn_links(&mut self, response: &ResponseHead) {
        let Some(looked) = self.links.as_mut().filter(|_| response.status == 200) else {
            return;
        };
        let directives = ResponseDirectives::of(&response.fields);
        // A field is a part of what must not be stored (RFC 9111 §5.2.2.5, §5.2.2.7).
        let may_be_kept = !directives.no_store && !directives.private.names(b"link");
        let may_be_kept = may_be_kept && !directives.private.is_all();
        if looked.learns && may_be_kept {
            let found = links(&response.fields).map(|link| Box::from(link.text));
            let needs: Needs = found.collect();
            self.cache.learn(&self.key, needs, looked.begun);
        }
        if looked.fetches {
            let needed = links(&response.fields).filter(|link| link.rel == Rel::Preload);
            looked.targets = needed.map(|link| Box::from(link.target)).collect();
        }
    }

    /// The targets that are to be fetched beside, once.
    fn take_targets(&mut self) -> Vec<Box<[u8]>> {
        let looked = self.links.as_mut();
        looked.map_or_else(Vec::new, |looked| std::mem::take(&mut looked.targets))
    }
}

impl<'a> Exchange<'a, '_> {
    /// Tells the client what the page that it waits for said last time that it needs.
    pub(super) async fn hint_early(&mut self, zone: &Zone, way: &Way, request: &RequestHead) {
        let is_page = match request.fields.named(b"sec-fetch-mode") {
            Some(mode) => mode == b"navigate",
            None => true,
        };
        let takes = matches!(
            self.response,
            ClientResponse::Http2(_) | ClientResponse::Http3(_)
        );
        let asks = request.method == Method::Get && !asks_the_origin(request);
        if !zone.links.early_hints || !takes || !is_page || !asks || self.is_of_location() {
            return;
        }
        let Some(needs) = way.cache.needs(&way.key) else {
            return;
        };
        let mut fields = Fields::default();
        for link in &*needs {
            fields.push(b"Link", link);
        }
        let (none, last) = (Fields::default(), Line::default());
        let cleared = Cleared::edge_made(EdgeMade::Interim, 103, Some(&fields));
        let head = outgoing::response(cleared, RESPONSE_SKIP, &none, last, BodyOut::None);
        let timeout = self.snapshot.edge.write_timeout;
        // A client that has left is found out when there is more to tell.
        let _ = self.response.interim(head, self.alarm, timeout).await;
    }

    /// Fetches beside what the page needs.
    pub(super) fn fetch_beside(&self, zone: &Arc<Zone>, way: &mut Way, admitted: &Admitted<'_>) {
        let targets = way.take_targets();
        if zone.guard.changes_heads() {
            // What a client asks for would be found by another key.
            return;
        }
        let page = admitted.head();
        if page.fields.iter().any(|field| is_steering(field.name)) {
            // What it links to would be asked for without what has made the origin link to it.
            return;
        }
        for target in &targets {
            let target = own_target(target, page, self.client.https);
            if let Some(target) = target {
                self.fetch_one(zone, page, target);
            }
        }
    }

    fn fetch_one(&self, zone: &Arc<Zone>, page: &RequestHead, target: &[u8]) {
        let thread: &Rc<Thread> = self.thread;
        let Some(plan) = zone.cache.as_ref().filter(|_| background::has_room(thread)) else {
            return;
        };
        let agent = b"seawall-prefetch";
        let method = BackgroundMethod::Get;
        let asked = Admitted::background(zone.id, method, page.authority(), target, agent);
        let subject = self.subject(zone, Place::Elsewhere);
        let planned = zone
            .cache_rules
            .plan(plan, &zone.guard.view(asked.head(), &subject));
        let https = self.client.https;
        let key = Key::of(&KeyParts {
            zone: zone.id.0,
            https,
            request: asked.head(),
            shape: planned.shape,
        });
        let Some(key) = key.map(Arc::new).filter(|_| planned.bypass.is_none()) else {
            return;
        };
        let cache = &thread.shared.cache;
        let is_there = !matches!(cache.find(&key, asked.head()), Found::Nothing)
            || cache.look_on_disk(&key).is_some();
        if is_there {
            return;
        }
        let joined = cache.join(&key, asked.head(), None, None, now());
        let Joined::Lead(lead) = joined else {
            return;
        };
        let mut way = Box::new(Way::new(cache, &planned, &key, https, Forwarded::UriMiss));
        way.lead = Some(lead);
        let trusted = self.client.trusted;
        let common = forward::for_nobody(page, https, trusted, &thread.shared.node);
        background::validate(thread, zone, asked, common, way);
    }
}

/// Path and query of a target on the page's own host; none where it is another one's.
fn own_target<'t>(target: &'t [u8], page: &RequestHead, https: bool) -> Option<&'t [u8]> {
    let target = target.split(|byte| *byte == b'#').next()?;
    let scheme: &[u8] = if https { b"https://" } else { b"http://" };
    let path = match target.split_at_checked(scheme.len()) {
        Some((begins, rest)) if begins.eq_ignore_ascii_case(scheme) => {
            let end = rest.iter().position(|byte| *byte == b'/')?;
            let (authority, path) = rest.split_at_checked(end)?;
            authority
                .eq_ignore_ascii_case(page.authority())
                .then_some(path)?
        }
        _ => target,
    };
    let is_path = path.starts_with(b"/") && !path.starts_with(b"//");
    // As a request line takes it, and no way out of where it begins.
    let is_plain = path.iter().all(|byte| byte.is_ascii_graphic());
    let is_ours = seawall_guard::is_reserved(path);
    let climbs = path.split(|byte| *byte == b'/').any(|part| part == b"..");
    (is_path && is_plain && !is_ours && !climbs).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_on_the_pages_own_host_is_fetched() {
        let mut page = RequestHead::default();
        page.authority_span = page.fields.store(b"a.test:8443");
        for (target, https, own) in [
            ("/a.css?x", true, Some("/a.css?x")),
            ("/a.css#b", true, Some("/a.css")),
            ("https://A.test:8443/a.css", true, Some("/a.css")),
            ("https://a.test:8443/a.css", false, None),
            ("https://a.test/a.css", true, None),
            ("https://b.test:8443/a.css", true, None),
            ("https://a.test:8443", true, None),
            ("//a.test:8443/a.css", true, None),
            ("a.css", true, None),
            ("/a b", true, None),
            ("/../a", true, None),
            ("/.seawall/trace", true, None),
            ("", true, None),
        ] {
            let found = own_target(target.as_bytes(), &page, https);
            assert_eq!(found, own.map(str::as_bytes), "{target}");
        }
    }
}
