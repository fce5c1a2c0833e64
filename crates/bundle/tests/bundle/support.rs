//! What the tests share: a store in memory, zones, a source of repeatable chance.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;

use seawall_bundle::{
    Change, Diff, Edits, File, Hash, Limits, Object, Refused, Root, Step, Update, Version, update,
};

/// Repeatable chance (xorshift64*).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % bound
    }
}

/// Objects by name, and how often and how much was fetched.
#[derive(Default)]
pub struct Store {
    pub objects: HashMap<Hash, Vec<u8>>,
    pub fetches: usize,
    pub fetched_bytes: usize,
}

impl Store {
    pub fn keep(&mut self, objects: Vec<Object>) -> usize {
        let mut bytes = 0;
        for object in objects {
            bytes += object.packed().len();
            self.objects.insert(object.name(), object.into_packed());
        }
        bytes
    }

    pub fn fetch(&mut self, name: &Hash) -> Vec<u8> {
        let packed = self.objects.get(name).expect("an object that was stored");
        self.fetches += 1;
        self.fetched_bytes += packed.len();
        packed.clone()
    }

    /// Changes a tree and keeps what is new. Gives the new tree and the bytes that were new.
    pub fn change(&mut self, root: &Root, edits: Edits) -> (Root, usize) {
        let limits = Limits::default();
        let Update { root, objects } = update(root, edits, &limits, |name| {
            Ok::<_, Infallible>(self.fetch(name))
        })
        .expect("a good change");
        let bytes = self.keep(objects);
        let name = root.pack().unwrap().name();
        let again = Root::open(&name, &self.objects[&name]).expect("the root was kept");
        assert_eq!(again, root);
        (root, bytes)
    }

    /// All differences, as a reader finds them.
    pub fn diff(&mut self, old: &Root, new: &Root) -> Vec<Change> {
        let mut changes = Vec::new();
        self.walk(old, new, |change| changes.push(change))
            .expect("a good tree");
        changes
    }

    pub fn walk(
        &mut self,
        old: &Root,
        new: &Root,
        mut tell: impl FnMut(Change),
    ) -> Result<usize, Refused> {
        let limits = Limits::default();
        let mut diff = Diff::new(old, new, &limits);
        let mut most = 0;
        loop {
            match diff.step()? {
                Step::Want(wanted) => {
                    most = most.max(wanted.len());
                    assert!(!wanted.is_empty() && wanted.len() <= 2 * limits.window);
                    for name in wanted {
                        let packed = self.fetch(&name);
                        diff.give(&name, &packed)?;
                    }
                }
                Step::Changes(changes) => changes.into_iter().for_each(&mut tell),
                Step::Done => return Ok(most),
            }
        }
    }
}

/// What a plain map would hold after these changes.
pub fn play(zones: &mut BTreeMap<String, Version>, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Platform(_) => {}
            Change::Upserted(zone) => {
                zones.insert(zone.name, zone.version);
            }
            Change::Removed(name) => {
                assert!(zones.remove(&name).is_some(), "{name} was not there");
            }
        }
    }
}

pub fn name(number: u64) -> String {
    format!("zone-{number}.customer-{}.test", number % 977)
}

/// A zone's document of ordinary size: some 600 bytes, a third of it its own.
pub fn version(zone: &str, number: u64) -> Version {
    let mut chance = Chance::new(
        number ^ u64::from_be_bytes(Hash::of(zone.as_bytes()).0[..8].try_into().unwrap()),
    );
    let mut address = || {
        format!(
            "10.{}.{}.{}:{}",
            chance.below(256),
            chance.below(256),
            chance.below(256),
            8000 + chance.below(1000)
        )
    };
    let document = format!(
        r#"schema = 1

[[zone]]
name = "{zone}"
hosts = ["{zone}", "www.{zone}"]
origin = [{{ url = "http://{}", weight = 1 }}, {{ url = "http://{}", weight = 1 }}]
health = {{ path = "/healthz", every = "5s" }}
tls = {{ certificate = "acme" }}

[zone.cache]
mode = "standard"

[[zone.cache.rule]]
when = 'http.request.uri.path.extension in {{"css" "js"}}'
edge_ttl = "1h"

[[zone.rate_limit]]
when = 'http.request.uri.path eq "/login"'
by = ["ip.src"]
requests = {}
per = "1m"
action = "challenge"

[zone.bots]
mode = "watch"
"#,
        address(),
        address(),
        10 + number % 90
    );
    Version {
        number,
        document,
        files: vec![File {
            path: format!("/etc/seawall/{zone}.pem"),
            object: Hash::of(zone.as_bytes()),
        }],
    }
}

pub fn upsert(edits: &mut Edits, zone: &str, number: u64) {
    edits
        .zones
        .insert(zone.to_owned(), Some(version(zone, number)));
}

/// A tree of many zones, published in lots.
pub fn many(store: &mut Store, zones: u64, lot: u64) -> Root {
    let mut root = Root::empty();
    let mut next = 0;
    while next < zones {
        let end = (next + lot).min(zones);
        let mut edits = Edits::default();
        for number in next..end {
            upsert(&mut edits, &name(number), 1);
        }
        root = store.change(&root, edits).0;
        next = end;
    }
    root
}
