//! The encoding of objects of the tree: lengths and numbers in 7-bit groups (LEB128), each value in one spelling only, so that
//! equal content has equal bytes and equal names.

use crate::refused::Refused;

/// Writes an object.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// Begins with what kind of object it is.
    pub(crate) fn new(magic: &[u8]) -> Self {
        Self(magic.to_vec())
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn number(&mut self, mut number: u64) {
        while number > 0x7f {
            // The low seven bits, and that more follow.
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads an object. Nothing is copied, and nothing is reserved for a length that is only claimed.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// `what` names the object in errors.
    pub(crate) fn new(what: &'static str, magic: &[u8], bytes: &'a [u8]) -> Result<Self, Refused> {
        match bytes.strip_prefix(magic) {
            Some(rest) => Ok(Self { rest, what }),
            None => Err(Refused::malformed(what, "it begins as something else")),
        }
    }

    pub(crate) fn wrong(&self, why: impl Into<String>) -> Refused {
        Refused::malformed(self.what, why)
    }

    pub(crate) fn raw(&mut self, length: usize) -> Result<&'a [u8], Refused> {
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.wrong("it is cut short")),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Refused> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(self.wrong("it is cut short")),
        }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Refused> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Refused> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let group = u64::from(byte & 0x7f);
            if group << shift >> shift != group {
                break;
            }
            number |= group << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(self.wrong("a number is written longer than it is"));
                }
                return Ok(number);
            }
        }
        Err(self.wrong("a number is too large"))
    }

    /// Bytes with their length before them, at most `limit` of them.
    pub(crate) fn bytes(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], Refused> {
        let length = self.number()?;
        if length > limit as u64 {
            return Err(Refused::TooLarge {
                what,
                found: length,
                limit: limit as u64,
            });
        }
        // At most `limit`, which is a `usize`.
        self.raw(length as usize)
    }

    pub(crate) fn text(&mut self, what: &'static str, limit: usize) -> Result<&'a str, Refused> {
        let bytes = self.bytes(what, limit)?;
        std::str::from_utf8(bytes).map_err(|_| self.wrong(format!("{what} is not UTF-8")))
    }

    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn finish(self) -> Result<(), Refused> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(self.wrong(format!("{more} bytes follow its end"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_spelling() {
        for number in [0, 1, 127, 128, 300, 1 << 32, u64::MAX - 1, u64::MAX] {
            let mut writer = Writer::default();
            writer.number(number);
            let bytes = writer.finish();
            let mut reader = Reader::new("test", b"", &bytes).unwrap();
            assert_eq!(reader.number(), Ok(number));
            assert_eq!(reader.finish(), Ok(()));
        }
        let too_large = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        for wrong in [
            &[0x80, 0][..],
            &[0xff, 0],
            &[0x80],
            &too_large,
            &[0x80; 11],
            &[],
        ] {
            let mut reader = Reader::new("test", b"", wrong).unwrap();
            assert!(reader.number().is_err(), "{wrong:?}");
        }
    }
}
