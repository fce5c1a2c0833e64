//! What one of many does, or fails to do, to the others.

use super::*;

#[test]
fn what_is_not_kept_comes_as_fast_as_the_fastest_takes_it() {
    let cache = small();
    let mut lead = lead(&cache, "/");
    let (stalled, mut fast) = (lead.follow().unwrap(), follow(&cache, "/"));
    let asked = request("/", &[]);
    assert!(lead.begin(kept(&asked, &[]), &asked, None, 0, NOW));
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    let cx = Context::from_waker(&waker);
    let mut got = Vec::new();
    for _ in 0..3 {
        for _ in 0..100 {
            if lead.poll_wanted(&cx).is_ready() {
                lead.push(&[7; 64 * 1024]);
            }
        }
        assert!(!lead.stores() && lead.poll_wanted(&cx).is_pending());
        let before = woken.0.load(Ordering::SeqCst);
        assert_eq!(read(&mut fast, &mut got), Ok(false));
        assert_eq!(woken.0.load(Ordering::SeqCst), before + 1);
        assert_eq!(got.len() as u64, lead.bytes());
    }
    drop((stalled, fast));
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
