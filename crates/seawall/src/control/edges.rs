//! Where locations come to: what listens for them, and who of them may read.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use seawall_bundle::PublicKey;
use tokio::sync::{mpsc, watch};

use crate::cli::{self, Listen};
use crate::data::Data;
use crate::distribution::identity::Authority;
use crate::distribution::keys;
use crate::distribution::publisher::Publisher;
use crate::distribution::serve::{self, Hands, Known, Question, Readers};
use crate::say::say;

/// Where locations come to.
pub(super) struct Edges {
    pub(super) authority: Authority,
    pub(super) root_key: PublicKey,
    pub(super) listens: SocketAddr,
    /// Who may read.
    pub(super) known: watch::Sender<Known>,
}

impl Edges {
    /// Listens, where it is to.
    ///
    /// # Errors
    /// When it cannot, with what can be done.
    pub(super) fn open(
        up: &cli::Up,
        data: &Data,
        publisher: &Publisher,
        changed: watch::Receiver<u64>,
        questions: mpsc::Sender<Question>,
    ) -> Result<Option<Self>> {
        let Some(Listen::At(address)) = up.edges else {
            return Ok(None);
        };
        let authority = Authority::open(data).context("the authority of locations")?;
        let root_key = keys::root_public(data)?.context("there is no root key")?;
        let (known, knows) = watch::channel(Known::new());
        let hands = Hands {
            folder: publisher.folder().clone(),
            changed,
            readers: Readers::Known(knows),
            questions: Some(questions),
        };
        let listens = serve::start(address, authority.server()?, hands).with_context(|| {
            format!("locations cannot come to {address} (choose another address with --edges)")
        })?;
        say(format_args!(
            "Seawall control listens for locations on {listens}"
        ));
        Ok(Some(Self {
            authority,
            root_key,
            listens,
            known,
        }))
    }
}
