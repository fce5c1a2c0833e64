//! The page that the edge shows when something failed: what, in plain words, where on the way from the visitor to the
//! origin, and the ray id by which the request is found again. HTML, JSON (RFC 9457) or text, as the client prefers.
//!
//! Everything that comes from outside is escaped for where it stands, cleaned of control characters and bounded; the page
//! asks for nothing else (no script, no font, no picture), because what failed may be the network.
//!
//! Not here: status line and fields (`Proxy-Status`, `Seawall-Ray`), and which fault it was.

mod accept;

use accept::Form;

/// A fitting `Content-Security-Policy` of these pages: its own style, nothing else.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

const TEMPLATE: &str = include_str!("../assets/error.html");

/// Of each text that comes from outside, so many characters are shown.
const LONGEST: usize = 500;

/// Where on the way it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// With us.
    Edge,
    /// With the site's own server.
    Origin,
    /// With the request itself.
    Client,
    /// Nothing failed: the site's owner is at work on it.
    Maintenance,
}

impl Fault {
    /// One word for logs and machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Origin => "origin",
            Self::Client => "client",
            Self::Maintenance => "maintenance",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Edge => {
                "The fault lies with the edge, not with you and not with the site's own server."
            }
            Self::Origin => "You and the edge are fine; the fault lies with the site's own server.",
            Self::Client => "The edge is fine, but could not accept this request as it was sent.",
            Self::Maintenance => "Nothing is broken: the site's owner is at work on it.",
        }
    }

    /// How you, the edge and the origin fared.
    fn stations(self) -> [Station; 3] {
        match self {
            Self::Edge => [
                Station::Working,
                Station::Failed("Failed"),
                Station::Idle("Not reached"),
            ],
            Self::Origin => [
                Station::Working,
                Station::Working,
                Station::Failed("Failed"),
            ],
            Self::Client => [
                Station::Failed("Not accepted"),
                Station::Working,
                Station::Idle("Not asked"),
            ],
            Self::Maintenance => [
                Station::Working,
                Station::Working,
                Station::Idle("Maintenance"),
            ],
        }
    }
}

/// What to tell.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The response's status code.
    pub status: u16,
    /// Who failed.
    pub who: Fault,
    /// What happened, a sentence in plain words.
    pub what: &'a str,
    /// What the reader can do, a sentence or two in plain words.
    pub help: &'a str,
    /// The ray id, with its location.
    pub ray: &'a str,
    /// The edge's location.
    pub location: &'a str,
    /// The host that was asked for, as the client sent it.
    pub host: &'a [u8],
    /// The time, as it shall be shown.
    pub time: &'a str,
}

