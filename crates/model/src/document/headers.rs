//! Edits of header fields that a zone's owner may ask for, and the fields that nobody may edit.

use crate::token::is_token;
use std::collections::BTreeSet;

use super::reader::Reader;
use super::write::Entries;
use crate::FieldId;
use crate::problem::{Wrong, quote};

/// Edits of a message's header: `remove`, then `set`, then `add`. Names are tokens, values printable ASCII.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Fields that replace all of their name. A value may be `secret://name`.
    pub set: Vec<(String, String)>,
    /// Fields that are appended.
    pub add: Vec<(String, String)>,
    /// Names of fields that are taken out.
    pub remove: Vec<String>,
}

impl HeaderEdits {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    pub(super) fn read(mut reader: Reader<'_, '_>, request: bool) -> Self {
        let edits = Self::take(&mut reader, request);
        reader.close();
        edits
    }

    /// The keys `set`, `add` and `remove` of a table that has others too.
    pub(super) fn take(reader: &mut Reader<'_, '_>, request: bool) -> Self {
        Self {
            set: pairs(reader, "set", request),
            add: pairs(reader, "add", request),
            remove: names(reader, "remove", request),
        }
    }

    pub(super) fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        self.write(&mut entries);
        entries
    }

    /// Writes the keys `set`, `add` and `remove`, those that are not empty.
    pub(super) fn write(&self, entries: &mut Entries) {
        for (name, pairs) in [("set", &self.set), ("add", &self.add)] {
            let mut table = Entries::default();
            for (field, value) in pairs {
                table.text(field, value);
            }
            entries.table_if(name, table);
        }
        entries.list_if("remove", &self.remove);
    }
}

/// A list of names of fields that may be edited, as they are written.
pub(super) fn names(reader: &mut Reader<'_, '_>, name: &str, request: bool) -> Vec<String> {
    let most = reader.limits.header_edits;
    let names = reader.list(name, most, |text| {
        check_name(text, request)?;
        Ok(text.to_owned())
    });
    names.unwrap_or_default()
}

fn pairs(reader: &mut Reader<'_, '_>, name: &str, request: bool) -> Vec<(String, String)> {
    let most = reader.limits.header_edits;
    let mut pairs = Vec::new();
    let mut seen = BTreeSet::new();
    for found in reader.open_pairs(name, most) {
        let text_bytes = reader.limits.text_bytes;
        let mut refuse = |wrong| reader.refuse_in(name, found.name, found.offset, wrong);
        if let Err(wrong) = check_name(found.name, request) {
            refuse(wrong);
            continue;
        }
        if !seen.insert(found.name.to_ascii_lowercase()) {
            refuse(Wrong::new(
                "is written twice",
                "field names are compared without case",
            ));
            continue;
        }
        let Some(value) = found.value.as_str() else {
            refuse(Wrong::new("is not text", "write the value in quotes"));
            continue;
        };
        match check_value(value, text_bytes) {
            Ok(()) => pairs.push((found.name.to_owned(), value.to_owned())),
            Err(wrong) => refuse(wrong),
        }
    }
    pairs
}

/// A field name that may be edited: a token (RFC 9110 §5.6.2) that neither frames a message nor belongs to one hop
/// (§7.6.1) nor is the edge's own to say.
fn check_name(name: &str, request: bool) -> Result<(), Wrong> {
    let wrong = |what: &str, help: &str| Err(Wrong::new(format!("{} {what}", quote(name)), help));
    if name.len() > 256 || !is_token(name.as_bytes()) {
        return wrong("is no field name", "letters, digits and `-`");
    }
    match FieldId::of(name.as_bytes()) {
        FieldId::Seawall | FieldId::CfAccess => {
            wrong("is a field that only the edge may write", "")
        }
        FieldId::Shadow => wrong(
            "is another field to servers that read `_` as `-`",
            "write it with `-`",
        ),
        FieldId::ContentLength | FieldId::Expect => wrong(
            "frames the message",
            "the edge writes it; it cannot be edited",
        ),
        // RFC 8586 §2 and RFC 9110 §7.6.3: they end loops between intermediaries only while nobody edits them.
        FieldId::Via | FieldId::CdnLoop => wrong("protects from loops", "it cannot be edited"),
        FieldId::Host if request => wrong("is set elsewhere", "write host = \"…\" in the origin"),
        id if id.bit() & FieldId::HOP_BY_HOP != 0 => wrong(
            "belongs to one connection",
            "the edge writes it for each; it cannot be edited",
        ),
        _ => Ok(()),
    }
}

/// A field value (RFC 9110 §5.5), in ASCII as that section asks of new fields.
fn check_value(value: &str, most: usize) -> Result<(), Wrong> {
    let printable = |byte: u8| (b' '..=b'~').contains(&byte) || byte == b'\t';
    if !value.bytes().all(printable) {
        let help = "printable ASCII, without line ends";
        return Err(Wrong::new(
            format!("{} is no field value", quote(value)),
            help,
        ));
    }
    if value.trim() != value {
        return Err(Wrong::new(
            format!("{} has white space around it", quote(value)),
            "leave it out",
        ));
    }
    if value.len() > most {
        return Err(Wrong::new(
            format!("is {} bytes long", value.len()),
            format!("at most {most} bytes"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_frame_or_belong_to_a_hop_or_to_us_are_refused() {
        for name in [
            "Content-Length",
            "transfer-encoding",
            "Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Upgrade",
            "Via",
            "CDN-Loop",
            "Seawall-Ray",
            "Cf-Access-Jwt-Assertion",
            "content_length",
            "Proxy-Connection",
            "Expect",
            "Proxy-Authorization",
            "HTTP2-Settings",
            "",
            "a b",
            "a:",
            "ä",
            "Host",
        ] {
            assert!(check_name(name, true).is_err(), "{name}");
        }
        for name in [
            "X-Robots-Tag",
            "Authorization",
            "X-Forwarded-For",
            "Server",
            "my_own",
        ] {
            assert_eq!(check_name(name, true), Ok(()), "{name}");
        }
        assert_eq!(check_name("Host", false), Ok(()));
    }

    #[test]
    fn values_are_printable_and_trimmed() {
        for value in ["", "a b", "a\tb", "secret://token", "~!"] {
            assert_eq!(check_value(value, 64), Ok(()), "{value}");
        }
        for value in ["a\r\nb: c", "a\0", " a", "a ", "ä", "\u{7f}"] {
            assert!(check_value(value, 64).is_err(), "{value}");
        }
        assert!(check_value(&"a".repeat(65), 64).is_err());
    }
}
