//! Locations: they join with a token, show who they are, and tell what became of what was published.

use anyhow::{Context, Result, anyhow, bail};
use schemars::JsonSchema;
use seawall_bundle::{Limits, PublicKey, SealPublicKey, open_report};
use seawall_control::Hash;
use seawall_control::store::{Body, Change as StoreChange, Entry, Expect, LocationKeys};
use serde::{Deserialize, Serialize};

use super::Control;
use super::asks::{self, JoinToken, NotMade};
use super::barred::barred;
use super::engine::unix;
use super::fleet::Joined;
use super::make::By;
use super::words::Report;
use crate::data;
use crate::distribution::joining::{Ask, Let, Token};
use crate::distribution::serve::{Answer, Asked, Known};
use crate::here::Done;
use crate::order::Chain;
use crate::say::{complain, say};

/// Seconds that a token to join with is good for, at most.
const TOKEN: u64 = 60 * 60;
/// What a token to join with may do.
const JOIN: &str = "join";
/// And this, where changes are to begin at the location that joins with it.
const CANARY: &str = "canary";
/// As many locations as are looked at.
const ROWS: usize = 10_000;

/// A location, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Location")]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Its architecture.
    pub architecture: String,
    /// Traffic is led away from it.
    pub drained: bool,
    /// Traffic is led away from it because it is ill.
    #[serde(default)]
    pub away: bool,
    /// Whether it says that it can serve; none: it does not say.
    #[serde(default)]
    pub ready: Option<bool>,
    /// It has told nothing for longer than one that is well does; or nothing at all since it joined or control started.
    #[serde(default)]
    pub silent: bool,
    /// It joined; else it is on this machine.
    pub joined: bool,
    /// Its owner wants changes to begin there.
    #[serde(default)]
    pub canary: bool,
    /// The generation that it acts on; none before its first Report.
    pub generation: Option<u64>,
    /// Milliseconds since its last Report.
    pub age_ms: Option<u64>,
    /// Chains that do not follow control there, by somebody's word on that machine.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub held: Vec<Chain>,
    /// Versions that are for all and do not serve there, and why.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// The number of the purge up to which it has come; none before its first Report.
    #[serde(default)]
    pub purged: Option<u64>,
}

impl Control {
    /// Makes a token.
    pub(super) fn join_token(
        &mut self,
        location: &str,
        for_s: u64,
        canary: bool,
        by: &By<'_>,
    ) -> Result<asks::Answer, NotMade> {
        seawall_model::document::location(location)
            .map_err(|wrong| NotMade::Refused(wrong.to_string()))?;
        self.is_free(location).map_err(NotMade::Refused)?;
        let refused = |error: anyhow::Error| NotMade::Refused(format!("{error:#}"));
        if !(1..=TOKEN).contains(&for_s) {
            return Err(NotMade::Refused(
                "a token is good for an hour at most, and for a second at least".into(),
            ));
        }
        let Some(edges) = &self.edges else {
            return Err(NotMade::Refused(
                "control listens for no locations: start it with --edges ADDRESS".into(),
            ));
        };
        let authority = edges.authority.fingerprint();
        let mut secret = [0; 32];
        for part in secret.chunks_exact_mut(8) {
            part.copy_from_slice(&data::random().map_err(refused)?.to_le_bytes());
        }
        let token = Token {
            location: location.to_owned(),
            secret,
            authority,
        };
        let hash = Hash::of(&secret);
        let mut scopes = vec![JOIN.to_owned()];
        scopes.extend(canary.then(|| CANARY.to_owned()));
        let body = Body::TokenMade {
            name: token_of(&hash),
            hash,
            scopes,
            location: Some(location.to_owned()),
            expires: Some(unix() + for_s),
        };
        let listens = edges.listens.to_string();
        let by = By {
            why: "a location is to join",
            ..*by
        };
        self.write(body, &by)?;
        Ok(asks::Answer::JoinToken(JoinToken {
            token: token.to_string(),
            listens,
        }))
    }

    /// Whether a location may join by this name: another one of the name of this machine's own would stand before it.
    fn is_free(&self, location: &str) -> Result<(), String> {
        if !self.engine.fleet.has_here(location) {
            return Ok(());
        }
        Err(format!(
            "{location} is the location of control's own machine: choose another name for the one that is to join (`seawall control token --location NAME`), or start this machine with another one (`seawall up --location NAME`)"
        ))
    }

    /// Answers who came over the network.
    pub(super) fn asked(&mut self, asked: Asked) -> Answer {
        let answered = match asked {
            Asked::Join { body } => self.join(&body),
            Asked::Renew { location } => self.renew(&location),
            Asked::Report { location, signed } => return self.reported(&location, &signed),
        };
        match answered {
            Ok(said) => (200, said),
            Err(why) => (403, format!("{why:#}").into_bytes()),
        }
    }

