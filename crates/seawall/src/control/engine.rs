//! Rollouts, carried out: the planner is asked, what it says is written into the log, and agents are told what to bring about.
//!
//! What serves is what the last complete rollout of a chain brought. A version on trial never changes that: taking it back is to
//! stop trying it, and to make a version with the old document, so that the newest version is what serves again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use seawall_control::guards::{self, Lately};
use seawall_control::plan::{self, ALLOWED_SHIFT_OF_RULES, Taken, Target};
use seawall_control::store::{
    Append, Appended, Body, Change as StoreChange, ConfigStore, Expect, Outcome, RequestId,
    Rollout, StoreError, Subject,
};
use seawall_model::document;
use seawall_model::tempo::Kind;
use seawall_model::{Document, Limits, Share, Tempo};

use super::files;
use super::fleet::Fleet;
use super::make::By;
use super::purges::PurgeTimes;
use super::queue::{Queue, Together};
use super::serving::Serving;
use crate::order::Chain;

/// Versions of a chain that are remembered to have served everybody.
const KNOWN_GOOD: usize = 32;
/// As many rows as are asked for at once.
const ROWS: usize = 1_000;
/// Who acts where no person does.
pub const PLANNER: &str = "planner";

/// What carries rollouts out.
pub struct Engine {
    store: Box<dyn ConfigStore>,
    /// Why what we know may not be what the store knows.
    lost: Option<String>,
    pub(super) tempo: Tempo,
    /// What serves everybody.
    serving: Serving,
    /// Versions that served everybody, of each chain the latest [`KNOWN_GOOD`], the oldest first.
    good: BTreeMap<Chain, VecDeque<u64>>,
    /// When a rollout's step was taken, in milliseconds of our clock.
    pub(super) stepped: HashMap<u64, u64>,
    /// When its first step was taken, of those that began in the time of this process.
    pub(super) began: HashMap<u64, u64>,
    /// What each running rollout waits for.
    pub(super) waits: HashMap<u64, String>,
    /// What a person has to do before it goes on, of those that wait for one.
    pub(super) people: HashMap<u64, String>,
    /// What guards say of rollouts.
    asked: HashMap<u64, Asked>,
    /// Zones that were changed of late.
    lately: Lately,
    /// When an emergency switch was seen first, in milliseconds of our clock.
    pub(super) switched: HashMap<u64, u64>,
    /// How long purges take.
    pub(super) purge_times: PurgeTimes,
    /// Whether all hosts of a rollout's zone come from those that it goes in step with.
    pub(super) only_moves: HashMap<u64, bool>,
    /// The locations.
    pub fleet: Fleet,
    /// What rollouts do next, until it is written into the log.
    pub(super) together: Together,
    /// Something is to be published.
    changed: bool,
}

impl Engine {
    /// Goes on with what is in a store.
    ///
    /// # Errors
    /// As the store says.
    pub fn open(store: Box<dyn ConfigStore>, tempo: Tempo) -> Result<Self, StoreError> {
        let mut engine = Self {
            store,
            lost: None,
            tempo,
            serving: Serving::default(),
            good: BTreeMap::new(),
            stepped: HashMap::new(),
            began: HashMap::new(),
            waits: HashMap::new(),
            people: HashMap::new(),
            asked: HashMap::new(),
            lately: Lately::default(),
            switched: HashMap::new(),
            purge_times: PurgeTimes::default(),
            only_moves: HashMap::new(),
            fleet: Fleet::default(),
            together: Together::default(),
            changed: true,
        };
        engine.read_what_serves()?;
        Ok(engine)
    }

