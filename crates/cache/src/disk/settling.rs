//! What was noted to be gone, until it is on disk: who was told that it is gone is not to meet it again after a kill.
//!
//! Each removal and each purge has a number, which grows, and the thread that writes says up to which all are on disk. Who waits for
//! that leaves a waker. Who waited in vain says so, and nobody else waits then until the disk has gone on: one that hangs costs each
//! request a moment, once.

use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use super::journal::Purged;
use super::{Disk, Gone, Queue};

/// The most who wait; others do not.
const MOST: usize = 4_096;

/// What is to be written down.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) gone: Vec<Gone>,
    pub(super) purges: Vec<Purged>,
    /// There was no room for what is gone: everything is.
    pub(super) all_gone: bool,
    /// The number of the last of it.
    pub(super) number: u64,
}

impl Queue {
    /// The number of something more that is gone.
    pub(super) fn note(&mut self) -> u64 {
        self.noted += 1;
        self.noted
    }

    pub(super) fn has_noted(&self) -> bool {
        !self.gone.is_empty() || !self.purges.is_empty() || self.all_gone
    }

    pub(super) fn take_noted(&mut self) -> Noted {
        Noted {
            gone: std::mem::take(&mut self.gone),
            purges: std::mem::take(&mut self.purges),
            all_gone: std::mem::take(&mut self.all_gone),
            number: self.noted,
        }
    }

    /// Nobody writes any more: it is empty. What was noted and is not on disk stays so; those who wait for it are told.
    pub(super) fn end(&mut self) -> Vec<(u64, Waker)> {
        let waiting = std::mem::take(&mut self.waiting);
        *self = Self {
            noted: self.noted,
            settled: self.settled,
            ..Self::default()
        };
        waiting
    }
}

impl Disk {
    /// All that was noted up to this number is on disk, or nothing is that it is about.
    pub(super) fn settled(&self, number: u64) {
        let done: Vec<_> = {
            let mut queue = self.queue();
            if queue.settled >= number {
                return;
            }
            queue.settled = number;
            queue.is_slow = false;
            let waiting = std::mem::take(&mut queue.waiting);
            let (done, waits) = waiting.into_iter().partition(|(until, _)| *until <= number);
            queue.waiting = waits;
            done
        };
        done.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Whether all that was noted up to this number outlives the process, or nothing does that it is about. Not as long as the disk is
    /// another process's: what lies there is not this one's to remove.
    pub(crate) fn has_settled(&self, number: u64) -> bool {
        self.queue().settled >= number
    }

    /// Who waits for that; none where nobody should.
    pub(crate) fn settling(self: &Arc<Self>, number: u64) -> Option<Settling> {
        let ails = *self.ails.lock().unwrap_or_else(PoisonError::into_inner);
        // A folder that cannot be used.
        let is_away = ails.is_some() && !self.serves();
        let queue = self.queue();
        let works = queue.runs && !queue.closes && !queue.is_slow && !is_away;
        let waits = works && queue.settled < number;
        drop(queue);
        waits.then(|| Settling {
            disk: Arc::clone(self),
            number,
        })
    }
}

/// Who waits until something that is gone is so on disk.
#[derive(Debug)]
pub struct Settling {
    disk: Arc<Disk>,
    number: u64,
}

impl Settling {
    /// Ready once it is, or never will be.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut queue = self.disk.queue();
        if !queue.runs || queue.settled >= self.number || queue.waiting.len() >= MOST {
            return Poll::Ready(());
        }
        let mut waiting = queue.waiting.iter();
        if !waiting.any(|(until, waker)| *until == self.number && waker.will_wake(cx.waker())) {
            queue.waiting.push((self.number, cx.waker().clone()));
        }
        Poll::Pending
    }

    /// It was waited for in vain.
    pub fn gave_up(&self) {
        let mut queue = self.disk.queue();
        let is_slow = queue.settled < self.number;
        queue.is_slow |= is_slow;
    }
}
