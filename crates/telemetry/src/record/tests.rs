//! Lines as they are written, and that they are JSON whatever came.

use std::net::Ipv4Addr;

use super::*;

pub(crate) fn typical() -> Record<'static> {
    Record {
            time: 1_785_069_296_789_123,
            ray: Ray(0x0123_4567_89ab_cdef),
            location: "lhr",
            zone: "example.com",
            version: "17",
            client_ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
            method: b"GET",
            host: b"www.example.com",
            path: b"/articles/2026/first-light.html",
            status: 200,
            source: Source::Origin,
            bytes_in: 412,
            bytes_out: 1297,
            duration_us: 843,
            origin_us: Some(611),
            cache: "seawall; fwd=uri-miss",
            verdict: "",
            stages: "lists ddos signals rules",
            http: HttpVersion::Http11,
            tls: "TLSv1.3",
            ja4: "",
            bot_score: None,
            country: "",
            user_agent: b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            referer: b"https://www.example.com/",
            error: "",
            place: b"",
        }
}

fn line(record: &Record<'_>) -> String {
    let mut out = Vec::new();
    record.write_json(&mut Stamp::new(), &mut out);
    assert!(out.len() <= LINE_LIMIT, "{} bytes", out.len());
    let line = String::from_utf8(out).expect("UTF-8");
    assert_eq!(line.matches('\n').count(), 1);
    assert!(line.ends_with('\n'));
    line
}

fn parsed(record: &Record<'_>) -> serde_json::Value {
    serde_json::from_str(&line(record)).expect("JSON")
}

#[test]
fn keys_are_the_contracts_in_its_order() {
    let contract = "time ray location zone version client_ip method host path status source bytes_in bytes_out \
                        duration_us origin_us cache verdict stages http tls ja4 bot_score country user_agent referer error";
    assert_eq!(
        KEYS.to_vec(),
        contract.split_whitespace().collect::<Vec<_>>()
    );
    for record in [
        typical(),
        Record {
            origin_us: None,
            bot_score: Some(30),
            ..typical()
        },
    ] {
        let line = line(&record);
        let mut rest = line.as_str();
        for key in KEYS {
            let quoted = format!("\"{key}\":");
            let (before, after) = rest
                .split_once(&quoted)
                .unwrap_or_else(|| panic!("{key} after {rest}"));
            assert!(before == "{" || before.ends_with(','), "{key}");
            rest = after;
        }
        let value = parsed(&record);
        assert_eq!(value.as_object().unwrap().len(), KEYS.len());
    }
}

#[test]
fn a_typical_line() {
    assert_eq!(
        line(&typical()),
        concat!(
            r#"{"time":"2026-07-26T12:34:56.789Z","ray":"0123456789abcdef-LHR","location":"lhr","zone":"example.com","#,
            r#""version":"17","client_ip":"203.0.113.7","method":"GET","host":"www.example.com","#,
            r#""path":"/articles/2026/first-light.html","status":200,"source":"origin","bytes_in":412,"bytes_out":1297,"#,
            r#""duration_us":843,"origin_us":611,"cache":"seawall; fwd=uri-miss","verdict":"","#,
            r#""stages":"lists ddos signals rules","http":"HTTP/1.1","tls":"TLSv1.3","ja4":"","bot_score":null,"#,
            r#""country":"","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "#,
            r#"Chrome/126.0.0.0 Safari/537.36","referer":"https://www.example.com/","error":""}"#,
            "\n"
        )
    );
}

#[test]
fn a_kept_place_and_quiet_traits_make_the_same_line() {
    let quiet = Record {
        cache: "",
        stages: "",
        location: "a\"b",
        ..typical()
    };
    let place = place(quiet.location, quiet.zone, quiet.version);
    assert_eq!(
        line(&Record {
            place: &place,
            ..quiet
        }),
        line(&quiet)
    );
    let loud = line(&Record {
        bot_score: Some(1),
        ..quiet
    });
    assert_eq!(
        loud.replace("\"bot_score\":1", "\"bot_score\":null"),
        line(&quiet)
    );
    let plain = Record {
        tls: "",
        referer: b"",
        ..quiet
    };
    let wordy = Record {
        bot_score: Some(1),
        error: "x",
        ..plain
    };
    assert_eq!(
        line(&wordy)
            .replace("\"bot_score\":1", "\"bot_score\":null")
            .replace("\"error\":\"x\"", "\"error\":\"\""),
        line(&plain)
    );
}

