//! Starts `seawall up` with a data folder of its own on free ports, and ends all of its processes on drop.

use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use seawall_harness::temp::TempFolder;
pub use seawall_harness::temp::end_all;
use serde_json::Value;

/// How long an event is waited for before the test fails: `SEAWALL_PATIENCE` seconds; unless set 10, or 60 where all is at full
/// count.
pub fn patience() -> Duration {
    let seconds = std::env::var("SEAWALL_PATIENCE")
        .ok()
        .and_then(|text| text.parse().ok());
    let usual = match std::env::var_os("SEAWALL_TEST_LONG") {
        Some(_) => 60.0,
        None => 10.0,
    };
    Duration::from_secs_f64(seconds.unwrap_or(usual))
}

/// Looks until there is something, and panics with `what` when there is nothing in time.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            begun.elapsed() < patience(),
            "waited {:?} in vain for {what}",
            patience()
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// A folder that goes away with its owner, and before it what runs on it; none once it was left to another.
pub struct Folder(Option<TempFolder>);

impl Folder {
    pub fn new() -> Self {
        Self(Some(TempFolder::new().unwrap()))
    }

    pub fn join(&self, name: &str) -> PathBuf {
        let path = self.0.as_ref().map_or(Path::new(""), TempFolder::path);
        path.join(name)
    }

    /// What `seawall up` prints goes here.
    pub fn log(&self) -> File {
        let mut options = File::options();
        options
            .create(true)
            .append(true)
            .open(self.join("up.log"))
            .unwrap()
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

/// The command with everything that is the same for all: free ports, and no role that a test does not ask for.
pub fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SEAWALL_") {
            command.env_remove(name);
        }
    }
    command.arg("up").arg("--data").arg(data);
    for listener in ["--http", "--https", "--admin"] {
        command.args([listener, "127.0.0.1:0"]);
    }
    command
        .args(["--status-page", "none"])
        .env("SEAWALL_DASHBOARD", "none")
        // A change goes through all of its steps, each of them short.
        .env("SEAWALL_SPEED", "500")
        .stdin(Stdio::null());
    command
}

/// Runs a command that should end by itself, and ends it when it does not.
pub fn finished(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let (stdout, stderr) = (all_of(child.stdout.take()), all_of(child.stderr.take()));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > patience() {
            child.kill().unwrap();
            let _ended = child.wait().unwrap();
            let said = stderr.join().unwrap();
            panic!(
                "{command:?} did not end:\n{}",
                String::from_utf8_lossy(&said)
            );
        }
        thread::sleep(Duration::from_millis(10));
    };
    Output {
        status,
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

/// Reads what a pipe brings while it comes: it may be more than fits in.
fn all_of(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        pipe.unwrap().read_to_end(&mut all).unwrap();
        all
    })
}

/// A running Seawall.
pub struct Up {
    child: Child,
    folder: Folder,
    state: Value,
    left: bool,
}

impl Up {
    /// In front of the site at `origin`, with two workers.
    pub fn before(origin: &str) -> Self {
        Self::start(Folder::new(), &["--origin", origin])
    }

    /// With a file in the folder `seawall.toml` whose text is `config`.
    pub fn with_config(config: &str) -> Self {
        let folder = Folder::new();
        let path = folder.write("seawall.toml", config);
        Self::start(folder, &["--config", path.to_str().unwrap()])
    }

    /// As [`Up::with_config`], an edge alone: it serves what its file says, without control.
    pub fn edge(config: &str) -> Self {
        let folder = Folder::new();
        folder.write("seawall.toml", config);
        Self::edge_in(folder)
    }

    /// An edge alone with the file `seawall.toml` of this folder.
    pub fn edge_in(folder: Folder) -> Self {
        let of_up = command(&folder.join("data"));
        let mut command = Command::new(of_up.get_program());
        let words: Vec<_> = of_up.get_args().skip(1).map(ToOwned::to_owned).collect();
        command.arg("edge").args(words).arg("--config");
        command.arg(folder.join("seawall.toml"));
        for (name, value) in of_up.get_envs() {
            if value.is_none() {
                command.env_remove(name);
            }
        }
        command.args(["--workers", "2"]).stdin(Stdio::null());
        command.stdout(folder.log());
        Self::spawned(folder, command)
    }

