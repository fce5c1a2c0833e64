//! Which responses are compressed, and what becomes of their heads.

use super::*;

fn zone() -> Compress {
    let document = seawall_model::document::Compress::default();
    Compress::from(&document)
}

fn request(fields: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::default();
    for (name, value) in fields {
        head.fields.push(name.as_bytes(), value.as_bytes());
    }
    head
}

fn response(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
    let mut head = ResponseHead {
        status,
        ..ResponseHead::default()
    };
    for (name, value) in fields {
        head.fields.push(name.as_bytes(), value.as_bytes());
    }
    head
}

const ALL: (&str, &str) = ("accept-encoding", "gzip, br, zstd");
const HTML: (&str, &str) = ("content-type", "Text/HTML; charset=utf-8");

#[test]
fn what_may_not_or_need_not_be_compressed_stays_as_it_is() {
    let long = BodyOut::Length(1_000);
    let zone = zone();
    let mut fit = response(200, &[HTML]);
    assert_eq!(
        zone.coding(&request(&[ALL]), &mut fit, long),
        Some(Coding::Zstd)
    );
    assert_eq!(fit.fields.named(b"vary"), Some(&b"Accept-Encoding"[..]));
    for (status, fields, body) in [
        (200, &[HTML][..], BodyOut::Length(255)),
        (200, &[HTML], BodyOut::None),
        (206, &[HTML], long),
        (204, &[HTML], long),
        (200, &[], long),
        (200, &[("content-type", "image/png")], long),
        (200, &[("content-type", "textual/x")], long),
        (200, &[HTML, ("content-encoding", "br")], long),
        (200, &[HTML, ("content-encoding", "identity")], long),
        (
            200,
            &[HTML, ("cache-control", "public, No-Transform")],
            long,
        ),
        (200, &[HTML, ("content-digest", "sha-256=:x:")], long),
    ] {
        let mut head = response(status, fields);
        let coding = zone.coding(&request(&[ALL]), &mut head, body);
        assert_eq!(coding, None, "{status} {fields:?} {body:?}");
        assert_eq!(head.fields.named(b"vary"), None, "{status} {fields:?}");
    }
}

#[test]
fn vary_is_said_once_and_to_those_too_who_get_it_plain() {
    let zone = zone();
    let said = |asked: &[(&str, &str)], fields: &[(&str, &str)]| {
        let mut head = response(200, fields);
        zone.coding(&request(asked), &mut head, BodyOut::Unknown);
        let varies = head.fields.iter().filter(|field| field.name == b"vary");
        let values = varies.map(|field| String::from_utf8_lossy(field.value).into_owned());
        values.collect::<Vec<_>>()
    };
    assert_eq!(said(&[], &[HTML]), ["Accept-Encoding"]);
    for vary in ["accept-encoding", "Origin, Accept-Encoding", "*"] {
        assert_eq!(said(&[ALL], &[HTML, ("vary", vary)]), [vary]);
    }
    assert_eq!(
        said(&[ALL], &[HTML, ("vary", "Origin")]),
        ["Origin", "Accept-Encoding"]
    );
}

#[test]
fn a_compressed_response_is_another_one() {
    let mut head = response(200, &[HTML, ("etag", "\"a\""), ("Accept-Ranges", "bytes")]);
    mark(&mut head.fields, Coding::Brotli);
    assert_eq!(head.fields.named(b"etag"), Some(&b"W/\"a\""[..]));
    assert_eq!(head.fields.named(b"accept-ranges"), None);
    assert_eq!(head.fields.named(b"content-encoding"), Some(&b"br"[..]));
    mark(&mut head.fields, Coding::Brotli);
    assert_eq!(head.fields.named(b"etag"), Some(&b"W/\"a\""[..]));
}

#[test]
fn a_304_names_what_the_client_has() {
    for (asked, expected) in [
        ("W/\"a\"", "W/\"a\""),
        ("\"b\", W/\"a\"", "W/\"a\""),
        ("\"a\"", "\"a\""),
        ("W/\"ab\"", "\"a\""),
    ] {
        let mut head = response(304, &[("etag", "\"a\"")]);
        let request = request(&[ALL, ("if-none-match", asked)]);
        assert_eq!(zone().coding(&request, &mut head, BodyOut::None), None);
        assert_eq!(head.fields.named(b"vary"), Some(&b"Accept-Encoding"[..]));
        assert_eq!(
            head.fields.named(b"etag"),
            Some(expected.as_bytes()),
            "{asked}"
        );
    }
}

#[test]
fn what_another_site_may_have_asked_for_with_credentials_is_not_compressed() {
    let cookie = ("cookie", "session=1");
    for (asked, compressed) in [
        (&[][..], true),
        (&[("sec-fetch-site", "cross-site")], true),
        (&[cookie], false),
        (&[("authorization", "Bearer x")], false),
        (&[cookie, ("sec-fetch-site", "cross-site")], false),
        (&[cookie, ("sec-fetch-site", "same-origin")], true),
        (&[cookie, ("sec-fetch-site", "same-site")], true),
        (&[cookie, ("sec-fetch-site", "none")], true),
        (&[cookie, ("referer", "https://a.test/page")], true),
        (&[cookie, ("referer", "https://A.test:8443?x")], true),
        (&[cookie, ("referer", "https://evil.test/a.test")], false),
        (&[cookie, ("referer", "https://a.test.evil.test/")], false),
        (&[cookie, ("referer", "a.test")], false),
        // What the browser says counts, not what a page can have a hand in.
        (
            &[
                cookie,
                ("sec-fetch-site", "cross-site"),
                ("referer", "https://a.test/"),
            ],
            false,
        ),
    ] {
        let mut request = request(asked);
        request.fields.push(ALL.0.as_bytes(), ALL.1.as_bytes());
        request.authority_span = request.fields.store(b"a.test");
        let mut head = response(200, &[HTML]);
        let coding = zone().coding(&request, &mut head, BodyOut::Unknown);
        assert_eq!(coding.is_some(), compressed, "{asked:?}");
    }
}
