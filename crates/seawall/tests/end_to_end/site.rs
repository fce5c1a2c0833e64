//! A real site over HTTP/1.1, HTTP/2 and TLS.

use serde_json::Value;

use crate::tools::{Server, curl, play};
use crate::up::{Folder, Up};

/// Each way in which a browser or a tool may ask, with the version that must come of it.
const WAYS: [(&str, bool, &str); 5] = [
    ("--http1.1", false, "1.1"),
    ("--http1.0", false, "1"),
    ("--http2-prior-knowledge", false, "2"),
    ("--http1.1", true, "1.1"),
    ("--http2", true, "2"),
];

#[test]
fn a_site_is_the_same_over_every_protocol() {
    let site = Server::site();
    let up = Up::before(&site.url());
    for path in [
        "/",
        "/style.css",
        "/logo.svg",
        "/stream?mib=1",
        "/status/404",
        "/redirect",
    ] {
        let straight = curl(&[&format!("{}{path}", site.url())]);
        for (flag, tls, version) in WAYS {
            let url = if tls { up.tls_url(path) } else { up.url(path) };
            let answer = curl(&[flag, &url]);
            let case = format!("{flag} {url}");
            assert_eq!(answer.status, straight.status, "{case}: {answer:?}");
            // Answers to HTTP/1.0 may say HTTP/1.1 (RFC 9110 §6.2); the body must not be chunked then.
            assert!(
                answer.version.starts_with(version),
                "{case}: version {}",
                answer.version
            );
            assert_eq!(answer.body, straight.body, "{case}: the body differs");
            for name in [
                "content-type",
                "etag",
                "cache-control",
                "location",
                "last-modified",
            ] {
                assert_eq!(answer.field(name), straight.field(name), "{case}: {name}");
            }
        }
    }
}

#[test]
fn a_validator_saves_the_body() {
    let site = Server::site();
    let up = Up::before(&site.url());
    let etag = curl(&[&up.url("/style.css")])
        .field("etag")
        .expect("an etag")
        .to_owned();
    let again = curl(&[
        "--header",
        &format!("If-None-Match: {etag}"),
        &up.tls_url("/style.css"),
    ]);
    assert_eq!((again.status, again.body.len()), (304, 0), "{again:?}");
}

#[test]
fn another_implementation_of_http2_is_content() {
    let site = Server::site();
    let up = Up::before(&site.url());
    play("h2-client.mjs", &[&up.tls_url("")]);
    play("h2-client.mjs", &[&up.url("")]);
}

#[test]
fn an_origin_may_speak_http2_too() {
    let site = Server::start("plain-site.mjs", &["--h2c"]);
    let origin = site.url();
    let up = Up::with_config(&format!(
        "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ url = \"{origin}\", protocol = \"2\" }}]\n"
    ));
    let seen: Value = serde_json::from_slice(&curl(&[&up.url("/echo")]).body).unwrap();
    assert_eq!(seen["version"], "2.0", "{seen}");
    play("h2-client.mjs", &[&up.tls_url("")]);
}

#[test]
fn the_origin_learns_who_asked() {
    let site = Server::site();
    let up = Up::before(&site.url());
    let forged = [
        "--header",
        "X-Forwarded-For: 203.0.113.9",
        "--header",
        "Forwarded: for=203.0.113.9",
    ];
    for (url, scheme) in [(up.url("/echo"), "http"), (up.tls_url("/echo"), "https")] {
        let mut flags = forged.to_vec();
        flags.extend([
            "--header",
            "Seawall-Ray: forged",
            "--header",
            "X_Forwarded_For: 203.0.113.9",
            &url,
        ]);
        let answer = curl(&flags);
        let seen: Value = serde_json::from_slice(&answer.body).unwrap();
        let fields = &seen["headers"];
        assert_eq!(fields["x-forwarded-for"], "127.0.0.1", "{fields}");
        assert_eq!(fields["x-forwarded-proto"], scheme, "{fields}");
        assert_eq!(fields["x-forwarded-host"], fields["host"], "{fields}");
        let forwarded = fields["forwarded"].as_str().unwrap_or_default();
        assert!(
            forwarded.contains("for=127.0.0.1") && !forwarded.contains("203.0.113.9"),
            "{fields}"
        );
        assert!(
            fields["via"]
                .as_str()
                .unwrap_or_default()
                .contains("seawall"),
            "{fields}"
        );
        assert!(
            fields["cdn-loop"]
                .as_str()
                .unwrap_or_default()
                .contains("seawall"),
            "{fields}"
        );
        assert_eq!(
            fields["seawall-ray"].as_str(),
            answer.field("seawall-ray"),
            "{fields}"
        );
        assert!(fields.get("x_forwarded_for").is_none(), "{fields}");
    }
}

