//! Nodes whose registration has been received and waits for the leader: they are not silent, however
//! long the leader takes to get to them.

use orrery_core::NodeId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The nodes, with how many registrations of each wait.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrivals(Arc<Mutex<BTreeMap<NodeId, usize>>>);

/// A registration that waits; ends with this value.
#[derive(Debug)]
pub(crate) struct Arrival {
    all: Arrivals,
    node: NodeId,
}

impl Arrivals {
    /// A registration has been received.
    pub(crate) fn announce(&self, node: &NodeId) -> Arrival {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(node.clone()).or_default() += 1;
        Arrival { all: self.clone(), node: node.clone() }
    }

    /// Whether a registration of the node waits.
    pub(crate) fn expects(&self, node: &NodeId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(node)
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.node) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.node);
            }
        }
    }
}
