//! Comparing a body with the digest that its origin gave (RFC 9530), while it comes.

use aws_lc_rs::digest::{Context, SHA256, SHA512};
use seawall_cache::policy::{Digest, Hash};
use seawall_model::ResponseHead;

/// What is left of a body to be compared: with each digest that was given.
pub(super) struct Verifier(Vec<Comparison>);

struct Comparison {
    context: Context,
    wanted: Vec<u8>,
}

impl Verifier {
    /// Of the body behind this head; none where nothing is said of it.
    pub(super) fn of(head: &ResponseHead) -> Option<Self> {
        let digests = Digest::all(head.status, &head.fields);
        let all: Vec<Comparison> = digests.map(Comparison::new).collect();
        (!all.is_empty()).then_some(Self(all))
    }

    /// The next bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for comparison in &mut self.0 {
            comparison.context.update(bytes);
        }
    }

    /// Whether all that came is what was said.
    pub(super) fn agrees(self) -> bool {
        self.0.into_iter().all(Comparison::agrees)
    }
}

impl Comparison {
    fn new(digest: Digest) -> Self {
        let algorithm = match digest.hash {
            Hash::Sha256 => &SHA256,
            Hash::Sha512 => &SHA512,
        };
        Self {
            context: Context::new(algorithm),
            wanted: digest.bytes,
        }
    }

    fn agrees(self) -> bool {
        self.context.finish().as_ref() == self.wanted
    }
}
