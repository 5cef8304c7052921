//! What one published step changed, for controllers that follow: exact, observations included, and
//! as large as the change.

mod event;
mod instance;

use super::{AppRecord, Cluster, CompletedTask, Delay, Event, Instances, LastFailure, Pending, RemovedApp};
use crate::assignment::{Exit, FailureReason};
use crate::deployment::Deployment;
use crate::instance::Condition;
use crate::node::brake::{BrakeSettings, Held};
use crate::node::{Node, NodeId, RetiredNode};
use crate::package::{PackageInstance, Repository};
use crate::placement::Refusals;
use crate::role::Role;
use crate::{App, AppId, InstanceId, Timestamp};
use event::SentEvent;
use imbl::ordmap::DiffItem;
use imbl::{OrdMap, Vector};
use instance::SentInstance;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Apps, or instances, of one part of a snapshot.
pub const SNAPSHOT_PART_MAX: usize = 1_000;

/// Why a delta cannot be applied: the follower must ask for a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaFault {
    /// It continues another state than the one at hand.
    #[error("the change continues generation {wanted}, the replica stands at {have}")]
    Gap {
        /// Generation that the delta continues.
        wanted: u64,
        /// Generation of the replica.
        have: u64,
    },
    /// It refers to a definition that nobody sent.
    #[error("the definition of {0} at {1} was never sent")]
    NoDefinition(AppId, Timestamp),
}

/// A key with its new value, none when it is gone.
type Changed<K, V> = Vec<(K, Option<V>)>;

/// The difference between two published states.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Delta {
    /// Generation that it continues; none begins anew, with an empty cluster.
    pub after: Option<u64>,
    /// Generation that it leads to.
    pub generation: u64,
    /// Parts of the same snapshot follow; only with the last of them the state is whole.
    pub more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Arc<str>>,
    /// Definitions that the rest refers to and that the receiver does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    definitions: Vec<Arc<App>>,
    /// Versions of each app, the wanted one last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    apps: Changed<AppId, Vec<Timestamp>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    instances: Changed<InstanceId, SentInstance>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Changed<NodeId, Arc<Node>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    retired: Changed<NodeId, Arc<RetiredNode>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    brake_settings: Option<BrakeSettings>,
    /// The brake afterwards, if it changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    brake: Vec<Option<Arc<Held>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stranded: Changed<AppId, Arc<Refusals>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deployments: Changed<Arc<str>, (Arc<Deployment>, BTreeSet<AppId>)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed: Changed<Arc<str>, Vector<RemovedApp>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    delays: Changed<AppId, Delay>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pending: Changed<AppId, Arc<Pending>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Changed<AppId, Arc<LastFailure>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    packages: Changed<AppId, Arc<PackageInstance>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Changed<Arc<str>, Arc<Role>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repositories: Option<Vec<Repository>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    service_ports: Changed<u16, AppId>,
    /// Newly ended tasks, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    completed: Vec<SentCompleted>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ended: Vec<(Condition, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsettled: Option<Vec<AppId>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<SentEvent>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SentCompleted {
    instance: SentInstance,
    exit: Option<Exit>,
    reason: Option<FailureReason>,
    at: Timestamp,
}

/// The definitions a delta has to carry.
struct Definitions<'a> {
    known: &'a OrdMap<AppId, AppRecord>,
    sent: BTreeMap<(AppId, Timestamp), Arc<App>>,
}

impl Definitions<'_> {
    fn refer(&mut self, app: &Arc<App>) -> (AppId, Timestamp) {
        let place = (app.id.clone(), app.version);
        if self.known.get(&app.id).and_then(|record| record.version(app.version)).is_none() {
            self.sent.entry(place.clone()).or_insert_with(|| Arc::clone(app));
        }
        place
    }
}

/// What changed between two maps. Parts that both share are skipped, so that it costs the change.
fn changes<K: Ord + Clone, V: Clone + PartialEq>(before: &OrdMap<K, V>, after: &OrdMap<K, V>) -> Changed<K, V> {
    let change = |item: DiffItem<'_, '_, K, V>| match item {
        DiffItem::Add(key, value) | DiffItem::Update { new: (key, value), .. } => (key.clone(), Some(value.clone())),
        DiffItem::Remove(key, _) => (key.clone(), None),
    };
    before.diff(after).map(change).collect()
}

fn take<K: Ord + Clone, V: Clone>(map: &mut OrdMap<K, V>, changed: &Changed<K, V>) {
    for (key, value) in changed {
        match value {
            Some(value) => drop(map.insert(key.clone(), value.clone())),
            None => drop(map.remove(key)),
        }
    }
}

