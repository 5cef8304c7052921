//! Instances and tasks: one copy of an app, and its incarnations (marathon.md 1.10).

mod condition;
mod id;
mod observed;
mod ports;

pub use condition::{Condition, Goal};
pub use id::{InstanceId, TaskId, TaskIdError};
pub use observed::{Observed, SandboxBase};
pub use ports::HostPorts;

use crate::health::Health;
use crate::node::NodeId;
use crate::{App, AppId, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where an incarnation runs: a decision of the scheduler, durable in the node's assignment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// The node.
    pub node: NodeId,
    /// Host ports in the order of [`App::ports`]; 0 where the port has no host port.
    pub host_ports: HostPorts,
}

/// One copy of an app. The id stays when a failed task is launched again; the incarnation counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Stable id.
    pub id: InstanceId,
    /// The exact definition it runs; outlives the app itself.
    pub app: Arc<App>,
    /// Counts launches, from 1; 0 before the first.
    pub incarnation: u32,
    /// What should become of it.
    pub goal: Goal,
    /// Where it runs.
    pub seat: Option<Seat>,
    /// State of the current incarnation.
    pub condition: Condition,
    /// When `condition` was entered.
    pub since: Timestamp,
    /// When the current incarnation was given to its node.
    pub staged_at: Timestamp,
    /// Since when its node is lost.
    pub unreachable_since: Option<Timestamp>,
    /// Lost for so long that it counts for nothing and may be replaced (Marathon: `UnreachableInactive`).
    pub inactive: bool,
    /// Last time this instance was relaunched without a pause because it had been stable.
    pub free_relaunch_at: Option<Timestamp>,
    /// Waits for a node without sharing the pause of its app.
    pub excused: bool,
    /// Last observation.
    pub observed: Observed,
}

impl Instance {
    /// A new instance of `app` that waits for a node since `now`.
    pub fn scheduled(id: InstanceId, app: Arc<App>, now: Timestamp) -> Self {
        Self {
            id,
            app,
            incarnation: 0,
            goal: Goal::Running,
            seat: None,
            condition: Condition::Scheduled,
            since: now,
            staged_at: now,
            unreachable_since: None,
            inactive: false,
            free_relaunch_at: None,
            excused: false,
            observed: Observed::default(),
        }
    }

    /// The id of the app.
    pub fn app_id(&self) -> &AppId {
        &self.app.id
    }

    /// The id of the current incarnation's task.
    pub fn task_id(&self) -> TaskId {
        TaskId::new(&self.id, self.incarnation)
    }

    /// Sandbox directory of the current task on its node, once its agent has said it.
    pub fn sandbox(&self) -> Option<String> {
        self.observed.sandbox(&self.task_id())
    }

    /// The node it runs on, if placed.
    pub fn node(&self) -> Option<&NodeId> {
        self.seat.as_ref().map(|seat| &seat.node)
    }

    /// `Some(true)` when every health check last succeeded, `Some(false)` when one failed or has no
    /// result while another has, `None` when there are no checks or no result that counts yet.
    pub fn healthy(&self) -> Option<bool> {
        let health = self.observed.health();
        if self.app.health_checks.is_empty()
            || health.iter().all(|health| health.last_success.is_none() && health.last_failure.is_none())
        {
            return None;
        }
        Some(health.len() >= self.app.health_checks.len() && health.iter().all(Health::is_alive))
    }

    /// Whether it counts as serving in upgrade arithmetic: running, and healthy and ready where
    /// checks say so.
    pub fn is_serving(&self) -> bool {
        self.condition == Condition::Running
            && self.goal == Goal::Running
            && (self.app.health_checks.is_empty() || self.healthy() == Some(true))
            && (self.app.readiness_checks.is_empty() || self.observed.ready)
    }
}
