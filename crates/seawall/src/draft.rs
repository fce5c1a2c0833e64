//! A document into which changes are put, one by one, each in the time that it takes alone.

use std::collections::{HashMap, HashSet};

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
/// A change that could not be put, and what is wrong with it.
type Failed<'c> = (&'c Change, String);

/// How often zones whose hosts go round are tried without those of them that cannot be put.
const ROUNDS: usize = 16;

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

    /// Puts changes in: one zone may take a host that another one gives up, whichever comes first, and hosts may go round. Those that
    /// were put, and those that could not be, with all that is wrong with them.
    pub fn put_all<'c>(
        &mut self,
        changes: impl IntoIterator<Item = &'c Change>,
    ) -> (Vec<Put<'c>>, Vec<Failed<'c>>) {
        let (mut put, mut failed) = self.each(changes);
        let zones = failed
            .iter()
            .filter(|(change, _)| change.chain.zone().is_some());
        let mut round: Vec<&Change> = zones.map(|(change, _)| *change).collect();
        for _ in 0..ROUNDS {
            if round.is_empty() {
                break;
            }
            match self.round(&round) {
                Ok(all) => {
                    let done: HashSet<*const Change> =
                        all.iter().map(|(change, _)| &raw const **change).collect();
                    failed.retain(|(change, _)| !done.contains(&(&raw const **change)));
                    put.extend(all);
                    break;
                }
                // The others stay as they are, with their hosts.
                Err(some) => round = some,
            }
        }
        if !put.is_empty() && !failed.is_empty() {
            // What stood in the way may have gone.
            let (more, left) = self.each(failed.into_iter().map(|(change, _)| change));
            put.extend(more);
            failed = left;
        }
        (put, failed)
    }

    /// Puts changes in, one after the other.
    fn each<'c>(
        &mut self,
        changes: impl IntoIterator<Item = &'c Change>,
    ) -> (Vec<Put<'c>>, Vec<Failed<'c>>) {
        let (mut put, mut failed) = (Vec::new(), Vec::new());
        for change in changes {
            match self.put(change) {
                Ok(is_new) => put.push((change, is_new)),
                Err(problems) => failed.push((change, problems)),
            }
        }
        (put, failed)
    }

    /// Takes the zones of changes out, then puts all changes in. Where one of them cannot be put, nothing is done, and those are told that
    /// could be.
    fn round<'c>(&mut self, changes: &[&'c Change]) -> Result<Vec<Put<'c>>, Vec<&'c Change>> {
        let many = self.zones.len();
        let names = || changes.iter().filter_map(|change| change.chain.zone());
        let before: Vec<(usize, Zone)> = names().filter_map(|name| self.take(name)).collect();
        let (put, failed) = self.each(changes.iter().copied());
        if failed.is_empty() {
            return Ok(put);
        }
        for name in names() {
            drop(self.take(name));
            if self.by_name.get(name).is_some_and(|place| *place >= many) {
                self.by_name.remove(name);
            }
        }
        self.zones.truncate(many);
        for (place, zone) in before {
            for host in &zone.hosts {
                self.by_host.entry(host.clone()).or_insert(place);
            }
            if let Some(held) = self.zones.get_mut(place) {
                *held = Some(zone);
            }
        }
        Err(put.into_iter().map(|(change, _)| change).collect())
    }

    /// Takes a zone out, with its hosts; its place stays.
    fn take(&mut self, name: &str) -> Option<(usize, Zone)> {
        let place = *self.by_name.get(name)?;
        let zone = self.zones.get_mut(place)?.take()?;
        for host in &zone.hosts {
            if self.by_host.get(host) == Some(&place) {
                self.by_host.remove(host);
            }
        }
        Some((place, zone))
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
    fn hosts_go_round_and_who_cannot_be_put_keeps_his() {
        let mut draft = Draft::of(Document::default());
        let before = [
            change("a", Some("\"x.test\"")),
            change("b", Some("\"y.test\"")),
            change("c", Some("\"z.test\"")),
            change("d", Some("\"d.test\"")),
        ];
        assert_eq!(put(&mut draft, &before), (4, vec![]));
        let round = [
            change("a", Some("\"y.test\"")),
            change("b", Some("\"z.test\"")),
            change("c", Some("\"x.test\"")),
        ];
        assert_eq!(put(&mut draft, &round), (3, vec![]));
        // Two go round, and a new one waits for a host that stays where it is.
        let some = [
            change("b", Some("\"x.test\"")),
            change("e", Some("\"e.test\", \"d.test\"")),
            change("c", Some("\"z.test\"")),
        ];
        let (count, failed) = put(&mut draft, &some);
        assert_eq!((count, failed.len()), (2, 1));
        assert!(failed[0].contains("d.test"), "{failed:?}");
        // Who cannot be put keeps his host, and so who wants it waits.
        let bad = Change {
            text: Some("nonsense".into()),
            ..change("b", None)
        };
        let none = [
            change("a", Some("\"x.test\"")),
            bad,
            change("c", Some("\"y.test\"")),
        ];
        let (count, failed) = put(&mut draft, &none);
        assert_eq!((count, failed.len()), (0, 3));
        let document = draft.finish();
        let zones = document.zones.iter().map(|zone| {
            let hosts = zone.hosts.iter().map(ToString::to_string);
            (&*zone.name, hosts.collect::<Vec<_>>().join(" "))
        });
        let wanted = [
            ("a", "y.test"),
            ("b", "x.test"),
            ("c", "z.test"),
            ("d", "d.test"),
        ];
        assert_eq!(
            zones.collect::<Vec<_>>(),
            wanted.map(|(name, host)| (name, host.to_owned()))
        );
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
