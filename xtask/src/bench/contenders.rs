//! Who is measured, and the yard they run in: origin, certificate, ports, configurations from templates.

use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::callgrind::Callgrind;
use super::host::{self, Cpus};
use super::million;
use super::process::{Process, cpu_time, run_tool};
use super::rows::{File, Row};
use super::templates::render;

/// The name under which every client asks.
pub const HOST: &str = "bench.test";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contender {
    Seawall,
    Nginx,
    Haproxy,
    /// nginx with libmodsecurity, which is asked the same rules.
    Modsecurity,
    /// We, with the rules of paranoia level 1: beside ourselves at level 4.
    SeawallAtOne,
    /// A cache and nothing else.
    Varnish,
    Relay,
    /// quinn and h3 alone.
    Quinn,
}

impl fmt::Display for Contender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Seawall => "seawall",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Modsecurity => "modsec",
            Self::SeawallAtOne => "at-pl1",
            Self::Varnish => "varnish",
            Self::Relay => "relay",
            Self::Quinn => "quinn",
        })
    }
}

/// What all contenders share: a temporary folder, a certificate, one origin.
pub struct Yard {
    pub cpus: Cpus,
    origin_port: u16,
    seawall: Option<PathBuf>,
    /// What a run with a million zones has shown: several rows are of one run.
    pub million: OnceLock<million::Measured>,
    _origin: Process,
    folder: TempDir,
}

impl Yard {
    pub fn open(cpus: Cpus, seawall: Option<PathBuf>, keep: bool) -> Result<Self> {
        let folder = temporary(keep)?;
        fs::create_dir_all(folder.path().join("www/kept"))?;
        for file in [
            File::OneKib,
            File::OneMib,
            File::KeptOneKib,
            File::KeptHundredKib,
        ] {
            let path = folder
                .path()
                .join("www")
                .join(file.path().trim_start_matches('/'));
            fs::write(path, vec![b'x'; file.bytes()])?;
        }
        make_certificate(folder.path(), cpus.load)?;

        let [origin_port] = free_ports()?;
        let values = [
            ("dir", folder.path().display().to_string()),
            ("origin", origin_port.to_string()),
        ];
        let configuration = render("origin.conf", &values, folder.path())?;
        let command = nginx(folder.path(), &configuration)?;
        let mut origin = Process::start(
            "origin",
            command,
            cpus.load,
            folder.path().join("origin.out"),
        )?;
        wait_for_port(origin_port, &mut origin, Duration::from_secs(10))?;
        Ok(Self {
            cpus,
            origin_port,
            seawall,
            million: OnceLock::new(),
            _origin: origin,
            folder,
        })
    }

    /// Ours first, when it is measured at all.
    pub fn contenders(&self, row: &Row) -> Vec<Contender> {
        let mut all = Vec::new();
        if row.has_peers() {
            all.extend([Contender::Nginx, Contender::Haproxy]);
        }
        all.extend(row.beside_rules());
        if row.kept().is_some() {
            all.push(Contender::Varnish);
        }
        if self.seawall.is_some() {
            all.insert(0, Contender::Seawall);
        }
        if row.with_relay() {
            all.push(Contender::Relay);
        }
        if row.with_quinn() {
            all.push(Contender::Quinn);
        }
        all
    }

    /// Our binary, when it is measured.
    pub fn binary(&self) -> Option<&Path> {
        self.seawall.as_deref()
    }

    /// Where the origin listens, on this machine.
    pub fn origin(&self) -> u16 {
        self.origin_port
    }

    /// For the output of tools.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// Starts one contender, waits until it serves, and checks what it serves.
    pub fn start(&self, who: Contender, under: Option<&Callgrind>) -> Result<Running> {
        self.start_with(who, under, "seawall.toml")
    }

    /// The same, where we are configured by another template.
    pub fn start_with(
        &self,
        who: Contender,
        under: Option<&Callgrind>,
        template: &str,
    ) -> Result<Running> {
        self.start_in(self.folder.path(), who, under, template, &[])
    }

