//! Certificates and challenges that came by ACME, as the data path uses them. A [`Publication`] is taken in whole; what is broken in
//! it is left out, and what is the same is not parsed again.
//!
//! Not here: how they come ([`seawall_acme`]). The way back is a bounded queue of names that clients asked for.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls::sign::CertifiedKey;
use seawall_acme::{Issued, Publication, Standing};
use seawall_net::tls::config::{self, Identity, Published};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};

/// Names with a metric or a place in `/state` of their own.
const SHOWN: usize = 1000;
/// Below this many seconds to expiry a certificate is an alarm: it should have been renewed two weeks ago, or at two thirds of
/// its life if that is shorter.
const SOON: u64 = 14 * 86_400;

/// Certificates and challenges that came by ACME.
#[derive(Debug, Default)]
pub struct Certificates {
    live: RwLock<Arc<Live>>,
    asked: OnceLock<mpsc::Sender<String>>,
    wanted: watch::Sender<Vec<String>>,
}

#[derive(Debug, Default)]
struct Live {
    keys: HashMap<Box<str>, (Issued, Arc<CertifiedKey>)>,
    tokens: HashMap<String, Arc<str>>,
    challenges: HashMap<String, Arc<ServerConfig>>,
    names: Vec<(String, Standing)>,
    alarms: Vec<String>,
}

impl Certificates {
    /// Names that clients ask for, and that have no certificate, are sent there. The first one said holds.
    pub fn ask(&self, asked: mpsc::Sender<String>) {
        let _ = self.asked.set(asked);
    }

    /// These names must have a certificate.
    pub fn want(&self, names: Vec<String>) {
        self.wanted.send_if_modified(|wanted| {
            let changed = *wanted != names;
            *wanted = names;
            changed
        });
    }

    /// The names that must have one, whenever they change.
    pub fn wanted(&self) -> watch::Receiver<Vec<String>> {
        self.wanted.subscribe()
    }

    /// From now on these.
    pub fn take(&self, publication: &Publication) {
        let before = self.live();
        let mut live = Live {
            alarms: publication.alarms.clone(),
            names: publication.names.clone().into_iter().collect(),
            ..Live::default()
        };
        for (name, issued) in &publication.certificates {
            let same = before.keys.get(name.as_str());
            let made = match same.filter(|(same, _)| same == issued) {
                Some((_, key)) => Ok(key.clone()),
                None => identity(issued).and_then(Identity::signer),
            };
            match made {
                Ok(key) => {
                    live.keys
                        .insert(name.as_str().into(), (issued.clone(), key));
                }
                Err(fault) => live.alarms.push(format!("{name}: {fault}")),
            }
        }
        for (name, issued) in &publication.alpn {
            match identity(issued).and_then(config::challenge) {
                Ok(made) => {
                    live.challenges.insert(name.clone(), made);
                }
                Err(fault) => live.alarms.push(format!("{name}: {fault}")),
            }
        }
        let tokens = publication.http.iter();
        live.tokens = tokens
            .map(|(token, authorization)| (token.clone(), authorization.as_str().into()))
            .collect();
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
    }

    fn live(&self) -> Arc<Live> {
        self.live
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The key authorization for a token of ours (HTTP-01).
    pub fn authorization(&self, token: &str) -> Option<Arc<str>> {
        self.live().tokens.get(token).cloned()
    }

    /// What is shown to an authority that looks for a challenge of this name (TLS-ALPN-01).
    pub fn challenge(&self, name: &str) -> Option<Arc<ServerConfig>> {
        self.live().challenges.get(name).cloned()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.live().keys.len()
    }

    /// What is wrong, in words.
    pub fn alarms(&self) -> Vec<String> {
        let live = self.live();
        let now = now();
        let of_names = live.names.iter().filter_map(|(name, standing)| {
            let problem = standing.problem.as_deref();
            match standing.expires {
                None => problem.map(|why| format!("{name} has no certificate: {why}")),
                Some(expires) if expires <= now => Some(format!(
                    "the certificate of {name} has expired: {}",
                    problem.unwrap_or("its renewal is due")
                )),
                Some(expires) if expires - now < SOON && problem.is_some() => {
                    let why = problem.unwrap_or_default();
                    Some(format!(
                        "the certificate of {name} expires in {} h: {why}",
                        (expires - now) / 3600
                    ))
                }
                // An old one serves on, and there is time.
                Some(_) => problem.filter(|_| standing.failures >= 3).map(|why| {
                    format!(
                        "the certificate of {name} could not be renewed {} times: {why}",
                        standing.failures
                    )
                }),
            }
        });
        live.alarms
            .iter()
            .cloned()
            .chain(of_names)
            .take(SHOWN)
            .collect()
    }

    /// For `/state`.
    pub fn state(&self) -> Value {
        let live = self.live();
        let names = live.names.iter().take(SHOWN).map(|(name, standing)| {
            let value = json!({
                "expires": standing.expires,
                "next": standing.next,
                "failures": standing.failures,
                "problem": standing.problem,
            });
            (name.clone(), value)
        });
        json!({
            "count": live.keys.len(),
            "names": names.collect::<Map<_, _>>(),
            "alarms": self.alarms(),
        })
    }

    /// For `/metrics`: the seconds that each certificate has left.
    pub fn render(&self, out: &mut String) {
        let live = self.live();
        if live.names.is_empty() {
            return;
        }
        let now = now() as i64;
        out.push_str("# HELP seawall_certificate_expires_seconds Seconds until a certificate that came by ACME expires.\n# TYPE seawall_certificate_expires_seconds gauge\n");
        for (name, standing) in live.names.iter().take(SHOWN) {
            if let Some(expires) = standing.expires {
                // Writing to a text does not fail.
                let left = expires as i64 - now;
                let _ = writeln!(
                    out,
                    "seawall_certificate_expires_seconds{{name=\"{name}\"}} {left}"
                );
            }
        }
        out.push_str("# HELP seawall_certificate_failures Failed attempts in a row to get or renew a certificate.\n# TYPE seawall_certificate_failures gauge\n");
        for (name, standing) in live.names.iter().take(SHOWN) {
            let _ = writeln!(
                out,
                "seawall_certificate_failures{{name=\"{name}\"}} {}",
                standing.failures
            );
        }
    }
}

impl Published for Certificates {
    fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let live = self.live();
        let wildcard = || {
            let (_, parent) = name.split_once('.')?;
            live.keys.get(format!("*.{parent}").as_str())
        };
        if let Some((_, key)) = live.keys.get(name).or_else(wildcard) {
            return Some(key.clone());
        }
        if let Some(asked) = self.asked.get()
            && !name.is_empty()
        {
            // A full queue means that enough is asked for; the client comes again.
            let _ = asked.try_send(name.to_owned());
        }
        None
    }
}

fn identity(issued: &Issued) -> Result<Identity, config::MaterialFault> {
    Identity::from_pem(issued.chain.as_bytes(), issued.key.as_bytes())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
