//! Who is believed, and what is never believed again.

use seawall_bundle::{
    Accepted, Chain, Hash, KeyList, Kill, Limits, Locations, Manifest, Mark, OnlineKey, Refused,
    SCHEMA, Share, SigningKey, TIME_AHEAD_MS, Trial, TrialList, Trust, open_keys, open_manifest,
    sign_keys, sign_manifest,
};

const NOW: u64 = 1_780_000_000_000;

/// A root key, two online keys, and an edge that has the list of keys.
struct Scene {
    root: SigningKey,
    one: SigningKey,
    two: SigningKey,
    limits: Limits,
    seen: Mark,
    list: KeyList,
}

impl Scene {
    fn new() -> Self {
        let one = SigningKey::generate().unwrap();
        Self {
            root: SigningKey::generate().unwrap(),
            list: KeyList::first(one.public()),
            one,
            two: SigningKey::generate().unwrap(),
            limits: Limits::default(),
            seen: Mark::default(),
        }
    }

    fn trust(&self) -> Trust {
        let signed = sign_keys(&self.list, &self.root, &self.limits).unwrap();
        let keys = open_keys(&signed, &self.root.public(), 0, &self.limits).unwrap();
        Trust {
            keys,
            seen: self.seen,
        }
    }

    fn open(&self, bytes: &[u8]) -> Result<Accepted, Refused> {
        open_manifest(bytes, &self.trust(), NOW, &self.limits)
    }

    fn manifest(&self, generation: u64) -> Manifest {
        Manifest::new(self.list.epoch, generation, NOW, Hash::of(b"root"), 9)
    }

    fn signed(&self, generation: u64, keys: &[&SigningKey]) -> Vec<u8> {
        sign_manifest(&self.manifest(generation), keys, &self.limits).unwrap()
    }

    /// Opens and remembers.
    fn accept(&mut self, bytes: &[u8]) -> Accepted {
        let accepted = self.open(bytes).unwrap();
        self.seen = accepted.mark;
        accepted
    }
}

fn trial(zone: u64) -> Trial {
    Trial {
        chain: Chain::Zone(format!("zone-{zone}.test")),
        version: 4,
        parent: 3,
        object: Hash::of(&zone.to_be_bytes()),
        shares: vec![
            Share {
                locations: Locations::Named(vec!["lhr".into(), "fra".into()]),
                share: 500,
            },
            Share {
                locations: Locations::Named(Vec::new()),
                share: 10_000,
            },
        ],
        salt: u64::MAX,
        expires_after_s: 600,
    }
}

#[test]
fn a_manifest_arrives_as_it_was_signed() {
    let mut scene = Scene::new();
    let mut manifest = scene.manifest(12);
    manifest.put_trials(vec![trial(1)], &scene.limits).unwrap();
    manifest.kills.push(Kill {
        id: 5,
        module: "waf".into(),
        zone: None,
        locations: Locations::All,
        for_s: 3_600,
        why: "it answers 500".into(),
    });
    let signed = sign_manifest(&manifest, &[&scene.one], &scene.limits).unwrap();
    println!(
        "measured: bundle.manifest.one_trial_one_kill = {} bytes",
        signed.len()
    );
    assert!(signed.len() <= 1_200, "{}", signed.len());
    let accepted = scene.accept(&signed);
    assert_eq!(*accepted.manifest, manifest);
    assert!(!accepted.unchanged && accepted.time_ahead.is_none());
    assert_eq!(scene.seen.generation, 12);
    assert!(scene.accept(&signed).unchanged);
    // Rings: those named, nobody by an empty list, and nobody else.
    let trial = &accepted.manifest.trials[0];
    assert_eq!(trial.share_in("lhr"), 500);
    assert_eq!(trial.share_in("ams"), 0);
}

#[test]
fn an_older_generation_is_refused_and_so_is_another_of_the_same() {
    let mut scene = Scene::new();
    let old = scene.signed(11, &[&scene.one]);
    let new = scene.signed(12, &[&scene.one]);
    scene.accept(&old);
    scene.accept(&new);
    assert_eq!(
        scene.open(&old),
        Err(Refused::OldGeneration {
            generation: 11,
            seen: 12
        })
    );
    let mut forked = scene.manifest(12);
    forked.log = 10;
    let forked = sign_manifest(&forked, &[&scene.one], &scene.limits).unwrap();
    assert_eq!(scene.open(&forked), Err(Refused::Forked { generation: 12 }));
}