    /// The same in a folder of its own, beside others of its kind, with some values otherwise.
    pub fn start_in(
        &self,
        dir: &Path,
        who: Contender,
        under: Option<&Callgrind>,
        template: &str,
        otherwise: &[(&'static str, String)],
    ) -> Result<Running> {
        let [http, https] = free_ports()?;
        let shared = self.folder.path();
        let mut values = otherwise.to_vec();
        values.extend([
            ("dir", dir.display().to_string()),
            ("http", http.to_string()),
            ("https", https.to_string()),
            ("origin", self.origin_port.to_string()),
            ("cert", shared.join("cert.pem").display().to_string()),
            ("key", shared.join("key.pem").display().to_string()),
            ("pem", shared.join("both.pem").display().to_string()),
            ("blocked", networks(198, 18)),
            ("allowed", networks(198, 51)),
            ("module", String::new()),
            ("rules", String::new()),
        ]);
        let data = dir.join("seawall-data");
        let command = match who {
            Contender::Nginx | Contender::Modsecurity => {
                nginx(dir, &render("nginx.conf", &values, dir)?)?
            }
            Contender::Haproxy => {
                let mut command =
                    Command::new(host::find_tool("haproxy").context("haproxy is missing")?);
                command
                    .arg("-db")
                    .arg("-f")
                    .arg(render("haproxy.cfg", &values, dir)?);
                command
            }
            Contender::Seawall | Contender::SeawallAtOne => {
                let binary = self
                    .seawall
                    .as_ref()
                    .context("without ours there is nothing to start")?;
                if data.exists() {
                    fs::remove_dir_all(&data)?;
                }
                let mut command = Command::new(binary);
                command
                    .arg("up")
                    .arg("--config")
                    .arg(render(template, &values, dir)?);
                command.arg("--data").arg(&data).args(["--workers", "1"]);
                command.args([
                    "--http",
                    &format!("127.0.0.1:{http}"),
                    "--https",
                    &format!("127.0.0.1:{https}"),
                ]);
                command.args([
                    "--admin",
                    "none",
                    "--dashboard",
                    "none",
                    "--status-page",
                    "none",
                ]);
                command
            }
            Contender::Varnish => {
                let mut command =
                    Command::new(host::find_tool("varnishd").context("varnishd is missing")?);
                command.args(["-F", "-n"]).arg(dir.join("varnish"));
                command.args(["-a", &format!("127.0.0.1:{http}"), "-s", "malloc,256m"]);
                command.args(["-b", &format!("127.0.0.1:{}", self.origin_port)]);
                // Two pools are for machines with more cores.
                command.args(["-p", "thread_pools=1"]);
                command
            }
            Contender::Relay => {
                let mut command = Command::new(std::env::current_exe()?);
                command
                    .args(["bench", "relay"])
                    .arg(format!("127.0.0.1:{http}"));
                command.arg(format!("127.0.0.1:{}", self.origin_port));
                command
            }
            Contender::Quinn => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["bench", "quinn", &format!("127.0.0.1:{https}")]);
                command.args([dir.join("cert.pem"), dir.join("key.pem")]);
                command.arg(format!("127.0.0.1:{}", self.origin_port));
                command
            }
        };
        let command = match under {
            Some(callgrind) => callgrind.wrap(&command)?,
            None => command,
        };
        let patience = Duration::from_secs(if under.is_some() { 60 } else { 10 });
        let output = dir.join(format!("{who}.out"));
        let process = Process::start(&who.to_string(), command, self.cpus.proxy, output)?;
        let own = process.pid();
        let mut running = Running {
            who,
            http,
            https,
            pids: vec![own],
            worker: own,
            process,
        };
        if who == Contender::Quinn {
            // It has no port that could be knocked at; the first load waits for it.
            return Ok(running);
        }
        wait_for_port(http, &mut running.process, patience)?;
        if matches!(who, Contender::Seawall | Contender::SeawallAtOne) {
            running.learn_processes(&data.join("up.json"), patience)?;
        }
        if who == Contender::Varnish {
            // Its cache is in a process of its own.
            running.pids.extend(children(own)?);
        }
        running.check().with_context(|| {
            format!(
                "{who} does not serve as it should:\n{}",
                running.process.printed()
            )
        })?;
        Ok(running)
    }

