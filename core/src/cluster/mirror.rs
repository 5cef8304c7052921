//! The stored part of a cluster, kept in step with the store entry by entry.

use super::app_record::AppRecord;
use super::assigned::{AssignedInstance, AssignedInstances};
use super::load::LoadFault;
use super::{Cluster, LastFailure, keys, service_ports};
use crate::deployment::Deployment;
use crate::node::{Node, NodeDocument, NodeId, NodeRecord, NodeStatus};
use crate::package::{PackageInstance, Repository};
use crate::role::Role;
use crate::{App, AppId, InstanceId, Timestamp};
use imbl::Vector;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the store says of the cluster. Loading is applying every entry; following is applying what
/// changes: the outcome is the same. An entry that cannot be read is a fault and stops nothing else.
#[derive(Debug, Clone, Default)]
pub struct Mirror {
    cluster: Cluster,
    versions: BTreeMap<AppId, BTreeMap<Timestamp, Arc<App>>>,
    /// Lines of assignments that have no effect: their definition is missing, or the instance has a
    /// later launch elsewhere.
    unseated: BTreeMap<InstanceId, BTreeMap<NodeId, AssignedInstance>>,
    /// Why an entry cannot be read, by key.
    faults: BTreeMap<String, String>,
    /// Apps whose document is damaged.
    unreadable: BTreeSet<AppId>,
}

impl Mirror {
    /// The cluster as it is stored. Tasks count as staging, on nodes that are disconnected.
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// What cannot be read, or refers to something that is missing.
    pub fn faults(&self) -> Vec<LoadFault> {
        let unread = self.faults.iter().map(|(key, reason)| LoadFault { key: key.clone(), reason: reason.clone() });
        let missing = self.unseated.values().flatten().filter(|(_, line)| self.definition(line).is_none()).map(|(node, line)| {
            let reason = format!("the definition of {} at {} is missing", line.app, line.version);
            LoadFault { key: keys::assignments(node), reason }
        });
        unread.chain(missing).collect()
    }

