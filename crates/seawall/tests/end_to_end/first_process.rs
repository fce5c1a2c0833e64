//! As the first process of a container, in a PID namespace of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::origin::Answering;
use crate::tools::curl;
use crate::up::{Folder, Up, command, until};

/// The command in a PID namespace of its own; none where that may not be made.
fn contained(inner: &Command) -> Option<Command> {
    let words = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    let may = Command::new("unshare").args(words).arg("true").output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no PID namespace can be made here");
        return None;
    }
    let mut outer = Command::new("unshare");
    outer.args(words).arg("--").arg(inner.get_program());
    outer.args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    Some(outer)
}

fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Those of its children that have ended and that it has not let go.
fn left(pid: u32) -> Vec<u32> {
    let is_zombie = |pid: &u32| {
        let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
        stat.is_ok_and(|stat| {
            stat.rsplit(')')
                .next()
                .is_some_and(|rest| rest.trim_start().starts_with('Z'))
        })
    };
    children(pid).into_iter().filter(is_zombie).collect()
}

#[test]
fn it_lets_orphans_go_serves_on_and_ends_all_when_it_is_told() {
    let site = Answering::start("good");
    let folder = Folder::new();
    let mut inner = command(&folder.join("data"));
    inner.args(["--origin", &site.url(), "--workers", "2"]);
    let Some(mut outer) = contained(&inner) else {
        return;
    };
    outer
        .stdin(std::process::Stdio::null())
        .stdout(folder.log());
    let mut up = Up::spawned(folder, outer);
    let first = until("the first process", || children(up.pid()).first().copied());
    assert_eq!(curl(&[&up.url("/")]).status, 200);

    // Orphans: their parents end at once, they a moment later.
    for _ in 0..5 {
        let orphan = Command::new("nsenter")
            .args(["--target", &first.to_string(), "--pid", "--"])
            .args(["sh", "-c", "(sleep 0.2; exec true) & exit 0"])
            .status();
        assert!(orphan.unwrap().success());
    }
    let is_orphan = |pid: &u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        ["sh\n", "sleep\n", "true\n"].contains(&name.as_str())
    };
    until("the orphans come to it", || {
        children(first).iter().any(is_orphan).then_some(())
    });
    until("they are let go", || {
        let gone = !children(first).iter().any(is_orphan);
        (gone && left(first).is_empty()).then_some(())
    });
    assert_eq!(curl(&[&up.url("/")]).status, 200);

    // As `docker stop` does it.
    crate::up::send(first, libc::SIGTERM);
    assert_eq!(up.ended().code(), Some(0), "{}", up.log());
    until("nothing is left", || {
        (!Path::new("/proc").join(first.to_string()).exists()).then_some(())
    });
}
