//! A rule set as it lies in a folder: which files belong to it, in which order they are read, and all of it as one piece of bytes, so
//! that it can be kept, compared and handed on as one file can. Not here: reading folders.

use seawall_model::{Problem, Problems, Wrong};

use crate::prelude::PRELUDE;
use crate::seclang::{File, RuleSet};

/// What the piece begins with.
const MAGIC: &[u8] = b"seawall rule set 1\n";
/// Files that a rule set may have. The Core Rule Set has 50.
pub const MOST_FILES: usize = 1000;
/// Bytes that they may have together. The Core Rule Set has one MiB.
pub const MOST_BYTES: usize = 16 << 20;

/// The files of a rule set, by their paths within its folder, with `/` between names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    files: Vec<(String, Vec<u8>)>,
}

impl Folder {
    /// Of these files, those that belong to a rule set.
    pub fn of(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let mut files: Vec<_> = files
            .into_iter()
            .filter(|(path, _)| Self::wants(path))
            .collect();
        files.sort();
        Self { files }
    }

    /// Whether a file belongs to it: rules and data in the folder itself, in `rules/` and in `plugins/`.
    pub fn wants(path: &str) -> bool {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let is_data = name.ends_with(".data");
        match folder {
            "" => name == SETUP_EXAMPLE || name.ends_with(".conf") || is_data,
            "rules" | "plugins" => name.ends_with(".conf") || is_data,
            _ => false,
        }
    }

    /// Whether there is no rule in it.
    pub fn is_empty(&self) -> bool {
        !self.files.iter().any(|(path, _)| path.ends_with(".conf"))
    }

    /// Its files.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files
            .iter()
            .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// All of it as one piece.
    pub fn pack(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for (path, bytes) in &self.files {
            out.extend(format!("{} {path}\n", bytes.len()).bytes());
            out.extend_from_slice(bytes);
        }
        out
    }

    /// What [`Folder::pack`] made. None if it is something else.
    pub fn unpack(mut bytes: &[u8]) -> Option<Self> {
        bytes = bytes.strip_prefix(MAGIC)?;
        let mut files = Vec::new();
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n')?;
            let (line, rest) = bytes.split_at_checked(end)?;
            let line = std::str::from_utf8(line).ok()?;
            let (length, path) = line.split_once(' ')?;
            let rest = rest.get(1..)?;
            let (content, rest) = rest.split_at_checked(length.parse().ok()?)?;
            if files.len() >= MOST_FILES {
                return None;
            }
            files.push((path.to_owned(), content.to_vec()));
            bytes = rest;
        }
        Some(Self { files })
    }

    /// Reads the rules: what bodies need first, then the set-up, plugins that come before, the rules, plugins that come after.
    ///
    /// # Errors
    /// All problems of all files, each with file and line.
    pub fn rules(&self) -> Result<RuleSet, Problems> {
        self.rules_with("")
    }

    /// As [`Folder::rules`], with rules that are asked before those of the folder, behind its set-up: patches of a day. With some, the
    /// folder may be empty.
    ///
    /// # Errors
    /// As there.
    pub fn rules_with(&self, patches: &str) -> Result<RuleSet, Problems> {
        let mut problems = Problems::default();
        let mut texts = vec![("seawall", PRELUDE)];
        let mut patches = Some(("patches", patches)).filter(|(_, text)| !text.is_empty());
        let has_patches = patches.is_some();
        for (path, bytes) in self.in_order() {
            let is_setup = matches!(path, SETUP | SETUP_EXAMPLE) || path.ends_with("-config.conf");
            if !is_setup {
                texts.extend(patches.take());
            }
            match std::str::from_utf8(bytes) {
                Ok(text) => texts.push((path, text)),
                Err(error) => {
                    let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
                    let wrong = Wrong::new("is not UTF-8", "save it as UTF-8");
                    let mut problem = Problem::new(path, wrong);
                    let lines = before.iter().filter(|byte| **byte == b'\n').count();
                    problem.line = Some(lines as u32 + 1);
                    problems.list.push(problem);
                }
            }
        }
        texts.extend(patches);
        if self.is_empty() && !has_patches {
            let help =
                "it holds crs-setup.conf and rules/*.conf, as a release of the Core Rule Set does";
            let wrong = Wrong::new("has no rules", help);
            problems.list.push(Problem::new("rule set", wrong));
        }
        let files: Vec<File<'_>> = texts
            .iter()
            .map(|(name, text)| File { name, text })
            .collect();
        let data = |name: &str| {
            let name = name.rsplit('/').next().unwrap_or(name);
            let is_it = |path: &str| path.rsplit('/').next() == Some(name);
            let mut files = self.files();
            let found = files.find(|(path, _)| path.ends_with(".data") && is_it(path));
            found.map(|(_, bytes)| bytes.to_vec())
        };
        match RuleSet::parse(&files, &data) {
            Ok(set) if problems.list.is_empty() => Ok(set),
            Ok(_) => Err(problems),
            Err(more) => {
                problems.list.extend(more.list);
                problems.more += more.more;
                Err(problems)
            }
        }
    }

    fn in_order(&self) -> Vec<(&str, &[u8])> {
        let has_setup = self.files.iter().any(|(path, _)| path == SETUP);
        let place = |path: &str| match path.rsplit_once('/') {
            None if path == SETUP => Some(0),
            None if path == SETUP_EXAMPLE => (!has_setup).then_some(0),
            Some(("plugins", name)) if name.ends_with("-config.conf") => Some(1),
            Some(("plugins", name)) if name.ends_with("-before.conf") => Some(2),
            Some(("plugins", name)) if name.ends_with("-after.conf") => Some(4),
            _ => path.ends_with(".conf").then_some(3),
        };
        let mut all: Vec<_> = self
            .files()
            .filter_map(|(path, bytes)| Some((place(path)?, path, bytes)))
            .collect();
        all.sort_by_key(|(place, path, _)| (*place, *path));
        all.into_iter()
            .map(|(_, path, bytes)| (path, bytes))
            .collect()
    }
}

