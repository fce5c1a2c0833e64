//! Changes that come while a worker is busy with another one, or while a new one prepares: none is lost.
//!
//! A pipe in place of a file that is read on the way holds whoever reads it, for as long as a test wants.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fleet::without;
use crate::origin::Answering;
use crate::rollouts::{applied, asks, get, start, told, zone};
use crate::supervisor::another;
use crate::tools::curl;
use crate::up::{Up, send, until};

/// A file in whose place lies a pipe.
struct Gate {
    path: PathBuf,
    content: Vec<u8>,
}

impl Gate {
    fn at(path: PathBuf) -> Self {
        let content = fs::read(&path).unwrap();
        let pipe = path.with_extension("pipe");
        let name = std::ffi::CString::new(pipe.as_os_str().as_bytes()).unwrap();
        // SAFETY: the name ends with a nought and lives until the call is over.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        fs::rename(&pipe, &path).unwrap();
        Self { path, content }
    }

    /// Waits until somebody reads it, who waits from then on.
    fn reached(&self) -> File {
        let mut options = File::options();
        options.write(true).custom_flags(libc::O_NONBLOCK);
        until("somebody who reads it", || options.open(&self.path).ok())
    }

    /// The file lies there again, and who waits has read it.
    fn open(self, mut waits: File) {
        let file = self.path.with_extension("file");
        fs::write(&file, &self.content).unwrap();
        fs::rename(&file, &self.path).unwrap();
        waits.write_all(&self.content).unwrap();
    }
}

fn goes_well(up: &Up, words: &[&str]) {
    let (code, said) = told(asks(up, words));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn of_changes_that_come_while_a_worker_takes_long_for_one_none_is_lost() {
    // More than orders that may wait in a worker.
    const ZONES: usize = 24;
    let site = Answering::start("good");
    let others = |rule: &str| {
        let mut text = String::new();
        for nth in 0..ZONES {
            let _ = write!(
                text,
                "[[zone]]\nname = \"q{nth}.test\"\nhosts = [\"q{nth}.test\"]\norigin = [{{ url = \"{}\" }}]\n{rule}",
                site.url()
            );
        }
        text
    };
    let up = start(&(zone(&site.url(), "") + &others("")), "500");
    until("what has proved good", || {
        let good = fs::read(up.data().join("last-good")).ok()?;
        String::from_utf8_lossy(&good)
            .contains(&format!("q{}.test", ZONES - 1))
            .then_some(())
    });
    let status = |nth: usize| {
        let host = format!("Host: q{nth}.test");
        curl(&["-H", &host, &up.url("/x")]).status
    };
    let rule = "[[zone.rule]]\nwhen = 'http.request.uri.path eq \"/x\"'\naction = \"block\"\n";
    let next = format!("schema = 1\n{}", others(rule));
    let (code, said) = applied(&up, &next, &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((status(0), status(ZONES - 1)), (403, 403));
    // Every zone that a worker is ordered needs this. What is done on the machine itself waits for nobody's Report.
    let gate = Gate::at(up.data().join("self-signed.names"));
    let back = |nth: usize| {
        let zone = format!("q{nth}.test");
        goes_well(&up, &["rollback", &zone, "--here", "--why", "it blocks"]);
    };
    back(0);
    let waits = gate.reached();
    for nth in 1..ZONES {
        back(nth);
    }
    assert_eq!(status(0), 403, "the worker was to wait");
    gate.open(waits);
    for nth in 0..ZONES {
        until(&format!("q{nth}.test as it was:\n{}", up.log()), || {
            (status(nth) == 200).then_some(())
        });
    }
}

#[test]
fn a_change_that_comes_while_a_new_worker_prepares_is_served_by_it() {
    let site = Answering::start("good");
    let up = start(&zone(&site.url(), ""), "500");
    let (code, said) = applied(&up, &without(&site.url(), "/x"), &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(get(&up, "/x"), 403);
    let data = up.data();
    let live = |data: &Path| fs::metadata(data.join("live")).unwrap().ino();
    // Who reads this has read what is live.
    let gate = Gate::at(data.join("node"));
    let old = up.worker_now();
    let mut upgrade = Command::new(env!("CARGO_BIN_EXE_seawall"))
        .arg("upgrade")
        .arg("--data")
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let waits = gate.reached();
    let before = live(&data);
    goes_well(&up, &["rollback", "a.test", "1"]);
    until("what was before, on disk too", || {
        (get(&up, "/x") == 200 && live(&data) != before).then_some(())
    });
    assert_eq!(up.worker_now(), old, "{}", up.log());
    gate.open(waits);
    let ended = until("the upgrade", || upgrade.try_wait().unwrap());
    assert!(ended.success(), "{}", up.log());
    another(&data, "worker", old);
    until("the same from the new worker", || {
        (get(&up, "/x") == 200).then_some(())
    });
    // It is on disk as it serves, for whoever comes next.
    let new = up.worker_now();
    send(new, libc::SIGKILL);
    another(&data, "worker", new);
    until("the same from the one after it", || {
        (get(&up, "/x") == 200).then_some(())
    });
}
