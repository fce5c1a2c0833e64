//! Whether a response may be stored in slices, which are fetched one by one (RFC 9110 §14, RFC 9111 §3.3).

use seawall_model::{FieldId, Method, ResponseHead};

use super::range::ContentRange;
use super::storing::{Answer, Kept, Refused, keep};
use crate::fields;
use crate::head::Head;

/// A response's strong validator (RFC 9110 §8.8.1): its tag, where it has one that is not weak. A date is none that parts of a body
/// could be put together by.
pub fn strong_tag(head: &Head) -> Option<&[u8]> {
    let tag = head.only(b"etag")?;
    (tag.len() >= 2 && tag.starts_with(b"\"") && tag.ends_with(b"\"")).then_some(tag)
}

/// Whether a whole response may be fetched in slices from now on: its origin takes ranges, and says which version each is of.
pub fn may_be_sliced(head: &Head) -> bool {
    let takes_ranges = || {
        let says = head.named(b"accept-ranges").unwrap_or_default();
        let mut units = says.split(|byte| *byte == b',');
        units.any(|unit| unit.trim_ascii().eq_ignore_ascii_case(b"bytes"))
    };
    head.status() == 200 && strong_tag(head).is_some() && takes_ranges()
}

/// What is to be stored of the whole by what a part says of it: an answer (206) to a request with `Range` and without `If-Range`, where
/// it would be allowed to leave fields out. With where the part lies.
///
/// # Errors
/// [`Refused`], as of the whole; `Partial` where it does not say enough.
pub fn keep_part(answer: &Answer<'_>) -> Result<(Kept, ContentRange), Refused> {
    let (request, response) = (answer.request, answer.response);
    let is_plain = request.method == Method::Get && !fields::has(&request.fields, b"if-range");
    if response.status != 206 || !is_plain {
        return Err(Refused::Partial);
    }
    let range = ContentRange::of(&response.fields).ok_or(Refused::Partial)?;
    let mut whole = ResponseHead {
        status: 200,
        ..ResponseHead::default()
    };
    for field in response.fields.iter() {
        let is_of_part = OF_PART
            .iter()
            .any(|name| field.name.eq_ignore_ascii_case(name));
        if !is_of_part && field.id != FieldId::ContentLength {
            whole.fields.push(field.name, field.value);
        }
    }
    // The part shows it.
    whole.fields.push(b"Accept-Ranges", b"bytes");
    let kept = keep(&Answer {
        response: &whole,
        ..*answer
    })?;
    if strong_tag(&kept.head).is_none() {
        return Err(Refused::Partial);
    }
    Ok((kept, range))
}

/// Fields that are about the part alone.
const OF_PART: [&[u8]; 4] = [
    b"content-range",
    b"content-digest",
    b"content-md5",
    b"accept-ranges",
];
