//! What a client saw, whichever protocol it spoke; and the body that both sides can make and recognise.

use std::fmt;

/// One response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// 0 when the connection or stream ended before a status.
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// 1xx that came before.
    pub informational: Vec<u16>,
    /// Why it must not be taken as whole; `None` when it is whole.
    pub cut: Option<String>,
    /// The protocol that brought it: `h1` or `h2`.
    pub protocol: &'static str,
}

impl Answer {
    /// A response that never came, or never came whole.
    pub fn cut(protocol: &'static str, why: impl Into<String>) -> Self {
        Self {
            protocol,
            cut: Some(why.into()),
            ..Self::default()
        }
    }

    /// The value of a field; several lines are joined by `, `.
    pub fn field(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .fields
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    pub fn trailer(&self, name: &str) -> Option<&str> {
        self.trailers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    pub fn ray(&self) -> Option<String> {
        self.field("seawall-ray")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.protocol, self.status)?;
        if !self.informational.is_empty() {
            writeln!(f, "after {:?}", self.informational)?;
        }
        for (name, value) in &self.fields {
            writeln!(f, "{name}: {value}")?;
        }
        let shown = &self.body[..self.body.len().min(600)];
        writeln!(
            f,
            "({} bytes of body) {}",
            self.body.len(),
            String::from_utf8_lossy(shown).escape_debug()
        )?;
        for (name, value) in &self.trailers {
            writeln!(f, "trailer {name}: {value}")?;
        }
        match &self.cut {
            Some(why) => writeln!(f, "not whole: {why}"),
            None => writeln!(f, "whole"),
        }
    }
}

/// A body of any size in which every loss, repetition and exchange of blocks shows.
pub fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(pattern_byte).collect()
}

/// Where `body` leaves [`pattern`], of which it begins with the byte `from`; `None` when it never does.
pub fn leaves_pattern(body: &[u8], from: usize) -> Option<usize> {
    body.iter()
        .enumerate()
        .find(|(index, byte)| pattern_byte(from + *index) != **byte)
        .map(|(index, _)| index)
}

fn pattern_byte(index: usize) -> u8 {
    b'a' + ((index % 251 + index / 251 % 241 + index / 60_491) % 26) as u8
}

/// One byte for each character: scenarios write bytes above 0x7f as `\u0080` to `\u00ff`; what is above that as UTF-8.
pub fn bytes_of(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match u8::try_from(u32::from(character)) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// Lower-case names with their values, lossily.
pub fn fields_of(map: &http::HeaderMap) -> Vec<(String, String)> {
    map.iter()
        .map(|(n, v)| {
            (
                n.as_str().to_owned(),
                String::from_utf8_lossy(v.as_bytes()).into_owned(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_shows_losses() {
        let mut body = pattern(200_000);
        assert_eq!(leaves_pattern(&body, 0), None);
        body.drain(70_000..86_384);
        assert!(leaves_pattern(&body, 0).is_some_and(|at| at >= 70_000));
    }

    #[test]
    fn characters_are_bytes() {
        assert_eq!(bytes_of("a\r\n\0\u{80}\u{ff}"), b"a\r\n\0\x80\xff");
        assert_eq!(bytes_of("\u{20ac}"), "\u{20ac}".as_bytes());
    }
}
