//! Keys: Ed25519 (RFC 8032) to sign, X25519 (RFC 7748) to seal, and how they look in files.
//!
//! A key in a file is one line, `seawall-key:KIND:HEX:CHECK`, where the last eight digits are of the SHA-256 of what stands
//! before them, so that a key copied by hand is either right or refused.

use std::fmt;

use aws_lc_rs::agreement::{self, PrivateKey, X25519};
use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin};
use aws_lc_rs::rand;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::hash::{Hash, from_hex, hex, write_hex};
use crate::refused::Refused;

const SIGN_PUBLIC: &str = "ed25519-public";
const SIGN_SECRET: &str = "ed25519-secret";
const SEAL_PUBLIC: &str = "x25519-public";
const SEAL_SECRET: &str = "x25519-secret";

/// The short name of a key: 16 bytes of the SHA-256 of its kind and its public half.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub(crate) [u8; 16]);

impl Fingerprint {
    /// Reads 32 lowercase hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }

    fn of(kind: &str, public: &[u8; 32]) -> Self {
        let Hash(hash) = Hash::of(line(kind, public).as_bytes());
        let mut short = [0; 16];
        for (to, from) in short.iter_mut().zip(hash) {
            *to = from;
        }
        Self(short)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a fingerprint is 32 lowercase hexadecimal digits")
    }
}

/// The public half of a key that signs. Serialised as its line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(pub(crate) [u8; 32]);

/// The public half of a key that secrets are sealed to. Serialised as its line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SealPublicKey(pub(crate) [u8; 32]);

impl PublicKey {
    /// Its short name.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(SIGN_PUBLIC, &self.0)
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, signature)
            .is_ok()
    }
}

impl SealPublicKey {
    /// Its short name.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(SEAL_PUBLIC, &self.0)
    }
}

macro_rules! public {
    ($key:ident, $kind:ident) => {
        impl $key {
            /// Reads the line that `Display` writes.
            ///
            /// # Errors
            /// [`Refused::Malformed`].
            pub fn parse(text: &str) -> Result<Self, Refused> {
                parse_line($kind, text).map(Self)
            }
        }

        impl fmt::Display for $key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&line($kind, &self.0))
            }
        }

        impl fmt::Debug for $key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&line($kind, &self.0))
            }
        }

        impl From<$key> for String {
            fn from(key: $key) -> Self {
                key.to_string()
            }
        }

        impl TryFrom<String> for $key {
            type Error = Refused;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }
    };
}

public!(PublicKey, SIGN_PUBLIC);
public!(SealPublicKey, SEAL_PUBLIC);

/// A key that signs: the root's, an online key, a location's. Never shown.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// A new key, from the operating system's randomness.
    ///
    /// # Errors
    /// [`Refused::Malformed`] when there is no randomness.
    pub fn generate() -> Result<Self, Refused> {
        Self::from_seed(&random()?)
    }

    /// Reads the line that [`SigningKey::to_text`] writes.
    ///
    /// # Errors
    /// [`Refused::Malformed`].
    pub fn parse(text: &str) -> Result<Self, Refused> {
        Self::from_seed(&parse_line(SIGN_SECRET, text)?)
    }

    /// The key of a seed (RFC 8032, 5.1.5).
    fn from_seed(seed: &[u8; 32]) -> Result<Self, Refused> {
        let wrong = || Refused::malformed("a key", "its seed is no Ed25519 key");
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| wrong())?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| wrong())?;
        Ok(Self {
            pair,
            public: PublicKey(public),
        })
    }

    /// The secret line for a file that only its owner can read.
    ///
    /// # Errors
    /// [`Refused::Malformed`] when the library does not give the seed away.
    pub fn to_text(&self) -> Result<String, Refused> {
        let wrong = || Refused::malformed("a key", "its seed cannot be had");
        let seed = self.pair.seed().map_err(|_| wrong())?;
        let seed: Curve25519SeedBin<'_> = seed.as_be_bytes().map_err(|_| wrong())?;
        let seed: [u8; 32] = seed.as_ref().try_into().map_err(|_| wrong())?;
        Ok(line(SIGN_SECRET, &seed))
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<[u8; 64], Refused> {
        let signature = self.pair.try_sign(message);
        signature
            .ok()
            .and_then(|signature| signature.as_ref().try_into().ok())
            .ok_or_else(|| Refused::malformed("a signature", "it could not be made"))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.fingerprint())
    }
}

/// A location's key that secrets are sealed to. Never shown.
pub struct SealKey {
    private: PrivateKey,
    public: SealPublicKey,
}

impl SealKey {
    /// A new key, from the operating system's randomness.
    ///
    /// # Errors
    /// [`Refused::Malformed`] when there is no randomness.
    pub fn generate() -> Result<Self, Refused> {
        Self::from_bytes(&random()?)
    }

