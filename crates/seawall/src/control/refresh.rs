//! Files that have other contents by now, taken in: whoever names them gets a new version with the same document, which is rolled out
//! as any other. It is looked at a start of control and at SIGHUP, whoever made the version that names them.
//!
//! What somebody has gone back from stays so: files that hold what they held when a version was made of them last are no change. Neither is a
//! file that is not there any more: its content is in the store, and stays in use. What does not fit together, such as
//! a certificate whose key is still the old one, is told, and left for the next time.

use std::collections::BTreeSet;

use seawall_control::contents;
use seawall_control::store::{Change as StoreChange, StoreError, Subject};
use seawall_control::version::Hash;
use seawall_model::tempo::Kind;
use seawall_model::{Document, Limits, Problems, document};

use super::Control;
use super::asks::NotMade;
use super::files::{Binder, Bound};
use super::make::{By, CHAINS, Maker};
use crate::order::Chain;
use crate::say::{complain, say};

/// Versions that are looked through for the last one that was read from files.
const LOOKED_AT: usize = 20;
/// Private keys that are named when a location leaves.
const NAMED: usize = 20;
/// Who makes such versions.
pub const WHO: &str = "contents";

impl Maker<'_> {
    /// Makes versions of what names files that have changed. What was not taken in, and why; none: all was.
    ///
    /// # Errors
    /// As the store says.
    pub fn refresh(&mut self) -> Result<Option<String>, NotMade> {
        let mut binder = Binder::new(self.safe, Vec::new());
        let (mut changes, mut new, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let heads = self.engine.store().heads(after.as_ref(), CHAINS)?;
            let Some(last) = heads.last() else { break };
            after = Some(last.chain.clone());
            for head in heads.into_iter().filter(|head| !head.tombstone) {
                let Some(text) = self.engine.store().document(&head.hash)? else {
                    continue;
                };
                if !may_name(&text) {
                    continue;
                }
                let parsed = document::parse_alone(contents::document(&text), &Limits::default());
                let bound = binder.bind(&parsed.document)?;
                let (before, now) = (contents::files(&text), contents::files(&bound.text));
                let is_gone = |file: &contents::File| !now.iter().any(|now| now.path == file.path);
                if parsed.problems.is_some()
                    || now == before
                    || now.is_empty()
                    || before.iter().any(is_gone)
                {
                    continue;
                }
                if self.is_as_it_was_read(&head.chain, &bound)? {
                    continue;
                }
                let chain = head.chain.clone();
                let kind = match chain {
                    Chain::Platform => Kind::Platform,
                    Chain::Zone(_) => Kind::Zone,
                };
                let brings = self.note(&bound, Some(&head))?;
                new.extend(brings.into_iter().map(|content| (chain.clone(), content)));
                let change = StoreChange::Document(chain.clone(), bound.text);
                changes.push((chain, change, kind));
            }
        }
        let (mut left_out, mut told) = (BTreeSet::new(), Problems::default());
        self.without_bad(&mut changes, &mut left_out, &mut told, &Document::default())?;
        if !changes.is_empty() {
            let many = changes.len();
            new.retain(|(chain, _)| !left_out.contains(chain));
            let more = new.into_iter().map(|(_, content)| content).collect();
            let by = By::new(WHO, "a file that it names has another content");
            self.engine.make(&by, Vec::new(), changes, more)?;
            say(format_args!(
                "Seawall takes in files that have changed: {many} change(s), by and by"
            ));
        }
        if left_out.is_empty() {
            return Ok(None);
        }
        let names: Vec<String> = left_out.iter().map(ToString::to_string).collect();
        let why = format!(
            "files of {} have changed, and are not taken in:\n{told}",
            names.join(", ")
        );
        complain(&why);
        Ok(Some(why))
    }

    /// Whether files hold what they held when a version of the chain was made of them last, whatever became of it since.
    pub(super) fn is_as_it_was_read(
        &mut self,
        chain: &Chain,
        bound: &Bound,
    ) -> Result<bool, StoreError> {
        let history = self.engine.store().history(chain, None, LOOKED_AT)?;
        let is_new = |nth: usize, hash: Hash| {
            let mut before = history.iter().skip(nth + 1);
            !before.any(|version| version.hash == hash)
        };
        // A version that is another one again is somebody's way back.
        let mut versions = history.iter().enumerate();
        let read = versions.find(|(nth, version)| is_new(*nth, version.hash));
        Ok(read.is_some_and(|(_, version)| version.hash == Hash::of(bound.text.as_bytes())))
    }
}

/// Whether a version's text may name files. Those of before do not say which; that of most zones is not parsed for it.
fn may_name(text: &str) -> bool {
    const KEYS: [&str; 5] = ["cert = ", "file = ", "client_ca = ", "ca = ", "page = "];
    !contents::files(text).is_empty() || KEYS.iter().any(|key| text.contains(key))
}

impl Control {
    /// Says which private keys a location that leaves has seen: those of what serves and of what is on trial.
    ///
    /// # Errors
    /// As the store says.
    pub(super) fn tell_what_it_has_seen(&mut self, location: &str) -> Result<(), StoreError> {
        let serving = self.engine.serving();
        let mut versions: Vec<(Chain, u64)> = serving
            .iter()
            .map(|(chain, served)| (chain.clone(), served.number))
            .collect();
        for rollout in self.engine.on_trial()? {
            if let Subject::Version { chain, to, .. } = rollout.subject {
                versions.push((chain, to));
            }
        }
        let mut seen = BTreeSet::new();
        for (chain, number) in versions {
            let text = self.engine.text(&chain, number)?.unwrap_or_default();
            let sealed = contents::files(&text)
                .into_iter()
                .filter(|file| file.sealed);
            seen.extend(sealed.map(|file| file.path));
        }
        if seen.is_empty() {
            return Ok(());
        }
        let named: Vec<&str> = seen.iter().take(NAMED).map(String::as_str).collect();
        let more = match seen.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        complain(format_args!(
            "location {location} has left. It has seen these private keys, which are good until their certificates are over: if its machine is not \
             in your hands, make others, and revoke those certificates: {}{more}",
            named.join(", ")
        ));
        Ok(())
    }
}
