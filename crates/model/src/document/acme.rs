//! Where certificates come from that come by themselves: the section `[edge.acme]`.

use std::path::PathBuf;

use super::reader::{Reader, put};
use super::value::printable;
use super::write::Entries;
use crate::host::HostPattern;
use crate::problem::{Wrong, quote};

/// Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Authorities to fall back to: more make no site safer.
const MOST_DIRECTORIES: usize = 8;
/// Words of the hook's command.
const MOST_WORDS: usize = 32;

/// The section `[edge.acme]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// Whom the authority writes to; none is nobody.
    pub contact: Option<String>,
    /// Directories of authorities; the next is tried when one fails. Default Let's Encrypt.
    pub directories: Vec<String>,
    /// PEM of the authorities of their own TLS; none is the public ones.
    pub ca: Option<PathBuf>,
    /// How names are verified, in the order in which they are tried: `tls-alpn-01`, `http-01`, `dns-01`.
    pub challenges: Vec<String>,
    /// The command that sets TXT records for `dns-01`.
    pub dns_hook: Vec<String>,
    /// Names that get a certificate when a client first asks for them. Default: none.
    pub on_demand: Vec<HostPattern>,
    /// So many of those at most. Default 1,000.
    pub on_demand_most: u32,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            contact: None,
            directories: vec![LETS_ENCRYPT.into()],
            ca: None,
            challenges: vec!["tls-alpn-01".into(), "http-01".into()],
            dns_hook: Vec::new(),
            on_demand: Vec::new(),
            on_demand_most: 1000,
        }
    }
}

impl Acme {
    pub(super) fn read(mut reader: Reader<'_, '_>) -> Self {
        let mut acme = Self::default();
        let most = reader.limits.hosts_per_zone;
        acme.contact = reader.parsed("contact", contact);
        put(
            &mut acme.directories,
            reader.list("directories", MOST_DIRECTORIES, directory),
        );
        acme.ca = reader.file("ca");
        if let Some(words) = reader.words("challenges") {
            acme.challenges = words.into_iter().map(str::to_owned).collect();
        }
        let word = |text: &str| printable(text, 4096);
        put(
            &mut acme.dns_hook,
            reader.list("dns_hook", MOST_WORDS, word),
        );
        put(
            &mut acme.on_demand,
            reader.list("on_demand", most, HostPattern::parse),
        );
        put(&mut acme.on_demand_most, reader.number("on_demand_most"));
        if acme.challenges.iter().any(|word| word == "dns-01") && acme.dns_hook.is_empty() {
            let help = "write dns_hook = [\"/path/to/command\"]: it is run as `COMMAND present|cleanup RECORD VALUE`";
            reader.refuse("challenges", None, Wrong::new("dns-01 needs a hook", help));
        }
        if acme.directories.is_empty() {
            let help = "leave it out for Let's Encrypt, or name a directory";
            reader.refuse("directories", None, Wrong::new("is empty", help));
        }
        reader.close();
        acme
    }

    pub(super) fn entries(&self) -> Entries {
        let default = Self::default();
        let mut entries = Entries::default();
        entries.text_if("contact", self.contact.as_deref());
        if self.directories != default.directories {
            entries.list("directories", &self.directories);
        }
        entries.text_if(
            "ca",
            self.ca.as_ref().map(|ca| ca.to_string_lossy()).as_deref(),
        );
        if self.challenges != default.challenges {
            entries.list("challenges", &self.challenges);
        }
        entries.list_if("dns_hook", &self.dns_hook);
        entries.list_if("on_demand", &self.on_demand);
        entries.number(
            "on_demand_most",
            self.on_demand_most,
            default.on_demand_most,
        );
        entries
    }
}

fn directory(text: &str) -> Result<String, Wrong> {
    let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    let good = text.starts_with("https://") || local.iter().any(|local| text.starts_with(local));
    if good && text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    let help = format!("write an https URL, such as \"{LETS_ENCRYPT}\"");
    Err(Wrong::new(
        format!("{} is no authority's directory", quote(text)),
        help,
    ))
}

/// Reads an address for mail.
///
/// # Errors
/// When it is none.
pub fn contact(text: &str) -> Result<String, Wrong> {
    let fits =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b'?' | b'%' | b'<' | b'>');
    let parts = text.split_once('@');
    let good = parts
        .is_some_and(|(user, host)| !user.is_empty() && host.contains('.') && !host.contains('@'));
    if good && text.len() <= 254 && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    let what = format!("{} is no mail address", quote(text));
    Err(Wrong::new(what, "write one such as me@example.com"))
}

#[cfg(test)]
mod tests {
    use crate::Limits;
    use crate::document::parse;

    #[test]
    fn wrong_values_are_told_with_their_fix() {
        for (line, says) in [
            (
                "contact = \"me\"",
                "edge.acme.contact: \"me\" is no mail address (write one such as me@example.com",
            ),
            (
                "directories = []",
                "edge.acme.directories: is empty (leave it out for Let's Encrypt",
            ),
            (
                "directories = [\"http://acme.test/\"]",
                "is no authority's directory (write an https URL",
            ),
            (
                "challenges = [\"dns-01\"]",
                "edge.acme.challenges: dns-01 needs a hook (write dns_hook",
            ),
            ("challenges = [\"http\"]", "edge.acme.challenges"),
            ("on_demand = [\"*.*\"]", "edge.acme.on_demand"),
            ("on_demand_most = 0", "edge.acme.on_demand_most"),
        ] {
            let text = format!("schema = 1\n[edge.acme]\n{line}\n");
            let told = parse(&text, &Limits::default()).unwrap_err().to_string();
            assert!(told.contains(says), "{line}: {told}");
        }
    }
}
