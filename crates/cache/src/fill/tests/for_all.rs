//! What one of many does, or fails to do, to the others.

use super::*;

const LENGTH: u64 = 16 * 1024 * 1024;
const PART: usize = 64 * 1024;

/// A fill whose body is not kept, and two who follow it, neither of whom has taken anything.
fn not_kept(cache: &Arc<Cache>) -> (Lead, Follower, Follower) {
    let mut lead = lead(cache, "/");
    let (first, second) = (lead.follow().unwrap(), follow(cache, "/"));
    let asked = request("/", &[]);
    assert!(lead.begin(kept(&asked, &[]), &asked, None, 0, NOW));
    while lead.stores() {
        lead.push(&[7; PART]);
    }
    (lead, first, second)
}

/// It takes one piece; how many bytes that is.
fn take_one(follower: &mut Follower, cx: &Context<'_>) -> u64 {
    match follower.poll_piece(cx) {
        Poll::Ready(Ok(Some((piece, at)))) => (piece.len() - at) as u64,
        other => panic!("{other:?}"),
    }
}

/// The most that is held of a body that is not kept: what was there before that was known, and what the slower ones may be behind.
fn most(cache: &Cache) -> usize {
    cache.memory().most() + BEHIND
}

#[test]
fn what_is_not_kept_comes_as_fast_as_it_is_taken() {
    let cache = small();
    let (mut lead, mut first, mut second) = not_kept(&cache);
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    let cx = Context::from_waker(&waker);
    let (mut got, mut other) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        for _ in 0..100 {
            if lead.poll_wanted(0, &cx).is_ready() {
                lead.push(&[7; PART]);
            }
        }
        assert!(lead.poll_wanted(0, &cx).is_pending());
        let before = woken.0.load(Ordering::SeqCst);
        assert_eq!(read(&mut first, &mut got), Ok(false));
        assert_eq!(read(&mut second, &mut other), Ok(false));
        assert_eq!(woken.0.load(Ordering::SeqCst), before + 1);
        assert_eq!(got.len() as u64, lead.bytes());
        assert!(got == other);
    }
    drop((first, second));
    assert!(lead.poll_wanted(0, &cx).is_ready() && lead.is_forsaken());
}

#[test]
fn who_takes_what_is_not_kept_slowly_but_steadily_gets_all_of_it() {
    let cache = small();
    let (mut lead, mut slow, mut fast) = not_kept(&cache);
    // Who comes now does not share what the slow one holds up.
    assert!(matches!(join(&cache, "/"), Joined::Lead(_)));
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    let cx = Context::from_waker(&waker);
    let (mut now, mut held, mut taken, mut got) = (1_000, 0, 0, Vec::new());
    while lead.bytes() < LENGTH {
        assert_eq!(read(&mut fast, &mut got), Ok(false));
        if lead.poll_wanted(now, &cx).is_ready() {
            lead.push(&[7; PART]);
            held = held.max(lead.fill().state().bytes);
            continue;
        }
        now += 2_000;
        let before = woken.0.load(Ordering::SeqCst);
        taken += take_one(&mut slow, &cx);
        assert_eq!(woken.0.load(Ordering::SeqCst), before + 1);
    }
    assert!(now > 100_000, "it was never waited for");
    assert!(held <= most(&cache), "{held}");
    assert_eq!(lead.finish().err(), Some(NotStored::TooLarge));
    assert_eq!(read(&mut fast, &mut got), Ok(true));
    let mut rest = Vec::new();
    assert_eq!(read(&mut slow, &mut rest), Ok(true));
    assert_eq!(
        (got.len() as u64, taken + rest.len() as u64),
        (LENGTH, LENGTH)
    );
    assert_eq!(cache.filling(), 0);
}

#[test]
fn who_takes_next_to_nothing_of_what_is_not_kept_is_waited_for_once_and_left_behind() {
    let cache = small();
    let (mut lead, mut stalled, mut fast) = not_kept(&cache);
    let woken = Arc::new(Woken::default()).into();
    let cx = Context::from_waker(&woken);
    let (mut waited, mut held, mut got) = (0, 0, Vec::new());
    while lead.bytes() < LENGTH {
        assert_eq!(read(&mut fast, &mut got), Ok(false));
        if lead.poll_wanted(70_000 + waited, &cx).is_ready() {
            lead.push(&[7; PART]);
            held = held.max(lead.fill().state().bytes);
            continue;
        }
        waited += 1_000;
        assert!(waited <= WAITED_FOR, "{waited}");
        if waited == 2_000 {
            assert!(take_one(&mut stalled, &cx) < NEXT_TO_NOTHING);
        }
    }
    assert_eq!(waited, WAITED_FOR);
    assert!(held <= most(&cache), "{held}");
    assert_eq!(read(&mut stalled, &mut Vec::new()), Err(Broken));
    assert_eq!(lead.finish().err(), Some(NotStored::TooLarge));
    assert_eq!(read(&mut fast, &mut got), Ok(true));
    assert_eq!(got.len() as u64, LENGTH);
}

#[test]
fn a_failure_is_for_all_once_it_is_not_the_leaders_alone() {
    let cache = small();
    let first = lead(&cache, "/");
    let mut followers: Vec<Follower> = (0..4).map(|_| follow(&cache, "/")).collect();
    first.fail_for_all("closed", false);
    for follower in &mut followers[..2] {
        let Some(Told::Lead(next)) = told(follower) else {
            panic!();
        };
        next.fail_for_all("closed", false);
    }
    for follower in &mut followers {
        let Some(Told::Failed(Failure::Unreachable, Some("closed"))) = told(follower) else {
            panic!();
        };
    }
    let first = lead(&cache, "/");
    let mut follower = follow(&cache, "/");
    first.fail_for_all("refused", true);
    let told = told(&mut follower);
    assert!(matches!(told, Some(Told::Failed(_, Some("refused")))));
}
