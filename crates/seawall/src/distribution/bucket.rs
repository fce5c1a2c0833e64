//! A bucket of a store that speaks S3, as a place that things are published in: the same names as in a folder, below a prefix.
//!
//! Endpoint, region and credentials come by the environment, as all such tools have them: `AWS_ENDPOINT_URL`, `AWS_REGION`,
//! `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_CA_BUNDLE`.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt, RetryConfig};
use seawall_bundle::{Hash, Limits};

use super::connector::Connector;

/// How often one request is tried. Whoever asks tries again by itself.
const TRIES: usize = 1;
/// How long all tries of one request may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A bucket, and the prefix in it.
#[derive(Clone)]
pub struct Bucket {
    url: Rc<str>,
    store: Rc<AmazonS3>,
    prefix: Rc<str>,
}

impl Bucket {
    /// Whether this is the URL of a bucket.
    pub fn is_url(text: &str) -> bool {
        text.starts_with("s3://")
    }

    /// The bucket of a URL, `s3://BUCKET/PREFIX`. Nothing is asked of it yet.
    ///
    /// # Errors
    /// When it is no such URL, or the environment says something that cannot be used.
    pub fn open(url: &str) -> io::Result<Self> {
        let wrong = || {
            let why = format!("{url:?} is not s3://BUCKET or s3://BUCKET/PREFIX");
            io::Error::new(io::ErrorKind::InvalidInput, why)
        };
        let rest = url.strip_prefix("s3://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(wrong());
        }
        let authorities = match std::env::var_os("AWS_CA_BUNDLE") {
            Some(file) => std::fs::read(file)?,
            None => Vec::new(),
        };
        let retry = RetryConfig {
            max_retries: TRIES,
            retry_timeout: PATIENCE,
            ..RetryConfig::default()
        };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_retry(retry)
            .with_http_connector(Connector::start(&authorities)?);
        let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
        if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
            // Its owner says so. What is read is signed, and no secret is in it.
            builder = builder.with_allow_http(true);
        }
        Ok(Self {
            url: url.trim_end_matches('/').into(),
            store: Rc::new(builder.build().map_err(io::Error::other)?),
            prefix: prefix.trim_matches('/').into(),
        })
    }

    fn path(&self, name: &str) -> Path {
        let prefix = (!self.prefix.is_empty()).then_some(&*self.prefix);
        let parts: Vec<&str> = prefix.into_iter().chain([name]).collect();
        Path::from(parts.join("/"))
    }

    /// The manifest or the list of keys; none where it is not.
    ///
    /// # Errors
    /// As the network and the store say.
    pub async fn signed(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        // One byte more than is allowed, so that too much is told as such.
        self.get(name, Limits::default().manifest_bytes + 1).await
    }

    /// An object as it was packed; none where it is not.
    ///
    /// # Errors
    /// As [`Bucket::signed`].
    pub async fn object(&self, name: &Hash) -> io::Result<Option<Vec<u8>>> {
        self.get(&object(name), Limits::default().object_bytes)
            .await
    }

    async fn get(&self, name: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        let found = match self.store.get(&self.path(name)).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(said(&error)),
        };
        if found.meta.size > most as u64 {
            let why = format!("{name} is longer than {most} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let bytes = found.bytes().await.map_err(|error| said(&error))?;
        Ok(Some(bytes.into()))
    }

    /// Puts the manifest or the list of keys. When it returns well the store has it.
    ///
    /// # Errors
    /// As [`Bucket::signed`].
    pub async fn put_signed(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.put(name, bytes).await
    }

    /// Puts an object.
    ///
    /// # Errors
    /// As [`Bucket::signed`].
    pub async fn put_object(&self, name: &Hash, packed: &[u8]) -> io::Result<()> {
        self.put(&object(name), packed).await
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(name);
        let put = self.store.put(&path, bytes.to_vec().into()).await;
        put.map(drop).map_err(|error| said(&error))
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

fn object(name: &Hash) -> String {
    let name = name.to_string();
    let (first, rest) = name.split_at_checked(2).unwrap_or((&name, ""));
    format!("objects/{first}/{rest}")
}

/// An error in a line, without what differs from time to time: it is compared with what was said before.
fn said(error: &Error) -> io::Error {
    let whole = error.to_string();
    let line = whole.lines().next().unwrap_or_default();
    let cause = line.rsplit(" - ").next().unwrap_or(line);
    io::Error::other(cause.chars().take(300).collect::<String>())
}
