//! Transformations: each makes a text from a text, in linear time, as ModSecurity does.
//!
//! [`apply`] says whether something changed, so that texts that stay as they are need no copy; [`classes`] and [`touched`] say
//! without looking at the text again that nothing can change. Not here: fuel, and remembering (`texts`).

mod decode;
mod path;
mod space;

use md5::Md5;
use sha1::{Digest, Sha1};

pub(crate) use crate::vocabulary::Transformation;
pub(crate) use decode::hex_digit;

/// Appends what the transformation makes of the text. False, and nothing appended, when it stays as it is.
pub(crate) fn apply(transformation: Transformation, text: &[u8], out: &mut Vec<u8>) -> bool {
    use Transformation as T;
    let begin = out.len();
    match transformation {
        T::None => return false,
        T::CmdLine if space::is_cmd_line(text) => return false,
        T::CompressWhitespace if space::is_compressed(text) => return false,
        T::Base64Decode => decode::base64(text, false, out),
        T::Base64DecodeExt => decode::base64(text, true, out),
        T::Base64Encode => encode_base64(text, out),
        T::CmdLine => space::cmd_line(text, out),
        T::CompressWhitespace => space::compress(text, out),
        T::CssDecode => decode::css(text, out),
        T::EscapeSeqDecode => decode::escape_sequences(text, out),
        T::HexDecode => decode::hex(text, out),
        T::HexEncode => text.iter().for_each(|byte| push_hex(*byte, out)),
        T::HtmlEntityDecode => decode::html_entities(text, out),
        T::JsDecode => decode::js(text, out),
        T::Length => out.extend(text.len().to_string().bytes()),
        T::Lowercase => out.extend(text.iter().map(u8::to_ascii_lowercase)),
        T::Uppercase => out.extend(text.iter().map(u8::to_ascii_uppercase)),
        T::Md5 => out.extend(Md5::digest(text)),
        T::Sha1 => out.extend(Sha1::digest(text)),
        T::NormalisePath | T::NormalizePath => path::normalize(text, out),
        T::NormalisePathWin | T::NormalizePathWin => {
            let slashes: Vec<u8> = text
                .iter()
                .map(|byte| if *byte == b'\\' { b'/' } else { *byte })
                .collect();
            path::normalize(&slashes, out);
        }
        T::ParityEven7bit => out.extend(text.iter().map(|byte| parity(*byte, 0))),
        T::ParityOdd7bit => out.extend(text.iter().map(|byte| parity(*byte, 1))),
        T::ParityZero7bit => out.extend(text.iter().map(|byte| byte & 0x7f)),
        T::RemoveComments => space::remove_comments(text, out),
        T::RemoveCommentsChar => space::remove_comment_marks(text, out),
        T::RemoveNulls => out.extend(text.iter().filter(|byte| **byte != 0)),
        T::RemoveWhitespace => space::remove(text, out),
        T::ReplaceComments => space::replace_comments(text, out),
        T::ReplaceNulls => out.extend(
            text.iter()
                .map(|byte| if *byte == 0 { b' ' } else { *byte }),
        ),
        T::SqlHexDecode => decode::sql_hex(text, out),
        T::Trim => out.extend(space::trim_left(space::trim_right(text))),
        T::TrimLeft => out.extend(space::trim_left(text)),
        T::TrimRight => out.extend(space::trim_right(text)),
        T::UrlDecode => decode::url(text, false, out),
        T::UrlDecodeUni => decode::url(text, true, out),
        T::UrlEncode => encode_url(text, out),
        T::Utf8ToUnicode => decode::utf8_to_unicode(text, out),
    }
    if out.get(begin..) == Some(text) {
        out.truncate(begin);
        return false;
    }
    true
}

/// Kinds of bytes that a text has, as bits.
pub(crate) mod class {
    pub(crate) const UPPER: u16 = 1;
    pub(crate) const PERCENT: u16 = 2;
    pub(crate) const PLUS: u16 = 4;
    pub(crate) const AMPERSAND: u16 = 8;
    pub(crate) const BACKSLASH: u16 = 16;
    pub(crate) const SPACE: u16 = 32;
    pub(crate) const NUL: u16 = 64;
    pub(crate) const HIGH: u16 = 128;
    pub(crate) const SLASH: u16 = 256;
    /// `"`, `'`, `^`, `,`, `;`, `(`.
    pub(crate) const SHELL: u16 = 512;
    /// `*`, `-`, `#`, `!`, `>`.
    pub(crate) const COMMENT: u16 = 1024;
    pub(crate) const LOWER: u16 = 2048;
    pub(crate) const DOT: u16 = 4096;
    pub(crate) const LESS: u16 = 8192;
    pub(crate) const EQUALS: u16 = 16384;
    /// Everything else but digits and `_`.
    pub(crate) const OTHER: u16 = 32768;
    pub(crate) const ALL: u16 = u16::MAX;
}

