//! What is asked of control by people and their tools, answered.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use seawall_control::store::{
    Appended, Body, Change as StoreChange, KillSwitch, RequestId, Rollout, Scope, State,
    StoreError, Subject,
};
use seawall_control::version::Version;
use seawall_model::tempo::Kind;

use super::Control;
use super::asks::{
    Answer, Applied, Ask, Asked, Bucket, Document, EntryTold, Log, Made, NotMade, Place, Published,
    Status, Told, Versions, When, Which, ZoneTold, Zones,
};
use super::make::{By, Wanted};
use super::words::FromControl;
use crate::order::{self, Chain};
use crate::process::VERSION;
use crate::switch;
use crate::wire::Wire;

/// Rows on one page, at most.
pub const PAGE: usize = 1_000;

type Answered = Result<Answer, NotMade>;

impl Control {
    /// Answers somebody on the socket.
    pub(super) fn answer_on(&mut self, wire: &Rc<Wire>, files: Vec<OwnedFd>) {
        let asked = order::take::<Asked>(files.into_iter().next());
        let answered = match asked {
            Ok(asked) => self.answer(asked),
            Err(error) => Err(NotMade::Refused(format!(
                "this control does not know what is asked ({error}): is it of another version?"
            ))),
        };
        // Who asked may have gone.
        let _ =
            order::put(&answered).and_then(|file| wire.say(&FromControl::Answer, &[file.as_fd()]));
    }

    /// Answers anybody. What is asked by a token is looked at as far as the token's scopes are about one chain; whether it may ask
    /// such a thing at all is for whoever heard it.
    pub(super) fn answer(&mut self, asked: Asked) -> Answered {
        let by = By {
            who: &asked.who,
            why: &asked.why,
            request: asked.request,
        };
        if let Some(request) = by.request
            && let Some((made, content)) = self.engine.store().made_by(RequestId(request.id))?
        {
            return repeated(&asked.ask, request.content == content, &made);
        }
        if let (Some(token), Some(chain)) = (&asked.token, changed_by(&asked.ask)) {
            self.maker().may_change(token, &chain)?;
        }
        let token = asked.token.as_deref();
        let wanted = |text| Wanted {
            text,
            folder: Path::new("/"),
            chain: None,
            when: None,
            approve: false,
            token,
        };
        match &asked.ask {
            Ask::Apply {
                text,
                folder,
                parent,
                approve,
            } => {
                let when = parent.map(|parent| When::Is(parent, String::new()));
                let wanted = Wanted {
                    folder,
                    when: when.as_ref(),
                    approve: *approve,
                    ..wanted(text)
                };
                self.maker().apply(&wanted, &by).map(Answer::Applied)
            }
            Ask::Put {
                chain,
                text,
                when,
                approve,
            } => {
                let wanted = Wanted {
                    chain: Some(chain),
                    when: Some(when),
                    approve: *approve,
                    ..wanted(text)
                };
                self.maker().apply(&wanted, &by).map(Answer::Applied)
            }
            Ask::Check { text } => {
                // To look at what would be is not to do it.
                let wanted = Wanted {
                    token: None,
                    ..wanted(text)
                };
                self.maker().try_out(&wanted).map(Answer::Checked)
            }
            Ask::Rollback { chain, version } => self.roll_back(chain, *version, &by),
            Ask::Delete { zone, restore } => self.delete(zone, *restore, &by),
            Ask::Pin { chain, unpin } => self.pin(chain, *unpin, &by),
            Ask::Decide { rollout, approve } => self.decide(*rollout, *approve, &by),
            Ask::JoinToken {
                location,
                for_s,
                canary,
            } => self.join_token(location, *for_s, *canary, &by),
            Ask::Leave { location } => self.leave(location, &by),
            Ask::Drain { location, undrain } => self.drain(location.as_deref(), *undrain, &by),
            Ask::Kill {
                stage,
                zone,
                location,
                seconds,
            } => {
                let scope = Scope {
                    module: stage.clone(),
                    zone: zone.clone(),
                    location: location.clone(),
                };
                self.kill(scope, *seconds, &by)
            }
            Ask::Purge { zone, what, soft } => self.purge(zone, what, *soft, &by),
            Ask::MakeToken(new) => self.make_token(new, token, &by),
            Ask::RevokeToken { name } => self.revoke_token(name, &by),
            ask => self.look(ask),
        }
    }

