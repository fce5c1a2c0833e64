//! The slices of a large body, for one client: found in memory or on disk, followed where another one fetches them, or asked of the
//! origin, each in a task of its own, so that a client that is slow or leaves costs others nothing.
//!
//! What comes is looked at before any of it is used ([`Slices::check`]). Where the origin has another version by then, what is stored
//! is forgotten; a client that has bytes of the old one gets no more, because what follows would be of no version at all.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use seawall_cache::cache::Joined;
use seawall_cache::disk::Reading;
use seawall_cache::fill::{Follower, Lead, Told};
use seawall_cache::memory::{Entry, Piece};
use seawall_cache::policy::Failure;
use seawall_cache::slices::Slices;
use seawall_guard::Admitted;
use seawall_model::{Fields, Method, ResponseHead};
use seawall_net::alarm::Alarm;
use seawall_net::buffer::MEDIUM;
use seawall_net::outgoing::{BodyOut, Line, Prepared};
use seawall_net::upstream::OriginResponse;

use super::background::{self, Sent};
use super::digest::Verifier;
use super::look::{DISK, LOOK, PATIENCE};
use super::now;
use crate::fault::Fault;
use crate::origin::{Outcome, Tried};
use crate::snapshot::Zone;
use crate::thread::Thread;

/// How often it is looked whether a client has taken what it was given.
const PACE: Duration = Duration::from_millis(10);
/// How often a slice is begun anew that breaks off, or does not come.
const TRIES: u32 = 3;

/// Why a slice cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost;

/// What is asked of the origin for the slices of one client's request.
struct Asked {
    thread: Rc<Thread>,
    zone: Arc<Zone>,
    /// The client's request, without ranges and conditions.
    request: Admitted<'static>,
    common: Rc<Prepared>,
    ray: Box<[u8]>,
    slices: Slices,
    /// Whether what comes is compared with its digest.
    verifies: bool,
}

/// Where the bytes of a slice are.
enum Source {
    Entry(Arc<Entry>),
    /// They come; whoever fetches them does so for this client, or it is another one's.
    Fill(Follower, Whose),
}

/// A slice before its turn.
enum Next {
    Reads(Reading),
    Read(Arc<Entry>),
}

/// Whose request to the origin is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Own,
    Others,
}

/// One client's way through the slices.
pub(super) struct SliceReader {
    asked: Rc<Asked>,
    /// The slice that it is in.
    open: Option<(u64, Source)>,
    /// The one behind it, where that is on disk.
    next: Option<(u64, Next)>,
    /// Slices that were begun one after the other.
    opened: u64,
    tries: u32,
    /// Something had to be asked for.
    pub(super) fetches: bool,
}

impl SliceReader {
    /// `request` is the client's without its ranges and conditions.
    pub(super) fn new(
        thread: &Rc<Thread>,
        zone: &Arc<Zone>,
        request: Admitted<'static>,
        common: Rc<Prepared>,
        ray: &[u8],
        slices: Slices,
    ) -> Self {
        Self {
            asked: Rc::new(Asked {
                thread: Rc::clone(thread),
                zone: Arc::clone(zone),
                request,
                common,
                ray: ray.into(),
                slices,
                verifies: zone.cache.is_some_and(|plan| plan.verifies),
            }),
            open: None,
            next: None,
            opened: 0,
            tries: 0,
            fetches: false,
        }
    }

    pub(super) fn entry(&self) -> &Arc<Entry> {
        self.asked.slices.entry()
    }

    /// Opens the slice of a byte, as far as that its head is there.
    pub(super) async fn open(
        &mut self,
        at: u64,
        alarm: &mut Alarm,
        is_over: &impl Fn() -> Option<Fault>,
    ) -> Result<Result<(), Lost>, Fault> {
        let index = self.asked.slices.at(at);
        if self.open.as_ref().is_some_and(|(open, _)| *open == index) {
            return Ok(Ok(()));
        }
        self.tries = 0;
        self.opened += 1;
        self.begin(index, alarm, is_over).await
    }

