//! HTTP-date (RFC 9110 §5.6.7), read and written: the form that is sent today, and the two of old that must still be taken.
//!
//! Read without regard to case, as RFC 9111 §4.2 asks of caches; everything else as strict as the grammar, because a date that
//! does not parse makes a response stale, which is the safe side.

/// Seconds since 1970; none for what is no date, and for dates before 1970. `now` decides the century of a year of two digits,
/// in seconds since 1970.
pub fn parse(text: &[u8], now: u64) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let (day, month, year, time) = match text.split_once(", ") {
        Some((weekday, rest)) => {
            let (rest, zone) = rest.rsplit_once(' ')?;
            zone.eq_ignore_ascii_case("GMT").then_some(())?;
            match rest.split_once('-') {
                // Sunday, 06-Nov-94 08:49:37 GMT
                Some((day, rest)) => {
                    let (month, rest) = rest.split_once('-')?;
                    let (year, time) = rest.split_once(' ')?;
                    is_name(weekday, &LONG_DAYS).then_some(())?;
                    (number(day, 2)?, month, century(number(year, 2)?, now), time)
                }
                // Sun, 06 Nov 1994 08:49:37 GMT
                None => {
                    let mut words = rest.split(' ');
                    let (day, month) = (number(words.next()?, 2)?, words.next()?);
                    let (year, time) = (number(words.next()?, 4)?, words.next()?);
                    (words.next().is_none() && is_short_day(weekday)).then_some(())?;
                    (day, month, year, time)
                }
            }
        }
        // Sun Nov  6 08:49:37 1994
        None => {
            let (weekday, rest) = text.split_once(' ')?;
            is_short_day(weekday).then_some(())?;
            let (month, rest) = rest.split_once(' ')?;
            // Two characters: the first one of a single digit is a space.
            let (day, rest) = rest.split_at_checked(2)?;
            let (time, year) = rest.strip_prefix(' ')?.split_once(' ')?;
            let digits = day.trim_start_matches(' ');
            (number(digits, digits.len())?, month, number(year, 4)?, time)
        }
    };
    let is_month = |name: &&str| name.eq_ignore_ascii_case(month);
    let month = MONTHS.iter().position(is_month)? as u64 + 1;
    let mut parts = time.split(':').map(|part| number(part, 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    // 60 is a leap second.
    let sane = (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    (sane && parts.next().is_none()).then_some(())?;
    let days = days(year, month, day)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// The one value of a field that holds a date: none where the field is absent, stands several times, or is no date.
pub fn only<'v>(mut values: impl Iterator<Item = &'v [u8]>, now: u64) -> Option<u64> {
    let value = values.next()?;
    parse(value, now).filter(|_| values.next().is_none())
}

/// The form that is sent today (IMF-fixdate), of seconds since 1970: 29 bytes. Past the year 9999 it is the last date of that.
pub fn write(seconds: u64) -> [u8; 29] {
    let seconds = seconds.min(253_402_300_799);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Civil from days (Howard Hinnant, "chrono-compatible low-level date algorithms", 2013).
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    let name = |names: &[&'static str], at: u64| names.get(at as usize).copied().unwrap_or("");
    let text = format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        // 1970 began on a Thursday.
        name(&DAYS, (days + 3) % 7),
        name(&MONTHS, month),
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60,
    );
    text.as_bytes().first_chunk().copied().unwrap_or([b' '; 29])
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

const LONG_DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

fn is_name(text: &str, names: &[&str]) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(text))
}

fn is_short_day(text: &str) -> bool {
    is_name(text, &DAYS)
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let all = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| all)
}

/// A year of two digits that seems more than 50 years ahead is of the past.
fn century(year: u64, now: u64) -> u64 {
    let this = 1970 + now / 31_556_952;
    let year = this / 100 * 100 + year;
    if year > this + 50 { year - 100 } else { year }
}

/// Days since 1970-01-01 (Howard Hinnant, as above).
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 {
        year.checked_sub(1)?
    } else {
        year
    };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    (era * 146_097 + of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000; // 2026

    #[test]
    fn all_three_forms_are_one_time_in_any_case() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "SUN, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 nOV 1994 08:49:37 gMT",
            "sunday, 06-NOV-94 08:49:37 gmt",
        ] {
            assert_eq!(parse(text.as_bytes(), NOW), Some(784_111_777), "{text}");
        }
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
            ("Sun, 01 Mar 2026 00:00:00 GMT", 1_772_323_200),
            ("Tue, 19 Jan 2038 14:14:08 GMT", 2_147_523_248),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
            ("Monday, 01-Jan-70 00:00:00 GMT", 3_155_760_000),
            ("Friday, 01-Jan-99 00:00:00 GMT", 915_148_800),
            ("Thu Dec 31 23:59:60 1998", 915_148_800),
            ("Thu Aug 18 02:01:18 2050", 2_544_400_878),
        ] {
            assert_eq!(parse(text.as_bytes(), NOW), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "now",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 AEST",
            "Sun, 06 Nov 1994 08.49.37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sun 06 Nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 08:49:37:00 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov 1994  08:49:37 GMT",
            "Sun, 06  Nov  1994 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov  6 08:49:37 94",
            "Nov  6 08:49:37 1994",
            "Sun, 06 Nov 0000 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:38 GMT",
        ] {
            assert_eq!(parse(text.as_bytes(), NOW), None, "{text}");
        }
        assert_eq!(parse(b"\xff", NOW), None);
    }

    #[test]
    fn what_is_written_reads_as_it_was() {
        assert_eq!(&write(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&write(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(&write(951_825_600), b"Tue, 29 Feb 2000 12:00:00 GMT");
        assert_eq!(&write(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
        let mut random = 1u64;
        for _ in 0..10_000 {
            // Knuth's MMIX.
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let seconds = (random >> 16) % 253_402_300_800;
            assert_eq!(parse(&write(seconds), NOW), Some(seconds));
        }
    }

    #[test]
    fn a_date_that_stands_twice_is_none() {
        let date: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(only([date].into_iter(), NOW), Some(784_111_777));
        assert_eq!(only([date, date].into_iter(), NOW), None);
        assert_eq!(only([].into_iter(), NOW), None);
    }
}
