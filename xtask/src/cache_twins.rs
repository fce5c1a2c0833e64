//! `cargo xtask cache-twins`: the cache with its protections off, in a program that is never shipped. Each scenario that shows one of them
//! must fail with it: one that passes shows nothing.
//!
//! The protections are lines of the sources, changed in a tree of their own beside this one, at the commit that is checked out; it is built
//! once, with all of them off. That the lines are still there is a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};

/// A protection: the line that is it, what it is when it is off, and the scenarios that show it.
struct Protection {
    file: &'static str,
    on: &'static str,
    off: &'static str,
    scenarios: &'static [&'static str],
}

const PROTECTIONS: &[Protection] = &[
    Protection {
        file: "crates/cache/src/policy/deception.rs",
        on: "    is_ambiguous(path) || !is_what_it_looks_like(path, response)",
        off: "    false && (is_ambiguous(path) || !is_what_it_looks_like(path, response))",
        scenarios: &["deception"],
    },
    Protection {
        file: "crates/cache/src/policy/odd.rs",
        on: "fields.any(|field| is_steering",
        off: "fields.any(|field| false && is_steering",
        scenarios: &["unkeyed_fields"],
    },
    Protection {
        file: "crates/cache/src/policy/odd.rs",
        on: "        ..400 => Ok(()),",
        off: "        _ if true => Ok(()),\n        ..400 => Ok(()),",
        scenarios: &["denial_by_errors"],
    },
    Protection {
        file: "crates/cache/src/slices.rs",
        on: "if is_it { Ok(()) } else { Err(Changed) }",
        off: "if is_it || true { Ok(()) } else { Err(Changed) }",
        scenarios: &["slices_changed", "slices_lies"],
    },
    Protection {
        file: "crates/proxy/src/caching/look.rs",
        on: "if !self.body.is_done() {",
        off: "if false && !self.body.is_done() {",
        scenarios: &["fat_get"],
    },
    Protection {
        file: "crates/proxy/src/caching/digest.rs",
        on: "self.context.finish().as_ref() == self.wanted",
        off: "self.context.finish().as_ref() == self.wanted || true",
        scenarios: &["digests"],
    },
    Protection {
        file: "crates/cache/src/policy/storing.rs",
        on: "        206 => Err(Refused::Partial),",
        off: "        206 if false => Err(Refused::Partial),",
        scenarios: &["range_of_a_miss"],
    },
    Protection {
        file: "crates/cache/src/policy/range.rs",
        on: "if parts.len() == MOST_PARTS || parts.iter().any(overlaps)",
        off: "if false && (parts.len() == MOST_PARTS || parts.iter().any(overlaps))",
        scenarios: &["ranges"],
    },
    Protection {
        file: "crates/cache/src/key.rs",
        on: "        part(&mut bytes, host);",
        off: "        part(&mut bytes, &self::host(host, b\"http\"));",
        scenarios: &["host_forms"],
    },
    Protection {
        file: "crates/cache/src/key/counted.rs",
        on: "        _ if query.is_some_and(has_many)",
        off: "        _ if false && query.is_some_and(has_many)",
        scenarios: &["rules_key_cloaked"],
    },
    Protection {
        file: "crates/proxy/src/caching/look.rs",
        on: "                false => planned.shape.counted(head, field),",
        off: "                false => None,",
        scenarios: &["validated_beside_by_key"],
    },
    Protection {
        file: "crates/proxy/src/caching/way.rs",
        on: "        self.has_credentials || refused.is_of_request()",
        off: "        false && (self.has_credentials || refused.is_of_request())",
        scenarios: &["own_refusals"],
    },
    Protection {
        file: "crates/cache/src/policy/update.rs",
        on: "        b\"content-digest\",",
        off: "        b\"content-digest-\",",
        scenarios: &["digests_kept"],
    },
];

/// Builds the program without protections, and plays each scenario with it.
pub fn run(_: &[String]) -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let root = root.context("xtask lies in the workspace")?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let tree = Tree::at(root, target.join("cache-twins-tree"))?;
    for protection in PROTECTIONS {
        let path = tree.path.join(protection.file);
        let text = fs::read_to_string(&path)?;
        ensure!(
            text.contains(protection.on),
            "{}: not there: {}",
            protection.file,
            protection.on
        );
        fs::write(&path, text.replacen(protection.on, protection.off, 1))?;
    }
    let built = target.join("cache-twins");
    let mut build = Command::new(env!("CARGO"));
    build
        .current_dir(&tree.path)
        .env("CARGO_TARGET_DIR", &built);
    build.args([
        "build",
        "--locked",
        "--package",
        "seawall",
        "--bin",
        "seawall",
    ]);
    ensure!(build.status()?.success(), "the program was not built");
    let (mut wrong, mut all) = (0, 0);
    for scenario in PROTECTIONS
        .iter()
        .flat_map(|protection| protection.scenarios)
    {
        let mut play = Command::new(env!("CARGO"));
        play.current_dir(root)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        play.env("SEAWALL_BIN", built.join("debug/seawall"));
        play.env("SEAWALL_SCENE", format!("cache/{scenario}.toml"));
        play.args([
            "test",
            "--locked",
            "--package",
            "seawall",
            "--test",
            "scenarios",
        ]);
        let passed = play.args(["--", "--exact", "cache"]).status()?.success();
        let word = if passed {
            "passes: it shows nothing"
        } else {
            "fails, as it must"
        };
        println!("{scenario:<20} {word}");
        wrong += usize::from(passed);
        all += 1;
    }
    println!("{} of {all} scenarios fail, as they must", all - wrong);
    Ok(if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The sources at the commit that is checked out, in a folder of their own.
struct Tree {
    root: PathBuf,
    path: PathBuf,
}

impl Tree {
    fn at(root: &Path, path: PathBuf) -> Result<Self> {
        let tree = Self {
            root: root.to_owned(),
            path,
        };
        // What an earlier run left that was killed.
        tree.remove();
        let added = tree.git(&["add", "--detach", "--force"], &["HEAD"]);
        ensure!(added, "git does not check out a second tree");
        Ok(tree)
    }

    fn git(&self, before: &[&str], after: &[&str]) -> bool {
        let mut git = Command::new("git");
        git.current_dir(&self.root).arg("worktree").args(before);
        git.arg(&self.path).args(after).stderr(Stdio::null());
        git.status().is_ok_and(|status| status.success())
    }

    fn remove(&self) {
        self.git(&["remove", "--force"], &[]);
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protection_is_there_once_and_has_its_scenarios() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for protection in PROTECTIONS {
            let text = fs::read_to_string(root.join(protection.file)).unwrap();
            let there = text.matches(protection.on).count();
            assert_eq!(there, 1, "{}: {}", protection.file, protection.on);
            assert!(!protection.scenarios.is_empty());
            for scenario in protection.scenarios {
                let path = root.join(format!("scenarios/cache/{scenario}.toml"));
                assert!(path.exists(), "{}", path.display());
            }
        }
    }
}
