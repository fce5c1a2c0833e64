//! The origin of the bed: answers every request with what it was asked for, so that a client can tell a right answer.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The field in which it says which path it was asked for.
pub const ECHO: &str = "x-drill-echo";
/// The most of a request that is read, in bytes.
const LARGEST: usize = 64 << 10;

/// Starts it on a port of this machine. It ends with the tasks that it runs among.
///
/// # Errors
/// When there is no port.
pub async fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let listens = listener.local_addr()?;
    tokio::task::spawn_local(async move {
        loop {
            match listener.accept().await {
                // Whoever breaks off is let go.
                Ok((stream, _)) => drop(tokio::task::spawn_local(serve(stream))),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    });
    Ok(listens)
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    let mut bytes = Vec::new();
    loop {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            if bytes.len() > LARGEST || stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
        let whole = end + 4 + length(&head);
        while bytes.len() < whole.min(LARGEST) {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        bytes.drain(..whole.min(bytes.len()));
        stream.write_all(answer(&head).as_bytes()).await?;
    }
}

fn length(head: &str) -> usize {
    let named = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = named.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths
        .next()
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

fn answer(head: &str) -> String {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let kind = if path.ends_with(".css") {
        "text/css"
    } else {
        "text/plain"
    };
    let body = if head.starts_with("HEAD ") { "" } else { path };
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nX-Powered-By: drill\r\n{ECHO}: {path}\r\nContent-Length: {}\r\n\r\n{body}",
        path.len()
    )
}