#[test]
fn going_lower_takes_an_epoch_that_the_root_key_signed() {
    let mut scene = Scene::new();
    let before = scene.signed(500, &[&scene.one]);
    scene.accept(&before);
    // Who has an online key alone cannot begin an epoch.
    let mut low = scene.manifest(3);
    low.epoch = 2;
    let low = sign_manifest(&low, &[&scene.one], &scene.limits).unwrap();
    assert_eq!(
        scene.open(&low),
        Err(Refused::UnsignedEpoch {
            epoch: 2,
            signed: 1
        })
    );
    scene.list.epoch = 2;
    scene.list.serial = 2;
    assert_eq!(scene.accept(&low).mark.generation, 3);
    // And there is no way back.
    assert_eq!(
        scene.open(&before),
        Err(Refused::OldEpoch { epoch: 1, seen: 2 })
    );
    scene.list.epoch = 1;
    scene.list.serial = 1;
    assert_eq!(
        scene.open(&before),
        Err(Refused::OldKeys { serial: 1, seen: 2 })
    );
}

#[test]
fn keys_change_without_a_gap() {
    let mut scene = Scene::new();
    let first = scene.signed(1, &[&scene.one]);
    scene.accept(&first);
    // Signed by the new key before the list is here: the list should be fetched.
    let early = scene.signed(2, &[&scene.two]);
    let refused = scene.open(&early).unwrap_err();
    assert!(matches!(refused, Refused::UnknownKey { list: 1, .. }));
    assert!(refused.is_worth_another_try());
    // Signed by both, it is good with either list.
    let both = scene.signed(2, &[&scene.two, &scene.one]);
    scene.accept(&both);
    scene.list.serial = 2;
    scene.list.online = vec![
        OnlineKey {
            key: scene.one.public(),
            first: 0,
            last: Some(9),
        },
        OnlineKey {
            key: scene.two.public(),
            first: 2,
            last: None,
        },
    ];
    let (by_one, by_two) = (
        scene.signed(3, &[&scene.one]),
        scene.signed(4, &[&scene.two]),
    );
    scene.accept(&by_one);
    scene.accept(&by_two);
    // The old key's time is over.
    let late = scene.signed(10, &[&scene.one]);
    assert_eq!(
        scene.open(&late),
        Err(Refused::KeyNotValid {
            key: scene.one.public().fingerprint(),
            generation: 10
        })
    );
    let next = scene.signed(10, &[&scene.two]);
    scene.accept(&next);
    // Revoked, it signs nothing, whatever its generations were; beside a good key it does no harm.
    scene.list.serial = 3;
    scene.list.revoked = vec![scene.two.public().fingerprint()];
    scene.list.online.push(OnlineKey {
        key: scene.root.public(),
        first: 11,
        last: None,
    });
    let revoked = scene.signed(11, &[&scene.two]);
    assert_eq!(
        scene.open(&revoked),
        Err(Refused::RevokedKey {
            key: scene.two.public().fingerprint()
        })
    );
    let both = scene.signed(11, &[&scene.two, &scene.root]);
    scene.accept(&both);
}

#[test]
fn only_the_root_key_lists_keys() {
    let scene = Scene::new();
    let limits = &scene.limits;
    let by_online = sign_keys(&scene.list, &scene.one, limits).unwrap();
    let root = scene.root.public();
    let refused = open_keys(&by_online, &root, 0, limits).unwrap_err();
    assert!(matches!(refused, Refused::UnknownKey { .. }));
    let good = sign_keys(&scene.list, &scene.root, limits).unwrap();
    assert_eq!(*open_keys(&good, &root, 1, limits).unwrap(), scene.list);
    assert_eq!(
        open_keys(&good, &root, 2, limits),
        Err(Refused::OldKeys { serial: 1, seen: 2 })
    );
    // A list of keys is no manifest, nor the other way round.
    assert!(matches!(scene.open(&good), Err(Refused::Malformed { .. })));
    let manifest = scene.signed(1, &[&scene.root]);
    assert!(matches!(
        open_keys(&manifest, &root, 0, limits),
        Err(Refused::Malformed { .. })
    ));
    // Not more than two at a time.
    let mut crowded = scene.list.clone();
    crowded.online = vec![crowded.online[0]; 3];
    assert!(sign_keys(&crowded, &scene.root, limits).is_err());
}

