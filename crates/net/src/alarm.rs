//! One timer per connection, moved lazily.
//!
//! A request passes many deadlines (head, body progress, origin, idle) and nearly always meets them all. Registering a timer
//! for each would cost more than parsing the request. So a connection owns one timer: setting a later deadline only stores it,
//! and when the timer fires early it is armed again for what is left.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// The deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deadline passed")]
pub struct Elapsed;

/// One connection's timer. It belongs to one task: it remembers that the task is registered and does not do it again.
pub struct Alarm {
    sleep: Pin<Box<Sleep>>,
    due: Instant,
    armed: Instant,
    registered: bool,
}

impl Alarm {
    /// A timer that is due after `after`.
    pub fn new(after: Duration) -> Self {
        let due = Instant::now() + after;
        Self {
            sleep: Box::pin(tokio::time::sleep_until(due)),
            due,
            armed: due,
            registered: false,
        }
    }

    /// Due `after` from now.
    pub fn set(&mut self, after: Duration) {
        self.set_at(Instant::now() + after);
    }

    /// Due at `due`. Moving it back costs a store; moving it forward arms the timer.
    pub fn set_at(&mut self, due: Instant) {
        self.due = due;
        if due < self.armed {
            self.armed = due;
            self.sleep.as_mut().reset(due);
            self.registered = false;
        }
    }

    /// Due `within` from now at the latest.
    pub fn hurry(&mut self, within: Duration) {
        self.set_at(self.due.min(Instant::now() + within));
    }

    /// Ready once the deadline passed.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.registered && !self.sleep.is_elapsed() {
                return Poll::Pending;
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                self.registered = true;
                return Poll::Pending;
            }
            if self.due <= self.armed || Instant::now() >= self.due {
                return Poll::Ready(());
            }
            self.armed = self.due;
            self.sleep.as_mut().reset(self.due);
            self.registered = false;
        }
    }

    /// What `poll` gives, or [`Elapsed`] when it does not come within `timeout`. The clock is read only when there is something
    /// to wait for.
    pub async fn wait<T>(
        &mut self,
        timeout: Duration,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Elapsed> {
        let mut set = false;
        poll_fn(|cx| match poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => {
                if !set {
                    set = true;
                    self.set(timeout);
                }
                self.poll(cx).map(|()| Err(Elapsed))
            }
        })
        .await
    }

    /// What `poll` gives, or [`Elapsed`] when the deadline passes first.
    pub async fn within<T>(
        &mut self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Elapsed> {
        poll_fn(|cx| match poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => self.poll(cx).map(|()| Err(Elapsed)),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_later_deadline_moves_the_alarm_and_an_earlier_one_too() {
        let start = Instant::now();
        let mut alarm = Alarm::new(Duration::from_secs(1));
        alarm.set(Duration::from_secs(5));
        assert_eq!(alarm.within(|_| Poll::<()>::Pending).await, Err(Elapsed));
        assert_eq!(start.elapsed().as_secs(), 5);
        alarm.set(Duration::from_secs(60));
        assert_eq!(alarm.within(|_| Poll::Ready(7)).await, Ok(7));
        alarm.set(Duration::from_secs(2));
        assert_eq!(alarm.within(|_| Poll::<()>::Pending).await, Err(Elapsed));
        assert_eq!(start.elapsed().as_secs(), 7);
    }
}
