//! Tests of the suite that our edge answers otherwise, each with the reason. The list may only shrink.

/// Test and reason.
pub const OTHERWISE: &[(&str, &str)] = &[];
