//! A control alone and edges that join it, each with a data folder of its own.

use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::tools::curl;
use crate::up::{Folder, Up, command, finished, until};

/// A zone `a.test` before this origin, with more in it.
pub fn zone(origin: &str, more: &str) -> String {
    format!(
        "schema = 1\n[[zone]]\nname = \"a.test\"\nhosts = [\"a.test\"]\norigin = [{{ url = \"{origin}\" }}]\n{more}"
    )
}

/// The same, and what lets joined edges go to origins on this machine.
pub fn first(origin: &str) -> String {
    let edge = "[edge]\noutward = [\"public\", \"private\", \"loopback\"]\n[[zone]]";
    zone(origin, "").replacen("[[zone]]", edge, 1)
}

/// A zone that refuses this path.
pub fn without(origin: &str, path: &str) -> String {
    let rule = format!(
        "[[zone.rule]]\nwhen = 'http.request.uri.path eq \"{path}\"'\naction = \"block\"\n"
    );
    zone(origin, &rule)
}

/// What an edge answers for a path of `a.test`.
pub fn get(edge: &Up, path: &str) -> u16 {
    curl(&["-H", "Host: a.test", &edge.url(path)]).status
}

/// Runs a command of Seawall, without anything of our environment.
pub fn seawall(words: &[&str], data: &Path) -> Output {
    finished(bare(words).arg("--data").arg(data))
}

fn bare(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SEAWALL_") {
            command.env_remove(name);
        }
    }
    command.args(words).stdin(Stdio::null());
    command
}

/// How a command ended, and all that it said.
pub fn told(output: Output) -> (Option<i32>, String) {
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.code(), text)
}

/// A control without an edge on its machine.
pub struct Control {
    child: Option<Child>,
    folder: Folder,
    speed: String,
    listens: SocketAddr,
    more: Vec<String>,
    /// Variables of its environment.
    variables: Vec<(OsString, OsString)>,
}

impl Control {
    pub fn start(speed: u32) -> Self {
        Self::spawned(speed, &[], |_| {})
    }

    /// With more flags, and what else a command can be given.
    pub fn spawned(speed: u32, more: &[&str], set: impl Fn(&mut Command)) -> Self {
        Self::spawned_in(Folder::new(), speed, more, set)
    }

    /// On this folder.
    pub fn spawned_in(
        folder: Folder,
        speed: u32,
        more: &[&str],
        set: impl Fn(&mut Command),
    ) -> Self {
        let mut variables = Command::new("none");
        set(&mut variables);
        let variables = variables.get_envs();
        let variables = variables.filter_map(|(name, value)| Some((name.into(), value?.into())));
        let mut control = Self {
            child: None,
            folder,
            speed: speed.to_string(),
            listens: "127.0.0.1:0".parse().unwrap(),
            more: more.iter().map(ToString::to_string).collect(),
            variables: variables.collect(),
        };
        control.again();
        control
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Where it listens for edges.
    pub fn listens(&self) -> SocketAddr {
        self.listens
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.listens)
    }

