//! The files that a version's document names, by their contents.
//!
//! A version's text is the canonical document and, below it, a line for each file that the document names: a comment of TOML, so that
//! the text is still a document, and one that changes with the content of any of them. So the version's hash is one of the
//! contents too, a diff shows that a certificate changed without showing it, and whoever has the text knows what belongs to it.
//!
//! ```text
//! #file open HASH 1675 "/etc/seawall/a.test.pem"
//! ```
//!
//! Contents lie beside documents in the store, by the SHA-256 of what is kept: of a secret that is what it was encrypted to, so that
//! nothing of it is in the log. Not here: reading files, encrypting.

use std::path::{Path, PathBuf};

use seawall_model::Document;
use seawall_model::document::Zone;

use crate::version::Hash;

/// How a line begins.
const FILE: &str = "#file ";
/// What is larger is a list, and no PEM.
const LARGEST_PEM: usize = 4 << 20;
/// What a private key's PEM has in it (RFC 7468, 10 and 11; `RSA PRIVATE KEY` and its like of before).
const PRIVATE: &[u8] = b"PRIVATE KEY-----";

/// A file that a document names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// Its path, as the document has it.
    pub path: String,
    /// Whether it is a secret: what is kept of it is encrypted.
    pub sealed: bool,
    /// The hash of what is kept.
    pub hash: Hash,
    /// Its bytes.
    pub size: u64,
}

/// A version's text: a canonical document, with the contents of its files.
pub fn bound(document: &str, mut files: Vec<File>) -> String {
    files.sort();
    files.dedup_by(|next, one| next.path == one.path);
    let mut text = document.to_owned();
    for file in &files {
        let kind = if file.sealed { "sealed" } else { "open" };
        // A JSON string has no line's end in it.
        let path = serde_json::Value::from(file.path.as_str());
        text.push_str(&format!(
            "{FILE}{kind} {} {} {path}\n",
            file.hash, file.size
        ));
    }
    text
}

/// The files that a version's text tells of; those of before had none. A line that is none is left out: whoever needs the file will
/// miss it.
pub fn files(text: &str) -> Vec<File> {
    let lines = text.lines().rev();
    let lines = lines.map_while(|line| line.strip_prefix(FILE));
    let mut files: Vec<File> = lines.filter_map(file).collect();
    files.reverse();
    files
}

/// The canonical document of a version's text.
pub fn document(text: &str) -> &str {
    // No line of a canonical document begins with a comment.
    match text.find("\n#file ") {
        Some(end) => text.get(..=end).unwrap_or(text),
        None => text,
    }
}

fn file(line: &str) -> Option<File> {
    let mut words = line.splitn(4, ' ');
    let sealed = match words.next()? {
        "sealed" => true,
        "open" => false,
        _ => return None,
    };
    Some(File {
        sealed,
        hash: words.next()?.parse().ok()?,
        size: words.next()?.parse().ok()?,
        path: serde_json::from_str(words.next()?).ok()?,
    })
}

/// The files that a document names, each once.
pub fn named(document: &Document) -> Vec<&PathBuf> {
    let of_lists = document
        .lists
        .values()
        .filter_map(|list| list.file.as_ref());
    let mut named: Vec<&PathBuf> = of_lists
        .chain(document.zones.iter().flat_map(Zone::files))
        .collect();
    named.sort();
    named.dedup();
    named
}

/// Whether a file is a secret: named as a key by any zone, or with a private key in it.
pub fn is_secret(document: &Document, path: &Path, content: &[u8]) -> bool {
    let is_key = |zone: &Zone| zone.keys().any(|key| key == path);
    let mut parts = content.windows(PRIVATE.len());
    document.zones.iter().any(is_key)
        || content.len() <= LARGEST_PEM && parts.any(|part| part == PRIVATE)
}

#[cfg(test)]
mod tests {
    use seawall_model::{Limits, document as model};

    use super::*;

    fn one(path: &str, sealed: bool) -> File {
        File {
            path: path.into(),
            sealed,
            hash: Hash::of(path.as_bytes()),
            size: 7,
        }
    }

    #[test]
    fn what_is_bound_is_read_back_and_is_the_same_document() {
        let parsed = |text: &str| model::parse(text, &Limits::default()).unwrap();
        let plain = parsed("schema = 1\n[lists.a]\nfile = \"/x y\"\n").to_toml();
        let files = vec![one("/x y", false), one("/\n\"#file ", true)];
        let text = bound(&plain, files.clone());
        let mut sorted = files;
        sorted.sort();
        assert_eq!(super::files(&text), sorted);
        assert_eq!(document(&text), plain);
        assert_eq!(parsed(&text), parsed(&plain));
        assert_eq!(bound(&plain, vec![]), plain);
        assert_eq!((super::files(&plain), document(&plain)), (vec![], &*plain));
        // Neither what a value says nor a line that is none is a file.
        let text = "schema = 1\n# x\n#file open\n#file shut 1 2 \"/a\"\n";
        assert_eq!(super::files(text), []);
    }

    #[test]
    fn keys_are_secrets_by_their_name_or_by_what_they_are() {
        let text = "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"a.test\"]\norigin = [{ url = \"https://127.0.0.1:1\", ca = \"/ca\", client_certificate = { cert = \"/oc\", key = \"/ok\" } }]\ntls = { certificate = { cert = \"/c\", key = \"/k\" } }\n";
        let document = model::parse(text, &Limits::default()).unwrap();
        let named: Vec<_> = named(&document).into_iter().cloned().collect();
        let paths = ["/c", "/ca", "/k", "/oc", "/ok"];
        assert_eq!(named, paths.map(PathBuf::from));
        let secret = named.iter().filter(|path| is_secret(&document, path, b""));
        let secret: Vec<_> = secret.collect();
        assert_eq!(secret, [&PathBuf::from("/k"), &PathBuf::from("/ok")]);
        let both = b"-----BEGIN EC PRIVATE KEY-----\n";
        assert!(is_secret(&document, &PathBuf::from("/c"), both));
    }
}
