//! The client's streams that carry no request (RFC 9114 §6.2, RFC 9204 §4.2): control, and the two of QPACK. Sans-IO.

use super::wire::{self, Header};
use super::{ConnectionError, code};

/// Types of streams.
pub(super) const CONTROL: u64 = 0x0;
const PUSH: u64 = 0x1;
const ENCODER: u64 = 0x2;
const DECODER: u64 = 0x3;

/// The longest SETTINGS frame that is read, in bytes.
const SETTINGS_BYTES: u64 = 4096;
/// Frames without use that a client may send on its control stream.
const USELESS: u32 = 2_000;

/// What all of them have told.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Their types.
    kinds: Vec<u64>,
    has_settings: bool,
    useless: u32,
}

/// One of them.
#[derive(Debug, Default)]
pub(super) struct Other {
    /// None until its type was read.
    kind: Option<u64>,
    begun: Vec<u8>,
    header: Header,
    /// Bytes of the frame that is read or skipped.
    left: u64,
    settings: Option<Vec<u8>>,
    /// In the middle of an instruction of several bytes.
    continues: bool,
}

impl Other {
    /// Whether the connection cannot go on without it.
    pub(super) fn is_critical(&self) -> bool {
        self.kind.is_some()
    }

    /// Takes more of it; whether it is one that we read.
    pub(super) fn take(
        &mut self,
        mut bytes: &[u8],
        known: &mut Known,
    ) -> Result<bool, ConnectionError> {
        while self.kind.is_none() {
            let Some((byte, rest)) = bytes.split_first() else {
                return Ok(true);
            };
            bytes = rest;
            self.begun.push(*byte);
            let Some((kind, _)) = wire::integer(&self.begun) else {
                continue;
            };
            if kind == PUSH || (kind <= DECODER && known.kinds.contains(&kind)) {
                let why = "a stream that a client must not open, or not twice";
                return Err(ConnectionError::new(code::STREAM_CREATION_ERROR, why));
            }
            if kind > DECODER {
                return Ok(false);
            }
            known.kinds.push(kind);
            self.kind = Some(kind);
        }
        match self.kind {
            Some(CONTROL) => self.control_bytes(bytes, known)?,
            Some(ENCODER) => encoder_bytes(bytes)?,
            Some(DECODER) => self.decoder_bytes(bytes)?,
            _ => {}
        }
        Ok(true)
    }

    fn control_bytes(
        &mut self,
        mut bytes: &[u8],
        known: &mut Known,
    ) -> Result<(), ConnectionError> {
        loop {
            if self.left > 0 {
                let whole = usize::try_from(self.left).unwrap_or(usize::MAX);
                let (now, rest) = bytes.split_at(whole.min(bytes.len()));
                bytes = rest;
                self.left -= now.len() as u64;
                if let Some(settings) = &mut self.settings {
                    settings.extend_from_slice(now);
                }
                if self.left > 0 {
                    return Ok(());
                }
            }
            if let Some(settings) = self.settings.take() {
                check_settings(&settings)?;
                known.has_settings = true;
            }
            match self.header.gather(&mut bytes) {
                Some((kind, length)) => self.control_frame(kind, length, known)?,
                None => return Ok(()),
            }
        }
    }

    fn control_frame(
        &mut self,
        kind: u64,
        length: u64,
        known: &mut Known,
    ) -> Result<(), ConnectionError> {
        let error = |code, why| Err(ConnectionError::new(code, why));
        let first = !known.has_settings;
        self.left = length;
        match kind {
            wire::SETTINGS if first && length > SETTINGS_BYTES => {
                error(code::EXCESSIVE_LOAD, "settings without end")
            }
            wire::SETTINGS if first => {
                self.settings = Some(Vec::new());
                Ok(())
            }
            _ if first => error(code::MISSING_SETTINGS, "the first frame is not SETTINGS"),
            wire::SETTINGS | wire::DATA | wire::HEADERS | wire::PUSH_PROMISE => {
                error(code::FRAME_UNEXPECTED, "a frame in a wrong place")
            }
            kind if wire::is_of_http2(kind) => error(code::FRAME_UNEXPECTED, "a frame of HTTP/2"),
            wire::CANCEL_PUSH => error(code::ID_ERROR, "nothing was pushed"),
            wire::GOAWAY | wire::MAX_PUSH_ID if length == 0 || length > 8 => {
                error(code::FRAME_ERROR, "a frame of a wrong length")
            }
            _ => {
                known.useless += 1;
                if known.useless > USELESS {
                    return error(code::EXCESSIVE_LOAD, "too many frames without use");
                }
                Ok(())
            }
        }
    }

