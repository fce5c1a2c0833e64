//! What had proved good of a zone and fell out of the three that are kept, because others have changed since: kept for each zone by
//! itself, so that break-glass finds it however busy the other zones are.
//!
//! Not here: when something proves good, and which of the three is read ([`good`](crate::good)).

use std::collections::HashSet;
use std::io;
use std::path::Path;

use seawall_control::version::Hash;
use seawall_model::Document;
use seawall_model::document;
use seawall_proxy::materials::Materials;

use crate::live::{self, Files};

/// Zones that fell out, each as it was then.
pub const ZONES: &str = "earlier";
/// What all zones share, as it was before it last fell out.
pub const PLATFORM: &str = "earlier-platform";
/// As many zones as are kept, those that fell out last.
const MOST: usize = 10_000;

/// Keeps what the file that `goes` has, and none of those that `stay`. Takes time linear in all of them.
///
/// # Errors
/// As the system says; what was kept is kept still.
pub fn keep(folder: &Path, goes: &Path, stay: [&Path; 3]) -> io::Result<()> {
    let mut known = HashSet::new();
    for path in stay {
        // One that is not there, or damaged, keeps nothing.
        known.extend(live::sections(path).unwrap_or_default());
    }
    let (mut zones, mut many) = (live::HEAD.to_owned(), 0);
    let (mut shared, mut is_gone) = (String::new(), false);
    let files = live::read_sections(goes, |section| {
        let is_new = !known.contains(&Hash::of(section.as_bytes()));
        if !section.trim_start().starts_with("[[zone]]") {
            is_gone |= is_new;
            shared.push_str(section);
        } else if is_new && many < MOST {
            many += 1;
            zones.push_str(section);
        }
    })?;
    if many > 0 {
        put(&folder.join(ZONES), read(&zones), &files)?;
    }
    if is_gone {
        let materials = Materials::of(files, None);
        live::write(&folder.join(PLATFORM), &read(&shared), &[&materials], None)?;
    }
    Ok(())
}

fn read(text: &str) -> Document {
    document::parse_alone(text, &live::limits()).document
}

/// Puts zones in place of those of their names, before the others.
fn put(path: &Path, mut zones: Document, files: &Files) -> io::Result<()> {
    let before = live::read(path).ok();
    let (before, files_before) = before.map_or_else(Default::default, |found| {
        (found.parsed.document.zones, found.files)
    });
    let names: HashSet<String> = zones.zones.iter().map(|zone| zone.name.clone()).collect();
    let others = before
        .into_iter()
        .filter(|zone| !names.contains(&zone.name));
    zones.zones.extend(others);
    zones.zones.truncate(MOST);
    let [new, old] = [files.clone(), files_before].map(|files| Materials::of(files, None));
    live::write(path, &zones, &[&new, &old], None)
}
