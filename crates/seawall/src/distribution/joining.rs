//! What is said when a location joins, and what it keeps of it.
//!
//! A token is good once, for one location, for an hour. It carries the fingerprint of control's authority, so that whoever joins
//! knows whom it speaks to before it shows the token.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use seawall_bundle::{Hash, PublicKey, SigningKey};
use seawall_control::store::LocationKeys;
use seawall_model::document;
use serde::{Deserialize, Serialize};

use super::bucket::Bucket;
use super::folder::Folder;
use super::follower::Follower;
use super::identity::{self, CONTROL, DAYS, RELAY};
use super::publisher::now_ms;
use super::source::{Remote, Source};
use crate::data::Data;

/// The folder of what was read from elsewhere, in the data folder.
pub const RECEIVED: &str = "received";
/// What a location keeps, in its data folder.
pub const KEPT: &str = "location.json";

/// A token to join with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The location that it lets in.
    pub location: String,
    /// What nobody guesses.
    pub secret: [u8; 32],
    /// The fingerprint of control's authority.
    pub authority: Hash,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sj_{}_{}_{}",
            self.location,
            Hash(self.secret),
            self.authority
        )
    }
}

impl FromStr for Token {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.trim().split('_').collect();
        let ["sj", location, secret, authority] = parts.as_slice() else {
            bail!(
                "this is no token to join with: `seawall control token --location NAME` makes one"
            );
        };
        let hash = |text: &str| Hash::parse(text).context("the token is cut short or was changed");
        let location = document::location(location).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
        let (Hash(secret), authority) = (hash(secret)?, hash(authority)?);
        Ok(Self {
            location,
            secret,
            authority,
        })
    }
}

/// What a location says when it joins.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Its name.
    pub location: String,
    /// The token's secret.
    pub secret: String,
    /// Its keys.
    pub keys: LocationKeys,
    /// Its architecture, as `x86_64`.
    pub architecture: String,
}

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Let {
    /// What all that it reads must go back to.
    pub root_key: PublicKey,
    /// Its certificate, as PEM.
    pub certificate: String,
    /// The authority's, as PEM.
    pub authority: String,
}

/// What a location is: its keys, and whom it listens to.
#[derive(Clone, Serialize, Deserialize)]
pub struct Identity {
    /// Its name.
    pub location: String,
    /// Control, as `https://HOST:PORT`.
    pub control: String,
    /// Other sources of what control has published: edges that hand it on, buckets.
    #[serde(default)]
    pub relays: Vec<String>,
    /// What all that it reads must go back to.
    pub root_key: PublicKey,
    /// Its certificate, as PEM.
    pub certificate: String,
    /// The authority's, as PEM.
    pub authority: String,
    /// The key of its certificate, as PEM.
    pub tls_key: String,
    /// What it signs Reports with, as a line.
    pub report_key: String,
    /// What secrets are sealed to, as a line.
    pub seal_key: String,
    /// When the certificate was issued, in seconds since 1970.
    pub since: u64,
}

impl Identity {
    /// What an earlier join has left; none where there was none.
    ///
    /// # Errors
    /// When it is there and cannot be used.
    pub fn read(data: &Data) -> Result<Option<Self>> {
        let path = data.path(KEPT);
        match std::fs::read(&path) {
            Ok(text) => {
                let identity = serde_json::from_slice(&text);
                Ok(Some(identity.with_context(|| {
                    format!("{} is broken: join again", path.display())
                })?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Whether there was one.
    pub fn is_kept(data: &Data) -> bool {
        data.path(KEPT).exists()
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, data: &Data) -> Result<()> {
        if data.keep(KEPT, &serde_json::to_vec_pretty(self)?, 0o600) {
            return Ok(());
        }
        bail!("{} cannot be written", data.path(KEPT).display())
    }

    /// What it signs Reports with.
    ///
    /// # Errors
    /// When that is no key.
    pub fn report_key(&self) -> Result<SigningKey> {
        SigningKey::parse(&self.report_key).context("the key of Reports")
    }
}

impl Identity {
    /// Control, to be read from and to be told.
    ///
    /// # Errors
    /// When certificate and key do not fit, or its URL is none.
    pub fn control(&self) -> Result<Remote> {
        Ok(Remote::new(
            &self.control,
            CONTROL,
            &self.location,
            self.tls()?,
        )?)
    }

    fn tls(&self) -> Result<Arc<ClientConfig>> {
        let authority = self.authority_certificate()?;
        let chain = identity::chain(&self.certificate)?;
        identity::client(&authority, chain, identity::key(&self.tls_key)?)
    }

    /// The certificate of control's authority.
    ///
    /// # Errors
    /// When it is none.
    pub fn authority_certificate(&self) -> Result<CertificateDer<'static>> {
        let chain = identity::chain(&self.authority)?;
        chain.into_iter().next().context("no authority")
    }

    /// Whoever follows what is published for this location.
    ///
    /// # Errors
    /// When keys or URLs cannot be used.
    pub fn follower(&self, data: &Data) -> Result<Follower> {
        let tls = self.tls()?;
        let mut sources = vec![Source::Remote(self.control()?)];
        for relay in &self.relays {
            if Bucket::is_url(relay) {
                sources.push(Source::Bucket(Bucket::open(relay)?));
                continue;
            }
            let remote = Remote::new(relay, RELAY, &self.location, tls.clone())?;
            sources.push(Source::Remote(remote));
        }
        let own = Data::at(&data.path(""))?;
        let follower = Follower::new(own, &self.location, self.root_key, sources);
        let follower = follower.with_cache(Folder::at(data.path(RECEIVED)));
        Ok(follower.with_seal_key(&self.seal_key))
    }

    /// Whether the certificate is to be renewed: when a third of its time is over.
    pub fn is_to_be_renewed(&self) -> bool {
        now_ms() / 1_000 > self.since + DAYS * 24 * 60 * 60 / 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text_and_no_typing_error_does() {
        let token = Token {
            location: "lhr-1".into(),
            secret: [7; 32],
            authority: Hash([9; 32]),
        };
        let text = token.to_string();
        assert_eq!(text.parse::<Token>().unwrap(), token);
        assert_eq!(format!(" {text}\n").parse::<Token>().unwrap(), token);
        let mut short = text.clone();
        while short.pop().is_some() {
            assert!(short.parse::<Token>().is_err());
        }
        assert!(text.replace("sj_", "sw_").parse::<Token>().is_err());
        assert!(text.replace("lhr-1", "Lhr").parse::<Token>().is_err());
    }
}
