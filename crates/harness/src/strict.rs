//! The judge: splits recorded bytes into requests by the letter of RFC 9112, and refuses everything beside it.
//!
//! It is stricter than a server should be: it reads what *the edge wrote*, and what an edge writes is its own
//! serialisation. So there is no obs-fold, no chunk extension, no absolute-form, no lone LF, no hop-by-hop field; framing
//! is said once. Whatever it refuses is a verdict against the edge, with the offset and the reason.
//! Parsing is linear and keeps nothing but the requests found.

use std::fmt;

/// A header or trailer line: name as it stood, value without the white space around it.
pub type Line = (String, Vec<u8>);

/// One request as it stood on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrictRequest {
    pub method: String,
    pub target: String,
    pub fields: Vec<Line>,
    pub body: Vec<u8>,
    pub trailers: Vec<Line>,
    /// Bytes of the wire, head and body and trailers.
    pub length: usize,
}

impl StrictRequest {
    /// Values of a field, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.fields
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_slice())
    }

    /// The request as text: `METHOD target`, one `name: value` a line (names in lower case), an empty line, the body.
    pub fn text(&self) -> String {
        let mut text = format!("{} {}\n", self.method, self.target);
        for (name, value) in &self.fields {
            text.push_str(&format!(
                "{}: {}\n",
                name.to_ascii_lowercase(),
                String::from_utf8_lossy(value)
            ));
        }
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(
            &self.body[..self.body.len().min(65_536)],
        ));
        for (name, value) in &self.trailers {
            text.push_str(&format!(
                "\ntrailer {}: {}",
                name.to_ascii_lowercase(),
                String::from_utf8_lossy(value)
            ));
        }
        text
    }
}

/// What must not have been written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// From the start of the bytes given.
    pub offset: usize,
    pub reason: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.reason)
    }
}

/// Requests found, how many bytes they take, and how the rest stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split {
    pub requests: Vec<StrictRequest>,
    /// Bytes of whole requests; what follows is the beginning of another or the violation.
    pub consumed: usize,
    pub violation: Option<Violation>,
}

/// Splits `bytes` into requests. What is left after [`Split::consumed`] is a request that has not ended, unless a
/// violation says otherwise.
pub fn split(bytes: &[u8]) -> Split {
    let mut found = Split::default();
    while found.consumed < bytes.len() {
        match request(&bytes[found.consumed..]) {
            Ok(Some(request)) => {
                found.consumed += request.length;
                found.requests.push(request);
            }
            Ok(None) => break,
            Err(mut violation) => {
                violation.offset += found.consumed;
                found.violation = Some(violation);
                break;
            }
        }
    }
    found
}

/// The first request in `bytes`; `None` while it is incomplete.
pub fn request(bytes: &[u8]) -> Result<Option<StrictRequest>, Violation> {
    let Some((head, head_length)) = head(bytes)? else {
        return Ok(None);
    };
    let framing = head.framing()?;
    let mut cursor = Cursor {
        bytes,
        at: head_length,
    };
    let (body, trailers) = match framing {
        Framing::Length(length) => match cursor.take(length) {
            Some(body) => (body.to_vec(), Vec::new()),
            None => return Ok(None),
        },
        Framing::Chunked => match cursor.chunked()? {
            Some(whole) => whole,
            None => return Ok(None),
        },
    };
    let Head {
        method,
        target,
        fields,
        ..
    } = head;
    Ok(Some(StrictRequest {
        method,
        target,
        fields,
        body,
        trailers,
        length: cursor.at,
    }))
}

/// How the body of a request is delimited. None at all is `Length(0)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length(usize),
    Chunked,
}

/// A request's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub method: String,
    pub target: String,
    pub fields: Vec<Line>,
    /// Offset of the first field line, for violations that concern fields.
    fields_at: usize,
}

/// Reads the head; `None` while it is incomplete. The second value is its length with the empty line.
pub fn head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Violation> {
    let mut cursor = Cursor { bytes, at: 0 };
    let Some(line) = cursor.line()? else {
        return Ok(None);
    };
    let (method, target) = request_line(line)?;
    let fields_at = cursor.at;
    let Some(fields) = cursor.fields()? else {
        return Ok(None);
    };
    let head = Head {
        method,
        target,
        fields,
        fields_at,
    };
    head.check()?;
    Ok(Some((head, cursor.at)))
}

