//! What is read may be old, damaged, forged or not there at all: an edge serves on what it has, says what is wrong, and takes what is
//! new from any source that is good. A real publisher and real followers, on real folders.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod files;

use std::fs;
use std::time::Duration;

use seawall_bundle::{Hash, Limits, sign_manifest};
use tokio::time::Instant;

use super::folder::{Folder, KEYS, MANIFEST};
use super::follower::Follower;
use super::identity;
use super::keys::{self, Keys};
use super::news::Looked;
use super::places::{Control, at, copy_all, look, objects, run, temporary, texts};
use super::publisher::now_ms;
use super::source::{Remote, Source};
use crate::data::Data;

/// Looks until this is complained of.
async fn until_told(follower: &mut Follower, what: &str) -> Looked {
    let begun = Instant::now();
    loop {
        let looked = look(follower).await;
        if looked.problems.iter().any(|why| why.contains(what)) {
            return looked;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{looked:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
                let here = temporary();
                copy_all(spoil.path(), here.path());
                let edge = temporary();
                let mut follower = control.edge(&edge, vec![at(here.path())]);
                if name == MANIFEST {
                    assert_eq!(texts(&look(&mut follower).await), ["zone/a.test one"]);
                }
                fs::write(here.path().join(name), &bad).unwrap();
                let looked = look(&mut follower).await;
                assert!(looked.news.is_none(), "{name} of {} bytes", bad.len());
                assert_eq!(looked.problems.len(), 1, "{name} of {} bytes", bad.len());
                // Another source is good.
                let sources = vec![at(here.path()), at(&control.published())];
                let mut follower = control.edge(&temporary(), sources);
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
            let whole = fs::read(&objects(good.path())[nth]).unwrap();
            let other = fs::read(&objects(good.path())[(nth + 1) % before.len()]).unwrap();
            for bad in spoilt(&whole)
                .into_iter()
                .step_by(5)
                .chain([other, Vec::new()])
            {
                let spoil = control.copy();
                fs::write(&objects(spoil.path())[nth], &bad).unwrap();
                let edge = temporary();
                let mut follower = control.edge(&edge, vec![at(spoil.path())]);
                let looked = look(&mut follower).await;
                assert!(looked.news.is_none(), "{} bytes", bad.len());
                assert_eq!(looked.problems.len(), 1);
                // Mended, it is taken: nothing was remembered of what could not be had.
                copy_all(good.path(), spoil.path());
                assert_eq!(texts(&look(&mut follower).await).len(), 2);
                fs::write(&objects(spoil.path())[nth], &bad).unwrap();
                let sources = vec![at(spoil.path()), at(good.path())];
                let mut follower = control.edge(&temporary(), sources);
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
        let edge = temporary();
        let mut follower = control.edge(&edge, vec![at(&other.published())]);
        let looked = look(&mut follower).await;
        assert!(looked.news.is_none() && looked.problems.len() == 1);
        // Their manifest beside our list of keys, and with our objects.
        let mixed = control.copy();
        copy_all(
            &other.published().join("objects"),
            &mixed.path().join("objects"),
        );
        let theirs = fs::read(other.published().join(MANIFEST)).unwrap();
        fs::write(mixed.path().join(MANIFEST), theirs).unwrap();
        let mut follower = control.edge(&edge, vec![at(mixed.path())]);
        let looked = look(&mut follower).await;
        assert!(looked.news.is_none() && looked.problems.len() == 1);
        let sources = vec![at(mixed.path()), at(&control.published())];
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
        let edge = temporary();
        let sources = vec![at(old.path()), at(&control.published())];
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
        let mut follower = control.edge(&edge, vec![at(old.path())]);
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
        let edge = temporary();
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
        let edge = temporary();
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
        let edge = temporary();
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
        let seen = fs::read_to_string(edge.path().join("seen.json")).unwrap();
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
        let edge = temporary();
        let sources = vec![Source::Remote(remote), at(&control.published())];
        let mut follower = control.edge(&edge, sources);
        for (nth, text) in ["one", "two", "three"].into_iter().enumerate() {
            let began = Instant::now();
            // Its own patience is 20 s.
            let looked = tokio::time::timeout(Duration::from_secs(10), look(&mut follower)).await;
            let looked = looked.unwrap();
            println!("a look beside one who never answers: {:?}", began.elapsed());
            assert_eq!(texts(&looked), [format!("zone/a.test {text}")]);
            if nth == 2 {
                let said = until_told(&mut follower, "does not answer").await;
                assert!(said.problems[0].contains(&url), "{said:?}");
            }
            control.serves("a.test", if text == "one" { "two" } else { "three" });
            let _ = control.publisher.publish(&mut control.engine).unwrap();
        }
    });
}

/// As control does that is stopped, or whose network is gone for a while: it is the only source of most edges.
#[test]
fn an_only_source_that_hung_is_asked_again() {
    let control = Control::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    run(async {
        let tls = identity::joining(Hash([0; 32])).unwrap();
        let remote = Remote::new(&url, identity::CONTROL, "ams", tls).unwrap();
        let edge = temporary();
        let mut follower = control.edge(&edge, vec![Source::Remote(remote)]);
        let said = until_told(&mut follower, "does not answer").await;
        assert_eq!(said.problems.len(), 1, "{said:?}");
        // Whoever waits for it is broken off, and whoever comes from now on is refused.
        drop(silent);
        let said = until_told(&mut follower, "refused").await;
        assert!(!said.problems[0].contains("does not answer"), "{said:?}");
    });
}

#[test]
fn a_full_disk_at_the_edge_is_told_and_keeps_nothing_from_being_served() {
    let mut control = Control::new();
    control.serves("a.test", "one");
    control.publish();
    run(async {
        let edge = temporary();
        // Neither what is read nor what was seen can be written: the disk of a test is not full.
        fs::create_dir(edge.path().join("seen.json")).unwrap();
        fs::write(edge.path().join("received"), "").unwrap();
        let follower = control.edge(&edge, vec![at(&control.published())]);
        let mut follower = follower.with_cache(Folder::at(edge.path().join("received")));
        for text in ["one", "two"] {
            let looked = look(&mut follower).await;
            assert_eq!(texts(&looked), [format!("zone/a.test {text}")]);
            assert_eq!(looked.problems.len(), 2, "{looked:?}");
            control.serves("a.test", "two");
            control.publish();
        }
        // Room again: all is kept, and read without any source.
        fs::remove_dir(edge.path().join("seen.json")).unwrap();
        fs::remove_file(edge.path().join("received")).unwrap();
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
        let edge = temporary();
        let received = || Folder::at(edge.path().join("received"));
        let follower = control.edge(&edge, vec![at(&control.published())]);
        let mut follower = follower.with_cache(received());
        assert_eq!(texts(&look(&mut follower).await).len(), 2);
        let nowhere = temporary();
        let follower = control.edge(&edge, vec![at(nowhere.path())]);
        let mut follower = follower.with_cache(received());
        assert_eq!(texts(&look(&mut follower).await).len(), 2);
        // What was kept may be damaged as any other.
        for object in objects(&edge.path().join("received")) {
            fs::write(object, "x").unwrap();
        }
        let follower = control.edge(&edge, vec![at(&control.published())]);
        let mut follower = follower.with_cache(received());
        assert_eq!(texts(&look(&mut follower).await).len(), 2);
        let follower = control.edge(&edge, vec![at(nowhere.path())]);
        let mut follower = follower.with_cache(received());
        assert_eq!(texts(&look(&mut follower).await).len(), 2, "it was mended");
    });
}

#[test]
fn a_publisher_that_cannot_write_says_so_and_what_was_published_stays() {
    let mut control = Control::new();
    control.serves("a.test", "one");
    let first = control.publish();
    let edge = temporary();
    let mut follower = control.edge(&edge, vec![at(&control.published())]);
    run(async {
        assert_eq!(texts(&look(&mut follower).await), ["zone/a.test one"]);
        let (objects, away) = (
            control.published().join("objects"),
            control.folder.path().join("away"),
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
    let folder = temporary();
    copy_all(control.folder.path(), folder.path());
    for name in ["control.db", "control.db-wal", "control.db-shm"] {
        let _ = fs::remove_file(folder.path().join(name));
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

#[test]
fn another_key_is_taken_and_what_a_revoked_one_signs_is_refused() {
    let mut control = Control::new();
    let data = Data::at(control.folder.path()).unwrap();
    control.serves("a.test", "one");
    control.publish();
    run(async {
        let edge = temporary();
        let mut follower = control.edge(&edge, vec![at(&control.published())]);
        assert_eq!(texts(&look(&mut follower).await), ["zone/a.test one"]);
        for (nth, revoke) in [false, false, false, true].into_iter().enumerate() {
            let stolen = Keys::open(&data).unwrap().online;
            let root = keys::root_key(&data, None).unwrap();
            keys::rotate(&data, &root).unwrap();
            if revoke {
                keys::revoke(&data, &root, stolen.public().fingerprint()).unwrap();
            }
            let text = format!("with key {nth}");
            control.serves("a.test", &text);
            control.publish();
            let looked = look(&mut follower).await;
            assert_eq!(texts(&looked), [format!("zone/a.test {text}")]);
            // Whoever has the old key, and a place that is read.
            let mut forged = control.manifest();
            forged.generation += 1;
            let signed = sign_manifest(&forged, &[&stolen], &Limits::default()).unwrap();
            let place = control.copy();
            fs::write(place.path().join(MANIFEST), signed).unwrap();
            let mut other = control.edge(&temporary(), vec![at(place.path())]);
            let looked = look(&mut other).await;
            assert_eq!(looked.news.is_none(), revoke, "{looked:?}");
        }
    });
}

#[test]
fn a_control_that_dies_before_its_manifest_is_there_loses_nothing() {
    let mut control = Control::new();
    control.serves("a.test", "one");
    control.publish();
    control.serves("a.test", "two");
    // All is written but the manifest, whose place before it is put there is taken; and then it is dead.
    let name = format!("{MANIFEST}.{}.new", std::process::id());
    let taken = control.published().join(name);
    fs::create_dir(&taken).unwrap();
    assert!(control.publisher.publish(&mut control.engine).is_err());
    fs::remove_dir(&taken).unwrap();
    let mut again = control.copied();
    again.publish();
    run(async {
        let mut follower = again.edge(&temporary(), vec![at(&again.published())]);
        assert_eq!(texts(&look(&mut follower).await), ["zone/a.test two"]);
    });
}

#[test]
fn a_key_that_was_revoked_is_not_believed_by_who_knows_an_older_list() {
    let mut control = Control::new();
    let data = Data::at(control.folder.path()).unwrap();
    control.serves("a.test", "one");
    control.publish();
    run(async {
        let edge = temporary();
        let mut follower = control.edge(&edge, vec![at(&control.published())]);
        assert_eq!(texts(&look(&mut follower).await), ["zone/a.test one"]);
        // The thief publishes first: by the list that the edge knows, the key is as good as ever.
        let mut manifest = control.manifest();
        manifest.generation += 10;
        manifest.drained = vec!["ams".into()];
        let theirs = control.signed(&manifest);
        let root = keys::root_key(&data, None).unwrap();
        let stolen = Keys::open(&data).unwrap().online.public().fingerprint();
        keys::revoke(&data, &root, stolen).unwrap();
        let list = Keys::open(&data).unwrap().list;
        fs::write(control.published().join(KEYS), list).unwrap();
        fs::write(control.published().join(MANIFEST), theirs).unwrap();
        let looked = look(&mut follower).await;
        assert!(looked.news.is_none(), "{looked:?}");
        assert!(looked.problems[0].contains("revoked"), "{looked:?}");
    });
}
