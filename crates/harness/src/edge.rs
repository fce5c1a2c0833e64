//! The real binary as a child process: started, found by its `up.json`, read by its access log and admin port, stopped by
//! its own pid.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::answer::Answer;
use crate::client::{Connection, Target};
use crate::patience::{patience, until, within};
use crate::temp::TempFolder;

/// One record of the access log.
pub type Record = serde_json::Map<String, Value>;

/// A running edge. Dropping it kills the process, then all others that run on its folder, and removes that.
#[derive(Debug)]
pub struct Edge {
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub admin: SocketAddr,
    /// `up.json` as it stands.
    pub up: Value,
    pid: u32,
    /// Killed on drop.
    child: tokio::sync::Mutex<Child>,
    /// After it: what it has started is ended with the folder.
    folder: TempFolder,
}

/// How an edge that does not serve has ended.
#[derive(Debug)]
pub struct Refused {
    pub code: Option<i32>,
    pub log: String,
}

impl Edge {
    /// The binary under test: `SEAWALL_BIN`, else what the caller names.
    pub fn binary(given: &Path) -> PathBuf {
        std::env::var_os("SEAWALL_BIN").map_or_else(|| given.to_owned(), PathBuf::from)
    }

    /// Starts `seawall edge` with this configuration and waits until it serves.
    pub async fn start(
        binary: &Path,
        config: &str,
        folder: TempFolder,
        more: &[String],
    ) -> Result<Self> {
        match Self::try_start(binary, config, folder, more).await? {
            Ok(edge) => Ok(edge),
            Err(refused) => bail!(
                "the edge ended with {:?} before it served:\n{}",
                refused.code,
                refused.log
            ),
        }
    }

    /// The same, but an edge that ends instead of serving is an answer too.
    pub async fn try_start(
        binary: &Path,
        config: &str,
        folder: TempFolder,
        more: &[String],
    ) -> Result<Result<Self, Refused>> {
        let file = folder.write("seawall.toml", config)?;
        let log = std::fs::File::create(folder.path().join("edge.log"))?;
        let flag = |name: &str| more.iter().any(|given| given == name);
        let mut command = Command::new(Self::binary(binary));
        command
            .arg("edge")
            .arg("--config")
            .arg(&file)
            .arg("--data")
            .arg(folder.path().join("data"));
        for (name, value) in [
            ("--http", "127.0.0.1:0"),
            ("--https", "127.0.0.1:0"),
            ("--admin", "127.0.0.1:0"),
            ("--dashboard", "none"),
            ("--status-page", "none"),
            ("--workers", "1"),
        ] {
            if !flag(name) {
                command.args([name, value]);
            }
        }
        command.args(more);
        // A variable of the caller's surroundings must not mirror a flag into the edge under test.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SEAWALL_"))
        {
            command.env_remove(name);
        }
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let up_file = folder.path().join("data/up.json");
        let start = std::time::Instant::now();
        let up = loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Err(Refused {
                    code: status.code(),
                    log: read_lossy(&folder.path().join("edge.log")),
                }));
            }
            let written = std::fs::read(&up_file)
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            if let Some(up) = written {
                break up;
            }
            if start.elapsed() > patience() {
                let log = read_lossy(&folder.path().join("edge.log"));
                bail!("no {} after {:?}:\n{log}", up_file.display(), patience());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let address = |name: &str| -> Result<SocketAddr> {
            let text = up
                .get(name)
                .and_then(Value::as_str)
                .with_context(|| format!("no {name} in up.json: {up}"))?;
            text.parse()
                .with_context(|| format!("{name} in up.json is {text:?}"))
        };
        let (http, https, admin) = (address("http")?, address("https")?, address("admin")?);
        let pid = child.id().context("the edge has ended")?;
        Ok(Ok(Self {
            http,
            https,
            admin,
            up,
            pid,
            child: child.into(),
            folder,
        }))
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the edge has written to its output and error streams.
    pub fn log(&self) -> String {
        read_lossy(&self.folder.path().join("edge.log"))
    }

    /// The pid of a role, by `up.json`.
    pub fn role_pid(&self, role: &str) -> Option<u64> {
        self.up
            .pointer(&format!("/pids/{role}"))
            .and_then(Value::as_u64)
    }

    /// The records written so far; a line that is being written is left out.
    pub fn records(&self) -> Vec<Record> {
        let text = read_lossy(&self.data().join("access.log"));
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Waits for the record of a request.
    pub async fn record(&self, ray: &str) -> Result<Record> {
        let of_ray = |record: &Record| record.get("ray").and_then(Value::as_str) == Some(ray);
        until(&format!("the record of ray {ray}"), || {
            self.records().into_iter().find(of_ray)
        })
        .await
    }

    /// `GET` on the admin port.
    pub async fn admin(&self, path: &str) -> Result<Answer> {
        let target = Target {
            address: self.admin,
            tls: None,
        };
        let mut connection = Connection::open(&target).await?;
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.admin
        );
        let answer = connection.exchange("GET", head.as_bytes()).await?;
        answer.with_context(|| format!("the admin port closed without an answer to {path}"))
    }

    /// Writes a new configuration and tells the edge to read it. Sent by the `kill` of the shell's own folder, for the
    /// standard library has no signals.
    pub async fn reload(&self, config: &str) -> Result<()> {
        self.folder.write("seawall.toml", config)?;
        self.signal("HUP").await
    }

    pub async fn signal(&self, name: &str) -> Result<()> {
        ensure!(self.runs().await, "the edge has ended");
        let pid = self.pid;
        let status = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -{name} {pid}"))
            .status()
            .await?;
        ensure!(status.success(), "kill -{name} {pid} failed");
        Ok(())
    }

    /// Waits for the process to end by itself; its exit code.
    pub async fn ended(&self) -> Result<Option<i32>> {
        let mut child = self.child.lock().await;
        Ok(within("the edge to end", child.wait()).await??.code())
    }

    /// Whether it still runs.
    pub async fn runs(&self) -> bool {
        matches!(self.child.lock().await.try_wait(), Ok(None))
    }

    /// Resident memory of the worker that serves now, in KiB (`VmRSS`).
    pub fn memory_kib(&self) -> Result<u64> {
        let up: Value = serde_json::from_slice(&std::fs::read(self.data().join("up.json"))?)?;
        let pid = up
            .pointer("/pids/worker")
            .and_then(Value::as_u64)
            .context("no worker in up.json")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        line.trim().trim_end_matches(" kB").parse().context("VmRSS")
    }
}

