//! Field names that the edge itself must know, each with a small number, so that a name is compared once, at parse time.

macro_rules! fields {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// A field name that some part of the edge acts upon. Everything else is [`FieldId::Other`].
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each variant is its field's name")]
        pub enum FieldId {
            /// No name that we act upon.
            #[default]
            Other,
            /// A name that equals a known one only after folding `_` to `-`. CGI-like origins cannot tell the two
            /// apart, so it never travels on.
            Shadow,
            /// Taken out by us; no serialiser writes it.
            Removed,
            /// `Seawall-…`: ours alone, removed on every path in.
            Seawall,
            /// `Cf-Access-…`: identity that only the edge may assert, removed on every path in.
            CfAccess,
            $($variant),+
        }

        /// By number.
        static IDS: &[FieldId] = &[
            FieldId::Other,
            FieldId::Shadow,
            FieldId::Removed,
            FieldId::Seawall,
            FieldId::CfAccess,
            $(FieldId::$variant),+
        ];

        const KNOWN: &[(&str, FieldId)] = &[$(($name, FieldId::$variant)),+];

        impl FieldId {
            /// The canonical spelling (lower case) of a known name, empty for the others.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                    _ => "",
                }
            }
        }
    };
}

fields! {
    Te = "te",
    Via = "via",
    Age = "age",
    Host = "host",
    Date = "date",
    Range = "range",
    Accept = "accept",
    Cookie = "cookie",
    Expect = "expect",
    Server = "server",
    Origin = "origin",
    Upgrade = "upgrade",
    Trailer = "trailer",
    Referer = "referer",
    AltSvc = "alt-svc",
    CdnLoop = "cdn-loop",
    Location = "location",
    Priority = "priority",
    Forwarded = "forwarded",
    XRealIp = "x-real-ip",
    Connection = "connection",
    KeepAlive = "keep-alive",
    UserAgent = "user-agent",
    SetCookie = "set-cookie",
    ContentType = "content-type",
    CacheStatus = "cache-status",
    ProxyStatus = "proxy-status",
    CacheControl = "cache-control",
    Authorization = "authorization",
    ContentLength = "content-length",
    AcceptEncoding = "accept-encoding",
    XForwardedFor = "x-forwarded-for",
    TrueClientIp = "true-client-ip",
    Http2Settings = "http2-settings",
    XForwardedHost = "x-forwarded-host",
    XForwardedPort = "x-forwarded-port",
    XForwardedProto = "x-forwarded-proto",
    CfConnectingIp = "cf-connecting-ip",
    ProxyConnection = "proxy-connection",
    SecWebSocketKey = "sec-websocket-key",
    ContentEncoding = "content-encoding",
    TransferEncoding = "transfer-encoding",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
    SecWebSocketAccept = "sec-websocket-accept",
    SecWebSocketVersion = "sec-websocket-version",
    StrictTransportSecurity = "strict-transport-security",
}

/// A perfect hash over the known names: at most one name per slot, which the compiler checks. `end` is the last two bytes.
const fn slot(len: usize, first: u8, end: [u8; 2]) -> usize {
    let key =
        u16::from_le_bytes(end) as u32 | (first as u32) << 16 | 0x0020_2020 | (len as u32) << 24;
    (key.wrapping_mul(0xb5d4_ce45) >> 25) as usize
}

/// For each slot the one known name that it can be.
#[expect(
    clippy::indexing_slicing,
    reason = "runs in the compiler, where a panic is a build error"
)]
static SLOTS: [FieldId; 128] = {
    let mut table = [FieldId::Other; 128];
    let mut known = 0;
    while known < KNOWN.len() {
        let (name, id) = KNOWN[known];
        let name = name.as_bytes();
        let at = slot(
            name.len(),
            name[0],
            [name[name.len() - 2], name[name.len() - 1]],
        );
        if !matches!(table[at], FieldId::Other) {
            panic!("two field names share a slot: choose another multiplier in `slot`");
        }
        table[at] = id;
        known += 1;
    }
    table
};

/// By id, each known name as a line begins with it: with its colon, and zeros behind that. All zeros for the others.
#[expect(
    clippy::indexing_slicing,
    reason = "runs in the compiler, where a panic is a build error"
)]
static LINES: [[u8; 32]; 64] = {
    let mut lines = [[0; 32]; 64];
    let mut known = 0;
    while known < KNOWN.len() {
        let (name, id) = KNOWN[known];
        let line = &mut lines[id as usize];
        line[name.len()] = b':';
        let mut at = 0;
        while at < name.len() {
            line[at] = name.as_bytes()[at];
            at += 1;
        }
        known += 1;
    }
    lines
};

