//! What goes round, what does not, and what replay makes of it.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use seawall_guard::Scope;
use seawall_model::{ConnFacts, Limits, document};
use seawall_net::tls::config::self_signed;
use seawall_telemetry::{BuildInfo, Registry};

use super::*;
use crate::WORDS;
use crate::compile::{self, Sources};
use crate::materials::Materials;
use crate::recent::Recent;
use crate::stages::STAGES;
use crate::state::State;

const CLIENT: &str = "198.51.100.7";
const PROXY: &str = "127.0.0.1";
const TRUSTING: &str = "[edge]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";

/// Configurations that follow each other on one machine.
struct Bench {
    state: State,
}

impl Bench {
    fn new(has_https: bool) -> Self {
        let build = BuildInfo {
            version: "0",
            commit: "",
        };
        let state = State::new(Registry::new(&WORDS, build), STAGES);
        if has_https {
            state.set_https_port(443);
        }
        Self { state }
    }

    /// Before zones `a` and `b` whatever is of all zones, and in them this.
    fn snapshot(&self, edge: &str, of_a: &str, of_b: &str) -> Snapshot {
        let zone = |name: &str, more: &str| {
            format!(
                "[[zone]]\nname = \"{name}\"\nhosts = [\"{name}.test\"]\norigin = [{{ url = \"http://192.0.2.1\" }}]\n{more}\n"
            )
        };
        let text = format!("schema = 1\n{edge}{}{}", zone("a", of_a), zone("b", of_b));
        let limits = Limits::default();
        let parsed = document::parse_zones(&text, &limits);
        let pem = self_signed(vec!["localhost".into()]).unwrap();
        let materials = Materials::load(&parsed.document, Path::new("."), Some(pem));
        let sources = Sources::new(&parsed, &materials);
        let compiled = compile::compile(&sources, &limits, &self.state, None);
        assert_eq!(compiled.refused, [], "{}", compiled.problems);
        compiled.snapshot.expect("it is good")
    }
}

fn rule(when: &str, more: &str) -> String {
    format!("[[zone.rule]]\nwhen = '{when}'\naction = \"redirect\"\n{more}\n")
}

fn at(path: &str, to: &str) -> String {
    let when = format!("http.request.uri.path eq \"{path}\"");
    rule(&when, &format!("to = \"{to}\""))
}

/// `POST http://a.test/x`, and who sends it with which fields.
fn asked(request: &str, fields: &[(&str, &str)]) -> (RequestHead, bool) {
    let (method, url) = request.split_once(' ').unwrap();
    let (scheme, rest) = url.split_once("://").unwrap();
    let at = rest.find('/').unwrap();
    let (host, target) = rest.split_at(at);
    let mut head = RequestHead::default();
    head.fields.push(b"host", host.as_bytes());
    for (name, value) in fields {
        head.fields.push(name.as_bytes(), value.as_bytes());
    }
    head.method = Method::of(method.as_bytes());
    head.method_span = head.fields.store(method.as_bytes());
    head.target_span = head.fields.store(target.as_bytes());
    head.authority_span = head.fields.store(host.as_bytes());
    (head, scheme == "https")
}

fn conn(peer: &str) -> ConnFacts {
    let address = |ip: IpAddr| SocketAddr::new(ip, 4_711);
    ConnFacts {
        peer: address(peer.parse().unwrap()),
        local: address(PROXY.parse().unwrap()),
        tls: None,
    }
}

fn found_by(
    all: &Snapshot,
    peer: &str,
    (head, is_https): &(RequestHead, bool),
    https_is_seen: bool,
) -> Option<String> {
    let conn = conn(peer);
    let subject = Subject {
        conn: &conn,
        client: CLIENT.parse().unwrap(),
        https: *is_https,
        now: 1_000,
        scope: Scope::ALL,
    };
    find(all, head, &subject, *is_https, https_is_seen, &mut 100)
}

fn found(all: &Snapshot, request: &str) -> Option<String> {
    found_by(all, CLIENT, &asked(request, &[]), true)
}

#[test]
fn redirects_are_followed_to_their_end() {
    let bench = Bench::new(true);
    let of_a = [
        at("/itself", "/itself"),
        at("/ping", "/pong"),
        at("/pong", "http://A.test/ping"),
        at("/once", "/there"),
        at("/away", "https://elsewhere.test/away"),
        at("/other-port", "http://a.test:8080/other-port"),
        at("/to-b", "http://b.test/back"),
        rule(
            "starts_with(http.request.uri.path, \"/grows\")",
            "to = \"/grows\"\nkeep_path = true",
        ),
        rule(
            "http.request.uri.path eq \"/form\" and http.request.method eq \"POST\"",
            "to = \"/form\"\nstatus = 303",
        ),
        rule(
            "http.request.uri.path eq \"/again\" and http.request.method eq \"POST\"",
            "to = \"/again\"\nstatus = 307",
        ),
    ];
    let all = bench.snapshot("", &of_a.concat(), &at("/back", "http://a.test/to-b"));
    for (request, circle) in [
        ("GET http://a.test/itself", "/itself -> /itself"),
        ("GET http://a.test/ping", "/ping -> /pong -> /ping"),
        ("GET http://a.test/ping?x=1", "/ping -> /pong -> /ping"),
        (
            "GET http://a.test/to-b",
            "http://a.test/to-b -> http://b.test/back -> http://a.test/to-b",
        ),
        (
            "GET http://b.test/back",
            "http://b.test/back -> http://a.test/to-b -> http://b.test/back",
        ),
        ("POST http://a.test/again", "/again -> /again"),
    ] {
        assert_eq!(found(&all, request).as_deref(), Some(circle), "{request}");
    }
    let grows = found(&all, "GET http://a.test/grows").unwrap_or_default();
    assert!(grows.starts_with("/grows -> /grows/grows -> "), "{grows}");
    assert!(grows.ends_with(" -> …"), "{grows}");
    for request in [
        "GET http://a.test/once",
        "GET http://a.test/away",
        "GET http://a.test/other-port",
        "GET http://a.test/served",
        "GET http://a.test/form",
        "POST http://a.test/form",
        "GET http://a.test/again",
        "GET http://nobody.test/itself",
    ] {
        assert_eq!(found(&all, request), None, "{request}");
    }
    let (head, _) = asked("GET http://a.test/grows", &[]);
    let conn = conn(CLIENT);
    let subject = Subject {
        conn: &conn,
        client: CLIENT.parse().unwrap(),
        https: false,
        now: 1_000,
        scope: Scope::ALL,
    };
    let mut hops = 5;
    assert_eq!(find(&all, &head, &subject, false, true, &mut hops), None);
    assert_eq!(hops, 0, "no more are followed than may be");
}

