//! Processes that die, are killed, are replaced: sites go on.
//!
//! `SEAWALL_TEST_LONG=1` turns each loop up to its full count.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::load::{Counts, Load};
use crate::origin::Held;
use crate::tools::{connect, curl};
use crate::up::{Folder, Up, command, end_all, finished, send, until};

/// How often a loop runs: a few times, or as often as the promise says.
pub fn rounds(few: usize, many: usize) -> usize {
    if std::env::var_os("SEAWALL_TEST_LONG").is_some() {
        many
    } else {
        few
    }
}

/// A document with so many zones in front of the built-in site.
pub fn zones(count: usize) -> String {
    let mut text = String::from("schema = 1\n");
    for nth in 0..count {
        text.push_str(&format!(
            "[[zone]]\nname = \"z{nth}\"\nhosts = [\"z{nth}.test\"]\norigin = [{{ url = \"sample\" }}]\n"
        ));
    }
    text
}

pub fn hosts(count: usize) -> Vec<String> {
    (0..count).map(|nth| format!("z{nth}.test")).collect()
}

/// A process by `up.json` as it is now.
pub fn pid(data: &Path, role: &str) -> u32 {
    until(&format!("the pid of the {role}"), || {
        let text = fs::read(data.join("up.json")).ok()?;
        let up: Value = serde_json::from_slice(&text).ok()?;
        Some(up["pids"][role].as_u64()? as u32)
    })
}

/// Waits until another process than `old` has the role.
pub fn another(data: &Path, role: &str, old: u32) -> u32 {
    until(&format!("another {role} than {old}"), || {
        let now = pid(data, role);
        (now != old).then_some(now)
    })
}

pub fn status(data: &Path) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    // It may print more than a pipe holds.
    let done = command
        .args(["status", "--json", "--data"])
        .arg(data)
        .output()
        .unwrap();
    let told = serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&done.stderr)));
    (done.status.code().unwrap(), told)
}

#[test]
fn a_killed_worker_is_replaced_and_nobody_is_refused() {
    let up = Up::with_config(&zones(1_000));
    let data = up.data();
    let clients = 8;
    let load = Load::start(up.http(), clients, &hosts(1_000), "/");
    load.wait_for(100);
    let rounds = rounds(5, 50);
    let mut longest = Duration::ZERO;
    for _ in 0..rounds {
        let worker = pid(&data, "worker");
        let killed = Instant::now();
        send(worker, libc::SIGKILL);
        another(&data, "worker", worker);
        load.wait_for(100);
        longest = longest.max(killed.elapsed());
    }
    let counts = load.end();
    println!(
        "measured: kill -9 of the worker under load: {rounds} rounds, {} answered, {} cut, {} refused; longest until 100 more were answered {} ms",
        counts.answered(),
        Counts::get(&counts.cut),
        Counts::get(&counts.refused),
        longest.as_millis()
    );
    assert_eq!(Counts::get(&counts.refused), 0, "{}", up.log());
    assert_eq!(Counts::get(&counts.wrong), 0);
    // Only what was in flight: at most one request of each client and round.
    assert!(Counts::get(&counts.cut) <= (clients * rounds) as u64);
    let (code, told) = status(&data);
    assert_eq!((code, &told["status"]), (0, &"ok".into()), "{told:#}");
    assert_eq!(told["edge"]["restarts"], rounds);
    assert_eq!(told["edge"]["quarantined"], Value::Array(vec![]));
}

