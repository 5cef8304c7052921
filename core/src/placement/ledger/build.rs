//! The ledger of a cluster from scratch: a controller that begins to lead waits for nothing else.

use super::rows::Rows;
use super::{Ledger, counts};
use crate::cluster::Cluster;
use crate::hash::Map;
use crate::instance::{Instance, Seat};
use crate::node::NodeId;
use std::sync::Arc;

/// From so many instances on two threads share the work.
const SHARED_MIN: usize = 20_000;

/// Slots of the nodes on which something has a seat.
struct Slots {
    /// By where the text of the id lies: ids are shared, so that most are known by it.
    by_address: Map<usize, u32>,
    by_id: Map<NodeId, u32>,
}

impl Slots {
    fn of(cluster: &Cluster, rows: &mut Rows) -> Self {
        let mut slots = Self { by_address: Map::default(), by_id: Map::default() };
        for id in cluster.nodes.keys().chain(cluster.loads.keys()) {
            let slot = rows.ensure(id);
            slots.by_address.insert(id.address(), slot);
            slots.by_id.entry(id.clone()).or_insert(slot);
        }
        slots
    }

    fn get(&self, id: &NodeId) -> Option<u32> {
        self.by_address.get(&id.address()).or_else(|| self.by_id.get(id)).copied()
    }
}

/// Instances with a seat; without a slot when nothing else is known of their node.
fn seated<'a>(cluster: &'a Cluster, slots: &'a Slots) -> impl Iterator<Item = (&'a Arc<Instance>, &'a Seat, Option<u32>)> {
    let with_seat = cluster.instances.values().filter_map(|instance| Some((instance, instance.seat.as_ref()?)));
    with_seat.map(|(instance, seat)| (instance, seat, slots.get(&seat.node)))
}

impl Ledger {
    /// Builds the ledger of a cluster, in O(nodes + instances).
    pub fn of(cluster: &Cluster) -> Self {
        let mut ledger = Self { generation: cluster.generation, ..Self::default() };
        for node in cluster.nodes.values() {
            ledger.upsert_node(node);
        }
        let slots = Slots::of(cluster, &mut ledger.rows);
        // Nobody follows yet, so that one note for each node will do.
        for id in cluster.loads.keys() {
            if let Some(slot) = slots.get(id) {
                ledger.changes.note(slot, ledger.rows.hot.len());
            }
        }
        let Self { rows, fields, tallies, censuses, usage, changes, .. } = &mut ledger;
        let mut on_nodes = || {
            for (instance, seat, slot) in seated(cluster, &slots) {
                if let Some(slot) = slot {
                    rows.take_seat(slot, &instance.app, seat, true);
                }
            }
            rows.derive_all();
        };
        let at = changes.end();
        let mut of_apps = || {
            let seats: Vec<_> = seated(cluster, &slots).filter_map(|(instance, _, slot)| Some((instance, slot?))).collect();
            for run in seats.chunk_by(|(one, _), (next, _)| Arc::ptr_eq(&one.app, &next.app)) {
                let Some(app) = run.first().map(|(instance, _)| &instance.app) else { continue };
                usage.seats(app, run.len() as i128);
                let tally = tallies.entry(app.id.clone()).or_default();
                tally.epoch = at;
                for (instance, slot) in run {
                    tally.seat(*slot, true);
                    if counts(instance) {
                        tally.count(&instance.id, app, *slot, true, fields);
                    }
                    censuses.seat(app, *slot, true, fields, at);
                }
            }
            seats.len()
        };
        let seats = if cluster.instances.len() < SHARED_MIN {
            on_nodes();
            of_apps()
        } else {
            std::thread::scope(|both| {
                both.spawn(on_nodes);
                of_apps()
            })
        };
        ledger.cost.seats += 2 * seats as u64;
        if seats < cluster.instances.len() {
            let strays: Vec<_> = seated(cluster, &slots).filter(|(_, _, slot)| slot.is_none()).collect();
            for (instance, seat, _) in strays {
                ledger.seat(&instance.id, &instance.app, seat, counts(instance), true);
            }
        }
        for ((node, app), promise) in &cluster.promises {
            ledger.promise(node, app, Some(promise));
        }
        ledger
    }
}
