//! What the embedded store must survive: kill -9, full disks, files that are damaged or not ours, copies.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use seawall_control::store::{Change, Sqlite, sqlite};
use seawall_control::{ConfigStore, Hash, StoreError};
use seawall_model::tempo::Kind;

use crate::child::{self, start};
use crate::folder::Folder;
use crate::lasting::filled;
use crate::properties::{append, document, zone};

fn open(path: &Path) -> Sqlite {
    Sqlite::open(path).expect("opens")
}

/// Changes a store's file behind its back.
fn behind(path: &Path, sql: &str) {
    Connection::open(path)
        .expect("opens")
        .execute_batch(sql)
        .expect("done");
}

fn error(path: &Path) -> StoreError {
    Sqlite::open(path).expect_err("cannot be opened")
}

#[test]
fn many_open_a_file_that_nobody_has_made_yet() {
    for _ in 0..20 {
        let folder = Folder::new();
        let path = folder.path("control.db");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| drop(open(&path)));
            }
        });
    }
}

#[test]
fn kill_9_loses_nothing_that_was_told_and_leaves_nothing_half_done() {
    let folder = Folder::new();
    let path = folder.path("control.db");
    let rounds: u32 = if std::env::var_os("SEAWALL_TEST_LONG").is_some() {
        200
    } else {
        5
    };
    let chain = zone("a.test");
    let mut most = 0;
    for round in 0..rounds {
        let mut writer = start("write", &path);
        let mut told = 0;
        for _ in 0..20 + round % 17 {
            told = writer
                .next("done")
                .expect("it writes")
                .parse()
                .expect("a number");
        }
        // Anywhere in the next append or two.
        std::thread::sleep(Duration::from_micros(u64::from(round * 137 % 1_500)));
        writer.process.kill().expect("killed");
        writer.process.wait().expect("gone");
        while let Some(line) = writer.next("done") {
            told = line.parse().expect("a number");
        }
        let mut store = open(&path);
        let entries = store.last().expect("last");
        assert_eq!(
            store.verify().expect("verify"),
            Ok(entries),
            "round {round}"
        );
        let head = store.head(&chain).expect("head").expect("there").number;
        assert!(
            head == told || head == told + 1,
            "round {round}: told {told}, there {head}"
        );
        for number in [1, told, head] {
            let version = store
                .version(&chain, number)
                .expect("version")
                .expect("there");
            assert_eq!(
                store.document(&version.hash).expect("document"),
                Some(child::text(number))
            );
        }
        // A version and its rollout come together or not at all.
        let running = store.running().expect("running");
        assert_eq!(running.len(), 1, "round {round}");
        let derived = store.derived().expect("derived");
        assert_eq!(
            (derived.versions.len() as u64, derived.rollouts.len() as u64),
            (head, head)
        );
        store.rebuild().expect("rebuilt");
        assert_eq!(store.derived().expect("derived"), derived, "round {round}");
        most = head;
    }
    println!("measured: embedded store, versions that outlived {rounds} kills = {most} versions");
}

/// Time is printed and not judged.
#[test]
fn many_zones_in_one_append() {
    let folder = Folder::new();
    let mut store = open(&folder.path("control.db"));
    let zones: u32 = if std::env::var_os("SEAWALL_TEST_LONG").is_some() {
        100_000
    } else {
        1_000
    };
    let change = |nth| {
        let chain = zone(&format!("z{nth}.test"));
        let text = format!(
            "schema = 1\n\n[[zone]]\nname = \"z{nth}.test\"\nhosts = [\"z{nth}.test\"]\norigin = [{{ url = \"http://10.0.0.1:8080\" }}]\n"
        );
        let start = Change::Start {
            kind: Kind::Zone,
            chain: chain.clone(),
            from: None,
            with: None,
        };
        [document(&chain, &text), start]
    };
    let begun = Instant::now();
    let done = store
        .append(&append((0..zones).flat_map(change).collect()))
        .expect("appended");
    println!(
        "measured: embedded store, {zones} zones in one append = {:.2} s",
        begun.elapsed().as_secs_f64()
    );
    assert_eq!(done.last, 2 * u64::from(zones));
    let begun = Instant::now();
    assert_eq!(store.verify().expect("verify"), Ok(done.last));
    println!(
        "measured: embedded store, {} entries verified = {:.2} s",
        done.last,
        begun.elapsed().as_secs_f64()
    );
    let begun = Instant::now();
    store.rebuild().expect("rebuilt");
    println!(
        "measured: embedded store, {} entries rebuilt = {:.2} s",
        done.last,
        begun.elapsed().as_secs_f64()
    );
    assert_eq!(store.running().expect("running").len(), zones as usize);
}

