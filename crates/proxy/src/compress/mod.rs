//! Compression of responses that the origin sent as they are.
//!
//! Whether a response may be compressed says its head; whether this one is, the request as well. What has another content
//! coding already, what says `no-transform` (RFC 9110 §7.7), what is a part of something (206) or has a digest of its bytes
//! stays as it is. A compressed response is another representation: its `ETag` becomes weak (RFC 9110 §8.8.3), `Accept-Ranges`
//! goes, and `Vary` says that it depends on `Accept-Encoding`, also where it was not compressed.
//!
//! BREACH (Gluck, Harris, Prado, 2013): who can make a browser send a request with its user's credentials and some text of his
//! choice, and sees how long the answer is, guesses secrets in it letter by letter. So what is asked for with credentials is
//! compressed only if the browser says that the site itself asked.
//!
//! Not here: the way of the body ([`relay`](crate::relay)).

mod accept;
mod encoder;

use seawall_guard::ZoneId;
use seawall_model::document::{self, Coding};
use seawall_model::{FieldId, Fields, HttpVersion, RequestHead, ResponseHead, without_port};
use seawall_net::outgoing::BodyOut;

pub use encoder::{Encoder, Hungry};

use crate::shares::Hold;
use crate::thread::Thread;

/// What a zone compresses.
#[derive(Debug)]
pub struct Compress {
    /// Codings, the best first.
    pub codings: Box<[Coding]>,
    /// Media types: `type/subtype`, or `type/` for all of a type.
    pub types: Box<[Box<[u8]>]>,
    /// Bytes below which it is not worth it.
    pub least: u64,
}

impl From<&document::Compress> for Compress {
    fn from(compress: &document::Compress) -> Self {
        let types = compress.types.iter();
        Self {
            codings: compress.codings.clone().into(),
            types: types
                .map(|media| media.strip_suffix('*').unwrap_or(media).as_bytes().into())
                .collect(),
            least: compress.least,
        }
    }
}

impl Compress {
    /// Whether a response may be compressed, whoever asks. `body` is what the origin announced.
    fn is_fit(&self, head: &ResponseHead, body: BodyOut) -> bool {
        let fields = &head.fields;
        let long_enough = match body {
            BodyOut::Length(length) => length >= self.least,
            BodyOut::Unknown => true,
            BodyOut::None => false,
        };
        long_enough
            && head.status >= 200
            && !matches!(head.status, 204 | 205 | 206 | 304)
            && !fields.has(FieldId::ContentEncoding)
            && fields
                .only(FieldId::ContentType)
                .is_some_and(|media| self.has_type(media))
            && !fields
                .all(FieldId::CacheControl)
                .any(|line| has_word(line, b"no-transform"))
            && DIGESTS.iter().all(|name| fields.named(name).is_none())
    }

    fn has_type(&self, media: &[u8]) -> bool {
        let bare = media.split(|byte| *byte == b';').next();
        let bare = bare.unwrap_or_default().trim_ascii();
        self.types.iter().any(|known| match known.last() {
            Some(b'/') => bare
                .get(..known.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(known)),
            _ => bare.eq_ignore_ascii_case(known),
        })
    }

    /// The coding of this response, if it gets one, with what it depends on in its head.
    pub fn coding(
        &self,
        request: &RequestHead,
        head: &mut ResponseHead,
        body: BodyOut,
    ) -> Option<Coding> {
        if head.status == 304 {
            // It says what a 200 would say (RFC 9110 §15.4.5), as far as that can be told without one.
            vary(&mut head.fields);
            weaken_as_asked(request, &mut head.fields);
            return None;
        }
        if !self.is_fit(head, body) {
            return None;
        }
        vary(&mut head.fields);
        if request.version == HttpVersion::Http10 || is_risky(request) {
            return None;
        }
        accept::choose(&self.codings, || {
            request.fields.all(FieldId::AcceptEncoding)
        })
    }
}

/// Says that the response depends on `Accept-Encoding`, if it does not say so.
fn vary(fields: &mut Fields) {
    let said = fields.iter().any(|field| {
        field.name.eq_ignore_ascii_case(b"vary")
            && (has_word(field.value, b"accept-encoding") || has_word(field.value, b"*"))
    });
    if !said {
        fields.push(b"vary", b"Accept-Encoding");
    }
}

/// Digests of the bytes as they were sent (RFC 9530, and before it RFC 3230 and RFC 1864).
const DIGESTS: [&[u8]; 4] = [b"content-digest", b"repr-digest", b"digest", b"content-md5"];

/// The head is that of a compressed response from here on.
pub fn mark(fields: &mut Fields, coding: Coding) {
    fields.push_known(FieldId::ContentEncoding, coding.name().as_bytes());
    fields.remove_named(b"accept-ranges");
    let strong = fields.named(b"etag").filter(|tag| tag.starts_with(b"\""));
    if let Some(weak) = strong.map(|tag| [b"W/", tag].concat()) {
        fields.remove_named(b"etag");
        fields.push(b"etag", &weak);
    }
}

/// A 304 names the representation that the client has: a compressed one has a weak tag.
fn weaken_as_asked(request: &RequestHead, fields: &mut Fields) {
    let strong = fields.named(b"etag").filter(|tag| tag.starts_with(b"\""));
    let Some(weak) = strong.map(|tag| [b"W/", tag].concat()) else {
        return;
    };
    let mut asked = request
        .fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case(b"if-none-match"));
    if asked.any(|field| memchr::memmem::find(field.value, &weak).is_some()) {
        fields.remove_named(b"etag");
        fields.push(b"etag", &weak);
    }
}

/// Whether a list has a word, whatever stands around it.
fn has_word(list: &[u8], word: &[u8]) -> bool {
    list.split(|byte| *byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(word))
}

/// Whether another site may have made a browser ask with its user's credentials.
fn is_risky(request: &RequestHead) -> bool {
    let fields = &request.fields;
    if !fields.has(FieldId::Cookie) && !fields.has(FieldId::Authorization) {
        return false;
    }
    match fields.named(b"sec-fetch-site") {
        // `none`: the user himself, from the address bar or a bookmark.
        Some(site) => ![&b"same-origin"[..], b"same-site", b"none"].contains(&site),
        None => {
            let referer = fields.only(FieldId::Referer).unwrap_or_default();
            let behind = referer.splitn(2, |byte| *byte == b':').nth(1);
            let behind = behind.and_then(|rest| rest.strip_prefix(b"//"));
            let host = behind.and_then(|rest| rest.split(|byte| b"/?#".contains(byte)).next());
            !host.is_some_and(|host| {
                without_port(host).eq_ignore_ascii_case(without_port(request.authority()))
            })
        }
    }
}

/// Memory for one encoder of this zone, as long as it lives; none when the zone has taken its share.
pub fn memory(thread: &Thread, zone: ZoneId, coding: Coding) -> Option<Hold<'_>> {
    let mut hold = Hold::new(thread, zone);
    hold.more(encoder::memory(coding)).then_some(hold)
}

#[cfg(test)]
mod tests;
