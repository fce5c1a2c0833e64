//! Content codings taken off a body (`Content-Encoding`, RFC 9110 §8.4), so that rules see what its reader will see.
//!
//! What comes out is bounded and paid for piece by piece, so that a small body that grows without end costs what its limit says. Not
//! here: what becomes of a body that cannot be read.

use std::io::{ErrorKind, Read};

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use seawall_model::{Fuel, Spent};

/// Codings that a body may have on top of one another.
const CODINGS: usize = 2;
/// Bytes that are taken off at once.
const PIECE: usize = 8 << 10;
/// Units for beginning, and for each byte that comes out.
const BEGIN: u64 = 20_000;
const BYTE: u64 = 4;
/// Bytes of the window of a zstd body, as a power of two: what HTTP allows (RFC 9659).
const ZSTD_WINDOW: u32 = 23;

/// A body without its codings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plain {
    /// What came out.
    pub bytes: Vec<u8>,
    /// Where there were two codings, what came out of the outer one.
    pub between: Vec<u8>,
    /// Whether there is more, or may be.
    pub cut: bool,
}

/// Why the codings could not be taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodingFault {
    /// A coding that is not known, or too many of them.
    #[error("the body has a coding that is not known, or too many of them")]
    Unknown,
    /// It is not what its coding says.
    #[error("the body is not what its coding says")]
    Broken,
    /// There was not enough fuel.
    #[error(transparent)]
    Spent(#[from] Spent),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// Takes the codings of a field's values off a body, up to `most` bytes. None when it has none. `is_whole`: whether these are all
/// bytes of the body; a part of one gives what it has in it.
///
/// # Errors
/// [`CodingFault`]
pub fn plain<'f>(
    values: impl Iterator<Item = &'f [u8]>,
    body: &[u8],
    is_whole: bool,
    most: usize,
    fuel: &mut Fuel,
) -> Result<Option<Plain>, CodingFault> {
    let mut codings = Vec::new();
    for name in values.flat_map(|value| value.split(|byte| *byte == b',')) {
        let coding = match name.trim_ascii().to_ascii_lowercase().as_slice() {
            b"" | b"identity" => continue,
            b"gzip" | b"x-gzip" => Coding::Gzip,
            b"deflate" => Coding::Deflate,
            b"br" => Coding::Brotli,
            b"zstd" => Coding::Zstd,
            _ => return Err(CodingFault::Unknown),
        };
        if codings.len() >= CODINGS {
            return Err(CodingFault::Unknown);
        }
        codings.push(coding);
    }
    let mut plain: Option<Plain> = None;
    // The last one was put on last.
    for coding in codings.into_iter().rev() {
        let (coded, is_whole) = match &plain {
            Some(plain) => (plain.bytes.as_slice(), is_whole && !plain.cut),
            None => (body, is_whole),
        };
        let mut inner = take_off(coding, coded, is_whole, most, fuel)?;
        inner.between = plain.take().map_or_else(Vec::new, |outer| outer.bytes);
        plain = Some(inner);
    }
    Ok(plain)
}

fn take_off(
    coding: Coding,
    coded: &[u8],
    is_whole: bool,
    most: usize,
    fuel: &mut Fuel,
) -> Result<Plain, CodingFault> {
    // An empty body is empty in any coding.
    if coded.is_empty() {
        return Ok(Plain {
            cut: !is_whole,
            ..Plain::default()
        });
    }
    fuel.spend(BEGIN)?;
    match coding {
        // Behind its end another one begins, or it is broken; so it is with zstd.
        Coding::Gzip => read(&mut MultiGzDecoder::new(coded), is_whole, most, fuel),
        // Some send it without the frame that it should have (RFC 9110 §8.4.1.2).
        Coding::Deflate if has_frame(coded) => {
            let mut decoder = ZlibDecoder::new(coded);
            let plain = read(&mut decoder, is_whole, most, fuel)?;
            all_of_it(plain, decoder.get_ref().is_empty())
        }
        Coding::Deflate => {
            let mut decoder = DeflateDecoder::new(coded);
            let plain = read(&mut decoder, is_whole, most, fuel)?;
            all_of_it(plain, decoder.get_ref().is_empty())
        }
        Coding::Brotli => {
            let mut decoder = brotli::Decompressor::new(coded, PIECE);
            let plain = read(&mut decoder, is_whole, most, fuel)?;
            // Asked once more, it tells what it has read beyond the end.
            let ends = plain.cut || matches!(decoder.read(&mut [0]), Ok(0));
            all_of_it(plain, ends && decoder.get_ref().is_empty())
        }
        Coding::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(coded);
            let Ok(mut decoder) = decoder else {
                return Err(CodingFault::Broken);
            };
            if decoder.window_log_max(ZSTD_WINDOW).is_err() {
                return Err(CodingFault::Broken);
            }
            read(&mut decoder, is_whole, most, fuel)
        }
    }
}

/// What came out, if that is all: what stands behind the end is no part of it, and somebody may read it all the same.
fn all_of_it(plain: Plain, is_at_end: bool) -> Result<Plain, CodingFault> {
    match plain.cut || is_at_end {
        true => Ok(plain),
        false => Err(CodingFault::Broken),
    }
}

