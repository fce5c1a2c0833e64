//! The access log: lines from worker threads to a file, without ever holding up a request.
//!
//! Each worker thread writes lines into a block of its own ([`LogBuffer`]). A full or aged block goes through a bounded
//! queue to one writer thread, which owns the file, and the empty block comes back, so that the steady state allocates
//! nothing. When the queue is full, because the disk is slower than the traffic, the block is dropped and its lines counted.
//!
//! A write that fails (disk full, file gone) is tried again every second. What is queued is kept for a few seconds, so that a
//! hiccup costs no line, and dropped and counted after that. [`Status`] says what is wrong, until it is well again.
//!
//! Not here: syncing to disk (lines of the last moments before a power cut are lost), compression, other targets than a
//! file or the standard output.

mod file;
mod writer;

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::record::LINE_LIMIT;
use crate::{Record, Stamp};
pub use file::place_of;
use writer::Writer;

/// A block is handed over when it holds this many bytes.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// A block is handed over by [`LogBuffer::flush_if_older`] when its first line is older, in microseconds.
pub const BLOCK_AGE_US: u64 = 200_000;

/// How long dropping an [`AccessLog`] waits for the last lines to be written.
const PATIENCE_AT_CLOSE: Duration = Duration::from_secs(2);

/// How long dropping a [`LogBuffer`], which happens when its thread ends, waits for room in the queue.
const PATIENCE_OF_BUFFER: Duration = Duration::from_millis(500);

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// A file, made with its folder when it is not there.
    File(PathBuf),
    /// The standard output.
    Stdout,
    /// Nowhere.
    Off,
}

/// What an access log is to be.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Where lines go.
    pub target: LogTarget,
    /// A file that would grow beyond this many bytes is rotated; 0 means never.
    pub rotate_at: u64,
    /// How many rotated files are kept, `access.log.1` the youngest.
    pub keep: usize,
    /// Bytes that may wait for the writer, in whole blocks of [`BLOCK_BYTES`], two at least.
    pub queue_bytes: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            target: LogTarget::Off,
            rotate_at: 256 << 20,
            keep: 4,
            queue_bytes: 4 << 20,
        }
    }
}

/// What can go wrong with an access log. All but `Spawn` and `Unfinished` heal by themselves and are only ever told by
/// [`Status::problem`].
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each message says it")]
pub enum LogError {
    #[error("access log: cannot start its writer thread: {0}")]
    Spawn(#[source] io::Error),
    #[error("access log: cannot open {path}: {source}{}", help(.source))]
    Open { path: PathBuf, source: io::Error },
    #[error("access log: cannot rotate {path}: {source}{}", help(.source))]
    Rotate { path: PathBuf, source: io::Error },
    #[error("access log: cannot write: {0}")]
    Write(#[source] io::Error),
    #[error("access log: the last lines were not written within {0:?}")]
    Unfinished(Duration),
}

/// What can be done where it is not allowed.
fn help(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            " (its folder must be the user's that serves; run as root, one that was made or put in its place since the start is written after \
             a restart or `seawall upgrade` only)"
        }
        _ => "",
    }
}

/// How the access log does; shared with whoever shows it.
#[derive(Debug, Default)]
pub struct Status {
    written: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
    /// Blocks on their way, and how many may be.
    waiting: AtomicUsize,
    room: AtomicUsize,
    problem: Mutex<Option<String>>,
}

impl Status {
    /// Lines written so far.
    pub fn written_lines(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Lines lost so far.
    pub fn dropped_lines(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How often it went from well to failing; whoever prints problems prints one when this has grown.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// What is wrong now, in words; none when all is well.
    pub fn problem(&self) -> Option<String> {
        held(&self.problem).clone()
    }

    /// Whether more than half of the queue is full: lines come faster than they can be written, and some will be lost.
    #[inline]
    pub fn is_pressed(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) * 2 > self.room.load(Ordering::Relaxed)
    }

    fn fail(&self, error: &LogError) {
        let mut problem = held(&self.problem);
        if problem.is_none() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        *problem = Some(error.to_string());
    }

    fn heal(&self) {
        *held(&self.problem) = None;
    }
}

/// The access log of a process. Dropping it closes it.
#[derive(Debug)]
pub struct AccessLog {
    status: Arc<Status>,
    /// None when the target is `Off`, and when closed.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    queue: SyncSender<Message>,
    orders: Arc<Orders>,
    writer: thread::JoinHandle<()>,
    blocks: usize,
}

impl AccessLog {
    /// Opens the target and starts the writer. A target that cannot be opened now is no error: requests are served, lines
    /// are dropped and counted, [`AccessLog::status`] tells why, and it is tried again.
    pub fn open(config: LogConfig) -> Result<Self, LogError> {
        Self::open_paced(config, Pace::default())
    }

