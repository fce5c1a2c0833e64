//! From a request's path to a name within a folder. Pure.

/// The name, without its first `/`; none where a request may not look. The path is decoded once (RFC 3986 §2.1).
pub(super) fn within(path: &[u8], dotfiles: bool) -> Option<Vec<u8>> {
    let decoded = decode(path.strip_prefix(b"/")?)?;
    let mut segments = decoded.split(|byte| *byte == b'/').peekable();
    let mut first = true;
    while let Some(segment) = segments.next() {
        // Empty only at the end: a folder, or the site itself.
        if segment.is_empty() && segments.peek().is_some() {
            return None;
        }
        if matches!(segment, b"." | b"..") || segment.len() > 255 {
            return None;
        }
        // RFC 8615: that one is made to be asked for.
        let well_known = first && segment == b".well-known";
        if segment.starts_with(b".") && !dotfiles && !well_known {
            return None;
        }
        first = false;
    }
    Some(decoded)
}

/// Undoes percent-encoding. None for what is malformed, a NUL, and an encoded `/`: that one is no separator (RFC 3986 §2.2), and
/// no file has it in its name.
fn decode(path: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, more)) = rest.split_first() {
        rest = more;
        let byte = match byte {
            b'%' => {
                let (digits, more) = rest.split_first_chunk::<2>()?;
                rest = more;
                let digits = std::str::from_utf8(digits).ok()?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                match u8::from_str_radix(digits, 16).ok()? {
                    b'/' => return None,
                    byte => byte,
                }
            }
            byte => *byte,
        };
        if byte == 0 {
            return None;
        }
        decoded.push(byte);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_names() {
        for (path, name) in [
            ("/", ""),
            ("/a", "a"),
            ("/a/b.html", "a/b.html"),
            ("/a/", "a/"),
            ("/a%20b%C3%A4", "a bä"),
            ("/a+b", "a+b"),
            ("/a%2bb", "a+b"),
            ("/a.b", "a.b"),
            ("/a..b", "a..b"),
            ("/a..", "a.."),
            ("/%2561", "%61"),
            ("/.well-known/security.txt", ".well-known/security.txt"),
            ("/a\\b", "a\\b"),
        ] {
            let found = within(path.as_bytes(), false);
            assert_eq!(found.as_deref(), Some(name.as_bytes()), "{path}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_no_name() {
        for path in [
            "",
            "a",
            "*",
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/../a",
            "/a/..",
            "/a/../b",
            "/a/./b",
            "/%2e%2e/a",
            "/%2E./a",
            "/.%2e",
            "/a/%2e%2e",
            "/%2fetc",
            "/a%2f..%2fb",
            "/a%00",
            "/%",
            "/%2",
            "/%zz",
            "/%+1",
            "/.git/config",
            "/a/.env",
            "/%2eenv",
            "/a/.well-known/x",
            "/.well-known/.secret",
            "/..a",
        ] {
            assert_eq!(within(path.as_bytes(), false), None, "{path}");
        }
        assert!(within(b"/.git/config", true).is_some());
        for path in ["/..", "/a/../b", "/.", "/%2e%2e"] {
            assert_eq!(within(path.as_bytes(), true), None, "{path}");
        }
        assert_eq!(
            within(format!("/{}", "x".repeat(256)).as_bytes(), true),
            None
        );
    }

    /// Whatever the bytes: no panic, and what comes out never leads up.
    #[test]
    fn no_bytes_lead_up() {
        let parts: [&[u8]; 12] = [
            b"/", b".", b"..", b"%2e", b"%2E", b"%2f", b"a", b"%", b"\xff", b"%00", b"%5c", b"%25",
        ];
        let mut number = 0u64;
        for _ in 0..200_000 {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let mut path = b"/".to_vec();
            for place in 0..6 {
                let part = (number >> (place * 8 + 12)) % parts.len() as u64;
                path.extend_from_slice(parts[part as usize]);
            }
            if let Some(name) = within(&path, true) {
                assert!(!name.starts_with(b"/") && !name.contains(&0), "{path:?}");
                let mut segments = name.split(|byte| *byte == b'/');
                assert!(segments.all(|segment| segment != b".." && segment != b"."));
            }
        }
    }
}
