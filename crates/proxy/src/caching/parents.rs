//! What the cache has to do with parents: by what one is chosen, and what is said to it when a request has made something invalid
//! that it may have.

use std::rc::Rc;
use std::sync::Arc;

use seawall_guard::Admitted;
use seawall_model::FieldId;
use seawall_net::outgoing::{BodyOut, Line};

use super::rules::Planned;
use super::settling::settled;
use super::way::Way;
use super::words;
use crate::exchange::Exchange;
use crate::snapshot::Zone;
use crate::thread::{Parts, Thread};
use crate::tier::{self, Tier};
use crate::unheard::Url;

pub use crate::origin::Key;

/// By what a parent is chosen for a URL: the same one whoever asks, whatever the zone's rules add to keys, and in all spellings.
pub fn key(host: &[u8], target: &[u8]) -> Key {
    Key::of(&[host, target].concat())
}

impl Way {
    /// Tells parents what a request has made invalid, where `asks` says that there are any. From here on they are not asked for it
    /// until they have heard.
    pub fn tell_outdated(&mut self, thread: &Rc<Thread>, zone: &Arc<Zone>, asks: bool) {
        for target in std::mem::take(&mut self.outdated) {
            if asks {
                words::forget(thread, zone, &self.key.host, &target);
            }
        }
    }

    /// Whether parents may have what is not there any more, by what a request has made invalid here.
    pub fn is_unheard(&self, tier: &Tier) -> bool {
        let key = &*self.key;
        let url = || Url::new(key.zone, &key.host, &key.target);
        tier.unheard.has(url)
    }
}

impl Exchange<'_, '_> {
    /// Where another location says only that what is stored of a URL, or of a whole zone, is not what there is any more, that is done and
    /// answered.
    pub(super) async fn is_to_forget(
        &mut self,
        zone: &Arc<Zone>,
        planned: &Planned<'_>,
        admitted: &Admitted<'_>,
        parts: &mut Parts,
    ) -> bool {
        let request = admitted.head();
        let is_of_zone = tier::is_zone_outdated(request);
        if !self.is_of_location() || !(is_of_zone || tier::is_outdated(request)) {
            return false;
        }
        let cache = &self.thread.shared.cache;
        let number = if is_of_zone {
            Some(cache.outdate_zone(zone.id.0))
        } else {
            let host = seawall_cache::key::host(request.authority(), b"https");
            let purged = cache.outdate_url(zone.id.0, &host, request.target(), planned.queries);
            purged.number
        };
        if let Some(number) = number {
            settled(cache, number, self.alarm).await;
        }
        parts.response.clear();
        parts.response.status = 204;
        parts.to_client.clear();
        parts
            .to_client
            .push_known(FieldId::CacheControl, b"no-store");
        let subject = self.subject(zone, crate::endpoint::Place::Elsewhere);
        let trail = parts.trail.get_mut();
        let cleared = zone.guard.clear(&mut parts.response, &[], &subject, trail);
        let Ok(cleared) = cleared else {
            return true;
        };
        let last = Line(&parts.ray_line);
        let out = crate::outgoing::response(cleared, 0, &parts.to_client, last, BodyOut::None);
        let timeout = self.snapshot.edge.write_timeout;
        let _ = self.response.head_alone(out, self.alarm, timeout).await;
        self.outcome.status = 204;
        true
    }
}
