//! Origins: do they take connections, and speak what the document says that they speak?

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use seawall_model::Document;
use seawall_model::document::{Origin, OriginUrl, Protocol, ProxyProtocol};
use seawall_net::alarm::Alarm;
use seawall_net::outward::{self, ConnectFault, Outward};
use seawall_net::stream::Stream;
use seawall_net::tls::config::{self, OriginWants};
use seawall_net::tls::{TlsFault, TlsStream};
use tokio::net::TcpStream;

use super::served::Served;
use super::{Findings, MOST, PATIENCE, outward_of};

impl Findings {
    pub(super) async fn origins(&mut self, data: &Path, document: &Document) {
        let outward = outward_of(document);
        let served = Served::by(data);
        let origins = document.zones.iter().flat_map(|zone| &zone.origins);
        for origin in origins.take(MOST) {
            let about = format!("origin {}", origin.url);
            match &origin.url {
                OriginUrl::Server { host, port, tls } => {
                    let about = format!("origin {host}:{port}");
                    let name = host.to_string();
                    let found = outward::resolve(&name, *port);
                    let found = tokio::time::timeout(PATIENCE, found).await;
                    let Ok(Ok(addresses)) = found else {
                        let fix = "correct its name in `url`, or the resolver in /etc/resolv.conf";
                        self.bad(about, "has no address", fix);
                        continue;
                    };
                    let at = At {
                        outward: &outward,
                        origin,
                        host: name,
                    };
                    self.server(about, &at, &addresses, *tls).await;
                }
                OriginUrl::Unix(path) => {
                    let connected = outward.connect_unix(path, &mut Alarm::new(PATIENCE)).await;
                    let denied = served.as_ref().and_then(|by| Some((by, by.denied(path)?)));
                    match connected {
                        Ok(_) => match denied {
                            None => self.good(about, "takes connections"),
                            Some((by, why)) => {
                                let what = format!(
                                    "takes connections of root, but not of the user that serves ({}): {why}",
                                    by.user
                                );
                                let why = ConnectFault::Failed(why);
                                self.bad(about, what, socket_fix(path, &why));
                            }
                        },
                        Err(why) => self.bad(about, socket_is(path, &why), socket_fix(path, &why)),
                    }
                }
                OriginUrl::Files(path) => match std::fs::read_dir(path) {
                    Ok(_) => self.good(about, "is a folder that can be read"),
                    Err(why) => self.bad(
                        about,
                        why.to_string(),
                        "make it, or let the user read it that Seawall runs as",
                    ),
                },
                OriginUrl::Sample => {}
            }
        }
    }

    async fn server(&mut self, about: String, at: &At<'_>, all: &[SocketAddr], tls: bool) {
        let mut fault = None;
        for address in all {
            match at.connect(*address).await {
                Ok(tcp) => return self.speaks(about, at, *address, tcp, tls).await,
                Err(why) => fault = Some(why),
            }
        }
        let Some(why) = fault else {
            return self.bad(about, "has no address", "correct its name in `url`");
        };
        let fix = match why {
            ConnectFault::Refused => "start it, or correct its `url`",
            ConnectFault::Forbidden { .. } => "allow its kind of address in [edge] outward",
            _ => "look at routes and firewalls between here and there",
        };
        self.bad(about, why.to_string(), fix);
    }

    /// It takes connections; does it speak TLS, or none, as its URL says?
    async fn speaks(
        &mut self,
        about: String,
        at: &At<'_>,
        address: SocketAddr,
        tcp: TcpStream,
        tls: bool,
    ) {
        if at.origin.proxy_protocol != ProxyProtocol::Off {
            // Its first bytes would be those of a client that there is none of.
            return self.good(about, "takes connections");
        }
        if tls {
            return match at.handshake(tcp, at.origin.verify).await {
                Ok(()) => self.good(about, "takes connections, and speaks TLS"),
                Err(why) => {
                    let (what, fix) = tls_fault(&why);
                    self.bad(about, what, fix);
                }
            };
        }
        let plain = at.answers_plainly(tcp).await;
        if plain {
            return self.good(about, "takes connections");
        }
        let again = at.connect(address).await;
        let speaks_tls = match again {
            Ok(tcp) => at.handshake(tcp, false).await.is_ok(),
            Err(_) => false,
        };
        if speaks_tls {
            let fix = "write https:// in its `url` (and `sni` or `host` where its certificate has another name)";
            self.bad(about, "speaks TLS, but its `url` says http://", fix);
        } else {
            // What does not answer us may answer others: it says nothing for sure.
            self.good(about, "takes connections");
        }
    }
}

/// An origin that is connected to.
struct At<'o> {
    outward: &'o Outward,
    origin: &'o Origin,
    host: String,
}

