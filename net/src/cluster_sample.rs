//! Small clusters for tests.

use orrery_core::app::PortDefinition;
use orrery_core::cluster::Cluster;
use orrery_core::instance::{Condition, Seat};
use orrery_core::node::{Node, NodeFacts};
use orrery_core::{App, AppId, Instance, InstanceId, NodeId, TaskId, Timestamp};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// A cluster and the instances that changed since it was published.
#[derive(Default)]
pub(crate) struct Sample {
    pub(crate) cluster: Cluster,
    pub(crate) touched: BTreeSet<InstanceId>,
    launched: u128,
}

impl Sample {
    /// Nodes `c-s0` and so on, `10.0.0.0` and so on.
    pub(crate) fn of_nodes(count: u8) -> Self {
        let mut sample = Self::default();
        for number in 0..count {
            let facts = NodeFacts::new(node_id(number), format!("n{number}"), IpAddr::from([10, 0, 0, number]));
            sample.cluster.nodes.insert(facts.id.clone(), Arc::new(Node::joined(facts, Timestamp::EPOCH)));
        }
        sample
    }

    /// Starts a task of `app` with one port.
    pub(crate) fn launch(&mut self, app: &str, node: u8, port: u16) -> TaskId {
        let mut app = App::new(AppId::parse(app).unwrap());
        app.port_definitions = vec![PortDefinition::default()];
        self.launched += 1;
        let instance = Instance {
            incarnation: 1,
            seat: Some(Seat { node: node_id(node), host_ports: vec![port].into() }),
            condition: Condition::Running,
            ..Instance::scheduled(InstanceId::new(&app.id, Uuid::from_u128(self.launched)), Arc::new(app), Timestamp::EPOCH)
        };
        let (id, task) = (instance.id.clone(), instance.task_id());
        if let Some(seat) = &instance.seat {
            self.cluster.loads.entry(seat.node.clone()).or_default().take(&id, &instance.app, seat);
        }
        self.cluster.instances.insert(Arc::new(instance));
        self.touched.insert(id);
        task
    }
}

fn node_id(number: u8) -> NodeId {
    NodeId::parse(&format!("c-s{number}")).unwrap()
}
