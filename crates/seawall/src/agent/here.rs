//! Break-glass, done: what stands here beside what control says, until control knows of it and says something newer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use seawall_bundle::{Limits, Purge, ReportHead, SCHEMA, SigningKey, sign_report};
use seawall_control::version::{platform_text, zone_text};
use seawall_model::{Document, Purged, purged};
use serde::{Deserialize, Serialize};

use super::Agent;
use super::managed::Held;
use super::stands::HERE;
use crate::control::unknown;
use crate::data::{self, Data};
use crate::distribution::joining::Identity;
use crate::distribution::publisher::now_ms;
use crate::earlier;
use crate::good;
use crate::here::{Act, Done, Glass};
use crate::live;
use crate::order::{Chain, Change};
use crate::standing::{Clock, STANDING, Standing, Switch};
use crate::switch;

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
    /// Does it, and says what was done. What was done and could not be written down is an error, which says both.
    pub(super) async fn here(&mut self, here: Glass) -> Result<String> {
        let said = self.act(&here)?;
        let noted = self.note(here);
        self.order().await?;
        match noted {
            Ok(()) => Ok(said),
            Err(why) => bail!("done here ({said}), but {why:#}"),
        }
    }

    fn act(&mut self, here: &Glass) -> Result<String> {
        Ok(match &here.act {
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
                self.change(|standing, _| standing.drained_here = away)?;
                if away {
                    "this edge says that it is not ready; it serves whoever comes"
                } else {
                    "this edge is ready, unless control says otherwise"
                }
                .to_owned()
            }
        })
    }

    /// Changes what stands here beside documents.
    fn change(&mut self, change: impl FnOnce(&mut Standing, &Clock)) -> Result<()> {
        if self.stands.change(&self.data, change) {
            return Ok(());
        }
        bail!(
            "{} cannot be written: nothing was done (make room on the disk, and try again)",
            self.data.path(STANDING).display()
        )
    }

    fn kill_here(
        &mut self,
        stage: &str,
        zone: Option<&str>,
        for_ms: u64,
        why: &str,
    ) -> Result<String> {
        switch::has_stage(self.stages, stage).map_err(|why| anyhow!(why))?;
        if let Some(zone) = zone {
            self.has_zone(zone)?;
        }
        switch::may_be_set(why, Duration::from_millis(for_ms)).map_err(|why| anyhow!(why))?;
        let number = HERE | data::random()? >> 1;
        self.change(|standing, now| {
            standing.switches.retain(|_, switch| {
                !(switch.here && switch.stage == stage && switch.zone.as_deref() == zone)
            });
            let mut switch = Switch::seen_now(stage, zone, for_ms, why, now);
            switch.here = true;
            standing.switches.insert(number, switch);
        })?;
        let zone = zone.map_or_else(|| "all zones".to_owned(), ToOwned::to_owned);
        Ok(format!(
            "{stage} is off in {zone} here, for {} s",
            for_ms / 1_000
        ))
    }

    /// Whether a zone serves here. All that serves is read, which takes a while where that is very much; where it cannot be read, the
    /// switch is not what is to wait for it.
    fn has_zone(&self, zone: &str) -> Result<()> {
        let Ok(live) = good::recall(&self.data.path("")) else {
            return Ok(());
        };
        let mut zones = live.parsed.document.zones.iter();
        if zones.any(|known| known.name == zone) {
            return Ok(());
        }
        bail!(unknown(&Chain::Zone(zone.to_owned())))
    }

    /// Whether a zone that serves here has the hosts that are named. As with [`Agent::has_zone`], what cannot be read is not waited for.
    fn has_hosts(&self, zone: &str, what: &[Purged]) -> Result<()> {
        if what.iter().all(|one| one.host().is_none()) {
            return Ok(());
        }
        let Ok(live) = good::recall(&self.data.path("")) else {
            return Ok(());
        };
        let mut zones = live.parsed.document.zones.iter();
        let Some(known) = zones.find(|known| known.name == zone) else {
            return Ok(());
        };
        purged::check_hosts(what, zone, known.hosts.iter()).map_err(|why| anyhow!(why))
    }

    fn purge_here(&mut self, zone: &str, what: &[Purged], soft: bool) -> Result<String> {
        purged::check(what).map_err(|why| anyhow!(why))?;
        self.has_hosts(zone, what)?;
        self.change(|standing, _| {
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
        })?;
        self.count();
        Ok(format!("{} of {zone} purged here", what.len()))
    }

    fn end_kill_here(&mut self, stage: &str, zone: Option<&str>) -> Result<String> {
        let before = self.stands.standing().switches.len();
        self.change(|standing, _| {
            standing.switches.retain(|_, switch| {
                !(switch.here && switch.stage == stage && switch.zone.as_deref() == zone)
            });
        })?;
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
        let fell_out = match chain {
            Chain::Platform => earlier::PLATFORM,
            Chain::Zone(_) => earlier::ZONES,
        };
        let names = good::GOOD.iter().chain(std::iter::once(&fell_out));
        let earlier = names.filter_map(|name| {
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

    /// Writes down what was done: for the next process, for people, and for control.
    ///
    /// # Errors
    /// What could not be written. Control is told even so, by this process.
    fn note(&mut self, here: Glass) -> Result<()> {
        let is_kept_there = matches!(here.act, Act::Back(_) | Act::Hold(_) | Act::Release(_));
        let now = now_ms();
        let last = self.done.last().map_or(0, |done| done.number);
        let done = Done {
            // Never less than the time: a number that was told and could not be kept is not given again.
            number: last.saturating_add(1).max(now),
            at: now / 1_000,
            here,
        };
        let logged = self.log(&done);
        self.done.push(done);
        if self.done.len() > TOLD {
            self.done.remove(0);
        }
        let mut missed = Vec::new();
        if !self.keep_here() {
            let what = if is_kept_there {
                "not kept for the next process"
            } else {
                "control does not hear of it if this process ends"
            };
            missed.push(format!(
                "{what}: {} cannot be written (make room on the disk; it is tried again until then)",
                self.data.path(KEPT).display()
            ));
        }
        if let Err(why) = logged {
            missed.push(format!("not in {LOG}: {why:#}"));
        }
        if missed.is_empty() {
            return Ok(());
        }
        bail!(missed.join("; and "))
    }

    /// Keeps what was done for the next process. Whether it could: if not, it is tried again later.
    pub(super) fn keep_here(&mut self) -> bool {
        let kept = Kept {
            held: self.managed.held().cloned().collect(),
            done: self.done.clone(),
        };
        let text = serde_json::to_vec_pretty(&kept);
        let kept = text.is_ok_and(|text| self.data.keep(KEPT, &text, 0o600));
        self.unkept = !kept;
        kept
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
                let before = file.metadata()?.len();
                let written = file.write_all(&text).and_then(|()| file.sync_all());
                if written.is_err() {
                    // Half a line would spoil the next one.
                    let _ = file.set_len(before);
                }
                written
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
