//! Troubles that begin and end while we serve, told once each. Nothing here ends the process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use seawall_proxy::expiry::{self, Alarm};
use seawall_proxy::thread::Shared;
use seawall_telemetry::log::Status;

use crate::say::complain;

/// How long nothing more is said of descriptors, in milliseconds.
const QUIET: u64 = 60_000;
/// An alarm that lasts is told again after so long.
const AGAIN: Duration = Duration::from_secs(86_400);
/// Up to so many zones certificates are looked at each time; with more, each [`RARELY`]th time.
const FEW_ZONES: usize = 10_000;
const RARELY: u64 = 60;

/// What was told so far.
pub struct Troubles {
    log: Arc<Status>,
    /// Failures of the log that were told.
    failures: u64,
    /// The last of them is not over.
    failing: bool,
    /// Lines lost before it.
    dropped: u64,
    /// When it was last said that descriptors ran out.
    ran_out: u64,
    looks: u64,
    certificates: Certificates,
}

impl Troubles {
    /// Nothing was told yet.
    pub fn new(log: Arc<Status>) -> Self {
        Self {
            log,
            failures: 0,
            failing: false,
            dropped: 0,
            ran_out: 0,
            looks: 0,
            certificates: Certificates::default(),
        }
    }

    /// Looks, and tells what is new. Once a second or so. `serves`: no other worker does.
    pub fn look(&mut self, shared: &Shared, serves: bool) {
        self.look_at_log();
        if serves {
            self.look_at_certificates(shared);
        }
        let ran_out = shared.ran_out.load(Ordering::Relaxed);
        if ran_out > 0 && (self.ran_out == 0 || ran_out - self.ran_out > QUIET) {
            self.ran_out = ran_out;
            complain(
                "no descriptor left for a connection: some are refused (raise LimitNOFILE (systemd) or ulimit -n)",
            );
        }
    }

    fn look_at_certificates(&mut self, shared: &Shared) {
        let snapshot = shared.slot.load();
        let few = snapshot.zones.len() <= FEW_ZONES;
        if few || self.looks.is_multiple_of(RARELY) {
            let alarms = expiry::alarms(shared, &snapshot);
            for line in self.certificates.news(alarms, Instant::now()) {
                complain(line);
            }
        }
        self.looks += 1;
    }

    fn look_at_log(&mut self) {
        let (failures, problem) = (self.log.failures(), self.log.problem());
        if failures > self.failures && !self.failing {
            self.failing = true;
            let what = problem
                .as_deref()
                .unwrap_or("access log: could not be written");
            complain(format_args!(
                "{what} (requests are served on; lines are lost if this lasts)"
            ));
        }
        self.failures = failures;
        if self.failing && problem.is_none() {
            self.failing = false;
            let dropped = self.log.dropped_lines();
            complain(format_args!(
                "access log: written again, {} line(s) were lost",
                dropped - self.dropped
            ));
            self.dropped = dropped;
        }
    }
}

/// What is wrong with certificates, and when it was told last.
#[derive(Default)]
struct Certificates(BTreeMap<String, (String, Instant)>);

impl Certificates {
    /// What is to be told of these alarms.
    fn news(&mut self, alarms: Vec<Alarm>, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        let mut before = std::mem::take(&mut self.0);
        for Alarm { key, text } in alarms {
            let mut told = now;
            match before.remove(&key) {
                Some((_, at)) if now.duration_since(at) < AGAIN => told = at,
                _ => lines.push(format!("certificates: {text}")),
            }
            self.0.insert(key, (text, told));
        }
        let over = before.into_values().map(|(text, _)| {
            let what = text.split(": ").next().unwrap_or_default();
            format!("certificates: no longer: {what}")
        });
        lines.extend(over);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_told_once_a_day_whatever_hour_it_names() {
        let mut certificates = Certificates::default();
        let alarm = |hours: u64| {
            vec![Alarm {
                key: "file a.test overdue".into(),
                text: format!("the certificate of a.test expires in {hours} h: renew it"),
            }]
        };
        let began = Instant::now();
        let hour = |hours: u32| began + Duration::from_secs(3600) * hours;
        let told = |lines: Vec<String>| lines.join("\n");
        let said = told(certificates.news(alarm(60), hour(0)));
        assert_eq!(
            said,
            "certificates: the certificate of a.test expires in 60 h: renew it"
        );
        for hours in 1..24 {
            let said = certificates.news(alarm(60 - u64::from(hours)), hour(hours));
            assert_eq!(said, Vec::<String>::new());
        }
        assert!(told(certificates.news(alarm(36), hour(24))).contains("in 36 h"));
        assert_eq!(
            told(certificates.news(Vec::new(), hour(25))),
            "certificates: no longer: the certificate of a.test expires in 36 h"
        );
        assert!(certificates.news(Vec::new(), hour(26)).is_empty());
    }
}
