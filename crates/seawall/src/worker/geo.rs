//! Files of places in the folder `geo` of the data folder: `*.mmdb`, read when a worker starts and again when one of them changes.
//!
//! They are data and no configuration: no version names them, and a location without them knows no place. A file that cannot be
//! read is told, and what was read before stands. Not here: what is in them.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use seawall_guard::{PlaceFile, States};

use crate::say::complain;

/// More of them are not read; those whose names sort first are.
const MOST_FILES: usize = 8;
/// A file that is larger is not read.
const MOST_BYTES: u64 = 256 << 20;

/// What tells a file from an earlier one of its name.
type Seen = (PathBuf, SystemTime, u64);

/// What was read last.
#[derive(Default)]
pub(super) struct Geo {
    folder: PathBuf,
    seen: Vec<Seen>,
}

impl Geo {
    /// Nothing is read yet.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            seen: Vec::new(),
        }
    }

    /// Reads the files anew, if they are others than before.
    pub(super) fn look(&mut self, states: &States) {
        let found = found(&self.folder);
        if found == self.seen {
            return;
        }
        let mut files = Vec::with_capacity(found.len());
        for (path, ..) in &found {
            match read(path) {
                Ok(file) => files.push(file),
                Err(why) => {
                    complain(format_args!(
                        "{}: {why}; what was known of places before stands",
                        path.display()
                    ));
                    self.seen = found;
                    return;
                }
            }
        }
        states.places.set(files);
        self.seen = found;
    }
}

fn found(folder: &Path) -> Vec<Seen> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<Seen> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let path = entry.path();
            let about = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            let is_one = path
                .extension()
                .is_some_and(|extension| extension == "mmdb");
            is_one.then(|| Some((path, about.modified().ok()?, about.len())))?
        })
        .collect();
    found.sort();
    found.truncate(MOST_FILES);
    found
}

fn read(path: &Path) -> Result<PlaceFile, String> {
    let length = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if length > MOST_BYTES {
        return Err(format!("it is larger than {} MiB", MOST_BYTES >> 20));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    PlaceFile::new(bytes.into()).map_err(|bad| bad.to_string())
}

#[cfg(test)]
mod tests {
    use seawall_model::Places;

    use super::*;

    /// The smallest file: addresses below 128.0.0.0 are in this country.
    fn smallest(country: &str) -> Vec<u8> {
        let text = |text: &str| {
            let mut out = vec![2 << 5 | text.len() as u8];
            out.extend_from_slice(text.as_bytes());
            out
        };
        let mut file = vec![0, 0, 17, 0, 0, 1];
        file.extend_from_slice(&[0; 16]);
        file.push(7 << 5 | 1);
        file.extend(text("country_code"));
        file.extend(text(country));
        file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        file.push(7 << 5 | 4);
        for (key, number) in [
            ("binary_format_major_version", 2),
            ("ip_version", 4),
            ("node_count", 1),
            ("record_size", 24),
        ] {
            file.extend(text(key));
            file.extend_from_slice(&[5 << 5 | 1, number]);
        }
        file
    }

    #[test]
    fn files_are_read_when_they_come_and_when_they_change() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("geo");
        let states = States::new([], 10);
        let mut geo = Geo::new(folder.clone());
        let country = |states: &States| {
            let place = states.places.place([10, 0, 0, 1].into());
            place.country.text().to_owned()
        };
        geo.look(&states);
        assert_eq!(country(&states), "", "without the folder");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.mmdb"), smallest("DE")).unwrap();
        std::fs::write(folder.join("readme.txt"), "no file of places").unwrap();
        geo.look(&states);
        assert_eq!(country(&states), "DE");
        assert_eq!(
            states.places.place([200, 0, 0, 1].into()).country.text(),
            ""
        );
        std::fs::write(folder.join("a.mmdb"), b"cut").unwrap();
        geo.look(&states);
        assert_eq!(country(&states), "DE", "what is bad changes nothing");
        let mut longer = vec![];
        longer.extend(smallest("FR"));
        longer.push(0);
        std::fs::write(folder.join("a.mmdb"), longer).unwrap();
        geo.look(&states);
        assert_eq!(country(&states), "FR");
        std::fs::remove_dir_all(&folder).unwrap();
        geo.look(&states);
        assert_eq!(country(&states), "", "it is gone");
    }
}
