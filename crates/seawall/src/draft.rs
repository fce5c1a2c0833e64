//! A document into which changes are put, one by one, each in the time that it takes alone.

use std::collections::HashMap;

use seawall_model::document::{self, Zone};
use seawall_model::{Document, HostPattern, Limits};

use crate::order::{Chain, Change};

/// A document that is being changed.
pub struct Draft {
    /// All but zones.
    document: Document,
    /// Zones; none in place of one that went.
    zones: Vec<Option<Zone>>,
    by_name: HashMap<String, usize>,
    by_host: HashMap<HostPattern, usize>,
}

/// A change, and whether anything is different by it.
type Put<'c> = (&'c Change, bool);

impl Draft {
    /// What is to be changed.
    pub fn of(mut document: Document) -> Self {
        let zones: Vec<Option<Zone>> = std::mem::take(&mut document.zones)
            .into_iter()
            .map(Some)
            .collect();
        let (mut by_name, mut by_host) = (HashMap::new(), HashMap::new());
        for (place, zone) in zones.iter().enumerate() {
            let Some(zone) = zone else { continue };
            by_name.insert(zone.name.clone(), place);
            by_host.extend(zone.hosts.iter().map(|host| (host.clone(), place)));
        }
        Self {
            document,
            zones,
            by_name,
            by_host,
        }
    }

    /// What came of it.
    pub fn finish(mut self) -> Document {
        self.document.zones = self.zones.into_iter().flatten().collect();
        self.document
    }

