//! Holds what ARCHITECTURE.md says about the shape of the project: which room may know which, how long a file may be, how
//! panics end, and that the documents name what is there.
//!
//! Not here: what the rooms do. Each of these tests reads manifests, file names and documents only.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The rooms that are shipped, each with its level: a room knows only rooms of lower levels, never one beside it.
///
/// Rooms of later versions have their place already, so that opening one is a line in its manifest and none here.
const LEVELS: [(&str, u8); 19] = [
    ("seawall-model", 0),
    ("seawall-rules", 1),
    ("seawall-waf", 1),
    ("seawall-cache", 1),
    ("seawall-net", 1),
    ("seawall-telemetry", 1),
    ("seawall-bundle", 1),
    ("seawall-access", 2),
    ("seawall-acme", 2),
    ("seawall-warp", 2),
    ("seawall-statuspage", 2),
    ("seawall-guard", 3),
    ("seawall-proxy", 4),
    ("seawall-control", 5),
    ("seawall-drill", 5),
    ("seawall", 6),
    // Never shipped: nothing shipped depends on them, except to test itself.
    ("seawall-harness", u8::MAX),
    ("seawall-saboteur", u8::MAX),
    ("xtask", u8::MAX),
];

/// Names for things without a meaning of their own: what would go there belongs to one of the rooms.
const REFUSED_ROOMS: [&str; 7] = [
    "common",
    "utils",
    "util",
    "api-types",
    "errors",
    "macros",
    "ui",
];

const LONGEST_FILE: usize = 600;

#[test]
fn arrows_go_only_down_never_sideways() {
    let rooms = rooms();
    assert!(
        rooms.len() >= 7,
        "cargo metadata shows only {} packages",
        rooms.len()
    );
    let mut wrong = Vec::new();
    for room in &rooms {
        let Some(level) = level(&room.name) else {
            wrong.push(format!(
                "{}: has no level; give it one in LEVELS and a line in ARCHITECTURE.md",
                room.name
            ));
            continue;
        };
        for dependency in &room.dependencies {
            let Some(below) = level_of_ours(&rooms, &dependency.name) else {
                continue;
            };
            let shipped = level != u8::MAX;
            let only_for_tests = dependency.kind == "dev";
            let allowed = match (shipped, below == u8::MAX) {
                (true, true) => only_for_tests,
                (true, false) => below < level,
                (false, _) => true,
            };
            if !allowed {
                wrong.push(format!(
                    "{} (level {level}) depends on {} (level {below}) as {}",
                    room.name, dependency.name, dependency.kind
                ));
            }
        }
    }
    assert_nothing(&wrong, "dependencies must go down");
}

#[test]
fn a_room_is_named_as_its_folder_and_keeps_the_lints() {
    let mut wrong = Vec::new();
    for room in rooms() {
        let folder = room
            .folder
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let expected = match folder {
            "seawall" | "xtask" => folder.to_owned(),
            _ => format!("seawall-{folder}"),
        };
        if room.name != expected {
            wrong.push(format!(
                "{}: its package is named {}, not {expected}",
                room.folder.display(),
                room.name
            ));
        }
        if REFUSED_ROOMS.contains(&folder) {
            wrong.push(format!(
                "{folder}: a room needs a subject; see \"Refused splits\" in ARCHITECTURE.md"
            ));
        }
        let manifest = toml_file(&room.folder.join("Cargo.toml"));
        let inherits = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            .and_then(toml::Value::as_bool);
        if inherits != Some(true) {
            wrong.push(format!(
                "{}: does not say `[lints] workspace = true`",
                room.name
            ));
        }
    }
    assert_nothing(&wrong, "rooms");
}

