//! An instance on its way: its definition by name.

use crate::cluster::Cluster;
use crate::health::Health;
use crate::instance::{Condition, Goal, Observed, SandboxBase, Seat};
use crate::{App, AppId, Instance, InstanceId, TaskId, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SentInstance {
    #[serde(rename = "i")]
    pub(super) id: InstanceId,
    #[serde(rename = "a")]
    pub(super) app: (AppId, Timestamp),
    #[serde(rename = "n")]
    incarnation: u32,
    #[serde(rename = "g", default)]
    goal: Goal,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    seat: Option<Seat>,
    #[serde(rename = "c")]
    condition: Condition,
    #[serde(rename = "t")]
    since: Timestamp,
    #[serde(rename = "l")]
    staged_at: Timestamp,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    unreachable_since: Option<Timestamp>,
    #[serde(rename = "d", default)]
    inactive: bool,
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    free_relaunch_at: Option<Timestamp>,
    #[serde(rename = "x", default)]
    excused: bool,
    #[serde(rename = "o", default)]
    observed: SentObserved,
}

impl SentInstance {
    pub(super) fn of(instance: &Instance, app: (AppId, Timestamp)) -> Self {
        Self {
            id: instance.id.clone(),
            app,
            incarnation: instance.incarnation,
            goal: instance.goal,
            seat: instance.seat.clone(),
            condition: instance.condition,
            since: instance.since,
            staged_at: instance.staged_at,
            unreachable_since: instance.unreachable_since,
            inactive: instance.inactive,
            free_relaunch_at: instance.free_relaunch_at,
            excused: instance.excused,
            observed: SentObserved::of(&instance.observed, &instance.task_id()),
        }
    }

    /// The instance as a part of `cluster`: with the ids of its app and its node that are there already, and
    /// what the sandboxes of the node have in common.
    pub(super) fn instance(&self, app: Arc<App>, cluster: &Cluster) -> Instance {
        let mut seat = self.seat.clone();
        if let Some(seat) = &mut seat
            && let Some((node, _)) = cluster.nodes.get_key_value(&seat.node)
        {
            seat.node = node.clone();
        }
        let base = seat.as_ref().and_then(|seat| cluster.sandbox_bases.get(&seat.node));
        Instance {
            id: InstanceId::new(&app.id, self.id.uuid()),
            app,
            incarnation: self.incarnation,
            goal: self.goal,
            seat,
            condition: self.condition,
            since: self.since,
            staged_at: self.staged_at,
            unreachable_since: self.unreachable_since,
            inactive: self.inactive,
            free_relaunch_at: self.free_relaunch_at,
            excused: self.excused,
            observed: self.observed.observed(&TaskId::new(&self.id, self.incarnation), base),
        }
    }
}

/// What was observed, in the words of the agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct SentObserved {
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(rename = "r")]
    ready: bool,
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    container: Option<String>,
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    sandbox: Option<String>,
    #[serde(rename = "a", skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<IpAddr>,
    #[serde(rename = "h", skip_serializing_if = "Vec::is_empty")]
    health: Vec<Health>,
    #[serde(rename = "m", skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl SentObserved {
    fn of(observed: &Observed, task: &TaskId) -> Self {
        Self {
            started_at: observed.started_at,
            ready: observed.ready,
            container: observed.container(),
            sandbox: observed.sandbox(task),
            addresses: observed.addresses().to_vec(),
            health: observed.health().to_vec(),
            message: observed.message().map(str::to_owned),
        }
    }

    fn observed(&self, task: &TaskId, base: Option<&SandboxBase>) -> Observed {
        Observed::new(self.started_at, self.ready).at(task, self.container.clone(), self.sandbox.clone(), base).with(
            self.addresses.clone(),
            self.health.clone(),
            self.message.clone(),
        )
    }
}

impl Cluster {
    /// Puts, or removes, an instance and keeps what is derived: loads of nodes and what their sandboxes
    /// have in common.
    pub(in crate::cluster) fn replace_instance(&mut self, id: &InstanceId, instance: Option<Instance>) {
        let before = match instance {
            None => self.instances.remove(id),
            Some(instance) => {
                if let (Some(node), Some(base)) = (instance.node(), instance.observed.sandbox_base())
                    && self.sandbox_bases.get(node).is_none_or(|known| known != base)
                {
                    self.sandbox_bases.insert(node.clone(), Arc::clone(base));
                }
                let instance = Arc::new(instance);
                let before = self.instances.insert(Arc::clone(&instance));
                self.move_load(before.as_deref(), Some(&instance));
                return;
            }
        };
        self.move_load(before.as_deref(), None);
    }

    /// Gives back what an instance holds of its node, before others come that may hold it next. The
    /// instance itself must be replaced or removed afterwards.
    pub(in crate::cluster) fn vacate(&mut self, id: &InstanceId) {
        let before = self.instances.get(id).cloned();
        self.move_load(before.as_deref(), None);
    }

    fn move_load(&mut self, before: Option<&Instance>, after: Option<&Instance>) {
        if let Some(before) = before
            && let Some(seat) = &before.seat
            && let Some(load) = self.loads.get_mut(&seat.node)
        {
            load.give_back(&before.id, &before.app, seat);
        }
        if let Some(after) = after {
            self.occupy_one(after);
        }
    }
}
