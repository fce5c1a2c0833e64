//! The thread that writes: it alone changes what is on disk.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::folder::{Folder, JOURNAL, NotOurs};
use super::format::{self, HEADER, Header, Kind, Listed, Name, Place};
use super::index::{Index, Location};
use super::journal::{Journal, Purged};
use super::{AWAY, Disk, Gone, LOADS, Offer, Opened, SERVES, Segment, count, recover};
use crate::cache::Cache;
use crate::purge::Purges;

/// How often it is looked whether another process has left the folder.
const AGAIN: Duration = Duration::from_millis(50);
/// How long a disk that failed is left alone.
const PAUSE: Duration = Duration::from_secs(5);
/// Bytes that are written at once.
const BATCH: usize = 1 << 20;
/// Of a hundred, what of a segment that goes may be written anew.
const ANEW: u64 = 50;

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
    let mut queue = disk.queue();
    *queue = super::Queue::default();
    disk.changed.notify_all();
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
        again(disk, purges, folder.first_number());
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
        paused: None,
    };
    writer.count_bytes();
    // What was purged meanwhile comes first.
    writer.settle();
    disk.phase.store(SERVES, Ordering::Release);
    Some(writer)
}

/// Purges that came before the folder was ours have numbers below those of what is in it: they come once more.
fn again(disk: &Disk, purges: &Purges, first: u64) {
    let early = {
        let mut queue = disk.queue();
        let all = std::mem::take(&mut queue.purges);
        let (early, late): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|purged| purged.number < first);
        queue.purges = late;
        early
    };
    for Purged {
        zone, what, purge, ..
    } in early
    {
        let number = purges.purge(zone, what.scope(), purge);
        disk.journal(Purged {
            number,
            zone,
            what,
            purge,
        });
    }
}

/// The segment that is written to.
struct Active {
    id: u32,
    segment: Arc<Segment>,
    end: u64,
    listed: Vec<Listed>,
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
    /// The disk failed: nothing is written until then.
    paused: Option<Instant>,
}

