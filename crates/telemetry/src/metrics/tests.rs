use std::collections::{HashMap, HashSet};
use std::thread;
use std::time::Duration;

use seawall_model::HttpVersion;

use super::render::{Process, reference_markdown, render, render_with};
use super::table::{Kind, METRICS};
use super::*;
use crate::record::tests::typical;
use crate::{Record, Source};

const BUILD: BuildInfo = BuildInfo {
    version: "0.1.0",
    commit: "abc\"\\\n",
};

fn registry() -> Arc<Registry> {
    Registry::new(
        &Slugs {
            rejections: &["bad_request_line", "two_lengths"],
            ..Slugs::default()
        },
        BUILD,
    )
}

fn page(registry: &Registry) -> String {
    let mut out = String::new();
    render_with(
        registry,
        Process {
            uptime: Duration::from_millis(1500),
            resident_bytes: 4096,
        },
        &mut out,
    );
    out
}

/// Samples by name and labels, each of which may occur once, after its metric's HELP and TYPE.
fn samples(page: &str) -> HashMap<String, f64> {
    let mut samples = HashMap::new();
    let mut metric = "";
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            metric = rest.split(' ').next().unwrap();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest.split(' ').next(), Some(metric));
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let base = name.split('{').next().unwrap();
            let suffix = base
                .strip_prefix(metric)
                .unwrap_or_else(|| panic!("{line} under {metric}"));
            assert!(
                ["", "_bucket", "_sum", "_count"].contains(&suffix),
                "{line}"
            );
            let before = samples.insert(name.to_owned(), value.parse().expect(line));
            assert_eq!(before, None, "{name} twice");
        }
    }
    samples
}

