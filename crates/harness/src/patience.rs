//! How long anything here waits for an event before it is a failure: one figure for all, `SEAWALL_PATIENCE` in seconds.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The patience of this run: `SEAWALL_PATIENCE` in (fractions of) seconds, 10 s when unset or unreadable.
pub fn patience() -> Duration {
    std::env::var("SEAWALL_PATIENCE")
        .ok()
        .and_then(|text| text.parse::<f64>().ok())
        .filter(|seconds| seconds.is_finite() && *seconds > 0.0)
        .map_or(Duration::from_secs(10), Duration::from_secs_f64)
}

/// Runs `future`, and fails with `what` in words when it has not ended in time.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> Result<T> {
    match tokio::time::timeout(patience(), future).await {
        Ok(value) => Ok(value),
        Err(_) => bail!("waited {:?} in vain for {what}", patience()),
    }
}

/// Looks again and again until `look` finds something. For what can only be looked at (a file, a metric); where
/// something can be awaited, await it.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if start.elapsed() > patience() {
            bail!("waited {:?} in vain for {what}", patience());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
