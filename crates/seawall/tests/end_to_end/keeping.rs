//! What is on disk, and what befalls it: copies that are damaged, disks that are full, backups, data folders that are lost.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::origin::Answering;
use crate::tools::curl;
use crate::up::{Folder, Up, command, end_all, finished, send, until};

/// A zone before this origin that refuses this path, and is good at once.
fn zone(origin: &str, refused: &str) -> String {
    format!(
        "schema = 1\n[edge.limits]\nsoak = \"0s\"\n[[zone]]\nname = \"a.test\"\nhosts = [\"a.test\"]\norigin = [{{ url = \"{origin}\" }}]\n\
         [[zone.rule]]\nwhen = 'http.request.uri.path eq \"{refused}\"'\naction = \"block\"\n"
    )
}

fn get(up: &Up, path: &str) -> u16 {
    curl(&["-H", "Host: a.test", &up.url(path)]).status
}

/// A command about a data folder.
fn seawall(words: &[&str], data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    command.args(words).arg("--data").arg(data);
    command.env_remove("SEAWALL_STORE");
    finished(&mut command)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// A command that goes well; what it says.
fn done(words: &[&str], data: &Path) -> String {
    let output = seawall(words, data);
    assert!(output.status.success(), "{words:?}: {}", said(&output));
    said(&output)
}

fn versions(data: &Path) -> Vec<Value> {
    let output = seawall(&["versions", "a.test", "--json"], data);
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn serves(data: &Path) -> Option<u64> {
    let all = versions(data);
    let mut serves = all.iter().filter(|version| version["serves"] == true);
    serves.next()?["number"].as_u64()
}

fn degraded(data: &Path) -> Vec<String> {
    let output = seawall(&["status", "--json"], data);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let words = status["degraded"].as_array().cloned().unwrap_or_default();
    words
        .iter()
        .filter_map(|word| Some(word.as_str()?.to_owned()))
        .collect()
}

/// Waits until a file has this in it.
fn has(data: &Path, name: &str, text: &str) {
    until(&format!("{text} in {name}"), || {
        let bytes = fs::read(data.join(name)).ok()?;
        String::from_utf8_lossy(&bytes).contains(text).then_some(())
    });
}

/// Changes one bit in the middle of a file, or cuts it off there.
fn damage(path: &Path, cut: bool) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    if cut {
        bytes.truncate(middle);
    }
    fs::write(path, bytes).unwrap();
}

/// An edge alone that has served three files, one after the other, the third of which has not proved good.
fn edge(origin: &str) -> Up {
    let edge = Up::edge(&zone(origin, "/one"));
    has(&edge.data(), "last-good", "/one");
    for (text, is_good) in [("/two", true), ("/three", false)] {
        let soak = if is_good { "0s" } else { "1h" };
        let config = zone(origin, text).replace("\"0s\"", &format!("\"{soak}\""));
        edge.folder().write("seawall.toml", &config);
        edge.signal(libc::SIGHUP);
        has(&edge.data(), "live", text);
        if is_good {
            has(&edge.data(), "last-good", text);
        }
    }
    edge
}

/// The same folder, with another edge on it.
fn again(mut edge: Up) -> Up {
    edge.signal(libc::SIGKILL);
    end_all(&edge.data());
    let _ = edge.ended();
    fs::remove_file(edge.data().join("up.json")).unwrap();
    let folder = edge.leave();
    fs::write(folder.join("up.log"), "").unwrap();
    Up::edge_in(folder)
}

#[test]
fn a_worker_that_finds_its_copy_damaged_serves_the_next_and_says_so() {
    let site = Answering::start("good");
    let edge = edge(&site.url());
    let data = edge.data();
    // What proved good is another file than what is live, and three are kept.
    for (name, text) in [
        ("live", "/three"),
        ("last-good", "/two"),
        ("last-good.1", "/one"),
    ] {
        has(&data, name, text);
    }
    assert!(!degraded(&data).contains(&"older_configuration".to_owned()));
    let serves_after = |cut: bool, names: &[&str], text: &str| {
        for name in names {
            damage(&data.join(name), cut);
        }
        let before = edge.log().matches("DAMAGED").count();
        let worker = || {
            let up: Value = serde_json::from_slice(&fs::read(data.join("up.json")).ok()?).ok()?;
            up["pids"]["worker"].as_u64()
        };
        let pid = until("a worker", worker);
        send(pid as u32, libc::SIGKILL);
        until("another worker", || worker().filter(|now| *now != pid));
        until("what is good", || (get(&edge, text) == 403).then_some(()));
        assert_eq!(get(&edge, "/"), 200);
        let log = edge.log();
        assert!(log.matches("DAMAGED").count() > before, "{log}");
        assert!(log.contains("live cannot be used"), "{log}");
        until("that it is told", || {
            degraded(&data)
                .contains(&"older_configuration".to_owned())
                .then_some(())
        });
        // What serves is what is on disk again.
        has(&data, "live", text);
    };
    serves_after(false, &["live"], "/two");
    serves_after(true, &["live", "last-good"], "/one");
    // A new configuration makes up for it.
    edge.folder()
        .write("seawall.toml", &zone(&site.url(), "/four"));
    edge.signal(libc::SIGHUP);
    until("the new one", || (get(&edge, "/four") == 403).then_some(()));
    assert!(!degraded(&data).contains(&"older_configuration".to_owned()));
}

#[test]
fn where_all_copies_are_damaged_it_is_said_with_what_can_be_done() {
    let site = Answering::start("good");
    let edge = edge(&site.url());
    for name in ["live", "last-good", "last-good.1"] {
        damage(&edge.data().join(name), name == "live");
    }
    let pid = edge.worker();
    send(pid, libc::SIGKILL);
    until("that it is said", || {
        edge.log().contains("seawall restore").then_some(())
    });
    // The file is there still.
    until("the file", || (get(&edge, "/three") == 403).then_some(()));
    assert!(degraded(&edge.data()).contains(&"older_configuration".to_owned()));
}

#[test]
fn copies_of_an_earlier_version_of_the_program_are_read() {
    let site = Answering::start("good");
    let edge = edge(&site.url());
    let data = edge.data();
    // As they were written before they had a hash: the text behind its length, and no file.
    let text = zone(&site.url(), "/before");
    let mut bytes = b"seawall-live 1\n".to_vec();
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
    fs::write(data.join("live"), bytes).unwrap();
    send(edge.worker(), libc::SIGKILL);
    until("what was written before", || {
        (get(&edge, "/before") == 403).then_some(())
    });
    assert!(!edge.log().contains("DAMAGED"), "{}", edge.log());
    until("that it is written anew", || {
        let bytes = fs::read(data.join("live")).ok()?;
        bytes.starts_with(b"seawall-live 2\n").then_some(())
    });
}

/// A file system of its own on a folder, as small as a page or some.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(path: std::path::PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs"]);
        let mounted = mount.arg(&path).output().ok()?;
        if !mounted.status.success() {
            println!(
                "skipped: no file system can be mounted here: {}",
                said(&mounted)
            );
            return None;
        }
        Some(Self(path))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_is_full_takes_no_site_down_and_is_written_when_it_can_be() {
    let site = Answering::start("good");
    let folder = Folder::new();
    let Some(small) = Small::mount(folder.join("data")) else {
        return;
    };
    // The access log would be in the way.
    let config = |text: &str| {
        zone(&site.url(), text).replace(
            "[edge.limits]",
            "[edge]\naccess_log = \"off\"\n[edge.limits]",
        )
    };
    folder.write("seawall.toml", &config("/one"));
    let edge = Up::edge_in(folder);
    // It goes before the folder that it is mounted in, which could not be removed.
    let _small = small;
    let data = edge.data();
    has(&data, "last-good", "/one");
    let is_unwritten = || degraded(&data).contains(&"not_on_disk".to_owned());
    for text in ["/two", "/three"] {
        let filler = data.join("filler");
        let _ = fs::write(&filler, vec![0; 2 << 20]);
        edge.folder().write("seawall.toml", &config(text));
        edge.signal(libc::SIGHUP);
        until("the new one", || (get(&edge, text) == 403).then_some(()));
        assert_eq!(get(&edge, "/"), 200);
        until("that it is told", || is_unwritten().then_some(()));
        assert!(
            edge.log().contains("live cannot be written"),
            "{}",
            edge.log()
        );
        // What a person does on the machine itself is done all the same.
        let purges = || {
            let text = fs::read(data.join("standing.json")).unwrap_or_default();
            let standing: Value = serde_json::from_slice(&text).unwrap_or_default();
            standing["purges"].as_array().map_or(0, Vec::len)
        };
        let before = purges();
        for _ in 0..2 {
            let told = said(&seawall(
                &["purge", "a.test", "--everything", "--here"],
                &data,
            ));
            // That control would not hear of it is told beside.
            assert!(told.contains("1 of a.test purged here"), "{told}");
        }
        assert_eq!(purges(), before + 2, "they stand where the worker looks");
        fs::remove_file(&filler).unwrap();
        has(&data, "live", text);
        until("that it is well", || (!is_unwritten()).then_some(()));
    }
}

/// A Seawall with two versions of a zone, on a folder.
fn with_history(origin: &str) -> (Up, std::path::PathBuf) {
    let folder = Folder::new();
    let file = folder.write("seawall.toml", &zone(origin, "/one"));
    let up = Up::start(folder, &["--config", file.to_str().unwrap()]);
    until("the first import", || serves(&up.data()));
    let second = up.folder().write("second.toml", &zone(origin, "/two"));
    let words = [
        "apply",
        second.to_str().unwrap(),
        "--wait",
        "--why",
        "it was time",
    ];
    done(&words, &up.data());
    has(&up.data(), "live", "/two");
    (up, file)
}

/// Another `up` on the folder of one that has ended.
fn on(folder: Folder, file: &Path) -> Up {
    let mut command = command(&folder.join("data"));
    command.arg("--config").arg(file).stdout(folder.log());
    Up::spawned(folder, command)
}

fn stopped(mut up: Up) -> Folder {
    up.signal(libc::SIGTERM);
    assert!(up.ended().success());
    up.leave()
}

#[test]
fn a_backup_of_what_runs_brings_back_all_versions_and_what_served() {
    let site = Answering::start("good");
    let (up, file) = with_history(&site.url());
    let data = up.data();
    let backup = up.folder().join("backup");
    let backup = backup.to_str().unwrap();
    let told = done(&["backup", backup], &data);
    assert!(told.contains("by control, which runs on"), "{told}");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(backup).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // Not over another, and not where something runs or is.
    assert!(!seawall(&["backup", backup], &data).status.success());
    let refused = seawall(&["restore", backup], &data);
    assert!(
        !refused.status.success() && said(&refused).contains("runs on"),
        "{}",
        said(&refused)
    );
    let before = versions(&data);
    let folder = stopped(up);
    // Also without control, and what both say is the same.
    let other = folder.join("other");
    let told = done(&["backup", other.to_str().unwrap()], &data);
    assert!(told.contains("no control runs"), "{told}");
    let refused = seawall(&["restore", backup], &data);
    assert!(said(&refused).contains("--replace"), "{}", said(&refused));
    fs::remove_dir_all(&data).unwrap();
    let damaged = folder.join("damaged");
    fs::copy(backup, &damaged).unwrap();
    damage(&damaged, false);
    let refused = seawall(&["restore", damaged.to_str().unwrap()], &data);
    assert!(
        said(&refused).contains("no whole backup"),
        "{}",
        said(&refused)
    );
    let told = done(&["restore", backup], &data);
    assert!(
        told.contains("2 version(s)") || told.contains("version(s) of 2 chain(s)"),
        "{told}"
    );
    let up = on(folder, &file);
    // At once: it is what served, whatever control brings later.
    assert_eq!(get(&up, "/two"), 403);
    until("control", || serves(&data));
    let after = versions(&data);
    assert_eq!(before, after);
    assert_eq!(after[0]["why"], "it was time");
    // And it goes on.
    let third = up
        .folder()
        .write("third.toml", &zone(&site.url(), "/three"));
    done(&["apply", third.to_str().unwrap(), "--wait"], &data);
    assert_eq!(get(&up, "/three"), 403);
    // Over what is there, which is put aside.
    let folder = stopped(up);
    let told = done(&["restore", other.to_str().unwrap(), "--replace"], &data);
    assert!(told.contains("replaced-"), "{told}");
    let up = on(folder, &file);
    until("control", || serves(&data));
    assert_eq!(versions(&data), before);
    assert_eq!((get(&up, "/two"), get(&up, "/three")), (403, 200));
}

#[test]
fn without_a_backup_versions_begin_anew_with_what_an_edge_had_kept() {
    let site = Answering::start("good");
    let (up, file) = with_history(&site.url());
    let folder = stopped(up);
    let data = folder.join("data");
    let lost = folder.join("lost");
    fs::rename(&data, &lost).unwrap();
    // The log is gone, and the newest copy is damaged.
    for name in ["control.db", "control.db-wal", "control.db-shm"] {
        let _ = fs::remove_file(lost.join(name));
    }
    damage(&lost.join("live"), true);
    let told = done(&["restore", "--from-live", lost.to_str().unwrap()], &data);
    assert!(
        told.contains("DAMAGED") && told.contains("last-good"),
        "{told}"
    );
    let kept = fs::read(lost.join("zone-ids.json")).unwrap();
    assert_eq!(fs::read(data.join("zone-ids.json")).unwrap(), kept);
    let up = on(folder, &file);
    until("control", || serves(&data));
    assert_eq!(get(&up, "/"), 200);
    let all = versions(&data);
    let why = all.last().unwrap()["why"].as_str().unwrap().to_owned();
    assert!(why.starts_with("rebuilt of what"), "{why}");
}

#[test]
fn an_edge_that_starts_again_reads_its_own_copies() {
    let site = Answering::start("good");
    let edge = again(edge(&site.url()));
    assert_eq!(get(&edge, "/three"), 403);
}
