//! How much of the machine other programs used while a drill ran. An answer that is late on a machine that others keep busy says
//! nothing of Seawall.
//!
//! All that the machine did (proc(5), `/proc/stat`, with what a host took away from it) without what the drill and the processes on its
//! folder did, those that have ended and were waited for among them.

use std::fs;
use std::path::Path;

/// What the machine had done at one time, in ticks of all cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Done {
    /// All ticks, idle ones too.
    all: u64,
    /// Those in which something ran.
    busy: u64,
}

/// Since when it is watched.
#[derive(Debug)]
pub struct Busy {
    then: Done,
    /// What this process had done by then, with its children.
    own: u64,
}

impl Busy {
    /// From now on.
    pub fn since_now() -> Self {
        Self {
            then: done().unwrap_or_default(),
            own: own(),
        }
    }

    /// The share of the machine that others used since then, 0 to 1: others than this process and those on the folder.
    pub fn others(&self, folder: &Path) -> f64 {
        let bed = processes(folder).map(|stat| of(&stat).unwrap_or(0)).sum();
        share(
            self.then,
            done().unwrap_or_default(),
            own().saturating_sub(self.own),
            bed,
        )
    }
}

fn share(then: Done, now: Done, own: u64, bed: u64) -> f64 {
    let all = now.all.saturating_sub(then.all);
    let busy = now.busy.saturating_sub(then.busy);
    if all == 0 {
        return 0.0;
    }
    busy.saturating_sub(own).saturating_sub(bed) as f64 / all as f64
}

fn done() -> Option<Done> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    read(text.lines().next()?)
}

/// `cpu user nice system idle iowait irq softirq steal …`; what guests used is among `user` and `nice`.
fn read(line: &str) -> Option<Done> {
    let words = line.split_whitespace();
    let ticks: Vec<u64> = words
        .skip(1)
        .take(8)
        .map_while(|word| word.parse().ok())
        .collect();
    let [user, nice, system, idle, waits, interrupts, soft, stolen] = ticks.try_into().ok()?;
    let busy = user + nice + system + interrupts + soft + stolen;
    Some(Done {
        all: busy + idle + waits,
        busy,
    })
}

fn own() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    of(&stat).unwrap_or(0)
}

/// What a process has done, with the children that it has waited for.
fn of(stat: &str) -> Option<u64> {
    // Its name stands in brackets, and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut ticks = rest.split_whitespace().skip(11).take(4);
    ticks.try_fold(0_u64, |sum, word| Some(sum + word.parse::<u64>().ok()?))
}

/// `stat` of the processes in whose command line a folder stands.
fn processes(folder: &Path) -> impl Iterator<Item = String> {
    let name = folder.as_os_str().as_encoded_bytes().to_vec();
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(move |entry| {
        let words = fs::read(entry.path().join("cmdline")).ok()?;
        let is_on_it = words.windows(name.len()).any(|part| part == name);
        is_on_it.then(|| fs::read_to_string(entry.path().join("stat")).ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_did_is_what_neither_the_drill_nor_its_bed_did() {
        let then = read("cpu  100 0 50 800 50 0 0 0 0 0").unwrap();
        let now = read("cpu  200 0 80 900 60 5 5 10 0 0").unwrap();
        assert_eq!((now.all - then.all, now.busy - then.busy), (260, 150));
        assert!((share(then, now, 10, 10) - 0.5).abs() < 1e-9);
        assert_eq!(share(then, now, 100, 100), 0.0);
        assert_eq!(share(then, then, 0, 0), 0.0);
        assert_eq!(read("cpu 1 2 x"), None);
    }

    #[test]
    fn a_process_is_found_with_what_its_children_did() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 11 12 13 14 20 0 1 0";
        assert_eq!(of(stat), Some(50));
        assert!(of("7 (a) S 1").is_none_or(|ticks| ticks == 0));
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(Busy::since_now().others(here) >= 0.0);
    }
}
