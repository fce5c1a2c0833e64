//! What is written zone by zone is what is written whole.

use std::path::PathBuf;

use seawall_model::Limits;
use seawall_model::document::{self, Zone};
use seawall_proxy::materials::Materials;

use super::super::{Files, LIVE, MAGIC_BEFORE, read, write as write_whole};
use super::*;

/// One zone with these files, which are one certificate's.
fn zone(name: &str, host: &str, files: Option<(&str, &str)>) -> Zone {
    let tls = files.map_or(String::new(), |(cert, key)| {
        let (cert, key) = (quoted(cert), quoted(key));
        format!("tls = {{ certificate = {{ cert = {cert}, key = {key} }} }}\n")
    });
    let text = format!(
        "schema = 1\n[[zone]]\nname = {}\nhosts = [\"{host}.test\"]\norigin = [{{ url = \"http://127.0.0.1:1\" }}]\n{tls}",
        quoted(name)
    );
    document::parse(&text, &Limits::default())
        .unwrap()
        .zones
        .remove(0)
}

fn materials(files: &[(&str, &str)]) -> Materials {
    let files = files.iter().map(|(name, text)| {
        let bytes = text.as_bytes().to_vec();
        (PathBuf::from(name), bytes)
    });
    Materials::of(files.collect::<Files>(), None)
}

fn altered(name: &str, zone: Option<Zone>, files: &[(&str, &str)]) -> Altered {
    Altered {
        name: name.to_owned(),
        zone,
        materials: materials(files),
    }
}

struct Both {
    _folder: tempfile::TempDir,
    path: PathBuf,
    whole: PathBuf,
    document: Document,
}

impl Both {
    fn of(zones: Vec<Zone>, lists: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, whole) = (folder.path().join(LIVE), folder.path().join("whole"));
        let mut document = document::parse_zones(lists, &Limits::default()).document;
        document.zones = zones;
        write_whole(&path, &document, &[&materials(files)], Some("first")).unwrap();
        Self {
            _folder: folder,
            path,
            whole,
            document,
        }
    }

    /// Both ways of writing the same change say the same.
    fn change(&mut self, all: &[Altered], stand: Option<&str>) -> Vec<String> {
        let old = read(&self.path).unwrap();
        write(&self.path, all.iter(), stand, || Ok(())).unwrap();
        let mut left: Vec<&Altered> = all.iter().collect();
        self.document.zones.retain_mut(|zone| {
            let Some(at) = left.iter().position(|one| one.name == zone.name) else {
                return true;
            };
            let now = &left.swap_remove(at).zone;
            now.iter().for_each(|now| zone.clone_from(now));
            now.is_some()
        });
        left.sort_by(|one, other| one.name.cmp(&other.name));
        let new = left.iter().filter_map(|one| one.zone.clone());
        self.document.zones.extend(new);
        let before = Materials::of(old.files, None);
        let mut from: Vec<&Materials> = all.iter().map(|one| &one.materials).collect();
        from.push(&before);
        write_whole(&self.whole, &self.document, &from, stand).unwrap();
        let (now, whole) = (read(&self.path).unwrap(), read(&self.whole).unwrap());
        assert_eq!(now.parsed.problems, None);
        assert_eq!(now.parsed.document, self.document);
        assert_eq!(now.stand.as_deref(), stand);
        let sorted = |mut files: Files| {
            files.sort();
            files
        };
        let files = sorted(now.files);
        assert_eq!(files, sorted(whole.files));
        let files = files.into_iter();
        let files = files
            .map(|(name, bytes)| format!("{}={}", name.display(), String::from_utf8_lossy(&bytes)));
        files.collect()
    }
}

const ODD: &str = "c \"it's\" \\ here";