    /// What changes nothing.
    fn look(&mut self, ask: &Ask) -> Answered {
        match ask {
            Ask::Zones { after, limit } => self.zones(after.as_deref(), *limit),
            Ask::Document { chain, which } => self.document(chain, *which),
            Ask::Versions {
                chain,
                before,
                limit,
            } => self.versions(chain, *before, *limit),
            Ask::Version { chain, number } => self.version(chain, *number),
            Ask::Diff { chain, a, b } => self.texts(chain, *a, *b),
            Ask::Log { before, limit } => self.log(*before, *limit),
            Ask::Rollouts { ids } => Ok(Answer::Rollouts(self.engine.standings(ids)?)),
            Ask::Locations => Ok(Answer::Locations(self.places())),
            Ask::PurgeStands { purge } => Ok(self.purge_stands(*purge)),
            Ask::Tokens => Ok(Answer::Tokens(self.tokens_told()?)),
            _ => Ok(Answer::Status(self.status())),
        }
    }

    /// What is known, also where the store does not answer.
    fn status(&mut self) -> Status {
        let running = self.engine.standings(&[]);
        let seq = self.engine.store().last();
        Status {
            version: VERSION.to_owned(),
            trouble: seq.as_ref().err().map(ToString::to_string),
            left_out: self.left_out.clone(),
            log: seq.unwrap_or_default(),
            published: Published {
                generation: self.publisher.generation(),
                folder: self.publisher.folder().path().display().to_string(),
                problem: self.unpublished.clone(),
            },
            chains: self.engine.serving().len(),
            rollouts: running.unwrap_or_default(),
            locations: self.places(),
            edges: self.edges.as_ref().map(|edges| edges.listens.to_string()),
            bucket: self.mirrored.as_ref().map(|mirrored| {
                let mirrored = mirrored.borrow();
                Bucket {
                    bucket: mirrored.bucket.clone(),
                    generation: mirrored.generation,
                    why: mirrored.why.clone(),
                }
            }),
        }
    }

    fn places(&self) -> Vec<Place> {
        self.engine.fleet.places(self.now_ms())
    }

    fn zones(&mut self, after: Option<&str>, limit: usize) -> Answered {
        let limit = limit.clamp(1, PAGE);
        // Before all zones comes what they share.
        let after = after.map_or(Chain::Platform, |name| Chain::Zone(name.to_owned()));
        let heads = self.engine.store().heads(Some(&after), limit)?;
        let full = heads.len() == limit;
        let mut zones = Vec::with_capacity(heads.len());
        for head in heads {
            let Some(name) = head.chain.zone() else {
                continue;
            };
            let key = head.chain.to_string();
            zones.push(ZoneTold {
                name: name.to_owned(),
                newest: head.number,
                serves: self.engine.serves(&head.chain),
                deleted: head.tombstone,
                pinned: self.engine.store().stands("pin", &key)?.is_some(),
                author: head.author,
                at: head.at,
            });
        }
        let next = zones.last().filter(|_| full).map(|zone| zone.name.clone());
        Ok(Answer::Zones(Zones { zones, next }))
    }

    fn document(&mut self, chain: &Chain, which: Which) -> Answered {
        let number = match which {
            Which::Number(number) => Some(number),
            Which::Serving => self.engine.serves(chain),
            Which::Newest => self.engine.store().head(chain)?.map(|head| head.number),
        };
        let version = match number {
            Some(number) => self.engine.store().version(chain, number)?,
            None => None,
        };
        let version = version.filter(|version| !version.tombstone);
        let version = version.ok_or_else(|| {
            NotMade::Unknown(format!("{chain} has no such version with a document"))
        })?;
        let text = self.engine.store().document(&version.hash)?;
        Ok(Answer::Document(Document {
            number: version.number,
            hash: version.hash.to_string(),
            text: text.unwrap_or_default(),
        }))
    }

