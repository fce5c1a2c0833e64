//! What makes this location one of a fleet towards others of it: its certificate, which the agent renews, and who has left.
//!
//! Not here: what locations ask one another ([`seawall_proxy::tier`]).

use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use anyhow::{Result, anyhow};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use seawall_bundle::Hash;
use seawall_net::tls::config::Identity as Shown;
use seawall_net::tls::fleet::{self, Fleet, Who};
use seawall_proxy::state::State;
use seawall_proxy::tier::Tier;

use crate::configure::Configuration;
use crate::data::Data;
use crate::distribution::identity;
use crate::distribution::joining::{Identity, KEPT};
use crate::distribution::serve::Barred;
use crate::say::complain;
use crate::standing::Standing;

/// The fleet, as far as it is known here.
#[derive(Debug, Default)]
pub struct Members {
    own: RwLock<Option<Arc<CertifiedKey>>>,
    barred: RwLock<Option<Barred>>,
}

impl Fleet for Members {
    fn own(&self) -> Option<Arc<CertifiedKey>> {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        own.clone()
    }

    fn who(&self, certificate: &CertificateDer<'_>) -> Option<Who> {
        let key = identity::key_of(certificate)?;
        identity::is_location(certificate).then(|| Hash::of(key).0)
    }

    fn admits(&self, who: &Who) -> bool {
        let barred = self.barred.read().unwrap_or_else(PoisonError::into_inner);
        let barred = barred.as_ref();
        barred.is_some_and(|barred| !barred.contains(&Hash(*who)))
    }
}

/// Makes this location one of its fleet, if it has joined one.
///
/// # Errors
/// When what it keeps of that cannot be used.
pub fn set_up(data: &Data, state: &State) -> Result<Option<Arc<Members>>> {
    let Some(kept) = Identity::read(data)? else {
        return Ok(None);
    };
    let members = Arc::<Members>::default();
    members.show(&kept)?;
    let authority = kept.authority_certificate()?;
    let server = fleet::server(authority.clone(), members.clone());
    let client = fleet::client(authority, members.clone());
    let tier = Tier::new(members.clone(), server?, client?, identity::server_name);
    let _ = state.tier.set(Arc::new(tier));
    Ok(Some(members))
}

impl Members {
    fn show(&self, kept: &Identity) -> Result<()> {
        let shown = Shown::from_pem(kept.certificate.as_bytes(), kept.tls_key.as_bytes());
        let shown = shown.and_then(Shown::signer);
        let shown = shown.map_err(|fault| anyhow!("this location's certificate: {fault}"))?;
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        Ok(())
    }

    fn bar(&self, barred: Option<&Barred>) {
        let mut known = self.barred.write().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() != barred {
            *known = barred.cloned();
        }
    }
}

/// What of it may have changed.
#[derive(Default)]
pub struct Watched {
    /// When the identity was written, and its number.
    read: Option<(SystemTime, u64)>,
}

impl Watched {
    /// Looks whether the agent has another certificate, and who has left.
    pub fn look(&mut self, configuration: &Configuration, standing: &Standing) {
        use std::os::unix::fs::MetadataExt;
        let Some(members) = &configuration.fleet else {
            return;
        };
        members.bar(standing.barred.as_ref());
        let found = std::fs::metadata(configuration.data.path(KEPT)).ok();
        let found = found.and_then(|found| Some((found.modified().ok()?, found.ino())));
        if found == self.read {
            return;
        }
        let kept = Identity::read(&configuration.data);
        let shown = kept.and_then(|kept| kept.map_or(Ok(()), |kept| members.show(&kept)));
        if let Err(error) = shown {
            // What was shown before is shown on.
            complain(format_args!("{error:#}"));
        }
        self.read = found;
    }
}
