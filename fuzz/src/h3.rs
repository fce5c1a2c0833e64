//! HTTP/3 streams of a client, as QUIC would bring them: the same however they are cut, and no request among them that means
//! something else once it is written as HTTP/1.1.

use bytes::Bytes;
use seawall_model::Fields;
use seawall_net::h3::alone::{Outcome, Request, others, request};

/// The largest field section.
const MOST: usize = 32 * 1024;

/// One request's stream.
pub fn requests(data: &[u8]) {
    let (read, outcome) = request(cut(data, || usize::MAX), MOST);
    let (again, as_well) = request(cut(data, super::pieces(data)), MOST);
    assert_eq!(as_well, outcome, "in pieces and at once");
    assert_eq!(format!("{again:?}"), format!("{read:?}"));
    let Request {
        head,
        body,
        trailers,
    } = read;
    assert!(body.len() <= data.len());
    super::h2::assert_sound_lines(&trailers);
    let Some(head) = head else {
        assert!(body.is_empty() && trailers.is_empty());
        return assert_ne!(outcome, Outcome::Whole);
    };
    super::h2::assert_sound(&head);
    assert!(size(&head.fields) <= MOST);
    if let Some(length) = head.fields.named(b"content-length") {
        let length = std::str::from_utf8(length).expect("digits");
        assert!(length.bytes().all(|byte| byte.is_ascii_digit()));
        let length: usize = length.parse().unwrap_or(usize::MAX);
        assert!(body.len() <= length);
        assert!(outcome != Outcome::Whole || body.len() == length);
    }
}

/// As RFC 9114 §4.2.2 counts; names that were joined count once.
fn size(fields: &Fields) -> usize {
    fields
        .iter()
        .map(|field| field.name.len() + field.value.len())
        .sum()
}

fn cut(data: &[u8], mut piece: impl FnMut() -> usize) -> impl Iterator<Item = Bytes> {
    let mut rest = Bytes::copy_from_slice(data);
    std::iter::from_fn(move || {
        let length = rest.len().min(piece());
        (length > 0).then(|| rest.split_to(length))
    })
}

/// The streams beside requests. The bytes are streams: one byte of length, which 255 lets run to the end, then the stream.
pub fn streams(data: &[u8]) {
    let mut all = Vec::new();
    let mut rest = data;
    while let Some((length, more)) = rest.split_first() {
        let length = match *length {
            255 => more.len(),
            length => more.len().min(length.into()),
        };
        let (stream, later) = more.split_at(length);
        all.push(stream);
        rest = later;
    }
    let whole = others(all.iter().map(|stream| stream.chunks(usize::MAX)));
    for size in [1, 3] {
        let cut = others(all.iter().map(|stream| stream.chunks(size)));
        assert_eq!(cut, whole, "in pieces of {size} and at once");
    }
    if let Err(error) = whole {
        assert!((0x100..0x300).contains(&error.code), "{error}");
    }
}
