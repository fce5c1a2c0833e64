//! Disks that cannot be written, databases that hang, a log that is older than what edges have seen: what served before serves on, and
//! somebody is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::fleet::{Control, first, get, seawall, told, without};
use crate::origin::Answering;
use crate::server::Server;
use crate::up::{Folder, Up, command, end_all, send, until};

/// What `seawall status` says of a data folder.
fn status(data: &Path) -> Value {
    let output = seawall(&["status", "--json"], data);
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn is_degraded(data: &Path, by: &str) -> bool {
    let status = status(data);
    let words = status["degraded"].as_array().cloned();
    words.is_some_and(|words| words.iter().any(|word| word == by))
}

/// As [`until`], for what a database is waited for first.
fn patiently<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("waited in vain for {what}");
}

fn pid_of(data: &Path, role: &str) -> Option<u64> {
    let text = fs::read(data.join("up.json")).ok()?;
    let up: Value = serde_json::from_slice(&text).ok()?;
    up["pids"][role].as_u64()
}

/// Applies a document, and waits for what becomes of it if that is asked for.
fn apply(up: &Up, name: &str, text: &str, more: &[&str]) -> (Option<i32>, String) {
    let file = up.folder().write(name, text);
    let words = [&["apply", file.to_str().unwrap(), "--approve"], more].concat();
    told(seawall(&words, &up.data()))
}

/// A folder that cannot be written through its path, as on a disk that went read-only; whoever has a file open there writes on.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn mount(path: &Path) -> Option<Self> {
        let mount = |words: &[&str]| {
            let done = Command::new("mount").args(words).arg(path).output();
            done.is_ok_and(|done| done.status.success())
        };
        if !mount(&["--bind", path.to_str().unwrap()]) {
            println!("skipped: no file system can be mounted here");
            return None;
        }
        let read_only = Self(path.to_owned());
        if !mount(&["-o", "remount,bind,ro"]) {
            println!("skipped: no file system can be made read-only here");
            return None;
        }
        Some(read_only)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn on_a_disk_that_went_read_only_the_old_version_serves_and_it_is_told() {
    let site = Answering::start("good");
    let folder = Folder::new();
    let file = folder.write("seawall.toml", &without(&site.url(), "/one"));
    let up = Up::start(folder, &["--config", file.to_str().unwrap()]);
    let data = up.data();
    until("the first import", || {
        let output = seawall(&["versions", "a.test", "--json"], &data);
        let all: Vec<Value> = serde_json::from_slice(&output.stdout).ok()?;
        all.iter().any(|one| one["serves"] == true).then_some(())
    });
    until("what is live on disk", || {
        let live = fs::read(data.join("live")).ok()?;
        String::from_utf8_lossy(&live)
            .contains("/one")
            .then_some(())
    });
    until("nothing that is degraded", || {
        (status(&data)["status"] == "ok").then_some(())
    });
    let Some(disk) = ReadOnly::mount(&data) else {
        return;
    };
    // The version is in the log, whose files are open; nothing of it can be published.
    let (code, said) = apply(&up, "two.toml", &without(&site.url(), "/two"), &[]);
    assert_eq!(code, Some(0), "{said}");
    until("that it is told", || {
        is_degraded(&data, "not_published").then_some(())
    });
    assert!(
        up.log().contains("nothing new is published"),
        "{}",
        up.log()
    );
    assert_eq!((get(&up, "/one"), get(&up, "/two")), (403, 200));
    // Whoever dies meanwhile: the next worker serves what was live, and no control has the log.
    let pid = pid_of(&data, "control").expect("control");
    send(pid as u32, libc::SIGKILL);
    send(up.worker(), libc::SIGKILL);
    until("the next worker", || {
        (get(&up, "/one") == 403).then_some(())
    });
    assert_eq!(get(&up, "/two"), 200);
    until("that there is no control", || {
        let (code, said) = apply(&up, "three.toml", &without(&site.url(), "/three"), &[]);
        (code == Some(1) && said.contains("no control answers")).then_some(())
    });
    until("that it says why", || {
        let log = up.log();
        (log.contains("read-only") || log.contains("Read-only")).then_some(())
    });
    assert_eq!((get(&up, "/one"), get(&up, "/two")), (403, 200));
    // The disk is mended: what waited goes on.
    drop(disk);
    until("the version that waited", || {
        (get(&up, "/two") == 403).then_some(())
    });
    let (code, said) = apply(
        &up,
        "three.toml",
        &without(&site.url(), "/three"),
        &["--wait"],
    );
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(get(&up, "/three"), 403);
}

