//! Targeted cache control (RFC 9213): a dictionary of directives that is meant for caches like this one.

use seawall_model::Fields;

use super::{About, MOST_SECONDS, ResponseDirectives, Seconds};
use crate::fields;
use crate::structured::{Bare, Dictionary, Member, dictionary};

/// The targeted fields that we follow, the most particular one first.
pub const TARGETED: [&str; 2] = ["seawall-cdn-cache-control", "cdn-cache-control"];

/// From the first of these fields that is valid and not empty (§2.1).
pub(super) fn of(fields: &Fields) -> Option<ResponseDirectives> {
    TARGETED.iter().find_map(|name| {
        let value = fields::joined(fields, name.as_bytes())?;
        let found = dictionary(&value).ok()?;
        (!found.is_empty()).then_some(())?;
        read(&found)
    })
}

/// None where a directive has a value of a type that is not its: then the field is wrong as a whole.
fn read(found: &Dictionary<'_>) -> Option<ResponseDirectives> {
    Some(ResponseDirectives {
        max_age: seconds(found, "max-age")?,
        s_maxage: seconds(found, "s-maxage")?,
        stale_while_revalidate: seconds(found, "stale-while-revalidate")?,
        stale_if_error: seconds(found, "stale-if-error")?,
        no_cache: about(found, "no-cache"),
        private: about(found, "private"),
        no_store: is_on(found, "no-store"),
        public: is_on(found, "public"),
        must_revalidate: is_on(found, "must-revalidate"),
        proxy_revalidate: is_on(found, "proxy-revalidate"),
        must_understand: is_on(found, "must-understand"),
        no_transform: is_on(found, "no-transform"),
        immutable: is_on(found, "immutable"),
        targeted: true,
    })
}

fn seconds(found: &Dictionary<'_>, name: &str) -> Option<Seconds> {
    match found.get(name).map(Member::bare) {
        None => Some(Seconds::Absent),
        Some(Some(Bare::Integer(number))) => Some(match u32::try_from(*number) {
            Ok(number) => Seconds::Given(number.min(MOST_SECONDS)),
            Err(_) if *number > 0 => Seconds::Given(MOST_SECONDS),
            Err(_) => Seconds::Wrong,
        }),
        Some(_) => None,
    }
}

/// Any value but "no" is a yes: most of these forbid something.
fn is_on(found: &Dictionary<'_>, name: &str) -> bool {
    let member = found.get(name);
    member.is_some_and(|member| member.bare() != Some(&Bare::Boolean(false)))
}

fn about(found: &Dictionary<'_>, name: &str) -> About {
    match is_on(found, name) {
        // That it names fields only is not looked at: the careful reading is that it is about everything.
        true => About::All,
        false => About::Nothing,
    }
}
