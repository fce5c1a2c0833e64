//! What a person or a program can see of a running edge: Records, metrics, health, state.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::origin::Held;
use crate::tools::{Server, curl, raw};
use crate::up::{Up, until};

/// The fields of a Record, as everybody may rely on them.
const RECORD: &str = "time ray location zone version client_ip method host path status source bytes_in bytes_out \
    duration_us origin_us cache verdict stages http tls ja4 bot_score country user_agent referer error";

#[test]
fn each_request_leaves_one_record_with_all_fields() {
    let site = Server::site();
    let up = Up::before(&site.url());
    let ways = [
        ("/?way=1", "--http1.1", false, "HTTP/1.1"),
        ("/?way=2", "--http2-prior-knowledge", false, "HTTP/2"),
        ("/?way=3", "--http1.1", true, "HTTP/1.1"),
        ("/?way=4", "--http2", true, "HTTP/2"),
        ("/status/404", "--http2", true, "HTTP/2"),
        ("/.seawall/trace", "--http1.1", false, "HTTP/1.1"),
    ];
    for (path, flag, tls, version) in ways {
        let url = if tls { up.tls_url(path) } else { up.url(path) };
        let answer = curl(&[
            flag,
            "--referer",
            "https://from.test/",
            "--user-agent",
            "somebody/1",
            &url,
        ]);
        let record = up.record_of(path);
        let keys: BTreeSet<&str> = record
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let missing: Vec<&str> = RECORD
            .split_whitespace()
            .filter(|key| !keys.contains(key))
            .collect();
        assert!(missing.is_empty(), "{missing:?} are missing in {record}");
        assert_eq!(record["status"], answer.status, "{record}");
        assert_eq!(
            record["ray"].as_str(),
            answer.field("seawall-ray"),
            "{record}"
        );
        assert_eq!(record["http"], version, "{record}");
        assert_eq!(
            record["tls"].as_str().unwrap().starts_with("TLSv1"),
            tls,
            "{record}"
        );
        assert_eq!(record["client_ip"], "127.0.0.1", "{record}");
        assert_eq!(record["method"], "GET", "{record}");
        assert_eq!(record["user_agent"], "somebody/1", "{record}");
        assert_eq!(record["referer"], "https://from.test/", "{record}");
        assert_eq!(
            record["source"],
            if path.starts_with("/.seawall") {
                "edge"
            } else {
                "origin"
            },
            "{record}"
        );
        assert!(
            record["bytes_out"].as_u64().unwrap() >= answer.body.len() as u64,
            "{record}"
        );
        assert!(record["bytes_in"].as_u64().unwrap() > 0, "{record}");
    }
    assert_eq!(up.records().len(), ways.len(), "not one Record per request");
}

#[test]
fn many_requests_leave_as_many_records() {
    let site = Server::site();
    let up = Up::before(&site.url());
    let config: String = (0..300)
        .map(|n| {
            format!(
                "url = \"{}\"\noutput = \"/dev/null\"\n",
                up.url(&format!("/?n={n}"))
            )
        })
        .collect();
    let list = up.folder().write("urls", &config);
    curl(&[
        "--config",
        list.to_str().unwrap(),
        "--parallel",
        &up.url("/last"),
    ]);
    let records = until("301 Records", || {
        Some(up.records()).filter(|records| records.len() >= 301)
    });
    let paths: BTreeSet<&str> = records
        .iter()
        .filter_map(|record| record["path"].as_str())
        .collect();
    assert_eq!((records.len(), paths.len()), (301, 301));
}

#[test]
fn a_request_that_failed_says_why_in_its_record() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let up = Up::before(&format!("http://{gone}"));
    curl(&[&up.url("/away")]);
    let record = up.record_of("/away");
    assert_eq!(record["status"], 502, "{record}");
    assert_eq!(record["source"], "edge", "{record}");
    assert!(
        record["error"]
            .as_str()
            .is_some_and(|error| error.contains("connection_refused")),
        "{record}"
    );

    let answer = raw(
        up.http(),
        "GET /twice HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let refused = until("a Record of the refused request", || {
        up.records()
            .into_iter()
            .find(|record| record["status"] == 400)
    });
    assert_ne!(refused["error"], "", "{refused}");
}

