//! A folder as an origin, asked by curl.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::tools::{Answer, connect, curl, raw};
use crate::up::{Folder, Up};

const PAGE: &str = "<!doctype html><title>Home</title><p>It works.\n";

/// A site in a folder with a secret beside it.
fn site() -> (Folder, PathBuf) {
    let folder = Folder::new();
    let root = folder.join("site");
    fs::create_dir_all(root.join("sub/.git")).unwrap();
    fs::create_dir_all(root.join(".well-known")).unwrap();
    fs::write(folder.join("secret.txt"), "secret").unwrap();
    fs::write(root.join("index.html"), PAGE).unwrap();
    fs::write(root.join("sub/index.html"), "sub").unwrap();
    fs::write(root.join("sub/.git/config"), "secret").unwrap();
    fs::write(root.join(".env"), "secret").unwrap();
    fs::write(root.join(".well-known/security.txt"), "Contact: x").unwrap();
    fs::write(root.join("empty.txt"), "").unwrap();
    fs::write(root.join("a b.css"), "p{}").unwrap();
    let long: String = (0..40_000).map(|n| format!("line {n}\n")).collect();
    fs::write(root.join("long.txt"), long).unwrap();
    symlink("../secret.txt", root.join("out.txt")).unwrap();
    symlink("/", root.join("root")).unwrap();
    symlink("index.html", root.join("in.html")).unwrap();
    // Old enough for a strong tag and for dates in If-Range.
    for name in ["index.html", "long.txt"] {
        let file = fs::File::options()
            .write(true)
            .open(root.join(name))
            .unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(3_600);
        file.set_modified(then).unwrap();
    }
    (folder, root)
}

fn up(root: &std::path::Path, more: &str) -> Up {
    Up::with_config(&format!(
        "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ url = \"file:{}\" }}]\n{more}\n",
        root.display()
    ))
}

fn get(up: &Up, path: &str, fields: &[&str]) -> Answer {
    let url = up.url(path);
    let mut flags = vec!["--path-as-is"];
    for field in fields {
        flags.extend(["--header", field]);
    }
    flags.push(&url);
    curl(&flags)
}

#[test]
fn files_have_their_types_and_the_same_over_every_protocol() {
    let (_folder, root) = site();
    let up = up(&root, "");
    for (path, kind, body) in [
        ("/", "text/html; charset=utf-8", PAGE),
        ("/?query", "text/html; charset=utf-8", PAGE),
        ("/in.html", "text/html; charset=utf-8", PAGE),
        ("/sub/", "text/html; charset=utf-8", "sub"),
        ("/a%20b.css", "text/css; charset=utf-8", "p{}"),
        ("/empty.txt", "text/plain; charset=utf-8", ""),
        (
            "/.well-known/security.txt",
            "text/plain; charset=utf-8",
            "Contact: x",
        ),
    ] {
        for (way, url) in [
            ("--http1.1", up.url(path)),
            ("--http1.0", up.url(path)),
            ("--http2-prior-knowledge", up.url(path)),
            ("--http2", up.tls_url(path)),
        ] {
            let answer = curl(&[way, &url]);
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, body),
                "{way} {path}"
            );
            assert_eq!(answer.field("content-type"), Some(kind), "{way} {path}");
            let length = body.len().to_string();
            assert_eq!(
                answer.field("content-length"),
                Some(length.as_str()),
                "{way} {path}"
            );
            assert_eq!(answer.field("accept-ranges"), Some("bytes"));
            assert!(answer.field("last-modified").is_some() && answer.field("etag").is_some());
            let head = curl(&[way, "--head", &url]);
            assert_eq!((head.status, head.body.len()), (200, 0), "{way} {path}");
            for name in ["content-type", "content-length", "etag", "last-modified"] {
                assert_eq!(head.field(name), answer.field(name), "{way} {path}: {name}");
            }
        }
    }
    let long = curl(&["--http2", &up.tls_url("/long.txt")]);
    assert_eq!(long.body, fs::read(root.join("long.txt")).unwrap());
    let record = up.record_of("/long.txt");
    assert_eq!(
        (&record["source"], &record["status"]),
        (&"origin".into(), &200.into())
    );
    let moved = get(&up, "/sub?x=1", &[]);
    assert_eq!(
        (moved.status, moved.field("location")),
        (301, Some("/sub/?x=1"))
    );
    let refused = curl(&["--request", "DELETE", &up.url("/")]);
    assert_eq!(
        (refused.status, refused.field("allow")),
        (405, Some("GET, HEAD"))
    );
    let posted = curl(&["--data", "x", &up.url("/")]);
    assert_eq!(posted.status, 405);
}

