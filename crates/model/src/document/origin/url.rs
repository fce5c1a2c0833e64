//! Where an origin is, as one text.

use std::fmt;
use std::path::PathBuf;

use crate::host::Host;
use crate::problem::{Wrong, quote};
use crate::suggest;

/// Bytes of a unix socket's path: `sun_path` has 108, the last one a NUL (unix(7)).
const SOCKET_PATH: usize = 107;
/// Bytes of a folder's path, without the NUL that the kernel counts (PATH_MAX).
const FOLDER_PATH: usize = 4095;

/// Where an origin is. Displays as it is written, the port only where it is not the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OriginUrl {
    /// The sample site that the edge itself serves.
    Sample,
    /// A server.
    Server {
        /// `https://` rather than `http://`.
        tls: bool,
        /// Its name or address.
        host: Host,
        /// Its port.
        port: u16,
    },
    /// A socket of this machine, by its absolute path; HTTP without TLS.
    Unix(PathBuf),
    /// A folder of this machine, by its absolute path, whose files the edge itself serves.
    Files(PathBuf),
}

impl OriginUrl {
    /// From `sample`, `http://host[:port]`, `https://host[:port]`, `unix:/path` or `file:/path`. A lone `/` behind a host is let pass.
    ///
    /// # Errors
    /// Other schemes, user names, paths, queries, and what is no host.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        if text == "sample" {
            return Ok(Self::Sample);
        }
        let wrong =
            |what: &str, help: String| Err(Wrong::new(format!("{} {what}", quote(text)), help));
        if let Some(path) = text.strip_prefix("unix:") {
            return local(text, path, SOCKET_PATH).map(Self::Unix);
        }
        if let Some(path) = text.strip_prefix("file:") {
            return local(text, path, FOLDER_PATH).map(Self::Files);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return wrong(
                "has no scheme",
                "write http://…, https://…, unix:/… or file:/…, or \"sample\"".into(),
            );
        };
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            other => {
                let meant = match suggest::nearest(other, ["http", "https"]) {
                    Some(near) => format!("did you mean {near}://?"),
                    None => "use http:// or https://".into(),
                };
                return wrong("has no known scheme", meant);
            }
        };
        let (authority, behind) = match rest
            .find(['/', '?', '#'])
            .and_then(|at| rest.split_at_checked(at))
        {
            Some((authority, behind)) => (authority, behind),
            None => (rest, ""),
        };
        if authority.contains('@') {
            let help = "set an Authorization field in request_headers, from a secret";
            return Err(Wrong::new("a URL with a user name or password", help));
        }
        if !matches!(behind, "" | "/") {
            return wrong(
                "has a path",
                "only scheme, host and port: the client's path is sent as it is".into(),
            );
        }
        let (host, port) = Host::parse_with_port(authority)?;
        Ok(Self::Server {
            tls,
            host,
            port: port.unwrap_or(if tls { 443 } else { 80 }),
        })
    }

    /// Whether TLS is spoken to it.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Server { tls: true, .. })
    }
}

impl fmt::Display for OriginUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sample => f.write_str("sample"),
            Self::Server {
                tls: false,
                host,
                port: 80,
            } => write!(f, "http://{host}"),
            Self::Server {
                tls: true,
                host,
                port: 443,
            } => write!(f, "https://{host}"),
            Self::Server { tls, host, port } => {
                write!(f, "{}://{host}:{port}", if *tls { "https" } else { "http" })
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Files(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// An absolute path behind a scheme, with or without the `//` of an empty authority (RFC 8089 §2): one spelling, so that the
/// same file is the same origin.
fn local(text: &str, path: &str, most: usize) -> Result<PathBuf, Wrong> {
    let wrong = |what: &str, help: &str| Err(Wrong::new(format!("{} {what}", quote(text)), help));
    let path = match path.strip_prefix("//") {
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    };
    if !path.starts_with('/') || path.starts_with("//") || path.len() < 2 {
        return wrong("has no absolute path", "the path begins with `/`");
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return wrong("has dot segments in its path", "write the path itself");
    }
    if path.len() > most {
        let help = format!("at most {most} bytes");
        return wrong("has too long a path", &help);
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_urls_are_read_and_written() {
        for (text, shown) in [
            ("sample", "sample"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("HTTP://App.Test/", "http://app.test"),
            ("https://app.test:443", "https://app.test"),
            ("https://[::1]:8443", "https://[::1]:8443"),
            ("http://app.test:443", "http://app.test:443"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
            ("unix:///run/app.sock", "unix:/run/app.sock"),
            ("file:///srv/www", "file:/srv/www"),
            ("file:/srv/www/", "file:/srv/www/"),
        ] {
            assert_eq!(OriginUrl::parse(text).unwrap().to_string(), shown);
        }
        assert!(OriginUrl::parse("https://a.test").unwrap().is_tls());
    }

    #[test]
    fn wrong_origin_urls_are_refused_with_help() {
        for (text, says) in [
            (
                "htp://x",
                "\"htp://x\" has no known scheme (did you mean http://?)",
            ),
            ("ftp://x", "has no known scheme"),
            ("10.0.0.1:80", "has no scheme"),
            ("http://a.test/app", "has a path"),
            ("http://a.test?x", "has a path"),
            ("http://", "is no host name"),
            ("http://a.test:0", "has no port"),
            ("http://a.test:99999", "has no port"),
            ("unix:run/app.sock", "has no absolute path"),
            ("unix://host/app.sock", "has no absolute path"),
            ("unix:/", "has no absolute path"),
            ("file://srv/www", "has no absolute path"),
            ("file:www", "has no absolute path"),
            ("file:/srv/../etc", "has dot segments"),
            ("unix:/run/../etc/app.sock", "has dot segments"),
            (&format!("unix:/{}", "x".repeat(107)), "has too long a path"),
        ] {
            let wrong = OriginUrl::parse(text).unwrap_err().to_string();
            assert!(wrong.contains(says), "{text}: {wrong}");
        }
        let wrong = OriginUrl::parse("http://me:hunter2@a.test")
            .unwrap_err()
            .to_string();
        assert!(
            !wrong.contains("hunter2"),
            "a password must not be repeated: {wrong}"
        );
    }
}
