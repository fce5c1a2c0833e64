//! What the supervisor writes down of deaths: the judge's measures, for whoever supervises next, and a report of each death, of
//! which the last few are kept.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::judge::{Judge, Kind, Version};
use crate::data::Data;
use crate::message::Quarantined;
use crate::say::complain;

/// Reports that are kept.
const REPORTS: usize = 20;
const QUARANTINE: &str = "quarantine.json";

/// The measures, as they are kept.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    zones: Vec<Quarantined>,
    platform: Option<u64>,
    safe_mode: bool,
}

/// Keeps the measures.
pub fn keep(data: &Data, judge: &Judge) {
    let kept = Kept {
        zones: judge.quarantined.clone(),
        platform: judge.platform,
        safe_mode: judge.safe_mode,
    };
    if let Ok(text) = serde_json::to_vec_pretty(&kept) {
        data.keep(QUARANTINE, &text, 0o600);
    }
}

/// The measures of an earlier supervisor, whose worker still runs.
pub fn restore(data: &Data) -> Judge {
    let text = std::fs::read(data.path(QUARANTINE)).unwrap_or_default();
    let kept: Kept = serde_json::from_slice(&text).unwrap_or_default();
    Judge::resumed(kept.zones, kept.platform, kept.safe_mode)
}

/// A start by hand is a new beginning.
pub fn forget(data: &Data) {
    let _ = std::fs::remove_file(data.path(QUARANTINE));
}

/// How a worker died.
#[derive(Debug)]
pub struct Death {
    /// Its process.
    pub pid: i32,
    /// How many workers there were before it.
    pub generation: u64,
    /// Of what kind.
    pub kind: Kind,
    /// In words.
    pub how: String,
    /// What it ran, if that is known.
    pub culprit: Option<Version>,
    /// What each of its threads ran.
    pub threads: Value,
}

/// Writes a report, and takes the oldest away.
pub fn report(data: &Data, death: &Death) {
    let folder = data.path("crashes");
    if let Err(error) = std::fs::create_dir_all(&folder) {
        complain(format_args!("{}: {error}", folder.display()));
        return;
    }
    let culprit = death.culprit.map(|culprit| {
        json!({ "zone": zone_name(data, culprit.zone), "version": format!("{:012x}", culprit.version) })
    });
    let report = json!({
        "at": unix_seconds(),
        "pid": death.pid,
        "generation": death.generation,
        "kind": death.kind.word(),
        "how": death.how,
        "culprit": culprit,
        "threads": death.threads,
    });
    let name = format!("crashes/{:012}-{}.json", unix_seconds(), death.pid);
    data.keep(&name, format!("{report:#}\n").as_bytes(), 0o600);
    let mut all: Vec<PathBuf> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    all.sort();
    let old = all.len().saturating_sub(REPORTS);
    for path in all.iter().take(old) {
        let _ = std::fs::remove_file(path);
    }
}

/// A zone as people call it.
pub fn zone_name(data: &Data, id: u64) -> String {
    let ids = data.zone_ids();
    let name = ids.into_iter().find(|(_, known)| known.0 == id);
    name.map_or_else(|| format!("{id:016x}"), |(name, _)| name)
}

/// The time of day.
pub fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_come_back_and_reports_have_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::at(folder.path()).unwrap();
        assert!(restore(&data).quarantined.is_empty());
        let quarantined = Quarantined {
            zone: 1,
            version: 2,
            left_out: true,
            since: 4,
        };
        let judge = Judge::resumed(vec![quarantined], Some(3), false);
        keep(&data, &judge);
        let back = restore(&data);
        assert_eq!((back.platform, back.safe_mode), (Some(3), false));
        assert_eq!(back.quarantined, judge.quarantined);
        forget(&data);
        assert_eq!(restore(&data).platform, None);
        for pid in 0..30 {
            let death = Death {
                pid,
                generation: 0,
                kind: Kind::Crash,
                how: "SIGSEGV".into(),
                culprit: Some(Version {
                    zone: 1,
                    version: 2,
                }),
                threads: Value::Null,
            };
            report(&data, &death);
        }
        let kept = std::fs::read_dir(data.path("crashes")).unwrap().count();
        assert_eq!(kept, REPORTS);
    }
}
