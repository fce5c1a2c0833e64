//! All metrics, declared once.

use super::Slugs;

/// What kind of figure it is, as Prometheus understands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many observations were at most so large.
    Histogram,
}

impl Kind {
    /// As the text format writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The metrics, in the order of [`METRICS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "METRICS says what each one is")]
pub enum Metric {
    Requests,
    RequestDuration,
    OriginDuration,
    BytesIn,
    BytesOut,
    Sources,
    Errors,
    ConnectionsOpen,
    ConnectionsAccepted,
    ConnectionsRefused,
    TlsHandshakes,
    H2Abuse,
    RejectedRequests,
    OriginConnectionsOpen,
    OriginConnects,
    Retries,
    OriginEjections,
    LogLines,
    LogDropped,
    CacheBytes,
    CacheEntries,
    CacheIndexBytes,
    CacheDisk,
    TunnelsOpen,
    BuildInfo,
    Uptime,
    ResidentBytes,
}

/// A list of words that a label may take.
pub(super) type Words = fn(&Slugs) -> &'static [&'static str];

/// Where a metric's figures are kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kept {
    /// With each zone, with each source, or as a histogram: code of its own.
    Apart,
    /// In cells of a shard: one, one per word, or one per pair of words.
    Cell,
    CellsBy(Words),
    CellsByBoth(Words, Words),
    /// Not counted by requests at all.
    Process,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct MetricDef {
    /// Which one.
    pub metric: Metric,
    /// Its name as scrapers see it.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// What it says, in one sentence.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    pub(super) kept: Kept,
}

