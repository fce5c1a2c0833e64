//! The contents of files that documents name: they travel with the version that names them, from control's machine to locations that
//! have no such files, and back with a rollback; and private keys are nowhere on their way.

use std::path::{Path, PathBuf};

use seawall_bundle::{Hash, Limits, Object, Ring, SealKey};

use crate::fleet::{Control, edge, get, struck};
use crate::origin::Answering;
use crate::own_certificates::{make, shown};
use crate::tools::curl;
use crate::up::{Folder, Up, until};

const SPEED: u32 = 300;

/// A document whose files are in control's folder alone: a zone with a certificate, and a path that is not for those in a list.
pub fn document(origin: &str, folder: &Folder) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    format!(
        "schema = 1\n[edge]\noutward = [\"public\", \"private\", \"loopback\"]\n[lists.bad]\nfile = \"{}\"\n[[zone]]\nname = \"a.test\"\n\
         hosts = [\"a.test\"]\norigin = [{{ url = \"{origin}\" }}]\ntls = {{ certificate = {{ cert = \"{}\", key = \"{}\" }} }}\n\
         [[zone.rule]]\nwhen = 'http.request.uri.path eq \"/x\" and ip.src in $bad'\naction = \"block\"\n",
        at("bad.txt"),
        at("a.pem"),
        at("a.key")
    )
}

fn is_shown(edge: &Up, certificate: &str) {
    until("the certificate", || {
        (shown(edge, "a") == certificate).then_some(())
    });
}

pub fn is_quiet(control: &Control) {
    until("the end of all rollouts", || {
        let (_, said) = control.asks(&["rollouts"]);
        said.contains("no rollout runs").then_some(())
    });
}

/// The newest version of the zone.
fn newest(control: &Control) -> usize {
    let (_, said) = control.asks(&["versions", "a.test"]);
    let numbers = said.lines().filter_map(|line| {
        let word = line.split_whitespace().next()?;
        word.trim_start_matches('#').parse().ok()
    });
    numbers.max().unwrap_or(0)
}

/// All files below a folder.
fn under(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => under(&entry.path()),
            Ok(kind) if kind.is_file() => vec![entry.path()],
            _ => Vec::new(),
        })
        .collect()
}

/// Whether a file has these bytes in it, packed or not.
fn has(path: &Path, marker: &[u8]) -> bool {
    let bytes = std::fs::read(path).unwrap_or_default();
    let is_in = |bytes: &[u8]| bytes.windows(marker.len()).any(|part| part == marker);
    let part = |path: Option<&Path>| Some(path?.file_name()?.to_str()?.to_owned());
    let name = part(path.parent()).zip(part(Some(path)));
    let name = name.and_then(|(first, rest)| Hash::parse(&format!("{first}{rest}")));
    let unpacked = name.and_then(|name| Object::open(&name, &bytes, 65 << 20).ok());
    is_in(&bytes) || unpacked.is_some_and(|bytes| is_in(&bytes))
}

