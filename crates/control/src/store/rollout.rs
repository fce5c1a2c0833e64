//! A rollout as the log tells it: what entries make of it, one after the other.

use seawall_model::tempo::{Kind, Share};
use serde::{Deserialize, Serialize};

use super::entry::{Body, Entry, Outcome, Subject};

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It goes on.
    Running,
    /// It ended.
    Ended(Outcome),
}

/// A rollout, as all entries about it say together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The number of the entry that began it.
    pub id: u64,
    /// Its tempo.
    pub tempo: Kind,
    /// What it brings.
    pub subject: Subject,
    /// The rollout that it goes in step with, where it is not the first of those that do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<u64>,
    /// When it began, in seconds of Unix time.
    pub began: u64,
    /// Who began it.
    pub who: String,
    /// Why it began; when it has ended, why it ended.
    pub why: String,
    /// The step that it is in, from 0; none before the first.
    pub step: Option<u32>,
    /// When that step was taken, in seconds of Unix time.
    pub stepped: u64,
    /// The locations that have the candidate.
    pub ring: Vec<String>,
    /// For how many of the clients there.
    pub share: Share,
    /// Requests through the candidate when the step was taken.
    pub requests: u64,
    /// Probes through the candidate when the step was taken.
    pub probes: u64,
    /// Whether a person let it go on past the guards that ask for one.
    pub approved: bool,
    /// Where it stands.
    pub state: State,
}

impl Rollout {
    /// The rollout that an entry begins; none if it begins none.
    pub fn begun(entry: &Entry) -> Option<Self> {
        let Body::RolloutStarted {
            tempo,
            subject,
            with,
        } = &entry.body
        else {
            return None;
        };
        Some(Self {
            id: entry.seq,
            tempo: *tempo,
            subject: subject.clone(),
            with: *with,
            began: entry.at,
            who: entry.who.clone(),
            why: entry.why.clone(),
            step: None,
            stepped: entry.at,
            ring: Vec::new(),
            share: Share::NONE,
            requests: 0,
            probes: 0,
            approved: false,
            state: State::Running,
        })
    }

    /// What those that go in step have in common; one that goes alone has it alone.
    pub fn group(&self) -> u64 {
        self.with.unwrap_or(self.id)
    }

    /// What its rows are found by: no two running rollouts have the same.
    pub fn key(&self) -> String {
        self.subject.key()
    }

    /// Takes in an entry about it.
    ///
    /// # Errors
    /// Why there can be no such entry now.
    pub fn take(&mut self, entry: &Entry) -> Result<(), String> {
        if self.state != State::Running {
            return Err(format!("rollout {} has ended", self.id));
        }
        match &entry.body {
            Body::RolloutStepped {
                step,
                ring,
                share,
                requests,
                probes,
                ..
            } => {
                if *step != self.step.map_or(0, |step| step.saturating_add(1)) {
                    return Err(format!(
                        "rollout {} is not about to take step {step}",
                        self.id
                    ));
                }
                self.step = Some(*step);
                self.stepped = entry.at;
                self.ring.clone_from(ring);
                self.share = *share;
                self.requests = *requests;
                self.probes = *probes;
            }
            Body::RolloutEnded { outcome, .. } => {
                self.state = State::Ended(*outcome);
                self.why.clone_from(&entry.why);
            }
            Body::Approved { .. } => self.approved = true,
            _ => {}
        }
        Ok(())
    }
}
