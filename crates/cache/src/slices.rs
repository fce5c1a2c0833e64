//! Large bodies, stored in slices: each is found and stored by itself, so that of a film only what is watched is fetched.
//!
//! What is stored under the URL's own key then is a head with the length of the body and an [`Sliced`] in place of its bytes. The
//! slices lie under keys that are made of its number, which is new for each answer of the origin that began them: whatever is purged,
//! or has changed, is not found any more, and slices of two versions never meet. A slice is taken from an answer only if it is just
//! what was asked for of just this version ([`Slices::check`]). Not here: who asks the origin for a slice, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use seawall_model::{RequestHead, ResponseHead};

use crate::cache::{Cache, Joined};
use crate::disk::Reading;
use crate::fill::Lead;
use crate::head::Head;
use crate::key::Key;
use crate::memory::{Entry, Found};
use crate::policy::{ContentRange, Kept, Part, Time, Vary, strong_tag};

/// By what the slices of a body are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliced {
    /// Of this answer alone: a random number.
    id: u128,
    /// Bytes of a slice; of the last one what is left.
    size: u32,
}

/// Bytes of it in a record on disk.
const BYTES: usize = 28;

impl Sliced {
    /// `id` is a random number, `size` the bytes of a slice, not 0.
    pub const fn new(id: u128, size: u32) -> Self {
        let size = if size == 0 { 1 } else { size };
        Self { id, size }
    }

    /// The number of the slice that a byte is in.
    pub const fn at(&self, offset: u64) -> u64 {
        offset / self.size as u64
    }

    /// Where a slice of a body of `length` bytes lies; of no bytes where there is no such slice.
    pub fn part(&self, index: u64, length: u64) -> Part {
        let start = index.saturating_mul(u64::from(self.size)).min(length);
        Part {
            start,
            length: u64::from(self.size).min(length - start),
        }
    }

    pub(crate) const fn id(&self) -> u128 {
        self.id
    }

    pub(crate) fn bytes(&self, length: u64) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let parts = [
            &self.id.to_le_bytes()[..],
            &self.size.to_le_bytes(),
            &length.to_le_bytes(),
        ];
        let from = parts.into_iter().flatten();
        bytes
            .iter_mut()
            .zip(from)
            .for_each(|(to, from)| *to = *from);
        bytes
    }

    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<(Self, u64)> {
        let (id, rest) = bytes.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let size = u32::from_le_bytes(*size);
        let length = u64::from_le_bytes(rest.try_into().ok()?);
        (size > 0).then(|| (Self::new(u128::from_le_bytes(*id), size), length))
    }
}

/// The origin has another version by now, or none: what is stored in slices is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed;

/// The slices of one stored body.
#[derive(Clone, Debug)]
pub struct Slices {
    cache: Arc<Cache>,
    key: Arc<Key>,
    entry: Arc<Entry>,
    sliced: Sliced,
    /// Slices vary by nothing: whoever may have the whole may have each.
    request: Arc<RequestHead>,
    forgotten: Arc<AtomicBool>,
}

impl Slices {
    /// Of a response that is stored under `key`; none where it is stored whole.
    pub fn of(cache: &Arc<Cache>, key: &Arc<Key>, entry: &Arc<Entry>) -> Option<Self> {
        let sliced = *entry.body.sliced()?;
        Some(Self {
            cache: Arc::clone(cache),
            key: Arc::clone(key),
            entry: Arc::clone(entry),
            sliced,
            request: Arc::default(),
            forgotten: Arc::default(),
        })
    }

    /// The response.
    pub const fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The number of the slice that a byte of the body is in.
    pub const fn at(&self, offset: u64) -> u64 {
        self.sliced.at(offset)
    }

    /// Where a slice lies in the body.
    pub fn part(&self, index: u64) -> Part {
        self.sliced.part(index, self.entry.body.length())
    }

    fn key(&self, index: u64) -> Arc<Key> {
        Arc::new(Key::of_slice(&self.key, self.sliced.id(), index))
    }

    /// A slice in memory.
    pub fn find(&self, index: u64) -> Option<Arc<Entry>> {
        match self.cache.find(&self.key(index), &self.request) {
            Found::Entry(entry) => self.whole(index, entry),
            Found::Others(_) | Found::Nothing => None,
        }
    }

    /// A slice that was found, if it is one.
    pub fn whole(&self, index: u64, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        (entry.body.length() == self.part(index).length).then_some(entry)
    }

    /// Looks for one that is not in memory; none: it is not on disk either.
    pub fn look_on_disk(&self, index: u64) -> Option<Reading> {
        self.cache.look_on_disk(&self.key(index))
    }

    /// The request by which slices are found, for [`Reading::poll`] and followers.
    pub const fn request(&self) -> &Arc<RequestHead> {
        &self.request
    }

    /// Joins those who wait for a slice, or becomes the one who fetches it.
    pub fn join(&self, index: u64, now: Time) -> Joined {
        let key = self.key(index);
        self.cache.join(&key, &self.request, None, None, now)
    }

    /// Fetches a slice for itself alone.
    pub fn alone(&self, index: u64) -> Lead {
        self.cache.alone(&self.key(index))
    }

