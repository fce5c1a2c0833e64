//! Certificates, keys and accounts on disk, sealed with AES-256-GCM: `DATA/certificates/NAME.sealed`.
//!
//! The key is a file of mode 0600 beside them, or systemd's credential `seawall-certificates-key` (32 bytes). A file is written whole
//! and flushed, with its folder, before it counts. What is broken is skipped and told; the names are part of what is sealed, so that
//! a file under another name does not open.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use seawall_net::tls::der::{self, Facts};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Fault, Issued};

const MAGIC: &[u8] = b"SWC1";
const LARGEST: u64 = 1 << 20;
const CREDENTIAL: &str = "seawall-certificates-key";

/// A certificate as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    chain: String,
    key: String,
    /// The directory of the authority that gave it; none in what was kept before that was noted.
    issuer: Option<String>,
}

/// A certificate that was kept and could be served.
#[derive(Debug)]
pub struct Restored {
    /// It and its key.
    pub issued: Issued,
    /// What it says.
    pub facts: Facts,
    /// The directory of the authority that gave it, where that is known.
    pub issuer: Option<String>,
}

/// The folder, opened.
pub struct Store {
    folder: PathBuf,
    key: LessSafeKey,
}

impl Store {
    /// Opens the folder, making it and its key if need be.
    ///
    /// # Errors
    /// [`Fault::Own`]: it cannot be made or read, or the key is none.
    pub fn open(folder: &Path) -> Result<Self, Fault> {
        let fault = |error: io::Error| Fault::Own(format!("{}: {error}", folder.display()));
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(fault)?;
        let key = match std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(|credentials| Path::new(&credentials).join(CREDENTIAL))
            .filter(|path| path.exists())
        {
            Some(path) => fs::read(path).map_err(fault)?,
            None => own_key(folder).map_err(fault)?,
        };
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| {
            Fault::Own(format!(
                "{}: its key has {} bytes and not 32 (restore it from a backup; without it the certificates there cannot be opened)",
                folder.display(),
                key.len()
            ))
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            key: LessSafeKey::new(key),
        })
    }

    /// Keeps something under a name: sealed, flushed, and there whole or not at all.
    ///
    /// # Errors
    /// [`Fault::Own`], as the disk says.
    pub fn put(&self, name: &str, value: &impl Serialize) -> Result<(), Fault> {
        let fault = |why: &dyn std::fmt::Display| {
            Fault::Own(format!("{}/{name}: {why}", self.folder.display()))
        };
        let mut bytes = serde_json::to_vec(value).map_err(|error| fault(&error))?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| fault(&"no randomness"))?;
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name.as_bytes()),
                &mut bytes,
            )
            .map_err(|_| fault(&"cannot be sealed"))?;
        let whole = [MAGIC, &nonce, &bytes].concat();
        write_whole(&self.folder, &format!("{}.sealed", file_name(name)), &whole)
            .map_err(|error| fault(&error))
    }

    /// Keeps a certificate, with the directory of the authority that gave it.
    ///
    /// # Errors
    /// [`Fault::Own`], as the disk says.
    pub fn keep(&self, name: &str, issued: &Issued, issuer: &str) -> Result<(), Fault> {
        let Issued { chain, key } = issued.clone();
        let issuer = Some(issuer.to_owned());
        self.put(name, &Kept { chain, key, issuer })
    }

    /// What is kept under a name; none when nothing is.
    ///
    /// # Errors
    /// [`Fault::Own`]: it cannot be read or opened.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Fault> {
        let path = self.folder.join(format!("{}.sealed", file_name(name)));
        let fault = |why: &str| Fault::Own(format!("{}: {why}", path.display()));
        let mut sealed = Vec::new();
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault(&error.to_string())),
            Ok(file) => file
                .take(LARGEST)
                .read_to_end(&mut sealed)
                .map_err(|error| fault(&error.to_string()))?,
        };
        let mut opened = self.unseal(name, &sealed).ok_or_else(|| {
            fault(
                "is broken, or sealed with another key (it is left as it is, and a new one is got)",
            )
        })?;
        let value = serde_json::from_slice(&opened);
        opened.fill(0);
        value.map(Some).map_err(|_| fault("holds something else"))
    }

    fn unseal(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, content) = sealed
            .strip_prefix(MAGIC)?
            .split_first_chunk::<NONCE_LEN>()?;
        let mut content = content.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let aad = Aad::from(name.as_bytes());
        let length = self.key.open_in_place(nonce, aad, &mut content).ok()?.len();
        content.truncate(length);
        Some(content)
    }

    /// All certificates that are kept and could be served; and what is wrong with the others.
    pub fn restore(&self) -> (BTreeMap<String, Restored>, Vec<String>) {
        let mut found = BTreeMap::new();
        let mut wrong = Vec::new();
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for file in files {
            let file = file.file_name();
            let Some(name) = file.to_str().and_then(|file| file.strip_suffix(".sealed")) else {
                continue;
            };
            if name.starts_with("account-") {
                continue;
            }
            let name = name.replacen('_', "*", usize::from(name.starts_with("_.")));
            match self.restored(&name) {
                Ok(Some(good)) => {
                    found.insert(name, good);
                }
                Ok(None) => {}
                Err(fault) => wrong.push(fault.to_string()),
            }
        }
        (found, wrong)
    }

    fn restored(&self, name: &str) -> Result<Option<Restored>, Fault> {
        let Some(Kept { chain, key, issuer }) = self.get(name)? else {
            return Ok(None);
        };
        let issued = Issued { chain, key };
        let facts = check(name, &issued)?;
        Ok(Some(Restored {
            issued,
            facts,
            issuer,
        }))
    }
}

