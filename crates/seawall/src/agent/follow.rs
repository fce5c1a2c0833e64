//! Looks at what is published, at a constant pace whatever happens; a word from control makes it look earlier.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use seawall_model::Tempo;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::cli;
use crate::configure;
use crate::data::{self, Data};
use crate::distribution::folder::Folder;
use crate::distribution::follower::{Follower, News};
use crate::distribution::keys;
use crate::distribution::publisher::PUBLISHED;
use crate::distribution::source::Source;
use crate::say::complain;

/// Between two looks; each is up to a fifth earlier or later, so that edges do not come all at once.
pub const POLL: Duration = Duration::from_secs(5);
/// At any pace.
const LEAST: Duration = Duration::from_millis(50);

/// Something else is to be served.
pub struct Followed {
    /// The epoch and generation of the manifest that says so.
    pub generation: (u64, u64),
    /// What.
    pub news: News,
}

/// Follows what is published until nobody hears of it any more.
///
/// # Errors
/// When the data folder cannot be used.
pub fn start(
    flags: &cli::Worker,
    tempo: Tempo,
    look: Rc<Notify>,
    told: mpsc::Sender<Followed>,
) -> Result<()> {
    let data = Data::at(&flags.up.data)?;
    let location = configure::parsed(&flags.up).document.edge.location;
    let pace = tempo.scaled(POLL).max(LEAST);
    tokio::task::spawn_local(async move {
        let mut follower = None;
        let mut complaints = Vec::new();
        loop {
            if let Some(follower) = renewed(&mut follower, &data, &location) {
                let looked = follower.look(Instant::now()).await;
                if looked.problems != complaints {
                    for problem in &looked.problems {
                        complain(format_args!("what is published: {problem}"));
                    }
                    complaints = looked.problems;
                }
                if let Some(news) = looked.news {
                    let generation = follower.generation();
                    if told.send(Followed { generation, news }).await.is_err() {
                        return;
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(jittered(pace)) => {}
                () = look.notified() => {}
            }
        }
    });
    Ok(())
}

/// The follower, once there is a root key to believe; another one when that is another.
fn renewed<'f>(
    follower: &'f mut Option<Follower>,
    data: &Data,
    location: &str,
) -> Option<&'f mut Follower> {
    match keys::root_public(data) {
        Ok(None) => {}
        Ok(Some(key)) => {
            if follower
                .as_ref()
                .is_none_or(|known| known.root_key() != key)
            {
                let own = Source::Folder(Folder::at(data.path(PUBLISHED)));
                let data = Data::at(&data.path("")).ok()?;
                *follower = Some(Follower::new(data, location, key, vec![own]));
            }
        }
        Err(error) => complain(format_args!("{error:#}")),
    }
    follower.as_mut()
}

/// A time that is up to a fifth longer or shorter.
fn jittered(pace: Duration) -> Duration {
    let random = data::random().unwrap_or(u64::MAX / 2);
    let part = (random % 401) as u32;
    pace * (800 + part) / 1_000
}
