//! The thread that writes: it alone changes what is on disk. What it does with segments as a whole is in [`segments`].

mod segments;

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::folder::{Folder, JOURNAL, NotOurs};
use super::format::{self, Kind, Listed, Name, Place};
use super::index::{Index, Location};
use super::journal::{Journal, Purged};
use super::settling::Noted;
use super::{AWAY, Disk, Gone, LOADS, Offer, Opened, SERVES, Segment, count, recover};
use crate::cache::Cache;

/// How often it is looked whether another process has left the folder.
const AGAIN: Duration = Duration::from_millis(50);
/// How long a disk that failed is left alone.
const PAUSE: Duration = Duration::from_secs(5);
/// Bytes that are written at once.
const BATCH: usize = 1 << 20;

/// Runs until it is told to close. It holds the cache only while it works for it.
pub(super) fn run(disk: &Arc<Disk>, cache: &Weak<Cache>) {
    if let Some(mut writer) = open(disk, cache) {
        writer.work(cache);
    }
    disk.phase.store(AWAY, Ordering::Release);
    *disk.opened.write().unwrap_or_else(PoisonError::into_inner) = None;
    *disk.index.write().unwrap_or_else(PoisonError::into_inner) = Index::default();
    disk.segments
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .clear();
    disk.counts.bytes.store(0, Ordering::Relaxed);
    let waiting = disk.queue().end();
    disk.changed.notify_all();
    waiting.into_iter().for_each(|(_, waker)| waker.wake());
}

fn open<'d>(disk: &'d Arc<Disk>, cache: &Weak<Cache>) -> Option<Writer<'d>> {
    loop {
        let wait = match Folder::open(&disk.settings.folder) {
            Ok(folder) => match begin(disk, cache, folder) {
                Some(writer) => return Some(writer),
                None => PAUSE,
            },
            Err(NotOurs::Taken) => AGAIN,
            Err(NotOurs::Failed(error)) => {
                disk.cannot_open("the folder of the cache cannot be used", &error);
                PAUSE
            }
        };
        if !rest(disk, cache, wait) {
            return None;
        }
    }
}

/// Waits, unless it is told to close; false then, and when the cache has gone.
fn rest(disk: &Disk, cache: &Weak<Cache>, wait: Duration) -> bool {
    let due = Instant::now() + wait;
    let mut queue = disk.queue();
    loop {
        if queue.closes || cache.strong_count() == 0 {
            return false;
        }
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        let waited = disk.changed.wait_timeout(queue, left.min(AGAIN));
        queue = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Loads what is there; none where the disk says no.
fn begin<'d>(disk: &'d Arc<Disk>, cache: &Weak<Cache>, folder: Folder) -> Option<Writer<'d>> {
    let opened = Opened {
        store: folder.store(),
        keys: folder.keys(),
    };
    *disk.opened.write().unwrap_or_else(PoisonError::into_inner) = Some(opened);
    disk.phase.store(LOADS, Ordering::Release);
    let journal = {
        let cache = cache.upgrade()?;
        let purges = cache.purges();
        purges.raise(folder.first_number());
        let journal = Journal::open(folder.path(JOURNAL), purges);
        let failed = |error| disk.cannot_open("the cache's purges cannot be read", &error);
        journal.map_err(failed).ok()?
    };
    let failed = |error| disk.cannot_open("the cache cannot be loaded", &error);
    let sizes = recover::load(disk, &folder).map_err(failed).ok()?;
    let next = sizes.last().map_or(0, |(id, _)| id.saturating_add(1));
    let mut writer = Writer {
        disk,
        opened,
        folder,
        journal,
        active: None,
        batch: Vec::new(),
        pending: Vec::new(),
        sizes,
        next,
        unremoved: Vec::new(),
        paused: None,
    };
    writer.count_bytes();
    // What was purged meanwhile comes first.
    let noted = disk.queue().take_noted();
    writer.settle(noted, cache);
    disk.phase.store(SERVES, Ordering::Release);
    Some(writer)
}

/// The segment that is written to.
struct Active {
    id: u32,
    segment: Arc<Segment>,
    end: u64,
    listed: Vec<Listed>,
}

