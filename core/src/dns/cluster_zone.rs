//! The names of a whole cluster: those of tasks are derived when asked for, not stored.

use super::app_index::AppIndex;
use super::exposure::Exposure;
use super::forms::node_tail;
use super::slot::Slot;
use super::{MARATHON, Owner, Record, Zone, node_records, records_of_task};
use crate::cluster::{Cluster, Instances};
use crate::node::{Node, NodeId};
use crate::placement::NodeLoad;
use crate::{AppId, Instance, InstanceId, TaskId};
use imbl::ordmap::DiffItem;
use imbl::{OrdMap, OrdSet};
use std::collections::BTreeSet;
use std::iter::successors;
use std::ops::Bound;
use std::sync::Arc;
use uuid::Uuid;

/// All names of a cluster. A clone is O(1) and shares everything.
///
/// Masters and nodes have records in a [`Zone`]. What a name of tasks stands for follows from the
/// published instances, exactly as [`records_of_task`] says: a published step costs the apps it
/// touched, whatever their number of tasks, and a name costs something when it is asked for.
#[derive(Debug, Clone, Default)]
pub struct ClusterZone {
    pub(super) fixed: Zone,
    pub(super) instances: Instances,
    pub(super) nodes: OrdMap<NodeId, Arc<Node>>,
    pub(super) loads: OrdMap<NodeId, NodeLoad>,
    /// Apps that have instances, running or not.
    pub(super) index: AppIndex,
    pub(super) slots: OrdMap<AppId, Arc<Slot>>,
    /// Nodes by the tails of their ids, as canonical names have them.
    pub(super) tails: OrdMap<Arc<str>, OrdSet<NodeId>>,
    pub(super) revision: u64,
    /// Counts the changes of `index`.
    pub(super) index_revision: u64,
}

impl ClusterZone {
    /// A zone without names.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts the changes so far.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Makes `records` the records of `owner`, beside those of tasks. True when that changed
    /// anything.
    pub fn apply(&mut self, owner: Owner, records: Vec<Record>) -> bool {
        let is_changed = self.fixed.apply(owner, records);
        self.revision += u64::from(is_changed);
        is_changed
    }

    /// Removes the records that `owner` has beside those of tasks. True when there were any.
    pub fn remove(&mut self, owner: &Owner) -> bool {
        let is_changed = self.fixed.remove(owner);
        self.revision += u64::from(is_changed);
        is_changed
    }

    /// Makes `cluster` the one whose names these are. `touched` are all instances in which it differs
    /// from the one before. Costs the changed nodes and the apps of touched instances; returns the
    /// number of those apps.
    pub fn publish(&mut self, cluster: &Cluster, touched: &BTreeSet<InstanceId>) -> usize {
        let moved = self.follow_nodes(cluster);
        let loads = moved.iter().flat_map(|id| [self.loads.get(id), cluster.loads.get(id)]).flatten();
        let mut apps: BTreeSet<AppId> = loads.flat_map(apps_on).cloned().collect();
        let next = |app: &&InstanceId| touched.range((Bound::Excluded(&last_of(app.app())), Bound::Unbounded)).next();
        apps.extend(successors(touched.first(), next).map(|id| id.app().clone()));
        self.follow_instances(cluster);
        for app in &apps {
            self.renew(app);
        }
        self.revision += u64::from(!apps.is_empty());
        apps.len()
    }

    /// [`ClusterZone::publish`] when it is not known what differs. Costs the number of apps.
    pub fn publish_anew(&mut self, cluster: &Cluster) {
        self.follow_nodes(cluster);
        self.follow_instances(cluster);
        let gone: Vec<AppId> = self.slots.keys().filter(|app| !self.has_instances(app)).cloned().collect();
        let present: Vec<AppId> = self.instances.apps().cloned().collect();
        for app in gone.iter().chain(&present) {
            self.renew(app);
        }
        self.revision += 1;
    }

