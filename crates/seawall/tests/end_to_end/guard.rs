//! Documents that are written to hurt, for what guards a zone: `seawall check` names all that is wrong with them, and ends.
//!
//! Not here: what each stage does (`scenarios/guard`), the same documents on a reload (`reload`).

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::up::{Folder, until};

const SITE: &str =
    "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"a.test\"]\norigin = [\"sample\"]\n";

fn site() -> String {
    SITE.replace("[\"sample\"]", "[{ url = \"sample\" }]")
}

/// Checks a document; whether it is good, and what was said of it.
fn check(folder: &Folder, what: &str, text: &str) -> (bool, String) {
    let document = folder.write("seawall.toml", text);
    let begun = Instant::now();
    // More is said than fits into a pipe that nobody reads.
    let said = folder.join("said");
    let mut child = Command::new(env!("CARGO_BIN_EXE_seawall"))
        .arg("check")
        .arg(document)
        .stdin(Stdio::null())
        .stdout(File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let status = until(what, || child.try_wait().unwrap());
    println!("{what}: checked in {:?}", begun.elapsed());
    let said = fs::read_to_string(said).unwrap();
    let code = status.code();
    assert!(matches!(code, Some(0 | 1)), "{what}: {status}: {said}");
    (code == Some(0), said)
}

/// Checks a document that is bad, and returns what was said of it.
fn refused(folder: &Folder, what: &str, text: &str) -> String {
    let (good, said) = check(folder, what, text);
    assert!(!good, "{what}: {said}");
    let length = said.len();
    assert!(length < 1 << 20, "{what}: {length} bytes are said");
    said
}

fn holds(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part} is missing in:\n{said}");
    }
}

#[test]
fn millions_of_rules_are_refused() {
    let folder = Folder::new();
    let rule = "[[zone.rule]]\nwhen='ssl'\naction='log'\n";
    let said = refused(
        &folder,
        "10^7 rules",
        &format!("{}{}", site(), rule.repeat(10_000_000)),
    );
    holds(&said, &["is too long", "at most 268435456 bytes"]);
    let said = refused(
        &folder,
        "10^6 rules",
        &format!("{}{}", site(), rule.repeat(1_000_000)),
    );
    holds(&said, &["has too many keys and values"]);
    // The one problem does not hide the other.
    let said = refused(
        &folder,
        "100,000 rules",
        &format!("{}max_bod = 1\n{}", site(), rule.repeat(100_000)),
    );
    holds(&said, &["zone[0].rule", "1000", "zone[0].max_bod"]);
}

#[test]
fn lists_of_any_size_are_read_or_refused() {
    let folder = Folder::new();
    let text = format!("{}[lists.bad]\nfile = \"list.txt\"\n", site());
    let list = folder.join("list.txt");

    let line = "198.51.100.77/32 # whom we know\n";
    fs::write(&list, line.repeat((100 << 20) / line.len())).unwrap();
    let said = refused(&folder, "100 MB of list", &text);
    holds(&said, &["lists.bad.file", "larger than 64 MiB"]);

    fs::write(&list, "10.0.0.1\n".repeat(1_000_001)).unwrap();
    let said = refused(&folder, "1,000,001 networks", &text);
    holds(
        &said,
        &[
            "lists.bad.file",
            "line 1000001 is one network too many",
            "at most 1000000",
        ],
    );

    fs::write(&list, "not an address\n".repeat(200_000)).unwrap();
    let said = refused(&folder, "200,000 lines that are none", &text);
    holds(&said, &["line 1:", "line 1000:", "and 199000 more"]);

    let million: String = (0..1_000_000_u32)
        .map(|n| format!("{}/32\n", std::net::Ipv4Addr::from(0x0b00_0000 + 2 * n)))
        .collect();
    fs::write(&list, million).unwrap();
    let (good, said) = check(&folder, "1,000,000 networks", &text);
    assert!(good, "{said}");
}

