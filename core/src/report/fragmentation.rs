//! Use of what is free.
//!
//! Free room is worth what it can take. For a mix of shapes, each weighed by how many of its tasks are
//! wanted, the free room of a node is stranded in the measure in which the mix does not go into it any
//! more: if shapes of a third of the weight do not fit, a third of all that is free there is stranded
//! (the measure of Weng et al., "Beware of Fragmentation", USENIX ATC 2023, with one addition). The
//! addition: only shapes count that the node would take if it were empty, so that the measure tells
//! what placement did and not what hardware was bought. An empty cluster is not fragmented.

use super::{Columns, NodeUse, Shape, Sums, add, part};
use crate::placement::NODE_TASKS_MAX;

/// How many more tasks of one shape fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeRoom {
    /// The shape.
    pub shape: Shape,
    /// More tasks that fit on open nodes as they are.
    pub fits: u64,
    /// More tasks that would fit if the free room of these nodes were in one piece.
    pub pooled: u64,
}

/// Use of what is free on open nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fragmentation {
    /// What is free.
    pub free: Sums,
    /// What of it is stranded.
    pub stranded: Sums,
    /// Room for each shape, the most common first.
    pub shapes: Vec<ShapeRoom>,
}

/// What the mix says of one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct NodeRoom {
    /// Weight of the shapes that the empty node would take.
    pub(super) asked: u128,
    /// Weight of those of them that do not fit any more.
    pub(super) refused: u128,
}

fn places(node: &NodeUse) -> u64 {
    (NODE_TASKS_MAX as u64).saturating_sub(u64::from(node.tasks))
}

/// Whether a node takes tasks of this shape when it is empty.
fn concerns(node: &NodeUse, capacity: &Columns, shape: &Shape) -> bool {
    shape.accepts(&node.node.facts.role) && shape.fits(capacity)
}

pub(super) fn room(node: &NodeUse, shapes: &[Shape]) -> NodeRoom {
    let (capacity, free, full) = (node.capacity(), node.free(), places(node) == 0);
    let mut room = NodeRoom::default();
    for shape in shapes.iter().filter(|shape| concerns(node, &capacity, shape)) {
        room.asked += u128::from(shape.weight);
        if full || !shape.fits(&free) {
            room.refused += u128::from(shape.weight);
        }
    }
    room
}

impl Fragmentation {
    pub(super) fn of(nodes: &[NodeUse], shapes: &[Shape], rooms: &[NodeRoom]) -> Self {
        let (mut free, mut stranded) = ([0; 4], [0; 4]);
        for (node, room) in nodes.iter().zip(rooms).filter(|(node, _)| node.is_open()) {
            let left = node.free();
            add(&mut free, left);
            if room.asked > 0 {
                add(&mut stranded, left.map(|amount| (i128::from(amount) * room.refused as i128 / room.asked as i128) as i64));
            }
        }
        let shapes = shapes.iter().map(|shape| ShapeRoom::of(nodes, shape)).collect();
        Self { free, stranded, shapes }
    }

    /// Share of what is free that is stranded, thousandths.
    pub fn share(&self, column: usize) -> i64 {
        part(self.stranded[column], self.free[column])
    }

    /// Tasks of all shapes that fit, and that would if the room were in one piece: each shape by itself,
    /// weighed by how common it is. In thousandths of the latter; 1000 when nothing would fit anyway.
    pub fn usable(&self) -> i64 {
        let (mut sum, mut weights) = (0, 0);
        for room in self.shapes.iter().filter(|room| room.pooled > 0) {
            sum += i128::from(part(room.fits.into(), room.pooled.into())) * i128::from(room.shape.weight);
            weights += i128::from(room.shape.weight);
        }
        if weights == 0 { 1000 } else { (sum / weights) as i64 }
    }
}

impl ShapeRoom {
    fn of(nodes: &[NodeUse], shape: &Shape) -> Self {
        let (mut fits, mut all, mut places_left) = (0u64, [0; 4], 0);
        for node in nodes.iter().filter(|node| node.is_open() && concerns(node, &node.capacity(), shape)) {
            let (free, places) = (node.free(), places(node));
            add(&mut all, free);
            places_left += places;
            fits += shape.count_in(&free.map(i128::from), places);
        }
        Self { shape: shape.clone(), fits, pooled: shape.count_in(&all, places_left) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::property_test::{node, shape};
    use super::*;

    fn fragmentation(nodes: &[NodeUse], shapes: &[Shape]) -> Fragmentation {
        let rooms: Vec<NodeRoom> = nodes.iter().map(|node| room(node, shapes)).collect();
        Fragmentation::of(nodes, shapes, &rooms)
    }

    #[test]
    fn what_the_mix_cannot_use_is_stranded() {
        let mix = [shape([2, 2, 0, 0], 3), shape([1, 8, 0, 0], 1), shape([99, 1, 0, 0], 9)];
        for (taken, stranded, fits, pooled) in [
            // Nothing taken: all of the mix fits, and what the node could never take does not count.
            ([0, 0, 0, 0], [0, 0], [4, 1], [4, 1]),
            // Cpus gone: nothing fits, the free memory is stranded as a whole.
            ([8, 4, 0, 0], [0, 4], [0, 0], [0, 0]),
            // One cpu left: three of four do not fit, and for the fourth memory is short.
            ([7, 4, 0, 0], [1, 4], [0, 0], [0, 0]),
            // The common shape fits, the other one, a quarter of the mix, does not.
            ([4, 4, 0, 0], [1, 1], [2, 0], [2, 0]),
        ] {
            let found = fragmentation(&[node([8, 8, 0, 0], taken)], &mix);
            assert_eq!([found.stranded[0], found.stranded[1]], stranded, "{taken:?}");
            assert_eq!([found.shapes[0].fits, found.shapes[1].fits], fits, "{taken:?}");
            assert_eq!([found.shapes[0].pooled, found.shapes[1].pooled], pooled, "{taken:?}");
            assert_eq!((found.shapes[2].fits, found.shapes[2].pooled), (0, 0));
        }
    }

    #[test]
    fn scattered_room_takes_less_than_one_piece() {
        let nodes = [node([4, 4, 0, 0], [3, 3, 0, 0]), node([4, 4, 0, 0], [3, 3, 0, 0])];
        let found = fragmentation(&nodes, &[shape([2, 2, 0, 0], 1)]);
        assert_eq!((found.shapes[0].fits, found.shapes[0].pooled, found.usable()), (0, 1, 0));
        assert_eq!((found.share(0), found.share(1), found.share(3)), (1000, 1000, 0));
    }
}
