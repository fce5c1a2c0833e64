//! What is asked of control by people and their tools, answered.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use seawall_control::store::{
    Appended, Body, Change as StoreChange, KillSwitch, Outcome, Scope, State, StoreError, Subject,
};
use seawall_model::tempo::Kind;
use serde::Serialize;
use serde_json::json;

use super::make::{By, NotMade};
use super::words::{Applied, FromControl, ToControl, Told};
use super::{Control, kills, truth};
use crate::order::{self, Chain};
use crate::wire::Wire;

/// Versions that are told.
const VERSIONS: usize = 1_000;

/// An answer, and what travels beside it.
type Answer = Result<(FromControl, Option<OwnedFd>), NotMade>;

impl Control {
    pub(super) fn answer(&mut self, wire: &Rc<Wire>, word: ToControl, files: Vec<OwnedFd>) {
        if matches!(word, ToControl::Backup) {
            return self.back_up(wire);
        }
        let answered = self.try_to_answer(word, files);
        let (word, file) = answered.unwrap_or_else(|not| {
            let word = match not {
                NotMade::Refused(why) => FromControl::Refused { why },
                NotMade::Conflict { why, head } => FromControl::Conflict { why, head },
            };
            (word, None)
        });
        let files: Vec<_> = file.iter().map(AsFd::as_fd).collect();
        // Who asked may have gone.
        let _ = wire.say(&word, &files);
    }

    fn try_to_answer(&mut self, word: ToControl, files: Vec<OwnedFd>) -> Answer {
        match word {
            ToControl::Apply {
                path,
                who,
                why,
                parent,
                approve,
            } => {
                let text: String = order::take(files.into_iter().next()).map_err(refused)?;
                let base = Path::new(&path).parent().unwrap_or(Path::new("/"));
                let by = By {
                    who: &who,
                    why: &why,
                    parent,
                };
                let applied = self.maker().apply(&text, base, &by)?;
                if approve {
                    let rollouts = applied.versions.iter();
                    let approved = rollouts.map(|(_, _, rollout)| {
                        StoreChange::Event(Body::Approved { rollout: *rollout })
                    });
                    self.engine
                        .append(&who, &why, Vec::new(), approved.collect())?;
                }
                beside(FromControl::Applied, &applied)
            }
            ToControl::Versions { chain } => self.versions(&chain),
            ToControl::Texts { chain, a, b } => self.texts(&chain, a, b),
            ToControl::Rollback {
                chain,
                version,
                who,
                why,
            } => self.roll_back(chain, version, &who, &why),
            ToControl::Delete {
                zone,
                restore,
                who,
                why,
            } => self.delete(zone, restore, &who, &why),
            ToControl::Pin {
                chain,
                unpin,
                who,
                why,
            } => self.pin(chain, unpin, &who, &why),
            ToControl::Decide {
                rollout,
                approve,
                who,
                why,
            } => self.decide(rollout, approve, &who, &why),
            ToControl::Kill {
                stage,
                zone,
                location,
                seconds,
                who,
                why,
            } => {
                let scope = Scope {
                    module: stage,
                    zone,
                    location,
                };
                self.kill(scope, seconds, &who, &why)
            }
            ToControl::Rollouts { ids } => {
                beside(FromControl::Rollouts, &self.engine.standings(&ids)?)
            }
            ToControl::JoinToken { location, who } => self.join_token(&location, &who),
            ToControl::Locations => self.places(),
            ToControl::Leave { location, who, why } => self.leave(&location, &who, &why),
            ToControl::Drain {
                location,
                undrain,
                who,
                why,
            } => self.drain(location, undrain, &who, &why),
            ToControl::Status => {
                let running = self.engine.standings(&[]);
                let seq = self.engine.store().last();
                let trouble = seq.as_ref().err().map(ToString::to_string);
                let (running, seq) = (running.unwrap_or_default(), seq.unwrap_or_default());
                let status = json!({
                    "trouble": trouble,
                    "log": seq,
                    "published": {
                        "generation": self.publisher.generation(),
                        "folder": self.publisher.folder().path(),
                        "problem": self.unpublished,
                    },
                    "chains": self.engine.serving().count(),
                    "rollouts": running,
                    "locations": self.engine.fleet.places(self.now_ms()),
                    "edges": self.edges.as_ref().map(|edges| edges.listens),
                });
                Ok((FromControl::Status(status), None))
            }
            ToControl::Agent { .. } | ToControl::Report | ToControl::Backup => {
                Ok((FromControl::Done, None))
            }
        }
    }