fn request_line(line: &[u8]) -> Result<(String, String), Violation> {
    let refuse = |reason: &str| Violation {
        offset: 0,
        reason: format!("{reason}: {:?}", String::from_utf8_lossy(line)),
    };
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(refuse(
            "request line is not three parts with single spaces (RFC 9112 §3)",
        ));
    };
    if !is_token(method) {
        return Err(refuse("method is not a token (RFC 9110 §9.1)"));
    }
    if version != b"HTTP/1.1" {
        return Err(refuse("version is not HTTP/1.1 (RFC 9112 §2.3)"));
    }
    if !target
        .iter()
        .all(|byte| (0x21..=0x7e).contains(byte) && *byte != b'#')
    {
        return Err(refuse(
            "request target has a byte that no URI has (RFC 9112 §3.2)",
        ));
    }
    let asterisk = method == b"OPTIONS" && target == b"*";
    if !asterisk && !target.starts_with(b"/") {
        return Err(refuse(
            "request target is not in origin-form (RFC 9112 §3.2.1)",
        ));
    }
    if method == b"CONNECT" {
        return Err(refuse("CONNECT was forwarded (RFC 9110 §9.3.6)"));
    }
    Ok((lossy(method), lossy(target)))
}

impl Head {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.fields
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_slice())
    }

    fn refuse(&self, reason: impl Into<String>) -> Violation {
        Violation {
            offset: self.fields_at,
            reason: reason.into(),
        }
    }

    fn check(&self) -> Result<(), Violation> {
        let hosts: Vec<&[u8]> = self.values("host").collect();
        match hosts.as_slice() {
            [host] if is_host(host) => {}
            [host] => {
                return Err(self.refuse(format!(
                    "Host is no host: {:?} (RFC 9112 §3.2)",
                    lossy(host)
                )));
            }
            _ => return Err(self.refuse(format!("{} Host fields (RFC 9112 §3.2)", hosts.len()))),
        }
        for name in ["proxy-connection", "keep-alive"] {
            if self.values(name).next().is_some() {
                return Err(self.refuse(format!(
                    "hop-by-hop field {name} was forwarded (RFC 9110 §7.6.1)"
                )));
            }
        }
        let upgrades = self.values("upgrade").next().is_some();
        for value in self.values("connection") {
            for option in value.split(|byte| *byte == b',') {
                let option = lossy(option.trim_ascii()).to_ascii_lowercase();
                let known = matches!(option.as_str(), "close" | "keep-alive" | "te")
                    || (option == "upgrade" && upgrades);
                if !known {
                    return Err(self.refuse(format!(
                        "Connection option {option:?} was forwarded (RFC 9110 §7.6.1)"
                    )));
                }
            }
        }
        for value in self.values("te") {
            if !value.eq_ignore_ascii_case(b"trailers") {
                return Err(self.refuse(format!(
                    "TE is {:?}, not trailers (RFC 9110 §10.1.4)",
                    lossy(value)
                )));
            }
        }
        Ok(())
    }

    /// How the body is delimited (RFC 9112 §6.3), said exactly once.
    pub fn framing(&self) -> Result<Framing, Violation> {
        let codings: Vec<&[u8]> = self.values("transfer-encoding").collect();
        let lengths: Vec<&[u8]> = self.values("content-length").collect();
        match (codings.as_slice(), lengths.as_slice()) {
            ([], []) => Ok(Framing::Length(0)),
            ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            ([], [length]) => self.length(length).map(Framing::Length),
            ([_], []) => Err(self.refuse(format!(
                "Transfer-Encoding is {:?} (RFC 9112 §6.1)",
                lossy(codings[0])
            ))),
            ([], _) => Err(self.refuse("more than one Content-Length (RFC 9112 §6.3)")),
            (_, []) => Err(self.refuse("more than one Transfer-Encoding (RFC 9112 §6.1)")),
            _ => Err(self.refuse("Transfer-Encoding and Content-Length together (RFC 9112 §6.1)")),
        }
    }

    fn length(&self, value: &[u8]) -> Result<usize, Violation> {
        let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
        let parsed = if digits {
            lossy(value).parse().ok()
        } else {
            None
        };
        parsed.ok_or_else(|| {
            self.refuse(format!(
                "Content-Length is {:?} (RFC 9110 §8.6)",
                lossy(value)
            ))
        })
    }
}

/// A body with its trailers.
type Payload = (Vec<u8>, Vec<Line>);