#[test]
fn every_value_arrives() {
    let value = parsed(&Record {
        origin_us: None,
        bot_score: Some(7),
        source: Source::Cache,
        http: HttpVersion::Http2,
        status: 0,
        client_ip: "2001:db8::1".parse().unwrap(),
        error: "connection_refused",
        verdict: "waf/942100",
        ja4: "t13d1516h2_8daaf6152771_b186095e22b6",
        country: "NL",
        bytes_out: u64::MAX,
        ..typical()
    });
    assert_eq!(value["origin_us"], serde_json::Value::Null);
    assert_eq!(value["bot_score"], 7);
    assert_eq!(value["source"], "cache");
    assert_eq!(value["http"], "HTTP/2");
    assert_eq!(value["status"], 0);
    assert_eq!(value["client_ip"], "2001:db8::1");
    assert_eq!(value["error"], "connection_refused");
    assert_eq!(value["verdict"], "waf/942100");
    assert_eq!(value["ja4"], "t13d1516h2_8daaf6152771_b186095e22b6");
    assert_eq!(value["country"], "NL");
    assert_eq!(value["bytes_out"], u64::MAX);
    for source in Source::ALL {
        assert_eq!(
            parsed(&Record {
                source,
                ..typical()
            })["source"],
            source.name()
        );
    }
    for http in [
        HttpVersion::Http10,
        HttpVersion::Http11,
        HttpVersion::Http2,
        HttpVersion::Http3,
    ] {
        assert_eq!(parsed(&Record { http, ..typical() })["http"], http.name());
    }
}

#[test]
fn any_bytes_make_valid_json() {
    let all: Vec<u8> = (0..=255).collect();
    let nasty: [&[u8]; 8] = [
        &all,
        b"\"",
        b"\\",
        b"\r\n{\"a\":1}",
        "caf\u{e9} \u{1f30a}".as_bytes(),
        b"\xf0\x9f\x8c",
        b"\xed\xa0\x80",
        b"?\0=\x7f&\xff",
    ];
    for bytes in nasty {
        let record = Record {
            method: bytes,
            host: bytes,
            path: bytes,
            user_agent: bytes,
            referer: bytes,
            ..typical()
        };
        let value = parsed(&record);
        assert!(!value["user_agent"].as_str().unwrap().is_empty());
    }
    let words = "\"\\\u{1}\u{85}\u{2028}é";
    let value = parsed(&Record {
        location: words,
        zone: words,
        version: words,
        cache: words,
        verdict: words,
        stages: words,
        tls: words,
        ja4: words,
        country: words,
        error: words,
        ..typical()
    });
    for key in [
        "location", "zone", "version", "cache", "verdict", "stages", "tls", "ja4", "country",
        "error",
    ] {
        assert_eq!(value[key], words, "{key}");
    }
}

#[test]
fn the_worst_line_stays_within_its_limit() {
    let long = vec![0xffu8; 100_000];
    let word = "\u{1}".repeat(10_000);
    let value = parsed(&Record {
        location: &word,
        zone: &word,
        version: &word,
        cache: &word,
        verdict: &word,
        stages: &word,
        tls: &word,
        ja4: &word,
        country: &word,
        error: &word,
        method: &long,
        host: &long,
        path: &long,
        user_agent: &long,
        referer: &long,
        bytes_in: u64::MAX,
        bytes_out: u64::MAX,
        duration_us: u64::MAX,
        origin_us: Some(u64::MAX),
        time: u64::MAX,
        client_ip: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap(),
        status: u16::MAX,
        bot_score: Some(255),
        ..typical()
    });
    assert_eq!(
        value["path"].as_str().unwrap().chars().count(),
        PATH_LIMIT + 1
    );
    assert!(value["path"].as_str().unwrap().ends_with('…'));
    assert_eq!(
        value["user_agent"].as_str().unwrap().chars().count(),
        FIELD_LIMIT + 1
    );
    assert_eq!(
        value["referer"].as_str().unwrap().chars().count(),
        FIELD_LIMIT + 1
    );
}

#[test]
fn credentials_do_not_reach_the_line() {
    let line = line(&Record {
        host: b"user:hunter2@example.com",
        path: b"/login?user=ann&password=hunter2&next=%2Fcb%3Fcode%3Dhunter2",
        referer: b"https://ann:hunter2@example.com/?access_token=hunter2",
        ..typical()
    });
    assert!(!line.contains("hunter2"), "{line}");
    assert!(
        line.contains("/login?user=ann&password=***&next=%2Fcb%3Fcode%3D***"),
        "{line}"
    );
    assert!(line.contains("\"host\":\"example.com\""), "{line}");
    assert!(
        line.contains("\"https://example.com/?access_token=***\""),
        "{line}"
    );
}
