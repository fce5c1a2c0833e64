//! `ctl`: what a rule changes of the engine for the rest of a request.

use seawall_model::Wrong;
use seawall_model::problem::quote;

use super::targets::target;
use super::tree::{Ctl, Engine, Look, Processor, Target, Which};
use crate::vocabulary::{CONTROLS, Control, Found};

/// Reads the value of `ctl`.
pub(super) fn control(text: &str) -> Result<Ctl, Wrong> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(Wrong::new(
            format!("ctl:{text} has no value"),
            "write ctl:name=value",
        ));
    };
    let control = match Control::find(name.trim()) {
        Found::Has(control) => control,
        Found::Refused(why) => {
            return Err(Wrong::new(format!("ctl:{name} is refused"), why));
        }
        Found::Unknown => {
            return Err(Wrong::new(
                format!("unknown ctl:{name}"),
                super::nearest(name, CONTROLS),
            ));
        }
    };
    Ok(match control {
        Control::AuditEngine => Ctl::Audit(!value.eq_ignore_ascii_case("off")),
        // Events have no parts; what a rule set wants of them is the same for all.
        Control::AuditLogParts => Ctl::Audit(true),
        Control::ForceRequestBodyVariable => Ctl::ForceRequestBody(on_off(value)?),
        Control::RequestBodyAccess => Ctl::RequestBody(on_off(value)?),
        Control::ResponseBodyAccess => Ctl::ResponseBody(on_off(value)?),
        Control::RequestBodyProcessor => Ctl::Processor(processor(value)?),
        Control::RuleEngine => Ctl::Engine(engine(value)?),
        Control::RuleRemoveById => Ctl::Remove(Which::Ids(ids(value)?)),
        Control::RuleRemoveByMsg => Ctl::Remove(Which::Msg(value.to_owned())),
        Control::RuleRemoveByTag => Ctl::Remove(Which::Tag(value.to_owned())),
        Control::RuleRemoveTargetById => {
            let (ids, target) = with_target(value)?;
            Ctl::RemoveTarget(Which::Ids(self::ids(ids)?), target)
        }
        Control::RuleRemoveTargetByMsg => {
            let (msg, target) = with_target(value)?;
            Ctl::RemoveTarget(Which::Msg(msg.to_owned()), target)
        }
        Control::RuleRemoveTargetByTag => {
            let (tag, target) = with_target(value)?;
            Ctl::RemoveTarget(Which::Tag(tag.to_owned()), target)
        }
    })
}

fn with_target(value: &str) -> Result<(&str, Target), Wrong> {
    let Some((which, text)) = value.split_once(';') else {
        return Err(Wrong::new(
            format!("{} names no target", quote(value)),
            "write the rules, a semicolon, and the target: 942100;ARGS:q",
        ));
    };
    let mut target = target(text)?;
    target.what = Look::Exclude;
    Ok((which.trim(), target))
}

/// `On` or `Off`.
pub(super) fn on_off(value: &str) -> Result<bool, Wrong> {
    match value.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Wrong::new(
            format!("{} is neither On nor Off", quote(value)),
            "write On or Off",
        )),
    }
}

/// `On`, `Off` or `DetectionOnly`.
pub(super) fn engine(value: &str) -> Result<Engine, Wrong> {
    match value.to_ascii_lowercase().as_str() {
        "on" => Ok(Engine::On),
        "off" => Ok(Engine::Off),
        "detectiononly" => Ok(Engine::DetectionOnly),
        _ => Err(Wrong::new(
            format!("{} is no mode of the engine", quote(value)),
            "write On, Off or DetectionOnly",
        )),
    }
}

fn processor(value: &str) -> Result<Processor, Wrong> {
    [
        Processor::UrlEncoded,
        Processor::Multipart,
        Processor::Json,
        Processor::Xml,
    ]
    .into_iter()
    .find(|processor| processor.name().eq_ignore_ascii_case(value))
    .ok_or_else(|| {
        Wrong::new(
            format!("nobody reads bodies as {}", quote(value)),
            "write URLENCODED, MULTIPART, JSON or XML",
        )
    })
}

/// Ids and ranges of them, between spaces or commas.
pub(super) fn ids(text: &str) -> Result<Vec<(u64, u64)>, Wrong> {
    let pieces = text
        .split([' ', ','])
        .map(|piece| piece.trim_matches(['"', '\'']))
        .filter(|piece| !piece.is_empty());
    let ranges = pieces
        .map(|piece| {
            let (from, to) = piece.split_once('-').unwrap_or((piece, piece));
            match (from.trim().parse(), to.trim().parse()) {
                (Ok(from), Ok(to)) if from <= to => Ok((from, to)),
                _ => Err(Wrong::new(
                    format!("{} is no id and no range of ids", quote(piece)),
                    "write 942100 or 942000-942999",
                )),
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    if ranges.is_empty() {
        return Err(Wrong::new("no ids", "write 942100 or 942000-942999"));
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_read() {
        assert_eq!(
            control("ruleRemoveById=1-3").unwrap(),
            Ctl::Remove(Which::Ids(vec![(1, 3)]))
        );
        assert!(matches!(
            control("ruleRemoveTargetByTag=a;ARGS:b").unwrap(),
            Ctl::RemoveTarget(Which::Tag(tag), target) if tag == "a" && target.what == Look::Exclude
        ));
        assert_eq!(
            control("requestBodyProcessor=json").unwrap(),
            Ctl::Processor(Processor::Json)
        );
        for wrong in [
            "ruleEngine=Maybe",
            "x=1",
            "ruleRemoveById=x",
            "hashEngine=On",
            "a",
        ] {
            assert!(control(wrong).is_err(), "{wrong}");
        }
    }
}
