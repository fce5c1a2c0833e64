//! The keeper: what is wanted, what is there, what is due. It gets and renews certificates one after the other, keeps them, and
//! gives a whole [`Publication`] after each change. Whatever fails, what is there goes on being published.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;
use seawall_net::tls::config::{OriginWants, origin};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::authority::{Authority, Present, Proof};
use crate::der::Facts;
use crate::jose::{AccountKey, base64url, sha256};
use crate::plan::{self, Window};
use crate::store::{self, Store};
use crate::wire::Wire;
use crate::{Challenge, Fault, Issued, Publication, Settings, Standing, hook};

/// The longest sleep: a laptop that slept, or a clock that was set, is noticed then.
const NAP: Duration = Duration::from_secs(60);

/// What is in the store, as it was when the last process ended: to be published before anything listens.
///
/// # Errors
/// [`Fault::Own`] when the folder cannot be used.
pub fn restored(settings: &Settings) -> Result<Publication, Fault> {
    let store = Store::open(&settings.folder)?;
    let (found, alarms) = store.restore();
    Ok(Publication {
        certificates: found
            .into_iter()
            .map(|(name, (issued, _))| (name, issued))
            .collect(),
        alarms,
        ..Publication::default()
    })
}

/// Runs for ever: `wanted` are the names that must have a certificate, `asked` those that clients ask for, `publish` takes what
/// comes of it.
///
/// # Errors
/// [`Fault::Own`] when the store cannot be used, or the authorities of `ca` are none.
pub async fn run(
    settings: Settings,
    mut wanted: watch::Receiver<BTreeSet<String>>,
    mut asked: mpsc::Receiver<String>,
    publish: impl Fn(&Publication),
) -> Result<(), Fault> {
    let tls = origin(OriginWants {
        authorities: &settings.ca,
        http1: true,
        ..OriginWants::default()
    })
    .map_err(|fault| Fault::Own(format!("[edge.acme] ca: {fault}")))?;
    let wire = Wire::new(settings.outward.clone(), tls);
    let store = Store::open(&settings.folder)?;
    let mut keeper = Keeper::new(&settings, &wire, store, &publish);
    loop {
        let names = wanted.borrow_and_update().clone();
        keeper.want(&names);
        while let Ok(name) = asked.try_recv() {
            keeper.ask(name);
        }
        while let Some(name) = keeper.due() {
            keeper.tend(&name).await;
        }
        let nap = Duration::from_secs(keeper.until_next()).min(NAP);
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() {
                return Ok(());
            },
            Some(name) = asked.recv() => keeper.ask(name),
            () = tokio::time::sleep(nap) => {}
        }
    }
}

/// One name.
#[derive(Default)]
struct Name {
    /// The document names it; else a client asked for it.
    wanted: bool,
    have: Option<Facts>,
    /// What the authority said of renewal, and when to ask again.
    window: Option<Window>,
    ask_at: u64,
    /// When to try next.
    next: u64,
    failures: u32,
    problem: Option<String>,
}

/// An account, as it is kept.
#[derive(Serialize, Deserialize)]
struct Account {
    directory: String,
    pkcs8: Vec<u8>,
}

struct Keeper<'k, P: Fn(&Publication)> {
    settings: &'k Settings,
    wire: &'k Wire,
    store: Store,
    board: Board<'k, P>,
    names: BTreeMap<String, Name>,
    /// How far our clock is ahead of the authority's, in seconds, where that is worth telling.
    ahead: i64,
    broken: Vec<String>,
}

/// What is published, and how.
struct Board<'k, P: Fn(&Publication)> {
    publication: RefCell<Publication>,
    publish: &'k P,
    hook: &'k [String],
}

