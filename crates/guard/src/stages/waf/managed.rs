//! Exceptions that come with Seawall, by their names: what the Core Rule Set is mistaken about on many sites.

use seawall_waf::{Exclusion, Program};

/// A set: which rules, by tag, and what they do not look at.
struct Set {
    name: &'static str,
    tag: &'static str,
    targets: &'static [&'static str],
}

const SETS: &[Set] = &[
    Set {
        name: "captcha",
        tag: "OWASP_CRS",
        targets: &[
            "ARGS:cf-turnstile-response",
            "ARGS:g-recaptcha-response",
            "ARGS:h-captcha-response",
            "ARGS:frc-captcha-solution",
        ],
    },
    Set {
        name: "passwords",
        tag: "OWASP_CRS",
        targets: &[
            r"ARGS:/(?:^|[_.\[-])(?:pass|passwd|password|passphrase|pwd)(?:[_-]?(?:confirm|confirmation|new|old|current|repeat|again|[12]))?\]?$/",
        ],
    },
    Set {
        name: "sso",
        tag: "OWASP_CRS",
        targets: &[
            "ARGS:SAMLRequest",
            "ARGS:SAMLResponse",
            "ARGS:RelayState",
            "ARGS:id_token",
            "ARGS:id_token_hint",
            "ARGS:access_token",
            "ARGS:refresh_token",
            "ARGS:client_assertion",
            "ARGS:assertion",
            "ARGS:code",
            "ARGS:state",
            "ARGS:session_state",
        ],
    },
    Set {
        name: "richtext",
        tag: "attack-xss",
        targets: &[
            r"ARGS:/(?:^|[_.\[])(?:content|body|message|comment|description|text|html|markdown)\]?$/",
        ],
    },
];

/// The exceptions of a set. None where the rule set has no rules that it is about.
pub(super) fn exclusion(program: &Program, name: &str) -> Option<Exclusion> {
    let set = SETS.iter().find(|set| set.name == name)?;
    let targets: Vec<String> = set.targets.iter().map(|text| (*text).to_owned()).collect();
    Exclusion::new(program, &[], &[set.tag.to_owned()], &targets).ok()
}
