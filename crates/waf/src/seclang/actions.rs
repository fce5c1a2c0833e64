//! The last argument of `SecRule` and `SecAction`: actions, joined by commas.

use seawall_model::Wrong;
use seawall_model::problem::quote;

use super::control::control;
use super::targets::variable;
use super::template::template;
use super::tree::{Actions, Allow, Change, Disruptive, Effect};
use crate::vocabulary::{ACTIONS, Action, Found, TRANSFORMATIONS, Transformation, Variable};

/// Reads all actions. What is wrong is told with its place in the text.
pub(super) fn actions(text: &str) -> (Actions, Vec<(usize, Wrong)>) {
    let mut all = Actions::default();
    let mut wrong = Vec::new();
    for (at, name, value) in split(text) {
        if let Err(what) = add(&mut all, &name, &value) {
            wrong.push((at, what));
        }
    }
    (all, wrong)
}

/// Each action as (where it begins, its name, its value): `name`, `name:value`, `name:'value'`.
fn split(text: &str) -> Vec<(usize, String, String)> {
    let mut all = Vec::new();
    let mut chars = text.char_indices().peekable();
    loop {
        while chars
            .next_if(|(_, c)| c.is_whitespace() || *c == ',')
            .is_some()
        {}
        let Some((at, _)) = chars.peek().copied() else {
            return all;
        };
        let mut name = String::new();
        while let Some((_, c)) = chars.next_if(|(_, c)| *c != ':' && *c != ',') {
            name.push(c);
        }
        let mut value = String::new();
        if chars.next_if(|(_, c)| *c == ':').is_some() {
            while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
            value = self::value(&mut chars);
        }
        all.push((at, name.trim().to_owned(), value));
    }
}

/// A value, up to its comma. A quote at its begin or after its `=` runs to the next one that is not escaped.
fn value(chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>) -> String {
    let mut value = String::new();
    let mut quoted = chars.next_if(|(_, c)| *c == '\'').is_some();
    let whole = quoted;
    while let Some((_, c)) = chars.next_if(|(_, c)| quoted || *c != ',') {
        match c {
            '\\' if quoted && chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                value.extend(chars.next().map(|(_, next)| next));
            }
            '\'' if quoted => {
                quoted = false;
                if whole {
                    break;
                }
            }
            '\'' if value.ends_with('=') => quoted = true,
            _ => value.push(c),
        }
    }
    value.trim_end().to_owned()
}

fn add(all: &mut Actions, name: &str, value: &str) -> Result<(), Wrong> {
    let action = match Action::find(name) {
        Found::Has(action) => action,
        Found::Refused(why) => {
            return Err(Wrong::new(
                format!("the action {} is refused", quote(name)),
                why,
            ));
        }
        Found::Unknown => {
            return Err(Wrong::new(
                format!("unknown action {}", quote(name)),
                super::nearest(name, ACTIONS),
            ));
        }
    };
    match action {
        Action::Pass => all.disruptive = Some(Disruptive::Pass),
        Action::Block => all.disruptive = Some(Disruptive::Block),
        Action::Deny => all.disruptive = Some(Disruptive::Deny),
        Action::Drop => all.disruptive = Some(Disruptive::Drop),
        Action::Allow => all.disruptive = Some(Disruptive::Allow(allow(value)?)),
        Action::Redirect => all.disruptive = Some(Disruptive::Redirect(template(value)?)),
        Action::Id => all.id = Some(number(value, "id", 1, u64::MAX)?),
        Action::Phase => all.phase = Some(phase(value)?),
        Action::Status => all.status = Some(number(value, "status", 100, 599)? as u16),
        Action::Severity => all.severity = Some(severity(value)?),
        Action::Skip => all.skip = number(value, "skip", 1, 100_000)? as u32,
        Action::SkipAfter => all.skip_after = Some(value.to_owned()),
        Action::Log => all.log = Some(true),
        Action::NoLog => {
            all.log = Some(false);
            all.audit.get_or_insert(false);
        }
        Action::AuditLog => all.audit = Some(true),
        Action::NoAuditLog => all.audit = Some(false),
        Action::Capture => all.capture = true,
        Action::Chain => all.chain = true,
        Action::MultiMatch => all.multi_match = true,
        Action::Msg => {
            all.msg = Some(template(value)?);
            value.clone_into(&mut all.msg_text);
        }
        Action::LogData => all.logdata = Some(template(value)?),
        Action::Tag => {
            all.tags.push(template(value)?);
            all.tag_texts.push(value.to_owned());
        }
        Action::Ver => value.clone_into(&mut all.version),
        // They say something to people who read the rules.
        Action::Rev => {}
        Action::Maturity | Action::Accuracy => drop(number(value, name, 0, 10)?),
        Action::T => transformation(all, value)?,
        Action::SetVar => all.effects.push(setvar(value)?),
        Action::ExpireVar => all.effects.push(expirevar(value)?),
        Action::InitCol => all.effects.push(initcol(value)?),
        Action::SetSid => open(all, Variable::Session, value)?,
        Action::SetUid => open(all, Variable::User, value)?,
        Action::SetRsc => open(all, Variable::Resource, value)?,
        Action::Ctl => all.effects.push(Effect::Control(control(value)?)),
    }
    Ok(())
}

