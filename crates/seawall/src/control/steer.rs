//! Which locations traffic is to be led away from: those that were drained by hand, and those that are ill, but never the last one
//! and never more than a third, whatever seems ill.
//!
//! A health check that is wrong is wrong everywhere at once (Cloudflare, 2026-02-20: an empty filter withdrew 1,100 prefixes). So an edge
//! that finds itself ill does not withdraw by itself: control lets it, in what it publishes, and with control dead all stay as they are.

/// A location, as far as this is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// It was drained by hand.
    pub drained: bool,
    /// It says that it cannot serve, or says nothing.
    pub ill: bool,
}

/// Those that traffic is to be led away from though nobody has drained them. `before` are those that were so the last time: who is out
/// stays out while ill, so that places are not swapped.
pub fn away(locations: &[Seen], before: &[String]) -> Vec<String> {
    let all = locations.len();
    let most = all / 3;
    let drained = locations.iter().filter(|seen| seen.drained).count();
    // Those drained by hand count: what is left is to carry all.
    let most = most
        .saturating_sub(drained)
        .min((all - drained).saturating_sub(1));
    let ill = || locations.iter().filter(|seen| seen.ill && !seen.drained);
    let was = ill().filter(|seen| before.contains(&seen.name));
    let is_new = ill().filter(|seen| !before.contains(&seen.name));
    let mut away: Vec<String> = was
        .chain(is_new)
        .take(most)
        .map(|seen| seen.name.clone())
        .collect();
    away.sort();
    away
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(spec: &str) -> Vec<Seen> {
        let letters = spec.chars().enumerate();
        letters
            .map(|(nth, letter)| Seen {
                name: format!("l{nth}"),
                drained: letter == 'd',
                ill: letter == 'i',
            })
            .collect()
    }

    #[test]
    fn never_the_last_one_and_never_more_than_a_third() {
        let away = |spec: &str| away(&seen(spec), &[]);
        assert_eq!(away("i"), [""; 0]);
        assert_eq!(away("ii"), [""; 0]);
        assert_eq!(away("iii"), ["l0"]);
        assert_eq!(away("hih"), ["l1"]);
        assert_eq!(away("iiiiii"), ["l0", "l1"]);
        // By hand any number goes, and counts.
        assert_eq!(away("dih"), [""; 0]);
        assert_eq!(away("ddd"), [""; 0]);
        assert_eq!(away("dhhiii"), ["l3"]);
        assert_eq!(away("ddddii"), [""; 0]);
        assert_eq!(away(""), [""; 0]);
        for all in 1..40 {
            assert!(away(&"i".repeat(all)).len() <= all / 3);
        }
    }

    #[test]
    fn who_is_out_stays_out_while_ill() {
        let before = ["l5".to_owned()];
        assert_eq!(away(&seen("ihhhhi"), &before), ["l0", "l5"]);
        assert_eq!(away(&seen("ihi"), &["l2".to_owned()]), ["l2"]);
        assert_eq!(away(&seen("ihh"), &["l2".to_owned()]), ["l0"]);
    }
}
