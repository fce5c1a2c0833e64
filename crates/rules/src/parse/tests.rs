//! Every error with its place. The second line of each case has `^` below what the error points at.

mod functions;

use std::sync::Arc;

use super::*;
use crate::expression::Expression;
use crate::networks::NetworkSet;

fn lists() -> Lists {
    let mut lists = Lists::new();
    lists.insert("office", Arc::new(NetworkSet::default()));
    lists.insert("bad-bots", Arc::new(NetworkSet::default()));
    lists
}

fn parse(source: &str) -> Result<Expression, Error> {
    Expression::parse(source, &lists(), &Bounds::default())
}

/// The error's place as `^` below the source, and what it says.
fn wrong(source: &str) -> (String, String) {
    let error = match parse(source) {
        Ok(expression) => panic!("{source} was taken: {expression:?}"),
        Err(error) => error,
    };
    let rendered = error.render(source);
    let marks = rendered.lines().nth(1).unwrap_or_default().to_owned();
    (marks, error.to_string())
}

#[track_caller]
fn check(cases: &[(&str, &str, &str)]) {
    for (source, marks, says) in cases {
        let (place, text) = wrong(source);
        assert_eq!(place, *marks, "{source}\n{text}");
        assert!(text.contains(says), "{source}\n{text}\nhas no {says}");
    }
}

#[test]
fn names_that_are_unknown_name_the_nearest() {
    check(&[
        (
            "http.hots eq \"a\"",
            "^^^^^^^^^",
            "did you mean `http.host`?",
        ),
        (
            "http.request.url.path eq \"a\"",
            "^^^^^^^^^^^^^^^^^^^^^",
            "`http.request.uri.path`",
        ),
        (
            "ssl and foo",
            "        ^^^",
            "\"foo\" is no field (there are http.host",
        ),
        (
            "HTTP.HOST eq \"a\"",
            "^^^^^^^^^",
            "did you mean `http.host`?",
        ),
        (
            "start_with(http.host, \"a\")",
            "^^^^^^^^^^",
            "did you mean `starts_with`?",
        ),
        (
            "substr(http.host, 1)",
            "^^^^^^",
            "no function (there are starts_with, ends_with",
        ),
        (
            "http.host(\"a\")",
            "^^^^^^^^^",
            "`http.host` is a field: leave the parenthesis out",
        ),
        ("len eq 4", "^^^", "write len(text)"),
        ("lenn eq 4", "^^^^", "write len(text)"),
        (
            "ip.src in $ofice",
            "          ^^^^^^",
            "did you mean `$office`?",
        ),
        (
            "ip.src in $bad_bots",
            "          ^^^^^^^^^",
            "did you mean `$bad-bots`?",
        ),
        (
            "ip.src in $x",
            "          ^^",
            "there is no list `$x` (lists are declared",
        ),
        ("ip.src in $", "          ^", "write its name behind the $"),
    ]);
}

#[test]
fn operators_that_do_not_fit_say_which_do() {
    check(&[
        (
            "http.host equals \"a\"",
            "          ^^^^^^",
            "\"equals\" is no operator",
        ),
        (
            "http.host containz \"a\"",
            "          ^^^^^^^^",
            "did you mean `contains`?",
        ),
        ("http.host = \"a\"", "          ^", "write `eq` or `==`"),
        (
            "http.host lt \"a\"",
            "          ^^",
            "`lt` does not ask text, which http.host is (text can be asked: eq, ne, contains, matches, wildcard, strict wildcard, in)",
        ),
        (
            "http.host >= \"a\"",
            "          ^^",
            "`>=` does not ask text",
        ),
        (
            "ip.src contains \"1\"",
            "       ^^^^^^^^",
            "an address can be asked: eq, ne, in",
        ),
        (
            "len(http.host) ~ \"1\"",
            "               ^",
            "a number can be asked: eq, ne, le, lt, ge, gt, in",
        ),
        (
            "ssl eq true",
            "    ^^",
            "ssl is yes or no and is compared with nothing (write `ssl` or `not ssl`)",
        ),
        (
            "starts_with(http.host, \"a\") == 1",
            "                            ^",
            "`not starts_with(http.host, \"a\")`",
        ),
        (
            "http.host",
            "         ^",
            "http.host is compared with nothing",
        ),
        (
            "http.host and ssl",
            "          ^",
            "http.host is compared with nothing",
        ),
        (
            "(http.host )",
            "           ^",
            "http.host is compared with nothing",
        ),
        (
            "ip.src && ssl",
            "       ^",
            "ip.src is compared with nothing",
        ),
    ]);
}

