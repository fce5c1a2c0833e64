//! What an origin makes of a request's fields, where it is told to listen to them: ranges, what it reflects, what it refuses.

use crate::answer::pattern;
use crate::origin::{Body, Reply};
use crate::strict::StrictRequest;

/// What it listens to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listens {
    /// Takes one range, of the version that its `etag` names.
    pub ranges: Ranges,
    /// Its body is the value of this field, or `-`.
    pub reflects: Option<String>,
    /// Answers requests with more bytes of fields with 400 …
    pub refuses_longer: Option<usize>,
    /// … and those with this field with 405.
    pub refuses_field: Option<String>,
}

/// How it takes ranges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ranges {
    /// Not at all.
    #[default]
    None,
    /// By RFC 9110 §14.
    Taken,
    /// `If-Range` is not heard: parts of another version come as if it were the one asked for.
    Blindly,
    /// Parts are one byte longer than they say.
    Longer,
    /// It says another length of the whole.
    OfAnother,
}

impl Listens {
    /// What it answers to this request, in place of `reply`.
    pub(crate) fn adapt(&self, mut reply: Reply, request: &StrictRequest) -> Reply {
        let value = |name: &str| {
            let value = request.values(name).next();
            value.map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let bytes: usize = request
            .fields
            .iter()
            .map(|(n, v)| n.len() + v.len() + 4)
            .sum();
        if let Some(field) = &self.reflects {
            reply.body = Body::Bytes(value(field).unwrap_or_else(|| "-".into()).into_bytes());
        }
        if self.refuses_longer.is_some_and(|most| bytes > most) {
            reply.status = 400;
        }
        if self
            .refuses_field
            .as_ref()
            .is_some_and(|name| value(name).is_some())
        {
            reply.status = 405;
        }
        if self.ranges != Ranges::None && reply.status == 200 {
            reply.fields.push(("accept-ranges".into(), "bytes".into()));
            let tag = reply.fields.iter().find(|(name, _)| name == "etag");
            let same = |asked: String| tag.is_some_and(|(_, tag)| *tag == asked);
            let is_asked = self.ranges == Ranges::Blindly || value("if-range").is_none_or(same);
            if let Some(range) = value("range").filter(|_| is_asked && request.method == "GET") {
                self.part(&mut reply, &range);
            }
        }
        reply
    }

    fn part(&self, reply: &mut Reply, range: &str) {
        let whole = match &reply.body {
            Body::Pattern(size, from) => pattern(from + size).split_off(*from),
            Body::Bytes(bytes) => bytes.clone(),
            Body::Request => return,
        };
        let Some((first, last)) = range
            .strip_prefix("bytes=")
            .and_then(|set| set.split_once('-'))
        else {
            return;
        };
        let length = whole.len();
        let (start, end) = match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) => (first, length.min(last + 1)),
            (Ok(first), Err(_)) => (first, length),
            (Err(_), Ok(suffix)) => (length.saturating_sub(suffix), length),
            _ => return,
        };
        if start >= end {
            reply.status = 416;
            reply
                .fields
                .push(("content-range".into(), format!("bytes */{length}")));
            reply.body = Body::Bytes(Vec::new());
            return;
        }
        let more = usize::from(self.ranges == Ranges::Longer).min(length - end);
        let said = length + usize::from(self.ranges == Ranges::OfAnother);
        reply.status = 206;
        let range = format!("bytes {start}-{}/{said}", end - 1);
        reply.fields.push(("content-range".into(), range));
        reply.body = Body::Bytes(whole.get(start..end + more).unwrap_or_default().to_vec());
    }
}