impl<P: Fn(&Publication)> Board<'_, P> {
    fn change(&self, change: impl FnOnce(&mut Publication)) {
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

impl<'k, P: Fn(&Publication)> Keeper<'k, P> {
    fn new(settings: &'k Settings, wire: &'k Wire, store: Store, publish: &'k P) -> Self {
        let (found, broken) = store.restore();
        let mut publication = Publication::default();
        let mut names = BTreeMap::new();
        for (name, (issued, facts)) in found {
            publication.certificates.insert(name.clone(), issued);
            let next = plan::renew_at(facts.not_before, facts.not_after, None, of_name(&name));
            let have = Some(facts);
            names.insert(
                name,
                Name {
                    have,
                    next,
                    ..Name::default()
                },
            );
        }
        let board = Board {
            publication: RefCell::new(publication),
            publish,
            hook: &settings.hook,
        };
        Self {
            settings,
            wire,
            store,
            board,
            names,
            ahead: 0,
            broken,
        }
    }

    /// These must have one. Names that went stay published but are not renewed.
    fn want(&mut self, names: &BTreeSet<String>) {
        for name in self.names.values_mut() {
            name.wanted = false;
        }
        let dns = self.settings.challenges.contains(&Challenge::Dns01);
        // Without dns-01 there is none for a wildcard: its names may have theirs on demand.
        for name in names.iter().filter(|name| dns || !name.starts_with("*.")) {
            self.names.entry(name.clone()).or_default().wanted = true;
        }
        let settings = self.settings;
        self.names
            .retain(|name, state| state.wanted || state.have.is_some() || settings.allows(name));
        self.tell();
    }

    /// A client asks for this one: it gets one if it is on the list, and there is room.
    fn ask(&mut self, name: String) {
        let demanded = self.names.values().filter(|name| !name.wanted).count();
        let room = demanded < self.settings.on_demand_most;
        if room && !self.names.contains_key(&name) && self.settings.allows(&name) {
            self.names.insert(name, Name::default());
        }
    }

    fn is_tended(&self, name: &str, state: &Name) -> bool {
        state.wanted || self.settings.allows(name)
    }

    fn due(&self) -> Option<String> {
        let now = now();
        let due = |(name, state): &(&String, &Name)| {
            let ask = state.have.is_some() && state.ask_at <= now;
            self.is_tended(name, state) && (state.next <= now || (ask && state.failures == 0))
        };
        self.names.iter().find(due).map(|(name, _)| name.clone())
    }

    fn until_next(&self) -> u64 {
        let tended = self
            .names
            .iter()
            .filter(|(name, state)| self.is_tended(name, state));
        let next = tended.map(|(_, state)| state.next).min();
        next.map_or(u64::MAX, |next| next.saturating_sub(now()).max(1))
    }

    /// Looks after one name: asks when to renew, renews, or gets a first certificate; notes how it went.
    async fn tend(&mut self, name: &str) {
        let tended = self.try_all(name).await;
        let Some(state) = self.names.get_mut(name) else {
            return;
        };
        let now = now();
        match tended {
            Ok(()) => {
                state.failures = 0;
                state.problem = None;
            }
            Err(fault) => {
                state.failures = state.failures.saturating_add(1);
                state.problem = Some(fault.to_string());
                state.next = now + plan::back_off(state.failures, fault.after(), random());
            }
        }
        state.ask_at = state.ask_at.max(now + 60);
        self.tell();
    }

    /// One authority after the other, until one gives it.
    async fn try_all(&mut self, name: &str) -> Result<(), Fault> {
        let mut first = None;
        for directory in &self.settings.directories {
            match self.try_one(name, directory).await {
                Ok(()) => return Ok(()),
                Err(fault) if fault.is_the_authoritys() => {
                    first.get_or_insert(fault);
                }
                Err(fault) => return Err(fault),
            }
        }
        Err(first.unwrap_or_else(|| Fault::Own("[edge.acme] directories is empty".into())))
    }

    async fn try_one(&mut self, name: &str, directory: &str) -> Result<(), Fault> {
        let key = self.account(directory)?;
        let contact = self.settings.contact.as_deref();
        let mut authority = Authority::open(self.wire, directory, key, contact).await?;
        // Whether it is time says the authority's clock: ours may be wrong by a year.
        let local = now();
        let today = authority.date.unwrap_or(local);
        self.ahead = local as i64 - today as i64;
        let state = self.names.entry(name.to_owned()).or_default();
        let mut replaces = None;
        if let Some(have) = &state.have {
            replaces = have.renewal_id();
            // An authority that did not issue it knows nothing of it: then two thirds of its life count.
            state.ask_at = local + plan::ASK;
            if let Some(id) = &replaces
                && let Ok(Some((window, again))) = authority.renewal(id).await
            {
                state.window = Some(window);
                state.ask_at = local + again;
            }
            let at = plan::renew_at(have.not_before, have.not_after, state.window, of_name(name));
            if at > today {
                state.next = local.saturating_add(at - today);
                return Ok(());
            }
        }
        let wildcard = name.starts_with("*.");
        let usable = self.settings.challenges.iter().copied();
        let challenges: Vec<_> = usable
            .filter(|challenge| !wildcard || *challenge == Challenge::Dns01)
            .collect();
        let issued = authority
            .order(name, replaces.as_deref(), &challenges, &self.board)
            .await?;
        self.take(name, issued, today, local)
    }

    /// A certificate that came: looked at, kept, published.
    fn take(&mut self, name: &str, issued: Issued, today: u64, local: u64) -> Result<(), Fault> {
        let facts = store::check(name, &issued)?;
        if facts.not_after <= today || facts.not_before > today + plan::SKEW {
            return Err(Fault::Certificate(format!("{name}: it is not valid now")));
        }
        let at = plan::renew_at(facts.not_before, facts.not_after, None, of_name(name));
        let kept = self.store.put(name, &issued);
        self.board.change(|all| {
            all.certificates.insert(name.to_owned(), issued);
        });
        let state = self.names.entry(name.to_owned()).or_default();
        state.next = local
            .saturating_add(at.saturating_sub(today))
            .max(local + 60);
        state.ask_at = local + 60;
        state.window = None;
        state.have = Some(facts);
        // It serves all the same; that it would be gone after a restart is told.
        self.broken
            .retain(|what| !what.contains(&format!("/{name}.sealed")));
        if let Err(fault) = kept {
            self.broken.push(fault.to_string());
        }
        Ok(())
    }

    /// The account's key at an authority, made once.
    fn account(&mut self, directory: &str) -> Result<AccountKey, Fault> {
        let name = format!("account-{}", base64url(&sha256(directory.as_bytes())));
        let kept = self.store.get::<Account>(&name).unwrap_or_else(|fault| {
            self.broken.push(fault.to_string());
            None
        });
        if let Some(kept) = kept.filter(|kept| kept.directory == directory)
            && let Ok(key) = AccountKey::from_pkcs8(&kept.pkcs8)
        {
            return Ok(key);
        }
        let (key, pkcs8) = AccountKey::generate()?;
        let directory = directory.to_owned();
        self.store.put(&name, &Account { directory, pkcs8 })?;
        Ok(key)
    }

    /// Publishes how all names fare.
    fn tell(&mut self) {
        self.broken.sort();
        self.broken.dedup();
        self.broken.truncate(100);
        let mut alarms = self.broken.clone();
        if self.ahead.unsigned_abs() > plan::SKEW {
            alarms.push(format!(
                "this machine's clock is {} s {} the authority's: set it (timedatectl set-ntp true); certificates are renewed by the authority's",
                self.ahead.unsigned_abs(),
                if self.ahead > 0 { "ahead of" } else { "behind" }
            ));
        }
        let tended = self
            .names
            .iter()
            .filter(|(name, state)| self.is_tended(name, state));
        let names = tended.map(|(name, state)| {
            let standing = Standing {
                expires: state.have.as_ref().map(|facts| facts.not_after),
                overdue: (state.have.as_ref())
                    .map(|facts| plan::alarm_at(facts.not_before, facts.not_after)),
                next: state.next,
                failures: state.failures,
                problem: state.problem.clone(),
            };
            (name.clone(), standing)
        });
        let names = names.collect();
        self.board.change(|all| {
            all.names = names;
            all.alarms = alarms;
        });
    }
}

/// The same for a name each time: a renewal does not move when the process starts again.
fn of_name(name: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = sha256(name.as_bytes());
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness all machines would wait equally long: a pity, no more.
    let _ = rand::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
