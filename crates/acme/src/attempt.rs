//! One attempt for one name: ask when to renew, renew, or get a first certificate, of one authority after the other. Several run at
//! once, each on a copy of what is known of its name; what they have in common is here too.
//!
//! Not here: which names are due, and what becomes of a failure ([`keeper`](crate::keeper)); what becomes of what came
//! ([`unkept`](crate::unkept)).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use seawall_net::tls::der::Facts;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::authority::{Authority, Directory, Present, Proof, renewal_id};
use crate::jose::{AccountKey, base64url, sha256};
use crate::plan::{self, Window};
use crate::store::{self, Store};
use crate::unkept::Unkept;
use crate::wire::Wire;
use crate::{Challenge, Fault, Issued, Publication, Settings, hook};

/// One name.
#[derive(Clone, Default)]
pub(crate) struct Name {
    /// The document names it; else a client asked for it.
    pub wanted: bool,
    pub have: Option<Facts>,
    /// The directory of the authority that gave it, where that is known.
    pub issuer: Option<String>,
    /// What the authority said of renewal, and when to ask again.
    pub window: Option<Window>,
    pub ask_at: u64,
    /// When to try next.
    pub next: u64,
    pub failures: u32,
    pub problem: Option<String>,
}

/// What an attempt came to.
pub(crate) struct Tended {
    pub name: String,
    /// What is known of the name now.
    pub state: Name,
    /// How far our clock is ahead of the authority's, in seconds, where it said its own.
    pub ahead: Option<i64>,
    pub how: Result<(), Fault>,
}

/// An account, as it is kept.
#[derive(Serialize, Deserialize)]
struct Account {
    directory: String,
    pkcs8: Vec<u8>,
}

/// What all attempts have in common.
pub(crate) struct Desk<'k, P: Fn(&Publication)> {
    pub settings: &'k Settings,
    pub wire: &'k Wire,
    pub store: Store,
    pub board: Board<'k, P>,
    /// What came and could not be written yet, by name.
    pub unkept: RefCell<BTreeMap<String, Unkept>>,
    /// What is wrong beyond one name.
    pub broken: RefCell<Vec<String>>,
    /// Directories for which a key was made just now: who comes while its account is being made waits, or there would be two.
    pub new: RefCell<BTreeMap<String, Rc<Mutex<()>>>>,
}

/// What is published, and how.
pub(crate) struct Board<'k, P: Fn(&Publication)> {
    pub publication: RefCell<Publication>,
    pub publish: &'k P,
    pub hook: &'k [String],
}

impl<P: Fn(&Publication)> Board<'_, P> {
    pub fn change(&self, change: impl FnOnce(&mut Publication)) {
        let mut publication = self.publication.borrow_mut();
        change(&mut publication);
        (self.publish)(&publication);
    }
}

impl<P: Fn(&Publication)> Present for Board<'_, P> {
    async fn present(&self, proof: &Proof, there: bool) -> Result<(), Fault> {
        match proof {
            Proof::Http(token, authorization) => self.change(|all| {
                if there {
                    all.http.insert(token.clone(), authorization.clone());
                } else {
                    all.http.remove(token);
                }
            }),
            Proof::Alpn(name, issued) => self.change(|all| {
                if there {
                    all.alpn.insert(name.clone(), issued.clone());
                } else {
                    all.alpn.remove(name);
                }
            }),
            Proof::Dns(record, value) => {
                let what = if there { "present" } else { "cleanup" };
                hook::run(self.hook, what, record, value).await?;
            }
        }
        Ok(())
    }
}

