//! Certificates: those that are kept of ACME's, those of files that zones name or show to origins, and this location's own; and what the
//! Seawall that runs here says of those that it serves.

use std::path::Path;

use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use seawall_acme::store::Store;
use seawall_model::document::{Certificate, Zone};
use seawall_model::{Document, HostPattern};
use seawall_net::tls::der::{self, Validity};
use seawall_proxy::expiry::{Ending, Source};
use serde_json::Value;

use super::{Findings, MOST, now};
use crate::data::Data;
use crate::distribution::identity;
use crate::distribution::joining::Identity;
use crate::status;

impl Findings {
    pub(super) fn certificates(&mut self, data: &Path, document: &Document) {
        self.by_acme(data, document);
        let zones = document.zones.iter();
        for zone in zones.filter(|zone| names_files(zone)).take(MOST) {
            if let Certificate::Files(files) = &zone.tls.certificate {
                let about = format!("certificate of zone {}", zone.name);
                self.file(about, zone, &files.cert, Source::File);
            }
            for origin in &zone.origins {
                if let Some(files) = &origin.client_certificate {
                    let about = format!("certificate of zone {} for {}", zone.name, origin.url);
                    self.file(about, zone, &files.cert, Source::Origin);
                }
            }
        }
        self.of_location(data);
        if let Ok(pem) = std::fs::read_to_string(data.join(identity::AUTHORITY)) {
            self.of_authority(&pem);
        }
        self.that_serve(data);
    }

    /// What is kept of ACME's.
    fn by_acme(&mut self, data: &Path, document: &Document) {
        let folder = data.join("certificates");
        // Opening it without a key would make one.
        let kept = folder.join("key").exists().then(|| Store::open(&folder));
        let (kept, broken) = match kept {
            Some(Ok(store)) => store.restore(),
            Some(Err(fault)) => {
                return self.bad(
                    "certificates",
                    fault.to_string(),
                    "run as the user that Seawall runs as",
                );
            }
            None => Default::default(),
        };
        for what in broken {
            self.warn("certificates", what, "it is got anew; remove the file");
        }
        let by_acme = document
            .zones
            .iter()
            .filter(|zone| zone.tls.certificate == Certificate::Acme);
        for host in by_acme.flat_map(|zone| &zone.hosts).take(MOST) {
            let name = match host {
                HostPattern::Exact(name) => name.clone(),
                HostPattern::Under(name) => format!("*.{name}"),
                HostPattern::Any => continue,
            };
            let about = format!("certificate {name}");
            match kept.get(&name) {
                None => self.warn(
                    about,
                    "is not there yet",
                    "`seawall up` gets it; /state of the admin port tells how that goes",
                ),
                Some(restored) => {
                    let validity = restored.facts.validity;
                    let ending = ending(name, None, Source::Acme, validity);
                    let fix = "/state of the admin port tells why it was not renewed";
                    self.ends(about, &ending, Some(fix));
                }
            }
        }
    }

    /// A certificate in a file, as it is on disk now; what a file cannot be is told with the document's problems.
    fn file(&mut self, about: String, zone: &Zone, path: &Path, source: Source) {
        let Ok(pem) = std::fs::read(path) else { return };
        let Some(Ok(leaf)) = CertificateDer::pem_slice_iter(&pem).next() else {
            return;
        };
        let Some(facts) = der::facts(&leaf) else {
            return;
        };
        let name = path.display().to_string();
        let ending = ending(name, Some(zone), source, facts.validity);
        self.ends(about.clone(), &ending, None);
        if source == Source::File {
            self.names(about, zone, &leaf);
        }
    }

