//! Looking for fields by name. A name that the head has a number for is not compared: most of what is asked for is not there.

use std::borrow::Cow;

use seawall_model::{FieldId, Fields};

/// All values of a field, in their order.
pub(crate) fn values<'f>(fields: &'f Fields, name: &'f [u8]) -> impl Iterator<Item = &'f [u8]> {
    let id = FieldId::of(name);
    let is_named = !id.name().is_empty();
    let by_number = is_named.then(|| fields.all(id));
    // Of the others many names have one number.
    let by_name = (!is_named).then(|| {
        let lines = fields.iter().filter(move |field| field.id == id);
        lines.filter(|field| field.name.eq_ignore_ascii_case(name))
    });
    let by_name = by_name.into_iter().flatten().map(|field| field.value);
    by_number.into_iter().flatten().chain(by_name)
}

/// Whether the field is there.
pub(crate) fn has(fields: &Fields, name: &[u8]) -> bool {
    values(fields, name).next().is_some()
}

/// All lines of a field as one (RFC 9110 §5.3); none where there is no line.
pub(crate) fn joined<'f>(fields: &'f Fields, name: &'f [u8]) -> Option<Cow<'f, [u8]>> {
    let mut lines = values(fields, name);
    let first = lines.next()?;
    let Some(second) = lines.next() else {
        return Some(Cow::Borrowed(first));
    };
    let mut all = first.to_vec();
    for line in std::iter::once(second).chain(lines) {
        all.extend_from_slice(b", ");
        all.extend_from_slice(line);
    }
    Some(Cow::Owned(all))
}

/// The members of a list of tokens, of all lines of a field: white space and empty ones left out (RFC 9110 §5.6.1).
pub(crate) fn members<'f>(fields: &'f Fields, name: &'f [u8]) -> impl Iterator<Item = &'f [u8]> {
    values(fields, name)
        .flat_map(|line| line.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}
