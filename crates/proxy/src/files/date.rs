//! HTTP-date, read (RFC 9110 §5.6.7): the form that is sent today, and the two of old that must still be taken.

/// Seconds since 1970; none for what is no date, and for dates before 1970.
pub(super) fn parse(text: &[u8], now: u64) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let (day, month, year, time) = match text.split_once(", ") {
        Some((weekday, rest)) => {
            let rest = rest.strip_suffix(" GMT")?;
            match rest.split_once('-') {
                // Sunday, 06-Nov-94 08:49:37 GMT
                Some((day, rest)) => {
                    let (month, rest) = rest.split_once('-')?;
                    let (year, time) = rest.split_once(' ')?;
                    (weekday.len() > 3).then_some(())?;
                    (number(day, 2)?, month, century(number(year, 2)?, now), time)
                }
                // Sun, 06 Nov 1994 08:49:37 GMT
                None => {
                    let mut words = rest.split(' ');
                    let (day, month) = (number(words.next()?, 2)?, words.next()?);
                    let (year, time) = (number(words.next()?, 4)?, words.next()?);
                    (words.next().is_none() && weekday.len() == 3).then_some(())?;
                    (day, month, year, time)
                }
            }
        }
        // Sun Nov  6 08:49:37 1994
        None => {
            let (_, rest) = text.split_once(' ')?;
            let (month, rest) = rest.split_once(' ')?;
            let (day, rest) = rest.trim_start().split_once(' ')?;
            let (time, year) = rest.split_once(' ')?;
            (
                number(day, day.len().min(2))?,
                month,
                number(year, 4)?,
                time,
            )
        }
    };
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let mut parts = time.split(':').map(|part| number(part, 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    // 60 is a leap second.
    let sane = (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    (sane && parts.next().is_none()).then_some(())?;
    let days = days(year, month, day)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

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

/// Days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms", 2013).
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
    fn all_three_forms_are_one_time() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse(text.as_bytes(), NOW), Some(784_111_777), "{text}");
        }
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
            ("Sun, 01 Mar 2026 00:00:00 GMT", 1_772_323_200),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
            ("Monday, 01-Jan-70 00:00:00 GMT", 3_155_760_000),
            ("Friday, 01-Jan-99 00:00:00 GMT", 915_148_800),
            ("Thu Dec 31 23:59:60 1998", 915_148_800),
        ] {
            assert_eq!(parse(text.as_bytes(), NOW), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "now",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 08:49:37:00 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov 1994  08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun Nov  6 08:49:37 94",
            "Sun, 06 Nov 0000 08:49:37 GMT",
        ] {
            assert_eq!(parse(text.as_bytes(), NOW), None, "{text}");
        }
        assert_eq!(parse(b"\xff", NOW), None);
    }
}
