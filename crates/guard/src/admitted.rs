//! Requests that may go on: what a client sent and the stages passed, or what the edge itself asks.

use std::borrow::Cow;

use seawall_model::head::Field;
use seawall_model::{FieldId, HttpVersion, Method, RequestHead};

use crate::states::ZoneId;

/// A request that may go to the cache and to an origin: they take nothing else. What was judged is what is sent: nobody can
/// change the head while this is there.
#[derive(Debug)]
pub struct Admitted<'r> {
    head: Head<'r>,
    zone: ZoneId,
    /// Bytes of the head as it came: fields behind them were put in by stages.
    came: usize,
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
    /// What a client asked, and every stage let pass. Only the runner says so. `came` are the bytes of the head's fields before any
    /// stage has changed them.
    pub(crate) const fn client(head: &'r RequestHead, zone: ZoneId, came: usize) -> Self {
        Self {
            head: Head::Client(head),
            zone,
            came,
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

    /// Its fields, each with whether a stage put it in: the zone's own word, whatever the client has sent by that name.
    pub fn fields(&self) -> impl Iterator<Item = (Field<'_>, bool)> {
        self.head().fields.iter_marked(self.came)
    }
}

impl Admitted<'_> {
    /// The same request with some of its fields only: what the cache asks in a client's place, without conditions and ranges of
    /// the client's, so that the answer is good for others too. `keeps` says what of a field's value stays, and is told whether a stage
    /// put it in. Nothing is added, so nothing is sent that was not judged.
    pub fn reduced(
        &self,
        keeps: impl for<'v> Fn(Field<'v>, bool) -> Option<Cow<'v, [u8]>>,
    ) -> Admitted<'static> {
        let from = self.head();
        let mut head = RequestHead {
            method: from.method,
            version: from.version,
            ..RequestHead::default()
        };
        head.method_span = head.fields.store(from.method_bytes());
        head.target_span = head.fields.store(from.target());
        head.authority_span = head.fields.store(from.authority());
        head.scheme_span = head.fields.store(from.scheme());
        let mut came = None;
        for (field, is_ours) in self.fields() {
            let Some(value) = keeps(field, is_ours) else {
                continue;
            };
            // What stages put in comes last.
            came = came.or(is_ours.then_some(head.fields.raw().len()));
            head.fields.push(field.name, &value);
        }
        Admitted {
            head: Head::Own(Box::new(head)),
            zone: self.zone,
            came: came.unwrap_or(usize::MAX),
        }
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
            came: usize::MAX,
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

    #[test]
    fn a_reduced_request_has_nothing_that_was_not_there() {
        let mut head = RequestHead::default();
        head.target_span = head.fields.store(b"/x?y");
        head.authority_span = head.fields.store(b"a.test");
        head.fields.push(b"Range", b"bytes=0-1");
        head.fields.push(b"X-A", b"1");
        let client = Admitted::client(&head, ZoneId(7), usize::MAX);
        let reduced = client.reduced(|field, _| {
            let is_range = field.name.eq_ignore_ascii_case(b"range");
            (!is_range).then_some(Cow::Borrowed(field.value))
        });
        let got = reduced.head();
        assert_eq!(
            (got.target(), got.authority()),
            (&b"/x?y"[..], &b"a.test"[..])
        );
        let names: Vec<&[u8]> = got.fields.iter().map(|field| field.name).collect();
        assert_eq!(names, [b"X-A"]);
        assert_eq!(reduced.zone(), ZoneId(7));
    }

    #[test]
    fn what_stages_put_in_is_told_from_what_a_client_sent() {
        let mut head = RequestHead::default();
        head.fields.push(b"X-Secret", b"s");
        head.fields.push(b"X-A", b"1");
        let came = head.fields.raw().len();
        // As a stage does that sets it: to just what the client has sent.
        head.fields.remove_named(b"x-secret");
        head.fields.push(b"X-Secret", b"s");
        let client = Admitted::client(&head, ZoneId(7), came);
        let told = |admitted: &Admitted<'_>| -> Vec<(String, bool)> {
            let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
            let fields = admitted.fields();
            fields
                .map(|(field, ours)| (name(field.name), ours))
                .collect()
        };
        let all = [("X-A".to_owned(), false), ("X-Secret".to_owned(), true)];
        assert_eq!(told(&client), all);
        let part = client.reduced(|field, _| field.value.get(..1).map(Cow::Borrowed));
        assert_eq!(told(&part), all);
        let ours = client.reduced(|field, ours| ours.then_some(Cow::Borrowed(field.value)));
        assert_eq!(told(&ours), all[1..]);
    }
}
