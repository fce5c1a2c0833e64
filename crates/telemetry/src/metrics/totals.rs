//! All counters as names with numbers, for the process that goes on from them: a counter that goes back looks like a restart.
//!
//! A total is named by its metric and its labels, not by its place, so that another build finds what it still knows. Gauges say
//! what is now and are not among them. Not here: how totals travel.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::CELLS as HISTOGRAM_CELLS;
use super::shard::{Cells, ZoneCounts};
use super::table::{Kept, Kind, METRICS};
use super::{Registry, held};
use crate::Source;

/// Between the parts of a name.
const PART: char = '\u{1f}';
const ZONE: &str = "zone";
/// Lines of the access log, in the order of [`Registry::taken_lines`].
const LINES: [&str; 2] = ["log written", "log dropped"];

/// Finds a counter in a shard.
type Find<'f> = &'f dyn Fn(&Cells) -> Option<&AtomicU64>;

impl Registry {
    /// All counters that are not 0, each with its name, what was taken over included.
    pub fn totals(&self) -> Vec<(String, u64)> {
        let shards = held(&self.shards).clone();
        let mut all = Vec::new();
        self.each_counter(&mut |name, cell| {
            let cells = shards.iter().filter_map(|shard| cell(shard));
            let sum = cells.fold(0u64, |sum, cell| {
                sum.wrapping_add(cell.load(Ordering::Relaxed))
            });
            if sum > 0 {
                all.push((name(), sum));
            }
        });
        for (name, lines) in LINES.into_iter().zip(self.log_lines()) {
            all.push((name.into(), lines));
        }
        all
    }

    /// Goes on from the totals of another process; what is not known here is left out. The same totals may come once more,
    /// and larger: then what is more is added.
    pub fn take_totals(&self, totals: &[(String, u64)]) {
        let taken = self.taken.get_or_init(|| {
            let cells = Arc::new(Cells::new(&self.layout));
            held(&self.shards).push(cells.clone());
            cells
        });
        for (name, _) in totals {
            let mut parts = name.split(PART);
            if let (Some(ZONE), Some(label)) = (parts.next(), parts.next()) {
                // A zone of this name that comes later goes on with it.
                let slot = self.zone_slot(&format!("taken over {label}"), label);
                let _made = taken.zone(slot);
            }
        }
        let totals: HashMap<&str, u64> = totals
            .iter()
            .map(|(name, total)| (name.as_str(), *total))
            .collect();
        self.each_counter(&mut |name, cell| {
            if let Some(total) = totals.get(name().as_str())
                && let Some(cell) = cell(taken)
            {
                cell.fetch_max(*total, Ordering::Relaxed);
            }
        });
        for (name, taken) in LINES.iter().zip(&self.taken_lines) {
            let total = totals.get(name).copied().unwrap_or(0);
            taken.fetch_max(total, Ordering::Relaxed);
        }
    }

    /// Lines of the access log that were written, and that were dropped.
    pub(super) fn log_lines(&self) -> [u64; 2] {
        let ours = self
            .log
            .get()
            .map_or([0; 2], |log| [log.written_lines(), log.dropped_lines()]);
        let [written, dropped] = &self.taken_lines;
        let [ours_written, ours_dropped] = ours;
        [
            ours_written + written.load(Ordering::Relaxed),
            ours_dropped + dropped.load(Ordering::Relaxed),
        ]
    }

    /// Shows each counter: its name, and where it is in a shard.
    fn each_counter(&self, show: &mut dyn FnMut(&dyn Fn() -> String, Find<'_>)) {
        for def in METRICS {
            if def.kind == Kind::Gauge || matches!(def.kept, Kept::Apart | Kept::Process) {
                continue;
            }
            let Some(part) = self.layout.part(def.metric) else {
                continue;
            };
            let mut at = part.first;
            for row in &part.rows {
                for column in &part.columns {
                    let name = || format!("{}{PART}{row}{PART}{column}", def.name);
                    show(&name, &|cells| cells.cell(at));
                    at += 1;
                }
            }
        }
        for nth in 0..Source::ALL.len() {
            show(&|| format!("source{PART}{nth}"), &|cells| {
                cells.sources.get(nth)
            });
        }
        for nth in 0..HISTOGRAM_CELLS {
            let name = || format!("request duration{PART}{nth}");
            show(&name, &|cells| cells.request_duration.cell(nth));
            let name = || format!("origin duration{PART}{nth}");
            show(&name, &|cells| cells.origin_duration.cell(nth));
        }
        let labels = held(&self.zones).names().to_vec();
        for (slot, label) in labels.iter().enumerate() {
            for nth in 0..ZoneCounts::CELLS {
                let name = || format!("{ZONE}{PART}{label}{PART}{nth}");
                show(&name, &|cells| cells.zone_if_counted(slot)?.cell(nth));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BuildInfo, Registry, Slugs, ZoneSlot, render};
    use super::*;

    const BUILD: BuildInfo = BuildInfo {
        version: "0",
        commit: "",
    };

    fn registry() -> Arc<Registry> {
        Registry::new(&Slugs::default(), BUILD)
    }

    /// What a scraper sees, without what is of this process alone.
    fn seen(registry: &Registry) -> Vec<String> {
        let mut text = String::new();
        render::render_with(registry, render::Process::default(), &mut text);
        text.lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn the_next_process_goes_on_from_all_counters_and_from_no_gauge() {
        let old = registry();
        let (first, second) = (old.shard(), old.shard());
        first.connection_accepted();
        first.connection_refused("client_limit");
        second.connection_accepted();
        second.connection_closed();
        second.tls_handshake("ok", "TLSv1.3");
        let zone = old.zone_slot("id", "one.test");
        let record = crate::record::tests::typical();
        first.observe(&record, zone);
        second.observe(&record, ZoneSlot::NONE);

        let new = registry();
        let shard = new.shard();
        new.zone_slot("something", "another.test");
        new.take_totals(&old.totals());
        let open = "seawall_connections_open ";
        let without_open = |registry: &Registry| -> Vec<String> {
            let lines = seen(registry).into_iter();
            lines.filter(|line| !line.starts_with(open)).collect()
        };
        assert_eq!(without_open(&new), without_open(&old));
        assert_eq!(new.connections_open(), 0);
        // Once more, and later: what is more is added, and nothing twice.
        shard.connection_accepted();
        first.connection_accepted();
        new.take_totals(&old.totals());
        new.take_totals(&old.totals());
        let accepted = "seawall_connections_accepted_total 4";
        assert!(
            seen(&new).iter().any(|line| line == accepted),
            "{:?}",
            seen(&new)
        );
        // And on to a third.
        let third = registry();
        third.take_totals(&new.totals());
        assert!(seen(&third).iter().any(|line| line == accepted));
        third.take_totals(&[
            ("nonsense".into(), 7),
            ("zone".into(), 1),
            ("zone\u{1f}".into(), 1),
        ]);
    }
}
