//! One edge of the bed.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{COMES_UP, Setting, bare};
use crate::error::Void;
use crate::http;
use crate::permit::Permit;

/// How long its admin port may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// An edge that runs, or did.
pub struct Edge {
    /// Its location.
    pub name: &'static str,
    /// Its data folder.
    pub data: PathBuf,
    /// Where it serves.
    pub http: Cell<SocketAddr>,
    /// Its admin port.
    pub admin: Cell<SocketAddr>,
    log: PathBuf,
    child: RefCell<Option<Child>>,
    /// The program, where it is not that of all.
    pub program: Option<PathBuf>,
}

impl Edge {
    pub(super) fn new(folder: &Path, name: &'static str) -> Self {
        let none = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            name,
            data: folder.join(name),
            http: Cell::new(none),
            admin: Cell::new(none),
            log: folder.join(format!("{name}.log")),
            child: RefCell::new(None),
            program: None,
        }
    }

    pub(super) fn spawn(
        &self,
        setting: &Setting,
        permit: &Permit,
        more: &[&str],
    ) -> Result<(), Void> {
        let _ = fs::remove_file(self.data.join("up.json"));
        let mut own = setting.clone();
        if let Some(program) = &self.program {
            own.program.clone_from(program);
        }
        let mut command = bare(&own);
        command.arg("edge").arg("--data").arg(&self.data);
        // Once it has a port it keeps it.
        command.args(["--http", &self.http.get().to_string()]);
        command.args(["--admin", &self.admin.get().to_string()]);
        command
            .args(["--https", "none", "--workers", "1"])
            .args(["--speed", &setting.speed.to_string()])
            .args(more);
        let log = File::options().create(true).append(true).open(&self.log);
        let out = log.map_err(Void::at("an edge's log"))?;
        let err = out.try_clone().map_err(Void::at("an edge's log"))?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        permit.give(&mut command);
        let child = command.process_group(0).spawn();
        *self.child.borrow_mut() = Some(child.map_err(Void::at(self.name))?);
        Ok(())
    }

    pub(super) async fn comes_up(&self) -> Result<(), Void> {
        let due = Instant::now() + COMES_UP;
        loop {
            let up = self.up();
            let address = |name: &str| -> Option<SocketAddr> {
                let value = up.get(name)?;
                let text = value.as_str().or_else(|| value.get(0)?.as_str())?;
                text.parse().ok()
            };
            if let (Some(http), Some(admin)) = (address("http"), address("admin")) {
                self.http.set(http);
                self.admin.set(admin);
                return Ok(());
            }
            let ended = self.child.borrow_mut().as_mut().map(Child::try_wait);
            if !matches!(ended, Some(Ok(None))) || Instant::now() > due {
                return Err(Void::Bed(format!("{}: {}", self.name, self.said())));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// All that it has printed.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn up(&self) -> Value {
        let text = fs::read(self.data.join("up.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// The pid of one of its roles: supervisor, worker, agent.
    pub fn pid(&self, role: &str) -> Option<i32> {
        let pid = self.up().pointer(&format!("/pids/{role}"))?.as_i64()?;
        i32::try_from(pid).ok()
    }

    /// Sends a signal to one of its roles. Whether it was there.
    pub fn signal(&self, role: &str, signal: i32) -> bool {
        match self.pid(role) {
            // SAFETY: numbers; the pid is one that the edge has just told.
            Some(pid) => unsafe { libc::kill(pid, signal) == 0 },
            None => false,
        }
    }

    /// SIGKILL to all of it.
    pub fn strike(&self) {
        let pids: Vec<i32> = ["supervisor", "worker", "agent"]
            .iter()
            .filter_map(|role| self.pid(role))
            .collect();
        // The one who would start others first.
        if let Some(mut child) = self.child.borrow_mut().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        for pid in pids {
            // SAFETY: numbers.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }

    /// What it tells of itself.
    pub async fn state(admin: SocketAddr) -> Value {
        let request = format!("GET /state HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        match http::ask(admin, None, request.as_bytes(), PATIENCE).await {
            Ok(answer) => serde_json::from_slice(&answer.body).unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // Whoever is not waited for stays in the table of processes. What it started is not ours to wait for: the guardian ends it.
        if let Some(mut child) = self.child.borrow_mut().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn whoever_ends_with_a_bed_is_not_left_in_the_table_of_processes() {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let entry = PathBuf::from(format!("/proc/{}", child.id()));
        assert!(entry.exists());
        let edge = Edge::new(Path::new("/nowhere"), "test-1");
        *edge.child.borrow_mut() = Some(child);
        drop(edge);
        assert!(!entry.exists(), "dead, and not waited for");
    }
}
