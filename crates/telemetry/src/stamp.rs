//! Dates as text, rendered once a second: RFC 3339 for Records, IMF-fixdate for `Date` fields.
//!
//! A busy thread writes the same second thousands of times, so [`Stamp`] keeps the last one of each form. Times come in as
//! arguments; there is no clock in here, and no time zone but UTC. Leap seconds do not exist in unix time.

/// Years of five digits fit neither form: what is later is written as the last second of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// `2026-07-26T12:34:56.789Z`
const RFC3339_LENGTH: usize = 24;
/// `Sun, 06 Nov 1994 08:49:37 GMT`
const HTTP_DATE_LENGTH: usize = 29;

/// Renders dates and remembers the last second of each form. One per thread.
#[derive(Clone, Debug)]
pub struct Stamp {
    record_second: u64,
    record: [u8; RFC3339_LENGTH],
    http_second: u64,
    http: [u8; HTTP_DATE_LENGTH],
}

impl Default for Stamp {
    fn default() -> Self {
        Self::new()
    }
}

impl Stamp {
    /// One that remembers the beginning of the epoch.
    pub fn new() -> Self {
        Self {
            record_second: 0,
            record: rfc3339(&Civil::of(0)),
            http_second: 0,
            http: http_date(&Civil::of(0)),
        }
    }

    /// RFC 3339 in UTC with milliseconds, from unix microseconds: `2026-07-26T12:34:56.789Z`.
    #[inline]
    pub fn rfc3339(&mut self, unix_us: u64) -> &[u8; RFC3339_LENGTH] {
        let second = unix_us / 1_000_000;
        if second != self.record_second {
            self.begin_second(second);
        }
        let milliseconds = (unix_us % 1_000_000) as u32 / 1000;
        let [.., hundreds, tens, ones, _z] = &mut self.record;
        *hundreds = b'0' + (milliseconds / 100) as u8;
        *tens = b'0' + (milliseconds / 10 % 10) as u8;
        *ones = b'0' + (milliseconds % 10) as u8;
        &self.record
    }

    /// IMF-fixdate (RFC 9110 §5.6.7), from unix seconds: `Sun, 06 Nov 1994 08:49:37 GMT`.
    #[inline]
    pub fn http_date(&mut self, unix_seconds: u64) -> &[u8; HTTP_DATE_LENGTH] {
        if unix_seconds != self.http_second {
            self.begin_http_second(unix_seconds);
        }
        &self.http
    }

    #[cold]
    fn begin_second(&mut self, second: u64) {
        self.record_second = second;
        self.record = rfc3339(&Civil::of(second));
    }

    #[cold]
    fn begin_http_second(&mut self, second: u64) {
        self.http_second = second;
        self.http = http_date(&Civil::of(second));
    }
}

/// A second of the proleptic Gregorian calendar, in UTC.
#[derive(Debug, PartialEq, Eq)]
struct Civil {
    year: u64,
    /// From 1.
    month: u64,
    /// From 1.
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    /// From Sunday, 0.
    weekday: u64,
}

impl Civil {
    /// Counts in eras of 400 years that begin on a first of March, so that the leap day is the last of its year and every
    /// month but the last has a fixed length.
    fn of(unix_seconds: u64) -> Self {
        const DAYS_OF_ERA: u64 = 146_097;
        const MARCH_OF_YEAR_0_TO_EPOCH: u64 = 719_468;
        let unix_seconds = unix_seconds.min(LAST_SECOND);
        let (days, rest) = (unix_seconds / 86_400, unix_seconds % 86_400);
        let since_era_0 = days + MARCH_OF_YEAR_0_TO_EPOCH;
        let (era, day_of_era) = (since_era_0 / DAYS_OF_ERA, since_era_0 % DAYS_OF_ERA);
        let leap_days = day_of_era / 1_460 + day_of_era / 146_096;
        let year_of_era = (day_of_era + day_of_era / 36_524 - leap_days) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
            // The epoch was a Thursday.
            weekday: (days + 4) % 7,
        }
    }
}

