//! Bodies and cookies that readers read in more than one way.

use super::*;

#[test]
fn no_part_hides_behind_a_file_name() {
    let rules = "SecRule ARGS_POST:a \"@contains evil\" \"id:1,phase:2,pass\"\n\
                 SecRule FILES_NAMES \"@streq a\" \"id:2,phase:2,pass\"\n\
                 SecRule MULTIPART_STRICT_ERROR|REQBODY_ERROR \"!@eq 0\" \"id:3,phase:2,pass\"";
    for (more, expected) in [
        ("", &[1][..]),
        ("\r\nContent-Type: application/octet-stream", &[1]),
        ("; filename=\"\"", &[1, 2]),
        ("; filename=", &[1, 2]),
        ("; filename=\"b\"", &[1, 2]),
        ("; filename=\"b\"\r\nContent-Type:", &[1, 2]),
        ("; filename=\"b\"\r\nContent-Type: text/plain", &[2]),
        ("; filename =\"b\"\r\nContent-Type: text/plain", &[2, 3]),
        ("; filename=\"b\"\r\nContent-Type: text/plain\0", &[2, 3]),
    ] {
        let body = format!(
            "--x1\r\nContent-Disposition: form-data; name=\"a\"{more}\r\n\r\nevil\r\n--x1--\r\n"
        );
        let sent = Sent {
            target: "/",
            headers: &[("Content-Type", "multipart/form-data; boundary=x1")],
            body: &body,
        };
        let came = play(rules, &sent, Engine::On);
        assert_eq!(came.ids, expected, "{more}");
    }
}

#[test]
fn files_have_the_names_that_anybody_reads() {
    let rules = "SecRule FILES \"@streq a.txt\" \"id:1,phase:2,pass\"\n\
                 SecRule FILES|MULTIPART_FILENAME \"@streq b.php\" \"id:2,phase:2,pass\"\n\
                 SecRule &FILES \"@eq 1\" \"id:3,phase:2,pass\"\n\
                 SecRule MULTIPART_STRICT_ERROR|REQBODY_ERROR \"!@eq 0\" \"id:4,phase:2,pass\"\n\
                 SecRule ARGS \"@contains evil\" \"id:5,phase:2,pass\"";
    for (names, expected) in [
        ("filename=a.txt; filename*=utf-8''a.txt", &[1, 3][..]),
        ("filename=a.txt; filename*=utf-8''b%2Ephp", &[1, 2]),
        ("filename*=utf-8''b.php", &[4, 5]),
        ("filename=a.txt; filename*=utf-8''b%2", &[1, 3, 4]),
    ] {
        let body = format!(
            "--x1\r\nContent-Disposition: form-data; name=f; {names}\r\nContent-Type: text/plain\r\n\r\nevil\r\n--x1--\r\n"
        );
        let sent = Sent {
            target: "/",
            headers: &[("Content-Type", "multipart/form-data; boundary=x1")],
            body: &body,
        };
        assert_eq!(play(rules, &sent, Engine::On).ids, expected, "{names}");
    }
}

#[test]
fn a_type_without_a_body_is_no_error() {
    let rules = "SecRule MULTIPART_STRICT_ERROR|MULTIPART_UNMATCHED_BOUNDARY|REQBODY_ERROR \"!@eq 0\" \"id:1,phase:2,pass\"\n\
                 SecRule REQUEST_BODY_LENGTH|&ARGS|&FILES \"!@eq 0\" \"id:2,phase:2,pass\"\n\
                 SecRule REQBODY_PROCESSOR \"@streq MULTIPART\" \"id:3,phase:2,pass\"";
    for headers in [
        &[("Content-Type", "multipart/form-data")][..],
        &[("Content-Type", "multipart/form-data; boundary=x1")],
        &[
            ("Content-Type", "multipart/form-data; boundary=x1"),
            ("Content-Length", "0"),
        ],
    ] {
        let sent = Sent {
            target: "/",
            headers,
            body: "",
        };
        assert_eq!(play(rules, &sent, Engine::On).ids, [3], "{headers:?}");
        let sent = Sent { body: "a", ..sent };
        assert_eq!(play(rules, &sent, Engine::On).ids[0], 1, "{headers:?}");
    }
}

#[test]
fn quoted_cookies_are_told_without_their_backslashes_too() {
    let rules = "SecRule REQUEST_COOKIES:q \"@contains union select\" \"id:1,phase:1,pass\"\n\
                 SecRule &REQUEST_COOKIES:q \"@eq 2\" \"id:2,phase:1,pass\"\n\
                 SecRule REQUEST_COOKIES:q \"@contains 165nion\" \"id:3,phase:1,pass\"\n\
                 SecRule &REQUEST_COOKIES_NAMES \"@gt 2\" \"id:4,phase:1,pass\"\n\
                 SecRule REQUEST_COOKIES:b \"@streq 2\" \"id:5,phase:1,pass\"";
    for (cookie, expected) in [
        (r#"q="1\047 \165nion \163elect"; b=2"#, &[1, 2, 3, 5][..]),
        (r#"q= "1\047 \165nion \163elect" ; b=2"#, &[1, 2, 3, 5]),
        (r#"q="1\073; \165nion \163elect"; b=2"#, &[1, 2, 4, 5]),
        (r#"q="union select"; b=2"#, &[1, 5]),
        (r#"q=1\047 \165nion \163elect; b=2"#, &[3, 5]),
    ] {
        let sent = Sent {
            target: "/",
            headers: &[("Cookie", cookie)],
            body: "",
        };
        assert_eq!(play(rules, &sent, Engine::On).ids, expected, "{cookie}");
    }
}