/// Appends the page to `out` in the form that the `Accept` field asks for, and returns its content type. Without the
/// field, and for a mere `*/*`, it is text: browsers ask for HTML by name, tools do not.
pub fn render(page: &Page<'_>, accept: Option<&[u8]>, out: &mut Vec<u8>) -> &'static str {
    match Form::wanted(accept) {
        Form::Html => {
            page.html(out);
            "text/html; charset=utf-8"
        }
        Form::Json => {
            page.json(out);
            "application/problem+json"
        }
        Form::Text => {
            page.text(out);
            "text/plain; charset=utf-8"
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Station {
    Working,
    Failed(&'static str),
    Idle(&'static str),
}

impl Station {
    fn class(self) -> &'static str {
        match self {
            Self::Working => "ok",
            Self::Failed(_) => "bad",
            Self::Idle(_) => "idle",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Working => "Working",
            Self::Failed(word) | Self::Idle(word) => word,
        }
    }

    fn mark(self) -> &'static str {
        match self {
            Self::Working => "[ok]",
            Self::Failed(_) => "[!!]",
            Self::Idle(_) => "[--]",
        }
    }
}

impl Page<'_> {
    fn html(&self, out: &mut Vec<u8>) {
        let mut rest = TEMPLATE;
        while let Some((before, marked)) = rest.split_once("{{") {
            out.extend_from_slice(before.as_bytes());
            let Some((name, after)) = marked.split_once("}}") else {
                break;
            };
            self.with_value(name, |value| write_clean(out, value, in_html));
            rest = after;
        }
        out.extend_from_slice(rest.as_bytes());
    }

    fn with_value(&self, name: &str, write: impl FnOnce(&[u8])) {
        let [you, edge, origin] = self.who.stations();
        let value = match name {
            "status" => return write(self.status.to_string().as_bytes()),
            "host" => return write(self.host),
            "title" => title(self.status),
            "what" => self.what,
            "help" => self.help,
            "who" => self.who.sentence(),
            "ray" => self.ray,
            "location" => self.location,
            "time" => self.time,
            "you" => you.class(),
            "edge" => edge.class(),
            "origin" => origin.class(),
            "you_word" => you.word(),
            "edge_word" => edge.word(),
            "origin_word" => origin.word(),
            _ => "",
        };
        write(value.as_bytes());
    }

    /// RFC 9457; `about:blank` says that the type is no more than the status.
    fn json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":\"about:blank\",\"status\":");
        out.extend_from_slice(self.status.to_string().as_bytes());
        for (name, value) in [
            ("title", title(self.status).as_bytes()),
            ("detail", self.what.as_bytes()),
            ("help", self.help.as_bytes()),
            ("fault", self.who.name().as_bytes()),
            ("ray", self.ray.as_bytes()),
            ("location", self.location.as_bytes()),
            ("host", self.host),
            ("time", self.time.as_bytes()),
        ] {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":\"");
            write_clean(out, value, in_json);
            out.push(b'"');
        }
        out.extend_from_slice(b"}\n");
    }

    fn text(&self, out: &mut Vec<u8>) {
        let [you, edge, origin] = self.who.stations();
        out.extend_from_slice(self.status.to_string().as_bytes());
        append(out, &[" ", title(self.status), "\n\n"]);
        for said in [self.what, self.help] {
            write_clean(out, said.as_bytes(), in_text);
            append(out, &["\n"]);
        }
        append(out, &["\n"]);
        append(out, &[you.mark(), " You: ", you.word(), "\n"]);
        append(out, &[edge.mark(), " Edge ("]);
        write_clean(out, self.location.as_bytes(), in_text);
        append(out, &["): ", edge.word(), "\n"]);
        append(out, &[origin.mark(), " Origin: ", origin.word(), "\n\n"]);
        append(out, &[self.who.sentence(), "\n\n"]);
        for (label, value) in [
            ("ray:  ", self.ray.as_bytes()),
            ("site: ", self.host),
            ("time: ", self.time.as_bytes()),
        ] {
            append(out, &[label]);
            write_clean(out, value, in_text);
            append(out, &["\n"]);
        }
    }
}

fn append(out: &mut Vec<u8>, pieces: &[&str]) {
    pieces
        .iter()
        .for_each(|piece| out.extend_from_slice(piece.as_bytes()));
}

/// Writes bytes of any kind as bounded, clean and escaped text. What is not UTF-8, what steers a terminal and what turns
/// the direction of writing becomes U+FFFD.
fn write_clean(out: &mut Vec<u8>, bytes: &[u8], escape: fn(char) -> Option<&'static str>) {
    let characters = bytes.utf8_chunks().flat_map(|chunk| {
        let invalid = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        chunk.valid().chars().chain(invalid)
    });
    for character in characters.take(LONGEST) {
        let character = if is_unruly(character) {
            char::REPLACEMENT_CHARACTER
        } else {
            character
        };
        match escape(character) {
            Some(escaped) => out.extend_from_slice(escaped.as_bytes()),
            None => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn is_unruly(character: char) -> bool {
    let direction = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    direction || character.is_control()
}

fn in_html(character: char) -> Option<&'static str> {
    match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\'' => Some("&#39;"),
        _ => None,
    }
}

fn in_json(character: char) -> Option<&'static str> {
    match character {
        '"' => Some("\\\""),
        '\\' => Some("\\\\"),
        _ => None,
    }
}

fn in_text(_: char) -> Option<&'static str> {
    None
}

