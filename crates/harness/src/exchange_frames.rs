//! The step in which a client writes HTTP/2 frames as a script says, valid or not: `frames`.

use anyhow::{Result, bail, ensure};

use crate::answer::{bytes_of, pattern};
use crate::exchange::{WATCH, keep_unread};
use crate::expect;
use crate::frames::{self, FrameClient, block, code_name, frame};
use crate::scenario::{FrameStep, Frames, HeadersFrame, Via};
use crate::world::{Unread, World};

/// Frames as they stand, and the judgement of what comes back.
pub async fn frames(world: &World, step: &Frames) -> Result<()> {
    let via = step.via.unwrap_or(Via::H2c);
    let sni = step.sni.clone().unwrap_or_else(|| "a.test".into());
    let target = world.target(via, &sni, None, false)?;
    let mut client = FrameClient::open_with(&target, !step.bare, step.receive_buffer).await?;
    let mut writer = FrameWriter {
        stream: 0,
        next: 1,
        world,
    };
    writer.play(&mut client, &step.send).await?;
    let last = writer.stream;
    if step.unread {
        keep_unread(world, Unread::H2(client));
        return Ok(());
    }
    let wants_goaway = step.expect_goaway.is_some();
    let enough = |seen: &FrameClient| {
        let stream = seen.streams.get(&last);
        let decided = stream.is_some_and(|stream| stream.reset.is_some() || stream.ended);
        if wants_goaway {
            seen.goaway.is_some()
        } else {
            seen.goaway.is_some_and(|code| code != 0) || decided
        }
    };
    client
        .read_until(crate::patience::patience(), enough)
        .await?;
    let stream = client.streams.get(&last).cloned().unwrap_or_default();
    let goaway = client.goaway.map(code_name);
    let reset = stream.reset.map(code_name);
    let seen = format!(
        "status {}, reset {reset:?}, goaway {goaway:?}, closed {}",
        stream.status, client.closed
    );
    if let Some(codes) = &step.expect_goaway {
        ensure!(
            goaway.is_some_and(|name| codes.iter().any(|code| code == name)),
            "{seen}; GOAWAY should be {codes:?}"
        );
    }
    if let Some(codes) = &step.expect_reset {
        ensure!(
            reset.is_some_and(|name| codes.iter().any(|code| code == name)),
            "{seen}; reset should be {codes:?}"
        );
    }
    if let Some(status) = &step.expect_status {
        ensure!(
            status.0.contains(&stream.status),
            "{seen}; status should be {:?}",
            status.0
        );
    }
    if let Some(size) = step.expect_pattern {
        ensure!(stream.ended, "{seen}; the stream did not end");
        expect::is_pattern(&stream.body, size)?;
    }
    if step.expect_refused {
        let refused = stream.reset.is_some()
            || client.goaway.is_some_and(|code| code != 0)
            || client.closed
            || (400..500).contains(&stream.status);
        ensure!(refused, "{seen}; it should have been refused");
    }
    if step.expect_closed == Some(true) {
        client
            .read_until(crate::patience::patience(), |seen| seen.closed)
            .await?;
        ensure!(client.closed, "{seen}; the connection should be closed");
    }
    Ok(())
}

/// Writes the frames of a script and counts streams.
struct FrameWriter<'a> {
    stream: u32,
    next: u32,
    world: &'a World,
}

