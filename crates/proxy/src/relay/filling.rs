//! A body that others wait for too: the client that asked first must not hold them up, nor take it from them by leaving.
//!
//! Two ways in one task: from the origin into the fill, and from the fill to this client, which is a follower like the others. Where
//! the body turns out to be too large to be kept, the first waits for all who follow, but not for long for who takes next to nothing.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use seawall_cache::fill::{Follower, Lead};
use seawall_net::alarm::Alarm;
use seawall_net::buffer::MEDIUM;
use seawall_net::downstream::After;
use seawall_net::outgoing::BodyOut;
use seawall_net::upstream::ResponseInfo;

use super::compressed::hungry;
use super::download::{Download, LOOK, gone, incomplete, poll_once};
use crate::caching::Way;
use crate::compress::Encoder;
use crate::fault::Fault;

impl Download<'_, '_, '_, '_> {
    /// Whether the cache serves something else in place of this answer.
    pub(super) fn is_taken(&mut self, info: &ResponseInfo) -> bool {
        let Some(way) = self.way.as_deref_mut() else {
            return false;
        };
        let length = match info.body {
            BodyOut::None => Some(0),
            BodyOut::Length(length) => Some(length),
            BodyOut::Unknown => None,
        };
        let taken = way.arrived(self.asked, self.head, length);
        // Before the client has its answer: what it asks for next is not to be what there was before.
        let parents = &self.snapshot.edge.parents;
        let asks = !self.is_of_location && parents.of(self.zone.shield.as_deref()).is_some();
        way.tell_outdated(self.thread, self.zone, asks);
        if taken {
            self.outcome.status = self.head.status;
            let (at, now) = self.thread.clock();
            self.at = at;
            self.outcome.origin_us = Some(now.saturating_sub(self.since));
        }
        taken
    }

    /// Whether what the answer has made invalid may be on disk.
    pub(super) fn is_to_settle(&self) -> bool {
        self.way.as_deref().is_some_and(Way::is_to_settle)
    }

    /// Waits until it is gone there.
    pub(super) async fn settle(&mut self) {
        if let Some(way) = self.way.as_deref_mut() {
            way.settle(self.alarm).await;
        }
    }

    /// How many bytes of the body lie ready, where they are all: they are looked at now if they have to be.
    pub(super) fn whole(&mut self) -> Result<Option<usize>, Fault> {
        let whole = self.origin.whole();
        if let (Some(whole), Some(way)) = (whole, self.way.as_deref_mut()) {
            way.verify(self.origin.front(whole), true)?;
        }
        Ok(whole)
    }

    /// Whether so many bytes more of the body may be given away.
    pub(super) fn fits(&mut self, more: usize) -> Result<(), Fault> {
        let way = self.way.as_deref_mut();
        way.map_or(Ok(()), |way| way.fits(more))
    }

    /// A part of the body was used.
    pub(super) fn consume(&mut self, n: usize) {
        if let Some(way) = self.way.as_deref_mut() {
            way.push(self.origin.front(n));
        }
        self.origin.consume(n);
    }

    /// All of the body was used.
    pub(super) fn consumed(&mut self) {
        if let Some(way) = self.way.as_deref_mut()
            && way.verify(&[], true).is_ok()
        {
            way.finish();
        }
    }

    /// Whether the body that comes is for others too.
    pub(super) fn fills(&mut self) -> Option<Follower> {
        let lead = self.way.as_deref_mut()?.lead().as_ref()?;
        lead.follow()
    }