#[test]
fn values_have_the_kind_of_their_field() {
    check(&[
        (
            "http.host eq example.com",
            "             ^^^^^^^^^^^",
            "http.host is text, and this is none (compare it with a text in quotes: \"example.com\")",
        ),
        ("http.host eq", "            ^", "http.host is text"),
        (
            "http.host eq $office",
            "             ^",
            "http.host is text",
        ),
        (
            "http.host in \"a\"",
            "             ^",
            "a set is missing here (write its members in braces: {\"a\" \"b\"})",
        ),
        (
            "http.host in $office",
            "             ^^^^^^^",
            "this list is of addresses, and http.host is none",
        ),
        (
            "http.host in {\"a\" b}",
            "                  ^",
            "text in quotes: \"b\"",
        ),
        (
            "http.host in {\"a\", \"b\"}",
            "                 ^",
            "stand apart by spaces",
        ),
        ("http.host in {}", "             ^^", "this set is empty"),
        (
            "http.host in {\"a\"",
            "             ^",
            "this set is not closed",
        ),
        (
            "http.host eq \"a.test:80\"",
            "             ^^^^^^^^^^^",
            "http.host has no port (write \"a.test\")",
        ),
        (
            "lower(http.cookie) eq \"aB\"",
            "                      ^^^^",
            "lower(http.cookie) never has letters in upper case (write \"ab\")",
        ),
        (
            "starts_with(upper(http.cookie), \"aB\")",
            "                                ^^^^",
            "never has letters in lower case (write \"AB\")",
        ),
        (
            "len(http.host) gt \"4\"",
            "                  ^",
            "len(http.host) is a number, and this is none",
        ),
        (
            "len(http.host) gt 4x",
            "                  ^^",
            "\"4x\" is no number",
        ),
        (
            "len(http.host) gt -",
            "                  ^",
            "there is no number behind this",
        ),
        (
            "len(http.host) gt 99999999999999999999",
            "                  ^^^^^^^^^^^^^^^^^^^^",
            "this number is too large",
        ),
        (
            "len(http.host) in {5..1}",
            "                   ^^^^",
            "nothing in it (write 1..5)",
        ),
        (
            "len(http.host) in {1..}",
            "                      ^",
            "is a number, and this is none",
        ),
        (
            "ip.src eq \"192.0.2.1\"",
            "          ^",
            "write it without quotes: 192.0.2.1",
        ),
        (
            "ip.src eq 10.0.0.0/8",
            "          ^^^^^^^^^^",
            "write `in {10.0.0.0/8}`",
        ),
        (
            "ip.src eq 10.0.0",
            "          ^^^^^^",
            "\"10.0.0\" is no IP network",
        ),
        (
            "ip.src in 10.0.0.0/8",
            "          ^^^^^^^^",
            "a set is missing here (write its members in braces: {192.0.2.1 10.0.0.0/8})",
        ),
        (
            "ip.src in {10.0.0.1/8}",
            "           ^^^^^^^^^^",
            "did you mean \"10.0.0.0/8\" or \"10.0.0.1\"?",
        ),
        (
            "ip.src in {10.0.0.9..10.0.0.1}",
            "           ^^^^^^^^^^^^^^^^^^",
            "not behind its last",
        ),
        (
            "ip.src in {10.0.0.9..::1}",
            "           ^^^^^^^^^^^^^",
            "not of both",
        ),
        (
            "ip.src in {10.0.0.0/8..11.0.0.0/8}",
            "           ^^^^^^^^^^^^^^^^^^^^^^",
            "without `/`",
        ),
        (
            "ip.src in {::ffff:10.0.0.1}",
            "           ^^^^^^^^^^^^^^^",
            "write it as IPv4: \"10.0.0.1\"",
        ),
        (
            "ip.src in {10.0.0.1..}",
            "                     ^",
            "an address is missing here",
        ),
    ]);
}

