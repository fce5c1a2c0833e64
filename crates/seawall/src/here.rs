//! Break-glass: what is done on an edge's own machine, with control, store, dashboard and login all dead. It is asked of the
//! supervisor through `DATA/edge.sock`, done by the agent, written down signed, and told to control when that is back.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use seawall_model::Purged;
use serde::{Deserialize, Serialize};

use crate::message::{Reply, Request};
use crate::order::Chain;
use crate::say::say;
use crate::wire::Wire;

/// How long it may take: what is done is compiled.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is to be done here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glass {
    /// What.
    pub act: Act,
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
}

/// What can be done here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A stage is off for a while, in a zone or in all.
    Kill {
        /// Which.
        stage: String,
        /// Where; none: in all.
        zone: Option<String>,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// And on again.
    EndKill {
        /// Which.
        stage: String,
        /// Where; none: in all.
        zone: Option<String>,
    },
    /// What had proved good before serves again, until there is a newer version than all that are known now.
    Back(Chain),
    /// What serves stays, until there is a newer version than all that are known now.
    Hold(Chain),
    /// What control says serves again.
    Release(Chain),
    /// What this machine keeps of a zone's responses goes, or becomes stale.
    Purge {
        /// The zone.
        zone: String,
        /// What of it.
        what: Vec<Purged>,
        /// It becomes stale, and does not go.
        soft: bool,
    },
    /// This edge says that it is not ready.
    Drain,
    /// It does so no longer.
    Undrain,
}

/// Something that was done here, as control is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Counts up at this edge, not by ones: none is ever given to something else.
    pub number: u64,
    /// When, in seconds since 1970 by this machine's clock.
    pub at: u64,
    /// What.
    pub here: Glass,
}

/// Asks for it, and tells what came of it.
///
/// # Errors
/// When nothing runs on the data folder, or it is not done.
pub fn ask(data: &Path, act: Act, who: String, why: &str) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let wire = Wire::connect(&data.join("edge.sock")).with_context(|| {
            format!(
                "no edge runs on {}: --here acts on this machine's own (name its folder with --data)",
                data.display()
            )
        })?;
        let why = why.to_owned();
        wire.say(&Request::Here(Glass { act, who, why }), &[])?;
        let heard = tokio::time::timeout(PATIENCE, wire.hear::<Reply>()).await;
        match heard.context("the edge does not answer")??.map(|(reply, _)| reply) {
            Some(Reply::Here { said }) => {
                say(said);
                Ok(ExitCode::SUCCESS)
            }
            Some(Reply::Refused { why }) => bail!("{why}"),
            _ => bail!("the edge has gone"),
        }
    })
}
