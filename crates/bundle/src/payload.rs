//! Reading payloads: JSON whose schema is looked at before all else.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::SCHEMA;
use crate::refused::Refused;

/// The one thing that every schema, past and to come, has.
#[derive(Deserialize)]
struct Head {
    schema: u32,
    #[serde(default)]
    min_reader: u32,
}

/// Reads a payload. One of a later schema is read if it says that this build can; fields that are unknown here are then left out.
pub(crate) fn read<T: DeserializeOwned>(what: &'static str, payload: &[u8]) -> Result<T, Refused> {
    let wrong = |error: serde_json::Error| Refused::malformed(what, error.to_string());
    let head: Head = serde_json::from_slice(payload).map_err(wrong)?;
    let needs = if head.min_reader == 0 {
        head.schema
    } else {
        head.min_reader
    };
    if needs > SCHEMA {
        return Err(Refused::NewerSchema {
            what,
            needs,
            reads: SCHEMA,
        });
    }
    serde_json::from_slice(payload).map_err(wrong)
}

/// Writes a payload: fields in the order of the type, so that equal values have equal bytes.
pub(crate) fn write<T: serde::Serialize>(
    what: &'static str,
    value: &T,
) -> Result<Vec<u8>, Refused> {
    serde_json::to_vec(value).map_err(|error| Refused::malformed(what, error.to_string()))
}