    /// All that it printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("up.log")).unwrap_or_default()
    }

    /// A signal.
    pub fn signal(&self, signal: i32) {
        let child = self.child.as_ref().expect("it runs");
        crate::up::send(child.id(), signal);
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Another one on the same folder and port.
    pub fn again(&mut self) {
        let log = self.folder.join("up.log");
        let read = || -> Vec<SocketAddr> {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let said = text.split("listens for locations on ").skip(1);
            said.filter_map(|rest| rest.lines().next()?.parse().ok())
                .collect()
        };
        let before = read().len();
        let listens = self.listens.to_string();
        let mut command = bare(&[
            "control",
            "--speed",
            &self.speed,
            "--edges",
            &listens,
            "--dashboard",
            "none",
        ]);
        command.envs(self.variables.clone()).args(&self.more);
        command.arg("--data").arg(self.data());
        let mut child = command
            .stdout(self.folder.log())
            .stderr(self.folder.log())
            .spawn()
            .expect("the binary starts");
        self.listens = until("control", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("control ended with {status}:\n{}", self.log());
            }
            read().get(before).copied()
        });
        self.child = Some(child);
    }

    pub fn asks(&self, words: &[&str]) -> (Option<i32>, String) {
        told(seawall(words, &self.data()))
    }

    /// Applies a document, with these flags.
    pub fn apply(&self, text: &str, flags: &[&str]) -> (Option<i32>, String) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("apply-{}.toml", NEXT.fetch_add(1, Ordering::Relaxed));
        let file = self.folder.write(&name, text);
        let words = [&["apply", file.to_str().unwrap()], flags].concat();
        self.asks(&words)
    }

    /// Applies one that is to be everywhere.
    pub fn applies(&self, text: &str) {
        let (code, said) = self.apply(text, &["--wait", "--approve"]);
        assert_eq!(code, Some(0), "{said}\n{}", self.log());
    }

    pub fn token(&self, location: &str, more: &[&str]) -> String {
        let words = [&["control", "token", "--location", location], more].concat();
        let output = seawall(&words, &self.data());
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with("sj_"), "{said}");
        said.trim().to_owned()
    }

    /// The locations that it knows.
    pub fn places(&self) -> Vec<Value> {
        let output = seawall(&["control", "locations", "--json"], &self.data());
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// An edge joins as this location, and serves.
    pub fn joined(&self, location: &str, more: &[&str]) -> Up {
        let token = self.token(location, &[]);
        let mut words = vec!["--join", "", "--token", &token];
        let url = self.url();
        words[1] = &url;
        words.extend(more);
        edge(Folder::new(), &self.speed, &words)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- what control printed ---\n{}", self.log());
        }
        self.kill();
    }
}

/// The command that starts an edge on this folder.
pub fn edge_command(folder: &Folder, speed: &str, words: &[&str]) -> Command {
    let of_up = command(&folder.join("data"));
    let mut edge = bare(&["edge"]);
    edge.args(of_up.get_args().skip(1));
    edge.args(["--workers", "2", "--speed", speed]).args(words);
    edge.stdout(folder.log());
    edge
}

/// An edge on this folder, once it serves.
pub fn edge(folder: Folder, speed: &str, words: &[&str]) -> Up {
    let command = edge_command(&folder, speed, words);
    Up::spawned(folder, command)
}

/// Ends all processes of an edge by SIGKILL, and leaves its folder.
pub fn struck(mut edge: Up) -> Folder {
    edge.strike();
    let folder = edge.leave();
    let _ = std::fs::remove_file(folder.join("data/up.json"));
    folder
}

/// A port that leads to another one, until it is closed.
pub struct Lead {
    pub listens: SocketAddr,
    open: Arc<AtomicBool>,
}

impl Lead {
    pub fn to(address: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listens = listener.local_addr().unwrap();
        let open = Arc::new(AtomicBool::new(true));
        let is_open = open.clone();
        thread::spawn(move || {
            for from in listener.incoming().flatten() {
                if !is_open.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(to) = TcpStream::connect(address) else {
                    continue;
                };
                for (from, to) in [(&from, &to), (&to, &from)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let is_open = is_open.clone();
                    thread::spawn(move || copy(from, to, &is_open));
                }
            }
        });
        Self { listens, open }
    }

    /// What comes from now on, and what is on its way, is broken off.
    pub fn close(&self) {
        self.open.store(false, Ordering::Relaxed);
    }

    pub fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, is_open: &AtomicBool) {
    let _ = from.set_read_timeout(Some(Duration::from_millis(20)));
    let mut bytes = [0; 16 << 10];
    while is_open.load(Ordering::Relaxed) {
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) if to.write_all(&bytes[..read]).is_err() => break,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
