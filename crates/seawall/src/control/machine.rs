//! What a document names of the machine that serves it: files, folders, sockets and commands. Who may change a zone from afar must
//! not be able to read the machine's files by it, or to run something there; that is a scope of its own.

use std::collections::BTreeSet;

use seawall_model::Document;
use seawall_model::document::{AccessLog, OriginUrl};

/// All that it names.
pub fn named(document: &Document) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut name = |what: &std::path::Path| {
        named.insert(what.display().to_string());
    };
    for file in document
        .lists
        .values()
        .filter_map(|list| list.file.as_ref())
    {
        name(file);
    }
    for zone in &document.zones {
        zone.files().for_each(|file| name(file));
        for origin in &zone.origins {
            if let OriginUrl::Unix(path) | OriginUrl::Files(path) = &origin.url {
                name(path);
            }
        }
    }
    let edge = &document.edge;
    edge.acme.ca.iter().for_each(|file| name(file));
    if let AccessLog::File(log) = &edge.access_log {
        name(&log.file);
    }
    if !edge.acme.dns_hook.is_empty() {
        named.insert(edge.acme.dns_hook.join(" "));
    }
    named
}
