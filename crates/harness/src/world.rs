//! What stands around a script: the edge, its origins, the variables, what was seen so far.
//!
//! Variables: `${o}` and `${o.port}` (origin `o`), `${closed}` (an address that refuses), `${ca}` and `${stranger_ca}`
//! (files with an authority's certificate), `${cert NAME}` and `${key NAME}` (a certificate for a name, signed by `ca`),
//! `${dir}` (a folder), the name of each of `files` (its path), `${http}`, `${https}`, `${admin}` with `.port` (the edge,
//! once it runs), `${repeat TEXT N}`, `${turn}` (in a `repeat`), the name of an `each`, and what a step kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;

use crate::answer::Answer;
use crate::certificate::{self, Authority, Tickets};
use crate::client::{Connection, Target};
use crate::client_h2::{ClientH2, Tunnel};
use crate::edge::Edge;
use crate::frames::FrameClient;
use crate::origin::{Origin, Speaks};
use crate::scenario::{OriginKind, Scenario, Via};
use crate::temp::TempFolder;

/// A connection that a script keeps under a name.
#[derive(Debug)]
pub enum Kept {
    H1(Connection),
    H2(ClientH2),
}

/// A tunnel that a script keeps under a name.
#[derive(Debug)]
pub enum KeptTunnel {
    H1(Connection),
    /// With the connection that carries it.
    H2(ClientH2, Box<Tunnel>),
}

/// A connection that nobody reads.
#[derive(Debug)]
pub enum Unread {
    H1(Connection),
    H2(FrameClient),
}

/// Everything that a script can touch.
#[derive(Debug)]
pub struct World {
    pub edge: Edge,
    pub origins: BTreeMap<String, Origin>,
    pub connections: tokio::sync::Mutex<HashMap<String, Kept>>,
    pub begun: tokio::sync::Mutex<HashMap<String, JoinHandle<Result<()>>>>,
    /// Tunnels that a script goes on with.
    pub tunnels: tokio::sync::Mutex<HashMap<String, KeptTunnel>>,
    /// Connections that nobody reads, kept open to the end.
    pub unread: Mutex<Vec<Unread>>,
    /// Configurations that hold session tickets, by name: a ticket is shown only by the configuration that got it.
    tickets: Mutex<HashMap<String, Arc<rustls::ClientConfig>>>,
    last: Mutex<Option<Answer>>,
    unjudged: BTreeSet<String>,
    texts: Texts,
    scratch: TempFolder,
    _closed: TcpSocket,
}

/// Variables and what they stand for.
#[derive(Debug, Default)]
struct Texts(Mutex<BTreeMap<String, String>>);

impl World {
    /// Starts the origins, then the edge.
    pub async fn build(binary: &Path, scenario: &Scenario) -> Result<Self> {
        let Scenario {
            origins,
            files,
            config,
            flags,
            ..
        } = scenario;
        Self::with(binary, origins, files, config, flags).await
    }

    pub async fn with(
        binary: &Path,
        kinds: &BTreeMap<String, OriginKind>,
        files: &BTreeMap<String, String>,
        config: &str,
        flags: &[String],
    ) -> Result<Self> {
        let scratch = TempFolder::new()?;
        let texts = Texts::default();
        let (closed, refuses) = closed_port()?;
        texts.set("closed", refuses.to_string());
        texts.set("dir", scratch.path().display().to_string());
        texts.set(
            "ca",
            scratch
                .write("ca.pem", Authority::known()?.pem())?
                .display()
                .to_string(),
        );
        texts.set(
            "stranger_ca",
            scratch
                .write("stranger.pem", Authority::stranger()?.pem())?
                .display()
                .to_string(),
        );
        let mut origins = BTreeMap::new();
        let mut unjudged = BTreeSet::new();
        for (name, kind) in kinds {
            let origin = start_origin(name, kind).await?;
            texts.set(name, origin.address.to_string());
            texts.set(&format!("{name}.port"), origin.address.port().to_string());
            if kind.unjudged {
                unjudged.insert(name.clone());
            }
            origins.insert(name.clone(), origin);
        }
        for (name, text) in files {
            let path = scratch.write(name, texts.fill(text, &scratch)?)?;
            texts.set(name, path.display().to_string());
        }
        let config = texts.fill(config, &scratch)?;
        let flags = flags
            .iter()
            .map(|flag| texts.fill(flag, &scratch))
            .collect::<Result<Vec<_>>>()?;
        let edge = Edge::start(binary, &config, TempFolder::new()?, &flags).await?;
        for (name, address) in [
            ("http", edge.http),
            ("https", edge.https),
            ("admin", edge.admin),
        ] {
            texts.set(name, address.to_string());
            texts.set(&format!("{name}.port"), address.port().to_string());
        }
        Ok(Self {
            edge,
            origins,
            connections: HashMap::new().into(),
            begun: HashMap::new().into(),
            tunnels: HashMap::new().into(),
            unread: Mutex::default(),
            tickets: Mutex::default(),
            last: Mutex::default(),
            unjudged,
            texts,
            scratch,
            _closed: closed,
        })
    }

    pub fn origin(&self, name: &str) -> Result<&Origin> {
        self.origins
            .get(name)
            .with_context(|| format!("no origin {name}"))
    }

    /// A text with its variables replaced.
    pub fn fill(&self, text: &str) -> Result<String> {
        self.texts.fill(text, &self.scratch)
    }

    pub fn keep(&self, name: &str, text: String) {
        self.texts.set(name, text);
    }

