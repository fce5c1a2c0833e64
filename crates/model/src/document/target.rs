//! What redirects and rewrites of rules lead to: texts, which are looked at here, and expressions, which are compiled where rules run.

use super::reader::Reader;
use super::rule::LONGEST_WHEN;
use super::write::Entries;
use crate::host::Host;
use crate::problem::{Wrong, quote};
use crate::view;

/// What a redirect or a rewrite leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleTarget {
    /// This text, the same for all requests.
    Text(String),
    /// What this value of the language of rules makes of each request; as it was written, at most 4096 bytes.
    Expression(String),
}

impl Default for RuleTarget {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl RuleTarget {
    /// Reads the text of `name`, or the expression of `name_expression`; never both.
    pub(super) fn read(
        reader: &mut Reader<'_, '_>,
        name: &str,
        text: impl FnOnce(&str) -> Result<String, Wrong>,
    ) -> Option<Self> {
        let long = format!("{name}_expression");
        if let (Some(found), Some(_)) = (reader.peek(&long), reader.peek(name)) {
            let wrong = Wrong::new(format!("excludes {name}"), "remove one of the two");
            reader.refuse(&long, Some(found.offset), wrong);
        }
        let made = reader.lines(&long, LONGEST_WHEN).map(Self::Expression);
        let plain = reader.parsed(name, text).map(Self::Text);
        made.or(plain)
    }

