//! The whole cluster as one value, and the steps that change it.
//!
//! A [`Cluster`] is immutable and cheap to clone: readers hold a snapshot, the leader works on a
//! [`Draft`] and publishes its [`Step`] only after the step's writes are durable. A step that could
//! not be stored is dropped and nothing has happened.

mod alarms;
mod app_record;
mod draft;
mod draft_ageing;
mod draft_apps;
mod draft_avoided;
mod draft_holds;
mod draft_lost;
mod draft_moves;
mod draft_nodes;
mod draft_packages;
mod draft_preempt;
mod draft_reports;
mod draft_reservations;
mod draft_roles;
mod draft_seats;
mod draft_settle;
#[cfg(test)]
mod draft_test;
mod draft_trust;
#[cfg(test)]
mod draft_trust_test;
mod drain_progress;
mod entropy;
mod event;
mod find_node;
mod forecast;
mod instances;
mod keys;
mod load;
mod mirror;
mod occupancy;
mod page;
mod pages;
mod pending;
mod rebalance;
mod replica;
#[cfg(test)]
mod replica_test;
mod retelling;
#[cfg(test)]
mod role_test;
mod service_ports;

pub use alarms::Alarms;
pub use app_record::{AppRecord, VERSIONS_MAX};
pub use draft::{Draft, EditError, Step};
pub use draft_ageing::WaitedFor;
pub use draft_apps::{AppEdit, KillRequest};
pub use draft_nodes::{Decommission, RETIRED_MAX};
pub use draft_preempt::PREEMPTED;
pub use draft_reservations::{ReservationEdit, VolumeName};
pub use draft_roles::QuotaEdit;
pub use drain_progress::Waiting;
pub use entropy::Entropy;
pub use event::Event;
pub use find_node::FindNodeError;
pub use forecast::{AppForecast, FORECAST_CHANGES_MAX, FORECAST_HORIZON_MS, FORECAST_STEPS_MAX, Forecast};
pub use instances::Instances;
pub use keys::{CLUSTER_ID, CONTROLLERS, EPOCH_KEY, INSTANCES, LEADER_KEY, ROOT};
pub use load::LoadFault;
pub use mirror::Mirror;
pub use pages::{PageReader, ReadPages};
pub use pending::{COMPLETED_MAX, CompletedTask, Delay, LastFailure, Pending, RemovedApp};
pub use rebalance::{Balance, Goal as BalanceGoal, MOVES_MAX, Move, Proposal};
pub use replica::{Delta, ReplicaFault, SNAPSHOT_PART_MAX};
pub use retelling::Retelling;
pub use service_ports::{SERVICE_PORT_FIRST, SERVICE_PORT_LAST};

use crate::deployment::{Circumstances, Deployment};
use crate::instance::{Condition, Goal, SandboxBase};
use crate::node::brake::{BrakeSettings, Held};
use crate::node::{Drain, Node, NodeId, NodeStatus, RetiredNode};
use crate::package::{PackageInstance, Repository};
use crate::placement::{NodeLoad, Promise, Refusals};
use crate::trust::Trust;
use crate::{AppId, Instance, InstanceId, Timestamp};
use imbl::{OrdMap, OrdSet, Vector};
use std::sync::Arc;

/// Where an instance moves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The node.
    pub node: NodeId,
    /// Its replacement has a seat.
    pub taken: bool,
}

