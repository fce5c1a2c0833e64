//! The edge's admin port: alive, ready, metrics, state. It only reads; what changes anything is not here.
//!
//! It runs beside the workers, on a thread of its own: a worker that is busy does not keep anyone from looking.

mod stages;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use seawall_cache::disk::Ails;
use seawall_guard::States;
use seawall_model::{RequestHead, without_port};
use seawall_net::alarm::Alarm;
use seawall_net::buffer::{Buffer, SMALL};
use seawall_net::h1::{self, HeadLimits, HeadScanner};
use seawall_net::stream::Stream;
use seawall_telemetry::Registry;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::expiry;
use crate::snapshot::Snapshot;
use crate::state::OnDisk;
use crate::thread::Shared;
use crate::told::OLD;

/// Connections at once: a scraper, a probe, a person.
const CONNECTIONS: usize = 64;
/// The longest a request or an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after descriptors ran out that is still shown, in milliseconds.
const RAN_OUT: u64 = 60_000;
/// Zones on one page of `/state`.
const PAGE: usize = 1000;
/// Events of `/waf`.
const WAF_EVENTS: usize = 500;

/// What the admin port shows.
pub struct Admin {
    /// What the workers share.
    pub shared: Arc<Shared>,
    /// The metrics.
    pub registry: Arc<Registry>,
    /// What the stages keep.
    pub guard: Arc<States>,
    /// What is known of the copies on disk of what serves.
    pub disk: Arc<OnDisk>,
    /// The access log's health.
    pub log: Arc<seawall_telemetry::log::Status>,
    /// When the live configuration went live, in milliseconds on the monotonic clock.
    pub configured: Arc<std::sync::atomic::AtomicU64>,
}

/// Serves the admin port until draining begins, or another worker has taken over: from then on the port is free for whoever comes after us, and a connection
/// that is refused says "not ready" as well as a 503 does. Connections that are open are served on, so that a scraper gets the
/// last figures. Must run in a `LocalSet`.
pub async fn serve(listener: TcpListener, admin: Rc<Admin>) {
    let room = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    let mut drained = std::pin::pin!(admin.shared.leaves());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut drained => return,
        };
        let Ok((tcp, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = room.clone().try_acquire_owned() else {
            continue;
        };
        let admin = admin.clone();
        tokio::task::spawn_local(async move {
            one(tcp, &admin).await;
            drop(place);
        });
    }
}

async fn one(tcp: TcpStream, admin: &Admin) {
    let mut alarm = Alarm::new(PATIENCE);
    let stream = Stream::Plain(tcp.into());
    let mut buffer = Buffer::default();
    let mut scanner = HeadScanner::default();
    let limits = HeadLimits::default();
    let mut head = RequestHead::default();
    loop {
        let length = loop {
            if let Some(length) = scanner.find(buffer.data()) {
                break length;
            }
            if buffer.len() > limits.head_bytes {
                return;
            }
            match alarm
                .within(|cx| stream.poll_read(cx, buffer.room(SMALL)))
                .await
            {
                Ok(Ok(read)) if read > 0 => {}
                _ => return,
            }
        };
        let Ok(info) = h1::parse_request(buffer.front(length), &limits, &mut head) else {
            let _ = stream
                .write_all(
                    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
                )
                .await;
            return;
        };
        buffer.consume(length);
        scanner.reset();
        let keep = info.persistent && info.framing == h1::Framing::None;
        let answer = answer(&head, admin);
        if stream.write_all(&wire(&answer, &head, keep)).await.is_err() || !keep {
            let _ = stream.finish_sending();
            return;
        }
        alarm.set(PATIENCE);
    }
}

struct Answer {
    status: u16,
    content_type: &'static str,
    content: String,
}

fn wire(answer: &Answer, head: &RequestHead, keep: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(answer.content.len() + 256);
    h1::write_status_line(&mut out, answer.status);
    h1::write_field(&mut out, b"content-type", answer.content_type.as_bytes());
    h1::write_field(&mut out, b"cache-control", b"no-store");
    h1::write_field(
        &mut out,
        b"content-length",
        answer.content.len().to_string().as_bytes(),
    );
    if !keep {
        h1::write_field(&mut out, b"connection", b"close");
    }
    out.extend_from_slice(b"\r\n");
    if head.method_bytes() != b"HEAD" {
        out.extend_from_slice(answer.content.as_bytes());
    }
    out
}

