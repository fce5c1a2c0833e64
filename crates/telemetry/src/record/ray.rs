//! Ray ids: which request an error page, a line of the log and the origin's own log speak of.

/// Bytes of a location's name that a ray shows.
pub const LOCATION_LIMIT: usize = 32;

/// The id of one request: 16 hexadecimal digits, and in text the location that served it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ray(pub u64);

impl Ray {
    /// Appends `<16 hex>-<LOCATION>`, as in `Seawall-Ray`: the location in capitals, at most [`LOCATION_LIMIT`] bytes of it,
    /// and `_` for what is no letter, digit, `-`, `.` or `_` of ASCII, so that it can stand in a field and in JSON.
    pub fn write(self, location: &str, out: &mut Vec<u8>) {
        let mut text = [b'-'; 17 + LOCATION_LIMIT];
        if let Some((digits, shown)) = text.split_first_chunk_mut() {
            *digits = self.digits();
            for (to, from) in shown.iter_mut().skip(1).zip(capitals(location)) {
                *to = from;
            }
        }
        let length = 17 + location.len().min(LOCATION_LIMIT);
        out.extend_from_slice(text.get(..length).unwrap_or_default());
    }

    /// The id in a text that [`Ray::write`] made: its first 16 digits.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digits = text.first_chunk::<16>()?;
        let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
        let digits = std::str::from_utf8(digits).ok()?;
        u64::from_str_radix(digits, 16).ok().map(Self)
    }

    /// The 16 digits.
    #[inline]
    pub fn digits(self) -> [u8; 16] {
        let high = eight_digits((self.0 >> 32) as u32);
        let low = eight_digits(self.0 as u32);
        (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
    }
}

/// A location's name as rays show it.
#[inline]
pub(super) fn capitals(location: &str) -> impl Iterator<Item = u8> {
    let shown = location
        .as_bytes()
        .get(..LOCATION_LIMIT)
        .unwrap_or(location.as_bytes());
    shown
        .iter()
        .map(|&byte| CAPITALS.get(usize::from(byte)).copied().unwrap_or(b'_'))
}

/// How rays show each byte of a location's name.
static CAPITALS: [u8; 256] = {
    let mut capitals = [b'_'; 256];
    let mut byte = 0u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' {
            #[expect(
                clippy::indexing_slicing,
                reason = "in the compiler, where a panic is a build error"
            )]
            let capital = &mut capitals[byte as usize];
            *capital = byte.to_ascii_uppercase();
        }
        byte += 1;
    }
    capitals
};

/// Eight hexadecimal digits, the first in the highest byte: spreads the nibbles over the bytes of a word and turns all of
/// them into digits at once.
#[inline]
fn eight_digits(number: u32) -> u64 {
    let spread = u64::from(number);
    let spread = (spread << 16 | spread) & 0x0000_ffff_0000_ffff;
    let spread = (spread << 8 | spread) & 0x00ff_00ff_00ff_00ff;
    let spread = (spread << 4 | spread) & 0x0f0f_0f0f_0f0f_0f0f;
    // Adding 6 carries into bit 4 exactly for the nibbles above 9.
    let letters = (spread + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    spread + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)
}

/// Makes ray ids; one per thread, each from a random seed of its own.
///
/// One seed gives 2^64 different ids before one comes again (SplitMix64: a counter, mixed). They tell requests apart and
/// are no secret: who knows one can work out its neighbours.
#[derive(Clone, Debug)]
pub struct Rays {
    state: u64,
}

impl Rays {
    /// From a seed, which must be random and different in every thread.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next id.
    #[inline]
    pub fn next_ray(&mut self) -> Ray {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = self.state;
        let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ray(mixed ^ mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_ray_is_read_as_it_was_written() {
        let mut text = Vec::new();
        Ray(0x0123_4567_89ab_cdef).write("lhr", &mut text);
        assert_eq!(Ray::parse(&text), Some(Ray(0x0123_4567_89ab_cdef)));
        for none in [
            &b""[..],
            b"0123",
            b"+123456789abcdef-A",
            b"0123456789abcdeg",
        ] {
            assert_eq!(Ray::parse(none), None);
        }
    }

    #[test]
    fn text_is_16_digits_and_the_location_in_capitals() {
        for (id, text) in [
            (0, "0000000000000000-LHR"),
            (u64::MAX, "ffffffffffffffff-LHR"),
            (0x0123_4567_89ab_cdef, "0123456789abcdef-LHR"),
            (0xfedc_ba98_7654_3210, "fedcba9876543210-LHR"),
        ] {
            let mut out = Vec::new();
            Ray(id).write("lhr", &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
        let mut out = Vec::new();
        Ray(0).write("a\r\n\"é-1.b_c", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "0000000000000000-A_____-1.B_C"
        );
    }

    #[test]
    fn ids_of_some_threads_do_not_meet() {
        let mut seen = HashSet::new();
        for seed in [1, 2, u64::MAX] {
            let mut rays = Rays::new(seed);
            for _ in 0..10_000 {
                let ray = rays.next_ray();
                let text = String::from_utf8(ray.digits().to_vec()).unwrap();
                assert_eq!(text, format!("{:016x}", ray.0));
                assert!(seen.insert(ray));
            }
        }
    }

    #[test]
    fn the_published_sequence_of_splitmix64() {
        let mut rays = Rays::new(1_234_567);
        assert_eq!(rays.next_ray().0, 6_457_827_717_110_365_317);
        assert_eq!(rays.next_ray().0, 3_203_168_211_198_807_973);
    }
}