impl At<'_> {
    async fn connect(&self, address: SocketAddr) -> Result<TcpStream, ConnectFault> {
        self.outward
            .connect(address, &mut Alarm::new(PATIENCE))
            .await
    }

    async fn handshake(&self, tcp: TcpStream, verify: bool) -> Result<(), TlsFault> {
        let named = self.origin.sni.clone().or_else(|| {
            let host = self.origin.host.as_deref()?;
            let bare = seawall_model::without_port(host.as_bytes());
            Some(String::from_utf8_lossy(bare).into_owned())
        });
        let name = named.unwrap_or_else(|| self.host.clone());
        let name = name.trim_matches(['[', ']']).to_owned();
        let Ok(name) = ServerName::try_from(name) else {
            // That is a problem of the document, which is told with the others.
            return Ok(());
        };
        let Some(config) = self.tls(verify) else {
            return Ok(());
        };
        let mut alarm = Alarm::new(PATIENCE);
        TlsStream::connect(tcp, config, name, &mut alarm)
            .await
            .map(drop)
    }

    /// None where the files that it needs cannot be used, which is told with the document's problems.
    fn tls(&self, verify: bool) -> Option<Arc<ClientConfig>> {
        let read = |path: &Path| std::fs::read(path).ok();
        let authorities = match &self.origin.ca {
            Some(path) => read(path)?,
            None => Vec::new(),
        };
        let identity = match &self.origin.client_certificate {
            Some(files) => {
                let (chain, key) = (read(&files.cert)?, read(&files.key)?);
                Some(config::Identity::from_pem(&chain, &key).ok()?)
            }
            None => None,
        };
        let wants = OriginWants {
            authorities: &authorities,
            unverified: !verify,
            identity,
            http2: self.origin.protocol != Protocol::Http1,
            http1: self.origin.protocol != Protocol::Http2,
        };
        config::origin(wants).ok()
    }

    /// Whether it answers a request without TLS as HTTP/1.1 does, and not with the 400 of servers that were asked at a port for TLS.
    async fn answers_plainly(&self, tcp: TcpStream) -> bool {
        let host = self.origin.host.as_ref().unwrap_or(&self.host);
        let request = format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let stream = Stream::Plain(tcp.into());
        let asked = async {
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            // A status line's beginning may come in pieces.
            while answer.len() < 12 && stream.read(&mut answer).await? > 0 {}
            Ok::<_, std::io::Error>(answer)
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) => {
                answer.starts_with(b"HTTP/") && answer.get(9..12) != Some(b"400".as_slice())
            }
            _ => false,
        }
    }
}

/// What is wrong with TLS towards an origin, and what can be done.
fn tls_fault(fault: &TlsFault) -> (String, &'static str) {
    match fault {
        fault if fault.is_certificate() => (
            format!("its certificate is not good: {fault}"),
            "renew it, name its authority in `ca`, or the name that it has in `sni`; `verify = false` only where nobody else can be there",
        ),
        TlsFault::Protocol(
            rustls::Error::InvalidMessage(_)
            | rustls::Error::InappropriateMessage { .. }
            | rustls::Error::PeerMisbehaved(_),
        ) => (
            "its `url` says https://, but it speaks no TLS there".into(),
            "write http:// in its `url`, or the port at which it speaks TLS",
        ),
        TlsFault::Protocol(error) => (
            format!("the TLS handshake fails: {error}"),
            "look at its log: does it ask for a certificate (`client_certificate`), for a name (`sni`), or for an old version of TLS?",
        ),
        TlsFault::Socket(error) => (
            format!("its `url` says https://, but it ends the TLS handshake: {error}"),
            "write http:// in its `url` if it speaks no TLS there; else look at its log",
        ),
        fault => (
            format!("its `url` says https://, but the TLS handshake does not end: {fault}"),
            "write http:// in its `url` if it speaks no TLS there; else look at its log",
        ),
    }
}

fn socket_is(path: &Path, why: &ConnectFault) -> String {
    match why {
        ConnectFault::Refused => match std::fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => "there is no such socket".into(),
            Ok(found) if !found.file_type().is_socket() => "is a file, but no socket".into(),
            _ => "nobody listens on this socket".into(),
        },
        why => why.to_string(),
    }
}

fn socket_fix(path: &Path, why: &ConnectFault) -> &'static str {
    match why {
        ConnectFault::Refused if path.exists() => {
            "start the origin: the socket is left from one that has ended, or correct the path in its `url`"
        }
        ConnectFault::Refused => {
            "start the origin, which makes it, or correct the path in its `url`"
        }
        ConnectFault::Forbidden { .. } => {
            "allow \"loopback\" in [edge] outward, and name no socket of our own"
        }
        ConnectFault::Failed(error) if error.kind() == ErrorKind::PermissionDenied => {
            "let the user read and write it that Seawall runs as (chmod, chgrp), and pass through its folders"
        }
        _ => "look whether the origin hangs: it takes no connection from its queue",
    }
}
