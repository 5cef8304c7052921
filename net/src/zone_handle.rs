//! The way from the controller to the servers: one writer at a time, readers never wait for it.

use crate::cache::Cache;
use crate::snapshot::Snapshot;
use arc_swap::ArcSwap;
use orrery_core::InstanceId;
use orrery_core::cluster::Cluster;
use orrery_core::dns::{ClusterZone, Owner, Record};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// A shared zone. Clones are handles to the same zone.
#[derive(Debug, Clone, Default)]
pub struct ZoneHandle(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    writing: Mutex<()>,
    current: ArcSwap<ClusterZone>,
    cache: Arc<Cache>,
}

impl ZoneHandle {
    /// A handle to a new, empty zone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `cluster` the one whose tasks and nodes have names, visible to the next query. `touched`
    /// are all instances in which it differs from the one before. Costs the changed nodes and the apps
    /// of touched instances ([`ClusterZone::publish`]).
    pub fn publish(&self, cluster: &Cluster, touched: &BTreeSet<InstanceId>) {
        self.update(|zone| {
            zone.publish(cluster, touched);
            true
        });
    }

    /// [`ZoneHandle::publish`] when it is not known what differs. Costs the number of apps.
    pub fn publish_anew(&self, cluster: &Cluster) {
        self.update(|zone| {
            zone.publish_anew(cluster);
            true
        });
    }

    /// Makes `records` the records of `owner`, beside those of tasks. True when that changed
    /// anything.
    pub fn apply(&self, owner: Owner, records: Vec<Record>) -> bool {
        self.update(|zone| zone.apply(owner, records))
    }

    /// Removes the records that `owner` has beside those of tasks. True when there were any.
    pub fn remove(&self, owner: &Owner) -> bool {
        self.update(|zone| zone.remove(owner))
    }

    /// Makes a change visible, if it was one.
    fn update(&self, change: impl FnOnce(&mut ClusterZone) -> bool) -> bool {
        // A poisoned lock is harmless: a change that panicked was never published.
        let _writing = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut zone = ClusterZone::clone(&self.0.current.load());
        let is_changed = change(&mut zone);
        if is_changed {
            self.0.current.store(Arc::new(zone));
        }
        is_changed
    }

    /// The names as they are now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.0.current.load_full(), Arc::clone(&self.0.cache))
    }
}
