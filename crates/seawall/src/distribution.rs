//! How what control decides reaches edges: objects and one signed manifest, put where edges can read them, and read there again and
//! again at a constant pace.
//!
//! Control is needed to publish; to serve, and to read what was published, it is not. Formats, signatures and the tree of
//! zones are in the room `bundle`; here is the IO. A place where things are published is dumb: it may be old, damaged or
//! hostile, and what is read from it is checked before it is believed.

pub mod bring;
pub mod bucket;
mod connector;
pub mod fetch;
pub mod folder;
pub mod follower;
#[cfg(test)]
mod hostile;
pub mod identity;
pub mod joining;
pub mod keys;
#[cfg(test)]
mod measured;
pub mod mirror;
pub mod news;
pub mod pack;
#[cfg(test)]
mod places;
pub mod publisher;
pub mod ring;
pub mod serve;
pub mod source;
pub mod sweep;

use seawall_bundle as bundle;
use seawall_control::Chain;

/// A chain as bundles name it.
pub fn to_bundle(chain: &Chain) -> bundle::Chain {
    match chain {
        Chain::Platform => bundle::Chain::Platform,
        Chain::Zone(name) => bundle::Chain::Zone(name.clone()),
    }
}

/// A chain as control names it.
pub fn from_bundle(chain: &bundle::Chain) -> Chain {
    match chain {
        bundle::Chain::Platform => Chain::Platform,
        bundle::Chain::Zone(name) => Chain::Zone(name.clone()),
    }
}
