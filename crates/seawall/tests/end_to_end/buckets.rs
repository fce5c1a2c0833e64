//! A bucket of a real S3 server (PyPI's `moto`, in a process of its own) as a second source: what control publishes is brought there,
//! and edges go on with either of both dead.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::fleet::{Control, Lead, edge_command, first, get, without};
use crate::origin::Answering;
use crate::tools::curl_command;
use crate::up::{Folder, Up, finished, until};

pub const BUCKET: &str = "s3://seawall/published";

/// The server. What it holds goes with it.
pub struct S3 {
    child: Child,
    listens: SocketAddr,
}

impl S3 {
    pub fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let listens = free.local_addr().unwrap();
        drop(free);
        let child = spawn(listens);
        let server = Self { child, listens };
        server.make_bucket();
        server
    }

    fn url(&self) -> String {
        format!("http://{}", self.listens)
    }

    fn asks(&self, words: &[&str], path: &str) -> (String, Vec<u8>) {
        let url = format!("{}{path}", self.url());
        let mut command = curl_command();
        let output = finished(
            command
                .args(["--write-out", "\n%{response_code}"])
                .args([
                    "--aws-sigv4",
                    "aws:amz:us-east-1:s3",
                    "--user",
                    "key:secret",
                ])
                .args(words)
                .arg(url),
        );
        let end = output
            .stdout
            .iter()
            .rposition(|byte| *byte == b'\n')
            .unwrap();
        let (body, status) = output.stdout.split_at(end);
        let status = String::from_utf8_lossy(status).trim().to_owned();
        (status, body.to_vec())
    }

    fn make_bucket(&self) {
        until("a bucket", || {
            let (status, _) = self.asks(&["-X", "PUT"], "/seawall");
            (status == "200").then_some(())
        });
    }

    fn manifest(&self) -> Option<Vec<u8>> {
        let (status, body) = self.asks(&[], "/seawall/published/manifest");
        (status == "200").then_some(body)
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Another one at the same address, with nothing in it.
    pub fn again(&mut self) {
        self.child = spawn(self.listens);
        self.make_bucket();
    }

    /// The variables that all such tools have.
    pub fn variables(&self, command: &mut Command) {
        command
            .env("AWS_ENDPOINT_URL", self.url())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret");
    }

    pub fn edge(&self, folder: Folder, words: &[&str]) -> Up {
        let mut command = edge_command(&folder, "100", words);
        self.variables(&mut command);
        Up::spawned(folder, command)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

fn spawn(listens: SocketAddr) -> Child {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"),
        PathBuf::from,
    );
    let program = cache.join("seawall/s3/bin/moto_server");
    assert!(program.exists(), "moto is missing: run scripts/setup test");
    let child = Command::new(program)
        .args(["-H", "127.0.0.1", "-p", &listens.port().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the S3 server", || TcpStream::connect(listens).ok());
    child
}

pub fn control_with(server: &S3) -> Control {
    Control::spawned(100, &["--bucket", BUCKET], |command| {
        server.variables(command)
    })
}

fn bucket(control: &Control) -> Value {
    let (_, said) = control.asks(&["status", "--json"]);
    serde_json::from_str::<Value>(&said).unwrap_or_default()["control"]["bucket"].clone()
}

/// The bucket has what control has published.
pub fn caught_up(control: &Control, server: &S3) {
    until("the bucket has all", || {
        let published = std::fs::read(control.data().join("published/manifest")).ok()?;
        (server.manifest()? == published && bucket(control)["why"].is_null()).then_some(())
    });
}

fn refuses(edge: &Up, path: &str) {
    until(&format!("{path} is refused"), || {
        (get(edge, path) == 403).then_some(())
    });
}

#[test]
fn with_control_or_the_bucket_dead_edges_get_what_the_other_has() {
    let site = Answering::start("good");
    let mut server = S3::start();
    let mut control = control_with(&server);
    let (code, said) = control.apply(&first(&site.url()), &[]);
    assert_eq!(code, Some(0), "{said}");
    let lead = Lead::to(control.listens());
    let token = control.token("ams", &[]);
    let url = format!("https://{}", lead.listens);
    let words = ["--join", &url, "--token", &token, "--source", BUCKET];
    let ams = server.edge(Folder::new(), &words);
    control.applies(&without(&site.url(), "/one"));
    caught_up(&control, &server);

    // Control is there, and this edge cannot reach it: all comes by the bucket.
    lead.close();
    let (code, said) = control.asks(&["drain", "--location", "ams"]);
    assert_eq!(code, Some(0), "{said}");
    let sin = control.joined("sin", &[]);
    control.applies(&without(&site.url(), "/two"));
    refuses(&sin, "/two");
    refuses(&ams, "/two");

    // The bucket is dead, in the middle of a change: all comes by control, and that the bucket is behind is told.
    lead.open();
    server.kill();
    let (code, said) = control.asks(&["undrain", "--location", "ams"]);
    assert_eq!(code, Some(0), "{said}");
    control.applies(&without(&site.url(), "/three"));
    refuses(&sin, "/three");
    refuses(&ams, "/three");
    until("it is told that the bucket is behind", || {
        let (_, said) = control.asks(&["status"]);
        (bucket(&control)["why"].is_string() && said.contains("bucket_behind")).then_some(())
    });

    // It comes back with nothing in it, and has all again.
    server.again();
    control.applies(&without(&site.url(), "/four"));
    caught_up(&control, &server);

    // Control is dead: what is in the bucket is served, and nothing else.
    control.kill();
    let folder = crate::fleet::struck(ams);
    let ams = server.edge(folder, &[]);
    // It was killed, perhaps before the last change was on its disk: then that comes from the bucket.
    refuses(&ams, "/four");
    assert_eq!(get(&ams, "/"), 200);
    let other = server.manifest().unwrap();
    let garbage = ["-X", "PUT", "--data", "garbage"];
    assert_eq!(
        server.asks(&garbage, "/seawall/published/manifest").0,
        "200"
    );
    until("garbage is told", || {
        ams.log().contains(BUCKET).then_some(())
    });
    assert_eq!((get(&ams, "/four"), get(&ams, "/")), (403, 200));
    // Control comes back, and mends what is in the bucket.
    control.again();
    control.applies(&without(&site.url(), "/five"));
    refuses(&ams, "/five");
    caught_up(&control, &server);
    assert_ne!(server.manifest().unwrap(), other);
}

#[test]
fn a_bucket_that_another_control_writes_to_is_left_alone_and_told() {
    let site = Answering::start("good");
    let server = S3::start();
    let control = control_with(&server);
    let (code, said) = control.apply(&first(&site.url()), &[]);
    assert_eq!(code, Some(0), "{said}");
    let _ams = control.joined("ams", &[]);
    control.applies(&without(&site.url(), "/one"));
    caught_up(&control, &server);
    // Other keys: another control altogether.
    let stranger = control_with(&server);
    let why = until("the stranger's complaint", || {
        bucket(&stranger)["why"].as_str().map(str::to_owned)
    });
    assert!(why.contains("another control's keys"), "{why}");
    // The same keys: a copy of this control's folder that somebody has started too.
    let folder = Folder::new();
    copy(&control.data(), &folder.join("data"));
    let copied = Control::spawned_in(folder, 100, &["--bucket", BUCKET], |command| {
        server.variables(command);
    });
    until("one of both is told", || {
        let both = [bucket(&control), bucket(&copied)];
        let mut told = both.iter().filter_map(|bucket| bucket["why"].as_str());
        told.any(|why| why.contains("another control writes"))
            .then_some(())
    });
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&from, &to);
        } else if kind.is_file() {
            std::fs::copy(from, to).unwrap();
        }
    }
}
