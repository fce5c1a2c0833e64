//! Bounds, shares and admission.

use super::*;
use crate::cache::tests::{NOW, kept, key_of, request};
use crate::made_up::Random;
use crate::policy::Kept;

fn entry(memory_zone: u64, target: &str, bytes: usize, purges: &Purges) -> (Arc<Key>, Arc<Entry>) {
    let asked = request(target, &[]);
    let key = key_of(memory_zone, true, &asked);
    let kept: Kept = kept(&asked, &[]);
    let stamp = purges.stamp(
        memory_zone,
        purges.now(),
        &key.host,
        &key.target,
        std::iter::empty(),
    );
    let body = Body::new(&[vec![0; bytes].into()]);
    (
        key,
        Arc::new(Entry::new(kept, Box::default(), body, stamp, 0)),
    )
}

pub(super) struct Tier {
    pub(super) memory: Memory,
    purges: Purges,
}

impl Tier {
    pub(super) fn new(bytes: usize, zone_share: u8) -> Self {
        Self {
            memory: Memory::new(Size { bytes, zone_share }),
            purges: Purges::default(),
        }
    }

    /// Asks, and stores where it was not there; true for a hit.
    pub(super) fn ask(&self, zone: u64, target: &str, bytes: usize) -> bool {
        let asked = request(target, &[]);
        let key = key_of(zone, true, &asked);
        if let Found::Entry(_) = self.memory.find(&key, &asked, &self.purges) {
            return true;
        }
        let (key, entry) = entry(zone, target, bytes, &self.purges);
        let _ = self.memory.insert(&key, entry, &self.purges);
        false
    }
}

#[test]
fn a_scan_displaces_nothing_that_is_asked_for() {
    let tier = Tier::new(4 * 1024 * 1024, 100);
    for _ in 0..5 {
        for hot in 0..500 {
            tier.ask(1, &format!("/hot/{hot}"), 4_096);
        }
    }
    for cold in 0..20_000 {
        tier.ask(1, &format!("/cold/{cold}"), 4_096);
    }
    let hits = (0..500).filter(|hot| tier.ask(1, &format!("/hot/{hot}"), 4_096));
    assert!(hits.count() > 480);
}

#[test]
fn what_is_popular_now_comes_in() {
    let tier = Tier::new(1024 * 1024, 100);
    for round in 0..20 {
        for number in 0..100 {
            let hit = tier.ask(1, &format!("/old/{number}"), 4_096);
            assert!(hit || round == 0);
        }
    }
    for _ in 0..200 {
        for number in 0..100 {
            tier.ask(1, &format!("/new/{number}"), 8_000);
        }
    }
    let hits = (0..100).filter(|number| tier.ask(1, &format!("/new/{number}"), 8_000));
    assert!(hits.count() > 80);
}

#[test]
fn a_large_response_must_be_worth_what_goes_for_it() {
    let tier = Tier::new(4 * 1024 * 1024, 100);
    for _ in 0..3 {
        for number in 0..800 {
            tier.ask(1, &format!("/{number}"), 4_096);
        }
    }
    let (key, large) = entry(1, "/large", 1_000_000, &tier.purges);
    let got = tier.memory.insert(&key, large, &tier.purges);
    assert_eq!(got, Err(Outside::Unpopular));
    let (key, huge) = entry(1, "/huge", 1_100_000, &tier.purges);
    assert_eq!(
        tier.memory.insert(&key, huge, &tier.purges),
        Err(Outside::TooLarge)
    );
}

#[test]
fn a_zone_takes_its_share_and_leaves_the_others_theirs() {
    let tier = Tier::new(4 * 1024 * 1024, 25);
    for number in 0..100 {
        tier.ask(2, &format!("/{number}"), 4_096);
    }
    let before = tier.memory.used_by(2);
    for number in 0..5_000 {
        tier.ask(1, &format!("/{number}"), 4_096);
        assert!(tier.memory.used_by(1) <= 1024 * 1024);
    }
    assert_eq!(tier.memory.used_by(2), before);
    assert!(tier.memory.used_by(1) > 900 * 1024);
    let (bytes, entries) = tier.memory.used();
    assert_eq!(bytes, before + tier.memory.used_by(1));
    assert!(entries > 300);
}

