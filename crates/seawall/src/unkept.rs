//! What serves and is not on disk yet: a whole configuration, zones that have changed since, or both.
//!
//! A zone's change is a few hundred bytes among, perhaps, a million zones. It serves as soon as it is compiled; the document that
//! all of them make together is put together later, where it is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use seawall_model::Document;
use seawall_model::document::Zone;
use seawall_proxy::materials::Materials;

use crate::configure::Source;

/// A zone that is another one than in the document, or not in it.
#[derive(Debug)]
pub struct Altered {
    /// Its name.
    pub name: String,
    /// What it is now; none when it has gone.
    pub zone: Option<Zone>,
    /// The files that it names.
    pub materials: Materials,
}

/// What serves, as far as it is not on disk.
#[derive(Clone, Default)]
pub struct Unkept {
    /// The whole configuration; none when that on disk is the one.
    pub base: Option<Arc<Source>>,
    /// Some of it is as it was before, with its files.
    pub with_old_files: bool,
    /// The name under which what serves is published, if that is known; on disk or not.
    pub stand: Option<String>,
    altered: BTreeMap<String, Arc<Altered>>,
}

impl Unkept {
    /// All of a configuration.
    pub fn whole(source: Arc<Source>, with_old_files: bool) -> Self {
        Self {
            base: Some(source),
            with_old_files,
            stand: None,
            altered: BTreeMap::new(),
        }
    }

    /// These have changed as well. The last word on a zone holds.
    pub fn alter(&mut self, altered: impl IntoIterator<Item = Arc<Altered>>) {
        for one in altered {
            self.altered.insert(one.name.clone(), one);
        }
    }

    /// All of it is on disk now. What is not needed any more.
    pub fn kept(&mut self) -> Self {
        let now = Self {
            stand: self.stand.clone(),
            ..Self::default()
        };
        std::mem::replace(self, now)
    }

    /// Zones that are others than in the document below.
    pub fn altered(&self) -> impl Iterator<Item = &Altered> {
        self.altered.values().map(|one| &**one)
    }

    /// Puts the zones that have changed into the document below. Linear in that document.
    pub fn put_into(&self, document: &mut Document) {
        if self.altered.is_empty() {
            return;
        }
        let mut left: BTreeMap<&str, &Altered> =
            self.altered().map(|one| (one.name.as_str(), one)).collect();
        document
            .zones
            .retain_mut(|zone| match left.remove(zone.name.as_str()) {
                None => true,
                Some(altered) => match &altered.zone {
                    None => false,
                    Some(now) => {
                        zone.clone_from(now);
                        true
                    }
                },
            });
        let new = left.into_values().filter_map(|one| one.zone.clone());
        document.zones.extend(new);
    }
}

#[cfg(test)]
mod tests {
    use seawall_model::{Limits, document};

    use super::*;

    fn zones(names: &[(&str, &str)]) -> Document {
        let mut text = String::from("schema = 1\n");
        for (name, host) in names {
            text += &format!(
                "[[zone]]\nname = \"{name}\"\nhosts = [\"{host}\"]\norigin = [{{ url = \"http://127.0.0.1:1\" }}]\n"
            );
        }
        document::parse(&text, &Limits::default()).unwrap()
    }

    fn altered(name: &str, host: Option<&str>) -> Arc<Altered> {
        let zone = host.map(|host| zones(&[(name, host)]).zones.remove(0));
        Arc::new(Altered {
            name: name.into(),
            zone,
            materials: Materials::default(),
        })
    }

    #[test]
    fn the_last_word_on_each_zone_holds() {
        let mut document = zones(&[("a", "a.test"), ("b", "b.test"), ("c", "c.test")]);
        let mut unkept = Unkept::default();
        unkept.alter([altered("b", Some("other.test")), altered("c", None)]);
        unkept.alter([altered("d", Some("d.test")), altered("e", Some("e.test"))]);
        unkept.alter([altered("b", Some("b2.test")), altered("e", None)]);
        unkept.alter([altered("never", None)]);
        unkept.put_into(&mut document);
        let expected = zones(&[("a", "a.test"), ("b", "b2.test"), ("d", "d.test")]);
        assert_eq!(document, expected);
    }
}