    async fn begin(
        &mut self,
        index: u64,
        alarm: &mut Alarm,
        is_over: &impl Fn() -> Option<Fault>,
    ) -> Result<Result<(), Lost>, Fault> {
        while self.tries < TRIES {
            self.tries += 1;
            match self.source(index, alarm, is_over).await? {
                Some(source) => {
                    self.open = Some((index, source));
                    return Ok(Ok(()));
                }
                None if self.asked.slices.is_forgotten() => break,
                None => {}
            }
        }
        self.open = None;
        Ok(Err(Lost))
    }

    /// The next bytes of the body, from `at` on, and where in the piece they begin. The client gets all up to `end`.
    pub(super) async fn piece(
        &mut self,
        at: u64,
        end: u64,
        alarm: &mut Alarm,
        is_over: &impl Fn() -> Option<Fault>,
    ) -> Result<(Piece, usize), Fault> {
        let cut = |opened: Result<(), Lost>| opened.map_err(|Lost| Fault::Incomplete);
        let is_new = self.opened;
        cut(self.open(at, alarm, is_over).await?)?;
        let index = self.asked.slices.at(at);
        let part = self.asked.slices.part(index);
        // Where another one's come, that one sees to the next.
        let follows = matches!(&self.open, Some((_, Source::Fill(_, Whose::Others))));
        if self.opened > is_new && !follows && part.end() < end {
            self.ahead(index + 1);
        }
        let within = at - part.start;
        loop {
            let Some((_, source)) = &mut self.open else {
                return Err(Fault::Incomplete);
            };
            let next = match source {
                Source::Entry(entry) => {
                    let found = entry.body.at(within);
                    let found = found.map(|(piece, at)| (Arc::clone(piece), at));
                    return found.ok_or(Fault::Incomplete);
                }
                Source::Fill(follower, whose) => {
                    let patience = self.asked.patience(*whose);
                    follower.seek(within);
                    wait(alarm, patience, is_over, |cx| follower.poll_piece(cx)).await?
                }
            };
            match next {
                Some(Ok(Some(found))) => return Ok(found),
                // It broke off, or whoever fetches it does so slowly.
                Some(Ok(None) | Err(_)) | None => cut(self.begin(index, alarm, is_over).await?)?,
            }
        }
    }

    /// Begins to read a slice that lies on disk while the one before it is sent; fetches one that nobody has, if a whole one was read
    /// already: who has had that will likely want more.
    fn ahead(&mut self, index: u64) {
        let slices = &self.asked.slices;
        if slices.find(index).is_some() {
            return;
        }
        let Some(mut reading) = slices.look_on_disk(index) else {
            if self.opened > 1 {
                self.asked.ahead(index);
            }
            return;
        };
        // Nobody waits yet: this only begins it.
        let begun = reading.poll(slices.request(), &mut Context::from_waker(Waker::noop()));
        self.next = match begun {
            Poll::Pending => Some((index, Next::Reads(reading))),
            Poll::Ready(entry) => entry.map(|entry| (index, Next::Read(entry))),
        };
    }

    /// A slice that is on disk, if it can be read.
    async fn read(&mut self, index: u64, alarm: &mut Alarm) -> Option<Arc<Entry>> {
        let slices = &self.asked.slices;
        let next = self.next.take().filter(|(next, _)| *next == index);
        let mut reading = match next {
            Some((_, Next::Read(entry))) => return Some(entry),
            Some((_, Next::Reads(reading))) => reading,
            None => slices.look_on_disk(index)?,
        };
        let read = |cx: &mut Context<'_>| reading.poll(slices.request(), cx);
        alarm.wait(DISK, read).await.ok().flatten()
    }

