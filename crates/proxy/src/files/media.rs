//! The media type of a file, by its extension.

/// What a site is made of; all else is bytes.
pub(super) fn of(name: &[u8]) -> &'static [u8] {
    let last = name.rsplit(|byte| *byte == b'/').next().unwrap_or(name);
    let mut parts = last.rsplitn(2, |byte| *byte == b'.');
    let extension = parts.next().unwrap_or_default();
    // Without a dot, or with nothing before it, the whole is a name.
    if parts.next().is_none_or(<[u8]>::is_empty) {
        return UNKNOWN;
    }
    let known = KNOWN
        .iter()
        .find(|(known, _)| extension.eq_ignore_ascii_case(known));
    known.map_or(UNKNOWN, |(_, media)| media)
}

const UNKNOWN: &[u8] = b"application/octet-stream";

/// RFC 9239 for JavaScript; the rest is IANA's registry.
const KNOWN: &[(&[u8], &[u8])] = &[
    (b"html", b"text/html; charset=utf-8"),
    (b"htm", b"text/html; charset=utf-8"),
    (b"css", b"text/css; charset=utf-8"),
    (b"js", b"text/javascript; charset=utf-8"),
    (b"mjs", b"text/javascript; charset=utf-8"),
    (b"json", b"application/json"),
    (b"map", b"application/json"),
    (b"webmanifest", b"application/manifest+json"),
    (b"txt", b"text/plain; charset=utf-8"),
    (b"md", b"text/markdown; charset=utf-8"),
    (b"csv", b"text/csv; charset=utf-8"),
    (b"ics", b"text/calendar; charset=utf-8"),
    (b"vtt", b"text/vtt; charset=utf-8"),
    (b"xml", b"application/xml"),
    (b"xhtml", b"application/xhtml+xml"),
    (b"rss", b"application/rss+xml"),
    (b"atom", b"application/atom+xml"),
    (b"svg", b"image/svg+xml"),
    (b"png", b"image/png"),
    (b"jpg", b"image/jpeg"),
    (b"jpeg", b"image/jpeg"),
    (b"gif", b"image/gif"),
    (b"webp", b"image/webp"),
    (b"avif", b"image/avif"),
    (b"ico", b"image/vnd.microsoft.icon"),
    (b"woff2", b"font/woff2"),
    (b"woff", b"font/woff"),
    (b"ttf", b"font/ttf"),
    (b"otf", b"font/otf"),
    (b"wasm", b"application/wasm"),
    (b"pdf", b"application/pdf"),
    (b"zip", b"application/zip"),
    (b"gz", b"application/gzip"),
    (b"mp4", b"video/mp4"),
    (b"webm", b"video/webm"),
    (b"mp3", b"audio/mpeg"),
    (b"ogg", b"audio/ogg"),
    (b"wav", b"audio/wav"),
    (b"flac", b"audio/flac"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_extension_counts() {
        for (name, media) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/B.JS", "text/javascript; charset=utf-8"),
            ("app.tar.gz", "application/gzip"),
            ("html", "application/octet-stream"),
            (".html", "application/octet-stream"),
            ("a.html/b", "application/octet-stream"),
            ("a.", "application/octet-stream"),
            ("a.exe", "application/octet-stream"),
        ] {
            assert_eq!(of(name.as_bytes()), media.as_bytes(), "{name}");
        }
    }
}
