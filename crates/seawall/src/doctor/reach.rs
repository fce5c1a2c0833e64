//! Public reachability, as far as it can be seen without anybody else: do the hosts of zones lead to the Seawall that runs on this data
//! folder? Each address of each host is asked over the network, as a client would ask it.
//!
//! Ours is told from any other server by its name in `CDN-Loop` (RFC 8586), which is random and made once: a request with that name came through it
//! before, so it refuses it for this reason, and nobody else has one to. Not here: what lies between this machine and other networks.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use seawall_model::Document;
use seawall_net::alarm::Alarm;
use seawall_net::outward::{self, ConnectFault, Outward};
use seawall_net::stream::Stream;
use seawall_net::tls::TlsStream;
use seawall_net::tls::config::{self, OriginWants};
use serde_json::Value;

use super::{Findings, PATIENCE, is_here, names};

/// Hosts that are asked.
const HOSTS: usize = 20;
/// Addresses of a host that are asked.
const ADDRESSES: usize = 4;
/// All of them together may take so long.
const LONGEST: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read.
const ANSWER: usize = 16 << 10;
/// What an edge says whose own request came round.
const CAME_ROUND: &str = "error=proxy_loop_detected";

impl Findings {
    /// Do clients of the hosts come here?
    pub(super) async fn reach(&mut self, data: &Path, document: &Document) {
        match Here::of(data, document) {
            Some(here) => self.all(&here, document).await,
            None => self.warn(
                "public reachability",
                "hosts were not asked whether they lead here: no Seawall serves on this data folder",
                "start it, and run `seawall doctor` again",
            ),
        }
        if is_loopback_alone(data, document) {
            return self.good(
                "public reachability",
                "not looked at: what runs here listens on this machine's loopback alone",
            );
        }
        let fix = "from another network: curl -I http://YOUR-HOST/ and https://YOUR-HOST/; when it hangs, open ports 80 and 443 in firewall, cloud security group and router";
        self.warn(
            "public reachability",
            "what lies between this machine and other networks cannot be seen from here, and Seawall asks no outside service",
            fix,
        );
    }

    async fn all(&mut self, here: &Here, document: &Document) {
        let due = Instant::now() + LONGEST;
        let mut left = 0_usize;
        for (nth, name) in names(document).enumerate() {
            if nth >= HOSTS || Instant::now() >= due {
                left += 1;
            } else {
                self.host(here, name).await;
            }
        }
        if left > 0 {
            self.warn(
                "public reachability",
                format!("{left} host(s) more were not asked whether they lead here"),
                "ask those that matter by hand: curl -I http://HOST/",
            );
        }
    }

    async fn host(&mut self, here: &Here, name: &str) {
        let bare = name.trim_matches(['[', ']']);
        let found = tokio::time::timeout(PATIENCE, outward::resolve(bare, 0)).await;
        // What has no address is told already.
        let Ok(Ok(addresses)) = found else { return };
        let about = format!("reach {name}");
        let mut ips: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
        ips.dedup();
        let mut ours = Vec::new();
        for ip in ips.into_iter().take(ADDRESSES) {
            for (port, tls) in &here.ports {
                let at = SocketAddr::new(ip, *port);
                let scheme = if *tls { "https" } else { "http" };
                match here.ask(at, name, *tls).await {
                    Answer::Ours => ours.push(format!("{scheme} at {at}")),
                    other => {
                        let (what, fix) = other.told(at, name);
                        self.warn(&*about, format!("{scheme} at {at}: {what}"), &fix);
                    }
                }
            }
        }
        if !ours.is_empty() {
            let what = format!("comes to this edge: {}", ours.join(", "));
            self.good(about, what);
        }
    }
}

/// The Seawall that runs on a data folder.
struct Here {
    /// Its name in `CDN-Loop`.
    node: String,
    /// Where clients reach it, and whether by TLS.
    ports: Vec<(u16, bool)>,
    outward: Outward,
    tls: Arc<ClientConfig>,
}

impl Here {
    /// None where none runs, as far as its folder tells.
    fn of(data: &Path, document: &Document) -> Option<Self> {
        let node = std::fs::read_to_string(data.join("node")).ok()?;
        if node.is_empty() || !node.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let up = up(data)?;
        let first = |listener: &str| first(&up, listener).map(|at| at.port());
        let edge = &document.edge;
        let http = first("http").map(|own| (edge.public_http.unwrap_or(own), false));
        let https = first("https").map(|own| (edge.public_https.unwrap_or(own), true));
        let tls = config::origin(OriginWants {
            // Whether the certificate is good is looked at elsewhere; a self-signed one comes here as well.
            unverified: true,
            http1: true,
            ..OriginWants::default()
        });
        Some(Self {
            node,
            ports: http.into_iter().chain(https).collect(),
            outward: Outward::new(true, true, true),
            tls: tls.ok()?,
        })
    }

    async fn ask(&self, at: SocketAddr, name: &str, tls: bool) -> Answer {
        let mut alarm = Alarm::new(PATIENCE);
        let tcp = match self.outward.connect(at, &mut alarm).await {
            Ok(tcp) => tcp,
            Err(ConnectFault::Refused) => return Answer::Refused,
            Err(ConnectFault::Slow) => return Answer::Silent,
            Err(fault) => return Answer::Failed(fault.to_string()),
        };
        let stream = if tls {
            let Ok(server) = ServerName::try_from(name.trim_matches(['[', ']']).to_owned()) else {
                return Answer::Failed("no name for TLS".into());
            };
            match TlsStream::connect(tcp, self.tls.clone(), server, &mut alarm).await {
                Ok(stream) => Stream::Tls(Box::new(stream)),
                Err(fault) => return Answer::Failed(format!("the TLS handshake fails: {fault}")),
            }
        } else {
            Stream::Plain(tcp.into())
        };
        let request = format!(
            "GET /.seawall/trace HTTP/1.1\r\nHost: {name}\r\nUser-Agent: seawall-doctor\r\nCDN-Loop: {}\r\nConnection: close\r\n\r\n",
            self.node
        );
        match tokio::time::timeout(PATIENCE, head_of(&stream, request.as_bytes())).await {
            Ok(Ok(head)) => Answer::of(&head),
            Ok(Err(error)) => Answer::Failed(error.to_string()),
            Err(_) => Answer::Silent,
        }
    }
}

