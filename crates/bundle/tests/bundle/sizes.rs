//! What one zone's change ships among many, and what a resync costs: printed, and the sizes held.

use std::time::Instant;

use seawall_bundle::{Edits, Root};

use crate::support::{Store, many, name, upsert};

/// A one-zone change ships no more than this, root, node and leaf together, packed.
const SHIPPED: usize = 20 << 10;

fn measure(zones: u64) {
    let mut store = Store::default();
    let begun = Instant::now();
    let root = many(&mut store, zones, (zones / 8).max(1_000));
    let built = begun.elapsed();
    let mut shipped = Vec::new();
    let mut took = Vec::new();
    let mut last = root;
    for step in 0..100 {
        let mut edits = Edits::default();
        upsert(&mut edits, &name(step * (zones / 100)), 2);
        let begun = Instant::now();
        let (next, bytes) = store.change(&last, edits);
        took.push(begun.elapsed());
        // A reader who knows the last tree fetches the new root and what differs; old halves he has.
        let before = store.fetches;
        assert_eq!(store.diff(&last, &next).len(), 1);
        assert!(store.fetches - before <= 6);
        shipped.push(bytes);
        last = next;
    }
    shipped.sort_unstable();
    took.sort_unstable();
    let (mut count, begun) = (0, Instant::now());
    store.fetches = 0;
    store.fetched_bytes = 0;
    let most = store.walk(&Root::empty(), &last, |_| count += 1).unwrap();
    assert_eq!(count, zones);
    let walked = begun.elapsed();
    let say = |what: &str, value: String| println!("measured: bundle.{zones}.{what} = {value}");
    say(
        "one_zone_ships",
        format!("{} bytes median, {} at most", shipped[50], shipped[99]),
    );
    say("one_zone_takes", format!("{:?} median", took[50]));
    say(
        "resync",
        format!(
            "{} objects, {} bytes, {walked:?}, {most} at a time",
            store.fetches, store.fetched_bytes
        ),
    );
    say("build", format!("{built:?}"));
    say("raw", format!("{} bytes", last.bytes()));
    assert!(
        shipped[99] <= SHIPPED,
        "one zone of {zones} ships {} bytes",
        shipped[99]
    );
}

#[test]
fn one_zone_of_a_thousand_ships_little() {
    measure(1_000);
}

#[test]
fn one_zone_of_a_hundred_thousand_ships_little() {
    measure(if std::env::var_os("SEAWALL_TEST_LONG").is_some() {
        100_000
    } else {
        20_000
    });
}

#[test]
#[ignore = "long: a million zones"]
fn one_zone_of_a_million_ships_little() {
    measure(1_000_000);
}
