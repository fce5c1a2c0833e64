//! Kinds of zones: by what they use of the program. A fault in one of its parts hits the zones that use it, and drowns among all others;
//! so what a change of all zones does is counted for each kind apart, and a change begins where all kinds are.

use crate::snapshot::{Place, Zone};

/// How many kinds there are.
pub const KINDS: usize = 16;

/// What kinds of origins there are, by the lowest two bits.
const ORIGINS: [&str; 4] = ["http", "https", "unix", "files"];
const STAGES: usize = 4;
const CACHE: usize = 8;

/// A zone's kind, below [`KINDS`]: where its origins are (of several, the first), whether a stage has anything to do, whether its answers may
/// be stored.
pub fn of(zone: &Zone) -> usize {
    let origin = match zone.origins.first().map(|origin| &origin.at) {
        Some(Place::Server { tls: None, .. }) => 0,
        Some(Place::Server { .. }) => 1,
        Some(Place::Unix(_)) => 2,
        Some(Place::Files(_) | Place::Sample) | None => 3,
    };
    let stages = if zone.guard.is_idle() { 0 } else { STAGES };
    let cache = if zone.cache.is_some() { CACHE } else { 0 };
    origin | stages | cache
}

/// How a kind is told, as `https+stages+cache`.
pub fn name(kind: usize) -> String {
    let mut name = ORIGINS
        .get(kind & 3)
        .copied()
        .unwrap_or_default()
        .to_owned();
    for (bit, word) in [(STAGES, "+stages"), (CACHE, "+cache")] {
        if kind & bit != 0 {
            name.push_str(word);
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<String> = (0..KINDS).map(name).collect();
        assert_eq!(names.len(), KINDS);
        assert!(names.contains("https+stages+cache") && names.contains("files"));
    }
}
