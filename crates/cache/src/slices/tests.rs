//! Slices by hand: what is taken for one, how they are filled from a body that passes, and what a purge leaves of them.

use std::task::{Context, Poll, Waker};

use super::*;
use crate::cache::tests::{NOW, kept, key, request};
use crate::fill::{Follower, Told};
use crate::memory::Size;
use crate::purge::{Purge, Scope};

const SIZE: u32 = 1_000;
const LENGTH: u64 = 2_500;

fn cache() -> Arc<Cache> {
    Cache::new(Size {
        bytes: 4 << 20,
        zone_share: 100,
    })
}

fn learn(cache: &Arc<Cache>, id: u128) -> Slices {
    let asked = request("/film", &[]);
    let lead = cache.alone(&key(&asked));
    let kept = kept(
        &asked,
        &[
            ("etag", "\"v1\""),
            ("accept-ranges", "bytes"),
            ("cache-tag", "t"),
        ],
    );
    let sliced = Sliced::new(id, SIZE);
    let entry = lead.begin_in_slices(kept, &asked, sliced, LENGTH, NOW);
    Slices::of(cache, &key(&asked), &entry.unwrap()).unwrap()
}

fn found(cache: &Arc<Cache>) -> Option<Slices> {
    let asked = request("/film", &[]);
    match cache.find(&key(&asked), &asked) {
        Found::Entry(entry) => Slices::of(cache, &key(&asked), &entry),
        _ => None,
    }
}

fn film() -> Vec<u8> {
    (0..LENGTH).map(|at| at as u8).collect()
}

fn slice(slices: &Slices, index: u64) -> Option<Vec<u8>> {
    let entry = slices.find(index)?;
    Some(entry.body.pieces().concat())
}

fn fill(slices: &Slices, index: u64) {
    let Joined::Lead(mut lead) = slices.join(index, NOW) else {
        panic!("somebody leads");
    };
    assert!(slices.begin(&mut lead, index, NOW));
    let part = slices.part(index);
    lead.push(&film()[part.start as usize..part.end() as usize]);
    lead.finish().unwrap();
}

fn answer(status: u16, lines: &[(&str, &str)]) -> ResponseHead {
    let mut head = ResponseHead {
        status,
        ..ResponseHead::default()
    };
    for (name, value) in lines {
        head.fields.push(name.as_bytes(), value.as_bytes());
    }
    head
}

#[test]
fn a_part_is_a_slice_only_if_it_is_what_was_asked_for_of_the_same_version() {
    let slices = learn(&cache(), 1);
    let asked: Vec<_> = slices.asks(2).into_iter().collect();
    assert_eq!(asked[0], (&b"range"[..], b"bytes=2000-2499".to_vec()));
    assert_eq!(asked[1], (&b"if-range"[..], b"\"v1\"".to_vec()));
    let right = [
        ("content-range", "bytes 2000-2499/2500"),
        ("etag", "\"v1\""),
    ];
    assert_eq!(slices.check(2, &answer(206, &right), Some(500)), Ok(()));
    assert_eq!(slices.check(2, &answer(206, &right), None), Ok(()));
    let wrong = |status, lines: &[(&str, &str)], length| {
        let checked = slices.check(2, &answer(status, lines), length);
        assert_eq!(checked, Err(Changed), "{status} {lines:?} {length:?}");
    };
    wrong(200, &right, Some(2_500));
    wrong(206, &right, Some(501));
    wrong(206, &right[1..], Some(500));
    wrong(206, &right[..1], Some(500));
    for tag in ["\"v2\"", "W/\"v1\"", "v1"] {
        wrong(206, &[right[0], ("etag", tag)], Some(500));
    }
    for range in [
        "bytes 2000-2499/2501",
        "bytes 2000-2499/*",
        "bytes 1999-2498/2500",
        "bytes 2000-2498/2500",
        "bytes */2500",
        "items 2000-2499/2500",
    ] {
        wrong(206, &[("content-range", range), right[1]], Some(500));
    }
    let coded = [right[0], right[1], ("content-encoding", "gzip")];
    wrong(206, &coded, Some(500));
    let twice = [right[0], right[0], right[1]];
    wrong(206, &twice, Some(500));
}

#[test]
fn a_body_that_passes_fills_the_slices_that_it_holds_whole() {
    for (start, pieces, whole) in [
        (0, 7, vec![0, 1, 2]),
        (0, 2_500, vec![0, 1, 2]),
        (1, 100, vec![1, 2]),
        (1_000, 999, vec![1, 2]),
        (2_001, 10, vec![]),
    ] {
        let slices = learn(&cache(), 1);
        let mut slicer = Slicer::new(slices.clone(), start, NOW);
        for piece in film()[start as usize..].chunks(pieces) {
            slicer.push(piece);
        }
        // More than it said is not taken.
        slicer.push(b"behind");
        for index in 0..4 {
            let part = slices.part(index);
            let wanted = &film()[part.start as usize..part.end() as usize];
            let is_there = whole.contains(&index);
            let got = slice(&slices, index);
            assert_eq!(
                got.as_deref(),
                is_there.then_some(wanted),
                "{start} {index}"
            );
        }
    }
}

