//! From start to stop: what `seawall up` does with signals, with its data folder and with what it cannot have.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

use crate::origin::Held;
use crate::tools::{Server, connect, curl, raw};
use crate::up::{Folder, Up, command, finished, until};

#[test]
fn a_running_request_ends_before_the_process_does() {
    let origin = Held::start();
    let mut up = Up::before(&origin.url());
    let mut idle = connect(up.http());
    idle.write_all(b"GET /.seawall/trace HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .unwrap();
    read_head(&mut idle);
    let mut client = connect(up.http());
    client
        .write_all(b"GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .unwrap();
    let arrival = origin.next();

    up.signal(libc::SIGTERM);
    let address = up.http();
    until("listeners to close", || {
        let refused = TcpStream::connect(address)
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
        refused.then_some(())
    });
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest)
        .expect("an idle connection is closed");

    arrival.answer("at last");
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("at last"),
        "{answer}"
    );
    assert_eq!(up.ended().code(), Some(0), "{}", up.log());
    assert_eq!(
        up.record_of("/slow")["status"],
        200,
        "the last Record is written"
    );
}

#[test]
fn a_request_that_does_not_end_is_cut_when_the_drain_is_over() {
    let origin = Held::start();
    let mut up = Up::start(
        Folder::new(),
        &["--origin", &origin.url(), "--drain", "500ms"],
    );
    let mut client = connect(up.http());
    client
        .write_all(b"GET /for-ever HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .unwrap();
    let arrival = origin.next();
    up.signal(libc::SIGTERM);
    assert_eq!(up.ended().code(), Some(0), "{}", up.log());
    assert_eq!(up.record_of("/for-ever")["error"], "edge_shutdown");
    drop(arrival);
}

/// A new binary can be started on the old one's ports while that still ends its requests.
#[test]
fn a_new_up_takes_the_ports_of_one_that_drains() {
    let origin = Held::start();
    let ports: Vec<String> = (0..3)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .map(|free| free.local_addr().unwrap().to_string())
        .collect();
    let start = |url: &str| {
        let folder = Folder::new();
        let mut up = std::process::Command::new(env!("CARGO_BIN_EXE_seawall"));
        up.arg("up").arg("--data").arg(folder.join("data"));
        for (name, port) in ["--http", "--https", "--admin"].iter().zip(&ports) {
            up.args([name, port.as_str()]);
        }
        up.args(["--dashboard", "none", "--status-page", "none"])
            .args(["--origin", url, "--drain", "60s"])
            .stdin(Stdio::null())
            .stdout(folder.log())
            .stderr(folder.log());
        Up::spawned(folder, up)
    };
    let mut old = start(&origin.url());
    let mut client = connect(old.http());
    client
        .write_all(b"GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .unwrap();
    let arrival = origin.next();
    old.signal(libc::SIGTERM);
    for port in &ports {
        until("the port to be free", || TcpStream::connect(port).err());
    }
    let site = Server::site();
    let new = start(&site.url());
    assert_eq!(curl(&[&new.url("/")]).status, 200);
    assert_eq!(
        curl(&[&format!("http://{}/readyz", new.admin())]).status,
        200
    );
    arrival.answer("at last");
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("at last"), "{answer}");
    assert_eq!(old.ended().code(), Some(0), "{}", old.log());
}

#[test]
fn a_second_up_on_the_same_data_is_refused_with_the_pid() {
    let site = Server::site();
    let up = Up::before(&site.url());
    let second = finished(command(&up.data()).args(["--origin", &site.url()]));
    assert!(
        !second.status.success(),
        "a second `up` ran on the same data folder"
    );
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        said.contains(&up.pid().to_string()),
        "the pid {} is not named: {said}",
        up.pid()
    );
    assert_eq!(curl(&[&up.url("/")]).status, 200, "the first serves on");
}

#[test]
fn a_data_folder_is_free_again_after_a_kill() {
    let site = Server::site();
    let folder = Folder::new();
    let data = folder.join("data");
    fs::create_dir_all(&data).unwrap();
    // A pid file or socket left behind by a process that was killed.
    let mut killed = command(&data)
        .args(["--origin", &site.url()])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("DATA/up.json", || {
        fs::read(data.join("up.json"))
            .ok()
            .filter(|text| !text.is_empty())
    });
    killed.kill().unwrap();
    killed.wait().unwrap();
    fs::remove_file(data.join("up.json")).ok();
    let up = Up::start(folder, &["--origin", &site.url()]);
    assert_eq!(curl(&[&up.url("/")]).status, 200);
}

