//! What happens in a drill, and when.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Serialize;
use tokio::time::Instant;

/// What kind of thing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The fault is injected.
    Fault,
    /// It is noticed.
    Detected,
    /// What was changed is taken back, or is harmless.
    Reverted,
    /// Anything else.
    Note,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Milliseconds since the beginning, of the wall's time.
    pub at_ms: u64,
    /// What kind.
    pub kind: Kind,
    /// What, in a few words.
    pub what: String,
}

/// All of it. Clones are the same one.
#[derive(Clone)]
pub struct Timeline {
    began: Instant,
    events: Rc<RefCell<Vec<Event>>>,
    told: Rc<dyn Fn(&Event)>,
}

impl Timeline {
    /// An empty one that begins now; each event is also told to this.
    pub fn new(told: Rc<dyn Fn(&Event)>) -> Self {
        Self {
            began: Instant::now(),
            events: Rc::default(),
            told,
        }
    }

    /// When it began.
    pub const fn began(&self) -> Instant {
        self.began
    }

    /// Milliseconds since then.
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Something happens now.
    pub fn note(&self, kind: Kind, what: impl Into<String>) {
        let event = Event {
            at_ms: self.now(),
            kind,
            what: what.into(),
        };
        (self.told)(&event);
        self.events.borrow_mut().push(event);
    }

    /// All that has happened.
    pub fn events(&self) -> Vec<Event> {
        self.events.borrow().clone()
    }
}
