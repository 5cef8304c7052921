//! The placement engine alone: no store, no processes.

use crate::figure::{Figure, Peer};
use crate::peer::Peers;
use crate::report::Report;
use orrery_core::app::{App, Constraint, Operator};
use orrery_core::node::{Node, NodeFacts, NodeId, PortRanges, Resources};
use orrery_core::placement::{Ledger, Strategy};
use orrery_core::{AppId, Scalar, Timestamp};
use std::sync::Arc;
use std::time::{Duration, Instant};

const NODES: u32 = 10_000;
const INSTANCES: usize = 1_000;
const RACKS: u32 = 75;
/// Name, field and operator of the constraint, what is on record of others.
type Case = (&'static str, Option<(&'static str, Operator)>, Option<Peer>);

const TIME: Duration = Duration::from_secs(2);

pub(crate) fn run(report: &mut Report, _: &mut Peers) -> anyhow::Result<()> {
    let mut ledger = Ledger::default();
    for number in 0..NODES {
        ledger.upsert_node(&Arc::new(node(number)?));
    }
    let cases: [Case; 3] = [
        ("no constraints", None, Some(Peer::recorded("Nomad 1.1.2, engine only", 2_436.0))),
        ("hostname UNIQUE", Some(("hostname", Operator::Unique)), Some(Peer::recorded("Nomad 1.1.2 distinct_hosts", 2_238.0))),
        ("rack GROUP_BY", Some(("rack", Operator::GroupBy)), Some(Peer::recorded("Nomad 1.1.2 spread", 25.0))),
    ];
    for (name, constraint, peer) in cases {
        let mut app = App::new(AppId::parse("/bench/placed")?);
        app.cpus = Scalar::from_thousandths(10);
        app.mem = Scalar::from_units(16);
        if let Some((field, operator)) = constraint {
            app.constraints = vec![Constraint { field: field.into(), operator, value: None }];
        }
        let (mut placed, start) = (0, Instant::now());
        while start.elapsed() < TIME {
            let (seats, refusals) = ledger.place_batch(&app, INSTANCES, Strategy::Spread, placed as u64);
            anyhow::ensure!(refusals.is_none(), "refused: {refusals:?}");
            placed += seats.len();
        }
        let rate = placed as f64 / start.elapsed().as_secs_f64();
        let scale = format!("{NODES} nodes, {RACKS} racks, batches of {INSTANCES} on empty nodes, one thread, engine only");
        report.add(Figure::new("placement", name, rate, "placements/s").scale(scale).peer(peer));
    }
    Ok(())
}

fn node(number: u32) -> anyhow::Result<Node> {
    let facts = NodeFacts {
        id: NodeId::parse(&format!("bench-S{number}"))?,
        hostname: format!("host{number}"),
        address: std::net::Ipv4Addr::from(0x0a00_0000 + number).into(),
        port: 0,
        resources: Resources {
            cpus: Scalar::from_units(32),
            mem: Scalar::from_units(131_072),
            disk: Scalar::from_units(1_000_000),
            gpus: 0,
            ports: PortRanges::new([(20_000, 31_000)]),
            custom: std::collections::BTreeMap::new(),
        },
        attributes: [("rack".to_owned(), format!("r{}", number % RACKS))].into(),
        region: None,
        zone: None,
        role: "*".into(),
        executors: vec!["process".into()],
        version: String::new(),
    };
    Ok(Node::joined(facts, Timestamp::EPOCH))
}
