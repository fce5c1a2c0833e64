//! Pictures and the like that other sites show as if they were theirs: a request that says on whose page it was made is refused
//! when that is neither the zone's nor an allowed one.
//!
//! Not here: who does not say. A browser may keep `Referer` to itself, and a client that lies is not stopped by asking it; what
//! must not be seen by all is for Access.

use seawall_model::document::{SkipSet, ZoneHotlink};
use seawall_model::{FieldId, Fuel, HostPattern, RequestView, Spent, without_port};

use crate::assemble::ZoneInput;
use crate::stage::{Budget, OnFault, OnKill, OnSpent, ReasonDef, Seam, Seams, Stage, StageDef};
use crate::verdict::{Reason, Verdict};

/// The stage `hotlink`.
pub static DEF: StageDef = StageDef {
    name: "hotlink",
    what: "Refuses files that pages of other sites embed.",
    budget: Budget {
        fuel: 120_000,
        body_fuel: 0,
        body: 0,
    },
    on_spent: OnSpent::Deny,
    on_fault: OnFault::Open,
    on_kill: OnKill::Off,
    needs: &["`Referer`"],
    reasons: &[ReasonDef {
        name: "referer",
        what: "The page that asks for the file is of a site that is neither this zone nor in `allow`.",
    }],
    asks_again: false,
    optional: true,
    skipped_by: SkipSet::NONE,
    build,
};

struct Hotlink {
    extensions: Box<[Box<[u8]>]>,
    hosts: Box<[HostPattern]>,
}

fn build(input: &mut ZoneInput<'_>) -> Seams {
    let ZoneHotlink {
        mode,
        enabled,
        extensions,
        allow,
    } = &input.zone.hotlink;
    let mut seams = Seams::new(*mode);
    if *enabled {
        let hosts = input.zone.hosts.iter().chain(allow);
        seams.add(Seam::Judge(Box::new(Hotlink {
            extensions: extensions
                .iter()
                .map(|text| text.as_bytes().into())
                .collect(),
            hosts: hosts.cloned().collect(),
        })));
    }
    seams
}

impl Stage for Hotlink {
    fn judge(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        let extension = request.extension(fuel)?;
        fuel.spend(10 + 5 * self.extensions.len() as u64)?;
        let mut guarded = self.extensions.iter();
        if !guarded.any(|known| known.eq_ignore_ascii_case(extension)) {
            return Ok(Verdict::Pass);
        }
        for referer in request.head.fields.all(FieldId::Referer) {
            fuel.spend_bytes(referer.len(), 1)?;
            let Some(host) = host(referer) else { continue };
            fuel.spend(20 * self.hosts.len() as u64)?;
            if !self.hosts.iter().any(|pattern| fits(pattern, host)) {
                return Ok(Verdict::Deny(403, Reason::plain("referer")));
            }
        }
        Ok(Verdict::Pass)
    }
}

/// The host of an absolute URL (RFC 3986 §3.2); none where there is none, as in `about:blank`.
fn host(url: &[u8]) -> Option<&[u8]> {
    let at = url.windows(3).position(|three| three == b"://")?;
    let rest = url.get(at + 3..)?;
    let authority = rest
        .split(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\'))
        .next()?;
    let host = authority.rsplit(|byte| *byte == b'@').next()?;
    let host = without_port(host);
    (!host.is_empty()).then_some(host.strip_suffix(b".").unwrap_or(host))
}

fn fits(pattern: &HostPattern, host: &[u8]) -> bool {
    match pattern {
        HostPattern::Exact(name) => name.as_bytes().eq_ignore_ascii_case(host),
        HostPattern::Under(name) => {
            let below = host.len().checked_sub(name.len() + 1);
            let parts = below.and_then(|below| Some((host.get(below)?, host.get(below + 1..)?)));
            parts
                .is_some_and(|(dot, end)| *dot == b'.' && end.eq_ignore_ascii_case(name.as_bytes()))
        }
        HostPattern::Any => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::places::Place;

    const SITE: &str = "[zone.hotlink]\nenabled = true\nallow = ['friend.test', '*.cdn.test']";

    #[test]
    fn pages_of_others_do_not_get_the_zones_pictures() {
        let place = Place::of(&DEF, SITE);
        for (path, referer, said) in [
            ("/a.png", "https://thief.test/page", "403 hotlink/referer"),
            ("/a.PNG?x=1", "https://thief.test/", "403 hotlink/referer"),
            (
                "/b/c.jpeg",
                "http://friend.test.thief.test/",
                "403 hotlink/referer",
            ),
            (
                "/a.png",
                "https://thief.test/?friend.test",
                "403 hotlink/referer",
            ),
            (
                "/a.png",
                "https://friend.test@thief.test/",
                "403 hotlink/referer",
            ),
            (
                "/a.png",
                "https://thief.test\\friend.test/",
                "403 hotlink/referer",
            ),
            ("/a.png", "https://Friend.Test:8443/x", ""),
            ("/a.png", "https://img.cdn.test/x", ""),
            ("/a.png", "https://cdn.test/x", "403 hotlink/referer"),
            ("/a.png", "about:blank", ""),
            ("/a.html", "https://thief.test/", ""),
            ("/png", "https://thief.test/", ""),
        ] {
            let asked = place.asked("GET", path, &[("referer", referer)]).0;
            assert_eq!(asked, said, "{path} {referer}");
        }
        assert_eq!(place.asked("GET", "/a.png", &[]).0, "", "nobody says");
    }

    #[test]
    fn it_is_off_until_it_is_asked_for() {
        assert!(Place::of(&DEF, "[zone.hotlink]\nallow = ['a.test']").is_unguarded());
    }
}
