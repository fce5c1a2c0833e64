//! Pipelines of transformations, as a tree: rules whose transformations begin alike share what they have in common.

use std::collections::HashMap;

use crate::transform::{touched, touches_all};
use crate::vocabulary::Transformation;

/// A place in the tree: the transformations from the root to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Node(u16);

impl Node {
    /// No transformation.
    pub(crate) const ROOT: Self = Self(0);

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug)]
struct Step {
    before: Node,
    transformation: Transformation,
    /// Texts without any of these kinds of bytes come out as they are.
    touched: u16,
    touches_all: bool,
}

/// All pipelines of a program.
#[derive(Debug, Default)]
pub(crate) struct Pipelines {
    /// Step n leads to node n + 1.
    steps: Vec<Step>,
    known: HashMap<(Node, Transformation), Node>,
}

impl Pipelines {
    /// The node of these transformations. None when there are too many pipelines.
    pub(crate) fn add(&mut self, transformations: &[Transformation]) -> Option<Node> {
        let mut node = Node::ROOT;
        for transformation in transformations {
            node = self.child(node, *transformation)?;
        }
        Some(node)
    }

    fn child(&mut self, before: Node, transformation: Transformation) -> Option<Node> {
        if let Some(node) = self.known.get(&(before, transformation)) {
            return Some(*node);
        }
        let node = Node(u16::try_from(self.steps.len() + 1).ok()?);
        let (so_far, all_so_far) = match self.at(before) {
            Some(step) => (step.touched, step.touches_all),
            None => (0, false),
        };
        self.steps.push(Step {
            before,
            transformation,
            touched: so_far | touched(transformation),
            touches_all: all_so_far || touches_all(transformation),
        });
        self.known.insert((before, transformation), node);
        Some(node)
    }

    fn at(&self, node: Node) -> Option<&Step> {
        self.steps.get(node.index().checked_sub(1)?)
    }

    /// How many nodes there are, the root included.
    pub(crate) fn nodes(&self) -> usize {
        self.steps.len() + 1
    }

    /// Whether a text with these kinds of bytes comes out as it is.
    pub(crate) fn leaves(&self, node: Node, classes: u16) -> bool {
        self.at(node)
            .is_none_or(|step| !step.touches_all && step.touched & classes == 0)
    }

    /// The node before, and the transformation that leads from it to this one.
    pub(crate) fn step(&self, node: Node) -> Option<(Node, Transformation)> {
        self.at(node).map(|step| (step.before, step.transformation))
    }

    /// All nodes from the root to this one.
    pub(crate) fn path(&self, node: Node) -> Vec<Node> {
        let mut path = vec![node];
        let mut at = node;
        while let Some((before, _)) = self.step(at) {
            path.push(before);
            at = before;
        }
        path.reverse();
        path
    }
}
