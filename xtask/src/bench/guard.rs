//! Which of the counted instructions are the guard's.
//!
//! In the program that people run, all of it is inlined into one another: no function is "the guard". The debug lines know better:
//! an instruction is the guard's when one of the functions that were inlined there, or the function itself, stands in the guard's
//! files, or is one of the exchange's few that exist for it. What such an instruction calls is the guard's as well; a function
//! that others call too is split as its callers' costs are (as gprof does). Not counted: copying what a stage decided into the
//! Record.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A part of the guard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Runner and stages.
    Stages,
    /// Zones' shares of what all have.
    Shares,
    /// Whether a request that goes on is still allowed.
    Standing,
    /// Which paths are the edge's own.
    Endpoints,
    /// Where the exchange asks them.
    Asking,
    /// What any of them calls.
    Called,
}

const PARTS: [Part; 6] = [
    Part::Stages,
    Part::Shares,
    Part::Standing,
    Part::Endpoints,
    Part::Asking,
    Part::Called,
];

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Stages => "stages",
            Self::Shares => "shares",
            Self::Standing => "standing",
            Self::Endpoints => "endpoints",
            Self::Asking => "asking",
            Self::Called => "called by them",
        })
    }
}

impl Part {
    /// Of a function and the file that it stands in.
    fn of(function: &str, file: &str) -> Option<Self> {
        let inside = |folder: &str| file.contains(folder);
        if inside("crates/guard/src/") || inside("crates/rules/src/") {
            return Some(Self::Stages);
        }
        let (_, own) = file.split_once("crates/proxy/src/")?;
        if own.starts_with("shares") {
            return Some(Self::Shares);
        }
        if own.starts_with("standing") {
            return Some(Self::Standing);
        }
        if own.starts_with("endpoint") {
            return Some(Self::Endpoints);
        }
        let asks = ["subject", "share", "inspect"];
        let name = function.rsplit("::").find(|part| !part.starts_with('{'));
        (own.starts_with("exchange") && name.is_some_and(|name| asks.contains(&name)))
            .then_some(Self::Asking)
    }
}

/// Instructions of each part, over all profiles.
pub fn count(profiles: &[PathBuf], binary: &Path, scratch: &Path) -> Result<Vec<(Part, f64)>> {
    let mut sums = [0.0; PARTS.len()];
    for path in profiles {
        let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
        let profile = Profile::parse(&text, &binary.display().to_string())?;
        let parts = parts_of(&profile, binary, scratch)?;
        for (sum, more) in sums.iter_mut().zip(profile.split(&parts)) {
            *sum += more;
        }
    }
    if sums.iter().sum::<f64>() < 1.0 {
        bail!("no instruction is the guard's: has the binary its debug lines?");
    }
    Ok(PARTS.into_iter().zip(sums).collect())
}

/// What callgrind wrote of one process.
#[derive(Default, Debug)]
struct Profile {
    /// By function: address (0 outside of our binary) and own cost of each instruction.
    own: Vec<Vec<(u64, u64)>>,
    calls: Vec<Call>,
}

#[derive(Debug)]
struct Call {
    from: usize,
    /// Of the calling instruction; 0 outside of our binary.
    at: u64,
    to: usize,
    /// With all that is called there.
    cost: u64,
}

impl Profile {
    /// From a profile with full names, full positions and a line for each instruction.
    fn parse(text: &str, binary: &str) -> Result<Self> {
        let mut profile = Self::default();
        let mut numbers: HashMap<(String, String), usize> = HashMap::new();
        let mut number = |object: &str, name: &str, own: &mut Vec<_>| {
            let next = numbers.len();
            let key = (object.to_owned(), name.to_owned());
            let number = *numbers.entry(key).or_insert(next);
            if number == own.len() {
                own.push(Vec::new());
            }
            number
        };
        let (mut object, mut function) = (String::new(), None);
        let (mut called_object, mut called) = (None, None);
        let mut is_call = false;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("ob=") {
                object = name.to_owned();
            } else if let Some(name) = line.strip_prefix("fn=") {
                function = Some(number(&object, name, &mut profile.own));
            } else if let Some(name) = line.strip_prefix("cob=") {
                called_object = Some(name.to_owned());
            } else if let Some(name) = line.strip_prefix("cfn=") {
                let object = called_object.take().unwrap_or_else(|| object.clone());
                called = Some(number(&object, name, &mut profile.own));
            } else if line.starts_with("calls=") {
                is_call = true;
            } else if line.starts_with("0x") {
                let from = function.context("a cost before any function")?;
                let (address, cost) = position(line)?;
                let address = if object == binary { address } else { 0 };
                if std::mem::take(&mut is_call) {
                    profile.calls.push(Call {
                        from,
                        at: address,
                        to: called.take().context("a call of nothing")?,
                        cost,
                    });
                } else {
                    profile.own[from].push((address, cost));
                }
            }
        }
        Ok(profile)
    }

    /// Costs of each part, in the order of [`PARTS`].
    fn split(&self, parts: &HashMap<u64, Part>) -> [f64; PARTS.len()] {
        // The share of each function's cost that comes from calls by the guard: as its callers', again and again until it rests.
        const ROUNDS: usize = 50;
        let mut shares = vec![0.0; self.own.len()];
        for _ in 0..ROUNDS {
            let mut by_guard = vec![0.0; shares.len()];
            let mut by_all = vec![0.0; shares.len()];
            for call in self.calls.iter().filter(|call| call.from != call.to) {
                let cost = call.cost as f64;
                let share = match parts.contains_key(&call.at) {
                    true => 1.0,
                    false => shares[call.from],
                };
                by_guard[call.to] += cost * share;
                by_all[call.to] += cost;
            }
            let all = by_guard.into_iter().zip(by_all);
            shares = all
                .map(|(guard, all)| if all > 0.0 { guard / all } else { 0.0 })
                .collect();
        }
        let mut sums = [0.0; PARTS.len()];
        for (own, share) in self.own.iter().zip(shares) {
            for (address, cost) in own {
                let (part, share) = match parts.get(address) {
                    Some(part) => (*part, 1.0),
                    None => (Part::Called, share),
                };
                sums[part as usize] += *cost as f64 * share;
            }
        }
        sums
    }
}

