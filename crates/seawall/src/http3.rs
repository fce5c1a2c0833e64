//! The UDP sockets of HTTP/3, beside those of HTTPS.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use seawall_net::quic::{Group, Part};
use seawall_proxy::connection::http3::Quic;
use seawall_proxy::slot::Slot;

/// What is needed to speak HTTP/3, if it is spoken anywhere.
pub fn quic(slot: &Arc<Slot>, served: &[SocketAddr], public: Option<u16>) -> Result<Option<Quic>> {
    if served.is_empty() {
        return Ok(None);
    }
    let ports: Vec<(u16, u16)> = served
        .iter()
        .map(|address| (address.port(), public.unwrap_or(address.port())))
        .collect();
    let quic = Quic::new(slot.clone(), Arc::default(), &ports);
    Ok(Some(quic.context("HTTP/3 cannot be set up")?))
}

/// Binds UDP beside an HTTPS listener. Without it the site is served all the same, and a note says what is missing.
pub fn listen(
    address: SocketAddr,
    threads: &mut [Vec<Part>],
    notes: &mut Vec<String>,
    served: &mut Vec<SocketAddr>,
) {
    let group = match Group::bind(address, threads.len(), generation()) {
        Ok(group) => group,
        Err(error) => {
            let note = format!("no HTTP/3 on {address}: UDP cannot be bound ({error})");
            return notes.push(note);
        }
    };
    if let Some(error) = &group.unsteered {
        notes.push(format!(
            "HTTP/3 on {address}: the kernel does not steer datagrams to threads ({error}); they are passed on, more slowly"
        ));
    }
    for (thread, part) in threads.iter_mut().zip(group.split()) {
        thread.push(part);
    }
    served.push(address);
}

/// Which process of those that may share a port one after the other this is, as connection ids say it.
fn generation() -> u8 {
    std::process::id() as u8
}