fn open(all: &mut Actions, collection: Variable, key: &str) -> Result<(), Wrong> {
    all.effects.push(Effect::Open(collection, template(key)?));
    Ok(())
}

fn transformation(all: &mut Actions, value: &str) -> Result<(), Wrong> {
    let list = all.transformations.get_or_insert_default();
    match Transformation::find(value) {
        Found::Has(Transformation::None) => list.clear(),
        Found::Has(transformation) => list.push(transformation),
        Found::Refused(why) => {
            return Err(Wrong::new(
                format!("the transformation {} is refused", quote(value)),
                why,
            ));
        }
        Found::Unknown => {
            return Err(Wrong::new(
                format!("unknown transformation {}", quote(value)),
                super::nearest(value, TRANSFORMATIONS),
            ));
        }
    }
    Ok(())
}

fn number(value: &str, what: &str, least: u64, most: u64) -> Result<u64, Wrong> {
    match value.trim().parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(Wrong::new(
            format!("{what} is {}", quote(value)),
            format!("write a number from {least} to {most}"),
        )),
    }
}

fn phase(value: &str) -> Result<u8, Wrong> {
    Ok(match value.to_ascii_lowercase().as_str() {
        "1" => 1,
        "2" | "request" => 2,
        "3" => 3,
        "4" | "response" => 4,
        "5" | "logging" => 5,
        _ => {
            return Err(Wrong::new(
                format!("there is no phase {}", quote(value)),
                "write 1 to 5, request, response or logging",
            ));
        }
    })
}

/// The names of severities, of 0 to 7.
pub(crate) const SEVERITIES: [&str; 8] = [
    "EMERGENCY",
    "ALERT",
    "CRITICAL",
    "ERROR",
    "WARNING",
    "NOTICE",
    "INFO",
    "DEBUG",
];

fn severity(value: &str) -> Result<u8, Wrong> {
    let named = SEVERITIES
        .iter()
        .position(|name| name.eq_ignore_ascii_case(value));
    match named.or_else(|| {
        value
            .parse()
            .ok()
            .filter(|number| *number < SEVERITIES.len())
    }) {
        Some(number) => Ok(number as u8),
        None => Err(Wrong::new(
            format!("there is no severity {}", quote(value)),
            "write 0 to 7, or a name from EMERGENCY to DEBUG",
        )),
    }
}

fn allow(value: &str) -> Result<Allow, Wrong> {
    match value.to_ascii_lowercase().as_str() {
        "" => Ok(Allow::All),
        "phase" => Ok(Allow::Phase),
        "request" => Ok(Allow::Request),
        _ => Err(Wrong::new(
            format!("allow:{value} is unknown"),
            "write allow, allow:phase or allow:request",
        )),
    }
}

