//! Durations (`"30s"`) and sizes (`"10MiB"`) as people write them. A number without its unit is refused: nobody reads
//! `timeout = 30` the same way twice.

use std::time::Duration;

use crate::problem::{Wrong, quote};

/// Largest unit first, so that text is made of the largest that divides. In milliseconds.
const TIMES: &[(&str, u64)] = &[
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const SIZES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// A duration: a whole number and one of `ms`, `s`, `m`, `h`, `d`.
///
/// # Errors
/// Anything else, with an example of what is meant.
pub fn duration(text: &str) -> Result<Duration, Wrong> {
    let (number, unit) = split(text);
    let scale = TIMES
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, scale)| *scale);
    match (number.parse::<u64>(), scale) {
        (Ok(number), Some(scale)) => number
            .checked_mul(scale)
            .map(Duration::from_millis)
            .ok_or_else(|| Wrong::new(format!("{} is too long a duration", quote(text)), "")),
        (Ok(_), None) if unit.is_empty() => Err(Wrong::new(
            format!("{} has no unit", quote(text)),
            format!("write \"{number}s\" for seconds; also ms, m, h, d"),
        )),
        _ => Err(Wrong::new(
            format!("{} is no duration", quote(text)),
            "a whole number and one unit of ms, s, m, h, d, such as \"30s\" or \"1500ms\"",
        )),
    }
}

/// A duration as [`duration`] reads it, in the largest unit that divides it. What is below a millisecond is cut.
pub fn duration_text(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".into();
    }
    largest(millis, TIMES)
}

/// A size in bytes: a whole number and one of `B`, `KiB`, `MiB`, `GiB`, `TiB`.
///
/// # Errors
/// Anything else, with an example of what is meant.
pub fn size(text: &str) -> Result<u64, Wrong> {
    let (number, unit) = split(text);
    let scale = SIZES
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, scale)| *scale);
    match (number.parse::<u64>(), scale) {
        (Ok(number), Some(scale)) => number
            .checked_mul(scale)
            .ok_or_else(|| Wrong::new(format!("{} is too large a size", quote(text)), "")),
        (Ok(_), None) => {
            let meant = match unit.as_bytes().first().map(u8::to_ascii_uppercase) {
                Some(b'K') => "KiB",
                Some(b'M') => "MiB",
                Some(b'G') => "GiB",
                Some(b'T') => "TiB",
                _ => "B",
            };
            let what = if unit.is_empty() {
                "has no unit"
            } else {
                "has no known unit"
            };
            Err(Wrong::new(
                format!("{} {what}", quote(text)),
                format!(
                    "write \"{number}{meant}\"; units are B, KiB, MiB, GiB, TiB, steps of 1024"
                ),
            ))
        }
        _ => Err(Wrong::new(
            format!("{} is no size", quote(text)),
            "a whole number and one unit of B, KiB, MiB, GiB, TiB, such as \"10MiB\"",
        )),
    }
}

/// A size as [`size`] reads it, in the largest unit that divides it.
pub fn size_text(bytes: u64) -> String {
    if bytes == 0 {
        return "0B".into();
    }
    largest(bytes, SIZES)
}

fn split(text: &str) -> (&str, &str) {
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

fn largest(value: u64, units: &[(&str, u64)]) -> String {
    let fits = units.iter().find(|(_, scale)| value.is_multiple_of(*scale));
    fits.map(|(unit, scale)| format!("{}{unit}", value / scale))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis) in [
            ("30s", 30_000),
            ("10ms", 10),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
            assert_eq!(duration_text(Duration::from_millis(millis)), text);
        }
        assert_eq!(duration_text(Duration::from_secs(60)), "1m");
        assert_eq!(duration_text(Duration::from_millis(1500)), "1500ms");
        assert_eq!(duration("60s").unwrap(), duration("1m").unwrap());
    }

    #[test]
    fn a_duration_needs_exactly_one_unit() {
        let wrong = duration("30").unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "\"30\" has no unit (write \"30s\" for seconds; also ms, m, h, d)"
        );
        for text in ["", "s", "-1s", "1.5s", "1h30m", "1 s", "1S", "٣s", "1s "] {
            assert!(
                duration(text).unwrap_err().what.ends_with("is no duration"),
                "{text}"
            );
        }
        assert!(
            duration("999999999999999999d")
                .unwrap_err()
                .what
                .ends_with("too long a duration")
        );
        assert!(duration("99999999999999999999999s").is_err());
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [
            ("512B", 512),
            ("64KiB", 65_536),
            ("10MiB", 10 << 20),
            ("1GiB", 1 << 30),
            ("2TiB", 2 << 40),
            ("0B", 0),
        ] {
            assert_eq!(size(text), Ok(bytes));
            assert_eq!(size_text(bytes), text);
        }
        assert_eq!(size_text(1025), "1025B");
    }

    #[test]
    fn a_size_needs_a_unit_of_1024() {
        assert!(size("10").unwrap_err().help.starts_with("write \"10B\""));
        assert!(
            size("10MB")
                .unwrap_err()
                .help
                .starts_with("write \"10MiB\"")
        );
        assert!(size("10k").unwrap_err().help.starts_with("write \"10KiB\""));
        assert!(size("MiB").unwrap_err().what.ends_with("is no size"));
        assert!(
            size("99999999999TiB")
                .unwrap_err()
                .what
                .ends_with("too large a size")
        );
    }
}
