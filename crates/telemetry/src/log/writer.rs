//! The writer thread of an access log.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

use super::file::LogFile;
use super::{Block, LogError, Message, Orders, Pace, PoisonError, Status, held};

/// Takes blocks from the queue and appends them to the file, until it is told to close or nobody is left who could send.
pub(super) struct Writer {
    file: LogFile,
    queue: Receiver<Message>,
    orders: Arc<Orders>,
    status: Arc<Status>,
    pace: Pace,
    /// Since when every try has failed.
    failing: Option<Instant>,
}

/// What is to be done next.
enum Next {
    Write(Block),
    Look,
    End,
}

impl Writer {
    pub(super) fn new(
        file: LogFile,
        queue: Receiver<Message>,
        orders: Arc<Orders>,
        status: Arc<Status>,
        pace: Pace,
    ) -> Self {
        Self {
            file,
            queue,
            orders,
            status,
            pace,
            failing: None,
        }
    }

    pub(super) fn run(self) {
        // Said however this ends, so that nobody waits for a thread that is gone; and said last, after the queue is gone
        // and what was left in it is counted.
        let _ended = SayEnded(Arc::clone(&self.orders));
        let mut writer = self;
        loop {
            let closing = writer.look_at_orders();
            match writer.next(closing) {
                Next::Write(block) => writer.write(block),
                Next::Look => {}
                Next::End => break,
            }
        }
    }

    /// Returns whether it is to close.
    fn look_at_orders(&mut self) -> bool {
        let mut given = held(&self.orders.given);
        if std::mem::take(&mut given.reopen) {
            self.file.reopen();
        }
        given.closing
    }

    fn next(&self, closing: bool) -> Next {
        let message = if closing {
            self.queue.try_recv()
        } else {
            self.queue.recv().map_err(|_| TryRecvError::Disconnected)
        };
        match message {
            Ok(Message::Block(block)) => Next::Write(block),
            Ok(Message::Wake) => Next::Look,
            Err(_) => Next::End,
        }
    }

    /// Writes a block, trying again for as long as its lines are held.
    fn write(&mut self, mut block: Block) {
        let mut start = 0;
        loop {
            let lines = block.bytes.get(start..).unwrap_or_default();
            let Err(failure) = self.file.append(lines) else {
                block.written(u64::MAX);
                self.well();
                return block.recycle();
            };
            let (bytes, whole) = whole_lines(lines, failure.written);
            start += bytes;
            block.written(whole);
            self.fail(&failure.error);
            if start >= block.bytes.len() {
                return block.recycle();
            }
            if !self.wait_for_next_try() {
                block.recycle();
                return self.drop_queue();
            }
        }
    }

    fn well(&mut self) {
        if self.failing.take().is_some() || self.status.problem().is_some() {
            self.status.heal();
        }
    }

    fn fail(&mut self, error: &LogError) {
        self.failing.get_or_insert_with(Instant::now);
        self.status.fail(error);
        // The next try may meet another file: one with room, after somebody moved this one away.
        self.file.reopen();
    }

    /// Waits between two tries. Returns false when lines have been held long enough, or there is no time left.
    fn wait_for_next_try(&mut self) -> bool {
        let given = held(&self.orders.given);
        let closing_before = given.closing;
        let (mut given, _) = self
            .orders
            .changed
            .wait_timeout_while(given, self.pace.retry, |given| {
                !given.reopen && !given.closing
            })
            .unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut given.reopen) {
            self.file.reopen();
        }
        // When it begins to close, there is one more try.
        let held_long = self
            .failing
            .is_some_and(|since| since.elapsed() >= self.pace.hold);
        !closing_before && (given.closing || !held_long)
    }

    fn drop_queue(&self) {
        while let Ok(message) = self.queue.try_recv() {
            if let Message::Block(block) = message {
                block.recycle();
            }
        }
    }
}

/// The bytes up to the last line end among the first `written`, and how many lines they are.
fn whole_lines(bytes: &[u8], written: usize) -> (usize, u64) {
    let written = bytes.get(..written).unwrap_or(bytes);
    let end = written
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |at| at + 1);
    let lines = written.iter().filter(|&&byte| byte == b'\n').count();
    (end, lines as u64)
}

struct SayEnded(Arc<Orders>);

impl Drop for SayEnded {
    fn drop(&mut self) {
        held(&self.0.given).ended = true;
        self.0.changed.notify_all();
    }
}
