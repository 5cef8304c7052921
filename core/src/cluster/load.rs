//! Reading a cluster back from the store.

use super::instances::Instances;
use super::mirror::Mirror;
use super::{Cluster, Delay};
use crate::instance::{Condition, Instance};
use crate::{AppId, Timestamp};
use std::cmp::Ordering;
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

/// The instances of `stored`, with what `known` has observed of them. What both agree on is taken over
/// as it is, so that this costs little more than a look at each.
fn observed(stored: &Cluster, known: &Cluster) -> Instances {
    if known.instances.is_empty() {
        return stored.instances.clone();
    }
    let mut instances = known.instances.clone();
    let (mut ours, mut theirs) = (stored.instances.values().peekable(), known.instances.values().peekable());
    loop {
        let order = match (ours.peek(), theirs.peek()) {
            (None, None) => return instances,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(ours), Some(theirs)) => Instances::place(&ours.id).cmp(&Instances::place(&theirs.id)),
        };
        match order {
            Ordering::Less => drop(ours.next().map(|only| instances.insert(Arc::clone(only)))),
            Ordering::Greater => {
                // One that waits for a node is not stored; its launches go on being counted.
                let gone = |seen: &&Arc<Instance>| seen.seat.is_some() || !stored.apps.contains_key(seen.app_id());
                drop(theirs.next().filter(gone).map(|seen| instances.remove(&seen.id)));
            }
            Ordering::Equal => {
                let changed = ours.next().zip(theirs.next()).and_then(|(stored, seen)| merged(stored, seen));
                drop(changed.map(|merged| instances.insert(Arc::new(merged))));
            }
        }
    }
}

/// One instance as it is stored, with what was seen of it; `None` when it was seen exactly so.
fn merged(stored: &Instance, seen: &Instance) -> Option<Instance> {
    if stored.seat != seen.seat || stored.incarnation != seen.incarnation {
        return Some(stored.clone());
    }
    let lost = |instance: &Instance| instance.condition == Condition::Unreachable;
    match (lost(stored), lost(seen)) {
        // Whether its node is lost is decided, not observed.
        (true, false) => Some(Instance { observed: seen.observed.clone(), ..stored.clone() }),
        (false, true) => Some(stored.clone()),
        _ if seen.goal == stored.goal && seen.app.version == stored.app.version => None,
        _ => Some(Instance { app: Arc::clone(&stored.app), goal: stored.goal, ..seen.clone() }),
    }
}

impl Cluster {
    /// Rebuilds the cluster from all entries below [`super::ROOT`]. Tasks count as staging, on nodes
    /// that are disconnected, until agents say otherwise.
    pub fn load<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8])>, now: Timestamp) -> (Self, Vec<LoadFault>) {
        let mut mirror = Mirror::default();
        mirror.apply(entries.into_iter().map(|(key, value)| (key, Some(value))), now);
        (mirror.cluster().clone(), mirror.faults())
    }

    /// Adds to a cluster as it is stored what `known`, an older or newer picture of the same one, has
    /// observed: the states of instances that are the same incarnation at the same place, pauses,
    /// progress and history. What the store says is never changed. Nodes stay as they were loaded:
    /// whoever takes over waits for their agents. Costs the size of the cluster.
    #[must_use]
    pub fn with_observations_of(mut self, known: &Self) -> Self {
        self.instances = observed(&self, known);
        for (id, deployment) in &known.deployments {
            if self.deployments.get(id).is_some_and(|stored| stored.steps == deployment.steps) {
                self.deployments.insert(Arc::clone(id), Arc::clone(deployment));
            }
        }
        let kept = |id: &AppId| self.apps.contains_key(id);
        self.delays =
            known.delays.iter().filter(|(id, _)| kept(id)).map(|(id, delay)| (id.clone(), Delay::clone(delay))).collect();
        self.pending =
            known.pending.iter().filter(|(id, _)| kept(id)).map(|(id, pending)| (id.clone(), Arc::clone(pending))).collect();
        let removed = known.removed.iter().filter(|(id, _)| self.deployments.contains_key(*id));
        self.removed = removed.map(|(id, apps)| (Arc::clone(id), apps.clone())).collect();
        self.stranded =
            known.stranded.iter().filter(|(id, _)| kept(id)).map(|(id, refusals)| (id.clone(), Arc::clone(refusals))).collect();
        self.brake.clone_from(&known.brake);
        self.sandbox_bases.clone_from(&known.sandbox_bases);
        self.completed.clone_from(&known.completed);
        self.ended.clone_from(&known.ended);
        self.generation = self.generation.max(known.generation);
        self
    }
}
