//! Why nodes were refused, counted.

use crate::app::{App, Operator};
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

/// What has still to agree when a demand is given up that rules nodes out for good, of which `constraint` is the place
/// if it is one: whoever spreads instances evenly has more values to wait for then, be there room on them or not.
pub(crate) fn proviso(app: &App, constraint: Option<usize>) -> String {
    let rules_out = |index: usize| {
        let operator = app.constraints.get(index).map(|constraint| constraint.operator);
        matches!(operator, Some(Operator::Like | Operator::Unlike | Operator::Is | Operator::Cluster))
    };
    let grouped = app.constraints.iter().find(|constraint| constraint.operator == Operator::GroupBy);
    let spread = app.placement.spread.iter().find(|rule| rule.weight.is_none());
    let words = grouped.map(|constraint| format!("constraint {constraint}"));
    let words = words.or_else(|| spread.map(|rule| format!("spread over {}", rule.field)));
    match words.filter(|_| constraint.is_none_or(rules_out)) {
        Some(words) => format!(", if {words} still allows it then"),
        None => String::new(),
    }
}

/// Of what there must be more where an app counts with what is reserved and no more.
pub(crate) fn reserved_words(app: &App) -> String {
    app.role.as_deref().map_or_else(String::new, |role| format!(" reserved for role {role}"))
}