fn answer(head: &RequestHead, admin: &Admin) -> Answer {
    let text = |status, content: &str| Answer {
        status,
        content_type: "text/plain; charset=utf-8",
        content: content.into(),
    };
    if !is_local_name(head.authority()) {
        // A page elsewhere on the web must not be able to read this through somebody's browser (DNS rebinding).
        return text(
            421,
            "this port answers to addresses and to localhost only\n",
        );
    }
    if !matches!(head.method_bytes(), b"GET" | b"HEAD") {
        return text(405, "this port only reads\n");
    }
    let json = |status, value: Value| Answer {
        status,
        content_type: "application/json",
        content: format!("{value:#}\n"),
    };
    match head.path() {
        b"/healthz" => text(200, "ok\n"),
        b"/readyz" => {
            let degraded = degraded(admin);
            let snapshot = admin.shared.slot.load();
            let draining = admin
                .shared
                .draining
                .load(std::sync::atomic::Ordering::Relaxed);
            let drained = admin
                .shared
                .told
                .drained
                .load(std::sync::atomic::Ordering::Relaxed);
            let chosen = degraded
                .iter()
                .any(|what| snapshot.edge.unready_when.iter().any(|word| word == what));
            let ready = !draining && !drained && !chosen;
            json(
                if ready { 200 } else { 503 },
                json!({ "ready": ready, "draining": draining, "drained": drained, "degraded": degraded }),
            )
        }
        b"/metrics" => {
            let mut content = String::new();
            seawall_telemetry::render(&admin.registry, &mut content);
            stages::render(&admin.guard, &mut content);
            expiry::render(&admin.shared, &admin.shared.slot.load(), &mut content);
            Answer {
                status: 200,
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                content,
            }
        }
        b"/state" => json(200, state(head, admin)),
        b"/waf" => json(200, waf(head, admin)),
        _ => text(
            404,
            "there are /healthz, /readyz, /metrics, /state and /waf\n",
        ),
    }
}

/// What the WAF found last, of the zone that the query names or of all.
fn waf(head: &RequestHead, admin: &Admin) -> Value {
    let query = head.target().split(|byte| *byte == b'?').nth(1);
    let query = std::str::from_utf8(query.unwrap_or_default()).unwrap_or_default();
    let zone = query.split('&').find_map(|pair| pair.strip_prefix("zone="));
    let (events, left_out) = admin.guard.waf_events.last(zone, WAF_EVENTS);
    let shown = events.into_iter().map(|event| {
        let matches = event.matches.into_iter().map(|found| {
            json!({
                "rule": found.rule, "severity": found.severity, "message": found.message,
                "variable": found.variable, "value": found.value,
            })
        });
        json!({
            "time": event.time, "zone": &*event.zone, "client_ip": event.client.to_string(), "method": event.method,
            "path": event.path, "reason": event.reason, "status": event.status, "matches": matches.collect::<Vec<_>>(),
        })
    });
    json!({ "events": shown.collect::<Vec<_>>(), "left_out": left_out })
}

fn is_local_name(authority: &[u8]) -> bool {
    let host = without_port(authority);
    let bare = host
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"))
        .unwrap_or(host);
    bare.eq_ignore_ascii_case(b"localhost")
        || std::str::from_utf8(bare).is_ok_and(|text| text.parse::<IpAddr>().is_ok())
}

/// Zones whose versions are in quarantine, with what that means for them.
fn quarantined(guard: &States, snapshot: &Snapshot) -> Vec<Value> {
    let ids = guard.quarantined();
    if ids.is_empty() {
        return Vec::new();
    }
    let zones = snapshot.zones.iter();
    let met = zones.filter(|zone| ids.binary_search(&zone.id).is_ok());
    met.map(|zone| {
        json!({
            "zone": &*zone.name,
            "version": &*zone.version,
            "health": "degraded",
            "reason": "its version brought workers down: optional stages are off",
        })
    })
    .collect()
}

/// What works less well than it should, by name.
fn degraded(admin: &Admin) -> Vec<&'static str> {
    let snapshot = admin.shared.slot.load();
    let mut degraded = Vec::new();
    if admin.log.problem().is_some() {
        degraded.push("access_log");
    }
    let now = admin.shared.now();
    let ran_out = admin
        .shared
        .ran_out
        .load(std::sync::atomic::Ordering::Relaxed);
    if ran_out > 0 && now.saturating_sub(ran_out) < RAN_OUT {
        degraded.push("descriptors");
    }
    let origins = origins(&snapshot, now);
    if origins.down {
        degraded.push("origins_down");
    }
    if admin.guard.is_safe_mode() {
        degraded.push("safe_mode");
    }
    let is = |flag: &std::sync::atomic::AtomicBool| flag.load(std::sync::atomic::Ordering::Relaxed);
    if is(&admin.disk.older) {
        degraded.push("older_configuration");
    }
    if is(&admin.disk.unwritten) {
        degraded.push("not_on_disk");
    }
    let disk = admin.shared.cache.disk_told();
    match disk.and_then(|told| told.ails) {
        Some(Ails::Full) => degraded.push("cache_disk_full"),
        Some(Ails::Fails) => degraded.push("cache_disk_fails"),
        None => {}
    }
    if !quarantined(&admin.guard, &snapshot).is_empty() {
        degraded.push("quarantine");
    }
    if !admin.guard.open_breakers().is_empty() {
        degraded.push("breakers_open");
    }
    if origins.all_used_again {
        degraded.push("all_origins_used_again");
    }
    if origins.dns_stale {
        degraded.push("dns_stale");
    }
    if !expiry::alarms(&admin.shared, &snapshot).is_empty() {
        degraded.push("certificates");
    }
    if admin.shared.told.age().is_some_and(|age| age > OLD) {
        degraded.push("config_stale");
    }
    degraded
}

