//! Heads of HTTP/1.1 against `httparse`: what ours accepts, it accepts too, with the same parts; and where the message ends
//! is read a second time from the lines that `httparse` found (RFC 9112 §6.3). Ours may refuse more.

use seawall_model::{Fields, HttpVersion, Method, RequestHead, ResponseHead};
use seawall_net::h1::{
    Framing, HeadLimits, HeadScanner, MAX_FIELDS, Reject, RequestInfo, begin_request,
    begin_response, parse_request, parse_response, too_long, write_field, write_request_line,
};

/// A reader of requests' heads.
pub type RequestReader = fn(&[u8], &HeadLimits, &mut RequestHead) -> Result<RequestInfo, Reject>;

/// A request's head, and whatever follows it.
pub fn requests(data: &[u8]) {
    let limits = HeadLimits::default();
    let head_bytes = head_of(data);
    let (mut head, mut one_pass) = (RequestHead::default(), RequestHead::default());
    let parsed = parse_request(head_bytes, &limits, &mut head);
    let begun = begin_request(data, &limits, &mut one_pass);
    assert_eq!(
        begun,
        parsed.ok().map(|info| (info, head_bytes.len())),
        "read in one pass and in two"
    );
    if begun.is_some() {
        assert_eq!(format!("{one_pass:?}"), format!("{head:?}"));
    }
    requests_by(parse_request, data);
}

/// As [`requests`], of any reader.
pub fn requests_by(reader: RequestReader, data: &[u8]) {
    let limits = HeadLimits::default();
    let head_bytes = head_of(data);
    let mut head = RequestHead::default();
    let info = match reader(head_bytes, &limits, &mut head) {
        Ok(info) => info,
        Err(reject) => {
            assert!((400..600).contains(&reject.status), "{reject}");
            assert_ne!(reject.reason, "malformed_head", "a refusal says why");
            return;
        }
    };
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut other = httparse::Request::new(&mut slots);
    let complete = Ok(httparse::Status::Complete(head_bytes.len()));
    assert_eq!(other.parse(head_bytes), complete, "accepted by ours alone");
    assert_eq!(other.method.map(str::as_bytes), Some(head.method_bytes()));
    assert_eq!(
        other.version,
        Some(u8::from(head.version == HttpVersion::Http11))
    );
    let target = other.path.unwrap().as_bytes();
    match target {
        [b'/', ..] | b"*" => assert_eq!(target, head.target()),
        _ if head.method == Method::Connect => assert_eq!(target, head.authority()),
        _ => assert!(target.starts_with(head.scheme()) && !head.scheme().is_empty()),
    }
    assert_same_lines(other.headers, &head.fields);
    let framing = framing_by(other.headers).unwrap_or(Framing::None);
    assert_eq!(info.framing, framing, "where the message ends");
    let http10 = head.version == HttpVersion::Http10;
    assert_eq!(info.persistent, persistent_by(other.headers, http10));
    let hosts = named(other.headers, "host").count();
    assert!(hosts == 1 || (hosts == 0 && http10), "{hosts} hosts");
    if !http10 && head.method != Method::Connect {
        assert_reads_as_written(reader, &head, info);
    }
}

/// What is sent on is written anew: it must mean to the next reader what it meant to us.
fn assert_reads_as_written(reader: RequestReader, head: &RequestHead, info: RequestInfo) {
    let mut out = Vec::new();
    write_request_line(&mut out, head.method_bytes(), head.target());
    for field in head.fields.iter() {
        write_field(&mut out, field.name, field.value);
    }
    out.extend_from_slice(b"\r\n");
    // The colon's space may make it longer than a head may be.
    let limits = HeadLimits {
        head_bytes: out.len(),
        ..HeadLimits::default()
    };
    let mut again = RequestHead::default();
    assert_eq!(HeadScanner::new().find(&out), Some(out.len()));
    assert_eq!(
        reader(&out, &limits, &mut again),
        Ok(info),
        "{:?}",
        String::from_utf8_lossy(&out)
    );
    assert_eq!(again.target(), head.target());
    assert!(lines(&again.fields).eq(lines(&head.fields)));
}

/// A response's head to each kind of request whose method decides about the body.
pub fn responses(data: &[u8]) {
    for method in [Method::Get, Method::Head, Method::Connect] {
        response_to(method, data);
    }
}