const CLASSES: [u16; 256] = {
    let mut table = [0u16; 256];
    let mut byte = 0usize;
    while byte < 256 {
        #[expect(clippy::indexing_slicing, reason = "checked when it is compiled")]
        {
            table[byte] = class_of(byte as u8);
        }
        byte += 1;
    }
    table
};

const fn class_of(byte: u8) -> u16 {
    match byte {
        0 => class::NUL,
        b'A'..=b'Z' => class::UPPER,
        b'a'..=b'z' => class::LOWER,
        b'0'..=b'9' | b'_' => 0,
        b'%' => class::PERCENT,
        b'+' => class::PLUS,
        b'&' => class::AMPERSAND,
        b'\\' => class::BACKSLASH,
        b' ' | 9..=13 => class::SPACE,
        b'/' => class::SLASH,
        b'"' | b'\'' | b'^' | b',' | b';' | b'(' => class::SHELL,
        b'*' | b'-' | b'#' | b'!' | b'>' => class::COMMENT,
        b'.' => class::DOT,
        b'<' => class::LESS,
        b'=' => class::EQUALS,
        0x80.. => class::HIGH,
        _ => class::OTHER,
    }
}

/// The kinds of bytes in a text.
pub(crate) fn classes(text: &[u8]) -> u16 {
    text.iter().fold(0, |all, byte| {
        all | CLASSES.get(usize::from(*byte)).copied().unwrap_or(0)
    })
}

/// Texts without any of these kinds of bytes stay as they are.
pub(crate) const fn touched(transformation: Transformation) -> u16 {
    use Transformation as T;
    match transformation {
        T::None => 0,
        T::CmdLine => class::UPPER | class::BACKSLASH | class::SPACE | class::SHELL | class::SLASH,
        T::CompressWhitespace | T::RemoveWhitespace | T::Trim | T::TrimLeft | T::TrimRight => {
            class::SPACE | class::HIGH
        }
        T::CssDecode | T::EscapeSeqDecode | T::JsDecode => class::BACKSLASH,
        T::HtmlEntityDecode => class::AMPERSAND,
        T::Lowercase => class::UPPER,
        T::Uppercase => class::LOWER,
        T::NormalisePath | T::NormalizePath => class::SLASH | class::DOT,
        T::NormalisePathWin | T::NormalizePathWin => class::SLASH | class::DOT | class::BACKSLASH,
        T::RemoveComments | T::RemoveCommentsChar | T::ReplaceComments => {
            class::SLASH | class::COMMENT | class::LESS
        }
        T::RemoveNulls | T::ReplaceNulls => class::NUL,
        T::ParityZero7bit | T::Utf8ToUnicode => class::HIGH,
        T::UrlDecode | T::UrlDecodeUni => class::PERCENT | class::PLUS,
        _ => class::ALL,
    }
}

/// Whether even a text without bytes of any kind (digits only, or empty) may change.
pub(crate) const fn touches_all(transformation: Transformation) -> bool {
    use Transformation as T;
    matches!(
        transformation,
        T::Base64Decode
            | T::Base64DecodeExt
            | T::Base64Encode
            | T::HexDecode
            | T::HexEncode
            | T::Length
            | T::Md5
            | T::Sha1
            | T::ParityEven7bit
            | T::ParityOdd7bit
            | T::SqlHexDecode
            | T::UrlEncode
    )
}

fn push_hex(byte: u8, out: &mut Vec<u8>) {
    for half in [byte >> 4, byte & 15] {
        out.push(if half < 10 {
            b'0' + half
        } else {
            b'a' + half - 10
        });
    }
}

const fn parity(byte: u8, odd: u32) -> u8 {
    let seven = byte & 0x7f;
    if seven.count_ones() % 2 == odd {
        seven
    } else {
        seven | 0x80
    }
}

fn encode_base64(text: &[u8], out: &mut Vec<u8>) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in text.chunks(3) {
        let part = |nth: usize| u32::from(three.get(nth).copied().unwrap_or(0));
        let bits = part(0) << 16 | part(1) << 8 | part(2);
        for nth in 0..4 {
            let letter = LETTERS.get((bits >> (18 - 6 * nth) & 63) as usize);
            out.push(match letter {
                Some(letter) if nth <= three.len() => *letter,
                _ => b'=',
            });
        }
    }
}

fn encode_url(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b' ' => out.push(b'+'),
            b'*' => out.push(b'*'),
            byte if byte.is_ascii_alphanumeric() => out.push(*byte),
            byte => {
                out.push(b'%');
                push_hex(*byte, out);
            }
        }
    }
}

#[cfg(test)]
mod tests;