/// A clock that is wrong must neither stop a good configuration nor move the mark.
#[test]
fn time_ahead_is_an_alarm_and_never_moves_the_mark() {
    let mut scene = Scene::new();
    let at = |generation, at| {
        let manifest = Manifest::new(1, generation, at, Hash::of(b"root"), 9);
        sign_manifest(&manifest, &[&scene.one], &scene.limits).unwrap()
    };
    let (early, ahead, edge) = (
        at(1, NOW - 5_000),
        at(2, NOW + TIME_AHEAD_MS + 1),
        at(3, NOW + TIME_AHEAD_MS),
    );
    let long_ago = at(4, 0);
    assert_eq!(scene.accept(&early).mark.signed_at, NOW - 5_000);
    let accepted = scene.accept(&ahead);
    assert_eq!(accepted.time_ahead.unwrap().by_ms, TIME_AHEAD_MS + 1);
    assert_eq!(accepted.mark.signed_at, NOW - 5_000);
    assert_eq!(accepted.mark.generation, 2);
    assert_eq!(scene.accept(&edge).mark.signed_at, NOW + TIME_AHEAD_MS);
    let accepted = scene.accept(&long_ago);
    assert!(accepted.time_ahead.is_none());
    assert_eq!(
        accepted.mark.signed_at,
        NOW + TIME_AHEAD_MS,
        "it only rises"
    );
}

#[test]
fn a_later_schema_is_read_only_if_it_says_so() {
    let scene = Scene::new();
    let mut manifest = scene.manifest(1);
    manifest.schema = SCHEMA + 1;
    manifest.min_reader = SCHEMA;
    let readable = sign_manifest(&manifest, &[&scene.one], &scene.limits).unwrap();
    assert!(scene.open(&readable).is_ok());
    manifest.min_reader = SCHEMA + 1;
    let newer = sign_manifest(&manifest, &[&scene.one], &scene.limits).unwrap();
    let refused = scene.open(&newer).unwrap_err();
    assert!(matches!(refused, Refused::NewerSchema { needs, .. } if needs == SCHEMA + 1));
}

#[test]
fn many_trials_travel_beside_the_manifest() {
    let mut scene = Scene::new();
    let trials: Vec<Trial> = (0..5_000).map(trial).collect();
    let mut manifest = scene.manifest(1);
    let more = manifest.put_trials(trials.clone(), &scene.limits).unwrap();
    let more = more.expect("they have no place in the manifest");
    let signed = sign_manifest(&manifest, &[&scene.one], &scene.limits).unwrap();
    println!(
        "measured: bundle.manifest.5000_trials = {} bytes",
        signed.len()
    );
    println!(
        "measured: bundle.trials.5000 = {} bytes packed",
        more.packed().len()
    );
    let accepted = scene.accept(&signed);
    let name = accepted.manifest.more_trials.unwrap();
    let others = TrialList::open(&name, more.packed(), &scene.limits).unwrap();
    let all = [accepted.manifest.trials.clone(), others.trials].concat();
    assert_eq!(all, trials);
    let too_many = vec![trial(1); scene.limits.trials + 1];
    assert!(matches!(
        manifest.put_trials(too_many, &scene.limits),
        Err(Refused::TooLarge { .. })
    ));
}

/// An empty name or list is never taken for all; what does not last or grow is no trial.
#[test]
fn what_no_edge_should_act_on_is_not_signed() {
    let scene = Scene::new();
    let kill = Kill {
        id: 1,
        module: "waf".into(),
        zone: Some("a.test".into()),
        locations: Locations::All,
        for_s: 60,
        why: String::new(),
    };
    let sign = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = scene.manifest(1);
        manifest.kills.push(kill.clone());
        manifest.trials.push(trial(1));
        change(&mut manifest);
        sign_manifest(&manifest, &[&scene.one], &scene.limits)
    };
    assert!(sign(&|_| {}).is_ok());
    let changes: [&dyn Fn(&mut Manifest); 9] = [
        &|manifest| manifest.kills[0].zone = Some(String::new()),
        &|manifest| manifest.kills[0].module = String::new(),
        &|manifest| manifest.kills[0].for_s = 0,
        &|manifest| manifest.kills[0].locations = Locations::Named(vec![String::new()]),
        &|manifest| manifest.kills[0].locations = Locations::Named(vec!["*".into()]),
        &|manifest| manifest.trials[0].chain = Chain::Zone(String::new()),
        &|manifest| manifest.trials[0].version = 3,
        &|manifest| manifest.trials[0].shares[0].share = 10_001,
        &|manifest| manifest.trials = vec![trial(1); 65],
    ];
    for (number, change) in changes.iter().enumerate() {
        assert!(sign(change).is_err(), "change {number}");
    }
    assert!(serde_roundtrip(r#"["*"]"#).is_some_and(|all| all == Locations::All));
    assert_eq!(serde_roundtrip(r#"["*","lhr"]"#), None);
    assert_eq!(serde_roundtrip("[]"), Some(Locations::Named(Vec::new())));
}

fn serde_roundtrip(text: &str) -> Option<Locations> {
    let locations: Locations = serde_json::from_str(text).ok()?;
    assert_eq!(serde_json::to_string(&locations).unwrap(), text);
    Some(locations)
}
