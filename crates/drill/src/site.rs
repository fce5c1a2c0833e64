//! The zones of the bed, of several owners, and what their clients ask: each request with the one right answer, by what the origin or
//! the zone's policy wants.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::fault::{GENERATED, RARE};
use crate::http::Answer;
use crate::origin::ECHO;

/// The zone that changes are made in.
pub const VICTIM: &str = "shop.test";
/// Small zones beside the three large ones: as many as a mass of changes is noticed among.
pub const SMALL: usize = 21;
/// The small one that is under maintenance.
const SHUT: usize = SMALL - 1;
/// Rows of the list that a program makes.
pub const ROWS: u8 = 200;
/// So many bytes has the query that some requests have.
const LONG_QUERY: usize = 6_000;
/// And so many `User-Agent` of all of them.
const LONG_AGENT: usize = 2_000;

/// The name of a small zone.
pub fn small(nth: usize) -> String {
    format!("t{nth:02}.test")
}

/// What stands in the bed's documents.
#[derive(Clone, Debug)]
pub struct Site {
    /// Where the origin listens.
    pub origin: SocketAddr,
}

impl Site {
    /// The whole document that the bed begins with.
    pub fn whole(&self) -> String {
        let mut text = self.platform(&rows(0));
        text.push_str(&self.shop("").replace("schema = 1\n", ""));
        let blog = "[zone.waf]\npatches = '''SecRule ARGS:probe \"@streq attack\" \"id:77,phase:2,deny,t:none\"'''\n[zone.ddos]\nrequests_per_client = 100000\n[zone.body]\njson_depth = 8\n[zone.hygiene]\nremove = [\"x-powered-by\"]\nnosniff = true\n";
        text.push_str(&self.zone("blog.test", blog));
        let bank = "[zone.request_headers]\nset = { \"x-bank\" = \"1\" }\n[zone.lists]\nblock = [\"banned\"]\n[zone.ddos]\nconcurrent_per_client = 1000\n[[zone.rate_limit]]\nwhen = 'http.request.uri.path eq \"/limited\"'\nrequests = 1\nper = \"1d\"\n";
        text.push_str(&self.zone("bank.test", bank));
        for nth in 0..SMALL {
            let more = match nth {
                SHUT => "[zone.maintenance]\nenabled = true\n",
                _ => "",
            };
            text.push_str(&self.zone(&small(nth), more));
        }
        text
    }

    /// What all zones share, with these rows in the generated list.
    pub fn platform(&self, generated: &[String]) -> String {
        format!(
            "schema = 1\n[edge]\noutward = [\"public\", \"private\", \"loopback\"]\naccess_log = \"off\"\n[edge.limits]\nmemory = \"160MiB\"\nretire = \"5s\"\n[lists.banned]\nips = [\"127.66.0.0/16\"]\n[lists.{GENERATED}]\nips = {generated:?}\n"
        )
    }

    /// The victim's document, with more in it.
    pub fn shop(&self, more: &str) -> String {
        self.shop_before(&format!("http://{}", self.origin), more)
    }

    /// The same before another origin.
    pub fn shop_before(&self, origin: &str, more: &str) -> String {
        let zone = format!(
            "[zone.lists]\nblock = [\"banned\", \"{GENERATED}\"]\n[zone.hotlink]\nenabled = true\n\
             [[zone.rule]]\nwhen = 'starts_with(http.request.uri.path, \"/blocked\")'\naction = \"block\"\n\
             [[zone.rule]]\nwhen = 'http.request.uri.path eq \"/old\"'\naction = \"redirect\"\nto = \"/new\"\n{more}"
        );
        format!("schema = 1\n{}", zone_before(origin, VICTIM, &zone))
    }

    fn zone(&self, name: &str, more: &str) -> String {
        zone_before(&format!("http://{}", self.origin), name, more)
    }
}

fn zone_before(origin: &str, name: &str, more: &str) -> String {
    format!(
        "[[zone]]\nname = \"{name}\"\nhosts = [\"{name}\"]\norigin = [{{ url = \"{origin}\" }}]\n{more}"
    )
}

