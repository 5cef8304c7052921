//! States of an instance and what should become of it.

use serde::{Deserialize, Serialize};

/// State of an instance, as Marathon names it. Shown to Mesos clients as `TASK_<NAME>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are Mesos task states")]
pub enum Condition {
    /// Waits for a node.
    Scheduled,
    /// Given to a node, which fetches and prepares.
    Staging,
    Starting,
    Running,
    /// Asked to stop.
    Killing,
    Finished,
    Failed,
    Killed,
    Error,
    Gone,
    Dropped,
    /// Its node is lost.
    Unreachable,
    Unknown,
}

impl Condition {
    /// The Mesos task state.
    pub const fn task_state(self) -> &'static str {
        match self {
            Self::Scheduled | Self::Staging => "TASK_STAGING",
            Self::Starting => "TASK_STARTING",
            Self::Running => "TASK_RUNNING",
            Self::Killing => "TASK_KILLING",
            Self::Finished => "TASK_FINISHED",
            Self::Failed => "TASK_FAILED",
            Self::Killed => "TASK_KILLED",
            Self::Error => "TASK_ERROR",
            Self::Gone => "TASK_GONE",
            Self::Dropped => "TASK_DROPPED",
            Self::Unreachable => "TASK_UNREACHABLE",
            Self::Unknown => "TASK_UNKNOWN",
        }
    }

    /// Whether the task has ended for good.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Killed | Self::Error | Self::Gone | Self::Dropped | Self::Unknown)
    }

    /// Whether the task occupies its node.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Staging | Self::Starting | Self::Running | Self::Killing | Self::Unreachable)
    }
}

/// What should become of an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Run, and run again when it ends.
    #[default]
    Running,
    /// Stop the current task, then launch it again (a kill asked for by a person).
    Restarted,
    /// Stop and forget.
    Decommissioned,
}
