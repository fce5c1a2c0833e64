//! A copy of a head without its credentials: what is kept of real requests must not be worth stealing.
//!
//! What stands for a credential has its length and the class of each byte, so that rules about form and size judge it as they would
//! judge the original. Names of cookies and parameters stay.

use super::{Fields, RequestHead};
use crate::FieldId;

/// Words in the names of fields, cookies and parameters whose values are credentials, in lower case.
const TELLING: [&[u8]; 10] = [
    b"auth",
    b"token",
    b"secret",
    b"session",
    b"passw",
    b"pwd",
    b"api-key",
    b"api_key",
    b"apikey",
    b"signature",
];

impl RequestHead {
    /// A copy in which credentials are replaced by bytes of the same length and class: those of `Authorization`,
    /// `Proxy-Authorization` and `Cookie`, and of fields and parameters whose names tell. It has no room that is not used.
    pub fn masked(&self) -> Self {
        let mut copy = Self {
            fields: self.fields.compact(),
            ..*self
        };
        copy.fields.change_values(|id, name, value| match id {
            FieldId::Cookie => each_pair(value, b';', |_, value| mask(value)),
            FieldId::Referer => mask_query(value),
            _ if name.eq_ignore_ascii_case(b"authorization")
                || name.eq_ignore_ascii_case(b"proxy-authorization") =>
            {
                mask(after_scheme(value));
            }
            _ if is_telling(name) => mask(value),
            _ => {}
        });
        let target = copy.target_span.range();
        if let Some(target) = copy.fields.raw.get_mut(target) {
            mask_query(target);
        }
        copy
    }

    /// How many bytes of memory it holds, about.
    pub fn weight(&self) -> usize {
        let lines = self.fields.lines.len() * size_of::<super::Line>();
        size_of::<Self>() + self.fields.raw.len() + lines + 64
    }
}

impl Fields {
    /// A copy without the room that is left from heads before.
    fn compact(&self) -> Self {
        Self {
            raw: self.raw.clone(),
            lines: self.lines.get(..self.count).unwrap_or_default().to_vec(),
            count: self.count,
            present: self.present.clone(),
        }
    }

    /// Lets the value of each line be changed in place, by what its name is known as and the name itself.
    fn change_values(&mut self, mut change: impl FnMut(FieldId, &[u8], &mut [u8])) {
        for line in self.lines.iter().take(self.count) {
            let id = FieldId::from_number(line.kind as u8);
            let (start, end) = (line.value_start as usize, line.value_end as usize);
            if start > end || end > self.raw.len() {
                continue;
            }
            let (before, rest) = self.raw.split_at_mut(start);
            let name = before.get(line.name().range()).unwrap_or_default();
            if let Some(value) = rest.get_mut(..end - start) {
                change(id, name, value);
            }
        }
    }
}

fn mask_query(target: &mut [u8]) {
    let query = target.iter().position(|byte| *byte == b'?');
    let query = query.and_then(|mark| target.get_mut(mark + 1..));
    each_pair(query.unwrap_or_default(), b'&', |name, value| {
        if is_telling(name) {
            mask(value);
        }
    });
}

/// What comes after the name of a scheme (RFC 9110, 11.4).
fn after_scheme(value: &mut [u8]) -> &mut [u8] {
    let from = value.iter().position(|byte| *byte == b' ').unwrap_or(0);
    value.get_mut(from..).unwrap_or_default()
}

/// `name=value` by `name=value`.
fn each_pair(all: &mut [u8], between: u8, mut each: impl FnMut(&[u8], &mut [u8])) {
    for pair in all.split_mut(|byte| *byte == between) {
        let is = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = pair.split_at_mut(is.map_or(0, |is| is + 1));
        each(name, value);
    }
}

fn is_telling(name: &[u8]) -> bool {
    TELLING.iter().any(|word| {
        name.windows(word.len())
            .any(|part| part.eq_ignore_ascii_case(word))
    })
}

fn mask(value: &mut [u8]) {
    for byte in value {
        *byte = match *byte {
            b'a'..=b'z' => b'x',
            b'A'..=b'Z' => b'X',
            b'0'..=b'9' => b'0',
            other => other,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_gone_and_all_else_is_as_it_was() {
        let mut head = RequestHead::default();
        let request = b"GET /a?x=1&access_token=Abc-9&y=2 HTTP/1.1\r\n";
        head.fields.set_raw(request);
        head.target_span = super::super::Span::new(4, 29);
        for (name, value) in [
            ("Host", "a.test"),
            ("Authorization", "Bearer Zm9v.YmFy"),
            ("Cookie", "sid=Q1w2; theme=dark"),
            ("X-Api-Key", "k-77"),
            ("Referer", "http://a.test/?token=t1&b=2"),
            ("User-Agent", "curl/8.1 token"),
        ] {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        let masked = head.masked();
        assert_eq!(masked.target(), b"/a?x=1&access_token=Xxx-0&y=2");
        let shown: Vec<(&str, &str)> = masked
            .fields
            .iter()
            .map(|field| {
                let text = |bytes| std::str::from_utf8(bytes).unwrap();
                (text(field.name), text(field.value))
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("Host", "a.test"),
                ("Authorization", "Bearer Xx0x.XxXx"),
                ("Cookie", "sid=X0x0; theme=xxxx"),
                ("X-Api-Key", "x-00"),
                ("Referer", "http://a.test/?token=x0&b=2"),
                ("User-Agent", "curl/8.1 token"),
            ]
        );
        assert_eq!(masked.fields.raw().len(), head.fields.raw().len());
        assert!(masked.fields.has(FieldId::Cookie));
    }
}
