//! What steers traffic from outside is the owner's: DNS, or BGP. Here is what it asks: whether this location is to be announced, and
//! which records lead to locations that are well.

use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::cli;
use crate::control::locations::Place;
use crate::say::say;
use crate::standing::{STANDING, Standing};

/// `seawall announce`.
///
/// # Errors
/// Never: what cannot be read is announced, as it was before.
pub fn announce(announce: &cli::Announce) -> Result<ExitCode> {
    let standing = Standing::read(&announce.at.data.join(STANDING));
    let (code, why) = match standing {
        Err(error) => (0, format!("announce: {STANDING} cannot be read ({error})")),
        Ok(standing) if standing.drained || standing.drained_here => {
            (1, "withdraw: it is drained".to_owned())
        }
        Ok(standing) if standing.away => (1, "withdraw: it is ill, and others are not".to_owned()),
        Ok(_) => (0, "announce".to_owned()),
    };
    if !announce.quiet {
        say(why);
    }
    Ok(ExitCode::from(code))
}

/// Records for octoDNS of those locations that traffic is to be led to.
///
/// # Errors
/// When a record is none, or names no location.
pub fn octodns(steering: &cli::Steering, places: &[Place]) -> Result<String> {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for record in &steering.records {
        let (location, address) = record
            .split_once('=')
            .with_context(|| format!("{record:?} is not LOCATION=ADDRESS"))?;
        let address: IpAddr = address
            .parse()
            .with_context(|| format!("{address:?} is no address"))?;
        let place = places.iter().find(|place| place.name == location);
        let place = place.with_context(|| {
            format!("there is no location {location}: `seawall control locations` lists them")
        })?;
        if place.drained || place.away {
            continue;
        }
        match address {
            IpAddr::V4(_) => v4.push(address.to_string()),
            IpAddr::V6(_) => v6.push(address.to_string()),
        }
    }
    if v4.is_empty() && v6.is_empty() {
        bail!(
            "all of these locations are drained: no records, or the site would be gone (undrain one)"
        );
    }
    let mut text = format!(
        "---\n# Written by `seawall control steering`: what is written by hand is lost.\n{:?}:\n",
        steering.name
    );
    for (kind, addresses) in [("A", v4), ("AAAA", v6)] {
        if addresses.is_empty() {
            continue;
        }
        text += &format!("  - type: {kind}\n    ttl: {}\n    values:\n", steering.ttl);
        for address in addresses {
            text += &format!("      - {address:?}\n");
        }
    }
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, drained: bool, away: bool) -> Place {
        Place {
            canary: false,
            name: name.into(),
            architecture: "x86_64".into(),
            drained,
            away,
            ready: None,
            silent: false,
            joined: true,
            generation: None,
            age_ms: None,
            held: Vec::new(),
            lacks: Vec::new(),
            purged: None,
        }
    }

    #[test]
    fn records_lead_to_those_that_are_well_and_never_to_nobody() {
        let steering = |records: &[&str]| cli::Steering {
            records: records.iter().map(ToString::to_string).collect(),
            name: "www".into(),
            ttl: 60,
            at: cli::At {
                data: "none".into(),
                api: None,
                api_ca: None,
            },
        };
        let places = [
            place("a", false, false),
            place("b", true, false),
            place("c", false, true),
            place("d", false, false),
        ];
        let text = octodns(
            &steering(&["a=192.0.2.1", "b=192.0.2.2", "c=192.0.2.3", "d=2001:db8::1"]),
            &places,
        )
        .unwrap();
        let parsed = text.lines().skip(2).collect::<Vec<_>>().join("\n");
        assert_eq!(
            parsed,
            "\"www\":\n  - type: A\n    ttl: 60\n    values:\n      - \"192.0.2.1\"\n  - type: AAAA\n    ttl: 60\n    values:\n      - \"2001:db8::1\""
        );
        assert!(octodns(&steering(&["b=192.0.2.2"]), &places).is_err());
        assert!(octodns(&steering(&["z=192.0.2.2"]), &places).is_err());
        assert!(octodns(&steering(&["a=nonsense"]), &places).is_err());
    }
}
