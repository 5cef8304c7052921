//! What operators have ordered for a node. Durable.

use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// What becomes of a node once its last task has left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AfterDrain {
    /// It stays, closed for new tasks, until it is reactivated.
    #[default]
    Deactivate,
    /// It leaves the cluster for ever.
    Decommission,
}

/// An order to empty a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// When it was given.
    pub since: Timestamp,
    /// From then on tasks are stopped whether or not they could be replaced; without it the drain
    /// waits for as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// What follows.
    #[serde(default)]
    pub then: AfterDrain,
}

/// The administrative state of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Administration {
    /// In use.
    #[default]
    Active,
    /// Closed for new tasks; those that run there stay.
    Deactivated {
        /// Since when.
        since: Timestamp,
        /// It was emptied by a drain.
        #[serde(default)]
        drained: bool,
    },
    /// Being emptied.
    Draining(Drain),
}

impl Administration {
    /// Whether new tasks may be placed.
    pub const fn accepts_tasks(self) -> bool {
        matches!(self, Self::Active)
    }

    /// The drain under way.
    pub const fn drain(self) -> Option<Drain> {
        match self {
            Self::Draining(drain) => Some(drain),
            Self::Active | Self::Deactivated { .. } => None,
        }
    }

    /// When an operator closed the node.
    pub const fn closed_since(self) -> Option<Timestamp> {
        match self {
            Self::Active => None,
            Self::Deactivated { since, .. } => Some(since),
            Self::Draining(drain) => Some(drain.since),
        }
    }
}
