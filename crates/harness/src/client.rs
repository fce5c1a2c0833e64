//! An HTTP/1.1 client over TCP or TLS that sends exactly the bytes it is given and believes nothing.
//!
//! Responses are read by the letter of RFC 9112: a lone LF, a space before a colon, two framings from the edge are an
//! error of the test, not something to be lenient about.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

use crate::answer::Answer;
use crate::patience::within;
use crate::socket::Socket;
use crate::strict::is_token;

/// How to get to the edge.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// TLS with this configuration and server name. An empty name sends no SNI.
    pub tls: Option<(Arc<ClientConfig>, String)>,
}

/// Opens a connection, with TLS when the target says so.
pub async fn connect(target: &Target) -> Result<Socket> {
    connect_with(target, None).await
}

/// The same, where the kernel holds at most so many bytes that were not read.
pub async fn connect_with(target: &Target, receive_buffer: Option<u32>) -> Result<Socket> {
    let socket = if target.address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    let tcp = within("a connection", socket.connect(target.address))
        .await?
        .context("connect")?;
    tcp.set_nodelay(true)?;
    let Some((config, name)) = &target.tls else {
        return Ok(Socket::Plain(tcp));
    };
    let name = if name.is_empty() {
        ServerName::IpAddress(target.address.ip().into())
    } else {
        ServerName::try_from(name.clone()).context("server name")?
    };
    let handshake = TlsConnector::from(config.clone()).connect(name, tcp);
    let tls = within("the TLS handshake", handshake)
        .await?
        .context("TLS handshake")?;
    Ok(Socket::Tls(Box::new(tls.into())))
}

/// A connection on which bytes go out and responses come in.
#[derive(Debug)]
pub struct Connection {
    reader: ReadHalf<Socket>,
    writer: WriteHalf<Socket>,
    buffer: Vec<u8>,
    /// The other side has closed, and how.
    closed: Option<String>,
    /// The TLS handshake resumed an earlier session.
    pub resumed: bool,
}

impl Connection {
    pub async fn open(target: &Target) -> Result<Self> {
        Ok(Self::over(connect(target).await?))
    }

    pub fn over(socket: Socket) -> Self {
        let resumed = socket.resumed();
        let (reader, writer) = tokio::io::split(socket);
        Self {
            reader,
            writer,
            buffer: Vec::new(),
            closed: None,
            resumed,
        }
    }

    /// Sends bytes. An edge that has closed already is no error here: what it answered is what counts.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _judged_by_the_answer = self.writer.write_all(bytes).await;
        let _judged_by_the_answer = self.writer.flush().await;
    }

    /// Sends bytes piece by piece with a pause after each, and stops when the edge closes or answers.
    pub async fn drip(&mut self, bytes: &[u8], piece: usize, every: Duration) {
        for part in bytes.chunks(piece.max(1)) {
            if self.writer.write_all(part).await.is_err() {
                return;
            }
            let _judged_by_the_answer = self.writer.flush().await;
            match tokio::time::timeout(every, self.fill()).await {
                Err(_) => {}
                Ok(_) => return,
            }
        }
    }

    /// Says that nothing more will be sent (FIN, or `close_notify`).
    pub async fn half_close(&mut self) {
        let _may_be_gone = self.writer.shutdown().await;
    }

    /// Sends and reads at the same time, so that an early response to a long body is seen.
    pub async fn exchange(&mut self, method: &str, bytes: &[u8]) -> Result<Option<Answer>> {
        let Self {
            reader,
            writer,
            buffer,
            closed,
            ..
        } = self;
        let mut inbound = Inbound {
            reader,
            buffer,
            closed,
        };
        let mut sending = std::pin::pin!(async {
            let _judged_by_the_answer = writer.write_all(bytes).await;
            let _judged_by_the_answer = writer.flush().await;
            std::future::pending::<()>().await;
        });
        tokio::select! {
            answer = within("a response", inbound.response(method)) => answer?,
            () = &mut sending => bail!("cannot be"),
        }
    }

    /// Reads the next response. `None`: the edge closed without one.
    pub async fn response(&mut self, method: &str) -> Result<Option<Answer>> {
        within("a response", self.inbound().response(method)).await?
    }

    /// Waits until the edge closes; what it still sends is returned.
    pub async fn closed(&mut self) -> Result<Vec<u8>> {
        let mut inbound = self.inbound();
        within("the edge to close the connection", async {
            while inbound.fill().await {}
        })
        .await?;
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Whether nothing more has come within `pause`, neither bytes nor the end.
    pub async fn quiet_for(&mut self, pause: Duration) -> bool {
        self.buffer.is_empty()
            && self.closed.is_none()
            && tokio::time::timeout(pause, self.fill()).await.is_err()
    }

    /// Reads `count` bytes, for what follows a 101.
    pub async fn raw(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut inbound = self.inbound();
        let enough = within("bytes", async {
            while inbound.buffer.len() < count {
                if !inbound.fill().await {
                    return false;
                }
            }
            true
        });
        if !enough.await? {
            bail!(
                "closed ({:?}) after {} of {count} bytes",
                self.closed,
                self.buffer.len()
            );
        }
        Ok(self.buffer.drain(..count).collect())
    }

    async fn fill(&mut self) -> bool {
        self.inbound().fill().await
    }

    fn inbound(&mut self) -> Inbound<'_> {
        Inbound {
            reader: &mut self.reader,
            buffer: &mut self.buffer,
            closed: &mut self.closed,
        }
    }
}

