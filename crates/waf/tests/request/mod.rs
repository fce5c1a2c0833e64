//! Requests to ask rules about, and rules to ask: programs of a text, and requests on loopback that say what a test is about.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests; each file of tests uses some of them"
)]

use std::net::{IpAddr, Ipv4Addr};

use seawall_model::Fuel;
use seawall_waf::{Body, Engine, File, Options, Program, Request, RuleSet, Transaction, Zone};

/// Field lines, as a request has them.
pub type Headers<'r> = &'r [(&'r [u8], &'r [u8])];

/// A zone whose rules interrupt, and that sets nothing.
pub const ON: Zone = Zone {
    engine: Some(Engine::On),
    variables: Vec::new(),
    partial: false,
};

/// The program of these rules.
pub fn program(text: &str) -> Program {
    let file = File { name: "a", text };
    let set = RuleSet::parse(&[file], &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    set.compile(Options::default()).unwrap()
}

/// A GET of this target.
pub fn get<'r>(target: &'r str, headers: Headers<'r>) -> Request<'r> {
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Request {
        client: local,
        client_port: 1,
        server: local,
        server_port: 80,
        line: b"GET / HTTP/1.1",
        method: b"GET",
        target: target.as_bytes(),
        protocol: b"HTTP/1.1",
        headers,
        unique_id: b"1",
        time: 0,
    }
}

/// The phases of a request without a body.
pub fn ask(transaction: &mut Transaction<'_>, fuel: &mut Fuel) {
    transaction.request_head(fuel).unwrap();
    transaction.request_body(Body::default(), fuel).unwrap();
}
