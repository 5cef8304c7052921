//! One step of the cluster, under construction.

use super::page::{encode, page_of};
use super::{Cluster, Entropy, Event, keys};
use crate::assignment::Down;
use crate::instance::Goal;
use crate::node::{Node, NodeId};
use crate::placement::Ledger;
use crate::{AppId, Fault, Instance, InstanceId, Timestamp};
use imbl::OrdSet;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why an edit was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// An id that must be free is taken.
    #[error("An app with id [{0}] already exists.")]
    Exists(AppId),
    /// There is no such app.
    #[error("App '{0}' does not exist")]
    NoApp(AppId),
    /// There is no such version of the app.
    #[error("App '{0}' does not exist in version {1}")]
    NoVersion(AppId, Timestamp),
    /// A weight or quota cannot be.
    #[error("{0}")]
    Role(String),
    /// A reservation or volume cannot be as asked for.
    #[error("{0}")]
    Claim(String),
    /// There is no such deployment.
    #[error("DeploymentPlan {0} does not exist")]
    NoDeployment(String),
    /// No instance of the app waits for anything.
    #[error("Application {0} not found in tasks queue.")]
    NotQueued(AppId),
    /// There are no such tasks.
    #[error("Task '{0}' does not exist")]
    NoTask(String),
    /// Other deployments are changing the same apps.
    #[error(
        "App is locked by one or more deployments. Override with the option '?force=true'. View details at '/v2/deployments/<DEPLOYMENT_ID>'."
    )]
    Locked(Vec<Arc<str>>),
    /// The definition conflicts with the rest of the cluster.
    #[error("Object is not valid: {}", sentences(.0))]
    Invalid(Vec<Fault>),
    /// A package instance is already there.
    #[error("Package is already installed")]
    PackageInstalled,
    /// There is no such package instance.
    #[error("No package instance {0}")]
    NoPackage(AppId),
    /// A repository of that name or URI is there already.
    #[error("Repository {0} is already present")]
    RepositoryPresent(String),
    /// There is no such repository.
    #[error("Repository is not present")]
    NoRepository,
    /// There is no such node.
    #[error("there is no node {0}; see: dcos node list")]
    NoNode(String),
    /// The node has left for ever.
    #[error("{0}")]
    NodeRetired(String),
    /// A node that answers was declared gone.
    #[error(
        "node {0} is connected, so that it is not gone; drain it first (dcos node decommission {0}) or stop its tasks at once with --force"
    )]
    NodeAlive(String),
    /// Somebody is not trusted, or there is no such token or user.
    #[error(transparent)]
    Trust(#[from] crate::trust::TrustError),
    /// A repository was to be inserted behind the end of the list.
    #[error("Index out of range: {attempted}, must be between 0 and {max}")]
    RepositoryIndex {
        /// What was asked for.
        attempted: usize,
        /// Largest allowed.
        max: usize,
    },
}

