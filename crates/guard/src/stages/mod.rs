//! The stages, one file each. Which of them run, and in which order, says the slice where the process is put together.

mod addresses;
pub mod body;
pub mod ddos;
pub mod hotlink;
pub mod hygiene;
mod json;
pub mod lists;
pub mod maintenance;
#[cfg(test)]
pub(crate) mod places;
pub mod rate;
pub mod rules;
mod targets;
pub mod transform;
pub mod waf;
