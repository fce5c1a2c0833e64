//! HPKE (RFC 9180), base mode, one message for each encapsulation: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305.
//!
//! Only what sealing needs: no exports, no pre-shared keys, no second message. Primitives are aws-lc-rs's; the key schedule is here, and
//! tests hold it against the RFC's vectors and a second implementation.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;

use crate::keys::{SealKey, SealPublicKey};

/// Bytes that authenticate (RFC 8439, 2.8).
pub(crate) const TAG: usize = 16;

const VERSION: &[u8] = b"HPKE-v1";
/// "KEM", then DHKEM(X25519, HKDF-SHA256) (RFC 9180, 4.1 and 7.1).
const KEM_SUITE: &[u8] = b"KEM\x00\x20";
/// "HPKE", KEM, KDF HKDF-SHA256, AEAD ChaCha20Poly1305 (RFC 9180, 5.1 and 7).
const SUITE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x03";
const MODE_BASE: u8 = 0;

/// Seals to a public key, with an ephemeral key that must be new each time. Gives the encapsulated key and the ciphertext.
pub(crate) fn seal(
    ephemeral: &SealKey,
    recipient: &SealPublicKey,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> Option<([u8; 32], Vec<u8>)> {
    let encapsulated = ephemeral.public().0;
    let shared = ephemeral.agree(&recipient.0)?;
    let (key, nonce) = schedule(&shared, &encapsulated, &recipient.0, info)?;
    let mut text = plaintext.to_vec();
    key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut text)
        .ok()?;
    Some((encapsulated, text))
}

/// Opens what [`seal`] has made.
pub(crate) fn open(
    recipient: &SealKey,
    encapsulated: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
) -> Option<Vec<u8>> {
    let shared = recipient.agree(encapsulated)?;
    let (key, nonce) = schedule(&shared, encapsulated, &recipient.public().0, info)?;
    let mut text = ciphertext.to_vec();
    let length = key
        .open_in_place(nonce, Aad::from(aad), &mut text)
        .ok()?
        .len();
    text.truncate(length);
    Some(text)
}

/// `ExtractAndExpand` (4.1), then `KeySchedule` of base mode (5.1), for sequence number 0.
fn schedule(
    shared: &[u8; 32],
    encapsulated: &[u8; 32],
    recipient: &[u8; 32],
    info: &[u8],
) -> Option<(LessSafeKey, Nonce)> {
    let context = [encapsulated.as_slice(), recipient].concat();
    let eae = labeled_extract(KEM_SUITE, &[], b"eae_prk", shared);
    let shared: [u8; 32] = labeled_expand(KEM_SUITE, &eae, b"shared_secret", &context)?;

    let no_psk = labeled_extract(SUITE, &[], b"psk_id_hash", &[]);
    let info = labeled_extract(SUITE, &[], b"info_hash", info);
    let context = [&[MODE_BASE][..], &no_psk, &info].concat();
    let secret = labeled_extract(SUITE, &shared, b"secret", &[]);
    let key: [u8; 32] = labeled_expand(SUITE, &secret, b"key", &context)?;
    let nonce: [u8; 12] = labeled_expand(SUITE, &secret, b"base_nonce", &context)?;
    let key = UnboundKey::new(&CHACHA20_POLY1305, &key).ok()?;
    Some((LessSafeKey::new(key), Nonce::assume_unique_for_key(nonce)))
}

/// RFC 9180, 4; `Extract` is that of RFC 5869, 2.2, where no salt is 32 zeros.
fn labeled_extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> [u8; 32] {
    let salt = if salt.is_empty() { &[0; 32] } else { salt };
    hmac_of(salt, &[VERSION, suite, label, ikm])
}

/// RFC 9180, 4; `Expand` is that of RFC 5869, 2.3, for no more than one block.
fn labeled_expand<const N: usize>(
    suite: &[u8],
    prk: &[u8; 32],
    label: &[u8],
    info: &[u8],
) -> Option<[u8; N]> {
    let length = u16::try_from(N).ok()?.to_be_bytes();
    let block = hmac_of(prk, &[&length, VERSION, suite, label, info, &[1]]);
    block.first_chunk().copied()
}

fn hmac_of(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305;
    use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};

    use super::*;
    use crate::hash::{from_hex, hex};

    /// RFC 9180, A.2.1: base setup and encryption of sequence number 0.
    #[test]
    fn the_standards_vector_comes_out() {
        let secret = |text| SealKey::from_bytes(&from_hex(text).unwrap()).unwrap();
        let ephemeral = secret("f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600");
        let recipient = secret("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
        let encapsulated = "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a";
        let ciphertext = "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28";
        let (info, aad) = (b"Ode on a Grecian Urn", b"Count-0");
        let plaintext = b"Beauty is truth, truth beauty";
        let sealed = seal(&ephemeral, &recipient.public(), info, aad, plaintext).unwrap();
        assert_eq!(hex(&sealed.0), encapsulated);
        assert_eq!(hex(&sealed.1), ciphertext);
        let opened = open(&recipient, &sealed.0, info, aad, &sealed.1).unwrap();
        assert_eq!(opened, plaintext);
    }

    #[test]
    fn a_second_implementation_opens_ours_and_we_open_its() {
        let other: &dyn Hpke = DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305;
        let (info, aad) = (b"info", b"aad");
        let theirs = other.generate_key_pair().unwrap();
        let (HpkePublicKey(public), private) = &theirs;
        let public = SealPublicKey(public.as_slice().try_into().unwrap());
        let ephemeral = SealKey::generate().unwrap();
        let (encapsulated, text) = seal(&ephemeral, &public, info, aad, b"to them").unwrap();
        let encapsulated = EncapsulatedSecret(encapsulated.to_vec());
        let private = HpkePrivateKey::from(private.secret_bytes().to_vec());
        let opened = other.open(&encapsulated, info, aad, &text, &private);
        assert_eq!(opened.unwrap(), b"to them");

        let ours = SealKey::generate().unwrap();
        let public = HpkePublicKey(ours.public().0.to_vec());
        let (encapsulated, text) = other.seal(info, aad, b"to us", &public).unwrap();
        let encapsulated = encapsulated.0.as_slice().try_into().unwrap();
        assert_eq!(
            open(&ours, &encapsulated, info, aad, &text).unwrap(),
            b"to us"
        );
    }

    /// RFC 7748, 6.1: a key of small order would make the secret known to all.
    #[test]
    fn a_key_of_small_order_is_refused() {
        let ephemeral = SealKey::generate().unwrap();
        for low in [[0; 32], SealPublicKey::one().0] {
            assert!(seal(&ephemeral, &SealPublicKey(low), b"", b"", b"secret").is_none());
            assert!(open(&ephemeral, &low, b"", b"", &[0; 32]).is_none());
        }
    }

    impl SealPublicKey {
        fn one() -> Self {
            let mut bytes = [0; 32];
            bytes[0] = 1;
            Self(bytes)
        }
    }
}
