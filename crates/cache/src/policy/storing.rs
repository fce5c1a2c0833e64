//! Whether a response may be stored, and which of its fields (RFC 9111 §3).

use seawall_model::{FieldId, Fields, Method, RequestHead, ResponseHead, date};

use super::{EdgeTtl, Life, Plan, Times, Vary, VaryRefused};
use crate::directives::{RequestDirectives, ResponseDirectives};
use crate::fields;
use crate::head::Head;
use crate::policy::Advice;

/// A response, and what it answers.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The request as it was sent to the origin.
    pub request: &'a RequestHead,
    /// The response's head, as it came.
    pub response: &'a ResponseHead,
    /// What the zone's rules say.
    pub plan: &'a Plan,
    /// When.
    pub times: Times,
}

/// What is to be stored of a response beside its body.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its head, without what must not be stored.
    pub head: Head,
    /// Its time.
    pub life: Life,
    /// What it varies by.
    pub vary: Vary,
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is explained by its word")]
pub enum Refused {
    Bypass,
    Method,
    Status,
    Partial,
    NoStore,
    RequestNoStore,
    Private,
    Authorization,
    /// The edge adds an identity to all requests.
    Identity,
    SetCookie,
    Vary(VaryRefused),
    /// Nothing says how long it is fresh.
    NoLifetime,
    /// An error that may be about this one request.
    OddRequest,
    /// Only a rule says that it is fresh, and it is not what its path looks like.
    Deception,
    /// It would be stale at once, and nothing in it could be validated.
    Useless,
}

impl Refused {
    /// In one word, for `Cache-Status` and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::Status => "status",
            Self::Partial => "partial",
            Self::NoStore => "no-store",
            Self::RequestNoStore => "request-no-store",
            Self::Private => "private",
            Self::Authorization | Self::Identity => "authorization",
            Self::SetCookie => "set-cookie",
            Self::Vary(VaryRefused::Anything) => "vary-star",
            Self::Vary(VaryRefused::TooMany) => "vary-many",
            Self::NoLifetime => "no-lifetime",
            Self::OddRequest => "odd-request",
            Self::Deception => "deception",
            Self::Useless => "stale-at-once",
        }
    }

    /// Whether it is for what the request has: then it says nothing of what is stored, nor of what others get.
    pub const fn is_of_request(self) -> bool {
        matches!(
            self,
            Self::RequestNoStore | Self::Method | Self::OddRequest | Self::Authorization
        )
    }

    /// Whose next request of the same URL will likely be refused too. `credentials`: who asked has sent their own, so that the answer may
    /// be about them.
    pub const fn again(self, credentials: bool) -> Again {
        match self {
            Self::RequestNoStore | Self::Method | Self::OddRequest => Again::Nobody,
            Self::Authorization => Again::WithCredentials,
            _ if credentials => Again::WithCredentials,
            _ => Again::Everybody,
        }
    }
}

/// For whom the next answer to the same will likely be no more for all than this one was, so that none of them should wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// For nobody.
    Nobody,
    /// For whoever asks with `Authorization`.
    WithCredentials,
    /// For all.
    Everybody,
}

/// Decides.
///
/// # Errors
/// [`Refused`] says why it is not to be stored.
pub fn keep(answer: &Answer<'_>) -> Result<Kept, Refused> {
    // Of others nobody could make use: HEAD has no body, and POST is as good as never cacheable (RFC 9110 §9.3.3).
    if answer.request.method != Method::Get {
        return Err(Refused::Method);
    }
    keep_of(answer)
}

/// As [`keep`], of an answer to POST, which is kept for later GETs where its `Content-Location` says that it is what they would
/// get, and it says for how long (RFC 9110 §9.3.3). More careful than that: a request with credentials is for whoever sent it.
/// `scheme` is that of the request.
///
/// # Errors
/// As [`keep`].
pub fn keep_of_post(answer: &Answer<'_>, scheme: &[u8]) -> Result<Kept, Refused> {
    let (request, response) = (answer.request, answer.response);
    let is_own = request.fields.has(FieldId::Cookie) || request.fields.has(FieldId::Authorization);
    if request.method != Method::Post || response.status != 200 || is_own {
        return Err(Refused::Method);
    }
    let mut places = fields::values(&response.fields, b"content-location");
    let place = places.next().filter(|_| places.next().is_none());
    let place = place.and_then(|place| super::invalidation::resolved(request, scheme, place));
    if place.is_none_or(|place| *place != *request.target()) {
        return Err(Refused::Method);
    }
    let directives = ResponseDirectives::of(&response.fields);
    let says = directives
        .s_maxage
        .careful()
        .or(directives.max_age.careful());
    if says.is_none() && !fields::has(&response.fields, b"expires") {
        return Err(Refused::NoLifetime);
    }
    keep_of(answer)
}