/// `tx.name=value`, `tx.name=+1`, `tx.name=-1`, `tx.name` (1), `!tx.name`.
fn setvar(value: &str) -> Result<Effect, Wrong> {
    let (removes, rest) = match value.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let (name, new) = match rest.split_once('=') {
        Some((name, new)) => (name, Some(new)),
        None => (rest, None),
    };
    let (collection, name) = written(name)?;
    let change = match new {
        _ if removes => Change::Remove,
        None => Change::To(template("1")?),
        Some(new) => match (new.strip_prefix('+'), new.strip_prefix('-')) {
            (Some(more), _) => Change::Add(template(more)?),
            (_, Some(less)) => Change::Subtract(template(less)?),
            _ => Change::To(template(new)?),
        },
    };
    Ok(Effect::Set(collection, name, change))
}

fn expirevar(value: &str) -> Result<Effect, Wrong> {
    let Some((name, seconds)) = value.split_once('=') else {
        return Err(Wrong::new(
            format!("{} says no seconds", quote(value)),
            "write expirevar:'ip.name=3600'",
        ));
    };
    let (collection, name) = written(name)?;
    Ok(Effect::Expire(collection, name, template(seconds)?))
}

fn initcol(value: &str) -> Result<Effect, Wrong> {
    let parts = value.split_once('=');
    let collection = parts.map(|(name, _)| variable(name)).transpose()?;
    match (parts, collection) {
        (Some((_, key)), Some(collection)) if collection.is_kept() => {
            Ok(Effect::Open(collection, template(key)?))
        }
        _ => Err(Wrong::new(
            format!("{} is no collection with its key", quote(value)),
            "write initcol:ip=%{REMOTE_ADDR}; there are global, ip, resource, session and user",
        )),
    }
}

/// A variable that rules may write, and its name within the collection.
fn written(name: &str) -> Result<(Variable, super::tree::Template), Wrong> {
    let Some((collection, name)) = name.split_once(['.', ':']) else {
        return Err(Wrong::new(
            format!("{} has no name within a collection", quote(name)),
            "write tx.name",
        ));
    };
    let variable = variable(collection)?;
    if !variable.is_written() || name.is_empty() {
        return Err(Wrong::new(
            format!("{} cannot be set", quote(collection)),
            "only tx and the collections global, ip, resource, session, user can",
        ));
    }
    Ok((variable, template(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_have_values_in_quotes() {
        let (all, wrong) = actions(
            "id:7, phase:request,\tdeny,status:403,msg:'a, \\'b\\' %{tx.0}',tag:x,tag:'y z',t:none,t:lowercase,\
             setvar:'tx.a=+%{tx.b}',setvar:tx.c,setvar:'!tx.d',severity:'CRITICAL',skipAfter:END,nolog,ctl:ruleEngine=Off",
        );
        assert_eq!(wrong, []);
        assert_eq!(
            (all.id, all.phase, all.status),
            (Some(7), Some(2), Some(403))
        );
        assert_eq!(all.msg_text, "a, 'b' %{tx.0}");
        assert_eq!(all.tag_texts, ["x", "y z"]);
        assert_eq!(all.transformations, Some(vec![Transformation::Lowercase]));
        assert_eq!(all.effects.len(), 4);
        assert_eq!(
            (all.severity, all.log, all.audit),
            (Some(2), Some(false), Some(false))
        );
        assert_eq!(all.skip_after.as_deref(), Some("END"));
    }

    #[test]
    fn every_wrong_action_is_told() {
        let (_, wrong) = actions("id:x,exec:/bin/sh,phase:6,dney,t:lowercas,setvar:args.a=1");
        let shown: Vec<_> = wrong
            .iter()
            .map(|(at, wrong)| format!("{at} {}", wrong.what))
            .collect();
        assert_eq!(
            shown,
            [
                "0 id is \"x\"",
                "5 the action \"exec\" is refused",
                "18 there is no phase \"6\"",
                "26 unknown action \"dney\"",
                "31 unknown transformation \"lowercas\"",
                "42 \"args\" cannot be set",
            ]
        );
    }
}
