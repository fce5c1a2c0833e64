//! Which origin gets a request: by its key, where the zone has one, or by load; and only where it has room.

use seawall_model::document::By;
use seawall_model::{FieldId, RequestHead};

use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::origin::{Key, Lease, Tried};
use crate::snapshot::{Origin, Zone};

/// Origins that may turn out to have no room before the request is answered: as many as [`Tried`] remembers.
const FULL: u32 = 8;

/// An origin with a place for the request.
pub(super) struct Place<'a> {
    pub(super) index: u16,
    pub(super) origin: &'a Origin,
    pub(super) lease: Lease,
}

/// What decides for one request.
pub(super) struct Picking {
    key: Option<Key>,
    full: u32,
}

impl Picking {
    /// For this request of this zone.
    pub(super) fn new(exchange: &Exchange<'_, '_>, zone: &Zone, head: &RequestHead) -> Self {
        let key = match &zone.by {
            By::Load => None,
            _ if zone.pool().len() < 2 => None,
            By::Client => Some(Key::of_client(exchange.client.ip)),
            By::Path => Some(Key::of(head.path())),
            By::Header(name) => head.fields.named(name.as_bytes()).map(Key::of),
            By::Cookie(name) => cookie(head, name.as_bytes()).map(Key::of),
        };
        Self { key, full: 0 }
    }

    /// The next origin, and a place in it. Those without room are added to `tried`.
    ///
    /// # Errors
    /// Why there is none: `last`, if something failed before.
    pub(super) fn next<'a>(
        &mut self,
        exchange: &Exchange<'_, '_>,
        zone: &'a Zone,
        now: u64,
        tried: &mut Tried,
        retry: bool,
        last: Option<Fault>,
    ) -> Result<Place<'a>, Fault> {
        loop {
            let picked = match self.key {
                Some(key) => zone.pool().pick_by_key(now, key, tried),
                None if zone.pool().len() > 1 => {
                    zone.pool().pick(now, exchange.thread.random(), tried)
                }
                None => zone.pool().pick(now, 0, tried),
            };
            let none = match self.full {
                0 => Fault::Unreachable,
                _ => Fault::Full,
            };
            let picked = picked.ok_or(last.unwrap_or(none))?;
            let index = picked.index;
            let origin = zone.origins.get(usize::from(index));
            let origin = origin.ok_or(Fault::Internal)?;
            match zone.pool().admit(picked.member, retry) {
                Some(lease) => {
                    return Ok(Place {
                        index,
                        origin,
                        lease,
                    });
                }
                None => self.is_full(index, tried, last)?,
            }
        }
    }

    /// Notes that an origin has no room.
    ///
    /// # Errors
    /// If it was looked for in vain often enough.
    pub(super) fn is_full(
        &mut self,
        index: u16,
        tried: &mut Tried,
        last: Option<Fault>,
    ) -> Result<(), Fault> {
        tried.add(index);
        self.full += 1;
        match self.full {
            0..FULL => Ok(()),
            _ => Err(last.unwrap_or(Fault::Full)),
        }
    }
}

/// The value of a cookie (RFC 6265 §4.2.1); the first, if there are several.
fn cookie<'a>(head: &'a RequestHead, name: &[u8]) -> Option<&'a [u8]> {
    head.fields.all(FieldId::Cookie).find_map(|line| {
        line.split(|byte| *byte == b';').find_map(|pair| {
            let value = pair.trim_ascii_start().strip_prefix(name)?;
            Some(value.strip_prefix(b"=")?.trim_ascii_end())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut head = RequestHead::default();
        head.fields.push(b"cookie", b"xid=1; id=; idx=2");
        head.fields.push(b"Cookie", b" a=b;id2=3 ;  session=a=b ");
        for (name, value) in [
            ("xid", Some(&b"1"[..])),
            ("id", Some(b"")),
            ("id2", Some(b"3")),
            ("session", Some(b"a=b")),
            ("ses", None),
            ("b", None),
        ] {
            assert_eq!(cookie(&head, name.as_bytes()), value, "{name}");
        }
    }
}
