//! Looks at what is published, at a constant pace whatever happens; a word from control makes it look earlier.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use seawall_model::Tempo;
use seawall_model::document::quoted;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::cli::{self, Listen};
use crate::configure;
use crate::data::{self, Data};
use crate::distribution::folder::Folder;
use crate::distribution::follower::Follower;
use crate::distribution::identity;
use crate::distribution::joining::{Identity, RECEIVED};
use crate::distribution::keys;
use crate::distribution::news::{Beside, News};
use crate::distribution::publisher::PUBLISHED;
use crate::distribution::serve::{self, Barred, Hands, Readers};
use crate::distribution::source::Source;
use crate::distribution::sweep;
use crate::live;
use crate::order::Change;
use crate::say::{complain, say};

/// There, in the data folder of control's own machine, once all that serves there has come from control.
const FROM_CONTROL: &str = "from-control";

/// Between two looks; each is up to a fifth earlier or later, so that edges do not come all at once.
pub const POLL: Duration = Duration::from_secs(5);
/// At any pace.
const LEAST: Duration = Duration::from_millis(50);

/// A worker is to serve what is on disk before what is published is looked at, if it does so within this time.
const WORKER_FIRST: Duration = Duration::from_secs(20);

/// Something else is to be served.
pub struct Followed {
    /// The epoch and generation of the manifest that says so.
    pub generation: (u64, u64),
    /// What; none when that is as it was.
    pub news: Option<News>,
    /// What it says beside documents.
    pub beside: Beside,
}