    /// `Range` and `If-Range` of a request for a slice.
    pub fn asks(&self, index: u64) -> [(&'static [u8], Vec<u8>); 2] {
        let part = self.part(index);
        let last = part.end().saturating_sub(1);
        let range = format!("bytes={}-{last}", part.start);
        let tag = strong_tag(&self.entry.head).unwrap_or_default();
        [(b"range", range.into_bytes()), (b"if-range", tag.to_vec())]
    }

    /// Whether an answer is this slice of this version; `length` is that of its content, where it is known.
    ///
    /// # Errors
    /// [`Changed`]: nothing of it may be used.
    pub fn check(
        &self,
        index: u64,
        response: &ResponseHead,
        length: Option<u64>,
    ) -> Result<(), Changed> {
        let part = self.part(index);
        let wanted = ContentRange {
            part,
            total: self.entry.body.length(),
        };
        let stored = &self.entry.head;
        let is_same = |name: &'static [u8]| {
            let mut values = crate::fields::values(&response.fields, name);
            values.next() == stored.only(name) && values.next().is_none()
        };
        let is_it = response.status == 206
            && ContentRange::of(&response.fields) == Some(wanted)
            && length.is_none_or(|length| length == part.length)
            && strong_tag(stored).is_some()
            && is_same(b"etag")
            && is_coded_alike(stored, response);
        if is_it { Ok(()) } else { Err(Changed) }
    }

    /// The head of a slice is there, and [`Slices::check`] found it right: it is stored once its body is. False where there is no
    /// room for it.
    pub fn begin(&self, lead: &mut Lead, index: u64, now: Time) -> bool {
        let length = Some(self.part(index).length);
        lead.begin(self.kept(), &self.request, length, 0, now)
    }

    /// What is to be known of a slice: by what it is purged. All else is said of the whole.
    fn kept(&self) -> Kept {
        let lines = self.entry.head.iter();
        let is_tag = |name: &[u8]| {
            name.eq_ignore_ascii_case(b"cache-tag") || name.eq_ignore_ascii_case(b"surrogate-key")
        };
        Kept {
            head: Head::new(206, lines.filter(|(_, name, _)| is_tag(name))),
            life: self.entry.life,
            vary: Vary::default(),
        }
    }

    /// The origin has another version: the whole is forgotten, and its slices are found by nobody.
    pub fn forget(&self) {
        self.forgotten.store(true, Ordering::Relaxed);
        self.cache.forget(&self.key, &self.entry);
    }

    /// Whether that was found out here.
    pub fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Relaxed)
    }
}

/// A part says how it is coded, or nothing where it was asked for with `If-Range` (RFC 9110 §15.3.7).
fn is_coded_alike(stored: &Head, response: &ResponseHead) -> bool {
    let mut said = crate::fields::values(&response.fields, b"content-encoding");
    match said.next() {
        None => true,
        said => said == stored.only(b"content-encoding"),
    }
}

/// Takes slices from a body that passes by on its way to a client.
#[derive(Debug)]
pub struct Slicer {
    slices: Slices,
    /// The offset of the byte that comes next.
    at: u64,
    /// That behind the last one that comes.
    end: u64,
    /// Who fills the slice that it is in; none where another one does, or it began in the middle.
    lead: Option<Lead>,
    now: Time,
}

impl Slicer {
    /// Of a body that begins with this byte of the whole, and goes to its end.
    pub fn new(slices: Slices, start: u64, now: Time) -> Self {
        let end = slices.entry.body.length();
        Self::up_to(slices, start, end, now)
    }

    /// Of a body that is this part of the whole.
    pub fn of_part(slices: Slices, part: Part, now: Time) -> Self {
        Self::up_to(slices, part.start, part.end(), now)
    }

    fn up_to(slices: Slices, start: u64, end: u64, now: Time) -> Self {
        let mut slicer = Self {
            slices,
            at: start,
            end,
            lead: None,
            now,
        };
        slicer.lead = slicer.open();
        slicer
    }

    /// Becomes the one who fills the slice that begins here, unless somebody does.
    fn open(&self) -> Option<Lead> {
        let index = self.slices.at(self.at);
        let part = self.slices.part(index);
        if part.start != self.at || part.length == 0 {
            return None;
        }
        match self.slices.join(index, self.now) {
            Joined::Lead(mut lead) => self
                .slices
                .begin(&mut lead, index, self.now)
                .then_some(lead),
            Joined::Follow(_) | Joined::Found(_) => None,
        }
    }

    /// Whether so many bytes more are what it said.
    pub const fn fits(&self, more: usize) -> bool {
        self.at.saturating_add(more as u64) <= self.end
    }

    /// More came than it said: nothing of it can be trusted, and who follows is told that it breaks off.
    pub fn forget(self) {
        self.slices.forget();
    }

    /// The next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let part = self.slices.part(self.slices.at(self.at));
            let end = part.end().min(self.end);
            let left = end.saturating_sub(self.at).min(bytes.len() as u64);
            let Some((now, later)) = bytes.split_at_checked(left as usize) else {
                return;
            };
            if now.is_empty() {
                // Behind the end: it is longer than it said.
                return;
            }
            bytes = later;
            self.at += left;
            let Some(lead) = &mut self.lead else {
                if self.at == part.end() {
                    self.lead = self.open();
                }
                continue;
            };
            lead.push(now);
            if self.at == part.end() {
                // The next one first: who follows this one goes on to that, and must not fetch it.
                let next = self.open();
                if let Some(done) = std::mem::replace(&mut self.lead, next) {
                    // Why it is not stored is for the store to know.
                    let _ = done.finish();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
