use super::{Candidate, NodeLoad, Reason, Strategy, place};
use crate::app::{App, Constraint, Operator, PortDefinition};
use crate::node::{Node, NodeFacts, NodeId, PortRanges, Resources};
use crate::{AppId, Scalar, Timestamp};
use std::collections::BTreeMap;

fn node(number: u32, cpus: i64, attributes: &[(&str, &str)]) -> Node {
    let facts = NodeFacts {
        resources: Resources {
            cpus: Scalar::from_units(cpus),
            mem: Scalar::from_units(1024),
            disk: Scalar::from_units(1024),
            ports: PortRanges::new([(31000, 31009)]),
            ..Resources::default()
        },
        attributes: attributes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        executors: vec!["process".into()],
        ..NodeFacts::new(NodeId::parse(&format!("c-S{number}")).unwrap(), format!("h{number}"), "127.0.0.1".parse().unwrap())
    };
    Node::joined(facts, Timestamp::EPOCH)
}

fn candidates(nodes: &[Node]) -> Vec<Candidate<'_>> {
    nodes
        .iter()
        .map(|node| Candidate {
            node,
            load: NodeLoad::default(),
            same_app: 0,
            by_role: BTreeMap::new(),
            kept: crate::node::Bundle::default(),
            reserved: crate::node::Bundle::default(),
            only_reserved: false,
        })
        .collect()
}

fn app(constraints: &[(&str, Operator, Option<&str>)]) -> App {
    let mut app = App::new(AppId::parse("/a").unwrap());
    app.cpus = Scalar::from_thousandths(100);
    app.mem = Scalar::from_units(10);
    app.constraints = constraints
        .iter()
        .map(|(field, operator, value)| Constraint { field: (*field).into(), operator: *operator, value: value.map(Into::into) })
        .collect();
    app
}

fn counts(nodes: &[Node], app: &App, count: usize) -> (BTreeMap<String, usize>, bool) {
    let (seats, refusals) = place(app, count, candidates(nodes), &[], &[], Strategy::Spread, 1);
    let mut by_node = BTreeMap::new();
    for seat in &seats {
        *by_node.entry(seat.node.to_string()).or_insert(0) += 1;
    }
    (by_node, refusals.is_some())
}

