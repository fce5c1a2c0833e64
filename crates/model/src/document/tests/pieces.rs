//! Documents that are read in pieces mean what they mean as a whole.

use super::*;
use crate::document::pieces::LONG;

const ORIGIN: &str = "origin = [{ url = \"sample\" }]\n";

fn zone(name: &str, hosts: &str, more: &str) -> String {
    format!("[[zone]]\nname = \"{name}\"\nhosts = [{hosts}]\n{ORIGIN}{more}")
}

fn whole(text: &str, limits: &Limits) -> Parsed {
    assert!(text.len() < LONG);
    parse_zones(text, limits)
}

/// What it is in pieces of this many bytes; none when it was left to the parser of the whole.
fn cut(text: &str, size: usize, limits: &Limits) -> Option<Parsed> {
    in_pieces(text, &Pieces::of(text, size)?, limits)
}

fn documents() -> Vec<String> {
    let head = "# [[zone]]\nschema = 1\n[lists.office]\nips = [\"192.0.2.1\"]\n";
    let (a, b) = (
        zone("a", "\"a.test\"", ""),
        zone("b", "\"b.test\", \"*.b.test\"", ""),
    );
    vec![
        FULL.into(),
        format!("{head}{a}{b}"),
        // No schema, or another one.
        format!("{a}{b}"),
        format!("schema = 2\n{a}{b}"),
        // Names and hosts that several zones have, beside those that are wrong by themselves.
        format!("{head}{a}{b}{a}{a}"),
        format!(
            "{head}{}{}",
            zone("a", "\"x.test\", 1, \"*.b.test\", \"x.test\"", ""),
            b
        ),
        format!(
            "{head}{}{}{b}",
            zone("-", "\"b.test\"", ""),
            zone("-", "\"c.test\"", "")
        ),
        // Problems of all kinds, in the first, the last, and between.
        format!(
            "{head}{a}{}",
            zone("b", "\"b.test\"", "no = 1\nwebsocket = 2\n")
        ),
        format!(
            "{head}{}{a}",
            zone(
                "b",
                "\"b.test\"",
                "[zone.lists]\nblock = [\"offise\", \"office\"]\n"
            )
        ),
        format!(
            "{head}{}{a}[[zone]]\n[[zone]]\n",
            zone("b", "\"b.test\"", "[[zone.rule]]\nwhen = 'x'\n")
        ),
        format!("schema = 1\nedge.no = 1\n{a}{}", zone("b", "", "")),
        // What looks like a header and is none.
        format!(
            "{head}{}{b}",
            zone("a", "\"a.test\"", "max_body = '''\n[[zone]]\n'''\n")
        ),
        format!(
            "{head}{}{b}",
            zone(
                "a",
                "\"a.test\"",
                "max_body = \"\"\"\\\"\n[[zone]]\"\"\"\n# x\"\n"
            )
        ),
        format!(
            "{head}{}{b}",
            zone(
                "a",
                "\"a.test\"",
                "[zone.tls] # [[zone]]\nclient = \"off\"\n"
            )
        ),
        // What is a header, and looks different.
        format!(
            "{head}{a}[[ zone ]]\n{}",
            b.strip_prefix("[[zone]]\n").unwrap()
        ),
        format!(
            "{head}{a}\t [[zone]]# b\r\n{}",
            b.strip_prefix("[[zone]]\n").unwrap().replace('\n', "\r\n")
        ),
        format!(
            "{head}[[\"zone\"]]\n{}{b}",
            a.strip_prefix("[[zone]]\n").unwrap()
        ),
        // Sections behind zones, and what is no TOML.
        format!("schema = 1\n{a}{b}[edge]\nworkers = 2\n"),
        format!("schema = 1\n{a}[zone.tls]\n[zone.tls]\n{b}"),
        format!("schema = 1\nzone = []\n{a}{b}"),
        format!("schema = 1\n[zone.tls]\n{a}{b}"),
        format!("schema = 1\n{a}x = [\n{b}"),
        format!("schema = 1\n{a}x = \"\n{b}"),
        format!("schema = \n{a}{b}"),
        String::new(),
    ]
}

