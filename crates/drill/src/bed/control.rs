//! Control of the bed.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use super::{COMES_UP, Setting, bare};
use crate::api::Api;
use crate::error::Void;

/// A control that runs, or did.
pub struct Control {
    child: RefCell<Option<Child>>,
    folder: PathBuf,
    api: RefCell<Api>,
    /// Where it listens for edges.
    pub edges: Cell<SocketAddr>,
    /// How many were started.
    nth: Cell<u32>,
}

impl Control {
    pub(super) async fn start(folder: &Path, setting: &Setting) -> Result<Self, Void> {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let control = Self {
            child: RefCell::new(None),
            folder: folder.to_owned(),
            api: RefCell::new(Api {
                address: free,
                token: String::new(),
            }),
            edges: Cell::new(free),
            nth: Cell::new(0),
        };
        control.again(setting).await?;
        Ok(control)
    }

    /// Its API.
    pub fn api(&self) -> Api {
        self.api.borrow().clone()
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("control")
    }

    /// The pid, while it runs.
    pub fn pid(&self) -> Option<i32> {
        i32::try_from(self.child.borrow().as_ref()?.id()).ok()
    }

    /// SIGKILL.
    pub fn kill(&self) {
        if let Some(mut child) = self.child.borrow_mut().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts another one on the same folder and the same ports.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn again(&self, setting: &Setting) -> Result<(), Void> {
        self.nth.set(self.nth.get() + 1);
        let log = self.folder.join(format!("control-{}.log", self.nth.get()));
        self.spawn(setting, &log)?;
        let due = Instant::now() + COMES_UP;
        loop {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let after = |words: &str| -> Option<SocketAddr> {
                let (_, rest) = said.split_once(words)?;
                let end = rest.find(|one: char| one.is_whitespace() || one == '/')?;
                rest.get(..end)?.parse().ok()
            };
            if let (Some(edges), Some(api)) = (
                after("listens for locations on "),
                after("api        http://"),
            ) {
                self.edges.set(edges);
                let token = fs::read_to_string(self.data().join("admin.token"));
                let token = token.map_err(Void::at("control's first token"))?;
                *self.api.borrow_mut() = Api {
                    address: api,
                    token: token.trim().to_owned(),
                };
                return Ok(());
            }
            let ended = self.child.borrow_mut().as_mut().map(Child::try_wait);
            if !matches!(ended, Some(Ok(None))) || Instant::now() > due {
                return Err(Void::Bed(format!("control does not answer: {said}")));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Starts it, and does not wait.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, setting: &Setting, log: &Path) -> Result<(), Void> {
        let mut command = bare(setting);
        command.arg("control").arg("--data").arg(self.data());
        command
            .arg("--config")
            .arg(self.folder.join("bed.toml"))
            .args(["--edges", &self.edges.get().to_string()])
            .args(["--dashboard", &self.api.borrow().address.to_string()])
            .args(["--speed", &setting.speed.to_string()]);
        let out = File::create(log).map_err(Void::at("control's log"))?;
        let err = out.try_clone().map_err(Void::at("control's log"))?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let child = command.process_group(0).spawn();
        *self.child.borrow_mut() = Some(child.map_err(Void::at("control"))?);
        Ok(())
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Whoever is not waited for stays in the table of processes.
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn whoever_ends_with_a_bed_is_not_left_in_the_table_of_processes() {
        let none = SocketAddr::from(([127, 0, 0, 1], 0));
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let entry = PathBuf::from(format!("/proc/{}", child.id()));
        assert!(entry.exists());
        let control = Control {
            child: RefCell::new(Some(child)),
            folder: PathBuf::new(),
            api: RefCell::new(Api {
                address: none,
                token: String::new(),
            }),
            edges: Cell::new(none),
            nth: Cell::new(0),
        };
        drop(control);
        assert!(!entry.exists(), "dead, and not waited for");
    }
}
