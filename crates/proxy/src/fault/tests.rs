//! The table from faults to words is whole.

use std::collections::HashSet;

use super::reference::ALL;
use super::*;

#[test]
fn every_slug_is_in_the_list_that_metrics_use() {
    let said: HashSet<&str> = ALL.iter().map(|fault| fault.answer().slug).collect();
    let listed: HashSet<&str> = SLUGS.iter().copied().collect();
    assert_eq!(said, listed);
}
