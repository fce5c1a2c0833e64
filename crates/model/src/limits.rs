//! How much a document may hold: one table, so that every list has a bound and going over it is a problem that is
//! said, not memory that is gone.

/// Bounds on a document. [`Limits::default`] is what a build ships with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of text. Checked before anything is parsed.
    pub document_bytes: usize,
    /// Bytes of memory that parsing the text will take, estimated before it is begun: without this bound up to four hundred times
    /// the text.
    pub document_memory: usize,
    /// Problems that are listed; the others are counted.
    pub problems: usize,
    /// Bytes of any one text value.
    pub text_bytes: usize,
    /// Zones.
    pub zones: usize,
    /// Host patterns of a zone.
    pub hosts_per_zone: usize,
    /// Origins of a zone.
    pub origins_per_zone: usize,
    /// Rules of a zone.
    pub rules_per_zone: usize,
    /// Rules of a zone's cache: each is asked of each request, and each has a form of a URL that is purged with it.
    pub cache_rules_per_zone: usize,
    /// Work of compiling the patterns of a zone's rules, each different one once: bytes that are built, those that are thrown
    /// away included. 1 MiB takes some 60 ms, and is 300 ordinary patterns.
    pub pattern_bytes_per_zone: usize,
    /// The same of all zones together, each different pattern once; zones are charged in the order of the document.
    pub pattern_bytes_per_document: usize,
    /// Entries of `[lists]`.
    pub lists: usize,
    /// Networks of one list, each of those in the document and those in its file.
    pub networks_per_list: usize,
    /// Lists and networks of each of `block`, `allow` and `only`.
    pub list_refs: usize,
    /// Media types that a zone takes.
    pub content_types: usize,
    /// Listen addresses, each of HTTP and HTTPS.
    pub listeners: usize,
    /// Networks of `trusted_proxies`.
    pub trusted_proxies: usize,
    /// Names, each of `set`, `add` and `remove`, in one block of header edits.
    pub header_edits: usize,
    /// Ranges of statuses that a health check accepts.
    pub status_ranges: usize,
}

impl Default for Limits {
    /// 256 MiB of text, a million zones, 1,000 hosts and 256 origins in each.
    fn default() -> Self {
        Self {
            document_bytes: 256 << 20,
            document_memory: 3 << 29,
            problems: 1_000,
            text_bytes: 8 << 10,
            zones: 1_000_000,
            hosts_per_zone: 1_000,
            origins_per_zone: 256,
            rules_per_zone: 1_000,
            cache_rules_per_zone: 128,
            pattern_bytes_per_zone: 2 << 20,
            pattern_bytes_per_document: 64 << 20,
            lists: 1_000,
            networks_per_list: 1_000_000,
            list_refs: 1_000,
            content_types: 100,
            listeners: 64,
            trusted_proxies: 10_000,
            header_edits: 100,
            status_ranges: 64,
        }
    }
}
