//! What `seawall up` means without a file.

use super::origin::{Origin, OriginUrl};
use super::zone::{Certificate, Zone};
use super::{Document, SCHEMA};
use crate::host::HostPattern;
use crate::limits::Limits;
use crate::problem::{Problem, Problems, Report, Wrong};

/// The flags of `seawall up` from which a document follows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Up<'a> {
    /// `--origin`; without it the sample site.
    pub origin: Option<&'a str>,
    /// Each `--host`; without any, every host is served.
    pub hosts: &'a [String],
    /// Whether `--acme` was given: certificates come by ACME.
    pub acme: bool,
}

/// The document that `seawall up` runs without a file: one zone. With hosts it is named after the first of them and
/// redirects to HTTPS; without, it is named `default`, takes every host and does not redirect.
///
/// # Errors
/// All that is wrong with the flags, each under the flag's name.
pub fn up_default(up: &Up<'_>, limits: &Limits) -> Result<Document, Problems> {
    let mut report = Report::new(limits.problems);
    let mut refuse = |flag: &str, wrong| report.add(None, || Problem::new(flag, wrong));
    let mut hosts = Vec::new();
    for text in up.hosts.iter().take(limits.hosts_per_zone) {
        match HostPattern::parse(text) {
            Ok(host) if hosts.contains(&host) => {}
            Ok(host) => hosts.push(host),
            Err(wrong) => refuse("--host", wrong),
        }
    }
    if up.hosts.len() > limits.hosts_per_zone {
        let what = format!("is given {} times", up.hosts.len());
        refuse(
            "--host",
            Wrong::new(what, format!("at most {}", limits.hosts_per_zone)),
        );
    }
    let url = match up.origin.map_or(Ok(OriginUrl::Sample), OriginUrl::parse) {
        Ok(url) => url,
        Err(wrong) => {
            refuse("--origin", wrong);
            OriginUrl::Sample
        }
    };
    let named = hosts.iter().find_map(|host| match host {
        HostPattern::Exact(name) | HostPattern::Under(name) => Some(name.clone()),
        HostPattern::Any => None,
    });
    if up.acme && named.is_none() {
        refuse(
            "--acme",
            Wrong::new("has no name to get a certificate for", "add --host NAME"),
        );
    }
    if let Some(problems) = report.finish("") {
        return Err(problems);
    }
    let redirect_https = !hosts.is_empty();
    if hosts.is_empty() {
        hosts.push(HostPattern::Any);
    }
    // An IPv6 address is a host, but its brackets and colons are no name.
    let name = named.map(|name| name.replace(':', "-").replace(['[', ']'], ""));
    let mut zone = Zone {
        name: name
            .filter(|name| super::zone::is_zone_name(name))
            .unwrap_or_else(|| "default".into()),
        hosts,
        origins: vec![Origin {
            url,
            ..Origin::default()
        }],
        ..Zone::default()
    };
    if redirect_https || up.acme {
        zone.settings_mut().redirect_https = redirect_https;
    }
    if up.acme {
        zone.settings_mut().tls.certificate = Certificate::Acme;
    }
    Ok(Document {
        schema: SCHEMA,
        zones: vec![zone],
        ..Document::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(origin: Option<&str>, hosts: &[&str], acme: bool) -> Result<Document, Problems> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let document = up_default(
            &Up {
                origin,
                hosts: &hosts,
                acme,
            },
            &Limits::default(),
        )?;
        let again = super::super::parse(&document.to_toml(), &Limits::default());
        assert_eq!(again.as_ref(), Ok(&document), "{}", document.to_toml());
        Ok(document)
    }

    #[test]
    fn without_anything_it_serves_the_sample_to_every_host() {
        let document = up(None, &[], false).unwrap();
        let [zone] = document.zones.as_slice() else {
            panic!("{document:?}")
        };
        assert_eq!(zone.name, "default");
        assert_eq!(zone.hosts, [HostPattern::Any]);
        assert_eq!(zone.origins, [Origin::default()]);
        assert!(!zone.redirect_https);
        assert_eq!(zone.tls.certificate, Certificate::SelfSigned);
    }

    #[test]
    fn with_hosts_it_redirects_and_is_named_after_the_first() {
        let document = up(
            Some("http://127.0.0.1:3000"),
            &["*.Example.com", "example.com", "example.com."],
            true,
        );
        let zone = document.unwrap().zones.remove(0);
        assert_eq!(zone.name, "example.com");
        assert_eq!(zone.hosts.len(), 2);
        assert!(zone.redirect_https);
        assert_eq!(zone.tls.certificate, Certificate::Acme);
        assert_eq!(zone.origins[0].url.to_string(), "http://127.0.0.1:3000");
        assert_eq!(
            up(None, &["[2001:db8::1]"], false).unwrap().zones[0].name,
            "2001-db8--1"
        );
        assert_eq!(
            up(None, &["[::1]"], false).unwrap().zones[0].name,
            "default"
        );
    }

    #[test]
    fn all_wrong_flags_are_told() {
        let problems = up(Some("3000"), &["a.test:80", "b.test/"], false).unwrap_err();
        let paths: Vec<&str> = problems
            .list
            .iter()
            .map(|problem| problem.path.as_str())
            .collect();
        assert_eq!(paths, ["--host", "--host", "--origin"]);
        assert!(up(None, &[], true).is_err());
    }
}
