//! What a cache reads of foreign hands: structured fields (RFC 9651), and the directives of `Cache-Control` (RFC 9111 §5.2).

use seawall_cache::directives::ResponseDirectives;
use seawall_cache::policy::{Answer, Plan, Time, Times, keep};
use seawall_cache::structured::{Bare, Dictionary, Item, Member, Parameters, dictionary, list};
use seawall_model::{Fields, Method, RequestHead, ResponseHead};

/// A field as a dictionary and as a list: what is read, written again by §4.1, is read as the same.
pub fn structured(data: &[u8]) {
    if let Ok(found) = dictionary(data) {
        let mut out = Vec::new();
        for (nth, (key, member)) in found.iter().enumerate() {
            separate(nth, &mut out);
            out.extend_from_slice(key.as_bytes());
            out.push(b'=');
            write_member(member, &mut out);
        }
        let again = dictionary(&out);
        assert_eq!(again.as_ref(), Ok(&found), "{}", out.escape_ascii());
        // The last one of a key counts (§4.2.2).
        for (key, _) in found.iter() {
            let last = found.iter().filter(|(name, _)| *name == key).last();
            assert_eq!(found.get(key), last.map(|(_, member)| member));
        }
        assert_eq!(found.is_empty(), found == Dictionary::default());
    }
    if let Ok(found) = list(data) {
        let mut out = Vec::new();
        for (nth, member) in found.iter().enumerate() {
            separate(nth, &mut out);
            write_member(member, &mut out);
        }
        assert_eq!(list(&out), Ok(found), "{}", out.escape_ascii());
    }
}

fn separate(nth: usize, out: &mut Vec<u8>) {
    if nth > 0 {
        out.extend_from_slice(b", ");
    }
}

fn write_member(member: &Member<'_>, out: &mut Vec<u8>) {
    match member {
        Member::Item(item) => write_item(item, out),
        Member::Inner(items, parameters) => {
            out.push(b'(');
            for (nth, item) in items.iter().enumerate() {
                if nth > 0 {
                    out.push(b' ');
                }
                write_item(item, out);
            }
            out.push(b')');
            write_parameters(parameters, out);
        }
    }
}

fn write_item(item: &Item<'_>, out: &mut Vec<u8>) {
    write_bare(&item.bare, out);
    write_parameters(&item.parameters, out);
}

fn write_parameters(parameters: &Parameters<'_>, out: &mut Vec<u8>) {
    for (key, value) in parameters.iter() {
        out.push(b';');
        out.extend_from_slice(key.as_bytes());
        out.push(b'=');
        write_bare(value, out);
    }
}

fn write_bare(bare: &Bare<'_>, out: &mut Vec<u8>) {
    let text = match bare {
        Bare::Integer(number) => number.to_string(),
        Bare::Decimal(thousandths) => {
            let sign = if *thousandths < 0 { "-" } else { "" };
            let (whole, part) = (thousandths.abs() / 1_000, thousandths.abs() % 1_000);
            format!("{sign}{whole}.{part:03}")
        }
        Bare::String(text) => {
            let mut quoted = Vec::new();
            seawall_cache::structured::write_string(text.as_bytes(), &mut quoted);
            out.extend_from_slice(&quoted);
            return;
        }
        Bare::Token(token) => (*token).to_owned(),
        Bare::Bytes(bytes) => format!(":{}:", base64(bytes)),
        Bare::Boolean(yes) => format!("?{}", u8::from(*yes)),
        Bare::Date(seconds) => format!("@{seconds}"),
        Bare::Display(text) => {
            let mut shown = String::from("%\"");
            for byte in text.bytes() {
                match byte {
                    b'%' | b'"' | ..=0x1f | 0x7f.. => shown.push_str(&format!("%{byte:02x}")),
                    plain => shown.push(char::from(plain)),
                }
            }
            shown + "\""
        }
    };
    out.extend_from_slice(text.as_bytes());
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for part in bytes.chunks(3) {
        let mut number = 0u32;
        for nth in 0..3 {
            number = number << 8 | u32::from(part.get(nth).copied().unwrap_or(0));
        }
        for nth in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * nth)) as usize & 63];
            out.push(if nth <= part.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    out
}

/// A value of `Cache-Control`: on one line or on several it says the same, and what forbids storing in plain words forbids it.
pub fn cache_control(data: &[u8]) {
    // What no field value can have (RFC 9110 §5.5) does not come so far.
    if data.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
        return;
    }
    let members = members(data);
    let whole = directives(&[data]);
    if let Some(members) = &members {
        let lines: Vec<&[u8]> = members.to_vec();
        assert_eq!(directives(&lines), whole, "cut at its commas");
    }
    let forbids = members.is_some_and(|members| {
        let plain = |member: &&[u8]| member.trim_ascii().eq_ignore_ascii_case(b"no-store");
        members.iter().any(plain)
    });
    assert!(!forbids || whole.no_store, "no-store is heard");
    let mut response = ResponseHead {
        status: 200,
        ..ResponseHead::default()
    };
    response.fields.push(b"cache-control", data);
    let mut request = RequestHead {
        method: Method::Get,
        ..RequestHead::default()
    };
    request.target_span = request.fields.store(b"/");
    let kept = keep(&Answer {
        request: &request,
        response: &response,
        plan: &Plan::STANDARD,
        times: Times {
            requested: Time(1_790_000_000_000),
            received: Time(1_790_000_000_000),
        },
    });
    assert!(
        !(forbids && !whole.must_understand && kept.is_ok()),
        "it is not stored"
    );
}

fn directives(lines: &[&[u8]]) -> ResponseDirectives {
    let mut fields = Fields::default();
    for line in lines {
        fields.push(b"cache-control", line);
    }
    ResponseDirectives::of(&fields)
}

/// The members between commas that are in no quotation; none where a quotation does not end.
fn members(data: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut all, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in data.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                all.push(&data[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    all.push(&data[from..]);
    (!quoted).then_some(all)
}
