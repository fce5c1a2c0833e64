//! Cache directives (RFC 9111 §5.2, RFC 5861, RFC 8246), from `Cache-Control` and from targeted fields (RFC 9213).
//!
//! Where a field is wrong the reading is the careful one (RFC 9111 §4.2.1): a lifetime that is no number, or is given twice with
//! different values, is no lifetime; a quotation without an end makes all of the field worth nothing.

mod read;
mod targeted;

use seawall_model::Fields;

pub(crate) use read::seconds;
pub use targeted::TARGETED;

/// The most seconds that anything here counts to: 2^31, as RFC 9111 §1.2.2 allows.
pub const MOST_SECONDS: u32 = 1 << 31;

/// The number of seconds that a directive gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seconds {
    /// The directive is absent.
    #[default]
    Absent,
    /// It is there, and holds.
    Given(u32),
    /// It is there, and cannot be understood: the response counts as stale (RFC 9111 §4.2.1).
    Wrong,
}

impl Seconds {
    /// The seconds, 0 where it cannot be understood; none where it is absent.
    pub const fn careful(self) -> Option<u32> {
        match self {
            Self::Absent => None,
            Self::Given(seconds) => Some(seconds),
            Self::Wrong => Some(0),
        }
    }

    /// One more occurrence.
    fn again(&mut self, found: Option<u32>) {
        let found = found.map_or(Self::Wrong, Self::Given);
        *self = match *self {
            Self::Absent => found,
            before if before == found => found,
            _ => Self::Wrong,
        };
    }
}

/// What `no-cache` and `private` are about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum About {
    /// Nothing: the directive is absent.
    #[default]
    Nothing,
    /// These fields only, in lower case (RFC 9111 §5.2.2.4, §5.2.2.7).
    Fields(Vec<Box<[u8]>>),
    /// The whole response.
    All,
}

impl About {
    /// Whether it is about the whole response.
    pub const fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Whether it names this field.
    pub fn names(&self, field: &[u8]) -> bool {
        match self {
            Self::Fields(names) => names.iter().any(|name| name.eq_ignore_ascii_case(field)),
            Self::Nothing | Self::All => false,
        }
    }

    /// One more occurrence, with the field names of its argument; none stands for an argument that is absent or wrong.
    fn again(&mut self, names: Option<Vec<Box<[u8]>>>) {
        match (&mut *self, names) {
            (Self::All, _) => {}
            (Self::Fields(before), Some(more)) => before.extend(more),
            (Self::Nothing, Some(names)) => *self = Self::Fields(names),
            (_, None) => *self = Self::All,
        }
    }
}

/// What a response says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is the directive of its name")]
pub struct ResponseDirectives {
    pub max_age: Seconds,
    pub s_maxage: Seconds,
    pub stale_while_revalidate: Seconds,
    pub stale_if_error: Seconds,
    pub no_cache: About,
    pub private: About,
    pub no_store: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub no_transform: bool,
    pub immutable: bool,
    /// The values came from a targeted field: `Cache-Control` and `Expires` do not count (RFC 9213 §2.1).
    pub targeted: bool,
}

/// What a request says. It is advice: a cache may follow it (RFC 9111 §5.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is the directive of its name")]
pub struct RequestDirectives {
    pub max_age: Seconds,
    pub min_fresh: Seconds,
    /// Without a number, any staleness is taken.
    pub max_stale: Seconds,
    pub no_cache: bool,
    pub no_store: bool,
    pub only_if_cached: bool,
}

impl ResponseDirectives {
    /// What holds for us: of the first targeted field that is valid and not empty, else of `Cache-Control`.
    pub fn of(fields: &Fields) -> Self {
        targeted::of(fields).unwrap_or_else(|| Self::of_lines(fields, b"cache-control"))
    }
}

#[cfg(test)]
mod tests;
