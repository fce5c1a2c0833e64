//! What holds for all zones.

use seawall_model::document::{Edge as EdgeDocument, EdgeLimits};
use seawall_model::problem::quote;
use seawall_model::{Problem, Wrong, suggest};
use seawall_net::downstream::BodyPace;
use seawall_net::h1::HeadLimits;

use super::found::Found;
use crate::forward;
use crate::snapshot::Edge;
use crate::state::State;
use crate::tier::Parents;

/// The section `[edge]`, ready to serve.
pub(super) fn edge(edge: &EdgeDocument, state: &State) -> Edge {
    let limits: &EdgeLimits = &edge.limits;
    Edge {
        location: edge.location.as_str().into(),
        ray_line: forward::ray_line(&edge.location),
        trusted_proxies: edge.trusted_proxies.clone().into(),
        announced: edge.proxy_protocol,
        outward: state.outward(edge),
        head: HeadLimits {
            head_bytes: limits.head_bytes as usize,
            target_bytes: limits.target_bytes as usize,
            fields: limits.fields as usize,
        },
        header_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
        pace: BodyPace {
            idle: limits.body_idle_timeout,
            rate: limits.body_min_rate,
        },
        write_timeout: limits.write_timeout,
        handshake_timeout: limits.tls_handshake_timeout,
        connections: limits.connections,
        connections_per_client: limits.connections_per_client,
        requests_per_connection: limits.requests_per_connection,
        requests_in_progress: limits.requests_in_progress,
        body_memory: limits.body_memory,
        cache_memory: limits.cache_memory,
        cache_disk: limits.cache_disk,
        client_table: limits.client_table,
        h2_streams: limits.h2_streams,
        kill: edge.kill.clone().into(),
        public_https: https_port(edge, state),
        has_https: edge.public_https.or(state.https_port()).is_some(),
        parents: Parents::new(edge, state.tier.get().map(|tier| &**tier), &state.members),
        unready_when: edge.unready_when.clone().into(),
    }
}

/// What only those know who know the stages.
pub(super) fn check(edge: &EdgeDocument, state: &State, found: &mut Found) {
    let stages = || state.stages.iter().map(|stage| stage.name);
    for (index, name) in edge.kill.iter().enumerate() {
        if stages().any(|stage| stage == name) {
            continue;
        }
        found.add(|| {
            let help = match suggest::nearest(name, stages()) {
                Some(nearest) => format!("did you mean \"{nearest}\"?"),
                None => format!("one of {}", stages().collect::<Vec<_>>().join(", ")),
            };
            let what = format!("{} is no stage", quote(name));
            Problem::new(format!("edge.kill[{index}]"), Wrong::new(what, help))
        });
    }
}

/// The port at which clients reach HTTPS.
pub(super) fn https_port(edge: &EdgeDocument, state: &State) -> u16 {
    edge.public_https.or(state.https_port()).unwrap_or(443)
}