/// Everything the controller believes.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// UUID of the cluster.
    pub id: Arc<str>,
    /// Apps and their versions.
    pub apps: OrdMap<AppId, AppRecord>,
    /// Instances of all apps, also of removed ones that are still stopping.
    pub instances: Instances,
    /// Nodes that have joined.
    pub nodes: OrdMap<NodeId, Arc<Node>>,
    /// Nodes that are not connected.
    pub away: OrdSet<NodeId>,
    /// Nodes that are being emptied.
    pub draining: OrdMap<NodeId, Drain>,
    /// Where instances keep data, whether they run or not; an index of what nodes' claims say.
    pub holds: OrdMap<InstanceId, NodeId>,
    /// Nodes that have left for ever.
    pub retired: OrdMap<NodeId, Arc<RetiredNode>>,
    /// What operators have decided about the mass-loss brake.
    pub brake_settings: BrakeSettings,
    /// The mass-loss brake while it holds. Only that it does is stored, with its settings.
    pub brake: Option<Arc<Held>>,
    /// When the present leader began: it has heard no node before. Not stored.
    pub led_since: Timestamp,
    /// Apps of draining nodes that must stop before they start elsewhere, and why no node takes them; apps with data
    /// whose new version could not start where the old one runs. Not stored.
    pub stranded: OrdMap<AppId, Arc<Refusals>>,
    /// Room on nodes that is kept for apps for which tasks are being stopped, or whose own are stopped to move
    /// there. Not stored.
    pub promises: OrdMap<(NodeId, AppId), Promise>,
    /// Instances that move to other nodes to balance the cluster. Not stored: a new leader lets them be.
    pub moving: OrdMap<InstanceId, Target>,
    /// Who took a seat in the place of an instance that has to leave its node; counts while it has that. Not stored.
    pub successors: OrdMap<InstanceId, InstanceId>,
    /// Instances whose apps had waited when they got their seats. Not stored.
    pub waited_for: OrdMap<InstanceId, WaitedFor>,
    /// Nodes on which starting an app failed, and when it did last: it goes elsewhere if it can. Not stored.
    pub avoided: OrdMap<AppId, OrdMap<NodeId, Timestamp>>,
    /// When apps must be looked at again. Not stored.
    pub alarms: Alarms,
    /// When those who wait are told anew why. Not stored.
    pub retelling: Retelling,
    /// What is taken on each node.
    pub loads: OrdMap<NodeId, NodeLoad>,
    /// Where the sandboxes of each node lie, so that no task has to keep the whole path.
    pub sandbox_bases: OrdMap<NodeId, SandboxBase>,
    /// Changes under way, by id.
    pub deployments: OrdMap<Arc<str>, Arc<Deployment>>,
    /// What running deployments have removed, by deployment, for going back. Not stored.
    pub removed: OrdMap<Arc<str>, Vector<RemovedApp>>,
    /// Pauses of failing apps.
    pub delays: OrdMap<AppId, Delay>,
    /// Apps that wait for a node.
    pub pending: OrdMap<AppId, Arc<Pending>>,
    /// Last failure of each app.
    pub failures: OrdMap<AppId, Arc<LastFailure>>,
    /// Installed packages by app.
    pub packages: OrdMap<AppId, Arc<PackageInstance>>,
    /// Package repositories in order of priority; `None` until somebody changed the default.
    pub repositories: Option<Vector<Repository>>,
    /// Who is trusted.
    pub trust: Trust,
    /// Roles somebody has decided something about.
    pub roles: OrdMap<Arc<str>, Arc<crate::role::Role>>,
    /// Service ports in use.
    pub service_ports: OrdMap<u16, AppId>,
    /// Tasks that ended, oldest first, at most [`pending::COMPLETED_MAX`].
    pub completed: Vector<Arc<CompletedTask>>,
    /// Tasks that ended since this controller started, by their last state; never falls.
    pub ended: OrdMap<Condition, u64>,
    /// Apps that the last step left unplanned; the next one goes on with them.
    pub unsettled: OrdSet<AppId>,
    /// Counts published steps; a cache key for readers.
    pub generation: u64,
}

impl Cluster {
    /// The definition of an app.
    pub fn app(&self, id: &AppId) -> Option<&Arc<crate::App>> {
        self.apps.get(id).map(|record| &record.app)
    }

    /// The role an app is charged to.
    pub fn role_of<'a>(&self, app: &'a crate::App) -> &'a str {
        crate::role::role_of(app, &self.roles)
    }

    /// Instances of an app, by id.
    pub fn instances_of(&self, id: &AppId) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.of(id)
    }

    /// The deployments that change `app`.
    pub fn deployments_of<'a>(&'a self, app: &'a AppId) -> impl Iterator<Item = &'a Arc<Deployment>> {
        self.deployments.values().filter(move |deployment| deployment.affected().any(|affected| affected == app))
    }

    /// Replaces or adds a node and keeps the indexes; returns the one before.
    pub(crate) fn put_node(&mut self, node: Arc<Node>) -> Option<Arc<Node>> {
        let id = node.facts.id.clone();
        if node.status == NodeStatus::Active {
            self.away.remove(&id);
        } else {
            self.away.insert(id.clone());
        }
        match node.administration.drain() {
            Some(drain) => self.draining.insert(id.clone(), drain),
            None => self.draining.remove(&id),
        };
        let before = self.nodes.get(&id).cloned();
        self.index_holds(&id, before.as_deref(), Some(&node));
        self.nodes.insert(id, node)
    }

    /// Forgets a node and keeps the indexes.
    pub(crate) fn drop_node(&mut self, id: &NodeId) {
        let before = self.nodes.remove(id);
        self.index_holds(id, before.as_deref(), None);
        self.away.remove(id);
        self.draining.remove(id);
    }

    /// Who took the seat of an instance that has to leave its node, while it has that.
    pub(crate) fn successor(&self, of: &InstanceId) -> Option<&Arc<Instance>> {
        let successor = self.instances.get(self.successors.get(of)?)?;
        (successor.seat.is_some() && successor.goal == Goal::Running).then_some(successor)
    }

    /// What surrounds an app when it is planned.
    pub fn around(&self, app: &AppId, now: Timestamp) -> Circumstances<'_> {
        let blocked = self.deployments.values().any(|deployment| deployment.holds_back(app));
        let stuck = self.pending.get(app).is_some_and(|pending| pending.refusals.is_some());
        let Self { draining, moving, successors, nodes, .. } = self;
        Circumstances { blocked, stuck, draining, moving, successors, nodes, now }
    }
}
