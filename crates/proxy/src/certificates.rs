//! Certificates and challenges that came by ACME, as the data path uses them. A [`Publication`] is taken in whole; what is broken in
//! it is left out, and what is the same is not verified again. A handshake that needs one makes it ready to sign.
//!
//! Not here: how they come ([`seawall_acme`]), and when those of files end ([`expiry`](crate::expiry)). The way back is a bounded queue of names that clients asked for.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::sign::CertifiedKey;
use seawall_acme::{Issued, Publication, Standing};
use seawall_net::tls::config::{self, Identity, Published};
use seawall_net::tls::kept::{Kept, Keys};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};

use crate::compile::digest::Digest;
use crate::expiry::{Alarm, SHOWN, now};

/// Certificates and challenges that came by ACME.
#[derive(Debug, Default)]
pub struct Certificates {
    ready: Arc<Keys>,
    live: RwLock<Arc<Live>>,
    asked: RwLock<Option<mpsc::Sender<String>>>,
    wanted: watch::Sender<BTreeSet<String>>,
}

#[derive(Debug, Default)]
struct Live {
    /// Each with a number for what it was made of.
    keys: HashMap<Box<str>, (u64, Arc<Kept>)>,
    tokens: HashMap<String, Arc<str>>,
    challenges: HashMap<String, Arc<ServerConfig>>,
    names: Vec<(String, Standing)>,
    alarms: Vec<String>,
}

impl Certificates {
    /// None yet; what handshakes need of them is made ready there.
    pub fn new(ready: Arc<Keys>) -> Self {
        Self {
            ready,
            ..Self::default()
        }
    }

    /// From now on names that clients ask for, and that have no certificate, are sent there.
    pub fn ask(&self, asked: mpsc::Sender<String>) {
        *self.asked.write().unwrap_or_else(PoisonError::into_inner) = Some(asked);
    }

    /// These names must have a certificate.
    pub fn want(&self, names: BTreeSet<String>) {
        self.wanted.send_if_modified(|wanted| {
            let changed = *wanted != names;
            *wanted = names;
            changed
        });
    }

    /// No longer `before`, but `after`.
    pub fn change_wanted(&self, before: &BTreeSet<String>, after: BTreeSet<String>) {
        if *before == after {
            return;
        }
        self.wanted.send_modify(|wanted| {
            for name in before {
                wanted.remove(name);
            }
            wanted.extend(after);
        });
    }