#[test]
fn https_leads_somewhere_where_it_is_listened_for() {
    let to_https = "redirect_https = true";
    let plain = "GET http://a.test/x";
    let round = Some("http://a.test/x -> https://a.test/x -> https://a.test/x");
    let here = Bench::new(true).snapshot("", to_https, "");
    assert_eq!(found(&here, plain), None);
    let nowhere = Bench::new(false).snapshot("", to_https, "");
    assert_eq!(found(&nowhere, plain).as_deref(), round);
    let elsewhere = "[edge]\npublic_https = 443\n";
    let elsewhere = Bench::new(false).snapshot(elsewhere, to_https, "");
    assert_eq!(found(&elsewhere, plain), None, "somebody said so");
    // To HTTPS, and from there back.
    let back = rule("ssl", "to = \"http://a.test/x\"");
    let both = Bench::new(true).snapshot("", &format!("{to_https}\n{back}"), "");
    assert_eq!(
        found(&both, plain).as_deref(),
        Some("http://a.test/x -> https://a.test/x -> http://a.test/x")
    );
}

#[test]
fn a_proxy_that_does_not_say_how_it_was_asked_is_asked_by_nobody() {
    let to_https = "redirect_https = true";
    let round = Some("http://a.test/x -> https://a.test/x -> https://a.test/x");
    let all = Bench::new(true).snapshot(TRUSTING, to_https, "");
    let of = |fields: &[(&str, &str)], https_is_seen: bool| {
        let request = asked("GET http://a.test/x", fields);
        found_by(&all, PROXY, &request, https_is_seen)
    };
    let who = ("x-forwarded-for", CLIENT);
    assert_eq!(of(&[who], false).as_deref(), round);
    assert_eq!(of(&[who], true), None, "it comes as HTTPS too");
    assert_eq!(of(&[], false), None, "no proxy, but a probe");
    let how = ("x-forwarded-proto", "http");
    assert_eq!(of(&[who, how], false), None, "it will say https then");
    // A rule that looks at what the proxy says is no circle either.
    let says_http = rule(
        "any(http.request.headers[\"x-forwarded-proto\"][*] eq \"http\")",
        "to = \"https://a.test\"\nkeep_path = true",
    );
    let all = Bench::new(true).snapshot(TRUSTING, &says_http, "");
    let request = asked("GET http://a.test/x", &[who, how]);
    assert_eq!(found_by(&all, PROXY, &request, false), None);
}

#[test]
fn replay_counts_what_only_the_change_sends_round() {
    let bench = Bench::new(true);
    let good = bench.snapshot("", "", "");
    let bad = bench.snapshot("", &(at("/x", "/y") + &at("/y", "/x")), "");
    let (good_zone, bad_zone) = (
        good.zones.named("a").unwrap(),
        bad.zones.named("a").unwrap(),
    );
    let recent = Recent::default();
    let client: IpAddr = CLIENT.parse().unwrap();
    for path in ["/x", "/served"] {
        let (head, https) = asked(&format!("GET http://a.test{path}"), &[]);
        recent.keep(good_zone, &head, &conn(CLIENT), (client, https));
    }
    let comes = recent.replay(good_zone, bad_zone, &good, &bad, 1_000);
    assert_eq!((comes.judged, comes.changed, comes.circled), (2, 1, 1));
    assert_eq!(comes.circle.as_deref(), Some("/x -> /y -> /x"));
    assert_eq!(recent.replay_all(&good, &bad, 1_000), comes);
    // To mend it, or to leave it as it is, changes nothing for the worse.
    for (zone, all) in [(good_zone, &good), (bad_zone, &bad)] {
        let goes = recent.replay(bad_zone, zone, &bad, all, 1_000);
        assert_eq!((goes.judged, goes.changed, goes.circled), (2, 0, 0));
    }
}

#[test]
fn who_is_believed_no_more_goes_round() {
    let bench = Bench::new(true);
    let before = bench.snapshot(TRUSTING, "redirect_https = true", "");
    let after = bench.snapshot("", "redirect_https = true", "");
    let fields = [("x-forwarded-for", CLIENT), ("x-forwarded-proto", "https")];
    let (head, https) = asked("GET https://a.test/x", &fields);
    let recent = Recent::default();
    let zone = before.zones.named("a").unwrap();
    let client: IpAddr = CLIENT.parse().unwrap();
    recent.keep(zone, &head, &conn(PROXY), (client, https));
    let replayed = recent.replay_all(&before, &after, 1_000);
    assert_eq!((replayed.judged, replayed.circled), (1, 1));
    assert_eq!(replayed.circle.as_deref(), Some("/x -> /x"));
    assert_eq!(recent.replay_all(&before, &before, 1_000).circled, 0);
}
