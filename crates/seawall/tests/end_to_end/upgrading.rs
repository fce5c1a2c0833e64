//! An upgrade that does not come about: a new program that takes for ever, or cannot serve, and what befalls the old one meanwhile.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::supervisor::{another, copy, pid, start_copy, zones};
use crate::tools::curl;
use crate::up::{Folder, Up, send, until};

/// In place of the program lies one that does this.
fn replaced(program: &Path, does: &str) {
    let new = program.with_extension("new");
    fs::write(&new, format!("#!/bin/sh\n{does}\n")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, program).unwrap();
}

fn serves(up: &Up) {
    until("it serves", || {
        let answer = curl(&["-H", "Host: z0.test", &up.url("/")]);
        (answer.status == 200).then_some(())
    });
}

/// The new program has begun to prepare.
fn prepares(up: &Up) {
    let sleeper = || {
        let supervisor = pid(&up.data(), "supervisor");
        let path = format!("/proc/{supervisor}/task/{supervisor}/children");
        let children = fs::read_to_string(path).unwrap_or_default();
        let mut children = children.split_whitespace();
        children.any(|child| {
            let name = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
            name.starts_with("/bin/sh")
        })
    };
    until("the new program", || sleeper().then_some(()));
}

#[test]
fn a_worker_that_dies_or_hangs_while_a_new_program_prepares_is_replaced_at_once() {
    let folder = Folder::new();
    let program = copy(&folder, "seawall-1");
    let up = start_copy(&program, folder, &zones(3));
    let data = up.data();
    replaced(&program, "sleep 60; exit 1");
    for signal in [libc::SIGKILL, libc::SIGSTOP] {
        let worker = pid(&data, "worker");
        send(pid(&data, "supervisor"), libc::SIGUSR2);
        prepares(&up);
        send(worker, signal);
        another(&data, "worker", worker);
        serves(&up);
    }
}

#[test]
fn a_program_that_cannot_serve_is_not_used_by_the_next_death_either() {
    let folder = Folder::new();
    let program = copy(&folder, "seawall-1");
    let up = start_copy(&program, folder, &zones(1));
    let data = up.data();
    // It is slow to fail: what serves dies while it prepares.
    replaced(&program, "sleep 1; exit 1");
    let worker = pid(&data, "worker");
    send(pid(&data, "supervisor"), libc::SIGUSR2);
    prepares(&up);
    send(worker, libc::SIGKILL);
    let worker = another(&data, "worker", worker);
    serves(&up);
    // And it waits for no death that comes later, of whomever.
    replaced(&program, "exit 1");
    send(worker, libc::SIGKILL);
    let worker = another(&data, "worker", worker);
    serves(&up);
    let supervisor = pid(&data, "supervisor");
    send(supervisor, libc::SIGKILL);
    another(&data, "supervisor", supervisor);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(pid(&data, "worker"), worker, "{}", up.log());
    send(worker, libc::SIGKILL);
    another(&data, "worker", worker);
    serves(&up);
}
