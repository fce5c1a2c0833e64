//! The ports of a site with a name, 80 and 443, in a network of the test's own: those of the machine are somebody's.

use std::process::{Command, Stdio};

use crate::supervisor::another;
use crate::up::{Folder, Up, send};

/// Brings up the loopback of a new network, and becomes what follows.
const WITHIN: [&str; 6] = [
    "--net",
    "--",
    "sh",
    "-c",
    "ip link set lo up && exec \"$@\"",
    "sh",
];

/// The site `a.test` in a network of its own, started by these words; none where that may not be made.
fn start(by: &[&str]) -> Option<Up> {
    let may = Command::new("unshare")
        .args(WITHIN)
        .args(by)
        .arg("true")
        .output();
    if !may.is_ok_and(|output| output.status.success()) {
        println!("skipped: no network can be made here");
        return None;
    }
    let folder = Folder::new();
    let mut up = Command::new("unshare");
    up.args(WITHIN).args(by).arg(env!("CARGO_BIN_EXE_seawall"));
    up.args(["up", "--host", "a.test", "--workers", "2", "--data"]);
    up.arg(folder.join("data"));
    up.args(["--dashboard", "none", "--status-page", "none"]);
    up.stdin(Stdio::null()).stdout(folder.log());
    Some(Up::spawned(folder, up))
}

/// The status, and where it leads, of a URL of `a.test` in the network of this one.
fn asked(up: &Up, url: &str) -> String {
    let output = Command::new("nsenter")
        .arg(format!("--net=/proc/{}/ns/net", up.pid()))
        .args(["curl", "--disable", "--silent", "--show-error"])
        .args(["--insecure", "--noproxy", "*", "--max-time", "60"])
        .args(["--connect-to", "a.test::127.0.0.1:"])
        .args(["--output", "/dev/null"])
        .args(["--write-out", "%{http_code} %{redirect_url}", url])
        .output()
        .unwrap();
    assert!(output.status.success(), "{url}: {output:?}\n{}", up.log());
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_site_with_a_name_is_served_on_80_and_443() {
    let Some(up) = start(&[]) else { return };
    assert_eq!(up.state()["http"], "0.0.0.0:80", "{}", up.state());
    assert_eq!(up.state()["https"], "0.0.0.0:443", "{}", up.state());
    for _ in 0..2 {
        assert_eq!(asked(&up, "http://a.test/x"), "301 https://a.test/x");
        assert_eq!(asked(&up, "https://a.test/"), "200");
        // The next worker could not bind them, and need not.
        let worker = up.worker_now();
        send(worker, libc::SIGKILL);
        another(&up.data(), "worker", worker);
    }
}

#[test]
fn where_they_cannot_be_bound_it_says_so_and_serves_on_others() {
    let Some(up) = start(&["setpriv", "--bounding-set=-net_bind_service"]) else {
        return;
    };
    assert_eq!(up.state()["http"], "0.0.0.0:8080", "{}", up.state());
    assert_eq!(up.state()["https"], "0.0.0.0:8443", "{}", up.state());
    let says = "port 443 cannot be bound";
    assert!(up.log().contains(says), "{}", up.log());
    let told = asked(&up, "http://a.test:8080/x");
    assert_eq!(told, "301 https://a.test:8443/x");
}
