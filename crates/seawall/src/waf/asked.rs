//! Requests of a file: a HAR archive's, or the one that it is; as the edge would have them.
//!
//! Not here: what the rules say of them.

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A request of the file.
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) protocol: String,
    pub(super) headers: Vec<(String, String)>,
    /// Or why the file has not got it.
    pub(super) body: Result<Vec<u8>, String>,
    /// Whether an archive has it, in which bodies are texts.
    pub(super) is_archived: bool,
}

/// The requests of a file: an archive's, or the one that it is.
pub(super) fn requests(bytes: &[u8]) -> Result<Vec<Asked>> {
    match bytes.trim_ascii_start().first() {
        Some(b'{') => archive(bytes),
        _ => Ok(vec![raw(bytes)?]),
    }
}

impl Asked {
    /// The values of its fields of this name.
    pub(super) fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.headers.iter();
        let named = named.filter(move |(is, _)| is.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// HAR 1.2.
fn archive(bytes: &[u8]) -> Result<Vec<Asked>> {
    let har: Value = serde_json::from_slice(bytes).context("is no HAR archive: it is no JSON")?;
    let Some(entries) = har.pointer("/log/entries").and_then(Value::as_array) else {
        bail!("is no HAR archive: it has no log.entries");
    };
    let requests = entries.iter().filter_map(|entry| entry.get("request"));
    Ok(requests.filter_map(archived).collect())
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A request of an archive. None for what was sent nowhere, such as `data:`.
fn archived(request: &Value) -> Option<Asked> {
    let (_, rest) = text(request, "url").split_once("://")?;
    let rest = rest.split('#').next().unwrap_or_default();
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(at)?;
    let target = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    let headers = request.get("headers").and_then(Value::as_array);
    let headers = headers.into_iter().flatten();
    let all = headers.map(|header| (text(header, "name"), text(header, "value")));
    // What HTTP/2 has in place of a request line is no field.
    let (pseudo, fields): (Vec<_>, Vec<_>) = all.partition(|(name, _)| name.starts_with(':'));
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut asked = Asked {
        method: text(request, "method").to_owned(),
        target,
        protocol: protocol(text(request, "httpVersion"), !pseudo.is_empty()).to_owned(),
        headers: fields.into_iter().map(own).collect(),
        body: Ok(Vec::new()),
        is_archived: true,
    };
    // The authority stands for it, as it does at the edge (RFC 9113 §8.3.1).
    if asked.fields("host").next().is_none() {
        let told = pseudo.iter().find(|(name, _)| *name == ":authority");
        let of_url = authority.rsplit('@').next().unwrap_or_default();
        let host = told.map_or(of_url, |(_, value)| *value);
        asked.headers.push(("Host".into(), host.to_owned()));
    }
    if let Some(posted) = request.get("postData") {
        asked.body = posted_body(posted, &mut asked.headers);
    }
    Some(asked)
}

/// As rule sets have it: with a minor version also where there is none.
fn protocol(version: &str, has_pseudo: bool) -> &'static str {
    let version = version.to_ascii_lowercase();
    let version = version.strip_prefix("http/").unwrap_or(&version);
    match version {
        "1.0" => "HTTP/1.0",
        "2" | "2.0" | "h2" => "HTTP/2.0",
        "3" | "3.0" => "HTTP/3.0",
        draft if draft.starts_with("h3") => "HTTP/3.0",
        "" | "unknown" if has_pseudo => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// The body of an archived request: its text, or what its parameters make.
fn posted_body(posted: &Value, headers: &mut Vec<(String, String)>) -> Result<Vec<u8>, String> {
    let whole = text(posted, "text");
    let params = posted.get("params").and_then(Value::as_array);
    let params = params.map(Vec::as_slice).unwrap_or_default();
    if !whole.is_empty() || params.is_empty() {
        return Ok(whole.into());
    }
    let is_type = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("content-type");
    let sent = headers.iter().find(is_type).map(|(_, value)| value.clone());
    let kind = match &sent {
        Some(sent) => sent.as_str(),
        None => text(posted, "mimeType"),
    };
    let bare = kind.split(';').next().unwrap_or_default().trim();
    let made = match bare.to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => Ok(form(params)),
        "multipart/form-data" => multipart(params, kind),
        _ => Err(format!(
            "the archive has parameters of a body of the type {bare:?}, and not its text"
        )),
    };
    if sent.is_none() {
        headers.push(("Content-Type".into(), kind.to_owned()));
    }
    made
}

/// RFC 1866 §8.2.1, as URL Standard has it: parameters of an archive are not encoded.
fn form(params: &[Value]) -> Vec<u8> {
    let mut out = String::new();
    let mut encode = |text: &str, end: char| {
        for byte in text.bytes() {
            match byte {
                b' ' => out.push('+'),
                byte if byte.is_ascii_alphanumeric() || b"*-._".contains(&byte) => {
                    out.push(char::from(byte));
                }
                byte => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out.push(end);
    };
    for param in params {
        encode(text(param, "name"), '=');
        encode(text(param, "value"), '&');
    }
    out.pop();
    out.into()
}

/// RFC 7578.
fn multipart(params: &[Value], kind: &str) -> Result<Vec<u8>, String> {
    let mut settings = kind.split(';').skip(1);
    let boundary = settings.find_map(|setting| {
        let (name, value) = setting.split_once('=')?;
        let is_it = name.trim().eq_ignore_ascii_case("boundary");
        is_it.then(|| value.trim().trim_matches('"'))
    });
    let Some(boundary) = boundary.filter(|boundary| !boundary.is_empty()) else {
        return Err("the archive has the parts of a multipart body, and not its boundary".into());
    };
    let quoted = |text: &str| {
        let text = text.replace('"', "%22");
        text.replace('\r', "%0D").replace('\n', "%0A")
    };
    let mut out = String::new();
    for param in params {
        let name = text(param, "name");
        let value = param.get("value").and_then(Value::as_str);
        let file = param.get("fileName").and_then(Value::as_str);
        let value = match (value, file) {
            (None, Some(file)) => {
                return Err(format!(
                    "the archive has not what is in the file {file:?} of its body"
                ));
            }
            (value, _) => value.unwrap_or_default(),
        };
        out.push_str(&format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"",
            quoted(name)
        ));
        if let Some(file) = file {
            out.push_str(&format!("; filename=\"{}\"", quoted(file)));
        }
        let kind = text(param, "contentType");
        if !kind.is_empty() {
            out.push_str(&format!("\r\nContent-Type: {}", quoted(kind)));
        }
        out.push_str(&format!("\r\n\r\n{value}\r\n"));
    }
    out.push_str(&format!("--{boundary}--\r\n"));
    Ok(out.into())
}

/// One request as it is sent; its lines may end as those of a text file do.
fn raw(bytes: &[u8]) -> Result<Asked> {
    let both = |end: &[u8]| bytes.windows(end.len()).position(|some| some == end);
    let (head, body) = match (both(b"\r\n\r\n"), both(b"\n\n")) {
        (Some(at), _) => (bytes.get(..at), bytes.get(at + 4..)),
        (None, Some(at)) => (bytes.get(..at), bytes.get(at + 2..)),
        (None, None) => (Some(bytes), None),
    };
    let head = String::from_utf8_lossy(head.unwrap_or_default()).into_owned();
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default();
    let (Some((method, rest)), Some((_, protocol))) = (line.split_once(' '), line.rsplit_once(' '))
    else {
        bail!("is no request: its first line is not `METHOD /path HTTP/1.1`");
    };
    let target = rest.strip_suffix(protocol).unwrap_or(rest).trim_end();
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    });
    Ok(Asked {
        method: method.to_owned(),
        target: target.to_owned(),
        protocol: protocol.to_owned(),
        headers: headers.collect(),
        body: Ok(body.unwrap_or_default().to_vec()),
        is_archived: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_is_sent_or_as_a_browser_saves_it() {
        let asked = requests(b"POST /a?b HTTP/1.1\r\nHost: x\r\n\r\nbody").unwrap();
        let asked = asked.first().unwrap();
        assert_eq!(
            (asked.method.as_str(), asked.target.as_str()),
            ("POST", "/a?b")
        );
        assert_eq!(
            (asked.headers.len(), asked.body.as_deref()),
            (1, Ok(&b"body"[..]))
        );
        let har = br#"{"log":{"entries":[{"request":{"method":"GET","url":"https://x.test/p?q#f",
            "headers":[{"name":":path","value":"/"},{"name":"A","value":"b"}],"postData":{"text":"t"}}},
            {"request":{"method":"GET","url":"https://x.test"}}]}}"#;
        let asked = requests(har).unwrap();
        let targets: Vec<_> = asked.iter().map(|asked| asked.target.as_str()).collect();
        assert_eq!(targets, ["/p?q", "/"]);
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            asked.first().unwrap().headers,
            [field("A", "b"), field("Host", "x.test")]
        );
        assert!(requests(b"nonsense").is_err() && requests(b"{}").is_err());
    }

    fn archived(request: &str) -> Asked {
        let har = format!("{{\"log\":{{\"entries\":[{{\"request\":{request}}}]}}}}");
        requests(har.as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn an_archive_of_http2_has_its_host_and_no_request_line_among_the_fields() {
        let asked = archived(
            r#"{"method":"GET","url":"https://user@x.test:8443?q","httpVersion":"h2",
            "headers":[{"name":":authority","value":"y.test"},{"name":":path","value":"/"}]}"#,
        );
        assert_eq!(asked.headers, [("Host".to_owned(), "y.test".to_owned())]);
        assert_eq!(
            (asked.target.as_str(), asked.protocol.as_str()),
            ("/?q", "HTTP/2.0")
        );
        let asked = archived(r#"{"method":"GET","url":"https://user@x.test:8443/"}"#);
        assert_eq!(
            asked.headers,
            [("Host".to_owned(), "x.test:8443".to_owned())]
        );
        let named = r#"{"url":"https://x.test/","headers":[{"name":"host","value":"z.test"}]}"#;
        assert_eq!(archived(named).headers.len(), 1);
    }

    #[test]
    fn parameters_of_an_archive_become_a_body_or_it_is_told_that_they_cannot() {
        let body = |kind: &str, params: &str| {
            let posted = format!("{{\"mimeType\":{kind:?},\"params\":[{params}]}}");
            archived(&format!(
                "{{\"method\":\"POST\",\"url\":\"https://x.test/\",\"postData\":{posted}}}"
            ))
        };
        let two = r#"{"name":"a b","value":"' or 1=1"},{"name":"c","value":"d&e"}"#;
        let asked = body("application/x-www-form-urlencoded; charset=utf-8", two);
        assert_eq!(asked.body.as_deref(), Ok(&b"a+b=%27+or+1%3D1&c=d%26e"[..]));
        let sent: Vec<_> = asked.fields("content-type").collect();
        assert_eq!(sent, ["application/x-www-form-urlencoded; charset=utf-8"]);
        let file = r#"{"name":"f","fileName":"a\"b.txt","contentType":"text/plain","value":"x"}"#;
        let asked = body("multipart/form-data; boundary=\"B\"", file);
        let parts = "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a%22b.txt\"\r\n\
                     Content-Type: text/plain\r\n\r\nx\r\n--B--\r\n";
        assert_eq!(asked.body.as_deref(), Ok(parts.as_bytes()));
        assert!(body("multipart/form-data", file).body.is_err());
        assert!(body("text/plain", two).body.is_err());
        let gone = r#"{"name":"f","fileName":"a.txt"}"#;
        let asked = body("multipart/form-data; boundary=B", gone);
        assert!(asked.body.unwrap_err().contains("a.txt"));
    }
}
