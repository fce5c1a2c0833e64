//! Files that a version names may be missing, damaged, not for us, or not what the version says: then it is not served, which is told, and
//! all else goes on.

use std::path::Path;
use std::rc::Rc;

use seawall_bundle::{Content, File, SealKey, Version};
use seawall_control::contents::{File as Named, bound};
use seawall_control::store::{Body, Change as StoreChange, LocationKeys};
use seawall_control::{Chain, Hash as Kept};
use seawall_model::document;
use seawall_model::tempo::Kind;
use seawall_proxy::materials::Room;
use tempfile::TempDir;

use super::super::bring::{Bringer, Seal};
use super::super::fetch::Fetcher;
use super::*;
use crate::contents::Contents;
use crate::control::files::{Binder, Safe};
use crate::control::make::By;

const ROOM: Room = Room {
    most: 1_000,
    left: 1_000,
    rules: false,
};

fn chain() -> Chain {
    Chain::Zone("a.test".into())
}

/// A zone serves whose certificate's files hold this.
fn serves(control: &mut Control, key: &str) {
    let text = "schema = 1\n[[zone]]\nname = \"a.test\"\nhosts = [\"a.test\"]\norigin = [{ url = \"http://127.0.0.1:1\" }]\ntls = { certificate = { cert = \"/c\", key = \"/k\" } }\n";
    let document = document::parse(text, &seawall_model::Limits::default()).unwrap();
    let safe = Safe::open(&Data::at(control.folder.path()).unwrap()).unwrap();
    let known = vec![
        ("/c".into(), b"certificate".to_vec()),
        ("/k".into(), key.as_bytes().to_vec()),
    ];
    let bound = Binder::new(&safe, known).bind(&document).unwrap();
    let change = StoreChange::Document(chain(), bound.text.clone());
    let made = control.engine.make(
        &By::new("test", ""),
        vec![],
        vec![(chain(), change, Kind::Zone)],
        bound.to_store(None),
    );
    control.engine.serves_already(&made.unwrap()).unwrap();
}

/// A location that has joined with this key.
fn joined(control: &mut Control, location: &str) -> SealKey {
    let key = SealKey::generate().unwrap();
    let keys = LocationKeys {
        seal: key.public().to_string(),
        ..LocationKeys::default()
    };
    let body = Body::LocationJoined {
        location: location.into(),
        key: keys.hash(),
        keys,
        architecture: "x86_64".into(),
        canary: false,
    };
    let changes = vec![StoreChange::Event(body)];
    control.engine.append("test", "", vec![], changes).unwrap();
    key
}

fn edge(control: &Control, folder: &TempDir, from: &Path, key: &SealKey) -> Follower {
    let follower = control.edge(folder, vec![at(from)]);
    follower.with_seal_key(&key.to_text().unwrap())
}

/// What an edge has of the files that its text names.
fn had(folder: &TempDir, looked: &Looked) -> Vec<Result<Vec<u8>, String>> {
    let contents = Contents::of(&Data::at(folder.path()).unwrap());
    let text = texts(looked).concat();
    let hashes = crate::contents::hashes(&text);
    hashes.map(|hash| contents.get(&hash, ROOM)).collect()
}

fn undelivered(looked: &Looked) -> usize {
    let news = looked.news.as_ref();
    news.map_or(0, |news| news.undelivered.len())
}

#[test]
fn a_file_that_cannot_be_had_is_told_and_the_rest_goes_on() {
    let mut control = Control::new();
    let key = joined(&mut control, "ams");
    serves(&mut control, "key one");
    control.publish();
    let good = temporary();
    run(async {
        let mut follower = edge(&control, &good, &control.published(), &key);
        let looked = look(&mut follower).await;
        let both = [Ok(b"certificate".to_vec()), Ok(b"key one".to_vec())];
        assert_eq!(had(&good, &looked), both);
        assert_eq!(undelivered(&looked), 0);
    });
    // The object of the key is gone, or damaged.
    let before = objects(&control.published());
    serves(&mut control, "key two");
    control.serves("b.test", "schema = 1\n");
    control.publish();
    let is_secret = |path: &&std::path::PathBuf| {
        let packed = fs::read(path).unwrap();
        let content = zstd_content(path, &packed);
        content.starts_with(b"seawall secret 1\n") && !before.contains(path)
    };
    let all = objects(&control.published());
    let secret = all.iter().find(is_secret).unwrap();
    let name = secret.strip_prefix(control.published()).unwrap();
    for damage in [None, Some(b"damaged".as_slice())] {
        let (spoilt, folder) = (control.copy(), temporary());
        match damage {
            None => fs::remove_file(spoilt.path().join(name)).unwrap(),
            Some(bytes) => fs::write(spoilt.path().join(name), bytes).unwrap(),
        }
        run(async {
            let mut follower = edge(&control, &folder, spoilt.path(), &key);
            let looked = look(&mut follower).await;
            // Both are told of; the file is not there, and may come.
            assert_eq!(texts(&looked).len(), 2);
            let files = had(&folder, &looked);
            assert!(files[0].is_ok() && files[1].is_err(), "{files:?}");
            assert_eq!(undelivered(&looked), 0);
            assert_eq!(undelivered(&look(&mut follower).await), 0);
            let looked = look(&mut follower).await;
            let told = looked.news.unwrap().undelivered;
            assert!(told[0].0 == chain() && told[0].2.contains("/k"), "{told:?}");
            assert!(look(&mut follower).await.news.is_none(), "once");
            fs::copy(secret, spoilt.path().join(name)).unwrap();
            let looked = look(&mut follower).await;
            assert!(had(&folder, &looked).iter().all(Result::is_ok));
            assert_eq!(texts(&looked).len(), 1);
            assert!(looked.news.unwrap().undelivered.is_empty());
        });
    }
}