/// A place in the bytes.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn refuse(&self, reason: impl Into<String>) -> Violation {
        Violation {
            offset: self.at,
            reason: reason.into(),
        }
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.rest().get(..length)?;
        self.at += length;
        Some(taken)
    }

    /// A line without its CRLF. A CR or LF that stands alone is a violation (RFC 9112 §2.2).
    fn line(&mut self) -> Result<Option<&'a [u8]>, Violation> {
        let rest = self.rest();
        let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
            return Ok(None);
        };
        if rest[end] == b'\n' {
            return Err(Violation {
                offset: self.at + end,
                reason: "LF without CR (RFC 9112 §2.2)".into(),
            });
        }
        match rest.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => {
                self.at += end + 2;
                Ok(Some(&rest[..end]))
            }
            Some(_) => Err(Violation {
                offset: self.at + end,
                reason: "CR without LF (RFC 9112 §2.2)".into(),
            }),
        }
    }

    /// Field lines up to and with the empty line.
    fn fields(&mut self) -> Result<Option<Vec<Line>>, Violation> {
        let mut fields = Vec::new();
        loop {
            let start = self.at;
            let Some(line) = self.line()? else {
                return Ok(None);
            };
            if line.is_empty() {
                return Ok(Some(fields));
            }
            fields.push(field(line).map_err(|reason| Violation {
                offset: start,
                reason: format!("{reason}: {:?}", String::from_utf8_lossy(line)),
            })?);
        }
    }

    /// A chunked body with its trailers (RFC 9112 §7.1).
    fn chunked(&mut self) -> Result<Option<Payload>, Violation> {
        let mut body = Vec::new();
        loop {
            let start = self.at;
            let Some(line) = self.line()? else {
                return Ok(None);
            };
            let digits =
                !line.is_empty() && line.len() <= 15 && line.iter().all(u8::is_ascii_hexdigit);
            let size = if digits {
                usize::from_str_radix(&lossy(line), 16).ok()
            } else {
                None
            };
            let Some(size) = size else {
                let reason = format!("chunk size line {:?} (RFC 9112 §7.1)", lossy(line));
                return Err(Violation {
                    offset: start,
                    reason,
                });
            };
            if size == 0 {
                break;
            }
            let Some(data) = self.take(size) else {
                return Ok(None);
            };
            body.extend_from_slice(data);
            match self.rest() {
                [b'\r', b'\n', ..] => self.at += 2,
                [] | [b'\r'] => return Ok(None),
                _ => {
                    return Err(
                        self.refuse("chunk data does not end where its size says (RFC 9112 §7.1)")
                    );
                }
            }
        }
        let start = self.at;
        let Some(trailers) = self.fields()? else {
            return Ok(None);
        };
        let forbidden = [
            "transfer-encoding",
            "content-length",
            "host",
            "trailer",
            "connection",
            "authorization",
            "te",
        ];
        match trailers
            .iter()
            .find(|(name, _)| forbidden.iter().any(|f| name.eq_ignore_ascii_case(f)))
        {
            Some((name, _)) => Err(Violation {
                offset: start,
                reason: format!("trailer {name} (RFC 9110 §6.5.1)"),
            }),
            None => Ok(Some((body, trailers))),
        }
    }
}

fn field(line: &[u8]) -> Result<Line, &'static str> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err("folded or indented field line (RFC 9112 §5.2)");
    }
    let colon = line
        .iter()
        .position(|byte| *byte == b':')
        .ok_or("field line without a colon (RFC 9112 §5)")?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) {
        return Err("field name is not a token (RFC 9112 §5.1)");
    }
    if !value
        .iter()
        .all(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..))
    {
        return Err("control byte in a field value (RFC 9110 §5.5)");
    }
    Ok((lossy(name), value.trim_ascii().to_vec()))
}

/// RFC 9110 §5.6.2.
pub fn is_token(bytes: &[u8]) -> bool {
    let tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(tchar)
}

/// `uri-host [ ":" port ]` without userinfo (RFC 9110 §7.2); an empty host is none.
pub fn is_host(value: &[u8]) -> bool {
    let (host, port) = if value.starts_with(b"[") {
        let Some(end) = value.iter().position(|byte| *byte == b']') else {
            return false;
        };
        let inside = &value[1..end];
        if inside.len() < 2
            || !inside
                .iter()
                .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
        {
            return false;
        }
        (&value[..=end], &value[end + 1..])
    } else {
        let end = value
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(value.len());
        let named = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(b);
        if !value[..end].iter().all(named) {
            return false;
        }
        value.split_at(end)
    };
    let port_fits =
        port.is_empty() || (port[0] == b':' && port[1..].iter().all(u8::is_ascii_digit));
    !host.is_empty() && port_fits
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
