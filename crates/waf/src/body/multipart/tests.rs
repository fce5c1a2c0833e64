use super::*;

const BOUNDS: Bounds = Bounds {
    count: 4,
    depth: 0,
    files: 2,
};
const TYPE: &[u8] = b"multipart/form-data; boundary=x1";

fn read_it(body: &str) -> (Vec<String>, Flags, Result<(), &'static str>) {
    let (found, done) = read(TYPE, body.as_bytes(), BOUNDS);
    let parts = found.parts.iter().map(|part| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let file = part
            .file
            .as_deref()
            .map_or_else(String::new, |file| format!(" [{}]", text(file)));
        format!("{}{file}={}", text(&part.name), text(part.body))
    });
    (parts.collect(), found.flags, done)
}

fn part(disposition: &str) -> String {
    format!("--x1\r\nContent-Disposition: {disposition}\r\n\r\nv\r\n--x1--\r\n")
}

#[test]
fn parts_have_names_files_and_bodies() {
    let (parts, flags, done) = read_it(
        "--x1\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\ntwo\r\n--x1\r\n\
         Content-Disposition: form-data; name=f; filename=\"b \\\"c\\\".txt\"\r\nContent-Type: text/plain\r\n\r\n\r\n--x1--\r\n",
    );
    assert_eq!(done, Ok(()));
    assert_eq!(flags, Flags::default());
    assert_eq!(parts, ["a=one\r\ntwo", "f [b \"c\".txt]="]);
}

#[test]
fn without_a_file_name_or_a_type_a_part_is_an_argument_to_some() {
    for (more, is_argument, is_file) in [
        ("", true, false),
        ("; filename=\"\"", true, true),
        ("; filename=", true, true),
        ("; filename=\" \"", true, true),
        ("; filename=\"b\"", true, true),
        ("; filename=\"b\"\r\nContent-Type:", true, true),
        (
            "; filename=\"b\"\r\nContent-Type: a/b\r\nContent-Type: ",
            true,
            true,
        ),
        ("; filename=\"b\"\r\nContent-Type: a/b", false, true),
        (
            "; filename=b; filename*=UTF-8''c\r\nContent-Type: a/b",
            false,
            true,
        ),
    ] {
        let body = part(&format!("form-data; name=\"a\"{more}"));
        let (found, done) = read(TYPE, body.as_bytes(), BOUNDS);
        assert_eq!((found.flags, done), (Flags::default(), Ok(())), "{more}");
        let part = found.parts.first().unwrap();
        let is = (part.is_argument(), part.file.is_some());
        assert_eq!(is, (is_argument, is_file), "{more}");
    }
}

#[test]
fn what_is_no_text_is_a_file_though_it_has_no_type() {
    let body = |text: &[u8]| {
        let head = b"--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"f\"\r\n\r\n";
        [head, text, b"\r\n--b--\r\n"].concat()
    };
    for (text, is_argument) in [
        (&b"\xc3\xbc"[..], true),
        (b"\x89PNG", false),
        (b"a\0b", false),
    ] {
        let body = body(text);
        let (found, done) = read(b"multipart/form-data; boundary=b", &body, BOUNDS);
        assert_eq!(done, Ok(()));
        let part = found.parts.first().unwrap();
        assert_eq!(part.is_argument(), is_argument, "{text:?}");
    }
}

#[test]
fn what_is_odd_is_flagged() {
    let flag = |body: &str| read_it(body).1;
    let good = part("form-data; name=\"a\"");
    assert!(flag(&format!("x\r\n{good}")).data_before);
    assert!(flag(&format!("{good}x")).data_after);
    assert!(flag(&good.replace("\r\n", "\n")).lf_line);
    assert!(flag(&good.replace("v\r\n", "v\n")).crlf_and_lf);
    // How the lines of a picture or a text end is its own.
    let lines = good.replace("v\r\n", "v\nw\r\nx\n\ny\r\n");
    assert_eq!(flag(&lines), Flags::default());
    assert!(flag(&good.replace("v\r\n", "v\r\n--x1y\r\n")).unmatched_boundary);
    assert!(flag(&part("form-data;\r\n name=\"a\"")).header_folding);
    assert!(flag(&part("form-data name=\"a\"")).missing_semicolon);
    assert!(flag(&part("form-data; name='a'")).invalid_quoting);
    assert!(flag(&part("form-data; name=\"a\"x")).invalid_quoting);
    assert!(flag(&part("form-data; name=\"a\"; filename*=utf-8''b")).invalid_part);
    assert!(flag(&part("form-data; name=\"a\"; filename*=utf-8''b")).strict_error());
    assert_eq!(flag(&good), Flags::default());
}

