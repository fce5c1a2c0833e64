//! Leaders and followers, by hand and by many threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};

use super::*;
use crate::cache::tests::{NOW, body, kept, key, request, small, store};
use crate::cache::{Cache, Joined};
use crate::memory::{Found, Size};
use crate::policy::{Again, Time};

mod for_all;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn lead(cache: &Arc<Cache>, target: &str) -> Lead {
    match join(cache, target) {
        Joined::Lead(lead) => lead,
        other => panic!("{other:?}"),
    }
}

fn follow(cache: &Arc<Cache>, target: &str) -> Follower {
    match join(cache, target) {
        Joined::Follow(follower) => follower,
        other => panic!("{other:?}"),
    }
}

fn join(cache: &Arc<Cache>, target: &str) -> Joined {
    let asked = request(target, &[]);
    cache.join(&key(&asked), &asked, None, None, NOW)
}

fn told(follower: &mut Follower) -> Option<Told> {
    let woken = Arc::new(Woken::default()).into();
    match follower.poll_told(&request("/", &[]), &Context::from_waker(&woken)) {
        Poll::Ready(told) => Some(told),
        Poll::Pending => None,
    }
}

/// All that is there by now; false where more is to come.
fn read(follower: &mut Follower, into: &mut Vec<u8>) -> Result<bool, Broken> {
    let woken = Arc::new(Woken::default()).into();
    loop {
        match follower.poll_piece(&Context::from_waker(&woken)) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(None)) => return Ok(true),
            Poll::Ready(Ok(Some((piece, at)))) => into.extend_from_slice(&piece[at..]),
            Poll::Ready(Err(broken)) => return Err(broken),
        }
    }
}

#[test]
fn followers_get_each_piece_as_it_comes() {
    let cache = small();
    let mut lead = lead(&cache, "/");
    let mut early: Vec<Follower> = (0..50).map(|_| follow(&cache, "/")).collect();
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    for follower in &mut early {
        let poll = follower.poll_told(&request("/", &[]), &Context::from_waker(&waker));
        assert!(poll.is_pending());
    }
    assert!(lead.begin(
        kept(&request("/", &[]), &[("x", "1")]),
        &request("/", &[]),
        Some(11),
        3,
        NOW
    ));
    assert_eq!(woken.0.load(Ordering::SeqCst), 50);
    let mut got = vec![Vec::new(); 50];
    for follower in &mut early {
        let Some(Told::Begun(begun)) = told(follower) else {
            panic!();
        };
        assert_eq!((begun.length, begun.rules), (Some(11), 3));
        assert_eq!(begun.head.only(b"x"), Some(&b"1"[..]));
    }
    lead.push(b"hello ");
    for (follower, got) in early.iter_mut().zip(&mut got) {
        assert_eq!(read(follower, got), Ok(false));
        assert_eq!(got, b"hello ");
    }
    assert!(cache.filling() > 0);
    let mut late = follow(&cache, "/");
    lead.push(b"world");
    let entry = lead.finish().unwrap();
    assert_eq!(cache.filling(), 0);
    for (follower, got) in early.iter_mut().zip(&mut got) {
        assert_eq!(read(follower, got), Ok(true));
        assert_eq!(got, b"hello world");
    }
    // What was a piece each is one by now; who is late gets it all the same.
    let mut all = Vec::new();
    assert!(matches!(told(&mut late), Some(Told::Begun(_))));
    assert_eq!(read(&mut late, &mut all), Ok(true));
    assert_eq!(all, b"hello world");
    assert_eq!(entry.body.pieces().len(), 1);
    assert_eq!(
        body(&cache, &key(&request("/", &[])), &request("/", &[])).unwrap(),
        b"hello world"
    );
}

