//! What a location says back: a head that names it and what it has seen, and a body that is others' business, signed by the location's
//! own key.

use serde::{Deserialize, Serialize};

use crate::envelope::{Kind, Unverified, Verified, sign};
use crate::keys::{Fingerprint, PublicKey, SigningKey};
use crate::limits::Limits;
use crate::payload;
use crate::refused::{Refused, at_most};

/// Who reports, and on what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportHead {
    /// The version of the format: [`crate::SCHEMA`].
    pub schema: u32,
    /// The location's name.
    pub location: String,
    /// Counts up with every report of the location, over restarts too: a later one replaces an earlier one, never the other way
    /// round.
    pub number: u64,
    /// The epoch of the manifest that it acts on; 0 for none.
    pub epoch: u64,
    /// The generation of that manifest.
    pub generation: u64,
    /// The location's own clock, in milliseconds since 1970-01-01 UTC. Nothing is decided by it.
    pub at: u64,
}

/// A report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Who, and on what.
    pub head: ReportHead,
    /// What it says.
    pub body: Vec<u8>,
}

/// Signs a report with the location's key.
///
/// # Errors
/// [`Refused::TooLarge`] and [`Refused::Malformed`]: control would not take it.
pub fn sign_report(report: &Report, key: &SigningKey, limits: &Limits) -> Result<Vec<u8>, Refused> {
    let mut payload = payload::write(Kind::Report.what(), &report.head)?;
    payload.push(b'\n');
    payload.extend_from_slice(&report.body);
    let signed = sign(Kind::Report, &payload, &[key])?;
    at_most(Kind::Report.what(), signed.len(), limits.report_bytes)?;
    Ok(signed)
}

/// Which key claims to have signed a report, to look up whose it is. Nothing is proven by it.
///
/// # Errors
/// [`Refused::TooLarge`] and [`Refused::Malformed`].
pub fn report_signer(bytes: &[u8], limits: &Limits) -> Result<Fingerprint, Refused> {
    let envelope = Unverified::read(Kind::Report, bytes, limits.report_bytes)?;
    let signer = envelope.signers().next();
    signer.ok_or_else(|| Refused::malformed(Kind::Report.what(), "nobody has signed it"))
}

/// Opens a report of `location`, whose key is `key`. `seen` is the highest number of that location's reports so far, 0 at first.
///
/// # Errors
/// [`Refused::UnknownKey`] if another key signed it, [`Refused::WrongLocation`] if it speaks for another location,
/// [`Refused::OldReport`], and what any envelope is refused for.
pub fn open_report(
    bytes: &[u8],
    location: &str,
    key: &PublicKey,
    seen: u64,
    limits: &Limits,
) -> Result<Verified<Report>, Refused> {
    let envelope = Unverified::read(Kind::Report, bytes, limits.report_bytes)?;
    if envelope.signed_by(&[*key])?.is_empty() {
        return Err(crate::key_list::unknown(&envelope, 0));
    }
    let payload = envelope.payload();
    let end = payload.iter().position(|byte| *byte == b'\n');
    let (head, body) = end
        .and_then(|end| Some((payload.get(..end)?, payload.get(end + 1..)?)))
        .ok_or_else(|| Refused::malformed(Kind::Report.what(), "its head has no end"))?;
    let head: ReportHead = payload::read(Kind::Report.what(), head)?;
    if head.location != location {
        return Err(Refused::WrongLocation {
            claimed: head.location,
            signer: location.to_owned(),
        });
    }
    if head.number <= seen {
        return Err(Refused::OldReport {
            number: head.number,
            seen,
        });
    }
    Ok(Verified::new(Report {
        head,
        body: body.to_vec(),
    }))
}
