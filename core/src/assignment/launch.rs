//! Instances of one definition that a node must run, as compact as they can be told.

use super::{Assignment, resolve};
use crate::instance::HostPorts;
use crate::{App, Instance, InstanceId, TaskId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// Launches of one app on one node. The definition travels once, and the agent works out what each
/// launch needs: a leader that starts a million tasks does not build a million environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The definition that they run.
    pub app: Arc<App>,
    /// The launches.
    pub instances: Vec<Launched>,
}

/// What tells one launch of an app from the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launched {
    /// The instance.
    #[serde(rename = "i")]
    pub uuid: Uuid,
    /// Which launch of it.
    #[serde(rename = "n")]
    pub incarnation: u32,
    /// Host ports in the order of [`App::ports`].
    #[serde(rename = "p", default, skip_serializing_if = "is_without")]
    pub host_ports: HostPorts,
}

fn is_without(ports: &HostPorts) -> bool {
    ports.is_empty()
}

impl Launched {
    /// The current launch of an instance; none without a seat.
    pub fn of(instance: &Instance) -> Option<Self> {
        let seat = instance.seat.as_ref()?;
        Some(Self { uuid: instance.id.uuid(), incarnation: instance.incarnation, host_ports: seat.host_ports.clone() })
    }

    /// The task of this launch of an instance of `app`.
    pub fn task_id(&self, app: &App) -> TaskId {
        TaskId::new(&InstanceId::new(&app.id, self.uuid), self.incarnation)
    }
}

impl Launch {
    /// The tasks that it names.
    pub fn tasks(&self) -> impl Iterator<Item = TaskId> {
        self.instances.iter().map(|launched| launched.task_id(&self.app))
    }

    /// What each launch needs on the node `hostname`, or why it cannot be run.
    pub fn resolve(&self, hostname: &str) -> impl Iterator<Item = (TaskId, Result<Assignment, String>)> {
        self.instances.iter().map(move |launched| (launched.task_id(&self.app), resolve(&self.app, launched, hostname)))
    }
}