    /// Writes a file that texts can name.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        self.scratch.write(name, self.fill(text)?)?;
        Ok(())
    }

    pub fn last(&self) -> Option<Answer> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn set_last(&self, answer: &Answer) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
    }

    /// The way to the edge for a protocol. `certificate` is `known` or `stranger`.
    pub fn target(
        &self,
        via: Via,
        name: &str,
        certificate: Option<&str>,
        tls12: bool,
    ) -> Result<Target> {
        let alpn: &[&str] = match via {
            Via::H1 | Via::H2c => {
                return Ok(Target {
                    address: self.edge.http,
                    tls: None,
                });
            }
            Via::H1s => &["http/1.1"],
            Via::H2 => &["h2"],
        };
        let own = match certificate {
            None => None,
            Some("known") => Some(Authority::known()?.certify(&["client.test"])?),
            Some("stranger") => Some(Authority::stranger()?.certify(&["client.test"])?),
            Some(other) => bail!("certificate is {other:?}, neither known nor stranger"),
        };
        let config = certificate::client(alpn, own.as_ref(), tls12)?;
        Ok(Target {
            address: self.edge.https,
            tls: Some((config, name.to_owned())),
        })
    }

    /// A way that shows and keeps the session tickets of this name.
    pub fn with_tickets(&self, target: Target, name: &str) -> Target {
        let mut all = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        let tls = target.tls.map(|(config, host)| {
            let keeping = all.entry(name.to_owned()).or_insert_with(|| {
                let mut config = rustls::ClientConfig::clone(&config);
                let tickets = Arc::new(Tickets::default());
                config.resumption = rustls::client::Resumption::store(tickets);
                Arc::new(config)
            });
            (keeping.clone(), host)
        });
        Target { tls, ..target }
    }

    /// What the judge says about all origins since it was asked last.
    pub fn judge(&self) -> Vec<String> {
        let judged = self
            .origins
            .iter()
            .filter(|(name, _)| !self.unjudged.contains(*name));
        judged.flat_map(|(_, origin)| origin.judge()).collect()
    }

    /// The records and the edge's own output, for a failure's report.
    pub async fn circumstances(&self) -> String {
        // The edge writes its log in batches; what is still on its way may be the record that matters.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let records = self.edge.records();
        let shown = records
            .iter()
            .rev()
            .take(12)
            .rev()
            .map(|r| serde_json::to_string(r).unwrap_or_default());
        let records: Vec<String> = shown.collect();
        let log = self.edge.log();
        let from = log.char_indices().rev().nth(6_000).map_or(0, |(at, _)| at);
        let answer = self
            .last()
            .map_or_else(|| "none".to_owned(), |answer| answer.to_string());
        format!(
            "-- last answer\n{answer}\n-- records\n{}\n-- the edge's log\n{}",
            records.join("\n"),
            &log[from..]
        )
    }
}

async fn start_origin(name: &str, kind: &OriginKind) -> Result<Origin> {
    let tls = if kind.tls.is_empty() {
        None
    } else {
        let authority = if kind.stranger {
            Authority::stranger()?
        } else {
            Authority::known()?
        };
        let names: Vec<&str> = kind.tls.iter().map(String::as_str).collect();
        let alpn: &[&str] = if kind.http2 {
            &["h2", "http/1.1"]
        } else {
            &["http/1.1"]
        };
        let ask = if kind.asks_certificate {
            Some(Authority::known()?)
        } else {
            None
        };
        Some(certificate::server(&authority.certify(&names)?, alpn, ask)?)
    };
    let speaks = if kind.http2 { Speaks::H2 } else { Speaks::H1 };
    let origin = Origin::start_with(name, speaks, tls, kind.max_streams).await?;
    if let Some(vice) = kind.vice {
        origin.take_on(vice, None);
        origin.settled().await?;
    }
    Ok(origin)
}

/// A port that is bound and does not listen: it refuses, and nobody else can get it.
fn closed_port() -> Result<(TcpSocket, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

impl Texts {
    fn set(&self, name: &str, text: String) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), text);
    }

    fn get(&self, name: &str) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    fn fill(&self, text: &str, scratch: &TempFolder) -> Result<String> {
        replace(text, |name| match name.split_once(' ') {
            Some(("cert" | "key", host)) => self.certificate(name, host, scratch),
            _ => self
                .get(name)
                .with_context(|| format!("no variable {name:?}")),
        })
    }

    fn certificate(&self, name: &str, host: &str, scratch: &TempFolder) -> Result<String> {
        if let Some(path) = self.get(name) {
            return Ok(path);
        }
        let made = Authority::known()?.certify(&[host])?;
        let stem = host.replace('*', "any");
        let cert = scratch.write(&format!("{stem}.cert.pem"), &made.certificate_pem)?;
        let key = scratch.write(&format!("{stem}.key.pem"), &made.key_pem)?;
        self.set(&format!("cert {host}"), cert.display().to_string());
        self.set(&format!("key {host}"), key.display().to_string());
        self.get(name).context("just set")
    }
}

/// Replaces each `${…}`; `${repeat TEXT N}` is known to all.
pub fn replace(text: &str, lookup: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) = after
            .split_once('}')
            .with_context(|| format!("${{ without }} in {text:?}"))?;
        filled.push_str(before);
        match name
            .strip_prefix("repeat ")
            .and_then(|more| more.rsplit_once(' '))
        {
            Some((what, times)) => filled.push_str(&what.repeat(times.parse().context("repeat")?)),
            None => filled.push_str(&lookup(name)?),
        }
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables() {
        let lookup = |name: &str| {
            if name == "o" {
                Ok("1.2.3.4:5".to_owned())
            } else {
                bail!("no {name}")
            }
        };
        assert_eq!(
            replace("http://${o}/${repeat ab 3}!", lookup).unwrap(),
            "http://1.2.3.4:5/ababab!"
        );
        assert!(replace("${p}", lookup).is_err());
        assert!(replace("${o", lookup).is_err());
    }
}
