//! What serves and expires, wherever it comes from: certificates by ACME, those of files, those that we show to origins, and this
//! location's own. An end that nobody looks after is an alarm long before it comes.
//!
//! Certificates that we sign ourselves for zones without one are good until 4096. Not here: how certificates come.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use seawall_acme::{Standing, plan};
use seawall_net::tls::der::{self, Validity};
use seawall_net::tls::kept::Kept;
use serde_json::{Value, json};

use crate::snapshot::{Place, Snapshot, Zone};
use crate::thread::Shared;

/// Certificates with a metric or a place in `/state` of their own: those that end first.
pub const SHOWN: usize = 1000;
/// What nobody here renews is an alarm so many seconds before its end at the latest: a person has to do something, and there are
/// weekends.
const AT_LATEST: u64 = 3 * 86_400;

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// By itself, from an authority.
    Acme,
    /// From a file that a zone names.
    File,
    /// From a file; we show it to an origin.
    Origin,
    /// From control: who this location is to others of its fleet.
    Location,
}

impl Source {
    /// Its word, the same in metrics and `/state`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Acme => "acme",
            Self::File => "file",
            Self::Origin => "origin",
            Self::Location => "location",
        }
    }
}

/// A certificate that ends at some time.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Whose it is: a host, an origin, a location.
    pub name: String,
    /// The zone that names it; none where none does.
    pub zone: Option<Box<str>>,
    /// Where it comes from.
    pub source: Source,
    /// When it is good.
    pub validity: Validity,
    /// So many zones more have the same.
    pub more: usize,
}

/// Something that somebody should do something about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// The same for the same trouble, however long it lasts.
    pub key: String,
    /// In words, with what can be done.
    pub text: String,
}

impl Alarm {
    /// One that is told in these words as long as it lasts.
    pub fn of(text: String) -> Self {
        Self {
            key: text.clone(),
            text,
        }
    }
}

impl Ending {
    /// What is wrong with it at `now`, in seconds since 1970.
    pub fn alarm(&self, now: u64) -> Option<Alarm> {
        let Validity {
            not_before,
            not_after,
        } = self.validity;
        let mut overdue = plan::alarm_at(self.validity);
        if matches!(self.source, Source::File | Source::Origin) {
            overdue = overdue.min(not_after.saturating_sub(AT_LATEST));
        }
        // Whoever makes certificates has a clock of their own.
        let (what, is) = if not_after <= now {
            ("has expired".into(), "over")
        } else if not_before > now + plan::SKEW {
            let hours = (not_before - now) / 3600;
            (format!("is not valid yet, for {hours} h"), "early")
        } else if overdue <= now {
            (
                format!("expires in {} h", (not_after - now) / 3600),
                "overdue",
            )
        } else {
            return None;
        };
        let text = format!("{} {what}: {}", self.whose(), self.fix());
        let key = format!("{} {} {is}", self.source.word(), self.name);
        Some(Alarm { key, text })
    }

    fn whose(&self) -> String {
        let more = match self.more {
            0 => String::new(),
            more => format!(" and {more} zone(s) more"),
        };
        let (name, zone) = (&self.name, self.zone.as_deref().unwrap_or_default());
        match self.source {
            Source::Acme | Source::File => format!("the certificate of {name}{more}"),
            Source::Origin => {
                format!("the certificate that zone {zone}{more} shows to its origin {name}")
            }
            Source::Location => format!("the certificate of this location towards {name}"),
        }
    }

    fn fix(&self) -> String {
        let zone = self.zone.as_deref().unwrap_or_default();
        let key = match self.source {
            Source::File => "tls.certificate",
            Source::Origin => "origin.client_certificate",
            Source::Acme => return "nobody has tried to renew it".into(),
            Source::Location => {
                return "the agent asks control for a new one: look why it gets none (`seawall status`), or let this location join again".into();
            }
        };
        format!(
            "put a new one into the file that {key} of zone {zone} names, and reload (systemctl reload seawall, or SIGHUP to `seawall up`; in a fleet: \
             to control): files are not read again by themselves"
        )
    }
}

/// All certificates of files, those for origins, and our own, in no order.
fn endings(shared: &Shared, snapshot: &Snapshot) -> Vec<Ending> {
    let mut all = Vec::new();
    let mut known: HashMap<*const Kept, usize> = HashMap::new();
    for zone in snapshot.zones.iter() {
        if let Some(kept) = &zone.certificate
            && let Some(validity) = kept.validity()
        {
            let at = *known.entry(Arc::as_ptr(kept)).or_insert(all.len());
            match all.get_mut(at) {
                Some(Ending { more, .. }) => *more += 1,
                None => all.push(ending(host_of(zone), zone, Source::File, validity)),
            }
        }
        for origin in &zone.origins {
            if let Place::Server { tls: Some(tls), .. } = &origin.at
                && let Some(validity) = tls.shown
            {
                let url = origin.id.split('#').next().unwrap_or_default();
                all.push(ending(url.to_owned(), zone, Source::Origin, validity));
            }
        }
    }
    let own = shared.tier.as_ref().and_then(|tier| tier.fleet.own());
    if let Some(validity) = own
        .and_then(|own| der::facts(own.cert.first()?))
        .map(|facts| facts.validity)
    {
        all.push(Ending {
            name: "control and other locations".into(),
            zone: None,
            source: Source::Location,
            validity,
            more: 0,
        });
    }
    all
}

fn ending(name: String, zone: &Zone, source: Source, validity: Validity) -> Ending {
    Ending {
        name,
        zone: Some(zone.name.clone()),
        source,
        validity,
        more: 0,
    }
}

