//! An HTTP/2 client that keeps the rules: over TLS, or over cleartext with prior knowledge.

use std::future::poll_fn;

use anyhow::{Context, Result};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use http::Request;
use tokio::task::JoinHandle;

use crate::answer::{Answer, fields_of};
use crate::client::{Target, connect};
use crate::patience::within;

/// A connection that carries streams.
#[derive(Debug)]
pub struct ClientH2 {
    sender: SendRequest<Bytes>,
    driver: JoinHandle<()>,
    /// The TLS handshake resumed an earlier session.
    pub resumed: bool,
}

impl Drop for ClientH2 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Both directions of an extended CONNECT.
#[derive(Debug)]
pub struct Tunnel {
    pub answer: Answer,
    send: h2::SendStream<Bytes>,
    receive: Option<h2::RecvStream>,
}

impl ClientH2 {
    pub async fn open(target: &Target) -> Result<Self> {
        let socket = connect(target).await?;
        let resumed = socket.resumed();
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        let (sender, connection) = within("HTTP/2 settings", builder.handshake(socket))
            .await?
            .context("HTTP/2")?;
        let driver = tokio::spawn(async move {
            let _seen_by_the_streams = connection.await;
        });
        Ok(Self {
            sender,
            driver,
            resumed,
        })
    }

    /// Sends a request and reads its response to the end, whichever comes first.
    pub async fn exchange(
        &self,
        request: Request<()>,
        body: Bytes,
        trailers: Option<http::HeaderMap>,
    ) -> Result<Answer> {
        within(
            "a response over HTTP/2",
            self.exchange_inner(request, body, trailers),
        )
        .await
    }

    async fn exchange_inner(
        &self,
        request: Request<()>,
        body: Bytes,
        trailers: Option<http::HeaderMap>,
    ) -> Answer {
        let mut sender = match self.sender.clone().ready().await {
            Ok(sender) => sender,
            Err(error) => return Answer::cut("h2", format!("no stream: {error}")),
        };
        let bodiless = body.is_empty() && trailers.is_none();
        let (response, stream) = match sender.send_request(request, bodiless) {
            Ok(pair) => pair,
            Err(error) => return Answer::cut("h2", format!("not sent: {error}")),
        };
        let mut receiving = std::pin::pin!(receive(response));
        if bodiless {
            return receiving.await;
        }
        let mut sending = std::pin::pin!(send_all(stream, body, trailers));
        tokio::select! {
            answer = &mut receiving => answer,
            () = &mut sending => receiving.await,
        }
    }

    /// Opens a tunnel by extended CONNECT (RFC 8441).
    pub async fn tunnel(&self, mut request: Request<()>, protocol: &str) -> Result<Tunnel> {
        request.extensions_mut().insert(Protocol::from(protocol));
        let mut sender = within("a stream", self.sender.clone().ready()).await??;
        let ready = within("SETTINGS_ENABLE_CONNECT_PROTOCOL", async {
            while !sender.is_extended_connect_protocol_enabled() {
                tokio::task::yield_now().await;
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        });
        ready.await?;
        let (response, send) = sender
            .send_request(request, false)
            .context("extended CONNECT")?;
        match within("the answer to an extended CONNECT", response).await? {
            Ok(response) => {
                let (head, receive) = response.into_parts();
                let answer = Answer {
                    status: head.status.as_u16(),
                    fields: fields_of(&head.headers),
                    protocol: "h2",
                    ..Answer::default()
                };
                Ok(Tunnel {
                    answer,
                    send,
                    receive: Some(receive),
                })
            }
            Err(error) => Ok(Tunnel {
                answer: Answer::cut("h2", error.to_string()),
                send,
                receive: None,
            }),
        }
    }
}

impl Tunnel {
    pub async fn send(&mut self, bytes: &[u8], end: bool) -> Result<()> {
        within(
            "room in a tunnel",
            push(&mut self.send, Bytes::copy_from_slice(bytes), end),
        )
        .await?
        .context("tunnel")
    }

    /// Reads at least `count` bytes; fewer when the tunnel ends.
    pub async fn receive(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut found = Vec::new();
        let Some(receive) = &mut self.receive else {
            return Ok(found);
        };
        while found.len() < count {
            match within("bytes from a tunnel", receive.data()).await? {
                Some(Ok(data)) => {
                    let _window = receive.flow_control().release_capacity(data.len());
                    found.extend_from_slice(&data);
                }
                Some(Err(_)) | None => break,
            }
        }
        Ok(found)
    }
}

async fn receive(response: h2::client::ResponseFuture) -> Answer {
    let response = match response.await {
        Ok(response) => response,
        Err(error) => return Answer::cut("h2", error.to_string()),
    };
    let (head, mut body) = response.into_parts();
    let mut answer = Answer {
        status: head.status.as_u16(),
        fields: fields_of(&head.headers),
        protocol: "h2",
        ..Answer::default()
    };
    while let Some(data) = body.data().await {
        match data {
            Ok(data) => {
                let _window = body.flow_control().release_capacity(data.len());
                answer.body.extend_from_slice(&data);
            }
            Err(error) => {
                answer.cut = Some(error.to_string());
                return answer;
            }
        }
    }
    match body.trailers().await {
        Ok(Some(trailers)) => answer.trailers = fields_of(&trailers),
        Ok(None) => {}
        Err(error) => answer.cut = Some(error.to_string()),
    }
    answer
}

async fn send_all(
    mut stream: h2::SendStream<Bytes>,
    body: Bytes,
    trailers: Option<http::HeaderMap>,
) {
    // An error here is a stream that the edge reset; the receiving side says so.
    if push(&mut stream, body, trailers.is_none()).await.is_ok()
        && let Some(trailers) = trailers
    {
        let _seen_by_the_receiver = stream.send_trailers(trailers);
    }
}

/// Sends data as the peer's window allows.
pub async fn push(
    stream: &mut h2::SendStream<Bytes>,
    mut data: Bytes,
    end: bool,
) -> Result<(), h2::Error> {
    if data.is_empty() {
        return if end {
            stream.send_data(data, true)
        } else {
            Ok(())
        };
    }
    while !data.is_empty() {
        stream.reserve_capacity(data.len().min(1 << 20));
        match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(Ok(0)) => {}
            Some(Ok(room)) => {
                let part = data.split_to(room.min(data.len()));
                stream.send_data(part, end && data.is_empty())?;
            }
            Some(Err(error)) => return Err(error),
            None => return Err(h2::Reason::CANCEL.into()),
        }
    }
    Ok(())
}
