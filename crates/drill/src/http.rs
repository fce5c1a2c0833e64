//! The smallest client that will do: one request of HTTP/1.1 on a connection of its own, and the whole answer, within a time.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

/// The most of an answer that is read, in bytes.
const LARGEST: u64 = 4 << 20;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// Not in time.
    #[error("no answer in time")]
    Late,
    /// Refused, reset, closed, or no HTTP.
    #[error("no answer: the connection was refused or broken off")]
    Broken,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    head: String,
    /// Its content.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a field, without spaces around it; the name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (is, value) = line.split_once(':')?;
            is.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn read(bytes: Vec<u8>) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let (head, rest) = bytes.split_at_checked(end)?;
        let head = std::str::from_utf8(head).ok()?.to_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut answer = Self {
            status,
            head,
            body: rest.get(4..)?.to_vec(),
        };
        match (
            answer.field("content-length"),
            answer.field("transfer-encoding"),
        ) {
            // What was cut is no answer.
            (Some(length), _) if length.parse() != Ok(answer.body.len()) => return None,
            (None, Some(_)) => answer.body = unchunked(&answer.body)?,
            _ => {}
        }
        Some(answer)
    }
}

fn unchunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = bytes.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(bytes.get(..line)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        bytes = bytes.get(line + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(bytes.get(..size)?);
        bytes = bytes.get(size + 2..)?;
    }
}

/// Sends a request, which must say `Connection: close`, and reads what comes.
///
/// # Errors
/// That nothing came, or not in time.
pub async fn ask(
    to: SocketAddr,
    from: Option<IpAddr>,
    request: &[u8],
    patience: Duration,
) -> Result<Answer, Failed> {
    let asked = async {
        let socket = TcpSocket::new_v4().ok()?;
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from, 0)).ok()?;
        }
        let mut stream = socket.connect(to).await.ok()?;
        stream.write_all(request).await.ok()?;
        let mut bytes = Vec::new();
        stream.take(LARGEST).read_to_end(&mut bytes).await.ok()?;
        Answer::read(bytes)
    };
    match tokio::time::timeout(patience, asked).await {
        Ok(answer) => answer.ok_or(Failed::Broken),
        Err(_) => Err(Failed::Late),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let read = |text: &str| Answer::read(text.as_bytes().to_vec());
        let plain = read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A:  b \r\n\r\nhi").unwrap();
        assert_eq!((plain.status, plain.field("x-a")), (200, Some("b")));
        assert_eq!(plain.body, b"hi");
        assert!(read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi").is_none());
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        assert_eq!(read(chunked).unwrap().body, b"hi");
        let cut = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi";
        for bad in [cut, "HTTP/1.1", "HTTP/1.1 200 OK\r\n", ""] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }
}
