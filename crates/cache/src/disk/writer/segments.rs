//! Segments, as the writer has them: begun, ended, given up where the disk says no, and taken away for room.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::{Active, PAUSE, Writer};
use crate::disk::format::{self, HEADER, Header, Kind, Listed, Place};
use crate::disk::index::{Index, Location};
use crate::disk::{Segment, recover};

/// Of a hundred, what of a segment that goes may be written anew.
const ANEW: u64 = 50;

impl Writer<'_> {
    /// Nothing that is there counts any more.
    pub(super) fn drop_all(&mut self) {
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

    fn remove(&mut self, id: u32) {
        let segments = &self.disk.segments;
        segments
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        if let Err(error) = self.folder.remove(id) {
            self.disk
                .failed("a part of the cache cannot be removed", error);
            self.unremoved.push(id);
        }
    }

    /// Removes what could not be removed before.
    pub(super) fn remove_rest(&mut self) {
        let folder = &self.folder;
        self.unremoved.retain(|id| folder.remove(*id).is_err());
    }

    /// The disk said no. What is there is read on; it is tried again later, with another segment.
    pub(super) fn failed(&mut self, error: std::io::Error) {
        self.disk.wrote(Err(&error));
        self.disk.failed("writing the cache", error);
        self.paused = Some(Instant::now() + PAUSE);
        self.batch.clear();
        self.pending.clear();
        if let Some(active) = self.active.take() {
            self.cut(active);
        }
        // It may be full: a part of it may be had back.
        if self.sizes.len() > 1 {
            let (oldest, _) = self.sizes.remove(0);
            self.forget(oldest);
        }
        self.count_bytes();
    }

    /// Nothing may be behind the end of a segment: it is in no index, so nobody would write down that it is gone, and the next start
    /// would find it. Where that cannot be had, all of the segment goes.
    fn cut(&mut self, active: Active) {
        match self.disk.io.cut(&active.segment.file, active.end) {
            Ok(()) => self.sizes.push((active.id, active.end)),
            Err(error) => {
                self.disk
                    .failed("a part of the cache cannot be cut, and goes", error);
                let says_gone = |one: &Listed| one.kind != Kind::Response;
                if active.listed.iter().any(says_gone) {
                    // What it says to be gone lies in others.
                    self.remove(active.id);
                    self.drop_all();
                } else {
                    self.forget_all(active.id, &active.listed);
                }
            }
        }
    }

    /// All of a segment goes.
    fn forget(&mut self, id: u32) {
        let listed = self.listed(id);
        self.forget_all(id, &listed);
    }

    fn forget_all(&mut self, id: u32, listed: &[Listed]) {
        for one in listed {
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

    /// Begins another segment; false where the disk says no, also while it makes room.
    pub(super) fn roll(&mut self) -> bool {
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
        self.active.is_some()
    }

    /// Ends the active segment with a list of what is in it.
    pub(super) fn seal(&mut self) {
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

    pub(super) fn count_bytes(&self) {
        let others: u64 = self.sizes.iter().map(|(_, size)| size).sum();
        let active = self.active.as_ref().map_or(0, |active| active.end);
        self.disk
            .counts
            .bytes
            .store(others + active, Ordering::Relaxed);
    }
}
