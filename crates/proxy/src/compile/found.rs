//! The problems that compiling finds: a bounded list, so that a hostile document cannot make its own error message the attack.

use seawall_model::{Problem, Problems};

/// Problems, of which the first are kept and the others counted.
#[derive(Debug)]
pub(super) struct Found {
    problems: Problems,
    most: usize,
}

impl Found {
    pub fn new(most: usize) -> Self {
        Self {
            problems: Problems::default(),
            most,
        }
    }

    /// Adds one; once the list is full it is counted without being made.
    pub fn add(&mut self, say: impl FnOnce() -> Problem) {
        if self.problems.list.len() < self.most {
            self.problems.list.push(say());
        } else {
            self.problems.more += 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.problems.list.is_empty() && self.problems.more == 0
    }

    pub fn finish(self) -> Problems {
        self.problems
    }
}
