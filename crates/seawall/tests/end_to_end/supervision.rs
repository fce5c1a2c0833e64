//! What keeps a supervisor from doing its work: it is stopped, it can start nothing, it is asked for what no worker can keep. Sites are
//! served, and people are told.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::supervisor::{another, pid, status, zones};
use crate::tools::curl;
use crate::up::{Folder, Up, command, end_all, finished, send, until};

fn serves(url: &str) -> u16 {
    curl(&["--max-time", "10", "-H", "Host: z0.test", url]).status
}

#[test]
fn a_supervisor_that_somebody_stopped_is_named_and_not_waited_for() {
    let up = Up::with_config(&zones(1));
    let data = up.data();
    let (url, worker) = (up.url("/"), pid(&data, "worker"));
    let supervisor = pid(&data, "supervisor");
    send(up.pid(), libc::SIGKILL);
    // The kernel has those go on whose parent ends while they are stopped.
    let folder = up.leave();
    send(supervisor, libc::SIGSTOP);
    let config = folder.join("seawall.toml");
    let flags = ["--config", config.to_str().unwrap(), "--workers", "2"];
    let done = finished(command(&data).args(flags));
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    for words in [
        format!("pid {supervisor}"),
        format!("kill -CONT {supervisor}"),
        format!("kill -9 {supervisor}"),
    ] {
        assert!(said.contains(&words), "{words}: {said}");
    }
    assert_eq!(serves(&url), 200);
    assert!(told(&data).contains(&format!("kill -CONT {supervisor}")));
    // As it says.
    send(supervisor, libc::SIGCONT);
    let next = Up::start(folder, &flags[..2]);
    until("the taking over", || {
        next.log().contains("Seawall serves already").then_some(())
    });
    assert_eq!(pid(&data, "worker"), worker, "{}", next.log());
    assert_eq!(serves(&url), 200);
    end_all(&data);
}

#[test]
fn a_control_that_cannot_run_is_told_of_once_and_tried_again() {
    let folder = Folder::new();
    let path = folder.write("seawall.toml", &zones(1));
    // No disk that fails, but a file that cannot be opened.
    std::fs::create_dir_all(folder.join("data/control.db")).unwrap();
    let up = Up::start(folder, &["--config", path.to_str().unwrap()]);
    let data = up.data();
    let mut control = pid(&data, "control");
    for _ in 0..3 {
        control = another(&data, "control", control);
    }
    assert_eq!(serves(&up.url("/")), 200);
    let log = up.log();
    let told = log.matches("the store of versions").count();
    assert_eq!(told, 1, "{log}");
    std::fs::remove_dir(data.join("control.db")).unwrap();
    until("control", || {
        let (_, told) = status(&data);
        told["control"]["version"].is_string().then_some(())
    });
}

