//! Locations that others ask for what they have not, before an origin: `[edge.parents]`.

use super::edge::location;
use super::reader::{Found, Reader};
use super::write::Entries;
use crate::host::Host;
use crate::problem::{Wrong, quote};

/// The most parents: a pick looks at each.
const MOST: usize = 64;
/// The most locations that are named as those that ask one of them.
const MOST_ASKING: usize = 1_024;

/// A location that others ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parent {
    /// Its name.
    pub name: String,
    /// The name or address of its machine.
    pub host: String,
    /// The port that it listens on for them.
    pub port: u16,
    /// The locations that ask it. Default: all that are no parents.
    pub of: Option<Vec<String>>,
}

/// Which of these parents the location `own` asks, where a zone says nothing else.
pub fn asked_by<'p>(parents: &'p [Parent], own: &str) -> impl Iterator<Item = &'p Parent> {
    let is_parent = parents.iter().any(|parent| parent.name == own);
    parents.iter().filter(move |parent| {
        let asks = match &parent.of {
            Some(of) => of.iter().any(|asking| asking == own),
            None => !is_parent,
        };
        asks && parent.name != own
    })
}

pub(super) fn read(mut reader: Reader<'_, '_>) -> Vec<Parent> {
    let mut parents = Vec::new();
    for found in reader.take_all() {
        if parents.len() == MOST {
            let wrong = Wrong::new("is one too many", format!("at most {MOST}"));
            reader.refuse(found.name, Some(found.offset), wrong);
            break;
        }
        parents.extend(one(&mut reader, found));
    }
    // As it is written, whatever the order in which it was read.
    parents.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    parents
}

fn one<'t>(reader: &mut Reader<'_, 't>, found: Found<'t>) -> Option<Parent> {
    let name = match location(found.name) {
        Ok(name) => name,
        Err(wrong) => {
            reader.refuse(found.name, Some(found.offset), wrong);
            return None;
        }
    };
    let mut table = reader.table_of(found)?;
    let (host, port) = table.parsed("at", at).unwrap_or_default();
    let of = table.list("of", MOST_ASKING, location);
    table.close();
    Some(Parent {
        name,
        host,
        port,
        of,
    })
}

/// `host:port`.
fn at(text: &str) -> Result<(String, u16), Wrong> {
    match Host::parse_with_port(text)? {
        (Host::Ip(ip), Some(port)) => Ok((ip.to_string(), port)),
        (Host::Name(name), Some(port)) => Ok((name, port)),
        (_, None) => {
            let help = "write the port that its --parent names, as \"fra.example.net:8804\"";
            Err(Wrong::new(format!("{} has no port", quote(text)), help))
        }
    }
}

pub(super) fn entries(parents: &[Parent]) -> Entries {
    let mut entries = Entries::default();
    for parent in parents {
        let mut one = Entries::default();
        let (host, port) = (&parent.host, parent.port);
        let at = match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        one.text("at", &at);
        if let Some(of) = &parent.of {
            one.list("of", of);
        }
        entries.table(&parent.name, one);
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_whom() {
        let parent = |name: &str, of: Option<&[&str]>| Parent {
            name: name.into(),
            of: of.map(|of| of.iter().map(ToString::to_string).collect()),
            ..Parent::default()
        };
        let parents = [
            parent("ams", Some(&["lhr", "fra", "ams"])),
            parent("fra", None),
        ];
        for (own, asked) in [
            ("lhr", &["ams", "fra"][..]),
            ("sin", &["fra"]),
            // A parent asks another one only where that one says so, and nobody asks itself.
            ("fra", &["ams"]),
            ("ams", &[]),
        ] {
            let names: Vec<&str> = asked_by(&parents, own)
                .map(|parent| parent.name.as_str())
                .collect();
            assert_eq!(names, asked, "{own}");
        }
    }
}