/// Whether a text begins as RFC 1950 says.
fn has_frame(coded: &[u8]) -> bool {
    match coded {
        [first, second, ..] => {
            first & 0x0f == 8 && (u32::from(*first) << 8 | u32::from(*second)).is_multiple_of(31)
        }
        _ => false,
    }
}

fn read(
    decoder: &mut impl Read,
    is_whole: bool,
    most: usize,
    fuel: &mut Fuel,
) -> Result<Plain, CodingFault> {
    let mut plain = Plain {
        cut: !is_whole,
        ..Plain::default()
    };
    let mut piece = [0; PIECE];
    loop {
        fuel.spend(PIECE as u64 * BYTE / 2)?;
        match decoder.read(&mut piece) {
            Ok(0) => return Ok(plain),
            Ok(count) => {
                fuel.spend(count as u64 * BYTE)?;
                let room = most - plain.bytes.len().min(most);
                let fits = piece.get(..count.min(room)).unwrap_or_default();
                plain.bytes.extend_from_slice(fits);
                if count > room {
                    plain.cut = true;
                    return Ok(plain);
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A part of a body ends where nobody can read on.
            Err(_) if !is_whole => return Ok(plain),
            Err(_) => return Err(CodingFault::Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        out.write_all(text).unwrap();
        out.finish().unwrap()
    }

    fn brotli(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = brotli::CompressorWriter::new(&mut out, 4096, 5, 20);
        writer.write_all(text).unwrap();
        drop(writer);
        out
    }

    fn off(field: &str, body: &[u8], is_whole: bool) -> Result<Option<Plain>, CodingFault> {
        let mut fuel = Fuel::new(10_000_000);
        plain(
            std::iter::once(field.as_bytes()),
            body,
            is_whole,
            1 << 16,
            &mut fuel,
        )
    }

    #[test]
    fn each_coding_is_taken_off_and_one_on_top_of_another() {
        let text = b"q=' or 1=1 --".repeat(20);
        let zlib = {
            let mut out = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
            out.write_all(&text).unwrap();
            out.finish().unwrap()
        };
        let raw = {
            let mut out = flate2::write::DeflateEncoder::new(Vec::new(), Default::default());
            out.write_all(&text).unwrap();
            out.finish().unwrap()
        };
        let zstd = zstd::bulk::compress(&text, 3).unwrap();
        for (field, body) in [
            ("gzip", gzip(&text)),
            ("X-GZIP", [gzip(&text[..9]), gzip(&text[9..])].concat()),
            ("deflate", zlib),
            ("deflate", raw),
            ("br", brotli(&text)),
            ("zstd", zstd),
            ("br, gzip", gzip(&brotli(&text))),
        ] {
            let plain = off(field, &body, true).unwrap().unwrap();
            assert!(plain.bytes == text && !plain.cut, "{field}");
            let between = match field.contains(',') {
                true => brotli(&text),
                false => Vec::new(),
            };
            assert_eq!(plain.between, between, "{field}");
            for behind in [&b"x"[..], b"&q=1", &[0; 9_000]] {
                let longer = [&body[..], behind].concat();
                let told = off(field, &longer, true);
                assert_eq!(told, Err(CodingFault::Broken), "{field} {}", behind.len());
            }
        }
        assert_eq!(off("identity", b"x", true), Ok(None));
        assert_eq!(off("", b"x", true), Ok(None));
    }

    #[test]
    fn a_part_gives_what_it_has_and_what_is_no_coding_is_told() {
        let mut number = 1u32;
        let mut next = || {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b'a' + (number >> 24) as u8 % 26
        };
        let text: Vec<u8> = (0..20_000).map(|_| next()).collect();
        let body = gzip(&text);
        let half = &body[..body.len() / 2];
        let plain = off("gzip", half, false).unwrap().unwrap();
        assert!(plain.cut && plain.bytes.len() > 4000 && text.starts_with(&plain.bytes));
        assert_eq!(off("gzip", half, true), Err(CodingFault::Broken));
        assert_eq!(off("gzip", b"no gzip", true), Err(CodingFault::Broken));
        assert_eq!(off("rot13", b"x", true), Err(CodingFault::Unknown));
        assert_eq!(off("br, br, br", b"x", true), Err(CodingFault::Unknown));
    }

    #[test]
    fn what_grows_without_end_is_cut_and_paid_for() {
        let bomb = gzip(&vec![b'a'; 64 << 20]);
        let mut fuel = Fuel::new(u64::MAX);
        let field = std::iter::once(&b"gzip"[..]);
        let plain = plain(field, &bomb, true, 100_000, &mut fuel).unwrap();
        let plain = plain.unwrap();
        assert!(plain.cut && plain.bytes.len() == 100_000);
        assert!(fuel.used() < 2_000_000, "{}", fuel.used());
        let mut little = Fuel::new(100_000);
        let field = std::iter::once(&b"gzip"[..]);
        let spent = super::plain(field, &bomb, true, 100_000, &mut little);
        assert_eq!(spent, Err(CodingFault::Spent(Spent)));
    }
}