    /// With these flags beside those that all have.
    pub fn start(folder: Folder, flags: &[&str]) -> Self {
        let mut command = command(&folder.join("data"));
        command.args(flags).args(["--workers", "2"]);
        command.stdout(folder.log());
        Self::spawned(folder, command)
    }

    /// By this command, whose data folder is `data` in the folder.
    pub fn spawned(folder: Folder, mut command: Command) -> Self {
        let data = folder.join("data");
        let child = command
            .stderr(folder.log())
            .spawn()
            .expect("the binary starts");
        let mut up = Self {
            child,
            folder,
            state: Value::Null,
            left: false,
        };
        up.state = until("DATA/up.json", || {
            if let Some(status) = up.child.try_wait().unwrap() {
                panic!("`seawall up` ended with {status}:\n{}", up.log());
            }
            serde_json::from_str(&fs::read_to_string(data.join("up.json")).ok()?).ok()
        });
        up
    }

    /// Nobody reads its standard output any more, if that is a pipe.
    pub fn close_output(&mut self) {
        drop(self.child.stdout.take());
    }

    /// Where plain HTTP is served.
    pub fn http(&self) -> SocketAddr {
        self.address("http")
    }

    /// Where HTTPS is served.
    pub fn https(&self) -> SocketAddr {
        self.address("https")
    }

    /// The admin port.
    pub fn admin(&self) -> SocketAddr {
        self.address("admin")
    }

    /// `up.json` writes an address, or a list of them where the document may.
    fn address(&self, listener: &str) -> SocketAddr {
        let value = &self.state[listener];
        let text = value
            .as_str()
            .or_else(|| value.as_array()?.first()?.as_str());
        let text = text.unwrap_or_else(|| panic!("up.json names no {listener}: {}", self.state));
        text.parse()
            .unwrap_or_else(|_| panic!("{listener} is {text:?}"))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http())
    }

    pub fn tls_url(&self, path: &str) -> String {
        format!("https://{}{path}", self.https())
    }

    /// What `up.json` says.
    pub fn state(&self) -> &Value {
        &self.state
    }

    /// The process of `up` itself.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process that serves.
    pub fn worker(&self) -> u32 {
        let pid = self.state["pids"]["worker"].as_u64();
        pid.unwrap_or_else(|| panic!("up.json names no worker: {}", self.state)) as u32
    }

    /// The process that serves by now.
    pub fn worker_now(&self) -> u32 {
        until("the pid of the worker", || {
            let text = fs::read(self.data().join("up.json")).ok()?;
            let up: Value = serde_json::from_slice(&text).ok()?;
            Some(up["pids"]["worker"].as_u64()? as u32)
        })
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("up.log")).unwrap_or_default()
    }

    /// The Record of the one request for this path.
    pub fn record_of(&self, path: &str) -> Value {
        let file = self.data().join("access.log");
        until(&format!("a Record of {path} in {}", file.display()), || {
            let text = fs::read_to_string(&file).ok()?;
            let mut found = text
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            found.find(|record| record["path"] == path)
        })
    }

    /// All whole lines of the access log.
    pub fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.data().join("access.log")).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
            .collect()
    }

    pub fn signal(&self, signal: i32) {
        send(self.pid(), signal);
    }

    /// SIGKILL for all of its processes.
    pub fn strike(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
        end_all(&self.data());
    }

    /// Forgets the process of `up`, which was killed, and leaves what it started as it is.
    pub fn leave(mut self) -> Folder {
        let _status = self.child.wait();
        self.left = true;
        Folder(self.folder.0.take())
    }

    /// Waits for the end.
    pub fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("the end of `seawall up`", || child.try_wait().unwrap())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- what `seawall up` printed ---\n{}", self.log());
        }
        if self.left {
            return;
        }
        // All that it has started ends with the folder.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Sends a signal.
pub fn send(pid: u32, signal: i32) {
    // SAFETY: `kill` takes two numbers and touches no memory of ours.
    let done = unsafe { libc::kill(pid as i32, signal) };
    assert!(
        done == 0 || signal == libc::SIGKILL,
        "process {pid} is not there"
    );
}
