//! `seawall status`: what runs on a data folder, which versions, and what is degraded.
//!
//! The supervisor tells of processes, the worker's admin port of what it serves; either may be missing, which is told too.

mod locations;

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cli;
use crate::control::asks::Status;
use crate::data::Data;
use crate::distribution::joining::Identity;
use crate::message::{Reply, Request};
use crate::say::{complain, say};
use crate::supervisor::process::is_stopped;
use crate::wire::Wire;
use locations::Locations;

/// How long anybody may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Control is started once the edge serves, and may take so long, in seconds.
const BEGINS: u64 = 5;
/// As much as is read of the state.
const MOST: u64 = 64 << 20;
/// Alarms of certificates that are told in words.
const ALARMS: usize = 5;
/// Degraded for these reasons, beside what the worker says.
const NO_SUPERVISOR: &str = "no_supervisor";
/// Where the supervisor says what limit of memory is too low for what is served, in bytes.
const TOO_LOW: &str = "/memory_limit_too_low";

/// Why the supervisor tells nothing.
enum Unheard {
    /// There is none.
    None,
    /// We may not ask it.
    Denied,
    /// Somebody has stopped it.
    Stopped(i32),
    /// It does not answer.
    Silent(i32),
}

/// What is known.
struct Known {
    supervisor: Option<Value>,
    /// Why that is not known.
    unheard: Unheard,
    state: Option<Value>,
    control: Option<Value>,
    /// Control is elsewhere.
    joined: bool,
}

/// Asks, and tells. The code is 0 when all is well, 1 when degraded, 2 when down.
///
/// # Errors
/// When there is no such folder.
pub fn run(flags: &cli::Status) -> Result<ExitCode> {
    if flags.at.api.is_some() {
        return there(flags);
    }
    let denied = std::fs::metadata(&flags.at.data)
        .is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    if denied {
        return Err(not_ours(&flags.at.data));
    }
    if !flags.at.data.is_dir() {
        anyhow::bail!(
            "there is no data folder {} (name it with --data)",
            flags.at.data.display()
        );
    }
    let data = Data::at(&flags.at.data)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (supervisor, unheard) = match runtime.block_on(ask(&data)) {
        Ok(known) => (Some(known), Unheard::None),
        Err(unheard) => (None, unheard),
    };
    let admin = admin_address(&data, supervisor.as_ref());
    let known = Known {
        state: admin.and_then(state),
        control: crate::ask::status(&flags.at.data),
        joined: Identity::is_kept(&data),
        supervisor,
        unheard,
    };
    if matches!(known.unheard, Unheard::Denied) && known.state.is_none() {
        return Err(not_ours(&flags.at.data));
    }
    if known.is_control_alone(&data) {
        return alone(flags, known.control.as_ref());
    }
    let degraded = known.degraded();
    let code = if !known.serves() {
        2
    } else {
        u8::from(!degraded.is_empty())
    };
    if flags.json {
        let word = match code {
            0 => "ok",
            1 => "degraded",
            _ => "down",
        };
        let all = json!({
            "status": word,
            "degraded": degraded,
            "edge": known.edge(),
            "state": known.state,
            "control": known.control,
        });
        say(format_args!("{all:#}"));
    } else {
        say(known.text(&degraded).trim_end());
    }
    Ok(ExitCode::from(code))
}

/// What a control elsewhere tells: of it alone, for nobody there tells of processes. The code is 0, 1 when no location is
/// connected, 2 when nobody answers.
fn there(flags: &cli::Status) -> Result<ExitCode> {
    let status = match crate::ask::status_there(&flags.at) {
        Ok(status) => status,
        Err(error) => {
            complain(format_args!("{error:#}"));
            return Ok(ExitCode::from(2));
        }
    };
    let known = serde_json::to_value(&status)?;
    keeps(flags, &status, &known)
}