/// A rule that only logs, by whose name a bug of the bed's edges is woken.
pub fn waking(name: &str) -> String {
    format!(
        "[[zone.rule]]\nname = \"{name}\"\nwhen = 'http.request.uri.path eq \"/never\"'\naction = \"log\"\n"
    )
}

/// Rows of the generated list: networks for benchmarks (RFC 2544), of which nobody comes.
pub fn rows(from: u8) -> Vec<String> {
    (0..ROWS)
        .map(|nth| format!("198.{}.{nth}.0/24", 18 + from % 2))
        .collect()
}

/// A request, and its right answer.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Of which zone.
    pub zone: String,
    /// The client.
    pub from: IpAddr,
    method: &'static str,
    path: String,
    query: String,
    fields: &'static str,
    body: String,
    wanted: Wanted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// What the origin says, of this path.
    Origin,
    /// Refused by this stage, with this status.
    Refused(&'static str, u16),
    /// Sent elsewhere by a rule.
    Redirected,
    /// What the origin says once, then too many: which one it is depends on what the edge remembers.
    Limited,
    /// The edge's own.
    Trace,
}

/// What differs from the usual while a drill goes on.
#[derive(Clone, Debug, Default)]
pub struct Mood {
    /// Clients ask for what meets a bug.
    pub rare: bool,
    /// Stages that are being switched off: a request is right with them and without them.
    pub without: BTreeSet<String>,
    /// Zones that nobody asks for.
    pub gone: BTreeSet<String>,
}

/// The request that the client of a location makes as its `nth`.
pub fn ask(location: usize, nth: u64, mood: &Mood) -> Ask {
    let client = (nth.wrapping_mul(7) % 200) as u8 + 1;
    let place = location as u8;
    let ask = |zone: &str, path: String, wanted| Ask {
        zone: zone.to_owned(),
        // Each in a network of its own: what one network alone meets opens no breaker.
        from: IpAddr::V4(Ipv4Addr::new(127, 101 + place, client, 1)),
        method: "GET",
        path,
        query: String::new(),
        fields: "",
        body: String::new(),
        wanted,
    };
    let shop = |path: String, wanted| ask(VICTIM, path, wanted);
    let kind = nth % 20;
    match kind {
        0 => shop("/style.css".into(), Wanted::Origin),
        1 if mood.rare => shop(format!("{RARE}/{nth}"), Wanted::Origin),
        2 => shop(format!("/blocked/{nth}"), Wanted::Refused("rules", 403)),
        3 => Ask {
            from: IpAddr::V4(Ipv4Addr::new(127, 66, place, client)),
            ..shop("/".into(), Wanted::Refused("lists", 403))
        },
        4 => Ask {
            fields: "Referer: http://elsewhere.test/\r\n",
            ..shop("/picture.png".into(), Wanted::Refused("hotlink", 403))
        },
        5 => shop("/old".into(), Wanted::Redirected),
        6 => Ask {
            query: format!("?q={}", "x=x".repeat(LONG_QUERY / 3)),
            ..shop("/search".into(), Wanted::Origin)
        },
        7 => Ask {
            method: "POST",
            body: "{\"name\":\"a\",\"word\":\"b\"}".into(),
            ..ask("bank.test", "/login".into(), Wanted::Origin)
        },
        8 => Ask {
            method: "POST",
            body: "[".repeat(40) + &"]".repeat(40),
            ..ask("blog.test", "/post".into(), Wanted::Refused("body", 400))
        },
        9 => ask("bank.test", "/.seawall/trace".into(), Wanted::Trace),
        10 => ask("blog.test", "/style.css".into(), Wanted::Origin),
        11 => ask("blog.test", format!("/page/{nth}"), Wanted::Origin),
        12 => ask("bank.test", format!("/account/{nth}"), Wanted::Origin),
        13 | 14 => {
            let which = (nth / 20) as usize % SMALL;
            let wanted = match which {
                SHUT => Wanted::Refused("maintenance", 503),
                _ => Wanted::Origin,
            };
            ask(&small(which), format!("/page/{nth}"), wanted)
        }
        15 => Ask {
            query: "?probe=attack".into(),
            ..ask("blog.test", "/probe".into(), Wanted::Refused("waf", 403))
        },
        16 => ask("bank.test", "/limited".into(), Wanted::Limited),
        _ => shop(format!("/page/{nth}"), Wanted::Origin),
    }
}

