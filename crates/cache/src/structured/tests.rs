//! Cases from RFC 9651, and made-up bytes.

use super::*;

fn integer(number: i64) -> Member<'static> {
    bare(Bare::Integer(number))
}

fn bare(bare: Bare<'static>) -> Member<'static> {
    Member::Item(Item {
        bare,
        parameters: Parameters::default(),
    })
}

fn one(field: &str) -> Result<Bare<'_>, Malformed> {
    let mut members = list(field.as_bytes())?;
    match members.pop() {
        Some(Member::Item(item)) if members.is_empty() => Ok(item.bare),
        _ => Err(Malformed),
    }
}

#[test]
fn dictionaries_of_the_rfc() {
    let field = b"a=?0, b, c; foo=bar";
    let found = dictionary(field).unwrap();
    assert_eq!(found.get("a"), Some(&bare(Bare::Boolean(false))));
    assert_eq!(found.get("b"), Some(&bare(Bare::Boolean(true))));
    let Some(Member::Item(item)) = found.get("c") else {
        panic!("{found:?}");
    };
    assert_eq!(item.parameters.get("foo"), Some(&Bare::Token("bar")));
    let inner = dictionary(b"rating=1.5, feelings=(joy sadness)").unwrap();
    assert_eq!(inner.get("rating"), Some(&bare(Bare::Decimal(1_500))));
    assert!(matches!(inner.get("feelings"), Some(Member::Inner(items, _)) if items.len() == 2));
    // §4.2.2: the last one of a key holds.
    assert_eq!(
        dictionary(b"a=1,b=2,a=3").unwrap().get("a"),
        Some(&integer(3))
    );
    assert!(dictionary(b"").unwrap().is_empty());
    assert!(dictionary(b"  ").unwrap().is_empty());
}

#[test]
fn what_does_not_parse_as_a_whole_is_no_field() {
    for field in [
        "max-age=10000, &&&&&",
        "MaX-aGe=3600",
        "max-age =100",
        "max-age= 100",
        "a=1,",
        ",a=1",
        "a=1,,b=2",
        "a=1 b=2",
        "a=(1",
        "a=(1 2)x",
        "a=(1,2)",
        "a=\"x",
        "a=\"\\x\"",
        "a=1;",
        "a=1;B",
        "a=;b",
        "1=a",
        "a=\u{fc}",
        "\ta=1",
    ] {
        assert_eq!(dictionary(field.as_bytes()), Err(Malformed), "{field}");
    }
    assert_eq!(dictionary(b"a=\xff"), Err(Malformed));
}

#[test]
fn values_of_each_type() {
    for (text, value) in [
        ("42", Bare::Integer(42)),
        ("-0", Bare::Integer(0)),
        ("-999999999999999", Bare::Integer(-999_999_999_999_999)),
        ("4.5", Bare::Decimal(4_500)),
        ("-0.001", Bare::Decimal(-1)),
        ("999999999999.999", Bare::Decimal(999_999_999_999_999)),
        ("\"hello world\"", Bare::String("hello world".into())),
        ("\"a\\\"b\\\\\"", Bare::String("a\"b\\".into())),
        ("foo123/456", Bare::Token("foo123/456")),
        ("*a:b", Bare::Token("*a:b")),
        (":cHJldGVuZA==:", Bare::Bytes(b"pretend".to_vec())),
        (":cHJldGVuZA:", Bare::Bytes(b"pretend".to_vec())),
        ("::", Bare::Bytes(Vec::new())),
        ("?1", Bare::Boolean(true)),
        ("@1659578233", Bare::Date(1_659_578_233)),
        ("@-1", Bare::Date(-1)),
        ("%\"f%c3%bc\"", Bare::Display("f\u{fc}".into())),
    ] {
        assert_eq!(one(text), Ok(value), "{text}");
    }
    for text in [
        "9999999999999999",
        "1.",
        "1.2345",
        "1234567890123.1",
        "-",
        "--1",
        "1..2",
        "\"\u{7f}\"",
        "\"\n\"",
        ":a:",
        ":a-_b:",
        ":ab",
        "?2",
        "@1.5",
        "%\"%C3\"",
        "%\"%c3\"",
        "%\"%c",
        "%\"a",
        "(1",
    ] {
        assert!(list(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn what_is_written_reads_as_it_was() {
    let mut out = Vec::new();
    write_string(b"a \"quoted\" \\ b", &mut out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(one(&text), Ok(Bare::String("a \"quoted\" \\ b".into())));
    let mut out = Vec::new();
    write_string(b"\x00\xff\r\n", &mut out);
    assert_eq!(out, b"\"\"");
}

/// Neither panics nor takes more than linear time, whatever comes.
#[test]
fn made_up_bytes_are_read_or_refused() {
    let mut random = crate::made_up::Random::new(7);
    let alphabet = b"a=b, ;\"\\(1.9-?0@%:*/A\x80\t3c";
    for _ in 0..20_000 {
        let length = random.below(40);
        let field: Vec<u8> = (0..length)
            .map(|_| alphabet[random.below(alphabet.len())])
            .collect();
        let _ = dictionary(&field);
        let _ = list(&field);
    }
    let long = "a=((".repeat(100_000);
    assert!(dictionary(long.as_bytes()).is_err());
}
