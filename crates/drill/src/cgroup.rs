//! What the groups of processes that this one is in (cgroups(7)) leave it: memory and tasks, by either version of them.

use std::fs;
use std::path::{Path, PathBuf};

/// Where they are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// What is left, where there is a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Memory, in MiB.
    pub memory_mib: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
}

/// What is left to this process.
pub fn left() -> Left {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    of(&groups, Path::new(ROOT))
}

/// The least that is left in any of these groups, or of those that they are in.
fn of(groups: &str, root: &Path) -> Left {
    let mut left = Left::default();
    for line in groups.lines() {
        // `0::/path`, or `4:memory:/path`.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(kinds), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let tops: Vec<PathBuf> = match kinds {
            "" => vec![root.to_owned(), root.join("unified")],
            kinds => kinds.split(',').map(|kind| root.join(kind)).collect(),
        };
        for top in tops {
            let group = top.join(path.trim_start_matches('/'));
            let within = group
                .ancestors()
                .take_while(|group| group.starts_with(&top));
            for group in within {
                left.memory_mib = least(left.memory_mib, memory_mib(group));
                left.tasks = least(left.tasks, tasks(group));
            }
        }
    }
    left
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// A number in a file; none where there is no file, or no bound (`max`).
fn number(group: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(group.join(name)).ok()?;
    text.trim().parse().ok()
}

fn memory_mib(group: &Path) -> Option<u64> {
    let (bound, used) = match number(group, "memory.max") {
        Some(bound) => (bound, number(group, "memory.current")?),
        None => (
            number(group, "memory.limit_in_bytes")?,
            number(group, "memory.usage_in_bytes")?,
        ),
    };
    // What only keeps files is given up for what is needed.
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let files = |name: &str| -> Option<u64> {
        let line = stat.lines().find_map(|line| line.strip_prefix(name));
        line?.trim().parse().ok()
    };
    let kept = files("total_inactive_file ").or_else(|| files("inactive_file "));
    let used = used.saturating_sub(kept.unwrap_or(0));
    Some(bound.saturating_sub(used) >> 20)
}

fn tasks(group: &Path) -> Option<u64> {
    let bound = number(group, "pids.max")?;
    Some(bound.saturating_sub(number(group, "pids.current")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_that_any_group_leaves_counts_in_both_versions() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path();
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("a/memory.max", "1073741824\n");
        put("a/memory.current", "629145600\n");
        put("a/memory.stat", "anon 5\ninactive_file 104857600\n");
        put("a/b/memory.max", "max\n");
        put("a/b/pids.max", "60\n");
        put("a/b/pids.current", "25\n");
        put("memory/c/memory.limit_in_bytes", "262144000\n");
        put("memory/c/memory.usage_in_bytes", "104857600\n");
        let two = of("0::/a/b\n", root);
        let one = of("4:memory:/c\n8:pids:/\n", root);
        assert_eq!((two.memory_mib, two.tasks), (Some(524), Some(35)));
        assert_eq!((one.memory_mib, one.tasks), (Some(150), None));
        assert_eq!(of("nothing", root), Left::default());
    }
}