    /// Copies the log on a thread of its own: that takes as long as the log is, and rollouts go on.
    fn back_up(&self, wire: &Rc<Wire>) {
        let (wire, data) = (wire.clone(), self.data.clone());
        let store = self.flags.store.clone();
        tokio::task::spawn_local(async move {
            let copy = move || {
                let url = truth::address(store.as_deref())?;
                truth::copy(url.as_deref(), &data)
            };
            let copied = match tokio::task::spawn_blocking(copy).await {
                Ok(copied) => copied.map_err(|error| format!("{error:#}")),
                Err(error) => Err(error.to_string()),
            };
            // Who asked may have gone.
            let _ = match copied {
                Ok((file, seq)) => wire.say(&FromControl::Backup { seq }, &[file.as_fd()]),
                Err(why) => wire.say(&FromControl::Refused { why }, &[]),
            };
        });
    }

    fn versions(&mut self, chain: &Chain) -> Answer {
        let serves = self.engine.serves(chain);
        let running = self.engine.store().running()?;
        let on_trial = running.iter().filter_map(|rollout| match &rollout.subject {
            Subject::Version { chain: of, to, .. } if of == chain => Some(*to),
            _ => None,
        });
        let on_trial: Vec<u64> = on_trial.collect();
        let history = self.engine.store().history(chain, None, VERSIONS)?;
        if history.is_empty() {
            return Err(NotMade::Refused(unknown(chain)));
        }
        let told: Vec<Told> = history
            .into_iter()
            .map(|version| Told {
                number: version.number,
                serves: serves == Some(version.number),
                on_trial: on_trial.contains(&version.number),
                author: version.author,
                why: version.why,
                at: version.at,
                hash: version.hash.to_string(),
                tombstone: version.tombstone,
            })
            .collect();
        beside(FromControl::Versions, &told)
    }

    fn texts(&mut self, chain: &Chain, a: Option<u64>, b: Option<u64>) -> Answer {
        let head = self.engine.store().head(chain)?;
        let head = head.ok_or_else(|| NotMade::Refused(unknown(chain)))?.number;
        let (a, b) = (
            a.or(self.engine.serves(chain)).unwrap_or(head),
            b.unwrap_or(head),
        );
        let mut texts = Vec::new();
        for number in [a, b] {
            if self.engine.store().version(chain, number)?.is_none() {
                return Err(NotMade::Refused(format!("{chain} has no version {number}")));
            }
            texts.push(self.engine.text(chain, number)?.unwrap_or_default());
        }
        beside(FromControl::Texts { a, b }, &texts)
    }

    fn roll_back(&mut self, chain: Chain, version: Option<u64>, who: &str, why: &str) -> Answer {
        let head = self.engine.store().head(&chain)?;
        let head = head.ok_or_else(|| NotMade::Refused(unknown(&chain)))?;
        let serves = self.engine.serves(&chain);
        // A version on its way is what is to go; else the one that serves is.
        let before = match serves {
            Some(serves) if serves != head.number => Some(serves),
            _ => self.before(&chain, head.number)?,
        };
        let to = version.or(before).ok_or_else(|| {
            NotMade::Refused(format!("{chain} has no version before {}", head.number))
        })?;
        let known = self.engine.store().version(&chain, to)?;
        if known.is_none_or(|known| known.tombstone) {
            return Err(NotMade::Refused(format!(
                "{chain} has no version {to} with a document: `seawall versions` lists them"
            )));
        }
        let change = StoreChange::Return(chain.clone(), to);
        let why = format!("rollback to {to}: {why}");
        self.make(chain, change, Kind::Return, who, &why)
    }

    /// The youngest version before this one that is another document.
    fn before(&mut self, chain: &Chain, number: u64) -> Result<Option<u64>, StoreError> {
        let history = self.engine.store().history(chain, None, VERSIONS)?;
        let this = history.iter().find(|version| version.number == number);
        let hash = this.map(|version| version.hash);
        let before = history.iter().filter(|version| version.number < number);
        let mut other = before.filter(|version| !version.tombstone && Some(version.hash) != hash);
        Ok(other.next().map(|version| version.number))
    }

