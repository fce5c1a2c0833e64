//! The way of a request's body, beside the response's: it runs in the same task and ends when the origin has answered.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use seawall_guard::{Guard, Inspection, Refusal, Subject, Trail};
use seawall_model::RequestHead;
use seawall_net::alarm::Alarm;
use seawall_net::downstream::{After, BodyPace, ClientBody};
use seawall_net::incoming::BodyFault;
use seawall_net::upstream::{OriginFault, OriginRequest};

use crate::shares::Hold;
use crate::standing::Standing;

type Uploading<'u> = Pin<Box<dyn Future<Output = Result<(), UploadFault>> + 'u>>;

/// An upload that runs beside the download.
pub(super) struct Upload<'u> {
    /// None when there is nothing to upload, or it has ended.
    pub(super) future: Option<Uploading<'u>>,
}

impl Upload<'_> {
    /// Goes on with it; tells its end, once.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Result<(), UploadFault>> {
        match self.future.as_mut()?.as_mut().poll(cx) {
            Poll::Pending => None,
            Poll::Ready(result) => {
                self.future = None;
                Some(result)
            }
        }
    }
}

/// What ended an upload.
pub(super) enum UploadFault {
    /// The client did not send what it should.
    Client(BodyFault),
    /// The origin did not take it.
    Origin(OriginFault),
    /// A stage refused it, or there is no room to hold it back.
    Refused(Box<Refusal>),
    /// The request would not be admitted any more.
    Withdrawn,
}

/// Who looks at a body on its way.
pub(super) struct Look<'l, 'a> {
    /// Body stages, where there are any.
    pub(super) inspection: Option<&'l mut Inspection<'a>>,
    pub(super) subject: Subject<'l>,
    pub(super) trail: &'l RefCell<Trail>,
    /// What was announced.
    pub(super) length: Option<u64>,
    pub(super) guard: &'l Guard,
    /// What is held back, as the zone's share allows.
    pub(super) hold: Hold<'l>,
    /// Of that, what those who look keep.
    pub(super) kept: usize,
    pub(super) standing: &'l Standing<'a>,
    /// The request, as it may be judged once more.
    pub(super) head: &'l RequestHead,
    /// The end was shown.
    pub(super) ended: bool,
}

impl Look<'_, '_> {
    /// Shows a piece to those who look; `spent` is how much there was with it.
    fn at(&mut self, piece: &[u8], spent: u64) -> Result<(), UploadFault> {
        if !self.standing.holds(self.head) {
            return Err(UploadFault::Withdrawn);
        }
        let Some(inspection) = self.inspection.as_mut().filter(|_| !self.ended) else {
            return Ok(());
        };
        // Without an announced length the end comes by itself, as an empty piece.
        let end = piece.is_empty() || self.length == Some(spent);
        self.ended = end;
        let mut trail = self.trail.borrow_mut();
        let before = trail.fuel;
        let fed = inspection.feed(piece, end, &self.subject, &mut trail);
        self.hold.burn(trail.fuel.saturating_sub(before));
        fed.map_err(UploadFault::Refused)?;
        // What they keep to look at it as a whole is in memory beside what is held back.
        let kept = piece
            .len()
            .min(inspection.keeps().saturating_sub(self.kept));
        self.kept += kept;
        if kept > 0 && !self.hold.more(kept) {
            return Err(UploadFault::Refused(self.guard.busy()));
        }
        Ok(())
    }

    /// How many bytes are held back before any of them goes on.
    fn holds(&self) -> usize {
        let held = self.inspection.as_ref().map(|inspection| inspection.hold());
        held.unwrap_or(0)
    }
}

/// Passes the request's body to the origin. `spent` follows how much of it was taken from the client. Each piece goes on only
/// when those who look have let it pass, so the last one does not if the whole is refused.
pub(super) async fn upload(
    body: &mut ClientBody<'_>,
    request: &mut OriginRequest<'_>,
    alarm: &mut Alarm,
    pace: BodyPace,
    idle: Duration,
    mut look: Look<'_, '_>,
    spent: &Cell<u64>,
) -> Result<(), UploadFault> {
    let mut held = Vec::new();
    let most = look.holds();
    if most == 0 && !body.is_at_hand() {
        // The body may be long in coming. The origin can begin without it, or refuse it.
        request
            .flush(alarm, idle)
            .await
            .map_err(UploadFault::Origin)?;
    }
    let mut holding = most > 0;
    loop {
        alarm.set(pace.idle);
        let ready = body.fill(alarm, pace).await.map_err(UploadFault::Client)?;
        spent.set(spent.get() + ready as u64);
        look.at(body.front(ready), spent.get())?;
        let ended = ready == 0 || look.length == Some(spent.get());
        if holding {
            if !ended && held.len() + ready <= most {
                if !look.hold.more(ready) {
                    return Err(UploadFault::Refused(look.guard.busy()));
                }
                held.extend_from_slice(body.front(ready));
                body.consume(ready);
                continue;
            }
            holding = false;
            let sent = give(request, &held, alarm, idle).await;
            sent.map_err(UploadFault::Origin)?;
            held = Vec::new();
        }
        if ready == 0 {
            let ended = request.end(body.trailers(), alarm, idle).await;
            return ended.map_err(UploadFault::Origin);
        }
        let sent = request
            .body(body.front(ready), After::Wait, alarm, idle)
            .await;
        sent.map_err(UploadFault::Origin)?;
        body.consume(ready);
    }
}

async fn give(
    request: &mut OriginRequest<'_>,
    held: &[u8],
    alarm: &mut Alarm,
    idle: Duration,
) -> Result<(), OriginFault> {
    if held.is_empty() {
        return Ok(());
    }
    request.body(held, After::More, alarm, idle).await
}