/// The status in words, as RFC 9110 §15 names it.
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ if status < 500 => "Request Refused",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Page<'_> = Page {
        status: 502,
        who: Fault::Origin,
        what: "The site's server refused the connection.",
        help: "Try again in a minute. If it is your site, see whether its server runs.",
        ray: "8f3a61c2d94b07e5-lhr",
        location: "lhr",
        host: b"shop.example.com",
        time: "2026-03-01T12:00:00Z",
    };

    fn rendered(page: &Page<'_>, accept: &str) -> String {
        let mut out = Vec::new();
        render(page, Some(accept.as_bytes()), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_form_has_its_content_type() {
        for (accept, expected, first) in [
            (None, "text/plain; charset=utf-8", b'5'),
            (
                Some("text/html,*/*;q=0.8"),
                "text/html; charset=utf-8",
                b'<',
            ),
            (Some("application/json"), "application/problem+json", b'{'),
        ] {
            let mut out = Vec::new();
            assert_eq!(render(&PAGE, accept.map(str::as_bytes), &mut out), expected);
            assert_eq!(out.first(), Some(&first), "{accept:?}");
        }
    }

    #[test]
    fn a_page_is_small_asks_for_nothing_and_says_everything() {
        for who in [Fault::Edge, Fault::Origin, Fault::Client] {
            let html = rendered(&Page { who, ..PAGE }, "text/html");
            assert!(html.len() <= 8 * 1_024, "{} bytes", html.len());
            assert!(!html.contains("{{"));
            for outside in [
                "<script", "src=", "href=", "url(", "@import", "http:", "https:", "<link",
            ] {
                assert!(!html.contains(outside), "{outside}");
            }
            for told in [
                "502",
                "Bad Gateway",
                PAGE.ray,
                PAGE.location,
                "shop.example.com",
                PAGE.time,
            ] {
                assert!(html.contains(told), "{told}");
            }
            assert!(html.contains("The site&#39;s server refused the connection."));
        }
    }

    #[test]
    fn the_station_that_failed_is_the_one_shown() {
        let classes = |who| {
            let html = rendered(&Page { who, ..PAGE }, "text/html");
            let lines = html
                .lines()
                .filter_map(|line| line.strip_prefix("<li class=\""));
            lines
                .map(|line| line.split('"').next().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(classes(Fault::Origin), ["ok", "ok", "bad"]);
        assert_eq!(classes(Fault::Edge), ["ok", "bad", "idle"]);
        assert_eq!(classes(Fault::Client), ["bad", "ok", "idle"]);
    }

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let host = b"<script>alert(1)</script>\"'&{{ray}}";
        let page = Page {
            host,
            ray: "<b>",
            location: "\"><img>",
            time: "'<i>",
            ..PAGE
        };
        let html = rendered(&page, "text/html");
        for forbidden in ["<script", "<img", "'<i"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;{{ray}}"));
        assert!(html.contains("<code>&lt;b&gt;</code>"));
        assert!(html.contains("<i>&quot;&gt;&lt;img&gt;</i>"));
    }

    #[test]
    fn json_stays_json_whatever_the_host() {
        let host = b"a\"b\\c\n\x00\xff\xe2\x80\xa8{}";
        let json = rendered(
            &Page {
                host,
                who: Fault::Edge,
                status: 503,
                ..PAGE
            },
            "application/json",
        );
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed["status"], 503);
        assert_eq!(parsed["title"], "Service Unavailable");
        assert_eq!(parsed["fault"], "edge");
        assert_eq!(parsed["detail"], PAGE.what);
        assert_eq!(parsed["ray"], PAGE.ray);
        assert_eq!(parsed["host"], "a\"b\\c\u{fffd}\u{fffd}\u{fffd}\u{2028}{}");
    }

    #[test]
    fn text_holds_no_line_and_no_control_from_outside() {
        let page = Page {
            host: "a\r\nray: forged\x1b[2J\u{202e}".as_bytes(),
            ..PAGE
        };
        let text = rendered(&page, "*/*");
        assert_eq!(
            text,
            "502 Bad Gateway\n\n\
             The site's server refused the connection.\n\
             Try again in a minute. If it is your site, see whether its server runs.\n\n\
             [ok] You: Working\n[ok] Edge (lhr): Working\n[!!] Origin: Failed\n\n\
             You and the edge are fine; the fault lies with the site's own server.\n\n\
             ray:  8f3a61c2d94b07e5-lhr\n\
             site: a\u{fffd}\u{fffd}ray: forged\u{fffd}[2J\u{fffd}\n\
             time: 2026-03-01T12:00:00Z\n"
        );
    }

    #[test]
    fn a_long_host_is_cut() {
        let host = vec![b'"'; 100_000];
        for accept in ["text/html", "application/json", "text/plain"] {
            let page = rendered(
                &Page {
                    host: &host,
                    ..PAGE
                },
                accept,
            );
            assert!(page.len() < 8 * 1_024, "{accept}: {} bytes", page.len());
        }
    }
}
