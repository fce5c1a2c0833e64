//! What requests make invalid that end in a worker which another one has replaced: the one that serves hears of it, within a second or
//! so.
//!
//! Who leaves writes it into files of its own in the data folder. Who serves looks for such files once a second, does what they say,
//! and takes each away once that outlives it. Nobody has to be there in between: the supervisor is another program by then, after an
//! upgrade. Where the disk has no room, an empty file says that anything may be invalid.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use seawall_cache::outdated::Outdated;
use seawall_cache::purge::{Purge, Scope};
use seawall_proxy::thread::Shared;
use serde::{Deserialize, Serialize};

use crate::data::Data;

/// How the files' names begin.
const FILE: &str = "outdated-";
/// Files of one worker that nobody has heard of yet; what comes then waits until one has gone.
const FILES: usize = 8;
/// A longer one is as an empty one.
const LONGEST: u64 = 16 << 20;

/// What such a file holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Told {
    /// Zones, hosts and targets.
    urls: Vec<(u64, Vec<u8>, Vec<u8>)>,
    /// All of these zones.
    zones: Vec<u64>,
}

impl From<&Outdated> for Told {
    fn from(outdated: &Outdated) -> Self {
        let urls = outdated.urls.iter();
        let urls = urls.map(|(zone, host, target)| (*zone, host.to_vec(), target.to_vec()));
        Self {
            urls: urls.collect(),
            zones: outdated.zones.iter().copied().collect(),
        }
    }
}

/// Tells whoever serves; `is_last`: this process ends. False: it is to be tried again later.
pub fn tell(data: &Data, outdated: &Outdated, is_last: bool) -> bool {
    let own = std::process::id();
    let mut names = (0..FILES + usize::from(is_last)).map(|nth| format!("{FILE}{own}-{nth}"));
    let Some(name) = names.find(|name| !data.path(name).exists()) else {
        return false;
    };
    let text = serde_json::to_vec(&Told::from(outdated));
    if text.is_ok_and(|text| data.keep(&name, &text, 0o600)) {
        return true;
    }
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(data.path(&name)).is_ok()
}

/// Files that were heard, each with the numbers in the cache of what does not outlive this process yet.
#[derive(Debug, Default)]
pub struct Heard(BTreeMap<PathBuf, Vec<u64>>);

impl Heard {
    /// Does what is new, and takes away what is done. Only for who serves, and has the disk.
    pub fn look(&mut self, data: &Data, shared: &Shared) {
        let found = files(&data.path(""));
        self.0.retain(|path, _| found.contains(path));
        for path in found {
            let numbers = self
                .0
                .entry(path.clone())
                .or_insert_with(|| done(read(&path).ok().as_ref(), shared));
            numbers.retain(|number| !shared.cache.has_settled(*number));
            if numbers.is_empty() && fs::remove_file(&path).is_ok() {
                self.0.remove(&path);
            }
        }
    }
}

/// How long one may be written before it is nobody's any more.
const WRITTEN: Duration = Duration::from_secs(60);

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(FILE))
    };
    let of_us = entries.map(|entry| entry.path()).filter(is_one);
    // Those that end so are being written, or were when their process died.
    let (new, whole): (Vec<_>, Vec<_>) =
        of_us.partition(|path| path.extension().is_some_and(|end| end == "new"));
    for path in new {
        let changed = fs::metadata(&path).and_then(|of| of.modified());
        let age = changed.ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > WRITTEN) {
            let _ = fs::remove_file(path);
        }
    }
    whole
}

fn read(path: &Path) -> io::Result<Told> {
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Does it; the numbers that it has in the cache. What cannot be read may name anything.
fn done(told: Option<&Told>, shared: &Shared) -> Vec<u64> {
    let (live, cache) = (shared.slot.load(), &shared.cache);
    let whole = |zone: u64| cache.purge(zone, Scope::Everything, Purge::Hard);
    let zones = &live.snapshot.zones;
    let Some(told) = told else {
        return zones.iter().map(|zone| whole(zone.id.0)).collect();
    };
    let urls = told.urls.iter().filter_map(|(id, host, target)| {
        let zone = zones.find(host).filter(|zone| zone.id.0 == *id);
        let queries = zone.map_or_else(Arc::default, |zone| Arc::clone(zone.cache_rules.queries()));
        let purged = cache.purge_url_in_forms(*id, host, target, None, &queries);
        purged.number
    });
    let zones = told.zones.iter().map(|zone| whole(*zone));
    zones.chain(urls).collect()
}

/// Does it here: nobody takes over after all.
pub fn done_here(outdated: &Outdated, shared: &Shared) {
    done(Some(&Told::from(outdated)), shared);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_and_what_cannot_be_written_says_that_anything_may_be_meant() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::at(folder.path()).unwrap();
        let mut outdated = Outdated::default();
        outdated.add_url(7, b"a.test", b"/\xff?x");
        outdated.add_zone(9);
        for _ in 0..FILES {
            assert!(tell(&data, &outdated, false));
        }
        assert!(!tell(&data, &outdated, false), "nobody hears it");
        assert!(tell(&data, &outdated, true));
        let found = files(&data.path(""));
        assert_eq!(found.len(), FILES + 1);
        for path in found {
            let told = read(&path).unwrap();
            let url = (7, b"a.test".to_vec(), b"/\xff?x".to_vec());
            assert_eq!((told.urls, told.zones), (vec![url], vec![9]));
            fs::remove_file(path).unwrap();
        }
        // A folder is where the new file is to be written first.
        let own = std::process::id();
        fs::create_dir(data.path(format!("{FILE}{own}-0.{own}.new"))).unwrap();
        assert!(tell(&data, &outdated, false));
        let found = files(&data.path(""));
        assert_eq!(found.len(), 1);
        assert!(read(&found[0]).is_err());
    }
}