#[test]
fn sites_go_on_without_supervisor_and_up_and_the_next_up_takes_over() {
    let up = Up::with_config(&zones(3));
    let data = up.data();
    let load = Load::start(up.http(), 4, &hosts(3), "/");
    load.wait_for(20);
    let worker = pid(&data, "worker");
    for _ in 0..rounds(5, 50) {
        let supervisor = pid(&data, "supervisor");
        send(supervisor, libc::SIGKILL);
        another(&data, "supervisor", supervisor);
        load.wait_for(20);
    }
    // All but the worker.
    send(up.pid(), libc::SIGKILL);
    send(pid(&data, "supervisor"), libc::SIGKILL);
    load.wait_for(100);
    let mut folder = up.leave();
    for _ in 0..rounds(2, 20) {
        let config = folder.join("seawall.toml");
        let next = Up::start(folder, &["--config", config.to_str().unwrap()]);
        assert_eq!(pid(&data, "worker"), worker, "it was taken over");
        load.wait_for(20);
        send(next.pid(), libc::SIGKILL);
        folder = next.leave();
    }
    let counts = load.end();
    assert_eq!(Counts::get(&counts.refused), 0);
    assert_eq!(Counts::get(&counts.cut), 0);
    assert_eq!(Counts::get(&counts.wrong), 0);
    end_all(&data);
}

/// A worker that is asked something by a supervisor which is dead when it answers: it serves on, and the next one takes it over.
#[test]
fn a_supervisor_may_die_while_it_is_being_answered() {
    let up = Up::with_config(&zones(1));
    let data = up.data();
    let worker = pid(&data, "worker");
    let serves = || curl(&["-H", "Host: z0.test", &up.url("/")]).status;
    for _ in 0..rounds(3, 20) {
        let supervisor = pid(&data, "supervisor");
        send(worker, libc::SIGSTOP);
        // The agent has it counted, every few milliseconds at this speed.
        std::thread::sleep(Duration::from_millis(300));
        send(supervisor, libc::SIGKILL);
        std::thread::sleep(Duration::from_millis(50));
        send(worker, libc::SIGCONT);
        another(&data, "supervisor", supervisor);
        assert_eq!(pid(&data, "worker"), worker, "{}", up.log());
        assert_eq!(serves(), 200, "{}", up.log());
    }
}

#[test]
fn a_worker_that_is_taken_over_hears_and_ends_as_ever() {
    let up = Up::with_config(&zones(1));
    let data = up.data();
    send(up.pid(), libc::SIGKILL);
    send(pid(&data, "supervisor"), libc::SIGKILL);
    let folder = up.leave();
    let config = folder.write("seawall.toml", &zones(2));
    let mut next = Up::start(folder, &["--config", config.to_str().unwrap()]);
    until("the taking over", || {
        next.log().contains("a supervisor is back").then_some(())
    });
    // The flags are the same and the file is another: it is read when it is asked for.
    next.signal(libc::SIGHUP);
    until("the second zone", || {
        let answer = curl(&["-H", "Host: z1.test", &next.url("/")]);
        (answer.status == 200).then_some(())
    });
    next.signal(libc::SIGTERM);
    assert_eq!(next.ended().code(), Some(0), "{}", next.log());
    assert!(std::net::TcpStream::connect(next.http()).is_err());
}

/// A copy of the program, so that it can be replaced.
pub fn copy(folder: &Folder, name: &str) -> PathBuf {
    let path = folder.join(name);
    // A hard link takes no time, and can be renamed over as well.
    let _old = fs::remove_file(&path);
    fs::copy(env!("CARGO_BIN_EXE_seawall"), &path).unwrap();
    path
}

pub fn start_copy(program: &Path, folder: Folder, config: &str) -> Up {
    let file = folder.write("seawall.toml", config);
    let mut up = Command::new(program);
    up.arg("up").arg("--data").arg(folder.join("data"));
    for listener in ["--http", "--https", "--admin"] {
        up.args([listener, "127.0.0.1:0"]);
    }
    up.args([
        "--dashboard",
        "none",
        "--status-page",
        "none",
        "--workers",
        "2",
    ])
    .arg("--config")
    .arg(file)
    .stdin(Stdio::null())
    .stdout(folder.log());
    Up::spawned(folder, up)
}

fn upgrade(program: &Path, data: &Path) -> Output {
    finished(Command::new(program).arg("upgrade").arg("--data").arg(data))
}

