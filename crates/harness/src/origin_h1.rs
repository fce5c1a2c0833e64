//! The HTTP/1.1 half of an origin: reads by the letter, answers what it was told to, or leaves that to a vice.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::origin::{Reply, Shared};
use crate::socket::Socket;
use crate::strict::{self, Framing, StrictRequest};
use crate::vice::After;

/// Serves one connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, socket: Socket, index: usize) {
    let mut serving = Serving {
        shared,
        socket,
        index,
        buffer: Vec::new(),
    };
    match serving.serve().await {
        After::Reset => serving.socket.close_by_reset(),
        After::Hold => serving.hold().await,
        After::Close | After::KeepOpen => {
            let _best_effort = serving.socket.shutdown().await;
        }
    }
}

/// One HTTP/1.1 connection.
struct Serving {
    shared: Arc<Shared>,
    socket: Socket,
    index: usize,
    /// Received and not yet understood.
    buffer: Vec<u8>,
}

impl Serving {
    async fn fill(&mut self) -> bool {
        let before = self.buffer.len();
        self.buffer.reserve(64 * 1024);
        let read = self.socket.read_buf(&mut self.buffer).await;
        let fresh = self.buffer.get(before..).unwrap_or_default();
        self.shared.record(self.index, fresh);
        matches!(read, Ok(count) if count > 0)
    }

    /// Keeps the socket open until the edge closes it, and reads nothing that it would have to wait for.
    async fn hold(&mut self) {
        std::future::pending::<()>().await;
    }

    async fn serve(&mut self) -> After {
        loop {
            let (head, length) = loop {
                match strict::head(&self.buffer) {
                    Ok(Some(found)) => break found,
                    Ok(None) => {}
                    Err(_) => return self.refuse().await,
                }
                if !self.fill().await {
                    return After::Close;
                }
            };
            let Ok(framing) = head.framing() else {
                return self.refuse().await;
            };
            let request = StrictRequest {
                method: head.method,
                target: head.target,
                fields: head.fields,
                body: Vec::new(),
                trailers: Vec::new(),
                length,
            };
            let seen = self.shared.saw(request.clone(), self.index);
            let vice = self.shared.next_vice(false);
            if let Some((vice, turn)) = vice.filter(|(vice, _)| vice.ignores_body()) {
                return vice.play(&mut self.socket, turn).await;
            }
            if request
                .values("expect")
                .any(|value| value.eq_ignore_ascii_case(b"100-continue"))
            {
                let _seen_by_the_peer = self
                    .socket
                    .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                    .await;
            }
            let Some(whole) = self.body(length, framing).await else {
                return After::Close;
            };
            self.shared.saw_whole(seen, whole.body, whole.trailers);
            let after = match vice {
                Some((vice, turn)) => vice.play(&mut self.socket, turn).await,
                None => self.answer(&request).await.unwrap_or(After::Close),
            };
            if after != After::KeepOpen {
                return after;
            }
            let asked = request
                .values("connection")
                .any(|value| value.eq_ignore_ascii_case(b"close"));
            if asked && vice.is_none() {
                return After::Close;
            }
        }
    }

    /// Reads the body and takes the whole request out of the buffer.
    async fn body(&mut self, head: usize, framing: Framing) -> Option<StrictRequest> {
        loop {
            let ready = match framing {
                Framing::Length(length) => self.buffer.len() >= head + length,
                // Parsing anew after each read would be quadratic; a large chunked body ends where this can be seen.
                Framing::Chunked => {
                    self.buffer.len() < 65_536 || self.buffer.ends_with(b"\r\n\r\n")
                }
            };
            if ready {
                match strict::request(&self.buffer) {
                    Ok(Some(request)) => {
                        self.buffer.drain(..request.length);
                        return Some(request);
                    }
                    Ok(None) => {}
                    Err(_) => {
                        self.refuse().await;
                        return None;
                    }
                }
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn refuse(&mut self) -> After {
        let _seen_by_the_peer = self
            .socket
            .write_all(
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            )
            .await;
        After::Close
    }

    async fn answer(&mut self, request: &StrictRequest) -> std::io::Result<After> {
        let reply = self.shared.reply_for(request);
        self.shared.gate(reply.gate.as_ref()).await;
        for status in &reply.informational {
            let line = format!(
                "HTTP/1.1 {status} Informational\r\nLink: </style.css>; rel=preload\r\n\r\n"
            );
            self.socket.write_all(line.as_bytes()).await?;
        }
        if let Some(raw) = &reply.raw {
            self.socket.write_all(raw).await?;
            self.socket.flush().await?;
            return Ok(if reply.close {
                After::Close
            } else {
                After::KeepOpen
            });
        }
        if reply.tunnel {
            return self.tunnel(request).await;
        }
        let body = self
            .shared
            .body_of(&reply, &request.method, &request.target);
        let bodiless = request.method == "HEAD" || matches!(reply.status, 204 | 304);
        let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
        for (name, value) in &reply.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if reply.chunked {
            head.push_str("transfer-encoding: chunked\r\n");
        } else if !matches!(reply.status, 204 | 304) {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        if reply.close {
            head.push_str("connection: close\r\n");
        }
        head.push_str("\r\n");
        if bodiless {
            self.socket.write_all(head.as_bytes()).await?;
        } else {
            self.write_body(head.into_bytes(), &body, &reply).await?;
        }
        self.socket.flush().await?;
        Ok(if reply.close {
            After::Close
        } else {
            After::KeepOpen
        })
    }

    async fn write_body(
        &mut self,
        head: Vec<u8>,
        body: &[u8],
        reply: &Reply,
    ) -> std::io::Result<()> {
        let (first, second) = body.split_at(if reply.body_gate.is_some() {
            body.len() / 2
        } else {
            body.len()
        });
        let mut wire = head;
        for (number, part) in [first, second].into_iter().enumerate() {
            if number == 1 && reply.body_gate.is_some() {
                self.socket.write_all(&wire).await?;
                self.socket.flush().await?;
                wire.clear();
                self.shared.gate(reply.body_gate.as_ref()).await;
            }
            if !reply.chunked {
                wire.extend_from_slice(part);
                continue;
            }
            for chunk in part.chunks(16_000) {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
        }
        if reply.chunked {
            wire.extend_from_slice(b"0\r\n");
            for (name, value) in &reply.trailers {
                wire.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
            wire.extend_from_slice(b"\r\n");
        }
        self.socket.write_all(&wire).await
    }

    /// Accepts the upgrade and sends back what comes, until the other side has ended.
    async fn tunnel(&mut self, request: &StrictRequest) -> std::io::Result<After> {
        let Some(protocol) = request
            .values("upgrade")
            .next()
            .map(|v| String::from_utf8_lossy(v).into_owned())
        else {
            self.socket.write_all(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n").await?;
            return Ok(After::KeepOpen);
        };
        self.shared.tunnel_begins(self.index, self.buffer.len());
        let accept =
            if request.values("sec-websocket-key").next() == Some(b"dGhlIHNhbXBsZSBub25jZQ==") {
                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
            } else {
                ""
            };
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: {protocol}\r\nConnection: upgrade\r\n{accept}\r\n"
        );
        self.socket.write_all(head.as_bytes()).await?;
        loop {
            let heard = std::mem::take(&mut self.buffer);
            self.socket.write_all(&heard).await?;
            self.socket.flush().await?;
            if !self.fill().await {
                return Ok(After::Close);
            }
        }
    }
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unnamed")
}