#[test]
fn files_are_short_enough_to_be_read() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in sources(&["*.rs", "*.ts", "*.c", "*.mjs"]) {
        let lines = read(&path).lines().count();
        seen += 1;
        if lines > LONGEST_FILE {
            wrong.push(format!("{}: {lines} lines", path.display()));
        }
    }
    assert!(seen > 20, "git shows only {seen} source files");
    assert_nothing(&wrong, &format!("files of more than {LONGEST_FILE} lines"));
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let without: Vec<String> = sources(&["crates/*.rs", "xtask/*.rs"])
        .into_iter()
        // A file of tests beside the code says it by its name.
        .filter(|path| path.file_name().is_some_and(|name| name != "tests.rs"))
        .filter(|path| {
            let text = read(path);
            let first = text
                .lines()
                .find(|line| !line.trim().is_empty() && !line.starts_with("#!["))
                .unwrap_or_default();
            !first.starts_with("//!")
        })
        .map(|path| path.display().to_string())
        .collect();
    assert_nothing(&without, "files without a module doc at their top");
}

#[test]
fn a_panic_unwinds_in_what_people_run() {
    let manifest = toml_file(&root().join("Cargo.toml"));
    let profiles = manifest
        .get("profile")
        .and_then(toml::Value::as_table)
        .expect("profiles in Cargo.toml");
    let of_release = profiles
        .get("release")
        .and_then(|profile| profile.get("panic"))
        .and_then(toml::Value::as_str);
    assert_eq!(
        of_release,
        Some("unwind"),
        "a panic must cost one stage of one request, not the process"
    );
    for (name, profile) in profiles {
        let panic = profile
            .get("panic")
            .and_then(toml::Value::as_str)
            .unwrap_or("unwind");
        assert_eq!(panic, "unwind", "profile {name}");
    }
}

#[test]
fn what_can_panic_is_denied() {
    let manifest = toml_file(&root().join("Cargo.toml"));
    let lints = manifest
        .get("workspace")
        .and_then(|part| part.get("lints"))
        .and_then(|lints| lints.get("clippy"));
    let lints = lints.expect("workspace lints for clippy");
    for lint in [
        "unwrap_used",
        "expect_used",
        "indexing_slicing",
        "string_slice",
        "panic",
        "unreachable",
        "todo",
    ] {
        assert_eq!(
            lints.get(lint).and_then(toml::Value::as_str),
            Some("deny"),
            "clippy::{lint}"
        );
    }
}

#[test]
fn the_map_names_every_room() {
    let map = read(&root().join("ARCHITECTURE.md"));
    let missing: Vec<String> = rooms()
        .into_iter()
        .filter_map(|room| {
            room.folder
                .strip_prefix(root())
                .ok()
                .map(|folder| format!("`{}`", folder.display()))
        })
        .filter(|folder| !map.contains(folder.as_str()))
        .collect();
    assert_nothing(
        &missing,
        "rooms that the code map in ARCHITECTURE.md leaves out",
    );
}

/// A document names a test as `path/to/file.rs::name_of_the_test`: it must be there.
#[test]
fn every_test_that_a_document_names_exists() {
    let mut wrong = Vec::new();
    let mut named = 0;
    for path in sources(&["*.md"]) {
        for reference in read(&path)
            .split('`')
            .filter(|part| part.contains(".rs::") && !part.contains(char::is_whitespace))
        {
            let Some((file, test)) = reference.split_once("::") else {
                continue;
            };
            named += 1;
            let there = fs::read_to_string(root().join(file))
                .is_ok_and(|text| text.contains(&format!("fn {test}(")));
            if !there {
                wrong.push(format!("{}: {reference}", path.display()));
            }
        }
    }
    assert!(
        named > 0,
        "no document names a test, or the way to name one has changed"
    );
    assert_nothing(&wrong, "tests that documents name and that are not there");
}

#[test]
fn decisions_are_numbered_and_listed() {
    let folder = root().join("docs/decisions");
    let list = read(&folder.join("README.md"));
    let mut names: Vec<String> = fs::read_dir(&folder)
        .expect("docs/decisions")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name != "README.md")
        .collect();
    names.sort();
    let mut wrong = Vec::new();
    for (index, name) in names.iter().enumerate() {
        if !name.starts_with(&format!("{:04}-", index + 1)) {
            wrong.push(format!("{name}: expected number {:04}", index + 1));
        }
        if !list.contains(&format!("({name})")) {
            wrong.push(format!("{name}: not in docs/decisions/README.md"));
        }
        let text = read(&folder.join(name));
        for part in ["## Context", "## Decision", "## Consequences", "## Refused"] {
            if !text.contains(part) {
                wrong.push(format!("{name}: has no \"{part}\""));
            }
        }
    }
    assert_nothing(&wrong, "decisions");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    for path in sources(&["*.md"]) {
        for target in read(&path)
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')').map(|(target, _)| target.to_owned()))
        {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                continue;
            }
            let from = path.parent().unwrap_or(Path::new(""));
            if !root().join(from).join(file).exists() {
                wrong.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert_nothing(&wrong, "links to files that are not there");
}

