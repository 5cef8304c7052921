//! The nodes and apps that all placement benches use.

use orrery_core::app::PortDefinition;
use orrery_core::node::{Bundle, NodeFacts, PortRanges, Resources};
use orrery_core::placement::Ledger;
use orrery_core::{App, AppId, InstanceId, Node, NodeId, Scalar, Timestamp};
use std::sync::Arc;

/// Racks that the nodes are in, by turns.
pub(super) const RACKS: u32 = 75;
/// Role that nodes of [`reserved`] keep something for.
pub(super) const ROLE: &str = "eng";

/// Cpus of a node: three sizes of machine in every rack, as clusters that grew have them.
pub(super) fn cpus(number: u32) -> i64 {
    24 * (i64::from(number / RACKS % 3) + 1)
}

/// A node with 4 GiB a cpu, in one of [`RACKS`] racks and three zones; three quarters have `disk:ssd`.
fn node(number: u32, is_reserved: bool) -> anyhow::Result<Node> {
    let disk = if number.is_multiple_of(4) { "hdd" } else { "ssd" };
    let mut resources = Resources {
        cpus: Scalar::from_units(cpus(number)),
        mem: Scalar::from_units(cpus(number) * 4_096),
        disk: Scalar::from_units(1_000_000),
        ports: PortRanges::new([(31_000, 32_000)]),
        custom: [("licences".to_owned(), Scalar::from_units(1_000))].into(),
        ..Resources::default()
    };
    if is_reserved {
        let bundle = Bundle { cpus: Scalar::from_units(12), mem: Scalar::from_units(49_152), ..Bundle::default() };
        resources.reserved = [(ROLE.to_owned(), bundle)].into();
    }
    let facts = NodeFacts {
        resources,
        attributes: [("rack".to_owned(), format!("r{}", number % RACKS)), ("disk".to_owned(), disk.to_owned())].into(),
        zone: Some(format!("z{}", number % 3)),
        executors: vec!["process".into(), "docker".into()],
        ..NodeFacts::new(
            NodeId::parse(&format!("2f0c1a52-8d5e-4b7e-9d6b-0c8f5a1e7c11-S{number}"))?,
            format!("node-{number}.example"),
            std::net::Ipv4Addr::from(0x0a00_0000 + number).into(),
        )
    };
    Ok(Node::joined(facts, Timestamp::EPOCH))
}

/// An empty cluster.
pub(super) fn ledger(nodes: u32) -> anyhow::Result<Ledger> {
    let mut ledger = Ledger::default();
    for number in 0..nodes {
        ledger.upsert_node(&Arc::new(node(number, false)?));
    }
    Ok(ledger)
}

/// An empty cluster where every eighth node keeps 12 cpus and 48 GiB for [`ROLE`].
pub(super) fn reserved(nodes: u32) -> anyhow::Result<Ledger> {
    let mut ledger = Ledger::default();
    for number in 0..nodes {
        ledger.upsert_node(&Arc::new(node(number, number.is_multiple_of(8))?));
    }
    Ok(ledger)
}

/// The id of app `number`.
pub(super) fn id(number: u32) -> anyhow::Result<AppId> {
    Ok(AppId::parse(&format!("/bench/app{number}"))?)
}

/// A small app with one dynamic port, and an instance of it.
pub(super) fn app(number: u32) -> anyhow::Result<(App, InstanceId)> {
    let mut app = App::new(id(number)?);
    app.cpus = Scalar::from_thousandths(100 + i64::from(number % 7) * 50);
    app.mem = Scalar::from_units(256 + i64::from(number % 5) * 256);
    app.disk = Scalar::from_units(100);
    app.port_definitions = vec![PortDefinition::default()];
    let instance = InstanceId::new(&app.id, uuid::Uuid::from_u128(u128::from(number)));
    Ok((app, instance))
}
