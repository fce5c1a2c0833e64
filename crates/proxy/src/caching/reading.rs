//! What a client gets of a body, and its bytes one after the other: of one that is there, that still comes, or that lies in slices.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::ops::Range;
use std::sync::Arc;

use seawall_cache::fill::{Begun, Broken, Follower};
use seawall_cache::head::Head;
use seawall_cache::key::Key;
use seawall_cache::memory::{Body, Entry, Piece};
use seawall_cache::policy::{
    Life, Part, Precondition, Ranged, Time, Told, age, precondition, ranged,
};
use seawall_model::{Fields, RequestHead, ResponseHead};
use seawall_net::alarm::Alarm;

use super::Cached;
use super::look::LOOK;
use super::slices::SliceReader;
use crate::fault::Fault;

/// A response that is stored, or on its way to others too.
pub(super) enum Given {
    /// All of it is there; with what it was found by, where it may be kept compressed.
    Entry(Arc<Entry>, Option<Arc<Key>>),
    /// Its head is there; the body comes by and by.
    Fill(Arc<Begun>, Follower),
    /// Its head is there; the body lies in slices, or has to be asked for.
    Slices(Box<SliceReader>),
}

impl Given {
    pub(super) fn head(&self) -> (&Head, &Life) {
        match self {
            Self::Entry(entry, _) => (&entry.head, &entry.life),
            Self::Fill(begun, _) => (&begun.head, &begun.life),
            Self::Slices(slices) => (&slices.entry().head, &slices.entry().life),
        }
    }

    /// What `Age` says of it.
    pub(super) fn age(&self, now: Time) -> u64 {
        match self {
            Self::Entry(entry, _) => entry.age(now),
            Self::Fill(begun, _) => age(&begun.life, now),
            Self::Slices(slices) => slices.entry().age(now),
        }
    }

    /// Seconds that it is fresh; less than none where it is stale.
    fn ttl(&self, now: Time) -> i64 {
        match self {
            Self::Entry(entry, _) => entry.ttl(now),
            Self::Fill(begun, _) => begun.life.ttl(now),
            Self::Slices(slices) => slices.entry().ttl(now),
        }
    }

    fn is_outdated(&self) -> bool {
        match self {
            Self::Entry(entry, _) => entry.stamp.outdated().is_some(),
            Self::Fill(..) => false,
            Self::Slices(slices) => slices.entry().stamp.outdated().is_some(),
        }
    }

    /// What browsers are told in place of what these fields say: seconds from now on. What is stale here is not to be fresh there,
    /// neither by `browser_ttl` nor because the origin gives them longer than it, or a rule, gives us. What an origin was asked for
    /// just now is not stale for having no lifetime here at all.
    pub(super) fn for_browsers(
        &self,
        cached: &Cached<'_>,
        fields: &Fields,
        now: Time,
    ) -> Option<u32> {
        let (_, life) = self.head();
        let is_outdated = self.is_outdated();
        let is_new = cached.is_new && life.lifetime == 0 && !is_outdated;
        if is_new || self.ttl(now) > 0 {
            return cached.browser_ttl;
        }
        let is_fresh_there = || Told::of(fields, now).is_fresh_at(self.age(now));
        let counts = is_outdated || cached.browser_ttl.is_some() || is_fresh_there();
        counts.then_some(0)
    }

    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Entry(entry, _) => Some(entry.body.length()),
            Self::Fill(begun, _) => begun.length,
            Self::Slices(slices) => Some(slices.entry().body.length()),
        }
    }

    /// What of the body is there already.
    pub(super) fn front(&self) -> &[u8] {
        match self {
            Self::Entry(entry, _) => entry.body.pieces().first().map_or(&[][..], |piece| piece),
            Self::Fill(..) | Self::Slices(_) => &[],
        }
    }
}

