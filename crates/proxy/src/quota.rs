//! What the client is told of limits: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10). Both are lists
//! of structured fields (RFC 9651), so that an origin's own stand beside ours.

use seawall_guard::{Quota, Trail};
use seawall_model::Fields;

/// Adds both, where a limit counted the request.
pub fn tell(trail: &Trail, to_client: &mut Fields) {
    let Some(quota) = trail.quota() else { return };
    let (policy, now) = values(quota);
    to_client.append(b"ratelimit-policy", policy.as_bytes());
    to_client.append(b"ratelimit", now.as_bytes());
}

fn values(quota: &Quota) -> (String, String) {
    let mut name = String::from("\"");
    for character in quota.policy.chars() {
        match character {
            '"' | '\\' => name.extend(['\\', character]),
            ' '..='~' => name.push(character),
            // A string of RFC 9651 §3.3.3 is of ASCII.
            _ => name.push('_'),
        }
    }
    name.push('"');
    let Quota {
        most,
        per,
        left,
        more_in,
        ..
    } = quota;
    (
        format!("{name};q={most};w={}", per.as_secs()),
        format!("{name};r={left};t={}", more_in.as_secs()),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn names_are_strings_of_structured_fields() {
        let quota = Quota {
            policy: "a \"b\\ é".into(),
            most: 10,
            per: Duration::from_secs(60),
            left: 0,
            more_in: Duration::from_secs(7),
        };
        let (policy, now) = values(&quota);
        assert_eq!(policy, r#""a \"b\\ _";q=10;w=60"#);
        assert_eq!(now, r#""a \"b\\ _";r=0;t=7"#);
    }
}
