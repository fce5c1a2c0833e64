//! Which content coding a client takes: `Accept-Encoding` (RFC 9110 §12.5.3).

use seawall_model::document::Coding;

/// The coding that the client likes best; of those that it likes as well, the first of ours. None when it takes none, would
/// rather have the content as it is, or did not say.
pub(super) fn choose<'a, Lines: Iterator<Item = &'a [u8]>>(
    ours: &[Coding],
    lines: impl Fn() -> Lines,
) -> Option<Coding> {
    let weight = |named: &dyn Fn(&[u8]) -> bool| {
        let items = lines().flat_map(|line| line.split(|byte| *byte == b','));
        items
            .filter_map(|item| {
                let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
                let name = parts.next()?;
                // The first word for a coding is the one that counts.
                named(name).then(|| parts.find_map(quality).unwrap_or(1_000))
            })
            .next()
    };
    let any = weight(&|name| name == b"*");
    let of = |coding: Coding| {
        let own = coding.name().as_bytes();
        // RFC 9110 §8.4.1.3: `x-gzip` is `gzip`.
        let old = |name: &[u8]| coding == Coding::Gzip && name.eq_ignore_ascii_case(b"x-gzip");
        weight(&|name| name.eq_ignore_ascii_case(own) || old(name)).or(any)
    };
    let identity = weight(&|name| name.eq_ignore_ascii_case(b"identity")).unwrap_or(0);
    let mut best: Option<(Coding, u16)> = None;
    for coding in ours {
        let weight = of(*coding).unwrap_or(0);
        if weight > best.map_or(0, |(_, known)| known) {
            best = Some((*coding, weight));
        }
    }
    best.filter(|(_, weight)| *weight >= identity)
        .map(|(coding, _)| coding)
}

/// A weight in thousandths, of `q=0.8` (RFC 9110 §12.4.2). What is malformed takes nothing.
fn quality(parameter: &[u8]) -> Option<u16> {
    let (name, value) = parameter.split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let Some((whole, rest)) = value.split_first() else {
        return Some(0);
    };
    let digits = match rest {
        [] => &[][..],
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return Some(0),
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return Some(0);
    }
    let mut thousandths = 0u16;
    for place in 0..3 {
        let digit = digits.get(place).map_or(0, |digit| u16::from(digit - b'0'));
        thousandths = thousandths * 10 + digit;
    }
    Some(match (whole, thousandths) {
        (b'0', thousandths) => thousandths,
        (b'1', 0) => 1_000,
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_decides_and_then_our_order() {
        let ours = [Coding::Zstd, Coding::Brotli, Coding::Gzip];
        for (accepts, expected) in [
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("gzip, deflate, br", Some(Coding::Brotli)),
            ("gzip", Some(Coding::Gzip)),
            ("x-gzip", Some(Coding::Gzip)),
            ("GZIP;Q=1.000", Some(Coding::Gzip)),
            ("gzip;q=1.0, br;q=0.9, zstd;q=0.001", Some(Coding::Gzip)),
            ("gzip;q=0.5, br ; q=0.5", Some(Coding::Brotli)),
            ("*", Some(Coding::Zstd)),
            ("zstd;q=0, *;q=0.1", Some(Coding::Brotli)),
            ("br;q=0, zstd;q=0, gzip;q=0", None),
            ("identity", None),
            ("identity;q=1, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some(Coding::Gzip)),
            ("identity;q=0", None),
            ("", None),
            ("deflate, compress", None),
            ("gzip;q=2", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=a", None),
            ("gzip;q=", None),
            ("gzip;q=1.1", None),
            ("gzip;level=9;q=0.5", Some(Coding::Gzip)),
            ("gzipped", None),
            (",,gzip,,", Some(Coding::Gzip)),
            ("gzip;q=0, gzip", None),
        ] {
            let lines = [accepts.as_bytes()];
            assert_eq!(choose(&ours, || lines.into_iter()), expected, "{accepts:?}");
        }
        let two: [&[u8]; 2] = [b"deflate", b"br;q=0.1"];
        assert_eq!(choose(&ours, || two.into_iter()), Some(Coding::Brotli));
        assert_eq!(choose(&ours[2..], || [&b"br, zstd"[..]].into_iter()), None);
    }
}