    /// The bytes of a slice, once its head is there; none where whoever fetches it failed.
    async fn source(
        &mut self,
        index: u64,
        alarm: &mut Alarm,
        is_over: &impl Fn() -> Option<Fault>,
    ) -> Result<Option<Source>, Fault> {
        if let Some(entry) = self.asked.slices.find(index) {
            return Ok(Some(Source::Entry(entry)));
        }
        let read = self.read(index, alarm).await;
        let slices = &self.asked.slices;
        if let Some(entry) = read.and_then(|entry| slices.whole(index, entry)) {
            return Ok(Some(Source::Entry(entry)));
        }
        // Whoever had no luck with others goes alone.
        let joined = match self.tries {
            1 => slices.join(index, now()),
            _ => Joined::Lead(slices.alone(index)),
        };
        let (mut follower, mut whose) = match joined {
            Joined::Found(entry) => return Ok(slices.whole(index, entry).map(Source::Entry)),
            Joined::Follow(follower) => (follower, Whose::Others),
            Joined::Lead(lead) => match self.fetch(lead, index) {
                Some(follower) => (follower, Whose::Own),
                None => return Ok(None),
            },
        };
        loop {
            let told = |cx: &mut Context<'_>| follower.poll_told(self.asked.slices.request(), cx);
            match wait(alarm, self.asked.patience(whose), is_over, told).await? {
                Some(Told::Begun(_)) => return Ok(Some(Source::Fill(follower, whose))),
                Some(Told::Entry(entry)) => {
                    let whole = self.asked.slices.whole(index, entry);
                    return Ok(whole.map(Source::Entry));
                }
                Some(Told::Lead(lead)) => match self.fetch(lead, index) {
                    Some(own) => (follower, whose) = (own, Whose::Own),
                    None => return Ok(None),
                },
                Some(Told::Alone | Told::Others(_) | Told::Failed(..)) | None => return Ok(None),
            }
        }
    }

    fn fetch(&mut self, lead: Lead, index: u64) -> Option<Follower> {
        self.fetches = true;
        let follower = lead.follow()?;
        self.asked.fetch(lead, index);
        Some(follower)
    }
}

