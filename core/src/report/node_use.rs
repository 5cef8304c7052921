//! A node and what is on it.

use super::Columns;
use crate::node::{Administration, Node};
use std::sync::Arc;

/// A node and what its tasks take.
#[derive(Debug, Clone)]
pub struct NodeUse {
    /// The node.
    pub node: Arc<Node>,
    /// What its tasks take.
    pub taken: Columns,
    /// Its tasks.
    pub tasks: u32,
}

/// What may be said of a node in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Open, with tasks.
    InUse,
    /// Open, without tasks.
    Empty,
    /// Open, with a quarter or more of its cpus, memory or GPUs free, but for less than half of the mix.
    Stranded,
    /// Being emptied.
    Draining,
    /// Closed by an operator.
    Closed,
    /// Not heard of.
    Lost,
}

impl Standing {
    /// All, in the order of legends.
    pub const ALL: [Self; 6] = [Self::InUse, Self::Empty, Self::Stranded, Self::Draining, Self::Closed, Self::Lost];

    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InUse => "in use",
            Self::Empty => "empty",
            Self::Stranded => "stranded",
            Self::Draining => "draining",
            Self::Closed => "closed",
            Self::Lost => "lost",
        }
    }
}

impl NodeUse {
    /// A node without tasks.
    pub const fn empty(node: Arc<Node>) -> Self {
        Self { node, taken: [0; 4], tasks: 0 }
    }

    /// What the node offers.
    pub fn capacity(&self) -> Columns {
        let resources = &self.node.facts.resources;
        [resources.cpus.thousandths(), resources.mem.thousandths(), resources.disk.thousandths(), i64::from(resources.gpus)]
    }

    /// What is free, nothing below zero.
    pub fn free(&self) -> Columns {
        let capacity = self.capacity();
        std::array::from_fn(|column| capacity[column].saturating_sub(self.taken[column]).max(0))
    }

    /// Whether new tasks may be placed here.
    pub fn is_open(&self) -> bool {
        self.node.accepts_tasks()
    }

    /// Why it is not open.
    pub(super) fn closed_standing(&self) -> Standing {
        match self.node.administration {
            Administration::Draining(_) => Standing::Draining,
            Administration::Deactivated { .. } => Standing::Closed,
            Administration::Active => Standing::Lost,
        }
    }
}
