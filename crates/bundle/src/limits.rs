//! Bounds on all that travels: one table for those who write and those who read.

/// Bounds on objects, manifests and reports. [`Limits::default`] is what a build ships with. Writers and readers check the same
/// table, so that nothing is published that no edge would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one object's content. An object that unpacks to more is refused while it is unpacked.
    pub object_bytes: usize,
    /// Bytes of a file that a document names: what the largest list may have.
    pub file_bytes: usize,
    /// Bytes of one document's text; as [`seawall_model::Limits::document_bytes`].
    pub document_bytes: usize,
    /// Files of one version.
    pub files: usize,
    /// Bytes of a file's path, of a zone's name, of a location's name.
    pub name_bytes: usize,
    /// Bytes of a signed manifest, envelope included.
    pub manifest_bytes: usize,
    /// Trials in the manifest itself; more of them stand in an object of their own.
    pub trials_inline: usize,
    /// Trials in all.
    pub trials: usize,
    /// Shares of a trial, that is: rings.
    pub shares: usize,
    /// Names in one list of locations.
    pub locations: usize,
    /// Kill switches.
    pub kills: usize,
    /// Pins.
    pub pins: usize,
    /// Keys of locations that have left.
    pub barred: usize,
    /// Purges.
    pub purges: usize,
    /// Bytes of all that purges name.
    pub purge_bytes: usize,
    /// Bytes of a reason that a person gave.
    pub why_bytes: usize,
    /// Bytes of a signed report, envelope included.
    pub report_bytes: usize,
    /// Entries of the list of online keys, and of revoked ones.
    pub keys: usize,
    /// Locations that one secret is sealed to.
    pub recipients: usize,
    /// Bytes of a secret.
    pub secret_bytes: usize,
    /// Bytes of objects that a walk through a tree asks for at a time; one object may be larger.
    pub window_bytes: usize,
    /// Objects that a walk through a tree asks for at a time.
    pub window: usize,
}

impl Default for Limits {
    /// Files of 64 MiB, objects a little larger, manifests of 256 KiB, 10,000 trials and Reports of 8 MiB, which is what is counted of so many.
    fn default() -> Self {
        Self {
            object_bytes: 65 << 20,
            file_bytes: 64 << 20,
            document_bytes: seawall_model::Limits::default().document_bytes,
            files: 1_000,
            name_bytes: 1_024,
            manifest_bytes: 256 << 10,
            trials_inline: 64,
            trials: 10_000,
            shares: 32,
            locations: 1_000,
            kills: 256,
            pins: 256,
            barred: 256,
            purges: 256,
            purge_bytes: 96 << 10,
            why_bytes: 1_000,
            report_bytes: 8 << 20,
            keys: 64,
            recipients: 4_096,
            secret_bytes: 64 << 10,
            window_bytes: 8 << 20,
            window: 64,
        }
    }
}
