//! Takes Reports to a control on another machine: the newest one, signed, and again when it was not taken. Renews the certificate that
//! this location shows there.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use seawall_bundle::{Limits, ReportHead, SCHEMA, SigningKey, sign_report};
use tokio::sync::watch;

use crate::control::words::Report;
use crate::data::Data;
use crate::distribution::joining::{Identity, Let};
use crate::distribution::publisher::now_ms;
use crate::distribution::source::Remote;
use crate::say::complain;

/// Before one that was not taken is told again.
const AGAIN: Duration = Duration::from_millis(500);
/// How often it is looked whether the certificate is to be renewed.
const RENEWS: Duration = Duration::from_secs(60 * 60);

/// Takes what is put into the channel to control, for as long as there is a channel.
///
/// # Errors
/// When keys cannot be used.
pub fn start(data: Data, identity: Identity) -> Result<watch::Sender<Option<Report>>> {
    let (to, reports) = watch::channel(None);
    let remote = identity.control()?;
    let reporter = Reporter {
        key: identity.report_key()?,
        location: identity.location.clone(),
        number: 0,
        complaint: String::new(),
    };
    tokio::task::spawn_local(renew(data, identity, remote.clone()));
    tokio::task::spawn_local(reporter.run(reports, remote));
    Ok(to)
}

struct Reporter {
    key: SigningKey,
    location: String,
    /// The number of the last Report.
    number: u64,
    /// What was said last of what went wrong.
    complaint: String,
}

impl Reporter {
    async fn run(mut self, mut reports: watch::Receiver<Option<Report>>, remote: Remote) {
        while reports.changed().await.is_ok() {
            let Some(report) = reports.borrow_and_update().clone() else {
                continue;
            };
            match self.tell(&report, &remote).await {
                Ok(()) => self.complaint.clear(),
                Err(error) => {
                    let why = format!("{error:#}");
                    if why != self.complaint {
                        complain(format_args!(
                            "control hears nothing of this location: {why}"
                        ));
                        self.complaint = why;
                    }
                    tokio::time::sleep(AGAIN).await;
                    // Unless there is a newer one by now, this one is told again.
                    if !reports.has_changed().unwrap_or(true) {
                        reports.mark_changed();
                    }
                }
            }
        }
    }

    async fn tell(&mut self, report: &Report, remote: &Remote) -> Result<()> {
        // The clock is only to be above what an earlier process has used.
        self.number = now_ms().max(self.number + 1);
        let signed = sign_report(
            &seawall_bundle::Report {
                head: ReportHead {
                    schema: SCHEMA,
                    location: self.location.clone(),
                    number: self.number,
                    epoch: report.epoch,
                    generation: report.generation,
                    at: now_ms(),
                },
                body: serde_json::to_vec(report)?,
            },
            &self.key,
            &Limits::default(),
        )?;
        match remote.post("/v1/report", signed).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // Refused as old: control says what it has seen.
                let text = error.to_string();
                let seen = text
                    .strip_prefix("409: ")
                    .and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
                self.number = self.number.max(seen.unwrap_or(0));
                Err(error).context("control")
            }
        }
    }
}

/// Gets another certificate long before this one is over. Who connects next shows it.
async fn renew(data: Data, mut identity: Identity, remote: Remote) {
    let remote = Rc::new(remote);
    loop {
        if identity.is_to_be_renewed()
            && let Err(error) = renewed(&data, &mut identity, &remote).await
        {
            complain(format_args!(
                "this location's certificate is not renewed: {error:#}"
            ));
        }
        tokio::time::sleep(RENEWS).await;
    }
}

async fn renewed(data: &Data, identity: &mut Identity, remote: &Remote) -> Result<()> {
    let told = remote.post("/v1/renew", Vec::new()).await?;
    let told: Let = serde_json::from_slice(&told).context("what control answered")?;
    let mut next = identity.clone();
    next.certificate = told.certificate;
    next.since = now_ms() / 1_000;
    // What cannot be used is not kept.
    next.control()?;
    next.keep(data)?;
    *identity = next;
    Ok(())
}