    pub(super) fn write(&self, entries: &mut Entries, name: &str) {
        match self {
            Self::Text(text) => entries.text(name, text),
            Self::Expression(text) => entries.text(&format!("{name}_expression"), text),
        }
    }
}

/// The characters of a URI (RFC 3986 §2) but for brackets, which only hosts have.
fn check_uri(text: &str, what: &str) -> Result<(), Wrong> {
    let stranger = |byte: u8| !byte.is_ascii_graphic() || b"\"<>[\\]^`{|}".contains(&byte);
    if text.bytes().any(stranger) {
        let help = "letters, digits and -._~:/?#@!$&'()*+,;=%; the rest as %XX";
        return Err(Wrong::new(format!("{} is no {what}", quote(text)), help));
    }
    Ok(())
}

/// Where a redirect leads: an absolute URL, or a path on the same host.
pub(super) fn redirect_to(text: &str) -> Result<String, Wrong> {
    let behind = redirect_rest(text)?;
    let what = if text.starts_with('/') { "path" } else { "URL" };
    check_uri(behind, what).map(|()| text.to_owned())
}

/// Of what a redirect leads to the path, query and fragment; their characters are not looked at.
///
/// # Errors
/// It is neither a URL with a host nor a path on the same host, or browsers would read another host in it.
pub fn redirect_rest(text: &str) -> Result<&str, Wrong> {
    let wrong = |what: &str, help: &str| Err(Wrong::new(format!("{} {what}", quote(text)), help));
    if text.starts_with("//") || text.starts_with("/\\") {
        return wrong("is another host to browsers", "write https:// and the host");
    }
    if text.starts_with('/') {
        return Ok(text);
    }
    let help = "write https://…, http://…, or a path that begins with `/`";
    let Some((scheme, rest)) = text.split_once("://") else {
        return wrong("is neither a URL nor a path", help);
    };
    if !["http", "https"].contains(&scheme) {
        return wrong("has no known scheme", help);
    }
    let split = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at_checked(split).unwrap_or((rest, ""));
    if authority.contains('@') {
        return wrong("has a user name or password", "leave it out");
    }
    Host::parse_with_port(authority)?;
    Ok(behind)
}

/// A path for origins: in its normal form, so that no other spelling is judged than the one that is sent, and none of ours.
pub(super) fn own_path(text: &str) -> Result<String, Wrong> {
    let wrong = |what: &str, help: String| Err(Wrong::new(format!("{} {what}", quote(text)), help));
    if !text.starts_with('/') || text.contains(['?', '#']) {
        let help = "it begins with `/`; a query stands in `query`";
        return wrong("is no path", help.into());
    }
    // `\` is named by the normal form, which is what was meant.
    check_uri(&text.replace('\\', "/"), "path")?;
    let mut normal = Vec::new();
    view::normalise(text.as_bytes(), &mut normal);
    let normal = String::from_utf8_lossy(&normal);
    if normal != text {
        let help = format!("did you mean {}?", quote(&normal));
        return wrong("is not the plain form of a path", help);
    }
    if normal == "/.seawall" || normal.starts_with("/.seawall/") {
        return wrong("is the edge's own", "no origin has it".into());
    }
    Ok(text.to_owned())
}

/// Whole segments of a path: `/api`, `/api/v2`.
pub(super) fn prefix(text: &str) -> Result<String, Wrong> {
    let path = own_path(text)?;
    match path.strip_suffix('/') {
        None => Ok(path),
        Some("") => Err(Wrong::new(
            "\"/\" is before every path",
            "leave it out, or write a segment such as \"/api\"",
        )),
        Some(plain) => Err(Wrong::new(
            format!("{} ends in a slash", quote(text)),
            format!("write {}: whole segments are meant", quote(plain)),
        )),
    }
}

pub(super) fn query(text: &str) -> Result<String, Wrong> {
    if let Some(plain) = text.strip_prefix('?') {
        let what = format!("{} begins with `?`", quote(text));
        return Err(Wrong::new(what, format!("write {}", quote(plain))));
    }
    if text.contains('#') {
        let what = format!("{} is no query", quote(text));
        return Err(Wrong::new(what, "`#` ends it; write %23"));
    }
    check_uri(text, "query").map(|()| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told<T: std::fmt::Debug>(result: Result<T, Wrong>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn redirects_lead_to_urls_and_paths_only() {
        for good in [
            "https://example.com",
            "http://example.com:8080/a?b=c",
            "https://[2001:db8::1]/x",
            "/",
            "/a/b?c#d",
        ] {
            assert_eq!(redirect_to(good).as_deref(), Ok(good));
        }
        for (bad, says) in [
            ("", "neither a URL nor a path"),
            ("example.com", "neither a URL nor a path"),
            ("javascript:alert(1)", "neither a URL nor a path"),
            ("javascript://x/%0aalert(1)", "no known scheme"),
            ("//evil.test/x", "another host to browsers"),
            ("/\\evil.test", "another host to browsers"),
            ("https://u:p@a.test/", "user name or password"),
            ("https:///x", ""),
            ("/a b", "is no path"),
            ("/ä", "is no path"),
            ("/<script>", "is no path"),
            ("https://a.test/\"", "is no URL"),
        ] {
            assert!(told(redirect_to(bad)).contains(says), "{bad}");
        }
    }

    #[test]
    fn paths_are_plain_and_none_of_ours() {
        for good in ["/", "/a/b.c", "/a%20b/", "/.seawallet"] {
            assert_eq!(own_path(good).as_deref(), Ok(good));
        }
        for (bad, says) in [
            ("", "it begins with `/`"),
            ("a", "it begins with `/`"),
            ("/a?b", "a query stands in `query`"),
            ("/a b", "the rest as %XX"),
            ("/a/../b", "did you mean \"/b\"?"),
            ("/a//b", "did you mean \"/a/b\"?"),
            ("/a\\b", "did you mean \"/a/b\"?"),
            ("/%61", "did you mean \"/a\"?"),
            ("/.seawall", "the edge's own"),
            ("/.seawall/trace", "the edge's own"),
            ("/.%73eawall/trace", "did you mean"),
        ] {
            assert!(told(own_path(bad)).contains(says), "{bad}");
        }
    }

    #[test]
    fn prefixes_are_whole_segments() {
        assert_eq!(prefix("/api/v2").as_deref(), Ok("/api/v2"));
        assert!(told(prefix("/api/")).contains("write \"/api\""));
        assert!(told(prefix("/")).contains("is before every path"));
        assert!(prefix("api").is_err());
    }

    #[test]
    fn queries_stand_without_their_mark() {
        for good in ["", "a=b&c=%20", "x?y/z"] {
            assert_eq!(query(good).as_deref(), Ok(good));
        }
        assert!(told(query("?a=b")).contains("write \"a=b\""));
        assert!(told(query("a#b")).contains("%23"));
        assert!(query("a b").is_err());
    }
}
