//! Every byte of all that comes in, altered, left out and added to: refused, or no different; never a panic, never too much memory.

use seawall_bundle::{
    Content, ContentKey, Hash, KeyList, Limits, Manifest, Mark, Object, Refused, Report,
    ReportHead, Ring, Root, SCHEMA, SealKey, SigningKey, TrialList, Trust, Version, open_keys,
    open_manifest, open_report, open_sealed, report_signer, seal, sign_keys, sign_manifest,
    sign_report,
};

use crate::support::{Chance, Store, many, version};

/// All bytes, altered in three ways each; all lengths; and something more at the end.
fn each_mutation(good: &[u8], mut judge: impl FnMut(&[u8])) {
    for at in 0..good.len() {
        for flip in [1, 0x20, 0xff] {
            let mut bytes = good.to_vec();
            bytes[at] ^= flip;
            judge(&bytes);
        }
        judge(&good[..at]);
    }
    for more in [&b"\0"[..], b"\n", b" ", b"}", good] {
        judge(&[good, more].concat());
    }
}

#[test]
fn no_altered_manifest_is_believed() {
    let limits = Limits::default();
    let (root, online) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    let list = sign_keys(&KeyList::first(online.public()), &root, &limits).unwrap();
    let keys = open_keys(&list, &root.public(), 0, &limits).unwrap();
    let trust = Trust {
        keys,
        seen: Mark::default(),
    };
    let manifest = Manifest::new(1, 1, 0, Hash::of(b"root"), 1);
    let signed = sign_manifest(&manifest, &[&online], &limits).unwrap();
    assert!(open_manifest(&signed, &trust, 0, &limits).is_ok());
    each_mutation(&signed, |bytes| {
        assert!(open_manifest(bytes, &trust, 0, &limits).is_err());
    });
    each_mutation(&list, |bytes| {
        assert!(open_keys(bytes, &root.public(), 0, &limits).is_err());
    });
    let large = vec![b'a'; limits.manifest_bytes + 1];
    assert!(matches!(
        open_manifest(&large, &trust, 0, &limits),
        Err(Refused::TooLarge { .. })
    ));
    // A thousand signatures are not a thousand verifications.
    let (head, rest) = signed.split_at(signed.iter().position(|b| *b == b'\n').unwrap() + 1);
    let line = &rest[..=rest.iter().position(|b| *b == b'\n').unwrap()];
    let many = [head, &line.repeat(1_000), rest].concat();
    assert!(matches!(
        open_manifest(&many, &trust, 0, &limits),
        Err(Refused::TooLarge { .. })
    ));
}

#[test]
fn no_altered_report_is_believed() {
    let limits = Limits::default();
    let key = SigningKey::generate().unwrap();
    let report = Report {
        head: ReportHead {
            schema: SCHEMA,
            location: "lhr".into(),
            number: 1,
            epoch: 1,
            generation: 1,
            at: 1,
        },
        body: b"body".to_vec(),
    };
    let signed = sign_report(&report, &key, &limits).unwrap();
    each_mutation(&signed, |bytes| {
        let _ = report_signer(bytes, &limits);
        assert!(open_report(bytes, "lhr", &key.public(), 0, &limits).is_err());
    });
}

#[test]
fn no_altered_secret_opens() {
    let limits = Limits::default();
    let key = SealKey::generate().unwrap();
    let sealed = seal(b"secret", b"purpose", &[key.public()], &limits).unwrap();
    each_mutation(&sealed, |bytes| {
        assert!(open_sealed(bytes, b"purpose", &key, &limits).is_err());
    });
}

/// What is stored is not signed, but named: an altered object is refused, or unpacks to what its name says.
#[test]
fn an_altered_object_is_refused_or_the_same() {
    let content = version("a.test", 1).document.into_bytes();
    let object = Object::pack(&content, 1 << 20).unwrap();
    let mut refused = 0;
    each_mutation(object.packed(), |bytes| {
        match Object::open(&object.name(), bytes, 1 << 20) {
            Ok(opened) => assert_eq!(opened, content),
            Err(_) => refused += 1,
        }
    });
    assert!(refused > object.packed().len());
}

