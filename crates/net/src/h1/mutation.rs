//! Seeded random damage to good messages: nothing panics, a refusal always has a name, and whatever is accepted is clean
//! by a second, slower reading.

use seawall_model::{Fields, Method, RequestHead, ResponseHead};

use super::lines::{begin_lines, begin_lines_by_halves, diagnose_lines, is_token};
use super::*;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

const DAMAGE: &[&[u8]] = &[
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b"\x0b",
    b"\x7f",
    b"\x80",
    b"\xff",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"#",
    b"@",
    b"0",
    b"9",
    b"f",
    b"chunked",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: b\r\n",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"\"",
    b"=",
    b"\\",
    b"x",
];

fn damaged(random: &mut Random, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let cut = random.below(3).min(bytes.len() - at);
        let new = match random.below(4) {
            0 => vec![],
            1 => vec![random.next() as u8],
            _ => DAMAGE[random.below(DAMAGE.len())].to_vec(),
        };
        bytes.splice(at..at + cut, new);
    }
    bytes
}

/// A parser by others accepts the same head and finds the same parts in it.
fn assert_same_request(head_bytes: &[u8], head: &RequestHead) {
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut other = httparse::Request::new(&mut slots);
    assert_eq!(
        other.parse(head_bytes),
        Ok(httparse::Status::Complete(head_bytes.len()))
    );
    assert_eq!(other.method.map(str::as_bytes), Some(head.method_bytes()));
    assert!(other.path.is_some_and(
        |path| path.as_bytes().ends_with(head.target()) || head.target().starts_with(b"/")
    ));
    assert_same_lines(other.headers, &head.fields);
}