struct Room {
    name: String,
    folder: PathBuf,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    /// `normal`, `dev` or `build`.
    kind: String,
}

fn rooms() -> Vec<Room> {
    let metadata: Value = serde_json::from_str(&output(Command::new(env!("CARGO")).args([
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ])))
    .expect("cargo metadata speaks JSON");
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .expect("packages");
    packages.iter().map(room).collect()
}

fn room(package: &Value) -> Room {
    let text = |value: &Value, key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let manifest = PathBuf::from(text(package, "manifest_path"));
    let dependencies = package
        .get("dependencies")
        .and_then(Value::as_array)
        .expect("dependencies");
    Room {
        name: text(package, "name"),
        folder: manifest
            .parent()
            .expect("a manifest lies in a folder")
            .to_owned(),
        dependencies: dependencies
            .iter()
            .map(|dependency| Dependency {
                name: text(dependency, "name"),
                kind: dependency
                    .get("kind")
                    .and_then(Value::as_str)
                    .unwrap_or("normal")
                    .to_owned(),
            })
            .collect(),
    }
}

fn level(name: &str) -> Option<u8> {
    LEVELS
        .into_iter()
        .collect::<BTreeMap<_, _>>()
        .get(name)
        .copied()
}

/// The level of a dependency that is one of our rooms; none for a crate from outside.
fn level_of_ours(rooms: &[Room], name: &str) -> Option<u8> {
    rooms
        .iter()
        .any(|room| room.name == name)
        .then(|| level(name))
        .flatten()
}

/// Files of the project, relative to its root, by git's patterns (`*` also crosses folders): what is committed and what
/// is about to be, never what is ignored.
fn sources(patterns: &[&str]) -> Vec<PathBuf> {
    let listed = output(
        Command::new("git")
            .args([
                "ls-files",
                "--cached",
                "--others",
                "--exclude-standard",
                "--",
            ])
            .args(patterns),
    );
    listed
        .lines()
        .map(PathBuf::from)
        .filter(|path| root().join(path).is_file())
        .collect()
}

fn output(command: &mut Command) -> String {
    let done = command
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).expect("text")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
        .to_owned()
}

fn read(path: &Path) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn toml_file(path: &Path) -> toml::Value {
    toml::from_str(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn assert_nothing(found: &[String], what: &str) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// Only admitted requests reach an origin, and only cleared responses a client: the two types that sockets are written from are
/// made in one file each, of an `Admitted` and of a `Cleared` alone. Control's API, which is in another process and which no site's
/// client reaches, writes its own answers, in one place.
#[test]
fn only_two_doors_lead_out() {
    let mut wrong = Vec::new();
    let mut doors = 0;
    for file in sources(&["crates/proxy/src/*.rs", "crates/seawall/src/*.rs"]) {
        let text = read(&file);
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let is_door = file.ends_with("crates/proxy/src/outgoing.rs");
        for made in ["RequestOut {", "ResponseOut {"] {
            // A function's result is no value that is made.
            let values = code
                .match_indices(made)
                .filter(|(at, _)| !code.get(..*at).unwrap_or_default().ends_with("-> "))
                .count();
            let is_control = file.ends_with("crates/seawall/src/api/serve.rs") && values == 1;
            if is_control && made == "ResponseOut {" {
                continue;
            }
            if is_door {
                doors += values;
            } else if values > 0 {
                wrong.push(format!("{}: makes a {made} …", file.display()));
            }
        }
    }
    assert_eq!(doors, 2, "crates/proxy/src/outgoing.rs makes one of each");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
