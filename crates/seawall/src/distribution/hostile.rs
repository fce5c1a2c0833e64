//! What is read may be old, damaged, forged or not there at all: an edge serves on what it has, says what is wrong, and takes what is
//! new from any source that is good. A real publisher and real followers, on real folders.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests"
)]

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use seawall_bundle::{
    Hash, Limits, Manifest, Mark, Trust, open_keys, open_manifest, sign_manifest,
};
use seawall_control::Chain;
use seawall_control::store::Change as StoreChange;
use seawall_model::Tempo;
use seawall_model::tempo::Kind;
use tokio::time::Instant;

use super::folder::{Folder, KEYS, MANIFEST};
use super::follower::{Follower, Looked};
use super::identity;
use super::keys::{self, Keys};
use super::publisher::{PUBLISHED, Publisher, now_ms};
use super::source::{Remote, Source};
use super::sweep::Sweeper;
use crate::control::engine::Engine;
use crate::data::Data;

/// A folder that goes away with its owner.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("seawall-hostile-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A control that publishes, without all around it.
struct Control {
    folder: Temporary,
    engine: Engine,
    publisher: Publisher,
}

impl Control {
    fn new() -> Self {
        Self::on(Temporary::new())
    }

    fn on(folder: Temporary) -> Self {
        let tempo = Tempo::default();
        let engine = Engine::open(&folder.0.join("control.db"), tempo).unwrap();
        let publisher = Publisher::open(Data::at(&folder.0).unwrap(), tempo).unwrap();
        Self {
            folder,
            engine,
            publisher,
        }
    }

    /// Another one with all that this one has.
    fn copied(&self) -> Self {
        let copy = Temporary::new();
        copy_all(&self.folder.0, &copy.0);
        Self::on(copy)
    }

    /// A zone serves in a new version, whose document is this.
    fn serves(&mut self, zone: &str, text: &str) {
        let chain = Chain::Zone(zone.into());
        let change = StoreChange::Document(chain.clone(), text.into());
        let made = self
            .engine
            .make(
                "test",
                "",
                vec![],
                vec![(chain, change, Kind::Zone)],
                vec![],
            )
            .unwrap();
        self.engine.serves_already(&made).unwrap();
    }

    fn publish(&mut self) -> u64 {
        self.publisher.publish(&mut self.engine).unwrap().unwrap()
    }

    fn published(&self) -> PathBuf {
        self.folder.0.join(PUBLISHED)
    }

    /// A copy of what is published, to be spoilt.
    fn copy(&self) -> Temporary {
        let copy = Temporary::new();
        copy_all(&self.published(), &copy.0);
        copy
    }

    fn manifest(&self) -> Manifest {
        let data = Data::at(&self.folder.0).unwrap();
        let root = keys::root_public(&data).unwrap().unwrap();
        let limits = Limits::default();
        let list = fs::read(self.published().join(KEYS)).unwrap();
        let trust = Trust {
            keys: open_keys(&list, &root, 0, &limits).unwrap(),
            seen: Mark::default(),
        };
        let signed = fs::read(self.published().join(MANIFEST)).unwrap();
        let accepted = open_manifest(&signed, &trust, now_ms(), &limits).unwrap();
        accepted.manifest.into_inner()
    }

    /// Signs a manifest as control would, whatever it says.
    fn signed(&self, manifest: &Manifest) -> Vec<u8> {
        let keys = Keys::open(&Data::at(&self.folder.0).unwrap()).unwrap();
        sign_manifest(manifest, &[&keys.online], &Limits::default()).unwrap()
    }