    /// Whether a certificate is for the hosts of its zone.
    fn names(&mut self, about: String, zone: &Zone, leaf: &CertificateDer<'_>) {
        let Ok(parsed) = ParsedCertificate::try_from(leaf) else {
            return;
        };
        let others: Vec<String> = zone
            .hosts
            .iter()
            .filter_map(|host| match host {
                HostPattern::Exact(name) => Some(name.clone()),
                HostPattern::Under(name) => Some(format!("any.{name}")),
                HostPattern::Any => None,
            })
            .filter(|name| {
                let name = ServerName::try_from(name.as_str());
                name.is_ok_and(|name| verify_server_name(&parsed, &name).is_err())
            })
            .take(MOST)
            .collect();
        if !others.is_empty() {
            let fix = "get one whose subjectAltName has all hosts of the zone, or `tls = { certificate = \"acme\" }`";
            let what = format!("is not for {}: browsers refuse it", others.join(", "));
            self.warn(about, what, fix);
        }
    }

    /// This location's own certificate, if it has joined a fleet.
    fn of_location(&mut self, data: &Path) {
        let about = "certificate of this location";
        // Looking must not make the folder.
        let kept = data
            .is_dir()
            .then(|| Data::at(data).and_then(|data| Identity::read(&data)));
        match kept {
            None | Some(Ok(None)) => {}
            Some(Err(error)) => self.bad(
                about,
                format!("{error:#}"),
                "run as the user that Seawall runs as; else let this location join again (`seawall edge --join`)",
            ),
            Some(Ok(Some(identity))) => {
                let leaf = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
                let facts = leaf.ok().and_then(|leaf| der::facts(&leaf));
                let Some(facts) = facts else {
                    return self.bad(about, "cannot be read", "let this location join again");
                };
                let name = "control and other locations".into();
                self.ends(about.into(), &ending(name, None, Source::Location, facts.validity), None);
                self.of_authority(&identity.authority);
            }
        }
    }

    /// The fleet's authority: it is good for twenty years, and nothing renews it.
    fn of_authority(&mut self, pem: &str) {
        let about = "authority of the fleet";
        let again = "on control move DATA/keys/authority.key and authority.pem away and restart it; then let every location join again \
                     (docs/runbooks/joining.md)";
        let read = CertificateDer::from_pem_slice(pem.as_bytes());
        let Some(facts) = read.ok().and_then(|read| der::facts(&read)) else {
            return self.bad(about, "cannot be read", again);
        };
        let years = facts.validity.not_after.saturating_sub(now()) / (365 * 86_400);
        match years {
            0 => self.bad(
                about,
                "ends within a year, and all locations with it",
                again,
            ),
            years => self.good(about, format!("is good for {years} years more")),
        }
    }

    /// What the Seawall that runs on this folder says of those that it serves: zones may have come by the API, and files may have
    /// changed since they were read.
    fn that_serve(&mut self, data: &Path) {
        let Some(state) = status::state_at(data) else {
            return;
        };
        let alarms = state
            .pointer("/certificates/alarms")
            .and_then(Value::as_array);
        for alarm in alarms
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .take(MOST)
        {
            let (what, fix) = alarm
                .split_once(": ")
                .unwrap_or((alarm, "`seawall status`"));
            self.bad("certificates that serve now", what, fix);
        }
    }

    fn ends(&mut self, about: String, ending: &Ending, fix: Option<&str>) {
        let now = now();
        match ending.alarm(now) {
            None => {
                let days = ending.validity.not_after.saturating_sub(now) / 86_400;
                self.good(about, format!("expires in {days} days"));
            }
            Some(alarm) => {
                let text = alarm.text;
                let (what, told) = text.split_once(": ").unwrap_or((&text, ""));
                self.bad(about, what, fix.unwrap_or(told));
            }
        }
    }
}

fn names_files(zone: &Zone) -> bool {
    let mut origins = zone.origins.iter();
    matches!(zone.tls.certificate, Certificate::Files(_))
        || origins.any(|origin| origin.client_certificate.is_some())
}

fn ending(name: String, zone: Option<&Zone>, source: Source, validity: Validity) -> Ending {
    Ending {
        name,
        zone: zone.map(|zone| zone.name.as_str().into()),
        source,
        validity,
        more: 0,
    }
}