const fn counter(
    metric: Metric,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> MetricDef {
    MetricDef {
        metric,
        name,
        kind: Kind::Counter,
        help,
        labels,
        kept: Kept::Apart,
    }
}

const fn gauge(
    metric: Metric,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> MetricDef {
    MetricDef {
        metric,
        name,
        kind: Kind::Gauge,
        help,
        labels,
        kept: Kept::Apart,
    }
}

const fn histogram(metric: Metric, name: &'static str, help: &'static str) -> MetricDef {
    MetricDef {
        metric,
        name,
        kind: Kind::Histogram,
        help,
        labels: &[],
        kept: Kept::Apart,
    }
}

impl MetricDef {
    const fn kept(mut self, kept: Kept) -> Self {
        self.kept = kept;
        self
    }
}

/// All metrics, in the order in which they are shown.
pub static METRICS: &[MetricDef] = &[
    counter(
        Metric::Requests,
        "seawall_requests_total",
        &["zone", "status", "http"],
        "Requests that have ended, by zone, class of status (`none`: the client got no response) and version of HTTP.",
    ),
    histogram(
        Metric::RequestDuration,
        "seawall_request_duration_seconds",
        "Time from the first byte of a request to the last of its response.",
    ),
    histogram(
        Metric::OriginDuration,
        "seawall_origin_duration_seconds",
        "Time from the first try at an origin to its response's head.",
    ),
    counter(Metric::BytesIn, "seawall_bytes_in_total", &["zone"], "Bytes that clients sent in requests."),
    counter(Metric::BytesOut, "seawall_bytes_out_total", &["zone"], "Bytes that clients got in responses."),
    counter(Metric::Sources, "seawall_source_total", &["source"], "Requests by who answered: edge, cache or origin."),
    counter(
        Metric::Errors,
        "seawall_errors_total",
        &["error"],
        "Requests with an error, by its word in the Record (`Proxy-Status` error types and our own).",
    )
    .kept(Kept::CellsBy(|slugs| slugs.errors)),
    gauge(Metric::ConnectionsOpen, "seawall_connections_open", &[], "Connections from clients that are open now.")
        .kept(Kept::Cell),
    counter(
        Metric::ConnectionsAccepted,
        "seawall_connections_accepted_total",
        &[],
        "Connections from clients that were accepted.",
    )
    .kept(Kept::Cell),
    counter(
        Metric::ConnectionsRefused,
        "seawall_connections_refused_total",
        &["reason"],
        "Connections from clients that were refused.",
    )
    .kept(Kept::CellsBy(|slugs| slugs.refusals)),
    counter(
        Metric::TlsHandshakes,
        "seawall_tls_handshakes_total",
        &["result", "version"],
        "TLS handshakes with clients, by how they ended and in which version.",
    )
    .kept(Kept::CellsByBoth(|slugs| slugs.handshakes, |slugs| slugs.tls_versions)),
    counter(
        Metric::H2Abuse,
        "seawall_h2_abuse_total",
        &["kind"],
        "HTTP/2 connections that were closed because of what the client did.",
    )
    .kept(Kept::CellsBy(|slugs| slugs.abuses)),
    counter(
        Metric::RejectedRequests,
        "seawall_rejected_requests_total",
        &["reason"],
        "Requests that were refused because they were malformed.",
    )
    .kept(Kept::CellsBy(|slugs| slugs.rejections)),
    gauge(
        Metric::OriginConnectionsOpen,
        "seawall_origin_connections_open",
        &[],
        "Connections to origins that are open now.",
    )
    .kept(Kept::Cell),
    counter(
        Metric::OriginConnects,
        "seawall_origin_connects_total",
        &["result"],
        "Tries to connect to an origin, by how they ended.",
    )
    .kept(Kept::CellsBy(|slugs| slugs.connects)),
    counter(
        Metric::Retries,
        "seawall_retries_total",
        &["result"],
        "Requests that were tried again at an origin, by how that ended.",
    )
    .kept(Kept::CellsBy(|slugs| slugs.retries)),
    counter(
        Metric::OriginEjections,
        "seawall_origin_ejections_total",
        &[],
        "How often an origin was taken out of its pool for being unhealthy.",
    )
    .kept(Kept::Cell),
    counter(Metric::LogLines, "seawall_log_lines_total", &[], "Lines of the access log that were written.")
        .kept(Kept::Process),
    counter(
        Metric::LogDropped,
        "seawall_log_dropped_total",
        &[],
        "Lines of the access log that were lost because the disk was full or slow.",
    )
    .kept(Kept::Process),
    gauge(Metric::CacheBytes, "seawall_cache_bytes", &["tier"], "Bytes that responses take that are kept: in memory, and on disk.")
        .kept(Kept::Process),
    gauge(Metric::CacheEntries, "seawall_cache_entries", &["tier"], "Responses that are kept: in memory, and on disk.")
        .kept(Kept::Process),
    gauge(
        Metric::CacheIndexBytes,
        "seawall_cache_index_bytes",
        &[],
        "Memory that the index of the cache's disk takes, in bytes.",
    )
    .kept(Kept::Process),
    counter(
        Metric::CacheDisk,
        "seawall_cache_disk_total",
        &["what"],
        "Responses that the cache's disk has written, read, not taken as too many waited (`queue_full`, `reads_full`), the disk had just said no (`failing`) or their zone has its share (`share`), found not to be what was written (`bad`); and times that it failed (`failed`).",
    )
    .kept(Kept::Process),
    gauge(Metric::TunnelsOpen, "seawall_tunnels_open", &[], "Tunnels (WebSocket and the like) that are open now.")
        .kept(Kept::Cell),
    gauge(Metric::BuildInfo, "seawall_build_info", &["version", "commit"], "Always 1; its labels say what was built.")
        .kept(Kept::Process),
    gauge(Metric::Uptime, "seawall_uptime_seconds", &[], "Time since the worker began.").kept(Kept::Process),
    gauge(Metric::ResidentBytes, "seawall_resident_bytes", &[], "Memory of the worker that is in use, in bytes.")
        .kept(Kept::Process),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_list_follows_the_enumeration_and_the_naming_rules() {
        let mut names = HashSet::new();
        for (at, def) in METRICS.iter().enumerate() {
            assert_eq!(def.metric as usize, at, "{}", def.name);
            assert!(names.insert(def.name), "{} twice", def.name);
            assert!(def.name.starts_with("seawall_"));
            assert!(
                def.name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            );
            assert_eq!(
                def.kind == Kind::Counter,
                def.name.ends_with("_total"),
                "{}",
                def.name
            );
            assert!(
                def.help.ends_with('.') && !def.help.contains(['\n', '\\', '|']),
                "{}",
                def.name
            );
            let labels = match def.kept {
                Kept::Cell => Some(0),
                Kept::CellsBy(_) => Some(1),
                Kept::CellsByBoth(..) => Some(2),
                Kept::Apart | Kept::Process => None,
            };
            assert!(
                labels.is_none_or(|labels| labels == def.labels.len()),
                "{}",
                def.name
            );
        }
        assert_eq!(
            METRICS.last().map(|def| def.metric),
            Some(Metric::ResidentBytes)
        );
    }

    /// Dashboards rely on these: none may go or change its name.
    #[test]
    fn the_names_that_others_rely_on() {
        let names: Vec<&str> = METRICS.iter().map(|def| def.name).collect();
        assert_eq!(
            names,
            [
                "seawall_requests_total",
                "seawall_request_duration_seconds",
                "seawall_origin_duration_seconds",
                "seawall_bytes_in_total",
                "seawall_bytes_out_total",
                "seawall_source_total",
                "seawall_errors_total",
                "seawall_connections_open",
                "seawall_connections_accepted_total",
                "seawall_connections_refused_total",
                "seawall_tls_handshakes_total",
                "seawall_h2_abuse_total",
                "seawall_rejected_requests_total",
                "seawall_origin_connections_open",
                "seawall_origin_connects_total",
                "seawall_retries_total",
                "seawall_origin_ejections_total",
                "seawall_log_lines_total",
                "seawall_log_dropped_total",
                "seawall_cache_bytes",
                "seawall_cache_entries",
                "seawall_cache_index_bytes",
                "seawall_cache_disk_total",
                "seawall_tunnels_open",
                "seawall_build_info",
                "seawall_uptime_seconds",
                "seawall_resident_bytes",
            ]
        );
    }
}
