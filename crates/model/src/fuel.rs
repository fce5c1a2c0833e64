//! Fuel: what a stage may cost one request.
//!
//! One unit stands for a nanosecond on the machine of the bench, so that a limit in fuel is a limit in time that does not
//! depend on how busy the machine is. Whoever loops over bytes from outside pays before it looks at them.

/// What is left of a budget.
#[derive(Debug)]
pub struct Fuel {
    given: u64,
    left: u64,
}

/// A budget was used up: by this request's own bytes, never by another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the budget of fuel is used up")]
pub struct Spent;

impl Fuel {
    /// A budget of so many units.
    pub const fn new(units: u64) -> Self {
        Self {
            given: units,
            left: units,
        }
    }

    /// Pays for work that is about to be done.
    ///
    /// # Errors
    /// [`Spent`] when there is not as much left; nothing is left then.
    #[inline]
    pub fn spend(&mut self, units: u64) -> Result<(), Spent> {
        match self.left.checked_sub(units) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            #[cfg(feature = "unsafe-drills")]
            None if crate::safeguard::is_off(crate::safeguard::Safeguard::Fuel) => {
                self.left = 0;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(Spent)
            }
        }
    }

    /// Pays for looking at so many bytes, at `bytes_per_unit` of them for one unit; at least one unit.
    ///
    /// # Errors
    /// As [`Fuel::spend`].
    #[inline]
    pub fn spend_bytes(&mut self, bytes: usize, bytes_per_unit: u64) -> Result<(), Spent> {
        self.spend(1 + bytes as u64 / bytes_per_unit)
    }

    /// Units that are left.
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Units that were spent.
    pub const fn used(&self) -> u64 {
        self.given - self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_to_its_end_and_not_beyond() {
        let mut fuel = Fuel::new(10);
        assert_eq!(fuel.spend(10), Ok(()));
        assert_eq!((fuel.left(), fuel.used()), (0, 10));
        assert_eq!(fuel.spend(1), Err(Spent));
        let mut fuel = Fuel::new(10);
        assert_eq!(fuel.spend(11), Err(Spent));
        assert_eq!(
            fuel.spend(1),
            Err(Spent),
            "what was too much leaves nothing"
        );
        let mut fuel = Fuel::new(10);
        assert_eq!(fuel.spend_bytes(80, 8), Err(Spent));
    }
}
