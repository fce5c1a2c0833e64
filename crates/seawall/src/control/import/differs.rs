//! Where something else is live than what the file says, since somebody changed it by command or it was taken back: told with what
//! differs and with both ways out, at each start and each reload for as long as it is so.
//!
//! It takes time linear in the zones, and of what is equal only hashes are looked at.

use std::collections::BTreeSet;
use std::time::Duration;

use seawall_control::contents::document as document_of;
use seawall_control::store::StoreError;
use seawall_control::version::{Hash, Version};
use seawall_model::{Limits, document};

use super::Parts;
use crate::cli::Up;
use crate::control::diff::unified;
use crate::control::files::Bound;
use crate::control::make::{CHAINS, Maker};
use crate::order::Chain;
use crate::say::{complain, one_line};

/// Zones that are told of one by one.
const TOLD: usize = 5;
/// Lines of each difference that are told.
const LINES: usize = 40;
/// Characters of each such line: a list may be one line.
const WIDTH: usize = 200;
/// How long the shortest difference is looked for, of each: others wait.
const WITHIN: Duration = Duration::from_millis(100);

impl Maker<'_> {
    /// Tells of each zone whose newest version is not what the file says, but for those that were left out, of which it is told why.
    pub(super) fn tell_what_differs(
        &mut self,
        up: &Up,
        path: &str,
        parts: &Parts,
        left_out: &BTreeSet<Chain>,
    ) {
        match self.what_differs(up, path, parts, left_out) {
            Ok((told, more)) => {
                told.iter().for_each(complain);
                if more > 0 {
                    complain(format_args!(
                        "{more} more are not live as {path} says: `seawall versions` with a zone's name tells who changed it"
                    ));
                }
            }
            Err(error) => complain(format_args!(
                "whether what is live is what {path} says cannot be told: {error}"
            )),
        }
    }

    /// What is told of the first of them, and how many more there are.
    fn what_differs(
        &mut self,
        up: &Up,
        path: &str,
        parts: &Parts,
        left_out: &BTreeSet<Chain>,
    ) -> Result<(Vec<String>, usize), StoreError> {
        let (mut told, mut more, mut after) = (Vec::new(), 0, None);
        loop {
            let heads = self.engine.store().heads(after.as_ref(), CHAINS)?;
            let Some(last) = heads.last() else {
                return Ok((told, more));
            };
            after = Some(last.chain.clone());
            for head in heads {
                let bound = parts.get(&head.chain);
                let Some(bound) = bound.filter(|_| !left_out.contains(&head.chain)) else {
                    continue;
                };
                if !head.tombstone && head.hash == Hash::of(bound.text.as_bytes()) {
                    continue;
                }
                if told.len() < TOLD {
                    told.extend(self.difference(up, path, &head, bound)?);
                } else {
                    more += 1;
                }
            }
        }
    }

    /// What is told of one of them; none where there is nothing to be done about it.
    fn difference(
        &mut self,
        up: &Up,
        path: &str,
        head: &Version,
        bound: &Bound,
    ) -> Result<Option<String>, StoreError> {
        let chain = &head.chain;
        let since = format!(
            "by {} since {path} was taken in (version {}: {})",
            head.author,
            head.number,
            one_line(&head.why)
        );
        let apply = match &up.config {
            Some(_) => format!("`seawall apply {path}`"),
            None => "`seawall apply` with a file that says what the flags say".to_owned(),
        };
        if head.tombstone {
            return Ok(Some(format!(
                "{chain} was deleted {since}: it stays deleted. Two ways out: take it out of {path}, or bring it back with {apply}"
            )));
        }
        if self.is_same_document(head, bound)? && !self.is_as_it_was_read(chain, bound)? {
            // Its files have other contents by now, which are taken in next.
            return Ok(None);
        }
        let live = self.engine.store().document(&head.hash)?;
        let live = match chain {
            Chain::Platform => by_flags(up, live.unwrap_or_default()),
            Chain::Zone(_) => live.unwrap_or_default(),
        };
        if live == bound.text {
            return Ok(None);
        }
        let version = format!("version {}, which is live", head.number);
        let diff = unified((path, &bound.text), (&version, &live), WITHIN);
        let place = match chain.zone() {
            Some(zone) => format!("zones/{zone}"),
            None => "platform".to_owned(),
        };
        Ok(Some(format!(
            "{chain} was changed {since}: that stays live. What differs:\n{}\nTwo ways out: write what is live into {path} (the lines with +; \
             the API has all of it, GET /api/v1/{place}/document), or make live what {path} says with {apply}",
            shortened(&diff)
        )))
    }
}

/// What all zones share, with what the flags say before the file.
fn by_flags(up: &Up, text: String) -> String {
    let Some(location) = &up.location else {
        return text;
    };
    let plain = document_of(&text);
    let mut parsed = document::parse_alone(plain, &Limits::default());
    if parsed.problems.is_some() {
        return text;
    }
    parsed.document.edge.location.clone_from(location);
    let files = text.get(plain.len()..).unwrap_or_default();
    format!("{}{files}", parsed.document.to_toml())
}

/// The first lines of a difference, none of them too long.
fn shortened(diff: &str) -> String {
    let narrow = |line: &str| match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    };
    let mut shown: Vec<String> = diff.lines().take(LINES).map(narrow).collect();
    let more = diff.lines().skip(LINES).count();
    if more > 0 {
        shown.push(format!("… and {more} more line(s)"));
    }
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_difference_is_cut_in_both_directions() {
        assert_eq!(shortened("-a\n+b\n"), "-a\n+b");
        let long = "ä".repeat(WIDTH + 1);
        let shown = shortened(&format!("{long}\n").repeat(LINES + 3));
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), LINES + 1);
        assert_eq!(lines[0].chars().count(), WIDTH + 1);
        assert_eq!(lines[LINES], "… and 3 more line(s)");
    }
}