/// What goes out for a body, in its order.
#[derive(Debug)]
pub(super) enum Segment {
    /// Bytes of ours, between parts.
    Text(Piece),
    /// A part of the body.
    Part(Part),
}

/// What a client gets.
#[derive(Debug)]
pub(super) enum Chosen {
    /// All of it.
    Whole,
    /// These segments, of so many bytes in all.
    Segments(VecDeque<Segment>, u64),
}

impl Chosen {
    fn nothing() -> Self {
        Self::Segments(VecDeque::new(), 0)
    }

    /// The first byte of the body that is needed; none where there is none.
    pub(super) fn first(&self, length: u64) -> Option<u64> {
        match self {
            Self::Whole => (length > 0).then_some(0),
            Self::Segments(segments, _) => segments.iter().find_map(|segment| match segment {
                Segment::Part(part) => Some(part.start),
                Segment::Text(_) => None,
            }),
        }
    }
}

/// A piece, from where in it to where, and whether it is the last; none at the end.
pub(super) type Next = Option<(Piece, Range<usize>, bool)>;

/// Where a body comes from.
enum Whence {
    Body(Body),
    Fill(Follower),
    Slices(Box<SliceReader>),
}

/// Where in a body its reader is.
pub(super) struct Reading {
    from: Whence,
    at: u64,
    end: Option<u64>,
    /// What follows this part.
    then: VecDeque<Segment>,
}

impl Reading {
    pub(super) fn new(given: Given, chosen: Chosen) -> Self {
        let (end, then) = match chosen {
            Chosen::Whole => (given.length(), VecDeque::new()),
            Chosen::Segments(segments, _) => (Some(0), segments),
        };
        let from = match given {
            Given::Entry(entry, _) => Whence::Body(entry.body.clone()),
            Given::Fill(_, follower) => Whence::Fill(follower),
            Given::Slices(slices) => Whence::Slices(slices),
        };
        Self {
            from,
            at: 0,
            end,
            then,
        }
    }

    /// All of a body.
    pub(super) fn of(body: Body) -> Self {
        Self {
            at: 0,
            end: Some(body.length()),
            then: VecDeque::new(),
            from: Whence::Body(body),
        }
    }

    /// The next bytes.
    pub(super) async fn next(
        &mut self,
        alarm: &mut Alarm,
        is_over: impl Fn() -> Option<Fault>,
    ) -> Result<Next, Fault> {
        while self.end.is_some_and(|end| self.at >= end) {
            match self.then.pop_front() {
                None => return Ok(None),
                Some(Segment::Text(text)) => {
                    let all = 0..text.len();
                    return Ok(Some((text, all, self.then.is_empty())));
                }
                Some(Segment::Part(part)) => {
                    (self.at, self.end) = (part.start, Some(part.end()));
                }
            }
        }
        let found = match &mut self.from {
            Whence::Body(body) => {
                let found = body.at(self.at);
                found.map(|(piece, at)| (Arc::clone(piece), at))
            }
            Whence::Fill(follower) => {
                follower.seek(self.at);
                let piece = loop {
                    let next = alarm.wait(LOOK, |cx| follower.poll_piece(cx)).await;
                    match next {
                        Ok(piece) => break piece,
                        Err(_) => {
                            if let Some(fault) = is_over() {
                                return Err(fault);
                            }
                        }
                    }
                };
                piece.map_err(|Broken| Fault::Incomplete)?
            }
            Whence::Slices(slices) => {
                let end = self.end.unwrap_or(self.at);
                Some(slices.piece(self.at, end, alarm, &is_over).await?)
            }
        };
        let Some((piece, at)) = found else {
            return match self.end {
                Some(_) => Err(Fault::Incomplete),
                None => Ok(None),
            };
        };
        let left = self.end.map_or(u64::MAX, |end| end - self.at);
        let length = ((piece.len() - at) as u64).min(left) as usize;
        self.at += length as u64;
        let is_last = self.end == Some(self.at) && self.then.is_empty();
        Ok(Some((piece, at..at + length, is_last)))
    }
}

