//! Rule sets of the WAF, compiled once and shared by all zones and threads that use them; and what threads keep for them.
//!
//! A rule set is known by its content and the paranoia level that it is compiled for; it is there as long as a zone uses it. Not here:
//! where its files are, and what a zone makes of it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use seawall_model::Wrong;
use seawall_waf::{Folder, Options, Program, Workspace};

/// Different rule sets that may be in use at once: each takes half a second to compile, and memory.
const MOST: usize = 16;
/// Rule sets for which a thread keeps what it has built; it takes some 10 MiB for each.
const KEPT: usize = 3;

/// A rule set, compiled.
#[derive(Debug)]
pub struct RuleSet {
    program: Program,
    /// What harmless requests need, built once for all threads.
    warm: Workspace,
}

/// The content, the paranoia level, and what a zone adds.
type Key = (u64, u8, Box<str>);

/// Those that are in use.
#[derive(Debug, Default)]
pub struct RuleSets {
    all: Mutex<HashMap<Key, Weak<RuleSet>>>,
}

thread_local! {
    static KEEPS: RefCell<Vec<Workspace>> = const { RefCell::new(Vec::new()) };
}

impl RuleSets {
    /// The rule set whose files are packed in `bytes`, of which `content` is the number, for a paranoia level; with these patches before
    /// its rules. Without any bytes it is the patches alone.
    ///
    /// # Errors
    /// All that is wrong with it, each with file and line.
    pub fn get(
        &self,
        bytes: &[u8],
        content: u64,
        paranoia: u8,
        patches: &str,
    ) -> Result<Arc<RuleSet>, Vec<Wrong>> {
        let key = (content, paranoia, patches.into());
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(&key).and_then(Weak::upgrade) {
            return Ok(known);
        }
        all.retain(|_, set| set.strong_count() > 0);
        if all.len() >= MOST {
            let what = format!("{MOST} other rule sets are in use");
            return Err(vec![Wrong::new(what, "let zones share theirs")]);
        }
        let folder = match bytes {
            b"" => Folder::default(),
            bytes => Folder::unpack(bytes).ok_or_else(|| {
                let help = "name the folder of a rule set, or a file of rules";
                vec![Wrong::new("is no rule set", help)]
            })?,
        };
        let told = |problems: seawall_model::Problems| {
            let shown = problems.list.iter().map(|problem| {
                let at = match problem.line {
                    Some(line) => format!("{}:{line}", problem.path),
                    None => problem.path.clone(),
                };
                Wrong::new(format!("{at}: {}", problem.what), problem.help.clone())
            });
            let mut shown: Vec<_> = shown.collect();
            if problems.more > 0 {
                shown.push(Wrong::new(format!("and {} more", problems.more), ""));
            }
            shown
        };
        let set = folder.rules_with(patches).map_err(told)?;
        let program = set.compile(Options { paranoia }).map_err(told)?;
        let dear = program.too_dear();
        if !dear.is_empty() {
            return Err(dear);
        }
        // Before it serves: on cold caches a first harmless request can cost more than it may.
        let mut warm = Workspace::default();
        warm.warm(&program);
        let set = Arc::new(RuleSet { program, warm });
        all.insert(key, Arc::downgrade(&set));
        Ok(set)
    }
}

impl RuleSet {
    /// What is run.
    pub const fn program(&self) -> &Program {
        &self.program
    }

    /// Does something with the thread's workspace for this rule set. What panics loses it, and the next one begins anew.
    pub fn with<T>(&self, run: impl FnOnce(&Program, &mut Workspace) -> T) -> T {
        let mut kept = self.take();
        let came = run(&self.program, &mut kept);
        KEEPS.with_borrow_mut(|keeps| {
            if keeps.len() >= KEPT {
                keeps.remove(0);
            }
            keeps.push(kept);
        });
        came
    }

    fn take(&self) -> Workspace {
        let known = KEEPS.with_borrow_mut(|keeps| {
            let at = keeps.iter().position(|kept| kept.is_of(&self.program));
            at.map(|at| keeps.remove(at))
        });
        known.unwrap_or_else(|| self.warm.twin())
    }
}
