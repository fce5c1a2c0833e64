//! What an origin says of the digest of a body (RFC 9530). Not here: computing one.

use seawall_model::Fields;

use crate::fields;
use crate::structured::{Bare, dictionary};

/// A hash that is still good enough to tell bodies apart (RFC 9530 §5). Others are not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// `sha-256`.
    Sha256,
    /// `sha-512`.
    Sha512,
}

impl Hash {
    const ALL: [(Self, &'static str, usize); 2] =
        [(Self::Sha512, "sha-512", 64), (Self::Sha256, "sha-256", 32)];
}

/// A digest that a body is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Of which hash.
    pub hash: Hash,
    /// It.
    pub bytes: Vec<u8>,
}

impl Digest {
    /// Those of all that an answer with this status has for its content, of each field by the best hash that it names: all of them must
    /// hold. Of a part (206) `Repr-Digest` says nothing: it is about the whole. A member that is no digest of its hash counts as one
    /// that nothing has.
    pub fn all(status: u16, response: &Fields) -> impl Iterator<Item = Self> {
        let of_content = Self::named(response, b"content-digest");
        let of_whole = || Self::named(response, b"repr-digest");
        let of_whole = (status != 206).then(of_whole).flatten();
        // One that says the same is not computed twice.
        let of_whole = of_whole.filter(|digest| of_content.as_ref() != Some(digest));
        [of_content, of_whole].into_iter().flatten()
    }

    fn named(response: &Fields, name: &[u8]) -> Option<Self> {
        let value = fields::joined(response, name)?;
        // What does not parse as a whole is no field (RFC 9651 §4.2).
        let said = dictionary(&value).ok()?;
        Hash::ALL.iter().find_map(|(hash, key, length)| {
            let bytes = match said.get(key)?.bare() {
                Some(Bare::Bytes(bytes)) if bytes.len() == *length => bytes.clone(),
                _ => Vec::new(),
            };
            Some(Self { hash: *hash, bytes })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(status: u16, lines: &[(&str, &str)]) -> Vec<(Hash, usize)> {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        let digests = Digest::all(status, &fields);
        digests
            .map(|digest| (digest.hash, digest.bytes.len()))
            .collect()
    }

    fn of(status: u16, lines: &[(&str, &str)]) -> Option<(Hash, usize)> {
        let all = all(status, lines);
        assert!(all.len() < 2, "{all:?}");
        all.first().copied()
    }

    const SHA256: &str = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    const SHA512: &str = "sha-512=:z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==:";

    #[test]
    fn the_best_digest_of_the_content_counts() {
        assert_eq!(
            of(200, &[("Repr-Digest", SHA256)]),
            Some((Hash::Sha256, 32))
        );
        for whole in [203, 404, 410] {
            assert!(of(whole, &[("Repr-Digest", SHA256)]).is_some());
        }
        assert_eq!(of(206, &[("Repr-Digest", SHA256)]), None);
        assert_eq!(
            of(206, &[("Content-Digest", SHA256)]),
            Some((Hash::Sha256, 32))
        );
        let both = format!("{SHA256}, {SHA512}");
        assert_eq!(
            of(200, &[("Content-Digest", &both)]),
            Some((Hash::Sha512, 64))
        );
        let lines = [("Repr-Digest", SHA512), ("Content-Digest", SHA256)];
        // Both are said of the same bytes, and both must hold.
        let both = [(Hash::Sha256, 32), (Hash::Sha512, 64)];
        assert_eq!(all(200, &lines), both);
        assert_eq!(all(206, &lines), both[..1]);
        let same = [("Repr-Digest", SHA256), ("Content-Digest", SHA256)];
        assert_eq!(of(200, &same), Some((Hash::Sha256, 32)));
        // Old and unknown ones are not heard; what is no dictionary is no field.
        for other in ["md5=:AAAA:", "unixsum=1", "sha-256=:!:", "sha-256", ""] {
            let found = of(200, &[("Content-Digest", other)]);
            let is_wrong = other == "sha-256";
            assert_eq!(found, is_wrong.then_some((Hash::Sha256, 0)), "{other}");
        }
        assert_eq!(
            of(200, &[("Content-Digest", "sha-256=:AAAA:")]),
            Some((Hash::Sha256, 0))
        );
        assert_eq!(of(200, &[]), None);
    }
}