    /// Reads the line that [`SealKey::to_text`] writes.
    ///
    /// # Errors
    /// [`Refused::Malformed`].
    pub fn parse(text: &str) -> Result<Self, Refused> {
        Self::from_bytes(&parse_line(SEAL_SECRET, text)?)
    }

    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Result<Self, Refused> {
        let wrong = || Refused::malformed("a key", "it is no X25519 key");
        let private = PrivateKey::from_private_key(&X25519, bytes).map_err(|_| wrong())?;
        let public = private.compute_public_key().map_err(|_| wrong())?;
        let public = public.as_ref().try_into().map_err(|_| wrong())?;
        Ok(Self {
            private,
            public: SealPublicKey(public),
        })
    }

    /// The secret line for a file that only its owner can read.
    ///
    /// # Errors
    /// [`Refused::Malformed`] when the library does not give the key away.
    pub fn to_text(&self) -> Result<String, Refused> {
        let wrong = || Refused::malformed("a key", "it cannot be had");
        let bytes: Curve25519SeedBin<'_> = self.private.as_be_bytes().map_err(|_| wrong())?;
        let bytes: [u8; 32] = bytes.as_ref().try_into().map_err(|_| wrong())?;
        Ok(line(SEAL_SECRET, &bytes))
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> SealPublicKey {
        self.public
    }

    /// The shared secret of X25519; none with a public key of small order (RFC 7748, 6.1).
    pub(crate) fn agree(&self, public: &[u8; 32]) -> Option<[u8; 32]> {
        let theirs = agreement::UnparsedPublicKey::new(&X25519, public);
        agreement::agree(&self.private, theirs, (), |secret| {
            secret.try_into().map_err(|_| ())
        })
        .ok()
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey({})", self.public.fingerprint())
    }
}

/// Bytes from the operating system.
pub(crate) fn random() -> Result<[u8; 32], Refused> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| Refused::malformed("randomness", "there is none"))?;
    Ok(bytes)
}

fn line(kind: &str, bytes: &[u8; 32]) -> String {
    let body = format!("seawall-key:{kind}:{}", hex(bytes));
    let check = check_of(&body);
    format!("{body}:{check}")
}

fn check_of(body: &str) -> String {
    Hash::of(body.as_bytes())
        .to_string()
        .chars()
        .take(8)
        .collect()
}

/// Reads a key's line; a line end after it is forgiven, as in a file.
fn parse_line(kind: &str, text: &str) -> Result<[u8; 32], Refused> {
    let wrong = |why: String| Refused::Malformed { what: "a key", why };
    let (body, check) = text
        .trim_end_matches(['\r', '\n'])
        .rsplit_once(':')
        .ok_or_else(|| wrong(format!("it is not seawall-key:{kind}:HEX:CHECK")))?;
    let digits = body
        .strip_prefix("seawall-key:")
        .and_then(|rest| rest.strip_prefix(kind)?.strip_prefix(':'))
        .ok_or_else(|| wrong(format!("it does not begin with seawall-key:{kind}:")))?;
    let bytes = from_hex(digits).ok_or_else(|| wrong("it is not 64 hexadecimal digits".into()))?;
    if check != check_of(body) {
        return Err(wrong(
            "its check digits do not match: copied wrongly?".into(),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_their_text_and_no_typing_error_does() {
        let key = SigningKey::generate().unwrap();
        let text = key.to_text().unwrap();
        assert_eq!(
            SigningKey::parse(&format!("{text}\n")).unwrap().public(),
            key.public()
        );
        assert_eq!(
            PublicKey::parse(&key.public().to_string()).unwrap(),
            key.public()
        );
        let seal = SealKey::generate().unwrap();
        let seal_text = seal.to_text().unwrap();
        assert_eq!(SealKey::parse(&seal_text).unwrap().public(), seal.public());
        // Kinds are not mixed up.
        assert!(SigningKey::parse(&seal_text).is_err());
        assert!(PublicKey::parse(&text).is_err());
        assert!(SealPublicKey::parse(&key.public().to_string()).is_err());
        let public = key.public().to_string();
        for at in 0..public.len() {
            let mut bytes = public.clone().into_bytes();
            bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
            assert!(PublicKey::parse(std::str::from_utf8(&bytes).unwrap()).is_err());
            let short: String = public.chars().take(at).collect();
            assert!(PublicKey::parse(&short).is_err());
        }
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let key = SigningKey::generate().unwrap();
        let seal = SealKey::generate().unwrap();
        for (shown, secret) in [
            (format!("{key:?}"), key.to_text().unwrap()),
            (format!("{seal:?}"), seal.to_text().unwrap()),
        ] {
            let digits = secret.split(':').nth(2).unwrap();
            assert!(!shown.contains(digits));
        }
    }

    // RFC 8032, 7.1, test 1.
    #[test]
    fn a_seed_makes_the_key_that_the_standard_says() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let key = SigningKey::from_seed(&from_hex(seed).unwrap()).unwrap();
        assert_eq!(hex(&key.public().0), public);
    }
}
