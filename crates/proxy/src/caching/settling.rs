//! What a request has made invalid is so on disk before it is answered: else a process that dies just then leaves a next one that
//! serves what there was before. It is not waited for long, and only where anything of it may be on disk.

use std::time::Duration;

use seawall_cache::cache::Cache;
use seawall_net::alarm::Alarm;

use super::way::Way;

/// How long the disk is waited for.
const PATIENCE: Duration = Duration::from_millis(250);

/// Waits until what has this number is gone on disk.
pub(super) async fn settled(cache: &Cache, number: u64, alarm: &mut Alarm) {
    let Some(settling) = cache.settling(number) else {
        return;
    };
    let settled = alarm.wait(PATIENCE, |cx| settling.poll(cx)).await;
    if settled.is_err() {
        settling.gave_up();
    }
}

impl Way {
    /// Whether what the answer has made invalid may be on disk.
    pub fn is_to_settle(&self) -> bool {
        self.outdated_on_disk.is_some()
    }

    /// Waits until it is gone there.
    pub async fn settle(&mut self, alarm: &mut Alarm) {
        if let Some(number) = self.outdated_on_disk.take() {
            settled(&self.cache, number, alarm).await;
        }
    }
}
