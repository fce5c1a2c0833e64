//! The way of a request's body, beside the response's: it runs in the same task and ends when the origin has answered.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use seawall_net::alarm::Alarm;
use seawall_net::downstream::{After, BodyPace, ClientBody};
use seawall_net::incoming::BodyFault;
use seawall_net::upstream::{OriginFault, OriginRequest};

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

/// Which side ended an upload.
pub(super) enum UploadFault {
    /// The client did not send what it should.
    Client(BodyFault),
    /// The origin did not take it.
    Origin(OriginFault),
}

/// Passes the request's body to the origin. `spent` follows how much of it was taken from the client; `most` bounds that.
pub(super) async fn upload(
    body: &mut ClientBody<'_>,
    request: &mut OriginRequest<'_>,
    alarm: &mut Alarm,
    pace: BodyPace,
    idle: Duration,
    most: u64,
    spent: &Cell<u64>,
) -> Result<(), UploadFault> {
    if !body.is_at_hand() {
        // The body may be long in coming. The origin can begin without it, or refuse it.
        request
            .flush(alarm, idle)
            .await
            .map_err(UploadFault::Origin)?;
    }
    loop {
        alarm.set(pace.idle);
        let ready = body.fill(alarm, pace).await.map_err(UploadFault::Client)?;
        if ready == 0 {
            let ended = request.end(body.trailers(), alarm, idle).await;
            return ended.map_err(UploadFault::Origin);
        }
        spent.set(spent.get() + ready as u64);
        if spent.get() > most {
            return Err(UploadFault::Client(BodyFault::TooLarge));
        }
        let sent = request
            .body(body.front(ready), After::Wait, alarm, idle)
            .await;
        sent.map_err(UploadFault::Origin)?;
        body.consume(ready);
    }
}
