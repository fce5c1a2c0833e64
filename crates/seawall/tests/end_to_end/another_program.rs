//! Another program in place of the one that serves, and the first one again: no copy of it, one that has more stages.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::load::{Counts, Load};
use crate::overruns::saboteur;
use crate::supervisor::{another, hosts, pid, start_copy, zones};
use crate::tools::curl;
use crate::up::{Folder, Up, finished, send, until};

/// A zone in which who has a key asks three times an hour.
const LIMITED: &str = "[[zone]]\nname = \"limited\"\nhosts = [\"limited.test\"]\norigin = [{ url = \"sample\" }]\n\
    [[zone.rate_limit]]\nby = ['http.request.headers[\"x-key\"][0]']\nrequests = 3\nper = \"1h\"\n";

/// Waits until all processes of ours are this program's.
fn are_of(up: &Up, program: &Path) {
    let program = fs::canonicalize(program).unwrap();
    let runs = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program);
    for role in ["worker", "supervisor", "control"] {
        until(&format!("a {role} of {}", program.display()), || {
            runs(pid(&up.data(), role)).then_some(())
        });
    }
    until(&format!("`up` of {}", program.display()), || {
        runs(up.pid()).then_some(())
    });
}

#[test]
fn another_program_takes_over_and_the_first_one_goes_on_after_it() {
    let Some(other) = saboteur() else { return };
    let first = Path::new(env!("CARGO_BIN_EXE_seawall"));
    let up = start_copy(first, Folder::new(), &format!("{}{LIMITED}", zones(20)));
    let data = up.data();
    let asked = |host: &str, field: &str| {
        let host = format!("Host: {host}");
        curl(&["--header", &host, "--header", field, &up.url("/")]).status
    };
    let told: Vec<u16> = (0..4)
        .map(|_| asked("limited.test", "X-Key: one"))
        .collect();
    assert_eq!(told, [200, 200, 200, 429]);
    let load = Load::start(up.http(), 4, &hosts(20), "/");
    load.wait_for(50);
    // Only the other one has a stage that hears this.
    assert_eq!(asked("z0.test", "X-Sabotage: deny:418"), 200);
    for (program, told) in [(&*other, 418), (first, 200), (&*other, 418), (first, 200)] {
        let worker = pid(&data, "worker");
        let done = finished(
            Command::new(program)
                .arg("upgrade")
                .arg("--data")
                .arg(&data),
        );
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}\n{}", up.log());
        another(&data, "worker", worker);
        are_of(&up, program);
        assert_eq!(asked("z0.test", "X-Sabotage: deny:418"), told);
        // What was counted went along.
        assert_eq!(asked("limited.test", "X-Key: one"), 429);
        load.wait_for(50);
    }
    let counts = load.end();
    let failed = [&counts.cut, &counts.refused, &counts.wrong].map(Counts::get);
    assert_eq!(failed, [0, 0, 0], "{}", up.log());
    // What the other one kept last but one is nothing that the first one trips over.
    let worker = pid(&data, "worker");
    send(worker, libc::SIGKILL);
    another(&data, "worker", worker);
    are_of(&up, first);
    assert_eq!(asked("z0.test", "X-Sabotage: deny:418"), 200);
}
