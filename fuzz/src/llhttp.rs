//! Requests against llhttp, the parser of Node, in a process of its own (`peers/llhttp.mjs`): what ours accepts, it must end
//! at the same byte with the same head and the same body, or requests could be smuggled between the two. Ours may refuse
//! more; where llhttp refuses what ours accepts, [`IN_HEADS`] and [`IN_TRAILERS`] say why that is right.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use seawall_model::RequestHead;
use seawall_net::h1::{
    ChunkStep, ChunkedDecoder, Framing, HeadLimits, HeadScanner, RequestInfo, parse_request,
};
use serde_json::Value;

/// What llhttp refuses and ours accepts, by llhttp's code, and why that leads to no misunderstanding.
const IN_HEADS: &[(&str, &str)] = &[(
    "HPE_INVALID_METHOD",
    "it knows a list of methods, and any token is one (RFC 9110 §9.1): what it does not know it refuses",
)];
/// As [`IN_HEADS`], of messages whose head it accepted.
const IN_TRAILERS: &[(&str, &str)] = &[
    (
        "HPE_INVALID_TRANSFER_ENCODING",
        "a trailer that says so; ours takes it out, as it means nothing there (RFC 9110 §6.5.1)",
    ),
    ("HPE_INVALID_CONTENT_LENGTH", "the same"),
    ("HPE_UNEXPECTED_CONTENT_LENGTH", "the same"),
];

pub fn requests(data: &[u8]) {
    let limits = HeadLimits::default();
    let Some(head_end) = HeadScanner::new().find(data) else {
        return;
    };
    let mut head = RequestHead::default();
    let Ok(info) = parse_request(&data[..head_end], &limits, &mut head) else {
        return;
    };
    let (body, end) = match body(info, &data[head_end..]) {
        Some((body, end)) => (body, end.map(|end| head_end + end)),
        None => return,
    };
    let message = &data[..end.unwrap_or(data.len())];
    let said = ask(message);
    let error = said["error"].as_str();
    let theirs = &said["messages"][0];
    let stricter = if theirs.is_null() {
        IN_HEADS
    } else {
        IN_TRAILERS
    };
    if stricter.iter().any(|(code, _)| error == Some(code)) {
        return;
    }
    let shown = String::from_utf8_lossy(message);
    assert_eq!(
        said["complete"],
        u64::from(end.is_some()),
        "{error:?} {shown:?}"
    );
    if end.is_none() && error.is_some() {
        // What is not whole may be refused yet: our trailers are judged when the last of them is there.
        return;
    }
    assert_eq!(error, None, "refused by llhttp alone: {shown:?}");
    assert_same_head(&head, info, theirs);
    // What follows belongs to another protocol then.
    if theirs["upgrade"] == false {
        assert_eq!(bytes(&theirs["body"]), body, "{shown:?}");
    }
    if let Some(end) = end {
        assert_eq!(
            ask(&data[..end - 1])["complete"],
            0,
            "it ends here: {shown:?}"
        );
    }
}

/// The body, and where it ends behind the head, if it does; none if it is malformed.
fn body(info: RequestInfo, rest: &[u8]) -> Option<(Vec<u8>, Option<usize>)> {
    match info.framing {
        Framing::None => Some((Vec::new(), Some(0))),
        Framing::Length(length) => {
            let there = usize::try_from(length)
                .unwrap_or(usize::MAX)
                .min(rest.len());
            let whole = there as u64 == length;
            Some((rest[..there].to_vec(), whole.then_some(there)))
        }
        Framing::UntilClose => panic!("a request without end"),
        Framing::Chunked => {
            let (mut decoder, mut body, mut at) = (ChunkedDecoder::new(), Vec::new(), 0);
            while at < rest.len() {
                match decoder.step(&rest[at..]).ok()? {
                    ChunkStep::Data { skip, len } => {
                        body.extend_from_slice(&rest[at + skip..at + skip + len]);
                        at += skip + len;
                    }
                    ChunkStep::NeedMore { consumed } => at += consumed,
                    ChunkStep::End { consumed } => return Some((body, Some(at + consumed))),
                }
            }
            Some((body, None))
        }
    }
}

fn assert_same_head(head: &RequestHead, info: RequestInfo, theirs: &Value) {
    assert_eq!(bytes(&theirs["method"]), head.method_bytes());
    let url = bytes(&theirs["url"]);
    match url.first() {
        Some(b'/' | b'*') => assert_eq!(url, head.target()),
        _ => {
            let url = url.to_ascii_lowercase();
            let authority = head.authority().to_ascii_lowercase();
            let found = url.windows(authority.len()).any(|part| part == authority);
            assert!(found, "{theirs}");
        }
    }
    let minor = match head.version {
        seawall_model::HttpVersion::Http10 => 0,
        _ => 1,
    };
    assert_eq!(
        (&theirs["major"], &theirs["minor"]),
        (&1.into(), &minor.into())
    );
    let lines = theirs["lines"].as_array().expect("lines");
    let lines = lines.iter().map(|line| (bytes(&line[0]), bytes(&line[1])));
    let ours = head.fields.iter();
    let ours = ours.map(|field| (field.name.to_vec(), field.value.to_vec()));
    assert!(lines.eq(ours), "{theirs}\n{head:?}");
    if theirs["upgrade"] == false {
        assert_eq!(theirs["keepAlive"], info.persistent, "{theirs}");
    }
}

/// A text in Latin-1 as bytes.
fn bytes(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("a text");
    let byte = |c: char| u8::try_from(u32::from(c)).expect("a byte");
    text.chars().map(byte).collect()
}

struct Peer {
    _child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

fn ask(message: &[u8]) -> Value {
    static PEER: Mutex<Option<Peer>> = Mutex::new(None);
    let mut peer = PEER.lock().unwrap_or_else(PoisonError::into_inner);
    let peer = peer.get_or_insert_with(start);
    let length = u32::try_from(message.len()).expect("a length");
    let question = [&length.to_be_bytes()[..], message].concat();
    peer.to.write_all(&question).expect("node takes questions");
    let mut length = [0; 4];
    peer.from.read_exact(&mut length).expect("node answers");
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    peer.from.read_exact(&mut answer).expect("node answers");
    serde_json::from_slice(&answer).expect("an answer in JSON")
}

/// It ends when we do: its standard input is closed then.
fn start() -> Peer {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/peers/llhttp.mjs");
    let mut child = Command::new("node")
        .args([
            "--no-deprecation",
            "--max-http-header-size=1000000",
            program,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("node does not start ({error}): run scripts/setup test"));
    let (to, from) = (child.stdin.take(), child.stdout.take());
    Peer {
        _child: child,
        to: to.expect("a pipe"),
        from: from.expect("a pipe"),
    }
}
