//! Why nodes were refused, counted.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Reasons in the order in which they are tried, one per node (marathon.md 1.13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are Marathon's words")]
pub enum Reason {
    /// The quota of the app's role is used up; no node was asked. Ours.
    QuotaReached,
    UnfulfilledRole,
    UnfulfilledConstraint,
    NoCorrespondingReservationFound,
    AgentMaintenance,
    /// The node has no executor for this kind of container. Ours; Marathon would have failed the task.
    MissingExecutor,
    InsufficientCpus,
    InsufficientMemory,
    InsufficientDisk,
    InsufficientGpus,
    /// Too little is left of a resource with a name of its own. Ours.
    InsufficientResources,
    InsufficientPorts,
    /// The node runs as many tasks as a node may. Ours.
    TooManyTasks,
}

impl Reason {
    /// All, in order.
    pub const ALL: [Self; 13] = [
        Self::QuotaReached,
        Self::UnfulfilledRole,
        Self::UnfulfilledConstraint,
        Self::NoCorrespondingReservationFound,
        Self::AgentMaintenance,
        Self::MissingExecutor,
        Self::InsufficientCpus,
        Self::InsufficientMemory,
        Self::InsufficientDisk,
        Self::InsufficientGpus,
        Self::InsufficientResources,
        Self::InsufficientPorts,
        Self::TooManyTasks,
    ];
}

/// Counted refusals of one attempt to place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusals {
    /// Nodes looked at.
    pub nodes: u64,
    /// Nodes refused, by reason.
    pub by_reason: BTreeMap<Reason, u64>,
    /// Nodes refused, by text of the constraint, required port or missing executor.
    pub details: BTreeMap<String, u64>,
    /// The smallest change seen that would let one more instance fit.
    pub hint: Option<String>,
}

impl Refusals {
    /// Counts one refused node.
    pub fn count(&mut self, reason: Reason, detail: Option<String>) {
        *self.by_reason.entry(reason).or_default() += 1;
        if let Some(detail) = detail {
            *self.details.entry(detail).or_default() += 1;
        }
    }

    /// One sentence for people.
    pub fn sentence(&self) -> String {
        if self.nodes == 0 {
            return "there are no nodes in the cluster; start an agent".into();
        }
        let parts: Vec<String> = self.by_reason.iter().map(|(reason, count)| format!("{reason:?} on {count}")).collect();
        let details: Vec<String> = self.details.iter().map(|(detail, count)| format!("{detail} refused {count}")).collect();
        let mut text = format!("none of {} nodes fits: {}", self.nodes, parts.join(", "));
        if !details.is_empty() {
            text = format!("{text} ({})", details.join("; "));
        }
        if let Some(hint) = &self.hint {
            text.push_str("; ");
            text.push_str(hint);
        }
        text
    }
}