/// What `seawall status` says to people.
fn told(data: &Path) -> String {
    let mut status = Command::new(env!("CARGO_BIN_EXE_seawall"));
    let done = finished(status.arg("status").arg("--data").arg(data));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn after_a_stop_nothing_is_said_to_serve_on() {
    let mut up = Up::edge(&zones(1));
    up.signal(libc::SIGTERM);
    assert!(up.ended().success());
    let told = told(&up.data());
    assert!(told.contains("does not serve here"), "{told}");
    assert!(!told.contains("serves on"), "{told}");
}

/// Whether something is degraded, by `seawall status`.
fn is_degraded(data: &Path, word: &str) -> bool {
    let (_, told) = status(data);
    let words = told["degraded"].as_array().unwrap();
    words.contains(&word.into())
}

#[test]
fn an_agent_that_somebody_stopped_is_told_and_replaced_and_changes_go_on() {
    let up = Up::with_config(&zones(1));
    let data = up.data();
    let agent = pid(&data, "agent");
    send(agent, libc::SIGSTOP);
    until("its silence to be told", || {
        is_degraded(&data, "agent_silent").then_some(())
    });
    another(&data, "agent", agent);
    let says = format!("agent {agent} has not answered");
    assert!(up.log().contains(&says), "{}", up.log());
    up.folder().write("seawall.toml", &zones(2));
    up.signal(libc::SIGHUP);
    until("the second zone", || {
        let answer = curl(&["-H", "Host: z1.test", &up.url("/")]);
        (answer.status == 200).then_some(())
    });
    until("the end of the silence", || {
        (!is_degraded(&data, "agent_silent")).then_some(())
    });
}

#[test]
fn a_control_that_somebody_stopped_makes_way_for_the_next_one_at_an_upgrade() {
    let up = Up::with_config(&zones(1));
    let data = up.data();
    let control = pid(&data, "control");
    send(control, libc::SIGSTOP);
    up.signal(libc::SIGUSR2);
    another(&data, "control", control);
    until("the next control to answer", || {
        let (_, told) = status(&data);
        told["control"]["version"].is_string().then_some(())
    });
    let says = format!("control, pid {control}, does not end by itself");
    assert!(up.log().contains(&says), "{}", up.log());
    assert_eq!(serves(&up.url("/")), 200);
}

/// Bounds how many descriptors a process may have from now on; what the bound was.
fn bound_descriptors(pid: u32, most: u64) -> u64 {
    let mut before = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let of = |now: *const libc::rlimit, before: *mut libc::rlimit| {
        // SAFETY: the pointers are to structs that outlive the call, or none.
        let done = unsafe { libc::prlimit(pid as i32, libc::RLIMIT_NOFILE, now, before) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    };
    of(std::ptr::null(), &raw mut before);
    let now = libc::rlimit {
        rlim_cur: most,
        ..before
    };
    of(&raw const now, std::ptr::null_mut());
    before.rlim_cur
}

#[test]
fn a_hang_whose_replacement_cannot_start_is_one_death_and_is_replaced_once_it_can() {
    let up = Up::edge(&zones(1));
    let data = up.data();
    let (worker, supervisor) = (pid(&data, "worker"), pid(&data, "supervisor"));
    let before = bound_descriptors(supervisor, 3);
    send(worker, libc::SIGSTOP);
    until("three tries", || {
        let tries = up.log().matches("no worker can be started").count();
        (tries >= 3).then_some(())
    });
    let deaths = up.log().matches("the next one starts").count();
    assert_eq!(deaths, 1, "{}", up.log());
    bound_descriptors(supervisor, before);
    another(&data, "worker", worker);
    assert_eq!(serves(&up.url("/")), 200);
    let (_, told) = status(&data);
    let edge = &told["edge"];
    assert_eq!(edge["restarts"], 1, "{told:#}");
    assert_eq!(edge["platform_quarantined"], false, "{}", up.log());
}

#[test]
fn a_limit_of_memory_below_what_a_worker_takes_is_told_and_workers_are_replaced_ever_more_seldom() {
    let limited = |limit: &str| {
        let limit = format!("schema = 1\n[edge.limits]\nmemory = \"{limit}\"\n");
        zones(1).replacen("schema = 1\n", &limit, 1)
    };
    let up = Up::edge(&limited("1MiB"));
    let data = up.data();
    let is_told = |told: &Value| {
        let words = told["degraded"].as_array().unwrap();
        words.contains(&"memory_limit".into())
    };
    for (nth, says) in ["", "", "replaced in 2 s", "replaced in 4 s"]
        .iter()
        .enumerate()
    {
        until(&format!("replacement {nth}"), || {
            let log = up.log();
            let many = log.matches("of 1 MiB); the next one starts").count();
            (many > nth && log.contains(says)).then_some(())
        });
    }
    assert!(
        up.log()
            .contains("[edge.limits] memory: too low for what is served")
    );
    let (code, told) = status(&data);
    assert!(code == 1 && is_told(&told), "{told:#}");
    assert_eq!(told["edge"]["memory_limit_too_low"], 1 << 20, "{told:#}");
    assert_eq!(serves(&up.url("/")), 200);
    // As it says. Whichever worker serves when it is asked.
    up.folder().write("seawall.toml", &limited("1GiB"));
    until("a limit that is high enough", || {
        up.signal(libc::SIGHUP);
        std::thread::sleep(Duration::from_millis(300));
        let (_, told) = status(&data);
        (!is_told(&told)).then_some(())
    });
    assert!(up.log().contains("hold no more memory than they may"));
    assert_eq!(serves(&up.url("/")), 200);
}

/// What `seawall upgrade` to this very program says.
fn upgraded(data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    finished(command.args(["upgrade", "--data"]).arg(data))
}

fn says(done: &Output) -> String {
    String::from_utf8_lossy(&done.stderr).into_owned()
}

#[test]
fn who_is_told_to_stop_while_it_becomes_the_next_program_stops() {
    let mut up = Up::with_config(&zones(1));
    let data = up.data();
    // `up` waits for it before it becomes the next program.
    let control = pid(&data, "control");
    send(control, libc::SIGSTOP);
    let done = upgraded(&data);
    assert!(done.status.success(), "{}", says(&done));
    up.signal(libc::SIGTERM);
    let ended = up.ended();
    send(control, libc::SIGKILL);
    assert!(ended.success(), "{ended}: {}", up.log());
    assert!(TcpStream::connect(up.http()).is_err(), "{}", up.log());
}

#[test]
fn a_supervisor_that_hears_signals_all_the_time_becomes_the_next_program() {
    let up = Up::edge(&zones(1));
    let data = up.data();
    let (supervisor, worker) = (pid(&data, "supervisor"), pid(&data, "worker"));
    // It ends with whom it signals.
    let asks = format!("while kill -HUP {supervisor}; do sleep 0.01; done");
    let mut asker = Command::new("sh").args(["-c", &asks]).spawn().unwrap();
    let done = upgraded(&data);
    asker.kill().unwrap();
    asker.wait().unwrap();
    assert!(done.status.success(), "{}: {}", says(&done), up.log());
    another(&data, "worker", worker);
    assert_eq!(pid(&data, "supervisor"), supervisor);
    assert_eq!(serves(&up.url("/")), 200);
}

/// Whether a process runs still; one that has ended and that nobody has let go does not.
fn runs(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

#[test]
fn up_stops_though_somebody_has_stopped_its_supervisor() {
    for signal in [libc::SIGTERM, libc::SIGQUIT] {
        let mut up = Up::with_config(&zones(1));
        let data = up.data();
        let all = ["supervisor", "worker", "agent", "control"].map(|role| pid(&data, role));
        let supervisor = all[0];
        send(supervisor, libc::SIGSTOP);
        up.signal(signal);
        let ended = up.ended();
        assert_eq!(ended.code(), Some(1), "{}", up.log());
        let says = format!("pid {supervisor}, does not end: somebody has stopped it");
        assert!(up.log().contains(&says), "{}", up.log());
        assert!(TcpStream::connect(up.http()).is_err(), "{}", up.log());
        until("the end of all", || {
            (!all.into_iter().any(runs)).then_some(())
        });
        assert!(!data.join("up.json").exists());
    }
}

#[test]
fn an_upgrade_that_a_stopped_supervisor_does_not_hear_ends_and_is_not_made_later() {
    let up = Up::with_config(&zones(1));
    let data = up.data();
    let (supervisor, worker) = (pid(&data, "supervisor"), pid(&data, "worker"));
    send(supervisor, libc::SIGSTOP);
    let done = upgraded(&data);
    let said = says(&done);
    assert_eq!(done.status.code(), Some(1), "{said}");
    for words in [
        format!("pid {supervisor}"),
        format!("kill -CONT {supervisor}"),
    ] {
        assert!(said.contains(&words), "{words}: {said}");
    }
    send(supervisor, libc::SIGCONT);
    until("what was asked for to be left undone", || {
        let left = "whoever asked for it has gone";
        up.log().contains(left).then_some(())
    });
    assert_eq!(pid(&data, "worker"), worker, "{}", up.log());
    let done = upgraded(&data);
    assert!(done.status.success(), "{}: {}", says(&done), up.log());
    another(&data, "worker", worker);
    assert_eq!(serves(&up.url("/")), 200);
}

#[test]
fn what_the_file_says_is_read_though_it_was_asked_for_while_a_new_program_prepared() {
    let up = Up::edge(&zones(1));
    let data = up.data();
    up.folder().write("seawall.toml", &zones(2));
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    command.args(["upgrade", "--data"]).arg(&data);
    let mut upgrade = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(upgrade.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("prepares"), "{first}");
    send(pid(&data, "supervisor"), libc::SIGHUP);
    // Up to its end.
    let rest: Vec<_> = lines.map_while(Result::ok).collect();
    assert!(upgrade.wait().unwrap().success(), "{rest:?}: {}", up.log());
    until("the second zone", || {
        let answer = curl(&["-H", "Host: z1.test", &up.url("/")]);
        (answer.status == 200).then_some(())
    });
}