    fn join(&mut self, body: &[u8]) -> Result<Vec<u8>> {
        let ask: Ask = serde_json::from_slice(body).context("what was asked")?;
        seawall_model::document::location(&ask.location).map_err(|wrong| anyhow!("{wrong}"))?;
        PublicKey::parse(&ask.keys.report).context("the key of Reports")?;
        SealPublicKey::parse(&ask.keys.seal).context("the key that secrets are sealed to")?;
        if ask.architecture.len() > 32 {
            bail!("no architecture has such a name");
        }
        let secret = seawall_bundle::Hash::parse(&ask.secret).context("the token")?;
        let name = token_of(&Hash::of(&secret.0));
        if self.is_let(&ask, &name)? {
            // The answer was lost: it is told again.
            return self.let_in(&ask.location, &ask.keys);
        }
        self.is_free(&ask.location).map_err(|why| anyhow!(why))?;
        let unknown = "the token is unknown, used up, too old or another location's: make one with `seawall control token`";
        let token = self.engine.store().stands("token", &name)?;
        let token = token.map(|entry| entry.body);
        let Some(Body::TokenMade {
            scopes,
            location,
            expires,
            ..
        }) = token
        else {
            bail!("{unknown}");
        };
        let is_good = scopes.iter().any(|scope| scope == JOIN)
            && location.as_ref() == Some(&ask.location)
            && expires.is_none_or(|expires| unix() <= expires);
        if !is_good {
            bail!("{unknown}");
        }
        // Before anything is written: the certificate can be made.
        let told = self.let_in(&ask.location, &ask.keys)?;
        let last = self.engine.store().last()?;
        let mut changes = vec![Body::TokenRevoked { name }];
        changes.extend(self.other_keys(&ask.location, &ask.keys)?);
        changes.push(Body::LocationJoined {
            location: ask.location.clone(),
            key: ask.keys.hash(),
            keys: ask.keys,
            architecture: ask.architecture,
            canary: scopes.iter().any(|scope| scope == CANARY),
        });
        let who = format!("location:{}", ask.location);
        let changes = changes.into_iter().map(StoreChange::Event).collect();
        self.engine.append(
            &who,
            "it showed its token",
            vec![Expect::Seq(last)],
            changes,
        )?;
        self.places_changed();
        say(format_args!("Location {} has joined", ask.location));
        Ok(told)
    }

    /// Whether this very location was let in by this very token already.
    fn is_let(&mut self, ask: &Ask, token: &str) -> Result<bool> {
        let Some(entry) = self.engine.store().stands("location", &ask.location)? else {
            return Ok(false);
        };
        let Body::LocationJoined { key, .. } = &entry.body else {
            return Ok(false);
        };
        // The token was revoked in the same append, a few entries before.
        let before = entry.seq.saturating_sub(3).max(1);
        let before = self.engine.store().log(before, 3)?;
        let by =
            |entry: &Entry| matches!(&entry.body, Body::TokenRevoked { name } if name == token);
        Ok(*key == ask.keys.hash() && before.iter().any(by))
    }

    fn let_in(&mut self, location: &str, keys: &LocationKeys) -> Result<Vec<u8>> {
        let edges = self
            .edges
            .as_ref()
            .context("control listens for no locations")?;
        let point = from_hex(&keys.tls).context("the key of the certificate")?;
        let told = Let {
            root_key: edges.root_key,
            certificate: edges.authority.issue(location, &point)?,
            authority: edges.authority.pem.clone(),
        };
        Ok(serde_json::to_vec(&told)?)
    }

    fn renew(&mut self, location: &str) -> Result<Vec<u8>> {
        match self.engine.store().stands("location", location)? {
            Some(Entry {
                body: Body::LocationJoined { keys, .. },
                ..
            }) => self.let_in(location, &keys),
            _ => bail!("{location} is not one of ours: join again"),
        }
    }

    /// Writes into the log what was done on a location's own machine, where that is new.
    pub(super) fn note_here(&mut self, location: &str, done: &[Done]) -> Result<()> {
        if done.is_empty() {
            return Ok(());
        }
        let known = self.engine.store().stands("here", location)?;
        let known = match known.map(|entry| entry.body) {
            Some(Body::DoneHere { number, .. }) => number,
            _ => 0,
        };
        for done in done.iter().filter(|done| done.number > known) {
            let body = Body::DoneHere {
                location: location.to_owned(),
                number: done.number,
                at: done.at,
                what: serde_json::to_string(&done.here.act)?,
            };
            let who = format!("location:{location}/{}", done.here.who);
            let why = done.here.why.clone();
            self.engine
                .append(&who, &why, Vec::new(), vec![StoreChange::Event(body)])?;
            complain(format_args!(
                "on the machine of {location} itself, {} did {}: {why}",
                done.here.who,
                serde_json::to_string(&done.here.act)?
            ));
        }
        Ok(())
    }

