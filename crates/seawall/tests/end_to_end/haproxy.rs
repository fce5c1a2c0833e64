//! The PROXY protocol to an origin, as another implementation reads it: HAProxy in place of the site.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::tools::{connect, curl};
use crate::up::{Folder, Up, until};

/// It takes no connection that does not begin with a header, and answers with what it read there: that there was one, who the
/// client is, where it connected to, and from which port.
struct Haproxy {
    child: Child,
    _folder: Folder,
}

const CONFIG: &str = "defaults\n  mode http\n  timeout client 30s\n  timeout connect 30s\n  timeout server 30s\n\
    frontend site\n  bind ADDRESS accept-proxy\n  http-request return status 200 content-type text/plain \
    lf-string \"%[fc_rcvd_proxy] %[src] %[dst] %[dst_port] %[src_port]\"\n";

impl Haproxy {
    fn start(at: SocketAddr) -> Self {
        let folder = Folder::new();
        let file = folder.write("haproxy.cfg", &CONFIG.replace("ADDRESS", &at.to_string()));
        let child = Command::new(program())
            .args(["-db", "-f"])
            .arg(file)
            .stdin(Stdio::null())
            .stdout(folder.log())
            .stderr(folder.log())
            .spawn()
            .unwrap();
        let haproxy = Self {
            child,
            _folder: folder,
        };
        until("HAProxy", || TcpStream::connect(at).ok());
        haproxy
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Debian puts it where an ordinary user's PATH does not look.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from);
    let mut all = std::env::split_paths(&path)
        .chain(more)
        .map(|folder| folder.join("haproxy"));
    all.find(|path| path.exists())
        .expect("HAProxy is not there: run scripts/setup test")
}

/// An edge that names its clients to a site which is not there yet, and where that will be.
fn edge(version: &str) -> (Up, SocketAddr) {
    let site = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = site.local_addr().unwrap();
    drop(site);
    let up = Up::edge(&format!(
        "schema = 1\n[edge]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\n\
         origin = [{{ url = \"http://{at}\", proxy_protocol = \"{version}\" }}]\n\
         health = {{ path = \"/\", every = \"100ms\", healthy_after = 1, unhealthy_after = 1 }}\n"
    ));
    until_healthy(&up, false);
    (up, at)
}

/// Waits until the looks at the site's health say so.
fn until_healthy(up: &Up, healthy: bool) {
    until(&format!("an origin whose health is {healthy}"), || {
        let state = curl(&[&format!("http://{}/state", up.admin())]);
        let state: Value = serde_json::from_slice(&state.body).unwrap();
        (state["zones"]["a"]["origins"][0]["healthy"] == healthy).then_some(())
    });
}

#[test]
fn haproxy_reads_who_the_client_is() {
    for version in ["v1", "v2"] {
        let (up, at) = edge(version);
        let _haproxy = Haproxy::start(at);
        // What looks at its health is in nobody's name, and is read too.
        until_healthy(&up, true);
        let (http, https) = (up.http().port(), up.https().port());
        for (client, to) in [
            ("203.0.113.7", "127.0.0.1"),
            ("2001:db8::7", "::ffff:127.0.0.1"),
        ] {
            // From which port it came is not known.
            let from = format!("X-Forwarded-For: {client}");
            let answer = curl(&["--header", &from, &up.url("/")]);
            let text = answer.text();
            assert_eq!(answer.status, 200, "{version}: {answer:?}");
            assert_eq!(text.trim_end(), format!("1 {client} {to} {http}"));
        }
        let mut client = connect(up.http());
        let from = client.local_addr().unwrap().port();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        let told = format!("\r\n\r\n1 127.0.0.1 127.0.0.1 {http} {from}");
        assert!(answer.ends_with(&told), "{version}: {answer}");
        let text = curl(&["--http2", &up.tls_url("/")]).text();
        let told = format!("1 127.0.0.1 127.0.0.1 {https} ");
        assert!(text.starts_with(&told), "{version}: {text}");
    }
}

/// Else what is read above would be nothing that has to be there.
#[test]
fn haproxy_takes_nothing_without_it() {
    let (up, at) = edge("off");
    let _haproxy = Haproxy::start(at);
    assert_eq!(curl(&[&up.url("/")]).status, 502);
}
