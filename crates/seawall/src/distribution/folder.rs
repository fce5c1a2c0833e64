//! A folder that things are published in: `objects/xx/…` by their hashes, `manifest`, and `keys`.
//!
//! Objects are on disk before a manifest names them, so that a power failure leaves the old manifest or a whole new one. Reading is
//! bounded, whatever lies there.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use seawall_bundle::{Hash, Limits};

/// The manifest's name.
pub const MANIFEST: &str = "manifest";
/// The name of the list of keys.
pub const KEYS: &str = "keys";
/// More objects than this are brought to disk all at once.
const MANY: usize = 64;

/// A folder of what is published.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held while an object is put or taken away: one that is wanted again is not taken away meanwhile.
    changing: Arc<Mutex<()>>,
}

impl Folder {
    /// A folder that is there, or is made when something is put into it.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            changing: Arc::default(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn of(&self, name: &Hash) -> PathBuf {
        let name = name.to_string();
        let (first, rest) = name.split_at_checked(2).unwrap_or((&name, ""));
        self.path.join("objects").join(first).join(rest)
    }

    /// An object as it was packed; none where it is not. It is for the caller to open it by its name.
    ///
    /// # Errors
    /// As the system says.
    pub fn object(&self, name: &Hash) -> io::Result<Option<Vec<u8>>> {
        read(&self.of(name), Limits::default().object_bytes)
    }

    /// The same, and it is not swept for the time being.
    ///
    /// # Errors
    /// As the system says.
    pub fn wanted(&self, name: &Hash) -> io::Result<Option<Vec<u8>>> {
        let _changing = self.changing();
        let found = self.object(name)?;
        if found.is_some() {
            File::open(self.of(name))?.set_modified(SystemTime::now())?;
        }
        Ok(found)
    }

    /// The manifest or the list of keys.
    ///
    /// # Errors
    /// As the system says.
    pub fn signed(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        // One byte more than is allowed, so that too much is told as such.
        read(&self.path.join(name), Limits::default().manifest_bytes + 1)
    }

    /// Puts objects, as they are packed, where they can be read. When it returns well they are on disk.
    ///
    /// # Errors
    /// As the system says; some may be there.
    pub fn put_objects<'o>(
        &self,
        objects: impl ExactSizeIterator<Item = (Hash, &'o [u8])>,
    ) -> io::Result<()> {
        let few = objects.len() <= MANY;
        let mut folders = Vec::new();
        for (name, packed) in objects {
            let path = self.of(&name);
            let _changing = self.changing();
            if fs::metadata(&path).is_ok_and(|there| there.len() == packed.len() as u64)
                && read(&path, packed.len())?.as_deref() == Some(packed)
                && File::open(&path)?.set_modified(SystemTime::now()).is_ok()
            {
                continue;
            }
            let folder = path.parent().unwrap_or(&self.path);
            fs::create_dir_all(folder)?;
            put(&path, packed, few)?;
            if few {
                folders.push(folder.to_owned());
            }
        }
        if few {
            folders.sort();
            folders.dedup();
            return folders.iter().try_for_each(|folder| sync_folder(folder));
        }
        self.sync_all()
    }

    /// Puts one object, which a power failure may damage.
    ///
    /// # Errors
    /// As the system says.
    pub fn put_unsynced(&self, name: &Hash, packed: &[u8]) -> io::Result<()> {
        let path = self.of(name);
        let _changing = self.changing();
        fs::create_dir_all(path.parent().unwrap_or(&self.path))?;
        put(&path, packed, false)
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes away files of objects, two letters of their names at a time, that are older than this and for which nobody needs them: as
    /// many as were there, and as went. What half-written files were left by a death goes too.
    ///
    /// # Errors
    /// As the system says.
    pub fn sweep(
        &self,
        older: Duration,
        is_needed: impl Fn(&Hash) -> bool,
    ) -> io::Result<(usize, usize)> {
        let (mut there, mut went) = (0, 0);
        for folder in fs::read_dir(self.path.join("objects"))? {
            let folder = folder?;
            let first = folder.file_name();
            for file in fs::read_dir(folder.path())? {
                let file = file?;
                let name = [first.to_string_lossy(), file.file_name().to_string_lossy()].concat();
                there += 1;
                if Hash::parse(&name).is_some_and(|name| is_needed(&name)) {
                    continue;
                }
                let _changing = self.changing();
                let age = file.metadata()?.modified()?.elapsed();
                // One from the future is not old.
                if age.is_ok_and(|age| age >= older) {
                    fs::remove_file(file.path())?;
                    went += 1;
                }
            }
        }
        Ok((there, went))
    }

    fn sync_all(&self) -> io::Result<()> {
        let folder = File::open(&self.path)?;
        // SAFETY: the descriptor is open; nothing of ours is touched.
        match unsafe { libc::syncfs(folder.as_raw_fd()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Puts the manifest or the list of keys, which a power failure may damage; a reader sees the old one or the new one.
    ///
    /// # Errors
    /// As the system says; the old one is there still.
    pub fn put_signed_unsynced(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        put(&self.path.join(name), bytes, false)
    }

    /// Puts the manifest or the list of keys: a reader sees the old one or the new one, and after a power failure too.
    ///
    /// # Errors
    /// As the system says; the old one is there still.
    pub fn put_signed(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        put(&self.path.join(name), bytes, true)?;
        sync_folder(&self.path)
    }
}

/// Writes a file whole, beside its place first.
fn put(path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let written = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            if sync { file.sync_all() } else { Ok(()) }
        })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A file up to so many bytes; none where there is none. More is an error.
fn read(path: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        let why = format!("{} is longer than {most} bytes", path.display());
        return Err(io::Error::new(ErrorKind::InvalidData, why));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use seawall_bundle::Object;

    use super::*;

    #[test]
    fn what_was_put_is_read_and_what_is_damaged_is_put_again() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("published");
        let folder = Folder::at(&path);
        let objects: Vec<Object> = (0..MANY + 10)
            .map(|n| Object::pack(format!("object {n}").as_bytes(), 100).unwrap())
            .collect();
        let put = |objects: &[Object]| {
            let all = objects
                .iter()
                .map(|object| (object.name(), object.packed()));
            folder
                .put_objects(all.collect::<Vec<_>>().into_iter())
                .unwrap();
        };
        let first = &objects[0];
        assert_eq!(folder.object(&first.name()).unwrap(), None);
        put(&objects);
        put(&objects[..1]);
        for object in &objects {
            assert_eq!(
                folder.object(&object.name()).unwrap().as_deref(),
                Some(object.packed())
            );
        }
        fs::write(folder.of(&first.name()), b"").unwrap();
        put(&objects[..1]);
        assert_eq!(
            folder.object(&first.name()).unwrap().as_deref(),
            Some(first.packed())
        );

        assert_eq!(folder.signed(MANIFEST).unwrap(), None);
        folder.put_signed(MANIFEST, b"one").unwrap();
        folder.put_signed(MANIFEST, b"two").unwrap();
        assert_eq!(
            folder.signed(MANIFEST).unwrap().as_deref(),
            Some(&b"two"[..])
        );
        let long = vec![b' '; Limits::default().manifest_bytes + 2];
        fs::write(path.join(MANIFEST), long).unwrap();
        assert!(folder.signed(MANIFEST).is_err());
    }
}
