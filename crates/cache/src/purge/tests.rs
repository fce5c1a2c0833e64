//! What a purge meets, and what it does not.

use super::*;

fn stamp(purges: &Purges, zone: u64, host: &str, target: &str, tags: &[&str]) -> Stamp {
    let tags = tags.iter().map(|tag| tag.as_bytes());
    purges.stamp(zone, purges.now(), host.as_bytes(), target.as_bytes(), tags)
}

#[test]
fn a_purge_meets_what_it_names_and_nothing_that_comes_later() {
    let rows: &[(Scope<'_>, bool)] = &[
        (Scope::Everything, true),
        (Scope::Host(b"a.test"), true),
        (Scope::Host(b"b.test"), false),
        (Scope::Tag(b"news"), true),
        (Scope::Tag(b"new"), false),
        (Scope::Prefix(b"a.test", b"/x/"), true),
        (Scope::Prefix(b"a.test", b"/x/y?z=1"), true),
        (Scope::Prefix(b"a.test", b"/y"), false),
        (Scope::Prefix(b"b.test", b"/x"), false),
    ];
    for (scope, meets) in rows {
        let purges = Purges::default();
        let before = stamp(&purges, 1, "a.test", "/x/y?z=1", &["old", "news"]);
        let other_zone = stamp(&purges, 2, "a.test", "/x/y?z=1", &["old", "news"]);
        purges.purge(1, *scope, Purge::Hard);
        let after = stamp(&purges, 1, "a.test", "/x/y?z=1", &["news"]);
        assert_eq!(purges.is_gone(&before), *meets, "{scope:?}");
        // It stays so.
        assert_eq!(purges.is_gone(&before), *meets, "{scope:?}");
        assert!(!purges.is_gone(&after) && !purges.is_gone(&other_zone));
        assert!(purges.any_since(1, 0) && !purges.any_since(2, 0));
    }
}

#[test]
fn a_soft_purge_makes_stale_since_then() {
    let purges = Purges::default();
    let one = stamp(&purges, 1, "a.test", "/", &["t"]);
    purges.purge(1, Scope::Tag(b"t"), Purge::Soft(Time(5)));
    assert!(!purges.is_gone(&one));
    assert_eq!(one.outdated(), Some(Time(5)));
    purges.purge(1, Scope::Everything, Purge::Soft(Time(9)));
    assert!(!purges.is_gone(&one));
    assert_eq!(one.outdated(), Some(Time(5)));
    let again = purges.restamp(&one, purges.now(), std::iter::empty());
    assert!(!purges.is_gone(&again) && again.outdated().is_none());
    purges.purge(1, Scope::Host(b"a.test"), Purge::Hard);
    assert!(purges.is_gone(&one) && purges.is_gone(&again));
}

#[test]
fn what_has_too_many_tags_is_met_by_a_purge_of_any() {
    let all: Vec<String> = (0..=MOST_TAGS).map(|nth| format!("t{nth}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    for (count, meets) in [(MOST_TAGS, false), (MOST_TAGS + 1, true)] {
        let purges = Purges::default();
        let one = stamp(&purges, 1, "a.test", "/", &all[..count]);
        let soft = stamp(&purges, 1, "a.test", "/", &all[..count]);
        purges.purge(1, Scope::Host(b"b.test"), Purge::Hard);
        purges.purge(2, Scope::Tag(b"other"), Purge::Hard);
        assert!(!purges.is_gone(&one), "{count}");
        purges.purge(1, Scope::Tag(b"other"), Purge::Soft(Time(5)));
        assert!(!purges.is_gone(&soft));
        assert_eq!(soft.outdated().is_some(), meets, "{count}");
        purges.purge(1, Scope::Tag(b"other"), Purge::Hard);
        assert_eq!(purges.is_gone(&one), meets, "{count}");
        let after = stamp(&purges, 1, "a.test", "/", &all[..count]);
        assert!(!purges.is_gone(&after), "{count}");
        // Records that go have been looked at.
        purges.forget(1, purges.now());
        assert!(!purges.is_gone(&after));
        purges.purge(1, Scope::Tag(b"t1"), Purge::Hard);
        assert!(purges.is_gone(&after), "{count}: it has this one");
    }
}

#[test]
fn too_many_records_purge_more_and_never_less() {
    let purges = Purges::default();
    let one = stamp(&purges, 1, "a.test", "/", &[]);
    for number in 0..MOST_RECORDS {
        purges.purge(1, Scope::Tag(&number.to_be_bytes()), Purge::Hard);
    }
    assert!(!purges.is_gone(&one));
    assert_eq!(purges.crowded(), [1]);
    purges.purge(1, Scope::Tag(b"one more"), Purge::Hard);
    assert!(purges.is_gone(&one));
    let prefixed = stamp(&purges, 1, "a.test", "/", &[]);
    for number in 0..=MOST_PREFIXES {
        assert!(!purges.is_gone(&prefixed));
        purges.purge(
            1,
            Scope::Prefix(b"a.test", format!("/{number}").as_bytes()),
            Purge::Hard,
        );
    }
    assert!(purges.is_gone(&prefixed));
}

#[test]
fn what_was_on_its_way_when_records_were_forgotten_is_gone() {
    let purges = Purges::default();
    let stored = stamp(&purges, 1, "a.test", "/", &[]);
    let on_its_way = stamp(&purges, 1, "a.test", "/", &["t"]);
    purges.purge(1, Scope::Tag(b"t"), Purge::Hard);
    let number = purges.now();
    assert!(!purges.is_gone(&stored));
    purges.forget(1, number);
    purges.purge(1, Scope::Tag(b"other"), Purge::Hard);
    assert!(!purges.is_gone(&stored), "it was looked at");
    assert!(purges.is_gone(&on_its_way));
    assert!(purges.crowded().is_empty());
}
