//! One answer over HTTP/1.1, read whole: for clients of the bench's own.

use std::io::BufRead;

use anyhow::{Context as _, Result, bail};

/// An answer that came whole.
pub struct Answer {
    pub status: u16,
    /// The connection stays open.
    pub keeps: bool,
    pub body: Vec<u8>,
    /// Names and values, in lower case.
    fields: Vec<(String, String)>,
}

impl Answer {
    /// Reads one with a length. An error is one that did not come whole.
    pub fn read(from: &mut impl BufRead) -> Result<Self> {
        let mut answer = Self {
            status: 0,
            keeps: true,
            body: Vec::new(),
            fields: Vec::new(),
        };
        let mut line = String::new();
        loop {
            line.clear();
            if from.read_line(&mut line)? == 0 {
                bail!("closed");
            }
            let text = line.trim_end().to_ascii_lowercase();
            match text.split_once(": ") {
                None if text.is_empty() => break,
                None => answer.status = text.get(9..12).context("no status")?.parse()?,
                Some((name, value)) => answer.fields.push((name.to_owned(), value.to_owned())),
            }
        }
        answer.keeps = answer.field("connection") != Some("close");
        let length = answer.field("content-length").context("no length")?;
        answer.body = vec![0; length.parse()?];
        from.read_exact(&mut answer.body)?;
        Ok(answer)
    }

    /// The first value of a field, whose name is in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let mut two: &[u8] =
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Content-Type-Options: NoSniff\r\n\r\nhi\
            HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let first = Answer::read(&mut two).expect("whole");
        assert_eq!((first.status, first.keeps), (200, true));
        assert_eq!(first.body, b"hi");
        assert_eq!(first.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(first.field("via"), None);
        let second = Answer::read(&mut two).expect("whole");
        assert_eq!((second.status, second.keeps), (502, false));
        assert!(Answer::read(&mut two).is_err());
        for broken in [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
            "HTTP/1.1 200 OK\r\n\r\nhi",
        ] {
            assert!(Answer::read(&mut broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