#[test]
fn who_left_opens_nothing_that_is_encrypted_later_and_others_do() {
    let mut control = Control::new();
    let (ams, lhr) = (joined(&mut control, "ams"), joined(&mut control, "lhr"));
    serves(&mut control, "key one");
    control.publish();
    let (at_ams, at_lhr) = (temporary(), temporary());
    let published = control.published();
    run(async {
        let mut of_ams = edge(&control, &at_ams, &published, &ams);
        let mut of_lhr = edge(&control, &at_lhr, &published, &lhr);
        for (follower, folder) in [(&mut of_ams, &at_ams), (&mut of_lhr, &at_lhr)] {
            let looked = look(follower).await;
            assert_eq!(had(folder, &looked)[1], Ok(b"key one".to_vec()));
        }
        let left = Body::LocationLeft {
            location: "lhr".into(),
        };
        let left = vec![StoreChange::Event(left)];
        control.engine.append("test", "", vec![], left).unwrap();
        serves(&mut control, "key two");
        control.publish();
        let looked = look(&mut of_ams).await;
        assert_eq!(had(&at_ams, &looked)[1], Ok(b"key two".to_vec()));
        let looked = look(&mut of_lhr).await;
        assert!(had(&at_lhr, &looked)[1].is_err());
        // One that joins now opens both keys' secrets: there is one wrap more, and nothing else is new.
        let before = objects(&control.published()).len();
        let sin = joined(&mut control, "sin");
        control.publish();
        assert_eq!(objects(&control.published()).len(), before + 1);
        let folder = temporary();
        let mut of_sin = edge(&control, &folder, &published, &sin);
        let looked = look(&mut of_sin).await;
        assert_eq!(had(&folder, &looked)[1], Ok(b"key two".to_vec()));
    });
}

#[test]
fn what_is_not_what_its_version_says_is_refused_at_once() {
    let limits = Limits::default();
    let folder = temporary();
    let source = Folder::at(folder.path().join("from"));
    let object = Content::pack_plain(b"a list", &limits).unwrap();
    let secret = seawall_bundle::ContentKey::generate().unwrap();
    let sealed = Content::pack_secret(b"a list", b"another purpose", &secret, &limits).unwrap();
    let none = seawall_bundle::Object::pack(b"neither", 100).unwrap();
    let all = [&object, &sealed, &none].map(|object| (object.name(), object.packed()));
    source.put_objects(all.into_iter()).unwrap();
    let data = Data::at(folder.path()).unwrap();
    let named = |size, content: &[u8], sealed| Named {
        path: "/list".into(),
        sealed,
        hash: Kept::of(content),
        size,
    };
    run(async {
        let fetcher = Rc::new(Fetcher::new(vec![Source::Folder(source)], None));
        let cases = [
            (named(6, b"a list", false), &object, true),
            (named(7, b"a list", false), &object, false),
            (named(6, b"another", false), &object, false),
            (named(6, b"a list", true), &object, false),
            (named(6, b"another", false), &sealed, false),
            (named(6, b"another", false), &none, false),
        ];
        for (nth, (named, object, is_good)) in cases.into_iter().enumerate() {
            // To whom nothing was brought before.
            let own = Data::at(&folder.path().join(format!("to-{nth}"))).unwrap();
            let mut bringer = Bringer::new(own, Seal::Here);
            let file = File {
                path: "/list".into(),
                object: object.name(),
            };
            let version = Version {
                number: nth as u64 + 1,
                document: bound("schema = 1\n", vec![named]),
                files: vec![file],
            };
            let chain = Chain::Platform;
            let brought = bringer.bring(&fetcher, 0, None, &chain, &version);
            assert_eq!(brought.await, is_good, "{nth}");
            assert_eq!(bringer.undelivered().len(), usize::from(!is_good), "{nth}");
        }
        let mut bringer = Bringer::new(data, Seal::Here);
        // Control has not published it at all.
        let version = Version {
            number: 7,
            document: bound("schema = 1\n", vec![named(3, b"new", false)]),
            files: Vec::new(),
        };
        let brought = bringer.bring(&fetcher, 0, None, &Chain::Platform, &version);
        assert!(!brought.await);
        let told = bringer.undelivered();
        let told = told.iter().find(|(_, number, _)| *number == 7).unwrap();
        assert!(told.2.contains("has not published it"), "{told:?}");
    });
}

/// What an object holds.
fn zstd_content(path: &Path, packed: &[u8]) -> Vec<u8> {
    let part = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let name = part(path.parent().unwrap()) + &part(path);
    let name = Hash::parse(&name).unwrap();
    seawall_bundle::Object::open(&name, packed, Limits::default().object_bytes).unwrap()
}
