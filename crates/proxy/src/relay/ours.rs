//! What becomes of an origin's fields on their way to the client, and what of ours goes with them.

use std::time::Duration;

use seawall_model::FieldId;

use super::download::Download;
use crate::caching::tell_browsers;
use crate::thread::unix_us;
use crate::tier::{self, PARENT};
use crate::{forward, quota};

impl Download<'_, '_, '_, '_> {
    /// Edits the origin's fields and fills in ours.
    pub(super) fn fields(&mut self, names_fields: bool) {
        if names_fields {
            forward::drop_connection_named(&mut self.head.fields);
        }
        if self.is_of_location {
            return self.fields_for_location();
        }
        if !self.zone.response_edits.is_empty() {
            self.zone.response_edits.apply(&mut self.head.fields);
        }
        self.to_client.clear();
        quota::tell(&self.trail.borrow(), self.to_client);
        if let Some(way) = self.way.as_deref() {
            self.to_client.push_known(FieldId::CacheStatus, way.said());
            if let Some(seconds) = way.browser_ttl() {
                tell_browsers(&mut self.head.fields, seconds);
            }
        }
        if let Some(alt_svc) = self.alt_svc {
            // The origin's own is about the origin.
            self.head.fields.remove(FieldId::AltSvc);
            self.to_client.push_known(FieldId::AltSvc, alt_svc);
        }
        if !self.head.fields.has(FieldId::Date) {
            let date = self.thread.http_date(unix_us() / 1_000_000);
            self.to_client.push_known(FieldId::Date, &date);
        }
        if self.https
            && let Some(hsts) = &self.zone.hsts
        {
            self.head.fields.remove(FieldId::StrictTransportSecurity);
            self.to_client
                .push_known(FieldId::StrictTransportSecurity, hsts.as_bytes());
        }
    }

    /// The same for another location of ours: it edits for its client, and stores what the origin sent.
    fn fields_for_location(&mut self) {
        self.to_client.clear();
        if let Some(way) = self.way.as_deref() {
            self.to_client.push_known(FieldId::CacheStatus, way.said());
        }
        if !self.head.fields.has(FieldId::Date) {
            let date = self.thread.http_date(unix_us() / 1_000_000);
            self.to_client.push_known(FieldId::Date, &date);
        }
    }

    /// How long the head is waited for: a parent not as long as an origin, which there is beside it.
    pub(super) fn header_timeout(&self) -> Duration {
        match self.at_parent {
            true => self.zone.timeouts.header.min(PARENT),
            false => self.zone.timeouts.header,
        }
    }

    /// Whether the parent that was asked has no answer of an origin's, and says so.
    pub(super) fn is_failed_parent(&self) -> bool {
        self.at_parent && self.head.fields.named(tier::FAILED).is_some()
    }
}
