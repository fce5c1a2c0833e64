//! What people and programs are told of an edge that serves: the lines at its start, and `DATA/up.json`.

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use super::sockets::Sockets;
use crate::data::Data;
use crate::message::{Role, Serving};
use crate::process::VERSION;
use crate::say::say;

/// Who runs.
#[derive(Clone, Copy, Debug)]
pub struct Pids {
    /// The worker that serves.
    pub worker: i32,
    /// The agent, if there is one.
    pub agent: Option<i32>,
    /// Control, if there is one.
    pub control: Option<i32>,
}

/// Processes and addresses.
pub fn up(sockets: &Sockets, pids: Pids) -> Value {
    let first = |role| sockets.addresses(role).first().map(ToString::to_string);
    let mut json = Map::new();
    for (key, role) in [
        ("http", Role::Http),
        ("https", Role::Https),
        ("admin", Role::Admin),
    ] {
        if let Some(address) = first(role) {
            json.insert(key.into(), address.into());
        }
    }
    let mut processes = json!({ "supervisor": std::process::id(), "worker": pids.worker });
    if let Some(processes) = processes.as_object_mut() {
        for (role, pid) in [("agent", pids.agent), ("control", pids.control)] {
            processes.extend(pid.map(|pid| (role.to_owned(), pid.into())));
        }
    }
    json.insert("pids".into(), processes);
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
