//! Comparisons of a number in TX, which end most rules that stand behind a gate.

use super::{Operator, Piece, Selector, Target, Template, TxId};
use crate::operators::Order;
use crate::pipeline::Node;

/// A comparison of a number in TX, as the gates of paranoia levels are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quick {
    pub(crate) left: TxId,
    /// Whether it is counted instead of read.
    pub(crate) count: bool,
    pub(crate) order: Order,
    pub(crate) right: Right,
    pub(crate) negated: bool,
}

/// What a number is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Right {
    Number(i64),
    Tx(TxId),
}

impl Quick {
    /// The comparison of a link that compares one number in TX, and nothing else.
    pub(super) fn of(
        looks: &[Target],
        excludes: &[Target],
        operator: &Operator,
        negated: bool,
        stages: &[Node],
    ) -> Option<Quick> {
        let [look] = looks else { return None };
        let (Selector::Tx(left), [], [Node::ROOT]) = (&look.selector, excludes, stages) else {
            return None;
        };
        let Operator::Number(order, Template(pieces)) = operator else {
            return None;
        };
        let right = match pieces.as_slice() {
            [Piece::Tx(id)] => Right::Tx(*id),
            [Piece::Text(text)] => Right::Number(crate::operators::number(text)),
            _ => return None,
        };
        Some(Quick {
            left: *left,
            count: look.count,
            order: *order,
            right,
            negated,
        })
    }
}
