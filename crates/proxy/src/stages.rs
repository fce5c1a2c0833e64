//! The stages that a request meets, in this order: their one list, from which guards, `/state` and the reference come.

use seawall_guard::StageDef;
use seawall_guard::stages::{
    body, ddos, hotlink, hygiene, lists, maintenance, rate, rules, transform, waf,
};

/// All stages, in order.
pub static STAGES: &[&StageDef] = &[
    &lists::DEF,
    &ddos::DEF,
    &maintenance::DEF,
    &hotlink::DEF,
    &transform::DEF,
    &rules::DEF,
    &rate::DEF,
    &body::DEF,
    &waf::DEF,
    &hygiene::DEF,
];

#[cfg(test)]
mod tests {
    use seawall_guard::kit;

    use super::STAGES;

    /// A stage is in it by being in the slice.
    #[test]
    fn every_stage_keeps_what_it_declares() {
        let broken = kit::check(STAGES, kit::CASES);
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }
}
