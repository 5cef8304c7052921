//! Which node has what taken by whom, kept beside the instances.

use super::Cluster;
use super::instances::Instances;
use crate::instance::{Instance, Seat};
use crate::node::NodeId;
use crate::placement::NodeLoad;
use crate::role::Usage;
use imbl::OrdMap;
use std::sync::Arc;

/// From so many instances on two threads share the work: a controller that starts cold waits for nothing else.
const SHARED_MIN: usize = 20_000;

impl Cluster {
    /// What each role takes: tasks with a seat, and data whether their tasks run or not. O(instances).
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for instance in self.instances.values().filter(|instance| instance.seat.is_some()) {
            usage.seats(&instance.app, 1);
        }
        let holds = self.nodes.values().flat_map(|node| &node.claims.holds);
        holds.for_each(|(id, hold)| usage.charge(hold.role.as_deref(), id.app(), &hold.resources, true));
        usage
    }

    /// Notes what an instance holds of its node.
    pub(crate) fn occupy_one(&mut self, instance: &Instance) {
        if let Some(seat) = &instance.seat {
            take(&mut self.loads, &seat.node, std::iter::once((seat, instance)));
        }
    }

    /// Adds instances, and notes what they hold of their nodes, those of a node together: each node is looked
    /// up once.
    pub(crate) fn occupy(&mut self, instances: &[Arc<Instance>]) {
        let (known, loads) = (&mut self.instances, &mut self.loads);
        if instances.len() < SHARED_MIN {
            add(known, instances);
            take_all(loads, instances);
            return;
        }
        std::thread::scope(|both| {
            both.spawn(|| take_all(loads, instances));
            add(known, instances);
        });
    }
}

fn add(known: &mut Instances, instances: &[Arc<Instance>]) {
    for instance in instances {
        known.insert(Arc::clone(instance));
    }
}

fn take_all(loads: &mut OrdMap<NodeId, NodeLoad>, instances: &[Arc<Instance>]) {
    let seats = instances.iter().enumerate().filter_map(|(at, instance)| Some((instance.seat.as_ref()?.node.address(), at)));
    // Ids are shared, and the order of nodes does not matter.
    let mut by_node: Vec<(usize, usize)> = seats.collect();
    by_node.sort_unstable();
    for here in by_node.chunk_by(|(one, _), (next, _)| one == next) {
        let here = here.iter().filter_map(|(_, at)| instances.get(*at));
        let mut here = here.filter_map(|instance| Some((instance.seat.as_ref()?, &**instance))).peekable();
        if let Some((Seat { node, .. }, _)) = here.peek().copied() {
            take(loads, node, here);
        }
    }
}

/// Notes what instances hold of one node.
fn take<'a>(loads: &mut OrdMap<NodeId, NodeLoad>, node: &NodeId, instances: impl Iterator<Item = (&'a Seat, &'a Instance)>) {
    let note = |load: &mut NodeLoad| instances.for_each(|(seat, instance)| load.take(&instance.id, &instance.app, seat));
    if let Some(load) = loads.get_mut(node) {
        note(load);
        return;
    }
    let mut load = NodeLoad::default();
    note(&mut load);
    loads.insert(node.clone(), load);
}
