//! Random clusters for tests, and the zone of all their records.

use super::*;
use crate::app::{Container, Network, NetworkMode, PortDefinition, PortMapping, Protocol};
use crate::cluster::Cluster;
use crate::instance::{Condition, Observed, Seat};
use crate::node::{Node, NodeFacts, NodeStatus};
use crate::{App, AppId, Instance, InstanceId, NodeId, Timestamp};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

const DEFINITIONS: usize = 6;

pub(super) fn app_ids() -> Vec<String> {
    let (a, b) = ("a".repeat(61), "b".repeat(60));
    let mut ids: Vec<String> =
        ["/web", "/shop/web", "/web-shop", "/web.shop", "/shop", "/shop/eu/web", "/eu/web", "/framework", "/tcp", "/mesos/slave"]
            .map(str::to_owned)
            .to_vec();
    for long in [
        "a".repeat(62),
        "a".repeat(63),
        "a".repeat(64),
        format!("{}x", "a".repeat(62)),
        format!("{}-b", "a".repeat(50)),
        format!("{}{}c", "a".repeat(20), "-".repeat(60)),
        format!("{}{}d", "a".repeat(50), "-".repeat(20)),
        format!("{a}/web"),
        format!("{a}aa/web"),
        format!("{a}aaa/web"),
        format!("web/{a}aa"),
        format!("web/{a}ab"),
        format!("{a}/{a}/{a}/{b}"),
        format!("{a}/{a}/{b}"),
        format!("{a}/{b}/{}/web", "c".repeat(80)),
    ] {
        ids.push(format!("/{long}"));
    }
    // About as long as each kind of name may be.
    let (b, c) = ("b".repeat(60), "c".repeat(60));
    ids.extend([38, 40, 41, 44, 46, 47, 52, 53].map(|bytes| format!("/{a}aa/{b}/{c}/{}", "d".repeat(bytes))));
    ids
}

fn node_ids() -> Vec<String> {
    let mut ids: Vec<String> = ["c-S0", "c-S1", "d-s1", "x", "n-"].map(str::to_owned).to_vec();
    ids.extend([format!("c-{}", "t".repeat(56)), format!("c-{}", "t".repeat(60))]);
    ids
}

/// An app of one of several shapes of ports and networks.
fn definition(id: &str, shape: usize) -> App {
    let mut app = App::new(AppId::parse(id).unwrap());
    let port =
        |name: Option<&str>, protocol| PortDefinition { name: name.map(str::to_owned), protocol, ..PortDefinition::default() };
    let mapping = |name: Option<&str>, container_port, host_port| PortMapping {
        name: name.map(str::to_owned),
        container_port,
        host_port,
        ..PortMapping::default()
    };
    let network = |mode| vec![Network { mode, ..Network::default() }];
    match shape {
        0 => {}
        1 => app.port_definitions = vec![port(Some("Http_1"), Protocol::Tcp), port(None, Protocol::Both)],
        2 => app.port_definitions = vec![port(Some("!!"), Protocol::Udp), port(Some(&"p".repeat(100)), Protocol::Tcp)],
        3 => {
            app.networks = network(NetworkMode::Bridge);
            app.container = Some(Container { port_mappings: vec![mapping(Some("http-1"), 80, Some(0))], ..Container::default() });
        }
        4 => {
            app.networks = network(NetworkMode::Container);
            let port_mappings = vec![mapping(Some("db"), 5432, None), mapping(None, 0, None)];
            app.container = Some(Container { port_mappings, ..Container::default() });
        }
        _ => app.networks = network(NetworkMode::Container),
    }
    app
}

fn node(id: &str, address: IpAddr, status: NodeStatus) -> Arc<Node> {
    let facts = NodeFacts::new(NodeId::parse(id).unwrap(), id.into(), address);
    Arc::new(Node { status, ..Node::joined(facts, Timestamp::EPOCH) })
}

pub(super) fn address(number: usize) -> IpAddr {
    if number.is_multiple_of(3) {
        IpAddr::from([0, 0, 0, 0, 0, 0, 1, number as u16 % 5])
    } else {
        IpAddr::from([10, 0, 0, number as u8 % 5])
    }
}

/// One change, as numbers that stand for choices.
pub(super) type Change = (u8, u16, u16, u16);

#[derive(Default)]
pub(super) struct World {
    pub(super) cluster: Cluster,
    pub(super) touched: BTreeSet<InstanceId>,
    launched: u128,
}