fn rfc3339(civil: &Civil) -> [u8; RFC3339_LENGTH] {
    let ([y1, y2], [y3, y4]) = (two(civil.year / 100), two(civil.year % 100));
    let ([mo1, mo2], [d1, d2]) = (two(civil.month), two(civil.day));
    let ([h1, h2], [m1, m2], [s1, s2]) = (two(civil.hour), two(civil.minute), two(civil.second));
    [
        y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2, b'T', h1, h2, b':', m1, m2, b':', s1, s2,
        b'.', b'0', b'0', b'0', b'Z',
    ]
}

fn http_date(civil: &Civil) -> [u8; HTTP_DATE_LENGTH] {
    const WEEKDAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];
    const MONTHS: [&[u8; 3]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let [w1, w2, w3] = **WEEKDAYS.get(civil.weekday as usize).unwrap_or(&b"Sun");
    let [n1, n2, n3] = **MONTHS.get(civil.month as usize - 1).unwrap_or(&b"Jan");
    let ([y1, y2], [y3, y4]) = (two(civil.year / 100), two(civil.year % 100));
    let [d1, d2] = two(civil.day);
    let ([h1, h2], [m1, m2], [s1, s2]) = (two(civil.hour), two(civil.minute), two(civil.second));
    [
        w1, w2, w3, b',', b' ', d1, d2, b' ', n1, n2, n3, b' ', y1, y2, y3, y4, b' ', h1, h2, b':',
        m1, m2, b':', s1, s2, b' ', b'G', b'M', b'T',
    ]
}

/// Two decimal digits of a number below 100.
fn two(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_time(unix_us: u64) -> String {
        String::from_utf8(Stamp::new().rfc3339(unix_us).to_vec()).unwrap()
    }

    fn http_time(unix_seconds: u64) -> String {
        String::from_utf8(Stamp::new().http_date(unix_seconds).to_vec()).unwrap()
    }

    #[test]
    fn known_dates() {
        assert_eq!(record_time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(record_time(951_782_400_000_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(
            record_time(1_785_069_296_789_999),
            "2026-07-26T12:34:56.789Z"
        );
        assert_eq!(
            record_time(4_107_542_399_000_000),
            "2100-02-28T23:59:59.000Z"
        );
        assert_eq!(
            record_time(4_107_542_400_000_000),
            "2100-03-01T00:00:00.000Z"
        );
        // RFC 9110's own example.
        assert_eq!(http_time(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_time(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn later_than_four_digits_is_the_last_second() {
        assert_eq!(record_time(u64::MAX).get(..19), Some("9999-12-31T23:59:59"));
        assert_eq!(http_time(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn every_day_of_a_thousand_years_follows_the_day_before() {
        let leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..365_250 {
            let civil = Civil::of(days * 86_400 + 86_399);
            assert_eq!((civil.year, civil.month, civil.day), (year, month, day));
            assert_eq!((civil.hour, civil.minute, civil.second), (23, 59, 59));
            assert_eq!(civil.weekday, (days + 4) % 7);
            let length = match month {
                2 => 28 + u64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn the_cache_follows_seconds_both_ways_and_keeps_the_forms_apart() {
        let mut stamp = Stamp::new();
        assert_eq!(stamp.rfc3339(1_000_001_000), b"1970-01-01T00:16:40.001Z");
        assert_eq!(stamp.http_date(2_000), b"Thu, 01 Jan 1970 00:33:20 GMT");
        assert_eq!(stamp.rfc3339(1_000_999_999), b"1970-01-01T00:16:40.999Z");
        assert_eq!(stamp.rfc3339(999_999_999), b"1970-01-01T00:16:39.999Z");
        assert_eq!(stamp.http_date(2_000), b"Thu, 01 Jan 1970 00:33:20 GMT");
    }
}