/// Waits for something; none where it does not come.
async fn wait<T>(
    alarm: &mut Alarm,
    patience: Duration,
    is_over: &impl Fn() -> Option<Fault>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Result<Option<T>, Fault> {
    let mut left = patience;
    while !left.is_zero() {
        let look = left.min(LOOK);
        if let Ok(came) = alarm.wait(look, &mut poll).await {
            return Ok(Some(came));
        }
        if let Some(fault) = is_over() {
            return Err(fault);
        }
        left = left.saturating_sub(look);
    }
    Ok(None)
}

impl Asked {
    /// How long the next bytes are waited for: those of one's own request as long as that may take.
    fn patience(&self, whose: Whose) -> Duration {
        let timeouts = &self.zone.timeouts;
        match whose {
            Whose::Own => timeouts.connect + timeouts.header.max(timeouts.idle),
            Whose::Others => PATIENCE,
        }
    }

    /// Fetches a slice before it is asked for, where nobody has it.
    fn ahead(self: &Rc<Self>, index: u64) {
        if let Joined::Lead(lead) = self.slices.join(index, now()) {
            self.fetch(lead, index);
        }
    }

    /// In a task of its own.
    fn fetch(self: &Rc<Self>, mut lead: Lead, index: u64) {
        let asked = Rc::clone(self);
        tokio::task::spawn_local(async move {
            match asked.ask(&mut lead, index).await {
                Ok(()) => {
                    // Why it is not stored is for the store to know: whoever waits has it.
                    let _ = lead.finish();
                }
                // Whoever has the head is told that it breaks off.
                Err(_) if lead.bytes() > 0 => drop(lead),
                Err(_) => lead.fail(Failure::Unreachable),
            }
        });
    }

    async fn ask(&self, lead: &mut Lead, index: u64) -> Result<(), Fault> {
        let (thread, zone) = (&self.thread, &self.zone);
        let pool = zone.pool();
        let at = thread.shared.now();
        pool.budget().count_request(at);
        let picked = pool.pick(at, thread.random(), &Tried::default());
        let picked = picked.ok_or(Fault::Unreachable)?;
        let (number, lease) = (picked.index, pool.admit(picked.member, false));
        let lease = lease.ok_or(Fault::Full)?;
        let origin = zone.origins.get(usize::from(number));
        let origin = origin.ok_or(Fault::Internal)?;
        let mut extra = Fields::default();
        for (name, value) in self.slices.asks(index) {
            extra.append(name, &value);
        }
        let mut alarm = Alarm::new(zone.timeouts.header);
        let mut fresh = false;
        let came = loop {
            let sent = background::send(
                thread,
                zone,
                origin,
                &lease,
                &self.request,
                &self.common,
                &extra,
                Line(&self.ray),
                fresh,
                &mut alarm,
            );
            let came = match sent.await {
                Ok(mut sent) => {
                    let came = self.take_in(lead, index, &mut sent, &mut alarm).await;
                    let (at, _) = thread.clock();
                    sent.give_back(thread, origin, &lease, at);
                    came
                }
                Err(fault) => Err(fault),
            };
            // A connection that was idle was most likely closed meanwhile.
            if came == Err(Fault::ClosedEarly) && !fresh {
                fresh = true;
                continue;
            }
            break came;
        };
        let outcome = match came {
            Ok(()) => Outcome::Answered(206),
            Err(fault) => fault.outcome(),
        };
        let _ = pool.report(number, outcome, thread.shared.now());
        came
    }

    async fn take_in(
        &self,
        lead: &mut Lead,
        index: u64,
        sent: &mut Sent,
        alarm: &mut Alarm,
    ) -> Result<(), Fault> {
        let (_, mut response) = sent.connection.split();
        let taken = self.take_from(lead, index, &mut response, alarm).await;
        sent.reusable = taken.is_ok() && response.is_reusable();
        response.release();
        taken
    }

    async fn take_from(
        &self,
        lead: &mut Lead,
        index: u64,
        response: &mut OriginResponse<'_>,
        alarm: &mut Alarm,
    ) -> Result<(), Fault> {
        let snapshot = self.thread.snapshot.load();
        let limits = &snapshot.edge.head;
        let mut head = ResponseHead::default();
        let timeouts = &self.zone.timeouts;
        let info = loop {
            let next =
                |cx: &mut Context<'_>| response.poll_head(Method::Get, limits, &mut head, cx);
            let info = alarm.wait(timeouts.header, next).await;
            let info = info.map_err(|_| Fault::OriginTimeout)??;
            if head.status >= 200 {
                break info;
            }
        };
        drop(snapshot);
        let length = match info.body {
            BodyOut::None => Some(0),
            BodyOut::Length(length) => Some(length),
            BodyOut::Unknown => None,
        };
        if self.slices.check(index, &head, length).is_err() {
            // Another answer may be about who asks, or about just now.
            if matches!(head.status, 200 | 206 | 404 | 410 | 416) {
                self.slices.forget();
            }
            return Err(Fault::Incomplete);
        }
        if !self.slices.begin(lead, index, now()) {
            return Err(Fault::Internal);
        }
        // Who waits for the head has it before what comes behind, which may break off at once.
        tokio::task::yield_now().await;
        let mut left = self.slices.part(index).length;
        let mut verifier = match self.verifies {
            true => Verifier::of(&head),
            false => None,
        };
        loop {
            is_wanted(lead).await?;
            let fill = |cx: &mut Context<'_>| response.poll_fill_by(MEDIUM, cx);
            let ready = alarm.wait(timeouts.idle, fill).await;
            let ready = ready.map_err(|_| Fault::OriginStalled)?;
            // Past the head it is not asked anew here: whoever waits begins again.
            let ready = ready.map_err(|fault| match fault.into() {
                Fault::ClosedEarly => Fault::Incomplete,
                fault => fault,
            })?;
            if ready == 0 {
                return if left == 0 {
                    Ok(())
                } else {
                    Err(Fault::Incomplete)
                };
            }
            let Some(after) = left.checked_sub(ready as u64) else {
                // More than it said: not one byte of it can be trusted.
                self.slices.forget();
                return Err(Fault::OriginProtocol);
            };
            left = after;
            if let Some(verifier) = &mut verifier {
                verifier.take(response.front(ready));
            }
            // Its end is given to nobody before all of it was looked at.
            if left == 0 && !verifier.take().is_none_or(Verifier::agrees) {
                return Err(Fault::WrongDigest);
            }
            lead.push(response.front(ready));
            response.consume(ready);
            tokio::task::consume_budget().await;
        }
    }
}

/// Waits until more of a slice is wanted: one that is not kept, for want of room, comes no faster than it is taken, and ends with the
/// last one who takes it.
async fn is_wanted(lead: &Lead) -> Result<(), Fault> {
    while !lead.stores() {
        let taken = lead.slowest().ok_or(Fault::ClientGone)?;
        if lead.bytes().saturating_sub(taken) < lead.ahead() {
            break;
        }
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}