impl<P: Fn(&Publication)> Desk<'_, P> {
    /// Looks after one name, of which this is known.
    pub async fn tend(&self, name: String, state: Name) -> Tended {
        let mut tended = Tended {
            name,
            state,
            ahead: None,
            how: Ok(()),
        };
        tended.how = self.try_all(&mut tended).await;
        tended
    }

    /// One authority after the other, until one gives it.
    async fn try_all(&self, tended: &mut Tended) -> Result<(), Fault> {
        let (due, mut failed) = self.ask(tended).await;
        if due == Some(false) {
            return Ok(());
        }
        for directory in &self.settings.directories {
            if failed.iter().any(|(other, _)| other == directory) {
                continue;
            }
            match self.try_one(tended, directory, due).await {
                Ok(()) => return Ok(()),
                Err(fault) if fault.is_the_authoritys() => {
                    failed.push((directory.as_str(), fault));
                }
                Err(fault) => return Err(fault),
            }
        }
        let first = failed.into_iter().next().map(|(_, fault)| fault);
        Err(first.unwrap_or_else(|| Fault::Own("[edge.acme] directories is empty".into())))
    }

    /// Whether what there is is to be renewed, by the authority that gave it: another one knows nothing of it (RFC 9773 §4). Where
    /// it is not known who did, each is asked until one knows. None where there is nothing, or nobody who could be asked; and who
    /// could not be.
    async fn ask(&self, tended: &mut Tended) -> (Option<bool>, Vec<(&str, Fault)>) {
        let (mut due, mut failed) = (None, Vec::new());
        let (name, state) = (tended.name.as_str(), &mut tended.state);
        let Some(have) = state.have.clone() else {
            return (due, failed);
        };
        let known = state.issuer.clone();
        let is_asked = |directory: &&String| known.as_ref().is_none_or(|known| known == *directory);
        for directory in self.settings.directories.iter().filter(is_asked) {
            let authority = match Directory::read(self.wire, directory).await {
                Ok(authority) => authority,
                Err(fault) => {
                    failed.push((directory.as_str(), fault));
                    continue;
                }
            };
            // Whether it is time says the authority's clock: ours may be wrong by a year.
            let local = now();
            let today = authority.date.unwrap_or(local);
            tended.ahead = Some(local as i64 - today as i64);
            state.ask_at = local + plan::ASK;
            if let Some(id) = renewal_id(&have)
                && let Ok(Some((window, again))) = authority.renewal(&id).await
            {
                state.window = Some(window);
                state.ask_at = local + again;
                state.issuer = Some(directory.clone());
            }
            // Without renewal information two thirds of its life count.
            let at = plan::renew_at(have.validity, state.window, of_name(name));
            due = Some(at <= today);
            if at > today {
                state.next = local.saturating_add(at - today);
            }
            if state.issuer.is_some() {
                break;
            }
        }
        (due, failed)
    }

    /// Gets one of this authority. Where nobody could say whether it is due, its clock does.
    async fn try_one(
        &self,
        tended: &mut Tended,
        directory: &str,
        due: Option<bool>,
    ) -> Result<(), Fault> {
        let mut authority = self.open(directory).await?;
        let local = now();
        let today = authority.date.unwrap_or(local);
        tended.ahead = Some(local as i64 - today as i64);
        let (name, state) = (tended.name.as_str(), &mut tended.state);
        if let (Some(have), None) = (&state.have, due) {
            let at = plan::renew_at(have.validity, state.window, of_name(name));
            if at > today {
                state.next = local.saturating_add(at - today);
                state.ask_at = local + plan::ASK;
                return Ok(());
            }
        }
        // Of what another one gave it would not hear (RFC 9773 §5).
        let is_its = state.issuer.as_deref() == Some(directory);
        let have = state.have.as_ref().filter(|_| is_its);
        let replaces = have.and_then(renewal_id);
        let wildcard = name.starts_with("*.");
        let usable = self.settings.challenges.iter().copied();
        let challenges: Vec<_> = usable
            .filter(|challenge| !wildcard || *challenge == Challenge::Dns01)
            .collect();
        let issued = authority
            .order(name, replaces.as_deref(), &challenges, &self.board)
            .await?;
        self.take(tended, issued, directory, (today, local))
    }

    /// A certificate that came: looked at, kept, published. What time it is at the authority, and here.
    fn take(
        &self,
        tended: &mut Tended,
        issued: Issued,
        directory: &str,
        (today, local): (u64, u64),
    ) -> Result<(), Fault> {
        let (name, state) = (tended.name.as_str(), &mut tended.state);
        let facts = store::check(name, &issued)?;
        let validity = facts.validity;
        if validity.not_after <= today || validity.not_before > today + plan::SKEW {
            return Err(Fault::Certificate(format!("{name}: it is not valid now")));
        }
        let at = plan::renew_at(validity, None, of_name(name));
        self.keep(name, &issued, directory);
        self.board.change(|all| {
            all.certificates.insert(name.to_owned(), issued);
        });
        state.next = local
            .saturating_add(at.saturating_sub(today))
            .max(local + 60);
        state.ask_at = local + 60;
        state.window = None;
        state.have = Some(facts);
        state.issuer = Some(directory.to_owned());
        Ok(())
    }

    /// An authority, with our account there.
    async fn open(&self, directory: &str) -> Result<Authority<'_>, Fault> {
        let key = self.account(directory)?;
        let contact = self.settings.contact.as_deref();
        let new = self.new.borrow().get(directory).cloned();
        let _turn = match &new {
            Some(new) => Some(new.lock().await),
            None => None,
        };
        let authority = Authority::open(self.wire, directory, key, contact).await?;
        self.new.borrow_mut().remove(directory);
        Ok(authority)
    }

    /// The account's key at an authority, made once.
    fn account(&self, directory: &str) -> Result<AccountKey, Fault> {
        let name = format!("account-{}", base64url(&sha256(directory.as_bytes())));
        let kept = self.store.get::<Account>(&name).unwrap_or_else(|fault| {
            self.broken.borrow_mut().push(fault.to_string());
            None
        });
        if let Some(kept) = kept.filter(|kept| kept.directory == directory)
            && let Ok(key) = AccountKey::from_pkcs8(&kept.pkcs8)
        {
            return Ok(key);
        }
        let (key, pkcs8) = AccountKey::generate()?;
        let directory = directory.to_owned();
        self.new.borrow_mut().entry(directory.clone()).or_default();
        self.store.put(&name, &Account { directory, pkcs8 })?;
        Ok(key)
    }
}

/// The same for a name each time: a renewal does not move when the process starts again.
pub(crate) fn of_name(name: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = sha256(name.as_bytes());
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