#[test]
fn what_changed_is_new_and_all_else_is_as_it_was() {
    let one = ("x/a.pem", "x/a.key");
    let odd = ("it's \"b\".pem", "b\\n.key");
    let zones = || {
        vec![
            zone("a", "a", Some(one)),
            zone("b", "b", Some(odd)),
            zone("c", "c", None),
            // It names what another one names too.
            zone("d", "d", Some(one)),
        ]
    };
    let files = [(one.0, "A"), (one.1, "A's"), (odd.0, "B"), (odd.1, "B's")];
    let lists = "schema = 1\n[lists.bad]\nips = [\"10.0.0.0/8\"]\n";
    let mut both = Both::of(zones(), lists, &files);
    assert_eq!(both.change(&[], Some("second")).len(), 4);
    let new = altered("c", Some(zone("c", "c2", None)), &[]);
    assert_eq!(both.change(&[new], None).len(), 4);
    // It goes, and with it what nobody else names.
    let gone = both.change(
        &[altered("b", None, &[]), altered("never", None, &[])],
        None,
    );
    assert_eq!(gone, ["x/a.key=A's", "x/a.pem=A"]);
    let renewed = [("x/a.pem", "A2"), ("x/a.key", "A2's")];
    let renewed = altered("a", Some(zone("a", "a", Some(one))), &renewed);
    assert_eq!(
        both.change(&[renewed], None),
        ["x/a.key=A2's", "x/a.pem=A2"]
    );
    // Files of one that could not be read are taken from before.
    let unread = altered("a", Some(zone("a", "a3", Some(one))), &[]);
    assert_eq!(both.change(&[unread], None), ["x/a.key=A2's", "x/a.pem=A2"]);
    let come = [
        altered(
            "z",
            Some(zone("z", "z", Some(("z.pem", "z.key")))),
            &[("z.pem", "Z"), ("z.key", "Z's"), ("no.pem", "nobody's")],
        ),
        altered("e", Some(zone("e", "e", None)), &[]),
    ];
    assert_eq!(both.change(&come, Some("third")).len(), 4);
    let names = both.document.zones.iter().map(|zone| zone.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["a", "c", "d", "e", "z"]);
    assert_eq!(both.document.lists.len(), 1);
    let all = ["a", "c", "d", "e", "z"].map(|name| altered(name, None, &[]));
    assert!(both.change(&all, None).is_empty());
    let again = altered("a", Some(zone("a", "a", None)), &[]);
    assert!(both.change(&[again], None).is_empty());
}

#[test]
fn texts_are_found_as_they_are_written() {
    for text in ["a", "", "it's", "\"", "\\", "a\\\"b", "'\"'", "\n", "x\\"] {
        let section = format!("k = {}\nl = [{}, 'x']\n", quoted(text), quoted("y\\\""));
        let found: Vec<&str> = texts(&section).collect();
        assert_eq!(
            found,
            [quoted(text), quoted("y\\\""), "'x'".into()],
            "{text}"
        );
    }
    assert_eq!(texts("k = \"cut").count(), 0);
    let document = Document {
        zones: vec![zone("a", "a", None)],
        ..Document::default()
    };
    let mut sections = Vec::new();
    document.each_section(|section| sections.push(section.to_owned()));
    assert!(sections[1].starts_with(&format!("{ZONE}{}\n", quoted("a"))));
    assert!(quoted(ODD).starts_with('"'));
}

#[test]
fn what_is_not_whole_is_not_written_anew_and_stays() {
    let mut both = Both::of(vec![zone("a", "a", None), zone("b", "b", None)], "", &[]);
    both.change(&[altered("a", Some(zone("a", "a2", None)), &[])], Some("s"));
    let good = std::fs::read(&both.path).unwrap();
    let attempt = |bytes: &[u8]| {
        std::fs::write(&both.path, bytes).unwrap();
        let gone = [altered("b", None, &[])];
        let written = write(&both.path, gone.iter(), None, || Ok(()));
        assert_eq!(std::fs::read(&both.path).unwrap(), bytes);
        let left = std::fs::read_dir(both.path.parent().unwrap()).unwrap();
        assert_eq!(left.count(), 2, "what was begun is gone");
        written.unwrap_err().kind()
    };
    let is_none = |kind| {
        matches!(
            kind,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
        )
    };
    for length in 0..good.len() {
        let kind = attempt(&good[..length]);
        assert!(is_none(kind), "{length}: {kind:?}");
    }
    for place in 0..good.len() {
        let mut flipped = good.clone();
        flipped[place] ^= 1 << (place % 8);
        let kind = attempt(&flipped);
        assert!(is_none(kind), "{place}: {kind:?}");
    }
    let before = [MAGIC_BEFORE.as_slice(), &good[MAGIC_BEFORE.len()..]].concat();
    assert_eq!(attempt(&before), io::ErrorKind::InvalidData);
    std::fs::write(&both.path, &good).unwrap();
    let may_not = || Err(io::Error::other("another has the lock"));
    let none = std::iter::empty();
    assert!(write(&both.path, none, None, may_not).is_err());
    assert_eq!(std::fs::read(&both.path).unwrap(), good);
    std::fs::remove_file(&both.path).unwrap();
    let missing = write(&both.path, std::iter::empty(), None, || Ok(()));
    assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
}
