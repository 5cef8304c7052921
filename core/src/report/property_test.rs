//! What holds for every cluster and every mix.

use super::{Columns, NodeUse, Report, Shape, Standing};
use crate::Scalar;
use crate::Timestamp;
use crate::node::{Administration, Node, NodeFacts, NodeId, NodeStatus, Resources};
use proptest::prelude::*;
use std::sync::Arc;

/// A node; amounts in thousandths.
pub(super) fn node(capacity: Columns, taken: Columns) -> NodeUse {
    let resources = Resources {
        cpus: Scalar::from_thousandths(capacity[0]),
        mem: Scalar::from_thousandths(capacity[1]),
        disk: Scalar::from_thousandths(capacity[2]),
        gpus: u32::try_from(capacity[3]).unwrap(),
        ..Resources::default()
    };
    let facts =
        NodeFacts { resources, ..NodeFacts::new(NodeId::parse("c-S1").unwrap(), "h".into(), "10.0.0.1".parse().unwrap()) };
    let tasks = u32::from(taken.iter().any(|amount| *amount > 0));
    NodeUse { node: Arc::new(Node::joined(facts, Timestamp::EPOCH)), taken, tasks }
}

pub(super) fn shape(need: Columns, weight: u64) -> Shape {
    Shape { need, roles: Vec::new(), weight }
}

fn columns(most: i64) -> impl Strategy<Value = Columns> {
    (0..=most, 0..=most, 0..=most, 0..=most).prop_map(|(cpus, mem, disk, gpus)| [cpus, mem, disk, gpus])
}

fn any_node() -> impl Strategy<Value = NodeUse> {
    (columns(40), columns(40), 0..8u8).prop_map(|(capacity, wish, state)| {
        let taken = std::array::from_fn(|column| wish[column].min(capacity[column]));
        let mut made = node(capacity, taken);
        let inner = Arc::make_mut(&mut made.node);
        match state {
            0 => inner.status = NodeStatus::Unreachable,
            1 => inner.administration = Administration::Deactivated { since: Timestamp::EPOCH, drained: true },
            _ => {}
        }
        made
    })
}

fn any_shape() -> impl Strategy<Value = Shape> {
    (columns(20), 1..9u64).prop_map(|(need, weight)| shape(need, weight))
}

proptest! {
    #[test]
    fn no_more_is_stranded_than_is_free_and_no_fewer_nodes_are_used_than_must_be(
        nodes in prop::collection::vec(any_node(), 0..12),
        shapes in prop::collection::vec(any_shape(), 0..6),
    ) {
        let report = Report::of(&nodes, &shapes);
        for column in 0..4 {
            prop_assert!(report.fragmentation.stranded[column] <= report.fragmentation.free[column]);
            prop_assert!(report.fragmentation.stranded[column] >= 0);
            prop_assert!((0..=1000).contains(&report.share(column)));
        }
        prop_assert!(report.lower_bound <= report.used, "{} > {}", report.lower_bound, report.used);
        prop_assert!(report.packed <= 1000);
        for room in &report.fragmentation.shapes {
            prop_assert!(room.fits <= room.pooled, "{room:?}");
        }
        prop_assert!((0..=1000).contains(&report.fragmentation.usable()));
        prop_assert!(report.stranded_nodes() <= report.used);
    }

    #[test]
    fn an_empty_cluster_of_equal_nodes_is_not_fragmented(
        capacity in columns(40),
        count in 1..9usize,
        shapes in prop::collection::vec(any_shape(), 1..6),
    ) {
        let nodes = vec![node(capacity, [0; 4]); count];
        let report = Report::of(&nodes, &shapes);
        prop_assert_eq!(report.fragmentation.stranded, [0; 4]);
        prop_assert_eq!((report.used, report.lower_bound, report.balance.deviation), (0, 0, 0));
        prop_assert!(report.nodes.iter().all(|node| node.standing == Standing::Empty));
    }

    #[test]
    fn one_node_is_in_one_piece(any in any_node(), shapes in prop::collection::vec(any_shape(), 0..6)) {
        let report = Report::of(&[any], &shapes);
        for room in &report.fragmentation.shapes {
            prop_assert_eq!(room.fits, room.pooled);
        }
    }
}
