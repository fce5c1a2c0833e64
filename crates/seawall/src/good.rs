//! What has proved good, kept three deep, and which of what is on disk is read.
//!
//! What is live has proved good once it has served for `[edge.limits] soak`: then `DATA/last-good` becomes a copy of it, and what
//! was there before `DATA/last-good.1`, then `DATA/last-good.2`. A copy, for two names of one file fall to one bad block together.
//! Each file carries its own hash ([`live`]): one that was cut off or changed is passed over for the next, and it is said.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use seawall_model::document::Parsed;

use crate::earlier;
use crate::live::{self, Files, LIVE, sync_folder};
use crate::say::complain;

/// What has proved good: the newest first.
pub const GOOD: [&str; 3] = ["last-good", "last-good.1", "last-good.2"];
/// What begins to prove itself.
const PROVING: &str = "proving";
/// What has proved good and is being copied.
const PROVED: &str = "proved";

/// What was found.
pub struct Recalled {
    /// The document, as far as it could be read.
    pub parsed: Parsed,
    /// Contents of the files that it names.
    pub files: Files,
    /// The name under which all of it is published, if that is known.
    pub stand: Option<String>,
    /// The name of the file that it was read of.
    pub from: &'static str,
    /// Newer ones that could not be read.
    pub passed_over: usize,
}

/// What serves, or else the newest of what has proved good. What is passed over is said.
///
/// # Errors
/// What is wrong with each, when none can be read; [`io::ErrorKind::NotFound`] if there is none at all.
pub fn recall(folder: &Path) -> io::Result<Recalled> {
    let names: Vec<&'static str> = [LIVE].into_iter().chain(GOOD).collect();
    first_of(folder, &names)
}

/// The newest of what has proved good. What is passed over is said.
///
/// # Errors
/// As [`recall`].
pub fn last_good(folder: &Path) -> io::Result<Recalled> {
    first_of(folder, &GOOD)
}