#[test]
fn ten_upgrades_under_load_fail_no_request() {
    let folder = Folder::new();
    let programs = [copy(&folder, "seawall-1"), copy(&folder, "seawall-2")];
    let up = start_copy(&programs[0], folder, &zones(100));
    let data = up.data();
    let load = Load::start(up.http(), 8, &hosts(100), "/");
    load.wait_for(100);
    let rounds = rounds(10, 50);
    for round in 1..=rounds {
        let worker = pid(&data, "worker");
        let program = &programs[round % 2];
        let done = upgrade(program, &data);
        let said = String::from_utf8_lossy(&done.stdout);
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}{complaint}\n{}", up.log());
        let now = another(&data, "worker", worker);
        for role in ["worker", "supervisor"] {
            let runs = fs::read_link(format!("/proc/{}/exe", pid(&data, role))).unwrap();
            assert_eq!(&runs, program, "{role}");
        }
        assert_eq!(pid(&data, "worker"), now);
        load.wait_for(50);
    }
    let counts = load.end();
    println!(
        "measured: upgrades under load: {rounds}, {} answered, {} cut, {} refused, {} wrong; longest request {} ms",
        counts.answered(),
        Counts::get(&counts.cut),
        Counts::get(&counts.refused),
        Counts::get(&counts.wrong),
        Counts::get(&counts.longest_us) / 1_000
    );
    let failed = [&counts.cut, &counts.refused, &counts.wrong].map(Counts::get);
    assert_eq!(failed, [0, 0, 0], "{}", up.log());
}

#[test]
fn a_program_that_cannot_serve_changes_nothing() {
    let folder = Folder::new();
    let program = copy(&folder, "seawall");
    let up = start_copy(&program, folder, &zones(3));
    let data = up.data();
    let load = Load::start(up.http(), 2, &hosts(3), "/");
    let worker = pid(&data, "worker");
    for broken in [
        "#!/bin/sh\nexit 7\n",
        "#!/bin/sh\nexec sleep 0.3\n",
        "no program",
        // The beginning of one for s390x.
        "\u{7f}ELF\u{2}\u{2}\u{1}\0\0\0\0\0\0\0\0\0\0\u{2}\0\u{16}",
    ] {
        let said = |up: &Up| up.log().matches("not upgraded").count();
        let before = said(&up);
        let path = up.folder().write("broken", broken);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&path, &program).unwrap();
        up.signal(libc::SIGUSR2);
        until("the refusal", || (said(&up) > before).then_some(()));
        load.wait_for(20);
        assert_eq!(pid(&data, "worker"), worker);
    }
    for said in ["is no program", "is for another architecture (s390x"] {
        assert!(up.log().contains(said), "{}", up.log());
    }
    // And back to one that can.
    let good = copy(up.folder(), "good");
    fs::rename(good, &program).unwrap();
    up.signal(libc::SIGUSR2);
    another(&data, "worker", worker);
    let counts = load.end();
    let failed = [&counts.cut, &counts.refused, &counts.wrong].map(Counts::get);
    assert_eq!(failed, [0, 0, 0], "{}", up.log());
}

#[test]
fn a_request_outlives_the_upgrade_that_happens_under_it() {
    let origin = Held::start();
    let up = Up::before(&origin.url());
    let mut client = connect(up.http());
    use std::io::{Read, Write};
    client
        .write_all(b"GET /slow HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        .unwrap();
    let arrival = origin.next();
    let worker = pid(&up.data(), "worker");
    let done = upgrade(Path::new(env!("CARGO_BIN_EXE_seawall")), &up.data());
    assert!(done.status.success(), "{}", up.log());
    another(&up.data(), "worker", worker);
    arrival.answer("at last");
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("at last"), "{answer}");
    until("the end of the old worker", || {
        (!Path::new(&format!("/proc/{worker}")).exists()).then_some(())
    });
    let (code, told) = status(&up.data());
    assert_eq!(code, 0, "{told:#}");
    assert_eq!(told["edge"]["workers"].as_array().unwrap().len(), 1);
}