/// What ails a control, in words.
fn ails(control: &Value) -> impl Iterator<Item = &'static str> {
    let all = [
        ("/left_out", "file"),
        ("/published/problem", "not_published"),
        ("/bucket/why", "bucket_behind"),
    ];
    let is_told = |what: &str| control.pointer(what).is_some_and(Value::is_string);
    all.into_iter()
        .filter_map(move |(what, word)| is_told(what).then_some(word))
        .chain(Locations::of(control).words())
}

/// The same of a control that runs here and without an edge (`seawall control`).
fn alone(flags: &cli::Status, control: Option<&Value>) -> Result<ExitCode> {
    let control = control.cloned().unwrap_or_default();
    if let Some(trouble) = text(&control, "/trouble") {
        if flags.json {
            say(format_args!("{:#}", json!({ "control": control })));
        } else {
            complain(trouble);
        }
        return Ok(ExitCode::FAILURE);
    }
    keeps(flags, &serde_json::from_value(control.clone())?, &control)
}

fn keeps(flags: &cli::Status, status: &Status, known: &Value) -> Result<ExitCode> {
    let degraded: Vec<&str> = ails(known).collect();
    if flags.json {
        say(format_args!(
            "{:#}",
            json!({ "degraded": degraded, "control": status })
        ));
    } else {
        let locations = match status.locations.as_slice() {
            [] => "none".to_owned(),
            some => {
                let names = some.iter().map(|place| place.name.as_str());
                names.collect::<Vec<_>>().join(", ")
            }
        };
        say(format_args!(
            "Seawall {} keeps {} chain(s)\n  rollouts    {} on their way\n  locations   {locations}\n  log         {} entries",
            status.version,
            status.chains,
            status.rollouts.len(),
            status.log
        ));
        for told in Locations::of(known).lines() {
            say(format_args!("  locations   {told}"));
        }
    }
    if !flags.json && !degraded.is_empty() {
        say(format_args!("  degraded    {}", degraded.join(", ")));
    }
    let is_well = degraded.is_empty() && !status.locations.is_empty();
    Ok(ExitCode::from(u8::from(!is_well)))
}

/// Whoever asks may not look into the data folder.
pub fn not_ours(folder: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "permission denied: what runs on {} is told to its own user and to root (try it with sudo)",
        folder.display()
    )
}

async fn ask(data: &Data) -> Result<Value, Unheard> {
    let wire = match Wire::connect(&data.path("edge.sock")) {
        Ok(wire) => wire,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(Unheard::Denied),
        Err(_) => {
            // One that was stopped may have no room for who asks.
            let stopped = data.holder("edge").filter(|pid| is_stopped(*pid));
            return Err(stopped.map_or(Unheard::None, Unheard::Stopped));
        }
    };
    let pid = wire.peer().map_or(0, |peer| peer.pid);
    let answer = async {
        wire.say(&Request::Status, &[]).ok()?;
        loop {
            if let (Reply::Status(status), _) = wire.hear::<Reply>().await.ok()?? {
                return Some(status);
            }
        }
    };
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Some(status)) => Ok(status),
        // It went while it was asked.
        Ok(None) => Err(Unheard::None),
        Err(_) if is_stopped(pid) => Err(Unheard::Stopped(pid)),
        Err(_) => Err(Unheard::Silent(pid)),
    }
}

/// What the worker of a data folder tells, if one runs.
pub fn state_at(folder: &Path) -> Option<Value> {
    let written = std::fs::read(folder.join("up.json")).ok()?;
    let up: Value = serde_json::from_slice(&written).ok()?;
    state(text(&up, "/admin")?.parse().ok()?)
}