impl Ask {
    /// Whether nobody asks this in this mood.
    pub fn is_left_out(&self, mood: &Mood) -> bool {
        mood.gone.contains(&self.zone)
    }

    /// The request, as it is sent.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!(
            "{} {}{} HTTP/1.1\r\nHost: {}\r\nUser-Agent: drill/1 {}\r\n{}Connection: close\r\n",
            self.method,
            self.path,
            self.query,
            self.zone,
            "x=x".repeat(LONG_AGENT / 3),
            self.fields
        );
        if !self.body.is_empty() {
            let _ = write!(
                text,
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                self.body.len()
            );
        }
        text.push_str("\r\n");
        text.push_str(&self.body);
        text.into_bytes()
    }

    /// What is wrong with an answer; none when it is right.
    ///
    /// # Errors
    /// What was answered in place of what was wanted.
    pub fn judge(&self, answer: &Answer, mood: &Mood) -> Result<(), String> {
        let verdict = answer.field("seawall-verdict").unwrap_or_default();
        let stage = verdict.split('/').next().unwrap_or_default();
        let echoed = answer.status == 200 && answer.field(ECHO) == Some(self.path.as_str());
        let is_right = match self.wanted {
            Wanted::Origin => echoed,
            Wanted::Refused(by, status) => {
                (answer.status, stage) == (status, by) || mood.without.contains(by) && echoed
            }
            Wanted::Limited => echoed || (answer.status, stage) == (429, "rate"),
            Wanted::Redirected => {
                let to = answer.field("location").unwrap_or_default();
                answer.status == 302 && to.ends_with("/new")
                    || mood.without.contains("rules") && echoed
            }
            Wanted::Trace => {
                answer.status == 200 && answer.body.windows(9).any(|nine| nine == b"location=")
            }
        };
        // What a stage that closes says while it is off was asked for.
        let is_closed =
            mood.without.contains(stage) && verdict.ends_with("/killed") && answer.status == 503;
        if is_right || is_closed {
            return Ok(());
        }
        let failed = answer.field("proxy-status").unwrap_or_default();
        Err(format!(
            "{} {} was answered {} {verdict}{failed}",
            self.zone,
            self.kind(),
            answer.status
        ))
    }

    /// What kind of request it is, in a few words.
    pub fn kind(&self) -> &str {
        self.path.split('/').nth(1).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_model::{Limits, document};

    #[test]
    fn the_beds_documents_are_good() {
        let site = Site {
            origin: "127.0.0.1:1".parse().unwrap(),
        };
        for text in [
            site.whole(),
            site.platform(&rows(1)),
            site.shop(&waking("drill:panic")),
        ] {
            // A zone alone names lists that the platform has.
            let parsed = document::parse_alone(&text, &Limits::default());
            assert!(parsed.problems.is_none(), "{}", parsed.problems.unwrap());
        }
        assert!(document::parse(&site.whole(), &Limits::default()).is_ok());
    }

    #[test]
    fn each_kind_of_request_comes_and_is_written_whole() {
        let mood = Mood {
            rare: true,
            ..Mood::default()
        };
        let asks: Vec<Ask> = (0..20).map(|nth| ask(3, nth, &mood)).collect();
        let zones: BTreeSet<&str> = asks.iter().map(|ask| &*ask.zone).collect();
        assert!(zones.len() >= 4 && asks.iter().any(|ask| ask.path.starts_with(RARE)));
        for ask in &asks {
            let bytes = String::from_utf8(ask.bytes()).unwrap();
            assert!(
                bytes.contains("\r\n\r\n") && bytes.ends_with(&ask.body),
                "{bytes}"
            );
        }
        let usual = ask(3, 1, &Mood::default());
        assert!(!usual.path.starts_with(RARE));
    }
}
