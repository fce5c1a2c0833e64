//! When to do what: pure, time and randomness come in as arguments. Times are seconds since 1970.

use std::time::Duration;

use seawall_net::tls::der::{Validity, days};

/// Between the first failure and the next attempt.
const FIRST: u64 = 30;
/// The longest between two attempts: authorities allow five failed validations an hour.
const MOST: u64 = 6 * 3600;
/// Renewal information is asked for this often, if the authority does not say (RFC 9773 §4.3).
pub const ASK: u64 = 6 * 3600;
/// A clock that is off by more than this is told: certificates are backdated by an hour.
pub const SKEW: u64 = 3600;

/// The longest between two attempts to write what came: it costs nobody anything.
const LONGEST_UNWRITTEN: u64 = 600;

/// The longest that an alarm is ahead of the end of a certificate: some are good for ten years.
const LONGEST_ALARM: u64 = 60 * 86_400;

/// When a certificate is to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Not before.
    pub start: u64,
    /// Not after.
    pub end: u64,
}

/// When to renew. With renewal information: at a time in its window that `random` picks (RFC 9773 §4.2); without: after two thirds
/// of its life, a twentieth of its life earlier or later.
pub fn renew_at(validity: Validity, window: Option<Window>, random: u64) -> u64 {
    let within = |span: u64| ((u128::from(random) * u128::from(span)) >> 64) as u64;
    if let Some(Window { start, end }) = window {
        return start + within(end.saturating_sub(start));
    }
    let life = life(validity);
    validity.not_before + life / 3 * 2 - life / 20 + within(life / 10)
}

/// From when on a certificate that is still here is an alarm: after 5/6 of its life it should have been renewed long ago, and
/// nobody is to be told two months before that.
pub fn alarm_at(validity: Validity) -> u64 {
    validity.not_after - (life(validity) / 6).min(LONGEST_ALARM)
}

fn life(validity: Validity) -> u64 {
    validity.not_after.saturating_sub(validity.not_before)
}

/// How long to wait after so many failures in a row: doubled each time, by up to a half more at random, at least what the
/// authority asks for.
pub fn back_off(failures: u32, asked: Option<Duration>, random: u64) -> u64 {
    let doubled = FIRST << failures.saturating_sub(1).min(16);
    let base = doubled.min(MOST);
    let jitter = ((u128::from(random) * u128::from(base / 2)) >> 64) as u64;
    (base + jitter).max(asked.map_or(0, |asked| asked.as_secs()).min(86_400 * 2))
}

/// How long to wait, after so many failures in a row, until what came is written again: doubled each time.
pub fn write_again(failures: u32) -> Duration {
    let doubled = 1_u64 << failures.saturating_sub(1).min(16);
    Duration::from_secs(LONGEST_UNWRITTEN.min(doubled))
}

/// `2026-01-02T03:04:05Z`, with a fraction or an offset perhaps (RFC 3339).
pub fn rfc3339(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let day = days(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
    let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    let zone = text
        .get(19..)?
        .trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let utc = day * 86_400 + seconds;
    if zone.eq_ignore_ascii_case("z") {
        return Some(utc);
    }
    let offset =
        zone.get(1..3)?.parse::<u64>().ok()? * 3600 + zone.get(4..6)?.parse::<u64>().ok()? * 60;
    match zone.get(..1)? {
        "+" => utc.checked_sub(offset),
        "-" => Some(utc + offset),
        _ => None,
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
pub fn http_date(text: &str) -> Option<u64> {
    let mut parts = text.split_once(", ")?.1.split(' ');
    let day = parts.next()?.parse().ok()?;
    let month = match parts.next()? {
        "Jan" => 1,
        "Feb" => 2,
        "Mar" => 3,
        "Apr" => 4,
        "May" => 5,
        "Jun" => 6,
        "Jul" => 7,
        "Aug" => 8,
        "Sep" => 9,
        "Oct" => 10,
        "Nov" => 11,
        "Dec" => 12,
        _ => return None,
    };
    let year = parts.next()?.parse().ok()?;
    let mut clock = parts
        .next()?
        .split(':')
        .map(|part| part.parse::<u64>().ok());
    let mut next = || clock.next().flatten();
    Some(days(year, month, day)? * 86_400 + next()? * 3600 + next()? * 60 + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(rfc3339("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(rfc3339("2000-02-29T12:00:00Z"), Some(951_825_600));
        assert_eq!(
            rfc3339("2026-11-28T01:00:00.5+01:00"),
            rfc3339("2026-11-28T00:00:00Z")
        );
        assert_eq!(
            http_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
        for bad in [
            "",
            "2026",
            "2026-13-01T00:00:00Z",
            "2026-01-01T00:00:00",
            "é026-01-01T00:00:00Z",
        ] {
            assert_eq!(rfc3339(bad), None, "{bad}");
        }
        assert_eq!(http_date("Sun, 06 Nov"), None);
    }

    #[test]
    fn renewal_is_in_the_window_or_after_two_thirds() {
        let window = Window {
            start: 100,
            end: 200,
        };
        let life = |not_after| Validity {
            not_before: 0,
            not_after,
        };
        assert_eq!(renew_at(life(1000), Some(window), 0), 100);
        assert_eq!(renew_at(life(1000), Some(window), u64::MAX), 199);
        for random in [0, u64::MAX / 2, u64::MAX] {
            let at = renew_at(life(90 * DAY), None, random);
            assert!((55 * DAY..65 * DAY).contains(&at), "{at}");
            assert!(at < alarm_at(life(90 * DAY)));
        }
        assert_eq!(alarm_at(life(90 * DAY)), 75 * DAY);
        assert_eq!(alarm_at(life(3650 * DAY)), 3590 * DAY);
        let never = Validity {
            not_before: 9,
            not_after: 0,
        };
        assert_eq!(alarm_at(never), 0);
    }

    #[test]
    fn failures_are_spaced_out_and_the_authoritys_wish_holds() {
        assert_eq!(back_off(1, None, 0), 30);
        assert_eq!(back_off(2, None, 0), 60);
        assert!(back_off(2, None, u64::MAX) < 90);
        assert_eq!(back_off(u32::MAX, None, 0), MOST);
        assert_eq!(back_off(1, Some(Duration::from_secs(7200)), 0), 7200);
        let seconds = |failures| write_again(failures).as_secs();
        assert_eq!([0, 1, 2, 3].map(seconds), [1, 1, 2, 4]);
        assert_eq!(seconds(u32::MAX), LONGEST_UNWRITTEN);
    }
}