    /// Takes over the nodes; returns those whose address is another one now.
    fn follow_nodes(&mut self, cluster: &Cluster) -> Vec<NodeId> {
        let mut moved = Vec::new();
        let mut is_changed = false;
        for item in self.nodes.diff(&cluster.nodes) {
            let (id, before, after) = match item {
                DiffItem::Add(id, after) => (id, None, Some(after)),
                DiffItem::Update { old: (id, before), new: (_, after) } => (id, Some(before), Some(after)),
                DiffItem::Remove(id, before) => (id, Some(before), None),
            };
            let place = |node: Option<&Arc<Node>>| node.map(|node| node.facts.address);
            match after {
                Some(node) => is_changed |= self.fixed.apply(Owner::Node(id.clone()), node_records(&node.facts)),
                None => is_changed |= self.fixed.remove(&Owner::Node(id.clone())),
            }
            if place(before) == place(after) {
                continue;
            }
            moved.push(id.clone());
            let tail: Arc<str> = node_tail(id).into();
            match after {
                Some(_) => drop(self.tails.entry(tail).or_default().insert(id.clone())),
                None => {
                    if let Some(nodes) = self.tails.get_mut(&tail) {
                        nodes.remove(id);
                        if nodes.is_empty() {
                            self.tails.remove(&tail);
                        }
                    }
                }
            }
        }
        self.nodes.clone_from(&cluster.nodes);
        self.revision += u64::from(is_changed);
        moved
    }

    fn follow_instances(&mut self, cluster: &Cluster) {
        self.instances.clone_from(&cluster.instances);
        self.loads.clone_from(&cluster.loads);
    }

    fn has_instances(&self, app: &AppId) -> bool {
        self.instances.of(app).next().is_some()
    }

    /// Forgets what was found out about an app.
    fn renew(&mut self, app: &AppId) {
        if self.has_instances(app) {
            if self.slots.insert(app.clone(), Arc::default()).is_none() {
                self.index.insert(app);
                self.index_revision += 1;
            }
        } else if self.slots.remove(app).is_some() {
            self.index.remove(app);
            self.index_revision += 1;
        }
    }

    /// Records of masters, nodes and whatever else has records beside those of tasks.
    pub fn fixed(&self) -> &Zone {
        &self.fixed
    }

    /// Every task that has names, with its records, sorted. Costs the number of tasks.
    pub fn tasks(&self) -> impl Iterator<Item = (TaskId, Vec<Record>)> {
        self.instances.values().filter_map(|instance| {
            let node = self.nodes.get(instance.node()?)?;
            let mut records = records_of_task(instance, &node.facts, MARATHON);
            records.sort_unstable();
            records.dedup();
            (!records.is_empty()).then(|| (instance.task_id(), records))
        })
    }

    /// How a task can be reached, if it runs on a node that is there.
    pub(super) fn exposure<'a>(&'a self, instance: &'a Instance) -> Option<Exposure<'a>> {
        Exposure::of(instance, &self.nodes.get(instance.node()?)?.facts)
    }

    /// How the tasks of an app can be reached.
    pub(super) fn exposures<'a>(&'a self, app: &AppId) -> impl Iterator<Item = (&'a Instance, Exposure<'a>)> {
        self.instances.of(app).filter_map(|instance| Some((&**instance, self.exposure(instance)?)))
    }
}

/// Not below the id of any instance of `app`.
pub(super) fn last_of(app: &AppId) -> InstanceId {
    InstanceId::new(app, Uuid::max())
}

/// Apps that have instances on a node.
pub(super) fn apps_on(load: &NodeLoad) -> impl Iterator<Item = &AppId> {
    let next = |app: &&AppId| {
        let last = last_of(app);
        let later = load.instances.range::<_, InstanceId>((Bound::Excluded(&last), Bound::Unbounded)).next();
        later.map(InstanceId::app)
    };
    successors(load.instances.get_min().map(InstanceId::app), next)
}