#[test]
fn a_full_disk_is_told_and_harms_nothing() {
    let folder = Folder::new();
    let path = folder.path("control.db");
    let mut writer = start("starve", &path);
    let mut told = 0_u64;
    let error = loop {
        match writer.either("done", "error").expect("it says more") {
            (true, number) => told = number.parse().expect("a number"),
            (false, error) => break error,
        }
    };
    println!("told {told}, then: {error}");
    assert!(told > 0 && error.contains("control.db"), "{error}");
    let after: u64 = writer
        .next("after")
        .expect("it goes on")
        .parse()
        .expect("a number");
    assert!(writer.process.wait().expect("ends").success());
    assert_eq!(after, told + 1, "what failed left nothing");
    let mut store = open(&path);
    assert_eq!(store.verify().expect("verify"), Ok(after));
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let folder = Folder::new();
    let path = folder.path("control.db");
    filled(&mut open(&path));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).expect("set");
    fs::set_permissions(folder.path(""), fs::Permissions::from_mode(0o555)).expect("set");
    let mut writer = start("be-nobody", &path);
    let error = writer.next("error").expect("an error");
    assert!(
        error.contains("cannot be written") && error.contains("control.db"),
        "{error}"
    );
    writer.process.wait().expect("gone");
    fs::set_permissions(folder.path(""), fs::Permissions::from_mode(0o755)).expect("set");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
    assert!(open(&path).verify().expect("verify").is_ok());
}