/// As [`keep`], of a head that goes with a body that is stored already.
pub(super) fn keep_of(answer: &Answer<'_>) -> Result<Kept, Refused> {
    let Answer {
        request,
        response,
        plan,
        times,
    } = *answer;
    let fields = &response.fields;
    if !plan.eligible {
        return Err(Refused::Bypass);
    }
    let directives = ResponseDirectives::of(fields);
    let overridden = matches!(plan.edge_ttl, EdgeTtl::Override(_));
    status(response.status, &directives)?;
    super::odd::check(response.status, request)?;
    let understood = directives.must_understand && is_understood(response.status);
    if directives.no_store && !understood && !overridden {
        return Err(Refused::NoStore);
    }
    if plan.advice != Advice::Ignored && RequestDirectives::of(&request.fields).no_store {
        return Err(Refused::RequestNoStore);
    }
    if directives.private.is_all() && !overridden {
        return Err(Refused::Private);
    }
    let for_one = match request.fields.has(FieldId::Authorization) {
        _ if plan.has_identity => Some(Refused::Identity),
        true => Some(Refused::Authorization),
        false => None,
    };
    if let Some(refused) = for_one
        && !is_for_all(&directives)
    {
        return Err(refused);
    }
    let stripped = |name: &[u8]| directives.private.names(name) || directives.no_cache.names(name);
    if fields.has(FieldId::SetCookie) && !plan.stores_cookies && !stripped(b"set-cookie") {
        return Err(Refused::SetCookie);
    }
    let vary = Vary::of(fields).map_err(Refused::Vary)?;
    let life = Life::of(response.status, fields, &directives, plan, times);
    let life = life.ok_or(Refused::NoLifetime)?;
    if plan.armor
        && !says_how_long(fields, &directives)
        && super::deception::may_be(request.target(), fields)
    {
        return Err(Refused::Deception);
    }
    let head = stored(response, times, stripped);
    is_useful(&life, &head, times)?;
    Ok(Kept { head, life, vary })
}

/// The origin itself says how long the response is fresh for all.
fn says_how_long(fields: &Fields, directives: &ResponseDirectives) -> bool {
    let given = directives
        .s_maxage
        .careful()
        .or(directives.max_age.careful());
    let says = given.is_some() || fields::has(fields, b"expires") || directives.public;
    says && !directives.no_store && !directives.private.is_all()
}

fn status(status: u16, directives: &ResponseDirectives) -> Result<(), Refused> {
    match status {
        // Parts are not stored: a range of a stored response is cut from the whole.
        206 => Err(Refused::Partial),
        // Not a response of its own; interim ones are never seen here.
        304 | ..200 => Err(Refused::Status),
        _ if directives.must_understand && !is_understood(status) => Err(Refused::Status),
        _ => Ok(()),
    }
}

/// Statuses whose meaning for caches we follow (RFC 9111 §5.2.2.3).
const fn is_understood(status: u16) -> bool {
    super::life::is_heuristic(status)
        || matches!(status, 302 | 303 | 307 | 400..=403 | 406..=409 | 411..=417 | 421..=429 | 431 | 451)
        || matches!(status, 500 | 502..=505)
}

/// RFC 9111 §3.5: what allows to store a response to a request with `Authorization`.
const fn is_for_all(directives: &ResponseDirectives) -> bool {
    directives.public || directives.must_revalidate || directives.s_maxage.careful().is_some()
}

/// It is fresh for a while, may be served stale, or can be validated.
fn is_useful(life: &Life, head: &Head, times: Times) -> Result<(), Refused> {
    let is_fresh = !life.validates_always && life.stale_for(times.received).is_none();
    let may_be_stale = life.stale_while_revalidate > 0 || life.stale_if_error > 0;
    let validates = head.named(b"etag").is_some() || head.named(b"last-modified").is_some();
    if is_fresh || (may_be_stale && !life.never_stale) || validates {
        Ok(())
    } else {
        Err(Refused::Useless)
    }
}

/// The fields that are stored (RFC 9111 §3.1). Without a `Date` it gets that of now (RFC 9110 §6.6.1).
pub(super) fn stored(
    response: &ResponseHead,
    times: Times,
    stripped: impl Fn(&[u8]) -> bool,
) -> Head {
    let fields = &response.fields;
    let now = date::write(times.received.seconds());
    let date = (!fields.has(FieldId::Date)).then_some((FieldId::Date, &b"Date"[..], &now[..]));
    let kept = fields
        .iter()
        .filter(|field| is_storable(fields, field.id, field.name) && !stripped(field.name))
        .map(|field| (field.id, field.name, field.value));
    Head::new(response.status, kept.chain(date))
}

/// Not what ends at this hop, what is between a proxy and its client, and what is counted anew for each answer.
pub(super) fn is_storable(fields: &Fields, id: FieldId, name: &[u8]) -> bool {
    let ends_here = FieldId::HOP_BY_HOP | FieldId::Age.bit();
    if ends_here & id.bit() != 0 || name.eq_ignore_ascii_case(b"proxy-authentication-info") {
        return false;
    }
    let mut named = fields::members(fields, b"connection");
    !named.any(|member| member.eq_ignore_ascii_case(name))
}