#[test]
fn a_port_in_use_is_said_and_ends_it() {
    let site = Server::site();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for listener in ["--http", "--https", "--admin"] {
        let folder = Folder::new();
        let mut up = std::process::Command::new(env!("CARGO_BIN_EXE_seawall"));
        up.arg("up")
            .arg("--data")
            .arg(folder.join("data"))
            .args(["--origin", &site.url()]);
        for other in ["--http", "--https", "--admin"] {
            up.args([
                other,
                if other == listener {
                    &address
                } else {
                    "127.0.0.1:0"
                },
            ]);
        }
        let done = finished(up.args(["--dashboard", "none", "--status-page", "none"]));
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(
            !done.status.success(),
            "{listener} {address} is taken, and it ended well"
        );
        assert!(
            said.contains(&address),
            "{listener}: {address} is not named: {said}"
        );
        assert!(
            said.to_lowercase().contains("in use"),
            "{listener}: the reason is not named: {said}"
        );
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_bad_file_is_refused_at_start_with_all_its_problems() {
    let folder = Folder::new();
    let config = folder.write(
        "seawall.toml",
        "schema = 1\ncolour = 1\n[[zone]]\nname = \"a\"\nhosts = [\"no host\"]\norigin = []\n",
    );
    let done = finished(command(&folder.join("data")).arg("--config").arg(config));
    assert!(!done.status.success());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    for part in ["colour", "zone[0].hosts", "zone[0].origin"] {
        assert!(said.contains(part), "{part} is missing in:\n{said}");
    }
}

#[test]
fn a_reload_takes_a_good_file_and_refuses_a_bad_one() {
    let (first, second) = (Server::site(), Server::site());
    let config = |origin: &str, more: &str| {
        format!(
            "schema = 1\n{more}[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ url = \"{origin}\" }}]\n\
             response_headers = {{ set = {{ \"x-origin\" = \"{origin}\" }} }}\n"
        )
    };
    let up = Up::with_config(&config(&first.url(), ""));
    let served_by = || {
        curl(&[&up.url("/")])
            .field("x-origin")
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(served_by(), first.url());

    // Two mistakes: both are said, and nothing changes.
    let bad = config("gopher://nowhere", "colour = 1\n");
    up.folder().write("seawall.toml", &bad);
    up.signal(libc::SIGHUP);
    until("all problems of the bad file in the log", || {
        let log = up.log();
        (log.contains("colour") && log.contains("gopher")).then_some(())
    });
    assert_eq!(
        served_by(),
        first.url(),
        "a bad file changed what is served"
    );
    assert_eq!(
        curl(&[&format!("http://{}/readyz", up.admin())]).status,
        200
    );

    // An open connection is not cut by the change, and its next request sees it.
    let mut open = connect(up.http());
    open.write_all(b"GET /.seawall/trace HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .unwrap();
    read_head(&mut open);
    up.folder()
        .write("seawall.toml", &config(&second.url(), ""));
    up.signal(libc::SIGHUP);
    until("the new origin", || {
        (served_by() == second.url()).then_some(())
    });
    open.write_all(b"GET /.seawall/trace HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut rest = String::new();
    open.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("HTTP/1.1 200 "), "{rest}");
}

#[test]
fn a_signal_to_quit_ends_it_at_once() {
    let origin = Held::start();
    let mut up = Up::before(&origin.url());
    let mut client = connect(up.http());
    client
        .write_all(b"GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .unwrap();
    let arrival = origin.next();
    up.signal(libc::SIGQUIT);
    up.ended();
    let mut rest = Vec::new();
    // Cut, and told so.
    let _reset = client.read_to_end(&mut rest);
    assert!(
        !rest.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&rest)
    );
    assert_eq!(up.record_of("/slow")["error"], "edge_shutdown");
    drop(arrival);
}

#[test]
fn a_host_that_no_zone_has_is_misdirected() {
    let site = Server::site();
    let up = Up::start(
        Folder::new(),
        &["--origin", &site.url(), "--host", "site.test"],
    );
    let address = up.http();
    let known = raw(
        address,
        "GET / HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n",
    );
    assert!(known.starts_with("HTTP/1.1 421 "), "{known}");
    let resolve = format!("site.test:{}:127.0.0.1", up.https().port());
    let url = format!("https://site.test:{}/", up.https().port());
    assert_eq!(curl(&["--resolve", &resolve, &url]).status, 200);
    // With a host named, plain HTTP redirects.
    let plain = raw(
        address,
        "GET /x?y=1 HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n",
    );
    assert!(plain.starts_with("HTTP/1.1 30"), "{plain}");
    assert!(
        plain
            .to_ascii_lowercase()
            .contains("location: https://site.test"),
        "{plain}"
    );
    assert!(plain.contains("/x?y=1"), "{plain}");
}

/// Reads to the end of one answer whose body is short: its head, then as many bytes as it says.
fn read_head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length:")?
            .trim()
            .parse()
            .ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    head
}