#[test]
fn a_bomb_is_refused_at_the_limit() {
    let zeros = vec![0; 256 << 20];
    let packed = zstd::bulk::compress(&zeros, 19).unwrap();
    println!(
        "measured: bundle.bomb = {} bytes packed for 256 MiB",
        packed.len()
    );
    let refused = Object::open(&Hash::of(&zeros), &packed, 1 << 20).unwrap_err();
    // It stopped there, and did not go on to see how much there is.
    assert!(matches!(refused, Refused::TooLarge { found, .. } if found <= (1 << 20) + (64 << 10)));
    // A frame that asks for a window of 128 MiB.
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    std::io::Write::write_all(&mut encoder, b"little").unwrap();
    let packed = encoder.finish().unwrap();
    let refused = Object::open(&Hash::of(b"little"), &packed, 1 << 20).unwrap_err();
    assert!(matches!(refused, Refused::Malformed { .. }));
}

/// Whoever can make objects of any content, under their right names, makes no reader panic; and what is taken has one spelling.
#[test]
fn roots_versions_and_trials_of_any_content_do_no_harm() {
    let limits = Limits::default();
    let mut store = Store::default();
    let root = many(&mut store, 2_000, 2_000);
    let object = root.pack().unwrap();
    let content = Object::open(&object.name(), object.packed(), 1 << 20).unwrap();
    let mut taken = 0;
    let mut chance = Chance::new(3);
    each_mutation(&content, |bytes| {
        // One in four: it is quick, but there are thousands.
        if chance.below(4) > 0 {
            return;
        }
        let forged = Object::pack(bytes, 1 << 20).unwrap();
        if let Ok(root) = Root::open(&forged.name(), forged.packed()) {
            taken += 1;
            assert_eq!(root.pack().unwrap(), forged);
        }
    });
    assert!(taken > 0, "hashes of leaves are anything");
    let object = version("a.test", 300).pack(&limits).unwrap();
    let content = Object::open(&object.name(), object.packed(), 1 << 20).unwrap();
    each_mutation(&content, |bytes| {
        let forged = Object::pack(bytes, 1 << 20).unwrap();
        if let Ok(version) = Version::open(&forged.name(), forged.packed(), &limits) {
            assert_eq!(version.pack(&limits).unwrap(), forged);
        }
        let _ = TrialList::open(&forged.name(), forged.packed(), &limits);
    });
}

/// As above: no ring and no secret is altered and opens all the same.
#[test]
fn contents_and_rings_of_any_content_do_no_harm() {
    let limits = Limits::default();
    let (key, here) = (
        ContentKey::generate().unwrap(),
        SealKey::generate().unwrap(),
    );
    let ring = Ring::new(vec![key.clone()]);
    let secret = Content::pack_secret(b"secret", b"purpose", &key, &limits).unwrap();
    let sealed = ring.pack(&[here.public()], &limits).unwrap();
    for object in [secret, sealed] {
        let content = Object::open(&object.name(), object.packed(), 1 << 20).unwrap();
        each_mutation(&content, |bytes| {
            let forged = Object::pack(bytes, 1 << 20).unwrap();
            if let Ok(content) = Content::open(&forged.name(), forged.packed(), &limits) {
                let is_secret = matches!(content, Content::Secret { .. });
                let opened = ring.open_content(content, b"purpose");
                assert!(!is_secret || opened.is_err());
            }
            let ring = Ring::open(&forged.name(), forged.packed(), &here, &limits);
            assert!(ring.is_err());
        });
    }
}

/// The entry points that a fuzzer calls, on noise.
#[test]
fn noise_does_no_harm() {
    let limits = Limits::default();
    let key = SigningKey::generate().unwrap();
    let seal_key = SealKey::generate().unwrap();
    let list = sign_keys(&KeyList::first(key.public()), &key, &limits).unwrap();
    let trust = Trust {
        keys: open_keys(&list, &key.public(), 0, &limits).unwrap(),
        seen: Mark::default(),
    };
    let mut chance = Chance::new(11);
    let starts: [&[u8]; 6] = [
        b"",
        b"seawall-signed manifest 1\n",
        b"seawall-signed report 1\nsignature ",
        b"seawall sealed 1\n\x01",
        b"\x28\xb5\x2f\xfd",
        b"seawall-key:ed25519-public:",
    ];
    for round in 0..3_000 {
        let mut bytes = starts[round % starts.len()].to_vec();
        bytes.extend((0..chance.below(300)).map(|_| chance.below(256) as u8));
        assert!(open_manifest(&bytes, &trust, 0, &limits).is_err());
        assert!(open_report(&bytes, "lhr", &key.public(), 0, &limits).is_err());
        assert!(open_sealed(&bytes, b"", &seal_key, &limits).is_err());
        assert!(Root::open(&Hash::of(&bytes), &bytes).is_err());
        assert!(SigningKey::parse(&String::from_utf8_lossy(&bytes)).is_err());
    }
}
