//! Sets of host names: single ones, and all below one, `*.example.com`.

use seawall_model::{Fuel, HostPattern, Spent};

use crate::sets::TextSet;
use crate::value::Case;

/// A set of host names. Asking it looks for the name and for what is behind each of its dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSet {
    exact: TextSet,
    /// Without `*.`: what may be before them is at least one label.
    below: TextSet,
}

/// Labels of a name (RFC 1035 §2.3.4: 255 bytes hold no more).
const MOST_LABELS: usize = 127;

impl HostSet {
    /// A set of such names, in any case. `*` alone is none of them.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n HostPattern>) -> Self {
        let (mut exact, mut below) = (Vec::new(), Vec::new());
        for name in names {
            let name = name.to_string().to_ascii_lowercase();
            match name.strip_prefix("*.") {
                Some(rest) => below.push(rest.as_bytes().into()),
                None => exact.push(name.as_bytes().into()),
            }
        }
        Self {
            exact: TextSet::new(exact),
            below: TextSet::new(below),
        }
    }

    /// Whether this name, in lower case, is in it.
    pub(crate) fn has(&self, name: &[u8], fuel: &mut Fuel) -> Result<bool, Spent> {
        fuel.spend(5 + 4 * self.exact.steps())?;
        if self.exact.has(name, Case::AsSent) {
            return Ok(true);
        }
        for at in memchr::memchr_iter(b'.', name).take(MOST_LABELS) {
            fuel.spend(3 + 4 * self.below.steps())?;
            let behind = name.get(at + 1..).unwrap_or_default();
            if at > 0 && self.below.has(behind, Case::AsSent) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_is_below_names() {
        let names =
            ["a.test", "*.B.test", "c.d.test"].map(|name| HostPattern::parse(name).unwrap());
        let set = HostSet::new(&names);
        let has = |name: &str| set.has(name.as_bytes(), &mut Fuel::new(10_000)).unwrap();
        for inside in ["a.test", "x.b.test", "y.x.b.test", "c.d.test"] {
            assert!(has(inside), "{inside}");
        }
        for outside in [
            "", "b.test", ".b.test", "x.a.test", "xb.test", "d.test", "test",
        ] {
            assert!(!has(outside), "{outside}");
        }
    }
}