#[test]
fn a_request_that_comes_round_again_is_refused() {
    let site = Server::site();
    let up = Up::before(&site.url());
    // The edge before itself: what it sends to its origin comes in at its own door, and must end there.
    let looped = Up::start(Folder::new(), &["--origin", &up.url("")]);
    assert_eq!(
        curl(&[&looped.url("/")]).status,
        200,
        "two edges in a row are no loop"
    );
    let seen: Value = serde_json::from_slice(&curl(&[&up.url("/echo")]).body).unwrap();
    let mark = seen["headers"]["cdn-loop"]
        .as_str()
        .expect("a CDN-Loop field")
        .to_owned();
    let field = format!("CDN-Loop: {}", vec![mark; 40].join(", "));
    let answer = curl(&["--header", &field, &up.url("/")]);
    assert_eq!(answer.status, 508, "{answer:?}");
}

#[test]
fn without_origin_or_config_it_serves_a_site_of_its_own() {
    let up = Up::start(Folder::new(), &[]);
    for url in [up.url("/"), up.tls_url("/")] {
        let answer = curl(&["--header", "Accept: text/html", &url]);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(
            answer
                .field("content-type")
                .is_some_and(|kind| kind.starts_with("text/html")),
            "{answer:?}"
        );
        assert!(answer.text().contains("<title>"), "{}", answer.text());
    }
}

#[test]
fn the_trace_is_served_by_the_edge_alone() {
    let site = Server::site();
    let up = Up::before(&site.url());
    for (url, tls) in [
        (up.url("/.seawall/trace"), false),
        (up.tls_url("/.seawall/trace"), true),
    ] {
        let answer = curl(&[&url]);
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = answer.text();
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        };
        for key in ["location", "version", "ray", "ip", "http", "tls", "time"] {
            assert!(value(key).is_some(), "{key} is missing in:\n{text}");
        }
        assert_eq!(value("ip"), Some("127.0.0.1"));
        assert_eq!(value("location"), Some("local"));
        assert_eq!(value("ray"), answer.field("seawall-ray"));
        assert_eq!(
            value("tls").is_some_and(|version| version.starts_with("TLSv1")),
            tls,
            "{text}"
        );
    }
    // No spelling of the reserved path reaches the origin.
    for path in [
        "/.seawall/nothing",
        "/%2eseawall/trace",
        "/x/../.seawall/trace",
        "//.seawall/trace",
    ] {
        let answer = curl(&["--path-as-is", &up.url(path)]);
        assert_ne!(
            answer.text(),
            "no such page\n",
            "{path} reached the origin: {answer:?}"
        );
    }
}

#[test]
fn every_response_has_a_ray_of_its_own() {
    let site = Server::site();
    let up = Up::before(&site.url());
    let mut rays: Vec<String> = ["/", "/status/404", "/.seawall/trace", "/.seawall/nothing"]
        .iter()
        .map(|path| {
            curl(&[&up.url(path)])
                .field("seawall-ray")
                .expect("a ray")
                .to_owned()
        })
        .collect();
    for ray in &rays {
        let (id, location) = ray.split_once('-').expect("id and location");
        assert!(
            id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{ray}"
        );
        assert!(location.eq_ignore_ascii_case("local"), "{ray}");
    }
    rays.sort();
    rays.dedup();
    assert_eq!(rays.len(), 4, "a ray came twice");
}

#[test]
fn an_origin_that_is_away_is_named_as_the_culprit() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let up = Up::before(&format!("http://{gone}"));
    let forms = [
        ("text/html", "text/html"),
        ("application/json", "application/problem+json"),
        ("*/*", "text/plain"),
    ];
    for (accept, kind) in forms {
        for url in [up.url("/"), up.tls_url("/")] {
            let answer = curl(&["--header", &format!("Accept: {accept}"), &url]);
            assert_eq!(answer.status, 502, "{answer:?}");
            let status = answer.field("proxy-status").unwrap_or_default();
            assert!(
                status.starts_with("seawall; error=connection_refused"),
                "Proxy-Status: {status:?}"
            );
            assert!(
                answer
                    .field("content-type")
                    .is_some_and(|found| found.starts_with(kind)),
                "{answer:?}"
            );
            let ray = answer.field("seawall-ray").expect("a ray");
            assert!(
                answer.text().contains(ray),
                "the page does not show the ray {ray}: {}",
                answer.text()
            );
        }
    }
}