#[test]
fn only_its_owner_reads_it() {
    let folder = Folder::new();
    let path = folder.path("control.db");
    let mut store = open(&path);
    filled(&mut store);
    store.backup(&folder.path("copy")).expect("backed up");
    for name in ["control.db", "control.db-wal", "copy"] {
        let mode = fs::metadata(folder.path(name))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn what_was_changed_behind_its_back_is_named() {
    let bad = [
        (
            5,
            "UPDATE log SET why = 'nothing to see here' WHERE seq = 5",
        ),
        (5, "UPDATE log SET who = 'token:bob' WHERE seq = 5"),
        (5, "DELETE FROM log WHERE seq = 5"),
        (5, "UPDATE log SET at = at + 1 WHERE seq = 5"),
        (
            7,
            "UPDATE log SET body = replace(body, '\"number\":3', '\"number\":4') WHERE seq = 7; UPDATE log SET body = 'x' WHERE seq = 7",
        ),
        (4, "UPDATE log SET hash = zeroblob(32) WHERE seq = 4"),
        (
            1,
            "DELETE FROM documents WHERE hash = (SELECT hash FROM versions WHERE chain = 'zone/a.test' AND number = 1)",
        ),
        (
            1,
            "UPDATE documents SET zstd = x'00' WHERE hash = (SELECT hash FROM versions WHERE chain = 'zone/a.test' AND number = 1)",
        ),
    ];
    for (seq, sql) in bad {
        let folder = Folder::new();
        let path = folder.path("control.db");
        filled(&mut open(&path));
        behind(&path, sql);
        let broken = open(&path).verify().expect("verify").expect_err(sql);
        assert_eq!(broken.seq, seq, "{sql}: {broken}");
    }
}

#[test]
fn what_is_derived_is_healed_by_a_rebuild() {
    let folder = Folder::new();
    let path = folder.path("control.db");
    filled(&mut open(&path));
    let before = open(&path).derived().expect("derived");
    behind(
        &path,
        "DELETE FROM heads; UPDATE versions SET number = number + 100; DELETE FROM rollouts; DELETE FROM standing",
    );
    let mut store = open(&path);
    assert_ne!(store.derived().expect("derived"), before);
    store.rebuild().expect("rebuilt");
    assert_eq!(store.derived().expect("derived"), before);
}

#[test]
fn a_damaged_file_says_what_to_do() {
    let folder = Folder::new();
    let good = folder.path("good.db");
    filled(&mut open(&good));
    let bytes = fs::read(&good).expect("read");
    let mut torn = bytes.clone();
    torn.truncate(bytes.len() / 2);
    let mut holed = bytes.clone();
    holed[8_192..].fill(0xa5);
    let noise: Vec<u8> = (0..40_000_u32).map(|n| ((n * 7_919) >> 3) as u8).collect();
    for (name, bytes) in [("torn", torn), ("holed", holed), ("noise", noise)] {
        let path = folder.path(name);
        fs::write(&path, &bytes).expect("written");
        let error = error(&path);
        assert!(
            matches!(error, StoreError::Corrupt { .. }),
            "{name}: {error:?}"
        );
        assert!(error.to_string().contains("seawall restore"), "{error}");
        assert_eq!(
            fs::read(&path).expect("read"),
            bytes,
            "{name}: left as it was"
        );
    }
}

#[test]
fn files_of_others_and_of_the_future_are_left_alone() {
    let folder = Folder::new();
    let path = folder.path("control.db");
    filled(&mut open(&path));
    behind(&path, "PRAGMA user_version = 2");
    assert!(matches!(
        error(&path),
        StoreError::Newer {
            found: 2,
            known: 1,
            ..
        }
    ));
    let other = folder.path("other.db");
    behind(&other, "CREATE TABLE mails (subject TEXT)");
    assert!(matches!(error(&other), StoreError::Foreign { .. }));
    let tables: i64 = Connection::open(&other)
        .expect("opens")
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .expect("counted");
    assert_eq!(tables, 1);
    // An empty file is one that somebody made for us.
    let empty = folder.path("empty.db");
    fs::write(&empty, b"").expect("written");
    filled(&mut open(&empty));
}

#[test]
fn a_copy_that_is_made_under_writing_comes_back_whole() {
    let folder = Folder::new();
    let path = folder.path("control.db");
    let mut writer = start("write", &path);
    for _ in 0..10 {
        writer.next("done").expect("it writes");
    }
    let copy = folder.path("copy.db");
    open(&path).backup(&copy).expect("backed up");
    for _ in 0..10 {
        writer.next("done").expect("it goes on writing");
    }
    writer.process.kill().expect("killed");
    writer.process.wait().expect("gone");
    let back = folder.path("back.db");
    let last = sqlite::restore(&copy, &back).expect("restored");
    let (mut was, mut is) = (open(&path), open(&back));
    assert_eq!(is.verify().expect("verify"), Ok(last));
    assert!(last >= 20 && last < was.last().expect("last"));
    assert_eq!(
        is.log(1, 10_000).expect("log"),
        was.log(1, last as usize).expect("log")
    );
    is.append(&append(vec![document(&zone("b.test"), "goes on")]))
        .expect("appended");
    assert_eq!(is.last().expect("last"), last + 1);
}

#[test]
fn a_copy_never_takes_the_place_of_what_is_there() {
    let folder = Folder::new();
    let path = folder.path("control.db");
    let mut store = open(&path);
    filled(&mut store);
    let copy = folder.path("copy.db");
    store.backup(&copy).expect("backed up");
    let bytes = fs::read(&copy).expect("read");
    assert!(matches!(store.backup(&copy), Err(StoreError::Refused(_))));
    assert_eq!(fs::read(&copy).expect("read"), bytes);
    assert!(matches!(
        sqlite::restore(&copy, &path),
        Err(StoreError::Refused(_))
    ));
    // A log that another store left beside the name would be played into the restored one.
    let other = folder.path("other.db");
    fs::write(folder.path("other.db-wal"), b"left").expect("written");
    assert!(matches!(
        sqlite::restore(&copy, &other),
        Err(StoreError::Refused(_))
    ));
    assert!(!other.exists());
}

#[test]
fn a_bad_copy_is_not_restored() {
    let folder = Folder::new();
    let path = folder.path("control.db");
    let mut store = open(&path);
    filled(&mut store);
    let copy = folder.path("copy.db");
    store.backup(&copy).expect("backed up");
    let forged = folder.path("forged.db");
    fs::copy(&copy, &forged).expect("copied");
    behind(&forged, "UPDATE log SET who = 'token:bob' WHERE seq = 5");
    let torn = folder.path("torn.db");
    let bytes = fs::read(&copy).expect("read");
    fs::write(&torn, &bytes[..bytes.len() / 2]).expect("written");
    let none = folder.path("none.db");
    for bad in [&forged, &torn, &none] {
        let to = folder.path("to.db");
        let error = sqlite::restore(bad, &to).expect_err("bad");
        println!("{error}");
        assert!(
            error.to_string().contains(
                bad.file_name()
                    .and_then(|name| name.to_str())
                    .expect("a name")
            ),
            "{error}"
        );
        let left: Vec<_> = fs::read_dir(folder.path(""))
            .expect("listed")
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with("to.db"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert_eq!(
        Hash::of(&bytes),
        Hash::of(&fs::read(&copy).expect("read")),
        "the copy itself is only read"
    );
}