fn admin_address(data: &Data, supervisor: Option<&Value>) -> Option<SocketAddr> {
    let written = || {
        let text = std::fs::read(data.path("up.json")).ok()?;
        serde_json::from_slice::<Value>(&text).ok()
    };
    let up = supervisor.map_or_else(written, |known| {
        Some(known.get("up").cloned().unwrap_or_default())
    })?;
    text(&up, "/admin")?.parse().ok()
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
    /// Control answers, and no edge ever ran on this folder.
    fn is_control_alone(&self, data: &Data) -> bool {
        let edge = self.supervisor.is_some() || self.state.is_some();
        self.control.is_some() && !edge && !data.path("up.json").exists()
    }

    /// What the supervisor tells. A worker may be in safe mode for a reason of its own, which the supervisor does not know: one word
    /// for both.
    fn edge(&self) -> Option<Value> {
        let mut edge = self.supervisor.clone()?;
        let worker = self.state.as_ref();
        if worker.is_some_and(|state| is(state, "/safe_mode"))
            && let Some(known) = edge.get_mut("safe_mode")
        {
            *known = true.into();
        }
        Some(edge)
    }

    fn serves(&self) -> bool {
        let says = |known: &Value| text(known, "/serves").is_some();
        self.state.is_some() || self.supervisor.as_ref().is_some_and(says)
    }

    fn degraded(&self) -> Vec<String> {
        let mut degraded = Vec::new();
        match &self.supervisor {
            None => degraded.push(NO_SUPERVISOR.to_owned()),
            Some(known) => {
                let zones = list(known, "/quarantined").count();
                if zones > 0 || is(known, "/platform_quarantined") {
                    degraded.push("quarantine".into());
                }
                if number(known, TOO_LOW).is_some() {
                    degraded.push("memory_limit".into());
                }
                let begins = number(known, "/uptime_s").unwrap_or(0) < BEGINS;
                let missing = self.control.is_none() && !self.joined;
                if is(known, "/managed") && missing && !begins {
                    degraded.push("no_control".into());
                }
                if number(known, "/up/pids/agent").is_none() {
                    degraded.push("no_agent".into());
                }
                if is(known, "/agent_silent") {
                    degraded.push("agent_silent".into());
                }
            }
        }
        if let Some(control) = &self.control {
            degraded.extend(ails(control).map(str::to_owned));
        }
        let troubled = |known: &Value| text(known, "/trouble").is_some();
        if self.control.as_ref().is_some_and(troubled) {
            degraded.push("store".into());
        }
        match &self.state {
            None => degraded.push("no_admin_port".into()),
            Some(state) => {
                let words = list(state, "/degraded");
                for word in words.filter_map(Value::as_str) {
                    if !degraded.iter().any(|known| known == word) {
                        degraded.push(word.to_owned());
                    }
                }
            }
        }
        degraded
    }

    fn text(&self, degraded: &[String]) -> String {
        let mut lines = String::new();
        // Writing to a text does not fail.
        let mut line = |name: &str, what: &str| {
            let _ = writeln!(lines, "  {name:<11} {what}");
        };
        match &self.supervisor {
            Some(known) => processes(known, &mut line),
            None => line("supervisor", &self.unheard()),
        }
        if let Some(state) = &self.state {
            line(
                "version",
                &format!(
                    "{}, live for {}, {} zone(s)",
                    text(state, "/version").unwrap_or_default(),
                    age(number(state, "/config_age_s")),
                    number(state, "/zones_total").unwrap_or(0)
                ),
            );
        }
        if let Some(control) = &self.control {
            let running = list(control, "/rollouts").count();
            let pid = self.supervisor.as_ref();
            let pid = pid.and_then(|known| number(known, "/up/pids/control"));
            line(
                "control",
                &format!(
                    "pid {}, {running} rollout(s) on their way",
                    pid.unwrap_or(0)
                ),
            );
        }
        for told in self
            .control
            .iter()
            .flat_map(|known| Locations::of(known).lines())
        {
            line("locations", &told);
        }
        let trouble = self.control.as_ref();
        if let Some(trouble) = trouble.and_then(|known| text(known, "/trouble")) {
            line("store", trouble);
        }
        let left_out = self.control.as_ref();
        if let Some(left_out) = left_out.and_then(|known| text(known, "/left_out")) {
            line("file", left_out);
        }
        let alarms = self.state.iter();
        let alarms = alarms.flat_map(|state| list(state, "/certificates/alarms"));
        for alarm in alarms.filter_map(Value::as_str).take(ALARMS) {
            line("certificate", alarm);
        }
        let what = if degraded.is_empty() {
            "nothing".into()
        } else {
            degraded.join(", ")
        };
        line("degraded", &what);
        let served = self
            .supervisor
            .as_ref()
            .and_then(|known| text(known, "/serves"));
        let head = match (self.serves(), served) {
            (false, _) if matches!(self.unheard, Unheard::Stopped(_) | Unheard::Silent(_)) => {
                "Seawall runs here; whether it serves nobody says".to_owned()
            }
            (false, _) => "Seawall does not serve here (start it with `seawall up`)".to_owned(),
            (true, Some(what)) => format!("Seawall {} serves {what}", self.version()),
            (true, None) => "Seawall serves".to_owned(),
        };
        format!("{head}\n{lines}")
    }

    /// Why the supervisor tells nothing, and what can be done.
    fn unheard(&self) -> String {
        match &self.unheard {
            Unheard::None if self.serves() => {
                "none: what serves serves on, and `seawall up` starts another".into()
            }
            Unheard::None => "none".into(),
            Unheard::Denied => "permission denied: ask as its own user or as root".into(),
            Unheard::Stopped(pid) => format!(
                "pid {pid}, which somebody has stopped (SIGSTOP): have it go on with `kill -CONT {pid}`; what serves serves on"
            ),
            Unheard::Silent(pid) => format!(
                "pid {pid}, which does not answer: where that lasts, `kill -9 {pid}`, then `seawall up`; what serves serves on"
            ),
        }
    }

    fn version(&self) -> &str {
        let known = self.supervisor.as_ref();
        known
            .and_then(|known| text(known, "/version"))
            .unwrap_or_default()
    }
}