/// Field, operator, value, count asked for, seats by node, whether one was refused.
type Row = (&'static str, Operator, Option<&'static str>, usize, &'static [usize; 4], bool);

#[test]
fn operators() {
    let nodes = [
        node(0, 4, &[("rack", "a"), ("slots", "1.0")]),
        node(1, 4, &[("rack", "a")]),
        node(2, 4, &[("rack", "b")]),
        node(3, 4, &[]),
    ];
    let table: &[Row] = &[
        ("hostname", Operator::Unique, None, 9, &[1, 1, 1, 1], true),
        ("rack", Operator::Unique, None, 9, &[1, 0, 1, 0], true),
        ("rack", Operator::Cluster, Some("b"), 2, &[0, 0, 2, 0], false),
        ("hostname", Operator::Cluster, None, 3, &[3, 0, 0, 0], false),
        ("rack", Operator::GroupBy, None, 4, &[1, 1, 2, 0], false),
        ("rack", Operator::MaxPer, Some("2"), 9, &[1, 1, 2, 0], true),
        ("rack", Operator::Like, Some("a|c"), 2, &[1, 1, 0, 0], false),
        ("rack", Operator::Unlike, Some("a"), 2, &[0, 0, 1, 1], false),
        ("slots", Operator::Is, Some("1"), 2, &[2, 0, 0, 0], false),
        ("rack", Operator::Like, Some("("), 1, &[0, 0, 0, 0], true),
    ];
    for (field, operator, value, count, want, refused) in table {
        let (got, was_refused) = counts(&nodes, &app(&[(field, *operator, *value)]), *count);
        let got: Vec<usize> = (0..4).map(|number| got.get(&format!("c-S{number}")).copied().unwrap_or(0)).collect();
        assert_eq!((got.as_slice(), was_refused), (want.as_slice(), *refused), "{field} {operator:?} {value:?}");
    }
}

#[test]
fn refusals_are_counted_and_hinted() {
    let nodes = [node(0, 1, &[("rack", "a")]), node(1, 2, &[("rack", "a")]), node(2, 64, &[("rack", "b")])];
    let mut big = app(&[("rack", Operator::Like, Some("a"))]);
    big.cpus = Scalar::from_units(4);
    let (seats, refusals) = place(&big, 1, candidates(&nodes), &[], &[], Strategy::Spread, 1);
    let refusals = refusals.unwrap();
    assert!(seats.is_empty());
    assert_eq!(refusals.by_reason, BTreeMap::from([(Reason::UnfulfilledConstraint, 1), (Reason::InsufficientCpus, 2)]));
    assert_eq!(refusals.details, BTreeMap::from([("constraint rack:LIKE:a".to_owned(), 1)]));
    assert_eq!(refusals.hint.as_deref(), Some("it would fit with 2 more cpus on node c-S1"));
}

#[test]
fn hints_name_amounts_and_all_that_is_in_the_way_where_one_change_is_not_enough() {
    let nodes = [node(0, 1, &[("rack", "a")]), node(1, 2, &[("rack", "b")])];
    let hint = |app: &App| place(app, 1, candidates(&nodes), &[], &[], Strategy::Spread, 1).1.unwrap().hint.unwrap();
    let mut wanted = app(&[]);
    wanted.gpus = 2;
    assert_eq!(hint(&wanted), "it would fit with 2 more gpus on node c-S0");
    wanted.cpus = Scalar::from_units(3);
    assert_eq!(hint(&wanted), "it would fit with 1 more cpus and 2 more gpus on node c-S1");
    let mut wanted = app(&[("rack", Operator::Like, Some("c"))]);
    wanted.cpus = Scalar::from_units(3);
    assert_eq!(hint(&wanted), "it would fit on node c-S1 without constraint rack:LIKE:c and with 1 more cpus");
    wanted.resources = [("licences".to_owned(), Scalar::from_units(5))].into();
    let told = "it would fit on node c-S1 without constraint rack:LIKE:c, with 1 more cpus and with 5 more licences";
    assert_eq!(hint(&wanted), told);
    let mut wanted = app(&[]);
    wanted.port_definitions = vec![PortDefinition::default(); 12];
    assert_eq!(hint(&wanted), "it would fit with 2 more free host ports on node c-S0");
    wanted.require_ports = true;
    wanted.port_definitions = vec![PortDefinition { port: 80, ..PortDefinition::default() }];
    assert_eq!(hint(&wanted), "it would fit on 2 nodes with another port than 80, which they do not offer");
    wanted.port_definitions.push(PortDefinition { port: 81, ..PortDefinition::default() });
    let told = "it would fit on node c-S0 with another port than 80, which it does not offer and with another port than 81, which \
                it does not offer";
    assert_eq!(hint(&wanted), told);
}

#[test]
fn ports_are_never_given_twice_and_run_out() {
    let nodes = [node(0, 64, &[])];
    let mut app = app(&[]);
    app.port_definitions = vec![PortDefinition::default(), PortDefinition::default(), PortDefinition::default()];
    let (seats, refusals) = place(&app, 9, candidates(&nodes), &[], &[], Strategy::Spread, 7);
    let mut ports: Vec<u16> = seats.iter().flat_map(|seat| seat.host_ports.to_vec()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!((seats.len(), ports.len()), (3, 9));
    assert_eq!(refusals.unwrap().by_reason, BTreeMap::from([(Reason::InsufficientPorts, 1)]));
    app.require_ports = true;
    app.port_definitions = vec![PortDefinition { port: 31005, ..PortDefinition::default() }];
    let (seats, refusals) = place(&app, 2, candidates(&nodes), &[], &[], Strategy::Spread, 7);
    assert_eq!(*seats[0].host_ports, [31005]);
    assert_eq!(refusals.unwrap().details, BTreeMap::from([("required port 31005".to_owned(), 1)]));
}

#[test]
fn images_need_a_container_engine() {
    let nodes = [node(0, 4, &[])];
    let mut app = app(&[]);
    app.container = Some(crate::app::Container {
        docker: Some(crate::app::DockerOptions { image: "redis".into(), ..Default::default() }),
        ..Default::default()
    });
    let (_, refusals) = place(&app, 1, candidates(&nodes), &[], &[], Strategy::Spread, 0);
    assert_eq!(refusals.unwrap().by_reason, BTreeMap::from([(Reason::MissingExecutor, 1)]));
}

#[test]
fn a_node_runs_a_limited_number_of_tasks() {
    let nodes = [node(0, 4, &[])];
    let mut tiny = app(&[]);
    (tiny.cpus, tiny.mem, tiny.disk) = (Scalar::ZERO, Scalar::ZERO, Scalar::ZERO);
    tiny.port_definitions = Vec::new();
    let (seats, refusals) = place(&tiny, super::NODE_TASKS_MAX + 1, candidates(&nodes), &[], &[], Strategy::Spread, 0);
    assert_eq!(seats.len(), super::NODE_TASKS_MAX);
    assert_eq!(refusals.unwrap().by_reason[&Reason::TooManyTasks], 1);
}

#[test]
fn values_of_nodes_that_no_instance_may_ever_use_hold_nobody_back() {
    // One node has no rack, and one another disk.
    let nodes = [
        node(0, 8, &[("rack", "a"), ("disk", "ssd")]),
        node(1, 8, &[("rack", "a"), ("disk", "ssd")]),
        node(2, 8, &[("rack", "b"), ("disk", "ssd")]),
        node(3, 8, &[("disk", "hdd")]),
    ];
    for (constraints, count, expected) in [
        (&[("hostname", Operator::GroupBy, None), ("rack", Operator::MaxPer, Some("9"))][..], 6, [2, 2, 2, 0]),
        (&[("rack", Operator::GroupBy, None), ("disk", Operator::GroupBy, None)][..], 6, [2, 1, 3, 0]),
        (&[("rack", Operator::Cluster, None), ("hostname", Operator::GroupBy, None)][..], 4, [2, 2, 0, 0]),
        (&[("rack", Operator::Cluster, Some("a")), ("hostname", Operator::GroupBy, None)][..], 4, [2, 2, 0, 0]),
    ] {
        let (seats, refused) = counts(&nodes, &app(constraints), count);
        let seats: Vec<usize> = (0..4).map(|number| seats.get(&format!("c-S{number}")).copied().unwrap_or(0)).collect();
        assert_eq!((seats.as_slice(), refused), (&expected[..], false), "{constraints:?}");
    }
}

#[test]
fn what_tasks_take_beyond_what_a_node_has_is_missing_too() {
    let nodes = [node(0, 1, &[])];
    let mut candidates = candidates(&nodes);
    candidates[0].load.cpus = Scalar::from_thousandths(1_800);
    let mut app = app(&[]);
    app.cpus = Scalar::from_thousandths(500);
    let (_, refusals) = place(&app, 1, candidates, &[], &[], Strategy::Spread, 1);
    assert_eq!(refusals.unwrap().hint.unwrap(), "it would fit with 1.3 more cpus on node c-S0");
}
