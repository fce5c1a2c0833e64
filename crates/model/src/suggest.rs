//! The known word nearest to a mistyped one.

/// Words longer than this are nobody's typing error, and comparing them costs the square of their length.
const LONGEST: usize = 40;

/// The word of `known` that is nearest to `word`: at most two edits away, one for words of up to four letters, none
/// for two. The first of several equally near ones wins.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > LONGEST {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in known {
        let allowed = match word.len().min(candidate.len()) {
            0..=2 => 0,
            3..=4 => 1,
            _ => 2,
        };
        let far = distance(word, candidate);
        if far <= allowed && best.is_none_or(|(least, _)| far < least) {
            best = Some((far, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Edits between two words, where an edit inserts, deletes or replaces a byte, or swaps two neighbours (the restricted
/// Damerau-Levenshtein distance); letters are compared without case, `-` as `_`.
fn distance(left: &str, right: &str) -> usize {
    let fold = |byte: u8| {
        if byte == b'-' {
            b'_'
        } else {
            byte.to_ascii_lowercase()
        }
    };
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    let mut last_left = None;
    for (nth, from) in left.bytes().map(fold).enumerate() {
        let mut row = Vec::with_capacity(above.len());
        row.push(nth + 1);
        let mut last_right = None;
        for (at, to) in right.bytes().map(fold).enumerate() {
            let here = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let mut least = (here(&above, at) + usize::from(from != to))
                .min(here(&above, at + 1) + 1)
                .min(here(&row, at) + 1);
            if last_left == Some(to) && last_right == Some(from) {
                least = least.min(here(&before, at.saturating_sub(1)) + 1);
            }
            row.push(least);
            last_right = Some(to);
        }
        before = std::mem::replace(&mut above, row);
        last_left = Some(from);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits_and_swaps() {
        for (left, right, far) in [
            ("hosts", "hosts", 0),
            ("host", "hosts", 1),
            ("hsots", "hosts", 1),
            ("Max-Body", "max_body", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
        ] {
            assert_eq!(distance(left, right), far, "{left} {right}");
        }
    }

    #[test]
    fn the_nearest_word_is_near_enough_or_none() {
        let known = ["name", "hosts", "origin", "tls", "retry"];
        assert_eq!(nearest("hots", known), Some("hosts"));
        assert_eq!(nearest("orgin", known), Some("origin"));
        assert_eq!(nearest("tlss", known), Some("tls"));
        assert_eq!(nearest("ls", known), None);
        assert_eq!(nearest("cache", known), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), known), None);
    }
}
