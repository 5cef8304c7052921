//! Canonical names of tasks: found on the node whose tail they carry.

use super::cluster_zone::{ClusterZone, apps_on, last_of};
use super::domain::Domain;
use super::exposure::Exposure;
use super::forms::{Forms, canonical_suffix, with_suffix};
use super::question::CanonicalName;
use super::{is_name, task_hash};
use crate::{AppId, Instance, InstanceId, NodeId};
use std::ops::Bound;
use std::sync::Arc;
use uuid::Uuid;

/// How a task stands to a name that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// It has the name.
    Same,
    /// It has one below it.
    Below,
}

impl ClusterZone {
    /// The tasks of `app` with the hash and on the nodes of a canonical name. Costs the instances of
    /// the app there.
    pub(super) fn tasks_of<'a>(&'a self, app: &'a AppId, canonical: CanonicalName<'a>) -> impl Iterator<Item = Exposure<'a>> {
        let nodes = self.tails.get(canonical.tail).into_iter().flatten();
        nodes.flat_map(move |node| self.instances_on(node, app)).filter_map(move |instance| {
            // The hash is the dearer part.
            let exposure = self.exposure(instance)?;
            (task_hash(&instance.task_id().to_string()) == canonical.hash).then_some(exposure)
        })
    }

    /// Whether a form that is cut before the suffix may give the name: then [`ClusterZone::walk`] has
    /// to look for it.
    pub(super) fn may_be_cut(&self, canonical: CanonicalName<'_>) -> bool {
        self.index.beginning(canonical.cut_label()).next().is_some()
    }

    /// Whether there may be canonical names below the name.
    pub(super) fn may_be_above(&self, canonical: CanonicalName<'_>) -> bool {
        self.index.below(&canonical.key()).next().is_some()
    }

    /// The tasks on the nodes of a canonical name that have `name`, or one below it, whatever their
    /// app. Costs the apps on those nodes.
    pub(super) fn walk<'a>(
        &'a self,
        domain: Domain,
        name: &'a str,
        canonical: CanonicalName<'a>,
    ) -> impl Iterator<Item = (Relation, Exposure<'a>)> {
        let loads = self.tails.get(canonical.tail).into_iter().flatten().filter_map(|node| self.loads.get(node));
        let relations = move |app: &AppId| -> Vec<Relation> {
            let forms = Forms::of(app);
            forms.iter().filter_map(|form| relation(form, domain, name, canonical.suffix)).collect()
        };
        loads.flat_map(apps_on).flat_map(move |app| {
            let relations = relations(app);
            let tasks = (!relations.is_empty()).then(|| self.tasks_of(app, canonical).collect::<Vec<_>>());
            let tasks = tasks.into_iter().flatten();
            tasks.flat_map(move |exposure| relations.clone().into_iter().map(move |relation| (relation, exposure.clone())))
        })
    }

    fn instances_on<'a>(&'a self, node: &'a NodeId, app: &AppId) -> impl Iterator<Item = &'a Instance> + use<'a> {
        let (first, last) = (InstanceId::new(app, Uuid::nil()), last_of(app));
        let load = self.loads.get(node);
        let ids = load
            .into_iter()
            .flat_map(move |load| load.instances.range::<_, InstanceId>((Bound::Included(&first), Bound::Included(&last))));
        ids.filter_map(move |id| self.instances.get(id))
            .map(|instance| &**instance)
            .filter(move |instance| instance.node() == Some(node))
    }
}

/// How the canonical name of a task with this suffix, under `form`, stands to `name`.
fn relation(form: &str, domain: Domain, name: &str, suffix: &str) -> Option<Relation> {
    let unique = with_suffix(form, suffix);
    if unique == name {
        return Some(Relation::Same);
    }
    let is_below = unique.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    (is_below && is_name(&format!("{unique}.{}", domain.of_marathon()))).then_some(Relation::Below)
}

/// The canonical name of a task; `None` when DNS cannot carry it.
pub(super) fn canonical_name(instance: &Instance, form: &str, domain: Domain) -> Option<Arc<str>> {
    let suffix = canonical_suffix(&task_hash(&instance.task_id().to_string()), instance.node()?);
    let name = format!("{}.{}", with_suffix(form, &suffix), domain.of_marathon());
    is_name(&name).then(|| name.into())
}
