//! `seawall status`: what runs on a data folder, which versions, and what is degraded.
//!
//! The supervisor tells of processes, the worker's admin port of what it serves; either may be missing, which is told too.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cli;
use crate::data::Data;
use crate::message::{Reply, Request};
use crate::say::say;
use crate::wire::Wire;

/// How long anybody may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// As much as is read of the state.
const MOST: u64 = 64 << 20;
/// Degraded for these reasons, beside what the worker says.
const NO_SUPERVISOR: &str = "no_supervisor";

/// What is known.
struct Known {
    supervisor: Option<Value>,
    state: Option<Value>,
}

/// Asks, and tells. The code is 0 when all is well, 1 when degraded, 2 when down.
///
/// # Errors
/// When there is no such folder.
pub fn run(flags: &cli::Status) -> Result<ExitCode> {
    if !flags.data.is_dir() {
        anyhow::bail!(
            "there is no data folder {} (name it with --data)",
            flags.data.display()
        );
    }
    let data = Data::at(&flags.data)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let supervisor = runtime.block_on(ask(&data));
    let admin = admin_address(&data, supervisor.as_ref());
    let known = Known {
        state: admin.and_then(state),
        supervisor,
    };
    let degraded = known.degraded();
    let code = if !known.serves() {
        2
    } else {
        u8::from(!degraded.is_empty())
    };
    if flags.json {
        let word = ["ok", "degraded", "down"][usize::from(code)];
        let all = json!({
            "status": word,
            "degraded": degraded,
            "edge": known.supervisor,
            "state": known.state,
        });
        say(format_args!("{all:#}"));
    } else {
        say(known.text(&degraded).trim_end());
    }
    Ok(ExitCode::from(code))
}

async fn ask(data: &Data) -> Option<Value> {
    let wire = Wire::connect(&data.path("edge.sock")).ok()?;
    wire.say(&Request::Status, &[]).ok()?;
    loop {
        let heard = tokio::time::timeout(PATIENCE, wire.hear::<Reply>()).await;
        match heard.ok()?.ok()?? {
            (Reply::Status(status), _) => return Some(status),
            _ => {}
        }
    }
}

fn admin_address(data: &Data, supervisor: Option<&Value>) -> Option<SocketAddr> {
    let written = || {
        let text = std::fs::read(data.path("up.json")).ok()?;
        serde_json::from_slice::<Value>(&text).ok()
    };
    let up = supervisor.map_or_else(written, |known| Some(known["up"].clone()))?;
    up["admin"].as_str()?.parse().ok()
}

/// What the worker tells on its admin port.
fn state(admin: SocketAddr) -> Option<Value> {
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET /state HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).ok()?;
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    serde_json::from_slice(answer.get(body..)?).ok()
}

impl Known {
    fn serves(&self) -> bool {
        let says = |known: &Value| known["serves"].is_string();
        self.state.is_some() || self.supervisor.as_ref().is_some_and(says)
    }

    fn degraded(&self) -> Vec<String> {
        let mut degraded = Vec::new();
        match &self.supervisor {
            None => degraded.push(NO_SUPERVISOR.to_owned()),
            Some(known) => {
                let zones = known["quarantined"].as_array().map_or(0, Vec::len);
                if zones > 0 || known["platform_quarantined"] == true {
                    degraded.push("quarantined".into());
                }
                if known["up"]["pids"]["agent"].is_null() {
                    degraded.push("no_agent".into());
                }
            }
        }
        match &self.state {
            None => degraded.push("no_admin_port".into()),
            Some(state) => {
                let words = state["degraded"].as_array().into_iter().flatten();
                degraded.extend(words.filter_map(Value::as_str).map(str::to_owned));
            }
        }
        degraded
    }

    fn text(&self, degraded: &[String]) -> String {
        let mut text = String::new();
        // Writing to a text does not fail.
        let mut line = |name: &str, what: &str| {
            let _ = writeln!(text, "  {name:<11} {what}");
        };
        if let Some(known) = &self.supervisor {
            let pids = &known["up"]["pids"];
            line("supervisor", &format!("pid {}, for {}", pids["supervisor"], age(&known["uptime_s"])));
            for worker in known["workers"].as_array().into_iter().flatten() {
                let mib = worker["memory_bytes"].as_u64().unwrap_or(0) >> 20;
                line(
                    "worker",
                    &format!(
                        "pid {}, {}, the {}. of this folder, {} thread(s), {mib} MiB",
                        worker["pid"],
                        worker["phase"].as_str().unwrap_or_default(),
                        worker["generation"],
                        worker["threads"]
                    ),
                );
            }
            if !pids["agent"].is_null() {
                line("agent", &format!("pid {}", pids["agent"]));
            }
            line("restarts", &known["restarts"].to_string());
            for key in ["http", "https", "admin"] {
                if let Some(address) = known["up"][key].as_str() {
                    line(key, address);
                }
            }
            for zone in known["quarantined"].as_array().into_iter().flatten() {
                line("quarantine", &quarantined(zone));
            }
        } else {
            line("supervisor", "none: what serves serves on, and `seawall up` starts another");
        }
        if let Some(state) = &self.state {
            line(
                "version",
                &format!(
                    "{}, live for {}, {} zone(s)",
                    state["version"].as_str().unwrap_or_default(),
                    age(&state["config_age_s"]),
                    state["zones_total"]
                ),
            );
        }
        let what = if degraded.is_empty() { "nothing".into() } else { degraded.join(", ") };
        line("degraded", &what);
        let served = self.supervisor.as_ref().and_then(|known| known["serves"].as_str());
        let head = match (self.serves(), served) {
            (false, _) => "Seawall does not serve here (start it with `seawall up`)".to_owned(),
            (true, Some(what)) => format!("Seawall {} serves {what}", self.version()),
            (true, None) => "Seawall serves".to_owned(),
        };
        format!("{head}\n{text}")
    }

    fn version(&self) -> &str {
        let known = self.supervisor.as_ref();
        known.and_then(|known| known["version"].as_str()).unwrap_or_default()
    }
}

fn quarantined(zone: &Value) -> String {
    let becomes = if zone["served"] == true {
        "served as it was last good, or without optional stages"
    } else {
        "not served"
    };
    format!(
        "zone {}, version {}: {becomes}",
        zone["zone"].as_str().unwrap_or_default(),
        zone["version"].as_str().unwrap_or_default()
    )
}

fn age(seconds: &Value) -> String {
    match seconds.as_u64().unwrap_or(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
