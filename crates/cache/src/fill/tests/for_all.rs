//! What one of many does, or fails to do, to the others.

use super::*;

/// Has as much come as is wanted.
fn pump(lead: &mut Lead, cx: &Context<'_>) {
    for _ in 0..1_000 {
        if lead.poll_wanted(cx).is_pending() {
            return;
        }
        lead.push(&[7; 64 * 1024]);
    }
    panic!("it comes without end");
}

#[test]
fn what_is_not_kept_comes_as_fast_as_the_slowest_takes_it() {
    let cache = small();
    let mut lead = lead(&cache, "/");
    let (mut slow, mut fast) = (lead.follow().unwrap(), follow(&cache, "/"));
    let asked = request("/", &[]);
    assert!(lead.begin(kept(&asked, &[]), &asked, None, 0, NOW));
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    let cx = Context::from_waker(&waker);
    let (mut slowly, mut got) = (0, Vec::new());
    for _ in 0..200 {
        pump(&mut lead, &cx);
        assert_eq!(read(&mut fast, &mut got), Ok(false));
        let held: usize = lead.fill().state().bytes;
        assert!(held <= 4 * BEHIND, "{held}");
        // A look each second, in which it takes two pieces: it gets every one of them.
        for _ in 0..2 {
            let before = woken.0.load(Ordering::SeqCst);
            let Poll::Ready(Ok(Some((piece, 0)))) = slow.poll_piece(&cx) else {
                panic!("{slowly}");
            };
            slowly += piece.len();
            assert!(woken.0.load(Ordering::SeqCst) > before || lead.poll_wanted(&cx).is_ready());
        }
        lead.leave_still();
    }
    assert!(!lead.stores() && got.len() as u64 == lead.bytes() && slowly >= 200 * 128 * 1024);
}

#[test]
fn who_takes_nothing_holds_up_nobody_for_long() {
    let cache = small();
    let mut lead = lead(&cache, "/");
    let (mut still, mut fast) = (lead.follow().unwrap(), follow(&cache, "/"));
    let asked = request("/", &[]);
    assert!(lead.begin(kept(&asked, &[]), &asked, None, 0, NOW));
    let cx = Context::from_waker(Waker::noop());
    let mut got = Vec::new();
    pump(&mut lead, &cx);
    // Nobody has all that is there: nobody waits for the other one.
    lead.leave_still();
    assert_eq!(read(&mut fast, &mut got), Ok(false));
    assert!(
        lead.poll_wanted(&cx).is_pending(),
        "the other one is waited for"
    );
    lead.leave_still();
    let before = lead.bytes();
    pump(&mut lead, &cx);
    assert!(lead.bytes() > before, "and then no more");
    for _ in 0..100 {
        assert_eq!(read(&mut fast, &mut got), Ok(false));
        pump(&mut lead, &cx);
    }
    assert!(matches!(still.poll_piece(&cx), Poll::Ready(Err(_))));
    // The only one there is is waited for, however still.
    drop(fast);
    let mut lead = super::lead(&cache, "/alone");
    let alone = lead.follow().unwrap();
    let asked = request("/alone", &[]);
    assert!(lead.begin(kept(&asked, &[]), &asked, None, 0, NOW));
    for _ in 0..3 {
        pump(&mut lead, &cx);
        lead.leave_still();
    }
    assert!(lead.poll_wanted(&cx).is_pending());
    drop((still, alone));
    assert!(lead.poll_wanted(&cx).is_ready() && lead.is_forsaken());
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
