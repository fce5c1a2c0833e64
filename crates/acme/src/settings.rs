//! What the keeper is told once.

use std::path::PathBuf;
use std::sync::Arc;

use seawall_model::HostPattern;
use seawall_net::outward::Outward;

/// How we prove that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A file at port 80 (RFC 8555 §8.3).
    Http01,
    /// A certificate at port 443 (RFC 8737).
    TlsAlpn01,
    /// A TXT record (RFC 8555 §8.4), put there by the hook.
    Dns01,
}

impl Challenge {
    /// As RFC 8555 calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }
}

/// What the keeper is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who is written to when something is wrong; `mailto:` is put before it.
    pub contact: Option<String>,
    /// Directories of authorities (RFC 8555 §7.1.1), the first that works is used.
    pub directories: Vec<String>,
    /// PEM of authorities for their own TLS, instead of the public ones; empty for those.
    pub ca: Vec<u8>,
    /// Challenges, the first that the authority offers is used.
    pub challenges: Vec<Challenge>,
    /// The command that sets and removes TXT records, with its first arguments.
    pub hook: Vec<String>,
    /// Names that get a certificate when a client first asks for them.
    pub on_demand: Vec<HostPattern>,
    /// So many of those at most.
    pub on_demand_most: usize,
    /// Where certificates and keys are kept.
    pub folder: PathBuf,
    /// Which addresses may be connected to.
    pub outward: Arc<Outward>,
}

impl Settings {
    /// Whether a name may have a certificate on demand.
    pub fn allows(&self, name: &str) -> bool {
        self.on_demand.iter().any(|pattern| pattern.matches(name))
    }
}
