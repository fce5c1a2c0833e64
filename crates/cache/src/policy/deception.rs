//! Web cache deception: somebody is led to `/account/x.css`, whose origin ignores what it does not know and answers with the account;
//! a rule takes it for a style sheet and stores it, and whoever set the trap fetches it.
//!
//! What an origin says itself of how long an answer is fresh is believed. Where only a rule says so, the answer must be what the path
//! looks like, and the path one that edge and origin cannot read in two ways.

use seawall_model::{FieldId, Fields};

use crate::key::without_dots;

/// Whether an answer may be another one's page behind a path that looks like a file.
pub(super) fn may_be(target: &[u8], response: &Fields) -> bool {
    let path = target.split(|byte| *byte == b'?').next();
    let path = path.unwrap_or_default();
    is_ambiguous(path) || !is_what_it_looks_like(path, response)
}

/// A delimiter in disguise, or dots that go up: which part of it an origin goes by, nobody knows.
fn is_ambiguous(path: &[u8]) -> bool {
    let mut rest = path;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'\\', _) => return true,
            (b'%', [high, low, ..]) => {
                let pair = [high.to_ascii_lowercase(), low.to_ascii_lowercase()];
                // Control bytes; # . / ; ? \ and % itself, which may be decoded twice.
                let is_control = matches!(pair, [b'0' | b'1', _] | [b'7', b'f']);
                let meant = [b"23", b"25", b"2e", b"2f", b"3b", b"3f", b"5c"];
                if is_control || meant.into_iter().any(|code| *code == pair) {
                    return true;
                }
            }
            _ => {}
        }
    }
    path.windows(2).any(|pair| pair == b"/.") && without_dots(path) != path
}

/// Of a path that ends like a file of a kind that is the same for all: whether the answer is of that kind.
fn is_what_it_looks_like(path: &[u8], response: &Fields) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let Some(at) = name.iter().rposition(|byte| *byte == b'.') else {
        return true;
    };
    let extension = name.get(at + 1..).unwrap_or_default().to_ascii_lowercase();
    let Some(kinds) = kinds(&extension) else {
        return true;
    };
    let media = response.only(FieldId::ContentType).unwrap_or_default();
    let media = media.split(|byte| *byte == b';').next().unwrap_or_default();
    let media = media.trim_ascii().to_ascii_lowercase();
    // What says of itself that it is no page is none: nobody's account is plain text.
    matches!(&*media, b"application/octet-stream" | b"text/plain")
        || kinds.iter().any(|kind| media.starts_with(kind.as_bytes()))
}

/// What media types of files with this extension begin with; none for what may be made for one client.
fn kinds(extension: &[u8]) -> Option<&'static [&'static str]> {
    const SCRIPT: &[&str] = &[
        "application/javascript",
        "text/javascript",
        "application/x-javascript",
        "application/ecmascript",
    ];
    const FONT: &[&str] = &[
        "font/",
        "application/font",
        "application/x-font",
        "application/vnd.ms-fontobject",
    ];
    const MEDIA: &[&str] = &[
        "video/",
        "audio/",
        "application/ogg",
        "application/mp4",
        "application/dash",
        "application/vnd.apple.mpegurl",
        "application/x-mpegurl",
    ];
    const ARCHIVE: &[&str] = &[
        "application/zip",
        "application/gzip",
        "application/x-",
        "application/vnd.",
        "application/java-archive",
        "application/zstd",
    ];
    const DOCUMENT: &[&str] = &[
        "application/pdf",
        "application/msword",
        "application/vnd.",
        "application/rtf",
        "application/epub",
        "application/postscript",
    ];
    Some(match extension {
        b"css" => &["text/css"],
        b"js" | b"mjs" => SCRIPT,
        b"map" => &["application/json"],
        b"wasm" => &["application/wasm"],
        b"txt" => &[],
        b"csv" => &["text/csv"],
        b"bmp" | b"gif" | b"ico" | b"jpg" | b"jpeg" | b"png" | b"webp" | b"avif" | b"svg"
        | b"svgz" | b"tif" | b"tiff" | b"jxl" | b"pict" => &["image/"],
        b"woff" | b"woff2" | b"ttf" | b"otf" | b"eot" => FONT,
        b"mp3" | b"mp4" | b"m4a" | b"m4s" | b"m4v" | b"ogg" | b"oga" | b"ogv" | b"webm"
        | b"mkv" | b"mov" | b"avi" | b"wav" | b"flac" | b"aac" | b"mid" | b"midi" | b"ts"
        | b"m3u8" | b"mpd" => MEDIA,
        b"zip" | b"gz" | b"tgz" | b"bz2" | b"xz" | b"zst" | b"7z" | b"rar" | b"tar" | b"jar"
        | b"apk" | b"dmg" | b"exe" | b"iso" | b"bin" | b"class" => ARCHIVE,
        b"pdf" | b"doc" | b"docx" | b"xls" | b"xlsx" | b"ppt" | b"pptx" | b"rtf" | b"epub"
        | b"ps" | b"eps" => DOCUMENT,
        _ => return None,
    })
}
