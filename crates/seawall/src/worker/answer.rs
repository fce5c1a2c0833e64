//! What a worker tells the supervisor: what it wants to listen on, and what it serves.

use std::net::SocketAddr;
use std::time::Duration;

use seawall_model::{Document, Tempo};
use seawall_proxy::snapshot::Snapshot;

use crate::cli::{Listen, Up};
use crate::message::{Bounds, Plan, Role, Serving, Wanted};

/// What the flags and the document ask for; the flags' addresses before the document's.
pub fn plan(up: &Up, document: &Document) -> Plan {
    let edge = &document.edge;
    let mut listen = Vec::new();
    for (role, flag, own, name, port) in [
        (Role::Http, up.http, &edge.http, "--http", 80),
        (Role::Https, up.https, &edge.https, "--https", 443),
    ] {
        let addresses = match flag {
            Some(listen) => listen.address().into_iter().collect(),
            None => own.clone(),
        };
        // A real site belongs on the ports that browsers try; without the right to bind them, on the usual ones.
        let public = flag.is_none() && up.config.is_none() && !up.host.is_empty();
        for usual in addresses {
            let address = if public {
                SocketAddr::new(usual.ip(), port)
            } else {
                usual
            };
            listen.push(Wanted {
                role,
                address,
                otherwise: public.then_some(usual),
                flag: name.into(),
            });
        }
    }
    if let Some(address) = up.parent.and_then(Listen::address) {
        listen.push(Wanted {
            role: Role::Parent,
            address,
            otherwise: None,
            flag: "--parent".into(),
        });
    }
    if let Some(address) = up.admin.map_or(edge.admin, Listen::address) {
        listen.push(Wanted {
            role: Role::Admin,
            address,
            otherwise: None,
            flag: "--admin".into(),
        });
    }
    Plan {
        listen,
        threads: up
            .workers
            .or(edge.workers)
            .unwrap_or_else(cores)
            .clamp(1, 1024),
        http3: edge.http3,
        steered: true,
        resets: true,
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What is served, in words for people and in numbers for the supervisor.
pub fn serving(up: &Up, has_joined: bool, document: &Document, live: &Snapshot) -> Serving {
    let zones = live.zones.len();
    let what = match (&up.config, &up.origin) {
        _ if has_joined => format!("{zones} zone(s) of location {}", live.edge.location),
        (Some(file), _) => format!("{zones} zone(s) of {}", file.display()),
        (None, Some(origin)) => origin.clone(),
        (None, None) => "its sample site (put your own behind it with --origin URL)".into(),
    };
    let counts = live.zones.counts();
    let mut notes = Vec::new();
    if counts.acme > 0 {
        notes.push(format!(
            "certificates come by ACME ({}); self-signed ones are served until they are there",
            document.edge.acme.directories.join(", ")
        ));
    }
    if up.status_page != Some(Listen::None) {
        notes.push("the status page is not in this build, so it is not opened".into());
    }
    Serving {
        zones,
        what,
        self_signed: counts.files == 0,
        notes,
        platform: live.platform,
        bounds: bounds(up, document),
        stand: None,
    }
}

fn bounds(up: &Up, document: &Document) -> Bounds {
    let limits = &document.edge.limits;
    Bounds {
        drain_ms: ms(up.drain.unwrap_or(limits.drain)),
        retire_ms: ms(limits.retire),
        memory: limits.memory,
        soak_ms: ms(Tempo::faster(up.speed).scaled(limits.soak)),
        spare: document.edge.spare,
    }
}
