//! What goes wrong, and whether trying again soon makes sense.

use std::time::Duration;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The authority cannot be reached, or is slow.
    #[error("{0}: {1}")]
    Unreachable(String, String),
    /// It answers, but not as RFC 8555 says.
    #[error("the authority's answer makes no sense: {0}")]
    Nonsense(String),
    /// It refuses, and says why.
    #[error("the authority refuses ({kind}): {detail}")]
    Refused {
        /// The problem's type, without `urn:ietf:params:acme:error:`.
        kind: String,
        /// In the authority's words.
        detail: String,
        /// How long it asks us to wait.
        after: Option<Duration>,
    },
    /// A challenge failed.
    #[error("{name}: the authority could not verify it by {challenge}: {detail}")]
    Challenge {
        /// The name.
        name: String,
        /// `http-01` and so on.
        challenge: &'static str,
        /// In the authority's words, or what to do.
        detail: String,
    },
    /// What came is no certificate for this name and key that could be served now.
    #[error("the certificate that came cannot be served: {0}")]
    Certificate(String),
    /// Something of our own failed: the store, a key, the hook.
    #[error("{0}")]
    Own(String),
}

impl Fault {
    /// Another authority may do better: all but what is our own.
    pub fn is_the_authoritys(&self) -> bool {
        !matches!(self, Self::Own(_))
    }

    /// The nonce was stale: the same request is to be sent again with a fresh one (RFC 8555 §6.5).
    pub(crate) fn is_bad_nonce(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == "badNonce")
    }

    /// How long the authority asks us to wait.
    pub fn after(&self) -> Option<Duration> {
        match self {
            Self::Refused { after, .. } => *after,
            _ => None,
        }
    }
}