    /// An edge on this folder, that believes this control and reads from there.
    fn edge(&self, folder: &Temporary, sources: Vec<Source>) -> Follower {
        let data = Data::at(&self.folder.0).unwrap();
        let root = keys::root_public(&data).unwrap().unwrap();
        Follower::new(Data::at(&folder.0).unwrap(), "ams", root, sources)
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_all(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

fn at(folder: &Path) -> Source {
    Source::Folder(Folder::at(folder))
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

async fn look(follower: &mut Follower) -> Looked {
    follower.look(Instant::now()).await
}

/// Zones and their texts in what is told.
fn texts(looked: &Looked) -> Vec<String> {
    let news = looked.news.as_ref();
    let live = news.map(|news| news.live.as_slice()).unwrap_or_default();
    live.iter()
        .map(|change| format!("{} {}", change.chain, change.text.as_deref().unwrap_or("-")))
        .collect()
}

/// All files of objects below a folder.
fn objects(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder.join("objects"))
        .unwrap()
        .flatten()
        .flat_map(|first| fs::read_dir(first.path()).unwrap().flatten())
        .map(|entry| entry.path())
        .collect();
    all.sort();
    all
}

/// Ways to spoil a file.
fn spoilt(whole: &[u8]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..whole.len())
        .step_by(7)
        .map(|end| whole[..end].to_vec())
        .collect();
    for at in 0..whole.len() {
        let mut flipped = whole.to_vec();
        flipped[at] ^= 1 << (at % 8);
        all.push(flipped);
    }
    all.push([whole, whole].concat());
    all.push(vec![b'x'; Limits::default().manifest_bytes + 100]);
    all
}

#[test]
fn a_damaged_manifest_or_list_changes_nothing_and_is_told() {
    let mut control = Control::new();
    control.serves("a.test", "one");
    control.publish();
    let spoil = control.copy();
    control.serves("a.test", "two");
    control.publish();
    run(async {
        for name in [MANIFEST, KEYS] {
            let whole = fs::read(control.published().join(name)).unwrap();
            for bad in spoilt(&whole) {
                let here = Temporary::new();
                copy_all(&spoil.0, &here.0);
                let edge = Temporary::new();
                let mut follower = control.edge(&edge, vec![at(&here.0)]);
                if name == MANIFEST {
                    assert_eq!(texts(&look(&mut follower).await), ["zone/a.test one"]);
                }
                fs::write(here.0.join(name), &bad).unwrap();
                let looked = look(&mut follower).await;
                assert!(looked.news.is_none(), "{name} of {} bytes", bad.len());
                assert_eq!(looked.problems.len(), 1, "{name} of {} bytes", bad.len());
                // Another source is good.
                let sources = vec![at(&here.0), at(&control.published())];
                let mut follower = control.edge(&Temporary::new(), sources);
                let looked = look(&mut follower).await;
                assert_eq!(texts(&looked), ["zone/a.test two"], "{:?}", looked.problems);
            }
        }
    });
}

#[test]
fn a_damaged_object_is_fetched_from_elsewhere_or_nothing_changes() {
    let mut control = Control::new();
    control.serves("a.test", "one");
    control.serves("b.test", "one");
    control.publish();
    let before = objects(&control.published());
    let good = control.copy();
    run(async {
        for nth in 0..before.len() {
            let whole = fs::read(&objects(&good.0)[nth]).unwrap();
            let other = fs::read(&objects(&good.0)[(nth + 1) % before.len()]).unwrap();
            for bad in spoilt(&whole)
                .into_iter()
                .step_by(5)
                .chain([other, Vec::new()])
            {
                let spoil = control.copy();
                fs::write(&objects(&spoil.0)[nth], &bad).unwrap();
                let edge = Temporary::new();
                let mut follower = control.edge(&edge, vec![at(&spoil.0)]);
                let looked = look(&mut follower).await;
                assert!(looked.news.is_none(), "{} bytes", bad.len());
                assert_eq!(looked.problems.len(), 1);
                // Mended, it is taken: nothing was remembered of what could not be had.
                copy_all(&good.0, &spoil.0);
                assert_eq!(texts(&look(&mut follower).await).len(), 2);
                fs::write(&objects(&spoil.0)[nth], &bad).unwrap();
                let sources = vec![at(&spoil.0), at(&good.0)];
                let mut follower = control.edge(&Temporary::new(), sources);
                assert_eq!(texts(&look(&mut follower).await).len(), 2);
            }
        }
    });
}

#[test]
fn what_another_control_has_signed_is_not_believed() {
    let (mut control, mut other) = (Control::new(), Control::new());
    control.serves("a.test", "ours");
    control.publish();
    for _ in 0..3 {
        other.serves("a.test", "theirs");
        other.publish();
    }
    run(async {
        let edge = Temporary::new();
        let mut follower = control.edge(&edge, vec![at(&other.published())]);
        let looked = look(&mut follower).await;
        assert!(looked.news.is_none() && looked.problems.len() == 1);
        // Their manifest beside our list of keys, and with our objects.
        let mixed = control.copy();
        copy_all(&other.published().join("objects"), &mixed.0.join("objects"));
        let theirs = fs::read(other.published().join(MANIFEST)).unwrap();
        fs::write(mixed.0.join(MANIFEST), theirs).unwrap();
        let mut follower = control.edge(&edge, vec![at(&mixed.0)]);
        let looked = look(&mut follower).await;
        assert!(looked.news.is_none() && looked.problems.len() == 1);
        let sources = vec![at(&mixed.0), at(&control.published())];
        let mut follower = control.edge(&edge, sources);
        assert_eq!(texts(&look(&mut follower).await), ["zone/a.test ours"]);
    });
}

#[test]
fn an_older_generation_is_never_taken_after_a_newer_one() {
    let mut control = Control::new();
    control.serves("a.test", "one");
    control.publish();
    let old = control.copy();
    control.serves("a.test", "two");
    let newer = control.publish();
    run(async {
        // The source that is ahead counts, in whatever order they stand.
        let edge = Temporary::new();
        let sources = vec![at(&old.0), at(&control.published())];
        let mut follower = control.edge(&edge, sources);
        let looked = look(&mut follower).await;
        assert_eq!(texts(&looked), ["zone/a.test two"]);
        assert_eq!(follower.generation().1, newer);
        // Whoever is a moment behind is nothing to talk about; whoever stays so is.
        let now = Instant::now();
        assert!(follower.look(now).await.problems.is_empty());
        let later = follower.look(now + Duration::from_secs(120)).await;
        assert!(later.news.is_none());
        assert!(
            later.problems.len() == 1 && later.problems[0].contains("lower than"),
            "{later:?}"
        );
        // After a restart too, with the old one alone: what was seen is on disk.
        let mut follower = control.edge(&edge, vec![at(&old.0)]);
        let first = follower.look(now).await;
        assert!(first.news.is_none(), "{first:?}");
        let later = follower.look(now + Duration::from_secs(120)).await;
        assert!(later.news.is_none() && later.problems.len() == 1);
    });
}

#[test]
fn of_two_controls_with_the_same_keys_one_is_refused() {
    let mut control = Control::new();
    control.serves("a.test", "one");
    control.publish();
    let mut second = control.copied();
    control.serves("a.test", "ours");
    second.serves("a.test", "theirs");
    assert_eq!(control.publish(), second.publish());
    run(async {
        let edge = Temporary::new();
        let mut follower = control.edge(&edge, vec![at(&control.published())]);
        assert_eq!(texts(&look(&mut follower).await), ["zone/a.test ours"]);
        let mut follower = control.edge(&edge, vec![at(&second.published())]);
        let looked = look(&mut follower).await;
        assert!(looked.news.is_none(), "{looked:?}");
        assert!(looked.problems[0].contains("generation"), "{looked:?}");
        let sources = vec![at(&second.published()), at(&control.published())];
        let mut follower = control.edge(&edge, sources);
        let looked = look(&mut follower).await;
        assert_eq!(texts(&looked), ["zone/a.test ours"]);
        assert_eq!(looked.problems.len(), 1);
    });
}

#[test]
fn a_manifest_for_newer_readers_is_left_to_them() {
    let mut control = Control::new();
    control.serves("a.test", "one");
    control.publish();
    run(async {
        let edge = Temporary::new();
        let mut follower = control.edge(&edge, vec![at(&control.published())]);
        assert_eq!(texts(&look(&mut follower).await), ["zone/a.test one"]);
        let mut next = control.manifest();
        next.generation += 1;
        (next.schema, next.min_reader) = (99, 99);
        fs::write(control.published().join(MANIFEST), control.signed(&next)).unwrap();
        let looked = look(&mut follower).await;
        assert!(looked.news.is_none());
        assert!(looked.problems[0].contains("99"), "{looked:?}");
    });
}

#[test]
fn a_clock_that_is_wrong_is_told_and_changes_nothing() {
    let mut control = Control::new();
    control.serves("a.test", "one");
    control.publish();
    let hour = 60 * 60 * 1_000;
    run(async {
        let edge = Temporary::new();
        let mut follower = control.edge(&edge, vec![at(&control.published())]);
        assert_eq!(texts(&look(&mut follower).await), ["zone/a.test one"]);
        let mut next = control.manifest();
        let here = next.at;
        for (ahead, told) in [(hour, 1), (365 * 24 * hour, 1), (0, 0)] {
            next.generation += 1;
            next.at = now_ms() + ahead;
            fs::write(control.published().join(MANIFEST), control.signed(&next)).unwrap();
            let looked = look(&mut follower).await;
            assert_eq!(looked.problems.len(), told, "{looked:?}");
            assert_eq!(follower.generation().1, next.generation);
        }
        // Control's clock went back by a year: nothing is wrong that an edge could know of.
        next.generation += 1;
        next.at = here - 365 * 24 * hour;
        fs::write(control.published().join(MANIFEST), control.signed(&next)).unwrap();
        assert!(look(&mut follower).await.problems.is_empty());
        assert_eq!(follower.generation().1, next.generation);
        let seen = fs::read_to_string(edge.0.join("seen.json")).unwrap();
        let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
        let mark = seen["mark"]["signed_at"].as_u64().unwrap();
        assert!(
            mark >= here && mark <= now_ms(),
            "the mark follows no wrong clock"
        );
    });
}

#[test]
fn a_source_that_never_answers_keeps_nobody_waiting() {
    let mut control = Control::new();
    control.serves("a.test", "one");
    control.publish();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    run(async {
        let tls = identity::joining(Hash([0; 32])).unwrap();
        let remote = Remote::new(&url, identity::CONTROL, "ams", tls).unwrap();
        let edge = Temporary::new();
        let sources = vec![Source::Remote(remote), at(&control.published())];
        let mut follower = control.edge(&edge, sources);
        for text in ["one", "two", "three"] {
            let began = Instant::now();
            // Its own patience is 20 s.
            let looked = tokio::time::timeout(Duration::from_secs(10), look(&mut follower)).await;
            let looked = looked.unwrap();
            println!("a look beside one who never answers: {:?}", began.elapsed());
            assert_eq!(texts(&looked), [format!("zone/a.test {text}")]);
            assert!(looked.problems[0].contains("does not answer"), "{looked:?}");
            control.serves("a.test", if text == "one" { "two" } else { "three" });
            let _ = control.publisher.publish(&mut control.engine).unwrap();
        }
    });
}

#[test]
fn a_full_disk_at_the_edge_is_told_and_keeps_nothing_from_being_served() {
    let mut control = Control::new();
    control.serves("a.test", "one");
    control.publish();
    run(async {
        let edge = Temporary::new();
        // Neither what is read nor what was seen can be written: the disk of a test is not full.
        fs::create_dir(edge.0.join("seen.json")).unwrap();
        fs::write(edge.0.join("received"), "").unwrap();
        let follower = control.edge(&edge, vec![at(&control.published())]);
        let mut follower = follower.with_cache(Folder::at(edge.0.join("received")));
        for text in ["one", "two"] {
            let looked = look(&mut follower).await;
            assert_eq!(texts(&looked), [format!("zone/a.test {text}")]);
            assert_eq!(looked.problems.len(), 2, "{looked:?}");
            control.serves("a.test", "two");
            control.publish();
        }
        // Room again: all is kept, and read without any source.
        fs::remove_dir(edge.0.join("seen.json")).unwrap();
        fs::remove_file(edge.0.join("received")).unwrap();
        control.serves("a.test", "three");
        control.publish();
        let looked = look(&mut follower).await;
        assert_eq!(texts(&looked), ["zone/a.test three"]);
        assert!(looked.problems.is_empty(), "{looked:?}");
    });
}

#[test]
fn what_was_read_once_is_read_again_with_all_sources_dead() {
    let mut control = Control::new();
    control.serves("a.test", "one");
    control.serves("b.test", "one");
    control.publish();
    run(async {
        let edge = Temporary::new();
        let received = || Folder::at(edge.0.join("received"));
        let follower = control.edge(&edge, vec![at(&control.published())]);
        let mut follower = follower.with_cache(received());
        assert_eq!(texts(&look(&mut follower).await).len(), 2);
        let nowhere = Temporary::new();
        let follower = control.edge(&edge, vec![at(&nowhere.0)]);
        let mut follower = follower.with_cache(received());
        assert_eq!(texts(&look(&mut follower).await).len(), 2);
        // What was kept may be damaged as any other.
        for object in objects(&edge.0.join("received")) {
            fs::write(object, "x").unwrap();
        }
        let follower = control.edge(&edge, vec![at(&control.published())]);
        let mut follower = follower.with_cache(received());
        assert_eq!(texts(&look(&mut follower).await).len(), 2);
        let follower = control.edge(&edge, vec![at(&nowhere.0)]);
        let mut follower = follower.with_cache(received());
        assert_eq!(texts(&look(&mut follower).await).len(), 2, "it was mended");
    });
}

#[test]
fn a_publisher_that_cannot_write_says_so_and_what_was_published_stays() {
    let mut control = Control::new();
    control.serves("a.test", "one");
    let first = control.publish();
    let edge = Temporary::new();
    let mut follower = control.edge(&edge, vec![at(&control.published())]);
    run(async {
        assert_eq!(texts(&look(&mut follower).await), ["zone/a.test one"]);
        let (objects, away) = (
            control.published().join("objects"),
            control.folder.0.join("away"),
        );
        fs::rename(&objects, &away).unwrap();
        fs::write(&objects, "no folder").unwrap();
        control.serves("a.test", "two");
        assert!(control.publisher.publish(&mut control.engine).is_err());
        let looked = look(&mut follower).await;
        assert!(
            looked.news.is_none() && looked.problems.is_empty(),
            "{looked:?}"
        );
        assert_eq!(control.manifest().generation, first);
        fs::remove_file(&objects).unwrap();
        fs::rename(&away, &objects).unwrap();
        assert!(control.publish() > first);
        assert_eq!(texts(&look(&mut follower).await), ["zone/a.test two"]);
    });
}

#[test]
fn another_log_than_what_is_published_gives_up_nothing_by_itself() {
    let mut control = Control::new();
    for nth in 0..20 {
        control.serves(&format!("z{nth}.test"), "one");
    }
    control.publish();
    // As when the store was lost: the log begins anew, with one zone in it.
    let folder = Temporary::new();
    copy_all(&control.folder.0, &folder.0);
    for name in ["control.db", "control.db-wal", "control.db-shm"] {
        let _ = fs::remove_file(folder.0.join(name));
    }
    let mut again = Control::on(folder);
    again.serves("z0.test", "two");
    let error = again.publisher.publish(&mut again.engine).unwrap_err();
    assert!(
        format!("{error:#}").contains("restore a backup"),
        "{error:#}"
    );
    assert_eq!(again.manifest(), control.manifest());
}

#[test]
fn what_nothing_leads_to_goes_and_all_else_stays() {
    let mut control = Control::new();
    for nth in 0..300 {
        control.serves(&format!("z{nth}.test"), &format!("one {nth}"));
    }
    control.publish();
    let root = keys::root_public(&Data::at(&control.folder.0).unwrap());
    let root = root.unwrap().unwrap();
    let mut sweeper = Sweeper::new(control.publisher.folder().clone(), root);
    let all = |control: &Control| objects(&control.published()).len();
    let swept = |sweeper: &mut Sweeper| sweeper.sweep(Duration::ZERO).unwrap().1;
    assert_eq!(swept(&mut sweeper), 0);
    for round in 0..5 {
        control.serves("z7.test", &format!("two {round}"));
        control.publish();
        if round == 3 {
            assert_eq!(
                sweeper.sweep(Duration::from_secs(60)).unwrap().1,
                0,
                "all are young"
            );
        }
    }
    let before = all(&control);
    swept(&mut sweeper);
    // Another one has been marked before; now only the newest is left.
    let went = swept(&mut sweeper);
    let left = all(&control);
    println!("{before} objects before, {left} after two sweeps, {went} by the last");
    assert!(left < before);
    assert_eq!(swept(&mut sweeper), 0);
    run(async {
        let mut follower = control.edge(&Temporary::new(), vec![at(&control.published())]);
        assert_eq!(texts(&look(&mut follower).await).len(), 300);
    });
    // A manifest that cannot be read: nothing goes.
    control.serves("z8.test", "two");
    control.publish();
    fs::write(control.published().join(MANIFEST), "garbage").unwrap();
    assert!(sweeper.sweep(Duration::ZERO).is_err());
    assert!(all(&control) > left);
}

#[test]
fn control_is_heard_of_although_nothing_is_new() {
    let mut control = Control::new();
    control.serves("a.test", "one");
    let first = control.publish();
    assert_eq!(
        control.publisher.publish(&mut control.engine).unwrap(),
        None
    );
    assert!(!control.publisher.is_due());
    // Another process of control: edges are to hear that it is there.
    let mut again = control.copied();
    assert!(again.publisher.is_due());
    assert_eq!(again.publish(), first + 1);
}