    /// The names that must have one, whenever they change.
    pub fn wanted(&self) -> watch::Receiver<BTreeSet<String>> {
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
            let mut digest = Digest::default();
            digest.add(&issued.chain);
            digest.add(&issued.key);
            let content = digest.finish();
            let same = before.keys.get(name.as_str());
            let made = match same.filter(|(same, _)| *same == content) {
                Some((_, kept)) => Ok(kept.clone()),
                None => identity(issued).and_then(|identity| self.ready.keep(identity)),
            };
            match made {
                Ok(kept) => {
                    live.keys.insert(name.as_str().into(), (content, kept));
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

    /// Nothing is got or renewed any more, for this reason; what is there serves on.
    pub fn give_up(&self, why: String) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let before = &**live;
        *live = Arc::new(Live {
            keys: before.keys.clone(),
            names: before.names.clone(),
            alarms: before.alarms.iter().cloned().chain([why]).collect(),
            ..Live::default()
        });
    }

    /// What is wrong.
    pub fn alarms(&self) -> Vec<Alarm> {
        let live = self.live();
        let now = now();
        let of_names = live
            .names
            .iter()
            .filter_map(|(name, standing)| alarm(name, standing, now));
        let general = live.alarms.iter().cloned().map(Alarm::of);
        general.chain(of_names).take(SHOWN).collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.live().keys.len()
    }

    /// How each wanted name fares.
    pub fn standings(&self) -> Vec<(String, Standing)> {
        self.live().names.clone()
    }

    /// For `/state`: how each wanted name fares.
    pub fn state(&self) -> Map<String, Value> {
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
        names.collect()
    }
}

impl Published for Certificates {
    fn find(&self, name: &str, owner: u64) -> Option<Arc<CertifiedKey>> {
        let live = self.live();
        let wildcard = || {
            let (_, parent) = name.split_once('.')?;
            live.keys.get(format!("*.{parent}").as_str())
        };
        if let Some((_, kept)) = live.keys.get(name).or_else(wildcard) {
            return self.ready.ready(kept, owner);
        }
        if let Some(asked) = &*self.asked.read().unwrap_or_else(PoisonError::into_inner)
            && !name.is_empty()
        {
            // A full queue means that enough is asked for; the client comes again.
            let _ = asked.try_send(name.to_owned());
        }
        None
    }
}

/// What is wrong with a name, at `now` in seconds since 1970.
fn alarm(name: &str, standing: &Standing, now: u64) -> Option<Alarm> {
    let why = standing.problem.as_deref();
    let told = why.unwrap_or("nobody has tried to renew it");
    // What is told of the same trouble may change while it lasts.
    let of = |is: &str, text: String| {
        let key = format!("acme {name} {is}");
        Some(Alarm { key, text })
    };
    let Some(expires) = standing.expires else {
        return of("none", format!("{name} has no certificate: {}", why?));
    };
    if expires <= now {
        let text = format!("the certificate of {name} has expired: {told}");
        return of("over", text);
    }
    if standing.overdue.is_some_and(|overdue| overdue <= now) {
        let hours = (expires - now) / 3600;
        let text = format!("the certificate of {name} expires in {hours} h: {told}");
        return of("overdue", text);
    }
    // An old one serves on, and there is time: once is no alarm.
    if standing.failures < 3 {
        return None;
    }
    let times = standing.failures;
    let text = format!(
        "the certificate of {name} could not be renewed {times} times: {}",
        why?
    );
    of("failing", text)
}

fn identity(issued: &Issued) -> Result<Identity, config::MaterialFault> {
    Identity::from_pem(issued.chain.as_bytes(), issued.key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_an_alarm_long_before_it_comes_even_if_nobody_tries() {
        let standing = |failures, problem: Option<&str>| Standing {
            expires: Some(9_000),
            overdue: Some(7_500),
            next: 0,
            failures,
            problem: problem.map(str::to_owned),
        };
        assert_eq!(alarm("a.test", &standing(0, None), 7_000), None);
        assert_eq!(alarm("a.test", &standing(1, Some("down")), 7_000), None);
        for (failures, problem, now, says) in [
            (3, Some("down"), 7_000, "3 times: down"),
            (0, None, 7_500, "nobody has tried"),
            (1, Some("down"), 8_000, "expires in 0 h: down"),
            (1, Some("down"), 9_000, "has expired: down"),
        ] {
            let told = alarm("a.test", &standing(failures, problem), now).unwrap();
            assert!(told.text.contains(says), "{told:?}");
        }
        let none = Standing::default();
        assert_eq!(alarm("a.test", &none, 0), None, "it is on its way");
    }

    #[test]
    fn what_is_there_serves_on_when_nothing_is_renewed_any_more() {
        let (chain, key) = config::self_signed(vec!["a.test".into()]).unwrap();
        let broken = Issued {
            chain: String::new(),
            key: key.clone(),
        };
        let certificates = Certificates::default();
        certificates.take(&Publication {
            certificates: [
                ("a.test".into(), Issued { chain, key }),
                ("b.test".into(), broken),
            ]
            .into(),
            http: [("token".into(), "token.print".into())].into(),
            ..Publication::default()
        });
        assert!(
            certificates.find("a.test", 1).is_some() && certificates.find("b.test", 1).is_none()
        );
        assert_eq!(certificates.alarms().len(), 1, "the broken one");
        assert_eq!(
            certificates.authorization("token").as_deref(),
            Some("token.print")
        );
        certificates.give_up("the disk is gone".into());
        assert!(certificates.find("a.test", 1).is_some());
        assert!(certificates.authorization("token").is_none());
        assert_eq!(certificates.alarms().len(), 2);
    }
}