#[test]
fn what_cannot_be_read_is_an_error() {
    for body in [
        "",
        "--x1\r\n",
        "--x1--",
        "--x1\r\nContent-Type: a\r\n\r\nv\r\n--x1--",
        "--x1\r\nContent-Disposition: form-data; name=a\r\n\r\nv",
        &part("attachment; name=a"),
        &part("form-data"),
        &part("form-data; name=a; name=b"),
        &part("form-data; name=\"a"),
    ] {
        let done = read_it(body).2;
        assert!(done.is_err() || body == "--x1--", "{body:?}");
    }
}

#[test]
fn a_quoted_boundary_is_read_without_its_quotes() {
    let read = |body: &str| {
        let quoted = b"multipart/form-data; boundary=\"x1\"";
        let (found, done) = read(quoted, body.as_bytes(), BOUNDS);
        (found.parts.len(), found.flags.unmatched_boundary, done)
    };
    let good = part("form-data; name=a");
    assert_eq!(read(&good), (1, false, Ok(())));
    let twofold = good.replace("v\r\n", "v\r\n--\"x1\"\r\n");
    assert_eq!(read(&twofold), (1, true, Ok(())));
}

#[test]
fn boundaries_are_checked() {
    let flags = |content_type: &str| read(content_type.as_bytes(), b"", BOUNDS).0.flags;
    for quoted in ["boundary=\"a\"", "boundary=\"-=_a\";charset=b"] {
        let flags = flags(&format!("multipart/form-data; {quoted}"));
        let expected = Flags {
            boundary_quoted: true,
            ..Flags::default()
        };
        assert_eq!(flags, expected, "{quoted}");
        assert!(!flags.strict_error(), "{quoted}");
    }
    for odd in [
        "\"a b\"", "\"a \"", "\"a,b\"", "\"a\"b", "\"a\" ", "a\"b\"", "a:b", "a/b", "a=b", "'a'",
    ] {
        let content_type = format!("multipart/form-data; boundary={odd}");
        let is_refused = boundary::read(content_type.as_bytes(), &mut Flags::default()).is_err();
        assert!(is_refused || flags(&content_type).strict_error(), "{odd}");
    }
    assert!(flags("multipart/form-data; boundary= a").boundary_whitespace);
    assert!(flags("multipart/form-data boundary=a").missing_semicolon);
    for wrong in [
        "multipart/form-data",
        "m; boundary=",
        "m; boundary=a; boundary=b",
        "m; boundary=\"a\"; boundary=a",
        "m; boundary=a; boundary*=utf-8''b",
        "m; boundary=a; boundary*0=b",
        "m; boundary*=utf-8''a",
        "m; boundary=\"a\\b\"",
        "m; boundary=\"a",
        "m; boundary=a\u{7}",
        // Some read AAA.
        "m; type=boundary=AAA; boundary=x1",
        "m; type=\"boundary=AAA\"; boundary=x1",
        "m; xBOUNDARY =AAA; boundary=x1",
        "m; boundary=x1; type=boundary=AAA",
        "m; boundary=x1; typeBoundary\t=AAA",
        // So does PHP.
        "m; boundaryfoo; x=AAA; boundary=x1",
        "m; a=boundary; b=AAA; boundary=x1",
        "m; Boundary=x1; a=boundary; b=AAA",
        "m; Boundary=my-boundary; b=AAA",
    ] {
        assert!(
            boundary::read(wrong.as_bytes(), &mut Flags::default()).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn a_boundary_may_have_the_word_in_it() {
    for (content_type, expected) in [
        ("m; boundary=boundary", "boundary"),
        (
            "m; boundary=----WebKitFormBoundaryX1",
            "----WebKitFormBoundaryX1",
        ),
        (
            "m; Boundary=----WebKitFormBoundaryX1",
            "----WebKitFormBoundaryX1",
        ),
        ("m; boundary=\"my-boundary-1\"; charset=b", "my-boundary-1"),
    ] {
        let read = boundary::read(content_type.as_bytes(), &mut Flags::default());
        assert_eq!(read, Ok(expected.as_bytes()), "{content_type}");
    }
}

#[test]
fn lines_of_a_text_may_begin_with_dashes() {
    for text in [
        "---\r\ntitle: a\r\n---",
        "-----BEGIN CERTIFICATE-----\r\nMII\r\n-----END CERTIFICATE-----",
        "--- a/x\n+++ b/x\n",
        "-- \r\nJane",
        "--",
        "--x",
        "--y1",
        "--inner\r\nContent-Type: text/plain\r\n\r\na\r\n--inner--",
        "x1",
    ] {
        let body = part("form-data; name=\"a\"").replace("v\r\n", &format!("{text}\r\n"));
        let (parts, flags, done) = read_it(&body);
        assert_eq!((flags, done), (Flags::default(), Ok(())), "{text}");
        assert_eq!(parts, [format!("a={text}")]);
    }
}

#[test]
fn what_a_reader_may_take_for_the_boundary_is_flagged() {
    for line in [
        "--x1junk",
        "--x1-",
        "--x1--junk",
        "--x1 ",
        "--x1\t",
        "--x1\u{c}",
        "--x1-- ",
        "--X1",
        "-- x1",
        " --x1",
        "\t-- \"X1\"",
        "--\"x1\"",
        "---x1",
        "text --x1",
        "text\r--x1",
        "text\r--x1\rContent-Disposition: form-data; name=\"q\"\r\rattack",
        "--x1\rContent-Disposition: form-data; name=\"q\"",
    ] {
        let body = part("form-data; name=\"a\"").replace("v\r\n", &format!("v\r\n{line}\r\n"));
        assert!(read_it(&body).1.unmatched_boundary, "{line:?}");
    }
    // So is one within a head, and the first one.
    let within = part("form-data; name=\"a\"\r\n--x1: b");
    let first = part("form-data; name=a").replacen("--x1", "--x1\r", 1);
    for body in [within, first] {
        assert!(read_it(&body).1.unmatched_boundary, "{body:?}");
    }
}

#[test]
fn what_passes_a_field_off_as_a_file_is_an_invalid_part() {
    for odd in [
        "name=\"q\"; filename =\"x\"",
        "name=\"q\"; filename\u{c}=\"x\"",
        "name=\"q\"; filename\u{b}=\"x\"",
        "name=\"q\"; filename= \"x\"",
        "name =\"q\"",
        "name=\"q\"; filename=(x)",
        "name=\"q\"; filename=[x",
        "name=\"q\"; filename=,x",
        "name=\"q\"; filename=a b",
        "name=q\0; filename=x",
        "name=\"q\u{7f}\"",
        "name=\"q\"\rX: y",
        "name=\"q\"\r\nX: y\u{b}",
        "name=\"q\"; filename*=utf-8''x",
        "name=\"q\"; filename=\"\"; filename*=utf-8''x",
        "name=\"q\"; filename=x; filename*=utf-8''",
        "name=\"q\"; filename=x; filename*=utf-8''%20",
        "name=\"q\"; filename=x; filename*=utf-8''%2",
        "name=\"q\"; filename=x; filename*=utf-8''a b",
        "name=\"q\"; filename=x; filename*=utf-8'en'x",
        "name=\"q\"; filename=x; filename*=iso-8859-1''x",
        "name=\"q\"; filename=x; filename*=\"utf-8''x\"",
        "name=\"q\"; filename=x; filename*=x",
        "name=\"q\"; filename=x; filename*=utf-8''x; filename*=utf-8''y",
        "name=\"q\"; filename=x; filename*0=y",
    ] {
        let typed = format!("form-data; {odd}\r\nContent-Type: a/b");
        let flags = read_it(&part(&typed)).1;
        assert!(flags.invalid_part && flags.strict_error(), "{odd:?}");
    }
    // To PHP the quote goes on to the end.
    for odd in ["name=\"q\\\\\"; filename=\"x\"", "name=\"q\\\\\""] {
        let flags = read_it(&part(&format!("form-data; {odd}"))).1;
        assert!(flags.invalid_quoting, "{odd}");
    }
    let fine = [
        "name=\"q\\\\r\"; filename=\"C:\\\\dir\\a.txt\"",
        "name=q;filename=a.txt",
        "name=\"q\" ; filename=\"größe\t1.txt\";",
    ];
    for fine in fine {
        let flags = read_it(&part(&format!("form-data; {fine}"))).1;
        assert_eq!(flags, Flags::default(), "{fine}");
    }
}

#[test]
fn a_file_may_have_a_name_in_utf_8_beside_its_own() {
    let disposition = "form-data; name=f; filename=\"=?utf-8?B?4oKsLnR4dA==?=\"; filename*=utf-8''%E2%82%AC+1.txt";
    let body = part(&format!("{disposition}\r\nContent-Type: text/plain"));
    let (found, done) = read(TYPE, body.as_bytes(), BOUNDS);
    assert_eq!((found.flags, done), (Flags::default(), Ok(())));
    let part = found.parts.first().unwrap();
    assert_eq!(part.file.as_deref(), Some(&b"=?utf-8?B?4oKsLnR4dA==?="[..]));
    assert_eq!(part.extended.as_deref(), Some("€+1.txt".as_bytes()));
    assert!(!part.is_argument());
}
