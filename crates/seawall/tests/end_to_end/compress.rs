//! Compression, undone by curl: by decoders that are not ours.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::parents::Site;
use crate::tools::{Server, curl, curl_command};
use crate::up::Up;

fn before(site: &Server, more: &str) -> Up {
    Up::with_config(&format!(
        "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ url = \"{}\" }}]\n{more}\n",
        site.url()
    ))
}

const WAYS: [&str; 3] = ["--http1.1", "--http2-prior-knowledge", "--http2"];

#[test]
fn every_coding_comes_out_as_it_went_in_over_every_protocol() {
    let site = Server::site();
    let up = before(&site, "compress = {}");
    for path in [
        "/words?kib=1",
        "/words?kib=1&chunked",
        "/words?kib=40",
        "/words?kib=3000",
        "/words?kib=3000&chunked",
    ] {
        let straight = curl(&[&format!("{}{path}", site.url())]);
        for way in WAYS {
            let url = match way {
                "--http2" => up.tls_url(path),
                _ => up.url(path),
            };
            let plain = curl(&[way, &url]);
            assert_eq!(plain.body, straight.body, "{way} {path}");
            assert_eq!(plain.field("content-encoding"), None);
            assert_eq!(plain.field("vary"), Some("Accept-Encoding"), "{way} {path}");
            assert_eq!(plain.field("etag"), Some("\"words\""));
            for (accepts, coding) in [
                ("gzip", "gzip"),
                ("br", "br"),
                ("zstd", "zstd"),
                ("gzip;q=1, br;q=0.5", "gzip"),
                ("gzip, deflate, br, zstd", "zstd"),
            ] {
                let case = format!("{way} {path} {accepts}");
                let accept = format!("Accept-Encoding: {accepts}");
                let raw = curl(&[way, "--header", &accept, &url]);
                assert_eq!(raw.field("content-encoding"), Some(coding), "{case}");
                assert!(raw.body.len() * 2 < straight.body.len(), "{case}");
                assert_eq!(raw.field("vary"), Some("Accept-Encoding"), "{case}");
                assert_eq!(raw.field("etag"), Some("W/\"words\""), "{case}");
                assert_eq!(raw.field("accept-ranges"), None, "{case}");
                let decoded = curl(&[way, "--compressed", "--header", &accept, &url]);
                assert_eq!(decoded.body, straight.body, "{case}");
                let head = curl(&[way, "--head", "--header", &accept, &url]);
                for name in ["content-encoding", "vary", "etag"] {
                    assert_eq!(head.field(name), raw.field(name), "{case} {name}");
                }
                assert_eq!(head.field("content-length"), None, "{case}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_leaves_as_it_came() {
    let site = Server::site();
    let up = before(&site, "compress = { least = \"1KiB\" }");
    let get = |flags: &[&str], path: &str| {
        let all = "Accept-Encoding: gzip, br, zstd";
        let mut flags = flags.to_vec();
        let url = up.url(path);
        flags.extend(["--header", all, &url]);
        curl(&flags)
    };
    // Too short; of another type; for a client of HTTP/1.0; asked for by another site with a cookie.
    for (flags, path) in [
        (&[][..], "/style.css"),
        (&[], "/stream?mib=1"),
        (&["--http1.0"], "/words?kib=9"),
        (&["--header", "Cookie: a=1"], "/words?kib=9"),
    ] {
        let answer = get(flags, path);
        assert_eq!(answer.field("content-encoding"), None, "{flags:?} {path}");
        assert_eq!(answer.status, 200);
        let straight = curl(&[&format!("{}{path}", site.url())]);
        assert_eq!(answer.body, straight.body, "{flags:?} {path}");
    }
    let own = [
        "--header",
        "Cookie: a=1",
        "--header",
        "Sec-Fetch-Site: same-origin",
    ];
    assert_eq!(get(&own, "/words").field("content-encoding"), Some("zstd"));
    let off = before(&site, "");
    let answer = curl(&["--header", "Accept-Encoding: gzip", &off.url("/words")]);
    assert_eq!(
        (answer.field("content-encoding"), answer.field("vary")),
        (None, None)
    );
}

#[test]
fn no_transform_is_obeyed_and_a_weak_tag_revalidates() {
    let site = Server::site();
    let up = before(&site, "compress = { least = \"0B\" }");
    let gzip = ["--header", "Accept-Encoding: gzip"];
    let get = |more: &[&str], url: &str| {
        let mut flags = gzip.to_vec();
        flags.extend(more);
        flags.push(url);
        curl(&flags)
    };
    let page = get(&[], &up.url("/"));
    let tag = page.field("etag").unwrap().to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let again = get(
        &["--header", &format!("If-None-Match: {tag}")],
        &up.url("/"),
    );
    assert_eq!(
        (again.status, again.field("etag")),
        (304, Some(tag.as_str()))
    );
    let up = before(
        &site,
        "compress = {}\nresponse_headers = { set = { Cache-Control = \"public, no-transform\" } }",
    );
    let plain = get(&[], &up.url("/words"));
    assert_eq!(plain.field("content-encoding"), None);
    assert_eq!(plain.field("etag"), Some("\"words\""));
}

/// The head comes alone, and then each line by itself: what is flushed between them has no end in the middle.
#[test]
fn a_body_that_drips_is_whole() {
    let site = Server::site();
    let up = before(&site, "compress = {}");
    let straight = curl(&[&format!("{}/drip?ms=30&n=8", site.url())]);
    for way in ["--http1.1", "--http2-prior-knowledge"] {
        for coding in ["gzip", "br", "zstd"] {
            let accept = format!("Accept-Encoding: {coding}");
            let url = up.url("/drip?ms=30&n=8");
            let answer = curl(&[way, "--compressed", "--header", &accept, &url]);
            assert_eq!(answer.field("content-encoding"), Some(coding), "{way}");
            assert_eq!(answer.body, straight.body, "{way} {coding}");
        }
    }
}

#[test]
fn an_event_arrives_though_the_next_one_is_far_away() {
    let site = Server::site();
    let up = before(&site, "compress = {}");
    for way in ["--http1.1", "--http2-prior-knowledge"] {
        for coding in ["gzip", "br", "zstd"] {
            // The next line would come in an hour.
            let url = up.url("/lone-event");
            let mut reader = curl_command()
                .args([way, "--no-buffer", "--compressed", "--header"])
                .args([&format!("Accept-Encoding: {coding}"), &url])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            let read = BufReader::new(reader.stdout.take().unwrap()).read_line(&mut line);
            assert!(
                read.is_ok() && line == "data: one\n",
                "{way} {coding}: {line:?}"
            );
            reader.kill().unwrap();
            reader.wait().unwrap();
        }
    }
}

#[test]
fn what_is_stored_is_compressed_once_for_each_coding() {
    let site = Site::start();
    let up = Up::with_config(&format!(
        "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ url = \"http://{}\" }}]\n\
         compress = {{ least = \"1B\" }}\n",
        site.address
    ));
    let plain = curl(&[&up.url("/v")]);
    assert_eq!(plain.field("content-encoding"), None);
    for coding in ["gzip", "br", "zstd"] {
        let accept = format!("Accept-Encoding: {coding}");
        let get = |more: &[&str]| curl(&[&["--header", &accept], more, &[&up.url("/v")]].concat());
        let made = get(&[]);
        assert_eq!(made.field("content-encoding"), Some(coding));
        assert_eq!(
            made.field("content-length"),
            None,
            "{coding}: made while it leaves"
        );
        // From then on it is there, and its length is known.
        let kept = get(&[]);
        assert_eq!(kept.field("content-encoding"), Some(coding));
        assert_eq!(kept.body, made.body);
        let length = kept.body.len().to_string();
        assert_eq!(kept.field("content-length"), Some(length.as_str()));
        assert_eq!(kept.field("vary"), Some("Accept-Encoding"));
        let head = get(&["--head"]);
        assert_eq!(head.field("content-length"), Some(length.as_str()));
        assert_eq!(get(&["--compressed"]).body, plain.body);
    }
    // What becomes no shorter is found out once.
    let noise = curl(&[&up.url("/noise")]);
    for coding in [Some("br"), None] {
        let answer = curl(&["--header", "Accept-Encoding: br", &up.url("/noise")]);
        assert_eq!(answer.field("content-encoding"), coding);
        assert_eq!(answer.field("vary"), Some("Accept-Encoding"));
        assert!(coding.is_some() || answer.body == noise.body);
    }
    assert_eq!((site.asked("/v").len(), site.asked("/noise").len()), (1, 1));
}