    /// The versions of a chain that are on trial.
    fn on_trial(&mut self, chain: &Chain) -> Result<Vec<u64>, StoreError> {
        let running = self.engine.store().running()?;
        let on_trial = running.iter().filter_map(|rollout| match &rollout.subject {
            Subject::Version { chain: of, to, .. } if of == chain => Some(*to),
            _ => None,
        });
        Ok(on_trial.collect())
    }

    fn told(&mut self, version: Version) -> Result<Told, StoreError> {
        let serves = self.engine.serves(&version.chain);
        let on_trial = self.on_trial(&version.chain)?.contains(&version.number);
        Ok(Told::of(version, serves, on_trial))
    }

    fn versions(&mut self, chain: &Chain, before: Option<u64>, limit: usize) -> Answered {
        let limit = limit.clamp(1, PAGE);
        let history = self.engine.store().history(chain, before, limit)?;
        if history.is_empty() && before.is_none() {
            return Err(NotMade::Unknown(unknown(chain)));
        }
        let (serves, on_trial) = (self.engine.serves(chain), self.on_trial(chain)?);
        let last = history.last().map(|last| last.number);
        let next = last.filter(|last| history.len() == limit && *last > 1);
        let told = |version: Version| {
            let tried = on_trial.contains(&version.number);
            Told::of(version, serves, tried)
        };
        Ok(Answer::Versions(Versions {
            versions: history.into_iter().map(told).collect(),
            next,
        }))
    }

    fn version(&mut self, chain: &Chain, number: u64) -> Answered {
        let version = self.engine.store().version(chain, number)?;
        let version =
            version.ok_or_else(|| NotMade::Unknown(format!("{chain} has no version {number}")))?;
        Ok(Answer::Version(self.told(version)?))
    }

    fn texts(&mut self, chain: &Chain, a: Option<u64>, b: Option<u64>) -> Answered {
        let head = self.engine.store().head(chain)?;
        let head = head.ok_or_else(|| NotMade::Unknown(unknown(chain)))?.number;
        let a = a.or(self.engine.serves(chain)).unwrap_or(head);
        let b = b.unwrap_or(head);
        let mut text = |number| {
            if self.engine.store().version(chain, number)?.is_none() {
                return Err(NotMade::Unknown(format!("{chain} has no version {number}")));
            }
            Ok(self.engine.text(chain, number)?.unwrap_or_default())
        };
        let (before, after) = (text(a)?, text(b)?);
        Ok(Answer::Texts {
            a,
            b,
            before,
            after,
        })
    }

    fn log(&mut self, before: Option<u64>, limit: usize) -> Answered {
        let limit = limit.clamp(1, PAGE);
        let end = before.unwrap_or(u64::MAX);
        let end = end.min(self.engine.store().last()?.saturating_add(1));
        let from = end.saturating_sub(limit as u64).max(1);
        let many = usize::try_from(end.saturating_sub(from)).unwrap_or(limit);
        let mut entries = Vec::new();
        if many > 0 {
            entries = self.engine.store().log(from, many)?;
        }
        let told = entries.into_iter().rev().map(|entry| {
            let mut what = serde_json::to_value(&entry.body).unwrap_or_default();
            if let (Body::TokenMade { .. }, Some(what)) = (&entry.body, what.as_object_mut()) {
                what.remove("hash");
            }
            EntryTold {
                seq: entry.seq,
                at: entry.at,
                who: entry.who,
                why: entry.why,
                what,
                hash: entry.hash,
            }
        });
        Ok(Answer::Log(Log {
            entries: told.collect(),
            next: (from > 1).then_some(from),
        }))
    }

