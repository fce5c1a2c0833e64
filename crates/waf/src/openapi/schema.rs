//! Schemas (JSON Schema as OpenAPI 3.0 and 3.1 have it): what is understood of them, by number, so that one may mention itself.

use serde_json::{Map, Value};

use super::pattern::Pattern;

/// The number of a schema.
pub(super) type SchemaId = usize;

/// What a value has to be. What is not said is not asked.
#[derive(Debug, Default)]
pub(super) struct Schema {
    /// Bits of [`TYPES`]; 0 for any.
    pub(super) types: u8,
    pub(super) one_of_these: Option<Vec<Value>>,
    pub(super) least: Option<f64>,
    pub(super) most: Option<f64>,
    pub(super) above: Option<f64>,
    pub(super) below: Option<f64>,
    pub(super) multiple: Option<f64>,
    /// Characters of a text, items of a list, members of an object.
    pub(super) length: Bounds,
    pub(super) items: Bounds,
    pub(super) members: Bounds,
    pub(super) pattern: Option<Pattern>,
    pub(super) format: Option<Format>,
    pub(super) item: Option<SchemaId>,
    pub(super) properties: Vec<(String, SchemaId)>,
    pub(super) required: Vec<String>,
    pub(super) others: Others,
    pub(super) all: Vec<SchemaId>,
    pub(super) any: Vec<SchemaId>,
    pub(super) one: Vec<SchemaId>,
    pub(super) not: Option<SchemaId>,
    /// It is what another one is.
    pub(super) same: Option<SchemaId>,
}

/// How many there may be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    pub(super) least: u64,
    pub(super) most: Option<u64>,
}

/// What members may be that are not described.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Others {
    #[default]
    Any,
    None,
    Are(SchemaId),
}

/// Formats that are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Date,
    DateTime,
    Uuid,
    Ipv4,
    Ipv6,
    Int32,
    Int64,
}

/// Types, in the order of their bits.
pub(super) const TYPES: [&str; 7] = [
    "null", "boolean", "integer", "number", "string", "array", "object",
];
/// What says nothing of a value.
const ANNOTATIONS: [&str; 16] = [
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "externalDocs",
    "xml",
    "discriminator",
    "$comment",
    "$schema",
    "$id",
    "contentMediaType",
    "contentEncoding",
];

/// Reads the schemas of a description.
pub(super) trait Within {
    /// The number of a schema that stands in another.
    fn schema(&mut self, value: &Value, at: &str) -> SchemaId;
    /// Something is wrong.
    fn wrong(&mut self, at: &str, what: String);
}

impl Bounds {
    pub(super) fn has(&self, count: usize) -> bool {
        let count = count as u64;
        count >= self.least && self.most.is_none_or(|most| count <= most)
    }
}