/// What is wrong with origins, of whatever zone.
#[derive(Default)]
struct Origins {
    down: bool,
    all_used_again: bool,
    dns_stale: bool,
}

/// Of zones that nobody has asked for nothing is known, and nothing is made for the asking.
fn origins(snapshot: &Snapshot, now: u64) -> Origins {
    let mut all = Origins::default();
    for pool in snapshot.zones.iter().filter_map(|zone| zone.pool_in_use()) {
        all.down |= pool.is_down(now);
        all.all_used_again |= pool.is_panicking(now);
        all.dns_stale |= pool.members().any(|member| member.addresses_stale());
    }
    all
}

fn state(head: &RequestHead, admin: &Admin) -> Value {
    let snapshot = admin.shared.slot.load();
    let now = admin.shared.now();
    let page = page_of(head.target());
    let mut zones = Map::new();
    for zone in snapshot.zones.iter().skip(page * PAGE).take(PAGE) {
        let pool = zone.pool().describe(now);
        let origins: Vec<Value> = pool
            .members
            .iter()
            .map(|member| {
                json!({
                    "origin": member.id.split('#').next().unwrap_or_default(),
                    "weight": member.weight,
                    "weight_now_percent": member.weight_now_percent,
                    "in_flight": member.in_flight,
                    "connections": member.connections,
                    "healthy": member.healthy,
                    "ejected_for_ms": member.ejected_for_ms,
                    "ejections": member.ejections,
                    "addresses": member.addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>(),
                    "addresses_stale": member.addresses_stale,
                })
            })
            .collect();
        let on_trial = snapshot.trials.as_ref();
        let on_trial = on_trial.and_then(|trials| trials.of(&zone.name, zone.id));
        let value = json!({
            "active": &*zone.version,
            "candidate": on_trial.map(|zone| &*zone.version),
            "last_good": &*zone.version,
            "origins": origins,
            "all_used_again": pool.panicking,
            "stages": stages::of_zone(&zone.guard),
        });
        zones.insert(zone.name.to_string(), value);
    }
    let more = snapshot.zones.len() > (page + 1) * PAGE;
    let configured = admin.configured.load(std::sync::atomic::Ordering::Relaxed);
    json!({
        "location": &*snapshot.edge.location,
        "worker_pid": std::process::id(),
        "uptime_s": admin.shared.began.elapsed().as_secs(),
        "config_age_s": admin.shared.told.age().unwrap_or(now.saturating_sub(configured) / 1000),
        "drained": admin.shared.told.drained.load(std::sync::atomic::Ordering::Relaxed),
        "switches": admin.shared.told.switches(),
        "version": &*snapshot.version,
        // The percentage of clients who are served by another version of what all zones share.
        "platform_on_trial": snapshot.trials.as_ref().and_then(|trials| trials.platform.as_ref()).map(|(trial, _)| trial.share / 100),
        "parents": parents(&snapshot, now),
        "zones": zones,
        "zones_total": snapshot.zones.len(),
        "next_page": if more { Value::from(page + 1) } else { Value::Null },
        "safe_mode": admin.guard.is_safe_mode(),
        "quarantined": quarantined(&admin.guard, &snapshot),
        "breakers": stages::breakers(&admin.guard, &snapshot, now),
        "stages": stages::counts(&admin.guard),
        "killed": admin.guard.killed().collect::<Vec<_>>(),
        "clients_counted": admin.guard.clients.len(),
        "degraded": degraded(admin),
        "certificates": expiry::state(&admin.shared, &snapshot),
        "connections": admin.registry.connections_open(),
        "access_log": {
            "dropped_lines": admin.log.dropped_lines(),
            "problem": admin.log.problem(),
        },
    })
}

/// Other locations that are asked before an origin, by zones' shields or by the URL.
fn parents(snapshot: &Snapshot, now: u64) -> Vec<Value> {
    let members = snapshot
        .edge
        .parents
        .all()
        .flat_map(|asked| asked.pool.describe(now).members);
    let told = members.map(|member| {
        let (at, name) = member.id.split_once('#').unwrap_or((&member.id, ""));
        json!({
            "location": name,
            "at": at,
            "in_flight": member.in_flight,
            "connections": member.connections,
            "left_out_for_ms": member.ejected_for_ms,
            "left_out_in_a_row": member.ejections,
            "addresses": member.addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>(),
        })
    });
    told.collect()
}

fn page_of(target: &[u8]) -> usize {
    let query = target
        .split(|byte| *byte == b'?')
        .nth(1)
        .unwrap_or_default();
    let page = query
        .split(|byte| *byte == b'&')
        .find_map(|pair| pair.strip_prefix(b"page="));
    page.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        .unwrap_or(0)
}