impl Delta {
    /// What leads from `before` to `after`. `touched` are all instances that differ; `events` what
    /// happened on the way.
    pub fn between(before: &Cluster, after: &Cluster, touched: &BTreeSet<InstanceId>, events: &[Event]) -> Self {
        let mut definitions = Definitions { known: &before.apps, sent: BTreeMap::new() };
        let apps = changes(&before.apps, &after.apps).into_iter();
        let apps = apps.map(|(id, record)| {
            (id, record.map(|record| record.versions.iter().map(|app| definitions.refer(app).1).collect::<Vec<_>>()))
        });
        let apps = apps.collect();
        let instances = touched.iter().map(|id| {
            (id.clone(), after.instances.get(id).map(|instance| SentInstance::of(instance, definitions.refer(&instance.app))))
        });
        let instances = instances.collect();
        let known = before.completed.back();
        let fresh = after.completed.iter().rev().take_while(|task| known.is_none_or(|known| !Arc::ptr_eq(known, task)));
        let mut completed: Vec<SentCompleted> = fresh
            .map(|task| SentCompleted {
                instance: SentInstance::of(&task.instance, definitions.refer(&task.instance.app)),
                exit: task.exit,
                reason: task.reason,
                at: task.at,
            })
            .collect();
        completed.reverse();
        let events = events.iter().map(|event| SentEvent::of(event, &mut definitions)).collect();
        let deployments = changes(&before.deployments, &after.deployments).into_iter().map(|(id, deployment)| {
            let pending = deployment.as_ref().map(|deployment| deployment.pending.clone()).unwrap_or_default();
            (id, deployment.map(|deployment| (deployment, pending)))
        });
        Self {
            after: Some(before.generation),
            generation: after.generation,
            more: false,
            id: (before.id != after.id).then(|| Arc::clone(&after.id)),
            apps,
            instances,
            nodes: changes(&before.nodes, &after.nodes),
            retired: changes(&before.retired, &after.retired),
            brake_settings: (before.brake_settings != after.brake_settings).then(|| after.brake_settings.clone()),
            brake: if before.brake == after.brake { Vec::new() } else { vec![after.brake.clone()] },
            stranded: changes(&before.stranded, &after.stranded),
            deployments: deployments.collect(),
            removed: changes(&before.removed, &after.removed),
            delays: changes(&before.delays, &after.delays),
            pending: changes(&before.pending, &after.pending),
            failures: changes(&before.failures, &after.failures),
            packages: changes(&before.packages, &after.packages),
            roles: changes(&before.roles, &after.roles),
            repositories: (before.repositories != after.repositories)
                .then(|| after.repositories.iter().flatten().cloned().collect()),
            service_ports: changes(&before.service_ports, &after.service_ports),
            completed,
            ended: changes(&before.ended, &after.ended).into_iter().filter_map(|(key, count)| Some((key, count?))).collect(),
            unsettled: (before.unsettled != after.unsettled).then(|| after.unsettled.iter().cloned().collect()),
            events,
            definitions: definitions.sent.into_values().collect(),
        }
    }

    /// The whole of `cluster` in parts of bounded size.
    pub fn snapshot(cluster: &Cluster) -> impl Iterator<Item = Self> + use<> {
        let cluster = cluster.clone();
        let empty = Cluster::default();
        let head = Cluster { apps: OrdMap::new(), instances: Instances::default(), ..cluster.clone() };
        let head = Self { after: None, more: true, ..Self::between(&empty, &head, &BTreeSet::new(), &[]) };
        let same = Cluster { generation: cluster.generation, ..Cluster::default() };
        let apps: Vec<(AppId, AppRecord)> = cluster.apps.iter().map(|(id, record)| (id.clone(), record.clone())).collect();
        let ids: Vec<InstanceId> = cluster.instances.keys().cloned().collect();
        let chunks =
            |length: usize| (0..length).step_by(SNAPSHOT_PART_MAX).map(move |from| from..length.min(from + SNAPSHOT_PART_MAX));
        let app_parts = chunks(apps.len()).map({
            let same = same.clone();
            move |range| {
                let part = Cluster { apps: apps[range].iter().cloned().collect(), ..same.clone() };
                Self { more: true, ..Self::between(&same, &part, &BTreeSet::new(), &[]) }
            }
        });
        let last = Self { after: Some(cluster.generation), generation: cluster.generation, ..Self::default() };
        let instance_parts = chunks(ids.len()).map(move |range| {
            let touched = ids[range].iter().cloned().collect();
            let base = Cluster { apps: cluster.apps.clone(), ..same.clone() };
            let part = Cluster { apps: cluster.apps.clone(), instances: cluster.instances.clone(), ..same.clone() };
            Self { more: true, ..Self::between(&base, &part, &touched, &[]) }
        });
        std::iter::once(head).chain(app_parts).chain(instance_parts).chain([last])
    }