    /// Takes in what changed: keys with their new values, none when deleted. The order does not
    /// matter: what others refer to is taken first. `now` is when nodes count as disconnected from.
    pub fn apply<'a>(&mut self, changes: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>, now: Timestamp) {
        let mut changes: Vec<(u8, &str, Option<&[u8]>)> =
            changes.into_iter().map(|(key, value)| (rank(key, value.is_some()), key, value)).collect();
        changes.sort_by_key(|(rank, _, _)| *rank);
        for (_, key, value) in changes {
            self.entry(key, value, now);
        }
    }

    fn read<T: DeserializeOwned>(&mut self, key: &str, value: Option<&[u8]>) -> Option<T> {
        self.faults.remove(key);
        serde_json::from_slice(value?).map_err(|error| self.faults.insert(key.into(), error.to_string())).ok()
    }

    fn entry(&mut self, key: &str, value: Option<&[u8]>, now: Timestamp) {
        if let Some(outcome) = self.cluster.trust.entry(key, value) {
            match outcome {
                Ok(()) => drop(self.faults.remove(key)),
                Err(reason) => drop(self.faults.insert(key.into(), reason)),
            }
        } else if key == keys::CLUSTER_ID {
            self.cluster.id = self.read::<String>(key, value).unwrap_or_default().into();
        } else if key == keys::BRAKE {
            self.cluster.brake_settings = self.read(key, value).unwrap_or_default();
        } else if key == keys::REPOSITORIES {
            self.cluster.repositories = self.read::<Vector<Repository>>(key, value);
        } else if let Some(rest) = key.strip_prefix(keys::VERSIONS) {
            match self.read::<App>(key, value) {
                Some(app) => self.put_version(Arc::new(app)),
                None => self.drop_version(key, rest),
            }
        } else if let Some(id) = key.strip_prefix(keys::APPS) {
            let app = self.read::<App>(key, value);
            match (app, AppId::parse(id)) {
                (Some(app), _) => self.put_app(Arc::new(app)),
                (None, Ok(id)) => self.drop_app(&id, value.is_some()),
                (None, Err(_)) => {}
            }
        } else if let Some(name) = key.strip_prefix(keys::ROLES) {
            match self.read::<Role>(key, value) {
                Some(role) => drop(self.cluster.roles.insert(role.name.as_str().into(), Arc::new(role))),
                None => drop(self.cluster.roles.remove(name)),
            }
        } else if let Some(id) = key.strip_prefix(keys::PACKAGES) {
            match (self.read::<PackageInstance>(key, value), AppId::parse(id)) {
                (Some(package), _) => drop(self.cluster.packages.insert(package.app_id.clone(), Arc::new(package))),
                (None, Ok(id)) => drop(self.cluster.packages.remove(&id)),
                (None, Err(_)) => {}
            }
        } else if let Some(id) = key.strip_prefix(keys::FAILURES) {
            match (self.read::<LastFailure>(key, value), AppId::parse(id)) {
                (Some(failure), _) => drop(self.cluster.failures.insert(failure.app_id.clone(), Arc::new(failure))),
                (None, Ok(id)) => drop(self.cluster.failures.remove(&id)),
                (None, Err(_)) => {}
            }
        } else if let Some(id) = key.strip_prefix(keys::DEPLOYMENTS) {
            match self.read::<Deployment>(key, value) {
                Some(mut deployment) => {
                    deployment.pending = deployment.affected().cloned().collect();
                    self.cluster.deployments.insert(deployment.id.as_str().into(), Arc::new(deployment));
                }
                None => drop(self.cluster.deployments.remove(id)),
            }
        } else if let Some(id) = key.strip_prefix(keys::NODES) {
            let document = self.read::<NodeDocument>(key, value);
            if let Ok(id) = NodeId::parse(id) {
                self.cluster.retired.remove(&id);
                if !matches!(document, Some(NodeDocument::Member(_))) {
                    self.cluster.drop_node(&id);
                }
            }
            match document {
                Some(NodeDocument::Member(record)) => self.put_node(*record, now),
                Some(NodeDocument::Retired(retired)) => drop(self.cluster.retired.insert(retired.id.clone(), Arc::new(retired))),
                None => {}
            }
        } else if let Some(node) = key.strip_prefix(keys::ASSIGNMENTS) {
            match NodeId::parse(node) {
                Ok(node) => {
                    let lines = self.read::<AssignedInstances>(key, value).unwrap_or_default();
                    self.assign(&node, lines.0);
                }
                Err(error) if value.is_some() => drop(self.faults.insert(key.into(), error.to_string())),
                Err(_) => drop(self.faults.remove(key)),
            }
        }
    }

    fn put_node(&mut self, record: NodeRecord, now: Timestamp) {
        let (facts, faults) = record.facts.checked();
        let node = Node {
            facts,
            status: if record.lost_since.is_some() { NodeStatus::Unreachable } else { NodeStatus::Disconnected },
            since: record.lost_since.unwrap_or(now),
            registered_at: record.registered_at.unwrap_or(now),
            administration: record.administration,
            certificate: record.certificate,
            faults,
        };
        let id = node.facts.id.clone();
        let lost_before = self.lost_since(&id);
        self.cluster.put_node(Arc::new(node));
        if lost_before == record.lost_since {
            return;
        }
        let here = self.cluster.loads.get(&id).map(|load| load.instances.clone()).unwrap_or_default();
        for instance in here {
            let Some(instance) = self.cluster.instances.get(&instance).cloned() else { continue };
            if let Some(line) = AssignedInstance::of(&instance) {
                let again = line.seated(id.clone(), Arc::clone(&instance.app), record.lost_since);
                self.cluster.instances.insert(Arc::new(again));
            }
        }
    }

    /// Since when a node is lost.
    fn lost_since(&self, node: &NodeId) -> Option<Timestamp> {
        self.cluster.nodes.get(node).filter(|node| node.status == NodeStatus::Unreachable).map(|node| node.since)
    }

    fn put_version(&mut self, app: Arc<App>) {
        let id = app.id.clone();
        self.versions.entry(id.clone()).or_default().insert(app.version, app);
        self.refresh(&id);
    }

    fn drop_version(&mut self, key: &str, rest: &str) {
        // `/a!2026-…`: the time is looked up rather than read, so that any spelling is found.
        let Some(Ok(id)) = rest.rsplit_once('!').map(|(id, _)| AppId::parse(id)) else { return };
        let Some(versions) = self.versions.get_mut(&id) else { return };
        versions.retain(|version, _| keys::version(&id, *version) != key);
        if versions.is_empty() {
            self.versions.remove(&id);
        }
        self.refresh(&id);
    }

    /// After a change of the versions of an app.
    fn refresh(&mut self, id: &AppId) {
        if self.unreadable.contains(id) {
            self.stand_in(id);
        } else if let Some(app) = self.cluster.app(id).cloned() {
            self.record(app);
        }
        self.retry(id);
    }

    fn put_app(&mut self, app: Arc<App>) {
        let id = app.id.clone();
        self.unreadable.remove(&id);
        self.record(app);
        self.retry(&id);
    }

    /// A damaged document is no wish to remove the app: its newest version stands in.
    fn drop_app(&mut self, id: &AppId, damaged: bool) {
        if damaged {
            self.unreadable.insert(id.clone());
            self.stand_in(id);
            return;
        }
        self.unreadable.remove(id);
        if let Some(record) = self.cluster.apps.remove(id) {
            service_ports::release(&mut self.cluster, id, &record.app);
        }
    }

    fn stand_in(&mut self, id: &AppId) {
        if let Some(app) = self.versions.get(id).and_then(|versions| versions.values().next_back()).cloned() {
            self.record(app);
            self.retry(id);
        }
    }

    /// Makes `app` the definition wanted, with the versions before it.
    fn record(&mut self, app: Arc<App>) {
        let id = app.id.clone();
        if let Some(before) = self.cluster.apps.get(&id).map(|record| Arc::clone(&record.app)) {
            service_ports::release(&mut self.cluster, &id, &before);
        }
        service_ports::hold(&mut self.cluster, &app);
        let older = self.versions.get(&id).into_iter().flatten().filter(|(version, _)| **version < app.version);
        let versions = older.map(|(_, app)| Arc::clone(app)).chain([Arc::clone(&app)]).collect();
        self.cluster.apps.insert(id, AppRecord { app, versions });
    }

    /// The definition that a line refers to; the present one when its version is gone.
    fn definition(&self, line: &AssignedInstance) -> Option<Arc<App>> {
        let version = self.versions.get(&line.app).and_then(|versions| versions.get(&line.version));
        version.or_else(|| self.cluster.app(&line.app)).cloned()
    }

    /// Looks again at the lines that waited for a definition of `app`.
    fn retry(&mut self, app: &AppId) {
        let waiting = self.unseated.iter().filter(|(_, lines)| lines.values().any(|line| line.app == *app));
        for id in waiting.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.choose(&id);
        }
    }

    /// Replaces all that `node` has to run.
    fn assign(&mut self, node: &NodeId, lines: Vec<AssignedInstance>) {
        let wanted: BTreeMap<InstanceId, AssignedInstance> =
            lines.into_iter().map(|line| (line.instance.clone(), line)).collect();
        let seated = self.cluster.loads.get(node).map(|load| load.instances.clone()).unwrap_or_default();
        let waiting = self.unseated.iter().filter(|(_, lines)| lines.contains_key(node)).map(|(id, _)| id.clone());
        let before: BTreeSet<InstanceId> = seated.into_iter().chain(waiting.collect::<Vec<_>>()).collect();
        for id in before.into_iter().filter(|id| !wanted.contains_key(id)) {
            self.withdraw(node, &id);
            self.choose(&id);
        }
        let here = |id: &InstanceId| self.cluster.instances.get(id).filter(|current| current.node() == Some(node));
        let same = |id: &InstanceId, line: &AssignedInstance| {
            here(id).and_then(|here| AssignedInstance::of(here)).as_ref() == Some(line)
        };
        let changed: Vec<(InstanceId, AssignedInstance)> = wanted.into_iter().filter(|(id, line)| !same(id, line)).collect();
        // All of them leave before the first comes: one may have the port that another had.
        let leaving: BTreeSet<InstanceId> = changed.iter().map(|(id, _)| id).filter(|id| here(id).is_some()).cloned().collect();
        for id in &leaving {
            self.withdraw(node, id);
        }
        for (id, line) in changed {
            if !leaving.contains(&id) && !self.cluster.instances.contains_key(&id) && !self.unseated.contains_key(&id) {
                // The usual case: a new instance.
                if let Some(app) = self.definition(&line) {
                    self.seat(node, app, line);
                    continue;
                }
            }
            self.unseated.entry(id.clone()).or_default().insert(node.clone(), line);
            self.choose(&id);
        }
    }

    /// Forgets what `node` was to run of an instance.
    fn withdraw(&mut self, node: &NodeId, id: &InstanceId) {
        if let Some(lines) = self.unseated.get_mut(id) {
            lines.remove(node);
            if lines.is_empty() {
                self.unseated.remove(id);
            }
        }
        if self.cluster.instances.get(id).is_some_and(|instance| instance.node() == Some(node)) {
            self.unseat(id);
        }
    }

    /// Seats an instance that several lines may name: a crash between the transactions of one large
    /// step can leave it on two nodes, and its later launch counts.
    fn choose(&mut self, id: &InstanceId) {
        let Some(lines) = self.unseated.get(id) else { return };
        let known = lines.iter().filter_map(|(node, line)| self.definition(line).map(|app| (node, line, app)));
        let best = known.min_by_key(|(node, line, _)| (std::cmp::Reverse(line.incarnation), (*node).clone()));
        let Some((node, line, app)) = best.map(|(node, line, app)| (node.clone(), line.clone(), app)) else { return };
        if let Some(current) = self.cluster.instances.get(id).cloned() {
            let Some(holder) = current.node().cloned() else { return };
            if (current.incarnation, &node) >= (line.incarnation, &holder) {
                return;
            }
            let line = AssignedInstance::of(&current);
            self.unseat(id);
            self.unseated.entry(id.clone()).or_default().extend(line.map(|line| (holder, line)));
        }
        self.withdraw(&node, id);
        self.seat(&node, app, line);
    }

    fn seat(&mut self, node: &NodeId, app: Arc<App>, line: AssignedInstance) {
        let instance = line.seated(node.clone(), app, self.lost_since(node));
        let mut load = self.cluster.loads.get(node).cloned().unwrap_or_default();
        if let Some(seat) = &instance.seat {
            load.take(&instance.id, &instance.app, seat);
        }
        self.cluster.loads.insert(node.clone(), load);
        self.cluster.instances.insert(Arc::new(instance));
    }

    fn unseat(&mut self, id: &InstanceId) {
        let Some(instance) = self.cluster.instances.remove(id) else { return };
        if let Some(seat) = &instance.seat
            && let Some(mut load) = self.cluster.loads.get(&seat.node).cloned()
        {
            load.give_back(id, &instance.app, seat);
            if load.instances.is_empty() {
                self.cluster.loads.remove(&seat.node);
            } else {
                self.cluster.loads.insert(seat.node.clone(), load);
            }
        }
    }
}

/// The order in which entries are taken: what others refer to first, and what nobody may refer to
/// any more last.
fn rank(key: &str, put: bool) -> u8 {
    if key.starts_with(keys::VERSIONS) {
        if put { 0 } else { 4 }
    } else if key.starts_with(keys::APPS) {
        1
    } else if key.starts_with(keys::ASSIGNMENTS) {
        3
    } else {
        2
    }
}