/// What of a response this client gets: the head is filled accordingly.
pub(super) fn chosen(request: &RequestHead, given: &Given, response: &mut ResponseHead) -> Chosen {
    let (head, life) = given.head();
    head.fill(response);
    if precondition(request, head, life.received) == Precondition::NotModified {
        response.status = 304;
        // What is about the bytes is for those who get them (RFC 9110 §15.4.5).
        for name in ABOUT_BYTES {
            response.fields.remove_named(name);
        }
        return Chosen::nothing();
    }
    let Some(length) = given.length() else {
        return Chosen::Whole;
    };
    match ranged(request, head, length, life.received) {
        Ranged::Whole => Chosen::Whole,
        // What still comes can be read forwards only; several parts may be answered with all of it (RFC 9110 §14.2).
        Ranged::Parts(_) if matches!(given, Given::Fill(..)) => Chosen::Whole,
        Ranged::Part(part) => {
            partial(response, 206);
            tell(response, &content_range(part, length));
            Chosen::Segments([Segment::Part(part)].into(), part.length)
        }
        Ranged::Parts(parts) => {
            partial(response, 206);
            let media = head.named(b"content-type");
            let random = || RandomState::new().hash_one(0);
            let boundary = format!("{:016x}{:016x}", random(), random());
            let (segments, bytes) = multipart(&parts, length, media, &boundary);
            response.fields.remove_named(b"content-type");
            let media = format!("multipart/byteranges; boundary={boundary}");
            response.fields.push(b"Content-Type", media.as_bytes());
            Chosen::Segments(segments, bytes)
        }
        Ranged::Unsatisfiable => {
            partial(response, 416);
            tell(response, &format!("bytes */{length}"));
            response.fields.remove_named(b"content-encoding");
            Chosen::nothing()
        }
    }
}

/// What is said of all of the content does not hold for a part.
fn partial(response: &mut ResponseHead, status: u16) {
    response.status = status;
    for name in [&b"content-range"[..], b"content-digest", b"content-md5"] {
        response.fields.remove_named(name);
    }
}

fn tell(response: &mut ResponseHead, range: &str) {
    response.fields.push(b"Content-Range", range.as_bytes());
}

fn content_range(part: Part, length: u64) -> String {
    format!("bytes {}-{}/{length}", part.start, part.end() - 1)
}

/// A `multipart/byteranges` body (RFC 9110 §14.6), and its length.
fn multipart(
    parts: &[Part],
    length: u64,
    media: Option<&[u8]>,
    boundary: &str,
) -> (VecDeque<Segment>, u64) {
    let mut segments = VecDeque::with_capacity(parts.len() * 2 + 1);
    let mut bytes = 0;
    let mut text = |segments: &mut VecDeque<Segment>, text: Vec<u8>| {
        bytes += text.len() as u64;
        segments.push_back(Segment::Text(text.into()));
    };
    let mut between: &[u8] = b"";
    for part in parts {
        let mut head = between.to_vec();
        between = b"\r\n";
        head.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        if let Some(media) = media {
            head.extend_from_slice(b"Content-Type: ");
            head.extend_from_slice(media);
            head.extend_from_slice(b"\r\n");
        }
        let range = content_range(*part, length);
        head.extend_from_slice(format!("Content-Range: {range}\r\n\r\n").as_bytes());
        text(&mut segments, head);
        segments.push_back(Segment::Part(*part));
    }
    text(
        &mut segments,
        format!("\r\n--{boundary}--\r\n").into_bytes(),
    );
    bytes += parts.iter().map(|part| part.length).sum::<u64>();
    (segments, bytes)
}

const ABOUT_BYTES: [&[u8]; 5] = [
    b"content-encoding",
    b"content-language",
    b"content-range",
    b"content-type",
    b"content-md5",
];