#[test]
fn nobody_waits_for_what_is_not_for_all() {
    let cache = small();
    let mut first = lead(&cache, "/");
    let mut followers: Vec<Follower> = (0..20).map(|_| follow(&cache, "/")).collect();
    first.give_up(Again::Everybody, NOW);
    for follower in &mut followers {
        assert!(matches!(told(follower), Some(Told::Alone)));
    }
    // And nobody after them, for a while: each fetches at once.
    let alone: Vec<Joined> = (0..20).map(|_| join(&cache, "/")).collect();
    assert!(alone.iter().all(|joined| matches!(joined, Joined::Lead(_))));
    drop(alone);
    let asked = request("/", &[]);
    let later = Time(NOW.0 + HOPELESS_FOR);
    let Joined::Lead(_one) = cache.join(&key(&asked), &asked, None, None, later) else {
        panic!();
    };
    let next = cache.join(&key(&asked), &asked, None, None, later);
    assert!(matches!(next, Joined::Follow(_)));
    // Other keys are not concerned, and what will likely not be so again is not remembered.
    let mut other = lead(&cache, "/other");
    let mut follower = follow(&cache, "/other");
    other.give_up(Again::Nobody, NOW);
    assert!(matches!(told(&mut follower), Some(Told::Alone)));
    let _lead = lead(&cache, "/other");
    follow(&cache, "/other");
}

/// Whoever asks with credentials keeps nobody else from waiting for one answer.
#[test]
fn what_is_for_one_for_their_credentials_is_hopeless_for_credentials_alone() {
    let cache = small();
    let own = request("/", &[("authorization", "x")]);
    let join_with = || cache.join(&key(&own), &own, None, None, NOW);
    let Joined::Lead(mut first) = join_with() else {
        panic!("somebody leads");
    };
    first.give_up(Again::WithCredentials, NOW);
    for _ in 0..2 {
        assert!(matches!(join_with(), Joined::Lead(_)), "nobody waits");
    }
    let _lead = lead(&cache, "/");
    follow(&cache, "/");
    // What is for nobody is not for them either.
    let mut other = lead(&cache, "/other");
    other.give_up(Again::Everybody, NOW);
    let own = request("/other", &[("authorization", "x")]);
    for _ in 0..2 {
        let joined = cache.join(&key(&own), &own, None, None, NOW);
        assert!(matches!(joined, Joined::Lead(_)), "nobody waits");
    }
}

#[test]
fn a_dead_leader_is_succeeded_by_one_follower() {
    let cache = small();
    let first = lead(&cache, "/");
    let (mut one, mut two) = (follow(&cache, "/"), follow(&cache, "/"));
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    assert!(
        two.poll_told(&request("/", &[]), &Context::from_waker(&waker))
            .is_pending()
    );
    drop(first);
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    let Some(Told::Lead(mut next)) = told(&mut one) else {
        panic!();
    };
    assert!(told(&mut two).is_none(), "there is a leader");
    let mut three = follow(&cache, "/");
    assert!(next.begin(
        kept(&request("/", &[]), &[]),
        &request("/", &[]),
        None,
        0,
        NOW
    ));
    next.push(b"body");
    next.finish().unwrap();
    for follower in [&mut two, &mut three] {
        let mut got = Vec::new();
        assert!(matches!(told(follower), Some(Told::Begun(_))));
        assert_eq!(read(follower, &mut got), Ok(true));
        assert_eq!(got, b"body");
    }
    // Without followers there is nothing to succeed to.
    drop(lead(&cache, "/x"));
    drop(lead(&cache, "/x"));
}

#[test]
fn a_leader_that_dies_later_breaks_off_for_all_and_stores_nothing() {
    let cache = small();
    for dies in [true, false] {
        let mut first = lead(&cache, "/");
        let mut follower = follow(&cache, "/");
        assert!(first.begin(
            kept(&request("/", &[]), &[]),
            &request("/", &[]),
            Some(10),
            0,
            NOW
        ));
        first.push(b"half");
        if dies {
            drop(first);
        } else {
            assert_eq!(first.finish().err(), Some(NotStored::Incomplete));
        }
        let mut got = Vec::new();
        assert_eq!(read(&mut follower, &mut got), Err(Broken));
        assert_eq!(got, b"half");
        assert_eq!((cache.used(), cache.filling()), ((0, 0), 0));
    }
}

#[test]
fn a_failure_and_a_validation_are_for_all() {
    let cache = small();
    let first = lead(&cache, "/");
    let mut follower = follow(&cache, "/");
    first.fail(Failure::Unreachable);
    assert!(matches!(
        told(&mut follower),
        Some(Told::Failed(Failure::Unreachable, None))
    ));
    let asked = request("/", &[]);
    let old = store(&cache, &key(&asked), &asked, &[], b"body");
    let Joined::Lead(first) = cache.join(&key(&asked), &asked, Some(&old), None, NOW) else {
        panic!();
    };
    let Joined::Follow(mut follower) = cache.join(&key(&asked), &asked, Some(&old), None, NOW)
    else {
        panic!();
    };
    first.resolve(Arc::clone(&old));
    assert!(matches!(told(&mut follower), Some(Told::Entry(entry)) if Arc::ptr_eq(&entry, &old)));
}