impl Writer<'_> {
    fn work(&mut self, cache: &Weak<Cache>) {
        loop {
            let (offers, closes) = self.wait(cache);
            self.settle();
            self.write_all(offers);
            self.disk.queue().writes = false;
            if closes {
                break;
            }
        }
        self.seal();
        // Where this fails the next owner finds a store that was not closed.
        let _ = self.sync();
    }

    /// Waits for something to do: what is to be written, and whether it is the last.
    fn wait(&self, cache: &Weak<Cache>) -> (Vec<Offer>, bool) {
        let mut queue = self.disk.queue();
        loop {
            let closes = queue.closes || cache.strong_count() == 0;
            let settles = !queue.gone.is_empty() || !queue.purges.is_empty() || queue.all_gone;
            if closes || settles || !queue.offers.is_empty() {
                let mut offers = Vec::new();
                let mut bytes = 0;
                while (closes || bytes < BATCH)
                    && let Some(offer) = queue.offers.pop_front()
                {
                    bytes += offer.bytes();
                    offers.push(offer);
                }
                queue.bytes = queue.bytes.saturating_sub(bytes);
                queue.writes = !offers.is_empty();
                return (offers, closes);
            }
            let waited = self
                .disk
                .changed
                .wait_timeout(queue, Duration::from_secs(1));
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes down what is gone, before anything that is new.
    fn settle(&mut self) {
        let (gone, purges, all_gone) = {
            let mut queue = self.disk.queue();
            let gone = std::mem::take(&mut queue.gone);
            let purges = std::mem::take(&mut queue.purges);
            (gone, purges, std::mem::take(&mut queue.all_gone))
        };
        if all_gone {
            self.drop_all();
        }
        self.write_gone(&gone);
        self.write_purges(&purges);
    }

    fn write_purges(&mut self, purges: &[Purged]) {
        let Some(last) = purges.iter().map(|purged| purged.number).max() else {
            return;
        };
        if let Err(error) = self.journal.add(purges) {
            self.disk.failed("a purge cannot be written down", error);
            // What cannot be written down must not come back: nothing does.
            self.drop_all();
        }
        let mut queue = self.disk.queue();
        queue.journaled = queue.journaled.max(last);
        self.disk.changed.notify_all();
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

    /// Nothing that is there counts any more.
    fn drop_all(&mut self) {
        self.batch.clear();
        self.pending.clear();
        let active = self.active.take().map(|active| active.id);
        let all = self.sizes.drain(..).map(|(id, _)| id).chain(active);
        let all: Vec<u32> = all.collect();
        for id in all {
            self.remove(id);
        }
        *self
            .disk
            .index
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Index::default();
        self.count_bytes();
    }

    fn remove(&self, id: u32) {
        let segments = &self.disk.segments;
        segments
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        if let Err(error) = std::fs::remove_file(self.folder.segment_path(id)) {
            self.disk
                .failed("a part of the cache cannot be removed", error);
        }
    }

    fn write_all(&mut self, offers: Vec<Offer>) {
        if let Some(until) = self.paused {
            if Instant::now() < until {
                let refused = &self.disk.counts.refused_failing;
                refused.fetch_add(offers.len() as u64, Ordering::Relaxed);
                return;
            }
            self.paused = None;
        }
        for Offer { key, entry } in offers {
            let name = self.opened.name(&key, &entry);
            let bytes = key.bytes.clone();
            self.append(Kind::Response, name, Some(key), |place| {
                format::response(place, name, &bytes, &entry)
            });
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
        true
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

    /// The disk said no. What is there is read on; it is tried again later, with another segment.
    fn failed(&mut self, error: std::io::Error) {
        self.disk.wrote(Err(&error));
        self.disk.failed("writing the cache", error);
        self.paused = Some(Instant::now() + PAUSE);
        self.batch.clear();
        self.pending.clear();
        if let Some(active) = self.active.take() {
            self.sizes.push((active.id, active.end));
        }
        // It may be full: a part of it may be had back.
        if self.sizes.len() > 1 {
            let (oldest, _) = self.sizes.remove(0);
            self.forget(oldest);
        }
        self.count_bytes();
    }

    /// All of a segment goes.
    fn forget(&self, id: u32) {
        for one in self.listed(id) {
            let at = Location {
                segment: id,
                offset: one.offset,
                length: one.length,
            };
            self.disk.index(|index| index.remove_at(one.name.url, at));
        }
        self.remove(id);
    }

    fn listed(&self, id: u32) -> Vec<Listed> {
        let Some(segment) = self.disk.segment(id) else {
            return Vec::new();
        };
        let size = segment.file.metadata().map_or(0, |found| found.len());
        let found = recover::by_footer(self.disk, &segment.file, self.opened.store, id, size);
        found.ok().flatten().unwrap_or_default()
    }

    /// Begins another segment; false where the disk says no.
    fn roll(&mut self) -> bool {
        self.seal();
        let id = self.next;
        let file = match self.folder.create(id) {
            Ok(file) => file,
            Err(error) => {
                self.failed(error);
                return false;
            }
        };
        self.next = self.next.saturating_add(1);
        let segment = Arc::new(Segment { file });
        let segments = &self.disk.segments;
        segments
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, Arc::clone(&segment));
        self.active = Some(Active {
            id,
            segment,
            end: 0,
            listed: Vec::new(),
        });
        self.make_room();
        true
    }

    /// Ends the active segment with a list of what is in it.
    fn seal(&mut self) {
        self.flush();
        let Some(active) = self.active.take() else {
            return;
        };
        let footer = format::footer(self.opened.store, active.id, &active.listed);
        let written = self
            .disk
            .io
            .write(&active.segment.file, &footer, active.end);
        if let Err(error) = written {
            // Its headers say the same.
            self.disk.failed("writing the cache", error);
        }
        self.sizes
            .push((active.id, active.end + footer.len() as u64));
    }

    /// The oldest segments go until there is room for one more, and for what of the next one is written anew before that goes:
    /// who dies in between leaves no more than there may be. What of them was asked for since is written anew.
    fn make_room(&mut self) {
        let room = self.disk.segment + self.anew();
        loop {
            let used: u64 = self.sizes.iter().map(|(_, size)| size).sum();
            if used + room <= self.disk.settings.bytes || self.sizes.is_empty() {
                return;
            }
            self.disk.is_full.store(true, Ordering::Relaxed);
            let (oldest, _) = self.sizes.remove(0);
            self.save(oldest);
            self.forget(oldest);
        }
    }

    /// Bytes of a segment that goes that may be written anew, their list included.
    fn anew(&self) -> u64 {
        self.disk.segment * ANEW / 100
    }

    fn save(&mut self, id: u32) {
        let most = self.anew();
        let Some(segment) = self.disk.segment(id) else {
            return;
        };
        for one in self.listed(id) {
            let from = Location {
                segment: id,
                offset: one.offset,
                length: one.length,
            };
            let used = self.disk.index(|index| index.look(one.name.url, from));
            let Some(active) = &self.active else {
                return;
            };
            let list = format::footer_of(active.listed.len() + 1) as u64;
            if used != Some(true) || active.end + u64::from(one.length) + list > most {
                continue;
            }
            let Some((bytes, place)) = self.again(&segment, id, &one, active) else {
                continue;
            };
            let (file, end) = (&active.segment.file, active.end);
            if let Err(error) = self.disk.io.write(file, &bytes, end) {
                return self.failed(error);
            }
            let to = Location {
                segment: place.segment,
                offset: place.offset,
                length: one.length,
            };
            self.disk
                .index(|index| index.move_to(one.name.url, from, to));
            if let Some(active) = &mut self.active {
                active.end += bytes.len() as u64;
                active.listed.push(Listed {
                    offset: to.offset,
                    ..one
                });
            }
        }
    }

    /// A record as it lies elsewhere.
    fn again(
        &self,
        segment: &Segment,
        id: u32,
        one: &Listed,
        active: &Active,
    ) -> Option<(Vec<u8>, Place)> {
        let store = self.opened.store;
        let mut bytes = vec![0; one.length as usize];
        let read = self
            .disk
            .io
            .read(&segment.file, &mut bytes, u64::from(one.offset));
        read.ok()?;
        let before = Place {
            store,
            segment: id,
            offset: one.offset,
        };
        let header = Header::read(before, &bytes)?;
        let place = Place {
            store,
            segment: active.id,
            offset: active.end as u32,
        };
        let mut out = Vec::with_capacity(bytes.len());
        header.write(place, &mut out);
        out.extend_from_slice(bytes.get(HEADER..)?);
        Some((out, place))
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

    fn count_bytes(&self) {
        let others: u64 = self.sizes.iter().map(|(_, size)| size).sum();
        let active = self.active.as_ref().map_or(0, |active| active.end);
        self.disk
            .counts
            .bytes
            .store(others + active, Ordering::Relaxed);
    }
}