/// The host that a zone's certificate is told by.
fn host_of(zone: &Zone) -> String {
    let first = || zone.hosts.first().map(ToString::to_string);
    let one = zone.first_host().map(str::to_owned);
    one.or_else(first).unwrap_or_else(|| zone.name.to_string())
}

/// What is wrong with any certificate, at most [`SHOWN`]. Linear in the zones.
pub fn alarms(shared: &Shared, snapshot: &Snapshot) -> Vec<Alarm> {
    let now = now();
    let by_acme = shared.certificates.alarms();
    let others = endings(shared, snapshot);
    let others = others.iter().filter_map(|ending| ending.alarm(now));
    by_acme.into_iter().chain(others).take(SHOWN).collect()
}

/// For `/state`.
pub fn state(shared: &Shared, snapshot: &Snapshot) -> Value {
    let by_acme = shared.certificates.standings();
    let mut all: Vec<(u64, Value)> = endings(shared, snapshot)
        .into_iter()
        .map(|one| {
            let expires = one.validity.not_after;
            let value = json!({
                "name": one.name, "source": one.source.word(), "zone": one.zone, "expires": expires, "more_zones": one.more,
            });
            (expires, value)
        })
        .collect();
    all.extend(by_acme.iter().filter_map(|(name, standing)| {
        let expires = standing.expires?;
        let value =
            json!({ "name": name, "source": "acme", "zone": null, "expires": expires, "more_zones": 0 });
        Some((expires, value))
    }));
    all.sort_by_key(|(expires, _)| *expires);
    let shown = all.into_iter().take(SHOWN).map(|(_, value)| value);
    let alarms = alarms(shared, snapshot).into_iter().map(|alarm| alarm.text);
    json!({
        "count": shared.certificates.count(),
        "names": shared.certificates.state(),
        "expiring": shown.collect::<Vec<_>>(),
        "alarms": alarms.collect::<Vec<_>>(),
    })
}

/// For `/metrics`: the seconds that each certificate has left, and how often those by ACME failed.
pub fn render(shared: &Shared, snapshot: &Snapshot, out: &mut String) {
    let now = now() as i64;
    let by_acme = shared.certificates.standings();
    let mut all: Vec<(u64, String, Source)> = endings(shared, snapshot)
        .into_iter()
        .map(|one| {
            let name = match (one.source, one.zone) {
                (Source::Origin, Some(zone)) => format!("{zone} {}", one.name),
                _ => one.name,
            };
            (one.validity.not_after, name, one.source)
        })
        .collect();
    all.extend(
        by_acme
            .iter()
            .filter_map(|(name, standing)| Some((standing.expires?, name.clone(), Source::Acme))),
    );
    all.sort();
    // The same twice (an origin that stands twice) would be no metric.
    all.dedup_by(|one, other| one.1 == other.1 && one.2 == other.2);
    if !all.is_empty() {
        out.push_str("# HELP seawall_certificate_expires_seconds Seconds until a certificate expires; source is acme, file, origin (shown to an origin) or location.\n# TYPE seawall_certificate_expires_seconds gauge\n");
    }
    for (expires, name, source) in all.iter().take(SHOWN) {
        let left = *expires as i64 - now;
        // Writing to a text does not fail.
        let _ = writeln!(
            out,
            "seawall_certificate_expires_seconds{{name=\"{}\",source=\"{}\"}} {left}",
            escaped(name),
            source.word()
        );
    }
    render_failures(&by_acme, out);
}

fn render_failures(by_acme: &[(String, Standing)], out: &mut String) {
    if by_acme.is_empty() {
        return;
    }
    out.push_str("# HELP seawall_certificate_failures Failed attempts in a row to get or renew a certificate.\n# TYPE seawall_certificate_failures gauge\n");
    for (name, standing) in by_acme.iter().take(SHOWN) {
        let _ = writeln!(
            out,
            "seawall_certificate_failures{{name=\"{}\"}} {}",
            escaped(name),
            standing.failures
        );
    }
}

/// As a label's value in the text format of Prometheus.
fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn the_end_of_a_file_is_an_alarm_long_before_it_comes() {
        let ending = |not_before, not_after| Ending {
            name: "a.test".into(),
            zone: Some("a".into()),
            source: Source::File,
            validity: Validity {
                not_before,
                not_after,
            },
            more: 0,
        };
        let year = ending(0, 366 * DAY);
        assert_eq!(year.alarm(300 * DAY), None);
        let (early, late) = (year.alarm(310 * DAY), year.alarm(365 * DAY));
        let (early, late) = (early.unwrap(), late.unwrap());
        assert!(early.text.contains("expires in 1344 h"), "{}", early.text);
        assert!(late.text.contains("expires in 24 h") && late.text.contains("SIGHUP"));
        assert_eq!(early.key, late.key, "the same trouble");
        let over = year.alarm(366 * DAY).unwrap();
        assert!(over.text.contains("has expired") && over.key != late.key);
        // One that was made for two days: somebody has to make the next one soon, unless we get it ourselves.
        let short = ending(99 * DAY, 101 * DAY);
        assert!(short.alarm(99 * DAY).is_some());
        let by_acme = Ending {
            source: Source::Acme,
            ..short
        };
        assert_eq!(by_acme.alarm(99 * DAY), None);
        let early = ending(100 * DAY, 300 * DAY).alarm(99 * DAY).unwrap();
        assert!(early.text.contains("not valid yet, for 24 h"), "{early:?}");
        assert_eq!(escaped("a\"b\\c\n"), "a\\\"b\\\\c\\n");
    }
}