/// What there is to do.
struct Work {
    noted: Noted,
    offers: Vec<Offer>,
    /// It is the last.
    closes: bool,
}

struct Writer<'d> {
    disk: &'d Arc<Disk>,
    opened: Opened,
    folder: Folder,
    journal: Journal,
    active: Option<Active>,
    /// Records that are about to be written behind the end of the active segment.
    batch: Vec<u8>,
    /// What they are, and whose.
    pending: Vec<(Listed, Option<Arc<crate::key::Key>>)>,
    /// The other segments, the oldest first.
    sizes: Vec<(u32, u64)>,
    next: u32,
    /// Segments that are to be gone, and could not be removed.
    unremoved: Vec<u32>,
    /// The disk failed: nothing is written until then.
    paused: Option<Instant>,
}

impl Writer<'_> {
    fn work(&mut self, cache: &Weak<Cache>) {
        loop {
            let Work {
                noted,
                offers,
                closes,
            } = self.wait(cache);
            self.settle(noted, cache);
            self.write_all(offers);
            self.disk.queue().writes.clear();
            if closes {
                break;
            }
        }
        self.seal();
        // Where this fails the next owner finds a store that was not closed.
        let _ = self.sync();
    }

    /// Waits for something to do. What is gone is taken together with what is to be written, for it is written down first: what goes
    /// later is not to be among that.
    fn wait(&self, cache: &Weak<Cache>) -> Work {
        let mut queue = self.disk.queue();
        let mut again = false;
        loop {
            let closes = queue.closes || cache.strong_count() == 0;
            if closes || again || queue.has_noted() || !queue.offers.is_empty() {
                let mut offers = Vec::new();
                let mut bytes = 0;
                while (closes || bytes < BATCH)
                    && let Some(offer) = queue.offers.pop_front()
                {
                    bytes += offer.bytes();
                    offers.push(offer);
                }
                queue.bytes = queue.bytes.saturating_sub(bytes);
                queue.writes = offers.iter().map(|offer| Arc::clone(&offer.key)).collect();
                let noted = queue.take_noted();
                return Work {
                    noted,
                    offers,
                    closes,
                };
            }
            let waited = self
                .disk
                .changed
                .wait_timeout(queue, Duration::from_secs(1));
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            again = !self.unremoved.is_empty();
        }
    }

    /// Writes down what is gone, before anything that is new.
    fn settle(&mut self, mut noted: Noted, cache: &Weak<Cache>) {
        self.remove_rest();
        if noted.all_gone {
            self.drop_all();
        }
        self.write_gone(&noted.gone);
        self.come_again(&mut noted.purges, cache);
        self.write_purges(&noted.purges);
        // What is to be gone and cannot be removed would come back.
        if self.unremoved.is_empty() {
            self.disk.settled(noted.number);
        }
    }

    /// Purges that came before the folder was ours have numbers below those of what is in it: they come once more.
    fn come_again(&self, purges: &mut [Purged], cache: &Weak<Cache>) {
        let first = self.folder.first_number();
        for purged in purges.iter_mut().filter(|purged| purged.number < first) {
            purged.number = match cache.upgrade() {
                Some(cache) => {
                    let all = cache.purges();
                    all.purge(purged.zone, purged.what.scope(), purged.purge)
                }
                // Nobody stores anything any more.
                None => self.folder.last_number(),
            };
        }
    }

    fn write_purges(&mut self, purges: &[Purged]) {
        if purges.is_empty() {
            return;
        }
        if let Err(error) = self.journal.add(self.disk.io.as_ref(), purges) {
            self.disk.wrote(Err(&error));
            self.disk.failed("a purge cannot be written down", error);
            self.paused = Some(Instant::now() + PAUSE);
            // What cannot be written down must not come back: nothing does.
            self.drop_all();
        }
    }

    fn write_gone(&mut self, gone: &[Gone]) {
        for gone in gone {
            // Once more: what was being written then was not in the index yet.
            self.disk.remove(&self.opened, gone);
            let (kind, name) = gone.name(&self.opened);
            if !self.append(kind, name, None, |place| {
                Some(format::gone(place, kind, name))
            }) {
                self.drop_all();
                return;
            }
        }
        if !gone.is_empty() && !self.flush() {
            self.drop_all();
        }
    }

    fn write_all(&mut self, offers: Vec<Offer>) {
        let disk = self.disk;
        let refuse = |many: usize| {
            let refused = &disk.counts.refused_failing;
            refused.fetch_add(many as u64, Ordering::Relaxed);
        };
        if offers.is_empty() {
            return;
        }
        if let Some(until) = self.paused {
            if Instant::now() < until {
                return refuse(offers.len());
            }
            // Nothing is kept that could not be purged.
            if let Err(error) = self.journal.mend(self.disk.io.as_ref()) {
                self.disk.wrote(Err(&error));
                self.paused = Some(Instant::now() + PAUSE);
                return refuse(offers.len());
            }
            self.paused = None;
        }
        let mut offers = offers.into_iter();
        while let Some(Offer { key, entry }) = offers.next() {
            let name = self.opened.name(&key, &entry);
            let bytes = key.bytes.clone();
            let kept = self.append(Kind::Response, name, Some(key), |place| {
                format::response(place, name, &bytes, &entry)
            });
            if !kept && self.paused.is_some() {
                return refuse(offers.len() + 1);
            }
        }
        self.flush();
    }

    /// Puts a record behind the others; false where the disk says no.
    fn append(
        &mut self,
        kind: Kind,
        name: Name,
        key: Option<Arc<crate::key::Key>>,
        record: impl Fn(Place) -> Option<Vec<u8>>,
    ) -> bool {
        for _ in 0..2 {
            let Some((id, end)) = self.active.as_ref().map(|active| (active.id, active.end)) else {
                if !self.roll() {
                    return false;
                }
                continue;
            };
            let offset = end + self.batch.len() as u64;
            let place = Place {
                store: self.opened.store,
                segment: id,
                offset: offset as u32,
            };
            let Some(bytes) = record(place) else {
                return true;
            };
            let listed = self.active.as_ref().map_or(0, |active| active.listed.len());
            let list = format::footer_of(listed + self.pending.len() + 1) as u64;
            if offset + bytes.len() as u64 + list > self.disk.segment && offset > 0 {
                if !(self.flush() && self.roll()) {
                    return false;
                }
                continue;
            }
            let listed = Listed {
                kind,
                name,
                offset: place.offset,
                length: bytes.len() as u32,
            };
            self.batch.extend_from_slice(&bytes);
            self.pending.push((listed, key));
            return self.batch.len() < BATCH || self.flush();
        }
        // It was not written.
        false
    }

    /// Writes the batch, and puts it into the index; false where the disk says no.
    fn flush(&mut self) -> bool {
        let batch = std::mem::take(&mut self.batch);
        let pending = std::mem::take(&mut self.pending);
        let Some(active) = &mut self.active else {
            return pending.is_empty();
        };
        let file = &active.segment.file;
        if !batch.is_empty()
            && let Err(error) = self.disk.io.write(file, &batch, active.end)
        {
            self.failed(error);
            return false;
        }
        if !batch.is_empty() {
            self.disk.wrote(Ok(()));
        }
        active.end += batch.len() as u64;
        active
            .listed
            .extend(pending.iter().map(|(listed, _)| *listed));
        // What went meanwhile waits in the queue: nobody can add to it while this is decided.
        let queue = self.disk.queue();
        for (listed, key) in &pending {
            let Some(key) = key else {
                continue;
            };
            if queue.all_gone || queue.gone.iter().any(|gone| gone.is(key)) {
                continue;
            }
            count(&self.disk.counts.written);
            let at = Location {
                segment: active.id,
                offset: listed.offset,
                length: listed.length,
            };
            self.disk.index(|index| index.insert(listed.name, at));
        }
        drop(queue);
        let mut batch = batch;
        batch.clear();
        self.batch = batch;
        self.count_bytes();
        true
    }

    /// The system writes what it has in memory.
    fn sync(&mut self) -> std::io::Result<()> {
        let segments = self
            .disk
            .segments
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        for segment in segments.values() {
            segment.file.sync_data()?;
        }
        drop(segments);
        self.folder.closed()
    }
}