#[test]
fn requests_are_counted_by_zone_status_and_version() {
    let registry = registry();
    let shard = registry.shard();
    let zone = registry.zone_slot("id1", "example.com");
    let requests = [
        (200, HttpVersion::Http11),
        (204, HttpVersion::Http11),
        (404, HttpVersion::Http2),
        (0, HttpVersion::Http3),
        (999, HttpVersion::Http10),
    ];
    for (status, http) in requests {
        shard.observe(
            &Record {
                status,
                http,
                bytes_in: 10,
                bytes_out: 100,
                ..typical()
            },
            zone,
        );
    }
    shard.observe(
        &Record {
            status: 101,
            source: Source::Cache,
            origin_us: None,
            ..typical()
        },
        ZoneSlot::NONE,
    );
    shard.observe(
        &Record {
            status: 503,
            source: Source::Edge,
            error: "connection_refused",
            ..typical()
        },
        ZoneSlot::OTHER,
    );
    shard.observe(
        &Record {
            status: 301,
            error: "never heard of",
            ..typical()
        },
        ZoneSlot::OTHER,
    );
    let samples = samples(&page(&registry));
    let is = |name: &str, value: f64| assert_eq!(samples.get(name), Some(&value), "{name}");
    is(
        r#"seawall_requests_total{zone="example.com",status="2xx",http="HTTP/1.1"}"#,
        2.0,
    );
    is(
        r#"seawall_requests_total{zone="example.com",status="4xx",http="HTTP/2"}"#,
        1.0,
    );
    is(
        r#"seawall_requests_total{zone="example.com",status="none",http="HTTP/3"}"#,
        1.0,
    );
    is(
        r#"seawall_requests_total{zone="example.com",status="none",http="HTTP/1.0"}"#,
        1.0,
    );
    is(
        r#"seawall_requests_total{zone="none",status="1xx",http="HTTP/1.1"}"#,
        1.0,
    );
    is(
        r#"seawall_requests_total{zone="other",status="5xx",http="HTTP/1.1"}"#,
        1.0,
    );
    is(
        r#"seawall_requests_total{zone="other",status="3xx",http="HTTP/1.1"}"#,
        1.0,
    );
    assert_eq!(
        samples
            .keys()
            .filter(|name| name.starts_with("seawall_requests_total"))
            .count(),
        7
    );
    is(r#"seawall_bytes_in_total{zone="example.com"}"#, 50.0);
    is(r#"seawall_bytes_out_total{zone="example.com"}"#, 500.0);
    is(r#"seawall_source_total{source="edge"}"#, 1.0);
    is(r#"seawall_source_total{source="cache"}"#, 1.0);
    is(r#"seawall_source_total{source="origin"}"#, 6.0);
    is(r#"seawall_errors_total{error="connection_refused"}"#, 1.0);
    is(r#"seawall_errors_total{error="other"}"#, 1.0);
    is(r#"seawall_errors_total{error="dns_error"}"#, 0.0);
    is("seawall_request_duration_seconds_count", 8.0);
    is("seawall_origin_duration_seconds_count", 7.0);
}

#[test]
fn histograms_add_up() {
    let registry = registry();
    let shards = [registry.shard(), registry.shard()];
    let times = [
        0,
        1,
        64,
        65,
        843,
        1_000_000,
        67_108_864,
        67_108_865,
        500_000_000,
    ];
    for (at, &duration_us) in times.iter().enumerate() {
        shards[at % 2].observe(
            &Record {
                duration_us,
                origin_us: None,
                ..typical()
            },
            ZoneSlot::NONE,
        );
    }
    let page = page(&registry);
    let samples = samples(&page);
    let name = "seawall_request_duration_seconds";
    assert_eq!(samples[&format!("{name}_count")], times.len() as f64);
    assert_eq!(
        samples[&format!("{name}_sum")],
        times.iter().sum::<u64>() as f64 / 1e6
    );
    let at_most = |le: &str| samples[&format!("{name}_bucket{{le=\"{le}\"}}")];
    assert_eq!(at_most("0.000064"), 3.0);
    assert_eq!(at_most("0.000096"), 4.0);
    assert_eq!(at_most("0.000768"), 4.0);
    assert_eq!(at_most("0.001024"), 5.0);
    assert_eq!(at_most("67.108864"), 7.0);
    assert_eq!(at_most("+Inf"), 9.0);
    // Bounds grow, and so do the counts.
    let buckets: Vec<(f64, f64)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("seawall_request_duration_seconds_bucket{le=\""))
        .map(|rest| rest.split_once("\"} ").unwrap())
        .map(|(le, count)| (le.parse().unwrap_or(f64::INFINITY), count.parse().unwrap()))
        .collect();
    assert_eq!(buckets.len(), histogram::BOUNDS + 1);
    assert!(
        buckets
            .windows(2)
            .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1)
    );
}

#[test]
fn every_event_has_its_cell() {
    let registry = registry();
    let shard = registry.shard();
    shard.connection_accepted();
    shard.connection_accepted();
    shard.connection_closed();
    shard.connection_refused("client_limit");
    shard.tls_handshake("ok", "TLSv1.3");
    shard.tls_handshake("failed", "");
    shard.h2_abuse("rapid_reset");
    shard.request_rejected("two_lengths");
    shard.request_rejected("unknown");
    shard.origin_connect("ok");
    shard.origin_connect("ok");
    shard.origin_connect("refused");
    shard.origin_connection_closed();
    shard.retried("failed");
    shard.origin_ejected();
    shard.tunnel_opened();
    let samples = samples(&page(&registry));
    for (name, value) in [
        ("seawall_connections_open", 1.0),
        ("seawall_connections_accepted_total", 2.0),
        (
            r#"seawall_connections_refused_total{reason="client_limit"}"#,
            1.0,
        ),
        (
            r#"seawall_tls_handshakes_total{result="ok",version="TLSv1.3"}"#,
            1.0,
        ),
        (
            r#"seawall_tls_handshakes_total{result="failed",version="other"}"#,
            1.0,
        ),
        (
            r#"seawall_tls_handshakes_total{result="ok",version="TLSv1.2"}"#,
            0.0,
        ),
        (r#"seawall_h2_abuse_total{kind="rapid_reset"}"#, 1.0),
        (
            r#"seawall_rejected_requests_total{reason="two_lengths"}"#,
            1.0,
        ),
        (r#"seawall_rejected_requests_total{reason="other"}"#, 1.0),
        (
            r#"seawall_rejected_requests_total{reason="bad_request_line"}"#,
            0.0,
        ),
        ("seawall_origin_connections_open", 1.0),
        (r#"seawall_origin_connects_total{result="ok"}"#, 2.0),
        (r#"seawall_origin_connects_total{result="refused"}"#, 1.0),
        (r#"seawall_retries_total{result="failed"}"#, 1.0),
        ("seawall_origin_ejections_total", 1.0),
        ("seawall_tunnels_open", 1.0),
        ("seawall_log_lines_total", 0.0),
        ("seawall_log_dropped_total", 0.0),
        (
            r#"seawall_build_info{version="0.1.0",commit="abc\"\\\n"}"#,
            1.0,
        ),
        ("seawall_uptime_seconds", 1.5),
        ("seawall_resident_bytes", 4096.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name}");
    }
    // Words that are counted alone add up to nothing else.
    let ones = samples
        .iter()
        .filter(|(name, value)| name.contains("handshakes") && **value > 0.0);
    assert_eq!(ones.count(), 2);
    assert_eq!(registry.connections_open(), 1);
}

#[test]
fn a_gauge_may_go_up_and_down_in_different_threads() {
    let registry = registry();
    let (one, two) = (registry.shard(), registry.shard());
    one.tunnel_opened();
    one.tunnel_opened();
    two.tunnel_closed();
    assert_eq!(samples(&page(&registry))["seawall_tunnels_open"], 1.0);
    two.tunnel_closed();
    two.tunnel_closed();
    assert_eq!(samples(&page(&registry))["seawall_tunnels_open"], 0.0);
}

#[test]
fn threads_count_apart_and_are_summed_while_they_count() {
    let registry = registry();
    let zones: Vec<ZoneSlot> = (0..100)
        .map(|zone| registry.zone_slot(&format!("id{zone}"), &format!("zone{zone}.test")))
        .collect();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (shard, zones) = (registry.shard(), zones.clone());
            thread::spawn(move || {
                for round in 0..20_000 {
                    shard.observe(&typical(), zones[round % zones.len()]);
                }
            })
        })
        .collect();
    let mut seen = 0.0;
    while threads.iter().any(|thread| !thread.is_finished()) {
        let count = samples(&page(&registry))["seawall_request_duration_seconds_count"];
        assert!(count >= seen && count <= 80_000.0);
        seen = count;
    }
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let samples = samples(&page(&registry));
    assert_eq!(samples["seawall_request_duration_seconds_count"], 80_000.0);
    for zone in 0..100 {
        let name = format!(
            r#"seawall_requests_total{{zone="zone{zone}.test",status="2xx",http="HTTP/1.1"}}"#
        );
        assert_eq!(samples[&name], 800.0);
    }
}

#[test]
fn all_metrics_are_on_the_page_and_in_the_reference() {
    let registry = registry();
    let mut live = String::new();
    render(&registry, &mut live);
    let reference = reference_markdown();
    let names: HashSet<&str> = live
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    for def in METRICS {
        assert!(names.contains(def.name));
        assert!(live.contains(&format!("# TYPE {} {}\n", def.name, def.kind.name())));
        assert_eq!(
            reference
                .matches(&format!("| `{}` | {} |", def.name, def.kind.name()))
                .count(),
            1
        );
        assert_eq!(
            def.kind == Kind::Histogram,
            live.contains(&format!("{}_bucket{{", def.name))
        );
    }
    assert_eq!(names.len(), METRICS.len());
    assert_eq!(
        reference.lines().count(),
        METRICS.len() + crate::STAGE_METRICS.len() + 2
    );
    let resident = samples(&live)["seawall_resident_bytes"];
    assert!(resident > 100_000.0, "{resident}");
}

#[test]
fn the_log_is_shown() {
    let registry = registry();
    let log = crate::AccessLog::open(crate::LogConfig {
        target: crate::LogTarget::File("/dev/null".into()),
        ..crate::LogConfig::default()
    })
    .unwrap();
    registry.watch_log(log.status());
    let mut buffer = log.buffer();
    buffer.write(&typical(), &mut crate::Stamp::new());
    drop(buffer);
    log.close(Duration::from_secs(20)).unwrap();
    assert_eq!(samples(&page(&registry))["seawall_log_lines_total"], 1.0);
}

#[test]
fn words_that_occur_twice_are_one() {
    let slugs = Slugs {
        rejections: &["a", "other", "a"],
        ..Slugs::default()
    };
    let registry = Registry::new(&slugs, BUILD);
    let shard = registry.shard();
    shard.request_rejected("a");
    shard.request_rejected("b");
    let samples = samples(&page(&registry));
    assert_eq!(
        samples[r#"seawall_rejected_requests_total{reason="a"}"#],
        1.0
    );
    assert_eq!(
        samples[r#"seawall_rejected_requests_total{reason="other"}"#],
        1.0
    );
}

#[test]
fn what_a_worker_keeps_can_move_to_its_thread() {
    fn moves<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    moves::<Shard>();
    moves::<crate::LogBuffer>();
    is_shared::<Registry>();
    is_shared::<crate::AccessLog>();
}
