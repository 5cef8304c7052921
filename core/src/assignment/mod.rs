//! What one node must run, and what it reports: the words between controller and agent.

mod container;
mod environment;
mod launch;
mod message;
mod report;
mod resolve;

pub use container::{CommandSpec, ContainerSpec, ExecutorKind, HealthTarget, ImageSpec, PortBinding};
pub use environment::task_environment;
pub use launch::{Launch, Launched};
pub use message::{CONTROLLERS_SINCE, Down, PROTOCOL_VERSION, Up};
pub use report::{Exit, FailureReason, TaskReport};
pub use resolve::resolve;

use crate::{AppId, InstanceId, TaskId, Timestamp};
use serde::{Deserialize, Serialize};

/// Everything an agent needs to run one incarnation of an instance, worked out in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The instance.
    pub instance: InstanceId,
    /// Which launch of it.
    pub incarnation: u32,
    /// Path of the app, pod or job, for people and for the sandbox path.
    pub run_spec: AppId,
    /// Version of the run spec.
    pub version: Timestamp,
    /// Containers that share network, volumes and fate; an app has exactly one.
    pub containers: Vec<ContainerSpec>,
    /// Milliseconds from SIGTERM to SIGKILL when it is stopped.
    pub kill_grace_ms: u32,
}

impl Assignment {
    /// The task of this incarnation.
    pub fn task_id(&self) -> TaskId {
        TaskId::new(&self.instance, self.incarnation)
    }

    /// Ports of the node that it takes.
    pub fn host_ports(&self) -> impl Iterator<Item = u16> {
        self.containers.iter().flat_map(|container| container.ports.iter().filter_map(|port| port.host_port))
    }
}

/// Default grace between SIGTERM and SIGKILL, milliseconds (Mesos: 3 s).
pub const DEFAULT_KILL_GRACE_MS: u32 = 3_000;
