//! What a worker sets up from what it was given: listeners for its threads, its log; and how it asks itself.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use anyhow::{Result, bail};
use seawall_model::Document;
use seawall_model::document::AccessLog as LogChoice;
use seawall_proxy::worker::{Kind, Listener};
use seawall_telemetry::{LogConfig, LogTarget};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::data::Data;
use crate::message::{Role, Socket};

/// Bytes of log lines that may wait for the disk.
const LOG_QUEUE: usize = 2 << 20;
/// What each thread listens on, and the admin port's socket.
pub struct Spread {
    /// Of each thread.
    pub listeners: Vec<Vec<Listener>>,
    /// Of the thread beside them.
    pub admin: Option<TcpListener>,
}

/// Gives each thread its sockets. Where there are more threads than sockets for an address, they share.
///
/// # Errors
/// When there is nothing to listen on, or no descriptor left.
pub fn spread(sockets: &[(Socket, OwnedFd)], threads: usize) -> Result<Spread> {
    let mut listeners: Vec<Vec<Listener>> = (0..threads).map(|_| Vec::new()).collect();
    let mut admin = None;
    let mut places: Vec<(Role, SocketAddr)> = Vec::new();
    for (told, _) in sockets {
        let place = (told.role, told.address);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    if !places
        .iter()
        .any(|(role, _)| matches!(role, Role::Http | Role::Https))
    {
        bail!("neither HTTP nor HTTPS is listened on (give --http or --https an address)");
    }
    for (role, address) in places {
        let of_it: VecDeque<&OwnedFd> = sockets
            .iter()
            .filter(|(told, _)| (told.role, told.address) == (role, address))
            .map(|(_, socket)| socket)
            .collect();
        for nth in 0..of_it.len().max(threads) {
            let Some(socket) = of_it.get(nth % of_it.len()) else {
                continue;
            };
            let socket = TcpListener::from(socket.try_clone()?);
            if role == Role::Admin {
                admin = Some(socket);
                break;
            }
            if let Some(thread) = listeners.get_mut(nth % threads) {
                let kind = match role {
                    Role::Https => Kind::Https,
                    Role::Parent => Kind::Locations,
                    Role::Http | Role::Admin => Kind::Http,
                };
                thread.push(Listener { socket, kind });
            }
        }
    }
    Ok(Spread { listeners, admin })
}

/// Where Records go.
pub fn log_config(document: &Document, data: &Data) -> LogConfig {
    match &document.edge.access_log {
        LogChoice::Off => LogConfig {
            target: LogTarget::Off,
            ..LogConfig::default()
        },
        LogChoice::File(file) => LogConfig {
            target: if file.file.as_os_str() == "-" {
                LogTarget::Stdout
            } else {
                LogTarget::File(data.path(&file.file))
            },
            rotate_at: file.rotate_at,
            keep: file.keep as usize,
            queue_bytes: LOG_QUEUE,
        },
    }
}

/// Asks a thread of ours, as a client would.
///
/// # Errors
/// When it does not answer.
#[expect(
    clippy::disallowed_methods,
    reason = "it is our own listener, which no policy lets anybody else reach"
)]
pub async fn ask(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /.seawall/trace HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    stream.take(64 << 10).read_to_end(&mut answer).await?;
    Ok(answer)
}