#[test]
fn credentials_never_reach_the_log() {
    let site = Server::site();
    let up = Up::before(&site.url());
    let url = up.url("/?token=hunter2secret&x=1");
    curl(&[
        "--user",
        "me:hunter2secret",
        "--cookie",
        "session=hunter2secret",
        &url,
    ]);
    let record = until("a Record", || up.records().into_iter().next());
    assert!(!record.to_string().contains("hunter2secret"), "{record}");
}

#[test]
fn health_and_readiness() {
    let site = Server::site();
    let up = Up::before(&site.url());
    assert_eq!(curl(&[&admin(&up, "/healthz")]).status, 200);
    let ready = curl(&[&admin(&up, "/readyz")]);
    assert_eq!(ready.status, 200, "{ready:?}");
    let answer: Value = serde_json::from_slice(&ready.body).unwrap_or_else(|_| panic!("{ready:?}"));
    assert_eq!(answer["degraded"], Value::Array(Vec::new()), "{answer}");
}

#[test]
fn metrics_are_prometheus_text_and_count() {
    let site = Server::site();
    let up = Up::before(&site.url());
    let before = total(&metrics(&up), "seawall_requests_total");
    for path in ["/", "/status/404", "/.seawall/trace"] {
        curl(&[&up.url(path)]);
    }
    until("three more requests in the metrics", || {
        (total(&metrics(&up), "seawall_requests_total") - before >= 3.0).then_some(())
    });
    let text = metrics(&up);
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        assert!(
            line.starts_with("seawall_") || line.starts_with("process_"),
            "{line}"
        );
        let value = line.rsplit(' ').next().unwrap_or_default();
        assert!(value.parse::<f64>().is_ok(), "no number: {line}");
    }
    let typed = text
        .lines()
        .filter(|line| line.starts_with("# TYPE "))
        .count();
    assert!(typed >= 5, "{typed} metrics:\n{text}");
}

#[test]
fn the_state_names_worker_zones_and_stages() {
    let site = Server::site();
    let up = Up::before(&site.url());
    let answer = curl(&[&admin(&up, "/state")]);
    let state: Value =
        serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
    for key in [
        "location",
        "worker_pid",
        "uptime_s",
        "config_age_s",
        "zones",
        "quarantined",
        "breakers",
        "stages",
    ] {
        assert!(state.get(key).is_some(), "{key} is missing in {state}");
    }
    assert_eq!(state["location"], "local");
    assert_eq!(state["worker_pid"], up.worker());
    let zones = state["zones"].as_object().expect("zones by name");
    assert_eq!(zones.len(), 1, "{state}");
    assert!(
        zones.values().all(|zone| zone.get("active").is_some()),
        "{state}"
    );
}

#[test]
fn the_admin_port_only_reads_and_knows_its_name() {
    let site = Server::site();
    let up = Up::before(&site.url());
    for path in ["/healthz", "/state", "/metrics"] {
        let status = curl(&["--request", "POST", "--data", "", &admin(&up, path)]).status;
        assert_eq!(status, 405, "POST {path}");
    }
    assert_eq!(curl(&[&admin(&up, "/nothing")]).status, 404);
    let rebound = curl(&["--header", "Host: attacker.test", &admin(&up, "/state")]);
    assert!(
        (400..500).contains(&rebound.status),
        "a Host that is not ours got {}",
        rebound.status
    );
    assert!(!rebound.text().contains("worker_pid"));
}

#[test]
fn up_json_names_what_runs() {
    let origin = Held::start();
    let up = Up::before(&origin.url());
    let state = up.state();
    for key in ["http", "https", "admin", "pids"] {
        assert!(state.get(key).is_some(), "{key} is missing in {state}");
    }
    // A role that does not exist or was left out is absent, not null.
    for key in ["dashboard", "status_page"] {
        assert!(state.get(key).is_none(), "{key} in {state}");
    }
    let log = up.log();
    for address in [up.http(), up.https(), up.admin()] {
        assert!(
            log.contains(&address.to_string()),
            "no line names {address}:\n{log}"
        );
    }
}

fn admin(up: &Up, path: &str) -> String {
    format!("http://{}{path}", up.admin())
}

fn metrics(up: &Up) -> String {
    let answer = curl(&[&admin(up, "/metrics")]);
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .field("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain")),
        "{answer:?}"
    );
    answer.text()
}

/// The sum over all labels of a metric.
fn total(text: &str, name: &str) -> f64 {
    let samples = text
        .lines()
        .filter(|line| line.split(['{', ' ']).next() == Some(name));
    samples
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