    fn roll_back(&mut self, chain: &Chain, version: Option<u64>, by: &By<'_>) -> Answered {
        let head = self.engine.store().head(chain)?;
        let head = head.ok_or_else(|| NotMade::Unknown(unknown(chain)))?;
        let serves = self.engine.serves(chain);
        // A version on its way is what is to go; else the one that serves is.
        let before = match serves {
            Some(serves) if serves != head.number => Some(serves),
            _ => self.before(chain, &head)?,
        };
        let to = version.or(before).ok_or_else(|| {
            NotMade::Refused(format!(
                "{chain} has no other version that ever served everybody: `seawall versions` lists all; name one by its number"
            ))
        })?;
        let known = self.engine.store().version(chain, to)?;
        if known.is_none_or(|known| known.tombstone) {
            return Err(NotMade::Unknown(format!(
                "{chain} has no version {to} with a document: `seawall versions` lists them"
            )));
        }
        if serves == Some(to) && to == head.number {
            return Err(NotMade::Refused(format!(
                "version {to} of {chain} serves already"
            )));
        }
        let change = StoreChange::Return(chain.clone(), to);
        let why = format!("rollback to {to}: {}", by.why);
        // The short way is for what has proved good; what never served everybody is tried as anything new is.
        let kind = match (self.engine.good(chain).any(|good| good == to), chain) {
            (true, _) => Kind::Return,
            (false, Chain::Zone(_)) => Kind::Zone,
            (false, Chain::Platform) => Kind::Platform,
        };
        self.maker().may_go_back(chain, &change, kind)?;
        self.make(chain, change, kind, &By { why: &why, ..*by })
    }