/// One line for each process and each address.
fn processes(known: &Value, line: &mut impl FnMut(&str, &str)) {
    let pid = |role: &str| number(known, &format!("/up/pids/{role}"));
    if let Some(pid) = pid("supervisor") {
        let since = age(number(known, "/uptime_s"));
        line("supervisor", &format!("pid {pid}, for {since}"));
    }
    for worker in list(known, "/workers") {
        let of = |key: &str| number(worker, key).unwrap_or(0);
        line(
            "worker",
            &format!(
                "pid {}, {}, number {} of this folder, {} thread(s), {} MiB",
                of("/pid"),
                text(worker, "/phase").unwrap_or_default(),
                of("/generation"),
                of("/threads"),
                of("/memory_bytes") >> 20
            ),
        );
    }
    if let Some(pid) = pid("agent") {
        line("agent", &format!("pid {pid}"));
    }
    let restarts = number(known, "/restarts").unwrap_or(0);
    line("restarts", &restarts.to_string());
    for key in ["http", "https", "dashboard", "admin"] {
        if let Some(address) = text(known, &format!("/up/{key}")) {
            line(key, address);
        }
    }
    if let Some(limit) = number(known, TOO_LOW) {
        line(
            "memory",
            &format!(
                "a worker may hold {} MiB, which is too little for what is served: raise [edge.limits] memory, or what the machine has",
                limit >> 20
            ),
        );
    }
    for zone in list(known, "/quarantined") {
        line("quarantine", &quarantined(zone));
    }
}

fn quarantined(zone: &Value) -> String {
    let becomes = if is(zone, "/served") {
        "served as it was last good, or without optional stages"
    } else {
        "not served"
    };
    format!(
        "zone {}, version {}: {becomes}",
        text(zone, "/zone").unwrap_or_default(),
        text(zone, "/version").unwrap_or_default()
    )
}

fn age(seconds: Option<u64>) -> String {
    match seconds.unwrap_or(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn text<'v>(value: &'v Value, path: &str) -> Option<&'v str> {
    value.pointer(path)?.as_str()
}

fn number(value: &Value, path: &str) -> Option<u64> {
    value.pointer(path)?.as_u64()
}

fn is(value: &Value, path: &str) -> bool {
    value.pointer(path).and_then(Value::as_bool) == Some(true)
}

fn list<'v>(value: &'v Value, path: &str) -> impl Iterator<Item = &'v Value> {
    value
        .pointer(path)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}
