//! What stands beside documents, as the agent keeps it for the worker: what control has published, and what was done on this machine.

use crate::data::{self, Data};
use crate::distribution::news::Beside;
use crate::distribution::publisher::now_ms;
use crate::say::complain;
use crate::standing::{Clock, STANDING, Standing, Switch};
use seawall_model::Tempo;
use std::time::Duration;

/// Numbers of switches from here on are this machine's own; those of control are numbers in its log.
pub const HERE: u64 = 1 << 63;
/// How much of a switch's time may count twice when the machine is started anew, in milliseconds.
const WRITTEN: u64 = 10_000;
/// Room on the disk that is held for what a person does on this machine while the disk is full.
const ROOM: &str = "standing.room";
/// So many bytes of it.
const ROOM_BYTES: usize = 64 << 10;
/// Once some of it was used, as many of these as there are, until there is enough again.
const LESS: [usize; 3] = [32 << 10, 16 << 10, 8 << 10];
/// So much is to be free before any is held: what little there is, is for who writes now.
const FREE: u64 = 512 << 10;

/// What stands.
pub struct Stands {
    standing: Standing,
    /// As it is on disk.
    written: Standing,
    tempo: Tempo,
    /// So many bytes of the disk are held.
    room: usize,
}

impl Stands {
    /// As an earlier process has left it.
    pub fn read(data: &Data, tempo: Tempo) -> Self {
        let path = data.path(STANDING);
        let standing = Standing::read(&path).unwrap_or_else(|error| {
            complain(format_args!("{}: {error}: nothing stands", path.display()));
            Standing::default()
        });
        let mut stands = Self {
            written: standing.clone(),
            standing,
            tempo,
            room: 0,
        };
        let held = data.path(ROOM).metadata().map_or(0, |file| file.len());
        stands.room = usize::try_from(held).unwrap_or(ROOM_BYTES);
        stands.look_for_room(data);
        stands
    }

    /// Holds all of the room on the disk, where there is enough.
    fn look_for_room(&mut self, data: &Data) {
        let has_all = self.room >= ROOM_BYTES;
        if !has_all && data::free(&data.path("")).is_some_and(|free| free >= FREE) {
            self.hold_room(data);
        }
    }

    /// Holds what there is of it.
    fn hold_room(&mut self, data: &Data) {
        let path = data.path(ROOM);
        let hold = |bytes: &usize| {
            let written = std::fs::write(&path, vec![b'\n'; *bytes]);
            if written.is_err() {
                let _ = std::fs::remove_file(&path);
            }
            written.is_ok()
        };
        let mut all = std::iter::once(ROOM_BYTES).chain(LESS);
        self.room = all.find(hold).unwrap_or(0);
    }

    /// Gives it up. Whether there was any.
    fn give_up_room(&mut self, data: &Data) -> bool {
        std::mem::take(&mut self.room) > 0 && std::fs::remove_file(data.path(ROOM)).is_ok()
    }

    /// What control has published.
    pub fn told(&mut self, data: &Data, beside: &Beside) {
        let now = Clock::now();
        let switches = &mut self.standing.switches;
        // One that is over stays for as long as it is published: it was seen.
        switches.retain(|number, _| {
            *number >= HERE || beside.kills.iter().any(|kill| kill.id == *number)
        });
        for kill in &beside.kills {
            let lasts = self.tempo.scaled(Duration::from_secs(kill.for_s));
            let for_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
            switches.entry(kill.id).or_insert_with(|| {
                Switch::seen_now(&kill.module, kill.zone.as_deref(), for_ms, &kill.why, &now)
            });
        }
        self.standing
            .purges_told(&beside.purges, beside.purged_before, now_ms());
        self.standing.drained = beside.drained;
        self.standing.away = beside.away;
        if beside.signed_at > 0 {
            self.standing.barred = Some(beside.barred.clone());
        }
        self.standing.signed_at = beside.signed_at;
        self.keep(data, &now);
    }

    /// Does something on this machine. Whether it could be written: if not, it is not done, nor later.
    pub fn change(&mut self, data: &Data, change: impl FnOnce(&mut Standing, &Clock)) -> bool {
        let now = Clock::now();
        let before = self.standing.clone();
        change(&mut self.standing, &now);
        let mut kept = self.keep(data, &now);
        if !kept && self.give_up_room(data) {
            // Somebody acts while the disk is full: that, and nothing else, is what it is for.
            kept = self.keep(data, &now);
            self.hold_room(data);
        }
        if !kept {
            self.standing = before;
        }
        kept
    }

    /// Now and then: what is over is forgotten, and how much of the rest is written down.
    pub fn look(&mut self, data: &Data) {
        self.look_for_room(data);
        let now = Clock::now();
        self.standing
            .switches
            .retain(|number, switch| *number < HERE || switch.left(&now).is_some());
        self.standing.forget_purges(now_ms());
        let late = self.standing.switches.iter().any(|(number, switch)| {
            let written = self.written.switches.get(number);
            written.is_some_and(|written| switch.over(&now) > written.over_ms + WRITTEN)
                && switch.left(&now).is_some()
        });
        let fewer = self.standing.purges.len() != self.written.purges.len();
        if late || fewer || self.standing.switches.len() != self.written.switches.len() {
            self.keep(data, &now);
        }
    }

    fn keep(&mut self, data: &Data, now: &Clock) -> bool {
        let next = self.standing.at(now);
        if next == self.written {
            return true;
        }
        let Ok(text) = serde_json::to_vec_pretty(&next) else {
            return false;
        };
        let kept = data.keep(STANDING, &text, 0o600);
        if kept {
            self.written = next;
        }
        kept
    }

    /// Switches, and since how many milliseconds each was seen: of those of these numbers that are control's.
    pub fn on(&self, numbers: &[u64]) -> Vec<(u64, u64)> {
        let now = Clock::now();
        let known = self.standing.switches.iter();
        known
            .filter(|(number, _)| **number < HERE && numbers.contains(number))
            .map(|(number, switch)| (*number, switch.over(&now)))
            .collect()
    }

    /// What stands.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_was_used_is_held_again_once_the_disk_has_some() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::at(folder.path()).unwrap();
        let held = || data.path(ROOM).metadata().map_or(0, |file| file.len());
        let mut stands = Stands::read(&data, Tempo::default());
        assert_eq!(held(), 64 << 10);
        // As it is left by who acts while the disk is full.
        std::fs::write(data.path(ROOM), [b'\n'; 32 << 10]).unwrap();
        stands.room = 32 << 10;
        stands.look(&data);
        assert_eq!(held(), 64 << 10);
        // And by an earlier process.
        std::fs::write(data.path(ROOM), [b'\n'; 8 << 10]).unwrap();
        Stands::read(&data, Tempo::default());
        assert_eq!(held(), 64 << 10);
    }

    #[test]
    fn what_cannot_be_written_is_not_done_and_not_later_either() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::at(folder.path()).unwrap();
        let mut stands = Stands::read(&data, Tempo::default());
        // No file can be where a folder is.
        let path = data.path(STANDING);
        std::fs::create_dir(&path).unwrap();
        assert!(!stands.change(&data, |standing, _| standing.drained_here = true));
        assert!(!stands.standing().drained_here);
        std::fs::remove_dir(&path).unwrap();
        assert!(stands.change(&data, |standing, _| standing.missed_at = 1));
        let written = Standing::read(&path).unwrap();
        assert_eq!((written.missed_at, written.drained_here), (1, false));
    }
}
