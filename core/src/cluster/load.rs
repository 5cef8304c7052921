//! Reading a cluster back from the store.

use super::app_record::AppRecord;
use super::assigned::{AssignedInstance, AssignedInstances};
use super::{Cluster, keys, service_ports};
use crate::deployment::Deployment;
use crate::instance::{Condition, Instance, Observed, Seat};
use crate::node::{Node, NodeDocument, NodeId, NodeStatus};
use crate::package::{PackageInstance, Repository};
use crate::{App, AppId, InstanceId, Timestamp};
use imbl::Vector;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A stored entry that could not be read. The rest was loaded; the entry is left alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct LoadFault {
    /// Its key.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

impl Cluster {
    /// Rebuilds the cluster from all entries below [`keys::ROOT`]. Tasks count as staging, on nodes
    /// that are disconnected, until agents say otherwise.
    pub fn load<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8])>, now: Timestamp) -> (Self, Vec<LoadFault>) {
        let mut loader = Loader {
            now,
            cluster: Self::default(),
            versions: BTreeMap::new(),
            assigned: Vec::new(),
            faults: Vec::new(),
            unreadable: Vec::new(),
        };
        for (key, value) in entries {
            loader.entry(key, value);
        }
        loader.finish()
    }
}

struct Loader {
    now: Timestamp,
    cluster: Cluster,
    versions: BTreeMap<AppId, BTreeMap<Timestamp, Arc<App>>>,
    assigned: Vec<(NodeId, String, Vec<AssignedInstance>)>,
    faults: Vec<LoadFault>,
    /// Apps whose document is damaged.
    unreadable: Vec<AppId>,
}

impl Loader {
    fn read<T: DeserializeOwned>(&mut self, key: &str, value: &[u8]) -> Option<T> {
        serde_json::from_slice(value)
            .map_err(|error| self.faults.push(LoadFault { key: key.into(), reason: error.to_string() }))
            .ok()
    }

    fn entry(&mut self, key: &str, value: &[u8]) {
        if let Some(outcome) = self.cluster.trust.entry(key, Some(value)) {
            self.faults.extend(outcome.err().map(|reason| LoadFault { key: key.into(), reason }));
        } else if key == keys::CLUSTER_ID {
            if let Some(id) = self.read::<String>(key, value) {
                self.cluster.id = id.into();
            }
        } else if key == keys::REPOSITORIES {
            self.cluster.repositories = self.read::<Vector<Repository>>(key, value);
        } else if key.starts_with(keys::VERSIONS) {
            if let Some(app) = self.read::<App>(key, value) {
                self.versions.entry(app.id.clone()).or_default().insert(app.version, Arc::new(app));
            }
        } else if let Some(id) = key.strip_prefix(keys::APPS) {
            let app = self.read::<App>(key, value);
            if app.is_none() {
                self.unreadable.extend(AppId::parse(id));
            }
            if let Some(app) = app {
                let app = Arc::new(app);
                self.cluster.apps.insert(app.id.clone(), AppRecord { versions: Vector::unit(Arc::clone(&app)), app });
            }
        } else if key.starts_with(keys::PACKAGES) {
            if let Some(package) = self.read::<PackageInstance>(key, value) {
                self.cluster.packages.insert(package.app_id.clone(), Arc::new(package));
            }
        } else if key.starts_with(keys::FAILURES) {
            if let Some(failure) = self.read::<super::LastFailure>(key, value) {
                self.cluster.failures.insert(failure.app_id.clone(), Arc::new(failure));
            }
        } else if key.starts_with(keys::DEPLOYMENTS) {
            if let Some(mut deployment) = self.read::<Deployment>(key, value) {
                deployment.pending = deployment.affected().cloned().collect();
                self.cluster.deployments.insert(deployment.id.as_str().into(), Arc::new(deployment));
            }
        } else if key == keys::BRAKE {
            self.cluster.brake_settings = self.read(key, value).unwrap_or_default();
        } else if key.starts_with(keys::NODES) {
            match self.read::<NodeDocument>(key, value) {
                Some(NodeDocument::Member(record)) => {
                    let (facts, faults) = record.facts.checked();
                    let node = Node {
                        facts,
                        status: if record.lost_since.is_some() { NodeStatus::Unreachable } else { NodeStatus::Disconnected },
                        since: record.lost_since.unwrap_or(self.now),
                        registered_at: record.registered_at.unwrap_or(self.now),
                        administration: record.administration,
                        certificate: record.certificate,
                        faults,
                    };
                    self.cluster.put_node(Arc::new(node));
                }
                Some(NodeDocument::Retired(retired)) => {
                    self.cluster.retired.insert(retired.id.clone(), Arc::new(retired));
                }
                None => {}
            }
        } else if let Some(node) = key.strip_prefix(keys::ASSIGNMENTS) {
            match NodeId::parse(node) {
                Ok(node) => {
                    let lines = self.read::<AssignedInstances>(key, value).unwrap_or_default();
                    self.assigned.push((node, key.to_owned(), lines.0));
                }
                Err(error) => self.faults.push(LoadFault { key: key.into(), reason: error.to_string() }),
            }
        }
    }