#[test]
fn who_asks_for_another_variant_waits_with_its_like() {
    let cache = small();
    let (de, en) = (request("/", &[("x", "de")]), request("/", &[("x", "en")]));
    let Joined::Lead(mut first) = cache.join(&key(&de), &de, None, None, NOW) else {
        panic!();
    };
    let Joined::Follow(mut follower) = cache.join(&key(&en), &en, None, None, NOW) else {
        panic!();
    };
    assert!(first.begin(kept(&de, &[("Vary", "x")]), &de, None, 0, NOW));
    let waker = Arc::new(Woken::default()).into();
    let told = follower.poll_told(&en, &Context::from_waker(&waker));
    let Poll::Ready(Told::Others(vary)) = told else {
        panic!("{told:?}");
    };
    let second = cache.join(&key(&en), &en, None, Some(&vary), NOW);
    assert!(matches!(second, Joined::Lead(_)));
    let third = cache.join(&key(&en), &en, None, Some(&vary), NOW);
    assert!(matches!(third, Joined::Follow(_)));
}

#[test]
fn what_is_too_large_passes_by_in_bounded_memory() {
    let cache = small();
    let most = 1024 * 1024;
    // Said before: nobody waits for it.
    let mut said = lead(&cache, "/said");
    assert!(!said.begin(
        kept(&request("/", &[]), &[]),
        &request("/", &[]),
        Some(1 << 40),
        0,
        NOW
    ));
    // Not said: it passes by, who reads it as it comes gets all of it, who is too slow is cut off.
    let mut lead = lead(&cache, "/");
    let (mut fast, mut slow) = (follow(&cache, "/"), follow(&cache, "/"));
    assert!(lead.begin(
        kept(&request("/", &[]), &[]),
        &request("/", &[]),
        None,
        0,
        NOW
    ));
    let (mut sent, mut got) = (Vec::new(), Vec::new());
    for piece in 0..100u8 {
        let bytes = vec![piece; 64 * 1024];
        lead.push(&bytes);
        sent.extend_from_slice(&bytes);
        assert_eq!(read(&mut fast, &mut got), Ok(false));
        assert!(cache.filling() <= most);
    }
    // It has left the table: who comes now fetches anew.
    assert!(matches!(join(&cache, "/"), Joined::Lead(_)));
    assert_eq!(lead.finish().err(), Some(NotStored::TooLarge));
    assert_eq!(read(&mut fast, &mut got), Ok(true));
    assert!(got == sent);
    assert_eq!(read(&mut slow, &mut Vec::new()), Err(Broken));
    assert_eq!(cache.filling(), 0);
}

#[test]
fn fills_of_one_zone_leave_room_for_others() {
    let cache = Cache::new(Size {
        bytes: 4 * 1024 * 1024,
        zone_share: 50,
    });
    let begin = |zone, target: &str| {
        let asked = request(target, &[]);
        let key = crate::cache::tests::key_of(zone, true, &asked);
        let Joined::Lead(mut lead) = cache.join(&key, &asked, None, None, NOW) else {
            panic!();
        };
        assert!(lead.begin(kept(&asked, &[]), &asked, None, 0, NOW));
        lead
    };
    let mut greedy: Vec<Lead> = (0..8).map(|n| begin(1, &format!("/{n}"))).collect();
    for lead in &mut greedy {
        lead.push(&vec![0; 100 * 1024]);
    }
    assert!(cache.filling() <= 512 * 1024);
    let mut other = begin(2, "/");
    other.push(&vec![0; 300 * 1024]);
    assert!(other.finish().is_ok());
    let stored = greedy.into_iter().filter_map(|lead| lead.finish().ok());
    assert_eq!(stored.count(), 5);
    assert_eq!(cache.filling(), 0);
}

