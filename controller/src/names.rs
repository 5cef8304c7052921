//! Keeping the published names in step with the cluster.

use orrery_core::cluster::Cluster;
use orrery_core::dns::{MARATHON, Owner, Record, Zone, master_records, node_records, records_of_task};
use orrery_core::instance::Condition;
use orrery_core::{Instance, InstanceId};
use orrery_net::ZoneHandle;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

/// Applies what a step changed to the zone.
pub(crate) struct Names {
    zone: ZoneHandle,
    framework: Arc<str>,
}

impl Names {
    /// Names in `zone`.
    pub(crate) fn new(zone: ZoneHandle) -> Self {
        Self { zone, framework: MARATHON.into() }
    }

    /// Publishes the controllers, and which of them leads.
    pub(crate) fn masters(&self, masters: &[SocketAddr], leader: Option<SocketAddr>) {
        self.zone.apply(Owner::Masters, master_records(masters, leader));
    }

    /// Costs what changed: only nodes and instances that differ between the snapshots.
    pub(crate) fn update(&self, before: &Cluster, after: &Cluster, touched: &BTreeSet<InstanceId>) {
        self.zone.update(|zone| {
            update_nodes(zone, before, after);
            for id in touched {
                let (old, new) = (before.instances.get(id), after.instances.get(id));
                let records = new.and_then(|instance| self.records(after, instance));
                if let Some(old) = old.filter(|old| new.is_none_or(|new| new.incarnation != old.incarnation) || records.is_none())
                {
                    zone.remove(&self.owner(old));
                }
                if let (Some(new), Some(records)) = (new, records) {
                    zone.apply(self.owner(new), records);
                }
            }
        });
    }

    fn records(&self, cluster: &Cluster, instance: &Instance) -> Option<Vec<Record>> {
        let node = cluster.nodes.get(instance.node()?).filter(|_| instance.condition == Condition::Running)?;
        Some(records_of_task(instance, &node.facts, &self.framework))
    }

    fn owner(&self, instance: &Instance) -> Owner {
        Owner::Task { id: instance.task_id(), framework: Arc::clone(&self.framework) }
    }
}

fn update_nodes(zone: &mut Zone, before: &Cluster, after: &Cluster) {
    if before.nodes.ptr_eq(&after.nodes) {
        return;
    }
    for id in before.nodes.keys().filter(|id| !after.nodes.contains_key(*id)) {
        zone.remove(&Owner::Node(id.clone()));
    }
    for (id, node) in &after.nodes {
        if before.nodes.get(id).is_none_or(|known| known.facts != node.facts)
            || zone.records_of(&Owner::Node(id.clone())).is_empty()
        {
            zone.apply(Owner::Node(id.clone()), node_records(&node.facts));
        }
    }
}