    /// A decoder can cancel streams; there is nothing that it could acknowledge (RFC 9204 §4.4).
    fn decoder_bytes(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        for byte in bytes {
            if self.continues {
                self.continues = byte & 0x80 != 0;
            } else if byte & 0xc0 == 0x40 {
                self.continues = byte & 0x3f == 0x3f;
            } else {
                let why = "an acknowledgement of nothing";
                return Err(ConnectionError::new(code::DECODER_STREAM_ERROR, why));
            }
        }
        Ok(())
    }
}

/// What a client announces changes nothing for us: its section size is its own to hold against us, and without a dynamic table
/// there is nothing to size. But what must not stand there must not.
pub(super) fn check_settings(mut bytes: &[u8]) -> Result<(), ConnectionError> {
    let mut seen = Vec::new();
    while !bytes.is_empty() {
        let pair = wire::integer(bytes).and_then(|(id, used)| {
            let (_, more) = wire::integer(bytes.get(used..)?)?;
            Some((id, bytes.get(used + more..)?))
        });
        let Some((id, rest)) = pair else {
            let why = "settings that end in the middle of one";
            return Err(ConnectionError::new(code::FRAME_ERROR, why));
        };
        bytes = rest;
        if matches!(id, 0x2..=0x5) || seen.contains(&id) {
            let why = "a setting of HTTP/2, or one twice";
            return Err(ConnectionError::new(code::SETTINGS_ERROR, why));
        }
        // Looked through for each: far more than there are is no settings frame.
        if seen.len() == 64 {
            let why = "too many settings";
            return Err(ConnectionError::new(code::EXCESSIVE_LOAD, why));
        }
        seen.push(id);
    }
    Ok(())
}

/// All that an encoder can say to a table of no size is that it has none (RFC 9204 §4.3.1).
fn encoder_bytes(bytes: &[u8]) -> Result<(), ConnectionError> {
    if bytes.iter().all(|byte| *byte == 0x20) {
        return Ok(());
    }
    let why = "an entry for a table that is not there";
    Err(ConnectionError::new(code::ENCODER_STREAM_ERROR, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_must_not_stand_there_are_told() {
        assert_eq!(check_settings(&[]), Ok(()));
        // Section size, QPACK's two, and a reserved one (RFC 9114 §7.2.4.1).
        assert_eq!(check_settings(&[6, 0x40, 100, 1, 0, 7, 0, 0x21, 5]), Ok(()));
        let failed = |bytes: &[u8]| check_settings(bytes).unwrap_err().code;
        assert_eq!(failed(&[6]), code::FRAME_ERROR);
        assert_eq!(failed(&[6, 0x40]), code::FRAME_ERROR);
        assert_eq!(failed(&[2, 1]), code::SETTINGS_ERROR);
        assert_eq!(failed(&[6, 1, 6, 1]), code::SETTINGS_ERROR);
    }

    #[test]
    fn encoders_and_decoders_without_a_table_have_little_to_say() {
        assert!(encoder_bytes(&[0x20, 0x20]).is_ok());
        assert!(encoder_bytes(&[0x3f, 0xe1, 0x1f]).is_err());
        let mut other = Other::default();
        assert!(other.decoder_bytes(&[0x44, 0x7f, 0x81]).is_ok());
        assert!(other.decoder_bytes(&[0x01, 0x40]).is_ok());
        assert!(other.decoder_bytes(&[0x80]).is_err());
        assert!(other.decoder_bytes(&[0x01]).is_err());
    }
}