#[test]
fn nesting_is_bounded_wherever_it_stands() {
    let folder = Folder::new();
    let when = |when: &str| format!("{}[[zone.rule]]\nwhen = '{when}'\naction = 'log'\n", site());
    let open = "(".repeat(2_000);
    let close = ")".repeat(2_000);
    let not = "not ".repeat(1_000);
    // It is long, not deep.
    let (good, said) = check(&folder, "a row of not", &when(&format!("{not}ssl")));
    assert!(good, "{said}");
    for (what, text) in [
        ("parentheses", when(&format!("{open}ssl{close}"))),
        ("open parentheses", when(&open)),
        (
            "a pattern that nests",
            when(&format!(
                "http.host matches \"{}a{}\"",
                "(".repeat(1_000),
                ")*".repeat(1_000)
            )),
        ),
        (
            "a pattern that multiplies",
            when("http.host matches \"((((a{100}){100}){100}){100}){100}\""),
        ),
        (
            "a long expression",
            when(&format!("http.host eq \"{}\"", "x".repeat(5_000))),
        ),
    ] {
        let said = refused(&folder, what, &text);
        holds(&said, &["zone[0].rule[0].when"]);
    }
    for (open, close) in [("[", "]"), ("{a=", "}")] {
        let text = format!(
            "schema = 1\nedge = {}1{}\n",
            open.repeat(100_000),
            close.repeat(100_000)
        );
        let said = refused(&folder, "nested TOML", &text);
        holds(&said, &["is no TOML"]);
    }
    let said = refused(
        &folder,
        "nested names",
        &format!("schema = 1\n[{}]\n", vec!["a"; 100_000].join(".")),
    );
    assert!(!said.is_empty());
}

/// What parsing finds, what compiling finds and what only two zones together are: all of it, at once.
#[test]
fn all_that_is_wrong_is_said_at_once() {
    let folder = Folder::new();
    let text = r#"
schema = 1
[lists.bad]
file = "nowhere.txt"
[lists.Worse]
ips = ["300.1.1.1"]
[[zone]]
name = "a"
hosts = ["a.test"]
origin = [{ url = "sample" }]
lists = { block = ["bad", "nobody", "10.0.0.0/99"], mode = "sometimes" }
ddos = { requests_per_client = -1, per = "1ms" }
body = { json_depth = 1000, content_types = ["json"] }
hygiene = { remove = ["content-length", "a b"] }
maintenance = { enabled = true, message = 5 }
[zone.rules]
threshold = 0
[[zone.rule]]
name = "one"
when = 'http.request.uri.paht eq "/"'
action = "block"
[[zone.rule]]
name = "one"
when = 'ip.src in $nobody'
action = "block"
status = 200
[[zone.rule]]
when = 'ssl'
action = "redirect"
[[zone.rule]]
when = 'ssl'
action = "explode"
[[zone.rule]]
when = 'ssl'
action = "skip"
skip = ["access"]
[[zone]]
name = "b"
hosts = ["b.test", "a.test"]
origin = [{ url = "sample" }]
[[zone.rule]]
when = 'http.host matches "("'
action = "log"
surprise = true
"#;
    let said = refused(&folder, "all at once", text);
    holds(
        &said,
        &[
            "lists.bad.file",
            "lists.Worse",
            "zone[0].lists.block",
            "zone[0].lists.mode",
            "zone[0].ddos.requests_per_client",
            "zone[0].ddos.per",
            "zone[0].body.json_depth",
            "zone[0].body.content_types",
            "zone[0].hygiene.remove",
            "zone[0].maintenance.message",
            "zone[0].rules.threshold",
            "zone[0].rule[1].name",
            "zone[0].rule[1].status",
            "zone[0].rule[2].to",
            "zone[0].rule[3].action",
            "zone[0].rule[4].skip",
            "zone[1].hosts",
            "zone[1].rule[0].when",
            "zone[1].rule[0].surprise",
        ],
    );
}
