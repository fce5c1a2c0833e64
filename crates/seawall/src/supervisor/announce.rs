//! What people and programs are told of an edge that serves: the lines at its start, and `DATA/up.json`.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::sockets::Sockets;
use crate::data::Data;
use crate::message::{Role, Serving};
use crate::process::VERSION;
use crate::say::say;

/// Control, as it is told.
#[derive(Clone, Debug)]
pub struct Control {
    /// Its process.
    pub pid: i32,
    /// Where it answers over HTTP, once it does.
    pub dashboard: Option<SocketAddr>,
    /// The file with the first token.
    pub token_path: Option<PathBuf>,
}

/// Who runs.
#[derive(Clone, Copy, Debug)]
pub struct Pids<'c> {
    /// The worker that serves.
    pub worker: i32,
    /// The agent, if there is one.
    pub agent: Option<i32>,
    /// Control, if there is one.
    pub control: Option<&'c Control>,
}

/// Processes and addresses.
pub fn up(sockets: &Sockets, pids: Pids<'_>) -> Value {
    let first = |role| sockets.addresses(role).first().map(ToString::to_string);
    let mut json = Map::new();
    for (key, role) in [
        ("http", Role::Http),
        ("https", Role::Https),
        ("parent", Role::Parent),
        ("admin", Role::Admin),
    ] {
        if let Some(address) = first(role) {
            json.insert(key.into(), address.into());
        }
    }
    let mut processes = json!({ "supervisor": std::process::id(), "worker": pids.worker });
    if let Some(processes) = processes.as_object_mut() {
        for (role, pid) in [
            ("agent", pids.agent),
            ("control", pids.control.map(|it| it.pid)),
        ] {
            processes.extend(pid.map(|pid| (role.to_owned(), pid.into())));
        }
    }
    json.insert("pids".into(), processes);
    if let Some(control) = pids.control {
        let dashboard = control.dashboard.map(|address| address.to_string());
        json.extend(dashboard.map(|address| ("dashboard".to_owned(), address.into())));
        let path = control.token_path.as_ref();
        let path = path.map(|path| path.display().to_string());
        json.extend(path.map(|path| ("token_path".to_owned(), path.into())));
    }
    Value::Object(json)
}

/// Writes `up.json`.
pub fn write(data: &Data, up: &Value) {
    data.keep("up.json", format!("{up:#}\n").as_bytes(), 0o644);
}

/// One line per listener.
pub fn announce(data: &Data, sockets: &Sockets, serving: &Serving) {
    say(format_args!("Seawall {VERSION} serves {}", serving.what));
    for address in sockets.addresses(Role::Http) {
        say(format_args!("  http       http://{}", shown(address)));
    }
    let note = if serving.self_signed {
        "   (self-signed certificate: browsers will warn)"
    } else {
        ""
    };
    for address in sockets.addresses(Role::Https) {
        say(format_args!(
            "  https      https://{}{note}",
            shown(address)
        ));
    }
    for address in sockets.addresses(Role::Parent) {
        say(format_args!(
            "  parent     {address}   (for other locations of this fleet)"
        ));
    }
    for address in sockets.addresses(Role::Admin) {
        say(format_args!(
            "  admin      http://{address}   (/healthz /readyz /metrics /state)"
        ));
    }
    for note in serving.notes.iter().chain(&sockets.notes) {
        say(format_args!("  note       {note}"));
    }
    say(format_args!("  data       {}", data.path("").display()));
}

fn shown(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}
