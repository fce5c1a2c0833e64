//! What outlives a worker is written by one worker at a time, also where a disk is slow and they change meanwhile.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use crate::origin::Held;
use crate::supervisor::{another, pid, zones};
use crate::tools::{connect, curl};
use crate::up::{Up, finished, until};

/// A disk that takes a few bytes and then no more, until it is dropped: a pipe that nobody reads.
struct Slow(File);

impl Slow {
    fn at(path: &Path) -> Self {
        let name = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the name ends with a nought and lives until the call is over.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let mut options = File::options();
        options.read(true).write(true);
        Self(options.custom_flags(libc::O_NONBLOCK).open(path).unwrap())
    }

    /// Bytes that were written, and wait.
    fn holds(&self) -> i32 {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the pointer is to the number that the call fills in.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
        assert_eq!(done, 0);
        bytes
    }
}

/// Whose the state files are, by what the lock says.
fn owner(data: &Path) -> Option<u32> {
    let text = fs::read_to_string(data.join("state.lock")).ok()?;
    text.lines().next()?.parse().ok()
}

#[test]
fn who_still_writes_keeps_the_next_one_from_writing_and_not_from_serving() {
    let origin = Held::start();
    let held = format!(
        "[[zone]]\nname = \"held\"\nhosts = [\"held.test\"]\norigin = [{{ url = \"{}\" }}]\n",
        origin.url()
    );
    let up = Up::edge(&(zones(1) + &held));
    let data = up.data();
    let old = pid(&data, "worker");
    until("what is live on disk", || {
        (data.join("live").exists() && owner(&data) == Some(old)).then_some(())
    });
    // A request that goes on keeps the old worker alive for as long as it takes.
    let mut client = connect(up.http());
    client
        .write_all(b"GET /slow HTTP/1.1\r\nHost: held.test\r\nConnection: close\r\n\r\n")
        .unwrap();
    let arrival = origin.next();
    let disk = Slow::at(&data.join(format!("live.{old}.new")));
    // More than a pipe holds.
    up.folder().write("seawall.toml", &(zones(3_000) + &held));
    up.signal(libc::SIGHUP);
    until("a write that hangs", || (disk.holds() > 0).then_some(()));
    let mut upgrade = Command::new(env!("CARGO_BIN_EXE_seawall"));
    let done = finished(upgrade.arg("upgrade").arg("--data").arg(&data));
    assert!(done.status.success(), "{}", up.log());
    let new = another(&data, "worker", old);
    assert_eq!(curl(&["-H", "Host: z0.test", &up.url("/")]).status, 200);
    // It serves, and the files are still the old one's.
    assert_eq!(owner(&data), Some(old), "{}", up.log());
    drop(disk);
    until("the new owner", || {
        (owner(&data) == Some(new)).then_some(())
    });
    assert!(fs::metadata(data.join("live")).unwrap().is_file());
    arrival.answer("at last");
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("at last"), "{answer}");
}
