//! Certificates by themselves: an ACME client (RFC 8555) with HTTP-01, TLS-ALPN-01 (RFC 8737) and DNS-01, renewal at the
//! authority's word (ARI, RFC 9773), several authorities, and an encrypted store.
//!
//! It runs on a thread of its own ([`keeper::run`]), hears which names are wanted, and gives [`Publication`]s: whole, serialisable,
//! and all that the data path needs. So it can move to another process. Not here: who answers challenges and handshakes (`proxy`),
//! and which names those are (the document).

mod attempt;
pub mod authority;
mod fault;
pub mod hook;
pub mod jose;
pub mod keeper;
pub mod plan;
pub mod settings;
pub mod store;
mod unkept;
mod wire;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use fault::Fault;
pub use settings::{Challenge, Settings};

/// All that the data path needs of certificates at one time. Each replaces the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// By name, lower case.
    pub certificates: BTreeMap<String, Issued>,
    /// HTTP-01: key authorizations by token (RFC 8555 §8.3).
    pub http: BTreeMap<String, String>,
    /// TLS-ALPN-01: certificate and key by name, to be shown to who offers `acme-tls/1` alone (RFC 8737 §3).
    pub alpn: BTreeMap<String, Issued>,
    /// How each wanted name fares.
    pub names: BTreeMap<String, Standing>,
    /// What is wrong beyond one name, in words: a broken file, a clock that is off.
    pub alarms: Vec<String>,
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// The chain, PEM.
    pub chain: String,
    /// The private key, PEM.
    pub key: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

/// How a name fares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// When its certificate expires, in seconds since 1970; none when there is no certificate.
    pub expires: Option<u64>,
    /// From when on it should have been renewed long ago: an alarm, whatever else is known.
    pub overdue: Option<u64>,
    /// When it is tried next, in seconds since 1970.
    pub next: u64,
    /// Failures in a row.
    pub failures: u32,
    /// The last of them, with what can be done.
    pub problem: Option<String>,
}
