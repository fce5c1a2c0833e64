//! What runs beside the workers, on a thread of its own: names are resolved, origins are probed.
//!
//! The decisions are pure and stand in [`origin`](crate::origin); here is only what waits and connects. A swap of the snapshot
//! ends the tasks of zones that are others from then on; what was learnt lives in the members.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use seawall_guard::{Admitted, BackgroundMethod};
use seawall_model::{FieldId, Fields, Method, ResponseHead};
use seawall_net::alarm::Alarm;
use seawall_net::outgoing::{BodyOut, Line, Prepared};
use seawall_net::outward::{self, ConnectFault};
use seawall_net::proxy_protocol::Announced;
use seawall_net::stream::Stream;
use seawall_net::tls::TlsStream;
use seawall_net::upstream::{Http1Connection, OriginConnection};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fault::Fault;
use crate::lend::announce;
use crate::origin::{Member, Refresh};
use crate::outgoing::{self, Said};
use crate::snapshot::{Edge, Place, Probe, Snapshot, Zone};
use crate::thread::Shared;

/// How often it is looked whether the snapshot was swapped.
const LOOK: Duration = Duration::from_millis(200);
/// Resolving one name may take so long; a resolver that hangs must not stop the others.
const RESOLVING: Duration = Duration::from_secs(10);

/// Resolves and probes for ever. Must run in a `LocalSet`.
pub async fn run(shared: Arc<Shared>, seed: u64) {
    let mut random = seed;
    let mut tasks: Vec<(Arc<Zone>, JoinSet<()>)> = Vec::new();
    let mut parents: Option<(Arc<Edge>, JoinSet<()>)> = None;
    loop {
        let snapshot = shared.slot.load();
        let on_trial = snapshot.trials.iter().flat_map(|trials| trials.zones());
        let on_trial = on_trial.filter(|zone| zone.is_watched());
        let watched: Vec<&Arc<Zone>> = snapshot.zones.watched().iter().chain(on_trial).collect();
        let there: HashSet<*const Zone> = watched.iter().map(|zone| Arc::as_ptr(zone)).collect();
        // Dropping its tasks ends them. Those of a zone that is the same go on.
        tasks.retain(|(zone, _)| there.contains(&Arc::as_ptr(zone)));
        let known: HashSet<*const Zone> = tasks.iter().map(|(zone, _)| Arc::as_ptr(zone)).collect();
        let mut new = HashSet::new();
        for zone in watched {
            let at = Arc::as_ptr(zone);
            if !known.contains(&at) && new.insert(at) {
                tasks.push((zone.clone(), watch(&shared, zone, &mut random)));
            }
        }
        if !parents
            .as_ref()
            .is_some_and(|(of, _)| Arc::ptr_eq(of, &snapshot.edge))
        {
            let tasks = watch_parents(&shared, &snapshot.edge, &mut random);
            parents = Some((snapshot.edge.clone(), tasks));
        }
        while Arc::ptr_eq(&snapshot, &shared.slot.load()) {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Resolves those that are asked before an origin.
fn watch_parents(shared: &Arc<Shared>, edge: &Edge, random: &mut u64) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for asked in edge.parents.all() {
        for (member, parent) in asked.pool.members().zip(&asked.parents) {
            *random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            if let Place::Server { host, port, .. } = &parent.at
                && parent.address().is_none()
            {
                let refresh = Refresh::new(host, *port);
                let (shared, member) = (shared.clone(), member.clone());
                let host = host.clone();
                tasks.spawn_local(resolve(shared, member, refresh, host, *port, *random));
            }
        }
    }
    tasks
}

/// The tasks of one zone.
fn watch(shared: &Arc<Shared>, zone: &Arc<Zone>, random: &mut u64) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for (index, origin) in (0u16..).zip(&zone.origins) {
        let Some(member) = zone.pool().member(index) else {
            continue;
        };
        *random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        if let Place::Server { host, port, .. } = &origin.at
            && origin.address().is_none()
        {
            let refresh = Refresh::new(host, *port);
            let (shared, member) = (shared.clone(), member.clone());
            tasks.spawn_local(resolve(
                shared,
                member,
                refresh,
                host.clone(),
                *port,
                *random,
            ));
        }
        if let Some(probe) = &zone.probe
            && matches!(origin.at, Place::Server { .. } | Place::Unix(_))
        {
            let (shared, zone) = (shared.clone(), zone.clone());
            tasks.spawn_local(probe_for_ever(shared, zone, index, probe.clone(), *random));
        }
    }
    tasks
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
        refresh.tell(&member, addresses.as_deref(), shared.now(), random);
    }
}

