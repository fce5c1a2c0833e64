//! Break-glass, done: what stands here beside what control says, until control knows of it and says something newer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result, anyhow, bail};
use seawall_bundle::{Limits, Purge, ReportHead, SCHEMA, SigningKey, sign_report};
use seawall_control::version::{platform_text, zone_text};
use seawall_model::{Document, Purged, purged};
use serde::{Deserialize, Serialize};

use super::Agent;
use super::managed::Held;
use super::stands::HERE;
use crate::data::{self, Data};
use crate::distribution::joining::Identity;
use crate::distribution::publisher::now_ms;
use crate::good;
use crate::here::{Act, Done, Glass};
use crate::live;
use crate::order::{Chain, Change};
use crate::standing::Switch;

/// What is kept of it, in the data folder.
const KEPT: &str = "here.json";
/// The log of it, in the data folder.
const LOG: &str = "break-glass.log";
/// The key that signs the log where this edge has not joined a control.
const KEY: &str = "here.key";
/// As many purges of this machine's own as are kept.
const OWN_PURGES: usize = 64;
/// As many acts as control is told of.
const TOLD: usize = 16;

/// What was done here.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// Chains that do not follow control.
    pub held: Vec<Held>,
    /// The last acts.
    pub done: Vec<Done>,
}

impl Kept {
    /// As an earlier process has left it.
    pub fn read(data: &Data) -> Self {
        let kept = std::fs::read(data.path(KEPT)).ok();
        let kept = kept.and_then(|text| serde_json::from_slice(&text).ok());
        kept.unwrap_or_default()
    }
}

impl Agent {
    /// Does it, and says what was done.
    pub(super) async fn here(&mut self, here: Glass) -> Result<String> {
        let said = match &here.act {
            Act::Kill {
                stage,
                zone,
                for_ms,
            } => self.kill_here(stage, zone.as_deref(), *for_ms, &here.why)?,
            Act::EndKill { stage, zone } => self.end_kill_here(stage, zone.as_deref())?,
            Act::Back(chain) => self.back_here(chain)?,
            Act::Hold(chain) => self.hold_here(chain)?,
            Act::Release(chain) => {
                if !self.managed.release(chain) {
                    bail!("{chain} follows control already");
                }
                format!("{chain} follows control again")
            }
            Act::Purge { zone, what, soft } => self.purge_here(zone, what, *soft)?,
            Act::Drain | Act::Undrain => {
                let away = here.act == Act::Drain;
                self.stands
                    .change(&self.data, |standing, _| standing.drained_here = away);
                if away {
                    "this edge says that it is not ready; it serves whoever comes"
                } else {
                    "this edge is ready, unless control says otherwise"
                }
                .to_owned()
            }
        };
        self.note(here)?;
        self.order().await?;
        Ok(said)
    }

    fn kill_here(
        &mut self,
        stage: &str,
        zone: Option<&str>,
        for_ms: u64,
        why: &str,
    ) -> Result<String> {
        let number = HERE | data::random()? >> 1;
        let kept = self.stands.change(&self.data, |standing, now| {
            standing.switches.retain(|_, switch| {
                !(switch.here && switch.stage == stage && switch.zone.as_deref() == zone)
            });
            let mut switch = Switch::seen_now(stage, zone, for_ms, why, now);
            switch.here = true;
            standing.switches.insert(number, switch);
        });
        if !kept {
            bail!(
                "{} cannot be written",
                self.data.path(crate::standing::STANDING).display()
            );
        }
        let zone = zone.map_or_else(|| "all zones".to_owned(), ToOwned::to_owned);
        Ok(format!(
            "{stage} is off in {zone} here, for {} s",
            for_ms / 1_000
        ))
    }

    fn purge_here(&mut self, zone: &str, what: &[Purged], soft: bool) -> Result<String> {
        purged::check(what).map_err(|why| anyhow!(why))?;
        let kept = self.stands.change(&self.data, |standing, _| {
            let last = standing.purges.last().map_or(0, |purge| purge.id);
            // The later ones are purged last: the oldest of this machine's own go first.
            let own = standing.purges.iter().filter(|purge| purge.id >= HERE);
            if own.count() >= OWN_PURGES
                && let Some(at) = standing.purges.iter().position(|purge| purge.id >= HERE)
            {
                standing.purges.remove(at);
            }
            standing.purges.push(Purge {
                id: last.max(HERE | now_ms()) + 1,
                zone: zone.to_owned(),
                what: what.to_vec(),
                soft,
            });
        });
        if !kept {
            bail!(
                "{} cannot be written",
                self.data.path(crate::standing::STANDING).display()
            );
        }
        self.count();
        Ok(format!("{} of {zone} purged here", what.len()))
    }