#[test]
fn large_tiers_have_shards_and_small_ones_one() {
    for (bytes, shards) in [
        (1 << 20, 1),
        (32 << 20, 1),
        (100 << 20, 2),
        (1 << 30, 32),
        (1 << 40, 64),
    ] {
        let memory = Memory::new(Size {
            bytes,
            zone_share: 50,
        });
        assert_eq!(memory.parts.len(), shards, "{bytes}");
        assert!(memory.most() >= bytes.min(32 << 20) / 4);
    }
}

/// Whatever is done to it: never more bytes than it may have, never bytes of another key, and what is gone is gone.
#[test]
fn bounds_hold_whatever_is_done() {
    for seed in 0..20 {
        let tier = Tier::new(256 * 1024, 50);
        let mut random = Random::new(seed);
        for _ in 0..3_000 {
            let zone = random.below(3) as u64;
            let target = format!("/{}", random.below(60));
            let asked = request(&target, &[]);
            let key = key_of(zone, true, &asked);
            match random.below(10) {
                0 => {
                    tier.memory
                        .purge_url(zone, b"a.test", target.as_bytes(), None, &tier.purges);
                    let found = tier.memory.find(&key, &asked, &tier.purges);
                    assert!(matches!(found, Found::Nothing));
                }
                1 => {
                    if let Found::Entry(found) = tier.memory.find(&key, &asked, &tier.purges) {
                        tier.memory.forget(&key, &found);
                        tier.memory.forget(&key, &found);
                    }
                }
                2 if random.below(20) == 0 => {
                    tier.purges.purge(
                        zone,
                        crate::purge::Scope::Everything,
                        crate::purge::Purge::Hard,
                    );
                    tier.memory.sweep(&tier.purges);
                    assert_eq!(tier.memory.used_by(zone), 0);
                }
                3 => {
                    let bytes = random.below(70_000);
                    let (key, entry) = entry(zone, &target, bytes, &tier.purges);
                    let _ = tier.memory.insert(&key, entry, &tier.purges);
                }
                _ => {
                    tier.ask(zone, &target, 100 + 40 * random.below(100));
                }
            }
            let (bytes, _) = tier.memory.used();
            assert!(bytes <= 256 * 1024, "{bytes}");
            for zone in 0..3 {
                assert!(tier.memory.used_by(zone) <= 128 * 1024);
            }
        }
        for zone in 0..3 {
            for target in 0..60 {
                let target = format!("/{target}");
                tier.memory
                    .purge_url(zone, b"a.test", target.as_bytes(), None, &tier.purges);
            }
        }
        assert_eq!(tier.memory.used(), (0, 0));
        assert!(
            tier.memory
                .parts
                .iter()
                .all(|part| lock(part).fills.is_empty())
        );
    }
    let _ = NOW;
}