impl FrameWriter<'_> {
    async fn play(&mut self, client: &mut FrameClient, steps: &[FrameStep]) -> Result<()> {
        let mut bytes = Vec::new();
        for step in steps {
            match step {
                FrameStep::Repeat { times, send } => {
                    for _ in 0..*times {
                        client.write(&std::mem::take(&mut bytes)).await;
                        Box::pin(self.play(client, send)).await?;
                        if client.goaway.is_some() || client.closed {
                            return Ok(());
                        }
                    }
                }
                FrameStep::Read => {
                    client.write(&std::mem::take(&mut bytes)).await;
                    let stream = self.stream;
                    let decided = move |seen: &FrameClient| {
                        seen.streams
                            .get(&stream)
                            .is_some_and(|s| s.ended || s.reset.is_some())
                            || seen.goaway.is_some()
                    };
                    client.read_until(WATCH, decided).await?;
                }
                FrameStep::Sip {
                    bytes: most,
                    every,
                    times,
                } => {
                    client.write(&std::mem::take(&mut bytes)).await;
                    for _ in 0..*times {
                        client.sip(*most).await;
                        tokio::time::sleep(every.0).await;
                    }
                }
                other => bytes.extend(self.bytes(other)?),
            }
        }
        client.write(&bytes).await;
        Ok(())
    }

    fn at(&self, stream: u32) -> u32 {
        if stream == 0 { self.stream } else { stream }
    }

    fn bytes(&mut self, step: &FrameStep) -> Result<Vec<u8>> {
        Ok(match step {
            FrameStep::Headers(headers) => {
                self.stream = if headers.stream == 0 {
                    self.next
                } else {
                    headers.stream
                };
                self.next = self.next.max(self.stream + 2);
                self.header_frame(frames::HEADERS, headers)?
            }
            FrameStep::Continuation(headers) => self.header_frame(frames::CONTINUATION, headers)?,
            FrameStep::Data {
                stream,
                text,
                size,
                end,
            } => {
                let mut payload = bytes_of(&self.world.fill(text)?);
                payload.extend(pattern(*size));
                frame(frames::DATA, u8::from(*end), self.at(*stream), &payload)
            }
            FrameStep::Rst { stream, code } => {
                frame(frames::RST_STREAM, 0, self.at(*stream), &code.to_be_bytes())
            }
            FrameStep::Settings(settings) => {
                let payload: Vec<u8> = settings
                    .iter()
                    .flat_map(|(id, value)| {
                        [id.to_be_bytes().as_slice(), value.to_be_bytes().as_slice()].concat()
                    })
                    .collect();
                frame(frames::SETTINGS, 0, 0, &payload)
            }
            FrameStep::Ping(text) => frame(frames::PING, 0, 0, &bytes_of(text)),
            FrameStep::WindowUpdate { stream, increment } => {
                frame(frames::WINDOW_UPDATE, 0, *stream, &increment.to_be_bytes())
            }
            FrameStep::Priority { stream, depends } => {
                let payload = [depends.to_be_bytes().as_slice(), &[15]].concat();
                frame(frames::PRIORITY, 0, self.at(*stream), &payload)
            }
            FrameStep::Frame {
                kind,
                flags,
                stream,
                payload,
            } => {
                if *kind == frames::HEADERS {
                    self.stream = *stream;
                }
                frame(
                    *kind,
                    *flags,
                    *stream,
                    &bytes_of(&self.world.fill(payload)?),
                )
            }
            FrameStep::Raw(text) => bytes_of(&self.world.fill(text)?),
            FrameStep::Repeat { .. } | FrameStep::Read | FrameStep::Sip { .. } => {
                bail!("played elsewhere")
            }
        })
    }

    fn header_frame(&self, kind: u8, headers: &HeadersFrame) -> Result<Vec<u8>> {
        let mut payload = Vec::new();
        for (name, value) in &headers.fields {
            let (name, value) = (
                bytes_of(&self.world.fill(name)?),
                bytes_of(&self.world.fill(value)?),
            );
            payload.extend(block([(name.as_slice(), value.as_slice())]));
        }
        if let Some((count, size)) = headers.bomb {
            let value = vec![b'b'; size];
            for number in 0..count {
                payload.extend(block([(
                    format!("x-bomb-{number}").as_bytes(),
                    value.as_slice(),
                )]));
            }
        }
        let flags = if headers.open { 0 } else { frames::END_HEADERS }
            | if headers.end_stream {
                frames::END_STREAM
            } else {
                0
            };
        let stream = self.at(headers.stream);
        if payload.len() <= 16_384 {
            return Ok(frame(kind, flags, stream, &payload));
        }
        // As a well-behaved peer splits a long block (RFC 9113 §6.10).
        let mut parts = payload.chunks(16_384).peekable();
        let mut bytes = Vec::new();
        let mut kind = kind;
        while let Some(part) = parts.next() {
            let ends = if parts.peek().is_none() {
                flags & frames::END_HEADERS
            } else {
                0
            };
            let first = if kind == frames::HEADERS {
                flags & frames::END_STREAM
            } else {
                0
            };
            bytes.extend(frame(kind, ends | first, stream, part));
            kind = frames::CONTINUATION;
        }
        Ok(bytes)
    }
}
