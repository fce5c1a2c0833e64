//! A PostgreSQL of a test's own: Debian's, in a folder of its own, on a unix socket, as a user who may do nothing else.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

use seawall_control::StoreError;
use seawall_control::store::Postgres;

use crate::folder::Folder;

/// Who it runs as, where the test runs as root: PostgreSQL refuses to be root.
const NOBODY: u32 = 65_534;
/// How long it may take to start, also after a crash.
const STARTS: Duration = Duration::from_secs(30);

/// One server.
pub struct Server {
    folder: Folder,
    programs: PathBuf,
    options: Vec<String>,
    port: u16,
    running: Mutex<Option<Child>>,
    databases: Mutex<u32>,
}

/// Where Debian's programs are: of the newest version that there is.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
        .collect();
    found.sort_by_key(|bin| {
        let version = bin.parent().and_then(|of| of.file_name());
        version.and_then(|version| version.to_str()?.parse::<u32>().ok())
    });
    found.pop()
}

fn is_root() -> bool {
    // SAFETY: it only tells a number.
    unsafe { libc::geteuid() == 0 }
}

impl Server {
    /// The server that tests of this process share as long as one of them runs; none, and it is said, where PostgreSQL is not
    /// installed.
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(|error| error.into_inner());
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::start(&[])?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    /// A server with these settings, each as `name=value`.
    pub fn start(options: &[&str]) -> Option<Self> {
        Self::start_with(options, 5432, |_| {})
    }

