//! What the runner bounds beside the stages: requests of one client at once, and the zone's share of what all zones have.

use std::net::IpAddr;

use seawall_model::document::StageMode;

use crate::clients::{ClientKey, InProgress};
use crate::runner::{Guard, Scope};
use crate::verdict::{Answer, Reason, Refusal};

/// The stage whose limits these are.
const STAGE: &str = "ddos";

/// How many requests of one client may be in progress at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtOnce {
    pub(crate) most: u32,
    pub(crate) mode: StageMode,
    pub(crate) place: u8,
}

impl Guard {
    /// The stages with these names.
    pub fn scope(&self, names: &[&str]) -> Scope {
        let counts = self.states().counts().enumerate().take(32);
        let named = counts.filter(|(_, (name, _))| names.contains(name));
        Scope::of_places(named.map(|(place, _)| place as u8))
    }

    /// Whether no stage has anything to say of heads.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.steps().head.is_empty() && self.steps().body.is_empty()
    }

    /// Whether a request's head may become another one on its way past the stages.
    #[inline]
    pub fn changes_heads(&self) -> bool {
        self.steps().changes_heads
    }

    /// The refusal of what goes beyond the zone's share of what all zones have together.
    pub fn busy(&self) -> Box<Refusal> {
        let place = self.states().counts().position(|(name, _)| name == STAGE);
        if let Some(place) = place {
            self.states().count(place as u8, |counts| &counts.refused);
        }
        Box::new(Refusal {
            stage: STAGE,
            reason: Reason::plain("busy"),
            answer: Answer::Status(503),
            failed: true,
        })
    }

    /// One more request of this client is in progress, until what is returned is dropped. `now` is in milliseconds.
    ///
    /// # Errors
    /// [`Refusal`]: the client has as many as it may.
    #[inline]
    pub fn enter(&self, client: IpAddr, now: u64) -> Result<Option<InProgress>, Box<Refusal>> {
        match self.steps().at_once {
            Some(limit) if self.states().is_killed(limit.place, self.zone()) => Ok(None),
            None => Ok(None),
            Some(limit) => self.enter_limited(limit, client, now),
        }
    }

    fn enter_limited(
        &self,
        limit: AtOnce,
        client: IpAddr,
        now: u64,
    ) -> Result<Option<InProgress>, Box<Refusal>> {
        let key = ClientKey::new(self.zone(), client);
        match self.states().enter(key, limit.most, now) {
            Ok(entered) => Ok(entered),
            Err(()) if limit.mode == StageMode::Enforce => {
                self.states().count(limit.place, |counts| &counts.refused);
                Err(Box::new(Refusal {
                    stage: STAGE,
                    reason: Reason::plain("concurrent"),
                    answer: Answer::Throttle(std::time::Duration::from_secs(1)),
                    failed: false,
                }))
            }
            Err(()) => {
                self.states().count(limit.place, |counts| &counts.watched);
                Ok(None)
            }
        }
    }
}