#[test]
fn what_is_read_in_pieces_means_what_it_means_as_a_whole() {
    let mut in_pieces = 0;
    for zones in [1, 2, 100] {
        let limits = Limits {
            zones,
            ..Limits::default()
        };
        for text in documents() {
            let expected = whole(&text, &limits);
            for size in [1, 60, 1_000] {
                if let Some(read) = cut(&text, size, &limits) {
                    assert_eq!(read, expected, "{size}: {text}");
                    in_pieces += 1;
                }
            }
        }
    }
    // Otherwise nothing was compared.
    assert!(in_pieces > 3 * 3 * 15, "{in_pieces}");
}

#[test]
fn what_is_not_as_expected_is_left_to_the_parser_of_the_whole() {
    let limits = Limits::default();
    let (a, b) = (zone("a", "\"a.test\"", ""), zone("b", "\"b.test\"", ""));
    for (text, cuts) in [
        (format!("schema = 1\n{a}{b}"), true),
        (format!("schema = 1\n{a}{b}[edge]\n"), false),
        (format!("schema = 1\n{a}x = [\n{b}"), false),
        (format!("schema = 1\nzone = []\n{a}"), false),
        ("schema = 1\n".into(), false),
    ] {
        assert_eq!(cut(&text, 1, &limits).is_some(), cuts, "{text}");
    }
}

#[test]
fn many_zones_are_read_and_one_that_is_bad_is_told_with_its_line() {
    let count = 20_000;
    let mut text = String::from("schema = 1\n");
    for n in 0..count {
        text.push_str(&zone(&format!("z{n}"), &format!("\"z{n}.test\""), ""));
    }
    assert!(text.len() > 2 * LONG);
    // As a whole it is far too heavy for this.
    let limits = Limits {
        document_memory: 32 << 20,
        ..Limits::default()
    };
    assert!(weight::of(&text) > limits.document_memory);
    let good = parse_zones(&text, &limits);
    assert_eq!((good.problems, good.document.zones.len()), (None, count));
    let bad = text.replace("\"z19000.test\"", "\"z7.test\"");
    let bad = parse_zones(&bad, &limits);
    assert!(bad.platform_ok && bad.bad_zones.iter().eq(&[7, 19_000]));
    let told = bad.problems.unwrap().to_string();
    let expected = "zone[7].hosts[0]: \"z7.test\" is also zone[19000].hosts[0] (a host belongs to one zone; line 32)\n\
                    zone[19000].hosts[0]: \"z7.test\" is also zone[7].hosts[0] (a host belongs to one zone; line 76004)";
    assert_eq!(told, expected);
}

#[test]
fn what_all_zones_share_is_read_without_the_zones_where_it_stands_before_them() {
    let limits = Limits::default();
    let zone = "[[zone]]\nname = \"a\"\nhosts = [\"a.test\"]\norigin = [{ url = \"http://127.0.0.1:1\" }]\n";
    let edge = "[edge]\nlocation = \"ams\"\n";
    // So long that it is cut: what is wrong with zones is not told here.
    let zones = zone.repeat(4_000);
    for text in [
        format!("schema = 1\n{edge}{zones}"),
        format!("schema = 1\n{zones}{edge}"),
        format!("schema = 1\n{zones} [ \"edge\" ]\nlocation = \"ams\"\n"),
        format!("schema = 1\nedge.location = \"ams\"\n{zones}"),
        format!("schema = 1\n{edge}{zone}"),
    ] {
        let head = parse_head(&text, &limits);
        let found = (&*head.document.edge.location, head.document.zones.len());
        assert_eq!(
            (found, head.platform_ok),
            (("ams", 0), true),
            "{:?}",
            head.problems
        );
    }
    let other = format!("schema = 1\n{zones}# [edge]\n");
    assert_eq!(parse_head(&other, &limits).document.edge.location, "local");
    let bad = format!("schema = 1\n[edge]\nlocation = 7\n{zones}");
    assert!(!parse_head(&bad, &limits).platform_ok);
}