    fn open_paced(config: LogConfig, pace: Pace) -> Result<Self, LogError> {
        let status = Arc::new(Status::default());
        let blocks = (config.queue_bytes / BLOCK_BYTES).max(2);
        let Some(file) = file::LogFile::open(&config) else {
            return Ok(Self {
                status,
                running: None,
            });
        };
        let file = file.unwrap_or_else(|(closed, error)| {
            status.fail(&error);
            closed
        });
        status.room.store(blocks, Ordering::Relaxed);
        let (queue, blocks_to_write) = mpsc::sync_channel(blocks);
        let orders = Arc::new(Orders::default());
        let writer = Writer::new(
            file,
            blocks_to_write,
            Arc::clone(&orders),
            Arc::clone(&status),
            pace,
        );
        let writer = thread::Builder::new()
            .name("access-log".into())
            .spawn(move || writer.run())
            .map_err(LogError::Spawn)?;
        Ok(Self {
            status,
            running: Some(Running {
                queue,
                orders,
                writer,
                blocks,
            }),
        })
    }

    /// A buffer for one more worker thread.
    pub fn buffer(&self) -> LogBuffer {
        let sink = self.running.as_ref().map(|running| {
            let (home, empty) = mpsc::sync_channel(running.blocks + 2);
            BlockSink {
                queue: running.queue.clone(),
                home,
                empty,
            }
        });
        LogBuffer {
            block: Vec::new(),
            lines: 0,
            since: 0,
            sink,
            status: Arc::clone(&self.status),
            one_thread: PhantomData,
        }
    }

    /// How it does.
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Closes the file and opens it anew by its name, after somebody else has moved it.
    pub fn reopen(&self) {
        if let Some(running) = &self.running {
            held(&running.orders.given).reopen = true;
            running.wake();
        }
    }

    /// Writes what was handed over and stops, within a bound; buffers ought to be dropped before. Lines that do not make it
    /// are counted as dropped. When the writer hangs in a write beyond the bound, it is left to itself.
    pub fn close(mut self, bound: Duration) -> Result<(), LogError> {
        self.finish(bound)
    }

    fn finish(&mut self, bound: Duration) -> Result<(), LogError> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        held(&running.orders.given).closing = true;
        running.wake();
        let given = held(&running.orders.given);
        let (given, _) = running
            .orders
            .changed
            .wait_timeout_while(given, bound, |given| !given.ended)
            .unwrap_or_else(PoisonError::into_inner);
        if !given.ended {
            return Err(LogError::Unfinished(bound));
        }
        drop(given);
        // It has said its last word, so this does not wait; and what a panic would say, the ended flag has said.
        let _ = running.writer.join();
        Ok(())
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        // Nobody is left to be told; what was lost is counted.
        let _ = self.finish(PATIENCE_AT_CLOSE);
    }
}

impl Running {
    /// Makes the writer look at its orders, whether it waits for a block or for its next try.
    fn wake(&self) {
        self.orders.changed.notify_all();
        // A full queue means that it is about to look anyway.
        let _ = self.queue.try_send(Message::Wake);
    }
}

/// One thread's part of the access log. It can move to its thread, and is never shared between threads.
#[derive(Debug)]
pub struct LogBuffer {
    block: Vec<u8>,
    lines: u64,
    /// The time of the block's first line, in unix microseconds.
    since: u64,
    /// None when the log is off.
    sink: Option<BlockSink>,
    status: Arc<Status>,
    one_thread: PhantomData<Cell<()>>,
}

#[derive(Debug)]
struct BlockSink {
    queue: SyncSender<Message>,
    home: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
}

impl LogBuffer {
    /// Writes a Record's line; hands the block over when it is full.
    #[inline]
    pub fn write(&mut self, record: &Record<'_>, stamp: &mut Stamp) {
        if self.sink.is_none() {
            return;
        }
        if self.lines == 0 {
            self.begin(record.time);
        }
        record.write_json(stamp, &mut self.block);
        self.lines += 1;
        if self.block.len() >= BLOCK_BYTES {
            self.hand_over();
        }
    }

