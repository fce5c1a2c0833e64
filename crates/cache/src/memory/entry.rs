//! A stored response: its head, its body in pieces, its time, and by what it is found and purged.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use seawall_model::RequestHead;

use super::packed::Packed;
use crate::account::Held;
use crate::disk::Location;
use crate::head::Head;
use crate::policy::{Kept, Life, Time, Vary, age};
use crate::purge::Stamp;
use crate::slices::Sliced;

/// The most bytes of a piece of a body that is stored.
pub const PIECE: usize = 256 * 1024;

/// A part of a body, shared with whoever sends it: nobody copies it.
pub type Piece = Arc<[u8]>;

/// A whole body, and what was made of it, which its copies share; or what is to be known of one that is stored in slices.
#[derive(Clone, Default)]
pub struct Body {
    pieces: Arc<[Piece]>,
    length: u64,
    sliced: Option<Sliced>,
    packed: Arc<Packed>,
    /// It counts until nobody has a copy.
    _held: Option<Arc<Held>>,
}

impl fmt::Debug for Body {
    /// Without its bytes, which may be many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Body");
        all.field("length", &self.length);
        all.field("pieces", &self.pieces.len());
        all.field("sliced", &self.sliced).finish_non_exhaustive()
    }
}

impl Body {
    /// Of pieces as they came: small neighbours become one.
    pub fn new(pieces: &[Piece]) -> Self {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        let mut out: Vec<Piece> = Vec::with_capacity(pieces.len());
        let mut run: Vec<&Piece> = Vec::new();
        let mut run_bytes = 0;
        let close = |run: &mut Vec<&Piece>, out: &mut Vec<Piece>| match run.as_slice() {
            [] => {}
            [one] => out.push(Arc::clone(one)),
            several => {
                let length = several.iter().map(|piece| piece.len()).sum();
                let mut bytes = Vec::with_capacity(length);
                several
                    .iter()
                    .for_each(|piece| bytes.extend_from_slice(piece));
                out.push(bytes.into());
            }
        };
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            if run_bytes + piece.len() > PIECE {
                close(&mut run, &mut out);
                run.clear();
                run_bytes = 0;
            }
            run.push(piece);
            run_bytes += piece.len();
        }
        close(&mut run, &mut out);
        Self {
            pieces: out.into(),
            length,
            sliced: None,
            packed: Arc::default(),
            _held: None,
        }
    }

    /// One of `length` bytes of which each slice is stored by itself, if it is.
    pub fn in_slices(sliced: Sliced, length: u64) -> Self {
        Self {
            pieces: Arc::default(),
            length,
            sliced: Some(sliced),
            packed: Arc::default(),
            _held: None,
        }
    }

    /// The same, which counts.
    pub(crate) fn held(self, held: Option<Arc<Held>>) -> Self {
        Self {
            _held: held,
            ..self
        }
    }

    /// Its length in bytes, whatever of it is here.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// By what its slices are found, where it is stored so.
    pub const fn sliced(&self) -> Option<&Sliced> {
        self.sliced.as_ref()
    }

    /// Bytes of it that are here.
    pub(crate) const fn here(&self) -> u64 {
        match self.sliced {
            Some(_) => 0,
            None => self.length,
        }
    }

    /// What was made of it in other codings.
    pub fn packed(&self) -> &Packed {
        &self.packed
    }

    /// Its pieces in their order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The piece that holds a byte, and where in it that byte is; none at the end.
    pub fn at(&self, offset: u64) -> Option<(&Piece, usize)> {
        let mut before = 0;
        self.pieces.iter().find_map(|piece| {
            let start = before;
            before += piece.len() as u64;
            (offset < before).then(|| (piece, (offset - start) as usize))
        })
    }
}

/// A stored response. It never changes; what validates it makes another one with the same body.
#[derive(Debug)]
pub struct Entry {
    /// Its head.
    pub head: Head,
    /// Its time.
    pub life: Life,
    /// What it varies by.
    pub vary: Vary,
    /// What the request had of that, normalised.
    pub selecting: Box<[u8]>,
    /// Its body.
    pub body: Body,
    /// When it was asked for, for purges.
    pub stamp: Stamp,
    /// Which response rules passed it; 0 for none.
    pub rules: u64,
    /// It was offered to the disk tier, or comes from there.
    pub(crate) offered: AtomicBool,
    /// Where it was read from, if it comes from the disk tier.
    pub(crate) read_from: Option<Location>,
}

impl Entry {
    /// From what the policy keeps. `selecting` is what the request had of what the response varies by; `rules` names the
    /// response rules that passed it.
    pub fn new(kept: Kept, selecting: Box<[u8]>, body: Body, stamp: Stamp, rules: u64) -> Self {
        Self {
            head: kept.head,
            life: kept.life,
            vary: kept.vary,
            selecting,
            body,
            stamp,
            rules,
            offered: AtomicBool::new(false),
            read_from: None,
        }
    }

    /// Seconds until it is stale, negative since when it has been: by its lifetime, or by what has outdated it ([`Stamp::outdated`]).
    pub fn ttl(&self, now: Time) -> i64 {
        let ttl = self.life.ttl(now);
        let outdated = self.stamp.outdated();
        outdated.map_or(ttl, |since| ttl.min(-((now.since(since) / 1_000) as i64)))
    }

    /// What `Age` says of it. What is outdated says that its lifetime is over, so that nobody behind us takes it for fresh.
    pub fn age(&self, now: Time) -> u64 {
        let age = age(&self.life, now);
        match self.stamp.outdated() {
            Some(_) => age.max(u64::from(self.life.lifetime)),
            None => age,
        }
    }

    /// Whether a request selects it that has these values of what it varies by.
    pub(super) fn is_selected(&self, request: &RequestHead, selecting: &[u8]) -> bool {
        let language = self.head.only(b"content-language");
        self.vary
            .is_selected(&self.selecting, language, request, selecting)
    }

    /// Whether a request selects it.
    pub(crate) fn selects(&self, request: &RequestHead) -> bool {
        self.is_selected(request, &self.vary.selecting(request))
    }

    /// About how many bytes of memory it takes, its key included.
    pub(super) fn bytes(&self, key: usize) -> usize {
        /// Of the tables, and of what an allocation costs.
        const BESIDE: usize = 256;
        let of_pieces = self.body.pieces.len() * (size_of::<Piece>() + 16);
        self.head.bytes()
            + self.vary.bytes()
            + self.selecting.len()
            + self.body.here() as usize
            + self.body.packed.bytes()
            + of_pieces
            + self.stamp.bytes()
            + key
            + BESIDE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_become_one_and_no_byte_is_lost() {
        let mut random = crate::made_up::Random::new(9);
        for _ in 0..200 {
            let pieces: Vec<Piece> = (0..random.below(30))
                .map(|_| vec![random.below(256) as u8; random.below(60_000)].into())
                .collect();
            let whole: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
            let body = Body::new(&pieces);
            assert_eq!(body.length(), whole.len() as u64);
            assert_eq!(body.pieces().concat(), whole);
            assert!(
                body.pieces()
                    .iter()
                    .all(|piece| (1..=PIECE).contains(&piece.len()))
            );
            let offset = random.below(whole.len() + 1);
            let found = body.at(offset as u64).map(|(piece, at)| piece[at]);
            assert_eq!(found, whole.get(offset).copied());
        }
        // A large piece is not copied.
        let large: Piece = vec![1; PIECE].into();
        assert!(Arc::ptr_eq(
            &Body::new(&[Arc::clone(&large)]).pieces()[0],
            &large
        ));
    }
}
