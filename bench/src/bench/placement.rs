//! The placement engine alone: no store, no processes.

use crate::figure::{Figure, Peer};
use crate::peer::Peers;
use crate::report::Report;
use orrery_core::app::{Affinity, App, Constraint, Operator, Preference, Selector, SpreadRule};
use orrery_core::node::{Node, NodeFacts, NodeId, PortRanges, Resources};
use orrery_core::placement::{Ledger, Strategy};
use orrery_core::{AppId, InstanceId, Scalar, Timestamp};
use std::sync::Arc;
use std::time::Instant;

const NODES: u32 = 10_000;
/// Apps, and instances of each: with the nodes below, four fifths of the cluster.
const APPS: u32 = 500;
const INSTANCES: usize = 1_000;
const RACKS: u32 = 75;
/// What one case asks of an app, what is on record of others.
type Case = (&'static str, fn(&mut App, u32), Option<Peer>);

fn constrain(app: &mut App, field: &str, operator: Operator) {
    app.constraints = vec![Constraint { field: field.into(), operator, value: None }];
}

fn spread(app: &mut App, weight: Option<u32>) {
    app.placement.spread = vec![SpreadRule { field: "rack".into(), maximum_skew: 2, weight }];
}

/// Away from the app before it.
fn keep_away(app: &mut App, number: u32) {
    if let Ok(id) = AppId::parse(&format!("/bench/app{}", number.saturating_sub(1))) {
        app.placement.anti_affinity = vec![Affinity { selector: Selector::App(id), field: "hostname".into(), weight: None }];
    }
}

fn prefer(app: &mut App, number: u32) {
    let value = format!("r{}.*", number % 7 + 1);
    app.placement.prefer = vec![Preference { field: "rack".into(), operator: Operator::Like, value, weight: 10 }];
}

/// Fills the cluster app by app; every seat is taken, so that later placements meet a full cluster.
pub(crate) fn run(report: &mut Report, _: &mut Peers) -> anyhow::Result<()> {
    let cases: [Case; 8] = [
        ("no constraints", |_, _| {}, Some(Peer::recorded("Nomad 1.1.2, engine only", 2_436.0))),
        (
            "hostname UNIQUE",
            |app, _| constrain(app, "hostname", Operator::Unique),
            Some(Peer::recorded("Nomad 1.1.2 distinct_hosts", 2_238.0)),
        ),
        ("rack GROUP_BY", |app, _| constrain(app, "rack", Operator::GroupBy), Some(Peer::recorded("Nomad 1.1.2 spread", 25.0))),
        ("spread by rack, skew 2", |app, _| spread(app, None), None),
        ("spread by rack, weight", |app, _| spread(app, Some(5)), None),
        ("prefer by rack", prefer, None),
        ("anti-affinity by hostname", keep_away, None),
        ("binpack", |app, _| app.placement.strategy = Some(Strategy::Binpack), None),
    ];
    for (name, ask, peer) in cases {
        let mut ledger = Ledger::default();
        for number in 0..NODES {
            ledger.upsert_node(&Arc::new(node(number)?));
        }
        let (mut placed, start) = (0, Instant::now());
        for number in 0..APPS {
            let mut app = App::new(AppId::parse(&format!("/bench/app{number}"))?);
            app.cpus = Scalar::from_thousandths(300 + i64::from(number % 5) * 100);
            app.mem = Scalar::from_units(1_024 + i64::from(number % 3) * 512);
            ask(&mut app, number);
            let id = InstanceId::new(&app.id, uuid::Uuid::from_u128(u128::from(number)));
            let strategy = app.placement.strategy.unwrap_or_default();
            let (seats, refusals) = ledger.place_batch(&app, INSTANCES, strategy, placed as u64);
            anyhow::ensure!(refusals.is_none(), "{name}: refused: {refusals:?}");
            for seat in &seats {
                ledger.seat(&id, &app, seat, true, true);
            }
            placed += seats.len();
        }
        let rate = placed as f64 / start.elapsed().as_secs_f64();
        let scale = format!(
            "{NODES} nodes, {RACKS} racks, {APPS} apps in batches of {INSTANCES} until 78 % full, one thread, engine only"
        );
        report.add(Figure::new("placement", name, rate, "placements/s").scale(scale).peer(peer));
    }
    Ok(())
}

fn node(number: u32) -> anyhow::Result<Node> {
    let facts = NodeFacts {
        resources: Resources {
            cpus: Scalar::from_units(32),
            mem: Scalar::from_units(131_072),
            disk: Scalar::from_units(1_000_000),
            ports: PortRanges::new([(20_000, 31_000)]),
            ..Resources::default()
        },
        attributes: [("rack".to_owned(), format!("r{}", number % RACKS))].into(),
        executors: vec!["process".into()],
        ..NodeFacts::new(
            NodeId::parse(&format!("bench-S{number}"))?,
            format!("host{number}"),
            std::net::Ipv4Addr::from(0x0a00_0000 + number).into(),
        )
    };
    Ok(Node::joined(facts, Timestamp::EPOCH))
}
