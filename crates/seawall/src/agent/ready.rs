//! Whether this edge says that it is ready: asked as anybody would, at its admin port.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// As much of it as is looked at, in bytes.
const MOST: u64 = 64 << 10;

/// What `/readyz` says, apart from what was drained by hand; none where there is no admin port, false where nobody answers there.
pub async fn ask(up: &Path) -> Option<bool> {
    let text = tokio::fs::read(up).await.ok()?;
    let up: Value = serde_json::from_slice(&text).ok()?;
    let admin: SocketAddr = up.get("admin")?.as_str()?.parse().ok()?;
    let asked = tokio::time::timeout(PATIENCE, get(admin)).await;
    let Ok(Ok(answer)) = asked else {
        return Some(false);
    };
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let said: Value = serde_json::from_str(body).unwrap_or_default();
    let says = |what: &str| said.get(what).and_then(Value::as_bool);
    // Who was drained is well.
    Some(
        says("ready") == Some(true)
            || says("drained") == Some(true) && says("draining") == Some(false),
    )
}

async fn get(admin: SocketAddr) -> std::io::Result<String> {
    #[expect(clippy::disallowed_methods, reason = "this is our own admin port")]
    let mut stream = tokio::net::TcpStream::connect(admin).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
