//! Sockets that a service manager keeps from one start to the next, and takes back when they fit no more: one that it kept listening
//! would take connections that nobody accepts.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::supervisor::{pid, until_ready};
use crate::tools::curl;
use crate::up::{Folder, Up, command, end_all, patience, send, until};

/// A listening socket of the group at this address, as a supervisor binds one for each thread.
fn one_of(address: SocketAddr) -> TcpListener {
    use socket2::{Domain, Protocol, Socket, Type};
    let kind = (Domain::for_address(address), Type::STREAM);
    let socket = Socket::new(kind.0, kind.1, Some(Protocol::TCP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(64).unwrap();
    socket.into()
}

/// The same socket, where no descriptor that is given is in its way.
fn out_of_the_way(listener: &TcpListener) -> OwnedFd {
    // SAFETY: numbers; it makes a descriptor.
    let number = unsafe { libc::fcntl(listener.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 200) };
    assert!(number >= 200, "{}", std::io::Error::last_os_error());
    // SAFETY: it was made just now and is nobody else's.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// `seawall up` as a service manager starts it, with these sockets under these names.
fn start(folder: Folder, http: SocketAddr, given: &[(&str, &TcpListener)]) -> Up {
    let mut words: Vec<String> = command(&folder.join("data"))
        .get_args()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let at = words.iter().position(|word| word == "--http").unwrap();
    words[at + 1] = http.to_string();
    let names: Vec<&str> = given.iter().map(|(name, _)| *name).collect();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_seawall"))
        .args(words)
        .args(["--workers", "2", "--dashboard", "none"])
        .env("LISTEN_FDS", given.len().to_string())
        .env("LISTEN_FDNAMES", names.join(":"))
        .env("NOTIFY_SOCKET", folder.join("notify"))
        .stdin(Stdio::null())
        .stdout(folder.log());
    let files: Vec<OwnedFd> = given
        .iter()
        .map(|(_, listener)| out_of_the_way(listener))
        .collect();
    let numbers: Vec<i32> = files.iter().map(AsRawFd::as_raw_fd).collect();
    let give = move || {
        for (to, from) in (3..).zip(&numbers) {
            // SAFETY: numbers, between fork and exec.
            if unsafe { libc::dup2(*from, to) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: it does only what is allowed between fork and exec.
    unsafe { shell.pre_exec(give) };
    Up::spawned(folder, shell)
}

fn manager(folder: &Folder) -> UnixDatagram {
    let told = UnixDatagram::bind(folder.join("notify")).unwrap();
    told.set_read_timeout(Some(patience())).unwrap();
    told
}

/// Nobody listens there: neither who was given the socket, nor any process that was started meanwhile.
fn is_closed(address: SocketAddr, up: &Up) {
    until(&format!("{address} to be closed:\n{}", up.log()), || {
        let error = TcpStream::connect(address).err()?;
        (error.kind() == ErrorKind::ConnectionRefused).then_some(())
    });
}

#[test]
fn what_fits_no_more_is_closed_and_taken_back_by_the_service_manager() {
    let folder = Folder::new();
    let told = manager(&folder);
    // As a start before with three threads left them, in the order in which a manager happens to have them.
    let first = one_of("127.0.0.1:0".parse().unwrap());
    let address = first.local_addr().unwrap();
    let (second, third) = (one_of(address), one_of(address));
    let moved = one_of("127.0.0.1:0".parse().unwrap());
    let before = moved.local_addr().unwrap();
    let given = [
        ("seawall-http-2", &third),
        ("seawall-admin-0", &moved),
        ("seawall-http-0", &first),
        ("seawall-http-1", &second),
    ];
    let up = start(folder, address, &given);
    let heard = until_ready(&told);
    // The manager does as it is told; so its sockets are closed but for those that stay.
    drop((third, moved));
    let at = |words: &str| {
        heard
            .find(words)
            .unwrap_or_else(|| panic!("{words}: {heard}"))
    };
    let removed = "FDSTOREREMOVE=1\nFDNAME=seawall-";
    at(&format!("{removed}http-2"));
    // The name is used again, for the address that it has now.
    assert!(at(&format!("{removed}admin-0")) < at("FDSTORE=1\nFDNAME=seawall-admin-0"));
    for stays in ["http-0", "http-1"] {
        assert!(!heard.contains(&format!("{removed}{stays}")), "{heard}");
        at(&format!("FDSTORE=1\nFDNAME=seawall-{stays}"));
    }
    is_closed(before, &up);
    assert_eq!(up.http(), address);
    // Connections are spread over the group: one that nobody accepts from would have a third of them, and never answer.
    for _ in 0..20 {
        let answer = curl(&["--max-time", "10", &up.url("/")]);
        assert_eq!(answer.status, 200, "{}", up.log());
    }
    drop((first, second));
    send(up.pid(), libc::SIGTERM);
    is_closed(address, &up);
}

#[test]
fn who_takes_over_what_serves_keeps_none_of_what_it_was_given_beside() {
    let folder = Folder::new();
    let told = manager(&folder);
    let listener = one_of("127.0.0.1:0".parse().unwrap());
    let address = listener.local_addr().unwrap();
    let up = start(folder, address, &[("seawall-http-0", &listener)]);
    until_ready(&told);
    // `up` and the supervisor have gone, the worker serves on, and the manager gives what it has: something of before among it.
    let worker = pid(&up.data(), "worker");
    send(up.pid(), libc::SIGKILL);
    send(pid(&up.data(), "supervisor"), libc::SIGKILL);
    let folder = up.leave();
    until("the end of the supervisor", || {
        let error = UnixStream::connect(folder.join("data/edge.sock")).err()?;
        (error.kind() == ErrorKind::ConnectionRefused).then_some(())
    });
    let stray = one_of("127.0.0.1:0".parse().unwrap());
    let before = stray.local_addr().unwrap();
    let given = [("seawall-https-7", &stray), ("seawall-http-0", &listener)];
    let next = start(folder, address, &given);
    let heard = until_ready(&told);
    drop(stray);
    assert_eq!(pid(&next.data(), "worker"), worker, "{}", next.log());
    assert!(
        heard.contains("FDSTOREREMOVE=1\nFDNAME=seawall-https-7"),
        "{heard}"
    );
    assert!(!heard.contains("FDSTOREREMOVE=1\nFDNAME=seawall-http-0"));
    is_closed(before, &next);
    assert_eq!(curl(&[&next.url("/")]).status, 200);
    end_all(&next.data());
}