#[test]
fn nothing_leads_out_of_the_folder() {
    let (_folder, root) = site();
    let plain = up(&root, "");
    for path in [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/..%5csecret.txt",
        "/sub%2f..%2f..%2fsecret.txt",
        "/out.txt",
        "/root/etc/passwd",
        "//etc/passwd",
        "//secret.txt",
        "/.env",
        "/%2eenv",
        "/sub/.git/config",
        "/sub/%2Egit/config",
        "/index.html/",
        "/index.html/..",
        "/none",
        "/a%00b",
    ] {
        let answer = get(&plain, path, &[]);
        assert!(
            matches!(answer.status, 400 | 404),
            "{path}: {}",
            answer.status
        );
        assert!(!answer.text().contains("secret"), "{path}");
    }
    // As no client would write it.
    let said = raw(
        plain.http(),
        "GET /../secret.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert!(!said.contains("\r\n\r\nsecret"), "{said}");
    let dotted = Up::with_config(&format!(
        "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ url = \"file://{}\", dotfiles = true }}]\n",
        root.display()
    ));
    assert_eq!(get(&dotted, "/.env", &[]).status, 200);
    assert_eq!(get(&dotted, "/../secret.txt", &[]).status, 404);
    assert_eq!(get(&dotted, "/out.txt", &[]).status, 404);
}

#[test]
fn keys_are_not_served_and_no_folder_is_where_loopback_is_not_allowed() {
    let folder = Folder::new();
    let path = folder.join("").display().to_string();
    let config = format!(
        "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ url = \"file:{path}\" }}]\n"
    );
    let file = folder.write("seawall.toml", &config);
    let inside = Up::start(folder, &["--config", file.to_str().unwrap()]);
    assert_eq!(get(&inside, "/seawall.toml", &[]).status, 200);
    assert!(inside.data().join("up.json").exists());
    for path in ["/data/up.json", "/data/", "/data/access.log"] {
        assert_eq!(get(&inside, path, &[]).status, 404, "{path}");
    }
    drop(inside);
    let (_folder, root) = site();
    let strict = up(&root, "[edge]\noutward = [\"public\"]");
    let answer = get(&strict, "/", &[]);
    let said = answer.field("proxy-status").unwrap();
    assert_eq!(said, "seawall; error=destination_ip_prohibited");
}

#[test]
fn conditions_and_ranges() {
    let (_folder, root) = site();
    let up = up(&root, "");
    let whole = get(&up, "/long.txt", &[]);
    let (tag, date) = (
        whole.field("etag").unwrap(),
        whole.field("last-modified").unwrap(),
    );
    assert!(tag.starts_with('"'), "{tag}");
    let length = whole.body.len();
    for (fields, status) in [
        (vec![format!("If-None-Match: {tag}")], 304),
        (vec![format!("If-None-Match: \"x\", W/{tag}")], 304),
        (vec![format!("If-Modified-Since: {date}")], 304),
        (vec![format!("If-Match: {tag}")], 200),
        (vec!["If-Match: \"x\"".to_owned()], 412),
        (
            vec!["If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT".to_owned()],
            412,
        ),
        (
            vec!["Range: bytes=0-4".to_owned(), format!("If-Range: {tag}")],
            206,
        ),
        (
            vec!["Range: bytes=0-4".to_owned(), format!("If-Range: {date}")],
            206,
        ),
        (
            vec!["Range: bytes=0-4".to_owned(), "If-Range: \"x\"".to_owned()],
            200,
        ),
        (vec!["Range: bytes=0-1,3-4".to_owned()], 200),
    ] {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let answer = get(&up, "/long.txt", &fields);
        assert_eq!(answer.status, status, "{fields:?}");
        if status == 304 {
            assert!(
                answer.body.is_empty() && answer.field("etag") == Some(tag),
                "{fields:?}"
            );
        }
    }
    for (range, start, end) in [
        ("0-0", 0, 1),
        ("1000-70999", 1_000, 71_000),
        ("100000-", 100_000, length),
        ("-5", length - 5, length),
        ("-99999999", 0, length),
    ] {
        // Resumed by curl as it would be by hand.
        let url = up.url("/long.txt");
        let answer = curl(&["--range", range, &url]);
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.body, whole.body[start..end], "{range}");
        let said = format!("bytes {start}-{}/{length}", end - 1);
        assert_eq!(
            answer.field("content-range"),
            Some(said.as_str()),
            "{range}"
        );
    }
    let beyond = get(&up, "/long.txt", &["Range: bytes=99999999-"]);
    let said = format!("bytes */{length}");
    assert_eq!(
        (beyond.status, beyond.field("content-range")),
        (416, Some(said.as_str()))
    );
    // Another content, another tag.
    fs::write(root.join("long.txt"), "changed").unwrap();
    let changed = get(&up, "/long.txt", &[&format!("If-None-Match: {tag}")]);
    assert_eq!((changed.status, changed.text().as_str()), (200, "changed"));
    assert!(
        changed.field("etag").unwrap().starts_with("W/"),
        "it may still change"
    );
}

