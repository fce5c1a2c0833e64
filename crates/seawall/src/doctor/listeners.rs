//! What is to be listened on: can it be bound, over TCP and for HTTP/3 over UDP, and by one listener only?

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use super::Findings;
use crate::api;
use crate::cli::{Listen, Up};
use crate::message::{Plan, Role};

/// Each address with what listens there, in words; and whether UDP is listened on too.
fn wanted(up: &Up, plan: &Plan) -> Vec<(SocketAddr, String, bool)> {
    let mut wanted: Vec<_> = plan
        .listen
        .iter()
        .map(|one| {
            let (word, udp) = match one.role {
                Role::Http => ("[edge] http", false),
                Role::Https => ("[edge] https", plan.http3),
                Role::Parent => ("--parent", false),
                Role::Admin => ("the admin port", false),
            };
            (one.address, word.to_owned(), udp)
        })
        .collect();
    let dashboard = up.dashboard.map_or(Some(api::USUAL), Listen::address);
    let others = [
        (dashboard, "--dashboard"),
        (up.relay.and_then(Listen::address), "--relay"),
        (up.edges.and_then(Listen::address), "--edges"),
    ];
    wanted.extend(
        others
            .into_iter()
            .filter_map(|(address, word)| Some((address?, word.to_owned(), false))),
    );
    wanted
}

impl Findings {
    /// Each listener: can it be bound, or does our own process hold it already?
    pub(super) fn ports(&mut self, up: &Up, plan: &Plan) {
        let ours = std::fs::read(up.data.join("up.json")).unwrap_or_default();
        let ours = String::from_utf8_lossy(&ours).into_owned();
        let mut known: HashMap<SocketAddr, String> = HashMap::new();
        for (address, word, udp) in wanted(up, plan) {
            let twice = known
                .iter()
                .find(|(other, _)| are_one(**other, address))
                .map(|(other, word)| (*other, word.clone()));
            if let Some((other, before)) = twice {
                let fix =
                    "give each listener a port of its own: what one gets would be the other's";
                let what = format!("{word} and {before} ({other}) listen on the same port");
                self.bad(format!("port {address}"), what, fix);
                continue;
            }
            known.insert(address, word);
            let is_ours = ours.contains(&format!("\"{address}\""));
            self.tcp(address, is_ours);
            if udp {
                self.udp(address, is_ours);
            }
        }
    }

    fn tcp(&mut self, address: SocketAddr, is_ours: bool) {
        let about = format!("port {address}");
        if is_ours {
            return self.good(about, "held by the Seawall that runs on this data folder");
        }
        match TcpListener::bind(address) {
            Ok(_) => self.good(about, "free"),
            Err(error) => self.unbound(about, &error, "`ss -ltnp`"),
        }
    }

    fn udp(&mut self, address: SocketAddr, is_ours: bool) {
        let about = format!("UDP port {address} (HTTP/3)");
        match UdpSocket::bind(address) {
            Ok(_) if is_ours => {
                let fix = "the log tells why; [edge] http3 = false says that it is meant so";
                self.warn(about, "the Seawall that runs here does not have it", fix);
            }
            Ok(_) => self.good(about, "free"),
            Err(error) if is_ours && error.kind() == ErrorKind::AddrInUse => {
                self.good(about, "held by the Seawall that runs on this data folder");
            }
            Err(error) => self.unbound(about, &error, "`ss -lunp`"),
        }
    }

    fn unbound(&mut self, about: String, error: &std::io::Error, list: &str) {
        let fix = match error.kind() {
            ErrorKind::AddrInUse => {
                format!("{list} tells who has it: stop that, or choose another port")
            }
            ErrorKind::PermissionDenied => {
                "run as root, or give the right: setcap cap_net_bind_service=+ep $(command -v seawall), or AmbientCapabilities=CAP_NET_BIND_SERVICE in systemd".into()
            }
            _ => "choose an address that this machine has (`ip address`)".into(),
        };
        self.bad(about, format!("cannot be bound: {error}"), &fix);
    }
}

/// Whether two listeners would get the same connections. Port 0 is a free one each time; an address is not its neighbour's.
fn are_one(one: SocketAddr, other: SocketAddr) -> bool {
    let any = |address: SocketAddr| address.ip().is_unspecified();
    let alike = one.ip() == other.ip() || any(one) || any(other);
    one.port() != 0 && one.port() == other.port() && alike
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_that_would_be_one_are_seen() {
        for (one, other, same) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:80", "0.0.0.0:443", false),
        ] {
            let at = |text: &str| text.parse().unwrap();
            assert_eq!(are_one(at(one), at(other)), same, "{one} {other}");
        }
    }
}