#[test]
fn what_was_live_is_served_after_a_crash_whatever_the_file_says() {
    let up = Up::edge(&zones(2));
    let data = up.data();
    until("what is live on disk", || {
        data.join("live").exists().then_some(())
    });
    up.folder()
        .write("seawall.toml", "this is no configuration");
    let worker = pid(&data, "worker");
    send(worker, libc::SIGKILL);
    another(&data, "worker", worker);
    assert_eq!(curl(&["-H", "Host: z1.test", &up.url("/")]).status, 200);
    up.signal(libc::SIGHUP);
    until("the refusal", || {
        up.log().contains("not reloaded").then_some(())
    });
    assert_eq!(curl(&["-H", "Host: z1.test", &up.url("/")]).status, 200);
}

#[test]
fn a_worker_that_is_told_to_end_is_replaced() {
    let up = Up::with_config(&zones(2));
    let load = Load::start(up.http(), 4, &hosts(2), "/");
    load.wait_for(20);
    let worker = pid(&up.data(), "worker");
    send(worker, libc::SIGTERM);
    another(&up.data(), "worker", worker);
    load.wait_for(20);
    let counts = load.end();
    let failed = [&counts.cut, &counts.refused, &counts.wrong].map(Counts::get);
    assert_eq!(failed, [0, 0, 0], "{}", up.log());
    assert!(!up.log().contains("crash"), "{}", up.log());
}

#[test]
fn crashes_without_a_culprit_lead_to_safe_mode_and_it_serves_on() {
    let folder = Folder::new();
    let file = folder.write("seawall.toml", &zones(2));
    // For how long deaths are remembered is divided by the speed as well.
    let up = Up::start(
        folder,
        &["--config", file.to_str().unwrap(), "--speed", "1"],
    );
    let data = up.data();
    for nth in 1..=6 {
        let worker = pid(&data, "worker");
        send(worker, libc::SIGSEGV);
        another(&data, "worker", worker);
        until("an answer", || {
            (curl(&["-H", "Host: z0.test", &up.url("/")]).status == 200).then_some(())
        });
        let (code, told) = status(&data);
        let edge = &told["edge"];
        assert_eq!(edge["platform_quarantined"], nth >= 3, "{nth}: {told:#}");
        // No other version of it has proved good here: optional stages are off from then on, and by the supervisor's own word from the sixth.
        assert_eq!(edge["safe_mode"], nth >= 3, "{nth}");
        let says = up.log().contains("workers die on: safe mode");
        assert_eq!(says, nth >= 6, "{nth}: {}", up.log());
        assert_eq!(code, i32::from(nth >= 3), "{nth}: {told:#}");
    }
    let reports = fs::read_dir(data.join("crashes")).unwrap().count();
    assert_eq!(reports, 6);
    assert!(
        up.log().contains("the worker dies of SIGSEGV"),
        "{}",
        up.log()
    );
}

#[test]
fn an_agent_may_die_at_any_time() {
    let up = Up::with_config(&zones(1));
    let data = up.data();
    let agent = pid(&data, "agent");
    send(agent, libc::SIGKILL);
    assert_eq!(curl(&["-H", "Host: z0.test", &up.url("/")]).status, 200);
    up.folder().write("seawall.toml", &zones(2));
    up.signal(libc::SIGHUP);
    until("the second zone", || {
        (curl(&["-H", "Host: z1.test", &up.url("/")]).status == 200).then_some(())
    });
    another(&data, "agent", agent);
}

