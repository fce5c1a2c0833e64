//! A worker that waits for the one that serves to die.
//!
//! `SEAWALL_TEST_LONG=1` turns the loop up to its full count.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::load::{Counts, Load};
use crate::supervisor::{another, hosts, pid, rounds, status, zones};
use crate::tools::raw;
use crate::up::{Up, finished, send, until};

fn document(more: &str) -> String {
    zones(100).replacen(
        "schema = 1\n",
        &format!("schema = 1\n[edge]\nspare = true\n{more}"),
        1,
    )
}

/// The worker that waits, ready to serve.
pub fn spare(up: &Up) -> u32 {
    until(&format!("a spare worker:\n{}", up.log()), || {
        let (_, told) = status(&up.data());
        let workers = told["edge"]["workers"].as_array()?;
        let spare = workers.iter().find(|worker| worker["phase"] == "spare")?;
        Some(spare["pid"].as_u64()? as u32)
    })
}

fn version(up: &Up) -> String {
    let trace = raw(
        up.http(),
        "GET /.seawall/trace HTTP/1.1\r\nHost: z7.test\r\nConnection: close\r\n\r\n",
    );
    let line = trace.lines().find_map(|line| line.strip_prefix("version="));
    line.unwrap_or_else(|| panic!("no version in {trace}"))
        .to_owned()
}

#[test]
fn a_spare_serves_when_the_worker_dies_and_another_one_waits_then() {
    let up = Up::edge(&document(""));
    let data = up.data();
    let clients = 8;
    let load = Load::start(up.http(), clients, &hosts(100), "/");
    load.wait_for(100);
    let rounds = rounds(3, 50);
    let mut longest = Duration::ZERO;
    for _ in 0..rounds {
        let (worker, spare) = (pid(&data, "worker"), spare(&up));
        let killed = Instant::now();
        send(worker, libc::SIGKILL);
        assert_eq!(another(&data, "worker", worker), spare, "{}", up.log());
        load.wait_for(100);
        longest = longest.max(killed.elapsed());
    }
    let counts = load.end();
    println!(
        "measured: kill -9 of the worker beside a spare: {rounds} rounds, {} answered, {} cut, {} refused; longest until 100 more were answered {} ms",
        counts.answered(),
        Counts::get(&counts.cut),
        Counts::get(&counts.refused),
        longest.as_millis()
    );
    assert_eq!(Counts::get(&counts.refused), 0, "{}", up.log());
    assert_eq!(Counts::get(&counts.wrong), 0);
    assert!(Counts::get(&counts.cut) <= (clients * rounds) as u64);
    let (code, told) = status(&data);
    assert_eq!(code, 0, "{told:#}");
}

#[test]
fn a_spare_never_serves_what_is_no_longer_live() {
    let up = Up::edge(&document(""));
    let data = up.data();
    let live = || fs::metadata(data.join("live")).unwrap().ino();
    let (stale, first, kept) = (spare(&up), version(&up), live());
    let changed = document("").replace("name = \"z7\"", "name = \"z7\"\nredirect_https = true");
    up.folder().write("seawall.toml", &changed);
    up.signal(libc::SIGHUP);
    until("what is live to be kept", || (live() != kept).then_some(()));
    let (worker, second) = (pid(&data, "worker"), version(&up));
    assert_ne!(second, first);
    // Whether or not the spare was ended already.
    send(worker, libc::SIGKILL);
    let next = another(&data, "worker", worker);
    assert_ne!(next, stale, "{}", up.log());
    assert_eq!(version(&up), second);
    // The next one has compiled what is live now.
    let fresh = spare(&up);
    send(next, libc::SIGKILL);
    assert_eq!(another(&data, "worker", next), fresh);
    assert_eq!(version(&up), second);
    // A spare that dies is replaced later and harms nobody; one that is no longer wanted goes.
    up.folder().write(
        "seawall.toml",
        &changed.replace("spare = true", "spare = false"),
    );
    let waiting = spare(&up);
    up.signal(libc::SIGHUP);
    until("the spare to go", || {
        (!fs::exists(format!("/proc/{waiting}")).unwrap()).then_some(())
    });
    assert_eq!(pid(&data, "worker"), fresh);
    assert_eq!(version(&up), second);
}

#[test]
fn an_upgrade_begins_without_the_old_programs_spare_and_has_one_of_its_own_then() {
    let up = Up::edge(&document(""));
    let data = up.data();
    let (worker, old) = (pid(&data, "worker"), spare(&up));
    let load = Load::start(up.http(), 4, &hosts(100), "/");
    load.wait_for(50);
    let done = finished(
        Command::new(env!("CARGO_BIN_EXE_seawall"))
            .arg("upgrade")
            .arg("--data")
            .arg(&data),
    );
    assert!(done.status.success(), "{}", up.log());
    let now = another(&data, "worker", worker);
    assert_ne!(now, old);
    let new = spare(&up);
    assert!(new != old && new != now);
    load.wait_for(50);
    let counts = load.end();
    let failed = [&counts.cut, &counts.refused, &counts.wrong].map(Counts::get);
    assert_eq!(failed, [0, 0, 0], "{}", up.log());
}

#[test]
fn a_spare_that_does_not_move_is_not_waited_for() {
    let up = Up::edge(&document(""));
    let data = up.data();
    let (worker, stopped) = (pid(&data, "worker"), spare(&up));
    send(stopped, libc::SIGSTOP);
    send(worker, libc::SIGKILL);
    let next = another(&data, "worker", worker);
    assert_ne!(next, stopped, "{}", up.log());
    let (_, told) = status(&data);
    // It was never tried: one that is and does not answer costs everybody's requests for as long.
    assert_eq!(told["edge"]["restarts"], 1, "{told:#}\n{}", up.log());
    assert_eq!(version(&up).len(), 12);
}

/// Three deaths that nobody is to blame for put what all zones share into quarantine. A worker that somebody stopped did not die of it.
#[test]
fn a_worker_that_somebody_stops_is_replaced_and_nothing_of_it_is_blamed() {
    let up = Up::edge(&zones(3));
    let data = up.data();
    for _ in 0..3 {
        let worker = pid(&data, "worker");
        send(worker, libc::SIGSTOP);
        another(&data, "worker", worker);
    }
    let (_, told) = status(&data);
    assert_eq!(told["edge"]["restarts"], 3, "{told:#}");
    assert_eq!(told["edge"]["platform_quarantined"], false, "{}", up.log());
    assert_eq!(told["edge"]["safe_mode"], false);
    assert!(up.log().contains("somebody stopped it"), "{}", up.log());
}
