//! What an unsafe request makes invalid (RFC 9111 §4.4).

use seawall_model::{FieldId, Fields, Method, RequestHead};

use crate::fields;

/// Whether an answer with this status to this method makes what is stored for its target invalid. Methods that we do not know
/// count as unsafe.
pub const fn invalidates(method: Method, status: u16) -> bool {
    let is_safe = matches!(
        method,
        Method::Get | Method::Head | Method::Options | Method::Trace | Method::Connect
    );
    !is_safe && matches!(status, 200..=399)
}

/// The targets (path and query, on the same origin) that become invalid: that of the request, and what `Location` and
/// `Content-Location` name. `scheme` is that of the request.
pub fn invalidated(request: &RequestHead, scheme: &[u8], answer: &Fields) -> Vec<Box<[u8]>> {
    let mut targets = vec![Box::from(request.target())];
    let location = answer.only(FieldId::Location);
    let content = fields::values(answer, b"content-location").next();
    for reference in location.into_iter().chain(content) {
        if let Some(target) = resolved(request, scheme, reference)
            && !targets.contains(&target)
        {
            targets.push(target);
        }
    }
    targets
}

/// The target of a reference (RFC 3986 §5.2), where it is on the request's own origin.
pub(super) fn resolved(
    request: &RequestHead,
    scheme: &[u8],
    reference: &[u8],
) -> Option<Box<[u8]>> {
    let reference = reference.split(|byte| *byte == b'#').next()?;
    let colon = reference.iter().position(|byte| *byte == b':');
    let before = colon.and_then(|at| reference.split_at_checked(at));
    let is_scheme = |text: &[u8]| {
        let mut bytes = text.iter();
        bytes.next().is_some_and(u8::is_ascii_alphabetic)
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
    };
    let rest = match before {
        Some((name, rest)) if is_scheme(name) => {
            name.eq_ignore_ascii_case(scheme).then_some(())?;
            rest.get(1..)?
        }
        _ => reference,
    };
    if let Some(rest) = rest.strip_prefix(b"//") {
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
        let (authority, target) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        let same =
            crate::key::host(authority, scheme) == crate::key::host(request.authority(), scheme);
        same.then_some(())?;
        return Some(match target {
            [b'/', ..] => target.into(),
            _ => [b"/", target].concat().into(),
        });
    }
    match rest {
        [] => Some(request.target().into()),
        [b'/', ..] => Some(rest.into()),
        [b'?', ..] => Some([request.path(), rest].concat().into()),
        _ => {
            let base = request.path();
            let folder = base.iter().rposition(|byte| *byte == b'/')?;
            let (folder, _) = base.split_at_checked(folder + 1)?;
            Some(crate::key::without_dots(&[folder, rest].concat()).into())
        }
    }
}