    /// The youngest version that served everybody and is another document than this one.
    fn before(&mut self, chain: &Chain, head: &Version) -> Result<Option<u64>, StoreError> {
        let good: Vec<u64> = self.engine.good(chain).collect();
        for number in good {
            let known = self.engine.store().version(chain, number)?;
            let is_other = |known: &Version| !known.tombstone && known.hash != head.hash;
            if number < head.number && known.is_some_and(|known| is_other(&known)) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn delete(&mut self, zone: &str, restore: bool, by: &By<'_>) -> Answered {
        let chain = Chain::Zone(zone.to_owned());
        let head = self.engine.store().head(&chain)?;
        let head = head.ok_or_else(|| NotMade::Unknown(unknown(&chain)))?;
        if head.tombstone != restore {
            let is = if restore {
                "is not deleted"
            } else {
                "is deleted already"
            };
            return Err(NotMade::Refused(format!("{chain} {is}")));
        }
        let (change, kind) = if restore {
            (StoreChange::Restore(chain.clone()), Kind::Return)
        } else {
            (StoreChange::Delete(chain.clone()), Kind::Zone)
        };
        if restore {
            self.maker().may_go_back(&chain, &change, kind)?;
        }
        self.make(&chain, change, kind, by)
    }

    fn make(&mut self, chain: &Chain, change: StoreChange, kind: Kind, by: &By<'_>) -> Answered {
        let changes = vec![(chain.clone(), change, kind)];
        let made = self.engine.make(by, Vec::new(), changes, Vec::new())?;
        Ok(Answer::Applied(applied(&made)))
    }

    fn pin(&mut self, chain: &Chain, unpin: bool, by: &By<'_>) -> Answered {
        let chain = chain.clone();
        let body = if unpin {
            Body::Unpinned { chain }
        } else {
            let number = self.engine.serves(&chain);
            let number = number.ok_or_else(|| NotMade::Unknown(unknown(&chain)))?;
            Body::Pinned { chain, number }
        };
        self.write(body, by)
    }

    /// Writes one thing into the log.
    pub(super) fn write(&mut self, body: Body, by: &By<'_>) -> Answered {
        let changes = vec![StoreChange::Event(body)];
        self.engine.append_by(by, Vec::new(), changes)?;
        Ok(Answer::Done)
    }

    fn kill(&mut self, scope: Scope, seconds: Option<u64>, by: &By<'_>) -> Answered {
        switch::has_stage(self.stages, &scope.module).map_err(NotMade::Refused)?;
        if let Some(zone) = &scope.zone {
            let chain = Chain::Zone(zone.clone());
            if self.engine.serves(&chain).is_none() {
                return Err(NotMade::Refused(unknown(&chain)));
            }
        }
        if let Some(location) = &scope.location {
            let places = self.engine.fleet.places(0);
            if !places.iter().any(|place| place.name == *location) {
                return Err(NotMade::Refused(format!("there is no location {location}")));
            }
        }
        let Some(seconds) = seconds else {
            if self.engine.end_kill(&scope, by)? {
                return Ok(Answer::Done);
            }
            return Err(NotMade::Refused(
                "no such switch is set: name stage, zone and location as they were set".into(),
            ));
        };
        let lasts = Duration::from_secs(seconds);
        switch::may_be_set(by.why, lasts).map_err(NotMade::Refused)?;
        let switch = KillSwitch { scope, seconds };
        let rollout = self.engine.kill(switch, by)?;
        Ok(Answer::Killed { rollout })
    }

    fn decide(&mut self, rollout: Option<u64>, approve: bool, by: &By<'_>) -> Answered {
        let running = self.engine.store().running()?;
        let id = match (rollout, running.as_slice()) {
            (Some(id), _) => id,
            (None, [one]) => one.id,
            (None, []) => return Err(NotMade::Unknown("no rollout runs".into())),
            (None, _) => {
                return Err(NotMade::Refused(
                    "several rollouts run: name one by its number (`seawall rollouts`)".into(),
                ));
            }
        };
        let rollout = self.engine.store().rollout(id)?;
        let rollout = rollout.filter(|rollout| rollout.state == State::Running);
        let rollout = rollout.ok_or_else(|| NotMade::Unknown(format!("no rollout {id} runs")))?;
        if approve {
            // Those that go in step wait for each other.
            let with = |other: &&Rollout| other.group() == rollout.group() && !other.approved;
            let mut ids: Vec<u64> = running.iter().filter(with).map(|one| one.id).collect();
            if ids.is_empty() {
                ids.push(id);
            }
            let mut asks = false;
            for one in running.iter().filter(|one| ids.contains(&one.id)) {
                asks |= self.engine.asks_for_a_person(one)?;
            }
            if !asks {
                return Err(NotMade::Refused(format!(
                    "rollout {id} waits for nobody's approval: it goes on by itself, or goes back; what is meant to change much is applied with --approve"
                )));
            }
            let approved = ids
                .into_iter()
                .map(|rollout| StoreChange::Event(Body::Approved { rollout }));
            self.engine.append_by(by, Vec::new(), approved.collect())?;
            return Ok(Answer::Done);
        }
        self.engine.abort(&rollout, by)?;
        Ok(Answer::Done)
    }
}

/// The chain that is changed by what is asked, where that is one and the asker names it.
fn changed_by(ask: &Ask) -> Option<Chain> {
    match ask {
        Ask::Put { chain, .. } | Ask::Rollback { chain, .. } | Ask::Pin { chain, .. } => {
            Some(chain.clone())
        }
        Ask::Delete { zone, .. } => Some(Chain::Zone(zone.clone())),
        _ => None,
    }
}

/// The answer to what was done before.
fn repeated(ask: &Ask, is_same: bool, made: &Appended) -> Answered {
    if !is_same {
        return Err(NotMade::Reused(format!(
            "this key was used before, for something else (entry {} of the log): each request needs one of its own",
            made.first
        )));
    }
    match ask {
        Ask::MakeToken(_) | Ask::JoinToken { .. } => Err(NotMade::Refused(
            "this very request made the token before, and a token is told once: revoke it, and make another".into(),
        )),
        Ask::Kill {
            seconds: Some(_), ..
        } => Ok(Answer::Killed {
            rollout: made.rollouts.first().copied().unwrap_or(made.last),
        }),
        Ask::Purge { .. } => Ok(Answer::Purged { purge: made.last }),
        Ask::Pin { .. }
        | Ask::Kill { .. }
        | Ask::Decide { .. }
        | Ask::RevokeToken { .. }
        | Ask::Leave { .. }
        | Ask::Drain { .. } => Ok(Answer::Done),
        _ => Ok(Answer::Applied(applied(made))),
    }
}

pub(super) fn applied(made: &Appended) -> Applied {
    let versions = made.versions.iter().zip(&made.rollouts);
    let made = versions.map(|(version, rollout)| Made {
        chain: version.chain.clone(),
        version: version.number,
        rollout: *rollout,
    });
    Applied {
        versions: made.collect(),
        ..Applied::default()
    }
}

/// What is told of a chain that is not there.
pub fn unknown(chain: &Chain) -> String {
    format!("{chain} is not known here: `seawall status` lists zones")
}
