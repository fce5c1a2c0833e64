//! What goes wrong around it: a closed terminal, a full disk, no descriptors left, a stop while requests run.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::doctor::Disk;
use crate::origin::Held;
use crate::tools::{Server, connect, curl, raw};
use crate::up::{Folder, Up, command, until};

/// One zone for every host, named `name`.
fn document(name: &str, origin: &str, more: &str) -> String {
    format!(
        "schema = 1\n{more}\n[[zone]]\nname = \"{name}\"\nhosts = [\"*\"]\norigin = [{{ url = \"{origin}\" }}]\n"
    )
}

#[test]
fn a_closed_terminal_does_not_end_it() {
    let site = Server::site();
    let folder = Folder::new();
    let file = folder.write("seawall.toml", &document("first", &site.url(), ""));
    let mut command = command(&folder.join("data"));
    command.arg("--config").arg(file).stdout(Stdio::piped());
    let mut up = Up::spawned(folder, command);
    up.close_output();
    up.folder()
        .write("seawall.toml", &document("second", &site.url(), ""));
    up.signal(libc::SIGHUP);
    until("the new file", || {
        ask(&up, "/state").1["zones"].get("second").map(|_| ())
    });
    assert_eq!(curl(&[&up.url("/")]).status, 200);
    up.signal(libc::SIGTERM);
    assert_eq!(up.ended().code(), Some(0), "{}", up.log());
}

/// `/dev/full` is a disk that is always full.
#[test]
fn a_full_disk_takes_no_request_away() {
    let site = Server::site();
    let config = document("a", &site.url(), "[edge.access_log]\nfile = \"/dev/full\"");
    let up = Up::with_config(&config);
    for _ in 0..20 {
        assert_eq!(curl(&[&up.url("/")]).status, 200);
    }
    until("the access log among what is degraded", || {
        let (status, ready) = ask(&up, "/readyz");
        assert_eq!(status, 200, "{ready}");
        (ready["degraded"] == serde_json::json!(["access_log"])).then_some(())
    });
    until("a line that says why", || {
        up.log().contains("No space left on device").then_some(())
    });
    assert_eq!(curl(&[&up.url("/")]).status, 200);
}

/// Control tries again with each pulse, and all that it writes fails: that is one trouble.
#[test]
fn a_full_data_folder_is_told_once_and_when_it_is_over() {
    let site = Server::site();
    let folder = Folder::new();
    let data = folder.join("data");
    let Some(mounted) = Disk::mount(&data, "32m") else {
        return;
    };
    let mut command = command(&data);
    command.args(["--origin", &site.url()]).stdout(folder.log());
    let up = Up::spawned(folder, command);
    // It goes before the folder that it is mounted in, which could not be removed.
    let disk = mounted;
    until("what is published", || {
        data.join("published.json").exists().then_some(())
    });
    disk.fill();
    until("a line that says so", || {
        let log = up.log();
        let said = log.contains("published.json cannot be written: No space left")
            && log.contains("nothing new is published");
        said.then_some(())
    });
    // Each attempt makes a file beside it, and takes it away.
    let changed = || data.metadata().unwrap().modified().unwrap();
    let mut last = changed();
    for _ in 0..6 {
        last = until("another attempt", || {
            Some(changed()).filter(|now| *now != last)
        });
    }
    assert_eq!(curl(&[&up.url("/")]).status, 200);
    let log = up.log();
    for line in [
        "published.json cannot be written: No space",
        "nothing new is published",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
    }
    // Whether that was written before depends on who was quicker.
    assert!(
        log.matches("data/live cannot be written").count() <= 1,
        "{log}"
    );
    disk.free();
    for over in [
        "published.json is written again (after ",
        "what is new is published again (after ",
    ] {
        until(over, || up.log().contains(over).then_some(()));
    }
}

#[test]
fn with_few_descriptors_it_serves_as_many_as_it_can() {
    let site = Server::site();
    let folder = Folder::new();
    let direct = {
        let mut command = command(&folder.join("data"));
        command.args(["--origin", &site.url(), "--workers", "2"]);
        command
    };
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -n 80; exec \"$0\" \"$@\""])
        .arg(direct.get_program())
        .args(direct.get_args());
    for (name, value) in direct.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.stdin(Stdio::null()).stdout(folder.log());
    let up = Up::spawned(folder, limited);
    let mut clients: Vec<_> = (0..100).map(|_| connect(up.http())).collect();
    until("refused connections", || {
        (ask(&up, "/readyz").1["degraded"] == serde_json::json!(["descriptors"])).then_some(())
    });
    let answers: Vec<String> = clients.iter_mut().map(first_line).collect();
    let served = answers
        .iter()
        .filter(|answer| answer.contains(" 200 "))
        .count();
    let others = answers
        .iter()
        .filter(|answer| !answer.is_empty() && !answer.contains(" 200 "));
    assert!(served >= 5, "{served} of {} were served", answers.len());
    // Who is taken reaches the origin; the others are closed, not left to wait.
    assert_eq!(others.count(), 0, "{answers:?}");
    until("a line that says so", || {
        up.log().contains("no descriptor left").then_some(())
    });
    drop(clients);
    until("room again", || {
        let answer = first_line(&mut connect(up.http()));
        answer.contains(" 200 ").then_some(())
    });
}

