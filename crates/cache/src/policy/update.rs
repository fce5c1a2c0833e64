//! What a 304 or the answer to a HEAD makes of a stored response (RFC 9111 §3.2, §4.3.4, §4.3.5).

use seawall_model::{Fields, ResponseHead, date};

use super::condition::is_weakly;
use super::storing::{Answer, Kept, Refused, is_storable, keep_of};
use crate::fields;
use crate::head::Head;

/// What came of validating.
#[derive(Clone, Debug)]
pub enum Freshened {
    /// The stored response holds on, with these fields and this time.
    Updated(Box<Kept>),
    /// It is served this once, with this head, and not kept: what came with the 304 forbids it, or what was asked.
    Once(Box<Head>, Refused),
    /// The 304 is about another content than ours (§4.3.4): what is stored is served this once, as it is, and forgotten, so that
    /// the next request gets all of it anew.
    Mismatch,
}

/// Merges a 304 (`answer.response`) into a stored head.
pub fn freshen(stored: &Head, answer: &Answer<'_>) -> Freshened {
    let not_modified = &answer.response.fields;
    if !is_same(stored, not_modified) {
        return Freshened::Mismatch;
    }
    let merged = merged(stored, answer);
    match keep_of(&Answer {
        response: &merged,
        ..*answer
    }) {
        Ok(kept) => Freshened::Updated(Box::new(kept)),
        Err(refused) => {
            let once = super::storing::stored(&merged, answer.times, |_| false);
            Freshened::Once(Box::new(once), refused)
        }
    }
}

/// Whether what the 304 says of the content is true of the stored one. Tags are compared as `If-None-Match` compares them, since
/// that is how the origin came to its 304.
fn is_same(stored: &Head, not_modified: &Fields) -> bool {
    let new = |name| fields::values(not_modified, name).next();
    match (new(b"etag"), stored.named(b"etag")) {
        (Some(new), Some(old)) => is_weakly(new, old),
        // It was made from its date: a tag that was not there before cannot be compared.
        (Some(_), None) => true,
        (None, _) => match (new(b"last-modified"), stored.named(b"last-modified")) {
            (Some(new), Some(old)) => new == old,
            _ => true,
        },
    }
}

/// What came of the answer to a HEAD.
#[derive(Clone, Debug)]
pub enum HeadUpdate {
    /// The stored response holds on, with these fields and this time.
    Updated(Box<Kept>),
    /// It is another content by now: the stored one counts as stale.
    Outdated,
    /// It says nothing of the stored one.
    Unrelated,
}

/// Merges the answer to a HEAD that went to the origin (`answer.response`) into what is stored for GET. RFC 9111 §4.3.5 has it that
/// fields that are not there do not differ; here one at least has to be there and the same, else a page that has changed would be
/// fresh again.
pub fn update_by_head(stored: &Head, answer: &Answer<'_>) -> HeadUpdate {
    if answer.response.status != 200 || stored.status() != 200 {
        return HeadUpdate::Unrelated;
    }
    const ABOUT: [&[u8]; 3] = [b"etag", b"last-modified", b"content-length"];
    let new = &answer.response.fields;
    let said = ABOUT.map(|name| {
        let new = fields::values(new, name).next();
        new.map(|new| stored.named(name) == Some(new))
    });
    if said.contains(&Some(false)) {
        return HeadUpdate::Outdated;
    }
    let merged = merged(stored, answer);
    match keep_of(&Answer {
        response: &merged,
        ..*answer
    }) {
        Ok(kept) if said.contains(&Some(true)) => HeadUpdate::Updated(Box::new(kept)),
        // It may be of any content.
        Ok(_) => HeadUpdate::Unrelated,
        // It may be for whoever asked.
        Err(refused) if refused.is_of_request() => HeadUpdate::Unrelated,
        Err(_) => HeadUpdate::Outdated,
    }
}

/// §3.2: all fields of the new head replace those of the same name, but what is about the stored bytes. `Age` comes along, to be
/// counted; no stored head has one.
fn merged(stored: &Head, answer: &Answer<'_>) -> ResponseHead {
    let new = &answer.response.fields;
    let is_taken = |id, name: &[u8]| {
        let is_age = id == seawall_model::FieldId::Age;
        (is_age || is_storable(new, id, name)) && !is_about_the_bytes(name)
    };
    let mut merged = ResponseHead {
        status: stored.status(),
        ..ResponseHead::default()
    };
    let is_date = |name: &[u8]| name.eq_ignore_ascii_case(b"date");
    for (_, name, value) in stored.iter() {
        let is_replaced = new
            .iter()
            .any(|field| field.name.eq_ignore_ascii_case(name) && is_taken(field.id, field.name));
        // Its date is that of the newer answer, which is now where it gives none (RFC 9110 §6.6.1).
        if !is_replaced && !is_date(name) {
            merged.fields.push(name, value);
        }
    }
    for field in new.iter().filter(|field| is_taken(field.id, field.name)) {
        merged.fields.push(field.name, field.value);
    }
    if !new.has(seawall_model::FieldId::Date) {
        let now = date::write(answer.times.received.seconds());
        merged.fields.push(b"Date", &now);
    }
    merged
}

/// Digests too: `Content-Digest` is of the content that it came with (RFC 9530 §2), which a 304 and an answer to HEAD have none of
/// (there it is of nothing, as B.2 shows), and `Repr-Digest` (§3) is of the representation that was selected then, of which these bytes
/// need not be: a coding is added on the way, or a weak tag stands for several. What came with the bytes is what they are compared with.
fn is_about_the_bytes(name: &[u8]) -> bool {
    const ABOUT: [&[u8]; 8] = [
        b"content-digest",
        b"content-encoding",
        b"content-length",
        b"content-md5",
        b"content-range",
        b"digest",
        b"etag",
        b"repr-digest",
    ];
    ABOUT.iter().any(|about| name.eq_ignore_ascii_case(about))
}