#[test]
fn followers_are_bounded() {
    let cache = small();
    let _lead = lead(&cache, "/");
    let followers: Vec<Follower> = (0..MOST_FOLLOWERS).map(|_| follow(&cache, "/")).collect();
    assert!(matches!(join(&cache, "/"), Joined::Lead(_)));
    drop(followers);
    follow(&cache, "/");
}

/// Many threads ask for the same few things, some leaders die, some answers are not for all, purges come between. Nobody ever gets a
/// byte that is not of the answer, or an answer from before a purge that it came after.
#[test]
fn many_threads_get_what_they_asked_for() {
    let cache = small();
    let fetches = AtomicUsize::new(0);
    let purged = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (cache, fetches, purged) = (&cache, &fetches, &purged);
            scope.spawn(move || {
                let mut random = crate::made_up::Random::new(thread + 1);
                for _ in 0..3_000 {
                    one_request(cache, fetches, purged, &mut random);
                }
            });
        }
    });
    assert!(fetches.load(Ordering::SeqCst) < 12_000);
    assert_eq!(cache.filling(), 0);
}

/// The answer to a target at a generation: its number, then a run of bytes that only this one has.
fn answer(target: usize, generation: usize) -> Vec<u8> {
    let mut all = generation.to_be_bytes().to_vec();
    all.resize(8 + 2_000, (target * 31 + generation) as u8);
    all
}

fn check(target: usize, got: &[u8], since: usize) {
    let (generation, _) = got.split_at(8);
    let generation = usize::from_be_bytes(generation.try_into().unwrap());
    assert!(
        generation >= since,
        "{generation} is from before the purge {since}"
    );
    assert!(got == answer(target, generation), "bytes of another answer");
}

fn one_request(
    cache: &Arc<Cache>,
    fetches: &AtomicUsize,
    purged: &AtomicUsize,
    random: &mut crate::made_up::Random,
) {
    let target = random.below(5);
    let asked = request(&format!("/{target}"), &[]);
    let key = key(&asked);
    if random.below(50) == 0 {
        let number = purged.fetch_add(1, Ordering::SeqCst) + 1;
        cache.purge(
            1,
            crate::purge::Scope::Everything,
            crate::purge::Purge::Hard,
        );
        // From here on nobody may get what is older.
        let _ = number;
    }
    // What has been purged before this is not to be seen; one that is just being purged may be.
    let since = purged.load(Ordering::SeqCst).saturating_sub(4);
    let mut told = match cache.find(&key, &asked) {
        Found::Entry(entry) => return check(target, &entry.body.pieces().concat(), since),
        _ => cache.join(&key, &asked, None, None, NOW),
    };
    loop {
        match told {
            Joined::Found(entry) => return check(target, &entry.body.pieces().concat(), since),
            Joined::Lead(lead) => return fetch(lead, target, &asked, fetches, purged, random),
            Joined::Follow(mut follower) => match follow_on(&mut follower, &asked) {
                Some(Told::Begun(_)) => {
                    let mut got = Vec::new();
                    if read_all(&mut follower, &mut got) {
                        check(target, &got, since);
                    }
                    return;
                }
                Some(Told::Lead(lead)) => told = Joined::Lead(lead),
                Some(_) | None => return,
            },
        }
    }
}

fn fetch(
    mut lead: Lead,
    target: usize,
    asked: &seawall_model::RequestHead,
    fetches: &AtomicUsize,
    purged: &AtomicUsize,
    random: &mut crate::made_up::Random,
) {
    fetches.fetch_add(1, Ordering::SeqCst);
    let all = answer(target, purged.load(Ordering::SeqCst));
    match random.below(20) {
        0 => return,
        1 => return lead.give_up(Again::Nobody, NOW),
        2 => return lead.fail(Failure::Unreachable),
        _ => {}
    }
    assert!(lead.begin(kept(asked, &[]), asked, Some(all.len() as u64), 0, NOW));
    for piece in all.chunks(500) {
        if random.below(100) == 0 {
            return;
        }
        lead.push(piece);
        std::thread::yield_now();
    }
    let _ = lead.finish();
}

fn unpark() -> std::task::Waker {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    Arc::new(Unpark(std::thread::current())).into()
}

fn follow_on(follower: &mut Follower, asked: &seawall_model::RequestHead) -> Option<Told> {
    let waker = unpark();
    loop {
        match follower.poll_told(asked, &Context::from_waker(&waker)) {
            Poll::Ready(told) => return Some(told),
            Poll::Pending => std::thread::park(),
        }
    }
}

