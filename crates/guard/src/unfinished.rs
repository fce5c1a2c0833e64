//! What a stage had found when its fuel ended: told beside `spent`, because who only watches wants to know of what.
//!
//! A seam's error says no more than that the fuel ended. What there is to say beyond that is left on the thread, which goes from the stage
//! straight back to the runner.

use std::cell::Cell;
use std::sync::Arc;

thread_local! {
    static FOUND: Cell<Option<Arc<str>>> = const { Cell::new(None) };
}

/// A stage leaves what it had found, right before it says that its fuel has ended.
pub fn leave(about: Arc<str>) {
    FOUND.set(Some(about));
}

/// What was left, once.
pub fn take() -> Option<Arc<str>> {
    FOUND.take()
}
