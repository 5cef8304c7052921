//! The stored part of a cluster, kept in step with the store entry by entry.

use super::app_record::AppRecord;
use super::load::LoadFault;
use super::page::Line;
use super::pages::{self, Page, PageId, PageReader, ReadPages};
use super::{Cluster, LastFailure, keys, service_ports};
use crate::deployment::Deployment;
use crate::node::{Node, NodeDocument, NodeId, NodeRecord, NodeStatus};
use crate::package::{PackageInstance, Repository};
use crate::role::Role;
use crate::{App, AppId, Instance, InstanceId, Timestamp};
use imbl::Vector;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Pages are taken after all that they refer to, and before what nobody may refer to any more goes.
const PAGES_RANK: u8 = 3;

/// What the store says of the cluster. Loading is applying every entry; following is applying what
/// changes: the outcome is the same. An entry that cannot be read is a fault and stops nothing else.
#[derive(Debug, Clone, Default)]
pub struct Mirror {
    cluster: Cluster,
    versions: BTreeMap<AppId, BTreeMap<Timestamp, Arc<App>>>,
    /// Lines of pages whose definition is missing: without effect, or with the present one standing in.
    undefined: BTreeMap<PageId, Vec<Line>>,
    /// How many nodes are lost.
    lost: usize,
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
        let lines = self.undefined.iter().flat_map(|((app, page), lines)| lines.iter().map(move |line| (app, *page, line)));
        let missing = lines.filter(|(_, _, line)| self.definition(line).is_none()).map(|(app, page, line)| {
            let reason = format!("the definition of {app} at {} is missing", line.version);
            LoadFault { key: keys::page(app, page), reason }
        });
        unread.chain(missing).collect()
    }

    /// Takes in what changed: keys with their new values, none when deleted. The order does not
    /// matter: what others refer to is taken first. `now` is when nodes count as disconnected from.
    pub fn apply<'a>(&mut self, changes: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>, now: Timestamp) {
        let mut changes: Vec<(u8, &str, Option<&[u8]>)> =
            changes.into_iter().map(|(key, value)| (rank(key, value.is_some()), key, value)).collect();
        changes.sort_by_key(|(rank, _, _)| *rank);
        let referred = changes.partition_point(|(rank, ..)| *rank < PAGES_RANK);
        let pages = changes.partition_point(|(rank, ..)| *rank <= PAGES_RANK);
        for (_, key, value) in &changes[..referred] {
            self.entry(key, *value, now);
        }
        let of_pages: Vec<(&str, Option<&[u8]>)> =
            changes[referred..pages].iter().map(|(_, key, value)| (*key, *value)).collect();
        let read = pages::read(&self.cluster.nodes, &of_pages);
        let read = of_pages.iter().zip(read);
        let turned = read.filter_map(|((key, value), read)| self.page(key, value.is_some(), read)).collect();
        self.turn(turned);
        for (_, key, value) in &changes[pages..] {
            self.entry(key, *value, now);
        }
    }

    /// A reader of pages that knows the nodes that are known now.
    pub fn page_reader(&self) -> PageReader {
        PageReader::new(&self.cluster.nodes)
    }

    /// Takes in pages that a reader has read, as [`Mirror::apply`] does.
    pub fn take_pages(&mut self, pages: ReadPages) {
        let turned = pages.0.into_iter().filter_map(|(key, read)| self.page(&key, true, read)).collect();
        self.turn(turned);
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
                    self.lost -= usize::from(self.lost_since(&id).is_some());
                    self.cluster.drop_node(&id);
                }
            }
            match document {
                Some(NodeDocument::Member(record)) => self.put_node(*record, now),
                Some(NodeDocument::Retired(retired)) => drop(self.cluster.retired.insert(retired.id.clone(), Arc::new(retired))),
                None => {}
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
            claims: record.claims,
            faults,
        };
        let id = node.facts.id.clone();
        let lost_before = self.lost_since(&id);
        self.lost = self.lost + usize::from(record.lost_since.is_some()) - usize::from(lost_before.is_some());
        self.cluster.put_node(Arc::new(node));
        if lost_before == record.lost_since {
            return;
        }
        let here = self.cluster.loads.get(&id).map(|load| load.instances.clone()).unwrap_or_default();
        for instance in here {
            let Some(instance) = self.cluster.instances.get(&instance).cloned() else { continue };
            if let Some(line) = Line::of(&instance) {
                let again = line.seated(Arc::clone(&instance.app), record.lost_since);
                self.cluster.instances.insert(Arc::new(again));
            }
        }
    }

    /// Since when a node is lost.
    fn lost_since(&self, node: &NodeId) -> Option<Timestamp> {
        if self.lost == 0 {
            return None;
        }
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
    fn definition(&self, line: &Line) -> Option<Arc<App>> {
        let app = line.instance.app();
        let version = self.versions.get(app).and_then(|versions| versions.get(&line.version));
        version.or_else(|| self.cluster.app(app)).cloned()
    }

    /// Looks again at the lines that waited for a definition of `app`.
    fn retry(&mut self, app: &AppId) {
        let waiting = self.undefined.range((app.clone(), 0)..=(app.clone(), u32::MAX)).map(|(page, _)| page.clone());
        for page in waiting.collect::<Vec<_>>() {
            for line in self.undefined.remove(&page).unwrap_or_default() {
                let app = self.definition(&line);
                self.unseat(&line.instance);
                let seated = self.seat(&page, line, app);
                self.cluster.occupy(seated.as_slice());
            }
        }
    }

    /// A page that has been read. A damaged one is a fault and changes nothing.
    fn page(&mut self, key: &str, put: bool, read: Result<Page, String>) -> Option<Page> {
        self.faults.remove(key);
        read.map_err(|reason| put.then(|| self.faults.insert(key.into(), reason))).ok()
    }

    /// Replaces pages. What leaves a seat goes first: who comes may have a port that it had.
    fn turn(&mut self, pages: Vec<Page>) {
        let mut coming: Vec<Page> = Vec::with_capacity(pages.len());
        for (page, lines) in pages {
            self.undefined.remove(&page);
            if self.cluster.instances.page(&page.0, page.1).next().is_none() {
                coming.push((page, lines));
                continue;
            }
            let mut lines: BTreeMap<InstanceId, Line> = lines.into_iter().map(|line| (line.instance.clone(), line)).collect();
            let mut leaving = Vec::new();
            for current in self.cluster.instances.page(&page.0, page.1) {
                if lines.get(&current.id).is_some_and(|line| Line::of(current).as_ref() == Some(line)) {
                    lines.remove(&current.id);
                } else {
                    leaving.push(current.id.clone());
                }
            }
            for id in leaving {
                self.unseat(&id);
            }
            coming.push((page, lines.into_values().collect()));
        }
        let mut seated = Vec::new();
        for (page, lines) in coming {
            let mut last: Option<Arc<App>> = None;
            for line in lines {
                // Those of one version follow each other.
                let app = last.take().filter(|app| app.version == line.version).or_else(|| self.definition(&line));
                last.clone_from(&app);
                seated.extend(self.seat(&page, line, app));
            }
        }
        self.cluster.occupy(&seated);
    }

    /// The instance of a line, which is still to occupy its seat; none when its definition is missing.
    fn seat(&mut self, page: &PageId, line: Line, app: Option<Arc<App>>) -> Option<Arc<Instance>> {
        let Some(app) = app else {
            self.undefined.entry(page.clone()).or_default().push(line);
            return None;
        };
        if app.version != line.version {
            // Until its own arrives: a watch may have lost it.
            self.undefined.entry(page.clone()).or_default().push(line.clone());
        }
        let lost_since = self.lost_since(&line.node);
        Some(Arc::new(line.seated(app, lost_since)))
    }

    fn unseat(&mut self, id: &InstanceId) {
        let Some(instance) = self.cluster.instances.remove(id) else { return };
        if let Some(seat) = &instance.seat
            && let Some(load) = self.cluster.loads.get_mut(&seat.node)
        {
            load.give_back(id, &instance.app, seat);
            if load.instances.is_empty() {
                self.cluster.loads.remove(&seat.node);
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
    } else if key.starts_with(keys::INSTANCES) {
        PAGES_RANK
    } else {
        2
    }
}
