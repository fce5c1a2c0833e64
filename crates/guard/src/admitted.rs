//! Requests that may go on: what a client sent and the stages passed, or what the edge itself asks.

use seawall_model::{FieldId, HttpVersion, Method, RequestHead};

use crate::states::ZoneId;

/// A request that may go to the cache and to an origin: they take nothing else. What was judged is what is sent: nobody can
/// change the head while this is there.
#[derive(Debug)]
pub struct Admitted<'r> {
    head: Head<'r>,
    zone: ZoneId,
}

#[derive(Debug)]
enum Head<'r> {
    Client(&'r RequestHead),
    Own(Box<RequestHead>),
}

/// What the edge may ask of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackgroundMethod {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
}

impl<'r> Admitted<'r> {
    /// What a client asked, and every stage let pass. Only the runner says so.
    pub(crate) const fn client(head: &'r RequestHead, zone: ZoneId) -> Self {
        Self {
            head: Head::Client(head),
            zone,
        }
    }

    /// The head.
    pub fn head(&self) -> &RequestHead {
        match &self.head {
            Head::Client(head) => head,
            Head::Own(head) => head,
        }
    }

    /// The zone whose stages it passed.
    pub const fn zone(&self) -> ZoneId {
        self.zone
    }
}

impl Admitted<'static> {
    /// What the edge asks of its own accord: a revalidation, a probe, a prefetch. It holds nothing that a client sent, and its
    /// method changes nothing at the origin. `target` is path and query; `agent` is its `User-Agent`.
    pub fn background(
        zone: ZoneId,
        method: BackgroundMethod,
        authority: &[u8],
        target: &[u8],
        agent: &[u8],
    ) -> Self {
        let mut head = RequestHead {
            version: HttpVersion::Http11,
            ..RequestHead::default()
        };
        let (known, name): (Method, &[u8]) = match method {
            BackgroundMethod::Get => (Method::Get, b"GET"),
            BackgroundMethod::Head => (Method::Head, b"HEAD"),
        };
        head.method = known;
        head.method_span = head.fields.store(name);
        head.target_span = head.fields.store(target);
        head.authority_span = head.fields.store(authority);
        head.fields.push_known(FieldId::UserAgent, agent);
        Self {
            head: Head::Own(Box::new(head)),
            zone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_own_requests_change_nothing_and_hold_no_clients_words() {
        let asked = Admitted::background(
            ZoneId(7),
            BackgroundMethod::Head,
            b"a.test",
            b"/health?x",
            b"seawall-health",
        );
        let head = asked.head();
        assert_eq!(head.method_bytes(), b"HEAD");
        assert_eq!(head.path(), b"/health");
        assert_eq!(head.authority(), b"a.test");
        assert_eq!(head.fields.len(), 1);
        assert_eq!(asked.zone(), ZoneId(7));
    }
}