    /// A Report came that is to be believed.
    pub(super) fn take_report(&mut self, location: &str, report: Report) {
        let now = self.now_ms();
        self.publisher.was_seen(report.epoch, report.generation);
        if let Err(error) = self.note_here(location, &report.here) {
            complain(format_args!(
                "what was done at {location} is not in the log yet: {error:#}"
            ));
        }
        self.engine.purge_times.told(location, report.purged, now);
        let tempo = self.tempo;
        self.engine.fleet.heard(location, report, now, &tempo);
    }

    /// A location is one of ours no more.
    pub(super) fn leave(&mut self, location: &str, by: &By<'_>) -> Result<asks::Answer, NotMade> {
        let Some(entry) = self.engine.store().stands("location", location)? else {
            return Err(NotMade::Unknown(format!(
                "no location {location} has joined: `seawall control locations` lists them"
            )));
        };
        let mut changes = vec![StoreChange::Event(Body::LocationLeft {
            location: location.to_owned(),
        })];
        changes.extend(barred(&entry).map(StoreChange::Event));
        self.engine.append_by(by, Vec::new(), changes)?;
        self.tell_what_it_has_seen(location)?;
        self.places_changed();
        Ok(asks::Answer::Done)
    }

    /// Traffic is led away from a location, or back to it.
    pub(super) fn drain(
        &mut self,
        location: Option<&str>,
        undrain: bool,
        by: &By<'_>,
    ) -> Result<asks::Answer, NotMade> {
        let places = self.engine.fleet.places(self.now_ms());
        let location = match (location, places.as_slice()) {
            (Some(location), _) => location.to_owned(),
            (None, [one]) => one.name.clone(),
            (None, _) => {
                return Err(NotMade::Refused(
                    "there are several locations: name one with --location".into(),
                ));
            }
        };
        if !places.iter().any(|place| place.name == location) {
            return Err(NotMade::Unknown(format!(
                "there is no location {location}: `seawall control locations` lists them"
            )));
        }
        let body = if undrain {
            Body::Undrained { location }
        } else {
            Body::Drained { location }
        };
        let done = self.write(body, by)?;
        self.places_changed();
        Ok(done)
    }

    /// Reads who is one of ours, for the planner and for whoever hands out.
    pub(super) fn places_changed(&mut self) {
        match self.known() {
            Ok(known) => {
                if let Some(edges) = &self.edges {
                    edges.known.send_replace(known);
                }
            }
            Err(error) => complain(format_args!("locations: {error:#}")),
        }
    }

    fn known(&mut self) -> Result<Known> {
        let entries = self.engine.store().standing("location", None, ROWS)?;
        let drained = self.engine.store().standing("drain", None, ROWS)?;
        let drained: Vec<String> = drained
            .into_iter()
            .filter_map(|entry| match entry.body {
                Body::Drained { location } => Some(location),
                _ => None,
            })
            .collect();
        let mut known = Known::new();
        let mut joined = Vec::new();
        for entry in entries {
            if let Body::LocationJoined {
                location,
                keys,
                architecture,
                canary,
                ..
            } = entry.body
            {
                known.insert(location.clone(), from_hex(&keys.tls).unwrap_or_default());
                joined.push(Joined {
                    location,
                    architecture,
                    canary,
                });
            }
        }
        self.engine.fleet.are(&joined, &drained);
        Ok(known)
    }

    fn reported(&mut self, location: &str, signed: &[u8]) -> Answer {
        let seen = self.reports.get(location).copied().unwrap_or(0);
        match self.open_report(location, signed, seen) {
            Ok((number, report)) => {
                self.reports.insert(location.to_owned(), number);
                self.take_report(location, report);
                (200, Vec::new())
            }
            // With what it has to be above.
            Err(why) => (409, format!("{seen} {why:#}").into_bytes()),
        }
    }

    fn open_report(&mut self, location: &str, signed: &[u8], seen: u64) -> Result<(u64, Report)> {
        let entry = self.engine.store().stands("location", location)?;
        let Some(Body::LocationJoined { keys, .. }) = entry.map(|entry| entry.body) else {
            bail!("{location} is not one of ours");
        };
        let key = PublicKey::parse(&keys.report)?;
        let report = open_report(signed, location, &key, seen, &Limits::default())?;
        let body = serde_json::from_slice(&report.body).context("a Report")?;
        Ok((report.head.number, body))
    }
}

/// The name of a token to join with, which tells nothing of it.
fn token_of(hash: &Hash) -> String {
    let short: String = hash.to_string().chars().take(16).collect();
    format!("join-{short}")
}

pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .map(|digit| digit.to_digit(16))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    Some(
        pairs
            .map(|pair| (pair.iter().fold(0, |byte, digit| byte * 16 + digit)) as u8)
            .collect(),
    )
}
