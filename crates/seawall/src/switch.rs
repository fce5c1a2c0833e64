//! Emergency switches as they are asked for: what is refused, by control and on an edge's own machine alike.

use std::time::Duration;

use seawall_guard::StageDef;

/// The longest switch: who needs more changes a document.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The shortest one.
const SHORTEST: Duration = Duration::from_secs(1);

/// Whether there is such a stage.
///
/// # Errors
/// That there is none, with those that there are.
pub fn has_stage(stages: &[&StageDef], name: &str) -> Result<(), String> {
    let names: Vec<&str> = stages.iter().map(|stage| stage.name).collect();
    if names.contains(&name) {
        return Ok(());
    }
    Err(format!("there is no stage {name:?}: {}", names.join(", ")))
}

/// Whether a switch may be set for this reason, and for so long.
///
/// # Errors
/// Why not.
pub fn may_be_set(why: &str, lasts: Duration) -> Result<(), String> {
    if why.trim().is_empty() {
        return Err("a switch needs a reason: say why, for those who find it".into());
    }
    if !(SHORTEST..=LONGEST).contains(&lasts) {
        return Err(format!(
            "a switch lasts from 1 s to {} days: for longer, change the document",
            LONGEST.as_secs() / 86_400
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_needs_a_reason_and_lasts_seven_days_at_most() {
        let second = Duration::from_secs(1);
        assert_eq!(may_be_set("it blocks", second), Ok(()));
        assert_eq!(may_be_set("it blocks", LONGEST), Ok(()));
        for wrong in [Duration::from_millis(999), LONGEST + second] {
            let why = may_be_set("it blocks", wrong).unwrap_err();
            assert!(why.contains("7 days"), "{why}");
        }
        assert!(may_be_set(" ", second).unwrap_err().contains("say why"));
    }
}
