//! Instances that keep data: what they hold of their nodes, from the first launch until it is wiped
//! (marathon.md 1.10, persistent volumes).
//!
//! A hold belongs to an instance, whether its task runs or not. Scaling down leaves it; scaling up
//! takes up what was left before anything new is created. The app's end, a wipe and the end of the
//! node end it. An instance has one seat at a time, so that a volume never has two live holders.

use super::draft::Draft;
use super::keys;
use crate::app::{App, PersistentVolume};
use crate::assignment::Down;
use crate::instance::{Condition, Instance};
use crate::node::{AfterDrain, Claims, Hold, Node, NodeId};
use crate::placement::Refusals;
use crate::{AppId, Fault, InstanceId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// Outcome of starting instances again where their data are.
#[derive(Debug, Default)]
pub(super) struct Relaunch {
    /// Instances that were given their seats, to be launched.
    pub(super) seats: Vec<Arc<Instance>>,
    /// How many have to wait.
    pub(super) waiting: usize,
    /// Why the first of them does.
    pub(super) refusals: Option<Refusals>,
    /// More might get a seat in another turn.
    pub(super) left: bool,
}

impl Draft {
    /// What an instance holds, and where.
    pub(super) fn hold_of(&self, id: &InstanceId) -> Option<(NodeId, Arc<Hold>)> {
        let node = self.cluster.holds.get(id)?;
        let hold = self.cluster.nodes.get(node)?.claims.holds.get(id)?;
        Some((node.clone(), Arc::clone(hold)))
    }

    /// Changes what is set aside on a node.
    pub(super) fn edit_claims(&mut self, node: &NodeId, edit: impl FnOnce(&mut Claims)) {
        let Some(before) = self.cluster.nodes.get(node) else { return };
        let mut claims = before.claims.clone();
        edit(&mut claims);
        if claims == before.claims {
            return;
        }
        let next = Node { claims, ..(**before).clone() };
        self.put_node(next);
        self.dirty_claims.insert(node.clone());
    }

    /// Writes the documents of nodes whose claims changed, once for all changes of a step.
    pub(super) fn write_claims(&mut self) {
        for node in std::mem::take(&mut self.dirty_claims) {
            if let Some(record) = self.cluster.nodes.get(&node).map(|node| node.record()) {
                self.write(keys::node(&node), &record);
            }
        }
    }

    /// Notes what `instance`, which is about to start on `node`, holds there.
    pub(super) fn take_hold(&mut self, instance: &InstanceId, app: &App, node: &NodeId, incarnation: u32) {
        if !app.is_resident() {
            return;
        }
        let now = self.now;
        self.edit_claims(node, |claims| {
            let hold = claims.holds.get(instance).map_or_else(|| Hold::of(app, now), |hold| hold.renewed(app));
            claims.holds.insert(instance.clone(), Arc::new(Hold { incarnation, spare: false, ..hold }));
        });
    }

    /// Notes that an instance with data is stopped because fewer are wanted.
    pub(super) fn spare_hold(&mut self, id: &InstanceId) {
        let Some((node, hold)) = self.hold_of(id).filter(|(_, hold)| !hold.spare) else { return };
        self.edit_claims(&node, |claims| {
            drop(claims.holds.insert(id.clone(), Arc::new(Hold { spare: true, ..(*hold).clone() })));
        });
    }

    /// Called when an instance is no more: its data go when nobody wants them.
    pub(super) fn leave_hold(&mut self, id: &InstanceId) {
        let Some((_, hold)) = self.hold_of(id) else { return };
        if hold.wiped || !self.cluster.apps.contains_key(id.app()) {
            self.destroy_hold(id);
        }
    }

    /// Gives back what an instance without a task holds and has its data deleted.
    pub(super) fn destroy_hold(&mut self, id: &InstanceId) {
        let Some((node, _)) = self.hold_of(id) else { return };
        self.edit_claims(&node, |claims| {
            claims.holds.remove(id);
            claims.doomed.insert(id.clone());
        });
        self.capacity_freed = true;
        self.orders.push((node, Down::Destroy { epoch: self.epoch, instances: vec![id.clone()] }));
    }

    /// An agent has deleted the data of these instances.
    pub fn note_destroyed(&mut self, node: &NodeId, instances: &[InstanceId]) {
        self.edit_claims(node, |claims| instances.iter().for_each(|id| drop(claims.doomed.remove(id))));
    }

    /// Tells an agent which data to delete; it may have missed it before.
    pub(super) fn order_destructions(&mut self, node: &NodeId) {
        let doomed = self.cluster.nodes.get(node).map(|node| &node.claims.doomed);
        let instances: Vec<InstanceId> = doomed.into_iter().flatten().cloned().collect();
        if !instances.is_empty() {
            self.orders.push((node.clone(), Down::Destroy { epoch: self.epoch, instances }));
        }
    }

    /// Has the data of an instance deleted: at once when no task uses them, else when it has ended.
    pub(super) fn wipe(&mut self, id: &InstanceId) {
        let Some((node, hold)) = self.hold_of(id) else { return };
        if !self.cluster.instances.contains_key(id) {
            self.destroy_hold(id);
        } else if !hold.wiped {
            self.edit_claims(&node, |claims| {
                claims.holds.insert(id.clone(), Arc::new(Hold { wiped: true, ..(*hold).clone() }));
            });
        }
    }

    /// The app is gone: so are its data. A later app of the same name begins without them.
    pub(super) fn wipe_app(&mut self, app: &AppId) {
        let ids: Vec<InstanceId> = self.cluster.holds_of(app).map(|(id, _)| id.clone()).collect();
        for id in &ids {
            self.wipe(id);
        }
    }

    /// Up to `count` instances that left data behind: they are taken up before new ones begin. First those that were
    /// stopped for a newer version, wherever they are, then those of an app that was scaled down, those whose nodes
    /// are there before the others. Nodes that are to leave for ever count as gone.
    pub(super) fn stopped_instances(&self, app: &App, count: usize) -> Vec<(InstanceId, u32)> {
        if count == 0 || !app.is_resident() {
            return Vec::new();
        }
        let mut stopped: Vec<((bool, bool), InstanceId, u32)> = Vec::new();
        for (id, node) in self.cluster.holds_of(&app.id) {
            let Some(node) = self.cluster.nodes.get(node) else { continue };
            let Some(hold) = node.claims.holds.get(id) else { continue };
            let leaves = node.administration.drain().is_some_and(|drain| drain.then == AfterDrain::Decommission);
            if !hold.wiped && !leaves && !self.cluster.instances.contains_key(id) {
                stopped.push(((hold.spare, hold.spare && !node.accepts_tasks()), id.clone(), hold.incarnation));
            }
        }
        stopped.sort();
        stopped.into_iter().take(count).map(|(_, id, incarnation)| (id, incarnation)).collect()
    }

    /// Finds seats for those of `waiting` that have data, where their data are, at most `most`; they
    /// are taken out of the list.
    pub(super) fn relaunch(&mut self, app: &Arc<App>, waiting: &mut Vec<Arc<Instance>>, most: usize) -> Relaunch {
        let mut relaunch = Relaunch::default();
        if !app.is_resident() {
            return relaunch;
        }
        let mut fresh = Vec::new();
        for instance in std::mem::take(waiting) {
            let Some((node, hold)) = self.hold_of(&instance.id) else {
                fresh.push(instance);
                continue;
            };
            if relaunch.seats.len() >= most {
                relaunch.left = true;
                relaunch.waiting += 1;
                continue;
            }
            let salt = self.entropy.next_number();
            match self.ledger_for(app).place_pinned(app, &hold, &node, salt) {
                Ok(seat) => {
                    let launched = self.start(app, (*instance).clone(), seat);
                    relaunch.seats.push(launched);
                }
                Err(refusals) => {
                    relaunch.waiting += 1;
                    relaunch.refusals.get_or_insert(*refusals);
                }
            }
        }
        *waiting = fresh;
        relaunch
    }

    /// Why a running instance with data is not stopped for a newer configuration: its node could not take that up,
    /// and the data would be without a task. One that must leave in any case does not stay.
    pub(super) fn stays(&mut self, app: &Arc<App>, id: &InstanceId) -> Option<Refusals> {
        let instance = self.cluster.instances.get(id).filter(|_| app.is_resident())?;
        let around = self.cluster.around(&app.id, self.now);
        if instance.condition != Condition::Running || around.is_overdue(instance) {
            return None;
        }
        let (node, hold) = self.hold_of(id)?;
        self.ledger_for(app).check_pinned(app, &hold, &node).err().map(|refusals| *refusals)
    }

    /// Instances with data that run since before holds were kept get theirs.
    pub(super) fn adopt_volumes(&mut self) {
        let resident = self.cluster.instances.values().filter(|instance| instance.app.is_resident());
        let without = resident.filter(|instance| !self.cluster.holds.contains_key(&instance.id)).cloned();
        for instance in without.collect::<Vec<_>>() {
            if let Some(seat) = &instance.seat {
                self.take_hold(&instance.id, &instance.app, &seat.node, instance.incarnation);
            }
        }
    }
}

impl super::Cluster {
    /// What the instances of an app hold where, by instance.
    pub fn holds_of(&self, app: &AppId) -> impl Iterator<Item = (&InstanceId, &NodeId)> {
        let first = InstanceId::new(app, Uuid::nil());
        let app = app.clone();
        self.holds.range(first..).take_while(move |(id, _)| *id.app() == app)
    }

    /// Keeps the index of holds after a node changed.
    pub(super) fn index_holds(&mut self, node: &NodeId, before: Option<&Node>, after: Option<&Node>) {
        let none = imbl::OrdMap::new();
        let old = before.map_or(&none, |node| &node.claims.holds);
        let new = after.map_or(&none, |node| &node.claims.holds);
        if old.ptr_eq(new) {
            return;
        }
        for id in old.keys().filter(|id| !new.contains_key(*id)) {
            if self.holds.get(id) == Some(node) {
                self.holds.remove(id);
            }
        }
        for id in new.keys() {
            if self.holds.get(id) != Some(node) {
                self.holds.insert(id.clone(), node.clone());
            }
        }
    }
}

/// What may not change about the volumes of an app, since its instances have them already: which there
/// are, and of what kind (marathon.md 1.4). Sizes may, and other resources too, where the node has
/// room; Marathon refused that.
pub(super) fn check_volumes(current: &App, next: &App) -> Vec<Fault> {
    let kinds = |app: &App| -> BTreeMap<String, PersistentVolume> {
        let same_size =
            |volume: &PersistentVolume| PersistentVolume { size: crate::Scalar::ZERO, max_size: None, ..volume.clone() };
        app.persistent_volumes().map(|(path, volume)| (path.to_owned(), same_size(volume))).collect()
    };
    let (before, after) = (kinds(current), kinds(next));
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let faults = paths.into_iter().filter_map(|path| {
        let message = match (before.get(path), after.get(path)) {
            (Some(before), Some(after)) if before != after => "its type, profile or constraints cannot change",
            (Some(_), None) => "it cannot be taken away",
            (None, Some(_)) => "it cannot be added",
            _ => return None,
        };
        let message = format!("persistent volumes are bound to the instances: {message}; remove the app and create it anew");
        Some(Fault::new("/container/volumes", message).with_value(path))
    });
    faults.collect()
}
