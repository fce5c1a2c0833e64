//! What ACME signs and how it writes bytes: JWS with ES256 (RFC 7515, RFC 7518 §3.4), thumbprints (RFC 7638), base64url.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use crate::Fault;

/// The key of an account.
pub struct AccountKey {
    pair: EcdsaKeyPair,
    x: String,
    y: String,
}

impl AccountKey {
    /// A new one, with its PKCS#8 form.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> Result<(Self, Vec<u8>), Fault> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .map_err(|_| Fault::Own("no key could be made".into()))?;
        Ok((
            Self::from_pkcs8(document.as_ref())?,
            document.as_ref().to_vec(),
        ))
    }

    /// From its PKCS#8 form.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, Fault> {
        let broken = || Fault::Own("the account's key is broken".into());
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes)
            .map_err(|_| broken())?;
        // An uncompressed point: 4, x, y (SEC 1 §2.3.3).
        let point = pair.public_key().as_ref();
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else {
            return Err(broken());
        };
        let (x, y) = (base64url(x), base64url(y));
        Ok(Self { pair, x, y })
    }

    /// The public key (RFC 7517).
    pub fn jwk(&self) -> Value {
        json!({ "crv": "P-256", "kty": "EC", "x": self.x, "y": self.y })
    }

    /// Its name (RFC 7638): the members in this order, without spaces.
    pub fn thumbprint(&self) -> String {
        let text = format!(
            r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
            self.x, self.y
        );
        base64url(digest(&SHA256, text.as_bytes()).as_ref())
    }

    /// A signed request (RFC 8555 §6.2); without a payload it is a POST-as-GET. `kid` is the account's URL, once there is one.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn sign(
        &self,
        kid: Option<&str>,
        nonce: &str,
        url: &str,
        payload: Option<&Value>,
    ) -> Result<String, Fault> {
        let mut protected = json!({ "alg": "ES256", "nonce": nonce, "url": url });
        if let Some(map) = protected.as_object_mut() {
            match kid {
                Some(kid) => map.insert("kid".into(), kid.into()),
                None => map.insert("jwk".into(), self.jwk()),
            };
        }
        let protected = base64url(protected.to_string().as_bytes());
        let payload =
            payload.map_or_else(String::new, |value| base64url(value.to_string().as_bytes()));
        let signed = format!("{protected}.{payload}");
        let signature = self
            .pair
            .sign(&SystemRandom::new(), signed.as_bytes())
            .map_err(|_| Fault::Own("signing failed".into()))?;
        let signature = base64url(signature.as_ref());
        Ok(
            json!({ "protected": protected, "payload": payload, "signature": signature })
                .to_string(),
        )
    }
}

/// SHA-256, 32 bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// Base64 for URLs, without padding (RFC 4648 §5).
pub fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut word = 0u32;
        for nth in 0..3 {
            word = word << 8 | chunk.get(nth).copied().map_or(0, u32::from);
        }
        for nth in 0..=chunk.len() {
            let digit = word >> (18 - 6 * nth) & 63;
            out.push(DIGITS.get(digit as usize).copied().map_or('A', char::from));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_that_of_the_rfc() {
        // RFC 4648 §10, without padding.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
        ] {
            assert_eq!(base64url(bytes.as_bytes()), text);
        }
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn a_key_survives_its_written_form() {
        let (key, pkcs8) = AccountKey::generate().unwrap();
        let again = AccountKey::from_pkcs8(&pkcs8).unwrap();
        assert_eq!(key.thumbprint(), again.thumbprint());
        assert_eq!(key.thumbprint().len(), 43);
        assert!(AccountKey::from_pkcs8(&pkcs8[1..]).is_err());
    }
}
