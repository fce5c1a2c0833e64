//! Programs from outside: curl, and those of `tests/node`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::up::patience;

/// A server of `tests/node` that runs until it is dropped.
pub struct Server {
    child: Child,
    port: u16,
}

impl Server {
    pub fn start(program: &str, flags: &[&str]) -> Self {
        let mut child = node(program)
            .args(flags)
            .env("STOP_WITH_STDIN", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("node does not start ({error}): run scripts/setup test")
            });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line
            .trim()
            .strip_prefix("PORT ")
            .and_then(|port| port.parse().ok());
        let port =
            port.unwrap_or_else(|| panic!("{program} said {line:?}: run scripts/setup test"));
        Self { child, port }
    }

    /// A small real site.
    pub fn site() -> Self {
        Self::start("plain-site.mjs", &[])
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Plays a client of `tests/node` to its end; panics with what it said unless all its checks held.
pub fn play(program: &str, flags: &[&str]) {
    let done = node(program).args(flags).output().expect("node starts");
    let said = String::from_utf8_lossy(&done.stdout);
    println!("{program} {}\n{said}", flags.join(" "));
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "{program} {}:\n{said}{complaint}",
        flags.join(" ")
    );
    assert!(
        said.contains("checks passed"),
        "{program} checked nothing:\n{said}"
    );
}

pub fn node(program: &str) -> Command {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/node");
    assert!(
        folder.join("node_modules").exists(),
        "npm packages are missing: run scripts/setup test"
    );
    let mut command = Command::new("node");
    command.arg("--no-deprecation").arg(folder.join(program));
    command.env("SEAWALL_PATIENCE", patience().as_secs_f64().to_string());
    command
}

/// What curl got.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// `1.1` or `2`.
    pub version: String,
    /// Name in lower case, value.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Runs curl with any certificate, without its configuration file and without proxies.
pub fn curl(flags: &[&str]) -> Answer {
    let done = curl_command()
        .args([
            "--include",
            "--write-out",
            "\n%{http_version} %{response_code}",
        ])
        .args(flags)
        .output()
        .expect("curl starts");
    let complaint = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(
        done.status.success(),
        "curl {}: {}\n{complaint}",
        flags.join(" "),
        done.status
    );
    let (rest, last) = split_last(&done.stdout, b"\n");
    let last = String::from_utf8_lossy(last).into_owned();
    let (version, status) = last.split_once(' ').expect("curl's last line");
    // Interim heads (100, 103) come before the real one.
    let mut body = rest;
    let mut head = String::new();
    while let Some((before, after)) = split_head(body) {
        head = String::from_utf8_lossy(before).into_owned();
        body = after;
        if !head.starts_with("HTTP/1.1 1") && !head.starts_with("HTTP/2 1") {
            break;
        }
    }
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    Answer {
        status: status.parse().unwrap(),
        version: version.to_owned(),
        fields: fields
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect(),
        body: body.to_vec(),
    }
}

pub fn curl_command() -> Command {
    let mut command = Command::new("curl");
    command.args([
        "--disable",
        "--silent",
        "--show-error",
        "--insecure",
        "--noproxy",
        "*",
        "--max-time",
    ]);
    command.arg((patience().as_secs_f64() * 6.0).to_string());
    command
}

fn split_head(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    bytes
        .starts_with(b"HTTP/")
        .then(|| (&bytes[..at], &bytes[at + 4..]))
}

fn split_last<'a>(bytes: &'a [u8], mark: &[u8]) -> (&'a [u8], &'a [u8]) {
    let at = bytes
        .windows(mark.len())
        .rposition(|window| window == mark)
        .expect("a mark");
    (&bytes[..at], &bytes[at + mark.len()..])
}

/// A connection that gives up a wait after the patience of all tests.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    stream.set_read_timeout(Some(patience())).unwrap();
    stream.set_write_timeout(Some(patience())).unwrap();
    stream
}

/// A connection from this address of our own.
pub fn connect_from(from: SocketAddr, to: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(from).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream
}

/// Sends these bytes on a connection of their own and returns all that comes until it is closed.
pub fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .unwrap_or_else(|error| panic!("{request:?}: {error}"));
    String::from_utf8_lossy(&answer).into_owned()
}