    /// Gives the body to all who wait for it; to this client through `encoder`, where there is one.
    pub(super) async fn pass_filling(
        &mut self,
        own: Follower,
        mut encoder: Option<Encoder>,
    ) -> Result<(), Fault> {
        let (timeout, idle) = (self.snapshot.edge.write_timeout, self.zone.timeouts.idle);
        let (origin, client, alarm) = (&mut *self.origin, &mut *self.client, &mut *self.alarm);
        let Some(way) = self.way.as_deref_mut() else {
            return Err(Fault::Internal);
        };
        let (standing, request, shared) = (self.standing, self.request, &self.thread.shared);
        let keeps_on = self.keeps_on;
        keeps_on.set(true);
        let pump = async {
            let mut waits = Alarm::new(idle);
            loop {
                let wanted = |cx: &mut Context<'_>| match way.lead() {
                    Some(lead) => lead.poll_wanted(shared.now(), cx),
                    None => Poll::Ready(()),
                };
                if waits.wait(LOOK, wanted).await.is_err() {
                    // Meanwhile somebody may have taken nothing for too long.
                    continue;
                }
                if way.lead().as_ref().is_some_and(Lead::is_forsaken) {
                    // The writer, which has ended, knows why.
                    return Ok(());
                }
                let ready = waits.wait(idle, |cx| origin.poll_fill_by(MEDIUM, cx)).await;
                let ready = ready.map_err(|_| Fault::OriginStalled)?;
                let ready = ready.map_err(incomplete)?;
                let after = origin.after(ready);
                let is_last = ready == 0 || after == After::Last;
                way.verify(origin.front(ready), is_last)?;
                way.push(origin.front(ready));
                origin.consume(ready);
                if is_last {
                    way.finish();
                    return Ok(());
                }
                tokio::task::consume_budget().await;
            }
        };
        let write = async {
            // It leaves with the writer: who does not take the body any more is not waited for.
            let mut own = own;
            loop {
                let next = match poll_once(|cx| own.poll_piece(cx)).await {
                    Some(next) => next,
                    None => {
                        // What little there is must not wait for what is still to come.
                        if let Some(encoder) = &mut encoder {
                            encoder.flush().map_err(hungry)?;
                            let out = encoder.take();
                            if !out.is_empty() {
                                let sent = client.body(&out, After::Wait, alarm, timeout);
                                sent.await.map_err(gone)?;
                            }
                        }
                        loop {
                            let next = alarm.wait(LOOK, |cx| own.poll_piece(cx)).await;
                            match next {
                                Ok(next) => break next,
                                Err(_) if client.is_gone() => return Err(Fault::ClientGone),
                                Err(_) if !standing.holds(request) => {
                                    return Err(Fault::Withdrawn);
                                }
                                Err(_) => {}
                            }
                        }
                    }
                };
                // Where the origin breaks off it is the first way that tells: here it went on without this client.
                let Some((piece, at)) = next.map_err(|_| Fault::SlowReader)? else {
                    break;
                };
                if !standing.holds(request) {
                    return Err(Fault::Withdrawn);
                }
                let bytes = piece.get(at..).unwrap_or_default();
                match &mut encoder {
                    None => {
                        let sent = client.body(bytes, After::Wait, alarm, timeout);
                        sent.await.map_err(gone)?;
                    }
                    Some(encoder) => {
                        encoder.write(bytes).map_err(hungry)?;
                        let out = encoder.take();
                        if !out.is_empty() {
                            let sent = client.body(&out, After::More, alarm, timeout);
                            sent.await.map_err(gone)?;
                        }
                    }
                }
            }
            match encoder.take() {
                None => client.end(None, alarm, timeout).await.map_err(gone),
                Some(encoder) => {
                    let last = encoder.finish().map_err(hungry)?;
                    let sent = client.body(&last, After::Last, alarm, timeout);
                    sent.await.map_err(gone)
                }
            }
        };
        let (mut pump, mut write) = (pin!(pump), pin!(write));
        let mut pumped: Option<Result<(), Fault>> = None;
        let mut wrote: Option<Result<(), Fault>> = None;
        poll_fn(|cx| {
            if wrote.is_none()
                && let Poll::Ready(ended) = write.as_mut().poll(cx)
            {
                wrote = Some(ended);
            }
            if pumped.is_none()
                && let Poll::Ready(ended) = pump.as_mut().poll(cx)
            {
                pumped = Some(ended);
            }
            match (&pumped, &wrote) {
                // It broke off: nothing more comes for this client either.
                (Some(Err(_)), _) | (Some(Ok(())), Some(_)) => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
        keeps_on.set(false);
        match (pumped, wrote) {
            (Some(Err(fault)), _) => Err(fault),
            (_, Some(ended)) => ended,
            _ => Err(Fault::Internal),
        }
    }
}
