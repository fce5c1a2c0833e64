//! What one client's request must not do to what others get.

use super::*;

const RULE: Plan = Plan {
    edge_ttl: EdgeTtl::Override(3_600),
    ..Plan::STANDARD
};

fn refused(target: &str, lines: Lines<'_>, plan: &Plan) -> Option<Refused> {
    let asked = request("GET", target, &[]);
    kept(&asked, &response(200, lines), plan).err()
}

#[test]
fn a_page_behind_a_path_that_looks_like_a_file_is_stored_only_if_its_origin_says_so() {
    let html = [("Content-Type", "text/html; charset=utf-8")];
    let armed = |target| refused(target, &html, &RULE);
    for target in [
        "/account/x.css",
        "/account;x.css",
        "/account/x.CSS",
        "/account%2fx.css",
        "/account%2Fx.js",
        "/account%00x.css",
        "/account%3bx.css",
        "/account%3fx.css",
        "/account%23x.css",
        "/account%0ax.css",
        "/account/x.css?a=b.html",
        "/account/x.avif",
        "/account/x.woff2",
        "/account/x.mp4",
        "/account/x.pdf",
        "/account/x.txt",
        "/static/..%2faccount",
        "/static/..%5caccount",
        "/static/../account",
        "/static/%2e%2e/account",
        "/static/%252e%252e%252faccount",
        "/static\\..\\account",
    ] {
        assert_eq!(armed(target), Some(Refused::Deception), "{target}");
        // Without the armour each of them is.
        let bare = Plan {
            armor: false,
            ..RULE
        };
        assert_eq!(refused(target, &html, &bare), None, "{target}");
        // And where the origin says that it is for all.
        let said = [html[0], ("Cache-Control", "public, max-age=60")];
        assert_eq!(refused(target, &said, &RULE), None, "{target}");
        let private = [html[0], ("Cache-Control", "private, max-age=60")];
        assert_eq!(refused(target, &private, &RULE), Some(Refused::Deception));
    }
    for target in [
        "/",
        "/account",
        "/x.html",
        "/x.php",
        "/a.b/c",
        "/a%20b",
        "/x.json",
        "/x.unknown",
    ] {
        assert_eq!(armed(target), None, "{target}");
    }
    for (target, media) in [
        ("/x.css", "text/css"),
        ("/a/x.js", "Text/JavaScript;charset=utf-8"),
        ("/x.png", "image/webp"),
        ("/x.ttf", "font/ttf"),
        ("/x.m3u8", "application/vnd.apple.mpegurl"),
        ("/x.zip", "application/octet-stream"),
        ("/x.css", "text/plain; charset=utf-8"),
    ] {
        assert_eq!(
            refused(target, &[("Content-Type", media)], &RULE),
            None,
            "{target}"
        );
    }
    assert_eq!(refused("/x.css", &[], &RULE), Some(Refused::Deception));
    let json = [("Content-Type", "application/json")];
    assert_eq!(refused("/x.js", &json, &RULE), Some(Refused::Deception));
}

#[test]
fn an_error_that_may_be_about_one_request_is_not_for_all() {
    let long = "x".repeat(4_200);
    let many: Vec<(String, &str)> = (0..90)
        .map(|n| {
            (
                format!("x-field-number-{n}"),
                "0123456789012345678901234567",
            )
        })
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, *value)).collect();
    let odd: [Lines<'_>; 7] = [
        &[("X-Long", &long)],
        &[("Cookie", &long)],
        &many,
        &[("X-Odd", "a\u{7f}")],
        &[("X-Odd", "a\u{e9}")],
        &[("X-HTTP-Method-Override", "DELETE")],
        &[("X_Original_URL", "/nowhere")],
    ];
    let lines = [("Cache-Control", "public, max-age=60")];
    for status in [400, 403, 404, 405, 410, 414, 451, 500, 501, 503] {
        let stored =
            |asked: Lines<'_>| kept(&get(asked), &response(status, &lines), &Plan::STANDARD).err();
        for asked in odd {
            assert_eq!(
                stored(asked),
                Some(Refused::OddRequest),
                "{status} {asked:?}"
            );
        }
        assert_eq!(
            stored(&[("User-Agent", "someone"), ("Cookie", "a=b")]),
            None,
            "{status}"
        );
    }
    for status in [
        406, 408, 411, 412, 413, 415, 416, 417, 421, 425, 426, 428, 429, 431,
    ] {
        let stored = kept(&get(&[]), &response(status, &lines), &Plan::STANDARD).err();
        assert_eq!(stored, Some(Refused::OddRequest), "{status}");
    }
    // What is no error is what the origin says to all, as far as anybody can tell.
    assert!(
        kept(
            &get(&[("X-Long", &long)]),
            &response(200, &lines),
            &Plan::STANDARD
        )
        .is_ok()
    );
    let again = Refused::OddRequest.again(false);
    assert_eq!(again, Again::Nobody, "others need not suffer for it");
}

#[test]
fn fields_that_steer_an_origin_are_known_however_they_are_spelt() {
    let nobody = |_: &[u8], _: &[u8]| false;
    for name in [
        "X-Original-URL",
        "x_rewrite_url",
        "X-Forwarded-Scheme",
        "Front-End-Https",
        "X-HTTP-Method",
        "X-Forwarded-Protocol",
        "X-HTTP-Host",
        "X-Backend-Host",
        "X-Now-Route-Matches",
        "X-Matched-Path",
        "X-Nextjs-Data",
        "X-Invoke-Output",
        "X_Middleware_Set_Cookie",
        "X-React-Router-SPA-Mode",
        "Proxy",
        "SCRIPT_NAME",
        "Surrogate-Capability",
    ] {
        assert!(steers(&get(&[(name, "a")]).fields, nobody), "{name}");
        assert!(!steers(&get(&[(name, "a")]).fields, |_, value| value == b"a"));
    }
    for name in [
        "X-Original-URLs",
        "X-Original-UR",
        "X-Middleware",
        "Proxies",
        "Cookie",
        "Sec-Fetch-Mode",
        "Priority",
        "Referer",
        "X-A",
        "Host",
        "Accept",
        "X-Requested-With",
        "From",
        "CF-Visitor",
        "X-ARR-SSL",
    ] {
        assert!(!steers(&get(&[(name, "a")]).fields, nobody), "{name}");
    }
}

#[test]
fn what_next_sends_for_its_data_is_usual_there_and_nowhere_else() {
    assert!(is_usual(b"X-Nextjs-Data", b"/_next/data/4f/page.json"));
    assert!(is_usual(b"X-Nextjs-Data", b"/docs/_next/data/4f/page.json"));
    for path in [
        "/page",
        "/_next/data",
        "/_next/data/../page",
        "/_next/data/..%2fpage",
    ] {
        assert!(!is_usual(b"x-nextjs-data", path.as_bytes()), "{path}");
    }
    assert!(!is_usual(b"x-host", b"/_next/data/4f/page.json"));
}
