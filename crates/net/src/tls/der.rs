//! The few things that we read out of a certificate of our own (RFC 5280 §4.1): version, serial, validity, the issuer's key id.
//!
//! Not a validator: rustls checks what clients will check. Unreadable is none, never a panic.

/// From when to when a certificate is good, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub not_before: u64,
    /// Not after.
    pub not_after: u64,
}

/// What stands in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// As people count it: 3 is what is made today, 1 has no extensions.
    pub version: u8,
    /// The serial number's content bytes.
    pub serial: Vec<u8>,
    /// The authority key identifier's key id, if there is one.
    pub authority: Option<Vec<u8>>,
    /// From when to when it is good.
    pub validity: Validity,
}

/// Reads a certificate.
pub fn facts(der: &[u8]) -> Option<Facts> {
    let (_, certificate, _) = element(der)?;
    let (_, mut tbs, _) = element(certificate)?;
    let mut version = 1;
    if tbs.first() == Some(&0xa0) {
        let (_, written, behind) = element(tbs)?;
        let (_, number, _) = element(written)?;
        version = number.last()?.saturating_add(1);
        tbs = behind;
    }
    let (2, serial, tbs) = element(tbs)? else {
        return None;
    };
    let (_, _, tbs) = element(tbs)?; // signature
    let (_, _, tbs) = element(tbs)?; // issuer
    let (_, validity, tbs) = element(tbs)?;
    let (begin_tag, begin, validity) = element(validity)?;
    let (end_tag, end, _) = element(validity)?;
    let (_, _, tbs) = element(tbs)?; // subject
    let (_, _, mut rest) = element(tbs)?; // key
    let mut authority = None;
    while let Some((tag, content, behind)) = element(rest) {
        if tag == 0xa3 {
            authority = key_id(element(content)?.1);
        }
        rest = behind;
    }
    Some(Facts {
        version,
        serial: serial.to_vec(),
        authority,
        validity: Validity {
            not_before: time(begin_tag, begin)?,
            not_after: time(end_tag, end)?,
        },
    })
}

/// Days from 1970 to a day of the Gregorian calendar, from 1970 on.
pub fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March, so that leap days come last (Hinnant, "chrono-compatible low-level date algorithms").
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468)
}

/// Of the extensions that with OID 2.5.29.35, and in it `[0]`.
fn key_id(mut extensions: &[u8]) -> Option<Vec<u8>> {
    while let Some((_, extension, behind)) = element(extensions) {
        extensions = behind;
        let (6, oid, mut rest) = element(extension)? else {
            continue;
        };
        if oid != [0x55, 0x1d, 0x23] {
            continue;
        }
        if rest.first() == Some(&1) {
            rest = element(rest)?.2;
        }
        let (_, value, _) = element(rest)?;
        let (_, sequence, _) = element(value)?;
        let (tag, id, _) = element(sequence)?;
        return (tag == 0x80).then(|| id.to_vec());
    }
    None
}

/// Tag, content and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if length >= 0x80 {
        let (bytes, behind) = rest.split_at_checked(length & 0x7f)?;
        if bytes.len() > 3 {
            return None;
        }
        length = bytes
            .iter()
            .fold(0, |all, byte| all << 8 | usize::from(*byte));
        rest = behind;
    }
    let (content, behind) = rest.split_at_checked(length)?;
    Some((*tag, content, behind))
}

/// `YYMMDDHHMMSSZ` (UTCTime) or `YYYYMMDDHHMMSSZ` (GeneralizedTime), RFC 5280 §4.1.2.5.
fn time(tag: u8, text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        23 => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: u64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        24 => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse::<u64>().ok();
    let seconds = two(4)? * 3600 + two(6)? * 60 + two(8)?;
    Some(days(year, two(0)?, two(2)?)? * 86_400 + seconds)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn a_certificate_is_read_and_nothing_broken_panics() {
        let (pem, _) = crate::tls::config::self_signed(vec!["a.test".into()]).unwrap();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let read = facts(&der).unwrap();
        assert!(!read.serial.is_empty());
        // rcgen's default: from 1975 to 4096.
        assert_eq!(read.version, 3);
        assert_eq!(read.validity.not_before, 157_766_400);
        assert_eq!(read.validity.not_after, 67_090_118_400);
        for cut in 0..der.len() {
            let _ = facts(&der[..cut]);
            let mut broken = der.to_vec();
            broken[cut] ^= 0xff;
            let _ = facts(&broken);
        }
    }
}
