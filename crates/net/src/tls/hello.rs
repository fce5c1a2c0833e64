//! The raw ClientHello: kept as it came, for fingerprints. Browsers' span several segments, even several records.

use std::io::{self, Read};

/// How much of the first flight is kept, in bytes.
const KEEP: usize = 16 * 1024;

/// Reads through, keeping a copy of what came.
pub(super) struct Tee<'a, R> {
    pub(super) from: R,
    pub(super) copy: &'a mut Vec<u8>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(into)?;
        let room = KEEP.saturating_sub(self.copy.len());
        self.copy.extend(into.iter().take(n.min(room)));
        Ok(n)
    }
}

/// The ClientHello handshake message within TLS records (RFC 8446 §5.1), without the record headers. What does not look like
/// one is empty.
pub fn client_hello(mut records: &[u8]) -> Box<[u8]> {
    let mut message = Vec::with_capacity(records.len());
    // ContentType handshake(22), legacy version (2), length (2).
    while let Some(([22, _, _, high, low], rest)) = records.split_first_chunk::<5>() {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let payload = rest.get(..len).unwrap_or(rest);
        message.extend_from_slice(payload);
        records = rest.get(len..).unwrap_or_default();
        if let Some(([1, a, b, c], _)) = message.split_first_chunk::<4>() {
            let whole = 4 + u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if message.len() >= whole {
                message.truncate(whole);
                break;
            }
        }
    }
    if message.first() != Some(&1) {
        message.clear();
    }
    message.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::client_hello;

    #[test]
    fn a_hello_over_two_records_is_put_together() {
        let records = [
            22, 3, 1, 0, 5, 1, 0, 0, 3, 9, 22, 3, 3, 0, 2, 8, 7, 22, 3, 3, 0, 1, 0,
        ];
        assert_eq!(&*client_hello(&records), &[1, 0, 0, 3, 9, 8, 7]);
        assert!(client_hello(b"GET / HTTP/1.1\r\n").is_empty());
        assert_eq!(
            &*client_hello(&[22, 3, 1, 0, 5, 1, 0, 0, 3]),
            &[1, 0, 0, 3],
            "cut short"
        );
    }
}
