//! Reading a cluster back from the store.

use super::mirror::Mirror;
use super::{Cluster, Delay};
use crate::instance::{Condition, Instance};
use crate::{AppId, Timestamp};
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
        for seen in known.instances.values() {
            match self.instances.get(&seen.id) {
                Some(stored) if stored.seat == seen.seat && stored.incarnation == seen.incarnation => {
                    let lost = |instance: &Instance| instance.condition == Condition::Unreachable;
                    let merged = match (lost(stored), lost(seen)) {
                        // Whether its node is lost is decided, not observed.
                        (true, false) => Instance { observed: seen.observed.clone(), ..(**stored).clone() },
                        (false, true) => continue,
                        _ => Instance { app: Arc::clone(&stored.app), goal: stored.goal, ..(**seen).clone() },
                    };
                    self.instances.insert(Arc::new(merged));
                }
                // One that waits for a node is not stored; its launches go on being counted.
                None if seen.seat.is_none() && self.apps.contains_key(seen.app_id()) => {
                    self.instances.insert(Arc::clone(seen));
                }
                _ => {}
            }
        }
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