    fn finish(mut self) -> (Cluster, Vec<LoadFault>) {
        for id in std::mem::take(&mut self.unreadable) {
            // A damaged document is no wish to remove the app: its newest version stands in.
            if let Some(app) = self.versions.get(&id).and_then(|versions| versions.values().next_back()).cloned() {
                self.cluster.apps.insert(id, AppRecord { versions: Vector::unit(Arc::clone(&app)), app });
            }
        }
        let ids: Vec<AppId> = self.cluster.apps.keys().cloned().collect();
        for id in ids {
            let Some(record) = self.cluster.apps.get(&id).cloned() else { continue };
            service_ports::hold(&mut self.cluster, &record.app);
            let older = self.versions.get(&id).into_iter().flatten().filter(|(version, _)| **version < record.app.version);
            let versions: Vector<Arc<App>> = older.map(|(_, app)| Arc::clone(app)).chain([Arc::clone(&record.app)]).collect();
            self.cluster.apps.insert(id, AppRecord { app: record.app, versions });
        }
        for (node, key, lines) in std::mem::take(&mut self.assigned) {
            for line in lines {
                let version = self.versions.get(&line.app).and_then(|versions| versions.get(&line.version)).cloned();
                let Some(app) = version.or_else(|| self.cluster.app(&line.app).cloned()) else {
                    let reason = format!("the definition of {} at {} is missing", line.app, line.version);
                    self.faults.push(LoadFault { key: key.clone(), reason });
                    continue;
                };
                self.seat(node.clone(), app, line);
            }
        }
        (self.cluster, self.faults)
    }

    fn seat(&mut self, node: NodeId, app: Arc<App>, line: AssignedInstance) {
        // A crash between the transactions of one large step can leave an instance on two nodes: its
        // later launch counts.
        if let Some(other) = self.cluster.instances.get(&line.instance).cloned() {
            if other.incarnation >= line.incarnation {
                return;
            }
            if let Some(seat) = &other.seat
                && let Some(load) = self.cluster.loads.get_mut(&seat.node)
            {
                load.give_back(&other.id, &other.app, seat);
            }
        }
        let lost_since =
            self.cluster.nodes.get(&node).filter(|node| node.status == NodeStatus::Unreachable).map(|node| node.since);
        let seat = Seat { node, host_ports: line.ports };
        self.cluster.loads.entry(seat.node.clone()).or_default().take(&line.instance, &app, &seat);
        let instance = Instance {
            // The path is shared with the definition.
            id: InstanceId::new(&app.id, line.instance.uuid()),
            app,
            incarnation: line.incarnation,
            goal: line.goal,
            seat: Some(seat),
            condition: if lost_since.is_some() { Condition::Unreachable } else { Condition::Staging },
            since: lost_since.unwrap_or(line.staged_at),
            staged_at: line.staged_at,
            unreachable_since: lost_since,
            inactive: false,
            free_relaunch_at: None,
            excused: false,
            observed: Observed::default(),
        };
        self.cluster.instances.insert(Arc::new(instance));
    }
}