fn sentences(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The outcome of a draft: store the writes, then publish the cluster and send the orders.
#[derive(Debug, Default)]
pub struct Step {
    /// The cluster afterwards.
    pub cluster: Cluster,
    /// Keys and values to put; `None` deletes.
    pub writes: BTreeMap<String, Option<Vec<u8>>>,
    /// Messages to agents, in order.
    pub orders: Vec<(NodeId, Down)>,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// Instances that changed or vanished.
    pub touched: BTreeSet<InstanceId>,
    /// When to step again even if nothing happens.
    pub wake_at: Option<Timestamp>,
    /// The ledger with all changes of the step: commit or roll back, and hand it to the next draft.
    pub ledger: Option<Ledger>,
}

/// Builds a [`Step`]: edits and observations first, then [`Draft::settle`].
#[derive(Debug)]
pub struct Draft {
    pub(super) cluster: Cluster,
    pub(super) now: Timestamp,
    pub(super) epoch: u64,
    pub(super) entropy: Entropy,
    pub(super) writes: BTreeMap<String, Option<Vec<u8>>>,
    pub(super) orders: Vec<(NodeId, Down)>,
    pub(super) events: Vec<Event>,
    pub(super) touched: BTreeSet<InstanceId>,
    pub(super) dirty_apps: BTreeSet<AppId>,
    /// Apps of which an instance got a seat: others may wait to be near them.
    pub(super) started: BTreeSet<AppId>,
    /// Pages of instances to be written.
    dirty_pages: BTreeMap<AppId, BTreeSet<u32>>,
    /// Nodes whose claims changed.
    pub(super) dirty_claims: BTreeSet<NodeId>,
    pub(super) capacity_freed: bool,
    /// Tasks stopped for more important ones.
    pub(super) preempted: usize,
    /// Some was left alone for its waiting, so that it is worth looking again when that is worth less.
    pub(super) spared: bool,
    /// What is left of waiting has been looked through.
    pub(super) ages_tidied: bool,
    /// What the cluster has to share out and whose turn is first of all that wait for room, once it was asked.
    pub(super) first_waiting: Option<(Option<crate::role::Amounts>, Option<super::draft_roles::Turn>)>,
    /// A node was lost or found, came or left.
    pub(super) nodes_moved: bool,
    /// Built when first needed, unless it was brought along.
    pub(super) ledger: Option<Ledger>,
    /// Seats were given or left, or nodes changed: who waits may have other reasons now.
    pub(super) room_changed: bool,
}

impl Draft {
    /// Starts from a published cluster.
    pub fn new(cluster: &Cluster, now: Timestamp, epoch: u64, entropy: Entropy) -> Self {
        Self {
            dirty_apps: cluster.unsettled.iter().cloned().collect(),
            cluster: Cluster { unsettled: OrdSet::new(), ..cluster.clone() },
            now,
            epoch,
            entropy,
            writes: BTreeMap::new(),
            started: BTreeSet::new(),
            orders: Vec::new(),
            events: Vec::new(),
            touched: BTreeSet::new(),
            dirty_pages: BTreeMap::new(),
            dirty_claims: BTreeSet::new(),
            capacity_freed: false,
            preempted: 0,
            spared: false,
            ages_tidied: false,
            first_waiting: None,
            nodes_moved: false,
            ledger: None,
            room_changed: false,
        }
    }

    /// Brings the ledger of the last step along, so that none has to be built. One that is not of
    /// this cluster is left aside.
    #[must_use]
    pub fn with_ledger(mut self, ledger: Option<Ledger>) -> Self {
        self.ledger = ledger.filter(|ledger| ledger.generation == self.cluster.generation);
        if let Some(ledger) = &mut self.ledger {
            ledger.begin();
        }
        self
    }

    /// The ledger of the cluster as it is so far, with all counted that the rules of `app` name.
    pub(super) fn ledger_for(&mut self, app: &crate::App) -> &mut Ledger {
        let cluster = &self.cluster;
        // Without a journal it cannot go back: it is of no generation until the step is committed.
        let ledger = self.ledger.get_or_insert_with(|| Ledger::of(cluster).untraced());
        ledger.watch(app, cluster);
        ledger
    }

    /// Replaces or adds a node and keeps the indexes.
    pub(super) fn put_node(&mut self, node: Node) -> Arc<Node> {
        let node = Arc::new(node);
        if let Some(ledger) = &mut self.ledger {
            ledger.upsert_node(&node);
        }
        let before = self.cluster.put_node(Arc::clone(&node));
        // A node that closes gives room as well: its value of a field is none any more that others have to wait for.
        self.capacity_freed |= before.as_ref().is_some_and(|before| before.accepts_tasks() != node.accepts_tasks());
        self.room_changed |= before.as_ref() != Some(&node);
        self.nodes_moved |= before.is_none_or(|before| before.status != node.status);
        node
    }

    /// Forgets a node on which nothing has a seat.
    pub(super) fn remove_node(&mut self, id: &NodeId) {
        if let Some(ledger) = &mut self.ledger {
            ledger.remove_node(id);
        }
        self.cluster.drop_node(id);
        self.cluster.loads.remove(id);
        (self.nodes_moved, self.room_changed) = (true, true);
    }

    /// The cluster as it is so far.
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Looks at every app again: this controller leads from now on, or has read the store anew.
    pub fn wake_all(&mut self) {
        self.cluster.led_since = self.now;
        // What was lost under the leader before may have to be held.
        self.nodes_moved = true;
        self.part_rivals();
        self.adopt_volumes();
        self.dirty_apps.extend(self.cluster.apps.keys().cloned());
        self.dirty_apps.extend(self.cluster.instances.apps().cloned());
        // A removed app without instances is in neither, and its deployment waits for it.
        self.dirty_apps.extend(self.cluster.deployments.values().flat_map(|deployment| deployment.affected().cloned()));
    }

    /// Looks again at the apps whose pause has ended.
    pub fn wake_paused(&mut self) {
        let now = self.now;
        let due = self.cluster.delays.iter().filter(|(_, delay)| delay.until <= now).map(|(id, _)| id.clone());
        self.dirty_apps.extend(due.filter(|id| self.cluster.pending.contains_key(id)).collect::<Vec<_>>());
    }

    /// Gives the cluster its id, once.
    pub fn name_cluster(&mut self) {
        if self.cluster.id.is_empty() {
            self.cluster.id = self.entropy.next_uuid().to_string().into();
            self.write(keys::CLUSTER_ID.into(), &self.cluster.id.clone());
        }
    }

    pub(super) fn write(&mut self, key: String, value: &impl Serialize) {
        // Our own types have string keys only, so that they always serialize.
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        self.writes.insert(key, Some(bytes));
    }

    pub(super) fn delete(&mut self, key: String) {
        self.writes.insert(key, None);
    }

    /// Replaces or adds an instance and keeps the indexes.
    pub(super) fn put_instance(&mut self, instance: Instance) -> Arc<Instance> {
        let before = self.cluster.instances.get(&instance.id).cloned();
        self.replace_instance(before, instance)
    }

    /// [`Draft::put_instance`] when it is known what is there now.
    pub(super) fn replace_instance(&mut self, before: Option<Arc<Instance>>, instance: Instance) -> Arc<Instance> {
        let id = instance.id.clone();
        let is_seated_anew = before.as_ref().and_then(|before| before.seat.as_ref()) != instance.seat.as_ref();
        self.room_changed |= is_seated_anew;
        if is_seated_anew
            || before.as_ref().map(|before| (before.incarnation, before.goal)) != Some((instance.incarnation, instance.goal))
        {
            if before.as_ref().is_some_and(|before| before.incarnation != instance.incarnation) || instance.seat.is_none() {
                self.cluster.moving.remove(&id);
            }
            if instance.seat.is_none() || instance.goal != Goal::Running {
                self.cluster.successors.remove(&id);
                self.cluster.waited_for.remove(&id);
            }
            if let Some(before) = &before {
                self.release_seat(before);
            }
            self.cluster.occupy_one(&instance);
            self.touch_page(&id);
        }
        let app = instance.app.id.clone();
        self.dirty_apps.insert(app);
        self.touched.insert(id);
        let instance = Arc::new(instance);
        if let Some(ledger) = &mut self.ledger {
            ledger.apply(before.as_ref(), Some(&instance));
        }
        self.cluster.instances.insert(Arc::clone(&instance));
        if let Some(before) = before.filter(|before| before.app.version != instance.app.version) {
            self.drop_version_if_unused(&before);
        }
        instance
    }

    /// Forgets an instance.
    pub(super) fn remove_instance(&mut self, id: &InstanceId) {
        let Some(instance) = self.cluster.instances.remove(id) else { return };
        self.room_changed |= instance.seat.is_some();
        self.release_seat(&instance);
        self.cluster.moving.remove(id);
        self.cluster.successors.remove(id);
        self.cluster.waited_for.remove(id);
        if let Some(ledger) = &mut self.ledger {
            ledger.release(&instance);
        }
        let app = instance.app.id.clone();
        self.drop_version_if_unused(&instance);
        self.dirty_apps.insert(app);
        self.touched.insert(id.clone());
        self.leave_hold(id);
    }

    /// Deletes the stored definition of a version that neither an app nor an instance refers to.
    fn drop_version_if_unused(&mut self, instance: &Instance) {
        let (app, version) = (&instance.app.id, instance.app.version);
        let kept = self.cluster.apps.get(app).is_some_and(|record| record.version(version).is_some());
        if !kept && !self.is_version_running(&instance.app) {
            self.delete(keys::version(app, version));
        }
    }

    fn release_seat(&mut self, instance: &Instance) {
        let Some(seat) = &instance.seat else { return };
        if let Some(load) = self.cluster.loads.get_mut(&seat.node)
            && !load.give_back(&instance.id, &instance.app, seat)
        {
            // Another instance holds one of the ports too, which the ledger does not know.
            self.ledger = None;
        }
        self.touch_page(&instance.id);
        self.capacity_freed = true;
    }

    fn touch_page(&mut self, id: &InstanceId) {
        let page = page_of(id.uuid());
        match self.dirty_pages.get_mut(id.app()) {
            Some(pages) => drop(pages.insert(page)),
            None => drop(self.dirty_pages.insert(id.app().clone(), BTreeSet::from([page]))),
        }
    }

    /// Writes the pages that have changed.
    pub(super) fn write_pages(&mut self) {
        for (app, pages) in std::mem::take(&mut self.dirty_pages) {
            for page in pages {
                let document = encode(&self.cluster.instances.page(&app, page));
                self.writes.insert(keys::page(&app, page), document);
            }
        }
    }

    /// Orders an instance to stop; one that has no seat is forgotten at once.
    pub(super) fn stop_instance(&mut self, id: &InstanceId, goal: Goal, because: &str) {
        let Some(instance) = self.cluster.instances.get(id).cloned() else { return };
        let Some(seat) = &instance.seat else {
            if goal == Goal::Decommissioned {
                self.remove_instance(id);
            }
            return;
        };
        let goal = if instance.goal == Goal::Decommissioned { Goal::Decommissioned } else { goal };
        let (node, task) = (seat.node.clone(), instance.task_id());
        self.put_instance(Instance { goal, ..(*instance).clone() });
        self.orders.push((node, Down::Stop { epoch: self.epoch, task, because: because.into() }));
    }
}