/// What runs on a data folder, as its file tells.
fn up(data: &Path) -> Option<Value> {
    let up = std::fs::read(data.join("up.json")).ok()?;
    serde_json::from_slice(&up).ok()
}

/// Where a listener is, the first one where it has several addresses.
fn first(up: &Value, listener: &str) -> Option<SocketAddr> {
    let told = up.get(listener)?;
    let text = told.as_str().or_else(|| told.as_array()?.first()?.as_str());
    text?.parse().ok()
}

/// Whether nobody elsewhere is meant to come to what runs on a data folder, which has no other port in front of it either.
fn is_loopback_alone(data: &Path, document: &Document) -> bool {
    let edge = &document.edge;
    let Some(up) = up(data) else { return false };
    let known = ["http", "https"].map(|listener| first(&up, listener));
    // Of several addresses of a listener the file tells the others.
    let more = edge.http.iter().skip(1).chain(edge.https.iter().skip(1));
    let is_mapped = edge.public_http.is_some() || edge.public_https.is_some();
    let mut all = known.iter().flatten().chain(more).peekable();
    !is_mapped && all.peek().is_some() && all.all(|at| at.ip().is_loopback())
}

/// Sends a request; the head of its answer, as far as it came.
async fn head_of(stream: &Stream, request: &[u8]) -> std::io::Result<String> {
    stream.write_all(request).await?;
    let mut answer = Vec::with_capacity(ANSWER);
    while answer.len() < ANSWER && stream.read(&mut answer).await? > 0 {
        if answer.windows(4).any(|four| four == b"\r\n\r\n") {
            break;
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let head = text.split_once("\r\n\r\n").map(|(head, _)| head.to_owned());
    Ok(head.unwrap_or(text))
}

/// Who answers there.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// The Seawall that runs here.
    Ours,
    /// Another one, with this status line.
    Another(String),
    /// Something else, with this first line.
    Else(String),
    Refused,
    Silent,
    Failed(String),
}

impl Answer {
    fn of(head: &str) -> Self {
        let lower = head.to_ascii_lowercase();
        let line = head.lines().next().unwrap_or_default();
        let plain = line.chars().filter(|c| !c.is_control());
        let line: String = plain.take(80).collect();
        let is_seawall = lower.contains("\nseawall-ray:");
        match is_seawall {
            true if lower.contains(CAME_ROUND) => Self::Ours,
            true => Self::Another(line),
            false => Self::Else(line),
        }
    }

    /// What that means, and what can be done.
    fn told(&self, at: SocketAddr, name: &str) -> (String, String) {
        let elsewhere = |who: &str| {
            format!(
                "right where {who}; else let the A and AAAA records of {name} name this machine, or what forwards to it, and wait for their TTL. \
                 A router that does not lead its own network back (no hairpin NAT) answers itself: ask from another network then"
            )
        };
        let blocked = format!(
            "open TCP port {} to this machine in firewall, cloud security group and router. \
             A router that does not lead its own network back (no hairpin NAT) looks the same from here: ask from another network too",
            at.port()
        );
        match self {
            Self::Ours => (String::new(), String::new()),
            Self::Another(line) => (
                format!("another Seawall answers ({line})"),
                elsewhere("that is another location of yours"),
            ),
            Self::Else(line) => (
                format!("something that is not this edge answers ({line})"),
                elsewhere("that is another CDN of yours, which does not pass on CDN-Loop"),
            ),
            Self::Refused if is_here(at.ip()) => (
                "nobody listens there".into(),
                format!(
                    "let [edge] http and https listen at this address too (0.0.0.0 and [::] are all), or take it out of the records of {name}"
                ),
            ),
            Self::Refused => ("connection refused".into(), blocked),
            Self::Silent => (
                format!("no answer within {} s", PATIENCE.as_secs()),
                blocked,
            ),
            Self::Failed(why) => (why.clone(), blocked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_told_from_others() {
        let ours = "HTTP/1.1 508 Loop Detected\r\nSeawall-Ray: 0123456789abcdef-lhr\r\nProxy-Status: seawall; error=proxy_loop_detected";
        assert_eq!(Answer::of(ours), Answer::Ours);
        let another = "HTTP/1.1 200 OK\r\nseawall-ray: 0123456789abcdef-fra";
        assert_eq!(
            Answer::of(another),
            Answer::Another("HTTP/1.1 200 OK".into())
        );
        // Another CDN that we came round to would say the same, and is not Seawall.
        let cdn = "HTTP/1.1 508 Loop\r\nproxy-status: cdn; error=proxy_loop_detected";
        assert_eq!(Answer::of(cdn), Answer::Else("HTTP/1.1 508 Loop".into()));
        let at = "192.0.2.1:443".parse().unwrap();
        let (what, fix) = Answer::Silent.told(at, "a.test");
        assert!(what.contains("no answer") && fix.contains("port 443"));
        let (_, fix) = Answer::Else(String::new()).told(at, "a.test");
        assert!(fix.contains("records of a.test"));
    }
}
