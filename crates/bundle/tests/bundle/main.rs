//! The room as its users see it: trees over a store, manifests, reports and secrets, good and hostile.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail so"
)]

mod hostile;
mod manifest;
mod report;
mod sealing;
mod sizes;
mod support;
mod tree;
