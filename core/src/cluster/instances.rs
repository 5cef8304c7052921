//! The instances of a cluster, by app.

use super::page::page_of;
use crate::instance::{Condition, Goal};
use crate::{App, AppId, Instance, InstanceId, Timestamp};
use imbl::OrdMap;
use std::sync::Arc;
use uuid::Uuid;

/// Instances by id, those of an app together. A clone is O(1) and shares everything.
#[derive(Debug, Clone, Default)]
pub struct Instances {
    apps: OrdMap<AppId, Group>,
    count: usize,
}

/// The instances of one app.
#[derive(Debug, Clone, Default)]
struct Group {
    /// Those of a page lie together.
    members: OrdMap<Place, Arc<Instance>>,
    /// How many are where they should be, or on the way there.
    plain: usize,
    /// How many of the plain ones serve.
    serving: usize,
    /// How many there are of each configuration; one, mostly.
    configurations: Vec<(Timestamp, usize)>,
}

/// Page and UUID of an instance in one number.
type Place = u128;

const fn place_of(uuid: Uuid) -> Place {
    uuid.as_u128().rotate_left(u128::BITS - u32::BITS)
}

/// The places of a page.
const fn places_of(page: u32) -> std::ops::RangeInclusive<Place> {
    let first = (page as u128) << (u128::BITS - u32::BITS);
    first..=first | (u128::MAX >> u32::BITS)
}

/// Counts of an app whose instances all are of its present configuration, have nodes, and are to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Calm {
    /// How many serve.
    pub(super) serving: usize,
}

/// Whether an instance needs no decision: it has a node and is to run there.
fn is_plain(instance: &Instance) -> bool {
    instance.goal == Goal::Running
        && instance.seat.is_some()
        && !instance.inactive
        && matches!(instance.condition, Condition::Staging | Condition::Starting | Condition::Running)
}

impl Group {
    fn count(&mut self, instance: &Instance, more: bool) {
        let step = |count: &mut usize| if more { *count += 1 } else { *count -= 1 };
        if is_plain(instance) {
            step(&mut self.plain);
            if instance.is_serving() {
                step(&mut self.serving);
            }
        }
        let at = instance.app.version_info.last_config_change_at;
        match self.configurations.iter_mut().find(|(configuration, _)| *configuration == at) {
            Some((_, count)) => step(count),
            None => self.configurations.push((at, 1)),
        }
        self.configurations.retain(|(_, count)| *count > 0);
    }

    fn insert(&mut self, instance: Arc<Instance>) -> Option<Arc<Instance>> {
        self.count(&instance, true);
        let before = self.members.insert(place_of(instance.id.uuid()), instance);
        if let Some(before) = &before {
            self.count(before, false);
        }
        before
    }

    fn remove(&mut self, uuid: Uuid) -> Option<Arc<Instance>> {
        let removed = self.members.remove(&place_of(uuid))?;
        self.count(&removed, false);
        Some(removed)
    }
}

impl Instances {
    /// Where an instance stands in the order of [`Instances::values`].
    pub(super) fn place(id: &InstanceId) -> (&AppId, u128) {
        (id.app(), place_of(id.uuid()))
    }

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
        self.apps.get(id.app())?.members.get(&place_of(id.uuid()))
    }

    /// Whether there is such an instance.
    pub fn contains_key(&self, id: &InstanceId) -> bool {
        self.get(id).is_some()
    }

    /// All of them, by app, then as [`Instances::of`].
    pub fn values(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.apps.values().flat_map(|group| group.members.values())
    }

    /// Ids of all of them, in order.
    pub fn keys(&self) -> impl Iterator<Item = &InstanceId> {
        self.values().map(|instance| &instance.id)
    }

    /// Instances of one app, by page, then by id.
    pub fn of(&self, app: &AppId) -> impl Iterator<Item = &Arc<Instance>> {
        self.apps.get(app).into_iter().flat_map(|group| group.members.values())
    }

    /// Instances on one page of an app.
    pub(super) fn page(&self, app: &AppId, page: u32) -> impl Iterator<Item = &Arc<Instance>> + Clone {
        let group = self.apps.get(app).into_iter();
        group.flat_map(move |group| group.members.range(places_of(page))).map(|(_, instance)| instance)
    }

    /// The last page of an app that has an instance.
    pub(super) fn last_page(&self, app: &AppId) -> Option<u32> {
        self.apps.get(app)?.members.get_max().map(|(_, instance)| page_of(instance.id.uuid()))
    }

    /// Instances of the apps of which not every one runs, is to run and serves.
    pub(super) fn of_restless_apps(&self) -> impl Iterator<Item = &Arc<Instance>> {
        let restless = self.apps.values().filter(|group| group.serving < group.members.len());
        restless.flat_map(|group| group.members.values())
    }

    /// Apps that have instances.
    pub fn apps(&self) -> impl Iterator<Item = &AppId> {
        self.apps.keys()
    }

    /// Adds or replaces an instance; returns the one before.
    pub fn insert(&mut self, instance: Arc<Instance>) -> Option<Arc<Instance>> {
        let before = match self.apps.get_mut(instance.id.app()) {
            Some(group) => group.insert(instance),
            None => self.apps.entry(instance.id.app().clone()).or_default().insert(instance),
        };
        self.count += usize::from(before.is_none());
        before
    }

    /// Forgets an instance and returns it.
    pub fn remove(&mut self, id: &InstanceId) -> Option<Arc<Instance>> {
        let group = self.apps.get_mut(id.app())?;
        let removed = group.remove(id.uuid())?;
        if group.members.is_empty() {
            self.apps.remove(id.app());
        }
        self.count -= 1;
        Some(removed)
    }

    /// Counts of an app that has as many instances as it wants and none that needs a decision, in
    /// O(1); `None` otherwise.
    pub(super) fn calm(&self, app: &App) -> Option<Calm> {
        let group = self.apps.get(&app.id)?;
        let (wanted, at) = (app.instances as usize, app.version_info.last_config_change_at);
        let calm = group.plain == wanted && group.members.len() == wanted && group.configurations == [(at, wanted)];
        calm.then_some(Calm { serving: group.serving })
    }
}
