//! Whether a stored response may be used (RFC 9111 §4, §4.2.4; RFC 5861).

use seawall_model::RequestHead;

use super::{Advice, Life, Plan, Time};
use crate::directives::RequestDirectives;

/// What of a request's directives is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Advised {
    /// Nothing may be asked of the origin: 504 where there is nothing stored (RFC 9111 §5.2.1.7).
    pub only_if_cached: bool,
    no_cache: bool,
    max_age: Option<u32>,
    min_fresh: Option<u32>,
    max_stale: Option<u32>,
    /// [`Plan::serve_stale`]: what was stored under another rule is served by this one.
    serve_stale: Option<u32>,
}

/// What a request advises, as far as the plan follows it.
pub fn advice(request: &RequestHead, plan: &Plan) -> Advised {
    if plan.advice == Advice::Ignored {
        return Advised {
            serve_stale: plan.serve_stale,
            ..Advised::default()
        };
    }
    let found = RequestDirectives::of(&request.fields);
    let only_if_cached = found.only_if_cached;
    if plan.advice == Advice::Harmless {
        return Advised {
            only_if_cached,
            serve_stale: plan.serve_stale,
            ..Advised::default()
        };
    }
    Advised {
        only_if_cached,
        no_cache: found.no_cache,
        max_age: found.max_age.careful(),
        min_fresh: found.min_fresh.careful(),
        max_stale: found.max_stale.careful(),
        serve_stale: plan.serve_stale,
    }
}

/// What is to be done with a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is served.
    Fresh,
    /// It is stale, and served; it is validated beside (RFC 5861 §3).
    WhileValidated,
    /// It is stale, and served to this client, which takes it (`max-stale`).
    AsAsked,
    /// It is validated first.
    Validate,
}

/// Decides. `outdated` is since when it counts as stale whatever its lifetime says, after a soft purge.
pub fn consider(life: &Life, advised: &Advised, now: Time, outdated: Option<Time>) -> Use {
    if life.validates_always || advised.no_cache {
        return Use::Validate;
    }
    let within = |said: u32| advised.serve_stale.unwrap_or(said);
    match stale_for(life, now, outdated) {
        None => {
            let too_old = |most: u32| life.age(now) / 1_000 > u64::from(most);
            let too_short = |least: u32| life.ttl(now) < i64::from(least);
            // A reload asks with `max-age=0`; what is immutable need not be asked for (RFC 8246 §2.1).
            let is_old = !life.immutable && advised.max_age.is_some_and(too_old);
            if is_old || advised.min_fresh.is_some_and(too_short) {
                return Use::Validate;
            }
            Use::Fresh
        }
        Some(_) if life.never_stale => Use::Validate,
        Some(stale) if is_within(stale, within(life.stale_while_revalidate)) => Use::WhileValidated,
        Some(stale) => match advised.max_stale {
            Some(most) if !life.only_as_told && is_within(stale, most) => Use::AsAsked,
            _ => Use::Validate,
        },
    }
}

/// How an origin failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It could not be reached, or broke off before it had answered.
    Unreachable,
    /// It answered with this status.
    Status(u16),
}

/// Whether a stored response may be served in place of a failure: RFC 5861 §4, and RFC 9111 §4.2.4 for a cache that is
/// disconnected.
pub fn may_stand_in(
    life: &Life,
    failure: Failure,
    plan: &Plan,
    now: Time,
    outdated: Option<Time>,
) -> bool {
    let is_failure = match failure {
        Failure::Unreachable => true,
        Failure::Status(status) => matches!(status, 500 | 502..=504),
    };
    if !is_failure || life.never_stale {
        return false;
    }
    let stale = stale_for(life, now, outdated).unwrap_or(0);
    if is_within(stale, plan.serve_stale.unwrap_or(life.stale_if_error)) {
        return true;
    }
    let is_disconnected = failure == Failure::Unreachable && !life.only_as_told;
    is_disconnected && is_within(stale, plan.stands_in)
}

/// Whether nobody may have a stored response before its origin was asked: where that cannot be done the answer is an error
/// (RFC 9111 §4.2.4, §5.2.2.2), 504 unless another one says more.
pub fn must_be_validated(life: &Life, now: Time, outdated: Option<Time>) -> bool {
    let never_as_it_is = life.never_stale || life.only_as_told;
    life.validates_always || (never_as_it_is && stale_for(life, now, outdated).is_some())
}

fn stale_for(life: &Life, now: Time, outdated: Option<Time>) -> Option<u64> {
    let since = outdated.map(|outdated| now.since(outdated));
    life.stale_for(now).max(since)
}

/// `stale` milliseconds are in a window of so many seconds.
const fn is_within(stale: u64, window: u32) -> bool {
    stale < window as u64 * 1_000
}