/// The reading half with what was read ahead.
struct Inbound<'a> {
    reader: &'a mut ReadHalf<Socket>,
    buffer: &'a mut Vec<u8>,
    closed: &'a mut Option<String>,
}

/// How a response's body ends (RFC 9112 §6.3).
enum End {
    Nothing,
    Length(usize),
    Chunked,
    Close,
}

impl Inbound<'_> {
    /// Reads more; false when the connection has ended.
    async fn fill(&mut self) -> bool {
        if self.closed.is_some() {
            return false;
        }
        match self.reader.read_buf(self.buffer).await {
            Ok(0) => *self.closed = Some("closed".into()),
            Ok(_) => return true,
            Err(error) => *self.closed = Some(format!("{error}")),
        }
        false
    }

    async fn response(&mut self, method: &str) -> Result<Option<Answer>> {
        let mut informational = Vec::new();
        loop {
            let Some(head) = self.head().await? else {
                let why = self.closed.clone().unwrap_or_default();
                let nothing = self.buffer.is_empty() && informational.is_empty();
                let cut = Answer {
                    informational,
                    ..Answer::cut("h1", format!("{why} before a whole head"))
                };
                return Ok((!nothing).then_some(cut));
            };
            let (status, fields) = read_head(&head)?;
            if (100..200).contains(&status) && status != 101 {
                informational.push(status);
                continue;
            }
            let mut answer = Answer {
                status,
                fields,
                informational,
                protocol: "h1",
                ..Answer::default()
            };
            let end = end_of(&answer, method)?;
            self.body(&mut answer, end).await?;
            return Ok(Some(answer));
        }
    }

    /// The bytes of a head without the empty line.
    async fn head(&mut self) -> Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            let from = searched;
            if let Some(found) = self.buffer[from..]
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                let head = self.buffer[..from + found].to_vec();
                self.buffer.drain(..from + found + 4);
                return Ok(Some(head));
            }
            searched = self.buffer.len().saturating_sub(3);
            if self.buffer.len() > 1 << 20 {
                bail!("a response head of more than 1 MiB");
            }
            if !self.fill().await {
                return Ok(None);
            }
        }
    }

    async fn body(&mut self, answer: &mut Answer, end: End) -> Result<()> {
        match end {
            End::Nothing => {}
            End::Length(length) => {
                while self.buffer.len() < length && self.fill().await {}
                let have = self.buffer.len().min(length);
                answer.body = self.buffer.drain(..have).collect();
                if have < length {
                    answer.cut = Some(format!("{} after {have} of {length} bytes", self.ending()));
                }
            }
            End::Close => {
                while self.fill().await {}
                answer.body = std::mem::take(self.buffer);
                if self.ending() != "closed" {
                    answer.cut = Some(self.ending());
                }
            }
            End::Chunked => self.chunks(answer).await?,
        }
        Ok(())
    }

    async fn chunks(&mut self, answer: &mut Answer) -> Result<()> {
        loop {
            let Some(line) = self.line().await? else {
                answer.cut = Some(format!("{} where a chunk should begin", self.ending()));
                return Ok(());
            };
            if line.is_empty()
                || line.len() > 16
                || !line.bytes().all(|byte| byte.is_ascii_hexdigit())
            {
                bail!("the edge sent the chunk size {line:?} (RFC 9112 §7.1)");
            }
            let size = usize::from_str_radix(&line, 16)?;
            if size == 0 {
                break;
            }
            while self.buffer.len() < size + 2 && self.fill().await {}
            let have = self.buffer.len().min(size);
            answer.body.extend(self.buffer.drain(..have));
            if have < size || self.buffer.len() < 2 {
                answer.cut = Some(format!("{} within a chunk", self.ending()));
                return Ok(());
            }
            if self.buffer.drain(..2).ne(*b"\r\n") {
                bail!("the edge's chunk does not end with CRLF (RFC 9112 §7.1)");
            }
        }
        loop {
            match self.line().await? {
                None => {
                    answer.cut = Some(format!("{} within the trailers", self.ending()));
                    return Ok(());
                }
                Some(line) if line.is_empty() => return Ok(()),
                Some(line) => answer.trailers.push(read_field(&line)?),
            }
        }
    }

    async fn line(&mut self) -> Result<Option<String>> {
        let mut searched = 0;
        loop {
            if let Some(found) = self.buffer[searched..]
                .iter()
                .position(|byte| *byte == b'\n')
            {
                let line: Vec<u8> = self.buffer.drain(..searched + found + 1).collect();
                let Some(line) = line.strip_suffix(b"\r\n") else {
                    bail!("the edge sent LF without CR (RFC 9112 §2.2)")
                };
                return Ok(Some(String::from_utf8_lossy(line).into_owned()));
            }
            searched = self.buffer.len();
            if !self.fill().await {
                return Ok(None);
            }
        }
    }

    fn ending(&self) -> String {
        self.closed.clone().unwrap_or_else(|| "open".into())
    }
}