    /// The same, with this port, and once more has been done in its folder.
    pub fn start_with(options: &[&str], port: u16, more: impl FnOnce(&Self)) -> Option<Self> {
        let Some(programs) = programs() else {
            println!("skipped: no PostgreSQL is installed here; `scripts/setup test` installs it");
            return None;
        };
        let folder = Folder::new();
        if is_root() {
            chown(folder.path(""), Some(NOBODY), Some(NOBODY)).expect("nobody's");
        }
        let server = Self {
            folder,
            programs,
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            port,
            running: Mutex::new(None),
            databases: Mutex::new(0),
        };
        let mut initdb = server.command("initdb");
        initdb.arg("--pgdata").arg(server.data()).args([
            "--username=seawall",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        let made = initdb.output().expect("initdb runs");
        assert!(made.status.success(), "{}", words(&made));
        more(&server);
        server.run();
        Some(server)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path(""));
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path("data")
    }

    /// Makes a certificate for this machine, which is the server's, in its data folder; its path.
    pub fn certificate(&self) -> PathBuf {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]);
        openssl.args([
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-subj",
            "/CN=a database",
        ]);
        openssl.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.args(["-keyout", "server.key", "-out", "server.crt"]);
        openssl.current_dir(self.data());
        if is_root() {
            openssl.uid(NOBODY).gid(NOBODY);
        }
        let made = openssl.output().expect("openssl runs");
        assert!(made.status.success(), "{}", words(&made));
        let copy = self.folder.path("server.crt");
        fs::copy(self.data().join("server.crt"), &copy).expect("copied");
        copy
    }

    /// Starts it, again after [`Server::kill`].
    pub fn run(&self) {
        self.spawn();
        self.wait_until_it_answers();
    }

    /// Whether there is a process that began to be the server and has not ended.
    fn lives(&self) -> bool {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let pid = text
            .lines()
            .next()
            .and_then(|line| line.parse::<i32>().ok());
        let name = |pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        // One that has just been started has written nothing yet.
        sleep(Duration::from_millis(300));
        pid.is_some_and(|pid| name(pid).starts_with("postgres"))
    }

    fn spawn(&self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path("log"))
            .expect("a log");
        // Whatever becomes of this process, the server ends with the pipe.
        let script = r#""$@" </dev/null & pid=$!; cat >/dev/null; kill -QUIT $pid; wait $pid"#;
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "sh"])
            .arg(self.programs.join("postgres"))
            .arg("-D")
            .arg(self.data())
            .args([
                "-c",
                "listen_addresses=",
                "-p",
                &self.port.to_string(),
                "-c",
            ])
            .arg(format!(
                "unix_socket_directories={}",
                self.folder.path("").display()
            ));
        for option in &self.options {
            command.args(["-c", option]);
        }
        command
            .current_dir(self.folder.path(""))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        *self.running.lock().expect("no panic") = Some(command.spawn().expect("postgres starts"));
    }

    fn wait_until_it_answers(&self) {
        let due = Instant::now() + STARTS;
        loop {
            let asked = self.psql("postgres", "SELECT 1");
            if asked.status.success() {
                return;
            }
            if !self.lives() {
                // A backend of the one that was killed was still there; by now it is not.
                let shell = self.running.lock().expect("no panic").take();
                if let Some(mut shell) = shell {
                    drop(shell.stdin.take());
                    shell.wait().expect("gone");
                }
                sleep(Duration::from_millis(100));
                self.spawn();
            }
            assert!(
                Instant::now() < due,
                "no answer: {}\n{}",
                words(&asked),
                fs::read_to_string(self.folder.path("log")).unwrap_or_default()
            );
            sleep(Duration::from_millis(50));
        }
    }

    /// The pid of the process that all others of the server are children of.
    pub fn pid(&self) -> i32 {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).expect("it runs");
        let line = text.lines().next().expect("a line");
        line.parse().expect("a pid")
    }

    /// kill -9, and waits until it has gone with all its children.
    pub fn kill(&self) {
        signal(self.pid(), libc::SIGKILL);
        let mut running = self.running.lock().expect("no panic");
        let mut shell = running.take().expect("it ran");
        drop(shell.stdin.take());
        shell.wait().expect("gone");
    }

    /// Sends a signal to all processes of the server.
    pub fn signal_all(&self, number: i32) {
        let of = self.pid();
        let children = Command::new("ps")
            .args(["-o", "pid=", "--ppid", &of.to_string()])
            .output()
            .expect("ps");
        signal(of, number);
        for child in String::from_utf8_lossy(&children.stdout).split_whitespace() {
            signal(child.parse().expect("a pid"), number);
        }
    }

    /// Runs SQL in a database.
    pub fn psql(&self, database: &str, sql: &str) -> Output {
        let mut psql = self.command("psql");
        psql.arg("--host")
            .arg(self.folder.path(""))
            .args(["--port", &self.port.to_string()])
            .args([
                "--username=seawall",
                "--no-psqlrc",
                "--tuples-only",
                "--no-align",
            ])
            .args([
                "--set=ON_ERROR_STOP=1",
                "--dbname",
                database,
                "--command",
                sql,
            ])
            .stdin(Stdio::null());
        psql.output().expect("psql runs")
    }

    /// Runs SQL that goes well; what it says.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let done = self.psql(database, sql);
        assert!(done.status.success(), "{sql}: {}", words(&done));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// A new, empty database: its name and its address.
    pub fn database(&self) -> (String, String) {
        let mut databases = self.databases.lock().expect("no panic");
        *databases += 1;
        let name = format!("edge{databases}");
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        let url = self.url(&name);
        (name, url)
    }

    /// The address of a database.
    pub fn url(&self, name: &str) -> String {
        let host = self.folder.path("").display().to_string();
        let host = host.trim_end_matches('/').replace('/', "%2F");
        format!("postgres://seawall@{host}:{}/{name}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Ok(running) = self.running.get_mut() else {
            return;
        };
        if let Some(mut shell) = running.take() {
            // One that was stopped hears nothing else.
            if Path::new(&self.folder.path("data/postmaster.pid")).exists() {
                self.signal_all(libc::SIGCONT);
            }
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }
}

/// Sends a signal.
pub fn signal(pid: i32, number: i32) {
    // SAFETY: numbers.
    unsafe { libc::kill(pid, number) };
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Opens it, as soon as it can be reached.
pub fn open(url: &str) -> Postgres {
    let due = Instant::now() + STARTS;
    loop {
        match Postgres::open(url) {
            Ok(store) => return store,
            Err(StoreError::Io { .. }) if Instant::now() < due => sleep(Duration::from_millis(20)),
            Err(error) => panic!("{error}"),
        }
    }
}