    fn delete(&mut self, zone: String, restore: bool, who: &str, why: &str) -> Answer {
        let chain = Chain::Zone(zone);
        let head = self.engine.store().head(&chain)?;
        let head = head.ok_or_else(|| NotMade::Refused(unknown(&chain)))?;
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
        self.make(chain, change, kind, who, why)
    }

    fn make(
        &mut self,
        chain: Chain,
        change: StoreChange,
        kind: Kind,
        who: &str,
        why: &str,
    ) -> Answer {
        let changes = vec![(chain, change, kind)];
        let made = self
            .engine
            .make(who, why, Vec::new(), changes, Vec::new())?;
        beside(FromControl::Applied, &applied(&made))
    }

    fn pin(&mut self, chain: Chain, unpin: bool, who: &str, why: &str) -> Answer {
        let body = if unpin {
            Body::Unpinned { chain }
        } else {
            let number = self.engine.serves(&chain);
            let number = number.ok_or_else(|| NotMade::Refused(unknown(&chain)))?;
            Body::Pinned { chain, number }
        };
        let changes = vec![StoreChange::Event(body)];
        self.engine.append(who, why, Vec::new(), changes)?;
        Ok((FromControl::Done, None))
    }

    fn kill(&mut self, scope: Scope, seconds: Option<u64>, who: &str, why: &str) -> Answer {
        let known = self.stages.iter().map(|stage| stage.name);
        if !known.clone().any(|name| name == scope.module) {
            let names: Vec<&str> = known.collect();
            return Err(NotMade::Refused(format!(
                "there is no stage {:?}: {}",
                scope.module,
                names.join(", ")
            )));
        }
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
            if self.engine.end_kill(&scope, who, why)? {
                return Ok((FromControl::Done, None));
            }
            return Err(NotMade::Refused(
                "no such switch is set: name stage, zone and location as they were set".into(),
            ));
        };
        let most = kills::LONGEST.as_secs();
        if !(1..=most).contains(&seconds) {
            return Err(NotMade::Refused(format!(
                "a switch lasts from 1 s to {} days: for longer, change the document",
                most / 86_400
            )));
        }
        let switch = KillSwitch { scope, seconds };
        let rollout = self.engine.kill(switch, who, why)?;
        Ok((FromControl::Killed { rollout }, None))
    }

    fn decide(&mut self, rollout: Option<u64>, approve: bool, who: &str, why: &str) -> Answer {
        let running = self.engine.store().running()?;
        let id = match (rollout, running.as_slice()) {
            (Some(id), _) => id,
            (None, [one]) => one.id,
            (None, []) => return Err(NotMade::Refused("no rollout runs".into())),
            (None, _) => {
                return Err(NotMade::Refused(
                    "several rollouts run: name one by its number (`seawall rollouts`)".into(),
                ));
            }
        };
        let rollout = self.engine.store().rollout(id)?;
        let rollout = rollout.filter(|rollout| rollout.state == State::Running);
        let rollout = rollout.ok_or_else(|| NotMade::Refused(format!("no rollout {id} runs")))?;
        if approve {
            let body = Body::Approved { rollout: id };
            let changes = vec![StoreChange::Event(body)];
            self.engine.append(who, why, Vec::new(), changes)?;
            return Ok((FromControl::Done, None));
        }
        self.engine.end(id, Outcome::Aborted, why)?;
        if let Subject::Version { chain, from, .. } = &rollout.subject {
            self.engine.go_back(chain, *from, who, why)?;
        }
        Ok((FromControl::Done, None))
    }
}

pub(super) fn applied(made: &Appended) -> Applied {
    let versions = made.versions.iter().zip(&made.rollouts);
    Applied {
        versions: versions
            .map(|(version, rollout)| (version.chain.clone(), version.number, *rollout))
            .collect(),
        ..Applied::default()
    }
}

fn beside(word: FromControl, what: &impl Serialize) -> Answer {
    let file = order::put(what).map_err(refused)?;
    Ok((word, Some(file)))
}

fn unknown(chain: &Chain) -> String {
    format!("{chain} is not known here: `seawall status` lists zones")
}

fn refused(error: std::io::Error) -> NotMade {
    NotMade::Refused(error.to_string())
}
