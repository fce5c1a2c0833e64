//! The small values that scenarios are written with: one or several texts, statuses, conditions, times.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Deserializer};

/// Names with values: a table, or a list of pairs where order or repetition matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a table of texts, or a list of [name, value]")]
        enum Either {
            Table(BTreeMap<String, String>),
            Pairs(Vec<(String, String)>),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Table(table) => Self(table.into_iter().collect()),
            Either::Pairs(pairs) => Self(pairs),
        })
    }
}

/// One text or several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings(pub Vec<String>);

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a text or a list of texts")]
        enum Either {
            One(String),
            Many(Vec<String>),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::One(one) => Self(vec![one]),
            Either::Many(many) => Self(many),
        })
    }
}

/// One status or several that are all right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statuses(pub Vec<u16>);

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a status or a list of statuses")]
        enum Either {
            One(u16),
            Many(Vec<u16>),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::One(one) => Self(vec![one]),
            Either::Many(many) => Self(many),
        })
    }
}

/// `3`, `">= 1"`, `"< 100"`, `"== 2"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Condition {
    relation: Relation,
    value: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Relation {
    Equal,
    AtLeast,
    AtMost,
    More,
    Less,
}

impl Condition {
    pub fn holds(&self, value: f64) -> bool {
        match self.relation {
            Relation::Equal => (value - self.value).abs() < f64::EPSILON,
            Relation::AtLeast => value >= self.value,
            Relation::AtMost => value <= self.value,
            Relation::More => value > self.value,
            Relation::Less => value < self.value,
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let signs = [
            (">=", Relation::AtLeast),
            ("<=", Relation::AtMost),
            ("==", Relation::Equal),
            (">", Relation::More),
            ("<", Relation::Less),
        ];
        let (relation, number) = signs
            .into_iter()
            .find_map(|(sign, relation)| Some((relation, text.strip_prefix(sign)?)))
            .unwrap_or((Relation::Equal, text));
        let value = number
            .trim()
            .parse()
            .with_context(|| format!("{text:?} is no condition such as \">= 1\""))?;
        Ok(Self { relation, value })
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number or a condition such as \">= 1\"")]
        enum Either {
            Number(f64),
            Text(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(value) => Ok(Self {
                relation: Relation::Equal,
                value,
            }),
            Either::Text(text) => Self::parse(&text).map_err(serde::de::Error::custom),
        }
    }
}

/// `"20ms"`, `"1.5s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (number, factor) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(number), _) => (number, 0.001),
            (None, Some(number)) => (number, 1.0),
            (None, None) => {
                return Err(serde::de::Error::custom(format!(
                    "{text:?} is no time such as \"20ms\""
                )));
            }
        };
        let number: f64 = number.parse().map_err(serde::de::Error::custom)?;
        Duration::try_from_secs_f64(number * factor)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}