/// Address and cost, from `0x1a2b 33 7`.
fn position(line: &str) -> Result<(u64, u64)> {
    let mut words = line.split_whitespace();
    let address = words.next().and_then(|word| word.strip_prefix("0x"));
    let cost = words.nth(1).and_then(|word| word.parse().ok());
    let address = address.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    address
        .zip(cost)
        .with_context(|| format!("no cost: {line:?}"))
}

/// The addresses that belong to the guard, by the functions inlined there.
fn parts_of(profile: &Profile, binary: &Path, scratch: &Path) -> Result<HashMap<u64, Part>> {
    let owns = profile.own.iter().flatten().map(|(address, _)| *address);
    let mut addresses: Vec<u64> = owns
        .chain(profile.calls.iter().map(|call| call.at))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let list: String = addresses
        .iter()
        .filter(|address| **address > 0)
        .map(|address| format!("{address:#x}\n"))
        .collect();
    let input = scratch.join("addresses");
    std::fs::write(&input, list)?;
    let mut command = Command::new("addr2line");
    command.arg("-e").arg(binary).args(["-a", "-i", "-f", "-C"]);
    let output = command
        .stdin(std::fs::File::open(&input)?)
        .stderr(Stdio::inherit())
        .output()
        .context("start addr2line (binutils)")?;
    if !output.status.success() {
        bail!("addr2line ended with {}", output.status);
    }
    Ok(frames(&String::from_utf8_lossy(&output.stdout)))
}

/// An address in a line, then for each function inlined there, the innermost first, its name and its file and line.
fn frames(printed: &str) -> HashMap<u64, Part> {
    let mut parts = HashMap::new();
    let mut address = 0;
    let mut lines = printed.lines();
    while let Some(line) = lines.next() {
        let digits = line.strip_prefix("0x");
        if let Some(at) = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
            address = at;
            continue;
        }
        let file = lines.next().unwrap_or_default();
        if let Some(part) = Part::of(line, file) {
            // The outermost one says in whose name it is done.
            parts.insert(address, part);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "\
events: Ir
ob=/bin/edge
fl=a.rs
fn=serve
0x10 1 100
0x12 2 7
cfn=judge
calls=3 0x20 1
0x12 2 40
cfn=copy
calls=1 0x30 1
0x10 1 10
fn=judge
0x20 1 30
cob=/lib/libc.so
cfn=memcpy
calls=1 0x9 1
0x20 1 10
fn=copy
0x30 5 4
cob=/lib/libc.so
cfn=memcpy
calls=1 0x9 1
0x30 5 30
ob=/lib/libc.so
fn=memcpy
0x20 1 40
";

    #[test]
    fn what_the_guard_calls_is_the_guards_and_shared_functions_are_split() {
        let profile = Profile::parse(PROFILE, "/bin/edge").expect("parses");
        let parts = frames(
            "0x10\nserve\n/w/crates/proxy/src/exchange.rs:9\n\
             0x12\nfind\n/w/crates/proxy/src/endpoint.rs:1\nserve\n/w/crates/proxy/src/exchange.rs:9\n\
             0x20\ncore::option::map\n/rustc/option.rs:1\njudge\n/w/crates/guard/src/runner.rs:1\n\
             0x30\ncopy\n/w/crates/net/src/x.rs:1\n",
        );
        assert_eq!(parts.len(), 2);
        let sums = profile.split(&parts);
        // The instruction that asks, the stage, and the quarter of memcpy that the stage called.
        assert_eq!(sums, [30.0, 0.0, 0.0, 7.0, 0.0, 10.0]);
    }

    #[test]
    fn parts_by_function_and_file() {
        let part = |function, file| Part::of(function, file);
        assert_eq!(
            part(
                "seawall_proxy::exchange::Exchange::share",
                "crates/proxy/src/exchange.rs:1"
            ),
            Some(Part::Asking)
        );
        assert_eq!(part("run", "crates/proxy/src/exchange.rs:1"), None);
        assert_eq!(
            part("x", "crates/proxy/src/shares.rs:1"),
            Some(Part::Shares)
        );
        assert_eq!(part("x", "/rustc/library/core/src/option.rs:1"), None);
    }
}