fn first_of(folder: &Path, names: &[&'static str]) -> io::Result<Recalled> {
    let mut bad = Vec::new();
    for name in names.iter().copied() {
        let path = folder.join(name);
        match live::read(&path) {
            Ok(live::Found {
                parsed,
                files,
                stand,
            }) => {
                if !bad.is_empty() {
                    complain(format_args!(
                        "DAMAGED: {}; {} is used instead, which is older",
                        bad.join("; "),
                        path.display()
                    ));
                }
                return Ok(Recalled {
                    parsed,
                    files,
                    stand,
                    from: name,
                    passed_over: bad.len(),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => bad.push(format!("{} cannot be used ({error})", path.display())),
        }
    }
    if bad.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, bad.join("; ")))
}

/// What is live begins to prove itself. What becomes live later is another file.
///
/// # Errors
/// As the system says.
pub fn prove(folder: &Path) -> io::Result<()> {
    let temporary = folder.join("proving.new");
    let _ = fs::remove_file(&temporary);
    fs::hard_link(folder.join(LIVE), &temporary)?;
    fs::rename(&temporary, folder.join(PROVING))?;
    // Two names of one file: renaming one to the other does nothing, and leaves it.
    let _ = fs::remove_file(&temporary);
    Ok(())
}

/// What began to prove itself has proved good; it is to be kept by [`keep`].
///
/// # Errors
/// As the system says.
pub fn proved(folder: &Path) -> io::Result<()> {
    fs::rename(folder.join(PROVING), folder.join(PROVED))
}

/// Keeps what has proved good, before what was kept until now. What is the same as the newest already changes nothing. Takes time
/// linear in it.
///
/// # Errors
/// When it is not whole, or as the system says: what was kept is kept still, and the next call tries again.
pub fn keep(folder: &Path) -> io::Result<()> {
    let (proved, [newest, older, oldest]) = (folder.join(PROVED), paths(folder));
    let hash = live::verify(&proved)?;
    if hash.is_some() && live::verify(&newest).ok() == Some(hash) {
        return fs::remove_file(&proved);
    }
    let stay = [proved.as_path(), newest.as_path(), older.as_path()];
    match earlier::keep(folder, &oldest, stay) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => complain(format_args!(
            "what zones were before others changed is not kept: {error}"
        )),
        _ => {}
    }
    let copy = folder.join(format!("{PROVED}.{}.new", std::process::id()));
    let copied = copy_whole(&proved, &copy).and_then(|()| {
        // At every moment in between, the names that are there are good ones in the right order.
        for (from, to) in [(&older, &oldest), (&newest, &older)] {
            match fs::rename(from, to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&copy, &newest)?;
        sync_folder(&newest)
    });
    if copied.is_err() {
        let _ = fs::remove_file(&copy);
    }
    copied?;
    fs::remove_file(&proved)
}

fn paths(folder: &Path) -> [PathBuf; 3] {
    GOOD.map(|name| folder.join(name))
}

fn copy_whole(from: &Path, to: &Path) -> io::Result<()> {
    let mut copy = live::create(to)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.sync_all()
}

#[cfg(test)]
mod tests {
    use seawall_proxy::materials::Materials;
    use tempfile::TempDir;

    use super::*;

    struct Folder(TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        fn goes_live(&self, name: &str) {
            let (document, materials) = live::tests::one(name);
            let none = Materials::default();
            live::write(
                &self.path().join(LIVE),
                &document,
                &[&materials, &none],
                None,
            )
            .unwrap();
        }

        fn proves_good(&self, name: &str) {
            self.goes_live(name);
            prove(self.path()).unwrap();
            proved(self.path()).unwrap();
            keep(self.path()).unwrap();
        }

        fn zone(&self, name: &str) -> String {
            let found = live::read(&self.path().join(name)).unwrap();
            found.parsed.document.zones[0].name.clone()
        }

        fn damage(&self, name: &str) {
            let path = self.path().join(name);
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }
    }

    #[test]
    fn the_three_newest_are_kept_and_each_once() {
        let folder = Folder::new();
        assert!(
            matches!(recall(folder.path()), Err(error) if error.kind() == io::ErrorKind::NotFound)
        );
        for name in ["a", "b", "b", "c", "d", "d"] {
            folder.proves_good(name);
        }
        assert_eq!(GOOD.map(|name| folder.zone(name)), ["d", "c", "b"]);
        // What becomes live while something proves itself is another matter.
        folder.goes_live("e");
        prove(folder.path()).unwrap();
        prove(folder.path()).unwrap();
        folder.goes_live("f");
        proved(folder.path()).unwrap();
        keep(folder.path()).unwrap();
        assert_eq!(GOOD.map(|name| folder.zone(name)), ["e", "d", "c"]);
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .collect();
        left.sort();
        let three = ["last-good", "last-good.1", "last-good.2", "live"];
        assert_eq!(left, [&[earlier::ZONES][..], &three].concat());
        let found = live::read(&folder.path().join(earlier::ZONES)).unwrap();
        let zones = found.parsed.document.zones.iter().map(|zone| &*zone.name);
        assert_eq!(zones.collect::<Vec<_>>(), ["b", "a"], "what fell out");
        assert_eq!(found.files.len(), 1);
    }

    #[test]
    fn what_is_damaged_is_passed_over_for_the_next() {
        let folder = Folder::new();
        for name in ["a", "b", "c", "d"] {
            folder.proves_good(name);
        }
        folder.goes_live("e");
        let names = [LIVE, GOOD[0], GOOD[1], GOOD[2]];
        for (nth, (name, zone)) in names.into_iter().zip(["e", "d", "c", "b"]).enumerate() {
            let found = recall(folder.path()).unwrap();
            assert_eq!(found.parsed.document.zones[0].name, zone);
            assert_eq!((found.from, found.passed_over), (name, nth));
            folder.damage(name);
        }
        let error = recall(folder.path()).err().unwrap().to_string();
        for name in names {
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn what_is_damaged_while_it_proves_itself_is_not_kept_and_not_shared() {
        let folder = Folder::new();
        folder.proves_good("a");
        folder.proves_good("b");
        // What is live is a file of its own: what befalls it leaves the copy as it is.
        folder.damage(LIVE);
        assert_eq!(folder.zone(GOOD[0]), "b");
        prove(folder.path()).unwrap();
        proved(folder.path()).unwrap();
        assert!(keep(folder.path()).is_err());
        assert_eq!([GOOD[0], GOOD[1]].map(|name| folder.zone(name)), ["b", "a"]);
    }
}