    fn end_kill_here(&mut self, stage: &str, zone: Option<&str>) -> Result<String> {
        let before = self.stands.standing().switches.len();
        self.stands.change(&self.data, |standing, _| {
            standing.switches.retain(|_, switch| {
                !(switch.here && switch.stage == stage && switch.zone.as_deref() == zone)
            });
        });
        if self.stands.standing().switches.len() == before {
            bail!("no such switch was set here (those of control are ended there)");
        }
        Ok(format!(
            "{stage} is on again, unless control has switched it off"
        ))
    }

    /// What had proved good, in place of what serves: the newest that is not the same.
    fn back_here(&mut self, chain: &Chain) -> Result<String> {
        self.may_hold()?;
        let now = self.serves_of(chain)?;
        let folder = self.data.path("");
        let earlier = good::GOOD.iter().filter_map(|name| {
            let found = live::read(&folder.join(name)).ok()?;
            let text = text_of(&found.parsed.document, chain)?;
            Some((text, found.files))
        });
        let mut earlier = earlier.filter(|(text, _)| *text != now);
        let good = match earlier.next() {
            Some((text, files)) => {
                // What its files held then.
                self.contents.put_all(&files)?;
                text
            }
            // What is on trial goes; what all others have stays.
            None if self.managed.is_on_trial(chain) => now,
            None => bail!(
                "nothing else of {chain} has proved good on this machine: there is nothing to go back to (`seawall kill` switches a stage off)"
            ),
        };
        self.hold(chain, good);
        Ok(format!(
            "{chain} is back at what had proved good, here, until there is a newer version"
        ))
    }

    /// What serves of a chain, as text.
    fn serves_of(&self, chain: &Chain) -> Result<String> {
        let live = good::recall(&self.data.path(""))
            .map_err(|error| anyhow!("what serves cannot be read: {error}"))?;
        text_of(&live.parsed.document, chain)
            .with_context(|| format!("{chain} does not serve here"))
    }

    fn hold_here(&mut self, chain: &Chain) -> Result<String> {
        self.may_hold()?;
        let now = self.serves_of(chain)?;
        self.hold(chain, now);
        Ok(format!(
            "{chain} stays as it is, here, until there is a newer version"
        ))
    }

    fn may_hold(&self) -> Result<()> {
        if self.is_managed {
            return Ok(());
        }
        bail!("this edge serves what its file says: change the file and reload (`kill -HUP`)")
    }

    fn hold(&mut self, chain: &Chain, text: String) {
        self.managed.hold(Change {
            chain: chain.clone(),
            version: 0,
            text: Some(text),
        });
    }

    /// Writes it down: for the next process, for people, and for control.
    fn note(&mut self, here: Glass) -> Result<()> {
        let last = self.done.last().map_or(0, |done| done.number);
        let done = Done {
            number: last + 1,
            at: now_ms() / 1_000,
            here,
        };
        self.log(&done)?;
        self.done.push(done);
        if self.done.len() > TOLD {
            self.done.remove(0);
        }
        self.keep_here();
        Ok(())
    }

    /// Keeps what was done for the next process.
    pub(super) fn keep_here(&self) {
        let kept = Kept {
            held: self.managed.held().cloned().collect(),
            done: self.done.clone(),
        };
        if let Ok(text) = serde_json::to_vec_pretty(&kept) {
            self.data.keep(KEPT, &text, 0o600);
        }
    }

    fn log(&self, done: &Done) -> Result<()> {
        let (key, location) = match Identity::read(&self.data)? {
            Some(identity) => (identity.report_key()?, identity.location),
            None => (own_key(&self.data)?, "here".to_owned()),
        };
        let report = seawall_bundle::Report {
            head: ReportHead {
                schema: SCHEMA,
                location,
                number: done.number,
                epoch: self.followed.0,
                generation: self.followed.1,
                at: now_ms(),
            },
            body: serde_json::to_vec(done)?,
        };
        let signed = sign_report(&report, &key, &Limits::default())?;
        let mut line = BTreeMap::new();
        line.insert("done", serde_json::to_value(done)?);
        let signed = String::from_utf8_lossy(&signed).into_owned();
        line.insert("signed", serde_json::Value::String(signed));
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        let path = self.data.path(LOG);
        let opened = File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path);
        opened
            .and_then(|mut file| {
                file.write_all(&text)?;
                file.sync_all()
            })
            .with_context(|| format!("{} cannot be written", path.display()))
    }
}

fn own_key(data: &Data) -> Result<SigningKey> {
    if let Ok(text) = std::fs::read_to_string(data.path(KEY)) {
        return SigningKey::parse(&text).context(KEY);
    }
    let key = SigningKey::generate()?;
    if data.keep(KEY, key.to_text()?.as_bytes(), 0o600) {
        return Ok(key);
    }
    bail!("{} cannot be written", data.path(KEY).display())
}

fn text_of(document: &Document, chain: &Chain) -> Option<String> {
    match chain {
        Chain::Platform => Some(platform_text(document)),
        Chain::Zone(name) => {
            let mut zones = document.zones.iter();
            zones.find(|zone| zone.name == *name).map(zone_text)
        }
    }
}