impl Schema {
    /// A schema that is no reference.
    pub(super) fn read(object: &Map<String, Value>, at: &str, within: &mut impl Within) -> Self {
        let mut schema = Self::default();
        for (key, value) in object {
            let here = format!("{at}/{key}");
            match key.as_str() {
                "type" => schema.types |= types(value, &here, within),
                "nullable" => schema.types |= u8::from(value == &Value::Bool(true)),
                "enum" => match value.as_array() {
                    Some(list) => schema.one_of_these = Some(list.clone()),
                    None => within.wrong(&here, "is no list".into()),
                },
                "const" => schema.one_of_these = Some(vec![value.clone()]),
                "minimum" => schema.least = number(value, &here, within),
                "maximum" => schema.most = number(value, &here, within),
                // A number since 3.1; before, whether the other bound counts itself.
                "exclusiveMinimum" if value.is_number() => {
                    schema.above = number(value, &here, within);
                }
                "exclusiveMaximum" if value.is_number() => {
                    schema.below = number(value, &here, within);
                }
                "exclusiveMinimum" | "exclusiveMaximum" => {}
                "multipleOf" => schema.multiple = number(value, &here, within),
                "minLength" => schema.length.least = count(value, &here, within),
                "maxLength" => schema.length.most = Some(count(value, &here, within)),
                "minItems" => schema.items.least = count(value, &here, within),
                "maxItems" => schema.items.most = Some(count(value, &here, within)),
                "minProperties" => schema.members.least = count(value, &here, within),
                "maxProperties" => schema.members.most = Some(count(value, &here, within)),
                "pattern" => match Pattern::new(value.as_str().unwrap_or_default()) {
                    Ok(pattern) => schema.pattern = Some(pattern),
                    Err(what) => within.wrong(&here, what),
                },
                "format" => schema.format = format(value.as_str().unwrap_or_default()),
                "items" => schema.item = Some(within.schema(value, &here)),
                "properties" => {
                    for (name, value) in value.as_object().into_iter().flatten() {
                        let id = within.schema(value, &format!("{here}/{name}"));
                        schema.properties.push((name.clone(), id));
                    }
                }
                "required" => {
                    let names = value.as_array().into_iter().flatten();
                    let names = names.filter_map(Value::as_str).map(str::to_owned);
                    schema.required = names.collect();
                }
                "additionalProperties" => {
                    schema.others = match value {
                        Value::Bool(true) => Others::Any,
                        Value::Bool(false) => Others::None,
                        other => Others::Are(within.schema(other, &here)),
                    }
                }
                "allOf" => schema.all = several(value, &here, within),
                "anyOf" => schema.any = several(value, &here, within),
                "oneOf" => schema.one = several(value, &here, within),
                "not" => schema.not = Some(within.schema(value, &here)),
                key if ANNOTATIONS.contains(&key) || key.starts_with("x-") => {}
                _ => within.wrong(&here, "is not understood, and cannot be passed over".into()),
            }
        }
        schema.exclusive(object);
        // `nullable` alone, without a type, says nothing.
        if schema.types == 1 && !object.contains_key("type") {
            schema.types = 0;
        }
        schema
    }

    /// OpenAPI 3.0: `exclusiveMinimum: true`.
    fn exclusive(&mut self, object: &Map<String, Value>) {
        if object.get("exclusiveMinimum") == Some(&Value::Bool(true)) {
            self.above = self.least.take();
        }
        if object.get("exclusiveMaximum") == Some(&Value::Bool(true)) {
            self.below = self.most.take();
        }
    }
}

fn types(value: &Value, at: &str, within: &mut impl Within) -> u8 {
    let names: Vec<&str> = match value {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let mut bits = 0;
    for name in &names {
        match TYPES.iter().position(|known| known == name) {
            Some(place) => bits |= 1 << place,
            None => within.wrong(at, format!("{name:?} is no type")),
        }
    }
    if names.is_empty() {
        within.wrong(at, "names no type".into());
    }
    bits
}

fn number(value: &Value, at: &str, within: &mut impl Within) -> Option<f64> {
    let number = value.as_f64();
    if number.is_none() {
        within.wrong(at, "is no number".into());
    }
    number
}

fn count(value: &Value, at: &str, within: &mut impl Within) -> u64 {
    value.as_u64().unwrap_or_else(|| {
        within.wrong(at, "is no whole number from 0".into());
        0
    })
}

fn several(value: &Value, at: &str, within: &mut impl Within) -> Vec<SchemaId> {
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    if list.is_empty() {
        within.wrong(at, "is no list of schemas".into());
    }
    let each = (0..).zip(list);
    each.map(|(nth, value): (usize, _)| within.schema(value, &format!("{at}/{nth}")))
        .collect()
}

/// Formats that are not known are annotations (OpenAPI 3.1.0 §4.4).
fn format(name: &str) -> Option<Format> {
    Some(match name {
        "date" => Format::Date,
        "date-time" => Format::DateTime,
        "uuid" => Format::Uuid,
        "ipv4" => Format::Ipv4,
        "ipv6" => Format::Ipv6,
        "int32" => Format::Int32,
        "int64" => Format::Int64,
        _ => return None,
    })
}
