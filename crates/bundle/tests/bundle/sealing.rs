//! Secrets open for those that they are sealed to, for the purpose that they are sealed for, and for nobody else.

use seawall_bundle::{Limits, Refused, SealKey, SealPublicKey, open_sealed, seal};

#[test]
fn each_recipient_opens_it_and_nobody_else() {
    let limits = Limits::default();
    let keys: Vec<SealKey> = (0..5).map(|_| SealKey::generate().unwrap()).collect();
    let public: Vec<SealPublicKey> = keys.iter().map(SealKey::public).collect();
    let (secret, purpose) = (b"-----BEGIN PRIVATE KEY-----", b"secret://tls/a.test");
    let sealed = seal(secret, purpose, &public[..4], &limits).unwrap();
    for key in &keys[..4] {
        assert_eq!(open_sealed(&sealed, purpose, key, &limits).unwrap(), secret);
        assert_eq!(
            open_sealed(&sealed, b"secret://tls/b.test", key, &limits),
            Err(Refused::DoesNotOpen)
        );
    }
    assert_eq!(
        open_sealed(&sealed, purpose, &keys[4], &limits),
        Err(Refused::NotForUs {
            key: public[4].fingerprint()
        })
    );
    assert!(!sealed.windows(secret.len()).any(|window| window == secret));
    assert_ne!(
        sealed,
        seal(secret, purpose, &public[..4], &limits).unwrap()
    );
    // Nobody is left out afterwards: the last recipient's entry is cut from between the others' and the text.
    let entry = 16 + 32 + 48;
    let head = b"seawall sealed 1\n".len();
    let (kept, rest) = sealed.split_at(head + 1 + 3 * entry);
    let mut fewer = [kept, &rest[entry..]].concat();
    fewer[head] = 3;
    for key in &keys[..3] {
        assert_eq!(
            open_sealed(&fewer, purpose, key, &limits),
            Err(Refused::DoesNotOpen)
        );
    }
    assert!(matches!(
        open_sealed(&fewer, purpose, &keys[3], &limits),
        Err(Refused::NotForUs { .. })
    ));
    assert!(seal(secret, purpose, &[], &limits).is_err());
    assert!(seal(&vec![0; limits.secret_bytes + 1], purpose, &public, &limits).is_err());
}