#[test]
fn a_packed_body_counts_is_kept_with_its_body_and_goes_with_it() {
    let tier = Tier::new(4 * 1024 * 1024, 100);
    let (key, stored) = entry(1, "/text", 100_000, &tier.purges);
    tier.memory
        .insert(&key, Arc::clone(&stored), &tier.purges)
        .unwrap();
    let alone = tier.memory.used();
    let packed = stored.body.packed();
    assert!(packed.begin(1) && !packed.begin(1) && packed.begin(0));
    packed.give_up(0);
    assert!(packed.begin(0) && !packed.begin(CODINGS));
    let small = |byte: u8, length: usize| Some(Body::new(&[vec![byte; length].into()]));
    tier.memory
        .pack(&key, &stored, 1, small(7, 20_000))
        .unwrap();
    tier.memory.pack(&key, &stored, 0, None).unwrap();
    assert_eq!(tier.memory.used(), (alone.0 + 20_000, 1));
    assert_eq!(tier.memory.used_by(1), alone.0 + 20_000);
    // The second one is not taken, nor counted.
    tier.memory
        .pack(&key, &stored, 1, small(8, 10_000))
        .unwrap();
    assert_eq!(tier.memory.used().0, alone.0 + 20_000);
    let Made::Body(body) = packed.get(1) else {
        panic!("{:?}", packed.get(1))
    };
    assert_eq!(body.pieces().concat(), vec![7; 20_000]);
    assert!(matches!(packed.get(0), Made::NotWorthIt));
    assert!(matches!(packed.get(2), Made::Nothing));
    // Validated: another response with the same body.
    let again = Arc::new(Entry::new(
        kept(&request("/text", &[]), &[("x", "y")]),
        Box::default(),
        stored.body.clone(),
        tier.purges
            .restamp(&stored.stamp, tier.purges.now(), std::iter::empty()),
        0,
    ));
    let (asked, purges) = (request("/text", &[]), &tier.purges);
    let replace = |old, new: &Arc<Entry>| {
        let new = Arc::clone(new);
        let memory = &tier.memory;
        memory.replace(&key, old, new, &asked, purges, || false)
    };
    assert_eq!(replace(&stored, &again), Ok(()));
    assert_eq!(replace(&stored, &again), Err(Outside::Replaced));
    assert!(matches!(again.body.packed().get(1), Made::Body(_)));
    let grown = tier.memory.used().0;
    assert!(grown.abs_diff(alone.0 + 20_000) < 200, "{grown}");
    // What is not stored any more takes nothing, and neither does what is too large.
    let gone = tier.memory.pack(&key, &stored, 2, small(9, 10));
    assert_eq!(gone, Err(Outside::Purged));
    let large = tier.memory.pack(&key, &again, 2, small(9, 1024 * 1024));
    assert_eq!(large, Err(Outside::TooLarge));
    tier.memory.forget(&key, &again);
    assert_eq!(tier.memory.used(), (0, 0));
    assert_eq!(tier.memory.used_by(1), 0);
}

#[test]
fn packing_keeps_within_the_bounds_and_takes_from_nobody_else() {
    let tier = Tier::new(2 * 1024 * 1024, 50);
    for number in 0..40 {
        let (key, stored) = entry(1, &format!("/{number}"), 20_000, &tier.purges);
        let _ = tier.memory.insert(&key, Arc::clone(&stored), &tier.purges);
        for coding in 0..CODINGS {
            let body = Body::new(&[vec![1; 19_000].into()]);
            let _ = tier.memory.pack(&key, &stored, coding, Some(body));
        }
        assert!(tier.memory.used_by(1) <= 1024 * 1024);
    }
    assert!(tier.memory.used_by(1) > 700 * 1024);
}

#[test]
fn what_pages_need_is_learnt_within_bounds_and_purged_with_them() {
    let cache = crate::cache::tests::small();
    let of = |target: &str| key_of(1, true, &request(target, &[]));
    let needs = |text: &str| -> Needs { Arc::from([Box::from(text.as_bytes())]) };
    let [a, b] = [of("/a"), of("/b")];
    assert!(cache.needs(&a).is_none());
    let begun = cache.begun();
    cache.learn(&a, needs("</x>"), begun);
    cache.learn(&b, needs("</y>"), begun);
    assert_eq!(&*cache.needs(&a).unwrap()[0], b"</x>");
    // By whom else it is asked for makes no difference, another zone does.
    assert!(cache.needs(&key_of(2, true, &request("/a", &[]))).is_none());
    cache.purge_url(1, b"a.test", b"/a", None);
    assert!(cache.needs(&a).is_none() && cache.needs(&b).is_some());
    // What was on its way when it was purged is not learnt.
    cache.learn(&a, needs("</x>"), begun);
    assert!(cache.needs(&a).is_none());
    let begun = cache.begun();
    cache.learn(&a, needs("</x>"), begun);
    cache.purge(
        1,
        crate::purge::Scope::Everything,
        crate::purge::Purge::Hard,
    );
    assert!(cache.needs(&a).is_none() && cache.needs(&b).is_none());
    let begun = cache.begun();
    cache.learn(&a, needs("</x>"), begun);
    cache.learn(&a, Arc::from([]), begun);
    assert!(cache.needs(&a).is_none(), "it says no more");
    let begun = cache.begun();
    for number in 0..5_000 {
        cache.learn(&of(&format!("/{number}")), needs("</x>"), begun);
    }
    let there = (0..5_000).filter(|number| cache.needs(&of(&format!("/{number}"))).is_some());
    assert_eq!(there.count(), 512);
}