impl FieldId {
    #[inline]
    fn exact(name: &[u8]) -> Self {
        let (Some(first), [.., last_but_one, last]) = (name.first(), name) else {
            return Self::Other;
        };
        match Self::in_slot(name.len(), *first, [*last_but_one, *last]) {
            known if known != Self::Other && same(known.name(), name) => known,
            _ => Self::Other,
        }
    }

    #[inline(always)]
    fn in_slot(len: usize, first: u8, end: [u8; 2]) -> Self {
        SLOTS
            .get(slot(len, first, end))
            .copied()
            .unwrap_or_default()
    }

    /// The one known name that a name of `len` bytes with this first byte and these last two can be, for a reader that
    /// compares many bytes at once: its id and its lower-case spelling with a colon and zeros behind it. Whether it is that
    /// name only the comparison tells; where no name is likely, the spelling is all zeros and equals none.
    #[inline(always)]
    pub fn likely(len: usize, first: u8, end: [u8; 2]) -> (Self, &'static [u8; 32]) {
        static NONE: [u8; 32] = [0; 32];
        let id = Self::in_slot(len, first, end);
        (id, LINES.get(id as usize).unwrap_or(&NONE))
    }

    /// The id of a name that has letters, digits and hyphens only, and is not what [`FieldId::likely`] said.
    #[inline(always)]
    pub fn of_unlikely(name: &[u8]) -> Self {
        const SEAWALL: u32 = u32::from_le_bytes(*b"seaw");
        const CF_ACCESS: u32 = u32::from_le_bytes(*b"cf-a");
        let first = name.first_chunk().map(|first| u32::from_le_bytes(*first));
        match first.map(|first| first | 0x2020_2020) {
            Some(SEAWALL | CF_ACCESS) => Self::guarded(name),
            _ => Self::Other,
        }
    }

    /// As [`FieldId::of`], of a name that has letters, digits and hyphens only: it cannot be a [`FieldId::Shadow`].
    #[inline]
    pub fn of_plain(name: &[u8]) -> Self {
        match Self::exact(name) {
            Self::Other => Self::of_unlikely(name),
            known => known,
        }
    }

    /// The id of `name`, compared without case. A name with `_` that folds to a known one is a [`FieldId::Shadow`].
    pub fn of(name: &[u8]) -> Self {
        match Self::exact(name) {
            Self::Other => Self::guarded(name),
            known => known,
        }
    }

    /// Names that are not known as they stand, but must not pass as nobody's.
    #[cold]
    #[inline(never)]
    fn guarded(name: &[u8]) -> Self {
        match name.first().map(|first| first | 0x20) {
            Some(b's') if name.len() > 8 && same("seawall", name.get(..7).unwrap_or_default()) => {
                return match name.get(7) {
                    Some(b'-' | b'_') => Self::Seawall,
                    _ => Self::Other,
                };
            }
            Some(b'c')
                if name.len() > 10 && folds("cf-access-", name.get(..10).unwrap_or_default()) =>
            {
                return Self::CfAccess;
            }
            _ => {}
        }
        if name.contains(&b'_') && Self::folded(name) != Self::Other {
            return Self::Shadow;
        }
        Self::Other
    }

    fn folded(name: &[u8]) -> Self {
        // Longest known name: 25 bytes. A longer one cannot fold to any.
        let mut copy = [0u8; 32];
        let Some(into) = copy.get_mut(..name.len()) else {
            return Self::Other;
        };
        for (to, from) in into.iter_mut().zip(name) {
            *to = if *from == b'_' { b'-' } else { *from };
        }
        Self::exact(into)
    }

    /// From its number (`as u8`).
    pub(crate) fn from_number(number: u8) -> Self {
        IDS.get(usize::from(number)).copied().unwrap_or_default()
    }

    /// This id as one bit, for sets of ids.
    pub const fn bit(self) -> u64 {
        1 << (self as u8)
    }

    /// Connection-specific fields (RFC 9110 §7.6.1, RFC 9113 §8.2.2): they end at each hop.
    pub const HOP_BY_HOP: u64 = Self::Connection.bit()
        | Self::KeepAlive.bit()
        | Self::ProxyConnection.bit()
        | Self::TransferEncoding.bit()
        | Self::Te.bit()
        | Self::Trailer.bit()
        | Self::Upgrade.bit()
        | Self::Http2Settings.bit()
        | Self::ProxyAuthenticate.bit()
        | Self::ProxyAuthorization.bit()
        | Self::Removed.bit()
        | Self::Shadow.bit();
}

