//! What a shared cache may do, decided from heads and times alone (RFC 9111, RFC 5861, RFC 8246, RFC 9211, RFC 9213).
//!
//! Pure: no IO, no clock, no memory of its own. Where the specifications leave a choice, it is the careful one, and what was
//! chosen is said at the place and in docs/decisions/0038-the-cache.md. Not here: what is stored, and where.

mod condition;
mod deception;
mod digest;
mod invalidation;
mod life;
mod odd;
mod range;
mod serving;
mod slicing;
mod status;
mod storing;
mod tags;
mod update;
mod vary;

pub use condition::{Precondition, asks_the_origin, precondition, validators};
pub use digest::{Digest, Hash};
pub use invalidation::{invalidated, invalidates};
pub use life::{Life, Times, Told, restrictions};
pub use odd::{is_steering, is_usual, steers};
pub use range::{ContentRange, MOST_PARTS, Part, Ranged, ranged};
pub use serving::{Advised, Failure, Use, advice, consider, may_stand_in, must_be_validated};
pub use slicing::{keep_part, may_be_sliced, strong_tag};
pub use status::{Forwarded, Status, age};
pub use storing::{Again, Answer, Kept, Refused, keep, keep_of_post};
pub use tags::{MOST_TAGS, tags};
pub use update::{Freshened, HeadUpdate, freshen, update_by_head};
pub use vary::{MOST_NAMES, Vary, VaryRefused};

/// Milliseconds since 1970. Lifetimes count seconds, but what happens within one must not be lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// Whole seconds since 1970.
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000
    }

    /// Milliseconds since an earlier time; 0 where it is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// How long the edge keeps a response fresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EdgeTtl {
    /// As the origin says.
    #[default]
    Origin,
    /// As the origin says; these seconds where it says nothing.
    Default(u32),
    /// These seconds, whatever the origin says. `Set-Cookie`, `Authorization` and `Vary: *` are not overridden.
    Override(u32),
}

/// Which of a request's directives are followed. They are advice (RFC 9111 §5.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Advice {
    /// `no-store` and `only-if-cached`: those that cannot make the origin work for whoever sends them.
    #[default]
    Harmless,
    /// All of them: any client can then have every response validated.
    All,
    /// None.
    Ignored,
}

/// What the zone's rules make of a request: the cache knows no rules, only this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whether the cache may have anything to do with it.
    pub eligible: bool,
    /// How long a response is fresh here.
    pub edge_ttl: EdgeTtl,
    /// How long browsers are told that it is; none leaves the origin's fields as they are. Seconds.
    pub browser_ttl: Option<u32>,
    /// Whether a response without a lifetime gets one from its `Last-Modified` (RFC 9111 §4.2.2).
    pub heuristics: bool,
    /// Whether a response that sets a cookie is stored, with the cookie.
    pub stores_cookies: bool,
    /// The edge adds an identity to the request: it counts as one with `Authorization`.
    pub has_identity: bool,
    /// Which of the request's directives are followed.
    pub advice: Advice,
    /// How long past its lifetime a response may stand in while its origin cannot be reached (RFC 9111 §4.2.4: a cache that is
    /// disconnected), in seconds. Whoever forbids it (`must-revalidate`, `proxy-revalidate`, `s-maxage`, `no-cache`) is heard.
    pub stands_in: u32,
    /// How long past its lifetime a response may be served while it is validated, and where the origin fails, in place of what the
    /// origin says of that (RFC 5861), in seconds.
    pub serve_stale: Option<u32>,
    /// Bytes of the slices in which a response is stored that is too large to be stored whole; 0: it is not.
    pub slice: u32,
    /// Whether what has its lifetime from this plan alone is stored only if its media type is what its path's extension says.
    pub armor: bool,
    /// Whether a body is compared with what the origin says of its digest.
    pub verifies: bool,
    /// The longest lifetime of an error, but 404 and 410: one that an attacker provoked must pass soon. Seconds.
    pub errors_at_most: u32,
}

impl Plan {
    /// RFC 9111 with explicit lifetimes only: what a zone has that asks for nothing.
    pub const STANDARD: Self = Self {
        eligible: true,
        edge_ttl: EdgeTtl::Origin,
        browser_ttl: None,
        heuristics: false,
        stores_cookies: false,
        has_identity: false,
        advice: Advice::Harmless,
        stands_in: 86_400,
        serve_stale: None,
        slice: 1 << 20,
        armor: true,
        verifies: false,
        errors_at_most: 10,
    };

    /// The cache has nothing to do with the request.
    pub const BYPASS: Self = Self {
        eligible: false,
        ..Self::STANDARD
    };
}

#[cfg(test)]
mod tests;
