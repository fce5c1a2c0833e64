//! Where a panic of a stage ends. Not here: what it means, which the runner knows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

/// What is asked answers, or panics. The seam that is asked is only read, and what it was given is thrown away when it panics.
///
/// # Errors
/// The panic.
pub(crate) fn caught<T>(ask: impl FnOnce() -> T) -> thread::Result<T> {
    #[cfg(feature = "unsafe-drills")]
    if seawall_model::safeguard::is_off(seawall_model::safeguard::Safeguard::Catch) {
        return Ok(ask());
    }
    catch_unwind(AssertUnwindSafe(ask))
}