    /// Access logs of the peers grow by gigabytes otherwise; they append, so truncating is safe while they run.
    pub fn empty_logs(&self) {
        for log in [NGINX_LOG, HAPROXY_LOG] {
            if let Ok(log) = fs::OpenOptions::new()
                .write(true)
                .open(self.folder.path().join(log))
            {
                // A log that stays long costs disk only.
                let _ = log.set_len(0);
            }
        }
    }

    /// An error when a peer did not log about as many lines as it answered requests: it would be cheaper than it is.
    /// A buffer's worth may still be on its way.
    pub fn check_log(&self, who: Contender, requests: u64) -> Result<()> {
        let log = match who {
            Contender::Nginx => NGINX_LOG,
            Contender::Haproxy => HAPROXY_LOG,
            // Varnish logs into memory that others share, which no field is read of here; of ours there is no doubt.
            _ => return Ok(()),
        };
        let text = fs::read(self.folder.path().join(log))?;
        let lines = text.iter().filter(|&&byte| byte == b'\n').count() as u64;
        if lines + 400 < requests {
            bail!("{who} logged {lines} lines for {requests} requests");
        }
        Ok(())
    }
}

/// As the template of nginx says.
const NGINX_LOG: &str = "nginx-access.log";
/// Its standard output.
const HAPROXY_LOG: &str = "haproxy.out";

/// A contender that serves.
pub struct Running {
    pub who: Contender,
    pub http: u16,
    pub https: u16,
    /// The process that serves requests.
    pub worker: u32,
    /// Every process of the contender: what a helper process does for a request is part of its price.
    pub pids: Vec<u32>,
    process: Process,
}

impl Running {
    /// CPU time of all its processes so far.
    pub fn cpu_time(&mut self) -> Result<Duration> {
        self.process.still_runs()?;
        self.pids.iter().map(|&pid| cpu_time(pid)).sum()
    }

    pub fn secure_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.https))
    }

    /// Ends it; under callgrind this is when the counts are written.
    pub fn stop(mut self) -> Result<()> {
        self.process.stop(Duration::from_secs(30))?;
        Ok(())
    }

    /// `seawall up` writes its processes down once it serves.
    fn learn_processes(&mut self, up: &Path, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            self.process.still_runs()?;
            if let Some(state) = fs::read(up)
                .ok()
                .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            {
                (self.worker, self.pids) = processes(&state, self.process.pid());
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} was not written within {patience:?}", up.display());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// One request whose answer is looked at, so that nobody wins by answering something else.
    fn check(&self) -> Result<()> {
        let head = self.ask(File::OneKib)?;
        let edits: &[&str] = match self.who {
            Contender::Relay | Contender::Quinn => &[],
            Contender::Varnish => &["\r\nvia:"],
            Contender::Seawall | Contender::SeawallAtOne => &["\r\nseawall-ray:"],
            Contender::Nginx | Contender::Haproxy | Contender::Modsecurity => {
                &["\r\nx-request-id:", "\r\nvia:"]
            }
        };
        match edits.iter().find(|edit| !head.contains(**edit)) {
            Some(edit) => bail!("no {} in {head}", edit.trim()),
            None => Ok(()),
        }
    }

    /// Whether it answers by itself by now what caches may keep.
    pub fn check_kept(&self, file: File) -> Result<()> {
        let head = self.ask(file)?;
        let is_hit = match self.who {
            Contender::Seawall => head.contains("\r\ncache-status: seawall; hit"),
            Contender::Nginx | Contender::Haproxy => head.contains("\r\nx-cache: hit"),
            // The request's number, and that of the one that fetched it.
            Contender::Varnish => head
                .lines()
                .any(|line| line.starts_with("x-varnish: ") && line.split(' ').count() == 3),
            _ => false,
        };
        match is_hit {
            true => Ok(()),
            false => bail!("{} does not have {}: {head}", self.who, file.path()),
        }
    }

    /// The head of an answer, in lower case, where it is one with the file.
    fn ask(&self, file: File) -> Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.http))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let path = file.path();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            bail!("no response head in {text:?}");
        };
        let head = head.to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") || body.len() != file.bytes() {
            bail!("not a 200 with {} bytes: {head}", file.bytes());
        }
        Ok(head)
    }
}

