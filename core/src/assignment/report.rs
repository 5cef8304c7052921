//! What an agent says is true of a task.

use crate::health::Health;
use crate::instance::Condition;
use crate::{TaskId, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// Exit status.
    Code(i32),
    /// Ended by a signal.
    Signal(i32),
}

/// Why a task ended or could not start, as a word for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureReason {
    /// Its command ended.
    CommandExited,
    /// It used more memory than its limit.
    OutOfMemory,
    /// An artifact could not be fetched or unpacked.
    FetchFailed,
    /// The image could not be pulled.
    ImagePullFailed,
    /// The executor could not start it.
    LaunchFailed,
    /// Too many failed health checks.
    Unhealthy,
    /// It was asked to stop.
    Stopped,
    /// The node restarted under it.
    NodeRestarted,
    /// The agent does not know it.
    Unknown,
}

/// The whole truth about one task now; each report replaces the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The task.
    pub task: TaskId,
    /// Its state: Staging, Starting, Running, Killing, or a terminal one.
    pub condition: Condition,
    /// When that state was entered.
    pub at: Timestamp,
    /// When it was first running.
    pub started_at: Option<Timestamp>,
    /// Why, for terminal states.
    pub reason: Option<FailureReason>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// One sentence for people.
    pub message: Option<String>,
    /// Results of the health checks, in the order of the container's checks.
    pub health: Vec<Health>,
    /// All readiness checks have passed.
    pub ready: bool,
    /// Addresses of its own network.
    pub addresses: Vec<IpAddr>,
    /// Container or run id.
    pub container: Option<String>,
    /// Sandbox directory.
    pub sandbox: Option<String>,
}

impl TaskReport {
    /// The report a task begins with: it is being prepared.
    pub const fn first(task: TaskId, at: Timestamp) -> Self {
        Self {
            task,
            condition: Condition::Staging,
            at,
            started_at: None,
            reason: None,
            exit: None,
            message: None,
            health: Vec::new(),
            ready: false,
            addresses: Vec::new(),
            container: None,
            sandbox: None,
        }
    }

    /// The report of a task that never ran because it cannot be, with the reason for people.
    pub fn unlaunchable(task: TaskId, at: Timestamp, message: String) -> Self {
        let reason = Some(FailureReason::LaunchFailed);
        Self { condition: Condition::Failed, reason, message: Some(message), ..Self::first(task, at) }
    }
}