fn end_of(answer: &Answer, method: &str) -> Result<End> {
    let coding = answer.field("transfer-encoding");
    let length = answer.field("content-length");
    let status = answer.status;
    let bodiless = status < 200 || status == 204;
    if bodiless && (coding.is_some() || length.is_some()) {
        bail!("the edge framed a body of a {status} (RFC 9110 §8.6)\n{answer}");
    }
    if bodiless || method == "HEAD" || status == 304 || (method == "CONNECT" && status < 300) {
        return Ok(End::Nothing);
    }
    match (coding, length) {
        (Some(_), Some(_)) => bail!("the edge sent Transfer-Encoding and Content-Length\n{answer}"),
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(End::Chunked),
        (Some(coding), None) => bail!("the edge sent Transfer-Encoding {coding:?}"),
        (None, Some(length)) => Ok(End::Length(
            length.parse().context("the edge's Content-Length")?,
        )),
        (None, None) => Ok(End::Close),
    }
}

fn read_head(head: &[u8]) -> Result<(u16, Vec<(String, String)>)> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.split_at_checked(3))
        .filter(|(_, reason)| reason.starts_with(' '))
        .and_then(|(digits, _)| digits.parse::<u16>().ok())
        .filter(|status| (100..1000).contains(status));
    let Some(status) = status else {
        bail!("the edge sent the status line {status_line:?} (RFC 9112 §4)")
    };
    let fields = lines.map(read_field).collect::<Result<Vec<_>>>()?;
    Ok((status, fields))
}

fn read_field(line: &str) -> Result<(String, String)> {
    let parts = line
        .split_once(':')
        .filter(|(name, _)| is_token(name.as_bytes()));
    let Some((name, value)) = parts else {
        bail!("the edge sent the field line {line:?} (RFC 9112 §5)")
    };
    if value
        .bytes()
        .any(|byte| byte < 0x20 && byte != b'\t' || byte == 0x7f)
    {
        bail!("the edge sent a control byte in {line:?} (RFC 9110 §5.5)");
    }
    Ok((
        name.to_ascii_lowercase(),
        value.trim_matches([' ', '\t']).to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answers(method: &str, bytes: &'static [u8], count: usize) -> Result<Vec<Answer>> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let target = Target {
            address: listener.local_addr()?,
            tls: None,
        };
        let server = async {
            let (mut peer, _) = listener.accept().await.unwrap();
            for part in bytes.chunks(3) {
                peer.write_all(part).await.unwrap();
            }
        };
        let client = async {
            let mut connection = Connection::open(&target).await?;
            let mut found = Vec::new();
            for _ in 0..count {
                found.extend(connection.response(method).await?);
            }
            Ok(found)
        };
        tokio::join!(server, client).1
    }

    #[tokio::test]
    async fn reads_what_is_whole() {
        let bytes = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi\
            HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: 1\r\n\r\nHTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\n\r\nrest";
        let found = answers("GET", bytes, 4).await.unwrap();
        assert_eq!(
            found.iter().map(|a| a.status).collect::<Vec<_>>(),
            [200, 200, 204, 200]
        );
        assert_eq!(found[0].informational, [103]);
        assert_eq!(found[0].body, b"hi");
        assert_eq!(found[1].body, b"abc");
        assert_eq!(found[1].trailer("x"), Some("1"));
        assert_eq!(found[3].body, b"rest");
        assert!(found.iter().all(|a| a.cut.is_none()));
    }

    #[tokio::test]
    async fn what_is_cut_is_never_whole() {
        for bytes in [
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi".as_slice(),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"HTTP/1.1 200 OK\r\nCont",
        ] {
            let found = answers("GET", bytes, 1).await.unwrap();
            assert!(found[0].cut.is_some(), "{}", found[0]);
        }
        assert!(answers("GET", b"", 1).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_is_dirty_is_an_error() {
        for bytes in [
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
                .as_slice(),
            b"HTTP/1.1 200 OK\r\nA b: 3\r\n\r\n",
            b"HTTP/1.1 200\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n",
            b"HTTP/1.1 204 OK\r\nContent-Length: 0\r\n\r\n",
        ] {
            assert!(
                answers("GET", bytes, 1).await.is_err(),
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
}
