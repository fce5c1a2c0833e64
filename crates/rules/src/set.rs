//! Many expressions, asked together.
//!
//! What stands in several expressions is asked once. And most expressions are not asked at all: each waits for a comparison without
//! which it cannot hold, such as `http.request.uri.path eq "/x"`. Comparisons of one field that are waited for are looked up together,
//! in one table ([`groups`]); only those expressions whose comparison holds are looked at further.
//!
//! Not here: what an expression by itself costs and means, which is the same here as there.

mod choose;
mod groups;
mod memo;
mod tables;

use std::collections::HashMap;
use std::sync::Arc;

use seawall_model::{Fuel, RequestView, Spent};

use crate::expression::{Expression, Leaf, Node};
use crate::value::Seen;
use groups::Groups;
use memo::Memo;

/// Expressions that are asked together.
#[derive(Debug)]
pub struct Set {
    leaves: Box<[Arc<Leaf>]>,
    trees: Box<[Tree]>,
    groups: Groups,
    /// For each leaf the expressions that wait for it.
    waiting: Box<[Box<[u32]>]>,
    /// Expressions that wait for nothing.
    always: Box<[u32]>,
}

/// An expression whose leaves are those of the set.
#[derive(Debug)]
enum Tree {
    Leaf(u32),
    Not(Box<Tree>),
    All(Box<[Tree]>),
    Any(Box<[Tree]>),
    Odd(Box<[Tree]>),
}

/// What visiting a node costs: less than by itself, because most leaves are known.
const NODE: u64 = 3;
/// Units for beginning.
const BEGIN: u64 = 40;

impl Set {
    /// A set of these, in their order.
    pub fn new<'e>(expressions: impl IntoIterator<Item = &'e Expression>) -> Self {
        let mut numbers = HashMap::new();
        let mut leaves = Vec::new();
        let trees: Vec<Tree> = expressions
            .into_iter()
            .map(|expression| Tree::of(&expression.root, &mut numbers, &mut leaves))
            .collect();
        let chosen = choose::choose(&trees, &leaves);
        let mut waiting: Vec<Vec<u32>> = vec![Vec::new(); leaves.len()];
        let mut always = Vec::new();
        for (nth, waits_for) in (0_u32..).zip(&chosen.waits_for) {
            match waits_for {
                None => always.push(nth),
                Some(leaves) => {
                    for leaf in leaves {
                        if let Some(waiting) = waiting.get_mut(*leaf as usize) {
                            waiting.push(nth);
                        }
                    }
                }
            }
        }
        Self {
            leaves: leaves.into(),
            trees: trees.into(),
            groups: chosen.groups,
            waiting: waiting.into_iter().map(Into::into).collect(),
            always: always.into(),
        }
    }

    /// How many expressions there are.
    pub fn len(&self) -> usize {
        self.trees.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.trees.is_empty()
    }

    /// Writes the numbers of the expressions that hold for a request, counted from 0, in their order.
    ///
    /// # Errors
    /// [`Spent`] when there is not enough fuel to know.
    pub fn fitting(
        &self,
        view: &RequestView<'_>,
        fuel: &mut Fuel,
        found: &mut Vec<u32>,
    ) -> Result<(), Spent> {
        let seen = Seen::new(view);
        found.clear();
        fuel.spend(BEGIN + self.leaves.len() as u64 / 32 + self.trees.len() as u64 / 64)?;
        let mut memo = Memo::new(self.leaves.len(), self.trees.len());
        self.groups.ask(seen, fuel, &mut |leaf, fuel| {
            memo.put(leaf, true);
            let waiting = self.waiting.get(leaf as usize);
            let waiting = waiting.map(AsRef::as_ref).unwrap_or_default();
            fuel.spend(1 + waiting.len() as u64)?;
            waiting.iter().for_each(|nth| memo.look_at(*nth));
            Ok(())
        })?;
        self.always.iter().for_each(|nth| memo.look_at(*nth));
        let mut at = 0;
        while let Some(nth) = memo.next(&mut at) {
            let Some(tree) = self.trees.get(nth as usize) else {
                break;
            };
            if self.holds(tree, seen, fuel, &mut memo)? {
                found.push(nth);
            }
        }
        Ok(())
    }

    /// Recurses as deep as parentheses were nested.
    fn holds(
        &self,
        tree: &Tree,
        seen: Seen<'_>,
        fuel: &mut Fuel,
        memo: &mut Memo,
    ) -> Result<bool, Spent> {
        fuel.spend(NODE)?;
        match tree {
            Tree::Leaf(leaf) => self.leaf(*leaf, seen, fuel, memo),
            Tree::Not(tree) => self.holds(tree, seen, fuel, memo).map(|holds| !holds),
            Tree::All(trees) => {
                for tree in trees {
                    if !self.holds(tree, seen, fuel, memo)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Tree::Any(trees) => {
                for tree in trees {
                    if self.holds(tree, seen, fuel, memo)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Tree::Odd(trees) => {
                let mut odd = false;
                for tree in trees {
                    odd ^= self.holds(tree, seen, fuel, memo)?;
                }
                Ok(odd)
            }
        }
    }

    fn leaf(
        &self,
        leaf: u32,
        seen: Seen<'_>,
        fuel: &mut Fuel,
        memo: &mut Memo,
    ) -> Result<bool, Spent> {
        if let Some(known) = memo.get(leaf) {
            return Ok(known);
        }
        // The groups told all that hold of theirs.
        let holds = match self.leaves.get(leaf as usize) {
            Some(test) if !self.groups.decide(leaf) => test.holds(seen, fuel)?,
            _ => false,
        };
        memo.put(leaf, holds);
        Ok(holds)
    }
}

impl Tree {
    /// The same with numbers for leaves; equal leaves have one number.
    fn of(node: &Node, numbers: &mut HashMap<Arc<Leaf>, u32>, leaves: &mut Vec<Arc<Leaf>>) -> Self {
        let mut all = |nodes: &[Node]| {
            let trees = nodes.iter().map(|node| Self::of(node, numbers, leaves));
            trees.collect::<Box<[Self]>>()
        };
        match node {
            Node::Not(node) => Self::Not(Box::new(Self::of(node, numbers, leaves))),
            Node::All(nodes) => Self::All(all(nodes)),
            Node::Any(nodes) => Self::Any(all(nodes)),
            Node::Odd(nodes) => Self::Odd(all(nodes)),
            Node::Leaf(leaf) => {
                let number = numbers.entry(leaf.clone()).or_insert_with(|| {
                    leaves.push(leaf.clone());
                    (leaves.len() - 1) as u32
                });
                Self::Leaf(*number)
            }
        }
    }
}
