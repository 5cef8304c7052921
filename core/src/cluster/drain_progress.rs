//! How far a drain is and what it waits for.

use super::Cluster;
use crate::deployment::{Circumstances, minimum_serving};
use crate::instance::{Condition, Goal};
use crate::node::NodeId;
use crate::{AppId, Instance, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The instances of one app on a node, and why they are still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The app.
    pub app: AppId,
    /// How many.
    pub instances: usize,
    /// What they wait for, for people.
    pub reason: String,
}

impl Cluster {
    /// What the drain of a node waits for, by app; empty when nothing is left on it.
    pub fn drain_progress(&self, node: &NodeId, now: Timestamp) -> Vec<Waiting> {
        let mut by_app: BTreeMap<&AppId, Vec<&Arc<Instance>>> = BTreeMap::new();
        for id in self.loads.get(node).iter().flat_map(|load| &load.instances) {
            if let Some(instance) = self.instances.get(id) {
                by_app.entry(instance.app_id()).or_default().push(instance);
            }
        }
        let waiting = |(app, instances): (&AppId, Vec<&Arc<Instance>>)| {
            let around = self.around(app, now);
            Waiting { app: app.clone(), instances: instances.len(), reason: self.reason(app, &instances, &around) }
        };
        by_app.into_iter().map(waiting).collect()
    }

    fn reason(&self, id: &AppId, instances: &[&Arc<Instance>], around: &Circumstances<'_>) -> String {
        let lost = instances.iter().any(|instance| instance.condition == Condition::Unreachable);
        if lost && instances.iter().any(|instance| instance.app.is_exclusive()) {
            return "the node is lost and may still run it, so that it cannot start elsewhere: bring the node back, or, when the machine is dead for good: dcos node decommission --gone".into();
        }
        if lost {
            return self.brake.as_ref().map_or_else(
                || "the node is lost; it is replaced as its unreachableStrategy says".into(),
                |held| held.sentence(),
            );
        }
        if instances.iter().all(|instance| instance.goal == Goal::Decommissioned) {
            return "stopping".into();
        }
        let Some(app) = self.app(id) else { return "stopping, since the app was removed".into() };
        if app.is_resident() {
            let deadline = instances.iter().find_map(|instance| around.drain_of(instance)?.deadline);
            return match deadline {
                Some(deadline) => format!("it keeps data on this node and stays until the deadline, {deadline}"),
                None => "it keeps data on this node: move the data and stop it, or drain with a deadline".into(),
            };
        }
        if around.blocked {
            return "it waits for an earlier step of its deployment; see: dcos marathon deployment list".into();
        }
        if let Some(refusals) = self.stranded.get(id) {
            return format!("it has to stop before it starts elsewhere, and there is no room: {}", refusals.sentence());
        }
        let pending = self.pending.get(id);
        if let Some(delay) = self.delays.get(id).filter(|delay| delay.until > around.now && pending.is_some()) {
            return format!("its replacement keeps failing; the next attempt is at {}", delay.until);
        }
        // Others of the app may wait for room or for its quota.
        let succeeded = instances.iter().all(|instance| self.successor(&instance.id).is_some());
        if let Some(refusals) = pending.and_then(|pending| pending.refusals.as_ref()).filter(|_| !succeeded) {
            return format!("there is no room for its replacement: {}", refusals.sentence());
        }
        let elsewhere = self.instances_of(id).filter(|instance| around.drain_of(instance).is_none());
        let (mut starting, mut serving) = (0, 0);
        for instance in elsewhere.filter(|instance| instance.goal == Goal::Running && !instance.inactive) {
            if instance.is_serving() { serving += 1 } else { starting += 1 }
        }
        if starting > 0 {
            return match starting {
                1 => "its replacement is starting and does not serve yet".into(),
                _ => format!("{starting} replacements are starting and do not serve yet"),
            };
        }
        format!("{} of its {} instances must go on serving; {serving} serve elsewhere", minimum_serving(app), app.instances)
    }
}