/// Too few to begin with: it says how many it takes, and what can be done.
#[test]
fn with_too_few_descriptors_it_does_not_start_and_says_what_it_takes() {
    let folder = Folder::new();
    let direct = command(&folder.join("data"));
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -n 48; exec \"$0\" \"$@\" --workers 2"])
        .arg(direct.get_program())
        .args(direct.get_args());
    let done = crate::up::finished(&mut limited);
    assert!(!done.status.success());
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        said.contains("only 48 open files are allowed") && said.contains("LimitNOFILE"),
        "{said}"
    );
}

fn first_line(client: &mut std::net::TcpStream) -> String {
    use std::io::Write;
    let asked = client.write_all(b"GET /style.css HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut bytes = [0; 1024];
    let length = asked.and_then(|()| client.read(&mut bytes)).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn while_it_stops_it_is_not_ready_and_waits_for_requests_only() {
    use std::io::Write;
    let origin = Held::start();
    let mut up = Up::before(&origin.url());
    assert_eq!(ask(&up, "/readyz").0, 200);
    // Who asks on a connection of its own, as many do, sees the end come.
    let mut probe = connect(up.admin());
    let mut ready = || {
        let asked = probe.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut bytes = [0; 1024];
        let length = asked.and_then(|()| probe.read(&mut bytes)).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    assert!(ready().starts_with("HTTP/1.1 200 "));
    // A handshake that never begins is no request.
    let mut silent = connect(up.https());
    let mut client = connect(up.http());
    client
        .write_all(b"GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .unwrap();
    let arrival = origin.next();
    up.signal(libc::SIGTERM);
    until("a 503", || {
        let said = ready();
        (said.starts_with("HTTP/1.1 503 ") && said.contains("\"draining\": true")).then_some(())
    });
    until("the admin port to close", || {
        std::net::TcpStream::connect(up.admin()).err()
    });
    assert_eq!(
        silent.read(&mut [0; 16]).ok(),
        Some(0),
        "the silent connection is closed"
    );
    arrival.answer("at last");
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("at last"), "{answer}");
    assert_eq!(up.ended().code(), Some(0), "{}", up.log());
}

/// A tunnel may hold up the end; what is served meanwhile is logged meanwhile.
#[test]
fn what_ends_while_it_stops_is_logged_at_once() {
    use std::io::Write;
    let origin = Held::start();
    let folder = Folder::new();
    let mut command = command(&folder.join("data"));
    command
        .args([
            "--origin",
            &origin.url(),
            "--drain",
            "60s",
            "--workers",
            "1",
        ])
        .stdout(folder.log());
    let mut up = Up::spawned(folder, command);
    let ask = |path: &str| {
        let mut client = connect(up.http());
        client
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes())
            .unwrap();
        (client, origin.next())
    };
    let (_long, held) = ask("/long");
    let (mut short, answered) = ask("/short");
    up.signal(libc::SIGTERM);
    until("the listener to close", || {
        std::net::TcpStream::connect(up.http()).err()
    });
    answered.answer("done");
    short.read_to_string(&mut String::new()).unwrap();
    assert_eq!(up.record_of("/short")["status"], 200);
    up.signal(libc::SIGQUIT);
    up.ended();
    drop(held);
}

#[test]
fn a_request_that_comes_by_its_own_door_is_not_sent_round() {
    let site = |port: u16| {
        format!(
            "schema = 1\n[edge]\nhttp = [\"0.0.0.0:0\"]\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ url = \"http://127.0.0.1:{port}\" }}]\n"
        )
    };
    let folder = Folder::new();
    folder.write("seawall.toml", &site(1));
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    command.arg("edge").arg("--data").arg(folder.join("data"));
    command.args(["--https", "none", "--admin", "none", "--workers", "1"]);
    command.arg("--config").arg(folder.join("seawall.toml"));
    command.stdout(folder.log()).stdin(Stdio::null());
    let up = Up::spawned(folder, command);
    // Which port is its own is known by now: nobody else can have taken it.
    let port = up.http().port();
    up.folder().write("seawall.toml", &site(port));
    up.signal(libc::SIGHUP);
    until("the second configuration", || {
        up.log().contains("reloaded").then_some(())
    });
    let answer = raw(
        ([127, 0, 0, 1], port).into(),
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.contains("destination_ip_prohibited"), "{answer}");
    assert_eq!(up.record_of("/")["error"], "destination_ip_prohibited");
}

/// Status and JSON of the admin port.
fn ask(up: &Up, path: &str) -> (u16, Value) {
    let answer = curl(&[&format!("http://{}{path}", up.admin())]);
    let value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
    (answer.status, value)
}

#[test]
fn a_client_that_resets_is_no_longer_worked_for() {
    let origin = Held::start();
    let up = Up::before(&origin.url());
    let mut client = connect(up.http());
    let head = b"GET /left HTTP/1.1\r\nHost: a.test\r\n\r\n";
    client.write_all(head).unwrap();
    let arrival = origin.next();
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the descriptor is open, and the option is as large as it is said to be.
    let set = unsafe {
        libc::setsockopt(
            client.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const at_once).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    assert_eq!(set, 0);
    drop(client);
    assert_eq!(up.record_of("/left")["error"], "client_gone");
    drop(arrival);
}
