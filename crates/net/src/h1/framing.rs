//! What a head's fields say about where the message ends and what becomes of the connection (RFC 9112 §6, §9).

use seawall_model::{FieldId, Fields, HttpVersion};

use super::Reject;
use super::lines::is_token;

/// The length that the fields declare, before method and status have their say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    Nothing,
    Length(u64),
    Chunked,
}

/// The names in `Connection` of fields that end at this hop and must not be sent on (RFC 9110 §7.6.1).
///
/// Left out are the options `close` and `keep-alive`; fields that end at each hop anyway ([`FieldId::HOP_BY_HOP`]); and
/// fields that we know to be meant for everybody: a client must not be able to take `Cookie` or `X-Forwarded-For` out of
/// a request by naming it here.
pub fn connection_named(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    fields
        .all(FieldId::Connection)
        .flat_map(elements)
        .filter(|option| names_a_field(option))
}

/// What `Connection` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ConnectionOptions {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    /// [`connection_named`] has something to say.
    pub names_fields: bool,
    /// An option is no token, or names a field that says where a message ends or whom it is for.
    pub is_malformed: bool,
}

impl ConnectionOptions {
    #[inline]
    pub fn of(fields: &Fields) -> Self {
        let mut options = Self::default();
        // What nearly all say, and one comparison answers (a `match` would compare byte by byte).
        match fields.only(FieldId::Connection) {
            Some(only) if only == b"keep-alive" => options.keep_alive = true,
            Some(only) if only == b"close" => options.close = true,
            _ => options.read(fields),
        }
        options
    }

    #[cold]
    #[inline(never)]
    fn read(&mut self, fields: &Fields) {
        for option in fields.all(FieldId::Connection).flat_map(elements) {
            if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.names_fields |= names_a_field(option);
                self.is_malformed |= !is_token(option)
                    || matches!(
                        FieldId::of(option),
                        FieldId::Host | FieldId::ContentLength | FieldId::TransferEncoding
                    );
            }
        }
    }

    /// Whether the connection outlives the message (RFC 9112 §9.3).
    pub fn persistent(self, version: HttpVersion) -> bool {
        !self.close && (self.keep_alive || version != HttpVersion::Http10)
    }
}

fn names_a_field(option: &[u8]) -> bool {
    FieldId::of(option) == FieldId::Other && !option.eq_ignore_ascii_case(b"close")
}

/// The elements of a comma-separated list, without the white space around them; empty ones do not count
/// (RFC 9110 §5.6.1).
pub(super) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',')
        .map(trim)
        .filter(|element| !element.is_empty())
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// What `Content-Length` and `Transfer-Encoding` declare (RFC 9112 §6.1 to §6.3).
///
/// Stricter than the RFC: a `Content-Length` that is repeated or a list is refused even if all its values are equal, and
/// so is a message that carries both fields. The only transfer coding is one single `chunked`.
pub(super) fn declared(fields: &Fields, version: HttpVersion) -> Result<Declared, Reject> {
    let length = match fields.has(FieldId::ContentLength) {
        true => Some(content_length(fields)?),
        false => None,
    };
    if fields.has(FieldId::TransferEncoding) {
        if length.is_some() {
            return Err(Reject::bad("both_length_and_encoding", "RFC 9112 §6.3"));
        }
        return chunked(fields, version);
    }
    Ok(length.map_or(Declared::Nothing, Declared::Length))
}

fn content_length(fields: &Fields) -> Result<u64, Reject> {
    let value = fields
        .only(FieldId::ContentLength)
        .ok_or(Reject::bad("duplicate_content_length", "RFC 9112 §6.3"))?;
    // Of up to 18 digits none can overflow, which nearly all are: one pass for them.
    if let 1..=18 = value.len() {
        let (length, digits) = value.iter().fold((0u64, true), |(length, digits), byte| {
            let digit = byte.wrapping_sub(b'0');
            (length * 10 + u64::from(digit & 15), digits && digit < 10)
        });
        return match digits {
            true => Ok(length),
            false => Err(Reject::bad("bad_content_length", "RFC 9110 §8.6")),
        };
    }
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Reject::bad("bad_content_length", "RFC 9110 §8.6"));
    }
    value
        .iter()
        .try_fold(0u64, |length, digit| {
            length.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
        .ok_or(Reject::bad("content_length_overflow", "RFC 9110 §8.6"))
}

fn chunked(fields: &Fields, version: HttpVersion) -> Result<Declared, Reject> {
    if version == HttpVersion::Http10 {
        return Err(Reject::bad("encoding_in_http10", "RFC 9112 §6.1"));
    }
    let value = fields
        .only(FieldId::TransferEncoding)
        .ok_or(Reject::bad("duplicate_transfer_encoding", "RFC 9112 §6.1"))?;
    if value.eq_ignore_ascii_case(b"chunked") {
        Ok(Declared::Chunked)
    } else if is_token(value) && !value.eq_ignore_ascii_case(b"identity") {
        Err(Reject::new(501, "unknown_transfer_coding", "RFC 9112 §6.1"))
    } else {
        Err(Reject::bad("bad_transfer_encoding", "RFC 9112 §6.1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[test]
    fn connection_names_only_fields_of_nobody_else() {
        let lines = fields(&[
            ("Connection", "close, X-Mine,, Cookie,TE , x_forwarded_for"),
            (
                "connection",
                "\tX-Forwarded-For,keep-alive, X-Other, upgrade, Seawall-Ray",
            ),
        ]);
        let named: Vec<&[u8]> = connection_named(&lines).collect();
        assert_eq!(named, [&b"X-Mine"[..], b"X-Other"]);
        let options = ConnectionOptions::of(&lines);
        assert!(options.close && options.keep_alive && options.upgrade && options.names_fields);
        assert!(!options.is_malformed);
        assert!(!options.persistent(HttpVersion::Http11));
    }

    #[test]
    fn plain_options_name_no_field() {
        for value in [
            "keep-alive",
            "Close",
            "Upgrade, HTTP2-Settings",
            "TE, close",
            "",
            ", ,",
        ] {
            let lines = fields(&[("Connection", value)]);
            assert!(!ConnectionOptions::of(&lines).names_fields, "{value}");
            assert_eq!(connection_named(&lines).count(), 0, "{value}");
        }
        assert_eq!(
            ConnectionOptions::of(&fields(&[])),
            ConnectionOptions::default()
        );
    }

    #[test]
    fn options_that_would_tear_a_message_apart_are_malformed() {
        for value in [
            "Host",
            "close, content-length",
            "Transfer-Encoding",
            "a b",
            "close;x",
            "\"close\"",
            "é",
        ] {
            assert!(
                ConnectionOptions::of(&fields(&[("Connection", value)])).is_malformed,
                "{value}"
            );
        }
    }

    #[test]
    fn lengths_are_digits_and_fit() {
        let length = |value| declared(&fields(&[("Content-Length", value)]), HttpVersion::Http11);
        assert_eq!(length("0"), Ok(Declared::Length(0)));
        assert_eq!(length("007"), Ok(Declared::Length(7)));
        assert_eq!(
            length("18446744073709551615"),
            Ok(Declared::Length(u64::MAX))
        );
        assert_eq!(
            length("18446744073709551616").map_err(|r| r.reason),
            Err("content_length_overflow")
        );
        for value in [
            "", "+5", "-5", "5,5", "5, 5", "5 5", "0x5", "5.0", "5\t", "٥", "1e3", "5;", "a",
        ] {
            assert_eq!(
                length(value).map_err(|r| r.reason),
                Err("bad_content_length"),
                "{value}"
            );
        }
    }
}
