//! What runs beside the workers, on a thread of its own: names are resolved, origins are probed.
//!
//! The decisions are pure and stand in [`origin`](crate::origin); here is only what waits and connects. A swap of the snapshot
//! ends all tasks and starts those of the new one; what was learnt lives in the members.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use seawall_model::{FieldId, Fields, Method, ResponseHead};
use seawall_net::alarm::Alarm;
use seawall_net::outgoing::{BodyOut, Line, Prepared, RequestOut};
use seawall_net::outward;
use seawall_net::stream::Stream;
use seawall_net::tls::TlsStream;
use seawall_net::upstream::{Http1Connection, OriginConnection};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::origin::{Member, Refresh};
use crate::snapshot::{Place, Probe, Snapshot, Zone};
use crate::thread::Shared;

/// How often it is looked whether the snapshot was swapped.
const LOOK: Duration = Duration::from_millis(200);
/// Resolving one name may take so long; a resolver that hangs must not stop the others.
const RESOLVING: Duration = Duration::from_secs(10);

/// Resolves and probes for ever. Must run in a `LocalSet`.
pub async fn run(shared: Arc<Shared>, seed: u64) {
    let mut random = seed;
    loop {
        let snapshot = shared.slot.load();
        let mut tasks = JoinSet::new();
        for zone in &snapshot.zones {
            for (index, origin) in (0u16..).zip(&zone.origins) {
                let (Place::Server { host, port, .. }, Some(member)) =
                    (&origin.at, zone.pool.member(index))
                else {
                    continue;
                };
                random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                if host.parse::<IpAddr>().is_err() {
                    let refresh = Refresh::new(host, *port);
                    tasks.spawn_local(resolve(
                        shared.clone(),
                        member.clone(),
                        refresh,
                        host.clone(),
                        *port,
                        random,
                    ));
                }
                if let Some(probe) = &zone.probe {
                    let task = probe_for_ever(
                        snapshot.clone(),
                        zone.clone(),
                        index,
                        probe.clone(),
                        random,
                    );
                    tasks.spawn_local(task);
                }
            }
        }
        while Arc::ptr_eq(&snapshot, &shared.slot.load()) {
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn resolve(
    shared: Arc<Shared>,
    member: Arc<Member>,
    mut refresh: Refresh,
    host: Box<str>,
    port: u16,
    seed: u64,
) {
    let mut random = seed;
    while let Some(due) = refresh.due() {
        let now = shared.now();
        if due > now {
            tokio::time::sleep(Duration::from_millis(due - now)).await;
        }
        let answer = tokio::time::timeout(RESOLVING, outward::resolve(&host, port)).await;
        let addresses: Option<Vec<IpAddr>> = match answer {
            Ok(Ok(addresses)) => Some(addresses.iter().map(std::net::SocketAddr::ip).collect()),
            _ => None,
        };
        random = random
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        refresh.answered(addresses.as_deref(), shared.now(), random);
        if !refresh.addresses().is_empty() && *member.addresses() != *refresh.addresses() {
            member.set_addresses(refresh.addresses());
        }
        // Before the first answer this says "failed"; with addresses it says "these are old".
        member.set_addresses_stale(addresses.is_none());
    }
}

async fn probe_for_ever(
    snapshot: Arc<Snapshot>,
    zone: Arc<Zone>,
    index: u16,
    probe: Probe,
    seed: u64,
) {
    // Spread over the interval: a thousand origins are not probed in the same instant.
    let spread = probe
        .every
        .mul_f64((seed >> 40) as f64 / (1u64 << 24) as f64);
    tokio::time::sleep(spread.min(Duration::from_secs(1))).await;
    loop {
        let began = Instant::now();
        let good = probe_once(&snapshot, &zone, index, &probe).await;
        zone.pool.probe_result(index, good);
        tokio::time::sleep_until(began + probe.every).await;
    }
}

async fn probe_once(snapshot: &Snapshot, zone: &Zone, index: u16, probe: &Probe) -> bool {
    let status = tokio::time::timeout(probe.timeout, ask(snapshot, zone, index, probe)).await;
    matches!(status, Ok(Some(status)) if probe.good.iter().any(|good| good.contains(&status)))
}

/// Asks once, on a connection of its own, over HTTP/1.1. None: no answer.
async fn ask(snapshot: &Snapshot, zone: &Zone, index: u16, probe: &Probe) -> Option<u16> {
    let origin = zone.origins.get(usize::from(index))?;
    let Place::Server { host, port, tls } = &origin.at else {
        return None;
    };
    let address = *zone.pool.member(index)?.addresses().first()?;
    let mut alarm = Alarm::new(probe.timeout);
    let tcp = snapshot
        .edge
        .outward
        .connect(address, &mut alarm)
        .await
        .ok()?;
    let stream = match tls {
        None => Stream::Plain(tcp.into()),
        Some(tls) => {
            let stream = TlsStream::connect(tcp, tls.http1.clone(), tls.name.clone(), &mut alarm)
                .await
                .ok()?;
            Stream::Tls(Box::new(stream))
        }
    };
    let own = format!("{host}:{port}");
    let mut extra = Fields::default();
    extra.push_known(FieldId::UserAgent, b"seawall-health");
    extra.push_known(FieldId::Connection, b"close");
    let head = RequestOut {
        method: b"GET",
        scheme: if tls.is_some() { "https" } else { "http" },
        authority: (probe.host.as_deref().map(str::as_bytes))
            .or(origin.host.as_deref())
            .or(probe.first_host.as_deref().map(str::as_bytes))
            .unwrap_or(own.as_bytes()),
        target: probe.path.as_bytes(),
        client: &Fields::default(),
        skip: 0,
        common: &Prepared::default(),
        extra: &extra,
        last: Line::default(),
        body: BodyOut::None,
    };
    let mut connection = OriginConnection::Http1(Box::new(Http1Connection::new(stream)));
    let (mut request, mut response) = connection.split();
    request.head(&head, &mut alarm, probe.timeout).await.ok()?;
    let mut answer = ResponseHead::default();
    loop {
        let limits = &snapshot.edge.head;
        let head = alarm
            .within(|cx| response.poll_head(Method::Get, limits, &mut answer, cx))
            .await;
        head.ok()?.ok()?;
        if answer.status >= 200 {
            return Some(answer.status);
        }
    }
}
