//! What a redirect or a rewrite leads to: a text, or what a value of the language of rules makes of each request.
//!
//! What is made holds bytes of the client, so it is bounded, has no control characters, and is encoded where no URI has such bytes: it is
//! never another line of a header. What it means as a URL or as a path is looked at by those who use it ([`going`](super::going)).

use std::borrow::Cow;

use seawall_model::{Fuel, RequestView, Spent};
use seawall_rules::Value;

use crate::stages::targets;

/// Bytes of what is made.
const LONGEST: usize = 8 << 10;

/// A text, or how it is made.
pub(super) enum Goal {
    Text(Box<[u8]>),
    Made(Value),
}

impl Goal {
    /// For this request; None where nothing is made that could stand in a URI.
    pub(super) fn of(
        &self,
        request: &RequestView<'_>,
        fuel: &mut Fuel,
    ) -> Result<Option<Cow<'_, [u8]>>, Spent> {
        let value = match self {
            Self::Text(text) => return Ok(Some(Cow::Borrowed(text))),
            Self::Made(value) => value,
        };
        let mut made = Vec::new();
        if !value.append_text(request, fuel, &mut made)?
            || made.len() > LONGEST
            || made.iter().any(u8::is_ascii_control)
        {
            return Ok(None);
        }
        fuel.spend(2 * made.len() as u64)?;
        let mut plain = Vec::with_capacity(made.len());
        targets::append(&mut plain, &made);
        Ok((plain.len() <= LONGEST).then_some(Cow::Owned(plain)))
    }

    pub(super) fn is_made(&self) -> bool {
        matches!(self, Self::Made(_))
    }
}
