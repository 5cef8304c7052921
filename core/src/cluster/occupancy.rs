//! Which node has what taken by whom, kept beside the instances.

use super::Cluster;
use crate::instance::{Instance, Seat};
use crate::node::NodeId;
use crate::placement::NodeLoad;
use std::sync::Arc;

impl Cluster {
    /// Notes what an instance holds of its node.
    pub(crate) fn occupy_one(&mut self, instance: &Instance) {
        let Some(seat) = &instance.seat else { return };
        match self.loads.get_mut(&seat.node) {
            Some(load) => load.take(&instance.id, &instance.app, seat),
            None => self.occupy_first(&seat.node, std::iter::once((seat, instance))),
        }
    }

    /// Notes what instances hold of their nodes, those of a node together: each node is looked up once.
    pub(crate) fn occupy(&mut self, instances: &[Arc<Instance>]) {
        let seats = instances.iter().enumerate().filter_map(|(at, instance)| Some((instance.seat.as_ref()?.node.address(), at)));
        // Ids are shared, and the order of nodes does not matter.
        let mut by_node: Vec<(usize, usize)> = seats.collect();
        by_node.sort_unstable();
        for here in by_node.chunk_by(|(one, _), (next, _)| one == next) {
            let here = here.iter().filter_map(|(_, at)| instances.get(*at));
            let mut here = here.filter_map(|instance| Some((instance.seat.as_ref()?, &**instance))).peekable();
            let Some((Seat { node, .. }, _)) = here.peek() else { continue };
            match self.loads.get_mut(node) {
                Some(load) => here.for_each(|(seat, instance)| load.take(&instance.id, &instance.app, seat)),
                None => self.occupy_first(node, here),
            }
        }
    }

    fn occupy_first<'a>(&mut self, node: &NodeId, instances: impl Iterator<Item = (&'a Seat, &'a Instance)>) {
        let mut load = NodeLoad::default();
        instances.for_each(|(seat, instance)| load.take(&instance.id, &instance.app, seat));
        self.loads.insert(node.clone(), load);
    }
}
