//! Comparing a body with the digest that its origin gave (RFC 9530), while it comes.

use aws_lc_rs::digest::{Context, SHA256, SHA512};
use seawall_cache::policy::{Digest, Hash};
use seawall_model::ResponseHead;

/// What is left of a body to be compared.
pub(super) struct Verifier {
    context: Context,
    wanted: Vec<u8>,
}

impl Verifier {
    /// Of the body behind this head; none where nothing is said of it.
    pub(super) fn of(head: &ResponseHead) -> Option<Self> {
        let digest = Digest::of(head.status, &head.fields)?;
        let algorithm = match digest.hash {
            Hash::Sha256 => &SHA256,
            Hash::Sha512 => &SHA512,
        };
        Some(Self {
            context: Context::new(algorithm),
            wanted: digest.bytes,
        })
    }

    /// The next bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// Whether all that came is what was said.
    pub(super) fn agrees(self) -> bool {
        self.context.finish().as_ref() == self.wanted
    }
}
