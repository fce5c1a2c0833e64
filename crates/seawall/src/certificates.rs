//! Certificates by ACME: what the keeper is told, the thread that it runs on, and that new ones came.
//!
//! Not here: what is wrong with any certificate, which is told as other troubles are ([`trouble`](crate::trouble)).

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use seawall_acme::{Challenge, Publication, Settings, keeper};
use seawall_model::Document;
use seawall_model::document::Certificate;
use seawall_proxy::certificates::Certificates;
use seawall_proxy::state::State;
use tokio::sync::{mpsc, oneshot};

use crate::kept::StateLock;
use crate::say::say;

/// Names asked for that may wait until the keeper looks.
const ASKED: usize = 256;

/// The keeper's settings, where anything wants certificates; `base` is where relative paths begin, `folder` the data folder.
fn settings(
    document: &Document,
    state: &State,
    base: &Path,
    folder: &Path,
) -> Result<Option<Settings>> {
    let mut zones = document.zones.iter();
    if !zones.any(|zone| zone.tls.certificate == Certificate::Acme) {
        return Ok(None);
    }
    let (edge, acme) = (&document.edge, &document.edge.acme);
    let ca = match &acme.ca {
        None => Vec::new(),
        Some(ca) => std::fs::read(base.join(ca))
            .with_context(|| format!("edge.acme.ca: {} cannot be read", ca.display()))?,
    };
    let challenges = acme.challenges.iter().map(|word| match word.as_str() {
        "dns-01" => Challenge::Dns01,
        "http-01" => Challenge::Http01,
        _ => Challenge::TlsAlpn01,
    });
    Ok(Some(Settings {
        contact: acme.contact.clone(),
        directories: acme.directories.clone(),
        ca,
        challenges: challenges.collect(),
        hook: acme.dns_hook.clone(),
        on_demand: acme.on_demand.clone(),
        on_demand_most: acme.on_demand_most as usize,
        folder: folder.join("certificates"),
        outward: state.outward(edge),
    }))
}

/// What gets and renews certificates, ready to be started.
pub struct Keeper {
    settings: Settings,
    certificates: Arc<Certificates>,
}

/// Puts live what the last process kept: to be called before anything is served. A folder that cannot be
/// used is an alarm and no reason not to serve: with a self-signed certificate, as long as there is no other.
///
/// # Errors
/// The file of `[edge.acme] ca` cannot be read.
pub fn restore(
    document: &Document,
    state: &State,
    base: &Path,
    folder: &Path,
) -> Result<Option<Keeper>> {
    let Some(settings) = settings(document, state, base, folder)? else {
        return Ok(None);
    };
    let certificates = state.certificates.clone();
    match keeper::restored(&settings) {
        Ok(publication) => certificates.take(&publication),
        Err(fault) => {
            broken(&certificates, &fault);
            return Ok(None);
        }
    }
    Ok(Some(Keeper {
        settings,
        certificates,
    }))
}

/// A keeper that runs, until this is dropped.
pub struct Running {
    _stop: oneshot::Sender<()>,
}

impl Keeper {
    /// Starts it, once challenges can be answered: on a thread of its own. It has the right to write for as long as it runs.
    ///
    /// # Errors
    /// There is no thread.
    pub fn start(&self, lock: Arc<StateLock>) -> Result<Running> {
        let (settings, certificates) = (self.settings.clone(), self.certificates.clone());
        let (stop, stopped) = oneshot::channel();
        let (ask, asked) = mpsc::channel(ASKED);
        if !settings.on_demand.is_empty() {
            certificates.ask(ask.clone());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("certificates".into())
            .spawn(move || {
                let told = std::cell::RefCell::new(Told::default());
                let publish = |publication: &Publication| {
                    certificates.take(publication);
                    told.borrow_mut().tell(publication);
                };
                // Held so that the queue stays open where nobody asks.
                let _ask = ask;
                let wanted = certificates.wanted();
                let run = keeper::run(settings, wanted, asked, publish);
                runtime.block_on(async {
                    tokio::select! {
                        _ = stopped => {}
                        done = run => if let Err(fault) = done {
                            broken(&certificates, &fault);
                        }
                    }
                });
                // What the runtime still waits for writes nothing.
                drop(lock);
            })?;
        Ok(Running { _stop: stop })
    }
}

/// An alarm from now on, which is told as any other.
fn broken(certificates: &Certificates, fault: &seawall_acme::Fault) {
    certificates.give_up(format!(
        "{fault} (what is there is served on; none is got or renewed)"
    ));
}

/// What was said already: each certificate once.
#[derive(Default)]
struct Told {
    expires: std::collections::BTreeMap<String, u64>,
    began: bool,
}

impl Told {
    fn tell(&mut self, publication: &Publication) {
        for (name, standing) in &publication.names {
            if let Some(expires) = standing.expires
                && self.expires.insert(name.clone(), expires) != Some(expires)
                && self.began
            {
                say(format_args!("Seawall has a new certificate for {name}"));
            }
        }
        self.began = true;
    }
}