#[test]
fn files_are_compressed_and_edited_like_what_comes_from_a_server() {
    let (_folder, root) = site();
    let up = up(
        &root,
        "compress = {}\nresponse_headers = { set = { X-Site = \"folder\" } }\nhygiene = { nosniff = true }",
    );
    let plain = get(&up, "/long.txt", &[]);
    assert_eq!(plain.field("x-site"), Some("folder"));
    assert_eq!(plain.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(plain.field("vary"), Some("Accept-Encoding"));
    for coding in ["gzip", "br", "zstd"] {
        for way in ["--http1.1", "--http2-prior-knowledge"] {
            let accept = format!("Accept-Encoding: {coding}");
            let url = up.url("/long.txt");
            let answer = curl(&[way, "--compressed", "--header", &accept, &url]);
            assert_eq!(answer.field("content-encoding"), Some(coding));
            assert_eq!(answer.body, plain.body, "{way} {coding}");
            let tag = answer.field("etag").unwrap();
            assert!(tag.starts_with("W/"), "{tag}");
            let known = format!("If-None-Match: {tag}");
            let again = curl(&[way, "--header", &accept, "--header", &known, &url]);
            assert_eq!(
                (again.status, again.field("etag")),
                (304, Some(tag)),
                "{way}"
            );
            assert_eq!(again.field("vary"), Some("Accept-Encoding"), "{way}");
            let part = curl(&[way, "--header", &accept, "--range", "0-9", &url]);
            assert_eq!((part.status, part.field("content-encoding")), (206, None));
        }
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_is_not_presented_as_whole() {
    let (_folder, root) = site();
    let large = root.join("large.bin");
    fs::write(&large, vec![7; 64 << 20]).unwrap();
    let up = up(&root, "");
    let mut stream = connect(up.http());
    stream
        .write_all(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut first = [0; 1024];
    stream.read_exact(&mut first).unwrap();
    fs::File::options()
        .write(true)
        .open(&large)
        .unwrap()
        .set_len(0)
        .unwrap();
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    assert!(ended.is_err(), "{} bytes and a whole end", rest.len());
    let record = up.record_of("/large.bin");
    assert_eq!(record["error"], "http_response_incomplete", "{record}");
}
