//! What the processes that serve may do on their machine: little, whoever started them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::certificates::state;
use crate::tools::{Server, curl};
use crate::up::{Folder, Up, until};

/// Reading files whoever owns them.
const CAP_DAC_READ_SEARCH: u32 = 2;
/// Writing them, and connecting to sockets.
const CAP_DAC_OVERRIDE: u32 = 1;

fn are_root() -> bool {
    // SAFETY: it only tells.
    unsafe { libc::geteuid() == 0 }
}

/// What `/proc` says of a thread under these names; none when it has ended.
fn told<const N: usize>(thread: &Path, names: [&str; N]) -> Option<[String; N]> {
    let status = fs::read_to_string(thread.join("status")).ok()?;
    Some(names.map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {status}"))
            .trim()
            .to_owned()
    }))
}

#[test]
fn worker_and_agent_have_given_up_what_they_do_not_need_in_all_of_their_threads() {
    let up = Up::start(Folder::new(), &[]);
    let none = "0000000000000000";
    for role in ["worker", "agent"] {
        let pid = until(&format!("the {role}"), || {
            let text = fs::read(up.data().join("up.json")).ok()?;
            let told: serde_json::Value = serde_json::from_slice(&text).ok()?;
            told["pids"][role].as_u64()
        });
        let has_given_up = |thread: &Path| {
            let names = [
                "NoNewPrivs:",
                "Seccomp:",
                "CapEff:",
                "CapPrm:",
                "CapInh:",
                "CapAmb:",
                "CapBnd:",
            ];
            let Some([privileges, seccomp, effective, permitted, rest @ ..]) = told(thread, names)
            else {
                return true;
            };
            let few = |set: &str| {
                let set = u64::from_str_radix(set, 16).unwrap();
                let writes = u64::from(role == "worker") << CAP_DAC_OVERRIDE;
                set & !(1 << CAP_DAC_READ_SEARCH | writes) == 0
            };
            // Who is not root may not lower its bound, and has nothing of it.
            let rest = if are_root() { &rest[..] } else { &rest[..2] };
            (privileges.as_str(), seccomp.as_str()) == ("1", "2")
                && few(&effective)
                && few(&permitted)
                && rest.iter().all(|set| set == none)
        };
        // The agent may have begun just now.
        until(&format!("the {role} to have given up its rights"), || {
            let mut threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
            threads
                .all(|thread| has_given_up(&thread.path()))
                .then_some(())
        });
    }
}

/// Whether this kernel has Landlock.
fn can_be_confined() -> bool {
    let none = std::ptr::null::<u64>();
    // SAFETY: it is asked for a number, and given none.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, 1_u32) };
    version > 0
}

#[test]
fn a_worker_of_root_writes_where_it_must_and_reads_what_comes_later() {
    if !are_root() || !can_be_confined() {
        println!("skipped: not root, or no Landlock here");
        return;
    }
    let (folder, outside) = (Folder::new(), Folder::new());
    let zone = |name: &str, url: &str| {
        format!(
            "[[zone]]\nname = \"{name}\"\nhosts = [\"{name}\"]\norigin = [{{ url = \"{url}\" }}]\n"
        )
    };
    let first = format!("schema = 1\n{}", zone("a.test", "sample"));
    folder.write("seawall.toml", &first);
    let up = Up::edge_in(folder);
    until("a note", || {
        up.log().contains("it runs as root: ").then_some(())
    });

    // A folder that nobody had named when it gave up its rights.
    fs::create_dir(outside.join("site")).unwrap();
    fs::write(outside.join("site/page.txt"), "later").unwrap();
    let site = format!("file:{}", outside.join("site").display());
    let both = first + &zone("b.test", &site);
    up.folder().write("seawall.toml", &both);
    up.signal(libc::SIGHUP);
    let ask = |host: &str, path: &str| curl(&["-H", &format!("host: {host}"), &up.url(path)]);
    until("the new zone", || {
        (ask("b.test", "/page.txt").text() == "later").then_some(())
    });

    // Root could write there, and needs no capability for it; the worker does not.
    let log = up.data().join("access.log");
    fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink(outside.join("access.log"), &log).unwrap();
    up.signal(libc::SIGHUP);
    until("that the log cannot be written", || {
        assert_eq!(ask("a.test", "/").status, 200);
        let degraded = state(&up)["degraded"].to_string();
        degraded.contains("access_log").then_some(())
    });
    assert!(!outside.join("access.log").exists());
}

#[test]
fn a_worker_of_root_reaches_sockets_and_logs_of_other_users() {
    /// A user who is nobody here.
    const OTHER: u32 = 65534;
    let (folder, outside) = (Folder::new(), Folder::new());
    let socket = outside.join("site.sock");
    let _site = Server::start(
        "plain-site.mjs",
        &[&format!("--unix={}", socket.display()), "--http1"],
    );
    let logs = outside.join("logs");
    fs::create_dir(&logs).unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    mode(&logs, 0o755).unwrap();
    mode(&socket, 0o660).unwrap();
    let given = [&socket, &logs].map(|path| chown(path, Some(OTHER), Some(OTHER)).is_ok());
    if !are_root() || given != [true; 2] || UnixStream::connect(&socket).is_err() {
        println!("skipped: not root, or not with all of its rights");
        return;
    }
    let config = format!(
        "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ url = \"unix:{}\" }}]\n[edge.access_log]\nfile = \"{}\"\n",
        socket.display(),
        logs.join("access.log").display()
    );
    folder.write("seawall.toml", &config);
    let up = Up::edge_in(folder);
    let answer = curl(&["-H", "host: a.test", &up.url("/echo")]);
    assert_eq!(answer.status, 200, "{:?}", answer.field("proxy-status"));
    until("the request's line", || {
        let log = fs::read_to_string(logs.join("access.log")).ok()?;
        log.contains("/echo").then_some(())
    });
}

#[test]
fn a_log_that_is_a_link_is_made_anew_where_it_leads_to() {
    if !are_root() || !can_be_confined() {
        println!("skipped: not root, or no Landlock here");
        return;
    }
    let (folder, outside) = (Folder::new(), Folder::new());
    let (link, real) = (
        outside.join("links/access.log"),
        outside.join("logs/real.log"),
    );
    fs::create_dir(outside.join("links")).unwrap();
    // Neither the file nor its folder is there yet.
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let config = format!(
        "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ url = \"sample\" }}]\n[edge.access_log]\nfile = \"{}\"\n",
        link.display()
    );
    folder.write("seawall.toml", &config);
    let up = Up::edge_in(folder);
    let is_written = |what: &str| {
        until(what, || {
            curl(&["-H", "host: a.test", &up.url("/asked")]);
            let log = fs::read_to_string(&real).ok()?;
            log.contains("/asked").then_some(())
        });
    };
    is_written("a line");
    // As logrotate does it.
    fs::rename(&real, outside.join("logs/real.log.1")).unwrap();
    up.signal(libc::SIGHUP);
    is_written("a line in a new file");
    assert!(link.is_symlink());
}
