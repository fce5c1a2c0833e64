//! A folder of a test's own.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

/// A folder that goes when this goes.
pub struct Folder(TempDir);

impl Folder {
    /// A new one, into which other users may look: a server of PostgreSQL is one.
    pub fn new() -> Self {
        let made = tempfile::Builder::new()
            .prefix("seawall-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir();
        Self(made.expect("a folder"))
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
