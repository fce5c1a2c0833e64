//! A form as those read it who pass the coding of its body over (`Content-Encoding`): as fields among bytes that are none.
//!
//! Whoever writes a coded body can have any text in it: in the header of gzip, in what zstd skips, or as codes of other texts. Of
//! what is there by chance little is a field with a name of characters. Not here: which bodies are coded.

use super::{Sink, urlencoded};

/// Passes on what has a name.
struct Named<'s, S>(&'s mut S);

impl<S: Sink> Sink for Named<'_, S> {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool {
        // NUL ends a name for some, and begins an index `[`: what is in that may be anything.
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let outer = name.split(|byte| *byte == b'[').next().unwrap_or_default();
        let is_text = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        if !std::str::from_utf8(outer).is_ok_and(is_text) {
            return true;
        }
        // Coded bytes have in them by chance what rules refuse whatever else there is: controls, and what is no UTF-8.
        let mut text = Vec::with_capacity(value.len());
        for chunk in value.utf8_chunks() {
            let chars = chunk.valid().bytes();
            text.extend(chars.filter(|byte| !byte.is_ascii_control()));
        }
        self.0.argument(name, &text)
    }
}

/// Reads the fields among coded bytes.
pub(crate) fn fields(coded: &[u8], separator: u8, sink: &mut impl Sink) {
    urlencoded::read(coded, separator, &mut Named(sink));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Told;

    fn told(coded: &[u8]) -> Vec<(String, String)> {
        let mut told = Told::default();
        fields(coded, b'&', &mut told);
        told.0
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn fields_are_found_among_bytes_that_are_none() {
        let header = b"\x1f\x8b\x08\x10\0\0\0\0\0\x03&q=att%61ck+1&z=\0\x4b\xcc\x49=\x80&\xff=1";
        let z = "KI=";
        assert_eq!(told(header), [pair("q", "attack 1"), pair("z", z)]);
        assert_eq!(
            told(b"a&q\0\x80=1\0or\x001"),
            [pair("a", ""), pair("q", "1or1")]
        );
        assert_eq!(told(b"x\x80&q[\x80]=1")[0].1, "1");
        assert!(told(b"\x01=1&\x80a=1&%00=1&=1&[a]=1").is_empty());
        assert_eq!(told("gr\u{f6}\u{df}e=1".as_bytes()).len(), 1);
    }
}
