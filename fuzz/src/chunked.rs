//! Chunked bodies: the same however they are cut, and the same to a reader that knows only `httparse`'s chunk sizes.

use seawall_net::h1::{ChunkStep, ChunkedDecoder};

/// What a reader made of the bytes: the body, and where it ended; an end is none when more is needed.
type Read = Result<(Vec<u8>, Option<usize>), &'static str>;

pub fn bodies(data: &[u8]) {
    let (whole, begun) = decode(data, || usize::MAX);
    let (cut, cut_begun) = decode(data, super::pieces(data));
    assert_eq!(cut, whole, "in pieces and at once");
    assert_eq!(cut_begun, begun, "the body before an error");
    if let Ok((body, end)) = whole {
        assert_eq!(
            plainly(data),
            Some((body, end)),
            "what ours accepts, another reads in the same way"
        );
    }
}

/// By our decoder, and the body that it gave before an error, which has been sent on by then.
fn decode(data: &[u8], mut piece: impl FnMut() -> usize) -> (Read, Vec<u8>) {
    let mut decoder = ChunkedDecoder::new();
    let (mut body, mut at) = (Vec::new(), 0);
    while at < data.len() {
        let input = &data[at..at.saturating_add(piece()).min(data.len())];
        match decoder.step(input) {
            Ok(ChunkStep::Data { skip, len }) => {
                assert!(len > 0, "a step without progress");
                body.extend_from_slice(&input[skip..skip + len]);
                at += skip + len;
            }
            Ok(ChunkStep::NeedMore { consumed }) => {
                assert_eq!(consumed, input.len());
                at += consumed;
            }
            Ok(ChunkStep::End { consumed }) => {
                assert!(decoder.is_ended());
                let again = decoder.step(&data[at + consumed..]);
                assert_eq!(again, Ok(ChunkStep::End { consumed: 0 }), "after the end");
                return (Ok((body.clone(), Some(at + consumed))), body);
            }
            Err(reject) => {
                assert_eq!(decoder.step(b"0\r\n\r\n"), Err(reject), "an error stays");
                return (Err(reject.reason), body);
            }
        }
    }
    (Ok((body.clone(), None)), body)
}

/// A plain reading of RFC 9112 §7.1; none if the bytes are no chunked body.
fn plainly(data: &[u8]) -> Option<(Vec<u8>, Option<usize>)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let (skip, size) = match httparse::parse_chunk_size(&data[at..]).ok()? {
            httparse::Status::Complete(read) => read,
            httparse::Status::Partial => return Some((body, None)),
        };
        at += skip;
        if size == 0 {
            break;
        }
        let there = usize::try_from(size)
            .unwrap_or(usize::MAX)
            .min(data.len() - at);
        body.extend_from_slice(&data[at..at + there]);
        at += there;
        match &data[at..] {
            [] | [b'\r'] => return Some((body, None)),
            [b'\r', b'\n', ..] => at += 2,
            _ => return None,
        }
    }
    // Trailers: lines up to an empty one.
    loop {
        let Some(end) = data[at..].windows(2).position(|pair| pair == b"\r\n") else {
            return Some((body, None));
        };
        at += end + 2;
        if end == 0 {
            return Some((body, Some(at)));
        }
    }
}