#[test]
fn while_the_database_hangs_sites_are_served_it_is_told_and_then_it_goes_on() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let (_, url) = server.database();
    let site = Answering::start("good");
    let folder = Folder::new();
    let file = folder.write("seawall.toml", &without(&site.url(), "/one"));
    let mut command = command(&folder.join("data"));
    command.arg("--config").arg(file).args(["--workers", "2"]);
    command.env("SEAWALL_STORE", url).stdout(folder.log());
    let up = Up::spawned(folder, command);
    let data = up.data();
    until("an applied version", || {
        let (code, _) = apply(&up, "two.toml", &without(&site.url(), "/two"), &["--wait"]);
        (code == Some(0) && get(&up, "/two") == 403).then_some(())
    });
    // Connections stay open, and nobody answers on them.
    server.signal_all(libc::SIGSTOP);
    until("that it is told", || {
        is_degraded(&data, "store").then_some(())
    });
    patiently("what is said of it", || {
        up.log().contains("rollouts wait").then_some(())
    });
    let log = up.log();
    assert!(log.contains("no answer within"), "{log}");
    for path in ["/", "/one"] {
        assert_eq!(get(&up, path), 200);
    }
    assert_eq!(get(&up, "/two"), 403);
    server.signal_all(libc::SIGCONT);
    patiently("that it answers", || {
        up.log().contains("answers again").then_some(())
    });
    let (code, said) = apply(
        &up,
        "three.toml",
        &without(&site.url(), "/three"),
        &["--wait"],
    );
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((get(&up, "/two"), get(&up, "/three")), (200, 403));
    drop(up);
    end_all(&data);
}

#[test]
fn a_log_from_a_backup_goes_on_above_what_edges_have_seen() {
    let site = Answering::start("good");
    let mut control = Control::start(100);
    let (code, said) = control.apply(&first(&site.url()), &[]);
    assert_eq!(code, Some(0), "{said}");
    let ams = control.joined("ams", &[]);
    let generation = |control: &Control| {
        let places = control.places();
        let ams = places.iter().find(|place| place["name"] == "ams")?;
        ams["generation"].as_u64()
    };
    control.applies(&without(&site.url(), "/one"));
    let backup = control.folder().join("backup");
    let backup = backup.to_str().unwrap().to_owned();
    let (code, said) = control.asks(&["backup", &backup]);
    assert_eq!(code, Some(0), "{said}");
    // What comes after the backup is known to the edge alone.
    for path in ["/two", "/three", "/four"] {
        control.applies(&without(&site.url(), path));
    }
    until("the last of them", || {
        (get(&ams, "/four") == 403).then_some(())
    });
    let seen = until("its generation", || generation(&control));
    control.kill();
    fs::rename(control.data(), control.folder().join("lost")).unwrap();
    let (code, said) = control.asks(&["restore", &backup]);
    assert_eq!(code, Some(0), "{said}");
    control.again();
    // The edge takes what the restored log says, though it had seen later ones.
    until("what was live at the backup", || {
        (get(&ams, "/one") == 403 && get(&ams, "/four") == 200).then_some(())
    });
    let now = until("a generation above", || {
        generation(&control).filter(|now| *now > seen)
    });
    assert!(!ams.log().contains(" older"), "{}", ams.log());
    control.applies(&without(&site.url(), "/five"));
    until("the next one", || (get(&ams, "/five") == 403).then_some(()));
    println!("generation {seen} before, {now} after");
}
