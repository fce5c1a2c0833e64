//! One response's encoder: bytes in, fewer bytes out, in bounded memory.

use std::io::{self, Write};

use seawall_model::document::Coding;

/// zstd: a little better than gzip's best at a fraction of its time. The window is 128 KiB: what a client must have (RFC 9659 §3)
/// is 8 MiB, but there are many responses at once.
const ZSTD_LEVEL: i32 = 3;
const ZSTD_WINDOW_LOG: u32 = 17;
const ZSTD_TABLE_LOG: u32 = 16;
/// Brotli's qualities from 5 on cost several times as much for a few per cent.
const BROTLI_QUALITY: u32 = 4;
const BROTLI_WINDOW_LOG: u32 = 17;
/// What brotli's writer hands over at once.
const BROTLI_PIECE: usize = 16 * 1024;
const GZIP_LEVEL: u32 = 5;

/// The encoder could not be made, or failed: for want of memory, that is.
#[derive(Debug, thiserror::Error)]
#[error("the encoder failed: {0}")]
pub struct Hungry(#[from] io::Error);

/// One response's encoder. What comes out is taken with [`Encoder::take`].
pub enum Encoder {
    /// gzip.
    Gzip(Box<flate2::write::GzEncoder<Vec<u8>>>),
    /// Brotli.
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    /// Zstandard.
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

/// What an encoder holds at most, in bytes; measured, and rounded up.
pub(super) const fn memory(coding: Coding) -> usize {
    match coding {
        Coding::Gzip => 512 << 10,
        Coding::Brotli => 2 << 20,
        Coding::Zstd => 2 << 20,
    }
}

impl Encoder {
    /// For one response. `length` is that of its body, where it is known.
    ///
    /// # Errors
    /// [`Hungry`].
    pub fn new(coding: Coding, length: Option<u64>) -> Result<Self, Hungry> {
        let out = Vec::new();
        Ok(match coding {
            Coding::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Self::Gzip(Box::new(flate2::write::GzEncoder::new(out, level)))
            }
            Coding::Brotli => {
                let writer = brotli::CompressorWriter::new(
                    out,
                    BROTLI_PIECE,
                    BROTLI_QUALITY,
                    BROTLI_WINDOW_LOG,
                );
                Self::Brotli(Box::new(writer))
            }
            Coding::Zstd => {
                use zstd::zstd_safe::CParameter;
                let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                for parameter in [
                    CParameter::WindowLog(ZSTD_WINDOW_LOG),
                    CParameter::HashLog(ZSTD_TABLE_LOG),
                    CParameter::ChainLog(ZSTD_TABLE_LOG),
                    // TLS and TCP have their own.
                    CParameter::ChecksumFlag(false),
                ] {
                    encoder.set_parameter(parameter)?;
                }
                encoder.set_pledged_src_size(length)?;
                Self::Zstd(Box::new(encoder))
            }
        })
    }

    /// Takes some of the content in.
    ///
    /// # Errors
    /// [`Hungry`].
    pub fn write(&mut self, content: &[u8]) -> Result<(), Hungry> {
        Ok(match self {
            Self::Gzip(encoder) => encoder.write_all(content),
            Self::Brotli(encoder) => encoder.write_all(content),
            Self::Zstd(encoder) => encoder.write_all(content),
        }?)
    }

    /// Lets all out that was taken in so far: a client that has it can decode all of that.
    ///
    /// # Errors
    /// [`Hungry`].
    pub fn flush(&mut self) -> Result<(), Hungry> {
        Ok(match self {
            Self::Gzip(encoder) => encoder.flush(),
            Self::Brotli(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }?)
    }

    /// The end of the content: the last bytes.
    ///
    /// # Errors
    /// [`Hungry`].
    pub fn finish(self) -> Result<Vec<u8>, Hungry> {
        Ok(match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Zstd(encoder) => encoder.finish(),
        }?)
    }

    /// What came out since it was last asked.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        })
    }

    /// All of it at once.
    ///
    /// # Errors
    /// [`Hungry`].
    pub fn whole(coding: Coding, content: &[u8]) -> Result<Vec<u8>, Hungry> {
        let mut encoder = Self::new(coding, Some(content.len() as u64))?;
        encoder.write(content)?;
        encoder.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const ALL: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

    fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        // What was flushed ends in the middle: that is an error to a decoder, after it has given all that there is.
        let _ended = match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut content),
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut content),
            Coding::Zstd => zstd::stream::read::Decoder::new(bytes)
                .unwrap()
                .read_to_end(&mut content),
        };
        content
    }

    fn text(bytes: usize) -> Vec<u8> {
        let lines = (0..).map(|line| format!("line {line} of {}\n", line * 7919 % 1013));
        let mut all: Vec<u8> = Vec::new();
        for line in lines {
            all.extend_from_slice(line.as_bytes());
            if all.len() >= bytes {
                break;
            }
        }
        all.truncate(bytes);
        all
    }

    #[test]
    fn what_went_in_comes_out_again() {
        for coding in ALL {
            for bytes in [0, 1, 1_000, 100_000, 1_000_000] {
                let content = text(bytes);
                let whole = Encoder::whole(coding, &content).unwrap();
                assert_eq!(decoded(coding, &whole), content, "{coding:?} {bytes}");
                let mut encoder = Encoder::new(coding, None).unwrap();
                let mut pieces = Vec::new();
                for piece in content.chunks(7_001) {
                    encoder.write(piece).unwrap();
                    pieces.extend(encoder.take());
                }
                pieces.extend(encoder.finish().unwrap());
                assert_eq!(decoded(coding, &pieces), content, "{coding:?} {bytes}");
                if bytes >= 100_000 {
                    assert!(pieces.len() * 2 < bytes, "{coding:?}: {}", pieces.len());
                }
            }
        }
    }

    /// What the whole process holds of its heap, in bytes.
    fn heap() -> usize {
        // SAFETY: it takes nothing and gives numbers.
        let told = unsafe { libc::mallinfo2() };
        told.uordblks + told.hblkhd
    }

    #[test]
    #[ignore = "alone: it measures the heap of the whole process"]
    fn an_encoder_holds_no_more_than_it_is_charged_for() {
        let content = text(4 << 20);
        for coding in ALL {
            for length in [None, Some(content.len() as u64)] {
                let before = heap();
                let mut encoder = Encoder::new(coding, length).unwrap();
                let mut most = 0;
                for piece in content.chunks(64 << 10) {
                    encoder.write(piece).unwrap();
                    encoder.flush().unwrap();
                    drop(encoder.take());
                    most = most.max(heap() - before);
                }
                println!("{coding:?} {length:?}: {} KiB", most >> 10);
                assert!(most <= memory(coding), "{coding:?}: {most}");
            }
        }
    }

    #[test]
    fn what_was_flushed_can_be_read_before_the_end() {
        for coding in ALL {
            let mut encoder = Encoder::new(coding, None).unwrap();
            let mut sent = Vec::new();
            for event in ["data: one\n\n", "data: two\n\n"] {
                encoder.write(event.as_bytes()).unwrap();
                encoder.flush().unwrap();
                let out = encoder.take();
                assert!(!out.is_empty(), "{coding:?}");
                sent.extend(out);
                let seen = decoded(coding, &sent);
                assert!(seen.ends_with(event.as_bytes()), "{coding:?}: {seen:?}");
            }
        }
    }
}