    /// Instances that it says something of.
    pub fn touched(&self) -> impl Iterator<Item = &InstanceId> {
        self.instances.iter().map(|(id, _)| id)
    }
}

impl Cluster {
    /// The state that `delta` leads to from this one, and the events of the step. It takes the state itself:
    /// what nobody else holds changes in place, and a snapshot of a thousand parts is built once and not
    /// copied a thousand times.
    ///
    /// # Errors
    /// [`ReplicaFault`]: the delta is not for this state.
    pub fn with_delta(self, delta: &Delta) -> Result<(Self, Vec<Event>), ReplicaFault> {
        let mut next = match delta.after {
            None => Self::default(),
            Some(wanted) if wanted == self.generation => self,
            Some(wanted) => return Err(ReplicaFault::Gap { wanted, have: self.generation }),
        };
        let sent: BTreeMap<(AppId, Timestamp), Arc<App>> =
            delta.definitions.iter().map(|app| ((app.id.clone(), app.version), Arc::clone(app))).collect();
        let known = next.apps.clone();
        let definition = |(id, version): &(AppId, Timestamp)| {
            let kept = || known.get(id).and_then(|record| record.version(*version));
            let found = sent.get(&(id.clone(), *version)).or_else(kept).cloned();
            found.ok_or_else(|| ReplicaFault::NoDefinition(id.clone(), *version))
        };
        if let Some(id) = &delta.id {
            next.id = Arc::clone(id);
        }
        for (id, versions) in &delta.apps {
            let Some(versions) = versions else {
                next.apps.remove(id);
                continue;
            };
            let versions =
                versions.iter().map(|version| definition(&(id.clone(), *version))).collect::<Result<Vector<_>, _>>()?;
            if let Some(app) = versions.back().cloned() {
                next.apps.insert(id.clone(), AppRecord { app, versions });
            }
        }
        // All leave before the first comes: one may have the port that another had.
        for (id, _) in &delta.instances {
            next.vacate(id);
        }
        for (id, sent) in &delta.instances {
            let instance = sent.as_ref().map(|sent| Ok(sent.instance(definition(&sent.app)?, &next))).transpose()?;
            next.replace_instance(id, instance);
        }
        for (id, node) in &delta.nodes {
            match node {
                Some(node) => drop(next.put_node(Arc::clone(node))),
                None => next.drop_node(id),
            }
        }
        take(&mut next.retired, &delta.retired);
        if let Some(settings) = &delta.brake_settings {
            next.brake_settings = settings.clone();
        }
        if let Some(brake) = delta.brake.last() {
            next.brake.clone_from(brake);
        }
        take(&mut next.stranded, &delta.stranded);
        for (id, deployment) in &delta.deployments {
            match deployment {
                Some((deployment, pending)) => {
                    let deployment = Deployment { pending: pending.clone(), ..(**deployment).clone() };
                    next.deployments.insert(Arc::clone(id), Arc::new(deployment));
                }
                None => drop(next.deployments.remove(id)),
            }
        }
        take(&mut next.removed, &delta.removed);
        take(&mut next.delays, &delta.delays);
        take(&mut next.pending, &delta.pending);
        take(&mut next.failures, &delta.failures);
        take(&mut next.packages, &delta.packages);
        take(&mut next.roles, &delta.roles);
        if let Some(repositories) = &delta.repositories {
            next.repositories = Some(repositories.iter().cloned().collect());
        }
        take(&mut next.service_ports, &delta.service_ports);
        for task in &delta.completed {
            let instance = Arc::new(task.instance.instance(definition(&task.instance.app)?, &next));
            next.completed.push_back(Arc::new(CompletedTask { instance, exit: task.exit, reason: task.reason, at: task.at }));
        }
        while next.completed.len() > super::COMPLETED_MAX {
            next.completed.pop_front();
        }
        next.ended.extend(delta.ended.iter().copied());
        if let Some(unsettled) = &delta.unsettled {
            next.unsettled = unsettled.iter().cloned().collect();
        }
        next.generation = delta.generation;
        let events = delta.events.iter().map(|event| event.event(&definition, &next)).collect::<Result<_, _>>()?;
        Ok((next, events))
    }
}