async fn probe_for_ever(shared: Arc<Shared>, zone: Arc<Zone>, index: u16, probe: Probe, seed: u64) {
    // Spread over the interval: a thousand origins are not probed in the same instant.
    let spread = probe
        .every
        .mul_f64((seed >> 40) as f64 / (1u64 << 24) as f64);
    tokio::time::sleep(spread.min(Duration::from_secs(1))).await;
    loop {
        let began = Instant::now();
        // Of what is live now: that of before must not be kept for its zones' sake.
        let snapshot = shared.slot.load();
        match probe_once(&snapshot, &zone, index, &probe).await {
            Ok(good) => {
                zone.pool().probe_result(index, good);
            }
            // Nobody was asked, so nobody has failed.
            Err(NoRoom) => shared.note_ran_out(),
        }
        drop(snapshot);
        tokio::time::sleep_until(began + probe.every).await;
    }
}

/// We have no descriptor or memory left for a probe.
#[derive(Debug, PartialEq, Eq)]
struct NoRoom;

/// Whether the origin is good.
async fn probe_once(
    snapshot: &Snapshot,
    zone: &Zone,
    index: u16,
    probe: &Probe,
) -> Result<bool, NoRoom> {
    let asked = async {
        let outward = &snapshot.edge.outward;
        let mut alarm = Alarm::new(probe.timeout);
        let at = zone
            .origins
            .get(usize::from(index))
            .map(|origin| &origin.at);
        let connected = if let Some(Place::Unix(path)) = at {
            outward.connect_unix(path, &mut alarm).await
        } else {
            let member = zone.pool().member(index);
            let address = member.and_then(|member| member.addresses().first().copied());
            let Some(address) = address else {
                return Ok(None);
            };
            outward.connect(address, &mut alarm).await
        };
        match connected {
            Ok(tcp) => Ok(ask(snapshot, zone, index, probe, tcp, &mut alarm).await),
            Err(fault) => no_answer(fault),
        }
    };
    let status = tokio::time::timeout(probe.timeout, asked).await;
    let status = status.unwrap_or(Ok(None))?;
    Ok(status.is_some_and(|status| probe.good.iter().any(|good| good.contains(&status))))
}

/// What a connection that could not be made says of the origin.
fn no_answer(fault: ConnectFault) -> Result<Option<u16>, NoRoom> {
    match Fault::from(fault) {
        Fault::Overloaded => Err(NoRoom),
        _ => Ok(None),
    }
}

/// Asks once, on a connection of its own, over HTTP/1.1. None: no answer.
async fn ask(
    snapshot: &Snapshot,
    zone: &Zone,
    index: u16,
    probe: &Probe,
    tcp: TcpStream,
    alarm: &mut Alarm,
) -> Option<u16> {
    let origin = zone.origins.get(usize::from(index))?;
    announce(&tcp, origin, Announced::Sender).ok()?;
    let (own, tls) = match &origin.at {
        Place::Server { host, port, tls } => (format!("{host}:{port}"), tls.as_ref()),
        Place::Unix(_) => ("localhost".to_owned(), None),
        Place::Sample | Place::Files(_) => return None,
    };
    let stream = match tls {
        None => Stream::Plain(tcp.into()),
        Some(tls) => {
            let stream = TlsStream::connect(tcp, tls.http1.clone(), tls.name.clone(), alarm)
                .await
                .ok()?;
            Stream::Tls(Box::new(stream))
        }
    };
    let mut extra = Fields::default();
    extra.push_known(FieldId::Connection, b"close");
    let authority = (probe.host.as_deref().map(str::as_bytes))
        .or(origin.host.as_deref())
        .or(zone.first_host().map(str::as_bytes))
        .unwrap_or(own.as_bytes());
    let admitted = Admitted::background(
        zone.id,
        BackgroundMethod::Get,
        authority,
        probe.path.as_bytes(),
        b"seawall-health",
    );
    let said = Said {
        method: None,
        scheme: if tls.is_some() { "https" } else { "http" },
        authority: None,
        skip: 0,
        common: &Prepared::default(),
        extra: &extra,
        last: Line::default(),
        body: BodyOut::None,
    };
    let head = outgoing::request(&admitted, said);
    let mut connection = OriginConnection::Http1(Box::new(Http1Connection::new(stream)));
    let (mut request, mut response) = connection.split();
    request.head(&head, alarm, probe.timeout).await.ok()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_want_of_descriptors_does_not_count_against_an_origin() {
        for code in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            let fault = ConnectFault::Failed(std::io::Error::from_raw_os_error(code));
            assert_eq!(no_answer(fault), Err(NoRoom), "{code}");
        }
        let unreachable = std::io::Error::from_raw_os_error(libc::EHOSTUNREACH);
        for fault in [
            ConnectFault::Refused,
            ConnectFault::Slow,
            ConnectFault::Failed(unreachable),
        ] {
            assert_eq!(no_answer(fault), Ok(None));
        }
    }
}