#[test]
fn status_tells_what_runs_and_what_does_not() {
    let folder = Folder::new();
    let data = folder.join("data");
    fs::create_dir_all(&data).unwrap();
    let (code, told) = status(&data);
    assert_eq!((code, &told["status"]), (2, &"down".into()));
    let up = Up::start(folder, &["--origin", "http://127.0.0.1:1"]);
    let told = until("control", || {
        let (code, told) = status(&data);
        assert_eq!((code, &told["status"]), (0, &"ok".into()), "{told:#}");
        told["control"].is_object().then_some(told)
    });
    for key in ["http", "https", "admin"] {
        assert_eq!(told["edge"]["up"][key], up.state()[key]);
    }
    assert_eq!(told["edge"]["workers"][0]["phase"], "serves");
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    let text = finished(command.args(["status", "--data"]).arg(&data));
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains(&format!("pid {}", up.worker())), "{text}");
    assert!(text.contains("degraded    nothing"), "{text}");
    send(up.pid(), libc::SIGKILL);
    send(pid(&data, "supervisor"), libc::SIGKILL);
    until("the lack of a supervisor to be told", || {
        let (code, told) = status(&data);
        let says = told["degraded"]
            .as_array()?
            .contains(&"no_supervisor".into());
        (code == 1 && says).then_some(())
    });
}

/// As systemd does it: a socket at descriptor 3, and a socket to be told at.
#[test]
fn a_service_manager_gives_sockets_and_is_told() {
    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let told = UnixDatagram::bind(folder.join("notify")).unwrap();
    told.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let seawall = command(&folder.join("data"));
    let words: Vec<String> = seawall
        .get_args()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    // The last of two flags would be refused: the one for HTTP is replaced.
    let at = words.iter().position(|word| word == "--http").unwrap();
    let mut words = words;
    words[at + 1] = address.to_string();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_seawall"))
        .args(words)
        .args(["--workers", "2"])
        .env("NOTIFY_SOCKET", folder.join("notify"))
        .stdin(Stdio::null())
        .stdout(folder.log());
    let file = std::os::fd::OwnedFd::from(listener);
    use std::os::fd::AsRawFd;
    use std::os::unix::process::CommandExt;
    let number = file.as_raw_fd();
    let give = move || {
        // SAFETY: numbers, between fork and exec.
        if unsafe { libc::dup2(number, 3) } < 0 {
            return Err(std::io::Error::last_os_error());
        }
        if number == 3 {
            // SAFETY: as above.
            unsafe { libc::fcntl(3, libc::F_SETFD, 0) };
        }
        Ok(())
    };
    // SAFETY: it does only what is allowed between fork and exec.
    unsafe { shell.pre_exec(give) };
    let up = Up::spawned(folder, shell);
    drop(file);
    assert_eq!(
        up.http(),
        address,
        "it is served on the socket that was given"
    );
    assert_eq!(curl(&[&up.url("/")]).status, 200);
    let heard = until_ready(&told);
    for name in ["seawall-http-0", "seawall-https-1", "seawall-admin-0"] {
        assert!(
            heard.contains(&format!("FDSTORE=1\nFDNAME={name}")),
            "{heard}"
        );
    }
    let worker = up.worker();
    send(worker, libc::SIGKILL);
    another(&up.data(), "worker", worker);
    assert_eq!(curl(&[&up.url("/")]).status, 200);
    // A supervisor, and then an `up`, that takes over what serves says so too: the manager waits for it.
    let supervisor = pid(&up.data(), "supervisor");
    send(supervisor, libc::SIGKILL);
    until_ready(&told);
    send(up.pid(), libc::SIGKILL);
    let mut next = command(&up.data());
    next.env("NOTIFY_SOCKET", up.data().join("../notify"));
    let mut next = next
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until_ready(&told);
    next.kill().unwrap();
    next.wait().unwrap();
    end_all(&up.data());
}

/// What a service manager is told up to that it serves.
pub fn until_ready(told: &UnixDatagram) -> String {
    let mut heard = String::new();
    while !heard.contains("READY=1") {
        let mut bytes = [0; 256];
        let length = told.recv(&mut bytes).expect("the manager is told");
        heard.push_str(&String::from_utf8_lossy(&bytes[..length]));
        heard.push('\n');
    }
    heard
}
