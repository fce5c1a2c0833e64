//! What each expression waits for: a comparison without which it cannot hold, that few others have, and that can be looked up
//! together with others.

use std::sync::Arc;

use super::Tree;
use super::groups::{Groups, Kind, kind};
use crate::expression::Leaf;

/// The groups, and for each expression the leaves of which one must hold; none where it waits for nothing.
pub(super) struct Chosen {
    pub(super) groups: Groups,
    pub(super) waits_for: Vec<Option<Vec<u32>>>,
}

/// More than this is no longer waited for one by one.
const MOST_WAITED_FOR: usize = 64;

pub(super) fn choose(trees: &[Tree], leaves: &[Arc<Leaf>]) -> Chosen {
    let mut used = vec![0_usize; leaves.len()];
    for tree in trees {
        count(tree, &mut used);
    }
    let kinds: Vec<Option<Kind>> = leaves.iter().map(|leaf| kind(leaf)).collect();
    let prices: Vec<Option<usize>> = kinds
        .iter()
        .zip(&used)
        .map(|(kind, used)| kind.map(|kind| used + dear(kind)))
        .collect();
    let mut waits_for: Vec<Option<Vec<u32>>> = trees
        .iter()
        .map(|tree| cheapest(tree, &prices).map(|(_, leaves)| leaves))
        .collect();
    let mut wanted = vec![false; leaves.len()];
    for leaf in waits_for.iter().flatten().flatten() {
        if let Some(wanted) = wanted.get_mut(*leaf as usize) {
            *wanted = true;
        }
    }
    let groups = Groups::new(leaves, &wanted);
    for waiting in &mut waits_for {
        // Some were too few for a table.
        if waiting
            .as_ref()
            .is_some_and(|leaves| !leaves.iter().all(|leaf| groups.decide(*leaf)))
        {
            *waiting = None;
        }
    }
    Chosen { groups, waits_for }
}

/// In how many expressions each leaf stands, roughly: it may stand twice in one.
fn count(tree: &Tree, used: &mut [usize]) {
    match tree {
        Tree::Leaf(leaf) => {
            if let Some(used) = used.get_mut(*leaf as usize) {
                *used += 1;
            }
        }
        Tree::Not(tree) => count(tree, used),
        Tree::All(trees) | Tree::Any(trees) | Tree::Odd(trees) => {
            trees.iter().for_each(|tree| count(tree, used));
        }
    }
}

/// How much rather another one: a text that is searched, or must be made first, costs each request.
const fn dear(kind: Kind) -> usize {
    match kind {
        Kind::Exact | Kind::Address => 0,
        Kind::Contained => 2,
        Kind::Made => 8,
    }
}

/// The leaves of which at least one must hold if this does, as cheap as can be; none where it may hold without any.
fn cheapest(tree: &Tree, prices: &[Option<usize>]) -> Option<(usize, Vec<u32>)> {
    match tree {
        Tree::Leaf(leaf) => {
            let price = prices.get(*leaf as usize).copied().flatten()?;
            Some((price, vec![*leaf]))
        }
        Tree::All(trees) => trees
            .iter()
            .filter_map(|tree| cheapest(tree, prices))
            .min_by_key(|(price, _)| *price),
        Tree::Any(trees) => {
            let mut all = (0, Vec::new());
            for tree in trees {
                let (price, leaves) = cheapest(tree, prices)?;
                all.0 += price;
                all.1.extend(leaves);
                if all.1.len() > MOST_WAITED_FOR {
                    return None;
                }
            }
            Some(all)
        }
        // What must not hold is nothing to wait for.
        Tree::Not(_) | Tree::Odd(_) => None,
    }
}
