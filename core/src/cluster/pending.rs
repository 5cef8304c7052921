//! Small facts about apps in trouble and tasks that ended.

use crate::assignment::{Exit, FailureReason};
use crate::instance::Condition;
use crate::package::PackageInstance;
use crate::placement::Refusals;
use crate::{App, AppId, Instance, TaskId, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Ended tasks kept for clients (Mesos: 1000 per framework).
pub const COMPLETED_MAX: usize = 1000;

/// The pause of an app that keeps failing (marathon.md 1.13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delay {
    /// Length of the current pause, milliseconds.
    pub pause_ms: i64,
    /// No launch before this.
    pub until: Timestamp,
}

/// An app with instances that have no node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Since when.
    pub since: Timestamp,
    /// How many instances wait.
    pub count: u32,
    /// Why the last attempt failed; `None` while the app is paused.
    pub refusals: Option<Refusals>,
    /// Attempts that looked at nodes.
    pub attempts: u64,
}

/// The last failure of an app, kept across restarts of the controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastFailure {
    /// The app.
    pub app_id: AppId,
    /// The task.
    pub task_id: TaskId,
    /// Host name of its node.
    pub host: String,
    /// Node.
    pub node: String,
    /// How it ended.
    pub condition: Condition,
    /// Why, as a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<FailureReason>,
    /// One sentence.
    pub message: String,
    /// When.
    pub timestamp: Timestamp,
    /// Version of the app.
    pub version: Timestamp,
}

/// An app that a running deployment has removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemovedApp {
    /// Its last definition.
    pub app: Arc<App>,
    /// The package it came from.
    pub package: Option<Arc<PackageInstance>>,
}

/// A task that ended.
#[derive(Debug, Clone)]
pub struct CompletedTask {
    /// The instance as it was last.
    pub instance: Arc<Instance>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// Why.
    pub reason: Option<FailureReason>,
    /// When.
    pub at: Timestamp,
}
