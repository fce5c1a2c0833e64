//! `seawall check`: good and bad documents.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::up::{Folder, finished};

const GOOD: &str = "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"a.test\"]\norigin = [{ url = \"http://127.0.0.1:1\" }]\n";

/// Four mistakes: an unknown key, a host that is none, an unknown scheme, a duration that is none.
const BAD: &str = r#"schema = 1
[edge]
locatoin = "lhr"
[[zone]]
name = "a"
hosts = ["exa mple.test"]
origin = [{ url = "ftp://127.0.0.1" }]
timeouts = { connect = "soon" }
"#;

#[test]
fn a_good_document_passes() {
    let folder = Folder::new();
    let done = check(&folder.write("good.toml", GOOD), &[]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
}

#[test]
fn a_bad_document_shows_all_problems() {
    let folder = Folder::new();
    let path = folder.write("bad.toml", BAD);
    let done = check(&path, &[]);
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    let text = said(&done);
    for part in [
        "edge.locatoin",
        "location",
        "hosts",
        "origin",
        "ftp",
        "timeouts.connect",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    let problems = text.lines().filter(|line| line.contains(": ")).count();
    assert!(problems >= 4, "{problems} problems:\n{text}");
}

/// A file that is missing is found although another zone has a mistake of its own.
#[test]
fn problems_of_files_are_shown_with_the_others() {
    let folder = Folder::new();
    let text = format!(
        "{GOOD}tls = {{ certificate = {{ cert = \"no.pem\", key = \"no.key\" }} }}\n\
         [[zone]]\nname = \"b\"\nhosts = [\"b.test\"]\norigin = []\n"
    );
    let done = check(&folder.write("bad.toml", &text), &[]);
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    for part in [
        "zone[1].origin",
        "zone[0].tls.certificate.cert",
        "zone[0].tls.certificate.key",
    ] {
        assert!(
            said(&done).contains(part),
            "{part} is missing in:\n{}",
            said(&done)
        );
    }
}

#[test]
fn a_bad_document_shows_all_problems_to_programs_too() {
    let folder = Folder::new();
    let path = folder.write("bad.toml", BAD);
    let done = check(&path, &["--json"]);
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    let answer: Value =
        serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("no JSON: {}", said(&done)));
    let problems = answer.as_array().or_else(|| answer["problems"].as_array());
    let problems = problems.unwrap_or_else(|| panic!("no list of problems: {answer}"));
    assert_eq!(problems.len(), 4, "{answer}");
    assert!(
        problems.iter().all(|problem| problem["path"].is_string()),
        "{answer}"
    );
}

#[test]
fn what_is_no_document_is_refused_with_its_place() {
    let folder = Folder::new();
    let path = folder.write("broken.toml", "schema = 1\n[[zone]\n");
    let done = check(&path, &[]);
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    assert!(
        said(&done).contains('2'),
        "the line is not named: {}",
        said(&done)
    );

    let done = check(Path::new("/nowhere/at/all.toml"), &[]);
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    assert!(
        said(&done).contains("/nowhere/at/all.toml"),
        "{}",
        said(&done)
    );
}

#[test]
fn every_example_passes() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let done = check(&path, &[]);
            assert_eq!(
                done.status.code(),
                Some(0),
                "{}: {}",
                path.display(),
                said(&done)
            );
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen} examples in {}", folder.display());
}

fn check(path: &Path, flags: &[&str]) -> Output {
    finished(
        Command::new(env!("CARGO_BIN_EXE_seawall"))
            .arg("check")
            .arg(path)
            .args(flags),
    )
}

fn said(done: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    )
}
