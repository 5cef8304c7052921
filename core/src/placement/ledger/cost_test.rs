//! The cost law and the limits, in operations counted: exact on every machine.

use super::{Ledger, NODE_TASKS_MAX, Strategy};
use crate::app::{App, Constraint, Operator, PortDefinition, Preference, SpreadRule};
use crate::instance::Seat;
use crate::node::{Bundle, Marks, Node, NodeFacts, NodeId, PortRanges, Reservation, Resources};
use crate::placement::Reason;
use crate::{AppId, InstanceId, Scalar, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

const RACKS: u32 = 75;

fn node(number: u32) -> Node {
    in_rack(number, number % RACKS)
}

fn in_rack(number: u32, rack: u32) -> Node {
    let facts = NodeFacts {
        resources: Resources {
            cpus: Scalar::from_units(8 + i64::from(number % 3) * 8),
            mem: Scalar::from_units(32_768 + i64::from(number % 5) * 8_192),
            disk: Scalar::from_units(100_000),
            ports: PortRanges::new([(31000, 31999)]),
            ..Resources::default()
        },
        attributes: BTreeMap::from([("rack".to_owned(), format!("r{rack}"))]),
        executors: vec!["process".into()],
        ..NodeFacts::new(NodeId::parse(&format!("c-S{number}")).unwrap(), format!("h{number}"), "127.0.0.1".parse().unwrap())
    };
    Node::joined(facts, Timestamp::EPOCH)
}

fn ledger(nodes: u32) -> Ledger {
    let mut ledger = Ledger::default();
    (0..nodes).for_each(|number| ledger.upsert_node(&Arc::new(node(number))));
    ledger
}

fn app(number: u32, constraint: Option<(&str, Operator, Option<&str>)>) -> App {
    let mut app = App::new(AppId::parse(&format!("/app{number}")).unwrap());
    app.cpus = Scalar::from_thousandths(100 + i64::from(number % 3) * 100);
    app.mem = Scalar::from_units(64 + i64::from(number % 5) * 64);
    app.port_definitions = vec![PortDefinition::default()];
    app.constraints = constraint
        .into_iter()
        .map(|(field, operator, value)| Constraint { field: field.into(), operator, value: value.map(Into::into) })
        .collect();
    app
}

fn instance(app: &App, number: u32) -> InstanceId {
    InstanceId::new(&app.id, Uuid::from_u128(u128::from(number)))
}

impl Ledger {
    /// Without what was refused before.
    fn untold(mut self) -> Self {
        self.memos.clear();
        self.refused.clear();
        self
    }
}

fn take(ledger: &mut Ledger, app: &App, seats: &[Seat], more: bool) {
    seats.iter().enumerate().for_each(|(number, seat)| ledger.seat(&instance(app, number as u32), app, seat, true, more));
}

fn place(ledger: &mut Ledger, app: &App, count: usize, salt: u64) -> Vec<Seat> {
    ledger.place_batch(app, count, app.placement.strategy.unwrap_or_default(), salt).0
}

/// What app number so-and-so asks for.
type Ask = fn(u32) -> App;

/// Places a task per node in batches, and ends and replaces a tenth of them one by one.
fn operations(empty: &Ledger, nodes: u32, batch: usize, ask: Ask) -> f64 {
    let mut ledger = empty.clone();
    // Building the trees, and the verdicts of up to nine patterns, is paid once per node, not per placement.
    (0..9).for_each(|number| drop(place(&mut ledger, &ask(number), 1, 0)));
    let before = ledger.cost();
    let mut placed = 0;
    for number in 0..nodes / batch as u32 {
        let app = ask(number);
        let seats = place(&mut ledger, &app, batch, 1);
        take(&mut ledger, &app, &seats, true);
        placed += seats.len();
        for seat in seats.chunks(10).map(|chunk| &chunk[..1]) {
            take(&mut ledger, &app, seat, false);
            let again = place(&mut ledger, &app, 1, 2);
            take(&mut ledger, &app, &again, true);
            placed += again.len();
        }
    }
    assert!(placed > nodes as usize / 2, "{placed}");
    ledger.cost().since(&before).total() as f64
}

/// With a hundred times the nodes and tasks, operations grow with an exponent of at most 1.1.
#[test]
fn operations_grow_like_the_tasks() {
    let mixes: [(&str, Ask); 6] = [
        ("nothing", |number| app(number, None)),
        ("UNIQUE hostname", |number| app(number, Some(("hostname", Operator::Unique, None)))),
        ("GROUP_BY rack", |number| app(number, Some(("rack", Operator::GroupBy, None)))),
        ("MAX_PER rack:2", |number| app(number, Some(("rack", Operator::MaxPer, Some("2"))))),
        ("LIKE rack", |number| app(number, Some(("rack", Operator::Like, Some("r[12].?"))))),
        ("CLUSTER rack", |number| app(number, Some(("rack", Operator::Cluster, None)))),
    ];
    let (few, many) = (ledger(1_000), ledger(100_000));
    for (name, ask) in mixes {
        let (exponent, each) = growth(name, ask, &few, &many);
        assert!(exponent <= 1.1 && each <= 100.0, "{name}: exponent {exponent:.3}, {each:.1} operations each");
    }
}

/// Racks that hold 40 nodes each, however many there are, 1,250 of them.
#[test]
fn more_than_a_thousand_racks_cost_no_look_at_every_node() {
    let mixes: [(&str, Ask); 4] = [
        ("GROUP_BY rack", |number| app(number, Some(("rack", Operator::GroupBy, None)))),
        ("CLUSTER rack", |number| app(number, Some(("rack", Operator::Cluster, None)))),
        ("spread rack, weight 5", |number| spread(number, 5)),
        ("prefer rack", |number| prefer(app(number, None), "rack", format!("r{}.*", number % 7 + 1))),
    ];
    let racked = |nodes: u32| {
        let mut ledger = Ledger::default();
        (0..nodes).for_each(|number| ledger.upsert_node(&Arc::new(in_rack(number, number % (nodes / 40)))));
        ledger
    };
    let (few, many) = (racked(2_000), racked(50_000));
    for (name, ask) in mixes {
        let (_, each) = growth(name, ask, &few, &many);
        assert!(each <= 50.0, "{name}: {each:.1} operations each");
    }
}

fn spread(number: u32, weight: u32) -> App {
    let mut app = app(number, None);
    app.placement.spread = vec![SpreadRule { field: "rack".into(), maximum_skew: 1, weight: Some(weight) }];
    app
}

/// Patterns of host names, and packing with wishes, are no dearer by their growth, though nine patterns take
/// turns and the trees of each would have to follow all changes.
#[test]
fn operations_of_patterns_and_wishes_grow_like_the_tasks() {
    let mixes: [(&str, Ask); 8] = [
        ("LIKE hostname", |number| app(number, Some(("hostname", Operator::Like, Some(&hosts(number)))))),
        ("UNLIKE hostname", |number| app(number, Some(("hostname", Operator::Unlike, Some(&hosts(number)))))),
        ("prefer hostname", |number| prefer(app(number, None), "hostname", hosts(number))),
        ("prefer not hostname", |number| avoid(app(number, None), "hostname", hosts(number))),
        ("prefer not hostname, packed", |number| packed(avoid(app(number, None), "hostname", hosts(number)))),
        ("prefer few hosts", |number| prefer(app(number, None), "hostname", format!("h{}", number % 9))),
        ("prefer hostname, packed", |number| packed(prefer(app(number, None), "hostname", hosts(number)))),
        ("prefer rack, packed", |number| packed(prefer(app(number, None), "rack", format!("r{}.*", number % 7 + 1)))),
    ];
    let (few, many) = (ledger(1_000), ledger(20_000));
    for (name, ask) in mixes {
        let (exponent, each) = growth(name, ask, &few, &many);
        assert!(exponent <= 1.15 && each <= 50.0, "{name}: exponent {exponent:.3}, {each:.1} operations each");
    }
}

/// Apps of a role with reservations and apps of none take turns: each looks at the nodes with eyes of its
/// own, and neither at every reservation. Both sets of trees follow every change.
#[test]
fn operations_of_reservations_grow_like_the_tasks() {
    let mixes: [(&str, Ask); 2] = [("half reserved", reserving), ("half reserved, packed", |number| packed(reserving(number)))];
    for (name, ask) in mixes {
        let (exponent, each) = growth(name, ask, &half_reserved(1_000), &half_reserved(100_000));
        assert!(exponent <= 1.15 && each <= 50.0, "{name}: exponent {exponent:.3}, {each:.1} operations each");
    }
}

fn reserving(number: u32) -> App {
    let mut app = app(number, None);
    app.role = number.is_multiple_of(2).then(|| "eng/prod".to_owned());
    app
}

/// Every second node keeps half of what it has for a role.
fn half_reserved(nodes: u32) -> Ledger {
    let mut ledger = Ledger::default();
    for number in 0..nodes {
        let mut node = node(number);
        if number.is_multiple_of(2) {
            let made = Bundle { cpus: Scalar::from_units(4), mem: Scalar::from_units(16_384), ..Bundle::default() };
            node.claims.put_reservation("eng", Reservation::of(made, Marks::default()));
        }
        ledger.upsert_node(&Arc::new(node));
    }
    ledger
}

/// Exponent of the operations from a small cluster to a large one, and operations of a placement there.
fn growth(name: &str, ask: Ask, few: &Ledger, many: &Ledger) -> (f64, f64) {
    let [less, more] = [few, many].map(|ledger| ledger.rows.known as u32);
    let (small, large) = (operations(few, less, 50, ask), operations(many, more, 50, ask));
    let exponent = (large / small).ln() / (f64::from(more) / f64::from(less)).ln();
    let each = large / (1.1 * f64::from(more));
    println!("{name}: exponent {exponent:.3}, {each:.1} operations each");
    (exponent, each)
}

fn hosts(number: u32) -> String {
    format!("h{}[0-9]*", number % 9 + 1)
}

fn prefer(mut app: App, field: &str, value: String) -> App {
    app.placement.prefer = vec![Preference { field: field.into(), operator: Operator::Like, value, weight: 10 }];
    app
}

fn avoid(mut app: App, field: &str, value: String) -> App {
    app.placement.prefer = vec![Preference { field: field.into(), operator: Operator::Unlike, value, weight: 10 }];
    app
}

fn packed(mut app: App) -> App {
    app.placement.strategy = Some(Strategy::Binpack);
    app
}

/// In a full cluster a refusal with its reasons costs what changed since the last one.
#[test]
fn a_repeated_refusal_costs_what_changed() {
    let mut ledger = ledger(10_000);
    let filler = app(0, None);
    let (seats, _) = ledger.place_batch(&filler, 1000, Strategy::Spread, 0);
    take(&mut ledger, &filler, &seats, true);
    let mut giant = app(1, Some(("rack", Operator::Like, Some("r[0-9]"))));
    giant.cpus = Scalar::from_units(99);
    let (_, first) = ledger.place_batch(&giant, 1, Strategy::Spread, 0);
    let before = ledger.cost();
    take(&mut ledger, &filler, &seats[..3], false);
    let (_, second) = ledger.place_batch(&giant, 1, Strategy::Spread, 0);
    assert!(ledger.cost().since(&before).total() <= 10);
    assert_eq!(first, second);
    let refusals = second.unwrap();
    assert_eq!(refusals.nodes, 10_000);
    assert_eq!(refusals.by_reason[&Reason::InsufficientCpus] + refusals.by_reason[&Reason::UnfulfilledConstraint], 10_000);
    assert!(refusals.hint.unwrap().starts_with("it would fit with 75"));
}

/// Apps that arrive in a full cluster are told what others like them were told: they need not ask
/// every node, and hear the same as if they had.
#[test]
fn apps_like_a_refused_one_are_refused_at_once() {
    let mut ledger = ledger(10_000);
    let giant = |number: u32| {
        let mut app = app(number * 15, Some(("rack", Operator::Like, Some("r[0-9]"))));
        app.cpus = Scalar::from_units(99);
        app
    };
    let (_, first) = ledger.place_batch(&giant(0), 1, Strategy::Spread, 0);
    let filler = app(1, None);
    for number in 1..50 {
        let (seats, _) = ledger.place_batch(&filler, 1, Strategy::Spread, 0);
        take(&mut ledger, &filler, &seats, true);
        let before = ledger.cost();
        let (_, refusals) = ledger.place_batch(&giant(number), 1, Strategy::Spread, 0);
        let cost = ledger.cost().since(&before).total();
        assert!(cost <= 100 + u64::from(number), "{cost} operations for app {number}");
        let fresh = ledger.clone().untold().place_batch(&giant(number), 1, Strategy::Spread, 0).1;
        assert_eq!(refusals, fresh);
        assert_eq!(refusals.unwrap().by_reason, first.as_ref().unwrap().by_reason);
    }
}

/// What is refused for the first time costs about the same however many nodes there are, where nodes of a kind
/// say the same; where some lack one thing and some another, far less than asking each.
#[test]
fn first_refusals_do_not_ask_every_node() {
    let refused = |nodes: u32| -> [u64; 3] {
        let mut ledger = ledger(nodes);
        // Tasks of many sizes on one in three nodes each leave different amounts.
        for number in 0..12 {
            let mut filler = app(number, None);
            filler.cpus = Scalar::from_thousandths(1_900 + i64::from(number) * 100);
            filler.mem = Scalar::from_units(9_000 - i64::from(number) * 700);
            let count = nodes as usize / 3;
            let (seats, _) = ledger.place_batch(&filler, count, [Strategy::Spread, Strategy::Binpack][number as usize % 2], 0);
            take(&mut ledger, &filler, &seats, true);
        }
        let ask = |number: u32, cpus: i64, mem: i64, constraint: (&str, Operator, Option<&str>), ledger: &mut Ledger| {
            let mut app = app(number * 15, Some(constraint));
            (app.cpus, app.mem) = (Scalar::from_thousandths(cpus), Scalar::from_units(mem));
            let before = ledger.cost();
            let refusals = ledger.place_batch(&app, 1, Strategy::Spread, 0).1.unwrap();
            assert_eq!(refusals.by_reason.values().sum::<u64>(), u64::from(nodes));
            (ledger.cost().since(&before).total(), refusals.by_reason)
        };
        let [like, unique] = [("rack", Operator::Like, Some("r[0-9]")), ("hostname", Operator::Unique, None)];
        // The first who asks by a field pays for the blocks.
        ask(50, 99_000, 1, like, &mut ledger);
        let giant = ask(51, 98_000, 1, like, &mut ledger).0;
        ask(52, 99_000, 1, unique, &mut ledger);
        let alone = ask(53, 98_000, 1, unique, &mut ledger).0;
        // Who searches in vain goes by trees that others have made.
        ledger.place_batch(&app(1, Some(unique)), 1, Strategy::Spread, 0);
        // Some lack cpus only, some memory, some both.
        let mut most = 0;
        for (number, cpus, mem) in [(54, 5_000, 66_000), (55, 7_000, 60_000), (56, 10_000, 55_000), (57, 9_000, 58_000)] {
            let (cost, reasons) = ask(number, cpus, mem, unique, &mut ledger);
            assert!(reasons.len() == 2 && reasons.values().all(|count| *count > u64::from(nodes) / 20), "{reasons:?}");
            most = most.max(cost);
        }
        [giant, alone, most]
    };
    let [small, large] = [refused(1_000), refused(20_000)];
    for (small, large) in [(small[0], large[0]), (small[1], large[1])] {
        assert!(large <= small + 100 && large < 500, "{small} operations, and {large} with 20 times the nodes");
    }
    assert!(large[2] < 20_000 / 20, "{} operations", large[2]);
}

#[test]
fn demands_beyond_measure_are_cut_short() {
    let mut ledger = ledger(3);
    let mut nothing = app(0, None);
    (nothing.cpus, nothing.mem) = (Scalar::ZERO, Scalar::ZERO);
    nothing.port_definitions.clear();
    let (seats, refusals) = ledger.place_batch(&nothing, 1_000_000_000, Strategy::Binpack, 0);
    assert_eq!(seats.len(), 3 * NODE_TASKS_MAX);
    assert_eq!(refusals.unwrap().by_reason, BTreeMap::from([(Reason::TooManyTasks, 3)]));
    let (seats, refusals) = ledger.place_batch(&app(1, None), 1_000_000_000, Strategy::Spread, 0);
    assert!(seats.len() < 1000 && refusals.is_some());
}

#[test]
fn nodes_that_lie_hurt_nobody() {
    let mut ledger = Ledger::default();
    let amounts = [i64::MIN, -1, 0, 1, i64::MAX];
    for (number, amount) in amounts.into_iter().enumerate() {
        let mut node = node(number as u32);
        node.facts.resources.cpus = Scalar::from_thousandths(amount);
        node.facts.resources.mem = Scalar::from_thousandths(amount);
        node.facts.resources.gpus = u32::MAX;
        node.facts.resources.ports = PortRanges::new((0..=u16::MAX).step_by(2).map(|port| (port, port)));
        ledger.upsert_node(&Arc::new(node));
    }
    for (number, amount) in amounts.into_iter().enumerate() {
        let mut app = app(number as u32, None);
        (app.cpus, app.mem) = (Scalar::from_thousandths(amount), Scalar::from_thousandths(amount));
        app.gpus = u32::MAX;
        for strategy in [Strategy::Spread, Strategy::Binpack] {
            let (seats, _) = ledger.place_batch(&app, 9, strategy, u64::MAX);
            assert!(seats.len() <= 9);
            take(&mut ledger, &app, &seats, true);
            assert!(seats.iter().flat_map(|seat| &seat.host_ports).all(|port| *port != 0 && port % 2 == 0));
        }
    }
    // The node shrinks to nothing under its tasks and grows again.
    let app = app(9, None);
    for size in [8, 0, 8] {
        let mut node = node(7);
        node.facts.resources.cpus = Scalar::from_units(size);
        node.facts.resources.ports = PortRanges::new([(31000, 31000 + size as u16)]);
        ledger.upsert_node(&Arc::new(node));
        let (seats, _) = ledger.place_batch(&app, 2, Strategy::Binpack, 0);
        take(&mut ledger, &app, &seats, true);
    }
}

#[test]
fn attributes_by_the_thousand_cost_only_when_named() {
    let mut ledger = Ledger::default();
    for number in 0..50 {
        let mut node = node(number);
        node.facts.attributes.extend((0..5000).map(|key| (format!("key{key}"), format!("{number}"))));
        ledger.upsert_node(&Arc::new(node));
    }
    // More fields than are indexed at a time, each with patterns that would explode elsewhere.
    for key in 0..super::fields::FIELDS_MAX as u32 + 50 {
        let field = format!("key{key}");
        let app = app(key, Some((&field, Operator::Like, Some("(((a|b|1)*)*)*4"))));
        let (seats, _) = ledger.place_batch(&app, 1, Strategy::Spread, 0);
        assert_eq!(seats.len(), 1);
    }
    for pattern in ["(a{1000}){1000}", "((((((((((x{99}){99}){99}){99}){99})))))", "\\", "(?=look)"] {
        let app = app(1, Some(("key1", Operator::Like, Some(pattern))));
        let (seats, refusals) = ledger.place_batch(&app, 1, Strategy::Spread, 0);
        assert!(seats.is_empty());
        assert_eq!(refusals.unwrap().by_reason, BTreeMap::from([(Reason::UnfulfilledConstraint, 50)]), "{pattern}");
    }
}

/// Packing one by one among nodes that are alike, or alike but for their size, looks at a few of them.
#[test]
fn packing_looks_at_few_of_many_equal_nodes() {
    let operations = |nodes: u32| {
        let mut ledger = ledger(0);
        for number in 0..nodes {
            let mut node = node(number);
            let size = i64::from(number % 3) + 1;
            node.facts.resources.cpus = Scalar::from_units(8 * size);
            node.facts.resources.mem = Scalar::from_units(32_768 * size);
            ledger.upsert_node(&Arc::new(node));
        }
        ledger.place_batch(&app(0, None), 1, Strategy::Binpack, 0);
        let before = ledger.cost();
        for number in 0..1_000 {
            let app = app(number, None);
            let (seats, _) = ledger.place_batch(&app, 1, Strategy::Binpack, u64::from(number));
            take(&mut ledger, &app, &seats, true);
        }
        ledger.cost().since(&before).total() as f64 / 1_000.0
    };
    let (few, many) = (operations(1_000), operations(100_000));
    println!("{few:.1} operations each among 1,000 nodes, {many:.1} among 100,000");
    assert!(many <= 2.0 * few && many <= 300.0, "{few} operations grew to {many}");
}

/// How much more machine a workload takes than its scarcest resource alone would need: nodes in use,
/// by size, beside the least. Apps have `batch` equal tasks of random shapes; nodes have `times` the
/// memory that fits 24 cpus and come in `sizes` sizes.
fn packed_above_the_least(batch: u32, times: i64, sizes: u32, seed: u64) -> f64 {
    let mut ledger = Ledger::default();
    let size = |number: u32| i64::from(number % sizes) + 1;
    for number in 0..2_000 {
        let mut node = node(number);
        node.facts.resources.cpus = Scalar::from_units(24 * size(number));
        node.facts.resources.mem = Scalar::from_units(98_304 * times * size(number));
        ledger.upsert_node(&Arc::new(node));
    }
    let mut entropy = crate::cluster::Entropy::new(seed);
    let (mut cpus, mut mem, mut used) = (0, 0, std::collections::BTreeSet::new());
    for number in 0..30_000 / batch {
        let mut app = app(number, None);
        app.cpus = Scalar::from_thousandths(50 + (entropy.next_number() % 40).pow(2).cast_signed());
        app.mem = Scalar::from_units(64 + (entropy.next_number() % 80).pow(2).cast_signed());
        let (seats, refusals) = ledger.place_batch(&app, batch as usize, Strategy::Binpack, 0);
        assert_eq!((seats.len(), refusals), (batch as usize, None));
        take(&mut ledger, &app, &seats, true);
        cpus += i64::from(batch) * app.cpus.thousandths();
        mem += i64::from(batch) * app.mem.thousandths();
        used.extend(seats.into_iter().map(|seat| seat.node));
    }
    let units_of: BTreeMap<NodeId, i64> = (0..2_000).map(|number| (node(number).facts.id, size(number))).collect();
    let units: i64 = used.iter().map(|id| units_of[id]).sum();
    let least = (cpus as f64 / 24_000.0).max(mem as f64 / (98_304_000 * times) as f64);
    println!("batches of {batch}, memory × {times}, {sizes} sizes: {units} units where {least:.1} is the least");
    units as f64 / least - 1.0
}

/// Tasks of random shapes take at most 2 % more machine than the scarcer resource alone would need:
/// in batches and one by one, whether memory is as scarce as cpus or plentiful.
#[test]
fn packing_leaves_little_over() {
    let (mut faults, mut sum, mut count) = (Vec::new(), 0.0, 0);
    for (batch, times, sizes) in
        [(40, 1, 3), (40, 1, 1), (40, 2, 1), (40, 8, 1), (5, 1, 3), (5, 2, 1), (1, 1, 1), (1, 1, 3), (1, 2, 3)]
    {
        let above = packed_above_the_least(batch, times, sizes, 3);
        println!("{:.2} % above", above * 100.0);
        if above > 0.02 {
            faults.push(format!("batches of {batch}, memory times {times}, {sizes} sizes: {above:.4}"));
        }
        (sum, count) = (sum + above, count + 1);
    }
    println!("{:.2} % in the mean", sum / f64::from(count) * 100.0);
    assert!(faults.is_empty(), "{faults:#?}");
}
