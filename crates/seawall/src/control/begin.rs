//! The very first versions of all, which serve already. There may be a million: they come into the store in pieces, all of them or none.

use std::time::{Duration, Instant};

use seawall_control::store::{Append, Appended, Change as StoreChange, StoreError};

use super::engine::{Engine, unix};
use super::make::By;
use crate::order::Chain;
use crate::say::say;

/// Changes that are in memory at once, with what they make.
const PIECE: usize = 30_000;
/// So often is told how far it is.
const TOLD: Duration = Duration::from_secs(5);

impl Engine {
    /// Makes the first versions: each is a document, its rollout, and that it is complete, in this order. `many` is how many there are, for
    /// telling how far it is.
    ///
    /// # Errors
    /// As the store says; then there is nothing.
    pub fn begin(
        &mut self,
        by: &By<'_>,
        many: usize,
        changes: impl Iterator<Item = StoreChange> + Send,
    ) -> Result<(), StoreError> {
        let at = unix();
        let mut changes = changes.peekable();
        let mut appends = std::iter::from_fn(|| {
            changes.peek()?;
            Some(Append {
                request: None,
                asked: None,
                expect: Vec::new(),
                who: by.who.to_owned(),
                why: by.why.to_owned(),
                at,
                changes: piece(&mut changes),
            })
        });
        let mut serve: Vec<(Chain, u64, u64)> = Vec::new();
        let mut told = Instant::now();
        let mut made = |made: Appended| {
            let versions = made.versions.into_iter().zip(made.rollouts);
            // That a rollout is complete stands behind its beginning.
            serve.extend(versions.map(|(one, rollout)| (one.chain, one.number, rollout + 1)));
            if told.elapsed() > TOLD {
                told = Instant::now();
                let done = serve.len();
                say(format_args!(
                    "Seawall control takes in {done} of {many} zones: what serves serves, changes wait for it"
                ));
            }
        };
        self.append_all(&mut appends, &mut made)?;
        for (chain, number, since) in serve {
            self.serve(chain, number, since);
        }
        Ok(())
    }
}

/// The next of them. What belongs together stays so: a piece ends where a rollout is complete.
fn piece(changes: &mut impl Iterator<Item = StoreChange>) -> Vec<StoreChange> {
    let mut piece = Vec::new();
    for change in changes {
        let ends = matches!(change, StoreChange::Complete(_));
        piece.push(change);
        if ends && piece.len() >= PIECE {
            break;
        }
    }
    piece
}

#[cfg(test)]
impl Engine {
    /// What was just made is what serves: its rollouts are over.
    pub fn serves_already(&mut self, made: &Appended) -> Result<(), StoreError> {
        for (version, rollout) in made.versions.iter().zip(&made.rollouts) {
            let outcome = seawall_control::store::Outcome::Complete;
            let since = self.end(*rollout, outcome, "it serves")?;
            self.serve(version.chain.clone(), version.number, since);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_ends_where_a_rollout_does() {
        let chain = |nth: usize| Chain::Zone(format!("z{nth}"));
        let all = (0..25_000).flat_map(|nth| {
            [
                StoreChange::Document(chain(nth), String::new()),
                StoreChange::Complete(chain(nth)),
            ]
        });
        let mut all = all.skip(1);
        let sizes: Vec<usize> = std::iter::from_fn(|| Some(piece(&mut all).len()))
            .take_while(|len| *len > 0)
            .collect();
        assert_eq!(sizes, [30_001, 19_998]);
    }
}
