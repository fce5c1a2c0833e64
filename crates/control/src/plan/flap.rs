//! Streams that alternate: a producer that makes one version good, the next bad, the next good again.

use seawall_model::Tempo;

use crate::version::Version;

/// Why a chain's newest version asks for a person: its last four documents are A, B, A, B, made within an hour. A person who goes
/// back and forth once (A, B, A) is not stopped. `newest_first` are the chain's latest versions.
pub fn alternates(newest_first: &[Version], tempo: Tempo) -> Option<String> {
    #[cfg(feature = "unsafe-drills")]
    if seawall_model::safeguard::is_off(seawall_model::safeguard::Safeguard::Flap) {
        return None;
    }
    let [fourth, third, second, first, ..] = newest_first else {
        return None;
    };
    let is = |version: &Version| (version.hash, version.tombstone);
    let alternates = is(first) == is(third) && is(second) == is(fourth) && is(first) != is(second);
    let window = tempo.scaled(Tempo::FLAP_WINDOW).as_secs();
    if !alternates || fourth.at.saturating_sub(first.at) > window {
        return None;
    }
    Some(format!(
        "versions {} to {} alternate between two documents: find who makes them ({}), then approve the one that is meant",
        first.number, fourth.number, fourth.author
    ))
}
