//! The files that a document names, read before compiling, so that compiling itself touches no disk.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use seawall_model::Document;
use seawall_model::document::Certificate;

/// A certificate bundle of all public authorities is below 300 KiB; what is far larger is not PEM.
const LARGEST: u64 = 4 << 20;

/// Files by path, and the certificate for zones that have none of their own.
#[derive(Debug, Default)]
pub struct Materials {
    files: BTreeMap<PathBuf, Result<Vec<u8>, String>>,
    /// PEM of the self-signed certificate and of its key.
    pub self_signed: Option<(String, String)>,
}

impl Materials {
    /// Reads all files that the document names. Relative paths are meant from `base`. What cannot be read is remembered, and
    /// told when something asks for it.
    pub fn load(document: &Document, base: &Path, self_signed: Option<(String, String)>) -> Self {
        let mut files = BTreeMap::new();
        for path in named(document) {
            files
                .entry(path.clone())
                .or_insert_with(|| read(&base.join(path)));
        }
        Self { files, self_signed }
    }

    /// The content of a file.
    ///
    /// # Errors
    /// Why it could not be read.
    pub fn file(&self, path: &Path) -> Result<&[u8], String> {
        match self.files.get(path) {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(why)) => Err(why.clone()),
            None => Err("was not read".into()),
        }
    }
}

fn named(document: &Document) -> impl Iterator<Item = &PathBuf> {
    document.zones.iter().flat_map(|zone| {
        let own = match &zone.tls.certificate {
            Certificate::Files(files) => vec![&files.cert, &files.key],
            Certificate::SelfSigned | Certificate::Acme => Vec::new(),
        };
        let origins = zone.origins.iter().flat_map(|origin| {
            let ours = origin
                .client_certificate
                .iter()
                .flat_map(|files| [&files.cert, &files.key]);
            origin.ca.iter().chain(ours)
        });
        own.into_iter().chain(&zone.tls.client_ca).chain(origins)
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let told = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(told)?;
    file.take(LARGEST).read_to_end(&mut bytes).map_err(told)?;
    if bytes.len() as u64 >= LARGEST {
        return Err(format!("{} is larger than 4 MiB", path.display()));
    }
    Ok(bytes)
}
