//! The file that `seawall backup` writes: files of a data folder, one behind the other, and the SHA-256 of all.
//!
//! A line, the length of a manifest (64 bits, little end first), the manifest as JSON, the files' bytes in its order, the hash. It
//! is read whole and compared before anything of it is used.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::live::sync_folder;
use crate::sum::Summed;

const MAGIC: &[u8; 17] = b"seawall-backup 1\n";
/// A manifest is not longer, in bytes.
const LONGEST: u64 = 64 << 20;

/// What is in a backup.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// When it was made, in seconds of Unix time.
    pub at: u64,
    /// By which Seawall.
    pub version: String,
    /// The files, in their order.
    pub files: Vec<Listed>,
}

/// One file of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Listed {
    /// Its path in the data folder.
    pub name: String,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// Its permissions.
    pub mode: u32,
}

/// A file that goes into a backup: its path in the data folder, and what is in it.
pub type Source = (String, File);

/// Writes a backup that is not there yet; it has its name once it is whole. Tells its length in bytes.
///
/// # Errors
/// When there is something of that name, or as the disk says.
pub fn write(to: &Path, at: u64, files: Vec<Source>) -> Result<u64> {
    if to.symlink_metadata().is_ok() {
        bail!("{} is there already: choose another name", to.display());
    }
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = write_to(&part, at, files)
        .and_then(|bytes| {
            // A link, unlike a rename, never takes the place of another file.
            fs::hard_link(&part, to)?;
            sync_folder(&std::path::absolute(to)?)?;
            Ok(bytes)
        })
        .with_context(|| format!("{} cannot be written", to.display()));
    let _ = fs::remove_file(&part);
    written
}

fn write_to(part: &Path, at: u64, mut files: Vec<Source>) -> io::Result<u64> {
    let mut listed = Vec::with_capacity(files.len());
    for (name, file) in &files {
        let known = file.metadata()?;
        listed.push(Listed {
            name: name.clone(),
            bytes: known.len(),
            mode: known.mode() & 0o777,
        });
    }
    let manifest = Manifest {
        at,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        files: listed,
    };
    // Keys are in it: it is for who makes it alone.
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(part)?;
    let mut to = Summed::new(BufWriter::new(file));
    to.write_all(MAGIC)?;
    let text = serde_json::to_vec(&manifest)?;
    to.write_all(&(text.len() as u64).to_le_bytes())?;
    to.write_all(&text)?;
    for ((name, file), listed) in files.iter_mut().zip(&manifest.files) {
        let copied = io::copy(&mut file.take(listed.bytes), &mut to)?;
        if copied != listed.bytes {
            let what = format!("{name} was changed while it was read: try again");
            return Err(io::Error::other(what));
        }
    }
    let (mut to, hash) = to.end();
    to.write_all(hash.bytes())?;
    let file = to.into_inner()?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// A backup whose hash is right.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
}

/// Reads all of it once.
///
/// # Errors
/// When it is no backup, or not as it was written.
pub fn open(path: &Path) -> Result<Archive> {
    let shown = path.display();
    let read = read(path, |file, _| {
        io::copy(file, &mut io::sink())?;
        Ok(())
    });
    let manifest = read.with_context(|| {
        format!("{shown} is no whole backup: nothing was changed; take another one")
    })?;
    Ok(Archive {
        path: path.to_owned(),
        manifest,
    })
}

impl Archive {
    /// Writes its files into a folder, for our own user.
    ///
    /// # Errors
    /// As the disk says.
    pub fn extract(&self, into: &Path) -> Result<()> {
        let manifest = read(&self.path, |file, listed| {
            let to = into.join(&listed.name);
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut to = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(listed.mode & 0o700)
                .open(to)?;
            io::copy(file, &mut to)?;
            to.sync_all()
        });
        manifest.with_context(|| format!("{} cannot be unpacked", self.path.display()))?;
        Ok(())
    }
}

/// Reads a backup, and hands over each of its files.
fn read(
    path: &Path,
    mut each: impl FnMut(&mut dyn Read, &Listed) -> io::Result<()>,
) -> Result<Manifest> {
    let file = File::open(path)?;
    let all = file.metadata()?.len();
    let mut from = Summed::new(BufReader::new(file));
    let mut magic = [0; MAGIC.len()];
    let begins = from.read_exact(&mut magic);
    if begins.is_err() || &magic != MAGIC {
        bail!("it does not begin as one");
    }
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST.min(all) {
        bail!("it was changed after it was written");
    }
    let mut text = Vec::new();
    Read::by_ref(&mut from)
        .take(length)
        .read_to_end(&mut text)?;
    let manifest: Manifest = serde_json::from_slice(&text).context("its manifest")?;
    for listed in &manifest.files {
        if !is_within(Path::new(&listed.name)) {
            bail!("{:?} is no file of a data folder", listed.name);
        }
        let mut file = Read::by_ref(&mut from).take(listed.bytes);
        each(&mut file, listed)?;
        if file.limit() > 0 {
            bail!("it was cut off");
        }
    }
    let (mut from, hash) = from.end();
    let mut written = [0; 32];
    from.read_exact(&mut written).context("it was cut off")?;
    if hash.bytes() != &written || from.read(&mut [0])? != 0 {
        bail!("it was changed after it was written");
    }
    Ok(manifest)
}

/// Whether a path leads nowhere but into the folder.
fn is_within(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_off_or_changed_is_refused_and_nothing_leads_out_of_the_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        let path = folder.join("one");
        fs::write(&path, b"some bytes").unwrap();
        let files = |name: &str| vec![(name.to_owned(), File::open(&path).unwrap())];
        let backup = folder.join("backup");
        write(&backup, 7, files("a/b")).unwrap();
        assert!(
            write(&backup, 7, files("a/b")).is_err(),
            "never over another"
        );
        let into = folder.join("into");
        open(&backup).unwrap().extract(&into).unwrap();
        assert_eq!(fs::read(into.join("a/b")).unwrap(), b"some bytes");
        let whole = fs::read(&backup).unwrap();
        let bad = folder.join("bad");
        for length in 0..whole.len() {
            fs::write(&bad, &whole[..length]).unwrap();
            assert!(open(&bad).is_err(), "{length}");
        }
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 1 << (place % 8);
            fs::write(&bad, &flipped).unwrap();
            assert!(open(&bad).is_err(), "{place}");
        }
        for (nth, name) in ["../out", "/etc/out", "", "a/../../out"].iter().enumerate() {
            let evil = folder.join(format!("evil-{nth}"));
            write(&evil, 7, files(name)).unwrap();
            assert!(open(&evil).is_err(), "{name}");
        }
    }
}