/// Bytes behind the end of a part are of nobody knows what.
#[test]
fn a_part_fills_no_slice_beyond_its_end() {
    let slices = learn(&cache(), 1);
    let part = Part {
        start: 0,
        length: 10,
    };
    let mut slicer = Slicer::of_part(slices.clone(), part, NOW);
    assert!(slicer.fits(10) && !slicer.fits(11));
    slicer.push(&film()[..4]);
    assert!(slicer.fits(6) && !slicer.fits(7));
    slicer.push(&[b'A'; 2_400]);
    assert!((0..3).all(|index| slice(&slices, index).is_none()));
    let Joined::Follow(mut follower) = slices.join(0, NOW) else {
        panic!("nobody leads");
    };
    let cx = Context::from_waker(Waker::noop());
    let told = follower.poll_told(slices.request(), &cx);
    assert!(matches!(told, Poll::Ready(Told::Begun(_))));
    slicer.forget();
    let next = || follower.poll_piece(&cx);
    let all: Vec<_> = std::iter::repeat_with(next).take(4).collect();
    assert!(all.iter().any(|next| matches!(next, Poll::Ready(Err(_)))));
    assert!(slices.is_forgotten());
    // One that is as long as it says fills what it holds whole.
    let slices = learn(&cache(), 2);
    let part = Part {
        start: 1_000,
        length: 1_000,
    };
    let mut slicer = Slicer::of_part(slices.clone(), part, NOW);
    slicer.push(&film()[1_000..2_000]);
    assert!(!slicer.fits(1) && slicer.fits(0));
    assert_eq!(slice(&slices, 1).unwrap(), &film()[1_000..2_000]);
}

#[test]
fn who_follows_a_slice_that_breaks_off_is_told_and_nothing_of_it_is_stored() {
    let slices = learn(&cache(), 1);
    let mut slicer = Slicer::new(slices.clone(), 0, NOW);
    slicer.push(&film()[..1_200]);
    let Joined::Follow(mut follower) = slices.join(1, NOW) else {
        panic!("nobody leads");
    };
    let cx = Context::from_waker(Waker::noop());
    let told = follower.poll_told(slices.request(), &cx);
    assert!(matches!(told, Poll::Ready(Told::Begun(_))));
    let next = |follower: &mut Follower| follower.poll_piece(&cx);
    let Poll::Ready(Ok(Some((piece, 0)))) = next(&mut follower) else {
        panic!("no piece");
    };
    assert_eq!(&*piece, &film()[1_000..1_200]);
    drop(slicer);
    assert!(matches!(next(&mut follower), Poll::Ready(Err(_))));
    assert!(slice(&slices, 0).is_some() && slice(&slices, 1).is_none());
}

#[test]
fn what_was_purged_or_has_changed_is_not_found_by_what_comes_after_it() {
    let cache = cache();
    let wide = |scope: Scope<'_>| {
        cache.purge(1, scope, Purge::Hard);
    };
    let purges: [&dyn Fn(); 5] = [
        &|| cache.purge_url(1, b"a.test", b"/film", None),
        &|| wide(Scope::Prefix(b"a.test", b"/fi")),
        &|| wide(Scope::Tag(b"t")),
        &|| wide(Scope::Everything),
        &|| found(&cache).unwrap().forget(),
    ];
    for (id, purge) in purges.into_iter().enumerate() {
        let slices = learn(&cache, id as u128);
        (0..3).for_each(|index| fill(&slices, index));
        assert_eq!(
            slice(&found(&cache).unwrap(), 1).unwrap(),
            &film()[1_000..2_000]
        );
        purge();
        assert!(found(&cache).is_none(), "{id}");
    }
    // The same version anew, after a purge: nothing of what was before.
    let slices = learn(&cache, 99);
    assert!((0..3).all(|index| slice(&slices, index).is_none()));
    // Slices of a URL lie apart, whatever bound a URL has on its variants.
    let many = Sliced::new(7, 1).part(100, 101);
    assert_eq!(
        many,
        Part {
            start: 100,
            length: 1
        }
    );
}

#[test]
fn what_is_known_of_slices_comes_back_as_it_was_written() {
    let sliced = Sliced::new(u128::MAX - 3, 262_144);
    let bytes = sliced.bytes(u64::MAX - 1);
    assert_eq!(Sliced::of_bytes(&bytes), Some((sliced, u64::MAX - 1)));
    assert_eq!(Sliced::of_bytes(&bytes[1..]), None);
    assert_eq!(Sliced::of_bytes(&[0; BYTES]), None);
}