/// The sum of a metric's series whose labels contain each `name="value"` given in braces; `None` when there is none.
/// `seawall_requests_total{zone="a.test"}` is such a selector.
pub fn metric(text: &str, selector: &str) -> Option<f64> {
    let (name, labels) = selector.split_once('{').unwrap_or((selector, ""));
    let wanted: Vec<&str> = labels
        .trim_end_matches('}')
        .split(',')
        .filter(|label| !label.is_empty())
        .collect();
    let mut sum = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let (series_name, series_labels) = series.split_once('{').unwrap_or((series, ""));
        let fits = series_name == name
            && wanted
                .iter()
                .all(|label| series_labels.contains(label.trim()));
        if let (true, Ok(value)) = (fits, value.parse::<f64>()) {
            sum = Some(sum.unwrap_or(0.0) + value);
        }
    }
    sum
}

fn read_lossy(path: &Path) -> String {
    std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stand-in that writes `up.json` as the real one does.
    fn stand_in(folder: &TempFolder, script: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = folder
            .write("stand-in", format!("#!/bin/sh\n{script}\n"))
            .unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn an_edge_is_found_by_its_up_json() {
        let tools = TempFolder::new().unwrap();
        let binary = stand_in(
            &tools,
            r#"test "$4" = --data || exit 9
mkdir -p "$5"
printf '{"ray":"a","status":200}\n{"ray":"b","sta' > "$5/access.log"
printf '{"http":"127.0.0.1:1","https":"127.0.0.1:2","admin":"127.0.0.1:3","pids":{"worker":7}}' > "$5/up.json"
echo serving; exec sleep 60"#,
        );
        let edge = Edge::start(&binary, "schema = 1\n", TempFolder::new().unwrap(), &[])
            .await
            .unwrap();
        assert_eq!(
            (edge.http.port(), edge.https.port(), edge.admin.port()),
            (1, 2, 3)
        );
        assert_eq!(edge.role_pid("worker"), Some(7));
        assert_eq!(edge.records().len(), 1);
        assert_eq!(edge.record("a").await.unwrap()["status"], 200);
        assert_eq!(edge.log(), "serving\n");
        assert!(edge.runs().await);
        edge.signal("TERM").await.unwrap();
        assert_eq!(edge.ended().await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_edge_that_ends_says_why() {
        let tools = TempFolder::new().unwrap();
        let binary = stand_in(&tools, "echo no port left; exit 3");
        let refused = Edge::try_start(&binary, "", TempFolder::new().unwrap(), &[])
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(
            (refused.code, refused.log.as_str()),
            (Some(3), "no port left\n")
        );
    }

    #[test]
    fn metrics_are_summed_by_labels() {
        let text = "# HELP x\nx{a=\"1\",b=\"2\"} 3\nx{a=\"1\",b=\"4\"} 4\nx{a=\"2\"} 5\nxy 6\n";
        assert_eq!(metric(text, "x{a=\"1\"}"), Some(7.0));
        assert_eq!(metric(text, "x"), Some(12.0));
        assert_eq!(metric(text, "xy"), Some(6.0));
        assert_eq!(metric(text, "z"), None);
    }
}
