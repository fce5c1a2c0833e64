//! The way of a response's body through an encoder.

use seawall_model::{FieldId, Method};
use seawall_net::buffer::MEDIUM;
use seawall_net::downstream::After;
use seawall_net::outgoing::BodyOut;
use seawall_telemetry::Source;

use super::download::{Download, gone, incomplete, poll_once};
use crate::compress::{Encoder, Hungry, mark, memory};
use crate::fault::Fault;
use crate::shares::Hold;

/// What has come out of an encoder is sent when it is so much; what little it is, when the origin has nothing more at hand.
const PIECE: usize = 16 * 1024;

/// A body that leaves compressed.
pub(super) enum Compressed<'a> {
    /// All of it.
    Whole(Vec<u8>),
    /// By and by.
    Stream(Encoder, Hold<'a>),
}

impl Compressed<'_> {
    /// How it is framed.
    pub(super) fn body(&self) -> BodyOut {
        match self {
            Self::Whole(content) => BodyOut::Length(content.len() as u64),
            Self::Stream(..) => BodyOut::Unknown,
        }
    }
}

pub(super) fn hungry(_: Hungry) -> Fault {
    Fault::Internal
}

impl<'e> Download<'e, '_, '_, '_> {
    /// Compresses the response whose head is here, if that is to be; its head is that of the compressed one then. `whole`: so
    /// many bytes lie ready, and are all.
    pub(super) fn compress(
        &mut self,
        body: BodyOut,
        whole: Option<usize>,
    ) -> Option<Compressed<'e>> {
        let compress = self.zone.compress.as_ref();
        let compress = compress.filter(|_| !self.is_of_location)?;
        let head_alone = self.client_method == Method::Head;
        let announced = match body {
            BodyOut::None if head_alone => {
                let length = self.head.fields.only(FieldId::ContentLength);
                let length = length.and_then(|digits| std::str::from_utf8(digits).ok());
                length
                    .and_then(|digits| digits.parse().ok())
                    .map_or(BodyOut::Unknown, BodyOut::Length)
            }
            body => body,
        };
        let coding = compress.coding(self.request, self.head, announced)?;
        if head_alone {
            // How long it would be is not known.
            self.head.fields.remove(FieldId::ContentLength);
            mark(&mut self.head.fields, coding);
            return None;
        }
        let hold = memory(self.thread, self.zone.id, coding)?;
        let compressed = match whole {
            Some(whole) => {
                let content = Encoder::whole(coding, self.origin.front(whole)).ok()?;
                if content.len() >= whole {
                    return None;
                }
                Compressed::Whole(content)
            }
            None => {
                let length = match body {
                    BodyOut::Length(length) => Some(length),
                    _ => None,
                };
                Compressed::Stream(Encoder::new(coding, length).ok()?, hold)
            }
        };
        mark(&mut self.head.fields, coding);
        Some(compressed)
    }

    /// Gives the client the body.
    ///
    /// # Errors
    /// As [`Download::end`].
    pub(super) async fn rest_compressed(
        &mut self,
        compressed: Compressed<'_>,
    ) -> Result<(), Fault> {
        let passed = match compressed {
            Compressed::Whole(content) => self.give(&content, After::Last).await,
            Compressed::Stream(encoder, _hold) => match self.fills() {
                Some(own) => Box::pin(self.pass_filling(own, Some(encoder))).await,
                None => self.pass_compressed(encoder).await,
            },
        };
        let ended = self.thread.clock();
        self.at = ended.0;
        self.outcome.ended = Some(ended);
        self.outcome.source = Source::Origin;
        self.end(passed)
    }

    async fn give(&mut self, content: &[u8], after: After) -> Result<(), Fault> {
        let timeout = self.snapshot.edge.write_timeout;
        if content.is_empty() && after != After::Last {
            // A chunk without bytes would be the end (RFC 9112 §7.1). The head may wait to leave all the same.
            return match after {
                After::More => Ok(()),
                _ => self.client.flush(self.alarm, timeout).await.map_err(gone),
            };
        }
        let given = self.client.body(content, after, self.alarm, timeout);
        given.await.map_err(gone)
    }

    async fn pass_compressed(&mut self, mut encoder: Encoder) -> Result<(), Fault> {
        let (timeout, idle) = (self.snapshot.edge.write_timeout, self.zone.timeouts.idle);
        let mut out = Vec::new();
        let mut held = false;
        loop {
            if !self.standing.holds(self.request) {
                return Err(Fault::Withdrawn);
            }
            let piece = self.room(timeout).await?.min(MEDIUM);
            let ready = match poll_once(|cx| self.origin.poll_fill_by(piece, cx)).await {
                Some(ready) => ready,
                None => {
                    // An event that was sent must arrive, though it is short and the next one an hour away.
                    if std::mem::take(&mut held) {
                        encoder.flush().map_err(hungry)?;
                        out.append(&mut encoder.take());
                    }
                    self.give(&out, After::Wait).await?;
                    out.clear();
                    self.wait_for_body(idle, timeout).await?
                }
            };
            let ready = ready.map_err(incomplete)?;
            let last = ready == 0 || self.origin.after(ready) == After::Last;
            encoder.write(self.origin.front(ready)).map_err(hungry)?;
            self.consume(ready);
            if last {
                self.consumed();
                out.append(&mut encoder.take());
                out.append(&mut encoder.finish().map_err(hungry)?);
                let trailers = self
                    .origin
                    .trailers()
                    .filter(|trailers| !trailers.is_empty());
                if trailers.is_none() {
                    return self.give(&out, After::Last).await;
                }
                self.give(&out, After::More).await?;
                let trailers = self.origin.trailers();
                let ended = self.client.end(trailers, self.alarm, timeout);
                return Box::pin(ended).await.map_err(gone);
            }
            held = true;
            out.append(&mut encoder.take());
            if out.len() >= PIECE {
                self.give(&out, After::More).await?;
                out.clear();
            }
            // One large body must not keep the thread from the others.
            tokio::task::consume_budget().await;
        }
    }
}
