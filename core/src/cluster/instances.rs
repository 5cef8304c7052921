//! The instances of a cluster, by app.

use crate::{AppId, Instance, InstanceId};
use imbl::OrdMap;
use std::sync::Arc;
use uuid::Uuid;

/// Instances by id, those of an app together. A clone is O(1) and shares everything.
#[derive(Debug, Clone, Default)]
pub struct Instances {
    apps: OrdMap<AppId, OrdMap<Uuid, Arc<Instance>>>,
    count: usize,
}

impl Instances {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One instance.
    pub fn get(&self, id: &InstanceId) -> Option<&Arc<Instance>> {
        self.apps.get(id.app())?.get(&id.uuid())
    }

    /// Whether there is such an instance.
    pub fn contains_key(&self, id: &InstanceId) -> bool {
        self.get(id).is_some()
    }

    /// All of them, by app, then by id.
    pub fn values(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.apps.values().flat_map(OrdMap::values)
    }

    /// Ids of all of them, in order.
    pub fn keys(&self) -> impl Iterator<Item = &InstanceId> {
        self.values().map(|instance| &instance.id)
    }

    /// Instances of one app, by id.
    pub fn of(&self, app: &AppId) -> impl Iterator<Item = &Arc<Instance>> {
        self.apps.get(app).into_iter().flat_map(OrdMap::values)
    }

    /// Apps that have instances.
    pub fn apps(&self) -> impl Iterator<Item = &AppId> {
        self.apps.keys()
    }

    /// Adds or replaces an instance; returns the one before.
    pub fn insert(&mut self, instance: Arc<Instance>) -> Option<Arc<Instance>> {
        let uuid = instance.id.uuid();
        let before = match self.apps.get_mut(instance.id.app()) {
            Some(group) => group.insert(uuid, instance),
            None => {
                let app = instance.id.app().clone();
                self.apps.insert(app, OrdMap::unit(uuid, instance));
                None
            }
        };
        self.count += usize::from(before.is_none());
        before
    }

    /// Forgets an instance and returns it.
    pub fn remove(&mut self, id: &InstanceId) -> Option<Arc<Instance>> {
        let group = self.apps.get_mut(id.app())?;
        let removed = group.remove(&id.uuid())?;
        if group.is_empty() {
            self.apps.remove(id.app());
        }
        self.count -= 1;
        Some(removed)
    }
}
