//! Tables of what a cache may do. Rows named as a test of the public suite (`http-cache-tests`) want what that wants; its newer
//! edition where the two differ.

mod made_up_heads;
mod safety;
mod store;
mod suite_freshness;
mod suite_rest;
mod updates;
mod use_of;

use seawall_model::{Method, RequestHead, ResponseHead, date};

use super::*;
/// When the origin answers, here. The wire has whole seconds only.
pub(super) const NOW: Time = Time(1_790_000_000_000);

/// A field's value, in which `@n` is the date of so many seconds from now.
pub(super) fn value(text: &str) -> Vec<u8> {
    match text.strip_prefix('@') {
        None => text.as_bytes().to_vec(),
        Some(offset) => {
            let offset: i64 = offset.parse().unwrap();
            let seconds = NOW.seconds().checked_add_signed(offset).unwrap();
            date::write(seconds).to_vec()
        }
    }
}

pub(super) type Lines<'a> = &'a [(&'a str, &'a str)];

pub(super) fn request(method: &str, target: &str, lines: Lines<'_>) -> RequestHead {
    let mut head = RequestHead {
        method: Method::of(method.as_bytes()),
        ..RequestHead::default()
    };
    head.method_span = head.fields.store(method.as_bytes());
    head.target_span = head.fields.store(target.as_bytes());
    head.authority_span = head.fields.store(b"a.test");
    for (name, text) in lines {
        head.fields.push(name.as_bytes(), &value(text));
    }
    head
}

pub(super) fn get(lines: Lines<'_>) -> RequestHead {
    request("GET", "/x", lines)
}

pub(super) fn response(status: u16, lines: Lines<'_>) -> ResponseHead {
    let mut head = ResponseHead {
        status,
        ..ResponseHead::default()
    };
    for (name, text) in lines {
        head.fields.push(name.as_bytes(), &value(text));
    }
    head
}

pub(super) const AT_ONCE: Times = Times {
    requested: NOW,
    received: NOW,
};

pub(super) fn kept(
    request: &RequestHead,
    response: &ResponseHead,
    plan: &Plan,
) -> Result<Kept, Refused> {
    keep(&Answer {
        request,
        response,
        plan,
        times: AT_ONCE,
    })
}

/// A time some seconds later.
pub(super) fn later(seconds: u64) -> Time {
    Time(NOW.0 + seconds * 1_000)
}

/// What comes of a second request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Cached,
    /// It goes to the origin with the condition of this name.
    Validated(&'static str),
    /// It goes to the origin as if nothing was stored.
    Fetched,
}

/// A request, its answer, and some seconds later another request.
pub(super) fn second(
    first: &RequestHead,
    answer: &ResponseHead,
    wait: u64,
    request: &RequestHead,
    plan: &Plan,
) -> Outcome {
    let Ok(kept) = kept(first, answer, plan) else {
        return Outcome::Fetched;
    };
    let (stored, selecting) = (kept.vary.selecting(first), kept.vary.selecting(request));
    let language = kept.head.only(b"content-language");
    if !kept
        .vary
        .is_selected(&stored, language, request, &selecting)
    {
        return Outcome::Fetched;
    }
    match consider(&kept.life, &advice(request, plan), later(wait), None) {
        Use::Validate => validators(&kept.head)
            .next()
            .map_or(Outcome::Fetched, |(name, _)| Outcome::Validated(name)),
        _ => Outcome::Cached,
    }
}

/// Its pause between two requests.
pub(super) const PAUSE: u64 = 3;

pub(super) fn check(rows: &[(&str, Lines<'_>, u64, Outcome)]) {
    for (name, lines, wait, outcome) in rows {
        let answer = response(200, lines);
        let got = second(&get(&[]), &answer, *wait, &get(&[]), &Plan::STANDARD);
        // Where it wants no reuse, it takes a validation as well as a fetch.
        let is_so = match outcome {
            Outcome::Fetched => got != Outcome::Cached,
            outcome => got == *outcome,
        };
        assert!(is_so, "{name}: {got:?}, not {outcome:?}");
    }
}