/// False where it broke off.
fn read_all(follower: &mut Follower, into: &mut Vec<u8>) -> bool {
    let waker = unpark();
    loop {
        match follower.poll_piece(&Context::from_waker(&waker)) {
            Poll::Pending => std::thread::park(),
            Poll::Ready(Ok(None)) => return true,
            Poll::Ready(Ok(Some((piece, at)))) => into.extend_from_slice(&piece[at..]),
            Poll::Ready(Err(Broken)) => return false,
        }
    }
}

#[test]
fn who_wants_a_part_follows_who_fetches_all_and_leads_nobody() {
    let cache = small();
    let asked = request("/", &[]);
    assert!(cache.follow(&key(&asked), &asked, None).is_none());
    let mut first = lead(&cache, "/");
    let mut part = cache.follow(&key(&asked), &asked, None).unwrap();
    assert!(first.begin(kept(&asked, &[]), &asked, Some(11), 0, NOW));
    first.push(b"hello ");
    assert!(matches!(told(&mut part), Some(Told::Begun(_))));
    part.seek(8);
    let mut got = Vec::new();
    assert_eq!(read(&mut part, &mut got), Ok(false));
    assert_eq!(got, b"");
    first.push(b"world");
    assert_eq!(read(&mut part, &mut got), Ok(false));
    assert_eq!(got, b"rld");
    // What was purged meanwhile is not for who comes now.
    cache.purge(
        1,
        crate::purge::Scope::Everything,
        crate::purge::Purge::Hard,
    );
    assert!(cache.follow(&key(&asked), &asked, None).is_none());
}

#[test]
fn bodies_that_somebody_still_takes_have_a_bound() {
    let cache = Cache::new(Size {
        bytes: 4 << 20,
        zone_share: 100,
    });
    let length = 512 * 1024;
    let fill = |nth: usize| {
        let target = format!("/{nth}");
        let mut lead = lead(&cache, &target);
        let slow = follow(&cache, &target);
        let asked = request(&target, &[]);
        assert!(lead.begin(kept(&asked, &[]), &asked, None, 0, NOW));
        lead.push(&vec![7; length]);
        (slow, lead.finish())
    };
    let (mut slow, done): (Vec<Follower>, Vec<_>) = (0..40).map(fill).unzip();
    let kept = done
        .iter()
        .filter(|done| done.is_ok() || matches!(done, Err(NotStored::Outside(_))));
    assert_eq!(kept.count(), 16, "twice the memory");
    assert_eq!(cache.bodies(), 8 << 20);
    let mut got = Vec::new();
    assert_eq!(read(&mut slow[0], &mut got), Ok(true));
    assert!(got.len() == length && got.iter().all(|byte| *byte == 7));
    drop(done);
    slow.clear();
    let (used, _) = cache.used();
    assert!(cache.bodies() <= used, "{} of {used}", cache.bodies());
    let (_, done) = fill(100);
    assert_ne!(done.err(), Some(NotStored::TooLarge), "there is room again");
}

#[test]
fn who_has_taken_nothing_yet_gets_all_though_it_turns_out_not_to_be_kept() {
    let cache = small();
    let mut lead = lead(&cache, "/");
    let mut own = lead.follow().unwrap();
    let asked = request("/", &[]);
    assert!(lead.begin(kept(&asked, &[]), &asked, None, 0, NOW));
    let (mut sent, mut got) = (Vec::new(), Vec::new());
    for piece in 0..40u8 {
        if lead.bytes() - got.len() as u64 >= lead.ahead() {
            assert_eq!(read(&mut own, &mut got), Ok(false));
        }
        let bytes = vec![piece; 64 * 1024];
        lead.push(&bytes);
        sent.extend_from_slice(&bytes);
    }
    assert!(!lead.stores());
    // What was taken is let go of: no more than what may be ahead, and the piece that came last.
    let held: usize = lead.fill().state().bytes;
    assert!(held <= 128 * 1024, "{held}");
    assert_eq!(lead.finish().err(), Some(NotStored::TooLarge));
    assert_eq!(read(&mut own, &mut got), Ok(true));
    assert!(got == sent);
    assert_eq!(cache.filling(), 0);
}