#[test]
fn texts_are_closed_and_escaped() {
    check(&[
        (
            "http.host eq \"abc",
            "             ^",
            "this text is not closed (end it with \")",
        ),
        (
            "http.host eq r#\"abc\"",
            "             ^^^",
            "end it with \"#",
        ),
        (
            r#"http.host eq "a\d""#,
            "               ^^",
            r#"best written as r"…""#,
        ),
        (
            r#"http.host eq "a\é""#,
            "               ^^",
            "this is no escape",
        ),
        (
            r#"http.host eq "\xg0""#,
            "              ^^",
            "without its two hex digits",
        ),
        ("http.host eq \"\\", "              ^", "this is no escape"),
        ("http.host eq \"\\x", "              ^^", "hex digits"),
    ]);
}

#[test]
fn patterns_are_wrong_at_their_character() {
    check(&[
        (
            "http.host matches r\"a(b\"",
            "                     ^",
            "this is no pattern: unclosed group",
        ),
        (
            "http.host matches r#\"é[\"#",
            "                      ^",
            "unclosed character class",
        ),
        ("http.host ~ \"a(b\"", "              ^", "unclosed group"),
        (
            "http.host ~ \"\\\\(a(b\"",
            "            ^^^^^^^^",
            "unclosed group",
        ),
        (
            r#"http.host ~ r"\p{L}""#,
            "              ^^^^^",
            "patterns are of bytes",
        ),
        (
            "http.host ~ r\"a{1000}{1000}\"",
            "            ^^^^^^^^^^^^^^^^",
            "this pattern is too large",
        ),
        (r#"http.host ~ "\xff""#, "            ^^^^^^", "no UTF-8"),
        (
            r#"http.host ~ r"(?=a)""#,
            "              ^^^",
            "they cannot be matched in linear time",
        ),
    ]);
}

#[test]
fn what_stands_in_the_wrong_place_is_pointed_at() {
    check(&[
        ("", "^", "this expression is empty"),
        (" \t\n", "^", "this expression is empty"),
        ("ssl adn ssl", "    ^^^", "did you mean `and`?"),
        ("ssl ssl", "    ^^^", "join comparisons with `and` or `or`"),
        ("ssl and", "       ^", "a comparison is missing here"),
        ("and ssl", "^^^", "a comparison is missing before `and`"),
        (
            "ssl or or ssl",
            "       ^^",
            "a comparison is missing before `or`",
        ),
        ("not", "   ^", "a comparison is missing here"),
        ("(ssl", "^", "this parenthesis is not closed"),
        ("((ssl)", "^", "this parenthesis is not closed"),
        ("ssl)", "   ^", "this `)` closes nothing"),
        ("()", " ^", "a comparison begins with a field"),
        (
            "\"a\" eq http.host",
            "^",
            "a comparison begins with a field",
        ),
        (
            "10.0.0.1 eq ip.src",
            "^^^^^^^^",
            "values stand behind its operator",
        ),
        ("ssl & ssl", "    ^", "\"&\" is not expected here"),
        ("é", "^", "\"é\" is not expected here"),
        (
            "ssl \u{0}",
            "     ^".get(1..).unwrap_or_default(),
            "\"\\0\" is not expected here",
        ),
        (
            "lower(http.host",
            "     ^",
            "this parenthesis is not closed",
        ),
        (
            "lower(ip.src) eq \"a\"",
            "      ^^^^^^",
            "ip.src is an address (this function takes a text)",
        ),
        ("len(ssl) eq 1", "    ^^^", "ssl is yes or no"),
        (
            "starts_with(http.host \"a\")",
            "                      ^",
            "a comma and a text are missing here (http.host, \"…\")",
        ),
        (
            "starts_with(http.host, a)",
            "                       ^",
            "text in quotes",
        ),
    ]);
}

#[test]
fn header_lines_are_picked() {
    check(&[
        (
            "http.request.headers eq \"a\"",
            "^^^^^^^^^^^^^^^^^^^^",
            "is several texts by name (write [\"name\"][0] behind it",
        ),
        (
            "http.request.headers[0] eq \"a\"",
            "                     ^",
            "the name of a header is missing here",
        ),
        (
            "http.request.headers[\"a\" eq \"a\"",
            "                         ^^",
            "`]` is missing here",
        ),
        (
            "http.request.headers[\"a:\"][0] eq \"a\"",
            "                     ^^^^",
            "this is no name of a header",
        ),
        (
            "http.request.headers[\"\"][0] eq \"a\"",
            "                     ^^",
            "this is no name of a header",
        ),
        (
            "http.request.headers[\"a\"] eq \"a\"",
            "^^^^^^^^^^^^^^^^^^^^^^^^^",
            "is of several lines (write [0] behind it",
        ),
        (
            "http.request.headers[\"a\"][] eq \"a\"",
            "                          ^",
            "which line is missing here",
        ),
        (
            "http.request.headers[\"a\"][-1] eq \"a\"",
            "                          ^^",
            "there is no such line",
        ),
        (
            "http.request.headers[\"a\"][*] eq \"a\"",
            "                          ^",
            "any(…) or all(…)",
        ),
        (
            "any(http.host eq \"a\")",
            "    ^^^^^^^^^^^^^^^^",
            "nothing in these parentheses stands for all lines",
        ),
        (
            "any(http.request.headers[\"a\"][*] eq \"a\" or ssl)",
            "                                        ^^",
            "\"or\" is not expected here",
        ),
        (
            "lower(http.request.headers[\"a\"]) eq \"a\"",
            "      ^^^^^^^^^^^^^^^^^^^^^^^^^",
            "write [0] behind it",
        ),
        (
            "http.request.headers[\"Seawall-Ray\"][0] eq \"a\"",
            "                     ^^^^^^^^^^^^^",
            "not a client's to send",
        ),
        (
            "http.request.headers[\"cf_access-jwt\"][0] eq \"a\"",
            "                     ^^^^^^^^^^^^^^^",
            "taken out before rules look",
        ),
        (
            "http.request.headers[\"content_length\"][0] eq \"1\"",
            "                     ^^^^^^^^^^^^^^^^",
            "taken out before rules look",
        ),
    ]);
}

#[test]
fn places_are_right_on_later_lines() {
    let source = "ssl and\n  http.host eq\n  exämple";
    let error = parse(source).unwrap_err();
    assert_eq!(source.get(error.at..error.at + error.len), Some("ex"));
    assert_eq!(error.render(source), "  exämple\n  ^^");
}

#[test]
fn every_bound_holds() {
    let tight = Bounds {
        source_bytes: 200,
        depth: 2,
        nodes: 4,
        set_members: 3,
        pattern_bytes: 9_000,
    };
    let says = |source: &str| match Expression::parse(source, &lists(), &tight) {
        Ok(_) => "taken".to_owned(),
        Err(error) => error.what,
    };
    for (source, expected) in [
        ("((ssl))", "taken"),
        ("(((ssl)))", "parentheses are nested deeper than 2"),
        (
            "lower(lower(lower(http.cookie))) eq \"\"",
            "parentheses are nested deeper than 2",
        ),
        ("ssl or ssl or ssl", "taken"),
        (
            "ssl or ssl or ssl or ssl",
            "this expression has more than 4 parts",
        ),
        ("http.host in {\"a\" \"b\" \"c\"}", "taken"),
        (
            "http.host in {\"a\" \"b\" \"c\" \"c\"}",
            "this set has more than 3 members",
        ),
        ("http.host ~ \"a{90}\"", "taken"),
        ("http.host ~ \"a{9000}\"", "this pattern is too large"),
        (
            "http.host ~ \"a{90}\" or http.host ~ \"b{90}\" or http.host ~ \"c{90}\"",
            "this pattern is too large",
        ),
    ] {
        assert_eq!(says(source), expected, "{source}");
    }
    let long = format!("http.cookie eq \"{}\"", "a".repeat(200));
    assert_eq!(says(&long), "this expression is longer than 200 bytes");
    let deep = format!("{}ssl{}", "(".repeat(1000), ")".repeat(1000));
    let unbound = Bounds {
        depth: usize::MAX,
        ..Bounds::default()
    };
    let error = Expression::parse(&deep, &lists(), &unbound).unwrap_err();
    assert_eq!(
        (error.at, error.what.as_str()),
        (128, "parentheses are nested deeper than 128")
    );
}

#[test]
fn an_expression_knows_its_source_and_its_lists() {
    let source = "ip.src in $office or ip.src in $bad-bots or not ip.src in $office";
    let expression = parse(source).unwrap();
    assert_eq!(expression.source(), source);
    assert_eq!(
        expression.lists().collect::<Vec<_>>(),
        ["bad-bots", "office"]
    );
}