fn assert_same_lines(other: &[httparse::Header<'_>], fields: &Fields) {
    let ours: Vec<_> = fields
        .iter()
        .map(|field| (field.name, field.value))
        .collect();
    let others: Vec<_> = other
        .iter()
        .map(|line| (line.name.as_bytes(), line.value))
        .collect();
    assert_eq!(ours, others);
}

fn assert_clean(head_bytes: &[u8], fields: &Fields) {
    let first_end = head_bytes
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .unwrap();
    assert_eq!(diagnose_lines(&head_bytes[first_end + 2..]), None);
    assert!(fields.iter().all(|field| is_token(field.name)));
    assert!(fields.iter().all(|field| {
        !field
            .value
            .iter()
            .any(|byte| matches!(byte, 0..=8 | 10..=31 | 127))
    }));
    let lines = head_bytes.split(|byte| *byte == b'\n').count();
    assert_eq!(
        fields.len(),
        lines - 3,
        "every line is a field, and nothing else is"
    );
}

#[test]
fn damaged_requests_are_clean_or_refused() {
    const GOOD: &[&[u8]] = &[
        b"GET /a?b HTTP/1.1\r\nHost: a.test\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n",
        b"POST http://a.test/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 12\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ];
    let mut random = Random(1);
    let mut head = RequestHead::default();
    let mut accepted = 0;
    for round in 0..60_000 {
        let bytes = damaged(&mut random, GOOD[round % GOOD.len()]);
        let length = HeadScanner::new().find(&bytes).unwrap_or(bytes.len());
        let head_bytes = &bytes[..length];
        let shown = String::from_utf8_lossy(head_bytes);
        let mut one_pass = RequestHead::default();
        let begun = begin_request(&bytes, &HeadLimits::default(), &mut one_pass);
        let parsed = parse_request(head_bytes, &HeadLimits::default(), &mut head);
        assert_eq!(begun, parsed.ok().map(|info| (info, length)), "{shown:?}");
        if begun.is_some() {
            assert_eq!(format!("{one_pass:?}"), format!("{head:?}"));
        }
        match parsed {
            Ok(info) => {
                accepted += 1;
                assert_same_request(head_bytes, &head);
                let head_bytes = head_bytes.strip_prefix(b"\r\n").unwrap_or(head_bytes);
                assert_clean(head_bytes, &head.fields);
                assert!(is_token(head.method_bytes()));
                assert!(
                    head.target()
                        .iter()
                        .all(|byte| matches!(byte, 0x21..=0x7e) && *byte != b'#'),
                    "{shown:?}"
                );
                let lower = head_bytes.to_ascii_lowercase();
                let says = |name: &[u8]| {
                    lower
                        .windows(name.len())
                        .filter(|window| *window == name)
                        .count()
                };
                let (lengths, codings) =
                    (says(b"\ncontent-length:"), says(b"\ntransfer-encoding:"));
                match info.framing {
                    Framing::None => assert_eq!((lengths, codings), (0, 0), "{shown:?}"),
                    Framing::Length(_) => assert_eq!((lengths, codings), (1, 0), "{shown:?}"),
                    Framing::Chunked => assert_eq!((lengths, codings), (0, 1), "{shown:?}"),
                    Framing::UntilClose => panic!("a request has an end: {shown:?}"),
                }
            }
            Err(reject) => assert_ne!(reject.reason, "malformed_head", "{shown:?}"),
        }
    }
    assert!((5_000..55_000).contains(&accepted), "{accepted}");
}

#[test]
fn damaged_responses_are_clean_or_refused() {
    const GOOD: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\n",
        b"HTTP/1.1 404\r\nTransfer-Encoding: chunked\r\nX: \xe9\r\n\r\n",
        b"HTTP/1.0 304 Not Modified\r\nEtag: \"a\"\r\n\r\n",
    ];
    let mut random = Random(2);
    let mut head = ResponseHead::default();
    let mut accepted = 0;
    for round in 0..60_000 {
        let bytes = damaged(&mut random, GOOD[round % GOOD.len()]);
        let length = HeadScanner::new().find(&bytes).unwrap_or(bytes.len());
        let head_bytes = &bytes[..length];
        let mut one_pass = ResponseHead::default();
        let begun = begin_response(&bytes, &HeadLimits::default(), Method::Get, &mut one_pass);
        let parsed = parse_response(head_bytes, &HeadLimits::default(), Method::Get, &mut head);
        assert_eq!(begun, parsed.ok().map(|info| (info, length)));
        if begun.is_some() {
            assert_eq!(format!("{one_pass:?}"), format!("{head:?}"));
        }
        match parsed {
            Ok(_) => {
                accepted += 1;
                if !matches!(head.status, 100..=199 | 204) {
                    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
                    let mut other = httparse::Response::new(&mut slots);
                    assert_eq!(
                        other.parse(head_bytes),
                        Ok(httparse::Status::Complete(head_bytes.len()))
                    );
                    assert_eq!(other.code, Some(head.status));
                    assert_same_lines(other.headers, &head.fields);
                    assert_clean(head_bytes, &head.fields);
                }
            }
            Err(bad) => assert_ne!(
                bad.reason,
                "malformed_head",
                "{:?}",
                String::from_utf8_lossy(head_bytes)
            ),
        }
    }
    assert!((5_000..55_000).contains(&accepted), "{accepted}");
}

/// Lines of every length around the reader's windows, and those that a browser sends.
fn sections(random: &mut Random) -> Vec<u8> {
    let mut bytes =
        b"Host: a.test\r\nContent-Length: 12\r\nSec-WebSocket-Version: 13\r\nX_Shadow: 1\r\n"
            .to_vec();
    for _ in 0..random.below(5) {
        let (name, value) = (1 + random.below(70), random.below(140));
        bytes.extend((0..name).map(|at| b"Seawall-Cookie"[at % 14]));
        bytes.extend_from_slice(b": ");
        bytes.extend((0..value).map(|_| 0x20 + (random.next() % 0x5f) as u8));
        bytes.extend_from_slice(b"x\r\n");
    }
    bytes.extend_from_slice(b"Accept-Language: de\r\n\r\nwhat follows");
    bytes
}

/// The reader has two ways of looking at a window, of which one machine takes only one.
#[test]
fn both_ways_of_reading_lines_give_the_same() {
    let mut random = Random(5);
    let mut accepted = 0;
    for round in 0..60_000 {
        let good = sections(&mut random);
        let bytes = if round % 4 == 0 {
            good
        } else {
            damaged(&mut random, &good)
        };
        // Cut, too: what is in sight at the end of the bytes is read in another way.
        let end = bytes.len() - random.below(40).min(bytes.len());
        let bytes = &bytes[..end];
        let most = 1 + random.below(12);
        let read = |reader: fn(&[u8], usize, usize, &mut Fields) -> _| {
            let mut fields = Fields::default();
            fields.set_raw(bytes);
            let end: Result<usize, _> = reader(bytes, 0, most, &mut fields);
            (end, format!("{fields:?}"))
        };
        let usual = read(begin_lines);
        let halves = read(begin_lines_by_halves);
        assert_eq!(usual, halves, "{:?}", String::from_utf8_lossy(bytes));
        accepted += usize::from(usual.0.is_ok());
    }
    assert!((5_000..55_000).contains(&accepted), "{accepted}");
}

#[test]
fn damaged_chunks_mean_the_same_however_they_are_cut() {
    const GOOD: &[u8] =
        b"5\r\nhello\r\n6;a=\"b\"\r\n world\r\n0\r\nA: b\r\nC: d\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    let mut random = Random(3);
    for _ in 0..20_000 {
        let bytes = damaged(&mut random, GOOD);
        let whole = decode(&bytes, || usize::MAX);
        let piece = 1 + random.below(7);
        assert_eq!(
            decode(&bytes, || piece),
            whole,
            "{:?}",
            String::from_utf8_lossy(&bytes)
        );
        assert_eq!(
            decode(&bytes, || 1 + random.below(20)),
            whole,
            "{:?}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

/// The body, where the coding ended, and the reason if it was refused.
fn decode(
    input: &[u8],
    mut piece: impl FnMut() -> usize,
) -> (Vec<u8>, Option<usize>, Option<&'static str>) {
    let mut decoder = ChunkedDecoder::new();
    let (mut body, mut at) = (Vec::new(), 0);
    while at < input.len() {
        let end = at.saturating_add(piece()).min(input.len());
        match decoder.step(&input[at..end]) {
            Ok(ChunkStep::Data { skip, len }) => {
                body.extend_from_slice(&input[at + skip..at + skip + len]);
                at += skip + len;
            }
            Ok(ChunkStep::NeedMore { consumed }) => at += consumed,
            Ok(ChunkStep::End { consumed }) => return (body, Some(at + consumed), None),
            Err(reject) => return (body, None, Some(reject.reason)),
        }
    }
    (body, None, None)
}

#[test]
fn chunks_that_we_write_read_as_they_were() {
    let mut random = Random(4);
    for _ in 0..300 {
        let pieces: Vec<Vec<u8>> = (0..random.below(6))
            .map(|_| {
                (0..1 + random.below(400))
                    .map(|_| random.next() as u8)
                    .collect()
            })
            .collect();
        let mut out = Vec::new();
        for piece in &pieces {
            write_chunk_size(&mut out, piece.len());
            out.extend_from_slice(piece);
            out.extend_from_slice(CHUNK_END);
        }
        let mut trailers = Fields::default();
        trailers.push(b"x-sum", b"1");
        if random.below(2) == 0 {
            out.extend_from_slice(LAST_CHUNK)
        } else {
            write_trailers(&mut out, &trailers)
        }
        let (body, end, reason) = decode(&out, || 1 + random.below(100));
        assert_eq!(
            (body, end, reason),
            (pieces.concat(), Some(out.len()), None)
        );
    }
}