    /// Puts all changes in whose order allows it: one zone may take a host that another one gives up. Those that were put, and
    /// those that could not be, with all that is wrong with them.
    pub fn put_all<'c>(
        &mut self,
        changes: impl IntoIterator<Item = &'c Change>,
    ) -> (Vec<Put<'c>>, Vec<(&'c Change, String)>) {
        let mut left: Vec<(&Change, String)> = changes
            .into_iter()
            .map(|change| (change, String::new()))
            .collect();
        let mut put = Vec::new();
        loop {
            let before = left.len();
            let mut failed = Vec::new();
            for (change, _) in left {
                match self.put(change) {
                    Ok(is_new) => put.push((change, is_new)),
                    Err(problems) => failed.push((change, problems)),
                }
            }
            if failed.is_empty() || failed.len() == before {
                return (put, failed);
            }
            left = failed;
        }
    }

    fn put(&mut self, change: &Change) -> Result<bool, String> {
        let Some(text) = &change.text else {
            let Chain::Zone(name) = &change.chain else {
                return Err("what all zones share cannot be taken away".into());
            };
            return Ok(self.remove(name));
        };
        let parsed = document::parse_alone(text, &Limits::default());
        if let Some(problems) = parsed.problems {
            return Err(problems.to_string());
        }
        match &change.chain {
            Chain::Platform => {
                let (mut edge, lists) = (parsed.document.edge, parsed.document.lists);
                // Where this machine is and what it listens on is its own.
                let own = &self.document.edge;
                edge.location.clone_from(&own.location);
                edge.http.clone_from(&own.http);
                edge.https.clone_from(&own.https);
                edge.admin = own.admin;
                edge.workers = own.workers;
                edge.access_log.clone_from(&own.access_log);
                let is_new = self.document.edge != edge || self.document.lists != lists;
                (self.document.edge, self.document.lists) = (edge, lists);
                Ok(is_new)
            }
            Chain::Zone(name) => {
                let Ok([zone]) = <[Zone; 1]>::try_from(parsed.document.zones) else {
                    return Err("it is to be the document of one zone".into());
                };
                self.put_zone(name, zone)
            }
        }
    }

    fn put_zone(&mut self, name: &str, zone: Zone) -> Result<bool, String> {
        if zone.name != name {
            return Err(format!("it is to be zone {name:?}, not {:?}", zone.name));
        }
        let place = self.by_name.get(name).copied();
        for host in &zone.hosts {
            let by = self.by_host.get(host).copied();
            if let Some(other) = by.filter(|by| Some(*by) != place)
                && let Some(other) = self.zones.get(other).and_then(Option::as_ref)
            {
                return Err(format!(
                    "hosts: {host} is also zone {:?}'s (a host belongs to one zone)",
                    other.name
                ));
            }
        }
        let lists = &self.document.lists;
        if let Some(list) = zone.list_names().find(|list| !lists.contains_key(*list)) {
            return Err(format!("{list:?} is no list of [lists]"));
        }
        let held = place.and_then(|place| self.zones.get_mut(place));
        let (place, held) = match (place, held) {
            (Some(place), Some(held)) => (place, held),
            _ => {
                self.zones.push(None);
                let place = self.zones.len() - 1;
                self.by_name.insert(name.to_owned(), place);
                match self.zones.last_mut() {
                    Some(held) => (place, held),
                    None => return Ok(false),
                }
            }
        };
        if held.as_ref() == Some(&zone) {
            return Ok(false);
        }
        for host in held.iter().flat_map(|zone| &zone.hosts) {
            self.by_host.remove(host);
        }
        let hosts = zone.hosts.iter();
        self.by_host.extend(hosts.map(|host| (host.clone(), place)));
        *held = Some(zone);
        Ok(true)
    }

    fn remove(&mut self, name: &str) -> bool {
        let Some(place) = self.by_name.remove(name) else {
            return false;
        };
        let gone = self.zones.get_mut(place).and_then(Option::take);
        for host in gone.iter().flat_map(|zone| &zone.hosts) {
            self.by_host.remove(host);
        }
        gone.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, hosts: Option<&str>) -> Change {
        let text = |hosts| {
            format!(
                "schema = 1\n[[zone]]\nname = \"{name}\"\nhosts = [{hosts}]\norigin = [{{ url = \"http://127.0.0.1:1\" }}]\n"
            )
        };
        Change {
            chain: Chain::Zone(name.into()),
            version: 1,
            text: hosts.map(text),
        }
    }

    fn put(draft: &mut Draft, changes: &[Change]) -> (usize, Vec<String>) {
        let (put, failed) = draft.put_all(changes);
        let failed = failed.into_iter().map(|(_, problems)| problems).collect();
        (put.len(), failed)
    }

    #[test]
    fn a_host_goes_over_in_any_order_and_two_never_have_it() {
        let mut draft = Draft::of(Document::default());
        let both = [
            change("a", Some("\"x.test\"")),
            change("b", Some("\"y.test\"")),
        ];
        assert_eq!(put(&mut draft, &both), (2, vec![]));
        let swapped = [
            change("a", Some("\"y.test\"")),
            change("c", Some("\"x.test\"")),
        ];
        let (count, failed) = put(&mut draft, &swapped);
        assert_eq!((count, failed.len()), (0, 2), "nobody gives anything up");
        let gone = [
            change("c", Some("\"x.test\"")),
            change("a", Some("\"y.test\"")),
            change("b", None),
        ];
        assert_eq!(put(&mut draft, &gone), (3, vec![]));
        let document = draft.finish();
        let zones: Vec<_> = document.zones.iter().map(|zone| &*zone.name).collect();
        assert_eq!(zones, ["a", "c"]);
    }

    #[test]
    fn the_same_again_is_nothing_new() {
        let mut draft = Draft::of(Document::default());
        let one = change("a", Some("\"x.test\""));
        assert!(matches!(draft.put_all([&one]).0[..], [(_, true)]));
        assert!(matches!(draft.put_all([&one]).0[..], [(_, false)]));
        let none = Change {
            text: None,
            ..one.clone()
        };
        assert!(matches!(draft.put_all([&none]).0[..], [(_, true)]));
        assert!(matches!(draft.put_all([&none]).0[..], [(_, false)]));
        assert!(matches!(draft.put_all([&one]).0[..], [(_, true)]));
    }
}
