//! An edge becomes a location of a control that runs elsewhere, and starts with what that has published, or with what it served last
//! when nobody answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use seawall_bundle::{SealKey, SigningKey};
use seawall_control::store::LocationKeys;
use seawall_proxy::materials::Materials;
use seawall_proxy::trial;
use tokio::time::Instant;

use crate::cli;
use crate::configure;
use crate::contents::Contents;
use crate::data::Data;
use crate::distribution::identity::{self, CONTROL};
use crate::distribution::joining::{Ask, Identity, Let, Token};
use crate::distribution::publisher::now_ms;
use crate::distribution::source::Remote;
use crate::draft::Draft;
use crate::live;
use crate::order::OnTrial;
use crate::say::{complain, say};

/// Between two looks for something to serve.
const LOOK: Duration = Duration::from_secs(2);
/// Between two looks while files of what is published are not here yet.
const SOON: Duration = Duration::from_millis(500);
/// So many looks later what there is is served without them.
const FILES: u32 = 20;

/// Makes of an edge's flags those of a location that has joined, if it is one or is to be one.
///
/// # Errors
/// When it cannot join, with what can be done.
pub fn prepare(mut edge: cli::Edge) -> Result<cli::Edge> {
    if edge.wire.is_some() || edge.held.is_some() {
        // Started by `up`, or by the edge that it replaces: all is decided.
        return Ok(edge);
    }
    let data = Data::at(&edge.up.data)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    let identity = local.block_on(&runtime, async {
        let known = Identity::read(&data)?;
        let mut identity = match (known, &edge.join) {
            (Some(known), Some(url)) if known.control == *url => known,
            (Some(known), None) => known,
            (_, Some(url)) => join(&data, url, edge.token.as_deref()).await?,
            (None, None) => return Ok(None),
        };
        if !edge.source.is_empty() {
            identity.relays.clone_from(&edge.source);
            identity.keep(&data)?;
        }
        #[cfg(feature = "unsafe-drills")]
        if seawall_model::safeguard::is_off(seawall_model::safeguard::Safeguard::Disk) {
            // As an edge that has nothing of its own, and asks for all of it when it starts.
            let _ = std::fs::remove_file(data.path(live::LIVE));
            let _ = std::fs::remove_dir_all(data.path("received"));
        }
        if !data.path(live::LIVE).exists() {
            first(&data, &identity, &edge.up).await?;
        }
        anyhow::Ok(Some(identity))
    })?;
    if let Some(identity) = identity {
        edge.managed = true;
        edge.up.location = Some(identity.location);
    }
    Ok(edge)
}

/// Joins: shows the token, and keeps what it is told.
async fn join(data: &Data, url: &str, token: Option<&str>) -> Result<Identity> {
    let token: Token = token.context("--join needs --token")?.parse()?;
    let (tls_key, point) = identity::new_key()?;
    let (report_key, seal_key) = (SigningKey::generate()?, SealKey::generate()?);
    let ask = Ask {
        location: token.location.clone(),
        secret: seawall_bundle::Hash(token.secret).to_string(),
        keys: LocationKeys {
            tls: point.iter().map(|byte| format!("{byte:02x}")).collect(),
            report: report_key.public().to_string(),
            seal: seal_key.public().to_string(),
        },
        architecture: std::env::consts::ARCH.into(),
    };
    let tls = identity::joining(token.authority)?;
    let remote = Remote::new(url, CONTROL, &token.location, tls)?;
    let told = remote.post("/v1/join", serde_json::to_vec(&ask)?).await;
    let told = told.with_context(|| format!("{url} did not let us in"))?;
    let told: Let = serde_json::from_slice(&told).context("what control answered")?;
    let authority = identity::chain(&told.authority)?;
    if authority
        .first()
        .map(|first| seawall_bundle::Hash::of(first))
        != Some(token.authority)
    {
        bail!("control told of another authority than the token names");
    }
    let identity = Identity {
        location: token.location,
        control: url.to_owned(),
        relays: Vec::new(),
        root_key: told.root_key,
        certificate: told.certificate,
        authority: told.authority,
        tls_key,
        report_key: report_key.to_text()?,
        seal_key: seal_key.to_text()?,
        since: now_ms() / 1_000,
    };
    identity.keep(data)?;
    say(format_args!(
        "Seawall has joined {url} as location {}",
        identity.location
    ));
    Ok(identity)
}

/// The first thing that is served: what is published, once there is a zone in it.
async fn first(data: &Data, identity: &Identity, up: &cli::Up) -> Result<()> {
    let mut follower = identity.follower(data)?;
    let mut told = String::new();
    let mut once = |why: String| {
        if told != why {
            complain(&why);
            told = why;
        }
    };
    let (mut live, mut trials, mut root) = (BTreeMap::new(), Vec::new(), None);
    let mut patience = FILES;
    loop {
        let looked = follower.look(Instant::now()).await;
        let mut why = looked.problems.join("\n");
        let is_known = looked.news.is_some() || !live.is_empty();
        if let Some(news) = looked.news {
            let changes = news.live.into_iter();
            live.extend(changes.map(|change| (change.chain.clone(), change)));
            (trials, root) = (news.trials, news.root);
        }
        if follower.lacks_files() && patience > 0 {
            // Who has just joined is sealed to with the next manifest.
            patience -= 1;
            tokio::time::sleep(SOON).await;
            continue;
        }
        if is_known {
            let mut head = configure::parsed(up).document.head();
            head.edge.location.clone_from(&identity.location);
            let mut draft = Draft::of(head);
            // What nothing has served before it is on trial for all.
            let for_all = trials.iter().filter(|on: &&OnTrial| on.share == trial::ALL);
            let mut for_all = for_all.map(|on| &on.change);
            let (_, failed) = draft.put_all(live.values().chain(for_all.clone()));
            for (change, problems) in &failed {
                complain(format_args!("{} is not taken: {problems}", change.chain));
            }
            let is_all = failed.is_empty() && for_all.next().is_none() && !follower.lacks_files();
            let stand = root.as_deref().filter(|_| is_all);
            let document = draft.finish();
            if !document.zones.is_empty() {
                let contents = Contents::of(data);
                let read = |path: &Path, room| contents.read(path, room);
                let files = Materials::read_by(&document, None, read);
                live::write(&data.path(live::LIVE), &document, &[&files], stand)
                    .map_err(|error| anyhow!("{error}"))
                    .context("what is to be served cannot be kept")?;
                return Ok(());
            }
            why = "control has published no zone yet: this edge serves once it has".into();
        } else if why.is_empty() {
            why = "control has published nothing yet: this edge serves once it has".into();
        }
        once(why);
        tokio::time::sleep(LOOK).await;
    }
}