#[test]
fn files_of_controls_machine_come_to_all_locations_and_back() {
    let site = Answering::start("good");
    let mut control = Control::start(SPEED);
    let first = make(control.folder(), "a");
    control.folder().write("bad.txt", "192.0.2.1\n");
    let text = document(&site.url(), control.folder());
    let (code, said) = control.apply(&text, &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    let ams = control.joined("ams", &[]);
    let lhr = control.joined("lhr", &[]);
    is_quiet(&control);
    for edge in [&ams, &lhr] {
        is_shown(edge, &first);
        assert_eq!(get(edge, "/x"), 200);
    }

    // The certificate is renewed where it is: that is a version, which comes to both. With half of it nothing happens.
    let before = newest(&control);
    let old_key = std::fs::read_to_string(control.folder().join("a.key")).unwrap();
    let second = make(control.folder(), "a");
    let key = std::fs::read_to_string(control.folder().join("a.key")).unwrap();
    control.folder().write("a.key", &old_key);
    control.signal(libc::SIGHUP);
    until("what does not fit together is told", || {
        control.log().contains("are not taken in").then_some(())
    });
    assert_eq!(newest(&control), before);
    control.folder().write("a.key", &key);
    control.signal(libc::SIGHUP);
    until("a version", || (newest(&control) > before).then_some(()));
    is_quiet(&control);
    for edge in [&ams, &lhr] {
        is_shown(edge, &second);
    }

    // So does a list.
    let here = "127.0.0.0/8\n192.0.2.1\n";
    control.folder().write("bad.txt", here);
    control.signal(libc::SIGHUP);
    for edge in [&ams, &lhr] {
        until("the list", || (get(edge, "/x") == 403).then_some(()));
        assert_eq!(get(edge, "/"), 200);
    }
    is_quiet(&control);

    // Files that are gone where they were change nothing: one that joins later has them too.
    for name in ["a.pem", "a.key", "bad.txt"] {
        std::fs::remove_file(control.folder().join(name)).unwrap();
    }
    control.signal(libc::SIGHUP);
    let sin = control.joined("sin", &[]);
    is_shown(&sin, &second);

    // With everything else dead a location starts with what it has.
    control.kill();
    let folder = struck(sin);
    let sin = edge(folder, &SPEED.to_string(), &[]);
    is_shown(&sin, &second);
    control.again();

    // The way back brings the old certificate.
    let (code, said) = control.asks(&["rollback", "a.test", "--why", "the old one"]);
    assert_eq!(code, Some(0), "{said}");
    for edge in [&ams, &lhr, &sin] {
        is_shown(edge, &first);
    }
    is_quiet(&control);

    // Who leaves is told what it has seen, and opens nothing that is encrypted from then on.
    let (code, said) = control.asks(&["control", "leave", "lhr", "--why", "sold"]);
    assert_eq!(code, Some(0), "{said}");
    until("what it has seen", || {
        control
            .log()
            .contains("has seen these private keys")
            .then_some(())
    });
    let third = make(control.folder(), "a");
    control.folder().write("bad.txt", "192.0.2.1\n");
    control.applies(&text);
    for edge in [&ams, &sin] {
        is_shown(edge, &third);
    }
    assert_eq!(shown(&lhr, "a"), first);
    let ring = |edge: &Up| opens(edge, &control);
    assert!(ring(&ams) && !ring(&lhr));
}

/// Whether a location's key opens the ring of keys that is published now.
fn opens(edge: &Up, control: &Control) -> bool {
    let identity = std::fs::read(edge.data().join("location.json")).unwrap();
    let identity: serde_json::Value = serde_json::from_slice(&identity).unwrap();
    let key = SealKey::parse(identity["seal_key"].as_str().unwrap()).unwrap();
    let kept = std::fs::read(control.data().join("keys/ring.json")).unwrap();
    let kept: serde_json::Value = serde_json::from_slice(&kept).unwrap();
    let name = kept["object"].as_str().unwrap();
    let (head, rest) = name.split_at(2);
    let path = format!("published/objects/{head}/{rest}");
    let packed = std::fs::read(control.data().join(path)).unwrap();
    let name = Hash::parse(name).unwrap();
    Ring::open(&name, &packed, &key, &Limits::default()).is_ok()
}

#[test]
fn a_private_key_is_nowhere_but_where_it_is_used() {
    let site = Answering::start("good");
    let control = Control::start(SPEED);
    let first = make(control.folder(), "a");
    control.folder().write("bad.txt", "192.0.2.1\n");
    let text = document(&site.url(), control.folder());
    let (code, said) = control.apply(&text, &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    let ams = control.joined("ams", &[]);
    is_quiet(&control);
    is_shown(&ams, &first);
    let key = || std::fs::read_to_string(control.folder().join("a.key")).unwrap();
    let mut keys = vec![key()];
    for _ in 0..2 {
        let before = newest(&control);
        let renewed = make(control.folder(), "a");
        keys.push(key());
        control.signal(libc::SIGHUP);
        until("a version", || (newest(&control) > before).then_some(()));
        is_quiet(&control);
        is_shown(&ams, &renewed);
    }
    // The first bytes of each private key itself: what stands before them in PKCS #8 is the same for all.
    let markers = keys
        .iter()
        .map(|key| key.lines().nth(1).unwrap().get(48..64).unwrap());
    let markers: Vec<&str> = markers.collect();
    let (_, backup) = control.asks(&["backup", control.folder().join("b").to_str().unwrap()]);
    let mut told = vec![backup, control.log(), ams.log()];
    for words in [
        &["versions", "a.test"][..],
        &["diff", "a.test", "1", "2"],
        &["status", "--json"],
        &["rollouts"],
        &["control", "locations", "--json"],
    ] {
        told.push(control.asks(words).1);
    }
    let diff = &told[4];
    assert!(diff.contains("+#file sealed "), "{diff}");
    for edge in ["/state", "/metrics"] {
        let url = format!("http://{}{edge}", ams.admin());
        told.push(curl(&[&url]).text());
    }
    let files = under(&control.data())
        .into_iter()
        .chain(under(&ams.data().join("received")))
        .chain([control.folder().join("b")]);
    let files: Vec<PathBuf> = files.collect();
    assert!(files.len() > 20, "{files:?}");
    for marker in &markers {
        for text in &told {
            assert!(!text.contains(marker), "{text}");
        }
        for file in &files {
            assert!(!has(file, marker.as_bytes()), "{}", file.display());
        }
    }
    for content in kept(&control.data()) {
        let text = String::from_utf8_lossy(&content);
        assert!(markers.iter().all(|marker| !text.contains(marker)));
    }
    // It would have been found: where it serves it is.
    let live = ams.data().join("live");
    until("what serves on disk", || {
        has(&live, markers[2].as_bytes()).then_some(())
    });
}

/// All that the store of versions keeps of the zone's files.
fn kept(data: &Path) -> Vec<Vec<u8>> {
    use seawall_control::{Chain, ConfigStore, contents, store::Sqlite};
    let mut store = Sqlite::open(&data.join("control.db")).unwrap();
    let chain = Chain::Zone("a.test".into());
    let versions = store.history(&chain, None, 100).unwrap();
    let mut kept = Vec::new();
    for version in versions {
        let text = store.document(&version.hash).unwrap().unwrap();
        for file in contents::files(&text) {
            assert_eq!(file.sealed, file.path.ends_with(".key"));
            kept.push(store.content(&file.hash).unwrap().unwrap());
        }
    }
    assert!(kept.len() >= 6);
    assert!(store.verify().unwrap().is_ok());
    kept
}

#[test]
fn one_machine_serves_what_was_versioned() {
    let folder = Folder::new();
    let first = make(&folder, "a");
    folder.write("bad.txt", "192.0.2.1\n");
    let text = document("sample", &folder);
    folder.write("seawall.toml", &text);
    let config = folder.join("seawall.toml");
    let up = Up::start(folder, &["--config", config.to_str().unwrap()]);
    is_shown(&up, &first);
    let second = make(up.folder(), "a");
    up.signal(libc::SIGHUP);
    is_shown(&up, &second);
    let words = ["rollback", "a.test", "--why", "the old one"];
    let output = crate::fleet::seawall(&words, &up.data());
    assert!(output.status.success(), "{output:?}");
    is_shown(&up, &first);
    // Whoever went back from what the files hold has the last word, until they hold something else.
    up.signal(libc::SIGHUP);
    let other = "schema = 1\n[[zone]]\nname = \"b.test\"\nhosts = [\"b.test\"]\norigin = [{ url = \"sample\" }]\n";
    let other = up.folder().write("other.toml", other);
    let words = ["apply", other.to_str().unwrap(), "--wait", "--approve"];
    let output = crate::fleet::seawall(&words, &up.data());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(shown(&up, "a"), first);
    let third = make(up.folder(), "a");
    up.signal(libc::SIGHUP);
    is_shown(&up, &third);
}