/// Whether a certificate is for a name and its key its own, by rustls; what it says.
///
/// # Errors
/// [`Fault::Certificate`].
pub fn check(name: &str, issued: &Issued) -> Result<Facts, Fault> {
    let fault = |why: String| Fault::Certificate(format!("{name}: {why}"));
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(issued.chain.as_bytes()).collect();
    let chain = chain.map_err(|error| fault(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes())
        .map_err(|error| fault(error.to_string()))?;
    let first = chain.first().ok_or_else(|| fault("there is none".into()))?;
    let facts = der::facts(first).ok_or_else(|| fault("it cannot be read".into()))?;
    let parsed = rustls::server::ParsedCertificate::try_from(first)
        .map_err(|error| fault(error.to_string()))?;
    let asked = name.replacen('*', "any", 1);
    let asked = ServerName::try_from(asked).map_err(|_| fault("is no name".into()))?;
    rustls::client::verify_server_name(&parsed, &asked)
        .map_err(|error| fault(error.to_string()))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|error| fault(error.to_string()))?;
    Ok(facts)
}

/// A wildcard's star is no good in a file's name.
pub(crate) fn file_name(name: &str) -> String {
    name.replace(['*', '/'], "_")
}

fn own_key(folder: &Path) -> io::Result<Vec<u8>> {
    match fs::read(folder.join("key")) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut key = [0; 32];
            rand::fill(&mut key).map_err(|_| io::Error::other("no randomness"))?;
            write_whole(folder, "key", &key)?;
            Ok(key.to_vec())
        }
        read => read,
    }
}

/// Temporary file, flush, rename, flush of the folder.
fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!("{name}.new"));
    let written = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, folder.join(name))?;
            File::open(folder)?.sync_all()
        });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(name: &str) -> Issued {
        let (chain, key) = seawall_net::tls::config::self_signed(vec![name.into()]).unwrap();
        Issued { chain, key }
    }

    #[test]
    fn what_is_kept_is_sealed_restored_and_a_broken_file_is_told() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        let store = Store::open(folder).unwrap();
        let good = issued("a.test");
        store.keep("a.test", &good, "https://one.test/").unwrap();
        // As it was kept before it was noted who gave it.
        store.put("*.b.test", &issued("*.b.test")).unwrap();
        store.put("c.test", &issued("other.test")).unwrap();
        let bytes = fs::read(folder.join("a.test.sealed")).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("PRIVATE"));
        fs::write(folder.join("d.test.sealed"), &bytes).unwrap();
        fs::write(folder.join("e.test.sealed"), b"SWC1").unwrap();
        let store = Store::open(folder).unwrap();
        let (found, wrong) = store.restore();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["*.b.test", "a.test"]);
        assert_eq!(found["a.test"].issued, good);
        let issuer = found["a.test"].issuer.as_deref();
        assert_eq!(issuer, Some("https://one.test/"));
        assert_eq!(found["*.b.test"].issuer, None);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        fs::write(folder.join("key"), [7; 32]).unwrap();
        let (found, wrong) = Store::open(folder).unwrap().restore();
        assert!(found.is_empty() && wrong.len() == 5, "{wrong:?}");
        fs::write(folder.join("key"), [7; 31]).unwrap();
        assert!(Store::open(folder).is_err());
    }
}