/// `name` equals the lower-case `known`, without regard to case, eight bytes at a time. Known names have letters, digits
/// and hyphens only: in those, bit 5 is what case is, or set anyway.
fn same(known: &str, name: &[u8]) -> bool {
    let known = known.as_bytes();
    if known.len() != name.len() {
        return false;
    }
    let sixteen = |known: &[u8; 16], name: &[u8; 16]| {
        u128::from_ne_bytes(*known) ^ (u128::from_ne_bytes(*name) | u128::from_ne_bytes([0x20; 16]))
    };
    let eight = |known: &[u8; 8], name: &[u8; 8]| {
        u64::from_ne_bytes(*known) ^ (u64::from_ne_bytes(*name) | 0x2020_2020_2020_2020)
    };
    let four = |known: &[u8; 4], name: &[u8; 4]| {
        u32::from_ne_bytes(*known) ^ (u32::from_ne_bytes(*name) | 0x2020_2020)
    };
    // In two pieces, which overlap where the length is not that of both: cheaper than one by one.
    if let (Some(k0), Some(n0), Some(k1), Some(n1)) = (
        known.first_chunk(),
        name.first_chunk(),
        known.last_chunk(),
        name.last_chunk(),
    ) {
        // No known name has more than 32 bytes, which a test holds.
        sixteen(k0, n0) | sixteen(k1, n1) == 0
    } else if let (Some(k0), Some(n0), Some(k1), Some(n1)) = (
        known.first_chunk(),
        name.first_chunk(),
        known.last_chunk(),
        name.last_chunk(),
    ) {
        eight(k0, n0) | eight(k1, n1) == 0
    } else if let (Some(k0), Some(n0), Some(k1), Some(n1)) = (
        known.first_chunk(),
        name.first_chunk(),
        known.last_chunk(),
        name.last_chunk(),
    ) {
        four(k0, n0) | four(k1, n1) == 0
    } else {
        known
            .iter()
            .zip(name)
            .all(|(known, name)| *known == name | 0x20)
    }
}

fn folds(known: &str, name: &[u8]) -> bool {
    known.len() == name.len()
        && known
            .bytes()
            .zip(name)
            .all(|(k, n)| k == n.to_ascii_lowercase() || (k == b'-' && *n == b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        assert_eq!(FieldId::of(b"HOST"), FieldId::Host);
        assert_eq!(FieldId::of(b"Content-Length"), FieldId::ContentLength);
        assert_eq!(FieldId::of(b"x-other"), FieldId::Other);
        assert_eq!(FieldId::of(b""), FieldId::Other);
    }

    #[test]
    fn underscores_make_a_shadow_and_ours_stay_ours() {
        assert_eq!(FieldId::of(b"Content_Length"), FieldId::Shadow);
        assert_eq!(FieldId::of(b"X_Forwarded-For"), FieldId::Shadow);
        assert_eq!(FieldId::of(b"my_own"), FieldId::Other);
        assert_eq!(FieldId::of(b"SEAWALL_ray"), FieldId::Seawall);
        assert_eq!(FieldId::of(b"Cf_Access-Jwt-Assertion"), FieldId::CfAccess);
    }

    #[test]
    fn plain_names_are_judged_alike_both_ways() {
        let names = KNOWN.iter().map(|(name, _)| (*name).to_owned());
        let others = [
            "etag",
            "seawall-ray",
            "seawall",
            "seawallx",
            "cf-access-jwt",
            "CF-Access-x",
            "s",
            "c",
            "",
            "content-lengt",
        ];
        for name in names.chain(others.map(str::to_owned)) {
            for name in [name.to_ascii_uppercase(), name] {
                assert_eq!(
                    FieldId::of_plain(name.as_bytes()),
                    FieldId::of(name.as_bytes()),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn every_known_name_is_the_likely_one() {
        for (name, id) in KNOWN {
            let bytes = name.as_bytes();
            let end = [bytes[bytes.len() - 2], bytes[bytes.len() - 1]];
            for (first, end) in [
                (bytes[0], end),
                (
                    bytes[0].to_ascii_uppercase(),
                    end.map(|byte| byte.to_ascii_uppercase()),
                ),
            ] {
                let (likely, line) = FieldId::likely(bytes.len(), first, end);
                assert_eq!(likely, *id);
                assert_eq!(
                    line.split(|byte| *byte == 0).next(),
                    Some(format!("{name}:").as_bytes())
                );
            }
        }
    }

    #[test]
    fn every_id_fits_one_bit_and_every_name_two_pieces() {
        assert!(KNOWN.iter().all(|(name, _)| name.len() < 32));
        for (name, id) in KNOWN {
            for at in 0..name.len() {
                let mut other = name.as_bytes().to_vec();
                other[at] = if other[at] == b'x' { b'y' } else { b'x' };
                assert_ne!(FieldId::of(&other), *id, "{name} at {at}");
            }
        }
        assert!((FieldId::StrictTransportSecurity as u8) < 64);
        for (number, id) in IDS.iter().enumerate() {
            assert_eq!(*id as usize, number);
            assert_eq!(FieldId::from_number(*id as u8), *id);
        }
    }
}
