//! The load generators that are not ours: wrk and h2load, and what they print.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::contenders::{HOST, Running, Yard};
use super::process::run_tool;
use super::rows::{File, Protocol};

/// What a generator says about one run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Load {
    pub completed: u64,
    /// Per second, by the generator's own clock.
    pub rate: f64,
}

/// HTTP/1.1 without TLS for whole seconds.
pub fn wrk(
    yard: &Yard,
    running: &Running,
    file: File,
    connections: u32,
    seconds: u64,
) -> Result<Load> {
    let mut command = Command::new("wrk");
    command.args([
        "-t1",
        &format!("-c{connections}"),
        &format!("-d{seconds}s"),
        "-H",
        &format!("Host: {HOST}"),
    ]);
    command.arg(format!("http://127.0.0.1:{}{}", running.http, file.path()));
    let patience = Duration::from_secs(seconds + 20);
    let printed = run_tool("wrk", command, yard.cpus.load, patience, yard.scratch())?;
    parse_wrk(&printed).with_context(|| format!("wrk against {}:\n{printed}", running.who))
}

/// How h2load asks.
#[derive(Clone, Copy)]
pub struct Asking {
    pub protocol: Protocol,
    pub file: File,
    pub requests: u64,
    pub connections: u32,
    /// At once on a connection.
    pub streams: u32,
}

/// A fixed number of requests: HTTP/2 goes over TLS, HTTP/1.1 without. h2load resumes no session.
pub fn h2load(yard: &Yard, running: &Running, asking: &Asking) -> Result<Load> {
    let (scheme, port) = match asking.protocol {
        Protocol::Http1 => ("http", running.http),
        Protocol::Http2 => ("https", running.https),
    };
    let mut command = Command::new("h2load");
    command.args([
        "-t1",
        "-n",
        &asking.requests.to_string(),
        "-c",
        &asking.connections.to_string(),
    ]);
    command.args([
        "-m",
        &asking.streams.to_string(),
        &format!("--connect-to=127.0.0.1:{port}"),
    ]);
    if asking.protocol == Protocol::Http1 {
        command.arg("--h1");
    }
    command.arg(format!("{scheme}://{HOST}:{port}{}", asking.file.path()));
    let printed = run_tool(
        "h2load",
        command,
        yard.cpus.load,
        Duration::from_secs(120),
        yard.scratch(),
    )?;
    parse_h2load(&printed).with_context(|| format!("h2load against {}:\n{printed}", running.who))
}

fn parse_wrk(printed: &str) -> Result<Load> {
    let mut load = Load {
        completed: 0,
        rate: 0.0,
    };
    for line in printed.lines().map(str::trim) {
        if let Some((count, _)) = line.split_once(" requests in ") {
            load.completed = count.trim().parse()?;
        } else if let Some(rate) = line.strip_prefix("Requests/sec:") {
            load.rate = rate.trim().parse()?;
        } else if line.starts_with("Non-2xx") || line.starts_with("Socket errors") {
            bail!("{line}");
        }
    }
    some(load)
}

fn parse_h2load(printed: &str) -> Result<Load> {
    let mut load = Load {
        completed: 0,
        rate: 0.0,
    };
    for line in printed.lines().map(str::trim) {
        if let Some(counts) = line.strip_prefix("requests:") {
            let count = |name| {
                let mut parts = counts
                    .split(',')
                    .filter_map(|part| part.trim().strip_suffix(name));
                parts
                    .next()
                    .and_then(|number| number.trim().parse::<u64>().ok())
            };
            let total = count("total").context("no total")?;
            let succeeded = count("succeeded").context("no succeeded")?;
            if total != succeeded {
                bail!("of {total} requests {succeeded} succeeded");
            }
            load.completed = succeeded;
        } else if let Some(rest) = line.strip_prefix("finished in ") {
            let rate = rest
                .split(',')
                .find_map(|part| part.trim().strip_suffix("req/s"));
            load.rate = rate.context("no rate")?.trim().parse()?;
        }
    }
    some(load)
}

fn some(load: Load) -> Result<Load> {
    if load.completed == 0 {
        bail!("no request completed");
    }
    Ok(load)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRK: &str = "Running 2s test @ http://127.0.0.1:1/1k
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.02ms  120.00us   9.10ms   91.01%
  124790 requests in 2.00s, 150.20MB read
Requests/sec:  62395.12
Transfer/sec:     75.10MB
";

    #[test]
    fn wrk_counts() {
        assert_eq!(
            parse_wrk(WRK).expect("parses"),
            Load {
                completed: 124_790,
                rate: 62_395.12
            }
        );
    }

    #[test]
    fn wrk_errors_void_the_run() {
        assert!(parse_wrk(&format!("{WRK}  Non-2xx or 3xx responses: 3\n")).is_err());
        assert!(
            parse_wrk(&format!(
                "{WRK}  Socket errors: connect 0, read 1, write 0, timeout 0\n"
            ))
            .is_err()
        );
        assert!(parse_wrk("").is_err());
    }

    #[test]
    fn h2load_counts() {
        let printed = "finished in 1.20s, 2080.35 req/s, 2.32MB/s\n\
            requests: 2500 total, 2500 started, 2500 done, 2500 succeeded, 0 failed, 0 errored, 0 timeout\n";
        assert_eq!(
            parse_h2load(printed).expect("parses"),
            Load {
                completed: 2500,
                rate: 2080.35
            }
        );
        assert!(parse_h2load(&printed.replace("2500 succeeded", "2499 succeeded")).is_err());
    }
}