/// The processes that a process has started.
fn children(pid: u32) -> Result<Vec<u32>> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(listed
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect())
}

/// The worker, and all processes, from what `up.json` says; `own` is the child that we started.
pub fn processes(state: &serde_json::Value, own: u32) -> (u32, Vec<u32>) {
    let mut all = vec![own];
    let named = state.get("pids").and_then(serde_json::Value::as_object);
    let number = |value: &serde_json::Value| value.as_u64().and_then(|pid| u32::try_from(pid).ok());
    all.extend(
        named
            .into_iter()
            .flatten()
            .filter_map(|(_, value)| number(value)),
    );
    all.sort_unstable();
    all.dedup();
    let worker = named.and_then(|pids| pids.get("worker")).and_then(number);
    (worker.unwrap_or(own), all)
}

fn nginx(dir: &Path, configuration: &Path) -> Result<Command> {
    let mut command = Command::new(host::find_tool("nginx").context("nginx is missing")?);
    command
        .args(["-e", "stderr", "-p"])
        .arg(dir)
        .arg("-c")
        .arg(configuration);
    Ok(command)
}

/// A P-256 certificate, the same for everybody.
fn make_certificate(dir: &Path, cpu: usize) -> Result<()> {
    let mut command = Command::new("openssl");
    command.current_dir(dir);
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "30",
    ]);
    command.args([
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
        "-subj",
        &format!("/CN={HOST}"),
    ]);
    command.args([
        "-addext",
        &format!("subjectAltName=DNS:{HOST},DNS:localhost,IP:127.0.0.1"),
    ]);
    run_tool("openssl", command, cpu, Duration::from_secs(20), dir)?;
    let mut both = fs::read(dir.join("cert.pem"))?;
    both.extend(fs::read(dir.join("key.pem"))?);
    fs::write(dir.join("both.pem"), both)?;
    Ok(())
}

/// A thousand networks that nobody here comes from, as a list of a document.
fn networks(first: u8, second: u8) -> String {
    let all = (0..1_000_u16).map(|nth| {
        let [high, low] = nth.to_be_bytes();
        format!("\"{first}.{}.{low}.0/25\"", second + 2 * high)
    });
    all.collect::<Vec<_>>().join(", ")
}

/// Ports that were free a moment ago: the peers cannot say which one they were given.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

fn wait_for_port(port: u16, process: &mut Process, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        process.still_runs()?;
        host::stop_when_interrupted()?;
        if Instant::now() > deadline {
            bail!(
                "nothing listens on port {port} after {patience:?}:\n{}",
                process.printed()
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A temporary folder, removed when dropped unless it is to be kept. Peers that give up being root read in it.
fn temporary(keep: bool) -> Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("seawall-bench-")
        .permissions(fs::Permissions::from_mode(0o755))
        .disable_cleanup(keep)
        .tempdir()?;
    if keep {
        eprintln!("bench: keeps {}", folder.path().display());
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_one_and_of_many() {
        let one =
            serde_json::json!({"http": "127.0.0.1:1", "pids": {"supervisor": 7, "worker": 7}});
        assert_eq!(processes(&one, 7), (7, vec![7]));
        let many = serde_json::json!({"pids": {"supervisor": 7, "worker": 9, "agent": 8, "control": null}});
        assert_eq!(processes(&many, 7), (9, vec![7, 8, 9]));
        assert_eq!(processes(&serde_json::json!({}), 7), (7, vec![7]));
    }
}
