//! Whether one value is what its schema says, without what is in it.

use seawall_model::{Fuel, Spent};
use serde_json::{Number, Value};

use super::schema::{Format, Schema, TYPES};

/// Units for each byte of a text.
const BYTE: u64 = 3;

impl Schema {
    /// Whether a value fits, without what is in it.
    pub(super) fn alone(
        &self,
        value: &Value,
        fuel: &mut Fuel,
    ) -> Result<Result<(), &'static str>, Spent> {
        let bit = |name: &str| {
            let place = TYPES.iter().position(|known| *known == name);
            place.map_or(0, |place| 1u8 << place)
        };
        let types = match value {
            Value::Null => bit("null"),
            Value::Bool(_) => bit("boolean"),
            Value::Number(number) if is_whole(number) => bit("integer") | bit("number"),
            Value::Number(_) => bit("number"),
            Value::String(_) => bit("string"),
            Value::Array(_) => bit("array"),
            Value::Object(_) => bit("object"),
        };
        if self.types != 0 && self.types & types == 0 {
            return Ok(Err("is of another type"));
        }
        // Null where it may be is nothing else.
        if value.is_null() && self.types & 1 != 0 {
            return Ok(Ok(()));
        }
        if let Some(these) = &self.one_of_these {
            fuel.spend(these.len() as u64 * 20)?;
            if !these.iter().any(|is| is_same(is, value)) {
                return Ok(Err("is none of the values that it may be"));
            }
        }
        Ok(match value {
            Value::Number(number) => self.number(number),
            Value::String(text) => {
                fuel.spend(BYTE * text.len() as u64)?;
                self.string(text)
            }
            Value::Array(items) if !self.items.has(items.len()) => Err("has too few or many items"),
            Value::Object(members) => {
                fuel.spend(20 * self.required.len() as u64)?;
                let is_there = |name: &String| members.contains_key(name);
                match (
                    self.members.has(members.len()),
                    self.required.iter().all(is_there),
                ) {
                    (false, _) => Err("has too few or many members"),
                    (_, false) => Err("lacks a member"),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        })
    }

    fn number(&self, written: &Number) -> Result<(), &'static str> {
        let number = written.as_f64().unwrap_or(f64::NAN);
        let is_in = self.least.is_none_or(|least| number >= least)
            && self.most.is_none_or(|most| number <= most)
            && self.above.is_none_or(|above| number > above)
            && self.below.is_none_or(|below| number < below);
        let is_multiple = self.multiple.is_none_or(|of| is_multiple(written, of));
        let fits = self.format.is_none_or(|format| format.holds(written));
        match is_in && is_multiple && fits {
            true => Ok(()),
            false => Err("is out of its range"),
        }
    }

    fn string(&self, text: &str) -> Result<(), &'static str> {
        if !self.length.has(text.chars().count()) {
            return Err("is too short or long");
        }
        if let Some(pattern) = &self.pattern
            && !pattern.is_in(text)
        {
            return Err("does not fit its pattern");
        }
        match self.format.is_none_or(|format| format.has(text)) {
            true => Ok(()),
            false => Err("is not of its format"),
        }
    }
}

impl Format {
    /// Whether a number has room in it.
    fn holds(self, number: &Number) -> bool {
        let range = match self {
            Self::Int32 => f64::from(i32::MIN)..f64::from(i32::MAX) + 1.0,
            // What is a whole number already is compared as one: the largest has more digits than a fraction.
            Self::Int64 if number.is_i64() => return true,
            Self::Int64 => i64::MIN as f64..i64::MAX as f64,
            _ => return true,
        };
        number
            .as_f64()
            .is_some_and(|number| range.contains(&number))
    }

    fn has(self, text: &str) -> bool {
        let digits = |text: &str, shape: &str| {
            text.len() == shape.len()
                && text
                    .bytes()
                    .zip(shape.bytes())
                    .all(|(byte, shape)| match shape {
                        b'9' => byte.is_ascii_digit(),
                        b'f' => byte.is_ascii_hexdigit(),
                        shape => byte.eq_ignore_ascii_case(&shape),
                    })
        };
        match self {
            Self::Date => digits(text, "9999-99-99"),
            Self::DateTime => text.split_at_checked(19).is_some_and(|(begin, rest)| {
                let zone = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
                digits(begin, "9999-99-99t99:99:99")
                    && (zone.eq_ignore_ascii_case("z")
                        || digits(zone, "+99:99")
                        || digits(zone, "-99:99"))
            }),
            Self::Uuid => digits(text, "ffffffff-ffff-ffff-ffff-ffffffffffff"),
            Self::Ipv4 => text.parse::<std::net::Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<std::net::Ipv6Addr>().is_ok(),
            // Of numbers; a text may be anything.
            Self::Int32 | Self::Int64 => true,
        }
    }
}

fn is_whole(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|is| is.fract() == 0.0)
}

/// Whether a number is so many times another one.
fn is_multiple(number: &Number, of: f64) -> bool {
    if let Some(whole) = whole(number)
        && of.fract() == 0.0
    {
        return whole.checked_rem(of as i128) == Some(0);
    }
    let times = number.as_f64().unwrap_or(f64::NAN) / of;
    // Each of the two is as near to what is written as a fraction can be, and so is what comes out: that grows with the number.
    let near = (times.abs() * 2.0 * f64::EPSILON).max(1e-9);
    (times - times.round()).abs() <= near
}

/// A number that is written as a whole one.
fn whole(number: &Number) -> Option<i128> {
    let signed = number.as_i64().map(i128::from);
    signed.or_else(|| number.as_u64().map(i128::from))
}

/// Whether two values are the same, however their numbers are written: `1` and `1.0` (JSON Schema §4.2.2).
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => match (whole(one), whole(other)) {
            (Some(one), Some(other)) => one == other,
            _ => one.as_f64() == other.as_f64(),
        },
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_in = |(name, value): (&String, &Value)| {
                other.get(name).is_some_and(|other| is_same(value, other))
            };
            one.len() == other.len() && one.iter().all(is_in)
        }
        (one, other) => one == other,
    }
}
