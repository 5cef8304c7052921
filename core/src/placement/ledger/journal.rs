//! Changes since a draft began, so that a draft that comes to nothing leaves nothing behind.

use crate::node::{Node, NodeId};
use crate::{AppId, Instance};
use std::sync::Arc;

/// One change, with what was before.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// An instance became another, appeared or vanished.
    Instance {
        /// As it was.
        before: Option<Arc<Instance>>,
        /// As it is.
        after: Option<Arc<Instance>>,
    },
    /// Room on a node was promised, or no more.
    Promise {
        /// The node.
        node: NodeId,
        /// To whom.
        app: AppId,
        /// What was promised before.
        before: Option<super::Promise>,
    },
    /// A node was described anew, appeared or left.
    Node {
        /// Its id.
        id: NodeId,
        /// As it was.
        before: Option<Arc<Node>>,
    },
}

/// Changes in order, while a draft is under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal {
    pub(crate) open: bool,
    pub(crate) changes: Vec<Change>,
}

impl Journal {
    pub(crate) fn note(&mut self, change: impl FnOnce() -> Change) {
        if self.open {
            self.changes.push(change());
        }
    }
}
