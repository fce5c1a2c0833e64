//! What a purge names: the words in which it goes from who asks for it to every edge's cache.

use serde::{Deserialize, Serialize};

use crate::{Host, HostPattern};

/// The most that one purge names.
pub const MOST: usize = 100;
/// Bytes of one name.
pub const LONGEST: usize = 2_048;

/// Something that is purged of a zone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purged {
    /// All of it.
    Everything,
    /// One URL, with all that is stored for it: `https://example.com/a?b`. Over HTTP and HTTPS alike, whatever the port.
    Url(String),
    /// What has this host and a path that begins so: `example.com/a/`.
    Prefix(String),
    /// What was asked for under this host, whatever the port.
    Host(String),
    /// What has this tag (`Cache-Tag`, `Surrogate-Key`).
    Tag(String),
}

impl Purged {
    /// Host and target of what names both, without scheme and fragment.
    pub fn host_and_target(&self) -> Option<(&str, &str)> {
        let text = match self {
            Self::Url(text) | Self::Prefix(text) => text,
            Self::Everything | Self::Host(_) | Self::Tag(_) => return None,
        };
        let text = text.split('#').next()?;
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, target) = rest.split_at_checked(at)?;
        Some((host, target))
    }

    /// The host that it names, perhaps with a port.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Host(text) => Some(text),
            _ => self.host_and_target().map(|(host, _)| host),
        }
    }

    /// Whether it can be meant.
    ///
    /// # Errors
    /// What is wrong, and how it is written.
    pub fn check(&self) -> Result<(), String> {
        let (text, example) = match self {
            Self::Everything => return Ok(()),
            Self::Url(text) => (text, "https://example.com/a"),
            Self::Prefix(text) => (text, "example.com/a/"),
            Self::Host(text) => (text, "example.com"),
            Self::Tag(text) => (text, "news"),
        };
        let is_odd = |c: char| c.is_whitespace() || c.is_control();
        let is_text = !text.is_empty() && text.len() <= LONGEST && !text.contains(is_odd);
        let is_meant = match self {
            Self::Url(text) => {
                let scheme = text.split_once("://").map(|(scheme, _)| scheme);
                matches!(scheme, Some("http" | "https"))
                    && self
                        .host_and_target()
                        .is_some_and(|(host, _)| !host.is_empty())
            }
            Self::Prefix(_) => self
                .host_and_target()
                .is_some_and(|(host, target)| !host.is_empty() && target.starts_with('/')),
            Self::Host(text) => !text.contains('/'),
            Self::Tag(text) => !text.contains(','),
            Self::Everything => true,
        };
        if is_text && is_meant {
            return Ok(());
        }
        Err(format!(
            "{text:?} names nothing that can be purged: write it as {example:?}"
        ))
    }
}

/// Whether a purge can be meant.
///
/// # Errors
/// What is wrong.
pub fn check(all: &[Purged]) -> Result<(), String> {
    match all.len() {
        0 => Err("nothing is named: a URL, a prefix, a host, a tag, or everything".into()),
        1..=MOST => all.iter().try_for_each(Purged::check),
        many => Err(format!("{many} are named: at most {MOST} in one purge")),
    }
}

/// Whether a zone with these hosts may have what is named.
///
/// # Errors
/// Which host it does not have, and those that it has.
pub fn check_hosts<'h>(
    all: &[Purged],
    zone: &str,
    hosts: impl Iterator<Item = &'h HostPattern> + Clone,
) -> Result<(), String> {
    /// Hosts that are told.
    const TOLD: usize = 10;
    let is_of_zone = |named: &str| {
        let host = Host::parse_with_port(named.strip_suffix('.').unwrap_or(named));
        host.is_ok_and(|(host, _)| {
            let host = host.to_string();
            hosts.clone().any(|pattern| pattern.matches(&host))
        })
    };
    let Some(other) = all
        .iter()
        .filter_map(Purged::host)
        .find(|named| !is_of_zone(named))
    else {
        return Ok(());
    };
    let told: Vec<String> = hosts
        .clone()
        .take(TOLD)
        .map(|pattern| pattern.to_string())
        .collect();
    let more = match hosts.count().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(format!(
        "zone {zone} has no host {other}, so nothing of it would go: name one of its hosts ({}{more}), or purge the zone that has it",
        told.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_meant_is_taken_and_the_rest_told() {
        let url = |text: &str| Purged::Url(text.into());
        let prefix = |text: &str| Purged::Prefix(text.into());
        for good in [
            url("https://a.test/x?y#z"),
            url("http://a.test:8080"),
            prefix("a.test/x"),
            prefix("https://a.test/"),
            Purged::Host("a.test:8080".into()),
            Purged::Tag("a-b".into()),
            Purged::Everything,
        ] {
            assert_eq!(good.check(), Ok(()), "{good:?}");
        }
        for bad in [
            url("a.test/x"),
            url("ftp://a.test/x"),
            url("https:///x"),
            url("https://a.test/a b"),
            prefix("a.test"),
            prefix("/x"),
            Purged::Host(String::new()),
            Purged::Host("a.test/x".into()),
            Purged::Tag("a,b".into()),
            Purged::Tag("x".repeat(LONGEST + 1)),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        let named = url("http://a.test:8080/x?y#z");
        assert_eq!(named.host_and_target(), Some(("a.test:8080", "/x?y")));
        assert_eq!(
            url("http://a.test?y").host_and_target(),
            Some(("a.test", "?y"))
        );
        assert!(check(&[]).is_err() && check(&vec![Purged::Everything; MOST + 1]).is_err());
    }

    #[test]
    fn only_what_the_zone_has_can_be_purged_of_it() {
        let hosts = ["a.test", "*.b.test", "[::1]"].map(|host| HostPattern::parse(host).unwrap());
        let check = |what: Purged| check_hosts(&[what], "a", hosts.iter());
        for good in [
            Purged::Url("https://A.test:8080/x".into()),
            Purged::Url("http://a.test./x".into()),
            Purged::Url("http://[::1]:80?y".into()),
            Purged::Prefix("x.y.b.test/x".into()),
            Purged::Host("x.b.test".into()),
            Purged::Tag("c.test".into()),
            Purged::Everything,
        ] {
            assert_eq!(check(good.clone()), Ok(()), "{good:?}");
        }
        for bad in [
            Purged::Url("https://c.test/x".into()),
            Purged::Url("https://me@a.test/x".into()),
            Purged::Prefix("b.test/x".into()),
            Purged::Host("c.test".into()),
        ] {
            let why = check(bad.clone()).unwrap_err();
            assert!(why.contains("(a.test, *.b.test, [::1])"), "{bad:?}: {why}");
        }
    }
}