    /// Whether lines come faster than they can be written.
    #[inline]
    pub fn is_pressed(&self) -> bool {
        self.status.is_pressed()
    }

    /// A line was left out, and is counted as dropped.
    pub fn leave_out(&mut self) {
        if self.sink.is_some() {
            self.status.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Hands the block over when its first line is older than [`BLOCK_AGE_US`]; `now` in unix microseconds. To be called
    /// some four times a second.
    pub fn flush_if_older(&mut self, now: u64) {
        // A clock that was set back makes a huge age, which is right: the block must not wait for the clock to catch up.
        if self.lines > 0 && now.wrapping_sub(self.since) > BLOCK_AGE_US {
            self.hand_over();
        }
    }

    /// Hands over what there is.
    pub fn flush(&mut self) {
        if self.lines > 0 {
            self.hand_over();
        }
    }

    fn begin(&mut self, time: u64) {
        self.since = time;
        if self.block.capacity() == 0 {
            // One line may go beyond the block's end. What is never written to costs no memory.
            self.block.reserve_exact(BLOCK_BYTES + LINE_LIMIT);
        }
    }

    #[cold]
    fn hand_over(&mut self) {
        let Some(block) = self.take_block() else {
            return;
        };
        let Some(sink) = &self.sink else { return };
        // What comes back is counted as dropped when it goes; its memory serves again.
        if let Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) =
            sink.queue.try_send(Message::Block(block))
            && let Message::Block(mut block) = message
        {
            self.block = block.take_memory();
        }
    }

    /// Takes the block out and puts an empty one in its place.
    fn take_block(&mut self) -> Option<Block> {
        let sink = self.sink.as_ref()?;
        self.status.waiting.fetch_add(1, Ordering::Relaxed);
        Some(Block {
            bytes: std::mem::replace(&mut self.block, sink.empty.try_recv().unwrap_or_default()),
            lines: std::mem::take(&mut self.lines),
            home: sink.home.clone(),
            status: Arc::clone(&self.status),
        })
    }
}

impl Drop for LogBuffer {
    fn drop(&mut self) {
        if self.lines == 0 {
            return;
        }
        let deadline = Instant::now() + PATIENCE_OF_BUFFER;
        let Some(block) = self.take_block() else {
            return;
        };
        let Some(sink) = &self.sink else { return };
        let mut message = Message::Block(block);
        // The thread serves nobody any more, so it may wait a little.
        while let Err(TrySendError::Full(back)) = sink.queue.try_send(message) {
            message = back;
            if Instant::now() >= deadline {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What goes to the writer.
#[derive(Debug)]
enum Message {
    Block(Block),
    /// Look at the orders.
    Wake,
}

/// Whole lines on their way to the writer. Lines that are still in it when it goes are counted as dropped, wherever that
/// happens: a line is either written or counted.
#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    lines: u64,
    home: SyncSender<Vec<u8>>,
    status: Arc<Status>,
}

impl Block {
    /// The lines went to the file.
    fn written(&mut self, lines: u64) {
        let lines = lines.min(self.lines);
        self.lines -= lines;
        self.status.written.fetch_add(lines, Ordering::Relaxed);
    }

    fn take_memory(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        bytes
    }

    /// Sends the memory back to the thread that it came from.
    fn recycle(mut self) {
        let bytes = self.take_memory();
        // When that thread is gone, or has plenty, the memory is freed.
        let _ = self.home.try_send(bytes);
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.status.waiting.fetch_sub(1, Ordering::Relaxed);
        if self.lines > 0 {
            self.status.dropped.fetch_add(self.lines, Ordering::Relaxed);
        }
    }
}

/// What the writer is told besides blocks, and tells.
#[derive(Debug, Default)]
struct Orders {
    given: Mutex<Given>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Given {
    reopen: bool,
    closing: bool,
    /// Said by the writer.
    ended: bool,
}

/// How fast a failing log is tried again, and given up.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Between two tries.
    retry: Duration,
    /// How long queued lines are kept while every try fails.
    hold: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            retry: Duration::from_secs(1),
            hold: Duration::from_secs(3),
        }
    }
}

/// A lock whose holder panicked is as good as any: all values in here are valid at any time.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