impl World {
    fn put(&mut self, instance: Instance) {
        self.take_away(&instance.id);
        if let Some(seat) = &instance.seat {
            self.cluster.loads.entry(seat.node.clone()).or_default().take(&instance.id, &instance.app, seat);
        }
        self.touched.insert(instance.id.clone());
        self.cluster.instances.insert(Arc::new(instance));
    }

    fn take_away(&mut self, id: &InstanceId) {
        let Some(before) = self.cluster.instances.remove(id) else { return };
        if let Some(seat) = &before.seat
            && let Some(load) = self.cluster.loads.get_mut(&seat.node)
        {
            load.give_back(id, &before.app, seat);
        }
        self.touched.insert(id.clone());
    }

    fn any_instance(&self, number: u16) -> Option<Arc<Instance>> {
        self.cluster.instances.values().nth(usize::from(number) % self.cluster.instances.len().max(1)).cloned()
    }

    fn seat(number: u16) -> Seat {
        let ids = node_ids();
        let node = NodeId::parse(&ids[usize::from(number) % ids.len()]).unwrap();
        let ports = [vec![], vec![31_000, 31_001], vec![0, 31_002], vec![0]];
        Seat { node, host_ports: ports[usize::from(number / 7) % ports.len()].clone().into() }
    }

    pub(super) fn change(&mut self, (kind, a, b, c): Change) {
        match kind % 8 {
            0..=2 => {
                let mut ids = app_ids();
                // Apps that are called as tasks of others are.
                if let Some(other) = self.any_instance(c).filter(|other| other.seat.is_some()) {
                    let forms = forms::Forms::of(other.app_id());
                    let hash = task_hash(&other.task_id().to_string());
                    let unique = forms::with_suffix(forms.label(), &forms::canonical_suffix(&hash, other.node().unwrap()));
                    ids.extend([format!("/{unique}"), format!("/{unique}/web")]);
                }
                let id = &ids[usize::from(a) % ids.len()];
                let shape = usize::from(b) % DEFINITIONS;
                let Ok(path) = AppId::parse(id) else { return };
                let same = self.cluster.instances.of(&path).find(|held| *held.app == definition(id, shape));
                let app = same.map_or_else(|| Arc::new(definition(id, shape)), |held| Arc::clone(&held.app));
                self.launched += 1;
                let addresses = [vec![], vec![address(usize::from(c))], vec![address(1), address(3)]];
                self.put(Instance {
                    incarnation: 1,
                    seat: (c % 11 != 0).then(|| Self::seat(c)),
                    condition: if c % 5 == 0 { Condition::Staging } else { Condition::Running },
                    observed: Observed::default().with(addresses[usize::from(b / 7) % 3].clone(), vec![], None),
                    ..Instance::scheduled(InstanceId::new(&path, Uuid::from_u128(self.launched)), app, Timestamp::EPOCH)
                });
            }
            3 => {
                let Some(instance) = self.any_instance(a) else { return };
                self.put(match b % 4 {
                    0 => Instance { condition: Condition::Running, ..(*instance).clone() },
                    1 => Instance { condition: Condition::Unreachable, ..(*instance).clone() },
                    2 => Instance { incarnation: instance.incarnation + 1, ..(*instance).clone() },
                    _ => Instance { seat: Some(Self::seat(c)), ..(*instance).clone() },
                });
            }
            4 => {
                if let Some(instance) = self.any_instance(a) {
                    self.take_away(&instance.id);
                }
            }
            5 | 6 => {
                let ids = node_ids();
                let status = [NodeStatus::Active, NodeStatus::Disconnected][usize::from(c) % 2];
                self.cluster.put_node(node(&ids[usize::from(a) % ids.len()], address(usize::from(b)), status));
            }
            _ => {
                let id = Self::seat(a).node;
                self.cluster.drop_node(&id);
            }
        }
    }

    /// All records, as they were kept before names were derived.
    pub(super) fn zone(&self, masters: &[Record]) -> Zone {
        let mut zone = Zone::new();
        zone.apply(Owner::Masters, masters.to_vec());
        for (id, node) in &self.cluster.nodes {
            zone.apply(Owner::Node(id.clone()), node_records(&node.facts));
        }
        for instance in self.cluster.instances.values() {
            let Some(node) = instance.node().and_then(|node| self.cluster.nodes.get(node)) else { continue };
            let owner = Owner::Task { id: instance.task_id(), framework: MARATHON.into() };
            zone.apply(owner, records_of_task(instance, &node.facts, MARATHON));
        }
        zone
    }
}