/// Once a worker `serves`, follows what is published until nobody hears of it any more.
///
/// # Errors
/// When the data folder cannot be used.
pub fn start(
    flags: &cli::Worker,
    identity: Option<Identity>,
    tempo: Tempo,
    look: Rc<Notify>,
    mut serves: watch::Receiver<bool>,
    told: mpsc::Sender<Followed>,
) -> Result<()> {
    let data = Data::at(&flags.up.data)?;
    let location = configure::shared(&flags.up).document.edge.location;
    let pace = tempo.scaled(POLL).max(LEAST);
    let mut follower = None;
    let mut handed = None;
    if let Some(identity) = &identity {
        let follows = identity.follower(&data)?;
        if let Some(cache) = follows.cache() {
            sweep::start(cache.clone(), identity.root_key)?;
        }
        follower = Some(follows);
        if let Some(Listen::At(address)) = flags.up.relay {
            handed = Some(hand_on(identity, &data, address)?);
        }
    }
    let is_here = identity.is_none();
    tokio::task::spawn_local(async move {
        let mut complaints = Vec::new();
        let mut told_of = (0, 0);
        // All that serves on control's own machine has come from control.
        let mut is_controls = false;
        // Where there are very many zones both take all that the machine has. Whatever keeps a worker from it, the remedy may be
        // published.
        let _ = tokio::time::timeout(WORKER_FIRST, serves.wait_for(|serves| *serves)).await;
        loop {
            if is_here {
                renew(&mut follower, &data, &location);
            }
            if let Some(follower) = &mut follower {
                let looked = follower.look(Instant::now()).await;
                if looked.problems != complaints {
                    for problem in &looked.problems {
                        complain(format_args!("what is published: {problem}"));
                    }
                    complaints = looked.problems;
                }
                let generation = follower.generation();
                let mut news = looked.news;
                if let Some(news) = news.as_mut().filter(|_| is_here) {
                    if news.whole {
                        is_controls = came_from_control(&data, &news.live).await;
                    }
                    if !is_controls {
                        // What this machine served before it had a control may not be all in its log yet: it stays, and what serves is
                        // not what is published.
                        news.whole = false;
                        news.root = None;
                    }
                }
                if news.is_some() || generation != told_of {
                    let beside = follower.beside().unwrap_or_default();
                    if let Some(handed) = handed.as_ref().filter(|_| generation > (0, 0)) {
                        // Before anything that is new: it is not for those who have left.
                        handed.barred.send_replace(Some(beside.barred.clone()));
                    }
                    let followed = Followed {
                        generation,
                        news,
                        beside,
                    };
                    if told.send(followed).await.is_err() {
                        return;
                    }
                    told_of = generation;
                    if let Some(handed) = &handed {
                        handed.changed.send_replace(generation.1);
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(jittered(pace)) => {}
                () = look.notified() => {}
                () = changes(follower.as_mut()) => {}
            }
        }
    });
    Ok(())
}

/// Whether all that serves on control's own machine came from control: it was found so before, it was published under some name once, or
/// nothing else serves than what is published now. If so, what is there and is not published was deleted. It is noted, for what serves
/// loses its name where anything is held here.
async fn came_from_control(data: &Data, published: &[Change]) -> bool {
    let noted = data.path(FROM_CONTROL);
    let there = published.iter().filter(|change| change.text.is_some());
    let known: HashSet<String> = there
        .filter_map(|change| change.chain.zone())
        .map(quoted)
        .collect();
    let live = data.path(live::LIVE);
    let looks = tokio::task::spawn_blocking(move || {
        if noted.exists() {
            return Some(true);
        }
        let (zones, stand) = live::zones(&live).ok()?;
        let is_controls = stand.is_some() || zones.is_subset(&known);
        if is_controls && let Err(error) = std::fs::write(&noted, b"") {
            complain(format_args!(
                "{} cannot be written: {error}",
                noted.display()
            ));
        }
        Some(is_controls)
    });
    looks.await.ok().flatten().unwrap_or(false)
}

async fn changes(follower: Option<&mut Follower>) {
    match follower {
        Some(follower) => follower.changes().await,
        None => std::future::pending().await,
    }
}

/// On control's own machine: the follower is there once there is a root key to believe, and another one when that is another.
fn renew(follower: &mut Option<Follower>, data: &Data, location: &str) {
    match keys::root_public(data) {
        Ok(None) => {}
        Ok(Some(key))
            if follower
                .as_ref()
                .is_some_and(|known| known.root_key() == key) => {}
        Ok(Some(key)) => {
            let own = Source::Folder(Folder::at(data.path(PUBLISHED)));
            let here = Data::at(&data.path(""));
            *follower = here
                .map(|data| Follower::new(data, location, key, vec![own]))
                .map_err(|error| complain(format_args!("{error:#}")))
                .ok();
        }
        Err(error) => complain(format_args!("{error:#}")),
    }
}

/// What those are told who hand on.
struct Handed {
    /// The generation that is there.
    changed: watch::Sender<u64>,
    /// Who may read no more; none: nothing was believed yet.
    barred: watch::Sender<Option<Barred>>,
}

/// Hands on to edges near this one what it has read.
fn hand_on(identity: &Identity, data: &Data, address: SocketAddr) -> Result<Handed> {
    let (handed, changed) = watch::channel(0);
    let (barred, but) = watch::channel(None);
    let hands = Hands {
        folder: Folder::at(data.path(RECEIVED)),
        changed,
        readers: Readers::But(but),
        questions: None,
    };
    let tls = identity::server(
        &identity.authority_certificate()?,
        identity::chain(&identity.certificate)?,
        identity::key(&identity.tls_key)?,
    )?;
    let listens = serve::start(address, tls, hands)
        .with_context(|| format!("nothing is handed on at {address} (see --relay)"))?;
    say(format_args!(
        "Seawall hands on what control has published, on {listens}"
    ));
    Ok(Handed {
        changed: handed,
        barred,
    })
}

/// A time that is up to a fifth longer or shorter.
fn jittered(pace: Duration) -> Duration {
    let random = data::random().unwrap_or(u64::MAX / 2);
    let part = (random % 401) as u32;
    pace * (800 + part) / 1_000
}

#[cfg(test)]
mod tests {
    use seawall_proxy::materials::Materials;

    use super::*;
    use crate::live::tests::one;
    use crate::order::Chain;

    #[test]
    fn what_serves_is_controls_where_it_was_published_once_or_is_all_published_now() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let data = Data::at(folder.path()).unwrap();
        let zone = |name: &str, text: Option<&str>| Change {
            chain: Chain::Zone(name.into()),
            version: 1,
            text: text.map(str::to_owned),
        };
        let is_controls =
            |published: &[Change]| runtime.block_on(came_from_control(&data, published));
        let all = [zone("a", Some("")), zone("b", Some(""))];
        assert!(!is_controls(&all), "nobody knows what serves");
        let (document, _) = one("a");
        let serves = |stand: Option<&str>| {
            live::write(
                &data.path(live::LIVE),
                &document,
                &[&Materials::default()],
                stand,
            )
            .unwrap();
        };
        serves(None);
        assert!(is_controls(&all));
        std::fs::remove_file(data.path(FROM_CONTROL)).unwrap();
        assert!(
            !is_controls(&all[1..]),
            "it served before there was control"
        );
        assert!(!is_controls(&[zone("a", None)]));
        serves(Some("r1"));
        assert!(is_controls(&all[1..]), "it was deleted");
        serves(None);
        assert!(is_controls(&all[1..]), "it is known by now");
    }
}