fn response_to(method: Method, data: &[u8]) {
    let limits = HeadLimits::default();
    let head_bytes = head_of(data);
    let (mut head, mut one_pass) = (ResponseHead::default(), ResponseHead::default());
    let parsed = parse_response(head_bytes, &limits, method, &mut head);
    let begun = begin_response(data, &limits, method, &mut one_pass);
    assert_eq!(
        begun,
        parsed.ok().map(|info| (info, head_bytes.len())),
        "read in one pass and in two"
    );
    let info = match parsed {
        Ok(info) => info,
        Err(bad) => return assert_ne!(bad.reason, "malformed_head", "a refusal says why"),
    };
    assert_eq!(format!("{one_pass:?}"), format!("{head:?}"));
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut other = httparse::Response::new(&mut slots);
    let complete = Ok(httparse::Status::Complete(head_bytes.len()));
    assert_eq!(other.parse(head_bytes), complete, "accepted by ours alone");
    assert_eq!(other.code, Some(head.status));
    // Of these, lengths that mean nothing were taken out.
    let bodiless = matches!(head.status, 100..=199 | 204);
    if !bodiless {
        assert_same_lines(other.headers, &head.fields);
    }
    match info.framing {
        Framing::None => {}
        _ if bodiless || head.status == 304 || method == Method::Head => {
            panic!("{:?} of what has no body", info.framing)
        }
        framing => {
            let declared = framing_by(other.headers).unwrap_or(Framing::UntilClose);
            assert_eq!(framing, declared, "where the message ends");
        }
    }
    if info.framing == Framing::UntilClose {
        assert!(!info.persistent, "nothing can follow");
    }
}

/// The bytes up to the empty line, and the same however they arrive; all of them if it has not come.
fn head_of(data: &[u8]) -> &[u8] {
    let whole = HeadScanner::new().find(data);
    let (mut piece, mut scanner) = (super::pieces(data), HeadScanner::new());
    let mut end = 0;
    let found = loop {
        end = data.len().min(end + piece());
        let found = scanner.find(&data[..end]);
        if found.is_some() || end == data.len() {
            break found;
        }
    };
    assert_eq!(found, whole, "a head in pieces and at once");
    if whole.is_none() {
        // What would be answered if it never ended.
        assert!(too_long(data, &HeadLimits::default()).status >= 400);
    }
    &data[..whole.unwrap_or(data.len())]
}

fn lines(fields: &Fields) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields.iter().map(|field| (field.name, field.value))
}

fn assert_same_lines(other: &[httparse::Header<'_>], ours: &Fields) {
    let other = other.iter().map(|line| (line.name.as_bytes(), line.value));
    assert!(
        lines(ours).eq(other.clone()),
        "{:?} and {:?}",
        lines(ours).collect::<Vec<_>>(),
        other.collect::<Vec<_>>()
    );
}

fn named<'a>(
    lines: &'a [httparse::Header<'_>],
    name: &'static str,
) -> impl Iterator<Item = &'a str> {
    lines
        .iter()
        .filter(move |line| line.name.eq_ignore_ascii_case(name))
        .map(|line| std::str::from_utf8(line.value).unwrap_or("\u{fffd}"))
}

/// The framing that lines declare; panics where no reader should have accepted them.
fn framing_by(lines: &[httparse::Header<'_>]) -> Option<Framing> {
    let lengths: Vec<&str> = named(lines, "content-length").collect();
    let codings: Vec<&str> = named(lines, "transfer-encoding").collect();
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => None,
        ([length], []) => {
            let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
            assert!(
                digits,
                "a length that is no number was accepted: {length:?}"
            );
            let length = length.trim_start_matches('0');
            let number: u128 = match length {
                "" => 0,
                _ => length.parse().unwrap(),
            };
            Some(Framing::Length(number.try_into().unwrap()))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Some(Framing::Chunked),
        _ => panic!("accepted: lengths {lengths:?}, codings {codings:?}"),
    }
}

/// RFC 9112 §9.3.
fn persistent_by(lines: &[httparse::Header<'_>], http10: bool) -> bool {
    let says = |word: &str| {
        named(lines, "connection")
            .flat_map(|value| value.split(','))
            .any(|option| option.trim_matches([' ', '\t']).eq_ignore_ascii_case(word))
    };
    !says("close") && (!http10 || says("keep-alive"))
}
