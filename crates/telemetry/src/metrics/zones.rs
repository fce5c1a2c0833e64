//! Which slot a zone is counted under.

use std::collections::HashMap;

/// Zones that have counters of their own. Later ones share the label `other`.
pub const MAX_ZONES: usize = 4096;

/// Where a zone's counters are, in every shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ZoneSlot(u16);

impl ZoneSlot {
    /// Requests that met no zone: unknown hosts, malformed requests. Labelled `none`.
    pub const NONE: Self = Self(0);
    /// Zones beyond the bound. Labelled `other`.
    pub const OTHER: Self = Self(1);

    pub(super) const fn number(self) -> usize {
        self.0 as usize
    }
}

/// Slots of all kinds.
pub(super) const SLOTS: usize = MAX_ZONES + 2;

#[derive(Debug)]
pub(super) struct Zones {
    by_id: HashMap<Box<str>, ZoneSlot>,
    by_name: HashMap<Box<str>, ZoneSlot>,
    /// By slot; none occurs twice.
    names: Vec<Box<str>>,
}

impl Default for Zones {
    fn default() -> Self {
        let reserved = [("none", ZoneSlot::NONE), ("other", ZoneSlot::OTHER)];
        Self {
            by_id: HashMap::new(),
            by_name: reserved
                .iter()
                .map(|&(name, slot)| (name.into(), slot))
                .collect(),
            names: reserved.iter().map(|&(name, _)| name.into()).collect(),
        }
    }
}

impl Zones {
    pub(super) fn slot(&mut self, id: &str, name: &str) -> ZoneSlot {
        let known = self.by_id.get(id).copied();
        if let Some(&namesake) = self.by_name.get(name) {
            if known != Some(namesake) {
                self.remember(id, namesake);
            }
            return namesake;
        }
        if let Some(slot) = known.filter(|&slot| slot != ZoneSlot::OTHER && slot != ZoneSlot::NONE)
        {
            self.rename(slot, name);
            return slot;
        }
        match u16::try_from(self.names.len()) {
            Ok(number) if self.names.len() < SLOTS => {
                let slot = ZoneSlot(number);
                self.names.push(name.into());
                self.by_name.insert(name.into(), slot);
                self.remember(id, slot);
                slot
            }
            _ => ZoneSlot::OTHER,
        }
    }

    /// By slot.
    pub(super) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Bounded too: ids come and go while names stay.
    fn remember(&mut self, id: &str, slot: ZoneSlot) {
        if self.by_id.len() < 2 * SLOTS || self.by_id.contains_key(id) {
            self.by_id.insert(id.into(), slot);
        }
    }

    fn rename(&mut self, slot: ZoneSlot, name: &str) {
        if let Some(held) = self.names.get_mut(slot.number()) {
            self.by_name.remove(held);
            *held = name.into();
            self.by_name.insert(name.into(), slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_keeps_its_slot() {
        let mut zones = Zones::default();
        let one = zones.slot("id1", "one.test");
        let two = zones.slot("id2", "two.test");
        assert_ne!(one, two);
        assert_eq!(zones.slot("id1", "one.test"), one);
        assert_eq!(zones.slot("id1", "renamed.test"), one);
        assert_eq!(zones.names()[one.number()].as_ref(), "renamed.test");
        let newcomer = zones.slot("id3", "one.test");
        assert!(newcomer != one && newcomer != two);
    }

    #[test]
    fn no_label_occurs_twice() {
        let mut zones = Zones::default();
        let one = zones.slot("id1", "one.test");
        assert_eq!(zones.slot("id2", "one.test"), one);
        let two = zones.slot("id3", "two.test");
        assert_eq!(zones.slot("id1", "two.test"), two);
        assert_eq!(zones.slot("id4", "other"), ZoneSlot::OTHER);
        assert_eq!(zones.slot("id5", "none"), ZoneSlot::NONE);
        // It was called `none` and is not any more.
        let five = zones.slot("id5", "five.test");
        assert!(five.number() > 1);
        let mut names = zones.names().to_vec();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), zones.names().len());
    }

    #[test]
    fn beyond_the_bound_zones_share_a_slot() {
        let mut zones = Zones::default();
        for number in 0..MAX_ZONES {
            let name = format!("zone{number}.test");
            assert_eq!(zones.slot(&name, &name).number(), number + 2);
        }
        assert_eq!(zones.slot("late", "late.test"), ZoneSlot::OTHER);
        assert_eq!(zones.names().len(), SLOTS);
        assert_eq!(zones.slot("zone7.test", "zone7.test").number(), 9);
    }
}
