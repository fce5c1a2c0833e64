//! Takes away objects that nothing leads to any more, so that a folder of what is published does not grow for ever.
//!
//! Marked is what the newest manifest leads to, and what the sweep before marked: an edge in the middle of reading an older one finds
//! all of it. Nothing that was put or wanted within an hour goes, for its manifest may be still to come. Whatever cannot be read
//! ends a sweep before anything has gone.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result};
use seawall_bundle::{
    Change, Diff, Hash, KeyList, Limits, Manifest, Mark, PublicKey, Root, Step, Trial, TrialList,
    Trust, Verified, Version, open_keys, open_manifest,
};

use super::folder::{Folder, KEYS, MANIFEST};
use super::publisher::now_ms;
use crate::say::complain;

/// How old an object is that may go.
const OLD: Duration = Duration::from_secs(60 * 60);
/// Between two sweeps.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Sweeps a folder every hour, on a thread of its own, until the process ends.
///
/// # Errors
/// When there can be no thread.
pub fn start(folder: Folder, root_key: PublicKey) -> Result<()> {
    let run = move || {
        let mut sweeper = Sweeper::new(folder, root_key);
        loop {
            std::thread::sleep(EVERY);
            if let Err(error) = sweeper.sweep(OLD) {
                complain(format_args!("nothing is swept: {error:#}"));
            }
        }
    };
    std::thread::Builder::new()
        .name("sweeper".into())
        .spawn(run)?;
    Ok(())
}

/// Who sweeps a folder.
pub struct Sweeper {
    folder: Folder,
    root_key: PublicKey,
    limits: Limits,
    /// What the sweep before marked; none before the first, which takes nothing away.
    before: Option<HashSet<Hash>>,
}

impl Sweeper {
    /// One of this folder.
    pub fn new(folder: Folder, root_key: PublicKey) -> Self {
        Self {
            folder,
            root_key,
            limits: Limits::default(),
            before: None,
        }
    }

    /// Marks, and takes away what is older than this and was marked neither now nor before. How much was there, and went.
    ///
    /// # Errors
    /// When what is published cannot be read whole: then nothing goes.
    pub fn sweep(&mut self, older: Duration) -> Result<(usize, usize)> {
        let Some(marked) = self.mark()? else {
            return Ok((0, 0));
        };
        let swept = match &self.before {
            None => (0, 0),
            Some(before) => self
                .folder
                .sweep(older, |name| marked.contains(name) || before.contains(name))?,
        };
        self.before = Some(marked);
        Ok(swept)
    }

    /// All that the manifest leads to; none where there is no manifest.
    fn mark(&self) -> Result<Option<HashSet<Hash>>> {
        let (Some(list), Some(signed)) = (self.folder.signed(KEYS)?, self.folder.signed(MANIFEST)?)
        else {
            return Ok(None);
        };
        let keys = open_keys(&list, &self.root_key, 0, &self.limits)?;
        let manifest = self.open(&signed, keys)?;
        let mut marked = HashSet::from([manifest.root]);
        marked.extend(manifest.ring);
        let root = Root::open(&manifest.root, &self.object(&manifest.root)?)?;
        let mut diff = Diff::new(&Root::empty(), &root, &self.limits);
        loop {
            match diff.step()? {
                Step::Done => break,
                Step::Want(names) => {
                    for name in &names {
                        diff.give(name, &self.object(name)?)?;
                    }
                    marked.extend(names);
                }
                Step::Changes(changes) => {
                    for change in changes {
                        match change {
                            Change::Platform(Some(platform)) => {
                                self.version(&platform.object, &mut marked)?;
                            }
                            Change::Upserted(zone) => {
                                let files = zone.version.files.iter();
                                marked.extend(files.map(|file| file.object));
                            }
                            Change::Platform(None) | Change::Removed(_) => {}
                        }
                    }
                }
            }
        }
        for trial in self.trials(&manifest, &mut marked)? {
            self.version(&trial.object, &mut marked)?;
        }
        for pin in &manifest.pins {
            self.version(&pin.object, &mut marked)?;
        }
        Ok(Some(marked))
    }

    fn open(&self, signed: &[u8], keys: Verified<KeyList>) -> Result<Manifest> {
        let trust = Trust {
            keys,
            seen: Mark::default(),
        };
        let accepted = open_manifest(signed, &trust, now_ms(), &self.limits)?;
        Ok(accepted.manifest.into_inner())
    }

    fn trials(&self, manifest: &Manifest, marked: &mut HashSet<Hash>) -> Result<Vec<Trial>> {
        let mut trials = manifest.trials.clone();
        if let Some(more) = &manifest.more_trials {
            marked.insert(*more);
            trials.extend(TrialList::open(more, &self.object(more)?, &self.limits)?.trials);
        }
        Ok(trials)
    }

    /// A version, with its files. One that is not here is not held against the others: an edge fetches only what is tried at its
    /// own location.
    fn version(&self, name: &Hash, marked: &mut HashSet<Hash>) -> Result<()> {
        marked.insert(*name);
        if let Some(packed) = self.folder.object(name)? {
            let version = Version::open(name, &packed, &self.limits)?;
            marked.extend(version.files.iter().map(|file| file.object));
        }
        Ok(())
    }

    fn object(&self, name: &Hash) -> Result<Vec<u8>> {
        let object = self.folder.object(name)?;
        object.with_context(|| format!("object {name} is not there"))
    }
}

#[cfg(test)]
#[allow(clippy::print_stdout, reason = "tests tell what they saw")]
mod tests {
    use std::fs;

    use super::super::keys;
    use super::super::places::{Control, at, look, objects, run, temporary, texts};
    use super::*;
    use crate::data::Data;

    #[test]
    fn what_nothing_leads_to_goes_and_all_else_stays() {
        let mut control = Control::new();
        for nth in 0..300 {
            control.serves(&format!("z{nth}.test"), &format!("one {nth}"));
        }
        control.publish();
        let root = keys::root_public(&Data::at(control.folder.path()).unwrap());
        let root = root.unwrap().unwrap();
        let mut sweeper = Sweeper::new(control.publisher.folder().clone(), root);
        let all = |control: &Control| objects(&control.published()).len();
        let swept = |sweeper: &mut Sweeper| sweeper.sweep(Duration::ZERO).unwrap().1;
        assert_eq!(swept(&mut sweeper), 0);
        for round in 0..5 {
            control.serves("z7.test", &format!("two {round}"));
            control.publish();
            if round == 3 {
                assert_eq!(
                    sweeper.sweep(Duration::from_secs(60)).unwrap().1,
                    0,
                    "all are young"
                );
            }
        }
        let before = all(&control);
        swept(&mut sweeper);
        // Another one has been marked before; now only the newest is left.
        let went = swept(&mut sweeper);
        let left = all(&control);
        println!("{before} objects before, {left} after two sweeps, {went} by the last");
        assert!(left < before);
        assert_eq!(swept(&mut sweeper), 0);
        run(async {
            let mut follower = control.edge(&temporary(), vec![at(&control.published())]);
            assert_eq!(texts(&look(&mut follower).await).len(), 300);
        });
        // A manifest that cannot be read: nothing goes.
        control.serves("z8.test", "two");
        control.publish();
        fs::write(control.published().join(MANIFEST), "garbage").unwrap();
        assert!(sweeper.sweep(Duration::ZERO).is_err());
        assert!(all(&control) > left);
    }
}