const SETUP: &str = "crs-setup.conf";
const SETUP_EXAMPLE: &str = "crs-setup.conf.example";

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> Folder {
        Folder::of(
            files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())),
        )
    }

    #[test]
    fn a_folder_is_read_in_the_order_of_the_core_rule_set() {
        let folder = folder(&[
            ("rules/REQUEST-901.conf", "SecMarker a"),
            ("rules/REQUEST-949.conf", "SecMarker b"),
            ("rules/EXCLUSION.conf.example", "not read"),
            ("plugins/x-after.conf", ""),
            ("plugins/x-before.conf", ""),
            ("plugins/x-config.conf", ""),
            ("crs-setup.conf.example", ""),
            ("crs-setup.conf", ""),
            ("tests/REQUEST-1.conf", ""),
            ("README.md", ""),
        ]);
        let names: Vec<_> = folder
            .in_order()
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        assert_eq!(
            names,
            [
                "crs-setup.conf",
                "plugins/x-config.conf",
                "plugins/x-before.conf",
                "rules/REQUEST-901.conf",
                "rules/REQUEST-949.conf",
                "plugins/x-after.conf",
            ]
        );
        assert_eq!(Folder::unpack(&folder.pack()), Some(folder));
    }

    #[test]
    fn what_is_cut_off_is_no_rule_set() {
        let packed = folder(&[("a.conf", "SecMarker a\n"), ("b.data", "x")]).pack();
        for end in 0..packed.len() {
            let cut = Folder::unpack(&packed[..end]);
            assert!(cut.is_none_or(|cut| cut.files.len() < 2), "{end}");
        }
    }

    #[test]
    fn patches_are_asked_first_and_stand_alone_too() {
        let folder = folder(&[
            ("crs-setup.conf", "SecDefaultAction \"phase:1,pass\""),
            ("rules/a.conf", "SecAction \"id:1,phase:1,deny,t:none\""),
        ]);
        let ids = |folder: &Folder, patches: &str| {
            let set = folder.rules_with(patches).unwrap();
            let program = set.compile(crate::Options::default()).unwrap();
            let all = program.rules.iter().map(|rule| rule.id);
            all.filter(|id| *id < 100).collect::<Vec<_>>()
        };
        let patch = "SecAction \"id:7,phase:1,deny,t:none\"";
        assert_eq!(ids(&folder, patch), [7, 1]);
        assert_eq!(ids(&folder, ""), [1]);
        assert_eq!(ids(&Folder::default(), patch), [7]);
        let problems = folder.rules_with("\nSecRule X").unwrap_err();
        assert!(problems.to_string().starts_with("patches"), "{problems}");
        assert!(folder.rules_with("SecAction \"id:1,phase:1\"").is_err());
    }

    #[test]
    fn all_problems_are_told_with_file_and_line() {
        // The line stands behind what is wrong.
        let folder = folder(&[
            ("a.conf", "SecMarker a\nSecRool x\n"),
            (
                "b.conf",
                "SecRule ARGS \"@pmFromFile none.data\" \"id:1,phase:2\"\n",
            ),
        ]);
        let problems = folder.rules().unwrap_err().to_string();
        assert!(problems.contains("a.conf: unknown directive"), "{problems}");
        assert!(
            problems.contains("b.conf: there is no data file"),
            "{problems}"
        );
        let none = Folder::default().rules().unwrap_err().to_string();
        assert!(none.contains("has no rules"), "{none}");
    }
}