    fn read_what_serves(&mut self) -> Result<(), StoreError> {
        let mut from = 1;
        let mut running: HashMap<u64, (Chain, u64)> = HashMap::new();
        loop {
            let entries = self.store.log(from, ROWS)?;
            let Some(last) = entries.last() else {
                return Ok(());
            };
            from = last.seq + 1;
            for entry in entries {
                match entry.body {
                    Body::RolloutStarted {
                        subject: Subject::Version { chain, to, .. },
                        ..
                    } => {
                        running.insert(entry.seq, (chain, to));
                    }
                    Body::RolloutEnded { rollout, outcome } => {
                        if let Some((chain, to)) = running.remove(&rollout)
                            && outcome == Outcome::Complete
                        {
                            self.serve(chain, to, entry.seq);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// The truth.
    pub fn store(&mut self) -> &mut dyn ConfigStore {
        &mut *self.store
    }

    /// The version of a chain that serves.
    pub fn serves(&self, chain: &Chain) -> Option<u64> {
        self.serving.get(chain).map(|served| served.number)
    }

    /// A version serves everybody since this entry of the log.
    pub(super) fn serve(&mut self, chain: Chain, number: u64, since: u64) {
        let good = self.good.entry(chain.clone()).or_default();
        if good.back() != Some(&number) {
            good.push_back(number);
        }
        if good.len() > KNOWN_GOOD {
            good.pop_front();
        }
        self.serving.put(chain, number, since);
    }

    /// Versions of a chain that served everybody, the latest first.
    pub fn good(&self, chain: &Chain) -> impl Iterator<Item = u64> {
        self.good.get(chain).into_iter().flatten().rev().copied()
    }

    /// Whether a guard asks for a person before a rollout goes on.
    ///
    /// # Errors
    /// As the store says.
    pub fn asks_for_a_person(&mut self, rollout: &Rollout) -> Result<bool, StoreError> {
        let Subject::Version { chain, from, to } = &rollout.subject else {
            return Ok(false);
        };
        let asked = match self.asked.get(&rollout.id) {
            Some(asked) => asked.clone(),
            None => self.ask_guards(rollout, chain, *from, *to)?,
        };
        Ok(!asked.people.is_empty())
    }

    /// What serves everybody.
    pub fn serving(&self) -> &Serving {
        &self.serving
    }

    /// The text of a version; none where the zone is deleted as of it.
    ///
    /// # Errors
    /// As the store says.
    pub fn text(&mut self, chain: &Chain, number: u64) -> Result<Option<String>, StoreError> {
        match self.store.version(chain, number)? {
            Some(version) if !version.tombstone => self.store.document(&version.hash),
            _ => Ok(None),
        }
    }

    /// Makes versions, each with its rollout.
    ///
    /// # Errors
    /// As the store says.
    pub fn make(
        &mut self,
        by: &By<'_>,
        expect: Vec<Expect>,
        changes: Vec<(Chain, StoreChange, Kind)>,
        more: Vec<StoreChange>,
    ) -> Result<Appended, StoreError> {
        let (changes, ties) = self.in_step(changes)?;
        let running = self.store.running()?;
        // No two that run have the same key.
        let running: HashMap<String, u64> = running.iter().map(|one| (one.key(), one.id)).collect();
        let mut ended = Vec::new();
        let mut all = Vec::new();
        for (chain, change, kind) in changes {
            // What is newer goes before what is on its way: that was never for all.
            if let Some(rollout) = running.get(&chain.to_string()).copied() {
                ended.push(rollout);
                all.push(StoreChange::Event(Body::RolloutEnded {
                    rollout,
                    outcome: Outcome::Aborted,
                }));
            }
            all.extend(change);
            all.push(StoreChange::Start {
                kind,
                from: self.serves(&chain),
                with: ties.get(&chain).cloned(),
                chain,
            });
        }
        all.extend(more);
        let made = self.append_by(by, expect, all)?;
        ended.into_iter().for_each(|rollout| self.forget(rollout));
        Ok(made)
    }

    /// Writes something into the log.
    ///
    /// # Errors
    /// As the store says.
    pub fn append(
        &mut self,
        who: &str,
        why: &str,
        expect: Vec<Expect>,
        changes: Vec<StoreChange>,
    ) -> Result<Appended, StoreError> {
        self.append_by(&By::new(who, why), expect, changes)
    }

    /// As [`append`](Self::append), once for a request, however often it comes.
    ///
    /// # Errors
    /// As the store says.
    pub fn append_by(
        &mut self,
        by: &By<'_>,
        expect: Vec<Expect>,
        changes: Vec<StoreChange>,
    ) -> Result<Appended, StoreError> {
        self.changed = true;
        let appended = self.store.append(&Append {
            request: by.request.map(|request| RequestId(request.id)),
            asked: by.request.map(|request| request.content),
            expect,
            who: by.who.to_owned(),
            why: by.why.to_owned(),
            at: unix(),
            changes,
        });
        self.noted(appended)
    }

    /// Makes appends, all of them or none.
    pub(super) fn append_all(
        &mut self,
        appends: &mut (dyn Iterator<Item = Append> + Send),
        made: &mut (dyn FnMut(Appended) + Send),
    ) -> Result<(), StoreError> {
        self.changed = true;
        let appended = self.store.append_all(appends, made);
        self.noted(appended)
    }

    /// An append that may have been made, or a lead that is another's: what is known here has to be read anew.
    fn noted<T>(&mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error @ (StoreError::Unknown(_) | StoreError::Lost { .. })) = &answer {
            self.lost = Some(error.to_string());
        }
        answer
    }

    /// Why what we know may not be what the store knows; then whoever starts next reads it anew.
    pub fn is_lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// Asks the planner about each rollout, and does what it says.
    ///
    /// # Errors
    /// As the store says; what was not done is done the next time.
    pub fn tick(&mut self, now_ms: u64) -> Result<(), StoreError> {
        let running = self.store.running();
        let running = self.noted(running)?;
        let queue = Queue::of(&running);
        let mut room = queue.room();
        let mut failed = Ok(());
        for group in queue.groups() {
            let mut waits = false;
            for rollout in group {
                waits |= self.waits_for_another(rollout, &queue);
            }
            if !waits && self.has_room(group, &mut room) {
                failed = self.advance(group, now_ms);
            }
            if failed.is_err() {
                break;
            }
        }
        // What was decided before is not held up.
        self.take_steps(now_ms)?;
        failed?;
        self.end_kills(now_ms)
    }

    /// Whether something was written since all was published.
    pub fn has_news(&self) -> bool {
        self.changed
    }

    /// All is to be published once more.
    pub fn is_to_be_published(&mut self) {
        self.changed = true;
    }

    /// All is published.
    pub fn is_published(&mut self) {
        self.changed = false;
    }

    pub(super) fn forget(&mut self, rollout: u64) {
        self.stepped.remove(&rollout);
        self.began.remove(&rollout);
        self.waits.remove(&rollout);
        self.people.remove(&rollout);
        self.asked.remove(&rollout);
        self.only_moves.remove(&rollout);
    }

    /// Ends a rollout. The number of the entry that says so.
    ///
    /// # Errors
    /// As the store says.
    pub fn end(&mut self, rollout: u64, outcome: Outcome, why: &str) -> Result<u64, StoreError> {
        self.forget(rollout);
        let body = Body::RolloutEnded { rollout, outcome };
        let ended = self.append(PLANNER, why, Vec::new(), vec![StoreChange::Event(body)])?;
        Ok(ended.last)
    }

    /// Of the very first versions: what all zones share is for all at once. Nobody is served yet who could be harmed by it, and no location
    /// serves, and so tries anything, before there is a zone.
    ///
    /// # Errors
    /// As the store says.
    pub fn begins_with(&mut self, made: &Appended) -> Result<(), StoreError> {
        let mut both = made.versions.iter().zip(&made.rollouts);
        let Some((version, rollout)) = both.find(|(one, _)| one.chain == Chain::Platform) else {
            return Ok(());
        };
        let why = "the edge was started with it";
        let since = self.end(*rollout, Outcome::Complete, why)?;
        self.serve(version.chain.clone(), version.number, since);
        Ok(())
    }

    /// The step that a rollout is in.
    pub(super) fn taken(&mut self, rollout: &Rollout, now_ms: u64) -> Option<Taken> {
        rollout.step?;
        let at = *self.stepped.entry(rollout.id).or_insert(now_ms);
        Taken::of(rollout, at)
    }

    pub(super) fn target(
        &mut self,
        rollout: &Rollout,
        chain: &Chain,
        from: Option<u64>,
        to: u64,
        now_ms: u64,
    ) -> Result<Target, StoreError> {
        let taken = self.taken(rollout, now_ms);
        let pinned = self.store.stands("pin", &chain.to_string())?.is_some();
        let asked = match self.asked.get(&rollout.id) {
            Some(asked) => asked.clone(),
            None => {
                let asked = self.ask_guards(rollout, chain, from, to)?;
                self.asked.insert(rollout.id, asked.clone());
                asked
            }
        };
        Ok(Target {
            kind: rollout.tempo,
            from: from
                .filter(|from| matches!(self.store.version(chain, *from), Ok(Some(version)) if !version.tombstone))
                // Where no version of it was made yet, the defaults serve.
                .or((*chain == Chain::Platform).then_some(0)),
            to,
            taken,
            asks: asked.people,
            approved: rollout.approved,
            pinned,
            allowed_shift: asked.allowed_shift,
            routes_only: asked.routes_only,
            fleet: self.fleet.locations(),
            tempo: self.tempo,
        })
    }

    /// What the producer's guards say of a rollout; it is asked once.
    fn ask_guards(
        &mut self,
        rollout: &Rollout,
        chain: &Chain,
        from: Option<u64>,
        to: u64,
    ) -> Result<Asked, StoreError> {
        let history = self.store.history(chain, None, 4)?;
        let mut people: Vec<String> = plan::alternates(&history, self.tempo).into_iter().collect();
        if let (Kind::Zone, Some(zone)) = (rollout.tempo, chain.zone()) {
            // New zones harm nobody.
            if from.is_some() {
                self.lately.changed(zone, rollout.began);
                let zones = self.serving.len().saturating_sub(1);
                people.extend(self.lately.mass_change(zones, unix(), self.tempo));
            }
        }
        let gone = self.store.version(chain, to)?;
        if gone.is_some_and(|version| version.tombstone) && self.is_last(chain)? {
            people.push("it deletes the last zone: nothing would be served then".into());
        }
        let before = match from {
            Some(from) => self.document(chain, from)?,
            None => None,
        };
        let (Some((text, before)), Some((new_text, after))) = (before, self.document(chain, to)?)
        else {
            return Ok(Asked {
                people,
                allowed_shift: ALLOWED_SHIFT_OF_RULES,
                routes_only: false,
            });
        };
        if rollout.tempo != Kind::Return {
            let was = files::measure(&mut *self.store, &text, &before)?;
            let is = files::measure(&mut *self.store, &new_text, &after)?;
            people.extend(guards::delta(&was, &is));
            if let Some(why) = guards::closes(&before, &after) {
                people.insert(0, why);
            }
        }
        if guards::only_opens(&before, &after) {
            people.clear();
        }
        Ok(Asked {
            people,
            allowed_shift: guards::allowed_shift(&before, &after),
            routes_only: guards::routes_only(&before, &after),
        })
    }

    /// The text of a version, and its document.
    fn document(
        &mut self,
        chain: &Chain,
        number: u64,
    ) -> Result<Option<(String, Document)>, StoreError> {
        let text = self.text(chain, number)?;
        Ok(text.map(|text| {
            let document = document::parse_alone(&text, &Limits::default()).document;
            (text, document)
        }))
    }

    /// All that is on trial: each rollout that has begun.
    ///
    /// # Errors
    /// As the store says.
    pub fn on_trial(&mut self) -> Result<Vec<Rollout>, StoreError> {
        let mut running = self.store.running()?;
        running.retain(|rollout| rollout.step.is_some());
        Ok(running)
    }

    /// Whether a rollout was found to be one for a person.
    pub(super) fn was_asked_for(&self, rollout: u64) -> bool {
        let asked = self.asked.get(&rollout);
        asked.is_some_and(|asked| !asked.people.is_empty())
    }
}

/// What guards say of a rollout.
#[derive(Clone)]
struct Asked {
    /// Why a person is to be asked.
    people: Vec<String>,
    /// How many verdicts it may change.
    allowed_shift: Share,
    /// Nothing differs but where requests go behind the edge.
    routes_only: bool,
}

/// Seconds since 1970.
pub fn unix() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
